//! The release's namespace: creates it if it is missing, deletes it if requested and empty.

use super::others::{self, Ours, key};
use super::pod_security::{self, Relabel, Wish};
use super::pod_trial::{Doubt, is_unlabelled};
use super::wait::{Awaited, Monitor};
use super::{Context, DryRun, Options, Writer};
use crate::cluster::{ApiErrorKind, Apply, Delete, Expects};
use crate::error::{Error, Result};
use crate::manifest::pod_security::level;
use crate::plan::{Plan, compare};

/// The release's namespace, found or created by an operation.
#[derive(Default)]
pub(super) struct Namespace {
    /// False if it does not exist and this is only a preview.
    pub is_there: bool,
    pub relabel: Option<Relabel>,
    /// Set with `--delete-namespace`.
    pub removal: Option<Removal>,
    /// Why the Pod Security level that it enforces is unknown.
    pub doubt: Option<Doubt>,
}

/// Creates the release's namespace with the Pod Security level that the pods need, or checks the
/// level of an existing one. Sets `created`, also if it fails later.
pub(super) async fn ensure_namespace(
    context: &Context<'_>,
    options: &Options,
    wish: Wish<'_>,
    warnings: &mut Vec<String>,
    created: &mut bool,
) -> Result<Namespace> {
    let there = Namespace {
        is_there: true,
        ..Namespace::default()
    };
    match context.cluster.get("v1", &key(context)).await {
        Ok(Some(body)) if !body["metadata"]["deletionTimestamp"].is_null() => Err(Error::refused(
            format!("namespace \"{}\" is being deleted", context.namespace),
        )
        .now("nothing was changed")
        .hint("run the command again after it is deleted")),
        Ok(Some(body)) => {
            let relabel = pod_security::settle(context, options, &body, wish, warnings).await?;
            Ok(Namespace {
                relabel,
                doubt: is_unlabelled(&body).then_some(Doubt::Unlabelled),
                ..there
            })
        }
        // Users without read access to namespaces may still have permissions in one.
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(Namespace {
            doubt: Some(Doubt::Unreadable),
            ..there
        }),
        Err(error) => Err(error.into()),
        Ok(None) if options.dry_run != DryRun::No => Ok(Namespace::default()),
        Ok(None) if !options.create_namespace => Err(Error::user(format!(
            "namespace \"{}\" does not exist",
            context.namespace
        ))
        .now("nothing was changed")
        .hint("omit --create-namespace=false, or create the namespace first")),
        Ok(None) => match create(context, wish, created).await? {
            Created::Ours => Ok(there),
            Created::Found => {
                let again = ensure_namespace(context, options, wish, warnings, created);
                Box::pin(again).await
            }
        },
    }
}

/// The creator of the namespace.
enum Created {
    Ours,
    /// Someone else created it at the same time, or the first response to our request was lost.
    Found,
}

async fn create(context: &Context<'_>, wish: Wish<'_>, created: &mut bool) -> Result<Created> {
    let level = level(&wish.target.manifest.pod_needs);
    let body = pod_security::namespace(context, level);
    let how = Apply {
        expects: Expects::Absent,
        ..Apply::default()
    };
    let name = &context.namespace;
    match context.cluster.apply(&body, how).await {
        Ok(_) => {
            *created = true;
            context.step(&format!(
                "namespace {name} created (Pod Security level {level})"
            ));
            Ok(Created::Ours)
        }
        Err(error) if error.kind == ApiErrorKind::Replaced => {
            let Some(there) = context.cluster.get("v1", &key(context)).await? else {
                return Err(error.into());
            };
            *created = compare::is_part_of(&body, &there);
            Ok(Created::Found)
        }
        Err(error) => Err(Error::from(error)
            .context(format!("cannot create namespace \"{name}\""))
            .hint("ask an administrator to create it, then run the command again")),
    }
}

/// Plans `--delete-namespace` before the first deletion: collects what belongs to the release, and
/// why the namespace may have to stay.
pub(super) async fn plan_removal(
    context: &Context<'_>,
    plan: &Plan,
    keep_history: bool,
) -> Result<Removal> {
    let mut ours = Ours::new(context, plan, keep_history);
    let stays = match context.cluster.get("v1", &key(context)).await? {
        Some(body) => others::why_it_stays(context, &body, plan, &mut ours).await?,
        None => None,
    };
    Ok(Removal { ours, stays })
}

/// Facts about the namespace before the release is uninstalled.
pub(super) struct Removal {
    ours: Ours,
    pub stays: Option<String>,
}

/// Deletes the namespace if there is still no reason to keep it. Returns its UID if the deletion
/// has begun.
pub(super) async fn remove_namespace(
    writer: &Writer<'_>,
    plan: &Plan,
    removal: Removal,
) -> Result<Option<String>> {
    let context = writer.context;
    let Removal {
        mut ours,
        stays: None,
    } = removal
    else {
        return Ok(None);
    };
    let key = key(context);
    let Some(body) = context.cluster.get("v1", &key).await? else {
        return Ok(None);
    };
    if let Some(why) = others::why_it_stays(context, &body, plan, &mut ours).await? {
        context.warn(&stays(context, &why));
        return Ok(None);
    }
    let text = |field: &str| body["metadata"][field].as_str().map(str::to_owned);
    let how = Delete {
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ..Delete::default()
    };
    writer.lock.ends_with_namespace();
    let Err(error) = context.cluster.delete("v1", &key, how).await else {
        return Ok(text("uid"));
    };
    // If the response to the deletion was lost, read the namespace to see whether it succeeded.
    let there = context.cluster.get("v1", &key).await?;
    match there.filter(|there| there["metadata"]["uid"] == body["metadata"]["uid"]) {
        None => Ok(None),
        Some(there) if !there["metadata"]["deletionTimestamp"].is_null() => Ok(text("uid")),
        Some(_) if error.kind == ApiErrorKind::Conflict => {
            context.warn(&stays(context, "it was changed in the meantime"));
            Ok(None)
        }
        Some(_) => Err(error.into()),
    }
}

pub(super) fn stays(context: &Context<'_>, why: &str) -> String {
    format!("namespace \"{}\" stays: {why}", context.namespace)
}

/// Waits until the namespace is gone. Its Lease is deleted with it, so this needs no lock.
pub(super) async fn until_gone(context: &Context<'_>, options: &Options, uid: &str) -> Result<()> {
    let mut monitor = Monitor::new(
        context.cluster,
        context.progress,
        context.interrupted.clone(),
    );
    let gone = monitor
        .until_gone(
            &Awaited::ready(&key(context), "v1"),
            Some(uid),
            options.timeout,
        )
        .await;
    gone.map_err(|error| {
        error
            .now(format!(
                "release \"{}\" is uninstalled, and its namespace is being deleted",
                context.release
            ))
            .hint(format!(
                "the conditions in `kubectl get namespace {} -o yaml` show what is left",
                context.namespace
            ))
    })
}
