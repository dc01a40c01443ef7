//! The story of an operation, for install, upgrade, rollback and uninstall alike: resolve, render, guard, observe, plan, lock,
//! record, apply, wait, prune, record. They differ in where the wanted manifest comes from.

mod apply;
mod check;
mod guard;
mod hooks;
mod lock;
mod observe;
mod resolve;
mod uninstall;
mod verify;
mod wait;

pub use verify::{TestOutcome, TestRun, drift, test};

use crate::chart::Chart;
use crate::cluster::{ApiErrorKind, Apply, Cluster};
use crate::error::{Error, Kind, Result};
use crate::fabric::guard::Facts;
use crate::identity;
use crate::manifest::{Hook, HookEvent, Object, ObjectKey};
use crate::plan::mask::Masker;
use crate::plan::ownership::Owner;
use crate::plan::{self, Action, Inputs, Plan};
use crate::release::{self, Entry, InventoryItem, OutcomeFacts, Record, ReleaseName, Status, Summary};
use crate::storage;
use crate::values::Values;
use apply::Uids;
use jiff::Timestamp;
use lock::{Holder, Lock};
use resolve::{Operation, Past, Target};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wait::Monitor;

/// Which chart the user asked for.
#[derive(Clone, Debug, Default)]
pub enum ChartChoice {
    /// An upgrade keeps the release's chart (its newest embedded version, or the stored copy of a chart from outside); an install takes
    /// the chart that the release's name stands for. `version` narrows it down.
    #[default]
    ByRelease,
    ByReleaseVersion(String),
    Named {
        name: String,
        version: Option<String>,
    },
    /// From a folder or archive; the edge has read it.
    Loaded(Box<Chart>),
}

/// What an upgrade does with the values of the revision before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// New defaults, the stored user values, then this run's flags (Helm's `--reset-then-reuse-values`): our default.
    #[default]
    ResetThenReuse,
    /// New defaults and this run's flags only: `--reset-values`.
    Reset,
    /// The stored computed values and this run's flags: `--reuse-values`.
    Reuse,
}

/// What the user wants deployed.
pub struct Wanted {
    pub chart: ChartChoice,
    /// What the user said in this run.
    pub values: Values,
    pub reuse: Reuse,
    /// `--fabric-version`: sets the value `fabricVersion`.
    pub fabric_version: Option<String>,
    pub identities: identity::Source,
    pub skip_schema_validation: bool,
}

/// The operation, and where its manifest comes from.
pub enum Intent {
    Install(Wanted),
    /// With `install`, a release that does not exist (or whose first attempts all failed) is installed.
    Upgrade {
        wanted: Wanted,
        install: bool,
    },
    Rollback {
        revision: Option<u32>,
    },
    Uninstall {
        keep_history: bool,
        delete_data: bool,
        delete_namespace: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    No,
    /// Renders and plans from what is live; sends nothing that writes.
    Client,
    /// Adds the server-side dry-runs of every object.
    Server,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub dry_run: DryRun,
    pub wait: bool,
    pub wait_for_jobs: bool,
    pub timeout: Duration,
    pub rollback_on_failure: bool,
    pub cleanup_on_fail: bool,
    pub create_namespace: bool,
    pub take_ownership: bool,
    pub force_conflicts: bool,
    /// `KIND/NAME` of objects that may be deleted and made anew when an immutable field changes.
    pub recreate: Vec<String>,
    pub no_hooks: bool,
    /// Rules of `fabric::guard` that are overridden, by id.
    pub force: Vec<&'static str>,
    /// Rules that refuse are told as warnings: for `diff`, which does nothing anyway.
    pub tell_refusals: bool,
    pub description: Option<String>,
    /// 0 keeps all.
    pub history_max: usize,
}

/// What an operation tells while it runs. `terminal` shows it, as lines, as a table that moves, or as JSON.
pub trait Progress: Send + Sync {
    fn event(&self, event: &Event);
}

/// One thing that happened. The fields are what `--events json` streams.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is made; nothing is written yet.
    Planned {
        create: usize,
        change: usize,
        recreate: usize,
        unchanged: usize,
        prune: usize,
    },
    /// One object was written or deleted.
    Applied {
        action: String,
        object: String,
    },
    /// An object's state while it is waited for; `ready` when it is done.
    Waiting {
        object: String,
        ready: bool,
        /// Whether the reason is something that went wrong with a pod, rather than something not done yet.
        trouble: bool,
        reason: String,
        done: usize,
        total: usize,
    },
    Hook {
        hook: String,
        phase: String,
    },
    /// Something the user should know that is no failure.
    Warning {
        message: String,
    },
    /// A step of the story: `identities`, `lock`, `record`, ...
    Step {
        message: String,
    },
}

