use super::*;
use crate::identity::public::MspFiles;
use crate::ledger::config_tree::Configuration;
use crate::ledger::message::common::Block;
use serde_json::json;
use std::path::Path;

fn group(path: &[&str]) -> Group {
    let block = include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block");
    let block: Block = decode(block, "the block").unwrap();
    let channel = Configuration::from_block(&block).unwrap().1.channel;
    channel.group(path).unwrap().clone()
}

/// The output of `configtxgen -printOrg` 2.5.16 for an organization in the fixtures.
const PRINTED: [(&str, &[&str], Part); 2] = [
    (
        include_str!("../../../tests/fixtures/v2.5.16/Org1MSP.json"),
        &["Application", "Org1MSP"],
        Part::Application,
    ),
    (
        include_str!("../../../tests/fixtures/v2.5.16/Orgorderer1MSP.json"),
        &["Orderer", "Orgorderer1MSP"],
        Part::Orderer,
    ),
];

#[test]
fn json_is_what_configtxgen_prints_both_ways() {
    for (text, path, part) in PRINTED {
        let printed: Value = serde_json::from_str(text).unwrap();
        let organization = Organization::from_json(&printed).unwrap();
        assert_eq!(
            organization.to_json().unwrap().to_string(),
            printed.to_string()
        );
        // The same organization as in the channel, without the anchor peers, which 2.5 does not
        // print.
        let known = Organization::from_group(path[1], &group(path)).unwrap();
        assert_eq!(known.group(part), group(path));
        let (msp, policies) = (&organization.msp, &organization.policies);
        assert_eq!((msp, policies), (&known.msp, &known.policies));
        assert_eq!(organization.endpoints, known.endpoints);
        // 3.x prints the anchor peers, too.
        assert_eq!(
            Organization::from_json(&known.to_json().unwrap()).unwrap(),
            known
        );
    }
}

/// The public part of an organization in the fixtures.
fn msp_folder(path: &str) -> MspFiles {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2.5.16");
    let folder = fixtures.join("crypto-config").join(path).join("msp");
    let mut files = MspFiles::new();
    for kind in ["", "cacerts", "tlscacerts"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
                files.insert(name.to_owned(), std::fs::read(&file).unwrap());
            }
        }
    }
    files
}

#[test]
fn an_msp_folder_is_printed_byte_for_byte_as_configtxgen_prints_it() {
    let msp = |id: &str, path: &str| Msp::from_files(id, &msp_folder(path)).unwrap();
    let org1 = Organization::of_peers(msp("Org1MSP", "peerOrganizations/org1"));
    assert_eq!(org1.print().unwrap(), PRINTED[0].0);
    let endpoints = (0..3).map(|i| format!("orderer{i}.orgorderer1:7050"));
    let orderers = msp("Orgorderer1MSP", "ordererOrganizations/orgorderer1");
    let orderers = Organization::of_orderers(orderers, endpoints.collect());
    assert_eq!(orderers.print().unwrap(), PRINTED[1].0);
    // Go escapes what would be read as HTML.
    let odd = Organization::of_orderers(Msp::new("<A&B>"), Vec::new());
    let printed = odd.print().unwrap();
    assert!(printed.contains("\"\\u003cA\\u0026B\\u003e\""), "{printed}");
    let read: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(Organization::from_json(&read).unwrap().msp.id, "<A&B>");
}

#[test]
fn default_policies_are_those_of_the_samples() {
    for (text, _, part) in PRINTED {
        let printed = Organization::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        let (msp, endpoints) = (printed.msp.clone(), printed.endpoints.clone());
        let made = match part {
            Part::Orderer => Organization::of_orderers(msp, endpoints),
            _ => Organization::of_peers(msp),
        };
        assert_eq!(made.policies, printed.policies);
    }
}

#[test]
fn without_units_every_member_may_what_peers_and_clients_may() {
    let organization = Organization::of_peers(Msp::new("A_B"));
    let words = |name: &str| organization.policies[name].to_string();
    assert_eq!(words("Readers"), "OR('A_B.member')");
    assert_eq!(words("Endorsement"), "OR('A_B.member')");
    assert_eq!(words("Admins"), "OR('A_B.admin')");
}

#[test]
fn a_file_that_is_no_organization_is_an_error() {
    for (json, why) in [
        (json!({"values": {}}), "it has no MSP"),
        (
            json!({"groups": {}, "name": "Org1"}),
            "ConfigGroup has no field \"name\"",
        ),
        (
            json!({"values": {"MSP": {"value": {"type": 1, "config": "AA=="}}}}),
            "idemix",
        ),
        (json!([]), "expected an object"),
    ] {
        let error = Organization::from_json(&json).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
