//! Flow maps and lists, and quoted strings.

use super::{Reader, is_in_text, meaning_of};
use crate::encoding::pointer_step;
use crate::yaml::MAX_DEPTH;
use serde_json::Value;

impl Reader<'_> {
    /// Reads a quoted string, a flow map or list, or a plain scalar inside one.
    pub(super) fn flow(&mut self, depth: usize) -> Option<Value> {
        match self.peek() {
            b'"' | b'\'' => self.quoted().map(Value::String),
            b'[' | b'{' if depth == MAX_DEPTH => None,
            b'[' => self.flow_list(depth),
            b'{' => self.flow_map(depth),
            _ => self.flow_plain(),
        }
    }

    fn flow_list(&mut self, depth: usize) -> Option<Value> {
        let first = self.items.len();
        let mut more = self.begins_flow(b']');
        while more {
            let (index, begins) = (self.items.len() - first, self.at);
            let item = self.below(
                |pointer| pointer.push_str(&index.to_string()),
                |reader| {
                    reader.note(begins);
                    reader.flow(depth + 1)
                },
            )?;
            self.items.push(item);
            more = self.goes_on(b']')?;
        }
        Some(Value::Array(self.items.drain(first..).collect()))
    }

    fn flow_map(&mut self, depth: usize) -> Option<Value> {
        let first = self.entries.len();
        let mut more = self.begins_flow(b'}');
        while more {
            let begins = self.at;
            let key = self.key()?;
            self.skip_spaces();
            let value = self.below(
                |pointer| pointer.push_str(&pointer_step(&key)),
                |reader| {
                    reader.note(begins);
                    reader.flow(depth + 1)
                },
            )?;
            self.entries.push((key, value));
            more = self.goes_on(b'}')?;
        }
        self.map(first)
    }

    /// Skips the opening bracket of a map or list. Returns false, and skips the closing bracket, if
    /// it is empty.
    fn begins_flow(&mut self, end: u8) -> bool {
        self.at += 1;
        self.skip_spaces();
        let is_empty = self.peek() == end;
        self.at += usize::from(is_empty);
        !is_empty
    }

    /// Skips a comma or a closing bracket. Returns true if another entry follows.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        self.skip_spaces();
        let sign = self.peek();
        self.at += 1;
        match sign {
            b',' => {
                self.skip_spaces();
                Some(true)
            }
            sign if sign == end => Some(false),
            _ => None,
        }
    }

    fn flow_plain(&mut self) -> Option<Value> {
        let start = self.at;
        let first = self.peek();
        if !(first.is_ascii_alphanumeric()
            || matches!(first, b'/' | b'_' | b'.')
            || first == b'-' && self.byte(1).is_ascii_alphanumeric())
        {
            return None;
        }
        while self.peek().is_ascii_alphanumeric() || b"/_.-+=@%$~*() ".contains(&self.peek()) {
            self.at += 1;
        }
        let text = self.text[start..self.at].trim_end_matches(' ');
        self.at = start + text.len();
        meaning_of(text)
    }

    /// Reads a quoted string that ends on its line.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let quote = self.peek();
        self.at += 1;
        let (mut text, mut copied) = (String::new(), self.at);
        loop {
            let byte = self.peek();
            match byte {
                b'\\' if quote == b'"' => {
                    text.push_str(&self.text[copied..self.at]);
                    text.push(self.escaped()?);
                    copied = self.at;
                }
                // Two single quotes are an escaped quote.
                b'\'' if quote == byte && self.byte(1) == byte => return None,
                _ if byte == quote => break,
                byte if is_in_text(byte) => self.at += 1,
                _ => return None,
            }
        }
        let rest = &self.text[copied..self.at];
        self.at += 1;
        if text.is_empty() {
            return Some(rest.to_owned());
        }
        text.push_str(rest);
        Some(text)
    }

    /// Reads a character that JSON escapes, except for surrogate pairs.
    fn escaped(&mut self) -> Option<char> {
        let sign = self.byte(1);
        self.at += 2;
        match sign {
            b'"' | b'\\' => Some(char::from(sign)),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            b'u' => {
                let digits = self
                    .text
                    .get(self.at..self.at + 4)
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
                self.at += 4;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)
            }
            _ => None,
        }
    }
}
