//! Reads the API server's clock from the dates of its responses (RFC 9110, 6.6.1), without
//! additional requests.

use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};

/// Returns the minimum by which the server's clock is ahead of the local clock. Negative if it is
/// behind.
///
/// A response has a date in whole seconds, from some time between the request and its arrival.
pub(super) fn difference(
    headers: &HeaderMap,
    sent: Timestamp,
    arrived: Timestamp,
) -> Option<SignedDuration> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let dated = DateTimeParser::new().parse_timestamp(date).ok()?;
    let ahead = dated.duration_since(arrived);
    let behind = dated.duration_since(sent) + SignedDuration::from_secs(1);
    Some(ahead.max(SignedDuration::ZERO) + behind.min(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_clock_differs_by_what_no_delay_explains() {
        let cases = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:45 GMT", Some(5)),
            ("Sun, 06 Nov 1994 06:49:36 GMT", Some(-7200)),
            ("Mon, 06 Nov 1995 08:49:40 GMT", Some(365 * 86_400)),
            ("yesterday", None),
            ("", None),
        ];
        for (date, expected) in cases {
            let headers = HeaderMap::from_iter([(header::DATE, date.parse().unwrap())]);
            let (sent, arrived) = (
                "1994-11-06T08:49:37Z".parse().unwrap(),
                "1994-11-06T08:49:40Z".parse().unwrap(),
            );
            let found = difference(&headers, sent, arrived);
            assert_eq!(found, expected.map(SignedDuration::from_secs), "{date}");
        }
        assert_eq!(
            difference(
                &HeaderMap::new(),
                Timestamp::UNIX_EPOCH,
                Timestamp::UNIX_EPOCH
            ),
            None
        );
    }
}
