//! Reads and writes YAML. No other room uses a YAML library.
//!
//! Reading is strict: duplicate keys, tags and non-scalar keys are errors with a position. Writing
//! quotes every string that some YAML 1.1 or 1.2 reader would read back as something else.
//!
//! Charts nearly always render to a simple form of YAML, which [`simple`] reads in one pass.
//! `serde_yaml` reads everything else, and reports errors. It does not know the positions of nodes
//! or whether a scalar was quoted. A second walk over the events of the same text ([`events`])
//! finds these. It runs only for positions, for the exact place of an error, and for the few plain
//! scalars that kubectl and Helm read differently from YAML 1.2 (`on`, `0777`, `1_000`; see
//! [`scalar`]).

mod emit;
mod events;
mod meaning;
mod scalar;
mod simple;

pub use emit::{emit, emit_to, json_for_yaml, turns_text};

use crate::error::{Error, Place, Result};
use serde_json::Value;
use std::ops::Range;

/// Positions of a document's nodes: from a JSON pointer (`/peers/count`) to the 1-based line and
/// column of the key or item.
///
/// Nodes that come from an alias or a merge key have no position.
pub type Positions = std::collections::BTreeMap<String, (usize, usize)>;

/// The longest text that is read.
///
/// Far above any values file or rendered chart (1,000 objects are 0.4 MiB). Reading takes up to 60
/// times the length of the text in memory, so longer texts could make a laptop swap.
const MAX_BYTES: usize = 16 << 20;

/// Characters that YAML readers treat differently: byte order marks, and NEL, LS and PS, which are
/// line breaks in YAML 1.1 only.
const DOUBTFUL_SIGNS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// The deepest nesting that is read: below the parser's limit (128), above the depth of any
/// Kubernetes object.
pub const MAX_DEPTH: usize = 100;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub value: Value,
    /// Byte range of the document in the stream, from its first line of content.
    pub range: Range<usize>,
}

/// Reads a text with any number of documents, and skips empty documents. `subject` names the text
/// in errors.
///
/// # Errors
///
/// Fails with the position if the text is not YAML, is longer than 16 MiB, or nests deeper than 100
/// levels. Also refuses control characters, duplicate keys, tags, keys that are not plain words,
/// and numbers that would lose digits.
pub fn parse_stream(text: &str, subject: &str) -> Result<Vec<Document>> {
    let read = documents(text, subject)?.map(|unread| {
        Ok(Document {
            value: unread.read()?,
            range: unread.range(),
        })
    });
    read.filter(|document| {
        !matches!(
            document,
            Ok(Document {
                value: Value::Null,
                ..
            })
        )
    })
    .collect()
}

/// Splits a text into documents that the caller reads later. Skips documents that contain only
/// comments.
///
/// # Errors
///
/// Fails for the same reasons as [`parse_stream`], as far as they concern the text as a whole.
pub fn documents<'t>(text: &'t str, subject: &'t str) -> Result<impl Iterator<Item = Unread<'t>>> {
    let source = Text { text, subject };
    source.check()?;
    Ok(source.pieces().map(move |piece| Unread { source, piece }))
}

/// A document of a stream that is not read yet.
pub struct Unread<'t> {
    source: Text<'t>,
    piece: Piece<'t>,
}

impl Unread<'_> {
    /// Returns the byte range of the document in the stream, from its first line of content.
    pub fn range(&self) -> Range<usize> {
        self.piece.range.clone()
    }

    /// Reads the document. Errors have positions in the stream.
    pub fn read(&self) -> Result<Value> {
        match simple::read(self.piece.text) {
            Some(value) => Ok(value),
            None => Ok(self.source.read(&self.piece, false)?.0),
        }
    }
}

/// Reads one document. Returns `null` if there is none, and an error if there are several.
pub fn parse(text: &str, subject: &str) -> Result<Value> {
    let mut documents = parse_stream(text, subject)?.into_iter();
    let first = documents
        .next()
        .map(|document| document.value)
        .unwrap_or_default();
    match documents.next() {
        None => Ok(first),
        Some(second) => Err(second_document(
            subject,
            text[..second.range.start].matches('\n').count() + 1,
        )),
    }
}

/// Reads one document with the position of each of its nodes.
pub fn parse_with_positions(text: &str, subject: &str) -> Result<(Value, Positions)> {
    let mut documents = parse_stream_with_positions(text, subject)?.into_iter();
    let (first, positions) = documents.next().unwrap_or_default();
    match documents.next() {
        None => Ok((first, positions)),
        Some((_, positions)) => Err(second_document(
            subject,
            positions.get("").map_or(1, |at| at.0),
        )),
    }
}

