//! The organizations that can be found in the cluster.

use super::organization::contact_if_organization;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::release::Entry;
use crate::storage;
use futures::future::join_all;

/// What was found, and what could not be read.
pub struct Directory {
    pub contacts: Vec<Contact>,
    /// Releases that may be organizations, with the reason why their records are not believed.
    pub unread: Vec<(String, Error)>,
}

/// Finds the organizations of one namespace, or of all that may be read. `network` is the suffix of
/// their namespaces: other networks of the cluster are left out.
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
            contact_if_organization(cluster, namespace, release).await,
        )
    });
    let mut directory = Directory {
        contacts: Vec::new(),
        unread: Vec::new(),
    };
    for (release, contact) in join_all(read).await {
        match contact {
            Ok(contact) => directory.contacts.extend(contact),
            Err(error) => directory.unread.push((release.clone(), error)),
        }
    }
    let network = network.unwrap_or_default();
    let is_here = |contact: &Contact| namespace.is_some() || contact.network == network;
    directory.contacts.retain(is_here);
    Ok(directory)
}
