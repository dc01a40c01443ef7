//! The genesis block of a system channel: `up` makes it once, before the orderers that start from
//! it. Simulated orderers answer nothing, so no channel is created.

use crate::support::{self, Cluster, Output};
use serde_json::Value;
use std::fs;

const NETWORK: &str = "\
apiVersion: kubectl-fabric.io/v1
kind: Network
fabricVersion: 2.2.15
organizations:
  orgorderer1: {values: {orderers: {count: 1}}}
  org1: {values: {peers: {count: 1}, ca: {enabled: false}}}
channels:
  mychannel: {orderers: [orgorderer1], organizations: [org1]}
";

fn fabric(cluster: &Cluster, args: &[&str]) -> Output {
    let file = cluster.folder().join("network.yaml");
    fs::write(&file, NETWORK).expect("a file");
    let file = file.display().to_string();
    let common = ["-f", &file, "--network", cluster.network()];
    cluster.fabric().args(args).args(common).run()
}

/// Everything but the channel.
fn up(cluster: &Cluster) {
    let ended = fabric(cluster, &["up", "--timeout", "20s"]);
    let told = ended.told();
    assert!(ended.status != Some(0), "{told}");
    assert!(told.contains("mychannel"), "{told}");
}

fn genesis(cluster: &Cluster) -> Option<Value> {
    let namespace = cluster.namespace("orgorderer1");
    cluster.get("secret", "genesis", Some(&namespace))
}

fn delete_genesis(cluster: &Cluster) {
    let namespace = cluster.namespace("orgorderer1");
    let delete = ["delete", "secret", "genesis", "-n", &namespace];
    cluster.kubectl().args(delete).run().success();
}

fn pod_template(cluster: &Cluster) -> Value {
    let namespace = cluster.namespace("orgorderer1");
    let set = cluster.get("statefulset", "orderer0", Some(&namespace));
    set.expect("the orderer")["spec"]["template"].clone()
}

#[test]
fn the_genesis_block_of_a_system_channel_is_made_once_and_kept() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    up(&cluster);
    let made = genesis(&cluster).expect("the genesis block");
    let template = pod_template(&cluster);
    let mounted = template["spec"]["volumes"].to_string();
    assert!(mounted.contains("\"secretName\":\"genesis\""), "{mounted}");
    // The second run has nothing to do but the channel.
    let plan = fabric(&cluster, &["diff"]).success().stdout;
    for words in ["install", "upgrade", "identities", "genesis block"] {
        assert!(!plan.contains(words), "{words}: {plan}");
    }
    up(&cluster);
    assert_eq!(genesis(&cluster), Some(made.clone()));
    assert_eq!(pod_template(&cluster), template);

    // Without its orderers, it stays with their ledgers.
    fabric(&cluster, &["down"]).success();
    assert_eq!(genesis(&cluster), Some(made.clone()));
    up(&cluster);
    assert_eq!(genesis(&cluster), Some(made));

    // It is restored from a ledger, or not at all.
    delete_genesis(&cluster);
    let lost = fabric(&cluster, &["up", "--timeout", "5s"]).told();
    assert!(
        lost.contains("which no new genesis block would fit"),
        "{lost}"
    );
    assert_eq!(genesis(&cluster), None);
    fabric(&cluster, &["down"]).success();
    let lost = fabric(&cluster, &["up", "--timeout", "5s"]).told();
    assert!(
        lost.contains("restore the Secret with their genesis block"),
        "{lost}"
    );
    assert_eq!(genesis(&cluster), None);

    // It goes with the ledgers.
    fabric(&cluster, &["down", "--delete-data", "--yes"]).success();
    up(&cluster);
    let again = genesis(&cluster).expect("another genesis block");
    assert_eq!(
        again["metadata"]["labels"]["kubectl-fabric.io/identity"],
        "orgorderer1"
    );
    fabric(&cluster, &["down", "--delete-data", "--yes"]).success();
    assert_eq!(genesis(&cluster), None);
}
