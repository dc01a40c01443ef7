//! The shapes of a network file's keys, and the check of a document against them.
//!
//! The tables in [`super::fields`] describe the file. This module checks a document against them.
//! [`super::reference`](mod@super::reference) generates the editor schema and the reference page
//! from the same tables.

use super::problem::Problems;
use super::quantity;
use crate::release::check_namespace;
use crate::values::path;
use serde_json::{Map, Value};

/// One key of a map.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// The default, as printed in the reference. Empty if there is nothing to say.
    pub default: &'static str,
    pub description: &'static str,
    /// A valid value in YAML, for the reference and for tests.
    pub example: &'static str,
}

/// The shape of a value.
#[derive(Debug)]
pub enum Shape {
    Text,
    /// A DNS label: it becomes the name of a Kubernetes object.
    Label,
    /// One of these words.
    Word(&'static [&'static str]),
    Flag,
    Whole {
        least: u64,
        most: u64,
    },
    /// A duration in Go's syntax: `2s`, `500ms`.
    Duration,
    /// A number of bytes, or a text such as `10 MB` or `2Mi`.
    Bytes,
    /// Values of a chart: any map.
    Values,
    List(&'static Shape),
    /// A text, or a list of texts.
    OneOrMore,
    /// A map from names to values. `key` describes the names.
    Map {
        key: &'static str,
        item: &'static Shape,
    },
    Object(&'static [Field]),
    /// A list of names, or a map from names to settings.
    Names {
        key: &'static str,
        fields: &'static [Field],
    },
}

impl Shape {
    /// Describes the expected value, for an error.
    fn expected(&self) -> String {
        match self {
            Shape::Text => "a text".to_owned(),
            Shape::Label => "a name".to_owned(),
            Shape::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                words.join(" or ")
            }
            Shape::Flag => "true or false".to_owned(),
            Shape::Whole { least, most } if *most == u64::MAX => {
                format!("a whole number of at least {least}")
            }
            Shape::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Shape::Duration => "a duration such as 2s or 500ms".to_owned(),
            Shape::Bytes => "a number of bytes, or a text such as \"10 MB\" or \"2Mi\"".to_owned(),
            Shape::List(_) => "a list".to_owned(),
            Shape::OneOrMore => "a name or a list of names".to_owned(),
            Shape::Values | Shape::Map { .. } | Shape::Object(_) => "a map".to_owned(),
            Shape::Names { .. } => "a list of names or a map by name".to_owned(),
        }
    }

    /// Returns a replacement for a value with the wrong shape, so that the check can continue
    /// without follow-up errors. `None` omits the key.
    fn stand_in(&self) -> Option<Value> {
        match self {
            Shape::List(_) | Shape::OneOrMore => Some(Value::Array(Vec::new())),
            Shape::Values | Shape::Map { .. } | Shape::Object(_) | Shape::Names { .. } => {
                Some(Value::Object(Map::new()))
            }
            _ => None,
        }
    }
}

/// Checks `value` against `shape` and reports every violation. Afterwards `value` has the shape:
/// invalid parts are removed, a list of names becomes a map, a single text becomes a list, and an
/// empty key of a map or list becomes an empty one.
///
/// Returns `false` if the value must be removed.
pub fn check(value: &mut Value, shape: &Shape, pointer: &str, problems: &mut Problems) -> bool {
    if value.is_null()
        && let Some(empty) = shape.stand_in()
    {
        *value = empty;
    }
    match (shape, &mut *value) {
        (Shape::Object(fields), Value::Object(map)) => object(map, fields, pointer, problems),
        (Shape::Map { item, .. }, Value::Object(map)) => {
            retain(map, pointer, |_| Some(item), problems)
        }
        (Shape::Names { fields, .. }, Value::Object(map)) => {
            let item = Shape::Object(fields);
            retain(map, pointer, |_| Some(&item), problems);
        }
        (Shape::Names { .. }, Value::Array(list)) => {
            *value = Value::Object(names(std::mem::take(list), pointer, problems));
        }
        (Shape::List(item), Value::Array(list)) => items(list, item, pointer, problems),
        (Shape::OneOrMore, Value::Array(list)) => items(list, &Shape::Text, pointer, problems),
        (Shape::OneOrMore, Value::String(text)) => {
            *value = Value::Array(vec![std::mem::take(text).into()]);
        }
        (Shape::Values, Value::Object(_)) => {}
        (_, value) if scalar(shape, value) => {}
        (_, value) => {
            problems.wrong(pointer, wrong(shape, value), hint(shape, value));
            return match shape.stand_in() {
                Some(empty) => {
                    *value = empty;
                    true
                }
                None => false,
            };
        }
    }
    true
}

