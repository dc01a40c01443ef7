//! Keys that are left empty: each key of each chart, alone and with all others of its depth. None
//! of them changes anything.

use super::{Case, merged};
use kubectl_fabric::values::{self, Origin, Values};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const CHARTS: [&str; 4] = ["peer-org", "orderer-org", "kafka", "chaincode"];

/// The keys of every map of a tree, by depth, as paths.
fn keys(tree: &Value) -> BTreeMap<usize, Vec<Vec<String>>> {
    fn walk(node: &Value, path: &[String], into: &mut BTreeMap<usize, Vec<Vec<String>>>) {
        for (key, child) in node.as_object().into_iter().flatten() {
            let path = [path, std::slice::from_ref(key)].concat();
            walk(child, &path, into);
            into.entry(path.len()).or_default().push(path);
        }
    }
    let mut found = BTreeMap::new();
    walk(tree, &[], &mut found);
    found
}

/// A tree in which these keys are null.
fn nulls<'a>(paths: impl IntoIterator<Item = &'a Vec<String>>) -> Value {
    let mut tree = json!({});
    for path in paths {
        let mut node = tree.as_object_mut().expect("a map");
        for key in &path[..path.len() - 1] {
            node = node
                .entry(key)
                .or_insert_with(|| Map::new().into())
                .as_object_mut()
                .expect("a map");
        }
        node.insert(path.last().expect("not empty").clone(), Value::Null);
    }
    tree
}

#[test]
fn an_empty_key_leaves_the_default_of_every_chart_as_it_is() {
    for name in CHARTS {
        let case = Case::of(name);
        let defaults = values::defaults(&case.chart().values, "values.yaml").unwrap();
        let as_it_is = values::coalesce(
            defaults.clone(),
            &Values {
                tree: json!({}),
                ..Values::default()
            },
        )
        .0
        .tree;
        let keys = keys(&defaults.tree);
        assert!(keys.values().flatten().count() > 30, "{name}");
        for path in keys.values().flatten() {
            let user = values::with_origin(nulls([path]), Origin::Program("test".into()));
            let (values, warnings) = values::coalesce(defaults.clone(), &user);
            assert_eq!(values.tree, as_it_is, "{name}: {}", path.join("."));
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }
}

#[test]
fn empty_keys_of_one_depth_render_what_the_defaults_do() {
    for name in CHARTS {
        let case = Case::of(name);
        let rendered = |values: Value| {
            let values = merged(values, &case.least());
            let outcome = case
                .outcome_of(values.to_string())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let objects: Vec<Value> = outcome
                .output
                .objects
                .into_iter()
                .map(|object| object.body)
                .collect();
            (objects, outcome.output.notes, outcome.organization)
        };
        let defaults = values::defaults(&case.chart().values, "values.yaml").unwrap();
        let as_it_is = rendered(json!({}));
        for (depth, paths) in keys(&defaults.tree) {
            let empty = rendered(nulls(&paths));
            assert!(empty == as_it_is, "{name}: keys of depth {depth}");
        }
    }
}
