//! The meaning of a plain (unquoted) scalar to kubectl, Helm and Fabric, which all use Go's
//! yaml.v2.
//!
//! Helm users write the values files, and kubectl reads the rendered text, so this program follows
//! yaml.v2. It differs from YAML 1.2 in the words of YAML 1.1 (`on`, `no`, `y`), octal numbers
//! (`0777`) and underscores (`1_000`). Unlike Go, this module distinguishes numbers that would lose
//! digits and numbers that JSON cannot hold, so that the reader can refuse them.

/// The meaning of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    UInt(u64),
    Float(f64),
    /// An integer that fits neither `i64` nor `u64`.
    TooLarge,
    /// `.inf` and `.nan`.
    NotFinite,
    /// `<<`, which merges a map when it is used as a key.
    Merge,
    Text,
}

impl Scalar {
    /// Returns the spelling that every YAML reader understands the same way.
    ///
    /// Returns `None` for strings and for values without such a spelling.
    pub fn canonical(&self) -> Option<String> {
        match self {
            Scalar::Null => Some("null".into()),
            Scalar::Bool(value) => Some(value.to_string()),
            Scalar::Int(value) => Some(value.to_string()),
            Scalar::UInt(value) => Some(value.to_string()),
            Scalar::Float(value) => Some(float(*value)),
            Scalar::TooLarge | Scalar::NotFinite | Scalar::Merge | Scalar::Text => None,
        }
    }
}

/// Writes a finite float in the only form that YAML 1.1 and 1.2 both read as a float: with a point,
/// and with a sign in the exponent.
pub fn float(value: f64) -> String {
    let text = serde_json::to_string(&value).expect("a float is JSON or null");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, ""));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    match exponent.chars().next() {
        None => format!("{mantissa}{point}"),
        Some('-' | '+') => format!("{mantissa}{point}e{exponent}"),
        Some(_) => format!("{mantissa}{point}e+{exponent}"),
    }
}

/// Returns the integer value of a float, as Go writes 1.0 and 1e3 into JSON as 1 and 1000.
///
/// From 2^53 on, a float can stand for several integers and is not converted.
pub fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value as i64)
}

/// Returns the meaning of a plain scalar.
pub fn resolve(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else {
        return Scalar::Null;
    };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' | b'<' => {
            word(text)
        }
        _ => Scalar::Text,
    }
}

/// Returns true if a string from `serde_yaml` must have been quoted.
///
/// `serde_yaml` and Go read these plain words as something other than a string. For all other words
/// (`on`, `0777`) only the events show whether they were quoted.
pub fn was_quoted(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole =
        |text: &str| digits(text) && text.len() < 19 && (text == "0" || !text.starts_with('0'));
    let number = text.strip_prefix('-').unwrap_or(text);
    match text {
        "" | "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False"
        | "FALSE" => true,
        _ => match number.split_once('.') {
            Some((before, after)) => whole(before) && digits(after),
            None => whole(number),
        },
    }
}

/// Returns true if a plain key keeps its text when kubectl converts its map to JSON.
///
/// Go reads the key `on` as the boolean `true` and `0x10` as 16, and writes that as the key.
pub fn keeps_its_text_as_key(text: &str) -> bool {
    match resolve(text) {
        Scalar::Text => true,
        Scalar::Bool(value) => value.to_string() == text,
        Scalar::Int(value) => value.to_string() == text,
        Scalar::UInt(value) => value.to_string() == text,
        // Go writes such a key as a 32-bit float.
        Scalar::Float(value) => (value as f32).to_string() == text,
        Scalar::Null | Scalar::TooLarge | Scalar::NotFinite | Scalar::Merge => false,
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "<<" => Scalar::Merge,
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    // Fast path: most numbers are a few digits without a base prefix.
    if text.len() < 19
        && !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        return Scalar::Int(number);
    }
    if let ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
    | "-.inf" | "-.Inf" | "-.INF" = text
    {
        return Scalar::NotFinite;
    }
    // Go drops underscores if the number begins with a digit or a sign, but not if it begins with a
    // point.
    let plain = if text.starts_with('.') {
        text.to_owned()
    } else {
        text.replace('_', "")
    };
    if let Some(integer) = integer(&plain) {
        return integer;
    }
    if !is_float(&plain) {
        return Scalar::Text;
    }
    match plain.strip_prefix('+').unwrap_or(&plain).parse::<f64>() {
        // Only digits: an integer beyond 64 bits. Go reads numbers with a leading zero that are not
        // octal (`08`) as floats.
        Ok(value)
            if value.abs() >= 9e18
                && plain
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-')) =>
        {
            Scalar::TooLarge
        }
        Ok(value) if value.is_finite() => whole(value).map_or(Scalar::Float(value), Scalar::Int),
        _ => Scalar::Text,
    }
}

