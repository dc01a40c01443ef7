//! Everything checkable, before the first write: server-side dry-runs of what changes and of what is new. All problems at once.

use super::{Context, Options};
use crate::cluster::{ApiError, ApiErrorKind, Apply};
use crate::error::{Error, Kind, Place, Result};
use crate::plan::{self, Action, Plan, Step};
use futures::future::join_all;
use std::collections::BTreeSet;

/// New objects that are all tried; beyond it one per template document and kind, because the rest have the same shape.
const TRIED_CREATES: usize = 100;

/// Tries every change and the new objects by dry-run. Changes that change nothing become unchanged; immutable fields that may be changed
/// by making the object anew become recreations.
///
/// # Errors
///
/// One report of all problems: fields of other managers, immutable fields, what admission, quota or validation refuse, missing rights.
pub async fn check(context: &Context<'_>, plan: &mut Plan, options: &Options) -> Result<()> {
    let tried = chosen(plan);
    let how = Apply { dry_run: true, force: options.force_conflicts };
    let answers = {
        let tries = tried.iter().map(|index| {
            let body = &plan.steps[*index].wanted.as_ref().expect("only what is wanted is tried").body;
            context.cluster.apply(body, how)
        });
        join_all(tries).await
    };
    let mut problems = Vec::new();
    for (index, answer) in tried.into_iter().zip(answers) {
        let step = &mut plan.steps[index];
        match answer {
            Ok(after) => plan::settle(step, after),
            Err(error) if is_immutable(&error) && may_be_recreated(step, options) => {
                step.action = Action::Recreate;
                step.why = error.causes.iter().map(|cause| cause.field.clone()).collect::<Vec<_>>().join(", ");
            }
            Err(error) => problems.push((step.key.clone(), error)),
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(report(context, problems)),
    }
}

/// Indices of the steps that are tried.
fn chosen(plan: &Plan) -> Vec<usize> {
    let many = plan.count(Action::Create) > TRIED_CREATES;
    let mut shapes = BTreeSet::new();
    let mut is_tried = |step: &Step| match step.action {
        Action::Change => true,
        Action::Create if many => {
            let source = step.wanted.as_ref().map(|wanted| (wanted.source.template.clone(), wanted.source.line));
            shapes.insert((source, step.key.kind.clone()))
        }
        Action::Create => true,
        _ => false,
    };
    plan.steps.iter().enumerate().filter_map(|(index, step)| is_tried(step).then_some(index)).collect()
}

/// Whether the server refuses a change because a field may not change once the object exists.
fn is_immutable(error: &ApiError) -> bool {
    // Kubernetes has no reason code for it: these are the words of apimachinery's ValidateImmutableField and of StatefulSet's validation.
    let says =
        |text: &str| text.contains("field is immutable") || text.contains("updates to statefulset spec for fields other than");
    error.kind == ApiErrorKind::Invalid && !error.causes.is_empty() && error.causes.iter().all(|cause| says(&cause.message))
}

/// Making a Job anew loses nothing. Other objects are made anew only when asked by name; those that hold data never.
fn may_be_recreated(step: &Step, options: &Options) -> bool {
    let asked = || {
        let name = format!("{}/{}", step.key.kind, step.key.name);
        options.recreate.iter().any(|asked| asked.eq_ignore_ascii_case(&name))
    };
    match step.key.kind.as_str() {
        "PersistentVolumeClaim" | "PersistentVolume" | "Namespace" | "CustomResourceDefinition" => false,
        "Job" => true,
        _ => asked(),
    }
}

fn report(context: &Context<'_>, problems: Vec<(crate::manifest::ObjectKey, ApiError)>) -> Error {
    // An API server that is away says nothing about the objects.
    if let Some((_, error)) = problems.iter().find(|(_, error)| {
        matches!(
            error.kind,
            ApiErrorKind::Unreachable | ApiErrorKind::Timeout | ApiErrorKind::Unavailable | ApiErrorKind::Unauthorized
        )
    }) {
        return Error::from(error.clone()).now("nothing was changed");
    }
    let release = &context.release;
    let conflicts = problems.iter().any(|(_, error)| error.kind == ApiErrorKind::Conflict);
    let immutable: Vec<String> =
        problems.iter().filter(|(_, error)| is_immutable(error)).map(|(key, _)| format!("{}/{}", key.kind, key.name)).collect();
    let forbidden = problems.iter().find(|(_, error)| error.kind == ApiErrorKind::Forbidden);
    let kind = if conflicts || !immutable.is_empty() { Kind::Refused } else { Kind::Cluster };
    let many = problems.len() > 1;
    let what = format!(
        "the cluster does not accept {} of release \"{release}\"",
        if many { format!("{} objects", problems.len()) } else { "an object".to_owned() }
    );
    let mut error = Error::new(kind, what).now("nothing was changed: every object was tried before the first write");
    for (key, problem) in &problems {
        let place = Place::new(key.to_string());
        if problem.causes.is_empty() || problem.kind == ApiErrorKind::Forbidden {
            error = error.at(place.note(problem.message.clone()));
            continue;
        }
        error = error.at_all(
            problem
                .causes
                .iter()
                .map(|cause| place.clone().note(format!("{}: {}", cause.field.trim_start_matches('.'), cause.message))),
        );
    }
    if conflicts {
        error = error.why("fields that another manager set are not taken over unless that is asked for").hint(format!(
            "see what would change with `kubectl fabric diff upgrade {release}`; take the fields over with --force-conflicts"
        ));
    }
    if let Some(name) = immutable.first() {
        error = error.why("Kubernetes does not change such a field of an object that exists").hint(format!(
            "`--recreate {name}` deletes the object and makes it anew; a StatefulSet's pods and volumes stay while that happens"
        ));
    }
    if let Some((_, problem)) = forbidden
        && let Some(hint) = &problem.hint
    {
        error = error.hint(hint.clone());
    }
    error
}
