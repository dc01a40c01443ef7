//! The encodings of a secret in other texts: plain, JSON, base64 and URL encoding.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// An encoding of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub text: String,
    /// Index of the secret.
    pub of: usize,
    /// Whether the characters around it contain bits of the secret's first and last bytes.
    pub is_base64: bool,
}

/// Encodes all but RFC 3986's unreserved characters, like Go's `url.QueryEscape` and Python's
/// `quote`.
const ALL_RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Encodes like JavaScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &ALL_RESERVED
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// Encodes like Go's `url.UserPassword`.
const USER_INFO: &AsciiSet = &ALL_RESERVED
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// Returns all encodings of the secrets, longest first, so that a secret that contains another is
/// found as a whole.
pub fn forms(secrets: &[String]) -> Vec<Form> {
    let mut forms = Vec::new();
    for (of, secret) in secrets.iter().enumerate() {
        let mut add = |text: String, is_base64: bool| {
            forms.push(Form {
                text,
                of,
                is_base64,
            })
        };
        add(secret.clone(), false);
        add(inside_json(secret), false);
        for reserved in [NON_ALPHANUMERIC, ALL_RESERVED, COMPONENT, USER_INFO] {
            let encoded = utf8_percent_encode(secret, reserved).to_string();
            add(encoded.replace("%20", "+"), false);
            add(lower_hex(&encoded), false);
            add(encoded, false);
        }
        for before in 0..3 {
            for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
                add(within_base64(&engine, secret, before), true);
            }
        }
    }
    // The plain form wins over an equal encoding.
    forms.sort_by(|a, b| {
        b.text
            .len()
            .cmp(&a.text.len())
            .then_with(|| a.text.cmp(&b.text))
            .then(a.is_base64.cmp(&b.is_base64))
    });
    forms.dedup_by(|a, b| a.text == b.text);
    forms
}

/// Returns a text as it appears inside a JSON string.
pub fn inside_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// Returns the base64 characters that depend only on the secret when `before` bytes (modulo 3)
/// precede it.
fn within_base64(engine: &impl Engine, secret: &str, before: usize) -> String {
    let bytes = [&[0; 2][..before], secret.as_bytes()].concat();
    let encoded = engine.encode(&bytes);
    // Each base64 character holds six bits.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded[first..end].to_owned()
}

fn lower_hex(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        text.push('%');
        text.push_str(&hex.to_lowercase());
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_base64_wherever_it_stands() {
        let secret = "s3cr3t?>".to_owned();
        let forms = forms(std::slice::from_ref(&secret));
        for before in ["", "u", "us", "use", "user:", "user: "] {
            for after in ["", "@", "@db", "@db/a"] {
                let text = format!("{before}{secret}{after}");
                for encoded in [
                    BASE64_STANDARD_NO_PAD.encode(&text),
                    BASE64_URL_SAFE_NO_PAD.encode(&text),
                ] {
                    assert!(
                        forms
                            .iter()
                            .any(|form| form.is_base64 && encoded.contains(&form.text)),
                        "{text}: {encoded}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_secret_is_found_in_urls_and_in_json() {
        let forms = forms(&["p@ss w\"rd/é=".to_owned()]);
        let known = |text: &str| forms.iter().any(|form| form.text == text);
        for text in [
            "p%40ss%20w%22rd%2F%C3%A9%3D",
            "p%40ss%20w%22rd%2f%c3%a9%3d",
            "p%40ss+w%22rd%2F%C3%A9%3D",
            "p%40ss%20w%22rd%2F%C3%A9=",
        ] {
            assert!(known(text), "{text}: {forms:?}");
        }
        let forms = super::forms(&["it's-(so)".to_owned()]);
        let other = |text: &str| forms.iter().any(|form| form.text == text);
        assert!(
            other("it's-(so)") && other("it%27s-%28so%29") && other("it%27s%2D%28so%29"),
            "{forms:?}"
        );
        assert!(known("p@ss w\\\"rd/é="));
    }
}
