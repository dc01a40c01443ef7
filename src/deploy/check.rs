//! Checks everything possible before the first write, with server-side dry runs of changed and new
//! objects. Reports all problems at once.

use super::apply::IN_FLIGHT;
use super::past::Past;
use super::recreate::{fixed_fields, is_immutable, may_be_recreated};
use super::rejection::{Problem, report};
use super::volumes::{self, Claims, Trouble};
use super::{Context, Options, account};
use crate::cluster::{ApiError, ApiErrorKind, Apply, Expects};
use crate::error::Result;
use crate::manifest::claims::Set;
use crate::plan::hooks::HookStep;
use crate::plan::{self, Action, Plan, Step};
use futures::{StreamExt, stream};
use std::collections::BTreeSet;

/// Number of new objects that are all checked. Beyond it, checks one per template document and
/// kind, because the others have the same structure, and all objects that claim node ports.
const TRIED_CREATES: usize = 100;

/// Checks all changes and new objects by dry run.
///
/// A change without effect becomes unchanged. A change of an immutable field becomes a recreation
/// if the object may be recreated. `sets` are the StatefulSets of the desired manifest.
///
/// # Errors
///
/// Reports all problems in one error: fields of other managers, immutable fields, rejections by
/// admission, quota or validation, missing permissions.
pub async fn check(
    context: &Context<'_>,
    past: &Past,
    sets: &[Set],
    plan: &mut Plan,
    options: &Options,
    claims: &mut Claims,
) -> Result<()> {
    let force = options.force_conflicts || options.tell_refusals;
    let mut problems = try_steps(context, plan, options).await?;
    problems.extend(try_removals(context, plan).await);
    problems.extend(try_hooks(context, &plan.hooks, force).await);
    let mut troubles = Vec::new();
    for trouble in volumes::plan(context, past, sets, plan, options, claims).await? {
        match trouble {
            Trouble::Set(index, error) => problems.push(Problem::of(&plan.steps[index], error)),
            trouble => troubles.push(trouble),
        }
    }
    if problems.is_empty() && troubles.is_empty() {
        return Ok(());
    }
    let error = match problems.is_empty() {
        true => volumes::refusal(context, &troubles),
        false => report(context, problems),
    };
    Err(volumes::report(error, &troubles))
}

/// Checks the steps and updates them from the answers. Returns what is rejected.
async fn try_steps(
    context: &Context<'_>,
    plan: &mut Plan,
    options: &Options,
) -> Result<Vec<Problem>> {
    let tries: Vec<_> = chosen(plan)
        .into_iter()
        .map(|index| {
            let step = &plan.steps[index];
            let wanted = step.wanted.clone().expect("only wanted objects are tried");
            let uid = step.uid();
            async move {
                let how = Apply {
                    dry_run: true,
                    force: options.force_conflicts,
                    expects: uid.as_deref().map_or(Expects::Absent, Expects::Uid),
                };
                let send = async || context.cluster.apply(wanted.as_ref(), how).await;
                let answer = account::until_there(context, options, &wanted, send).await;
                (index, answer)
            }
        })
        .collect();
    let roles_to_come = roles_to_come(plan);
    // In the order of the plan, so that problems are reported in that order.
    let mut answers = stream::iter(tries).buffered(IN_FLIGHT);
    let mut problems = Vec::new();
    while let Some((index, answer)) = answers.next().await {
        let step = &mut plan.steps[index];
        match answer? {
            Ok(after) => plan::settle(step, after),
            Err(error)
                if error.kind == ApiErrorKind::NotFound && binds_one_of(step, &roles_to_come) => {}
            Err(error) if options.tell_refusals && error.kind == ApiErrorKind::Conflict => {
                problems.extend(show_conflicts(context, step, error).await);
            }
            Err(error) => problems.extend(recreate_or_report(step, error, options)),
        }
    }
    Ok(problems)
}

/// Shows fields of other managers instead of refusing them, with the flag that an upgrade needs.
async fn show_conflicts(
    context: &Context<'_>,
    step: &mut Step,
    error: ApiError,
) -> Option<Problem> {
    let places = Problem::of(step, error).places().into_iter();
    let conflicts: Vec<String> = places.map(|place| place.note).collect();
    let wanted = step.wanted.clone().expect("only wanted objects are tried");
    let forced = Apply {
        dry_run: true,
        force: true,
        ..Apply::default()
    };
    let problem = match context.cluster.apply(wanted.as_ref(), forced).await {
        Ok(after) => {
            plan::settle(step, after);
            None
        }
        Err(error) => Some(Problem::of(step, error)),
    };
    step.why = format!("only with --force-conflicts: {}", conflicts.join(", "));
    problem
}

/// Turns the change of an immutable field into a recreation if that is permitted. Returns any other
/// rejection.
fn recreate_or_report(step: &mut Step, error: ApiError, options: &Options) -> Option<Problem> {
    if options.tell_refusals && error.kind == ApiErrorKind::UnknownKind {
        // If no version of the kind exists, this was reported when the object was read.
        step.why = match step.live {
            Some(_) => error.message,
            None => String::new(),
        };
        return None;
    }
    if !is_immutable(&error) {
        return Some(Problem::of(step, error));
    }
    if may_be_recreated(step, options) {
        let fields: Vec<&str> = error
            .causes
            .iter()
            .map(|cause| cause.field.as_str())
            .collect();
        step.why = fields.join(", ");
    } else if !volumes::follows(step, &fixed_fields(step, &error)) {
        return Some(Problem::of(step, error));
    }
    step.action = Action::Recreate;
    None
}

