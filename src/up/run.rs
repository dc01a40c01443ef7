//! Runs the steps of a plan, each as soon as its dependencies are complete.

use super::{Site, chaincode, channel, release, system};
use crate::deploy::{Event, Intent};
use crate::error::{Error, Kind, Place, Result};
use crate::network::Step;
use crate::network::state::ReleaseKey;
use crate::network::step::Action;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Interval of reports about waits.
const TICK: Duration = Duration::from_secs(2);

/// Reports the progress of a run.
pub trait Report: Sync {
    /// A step has ended.
    fn ended(&self, ended: &Ended);
    /// The progress of the operation on a release.
    fn release(&self, namespace: &str, event: &Event);
    /// Called every few seconds.
    fn tick(&self);
}

/// A completed or failed step.
#[derive(Clone, Debug)]
pub struct Ended {
    pub step: Step,
    /// Its start, relative to the start of the first step, and its duration.
    pub began: Duration,
    pub took: Duration,
    pub result: Result<()>,
}

/// Runs the steps, in parallel where possible. Skips only steps that depend on a failed one.
pub async fn run(site: &Site<'_>, steps: &[Step]) -> Vec<Ended> {
    let order = Order::of(steps);
    let start = Instant::now();
    let genesis = channel::Blocks::default();
    let mut ended: Vec<Ended> = Vec::new();
    let mut begun: BTreeSet<&str> = BTreeSet::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut applied = site.memory.applied.subscribe();
    let mut ticker = tokio::time::interval(TICK);
    loop {
        let written = applied.borrow_and_update().clone();
        let is_over = |id: &str| {
            let identities = id.strip_prefix("identities/");
            done.contains(id) || identities.is_some_and(|name| written.contains(name))
        };
        for step in &order.steps {
            let id = step.id.as_str();
            let is_ready = order.before[id].iter().all(|id| is_over(id));
            if is_ready && !begun.contains(id) && !site.is_interrupted() {
                begun.insert(id);
                running.push(one(site, step, &genesis, start));
            }
        }
        let next = tokio::select! {
            next = running.next() => next,
            _ = ticker.tick() => {
                site.report.tick();
                continue;
            }
            // Changes are handled in the next round; the sender lives as long as the site.
            Ok(()) = applied.changed() => continue,
        };
        let Some((step, end)) = next else {
            return ended;
        };
        if end.result.is_ok() {
            done.insert(&step.id);
            done.extend(order.writes.get(step.id.as_str()).map(String::as_str));
        }
        site.report.ended(&end);
        ended.push(end);
    }
}

fn one<'a>(
    site: &'a Site<'_>,
    step: &'a Step,
    genesis: &'a channel::Blocks,
    start: Instant,
) -> LocalBoxFuture<'a, (&'a Step, Ended)> {
    Box::pin(async move {
        let began = start.elapsed();
        let result = carry_out(site, &step.action, genesis).await;
        let end = Ended {
            step: step.clone(),
            began,
            took: start.elapsed() - began,
            result,
        };
        (step, end)
    })
}

/// Steps with their dependencies.
///
/// The identities of an organization are written with its release, before its nodes start. Steps
/// that depend on them need not wait until the nodes are ready.
struct Order<'a> {
    steps: Vec<&'a Step>,
    before: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// By release step: the step of the identities that it writes.
    writes: BTreeMap<&'a str, String>,
}