/// Parses an integer by Go's rules: `0x`, `0o`, `0b` or a leading zero choose the base.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (base, digits) = match prefix.as_str() {
        "0x" => (16, &digits[2..]),
        "0o" => (8, &digits[2..]),
        "0b" => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let Ok(magnitude) = u64::from_str_radix(digits, base) else {
        return Some(Scalar::TooLarge);
    };
    Some(match (negative, i64::try_from(magnitude)) {
        (false, Ok(value)) => Scalar::Int(value),
        (false, Err(_)) => Scalar::UInt(magnitude),
        (true, Ok(value)) => Scalar::Int(-value),
        (true, Err(_)) if magnitude == 1 << 63 => Scalar::Int(i64::MIN),
        (true, Err(_)) => Scalar::TooLarge,
    })
}

/// Matches the floats of Go's yaml: `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubectl() {
        let (yes, no) = (Scalar::Bool(true), Scalar::Bool(false));
        #[rustfmt::skip]
        let table = [
            ("on", yes.clone()), ("Yes", yes.clone()), ("y", yes.clone()), ("TRUE", yes), ("off", no.clone()), ("n", no),
            ("oN", Scalar::Text), ("~", Scalar::Null), ("", Scalar::Null), ("Null", Scalar::Null), ("None", Scalar::Text),
            ("0777", Scalar::Int(511)), ("-0777", Scalar::Int(-511)), ("08", Scalar::Int(8)), ("0o777", Scalar::Int(511)),
            ("0x1F", Scalar::Int(31)), ("-0x1f", Scalar::Int(-31)), ("0B11", Scalar::Int(3)), ("+1", Scalar::Int(1)),
            ("1_000", Scalar::Int(1000)), ("1__0", Scalar::Int(10)), ("_1", Scalar::Text), ("1e3", Scalar::Int(1000)),
            ("1.0", Scalar::Int(1)), ("1.", Scalar::Int(1)), (".5", Scalar::Float(0.5)), ("+.5", Scalar::Float(0.5)),
            ("1.10", Scalar::Float(1.1)), ("1_0.5", Scalar::Float(10.5)), ("._5", Scalar::Text), ("1e400", Scalar::Text),
            ("1e20", Scalar::Float(1e20)), ("18446744073709551615", Scalar::UInt(u64::MAX)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)), ("18446744073709551616", Scalar::TooLarge),
            ("-9223372036854775809", Scalar::TooLarge), (".inf", Scalar::NotFinite), ("-.INF", Scalar::NotFinite),
            (".nan", Scalar::NotFinite), ("inf", Scalar::Text), ("-inf", Scalar::Text), ("12:30", Scalar::Text),
            ("2024-01-01", Scalar::Text), ("1.2.3", Scalar::Text), ("0x", Scalar::Text), ("0xg", Scalar::Text),
            ("-", Scalar::Text), (".", Scalar::Text), ("1e", Scalar::Text), ("=", Scalar::Text), ("<<", Scalar::Merge),
        ];
        for (text, meaning) in table {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }

    #[test]
    fn keys_that_kubectl_would_rename_are_known() {
        for key in [
            "a",
            "1",
            "-5",
            "true",
            "1.5",
            "2.5.9",
            "2024-01-01",
            "onward",
        ] {
            assert!(keeps_its_text_as_key(key), "{key}");
        }
        for key in [
            "on",
            "y",
            "True",
            "null",
            "~",
            "",
            "0x10",
            "0777",
            "1.10",
            "1e3",
            "1_000",
            "<<",
            "18446744073709551616",
        ] {
            assert!(!keeps_its_text_as_key(key), "{key}");
        }
    }
}
