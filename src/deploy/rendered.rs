//! The target of an install or upgrade: finds the chart, merges the values and renders.

use super::identities::{self, plan_identities};
use super::lookup::Rendering;
use super::neighbour;
use super::past::Past;
use super::resolve::{Target, changes};
use super::settle::{Manifest, MaybeSettled, Terms};
use super::{ChartChoice, Context, Intent, Operation, Reuse, Wanted};
use crate::chart::{Chart, Origin as ChartOrigin, repository};
use crate::compose::{self, Composition, Computed, Given};
use crate::error::{Error, Result};
use crate::identity;
use crate::manifest::pod_security::{self, Level};
use crate::plan::confine::{ManifestOrigin, Provenance, ValuesOrigin};
use crate::plan::mask::Masker;
use crate::release::{ChartReference, Record, Signature};
use crate::render::{self, Hashing};
use crate::storage;
use crate::values::{self, Origin, StoredSecrets, Values};
use std::collections::BTreeMap;

/// Returns the rendered manifest and its values.
pub(super) async fn target(
    context: &Context<'_>,
    operation: Operation,
    wanted: &Wanted,
    past: &Past,
) -> Result<Target> {
    let is_upgrade = operation == Operation::Upgrade;
    let baseline = past.baseline.as_ref().filter(|_| is_upgrade);
    if is_upgrade && wanted.reuse != Reuse::Reset {
        refuse_unread_values(context, past)?;
    }
    let chart = find_chart(context, &wanted.chart, past).await?;
    let (user_values, defaults) = layers(wanted, baseline);
    let mut composition = compose::compose(Given {
        user_values,
        defaults,
        stored_secrets: past.secrets(),
        ..given(context, &chart, wanted)
    })?;
    let revision = past.next_revision(context)?;
    let (identities, unlisted_identities) =
        provide_identities(context, wanted, past, is_upgrade, &mut composition).await?;
    let guard = composition.guard.to_value();
    let terms = Terms::new(context, &guard);
    let rendering = Rendering {
        context,
        chart: &chart,
        composition: &composition,
        is_upgrade,
        revision,
    };
    let rendered = render(&rendering, wanted, past, &terms).await?;
    let provenance = provenance(&chart, wanted, baseline, past);
    let warnings = warnings(&chart, wanted, baseline, past, &composition.values);
    let reference = reference(&chart, wanted);
    let app_version = composition.app_version();
    let values = composition.values;
    Ok(Target {
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
        warnings,
        keep_chart: (!matches!(chart.origin, ChartOrigin::Embedded | ChartOrigin::Stored))
            .then_some(chart),
        ..Target::new(operation, provenance, reference)
    })
}

/// Refuses to upgrade with stored values if they cannot be read.
fn refuse_unread_values(context: &Context<'_>, past: &Past) -> Result<()> {
    let error = match &past.baseline {
        None if past.unreadable.is_some() => past.cannot_go_on(context),
        // This includes a record without values, because it is unknown whether the release had any.
        Some(record) if record.lacks_secrets() => storage::unverified(record),
        _ => return Ok(()),
    };
    Err(error.hint("or pass the chart and all values, with --reset-values"))
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

/// Returns what the command gives, without anything stored.
fn given<'a>(context: &'a Context<'_>, chart: &'a Chart, wanted: &'a Wanted) -> Given<'a> {
    Given {
        chart,
        release: context.release.as_str(),
        namespace: &context.namespace,
        user_values: wanted.values.clone(),
        defaults: None,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: wanted.skip_schema_validation,
        stored_secrets: StoredSecrets::default(),
    }
}

/// Plans the identities of an organization's nodes, and has the pods mount them.
///
/// The second part of the result is the error if Secrets may not be listed.
async fn provide_identities(
    context: &Context<'_>,
    wanted: &Wanted,
    past: &Past,
    is_upgrade: bool,
    composition: &mut Composition<'_>,
) -> Result<(identity::Plan, Option<Error>)> {
    let Some(organization) = &composition.organization else {
        return Ok(Default::default());
    };
    let planned = plan_identities(context, wanted, organization, past).await;
    let (plan, unlisted) = neighbour::explain(context, &past.entries, planned).await?;
    if unlisted.is_none() {
        composition.guard.identities = Some(identities::known(&plan, past, is_upgrade));
        composition.mount(&plan.items);
    }
    Ok((plan, unlisted))
}

/// Renders the chart, and has the post-renderer change the result.
async fn render(
    rendering: &Rendering<'_>,
    wanted: &Wanted,
    past: &Past,
    terms: &Terms,
) -> Result<render::Output<MaybeSettled>> {
    let settle = |object| terms.settle(object);
    let Some(program) = &wanted.post_renderer else {
        return rendering.run(past.hashing(), settle).await;
    };
    let (chart, values) = (rendering.chart, &rendering.composition.values);
    let rendered = rendering.run(Hashing::default(), |object| object).await?;
    let secrets = Masker::secrets_of(&values.all.tree, &values.secret_paths);
    let changed = program.run(&chart.metadata.name, &rendered.objects, secrets);
    let changed = changed.await?;
    let namespace = &rendering.context.namespace;
    let changed = render::reread(chart, namespace, past.hashing(), changed, settle)?;
    Ok(render::Output {
        hooks: [rendered.hooks, changed.hooks].concat(),
        notes: rendered.notes,
        ..changed
    })
}

fn warnings(
    chart: &Chart,
    wanted: &Wanted,
    baseline: Option<&Record>,
    past: &Past,
    values: &Computed,
) -> Vec<String> {
    let mut warnings = past.warnings.clone();
    let metadata = &chart.metadata;
    if metadata.deprecated {
        warnings.push(format!(
            "chart {} {} is deprecated",
            metadata.name, metadata.version
        ));
    }
    warnings.extend(values.warnings.iter().cloned());
    let before = baseline.and_then(|record| record.chart.post_renderer.as_ref());
    if let (None, Some(before)) = (&wanted.post_renderer, before) {
        warnings.push(format!(
            "the deployed revision used --post-renderer {before}: without it, the changes of the \
             post-renderer are undone"
        ));
    }
    warnings
}

fn reference(chart: &Chart, wanted: &Wanted) -> ChartReference {
    ChartReference {
        name: chart.metadata.name.clone(),
        version: chart.metadata.version.to_string(),
        digest: chart.digest.clone(),
        embedded: chart.origin == ChartOrigin::Embedded,
        post_renderer: wanted.post_renderer.as_ref().map(|it| it.program.clone()),
    }
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
pub(super) async fn level_asked_for(
    context: &Context<'_>,
    intent: &Intent,
    past: &Past,
) -> Result<Level> {
    let (Intent::Install(wanted) | Intent::Upgrade { wanted, .. }) = intent else {
        return Ok(Level::Restricted);
    };
    let chart = find_chart(context, &wanted.chart, past).await?;
    if chart.origin == ChartOrigin::Stored {
        return Ok(Level::Restricted);
    }
    let Ok(composition) = compose::compose(given(context, &chart, wanted)) else {
        return Ok(Level::Restricted);
    };
    let rendering = Rendering {
        context,
        chart: &chart,
        composition: &composition,
        is_upgrade: true,
        revision: past.next_revision(context)?,
    };
    let rendered = rendering.run(past.hashing(), |object| object).await;
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
