//! Charts rendered without a cluster, for `template`, `lint` and `values explain`; and manifests as text, secrets hidden.

use crate::chart::Chart;
use crate::error::Result;
use crate::fabric::{self, Model};
use crate::manifest::{Hook, Object};
use crate::render::{self, Capabilities};
use crate::values::{self, Origin, Values};
use crate::yaml;
use serde_json::{Value, json};

/// The Kubernetes version that is assumed where no cluster is asked.
pub const ASSUMED_KUBERNETES: &str = "v1.33.0";

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Hidden,
    Shown,
}

impl Secrets {
    pub fn shown(shown: bool) -> Secrets {
        if shown { Secrets::Shown } else { Secrets::Hidden }
    }
}

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
    let defaults = values::defaults(&chart.values, "values.yaml")?;
    let user_values = match fabric_version {
        Some(version) => {
            let version = values::with_origin(json!({ "fabricVersion": version }), Origin::Flag("--fabric-version".to_owned()));
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

/// Renders a chart as an install or upgrade would, with every lookup empty.
pub fn render(request: Request) -> Result<(render::Output, Vec<String>)> {
    let Request { chart, release, namespace, .. } = request;
    let (computed, warnings) =
        computed_values(chart, request.user_values, request.fabric_version, release, request.skip_schema_validation)?;
    let subject = fabric::Subject { model: Model::of(chart)?, release, namespace, values: &computed.tree };
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
        fabric: fabric::facts(subject)?,
        lookup: None,
    })?;
    Ok((output, warnings))
}

/// One object as YAML.
pub fn document_text(object: &Object, secrets: Secrets) -> String {
    yaml::emit(&hidden(&object.body, secrets))
}

/// Objects, then hooks, as Helm prints them: `---`, the source, the document.
pub fn manifest_text(chart: &str, objects: &[Object], hooks: &[Hook], secrets: Secrets) -> String {
    let all = objects.iter().chain(hooks.iter().map(|hook| &hook.object));
    all.map(|object| sourced(chart, object, secrets)).collect()
}

/// One document under the line that names its template.
pub fn sourced(chart: &str, object: &Object, secrets: Secrets) -> String {
    format!("---\n# Source: {chart}/{}\n{}", object.source.template, document_text(object, secrets))
}

/// An object's body; the data of a Secret is hidden unless asked for.
pub fn hidden(body: &Value, secrets: Secrets) -> Value {
    let mut body = body.clone();
    if secrets == Secrets::Hidden && body["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(data) = body.get_mut(field).and_then(Value::as_object_mut) {
                data.values_mut().for_each(|value| *value = json!(HIDDEN));
            }
        }
    }
    body
}

/// Values; those that the chart's schema calls secret are hidden unless asked for.
pub fn hidden_values(tree: &Value, secret_paths: &[String], secrets: Secrets) -> Value {
    let mut tree = tree.clone();
    if secrets == Secrets::Hidden {
        for path in secret_paths {
            if let Some(value) = tree.pointer_mut(path) {
                *value = json!(HIDDEN);
            }
        }
    }
    tree
}
