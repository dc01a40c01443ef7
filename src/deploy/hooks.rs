//! Hooks: objects that run before or after the rest, one at a time, by weight and name. Helm's rules.

use super::wait::{Awaited, Monitor};
use super::{Context, Event, Writer};
use crate::cluster::{ApiErrorKind, Apply, Delete, Kind};
use crate::error::{Error, Result};
use crate::manifest::readiness::ReadOutline;
use crate::manifest::{DeletePolicy, Hook, HookEvent, Object};
use serde_json::Value;

/// Runs the hooks of one event; the first that fails ends it.
///
/// # Errors
///
/// Names the hook, why it failed and the last lines of its pod. A failed hook stays for inspection unless its policy says otherwise.
pub async fn run(writer: &Writer<'_>, hooks: &[Hook], event: HookEvent, monitor: &mut Monitor<'_>) -> Result<()> {
    if writer.options.no_hooks {
        return Ok(());
    }
    let mut chosen: Vec<&Hook> = hooks.iter().filter(|hook| hook.events.contains(&event)).collect();
    chosen.sort_by(|a, b| (a.weight, &a.object.key.name).cmp(&(b.weight, &b.object.key.name)));
    for hook in chosen {
        run_one(writer, hook, monitor).await?;
    }
    Ok(())
}

/// Runs one hook: away with its forerunner, create, wait, clean up by policy.
pub async fn run_one(writer: &Writer<'_>, hook: &Hook, monitor: &mut Monitor<'_>) -> Result<()> {
    let Writer { context, options, .. } = writer;
    let object = &hook.object;
    let one = Awaited::ended(&object.key, object.api_version());
    let tell = |phase: &str| context.progress.event(&Event::Hook { hook: object.key.to_string(), phase: phase.to_owned() });
    writer.check()?;
    let runs = matches!(object.key.kind.as_str(), "Pod" | "Job");
    // Whatever the policy of what runs: a forerunner that an interrupted run left has run for that run, not for this one.
    if runs || hook.delete_policies.contains(&DeletePolicy::BeforeHookCreation) {
        delete(writer, object, monitor).await?;
    }
    tell("running");
    let how = Apply { dry_run: false, force: true };
    let body = context
        .cluster
        .apply_into(&object.body, how, ReadOutline)
        .await
        .map_err(|error| Error::from(error).context(format!("hook {} cannot be created", object.key)))?;
    monitor.note(&object.key, body);
    let done = if runs { monitor.until_ready(std::slice::from_ref(&one), options.timeout).await } else { Ok(()) };
    match done {
        Ok(()) => {
            tell("succeeded");
            if hook.delete_policies.contains(&DeletePolicy::HookSucceeded) {
                delete(writer, object, monitor).await?;
            }
            Ok(())
        }
        Err(error) if error.kind() == crate::error::Kind::Interrupted => Err(error),
        Err(error) => {
            tell("failed");
            let error = error.context(format!("hook {} failed", object.key));
            if hook.delete_policies.contains(&DeletePolicy::HookFailed) {
                delete(writer, object, monitor).await?;
                return Err(error);
            }
            Err(error.hint(format!(
                "it is kept for you to look at: `kubectl -n {} describe {}/{}`",
                context.namespace,
                object.key.kind.to_lowercase(),
                object.key.name
            )))
        }
    }
}

/// Deletes a hook's object and waits until it is gone.
pub async fn delete(writer: &Writer<'_>, object: &Object, monitor: &mut Monitor<'_>) -> Result<()> {
    let one = Awaited::ended(&object.key, object.api_version());
    let how = Delete { foreground: one.key.kind == "Job", ..Delete::default() };
    match writer.context.cluster.delete(&one.api_version, &one.key, how).await {
        Ok(true) => monitor.until_gone(&one, None, writer.options.timeout).await,
        Ok(false) => Ok(()),
        Err(error) if error.kind == ApiErrorKind::UnknownKind => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The pods that a hook's object ran: itself, or those of its Job.
pub async fn pods(context: &Context<'_>, hook: &Hook) -> Result<Vec<Value>> {
    let key = &hook.object.key;
    let pods = Kind { api_version: "v1".into(), kind: "Pod".into() };
    Ok(match key.kind.as_str() {
        "Pod" => context.cluster.get("v1", key).await?.into_iter().collect(),
        "Job" => {
            context.cluster.list(&pods, key.namespace.as_deref(), &format!("batch.kubernetes.io/job-name={}", key.name)).await?
        }
        _ => Vec::new(),
    })
}
