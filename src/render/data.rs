//! Converts data between JSON and template values.
//!
//! Maps record failed lookups of keys, so that an error about an undefined value can suggest the
//! right key.

use crate::error::nearest;
use crate::yaml::MAX_DEPTH;
use minijinja::value::{Enumerator, Object, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

/// The last failed lookups of keys.
///
/// Templates look up many missing keys on purpose (`default`, `is defined`). The lookup that causes
/// an error is among the last.
#[derive(Debug, Default)]
pub(super) struct Misses(Mutex<VecDeque<(String, Weak<Map>)>>);

const MISSES_KEPT: usize = 16;

impl Misses {
    fn add(&self, key: &str, map: &Arc<Map>) {
        let mut misses = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if misses.len() == MISSES_KEPT {
            misses.pop_front();
        }
        misses.push_back((key.to_owned(), Arc::downgrade(map)));
    }

    /// Returns the keys of the map in which `key` was last not found.
    pub(super) fn keys_beside(&self, key: &str) -> Option<Vec<String>> {
        let misses = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let (_, map) = misses.iter().rev().find(|(missed, _)| missed == key)?;
        Some(
            map.upgrade()?
                .entries
                .iter()
                .filter_map(|(key, _)| key.as_str().map(str::to_owned))
                .collect(),
        )
    }
}

/// A map of a chart's data, in its original order.
#[derive(Debug)]
pub(super) struct Map {
    entries: Vec<(Value, Value)>,
    /// Indices of `entries`, sorted by key.
    sorted: Vec<u32>,
    misses: Arc<Misses>,
}

impl Map {
    fn key(&self, index: u32) -> &str {
        self.entries[index as usize]
            .0
            .as_str()
            .expect("every key is made from a string")
    }
}

impl Object for Map {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match self
            .sorted
            .binary_search_by(|index| self.key(*index).cmp(key))
        {
            Ok(at) => Some(self.entries[self.sorted[at] as usize].1.clone()),
            Err(_) => {
                self.misses.add(key, self);
                None
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let map = Arc::clone(self);
        Enumerator::KeyValueIter(Box::new(
            (0..self.entries.len()).map(move |index| map.entries[index].clone()),
        ))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Converts JSON for templates. Done once per render, so that templates share the values without
/// copies.
pub(super) fn to_template(json: &Json, misses: &Arc<Misses>) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(|item| to_template(item, misses)).collect(),
        Json::Object(map) => {
            let entries = map
                .iter()
                .map(|(key, value)| (Value::from(key.as_str()), to_template(value, misses)))
                .collect();
            map_of(entries, misses)
        }
    }
}

/// Returns a map with string keys.
pub(super) fn map_of(entries: Vec<(Value, Value)>, misses: &Arc<Misses>) -> Value {
    let mut map = Map {
        sorted: (0..entries.len() as u32).collect(),
        entries,
        misses: Arc::clone(misses),
    };
    let mut sorted = std::mem::take(&mut map.sorted);
    sorted.sort_by(|a, b| map.key(*a).cmp(map.key(*b)));
    map.sorted = sorted;
    Value::from_object(map)
}

/// Cost of a node of a tree in steps, similar to its size in bytes.
///
/// A short template can put a map twice into another map, many times over. The result is small
/// until it is written as text.
const NODE_COST: u64 = 4;

/// Converts a template value to JSON. An undefined value inside it is an error.
pub(super) fn to_json(state: &State, value: &Value) -> Result<Json, Error> {
    within(state, value, MAX_DEPTH)
}

fn within(state: &State, value: &Value, depth: usize) -> Result<Json, Error> {
    let not_json = |what: &str| Err(Error::new(ErrorKind::BadSerialization, what.to_owned()));
    let below = || {
        depth.checked_sub(1).ok_or_else(|| {
            Error::new(
                ErrorKind::BadSerialization,
                format!("lists and maps are nested deeper than {MAX_DEPTH}"),
            )
        })
    };
    match value.kind() {
        // This conversion always fails. Its error names the undefined expression.
        ValueKind::Undefined => f64::try_from(value.clone()).map(|_| Json::Null),
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::Number => number(value),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            state.consume_fuel(text.len() as u64 / 64)?;
            Ok(Json::String(text.to_owned()))
        }
        ValueKind::Bytes => not_json("YAML cannot contain bytes: use `b64encode`"),
        ValueKind::Seq | ValueKind::Iterable => {
            let depth = below()?;
            let item = |item: Value| {
                state
                    .consume_fuel(NODE_COST)
                    .and_then(|()| within(state, &item, depth))
            };
            value
                .try_iter()?
                .map(item)
                .collect::<Result<_, _>>()
                .map(Json::Array)
        }
        ValueKind::Map => {
            let depth = below()?;
            let object = value.as_object().expect("every map is an object");
            let mut map = serde_json::Map::new();
            for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                state.consume_fuel(2 * NODE_COST)?;
                let key = match within(state, &key, depth)? {
                    Json::String(key) => key,
                    Json::Number(key) => key.to_string(),
                    Json::Bool(key) => key.to_string(),
                    _ => return not_json("a map's key must be a string"),
                };
                map.insert(key, within(state, &value, depth)?);
            }
            Ok(Json::Object(map))
        }
        _ => not_json("a function, macro or module is not data; call it"),
    }
}

