//! Computes the missing steps from the desired and the observed state.
//!
//! - An unreadable state is never treated as "does not exist". A step that depends on it is held:
//!   neither planned nor dropped. The edge runs the other steps, reads again, and plans again.
//! - A genesis block is created only if every orderer of the channel responded that it has none: a
//!   second one would split the channel.
//! - If the desired state is reached, the plan has no steps.

use super::build::Builder;
use super::file::Network;
use super::state::{Observed, Wanted};
use super::step::{Action, Step};
use crate::error::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The treatment of releases and joins that are no longer in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Leave them, and report them.
    Keep,
    /// Remove nodes from channels and uninstall releases; volumes and identities stay.
    Remove,
}

/// The missing steps, each after those that it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Steps that cannot be planned yet, because they depend on an unknown state.
    pub held: Vec<Held>,
    /// Unreadable states, with reasons.
    pub unknown: Vec<Unknown>,
    /// Leftovers that are no longer in the file, and stay.
    pub leftovers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    #[serde(flatten)]
    pub step: Step,
    /// Ids of unknown states or held steps that it depends on.
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
/// Fails if nodes of one channel have joined it with different genesis blocks, which `up` cannot
/// repair.
pub fn plan(wanted: &Wanted, observed: &Observed, removal: Removal) -> Result<Plan> {
    let mut builder = Builder::new(wanted, observed, removal);
    builder.releases();
    builder.channels()?;
    builder.chaincodes();
    builder.leftovers();
    Ok(builder.finish())
}

impl Plan {
    /// Returns true if the network matches the file.
    pub fn is_reached(&self) -> bool {
        self.steps.is_empty() && self.held.is_empty() && self.unknown.is_empty()
    }

    /// Returns the steps in rounds. The steps of a round depend only on earlier rounds, so they can
    /// run in parallel.
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

    /// The changes of channels that take an organization out of them, as `mychannel: remove
    /// organization Org2MSP`.
    pub fn expelled(&self) -> Vec<String> {
        let mut expelled = Vec::new();
        for step in &self.steps {
            if let Action::UpdateChannel {
                channel, changes, ..
            } = &step.action
            {
                let leaves = changes
                    .iter()
                    .filter(|it| it.starts_with("remove organization "));
                expelled.extend(leaves.map(|it| format!("{channel}: {it}")));
            }
        }
        expelled
    }

    /// The part of one organization: what it can do with its own rights, and what it waits for.
    pub fn part_of(&self, organization: &str) -> Part {
        self.part(&Own::One(organization), &BTreeSet::new())
    }

    /// The part that is carried out from here. `proposed`: ids of own steps that others must sign
    /// now, so nothing more can be done about them here.
    pub fn part(&self, own: &Own<'_>, proposed: &BTreeSet<String>) -> Part {
        let mut part = Part {
            organization: own.name().to_owned(),
            ..Part::default()
        };
        let by_id: BTreeMap<&str, &Step> = self
            .steps
            .iter()
            .map(|step| (step.id.as_str(), step))
            .collect();
        let is_own = |step: &Step| step.by.iter().any(|by| own.has(by));
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        let mut waits: BTreeMap<&str, Wait> = BTreeMap::new();
        for step in &self.steps {
            let is_own_step = is_own(step);
            // Only others can hand these over, and nothing goes on without them.
            if !is_own_step && step.is_handover() {
                waits.insert(&step.id, Wait::of(step));
            }
            if is_own_step {
                let others = step.after.iter().filter_map(|id| by_id.get(id.as_str()));
                for other in others.filter(|other| !is_own(other)) {
                    let wait = waits.entry(&other.id).or_insert_with(|| Wait::of(other));
                    wait.before.push(step.id.clone());
                }
            }
            let waiting = proposed.contains(&step.id)
                || step.after.iter().any(|id| blocked.contains(id.as_str()));
            if !is_own_step || waiting {
                blocked.insert(&step.id);
            }
            match (is_own_step, waiting) {
                (true, false) => part.now.push(step.clone()),
                (true, true) => part.later.push(step.clone()),
                (false, _) => {}
            }
            if let Action::UpdateChannel { signers, .. } = &step.action
                && is_own_step
            {
                let others = signers.iter().filter(|signer| !own.has(signer));
                part.signatures.extend(others.map(|signer| Wait {
                    from: vec![signer.clone()],
                    what: format!("sign: {}", step.action),
                    before: vec![step.id.clone()],
                }));
            }
        }
        part.waits = waits.into_values().collect();
        let held = self.held.iter().filter(|held| is_own(&held.step));
        part.held = held.cloned().collect();
        part
    }
}

/// The organizations whose steps are carried out from here.
pub enum Own<'a> {
    One(&'a str),
    /// All whose namespaces are seen from here.
    AllBut(&'a BTreeSet<String>),
}

impl Own<'_> {
    fn has(&self, organization: &str) -> bool {
        match self {
            Own::One(name) => *name == organization,
            Own::AllBut(elsewhere) => !elsewhere.contains(organization),
        }
    }

    fn name(&self) -> &str {
        match self {
            Own::One(name) => name,
            Own::AllBut(_) => "",
        }
    }
}

/// What one organization does of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    pub organization: String,
    /// Its steps that do not depend on other organizations.
    pub now: Vec<Step>,
    /// Its steps that depend on others.
    pub later: Vec<Step>,
    pub waits: Vec<Wait>,
    /// Signatures of others that its channel updates require, on the proposal file.
    pub signatures: Vec<Wait>,
    pub held: Vec<Held>,
}

/// A step of another organization that its own steps depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// Any one of these.
    pub from: Vec<String>,
    pub what: String,
    /// Ids of its own steps that depend on it.
    pub before: Vec<String>,
}

impl Part {
    /// Whether anything is left that others must do first.
    pub fn is_open(&self) -> bool {
        let waits = self.waits.len() + self.signatures.len();
        waits + self.later.len() + self.held.len() > 0
    }
}

impl Wait {
    fn of(step: &Step) -> Wait {
        Wait {
            from: step.by.clone(),
            what: step.action.to_string(),
            before: Vec::new(),
        }
    }
}

/// The organizations of a network that take part in a channel, orderers first.
pub fn members<'n>(network: &'n Network, channel: &str) -> Vec<&'n str> {
    let channel = network.channels.get(channel).into_iter();
    channel
        .flat_map(|channel| channel.orderers.keys().chain(channel.organizations.keys()))
        .map(String::as_str)
        .collect()
}
