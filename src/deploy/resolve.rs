//! Resolves what an operation should deploy. Reads from the cluster, writes nothing. A target is
//! rendered ([`super::rendered`]) or comes from a record ([`super::recorded`]).

use super::past::Past;
use super::settle::Manifest;
use super::{Context, Intent, Operation, Reuse, Wanted, recorded, rendered};
use crate::chart::Chart;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::identity;
use crate::plan::confine::Provenance;
use crate::plan::mask::Masker;
use crate::release::{ChartReference, Status, command};
use crate::storage;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The desired state, before the comparison with the cluster.
pub struct Target {
    pub operation: Operation,
    pub provenance: Provenance,
    pub chart: ChartReference,
    /// A chart from outside to store with the records, unless it comes from there.
    pub keep_chart: Option<Chart>,
    pub app_version: String,
    pub user_values: Value,
    pub computed_values: Value,
    pub secret_paths: Vec<String>,
    pub manifest: Manifest,
    pub notes: String,
    pub guard: Value,
    pub identities: identity::Plan,
    /// The error if Secrets may not be listed. `identities` is empty then.
    pub unlisted_identities: Option<Error>,
    pub rollback_to: Option<u32>,
    pub warnings: Vec<String>,
    /// Names of the values that differ from the previous revision.
    pub changed_values: Vec<String>,
    /// The user's labels of the release.
    pub labels: BTreeMap<String, String>,
}

impl Target {
    /// Returns a masker for the secrets of this revision and of earlier ones, which may still be in
    /// live objects.
    pub fn masker(&self, past: &Past) -> Masker {
        let own = [&self.computed_values, &self.user_values]
            .map(|tree| Masker::secrets_of(tree, &self.secret_paths))
            .concat();
        Masker::new(
            past.key.as_bytes(),
            own.into_iter().chain(past.secrets().texts),
        )
    }

    /// Returns a target without objects, values and facts.
    pub(super) fn new(
        operation: Operation,
        provenance: Provenance,
        chart: ChartReference,
    ) -> Target {
        Target {
            operation,
            provenance,
            chart,
            keep_chart: None,
            app_version: String::new(),
            user_values: Value::Null,
            computed_values: Value::Null,
            secret_paths: Vec::new(),
            manifest: Manifest::default(),
            notes: String::new(),
            guard: Value::Null,
            identities: identity::Plan::default(),
            unlisted_identities: None,
            rollback_to: None,
            warnings: Vec::new(),
            changed_values: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// Resolves the desired state from the user's request and the release's history.
pub async fn resolve(context: &Context<'_>, intent: &Intent, past: &Past) -> Result<Target> {
    match intent {
        Intent::Install(wanted) => {
            refuse_existing(context, past)?;
            rendered::target(context, Operation::Install, wanted, past).await
        }
        Intent::Upgrade { wanted, install } => {
            let operation = upgrade_or_install(context, wanted, *install, past).await?;
            rendered::target(context, operation, wanted, past).await
        }
        Intent::Rollback { revision } => recorded::rollback(context, *revision, past).await,
        Intent::Uninstall { delete_data, .. } => {
            recorded::uninstall(context, *delete_data, past).await
        }
    }
}

/// Refuses to install a release that is deployed, or may be.
fn refuse_existing(context: &Context<'_>, past: &Past) -> Result<()> {
    if let Some(deployed) = past.deployed() {
        return Err(
            Error::user(format!("release \"{}\" already exists", context.release))
                .why(format!(
                    "revision {} of {} {} is deployed",
                    deployed.revision, deployed.chart, deployed.chart_version
                ))
                .now("nothing was changed")
                .hint(format!("change it with `{}`", context.command("upgrade"))),
        );
    }
    let unreadable = past.newest().is_some() && past.newest_status().is_none();
    let doubt = past.doubt(context);
    match doubt.or_else(|| unreadable.then(|| past.cannot_go_on(context))) {
        Some(doubt) => Err(doubt
            .why("only its records show whether the release exists")
            .hint(sound_record(context))),
        None => Ok(()),
    }
}

/// Returns what an upgrade does: with `install`, it installs a release that does not exist.
async fn upgrade_or_install(
    context: &Context<'_>,
    wanted: &Wanted,
    install: bool,
    past: &Past,
) -> Result<Operation> {
    let gone = past.deployed().is_none()
        && matches!(
            past.newest_status(),
            Some(Status::Uninstalled | Status::Uninstalling)
        );
    // All users with write access to ConfigMaps can change a status.
    let doubt = past.doubt(context).filter(|_| gone);
    let gone = gone && doubt.is_none();
    if let Some(doubt) = doubt.filter(|_| wanted.reuse != Reuse::Reset) {
        return Err(doubt
            .why("only its records show whether the release is uninstalled")
            .hint(sound_record(context)));
    }
    match (past.newest(), install) {
        (Some(_), _) if !gone => Ok(Operation::Upgrade),
        (_, true) => Ok(Operation::Install),
        (Some(_), false) => Err(uninstalled(context)),
        (None, false) => {
            let (namespace, release) = (&context.namespace, context.release.as_str());
            let unknown = storage::unknown_release(context.cluster, namespace, release).await;
            Err(unknown.hint(format!(
                "`{}` creates it; `upgrade --install` does either",
                context.command("install")
            )))
        }
    }
}

/// Returns the hint for a release without a trustworthy record.
pub(super) fn sound_record(context: &Context<'_>) -> String {
    format!(
        "`{} --reset-values` with the chart and all values writes a valid record",
        context.command("upgrade")
    )
}

/// Returns the error for a release that does not exist. It may have left data.
pub async fn not_found(cluster: &Cluster, namespace: &str, release: &str) -> Error {
    let error = storage::unknown_release(cluster, namespace, release).await;
    // A failure to look for data must not replace the error.
    match super::kept::is_left(cluster, namespace, release).await {
        Ok(true) => error
            .why("it is uninstalled, but its volumes and identities still exist")
            .hint(format!(
                "`{} --delete-data` deletes them",
                command("uninstall", release, namespace)
            )),
        _ => error,
    }
}

pub(super) fn uninstalled(context: &Context<'_>) -> Error {
    Error::user(format!("release \"{}\" is uninstalled", context.release))
        .hint(format!("`{}` creates it again", context.command("install")))
}

/// Returns the names of the values that differ from the previous revision.
pub(super) fn changes(past: &Past, now: &Value) -> Vec<String> {
    let mut changed = Vec::new();
    if let Some(baseline) = &past.baseline {
        compare(&baseline.computed_values, now, "", &mut changed);
    }
    changed
}

fn compare(before: &Value, now: &Value, path: &str, into: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
            for name in names {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                let [before, now] =
                    [before, now].map(|values| values.get(name).unwrap_or(&Value::Null));
                compare(before, now, &path, into);
            }
        }
        (before, now) if before == now => {}
        _ => into.push(path.to_owned()),
    }
}
