//! Changes of the fixtures' channels: what configtxlator computes of the same edits, what is
//! refused, what changes nothing.

use super::consenters::Consenters;
use super::quorum::{Difference, difference};
use super::*;
use crate::error::Kind;
use crate::ledger::config_json::{CONFIG_UPDATE, to_json};
use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::message::common::Block;
use crate::ledger::organization::{Organization, Part};
use crate::ledger::policy::Policy;
use crate::ledger::update;
use prost::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(fixture(path)).unwrap()
}

fn configuration(line: &str) -> Configuration {
    let block = read(&format!("{line}/mychannel.block"));
    Configuration::from_block(&Block::decode(&block[..]).unwrap())
        .unwrap()
        .1
}

const RAFT: &str = "v2.5.16";
const BFT: &str = "v3.1.5";

/// An organization that the Raft channel does not know: org2 of the other fixtures, renamed.
fn org3() -> Joining {
    let group = configuration(BFT).channel.groups["Application"].groups["Org2MSP"].clone();
    let mut msp = Organization::from_group("Org2MSP", &group).unwrap().msp;
    msp.id = "Org3MSP".to_owned();
    Joining {
        organization: Organization::of_peers(msp),
        part: Part::Application,
        from: "\"org3.json\"".to_owned(),
    }
}

/// The fixtures' orderer with this number.
fn orderer(line: &str, number: u32) -> Consenter {
    let host = format!("orderer{number}.orgorderer1");
    let folder = format!("{line}/crypto-config/ordererOrganizations/orgorderer1/orderers/{host}");
    Consenter {
        msp_id: "Orgorderer1MSP".to_owned(),
        port: 7050,
        endpoint: format!("{host}:7050"),
        identity: read(&format!("{folder}/msp/signcerts/{host}-cert.pem")),
        tls: read(&format!("{folder}/tls/server.crt")),
        host,
    }
}

fn anchor(host: &str) -> AnchorPeer {
    AnchorPeer {
        host: host.to_owned(),
        port: 7051,
    }
}

fn policy(path: &str, rule: &str) -> Change {
    Change::Policy(path.to_owned(), rule.to_owned())
}

fn join(joining: Joining) -> Change {
    Change::AddOrganization(Box::new(joining))
}

/// The words for a change that passes the check.
fn words(line: &str, changes: &[Change]) -> Vec<String> {
    let from = configuration(line);
    let to = change(&from, changes).unwrap().configuration;
    check(&from.channel, &to.channel).unwrap();
    describe(&from.channel, &to.channel).unwrap()
}

#[test]
fn changes_are_the_updates_that_configtxlator_computes() {
    let limits = BatchLimits {
        max_message_count: Some(10),
        ..BatchLimits::default()
    };
    for (case, change_of) in [
        (
            "batch-timeout",
            Change::BatchTimeout(Duration::from_millis(500)),
        ),
        ("batch-size", Change::BatchLimits(limits)),
        (
            "add-anchor-peer",
            Change::AddAnchor("Org1MSP".into(), anchor("peer1.org1")),
        ),
        ("add-policy", policy("Application/Auditors", "ALL Readers")),
        ("policy", policy("Application/Admins", "ANY of Admins")),
        (
            "policy-of-organization",
            policy("Application/Org1MSP/Endorsement", "OR('Org1MSP.member')"),
        ),
        (
            "remove-organization",
            Change::RemoveOrganization("Org2MSP".into()),
        ),
    ] {
        let from = configuration(RAFT);
        let to = change(&from, &[change_of]).unwrap().configuration;
        let update = update::compute("mychannel", &from.channel, &to.channel).unwrap();
        let ours = to_json(&CONFIG_UPDATE, &update.encode_to_vec()).unwrap();
        let text = read(&format!("config-updates/{case}.json"));
        let expected: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(ours, expected["update"], "{case}");
    }
}

