//! Evaluates workloads and pods at one moment by the rules of a wait, for `status`.

use super::Awaited;
use super::objects::Objects;
use crate::manifest::ObjectKey;
use crate::manifest::events::Warning;
use crate::manifest::live::Live;
use crate::manifest::readiness::Readiness;
use serde_json::Value;

/// Objects as read, and the events about them.
#[derive(Default)]
pub struct Snapshot(Objects);

impl Snapshot {
    pub fn note(&mut self, key: &ObjectKey, body: &Value) {
        self.0.note(key, Live::of(key, body));
    }

    pub fn note_warning(&mut self, warning: Warning) {
        self.0.note_warning(warning);
    }

    /// Returns the state of an object.
    pub fn state(&self, key: &ObjectKey) -> Readiness {
        self.0.state(&Awaited::ready(key, ""))
    }

    /// Returns the pods of a workload. For a pod, returns the pod itself.
    pub fn pods(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        let one = Awaited::ready(key, "");
        self.0.pods(&one).map(|(key, _)| key.clone()).collect()
    }

    /// Returns why a pod is not ready, or `None` if it is ready.
    pub fn why_unready(&self, pod: &ObjectKey) -> Option<String> {
        self.0.why_unready(pod)
    }

    /// Returns why a workload's pods cannot be created.
    pub fn why_unmade(&self, key: &ObjectKey) -> Option<String> {
        Some(self.0.refusal(&Awaited::ready(key, ""))?.reason)
    }
}
