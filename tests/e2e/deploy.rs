//! A chaincode that the plugin deploys and calls, without any program of Fabric beside the nodes.

use std::fs;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::channel::install;
use crate::network::RAFT;
use crate::node::Node;
use crate::support::{Output, until};

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
    let mut create = CREATE;
    // Long enough for conflicting transactions to meet in a block.
    create[8] = "1s";
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

const CREATE: [&str; 9] = [
    "channel",
    "create",
    "mychannel",
    "--orderers",
    "orgorderer1",
    "--organizations",
    "org1,org2",
    "--batch-timeout",
    "300ms",
];

fn chaincode(node: &Node, verb: &str, args: &[&str]) -> Output {
    run(node, &[&["chaincode", verb, "basic"], args].concat())
}

/// Definitions that each organization approves by itself, and servers that change while the
/// definition stays.
pub fn approve_commit_and_change(node: &Node) {
    install(node, RAFT, "2.5.16");
    node.fabric(&CREATE);
    node.fabric(&DEPLOY);
    let create = r#"["CreateAsset","a1","blue","5","Tom","100"]"#;
    invoke(node, create, &[]).success();
    approve_and_commit(node);
    change_the_port(node);
    replace(node);
    add_indexes(node);
    serve_tls(node);
    change_the_definition(node);
    add_an_organization(node);
}

fn approve_and_commit(node: &Node) {
    let approve = |organization: &str| {
        let args = ["--version", "2.0", "--organizations", organization];
        let output = chaincode(node, "approve", &[&args[..], &["-o", "json"]].concat());
        json(&output.success())
    };
    let one = approve("org1");
    assert_eq!(one["sequence"], 2, "{one}");
    assert_eq!(one["approvedBy"], serde_json::json!(["Org1MSP"]), "{one}");
    assert_eq!(
        one["notApprovedBy"],
        serde_json::json!(["Org2MSP"]),
        "{one}"
    );
    for (args, status) in [(&["--check"][..], 3), (&[], 1)] {
        let early = chaincode(node, "commit", args).exits(status).stderr;
        for words in ["not approved by Org2MSP", "needs 1 more of Org2MSP"] {
            assert!(early.contains(words), "{early}");
        }
    }
    // Who has approved nothing has nothing to commit.
    let other = chaincode(node, "commit", &["--org", "org2", "-o", "json"]).success();
    assert_eq!(json(&other)["sequence"], 1);
    let two = approve("org2");
    assert_eq!(two["notApprovedBy"], serde_json::json!([]), "{two}");
    assert_eq!(approve("org2")["changed"], false);
    chaincode(node, "commit", &["--check"]).success();
    let commit = || json(&chaincode(node, "commit", &["--org", "org2", "-o", "json"]).success());
    let committed = commit();
    assert_eq!(committed["sequence"], 2, "{committed}");
    assert_eq!(committed["changes"][0], "version: 1.0 → 2.0", "{committed}");
    assert_eq!(commit()["changed"], false);
    assert_eq!(owner(node, "a1", "org2"), "Tom");
}

/// The row of an organization in what `deploy` prints.
fn row<'v>(document: &'v Value, organization: &str) -> &'v Value {
    let rows = document["organizations"].as_array().expect("rows");
    let row = rows.iter().find(|it| it["organization"] == organization);
    row.unwrap_or_else(|| panic!("{organization} in {document}"))
}

fn redeploy(node: &Node, more: &[&str]) -> Value {
    let args = [&["-o", "json", "--timeout", "1m"], more].concat();
    json(&chaincode(node, "deploy", &args).success())
}

