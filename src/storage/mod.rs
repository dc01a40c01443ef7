//! Release records in the cluster: ConfigMaps with companion Secrets. Names, labels, splitting, reading; reaches the cluster through `cluster`.
//!
//! `kubectl-fabric.v1.<release>.v<revision>` in the release's namespace. A payload too large for one object goes on in
//! `….part2` and so on, which are written before the record that counts them. Every update carries the resourceVersion it was read at.

mod codec;

use crate::chart::{Chart, Files, Origin};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Cluster, Delete, Kind};
use crate::error::{Error, Result, nearest};
use crate::manifest::{DOMAIN, ObjectKey};
use crate::release::{Entry, Record, Status, Summary, command};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codec::{CHUNK, Secrets, State};
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What an object of ours is: `release`, `part`, `secrets`, `chart`. Objects with this label are no part of any manifest.
pub const RECORD_LABEL: &str = "kubectl-fabric.io/record";
const RELEASE_LABEL: &str = "kubectl-fabric.io/release";

/// The name of a revision's record, and of its companion Secret.
pub fn record_name(release: &str, revision: u32) -> String {
    format!("{DOMAIN_PREFIX}.{release}.v{revision}")
}

const DOMAIN_PREFIX: &str = "kubectl-fabric.v1";

fn part_name(name: &str, part: usize) -> String {
    if part == 1 { name.to_owned() } else { format!("{name}.part{part}") }
}

fn kind(kind: &str) -> Kind {
    Kind { api_version: "v1".into(), kind: kind.into() }
}

fn key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { group: String::new(), kind: kind.into(), namespace: Some(namespace.into()), name: name.into() }
}

/// Newest revision of every release, in one namespace or in all; metadata only.
pub async fn list(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Entry>> {
    Ok(list_in(cluster, namespace).await?)
}

async fn list_in(cluster: &Cluster, namespace: Option<&str>) -> ApiResult<Vec<Entry>> {
    let records = cluster.list_metadata(&kind("ConfigMap"), namespace, &format!("{RECORD_LABEL}=release")).await?;
    let mut newest: BTreeMap<(String, String), Entry> = BTreeMap::new();
    for entry in records.iter().map(read_entry) {
        let (release, namespace) = match &entry {
            Entry::Readable(summary) => (summary.release.clone(), summary.namespace.clone()),
            Entry::Unreadable { release, namespace, .. } => (release.clone(), namespace.clone()),
        };
        match newest.entry((namespace, release)) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(entry);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => {
                if place.get().revision() < entry.revision() {
                    place.insert(entry);
                }
            }
        }
    }
    Ok(newest.into_values().collect())
}

/// The releases of all namespaces, as far as they may be read.
pub struct Readable {
    pub entries: Vec<Entry>,
    /// How many namespaces were read one by one, 0 when all could be read at once; and how many refused.
    pub read: usize,
    pub denied: usize,
}

/// Newest revision of every release that the user may read: of all namespaces at once, or, where that is not allowed, of each by itself.
///
/// # Errors
///
/// When neither all ConfigMaps nor the names of the namespaces may be read, or no namespace may; it tells to name one.
pub async fn list_readable(cluster: &Cluster) -> Result<Readable> {
    let all = match list_in(cluster, None).await {
        Ok(entries) => return Ok(Readable { entries, read: 0, denied: 0 }),
        Err(error) => error,
    };
    if all.kind != ApiErrorKind::Forbidden {
        return Err(all.into());
    }
    let refused = || Error::from(all.clone()).hint("or name a namespace that you may read: `kubectl fabric list -n org1`");
    let namespaces = cluster.list_metadata(&kind("Namespace"), None, "").await.map_err(|_| refused())?;
    let names = namespaces.iter().filter_map(|body| body["metadata"]["name"].as_str());
    let answers = join_all(names.map(|name| list_in(cluster, Some(name)))).await;
    let mut found = Readable { entries: Vec::new(), read: 0, denied: 0 };
    for answer in answers {
        match answer {
            Ok(entries) => {
                found.entries.extend(entries);
                found.read += 1;
            }
            Err(error) if error.kind == ApiErrorKind::Forbidden => found.denied += 1,
            Err(error) => return Err(error.into()),
        }
    }
    if found.read == 0 { Err(refused()) } else { Ok(found) }
}

