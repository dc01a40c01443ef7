//! Read-only comparisons and tests: `drift` compares recorded with live objects, `test` runs the
//! release's test hooks.

use super::lock;
use super::observe::{self, Unserved};
use super::revision::item;
use super::settle::{self, Manifest, Terms};
use super::wait::{Awaited, Monitor};
use super::{Context, Options, Past, Writer, hooks, identities, volumes};
use crate::cluster::{ApiErrorKind, Apply};
use crate::error::{Error, Kind, Result};
use crate::manifest::claims::Set;
use crate::manifest::{DeletePolicy, Hook, HookEvent, Object, ObjectKey, Sealed};
use crate::plan::compare::same_but_for_bookkeeping;
use crate::plan::confine::{self, Provenance, Reach};
use crate::plan::hooks::HookStep;
use crate::plan::mask::Masker;
use crate::plan::ownership::Owner;
use crate::plan::{self, Action, Additions, Inputs, Look, Plan};
use crate::release::{Record, Summary};
use crate::storage;
use futures::future::join_all;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Instant;

/// Finds drift since the last operation: objects that differ from the deployed manifest, have
/// additional fields, or are missing. The plan would correct them. Writes nothing.
pub async fn drift(context: &Context<'_>) -> Result<(Plan, Masker)> {
    let (cluster, namespace, release) = (
        context.cluster,
        context.namespace.as_str(),
        context.release.as_str(),
    );
    let past = Past::of(storage::history(cluster, namespace, release).await?);
    let Some(deployed) = past.deployed() else {
        return Err(match past.newest() {
            None => storage::unknown_release(cluster, namespace, release).await,
            // A status that someone changed is reported as such.
            Some(newest) => {
                match storage::read_past(cluster, namespace, release, newest, |_, _| ()).await {
                    Err(error) => error,
                    Ok(record) if record.lacks_secrets() => storage::unverified(&record),
                    Ok(_) => Error::user(format!(
                        "release \"{release}\" has no deployed revision to compare with"
                    )),
                }
            }
        });
    };
    let (mut objects, mut sets) = (Vec::new(), Vec::new());
    let take = |_: &Record, object: Object| {
        sets.extend(Set::of(&object.key, &object.body));
        objects.push(Arc::new(Sealed::from(object)));
    };
    let record = storage::read_past(cluster, namespace, release, deployed.revision, take).await?;
    if let Some(warning) = record.signature_warning() {
        context.warn(&warning);
    }
    for node in identities::mark_with_current(context, &record.guard, &mut objects).await? {
        context.warn(&format!(
            "{node} runs with certificates that its Secrets no longer hold: `{}` restarts it with the current ones",
            context.command("upgrade")
        ));
    }
    settle::in_served_versions(context, &mut objects).await?;
    let owner = Owner {
        release: release.to_owned(),
        namespace: namespace.to_owned(),
    };
    let look = Look {
        shown: true,
        additions: Additions::Reported,
    };
    let (live, warnings) =
        observe::observe(context, &objects, &[], look, Unserved::Missing).await?;
    for warning in warnings {
        context.warn(&warning);
    }
    let mut plan = plan::make(Inputs {
        wanted: objects,
        live,
        inventory: &[],
        hooks: Vec::new(),
        events: &[],
        confined: &[],
        owner: &owner,
        take_ownership: true,
    })?;
    // With force, to see the fields that another manager changed.
    let how = Apply {
        dry_run: true,
        force: true,
        ..Apply::default()
    };
    let changed: Vec<usize> = plan
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.action == Action::Change)
        .map(|(index, _)| index)
        .collect();
    let answers = {
        let tries = changed
            .iter()
            .filter_map(|index| plan.steps[*index].wanted.as_ref())
            .map(|wanted| context.cluster.apply(wanted.as_ref(), how));
        join_all(tries).await
    };
    for (index, answer) in changed.into_iter().zip(answers) {
        match answer {
            Ok(after) => {
                let step = &mut plan.steps[index];
                plan::settle(step, after);
                // A missing entry in managedFields is no difference if the object is as it was
                // applied.
                let same = step
                    .live
                    .iter()
                    .zip(&step.after)
                    .all(|(live, after)| same_but_for_bookkeeping(live, after));
                if step.action == Action::Change && same && step.added().next().is_none() {
                    step.action = Action::Unchanged;
                }
            }
            // A drifted field that cannot be corrected is still drift.
            Err(error) if error.kind == ApiErrorKind::Invalid => {
                plan.steps[index].why = error.message
            }
            Err(error) => return Err(error.into()),
        }
    }
    volumes::drift(context, &sets, &mut plan).await?;
    let key = if record.lacks_secrets() {
        storage::new_key()?
    } else {
        record.mask_key.clone()
    };
    Ok((
        plan,
        Masker::new(key.as_bytes(), Masker::secrets_in(&record)),
    ))
}

