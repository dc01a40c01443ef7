//! Finds problems in a changed channel for which orderers or peers would reject it or stop, before
//! anything is signed. Existing problems are not reported.

use super::consenters::Consenters;
use super::levels::{GROUPS, levels_of};
use super::organizations::{SECTIONS, msp_ids};
use crate::error::{Error, Place, Result};
use crate::fabric::guard;
use crate::ledger::config_tree::Group;
use crate::ledger::genesis::{is_duration, set_bft_block_validation};
use crate::ledger::message::configuration::OrdererAddresses;
use crate::ledger::message::msp_configuration::MspConfig;
use crate::ledger::message::orderer_configuration::{BatchSize, BatchTimeout};
use crate::ledger::msp::Msp;
use crate::ledger::policy::Policy;
use std::collections::{BTreeMap, BTreeSet};

/// Refuses a configuration that would harm the channel.
///
/// # Errors
///
/// Lists each problem as a place.
pub fn check(from: &Group, to: &Group) -> Result<()> {
    let mut problems = Problems(Vec::new());
    problems.levels(from, to)?;
    problems.batches(from, to)?;
    problems.organizations(from, to)?;
    problems.policies(from, to)?;
    problems.addresses(to)?;
    problems.block_validation(from, to)?;
    match problems.0.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::user("the configuration of the channel is not valid").at_all(problems.0))
        }
    }
}

struct Problems(Vec<Place>);

impl Problems {
    fn blame(&mut self, place: impl Into<String>, note: impl Into<String>) {
        self.0.push(Place::new(place).note(note));
    }

    fn levels(&mut self, from: &Group, to: &Group) -> Result<()> {
        for group in GROUPS {
            let (before, after) = (levels_of(from, group)?, levels_of(to, group)?);
            for level in after.difference(&before) {
                if guard::knows(group, level).is_none() {
                    self.blame(
                        group,
                        format!("{level:?} is not a capability level of this group"),
                    );
                }
            }
            if rank(group, &after) < rank(group, &before) {
                let words = |of: &BTreeSet<String>| match of.is_empty() {
                    true => "none".to_owned(),
                    false => of.iter().cloned().collect::<Vec<_>>().join(" and "),
                };
                self.blame(
                    group,
                    format!(
                        "a capability level cannot be lowered: {} → {}",
                        words(&before),
                        words(&after)
                    ),
                );
            }
        }
        Ok(())
    }

    fn batches(&mut self, from: &Group, to: &Group) -> Result<()> {
        let size: Option<BatchSize> = value(to, "BatchSize")?;
        if let Some(size) = size
            && Some(size) != value(from, "BatchSize")?
        {
            if size.max_message_count == 0
                || size.absolute_max_bytes == 0
                || size.preferred_max_bytes == 0
            {
                self.blame("batch size", "a limit of 0 allows no transactions");
            }
            if size.preferred_max_bytes > size.absolute_max_bytes {
                self.blame(
                    "batch size",
                    format!(
                        "the preferred size ({} bytes) exceeds the absolute maximum ({} bytes)",
                        size.preferred_max_bytes, size.absolute_max_bytes
                    ),
                );
            }
        }
        let timeout: Option<BatchTimeout> = value(to, "BatchTimeout")?;
        let before: Option<BatchTimeout> = value(from, "BatchTimeout")?;
        if let Some(timeout) = timeout
            && Some(&timeout) != before.as_ref()
            && !is_duration(&timeout.timeout)
        {
            self.blame(
                "batch timeout",
                format!("{:?} is not a duration such as 2s", timeout.timeout),
            );
        }
        Ok(())
    }

