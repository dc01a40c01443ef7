//! Carries out an install, upgrade or rollback: records the revision as pending, writes in order,
//! and records the outcome.

use super::apply::{self, Uids};
use super::identities::write_identities;
use super::intent::Operation;
use super::recovery::{self, clean_up};
use super::revision::{Draft, complete, forced, later};
use super::turns::Groups;
use super::wait::Monitor;
use super::{Outcome, Prepared, Writer, capitalized, hooks, is_undone, kept};
use crate::cluster::ApiResult;
use crate::error::{Error, Kind, Result};
use crate::manifest::ObjectKey;
use crate::plan::{Action, Step};
use crate::release::{Entry, OutcomeFacts, Record, Status};
use crate::storage::{self, Written};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Writes the revision, and records how it went.
pub(super) async fn carry_out(
    writer: &Writer<'_>,
    prepared: Prepared,
    draft: Draft,
) -> Result<Outcome> {
    let began = Instant::now();
    let mut revision = Revision::begin(writer, &prepared, draft).await?;
    let mut uids = Uids::new();
    let done = steps(writer, &prepared, revision.written.created(), &mut uids).await;
    let created: Vec<(&Step, String)> = match writer.options.cleanup_on_fail && done.is_err() {
        true => prepared
            .plan
            .with(Action::Create)
            .filter_map(|step| Some((step, uids.get(&step.key)?.clone())))
            .collect(),
        false => Vec::new(),
    };
    revision.note(uids, began.elapsed());
    if let Err(error) = done.map_err(|error| error.masked(|text| prepared.masker.text(text))) {
        // A run that lost its lock reports only that.
        writer.lock.check()?;
        return Err(revision.fail(error, &created).await);
    }
    let record = revision.succeed().await?;
    Ok(Outcome::of(prepared, record, false))
}

/// The revision that an operation writes.
struct Revision<'a> {
    writer: &'a Writer<'a>,
    prepared: &'a Prepared,
    record: Record,
    written: Written,
}

