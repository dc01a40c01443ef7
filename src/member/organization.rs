//! What can be known of an organization without its administrator: its contact, from the release's
//! record, and the public parts of its identities.

use crate::cluster::{ApiErrorKind, Cluster};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::{Contact, Identities};
use crate::fabric::guard::Facts;
use crate::fabric::{Model, Subject};
use crate::identity::public::{self, MspFiles};
use crate::identity::secrets::entry;
use crate::manifest::ObjectKey;
use crate::release::{Entry, Record, baseline};
use crate::storage;
use futures::future::try_join_all;
use serde_json::Value;

/// Reads the contact of a release from its record: the deployed revision, or the newest if none is.
///
/// # Errors
///
/// An unknown release, one that is no organization, and a record that cannot be read or verified:
/// it decides which nodes are called.
pub async fn contact(cluster: &Cluster, namespace: &str, release: &str) -> Result<Contact> {
    let (record, model) = record(cluster, namespace, release).await?;
    Contact::of(subject(&record, model))
}

/// Like [`contact`]; `None` for a release that is no organization.
pub(super) async fn contact_if_organization(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
) -> Result<Option<Contact>> {
    let (record, model) = record(cluster, namespace, release).await?;
    match model {
        Some(Model::PeerOrganization | Model::OrdererOrganization) => {
            Contact::of(subject(&record, model)).map(Some)
        }
        Some(Model::Kafka | Model::Chaincode) | None => Ok(None),
    }
}

async fn record(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
) -> Result<(Record, Option<Model>)> {
    let history = storage::history(cluster, namespace, release).await?;
    let Some(newest) = history.last() else {
        return Err(storage::unknown_release(cluster, namespace, release).await);
    };
    let revision = baseline(&history).map_or(newest.revision(), |summary| summary.revision);
    if let Entry::Unreadable { reason, .. } = newest
        && revision == newest.revision()
    {
        return Err(Error::user(format!(
            "revision {revision} of \"{release}\" cannot be read"
        ))
        .why(reason));
    }
    let record = storage::read_with_secrets(cluster, namespace, release, revision).await?;
    let model = Facts::read(&record.guard).model;
    let model = model.as_deref().and_then(Model::named);
    Ok((record, model))
}

fn subject(record: &Record, model: Option<Model>) -> Subject<'_> {
    Subject {
        model,
        release: &record.summary.release,
        namespace: &record.summary.namespace,
        values: &record.computed_values,
    }
}

/// The public certificates of one orderer, as a channel's configuration names a consenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// PEM: what it signs blocks with.
    pub identity: Vec<u8>,
    /// PEM: what it shows to other orderers, as server and as client.
    pub tls: Vec<u8>,
}

/// An organization as a channel's configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub contact: Contact,
    /// The public half of its MSP.
    pub msp: MspFiles,
    /// Of each node, in the order of the contact's.
    pub certificates: Vec<Certificates>,
}

impl Participant {
    /// Reads an organization's public half from its nodes' Secrets.
    ///
    /// # Errors
    ///
    /// A Secret that is missing or may not be read; identities on a volume.
    pub async fn load(cluster: &Cluster, contact: Contact) -> Result<Participant> {
        let Identities::Secrets { nodes, .. } = &contact.identities else {
            return Err(on_volume(
                &contact,
                "its public certificates cannot be read",
            ));
        };
        let read = |name: String| secret(cluster, &contact, name);
        let msps = try_join_all(nodes.iter().map(|pair| read(pair.msp.clone())));
        let tls = async {
            match contact.tls {
                true => try_join_all(nodes.iter().map(|pair| read(pair.tls.clone()))).await,
                false => Ok(Vec::new()),
            }
        };
        let (msps, tls) = futures::try_join!(msps, tls)?;
        let first = msps.first().ok_or_else(|| {
            Error::user(format!("organization \"{}\" has no nodes", contact.release))
        })?;
        let msp = public::of_secret(first, &contact.domain);
        let certificates = msps.iter().enumerate().map(|(index, msp)| {
            let tls = match tls.get(index) {
                Some(tls) => entry_of(&contact, &nodes[index].tls, tls, "tls.crt")?,
                None => Vec::new(),
            };
            Ok(Certificates {
                identity: entry_of(&contact, &nodes[index].msp, msp, "cert.pem")?,
                tls,
            })
        });
        Ok(Participant {
            certificates: certificates.collect::<Result<_>>()?,
            msp,
            contact,
        })
    }
}

/// Reads one of the organization's Secrets.
pub(super) async fn secret(cluster: &Cluster, contact: &Contact, name: String) -> Result<Value> {
    let key = ObjectKey::core("Secret", contact.namespace.as_str(), name.as_str());
    let what = || format!("an identity of \"{}\" cannot be read", contact.release);
    match cluster.get("v1", &key).await {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => {
            Err(Error::user(what()).at(Place::new(key.to_string()).note("there is no such Secret")))
        }
        Err(error) if error.kind == ApiErrorKind::Forbidden => {
            Err(Error::from(error).context(what()))
        }
        Err(error) => Err(error.into()),
    }
}

/// One entry of a Secret that must have it.
pub(super) fn entry_of(
    contact: &Contact,
    name: &str,
    secret: &Value,
    key: &str,
) -> Result<Vec<u8>> {
    entry(secret, key).ok_or_else(|| {
        let place = format!("Secret {}/{name}", contact.namespace);
        Error::user(format!(
            "an identity of \"{}\" cannot be read",
            contact.release
        ))
        .at(Place::new(place).note(format!("data[{key:?}]: missing")))
    })
}

/// The error where identities are files that only pods can read.
pub(super) fn on_volume(contact: &Contact, what: &str) -> Error {
    Error::user(format!("organization \"{}\": {what}", contact.release))
        .why("its identities are files on a volume (crypto.source nfs), which only its pods read")
}