fn object(map: &mut Map<String, Value>, fields: &[Field], at: &str, problems: &mut Problems) {
    for field in fields.iter().filter(|field| field.required) {
        if !map.contains_key(field.name) {
            problems.add(at, format!("the key \"{}\" is missing", field.name));
        }
    }
    let shape_of = |key: &str| {
        let known = fields.iter().find(|field| field.name == key);
        known.map(|field| &field.shape)
    };
    let unknown: Vec<String> = map
        .keys()
        .filter(|key| shape_of(key).is_none())
        .cloned()
        .collect();
    for key in unknown {
        map.shift_remove(&key);
        let names = fields.iter().map(|field| field.name);
        problems.unknown(&path::key_below(at, &key), "unknown key", &key, names);
    }
    retain(map, at, shape_of, problems);
}

/// Checks the entries of a map and keeps the valid ones.
fn retain<'s>(
    map: &mut Map<String, Value>,
    at: &str,
    shape_of: impl Fn(&str) -> Option<&'s Shape>,
    problems: &mut Problems,
) {
    map.retain(|key, value| match shape_of(key) {
        Some(shape) => check(value, shape, &path::key_below(at, key), problems),
        None => false,
    });
}

fn items(list: &mut Vec<Value>, item: &Shape, at: &str, problems: &mut Problems) {
    let mut index = 0;
    list.retain_mut(|value| {
        let pointer = format!("{at}/{index}");
        index += 1;
        check(value, item, &pointer, problems)
    });
}

/// Converts a list of names to a map. Each name keeps its position.
fn names(list: Vec<Value>, at: &str, problems: &mut Problems) -> Map<String, Value> {
    let mut map = Map::new();
    for (index, name) in list.into_iter().enumerate() {
        let pointer = format!("{at}/{index}");
        let Value::String(name) = name else {
            problems.wrong(
                &pointer,
                wrong(&Shape::Text, &name),
                hint(&Shape::Text, &name),
            );
            continue;
        };
        if map.contains_key(&name) {
            problems.add(&pointer, format!("\"{name}\" is listed twice"));
            continue;
        }
        problems.moved(&pointer, &path::key_below(at, &name));
        map.insert(name, Value::Object(Map::new()));
    }
    map
}

fn scalar(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Text, Value::String(_)) | (Shape::Flag, Value::Bool(_)) => true,
        (Shape::Label, Value::String(text)) => check_namespace(text).is_ok(),
        (Shape::Word(words), Value::String(text)) => words.contains(&text.as_str()),
        (Shape::Duration, Value::String(text)) => quantity::duration(text).is_some(),
        (Shape::Bytes, Value::String(text)) => quantity::bytes(text).is_some(),
        (Shape::Bytes, Value::Number(number)) => number
            .as_u64()
            .is_some_and(|bytes| (1..=quantity::MOST).contains(&bytes)),
        (Shape::Whole { least, most }, Value::Number(number)) => number
            .as_u64()
            .is_some_and(|number| (*least..=*most).contains(&number)),
        _ => false,
    }
}

fn wrong(shape: &Shape, value: &Value) -> String {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) if matches!(shape, Shape::Label) => {
            return "a name consists of a-z, 0-9 and \"-\", begins and ends with a letter or digit, \
                    and has at most 63 characters"
                .to_owned();
        }
        // A long text may be anything, a key included.
        Value::String(text) if text.chars().count() > 40 => "a text".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    };
    format!("expected {}, found {found}", shape.expected())
}

fn hint(shape: &Shape, value: &Value) -> Option<String> {
    match (shape, value) {
        (Shape::Word(words), Value::String(text)) => {
            let near = crate::error::nearest(text, words.iter().copied())?;
            Some(format!("did you mean \"{near}\"?"))
        }
        (Shape::Text | Shape::Label, Value::Number(_) | Value::Bool(_)) => {
            Some("put it in quotes".to_owned())
        }
        _ => None,
    }
}
