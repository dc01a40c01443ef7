//! Proposals for the fixtures' channel, signed by its administrators and changed by hostile
//! writers.

use super::*;
use crate::channel::change::{Change, change};
use crate::ledger::config_tree::Group;
use crate::ledger::envelope::{config_update, signed};
use crate::ledger::message::common::{Block, BlockData, BlockHeader, Envelope, HeaderType};
use crate::ledger::message::configuration::ConfigEnvelope;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const NAME: &str = "change.json";

fn read(path: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(fixtures.join(path)).unwrap()
}

fn base() -> Checked {
    Checked::from_bytes(&read("v2.5.16/mychannel.block"), "it").unwrap()
}

/// The administrator of an organization of the fixtures.
fn admin(line: &str, organization: &str) -> Identity {
    let (kind, msp_id) = match organization {
        "orgorderer1" => ("ordererOrganizations", "Orgorderer1MSP"),
        "org1" => ("peerOrganizations", "Org1MSP"),
        _ => ("peerOrganizations", "Org2MSP"),
    };
    let user = format!("Admin@{organization}");
    let msp = format!("{line}/crypto-config/{kind}/{organization}/users/{user}/msp");
    let certificate = read(&format!("{msp}/signcerts/{user}-cert.pem"));
    let key = read(&format!("{msp}/keystore/priv_sk"));
    Identity::from_pem(msp_id, &certificate, &key, &user).unwrap()
}

const LINE: &str = "v2.5.16";

fn stamp() -> Stamp {
    Stamp::new(Timestamp::UNIX_EPOCH).unwrap()
}

fn proposal(changes: &[Change]) -> ProposalFile {
    let (_, from) = Configuration::from_block(&base().into_block()).unwrap();
    let to = change(&from, changes).unwrap().configuration;
    let update = update::compute("mychannel", &from.channel, &to.channel).unwrap();
    ProposalFile::new("mychannel", base(), update).unwrap()
}

/// A change that the administrators of both peer organizations must sign.
fn application() -> ProposalFile {
    let rule = "ALL Endorsement".to_owned();
    let path = "Application/Endorsement".to_owned();
    proposal(&[Change::Policy(path, rule)])
}

/// A change that the orderers' administrator must sign.
fn timeout() -> ProposalFile {
    proposal(&[Change::BatchTimeout(Duration::from_millis(500))])
}

fn again(file: &ProposalFile) -> ProposalFile {
    ProposalFile::read(&file.to_text(), NAME).unwrap()
}

/// A file with its JSON changed.
fn edited(file: &ProposalFile, edit: impl FnOnce(&mut Value)) -> Result<ProposalFile> {
    let mut json: Value = serde_json::from_str(&file.to_text()).unwrap();
    edit(&mut json);
    ProposalFile::read(&json.to_string(), NAME)
}

/// The base with another configuration in it.
fn base_with(channel: &Group) -> Checked {
    let (_, mut configuration) = Configuration::from_block(&base().into_block()).unwrap();
    configuration.channel = channel.clone();
    block(0, &configuration, None)
}

fn block(number: u64, configuration: &Configuration, last_update: Option<Envelope>) -> Checked {
    let config = ConfigEnvelope {
        config: Some(configuration.to_message()),
        last_update,
    };
    let data = config.encode_to_vec();
    let envelope = signed(
        HeaderType::Config,
        "mychannel",
        data,
        &admin(LINE, "org1"),
        &stamp(),
    );
    let data = BlockData {
        data: vec![envelope.unwrap().encode_to_vec()],
    };
    let header = BlockHeader {
        number,
        previous_hash: Vec::new(),
        data_hash: crate::ledger::block::data_hash(&data).to_vec(),
    };
    let block = Block {
        header: Some(header),
        data: Some(data),
        metadata: None,
    };
    Checked::new(block, "it").unwrap()
}

