use super::*;
use crate::ledger::config_json::{CONFIG_UPDATE, to_json};
use crate::ledger::describe::describe;
use crate::ledger::message::common::Block;
use crate::ledger::message::decode;
use prost::Message;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A change of a real configuration, with configtxlator's update and this program's description.
/// `base` is a block, `before` are changes that are made to it first, `edits` is the change.
struct Case {
    path: PathBuf,
    json: Map<String, Value>,
    from: Configuration,
    to: Configuration,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn cases() -> Vec<Case> {
    let folder = std::fs::read_dir(fixtures().join("config-updates")).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(case).collect()
}

fn case(path: PathBuf) -> Case {
    let text = std::fs::read(&path).unwrap();
    let json: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    let base = std::fs::read(fixtures().join(json["base"].as_str().unwrap())).unwrap();
    let block: Block = decode(&base, "the block").unwrap();
    let (_, base) = Configuration::from_block(&block).unwrap();
    let mut config = base.to_json().unwrap();
    edit(&mut config, json.get("before").unwrap_or(&json!([])));
    let from = Configuration::from_json(&config).unwrap();
    edit(&mut config, &json["edits"]);
    let to = Configuration::from_json(&config).unwrap();
    Case {
        path,
        json,
        from,
        to,
    }
}

/// `{path, value}` sets, `{path, copy}` copies from another place, `{path, remove}` removes. A list
/// grows at `-`.
fn edit(config: &mut Value, edits: &Value) {
    for edit in edits.as_array().unwrap() {
        let path = edit["path"].as_str().unwrap();
        let (above, key) = path.rsplit_once('/').unwrap();
        let value = match edit.get("copy") {
            Some(from) => config.pointer(from.as_str().unwrap()).unwrap().clone(),
            None => edit.get("value").cloned().unwrap_or_default(),
        };
        let key = key.replace("~1", "/");
        match (config.pointer_mut(above).unwrap(), edit.get("remove")) {
            (Value::Array(items), Some(_)) => drop(items.remove(key.parse().unwrap())),
            (Value::Array(items), None) if key == "-" => items.push(value),
            (Value::Array(items), None) => items[key.parse::<usize>().unwrap()] = value,
            (above, Some(_)) => drop(above.as_object_mut().unwrap().remove(&key).unwrap()),
            (above, None) => above[key] = value,
        }
    }
}

fn update_of(case: &Case) -> ConfigUpdate {
    compute("mychannel", &case.from.channel, &case.to.channel).unwrap()
}

#[test]
fn updates_are_configtxlators() {
    let cases = cases();
    assert!(cases.len() >= 20);
    for case in &cases {
        let shown = to_json(&CONFIG_UPDATE, &update_of(case).encode_to_vec()).unwrap();
        assert_eq!(shown, case.json["update"], "{}", case.path.display());
    }
}

#[test]
fn words_describe_each_update() {
    for mut case in cases() {
        let words = describe(&case.from.channel, &case.to.channel).unwrap();
        assert!(!words.is_empty(), "{}", case.path.display());
        if std::env::var_os("BLESS").is_some() {
            case.json.insert("words".to_owned(), words.into());
            let mut text = Vec::new();
            let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
            let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
            serde::Serialize::serialize(&case.json, &mut writer).unwrap();
            std::fs::write(&case.path, [&text[..], b"\n"].concat()).unwrap();
        } else {
            assert_eq!(
                Value::from(words),
                case.json["words"],
                "{}",
                case.path.display()
            );
        }
    }
}

#[test]
fn an_update_applied_gives_the_configuration_it_was_computed_for() {
    for case in cases() {
        let update = update_of(&case);
        let applied = apply(&case.from, &update).unwrap();
        let left = describe(&applied.channel, &case.to.channel).unwrap();
        assert_eq!(left, [""; 0], "{}", case.path.display());
        assert!(compute("mychannel", &applied.channel, &case.to.channel).is_err());
        assert_eq!(applied.sequence, case.from.sequence + 1);
        // Once more: the versions have moved on.
        let error = apply(&applied, &update).unwrap_err();
        assert!(!error.places().is_empty(), "{error}");
    }
}

#[test]
fn an_update_that_came_too_late_names_what_changed() {
    let case = |name: &str| case(fixtures().join(format!("config-updates/{name}.json")));
    let (first, second) = (case("batch-size"), case("several"));
    let changed = apply(&first.from, &update_of(&first)).unwrap();
    let error = apply(&changed, &update_of(&second))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the update does not match the configuration of channel mychannel\n  --> \
         /Channel/Orderer/BatchSize   the update sets version 1, but the next one is 2\nwhy: the \
         configuration has changed since, or already contains this update\nhint: create the update \
         again from the current configuration"
    );
}

#[test]
fn an_update_that_smuggles_a_member_into_a_group_does_not_fit() {
    let case = case(fixtures().join("config-updates/add-organization.json"));
    let mut update = update_of(&case);
    let mut write: Group = update.write_set.take().unwrap().into();
    let application = write.groups.get_mut("Application").unwrap();
    application.version = 0;
    update.write_set = Some(write.into());
    let error = apply(&case.from, &update).unwrap_err().to_string();
    assert!(
        error.contains("/Channel/Application/Org3MSP   the update adds it without"),
        "{error}"
    );
}

#[test]
fn nothing_to_change_is_an_error() {
    let case = cases().remove(0);
    let error = compute("mychannel", &case.from.channel, &case.from.channel).unwrap_err();
    assert!(error.to_string().contains("stays the same"), "{error}");
}

#[test]
fn the_policies_of_the_changed_elements_must_be_satisfied() {
    for (name, expected) in [
        ("batch-size", &["/Channel/Orderer/Admins"][..]),
        ("add-organization", &["/Channel/Application/Admins"]),
        ("add-anchor-peer", &["/Channel/Application/Org1MSP/Admins"]),
        ("channel-levels", &["/Channel/Admins"]),
        ("no-common-addresses", &["/Channel/Admins"]),
        ("add-consortium", &["/Channel/Orderer/Admins"]),
        (
            "several",
            &[
                "/Channel/Admins",
                "/Channel/Application/Admins",
                "/Channel/Application/Org1MSP/Admins",
                "/Channel/Orderer/Admins",
            ],
        ),
    ] {
        let case = case(fixtures().join(format!("config-updates/{name}.json")));
        let needed = needed(&case.from.channel, &update_of(&case), &[]).unwrap();
        let paths: Vec<&str> = needed.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, expected, "{name}");
        assert!(needed.iter().all(|it| !it.is_satisfied));
    }
}
