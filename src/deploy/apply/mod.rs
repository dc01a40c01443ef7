//! Carries out a plan in order of stages and kinds. Objects of one kind are applied concurrently,
//! except running objects of a rollout group. Kinds that are passive until a pod uses them count as
//! one kind.

#[cfg(test)]
mod tests;

use super::turns::Groups;
use super::volumes;
use super::wait::{Awaited, Monitor};
use super::{Context, Event, Writer, account};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Apply, Delete, Expects};
use crate::error::{Error, Result};
use crate::manifest::outline::ReadOutline;
use crate::manifest::{ObjectKey, Sealed, kinds, order};
use crate::plan::compare::owned_fields;
use crate::plan::ownership::owner_of;
use crate::plan::{Action, Plan, Step, foreign};
use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::HashMap;

/// Maximum number of concurrent writes, equal to the limit of the cluster room. More would queue in
/// front of the lock's renewal, and the lock would be lost.
pub const IN_FLIGHT: usize = 32;

/// Number of attempts to take over fields of an object that changes at the same time.
const CLAIMS: usize = 10;

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

async fn write(writer: &Writer<'_>, step: &Step, monitor: &mut Monitor<'_>) -> Result<Value> {
    // Claims come first. Until they match the new templates, the old templates stay and show the
    // next run what is left to do.
    if let Some(volumes) = &step.volumes {
        volumes::expand(writer, volumes, monitor).await?;
    }
    if step.action == Action::Recreate {
        writer.check()?;
        // Pods and volumes of a StatefulSet stay without it, and the new StatefulSet adopts them.
        let orphan = step.key.kind == "StatefulSet";
        let uid = step.uid();
        let how = Delete {
            uid: uid.clone(),
            orphan,
            ..Delete::default()
        };
        writer
            .context
            .cluster
            .delete(&step.api_version, &step.key, how)
            .await?;
        let gone = Awaited::ready(&step.key, &step.api_version);
        monitor
            .until_gone(&gone, uid.as_deref(), writer.options.timeout)
            .await?;
    }
    if let Some(volumes) = &step.volumes {
        volumes::vacate(writer, volumes, monitor).await?;
    }
    apply_one(writer, step).await
}

async fn apply_one(writer: &Writer<'_>, step: &Step) -> Result<Value> {
    let wanted = step
        .wanted
        .as_ref()
        .expect("only wanted objects are applied");
    let uid = step.uid();
    // An object with a status almost always has a newer version than in the plan. Binding to the
    // version would cost an additional request for each change.
    let version = step
        .resource_version()
        .filter(|_| kinds::is_left_alone(&step.key.group, &step.key.kind));
    let expects = match (step.action, &uid, version) {
        (Action::Change, Some(uid), Some(version)) => Expects::Version { uid, version },
        (Action::Change, Some(uid), None) => Expects::Uid(uid),
        _ => Expects::Absent,
    };
    if step.action == Action::Change && !step.theirs.is_empty() {
        claim(writer, step).await?;
    }
    let body = put(writer, wanted, expects).await?;
    let action = match step.action {
        Action::Create => "created",
        Action::Recreate => "recreated",
        _ => "changed",
    };
    writer.context.progress.event(&Event::Applied {
        action: action.to_owned(),
        object: step.key.to_string(),
        nodes: None,
    });
    Ok(body)
}

