//! The template engine as charts use it: escaping, errors, variables and limits.

use super::data::{self, Misses};
use super::files::Files;
use super::{FUEL, Input, functions};
use crate::chart::Chart;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Value, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};
use serde_json::json;
use std::sync::Arc;

/// Returns the environment of one render, with functions but without templates, and the variables
/// of all templates.
pub(super) fn of<'a>(input: &Input, misses: &Arc<Misses>) -> (Environment<'a>, Value) {
    let mut env = Environment::new();
    env.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
            .expect("the delimiters are the default ones"),
    );
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Required for positions in errors. It also collects the values of variables, which are never
    // read.
    env.set_debug(true);
    env.set_fuel(Some(FUEL));
    env.set_auto_escape_callback(escape_of);
    env.set_formatter(write);
    env.set_path_join_callback(functions::join);
    let root = variables(input, misses);
    functions::add(&mut env, root.clone(), misses, input.lookup.clone());
    (env, root)
}

/// Chooses the escaping. Strings stay strings, and everything else becomes YAML.
///
/// Includes are escaped too, so that their text cannot leave its place in a template.
fn escape_of(name: &str) -> AutoEscape {
    if name.ends_with(".txt") || name == "<tpl>" {
        AutoEscape::None
    } else {
        AutoEscape::Json
    }
}

/// Writes the value of an expression.
fn write(out: &mut minijinja::Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_safe() {
        return Ok(out.write_str(value.as_str().unwrap_or_default())?);
    }
    let mut text = String::new();
    match (state.auto_escape(), value.as_str()) {
        (AutoEscape::None, Some(plain)) => return Ok(out.write_str(plain)?),
        (AutoEscape::None, None) => text = functions::plain(state, value)?,
        (_, Some(string)) => data::write_string(string, &mut text),
        (_, None) => data::write_value(state, value, &mut text)?,
    }
    Ok(out.write_str(&text)?)
}

fn variables(input: &Input, misses: &Arc<Misses>) -> Value {
    let Input {
        chart,
        values,
        release,
        capabilities,
        fabric,
        ..
    } = input;
    let release = json!({
        "name": release.name,
        "namespace": release.namespace,
        "revision": release.revision,
        "is_install": release.is_install,
        "is_upgrade": release.is_upgrade,
        "service": "kubectl-fabric",
    });
    let capabilities = Capabilities {
        facts: data::to_template(
            &json!({"kube_version": capabilities.kube_version, "api_versions": capabilities.api_versions}),
            misses,
        ),
        api_versions: capabilities.api_versions.clone(),
    };
    minijinja::context! {
        values => data::to_template(values, misses),
        release => data::to_template(&release, misses),
        chart => data::to_template(&chart_facts(chart), misses),
        capabilities => Value::from_object(capabilities),
        fabric => data::to_template(fabric, misses),
        files => Value::from_object(Files::of(chart, misses)),
    }
}

/// Returns Chart.yaml with this program's field names in addition to Helm's.
fn chart_facts(chart: &Chart) -> serde_json::Value {
    let metadata = &chart.metadata;
    let mut facts = metadata.raw.clone();
    facts["name"] = json!(metadata.name);
    facts["version"] = json!(metadata.version.to_string());
    facts["app_version"] = json!(metadata.app_version);
    facts["kube_version"] = json!(metadata.kube_version);
    facts["description"] = json!(metadata.description);
    facts["annotations"] = json!(metadata.annotations);
    facts
}

/// `capabilities`: facts about the cluster, and the method `has`.
#[derive(Debug)]
struct Capabilities {
    facts: Value,
    api_versions: Vec<String>,
}

impl Object for Capabilities {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.facts
            .get_item(key)
            .ok()
            .filter(|found| !found.is_undefined())
    }

    /// Evaluates `has("apps/v1")` and `has("networking.k8s.io/v1/Ingress")`.
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method != "has" {
            return Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("capabilities has no method \"{method}\", only \"has\""),
            ));
        }
        let (wanted,): (&str,) = from_args(args)?;
        let served = |version: &String| {
            version
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Ok(Value::from(self.api_versions.iter().any(served)))
    }
}
