//! Parses Kubernetes quantities: `10Gi`, `500M`, `1.5Ti`, `1e9`.

/// Returns the quantity in bytes, or `None` if the text is not a quantity.
///
/// Source: `k8s.io/apimachinery/pkg/api/resource/quantity.go`.
pub fn bytes(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1048576.0),
        ("Gi", 1073741824.0),
        ("Ti", 1099511627776.0),
        ("Pi", 1125899906842624.0),
        ("Ei", 1152921504606846976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    // `1E` is an exabyte, but `1E3` is a thousand. Units are tried first; the empty unit at the end
    // handles exponents.
    UNITS
        .iter()
        .find_map(|(unit, size)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * size))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn quantities_compare_across_units() {
        for (text, value) in [
            ("10Gi", 10.0 * 1073741824.0),
            ("500M", 5e8),
            ("1.5k", 1500.0),
            ("1e9", 1e9),
            ("1E3", 1e3),
            ("7", 7.0),
        ] {
            assert_eq!(bytes(text), Some(value), "{text}");
        }
        assert!(bytes("1Ti") > bytes("1000Gi") && bytes("1T") < bytes("1Ti"));
        assert_eq!(bytes("much"), None);
    }
}