/// Reads a text with any number of documents, with the position of each node. Skips empty
/// documents.
pub fn parse_stream_with_positions(text: &str, subject: &str) -> Result<Vec<(Value, Positions)>> {
    let source = Text { text, subject };
    source.check()?;
    let read =
        source.pieces().map(
            |piece| match simple::read_with_positions(piece.text, piece.first) {
                Some(read) => Ok(read),
                None => source.read(&piece, true),
            },
        );
    read.filter(|document| !matches!(document, Ok((Value::Null, _))))
        .collect()
}

/// Turns floats with an integer value (`1.0`, `1e3`) into integers, as Go does when it writes JSON.
pub fn whole_floats_as_integers(mut value: Value) -> Value {
    fn visit(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(visit),
            Value::Object(map) => map.values_mut().for_each(visit),
            Value::Number(number) if number.is_f64() => {
                if let Some(integer) = number.as_f64().and_then(scalar::whole) {
                    *value = integer.into();
                }
            }
            _ => {}
        }
    }
    visit(&mut value);
    value
}

fn second_document(subject: &str, line: usize) -> Error {
    Error::user("expected one YAML document, but the text contains more")
        .at(Place::new(subject)
            .at(line, 1)
            .note("a second document starts here"))
        .hint("remove the `---` between them, or split the text into several files")
}

/// A text and its name in errors.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    subject: &'a str,
}

/// The text of one document of a stream.
struct Piece<'a> {
    text: &'a str,
    /// 1-based line of the stream on which `text` starts.
    first: usize,
    /// Byte range of the content in the stream, from its first line.
    range: Range<usize>,
}

impl<'a> Text<'a> {
    fn check(&self) -> Result<()> {
        if self.text.len() > MAX_BYTES {
            return Err(Error::user(format!(
                "\"{}\" is too large for YAML",
                self.subject
            ))
            .why(format!(
                "it has {} bytes; the limit is {MAX_BYTES}",
                self.text.len()
            ))
            .hint("put large data into a Secret or a ConfigMap, and use its name as the value"));
        }
        let control =
            |byte: &u8| (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || *byte == 0x7f;
        if let Some(at) = self.text.as_bytes().iter().position(control) {
            let code = self.text.as_bytes()[at];
            let what = format!("the control character U+{code:04X} is not allowed in YAML");
            let hint = format!(
                "inside double quotes, write \"\\x{code:02x}\"; check that the file is UTF-8 text"
            );
            return Err(self.error_at(at, &what).hint(hint));
        }
        if !self.text.is_ascii()
            && let Some((at, sign)) = self
                .content()
                .char_indices()
                .find(|(_, sign)| DOUBTFUL_SIGNS.contains(sign))
        {
            let code = format!("{:04X}", u32::from(sign));
            let what = match sign {
                '\u{feff}' => {
                    "a byte order mark (U+FEFF) is only allowed at the start of the text".to_owned()
                }
                _ => format!(
                    "some YAML parsers, such as kubectl's, treat U+{code} as the end of a line, and others do not"
                ),
            };
            let hint = format!("inside double quotes, write \"\\u{code}\"");
            return Err(self
                .error_at(at + self.text.len() - self.content().len(), &what)
                .hint(hint));
        }
        Ok(())
    }

    fn error_at(&self, at: usize, what: &str) -> Error {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        self.error(line, column, what)
    }

    /// Returns the text after all leading byte order marks.
    ///
    /// The parser would skip another one in each piece that begins with it.
    fn content(&self) -> &'a str {
        self.text.trim_start_matches('\u{feff}')
    }

