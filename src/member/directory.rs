//! Finds the organizations in the cluster.

use super::organization::{Installed, installed_if_organization};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::release::Entry;
use crate::storage;
use futures::future::join_all;

/// The organizations that were found, and those that could not be read.
pub struct Directory {
    pub organizations: Vec<Installed>,
    /// Releases that may be organizations, with the reason why their records are not trusted.
    pub unread: Vec<(String, Error)>,
}

/// Charts of this program that are not for organizations.
const OTHERS: [&str; 2] = ["kafka", "chaincode"];

/// Returns the releases that may be organizations, sorted by name: of one namespace, or of all
/// readable ones.
pub async fn candidates(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Candidate>> {
    let entries = match namespace {
        Some(namespace) => storage::list(cluster, Some(namespace)).await?,
        None => storage::list_readable(cluster).await?.entries,
    };
    let may_be = |entry: &Entry| {
        let summary = entry.summary();
        summary.is_none_or(|summary| !OTHERS.contains(&summary.chart.as_str()))
    };
    let found = entries.into_iter().filter(may_be);
    let mut found: Vec<Candidate> = found.map(|newest| Candidate { newest }).collect();
    found.sort_by(|one, other| one.release().cmp(other.release()));
    Ok(found)
}

/// A release that may be an organization.
pub struct Candidate {
    newest: Entry,
}

impl Candidate {
    pub fn release(&self) -> &str {
        match &self.newest {
            Entry::Readable(summary) => &summary.release,
            Entry::Unreadable { release, .. } => release,
        }
    }

    /// Returns the organization, or `None` if the release is not one.
    ///
    /// # Errors
    ///
    /// Fails for a record that cannot be read or verified.
    pub async fn installed(&self, cluster: &Cluster) -> Result<Option<Installed>> {
        installed_if_organization(cluster, &self.newest).await
    }
}

/// Finds the organizations of one namespace, or of all readable ones. `network` is the suffix of
/// their namespaces; other networks are skipped.
pub async fn directory(
    cluster: &Cluster,
    namespace: Option<&str>,
    network: Option<&str>,
) -> Result<Directory> {
    let candidates = candidates(cluster, namespace).await?;
    let read = candidates.iter().map(|it| it.installed(cluster));
    let mut directory = Directory {
        organizations: Vec::new(),
        unread: Vec::new(),
    };
    for (candidate, found) in candidates.iter().zip(join_all(read).await) {
        match found {
            Ok(found) => directory.organizations.extend(found),
            Err(error) => {
                let release = candidate.release().to_owned();
                directory.unread.push((release, error));
            }
        }
    }
    let network = network.unwrap_or_default();
    let is_here = |it: &Installed| namespace.is_some() || it.contact.network == network;
    directory.organizations.retain(is_here);
    Ok(directory)
}
