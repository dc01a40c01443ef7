//! Hooks: objects that run before or after an operation and are not part of the release.
//! Annotations mark them.
//!
//! Helm's annotations work as in Helm, so that its charts need no change. This program's own
//! annotations have the same values. Helm drops a document with an unknown hook and reads an
//! unknown weight as 0. Here, both are errors.

use super::{Annotation, Misread, Object};
use crate::error::nearest;

/// The event at which a hook runs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
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

/// Events by name. `test-success` is Helm 2's name for `test`.
const EVENTS: [(&str, HookEvent); 10] = [
    ("pre-install", HookEvent::PreInstall),
    ("post-install", HookEvent::PostInstall),
    ("pre-upgrade", HookEvent::PreUpgrade),
    ("post-upgrade", HookEvent::PostUpgrade),
    ("pre-rollback", HookEvent::PreRollback),
    ("post-rollback", HookEvent::PostRollback),
    ("pre-delete", HookEvent::PreDelete),
    ("post-delete", HookEvent::PostDelete),
    ("test", HookEvent::Test),
    ("test-success", HookEvent::Test),
];

/// The event at which a hook's object is deleted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum DeletePolicy {
    BeforeHookCreation,
    HookSucceeded,
    HookFailed,
}

const DELETE_POLICIES: [(&str, DeletePolicy); 3] = [
    ("before-hook-creation", DeletePolicy::BeforeHookCreation),
    ("hook-succeeded", DeletePolicy::HookSucceeded),
    ("hook-failed", DeletePolicy::HookFailed),
];

/// An object that runs before or after an operation and is not part of the release.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    pub object: Object,
    pub events: Vec<HookEvent>,
    /// Hooks run in ascending order of weight, then by name.
    pub weight: i32,
    /// `before-hook-creation` if the chart specifies none.
    pub delete_policies: Vec<DeletePolicy>,
}

/// The hook annotations of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Marks {
    events: Vec<HookEvent>,
    weight: i32,
    delete_policies: Vec<DeletePolicy>,
}

impl Marks {
    /// Reads the annotations of a hook. Returns `None` if the object is not a hook.
    ///
    /// # Errors
    ///
    /// Fails with the annotation if an event, weight or policy is invalid.
    pub(crate) fn read(object: &Object) -> Result<Option<Marks>, Misread> {
        let Some(events) = Annotation::find(object, "hook")? else {
            return Ok(None);
        };
        if object.rollout_group().is_some() {
            return Err(events.misread(
                "a hook is recreated in each run, so it cannot be a member of a rollout group",
            ));
        }
        let events = words(&events, "hook", &EVENTS)?;
        let weight = match Annotation::find(object, "hook-weight")? {
            None => 0,
            Some(weight) => weight
                .value
                .trim()
                .parse()
                .map_err(|_| weight.misread("a hook's weight must be an integer"))?,
        };
        let delete_policies = match Annotation::find(object, "hook-delete-policy")? {
            None => vec![DeletePolicy::BeforeHookCreation],
            Some(policies) => words(&policies, "hook delete policy", &DELETE_POLICIES)?,
        };
        Ok(Some(Marks {
            events,
            weight,
            delete_policies,
        }))
    }
}

impl Hook {
    /// Returns true if the hook runs to completion, so that the operation waits for it.
    pub fn runs(&self) -> bool {
        matches!(
            (
                self.object.key.group.as_str(),
                self.object.key.kind.as_str()
            ),
            ("", "Pod") | ("batch", "Job")
        )
    }

    pub(crate) fn new(object: Object, marks: Marks) -> Hook {
        Hook {
            object,
            events: marks.events,
            weight: marks.weight,
            delete_policies: marks.delete_policies,
        }
    }
}

impl HookEvent {
    /// `pre-install`
    pub fn as_str(self) -> &'static str {
        EVENTS
            .iter()
            .find(|(_, event)| *event == self)
            .map_or("", |(name, _)| name)
    }
}

/// Sorts hooks in the order of execution: by weight, then by name.
pub fn hook_order(hooks: &mut [Hook]) {
    hooks.sort_by(|a, b| {
        a.weight
            .cmp(&b.weight)
            .then_with(|| a.object.key.name.cmp(&b.object.key.name))
    });
}

/// Parses a comma-separated list of words from a table.
fn words<T: Copy + PartialEq>(
    annotation: &Annotation,
    what: &str,
    known: &[(&str, T)],
) -> Result<Vec<T>, Misread> {
    let mut found = Vec::new();
    for word in annotation.value.split(',').map(str::trim) {
        let Some((_, value)) = known
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
        else {
            let names = known.iter().map(|(name, _)| *name);
            let near = nearest(word, names.clone()).map_or_else(
                || format!("expected {}", names.collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            return Err(annotation.misread(format!("unknown {what} \"{word}\": {near}")));
        };
        if !found.contains(value) {
            found.push(*value);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::TemplateLine;
    use serde_json::{Value, json};

    fn marks(annotations: Value) -> Result<Option<Marks>, Misread> {
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations}});
        Marks::read(&Object::from_body(body, TemplateLine::default()).unwrap())
    }

    #[test]
    fn hooks_are_read_in_both_spellings() {
        let ours = marks(
            json!({"kubectl-fabric.io/hook": "pre-install, post-upgrade", "kubectl-fabric.io/hook-weight": "-5"}),
        );
        assert_eq!(
            ours.unwrap().unwrap(),
            Marks {
                events: vec![HookEvent::PreInstall, HookEvent::PostUpgrade],
                weight: -5,
                delete_policies: vec![DeletePolicy::BeforeHookCreation]
            }
        );
        let helms = marks(
            json!({"helm.sh/hook": "test-success,test", "helm.sh/hook-delete-policy": "hook-succeeded,hook-failed"}),
        );
        assert_eq!(
            helms.unwrap().unwrap(),
            Marks {
                events: vec![HookEvent::Test],
                weight: 0,
                delete_policies: vec![DeletePolicy::HookSucceeded, DeletePolicy::HookFailed]
            }
        );
        assert_eq!(marks(json!({})), Ok(None));
    }

    #[test]
    fn what_no_hook_knows_is_an_error() {
        for (annotations, expected) in [
            (
                json!({"helm.sh/hook": "pre-instal"}),
                "unknown hook \"pre-instal\": did you mean \"pre-install\"?",
            ),
            (json!({"helm.sh/hook": ""}), "unknown hook \"\": expected"),
            (
                json!({"helm.sh/hook": "test", "helm.sh/hook-weight": "heavy"}),
                "a hook's weight must be an integer",
            ),
            (
                json!({"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "never"}),
                "unknown hook delete policy \"never\"",
            ),
            (
                json!({"helm.sh/hook": "test", "kubectl-fabric.io/hook": "test"}),
                "set it only once",
            ),
        ] {
            let misread = marks(annotations).unwrap_err();
            assert!(misread.why.contains(expected), "{misread:?}");
        }
    }
}