/// A test of a release.
#[derive(Clone, Debug)]
pub struct TestRun {
    pub name: String,
    pub started: Timestamp,
    pub completed: Timestamp,
    pub succeeded: bool,
    /// Why it failed.
    pub reason: String,
    /// Pod, container and log, if logs were requested.
    pub logs: Vec<(String, String)>,
}

/// The results of the tests.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    pub summary: Summary,
    pub runs: Vec<TestRun>,
}

/// Runs the `test` hooks of the newest revision one at a time. `filter` contains `name=x` and
/// `!name=x`, as in Helm.
pub async fn test(
    context: Context<'_>,
    filter: &[String],
    options: &Options,
    logs: bool,
) -> Result<TestOutcome> {
    let (cluster, namespace, release) = (
        context.cluster,
        context.namespace.as_str(),
        context.release.as_str(),
    );
    let newest = storage::read(cluster, namespace, release, None)
        .await?
        .summary
        .revision;
    let record = storage::read_with_secrets(cluster, namespace, release, newest).await?;
    let is_test = |hook: &&Hook| {
        hook.events.contains(&HookEvent::Test) && is_chosen(&hook.object.key.name, filter)
    };
    let tests = record.hooks.iter().filter(is_test).cloned().collect();
    let manifest = Manifest::of(
        &context,
        &Terms::recorded(&context, &record.guard),
        [],
        tests,
    )
    .await?;
    observe::refuse_unserved_hooks(&context, &manifest, |_| true)?;
    let tests = manifest.hooks;
    if let Some(warning) = record.signature_warning() {
        context.warn(&warning);
    }
    let reach = Reach {
        owner: &Owner {
            release: release.to_owned(),
            namespace: namespace.to_owned(),
        },
        provenance: &Provenance::recorded(&record),
        plan: &Plan::default(),
        hooks: &tests.iter().collect::<Vec<_>>(),
        inventory: &record.inventory,
        allowed: &options.allow_outside,
    };
    if let Some(refusal) = confine::refusal(&reach, "test") {
        return Err(refusal.now("nothing was changed"));
    }
    let user = cluster
        .whoami()
        .await
        .map(|whoami| whoami.username)
        .unwrap_or_else(|_| "unknown".to_owned());
    let lock = lock::acquire(&context, &user, "test").await?;
    let fenced = cluster.fenced(lock.fence());
    let held = Context {
        cluster: &fenced,
        ..context.clone()
    };
    let writer = Writer {
        context: &held,
        options,
        lock: &lock,
    };
    let began = Instant::now();
    let work = async {
        let mut runs = Vec::new();
        let plan = plan_tests(&held, &tests).await?;
        for hook in &plan.hooks {
            let run = run_test(&writer, hook, began, logs).await;
            let (ended, all) = (runs.len(), plan.hooks.len());
            runs.push(
                run.map_err(|error| error.now(format!("{ended} of {all} tests have ended")))?,
            );
        }
        Ok(runs)
    };
    let runs = lock.during(work).await;
    let runs = lock.conclude(runs, &context).await?;
    Ok(TestOutcome {
        summary: record.summary,
        runs,
    })
}