/// All revisions of one release, oldest first; metadata only. Empty when there is none.
pub async fn history(cluster: &Cluster, namespace: &str, release: &str) -> Result<Vec<Entry>> {
    let selector = format!("{RECORD_LABEL}=release,{RELEASE_LABEL}={release}");
    let records = cluster.list_metadata(&kind("ConfigMap"), Some(namespace), &selector).await?;
    let mut entries: Vec<Entry> = records.iter().map(read_entry).collect();
    entries.sort_by_key(Entry::revision);
    Ok(entries)
}

/// One revision, whole, with its secrets masked; the newest when none is named.
///
/// # Errors
///
/// An unknown release (with the nearest name), an unknown revision (with those there are), a record that cannot be read.
pub async fn read(cluster: &Cluster, namespace: &str, release: &str, revision: Option<u32>) -> Result<Record> {
    let revision = find(cluster, namespace, release, revision).await?;
    load(cluster, namespace, release, revision, false).await
}

/// Like [`read`], with the secrets in their places: to apply it again, or to take its values over.
pub async fn read_with_secrets(cluster: &Cluster, namespace: &str, release: &str, revision: u32) -> Result<Record> {
    load(cluster, namespace, release, revision, true).await
}

async fn find(cluster: &Cluster, namespace: &str, release: &str, revision: Option<u32>) -> Result<u32> {
    let history = history(cluster, namespace, release).await?;
    let Some(newest) = history.last().map(Entry::revision) else {
        return Err(unknown_release(cluster, namespace, release).await);
    };
    match revision {
        None => Ok(newest),
        Some(revision) if history.iter().any(|entry| entry.revision() == revision) => Ok(revision),
        Some(revision) => {
            let there: Vec<String> = history.iter().map(|entry| entry.revision().to_string()).collect();
            Err(Error::user(format!("release \"{release}\" has no revision {revision}"))
                .why(format!("its history holds: {}", there.join(", ")))
                .hint(format!("see `{}`", command("history", release, namespace))))
        }
    }
}

/// The error for a release that is not there: with the nearest name of those that are.
pub async fn unknown_release(cluster: &Cluster, namespace: &str, release: &str) -> Error {
    let error = Error::user(format!("release \"{release}\" not found in namespace \"{namespace}\""));
    // What else there is helps, but not being allowed to look is no reason for another error.
    let others = list(cluster, None).await.unwrap_or_default();
    let names: Vec<(String, String)> = others
        .iter()
        .map(|entry| match entry {
            Entry::Readable(summary) => (summary.release.clone(), summary.namespace.clone()),
            Entry::Unreadable { release, namespace, .. } => (release.clone(), namespace.clone()),
        })
        .collect();
    if let Some((_, elsewhere)) = names.iter().find(|(name, _)| name == release) {
        return error.hint(format!("it is in namespace \"{elsewhere}\": say `-n {elsewhere}`"));
    }
    match nearest(release, names.iter().map(|(name, _)| name.as_str())) {
        Some(name) => error.hint(format!("did you mean \"{name}\"?")),
        None => error.hint("`kubectl fabric list` shows the releases there are"),
    }
}

async fn load(cluster: &Cluster, namespace: &str, release: &str, revision: u32, with_secrets: bool) -> Result<Record> {
    let name = record_name(release, revision);
    let unreadable = |error: Error| {
        error
            .context(format!("revision {revision} of \"{release}\" cannot be read"))
            .now(format!("nothing was changed; the record is ConfigMap {namespace}/{name}"))
    };
    let body = cluster.get("v1", &key("ConfigMap", namespace, &name)).await?;
    let body = body.ok_or_else(|| {
        Error::user(format!("revision {revision} of \"{release}\" is gone")).why("its record was deleted meanwhile")
    })?;
    let summary = match read_entry(&body) {
        Entry::Readable(summary) => summary,
        Entry::Unreadable { reason, .. } => return Err(unreadable(Error::user(reason))),
    };
    let mut payload = binary(&body, "release").map_err(unreadable)?;
    let parts: usize = annotation(&body, "parts").and_then(|parts| parts.parse().ok()).unwrap_or(1);
    let rest = try_join_all((2..=parts).map(|part| part_bytes(cluster, "ConfigMap", namespace, part_name(&name, part))));
    payload.extend(rest.await.map_err(unreadable)?.concat());
    if annotation(&body, "digest").is_some_and(|digest| digest != codec::digest(&payload)) {
        return Err(unreadable(Error::user("the record is damaged").why("its digest does not fit its content")));
    }
    let state: State = codec::unpack(&binary(&body, "state").map_err(unreadable)?).map_err(unreadable)?;
    let secrets = match with_secrets {
        true => read_secrets(cluster, namespace, &name).await.map_err(unreadable)?,
        false => None,
    };
    codec::decode(summary, &payload, state, secrets.as_ref()).map_err(unreadable)
}