#[test]
fn an_organization_joins_once_and_leaves_once() {
    let from = configuration(RAFT);
    let joined = change(&from, &[join(org3())]).unwrap();
    assert!(joined.unchanged.is_empty());
    check(&from.channel, &joined.configuration.channel).unwrap();
    let lines = describe(&from.channel, &joined.configuration.channel).unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("add organization Org3MSP to the application; authorities: "));

    let again = change(&joined.configuration, &[join(org3())]).unwrap();
    assert_eq!(again.unchanged, ["organization Org3MSP is in the channel"]);
    assert_eq!(again.configuration, joined.configuration);

    let leave = Change::RemoveOrganization("Org3MSP".to_owned());
    let left = change(&joined.configuration, std::slice::from_ref(&leave)).unwrap();
    assert_eq!(left.configuration.channel, from.channel);
    let again = change(&from, &[leave]).unwrap();
    assert_eq!(
        again.unchanged,
        ["organization Org3MSP is not in the channel"]
    );
}

#[test]
fn an_organization_comes_before_what_refers_to_it() {
    let lines = words(
        RAFT,
        &[
            Change::AddAnchor("Org3MSP".to_owned(), anchor("peer0.org3")),
            policy("Application/Endorsement", "OR('Org3MSP.peer')"),
            join(org3()),
        ],
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[1], "anchor peers of Org3MSP: add peer0.org3:7051");
}

#[test]
fn an_organization_that_cannot_be_is_refused() {
    let named = |id: &str| {
        let mut it = org3();
        it.organization.msp.id = id.to_owned();
        it.organization = Organization::of_peers(it.organization.msp);
        it
    };
    let with_policy = |rule: &str| {
        let mut it = org3();
        let rule = Policy::parse(rule).unwrap();
        it.organization.policies.insert("Admins".to_owned(), rule);
        it
    };
    let without = |edit: &dyn Fn(&mut Organization)| {
        let mut it = org3();
        edit(&mut it.organization);
        it
    };
    let foreign = {
        let mut it = org3();
        it.part = Part::Orderer;
        it.organization = Organization::of_orderers(it.organization.msp, Vec::new());
        it
    };
    assert!(change(&configuration(RAFT), &[join(foreign)]).is_ok());
    for (joining, why) in [
        (
            named("Org1MSP"),
            "with the MSP id Org1MSP, but with another MSP",
        ),
        (
            named("Orgorderer1MSP"),
            "with the MSP id Orgorderer1MSP, but with another MSP",
        ),
        (
            with_policy("OR('Org1MSP.admin')"),
            "others could act for it",
        ),
        (
            with_policy("OR('Org3MSP.admin', 'Org1MSP.admin')"),
            "others could act for it",
        ),
        (
            with_policy("OutOf(0, 'Org3MSP.admin')"),
            "others could act for it",
        ),
        (with_policy("ANY Admins"), "others could act for it"),
        (
            without(&|it| drop(it.policies.remove("Readers"))),
            "it has no policy Readers",
        ),
        (
            without(&|it| it.msp.roots.clear()),
            "it has no root certificate",
        ),
    ] {
        let error = change(&configuration(RAFT), &[join(joining)]).unwrap_err();
        assert!(error.to_string().contains(why), "{why}\n{error}");
    }
}

