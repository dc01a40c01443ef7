//! Finds the organizations in the cluster.

use super::organization::{Installed, installed_if_organization};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::release::Entry;
use crate::storage;
use futures::future::join_all;

/// What was found, and what could not be read.
pub struct Directory {
    pub organizations: Vec<Installed>,
    /// Releases that may be organizations, with the reason why their records are not trusted.
    pub unread: Vec<(String, Error)>,
}

/// Finds the organizations of one namespace, or of all readable ones. `network` is the suffix of
/// their namespaces; other networks are left out.
pub async fn directory(
    cluster: &Cluster,
    namespace: Option<&str>,
    network: Option<&str>,
) -> Result<Directory> {
    let entries = match namespace {
        Some(namespace) => storage::list(cluster, Some(namespace)).await?,
        None => storage::list_readable(cluster).await?.entries,
    };
    let releases = entries.iter().map(|entry| match entry {
        Entry::Readable(summary) => (&summary.release, &summary.namespace),
        Entry::Unreadable {
            release, namespace, ..
        } => (release, namespace),
    });
    let read = releases.map(async |(release, namespace)| {
        (
            release,
            installed_if_organization(cluster, namespace, release).await,
        )
    });
    let mut directory = Directory {
        organizations: Vec::new(),
        unread: Vec::new(),
    };
    for (release, found) in join_all(read).await {
        match found {
            Ok(found) => directory.organizations.extend(found),
            Err(error) => directory.unread.push((release.clone(), error)),
        }
    }
    let network = network.unwrap_or_default();
    let is_here = |it: &Installed| namespace.is_some() || it.contact.network == network;
    directory.organizations.retain(is_here);
    Ok(directory)
}
