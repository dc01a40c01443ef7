//! Wanted + recorded + live → what will change, as data one can print and test. Decides everything; writes nothing.

use crate::manifest::{Object, ObjectKey};
use serde_json::Value;

pub mod mask;

/// What happens to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Create,
    Change,
    /// An immutable field changes: the object is deleted (its pods and volumes stay) and made anew.
    Recreate,
    Unchanged,
    /// No longer wanted, and ours: deleted.
    Prune,
    /// No longer wanted, but kept: `why` says the reason.
    Keep,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub key: ObjectKey,
    pub api_version: String,
    pub action: Action,
    /// Absent for prune and keep.
    pub wanted: Option<Object>,
    /// The object as it is in the cluster, managedFields included.
    pub live: Option<Value>,
    /// For keep: why. For recreate: the field.
    pub why: String,
}

/// In the order of application; prunes and keeps last.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }

    /// Whether anything but the record would be written.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.action, Action::Unchanged | Action::Keep))
    }
}
