//! The charts with real programs on a real node: what README.md beside this file says, on images that the user brings.

#[path = "../support/mod.rs"]
mod support;

mod node;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use node::{Node, name};
use support::{repository, until};

const PEER: &str = "ghcr.io/hyperledger/fabric-peer:2.5.16";
const ORDERER: &str = "ghcr.io/hyperledger/fabric-orderer:2.5.16";

#[test]
fn a_network_orders_commits_and_finds_its_ledgers_after_its_nodes_are_killed() {
    let Some(node) = Node::with(&[ORDERER, PEER]) else { return };
    let network = Network::install(&node, RAFT, "2.5.16");
    network.form_channel();
    network.commit("before");
    network.assert_quiet();

    let leader = network.leader();
    let height = node.metric("org1", "peer0-0", HEIGHT);
    node.kill("orgorderer1", &leader);
    node.kill("org1", "peer0-0");
    assert_eq!(node.metric("org1", "peer0-0", HEIGHT), height, "the ledger outlives the pod");
    assert_eq!(node.metric("orgorderer1", &leader, HEIGHT), height, "the ledger outlives the pod");
    network.commit("after");
    node.assert_steady(&["orgorderer1", "org1"]);
}

#[test]
fn an_upgrade_goes_node_by_node_and_the_orderers_keep_their_quorum() {
    let before = ["ghcr.io/hyperledger/fabric-orderer:2.5.15", "ghcr.io/hyperledger/fabric-peer:2.5.15"];
    let Some(node) = Node::with(&[&before[..], &[ORDERER, PEER]].concat()) else { return };
    let network = Network::install(&node, RAFT, "2.5.15");
    network.form_channel();
    network.commit("before");

    for (release, least) in [("orgorderer1", 2), ("org1", 1)] {
        let nodes: Vec<String> = node.pods(release).iter().map(|pod| name(pod).to_owned()).collect();
        let changes = node.watch(release, || {
            node.fabric(&["upgrade", release, "--fabric-version", "2.5.16"]);
        });
        assert!(changes.iter().all(|change| change.ready >= least), "{release} was down: {changes:#?}");
        let new = changes.iter().filter(|change| change.event == "ADDED" && change.image.ends_with(":2.5.16"));
        assert_eq!(new.map(|change| change.pod.as_str()).collect::<Vec<_>>(), nodes, "{release}: {changes:#?}");
    }
    network.commit("after");
    node.assert_steady(&["orgorderer1", "org1"]);
}

#[test]
fn generated_identities_serve_the_orderers_admin_port_and_gossip() {
    let Some(node) = Node::with(&[ORDERER, PEER]) else { return };
    node.fabric(&["install", "orgorderer1"]);
    node.fabric(&["install", "org1", "--set", "ca.enabled=false"]);
    node.assert_steady(&["orgorderer1", "org1"]);

    let admin = Admin::of_secret(&node, "orgorderer1");
    for orderer in ["orderer0", "orderer1", "orderer2"] {
        let (status, channels) = admin.call(&node, orderer, "channels", &[]);
        assert_eq!((status, &channels["channels"]), (200, &Value::Null), "{orderer}");
    }
    // Two peers that know each other have verified each other's certificates.
    for peer in ["peer0-0", "peer1-0"] {
        until("peers to find each other", || {
            let log = node.cluster.kubectl().args(["logs", "-n", "org1", peer]).run().success().stdout;
            log.contains("probed us").then_some(())
        });
    }
    for (namespace, pods) in [("orgorderer1", node.pods("orgorderer1")), ("org1", node.pods("org1"))] {
        for pod in &pods {
            assert_eq!(node.complaints(namespace, name(pod)), Vec::<String>::new(), "{namespace}/{}", name(pod));
        }
    }
}

#[test]
fn four_bft_orderers_agree() {
    let images = ["ghcr.io/hyperledger/fabric-orderer:3.1.5", "ghcr.io/hyperledger/fabric-peer:3.1.5"];
    let Some(node) = Node::with(&images) else { return };
    let network = Network::install(&node, BFT, "3.1.5");
    network.form_channel();
    network.commit("before");
    node.kill("orgorderer1", "orderer3-0");
    network.commit("after");
    node.assert_steady(&["orgorderer1", "org1"]);
}