    /// Returns the documents that contain more than comments.
    ///
    /// A line that begins with `---` or `...` always ends a document, even inside a block or quoted
    /// scalar. Documents can therefore be split by lines, and each knows its first line, which the
    /// parser does not report.
    fn pieces(&self) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let text = self.content();
        let mark = self.text.len() - text.len();
        let (mut at, mut line) = (0, 1);
        std::iter::from_fn(move || {
            while at < text.len() {
                let (start, first) = (at, line);
                let mut content = None;
                for (index, row) in text[start..].split_inclusive('\n').enumerate() {
                    let marker = is_marker(row, "---") || is_marker(row, "...");
                    if marker && index > 0 {
                        break;
                    }
                    if content.is_none() {
                        let body = if marker { &row[3..] } else { row }.trim();
                        let is_content =
                            !(body.is_empty() || body.starts_with('#') || row.starts_with('%'));
                        content = is_content.then_some(at);
                    }
                    at += row.len();
                    line += 1;
                }
                if let Some(content) = content {
                    let text = &text[start..at];
                    let text = if is_marker(text, "...") {
                        &text[3..]
                    } else {
                        text
                    };
                    return Some(Piece {
                        text,
                        first,
                        range: mark + content..mark + at,
                    });
                }
            }
            None
        })
    }

    fn read(&self, piece: &Piece<'_>, with_positions: bool) -> Result<(Value, Positions)> {
        if wants_a_look(piece.text) {
            events::walk(piece.text, piece.first, false).map_err(|fault| self.fault(&fault))?;
        }
        let (value, doubtful) =
            meaning::read(piece.text).map_err(|error| self.problem(piece, &error))?;
        if !doubtful && !with_positions {
            return Ok((value, Positions::new()));
        }
        let mut walk = events::walk(piece.text, piece.first, with_positions)
            .map_err(|fault| self.fault(&fault))?;
        let value = match walk.rewrites.is_empty() {
            true => value,
            false => self.read_again(piece, &walk.rewrites)?,
        };
        // The content of a merge key has no position, because its nodes belong to the merged map.
        walk.positions
            .retain(|pointer, _| value.pointer(pointer).is_some());
        Ok((value, walk.positions))
    }

    /// Reads a document again with some of its words replaced.
    fn read_again(&self, piece: &Piece<'_>, rewrites: &[(Range<usize>, String)]) -> Result<Value> {
        let mut text = String::with_capacity(piece.text.len() + 16);
        let mut copied = 0;
        for (range, words) in rewrites {
            text.push_str(&piece.text[copied..range.start]);
            text.push_str(words);
            copied = range.end;
        }
        text.push_str(&piece.text[copied..]);
        let (value, _) = meaning::read(&text).map_err(|error| self.problem(piece, &error))?;
        Ok(value)
    }

    /// Translates an error of the parser. Prefers an error that the event walk finds, which has the
    /// exact position.
    fn problem(&self, piece: &Piece<'_>, error: &serde_yaml::Error) -> Error {
        if let Err(fault) = events::walk(piece.text, piece.first, false)
            && !fault.syntax
        {
            return self.fault(&fault);
        }
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let (line, column) = error
            .location()
            .map_or((1, 1), |at| (at.line(), at.column()));
        let start = piece
            .text
            .lines()
            .nth(line - 1)
            .unwrap_or_default()
            .chars()
            .nth(column - 1);
        let (what, hint) = meaning::in_plain_words(message, start);
        let error = self.error(line + piece.first - 1, column, &what);
        if hint.is_empty() {
            error
        } else {
            error.hint(hint)
        }
    }

    fn fault(&self, fault: &events::Fault) -> Error {
        let error = self.error(fault.line, fault.column, &fault.what);
        if fault.hint.is_empty() {
            error
        } else {
            error.hint(fault.hint)
        }
    }

    fn error(&self, line: usize, column: usize, what: &str) -> Error {
        let mut place = Place::new(self.subject).at(line, column).note(what);
        place.excerpt = self.text.lines().nth(line - 1).and_then(excerpt);
        Error::user(format!("cannot parse \"{}\" as YAML", self.subject)).at(place)
    }
}

/// Returns true if the parser might accept text that the event walk refuses, or take very long to
/// refuse it.
///
/// The parser takes time quadratic in the depth before it checks the depth. It ignores tags on keys
/// and tags that look like YAML's own (`!!x`). It also ends the name of an anchor earlier than YAML
/// 1.2 does.
fn wants_a_look(text: &str) -> bool {
    let begins_a_word = |at: usize| {
        at == 0
            || matches!(
                text.as_bytes()[at - 1],
                b' ' | b'\t' | b'\n' | b'\r' | b'[' | b'{' | b',' | b':'
            )
    };
    let is_odd = |at: usize| {
        let behind = text[at + 1..].trim_start_matches(in_an_anchor);
        text.as_bytes()[at] == b'!' || behind.starts_with(['?', ':', '%', '@', '`'])
    };
    // Two searches for one character each are much faster than one search for either.
    let mut signs = text.match_indices('!').chain(text.match_indices('&'));
    looks_deep(text) || signs.any(|(at, _)| begins_a_word(at) && is_odd(at))
}

/// Characters of an anchor's name to this parser and to kubectl. YAML 1.2 allows nearly all
/// characters.
fn in_an_anchor(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Returns true if brackets might nest too deep. Also counts brackets inside strings.
fn looks_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > 10 * MAX_DEPTH
    })
}

fn is_marker(row: &str, marker: &str) -> bool {
    row.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Returns the part of a line that errors may show: its indentation, dashes and key.
///
/// The value may be a secret. A line without a key may be part of a secret.
fn excerpt(line: &str) -> Option<String> {
    let body = line.trim_start_matches([' ', '\t', '-']);
    let key = body.split_once(':').filter(|(key, rest)| {
        let word = key.trim_matches(['"', '\'']);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        !word.is_empty()
            && word.len() <= 80
            && word.chars().all(plain)
            && (rest.is_empty() || rest.starts_with([' ', '\t']))
    });
    let (key, rest) = key?;
    let shown = &line[..line.len() - body.len() + key.len() + 1];
    Some(if rest.trim().is_empty() {
        shown.to_owned()
    } else {
        format!("{shown} …")
    })
}

#[cfg(test)]
mod tests;
