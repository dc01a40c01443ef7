//! Reads records: many releases by their metadata, or one complete revision.

use super::codec::{self, RecordState, Secrets};
use super::parts::{binary, other_parts, secrets_in};
use super::sign;
use super::summary::read_entry;
use super::{RECORD_LABEL, RELEASE_LABEL, annotation, kind, record_name};
use crate::cluster::{ApiErrorKind, ApiResult, Cluster, Extent};
use crate::error::{Error, Result, nearest};
use crate::manifest::{Object, ObjectKey};
use crate::release::{Entry, Record, Signature, Summary, baseline, command};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeMap;

/// Returns the newest revision of each release in one namespace or in all. Reads only metadata.
pub async fn list(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Entry>> {
    Ok(list_in(cluster, namespace).await?)
}

async fn list_in(cluster: &Cluster, namespace: Option<&str>) -> ApiResult<Vec<Entry>> {
    let add = |newest: &mut BTreeMap<(String, String), Entry>, record: Value| {
        let entry = read_entry(&record);
        let (release, namespace) = match &entry {
            Entry::Readable(summary) => (summary.release.clone(), summary.namespace.clone()),
            Entry::Unreadable {
                release, namespace, ..
            } => (release.clone(), namespace.clone()),
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
    };
    let selector = format!("{RECORD_LABEL}=release");
    let newest = cluster
        .list_into(
            &kind("ConfigMap"),
            namespace,
            &selector,
            Extent::Metadata,
            add,
        )
        .await?;
    Ok(newest.into_values().collect())
}

/// The releases of all namespaces that the user may read.
pub struct Readable {
    pub entries: Vec<Entry>,
    /// Number of namespaces that were read separately (0 if all could be read at once), and number
    /// that refused.
    pub read: usize,
    pub denied: usize,
}

/// Returns the newest revision of each release that the user may read. Reads all namespaces at once
/// or, if that is forbidden, each one separately.
///
/// # Errors
///
/// Fails if the user may read neither all ConfigMaps nor the names of the namespaces, or may read
/// no namespace. The hint is to name one.
pub async fn list_readable(cluster: &Cluster) -> Result<Readable> {
    let all = match list_in(cluster, None).await {
        Ok(entries) => {
            return Ok(Readable {
                entries,
                read: 0,
                denied: 0,
            });
        }
        Err(error) => error,
    };
    if all.kind != ApiErrorKind::Forbidden {
        return Err(all.into());
    }
    let refused = || {
        Error::from(all.clone())
            .hint("or choose a namespace that you may read: `kubectl fabric list -n org1`")
    };
    let namespaces = cluster
        .list_metadata(&kind("Namespace"), None, "")
        .await
        .map_err(|_| refused())?;
    let names = namespaces
        .iter()
        .filter_map(|body| body["metadata"]["name"].as_str());
    let answers = join_all(names.map(|name| list_in(cluster, Some(name)))).await;
    let mut found = Readable {
        entries: Vec::new(),
        read: 0,
        denied: 0,
    };
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
    if found.read == 0 {
        Err(refused())
    } else {
        Ok(found)
    }
}

/// Returns all revisions of one release, oldest first, or none if it has none. Reads only metadata.
pub async fn history(cluster: &Cluster, namespace: &str, release: &str) -> Result<Vec<Entry>> {
    let selector = format!("{RECORD_LABEL}=release,{RELEASE_LABEL}={release}");
    let records = cluster
        .list_metadata(&kind("ConfigMap"), Some(namespace), &selector)
        .await?;
    let mut entries: Vec<Entry> = records.iter().map(read_entry).collect();
    entries.sort_by_key(Entry::revision);
    Ok(entries)
}

/// Reads one complete revision, by default the newest, with its secrets masked. Reads no Secret, so
/// the signature is not checked.
///
/// # Errors
///
/// Fails if the release is unknown (suggests the nearest name), the revision is unknown (lists the
/// existing ones), or the record is unreadable.
pub async fn read(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: Option<u32>,
) -> Result<Record> {
    let revision = find(cluster, namespace, release, revision).await?;
    load(
        cluster,
        namespace,
        release,
        revision,
        Purpose::Look,
        codec::decode_whole,
    )
    .await
}

/// Like [`read`], but checks the signature if the user may read the companion Secret. The record's
/// signature field has the result.
pub async fn read_to_show(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: Option<u32>,
) -> Result<Record> {
    let revision = find(cluster, namespace, release, revision).await?;
    let masked = |summary, payload: &[u8], state, _: Option<&Secrets>| {
        codec::decode_whole(summary, payload, state, None)
    };
    load(cluster, namespace, release, revision, Purpose::Show, masked).await
}

/// Like [`read_to_show`], for the revision from which an upgrade starts. Also returns the newest
/// revision, which may be a different one.
pub async fn read_baseline_to_show(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
) -> Result<(Record, Option<Summary>)> {
    let history = known_history(cluster, namespace, release).await?;
    let newest = history.last().and_then(Entry::summary).cloned();
    let revision = baseline(&history).map_or_else(
        || history.last().map_or(0, Entry::revision),
        |summary| summary.revision,
    );
    let masked = |summary, payload: &[u8], state, _: Option<&Secrets>| {
        codec::decode_whole(summary, payload, state, None)
    };
    Ok((
        load(cluster, namespace, release, revision, Purpose::Show, masked).await?,
        newest,
    ))
}

/// Like [`read`], with the secrets restored, so that the record can be applied again.
///
/// # Errors
///
/// Fails like [`read`], and if the secrets cannot be read, because masks must not be applied in
/// their place.
pub async fn read_with_secrets(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: u32,
) -> Result<Record> {
    let record = load(
        cluster,
        namespace,
        release,
        revision,
        Purpose::Act,
        codec::decode_whole,
    )
    .await?;
    if record.lacks_secrets() {
        Err(without_secrets(&record))
    } else {
        Ok(record)
    }
}

/// Like [`read`], with the secrets restored if they can be read.
///
/// The objects that the revision wrote are known without them. Passes the objects to `take` one at
/// a time.
pub async fn read_past(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: u32,
    take: impl FnMut(&Record, Object),
) -> Result<Record> {
    let decode = |summary, payload: &[u8], state, secrets: Option<&Secrets>| {
        codec::decode(summary, payload, state, secrets, take)
    };
    load(cluster, namespace, release, revision, Purpose::Act, decode).await
}

/// Returns the error for using a record that cannot be verified, because its companion Secret with
/// the key is missing.
pub fn unverified(record: &Record) -> Error {
    without_secrets(record).why("it holds the key for the signature of the record")
}

/// Returns the error for using the secrets of a record that has lost them.
pub fn without_secrets(record: &Record) -> Error {
    let Summary {
        release,
        namespace,
        revision,
        ..
    } = &record.summary;
    Error::user(format!(
        "cannot read the secrets of revision {revision} of \"{release}\""
    ))
    .why(format!(
        "Secret {namespace}/{} is missing or damaged",
        record_name(release, *revision)
    ))
    .now("nothing was changed")
}

/// Returns the history of a release. Fails if it has none.
async fn known_history(cluster: &Cluster, namespace: &str, release: &str) -> Result<Vec<Entry>> {
    let history = history(cluster, namespace, release).await?;
    if history.is_empty() {
        Err(unknown_release(cluster, namespace, release).await)
    } else {
        Ok(history)
    }
}

async fn find(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: Option<u32>,
) -> Result<u32> {
    let history = known_history(cluster, namespace, release).await?;
    match revision {
        None => Ok(history.last().map_or(0, Entry::revision)),
        Some(revision) if history.iter().any(|entry| entry.revision() == revision) => Ok(revision),
        Some(revision) => {
            let there: Vec<String> = history
                .iter()
                .map(|entry| entry.revision().to_string())
                .collect();
            Err(
                Error::user(format!("release \"{release}\" has no revision {revision}"))
                    .why(format!("its history has {}", there.join(", ")))
                    .hint(format!("see `{}`", command("history", release, namespace))),
            )
        }
    }
}

/// Returns the error for an unknown release, with the nearest existing name.
pub async fn unknown_release(cluster: &Cluster, namespace: &str, release: &str) -> Error {
    let error = Error::user(format!(
        "release \"{release}\" not found in namespace \"{namespace}\""
    ));
    // Other releases help the user, but a failure to list them must not replace the error.
    let others = list(cluster, None).await.unwrap_or_default();
    let names: Vec<(String, String)> = others
        .iter()
        .map(|entry| match entry {
            Entry::Readable(summary) => (summary.release.clone(), summary.namespace.clone()),
            Entry::Unreadable {
                release, namespace, ..
            } => (release.clone(), namespace.clone()),
        })
        .collect();
    if let Some((_, elsewhere)) = names.iter().find(|(name, _)| name == release) {
        return error.hint(format!(
            "it is in namespace \"{elsewhere}\": use `-n {elsewhere}`"
        ));
    }
    // org8 is another organization than org1, not a typing error.
    let letters = |name: &str| {
        name.chars()
            .filter(|letter| !letter.is_ascii_digit())
            .collect::<String>()
    };
    let alike = names
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| letters(name) != letters(release));
    match nearest(release, alike) {
        Some(name) => error.hint(format!("did you mean \"{name}\"?")),
        None => error.hint("`kubectl fabric list` shows all releases"),
    }
}

/// The purpose of reading a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Look at it without reading Secrets.
    Look,
    /// Show it, together with the result of the signature check.
    Show,
    /// Act on its content, so the signature must match.
    Act,
}

