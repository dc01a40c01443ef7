//! Data that an uninstall deletes: only what is the release's, and what no other release, team or
//! pod uses.

use crate::confined::{forge, signing_key};
use crate::support::{self, Cluster, Invocation, Output, until};
use serde_json::{Value, json};

/// Releases of the chart `charts/db` in one namespace.
struct Releases {
    cluster: Cluster,
    namespace: String,
}

impl Releases {
    fn new() -> Option<Releases> {
        let cluster = support::cluster()?;
        let namespace = cluster.create_namespace("shared");
        Some(Releases { cluster, namespace })
    }

    fn run(&self, verb: &str, release: &str, args: &[&str]) -> Output {
        self.cluster
            .fabric()
            .args(verb.split(' '))
            .args([release, "-n", &self.namespace])
            .args(args)
            .run()
    }

    fn install(&self, release: &str, args: &[&str]) -> Output {
        let chart = support::repository()
            .join("tests/apiserver/charts/db")
            .display()
            .to_string();
        self.run(
            "install",
            release,
            &[&["--chart", chart.as_str()], args].concat(),
        )
    }

    fn delete_data(&self, release: &str) -> Output {
        self.run("uninstall", release, &["--delete-data", "--yes"])
    }

    fn kubectl(&self) -> Invocation {
        self.cluster.kubectl().args(["-n", &self.namespace])
    }

    fn claim(&self) -> Option<Value> {
        self.cluster.get("pvc", "data-db-0", Some(&self.namespace))
    }

    fn uid(&self) -> Value {
        self.claim().expect("the claim is there")["metadata"]["uid"].clone()
    }

    /// Asserts that the claim is as it was, and not about to go.
    #[track_caller]
    fn stays(&self, uid: &Value, output: &Output) {
        let claim = self
            .claim()
            .unwrap_or_else(|| panic!("the claim is gone: {}", output.told()));
        assert_eq!(
            (
                &claim["metadata"]["uid"],
                &claim["metadata"]["deletionTimestamp"]
            ),
            (uid, &Value::Null),
            "{}",
            output.told()
        );
    }

    fn goes(&self) {
        until("the claim to be gone", || {
            self.claim().is_none().then_some(())
        });
    }
}

#[test]
fn identities_of_an_organization_without_records_stay_as_long_as_its_nodes() {
    let Some(releases) = Releases::new() else {
        return;
    };
    let values = "ca.enabled=false,peers.count=1";
    let install = || releases.run("install", "org1", &["--wait=false", "--set", values]);
    let namespace = Some(releases.namespace.as_str());
    let identity = || releases.cluster.get("secret", "peer0-msp", namespace);
    install().success();
    let records = [
        "delete",
        "configmap",
        "-l",
        "kubectl-fabric.io/release=org1",
    ];
    releases.kubectl().args(records).run().success();
    let refused = releases.delete_data("org1").exits(4);
    assert!(
        refused.stderr.contains("no record lists") && refused.stderr.contains("install org1"),
        "{}",
        refused.told()
    );
    assert!(identity().is_some(), "{}", refused.told());
    install().success();
    releases.delete_data("org1").success();
    assert!(identity().is_none());
}

#[test]
fn a_volume_that_another_release_took_up_is_its_own() {
    let Some(releases) = Releases::new() else {
        return;
    };
    releases.install("a", &[]).success();
    let uid = releases.uid();
    releases
        .run("uninstall", "a", &["--keep-history"])
        .success();
    releases.install("b", &[]).success();
    assert_eq!(releases.uid(), uid, "b runs on it");
    releases.stays(&uid, &releases.delete_data("a").success());
    // Nor when nothing runs on it.
    releases.install("c", &["--dry-run=server"]).exits(4);
    releases
        .run("uninstall", "b", &["--keep-history"])
        .success();
    let kept = releases.delete_data("a").exits(1);
    assert!(kept.stderr.contains("not found"), "{}", kept.told());
    releases.stays(&uid, &kept);
    releases.delete_data("b").success();
    releases.goes();
}

