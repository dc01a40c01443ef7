//! An operation as a revision: its record, packed and in words.

use super::{Context, Operation, Prepared};
use crate::error::Result;
use crate::fabric::guard::Facts;
use crate::manifest::ObjectKey;
use crate::release::{Entry, InventoryItem, Record, Summary};
use crate::storage;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// A revision as it will be recorded, packed before the lock is taken.
pub(super) struct Draft {
    pub record: Record,
    pub packed: storage::Packed,
}

pub(super) fn draft(context: &Context<'_>, prepared: &Prepared, user: &str) -> Result<Draft> {
    let newest = prepared.past.newest();
    let record = new_record(context, prepared, newest.unwrap_or(0) + 1, user, &preparing(prepared.target.operation));
    let packed = storage::pack(&record)?;
    Ok(Draft { record, packed })
}

pub(super) fn new_record(context: &Context<'_>, prepared: &Prepared, revision: u32, user: &str, description: &str) -> Record {
    let target = &prepared.target;
    let first = prepared.past.entries.iter().find_map(Entry::summary).map_or(context.now, |summary| summary.first_deployed);
    let item =
        |key: &ObjectKey, api_version: &str, uid| InventoryItem { key: key.clone(), api_version: api_version.to_owned(), uid };
    let mut inventory: Vec<InventoryItem> =
        target.objects.iter().map(|object| item(&object.key, object.api_version(), None)).collect();
    inventory.extend(target.hooks.iter().map(|hook| item(&hook.object.key, hook.object.api_version(), None)));
    // What is no longer wanted remains known: until it is pruned, and for as long as it is kept.
    let leaving = prepared.plan.steps.iter().filter(|step| step.wanted.is_none());
    let ours = leaving.filter(|step| step.live.as_ref().is_some_and(|live| prepared.owner.owns(live)));
    inventory.extend(ours.map(|step| item(&step.key, &step.api_version, step.uid())));
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
            user: user.to_owned(),
            plugin_version: env!("CARGO_PKG_VERSION").to_owned(),
            rollback_to: target.rollback_to,
        },
        chart: target.chart.clone(),
        user_values: target.user_values.clone(),
        computed_values: target.computed_values.clone(),
        secret_paths: target.secret_paths.clone(),
        objects: target.objects.clone(),
        hooks: target.hooks.clone(),
        notes: target.notes.clone(),
        inventory,
        outcome: None,
        guard: target.guard.clone(),
        mask_key: prepared.past.records().last().map(|record| record.mask_key.clone()).unwrap_or_default(),
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

/// What the history says of rules that a revision overrode.
pub(super) fn forced(guard: &Value) -> String {
    match &Facts::read(guard).forced[..] {
        [] => String::new(),
        rules => format!(" (--force {})", rules.join(" --force ")),
    }
}

/// The clock enters once; what is later is counted from there.
pub(super) fn later(now: Timestamp, elapsed: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(elapsed).ok().and_then(|elapsed| now.checked_add(elapsed).ok()).unwrap_or(now)
}
