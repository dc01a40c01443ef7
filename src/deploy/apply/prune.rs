//! Deletes what the plan prunes.

use super::IN_FLIGHT;
use crate::cluster::{ApiErrorKind, Delete};
use crate::deploy::turns::Groups;
use crate::deploy::wait::{Awaited, Monitor};
use crate::deploy::{Event, Writer};
use crate::error::{Error, Result};
use crate::plan::{Action, Plan, Step};
use futures::{StreamExt, stream};

/// Deletes the objects that the plan prunes, and only those that the plan saw.
///
/// If other members of a rollout group stay, its members are deleted one at a time.
pub async fn prune<'p>(
    writer: &Writer<'_>,
    plan: &'p Plan,
    mut groups: Groups<'p>,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let steps: Vec<&Step> = plan.with(Action::Prune).collect();
    let mut rest = steps.as_slice();
    while let Some(first) = rest.first() {
        let end = rest
            .iter()
            .position(|step| step.key.kind != first.key.kind)
            .unwrap_or(rest.len());
        let (same_kind, others) = rest.split_at(end);
        let (mut in_turn, at_once): (Vec<&Step>, Vec<&Step>) = same_kind
            .iter()
            .copied()
            .partition(|step| groups.leaves_others(step));
        let deletions = stream::iter(at_once)
            .map(|step| delete(writer, step))
            .buffer_unordered(IN_FLIGHT);
        let results: Vec<Result<()>> = deletions.collect().await;
        results.into_iter().collect::<Result<Vec<()>>>()?;
        while !in_turn.is_empty() {
            let step = groups.turn(writer, &in_turn, monitor).await?;
            remove(writer, step, &mut groups, monitor).await?;
            in_turn.retain(|other| other.key != step.key);
        }
        rest = others;
    }
    if writer.options.wait {
        for step in steps {
            let gone = Awaited::ready(&step.key, &step.api_version);
            monitor
                .until_gone(&gone, step.uid().as_deref(), writer.options.timeout)
                .await?;
        }
    }
    Ok(())
}

/// Deletes a member of a rollout group.
pub(super) async fn remove(
    writer: &Writer<'_>,
    step: &Step,
    groups: &mut Groups<'_>,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    delete(writer, step).await?;
    let gone = Awaited::ready(&step.key, &step.api_version);
    monitor
        .until_gone(&gone, step.uid().as_deref(), writer.options.timeout)
        .await?;
    groups.forget(step);
    Ok(())
}

pub(super) async fn delete(writer: &Writer<'_>, step: &Step) -> Result<()> {
    writer.check()?;
    let context = writer.context;
    let how = Delete {
        uid: step.uid(),
        foreground: step.key.kind == "Job",
        ..Delete::default()
    };
    let deleted = context
        .cluster
        .delete(&step.api_version, &step.key, how)
        .await;
    match deleted {
        // Another UID means that the object of the plan is gone.
        Err(error) if error.kind == ApiErrorKind::Replaced => {
            context.warn(&format!(
                "{} stays: in the meantime, another user deleted and recreated it",
                step.key
            ));
        }
        Ok(true) => context.progress.event(&Event::Applied {
            action: "deleted".to_owned(),
            object: step.key.to_string(),
            nodes: None,
        }),
        Ok(false) => {}
        Err(error) => return Err(Error::from(error).context(format!("cannot delete {}", step.key))),
    }
    Ok(())
}
