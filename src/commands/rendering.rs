//! Manifests for display, with masked secrets, and the defaults for rendering without a cluster.

use crate::manifest::{Hook, Object, Sealed};
use crate::plan::mask::Masker;
use std::sync::Arc;

/// The default Kubernetes version for rendering without a cluster.
pub const ASSUMED_KUBERNETES: &str = "v1.33.0";

/// Objects, then hooks, with masked secrets.
pub fn masked(objects: &[Arc<Sealed>], hooks: &[Hook], masker: &Masker) -> Vec<Object> {
    let all = objects
        .iter()
        .map(|object| object.open())
        .chain(hooks.iter().map(|hook| hook.object.clone()));
    all.map(|object| Object {
        body: masker.object(&object.body),
        ..object
    })
    .collect()
}

/// Hooks, with masked secrets.
pub fn masked_hooks(hooks: &[Hook], masker: &Masker) -> Vec<Hook> {
    let body = |hook: &Hook| masker.object(&hook.object.body);
    hooks
        .iter()
        .map(|hook| Hook {
            object: Object {
                body: body(hook),
                ..hook.object.clone()
            },
            ..hook.clone()
        })
        .collect()
}
