//! Determines the owner of an object, by this program's marks or by those of other tools.

use crate::manifest::annotation;
use serde_json::{Value, json};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const RELEASE: &str = "kubectl-fabric.io/release";
pub const RELEASE_NAMESPACE: &str = "kubectl-fabric.io/release-namespace";

/// Label selector of objects that this program manages.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=kubectl-fabric";

/// A release, as it appears in the marks of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub release: String,
    pub namespace: String,
}

impl Owner {
    /// Adds this release's marks to a desired object.
    pub fn mark(&self, body: &mut Value) {
        body["metadata"]["labels"][MANAGED_BY] = json!("kubectl-fabric");
        body["metadata"]["annotations"][RELEASE] = json!(self.release);
        body["metadata"]["annotations"][RELEASE_NAMESPACE] = json!(self.namespace);
    }

    /// Returns the marks for data that is in no manifest: a volume claim that a StatefulSet
    /// created.
    pub fn marks(&self) -> Value {
        json!({RELEASE: self.release, RELEASE_NAMESPACE: self.namespace})
    }

    /// Returns whether the marks of data name this release, or `None` if there are no marks or
    /// those of another namespace.
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

    /// Returns true if a live object belongs to this release.
    pub fn owns(&self, body: &Value) -> bool {
        body["metadata"]["labels"][MANAGED_BY] == "kubectl-fabric"
            && annotation(body, RELEASE) == Some(&self.release)
            && annotation(body, RELEASE_NAMESPACE) == Some(&self.namespace)
    }
}

/// Describes the owner of a live object that does not belong to this release.
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
        None => "it already exists and has no mark of a release".to_owned(),
    }
}
