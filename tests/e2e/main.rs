//! The charts with real programs on a real node: what README.md beside this file says, on images
//! that the user brings.

#[path = "../support/mod.rs"]
mod support;

mod application;
mod chaincode;
mod channel;
mod consortium;
mod deploy;
mod governance;
mod guides;
mod network;
mod node;
mod release_test;
mod rollout;
mod share;
mod system;
mod up;

use chaincode::Package;
use network::{BFT, KAFKA, Network, RAFT, decoded, orderer};
use node::{Node, name};
use share::Share;
use std::process::Command;
use std::time::Duration;
use support::{Invocation, Output, until};

const PEER: &str = "ghcr.io/hyperledger/fabric-peer:2.5.16";
const ORDERER: &str = "ghcr.io/hyperledger/fabric-orderer:2.5.16";
const TOOLS: &str = "ghcr.io/hyperledger/fabric-tools:2.5.16";
const CA: &str = "ghcr.io/hyperledger/fabric-ca:1.5.15";
const NEWEST_CA: &str = "ghcr.io/hyperledger/fabric-ca:1.5.22";

/// An orderer stands for election when it has not heard its leader for 5 to 10 s (10 ticks of 500
/// ms, and up to as many more). The first vote may be lost on a connection to a process that is
/// gone, so an election can take twice as long; and clients need a moment to find the leader.
const ELECTION: Duration = Duration::from_secs(30);

#[test]
fn a_network_orders_commits_and_finds_its_ledgers_after_its_nodes_are_killed() {
    let Some(node) = Node::with(&[ORDERER, PEER]) else {
        return;
    };
    let network = Network::of_fixtures(&node, RAFT, "2.5.16");
    network.form_channel();
    network.commit("before");
    network.assert_quiet();

    network.kill(&network.leader(), "peer0-0");
    network.commit("after");
    network.assert_stays();
}

/// The images of a network with a chaincode, of one line of Fabric.
fn images(line: &str) -> [String; 4] {
    [
        format!("ghcr.io/hyperledger/fabric-orderer:{line}"),
        format!("ghcr.io/hyperledger/fabric-peer:{line}"),
        "ghcr.io/hyperledger/fabric-ca:1.5.22".to_owned(),
        CHAINCODE.to_owned(),
    ]
}

fn example(name: &str) -> String {
    let path = support::repository().join("examples").join(name);
    path.display().to_string()
}

/// The chaincode of the examples.
const CHAINCODE: &str = "registry.example.com/asset-transfer-basic:1.0";

#[test]
fn a_network_comes_up_from_its_file_however_often_it_is_killed() {
    let Some(node) = Node::with(&images("2.5.16").each_ref().map(String::as_str)) else {
        return;
    };
    up::up_and_down(&node, &["-f", &example("network.yaml")]);
}

#[test]
fn a_bft_network_comes_up_from_its_file_by_two_runs_at_once() {
    let Some(node) = Node::with(&images("3.1.5").each_ref().map(String::as_str)) else {
        return;
    };
    up::two_at_once(&node, &["-f", &example("network-bft.yaml")]);
}

#[test]
fn a_network_of_2_2_comes_up_from_its_file_through_a_system_channel() {
    let images = [LINE_2_2[0], LINE_2_2[1], CHAINCODE];
    let Some(node) = Node::with(&images) else {
        return;
    };
    system::network_of_2_2(&node);
}

#[test]
fn a_network_of_1_4_comes_up_from_its_file_as_far_as_docker_is_not_needed() {
    let images = ["orderer:1.4.12", "peer:1.4.12"];
    let images = images.map(|image| format!("docker.io/hyperledger/fabric-{image}"));
    let Some(node) = Node::with(&images.each_ref().map(String::as_str)) else {
        return;
    };
    system::network_of_1_4(&node);
}

#[test]
fn a_development_network_needs_no_file() {
    let Some(node) = Node::with(&images("2.5.16").each_ref().map(String::as_str)) else {
        return;
    };
    up::up_and_down(&node, &["--dev", "--image", CHAINCODE]);
}

