//! A network file brought to life: what is there, what is missing, and doing it.
//!
//! ```text
//! network ─► compose ─► Wanted ───┐
//!                                 ├─► network::plan ─► run ─► releases, channels, chaincodes
//! cluster, nodes ─► observe ──────┘         ▲                          │
//!                                           └──────── again ◄──────────┘
//! ```
//!
//! `network` decides what is missing; this room asks and acts. The cluster and the ledgers are the
//! state, so an interrupted run is repeated and does the other steps. What could not be known
//! before a step (the ledger on a kept volume, say) is asked after it, and planned then.

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

/// How long nodes may take until they answer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that an operation on a network gets from outside.
pub struct Site<'a> {
    pub cluster: &'a Cluster,
    pub network: &'a Network,
    pub composed: &'a Composed<'a>,
    /// Files that the network file names.
    pub inputs: &'a Inputs,
    /// Who signs for a release.
    pub signing: &'a (dyn Fn(&str) -> Signing + Sync),
    pub now: Timestamp,
    pub report: &'a dyn Report,
    /// Becomes true at the first Ctrl-C, SIGTERM or SIGHUP.
    pub interrupted: watch::Receiver<bool>,
    /// How releases are applied; its timeout also limits each transaction.
    pub options: Options,
    /// The organization whose part is done; `None` does all of it.
    pub organization: Option<&'a str>,
    pub memory: Memory,
}

/// What a site remembers while it works.
#[derive(Default)]
pub struct Memory {
    members: Members,
    /// Releases of organizations whose objects are applied, though not all are ready.
    applied: watch::Sender<BTreeSet<String>>,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Done {
    /// The steps that were carried out, in the order in which they ended.
    pub steps: Vec<Ended>,
    /// The last plan: what is left to do for others, and what is left over.
    pub rest: Plan,
}

impl Site<'_> {
    /// What is there.
    pub async fn observe(&self) -> Result<Observed> {
        observe::observe(self).await
    }

    /// What is missing now.
    pub async fn plan(&self, removal: Removal) -> Result<Plan> {
        plan(&self.composed.wanted, &self.observe().await?, removal)
    }

    /// Waits a moment; false if the user interrupted.
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

/// The releases of the file, which its values may name before they exist: for
/// [`Options::expected`].
pub fn expected(network: &Network) -> BTreeSet<(String, String)> {
    let all = network.installations();
    all.map(|it| (it.release.clone(), it.namespace.clone()))
        .collect()
}

/// Brings the network to what its file asks for.
///
/// # Errors
///
/// What failed, after all steps that do not depend on it; what cannot be known.
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
                // A node that restarts answers soon.
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
            // What was unknown or waited may be known now.
            None => {}
        }
    }
}

/// A channel is up when its orderers have a leader.
fn joins_orderers(action: &Action) -> bool {
    matches!(action, Action::JoinOrderer { .. })
}

/// What keeps a plan from being complete.
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
    let error = Error::new(Kind::NotReady, "the network's state is not fully known")
        .at_all(places)
        .now("what could be done is done");
    let error = match held.is_empty() {
        true => error,
        false => error.why(format!("not done because of that: {}", held.join("; "))),
    };
    error.hint("run the same command again when these can be asked: it does what is missing")
}
