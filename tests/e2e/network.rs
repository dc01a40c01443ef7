//! A network of one orderer organization and one peer organization, and what its administrators do
//! with it.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::node::{Node, name};
use crate::support::{self, repository, until};

pub const HEIGHT: &str = "ledger_blockchain_height";

/// Where the CLI pod keeps what makes a channel.
const WORKSHOP: &str = "/tmp/workshop";

/// How orderers agree, as the fixtures' channel has it.
pub struct Consensus {
    pub fixtures: &'static str,
    pub name: &'static str,
    pub orderers: usize,
    leads: &'static str,
}

pub const RAFT: &Consensus = &Consensus {
    fixtures: "v2.5.16",
    name: "etcdraft",
    orderers: 3,
    leads: "consensus_etcdraft_is_leader",
};
pub const BFT: &Consensus = &Consensus {
    fixtures: "v3.1.5",
    name: "BFT",
    orderers: 4,
    leads: "consensus_BFT_is_leader",
};

pub const KAFKA: &Consensus = &Consensus {
    fixtures: "v1.4.12",
    name: "kafka",
    orderers: 3,
    leads: "none of its own",
};

/// Releases orgorderer1 and org1.
pub struct Network<'a> {
    pub node: &'a Node,
    pub consensus: &'a Consensus,
}