#[test]
fn a_release_that_never_came_to_its_volume_has_none() {
    let Some(releases) = Releases::new() else {
        return;
    };
    releases
        .install("a", &["--set", "hook=true", "--timeout", "3s"])
        .exits(3);
    releases.install("b", &[]).success();
    let uid = releases.uid();
    releases.stays(&uid, &releases.delete_data("a").success());
    // By another tool's StatefulSet, which is gone by now.
    releases
        .install(
            "c",
            &["--set", "hook=true", "--timeout", "3s", "--take-ownership"],
        )
        .exits(3);
    releases
        .kubectl()
        .args(["annotate", "pvc", "data-db-0", "kubectl-fabric.io/release-"])
        .run()
        .success();
    releases
        .kubectl()
        .args(["delete", "statefulset", "db"])
        .run()
        .success();
    until("the pod to be gone", || {
        releases
            .cluster
            .get("pod", "db-0", Some(&releases.namespace))
            .is_none()
            .then_some(())
    });
    let kept = releases.delete_data("c").success();
    assert!(
        kept.stdout.contains(
            "data-db-0 (no verified record shows that this release created its StatefulSet)"
        ),
        "{}",
        kept.told()
    );
    releases.stays(&uid, &kept);
}

#[test]
fn a_volume_goes_over_with_its_set() {
    let Some(releases) = Releases::new() else {
        return;
    };
    releases.install("a", &[]).success();
    let uid = releases.uid();
    releases.install("b", &["--take-ownership"]).success();
    let kept = releases.delete_data("a").success();
    assert!(
        kept.stdout
            .contains("db (it now belongs to another release)"),
        "{}",
        kept.told()
    );
    releases.stays(&uid, &kept);
    releases.delete_data("b").success();
    releases.goes();
}

#[test]
fn a_record_that_was_planted_names_no_volume() {
    let Some(releases) = Releases::new() else {
        return;
    };
    releases.install("b", &[]).success();
    let uid = releases.uid();
    // The record of b as one of a, without a companion.
    let mut record = releases
        .cluster
        .get(
            "configmap",
            "kubectl-fabric.v1.b.v1",
            Some(&releases.namespace),
        )
        .expect("a record");
    let metadata = json!({"name": "kubectl-fabric.v1.a.v1", "labels": record["metadata"]["labels"],
        "annotations": record["metadata"]["annotations"]});
    record["metadata"] = metadata;
    record["metadata"]["labels"]["kubectl-fabric.io/release"] = json!("a");
    let plant = || {
        releases
            .cluster
            .apply(&releases.namespace, &record.to_string())
    };
    plant();
    let refused = releases.delete_data("a").exits(1);
    assert!(
        refused.stderr.contains("no other record is verified"),
        "{}",
        refused.told()
    );
    releases.stays(&uid, &refused);
    // Nor when b is gone and left it.
    releases.run("uninstall", "b", &[]).success();
    let refused = releases.delete_data("a").exits(1);
    releases.stays(&uid, &refused);
    // With permissions on Secrets, a record can be signed; what b uses stays.
    releases
        .kubectl()
        .args(["delete", "configmap", "kubectl-fabric.v1.a.v1"])
        .run()
        .success();
    releases.install("b", &[]).success();
    releases
        .install(
            "a",
            &["--set", "hook=true", "--timeout", "3s", "--take-ownership"],
        )
        .exits(3);
    let name = "kubectl-fabric.v1.a.v1";
    let set = releases
        .cluster
        .get("statefulset", "db", Some(&releases.namespace))
        .expect("the set");
    forge(
        || releases.kubectl(),
        name,
        &signing_key(|| releases.kubectl(), name),
        |_, state| {
            for item in state["inventory"]
                .as_array_mut()
                .expect("a list")
                .iter_mut()
                .filter(|item| item["kind"] == "StatefulSet")
            {
                item["uid"] = set["metadata"]["uid"].clone();
            }
        },
    );
    releases
        .kubectl()
        .args([
            "annotate",
            "pvc",
            "data-db-0",
            "--overwrite",
            "kubectl-fabric.io/release=a",
        ])
        .run()
        .success();
    let kept = releases.delete_data("a").success();
    assert!(
        kept.stdout
            .contains("data-db-0 (StatefulSet db of release \"b\" uses it)"),
        "{}",
        kept.told()
    );
    releases.stays(&uid, &kept);
}

