//! Proposal files and the Secrets of administrators: who may read them, what is signed, and what is
//! written where.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{self, Cluster, Output, repository};

/// An installed org1, and a copy of the proposal for the fixtures' channel.
fn installed() -> Option<(Cluster, PathBuf)> {
    let cluster = support::cluster()?;
    let install = ["install", "org1", "--network", cluster.network()];
    let values = "peers.count=1,ca.enabled=false,networkPolicy.enabled=false";
    let install = cluster.fabric().args(install).args(["--set", values]);
    install.run().success();
    let file = cluster.folder().join("change.json");
    fs::copy(repository().join("tests/fixtures/proposal.json"), &file).expect("a fixture");
    Some((cluster, file))
}

/// Puts the fixtures' administrator, who is in the channel of the proposal, into the Secret.
fn take_the_fixtures_administrator(cluster: &Cluster) {
    let user = repository()
        .join("tests/fixtures/v2.5.16/crypto-config/peerOrganizations/org1/users/Admin@org1/msp");
    let read = |path: &str| BASE64_STANDARD.encode(fs::read(user.join(path)).expect("a fixture"));
    let patch = json!({"data": {
        "cert.pem": read("signcerts/Admin@org1-cert.pem"),
        "key.pem": read("keystore/priv_sk"),
        "cacert.pem": read("cacerts/ca.org1-cert.pem"),
    }});
    let patch = patch.to_string();
    let namespace = cluster.namespace("org1");
    let args = ["patch", "secret", "org1-admin-msp", "-n", &namespace];
    let patch = ["--type=merge", "-p", &patch];
    cluster.kubectl().args(args).args(patch).run().success();
}

/// Runs a command with everything that it can tell of its requests, which must be no key.
fn run(cluster: &Cluster, args: &[&str]) -> Output {
    let fabric = cluster.fabric().args(args);
    let output = fabric
        .args(["-v", "8", "--network", cluster.network()])
        .run();
    let told = output.told();
    for secret in cluster.list("secret", &cluster.namespace("org1")) {
        let key = secret["data"]["key.pem"].as_str().unwrap_or_default();
        let pem = BASE64_STANDARD.decode(key).expect("base64");
        let pem = String::from_utf8(pem).expect("PEM");
        if let Some(line) = pem.lines().nth(1) {
            assert!(!told.contains(line), "a key was printed");
        }
    }
    output
}

fn signatures(file: &PathBuf) -> usize {
    let text = fs::read_to_string(file).expect("the file");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["signatures"].as_array().expect("a list").len()
}

#[test]
fn an_administrator_in_a_secret_signs_once_and_no_key_leaves_it() {
    let Some((cluster, file)) = installed() else {
        return;
    };
    take_the_fixtures_administrator(&cluster);
    let sign = ["channel", "sign", "change.json", "org1", "--offline"];
    let unconfirmed = run(&cluster, &sign);
    let stderr = unconfirmed.exits(4).stderr;
    assert!(stderr.contains("add --yes to confirm it"), "{stderr}");
    assert_eq!(signatures(&file), 0);

    let sign = [&sign[..], &["--yes"]].concat();
    let signed = run(&cluster, &sign).success();
    for words in [
        "policy /Channel/Application/Endorsement: MAJORITY of Endorsement → ALL of Endorsement",
        "Org1MSP has signed; needs 1 more of Org2MSP",
        "Signed by Admin@org1 of Org1MSP.",
    ] {
        assert!(signed.stdout.contains(words), "{words}\n{}", signed.stdout);
    }
    let text = fs::read_to_string(&file).expect("the file");
    assert!(!text.contains("PRIVATE KEY"));
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = run(&cluster, &sign).success();
    assert!(
        again.stdout.contains("No signature was added"),
        "{}",
        again.stdout
    );
    assert_eq!(fs::read_to_string(&file).expect("the file"), text);

    // Without --offline its nodes must answer. Simulated ones do not.
    let asked = run(
        &cluster,
        &["channel", "sign", "change.json", "org1", "--yes"],
    )
    .exits(1);
    assert!(
        asked.stderr.contains("cannot read channel \"mychannel\""),
        "{}",
        asked.stderr
    );
    let link = cluster.folder().join("link.json");
    fs::copy(repository().join("tests/fixtures/proposal.json"), &file).expect("a fixture");
    symlink(&file, &link).expect("a link");
    let sign = ["channel", "sign", "link.json", "org1", "--offline", "--yes"];
    let refused = run(&cluster, &sign).exits(1);
    assert!(
        refused.stderr.contains("links are not followed"),
        "{}",
        refused.stderr
    );
    assert_eq!(signatures(&file), 0);
}

#[test]
fn who_may_not_read_the_secret_signs_nothing_and_the_error_names_the_right() {
    let Some((cluster, file)) = installed() else {
        return;
    };
    let sign = [
        "channel",
        "sign",
        "change.json",
        "org1",
        "--offline",
        "--yes",
    ];
    let viewer = run(&cluster, &[&sign[..], &["--context", "viewer"]].concat()).exits(1);
    assert!(viewer.stderr.contains("secrets"), "{}", viewer.stderr);
    assert_eq!(signatures(&file), 0);
}

#[test]
fn an_organization_outside_the_channel_does_not_sign() {
    let Some((cluster, file)) = installed() else {
        return;
    };
    let sign = [
        "channel",
        "sign",
        "change.json",
        "org1",
        "--offline",
        "--yes",
    ];
    let stranger = run(&cluster, &sign).exits(1);
    assert!(
        stranger.stderr.contains("would not count"),
        "{}",
        stranger.stderr
    );
    assert_eq!(signatures(&file), 0);
}

#[test]
fn a_command_without_a_change_asks_the_cluster_for_nothing() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let requests = cluster.requests(|| {
        let none = run(&cluster, &["channel", "update", "mychannel"]).exits(1);
        assert!(
            none.stderr.contains("no change is given"),
            "{}",
            none.stderr
        );
        let file = ["channel", "update", "mychannel", "--add-org", "no.json"];
        let missing = run(&cluster, &file).exits(1);
        assert!(
            missing.stderr.contains("there is no such file"),
            "{}",
            missing.stderr
        );
    });
    assert!(requests.is_empty(), "{requests:#?}");
}
