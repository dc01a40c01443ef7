//! The sequence of an operation, shared by install, upgrade, rollback and uninstall: resolve,
//! render, guard, observe, plan, lock, record, apply, wait, prune, record. Operations differ only
//! in the source of the desired manifest.

mod account;
mod apply;
mod check;
mod course;
mod guard;
mod hooks;
mod identities;
mod intent;
mod kept;
mod lock;
mod lookup;
mod named;
mod namespace;
mod neighbour;
mod observe;
mod others;
mod past;
mod pod_security;
mod pod_trial;
mod post_renderer;
mod progress;
mod quorum;
mod recovery;
mod resolve;
mod revision;
mod rights;
#[cfg(test)]
mod scripted;
mod settle;
mod turns;
mod uninstall;
mod verify;
mod volumes;
mod wait;

pub use course::{Nodes, TimeLeft};
pub use intent::{ChartChoice, DryRun, Intent, Options, Reuse, Wanted};
pub use post_renderer::PostRenderer;
pub use progress::{Event, Progress};
pub use resolve::not_found;
pub use verify::{TestOutcome, TestRun, drift, test};
pub use wait::Snapshot;

use crate::chart::Origin;
use crate::cluster::Cluster;
use crate::error::{Error, Kind, Result};
use crate::fabric::guard::Facts;
use crate::manifest::{Hook, ObjectKey, Sealed};
use crate::plan::confine::{self, Reach};
use crate::plan::mask::Masker;
use crate::plan::ownership::Owner;
use crate::plan::{self, Action, Additions, Inputs, Look, Plan, Step};
use crate::release::{self, Entry, OutcomeFacts, Record, ReleaseName, Status, Summary};
use crate::storage;
use apply::Uids;
use course::Counted;
use identities::write_identities;
use intent::Operation;
use jiff::Timestamp;
use lock::Lock;
use namespace::{Namespace, ensure_namespace};
use observe::Unserved;
use past::Past;
use pod_security::Wish;
use recovery::{bury_the_dead, clean_up, undo};
use resolve::Target;
use revision::{Draft, Packing, UNKNOWN, complete, forced, item, later, record_of};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use turns::Groups;
use volumes::Claims;
use wait::Monitor;

/// What an operation did, or would do.
pub struct Outcome {
    pub summary: Summary,
    pub plan: Plan,
    /// Source of the chart, if one was rendered.
    pub chart_origin: Option<Origin>,
    pub notes: String,
    /// Objects that stay although they are no longer part of the release, with the reasons.
    pub kept: Vec<String>,
    pub warnings: Vec<String>,
    /// Names of the values that differ from the previous revision.
    pub changed_values: Vec<String>,
    /// Number of new Secrets with keys, certificates or passwords.
    pub new_identities: usize,
    /// Number of Secrets that get other certificates of the same authority.
    pub renewed_identities: usize,
    /// Whether keys were generated, so that the output says that they are for development.
    pub generated_identities: bool,
    /// Masks this release's secrets in the output.
    pub masker: Masker,
    pub dry_run: bool,
    pub objects: Vec<Arc<Sealed>>,
    pub hooks: Vec<Hook>,
    /// UID of the namespace that is being deleted.
    leaving: Option<String>,
}

/// Everything that an operation gets from outside.
#[derive(Clone)]
pub struct Context<'a> {
    pub cluster: &'a Cluster,
    pub release: ReleaseName,
    pub namespace: String,
    pub now: Timestamp,
    pub progress: &'a dyn Progress,
    /// Becomes true at the first Ctrl-C, SIGTERM or SIGHUP.
    pub interrupted: tokio::sync::watch::Receiver<bool>,
}

impl Context<'_> {
    /// Returns the command `kubectl fabric VERB` for this release, as the user would type it.
    fn command(&self, verb: &str) -> String {
        release::command(verb, self.release.as_str(), &self.namespace)
    }

    fn warn(&self, message: &str) {
        self.progress.event(&Event::Warning {
            message: message.to_owned(),
        });
    }

    fn step(&self, message: &str) {
        self.progress.event(&Event::Step {
            message: message.to_owned(),
        });
    }
}

