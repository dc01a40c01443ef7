//! Checks that a channel keeps its quorum when its consenters change, by the rules of its protocol.

use super::consenters::Consenters;
use crate::error::{Error, Place, Result};
use crate::ledger::config_tree::Group;
use std::collections::BTreeMap;

/// The activity of an orderer in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Active,
    /// It does not respond, or does not order.
    Down,
    /// It cannot be called from here, because it is in another cluster.
    Unknown,
}

/// Consenters that are added, removed, or get other certificates at the same address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub renewed: Vec<String>,
}

/// The effect of an update on the consenters.
pub fn difference(from: &Consenters, to: &Consenters) -> Difference {
    let (from, to) = (from.by_address(), to.by_address());
    let without = |of: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>| {
        let keys = of.keys().filter(|key| !other.contains_key(*key));
        keys.cloned().collect::<Vec<_>>()
    };
    let renewed = from
        .iter()
        .filter(|(key, of)| to.get(*key).is_some_and(|it| it != *of));
    Difference {
        added: without(&to, &from),
        removed: without(&from, &to),
        renewed: renewed.map(|(key, _)| key.clone()).collect(),
    }
}

/// Fewer BFT nodes tolerate no fault (3f+1).
const MIN_BFT_NODES: usize = 4;

/// Refuses a change of consenters that orderers would reject, or that would cost them their quorum
/// (`orderer/consensus/etcdraft/membership.go`, `UnacceptableQuorumLoss`). An orderer that cannot
/// be called counts as active.
pub fn check_quorum(from: &Group, to: &Group, presence: impl Fn(&str) -> Presence) -> Result<()> {
    let (from, to) = (Consenters::of(from)?, Consenters::of(to)?);
    let changed = difference(&from, &to);
    let Difference {
        added,
        removed,
        renewed,
    } = &changed;
    let all = || added.iter().chain(removed).chain(renewed);
    if all().next().is_none() {
        return Ok(());
    }
    let refuse = |what: &str| {
        let notes = [
            (added, "is added"),
            (removed, "is removed"),
            (renewed, "gets new certificates"),
        ];
        let places = notes
            .into_iter()
            .flat_map(|(of, note)| of.iter().map(move |address| Place::new(address).note(note)));
        Error::refused(what).at_all(places)
    };
    if all().count() > 1 {
        return Err(refuse("more than one consenter would change at once")
            .why("the consenters of a channel can only change one at a time, so that it keeps its quorum")
            .hint("change one consenter at a time, and wait until `kubectl fabric channel list` \
                   shows all orderers as active"));
    }
    let count = to.count();
    let quorum = match to {
        Consenters::Bft(_) if count < MIN_BFT_NODES => {
            return Err(refuse("the channel would have too few consenters").why(format!(
                "BFT needs at least {MIN_BFT_NODES} consenters (3f+1) to tolerate a failure, but {count} would be left"
            )));
        }
        Consenters::Bft(_) => (count + (count - 1) / 3 + 1).div_ceil(2),
        Consenters::Raft(_) if count == 0 => {
            return Err(refuse("the channel would have no consenters"));
        }
        Consenters::Raft(_) => count / 2 + 1,
        Consenters::Unnamed => return Ok(()),
    };
    // A group of two cannot tolerate a fault anyway, and must be able to grow.
    if count <= 2 && removed.is_empty() {
        return Ok(());
    }
    let stay = from.by_address().into_keys();
    let stay: Vec<String> = stay
        .filter(|it| !removed.contains(it) && !renewed.contains(it))
        .collect();
    let down: Vec<&String> = stay
        .iter()
        .filter(|it| presence(it) == Presence::Down)
        .collect();
    if stay.len() - down.len() >= quorum {
        return Ok(());
    }
    let places = down
        .iter()
        .map(|it| Place::new(it.as_str()).note("this consenter is not active"));
    Err(refuse("the orderers would lose their quorum")
        .at_all(places)
        .why(format!(
            "{quorum} of {count} consenters must be active, but only {} of the current ones are",
            stay.len() - down.len()
        ))
        .hint("first start the orderers that are down"))
}
