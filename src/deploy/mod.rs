//! The sequence of an operation, shared by install, upgrade, rollback and uninstall: resolve,
//! render, guard, observe, plan, lock, record, apply, wait, prune, record. Operations differ only
//! in the source of the desired manifest.

mod account;
mod apply;
mod carry_out;
mod check;
mod course;
mod drift;
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
mod prepare;
mod progress;
mod quorum;
mod recorded;
mod recovery;
mod recreate;
mod rejection;
mod rendered;
mod resolve;
mod revision;
mod rights;
#[cfg(test)]
mod scripted;
mod settle;
mod test_hooks;
mod turns;
mod uninstall;
mod volumes;
mod wait;

pub use course::{Nodes, TimeLeft};
pub use drift::drift;
pub use intent::{ChartChoice, DryRun, Intent, Options, Reuse, Wanted};
pub use post_renderer::PostRenderer;
pub use progress::{Event, Progress};
pub use resolve::not_found;
pub use test_hooks::{TestOutcome, TestRun, test};
pub use wait::Snapshot;

use crate::chart::Origin;
use crate::cluster::Cluster;
use crate::error::{Error, Kind, Result};
use crate::manifest::{Hook, Sealed};
use crate::plan::mask::Masker;
use crate::plan::ownership::Owner;
use crate::plan::{Action, Plan};
use crate::release::{self, Entry, Record, ReleaseName, Summary};
use crate::storage;
use carry_out::carry_out;
use course::Counted;
use identities::write_identities;
use intent::Operation;
use jiff::Timestamp;
use lock::Lock;
use past::Past;
use prepare::{Attempt, Prepared};
use recovery::{mark_interrupted_as_failed, undo};
use resolve::Target;
use revision::{UNKNOWN, later, record_of};
use serde_json::Value;
use std::sync::Arc;

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
    /// Whether the newest revision before the operation is deployed, rather than failed,
    /// interrupted or unreadable; `None` if there is none.
    pub was_settled: Option<bool>,
    /// Whether objects, values, identities and labels stay as they are.
    pub changes_nothing: bool,
    pub objects: Vec<Arc<Sealed>>,
    pub hooks: Vec<Hook>,
    /// All values of the release, and the facts that its record keeps about them.
    pub computed_values: Value,
    pub guard: Value,
    /// UID of the namespace that is being deleted.
    leaving: Option<String>,
}

