//! Uninstalls a release: deletes all objects that any attempt wrote. Data and identities stay
//! unless the user asks to delete them.

use super::hooks::Created;
use super::kept::{self, HOLDS_DATA, HOLDS_IDENTITY, Judge, Whose};
use super::observe::{self, Unserved};
use super::revision::{complete, item, preparing, record_of};
use super::turns::Groups;
use super::wait::Monitor;
use super::{Context, Operation, Outcome, Past, Prepared, Writer, apply, hooks, namespace};
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::{Error, Place, Result};
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
    let context = writer.context;
    let records = Records::of(context, &prepared.past);
    records.begin().await?;
    let removed = remove(writer, &prepared).await;
    if let Err(error) = removed.map_err(|error| error.masked(|text| prepared.masker.text(text))) {
        // A run that lost its lock reports only that.
        writer.lock.check()?;
        return Err(records.fail(error).await);
    }
    let usual = complete(Operation::Uninstall, None);
    let mut record = record_of(context, &prepared, records.newest, &usual);
    record.summary.status = Status::Uninstalled;
    if keep_history {
        let description = writer.options.description.as_ref();
        records.keep(description.unwrap_or(&usual)).await?;
    } else {
        records.purge(&usual).await?;
    }
    let leaving = match prepared.namespace.removal.take() {
        Some(removal) => namespace::remove_namespace(writer, &prepared.plan, removal)
            .await
            .map_err(|error| {
                error.now(format!(
                    "release \"{}\" is uninstalled; its namespace stays",
                    context.release
                ))
            })?,
        None => None,
    };
    Ok(Outcome {
        leaving,
        ..Outcome::of(prepared, record, false)
    })
}

/// Deletes the objects, with the hooks before and after.
async fn remove(writer: &Writer<'_>, prepared: &Prepared) -> Result<()> {
    let Writer {
        context, options, ..
    } = writer;
    let plan = &prepared.plan;
    let mut monitor = Monitor::new(
        context.cluster,
        context.progress,
        context.interrupted.clone(),
    );
    let mut created = Created::new();
    let (before, after) = (HookEvent::PreDelete, HookEvent::PostDelete);
    kept::note_kept(writer, prepared).await?;
    hooks::run(writer, plan, before, &mut monitor, &mut created).await?;
    apply::prune(writer, plan, Groups::of(plan, options), &mut monitor).await?;
    hooks::run(writer, plan, after, &mut monitor, &mut created).await?;
    prune_hooks(writer, prepared, &created, &mut monitor).await
}

/// The records of the release that is uninstalled.
struct Records<'a> {
    context: &'a Context<'a>,
    past: &'a Past,
    /// The newest revision. 0 if only parts of a record are left, which have no status.
    newest: u32,
}

impl<'a> Records<'a> {
    fn of(context: &'a Context<'a>, past: &'a Past) -> Records<'a> {
        Records {
            context,
            past,
            newest: past.newest().unwrap_or(0),
        }
    }

    async fn set_status(&self, revision: u32, status: Status, why: Option<&str>) -> Result<()> {
        let record = self.past.restated(self.context, revision);
        Ok(storage::set_status(self.context.cluster, record, status, why).await?)
    }

    async fn begin(&self) -> Result<()> {
        if self.past.is_purged {
            return Ok(());
        }
        let why = preparing(Operation::Uninstall);
        let begun = self.set_status(self.newest, Status::Uninstalling, Some(&why));
        begun
            .await
            .map_err(|error| error.now("nothing was changed"))
    }

    /// Records the failure. Returns the error with the state of the release and the way on.
    async fn fail(&self, error: Error) -> Error {
        let why = format!("Uninstall failed: {}", error.what());
        // If this write fails too, the next run finds the status uninstalling and continues.
        let _ = self
            .set_status(self.newest, Status::Failed, Some(&why))
            .await;
        error
            .now(format!(
                "release \"{}\" is partly deleted; its records are kept",
                self.context.release
            ))
            .hint(self.again())
    }

    /// `--keep-history`: marks the release as uninstalled.
    async fn keep(&self, description: &str) -> Result<()> {
        let summaries = self.past.entries.iter().filter_map(Entry::summary);
        let deployed = summaries.filter(|summary| summary.status == Status::Deployed);
        for summary in deployed.filter(|summary| summary.revision != self.newest) {
            self.set_status(summary.revision, Status::Superseded, None)
                .await?;
        }
        self.set_status(self.newest, Status::Uninstalled, Some(description))
            .await
    }

    /// Deletes the records. The objects are gone, so they are no longer needed.
    ///
    /// If this run ends before it has deleted all of them, the next one continues, even an install.
    async fn purge(&self, description: &str) -> Result<()> {
        let (cluster, release) = (self.context.cluster, self.context.release.as_str());
        let newest = self.past.restated(self.context, self.newest);
        storage::begin_purge(cluster, newest, description).await?;
        let purged = storage::purge(cluster, &self.context.namespace, release).await;
        purged.map_err(|error| {
            Error::from(error)
                .context(format!("cannot delete all records of \"{release}\""))
                .now(format!(
                    "its objects are deleted; release \"{release}\" is recorded as uninstalled"
                ))
                .hint(self.again())
        })
    }

    fn again(&self) -> String {
        format!("run `{}` again", self.context.command("uninstall"))
    }
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
    if delete {
        delete_volumes(owner, plan);
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

/// Deletes volumes of the manifest that are kept only because they hold data. Those that are kept
/// for another reason, such as their policy, stay.
fn delete_volumes(owner: &Owner, plan: &mut Plan) {
    let holds_data = |step: &Step| {
        matches!(
            step.key.kind.as_str(),
            "PersistentVolumeClaim" | "PersistentVolume"
        ) && step.why == HOLDS_DATA
    };
    for step in &mut plan.steps {
        let is_ours = step.live.as_ref().is_some_and(|live| owner.owns(live));
        if step.action == Action::Keep && holds_data(step) && is_ours {
            step.action = Action::Prune;
        }
    }
}

/// Keeps data that objects of another owner use, regardless of records and marks.
async fn spare(context: &Context<'_>, past: &Past, owner: &Owner, plan: &mut Plan) -> Result<()> {
    if !plan.with(Action::Prune).any(holds_data) {
        return Ok(());
    }
    let workloads = workloads(context).await?;
    refuse_unrecorded(context, owner, plan, &workloads)?;
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

/// Refuses to delete the data of workloads that no record lists. They would run on without it.
fn refuse_unrecorded(
    context: &Context<'_>,
    owner: &Owner,
    plan: &Plan,
    workloads: &Workloads,
) -> Result<()> {
    let sets = workloads
        .0
        .iter()
        .filter(|body| body["kind"] == "StatefulSet");
    let own = sets.filter(|body| owner.owns(body));
    let keys = own.filter_map(|body| Object::from_body(body.clone(), TemplateLine::default()));
    let keys = keys.map(|object| object.key);
    let unrecorded = keys.filter(|key| !plan.steps.iter().any(|step| step.key == *key));
    let places: Vec<Place> = unrecorded.map(|key| Place::new(key.to_string())).collect();
    if places.is_empty() {
        return Ok(());
    }
    let release = &context.release;
    Err(Error::refused(format!(
        "cannot delete the data of release \"{release}\": no record lists these objects, which use it"
    ))
    .at_all(places)
    .why("the records of the release were deleted")
    .hint(format!(
        "`{}` with the values of the release records its objects again; then uninstall it",
        context.command("install")
    )))
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
