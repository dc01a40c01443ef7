//! From what the file wants and what is there to the steps that are missing.
//!
//! - A state that could not be read is never taken for "not there". A step that depends on it is
//!   held: it is neither planned nor forgotten. The edge does the other steps, reads again, and
//!   plans again.
//! - A genesis block is made only if no orderer of the channel has it, and each was asked: a second
//!   one would split the channel.
//! - A plan over the reached state has no steps.

use super::build::Builder;
use super::file::Network;
use super::state::{Observed, Wanted};
use super::step::{Action, Step};
use crate::error::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What to do about releases and joins that the file no longer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Leave them, and report them.
    Keep,
    /// Take nodes out of channels and uninstall releases; volumes and identities stay.
    Remove,
}

/// The steps that are missing, in an order in which each comes after those it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Steps that cannot be planned yet, because a state that they depend on is unknown.
    pub held: Vec<Held>,
    /// What could not be read, and why.
    pub unknown: Vec<Unknown>,
    /// What is there and no longer in the file, and stays.
    pub leftovers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    #[serde(flatten)]
    pub step: Step,
    /// Ids of what is unknown or held before it.
    pub because: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    pub id: String,
    /// "the channels of peer0 of org1"
    pub what: String,
    pub why: String,
}

/// Plans the missing steps.
///
/// # Errors
///
/// When nodes of one channel have joined it by different genesis blocks: nothing that `up` does
/// could mend that.
pub fn plan(wanted: &Wanted, observed: &Observed, removal: Removal) -> Result<Plan> {
    let mut builder = Builder::new(wanted, observed, removal);
    builder.releases();
    builder.channels()?;
    builder.chaincodes();
    builder.leftovers();
    Ok(builder.finish())
}

impl Plan {
    /// Whether the network is what the file asks for.
    pub fn is_reached(&self) -> bool {
        self.steps.is_empty() && self.held.is_empty() && self.unknown.is_empty()
    }

    /// The steps by rounds: those of a round depend on earlier rounds only, so they can run at the
    /// same time.
    pub fn rounds(&self) -> Vec<Vec<&Step>> {
        let mut round_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rounds: Vec<Vec<&Step>> = Vec::new();
        for step in &self.steps {
            let before = step.after.iter().filter_map(|id| round_of.get(id.as_str()));
            let round = before.max().map_or(0, |last| last + 1);
            round_of.insert(&step.id, round);
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(step);
        }
        rounds
    }

    /// The part of one organization: what it can do with its own rights, and what it waits for.
    pub fn part_of(&self, organization: &str) -> Part {
        let mut part = Part {
            organization: organization.to_owned(),
            ..Part::default()
        };
        let by_id: BTreeMap<&str, &Step> = self
            .steps
            .iter()
            .map(|step| (step.id.as_str(), step))
            .collect();
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        let mut waits: BTreeMap<&str, Wait> = BTreeMap::new();
        for step in &self.steps {
            let is_own = step.by.iter().any(|by| by == organization);
            let foreign = |id: &&String| {
                by_id
                    .get(id.as_str())
                    .is_some_and(|it| !it.by.iter().any(|by| by == organization))
            };
            if is_own {
                for id in step.after.iter().filter(foreign) {
                    let other = by_id[id.as_str()];
                    let wait = waits.entry(&other.id).or_insert_with(|| Wait {
                        from: other.by.clone(),
                        what: other.action.to_string(),
                        before: Vec::new(),
                    });
                    wait.before.push(step.id.clone());
                }
            }
            let waiting = step.after.iter().any(|id| blocked.contains(id.as_str()));
            if !is_own || waiting {
                blocked.insert(&step.id);
            }
            match (is_own, waiting) {
                (true, false) => part.now.push(step.clone()),
                (true, true) => part.later.push(step.clone()),
                (false, _) => {}
            }
            if let Action::UpdateChannel { signers, .. } = &step.action
                && is_own
            {
                let others = signers.iter().filter(|signer| *signer != organization);
                part.signatures.extend(others.map(|signer| Wait {
                    from: vec![signer.clone()],
                    what: format!("sign: {}", step.action),
                    before: vec![step.id.clone()],
                }));
            }
        }
        part.waits = waits.into_values().collect();
        let is_own = |held: &&Held| held.step.by.iter().any(|by| by == organization);
        part.held = self.held.iter().filter(is_own).cloned().collect();
        part
    }
}

/// What one organization does of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    pub organization: String,
    /// Its steps that wait for no other organization.
    pub now: Vec<Step>,
    /// Its steps that wait for others.
    pub later: Vec<Step>,
    pub waits: Vec<Wait>,
    /// Signatures of others that its channel updates need: they sign the proposal file.
    pub signatures: Vec<Wait>,
    pub held: Vec<Held>,
}

/// A step of another organization that comes before own ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// Any one of these.
    pub from: Vec<String>,
    pub what: String,
    /// Ids of the own steps that come after it.
    pub before: Vec<String>,
}

/// The organizations of a network that take part in a channel, orderers first.
pub fn members<'n>(network: &'n Network, channel: &str) -> Vec<&'n str> {
    let channel = network.channels.get(channel).into_iter();
    channel
        .flat_map(|channel| channel.orderers.keys().chain(channel.organizations.keys()))
        .map(String::as_str)
        .collect()
}
