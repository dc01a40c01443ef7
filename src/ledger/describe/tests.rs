use super::*;
use crate::ledger::config_tree::Configuration;
use crate::ledger::message::common::Block;
use crate::ledger::message::configuration::{
    AnchorPeer, AnchorPeers, Capabilities, CapabilityEntry,
};
use crate::ledger::message::decode;

fn channel() -> Group {
    let block = include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block");
    let block: Block = decode(block, "the block").unwrap();
    Configuration::from_block(&block).unwrap().1.channel
}

// Real changes are in tests/fixtures/config-updates, with their words (`update::tests`).

#[test]
fn the_same_configuration_has_no_changes() {
    assert_eq!(describe(&channel(), &channel()).unwrap(), [""; 0]);
}

#[test]
fn an_organization_under_the_msp_id_of_another_shows_it() {
    let (from, mut to) = (channel(), channel());
    let application = to.groups.get_mut("Application").unwrap();
    let copy = application.groups["Org1MSP"].clone();
    application.groups.insert("Org3MSP".to_owned(), copy);
    let words = describe(&from, &to).unwrap();
    assert_eq!(words.len(), 2, "{words:?}");
    let expected = "add organization Org3MSP to the application, with the MSP id \"Org1MSP\"; authorities: certificate \"ca.org1\"";
    assert!(words[0].starts_with(expected), "{words:?}");
    assert_eq!(words[1], "anchor peers of Org3MSP: add peer0.org1:7051");
}

#[test]
fn the_vote_of_a_new_organization_that_others_have_is_shown() {
    let (from, mut to) = (channel(), channel());
    let application = to.groups.get_mut("Application").unwrap();
    let mut copy = application.groups["Org1MSP"].clone();
    let policy = Policy::parse("OR('Org1MSP.admin', 'Org2MSP.admin')").unwrap();
    copy.policies.get_mut("Admins").unwrap().policy = Some(policy.to_message());
    application.groups.insert("Org3MSP".to_owned(), copy);
    let words = describe(&from, &to).unwrap();
    let expected =
        "add policy /Channel/Application/Org3MSP/Admins: OR('Org1MSP.admin', 'Org2MSP.admin')";
    assert!(words.iter().any(|it| it == expected), "{words:?}");
}

#[test]
fn a_difference_in_the_bytes_alone_is_shown_too() {
    let from = channel();
    // The same capabilities in another encoding: an entry without a value.
    let mut to = channel();
    let entry = CapabilityEntry {
        key: Some("V2_0".to_owned()),
        value: None,
    };
    to.set_value(
        "Capabilities",
        &Capabilities {
            capabilities: vec![entry],
        },
    );
    let words = describe(&from, &to).unwrap();
    assert_eq!(
        words,
        ["capabilities of the channel: encoded in another way, perhaps with unknown fields"]
    );
    // A peer twice, and in another order.
    let peer = |host: &str| AnchorPeer {
        host: host.to_owned(),
        port: 7051,
    };
    let with = |peers: &[&str]| {
        let mut to = channel();
        let organization = to.group_mut(&["Application", "Org1MSP"]).unwrap();
        let anchor_peers = peers.iter().map(|host| peer(host)).collect();
        organization.set_value("AnchorPeers", &AnchorPeers { anchor_peers });
        to
    };
    let words = describe(&from, &with(&["peer0.org1", "peer0.org1"])).unwrap();
    assert_eq!(words, ["anchor peers of Org1MSP: add peer0.org1:7051"]);
    let words = describe(&with(&["a", "b"]), &with(&["b", "a"])).unwrap();
    assert_eq!(words, ["anchor peers of Org1MSP: in another order"]);
    // A value that no program knows.
    let mut to = channel();
    to.set_value("Future", &peer("x"));
    let words = describe(&from, &to).unwrap();
    assert_eq!(words, ["value /Channel/Future: none → CgF4EIs3"]);
}
