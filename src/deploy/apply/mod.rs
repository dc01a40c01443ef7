//! Carries out a plan in order of stages and kinds. Objects of one kind are applied concurrently,
//! except running objects of a rollout group. Kinds that are passive until a pod uses them count as
//! one kind.

mod prune;
#[cfg(test)]
mod tests;
mod write;

pub use prune::prune;
pub(super) use write::put;

use super::Writer;
use super::turns::Groups;
use super::wait::{Awaited, Monitor};
use crate::error::Result;
use crate::manifest::{ObjectKey, order};
use crate::plan::{Action, Plan, Step};
use futures::{StreamExt, stream};
use prune::remove;
use serde_json::Value;
use std::cell::Cell;
use std::collections::HashMap;
use write::{apply_one, write};

/// Maximum number of concurrent writes, equal to the limit of the cluster room. More would queue in
/// front of the lock's renewal, and the lock would be lost.
pub const IN_FLIGHT: usize = 32;

/// UIDs of written objects, for the inventory.
pub type Uids<'p> = HashMap<&'p ObjectKey, String>;

/// Applies the objects that the plan creates, changes and recreates. `uids` has the objects written
/// so far, even after a failure.
pub async fn apply<'p>(
    writer: &Writer<'_>,
    plan: &'p Plan,
    groups: &mut Groups<'p>,
    monitor: &mut Monitor<'_>,
    uids: &mut Uids<'p>,
) -> Result<()> {
    let wanted: Vec<&'p Step> = plan
        .steps
        .iter()
        .filter(|step| step.wanted.is_some())
        .collect();
    let has_stages =
        wanted.first().map(|step| stage_of(step)) != wanted.last().map(|step| stage_of(step));
    let waits = writer.options.wait
        || has_stages
        || wanted
            .iter()
            .any(|step| step.action == Action::Recreate || groups.writes(step));
    let mut seen = Seen {
        uids,
        monitor,
        waits,
    };
    for step in wanted.iter().copied() {
        if let Some(live) = &step.live {
            seen.take_in(step, live);
        }
    }
    let mut rest = wanted.as_slice();
    while let Some(stage) = rest.first().map(|step| stage_of(step)) {
        let end = rest
            .iter()
            .position(|step| stage_of(step) != stage)
            .unwrap_or(rest.len());
        let (now, later) = rest.split_at(end);
        apply_stage(writer, now, groups, &mut seen).await?;
        // The next stage depends on this one. If it has changes, wait even with --wait=false.
        if later.iter().any(|step| step.action != Action::Unchanged) {
            seen.monitor
                .until_ready(&awaited(now.iter().copied()), writer.options.timeout)
                .await?;
        }
        rest = later;
    }
    Ok(())
}

/// The known state of the objects.
struct Seen<'a, 'c, 'p> {
    uids: &'a mut Uids<'p>,
    monitor: &'a mut Monitor<'c>,
    /// Whether the operation waits for anything. If not, the state of an object is not needed.
    waits: bool,
}

impl<'p> Seen<'_, '_, 'p> {
    fn take_in(&mut self, step: &'p Step, body: &Value) {
        if let Some(uid) = body["metadata"]["uid"].as_str() {
            self.uids.insert(&step.key, uid.to_owned());
        }
        if self.waits {
            self.monitor.note(&step.key, body);
        }
    }
}

fn stage_of(step: &Step) -> i32 {
    step.wanted.as_ref().map_or(0, |wanted| wanted.stage)
}

/// Returns the steps' objects in the form for waiting.
pub fn awaited<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<Awaited> {
    steps
        .map(|step| Awaited::ready(&step.key, &step.api_version))
        .collect()
}

async fn apply_stage<'p>(
    writer: &Writer<'_>,
    steps: &[&'p Step],
    groups: &mut Groups<'p>,
    seen: &mut Seen<'_, '_, 'p>,
) -> Result<()> {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let together = |step: &&&Step| order::may_go_together(&first.key.kind, &step.key.kind);
        let end = rest.iter().take_while(together).count();
        let (now, others) = rest.split_at(end);
        let written: Vec<&'p Step> = now
            .iter()
            .copied()
            .filter(|step| step.action != Action::Unchanged)
            .collect();
        groups.look(&written, seen.monitor).await?;
        let (in_turn, at_once): (Vec<&'p Step>, Vec<&'p Step>) = written
            .into_iter()
            .partition(|step| groups.takes_turns(step, seen.monitor));
        apply_at_once(writer, &at_once, seen).await?;
        if !in_turn.is_empty() {
            apply_in_turn(writer, in_turn, groups, seen).await?;
        }
        rest = others;
    }
    Ok(())
}

/// Applies members of a rollout group.
///
/// Members that are down come first, all together: they have nothing to lose, and the change may
/// repair them. The others follow one at a time, each while all others of its group are ready.
async fn apply_in_turn<'p>(
    writer: &Writer<'_>,
    mut left: Vec<&'p Step>,
    groups: &mut Groups<'p>,
    seen: &mut Seen<'_, '_, 'p>,
) -> Result<()> {
    let mut begun: Vec<Awaited> = Vec::new();
    loop {
        groups.look(&left, seen.monitor).await?;
        let step = match groups.down(&left, seen.monitor) {
            Some(step) => step,
            None => {
                seen.monitor
                    .until_ready(&begun, writer.options.timeout)
                    .await?;
                begun.clear();
                if left.is_empty() {
                    return groups.settle(writer, seen.monitor).await;
                }
                for step in groups.down_and_leaving(&left, seen.monitor) {
                    remove(writer, step, groups, seen.monitor).await?;
                }
                groups.turn(writer, &left, seen.monitor).await?
            }
        };
        let body = write(writer, step, seen.monitor).await?;
        seen.take_in(step, &body);
        left.retain(|other| other.key != step.key);
        if !groups.may_be_down(&step.key) {
            begun.extend(awaited(std::iter::once(step)));
        }
    }
}

async fn apply_at_once<'p>(
    writer: &Writer<'_>,
    steps: &[&'p Step],
    seen: &mut Seen<'_, '_, 'p>,
) -> Result<()> {
    let takes_time = |step: &&'p Step| step.action == Action::Recreate || step.volumes.is_some();
    let (slow, plain): (Vec<&'p Step>, Vec<&'p Step>) = steps.iter().copied().partition(takes_time);
    let failed = Cell::new(false);
    let mut failure = None;
    let mut writes = stream::iter(plain)
        .map(|step| {
            let failed = &failed;
            async move {
                if failed.get() {
                    None
                } else {
                    Some((step, apply_one(writer, step).await))
                }
            }
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some(written) = writes.next().await {
        match written {
            Some((step, Ok(body))) => seen.take_in(step, &body),
            // Writes in progress may finish, so that the record matches the cluster. No further
            // write begins.
            Some((_, Err(error))) => {
                failed.set(true);
                failure = failure.or(Some(error));
            }
            None => {}
        }
    }
    drop(writes);
    if let Some(error) = failure {
        return Err(error);
    }
    for step in slow {
        let body = write(writer, step, seen.monitor).await?;
        seen.take_in(step, &body);
    }
    Ok(())
}
