//! An application with a public client library: it has a connection profile and an identity, and
//! nothing else.

use std::env;
use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use crate::node::Node;
use crate::support::repository;

/// Names a folder `node_modules` with the dependencies of `examples/application`; unset, the
/// application is not run.
const MODULES: &str = "KUBECTL_FABRIC_E2E_NODE_MODULES";

/// Makes the profile of org1, and has the example application send and read an asset with it.
pub fn calls(node: &Node) {
    let Some(modules) = env::var_os(MODULES) else {
        let words = format!("skipped: examples/application ({MODULES} names no folder)\n");
        let _ = std::io::stderr().write_all(words.as_bytes());
        return;
    };
    let folder = node.cluster.folder();
    let tunnel = node.tunnel("org1", "peer0", 7051);
    let address = format!("peer0=127.0.0.1:{}", tunnel.port);
    let profile = ["profile", "org1", "--channel", "mychannel", "-o", "json"];
    let profile = node.fabric(&[&profile[..], &["--address", &address]].concat());
    let document: Value = serde_json::from_str(&profile.stdout).expect("JSON");
    let orderers: Vec<String> = (0..3).map(|i| format!("orderer{i}.orgorderer1")).collect();
    assert_eq!(
        document["channels"]["mychannel"]["orderers"],
        json!(orderers)
    );
    let orderer = &document["orderers"]["orderer0.orgorderer1"];
    assert_eq!(orderer["url"], "grpcs://orderer0.orgorderer1:7050");
    let root = orderer["tlsCACerts"]["pem"].as_str().expect("an authority");
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");

    fs::write(folder.join("profile.json"), &profile.stdout).expect("a file");
    let identity = folder.join("admin").display().to_string();
    let export = ["identity", "export", "org1", "admin", "--with-keys"];
    node.fabric(&[&export[..], &["--to", &identity]].concat());
    let run = |call: &str| {
        let program = repository().join("examples/application/app.js");
        let line = format!(
            "node {} profile.json admin mychannel basic {call}",
            program.display()
        );
        let shell = node.cluster.shell(&line).env("NODE_PATH", &modules);
        shell.run().success().stdout
    };
    run("submit CreateAsset a7 green 5 Eve 100");
    let asset: Value = serde_json::from_str(&run("evaluate ReadAsset a7")).expect("JSON");
    assert_eq!(asset["owner"], "Eve", "{asset}");
}
