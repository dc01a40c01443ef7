//! Plans how the hooks of an operation change existing objects.
//!
//! Hooks follow the same ownership rules as other objects: the plan checks the owner before it
//! deletes or changes an object of the same name.

use super::{Action, Live, Seen, Step};
use crate::manifest::{DeletePolicy, Hook, HookEvent, ObjectKey};
use serde_json::Value;
use std::sync::Arc;

/// A hook that the operation runs.
#[derive(Clone, Debug)]
pub struct HookStep {
    pub hook: Hook,
    /// Events of the hook that are part of the operation.
    pub events: Vec<HookEvent>,
    /// Create, change or recreate. Recreating deletes an existing object first.
    pub step: Step,
}

impl HookStep {
    /// Compares a hook with the live object of its name. Returns `None` if the hook has none of
    /// these events.
    pub(super) fn new(hook: &Hook, events: &[HookEvent], live: &mut Live) -> Option<HookStep> {
        let events: Vec<HookEvent> = events
            .iter()
            .copied()
            .filter(|event| hook.events.contains(event))
            .collect();
        if events.is_empty() {
            return None;
        }
        let object = &hook.object;
        let live = live.remove(&object.key).map(|Seen { body, .. }| body);
        let (action, why) = match &live {
            None => (Action::Create, String::new()),
            Some(live) => match holds_data(&object.key, live) {
                Some(what) => (
                    Action::Change,
                    format!("{what}, so it is not deleted first"),
                ),
                None if replaces(hook) => (Action::Recreate, "it is deleted first".to_owned()),
                None => (Action::Change, String::new()),
            },
        };
        let step = Step {
            key: object.key.clone(),
            api_version: object.api_version().to_owned(),
            action,
            wanted: Some(Arc::new(object.clone().into())),
            live,
            after: None,
            why,
            volumes: None,
            theirs: Vec::new(),
        };
        Some(HookStep {
            hook: hook.clone(),
            events,
            step,
        })
    }

    /// Formats the events as in `pre-install, post-install`.
    pub fn events_in_words(&self) -> String {
        self.events
            .iter()
            .map(|event| event.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Returns true if an object of an earlier run is deleted before this one is created.
    pub fn replaces(&self) -> bool {
        self.step.action != Action::Change
            && replaces(&self.hook)
            && holds_data(&self.step.key, &Value::Null).is_none()
    }

    /// Returns true if a deletion policy applies to the hook's object. An object that holds data is
    /// deleted only by the run that created it.
    pub fn deletes(&self, policy: DeletePolicy) -> bool {
        let is_safe = self.step.action == Action::Create
            || self
                .step
                .live
                .as_ref()
                .is_none_or(|live| holds_data(&self.step.key, live).is_none());
        self.hook.delete_policies.contains(&policy) && is_safe
    }
}

/// Returns true if an existing object is deleted first.
///
/// Always true for a hook that runs to completion, because the existing object ran for an earlier
/// operation.
fn replaces(hook: &Hook) -> bool {
    hook.runs()
        || hook
            .delete_policies
            .contains(&DeletePolicy::BeforeHookCreation)
}

/// Returns the kind of data that would be lost with an object.
fn holds_data(key: &ObjectKey, live: &Value) -> Option<&'static str> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "PersistentVolumeClaim" | "PersistentVolume") => Some("it holds data"),
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Some("it holds other objects")
        }
        _ if holds_identity(live) => Some("it holds an identity"),
        _ => None,
    }
}

/// Returns true if an object is a Secret with the keys or passwords of a node.
pub(super) fn holds_identity(live: &Value) -> bool {
    !live["metadata"]["labels"][crate::identity::LABEL].is_null()
}
