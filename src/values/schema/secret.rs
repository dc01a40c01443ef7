//! Which values a schema marks as secret.

use super::branches::branches;
use crate::values::path;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Returns the JSON pointers of all values in `tree` that the schema marks `x-secret: true`.
///
/// Follows all branches of the schema, even those that do not apply to the values: a value that may
/// be a secret is treated as one.
pub fn secret_paths(schema: &Value, tree: &Value) -> Vec<String> {
    let mut search = Search {
        root: schema,
        seen: HashSet::new(),
        found: BTreeSet::new(),
    };
    search.collect(schema, tree, "");
    search.found.into_iter().collect()
}

struct Search<'s> {
    root: &'s Value,
    /// Schemas (by address) and nodes already visited together, because a schema may refer to
    /// itself.
    seen: HashSet<(*const Value, String)>,
    found: BTreeSet<String>,
}

impl<'s> Search<'s> {
    fn collect(&mut self, schema: &'s Value, node: &Value, pointer: &str) {
        let Value::Object(keywords) = schema else {
            return;
        };
        if keywords.get("x-secret") == Some(&Value::Bool(true)) {
            self.found.insert(pointer.to_owned());
            return;
        }
        if !self.seen.insert((schema, pointer.to_owned())) {
            return;
        }
        for branch in branches(self.root, schema) {
            self.collect(branch, node, pointer);
        }
        match node {
            Value::Object(map) => {
                let named = keywords.get("properties").and_then(Value::as_object);
                let patterns = keywords.get("patternProperties").and_then(Value::as_object);
                for (key, value) in map {
                    let pointer = path::key_below(pointer, key);
                    let known = named.and_then(|named| named.get(key));
                    // Does not check which pattern matches the key: all of them may.
                    let other = ["additionalProperties", "unevaluatedProperties"]
                        .map(|keyword| keywords.get(keyword));
                    let other = other.into_iter().flatten().filter(|_| known.is_none());
                    for schema in known
                        .into_iter()
                        .chain(patterns.into_iter().flat_map(|patterns| patterns.values()))
                        .chain(other)
                    {
                        self.collect(schema, value, &pointer);
                    }
                }
            }
            Value::Array(list) => {
                let first = ["prefixItems", "items"]
                    .map(|keyword| keywords.get(keyword).and_then(Value::as_array));
                let rest = ["items", "additionalItems", "contains", "unevaluatedItems"]
                    .map(|keyword| keywords.get(keyword));
                for (index, value) in list.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    let own = first
                        .iter()
                        .flatten()
                        .filter_map(|schemas| schemas.get(index));
                    for schema in own.chain(rest.into_iter().flatten()) {
                        self.collect(schema, value, &pointer);
                    }
                }
            }
            _ => {}
        }
    }
}
