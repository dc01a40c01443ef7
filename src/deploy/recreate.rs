//! Immutable fields: which changes need that an object is deleted and created again, and whether
//! that is permitted.

use super::Options;
use crate::cluster::{ApiError, ApiErrorKind};
use crate::error::{Error, Result, nearest};
use crate::manifest::ObjectKey;
use crate::plan::{self, Plan, Step};
use crate::release::InventoryItem;
use std::collections::BTreeSet;

/// Returns true if the server rejects a change because of an immutable field.
pub(super) fn is_immutable(error: &ApiError) -> bool {
    // Kubernetes has no reason code for this. These are messages of apimachinery's
    // ValidateImmutableField and of StatefulSet's validation.
    let says = |text: &str| {
        text.contains("field is immutable")
            || text.contains("updates to statefulset spec for fields other than")
    };
    error.kind == ApiErrorKind::Invalid
        && !error.causes.is_empty()
        && error.causes.iter().all(|cause| says(&cause.message))
}

/// Mutable fields of a StatefulSet's spec (apps `ValidateStatefulSetUpdate`). The server's message
/// lists these instead of the field in question.
const MAY_CHANGE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Returns the immutable fields that a rejected change would change.
pub(super) fn fixed_fields(step: &Step, error: &ApiError) -> Vec<String> {
    let named: Vec<String> = error
        .causes
        .iter()
        .map(|cause| cause.field.trim_start_matches('.').to_owned())
        .collect();
    let (Some(wanted), Some(live)) = (&step.wanted, &step.live) else {
        return named;
    };
    if step.key.kind != "StatefulSet" || named.iter().any(|field| field != "spec") {
        return named;
    }
    let wanted = wanted.body();
    let fields = wanted["spec"].as_object().into_iter().flatten();
    let changed = fields.filter(|(name, value)| {
        !MAY_CHANGE.contains(&name.as_str())
            && !plan::compare::is_all_of(value, &live["spec"][name.as_str()])
    });
    let changed: Vec<String> = changed.map(|(name, _)| format!("spec.{name}")).collect();
    if changed.is_empty() { named } else { changed }
}

/// Checks the arguments of `--recreate`.
///
/// # Errors
///
/// Fails if `--recreate` names an object that is neither in the manifest nor in a record, or one
/// that is never recreated.
pub(super) fn check_arguments(
    plan: &Plan,
    inventory: &[InventoryItem],
    options: &Options,
) -> Result<()> {
    let known: BTreeSet<&ObjectKey> = plan
        .steps
        .iter()
        .map(|step| &step.key)
        .chain(inventory.iter().map(|item| &item.key))
        .collect();
    for asked in &options.recreate {
        let Some(key) = known
            .iter()
            .find(|key| asked.eq_ignore_ascii_case(&kind_and_name(key)))
        else {
            return Err(unknown_object(asked, &known));
        };
        if holds_more(key) {
            return Err(Error::refused(format!(
                "--recreate names \"{asked}\", which holds data or other objects"
            ))
            .why("objects that hold data are never deleted to change a field")
            .hint("leave its immutable fields unchanged, or give it another name"));
        }
    }
    Ok(())
}

/// Returns the error for a `--recreate` that matches no object, with the nearest name.
fn unknown_object(asked: &str, known: &BTreeSet<&ObjectKey>) -> Error {
    let names: Vec<String> = known
        .iter()
        .filter(|key| !holds_more(key))
        .map(|key| kind_and_name(key))
        .collect();
    let error = Error::user(format!(
        "--recreate names \"{asked}\", but the release has no such object"
    ));
    // kubectl's short name of a kind, as in `sts/peer0`, is not similar to the kind.
    let same_name = || {
        names
            .iter()
            .map(String::as_str)
            .find(|name| name.rsplit('/').next() == asked.rsplit('/').next())
    };
    match nearest(asked, names.iter().map(String::as_str)).or_else(same_name) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error.hint("`kubectl fabric status` lists the objects of a release"),
    }
}

pub(super) fn kind_and_name(key: &ObjectKey) -> String {
    format!("{}/{}", key.kind, key.name)
}

/// Returns true if a step may recreate its object.
///
/// Recreating a Job loses nothing. Other objects need the user's permission. Objects that hold data
/// are never recreated.
pub(super) fn may_be_recreated(step: &Step, options: &Options) -> bool {
    let asked = || {
        let name = kind_and_name(&step.key);
        options
            .recreate
            .iter()
            .any(|asked| asked.eq_ignore_ascii_case(&name))
    };
    match step.key.kind.as_str() {
        _ if holds_more(&step.key) => false,
        "Job" => true,
        _ => asked(),
    }
}

/// Returns true if deleting an object would also delete data or other objects.
pub(super) fn holds_more(key: &ObjectKey) -> bool {
    matches!(
        key.kind.as_str(),
        "PersistentVolumeClaim" | "PersistentVolume" | "Namespace" | "CustomResourceDefinition"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cause;

    #[test]
    fn a_change_is_of_immutable_fields_only_if_every_cause_says_so() {
        let fixed = "Invalid value: \"x\": field is immutable";
        let set =
            "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden";
        let cases: [(ApiErrorKind, &[&str], bool); 6] = [
            (ApiErrorKind::Invalid, &[fixed], true),
            (ApiErrorKind::Invalid, &[set, fixed], true),
            (ApiErrorKind::Invalid, &[fixed, "Required value"], false),
            (ApiErrorKind::Invalid, &["Required value"], false),
            // Responses of webhooks, and to bodies that are too large, do not name fields.
            (ApiErrorKind::Invalid, &[], false),
            (ApiErrorKind::Conflict, &[fixed], false),
        ];
        for (kind, messages, expected) in cases {
            let cause = |message: &&str| Cause {
                reason: String::new(),
                field: "spec".into(),
                message: (*message).to_owned(),
            };
            let error = ApiError {
                kind,
                code: 422,
                message: "field is immutable".to_owned(),
                request: String::new(),
                causes: messages.iter().map(cause).collect(),
                hint: None,
            };
            assert_eq!(is_immutable(&error), expected, "{kind:?} {messages:?}");
        }
    }
}
