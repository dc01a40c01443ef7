//! Whose object is it? The marks of ours, and how others mark theirs.

use crate::manifest::annotation;
use serde_json::{Value, json};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const RELEASE: &str = "kubectl-fabric.io/release";
pub const RELEASE_NAMESPACE: &str = "kubectl-fabric.io/release-namespace";

/// The label selector of what this program manages.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=kubectl-fabric";

/// A release, as its objects are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub release: String,
    pub namespace: String,
}

impl Owner {
    /// Marks a wanted object as this release's.
    pub fn mark(&self, body: &mut Value) {
        body["metadata"]["labels"][MANAGED_BY] = json!("kubectl-fabric");
        body["metadata"]["annotations"][RELEASE] = json!(self.release);
        body["metadata"]["annotations"][RELEASE_NAMESPACE] = json!(self.namespace);
    }

    /// The marks of data that no manifest has: a volume claim that a StatefulSet made.
    pub fn marks(&self) -> Value {
        json!({RELEASE: self.release, RELEASE_NAMESPACE: self.namespace})
    }

    /// Whether the marks of data say that it is this release's; `None` without marks, or with those
    /// of another namespace.
    pub fn has(&self, body: &Value) -> Option<bool> {
        let release = annotation(body, RELEASE)?;
        let is_here =
            annotation(body, RELEASE_NAMESPACE).is_none_or(|namespace| namespace == self.namespace);
        if release == self.release {
            is_here.then_some(true)
        } else {
            Some(false)
        }
    }

    /// Whether a live object is this release's.
    pub fn owns(&self, body: &Value) -> bool {
        body["metadata"]["labels"][MANAGED_BY] == "kubectl-fabric"
            && annotation(body, RELEASE) == Some(&self.release)
            && annotation(body, RELEASE_NAMESPACE) == Some(&self.namespace)
    }
}

/// Whose a live object is that is not ours, in words.
pub fn owner_of(body: &Value) -> String {
    if let Some(release) = annotation(body, RELEASE) {
        let namespace = annotation(body, RELEASE_NAMESPACE).unwrap_or("?");
        return format!("it belongs to release \"{release}\" in namespace \"{namespace}\"");
    }
    if let Some(release) = annotation(body, "meta.helm.sh/release-name") {
        return format!("it belongs to Helm release \"{release}\"");
    }
    match body["metadata"]["labels"][MANAGED_BY].as_str() {
        Some(manager) => format!("it is managed by \"{manager}\""),
        None => "it exists already and bears no mark of a release".to_owned(),
    }
}
