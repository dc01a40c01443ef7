//! Reads the text of one document into JSON values with `serde_yaml`.
//!
//! Has its own visitor, because `serde_json::Value` silently keeps the last of two equal keys.

use super::{MAX_DEPTH, scalar};
use scalar::Scalar;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// The key that the event walk writes for an unquoted `<<`.
///
/// A quoted `"<<"` is an ordinary key, and only the events distinguish the two. This private
/// character marks the merge key for the reader.
pub const MERGE_KEY: &str = "\u{f8ff}<<";

/// Limit on the expansion of aliases: nodes and bytes of scalars beyond twice the length of the
/// text.
const MAX_EXPANSION: usize = 4 << 20;

/// Reads the only document of `text`.
///
/// The second part of the result is true if the meaning may depend on the spelling, which this
/// reader cannot see: text or a key that would mean something else to kubectl without quotes, or a
/// very large number.
pub fn read(text: &str) -> serde_yaml::Result<(Value, bool)> {
    let mut documents = read_stream(text);
    let first = documents.next().unwrap_or(Ok((Value::Null, false)))?;
    // The parser finds content after the end of a document, as in `[1]]`, only when it continues.
    match documents.next().transpose()? {
        None => Ok(first),
        Some(_) => Err(serde_yaml::Error::custom(
            "a second document starts inside this one",
        )),
    }
}

fn read_stream(text: &str) -> impl Iterator<Item = serde_yaml::Result<(Value, bool)>> {
    let state = ReadState {
        doubtful: Cell::new(false),
        left: Cell::new(2 * text.len() + MAX_EXPANSION),
        entries: RefCell::default(),
        items: RefCell::default(),
    };
    serde_yaml::Deserializer::from_str(text).map(move |document| {
        let value = Node {
            state: &state,
            depth: 0,
        }
        .deserialize(document)?;
        Ok((value, state.doubtful.replace(false)))
    })
}

/// Translates a message of the parser for the author of a values file, and adds a hint. `at` is the
/// character at which the parser stopped.
pub fn in_plain_words(message: &str, at: Option<char>) -> (String, &'static str) {
    if message.contains("cannot start any token") {
        return match at {
            Some('\t') => ("the line is indented with a tab".into(), "use spaces"),
            at => {
                let sign = at.map_or_else(|| "this character".into(), |sign| format!("\"{sign}\""));
                (
                    format!("a value cannot start with {sign}"),
                    "put the value in quotes",
                )
            }
        };
    }
    let fits = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    let known = MESSAGES.iter().find(|(parts, ..)| fits(parts));
    known.map_or_else(
        || (message.to_owned(), ""),
        |(_, words, hint)| ((*words).to_owned(), *hint),
    )
}

/// Parts of the parser's messages, what they mean, and a hint. The first that fits counts.
const MESSAGES: [(&[&str], &str, &str); 12] = [
    (
        &["mapping values are not allowed"],
        "the colon makes this a key, but no key is allowed here",
        "put a value that contains \": \" in quotes; check the indentation",
    ),
    (
        &["did not find expected key", "could not find expected ':'"],
        "expected `key: value`",
        "check the indentation of this line, and the quotes before it",
    ),
    (
        &["did not find expected <document start>"],
        "the document ended before this line",
        "",
    ),
    (
        &["did not find expected '-'"],
        "expected an item of the list, with `-`",
        "check the indentation of this line",
    ),
    (
        &["unexpected end of stream"],
        "unclosed quotes",
        "close the quotes",
    ),
    (
        &["did not find expected ',' or ']'"],
        "expected `,` or `]` in the list that `[` started",
        "close the list with `]`",
    ),
    (
        &["did not find expected ',' or '}'"],
        "expected `,` or `}` in the map that `{` started",
        "close the map with `}`",
    ),
    (
        &["did not find expected node content"],
        "expected a value",
        "",
    ),
    (
        &["repetition limit", EXPANSION],
        EXPANSION,
        "write the values out instead of using aliases",
    ),
    (&["recursion limit", DEPTH], DEPTH, ""),
    (
        &["unknown anchor"],
        "an alias (`*name`) without a previous anchor (`&name`)",
        "put the value in quotes if it is text that starts with `*`",
    ),
    // The message continues with the value, which may be secret.
    (
        &["invalid value: ", "invalid type: "],
        "the value does not match its tag",
        "remove or correct the tag, such as `!!int`",
    ),
];

