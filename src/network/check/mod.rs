//! What a network file must say beyond its form: names that exist, numbers that suffice, levels
//! and policies that its members can follow.

use super::document::Document;
use super::file::{Channel, Installation, Network};
use super::member::{Consensus, Member, Role};
use super::problem::Problems;
use crate::fabric;
use crate::release::ReleaseName;
use crate::values::path;
use std::collections::{BTreeMap, BTreeSet};

mod chaincode;
mod channel;

pub use chaincode::{chaincode, dependencies};
pub use channel::channel;

/// The releases that a file names, whether they could be described or not.
pub struct Known<'a> {
    organizations: BTreeSet<&'a str>,
    kafka: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    pub fn of(document: &'a Document) -> Known<'a> {
        Known {
            organizations: document.organizations.keys().map(String::as_str).collect(),
            kafka: document.kafka.keys().map(String::as_str).collect(),
        }
    }
}

/// Fabric versions that exist. Releases with one that does not are described with the error of
/// their chart, so only those are checked here that no release may use.
pub fn versions(document: &Document, problems: &mut Problems) {
    let network = document
        .fabric_version
        .iter()
        .map(|version| ("/fabricVersion".to_owned(), version));
    let own = document
        .organizations
        .iter()
        .filter_map(|(name, organization)| {
            let pointer = path::key_below("/organizations", name);
            let version = organization.release.fabric_version.as_ref()?;
            Some((format!("{pointer}/fabricVersion"), version))
        });
    for (pointer, version) in network.chain(own) {
        if let Err(error) = fabric::checked_version(version) {
            problems.nested(&pointer, &error);
        }
    }
    for name in document.organizations.keys().chain(document.kafka.keys()) {
        if ReleaseName::parse(name).is_err() {
            let map = if document.kafka.contains_key(name) {
                "/kafka"
            } else {
                "/organizations"
            };
            problems.add(
                &path::key_below(map, name),
                "a release name is made of a-z, 0-9 and \"-\", begins and ends with a letter or \
                 digit, and has at most 53 characters",
            );
        }
    }
}

pub fn kafka(installation: &Installation, member: &Member, problems: &mut Problems) {
    if member.role != Role::Kafka {
        problems.wrong(
            &installation.pointer,
            "its chart is not that of a Kafka cluster",
            Some("list organizations below `organizations`".to_owned()),
        );
    }
}

/// Organizations and Kafka clusters beside each other.
pub fn organizations(network: &Network, problems: &mut Problems) {
    let mut namespaces: BTreeMap<&str, &str> = BTreeMap::new();
    for installation in network.installations() {
        let Installation {
            release,
            namespace,
            pointer,
            ..
        } = installation;
        if let Some(other) = namespaces.insert(namespace, release) {
            problems.add(
                pointer,
                format!("namespace \"{namespace}\" is that of release \"{other}\" already"),
            );
        }
    }
    let mut msp_ids: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, organization) in &network.organizations {
        let (pointer, member) = (&organization.installation.pointer, &organization.member);
        if member.role == Role::Kafka {
            problems.wrong(
                pointer,
                "its chart is that of a Kafka cluster",
                Some("list Kafka clusters below `kafka`".to_owned()),
            );
            continue;
        }
        if let Some(other) = msp_ids.insert(&member.msp_id, name) {
            let msp_id = &member.msp_id;
            problems.wrong(
                pointer,
                format!("MSP id \"{msp_id}\" is that of \"{other}\" already"),
                Some("set `values.org.mspID`".to_owned()),
            );
        }
        if member.consensus == Some(Consensus::Kafka) && network.kafka.is_empty() {
            problems.wrong(
                pointer,
                "orderers.consensus is kafka, and the file has no Kafka cluster",
                Some("add `kafka: {kafka: {}}`".to_owned()),
            );
        }
    }
}

fn members<'n>(
    channel: &'n Channel,
    network: &'n Network,
) -> impl Iterator<Item = (&'n String, &'n Member)> {
    let named = channel.organizations.keys();
    named.filter_map(|release| Some((release, &network.organizations.get(release)?.member)))
}

/// MSP ids of a channel's members, orderers among them; `None` if a member is not known.
pub fn msp_ids<'n>(channel: &'n Channel, network: &'n Network) -> Option<BTreeSet<&'n str>> {
    let named = channel.orderers.keys().chain(channel.organizations.keys());
    let id = |release| Some(network.organizations.get(release)?.member.msp_id.as_str());
    named.map(id).collect()
}

/// What is allowed and worth knowing.
pub fn warnings(network: &Network) -> Vec<String> {
    let mut warnings = Vec::new();
    for channel in network.channels.values() {
        let name = &channel.name;
        let consenters: usize = channel
            .orderers
            .values()
            .map(|it| it.consenters.len())
            .sum();
        let consensus = channel.orderers.keys().find_map(|release| {
            network
                .organizations
                .get(release)
                .and_then(|it| it.member.consensus)
        });
        if consensus == Some(Consensus::Raft) && consenters < 3 {
            warnings.push(format!(
                "channel \"{name}\" has {consenters} of the 3 or more consenters with which Raft \
                 withstands the loss of one"
            ));
        }
        let databases: BTreeSet<&str> = members(channel, network)
            .map(|(_, it)| it.state_database.as_str())
            .collect();
        if databases.len() > 1 {
            warnings.push(format!(
                "the peers of channel \"{name}\" keep their state in different databases: {}. \
                 Rich queries work on CouchDB only",
                databases.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
    }
    warnings
}
