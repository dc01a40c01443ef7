//! Describes a release from its chart and values, checked against the chart's schema and Fabric's
//! rules like in `install`.

use super::derive::GENESIS_SECRET;
use super::file::Installation;
use super::member::{Consensus, Member, Role};
use crate::chart::{Chart, repository};
use crate::compose::{self, Given};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::Contact;
use crate::fabric::{self, CHANNEL_PARTICIPATION, Model, SYSTEM_CHANNEL, Span, Subject};
use crate::values::{self, Origin, StoredSecrets, Values};
use semver::Version;
use serde_json::{Value, json};

/// Describes a release by its chart.
///
/// # Errors
///
/// Lists all values that do not match the chart or break Fabric's rules, with their places in the
/// network file or a values file. Fails for a chart that is neither for an organization nor for
/// Kafka.
pub fn describe(chart: &Chart, installation: &Installation) -> Result<Member> {
    let model = Model::of(chart)?;
    let (role, nodes) = match model {
        Some(Model::PeerOrganization) => (Role::Peers, "/peers"),
        Some(Model::OrdererOrganization) => (Role::Orderers, "/orderers"),
        Some(Model::Kafka) => (Role::Kafka, "/brokers"),
        Some(Model::Chaincode) | None => {
            let what = format!(
                "chart {} is not a chart for an organization",
                chart.name_version()
            );
            return Err(Error::user(what).why(
                "a chart in a network file must have the annotation kubectl-fabric.io/model",
            ));
        }
    };
    let all = coalesced(chart, installation)?;
    let subject = Subject {
        model,
        release: &installation.release,
        namespace: &installation.namespace,
        values: &all.tree,
    };
    let facts = fabric::facts(subject).map_err(|error| located(error, &all))?;
    let text = |pointer: &str| {
        facts
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let version = Version::parse(text("/version"));
    let version = version.map_err(|error| Error::user(format!("no Fabric version: {error}")))?;
    let nodes = facts
        .pointer(nodes)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names = nodes
        .filter_map(|node| node["name"].as_str().map(str::to_owned))
        .collect();
    let value = |pointer: &str| all.tree.pointer(pointer);
    Ok(Member {
        role,
        nodes: names,
        msp_id: text("/msp_id").to_owned(),
        version,
        consensus: match text("/consensus") {
            "" => None,
            name => Some(Consensus::named(name)),
        },
        system_channel: text("/bootstrap") == "genesis",
        genesis_on_volume: value("/orderers/genesis/path").is_some_and(|path| path != ""),
        state_database: value("/peers/stateDatabase")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        chaincode_port: value("/chaincode/port")
            .and_then(Value::as_u64)
            .unwrap_or(9999),
        contact: Contact::of(subject).ok(),
    })
}

/// Returns all values of a release. Orderers that need a system channel get a genesis block from
/// the network's own steps, unless the user provides one.
fn coalesced(chart: &Chart, installation: &Installation) -> Result<Values> {
    let compose = |user_values: Values| {
        compose::values(Given {
            chart,
            release: &installation.release,
            namespace: &installation.namespace,
            user_values,
            defaults: None,
            fabric_version: None,
            skip_schema_validation: false,
            stored_secrets: StoredSecrets::default(),
        })
    };
    let all = compose(installation.values.clone())?.all;
    let is_empty = |pointer: &str| all.tree.pointer(pointer).is_none_or(|value| value == "");
    let genesis = is_empty("/orderers/genesis/secret") && is_empty("/orderers/genesis/path");
    let consensus = all
        .tree
        .pointer("/orderers/consensus")
        .and_then(Value::as_str);
    let version = all.tree.pointer("/fabricVersion").and_then(Value::as_str);
    let version = version.and_then(|version| Version::parse(version).ok());
    let holds = |span: Span| version.as_ref().is_some_and(|version| span.holds(version));
    let needs_system = consensus == Some("kafka") || !holds(CHANNEL_PARTICIPATION);
    if genesis && consensus.is_some() && holds(SYSTEM_CHANNEL) && needs_system {
        let secret = json!({"orderers": {"genesis": {"secret": GENESIS_SECRET}}});
        let under = values::with_origin(secret, Origin::Program("network file".to_owned()));
        return Ok(compose(values::merge(under, installation.values.clone()))?.all);
    }
    Ok(all)
}

/// Fabric's rules name values, which the user finds in a file.
fn located(error: Error, all: &Values) -> Error {
    let places: Vec<Place> = error
        .places()
        .iter()
        .map(|place| {
            let pointer = format!("/{}", place.subject.replace('.', "/"));
            let origins = all.origins.get(&pointer).into_iter().flatten();
            let written = origins
                .rev()
                .find(|origin| !matches!(origin, Origin::Default { .. }));
            match written {
                Some(origin) => origin
                    .place()
                    .note(format!("{}: {}", place.subject, place.note)),
                None => place.clone(),
            }
        })
        .collect();
    let located = Error::user(error.what()).at_all(places);
    let located = error
        .reasons()
        .iter()
        .fold(located, |error, why| error.why(why));
    error
        .hints()
        .iter()
        .fold(located, |error, hint| error.hint(hint))
}

/// Describes a release by an embedded chart: the one in the file, or the default for the release
/// name.
///
/// # Errors
///
/// Fails like [`describe`], and for a chart that is not embedded.
pub fn describe_embedded(installation: &Installation) -> Result<Member> {
    let name = match &installation.chart {
        Some(name) => name.as_str(),
        None => repository::chart_for_release(&installation.release).map_err(|error| {
            Error::user(error.what())
                .why(error.reasons().join("; "))
                .hint("name the chart: `chart: peer-org`")
        })?,
    };
    describe(
        &repository::find(name, installation.chart_version.as_deref())?,
        installation,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Draft, Given, Network};
    use std::collections::BTreeMap;

    fn parse(text: &str) -> Result<Network> {
        let given = Given {
            files: BTreeMap::new(),
            suffix: None,
            describe: &describe_embedded,
        };
        Draft::read(text, "network.yaml")?.finish(&given)
    }

    const RAFT: &str = include_str!("../../examples/network.yaml");
    const BFT: &str = include_str!("../../examples/network-bft.yaml");
    const KAFKA: &str = include_str!("../../examples/article.yaml");

    #[test]
    fn the_examples_are_networks_of_the_embedded_charts() {
        for (text, consensus, levels, nodes) in [
            (RAFT, Consensus::Raft, ["V2_0", "V2_0", "V2_5"], [3, 2, 2]),
            (BFT, Consensus::Bft, ["V3_0", "V2_0", "V2_5"], [4, 2, 2]),
            (
                KAFKA,
                Consensus::Kafka,
                ["V1_4_3", "V1_4_2", "V1_4_2"],
                [3, 2, 1],
            ),
        ] {
            let network = parse(text).unwrap();
            assert_eq!(network.warnings, Vec::<String>::new());
            let orderers = &network.organizations["orgorderer1"].member;
            assert_eq!(orderers.consensus, Some(consensus));
            assert_eq!(orderers.system_channel, consensus == Consensus::Kafka);
            let count = |name: &str| network.organizations[name].member.nodes.len();
            assert_eq!(["orgorderer1", "org1", "org2"].map(count), nodes);
            assert_eq!(network.organizations["org1"].member.msp_id, "Org1MSP");
            let set = &network.channels["mychannel"].capabilities;
            let set = [&set.channel, &set.orderer, &set.application];
            assert_eq!(set.map(|level| level.as_deref().unwrap()), levels);
            // The derived values match the charts.
            for installation in network.installations() {
                describe_embedded(installation).unwrap();
            }
        }
    }

    #[test]
    fn what_a_chart_refuses_is_reported_with_its_line_in_the_file() {
        let text = RAFT.replace(
            "  org2:\n",
            "  org2: {values: {peers: {stateDatabase: couchdbb}}}\n",
        );
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("--> network.yaml:11:27   peers.stateDatabase: "),
            "{error}"
        );
        let text = BFT
            .replace("fabricVersion: 3.1.5", "fabricVersion: 2.5.16")
            .replace(", count: 4", "");
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains(
                "--> network.yaml:9:25   orderers.consensus: Fabric 2.5.16 does not \
                            support BFT; it supports etcdraft and kafka"
            ),
            "{error}"
        );
        assert!(error.contains("at least 4, not 3"), "{error}");
    }

    #[test]
    fn a_release_whose_chart_is_unclear_is_reported_with_its_place() {
        let text = RAFT
            .replace("  org2:\n", "  acme:\n")
            .replace("[org1, org2]", "[org1, acme]");
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains(
                "--> network.yaml:11:3   organizations.acme: no chart is given for release \"acme\""
            ),
            "{error}"
        );
        assert!(
            error.contains("hint: name the chart: `chart: peer-org`"),
            "{error}"
        );
        let text = text.replace("  acme:\n", "  acme: {chart: peer-org}\n");
        assert_eq!(
            parse(&text).unwrap().organizations["acme"].member.msp_id,
            "AcmeMSP"
        );
    }
}
