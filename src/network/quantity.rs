//! Durations and sizes in the syntax of network files.

use std::time::Duration;

/// Fabric keeps sizes in 32 bits (`orderer/configuration.proto`, `BatchSize`).
pub const MOST: u64 = u32::MAX as u64;

/// Parses a duration in Go's syntax, without fractions or signs: `2s`, `500ms`, `1m30s`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(unit.len());
        let part = match &unit[..end] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = &unit[end..];
    }
    (total > Duration::ZERO).then_some(total)
}

/// Parses a number of bytes: `1048576`, `10 MB` as in configtx.yaml, `10Mi` as in Kubernetes.
/// Fabric's units are powers of 1024 (`common/viperutil/config_util.go`, `byteSizeDecodeHook`).
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "ki" => 1 << 10,
        "m" | "mb" | "mi" => 1 << 20,
        "g" | "gb" | "gi" => 1 << 30,
        _ => return None,
    };
    number
        .checked_mul(unit)
        .filter(|bytes| (1..=MOST).contains(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        for (text, millis) in [
            ("2s", Some(2_000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("0s", None),
            ("2", None),
            ("s", None),
            ("", None),
            ("-2s", None),
            ("2 s", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(
                duration(text).map(|time| time.as_millis()),
                millis,
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_fabric_s_and_kubernetes() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("10 MB", Some(10 << 20)),
            ("2Mi", Some(2 << 20)),
            ("512KB", Some(512 << 10)),
            ("1 gb", Some(1 << 30)),
            ("0", None),
            ("MB", None),
            ("10 mib", None),
            ("-1", None),
            ("4 GB", None),
            ("99999999999 GB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
