//! How many requests each operation sends, by verb: compared with tests/counts.json.

use crate::nodes::Release;
use crate::support::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

#[path = "../support/counts.rs"]
mod recorded;

/// The chart of the benchmarks, with 30 peers: 150 objects, more than are all tried before an install.
const TEMPLATE: &str = include_str!("../../benches/compare/templates/fabric.yaml");
const PEERS: usize = 30;

#[test]
fn no_operation_sends_more_requests_than_is_recorded() {
    let Some(release) = Release::new() else { return };
    let chart = release.cluster.folder().join("peers");
    write_chart(&chart);
    let chart = chart.display().to_string();
    release.cluster.create_namespace("app");
    for (subject, verb, arguments) in [
        ("install 150 objects", "install", ["--chart", &chart].as_slice()),
        ("upgrade, 30 of 150 changed", "upgrade", &["--set", "version=2"]),
        ("upgrade, nothing changed", "upgrade", &[]),
        ("rollback of the 30", "rollback", &["1"]),
        ("uninstall 150 objects", "uninstall", &["--yes"]),
    ] {
        let requests = release.cluster.requests(|| {
            release.run(verb, &[arguments, &["--wait=false"]].concat()).success();
        });
        let counts = by_verb(&requests);
        let counts: Vec<(&str, u64)> = counts.iter().map(|(verb, count)| (verb.as_str(), *count)).collect();
        recorded::compare(&format!("requests: {subject}"), &counts);
    }
}

fn by_verb(requests: &[Request]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    // How often the lock is renewed depends on how long the operation takes.
    for request in requests.iter().filter(|request| request.resource != "leases") {
        let verb = if request.dry_run { "dry-run" } else { &request.verb };
        *counts.entry(verb.to_owned()).or_default() += 1;
    }
    counts
}

fn write_chart(folder: &std::path::Path) {
    let peer = |number| json!({"name": format!("peer{number}"), "port": 7051, "storage": "1Gi", "password": "c2VjcmV0"});
    let peers: Vec<Value> = (0..PEERS).map(peer).collect();
    let values =
        json!({"image": "peer", "version": "1", "mspId": "Org1MSP", "config": "peer: {}\n", "resources": {}, "peers": peers});
    fs::create_dir_all(folder.join("templates")).expect("a folder for the chart");
    let file = |path: &str, text: &str| fs::write(folder.join(path), text).expect("a file of the chart");
    file("Chart.yaml", "apiVersion: v2\nname: peers\nversion: 0.1.0\n");
    file("values.yaml", &values.to_string());
    file("templates/peers.yaml", TEMPLATE);
}