impl Default for Options {
    /// The flags' defaults.
    fn default() -> Options {
        Options {
            dry_run: DryRun::No,
            wait: true,
            wait_for_jobs: false,
            timeout: Duration::from_secs(300),
            rollback_on_failure: false,
            cleanup_on_fail: false,
            create_namespace: true,
            take_ownership: false,
            force_conflicts: false,
            recreate: Vec::new(),
            no_hooks: false,
            force: Vec::new(),
            tell_refusals: false,
            description: None,
            history_max: 10,
        }
    }
}

/// What an operation did, or would do.
pub struct Outcome {
    pub summary: Summary,
    pub plan: Plan,
    pub notes: String,
    /// Objects that stay although they are no longer part of the release, with the reason.
    pub kept: Vec<String>,
    pub warnings: Vec<String>,
    /// Names of the values that differ from those of the revision before.
    pub changed_values: Vec<String>,
    /// How many Secrets with keys, certificates or passwords are new.
    pub new_identities: usize,
    /// Whether keys were generated: the output says that they are for development.
    pub generated_identities: bool,
    /// Hides this release's secrets in whatever is shown of the plan and the objects.
    pub masker: Masker,
    pub dry_run: bool,
    pub objects: Vec<Object>,
    pub hooks: Vec<Hook>,
}

/// Everything an operation is given from outside.
pub struct Context<'a> {
    pub cluster: &'a Cluster,
    pub release: ReleaseName,
    pub namespace: String,
    pub now: Timestamp,
    pub progress: &'a dyn Progress,
    /// Becomes true at the first Ctrl-C or SIGTERM.
    pub interrupted: tokio::sync::watch::Receiver<bool>,
}

impl Context<'_> {
    /// `kubectl fabric VERB` about this release, as the user would type it.
    fn command(&self, verb: &str) -> String {
        release::command(verb, self.release.as_str(), &self.namespace)
    }

    fn warn(&self, message: &str) {
        self.progress.event(&Event::Warning { message: message.to_owned() });
    }

    fn step(&self, message: &str) {
        self.progress.event(&Event::Step { message: message.to_owned() });
    }
}

/// Stands before every write: the lock is still ours, and nobody asked to stop.
pub struct Writer<'a> {
    lock: &'a Lock,
    interrupted: &'a tokio::sync::watch::Receiver<bool>,
}

impl Writer<'_> {
    pub fn check(&self) -> Result<()> {
        self.lock.check()?;
        if *self.interrupted.borrow() { Err(wait::interrupted()) } else { Ok(()) }
    }
}

/// What is wanted, compared with what is there: decided, and nothing of it done yet.
struct Prepared {
    past: Past,
    target: Target,
    plan: Plan,
    identities: identity::Plan,
    owner: Owner,
    warnings: Vec<String>,
}

