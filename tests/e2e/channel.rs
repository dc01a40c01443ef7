//! Channels that the plugin makes by itself, without any program of Fabric beside the nodes.

use serde_json::Value;

use crate::network::{BFT, Consensus, Network, RAFT, decoded};
use crate::node::Node;
use crate::support::{Output, until};

const CREATE: [&str; 7] = [
    "channel",
    "create",
    "mychannel",
    "--orderers",
    "orgorderer1",
    "--organizations",
    "org1,org2",
];

/// Installs an orderer organization, org1 with two peers and org2 with one, all with identities
/// made on the way.
pub fn install<'a>(node: &'a Node, consensus: &'static Consensus, version: &str) -> Network<'a> {
    let fabric = |release: &str, values: &str| {
        node.fabric(&[
            "install",
            release,
            "--fabric-version",
            version,
            "--set",
            values,
        ]);
    };
    let agree = format!(
        "orderers.consensus={},orderers.count={}",
        consensus.name, consensus.orderers
    );
    fabric(
        "orgorderer1",
        &format!("{agree},networkPolicy.peerOrgs={{org1,org2}}"),
    );
    let image = format!("cli.image=ghcr.io/hyperledger/fabric-peer:{version}");
    let common = format!(
        "ca.enabled=false,cli.enabled=true,networkPolicy.ordererOrgs={{orgorderer1}},{image}"
    );
    fabric("org1", &format!("{common},networkPolicy.peerOrgs={{org2}}"));
    fabric(
        "org2",
        &format!("{common},networkPolicy.peerOrgs={{org1}},peers.count=1"),
    );
    Network { node, consensus }
}

fn channel(node: &Node, args: &[&str]) -> Output {
    node.cluster.fabric().args(args).run()
}

/// The node's row in what a command prints as JSON.
fn did<'v>(document: &'v Value, node: &str) -> &'v Value {
    let rows = document["nodes"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["node"] == node);
    &row.unwrap_or_else(|| panic!("{node} in {document}"))["channel"]
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).expect("JSON")
}

/// What Fabric's own client says of the channel in an organization.
fn heights(node: &Node, organization: &str, peers: &[&str]) -> Vec<u64> {
    let info = |peer: &&str| {
        let ask = format!(
            "CORE_PEER_ADDRESS={peer}.{organization}:7051 peer channel getinfo -c mychannel"
        );
        let text = node.cli(organization, &ask);
        let (_, info) = text.split_once("Blockchain info: ").expect("info");
        let info: Value = serde_json::from_str(info.trim()).expect("JSON");
        info["height"].as_u64().expect("a height")
    };
    peers.iter().map(info).collect()
}

/// Commits a transaction by Fabric's own client, as [`Network::commit`].
fn commit(network: &Network<'_>) {
    let node = network.node;
    let secret = node
        .cluster
        .get("secret", "orderer0-tls", Some("orgorderer1"));
    let tls_ca = decoded(&secret.expect("a Secret"), "ca.crt");
    node.copy_to_cli("org1", &tls_ca, "/tmp/orderers.pem");
    network.commit("basic");
}

/// A channel on Raft, created while an orderer is down, then again, then again.
pub fn raft(node: &Node) {
    let network = install(node, RAFT, "2.5.16");
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        let orderer = [
            "scale",
            "-n",
            "orgorderer1",
            "statefulset/orderer2",
            &replicas,
        ];
        node.cluster.kubectl().args(orderer).run().success();
    };
    scale("0");
    until("the orderer to be gone", || {
        (node.pods("orgorderer1").len() == 2).then_some(())
    });
    let first = channel(node, &[&CREATE[..], &["-o", "json"]].concat());
    assert_eq!(first.status, Some(3), "{}", first.stderr);
    assert!(
        first.stderr.contains("orderer2.orgorderer1"),
        "{}",
        first.stderr
    );
    let nodes = json(&first);
    for joined in [
        "orderer0.orgorderer1",
        "orderer1.orgorderer1",
        "peer1.org1",
        "peer0.org2",
    ] {
        assert_eq!(did(&nodes, joined), "joined", "{nodes}");
    }
    assert_eq!(did(&nodes, "orderer2.orgorderer1"), "failed", "{nodes}");

    scale("1");
    node.assert_steady(&["orgorderer1"]);
    let second = node.fabric(&[&CREATE[..], &["-o", "json"]].concat());
    let nodes = json(&second);
    assert_eq!(did(&nodes, "orderer2.orgorderer1"), "joined", "{nodes}");
    assert_eq!(did(&nodes, "peer1.org1"), "unchanged", "{nodes}");

    let third = node.fabric(&CREATE);
    assert!(
        third
            .stdout
            .starts_with("Channel \"mychannel\" is unchanged.\n"),
        "{}",
        third.stdout
    );
    assert!(node.cli("org2", "peer channel list").contains("mychannel"));
    assert_eq!(heights(node, "org1", &["peer0", "peer1"]), [1, 1]);
    assert_eq!(heights(node, "org2", &["peer0"]), [1]);
    commit(&network);

    let list = node.fabric(&["channel", "list", "-o", "json"]);
    let rows = json(&list);
    let orderers = rows
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["status"] == "active");
    assert_eq!(orderers.count(), 3, "{rows}");

    let other = channel(node, &[&CREATE[..], &["--batch-timeout", "5s"]].concat());
    assert_eq!(other.status, Some(1), "{}", other.stderr);
    assert!(
        other.stderr.contains("exists with another configuration"),
        "{}",
        other.stderr
    );
    assert!(other.stderr.contains("batch timeout"), "{}", other.stderr);

    node.fabric(&["upgrade", "org1", "--set", "peers.count=3"]);
    let join = node.fabric(&["channel", "join", "mychannel", "org1", "-o", "json"]);
    let nodes = json(&join);
    assert_eq!(did(&nodes, "peer2.org1"), "joined", "{nodes}");
    assert_eq!(did(&nodes, "peer0.org1"), "unchanged", "{nodes}");
    until("the new peer to have all blocks", || {
        let heights = heights(node, "org1", &["peer0", "peer2"]);
        (heights[0] == heights[1]).then_some(())
    });

    let shown = node.fabric(&["channel", "show", "mychannel"]).stdout;
    for words in [
        "CONSENSUS: etcdraft",
        "  Org2MSP   anchor peer0.org2:7051",
        "  orderer2.orgorderer1:7050   TLS certificate ",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
}

/// A channel on four BFT orderers.
pub fn bft(node: &Node) {
    let network = install(node, BFT, "3.1.5");
    let created = node.fabric(&CREATE);
    assert!(
        created
            .stdout
            .starts_with("Channel \"mychannel\" has been created.\n"),
        "{}",
        created.stdout
    );
    let again = node.fabric(&CREATE);
    assert!(
        again
            .stdout
            .starts_with("Channel \"mychannel\" is unchanged.\n"),
        "{}",
        again.stdout
    );
    assert_eq!(heights(node, "org2", &["peer0"]), [1]);
    commit(&network);
    let shown = node.fabric(&["channel", "show", "mychannel"]).stdout;
    assert!(shown.contains("CONSENSUS: BFT"), "{shown}");
    assert!(shown.contains("4 of Orgorderer1MSP"), "{shown}");
}
