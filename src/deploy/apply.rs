//! Carrying out a plan: stage after stage, in a stage kind after kind, in a kind all at once,
//! except running objects of one rollout group. Kinds that only lie there until a pod looks at them
//! count as one.

use super::turns::Groups;
use super::volumes;
use super::wait::{Awaited, Monitor};
use super::{Event, Writer, account};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Apply, Delete, Expects};
use crate::error::{Error, Result};
use crate::manifest::outline::ReadOutline;
use crate::manifest::{ObjectKey, Sealed, kinds, order};
use crate::plan::compare::owned_fields;
use crate::plan::ownership::{Owner, owner_of};
use crate::plan::{Action, Plan, Step, foreign};
use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::HashMap;

/// Writes begun at once, of as many requests as the cluster room lets be under way. Were all begun
/// at once, the renewal of the lock would stand in the queue behind them, and the lock be lost.
pub const IN_FLIGHT: usize = 32;

/// How often fields are taken over of an object that changes meanwhile.
const CLAIMS: usize = 10;

/// UIDs of what was written, for the inventory.
pub type Uids<'p> = HashMap<&'p ObjectKey, String>;

/// Applies what the plan creates, changes and makes anew. `uids` holds what was written so far,
/// also when it fails.
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
        // The next stage builds on this one; it is waited for even with --wait=false, if there is
        // anything to do there.
        if later.iter().any(|step| step.action != Action::Unchanged) {
            seen.monitor
                .until_ready(&awaited(now.iter().copied()), writer.options.timeout)
                .await?;
        }
        rest = later;
    }
    Ok(())
}

/// What is known of the objects as they are.
struct Seen<'a, 'c, 'p> {
    uids: &'a mut Uids<'p>,
    monitor: &'a mut Monitor<'c>,
    /// Whether anything is waited for: if not, how an object is need not be known.
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

/// The steps' objects as things to wait for.
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

/// Members that are down come first and together: there is nothing to take from them, and the
/// change may be what they need. The others follow one by one, each while all others of its group
/// are ready.
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
    let (anew, plain): (Vec<&'p Step>, Vec<&'p Step>) = steps.iter().copied().partition(takes_time);
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
            // The writes under way are let finish, so that what is recorded is what is there; no
            // other is begun.
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
    for step in anew {
        let body = write(writer, step, seen.monitor).await?;
        seen.take_in(step, &body);
    }
    Ok(())
}

async fn write(writer: &Writer<'_>, step: &Step, monitor: &mut Monitor<'_>) -> Result<Value> {
    // The claims come first: until they are as the new templates say, the old templates stand and
    // tell the next run what is left to do.
    if let Some(volumes) = &step.volumes {
        volumes::expand(writer, volumes, monitor).await?;
    }
    if step.action == Action::Recreate {
        writer.check()?;
        // Pods and volumes of a StatefulSet outlive it and are adopted by the new one.
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
        .expect("only what is wanted is applied");
    let uid = step.uid();
    // The version of an object with a status is hardly ever the one that the plan saw: each such
    // change would take two requests.
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
        Action::Recreate => "made anew",
        _ => "changed",
    };
    writer.context.progress.event(&Event::Applied {
        action: action.to_owned(),
        object: step.key.to_string(),
        nodes: None,
    });
    Ok(body)
}

/// Makes what others added ours alone, so that the apply that follows removes it: an apply leaves
/// what another manager set, too. Ended in between, the next run finds fields of ours that are not
/// wanted, and applies.
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
        // Another object, or none: the apply says so.
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
            // A controller wrote its status in between.
            Err(error) if error.kind == ApiErrorKind::Conflict && attempt < CLAIMS => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Writes an object if what is there is what the plan saw: nothing, or the object of this UID.
