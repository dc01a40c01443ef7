use super::*;
use crate::error::Error;
use crate::ledger::config_json;
use crate::ledger::message::common::ConfigUpdateEnvelope;
use crate::ledger::message::configuration::AnchorPeer;
use crate::ledger::message::decode;
use crate::ledger::msp::Msp;
use semver::Version;
use serde_json::Value;
use std::path::Path;

fn file(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn msp(folder: &str, kind: &str, domain: &str, id: &str) -> Msp {
    let folder = format!("{folder}/crypto-config/{kind}Organizations/{domain}/msp");
    let root = file(&format!("{folder}/cacerts/ca.{domain}-cert.pem"));
    Msp {
        tls_roots: vec![file(&format!(
            "{folder}/tlscacerts/tlsca.{domain}-cert.pem"
        ))],
        roots: vec![root.clone()],
        ..Msp::new(id).with_node_ous(&root)
    }
}

fn addresses(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("orderer{n}.orgorderer1:7050"))
        .collect()
}

/// A file of an orderer of the fixtures.
fn of_orderer(folder: &str, n: usize, path: &str) -> Vec<u8> {
    let node = format!("orderer{n}.orgorderer1");
    let path = path.replace("NODE", &node);
    let folder = format!("{folder}/crypto-config/ordererOrganizations/orgorderer1/orderers");
    file(&format!("{folder}/{node}/{path}"))
}

fn peers(folder: &str) -> Vec<Organization> {
    let peers = [("org1", "Org1MSP"), ("org2", "Org2MSP")].map(|(domain, id)| Organization {
        anchor_peers: vec![AnchorPeer {
            host: format!("peer0.{domain}"),
            port: 7051,
        }],
        ..Organization::of_peers(msp(folder, "peer", domain, id))
    });
    peers.to_vec()
}

fn orderer(folder: &str, consensus: Consensus, count: usize) -> Orderer {
    let msp = msp(folder, "orderer", "orgorderer1", "Orgorderer1MSP");
    Orderer {
        consensus,
        batch_size: batch_size(),
        batch_timeout: Duration::from_secs(2),
        organizations: vec![Organization::of_orderers(msp, addresses(count))],
        policies: orderer_policies(),
        capabilities: BTreeSet::new(),
        addresses: Vec::new(),
        max_channels: 0,
    }
}

/// With the levels and policies that this version has by default.
fn channel(version: &str, folder: &str, mut orderer: Orderer) -> Channel {
    let version: Version = version.parse().unwrap();
    orderer.capabilities = levels("orderer", &version);
    Channel {
        capabilities: levels("channel", &version),
        policies: channel_policies(),
        orderer: Some(orderer),
        application: Some(Application {
            organizations: peers(folder),
            policies: application_policies(&version),
            capabilities: levels("application", &version),
            acls: BTreeMap::new(),
        }),
        ..Channel::default()
    }
}

/// The channel of v2.5.16/configtx.yaml.
fn raft() -> Channel {
    let folder = "v2.5.16";
    let consenters = (0..3).map(|n| RaftConsenter {
        host: format!("orderer{n}.orgorderer1"),
        port: 7050,
        client_tls_cert: of_orderer(folder, n, "tls/server.crt"),
        server_tls_cert: of_orderer(folder, n, "tls/server.crt"),
    });
    let consensus = Consensus::Raft {
        consenters: consenters.collect(),
        options: raft_options(),
    };
    let orderer = Orderer {
        addresses: addresses(3),
        ..orderer(folder, consensus, 3)
    };
    channel("2.5.16", folder, orderer)
}

/// The channel of v3.1.5/configtx.yaml, which sets some options.
fn bft() -> Channel {
    let folder = "v3.1.5";
    let consenters = (0..4).map(|n| Consenter {
        id: n as u32 + 1,
        host: format!("orderer{n}.orgorderer1"),
        port: 7050,
        msp_id: "Orgorderer1MSP".to_owned(),
        identity: of_orderer(folder, n, "msp/signcerts/NODE-cert.pem"),
        client_tls_cert: of_orderer(folder, n, "tls/server.crt"),
        server_tls_cert: of_orderer(folder, n, "tls/server.crt"),
    });
    let options = BftOptions {
        request_batch_max_count: 0,
        request_batch_max_bytes: 0,
        request_batch_max_interval: "200ms".to_owned(),
        request_forward_timeout: "5s".to_owned(),
        request_pool_size: 100_000,
        ..bft_options()
    };
    let consensus = Consensus::Bft {
        consenters: consenters.collect(),
        options,
    };
    channel("3.1.5", folder, orderer(folder, consensus, 4))
}

