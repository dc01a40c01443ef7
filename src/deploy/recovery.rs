//! Recovers from failures: marks interrupted runs, and cleans up or undoes attempts.

use super::prepare::Attempt;
use super::{
    Context, Intent, Operation, Options, Outcome, Past, Writer, capitalized, locked, wait,
};
use crate::cluster::{ApiErrorKind, Delete};
use crate::error::{Error, Result};
use crate::plan::Step;
use crate::release::{Entry, Status, Summary};
use crate::storage;

/// Marks pending revisions as failed. This run holds the lock, so their runs were interrupted.
pub(super) async fn mark_interrupted_as_failed(context: &Context<'_>, past: &Past) -> Result<()> {
    for summary in past
        .entries
        .iter()
        .filter_map(Entry::summary)
        .filter(|summary| summary.status.is_pending())
    {
        let description = match operation_of(summary.status) {
            Some(operation) => interrupted(operation, &summary.release),
            None => format!("interrupted ({})", summary.status),
        };
        let interrupted = past.restated(context, summary.revision);
        storage::set_status(
            context.cluster,
            interrupted,
            Status::Failed,
            Some(&description),
        )
        .await?;
        context.step(&format!(
            "revision {} was interrupted ({}); it is recorded as failed",
            summary.revision, summary.status
        ));
    }
    Ok(())
}

/// Returns the description of an interrupted run for the history. The revision's own time shows
/// when it ran.
pub(super) fn interrupted(operation: Operation, release: &str) -> String {
    format!(
        "{} \"{release}\" was interrupted",
        capitalized(operation.word())
    )
}

/// Returns the operation that leaves a revision with this status.
fn operation_of(status: Status) -> Option<Operation> {
    [
        Operation::Install,
        Operation::Upgrade,
        Operation::Rollback,
        Operation::Uninstall,
    ]
    .into_iter()
    .find(|operation| operation.pending() == status)
}

/// `--cleanup-on-fail`: deletes the objects that this attempt created, by UID.
pub(super) async fn clean_up(writer: &Writer<'_>, created: &[(&Step, String)]) {
    let context = writer.context;
    for (step, uid) in created {
        if writer.check().is_err()
            || matches!(
                step.key.kind.as_str(),
                "PersistentVolumeClaim" | "PersistentVolume" | "Namespace"
            )
        {
            continue;
        }
        let how = Delete {
            uid: Some(uid.clone()),
            ..Delete::default()
        };
        match context
            .cluster
            .delete(&step.api_version, &step.key, how)
            .await
        {
            // Another UID means that the object is not from this attempt.
            Err(left) if left.kind != ApiErrorKind::Replaced => {
                context.warn(&format!("cannot clean up {}: {}", step.key, left.message));
            }
            _ => {}
        }
    }
}

/// `--rollback-on-failure`: restores the previous revision, or uninstalls after a failed first
/// install.
///
/// Runs under the lock of the failed operation, so that it undoes no other run's work.
pub(super) async fn undo(
    writer: &Writer<'_>,
    intent: &Intent,
    user: &str,
    error: Error,
) -> Result<Outcome> {
    let context = writer.context;
    let (namespace, release) = (&context.namespace, context.release.as_str());
    let history = match storage::history(context.cluster, namespace, release).await {
        Ok(history) => history,
        Err(worse) => {
            return Err(error.why(format!("the rollback also failed: {}", worse.what())));
        }
    };
    let failed = history
        .last()
        .and_then(Entry::summary)
        .is_some_and(|summary| summary.status == Status::Failed);
    let deploys = matches!(intent, Intent::Install(_) | Intent::Upgrade { .. });
    if !failed || !deploys {
        return Err(error);
    }
    let deployed = history
        .iter()
        .rev()
        .filter_map(Entry::summary)
        .find(|summary| summary.status == Status::Deployed);
    let intent = way_back(deployed);
    context.step("the operation failed; rolling it back");
    let options = Options {
        rollback_on_failure: false,
        ..writer.options.clone()
    };
    let writer = Writer {
        options: &options,
        ..*writer
    };
    let mut stop = context.interrupted.clone();
    let undone = async {
        let mut attempt = Attempt::new(context, &intent, &options);
        let prepared = tokio::select! {
            prepared = attempt.prepare() => prepared?,
            () = wait::interrupt(&mut stop) => return Err(wait::interrupted()),
        };
        locked(&writer, attempt, prepared, user).await
    };
    Err(match (undone.await, deployed) {
        (Ok(_), Some(summary)) => error.replace_now(format!(
            "it was rolled back to revision {}",
            summary.revision
        )),
        (Ok(_), None) => error.replace_now("it was uninstalled; identities and volumes stay"),
        (Err(worse), _) => error.why(format!("rolling it back also failed: {worse}")),
    })
}

/// Returns the operation that restores this revision, or the state without the release.
fn way_back(deployed: Option<&Summary>) -> Intent {
    match deployed {
        Some(summary) => Intent::Rollback {
            revision: Some(summary.revision),
        },
        None => Intent::Uninstall {
            keep_history: false,
            delete_data: false,
            delete_namespace: false,
        },
    }
}
