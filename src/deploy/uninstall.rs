//! Uninstalls a release: deletes all objects that any attempt wrote. Data and identities stay
//! unless the user asks to delete them.

use super::hooks::Created;
use super::kept::{self, HOLDS_DATA, HOLDS_IDENTITY, Judge, Whose};
use super::observe::{self, Unserved};
use super::revision::{complete, item, record_of};
use super::turns::Groups;
use super::wait::Monitor;
use super::{
    Context, Operation, Outcome, Past, Prepared, Writer, apply, hooks, namespace, outcome,
};
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::{Error, Result};
use crate::identity;
use crate::manifest::claims::Set;
use crate::manifest::{self, HookEvent, Object, ObjectKey, TemplateLine};
use crate::plan::ownership::Owner;
use crate::plan::users::Workloads;
use crate::plan::{self, Action, Inputs, Look, Plan, Step};
use crate::release::{Entry, InventoryItem, Status};
use crate::storage;
use futures::future::try_join_all;
use std::collections::BTreeSet;

/// Runs hooks, deletes the objects, and runs hooks. Then deletes the records, or marks the release
/// as uninstalled.
pub async fn run(
    writer: &Writer<'_>,
    mut prepared: Prepared,
    keep_history: bool,
) -> Result<Outcome> {
    let Writer {
        context, options, ..
    } = writer;
    let (cluster, namespace, release) = (
        context.cluster,
        context.namespace.as_str(),
        context.release.as_str(),
    );
    // Without a record there is no status to set. Only parts of a record are left.
    let newest = prepared.past.newest().unwrap_or(0);
    let past = &prepared.past;
    let set_status = |revision, status, description| async move {
        storage::set_status(
            cluster,
            past.restated(context, revision),
            status,
            description,
        )
        .await
        .map_err(Error::from)
    };
    if !past.is_purged {
        let begun = set_status(
            newest,
            Status::Uninstalling,
            Some("Deletion in progress (or silently failed)"),
        )
        .await;
        begun.map_err(|error| error.now("nothing was changed"))?;
    }
    let mut monitor = Monitor::new(cluster, context.progress, context.interrupted.clone());
    let mut created = Created::new();
    let removed = async {
        kept::note_kept(writer, &prepared).await?;
        hooks::run(
            writer,
            &prepared.plan,
            HookEvent::PreDelete,
            &mut monitor,
            &mut created,
        )
        .await?;
        apply::prune(
            writer,
            &prepared.plan,
            Groups::of(&prepared.plan, options),
            &mut monitor,
        )
        .await?;
        hooks::run(
            writer,
            &prepared.plan,
            HookEvent::PostDelete,
            &mut monitor,
            &mut created,
        )
        .await?;
        prune_hooks(writer, &prepared, &created, &mut monitor).await
    }
    .await;
    if let Err(error) = removed.map_err(|error| error.masked(|text| prepared.masker.text(text))) {
        // A run that lost its lock reports only that.
        writer.lock.check()?;
        let description = format!("Uninstall failed: {}", error.what());
        // If this write fails too, the next run finds the status uninstalling and continues.
        let _ = set_status(newest, Status::Failed, Some(&description)).await;
        return Err(error
            .now(format!(
                "release \"{release}\" is partly deleted; its records are kept"
            ))
            .hint(format!("run `{}` again", context.command("uninstall"))));
    }
    let mut record = record_of(
        context,
        &prepared,
        newest,
        &complete(Operation::Uninstall, None),
    );
    record.summary.status = Status::Uninstalled;
    if keep_history {
        let deployed = prepared
            .past
            .entries
            .iter()
            .filter_map(Entry::summary)
            .filter(|summary| summary.status == Status::Deployed);
        for summary in deployed.filter(|summary| summary.revision != newest) {
            set_status(summary.revision, Status::Superseded, None).await?;
        }
        let description = options
            .description
            .clone()
            .unwrap_or_else(|| record.summary.description.clone());
        set_status(newest, Status::Uninstalled, Some(&description)).await?;
    } else {
        // The objects are gone, so the records are no longer needed. If this run ends before it has
        // deleted all of them, the next one continues, even an install.
        storage::begin_purge(
            cluster,
            past.restated(context, newest),
            &record.summary.description,
        )
        .await?;
        storage::purge(cluster, namespace, release)
            .await
            .map_err(|error| {
                Error::from(error)
                    .context(format!("cannot delete all records of \"{release}\""))
                    .now(format!(
                        "its objects are deleted; release \"{release}\" is recorded as uninstalled"
                    ))
                    .hint(format!("run `{}` again", context.command("uninstall")))
            })?;
    }
    let leaving = match prepared.namespace.removal.take() {
        Some(removal) => namespace::remove_namespace(writer, &prepared.plan, removal)
            .await
            .map_err(|error| {
                error.now(format!(
                    "release \"{release}\" is uninstalled; its namespace stays"
                ))
            })?,
        None => None,
    };
    Ok(Outcome {
        leaving,
        ..outcome(prepared, record, false)
    })
}