fn number(value: &Value) -> Result<Json, Error> {
    if value.is_integer() {
        if let Ok(number) = i64::try_from(value.clone()) {
            return Ok(number.into());
        }
        return u64::try_from(value.clone()).map(Json::from).map_err(|_| {
            Error::new(
                ErrorKind::BadSerialization,
                "an integer has more than 64 bits: write it as a string",
            )
        });
    }
    let number = f64::try_from(value.clone())?;
    // An integral result of a division must be an integer: Kubernetes refuses `replicas: 2.0`. From
    // 2^53 on, a float is not exact and stays a float.
    if number.fract() == 0.0
        && number.abs() < 9_007_199_254_740_992.0
        && !(number == 0.0 && number.is_sign_negative())
    {
        return Ok((number as i64).into());
    }
    serde_json::Number::from_f64(number)
        .map(Json::Number)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::BadSerialization,
                "the result of a calculation is not a finite number",
            )
        })
}

/// Writes a template value with the same result as [`write_json`].
///
/// Converts only maps with unusual keys to JSON first.
pub(super) fn write_value(state: &State, value: &Value, out: &mut String) -> Result<(), Error> {
    write_within(state, value, MAX_DEPTH, out)
}

fn write_within(state: &State, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    let begins = out.len();
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            state.consume_fuel(text.len() as u64 / 64)?;
            write_string(text, out);
        }
        ValueKind::Seq | ValueKind::Iterable if depth > 0 => {
            out.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                state.consume_fuel(NODE_COST)?;
                write_within(state, &item, depth - 1, out)?;
            }
            out.push(']');
        }
        ValueKind::Map if depth > 0 => {
            out.push('{');
            let object = value.as_object().expect("every map is an object");
            for (index, (key, value)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
                let Some(key) = key.as_str() else {
                    // Different keys may have the same string form.
                    out.truncate(begins);
                    write_json(
                        &within(state, &Value::from_dyn_object(object.clone()), depth)?,
                        out,
                    );
                    return Ok(());
                };
                if index > 0 {
                    out.push(',');
                }
                state.consume_fuel(2 * NODE_COST)?;
                write_string(key, out);
                out.push_str(": ");
                write_within(state, &value, depth - 1, out)?;
            }
            out.push('}');
        }
        _ => write_json(&within(state, value, depth)?, out),
    }
    Ok(())
}

/// Writes JSON on one line in a form that is also YAML. Escapes only the characters that YAML would
/// fold or refuse.
pub(super) fn write_json(json: &Json, out: &mut String) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number.to_string()),
        Json::String(text) => write_string(text, out),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Json::Object(map) => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push_str(": ");
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

pub(super) fn write_string(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let stands_for_itself = |byte| matches!(byte, b' '..=b'~' if byte != b'"' && byte != b'\\');
    let mut rest = text;
    loop {
        let (plain, behind) = rest.split_at(
            rest.bytes()
                .position(|byte| !stands_for_itself(byte))
                .unwrap_or(rest.len()),
        );
        out.push_str(plain);
        let mut behind = behind.chars();
        match behind.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            // A byte order mark, or a character that YAML does not print or treats as a line break
            // (NEL, LS, PS).
            Some(
                c @ ('\0'..='\u{1f}'
                | '\u{7f}'..='\u{9f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}'),
            ) => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            Some(c) => out.push(c),
        }
        rest = behind.as_str();
    }
    out.push('"');
}

/// Returns the existing key that is most similar to `key`.
pub(super) fn meant(misses: &Misses, key: &str) -> Option<String> {
    let keys = misses.keys_beside(key)?;
    match nearest(key, keys.iter().map(String::as_str)) {
        Some(near) => Some(format!("did you mean \"{near}\"?")),
        None if keys.is_empty() => Some("the map is empty".to_owned()),
        None if keys.len() <= 12 => Some(format!("keys there: {}", keys.join(", "))),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn data_comes_back_as_it_went() {
        let misses = Arc::new(Misses::default());
        let data = json!({
            "z": [1, -1, 1.5, 9007199254740993u64, u64::MAX, i64::MIN, 1e300],
            "a": {"null": null, "flag": true, "": "empty", "<<": {"b": "on"}},
        });
        let env = minijinja::Environment::new();
        let back = to_json(&env.empty_state(), &to_template(&data, &misses)).unwrap();
        assert_eq!(back, data);
        assert_eq!(
            serde_json::to_string(&back).unwrap(),
            serde_json::to_string(&data).unwrap(),
            "the order of keys"
        );
        let (mut text, mut same) = (String::new(), String::new());
        write_json(&back, &mut text);
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), data);
        write_value(&env.empty_state(), &to_template(&data, &misses), &mut same).unwrap();
        assert_eq!(same, text);
    }

    #[test]
    fn keys_that_are_no_strings_are_written_as_their_strings_once() {
        let env = minijinja::Environment::new();
        let map = env
            .compile_expression("{'a': [1, {}], 1: 2, '1': 3}")
            .unwrap()
            .eval(())
            .unwrap();
        let (mut text, mut same) = (String::new(), String::new());
        write_value(&env.empty_state(), &map, &mut text).unwrap();
        write_json(&to_json(&env.empty_state(), &map).unwrap(), &mut same);
        assert_eq!((text.as_str(), &text), (r#"{"a": [1,{}],"1": 3}"#, &same));
    }

    #[test]
    fn strings_are_escaped_for_yaml_and_no_further() {
        let mut text = String::new();
        write_string("a\"\\\n\t<>&'\u{85}\u{2028}\u{feff}ü😀\u{0}", &mut text);
        assert_eq!(
            text,
            "\"a\\\"\\\\\\n\\t<>&'\\u0085\\u2028\\ufeffü😀\\u0000\""
        );
    }

    #[test]
    fn the_key_that_was_meant_is_found() {
        let misses = Arc::new(Misses::default());
        let value = to_template(&json!({"image": 1, "resources": 2}), &misses);
        assert!(value.get_attr("imgae").unwrap().is_undefined());
        assert_eq!(meant(&misses, "imgae").unwrap(), "did you mean \"image\"?");
        assert_eq!(meant(&misses, "never asked"), None);
    }
}
