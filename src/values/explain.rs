//! Explains values: what a value is and which source set it.

use super::{
    Origin, Values,
    path::{self, Step},
};
use crate::error::{Error, Place, Result, nearest};
use serde_json::Value;

/// Replaces a secret where secrets need not be told apart. Elsewhere a digest follows the word.
pub const SECRET: &str = "(secret)";

/// A value and its history.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The path in the syntax of `--set`.
    pub path: String,
    /// The value with its secrets masked. `None` if null removed it.
    pub value: Option<Value>,
    /// The source that set or removed the value.
    pub origin: Option<Origin>,
    /// Earlier sources that set it, latest first.
    pub shadowed: Vec<Origin>,
}

/// Explains what a value is and where it comes from.
///
/// `path` has the syntax of `--set` (`peers.count`, `a[0].b`). An empty path means all values.
/// `secret_paths` are JSON pointers from [`secret_paths`](super::secret_paths).
///
/// # Errors
///
/// Fails if the value does not exist, and suggests the nearest existing key.
pub fn explain(values: &Values, path: &str, secret_paths: &[String]) -> Result<Explanation> {
    let steps = path::parse(path)?;
    let mut pointer = String::new();
    for (index, step) in steps.iter().enumerate() {
        let parent = pointer.clone();
        pointer = path::below(&pointer, step);
        // A value that null removed is not in the tree, but has a history.
        let removed = index + 1 == steps.len() && values.origins.contains_key(&pointer);
        if values.tree.pointer(&pointer).is_none() && !removed {
            return Err(unknown(values, &parent, step));
        }
    }
    let mut origins = values.origins.get(&pointer).cloned().unwrap_or_default();
    let origin = origins.pop().or_else(|| values.origin(&pointer).cloned());
    origins.reverse();
    let value = values
        .tree
        .pointer(&pointer)
        .map(|value| masked(value, &pointer, secret_paths));
    Ok(Explanation {
        path: path::display(&pointer, &values.tree),
        value,
        origin,
        shadowed: origins,
    })
}

/// Returns a copy of the value at `pointer` with all values at or below a secret path masked.
pub fn masked(value: &Value, pointer: &str, secret_paths: &[String]) -> Value {
    if secret_paths
        .iter()
        .any(|secret| path::is_within(pointer, secret))
    {
        return SECRET.into();
    }
    match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| {
                (
                    key.clone(),
                    masked(value, &path::key_below(pointer, key), secret_paths),
                )
            });
            Value::Object(entries.collect())
        }
        Value::Array(list) => {
            let items = list.iter().enumerate();
            items
                .map(|(index, value)| masked(value, &format!("{pointer}/{index}"), secret_paths))
                .collect()
        }
        other => other.clone(),
    }
}

fn unknown(values: &Values, parent: &str, step: &Step) -> Error {
    let shown = path::display(&path::below(parent, step), &values.tree);
    let above = path::display(parent, &values.tree);
    let above = if above.is_empty() {
        "the values".to_owned()
    } else {
        format!("\"{above}\"")
    };
    let error = Error::user(format!("value \"{shown}\" not found"));
    match (values.tree.pointer(parent), step) {
        (Some(Value::Object(map)), Step::Key(key)) => {
            let error = match nearest(key, map.keys().map(String::as_str)) {
                Some(near) => {
                    let near = path::display(&path::key_below(parent, near), &values.tree);
                    return error.hint(format!("did you mean \"{near}\"?"));
                }
                None => error,
            };
            let keys: Vec<&str> = map.keys().map(String::as_str).take(20).collect();
            if keys.is_empty() {
                error
            } else {
                error.why(format!("the keys of {above} are {}", keys.join(", ")))
            }
        }
        (Some(Value::Array(list)), Step::Index(_)) => error.why(match list.len() {
            0 => format!("{above} is an empty list"),
            1 => format!("{above} has one item, [0]"),
            items => format!("{above} has {items} items, [0] to [{}]", items - 1),
        }),
        (Some(Value::Array(_)), Step::Key(_)) => {
            error.why(format!("{above} is a list; write an item as \"[0]\""))
        }
        (Some(Value::Object(_)), Step::Index(_)) => {
            error.why(format!("{above} is a map, not a list"))
        }
        _ => {
            let place = values
                .origin(parent)
                .map(Origin::place)
                .unwrap_or_else(|| Place::new("values"));
            error
                .why(format!("{above} is a single value without keys"))
                .at(place)
        }
    }
}