/// An operation that holds the lock and may write.
pub struct Writer<'a> {
    context: &'a Context<'a>,
    options: &'a Options,
    lock: &'a Lock,
}

impl Writer<'_> {
    /// Fails if the lock is lost or the user interrupted. Called before each step that writes.
    ///
    /// The fence in [`Context::cluster`] checks again before each request that the lock is
    /// certainly held.
    pub fn check(&self) -> Result<()> {
        self.lock.check()?;
        if *self.context.interrupted.borrow() {
            Err(wait::interrupted())
        } else {
            Ok(())
        }
    }
}

/// The plan and its inputs, before any change.
struct Prepared {
    past: Past,
    target: Target,
    plan: Plan,
    namespace: Namespace,
    owner: Owner,
    /// Masks the release's secrets in messages.
    masker: Masker,
    warnings: Vec<String>,
    /// Existing volume claims that this release adopts.
    taken_up: Vec<Value>,
    /// `None` if the operation records nothing new.
    draft: Option<Draft>,
}

/// Runs one operation from beginning to end.
pub async fn run(context: Context<'_>, intent: Intent, options: Options) -> Result<Outcome> {
    if options.dry_run != DryRun::No {
        return preview(&context, intent, &options).await;
    }
    let mut stop = context.interrupted.clone();
    let (created, began) = (Cell::new(false), std::time::Instant::now());
    let user = async {
        let whoami = context.cluster.whoami().await;
        Ok(whoami
            .map(|whoami| whoami.username)
            .unwrap_or_else(|_| UNKNOWN.to_owned()))
    };
    let begin = async { futures::try_join!(prepare(&context, &intent, &options, &created), user) };
    let begun = tokio::select! {
        begun = begin => begun,
        () = wait::interrupt(&mut stop) => Err(wait::interrupted()),
    };
    let (prepared, user) = begun.map_err(|error| untouched(&context, &created, error))?;
    let lock = lock::acquire(&context, &user, prepared.target.operation.word()).await;
    let lock = lock.map_err(|error| untouched(&context, &created, error))?;
    let cluster = context.cluster.fenced(lock.fence());
    let progress = progress::Masked {
        inner: context.progress,
        masker: prepared.masker.clone(),
    };
    // A run that waited for the lock starts after the previous run.
    let now = later(context.now, began.elapsed());
    let held = Context {
        cluster: &cluster,
        progress: &progress,
        now,
        ..context.clone()
    };
    let work = async {
        match locked(&held, &intent, &options, prepared, &lock, &user, &created).await {
            Err(error) if is_undone(&options, &error) => {
                undo(&held, &intent, &options, &lock, &user, error).await
            }
            outcome => outcome,
        }
    };
    let outcome = lock.during(work).await;
    let outcome = lock.conclude(outcome, &context).await?;
    if let Some(uid) = outcome.leaving.as_ref().filter(|_| options.wait) {
        namespace::until_gone(&context, &options, uid).await?;
    }
    Ok(outcome)
}

/// Returns true if `--rollback-on-failure` undoes an operation with this error.
fn is_undone(options: &Options, error: &Error) -> bool {
    options.rollback_on_failure && !matches!(error.kind(), Kind::Interrupted | Kind::Refused)
}

/// Returns true if there is anything that an uninstall of this release would delete.
///
/// Includes parts from an interrupted run and, with `delete_data`, data that an earlier uninstall
/// kept.
pub async fn is_known(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    delete_data: bool,
) -> Result<bool> {
    Ok(storage::is_known(cluster, namespace, release).await?
        || lock::is_left(cluster, namespace, release).await?
        || (delete_data && kept::is_left(cluster, namespace, release).await?))
}