async fn part_bytes(cluster: &Cluster, of: &str, namespace: &str, name: String) -> Result<Vec<u8>> {
    let body = cluster.get("v1", &key(of, namespace, &name)).await?;
    let body = body.ok_or_else(|| Error::user("the record is incomplete").why(format!("{of} {namespace}/{name} is gone")))?;
    binary(&body, "release")
}

async fn read_secrets(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Secrets>> {
    let Some(body) = cluster.get("v1", &key("Secret", namespace, name)).await? else { return Ok(None) };
    let mut bytes = binary(&body, "release")?;
    let parts: usize = annotation(&body, "parts").and_then(|parts| parts.parse().ok()).unwrap_or(1);
    let rest = try_join_all((2..=parts).map(|part| part_bytes(cluster, "Secret", namespace, part_name(name, part))));
    bytes.extend(rest.await?.concat());
    codec::unpack(&bytes).map(Some)
}

fn binary(body: &Value, field: &str) -> Result<Vec<u8>> {
    let damaged = |why: &str| Error::user("the record is damaged").why(format!("its {field} {why}"));
    let holder = if body["kind"] == "Secret" { "data" } else { "binaryData" };
    let text = body[holder][field].as_str().ok_or_else(|| damaged("is missing"))?;
    BASE64_STANDARD.decode(text).map_err(|_| damaged("is not base64"))
}

fn annotation<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    crate::manifest::annotation(body, &format!("{DOMAIN}/{name}"))
}

/// A record's metadata as an entry of a history.
fn read_entry(body: &Value) -> Entry {
    let metadata = &body["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let (release, revision) = name
        .strip_prefix(DOMAIN_PREFIX)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.rsplit_once(".v"))
        .and_then(|(release, revision)| Some((release.to_owned(), revision.parse().ok()?)))
        .unwrap_or_else(|| (name.to_owned(), 0));
    let namespace = metadata["namespace"].as_str().unwrap_or_default().to_owned();
    let time = |name: &str| annotation(body, name)?.parse::<Timestamp>().ok();
    let text = |name: &str| annotation(body, name).map(str::to_owned);
    let read = || {
        Some(Summary {
            release: release.clone(),
            namespace: namespace.clone(),
            revision,
            status: Status::parse(metadata["labels"][format!("{DOMAIN}/status")].as_str()?)?,
            first_deployed: time("first-deployed")?,
            updated: time("updated")?,
            chart: text("chart")?,
            chart_version: text("chart-version")?,
            app_version: text("app-version").unwrap_or_default(),
            description: text("description").unwrap_or_default(),
            user: text("user").unwrap_or_default(),
            plugin_version: text("plugin-version").unwrap_or_default(),
            rollback_to: text("rollback-to").and_then(|revision| revision.parse().ok()),
        })
    };
    match read() {
        Some(summary) if revision > 0 => Entry::Readable(summary),
        _ => Entry::Unreadable {
            release,
            namespace,
            revision,
            reason: "its labels and annotations are not those of a record".into(),
        },
    }
}

/// A record that this run writes: what was sent last, so that the next update is based on it.
pub struct Written {
    body: Value,
}

/// Labels that a value may not be: cut down to what Kubernetes allows in one.
fn label_value(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).take(63).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

fn labels(summary: &Summary, record: &str) -> Value {
    json!({
        "app.kubernetes.io/managed-by": "kubectl-fabric",
        RECORD_LABEL: record,
        RELEASE_LABEL: summary.release,
        format!("{DOMAIN}/revision"): summary.revision.to_string(),
    })
}

