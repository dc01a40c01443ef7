//! Deletes records: those beyond the history limit, or all of a release.

use super::parts::read_secrets;
use super::summary::read_entry;
use super::{PURGED, RECORD_LABEL, RELEASE_LABEL, annotation, kind, record_name, sign};
use crate::cluster::{ApiErrorKind, ApiResult, Cluster, Delete};
use crate::error::Result;
use crate::manifest::{DOMAIN, ObjectKey};
use crate::release::{Entry, Signature, Status};
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeSet;

/// Deletes everything stored for a release: all revisions, parts, companion Secrets and charts.
///
/// The newest revision is deleted last, because it contains the most information. Its companion
/// Secret comes just before, because it verifies that record.
pub async fn purge(cluster: &Cluster, namespace: &str, release: &str) -> ApiResult<()> {
    let selector = format!("{RECORD_LABEL}=release,{RELEASE_LABEL}={release}");
    let mut records = cluster
        .list_metadata(&kind("ConfigMap"), Some(namespace), &selector)
        .await?;
    records.sort_by_key(|body| read_entry(body).revision());
    let newest = records.pop();
    try_join_all(
        records
            .iter()
            .map(|body| delete(cluster, "ConfigMap", namespace, body)),
    )
    .await?;
    let revision = |body: &Value| body["metadata"]["labels"][format!("{DOMAIN}/revision")].clone();
    let is_of_newest = |body: &Value| {
        newest
            .as_ref()
            .is_some_and(|newest| revision(newest) == revision(body))
    };
    let selector = format!("{RECORD_LABEL} in (part,secrets,chart),{RELEASE_LABEL}={release}");
    let secrets = cluster
        .list_metadata(&kind("Secret"), Some(namespace), &selector)
        .await?;
    let (companion, secrets): (Vec<Value>, Vec<Value>) =
        secrets.into_iter().partition(is_of_newest);
    try_join_all(
        secrets
            .iter()
            .map(|body| delete(cluster, "Secret", namespace, body)),
    )
    .await?;
    let parts = cluster
        .list_metadata(&kind("ConfigMap"), Some(namespace), &selector)
        .await?;
    try_join_all(
        parts
            .iter()
            .map(|body| delete(cluster, "ConfigMap", namespace, body)),
    )
    .await?;
    // The parts are useless without the first Secret.
    let (first, parts): (Vec<&Value>, Vec<&Value>) =
        companion.iter().partition(|body| is_whole(body));
    for companion in [first, parts] {
        try_join_all(
            companion
                .into_iter()
                .map(|body| delete(cluster, "Secret", namespace, body)),
        )
        .await?;
    }
    if let Some(newest) = newest {
        delete(cluster, "ConfigMap", namespace, &newest).await?;
    }
    Ok(())
}

/// Returns true if an uninstall has begun to delete these records of a release.
///
/// The newest record shows this, and its companion Secret proves who wrote it. Without a companion,
/// the record counts only if nothing else is left, because users with write access to ConfigMaps
/// cannot delete a Secret.
pub async fn is_purged(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    entries: &[Entry],
) -> Result<bool> {
    let Some(newest) = entries.last().filter(|newest| {
        newest
            .summary()
            .is_some_and(|it| it.status == Status::Uninstalled)
    }) else {
        return Ok(false);
    };
    let name = record_name(release, newest.revision());
    let Some(body) = cluster
        .get(
            "v1",
            &ObjectKey::core("ConfigMap", namespace, name.as_str()),
        )
        .await?
    else {
        return Ok(false);
    };
    if annotation(&body, PURGED).is_none() {
        return Ok(false);
    }
    let secrets = read_secrets(cluster, namespace, &name).await?;
    match sign::verify(
        &body,
        secrets.as_ref().map(|secrets| secrets.signing_key.as_str()),
    ) {
        Signature::Verified | Signature::Unsigned => Ok(true),
        Signature::Broken => Ok(false),
        Signature::Unchecked | Signature::Denied => {
            let selector = format!("{RECORD_LABEL},{RELEASE_LABEL}={release}");
            let secrets = cluster
                .list_metadata(&kind("Secret"), Some(namespace), &selector)
                .await?;
            Ok(entries.len() == 1 && !secrets.iter().any(is_whole))
        }
    }
}

/// Returns true if an object is the first of its record, which counts the parts.
fn is_whole(body: &Value) -> bool {
    !body["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .contains(".part")
}

/// Deletes a listed object. If the UID differs, the listed object is gone and another has its name.
async fn delete(cluster: &Cluster, of: &str, namespace: &str, body: &Value) -> ApiResult<()> {
    let text = |field: &str| body["metadata"][field].as_str().unwrap_or_default();
    let how = Delete {
        uid: Some(text("uid").to_owned()),
        ..Delete::default()
    };
    match cluster
        .delete("v1", &ObjectKey::core(of, namespace, text("name")), how)
        .await
    {
        Err(error) if error.kind != ApiErrorKind::Replaced => Err(error),
        _ => Ok(()),
    }
}

/// Returns true if anything is recorded for a release, even only parts from an interrupted run.
pub async fn is_known(cluster: &Cluster, namespace: &str, release: &str) -> ApiResult<bool> {
    let selector = format!("{RECORD_LABEL},{RELEASE_LABEL}={release}");
    for of in ["ConfigMap", "Secret"] {
        if !cluster
            .list_metadata(&kind(of), Some(namespace), &selector)
            .await?
            .is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the numbers of the revisions that stay, and of those that go.
fn kept_and_dropped(history: &[Entry], max: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let deployed = history
        .iter()
        .rev()
        .filter_map(Entry::summary)
        .find(|summary| summary.status == Status::Deployed)
        .map(|summary| summary.revision);
    let is_kept = |(index, entry): &(usize, &Entry)| {
        *index >= history.len() - max || Some(entry.revision()) == deployed
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = history.iter().enumerate().partition(is_kept);
    let names = |entries: Vec<(usize, &Entry)>| -> BTreeSet<String> {
        entries
            .into_iter()
            .map(|(_, entry)| entry.revision().to_string())
            .collect()
    };
    (names(kept), names(dropped))
}

/// Deletes old revisions. Keeps the newest `max`, and the last deployed one regardless of its age.
/// 0 keeps all.
///
/// Deletes records first, so that an interrupted deletion leaves no record without its parts. Then
/// deletes parts and companion Secrets without a record, including those from an earlier run.
pub async fn trim(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    history: &[Entry],
    max: usize,
) -> ApiResult<()> {
    if max == 0 || history.len() <= max {
        return Ok(());
    }
    let (kept, dropped) = kept_and_dropped(history, max);
    let label = |body: &Value, name: &str| {
        body["metadata"]["labels"][format!("{DOMAIN}/{name}")]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let selector = format!("{RECORD_LABEL} in (release,part,secrets),{RELEASE_LABEL}={release}");
    for of in ["ConfigMap", "Secret"] {
        let there = cluster
            .list_metadata(&kind(of), Some(namespace), &selector)
            .await?;
        let (records, others): (Vec<_>, Vec<_>) = there
            .iter()
            .partition(|body| label(body, "record") == "release");
        for record in records
            .into_iter()
            .filter(|body| dropped.contains(&label(body, "revision")))
        {
            delete(cluster, of, namespace, record).await?;
        }
        let is_stray = |body: &&Value| {
            let revision = label(body, "revision");
            !revision.is_empty() && !kept.contains(&revision)
        };
        try_join_all(
            others
                .into_iter()
                .filter(is_stray)
                .map(|body| delete(cluster, of, namespace, body)),
        )
        .await?;
    }
    Ok(())
}
