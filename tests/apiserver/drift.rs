//! What others add to, change in and delete from a release's objects: `drift` tells it,
//! `upgrade --force-conflicts` puts it right.

use crate::nodes::Release;
use serde_json::{Value, json};

impl Release {
    fn by_hand(&self, args: &[&str]) {
        self.cluster
            .kubectl()
            .args(["-n", &self.namespace])
            .args(args)
            .run()
            .success();
    }

    /// As `upgrade`, of which nothing is waited for.
    fn apply_only(&self, args: &[&str]) -> crate::support::Output {
        self.upgrade(&[args, &["--wait=false"]].concat())
    }

    fn pod_spec(&self, set: &str) -> Value {
        self.get("statefulset", set).expect("the node is there")["spec"]["template"]["spec"].clone()
    }

    fn drift_told(&self) -> Value {
        self.run("drift", &["-o", "json"]).exits(2).json()
    }
}

/// A policy that lets nothing in, as its release applies it.
const TEMPLATE: &str = r#"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
spec:
  podSelector: {}
  policyTypes: [Ingress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: nodes
spec:
  podSelector:
    matchLabels:
      app: nodes
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: nodes
      ports:
        - port: 7051
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: words
data:
  text: {{ values.text }}
{% if values.hotfix %}
  hotfix: {{ values.hotfix }}
{% endif %}
{% if values.scaled %}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cli
spec:
  selector:
    matchLabels:
      app: cli
  template:
    metadata:
      labels:
        app: cli
    spec:
      {% if values.disk %}
      nodeSelector:
        disk: {{ values.disk }}
      {% endif %}
      containers:
        - name: cli
          image: registry.example/cli:1
{% endif %}
"#;

/// A release of two policies and a ConfigMap.
fn policies(release: &Release) -> String {
    let chart = release.cluster.folder().join("policies");
    std::fs::create_dir_all(chart.join("templates")).expect("a folder");
    std::fs::write(
        chart.join("Chart.yaml"),
        "apiVersion: v2\nname: policies\nversion: 0.1.0\n",
    )
    .expect("a file");
    let values = "text: one\nhotfix: \"\"\nscaled: false\ndisk: \"\"\n";
    std::fs::write(chart.join("values.yaml"), values).expect("a file");
    std::fs::write(chart.join("templates/all.yaml"), TEMPLATE).expect("a file");
    chart.display().to_string()
}

#[test]
fn what_others_added_to_a_node_is_reported_with_their_names_and_removed_when_asked() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--wait=false"]).success();
    release.run("drift", &[]).exits(0);
    let container = json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "extra", "image": "x/y:1"}}]);
    release.by_hand(&[
        "patch",
        "sts",
        "node0",
        "--type=json",
        "-p",
        &container.to_string(),
        "--field-manager=intruder",
    ]);
    release.by_hand(&["set", "env", "sts/node1", "HOTFIX=1"]);
    release.by_hand(&["label", "sts", "node1", "team=b"]);
    release.by_hand(&["annotate", "sts", "node1", "example.com/note=x"]);
    let port =
        json!([{"op": "add", "path": "/spec/ports/-", "value": {"name": "ssh", "port": 22}}]);
    release.by_hand(&[
        "patch",
        "svc",
        "nodes",
        "--type=json",
        "-p",
        &port.to_string(),
    ]);
    release.by_hand(&[
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"data": {"more": "words"}}"#,
    ]);
    release.by_hand(&["delete", "configmap", "kept"]);

    let said = release.run("drift", &[]).exits(2).stdout;
    for line in [
        "/node0 (changed by \"intruder\")",
        "+      - image: x/y:1",
        "/node1 (changed by \"kubectl-annotate\", \"kubectl-label\", \"kubectl-set\")",
        "+        - name: HOTFIX",
        "+    team: b",
        "+    example.com/note: x",
        "+  - name: ssh",
        "+  more: words",
        "/kept (deleted)",
        "4 changed, 1 deleted",
        "--force-conflicts` removes the drift",
    ] {
        assert!(said.contains(line), "{line} is missing:\n{said}");
    }
    assert!(!said.contains("to create"), "{said}");
    let told = release.drift_told();
    let fields: Vec<&Value> = told["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .flat_map(|change| change["fields"].as_array().expect("fields"))
        .collect();
    let field = |name: &str| {
        fields
            .iter()
            .any(|field| field["field"] == name && field["action"] == "added")
    };
    for name in [
        "spec.template.spec.containers[name=\"extra\"]",
        "spec.template.spec.containers[name=\"node\"].env[name=\"HOTFIX\"]",
        "metadata.labels.team",
        "metadata.annotations[example.com/note]",
        "spec.ports[port=22,protocol=\"TCP\"]",
        "data.more",
    ] {
        assert!(field(name), "{name} is missing: {fields:#?}");
    }

    // An upgrade leaves what others added alone, but for what it was asked to take.
    release.apply_only(&[]).success();
    assert_eq!(
        release.pod_spec("node0")["containers"]
            .as_array()
            .expect("containers")
            .len(),
        2
    );
    let seen = release
        .run("upgrade", &["--force-conflicts", "--dry-run=server"])
        .success()
        .stdout;
    assert!(
        seen.contains("4 to change") && seen.contains("node0"),
        "{seen}"
    );
    release.apply_only(&["--force-conflicts"]).success();
    release.run("drift", &[]).exits(0);
    assert_eq!(
        release.pod_spec("node0")["containers"]
            .as_array()
            .expect("containers")
            .len(),
        1
    );
    assert_eq!(
        release.pod_spec("node1")["containers"][0]["env"],
        Value::Null
    );
    let node = release
        .get("statefulset", "node1")
        .expect("the node is there");
    assert_eq!(
        (
            &node["metadata"]["labels"]["team"],
            &node["metadata"]["annotations"]["example.com/note"]
        ),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        release.get("service", "nodes").expect("it is there")["spec"]["ports"]
            .as_array()
            .expect("ports")
            .len(),
        1
    );
    assert_eq!(
        release.get("configmap", "settings").expect("it is there")["data"],
        json!({"level": "info"})
    );
}

