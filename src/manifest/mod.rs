//! Kubernetes objects as the program handles them: identity, labels, order, hooks, readiness.

pub mod kinds;

use serde_json::Value;
use std::fmt;

/// The prefix of every label and annotation of ours.
pub const DOMAIN: &str = "kubectl-fabric.io";

/// What an object is, wherever it is: two objects with one identity are the same object. The API version is not part of it, so
/// that an object keeps its identity when its group serves a newer version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ObjectKey {
    /// Empty for the core group.
    pub group: String,
    pub kind: String,
    /// `None` for objects of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl fmt::Display for ObjectKey {
    /// `StatefulSet org1/peer0`, `Namespace org1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// The template line that made an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// `templates/peers.yaml`
    pub template: String,
    /// 1-based line of the template on which the object begins.
    pub line: usize,
}

/// One object as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub key: ObjectKey,
    pub body: Value,
    pub source: Source,
}

impl Object {
    /// Reads an object from its body, `None` when apiVersion, kind or metadata.name are missing. The namespace is what the body says.
    pub fn from_body(body: Value, source: Source) -> Option<Object> {
        let api_version = body.get("apiVersion")?.as_str()?;
        let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let kind = body.get("kind")?.as_str()?.to_owned();
        let metadata = body.get("metadata")?;
        let name = metadata.get("name")?.as_str()?.to_owned();
        let namespace = metadata.get("namespace").and_then(Value::as_str).map(str::to_owned);
        Some(Object { key: ObjectKey { group, kind, namespace, name }, body, source })
    }

    pub fn api_version(&self) -> &str {
        self.body["apiVersion"].as_str().unwrap_or_default()
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        annotation(&self.body, name)
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.body.get("metadata")?.get("labels")?.get(name)?.as_str()
    }

    /// `kubectl-fabric.io/stage`: objects of a lower stage are applied, and ready, before those of a higher one. 0 when absent.
    pub fn stage(&self) -> i32 {
        self.annotation("kubectl-fabric.io/stage").and_then(|stage| stage.parse().ok()).unwrap_or(0)
    }

    /// `kubectl-fabric.io/rollout-group`: running objects of one group change one at a time, each Ready before the next.
    pub fn rollout_group(&self) -> Option<&str> {
        self.annotation("kubectl-fabric.io/rollout-group")
    }
}

/// An annotation of an object's body.
pub fn annotation<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    PreInstall,
    PostInstall,
    PreUpgrade,
    PostUpgrade,
    PreRollback,
    PostRollback,
    PreDelete,
    PostDelete,
    Test,
}

/// When a hook's object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletePolicy {
    BeforeHookCreation,
    HookSucceeded,
    HookFailed,
}

/// An object that runs before or after the rest instead of belonging to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    pub object: Object,
    pub events: Vec<HookEvent>,
    /// Ascending; ties by name.
    pub weight: i32,
    /// `before-hook-creation` when the chart says nothing.
    pub delete_policies: Vec<DeletePolicy>,
}
