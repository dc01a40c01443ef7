//! Volumes follow the values, stay behind, and go: on the charts as they come. A thread plays the
//! resizer of a storage driver.

use crate::guards::Release;
use crate::support::until;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const ONE_PEER: &str = "ca.enabled=false,peers.count=1";

impl Release {
    fn one_peer(more: &[&str]) -> Option<Release> {
        let release = Release::new("org1")?;
        release
            .run("install", &[&["--set", ONE_PEER][..], more].concat())
            .success();
        Some(release)
    }

    fn find(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, name, Some(&self.namespace))
    }

    fn uid(&self, kind: &str, name: &str) -> Value {
        self.find(kind, name)
            .unwrap_or_else(|| panic!("{kind} {name} is there"))["metadata"]["uid"]
            .clone()
    }

    /// What the claim of a volume of peer0 requests.
    fn size(&self, volume: &str) -> String {
        let claim = self
            .find("pvc", &format!("{volume}-peer0-0"))
            .expect("the claim is there");
        claim["spec"]["resources"]["requests"]["storage"]
            .as_str()
            .expect("a size")
            .to_owned()
    }

    /// What the template of peer0's first volume requests.
    fn wanted_size(&self) -> String {
        let set = self.find("statefulset", "peer0").expect("the set is there");
        set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
            .as_str()
            .expect("a size")
            .to_owned()
    }

    fn kubectl(&self, args: &[&str]) {
        self.cluster
            .kubectl()
            .args(args)
            .args(["-n", &self.namespace])
            .run()
            .success();
    }

    /// Does some work while a resizer gives each claim what it requests.
    fn resizing<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for claim in self.cluster.list("pvc", &self.namespace) {
                        let wanted = &claim["spec"]["resources"]["requests"]["storage"];
                        if claim["status"]["phase"] == "Bound"
                            && claim["status"]["capacity"]["storage"] != *wanted
                        {
                            let patch =
                                json!({"status": {"capacity": {"storage": wanted}}}).to_string();
                            let name = claim["metadata"]["name"].as_str().expect("a name");
                            self.kubectl(&[
                                "patch",
                                "pvc",
                                name,
                                "--subresource=status",
                                "--type=merge",
                                "-p",
                                &patch,
                            ]);
                        }
                    }
                    thread::sleep(Duration::from_millis(200));
                }
            });
            let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::Relaxed);
            finished.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

const TWENTY: [&str; 2] = ["--set", "peers.persistence.size=20Gi"];

#[test]
fn a_larger_size_reaches_the_claim_without_a_restart_and_stays() {
    let Some(release) = Release::one_peer(&[]) else {
        return;
    };
    let pod = release.uid("pod", "peer0-0");
    let diff = release.run("diff upgrade", &TWENTY).success();
    assert!(
        diff.stdout
            .contains("to recreate: ledger-peer0-0 10Gi → 20Gi"),
        "{}",
        diff.stdout
    );
    assert_eq!(release.size("ledger"), "10Gi");
    // A resizer that does nothing is waited for, and the next run goes on.
    let waits = release
        .run("upgrade", &[&TWENTY[..], &["--timeout", "2s"]].concat())
        .exits(3);
    assert!(
        waits
            .stderr
            .contains("its volume is being expanded from 10Gi to 20Gi"),
        "{}",
        waits.stderr
    );
    assert_eq!(
        (
            release.size("ledger").as_str(),
            release.wanted_size().as_str()
        ),
        ("20Gi", "10Gi")
    );
    let output = release.resizing(|| release.run("upgrade", &TWENTY).success());
    assert!(output.stdout.contains("STATUS"), "{}", output.stdout);
    assert_eq!(
        (
            release.size("ledger").as_str(),
            release.wanted_size().as_str()
        ),
        ("20Gi", "20Gi")
    );
    assert_eq!(release.uid("pod", "peer0-0"), pod, "the pod runs on");
    release.run("drift", &[]).success();
    // Repeated, it writes nothing of it.
    let set = release.uid("statefulset", "peer0");
    release.run("upgrade", &TWENTY).success();
    assert_eq!(release.uid("statefulset", "peer0"), set);
    // Taken back, it is refused; a rollback goes through and keeps the size.
    let said = release.refused("upgrade", &["--set", "peers.persistence.size=10Gi"]);
    assert!(said.contains("volume ledger 20Gi → 10Gi, U27"), "{said}");
    let output = release.run("rollback", &["1"]).success();
    assert!(
        output
            .stderr
            .contains("volume ledger of peer0 stays at 20Gi, although the revision has 10Gi"),
        "{}",
        output.stderr
    );
    assert_eq!(
        (
            release.wanted_size().as_str(),
            release.uid("pod", "peer0-0")
        ),
        ("20Gi", pod)
    );
    release.run("drift", &[]).success();
    let said = release.refused("upgrade", &[]);
    assert!(said.contains("volume ledger 20Gi → 10Gi, U27"), "{said}");
    release.run("upgrade", &TWENTY).success();
}