#[test]
fn organizations_bring_up_a_network_with_rights_in_their_own_namespaces() {
    let Some(node) = Node::with(&images("2.5.16").each_ref().map(String::as_str)) else {
        return;
    };
    consortium::each_does_its_part(&node);
}

#[test]
fn an_organization_leaves_the_file_and_its_channel() {
    let Some(node) = Node::with(&images("2.5.16").each_ref().map(String::as_str)) else {
        return;
    };
    up::an_organization_leaves(&node);
}

#[test]
fn a_chaincode_is_deployed_and_called_without_any_program_of_fabric() {
    let Some(node) = Node::with(&[ORDERER, PEER, "example.com/asset-transfer-basic:1.0"]) else {
        return;
    };
    deploy::deploy_and_call(&node);
}

#[test]
fn a_definition_is_approved_and_committed_and_its_servers_change() {
    let Some(node) = Node::with(&[ORDERER, PEER, "example.com/asset-transfer-basic:1.0"]) else {
        return;
    };
    deploy::approve_commit_and_change(&node);
}

#[test]
fn an_upgrade_goes_node_by_node_and_the_orderers_keep_their_quorum() {
    let before = [
        "ghcr.io/hyperledger/fabric-orderer:2.5.15",
        "ghcr.io/hyperledger/fabric-peer:2.5.15",
    ];
    let Some(node) = Node::with(&[&before[..], &[ORDERER, PEER]].concat()) else {
        return;
    };
    let network = Network::of_fixtures(&node, RAFT, "2.5.15");
    network.form_channel();
    network.commit("before");

    for (release, least) in [("orgorderer1", 2), ("org1", 1)] {
        let nodes: Vec<String> = node
            .pods(release)
            .iter()
            .map(|pod| name(pod).to_owned())
            .collect();
        let changes = node.watch(release, || {
            node.fabric(&["upgrade", release, "--fabric-version", "2.5.16"]);
        });
        assert!(
            changes.iter().all(|change| change.ready >= least),
            "{release} was down: {changes:#?}"
        );
        let new = changes
            .iter()
            .filter(|change| change.event == "ADDED" && change.image.ends_with(":2.5.16"));
        assert_eq!(
            new.map(|change| change.pod.as_str()).collect::<Vec<_>>(),
            nodes,
            "{release}: {changes:#?}"
        );
    }
    network.commit("after");
    node.assert_steady(&["orgorderer1", "org1"]);
}

/// An upgrade of all three orderers.
fn another_round(network: &Network<'_>, round: &str) -> Invocation {
    let round = format!("orderers.podAnnotations.round={round}");
    network.node.cluster.fabric().args([
        "upgrade",
        "orgorderer1",
        "--set",
        &round,
        "--events",
        "json",
    ])
}

/// The orderers that an operation changed, in their order.
fn changed(output: &Output) -> Vec<String> {
    let events = output
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let changed =
        events.filter(|event| event["event"] == "applied" && event["action"] == "changed");
    changed
        .filter_map(|event| {
            event["object"]
                .as_str()?
                .rsplit('/')
                .next()
                .map(str::to_owned)
        })
        .collect()
}

#[test]
fn orderers_that_are_changed_under_load_never_lose_their_quorum() {
    let Some(node) = Node::with(&[ORDERER, PEER]) else {
        return;
    };
    let network = Network::of_fixtures(&node, RAFT, "2.5.16");
    network.form_channel();
    network.commit("before");
    for round in ["first", "second", "third"] {
        let mut order = Vec::new();
        let seen = rollout::under_load(&network, round, || {
            let output = another_round(&network, round).run().success();
            order = changed(&output);
            assert_eq!(order.len(), 3, "{}", output.stderr);
        });
        support::tell(&format!("{round} upgrade: {order:?} in {seen}"));
        assert!(
            seen.led.iter().all(|leader| *leader == order[2]),
            "the leader comes last: {order:?}, {seen}"
        );
        assert!(
            seen.looks > 20 && seen.fewest >= 2,
            "the quorum was lost: {seen}"
        );
        assert_eq!(seen.returns.len(), 3, "each orderer came back: {seen}");
        assert!(
            seen.longest_gap <= ELECTION,
            "it did not order for longer than an election takes: {seen}"
        );
    }
    network.commit("after");
    network.assert_stays();
}