async fn load(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: u32,
    purpose: Purpose,
    decode: impl FnOnce(Summary, &[u8], RecordState, Option<&Secrets>) -> Result<Record>,
) -> Result<Record> {
    let name = record_name(release, revision);
    let unreadable = |error: Error| {
        error
            .context(format!("cannot read revision {revision} of \"{release}\""))
            .now(format!(
                "nothing was changed; the record is ConfigMap {namespace}/{name}"
            ))
    };
    let key = ObjectKey::core("ConfigMap", namespace, name.as_str());
    let record = async { Ok::<_, Error>(cluster.get("v1", &key).await?) };
    let (body, secrets) =
        futures::try_join!(record, companion(cluster, namespace, &name, purpose))?;
    let body = body.ok_or_else(|| {
        Error::user(format!(
            "revision {revision} of \"{release}\" no longer exists"
        ))
        .why("its record was deleted in the meantime")
    })?;
    let summary = match read_entry(&body) {
        Entry::Readable(summary) => summary,
        Entry::Unreadable { reason, .. } => return Err(unreadable(Error::user(reason))),
    };
    let mut payload = binary(&body, "release").map_err(unreadable)?;
    payload.extend(
        other_parts(cluster, "ConfigMap", namespace, &name, &body)
            .await
            .map_err(unreadable)?,
    );
    if annotation(&body, "digest").is_some_and(|digest| digest != codec::digest(&payload)) {
        return Err(unreadable(
            Error::user("the record is damaged").why("its digest does not match its content"),
        ));
    }
    let state: RecordState =
        codec::unpack(&binary(&body, "state").map_err(unreadable)?).map_err(unreadable)?;
    let signature = match &secrets {
        Ok(secrets) => sign::verify(&body, Some(&secrets.signing_key)),
        Err(unknown) => *unknown,
    };
    let record = decode(summary, &payload, state, secrets.as_ref().ok()).map_err(unreadable)?;
    match signature {
        Signature::Broken if purpose == Purpose::Act => Err(unreadable(
            Error::user("the record was not written by kubectl-fabric").why(format!(
                "its signature does not match its content; the key is in Secret {namespace}/{name}"
            )),
        )),
        signature => Ok(Record {
            signature,
            ..record
        }),
    }
}

/// Reads a record's companion Secret. Without it, returns why the signature cannot be checked.
async fn companion(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    purpose: Purpose,
) -> Result<std::result::Result<Secrets, Signature>> {
    if purpose == Purpose::Look {
        return Ok(Err(Signature::Unchecked));
    }
    let key = ObjectKey::core("Secret", namespace, name);
    match cluster.get("v1", &key).await {
        Err(error) if purpose == Purpose::Show && error.kind == ApiErrorKind::Forbidden => {
            Ok(Err(Signature::Denied))
        }
        body => Ok(secrets_in(cluster, namespace, name, body?)
            .await?
            .ok_or(Signature::Unchecked)),
    }
}
