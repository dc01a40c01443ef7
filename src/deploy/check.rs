//! Checks everything possible before the first write, with server-side dry runs of changed and new
//! objects. Reports all problems at once.

use super::apply::IN_FLIGHT;
use super::past::Past;
use super::volumes::{self, Claims, Trouble};
use super::{Context, Options, account};
use crate::cluster::{ApiError, ApiErrorKind, Apply, Cause, Expects};
use crate::error::{Error, Kind, Place, Result, nearest};
use crate::manifest::ObjectKey;
use crate::manifest::claims::Set;
use crate::plan::hooks::HookStep;
use crate::plan::{self, Action, Plan, Step};
use crate::release::InventoryItem;
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
/// admission, quota or validation, missing rights.
pub async fn check(
    context: &Context<'_>,
    past: &Past,
    sets: &[Set],
    plan: &mut Plan,
    options: &Options,
    just_made: bool,
    claims: &mut Claims,
) -> Result<()> {
    let force = options.force_conflicts;
    let tries: Vec<_> = chosen(plan)
        .into_iter()
        .map(|index| {
            (
                index,
                plan.steps[index]
                    .wanted
                    .clone()
                    .expect("only wanted objects are tried"),
                plan.steps[index].uid(),
            )
        })
        .map(|(index, wanted, uid)| async move {
            let expects = uid.as_deref().map_or(Expects::Absent, Expects::Uid);
            let how = Apply {
                dry_run: true,
                force,
                expects,
            };
            let send = async || context.cluster.apply(wanted.as_ref(), how).await;
            (
                index,
                account::until_there(context, options, &wanted, send).await,
            )
        })
        .collect();
    // In the order of the plan, so that problems are reported in that order.
    let mut answers = stream::iter(tries).buffered(IN_FLIGHT);
    let mut problems: Vec<Problem> = Vec::new();
    let roles_to_come = roles_to_come(plan);
    while let Some((index, answer)) = answers.next().await {
        let step = &mut plan.steps[index];
        match answer? {
            Ok(after) => plan::settle(step, after),
            // Shown instead of refused, with the flag that an upgrade needs.
            Err(error) if error.kind == ApiErrorKind::Conflict && options.tell_refusals => {
                let conflicts: Vec<String> = Problem::of(step, error)
                    .places()
                    .into_iter()
                    .map(|place| place.note)
                    .collect();
                let wanted = step.wanted.clone().expect("only wanted objects are tried");
                let forced = Apply {
                    dry_run: true,
                    force: true,
                    ..Apply::default()
                };
                match context.cluster.apply(wanted.as_ref(), forced).await {
                    Ok(after) => plan::settle(step, after),
                    Err(error) => problems.push(Problem::of(step, error)),
                }
                step.why = format!("only with --force-conflicts: {}", conflicts.join(", "));
            }
            Err(error)
                if error.kind == ApiErrorKind::NotFound && binds_one_of(step, &roles_to_come) => {}
            // If no version of the kind exists, this was reported when the object was read.
            Err(error) if error.kind == ApiErrorKind::UnknownKind && options.tell_refusals => {
                step.why = if step.live.is_some() {
                    error.message
                } else {
                    String::new()
                };
            }
            Err(error) if is_immutable(&error) && may_be_recreated(step, options) => {
                step.action = Action::Recreate;
                step.why = error
                    .causes
                    .iter()
                    .map(|cause| cause.field.clone())
                    .collect::<Vec<_>>()
                    .join(", ");
            }
            Err(error)
                if is_immutable(&error) && volumes::follows(step, &fixed_fields(step, &error)) =>
            {
                step.action = Action::Recreate;
            }
            Err(error) => problems.push(Problem::of(step, error)),
        }
    }
    drop(answers);
    problems.extend(try_removals(context, plan).await);
    problems.extend(try_hooks(context, &plan.hooks, force || options.tell_refusals).await);
    let mut troubles = Vec::new();
    for trouble in volumes::plan(context, past, sets, plan, options, just_made, claims).await? {
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
        let subject = format!("{} (hook of {})", step.key, hook.events_in_words());
        Some(Problem {
            subject,
            recreatable: false,
            ..Problem::of(step, error)
        })
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

/// Checks the arguments of `--recreate`.
///
/// # Errors
///
/// Fails if `--recreate` names an object that is neither in the manifest nor in a record, or one
/// that is never recreated.
pub(super) fn check_recreate(
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

fn kind_and_name(key: &ObjectKey) -> String {
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
fn holds_more(key: &ObjectKey) -> bool {
    matches!(
        key.kind.as_str(),
        "PersistentVolumeClaim" | "PersistentVolume" | "Namespace" | "CustomResourceDefinition"
    )
}

/// An object that the server rejects.
struct Problem {
    key: ObjectKey,
    /// The name of the object for the user.
    subject: String,
    error: ApiError,
    /// The immutable fields that would change, if that is the problem.
    fixed: Vec<String>,
    /// Whether `--recreate` solves the problem.
    recreatable: bool,
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

fn fixed_fields(step: &Step, error: &ApiError) -> Vec<String> {
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

impl Problem {
    fn of(step: &Step, error: ApiError) -> Problem {
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

    fn places(&self) -> Vec<Place> {
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

fn report(context: &Context<'_>, problems: Vec<Problem>) -> Error {
    // If the API server is unreachable, the objects are not the problem.
    if let Some(problem) = problems.iter().find(|problem| {
        matches!(
            problem.error.kind,
            ApiErrorKind::Unreachable
                | ApiErrorKind::Timeout
                | ApiErrorKind::Unavailable
                | ApiErrorKind::Unauthorized
        )
    }) {
        return Error::from(problem.error.clone());
    }
    let release = &context.release;
    let conflicts = problems
        .iter()
        .any(|problem| problem.error.kind == ApiErrorKind::Conflict);
    let replaced = problems
        .iter()
        .any(|problem| problem.error.kind == ApiErrorKind::Replaced);
    let immutable: Vec<&Problem> = problems
        .iter()
        .filter(|problem| !problem.fixed.is_empty())
        .collect();
    let kind = if conflicts || replaced || !immutable.is_empty() {
        Kind::Refused
    } else {
        Kind::Cluster
    };
    let many = problems.len() > 1;
    let what = format!(
        "the cluster rejects {} of release \"{release}\"",
        if many {
            format!("{} objects", problems.len())
        } else {
            "an object".to_owned()
        }
    );
    let mut error = Error::new(kind, what)
        .now("nothing was changed: every object is checked before the first write");
    error = error.at_all(problems.iter().flat_map(Problem::places));
    if conflicts {
        error = error.why("fields of another manager are only taken over with --force-conflicts").hint(format!(
            "see what would change with `{}` and the same values; take the fields over with --force-conflicts",
            context.command("diff upgrade")
        ));
    }
    if !immutable.is_empty() {
        error = error.why("Kubernetes does not change an immutable field of an existing object");
    }
    let (recreatable, others): (Vec<_>, Vec<_>) = immutable
        .into_iter()
        .partition(|problem| problem.recreatable);
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
    let mut rights: Vec<String> = problems
        .iter()
        .filter_map(|problem| Some(problem.error.denial()?.1))
        .collect();
    rights.dedup();
    for hint in rights.into_iter().take(5) {
        error = error.hint(hint);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

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