/// Deletes the hooks that this uninstall ran, by the same rules. They were created after the plan.
async fn prune_hooks(
    writer: &Writer<'_>,
    prepared: &Prepared,
    created: &Created<'_>,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let left = created
        .iter()
        .filter_map(|(key, uid)| Some((*key, uid.clone()?)));
    let api_version = |key: &ObjectKey| {
        prepared
            .plan
            .hooks
            .iter()
            .find(|hook| hook.step.key == *key)
            .map(|hook| &hook.step.api_version)
    };
    let inventory: Vec<InventoryItem> = left
        .filter_map(|(key, uid)| Some(item(key, api_version(key)?, Some(uid))))
        .collect();
    if inventory.is_empty() {
        return Ok(());
    }
    let (live, _) = observe::observe(
        writer.context,
        &[],
        &inventory,
        Look::default(),
        Unserved::Missing,
    )
    .await?;
    let (wanted, hooks, events, owner) = (Vec::new(), Vec::new(), &[][..], &prepared.owner);
    let plan = plan::make(Inputs {
        wanted,
        live,
        inventory: &inventory,
        hooks,
        events,
        confined: &[],
        owner,
        take_ownership: false,
    })?;
    apply::prune(writer, &plan, Groups::of(&plan, writer.options), monitor).await
}

/// Plans the release's data, which is in no manifest: volumes of its StatefulSets, and identities.
///
/// By default they stay, with a message. With `--delete-data` they are deleted, together with other
/// objects that are kept only because they hold data. Data that others use stays.
pub async fn plan_data(
    context: &Context<'_>,
    past: &Past,
    owner: &Owner,
    delete: bool,
    plan: &mut Plan,
) -> Result<()> {
    for step in plan
        .steps
        .iter_mut()
        .filter(|step| delete && step.action == Action::Keep)
    {
        // Objects that are kept for another reason, such as their policy, stay.
        let data = matches!(
            step.key.kind.as_str(),
            "PersistentVolumeClaim" | "PersistentVolume"
        ) && step.why == HOLDS_DATA;
        if data && step.live.as_ref().is_some_and(|live| owner.owns(live)) {
            step.action = Action::Prune;
        }
    }
    let (claims, identities) = kept::data(context.cluster, owner).await?;
    let judge = Judge { past, owner, plan };
    let claims = claims
        .into_iter()
        .filter_map(|body| match judge.whose(&body) {
            Whose::Ours if manifest::is_kept(&body) => Some((body, plan::SAYS_KEEP, false)),
            Whose::Ours => Some((body, HOLDS_DATA, delete)),
            Whose::Unknown(why) => Some((body, why, false)),
            Whose::Others => None,
        });
    let identities = identities
        .into_iter()
        .map(|body| (body, HOLDS_IDENTITY, delete));
    let mut steps = Vec::new();
    for (body, why, delete) in claims.chain(identities) {
        let Some(object) = Object::from_body(body, TemplateLine::default()) else {
            continue;
        };
        if plan.steps.iter().any(|step| step.key == object.key) {
            continue;
        }
        steps.push(Step {
            key: object.key,
            api_version: "v1".to_owned(),
            action: if delete { Action::Prune } else { Action::Keep },
            wanted: None,
            live: Some(object.body),
            after: None,
            why: why.to_owned(),
            volumes: None,
            theirs: Vec::new(),
        });
    }
    plan.steps.extend(steps);
    if delete {
        spare(context, past, owner, plan).await
    } else {
        Ok(())
    }
}