/// Plans the test hooks.
///
/// # Errors
///
/// Fails if the names of tests belong to objects of others.
async fn plan_tests(context: &Context<'_>, tests: &[Hook]) -> Result<Plan> {
    let owner = Owner {
        release: context.release.as_str().to_owned(),
        namespace: context.namespace.clone(),
    };
    let sought: Vec<_> = tests
        .iter()
        .map(|hook| item(&hook.object.key, hook.object.api_version(), None))
        .collect();
    let (live, _) =
        observe::observe(context, &[], &sought, Look::default(), Unserved::Missing).await?;
    let (hooks, events) = (tests.iter().collect(), &[HookEvent::Test][..]);
    let inputs = Inputs {
        wanted: Vec::new(),
        live,
        inventory: &[],
        hooks,
        events,
        confined: &[],
        owner: &owner,
        take_ownership: false,
    };
    plan::make(inputs).map_err(|error| error.now("nothing was changed"))
}

/// Runs a test. A failed test is a result; an error means that there is no result.
///
/// `began` is the start of the whole test run.
async fn run_test(
    writer: &Writer<'_>,
    hook: &HookStep,
    began: Instant,
    logs: bool,
) -> Result<TestRun> {
    let context = writer.context;
    let mut monitor = Monitor::new(
        context.cluster,
        context.progress,
        context.interrupted.clone(),
    );
    let started = super::later(context.now, began.elapsed());
    // The logs are read before the hook's policy may delete its pod.
    let mut kept = hook.clone();
    kept.hook.delete_policies = vec![DeletePolicy::BeforeHookCreation];
    let mut created = hooks::Created::new();
    let ran = hooks::run_one(writer, &kept, &mut monitor, &mut created).await;
    let key = &hook.step.key;
    let texts = match logs {
        true => logs_of(context, key).await,
        false => Vec::new(),
    };
    let policy = if ran.is_ok() {
        DeletePolicy::HookSucceeded
    } else {
        DeletePolicy::HookFailed
    };
    if let Some(uid) = created
        .remove(key)
        .flatten()
        .filter(|_| hook.deletes(policy))
    {
        hooks::delete(
            writer,
            &Awaited::ended(key, &hook.step.api_version),
            &uid,
            &mut monitor,
        )
        .await?;
    }
    let completed = super::later(context.now, began.elapsed());
    let run = |succeeded, reason| TestRun {
        name: key.name.clone(),
        started,
        completed,
        succeeded,
        reason,
        logs: texts,
    };
    match ran {
        Ok(()) => Ok(run(true, String::new())),
        Err(error) if error.kind() == Kind::NotReady => Ok(run(false, error.to_string())),
        Err(error) => Err(error),
    }
}

/// Returns pod, container and log of a test. An unreadable log is only a warning, because the
/// result of the test is known without it.
async fn logs_of(context: &Context<'_>, key: &ObjectKey) -> Vec<(String, String)> {
    let read = async {
        let mut texts = Vec::new();
        for pod in hooks::pods(context, key).await? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let containers = super::wait::container_logs(context.cluster, &pod, 1000).await?;
            texts.extend(
                containers
                    .into_iter()
                    .map(|(container, log)| (format!("{name} ({container})"), log)),
            );
        }
        Ok(texts)
    };
    read.await.unwrap_or_else(|error: Error| {
        context.warn(&format!(
            "the log of test \"{}\" is missing: {error}",
            key.name
        ));
        Vec::new()
    })
}

/// Helm's filter: if there is any `name=x`, only those tests run, otherwise all but `!name=x`.
fn is_chosen(name: &str, filter: &[String]) -> bool {
    let excluded = filter
        .iter()
        .filter_map(|filter| filter.strip_prefix("!name="))
        .any(|excluded| excluded == name);
    let mut included = filter
        .iter()
        .filter_map(|filter| filter.strip_prefix("name="))
        .peekable();
    !excluded && (included.peek().is_none() || included.any(|included| included == name))
}
