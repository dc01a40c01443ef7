//! Deleting records: one revision, what the history no longer holds, or all of a release.

use super::summary::read_entry;
use super::{RECORD_LABEL, RELEASE_LABEL, key, kind, record_name};
use crate::cluster::{ApiError, Cluster, Delete};
use crate::manifest::DOMAIN;
use crate::release::{Entry, Status};
use futures::future::try_join_all;

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