/// Keeps data that objects of another owner use, regardless of records and marks.
async fn spare(context: &Context<'_>, past: &Past, owner: &Owner, plan: &mut Plan) -> Result<()> {
    if !plan.with(Action::Prune).any(holds_data) {
        return Ok(());
    }
    let workloads = workloads(context).await?;
    let sets: Vec<Set> = Judge { past, owner, plan }
        .sets()
        .into_iter()
        .cloned()
        .collect();
    let sets: Vec<&Set> = sets.iter().collect();
    for step in plan
        .steps
        .iter_mut()
        .filter(|step| step.action == Action::Prune && holds_data(step))
    {
        if let Some(user) = workloads.of_others(owner, &sets, &step.key) {
            step.action = Action::Keep;
            step.why = user;
        }
    }
    let claims: BTreeSet<ObjectKey> = plan
        .with(Action::Prune)
        .filter(|step| step.key.kind == "PersistentVolumeClaim")
        .map(|step| step.key.clone())
        .collect();
    for step in plan
        .steps
        .iter_mut()
        .filter(|step| step.action == Action::Prune && step.key.kind == "PersistentVolume")
    {
        let Some(volume) = context.cluster.get("v1", &step.key).await? else {
            continue;
        };
        let text = |field: &str| {
            volume["spec"]["claimRef"][field]
                .as_str()
                .unwrap_or_default()
        };
        let claim = ObjectKey::core("PersistentVolumeClaim", text("namespace"), text("name"));
        if volume["status"]["phase"] == "Bound" && !claims.contains(&claim) {
            step.action = Action::Keep;
            step.why = format!("{claim} is bound to it and stays");
        }
    }
    Ok(())
}

fn holds_data(step: &Step) -> bool {
    let is_identity = || {
        step.live
            .as_ref()
            .is_some_and(|live| !live["metadata"]["labels"][identity::LABEL].is_null())
    };
    step.key.group.is_empty()
        && match step.key.kind.as_str() {
            "PersistentVolumeClaim" | "PersistentVolume" => true,
            kind => kind == "Secret" && is_identity(),
        }
}

/// Kinds whose pods may use data. For kinds that the user may not list, the pods show it.
const WORKLOADS: [(&str, &str); 6] = [
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("v1", "ReplicationController"),
];

async fn workloads(context: &Context<'_>) -> Result<Workloads> {
    let list = |(api_version, kind): (&str, &str)| {
        let kind = Kind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        async move {
            context
                .cluster
                .list(&kind, Some(&context.namespace), "")
                .await
        }
    };
    let others = WORKLOADS.map(|of| async move {
        match list(of).await {
            Err(error)
                if matches!(
                    error.kind,
                    ApiErrorKind::Forbidden | ApiErrorKind::UnknownKind
                ) =>
            {
                Ok(Vec::new())
            }
            listed => listed,
        }
    });
    let (sets, pods, others) = futures::try_join!(
        list(("apps/v1", "StatefulSet")),
        list(("v1", "Pod")),
        try_join_all(others)
    )?;
    Ok(Workloads(
        sets.into_iter()
            .chain(pods)
            .chain(others.into_iter().flatten())
            .collect(),
    ))
}