#[test]
fn a_proposal_goes_from_one_administrator_to_the_next() {
    let mut file = application();
    let current = file.configuration.clone();
    let texts = |file: &ProposalFile| {
        let explained = file.explain(&current).unwrap();
        let policies = explained.policies.iter().map(Verdict::to_string);
        (policies.collect::<Vec<_>>(), explained.is_satisfied())
    };
    let explained = file.explain(&current).unwrap();
    let expected =
        "policy /Channel/Application/Endorsement: MAJORITY of Endorsement → ALL of Endorsement";
    assert_eq!(explained.changes, [expected]);
    assert!(explained.signers.is_empty());
    let path = "/Channel/Application/Admins (MAJORITY of Admins)";
    assert_eq!(
        texts(&file),
        (vec![format!("{path}: needs 2 of Org1MSP, Org2MSP")], false)
    );

    assert!(file.sign(&admin(LINE, "org1"), &stamp()).unwrap());
    let mut file = again(&file);
    assert_eq!(
        texts(&file),
        (
            vec![format!(
                "{path}: Org1MSP has signed; needs 1 more of Org2MSP"
            )],
            false
        )
    );
    assert!(file.sign(&admin(LINE, "org2"), &stamp()).unwrap());
    let file = again(&file);
    assert_eq!(
        texts(&file),
        (vec![format!("{path}: Org1MSP, Org2MSP have signed")], true)
    );
    let signers: Vec<String> = file
        .signers()
        .unwrap()
        .iter()
        .map(Creator::to_string)
        .collect();
    assert_eq!(signers, ["Admin@org1 of Org1MSP", "Admin@org2 of Org2MSP"]);
}

