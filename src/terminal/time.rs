//! Formats times. All are UTC, because the operators of a cluster may be in several time zones.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Formats for people: `2026-11-22 19:46:05 UTC`.
pub fn utc(time: Timestamp) -> String {
    civil(time).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Formats for programs: `2026-11-22T19:46:05Z` (RFC 3339), as Kubernetes does.
pub fn rfc3339(time: Timestamp) -> String {
    civil(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the age in kubectl's short form: `45s`, `12m`, `5h`, `3d`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - since.as_second()).max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn civil(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(time)
}

/// Elements of a Go layout (the reference time `Mon Jan 2 15:04:05 MST 2006`) and their strftime
/// equivalents. Longer elements come before their prefixes. <https://pkg.go.dev/time#pkg-constants>
const LAYOUT: [(&str, &str); 28] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("2006", "%Y"),
    ("-07:00", "+00:00"),
    ("-0700", "+0000"),
    ("-07", "+00"),
    ("Z07:00", "Z"),
    ("Z0700", "Z"),
    (".000000000", ".%9f"),
    (".000000", ".%6f"),
    (".000", ".%3f"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("_2", "%e"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
];

/// Formats for `--time-format` with a Go layout, such as `2006-01-02 15:04`.
pub fn layout(time: Timestamp, layout: &str) -> String {
    let civil = civil(time);
    let mut text = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        match LAYOUT.iter().find(|(element, _)| rest.starts_with(element)) {
            Some((element, format)) => {
                text.push_str(&civil.strftime(format).to_string());
                rest = &rest[element.len()..];
            }
            None => {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_utc_and_say_so() {
        let time = at("2026-11-02T09:06:05.120Z");
        assert_eq!(rfc3339(time), "2026-11-02T09:06:05Z");
        assert_eq!(utc(time), "2026-11-02 09:06:05 UTC");
    }

    #[test]
    fn layouts_are_go_s() {
        let time = at("2026-11-02T21:06:05.120Z");
        for (format, expected) in [
            ("2006-01-02", "2026-11-02"),
            ("2006-01-02T15:04:05Z07:00", "2026-11-02T21:06:05Z"),
            (
                "Mon, 02 Jan 2006 15:04:05 MST",
                "Mon, 02 Nov 2026 21:06:05 UTC",
            ),
            (
                "January _2 03:04 PM .000 -0700",
                "November  2 09:06 PM .120 +0000",
            ),
        ] {
            assert_eq!(layout(time, format), expected, "{format}");
        }
    }

    #[test]
    fn ages_are_kubectl_s() {
        let now = at("2026-11-22T12:00:00Z");
        for (since, expected) in [
            ("2026-11-22T11:59:15Z", "45s"),
            ("2026-11-22T11:48:00Z", "12m"),
            ("2026-11-22T07:00:00Z", "5h"),
            ("2026-11-19T12:00:00Z", "3d"),
            ("2026-11-22T13:00:00Z", "0s"),
        ] {
            assert_eq!(age(at(since), now), expected);
        }
    }
}