/// Returns true if an operation on this release runs, or was interrupted a moment ago.
pub async fn is_locked(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool> {
    Ok(lock::is_left(cluster, namespace, release).await?)
}

/// Makes the plan and stops, for `diff` and dry runs. Writes nothing, not even a namespace.
pub async fn preview(context: &Context<'_>, intent: Intent, options: &Options) -> Result<Outcome> {
    let options = Options {
        dry_run: if options.dry_run == DryRun::No {
            DryRun::Server
        } else {
            options.dry_run
        },
        ..options.clone()
    };
    let created = Cell::new(false);
    let prepared = prepare(context, &intent, &options, &created)
        .await
        .map_err(|error| untouched(context, &created, error))?;
    let revision = prepared.past.newest().unwrap_or(0).saturating_add(1);
    let record = record_of(context, &prepared, revision, "Dry run complete");
    Ok(outcome(prepared, record, true))
}

/// Adds the state after a failure before the operation's first write to the error. The namespace
/// may have been created, because checks inside it need it.
fn untouched(context: &Context<'_>, created: &Cell<bool>, error: Error) -> Error {
    match created.get() {
        true => error.replace_now(format!(
            "nothing was changed except that the empty namespace \"{}\" was created",
            context.namespace
        )),
        false => error.now("nothing was changed"),
    }
}

/// Resolves, renders, guards, observes, plans and checks. Writes nothing but a missing namespace,
/// after all checks that do not need it.
async fn prepare(
    context: &Context<'_>,
    intent: &Intent,
    options: &Options,
    created: &Cell<bool>,
) -> Result<Prepared> {
    let past = Past::read(context, options.dry_run == DryRun::No).await?;
    let target = resolve::resolve(context, intent, &past).await?;
    let masker = target.masker(&past);
    let is_organization = Facts::read(&target.guard).model.is_some();
    let history = past.entries.clone();
    let compared = compare(
        context,
        intent,
        options,
        created,
        past,
        target,
        masker.clone(),
    )
    .await;
    let compared = if is_organization {
        neighbour::explain(context, &history, compared).await
    } else {
        compared
    };
    compared.map_err(|error| error.masked(|text| masker.text(text)))
}

/// Guards, observes, plans and checks.
async fn compare(
    context: &Context<'_>,
    intent: &Intent,
    options: &Options,
    created: &Cell<bool>,
    past: Past,
    mut target: Target,
    masker: Masker,
) -> Result<Prepared> {
    let owner = Owner {
        release: context.release.as_str().to_owned(),
        namespace: context.namespace.clone(),
    };
    let mut claims = Claims::default();
    volumes::keep_sizes(context, &past, &mut target, &mut claims).await?;
    let new_warnings = guard::guard(context, &past, &mut target, options, &mut claims).await?;
    target.warnings.extend(new_warnings);
    target
        .warnings
        .extend(named::absent(context, &past, &target, &options.expected).await);
    let unlisted = target.unlisted_identities.take();
    let uninstall = matches!(intent, Intent::Uninstall { .. });
    if !options.no_hooks && !options.tell_refusals {
        observe::refuse_unserved_hooks(context, &target.manifest, |hook| {
            target.operation.runs(hook)
        })?;
    }
    let packing = match !uninstall && options.dry_run == DryRun::No {
        true => Some(Packing::begin(context, &past, &target)?),
        false => None,
    };
    let inventory: Vec<_> = past
        .records()
        .flat_map(|record| record.inventory.iter().cloned())
        .collect();
    let events = target.operation.events();
    let events = if options.no_hooks { &[] } else { &events[..] };
    let running: Vec<&Hook> = match options.no_hooks {
        true => Vec::new(),
        false => target
            .manifest
            .hooks
            .iter()
            .filter(|hook| target.operation.runs(hook))
            .collect(),
    };
    let run: Vec<_> = running
        .iter()
        .map(|hook| item(&hook.object.key, hook.object.api_version(), None))
        .collect();
    let reach = |plan| Reach {
        owner: &owner,
        provenance: &target.provenance,
        plan,
        hooks: &running,
        inventory: &inventory,
        allowed: &options.allow_outside,
    };
    let nothing = Plan::default();
    let confined: Vec<ObjectKey> = confine::beyond(&reach(&nothing))
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let mut warnings = target.warnings.clone();
    // A hook that stays and does not run now is not touched, so its live object is of no interest.
    // Listing its kind would need a permission, and for tests that is to list pods.
    let idle: BTreeSet<&ObjectKey> = match uninstall {
        true => BTreeSet::new(),
        false => target
            .manifest
            .hooks
            .iter()
            .map(|it| &it.object.key)
            .collect(),
    };
    let recorded = inventory.iter().filter(|item| !idle.contains(&item.key));
    let sought = recorded.chain(&run);
    let unserved = if options.tell_refusals {
        Unserved::Missing
    } else {
        Unserved::Refused
    };
    let look = Look {
        shown: options.dry_run != DryRun::No,
        additions: if options.force_conflicts {
            Additions::Go
        } else {
            Additions::Stay
        },
    };
    let (live, new_warnings) =
        observe::observe(context, &target.manifest.objects, sought, look, unserved).await?;
    warnings.extend(new_warnings);
    if let Some(unlisted) = unlisted {
        return Err(unlisted);
    }
    warnings.extend(target.identities.warnings.iter().cloned());
    let mut plan = plan::make(Inputs {
        wanted: target.manifest.objects.clone(),
        live,
        inventory: &inventory,
        // An uninstall deletes the hooks that it does not run itself.
        hooks: if uninstall {
            running.clone()
        } else {
            target.manifest.hooks.iter().collect()
        },
        events,
        confined: &confined,
        owner: &owner,
        take_ownership: options.take_ownership,
    })?;
    turns::check(&plan, options)?;
    check::check_recreate(&plan, &inventory, options)?;
    let mut removal = None;
    if let Intent::Uninstall {
        keep_history,
        delete_data,
        delete_namespace,
    } = intent
    {
        uninstall::plan_data(context, &past, &owner, *delete_data, &mut plan).await?;
        if *delete_namespace {
            let planned = namespace::plan_removal(context, &plan, *keep_history).await?;
            warnings.extend(
                planned
                    .stays
                    .iter()
                    .map(|why| namespace::stays(context, why)),
            );
            removal = Some(planned);
        }
    }
    let mut taken_up = Vec::new();
    let namespace = match uninstall {
        true => Namespace {
            is_there: true,
            removal,
            ..Namespace::default()
        },
        false => {
            let wish = Wish {
                intent,
                past: &past,
                target: &target,
            };
            ensure_namespace(context, options, wish, &mut warnings, created).await?
        }
    };
    if !namespace.is_there {
        warnings.push(format!(
            "namespace \"{}\" does not exist yet, so the server could not check the objects in it",
            context.namespace
        ));
    } else if options.dry_run != DryRun::Client {
        let delete_namespace = matches!(
            intent,
            Intent::Uninstall {
                delete_namespace: true,
                ..
            }
        );
        let needs = match options.dry_run {
            DryRun::No => rights::needs(context, &plan, options, delete_namespace),
            _ => BTreeSet::new(),
        };
        let operation = target.operation;
        let sets = &target.manifest.sets;
        let checked = check::check(
            context,
            &past,
            sets,
            &mut plan,
            options,
            created.get(),
            &mut claims,
        );
        let (allowed, accepted) = futures::join!(rights::check(context, operation, needs), checked);
        // Missing rights are reported instead of the errors that they cause.
        allowed.and(accepted)?;
        if options.dry_run == DryRun::No {
            rights::check(context, operation, rights::needs_of_volumes(&plan, options)).await?;
        }
        if !uninstall && !created.get() {
            taken_up = kept::taken_up(
                context,
                &owner,
                sets,
                &plan,
                options.take_ownership,
                &mut claims,
            )
            .await?;
        }
        if let Some(doubt) = namespace.doubt {
            let needs = pod_trial::at_stake(&target.manifest, &plan, doubt);
            pod_trial::try_pod(context, options, doubt, &needs, &mut warnings).await?;
        }
    }
    let reach = reach(&plan);
    let refusals = [
        confine::refusal(&reach, target.operation.word()),
        confine::unreadable_hooks(&reach),
    ];
    for refusal in refusals.into_iter().flatten() {
        match options.dry_run {
            DryRun::No => return Err(refusal),
            _ => warnings.push(format!("without --dry-run, this is refused: {refusal}")),
        }
    }
    confine::point_out(&mut plan, &owner, &target.provenance);
    let draft = match packing {
        Some(packing) => Some(packing.end(&plan, &owner).await?),
        None => None,
    };
    warnings.iter_mut().for_each(|warning| {
        *warning = masker
            .text(warning)
            .unwrap_or_else(|| std::mem::take(warning))
    });
    Ok(Prepared {
        past,
        target,
        plan,
        namespace,
        owner,
        masker,
        warnings,
        taken_up,
        draft,
    })
}

/// Completes the operation under the lock. Makes the plan again first if another run wrote a record
/// since.
async fn locked(
    context: &Context<'_>,
    intent: &Intent,
    options: &Options,
    mut prepared: Prepared,
    lock: &Lock,
    user: &str,
    created: &Cell<bool>,
) -> Result<Outcome> {
    let writer = Writer {
        context,
        options,
        lock,
    };
    let begin = async {
        let entries = storage::history(
            context.cluster,
            &context.namespace,
            context.release.as_str(),
        )
        .await?;
        let now = Past::of(entries);
        if now.fingerprint() != prepared.past.fingerprint() {
            prepared = prepare(context, intent, options, created).await?;
        }
        writer.check()?;
        for warning in &prepared.warnings {
            context.warn(warning);
        }
        progress::pass_on_warnings(context.cluster, context.progress);
        bury_the_dead(context, &prepared.past).await
    };
    begin
        .await
        .map_err(|error| untouched(context, created, error))?;
    if prepared.past.is_purged && prepared.target.operation != Operation::Uninstall {
        let purged = storage::purge(
            context.cluster,
            &context.namespace,
            context.release.as_str(),
        )
        .await;
        purged.map_err(|error| {
            Error::from(error)
                .context(format!(
                    "cannot delete all records of the uninstalled release \"{}\"",
                    context.release
                ))
                .now("nothing else was changed")
                .hint("run the same command again")
        })?;
    }
    context.progress.event(&Event::Planned {
        create: prepared.plan.count(Action::Create),
        change: prepared.plan.count(Action::Change),
        recreate: prepared.plan.count(Action::Recreate),
        unchanged: prepared.plan.count(Action::Unchanged),
        prune: prepared.plan.count(Action::Prune),
    });
    let counted = Counted::of(&prepared.plan, context.progress);
    let context = &Context {
        progress: &counted,
        ..context.clone()
    };
    let writer = Writer { context, ..writer };
    match (intent, prepared.draft.take()) {
        (Intent::Uninstall { keep_history, .. }, _) => {
            uninstall::run(&writer, prepared, *keep_history).await
        }
        (_, Some(mut draft)) => {
            draft.record.summary.user = user.to_owned();
            draft.record.summary.updated = context.now;
            carry_out(&writer, prepared, draft).await
        }
        (_, None) => Err(Error::internal("an operation has no record to write")),
    }
}

/// Carries out an install, upgrade or rollback: record, identities, hooks, apply, wait, prune,
/// record.
async fn carry_out(writer: &Writer<'_>, prepared: Prepared, draft: Draft) -> Result<Outcome> {
    let Writer {
        context, options, ..
    } = writer;
    let began = std::time::Instant::now();
    let (cluster, namespace, release) = (
        context.cluster,
        context.namespace.as_str(),
        context.release.as_str(),
    );
    let operation = prepared.target.operation;
    let Draft { mut record, packed } = draft;
    let revision = record.summary.revision;
    if let Some(chart) = &prepared.target.keep_chart {
        let is_there = prepared
            .past
            .records()
            .any(|record| record.chart.digest == chart.digest);
        let kept = storage::keep_chart(cluster, &record.summary, chart, is_there).await;
        kept.map_err(|error| {
            error
                .context("cannot store the chart with the record")
                .now("the release was not changed")
        })?;
    }
    let mut written = storage::create(cluster, &record, &packed)
        .await
        .map_err(|error| {
            Error::from(error)
                .context(format!(
                    "cannot record revision {revision} of \"{release}\""
                ))
                .now("the release was not changed")
        })?;
    drop(packed);
    let mut uids = Uids::new();
    let done = steps(writer, &prepared, written.created(), &mut uids).await;
    let created: Vec<(&Step, String)> = match options.cleanup_on_fail && done.is_err() {
        true => prepared
            .plan
            .with(Action::Create)
            .filter_map(|step| Some((step, uids.get(&step.key)?.clone())))
            .collect(),
        false => Vec::new(),
    };
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
    if let Err(error) = done.map_err(|error| error.masked(|text| prepared.masker.text(text))) {
        // A run that lost its lock reports only that.
        writer.lock.check()?;
        let short = format!(
            "{} \"{release}\" failed: {}",
            capitalized(operation.word()),
            error.what()
        );
        let interrupted = error.kind() == Kind::Interrupted;
        record.summary.status = Status::Failed;
        record.summary.description = if interrupted {
            recovery::interrupted(operation, release)
        } else {
            short
        };
        let recorded = storage::update(cluster, &mut written, &record).await;
        let error = match &recorded {
            Ok(()) => error,
            Err(lost) => error.why(format!(
                "the failure could not be recorded: {}",
                lost.message
            )),
        };
        let state = if recorded.is_ok() {
            "recorded as failed"
        } else {
            "still recorded as pending"
        };
        if recorded.is_ok() {
            let mut history = prepared.past.entries.clone();
            history.push(Entry::Readable(record.summary.clone()));
            if let Err(left) =
                storage::trim(cluster, namespace, release, &history, options.history_max).await
            {
                context.warn(&format!("cannot remove old revisions: {}", left.message));
            }
        }
        let before = prepared
            .past
            .deployed()
            .map(|summary| format!("; revision {} is still deployed", summary.revision));
        let error = error.now(format!(
            "revision {revision} of \"{release}\" is {state}{}; its changes stay until the next run",
            before.unwrap_or_default()
        ));
        if !interrupted {
            clean_up(writer, &created).await;
        }
        let again = match interrupted {
            true => "run the same command again: it continues from the current state",
            false => {
                "fix the cause and run the same command again: it continues from the current state"
            }
        };
        let back = match (operation, prepared.past.deployed()) {
            // An operation that is undone next needs no hint to go back.
            _ if is_undone(options, &error) => None,
            (Operation::Rollback, Some(deployed)) => Some(format!(
                "{} {}",
                context.command("rollback"),
                deployed.revision
            )),
            (Operation::Install, _) | (_, None) => None,
            (_, Some(_)) => Some(context.command("rollback")),
        };
        let error = error.hint(again);
        return Err(match back {
            Some(back) => error.hint(format!("or return to the deployed revision with `{back}`")),
            None => error,
        });
    }
    let pruned: BTreeSet<&ObjectKey> = prepared
        .plan
        .with(Action::Prune)
        .map(|step| &step.key)
        .collect();
    record.inventory.retain(|item| !pruned.contains(&item.key));
    let unrecorded = |error: Error| {
        error
            .context(format!(
                "the {} of \"{release}\" is complete, but cannot be recorded as complete",
                operation.word()
            ))
            .now(format!(
                "everything is applied; revision {revision} is still recorded as {}",
                operation.pending()
            ))
            .hint("run the same command again: it finds nothing to change and records the success")
    };
    // First the old revision, then the new one, so that there are never two deployed revisions.
    let superseded = prepared
        .past
        .entries
        .iter()
        .filter_map(Entry::summary)
        .filter(|summary| summary.status == Status::Deployed);
    for summary in superseded {
        let superseded = prepared.past.restated(context, summary.revision);
        let superseded = storage::set_status(cluster, superseded, Status::Superseded, None).await;
        superseded.map_err(|error| unrecorded(error.into()))?;
    }
    record.summary.status = Status::Deployed;
    let usual = || complete(operation, prepared.target.rollback_to) + &forced(&record.guard);
    let description = options.description.clone().unwrap_or_else(usual);
    record.summary.description = prepared.masker.text(&description).unwrap_or(description);
    storage::update(cluster, &mut written, &record)
        .await
        .map_err(|error| unrecorded(error.into()))?;
    let mut history = prepared.past.entries.clone();
    history.push(Entry::Readable(record.summary.clone()));
    if let Err(error) =
        storage::trim(cluster, namespace, release, &history, options.history_max).await
    {
        context.warn(&format!(
            "revisions beyond --history-max are still recorded: {}",
            error.message
        ));
    }
    Ok(outcome(prepared, record, false))
}

/// Performs the writes of an operation in order.
async fn steps<'p>(
    writer: &Writer<'_>,
    prepared: &'p Prepared,
    began: &str,
    uids: &mut Uids<'p>,
) -> Result<()> {
    let Writer {
        context, options, ..
    } = writer;
    let [before, after] = prepared.target.operation.events();
    let mut created = hooks::Created::new();
    let mut monitor = Monitor::new(
        context.cluster,
        context.progress,
        context.interrupted.clone(),
    )
    .since(began);
    let mut groups = Groups::of(&prepared.plan, options);
    if let Some(relabel) = &prepared.namespace.relabel {
        relabel.loosen(writer).await?;
    }
    write_identities(writer, &prepared.target.identities).await?;
    hooks::run(writer, &prepared.plan, before, &mut monitor, &mut created).await?;
    kept::take_up(writer, prepared).await?;
    apply::apply(writer, &prepared.plan, &mut groups, &mut monitor, uids).await?;
    if options.wait {
        let wanted = prepared
            .plan
            .steps
            .iter()
            .filter(|step| step.wanted.is_some() && !groups.may_be_down(&step.key));
        let awaited =
            apply::awaited(wanted.filter(|step| options.wait_for_jobs || step.key.kind != "Job"));
        monitor.until_ready(&awaited, options.timeout).await?;
    }
    hooks::run(writer, &prepared.plan, after, &mut monitor, &mut created).await?;
    kept::note_leaving(writer, prepared).await?;
    apply::prune(writer, &prepared.plan, groups, &mut monitor).await?;
    match &prepared.namespace.relabel {
        Some(relabel) => relabel.tighten(writer).await,
        None => Ok(()),
    }
}

fn outcome(prepared: Prepared, record: Record, dry_run: bool) -> Outcome {
    let kept = prepared
        .plan
        .with(Action::Keep)
        .map(|step| format!("{}: {}", step.key, step.why))
        .collect();
    Outcome {
        summary: record.summary,
        plan: prepared.plan,
        chart_origin: prepared.target.provenance.chart().cloned(),
        notes: record.notes,
        kept,
        warnings: prepared.warnings,
        changed_values: prepared.target.changed_values,
        new_identities: prepared.target.identities.create.len(),
        renewed_identities: prepared.target.identities.renew.len(),
        generated_identities: prepared.target.identities.generated,
        masker: prepared.masker,
        dry_run,
        objects: record.objects,
        hooks: record.hooks,
        leaving: None,
    }
}

fn capitalized(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}
