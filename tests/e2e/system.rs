//! Networks from their files whose orderers have a system channel.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::CHAINCODE;
use crate::node::Node;
use crate::up::up_and_down;

/// Three Raft orderers and two organizations of `version`, which have `chaincodes`.
fn network(version: &str, peers: &str, chaincodes: &str) -> String {
    format!(
        "apiVersion: kubectl-fabric.io/v1\n\
         kind: Network\n\
         fabricVersion: {version}\n\
         organizations:\n  \
           orgorderer1: {{values: {{orderers: {{count: 3}}}}}}\n  \
           org1: {{values: {peers}}}\n  \
           org2: {{values: {peers}}}\n\
         channels:\n  \
           mychannel:\n    \
             orderers: [orgorderer1]\n    \
             organizations: [org1, org2]\n\
         {chaincodes}"
    )
}

fn written(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("network.yaml");
    fs::write(&path, text).expect("a file");
    let path = path.display().to_string();
    (folder, path)
}

fn genesis(node: &Node) -> Value {
    let secret = node.cluster.get("secret", "genesis", Some("orgorderer1"));
    secret.expect("the genesis block")["data"].clone()
}

/// A chaincode server runs by a builder in the peers' image.
pub fn network_of_2_2(node: &Node) {
    let peers = "{ca: {enabled: false}, chaincode: {builders: [{name: ccaas, path: \
                 /opt/hyperledger/ccaas_builder}]}}";
    let chaincodes =
        format!("chaincodes:\n  basic: {{channel: mychannel, image: '{CHAINCODE}'}}\n");
    let (_folder, file) = written(&network("2.2.15", peers, &chaincodes));
    up_and_down(node, &["-f", &file]);
}

/// Peers join and have anchors. A chaincode is installed; it cannot start without a Docker host.
pub fn network_of_1_4(node: &Node) {
    let peers = "{ca: {enabled: false}, peers: {count: 1}}";
    let (_folder, file) = written(&network("1.4.12", peers, ""));
    node.fabric(&["up", "-f", &file]);
    let block = genesis(node);
    let json = |args: &[&str]| -> Value {
        let output = node.fabric(args);
        serde_json::from_str(&output.stdout).expect("JSON")
    };
    let again = json(&["up", "-f", &file, "-o", "json"]);
    assert_eq!(again["changed"], false, "{again}");
    let shown = node.fabric(&["channel", "show", "mychannel"]).stdout;
    for peer in ["peer0.org1:7051", "peer0.org2:7051"] {
        assert!(shown.contains(&format!("anchor {peer}")), "{shown}");
    }

    // A lost Secret is restored from the orderers' ledger.
    let delete = ["delete", "secret", "genesis", "-n", "orgorderer1"];
    node.cluster.kubectl().args(delete).run().success();
    node.fabric(&["up", "-f", &file]);
    assert_eq!(genesis(node), block);

    node.fabric(&["down", "-f", &file]);
    let back = json(&["up", "-f", &file, "-o", "json"]);
    let steps = back["steps"].as_array().expect("steps");
    for step in steps {
        let id = step["id"].as_str().expect("an id");
        assert!(id.starts_with("release/"), "{id}: the ledgers were kept");
    }
    assert_eq!(genesis(node), block);
    chaincode_without_docker(node, peers);
}

fn chaincode_without_docker(node: &Node, peers: &str) {
    let chaincodes = "chaincodes:\n  mycc: {channel: mychannel, type: golang, path: mycc}\n";
    let (folder, file) = written(&network("1.4.12", peers, chaincodes));
    let source = folder.path().join("mycc");
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("main.go"), "package main\n\nfunc main() {}\n").expect("a file");
    for _ in 0..2 {
        let failed = node.cluster.fabric().args(["up", "-f", &file]).run();
        let failed = failed.exits(1).stderr;
        for words in [
            "chaincode \"mycc\" was not instantiated",
            "no peer endorsed the call of \"lscc\"",
        ] {
            assert!(failed.contains(words), "{failed}");
        }
    }
    // It is installed, and no step of that is left.
    let missing = node.fabric(&["diff", "-f", &file]).stdout;
    assert!(missing.contains("instantiate mycc"), "{missing}");
    assert!(!missing.contains("install the package"), "{missing}");
}