#[test]
fn an_upgrade_of_orderers_that_is_broken_off_and_repeated_keeps_their_quorum() {
    let Some(node) = Node::with(&[ORDERER, PEER]) else {
        return;
    };
    let network = Network::of_fixtures(&node, RAFT, "2.5.16");
    network.form_channel();
    network.commit("before");
    let begun = "\"action\":\"changed\"";
    let broken_off_by = |round: &str, signal: &'static str| {
        let kill = |pid: u32| {
            assert!(
                Command::new("kill")
                    .args([signal, &pid.to_string()])
                    .status()
                    .expect("kill runs")
                    .success()
            )
        };
        let output = another_round(&network, round).run_until(begun, kill);
        assert_ne!(output.status, Some(0), "{}", output.stderr);
        assert_eq!(changed(&output).len(), 1, "{}", output.stderr);
        assert_eq!(
            changed(&another_round(&network, round).run().success()).len(),
            2
        );
    };
    let killed = || {
        let pod = [
            "delete",
            "pod",
            "-n",
            "orgorderer1",
            "orderer1-0",
            "--grace-period=0",
            "--force",
        ];
        node.cluster.kubectl().args(pod).run().success();
        assert_eq!(
            changed(&another_round(&network, "killed").run().success()).len(),
            3
        );
    };
    let back = || {
        let output = node
            .cluster
            .fabric()
            .args(["rollback", "orgorderer1", "--events", "json"])
            .run()
            .success();
        assert_eq!(changed(&output).len(), 3, "{}", output.stderr);
    };
    let cases: [(&str, &dyn Fn()); 4] = [
        ("interrupted", &|| broken_off_by("interrupted", "-INT")),
        ("ended", &|| broken_off_by("ended", "-KILL")),
        ("killed", &killed),
        ("back", &back),
    ];
    for (name, work) in cases {
        let seen = rollout::under_load(&network, name, work);
        support::tell(&format!("{name}: {seen}"));
        assert!(
            seen.looks > 20 && seen.fewest >= 2,
            "{name}: the quorum was lost: {seen}"
        );
        assert!(
            seen.longest_gap <= ELECTION,
            "{name}: it did not order for longer than an election takes: {seen}"
        );
    }
    network.commit("after");
    network.assert_stays();
}

#[test]
fn generated_identities_form_a_network() {
    let Some(node) = Node::with(&[ORDERER, PEER, TOOLS]) else {
        return;
    };
    let network = Network::generated(&node, RAFT, "2.5.16", "");
    network.make_channel();
    network.commit("before");
    // Two peers that know each other have verified each other's certificates.
    for peer in ["peer0-0", "peer1-0"] {
        until("peers to find each other", || {
            node.log("org1", peer).contains("probed us").then_some(())
        });
    }
    network.assert_quiet();
    network.kill(&network.leader(), "peer1-0");
    network.commit("after");
    network.assert_stays();
}

/// Images of 3.1, of whose tools Fabric publishes none.
const LINE_3_1: [&str; 3] = [
    "ghcr.io/hyperledger/fabric-orderer:3.1.5",
    "ghcr.io/hyperledger/fabric-peer:3.1.5",
    "example.com/fabric-tools:3.1.5",
];

