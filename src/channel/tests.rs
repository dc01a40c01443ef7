//! Channels of the fixtures' organizations, compared with those from `configtxgen`.

use super::history::entry;
use super::wanted::{Settings, Wanted};
use super::{Did, Outcome, Step, genesis, system_block, with_anchors, words};
use crate::error::Error;
use crate::fabric::{Contact, Model, Subject};
use crate::identity::public;
use crate::ledger::block::{Checked, data_hash};
use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::envelope::{Stamp, config_signature, config_update, signed};
use crate::ledger::message::common::{Block, BlockData, BlockHeader, ConfigSignature, HeaderType};
use crate::ledger::message::configuration::ConfigEnvelope;
use crate::ledger::message::orderer_configuration::BatchTimeout;
use crate::ledger::msp::Msp;
use crate::ledger::sign::Identity;
use crate::ledger::update;
use crate::member::{Certificates, Participant};
use jiff::Timestamp;
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(line: &str, path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(line)
        .join(path)
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        match entry.path() {
            path if path.is_dir() => {
                let below = files(&path).into_iter();
                found.extend(below.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
            }
            path => drop(found.insert(name, fs::read(path).unwrap())),
        }
    }
    found
}

/// An organization as it is installed with the fixture's identities.
fn participant(line: &str, model: Model, release: &str, values: Value) -> Participant {
    let (kind, nodes) = match model {
        Model::OrdererOrganization => ("ordererOrganizations", "orderers"),
        _ => ("peerOrganizations", "peers"),
    };
    let mut values = values;
    values["fabricVersion"] = json!(line.trim_start_matches('v'));
    let contact = Contact::of(Subject {
        model: Some(model),
        release,
        namespace: release,
        values: &values,
    });
    let contact = contact.unwrap();
    let folder = fixture(line, "crypto-config").join(kind).join(release);
    let certificates = contact.nodes.iter().map(|node| {
        let node_folder = folder.join(nodes).join(&node.host);
        let signs = format!("msp/signcerts/{}-cert.pem", node.host);
        let read = |path: &str| fs::read(node_folder.join(path)).unwrap_or_default();
        Certificates {
            identity: read(&signs),
            tls: read("tls/server.crt"),
        }
    });
    Participant {
        certificates: certificates.collect(),
        msp: Msp::from_files(
            &contact.msp_id,
            &public::of_folder(&files(&folder.join("msp"))),
        )
        .unwrap(),
        contact,
    }
}

fn peers(line: &str) -> Vec<Participant> {
    ["org1", "org2"]
        .map(|release| participant(line, Model::PeerOrganization, release, json!({})))
        .into()
}

fn orderers(line: &str, values: Value) -> Participant {
    let mut all = json!({"orderers": {}});
    all["orderers"] = values;
    participant(line, Model::OrdererOrganization, "orgorderer1", all)
}

const RAFT: &str = "v2.5.16";
const BFT: &str = "v3.1.5";

fn raft() -> Participant {
    orderers(RAFT, json!({"count": 3}))
}

fn bft(count: u64) -> Participant {
    orderers(BFT, json!({"count": count, "consensus": "BFT"}))
}

fn configuration(
    orderers: &[Participant],
    organizations: &[Participant],
    settings: &Settings,
) -> Result<Configuration, Error> {
    let wanted = Wanted {
        name: "mychannel",
        orderers,
        organizations,
        settings,
        consortium: None,
    };
    wanted.channel()?.configuration()
}

#[test]
fn a_channel_is_what_configtxgen_makes_of_the_same_organizations() {
    for (line, orderers, expected) in [(RAFT, raft(), EXPECTED_RAFT), (BFT, bft(4), EXPECTED_BFT)] {
        let block = fs::read(fixture(line, "mychannel.block")).unwrap();
        let (_, made) = Configuration::from_block(&Block::decode(&block[..]).unwrap()).unwrap();
        let ours = configuration(&[orderers], &peers(line), &Settings::default()).unwrap();
        let differences = describe(&made.channel, &ours.channel).unwrap();
        assert_eq!(differences, expected, "{line}");
    }
}

/// The settings of the fixtures' configtx.yaml that differ from the defaults.
const EXPECTED_RAFT: &[&str] = &[
    "orderer addresses: remove orderer0.orgorderer1:7050",
    "orderer addresses: remove orderer1.orgorderer1:7050",
    "orderer addresses: remove orderer2.orgorderer1:7050",
];
const EXPECTED_BFT: &[&str] = &[
    "consensus, request batch max bytes: 0 → 10485760",
    "consensus, request batch max count: 0 → 100",
    "consensus, request batch max interval: 200ms → 50ms",
    "consensus, request forward timeout: 5s → 2s",
    "consensus, request pool size: 100000 → 400",
];

