//! How many requests each operation sends, by verb: compared with tests/counts.json.

use crate::nodes::Release;
use crate::support::Request;
use std::collections::BTreeMap;
use std::fs;

#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/counts.rs"]
pub mod recorded;

/// 150 objects, more than are all tried before an install.
const PEERS: usize = 30;

#[test]
fn no_operation_sends_more_requests_than_is_recorded() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = release.cluster.folder().join("peers");
    for (path, content) in peers::files(PEERS) {
        let file = chart.join(path);
        fs::create_dir_all(file.parent().expect("a chart's files lie in it"))
            .expect("a folder of the chart");
        fs::write(file, content).expect("a file of the chart");
    }
    let chart = chart.display().to_string();
    release.cluster.create_namespace("app");
    for (subject, verb, arguments) in [
        (
            "install 150 objects",
            "install",
            ["--chart", &chart].as_slice(),
        ),
        (
            "upgrade, 30 of 150 changed",
            "upgrade",
            &["--set", "version=2"],
        ),
        ("upgrade, nothing changed", "upgrade", &[]),
        ("rollback of the 30", "rollback", &["1"]),
        ("uninstall 150 objects", "uninstall", &["--yes"]),
    ] {
        let requests = release.cluster.requests(|| {
            release
                .run(verb, &[arguments, &["--wait=false"]].concat())
                .success();
        });
        let counts = by_verb(&requests);
        let counts: Vec<(&str, u64)> = counts
            .iter()
            .map(|(verb, count)| (verb.as_str(), *count))
            .collect();
        recorded::compare(&format!("requests: {subject}"), &counts);
    }
}

fn by_verb(requests: &[Request]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    // How often the lock is renewed depends on how long the operation takes.
    for request in requests
        .iter()
        .filter(|request| request.resource != "leases")
    {
        let verb = if request.dry_run {
            "dry-run"
        } else {
            &request.verb
        };
        *counts.entry(verb.to_owned()).or_default() += 1;
    }
    counts
}
