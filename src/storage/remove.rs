//! Deleting records: what the history no longer holds, or all of a release.

use super::summary::read_entry;
use super::{RECORD_LABEL, RELEASE_LABEL, key, kind, record_name};
use crate::cluster::{ApiError, Cluster, Delete};
use crate::manifest::DOMAIN;
use crate::release::{Entry, Status};
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeSet;

/// Deletes all that is kept of a release: every revision, part, companion and stored chart. Newest revision last, because it says most.
pub async fn purge(cluster: &Cluster, namespace: &str, release: &str) -> Result<(), ApiError> {
    let newest_last = {
        let selector = format!("{RECORD_LABEL}=release,{RELEASE_LABEL}={release}");
        let mut entries: Vec<Entry> =
            cluster.list_metadata(&kind("ConfigMap"), Some(namespace), &selector).await?.iter().map(read_entry).collect();
        entries.sort_by_key(Entry::revision);
        entries
    };
    let (newest, older) = match newest_last.split_last() {
        Some((newest, older)) => (Some(newest), older),
        None => (None, &[][..]),
    };
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
    if let Some(newest) = newest {
        cluster.delete("v1", &name(newest), Delete::default()).await?;
    }
    Ok(())
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

async fn delete_all(cluster: &Cluster, of: &str, namespace: &str, selector: &str) -> Result<(), ApiError> {
    delete_those(cluster, of, namespace, selector, |_| true).await
}

async fn delete_those(
    cluster: &Cluster,
    of: &str,
    namespace: &str,
    selector: &str,
    chosen: impl Fn(&Value) -> bool,
) -> Result<(), ApiError> {
    let there = cluster.list_metadata(&kind(of), Some(namespace), selector).await?;
    try_join_all(there.iter().filter(|body| chosen(body)).map(|body| {
        let text = |field: &str| body["metadata"][field].as_str().unwrap_or_default();
        let (key, uid) = (key(of, namespace, text("name")), Some(text("uid").to_owned()));
        async move { cluster.delete("v1", &key, Delete { uid, ..Delete::default() }).await }
    }))
    .await?;
    Ok(())
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
    let mut kept = BTreeSet::new();
    for (index, entry) in history.iter().enumerate() {
        let revision = entry.revision();
        if index >= history.len() - max || Some(revision) == deployed {
            kept.insert(revision.to_string());
        } else {
            cluster.delete("v1", &key("ConfigMap", namespace, &record_name(release, revision)), Delete::default()).await?;
        }
    }
    let selector = format!("{RECORD_LABEL} in (part,secrets),{RELEASE_LABEL}={release}");
    let stray = |body: &Value| {
        body["metadata"]["labels"][format!("{DOMAIN}/revision")].as_str().is_some_and(|revision| !kept.contains(revision))
    };
    for of in ["ConfigMap", "Secret"] {
        delete_those(cluster, of, namespace, &selector, stray).await?;
    }
    Ok(())
}