#[test]
fn generated_identities_form_a_network_on_bft() {
    let Some(node) = Node::with(&LINE_3_1) else {
        return;
    };
    let network = Network::generated(&node, BFT, "3.1.5", &format!("cli.image={}", LINE_3_1[2]));
    network.make_channel();
    network.commit("before");
    // Each of the four goes and comes back, the leader among them.
    node.fabric(&[
        "upgrade",
        "orgorderer1",
        "--set",
        "orderers.podAnnotations.turn=next",
    ]);
    network.commit("between");
    network.kill("orderer0-0", "peer1-0");
    network.commit("after");
    network.assert_stays();
}

#[test]
fn four_bft_orderers_agree() {
    let Some(node) = Node::with(&LINE_3_1[..2]) else {
        return;
    };
    let network = Network::of_fixtures(&node, BFT, "3.1.5");
    network.form_channel();
    network.commit("before");
    network.kill("orderer3-0", "peer0-0");
    network.commit("after");
    network.assert_stays();
}

#[test]
fn orderers_of_1_4_make_a_channel_on_kafka() {
    let images = [
        "kafka:0.4.22",
        "zookeeper:0.4.22",
        "orderer:1.4.12",
        "peer:1.4.12",
    ];
    let images = images.map(|image| format!("docker.io/hyperledger/fabric-{image}"));
    let Some(node) = Node::with(&images.each_ref().map(String::as_str)) else {
        return;
    };
    let network = Network {
        node: &node,
        consensus: KAFKA,
    };
    // Twelve pods on one machine.
    let small = "kafka.resources.requests.cpu=10m,kafka.zookeeperResources.requests.cpu=10m";
    node.fabric(&["install", "kafka", "--set", small]);

    let crypto = network.fixture("crypto-config").display().to_string();
    let common = ["--crypto-config", &crypto, "--fabric-version", "1.4.12"];
    network.make_genesis_secret(&network.fixture("genesis.block"));
    let small = "orderers.resources.requests.cpu=10m,orderers.consensus=kafka,orderers.genesis.secret=genesis";
    node.fabric(&[&["install", "orgorderer1", "--set", small], &common[..]].concat());
    let small = format!(
        "peers.resources.requests.cpu=10m,ca.enabled=false,cli.enabled=true,cli.image={}",
        images[3]
    );
    node.fabric(&[&["install", "org1", "--set", &small], &common[..]].concat());

    network.ask_for_channel(&std::fs::read(network.fixture("mychannel.tx")).expect("a fixture"));
    network.kill("orderer0-0", "peer0-0");
    // The channel of orderer0 begins anew from its volume, and goes on from Kafka.
    let fetch = format!(
        "peer channel fetch newest /tmp/newest.block -c mychannel {}",
        orderer(0)
    );
    until("the killed orderer to deliver", || {
        node.try_cli("org1", &fetch)
    });
    node.assert_stays(&["kafka", "orgorderer1", "org1"]);
    node.assert_steady(&["orgorderer1", "org1"]);
    // A broker that is back before ZooKeeper has forgotten it ends, once or twice, until it is let
    // in again.
    node.kill("kafka", "kafka0-0");
    until("the killed broker to be let in", || {
        node.says("kafka", "kafka0-0", "[KafkaServer id=0] started")
    });
    until("the orderer to deliver", || node.try_cli("org1", &fetch));
}

/// Images of 2.2, the last line with a system channel; `fabric-tools` makes its genesis block.
const LINE_2_2: [&str; 3] = [
    "docker.io/hyperledger/fabric-orderer:2.2.15",
    "docker.io/hyperledger/fabric-peer:2.2.15",
    "docker.io/hyperledger/fabric-tools:2.2.15",
];

#[test]
fn orderers_of_2_2_make_a_channel_on_raft() {
    let Some(node) = Node::with(&LINE_2_2) else {
        return;
    };
    let network = Network {
        node: &node,
        consensus: RAFT,
    };
    let crypto = network.fixture("crypto-config").display().to_string();
    let common = ["--crypto-config", &crypto, "--fabric-version", "2.2.15"];
    node.fabric(
        &[
            &[
                "install",
                "org1",
                "--set",
                "ca.enabled=false,cli.enabled=true",
            ],
            &common[..],
        ]
        .concat(),
    );
    network.make_genesis_secret(&network.make_genesis_block());
    node.fabric(
        &[
            &[
                "install",
                "orgorderer1",
                "--set",
                "orderers.genesis.secret=genesis",
            ],
            &common[..],
        ]
        .concat(),
    );
    network.request_channel();

    network.commit("before");
    network.kill(&network.leader(), "peer0-0");
    network.commit("after");
    network.assert_stays();
}

