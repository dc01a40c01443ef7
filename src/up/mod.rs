//! Brings up a network from its file: observes the current state, plans the missing steps, and runs
//! them.
//!
//! ```text
//! network ─► compose ─► Wanted ───┐
//!                                 ├─► network::plan ─► run ─► releases, channels, chaincodes
//! cluster, nodes ─► observe ──────┘         ▲                          │
//!                                           └──────── again ◄──────────┘
//! ```
//!
//! `network` decides what is missing; this room reads and writes. The state is in the cluster and
//! the ledgers, so repeating an interrupted run completes the remaining steps. A state that is
//! unknown before a step (such as the ledger on a kept volume) is read after it, and planned then.

mod chaincode;
mod channel;
mod compose;
mod definitions;
mod down;
mod elsewhere;
mod exchange;
mod members;
mod observe;
mod release;
mod run;
mod system;
mod update;

pub use compose::{AS_WANTED, Composed, Inputs, check, compose, label};
pub use down::{Down, down};
pub use exchange::Exchange;
pub use run::{Ended, Report};

use crate::cluster::Cluster;
use crate::deploy::Options;
use crate::error::{Error, Kind, Place, Result};
use crate::fabric::contact::Contact;
use crate::member::Signing;
use crate::network::step::Action;
use crate::network::{Held, Network, Observed, Own, Part, Plan, Removal, plan};
use jiff::Timestamp;
use members::Members;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep};

/// Maximum time for nodes to respond.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// The environment of an operation on a network.
pub struct Site<'a> {
    pub cluster: &'a Cluster,
    pub network: &'a Network,
    pub composed: &'a Composed<'a>,
    /// The files in the network file.
    pub inputs: &'a Inputs,
    /// Files that organizations exchange.
    pub exchange: &'a dyn Exchange,
    /// Who signs for a release.
    pub signing: &'a (dyn Fn(&str) -> Signing + Sync),
    pub now: Timestamp,
    pub report: &'a dyn Report,
    /// Becomes true at the first Ctrl-C, SIGTERM or SIGHUP.
    pub interrupted: watch::Receiver<bool>,
    /// Options for applying releases. The timeout also limits each transaction.
    pub options: Options,
    /// The organization whose part to perform; `None` means all.
    pub organization: Option<&'a str>,
    /// What to do about what the file no longer names.
    pub removal: Removal,
    pub memory: Memory,
}

/// The state of a site during a run.
#[derive(Default)]
pub struct Memory {
    members: Members,
    /// Releases of organizations whose objects are applied, but not all ready.
    applied: watch::Sender<BTreeSet<String>>,
    /// Organizations that are not seen from here.
    elsewhere: OnceCell<BTreeSet<String>>,
    /// Updates that others must sign now: by the id of the step, a sentence.
    proposed: Mutex<BTreeMap<String, String>>,
    /// Organizations of this network that are installed and no longer in the file.
    left: Mutex<Vec<Contact>>,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Done {
    /// The completed steps, in the order of completion.
    pub steps: Vec<Ended>,
    /// The last plan: remaining steps of other organizations, and leftovers.
    pub rest: Plan,
    /// Of the last plan, what could not be done from here. Empty if all is done.
    pub part: Part,
    /// A sentence for each file that was written for other organizations.
    pub files: Vec<String>,
}

impl Site<'_> {
    /// The observed state.
    pub async fn observe(&self) -> Result<Observed> {
        observe::observe(self).await
    }

    /// What is missing now.
    pub async fn plan(&self) -> Result<Plan> {
        self.plan_of(&self.observe().await?)
    }

    /// What is missing of what is there.
    pub fn plan_of(&self, observed: &Observed) -> Result<Plan> {
        plan(&self.composed.wanted, observed, self.removal)
    }

    /// Waits a moment. Returns false if the user interrupted.
    async fn pause(&self) -> bool {
        let mut stop = self.interrupted.clone();
        tokio::select! {
            () = sleep(PAUSE) => true,
            _ = stop.wait_for(|stop| *stop) => false,
        }
    }

    fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    /// Does some work until the user interrupts it.
    async fn unless_interrupted<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut stop = self.interrupted.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Err(Error::interrupted("interrupted")),
            result = work => result,
        }
    }

    /// The organizations whose steps are carried out from here.
    async fn own(&self) -> Result<Own<'_>> {
        let elsewhere = self.elsewhere().await?;
        Ok(match self.organization {
            Some(organization) => Own::One(organization),
            None => Own::AllBut(elsewhere),
        })
    }

    /// Updates that others must sign now: by the id of the step, a sentence.
    fn proposed(&self) -> BTreeMap<String, String> {
        let proposed = self.memory.proposed.lock();
        proposed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns the releases of the file for [`Options::expected`]: values may refer to them before they
/// exist.
pub fn expected(network: &Network) -> BTreeSet<(String, String)> {
    let all = network.installations();
    all.map(|it| (it.release.clone(), it.namespace.clone()))
        .collect()
}

/// Brings the network to the state in its file.
///
/// # Errors
///
/// What failed, after all steps that do not depend on it; what cannot be known.
pub async fn up(site: &Site<'_>) -> Result<Done> {
    let mut done = Done::default();
    let work = rounds(site, &mut done).await;
    match work {
        Ok(()) => Ok(done),
        Err(error) if error.kind() == Kind::Interrupted => Err(interrupted(&done, error)),
        Err(error) => Err(error),
    }
}

async fn rounds(site: &Site<'_>, done: &mut Done) -> Result<()> {
    let patience = Instant::now() + site.options.timeout.min(PATIENCE);
    let own = site.unless_interrupted(site.own()).await?;
    loop {
        let observed = site.unless_interrupted(site.observe()).await?;
        let plan = site.plan_of(&observed)?;
        let part = plan.part(&own, &site.proposed().into_keys().collect());
        let is_known = plan.held.is_empty() && plan.unknown.is_empty();
        if part.now.is_empty() {
            if lacks(site, &plan, &part) {
                // A node that restarts answers soon.
                match Instant::now() < patience && site.pause().await {
                    true => continue,
                    false if site.is_interrupted() => {
                        return Err(Error::interrupted("interrupted"));
                    }
                    false => return Err(unknown(&plan)),
                }
            }
            done.files = exchange::hand_over(site, &observed).await?;
            done.files.extend(site.proposed().into_values());
            done.rest = plan;
            done.part = part;
            return Ok(());
        }
        let ended = run::run(site, &part.now).await;
        let failed = run::failure(site, &ended, &part.now);
        done.steps.extend(ended);
        if failed.is_none() {
            let joined: BTreeSet<&str> = done.steps.iter().filter_map(joins_orderer).collect();
            let leaders = channel::await_leaders(site, &joined);
            site.unless_interrupted(leaders).await?;
        }
        let is_whole = is_known && site.is_alone() && part.now.len() == plan.steps.len();
        match failed {
            Some(error) => return Err(error),
            None if is_whole => {
                done.rest = Plan {
                    leftovers: plan.leftovers,
                    ..Plan::default()
                };
                return Ok(());
            }
            // Unknown states may be known now.
            None => {}
        }
    }
}

/// Whether something that only steps from here depend on is unknown.
fn lacks(site: &Site<'_>, plan: &Plan, part: &Part) -> bool {
    let Some(organization) = site.organization else {
        return !(plan.held.is_empty() && plan.unknown.is_empty());
    };
    let namespace = site.network.namespace(organization).unwrap_or_default();
    let (identities, releases) = (
        format!("identities/{organization}"),
        format!("release/{namespace}/"),
    );
    let mut unknown = plan.unknown.iter();
    let is_alone = |held: &Held| held.step.by == [organization];
    unknown.any(|it| it.id == identities || it.id.starts_with(&releases))
        || part.held.iter().any(is_alone)
}

/// The error of a run that the user stopped between steps.
fn interrupted(done: &Done, error: Error) -> Error {
    if error.state().is_some() {
        return error;
    }
    let carried_out = done.steps.iter().filter(|it| it.result.is_ok()).count();
    error
        .now(format!("{carried_out} steps are completed, and stay"))
        .hint("run the same command again to complete it")
}

/// The channel that a step has joined an orderer to. It is up when its orderers have a leader.
fn joins_orderer(ended: &Ended) -> Option<&str> {
    match &ended.step.action {
        Action::JoinOrderer { channel, .. } | Action::CreateChannel { channel } => Some(channel),
        _ => None,
    }
}

/// Returns the error for an incomplete plan.
fn unknown(plan: &Plan) -> Error {
    let places = plan
        .unknown
        .iter()
        .map(|it| Place::new(it.what.clone()).note(it.why.clone()));
    let held: Vec<String> = plan
        .held
        .iter()
        .map(|held| held.step.action.to_string())
        .collect();
    let error = Error::new(Kind::NotReady, "parts of the network's state are unknown")
        .at_all(places)
        .now("all steps that do not depend on them are completed");
    let error = match held.is_empty() {
        true => error,
        false => error.why(format!("not done because of this: {}", held.join("; "))),
    };
    error.hint("run the same command again when they respond, to complete the missing steps")
}