#[test]
fn an_identity_signs_once_and_copies_are_united() {
    let mut one = application();
    assert!(one.sign(&admin(LINE, "org1"), &stamp()).unwrap());
    assert!(!one.sign(&admin(LINE, "org1"), &stamp()).unwrap());
    assert_eq!(one.signatures.len(), 1);
    let mut other = application();
    assert!(other.sign(&admin(LINE, "org1"), &stamp()).unwrap());
    assert!(other.sign(&admin(LINE, "org2"), &stamp()).unwrap());
    one.unite(&other, "other.json").unwrap();
    assert_eq!(one.signatures.len(), 2);
    let error = one.unite(&timeout(), "other.json").unwrap_err().to_string();
    assert!(
        error.contains("\"other.json\" does not contain the same proposal"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_changed_after_signing_is_refused() {
    let mut file = application();
    file.sign(&admin(LINE, "org1"), &stamp()).unwrap();
    let other = timeout();
    // Another update under the same signatures.
    let swapped = edited(&file, |json| {
        json["update"] = STANDARD.encode(&other.encoded).into()
    });
    let error = swapped.unwrap_err().to_string();
    assert!(
        error.contains("\"change.json\" was changed after it was signed"),
        "{error}"
    );
    assert!(
        error.contains("the signature of Admin@org1 of Org1MSP is wrong"),
        "{error}"
    );
    assert!(error.contains("nothing was signed or sent"), "{error}");
    // A signature with the name of another signer.
    let mut foreign = application();
    foreign.sign(&admin(LINE, "org2"), &stamp()).unwrap();
    let header = STANDARD.encode(&foreign.signatures[0].signature_header);
    let swapped = edited(&file, |json| {
        json["signatures"][0]["header"] = header.into()
    });
    assert!(
        swapped
            .unwrap_err()
            .to_string()
            .contains("Admin@org2 of Org2MSP is wrong")
    );
}

#[test]
fn what_is_no_proposal_or_a_damaged_one_is_refused() {
    let file = application();
    let of_other =
        |edit: &dyn Fn(&mut Value)| edited(&file, |json| edit(json)).unwrap_err().to_string();
    for (error, why) in [
        (
            of_other(&|it| it["kind"] = "Network".into()),
            "its kind is \"Network\"",
        ),
        (
            of_other(&|it| drop(it.as_object_mut().unwrap().remove("kind"))),
            "its kind is missing",
        ),
        (
            of_other(&|it| it["apiVersion"] = "kubectl-fabric.io/v7".into()),
            "its apiVersion is \"kubectl-fabric.io/v7\"",
        ),
        (
            of_other(&|it| it["channel"] = "yours".into()),
            "it is for channel \"mychannel\"",
        ),
        (
            of_other(&|it| it["update"] = "%".into()),
            "update: not base64",
        ),
        (
            of_other(&|it| it["update"] = "AAAA".into()),
            "cannot be used",
        ),
        (of_other(&|it| it["base"] = "AAAA".into()), "cannot be used"),
        (
            of_other(&|it| it["base"] = Value::Null),
            "is damaged or was changed",
        ),
        // No text of the file is shown, so it must not appear.
        (
            of_other(&|it| it["words"] = json!(["batch timeout: 2s → 1s"])),
            "unknown field `words`",
        ),
        (of_other(&|it| *it = json!([])), "is not a proposal file"),
    ] {
        assert!(error.contains(why), "{why}\n{error}");
    }
    let error = ProposalFile::read("not JSON", NAME)
        .unwrap_err()
        .to_string();
    assert!(error.contains("it is not JSON"), "{error}");
    let cut = &file.to_text()[..200];
    assert!(ProposalFile::read(cut, NAME).is_err());
    // A block whose data does not match its header.
    let mut bytes = read("v2.5.16/mychannel.block");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let error = edited(&file, |json| json["base"] = STANDARD.encode(&bytes).into());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("damaged or changed")
    );
}

#[test]
fn a_false_configuration_in_the_file_hides_nothing() {
    // The update gives away the administrators' vote, which the configuration already contains.
    let rule = "ANY of Readers".to_owned();
    let hidden = Change::Policy("Application/Admins".to_owned(), rule);
    let seen = Change::BatchTimeout(Duration::from_millis(500));
    let file = proposal(&[hidden.clone(), seen]);
    let (_, from) = Configuration::from_block(&base().into_block()).unwrap();
    let lie = change(&from, &[hidden]).unwrap().configuration;
    let false_base = base_with(&lie.channel);
    let bytes = false_base.into_block().encode_to_vec();
    let file = edited(&file, |json| json["base"] = STANDARD.encode(&bytes).into()).unwrap();
    let error = file.explain(&file.configuration).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Refused);
    let text = error.to_string();
    assert!(
        text.contains(
            "/Channel/Application/Admins   the update writes something that already exists"
        ),
        "{text}"
    );

    // The update removes Org2MSP; the configuration in the file does not have it.
    let lie = change(&from, &[Change::RemoveOrganization("Org2MSP".to_owned())]).unwrap();
    let mut to = lie.configuration.channel.clone();
    let mut organization = to.groups["Application"].groups["Org1MSP"].clone();
    organization.values.remove("AnchorPeers");
    let application = to.groups.get_mut("Application").unwrap();
    application
        .groups
        .insert("Org3MSP".to_owned(), organization);
    let update = update::compute("mychannel", &lie.configuration.channel, &to).unwrap();
    let false_base = base_with(&lie.configuration.channel);
    let file = again(&ProposalFile::new("mychannel", false_base, update).unwrap());
    let explained = file.explain(&file.configuration).unwrap();
    assert!(!explained.changes.iter().any(|it| it.contains("Org2MSP")));
    let line = "/Channel/Application will have the groups Org1MSP, Org3MSP; ";
    assert!(
        explained.contents[0].starts_with(line),
        "{:?}",
        explained.contents
    );
    // Compared with the channel's own configuration, the explanation shows it.
    let explained = file.explain(&from).unwrap();
    assert!(
        explained
            .changes
            .iter()
            .any(|it| it == "remove organization Org2MSP from the application"),
        "{:?}",
        explained.changes
    );
}

#[test]
fn data_beside_the_configuration_is_shown() {
    let mut file = timeout();
    file.update.isolated_data = vec![Default::default()];
    file.encoded = file.update.encode_to_vec();
    let explained = again(&file).explain(&file.configuration).unwrap();
    let expected = "1 entries of data outside the configuration";
    assert!(
        explained.changes.iter().any(|it| it == expected),
        "{:?}",
        explained.changes
    );
}

#[test]
fn a_stale_proposal_names_what_has_moved_on() {
    let file = timeout();
    let other = Change::BatchTimeout(Duration::from_secs(9));
    let mut moved = change(&file.configuration, &[other]).unwrap().configuration;
    let update = update::compute("mychannel", &file.configuration.channel, &moved.channel);
    moved = update::apply(&file.configuration, &update.unwrap()).unwrap();
    let error = file.explain(&moved).unwrap_err().to_string();
    assert!(error.contains("/Channel/Orderer/BatchTimeout"), "{error}");
    assert!(
        error.contains("the configuration has changed since"),
        "{error}"
    );
    // Another part of the channel has changed: the update still matches.
    let update = application().update;
    let moved = update::apply(&file.configuration, &update).unwrap();
    assert_eq!(
        file.explain(&moved).unwrap().changes,
        ["batch timeout: 2s → 500ms"]
    );
}

#[test]
fn a_block_tells_which_update_it_carries() {
    let file = timeout();
    let next = update::apply(&file.configuration, &file.update).unwrap();
    let (signatures, admin) = (Vec::new(), admin(LINE, "orgorderer1"));
    let last = config_update(
        "mychannel",
        file.encoded.clone(),
        signatures,
        &admin,
        &stamp(),
    );
    let block = block(5, &next, Some(last.unwrap()));
    assert!(crate::channel::live::carries(&block, &file.encoded).unwrap());
    assert!(!crate::channel::live::carries(&block, &application().encoded).unwrap());
    assert!(!crate::channel::live::carries(&base(), &file.encoded).unwrap());
}

#[test]
fn the_signature_of_a_stranger_counts_for_nothing() {
    let mut file = timeout();
    // A certificate of another authority, under the MSP id of the orderers.
    file.sign(&admin("v3.1.5", "orgorderer1"), &stamp())
        .unwrap();
    let file = again(&file);
    assert_eq!(file.signers().unwrap().len(), 1);
    assert!(!file.explain(&file.configuration).unwrap().is_satisfied());
}

/// Every part of a signed update is covered, and no part of a file makes the program panic.
#[test]
fn no_byte_of_a_signed_update_can_be_changed() {
    let mut file = application();
    file.sign(&admin(LINE, "org1"), &stamp()).unwrap();
    let parts = |file: &ProposalFile| {
        let signature = &file.signatures[0];
        [
            ("/update", file.encoded.clone()),
            ("/signatures/0/header", signature.signature_header.clone()),
            ("/signatures/0/signature", signature.signature.clone()),
        ]
    };
    for (path, bytes) in parts(&file) {
        for at in (0..bytes.len()).step_by(5) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            let text = STANDARD.encode(&changed);
            let read = edited(&file, |json| *json.pointer_mut(path).unwrap() = text.into());
            assert!(read.is_err(), "{path}, byte {at}");
        }
    }
    let base = file.base.clone().into_block().encode_to_vec();
    for at in (0..base.len()).step_by(97) {
        let mut changed = base.clone();
        changed[at] ^= 0x11;
        let text = STANDARD.encode(&changed);
        if let Ok(read) = edited(&file, |json| json["base"] = text.into()) {
            let _ = read.explain(&read.configuration);
        }
    }
}

/// The file for tests of the commands.
#[test]
fn an_unsigned_proposal_is_written_as_in_the_fixtures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/proposal.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, application().to_text()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        application().to_text()
    );
}