#[test]
fn what_would_harm_the_channel_is_refused() {
    let size = |preferred: u32, absolute: u32| {
        Change::BatchLimits(BatchLimits {
            preferred_max_bytes: Some(preferred),
            absolute_max_bytes: Some(absolute),
            max_message_count: None,
        })
    };
    let level = |group: &str, level: &str| Change::Capability(group.to_owned(), level.to_owned());
    for (change_of, why) in [
        (size(2, 1), "the preferred size (2 bytes) exceeds"),
        (size(0, 1), "a limit of 0 allows no transactions"),
        (Change::BatchTimeout(Duration::ZERO), "is not a duration"),
        (
            level("application", "V2_0"),
            "cannot be lowered: V2_5 → V2_0",
        ),
        (
            level("channel", "V3_0"),
            "V3_0 does not allow common addresses",
        ),
        (
            policy("Application/Endorsement", "OR('Org9MSP.peer')"),
            "it names Org9MSP",
        ),
    ] {
        let from = configuration(RAFT);
        let to = change(&from, &[change_of]).unwrap().configuration;
        let error = check(&from.channel, &to.channel).unwrap_err();
        assert!(error.to_string().contains(why), "{why}\n{error}");
    }
    for (change_of, why) in [
        (
            level("application", "V9_9"),
            "its levels are V1_1, V1_2, V1_3, V1_4_2, V2_0, V2_5",
        ),
        (level("orderer", "V2_O"), "did you mean \"V2_0\"?"),
        (
            policy("Aplication/Endorsement", "ANY Readers"),
            "did you mean \"Application/Endorsement\"?",
        ),
        (
            policy("Application/Endorsement", "SOME Readers"),
            "cannot parse policy",
        ),
        (
            Change::AddAnchor("Org7MSP".into(), anchor("x")),
            "did you mean",
        ),
        (
            Change::RemoveOrganization("Orgorderer1MSP".into()),
            "it is a consenter of the channel",
        ),
    ] {
        let error = change(&configuration(RAFT), &[change_of]).unwrap_err();
        assert!(error.to_string().contains(why), "{why}\n{error}");
    }
    // The last organization, and a policy that names one that leaves.
    let from = configuration(RAFT);
    let both = ["Org1MSP", "Org2MSP"].map(|id| Change::RemoveOrganization(id.to_owned()));
    let error = change(&from, &both).unwrap_err().to_string();
    assert!(
        error.contains("the only organization of Application"),
        "{error}"
    );
    let named = change(
        &from,
        &[policy("Application/Endorsement", "OR('Org2MSP.peer')")],
    );
    let named = named.unwrap().configuration;
    let left = change(&named, &both[1..]).unwrap().configuration;
    let error = check(&named.channel, &left.channel)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it names Org2MSP, which would not be"),
        "{error}"
    );
}

#[test]
fn what_is_so_already_changes_nothing() {
    let from = configuration(RAFT);
    let changes = [
        Change::BatchTimeout(Duration::from_secs(2)),
        Change::BatchLimits(BatchLimits {
            max_message_count: Some(500),
            ..BatchLimits::default()
        }),
        Change::AddAnchor("Org1MSP".to_owned(), anchor("peer0.org1")),
        Change::RemoveAnchor("Org1MSP".to_owned(), anchor("peer9.org1")),
        Change::Capability("application".to_owned(), "V2_5".to_owned()),
        policy("Application/Admins", "MAJORITY of Admins"),
        Change::AddConsenter(Box::new(orderer(RAFT, 0))),
        Change::RemoveConsenter("orderer3.orgorderer1:7050".to_owned()),
    ];
    let changed = change(&from, &changes).unwrap();
    assert_eq!(changed.configuration, from);
    assert_eq!(
        changed.unchanged.len(),
        changes.len(),
        "{:?}",
        changed.unchanged
    );
}

#[test]
fn an_anchor_peer_that_leaves_can_come_back() {
    let from = configuration(RAFT);
    let leave = Change::RemoveAnchor("Org1MSP".to_owned(), anchor("peer0.org1"));
    let left = change(&from, &[leave]).unwrap().configuration;
    let lines = describe(&from.channel, &left.channel).unwrap();
    assert_eq!(lines, ["anchor peers of Org1MSP: remove peer0.org1:7051"]);
    let back = Change::AddAnchor("Org1MSP".to_owned(), anchor("peer0.org1"));
    assert_eq!(change(&left, &[back]).unwrap().configuration, from);
}

#[test]
fn a_consenter_comes_and_leaves_with_its_addresses() {
    let from = configuration(RAFT);
    let come = Change::AddConsenter(Box::new(orderer(RAFT, 3)));
    let four = change(&from, std::slice::from_ref(&come))
        .unwrap()
        .configuration;
    check(&from.channel, &four.channel).unwrap();
    assert_eq!(
        describe(&from.channel, &four.channel).unwrap(),
        [
            "orderer endpoints of Orgorderer1MSP: add orderer3.orgorderer1:7050",
            "consenters: add orderer3.orgorderer1:7050",
            "orderer addresses: add orderer3.orgorderer1:7050",
        ]
    );
    let leave = Change::RemoveConsenter("orderer3.orgorderer1:7050".to_owned());
    let three = change(&four, &[leave]).unwrap().configuration;
    assert_eq!(three, from);

    let mut stranger = orderer(RAFT, 3);
    stranger.tls = orderer(BFT, 3).tls;
    let error = change(&from, &[Change::AddConsenter(Box::new(stranger))]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a TLS authority of Orgorderer1MSP"),
        "{error}"
    );
    let mut stranger = orderer(RAFT, 3);
    stranger.msp_id = "Org1MSP".to_owned();
    let error = change(&from, &[Change::AddConsenter(Box::new(stranger))]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has no orderers in this channel"),
        "{error}"
    );
}