#[test]
fn a_policy_that_was_opened_is_reported_and_closed_again() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = policies(&release);
    release.run("install", &["--chart", &chart]).success();
    release.by_hand(&[
        "patch",
        "netpol",
        "default-deny",
        "-p",
        r#"{"spec":{"ingress":[{}]}}"#,
    ]);
    // A peer is taken out of a list that is written as a whole, so anyone may come.
    let open = json!([{"op": "remove", "path": "/spec/ingress/0/from"}]);
    release.by_hand(&[
        "patch",
        "netpol",
        "nodes",
        "--type=json",
        "-p",
        &open.to_string(),
    ]);
    let said = release.run("drift", &[]).exits(2).stdout;
    for line in [
        "/default-deny (changed by \"kubectl-patch\")",
        "+  - {}",
        "/nodes (changed by \"kubectl-patch\")",
        "-  - from:",
    ] {
        assert!(said.contains(line), "{line} is missing:\n{said}");
    }
    // What another manager changed is seen by `diff`, and refused by an upgrade, whose hint works.
    let diff = release
        .run("diff upgrade", &["--exit-code"])
        .exits(2)
        .stdout;
    assert!(diff.contains("/nodes (to change: only with --force-conflicts: spec.ingress: set by \"kubectl-patch\")"), "{diff}");
    assert!(
        release
            .apply_only(&[])
            .exits(4)
            .stderr
            .contains("diff upgrade")
    );
    release.apply_only(&["--force-conflicts"]).success();
    release.run("drift", &[]).exits(0);
    let spec =
        |name: &str| release.get("networkpolicy", name).expect("it is there")["spec"].clone();
    assert_eq!(spec("default-deny")["ingress"], Value::Null);
    assert_eq!(
        spec("nodes")["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
        json!({"app": "nodes"})
    );
}

