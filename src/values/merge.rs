//! Trees over trees: what one source says on top of what others said, and the user's values over a chart's defaults.
//!
//! Maps are merged key by key, everything else is replaced whole. Origins follow their nodes.

use super::{Origin, Values, path};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Origins = BTreeMap<String, Vec<Origin>>;

/// `over` on top of `under`, both the user's (null is kept as a wish to remove).
pub fn merge(mut under: Values, over: Values) -> Values {
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
            known.extend(below(new, pointer).map(|(pointer, origins)| (pointer.clone(), origins.clone())));
        }
    }
}

/// What templates see: the user's values over the defaults; a null removes its key wherever it comes from. The second part
/// holds warnings for the user (a map that something else replaces, and the other way round).
///
/// A removed key keeps its origins, so that errors and `values explain` can say who removed it.
pub fn coalesce(defaults: &Values, user: &Values) -> (Values, Vec<String>) {
    let mut work = Coalesce { defaults, user, origins: Origins::new(), warnings: Vec::new() };
    let tree = match (&defaults.tree, &user.tree) {
        (Value::Object(default), Value::Object(own)) => work.maps(default, own, ""),
        (Value::Object(only), _) => work.one_map(&defaults.origins, only, ""),
        (_, Value::Object(only)) => work.one_map(&user.origins, only, ""),
        _ => Map::new(),
    };
    (Values { tree: Value::Object(tree), origins: work.origins }, work.warnings)
}

struct Coalesce<'v> {
    defaults: &'v Values,
    user: &'v Values,
    origins: Origins,
    warnings: Vec<String>,
}

impl Coalesce<'_> {
    fn maps(&mut self, defaults: &Map<String, Value>, own: &Map<String, Value>, pointer: &str) -> Map<String, Value> {
        self.note(&self.defaults.origins, pointer);
        self.note(&self.user.origins, pointer);
        let mut map = Map::new();
        for (key, default) in defaults {
            let below = path::key_below(pointer, key);
            let value = match own.get(key) {
                None => self.one(&self.defaults.origins, default, &below),
                Some(value) => self.both(default, value, &below),
            };
            map.extend(value.map(|value| (key.clone(), value)));
        }
        for (key, value) in own.iter().filter(|(key, _)| !defaults.contains_key(*key)) {
            let value = self.one(&self.user.origins, value, &path::key_below(pointer, key));
            map.extend(value.map(|value| (key.clone(), value)));
        }
        map
    }

    fn both(&mut self, default: &Value, own: &Value, pointer: &str) -> Option<Value> {
        if let (Value::Object(default), Value::Object(own)) = (default, own) {
            return Some(Value::Object(self.maps(default, own, pointer)));
        }
        match (default, own) {
            (_, Value::Null) | (Value::Null, _) => {}
            (Value::Object(_), _) => self.warn(pointer, "is a map in the chart, your value replaces it whole"),
            (_, Value::Object(_)) => self.warn(pointer, "is no map in the chart, your map replaces what is there"),
            _ => {}
        }
        self.note(&self.defaults.origins, pointer);
        self.one(&self.user.origins, own, pointer)
    }

    /// A value that one side alone has: as it is, without the keys that are null.
    fn one(&mut self, origins: &Origins, value: &Value, pointer: &str) -> Option<Value> {
        match value {
            Value::Object(map) => Some(Value::Object(self.one_map(origins, map, pointer))),
            Value::Null => {
                self.note(origins, pointer);
                None
            }
            other => {
                self.note(origins, pointer);
                let below = below(origins, pointer).map(|(pointer, origins)| (pointer.clone(), origins.clone()));
                self.origins.extend(below);
                Some(other.clone())
            }
        }
    }

    fn one_map(&mut self, origins: &Origins, map: &Map<String, Value>, pointer: &str) -> Map<String, Value> {
        self.note(origins, pointer);
        let entries = map.iter().filter_map(|(key, value)| {
            let value = self.one(origins, value, &path::key_below(pointer, key))?;
            Some((key.clone(), value))
        });
        entries.collect()
    }

    fn note(&mut self, origins: &Origins, pointer: &str) {
        if let Some(origins) = origins.get(pointer) {
            self.origins.entry(pointer.to_owned()).or_default().extend(origins.iter().cloned());
        }
    }

    fn warn(&mut self, pointer: &str, what: &str) {
        let place = self.user.origin(pointer).map(|origin| format!(" ({origin})")).unwrap_or_default();
        self.warnings.push(format!("\"{}\" {what}{place}", path::display(pointer, &self.user.tree)));
    }
}

/// Entries strictly below a pointer.
fn below<'o>(origins: &'o Origins, pointer: &str) -> impl Iterator<Item = (&'o String, &'o Vec<Origin>)> + use<'o> {
    // "0" is the character after "/".
    origins.range(format!("{pointer}/")..format!("{pointer}0"))
}

fn take_origins(known: &mut Origins, new: &Origins, pointer: &str) {
    known.extend(new.get(pointer).map(|origins| (pointer.to_owned(), origins.clone())));
    known.extend(below(new, pointer).map(|(pointer, origins)| (pointer.clone(), origins.clone())));
}

/// Drops the origins of all nodes below a pointer, whose value is replaced.
pub(super) fn forget_below(origins: &mut Origins, pointer: &str) {
    let gone: Vec<String> = below(origins, pointer).map(|(pointer, _)| pointer.clone()).collect();
    for pointer in gone {
        origins.remove(&pointer);
    }
}