/// Checks the removal of fields that others added.
///
/// Not part of the dry run of an apply, because this program must own these fields first.
async fn try_removals(context: &Context<'_>, plan: &mut Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for step in plan
        .steps
        .iter_mut()
        .filter(|step| step.action == Action::Change && !step.theirs.is_empty())
    {
        let (Some(live), Some(after)) = (&step.live, &step.after) else {
            continue;
        };
        let Some(patch) = plan::diff::merge_patch(live, after) else {
            continue;
        };
        match context
            .cluster
            .try_merge_patch(&step.api_version, &step.key, &patch)
            .await
        {
            Ok(mut after) => {
                plan::compare::forget_managed_fields(&mut after);
                step.after = Some(after);
            }
            Err(error) => problems.push(Problem::of(step, error)),
        }
    }
    problems
}

/// Checks the hooks. If an existing object is deleted first, checks the creation: the server
/// rejects an existing name only after its other checks.
async fn try_hooks(context: &Context<'_>, hooks: &[HookStep], force: bool) -> Vec<Problem> {
    let tries = hooks.iter().map(|hook| async move {
        let step = &hook.step;
        let wanted = step.wanted.as_ref().expect("a hook is wanted");
        let uid = step.uid();
        let tried = match step.action {
            Action::Recreate => context.cluster.try_create(wanted).await,
            _ => {
                let expects = uid.as_deref().map_or(Expects::Absent, Expects::Uid);
                context
                    .cluster
                    .apply(
                        wanted.as_ref(),
                        Apply {
                            dry_run: true,
                            force,
                            expects,
                        },
                    )
                    .await
                    .map(drop)
            }
        };
        let error = tried.err().filter(|error| tells_of_a_hook(step, error))?;
        Some(Problem::of_hook(hook, error))
    });
    stream::iter(tries)
        .buffered(IN_FLIGHT)
        .filter_map(|problem| async { problem })
        .collect()
        .await
}

/// Returns true if the rejection will still apply when the hook runs.
///
/// By then the operation has created what a hook may need: a service account and quota for a pod, a
/// role for a binding, a kind for a custom resource.
fn tells_of_a_hook(step: &Step, error: &ApiError) -> bool {
    match error.kind {
        ApiErrorKind::NotFound | ApiErrorKind::UnknownKind | ApiErrorKind::AlreadyExists => false,
        ApiErrorKind::Forbidden => {
            let of_quota =
                step.action == Action::Recreate && error.message.contains("exceeded quota");
            error.denial().is_some() || (step.key.kind != "Pod" && !of_quota)
        }
        _ => true,
    }
}

/// Returns the indices of the steps to check.
fn chosen(plan: &Plan) -> Vec<usize> {
    let many = plan.count(Action::Create) > TRIED_CREATES;
    let mut shapes = BTreeSet::new();
    let mut is_tried = |step: &Step| match step.action {
        Action::Change => true,
        Action::Create if many && !claims_ports(step) => {
            let source = step
                .wanted
                .as_ref()
                .map(|wanted| (wanted.source.template.clone(), wanted.source.line));
            shapes.insert((source, step.key.kind.clone()))
        }
        Action::Create => true,
        _ => false,
    };
    plan.steps
        .iter()
        .enumerate()
        .filter_map(|(index, step)| is_tried(step).then_some(index))
        .collect()
}

/// Returns true if an object claims node ports, which are shared by the whole cluster. A free port
/// says nothing about the next one.
fn claims_ports(step: &Step) -> bool {
    let service = step
        .wanted
        .as_ref()
        .filter(|_| step.key.kind == "Service")
        .map(|wanted| wanted.body());
    let ports = service
        .as_ref()
        .and_then(|service| service["spec"]["ports"].as_array());
    ports
        .into_iter()
        .flatten()
        .any(|port| port["nodePort"].is_u64())
}

/// Returns kind and name of the Roles that this plan creates.
fn roles_to_come(plan: &Plan) -> BTreeSet<(String, String)> {
    let roles = plan
        .with(Action::Create)
        .filter(|step| matches!(step.key.kind.as_str(), "Role" | "ClusterRole"));
    roles
        .map(|step| (step.key.kind.clone(), step.key.name.clone()))
        .collect()
}

/// Returns true if this binding refers to a Role that the plan creates.
///
/// Without the `bind` verb, the server rejects a binding to a missing Role, even in a dry run
/// (Kubernetes' prevention of privilege escalation). When the Role exists, the server checks what
/// it grants.
fn binds_one_of(step: &Step, roles: &BTreeSet<(String, String)>) -> bool {
    let binding = step.wanted.as_ref().map(|wanted| wanted.body());
    let role = binding.as_ref().map(|binding| &binding["roleRef"]);
    let named = role.and_then(|role| {
        Some((
            role["kind"].as_str()?.to_owned(),
            role["name"].as_str()?.to_owned(),
        ))
    });
    named.is_some_and(|role| roles.contains(&role))
}
