//! Resolves what an operation should deploy: its chart, values and rendered manifest, or a recorded
//! manifest. Reads from the cluster, writes nothing.

use super::identities::{self, plan_identities};
use super::lookup::render_chart;
use super::neighbour;
use super::past::Past;
use super::settle::{Manifest, Terms};
use super::{ChartChoice, Context, Intent, Operation, Reuse, Wanted};
use crate::chart::{Chart, Origin as ChartOrigin, repository};
use crate::cluster::Cluster;
use crate::compose::{self, Given};
use crate::error::{Error, Result};
use crate::fabric::guard::Facts;
use crate::identity;
use crate::manifest::Object;
use crate::manifest::pod_security::{self, Level};
use crate::plan::confine::{ManifestOrigin, Provenance, ValuesOrigin};
use crate::plan::mask::Masker;
use crate::release::{
    ChartReference, Entry, Record, Signature, Status, Summary, command, rollback_target,
};
use crate::render::{self, Hashing};
use crate::storage;
use crate::values::{self, Origin, Values};
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

    /// Returns the target of an uninstall without objects, when only records, parts of them or a
    /// lock are left.
    fn of_nothing(past: &Past) -> Target {
        let newest = past.entries.last().and_then(Entry::summary);
        let text = |of: fn(&Summary) -> &String| newest.map(of).cloned().unwrap_or_default();
        let (name, version) = (
            text(|summary| &summary.chart),
            text(|summary| &summary.chart_version),
        );
        Target {
            operation: Operation::Uninstall,
            provenance: Provenance {
                manifest: ManifestOrigin::Recorded {
                    revision: newest.map_or(0, |summary| summary.revision),
                },
                signature: Signature::Unchecked,
            },
            chart: ChartReference {
                name,
                version,
                digest: String::new(),
                embedded: false,
                post_renderer: None,
            },
            keep_chart: None,
            app_version: text(|summary| &summary.app_version),
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
            labels: newest
                .map(|summary| summary.labels.clone())
                .unwrap_or_default(),
        }
    }
}

