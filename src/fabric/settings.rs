//! Reads values for Fabric's rules, and builds environments from tables of settings.

use super::versions::Span;
use semver::Version;
use serde_json::{Map, Value, json};

/// Merged values, read by JSON pointer. The schema has checked their types, but a user's own chart
/// may omit keys.
pub struct Settings<'a>(&'a Value);

impl<'a> Settings<'a> {
    pub fn new(values: &'a Value) -> Settings<'a> {
        Settings(values)
    }

    pub fn get(&self, path: &str) -> Option<&'a Value> {
        self.0.pointer(path)
    }

    pub fn text(&self, path: &str) -> &'a str {
        self.get(path).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn text_or(&self, path: &str, default: &'a str) -> &'a str {
        match self.text(path) {
            "" => default,
            text => text,
        }
    }

    /// Returns the `metrics.enabled` of Fabric's programs.
    pub fn metrics_provider(&self) -> &'static str {
        match self.flag("/metrics/enabled", true) {
            true => "prometheus",
            false => "disabled",
        }
    }

    pub fn number(&self, path: &str, default: u64) -> u64 {
        self.get(path).and_then(Value::as_u64).unwrap_or(default)
    }

    pub fn flag(&self, path: &str, default: bool) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or(default)
    }

    /// Returns true if network policies limit egress to the destinations that the chart knows.
    pub fn egress_is_closed(&self) -> bool {
        self.flag("/networkPolicy/enabled", false)
            && self
                .get("/networkPolicy/egress")
                .is_none_or(|egress| *egress == json!([]))
    }

    pub fn texts(&self, path: &str) -> Vec<&'a str> {
        self.get(path)
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    pub fn map(&self, path: &str) -> Option<&'a Map<String, Value>> {
        self.get(path)
            .and_then(Value::as_object)
            .filter(|map| !map.is_empty())
    }
}

/// An environment variable: its name, the versions that read it, and its value for a node. `None`
/// omits it.
///
/// From 3.0 on, an empty variable is not the same as no variable: it overrides the default with
/// nothing.
pub struct Variable<T> {
    pub name: &'static str,
    pub span: Span,
    pub value: fn(&T) -> Option<String>,
}

/// Returns the row of a variable that every version reads.
pub const fn row<T>(name: &'static str, value: fn(&T) -> Option<String>) -> Variable<T> {
    during(Span::ALWAYS, name, value)
}

/// Returns the row of a variable that only these versions read.
pub const fn during<T>(
    span: Span,
    name: &'static str,
    value: fn(&T) -> Option<String>,
) -> Variable<T> {
    Variable { name, span, value }
}

/// Returns the environment of one node: the table's rows for this version, then the user's
/// variables.
pub fn environment<T>(
    table: &[Variable<T>],
    version: &Version,
    node: &T,
    extra: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut variables: Map<String, Value> = table
        .iter()
        .filter(|row| row.span.holds(version))
        .filter_map(|row| {
            (row.value)(node).map(|value| (row.name.to_owned(), Value::String(value)))
        })
        .collect();
    for (name, value) in extra.into_iter().flatten() {
        variables.insert(name.clone(), variable(value));
    }
    variables
}

/// Returns a variable from the values: a text, or a `valueFrom`, which the pod resolves.
pub fn variable(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Object(_) => value.clone(),
        other => Value::String(other.to_string()),
    }
}
