use super::*;
use crate::ledger::config_tree::Configuration;
use crate::ledger::message::common::{Block, Envelope};
use crate::ledger::message::decode;
use prost::Message as _;
use serde_json::json;

/// A file from Fabric's tools, and its form in configtxlator.
const FILES: [(&super::Message, &[u8], &str); 6] = [
    (
        &BLOCK,
        include_bytes!("../../../tests/fixtures/v1.4.12/genesis.block"),
        include_str!("../../../tests/fixtures/v1.4.12/genesis.block.json"),
    ),
    (
        &ENVELOPE,
        include_bytes!("../../../tests/fixtures/v1.4.12/mychannel.tx"),
        include_str!("../../../tests/fixtures/v1.4.12/mychannel.tx.json"),
    ),
    (
        &BLOCK,
        include_bytes!("../../../tests/fixtures/v2.2.15/genesis.block"),
        include_str!("../../../tests/fixtures/v2.2.15/genesis.block.json"),
    ),
    (
        &ENVELOPE,
        include_bytes!("../../../tests/fixtures/v2.2.15/mychannel.tx"),
        include_str!("../../../tests/fixtures/v2.2.15/mychannel.tx.json"),
    ),
    (
        &BLOCK,
        include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block"),
        include_str!("../../../tests/fixtures/v2.5.16/mychannel.block.json"),
    ),
    (
        &BLOCK,
        include_bytes!("../../../tests/fixtures/v3.1.5/mychannel.block"),
        include_str!("../../../tests/fixtures/v3.1.5/mychannel.block.json"),
    ),
];

/// Builds of configtxlator print empty bytes as null or as an empty text.
fn without_empty(json: &mut Value) {
    match json {
        Value::String(text) if text.is_empty() => *json = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(without_empty),
        Value::Object(fields) => fields.values_mut().for_each(without_empty),
        _ => {}
    }
}

#[test]
fn json_is_configtxlators() {
    for (message, bytes, expected) in FILES {
        let mut shown = to_json(message, bytes).unwrap();
        let mut expected: Value = serde_json::from_str(expected).unwrap();
        let prints_null = FILES[..4].iter().any(|it| it.1 == bytes);
        if prints_null {
            without_empty(&mut shown);
            without_empty(&mut expected);
        }
        // As text, because the order of the fields counts too.
        let (shown, expected) = (shown.to_string(), expected.to_string());
        let at = shown
            .bytes()
            .zip(expected.bytes())
            .position(|(a, b)| a != b);
        let at = at.unwrap_or_default();
        let (shown_at, expected_at) = (&shown[at..], &expected[at..]);
        assert!(
            shown == expected,
            "{shown_at:.60} instead of {expected_at:.60}"
        );
    }
}

#[test]
fn json_encodes_to_the_same_message() {
    for (message, bytes, text) in FILES {
        let written = from_json(message, &serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(
            to_json(message, &written).unwrap(),
            to_json(message, bytes).unwrap()
        );
        // A second time nothing is left to sort.
        let again = from_json(message, &to_json(message, &written).unwrap()).unwrap();
        assert_eq!(again, written);
    }
}

#[test]
fn the_tree_of_a_block_is_the_tree_of_its_json() {
    for (message, bytes, text) in FILES.iter().filter(|(message, ..)| message.name == "Block") {
        let block: Block = decode(bytes, "the block").unwrap();
        let (channel, tree) = Configuration::from_block(&block).unwrap();
        let json: Value = serde_json::from_str(text).unwrap();
        let payload = &json["data"]["data"][0]["payload"];
        assert_eq!(payload["header"]["channel_header"]["channel_id"], channel);
        let config = &payload["data"]["config"];
        assert_eq!(Configuration::from_json(config).unwrap(), tree);
        let written = from_json(message, &json).unwrap();
        let block: Block = decode(&written, "the block").unwrap();
        assert_eq!(Configuration::from_block(&block).unwrap(), (channel, tree));
    }
}

#[test]
fn keys_that_fabric_does_not_know_are_kept() {
    let config = json!({"sequence": "3", "channel_group": {
        "version": "1", "mod_policy": "Admins", "policies": {},
        "groups": {"Future": {"version": "0", "mod_policy": "", "groups": {}, "values": {},
            "policies": {}}},
        "values": {"Future": {"version": "0", "mod_policy": "", "value": "AAEC/w=="}},
    }});
    let bytes = from_json(&CONFIG, &config).unwrap();
    let mut shown = to_json(&CONFIG, &bytes).unwrap();
    shown.sort_all_objects();
    let mut config = config;
    config.sort_all_objects();
    assert_eq!(shown, config);
}

#[test]
fn wrong_json_is_an_error_with_its_place() {
    for (json, expected) in [
        (json!([]), "expected an object, found a list"),
        (
            json!({"sequenz": 1}),
            "Config has no field \"sequenz\"; did you mean \"sequence\"?",
        ),
        (
            json!({"sequence": -1}),
            "sequence   expected a number from 0, found -1",
        ),
        (
            json!({"channel_group": {"groups": {"Orderer": {"values": {"BatchSize":
                {"value": {"max_message_count": 4_294_967_296_u64}}}}}}}),
            "channel_group.groups.Orderer.values.BatchSize.value.max_message_count   expected a \
             32-bit number from 0, found 4294967296",
        ),
        (
            json!({"channel_group": {"policies": {"Admins": {"policy": {"type": 3,
                "value": {"rule": "MOST"}}}}}}),
            "value.rule   expected one of ANY, ALL, MAJORITY, found \"MOST\"",
        ),
    ] {
        let error = from_json(&CONFIG, &json).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn hostile_bytes_are_an_error() {
    // A group in a group in a group.
    let mut group = Vec::new();
    for _ in 0..200 {
        let mut entry = vec![0x0a, 0, 0x12];
        prost::encoding::encode_varint(group.len() as u64, &mut entry);
        entry.extend(&group);
        group = vec![0x12];
        prost::encoding::encode_varint(entry.len() as u64, &mut group);
        group.extend(entry);
    }
    let error = group_to_json(&schema::CHANNEL_GROUP, &group).unwrap_err();
    assert!(
        error.to_string().contains("more than 100 levels deep"),
        "{error}"
    );
    // An envelope whose length field is larger than its content.
    let error = to_json(&ENVELOPE, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
    assert!(error.to_string().contains("ends too early"), "{error}");
    assert!(to_json(&ENVELOPE, &[0x0a]).is_err());
    assert!(to_json(&CONFIG, &[0x0a, 0x01, 0x00]).is_err());
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts_and_messages_are_merged() {
    let part = |signature: &[u8], payload: &[u8]| {
        let (payload, signature) = (payload.to_vec(), signature.to_vec());
        Envelope { payload, signature }.encode_to_vec()
    };
    let twice = [part(b"one", b""), part(b"two", b"")].concat();
    let merged = Envelope::decode(&twice[..]).unwrap().encode_to_vec();
    assert_eq!(
        to_json(&ENVELOPE, &twice).unwrap(),
        to_json(&ENVELOPE, &merged).unwrap()
    );
    // The channel group of a configuration in two parts: version and policy.
    let parts = [&[0x12, 2, 0x08, 7][..], &[0x12, 3, 0x2a, 1, b'A']].concat();
    let shown = to_json(&CONFIG, &parts).unwrap();
    assert_eq!(shown["channel_group"]["version"], "7");
    assert_eq!(shown["channel_group"]["mod_policy"], "A");
}