/// The network of "Deploy Fabric on Kubernetes as BaaS": keys, certificates and the genesis block
/// are files of a server. The test stands in for the server alone: volume and claim are the chart's
/// own, with a folder of this machine in place of `nfs`.
#[test]
fn files_of_the_nfs_source_serve_every_node() {
    let Some(node) = Node::with(&[&LINE_2_2[..], &[CA]].concat()) else {
        return;
    };
    let network = Network {
        node: &node,
        consensus: RAFT,
    };
    let share = Share::of(&node, &network.fixture("crypto-config"));
    for release in ["org1", "orgorderer1"] {
        share.export(release);
    }
    let folder = share.folder.display().to_string();
    let from_claim = [
        "--set",
        "crypto.source=nfs,crypto.nfs.claim=crypto",
        "--set",
        Share::GROUP,
    ];
    let common = [
        &from_claim[..],
        &["--fabric-version", "2.2.15", "--crypto-config", &folder],
    ]
    .concat();
    node.fabric(
        &[
            &[
                "install",
                "org1",
                "--set",
                &format!("cli.enabled=true,ca.image={CA}"),
            ],
            &common[..],
        ]
        .concat(),
    );
    let block = std::fs::read(network.make_genesis_block()).expect("a file of ours");
    share.write("ordererOrganizations/orgorderer1/genesis.block", &block);
    node.fabric(
        &[
            &[
                "install",
                "orgorderer1",
                "--set",
                "orderers.genesis.path=genesis.block",
            ],
            &common[..],
        ]
        .concat(),
    );
    network.request_channel();

    network.commit("before");
    network.kill(&network.leader(), "peer0-0");
    network.commit("after");
    for namespace in ["org1", "orgorderer1"] {
        let secrets = node.cluster.list("secret", namespace);
        let keys = secrets
            .iter()
            .map(name)
            .filter(|secret| secret.ends_with("-msp") || secret.ends_with("-tls"));
        assert_eq!(keys.collect::<Vec<_>>(), Vec::<&str>::new(), "{namespace}");
        for pod in node.pods(namespace) {
            let mounts = node.exec(namespace, name(&pod), "cat /proc/mounts");
            let mut identities = mounts
                .lines()
                .filter(|mount| mount.contains(" /etc/hyperledger/"))
                .peekable();
            assert!(
                identities.peek().is_some() && identities.all(|mount| mount.contains(" ro,")),
                "{}: {mounts}",
                name(&pod)
            );
        }
    }
    network.assert_stays();
}

