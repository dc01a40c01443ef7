//! Collects the server's objections to the objects of a plan in one error.

use super::Context;
use super::recreate::{fixed_fields, holds_more, is_immutable, kind_and_name};
use crate::cluster::{ApiError, ApiErrorKind, Cause};
use crate::error::{Error, Kind, Place};
use crate::manifest::ObjectKey;
use crate::plan::Step;
use crate::plan::hooks::HookStep;

/// An object that the server rejects.
pub(super) struct Problem {
    key: ObjectKey,
    /// The name of the object for the user.
    subject: String,
    error: ApiError,
    /// The immutable fields that would change, if that is the problem.
    fixed: Vec<String>,
    /// Whether `--recreate` solves the problem.
    recreatable: bool,
}

impl Problem {
    pub fn of(step: &Step, error: ApiError) -> Problem {
        let fixed = if is_immutable(&error) {
            fixed_fields(step, &error)
        } else {
            Vec::new()
        };
        let recreatable = !holds_more(&step.key);
        Problem {
            key: step.key.clone(),
            subject: step.key.to_string(),
            error,
            fixed,
            recreatable,
        }
    }

    /// Returns the problem of a hook, for which `--recreate` has no meaning.
    pub fn of_hook(hook: &HookStep, error: ApiError) -> Problem {
        Problem {
            subject: format!("{} (hook of {})", hook.step.key, hook.events_in_words()),
            recreatable: false,
            ..Problem::of(&hook.step, error)
        }
    }

    pub fn places(&self) -> Vec<Place> {
        let place = |note: String| Place::new(self.subject.clone()).note(note);
        if self.error.kind == ApiErrorKind::Replaced {
            return vec![place(
                "it was created or recreated after the plan was made".to_owned(),
            )];
        }
        if let Some((why, _)) = self.error.denial() {
            return vec![place(why)];
        }
        if !self.fixed.is_empty() {
            return self
                .fixed
                .iter()
                .map(|field| place(format!("{field}: the field is immutable")))
                .collect();
        }
        if self.error.causes.is_empty() || self.error.kind == ApiErrorKind::Forbidden {
            return vec![place(self.error.message.clone())];
        }
        let note = |cause: &Cause| {
            let field = cause.field.trim_start_matches('.');
            match cause.manager() {
                Some(manager) => format!("{field}: set by \"{manager}\""),
                None => format!("{field}: {}", cause.message),
            }
        };
        self.error
            .causes
            .iter()
            .map(|cause| place(note(cause)))
            .collect()
    }
}

/// Reports all problems in one error.
pub(super) fn report(context: &Context<'_>, problems: Vec<Problem>) -> Error {
    // If the API server is unreachable, the objects are not the problem.
    let no_answer = |problem: &&Problem| {
        matches!(
            problem.error.kind,
            ApiErrorKind::Unreachable
                | ApiErrorKind::Timeout
                | ApiErrorKind::Unavailable
                | ApiErrorKind::Unauthorized
        )
    };
    if let Some(problem) = problems.iter().find(no_answer) {
        return Error::from(problem.error.clone());
    }
    let has = |kind| problems.iter().any(|problem| problem.error.kind == kind);
    let conflicts = has(ApiErrorKind::Conflict);
    let is_immutable = problems.iter().any(|problem| !problem.fixed.is_empty());
    let kind = if conflicts || has(ApiErrorKind::Replaced) || is_immutable {
        Kind::Refused
    } else {
        Kind::Cluster
    };
    let objects = match problems.len() {
        1 => "an object".to_owned(),
        many => format!("{many} objects"),
    };
    let release = &context.release;
    let mut error = Error::new(
        kind,
        format!("the cluster rejects {objects} of release \"{release}\""),
    )
    .now("nothing was changed: every object is checked before the first write")
    .at_all(problems.iter().flat_map(Problem::places));
    if conflicts {
        error = error.why("fields of another manager are only taken over with --force-conflicts").hint(format!(
            "see what would change with `{}` and the same values; take the fields over with --force-conflicts",
            context.command("diff upgrade")
        ));
    }
    if is_immutable {
        error = about_immutable_fields(error, &problems);
    }
    let denials = problems.iter().filter_map(|problem| problem.error.denial());
    let mut rights: Vec<String> = denials.map(|(_, hint)| hint).collect();
    rights.dedup();
    rights.into_iter().take(5).fold(error, Error::hint)
}

/// Adds the way out for objects whose immutable fields would change.
fn about_immutable_fields(error: Error, problems: &[Problem]) -> Error {
    let mut error =
        error.why("Kubernetes does not change an immutable field of an existing object");
    let immutable = problems.iter().filter(|problem| !problem.fixed.is_empty());
    let (recreatable, others): (Vec<_>, Vec<_>) =
        immutable.partition(|problem| problem.recreatable);
    if !recreatable.is_empty() {
        let flags: Vec<String> = recreatable
            .iter()
            .map(|problem| format!("--recreate {}", kind_and_name(&problem.key)))
            .collect();
        error = error.hint(format!(
            "`{}` deletes and recreates them; the pods and volumes of a StatefulSet stay",
            flags.join(" ")
        ));
    }
    for Problem { subject, .. } in others {
        error = error.hint(format!(
            "leave the fields of {subject} unchanged, or give it another name"
        ));
    }
    error
}
