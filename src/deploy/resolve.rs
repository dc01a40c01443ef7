//! What an operation wants: its chart, values and rendered manifest, or a recorded manifest. Reads from the cluster, writes nothing.

use super::{ChartChoice, Context, Intent, Reuse, Wanted};
use crate::chart::{Chart, Origin as ChartOrigin, repository};
use crate::cluster::Kind;
use crate::compose::{self, Composition, Given};
use crate::error::{Error, Place, Result};
use crate::fabric::guard::{self, Facts};
use crate::identity::Organization;
use crate::manifest::{Hook, Object, Sealed, Source, kinds, pod_security};
use crate::plan::ownership::Owner;
use crate::release::{ChartReference, Entry, Record, Status, Summary, rollback_target};
use crate::render::{self, Capabilities};
use crate::storage;
use crate::values::{self, Origin, Values};
use semver::Version;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Which of the verbs is running; decides hooks, statuses and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Install,
    Upgrade,
    Rollback,
    Uninstall,
}

impl Operation {
    pub fn word(self) -> &'static str {
        match self {
            Operation::Install => "install",
            Operation::Upgrade => "upgrade",
            Operation::Rollback => "rollback",
            Operation::Uninstall => "uninstall",
        }
    }

    pub fn pending(self) -> Status {
        match self {
            Operation::Install => Status::PendingInstall,
            Operation::Upgrade => Status::PendingUpgrade,
            Operation::Rollback => Status::PendingRollback,
            Operation::Uninstall => Status::Uninstalling,
        }
    }
}

/// A release's past, as far as an operation needs it.
#[derive(Default)]
pub struct Past {
    pub entries: Vec<Entry>,
    /// Without its objects. What the operation starts from: the last deployed revision, or the newest when none is deployed.
    pub baseline: Option<Record>,
    /// Without its objects. The newest attempt after the baseline. Its inventory holds what the attempts before it left, too.
    pub attempt: Option<Record>,
    /// What the manifests of these records ran, by revision. They themselves are not kept: they are as large as the one that an operation
    /// is about to make.
    pub nodes: BTreeMap<u32, Vec<guard::Node>>,
    /// Names of the volume claims that their StatefulSets make begin so: `<template>-<set>-`.
    pub claim_prefixes: Vec<String>,
    pub warnings: Vec<String>,
    /// Why there is no baseline although there is a revision for it.
    pub unreadable: Option<Error>,
}

impl Past {
    /// What is known of the past without reading a record.
    pub fn of(entries: Vec<Entry>) -> Past {
        Past { entries, ..Past::default() }
    }