impl<'a> Order<'a> {
    fn of(steps: &'a [Step]) -> Order<'a> {
        let mut writes: BTreeMap<&str, String> = BTreeMap::new();
        for step in steps {
            if let Some(key) = release::key(&step.action) {
                let identities = format!("identities/{}", key.release);
                // The genesis block of orderers comes after their identities, and before them.
                let genesis = format!("system-genesis/{}", key.release);
                if step.after.contains(&identities) && !step.after.contains(&genesis) {
                    writes.insert(&step.id, identities);
                }
            }
        }
        let written: BTreeSet<&String> = writes.values().collect();
        let own = steps.iter().filter(|step| !written.contains(&step.id));
        let own: Vec<&Step> = own.collect();
        let all: BTreeSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        let before = own.iter().map(|step| {
            let id = step.id.as_str();
            let after = step
                .after
                .iter()
                .filter(|before| all.contains(before.as_str()) && writes.get(id) != Some(*before));
            (id, after.map(String::as_str).collect())
        });
        Order {
            before: before.collect(),
            steps: own,
            writes,
        }
    }
}

async fn carry_out(site: &Site<'_>, action: &Action, genesis: &channel::Blocks) -> Result<()> {
    if let Some(key) = release::key(action) {
        return match action {
            Action::Uninstall { .. } => {
                let intent = Intent::Uninstall {
                    keep_history: false,
                    delete_data: false,
                    delete_namespace: false,
                };
                let done = release::run(site, &key, intent, site.options.clone()).await;
                done.map(|_| ())
            }
            _ => release::apply(site, &key).await,
        };
    }
    if let Action::Identities { organization } = action {
        let namespace = site.network.namespace(organization).unwrap_or_default();
        return release::identities(site, &ReleaseKey::new(organization, namespace)).await;
    }
    let work = async {
        match action {
            Action::SystemGenesis {
                organization,
                channel,
            } => system::store_genesis(site, organization, channel).await,
            Action::Genesis { .. }
            | Action::CreateChannel { .. }
            | Action::Anchors { .. }
            | Action::JoinOrderer { .. }
            | Action::JoinPeer { .. }
            | Action::UpdateChannel { .. }
            | Action::Leave { .. } => channel::carry_out(site, action, genesis).await,
            Action::Package { .. }
            | Action::Approve { .. }
            | Action::Commit { .. }
            | Action::Instantiate { .. }
            | Action::Initialize { .. } => chaincode::carry_out(site, action).await,
            other => Err(Error::internal(format!("cannot {other}"))),
        }
    };
    site.unless_interrupted(work).await
}

/// Returns the failures and the steps that were skipped because of them, or `None` if all steps are
/// complete.
pub fn failure(site: &Site<'_>, ended: &[Ended], steps: &[Step]) -> Option<Error> {
    let failed: Vec<(&Step, &Error)> = ended
        .iter()
        .filter_map(|it| Some((&it.step, it.result.as_ref().err()?)))
        .collect();
    let is_interrupted = site.is_interrupted();
    if failed.is_empty() && !is_interrupted {
        return None;
    }
    let ids: BTreeSet<&str> = ended.iter().map(|it| it.step.id.as_str()).collect();
    let order = Order::of(steps);
    let left = order
        .steps
        .iter()
        .filter(|step| !ids.contains(step.id.as_str()));
    let left: Vec<String> = left.map(|step| step.action.to_string()).collect();
    let done = ended.iter().filter(|it| it.result.is_ok()).count();
    let now = format!(
        "{done} of {} steps are completed, and stay",
        order.steps.len()
    );
    const AGAIN: &str = "run the same command again to complete it";
    if is_interrupted {
        return Some(Error::interrupted("interrupted").now(now).hint(AGAIN));
    }
    let kind = match failed.iter().map(|(_, error)| error.kind()).next() {
        Some(kind) if failed.iter().all(|(_, error)| error.kind() == kind) => kind,
        _ => Kind::NotReady,
    };
    let mut error = match &failed[..] {
        [(_, only)] => (*only).clone(),
        _ => {
            let places = failed.iter().flat_map(|(step, error)| {
                let own = Place::new(step.action.to_string()).note(words(error));
                std::iter::once(own).chain(error.places().to_vec())
            });
            let error = Error::new(kind, format!("{} steps failed", failed.len()));
            let hints: BTreeSet<&String> =
                failed.iter().flat_map(|(_, error)| error.hints()).collect();
            let error = error.at_all(places);
            hints
                .into_iter()
                .fold(error, |error, hint| error.hint(hint.clone()))
        }
    };
    if let Some(state) = error.state().map(str::to_owned) {
        error = error.replace_now(format!("{now}; {state}"));
    } else {
        error = error.now(now);
    }
    if !left.is_empty() {
        error = error.why(format!("not started because of this: {}", left.join("; ")));
    }
    Some(
        match error
            .hints()
            .iter()
            .any(|hint| hint.starts_with("run the same command again"))
        {
            true => error,
            false => error.hint(AGAIN),
        },
    )
}

/// Formats an error on one line.
pub fn words(error: &Error) -> String {
    let reasons = error.reasons().join(": ");
    match reasons.is_empty() {
        true => error.what().to_owned(),
        false => format!("{}: {reasons}", error.what()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(action: Action, after: &[&str]) -> Step {
        Step {
            id: action.id(),
            action,
            by: Vec::new(),
            after: after.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    fn org1() -> String {
        "org1".to_owned()
    }

    #[test]
    fn identities_are_written_by_the_release_that_comes_after_them() {
        let identities = Action::Identities {
            organization: org1(),
        };
        let install = Action::Install {
            release: org1(),
            namespace: org1(),
        };
        let genesis = Action::Genesis {
            channel: "mychannel".to_owned(),
        };
        let steps = [
            step(identities, &[]),
            step(install, &["identities/org1"]),
            step(genesis, &["identities/org1", "identities/org2"]),
        ];
        let order = Order::of(&steps);
        let ids: Vec<&str> = order.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["release/org1/org1", "channel/mychannel"]);
        assert!(order.before["release/org1/org1"].is_empty());
        // Completed steps are not waited for.
        let before: Vec<&str> = order.before["channel/mychannel"].iter().copied().collect();
        assert_eq!(before, ["identities/org1"]);
        assert_eq!(order.writes["release/org1/org1"], "identities/org1");
    }

    #[test]
    fn identities_that_a_genesis_block_names_come_before_the_release_that_starts_from_it() {
        let orderers = || "orgorderer1".to_owned();
        let identities = Action::Identities {
            organization: orderers(),
        };
        let genesis = Action::SystemGenesis {
            organization: orderers(),
            channel: "system-channel".to_owned(),
        };
        let install = Action::Install {
            release: orderers(),
            namespace: orderers(),
        };
        let (own, block) = ("identities/orgorderer1", "system-genesis/orgorderer1");
        let steps = [
            step(identities, &[]),
            step(genesis, &[own]),
            step(install, &[own, block]),
        ];
        let order = Order::of(&steps);
        let ids: Vec<&str> = order.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, [own, block, "release/orgorderer1/orgorderer1"]);
        assert!(order.before[own].is_empty() && order.writes.is_empty());
    }
}