/// The system channel of v1.4.12/configtx.yaml.
fn kafka() -> Channel {
    let folder = "v1.4.12";
    let brokers = (0..4).map(|n| format!("kafka{n}.kafka:9092")).collect();
    let orderer = Orderer {
        addresses: addresses(3),
        ..orderer(folder, Consensus::Kafka { brokers }, 3)
    };
    Channel {
        application: None,
        consortiums: [("SampleConsortium".to_owned(), peers(folder))].into(),
        ..channel("1.4.12", folder, orderer)
    }
}

/// The system channel of v2.2.15/configtx.yaml, with the identities of v2.5.16.
fn raft_with_consortium() -> Channel {
    let orderer = Orderer {
        addresses: Vec::new(),
        ..raft().orderer.unwrap()
    };
    Channel {
        application: None,
        consortiums: [("SampleConsortium".to_owned(), peers("v2.5.16"))].into(),
        ..channel("2.2.15", "v2.5.16", orderer)
    }
}

type Made = fn() -> Channel;
const CHANNELS: [(Made, &str); 4] = [
    (raft, "v2.5.16/mychannel.block"),
    (bft, "v3.1.5/mychannel.block"),
    (kafka, "v1.4.12/genesis.block"),
    (raft_with_consortium, "v2.2.15/genesis.block"),
];

#[test]
fn configurations_are_configtxgens() {
    for (channel, path) in CHANNELS {
        let block: Block = decode(&file(path), "the block").unwrap();
        let (_, expected) = Configuration::from_block(&block).unwrap();
        let made = channel().configuration().unwrap();
        // Compares JSON first, because it shows the difference.
        assert_eq!(
            made.to_json().unwrap(),
            expected.to_json().unwrap(),
            "{path}"
        );
        assert_eq!(made, expected, "{path}");
    }
}