/// Returns its outline.
///
/// Bound to a version, a write that reaches the server late changes nothing that another run wrote
/// meanwhile.
///
/// # Errors
///
/// Somebody else created or deleted an object of this name meanwhile.
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
    // Something was written since the plan was made: a label, our own attempt whose answer was
    // lost; or this write is late, and another run has taken the lock over. Then the fence before
    // the next attempt says so. Otherwise whose field it is decides.
    if let Expects::Version { uid, .. } = expects
        && written
            .as_ref()
            .is_err_and(|error| error.kind == ApiErrorKind::Conflict && error.causes.is_empty())
    {
        written = send(Expects::Uid(uid)).await?;
    }
    // A write whose answer was lost is sent again and finds its own object, which has our marks and
    // our field manager.
    if expects == Expects::Absent && is_replaced(&written) {
        let there = context
            .cluster
            .get(&wanted.api_version, &wanted.key)
            .await?;
        let owner = Owner {
            release: context.release.as_str().to_owned(),
            namespace: context.namespace.clone(),
        };
        match there
            .as_ref()
            .map(|body| (body, body["metadata"]["uid"].as_str().unwrap_or_default()))
        {
            None => written = send(expects).await?,
            Some((body, uid)) if owner.owns(body) && owned_fields(body).is_some() => {
                written = send(Expects::Uid(uid)).await?
            }
            Some((body, _)) => {
                return Err(Error::cluster(format!(
                    "cannot create {}: an object of this name appeared meanwhile",
                    wanted.key
                ))
                .why(format!(
                    "{}, and it was not there when the plan was made",
                    owner_of(body)
                ))
                .hint("move it away, or take it over with --take-ownership"));
            }
        }
    }
    written.map_err(|error| match error.kind {
        ApiErrorKind::Replaced => Error::cluster(format!(
            "cannot apply {}: it was deleted, or created again, meanwhile",
            wanted.key
        ))
        .why(error.message),
        _ => Error::from(error).context(format!("cannot apply {}", wanted.key)),
    })
}

fn is_replaced<T>(written: &ApiResult<T>) -> bool {
    written
        .as_ref()
        .is_err_and(|error| error.kind == ApiErrorKind::Replaced)
}

/// Deletes what the plan prunes: only the very objects that the plan saw. Members of a rollout
/// group in which others stay go one by one.
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

/// Takes a member out of its group.
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
        // With another UID it is not the object that the plan saw, which is gone.
        Err(error) if error.kind == ApiErrorKind::Replaced => {
            context.warn(&format!(
                "{} stays: it was deleted, and created again by someone else, meanwhile",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::scripted::{Scripted, impatient};
    use crate::deploy::{Lock, Options, recovery, scripted};
    use crate::manifest::{Object, Source};
    use std::sync::Arc;

    fn step(action: Action, kind: &str) -> Step {
        let metadata = json!({"name": "a", "namespace": "org1", "uid": "1"});
        let object = Object::from_body(
            json!({"apiVersion": "v1", "kind": kind, "metadata": metadata}),
            Source::default(),
        );
        let object = object.expect("an object");
        Step {
            key: object.key.clone(),
            api_version: "v1".into(),
            action,
            live: (action != Action::Create).then(|| object.body.clone()),
            wanted: (action != Action::Prune).then(|| Arc::new(object.into())),
            after: None,
            why: String::new(),
            volumes: None,
            theirs: Vec::new(),
        }
    }

    /// A recreation that began with the deletion alone would leave less than was there.
    #[tokio::test]
    async fn a_run_that_is_to_stop_or_lost_its_lock_begins_no_write() {
        for (interrupted, loss) in [(true, None), (false, Some("someone took it"))] {
            let server = Scripted::start([]).await;
            let cluster = server.cluster(impatient()).await;
            let context = scripted::context(&cluster, interrupted);
            let (options, lock) = (Options::default(), Lock::scripted(&cluster, loss));
            let writer = Writer {
                context: &context,
                options: &options,
                lock: &lock,
            };
            let mut monitor = Monitor::new(&cluster, context.progress, context.interrupted.clone());
            for action in [Action::Create, Action::Change, Action::Recreate] {
                assert!(
                    write(&writer, &step(action, "ConfigMap"), &mut monitor)
                        .await
                        .is_err(),
                    "{action:?}"
                );
            }
            assert!(
                delete(&writer, &step(Action::Prune, "ConfigMap"))
                    .await
                    .is_err()
            );
            recovery::clean_up(
                &writer,
                &[(&step(Action::Create, "ConfigMap"), "1".to_owned())],
            )
            .await;
            assert_eq!(server.lines(), Vec::<String>::new());
        }
    }
}
