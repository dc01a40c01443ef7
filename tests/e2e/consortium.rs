//! One network file, and users who have rights in their own namespaces only. They exchange files in
//! the folder of the network file.

use std::fs;

use serde_json::Value;

use crate::governance::Partner;
use crate::node::Node;
use crate::support::Output;

const NETWORK: &str = "\
apiVersion: kubectl-fabric.io/v1
kind: Network
organizations:
  orgorderer1: {values: {orderers: {count: 1}}}
  org1: {values: {ca: {enabled: false}, peers: {count: 1}}}
  org2: {values: {ca: {enabled: false}, peers: {count: 1}}}
channels:
  mychannel:
    orderers: [orgorderer1]
    organizations: [org1, org2]
    batchTimeout: 200ms
chaincodes:
  basic:
    channel: mychannel
    image: registry.example.com/asset-transfer-basic:1.0
";

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout)
        .unwrap_or_else(|_| panic!("JSON: {}{}", output.stdout, output.stderr))
}

struct Consortium<'a> {
    node: &'a Node,
    /// Has the orderers and org1.
    first: Partner<'a>,
    /// Has org2.
    second: Partner<'a>,
}

impl Consortium<'_> {
    fn write(&self, text: &str) {
        let file = self.node.cluster.folder().join("network.yaml");
        fs::write(file, text).expect("a folder of ours");
    }

    /// Each does its part, again and again in this order, until all have done it.
    fn up(&self, order: &[&str]) {
        let mut last = Vec::new();
        for _ in 0..8 {
            last.clear();
            for org in order {
                let user = match *org {
                    "org2" => &self.second,
                    _ => &self.first,
                };
                let up = ["up", "-f", "network.yaml", "--org", org, "-o", "json"];
                last.push(json(&user.does(&up)));
            }
            let is_done = |it: &Value| {
                it["changed"] == false
                    && ["waits", "later", "signatures", "held"]
                        .iter()
                        .all(|key| it["part"][key] == serde_json::json!([]))
            };
            if last.iter().all(is_done) {
                return;
            }
        }
        panic!("{order:?} does not come to an end: {last:#?}");
    }
}

/// Two kubeconfigs, three organizations: they bring up the network in any order, change it, and
/// transact.
pub fn each_does_its_part(node: &Node) {
    for namespace in ["orgorderer1", "org1", "org2"] {
        let create = ["create", "namespace", namespace];
        node.cluster.kubectl().args(create).run().success();
    }
    let consortium = Consortium {
        node,
        first: Partner::new(node, "first", &["orgorderer1", "org1"]),
        second: Partner::new(node, "second", &["org2"]),
    };
    consortium.write(NETWORK);
    let alone = consortium
        .second
        .does(&["up", "-f", "network.yaml", "--org", "org2"]);
    for words in [
        "provide the genesis block of mychannel: mychannel.block",
        "provide the public part of org1: org1.json",
    ] {
        assert!(alone.stdout.contains(words), "{words}\n{}", alone.stdout);
    }
    assert!(
        alone
            .stderr
            .contains("org2.json is the public part of org2"),
        "{}",
        alone.stderr
    );
    consortium.up(&["org2", "org1", "orgorderer1"]);
    transact(&consortium, "a1");

    // A change of the channel that both must sign: each signs in its own run.
    let text = NETWORK.replace(
        "    batchTimeout: 200ms\n",
        "    batchTimeout: 200ms\n    policies: {application: {Endorsement: ANY Endorsement}}\n",
    );
    consortium.write(&text);
    let proposed = consortium
        .first
        .does(&["up", "-f", "network.yaml", "--org", "org1"]);
    assert!(
        proposed.stdout.contains("org2: sign: update mychannel"),
        "{}",
        proposed.stdout
    );
    assert!(
        proposed.stderr.contains("mychannel.update.json"),
        "{}",
        proposed.stderr
    );
    consortium.up(&["orgorderer1", "org1", "org2"]);
    transact(&consortium, "a2");

    // The next version of the chaincode.
    consortium.write(&text.replace("    image:", "    version: \"2.0\"\n    image:"));
    consortium.up(&["org1", "orgorderer1", "org2"]);
    transact(&consortium, "a3");
}

/// Invoked through one organization, read through the other.
fn transact(consortium: &Consortium<'_>, id: &str) {
    let create = format!(r#"["CreateAsset","{id}","blue","5","Tom","100"]"#);
    let invoke = [
        "chaincode",
        "invoke",
        "basic",
        "-c",
        &create,
        "--org",
        "org1",
    ];
    consortium.first.does(&invoke);
    let read = format!(r#"["ReadAsset","{id}"]"#);
    let query = ["chaincode", "query", "basic", "-c", &read, "--org", "org2"];
    let query = [&query[..], &["-n", "org2"]].concat();
    let found = crate::support::until("org2's peer to have the asset", || {
        let output = consortium.second.run(&query);
        (output.status == Some(0)).then_some(output.stdout)
    });
    let asset: Value = serde_json::from_str(&found).expect("an asset");
    assert_eq!(asset["owner"], "Tom");
}
