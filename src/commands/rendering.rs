//! Charts rendered without a cluster, for `template`, `lint` and `values explain`; and manifests as text, secrets hidden.

use crate::chart::Chart;
use crate::error::Result;
use crate::fabric::{self, Model};
use crate::manifest::{Hook, Object};
use crate::plan::mask::Masker;
use crate::render::{self, Capabilities};
use crate::values::{self, Origin, Values};
use serde_json::json;

/// The Kubernetes version that is assumed where no cluster is asked.
pub const ASSUMED_KUBERNETES: &str = "v1.33.0";

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// What to render.
pub struct Request<'a> {
    pub chart: &'a Chart,
    pub user_values: Values,
    pub fabric_version: Option<&'a str>,
    pub release: &'a str,
    pub namespace: &'a str,
    pub is_upgrade: bool,
    pub capabilities: Capabilities,
    pub skip_schema_validation: bool,
}

/// The values that templates would see, checked against the chart's schema, and warnings.
pub fn computed_values(
    chart: &Chart,
    user_values: Values,
    fabric_version: Option<&str>,
    release: &str,
    skip_schema_validation: bool,
) -> Result<(Values, Vec<String>)> {
    let defaults = values::defaults(&chart.values, &format!("{}/values.yaml", chart.metadata.name))?;
    let user_values = match fabric_version {
        Some(version) => {
            fabric::checked_version(version)?;
            let version =
                values::with_origin(json!({ "fabricVersion": version }), Origin::Program("--fabric-version".to_owned()));
            values::merge(user_values, version)
        }
        None => user_values,
    };
    let (computed, warnings) = values::coalesce(&defaults, &user_values);
    if let (Some(schema), false) = (&chart.schema, skip_schema_validation) {
        values::validate(schema, &computed, release, &chart.name_version())?;
    }
    Ok((computed, warnings))
}

/// What came of it.
pub struct Rendered {
    pub output: render::Output,
    pub warnings: Vec<String>,
    /// Values that the chart's schema calls secret, to be masked wherever they stand.
    pub secrets: Vec<String>,
}

/// Renders a chart as an install or upgrade would, with every lookup empty.
pub fn render(request: Request) -> Result<Rendered> {
    let Request { chart, release, namespace, .. } = request;
    let (computed, mut warnings) =
        computed_values(chart, request.user_values, request.fabric_version, release, request.skip_schema_validation)?;
    let subject = fabric::Subject { model: Model::of(chart)?, release, namespace, values: &computed.tree };
    let facts = fabric::facts(subject)?;
    warnings.extend(fabric::warnings(&facts));
    let output = render::render(&render::Input {
        chart,
        values: &computed.tree,
        release: render::Release {
            name: release.to_owned(),
            namespace: namespace.to_owned(),
            revision: 1,
            is_install: !request.is_upgrade,
            is_upgrade: request.is_upgrade,
        },
        capabilities: request.capabilities,
        fabric: facts,
        lookup: None,
    })?;
    let pointers = chart.schema.as_ref().map(|schema| values::secret_paths(schema, &computed.tree)).unwrap_or_default();
    Ok(Rendered { output, warnings, secrets: Masker::secrets_of(&computed.tree, &pointers) })
}

/// Objects, then hooks, for eyes: secrets masked.
pub fn masked(objects: &[Object], hooks: &[Hook], masker: &Masker) -> Vec<Object> {
    let all = objects.iter().chain(hooks.iter().map(|hook| &hook.object));
    all.map(|object| Object { body: masker.object(&object.body), ..object.clone() }).collect()
}

/// Hooks for eyes.
pub fn masked_hooks(hooks: &[Hook], masker: &Masker) -> Vec<Hook> {
    let body = |hook: &Hook| masker.object(&hook.object.body);
    hooks.iter().map(|hook| Hook { object: Object { body: body(hook), ..hook.object.clone() }, ..hook.clone() }).collect()
}
