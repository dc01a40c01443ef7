//! The target of an operation that renders nothing: a rollback applies a recorded manifest, an
//! uninstall deletes what the records list.

use super::past::Past;
use super::resolve::{Target, changes, not_found, sound_record, uninstalled};
use super::settle::{Manifest, Terms};
use super::{Context, Operation};
use crate::error::{Error, Result};
use crate::fabric::guard::Facts;
use crate::plan::confine::{ManifestOrigin, Provenance};
use crate::release::{ChartReference, Entry, Record, Signature, Summary, rollback_target};
use crate::storage;

/// Returns a recorded manifest, which is applied again without rendering.
pub(super) async fn rollback(
    context: &Context<'_>,
    revision: Option<u32>,
    past: &Past,
) -> Result<Target> {
    let (record, warnings) = record_to_apply(context, revision, past).await?;
    // A value that only a later revision marks secret is secret in this one too.
    let mut secrets = past
        .secrets()
        .paths_in(&[&record.user_values, &record.computed_values]);
    secrets.extend(record.secret_paths.iter().cloned());
    // Certificates are not rolled back, so pods keep the marks of the current ones.
    let newest = past.records().last();
    let guard = match newest.and_then(|newest| Facts::read(&newest.guard).identities) {
        Some(known) => Facts {
            identities: Some(known),
            ..Facts::read(&record.guard)
        }
        .to_value(),
        None => record.guard.clone(),
    };
    let terms = Terms::recorded(context, &guard);
    let provenance = Provenance::recorded(&record);
    let objects = record.objects.iter();
    let objects = objects.map(|object| terms.settle(object.open()));
    Ok(Target {
        app_version: record.summary.app_version,
        user_values: record.user_values,
        changed_values: changes(past, &record.computed_values),
        computed_values: record.computed_values,
        secret_paths: secrets.into_iter().collect(),
        manifest: Manifest::of(context, &terms, objects, record.hooks).await?,
        notes: record.notes,
        guard,
        rollback_to: Some(record.summary.revision),
        warnings,
        labels: record.summary.labels,
        ..Target::new(Operation::Rollback, provenance, record.chart)
    })
}

/// Reads the record to roll back to, by default the last deployed one before the newest. Also
/// returns warnings.
async fn record_to_apply(
    context: &Context<'_>,
    revision: Option<u32>,
    past: &Past,
) -> Result<(Record, Vec<String>)> {
    let (cluster, release) = (context.cluster, context.release.as_str());
    let namespace = context.namespace.as_str();
    let Some(newest) = past.newest() else {
        return Err(storage::unknown_release(cluster, namespace, release).await);
    };
    if past.is_purged {
        return Err(uninstalled(context).why("an uninstall has started to delete its records"));
    }
    let asked = revision.filter(|revision| *revision != 0);
    let revision = match asked.or_else(|| rollback_target(&past.entries)) {
        Some(revision) => revision,
        None => return Err(nothing_to_apply(context, past, newest)),
    };
    let mut entries = past.entries.iter();
    if !entries.any(|entry| entry.revision() == revision) {
        // The error lists the existing revisions.
        storage::read(cluster, namespace, release, Some(revision)).await?;
    }
    let record = storage::read_with_secrets(cluster, namespace, release, revision).await?;
    if asked.is_none() {
        skipped(context, past, revision).await?;
    }
    let mut warnings = past.warnings.clone();
    let is_read = past.records().any(|read| read.summary.revision == revision);
    warnings.extend(record.signature_warning().filter(|_| !is_read));
    Ok((record, warnings))
}

fn nothing_to_apply(context: &Context<'_>, past: &Past, newest: u32) -> Error {
    if let Some(doubt) = past.doubt(context) {
        return doubt
            .why("only the records show which revisions were deployed")
            .hint(sound_record(context));
    }
    Error::user(format!(
        "release \"{}\" has no revision to roll back to",
        context.release
    ))
    .why(format!("no revision before {newest} was ever deployed"))
    .hint(format!(
        "`{}` lists the revisions; `{}` repairs a failed install",
        context.command("history"),
        context.command("upgrade")
    ))
}

