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
mod down;
mod members;
mod observe;
mod release;
mod run;
mod update;

pub use compose::{AS_WANTED, Composed, Inputs, check, compose};
pub use down::{Down, down};
pub use run::{Ended, Report};

use crate::cluster::Cluster;
use crate::deploy::Options;
use crate::error::{Error, Kind, Place, Result};
use crate::member::Signing;
use crate::network::step::Action;
use crate::network::{Network, Observed, Plan, Removal, plan};
use jiff::Timestamp;
use members::Members;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
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
    /// The identity that signs for a release.
    pub signing: &'a (dyn Fn(&str) -> Signing + Sync),
    pub now: Timestamp,
    pub report: &'a dyn Report,
    /// Becomes true at the first Ctrl-C, SIGTERM or SIGHUP.
    pub interrupted: watch::Receiver<bool>,
    /// Options for applying releases. The timeout also limits each transaction.
    pub options: Options,
    /// The organization whose part to perform; `None` means all.
    pub organization: Option<&'a str>,
    pub memory: Memory,
}

/// The state of a site during a run.
#[derive(Default)]
pub struct Memory {
    members: Members,
    /// Releases of organizations whose objects are applied, but not all ready.
    applied: watch::Sender<BTreeSet<String>>,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Done {
    /// The completed steps, in the order of completion.
    pub steps: Vec<Ended>,
    /// The last plan: remaining steps of other organizations, and leftovers.
    pub rest: Plan,
}

impl Site<'_> {
    /// What is there.
    pub async fn observe(&self) -> Result<Observed> {
        observe::observe(self).await
    }

    /// The missing steps.
    pub async fn plan(&self, removal: Removal) -> Result<Plan> {
        plan(&self.composed.wanted, &self.observe().await?, removal)
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
/// Reports failed steps, after running all steps that do not depend on them, and unknown states.
pub async fn up(site: &Site<'_>, removal: Removal) -> Result<Done> {
    let mut done = Done::default();
    let patience = Instant::now() + site.options.timeout.min(PATIENCE);
    loop {
        let plan = site.plan(removal).await?;
        let steps = match site.organization {
            Some(organization) => plan.part_of(organization).now,
            None => plan.steps.clone(),
        };
        let is_last = plan.held.is_empty() && plan.unknown.is_empty();
        if steps.is_empty() {
            if !is_last && site.organization.is_none() {
                // A restarting node responds soon.
                match Instant::now() < patience && site.pause().await {
                    true => continue,
                    false => return Err(unknown(&plan)),
                }
            }
            done.rest = plan;
            return Ok(done);
        }
        let ended = run::run(site, &steps).await;
        let failed = run::failure(site, &ended, &steps);
        done.steps.extend(ended);
        if failed.is_none() && done.steps.iter().any(|it| joins_orderers(&it.step.action)) {
            channel::await_leaders(site).await?;
        }
        match failed {
            Some(error) => return Err(error),
            None if is_last && site.organization.is_none() => {
                done.rest = Plan {
                    leftovers: plan.leftovers,
                    ..Plan::default()
                };
                return Ok(done);
            }
            // Unknown states may be known now.
            None => {}
        }
    }
}

/// A channel is up when its orderers have a leader.
fn joins_orderers(action: &Action) -> bool {
    matches!(action, Action::JoinOrderer { .. })
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
