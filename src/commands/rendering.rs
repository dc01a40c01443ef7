//! Manifests for eyes, secrets hidden, and what is assumed where no cluster is asked.

use crate::manifest::{Hook, Object};
use crate::plan::mask::Masker;

/// The Kubernetes version that is assumed where no cluster is asked.
pub const ASSUMED_KUBERNETES: &str = "v1.33.0";

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Objects, then hooks, for eyes: secrets masked.
pub fn masked(objects: &[impl AsRef<Object>], hooks: &[Hook], masker: &Masker) -> Vec<Object> {
    let all = objects.iter().map(AsRef::as_ref).chain(hooks.iter().map(|hook| &hook.object));
    all.map(|object| Object { body: masker.object(&object.body), ..object.clone() }).collect()
}

/// Hooks for eyes.
pub fn masked_hooks(hooks: &[Hook], masker: &Masker) -> Vec<Hook> {
    let body = |hook: &Hook| masker.object(&hook.object.body);
    hooks.iter().map(|hook| Hook { object: Object { body: body(hook), ..hook.object.clone() }, ..hook.clone() }).collect()
}
