//! Keys that are left empty, on live releases: nothing changes, and what was stored is taken back.

use crate::support;
use kubectl_fabric::chart::repository;
use kubectl_fabric::values;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;

/// For each depth of a tree, the same maps with every key of that depth null.
fn nulls_by_depth(tree: &Value) -> BTreeMap<usize, Value> {
    fn cut(node: &Map<String, Value>, depth: usize) -> Value {
        let entry = |(key, child): (&String, &Value)| match (depth, child) {
            (1, _) => Some((key.clone(), Value::Null)),
            (_, Value::Object(child)) if !child.is_empty() => {
                Some((key.clone(), cut(child, depth - 1)))
            }
            _ => None,
        };
        Value::Object(node.iter().filter_map(entry).collect())
    }
    fn depth(node: &Value) -> usize {
        node.as_object()
            .into_iter()
            .flatten()
            .map(|(_, child)| 1 + depth(child))
            .max()
            .unwrap_or(0)
    }
    (1..=depth(tree))
        .map(|at| (at, cut(tree.as_object().expect("a map"), at)))
        .collect()
}

/// Every key of every chart, in as many plans as the values are deep.
#[test]
fn an_upgrade_with_empty_keys_plans_no_change() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let server = json!({
        "image": {"repository": "registry.example.com/basic", "tag": "1.0"},
        "packageID": format!("basic_1.0:{}", "0".repeat(64)),
    });
    for (release, chart, needed) in [
        ("org1", "peer-org", json!({})),
        ("orgorderer1", "orderer-org", json!({})),
        ("kafka", "kafka", json!({})),
        ("basic", "chaincode", server),
    ] {
        let file = cluster.folder().join(format!("{chart}.yaml"));
        fs::write(&file, needed.to_string()).unwrap();
        let needed = file.to_str().unwrap();
        let namespace = cluster.namespace(release);
        let fabric = |args: &[&str]| cluster.fabric().args(args).args(["-n", &namespace]).run();
        fabric(&["install", release, chart, "-f", needed]).success();
        let defaults = values::defaults(
            &repository::find(chart, None).unwrap().values,
            "values.yaml",
        )
        .unwrap();
        for (depth, empty) in nulls_by_depth(&defaults.tree) {
            let file = cluster.folder().join(format!("{chart}-{depth}.yaml"));
            fs::write(&file, empty.to_string()).unwrap();
            let file = file.to_str().unwrap();
            let diff = fabric(&[
                "diff",
                "upgrade",
                release,
                "--exit-code",
                "-f",
                file,
                "-f",
                needed,
            ])
            .exits(0);
            assert!(
                !["StatefulSet", "Deployment"]
                    .iter()
                    .any(|kind| diff.stdout.contains(kind)),
                "{chart}, depth {depth}:\n{}",
                diff.stdout
            );
        }
    }
}

#[test]
fn an_empty_key_takes_back_what_is_stored() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.namespace("org1");
    let fabric = |args: &[&str]| cluster.fabric().args(args).args(["-n", &namespace]).run();
    let stored = || {
        fabric(&["get", "values", "org1", "-o", "json"])
            .success()
            .json()
    };
    let variable = || {
        let set = cluster
            .get("statefulset", "peer0", Some(&namespace))
            .unwrap();
        let env = set["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .unwrap()
            .clone();
        env.into_iter()
            .find(|variable| variable["name"] == "GODEBUG")
            .map(|variable| variable["value"].clone())
    };
    fabric(&[
        "install",
        "org1",
        "--set",
        "ca.enabled=false,peers.count=1,peers.env.GODEBUG=netdns=go",
    ])
    .success();
    assert_eq!(variable(), Some(json!("netdns=go")));
    // A file whose section is all comments changes no default, and takes the stored variable back.
    let file = cluster.folder().join("empty.yaml");
    fs::write(
        &file,
        "peers:\n  env:\n    # GODEBUG: netdns=go\nca:\n  image:\n",
    )
    .unwrap();
    fabric(&["upgrade", "org1", "-f", file.to_str().unwrap()]).success();
    assert_eq!(variable(), None);
    assert!(
        cluster.get("statefulset", "ca", Some(&namespace)).is_none(),
        "ca.enabled is stored, and the file does not name it"
    );
    assert_eq!(
        stored(),
        json!({"ca": {"enabled": false}, "peers": {"count": 1}})
    );
    // It also takes back what --reuse-values puts in the place of the defaults.
    fabric(&[
        "upgrade",
        "org1",
        "--set",
        "peers.env.GODEBUG=x,peers.logging.spec=debug",
    ])
    .success();
    fabric(&[
        "upgrade",
        "org1",
        "--reuse-values",
        "--set",
        "peers.env.GODEBUG=null,peers.logging=null",
    ])
    .success();
    assert_eq!(variable(), None);
    let all = fabric(&["get", "values", "org1", "--all", "-o", "json"])
        .success()
        .json();
    assert_eq!(
        (&all["peers"]["logging"], &all["peers"]["env"]),
        (&json!({"spec": "info"}), &json!({}))
    );
    // What the release runs is told with what takes it back.
    let told = fabric(&[
        "values",
        "explain",
        "org1",
        "--stored",
        "-p",
        "ca.enabled",
        "--set",
        "ca.enabled=null",
    ])
    .success()
    .stdout;
    for part in [
        "ca.enabled: true",
        "from the chart's default, ",
        "over --set ca.enabled, where null removes",
        "over revision 4",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}
