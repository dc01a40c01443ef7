mod exposure;
mod orderers;
mod peers;

use super::*;

fn subject<'a>(model: Model, release: &'a str, values: &'a Value) -> Subject<'a> {
    Subject {
        model: Some(model),
        release,
        namespace: release,
        values,
    }
}

fn facts_of(model: Model, release: &str, values: Value) -> Value {
    facts(subject(model, release, &values)).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the keys of values that are refused.
fn refused(model: Model, values: Value) -> Vec<String> {
    match facts(subject(model, "test1", &values)) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .places()
            .iter()
            .map(|place| place.subject.clone())
            .collect(),
    }
}

#[test]
fn no_variable_is_empty_but_the_one_that_must_be() {
    for version in ["1.4.12", "2.2.15", "2.5.16", "3.1.5"] {
        let peers = facts_of(
            Model::PeerOrganization,
            "org1",
            json!({"fabricVersion": version}),
        );
        let mut nodes = peers["peers"].as_array().unwrap().clone();
        let genesis = if version.starts_with('3') {
            ""
        } else {
            "genesis"
        };
        let values =
            json!({"fabricVersion": version, "orderers": {"genesis": {"secret": genesis}}});
        nodes.extend(
            facts_of(Model::OrdererOrganization, "orgorderer1", values)["orderers"]
                .as_array()
                .unwrap()
                .clone(),
        );
        for (name, value) in nodes
            .iter()
            .flat_map(|node| node["env"].as_object().unwrap())
        {
            assert_eq!(
                value == "",
                version.starts_with('3') && name == "CORE_VM_ENDPOINT",
                "{version} {name}"
            );
        }
    }
}

#[test]
fn a_cli_on_a_line_without_tools_needs_an_image() {
    let of = |version: &str, image: &str| {
        refused(
            Model::PeerOrganization,
            json!({"fabricVersion": version, "cli": {"enabled": true, "image": image}}),
        )
    };
    assert_eq!(of("3.1.5", ""), ["cli.image"]);
    assert!(of("3.1.5", "registry.example.com/tools:3").is_empty() && of("2.5.16", "").is_empty());
}

#[test]
fn several_broken_rules_are_reported_at_once() {
    let values = json!({"fabricVersion": "3.1.5", "orderers": {"consensus": "kafka", "genesis": {"secret": "g"}}});
    let error = facts(subject(Model::OrdererOrganization, "orgorderer1", &values))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "values for \"orgorderer1\" break Fabric's rules\n  --> orderers.consensus   Fabric 3.1.5 \
         does not support kafka; it supports etcdraft and BFT\n  --> orderers.genesis.secret   an orderer of Fabric 3.1.5 exits if it has a genesis block\nnow: nothing was \
         sent to the cluster"
    );
}

#[test]
fn charts_of_no_model_get_what_the_version_says() {
    let none = Subject {
        model: None,
        release: "mine",
        namespace: "mine",
        values: &json!({}),
    };
    assert_eq!(facts(none).unwrap(), json!({}));
    let values = json!({"fabricVersion": "2.5.16"});
    let some = facts(Subject {
        values: &values,
        ..none
    })
    .unwrap();
    assert_eq!(
        some["images"]["peer"],
        "ghcr.io/hyperledger/fabric-peer:2.5.16"
    );
    assert_eq!(organization(none).unwrap(), None);
}

#[test]
fn references_stay_inside_the_network() {
    let values = json!({"networkPolicy": {"peerOrgs": ["org2"], "ordererOrgs": ["orgorderer1"]}});
    let subject = Subject {
        model: Some(Model::PeerOrganization),
        release: "org1",
        namespace: "org1-dev",
        values: &values,
    };
    let facts = facts(subject).unwrap();
    assert_eq!(
        facts["allowed"],
        json!({"peer_orgs": ["org2-dev"], "orderer_orgs": ["orgorderer1-dev"], "kafka": "kafka-dev"})
    );
    assert_eq!(
        (&facts["msp_id"], &facts["domain"]),
        (&json!("Org1MSP"), &json!("org1-dev"))
    );
    assert_eq!(facts["peers"][0]["env"]["CORE_PEER_NETWORKID"], "dev");
}