fn describe(body: &mut Value, summary: &Summary) {
    let labels = &mut body["metadata"]["labels"];
    labels[format!("{DOMAIN}/status")] = json!(summary.status.as_str());
    labels[format!("{DOMAIN}/chart")] = json!(label_value(&summary.chart));
    labels[format!("{DOMAIN}/chart-version")] = json!(label_value(&summary.chart_version));
    labels[format!("{DOMAIN}/fabric-version")] = json!(label_value(&summary.app_version));
    let annotations = &mut body["metadata"]["annotations"];
    for (name, text) in [
        ("first-deployed", summary.first_deployed.to_string()),
        ("updated", summary.updated.to_string()),
        ("chart", summary.chart.clone()),
        ("chart-version", summary.chart_version.clone()),
        ("app-version", summary.app_version.clone()),
        ("description", summary.description.clone()),
        ("user", summary.user.clone()),
        ("plugin-version", summary.plugin_version.clone()),
    ] {
        annotations[format!("{DOMAIN}/{name}")] = json!(text);
    }
    if let Some(revision) = summary.rollback_to {
        annotations[format!("{DOMAIN}/rollback-to")] = json!(revision.to_string());
    }
}

/// The key of a release's masks: that of the revision before, or a new random one.
pub async fn mask_key(cluster: &Cluster, namespace: &str, release: &str, before: Option<u32>) -> Result<String> {
    if let Some(revision) = before
        && let Some(secrets) = read_secrets(cluster, namespace, &record_name(release, revision)).await.unwrap_or_default()
        && !secrets.key.is_empty()
    {
        return Ok(secrets.key);
    }
    let mut bytes = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Error::internal("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A record's payload and secrets, ready to be written.
pub struct Packed {
    payload: Vec<u8>,
    secrets: Vec<u8>,
}

/// Packs a record. It takes its time when the manifest is large, so it is done before a lock has to be renewed.
pub fn pack(record: &Record, mask_key: &str) -> Packed {
    let (payload, secrets) = codec::encode(record, mask_key);
    Packed { payload, secrets: codec::pack(&secrets) }
}

/// Writes a new revision: parts and companion first, the record that names them last.
///
/// # Errors
///
/// `AlreadyExists` when another run took this revision's number.
pub async fn create(cluster: &Cluster, record: &Record, packed: &Packed) -> Result<Written, ApiError> {
    let summary = &record.summary;
    let name = record_name(&summary.release, summary.revision);
    let Packed { payload, secrets: companion } = packed;
    let state = state_of(record);
    // An inventory grows by its UIDs once the objects exist: about 24 bytes each, compressed, and as much again for safety.
    let reserve = state.len() + 48 * record.inventory.len() + 1024;
    let parts = codec::chunks(payload, CHUNK.saturating_sub(reserve));
    let mut writes = Vec::new();
    for (index, part) in parts.iter().enumerate().skip(1) {
        writes.push(holder(summary, "ConfigMap", &part_name(&name, index + 1), "part", part, 1));
    }
    let secret_parts = codec::chunks(companion, CHUNK);
    for (index, part) in secret_parts.iter().enumerate() {
        writes.push(holder(summary, "Secret", &part_name(&name, index + 1), "secrets", part, secret_parts.len()));
    }
    // Parts that an interrupted attempt at this revision left behind are simply written over.
    let how = crate::cluster::Apply { dry_run: false, force: true };
    try_join_all(writes.iter().map(|body| cluster.apply(body, how))).await?;
    let mut body = holder(summary, "ConfigMap", &name, "release", parts[0], parts.len());
    body["binaryData"]["state"] = json!(BASE64_STANDARD.encode(state));
    let annotations = &mut body["metadata"]["annotations"];
    annotations[format!("{DOMAIN}/digest")] = json!(codec::digest(payload));
    annotations[format!("{DOMAIN}/chart-digest")] = json!(record.chart.digest);
    describe(&mut body, summary);
    match cluster.create(&body).await {
        Ok(body) => Ok(Written { body }),
        // An answer that was lost on its way: the record may be there, and then it is ours if its content is.
        Err(error) if matches!(error.kind, ApiErrorKind::AlreadyExists | ApiErrorKind::Unreachable | ApiErrorKind::Timeout) => {
            match cluster.get("v1", &key("ConfigMap", &summary.namespace, &name)).await? {
                Some(there) if same_record(&there, &body) => Ok(Written { body: there }),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn same_record(there: &Value, ours: &Value) -> bool {
    there["binaryData"] == ours["binaryData"] && annotation(there, "updated") == annotation(ours, "updated")
}

fn state_of(record: &Record) -> Vec<u8> {
    codec::pack(&json!({"inventory": record.inventory, "outcome": record.outcome}))
}

fn holder(summary: &Summary, of: &str, name: &str, record: &str, bytes: &[u8], parts: usize) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": of,
        "metadata": {
            "name": name,
            "namespace": summary.namespace,
            "labels": labels(summary, record),
            "annotations": {format!("{DOMAIN}/parts"): parts.to_string()},
        },
    });
    let data = BASE64_STANDARD.encode(bytes);
    if of == "Secret" {
        body["type"] = json!("kubectl-fabric.io/release.v1");
        body["data"] = json!({"release": data});
    } else {
        body["binaryData"] = json!({"release": data});
    }
    body
}

/// Writes a revision's outcome: its status, description, inventory. Based on what was written before, so that a change by another is seen.
pub async fn update(cluster: &Cluster, written: &mut Written, record: &Record) -> Result<(), ApiError> {
    describe(&mut written.body, &record.summary);
    written.body["binaryData"]["state"] = json!(BASE64_STANDARD.encode(state_of(record)));
    replace(cluster, written).await
}

async fn replace(cluster: &Cluster, written: &mut Written) -> Result<(), ApiError> {
    match cluster.replace(&written.body).await {
        Ok(body) => {
            written.body = body;
            Ok(())
        }
        // The answer may have been lost after the write: then what is there is what we sent.
        Err(error)
            if matches!(
                error.kind,
                ApiErrorKind::Unreachable | ApiErrorKind::Timeout | ApiErrorKind::Conflict | ApiErrorKind::Unavailable
            ) =>
        {
            let name = written.body["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = written.body["metadata"]["namespace"].as_str().unwrap_or_default();
            let there = cluster.get("v1", &key("ConfigMap", namespace, name)).await?;
            match there {
                Some(there)
                    if there["binaryData"] == written.body["binaryData"]
                        && there["metadata"]["labels"] == written.body["metadata"]["labels"] =>
                {
                    written.body = there;
                    Ok(())
                }
                Some(there)
                    if error.kind != ApiErrorKind::Conflict
                        && there["metadata"]["resourceVersion"] == written.body["metadata"]["resourceVersion"] =>
                {
                    written.body = cluster.replace(&written.body).await?;
                    Ok(())
                }
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Changes the status and description of an earlier revision.
pub async fn set_status(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: u32,
    status: Status,
    description: Option<&str>,
) -> Result<(), ApiError> {
    let name = record_name(release, revision);
    let Some(mut body) = cluster.get("v1", &key("ConfigMap", namespace, &name)).await? else { return Ok(()) };
    body["metadata"]["labels"][format!("{DOMAIN}/status")] = json!(status.as_str());
    if let Some(description) = description {
        body["metadata"]["annotations"][format!("{DOMAIN}/description")] = json!(description);
    }
    replace(cluster, &mut Written { body }).await
}

/// Deletes one revision: the record first, so that what is left of an interrupted deletion names nothing; then parts and companion.
pub async fn delete(cluster: &Cluster, namespace: &str, release: &str, revision: u32) -> Result<(), ApiError> {
    let name = record_name(release, revision);
    cluster.delete("v1", &key("ConfigMap", namespace, &name), Delete::default()).await?;
    let selector = format!("{RECORD_LABEL} in (part,secrets),{RELEASE_LABEL}={release},{DOMAIN}/revision={revision}");
    for of in ["ConfigMap", "Secret"] {
        delete_all(cluster, of, namespace, &selector).await?;
    }
    Ok(())
}

/// Deletes all that is kept of a release: every revision, part, companion and stored chart. Newest revision last, because it says most.
pub async fn purge(cluster: &Cluster, namespace: &str, release: &str) -> Result<(), ApiError> {
    let newest_last = {
        let selector = format!("{RECORD_LABEL}=release,{RELEASE_LABEL}={release}");
        let mut entries: Vec<Entry> =
            cluster.list_metadata(&kind("ConfigMap"), Some(namespace), &selector).await?.iter().map(read_entry).collect();
        entries.sort_by_key(Entry::revision);
        entries
    };
    let Some((newest, older)) = newest_last.split_last() else { return Ok(()) };
    let name = |entry: &Entry| key("ConfigMap", namespace, &record_name(release, entry.revision()));
    try_join_all(older.iter().map(|entry| {
        let key = name(entry);
        async move { cluster.delete("v1", &key, Delete::default()).await }
    }))
    .await?;
    let selector = format!("{RECORD_LABEL} in (part,secrets,chart),{RELEASE_LABEL}={release}");
    for of in ["Secret", "ConfigMap"] {
        delete_all(cluster, of, namespace, &selector).await?;
    }
    cluster.delete("v1", &name(newest), Delete::default()).await?;
    Ok(())
}

async fn delete_all(cluster: &Cluster, of: &str, namespace: &str, selector: &str) -> Result<(), ApiError> {
    let there = cluster.list_metadata(&kind(of), Some(namespace), selector).await?;
    try_join_all(there.iter().map(|body| {
        let key = key(of, namespace, body["metadata"]["name"].as_str().unwrap_or_default());
        async move { cluster.delete("v1", &key, Delete::default()).await }
    }))
    .await?;
    Ok(())
}

/// Keeps the newest `max` revisions, and the last deployed one whatever its age. 0 keeps all.
pub async fn trim(cluster: &Cluster, namespace: &str, release: &str, history: &[Entry], max: usize) -> Result<(), ApiError> {
    if max == 0 || history.len() <= max {
        return Ok(());
    }
    let deployed = history
        .iter()
        .rev()
        .filter_map(Entry::summary)
        .find(|summary| summary.status == Status::Deployed)
        .map(|summary| summary.revision);
    let surplus = history.len() - max;
    for entry in history.iter().take(surplus).filter(|entry| Some(entry.revision()) != deployed) {
        delete(cluster, namespace, release, entry.revision()).await?;
    }
    Ok(())
}

fn chart_name(release: &str, digest: &str) -> String {
    format!("kubectl-fabric.chart.{release}.{}", &digest[..digest.len().min(16)])
}

/// Keeps a chart from outside beside the records, once per digest, so that an upgrade finds it again.
pub async fn keep_chart(cluster: &Cluster, summary: &Summary, chart: &Chart) -> Result<()> {
    let name = chart_name(&summary.release, &chart.digest);
    let files: Map<String, Value> =
        chart.files.iter().map(|(path, bytes)| (path.clone(), json!(BASE64_STANDARD.encode(bytes)))).collect();
    let bytes = codec::pack(&files);
    let parts = codec::chunks(&bytes, CHUNK);
    let how = crate::cluster::Apply { dry_run: false, force: true };
    for (index, part) in parts.iter().enumerate().rev() {
        let body = holder(summary, "ConfigMap", &part_name(&name, index + 1), "chart", part, parts.len());
        cluster.apply(&body, how).await?;
    }
    Ok(())
}

/// Reads a chart that [`keep_chart`] kept. `None` when there is none of this digest.
pub async fn kept_chart(cluster: &Cluster, namespace: &str, release: &str, digest: &str) -> Result<Option<Chart>> {
    let name = chart_name(release, digest);
    let Some(body) = cluster.get("v1", &key("ConfigMap", namespace, &name)).await? else { return Ok(None) };
    let mut bytes = binary(&body, "release")?;
    let parts: usize = annotation(&body, "parts").and_then(|parts| parts.parse().ok()).unwrap_or(1);
    let rest = try_join_all((2..=parts).map(|part| part_bytes(cluster, "ConfigMap", namespace, part_name(&name, part))));
    bytes.extend(rest.await?.concat());
    let files: BTreeMap<String, String> = codec::unpack(&bytes)?;
    let files: Files = files
        .into_iter()
        .map(|(path, text)| {
            let bytes = BASE64_STANDARD.decode(text).map_err(|_| Error::user(format!("the stored chart {name} is damaged")))?;
            Ok((path, bytes))
        })
        .collect::<Result<_>>()?;
    Chart::from_files(files, Origin::Stored, &name).map(Some)
}
