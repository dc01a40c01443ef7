//! Text forms: bytes in hex, and keys as steps of JSON pointers.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes every byte");
    }
    text
}

/// Escapes a key as a step of a JSON pointer (RFC 6901, section 3).
pub fn pointer_step(key: &str) -> Cow<'_, str> {
    match key.contains(['~', '/']) {
        true => key.replace('~', "~0").replace('/', "~1").into(),
        false => key.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_keys_have_one_form() {
        assert_eq!(hex(&[0, 0x0f, 0xff]), "000fff");
        for (key, step) in [("a", "a"), ("a/b", "a~1b"), ("~1", "~01"), ("", "")] {
            assert_eq!(pointer_step(key), step);
        }
    }
}