impl Outcome {
    fn of(prepared: Prepared, record: Record, dry_run: bool) -> Outcome {
        let changes_nothing = prepared.changes_nothing(&record.summary);
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
            changes_nothing,
            was_settled: prepared.past.entries.last().map(Entry::is_deployed),
            objects: record.objects,
            hooks: record.hooks,
            computed_values: record.computed_values,
            guard: record.guard,
            leaving: None,
        }
    }
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

    /// Returns the release as the owner of objects.
    fn owner(&self) -> Owner {
        Owner {
            release: self.release.as_str().to_owned(),
            namespace: self.namespace.clone(),
        }
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
/// Runs one operation from beginning to end.
pub async fn run(context: Context<'_>, intent: Intent, options: Options) -> Result<Outcome> {
    if options.dry_run != DryRun::No {
        return preview(&context, intent, &options).await;
    }
    let began = std::time::Instant::now();
    let mut attempt = Attempt::new(&context, &intent, &options);
    let begun = begin(&mut attempt).await;
    let (prepared, user) = begun.map_err(|error| attempt.untouched(error))?;
    let lock = lock::acquire(&context, &user, prepared.target.operation.word()).await;
    let lock = lock.map_err(|error| attempt.untouched(error))?;
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
    let writer = Writer {
        context: &held,
        options: &options,
        lock: &lock,
    };
    let attempt = Attempt {
        context: &held,
        ..attempt
    };
    let work = async {
        match locked(&writer, attempt, prepared, &user).await {
            Err(error) if is_undone(&options, &error) => undo(&writer, &intent, &user, error).await,
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

/// Prepares the operation and asks the server for the user's name, until the user interrupts.
async fn begin(attempt: &mut Attempt<'_>) -> Result<(Prepared, String)> {
    let context = attempt.context;
    let mut stop = context.interrupted.clone();
    let user = async {
        let whoami = context.cluster.whoami().await;
        Ok(whoami
            .map(|whoami| whoami.username)
            .unwrap_or_else(|_| UNKNOWN.to_owned()))
    };
    let begin = async { futures::try_join!(attempt.prepare(), user) };
    tokio::select! {
        begun = begin => begun,
        () = wait::interrupt(&mut stop) => Err(wait::interrupted()),
    }
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

/// Returns true if an uninstall kept volumes of this release, which has no records.
pub async fn has_volumes(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool> {
    kept::has_claims(cluster, namespace, release).await
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
    let mut attempt = Attempt::new(context, &intent, &options);
    let prepared = attempt.prepare().await;
    let prepared = prepared.map_err(|error| attempt.untouched(error))?;
    let revision = prepared.past.newest().unwrap_or(0).saturating_add(1);
    let record = record_of(context, &prepared, revision, "Dry run complete");
    Ok(Outcome::of(prepared, record, true))
}

/// Completes the operation under the lock.
async fn locked(
    writer: &Writer<'_>,
    mut attempt: Attempt<'_>,
    prepared: Prepared,
    user: &str,
) -> Result<Outcome> {
    let context = writer.context;
    let current = bring_up_to_date(writer, &mut attempt, prepared).await;
    let mut prepared = current.map_err(|error| attempt.untouched(error))?;
    if writer.options.identities_only {
        write_identities(writer, &prepared.target.identities).await?;
        let revision = prepared.past.newest().unwrap_or(0).saturating_add(1);
        let record = record_of(context, &prepared, revision, "Identities written");
        return Ok(Outcome::of(prepared, record, false));
    }
    if prepared.past.is_purged && prepared.target.operation != Operation::Uninstall {
        finish_purge(context).await?;
    }
    // Of two runs of `up` at once, the second finds the work done.
    if writer.options.network.is_some() && prepared.is_reached() {
        let revision = prepared.past.newest().unwrap_or_default();
        let record = record_of(context, &prepared, revision, "Unchanged");
        return Ok(Outcome::of(prepared, record, false));
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
    let writer = Writer { context, ..*writer };
    match (attempt.intent, prepared.draft.take()) {
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

/// Makes the plan again if another run wrote a record since. Then shows the warnings, and marks
/// interrupted runs as failed.
async fn bring_up_to_date(
    writer: &Writer<'_>,
    attempt: &mut Attempt<'_>,
    mut prepared: Prepared,
) -> Result<Prepared> {
    let context = writer.context;
    let (namespace, release) = (&context.namespace, context.release.as_str());
    let now = Past::of(storage::history(context.cluster, namespace, release).await?);
    if now.fingerprint() != prepared.past.fingerprint() {
        prepared = attempt.prepare().await?;
    }
    writer.check()?;
    for warning in &prepared.warnings {
        context.warn(warning);
    }
    progress::pass_on_warnings(context.cluster, context.progress);
    mark_interrupted_as_failed(context, &prepared.past).await?;
    Ok(prepared)
}

/// Deletes the records that an interrupted uninstall left.
async fn finish_purge(context: &Context<'_>) -> Result<()> {
    let (namespace, release) = (&context.namespace, context.release.as_str());
    let purged = storage::purge(context.cluster, namespace, release).await;
    purged.map_err(|error| {
        Error::from(error)
            .context(format!(
                "cannot delete all records of the uninstalled release \"{release}\""
            ))
            .now("nothing else was changed")
            .hint("run the same command again")
    })
}

fn capitalized(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}
