//! Writes one object, bound to what the plan saw.

use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Apply, Delete, Expects};
use crate::deploy::wait::{Awaited, Monitor};
use crate::deploy::{Context, Event, Writer, account, volumes};
use crate::error::{Error, Result};
use crate::manifest::outline::ReadOutline;
use crate::manifest::{Sealed, kinds};
use crate::plan::compare::owned_fields;
use crate::plan::ownership::owner_of;
use crate::plan::{Action, Step, foreign};
use serde_json::{Value, json};

/// Number of attempts to take over fields of an object that changes at the same time.
const CLAIMS: usize = 10;

/// Writes the object of a step, after its volumes. Returns its outline.
pub(super) async fn write(
    writer: &Writer<'_>,
    step: &Step,
    monitor: &mut Monitor<'_>,
) -> Result<Value> {
    // Claims come first. Until they match the new templates, the old templates stay and show the
    // next run what is left to do.
    if let Some(volumes) = &step.volumes {
        volumes::expand(writer, volumes, monitor).await?;
    }
    if step.action == Action::Recreate {
        writer.check()?;
        // Pods and volumes of a StatefulSet stay without it, and the new StatefulSet adopts them.
        let orphan = step.key.kind == "StatefulSet";
        let uid = step.uid();
        let how = Delete {
            uid: uid.clone(),
            orphan,
            ..Delete::default()
        };
        writer
            .context
            .cluster
            .delete(&step.api_version, &step.key, how)
            .await?;
        let gone = Awaited::ready(&step.key, &step.api_version);
        monitor
            .until_gone(&gone, uid.as_deref(), writer.options.timeout)
            .await?;
    }
    if let Some(volumes) = &step.volumes {
        volumes::vacate(writer, volumes, monitor).await?;
    }
    apply_one(writer, step).await
}

pub(super) async fn apply_one(writer: &Writer<'_>, step: &Step) -> Result<Value> {
    let wanted = step
        .wanted
        .as_ref()
        .expect("only wanted objects are applied");
    let uid = step.uid();
    // An object with a status almost always has a newer version than in the plan. Binding to the
    // version would cost an additional request for each change.
    let version = step
        .resource_version()
        .filter(|_| kinds::is_left_alone(&step.key.group, &step.key.kind));
    let expects = match (step.action, &uid, version) {
        (Action::Change, Some(uid), Some(version)) => Expects::Version { uid, version },
        (Action::Change, Some(uid), None) => Expects::Uid(uid),
        _ => Expects::Absent,
    };
    if step.action == Action::Change && !step.theirs.is_empty() {
        claim(writer, step).await?;
    }
    let body = put(writer, wanted, expects).await?;
    let action = match step.action {
        Action::Create => "created",
        Action::Recreate => "recreated",
        _ => "changed",
    };
    writer.context.progress.event(&Event::Applied {
        action: action.to_owned(),
        object: step.key.to_string(),
        nodes: None,
    });
    Ok(body)
}

/// Makes this program the only owner of fields that others added, so that the following apply
/// removes them. An apply alone keeps fields that another manager owns as well.
///
/// If a run ends between the two, the next run finds owned fields that are not desired, and
/// applies.
async fn claim(writer: &Writer<'_>, step: &Step) -> Result<()> {
    let cluster = writer.context.cluster;
    let failed = |error: ApiError| {
        Error::from(error).context(format!("cannot take over fields of {}", step.key))
    };
    for attempt in 0.. {
        let live = cluster
            .get(&step.api_version, &step.key)
            .await
            .map_err(failed)?;
        // The object is missing or another one. The apply reports this.
        let Some(live) =
            live.filter(|live| live["metadata"]["uid"].as_str() == step.uid().as_deref())
        else {
            return Ok(());
        };
        let Some(managers) = foreign::claim(&live, &step.api_version, &step.theirs) else {
            return Ok(());
        };
        let version = &live["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"uid": step.uid(), "resourceVersion": version, "managedFields": managers}});
        writer.check()?;
        match cluster
            .merge_patch(&step.api_version, &step.key, &patch)
            .await
        {
            Ok(_) => return Ok(()),
            // A controller wrote its status at the same time.
            Err(error) if error.kind == ApiErrorKind::Conflict && attempt < CLAIMS => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Writes an object if the cluster still has what the plan saw: no object, or the one with this
/// UID. Returns its outline.
///
/// A write that is bound to a version and reaches the server late cannot overwrite a change of
/// another run.
///
/// # Errors
///
/// Fails if someone else created or deleted an object of this name.
pub(in crate::deploy) async fn put(
    writer: &Writer<'_>,
    wanted: &Sealed,
    expects: Expects<'_>,
) -> Result<Value> {
    writer.check()?;
    let Writer {
        context, options, ..
    } = writer;
    let send = async |expects: Expects<'_>| {
        let how = Apply {
            force: options.force_conflicts,
            expects,
            ..Apply::default()
        };
        account::until_there(context, options, wanted, async || {
            context.cluster.apply_into(wanted, how, ReadOutline).await
        })
        .await
    };
    let mut written = send(expects).await?;
    // The object changed since the plan: a label, or our own attempt whose response was lost. Or
    // this write is late, and another run has taken over the lock; then the fence before the next
    // attempt reports it. Otherwise the owner of the field decides.
    if let Expects::Version { uid, .. } = expects
        && written
            .as_ref()
            .is_err_and(|error| error.kind == ApiErrorKind::Conflict && error.causes.is_empty())
    {
        written = send(Expects::Uid(uid)).await?;
    }
    if expects == Expects::Absent && is_replaced(&written) {
        // `None` if the object is gone again.
        let ours = uid_of_own(context, wanted).await?;
        let expects = ours.as_deref().map_or(expects, Expects::Uid);
        written = send(expects).await?;
    }
    written.map_err(|error| match error.kind {
        ApiErrorKind::Replaced => Error::cluster(format!(
            "cannot apply {}: it was deleted or recreated in the meantime",
            wanted.key
        ))
        .why(error.message),
        _ => Error::from(error).context(format!("cannot apply {}", wanted.key)),
    })
}

/// Returns the UID of an object that exists although the plan did not see it, if it is our own.
///
/// A retried write whose first response was lost finds its own object, which has our marks and our
/// field manager.
///
/// # Errors
///
/// Fails if someone else created it.
async fn uid_of_own(context: &Context<'_>, wanted: &Sealed) -> Result<Option<String>> {
    let cluster = context.cluster;
    let Some(body) = cluster.get(&wanted.api_version, &wanted.key).await? else {
        return Ok(None);
    };
    if context.owner().owns(&body) && owned_fields(&body).is_some() {
        let uid = body["metadata"]["uid"].as_str().unwrap_or_default();
        return Ok(Some(uid.to_owned()));
    }
    Err(Error::cluster(format!(
        "cannot create {}: an object of this name was created in the meantime",
        wanted.key
    ))
    .why(format!(
        "{}, and it did not exist when the plan was made",
        owner_of(&body)
    ))
    .hint("move it away, or adopt it with --take-ownership"))
}

fn is_replaced<T>(written: &ApiResult<T>) -> bool {
    written
        .as_ref()
        .is_err_and(|error| error.kind == ApiErrorKind::Replaced)
}
