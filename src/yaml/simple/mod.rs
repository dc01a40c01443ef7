//! Reads the simple form of YAML that charts render to, in one pass. Much faster than a reader of
//! all of YAML.
//!
//! The simple form has block maps and lists with one entry per line, plain scalars of one line,
//! quoted strings and flow maps and lists (`{a: [1, 2]}`) that end on their line, literal blocks
//! (`|`), and comments. This reader leaves any other text, valid or not, to the complete reader
//! ([`super::meaning`], [`super::events`]), which also reports errors. If in doubt, it declines.
//! What it reads, the complete reader reads as the same value: a property test and a fuzz target
//! compare the two.

mod flow;

use super::{
    MAX_DEPTH, Positions,
    scalar::{self, Scalar},
};
use crate::encoding::pointer_step;
use serde_json::{Map, Number, Value};

/// Longest key of the simple form. YAML finds a key only if its `:` is within 1024 characters of
/// its beginning (YAML 1.2, 7.4).
const LONGEST_KEY: usize = 1000;

/// Reads the only document of `text`. Returns `None` if it is not in the simple form.
pub fn read(text: &str) -> Option<Value> {
    Reader::new(text, 1).document()
}

/// Like [`read`], with the positions of all nodes. `text` starts on the 1-based line `first` of a
/// stream.
pub fn read_with_positions(text: &str, first: usize) -> Option<(Value, Positions)> {
    let mut reader = Reader {
        path: Some(Path::default()),
        ..Reader::new(text, first)
    };
    let value = reader.document()?;
    Some((value, reader.path?.positions))
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    /// Index of the next byte to read.
    at: usize,
    /// 1-based line of that byte in the stream, and the index at which the line begins.
    line: usize,
    line_begins: usize,
    /// Column at which the content of the current line, or of its innermost entry, begins. `None`
    /// at the end of the text.
    column: Option<usize>,
    /// Stack of unfinished maps and lists. Each is allocated with its exact size when it ends.
    entries: Vec<(String, Value)>,
    items: Vec<Value>,
    /// Present only if positions are requested.
    path: Option<Path>,
}