#[test]
fn the_ca_server_enrols_members_and_knows_them_after_a_kill() {
    let Some(node) = Node::with(&[PEER, NEWEST_CA]) else {
        return;
    };
    node.fabric(&[
        "install",
        "org1",
        "--set",
        &format!("cli.enabled=true,cli.image={PEER}"),
    ]);
    let client = |command: &str| {
        let client = "FABRIC_CA_CLIENT_HOME=/tmp/client FABRIC_CA_CLIENT_TLS_CERTFILES=/etc/hyperledger/tls/ca.crt fabric-ca-client";
        node.cluster
            .kubectl()
            .args([
                "exec",
                "-n",
                "org1",
                "ca-0",
                "--",
                "sh",
                "-c",
                &format!("{client} {command}"),
            ])
            .run()
            .success();
    };
    let secret = node
        .cluster
        .get("secret", "ca-admin", Some("org1"))
        .expect("the administrator");
    client(&format!(
        "enroll -u https://{}:{}@localhost:7054",
        decoded(&secret, "username"),
        decoded(&secret, "password")
    ));
    client(
        "register -u https://localhost:7054 --id.name alice --id.secret wonderland --id.type client",
    );
    node.kill("org1", "ca-0");
    client("enroll -u https://alice:wonderland@localhost:7054");

    // The peers take her for one of their own.
    let own = |file: &str| node.exec("org1", "ca-0", &format!("cat /tmp/client/msp/{file}"));
    let msp = node
        .cluster
        .get("secret", "org1-admin-msp", Some("org1"))
        .expect("the administrator's MSP");
    for (file, text) in [
        ("signcerts/cert.pem", own("signcerts/cert.pem")),
        ("keystore/key.pem", own("keystore/*_sk")),
        ("cacerts/ca.org1-cert.pem", decoded(&msp, "cacert.pem")),
        ("config.yaml", decoded(&msp, "config.yaml")),
    ] {
        node.copy_to_cli("org1", &text, &format!("/tmp/alice/{file}"));
    }
    node.cli(
        "org1",
        "CORE_PEER_MSPCONFIGPATH=/tmp/alice peer channel list",
    );
    enrols_without_a_program_of_fabric(&node);
    node.assert_stays(&["org1"]);
    node.assert_steady(&["org1"]);
}

/// Registers, enrolls and renews a user with the plugin alone. The peers take the user, too.
fn enrols_without_a_program_of_fabric(node: &Node) {
    let folder = node.cluster.folder().join("bob");
    let to = folder.display().to_string();
    let enroll = |args: &[&str]| {
        let enroll = ["identity", "enroll", "org1", "bob", "--to", &to];
        node.cluster.fabric().args(enroll).args(args).run()
    };
    let secret = node.cluster.folder().join("secret");
    std::fs::write(&secret, "looking glass\n").expect("a file");
    let secret = secret.display().to_string();
    let sales = ["--affiliation", "org1.sales"];
    let register = [&["--register", "--secret", &secret][..], &sales].concat();
    let unknown = enroll(&register).exits(1);
    assert!(
        unknown.stderr.contains("--create-affiliation"),
        "{}",
        unknown.stderr
    );
    let attribute = ["--create-affiliation", "--attribute", "role=buyer:ecert"];
    let enrolled = enroll(&[&register[..], &attribute].concat()).success();
    assert!(
        enrolled.stdout.contains("enrolled bob at ca.org1"),
        "{}",
        enrolled.stdout
    );
    assert!(!enrolled.told().contains("looking glass"));
    let again = enroll(&[&register[..], &["--overwrite"]].concat()).exits(1);
    assert!(
        again.stderr.contains("already registered"),
        "{}",
        again.stderr
    );
    std::fs::write(&secret, "guessed").expect("a file");
    let guessed = enroll(&["--secret", &secret, "--overwrite"]).exits(1);
    assert!(
        guessed.stderr.contains("check the name and the secret"),
        "{}",
        guessed.stderr
    );
    enroll(&["--renew", "--identity", &to, "--overwrite"]).success();
    for file in [
        "signcerts/bob-cert.pem",
        "keystore/priv_sk",
        "cacerts/ca.org1-cert.pem",
        "config.yaml",
    ] {
        let text = std::fs::read_to_string(folder.join("msp").join(file)).expect("a file");
        node.copy_to_cli("org1", &text, &format!("/tmp/bob/{file}"));
    }
    node.cli("org1", "CORE_PEER_MSPCONFIGPATH=/tmp/bob peer channel list");
    let to_secret = ["--register", "--to-secret"];
    let enroll = ["identity", "enroll", "org1", "carol"];
    node.cluster
        .fabric()
        .args(enroll)
        .args(to_secret)
        .run()
        .success();
    let show = ["identity", "show", "org1", "carol"];
    let shown = node.cluster.fabric().args(show).run().success();
    assert!(
        shown.stdout.contains("IDENTITY: carol (user)"),
        "{}",
        shown.stdout
    );
}