#[test]
fn blocks_are_configtxgens() {
    for (channel, path) in CHANNELS {
        let bytes = file(path);
        let expected = config_json::to_json(&config_json::BLOCK, &bytes).unwrap();
        let header = &expected["data"]["data"][0]["payload"]["header"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = text(&header["channel_header"]["channel_id"]);
        let fixture: Block = decode(&bytes, "the block").unwrap();
        let stamp = Stamp {
            time: text(&header["channel_header"]["timestamp"])
                .parse()
                .unwrap(),
            nonce: nonce(&fixture).try_into().unwrap(),
            tls_certificate: None,
        };
        let configuration = channel().configuration().unwrap();
        let mut made = block(&name, &configuration, &stamp).unwrap();
        if path == "v1.4.12/genesis.block" {
            // configtxgen 1.4 left the metadata empty; orderers of 1.4.12 read both.
            made.metadata.as_mut().unwrap().metadata[0].clear();
        }
        let mut shown = config_json::to_json(&config_json::BLOCK, &made.encode_to_vec()).unwrap();
        // The order of map entries is in the hash.
        let own = made.header.unwrap().data_hash;
        assert_eq!(own, data_hash(&made.data.unwrap()));
        shown["header"]["data_hash"] = expected["header"]["data_hash"].clone();
        assert_eq!(shown, expected, "{path}");
    }
}

fn nonce(block: &Block) -> Vec<u8> {
    let data = &block.data.as_ref().unwrap().data[0];
    let envelope: Envelope = decode(data, "it").unwrap();
    let payload: Payload = decode(&envelope.payload, "it").unwrap();
    let header = payload.header.unwrap().signature_header;
    decode::<SignatureHeader>(&header, "it").unwrap().nonce
}

#[test]
fn the_creation_of_a_channel_is_configtxgens() {
    for (version, folder) in [("1.4.12", "v1.4.12"), ("2.2.15", "v2.5.16")] {
        let consensus = Consensus::Kafka {
            brokers: vec!["kafka0.kafka:9092".to_owned()],
        };
        let channel = Channel {
            orderer: None,
            consortium: Some("SampleConsortium".to_owned()),
            ..channel(version, folder, orderer(folder, consensus, 3))
        };
        let update = creation("mychannel", &channel).unwrap();
        let fixture = file(&format!("v{version}/mychannel.tx"));
        let envelope: Envelope = decode(&fixture, "it").unwrap();
        let payload: Payload = decode(&envelope.payload, "it").unwrap();
        let expected: ConfigUpdateEnvelope = decode(&payload.data, "it").unwrap();
        let json = |bytes: &[u8]| config_json::to_json(&config_json::CONFIG_UPDATE, bytes).unwrap();
        assert_eq!(json(&update.encode_to_vec()), json(&expected.config_update));
    }
}

fn problems(channel: &Channel) -> Vec<String> {
    let error: Error = channel.configuration().unwrap_err();
    let words = error.places().iter();
    words
        .map(|it| format!("{}: {}", it.subject, it.note))
        .collect()
}

fn orderer_of(channel: &mut Channel) -> &mut Orderer {
    channel.orderer.as_mut().unwrap()
}

fn bft_consenters(channel: &mut Channel) -> &mut Vec<Consenter> {
    match &mut orderer_of(channel).consensus {
        Consensus::Bft { consenters, .. } => consenters,
        _ => panic!("no BFT"),
    }
}

/// The problem of a channel that otherwise equals the Raft or BFT channel of the fixtures.
type Mistake = (fn() -> Channel, fn(&mut Channel), &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    (
        raft,
        |it| match &mut orderer_of(it).consensus {
            Consensus::Raft { consenters, .. } => {
                consenters[0].client_tls_cert.clear();
                consenters[0].server_tls_cert.clear();
                consenters[2] = consenters[1].clone();
            }
            _ => panic!("no Raft"),
        },
        &[
            "consenter orderer0.orgorderer1:7050: it has no TLS client certificate",
            "consenter orderer0.orgorderer1:7050: it has no TLS server certificate",
            "consenter orderer1.orgorderer1:7050: its address is listed twice",
            "consenter orderer1.orgorderer1:7050: another consenter has its TLS certificate",
        ],
    ),
    (
        raft,
        |it| {
            let stranger = of_orderer("v3.1.5", 0, "tls/server.crt");
            match &mut orderer_of(it).consensus {
                Consensus::Raft { consenters, .. } => consenters[0].server_tls_cert = stranger,
                _ => panic!("no Raft"),
            }
        },
        &[
            "consenter orderer0.orgorderer1:7050: no TLS authority of the orderers signed its TLS \
             server certificate",
        ],
    ),
    (
        bft,
        |it| drop(bft_consenters(it).pop()),
        &["consenters: BFT needs at least 4 nodes (3f+1), not 3"],
    ),
    (
        bft,
        |it| {
            let consenters = bft_consenters(it);
            consenters[1].id = 1;
            consenters[2].msp_id = "Org1MSP".to_owned();
            consenters[3].identity = file(
                "v2.5.16/crypto-config/ordererOrganizations/orgorderer1/orderers/\
                 orderer3.orgorderer1/msp/signcerts/orderer3.orgorderer1-cert.pem",
            );
        },
        &[
            "consenter orderer1.orgorderer1:7050: its id 1 is 0 or a duplicate",
            "consenter orderer2.orgorderer1:7050: no organization of the orderers has its MSP id \
             \"Org1MSP\"",
            "consenter orderer3.orgorderer1:7050: Orgorderer1MSP does not accept its identity: none \
             of the organization's authorities signed it",
        ],
    ),
    (
        bft,
        |it| {
            orderer_of(it).organizations[0].endpoints.clear();
            orderer_of(it).addresses = addresses(1);
        },
        &[
            "orderer addresses: the channel level V3_0 does not allow common addresses; set the \
             endpoints of each organization",
            "orderer, organization Orgorderer1MSP: it has no endpoints; the channel level V3_0 \
             requires them",
        ],
    ),
    (
        bft,
        |it| it.capabilities = ["V2_0".to_owned()].into(),
        &["channel: BFT requires the channel level V3_0"],
    ),
    (
        raft,
        |it| {
            let application = it.application.as_mut().unwrap();
            let first = application.organizations[0].clone();
            application.organizations.push(first);
            application.capabilities = ["V1_4_3".to_owned()].into();
            let policy = Policy::parse("OR('Org1MSP.peer', 'Org3MSP.peer')").unwrap();
            application
                .policies
                .insert("Endorsement".to_owned(), policy);
            application.policies.remove("Writers");
        },
        &[
            "application: \"V1_4_3\" is not a capability level of this group",
            "application: it has no policy Writers",
            "application, policy Endorsement: OR('Org1MSP.peer', 'Org3MSP.peer') names \"Org3MSP\", \
             which is not a member of the channel; did you mean \"Org1MSP\"?",
            "application, organization Org1MSP: it is listed twice",
        ],
    ),
    (
        raft,
        |it| {
            let organizations = &mut it.application.as_mut().unwrap().organizations;
            organizations[1].msp = organizations[0].msp.clone();
            organizations[1].policies = organizations[0].policies.clone();
            organizations[0].anchor_peers[0].port = 0;
        },
        &[
            "application, organization Org1MSP: the anchor peer peer0.org1:0 is not an address",
            "application, organization Org2MSP: the MSP id \"Org1MSP\" is listed twice",
        ],
    ),
    (
        raft,
        |it| {
            let orderer = orderer_of(it);
            orderer.batch_timeout = Duration::ZERO;
            orderer.batch_size.preferred_max_bytes = 1 << 30;
            orderer.batch_size.max_message_count = 0;
            orderer.policies.remove("BlockValidation");
            match &mut orderer.consensus {
                Consensus::Raft { options, .. } => {
                    options.tick_interval = "half a second".to_owned();
                    options.election_tick = 1;
                }
                _ => panic!("no Raft"),
            }
        },
        &[
            "orderer: it has no policy BlockValidation",
            "batch size: a limit of 0 allows no transactions",
            "batch size: the preferred size exceeds the absolute maximum",
            "batch timeout: it must be greater than 0",
            "Raft, tick interval: \"half a second\" is not a duration such as 500ms",
            "Raft: the election tick must be greater than the heartbeat tick",
        ],
    ),
];

#[test]
fn mistakes_are_found_before_a_block_is_made() {
    for (channel, spoil, expected) in MISTAKES {
        let mut channel = channel();
        spoil(&mut channel);
        assert_eq!(problems(&channel), *expected);
    }
}

#[test]
fn names_of_channels_are_fabrics() {
    for name in ["mychannel", "a", "a.b-c9", &"a".repeat(249)] {
        check_name(name).unwrap();
    }
    for (name, why) in [
        ("", "it is empty"),
        ("MyChannel", "it does not start with a lower-case letter"),
        ("9a", "it does not start with a lower-case letter"),
        ("my_channel", "it contains '_'"),
        ("myChannel", "it contains 'C'"),
        ("a/b", "it contains '/'"),
        (&"a".repeat(250), "it is longer than 249 characters"),
    ] {
        let error = check_name(name).unwrap_err();
        assert_eq!(error.reasons(), [why], "{name}");
    }
}

#[test]
fn durations_are_written_as_go_does() {
    for (nanos, text) in [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (200_000_000, "200ms"),
        (2_500_000, "2.5ms"),
        (1_500_000_000, "1.5s"),
        (2_000_000_000, "2s"),
        (60_000_000_000, "1m0s"),
        (90_000_000_000, "1m30s"),
        (180_000_000_000, "3m0s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_600_000_000_001, "1h0m0.000000001s"),
    ] {
        assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
    }
}

#[test]
fn levels_follow_from_the_version() {
    for (version, expected) in [
        ("1.4.12", ["V1_4_3", "V1_4_2", "V1_4_2"]),
        ("2.2.15", ["V2_0", "V2_0", "V2_0"]),
        ("2.5.16", ["V2_0", "V2_0", "V2_5"]),
        ("3.1.5", ["V3_0", "V2_0", "V2_5"]),
    ] {
        let version: Version = version.parse().unwrap();
        let levels = ["channel", "orderer", "application"].map(|group| levels(group, &version));
        assert_eq!(levels, expected.map(|level| [level.to_owned()].into()));
    }
}