#[test]
fn orderers_of_1_4_make_a_channel_on_kafka() {
    let images = ["kafka:0.4.22", "zookeeper:0.4.22", "orderer:1.4.12", "peer:1.4.12"];
    let images = images.map(|image| format!("docker.io/hyperledger/fabric-{image}"));
    let Some(node) = Node::with(&images.each_ref().map(String::as_str)) else { return };
    let fixtures = repository().join("tests/fixtures/v1.4.12");
    // Twelve pods on one machine.
    let small = "kafka.resources.requests.cpu=10m,kafka.zookeeperResources.requests.cpu=10m";
    node.fabric(&["install", "kafka", "--set", small]);

    let genesis = format!("--from-file={}", fixtures.join("genesis.block").display());
    for arguments in
        [&["create", "namespace", "orgorderer1"][..], &["create", "secret", "generic", "-n", "orgorderer1", "genesis", &genesis]]
    {
        node.cluster.kubectl().args(arguments).run().success();
    }
    let crypto = fixtures.join("crypto-config").display().to_string();
    let common = ["--crypto-config", &crypto, "--fabric-version", "1.4.12"];
    let small = "orderers.resources.requests.cpu=10m,orderers.consensus=kafka,orderers.genesis.secret=genesis";
    node.fabric(&[&["install", "orgorderer1", "--set", small], &common[..]].concat());
    let small = format!("peers.resources.requests.cpu=10m,ca.enabled=false,cli.enabled=true,cli.image={}", images[3]);
    node.fabric(&[&["install", "org1", "--set", &small], &common[..]].concat());

    let tls_ca = fixtures.join("crypto-config/ordererOrganizations/orgorderer1/tlsca/tlsca.orgorderer1-cert.pem");
    node.copy_to_cli("org1", &tls_ca, "/tmp/orderers.pem");
    // Orderers are ready before Kafka has answered them; then they refuse, and may be asked again.
    let ask = STANDARD.encode(std::fs::read(fixtures.join("mychannel.tx")).expect("a fixture"));
    let create = format!(
        "cd /tmp && echo {ask} | base64 -d >mychannel.tx && peer channel create -c mychannel -f /tmp/mychannel.tx {}",
        orderer(1)
    );
    until("the channel to be made", || {
        let run = node.cluster.kubectl().args(["exec", "-n", "org1", "deploy/cli", "--", "sh", "-c", &create]).run();
        (run.status == Some(0)).then_some(())
    });
    for peer in 0..2 {
        node.cli("org1", &format!("CORE_PEER_ADDRESS=peer{peer}.org1:7051 peer channel join -b /tmp/mychannel.block"));
    }

    node.kill("orgorderer1", "orderer0-0");
    node.kill("kafka", "kafka0-0");
    let height = node.metric("org1", "peer0-0", HEIGHT);
    assert_eq!(height, Some(1));
    // The channel of orderer0 begins anew from its volume, and goes on from Kafka.
    let fetch = format!("peer channel fetch newest /tmp/newest.block -c mychannel {}", orderer(0));
    until("the killed orderer to deliver", || {
        let run = node.cluster.kubectl().args(["exec", "-n", "org1", "deploy/cli", "--", "sh", "-c", &fetch]).run();
        (run.status == Some(0)).then_some(())
    });
    node.assert_unbroken(&["kafka", "orgorderer1", "org1"]);
}

const HEIGHT: &str = "ledger_blockchain_height";

/// How orderers agree, as the fixtures' channel has it.
struct Consensus {
    fixtures: &'static str,
    name: &'static str,
    orderers: usize,
    leads: &'static str,
}

const RAFT: &Consensus = &Consensus { fixtures: "v2.5.16", name: "etcdraft", orderers: 3, leads: "consensus_etcdraft_is_leader" };
const BFT: &Consensus = &Consensus { fixtures: "v3.1.5", name: "BFT", orderers: 4, leads: "consensus_BFT_is_leader" };

/// Releases orgorderer1 and org1 with the fixtures' identities.
struct Network<'a> {
    node: &'a Node,
    consensus: &'a Consensus,
}

