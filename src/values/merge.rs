//! Merges trees of values: one source over another, and the user's values over a chart's defaults.
//!
//! Maps are merged key by key, everything else is replaced. Origins follow their nodes.

use super::{Origin, Values, path};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Origins = BTreeMap<String, Vec<Origin>>;

/// Merges two of the user's trees, `over` on top of `under`. Keeps null, which removes a default
/// later.
pub fn merge(mut under: Values, over: Values) -> Values {
    if under.origins.is_empty() && under.tree.as_object().is_some_and(Map::is_empty) {
        return over;
    }
    let Values { tree, origins } = over;
    merge_node(&mut under.tree, tree, "", &mut under.origins, &origins);
    under
}

fn merge_node(under: &mut Value, over: Value, pointer: &str, known: &mut Origins, new: &Origins) {
    let added = new.get(pointer).cloned().unwrap_or_default();
    known.entry(pointer.to_owned()).or_default().extend(added);
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                let pointer = path::key_below(pointer, &key);
                match under.get_mut(&key) {
                    Some(node) => merge_node(node, value, &pointer, known, new),
                    None => {
                        under.insert(key, value);
                        take_origins(known, new, &pointer);
                    }
                }
            }
        }
        (under, over) => {
            *under = over;
            forget_below(known, pointer);
            known.extend(
                below(new, pointer).map(|(pointer, origins)| (pointer.clone(), origins.clone())),
            );
        }
    }
}

/// Merges the user's values over the defaults, into the values that templates see.
///
/// A null in the user's values undoes earlier settings of its key. The default applies, which may
/// itself be null. Without a default, the key is removed. The second part of the result has
/// warnings for the user: a map that replaces something else, and the other way round.
///
/// A null keeps its origin next to that of the default, so that errors and `values explain` can
/// name its source.
pub fn coalesce(defaults: Values, user: &Values) -> (Values, Vec<String>) {
    let mut work = Coalesce {
        user,
        origins: defaults.origins,
        warnings: Vec::new(),
    };
    let tree = match (defaults.tree, &user.tree) {
        (Value::Object(mut defaults), Value::Object(own)) => {
            work.maps(&mut defaults, own, "");
            defaults
        }
        (Value::Object(only), _) => only,
        (_, Value::Object(only)) => {
            work.origins.clear();
            work.one_map(only, "")
        }
        _ => {
            work.origins.clear();
            Map::new()
        }
    };
    (
        Values {
            tree: Value::Object(tree),
            origins: work.origins,
        },
        work.warnings,
    )
}

/// Returns stored values that replace a chart's defaults. Values that `user` sets to null come from
/// the chart instead.
pub fn taken_back(mut stored: Values, user: &Values, chart: &Values) -> Values {
    fn take_back(stored: &mut Values, own: &Map<String, Value>, chart: &Values, pointer: &str) {
        for (key, value) in own {
            let below = path::key_below(pointer, key);
            match value {
                Value::Object(own) => take_back(stored, own, chart, &below),
                Value::Null => {
                    let Some(Value::Object(map)) = stored.tree.pointer_mut(pointer) else {
                        continue;
                    };
                    forget_below(&mut stored.origins, &below);
                    stored.origins.remove(&below);
                    match chart.tree.pointer(&below) {
                        Some(default) => {
                            map.insert(key.clone(), default.clone());
                            take_origins(&mut stored.origins, &chart.origins, &below);
                        }
                        None => _ = map.shift_remove(key),
                    }
                }
                _ => {}
            }
        }
    }
    if let Value::Object(own) = &user.tree {
        take_back(&mut stored, own, chart, "");
    }
    stored
}

/// Removes null keys from the user's values, once their effect is in the result.
pub fn without_nulls(mut user: Values) -> Values {
    fn drop_nulls(map: &mut Map<String, Value>) {
        map.retain(|_, value| !value.is_null());
        map.values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(drop_nulls);
    }
    user.tree.as_object_mut().into_iter().for_each(drop_nulls);
    user
}

/// Merges into the defaults in place. Does not touch what the user does not set.
struct Coalesce<'v> {
    user: &'v Values,
    origins: Origins,
    warnings: Vec<String>,
}