/// A server that moves to another port takes its package along, at the same sequence.
fn change_the_port(node: &Node) {
    node.fabric(&["upgrade", "basic", "-n", "org1", "--set", "port=9998"]);
    let query = r#"["ReadAsset","a1"]"#;
    // The old server answers for a moment more.
    until("the peers to lose the server", || {
        let asked = chaincode(node, "query", &["-c", query, "--org", "org1"]);
        (asked.status == Some(1)).then_some(())
    });
    let mended = redeploy(node, &[]);
    assert_eq!(mended["sequence"], 2, "{mended}");
    assert_eq!(mended["committed"], false, "{mended}");
    let installed = serde_json::json!(["peer0.org1", "peer1.org1"]);
    assert_eq!(row(&mended, "org1")["installed"], installed, "{mended}");
    assert_eq!(row(&mended, "org1")["approved"], true, "{mended}");
    assert_eq!(row(&mended, "org2")["approved"], false, "{mended}");
    assert_eq!(row(&mended, "org2")["server"], "unchanged", "{mended}");
    assert_eq!(owner(node, "a1", "org1"), "Tom");
    assert_eq!(redeploy(node, &[])["changed"], false);
    let create = r#"["CreateAsset","a2","blue","5","Ann","100"]"#;
    invoke(node, create, &["--org", "org1"]).success();

    // Emptied, it is the chart's own again.
    let back = redeploy(node, &["--set", "port=null"]);
    assert_eq!(row(&back, "org1")["approved"], true, "{back}");
    assert_eq!(owner(node, "a2", "org1"), "Ann");
    // A rollback of the server brings the port back, and the package follows.
    node.fabric(&["rollback", "basic", "-n", "org1"]);
    let rolled_back = redeploy(node, &[]);
    assert_eq!(row(&rolled_back, "org1")["approved"], true, "{rolled_back}");
    assert_eq!(owner(node, "a2", "org1"), "Ann");
    redeploy(node, &["--set", "port=null"]);
}

fn replace(node: &Node) {
    let image = "example.com/asset-transfer-basic:1.0";
    let began = std::time::Instant::now();
    let replaced = chaincode(node, "dev", &["--image", image]).success();
    crate::support::tell(&format!("dev: {:?}", began.elapsed()));
    assert!(
        replaced.stderr.contains("rollback basic"),
        "{}",
        replaced.stderr
    );
    assert_eq!(owner(node, "a2", "org2"), "Ann");
    let logs = chaincode(node, "logs", &["-n", "org1"]).success().stdout;
    assert!(
        logs.lines().all(|line| line.starts_with("[org1/basic-")),
        "{logs}"
    );
    assert_eq!(redeploy(node, &[])["changed"], false);
}

/// Indexes go into the package, where peers check them, and stay in it.
fn add_indexes(node: &Node) {
    let folder = node.cluster.folder().join("indexes");
    let inside = folder.join("META-INF/statedb/couchdb/indexes");
    fs::create_dir_all(&inside).expect("a folder");
    let index = r#"{"index":{"fields":["owner"]},"ddoc":"ownerDoc","name":"owner","type":"json"}"#;
    fs::write(inside.join("owner.json"), index).expect("a file");
    let folder = folder.to_str().expect("UTF-8");
    let added = redeploy(node, &["--indexes", folder]);
    assert_eq!(row(&added, "org2")["approved"], true, "{added}");
    assert_eq!(redeploy(node, &[])["changed"], false);
    assert_eq!(owner(node, "a1", "org2"), "Tom");
    fs::write(inside.join("owner.json"), r#"{"fields":[]}"#).expect("a file");
    let refused = chaincode(node, "deploy", &["--indexes", folder]).exits(1);
    let words = "peers do not accept its entry \"fields\"";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
}

/// TLS with client certificates, switched on and off while the definition stays.
fn serve_tls(node: &Node) {
    let files = Certificates::new();
    for namespace in ["org1", "org2"] {
        for (name, ca, pair) in [
            ("basic-tls", &files.ca, &files.server),
            ("basic-clients", &files.ca, &files.client),
        ] {
            let secret = serde_json::json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": {"ca.crt": ca, "tls.crt": pair.0, "tls.key": pair.1},
            });
            node.cluster.apply(namespace, &secret.to_string());
        }
    }
    let values = "tls.secret=basic-tls,tls.clientCASecret=basic-clients";
    let served = redeploy(node, &["--set", values]);
    assert_eq!(served["sequence"], 2, "{served}");
    for organization in ["org1", "org2"] {
        assert_eq!(row(&served, organization)["approved"], true, "{served}");
        assert_eq!(owner(node, "a1", organization), "Tom");
    }
    assert_eq!(redeploy(node, &[])["changed"], false);
    let create = r#"["CreateAsset","a3","blue","5","Eve","100"]"#;
    invoke(node, create, &[]).success();

    let wrong = ["--set", "tls.secret=basic-clients"];
    let wrong = chaincode(node, "deploy", &wrong).exits(1).stderr;
    let words = "the certificate is not for the host name \"basic\"";
    assert!(wrong.contains(words), "{wrong}");
    redeploy(node, &["--set", "tls=null"]);
    assert_eq!(owner(node, "a3", "org1"), "Eve");
}