const EXPANSION: &str = "aliases expand the text beyond the limit";
const DEPTH: &str = "nested deeper than 100 levels";

struct ReadState {
    doubtful: Cell<bool>,
    left: Cell<usize>,
    /// Stack of unfinished maps and lists. Each is allocated with its exact size when it ends.
    entries: RefCell<Vec<(String, Value)>>,
    items: RefCell<Vec<Value>>,
}

impl ReadState {
    fn spend<E: serde::de::Error>(&self, cost: usize) -> Result<(), E> {
        let left = self
            .left
            .get()
            .checked_sub(cost)
            .ok_or_else(|| E::custom(EXPANSION))?;
        self.left.set(left);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Node<'s> {
    state: &'s ReadState,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Node<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        self.state.spend(1)?;
        if self.depth == MAX_DEPTH {
            Err(E::custom(DEPTH))
        } else {
            Ok(Node {
                depth: self.depth + 1,
                ..self
            })
        }
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.state.spend(1)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.state.spend(1)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.state.spend(1)?;
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.state.spend(1)?;
        Ok(value.into())
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Value, E> {
        Err(E::custom("a number with more than 64 bits"))
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Value, E> {
        Err(E::custom("a number with more than 64 bits"))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.state.spend(1)?;
        if let Some(integer) = scalar::whole(value) {
            return Ok(integer.into());
        }
        // An integer beyond 128 bits arrives as a float. Only its text distinguishes it from
        // `1e40`.
        if value.abs() >= i128::MAX as f64 {
            self.state.doubtful.set(true);
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.state.spend(1 + text.len())?;
        if scalar::resolve(text) != Scalar::Text && !scalar::was_quoted(text) {
            self.state.doubtful.set(true);
        }
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let first = self.state.items.borrow().len();
        while let Some(item) = items.next_element_seed(inside)? {
            self.state.items.borrow_mut().push(item);
        }
        Ok(Value::Array(
            self.state.items.borrow_mut().drain(first..).collect(),
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let first = self.state.entries.borrow().len();
        let mut merged = None;
        while let Some(key) = entries.next_key_seed(Key(self.state))? {
            let value = entries.next_value_seed(inside)?;
            if key == MERGE_KEY {
                merged = Some(value);
                continue;
            }
            self.state.entries.borrow_mut().push((key, value));
        }
        let mut read = self.state.entries.borrow_mut();
        let mut map = Map::with_capacity(read.len() - first);
        for (key, value) in read.drain(first..) {
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        match merged {
            None => {}
            Some(Value::Object(base)) => fill(&mut map, base),
            Some(Value::Array(bases)) => {
                for base in bases {
                    let Value::Object(base) = base else {
                        return Err(A::Error::custom(MERGE_OF_NO_MAP));
                    };
                    fill(&mut map, base);
                }
            }
            Some(_) => return Err(A::Error::custom(MERGE_OF_NO_MAP)),
        }
        Ok(Value::Object(map))
    }

    /// Tags other than those of YAML's core schema arrive as enums.
    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("a tag"))
    }
}

const MERGE_OF_NO_MAP: &str = "`<<` needs a map or a list of maps";

fn fill(map: &mut Map<String, Value>, base: Map<String, Value>) {
    for (key, value) in base {
        map.entry(key).or_insert(value);
    }
}

struct Key<'s>(&'s ReadState);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        // Reads the key's text, even if it looks like a number or a boolean.
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        self.0.spend(1 + text.len())?;
        if !scalar::keeps_its_text_as_key(text) {
            self.0.doubtful.set(true);
        }
        Ok(text.to_owned())
    }
}
