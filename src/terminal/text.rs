//! Text for the terminal. All text from outside (records, objects, logs, file names, errors) is
//! escaped when it is added, so that only this program sets styles, and nothing else controls the
//! user's terminal.

use crate::yaml::turns_text;
use anstyle::Style;
use std::borrow::Cow;
use std::fmt::Write;

/// Text that is safe to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Adds text, with its control characters made visible.
    pub fn push(&mut self, text: impl AsRef<str>) {
        self.0.push_str(&harmless(text.as_ref()));
    }

    pub fn push_styled(&mut self, style: Style, text: impl AsRef<str>) {
        let text = harmless(text.as_ref());
        match style == Style::new() {
            true => self.0.push_str(&text),
            false => write!(self.0, "{style}{text}{style:#}").expect("a String takes every write"),
        }
    }

    pub fn append(&mut self, text: &Text) {
        self.0.push_str(&text.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text without styles.
    pub fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.0).to_string()
    }

    /// Returns the text with styles, only for streams that remove styles where necessary.
    pub(super) fn as_styled(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Text {
        Text(harmless(text.as_ref()).into_owned())
    }
}

/// Makes the control characters in outside text visible.
///
/// These are C0 except for line feed and tab, DEL, C1, and characters that change the direction of
/// writing, so that a name looks like another. Windows line ends become line feeds.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_clean_ascii(text.as_bytes()) || !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    Cow::Owned(
        text.chars()
            .map(|c| {
                if is_harmful(c) {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            })
            .collect(),
    )
}

/// Like [`harmless`], on one line.
pub fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

/// Escapes control characters that JSON allows in strings (DEL, C1, changes of the direction of
/// writing). The meaning stays the same.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    if is_clean_ascii(json.as_bytes()) || !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match is_harmful(c) {
            true => write!(escaped, "\\u{:04x}", c as u32).expect("a String takes every write"),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

pub fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || turns_text(c)
}

/// Returns true if text is ASCII without control characters other than line feed and tab.
///
/// Most text is, so this checks 16 bytes at a time.
fn is_clean_ascii(bytes: &[u8]) -> bool {
    const EACH: u128 = u128::MAX / 0xff;
    const HIGHEST: u128 = 0x80 * EACH;
    const TO_SPACE: u128 = (0x80 - b' ' as u128) * EACH;
    const ANY: u128 = 0x7f * EACH;
    const LINE_FEED: u128 = b'\n' as u128 * EACH;
    const TAB: u128 = b'\t' as u128 * EACH;

    let (words, rest) = bytes.as_chunks::<16>();
    for word in words {
        // The highest bit of each byte is the result. If it was not set before, no sum carries into
        // the next byte.
        let word = u128::from_ne_bytes(*word);
        if word & HIGHEST != 0 {
            return false;
        }
        let is_no_delete = (word ^ ANY) + ANY;
        let is_visible = word + TO_SPACE;
        if is_visible & is_no_delete & HIGHEST == HIGHEST {
            continue;
        }
        let (is_no_line_feed, is_no_tab) = ((word ^ LINE_FEED) + ANY, (word ^ TAB) + ANY);
        if (is_visible | !(is_no_line_feed & is_no_tab)) & is_no_delete & HIGHEST != HIGHEST {
            return false;
        }
    }
    rest.iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::RED;
    use serde_json::{Value, json};

    #[test]
    fn what_steers_a_terminal_or_turns_the_text_is_made_visible() {
        let hostile = "a\u{1b}[2J\u{202e}b\u{2066}c\u{200f}\n\td é\u{7f}\u{9b}31m\r\u{8}\u{61c}\0";
        let shown = "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}\n\td é\u{fffd}\u{fffd}31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}";
        assert_eq!(harmless(hostile), shown);
        assert_eq!(harmless("two\r\nlines\r\n"), "two\nlines\n");
        assert!(matches!(harmless("plain\n\ttext, é too"), Cow::Borrowed(_)));
        assert_eq!(one_line("a\nb\tc\u{1b}d"), "a b c\u{fffd}d");
    }

    #[test]
    fn each_harmful_byte_is_found_wherever_it_stands() {
        for at in [0, 1, 63, 127, 128, 129, 255, 256, 300] {
            for byte in (0..=0x1f)
                .chain([0x7f])
                .filter(|byte| !matches!(byte, b'\n' | b'\t'))
            {
                let mut bytes = vec![b'x'; 301];
                bytes[at] = byte;
                let text = String::from_utf8(bytes).expect("ASCII");
                assert!(
                    harmless(&text).contains(char::REPLACEMENT_CHARACTER),
                    "{byte:#x} at {at}"
                );
            }
        }
        let clean: Vec<u8> = (b' '..=b'~').chain(*b"\n\t").cycle().take(300).collect();
        assert!((0..100).all(|start| is_clean_ascii(&clean[start..])));
    }

    #[test]
    fn only_the_program_styles() {
        let mut text = Text::from("\u{1b}[8mhidden ");
        text.push_styled(RED, "red\u{1b}[0m");
        assert_eq!(
            text.as_styled(),
            "\u{fffd}[8mhidden \u{1b}[31mred\u{fffd}[0m\u{1b}[0m"
        );
        assert_eq!(text.plain(), "\u{fffd}[8mhidden red\u{fffd}[0m");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let all: String = (0..=0x2100).filter_map(char::from_u32).collect();
        let document = json!({ all.clone(): [all] });
        let printed = harmless_json(&document.to_string()).into_owned();
        assert!(!printed.contains(is_harmful));
        assert_eq!(
            serde_json::from_str::<Value>(&printed).expect("JSON"),
            document
        );
    }
}
