//! `drift`: compares recorded with live objects. Writes nothing.

use super::observe::{self, Unserved};
use super::{Context, Past, identities, settle, volumes};
use crate::cluster::{ApiErrorKind, Apply};
use crate::error::{Error, Result};
use crate::manifest::claims::Set;
use crate::manifest::{Object, Sealed};
use crate::plan::compare::same_but_for_bookkeeping;
use crate::plan::mask::Masker;
use crate::plan::{self, Action, Additions, Inputs, Look, Plan};
use crate::release::Record;
use crate::storage;
use futures::future::join_all;
use std::sync::Arc;

/// Finds drift since the last operation: objects that differ from the deployed manifest, have
/// additional fields, or are missing. The plan would correct them. Writes nothing.
pub async fn drift(context: &Context<'_>) -> Result<(Plan, Masker)> {
    let release = context.release.as_str();
    let (cluster, namespace) = (context.cluster, context.namespace.as_str());
    let past = Past::of(storage::history(cluster, namespace, release).await?);
    let Some(deployed) = past.deployed() else {
        return Err(nothing_deployed(context, &past).await);
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
    let mut plan = compare(context, objects).await?;
    settle_changes(context, &mut plan).await?;
    volumes::drift(context, &sets, &mut plan).await?;
    let key = if record.lacks_secrets() {
        storage::new_key()?
    } else {
        record.mask_key.clone()
    };
    let secrets = Masker::secrets_in(&record);
    Ok((plan, Masker::new(key.as_bytes(), secrets)))
}

/// Returns the error for a release without a deployed revision.
async fn nothing_deployed(context: &Context<'_>, past: &Past) -> Error {
    let release = context.release.as_str();
    let (cluster, namespace) = (context.cluster, context.namespace.as_str());
    let Some(newest) = past.newest() else {
        return storage::unknown_release(cluster, namespace, release).await;
    };
    // A status that someone changed is reported as such.
    match storage::read_past(cluster, namespace, release, newest, |_, _| ()).await {
        Err(error) => error,
        Ok(record) if record.lacks_secrets() => storage::unverified(&record),
        Ok(_) => Error::user(format!(
            "release \"{release}\" has no deployed revision to compare with"
        )),
    }
}

/// Compares the objects of the record with the live ones.
async fn compare(context: &Context<'_>, objects: Vec<Arc<Sealed>>) -> Result<Plan> {
    let look = Look {
        shown: true,
        additions: Additions::Reported,
    };
    let observed = observe::observe(context, &objects, &[], look, Unserved::Missing);
    let (live, warnings) = observed.await?;
    for warning in warnings {
        context.warn(&warning);
    }
    plan::make(Inputs {
        wanted: objects,
        live,
        inventory: &[],
        hooks: Vec::new(),
        events: &[],
        confined: &[],
        owner: &context.owner(),
        take_ownership: true,
    })
}

/// Finds out by dry runs which of the changes are real.
async fn settle_changes(context: &Context<'_>, plan: &mut Plan) -> Result<()> {
    // With force, to see the fields that another manager changed.
    let how = Apply {
        dry_run: true,
        force: true,
        ..Apply::default()
    };
    let answers = {
        let tries = plan
            .with(Action::Change)
            .filter_map(|step| step.wanted.as_ref())
            .map(|wanted| context.cluster.apply(wanted.as_ref(), how));
        join_all(tries).await
    };
    let steps = plan.steps.iter_mut();
    let changed = steps.filter(|step| step.action == Action::Change);
    for (step, answer) in changed.zip(answers) {
        match answer {
            Ok(after) => {
                plan::settle(step, after);
                // A missing entry in managedFields is no difference if the object is as it was
                // applied.
                let mut states = step.live.iter().zip(&step.after);
                let same = states.all(|(live, after)| same_but_for_bookkeeping(live, after));
                if step.action == Action::Change && same && step.added().next().is_none() {
                    step.action = Action::Unchanged;
                }
            }
            // A drifted field that cannot be corrected is still drift.
            Err(error) if error.kind == ApiErrorKind::Invalid => step.why = error.message,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