/// Runs one operation from beginning to end.
pub async fn run(context: Context<'_>, intent: Intent, options: Options) -> Result<Outcome> {
    if options.dry_run != DryRun::No {
        return preview(&context, intent, &options).await;
    }
    let mut stop = context.interrupted.clone();
    let made = Cell::new(false);
    let begin = async {
        let prepared = prepare(&context, &intent, &options, &made).await?;
        let user = context.cluster.whoami().await.map(|whoami| whoami.username).unwrap_or_else(|_| "unknown".to_owned());
        let draft = draft(&context, &prepared, &user)?;
        Ok((prepared, draft, user))
    };
    let begun = tokio::select! {
        begun = begin => begun,
        () = wait::interrupt(&mut stop) => Err(wait::interrupted()),
    };
    let (prepared, draft, user) = begun.map_err(|error| untouched(&context, &made, error))?;
    let holder = Holder::this_process(&user, prepared.target.operation.word());
    let lock = lock::acquire(context.cluster, &context.namespace, context.release.as_str(), &holder).await;
    let lock = lock.map_err(|error| untouched(&context, &made, error))?;
    let outcome = locked(&context, &intent, &options, (prepared, draft), &lock, &user, &made).await;
    if let Err(error) = lock.release().await {
        context.warn(&format!("the lock could not be given back and expires by itself: {}", error.message));
    }
    match outcome {
        Err(error) if options.rollback_on_failure && error.kind() != Kind::Interrupted && error.kind() != Kind::Refused => {
            undo(context, intent, options, error).await
        }
        outcome => outcome,
    }
}

/// Makes the plan and stops: for `diff` and for dry runs. Nothing is written, not even a namespace.
pub async fn preview(context: &Context<'_>, intent: Intent, options: &Options) -> Result<Outcome> {
    let options =
        Options { dry_run: if options.dry_run == DryRun::No { DryRun::Server } else { options.dry_run }, ..options.clone() };
    let made = Cell::new(false);
    let prepared = prepare(context, &intent, &options, &made).await.map_err(|error| untouched(context, &made, error))?;
    let revision = prepared.past.newest().unwrap_or(0) + 1;
    let record = new_record(context, &prepared, revision, "unknown", "Dry run complete");
    Ok(outcome(context, prepared, record, true))
}

/// The state after a failure before the first write of the operation: the namespace may have been made, because nothing in it can be
/// checked without it.
fn untouched(context: &Context<'_>, made: &Cell<bool>, error: Error) -> Error {
    match made.get() {
        true => error.replace_now(format!(
            "nothing was changed but for namespace \"{}\", which was made for this release and is empty",
            context.namespace
        )),
        false => error.now("nothing was changed"),
    }
}

/// Resolve, render, guard, observe, plan, check. Writes nothing but a namespace that is not there, and that after everything that can
/// be checked without it.
async fn prepare(context: &Context<'_>, intent: &Intent, options: &Options, made: &Cell<bool>) -> Result<Prepared> {
    let owner = Owner { release: context.release.as_str().to_owned(), namespace: context.namespace.clone() };
    let past = Past::read(context).await?;
    let mut target = resolve::resolve(context, intent, &past).await?;
    resolve::prepare_objects(context, &owner, &mut target.objects).await?;
    for hook in &mut target.hooks {
        resolve::prepare_objects(context, &owner, std::slice::from_mut(&mut hook.object)).await?;
    }
    let told = guard::guard(context, &past, &mut target, options).await?;
    target.warnings.extend(told);
    let inventory: Vec<_> = past.records().flat_map(|record| record.inventory.iter().cloned()).collect();
    let mut warnings = target.warnings.clone();
    let (live, told) = observe::observe(context, &target.objects, &inventory).await?;
    warnings.extend(told);
    let identities = plan_identities(context, intent, &target).await?;
    warnings.extend(identities.warnings.iter().cloned());
    let hooks = target.hooks.iter().map(|hook| hook.object.key.clone()).collect();
    let uninstall = matches!(intent, Intent::Uninstall { .. });
    let mut plan = plan::make(Inputs {
        wanted: target.objects.clone(),
        live: &live,
        inventory: &inventory,
        elsewhere: if uninstall { BTreeSet::new() } else { hooks },
        owner: &owner,
        take_ownership: options.take_ownership,
    })?;
    if let Intent::Uninstall { delete_data, .. } = intent {
        uninstall::plan_data(context, &past, &owner, *delete_data, &mut plan).await?;
    }
    let namespace_there = match past.entries.is_empty() {
        false => true,
        true => ensure_namespace(context, options, made).await?,
    };
    if !namespace_there {
        warnings.push(format!(
            "namespace \"{}\" does not exist yet, so the server could not check the objects in it",
            context.namespace
        ));
    } else if options.dry_run != DryRun::Client {
        check::check(context, &mut plan, options).await?;
    }
    Ok(Prepared { past, target, plan, identities, owner, warnings })
}