#[test]
fn a_volume_that_a_pod_of_another_mounts_stays_until_it_is_free() {
    let Some(releases) = Releases::new() else {
        return;
    };
    releases.install("a", &[]).success();
    let uid = releases.uid();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "backup"}, "spec": {
        "containers": [{"name": "a", "image": "registry.example/a:1"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]}});
    releases
        .cluster
        .apply(&releases.namespace, &pod.to_string());
    let kept = releases.delete_data("a").success();
    assert!(
        kept.stdout
            .contains("data-db-0 (Pod backup uses it and is not part of this release)"),
        "{}",
        kept.told()
    );
    releases.stays(&uid, &kept);
    releases
        .kubectl()
        .args(["delete", "pod", "backup", "--now"])
        .run()
        .success();
    // What an uninstall kept is deleted later.
    let found = releases.run("uninstall", "a", &[]).exits(1);
    assert!(
        found
            .stderr
            .contains("its volumes and identities still exist"),
        "{}",
        found.told()
    );
    assert!(
        found.stderr.contains(&format!(
            "`kubectl fabric uninstall a -n {} --delete-data`",
            releases.namespace
        )),
        "{}",
        found.told()
    );
    releases
        .run(
            "uninstall",
            "a",
            &["--delete-data", "--yes", "--ignore-not-found"],
        )
        .success();
    releases.goes();
    releases.delete_data("a").exits(1);
}

#[test]
fn an_organization_that_took_up_the_identities_of_an_earlier_one_keeps_them() {
    let Some(releases) = Releases::new() else {
        return;
    };
    let install = |release: &str| {
        releases.run(
            "install",
            release,
            &[
                "peer-org",
                "--set",
                "ca.enabled=false,peers.count=1,org.mspID=Org2MSP",
            ],
        )
    };
    let secrets = |release: &str| -> Vec<(String, Value)> {
        let label = format!("kubectl-fabric.io/identity={release}");
        let all = releases
            .kubectl()
            .args(["get", "secrets", "-o", "json", "-l", &label])
            .run()
            .success()
            .json();
        let secrets = all["items"].as_array().expect("a list").iter();
        secrets
            .map(|it| {
                (
                    it["metadata"]["name"].as_str().expect("a name").to_owned(),
                    it["data"].clone(),
                )
            })
            .collect()
    };
    install("org2").success();
    let before = secrets("org2");
    let claim = || {
        releases
            .cluster
            .get("pvc", "ledger-peer0-0", Some(&releases.namespace))
    };
    releases
        .run("uninstall", "org2", &["--keep-history"])
        .success();
    // Authorities have the release's name: whoever changes that copies them.
    for authority in ["ca", "tlsca"] {
        let copied = releases
            .cluster
            .get(
                "secret",
                &format!("org2-{authority}"),
                Some(&releases.namespace),
            )
            .expect("an authority");
        let copy = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("org2b-{authority}")}, "data": copied["data"]});
        releases
            .cluster
            .apply(&releases.namespace, &copy.to_string());
    }
    let output = install("org2b").success();
    assert!(
        output
            .stderr
            .contains("was created by release \"org2\" and now belongs to this release"),
        "{}",
        output.told()
    );
    let taken = secrets("org2b");
    let of = |name: &str| {
        before
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, data)| data)
    };
    for name in ["peer0-msp", "peer0-tls"] {
        let now = taken
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, data)| data);
        assert!(
            now.is_some() && now == of(name),
            "{name} goes over as it is"
        );
    }
    releases.delete_data("org2").success();
    assert_eq!(secrets("org2"), []);
    assert_eq!(secrets("org2b"), taken);
    let live = claim().expect("the claim is there");
    assert_eq!(live["metadata"]["deletionTimestamp"], Value::Null);
    // A label says what anyone wrote: what a live workload of another reads stays.
    releases
        .kubectl()
        .args([
            "label",
            "secret",
            "peer0-msp",
            "--overwrite",
            "kubectl-fabric.io/identity=org2",
        ])
        .run()
        .success();
    let kept = releases.delete_data("org2").success();
    assert!(
        kept.stdout
            .contains("peer0-msp (StatefulSet peer0 of release \"org2b\" uses it)"),
        "{}",
        kept.told()
    );
    releases
        .kubectl()
        .args([
            "label",
            "secret",
            "peer0-msp",
            "--overwrite",
            "kubectl-fabric.io/identity=org2b",
        ])
        .run()
        .success();
    releases.run("uninstall", "org2b", &[]).success();
    releases.delete_data("org2b").success();
    assert_eq!(secrets("org2b"), []);
    until("the claim to be gone", || claim().is_none().then_some(()));
}
