//! Deleting records: what the history no longer holds, or all of a release.

use super::summary::read_entry;
use super::{RECORD_LABEL, RELEASE_LABEL, key, kind};
use crate::cluster::{ApiError, ApiErrorKind, Cluster, Delete};
use crate::manifest::DOMAIN;
use crate::release::{Entry, Status};
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeSet;

/// Deletes all that is kept of a release: every revision, part, companion and stored chart. Newest revision last, because it says most.
pub async fn purge(cluster: &Cluster, namespace: &str, release: &str) -> Result<(), ApiError> {
    let selector = format!("{RECORD_LABEL}=release,{RELEASE_LABEL}={release}");
    let mut records = cluster.list_metadata(&kind("ConfigMap"), Some(namespace), &selector).await?;
    records.sort_by_key(|body| read_entry(body).revision());
    let newest = records.pop();
    try_join_all(records.iter().map(|body| delete(cluster, "ConfigMap", namespace, body))).await?;
    let selector = format!("{RECORD_LABEL} in (part,secrets,chart),{RELEASE_LABEL}={release}");
    for of in ["Secret", "ConfigMap"] {
        let there = cluster.list_metadata(&kind(of), Some(namespace), &selector).await?;
        try_join_all(there.iter().map(|body| delete(cluster, of, namespace, body))).await?;
    }
    if let Some(newest) = newest {
        delete(cluster, "ConfigMap", namespace, &newest).await?;
    }
    Ok(())
}

/// Deletes one that was listed. With another UID it is another's, and this one is gone.
async fn delete(cluster: &Cluster, of: &str, namespace: &str, body: &Value) -> Result<(), ApiError> {
    let text = |field: &str| body["metadata"][field].as_str().unwrap_or_default();
    let how = Delete { uid: Some(text("uid").to_owned()), ..Delete::default() };
    match cluster.delete("v1", &key(of, namespace, text("name")), how).await {
        Err(error) if error.kind != ApiErrorKind::Replaced => Err(error),
        _ => Ok(()),
    }
}

/// Whether anything is recorded of a release, be it only parts that an interrupted run left.
pub async fn is_known(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool, ApiError> {
    let selector = format!("{RECORD_LABEL},{RELEASE_LABEL}={release}");
    for of in ["ConfigMap", "Secret"] {
        if !cluster.list_metadata(&kind(of), Some(namespace), &selector).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps the newest `max` revisions, and the last deployed one whatever its age. 0 keeps all.
///
/// Records go first, so that what is left of an interrupted deletion names nothing; then parts and companions without a record, those that an
/// earlier run left among them.
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
    let is_kept = |(index, entry): &(usize, &Entry)| *index >= history.len() - max || Some(entry.revision()) == deployed;
    let (kept, dropped): (Vec<_>, Vec<_>) = history.iter().enumerate().partition(is_kept);
    let names = |entries: Vec<(usize, &Entry)>| -> BTreeSet<String> {
        entries.into_iter().map(|(_, entry)| entry.revision().to_string()).collect()
    };
    let (kept, dropped) = (names(kept), names(dropped));
    let label =
        |body: &Value, name: &str| body["metadata"]["labels"][format!("{DOMAIN}/{name}")].as_str().unwrap_or_default().to_owned();
    let selector = format!("{RECORD_LABEL} in (release,part,secrets),{RELEASE_LABEL}={release}");
    for of in ["ConfigMap", "Secret"] {
        let there = cluster.list_metadata(&kind(of), Some(namespace), &selector).await?;
        let (records, others): (Vec<_>, Vec<_>) = there.iter().partition(|body| label(body, "record") == "release");
        for record in records.into_iter().filter(|body| dropped.contains(&label(body, "revision"))) {
            delete(cluster, of, namespace, record).await?;
        }
        let is_stray = |body: &&Value| {
            let revision = label(body, "revision");
            !revision.is_empty() && !kept.contains(&revision)
        };
        try_join_all(others.into_iter().filter(is_stray).map(|body| delete(cluster, of, namespace, body))).await?;
    }
    Ok(())
}