impl<'a> Network<'a> {
    fn install(node: &'a Node, consensus: &'a Consensus, version: &str) -> Network<'a> {
        let network = Network { node, consensus };
        let crypto = network.fixture("crypto-config").display().to_string();
        let common = ["--crypto-config", &crypto, "--fabric-version", version];
        let agree = format!("orderers.consensus={},orderers.count={}", consensus.name, consensus.orderers);
        let allow = "networkPolicy.peerOrgs={org1}";
        node.fabric(&[&["install", "orgorderer1", "--set", &agree, "--set", allow], &common[..]].concat());
        // The peers' image holds all that the CLI pod needs here.
        let cli = format!("ca.enabled=false,cli.enabled=true,cli.image=ghcr.io/hyperledger/fabric-peer:{version}");
        let allow = "networkPolicy.ordererOrgs={orgorderer1}";
        node.fabric(&[&["install", "org1", "--set", &cli, "--set", allow], &common[..]].concat());
        node.assert_steady(&["orgorderer1", "org1"]);
        network
    }

    fn fixture(&self, path: &str) -> PathBuf {
        repository().join("tests/fixtures").join(self.consensus.fixtures).join(path)
    }

    /// Joins every orderer to the fixtures' channel by its admin port, and every peer with the block that an orderer hands out.
    fn form_channel(&self) {
        let organization = self.fixture("crypto-config/ordererOrganizations/orgorderer1");
        let tls_ca = organization.join("tlsca/tlsca.orgorderer1-cert.pem");
        let own = organization.join("users/Admin@orgorderer1/tls");
        let admin = Admin { ca: tls_ca.clone(), certificate: own.join("client.crt"), key: own.join("client.key") };
        let block = format!("config-block=@{}", self.fixture("mychannel.block").display());
        for number in 0..self.consensus.orderers {
            let (status, channel) = admin.call(self.node, &format!("orderer{number}"), "channels", &["-F", &block]);
            assert_eq!((status, &channel["consensusRelation"]), (201, &"consenter".into()), "{channel}");
        }
        self.leader();
        self.node.copy_to_cli("org1", &tls_ca, "/tmp/orderers.pem");
        self.node.cli("org1", &format!("peer channel fetch 0 /tmp/mychannel.block -c mychannel {}", orderer(1)));
        for peer in 0..2 {
            self.node.cli("org1", &format!("CORE_PEER_ADDRESS=peer{peer}.org1:7051 peer channel join -b /tmp/mychannel.block"));
        }
    }

    /// Waits until exactly one orderer leads, and returns its pod.
    fn leader(&self) -> String {
        until("one orderer to lead", || {
            let pods = self.node.pods("orgorderer1");
            let leads = |pod: &str| self.node.metric("orgorderer1", pod, self.consensus.leads) == Some(1);
            let mut leaders = pods.iter().map(name).filter(|pod| leads(pod));
            leaders.next().filter(|_| leaders.next().is_none()).map(str::to_owned)
        })
    }

    /// Has a transaction endorsed, ordered and committed, and waits until both peers have its block. It approves a chaincode that
    /// there is not: nothing else that an administrator may do is as short.
    fn commit(&self, name: &str) {
        let height = |peer: &str| self.node.metric("org1", peer, HEIGHT);
        let before = height("peer0-0");
        self.leader();
        let mut attempts = 0..;
        until("a transaction to be committed", || {
            // A name of its own: an attempt that failed may have been ordered nevertheless.
            let definition = format!("-C mychannel -n {name}{} -v 1 --sequence 1", attempts.next()?);
            let approve = format!("peer lifecycle chaincode approveformyorg {definition} {}", orderer(2));
            let run = self.node.cluster.kubectl().args(["exec", "-n", "org1", "deploy/cli", "--", "sh", "-c", &approve]).run();
            (run.status == Some(0)).then_some(())
        });
        until("both peers to have the block", || {
            let heights = (height("peer0-0"), height("peer1-0"));
            (heights.0 == heights.1 && heights.0 > before).then_some(())
        });
    }

    /// Asserts that no node complains in its log.
    fn assert_quiet(&self) {
        for namespace in ["orgorderer1", "org1"] {
            for pod in self.node.pods(namespace) {
                assert_eq!(self.node.complaints(namespace, name(&pod)), Vec::<String>::new(), "{namespace}/{}", name(&pod));
            }
        }
    }
}

fn orderer(number: usize) -> String {
    format!("-o orderer{number}.orgorderer1:7050 --tls --cafile /tmp/orderers.pem")
}

/// Who may use the orderers' admin port, by mutual TLS.
struct Admin {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Admin {
    /// Takes the administrator that an install has made.
    fn of_secret(node: &Node, release: &str) -> Admin {
        let secret =
            node.cluster.get("secret", &format!("{release}-admin-tls"), Some(release)).expect("the administrator's Secret");
        let save = |key: &str| {
            let path = node.cluster.folder().join(key);
            let text = STANDARD.decode(secret["data"][key].as_str().expect("text")).expect("base64");
            std::fs::write(&path, text).expect("a folder of ours");
            path
        };
        Admin { ca: save("ca.crt"), certificate: save("tls.crt"), key: save("tls.key") }
    }

    /// Calls an orderer's channel participation API: the status, and what it answers.
    fn call(&self, node: &Node, orderer: &str, path: &str, args: &[&str]) -> (u16, Value) {
        let tunnel = node.tunnel("orgorderer1", orderer, 9443);
        let host = format!("{orderer}.orgorderer1:{}", tunnel.port);
        let mut curl = support::isolated("curl", Path::new("/"));
        curl.args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--resolve", &format!("{host}:127.0.0.1")]);
        curl.arg("--cacert").arg(&self.ca).arg("--cert").arg(&self.certificate).arg("--key").arg(&self.key);
        curl.args(args).arg(format!("https://{host}/participation/v1/{path}"));
        let output = curl.output().expect("curl runs");
        assert!(output.status.success(), "{orderer}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("JSON");
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a number"), serde_json::from_str(body).expect("JSON"))
    }
}
