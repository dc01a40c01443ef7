//! The schemas that apply to one value together.

use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Returns the schemas that apply to the same value as `schema`: references, alternatives and
/// conditions.
pub fn branches<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix('#'));
    let mut found: Vec<&Value> = target
        .and_then(|target| root.pointer(target))
        .into_iter()
        .collect();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        found.extend(
            schema
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        );
    }
    found.extend(
        ["if", "then", "else", "not"]
            .into_iter()
            .filter_map(|keyword| schema.get(keyword)),
    );
    found.extend(
        schema
            .get("dependentSchemas")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|schemas| schemas.values()),
    );
    found
}

/// Returns the names of all keys that a schema knows for a map, in all branches.
pub fn known_keys<'s>(root: &'s Value, schema: &'s Value) -> BTreeSet<&'s str> {
    let (mut keys, mut seen, mut open) = (BTreeSet::new(), HashSet::new(), vec![schema]);
    while let Some(schema) = open.pop() {
        if seen.insert(std::ptr::from_ref(schema)) {
            keys.extend(
                schema
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flat_map(|named| named.keys().map(String::as_str)),
            );
            open.extend(branches(root, schema));
        }
    }
    keys
}