/// Checks that a rollback without a number may skip the revisions after its target: their records
/// show that they were never deployed.
async fn skipped(context: &Context<'_>, past: &Past, target: u32) -> Result<()> {
    let later = past
        .entries
        .iter()
        .map(Entry::revision)
        .filter(|revision| *revision > target && Some(*revision) != past.newest());
    for revision in later {
        if past.records().all(|read| read.summary.revision != revision) {
            let read = storage::read_past(
                context.cluster,
                &context.namespace,
                context.release.as_str(),
                revision,
                |_, _| (),
            );
            let hint = format!(
                "`{} {target}` rolls back to revision {target}",
                context.command("rollback")
            );
            let read = read.await.map_err(|error| error.hint(&hint))?;
            if read.lacks_secrets() {
                return Err(storage::unverified(&read).hint(hint));
            }
        }
    }
    Ok(())
}

/// Returns the hooks and facts of the newest readable record. An uninstall applies no objects.
pub(super) async fn uninstall(
    context: &Context<'_>,
    delete_data: bool,
    past: &Past,
) -> Result<Target> {
    let (cluster, release) = (context.cluster, context.release.as_str());
    let namespace = context.namespace.as_str();
    let Some(newest) = past.baseline.as_ref() else {
        return match past.newest() {
            Some(_) if past.is_purged => Ok(without_record(past)),
            None if super::is_known(cluster, namespace, release, delete_data).await? => {
                Ok(without_record(past))
            }
            None => Err(not_found(cluster, namespace, release).await),
            Some(_) => Err(past
                .cannot_go_on(context)
                .why("only its records list the objects of the release")
                .hint(format!("{}; then uninstall it", sound_record(context)))
                .hint(forget(context, past))),
        };
    };
    let attempt = past.attempt.as_ref();
    if newest.lacks_secrets()
        && past.verified.is_none()
        && attempt.is_none_or(Record::lacks_secrets)
    {
        return Err(storage::unverified(newest)
            .why(
                "only its records list the objects of the release, and no other record is verified",
            )
            .hint(format!("{}; then uninstall it", sound_record(context)))
            .hint(forget(context, past)));
    }
    let terms = Terms::recorded(context, &newest.guard);
    let (provenance, chart) = (Provenance::recorded(newest), newest.chart.clone());
    Ok(Target {
        app_version: newest.summary.app_version.clone(),
        user_values: newest.user_values.clone(),
        computed_values: newest.computed_values.clone(),
        secret_paths: newest.secret_paths.clone(),
        manifest: Manifest::of(context, &terms, [], newest.hooks.clone()).await?,
        guard: newest.guard.clone(),
        warnings: past.warnings.clone(),
        labels: newest.summary.labels.clone(),
        ..Target::new(Operation::Uninstall, provenance, chart)
    })
}

/// Returns the target of an uninstall when only records, parts of them or a lock are left.
fn without_record(past: &Past) -> Target {
    let newest = past.entries.last().and_then(Entry::summary);
    let text = |of: fn(&Summary) -> &String| newest.map(of).cloned().unwrap_or_default();
    let provenance = Provenance {
        manifest: ManifestOrigin::Recorded {
            revision: newest.map_or(0, |summary| summary.revision),
        },
        signature: Signature::Unchecked,
    };
    let chart = ChartReference {
        name: text(|summary| &summary.chart),
        version: text(|summary| &summary.chart_version),
        digest: String::new(),
        embedded: false,
        post_renderer: None,
    };
    Target {
        app_version: text(|summary| &summary.app_version),
        labels: newest
            .map(|summary| summary.labels.clone())
            .unwrap_or_default(),
        ..Target::new(Operation::Uninstall, provenance, chart)
    }
}

/// Returns the hint for a release of which only records are left.
fn forget(context: &Context<'_>, past: &Past) -> String {
    let record = storage::record_name(context.release.as_str(), past.newest().unwrap_or_default());
    format!(
        "if only the records of the release are left: `kubectl delete configmap {record} -n {}`",
        context.namespace
    )
}
