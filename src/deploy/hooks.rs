//! Runs hooks: objects that run before or after an operation, one at a time, by weight and name, as
//! in Helm.

use super::wait::{Awaited, Monitor};
use super::{Context, Event, Writer, apply};
use crate::cluster::{ApiErrorKind, Delete, Expects, Kind};
use crate::error::{Kind as ErrorKind, Result};
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
    let context = writer.context;
    let key = &hook.step.key;
    writer.check()?;
    let there = created.get(key).cloned();
    let there = there.unwrap_or_else(|| hook.step.uid());
    let one = Awaited::ended(key, &hook.step.api_version);
    let uid = create(writer, hook, &one, there, monitor).await?;
    created.insert(key, Some(uid.clone()));
    let done = match hook.hook.runs() {
        true => {
            let awaited = std::slice::from_ref(&one);
            monitor.until_ready(awaited, writer.options.timeout).await
        }
        false => Ok(()),
    };
    let (phase, policy) = match &done {
        Ok(()) => ("succeeded", DeletePolicy::HookSucceeded),
        Err(error) if error.kind() == ErrorKind::Interrupted => return done,
        Err(_) => ("failed", DeletePolicy::HookFailed),
    };
    report(context, hook, phase);
    let leaves = hook.deletes(policy);
    if leaves {
        delete(writer, &one, &uid, monitor).await?;
    }
    let Err(error) = done else {
        if leaves {
            created.insert(key, None);
        }
        return Ok(());
    };
    let error = error.context(format!("hook {key} failed"));
    Err(match leaves {
        true => error,
        false => error.hint(format!(
            "it is kept for inspection: `kubectl -n {} describe {}/{}`",
            context.namespace,
            key.kind.to_lowercase(),
            key.name
        )),
    })
}

fn report(context: &Context<'_>, hook: &HookStep, phase: &str) {
    context.progress.event(&Event::Hook {
        hook: hook.step.key.to_string(),
        phase: phase.to_owned(),
    });
}

/// Creates a hook in the place of the object that is there, and returns its UID.
async fn create(
    writer: &Writer<'_>,
    hook: &HookStep,
    one: &Awaited,
    mut there: Option<String>,
    monitor: &mut Monitor<'_>,
) -> Result<String> {
    let step = &hook.step;
    if let Some(uid) = there.take_if(|_| hook.replaces()) {
        delete(writer, one, &uid, monitor).await?;
    }
    report(writer.context, hook, "running");
    let wanted = step.wanted.as_ref().expect("a hook is wanted");
    let expects = there.as_deref().map_or(Expects::Absent, Expects::Uid);
    let body = apply::put(writer, wanted, expects)
        .await
        .map_err(|error| error.context(format!("cannot run hook {}", step.key)))?;
    monitor.note(&step.key, &body);
    let uid = body["metadata"]["uid"].as_str();
    Ok(uid.unwrap_or_default().to_owned())
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
