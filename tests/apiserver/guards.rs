//! Fabric's table of upgrades and rollbacks on the charts as they come: what goes through, what is refused, and that a refusal writes nothing.

use crate::support::{self, Cluster, Output};
use serde_json::Value;

/// A release of one of the program's charts, in a namespace of its own.
struct Release {
    cluster: Cluster,
    name: &'static str,
    namespace: String,
}

impl Release {
    fn new(name: &'static str) -> Option<Release> {
        let cluster = support::cluster()?;
        let namespace = cluster.namespace(name);
        Some(Release { cluster, name, namespace })
    }

    fn run(&self, verb: &str, args: &[&str]) -> Output {
        self.cluster.fabric().args(verb.split(' ')).args([self.name, "-n", &self.namespace]).args(args).run()
    }

    /// Runs what is refused, and sees that it writes nothing.
    fn refused(&self, verb: &str, args: &[&str]) -> String {
        let mut output = None;
        let requests = self.cluster.requests(|| output = Some(self.run(verb, args).exits(4)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
        assert!(written.is_empty(), "{written:#?}");
        let said = output.expect("it ran").stderr;
        assert!(said.contains("now: nothing was changed"), "{said}");
        said
    }

    fn image(&self, node: &str) -> String {
        let set = self.cluster.get("statefulset", node, Some(&self.namespace)).expect("the node is there");
        set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    }

    /// Status and description of each revision.
    fn history(&self) -> Vec<(String, String)> {
        let history = self.run("history", &["-o", "json"]).success().json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        history.as_array().expect("a list").iter().map(|it| (text(&it["status"]), text(&it["description"]))).collect()
    }
}

#[test]
fn a_patch_goes_through_and_back() {
    let Some(release) = Release::new("org1") else { return };
    release.run("install", &["--fabric-version", "2.5.15"]).success();
    let output = release.run("upgrade", &["--fabric-version", "2.5.16"]).success();
    assert!(!output.stderr.contains("U0"), "{}", output.stderr);
    assert_eq!(release.image("peer0"), "ghcr.io/hyperledger/fabric-peer:2.5.16");
    let output = release.run("rollback", &[]).success();
    assert!(output.stderr.contains("U31: peer 2.5.16 → 2.5.15"), "{}", output.stderr);
    assert_eq!(release.image("peer0"), "ghcr.io/hyperledger/fabric-peer:2.5.15");
}

#[test]
fn a_peer_goes_from_1_4_to_2_5_only_when_forced_and_never_back() {
    let Some(release) = Release::new("org1") else { return };
    release.run("install", &["--fabric-version", "1.4.12", "--set", "peers.count=2,ca.enabled=false"]).success();
    let peers = format!("StatefulSet {}/peer", release.namespace);
    let upgrade = ["--fabric-version", "2.5.16"];
    let said = release.refused("upgrade", &upgrade);
    for peer in 0..2 {
        assert!(said.contains(&format!("--> {peers}{peer}   peer 1.4.12 → 2.5.16, U05")), "{said}");
    }
    assert!(said.contains("why: U05: ") && said.contains("--force U05"), "{said}");
    assert_eq!(release.history().len(), 1);
    // What only looks tells it as well.
    let said = release.refused("upgrade", &[&upgrade[..], &["--dry-run"]].concat());
    assert!(said.contains("U05"), "{said}");
    let diff = release.run("diff upgrade", &upgrade).success();
    assert!(diff.stderr.contains("U05 refuses this") && diff.stdout.contains("fabric-peer:2.5.16"), "{}", diff.stderr);
    // Another rule's name does not help.
    release.refused("upgrade", &[&upgrade[..], &["--force", "U09"]].concat());
    let unknown = release.run("upgrade", &[&upgrade[..], &["--force", "U99"]].concat()).exits(1);
    assert!(unknown.stderr.contains("U99") && unknown.stderr.contains("U04, U05, U06"), "{}", unknown.stderr);
    // Forced, it goes through, says so, and is remembered.
    let output = release.run("upgrade", &[&upgrade[..], &["--force", "u05"]].concat()).success();
    assert!(output.stderr.contains("U05 is overridden by --force"), "{}", output.stderr);
    assert_eq!(release.image("peer1"), "ghcr.io/hyperledger/fabric-peer:2.5.16");
    assert_eq!(release.history()[1], ("deployed".to_owned(), "Upgrade complete (--force U05)".to_owned()));
    let said = release.refused("rollback", &[]);
    assert!(said.contains("cannot roll back release \"org1\": rules U15, U26 refuse it"), "{said}");
    assert!(said.contains("peer 2.5.16 → 1.4.12, U15") && said.contains("upgrade-dbs was run since, U26"), "{said}");
    assert_eq!(release.image("peer0"), "ghcr.io/hyperledger/fabric-peer:2.5.16");
}

#[test]
fn orderers_on_kafka_stay_below_3() {
    let Some(release) = Release::new("orgorderer1") else { return };
    let kafka = "orderers.consensus=kafka,orderers.genesis.secret=orderer-genesis";
    release.run("install", &["--fabric-version", "2.5.16", "--set", kafka]).success();
    let raft = "orderers.consensus=etcdraft,orderers.genesis.secret=";
    let said = release.refused("upgrade", &["--fabric-version", "3.1.5", "--set", raft]);
    assert!(said.contains("orderer 2.5.16 → 3.1.5, U11") && !said.contains("U10"), "{said}");
}

#[test]
fn a_pod_that_never_ran_does_not_forbid_the_way_back() {
    let Some(release) = Release::new("org1") else { return };
    release.run("install", &["--fabric-version", "2.5.16", "--set", "ca.enabled=false"]).success();
    // From here on, new pods never get their image.
    let patch = r#"{"spec":{"template":{"metadata":{"annotations":{"sim.kubectl-fabric.io/state":"image-pull-error"}}}}}"#;
    release.cluster.kubectl().args(["patch", "statefulset", "peer0", "-n", &release.namespace, "-p", patch]).run().success();
    release.run("upgrade", &["--fabric-version", "3.1.5", "--force", "U09", "--timeout", "2s"]).exits(3);
    assert_eq!(release.image("peer0"), "ghcr.io/hyperledger/fabric-peer:3.1.5");
    // On a busy machine the upgrade gives up before its pod is there, and then nothing shows that it never ran.
    support::until("the new pod to wait for its image", || {
        let pod = release.cluster.get("pod", "peer0-0", Some(&release.namespace))?;
        let is_new = pod["spec"]["containers"][0]["image"].as_str()?.ends_with(":3.1.5");
        let waits = !pod["status"]["containerStatuses"][0]["state"]["waiting"].is_null();
        (is_new && waits).then_some(())
    });
    let back = release.run("rollback", &["--dry-run"]).success();
    assert!(!back.stderr.contains("U14"), "{}", back.stderr);
}

#[test]
fn a_reinstall_over_volumes_is_judged_by_the_records_that_are_left() {
    let Some(release) = Release::new("org1") else { return };
    let install = |version: &str| release.run("install", &["--fabric-version", version, "--set", "ca.enabled=false"]);
    install("2.5.16").success();
    release.run("uninstall", &["--keep-history"]).success();
    let said = install("1.4.12").exits(4).stderr;
    assert!(said.contains("peer 2.5.16 → 1.4.12, U15"), "{said}");
    install("2.5.16").success();
    release.run("uninstall", &[]).success();
    // Without a record nobody knows what is on the volume.
    let said = install("1.4.12").success().stderr;
    assert!(said.contains("ledger-peer0-0 is there from earlier"), "{said}");
}