#[test]
fn chaincode_as_a_service_is_invoked() {
    let Some(node) = Node::with(&[ORDERER, PEER, TOOLS, SERVICE]) else {
        return;
    };
    invoke_service(&Network::generated(&node, RAFT, "2.5.16", ""));
}

#[test]
fn chaincode_as_a_service_is_invoked_on_bft() {
    let Some(node) = Node::with(&[&LINE_3_1[..], &[SERVICE]].concat()) else {
        return;
    };
    invoke_service(&Network::generated(
        &node,
        BFT,
        "3.1.5",
        &format!("cli.image={}", LINE_3_1[2]),
    ));
}

/// The chaincode server of fabric-samples' asset transfer.
const SERVICE: &str = "example.com/asset-transfer-basic:1.0";

fn invoke_service(network: &Network) {
    network.make_channel();
    let connection = r#"{"address": "basic.org1:9999", "dial_timeout": "10s"}"#;
    let package = network.install_chaincode(&Package::new(
        "ccaas",
        "basic",
        &[("connection.json", connection)],
    ));
    let (image, tag) = SERVICE.rsplit_once(':').expect("a tag");
    let values = format!("image.repository={image},image.tag={tag},packageID={package}");
    let fabric = network.node.cluster.fabric();
    fabric
        .args(["install", "basic", "chaincode", "-n", "org1"])
        .args(["--set", &values])
        .run()
        .success();
    network.use_chaincode(&package);
}

#[test]
fn the_raft_guide_works_as_it_is_written() {
    let Some(node) = Node::with(&[ORDERER, PEER, NEWEST_CA, CHAINCODE]) else {
        return;
    };
    guides::follow(&node, "raft.md");
}

#[test]
fn the_bft_guide_works_as_it_is_written() {
    let Some(node) = Node::with(&[&LINE_3_1[..2], &[NEWEST_CA, CHAINCODE]].concat()) else {
        return;
    };
    guides::follow(&node, "bft.md");
}

#[test]
fn chaincode_in_jobs_is_invoked() {
    let chaincode = "example.com/asset-transfer-go:1.0";
    let builder = "ghcr.io/hyperledger-labs/fabric-builder-k8s/k8s-fabric-peer:0.15.2";
    let Some(node) = Node::with(&[ORDERER, PEER, TOOLS, builder, chaincode]) else {
        return;
    };
    let network = Network::generated(&node, RAFT, "2.5.16", "chaincode.mode=k8s");
    network.make_channel();

    let (name, digest) = node.digest(chaincode);
    let image = serde_json::json!({"name": name, "digest": digest}).to_string();
    let package =
        network.install_chaincode(&Package::new("k8s", "basic", &[("image.json", &image)]));
    network.use_chaincode(&package);
    let jobs = node.cluster.list("job", "org1");
    assert_eq!(jobs.len(), 2, "one for each peer: {jobs:#?}");
}

#[test]
fn a_channel_is_created_by_the_plugin_alone_while_an_orderer_is_down_and_again() {
    if let Some(node) = Node::with(&[ORDERER, PEER]) {
        channel::raft(&node);
    }
}

#[test]
fn a_bft_channel_is_created_by_the_plugin_alone() {
    let images = [
        "ghcr.io/hyperledger/fabric-orderer:3.1.5",
        "ghcr.io/hyperledger/fabric-peer:3.1.5",
    ];
    if let Some(node) = Node::with(&images) {
        channel::bft(&node);
    }
}

#[test]
fn an_organization_joins_a_running_channel_by_files_between_kubeconfigs() {
    if let Some(node) = Node::with(&[ORDERER, PEER]) {
        governance::an_organization_joins(&node);
        governance::a_channel_changes(&node);
    }
}

#[test]
fn the_guide_to_an_organization_that_joins_works_as_it_is_written() {
    if let Some(node) = Node::with(&[ORDERER, PEER, NEWEST_CA]) {
        guides::follow(&node, "add-organization.md");
    }
}