impl<'a> Network<'a> {
    /// Installs both with the fixtures' identities.
    pub fn of_fixtures(node: &'a Node, consensus: &'a Consensus, version: &str) -> Network<'a> {
        let network = Network { node, consensus };
        let crypto = network.fixture("crypto-config").display().to_string();
        // The peers' image holds all that the CLI pod needs here.
        let cli = format!("cli.image=ghcr.io/hyperledger/fabric-peer:{version}");
        network.install(
            &["--fabric-version", version, "--crypto-config", &crypto],
            &cli,
        )
    }

    /// Installs both with identities made on the way; `values` are more of the peers'.
    pub fn generated(
        node: &'a Node,
        consensus: &'a Consensus,
        version: &str,
        values: &str,
    ) -> Network<'a> {
        Network { node, consensus }.install(&["--fabric-version", version], values)
    }

    fn install(self, common: &[&str], values: &str) -> Network<'a> {
        let agree = format!(
            "orderers.consensus={},orderers.count={}",
            self.consensus.name, self.consensus.orderers
        );
        let allow = "networkPolicy.peerOrgs={org1}";
        self.node.fabric(
            &[
                &["install", "orgorderer1", "--set", &agree, "--set", allow],
                common,
            ]
            .concat(),
        );
        let allow = "networkPolicy.ordererOrgs={orgorderer1}";
        let peers = [
            "--set",
            "ca.enabled=false,cli.enabled=true",
            "--set",
            values,
        ];
        self.node
            .fabric(&[&["install", "org1", "--set", allow], &peers[..], common].concat());
        self.node.assert_steady(&["orgorderer1", "org1"]);
        self
    }

    pub fn fixture(&self, path: &str) -> PathBuf {
        repository()
            .join("tests/fixtures")
            .join(self.consensus.fixtures)
            .join(path)
    }

    /// Joins every orderer to the fixtures' channel.
    pub fn form_channel(&self) {
        self.join(&self.fixture("mychannel.block"));
    }

    /// Has `configtxgen` make a channel of the identities that run, and joins every orderer to it.
    pub fn make_channel(&self) {
        for piece in pieces(self.consensus) {
            let secret = self
                .node
                .cluster
                .get("secret", &piece.secret, Some(piece.organization))
                .expect("an identity");
            self.node.copy_to_cli(
                "org1",
                &decoded(&secret, piece.key),
                &format!("{WORKSHOP}/{}", piece.path),
            );
        }
        self.write_configtx();
        let block = self.node.cluster.folder().join("mychannel.block");
        let bytes = self.configtxgen(
            "-profile Channel -channelID mychannel -outputBlock mychannel.block",
            "mychannel.block",
        );
        std::fs::write(&block, bytes).expect("a folder of ours");
        self.join(&block);
    }

    /// Has `configtxgen` create the genesis block of a system channel of the fixtures' identities.
    pub fn make_genesis_block(&self) -> PathBuf {
        for piece in pieces(self.consensus) {
            let text = std::fs::read_to_string(self.fixture(&piece.path)).expect("a fixture");
            self.node
                .copy_to_cli("org1", &text, &format!("{WORKSHOP}/{}", piece.path));
        }
        self.write_configtx();
        let block = self.node.cluster.folder().join("genesis.block");
        let bytes = self.configtxgen(
            "-profile System -channelID system -outputBlock genesis.block",
            "genesis.block",
        );
        std::fs::write(&block, bytes).expect("a folder of ours");
        block
    }

    pub fn make_genesis_secret(&self, block: &Path) {
        let genesis = format!("--from-file=genesis.block={}", block.display());
        let secret = [
            "create",
            "secret",
            "generic",
            "-n",
            "orgorderer1",
            "genesis",
            &genesis,
        ];
        for arguments in [&["create", "namespace", "orgorderer1"][..], &secret] {
            self.node.cluster.kubectl().args(arguments).run().success();
        }
    }

    /// Has `configtxgen` make a request for a channel, and asks the system channel.
    pub fn request_channel(&self) {
        let request = "-profile Request -channelID mychannel -outputCreateChannelTx mychannel.tx";
        self.ask_for_channel(&self.configtxgen(request, "mychannel.tx"));
    }

    /// Asks the system channel for a channel, and joins every peer.
    pub fn ask_for_channel(&self, request: &[u8]) {
        let tls_ca = self.fixture(
            "crypto-config/ordererOrganizations/orgorderer1/tlsca/tlsca.orgorderer1-cert.pem",
        );
        self.node.copy_to_cli(
            "org1",
            &std::fs::read_to_string(tls_ca).expect("a fixture"),
            "/tmp/orderers.pem",
        );
        let ask = STANDARD.encode(request);
        let create = format!(
            "cd /tmp && echo {ask} | base64 -d >mychannel.tx && peer channel create -c mychannel -f /tmp/mychannel.tx {}",
            orderer(1)
        );
        // Orderers are ready before Kafka has answered them, or before they have a leader; then
        // they refuse, and may be asked again.
        until("the channel to be made", || {
            self.node.try_cli("org1", &create)
        });
        self.join_peers();
    }

    fn write_configtx(&self) {
        let facts = minijinja::context! { consensus => self.consensus.name, orderers => self.consensus.orderers };
        let text = minijinja::Environment::new()
            .render_str(include_str!("configtx.yaml"), facts)
            .expect("a template of ours");
        self.node
            .copy_to_cli("org1", &text, &format!("{WORKSHOP}/configtx.yaml"));
    }

    /// Runs `configtxgen` in the CLI pod and returns the file that it wrote.
    fn configtxgen(&self, arguments: &str, file: &str) -> Vec<u8> {
        let make = format!(
            "cd {WORKSHOP} && FABRIC_CFG_PATH={WORKSHOP} configtxgen {arguments} >&2 && base64 {file}"
        );
        let text: String = self.node.cli("org1", &make).split_whitespace().collect();
        STANDARD.decode(text).expect("base64")
    }

    /// Joins every orderer to a channel by its admin port, and every peer with the block that an
    /// orderer hands out.
    fn join(&self, block: &Path) {
        let admin = Admin::of_secret(self.node, "orgorderer1");
        let block = format!("config-block=@{}", block.display());
        for number in 0..self.consensus.orderers {
            let (status, channel) = admin.call(
                self.node,
                &format!("orderer{number}"),
                "channels",
                &["-F", &block],
            );
            assert_eq!(
                (status, &channel["consensusRelation"]),
                (201, &"consenter".into()),
                "{channel}"
            );
        }
        self.leader();
        let tls_ca = std::fs::read_to_string(&admin.ca).expect("a file of ours");
        self.node.copy_to_cli("org1", &tls_ca, "/tmp/orderers.pem");
        self.node.cli(
            "org1",
            &format!(
                "peer channel fetch 0 /tmp/mychannel.block -c mychannel {}",
                orderer(1)
            ),
        );
        self.join_peers();
    }

    fn join_peers(&self) {
        for peer in 0..2 {
            self.node.cli("org1", &format!("CORE_PEER_ADDRESS=peer{peer}.org1:7051 peer channel join -b /tmp/mychannel.block"));
        }
    }

    /// Waits until exactly one orderer leads, and returns its pod.
    pub fn leader(&self) -> String {
        until("one orderer to lead", || {
            let pods = self.node.pods("orgorderer1");
            let leads =
                |pod: &str| self.node.metric("orgorderer1", pod, self.consensus.leads) == Some(1);
            let mut leaders = pods.iter().map(name).filter(|pod| leads(pod));
            leaders
                .next()
                .filter(|_| leaders.next().is_none())
                .map(str::to_owned)
        })
    }

    /// Has a transaction endorsed, ordered and committed, and waits until both peers have its
    /// block. It approves a chaincode that there is not: nothing else that an administrator may do
    /// is as short.
    pub fn commit(&self, name: &str) {
        let height = |peer: &str| self.node.metric("org1", peer, HEIGHT);
        let before = height("peer0-0");
        self.leader();
        let mut attempts = 0..;
        until("a transaction to be committed", || {
            let attempt: usize = attempts.next()?;
            // A name of its own: an attempt that failed may have been ordered nevertheless.
            let definition = format!("-C mychannel -n {name}{attempt} -v 1 --sequence 1");
            // And another orderer: under BFT one alone may keep a transaction to itself, as one
            // does whose leader was killed.
            let orderer = orderer((attempt + 2) % self.consensus.orderers);
            self.node.try_cli(
                "org1",
                &format!("peer lifecycle chaincode approveformyorg {definition} {orderer}"),
            )
        });
        until("both peers to have the block", || {
            let heights = (height("peer0-0"), height("peer1-0"));
            (heights.0 == heights.1 && heights.0 > before).then_some(())
        });
    }

    /// Kills an orderer and a peer, and asserts that what comes back has the ledger of what went.
    pub fn kill(&self, orderer: &str, peer: &str) {
        let nodes = [("orgorderer1", orderer), ("org1", peer)];
        let heights = nodes.map(|(namespace, pod)| self.node.metric(namespace, pod, HEIGHT));
        assert!(heights[1].is_some(), "{peer} has joined");
        for ((namespace, pod), height) in nodes.into_iter().zip(heights) {
            self.node.kill(namespace, pod);
            assert_eq!(
                self.node.metric(namespace, pod, HEIGHT),
                height,
                "{pod}: the ledger outlives the pod"
            );
        }
    }

    /// Asserts that all pods stay ready and answer, for as long as the user wants to watch.
    pub fn assert_stays(&self) {
        self.node.assert_stays(&["orgorderer1", "org1"]);
        self.node.assert_steady(&["orgorderer1", "org1"]);
    }

    /// Asserts that no node complains in its log.
    pub fn assert_quiet(&self) {
        for namespace in ["orgorderer1", "org1"] {
            for pod in self.node.pods(namespace) {
                assert_eq!(
                    self.node.complaints(namespace, name(&pod)),
                    Vec::<String>::new(),
                    "{namespace}/{}",
                    name(&pod)
                );
            }
        }
    }
}

