//! A chaincode that the plugin deploys and calls, without any program of Fabric beside the nodes.

use std::thread;

use serde_json::Value;

use crate::channel::install;
use crate::network::RAFT;
use crate::node::Node;
use crate::support::Output;

const DEPLOY: [&str; 5] = [
    "chaincode",
    "deploy",
    "basic",
    "--image",
    "example.com/asset-transfer-basic:1.0",
];

fn run(node: &Node, args: &[&str]) -> Output {
    node.cluster.fabric().args(args).run()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout)
        .unwrap_or_else(|_| panic!("JSON: {}{}", output.stdout, output.stderr))
}

fn invoke(node: &Node, call: &str, more: &[&str]) -> Output {
    let invoke = ["chaincode", "invoke", "basic", "-o", "json", "-c", call];
    run(node, &[&invoke[..], more].concat())
}

fn owner(node: &Node, asset: &str, organization: &str) -> Value {
    let call = format!(r#"["ReadAsset","{asset}"]"#);
    let query = [
        "chaincode",
        "query",
        "basic",
        "-c",
        &call,
        "--org",
        organization,
    ];
    let answer = node.fabric(&query).stdout;
    let asset: Value = serde_json::from_str(&answer).expect("an asset");
    asset["owner"].clone()
}

pub fn deploy_and_call(node: &Node) {
    install(node, RAFT, "2.5.16");
    let create = [
        "channel",
        "create",
        "mychannel",
        "--orderers",
        "orgorderer1",
        "--organizations",
        "org1,org2",
        "--batch-timeout",
        "1s",
    ];
    node.fabric(&create);
    deploy(node);
    call(node);
    explain(node);
    crate::application::calls(node);
    with_a_peer_down(node);
}

/// What is there is left alone, and a changed definition is the next sequence.
fn deploy(node: &Node) {
    let deploy = |more: &[&str]| json(&node.fabric(&[&DEPLOY[..], &["-o", "json"], more].concat()));
    let first = deploy(&[]);
    assert_eq!(first["sequence"], 1, "{first}");
    assert_eq!(first["committed"], true, "{first}");
    let again = deploy(&[]);
    assert_eq!(again["changed"], false, "{again}");
    assert_eq!(again["sequence"], 1, "{again}");
    let version = deploy(&["--version", "2.0"]);
    assert_eq!(version["sequence"], 2, "{version}");
    assert_eq!(version["changes"][0], "version: 1.0 → 2.0", "{version}");
    for server in version["organizations"].as_array().expect("rows") {
        assert_eq!(server["server"], "unchanged", "{version}");
    }

    let list = json(&node.fabric(&["chaincode", "list", "-o", "json"]));
    assert_eq!(list[0]["name"], "basic", "{list}");
    assert_eq!(list[0]["sequence"], 2, "{list}");
    let approved = serde_json::json!(["Org1MSP", "Org2MSP"]);
    assert_eq!(list[0]["approvedBy"], approved, "{list}");
    let installed = serde_json::json!(["peer0.org1", "peer1.org1", "peer0.org2"]);
    assert_eq!(list[0]["installedOn"], installed, "{list}");
}

fn call(node: &Node) {
    let create = r#"["CreateAsset","a1","blue","5","Tom","100"]"#;
    let first = json(&invoke(node, create, &[]));
    assert_eq!(first["validationCode"], "VALID", "{first}");
    assert_eq!(owner(node, "a1", "org2"), "Tom");

    let again = invoke(node, create, &["--org", "org2"]);
    assert_eq!(again.status, Some(1));
    for words in ["the asset a1 already exists", "no transaction was sent"] {
        assert!(again.stderr.contains(words), "{}", again.stderr);
    }
    let next = json(&invoke(
        node,
        r#"{"function":"CreateAsset","Args":["a2","red","5","Ann","100"]}"#,
        &["--org", "org2"],
    ));
    let number = |it: &Value| it["block"].as_u64().expect("a block");
    assert!(number(&next) > number(&first));
    assert_ne!(next["transaction"], first["transaction"]);
}

fn explain(node: &Node) {
    // Of transactions that read the same key before a block is cut, one is valid.
    let ends: Vec<Output> = thread::scope(|scope| {
        let transfers: Vec<_> = (0..4)
            .map(|number| {
                let call = format!(r#"["TransferAsset","a1","owner{number}"]"#);
                scope.spawn(move || invoke(node, &call, &[]))
            })
            .collect();
        let joined = transfers.into_iter().map(|it| it.join().expect("a run"));
        joined.collect()
    });
    let (valid, refused): (Vec<&Output>, Vec<&Output>) =
        ends.iter().partition(|it| it.status == Some(0));
    assert!(
        !valid.is_empty() && !refused.is_empty(),
        "nothing conflicted"
    );
    for it in refused {
        for words in [
            "MVCC_READ_CONFLICT (11)",
            r#"changed the key \"a1\" of \"basic\""#,
        ] {
            assert!(it.stderr.contains(words), "{}", it.stderr);
        }
        let named = valid.iter().any(|it2| {
            it.stderr
                .contains(json(it2)["transaction"].as_str().expect("an id"))
        });
        assert!(named, "{}", it.stderr);
    }

    let create = r#"["CreateAsset","a3","blue","5","Tom","100"]"#;
    let few = invoke(node, create, &["--organizations", "org1"]);
    assert_eq!(few.status, Some(1));
    let words = "Org1MSP has signed; needs 1 more of Org2MSP";
    assert!(few.stderr.contains(words), "{}", few.stderr);

    let unknown = ["chaincode", "query", "basik", "-c", r#"["ReadAsset","a1"]"#];
    let unknown = run(node, &unknown);
    let words = "no committed chaincode \"basik\"; it has basic";
    assert!(unknown.stderr.contains(words), "{}", unknown.stderr);
}

/// The second peer of an organization endorses for it, and tells of the commit.
fn with_a_peer_down(node: &Node) {
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        let peer = ["scale", "-n", "org1", "statefulset/peer0", &replicas];
        node.cluster.kubectl().args(peer).run().success();
    };
    scale("0");
    let create = r#"["CreateAsset","a4","blue","5","Eve","100"]"#;
    let created = json(&invoke(node, create, &["--org", "org1"]));
    assert_eq!(created["validationCode"], "VALID", "{created}");
    assert_eq!(owner(node, "a4", "org1"), "Eve");
    let deploy = run(node, &[&DEPLOY[..], &["--version", "3.0"]].concat());
    assert_eq!(deploy.status, Some(3), "{}", deploy.stderr);
    for words in ["peer0.org1", "the definition is not committed"] {
        assert!(deploy.stderr.contains(words), "{}", deploy.stderr);
    }
    scale("1");
    node.assert_steady(&["org1"]);
    node.fabric(&[&DEPLOY[..], &["--version", "3.0"]].concat());
}
