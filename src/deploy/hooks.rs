//! Runs hooks: objects that run before or after an operation, one at a time, by weight and name, as
//! in Helm.

use super::wait::{Awaited, Monitor};
use super::{Context, Event, Writer, apply};
use crate::cluster::{ApiErrorKind, Delete, Expects, Kind};
use crate::error::Result;
use crate::manifest::{DeletePolicy, HookEvent, ObjectKey};
use crate::plan::Plan;
use crate::plan::hooks::HookStep;
use serde_json::Value;
use std::collections::HashMap;

/// UIDs of the hooks that this operation created. `None` after the hook is deleted.
pub type Created<'p> = HashMap<&'p ObjectKey, Option<String>>;

/// Runs the hooks of an event, and stops at the first failure.
///
/// # Errors
///
/// Names the hook, the reason, and the last lines of its pod's log. A failed hook stays for
/// inspection unless its policy deletes it.
pub async fn run<'p>(
    writer: &Writer<'_>,
    plan: &'p Plan,
    event: HookEvent,
    monitor: &mut Monitor<'_>,
    created: &mut Created<'p>,
) -> Result<()> {
    for hook in plan
        .hooks
        .iter()
        .filter(|hook| hook.events.contains(&event))
    {
        run_one(writer, hook, monitor, created).await?;
    }
    Ok(())
}

/// Runs a hook: deletes an existing object if necessary, creates the hook, waits, and deletes it if
/// its policy says so.
pub async fn run_one<'p>(
    writer: &Writer<'_>,
    hook: &'p HookStep,
    monitor: &mut Monitor<'_>,
    created: &mut Created<'p>,
) -> Result<()> {
    let Writer {
        context, options, ..
    } = writer;
    let step = &hook.step;
    let one = Awaited::ended(&step.key, &step.api_version);
    let report = |phase: &str| {
        context.progress.event(&Event::Hook {
            hook: step.key.to_string(),
            phase: phase.to_owned(),
        })
    };
    writer.check()?;
    let mut there = created
        .get(&step.key)
        .cloned()
        .unwrap_or_else(|| step.uid());
    if let Some(uid) = there.take_if(|_| hook.replaces()) {
        delete(writer, &one, &uid, monitor).await?;
    }
    report("running");
    let wanted = step.wanted.as_ref().expect("a hook is wanted");
    let expects = there.as_deref().map_or(Expects::Absent, Expects::Uid);
    let body = apply::put(writer, wanted, expects)
        .await
        .map_err(|error| error.context(format!("cannot run hook {}", step.key)))?;
    let uid = body["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    created.insert(&step.key, Some(uid.clone()));
    monitor.note(&step.key, &body);
    let done = match hook.hook.runs() {
        true => {
            monitor
                .until_ready(std::slice::from_ref(&one), options.timeout)
                .await
        }
        false => Ok(()),
    };
    match done {
        Ok(()) => {
            report("succeeded");
            if hook.deletes(DeletePolicy::HookSucceeded) {
                delete(writer, &one, &uid, monitor).await?;
                created.insert(&step.key, None);
            }
            Ok(())
        }
        Err(error) if error.kind() == crate::error::Kind::Interrupted => Err(error),
        Err(error) => {
            report("failed");
            let error = error.context(format!("hook {} failed", step.key));
            if hook.deletes(DeletePolicy::HookFailed) {
                delete(writer, &one, &uid, monitor).await?;
                return Err(error);
            }
            Err(error.hint(format!(
                "it is kept for inspection: `kubectl -n {} describe {}/{}`",
                context.namespace,
                step.key.kind.to_lowercase(),
                step.key.name
            )))
        }
    }
}

/// Deletes a hook's object, and waits until it is gone. An object with another UID belongs to
/// someone else, and the hook's own is gone.
pub async fn delete(
    writer: &Writer<'_>,
    one: &Awaited,
    uid: &str,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let how = Delete {
        uid: Some(uid.to_owned()),
        foreground: one.key.kind == "Job",
        ..Delete::default()
    };
    match writer
        .context
        .cluster
        .delete(&one.api_version, &one.key, how)
        .await
    {
        Ok(true) => {
            monitor
                .until_gone(one, Some(uid), writer.options.timeout)
                .await
        }
        Ok(false) => Ok(()),
        Err(error)
            if matches!(
                error.kind,
                ApiErrorKind::UnknownKind | ApiErrorKind::Replaced
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the pods of a hook: the hook itself, or the pods of its Job.
pub async fn pods(context: &Context<'_>, key: &ObjectKey) -> Result<Vec<Value>> {
    let pods = Kind {
        api_version: "v1".into(),
        kind: "Pod".into(),
    };
    Ok(match key.kind.as_str() {
        "Pod" => context.cluster.get("v1", key).await?.into_iter().collect(),
        "Job" => {
            context
                .cluster
                .list(
                    &pods,
                    key.namespace.as_deref(),
                    &format!("batch.kubernetes.io/job-name={}", key.name),
                )
                .await?
        }
        _ => Vec::new(),
    })
}
