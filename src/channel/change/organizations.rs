//! Organizations of a channel, and their anchor peers.

use super::consenters::Consenters;
use crate::error::{Error, Place, Result, nearest};
use crate::ledger::config_tree::Group;
use crate::ledger::message::configuration::{AnchorPeer, AnchorPeers};
use crate::ledger::message::msp_configuration::MspConfig;
use crate::ledger::msp::Msp;
use crate::ledger::organization::{Organization, Part};
use std::collections::BTreeSet;

/// An organization to add.
#[derive(Clone, Debug)]
pub struct Joining {
    pub organization: Organization,
    pub part: Part,
    /// The source of its public part: `org3.json`, `release "org3"`.
    pub from: String,
}

/// The groups that contain organizations.
pub const SECTIONS: [&str; 2] = ["Application", "Orderer"];

fn section(part: Part) -> &'static str {
    match part {
        Part::Orderer => "Orderer",
        Part::Application | Part::Consortium => "Application",
    }
}

/// The key of the organization with this MSP id in a section.
pub fn key_of(section: &Group, msp_id: &str) -> Result<Option<String>> {
    for (key, group) in &section.groups {
        if msp_of(group)?.is_some_and(|msp| msp.id == msp_id) {
            return Ok(Some(key.clone()));
        }
    }
    Ok(None)
}

fn msp_of(group: &Group) -> Result<Option<Msp>> {
    let message: Option<MspConfig> = group.value("MSP")?;
    // An idemix MSP signs no configuration update.
    let message = message.filter(|it| it.r#type == 0);
    message.as_ref().map(Msp::from_message).transpose()
}

/// The MSP ids of the organizations of a channel.
pub fn msp_ids(channel: &Group) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for section in SECTIONS.iter().filter_map(|it| channel.groups.get(*it)) {
        for group in section.groups.values() {
            ids.extend(msp_of(group)?.map(|msp| msp.id));
        }
    }
    Ok(ids)
}

pub fn add(channel: &mut Group, joining: &Joining) -> Result<Option<String>> {
    let Joining {
        organization,
        part,
        from,
    } = joining;
    let id = &organization.msp.id;
    let cannot = || Error::user(format!("organization {id} of {from} cannot be added"));
    if let Err(error) = organization.msp.check() {
        return Err(cannot().at_all(error.places().iter().cloned()));
    }
    for name in ["Admins", "Readers", "Writers"] {
        if !organization.policies.contains_key(name) {
            return Err(cannot().why(format!("it has no policy {name}")));
        }
    }
    for section in SECTIONS.iter().filter_map(|it| channel.groups.get(*it)) {
        let key = key_of(section, id)?;
        let there = key.and_then(|key| section.groups.get(&key));
        if let Some(there) = there
            && msp_of(there)?.as_ref() != Some(&organization.msp)
        {
            return Err(cannot()
                .why(format!(
                    "the channel already has an organization with the MSP id {id}, but with another MSP"
                ))
                .hint(
                    "if its certificates were renewed, change its MSP with --edit; otherwise use another MSP id",
                ));
        }
    }
    let name = section(*part);
    let Some(section) = channel.groups.get_mut(name) else {
        return Err(cannot().why(format!("the channel has no group {name}")));
    };
    if key_of(section, id)?.is_some() {
        return Ok(Some(format!("organization {id} is in the channel")));
    }
    let own = BTreeSet::from([id.clone()]);
    for (policy, rule) in &organization.policies {
        // The file of another organization could give its vote to others.
        if rule.organizations() != own || rule.needs_no_signature() {
            return Err(cannot()
                .at(Place::new(format!("policy {policy}")).note(rule.to_string()))
                .why(format!(
                    "a policy of an organization must require only signatures of {id}: otherwise \
                     others could act for it"
                )));
        }
    }
    section.groups.insert(id.clone(), organization.group(*part));
    Ok(None)
}

pub fn remove(channel: &mut Group, msp_id: &str) -> Result<Option<String>> {
    let cannot = || Error::user(format!("organization {msp_id} cannot be removed"));
    let consenters = Consenters::of(channel)?.of_organization(channel, msp_id)?;
    if !consenters.is_empty() {
        return Err(cannot()
            .at_all(
                consenters
                    .into_iter()
                    .map(|address| Place::new(address).note("it is a consenter of the channel")),
            )
            .hint("remove its consenters first, one at a time: --remove-consenter"));
    }
    let mut was_there = false;
    for name in SECTIONS {
        let Some(section) = channel.groups.get_mut(name) else {
            continue;
        };
        let Some(key) = key_of(section, msp_id)? else {
            continue;
        };
        if section.groups.len() == 1 {
            return Err(cannot().why(format!(
                "it is the only organization of {name}: without it, no organization could change the channel"
            )));
        }
        section.groups.remove(&key);
        was_there = true;
    }
    let unchanged = format!("organization {msp_id} is not in the channel");
    Ok((!was_there).then_some(unchanged))
}

/// The group of an organization with peers.
fn peers<'c>(channel: &'c mut Group, msp_id: &str) -> Result<&'c mut Group> {
    let application = channel.groups.entry("Application".to_owned()).or_default();
    let key = key_of(application, msp_id)?;
    let names: Vec<String> = application.groups.keys().cloned().collect();
    match key.and_then(|key| application.groups.get_mut(&key)) {
        Some(group) => Ok(group),
        None => {
            let error = Error::user(format!(
                "organization {msp_id} has no peers in this channel"
            ))
            .why(format!("the channel has {}", names.join(", ")));
            Err(match nearest(msp_id, names.iter().map(String::as_str)) {
                Some(meant) => error.hint(format!("did you mean {meant:?}?")),
                None => error.hint("add it in the same command: --add-org"),
            })
        }
    }
}

pub fn add_anchor(channel: &mut Group, msp_id: &str, peer: &AnchorPeer) -> Result<Option<String>> {
    let group = peers(channel, msp_id)?;
    let mut anchors: AnchorPeers = group.value("AnchorPeers")?.unwrap_or_default();
    if anchors.anchor_peers.contains(peer) {
        let AnchorPeer { host, port } = peer;
        return Ok(Some(format!("{host}:{port} is an anchor peer of {msp_id}")));
    }
    anchors.anchor_peers.push(peer.clone());
    group.set_value("AnchorPeers", &anchors);
    Ok(None)
}

pub fn remove_anchor(
    channel: &mut Group,
    msp_id: &str,
    peer: &AnchorPeer,
) -> Result<Option<String>> {
    let group = peers(channel, msp_id)?;
    let mut anchors: AnchorPeers = group.value("AnchorPeers")?.unwrap_or_default();
    let before = anchors.anchor_peers.len();
    anchors.anchor_peers.retain(|it| it != peer);
    if anchors.anchor_peers.len() == before {
        let AnchorPeer { host, port } = peer;
        return Ok(Some(format!(
            "{host}:{port} is not an anchor peer of {msp_id}"
        )));
    }
    group.set_value("AnchorPeers", &anchors);
    Ok(None)
}