    /// The records whose objects may still be there.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.baseline.iter().chain(&self.attempt)
    }

    pub fn newest(&self) -> Option<u32> {
        self.entries.last().map(Entry::revision)
    }

    pub fn newest_status(&self) -> Option<Status> {
        self.entries.last()?.summary().map(|summary| summary.status)
    }

    pub fn deployed(&self) -> Option<&Summary> {
        self.entries.iter().rev().filter_map(Entry::summary).find(|summary| summary.status == Status::Deployed)
    }

    /// What changes when another run wrote a record meanwhile.
    pub fn fingerprint(&self) -> Vec<(u32, Option<Status>)> {
        self.entries.iter().map(|entry| (entry.revision(), entry.summary().map(|summary| summary.status))).collect()
    }

    /// The error for what needs the record that cannot be read, with the way back to one that can.
    fn cannot_go_on(&self, context: &Context<'_>) -> Error {
        let error =
            self.unreadable.clone().unwrap_or_else(|| Error::user(format!("no record of \"{}\" can be read", context.release)));
        let error = error.hint(format!("see `{}`", context.command("history")));
        match rollback_target(&self.entries) {
            Some(revision) => error.hint(format!("`{} {revision}` goes back to an earlier one", context.command("rollback"))),
            None => error,
        }
    }

    /// Reads the records that matter: two at most.
    pub async fn read(context: &Context<'_>) -> Result<Past> {
        let (cluster, namespace, release) = (context.cluster, context.namespace.as_str(), context.release.as_str());
        let mut past = Past::of(storage::history(cluster, namespace, release).await?);
        let newest = past.newest();
        let baseline = past.deployed().map(|summary| summary.revision).or(newest);
        for revision in [baseline, newest.filter(|_| newest != baseline)].into_iter().flatten() {
            let (mut version, mut nodes, mut claims) = (None, Vec::new(), Vec::new());
            let take = |record: &Record, object: Object| {
                let version = version.get_or_insert_with(|| Facts::read(&record.guard).version());
                nodes.extend(guard::nodes([&object], version.as_ref()));
                claims.extend(claim_prefixes(&object));
            };
            match storage::read_past(cluster, namespace, release, revision, take).await {
                Ok(record) => {
                    past.nodes.insert(revision, nodes);
                    past.claim_prefixes.extend(claims);
                    let place = if Some(revision) == baseline { &mut past.baseline } else { &mut past.attempt };
                    *place = Some(record);
                }
                Err(error) if error.kind() == crate::error::Kind::User => {
                    past.warnings.push(format!("{error}; what only this revision wrote is not cleaned up"));
                    if Some(revision) == baseline {
                        past.unreadable = Some(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(past)
    }
}

fn claim_prefixes(object: &Object) -> Vec<String> {
    let templates = object.body["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let names = templates.filter_map(|template| template["metadata"]["name"].as_str());
    match object.key.kind.as_str() {
        "StatefulSet" => names.map(|name| format!("{name}-{}-", object.key.name)).collect(),
        _ => Vec::new(),
    }
}

/// What is wanted, before it is compared with what is there.
pub struct Target {
    pub operation: Operation,
    pub chart: ChartReference,
    /// A chart from outside, to be kept beside the records.
    pub keep_chart: Option<Chart>,
    pub app_version: String,
    pub user_values: Value,
    pub computed_values: Value,
    pub secret_paths: Vec<String>,
    pub manifest: Manifest,
    pub notes: String,
    pub guard: Value,
    pub organization: Option<Organization>,
    pub rollback_to: Option<u32>,
    pub warnings: Vec<String>,
    /// Names of values that differ from those of the revision before.
    pub changed_values: Vec<String>,
}

/// Objects and hooks as they are applied and recorded.
#[derive(Default)]
pub struct Manifest {
    pub objects: Vec<Arc<Sealed>>,
    pub hooks: Vec<Hook>,
    /// What the objects run.
    pub nodes: Vec<guard::Node>,
    /// What the pods of objects and hooks need.
    pub pod_needs: Vec<pod_security::Need>,
}

/// What objects are made fit for.
struct Terms {
    owner: Owner,
    /// The Fabric version that the values name.
    version: Option<Version>,
}

impl Terms {
    fn new(context: &Context<'_>, guard: &Value) -> Terms {
        let owner = Owner { release: context.release.as_str().to_owned(), namespace: context.namespace.clone() };
        Terms { owner, version: Facts::read(guard).version() }
    }

    /// An object's text as it is applied, and what only its tree tells; the object as it is where the server is to be asked about its kind.
    fn settle(&self, mut object: Object) -> Result<Settled, Box<Object>> {
        match kinds::lookup(object.api_version(), &object.key.kind) {
            Some(kind) => {
                self.fit(&mut object, kind.namespaced);
                Ok(self.seal(object))
            }
            None => Err(Box::new(object)),
        }
    }

    fn seal(&self, object: Object) -> Settled {
        let nodes = guard::nodes([&object], self.version.as_ref());
        Settled { nodes, pod_needs: self.pod_needs(&object), object: Arc::new(object.into()) }
    }

    fn pod_needs(&self, object: &Object) -> Vec<pod_security::Need> {
        match object.key.namespace.as_ref() == Some(&self.owner.namespace) {
            true => pod_security::needs([object]),
            false => Vec::new(),
        }
    }

    /// Makes an object fit to apply, and asks the server about its kind if that is not known.
    async fn prepare(&self, context: &Context<'_>, object: &mut Object) -> Result<()> {
        let kind = Kind { api_version: object.api_version().to_owned(), kind: object.key.kind.clone() };
        let namespaced = context.cluster.is_namespaced(&kind).await.map_err(|error| {
            let Source { template, line } = object.source.clone();
            let place = Place { subject: template, line: Some(line), ..Place::default() };
            Error::from(error).at(place.note(object.key.to_string()))
        })?;
        self.fit(object, namespaced);
        Ok(())
    }

    /// In its namespace, marked as the release's, without nulls, a Secret in its stored form.
    fn fit(&self, object: &mut Object, namespaced: bool) {
        match (namespaced, &object.key.namespace) {
            (true, None) => {
                object.body["metadata"]["namespace"] = json!(self.owner.namespace);
                object.key.namespace = Some(self.owner.namespace.clone());
            }
            (false, Some(_)) => {
                if let Some(metadata) = object.body["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
                object.key.namespace = None;
            }
            _ => {}
        }
        self.owner.mark(&mut object.body);
        drop_nulls(&mut object.body);
        encode_string_data(&mut object.body);
    }
}

/// An object that is fit to apply.
struct Settled {
    object: Arc<Sealed>,
    nodes: Vec<guard::Node>,
    pod_needs: Vec<pod_security::Need>,
}

impl Manifest {
    async fn of(
        context: &Context<'_>,
        terms: &Terms,
        objects: impl IntoIterator<Item = Result<Settled, Box<Object>>>,
        mut hooks: Vec<Hook>,
    ) -> Result<Manifest> {
        let mut manifest = Manifest::default();
        for object in objects {
            let settled = match object {
                Ok(settled) => settled,
                Err(mut object) => {
                    terms.prepare(context, &mut object).await?;
                    terms.seal(*object)
                }
            };
            manifest.nodes.extend(settled.nodes);
            manifest.pod_needs.extend(settled.pod_needs);
            manifest.objects.push(settled.object);
        }
        for hook in &mut hooks {
            terms.prepare(context, &mut hook.object).await?;
            manifest.pod_needs.extend(terms.pod_needs(&hook.object));
        }
        Ok(Manifest { hooks, ..manifest })
    }
}

impl Target {
    /// For an uninstall of what has no objects: only records, parts of them or a lock are left to be deleted.
    fn of_nothing(past: &Past) -> Target {
        let newest = past.entries.last().and_then(Entry::summary);
        let text = |of: fn(&Summary) -> &String| newest.map(of).cloned().unwrap_or_default();
        let (name, version) = (text(|summary| &summary.chart), text(|summary| &summary.chart_version));
        Target {
            operation: Operation::Uninstall,
            chart: ChartReference { name, version, digest: String::new(), embedded: false },
            keep_chart: None,
            app_version: text(|summary| &summary.app_version),
            user_values: Value::Null,
            computed_values: Value::Null,
            secret_paths: Vec::new(),
            manifest: Manifest::default(),
            notes: String::new(),
            guard: Value::Null,
            organization: None,
            rollback_to: None,
            warnings: Vec::new(),
            changed_values: Vec::new(),
        }
    }
}

/// Works out what the intent wants, given the release's past.
pub async fn resolve(context: &Context<'_>, intent: &Intent, past: &Past) -> Result<Target> {
    let release = context.release.as_str();
    match intent {
        Intent::Install(wanted) => {
            if let Some(deployed) = past.deployed() {
                return Err(Error::user(format!("release \"{release}\" exists already"))
                    .why(format!("revision {} of {} {} is deployed", deployed.revision, deployed.chart, deployed.chart_version))
                    .now("nothing was changed")
                    .hint(format!("change it with `{}`", context.command("upgrade"))));
            }
            if past.newest().is_some() && past.newest_status().is_none() {
                return Err(past.cannot_go_on(context).why("whether the release is there is known from its records only"));
            }
            render_target(context, Operation::Install, wanted, past).await
        }
        Intent::Upgrade { wanted, install } => {
            let gone =
                past.deployed().is_none() && matches!(past.newest_status(), Some(Status::Uninstalled | Status::Uninstalling));
            match (past.newest(), install) {
                (None, false) => Err(storage::unknown_release(context.cluster, &context.namespace, release)
                    .await
                    .hint(format!("`{}` makes it; `upgrade --install` does either", context.command("install")))),
                (Some(_), false) if gone => Err(Error::user(format!("release \"{release}\" is uninstalled"))
                    .hint(format!("`{}` makes it anew", context.command("install")))),
                (None, true) => render_target(context, Operation::Install, wanted, past).await,
                (Some(_), true) if gone => render_target(context, Operation::Install, wanted, past).await,
                _ => render_target(context, Operation::Upgrade, wanted, past).await,
            }
        }
        Intent::Rollback { revision } => recorded_target(context, *revision, past).await,
        Intent::Uninstall { .. } => {
            let Some(newest) = past.baseline.as_ref() else {
                return Err(match past.newest() {
                    Some(_) if past.newest_status() == Some(Status::Uninstalled) => return Ok(Target::of_nothing(past)),
                    None if super::is_known(context.cluster, &context.namespace, release).await? => {
                        return Ok(Target::of_nothing(past));
                    }
                    None => storage::unknown_release(context.cluster, &context.namespace, release).await,
                    Some(_) => past.cannot_go_on(context).why("what the release consists of is known from its records only"),
                });
            };
            Ok(Target {
                operation: Operation::Uninstall,
                chart: newest.chart.clone(),
                keep_chart: None,
                app_version: newest.summary.app_version.clone(),
                user_values: newest.user_values.clone(),
                computed_values: newest.computed_values.clone(),
                secret_paths: newest.secret_paths.clone(),
                manifest: Manifest::of(context, &Terms::new(context, &newest.guard), [], newest.hooks.clone()).await?,
                notes: String::new(),
                guard: newest.guard.clone(),
                organization: None,
                rollback_to: None,
                warnings: past.warnings.clone(),
                changed_values: Vec::new(),
            })
        }
    }
}

/// A recorded manifest, to be applied again: it is not rendered anew.
async fn recorded_target(context: &Context<'_>, revision: Option<u32>, past: &Past) -> Result<Target> {
    let (release, namespace) = (context.release.as_str(), context.namespace.as_str());
    let Some(newest) = past.newest() else { return Err(storage::unknown_release(context.cluster, namespace, release).await) };
    let revision = match revision.filter(|revision| *revision != 0) {
        Some(revision) => revision,
        None => rollback_target(&past.entries).ok_or_else(|| {
            Error::user(format!("release \"{release}\" has no revision to go back to"))
                .why(format!("no revision before {newest} was ever deployed"))
                .hint(format!(
                    "`{}` shows what there is; `{}` repairs a failed install",
                    context.command("history"),
                    context.command("upgrade")
                ))
        })?,
    };
    if !past.entries.iter().any(|entry| entry.revision() == revision) {
        // The error lists what there is.
        storage::read(context.cluster, namespace, release, Some(revision)).await?;
    }
    let record = storage::read_with_secrets(context.cluster, namespace, release, revision).await?;
    let terms = Terms::new(context, &record.guard);
    let objects = record.objects.iter().map(|object| terms.settle(object.open()));
    Ok(Target {
        operation: Operation::Rollback,
        chart: record.chart,
        keep_chart: None,
        app_version: record.summary.app_version,
        user_values: record.user_values,
        changed_values: changes(past, &record.computed_values),
        computed_values: record.computed_values,
        secret_paths: record.secret_paths,
        manifest: Manifest::of(context, &terms, objects, record.hooks).await?,
        notes: record.notes,
        guard: record.guard,
        organization: None,
        rollback_to: Some(revision),
        warnings: past.warnings.clone(),
    })
}

async fn find_chart(context: &Context<'_>, choice: &ChartChoice, past: &Past) -> Result<Chart> {
    let version = match choice {
        ChartChoice::Loaded(chart) => return Ok((**chart).clone()),
        ChartChoice::Named { name, version } => return repository::find(name, version.as_deref()),
        ChartChoice::ByRelease => None,
        ChartChoice::ByReleaseVersion(version) => Some(version.as_str()),
    };
    let Some(baseline) = &past.baseline else {
        return repository::find(repository::chart_for_release(context.release.as_str())?, version);
    };
    let chart = &baseline.chart;
    if chart.embedded {
        return repository::find(&chart.name, version);
    }
    if let Some(kept) = storage::kept_chart(context.cluster, &context.namespace, context.release.as_str(), &chart.digest).await? {
        return Ok(kept);
    }
    Err(Error::user(format!(
        "chart {} {} of release \"{}\" came from outside and is no longer kept",
        chart.name, chart.version, context.release
    ))
    .hint("name its folder or archive with --chart"))
}

async fn render_target(context: &Context<'_>, operation: Operation, wanted: &Wanted, past: &Past) -> Result<Target> {
    let baseline = past.baseline.as_ref().filter(|_| operation == Operation::Upgrade);
    if operation == Operation::Upgrade && wanted.reuse != Reuse::Reset {
        let anew = "or give all values anew, with the chart and --reset-values";
        match baseline {
            None if past.unreadable.is_some() => return Err(past.cannot_go_on(context).hint(anew)),
            Some(record) if record.lacks_user_values() => return Err(storage::without_secrets(record).hint(anew)),
            _ => {}
        }
    }
    let chart = find_chart(context, &wanted.chart, past).await?;
    let mut warnings = past.warnings.clone();
    if chart.metadata.deprecated {
        warnings.push(format!("chart {} {} is deprecated", chart.metadata.name, chart.metadata.version));
    }
    let (user_values, defaults) = layers(wanted, baseline);
    let composition = compose::compose(Given {
        chart: &chart,
        release: context.release.as_str(),
        namespace: &context.namespace,
        user_values,
        defaults,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: wanted.skip_schema_validation,
    })?;
    warnings.extend(composition.values.warnings.iter().cloned());
    let revision = past.newest().unwrap_or(0) + 1;
    let guard = composition.guard.to_value();
    let terms = Terms::new(context, &guard);
    let rendered = render_chart(context, &chart, &composition, operation, revision, &terms).await?;
    let app_version = composition.app_version();
    let Composition { values, organization, .. } = composition;
    Ok(Target {
        operation,
        chart: ChartReference {
            name: chart.metadata.name.clone(),
            version: chart.metadata.version.to_string(),
            digest: chart.digest.clone(),
            embedded: chart.origin == ChartOrigin::Embedded,
        },
        app_version,
        changed_values: changes(past, &values.all.tree),
        organization,
        user_values: values.user.tree,
        computed_values: values.all.tree,
        secret_paths: values.secret_paths,
        manifest: Manifest::of(context, &terms, rendered.objects, rendered.hooks).await?,
        notes: rendered.notes,
        guard,
        rollback_to: None,
        warnings,
        keep_chart: (chart.origin != ChartOrigin::Embedded).then_some(chart),
    })
}

/// The user's values over those of the revision before, and what stands in the place of the chart's defaults.
fn layers(wanted: &Wanted, baseline: Option<&Record>) -> (Values, Option<Values>) {
    let Some(baseline) = baseline else { return (wanted.values.clone(), None) };
    let origin = Origin::Stored { revision: baseline.summary.revision };
    let user = match wanted.reuse {
        Reuse::Reset => wanted.values.clone(),
        _ => values::merge(values::with_origin(baseline.user_values.clone(), origin.clone()), wanted.values.clone()),
    };
    let defaults = (wanted.reuse == Reuse::Reuse).then(|| values::with_origin(baseline.computed_values.clone(), origin));
    (user, defaults)
}

/// Names of the values that differ between the revision before and now.
fn changes(past: &Past, now: &Value) -> Vec<String> {
    fn compare(before: &Value, now: &Value, path: &str, into: &mut Vec<String>) {
        match (before, now) {
            (Value::Object(before), Value::Object(now)) => {
                let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
                for name in names {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    compare(before.get(name).unwrap_or(&Value::Null), now.get(name).unwrap_or(&Value::Null), &path, into);
                }
            }
            (before, now) if before == now => {}
            _ => into.push(path.to_owned()),
        }
    }
    let mut changed = Vec::new();
    if let Some(baseline) = &past.baseline {
        compare(&baseline.computed_values, now, "", &mut changed);
    }
    changed
}

/// apiVersion, kind, namespace and name of a lookup.
type Question = (String, String, String, String);
type Answers = BTreeMap<Question, Value>;

/// Renders, and again with the answers when templates looked something up: rendering itself does no I/O.
async fn render_chart(
    context: &Context<'_>,
    chart: &Chart,
    composition: &Composition<'_>,
    operation: Operation,
    revision: u32,
    terms: &Terms,
) -> Result<render::Output<Result<Settled, Box<Object>>>> {
    let asks_for_kinds = chart.files.iter().any(|(path, bytes)| {
        path.starts_with("templates/") && bytes.windows(b"capabilities".len()).any(|window| window == b"capabilities")
    });
    let kube_version = context.cluster.version().await?;
    let api_versions = if asks_for_kinds { context.cluster.api_versions().await? } else { Vec::new() };
    let answers: Arc<Mutex<Answers>> = Arc::default();
    // Each round can bring up questions that depend on the answers of the one before; more than a few rounds is a chart gone wrong.
    for _ in 0..10 {
        let asked: Arc<Mutex<BTreeSet<Question>>> = Arc::default();
        let lookup = {
            let (answers, asked) = (answers.clone(), asked.clone());
            move |api_version: &str, kind: &str, namespace: &str, name: &str| {
                let question = (api_version.to_owned(), kind.to_owned(), namespace.to_owned(), name.to_owned());
                let answer = answers.lock().expect("nothing panics while it holds the answers").get(&question).cloned();
                if answer.is_none() {
                    asked.lock().expect("nothing panics while it holds the questions").insert(question);
                }
                Ok(answer.unwrap_or_else(|| json!({})))
            }
        };
        let capabilities = Capabilities { kube_version: kube_version.clone(), api_versions: api_versions.clone() };
        let is_upgrade = operation == Operation::Upgrade;
        let input = composition.input(revision, is_upgrade, capabilities, Some(Arc::new(lookup)));
        let output = render::render_into(&input, |object| terms.settle(object));
        let asked = std::mem::take(&mut *asked.lock().expect("nothing panics while it holds the questions"));
        if asked.is_empty() {
            return output;
        }
        for question in asked {
            let answer = look_up(context, &question).await?;
            answers.lock().expect("nothing panics while it holds the answers").insert(question, answer);
        }
    }
    Err(Error::user(format!("chart {} never stops looking things up", chart.name_version())))
}

async fn look_up(context: &Context<'_>, (api_version, kind, namespace, name): &Question) -> Result<Value> {
    let of = Kind { api_version: api_version.clone(), kind: kind.clone() };
    let namespace = (!namespace.is_empty()).then_some(namespace.as_str());
    if name.is_empty() {
        let items = context.cluster.list(&of, namespace, "").await?;
        return Ok(json!({"apiVersion": api_version, "kind": format!("{kind}List"), "items": items}));
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let key =
        crate::manifest::ObjectKey { group, kind: kind.clone(), namespace: namespace.map(str::to_owned), name: name.clone() };
    Ok(context.cluster.get(api_version, &key).await?.unwrap_or_else(|| json!({})))
}

/// A null field in a manifest means "none": sent as it is, it would be owned as a null.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The server stores `stringData` as `data`: sent as `data`, it can be compared and its fields stay ours.
fn encode_string_data(body: &mut Value) {
    use base64::Engine;
    if body["kind"] != "Secret" || body["apiVersion"] != "v1" {
        return;
    }
    let Some(Value::Object(texts)) = body.as_object_mut().and_then(|body| body.remove("stringData")) else { return };
    let mut data = body["data"].as_object().cloned().unwrap_or_else(Map::new);
    for (name, text) in texts {
        let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        data.insert(name, json!(base64::prelude::BASE64_STANDARD.encode(text)));
    }
    body["data"] = Value::Object(data);
}