#[test]
fn a_consenter_that_is_added_again_gets_its_certificate_of_now() {
    for line in [RAFT, BFT] {
        let from = configuration(line);
        let first = orderer(line, 0);
        let address = "orderer0.orgorderer1:7050".to_owned();
        let add = |it: &Consenter| Change::AddConsenter(Box::new(it.clone()));
        let again = change(&from, &[add(&first)]).unwrap();
        assert_eq!(again.configuration, from);
        assert_eq!(
            again.unchanged,
            ["orderer0.orgorderer1:7050 is a consenter"]
        );
        // Both flags at once do not leave the channel without it.
        let both = [add(&first), Change::RemoveConsenter(address)];
        let names = |of: &Configuration| Consenters::of(&of.channel).unwrap().by_address().len();
        let swapped = change(&from, &both).unwrap().configuration;
        assert_eq!(names(&swapped), names(&from));

        let renewed = Consenter {
            tls: orderer(line, 1).tls,
            ..first
        };
        let to = change(&from, &[add(&renewed)]).unwrap().configuration;
        let (from, to) = (from.channel, to.channel);
        check(&from, &to).unwrap();
        let lines = describe(&from, &to).unwrap();
        let of_first = |line: &&String| line.contains("orderer0.orgorderer1:7050");
        assert_eq!(lines.iter().filter(of_first).count(), 2, "{lines:?}");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}

#[test]
fn a_bft_consenter_changes_the_policy_of_blocks() {
    let from = configuration(BFT);
    let mut fifth = orderer(BFT, 3);
    fifth.host = "orderer4.orgorderer1".to_owned();
    fifth.endpoint = "orderer4.orgorderer1:7050".to_owned();
    let five = change(&from, &[Change::AddConsenter(Box::new(fifth))]).unwrap();
    let five = five.configuration.channel;
    check(&from.channel, &five).unwrap();
    let lines = describe(&from.channel, &five).unwrap();
    let is_policy = |it: &String| {
        it.starts_with("policy /Channel/Orderer/BlockValidation: OutOf(3,")
            && it.contains("→ OutOf(4,")
    };
    assert!(lines.iter().any(is_policy), "{lines:?}");
    // The consenters without the policy.
    let mut alone = five.clone();
    let orderer = alone.groups.get_mut("Orderer").unwrap();
    let before = from.channel.groups["Orderer"].policies["BlockValidation"].clone();
    orderer
        .policies
        .insert("BlockValidation".to_owned(), before);
    assert!(check(&five, &alone).is_err());
    let error = check(&five, &alone).unwrap_err().to_string();
    assert!(
        error.contains("must require a quorum of the consenters"),
        "{error}"
    );
}

#[test]
fn consenters_change_one_at_a_time_and_keep_their_quorum() {
    let address = |number: u32| format!("orderer{number}.orgorderer1:7050");
    let active = |_: &str| Presence::Active;
    let remove = |of: &Configuration, number: u32| {
        let leave = Change::RemoveConsenter(address(number));
        change(of, &[leave]).unwrap().configuration
    };
    let three = configuration(RAFT);
    let come = Change::AddConsenter(Box::new(orderer(RAFT, 3)));
    let four = change(&three, &[come]).unwrap().configuration;
    let two = remove(&three, 0);
    let one = remove(&two, 1);
    let (three, four, two, one) = (three.channel, four.channel, two.channel, one.channel);
    let quorum = |from: &_, to: &_, down: &[u32]| {
        let down: Vec<String> = down.iter().map(|it| address(*it)).collect();
        check_quorum(from, to, |it| match down.iter().any(|of| of == it) {
            true => Presence::Down,
            false => Presence::Active,
        })
    };
    assert!(check_quorum(&three, &three, active).is_ok());
    assert!(check_quorum(&three, &one, active).is_err());
    // Of four, three must be active; of three, two.
    assert!(quorum(&three, &four, &[]).is_ok());
    let error = quorum(&three, &four, &[1]).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error
            .to_string()
            .contains("3 of 4 consenters must be active, but only 2"),
        "{error}"
    );
    assert!(
        quorum(&four, &three, &[3]).is_ok(),
        "the one that is down leaves"
    );
    assert!(quorum(&four, &three, &[0]).is_ok());
    assert!(quorum(&four, &three, &[0, 1]).is_err());
    // An orderer that cannot be called counts as active.
    assert!(check_quorum(&three, &four, |_| Presence::Unknown).is_ok());
    // A group of one may grow, and shrink to one again.
    assert!(quorum(&one, &two, &[]).is_ok());
    assert!(quorum(&two, &one, &[]).is_ok());
    assert!(quorum(&two, &one, &[2]).is_err());
    let mut none = one.clone();
    let leave = Change::RemoveConsenter(address(2));
    super::one(&mut none, &leave).unwrap();
    let error = check_quorum(&one, &none, active).unwrap_err().to_string();
    assert!(error.contains("would have no consenter"), "{error}");

    let bft = configuration(BFT);
    let error = check_quorum(&bft.channel, &remove(&bft, 0).channel, active).unwrap_err();
    assert!(
        error.to_string().contains("at least 4 consenters (3f+1)"),
        "{error}"
    );
}

