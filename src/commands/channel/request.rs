//! The request of `channel update`: read from arguments and files, then completed with installed
//! organizations.

use super::contacts;
use super::update::Arguments;
use crate::channel::{self, BatchLimits, Change, Joining};
use crate::cluster::Cluster;
use crate::commands::{Edge, load};
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::ledger::message::configuration::AnchorPeer;
use crate::ledger::organization::{Organization, Part};
use crate::member::Participant;
use crate::node::Address;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The requested changes.
pub enum Request {
    /// A whole configuration, as JSON.
    Edited {
        json: Value,
        file: PathBuf,
    },
    Changes(Vec<Wish>),
}

/// A change on the command line.
pub enum Wish {
    /// It does not depend on installed organizations.
    Ready(Change),
    AddRelease(String),
    AddConsenter(String, String),
    RemoveConsenter(String, String),
    AddAnchor(String, String),
    RemoveAnchor(String, String),
}

impl Request {
    /// Reads the request, including its files.
    pub fn read(arguments: &Arguments) -> Result<Request> {
        if let Some(file) = &arguments.edit {
            let json = load::json(file, "configuration")?;
            let file = file.clone();
            return Ok(Request::Edited { json, file });
        }
        let wishes = wishes(arguments)?;
        match wishes.is_empty() {
            false => Ok(Request::Changes(wishes)),
            true => Err(Error::user("no change is given")
                .hint("pass at least one, such as --batch-timeout 1s; see `kubectl fabric channel update -h`")),
        }
    }
}

fn wishes(arguments: &Arguments) -> Result<Vec<Wish>> {
    let mut wishes = Vec::new();
    for named in &arguments.add_org {
        wishes.push(match is_file(named) {
            true => Wish::Ready(Change::AddOrganization(Box::new(joining_of_file(named)?))),
            false => Wish::AddRelease(named.clone()),
        });
    }
    let ready = |change: Change| Wish::Ready(change);
    let leave = arguments.remove_org.iter().cloned();
    wishes.extend(leave.map(Change::RemoveOrganization).map(ready));
    for named in &arguments.add_consenter {
        let (org, node) = node_of(named, "--add-consenter")?;
        wishes.push(Wish::AddConsenter(org, node));
    }
    for named in &arguments.remove_consenter {
        wishes.push(match named.parse::<Address>() {
            Ok(_) if !named.contains('/') => ready(Change::RemoveConsenter(named.clone())),
            _ => {
                let (org, node) = node_of(named, "--remove-consenter")?;
                Wish::RemoveConsenter(org, node)
            }
        });
    }
    for (org, peer) in &arguments.add_anchor {
        wishes.push(match address(peer)? {
            Some(anchor) => ready(Change::AddAnchor(org.clone(), anchor)),
            None => Wish::AddAnchor(org.clone(), peer.clone()),
        });
    }
    for (org, peer) in &arguments.remove_anchor {
        wishes.push(match address(peer)? {
            Some(anchor) => ready(Change::RemoveAnchor(org.clone(), anchor)),
            None => Wish::RemoveAnchor(org.clone(), peer.clone()),
        });
    }
    wishes.extend(settings(arguments)?.into_iter().map(ready));
    Ok(wishes)
}

fn settings(arguments: &Arguments) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    changes.extend(arguments.batch_timeout.map(Change::BatchTimeout));
    let limits = BatchLimits {
        max_message_count: arguments.max_message_count,
        absolute_max_bytes: arguments.absolute_max_bytes,
        preferred_max_bytes: arguments.preferred_max_bytes,
    };
    if limits != BatchLimits::default() {
        changes.push(Change::BatchLimits(limits));
    }
    for (group, level) in &arguments.capability {
        if !["channel", "orderer", "application"].contains(&group.as_str()) {
            return Err(
                Error::user(format!("--capability: unknown group \"{group}\""))
                    .why("the groups are channel, orderer and application"),
            );
        }
        changes.push(Change::Capability(group.clone(), level.clone()));
    }
    let policies = arguments.policy.iter().cloned();
    changes.extend(policies.map(|(path, rule)| Change::Policy(path, rule)));
    Ok(changes)
}

/// A release has neither a dot nor a slash in its name.
fn is_file(named: &str) -> bool {
    named.contains(['.', '/'])
}

fn joining_of_file(named: &str) -> Result<Joining> {
    let json = load::json(Path::new(named), "organization")?;
    let organization = Organization::from_json(&json).map_err(|error| {
        error
            .context(format!(
                "\"{named}\" is not the public part of an organization"
            ))
            .hint("create the file with `kubectl fabric identity export RELEASE --public` or `configtxgen -printOrg`")
    })?;
    let part = match organization.endpoints.is_empty() {
        true => Part::Application,
        false => Part::Orderer,
    };
    Ok(Joining {
        organization,
        part,
        from: format!("\"{named}\""),
    })
}

fn node_of(named: &str, flag: &str) -> Result<(String, String)> {
    match named.split_once('/') {
        Some((org, node)) if !org.is_empty() && !node.is_empty() => {
            Ok((org.to_owned(), node.to_owned()))
        }
        _ => Err(
            Error::user(format!("{flag}: \"{named}\" is not an orderer"))
                .hint("expected ORG/NODE, such as orgorderer1/orderer3"),
        ),
    }
}

/// Returns the address of a peer that is given by its address.
fn address(peer: &str) -> Result<Option<AnchorPeer>> {
    if !peer.contains(':') {
        return Ok(None);
    }
    let Address { host, port } = peer.parse()?;
    let port = port.into();
    Ok(Some(AnchorPeer { host, port }))
}

/// Completes the changes with facts about installed organizations.
pub async fn resolve(wishes: &[Wish], edge: &Edge, cluster: &Cluster) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for wish in wishes {
        changes.push(one(wish, edge, cluster).await?);
    }
    Ok(changes)
}

async fn one(wish: &Wish, edge: &Edge, cluster: &Cluster) -> Result<Change> {
    let contact = async |release: &String| -> Result<Contact> {
        let found = contacts(edge, cluster, std::slice::from_ref(release)).await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal("a release without a contact"))
    };
    Ok(match wish {
        Wish::Ready(change) => change.clone(),
        Wish::AddRelease(release) => {
            let participant = Participant::load(cluster, contact(release).await?).await?;
            let (organization, part) = channel::organization(&participant)?;
            Change::AddOrganization(Box::new(Joining {
                organization,
                part,
                from: format!("release \"{release}\""),
            }))
        }
        Wish::AddConsenter(release, node) => {
            let participant = Participant::load(cluster, contact(release).await?).await?;
            let consenter = channel::consenter(&participant, node)?;
            Change::AddConsenter(Box::new(consenter))
        }
        Wish::RemoveConsenter(release, node) => {
            let contact = contact(release).await?;
            let node = contact.node(node)?;
            Change::RemoveConsenter(format!("{}:{}", node.host, node.cluster_port))
        }
        Wish::AddAnchor(release, peer) => {
            let contact = contact(release).await?;
            let anchor = channel::anchor(contact.node(peer)?)?;
            Change::AddAnchor(contact.msp_id, anchor)
        }
        Wish::RemoveAnchor(release, peer) => {
            let contact = contact(release).await?;
            let anchor = channel::anchor(contact.node(peer)?)?;
            Change::RemoveAnchor(contact.msp_id, anchor)
        }
    })
}
