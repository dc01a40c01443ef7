//! Checks a network file beyond its form: references, numbers, and levels and policies that its
//! members support.

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

/// The releases in a file, including those that could not be described.
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

/// Checks Fabric versions. Releases with unknown versions are reported with their chart, so this
/// only checks versions that no release uses.
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
                "a release name consists of a-z, 0-9 and \"-\", begins and ends with a letter or \
                 digit, and has at most 53 characters",
            );
        }
    }
}

pub fn kafka(installation: &Installation, member: &Member, problems: &mut Problems) {
    if member.role != Role::Kafka {
        problems.wrong(
            &installation.pointer,
            "its chart is not for a Kafka cluster",
            Some("list organizations below `organizations`".to_owned()),
        );
    }
}

/// Checks organizations and Kafka clusters together.
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
                format!("release \"{other}\" already uses namespace \"{namespace}\""),
            );
        }
    }
    let mut msp_ids: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, organization) in &network.organizations {
        let (pointer, member) = (&organization.installation.pointer, &organization.member);
        if member.role == Role::Kafka {
            problems.wrong(
                pointer,
                "its chart is for a Kafka cluster",
                Some("list Kafka clusters below `kafka`".to_owned()),
            );
            continue;
        }
        if let Some(other) = msp_ids.insert(&member.msp_id, name) {
            let msp_id = &member.msp_id;
            problems.wrong(
                pointer,
                format!("\"{other}\" already has MSP id \"{msp_id}\""),
                Some("set `values.org.mspID`".to_owned()),
            );
        }
        if member.consensus == Some(Consensus::Kafka) && network.kafka.is_empty() {
            problems.wrong(
                pointer,
                "orderers.consensus is kafka, but the file has no Kafka cluster",
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

/// Returns the MSP ids of a channel's members, including orderers. `None` if a member is unknown.
pub fn msp_ids<'n>(channel: &'n Channel, network: &'n Network) -> Option<BTreeSet<&'n str>> {
    let named = channel.orderers.keys().chain(channel.organizations.keys());
    let id = |release| Some(network.organizations.get(release)?.member.msp_id.as_str());
    named.map(id).collect()
}

/// Warnings about permitted settings.
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
                "channel \"{name}\" has {consenters} consenters; Raft needs 3 or more to tolerate \
                 the loss of one"
            ));
        }
        let databases: BTreeSet<&str> = members(channel, network)
            .map(|(_, it)| it.state_database.as_str())
            .collect();
        if databases.len() > 1 {
            warnings.push(format!(
                "the peers of channel \"{name}\" use different state databases: {}. Rich queries \
                 only work with CouchDB",
                databases.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
    }
    warnings
}
