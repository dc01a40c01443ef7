//! `channel` commands before the first call to a node: whose records and administrators they
//! believe. Simulated pods answer nothing, so what passes ends at a node that cannot be reached.

use crate::support::{self, Cluster, Output, repository};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// An installed organization with one peer, in a network of the test's own.
fn organization() -> Option<(Cluster, String)> {
    let cluster = support::cluster()?;
    let namespace = cluster.namespace("org1");
    let install = cluster
        .fabric()
        .args(["install", "org1", "--network", cluster.network()]);
    let values = "peers.count=1,ca.enabled=false,networkPolicy.enabled=false";
    install.args(["--set", values]).run().success();
    Some((cluster, namespace))
}

/// Lists the organization's channels, with everything that the program can tell of its requests.
fn list(cluster: &Cluster, more: &[&str]) -> Output {
    let list = [
        "channel",
        "list",
        "org1",
        "-v",
        "8",
        "--network",
        cluster.network(),
    ];
    let output = cluster.fabric().args(list).args(more).run();
    let told = output.told();
    let key = |it: &&Value| {
        it["metadata"]["name"]
            .as_str()
            .is_some_and(|name| name.ends_with("-msp"))
    };
    let secrets = cluster.list("secret", &cluster.namespace("org1"));
    for secret in secrets.iter().filter(key) {
        let pem = BASE64_STANDARD.decode(secret["data"]["key.pem"].as_str().unwrap_or_default());
        let pem = String::from_utf8(pem.expect("base64")).expect("PEM");
        let Some(line) = pem.lines().nth(1) else {
            continue; // This test took it away.
        };
        assert!(!told.contains(line), "a key was printed");
    }
    output
}

fn patch(cluster: &Cluster, namespace: &str, kind: &str, name: &str, patch: &Value) {
    let patch = patch.to_string();
    let args = [
        "-n",
        namespace,
        "patch",
        kind,
        name,
        "--type=merge",
        "-p",
        &patch,
    ];
    cluster.kubectl().args(args).run().success();
}

#[test]
fn the_administrator_must_be_the_organizations_and_no_node_is_called_before() {
    let Some((cluster, namespace)) = organization() else {
        return;
    };
    let foreign = repository()
        .join("tests/fixtures/v2.5.16/crypto-config/peerOrganizations/org1/users/Admin@org1");
    let foreign = list(&cluster, &["--identity", &foreign.display().to_string()]).exits(1);
    assert!(
        foreign
            .stderr
            .contains("which is not an authority of Org1MSP"),
        "{}",
        foreign.stderr
    );
    assert!(
        foreign.stderr.contains("nothing was sent to any node"),
        "{}",
        foreign.stderr
    );

    let folder = list(
        &cluster,
        &[
            "--identity",
            &repository().join("docs").display().to_string(),
        ],
    );
    assert!(folder.exits(1).stderr.contains("is not an identity folder"));

    patch(
        &cluster,
        &namespace,
        "secret",
        "org1-admin-msp",
        &json!({"data": {"key.pem": null}}),
    );
    let keyless = list(&cluster, &[]).exits(1);
    assert!(
        keyless.stderr.contains("data[\"key.pem\"]: missing"),
        "{}",
        keyless.stderr
    );
    let peer = cluster
        .get("secret", "peer0-msp", Some(&namespace))
        .expect("a Secret");
    let other = json!({"data": {"key.pem": peer["data"]["key.pem"]}});
    patch(&cluster, &namespace, "secret", "org1-admin-msp", &other);
    let unfit = list(&cluster, &[]).exits(1);
    assert!(
        unfit.stderr.contains("does not match its certificate"),
        "{}",
        unfit.stderr
    );

    cluster
        .kubectl()
        .args(["-n", &namespace, "delete", "secret", "org1-admin-msp"])
        .run()
        .success();
    let gone = list(&cluster, &[]).exits(1);
    assert!(gone.stderr.contains("Secret not found"), "{}", gone.stderr);
    assert!(gone.stderr.contains("--identity FOLDER"), "{}", gone.stderr);
}

#[test]
fn a_record_that_was_changed_directs_no_signature() {
    let Some((cluster, namespace)) = organization() else {
        return;
    };
    // The node is a simulated one: everything before the call to it is well.
    let unreached = list(&cluster, &["-o", "json"]).exits(0);
    assert_eq!(unreached.json()[0]["node"], format!("peer0.{namespace}"));
    assert!(
        unreached.json()[0]["error"].is_string(),
        "{}",
        unreached.stdout
    );

    let record = "kubectl-fabric.v1.org1.v1";
    let change = json!({"metadata": {"annotations": {"kubectl-fabric.io/description": "changed"}}});
    patch(&cluster, &namespace, "configmap", record, &change);
    let forged = list(&cluster, &[]).exits(1);
    assert!(
        forged.stderr.contains("not written by kubectl-fabric"),
        "{}",
        forged.stderr
    );

    cluster
        .kubectl()
        .args(["-n", &namespace, "delete", "secret", record])
        .run()
        .success();
    let unverified = list(&cluster, &[]).exits(1);
    assert!(
        unverified.stderr.contains("is missing or damaged"),
        "{}",
        unverified.stderr
    );
}

#[test]
fn what_is_no_organization_or_no_channel_is_refused_before_any_request() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let run = |args: &[&str]| {
        cluster
            .fabric()
            .args(args)
            .args(["--network", cluster.network()])
            .run()
    };
    let requests = cluster.requests(|| {
        let name = run(&[
            "channel",
            "create",
            "My_Channel",
            "--orderers",
            "a",
            "--organizations",
            "b",
        ]);
        assert!(name.exits(1).stderr.contains("is not a valid channel name"));
        let group = ["--capability", "peers=V2_0"];
        let group = run(&[
            &[
                "channel",
                "create",
                "c",
                "--orderers",
                "a",
                "--organizations",
                "b",
            ],
            &group[..],
        ]
        .concat());
        assert!(group.exits(1).stderr.contains("unknown group \"peers\""));
    });
    assert!(requests.is_empty(), "{requests:#?}");
    let unknown = run(&[
        "channel",
        "create",
        "c",
        "--orderers",
        "org9",
        "--organizations",
        "org8",
    ]);
    assert!(unknown.exits(1).stderr.contains("not found in namespace"));
}