/// Makes the release's namespace when it is not there. False: it is not there, and this is only a preview.
async fn ensure_namespace(context: &Context<'_>, options: &Options, made: &Cell<bool>) -> Result<bool> {
    let key = ObjectKey { group: String::new(), kind: "Namespace".into(), namespace: None, name: context.namespace.clone() };
    match context.cluster.get("v1", &key).await {
        Ok(Some(body)) if !body["metadata"]["deletionTimestamp"].is_null() => {
            Err(Error::refused(format!("namespace \"{}\" is being deleted", context.namespace))
                .now("nothing was changed")
                .hint("run the command again when it is gone"))
        }
        Ok(Some(_)) => Ok(true),
        // Who may not read namespaces may still be allowed to work in one.
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(true),
        Err(error) => Err(error.into()),
        Ok(None) if options.dry_run != DryRun::No => Ok(false),
        Ok(None) if !options.create_namespace => Err(Error::user(format!("namespace \"{}\" does not exist", context.namespace))
            .now("nothing was changed")
            .hint("leave out --create-namespace=false, or create it first")),
        Ok(None) => {
            let body = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": context.namespace,
                    "labels": {"app.kubernetes.io/managed-by": "kubectl-fabric"},
                    "annotations": {"kubectl-fabric.io/created-for": context.release.as_str()},
                },
            });
            context.cluster.apply(&body, Apply::default()).await.map_err(|error| {
                Error::from(error)
                    .context(format!("namespace \"{}\" cannot be created", context.namespace))
                    .hint("if somebody else makes it for you, run the command again when it is there")
            })?;
            made.set(true);
            context.step(&format!("namespace {} created", context.namespace));
            Ok(true)
        }
    }
}

/// Compares the identities that the nodes need with those that exist.
async fn plan_identities(context: &Context<'_>, intent: &Intent, target: &Target) -> Result<identity::Plan> {
    let (Intent::Install(wanted) | Intent::Upgrade { wanted, .. }, Some(organization)) = (intent, &target.organization) else {
        return Ok(identity::Plan::default());
    };
    let secrets = crate::cluster::Kind { api_version: "v1".into(), kind: "Secret".into() };
    let existing = context.cluster.list(&secrets, Some(&context.namespace), &format!("!{}", storage::RECORD_LABEL)).await?;
    let existing: BTreeMap<String, Value> =
        existing.into_iter().filter_map(|body| Some((body["metadata"]["name"].as_str()?.to_owned(), body))).collect();
    identity::plan(organization, &existing, &wanted.identities, context.now).map_err(|error| error.now("nothing was changed"))
}

/// A revision as it will be recorded, packed before the lock is taken.
struct Draft {
    record: Record,
    packed: storage::Packed,
}

fn draft(context: &Context<'_>, prepared: &Prepared, user: &str) -> Result<Draft> {
    let newest = prepared.past.newest();
    let record = new_record(context, prepared, newest.unwrap_or(0) + 1, user, &preparing(prepared.target.operation));
    let packed = storage::pack(&record)?;
    Ok(Draft { record, packed })
}