/// Each change is the next sequence, and what is left out stays.
fn change_the_definition(node: &Node) {
    let policy = "OR('Org1MSP.peer', 'Org2MSP.peer')";
    let changed = redeploy(node, &["--policy", policy]);
    assert_eq!(changed["sequence"], 3, "{changed}");
    let line = format!("policy: /Channel/Application/Endorsement → {policy}");
    assert_eq!(changed["changes"], serde_json::json!([line]), "{changed}");
    // One organization is enough now.
    let create = r#"["CreateAsset","a5","blue","5","Zoe","100"]"#;
    let one = ["--organizations", "org2", "--org", "org2"];
    invoke(node, create, &one).success();

    let file = node.cluster.folder().join("collections.json");
    let collection = r#"[{"name": "secrets", "policy": "OR('Org1MSP.member')",
        "requiredPeerCount": 0, "maxPeerCount": 1, "blockToLive": 0}]"#;
    fs::write(&file, collection).expect("a file");
    let file = ["--collections", file.to_str().expect("UTF-8")];
    let changed = redeploy(node, &file);
    assert_eq!(changed["sequence"], 4, "{changed}");
    let line = "private data collections differ";
    assert_eq!(changed["changes"], serde_json::json!([line]), "{changed}");
    assert_eq!(redeploy(node, &file)["changed"], false);
    assert_eq!(redeploy(node, &[])["changed"], false);
    assert_eq!(owner(node, "a5", "org1"), "Zoe");
}

/// A channel where one organization is enough, and the other comes later.
fn add_an_organization(node: &Node) {
    let policies = [
        "--policy",
        "Application/LifecycleEndorsement=ANY Endorsement",
        "--policy",
        "Application/Endorsement=ANY Endorsement",
    ];
    let mut create = CREATE;
    create[2] = "second";
    node.fabric(&[&create[..], &policies].concat());
    let deploy = |more: &[&str]| {
        let args = ["chaincode", "deploy", "late", "-C", "second", "-o", "json"];
        run(node, &[&args[..], more].concat())
    };
    let first = deploy(&[&DEPLOY[3..], &["--organizations", "org1"]].concat());
    assert_eq!(json(&first.success())["committed"], true);
    // The server of an organization that has none needs an image.
    let without = deploy(&[]).exits(1).stderr;
    assert!(without.contains("image.repository"), "{without}");
    let added = json(&deploy(&DEPLOY[3..]).success());
    assert_eq!(added["sequence"], 1, "{added}");
    assert_eq!(row(&added, "org1")["server"], "unchanged", "{added}");
    // The attempt without an image approved already.
    assert_eq!(row(&added, "org2")["server"], "installed", "{added}");
    let query = ["-c", r#"["GetAllAssets"]"#, "-C", "second", "--org", "org2"];
    run(
        node,
        &[&["chaincode", "query", "late"][..], &query].concat(),
    )
    .success();
    let remove = ["chaincode", "remove", "late"];
    let removed = node.fabric(&remove).stderr;
    assert!(removed.contains("definitions stay committed"), "{removed}");
}

/// An authority with a server's certificate and a client's, each with its key, PEM.
struct Certificates {
    ca: String,
    server: (String, String),
    client: (String, String),
}

impl Certificates {
    fn new() -> Certificates {
        let key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "ca");
        let certificate = ca.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(ca, key);
        let signed = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            let signed = params.signed_by(&key, &issuer).expect("a certificate");
            (signed.pem(), key.serialize_pem())
        };
        Certificates {
            ca: certificate.pem(),
            server: signed("basic"),
            client: signed("peers"),
        }
    }
}
