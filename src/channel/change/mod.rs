//! Changes of a channel's configuration that a user requests. Pure.
//!
//! A change describes the desired state, so it has no effect if it is already in place. The
//! resulting configuration is checked as a whole ([`check`]).

mod check;
mod consenters;
mod levels;
mod organizations;
mod quorum;
mod settings;
#[cfg(test)]
mod tests;

pub use check::check;
pub use consenters::{Consenter, Consenters, keep as keep_consenters};
pub use levels::{check_nodes, raised_levels};
pub use organizations::{Joining, msp_ids};
pub use quorum::{Presence, check_quorum};
pub use settings::BatchLimits;

use crate::error::Result;
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::message::configuration::AnchorPeer;
use std::time::Duration;

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    AddOrganization(Box<Joining>),
    /// By its MSP id.
    RemoveOrganization(String),
    AddConsenter(Box<Consenter>),
    /// By its address, `HOST:PORT`.
    RemoveConsenter(String),
    AddAnchor(String, AnchorPeer),
    RemoveAnchor(String, AnchorPeer),
    BatchTimeout(Duration),
    BatchLimits(BatchLimits),
    /// The level of a group: `channel`, `orderer`, `application`.
    Capability(String, String),
    /// The rule of a policy, by its path below the channel: `Application/Endorsement`.
    Policy(String, String),
}

/// The configuration with the changes, and a sentence for each change that was already in place.
#[derive(Clone, Debug)]
pub struct Changed {
    pub configuration: Configuration,
    pub unchanged: Vec<String>,
}

/// Applies the changes. Organizations are added before anything that refers to them, and removed
/// after it. What is removed and added in one command is replaced.
///
/// # Errors
///
/// Fails for a change that is impossible in this channel. [`check`] checks the result.
pub fn change(current: &Configuration, changes: &[Change]) -> Result<Changed> {
    let mut configuration = current.clone();
    let mut unchanged = Vec::new();
    let mut ordered: Vec<&Change> = changes.iter().collect();
    ordered.sort_by_key(|change| match change {
        Change::AddOrganization(_) => 0,
        Change::RemoveConsenter(_) | Change::RemoveAnchor(..) => 1,
        Change::RemoveOrganization(_) => 3,
        _ => 2,
    });
    for change in ordered {
        unchanged.extend(one(&mut configuration.channel, change)?);
    }
    Ok(Changed {
        configuration,
        unchanged,
    })
}

/// Applies one change. Returns a sentence if it was already in place.
fn one(channel: &mut Group, change: &Change) -> Result<Option<String>> {
    match change {
        Change::AddOrganization(joining) => organizations::add(channel, joining),
        Change::RemoveOrganization(msp_id) => organizations::remove(channel, msp_id),
        Change::AddConsenter(consenter) => consenters::add(channel, consenter),
        Change::RemoveConsenter(address) => consenters::remove(channel, address),
        Change::AddAnchor(msp_id, peer) => organizations::add_anchor(channel, msp_id, peer),
        Change::RemoveAnchor(msp_id, peer) => organizations::remove_anchor(channel, msp_id, peer),
        Change::BatchTimeout(timeout) => settings::batch_timeout(channel, *timeout),
        Change::BatchLimits(limits) => settings::batch_limits(channel, limits),
        Change::Capability(group, level) => settings::capability(channel, group, level),
        Change::Policy(path, rule) => settings::policy(channel, path, rule),
    }
}
