//! YAML in and out: the only room that knows a YAML library.
//!
//! Reading is as strict as the meaning of a document demands (duplicate keys, tags and non-scalar
//! keys are errors with a position); writing quotes whatever any YAML 1.1 or 1.2 reader would not
//! read back as the same string.
//!
//! What charts render to is nearly always of a simple form, which [`simple`] reads in one pass. All
//! else, and whatever is wrong, is read by `serde_yaml`, which reads the meaning. It cannot say
//! where a node stands or whether a scalar was quoted, so a second walk over the events of the same
//! text ([`events`]) answers that, and only when someone asks: for positions, for the exact place
//! of an error, and for the few plain scalars that kubectl and Helm read otherwise than YAML 1.2
//! (`on`, `0777`, `1_000`; see [`scalar`]).

mod emit;
mod events;
mod meaning;
mod scalar;
mod simple;

pub use emit::{emit, emit_to, json_for_yaml, turns_text};

use crate::error::{Error, Place, Result};
use serde_json::Value;
use std::ops::Range;

/// Positions of a document's nodes: path as a JSON pointer (`/peers/count`) to 1-based line and
/// column of the key or item. Nodes that come by an alias or a merge key have none of their own.
pub type Positions = std::collections::BTreeMap<String, (usize, usize)>;

/// The longest text that is read. Far above any values file or rendered chart (1,000 objects are
/// 0.4 MiB), and below what could make a laptop swap: a text costs up to some sixty times its
/// length while it is read.
const MAX_BYTES: usize = 16 << 20;

/// What readers of YAML disagree about: NEL, LS and PS, which YAML 1.2 took out of the breaks of a
/// line, and byte order marks.
const DOUBTFUL_SIGNS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// The deepest nesting that is read: below what the reader refuses (128), above what any Kubernetes
/// object holds.
pub const MAX_DEPTH: usize = 100;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub value: Value,
    /// Where the document stands in the stream, in bytes: from its first line of content on.
    pub range: Range<usize>,
}

/// Reads one text of any number of documents; empty documents are left out. `subject` names the
/// text in errors.
///
/// # Errors
///
/// One error with its place when the text is not YAML, is longer than 16 MiB, holds control
/// characters, a key twice, a tag, a key that is not a plain word, a number that would lose digits,
/// or nests deeper than 100 levels.
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

/// The documents of one text, each to be read when it is wanted. Those which hold comments only are
/// left out.
///
/// # Errors
///
/// What [`parse_stream`] says of a text as a whole.
pub fn documents<'t>(text: &'t str, subject: &'t str) -> Result<impl Iterator<Item = Unread<'t>>> {
    let source = Source { text, subject };
    source.check()?;
    Ok(source.pieces().map(move |piece| Unread { source, piece }))
}

/// A document of a stream that was found and not yet read.
pub struct Unread<'t> {
    source: Source<'t>,
    piece: Piece<'t>,
}

impl Unread<'_> {
    /// Where the document stands in the stream, in bytes: from its first line of content on.
    pub fn range(&self) -> Range<usize> {
        self.piece.range.clone()
    }

    /// Reads the document; places of errors are those in the stream.
    pub fn read(&self) -> Result<Value> {
        match simple::read(self.piece.text) {
            Some(value) => Ok(value),
            None => Ok(self.source.read(&self.piece, false)?.0),
        }
    }
}

/// Reads one document, `null` when there is none. An error when there is more than one.
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

/// Reads one text of any number of documents with the position of each node; empty documents are
/// left out.
pub fn parse_stream_with_positions(text: &str, subject: &str) -> Result<Vec<(Value, Positions)>> {
    let source = Source { text, subject };
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

/// Makes integers of all floats that stand for one (`1.0`, `1e3`), as every reader here does and as
/// Go writes them into JSON.
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
    Error::user("one YAML document is wanted, this text holds more")
        .at(Place::new(subject)
            .at(line, 1)
            .note("a second document starts here"))
        .hint("remove the `---` between them, or split the text into several files")
}

/// A text with the name that errors give it.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    subject: &'a str,
}

/// The text of one document of a stream.
struct Piece<'a> {
    text: &'a str,
    /// 1-based line of the stream on which `text` starts.
    first: usize,
    /// Where the content stands in the stream, from its first line on.
    range: Range<usize>,
}

impl<'a> Source<'a> {
    fn check(&self) -> Result<()> {
        if self.text.len() > MAX_BYTES {
            return Err(Error::user(format!(
                "\"{}\" is too long to be read as YAML",
                self.subject
            ))
            .why(format!(
                "it has {} bytes, {MAX_BYTES} are the most that is read",
                self.text.len()
            ))
            .hint("hand large data over by the name of a Secret or a ConfigMap, not as a value"));
        }
        let control =
            |byte: &u8| (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || *byte == 0x7f;
        if let Some(at) = self.text.as_bytes().iter().position(control) {
            let code = self.text.as_bytes()[at];
            let what = format!("a control character, U+{code:04X}, cannot stand in YAML as it is");
            let hint = format!(
                "inside double quotes it is written \"\\x{code:02x}\"; is this a text file in UTF-8?"
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
                    "a byte order mark, U+FEFF, stands at the beginning of a text or nowhere"
                        .to_owned()
                }
                _ => format!(
                    "U+{code} ends a line to some readers of YAML, kubectl among them, and not to others"
                ),
            };
            let hint = format!("inside double quotes it is written \"\\u{code}\"");
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

    /// The text behind byte order marks: all of them, because the reader would take one more from
    /// each piece that begins with it.
    fn content(&self) -> &'a str {
        self.text.trim_start_matches('\u{feff}')
    }

    /// The documents that hold more than comments.
    ///
    /// A line that begins with `---` or `...` ends a document wherever it stands, even inside a
    /// block or quoted scalar, so documents can be told apart by their lines alone. Each then knows
    /// where it starts, which the reader cannot tell.
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
        // What is written out below a merge key is no node where it is written.
        walk.positions
            .retain(|pointer, _| value.pointer(pointer).is_some());
        Ok((value, walk.positions))
    }

    /// Reads a document with other words in some places.
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

    /// The reader's failure in words. What the event walk finds wrong is told first, because it
    /// knows the exact place.
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
        Error::user(format!("\"{}\" cannot be read as YAML", self.subject)).at(place)
    }
}

/// True if the reader might not refuse what the walk refuses at once. Its time grows with the
/// square of the depth before it looks at that; a tag of a key, or one that looks like YAML's own
/// (`!!x`), is nothing to it; and it ends the name of an anchor where YAML 1.2 goes on.
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
    // One sign after the other: a search for one is many times quicker than one for either.
    let mut signs = text.match_indices('!').chain(text.match_indices('&'));
    looks_deep(text) || signs.any(|(at, _)| begins_a_word(at) && is_odd(at))
}

/// The characters of an anchor's name to the reader, as to kubectl; to YAML 1.2 nearly all are.
fn in_an_anchor(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// True if brackets might nest deeper than any document does; those inside texts are counted too.
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

/// What may be shown of a line: its indentation, its dashes and its key. What follows may be a
/// secret, and a line without a key may be the inside of one.
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
