//! Capability levels that a change raises. Nodes that do not support a level stop, and a level
//! cannot be lowered again.

use super::organizations::msp_ids;
use super::settings::{group_of, levels};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::Contact;
use crate::fabric::guard;
use crate::identity::NodeRole;
use crate::ledger::config_tree::Group;
use std::collections::BTreeSet;

/// The groups that have capability levels.
pub const GROUPS: [&str; 3] = ["channel", "orderer", "application"];

/// The levels of a group in a channel.
pub fn levels_of(channel: &Group, group: &str) -> Result<BTreeSet<String>> {
    let levels = group_of(channel, group).map(levels).transpose()?;
    Ok(levels.unwrap_or_default())
}

/// Returns the raised levels by group.
pub fn raised_levels(from: &Group, to: &Group) -> Result<Vec<(&'static str, String)>> {
    let mut raised = Vec::new();
    for group in GROUPS {
        let (before, after) = (levels_of(from, group)?, levels_of(to, group)?);
        raised.extend(after.difference(&before).map(|it| (group, it.clone())));
    }
    Ok(raised)
}

/// Refuses levels that the nodes of these organizations do not support. Ignores organizations that
/// are not in the channel.
pub fn check_nodes<'c>(
    from: &Group,
    to: &Group,
    contacts: impl Iterator<Item = &'c Contact> + Clone,
) -> Result<()> {
    let members = msp_ids(to)?;
    let mut problems = Vec::new();
    for (group, level) in raised_levels(from, to)? {
        let Some(since) = guard::knows(group, &level) else {
            continue;
        };
        let concerns = |contact: &Contact| match group {
            "orderer" => contact.role == NodeRole::Orderer,
            "application" => contact.role == NodeRole::Peer,
            _ => true,
        };
        let too_old = contacts
            .clone()
            .filter(|it| members.contains(&it.msp_id) && concerns(it) && it.version < since);
        problems.extend(too_old.map(|it| {
            Place::new(format!("organization \"{}\"", it.release)).note(format!(
                "Fabric {} does not support the {group} level {level}, which requires Fabric {since}",
                it.version
            ))
        }));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::refused("nodes of the channel would stop")
            .at_all(problems)
            .why("a node stops when its channel has a capability level that it does not support")
            .now("nothing was changed")
            .hint("upgrade these organizations first: `kubectl fabric upgrade RELEASE --fabric-version VERSION`")),
    }
}