impl<'a> Revision<'a> {
    /// Records the revision as pending. A chart from outside is stored first.
    async fn begin(
        writer: &'a Writer<'a>,
        prepared: &'a Prepared,
        draft: Draft,
    ) -> Result<Revision<'a>> {
        let cluster = writer.context.cluster;
        let Draft { record, packed } = draft;
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
        let written = storage::create(cluster, &record, &packed).await;
        let written = written.map_err(|error| {
            Error::from(error)
                .context(format!(
                    "cannot record revision {} of \"{}\"",
                    record.summary.revision, record.summary.release
                ))
                .now("the release was not changed")
        })?;
        Ok(Revision {
            writer,
            prepared,
            record,
            written,
        })
    }

    fn operation(&self) -> Operation {
        self.prepared.target.operation
    }

    /// Adds what was written, for the next update of the record.
    fn note(&mut self, mut uids: Uids<'_>, took: Duration) {
        for item in &mut self.record.inventory {
            item.uid = uids.remove(&item.key).or(item.uid.take());
        }
        let plan = &self.prepared.plan;
        self.record.outcome = Some(OutcomeFacts {
            created: plan.count(Action::Create),
            changed: plan.count(Action::Change),
            recreated: plan.count(Action::Recreate),
            unchanged: plan.count(Action::Unchanged),
            pruned: plan.count(Action::Prune),
            seconds: took.as_secs_f64(),
        });
        self.record.summary.updated = later(self.writer.context.now, took);
    }

    async fn update(&mut self) -> ApiResult<()> {
        storage::update(self.writer.context.cluster, &mut self.written, &self.record).await
    }

    /// Deletes revisions beyond `--history-max`. If that fails, warns with `what`.
    async fn trim(&self, what: &str) {
        let (context, max) = (self.writer.context, self.writer.options.history_max);
        let (namespace, release) = (&context.namespace, context.release.as_str());
        let mut history = self.prepared.past.entries.clone();
        history.push(Entry::Readable(self.record.summary.clone()));
        if let Err(error) = storage::trim(context.cluster, namespace, release, &history, max).await
        {
            context.warn(&format!("{what}: {}", error.message));
        }
    }

    /// Records the failure. Returns the error with the state of the release and the way on.
    async fn fail(mut self, error: Error, created: &[(&Step, String)]) -> Error {
        let context = self.writer.context;
        let (operation, release) = (self.operation(), context.release.as_str());
        let is_interrupted = error.kind() == Kind::Interrupted;
        self.record.summary.status = Status::Failed;
        self.record.summary.description = match is_interrupted {
            true => recovery::interrupted(operation, release),
            false => format!(
                "{} \"{release}\" failed: {}",
                capitalized(operation.word()),
                error.what()
            ),
        };
        let (error, state) = match self.update().await {
            Ok(()) => {
                self.trim("cannot remove old revisions").await;
                (error, "recorded as failed")
            }
            Err(lost) => (
                error.why(format!(
                    "the failure could not be recorded: {}",
                    lost.message
                )),
                "still recorded as pending",
            ),
        };
        let deployed = self.prepared.past.deployed();
        let before =
            deployed.map(|summary| format!("; revision {} is still deployed", summary.revision));
        let error = error.now(format!(
            "revision {} of \"{release}\" is {state}{}; its changes stay until the next run",
            self.record.summary.revision,
            before.unwrap_or_default()
        ));
        if is_interrupted {
            return self.with_way_back(
                error.hint("run the same command again: it continues from the current state"),
            );
        }
        clean_up(self.writer, created).await;
        self.with_way_back(error.hint(
            "fix the cause and run the same command again: it continues from the current state",
        ))
    }

    /// Adds the command that returns to the deployed revision, if there is one.
    fn with_way_back(&self, error: Error) -> Error {
        let Writer {
            context, options, ..
        } = self.writer;
        let back = match (self.operation(), self.prepared.past.deployed()) {
            // An operation that is undone next needs no hint to go back.
            _ if is_undone(options, &error) => return error,
            (Operation::Install, _) | (_, None) => return error,
            (Operation::Rollback, Some(deployed)) => {
                format!("{} {}", context.command("rollback"), deployed.revision)
            }
            (_, Some(_)) => context.command("rollback"),
        };
        error.hint(format!("or return to the deployed revision with `{back}`"))
    }

    /// Records the revision as deployed, and the deployed one before it as superseded.
    async fn succeed(mut self) -> Result<Record> {
        let Revision {
            writer, prepared, ..
        } = self;
        let pruned = prepared.plan.with(Action::Prune).map(|step| &step.key);
        let pruned: BTreeSet<&ObjectKey> = pruned.collect();
        let inventory = &mut self.record.inventory;
        inventory.retain(|item| !pruned.contains(&item.key));
        // First the old revision, then the new one, so that there are never two deployed revisions.
        self.supersede()
            .await
            .map_err(|error| self.unrecorded(error.into()))?;
        self.record.summary.status = Status::Deployed;
        let usual = || {
            let target = &prepared.target;
            complete(target.operation, target.rollback_to) + &forced(&self.record.guard)
        };
        let description = writer.options.description.clone().unwrap_or_else(usual);
        let masked = prepared.masker.text(&description);
        self.record.summary.description = masked.unwrap_or(description);
        let updated = self.update().await;
        updated.map_err(|error| self.unrecorded(error.into()))?;
        self.trim("revisions beyond --history-max are still recorded")
            .await;
        Ok(self.record)
    }

    async fn supersede(&self) -> ApiResult<()> {
        let (context, past) = (self.writer.context, &self.prepared.past);
        let deployed = past
            .entries
            .iter()
            .filter_map(Entry::summary)
            .filter(|summary| summary.status == Status::Deployed);
        for summary in deployed {
            let superseded = past.restated(context, summary.revision);
            storage::set_status(context.cluster, superseded, Status::Superseded, None).await?;
        }
        Ok(())
    }

    /// Returns the error if everything is applied and only the record could not be written.
    fn unrecorded(&self, error: Error) -> Error {
        let operation = self.operation();
        error
            .context(format!(
                "the {} of \"{}\" is complete, but cannot be recorded as complete",
                operation.word(),
                self.writer.context.release
            ))
            .now(format!(
                "everything is applied; revision {} is still recorded as {}",
                self.record.summary.revision,
                operation.pending()
            ))
            .hint("run the same command again: it finds nothing to change and records the success")
    }
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