/// Under the lock: if another run wrote a record since the plan was made, the plan is made again; then everything is done.
async fn locked(
    context: &Context<'_>,
    intent: &Intent,
    options: &Options,
    (mut prepared, mut draft): (Prepared, Draft),
    lock: &Lock,
    user: &str,
    made: &Cell<bool>,
) -> Result<Outcome> {
    let writer = Writer { lock, interrupted: &context.interrupted };
    let begin = async {
        let entries = storage::history(context.cluster, &context.namespace, context.release.as_str()).await?;
        let now = Past::of(entries);
        if now.fingerprint() != prepared.past.fingerprint() {
            prepared = prepare(context, intent, options, made).await?;
            draft = self::draft(context, &prepared, user)?;
        }
        writer.check()?;
        for warning in &prepared.warnings {
            context.warn(warning);
        }
        bury_the_dead(context, &prepared.past).await
    };
    begin.await.map_err(|error| untouched(context, made, error))?;
    context.progress.event(&Event::Planned {
        create: prepared.plan.count(Action::Create),
        change: prepared.plan.count(Action::Change),
        recreate: prepared.plan.count(Action::Recreate),
        unchanged: prepared.plan.count(Action::Unchanged),
        prune: prepared.plan.count(Action::Prune),
    });
    match intent {
        Intent::Uninstall { keep_history, delete_namespace, .. } => {
            uninstall::run(context, options, prepared, &writer, user, *keep_history, *delete_namespace).await
        }
        _ => carry_out(context, options, prepared, draft, &writer).await,
    }
}

/// We hold the lock, so whatever is still pending was interrupted.
async fn bury_the_dead(context: &Context<'_>, past: &Past) -> Result<()> {
    for summary in past.entries.iter().filter_map(Entry::summary).filter(|summary| summary.status.is_pending()) {
        let description = format!("interrupted at {} ({})", summary.updated, summary.status);
        storage::set_status(
            context.cluster,
            &context.namespace,
            context.release.as_str(),
            summary.revision,
            Status::Failed,
            Some(&description),
        )
        .await?;
        context.step(&format!("revision {} was interrupted ({}); it is recorded as failed", summary.revision, summary.status));
    }
    Ok(())
}