#[test]
fn the_same_channel_has_the_same_first_block_and_another_has_another() {
    let organizations = peers(RAFT);
    let orderers = [raft()];
    let tls: Vec<&[u8]> = orderers[0]
        .certificates
        .iter()
        .map(|it| &it.tls[..])
        .collect();
    let block = |name: &str, settings: &Settings| {
        let configuration = configuration(&orderers, &organizations, settings).unwrap();
        genesis(name, &configuration, &tls).unwrap().encode_to_vec()
    };
    let plain = block("mychannel", &Settings::default());
    assert_eq!(plain, block("mychannel", &Settings::default()));
    assert_ne!(plain, block("yourchannel", &Settings::default()));
    let more = Settings {
        max_message_count: Some(10),
        ..Settings::default()
    };
    assert_ne!(plain, block("mychannel", &more));
}

#[test]
fn settings_are_in_the_configuration() {
    let settings = Settings {
        batch_timeout: Some(std::time::Duration::from_millis(200)),
        max_message_count: Some(10),
        absolute_max_bytes: Some(1 << 20),
        anchors: [("org1".to_owned(), vec!["peer0".to_owned()])].into(),
        capabilities: [("application".to_owned(), "V2_0".to_owned())].into(),
        policies: [(
            "Application/Org1MSP/Admins".to_owned(),
            "OR('Org1MSP.admin','Org2MSP.admin')".to_owned(),
        )]
        .into(),
        ..Settings::default()
    };
    let configuration = configuration(&[raft()], &peers(RAFT), &settings).unwrap();
    let text = words("mychannel", 0, &configuration).unwrap();
    for line in [
        "CAPABILITIES: channel V2_0, orderer V2_0, application V2_0",
        "CONSENSUS: etcdraft",
        // The preferred size is never above the absolute one.
        "BLOCKS: after 200ms, 10 transactions, or 1048576 bytes; a transaction has at most 1048576 bytes",
        "  Orgorderer1MSP   orderer0.orgorderer1:7050, orderer1.orgorderer1:7050, orderer2.orgorderer1:7050",
        "  Org1MSP   anchor peer0.org1:7051",
        "  Application/Endorsement   MAJORITY of Endorsement",
        "  Application/Org1MSP/Admins   OR('Org1MSP.admin', 'Org2MSP.admin')",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(
        text.contains("  orderer2.orgorderer1:7050   TLS certificate "),
        "{text}"
    );
}

#[test]
fn what_cannot_be_a_channel_is_refused_with_every_reason() {
    let settings = Settings::default();
    let named = |release: &str, msp_id: &str| {
        let values = json!({"org": {"mspID": msp_id}});
        let mut it = participant(RAFT, Model::PeerOrganization, "org1", values);
        it.contact.release = release.to_owned();
        it
    };
    let old = || {
        let values = json!({"count": 1, "genesis": {"secret": "genesis"}});
        orderers(RAFT, values)
    };
    let other = || {
        let mut it = bft(4);
        it.contact.release = "orgorderer2".to_owned();
        it.contact.msp_id = "Orgorderer2MSP".to_owned();
        it
    };
    let unknown = |path: &str| Settings {
        policies: [(path.to_owned(), "ANY Readers".to_owned())].into(),
        ..Settings::default()
    };
    let anchor = |release: &str, peer: &str| Settings {
        anchors: [(release.to_owned(), vec![peer.to_owned()])].into(),
        ..Settings::default()
    };
    for (orderers, organizations, settings, why) in [
        (
            vec![],
            peers(RAFT),
            settings.clone(),
            "no orderer organization",
        ),
        (
            vec![raft()],
            vec![],
            settings.clone(),
            "no peer organization",
        ),
        (
            peers(RAFT),
            vec![raft()],
            settings.clone(),
            "has orderers, but no peers",
        ),
        (
            vec![raft()],
            [peers(RAFT), peers(RAFT)].concat(),
            settings.clone(),
            "\"org1\" is given twice",
        ),
        (
            vec![raft()],
            vec![named("org1", "AMSP"), named("org7", "AMSP")],
            settings.clone(),
            "\"org1\" and \"org7\" have the same MSP id AMSP",
        ),
        (
            vec![old()],
            peers(RAFT),
            settings.clone(),
            "use a system channel, which creates channels",
        ),
        (
            vec![raft(), other()],
            peers(RAFT),
            settings.clone(),
            "use the same consensus protocol",
        ),
        (
            vec![bft(3)],
            peers(BFT),
            settings.clone(),
            "at least 4 nodes",
        ),
        (
            vec![raft()],
            peers(RAFT),
            unknown("Aplication/Readers"),
            "did you mean \"Application/Readers\"?",
        ),
        (
            vec![raft()],
            peers(RAFT),
            anchor("org3", "peer0"),
            "\"org3\" is not one of --organizations",
        ),
        (
            vec![raft()],
            peers(RAFT),
            anchor("org1", "peer7"),
            "has no node \"peer7\"",
        ),
    ] {
        let error = configuration(&orderers, &organizations, &settings).unwrap_err();
        assert!(error.to_string().contains(why), "{why}\n{error}");
    }
}

#[test]
fn an_orderer_without_tls_certificate_is_no_consenter() {
    let mut orderers = raft();
    orderers.certificates[1].tls.clear();
    let error = configuration(&[orderers], &peers(RAFT), &Settings::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("consenter orderer1.orgorderer1:7050"),
        "{text}"
    );
    assert!(text.contains("no TLS server certificate"), "{text}");
}

/// A configuration block after the fixture's first one, with an update that its administrator
/// signed.
#[test]
fn history_says_what_a_block_changed_and_who_signed_it() {
    let read = |path: &str| fs::read(fixture(RAFT, path)).unwrap();
    let first = Checked::from_bytes(&read("mychannel.block"), "it").unwrap();
    let (_, begun) = Configuration::from_block(&first.clone().into_block()).unwrap();
    let genesis = entry(&first, &begun, None).unwrap();
    assert_eq!((genesis.block, genesis.configuration), (0, 0));
    assert!(genesis.signers.is_empty() && genesis.changes.is_empty());

    let mut changed = begun.clone();
    changed.sequence = 1;
    let timeout = BatchTimeout {
        timeout: "5s".to_owned(),
    };
    let orderer = changed.channel.groups.get_mut("Orderer").unwrap();
    orderer.set_value("BatchTimeout", &timeout);
    let user = "crypto-config/ordererOrganizations/orgorderer1/users/Admin@orgorderer1/msp";
    let certificate = read(&format!("{user}/signcerts/Admin@orgorderer1-cert.pem"));
    let key = read(&format!("{user}/keystore/priv_sk"));
    let admin = Identity::from_pem("Orgorderer1MSP", &certificate, &key, "it").unwrap();
    let update = update::compute("mychannel", &begun.channel, &changed.channel).unwrap();
    let update = update.encode_to_vec();
    let stamp = Stamp::new(Timestamp::UNIX_EPOCH).unwrap();
    let mut signature = config_signature(&update, &admin, &stamp).unwrap();
    let block = |signature: &ConfigSignature| {
        let signatures = vec![signature.clone()];
        let last = config_update("mychannel", update.clone(), signatures, &admin, &stamp).unwrap();
        let config = ConfigEnvelope {
            config: Some(changed.to_message()),
            last_update: Some(last),
        };
        let data = config.encode_to_vec();
        let envelope = signed(HeaderType::Config, "mychannel", data, &admin, &stamp).unwrap();
        let data = BlockData {
            data: vec![envelope.encode_to_vec()],
        };
        let header = BlockHeader {
            number: 7,
            previous_hash: Vec::new(),
            data_hash: data_hash(&data).to_vec(),
        };
        let block = Block {
            header: Some(header),
            data: Some(data),
            metadata: None,
        };
        Checked::new(block, "it").unwrap()
    };
    let seventh = entry(&block(&signature), &changed, Some(&begun)).unwrap();
    assert_eq!((seventh.block, seventh.configuration), (7, 1));
    assert_eq!(seventh.signers, ["Admin@orgorderer1 of Orgorderer1MSP"]);
    assert_eq!(seventh.changes, ["batch timeout: 2s → 5s"]);

    signature.signature[10] ^= 1;
    let forged = entry(&block(&signature), &changed, Some(&begun)).unwrap();
    assert!(
        forged.signers[0].contains("is wrong"),
        "{:?}",
        forged.signers
    );
}

#[test]
fn an_outcome_says_which_nodes_failed_and_what_holds() {
    let mut outcome = Outcome {
        steps: vec![
            Step::new("org1", "peer0.org1", Did::Joined),
            Step::new("org1", "peer1.org1", Did::Unchanged),
        ],
    };
    assert!(outcome.changed() && outcome.error("x").is_none());
    let gone = Error::cluster("cannot call it")
        .why("no pod")
        .hint("look at it");
    outcome
        .steps
        .push(Step::new("org2", "peer0.org2", Did::Failed(gone)));
    let error = outcome
        .error("channel \"mychannel\" is not complete")
        .unwrap();
    assert_eq!(
        error.to_string(),
        "channel \"mychannel\" is not complete\n  --> peer0.org2   cannot call it: no pod\n\
         now: peer0.org1, peer1.org1 have joined\nhint: look at it\n\
         hint: fix the cause and run the same command again"
    );
    assert_eq!(error.kind().exit_status(), 3);
}

const KAFKA: &str = "v1.4.12";

/// The orderers of the fixture's system channel, and its settings beside the defaults.
fn kafka() -> (Participant, Settings) {
    let values = json!({
        "count": 3,
        "consensus": "kafka",
        "genesis": {"secret": "genesis"},
    });
    let brokers = (0..4).map(|n| format!("kafka{n}.kafka:9092")).collect();
    let settings = Settings {
        brokers,
        ..Settings::default()
    };
    (orderers(KAFKA, values), settings)
}

#[test]
fn a_system_channel_is_what_configtxgen_makes_of_the_same_organizations() {
    let (orderers, settings) = kafka();
    let organizations = peers(KAFKA);
    let wanted = Wanted {
        name: "testchainid",
        orderers: std::slice::from_ref(&orderers),
        organizations: &organizations,
        settings: &settings,
        consortium: Some("SampleConsortium"),
    };
    let ours = system_block(&wanted).unwrap();
    let (name, ours) = Configuration::from_block(&ours).unwrap();
    let fixture = fs::read(fixture(KAFKA, "genesis.block")).unwrap();
    let (_, made) = Configuration::from_block(&Block::decode(&fixture[..]).unwrap()).unwrap();
    // The fixture also has the orderers' addresses for the whole channel.
    let addresses = "orderer addresses: remove orderer";
    let differences = describe(&made.channel, &ours.channel).unwrap();
    let others: Vec<_> = differences
        .iter()
        .filter(|it| !it.starts_with(addresses))
        .collect();
    assert_eq!((name.as_str(), others), ("testchainid", vec![]));
    let consortium = &["Consortiums", "SampleConsortium"];
    assert_eq!(
        made.channel.group(consortium),
        ours.channel.group(consortium)
    );
}

#[test]
fn a_channel_of_a_consortium_differs_from_its_system_channel_by_its_organizations() {
    let (orderers, settings) = kafka();
    let organizations = peers(KAFKA);
    let wanted = Wanted {
        name: "mychannel",
        orderers: std::slice::from_ref(&orderers),
        organizations: &organizations,
        settings: &settings,
        consortium: Some("SampleConsortium"),
    };
    let channel = wanted.channel().unwrap();
    let system = wanted.system_channel().unwrap();
    assert_eq!(channel.orderer, system.orderer);
    assert_eq!(channel.capabilities, system.capabilities);
    let members = channel.application.unwrap().organizations;
    assert_eq!(system.consortiums["SampleConsortium"], members);
    assert_eq!(
        (channel.consortium.as_deref(), system.consortium),
        (Some("SampleConsortium"), None)
    );
    // Orderers with an admin port have no consortium.
    let wanted = Wanted {
        orderers: &[raft()],
        organizations: &peers(RAFT),
        ..wanted
    };
    let error = wanted.channel().unwrap_err().to_string();
    assert!(
        error.contains("so no consortium creates the channel"),
        "{error}"
    );
}

#[test]
fn orderers_have_addresses_for_the_whole_channel_below_level_1_4_2() {
    let (orderers, mut settings) = kafka();
    let organizations = peers(KAFKA);
    let addresses = |settings: &Settings| {
        let wanted = Wanted {
            name: "mychannel",
            orderers: std::slice::from_ref(&orderers),
            organizations: &organizations,
            settings,
            consortium: Some("SampleConsortium"),
        };
        wanted.channel().unwrap().orderer.unwrap().addresses
    };
    assert_eq!(addresses(&settings), Vec::<String>::new());
    let level = ("channel".to_owned(), "V1_3".to_owned());
    settings.capabilities.extend([level]);
    let all = [0, 1, 2].map(|n| format!("orderer{n}.orgorderer1:7050"));
    assert_eq!(addresses(&settings), all);
}

#[test]
fn anchor_peers_are_set_for_the_named_organizations_alone() {
    let (orderers, settings) = kafka();
    let organizations = peers(KAFKA);
    let wanted = Wanted {
        name: "mychannel",
        orderers: std::slice::from_ref(&orderers),
        organizations: &organizations,
        settings: &settings,
        consortium: Some("SampleConsortium"),
    };
    let whole = wanted.channel().unwrap().configuration().unwrap().channel;
    let mut created = whole.clone();
    for id in ["Org1MSP", "Org2MSP"] {
        let group = created.group_mut(&["Application", id]).unwrap();
        group.values.remove("AnchorPeers");
    }
    let one = with_anchors(&created, &whole, ["Org1MSP"]);
    let words = describe(&created, &one).unwrap();
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(words[0].contains("peer0.org1:7051"), "{words:?}");
    let both = with_anchors(&one, &whole, ["Org1MSP", "Org2MSP"]);
    assert_eq!(both, whole);
}