/// Makes this program the only owner of fields that others added, so that the following apply
/// removes them. An apply alone keeps fields that another manager owns as well.
///
/// If a run ends between the two, the next run finds owned fields that are not desired, and
/// applies.
async fn claim(writer: &Writer<'_>, step: &Step) -> Result<()> {
    let cluster = writer.context.cluster;
    let failed = |error: ApiError| {
        Error::from(error).context(format!("cannot take over fields of {}", step.key))
    };
    for attempt in 0.. {
        let live = cluster
            .get(&step.api_version, &step.key)
            .await
            .map_err(failed)?;
        // The object is missing or another one. The apply reports this.
        let Some(live) =
            live.filter(|live| live["metadata"]["uid"].as_str() == step.uid().as_deref())
        else {
            return Ok(());
        };
        let Some(managers) = foreign::claim(&live, &step.api_version, &step.theirs) else {
            return Ok(());
        };
        let version = &live["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"uid": step.uid(), "resourceVersion": version, "managedFields": managers}});
        writer.check()?;
        match cluster
            .merge_patch(&step.api_version, &step.key, &patch)
            .await
        {
            Ok(_) => return Ok(()),
            // A controller wrote its status at the same time.
            Err(error) if error.kind == ApiErrorKind::Conflict && attempt < CLAIMS => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Writes an object if the cluster still has what the plan saw: no object, or the one with this
/// UID. Returns its outline.
///
/// A write that is bound to a version and reaches the server late cannot overwrite a change of
/// another run.
///
/// # Errors
///
/// Fails if someone else created or deleted an object of this name.
pub(super) async fn put(
    writer: &Writer<'_>,
    wanted: &Sealed,
    expects: Expects<'_>,
) -> Result<Value> {
    writer.check()?;
    let Writer {
        context, options, ..
    } = writer;
    let send = async |expects: Expects<'_>| {
        let how = Apply {
            force: options.force_conflicts,
            expects,
            ..Apply::default()
        };
        account::until_there(context, options, wanted, async || {
            context.cluster.apply_into(wanted, how, ReadOutline).await
        })
        .await
    };
    let mut written = send(expects).await?;
    // The object changed since the plan: a label, or our own attempt whose response was lost. Or
    // this write is late, and another run has taken over the lock; then the fence before the next
    // attempt reports it. Otherwise the owner of the field decides.
    if let Expects::Version { uid, .. } = expects
        && written
            .as_ref()
            .is_err_and(|error| error.kind == ApiErrorKind::Conflict && error.causes.is_empty())
    {
        written = send(Expects::Uid(uid)).await?;
    }
    if expects == Expects::Absent && is_replaced(&written) {
        // `None` if the object is gone again.
        let ours = uid_of_own(context, wanted).await?;
        let expects = ours.as_deref().map_or(expects, Expects::Uid);
        written = send(expects).await?;
    }
    written.map_err(|error| match error.kind {
        ApiErrorKind::Replaced => Error::cluster(format!(
            "cannot apply {}: it was deleted or recreated in the meantime",
            wanted.key
        ))
        .why(error.message),
        _ => Error::from(error).context(format!("cannot apply {}", wanted.key)),
    })
}

/// Returns the UID of an object that exists although the plan did not see it, if it is our own.
///
/// A retried write whose first response was lost finds its own object, which has our marks and our
/// field manager.
///
/// # Errors
///
/// Fails if someone else created it.
async fn uid_of_own(context: &Context<'_>, wanted: &Sealed) -> Result<Option<String>> {
    let cluster = context.cluster;
    let Some(body) = cluster.get(&wanted.api_version, &wanted.key).await? else {
        return Ok(None);
    };
    if context.owner().owns(&body) && owned_fields(&body).is_some() {
        let uid = body["metadata"]["uid"].as_str().unwrap_or_default();
        return Ok(Some(uid.to_owned()));
    }
    Err(Error::cluster(format!(
        "cannot create {}: an object of this name was created in the meantime",
        wanted.key
    ))
    .why(format!(
        "{}, and it did not exist when the plan was made",
        owner_of(&body)
    ))
    .hint("move it away, or adopt it with --take-ownership"))
}

fn is_replaced<T>(written: &ApiResult<T>) -> bool {
    written
        .as_ref()
        .is_err_and(|error| error.kind == ApiErrorKind::Replaced)
}

/// Deletes the objects that the plan prunes, and only those that the plan saw.
///
/// If other members of a rollout group stay, its members are deleted one at a time.
pub async fn prune<'p>(
    writer: &Writer<'_>,
    plan: &'p Plan,
    mut groups: Groups<'p>,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let steps: Vec<&Step> = plan.with(Action::Prune).collect();
    let mut rest = steps.as_slice();
    while let Some(first) = rest.first() {
        let end = rest
            .iter()
            .position(|step| step.key.kind != first.key.kind)
            .unwrap_or(rest.len());
        let (same_kind, others) = rest.split_at(end);
        let (mut in_turn, at_once): (Vec<&Step>, Vec<&Step>) = same_kind
            .iter()
            .copied()
            .partition(|step| groups.leaves_others(step));
        let deletions = stream::iter(at_once)
            .map(|step| delete(writer, step))
            .buffer_unordered(IN_FLIGHT);
        let results: Vec<Result<()>> = deletions.collect().await;
        results.into_iter().collect::<Result<Vec<()>>>()?;
        while !in_turn.is_empty() {
            let step = groups.turn(writer, &in_turn, monitor).await?;
            remove(writer, step, &mut groups, monitor).await?;
            in_turn.retain(|other| other.key != step.key);
        }
        rest = others;
    }
    if writer.options.wait {
        for step in steps {
            let gone = Awaited::ready(&step.key, &step.api_version);
            monitor
                .until_gone(&gone, step.uid().as_deref(), writer.options.timeout)
                .await?;
        }
    }
    Ok(())
}

/// Deletes a member of a rollout group.
async fn remove(
    writer: &Writer<'_>,
    step: &Step,
    groups: &mut Groups<'_>,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    delete(writer, step).await?;
    let gone = Awaited::ready(&step.key, &step.api_version);
    monitor
        .until_gone(&gone, step.uid().as_deref(), writer.options.timeout)
        .await?;
    groups.forget(step);
    Ok(())
}

async fn delete(writer: &Writer<'_>, step: &Step) -> Result<()> {
    writer.check()?;
    let context = writer.context;
    let how = Delete {
        uid: step.uid(),
        foreground: step.key.kind == "Job",
        ..Delete::default()
    };
    let deleted = context
        .cluster
        .delete(&step.api_version, &step.key, how)
        .await;
    match deleted {
        // Another UID means that the object of the plan is gone.
        Err(error) if error.kind == ApiErrorKind::Replaced => {
            context.warn(&format!(
                "{} stays: in the meantime, another user deleted and recreated it",
                step.key
            ));
        }
        Ok(true) => context.progress.event(&Event::Applied {
            action: "deleted".to_owned(),
            object: step.key.to_string(),
            nodes: None,
        }),
        Ok(false) => {}
        Err(error) => return Err(Error::from(error).context(format!("cannot delete {}", step.key))),
    }
    Ok(())
}