/// Resolves the desired state from the user's request and the release's history.
pub async fn resolve(context: &Context<'_>, intent: &Intent, past: &Past) -> Result<Target> {
    let release = context.release.as_str();
    match intent {
        Intent::Install(wanted) => {
            if let Some(deployed) = past.deployed() {
                return Err(Error::user(format!("release \"{release}\" already exists"))
                    .why(format!(
                        "revision {} of {} {} is deployed",
                        deployed.revision, deployed.chart, deployed.chart_version
                    ))
                    .now("nothing was changed")
                    .hint(format!("change it with `{}`", context.command("upgrade"))));
            }
            let unreadable = past.newest().is_some() && past.newest_status().is_none();
            if let Some(doubt) = past
                .doubt(context)
                .or_else(|| unreadable.then(|| past.cannot_go_on(context)))
            {
                return Err(doubt
                    .why("only its records show whether the release exists")
                    .hint(sound_record(context)));
            }
            render_target(context, Operation::Install, wanted, past).await
        }
        Intent::Upgrade { wanted, install } => {
            let gone = past.deployed().is_none()
                && matches!(
                    past.newest_status(),
                    Some(Status::Uninstalled | Status::Uninstalling)
                );
            // All users with write access to ConfigMaps can change a status.
            let doubt = past.doubt(context).filter(|_| gone);
            if let Some(doubt) = doubt.filter(|_| wanted.reuse != Reuse::Reset) {
                return Err(doubt
                    .why("only its records show whether the release is uninstalled")
                    .hint(sound_record(context)));
            }
            let gone = gone && past.doubt(context).is_none();
            match (past.newest(), install) {
                (None, false) => {
                    Err(
                        storage::unknown_release(context.cluster, &context.namespace, release)
                            .await
                            .hint(format!(
                                "`{}` creates it; `upgrade --install` does either",
                                context.command("install")
                            )),
                    )
                }
                (Some(_), false) if gone => Err(uninstalled(context)),
                (None, true) => render_target(context, Operation::Install, wanted, past).await,
                (Some(_), true) if gone => {
                    render_target(context, Operation::Install, wanted, past).await
                }
                _ => render_target(context, Operation::Upgrade, wanted, past).await,
            }
        }
        Intent::Rollback { revision } => recorded_target(context, *revision, past).await,
        Intent::Uninstall { delete_data, .. } => {
            let Some(newest) = past.baseline.as_ref() else {
                return Err(match past.newest() {
                    Some(_) if past.is_purged => return Ok(Target::of_nothing(past)),
                    None if super::is_known(
                        context.cluster,
                        &context.namespace,
                        release,
                        *delete_data,
                    )
                    .await? =>
                    {
                        return Ok(Target::of_nothing(past));
                    }
                    None => not_found(context.cluster, &context.namespace, release).await,
                    Some(_) => past
                        .cannot_go_on(context)
                        .why("only its records list the objects of the release")
                        .hint(format!("{}; then uninstall it", sound_record(context)))
                        .hint(forget(context, past)),
                });
            };
            if newest.lacks_secrets()
                && past.verified.is_none()
                && past.attempt.as_ref().is_none_or(Record::lacks_secrets)
            {
                return Err(storage::unverified(newest)
                    .why("only its records list the objects of the release, and no other record is verified")
                    .hint(format!("{}; then uninstall it", sound_record(context)))
                    .hint(forget(context, past)));
            }
            Ok(Target {
                operation: Operation::Uninstall,
                provenance: Provenance::recorded(newest),
                chart: newest.chart.clone(),
                keep_chart: None,
                app_version: newest.summary.app_version.clone(),
                user_values: newest.user_values.clone(),
                computed_values: newest.computed_values.clone(),
                secret_paths: newest.secret_paths.clone(),
                manifest: Manifest::of(
                    context,
                    &Terms::recorded(context, &newest.guard),
                    [],
                    newest.hooks.clone(),
                )
                .await?,
                notes: String::new(),
                guard: newest.guard.clone(),
                identities: identity::Plan::default(),
                unlisted_identities: None,
                rollback_to: None,
                warnings: past.warnings.clone(),
                changed_values: Vec::new(),
                labels: newest.summary.labels.clone(),
            })
        }
    }
}

/// Returns the hint for a release without a trustworthy record.
fn sound_record(context: &Context<'_>) -> String {
    format!(
        "`{} --reset-values` with the chart and all values writes a valid record",
        context.command("upgrade")
    )
}

