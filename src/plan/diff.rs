//! What a plan changes, as text: a unified diff of YAML per object, secrets masked.

use super::mask::Masker;
use super::{Action, Step};
use crate::yaml;
use serde_json::Value;
use similar::TextDiff;

/// The diff of one step; empty for what stays as it is.
///
/// `context` is the number of unchanged lines around a change.
pub fn unified(step: &Step, context: usize, masker: &Masker) -> String {
    let (before, after) = match step.action {
        Action::Unchanged | Action::Keep => return String::new(),
        Action::Create => (None, step.wanted.as_ref().map(|wanted| wanted.body())),
        Action::Change => (step.live.clone(), step.after.clone().or_else(|| expected(step))),
        Action::Recreate => (step.live.clone(), expected(step)),
        Action::Prune => (step.live.clone(), None),
    };
    text_diff(&shown(before.as_ref(), masker), &shown(after.as_ref(), masker), context)
}

fn text_diff(before: &str, after: &str, context: usize) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(context).missing_newline_hint(false).to_string()
}

/// The live object with the wanted fields laid over it: what a change without a dry-run is expected to give.
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
            under.iter_mut().zip(over).for_each(|(under, over)| overlay(under, over));
        }
        (under, over) => *under = over.clone(),
    }
}

/// An object as a reader wants to compare it: masked, without what the server keeps for itself.
fn shown(body: Option<&Value>, masker: &Masker) -> String {
    let Some(body) = body else { return String::new() };
    let mut body = masker.object(body);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
        fields.sort_keys();
    }
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"] {
            metadata.remove(field);
        }
    }
    body.sort_all_objects();
    yaml::emit(&body)
}