/// Install, upgrade and rollback: record, identities, hooks, apply, wait, prune, record.
async fn carry_out(
    context: &Context<'_>,
    options: &Options,
    prepared: Prepared,
    draft: Draft,
    writer: &Writer<'_>,
) -> Result<Outcome> {
    let began = std::time::Instant::now();
    let (cluster, namespace, release) = (context.cluster, context.namespace.as_str(), context.release.as_str());
    let operation = prepared.target.operation;
    let Draft { mut record, packed } = draft;
    let revision = record.summary.revision;
    if let Some(chart) = &prepared.target.keep_chart {
        let kept = storage::keep_chart(cluster, &record.summary, chart).await;
        kept.map_err(|error| {
            error.context("the chart cannot be kept beside the record").now("nothing of the release was changed")
        })?;
    }
    let mut written = storage::create(cluster, &record, &packed).await.map_err(|error| {
        Error::from(error)
            .context(format!("revision {revision} of \"{release}\" cannot be recorded"))
            .now("nothing of the release was changed")
    })?;
    drop(packed);
    let mut uids = BTreeMap::new();
    let done = steps(context, options, &prepared, writer, &mut uids).await;
    for item in &mut record.inventory {
        item.uid = uids.remove(&item.key).or(item.uid.take());
    }
    record.outcome = Some(OutcomeFacts {
        created: prepared.plan.count(Action::Create),
        changed: prepared.plan.count(Action::Change),
        recreated: prepared.plan.count(Action::Recreate),
        unchanged: prepared.plan.count(Action::Unchanged),
        pruned: prepared.plan.count(Action::Prune),
        seconds: began.elapsed().as_secs_f64(),
    });
    record.summary.updated = later(context.now, began.elapsed());
    if let Err(error) = done {
        // A run that lost its lock has nothing to say any more.
        writer.lock.check()?;
        let short = format!("{} \"{release}\" failed: {}", capitalized(operation.word()), error.what());
        let interrupted = error.kind() == Kind::Interrupted;
        record.summary.status = Status::Failed;
        record.summary.description = if interrupted { format!("interrupted at {}", record.summary.updated) } else { short };
        let error = match storage::update(cluster, &mut written, &record).await {
            Ok(()) => error,
            Err(lost) => error.why(format!("its failure could not be recorded either: {}", lost.message)),
        };
        let mut history = prepared.past.entries.clone();
        history.push(Entry::Readable(record.summary.clone()));
        if let Err(left) = storage::trim(cluster, namespace, release, &history, options.history_max).await {
            context.warn(&format!("old revisions could not be removed: {}", left.message));
        }
        let before = prepared.past.deployed().map(|summary| format!("; revision {} stays the deployed one", summary.revision));
        let error = error.now(format!(
            "revision {revision} of \"{release}\" is recorded as failed{}; what it wrote stays until the next run",
            before.unwrap_or_default()
        ));
        let error =
            if options.cleanup_on_fail && !interrupted { clean_up(context, &prepared.plan, writer, error).await } else { error };
        return Err(match (operation, prepared.past.deployed()) {
            (Operation::Install, _) => error.hint(format!("run the same command again, or `{}`", context.command("uninstall"))),
            (_, Some(_)) => error.hint(format!("mend the cause and run the command again, or `{}`", context.command("rollback"))),
            (_, None) => error.hint("mend the cause and run the command again"),
        });
    }
    let pruned: BTreeSet<&ObjectKey> = prepared.plan.with(Action::Prune).map(|step| &step.key).collect();
    record.inventory.retain(|item| !pruned.contains(&item.key));
    let unrecorded = |error: Error| {
        error
            .context(format!("the {} of \"{release}\" is done, and cannot be recorded as done", operation.word()))
            .now(format!("everything is applied; revision {revision} is still recorded as {}", operation.pending()))
            .hint("run the same command again: it finds everything as it is to be, and records that")
    };
    // First the old, then the new: at no moment are two revisions deployed.
    let superseded = prepared.past.entries.iter().filter_map(Entry::summary).filter(|summary| summary.status == Status::Deployed);
    for summary in superseded {
        let superseded = storage::set_status(cluster, namespace, release, summary.revision, Status::Superseded, None).await;
        superseded.map_err(|error| unrecorded(error.into()))?;
    }
    record.summary.status = Status::Deployed;
    let usual = || complete(operation, prepared.target.rollback_to) + &forced(&record.guard);
    record.summary.description = options.description.clone().unwrap_or_else(usual);
    storage::update(cluster, &mut written, &record).await.map_err(|error| unrecorded(error.into()))?;
    let mut history = prepared.past.entries.clone();
    history.push(Entry::Readable(record.summary.clone()));
    if let Err(error) = storage::trim(cluster, namespace, release, &history, options.history_max).await {
        context.warn(&format!("revisions beyond --history-max are still recorded: {}", error.message));
    }
    Ok(outcome(context, prepared, record, false))
}

/// The writes of an operation, in their order.
async fn steps(
    context: &Context<'_>,
    options: &Options,
    prepared: &Prepared,
    writer: &Writer<'_>,
    uids: &mut Uids,
) -> Result<()> {
    let (before, after) = match prepared.target.operation {
        Operation::Install => (HookEvent::PreInstall, HookEvent::PostInstall),
        Operation::Upgrade => (HookEvent::PreUpgrade, HookEvent::PostUpgrade),
        Operation::Rollback => (HookEvent::PreRollback, HookEvent::PostRollback),
        Operation::Uninstall => (HookEvent::PreDelete, HookEvent::PostDelete),
    };
    let mut monitor = Monitor::new(context.cluster, context.progress, context.interrupted.clone());
    create_identities(context, &prepared.identities, writer).await?;
    hooks::run(context, &prepared.target.hooks, before, options, writer, &mut monitor).await?;
    apply::apply(context, &prepared.plan, options, writer, &mut monitor, uids).await?;
    if options.wait {
        let wanted = prepared.plan.steps.iter().filter(|step| step.wanted.is_some());
        let awaited = apply::awaited(wanted.filter(|step| options.wait_for_jobs || step.key.kind != "Job"));
        monitor.until_ready(&awaited, options.timeout).await?;
    }
    hooks::run(context, &prepared.target.hooks, after, options, writer, &mut monitor).await?;
    apply::prune(context, &prepared.plan, options, writer, &mut monitor).await
}