#[test]
fn new_certificates_under_an_address_are_one_change() {
    let from = configuration(RAFT);
    let mut consenters = Consenters::of(&from.channel).unwrap();
    let before = consenters.clone();
    let Consenters::Raft(raft) = &mut consenters else {
        panic!("Raft");
    };
    raft.consenters[0].server_tls_cert = orderer(RAFT, 3).tls;
    let changed = difference(&before, &consenters);
    let renewed = Difference {
        renewed: vec!["orderer0.orgorderer1:7050".to_owned()],
        ..Difference::default()
    };
    assert_eq!(changed, renewed);
}

#[test]
fn consenters_of_an_organization_that_others_added_are_kept() {
    let from = configuration(RAFT);
    let group = configuration(BFT).channel.groups["Orderer"].groups["Orgorderer1MSP"].clone();
    let mut msp = Organization::from_group("it", &group).unwrap().msp;
    msp.id = "Orgorderer2MSP".to_owned();
    let joining = Joining {
        organization: Organization::of_orderers(msp, Vec::new()),
        part: Part::Orderer,
        from: "\"orgorderer2.json\"".to_owned(),
    };
    let consenter = Consenter {
        msp_id: "Orgorderer2MSP".to_owned(),
        host: "orderer0.orgorderer2".to_owned(),
        endpoint: "orderer0.orgorderer2:7050".to_owned(),
        ..orderer(BFT, 0)
    };
    let changes = [join(joining), Change::AddConsenter(Box::new(consenter))];
    let current = change(&from, &changes).unwrap().configuration.channel;
    let mut wanted = from.channel.clone();
    let added = current.groups["Orderer"].groups["Orgorderer2MSP"].clone();
    let orderers = wanted.groups.get_mut("Orderer").unwrap();
    orderers.groups.insert("Orgorderer2MSP".to_owned(), added);
    let consenters = |wanted: &Group| {
        let lines = describe(&current, wanted).unwrap();
        lines
            .iter()
            .filter(|it| it.starts_with("consenters"))
            .count()
    };
    assert_eq!(consenters(&wanted), 1);
    keep_consenters(&current, &mut wanted, "Orgorderer2MSP").unwrap();
    assert_eq!(consenters(&wanted), 0);
    let certificates = Consenters::of(&wanted).unwrap().certificates();
    assert_eq!(
        certificates["orderer0.orgorderer2:7050"].tls,
        orderer(BFT, 0).tls
    );
}