#[test]
fn a_run_that_ends_between_claim_and_set_is_finished_by_the_next() {
    let Some(release) = Release::one_peer(&[]) else {
        return;
    };
    let pod = release.uid("pod", "peer0-0");
    // The claim is expanded, the set is deleted alone, and not created yet.
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"20Gi"}}}}"#;
    release.kubectl(&["patch", "pvc", "ledger-peer0-0", "-p", patch]);
    release.kubectl(&["delete", "statefulset", "peer0", "--cascade=orphan"]);
    release.resizing(|| release.run("upgrade", &TWENTY).success());
    assert_eq!(
        (
            release.size("ledger").as_str(),
            release.wanted_size().as_str()
        ),
        ("20Gi", "20Gi")
    );
    assert_eq!(release.uid("pod", "peer0-0"), pod);
    // Somebody else made a set that says more than its claim has.
    let set = release
        .find("statefulset", "peer0")
        .expect("the set is there");
    let mut more = set.clone();
    more["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
        json!("30Gi");
    for field in ["uid", "resourceVersion", "managedFields"] {
        more["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove(field);
    }
    release.kubectl(&["delete", "statefulset", "peer0", "--cascade=orphan"]);
    release.cluster.apply(&release.namespace, &more.to_string());
    let thirty = ["--set", "peers.persistence.size=30Gi", "--force-conflicts"];
    release.run("upgrade", &thirty).success();
    let drift = release.run("drift", &[]).exits(2);
    assert!(
        drift.stdout.contains("PersistentVolumeClaim")
            && drift.stdout.contains("-      storage: 30Gi"),
        "{}",
        drift.stdout
    );
    assert!(
        drift
            .stdout
            .contains("`upgrade --recreate StatefulSet/peer0` expands it"),
        "{}",
        drift.stdout
    );
    release.resizing(|| {
        release
            .run("upgrade", &["--recreate", "StatefulSet/peer0"])
            .success()
    });
    assert_eq!(release.size("ledger"), "30Gi");
    release.run("drift", &[]).success();
}

#[test]
fn a_claim_that_cannot_follow_is_reported_before_anything_is_written() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    let class = format!("fixed-{}", release.namespace);
    let of = |name: &str, more: &str| {
        let yaml = format!(
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: sim.kubectl-fabric.io/volume\n{more}"
        );
        release.cluster.apply("default", &yaml);
    };
    of(&class, "");
    let chosen = format!("{ONE_PEER},peers.persistence.storageClass={class}");
    release.run("install", &["--set", &chosen]).success();
    for more in [&[][..], &["--recreate", "StatefulSet/peer0"]] {
        let said = release.refused("upgrade", &[&TWENTY[..], more].concat());
        let claim = format!(
            "PersistentVolumeClaim {}/ledger-peer0-0   spec.resources.requests.storage 10Gi → 20Gi",
            release.namespace
        );
        assert!(
            said.contains(&claim) && said.contains(&format!("storage class {class}")),
            "{said}"
        );
        let said = release.refused(
            "upgrade",
            &[
                &["--set", "peers.persistence.storageClass=standard"][..],
                more,
            ]
            .concat(),
        );
        assert!(
            said.contains(&format!("spec.storageClassName {class} → standard")),
            "{said}"
        );
        assert!(said.contains("docs/guides/volumes.md"), "{said}");
    }
    // The class learns to expand; and a user who may not read classes needs not to.
    of(&class, "allowVolumeExpansion: true\n");
    release.resizing(|| {
        release
            .run("upgrade", &[&TWENTY[..], &["--context", "editor"]].concat())
            .success()
    });
    assert_eq!(release.size("ledger"), "20Gi");
    // Without a class the claim keeps the one it has, and the operation says so.
    let output = release
        .run("upgrade", &["--set", "peers.persistence.storageClass="])
        .success();
    assert!(
        output.stderr.contains(&format!(
            "the claims of volume ledger of peer0 keep storage class {class}"
        )),
        "{}",
        output.stderr
    );
    // The data was moved by hand: then the set follows its claim.
    release.kubectl(&["delete", "statefulset", "peer0", "--cascade=orphan"]);
    release.kubectl(&["delete", "pod", "peer0-0"]);
    release.kubectl(&["delete", "pvc", "ledger-peer0-0"]);
    let moved = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "ledger-peer0-0"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "resources": {"requests": {"storage": "20Gi"}}}});
    release
        .cluster
        .apply(&release.namespace, &moved.to_string());
    release
        .run(
            "upgrade",
            &["--set", "peers.persistence.storageClass=standard"],
        )
        .success();
    release.run("drift", &[]).success();
    release
        .cluster
        .kubectl()
        .args(["delete", "storageclass", &class])
        .run()
        .success();
}