/// Writes the identities that are missing. Authorities come first: a node's certificate without its authority could not be extended.
async fn create_identities(context: &Context<'_>, identities: &identity::Plan, writer: &Writer<'_>) -> Result<()> {
    if identities.create.is_empty() {
        return Ok(());
    }
    context.step(&format!(
        "{} identities{}",
        identities.create.len(),
        if identities.generated { " generated" } else { " taken from the crypto-config" }
    ));
    let (authorities, others): (Vec<_>, Vec<_>) = identities.create.iter().partition(|secret| identity::is_authority(secret));
    for wave in [authorities, others] {
        let writes = wave.into_iter().map(|secret| async move {
            writer.check()?;
            context
                .cluster
                .apply(&secret.body, Apply::default())
                .await
                .map_err(|error| Error::from(error).context(format!("identity {} cannot be written", secret.key)))
        });
        futures::future::try_join_all(writes).await?;
    }
    Ok(())
}

/// `--cleanup-on-fail`: what this attempt created goes.
async fn clean_up(context: &Context<'_>, plan: &Plan, writer: &Writer<'_>, error: Error) -> Error {
    for step in plan.with(Action::Create) {
        if writer.check().is_err() || matches!(step.key.kind.as_str(), "PersistentVolumeClaim" | "PersistentVolume" | "Namespace")
        {
            continue;
        }
        if let Err(left) = context.cluster.delete(&step.api_version, &step.key, crate::cluster::Delete::default()).await {
            context.warn(&format!("{} could not be cleaned up: {}", step.key, left.message));
        }
    }
    error
}

/// `--rollback-on-failure`: back to the revision before, or away with a first install.
async fn undo(context: Context<'_>, intent: Intent, options: Options, error: Error) -> Result<Outcome> {
    let history = match storage::history(context.cluster, &context.namespace, context.release.as_str()).await {
        Ok(history) => history,
        Err(worse) => return Err(error.why(format!("it could not be undone either: {}", worse.what()))),
    };
    let failed = history.last().and_then(Entry::summary).is_some_and(|summary| summary.status == Status::Failed);
    let deploys = matches!(intent, Intent::Install(_) | Intent::Upgrade { .. });
    if !failed || !deploys {
        return Err(error);
    }
    let deployed = history.iter().rev().filter_map(Entry::summary).find(|summary| summary.status == Status::Deployed);
    let (intent, done) = match deployed {
        Some(summary) => (
            Intent::Rollback { revision: Some(summary.revision) },
            format!("it was rolled back to revision {}", summary.revision),
        ),
        None => {
            let intent = Intent::Uninstall { keep_history: false, delete_data: false, delete_namespace: false };
            (intent, "it was uninstalled again; identities and volumes stay".to_owned())
        }
    };
    context.step("the operation failed and is undone");
    let options = Options { rollback_on_failure: false, ..options };
    Err(match Box::pin(run(context, intent, options)).await {
        Ok(_) => error.replace_now(done),
        Err(worse) => error.why(format!("undoing it failed as well: {worse}")),
    })
}