/// How the CLI pod calls an orderer.
pub fn orderer(number: usize) -> String {
    format!("-o orderer{number}.orgorderer1:7050 --tls --cafile /tmp/orderers.pem")
}

/// A public part of an identity: where cryptogen puts it, and which Secret has it.
struct Piece {
    path: String,
    organization: &'static str,
    secret: String,
    key: &'static str,
}

/// All that a channel's configuration holds of the organizations.
fn pieces(consensus: &Consensus) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (kind, organization, node) in [
        ("orderer", "orgorderer1", "orderer0"),
        ("peer", "org1", "peer0"),
    ] {
        for (file, key) in [
            (format!("cacerts/ca.{organization}-cert.pem"), "cacert.pem"),
            (
                format!("tlscacerts/tlsca.{organization}-cert.pem"),
                "tlscacert.pem",
            ),
            ("config.yaml".to_owned(), "config.yaml"),
        ] {
            let path = format!("crypto-config/{kind}Organizations/{organization}/msp/{file}");
            pieces.push(Piece {
                path,
                organization,
                secret: format!("{node}-msp"),
                key,
            });
        }
    }
    for number in 0..consensus.orderers {
        let host = format!("orderer{number}.orgorderer1");
        let signs = format!("msp/signcerts/{host}-cert.pem");
        for (file, secret, key) in [
            ("tls/server.crt", "tls", "tls.crt"),
            (&signs, "msp", "cert.pem"),
        ] {
            let path =
                format!("crypto-config/ordererOrganizations/orgorderer1/orderers/{host}/{file}");
            pieces.push(Piece {
                path,
                organization: "orgorderer1",
                secret: format!("orderer{number}-{secret}"),
                key,
            });
        }
    }
    pieces
}

/// Who may use the orderers' admin port, by mutual TLS.
pub struct Admin {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Admin {
    /// Takes the administrator that an install has made.
    pub fn of_secret(node: &Node, release: &str) -> Admin {
        let secret = node
            .cluster
            .get("secret", &format!("{release}-admin-tls"), Some(release))
            .expect("the administrator's Secret");
        let save = |key: &str| {
            let path = node.cluster.folder().join(key);
            std::fs::write(&path, decoded(&secret, key)).expect("a folder of ours");
            path
        };
        Admin {
            ca: save("ca.crt"),
            certificate: save("tls.crt"),
            key: save("tls.key"),
        }
    }

    /// Calls an orderer's channel participation API: the status, and what it answers.
    pub fn call(&self, node: &Node, orderer: &str, path: &str, args: &[&str]) -> (u16, Value) {
        let tunnel = node.tunnel("orgorderer1", orderer, 9443);
        let host = format!("{orderer}.orgorderer1:{}", tunnel.port);
        let mut curl = support::isolated("curl", Path::new("/"));
        curl.args([
            "--silent",
            "--show-error",
            "--write-out",
            "\n%{http_code}",
            "--resolve",
            &format!("{host}:127.0.0.1"),
        ]);
        curl.arg("--cacert")
            .arg(&self.ca)
            .arg("--cert")
            .arg(&self.certificate)
            .arg("--key")
            .arg(&self.key);
        curl.args(args)
            .arg(format!("https://{host}/participation/v1/{path}"));
        let output = curl.output().expect("curl runs");
        assert!(
            output.status.success(),
            "{orderer}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("JSON");
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (
            status.parse().expect("a number"),
            serde_json::from_str(body).expect("JSON"),
        )
    }
}

/// The text of a Secret's key.
pub fn decoded(secret: &Value, key: &str) -> String {
    let data = secret["data"][key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {}", secret["metadata"]["name"]));
    String::from_utf8(STANDARD.decode(data).expect("base64")).expect("text")
}
