//! Creates the record of an operation and its description.

use super::settle::Manifest;
use super::{Context, Operation, Past, Prepared, Target};
use crate::error::{Error, Result};
use crate::fabric::guard::Facts;
use crate::manifest::ObjectKey;
use crate::plan::Plan;
use crate::plan::ownership::Owner;
use crate::release::{Entry, InventoryItem, Record, Signature, Summary};
use crate::storage;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The record of a revision, packed before the lock is taken.
pub(super) struct Draft {
    pub record: Record,
    pub packed: storage::Packed,
}

/// A record that is being packed on another thread. Packing can start before the cluster is read.
pub(super) struct Packing(JoinHandle<Result<Draft>>);

impl Packing {
    pub fn begin(context: &Context<'_>, past: &Past, target: &Target) -> Result<Packing> {
        let record = new_record(
            context,
            past,
            target,
            past.next_revision(context)?,
            &preparing(target.operation),
        );
        Ok(Packing(tokio::task::spawn_blocking(move || {
            storage::pack(&record).map(|packed| Draft { record, packed })
        })))
    }

    /// Waits for the packing, and adds the facts that only the plan provides.
    pub async fn end(self, plan: &Plan, owner: &Owner) -> Result<Draft> {
        let packed = self
            .0
            .await
            .map_err(|_| Error::internal("cannot pack the record"))?;
        let mut draft = packed?;
        draft.record.inventory.extend(leaving(plan, owner));
        Ok(draft)
    }
}

/// Returns the record of an operation that is only a preview, or that deletes its record.
pub(super) fn record_of(
    context: &Context<'_>,
    prepared: &Prepared,
    revision: u32,
    description: &str,
) -> Record {
    let mut record = new_record(
        context,
        &prepared.past,
        &prepared.target,
        revision,
        description,
    );
    record
        .inventory
        .extend(leaving(&prepared.plan, &prepared.owner));
    record
}

pub(super) fn item(key: &ObjectKey, api_version: &str, uid: Option<String>) -> InventoryItem {
    InventoryItem {
        key: key.clone(),
        api_version: api_version.to_owned(),
        uid,
    }
}

/// Returns the objects that are no longer desired. They stay in the inventory until they are
/// pruned, or as long as they are kept.
fn leaving(plan: &Plan, owner: &Owner) -> impl Iterator<Item = InventoryItem> {
    let leaving = plan.steps.iter().filter(|step| step.wanted.is_none());
    let ours = leaving.filter(|step| step.live.as_ref().is_some_and(|live| owner.owns(live)));
    ours.map(|step| item(&step.key, &step.api_version, step.uid()))
}

fn new_record(
    context: &Context<'_>,
    past: &Past,
    target: &Target,
    revision: u32,
    description: &str,
) -> Record {
    let mut before = past
        .entries
        .iter()
        .filter(|_| !past.is_purged)
        .filter_map(Entry::summary);
    let first = before
        .next()
        .map_or(context.now, |summary| summary.first_deployed);
    let Manifest { objects, hooks, .. } = &target.manifest;
    let inventory = objects
        .iter()
        .map(|object| item(&object.key, &object.api_version, None));
    let of_hooks = hooks
        .iter()
        .map(|hook| item(&hook.object.key, hook.object.api_version(), None));
    Record {
        summary: Summary {
            release: context.release.as_str().to_owned(),
            namespace: context.namespace.clone(),
            revision,
            status: target.operation.pending(),
            first_deployed: first,
            updated: context.now,
            chart: target.chart.name.clone(),
            chart_version: target.chart.version.clone(),
            app_version: target.app_version.clone(),
            description: description.to_owned(),
            user: UNKNOWN.to_owned(),
            plugin_version: env!("CARGO_PKG_VERSION").to_owned(),
            rollback_to: target.rollback_to,
            labels: target.labels.clone(),
        },
        chart: target.chart.clone(),
        user_values: target.user_values.clone(),
        computed_values: target.computed_values.clone(),
        secret_paths: target.secret_paths.clone(),
        objects: objects.clone(),
        hooks: hooks.clone(),
        notes: target.notes.clone(),
        inventory: inventory.chain(of_hooks).collect(),
        outcome: None,
        guard: target.guard.clone(),
        mask_key: past.key.clone(),
        signing_key: past.signing_key().to_owned(),
        signature: Signature::Unchecked,
    }
}

pub(super) fn preparing(operation: Operation) -> String {
    match operation {
        Operation::Install => "Initial install underway".to_owned(),
        Operation::Upgrade => "Preparing upgrade".to_owned(),
        Operation::Rollback => "Preparing rollback".to_owned(),
        Operation::Uninstall => "Deletion in progress (or silently failed)".to_owned(),
    }
}

pub(super) fn complete(operation: Operation, rollback_to: Option<u32>) -> String {
    match (operation, rollback_to) {
        (Operation::Rollback, Some(revision)) => format!("Rollback to {revision}"),
        (Operation::Install, _) => "Install complete".to_owned(),
        (Operation::Uninstall, _) => "Uninstallation complete".to_owned(),
        _ => "Upgrade complete".to_owned(),
    }
}

/// The user, before the cluster was queried.
pub(super) const UNKNOWN: &str = "unknown";

/// Returns the history's note about overridden rules.
pub(super) fn forced(guard: &Value) -> String {
    match &Facts::read(guard).forced[..] {
        [] => String::new(),
        rules => format!(" (--force {})", rules.join(" --force ")),
    }
}

/// Returns the current time. The clock is read once, and later times are computed from the elapsed
/// time.
pub(super) fn later(now: Timestamp, elapsed: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(elapsed)
        .ok()
        .and_then(|elapsed| now.checked_add(elapsed).ok())
        .unwrap_or(now)
}
