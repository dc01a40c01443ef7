//! Keys that are left empty, on live releases: nothing changes.

use crate::support;
use kubectl_fabric::chart::repository;
use kubectl_fabric::values;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;

/// For each depth of a tree, the same maps with every key of that depth null.
fn nulls_by_depth(tree: &Value) -> BTreeMap<usize, Value> {
    fn cut(node: &Map<String, Value>, depth: usize) -> Value {
        let entry = |(key, child): (&String, &Value)| match (depth, child) {
            (1, _) => Some((key.clone(), Value::Null)),
            (_, Value::Object(child)) if !child.is_empty() => Some((key.clone(), cut(child, depth - 1))),
            _ => None,
        };
        Value::Object(node.iter().filter_map(entry).collect())
    }
    fn depth(node: &Value) -> usize {
        node.as_object().into_iter().flatten().map(|(_, child)| 1 + depth(child)).max().unwrap_or(0)
    }
    (1..=depth(tree)).map(|at| (at, cut(tree.as_object().expect("a map"), at))).collect()
}

/// Every key of every chart, in as many plans as the values are deep.
#[test]
fn an_upgrade_with_empty_keys_plans_no_change() {
    let Some(cluster) = support::cluster() else { return };
    for (release, chart) in [("org1", "peer-org"), ("orgorderer1", "orderer-org"), ("kafka", "kafka")] {
        let namespace = cluster.namespace(release);
        let fabric = |args: &[&str]| cluster.fabric().args(args).args(["-n", &namespace]).run();
        fabric(&["install", release, chart]).success();
        let defaults = values::defaults(&repository::find(chart, None).unwrap().values, "values.yaml").unwrap();
        for (depth, empty) in nulls_by_depth(&defaults.tree) {
            let file = cluster.folder().join(format!("{chart}-{depth}.yaml"));
            fs::write(&file, empty.to_string()).unwrap();
            let file = file.to_str().unwrap();
            let diff = fabric(&["diff", "upgrade", release, "--exit-code", "-f", file]).exits(0);
            assert!(!diff.stdout.contains("StatefulSet"), "{chart}, depth {depth}:\n{}", diff.stdout);
        }
    }
}