#[test]
fn a_claim_that_was_never_bound_is_made_again() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    let wrong = format!("{ONE_PEER},peers.persistence.storageClass=no-such-class");
    release
        .run("install", &["--set", &wrong, "--timeout", "3s"])
        .exits(3);
    let claim = release.uid("pvc", "ledger-peer0-0");
    release
        .run(
            "upgrade",
            &["--set", "peers.persistence.storageClass=standard"],
        )
        .success();
    assert_ne!(release.uid("pvc", "ledger-peer0-0"), claim);
    let bound = release
        .find("pvc", "ledger-peer0-0")
        .expect("the claim is there");
    assert_eq!(
        (
            &bound["spec"]["storageClassName"],
            &bound["status"]["phase"]
        ),
        (&json!("standard"), &json!("Bound"))
    );
}

/// kubernetes/kubernetes#141876
#[test]
fn a_pod_gets_the_claims_of_new_templates_and_no_set_is_stuck() {
    let Some(release) = Release::one_peer(&[]) else {
        return;
    };
    let couchdb = [
        "--set",
        "peers.stateDatabase=CouchDB",
        "--force",
        "U21",
        "--recreate",
        "StatefulSet/peer0",
    ];
    let (pod, ledger) = (
        release.uid("pod", "peer0-0"),
        release.uid("pvc", "ledger-peer0-0"),
    );
    // An attempt ended when the set was deleted and its pod still ran.
    release.kubectl(&["delete", "statefulset", "peer0", "--cascade=orphan"]);
    let output = release
        .run("upgrade", &[&couchdb[..], &["--timeout", "60s"]].concat())
        .success();
    assert!(!output.stderr.contains("FailedUpdate"), "{}", output.stderr);
    assert_ne!(release.uid("pod", "peer0-0"), pod);
    assert_eq!(release.uid("pvc", "ledger-peer0-0"), ledger);
    assert_eq!(
        release
            .find("pvc", "couchdb-peer0-0")
            .expect("a claim more")["status"]["phase"],
        "Bound"
    );
    // Back, and again on the running set.
    let back = [
        "--set",
        "peers.stateDatabase=goleveldb",
        "--force",
        "U21",
        "--force",
        "U27",
        "--recreate",
        "StatefulSet/peer0",
    ];
    release.run("upgrade", &back).success();
    assert!(
        release.find("pvc", "couchdb-peer0-0").is_some(),
        "data stays"
    );
    let pod = release.uid("pod", "peer0-0");
    release
        .run("upgrade", &[&couchdb[..], &["--timeout", "60s"]].concat())
        .success();
    assert_ne!(release.uid("pod", "peer0-0"), pod);
    let failed = release.cluster.list("events", &release.namespace);
    let failed: Vec<_> = failed
        .iter()
        .filter(|event| event["reason"] == "FailedUpdate")
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn data_of_nodes_that_were_scaled_away_goes_too_and_nothing_of_others() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release
        .run("install", &["--set", "ca.enabled=false,peers.count=3"])
        .success();
    for count in ["peers.count=2", "peers.count=1"] {
        release
            .run("upgrade", &["--set", count, "--force", "U39"])
            .success();
    }
    let claim = |name: &str, labels: Value| {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "labels": labels}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        release
            .cluster
            .apply(&release.namespace, &claim.to_string());
    };
    // Made by hand under a name of ours; of another release; of a node that has another name.
    claim("ledger-peer0-7", json!({}));
    let node = |release: &str, node: &str| json!({"app.kubernetes.io/instance": release, "kubectl-fabric.io/node": node});
    claim("ledger-peer5-0", node("org2", "peer5"));
    claim("ledger-peer6-0", node("org1", "peer7"));
    let kept = release.run("uninstall", &["--dry-run"]).success();
    assert!(
        kept.told()
            .contains("ledger-peer1-0, ledger-peer2-0 (it holds data)"),
        "{}",
        kept.told()
    );
    let output = release
        .run("uninstall", &["--delete-data", "--yes"])
        .success();
    assert!(
        output.told().contains(
            "ledger-peer0-7 (it has the name of a volume of this release, but not the labels)"
        ),
        "{}",
        output.told()
    );
    let left = release.cluster.list("pvc", &release.namespace);
    let left: Vec<&str> = left
        .iter()
        .filter_map(|claim| claim["metadata"]["name"].as_str())
        .collect();
    assert_eq!(left, ["ledger-peer0-7", "ledger-peer5-0", "ledger-peer6-0"]);
    let secrets = release.cluster.list("secret", &release.namespace);
    assert!(secrets.is_empty(), "{secrets:#?}");
}

#[test]
fn a_volume_tells_what_wrote_it_when_no_record_does() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    let install = |version: &str, count: &str| {
        release.run(
            "install",
            &[
                "--fabric-version",
                version,
                "--set",
                &format!("ca.enabled=false,peers.count={count}"),
            ],
        )
    };
    install("2.5.16", "2").success();
    release.run("uninstall", &[]).success();
    let said = release.refused(
        "install",
        &["--fabric-version", "1.4.12", "--set", ONE_PEER],
    );
    assert!(said.contains("peer 2.5.16 → 1.4.12, U15"), "{said}");
    assert!(said.contains("`--set fabricVersion=2.5.16`"), "{said}");
    let output = install("2.5.16", "1").success();
    assert!(
        !output.stderr.contains("already exists"),
        "{}",
        output.stderr
    );
    // The second peer comes back later, over what it left.
    let said = release.refused(
        "upgrade",
        &[
            "--fabric-version",
            "2.5.16",
            "--set",
            "peers.count=2,peers.stateDatabase=CouchDB",
        ],
    );
    assert!(said.contains("peer1   goleveldb → CouchDB, U21"), "{said}");
    until("peer0 to be there", || release.find("pod", "peer0-0"));
}