#[test]
fn a_field_set_by_hand_then_written_into_values_then_removed_from_them_is_gone() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = policies(&release);
    release.run("install", &["--chart", &chart]).success();
    release.by_hand(&[
        "patch",
        "configmap",
        "words",
        "--type=merge",
        "-p",
        r#"{"data": {"hotfix": "1"}}"#,
    ]);
    release.apply_only(&["--set-string", "hotfix=1"]).success();
    release.run("drift", &[]).exits(0);
    let seen = release
        .run("diff upgrade", &["--set-string", "hotfix="])
        .success()
        .stdout;
    assert!(seen.contains("-  hotfix: \"1\""), "{seen}");
    release.apply_only(&["--set-string", "hotfix="]).success();
    assert_eq!(
        release.get("configmap", "words").expect("it is there")["data"],
        json!({"text": "one"})
    );
    release.run("drift", &[]).exits(0);
}

#[test]
fn what_only_the_previous_manager_set_is_removed_after_adoption_and_an_autoscaler_keeps_its_replicas()
 {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = policies(&release);
    let values = ["--chart", &chart, "--set", "scaled=true"];
    release.cluster.create_namespace("app");
    let rendered = release
        .run("template", &[&values[..], &["--set", "disk=ssd"]].concat())
        .success()
        .stdout;
    let first = rendered.replace(
        "  name: words\n",
        "  name: words\n  finalizers: [example.com/keep]\n",
    );
    release
        .cluster
        .kubectl()
        .args(["-n", &release.namespace, "apply", "-f", "-"])
        .stdin(first)
        .run()
        .success();
    release.by_hand(&[
        "patch",
        "configmap",
        "words",
        "--type=merge",
        "-p",
        r#"{"data": {"old": "1"}}"#,
    ]);
    release
        .run(
            "install",
            &[
                &values[..],
                &[
                    "--take-ownership",
                    "--force",
                    "U41",
                    "--force-conflicts",
                    "--set",
                    "disk=ssd",
                    "--wait=false",
                ],
            ]
            .concat(),
        )
        .success();
    assert_eq!(
        release.get("configmap", "words").expect("it is there")["data"],
        json!({"text": "one"}),
        "what was never wanted"
    );
    release.apply_only(&["--set", "disk="]).success();
    assert_eq!(
        release.get("deployment", "cli").expect("it is there")["spec"]["template"]["spec"]["nodeSelector"],
        Value::Null
    );
    release.by_hand(&["scale", "deployment", "cli", "--replicas=3"]);
    let told = release.run("drift", &["-o", "json"]).exits(0).json();
    let left: Vec<&str> = told["leftToOthers"]
        .as_array()
        .expect("fields")
        .iter()
        .filter_map(|field| field["field"].as_str())
        .collect();
    assert!(
        left.contains(&"spec.replicas")
            && left.contains(&"metadata.finalizers[=\"example.com/keep\"]"),
        "{told}"
    );
    assert!(
        release
            .run("drift", &[])
            .exits(0)
            .stdout
            .contains("left to others")
    );
    release.apply_only(&["--force-conflicts"]).success();
    assert_eq!(
        release.get("deployment", "cli").expect("it is there")["spec"]["replicas"],
        3
    );
    release.by_hand(&[
        "patch",
        "configmap",
        "words",
        "--type=merge",
        "-p",
        r#"{"metadata": {"finalizers": null}}"#,
    ]);
    // What leaves is shown as it was applied.
    let leaving = release
        .run("diff upgrade", &["--set", "scaled=false"])
        .success()
        .stdout;
    assert!(
        leaving.contains("(to delete)") && leaving.contains("image: registry.example/cli:1"),
        "{leaving}"
    );
    for noise in [
        "status:",
        "progressDeadlineSeconds",
        "terminationMessagePath",
    ] {
        assert!(!leaving.contains(noise), "{leaving}");
    }
}