/// The current place of the reader in the document.
#[derive(Default)]
struct Path {
    /// JSON pointer of the current node.
    pointer: String,
    positions: Positions,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, line: usize) -> Reader<'t> {
        let bytes = text.as_bytes();
        let (entries, items) = (Vec::with_capacity(16), Vec::with_capacity(8));
        Reader {
            text,
            bytes,
            at: 0,
            line,
            line_begins: 0,
            column: None,
            entries,
            items,
            path: None,
        }
    }

    fn document(&mut self) -> Option<Value> {
        if self.text.starts_with("---") {
            self.at = 3;
            self.end_of_line()?;
        }
        self.next_line()?;
        if self.column.is_none() {
            return Some(Value::Null);
        }
        self.note(self.at);
        let value = self.block(0)?;
        self.column.is_none().then_some(value)
    }

    /// Records that the current node begins at this byte of the current line.
    fn note(&mut self, at: usize) {
        if let Some(path) = &mut self.path {
            let column = self.text[self.line_begins..at].chars().count() + 1;
            path.positions
                .insert(path.pointer.clone(), (self.line, column));
        }
    }

    /// Reads a child of the current node. `step` writes its key or index.
    fn below<T>(
        &mut self,
        step: impl FnOnce(&mut String),
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let Some(path) = &mut self.path else {
            return read(self);
        };
        let length = path.pointer.len();
        path.pointer.push('/');
        step(&mut path.pointer);
        let read = read(self);
        if let Some(path) = &mut self.path {
            path.pointer.truncate(length);
        }
        read
    }

    fn peek(&self) -> u8 {
        self.byte(0)
    }

    /// Returns the byte `ahead` positions further on. After the end of the text it is a line break.
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    fn skip_spaces(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    /// Skips from the end of a value to the end of its line. Only spaces, and a comment after a
    /// space, may follow.
    fn end_of_line(&mut self) -> Option<()> {
        self.skip_spaces();
        match self.peek() {
            b'\n' => Some(()),
            b'#' if self.bytes[self.at - 1] == b' ' => self.skip_comment(),
            _ => None,
        }
    }

    fn skip_comment(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let comment = &rest[..rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len())];
        self.at += comment.len();
        comment.iter().all(|byte| is_in_text(*byte)).then_some(())
    }

    /// Skips from the end of a line to the content of the next line that has any.
    fn next_line(&mut self) -> Option<()> {
        while self.at < self.bytes.len() {
            // At the beginning of the text there is no line to end.
            if self.peek() == b'\n' {
                self.at += 1;
                self.line += 1;
            }
            self.line_begins = self.at;
            self.skip_spaces();
            match self.peek() {
                b'\n' => {}
                b'#' => self.skip_comment()?,
                _ => {
                    self.column = Some(self.at - self.line_begins);
                    return Some(());
                }
            }
        }
        self.column = None;
        Some(())
    }

    /// Reads a block map or list that begins here.
    fn block(&mut self, depth: usize) -> Option<Value> {
        if depth == MAX_DEPTH {
            return None;
        }
        if self.is_at_item() {
            self.block_list(depth)
        } else {
            self.block_map(depth)
        }
    }

    /// Returns true if a `-` that begins an item is next.
    fn is_at_item(&self) -> bool {
        self.peek() == b'-' && matches!(self.byte(1), b' ' | b'\n')
    }

    fn block_list(&mut self, depth: usize) -> Option<Value> {
        let column = self.column;
        let first = self.items.len();
        while self.column == column && self.is_at_item() {
            let index = self.items.len() - first;
            let item = self.below(
                |pointer| pointer.push_str(&index.to_string()),
                |reader| reader.block_item(column?, depth),
            )?;
            self.items.push(item);
        }
        // A line that is indented further belongs to no item.
        (self.column <= column).then(|| Value::Array(self.items.drain(first..).collect()))
    }

    fn block_item(&mut self, column: usize, depth: usize) -> Option<Value> {
        let dash = self.at;
        self.at += 1;
        self.skip_spaces();
        if matches!(self.peek(), b'\n' | b'#') {
            self.end_of_line()?;
            self.next_line()?;
            let is_below = self.column > Some(column);
            // An empty item has no position.
            if !is_below {
                return self.path.is_none().then_some(Value::Null);
            }
            self.note(self.at);
            return self.block(depth + 1);
        }
        self.note(self.at);
        if self.is_at_item() || self.is_at_key() {
            self.column = Some(column + self.at - dash);
            return self.block(depth + 1);
        }
        self.value_on_line(column, depth)
    }

    fn block_map(&mut self, depth: usize) -> Option<Value> {
        let column = self.column;
        let first = self.entries.len();
        while self.column == column {
            let begins = self.at;
            let key = self.key()?;
            let value = self.below(
                |pointer| pointer.push_str(&pointer_step(&key)),
                |reader| {
                    reader.note(begins);
                    reader.block_value(column?, depth)
                },
            )?;
            self.entries.push((key, value));
        }
        if self.column > column {
            return None;
        }
        self.map(first)
    }

    fn block_value(&mut self, column: usize, depth: usize) -> Option<Value> {
        self.skip_spaces();
        if !matches!(self.peek(), b'\n' | b'#') {
            return self.value_on_line(column, depth);
        }
        self.end_of_line()?;
        self.next_line()?;
        // The items of a key's list may have the same column as the key.
        match self.column > Some(column) || self.column == Some(column) && self.is_at_item() {
            true => self.block(depth + 1),
            false => Some(Value::Null),
        }
    }

    /// Reads a value that begins on this line, and skips to the next line. The map or list that
    /// contains it is at `column`.
    fn value_on_line(&mut self, column: usize, depth: usize) -> Option<Value> {
        let value = match self.peek() {
            b'{' | b'[' | b'"' | b'\'' => self.flow(depth + 1)?,
            b'|' => return self.literal(column),
            _ => self.plain()?,
        };
        self.end_of_line()?;
        self.next_line()?;
        Some(value)
    }

    /// Reads a literal block, including its last line.
    fn literal(&mut self, column: usize) -> Option<Value> {
        self.at += 1;
        let keep = self.peek();
        self.at += usize::from(matches!(keep, b'-' | b'+'));
        self.end_of_line()?;
        let (mut text, mut indent) = (String::new(), None);
        // Line breaks are added only if text follows them.
        let mut breaks = 0;
        loop {
            let line = self.bytes.get(self.at + 1..)?;
            let length = line.iter().position(|byte| *byte == b'\n');
            let blanks = line
                .iter()
                .position(|byte| *byte != b' ')
                .unwrap_or(line.len());
            let is_blank = length == Some(blanks) || blanks == line.len();
            match indent {
                // The first line sets the indentation of the block. Blank lines before it might
                // contradict it.
                None if is_blank && blanks > 0 => return None,
                None if !is_blank && blanks <= column => return None,
                None if !is_blank => indent = Some(blanks),
                Some(indent) if !is_blank && blanks < indent => break,
                _ => {}
            }
            if line.is_empty() {
                break;
            }
            let (Some(length), indent) = (length, indent.unwrap_or(0)) else {
                return None;
            };
            if length > indent {
                let begins = self.at + 1 + indent;
                let line = &self.text[begins..self.at + 1 + length];
                if !line.bytes().all(|byte| is_in_text(byte) || byte == b'\t')
                    || (text.is_empty() && line.starts_with('\t'))
                {
                    return None;
                }
                text.extend(std::iter::repeat_n('\n', breaks));
                text.push_str(line);
                breaks = 0;
            }
            breaks += 1;
            self.at += 1 + length;
            self.line += 1;
        }
        if text.is_empty() {
            return None;
        }
        match keep {
            b'-' => {}
            b'+' => text.extend(std::iter::repeat_n('\n', breaks)),
            _ => text.push('\n'),
        }
        self.next_line()?;
        Some(Value::String(text))
    }

    /// Returns true if a key seems to begin here, so that this is a map. Reading the key checks it.
    fn is_at_key(&self) -> bool {
        let rest = &self.bytes[self.at..];
        let end = match rest.first() {
            Some(quote @ (b'"' | b'\'')) => rest[1..]
                .iter()
                .position(|byte| byte == quote || *byte == b'\n')
                .map(|end| end + 2),
            _ => rest.iter().position(|byte| !is_in_key(*byte)),
        };
        end.is_some_and(|end| {
            rest.get(end) == Some(&b':') && matches!(rest.get(end + 1), Some(b' ' | b'\n') | None)
        })
    }

    /// Reads a key and its `:`. A space or the end of the line follows.
    fn key(&mut self) -> Option<String> {
        let start = self.at;
        let key = match self.peek() {
            b'"' | b'\'' => self.quoted()?,
            first if first.is_ascii_alphanumeric() || matches!(first, b'_' | b'/' | b'.') => {
                while is_in_key(self.peek()) {
                    self.at += 1;
                }
                let key = &self.text[start..self.at];
                // A key that begins with dots might end a document.
                if key.starts_with("..") || !scalar::keeps_its_text_as_key(key) {
                    return None;
                }
                key.to_owned()
            }
            _ => return None,
        };
        let is_key = self.peek() == b':'
            && matches!(self.byte(1), b' ' | b'\n')
            && self.at - start <= LONGEST_KEY;
        self.at += 1;
        is_key.then_some(key)
    }

    /// Reads a plain scalar in block form: everything up to a comment or the end of the line.
    fn plain(&mut self) -> Option<Value> {
        let start = self.at;
        let begins_well = match self.peek() {
            b'-' => matches!(self.byte(1), b'-' | b'.') || self.byte(1).is_ascii_alphanumeric(),
            first => first.is_ascii_alphanumeric() || b"/_.($+^;\\<=~".contains(&first),
        };
        if !begins_well {
            return None;
        }
        loop {
            match self.peek() {
                b'\n' => break,
                b' ' if self.byte(1) == b'#' => break,
                b':' if matches!(self.byte(1), b' ' | b'\n') => return None,
                // The complete reader looks at everything that might be a tag or an anchor.
                b'!' | b'&' => return None,
                b' '..=b'~' => self.at += 1,
                _ => return None,
            }
        }
        meaning_of(self.text[start..self.at].trim_end_matches(' '))
    }

    fn map(&mut self, first: usize) -> Option<Value> {
        let mut map = Map::with_capacity(self.entries.len() - first);
        for (key, value) in self.entries.drain(first..) {
            if map.insert(key, value).is_some() {
                return None;
            }
        }
        Some(Value::Object(map))
    }
}

fn is_in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
}

/// Returns true if a byte may be part of a comment or a quoted string.
///
/// Allows visible ASCII, and bytes of the characters from U+00C0 to U+DFFF and above U+FFFF. All
/// readers treat these the same way.
fn is_in_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | 0x80..=0xbf | 0xc3..=0xed | 0xf0..=0xf4)
}

/// Returns the meaning of a plain scalar, or `None` if it has none in JSON.
fn meaning_of(text: &str) -> Option<Value> {
    match scalar::resolve(text) {
        Scalar::Text => Some(Value::String(text.to_owned())),
        Scalar::Null => Some(Value::Null),
        Scalar::Bool(flag) => Some(Value::Bool(flag)),
        Scalar::Int(number) => Some(number.into()),
        Scalar::UInt(number) => Some(number.into()),
        Scalar::Float(number) => Number::from_f64(number).map(Value::Number),
        Scalar::TooLarge | Scalar::NotFinite | Scalar::Merge => None,
    }
}