    /// Checks every new or changed MSP, and MSP ids of two different MSPs
    /// (`common/channelconfig/msp.go`).
    fn organizations(&mut self, from: &Group, to: &Group) -> Result<()> {
        let mut seen: BTreeMap<String, Msp> = BTreeMap::new();
        for section in SECTIONS {
            let Some(group) = to.groups.get(section) else {
                if from.groups.contains_key(section) {
                    self.blame(section, "the group is missing");
                }
                continue;
            };
            if group.groups.is_empty() {
                self.blame(section, "it has no organizations");
            }
            for (key, organization) in &group.groups {
                let message: Option<MspConfig> = organization.value("MSP")?;
                let before = from.group(&[section, key.as_str()]);
                let before: Option<MspConfig> =
                    before.map(|it| it.value("MSP")).transpose()?.flatten();
                let place = format!("{section}/{key}");
                let Some(message) = message else {
                    self.blame(place, "it has no MSP");
                    continue;
                };
                // An idemix MSP has no certificates to check.
                if message.r#type != 0 {
                    continue;
                }
                let msp = Msp::from_message(&message)?;
                if before.as_ref() != Some(&message)
                    && let Err(error) = msp.check()
                {
                    for problem in error.places() {
                        self.blame(place.clone(), problem.note.clone());
                    }
                }
                if seen.get(&msp.id).is_some_and(|other| *other != msp) {
                    self.blame(place, format!("another MSP also has the id {}", msp.id));
                }
                seen.insert(msp.id.clone(), msp);
            }
        }
        Ok(())
    }

    /// Checks for policies that name organizations that are no longer members: no signature could
    /// satisfy them.
    fn policies(&mut self, from: &Group, to: &Group) -> Result<()> {
        let (known_before, known) = (msp_ids(from)?, msp_ids(to)?);
        let mut named_before = BTreeSet::new();
        named(from, "", &mut |path, id| {
            if !known_before.contains(id) {
                named_before.insert((path.to_owned(), id.to_owned()));
            }
        });
        let mut missing = Vec::new();
        named(to, "", &mut |path, id| {
            let is_old = named_before.contains(&(path.to_owned(), id.to_owned()));
            if !known.contains(id) && !is_old {
                missing.push((path.to_owned(), id.to_owned()));
            }
        });
        for (path, id) in missing {
            self.blame(
                format!("policy {path}"),
                format!("it names {id}, which would not be a member of the channel"),
            );
        }
        Ok(())
    }

    /// The channel level V3_0 does not allow common addresses (`common/channelconfig/bundle.go`).
    fn addresses(&mut self, to: &Group) -> Result<()> {
        if !levels_of(to, "channel")?.contains("V3_0") {
            return Ok(());
        }
        let common: OrdererAddresses = to.value("OrdererAddresses")?.unwrap_or_default();
        if !common.addresses.is_empty() {
            self.blame(
                "orderer addresses",
                "the channel level V3_0 does not allow common addresses: first set the Endpoints \
                 of each organization and remove OrdererAddresses, with --edit",
            );
        }
        for (key, group) in to
            .groups
            .get("Orderer")
            .into_iter()
            .flat_map(|it| &it.groups)
        {
            let own: OrdererAddresses = group.value("Endpoints")?.unwrap_or_default();
            if own.addresses.is_empty() {
                self.blame(
                    format!("Orderer/{key}"),
                    "it has no endpoints; the channel level V3_0 requires them",
                );
            }
        }
        Ok(())
    }

    /// In a BFT channel, the block validation policy requires a quorum of the consenters
    /// (`orderer/consensus/smartbft/configverifier.go`, `checkConsentersMatchPolicy`).
    fn block_validation(&mut self, from: &Group, to: &Group) -> Result<()> {
        let Consenters::Bft(bft) = Consenters::of(to)? else {
            return Ok(());
        };
        let Some(orderer) = to.groups.get("Orderer") else {
            return Ok(());
        };
        let mut expected = orderer.clone();
        set_bft_block_validation(&mut expected, &bft.consenter_mapping);
        let policy = |of: &Group| {
            let policy = of.policies.get("BlockValidation")?.policy.as_ref()?;
            Policy::from_message(policy).ok()
        };
        let before = from.groups.get("Orderer").and_then(policy);
        if policy(orderer) != policy(&expected) && policy(orderer) != before {
            self.blame(
                "policy Orderer/BlockValidation",
                "it must require a quorum of the consenters, and can only change together with them",
            );
        }
        Ok(())
    }
}

fn value<M: prost::Message + Default>(channel: &Group, key: &str) -> Result<Option<M>> {
    let orderer = channel.groups.get("Orderer");
    Ok(orderer.map(|it| it.value(key)).transpose()?.flatten())
}

/// The position of the highest known level of a group, counted from 1.
fn rank(group: &str, levels: &BTreeSet<String>) -> usize {
    let known = guard::levels(group);
    let position = |level: &String| known.iter().position(|it| it == level);
    levels
        .iter()
        .filter_map(position)
        .max()
        .map_or(0, |at| at + 1)
}

/// Calls `with` for each MSP id in each policy. Skips unreadable policies.
fn named(group: &Group, path: &str, with: &mut impl FnMut(&str, &str)) {
    for (name, policy) in &group.policies {
        let read = policy.policy.as_ref().map(Policy::from_message);
        let ids = match read {
            Some(Ok(policy)) => policy.organizations(),
            _ => BTreeSet::new(),
        };
        for id in ids {
            with(&format!("{path}{name}"), &id);
        }
    }
    for (name, below) in &group.groups {
        named(below, &format!("{path}{name}/"), with);
    }
}
