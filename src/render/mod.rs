//! Chart + values + facts about the release → objects, hooks and notes. No I/O, no clock, no randomness: twice the same bytes.

use crate::chart::Chart;
use crate::error::Result;
use crate::manifest::{Hook, Object};
use serde_json::Value;

/// What templates see as `release`.
#[derive(Clone, Debug)]
pub struct Release {
    pub name: String,
    pub namespace: String,
    pub revision: u32,
    pub is_install: bool,
    pub is_upgrade: bool,
}

/// What templates see as `capabilities`: of the live cluster, or assumed when there is none.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// `v1.33.0`
    pub kube_version: String,
    /// `apps/v1`, `networking.k8s.io/v1/Ingress`; empty when unknown.
    pub api_versions: Vec<String>,
}

/// Answers `lookup(api_version, kind, namespace, name)`: an object, a list, or an empty map.
pub type Lookup = Box<dyn Fn(&str, &str, &str, &str) -> Result<Value> + Send + Sync>;

pub struct Input<'a> {
    pub chart: &'a Chart,
    pub values: &'a Value,
    pub release: Release,
    pub capabilities: Capabilities,
    /// What templates see as `fabric`: worked out by `fabric::facts`.
    pub fabric: Value,
    /// `None` is offline: every lookup is empty.
    pub lookup: Option<Lookup>,
}

#[derive(Debug, Default)]
pub struct Output {
    /// In the order in which they are applied.
    pub objects: Vec<Object>,
    pub hooks: Vec<Hook>,
    pub notes: String,
}

/// Renders every template of the chart.
///
/// # Errors
///
/// All point at the template's file, line and column with the excerpt, and never show a value: broken templates, undefined values
/// (with the nearest key), text that is not YAML, documents that are no Kubernetes objects, objects named twice, unknown hooks.
pub fn render(_input: &Input) -> Result<Output> {
    todo!()
}
