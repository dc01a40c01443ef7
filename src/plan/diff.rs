//! Shows the changes of a plan as text: a unified diff of YAML for each object, with masked
//! secrets.

use super::mask::Masker;
use super::{Action, Step, compare};
use crate::yaml;
use serde_json::{Map, Value};
use similar::TextDiff;

/// Fields of the server's bookkeeping.
const KEPT: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "uid",
    "selfLink",
];

/// Returns the diff of a step. Empty if the object does not change.
///
/// `context` is the number of unchanged lines around a change.
pub fn unified(step: &Step, context: usize, masker: &Masker) -> String {
    let (before, after) = match step.action {
        Action::Unchanged | Action::Keep => return String::new(),
        Action::Create => (None, step.wanted.as_ref().map(|wanted| wanted.body())),
        Action::Change => (
            step.live.clone(),
            step.after.clone().or_else(|| expected(step)),
        ),
        Action::Recreate => (step.live.clone(), expected(step)),
        // Only the applied fields: the server adds as many again.
        Action::Prune => (step.live.as_ref().map(compare::applied), None),
    };
    text_diff(
        &shown(before.as_ref(), masker),
        &shown(after.as_ref(), masker),
        context,
    )
}

/// Returns the diff of the drift that this step corrects: from the applied to the live object.
pub fn unified_drift(step: &Step, context: usize, masker: &Masker) -> String {
    let (applied, there) = match step.action {
        Action::Unchanged | Action::Keep => return String::new(),
        Action::Create => (step.wanted.as_ref().map(|wanted| wanted.body()), None),
        _ => (
            step.after.clone().or_else(|| expected(step)),
            step.live.clone(),
        ),
    };
    text_diff(
        &shown(applied.as_ref(), masker),
        &shown(there.as_ref(), masker),
        context,
    )
}

/// Returns the JSON merge patch (RFC 7396) from one state of an object to another, without the
/// server's bookkeeping. Returns `None` if there is no difference.
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    fn between(
        from: &Map<String, Value>,
        to: &Map<String, Value>,
        skipped: &[&str],
    ) -> Map<String, Value> {
        let gone = from
            .keys()
            .filter(|name| to.get(*name).is_none())
            .map(|name| (name.clone(), Value::Null));
        let changed =
            to.iter()
                .filter(|(name, value)| from.get(*name) != Some(value))
                .map(|(name, value)| {
                    let value =
                        match (from.get(name), value) {
                            (Some(Value::Object(from)), Value::Object(to)) => Value::Object(
                                between(from, to, if name == "metadata" { &KEPT } else { &[] }),
                            ),
                            (_, value) => value.clone(),
                        };
                    (name.clone(), value)
                });
        gone.chain(changed)
            .filter(|(name, _)| !skipped.contains(&name.as_str()))
            .collect()
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return None;
    };
    let patch = between(from, to, &["status"]);
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn text_diff(before: &str, after: &str, context: usize) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff()
        .context_radius(context)
        .missing_newline_hint(false)
        .to_string()
}

/// Returns the live object with the desired fields merged in: the expected result of a change
/// without a dry run.
fn expected(step: &Step) -> Option<Value> {
    let mut body = step.live.clone()?;
    overlay(&mut body, &step.wanted.as_ref()?.body());
    Some(body)
}

fn overlay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over.iter().filter(|(_, value)| !value.is_null()) {
                overlay(under.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(under), Value::Array(over)) if under.len() == over.len() => {
            under
                .iter_mut()
                .zip(over)
                .for_each(|(under, over)| overlay(under, over));
        }
        (under, over) => *under = over.clone(),
    }
}

/// Returns an object in the form for diffs: masked, without the server's bookkeeping.
fn shown(body: Option<&Value>, masker: &Masker) -> String {
    let Some(body) = body else {
        return String::new();
    };
    let mut body = masker.object(body);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
        fields.sort_keys();
    }
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in KEPT {
            metadata.remove(field);
        }
    }
    body.sort_all_objects();
    yaml::emit(&body)
}
