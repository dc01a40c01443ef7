//! Changes of batch settings, capability levels and policies.

use super::organizations::SECTIONS;
use crate::error::{Error, Result, nearest};
use crate::fabric::guard;
use crate::ledger::config_tree::{ADMINS, Group};
use crate::ledger::genesis::go_duration;
use crate::ledger::message::configuration::{
    Capabilities, Capability, CapabilityEntry, ConfigPolicy,
};
use crate::ledger::message::orderer_configuration::{BatchSize, BatchTimeout};
use crate::ledger::policy::Policy;
use std::collections::BTreeSet;
use std::time::Duration;

/// New limits of a block. `None` keeps a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchLimits {
    pub max_message_count: Option<u32>,
    pub absolute_max_bytes: Option<u32>,
    pub preferred_max_bytes: Option<u32>,
}

/// The group of the ordering service.
fn orderer(channel: &mut Group) -> Result<&mut Group> {
    channel.groups.get_mut("Orderer").ok_or_else(|| {
        Error::user("the channel's configuration has no group Orderer")
            .why("the system channel of the ordering service defines the batch settings")
    })
}

pub fn batch_timeout(channel: &mut Group, timeout: Duration) -> Result<Option<String>> {
    let orderer = orderer(channel)?;
    let wanted = BatchTimeout {
        timeout: go_duration(timeout),
    };
    let current: Option<BatchTimeout> = orderer.value("BatchTimeout")?;
    if current.as_ref() == Some(&wanted) {
        return Ok(Some(format!("the batch timeout is {}", wanted.timeout)));
    }
    orderer.set_value("BatchTimeout", &wanted);
    Ok(None)
}

pub fn batch_limits(channel: &mut Group, limits: &BatchLimits) -> Result<Option<String>> {
    let orderer = orderer(channel)?;
    let current: BatchSize = orderer.value("BatchSize")?.unwrap_or_default();
    let wanted = BatchSize {
        max_message_count: limits
            .max_message_count
            .unwrap_or(current.max_message_count),
        absolute_max_bytes: limits
            .absolute_max_bytes
            .unwrap_or(current.absolute_max_bytes),
        preferred_max_bytes: limits
            .preferred_max_bytes
            .unwrap_or(current.preferred_max_bytes),
    };
    if current == wanted {
        return Ok(Some("the batch size already has these limits".to_owned()));
    }
    orderer.set_value("BatchSize", &wanted);
    Ok(None)
}

/// The group of the tree that a group of capabilities is in.
pub fn group_of<'c>(channel: &'c Group, group: &str) -> Option<&'c Group> {
    match group {
        "channel" => Some(channel),
        "orderer" => channel.groups.get("Orderer"),
        _ => channel.groups.get("Application"),
    }
}

/// The levels of a group.
pub fn levels(group: &Group) -> Result<BTreeSet<String>> {
    let levels: Capabilities = group.value("Capabilities")?.unwrap_or_default();
    let entries = levels.capabilities.into_iter();
    Ok(entries.filter_map(|entry| entry.key).collect())
}

pub fn capability(channel: &mut Group, group: &str, level: &str) -> Result<Option<String>> {
    let cannot = || Error::user(format!("the capability level of the {group} cannot be set"));
    if guard::knows(group, level).is_none() {
        let all = guard::levels(group);
        let error = cannot().why(format!(
            "{level:?} is not a level of this group; its levels are {}",
            all.join(", ")
        ));
        return Err(match nearest(level, all.iter().copied()) {
            Some(meant) => error.hint(format!("did you mean {meant:?}?")),
            None => error,
        });
    }
    let node = match group {
        "channel" => Some(&mut *channel),
        "orderer" => channel.groups.get_mut("Orderer"),
        _ => channel.groups.get_mut("Application"),
    };
    let Some(node) = node else {
        return Err(cannot().why("the channel's configuration has no such group"));
    };
    let wanted = BTreeSet::from([level.to_owned()]);
    if levels(node)? == wanted {
        return Ok(Some(format!(
            "the capability level of the {group} is {level}"
        )));
    }
    let entry = CapabilityEntry {
        key: Some(level.to_owned()),
        value: Some(Capability {}),
    };
    let capabilities = vec![entry];
    node.set_value("Capabilities", &Capabilities { capabilities });
    Ok(None)
}

pub fn policy(channel: &mut Group, path: &str, rule: &str) -> Result<Option<String>> {
    let wanted = Policy::parse(rule)
        .map_err(|error| error.context(format!("cannot parse policy \"{path}\"")))?;
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let names: Vec<&str> = above.split('/').filter(|it| !it.is_empty()).collect();
    let groups = groups(channel);
    let Some(group) = channel.group_mut(&names) else {
        let error = Error::user(format!(
            "policy \"{path}\" does not belong to a group of the channel"
        ))
        .why(format!("the groups are {}", groups.join(", ")));
        return Err(match nearest(above, groups.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean \"{near}/{name}\"?")),
            None => error.hint("expected a path such as Application/Endorsement"),
        });
    };
    let present = group.policies.get(name).and_then(|it| it.policy.as_ref());
    if let Some(present) = present
        && Policy::from_message(present).is_ok_and(|it| it == wanted)
    {
        return Ok(Some(format!("policy {path} is {wanted}")));
    }
    let entry = group.policies.entry(name.to_owned());
    let entry = entry.or_insert_with(|| ConfigPolicy {
        mod_policy: ADMINS.to_owned(),
        ..ConfigPolicy::default()
    });
    entry.policy = Some(wanted.to_message());
    Ok(None)
}

/// Returns the paths of the groups with policies.
fn groups(channel: &Group) -> Vec<String> {
    let mut paths = Vec::new();
    for section in SECTIONS {
        let Some(group) = channel.groups.get(section) else {
            continue;
        };
        paths.push(section.to_owned());
        paths.extend(group.groups.keys().map(|key| format!("{section}/{key}")));
    }
    paths
}
