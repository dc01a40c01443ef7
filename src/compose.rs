//! From a chart and the user's values to objects: defaults, merge, schema, Fabric's facts,
//! templates. Pure.
//!
//! This is the only path. `template`, `lint` and `values explain` use it without a cluster, and
//! every operation uses it with one, so the output of a preview cannot differ from what is applied.

use crate::chart::Chart;
use crate::error::Result;
use crate::fabric::guard::Facts;
use crate::fabric::{self, Model, Subject};
use crate::identity::Organization;
use crate::render::{self, Capabilities, Lookup, Release};
use crate::values::{self, Origin, StoredSecrets, Values, path};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The input of a composition.
pub struct Given<'a> {
    pub chart: &'a Chart,
    pub release: &'a str,
    pub namespace: &'a str,
    /// The user's values, merged over those of earlier revisions.
    pub user_values: Values,
    /// Values that replace the chart's defaults: `--reuse-values`.
    pub defaults: Option<Values>,
    /// `--fabric-version`
    pub fabric_version: Option<&'a str>,
    pub skip_schema_validation: bool,
    /// Values that were secret in earlier revisions of the release. They stay secret, regardless of
    /// this chart's schema.
    pub stored_secrets: StoredSecrets,
}

/// Values in the form of the record and in the form of templates.
pub struct Computed {
    /// The user's values, including `--fabric-version`.
    pub user: Values,
    /// All of them.
    pub all: Values,
    /// JSON pointers of secret values: those that the chart's schema marks, that were secret
    /// before, or that look like credentials.
    pub secret_paths: Vec<String>,
    pub warnings: Vec<String>,
}

/// Checked values and the facts derived from them, ready to be rendered.
pub struct Composition<'a> {
    chart: &'a Chart,
    release: &'a str,
    namespace: &'a str,
    pub values: Computed,
    /// The variable `fabric` of templates.
    pub facts: Value,
    /// Facts in the record for the guards of later operations.
    pub guard: Facts,
    /// The organization whose nodes need identities.
    pub organization: Option<Organization>,
}

/// Merges the values.
///
/// # Errors
///
/// Fails for a Fabric version that cannot be installed, defaults that are not YAML, and values that
/// do not match the chart's schema (reports all of them at once).
pub fn values(given: Given) -> Result<Computed> {
    let chart = given.chart;
    let user = match given.fabric_version {
        Some(version) => {
            fabric::checked_version(version)?;
            let flag = values::with_origin(
                json!({ "fabricVersion": version }),
                Origin::Program("--fabric-version".to_owned()),
            );
            values::merge(given.user_values, flag)
        }
        None => given.user_values,
    };
    let of_chart = values::defaults(
        &chart.values,
        &format!("{}/values.yaml", chart.metadata.name),
    )?;
    let defaults = match given.defaults {
        Some(stored) => values::taken_back(stored, &user, &of_chart),
        None => of_chart,
    };
    let (all, mut warnings) = values::coalesce(defaults, &user);
    let mut secrets = given.stored_secrets.paths_in(&[&user.tree, &all.tree]);
    secrets.extend(
        chart
            .schema
            .iter()
            .flat_map(|schema| values::secret_paths(schema, &all.tree)),
    );
    let credentials = values::credentials(&user.tree);
    let is_known = |path: &str| secrets.iter().any(|secret| path::is_within(path, secret));
    warnings.extend(
        credentials
            .iter()
            .filter(|path| !is_known(path.as_str()))
            .map(|path| in_the_clear(path, &user)),
    );
    secrets.extend(credentials);
    let secret_paths: Vec<String> = secrets.into_iter().collect();
    if let (Some(schema), false) = (&chart.schema, given.skip_schema_validation) {
        values::validate(
            schema,
            &all,
            &secret_paths,
            given.release,
            &chart.name_version(),
        )?;
    }
    Ok(Computed {
        user: values::without_nulls(user),
        all,
        secret_paths,
        warnings,
    })
}

/// Returns the warning about a value that looks like a credential. It names the value but does not
/// show it.
fn in_the_clear(pointer: &str, user: &Values) -> String {
    let name = path::display(pointer, &user.tree);
    let origin = user
        .origin(pointer)
        .map(|origin| format!(" ({origin})"))
        .unwrap_or_default();
    format!(
        "\"{name}\"{origin} looks like a credential. Records and output hide it, but the objects \
         that use it do not: store it in a Secret, and use valueFrom.secretKeyRef for an \
         environment variable"
    )
}

/// Merges the values and computes the facts about Fabric.
///
/// # Errors
///
/// Fails like [`values`], and for values that break Fabric's rules (reports all of them at once).
pub fn compose(given: Given) -> Result<Composition> {
    let Given {
        chart,
        release,
        namespace,
        ..
    } = given;
    let mut values = values(given)?;
    let subject = Subject {
        model: Model::of(chart)?,
        release,
        namespace,
        values: &values.all.tree,
    };
    let facts = fabric::facts(subject)?;
    let organization = fabric::organization(subject)?;
    let guard = Facts::of(chart, subject, &facts);
    values.warnings.extend(fabric::warnings(&facts));
    Ok(Composition {
        chart,
        release,
        namespace,
        values,
        facts,
        guard,
        organization,
    })
}

impl Composition<'_> {
    /// The Fabric version, or the chart's `appVersion`.
    pub fn app_version(&self) -> String {
        self.facts["version"]
            .as_str()
            .unwrap_or(&self.chart.metadata.app_version)
            .to_owned()
    }

    /// Makes pods mount these entries of MSP Secrets, by entry and path, in addition to those that
    /// every MSP has.
    pub fn mount(&mut self, items: &BTreeMap<String, String>) {
        if !items.is_empty() && self.facts["crypto"].is_object() {
            self.facts["crypto"]["items"] = items
                .iter()
                .map(|(key, path)| json!({"key": key, "path": path}))
                .collect();
        }
    }

    /// Renders the chart as this revision.
    pub fn render(
        &self,
        revision: u32,
        is_upgrade: bool,
        capabilities: Capabilities,
        lookup: Option<Lookup>,
    ) -> Result<render::Output> {
        render::render(&self.input(revision, is_upgrade, capabilities, lookup))
    }

    /// The input for rendering this revision.
    pub fn input(
        &self,
        revision: u32,
        is_upgrade: bool,
        capabilities: Capabilities,
        lookup: Option<Lookup>,
    ) -> render::Input<'_> {
        render::Input {
            chart: self.chart,
            values: &self.values.all.tree,
            release: Release {
                name: self.release.to_owned(),
                namespace: self.namespace.to_owned(),
                revision,
                is_install: !is_upgrade,
                is_upgrade,
            },
            capabilities,
            fabric: self.facts.clone(),
            lookup,
            hashing: render::Hashing::default(),
        }
    }
}