/// Returns the hint for a release of which only records are left.
fn forget(context: &Context<'_>, past: &Past) -> String {
    let record = storage::record_name(context.release.as_str(), past.newest().unwrap_or_default());
    format!(
        "if only the records of the release are left: `kubectl delete configmap {record} -n {}`",
        context.namespace
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

fn uninstalled(context: &Context<'_>) -> Error {
    Error::user(format!("release \"{}\" is uninstalled", context.release))
        .hint(format!("`{}` creates it again", context.command("install")))
}

/// Returns a recorded manifest, which is applied again without rendering.
async fn recorded_target(
    context: &Context<'_>,
    revision: Option<u32>,
    past: &Past,
) -> Result<Target> {
    let (release, namespace) = (context.release.as_str(), context.namespace.as_str());
    let Some(newest) = past.newest() else {
        return Err(storage::unknown_release(context.cluster, namespace, release).await);
    };
    if past.is_purged {
        return Err(uninstalled(context).why("an uninstall has started to delete its records"));
    }
    let chosen = revision.is_none_or(|revision| revision == 0);
    let revision = match revision.filter(|revision| *revision != 0) {
        Some(revision) => revision,
        None => rollback_target(&past.entries).ok_or_else(|| {
            if let Some(doubt) = past.doubt(context) {
                return doubt
                    .why("only the records show which revisions were deployed")
                    .hint(sound_record(context));
            }
            Error::user(format!(
                "release \"{release}\" has no revision to roll back to"
            ))
            .why(format!("no revision before {newest} was ever deployed"))
            .hint(format!(
                "`{}` lists the revisions; `{}` repairs a failed install",
                context.command("history"),
                context.command("upgrade")
            ))
        })?,
    };
    if !past
        .entries
        .iter()
        .any(|entry| entry.revision() == revision)
    {
        // The error lists the existing revisions.
        storage::read(context.cluster, namespace, release, Some(revision)).await?;
    }
    let record = storage::read_with_secrets(context.cluster, namespace, release, revision).await?;
    if chosen {
        skipped(context, past, revision).await?;
    }
    let mut warnings = past.warnings.clone();
    let is_read = past.records().any(|read| read.summary.revision == revision);
    warnings.extend(record.signature_warning().filter(|_| !is_read));
    let provenance = Provenance::recorded(&record);
    // A value that only a later revision marks secret is secret in this one too.
    let mut secrets = past
        .secrets()
        .paths_in(&[&record.user_values, &record.computed_values]);
    secrets.extend(record.secret_paths);
    // Certificates are not rolled back, so pods keep the marks of the current ones.
    let newest_known = past
        .records()
        .last()
        .and_then(|newest| Facts::read(&newest.guard).identities);
    let guard = match newest_known {
        Some(known) => Facts {
            identities: Some(known),
            ..Facts::read(&record.guard)
        }
        .to_value(),
        None => record.guard,
    };
    let terms = Terms::recorded(context, &guard);
    let objects = record
        .objects
        .iter()
        .map(|object| terms.settle(object.open()));
    Ok(Target {
        operation: Operation::Rollback,
        provenance,
        chart: record.chart,
        keep_chart: None,
        app_version: record.summary.app_version,
        user_values: record.user_values,
        changed_values: changes(past, &record.computed_values),
        computed_values: record.computed_values,
        secret_paths: secrets.into_iter().collect(),
        manifest: Manifest::of(context, &terms, objects, record.hooks).await?,
        notes: record.notes,
        guard,
        identities: identity::Plan::default(),
        unlisted_identities: None,
        rollback_to: Some(revision),
        warnings,
        labels: record.summary.labels,
    })
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

async fn find_chart(context: &Context<'_>, choice: &ChartChoice, past: &Past) -> Result<Chart> {
    let version = match choice {
        ChartChoice::Loaded(chart) => return Ok((**chart).clone()),
        ChartChoice::Named { name, version } => return repository::find(name, version.as_deref()),
        ChartChoice::ByRelease => None,
        ChartChoice::ByReleaseVersion(version) => Some(version.as_str()),
    };
    if let Some(doubt) = past.doubt(context) {
        return Err(doubt
            .why("only its records name the chart of the release")
            .hint("name the chart"));
    }
    let Some(baseline) = &past.baseline else {
        return repository::find(
            repository::chart_for_release(context.release.as_str())?,
            version,
        );
    };
    let chart = &baseline.chart;
    if chart.embedded {
        return repository::find(&chart.name, version);
    }
    if let Some(kept) = storage::kept_chart(
        context.cluster,
        &context.namespace,
        context.release.as_str(),
        &chart.digest,
    )
    .await?
    {
        return Ok(kept);
    }
    Err(Error::user(format!(
        "chart {} {} of release \"{}\" is not embedded and no longer kept with the release",
        chart.name, chart.version, context.release
    ))
    .hint("pass its folder or archive with --chart"))
}

async fn render_target(
    context: &Context<'_>,
    operation: Operation,
    wanted: &Wanted,
    past: &Past,
) -> Result<Target> {
    let baseline = past
        .baseline
        .as_ref()
        .filter(|_| operation == Operation::Upgrade);
    if operation == Operation::Upgrade && wanted.reuse != Reuse::Reset {
        let give_all = "or pass the chart and all values, with --reset-values";
        match baseline {
            None if past.unreadable.is_some() => {
                return Err(past.cannot_go_on(context).hint(give_all));
            }
            // This includes a record without values, because it is unknown whether the release had
            // any.
            Some(record) if record.lacks_secrets() => {
                return Err(storage::unverified(record).hint(give_all));
            }
            _ => {}
        }
    }
    let chart = find_chart(context, &wanted.chart, past).await?;
    let provenance = provenance(&chart, wanted, baseline, past);
    let mut warnings = past.warnings.clone();
    if chart.metadata.deprecated {
        warnings.push(format!(
            "chart {} {} is deprecated",
            chart.metadata.name, chart.metadata.version
        ));
    }
    let (user_values, defaults) = layers(wanted, baseline);
    let mut composition = compose::compose(Given {
        chart: &chart,
        release: context.release.as_str(),
        namespace: &context.namespace,
        user_values,
        defaults,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: wanted.skip_schema_validation,
        stored_secrets: past.secrets(),
    })?;
    warnings.extend(composition.values.warnings.iter().cloned());
    let revision = past.next_revision(context)?;
    let (identities, unlisted_identities) = match composition.organization.as_ref() {
        Some(organization) => {
            let planned = plan_identities(context, wanted, organization, past).await;
            neighbour::explain(context, &past.entries, planned).await?
        }
        None => Default::default(),
    };
    if composition.organization.is_some() && unlisted_identities.is_none() {
        composition.guard.identities = Some(identities::known(
            &identities,
            past,
            operation == Operation::Upgrade,
        ));
        composition.mount(&identities.items);
    }
    let guard = composition.guard.to_value();
    let terms = Terms::new(context, &guard);
    let settle = |object| terms.settle(object);
    let rendered = match &wanted.post_renderer {
        None => {
            render_chart(
                context,
                &chart,
                &composition,
                operation,
                revision,
                past.hashing(),
                settle,
            )
            .await?
        }
        Some(program) => {
            let whole = |object: Object| object;
            let rendered = render_chart(
                context,
                &chart,
                &composition,
                operation,
                revision,
                Hashing::default(),
                whole,
            )
            .await?;
            let values = &composition.values;
            let secrets = Masker::secrets_of(&values.all.tree, &values.secret_paths);
            let changed = program
                .run(&chart.metadata.name, &rendered.objects, secrets)
                .await?;
            let changed =
                render::reread(&chart, &context.namespace, past.hashing(), changed, settle)?;
            render::Output {
                hooks: [rendered.hooks, changed.hooks].concat(),
                notes: rendered.notes,
                ..changed
            }
        }
    };
    if let (None, Some(before)) = (
        &wanted.post_renderer,
        baseline.and_then(|record| record.chart.post_renderer.as_ref()),
    ) {
        warnings
            .push(format!("the deployed revision used --post-renderer {before}: without it, the changes of the post-renderer are undone"));
    }
    let app_version = composition.app_version();
    let values = composition.values;
    Ok(Target {
        operation,
        provenance,
        chart: ChartReference {
            name: chart.metadata.name.clone(),
            version: chart.metadata.version.to_string(),
            digest: chart.digest.clone(),
            embedded: chart.origin == ChartOrigin::Embedded,
            post_renderer: wanted.post_renderer.as_ref().map(|it| it.program.clone()),
        },
        labels: labels(wanted, baseline),
        app_version,
        changed_values: changes(past, &values.all.tree),
        identities,
        unlisted_identities,
        user_values: values.user.tree,
        computed_values: values.all.tree,
        secret_paths: values.secret_paths,
        manifest: Manifest::of(context, &terms, rendered.objects, rendered.hooks).await?,
        notes: rendered.notes,
        guard,
        rollback_to: None,
        warnings,
        keep_chart: (!matches!(chart.origin, ChartOrigin::Embedded | ChartOrigin::Stored))
            .then_some(chart),
    })
}

/// Merges the labels of the previous revision with those of this one.
fn labels(wanted: &Wanted, baseline: Option<&Record>) -> BTreeMap<String, String> {
    let mut labels = baseline
        .map(|record| record.summary.labels.clone())
        .unwrap_or_default();
    for (key, value) in &wanted.labels {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    labels
}

/// Returns true if values of the record are used.
fn takes_values(wanted: &Wanted, record: &Record) -> bool {
    let has_some = record
        .user_values
        .as_object()
        .is_some_and(|values| !values.is_empty());
    match wanted.reuse {
        Reuse::Reset => false,
        Reuse::ResetThenReuse => has_some,
        Reuse::Reuse => true,
    }
}

fn provenance(
    chart: &Chart,
    wanted: &Wanted,
    baseline: Option<&Record>,
    past: &Past,
) -> Provenance {
    let values = match baseline.filter(|record| takes_values(wanted, record)) {
        Some(record) => ValuesOrigin::Stored {
            revision: record.summary.revision,
        },
        None => ValuesOrigin::Given,
    };
    let signature = past
        .baseline
        .as_ref()
        .map_or(Signature::Unchecked, |record| record.signature);
    Provenance {
        manifest: ManifestOrigin::Rendered {
            chart: chart.origin.clone(),
            values,
        },
        signature,
    }
}

/// Returns the Pod Security level that the chart and values of this command alone require.
///
/// Returns the strictest level if they do not render without the stored values, or if the chart is
/// a kept one.
pub async fn level_asked_for(context: &Context<'_>, intent: &Intent, past: &Past) -> Result<Level> {
    let (Intent::Install(wanted) | Intent::Upgrade { wanted, .. }) = intent else {
        return Ok(Level::Restricted);
    };
    let chart = find_chart(context, &wanted.chart, past).await?;
    if chart.origin == ChartOrigin::Stored {
        return Ok(Level::Restricted);
    }
    let given = Given {
        chart: &chart,
        release: context.release.as_str(),
        namespace: &context.namespace,
        user_values: wanted.values.clone(),
        defaults: None,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: wanted.skip_schema_validation,
        stored_secrets: Default::default(),
    };
    let Ok(composition) = compose::compose(given) else {
        return Ok(Level::Restricted);
    };
    let revision = past.next_revision(context)?;
    let rendered = render_chart(
        context,
        &chart,
        &composition,
        Operation::Upgrade,
        revision,
        past.hashing(),
        |object| object,
    )
    .await;
    Ok(rendered.map_or(Level::Restricted, |rendered| {
        let hooks = rendered.hooks.iter().map(|hook| &hook.object);
        pod_security::level(&pod_security::needs(rendered.objects.iter().chain(hooks)))
    }))
}

/// Returns the user's values merged over those of the previous revision, and the values that
/// replace the chart's defaults.
fn layers(wanted: &Wanted, baseline: Option<&Record>) -> (Values, Option<Values>) {
    let Some(baseline) = baseline else {
        return (wanted.values.clone(), None);
    };
    let origin = Origin::Stored {
        revision: baseline.summary.revision,
    };
    let user = match wanted.reuse {
        Reuse::Reset => wanted.values.clone(),
        _ => values::merge(
            values::with_origin(baseline.user_values.clone(), origin.clone()),
            wanted.values.clone(),
        ),
    };
    let defaults = (wanted.reuse == Reuse::Reuse)
        .then(|| values::with_origin(baseline.computed_values.clone(), origin));
    (user, defaults)
}

/// Returns the names of the values that differ from the previous revision.
fn changes(past: &Past, now: &Value) -> Vec<String> {
    fn compare(before: &Value, now: &Value, path: &str, into: &mut Vec<String>) {
        match (before, now) {
            (Value::Object(before), Value::Object(now)) => {
                let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
                for name in names {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    compare(
                        before.get(name).unwrap_or(&Value::Null),
                        now.get(name).unwrap_or(&Value::Null),
                        &path,
                        into,
                    );
                }
            }
            (before, now) if before == now => {}
            _ => into.push(path.to_owned()),
        }
    }
    let mut changed = Vec::new();
    if let Some(baseline) = &past.baseline {
        compare(&baseline.computed_values, now, "", &mut changed);
    }
    changed
}