fn new_record(context: &Context<'_>, prepared: &Prepared, revision: u32, user: &str, description: &str) -> Record {
    let target = &prepared.target;
    let first = prepared.past.entries.iter().find_map(Entry::summary).map_or(context.now, |summary| summary.first_deployed);
    let item =
        |key: &ObjectKey, api_version: &str, uid| InventoryItem { key: key.clone(), api_version: api_version.to_owned(), uid };
    let mut inventory: Vec<InventoryItem> =
        target.objects.iter().map(|object| item(&object.key, object.api_version(), None)).collect();
    inventory.extend(target.hooks.iter().map(|hook| item(&hook.object.key, hook.object.api_version(), None)));
    // What is no longer wanted remains known: until it is pruned, and for as long as it is kept.
    let leaving = prepared.plan.steps.iter().filter(|step| step.wanted.is_none());
    let ours = leaving.filter(|step| step.live.as_ref().is_some_and(|live| prepared.owner.owns(live)));
    inventory.extend(ours.map(|step| item(&step.key, &step.api_version, step.uid())));
    Record {
        summary: Summary {
            release: context.release.as_str().to_owned(),
            namespace: context.namespace.clone(),
            revision,
            status: target.operation.pending(),
            first_deployed: first,
            updated: context.now,
            chart: target.chart.name.clone(),
            chart_version: target.chart.version.clone(),
            app_version: target.app_version.clone(),
            description: description.to_owned(),
            user: user.to_owned(),
            plugin_version: env!("CARGO_PKG_VERSION").to_owned(),
            rollback_to: target.rollback_to,
        },
        chart: target.chart.clone(),
        user_values: target.user_values.clone(),
        computed_values: target.computed_values.clone(),
        secret_paths: target.secret_paths.clone(),
        objects: target.objects.clone(),
        hooks: target.hooks.clone(),
        notes: target.notes.clone(),
        inventory,
        outcome: None,
        guard: target.guard.clone(),
        mask_key: prepared.past.records().last().map(|record| record.mask_key.clone()).unwrap_or_default(),
    }
}

fn outcome(context: &Context<'_>, prepared: Prepared, record: Record, dry_run: bool) -> Outcome {
    let secrets = Masker::secrets_of(&record.computed_values, &record.secret_paths);
    let kept = prepared.plan.with(Action::Keep).map(|step| format!("{}: {}", step.key, step.why)).collect();
    Outcome {
        summary: record.summary,
        plan: prepared.plan,
        notes: record.notes,
        kept,
        warnings: prepared.warnings,
        changed_values: prepared.target.changed_values,
        new_identities: prepared.identities.create.len(),
        generated_identities: prepared.identities.generated,
        masker: Masker::new(&context.now.as_nanosecond().to_be_bytes(), secrets),
        dry_run,
        objects: record.objects,
        hooks: record.hooks,
    }
}

fn preparing(operation: Operation) -> String {
    match operation {
        Operation::Install => "Initial install underway".to_owned(),
        Operation::Upgrade => "Preparing upgrade".to_owned(),
        Operation::Rollback => "Preparing rollback".to_owned(),
        Operation::Uninstall => "Deletion in progress (or silently failed)".to_owned(),
    }
}

fn complete(operation: Operation, rollback_to: Option<u32>) -> String {
    match (operation, rollback_to) {
        (Operation::Rollback, Some(revision)) => format!("Rollback to {revision}"),
        (Operation::Install, _) => "Install complete".to_owned(),
        (Operation::Uninstall, _) => "Uninstallation complete".to_owned(),
        _ => "Upgrade complete".to_owned(),
    }
}

/// What the history says of rules that a revision overrode.
fn forced(guard: &Value) -> String {
    match &Facts::read(guard).forced[..] {
        [] => String::new(),
        rules => format!(" (--force {})", rules.join(" --force ")),
    }
}

fn capitalized(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

/// The clock enters once; what is later is counted from there.
fn later(now: Timestamp, elapsed: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(elapsed).ok().and_then(|elapsed| now.checked_add(elapsed).ok()).unwrap_or(now)
}
