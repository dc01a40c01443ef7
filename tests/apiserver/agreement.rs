//! What a plan says is what the upgrade then does: an object changes exactly where the plan says
//! so.

use crate::nodes::Release;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Objects that are ours by kind and name, each as far as only somebody who writes it changes it:
/// controllers write statuses.
fn objects(release: &Release) -> BTreeMap<String, Value> {
    let ours = |body: &Value| {
        body["metadata"]["labels"]["kubectl-fabric.io/record"].is_null()
            && body["metadata"]["name"] != "kube-root-ca.crt"
    };
    let outline = |mut body: Value| {
        let name = format!(
            "{}/{}",
            body["kind"].as_str().unwrap(),
            body["metadata"]["name"].as_str().unwrap()
        );
        body["status"] = Value::Null;
        body["metadata"]["resourceVersion"] = Value::Null;
        if let Some(managers) = body["metadata"]["managedFields"].as_array_mut() {
            managers.retain(|manager| manager["subresource"] != "status");
        }
        (name, body)
    };
    let kinds = "configmap,secret,service,statefulset";
    let list = [
        "get",
        kinds,
        "-n",
        &release.namespace,
        "-o",
        "json",
        "--show-managed-fields",
    ];
    let mut list = release.cluster.kubectl().args(list).run().success().json();
    let Value::Array(items) = list["items"].take() else {
        panic!("a list")
    };
    items.into_iter().filter(ours).map(outline).collect()
}

fn edit(release: &Release, kind: &str, name: &str, patch: &Value) {
    let kubectl = release.cluster.kubectl().args([
        "-n",
        &release.namespace,
        "patch",
        kind,
        name,
        "--type=merge",
    ]);
    kubectl
        .args(["--field-manager=somebody", "-p", &patch.to_string()])
        .run()
        .success();
}

/// Small changes by somebody else: of fields that are ours, of fields that are nobody's, and of
/// some that the server fills in.
fn edits() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "configmap",
            "settings",
            json!({"data": {"level": "theirs"}}),
        ),
        ("configmap", "settings", json!({"data": {"more": "theirs"}})),
        (
            "configmap",
            "kept",
            json!({"metadata": {"annotations": {"their": "mark"}}}),
        ),
        (
            "configmap",
            "kept",
            json!({"metadata": {"labels": {"their": "label"}}}),
        ),
        (
            "secret",
            "password",
            json!({"data": {"password": "dGhlaXJz"}}),
        ),
        ("secret", "password", json!({"data": {"more": "dGhlaXJz"}})),
        (
            "service",
            "nodes",
            json!({"spec": {"publishNotReadyAddresses": true}}),
        ),
        (
            "service",
            "nodes",
            json!({"spec": {"selector": {"app": "others"}}}),
        ),
        ("statefulset", "first", json!({"spec": {"replicas": 2}})),
        (
            "statefulset",
            "node0",
            json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}}),
        ),
        (
            "statefulset",
            "node0",
            json!({"spec": {"template": {"metadata": {"annotations": {"sim.kubectl-fabric.io/state": ""}}}}}),
        ),
        (
            "statefulset",
            "node0",
            json!({"metadata": {"annotations": {"kubectl-fabric.io/stage": "0"}}}),
        ),
    ]
}

const SETTINGS: [&str; 8] = [
    "settings.level=debug",
    "settings.level=info",
    "settings.extra=x",
    "password=another",
    "image=registry.example/node:2",
    "extra=true",
    "extra=false",
    "firstState=",
];

#[test]
fn an_upgrade_changes_exactly_what_its_plan_says() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=1"]).success();
    let edits = edits();
    // Every edit once, in rounds of three, each with two of the values; the last round changes
    // nothing.
    for round in 0..=4 {
        for (kind, name, patch) in edits.iter().skip(round).step_by(4).filter(|_| round < 4) {
            edit(&release, kind, name, patch);
        }
        let values = if round < 4 {
            format!("{},{}", SETTINGS[round], SETTINGS[7 - round])
        } else {
            String::new()
        };
        let args = |more: &[&'static str]| -> Vec<String> {
            ["--force-conflicts", "--set", &values, "-o", "json"]
                .into_iter()
                .chain(more.iter().copied())
                .map(String::from)
                .collect()
        };
        let upgrade = |more: &[&'static str]| {
            release
                .command(&["upgrade"], &[])
                .args(args(more))
                .run()
                .success()
                .json()
        };
        let before = objects(&release);
        let plan = upgrade(&["--dry-run=server"]);
        assert_eq!(objects(&release), before, "a preview writes nothing");
        let done = upgrade(&[]);
        let after = objects(&release);

        assert_eq!(done["changes"], plan["changes"], "round {round}");
        let names = before
            .keys()
            .chain(after.keys())
            .collect::<std::collections::BTreeSet<_>>();
        let did = names
            .into_iter()
            .filter_map(|name| match (before.get(name), after.get(name)) {
                (Some(before), Some(after)) if before == after => None,
                (Some(_), Some(_)) => Some((name.clone(), "change")),
                (None, _) => Some((name.clone(), "create")),
                (_, None) => Some((name.clone(), "prune")),
            });
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let said = plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|change| change["kind"] != "Namespace");
        let said = said.map(|change| {
            (
                format!("{}/{}", text(&change["kind"]), text(&change["name"])),
                text(&change["action"]),
            )
        });
        let said: BTreeMap<String, String> = said.collect();
        let did: BTreeMap<String, String> = did
            .map(|(name, action)| (name, action.to_owned()))
            .collect();
        assert_eq!(said, did, "round {round} with {values}");
        assert_eq!(did.is_empty(), round == 4, "round {round}: {did:?}");
    }
}
