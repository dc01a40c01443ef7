//! `test`: runs the release's test hooks.

use super::lock;
use super::observe::{self, Unserved};
use super::revision::{UNKNOWN, item};
use super::settle::{Manifest, Terms};
use super::wait::{Awaited, Monitor};
use super::{Context, Options, Writer, hooks};
use crate::error::{Error, Kind, Result};
use crate::manifest::{DeletePolicy, Hook, HookEvent, ObjectKey};
use crate::plan::confine::{self, Provenance, Reach};
use crate::plan::hooks::HookStep;
use crate::plan::{self, Inputs, Look, Plan};
use crate::release::{Record, Summary};
use crate::storage;
use jiff::Timestamp;
use std::time::Instant;

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
    let (cluster, release) = (context.cluster, context.release.as_str());
    let namespace = context.namespace.as_str();
    let newest = storage::read(cluster, namespace, release, None).await?;
    let newest = newest.summary.revision;
    let record = storage::read_with_secrets(cluster, namespace, release, newest).await?;
    let tests = tests_of(&context, &record, filter).await?;
    if let Some(warning) = record.signature_warning() {
        context.warn(&warning);
    }
    confine(&context, &record, &tests, options)?;
    let whoami = cluster.whoami().await;
    let user = whoami.map_or_else(|_| UNKNOWN.to_owned(), |whoami| whoami.username);
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

/// Returns the chosen test hooks of a record.
///
/// # Errors
///
/// Fails if the server does not serve their kinds.
async fn tests_of(context: &Context<'_>, record: &Record, filter: &[String]) -> Result<Vec<Hook>> {
    let is_test = |hook: &&Hook| {
        hook.events.contains(&HookEvent::Test) && is_chosen(&hook.object.key.name, filter)
    };
    let tests = record.hooks.iter().filter(is_test).cloned().collect();
    let terms = Terms::recorded(context, &record.guard);
    let manifest = Manifest::of(context, &terms, [], tests).await?;
    observe::refuse_unserved_hooks(context, &manifest, &manifest.hooks)?;
    Ok(manifest.hooks)
}

/// Refuses tests outside of the release's namespace that the user has not allowed.
fn confine(
    context: &Context<'_>,
    record: &Record,
    tests: &[Hook],
    options: &Options,
) -> Result<()> {
    let reach = Reach {
        owner: &context.owner(),
        provenance: &Provenance::recorded(record),
        plan: &Plan::default(),
        hooks: &tests.iter().collect::<Vec<_>>(),
        inventory: &record.inventory,
        allowed: &options.allow_outside,
    };
    match confine::refusal(&reach, "test") {
        Some(refusal) => Err(refusal.now("nothing was changed")),
        None => Ok(()),
    }
}

/// Plans the test hooks.
///
/// # Errors
///
/// Fails if the names of tests belong to objects of others.
async fn plan_tests(context: &Context<'_>, tests: &[Hook]) -> Result<Plan> {
    let owner = context.owner();
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