impl Coalesce<'_> {
    fn maps(&mut self, defaults: &mut Map<String, Value>, own: &Map<String, Value>, pointer: &str) {
        self.note(pointer);
        for (key, value) in own {
            let below = path::key_below(pointer, key);
            match (defaults.get_mut(key), value) {
                (None, value) => {
                    let value = self.one(value, &below);
                    defaults.extend(value.map(|value| (key.clone(), value)));
                }
                (Some(_), Value::Null) => self.note_null(&below),
                (Some(default), value) => self.both(default, value, &below),
            }
        }
    }

    fn both(&mut self, default: &mut Value, own: &Value, pointer: &str) {
        match (&mut *default, own) {
            (Value::Object(default), Value::Object(own)) => {
                return self.maps(default, own, pointer);
            }
            (Value::Null, _) => {}
            (Value::Object(_), _) => self.warn(
                pointer,
                "is a map in the chart; your value replaces the whole map",
            ),
            (_, Value::Object(_)) => self.warn(
                pointer,
                "is not a map in the chart; your map replaces its value",
            ),
            _ => {}
        }
        forget_below(&mut self.origins, pointer);
        *default = self.one(own, pointer).unwrap_or_default();
    }

    /// Returns one of the user's values without its null keys.
    fn one(&mut self, value: &Value, pointer: &str) -> Option<Value> {
        match value {
            Value::Object(map) => Some(Value::Object(self.one_map(map, pointer))),
            Value::Null => {
                self.note(pointer);
                None
            }
            other => {
                self.note(pointer);
                let below = below(&self.user.origins, pointer)
                    .map(|(pointer, origins)| (pointer.clone(), origins.clone()));
                self.origins.extend(below);
                Some(other.clone())
            }
        }
    }

    fn one_map(&mut self, map: &Map<String, Value>, pointer: &str) -> Map<String, Value> {
        self.note(pointer);
        let entries = map.iter().filter_map(|(key, value)| {
            let value = self.one(value, &path::key_below(pointer, key))?;
            Some((key.clone(), value))
        });
        entries.collect()
    }

    /// Adds the user's origins of a node to those of the default.
    fn note(&mut self, pointer: &str) {
        if let Some(origins) = self.user.origins.get(pointer) {
            self.origins
                .entry(pointer.to_owned())
                .or_default()
                .extend(origins.iter().cloned());
        }
    }

    /// Adds the user's origins of a null below those of the default, which applies.
    fn note_null(&mut self, pointer: &str) {
        let mut origins = self.user.origins.get(pointer).cloned().unwrap_or_default();
        if let Some(last) = origins.last_mut() {
            *last = Origin::Null(Box::new(last.clone()));
        }
        // A default without its own origin has that of the nearest node above it.
        let default = self.origins.entry(pointer.to_owned()).or_default();
        origins.append(default);
        *default = origins;
    }

    fn warn(&mut self, pointer: &str, what: &str) {
        let place = self
            .user
            .origin(pointer)
            .map(|origin| format!(" ({origin})"))
            .unwrap_or_default();
        self.warnings.push(format!(
            "\"{}\" {what}{place}",
            path::display(pointer, &self.user.tree)
        ));
    }
}

/// Returns the entries strictly below a pointer.
fn below<'o>(
    origins: &'o Origins,
    pointer: &str,
) -> impl Iterator<Item = (&'o String, &'o Vec<Origin>)> + use<'o> {
    // "0" is the character after "/".
    origins.range(format!("{pointer}/")..format!("{pointer}0"))
}

fn take_origins(known: &mut Origins, new: &Origins, pointer: &str) {
    known.extend(
        new.get(pointer)
            .map(|origins| (pointer.to_owned(), origins.clone())),
    );
    known.extend(below(new, pointer).map(|(pointer, origins)| (pointer.clone(), origins.clone())));
}

/// Removes the origins of all nodes below a pointer, because its value is replaced.
pub(super) fn forget_below(origins: &mut Origins, pointer: &str) {
    let gone: Vec<String> = below(origins, pointer)
        .map(|(pointer, _)| pointer.clone())
        .collect();
    for pointer in gone {
        origins.remove(&pointer);
    }
}
