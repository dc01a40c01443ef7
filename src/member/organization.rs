//! An organization without its administrator: its contact from the release's record, and the public
//! parts of its identities.

use crate::cluster::{ApiErrorKind, Cluster, Kind};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::{Contact, Identities};
use crate::fabric::guard::Facts;
use crate::fabric::{self, Model, Subject};
use crate::identity::public::{self, MspFiles};
use crate::identity::secrets::entry;
use crate::identity::{self, NodeRole};
use crate::ledger::msp::Msp;
use crate::ledger::organization::Organization;
use crate::manifest::ObjectKey;
use crate::release::{Entry, Record, Status, baseline};
use crate::storage;
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads the contact of a release from its record: the deployed revision, or the newest if none is.
///
/// # Errors
///
/// Fails for an unknown release, for one that is not an organization, and for a record that cannot
/// be read or verified, because the record determines which nodes are called.
pub async fn contact(cluster: &Cluster, namespace: &str, release: &str) -> Result<Contact> {
    let (record, model) = record(cluster, namespace, release).await?;
    Contact::of(subject(&record, model))
}

/// Like [`Installed::load`], for a release with its newest revision. Returns `None` if it is not an
/// organization.
pub(super) async fn installed_if_organization(
    cluster: &Cluster,
    newest: &Entry,
) -> Result<Option<Installed>> {
    let (namespace, release) = match newest {
        Entry::Readable(summary) => (&summary.namespace, &summary.release),
        Entry::Unreadable {
            namespace, release, ..
        } => (namespace, release),
    };
    let revision = match newest {
        // No older revision is deployed, so the history need not be read.
        Entry::Readable(summary) if summary.status == Status::Deployed => summary.revision,
        _ => deployed(cluster, namespace, release).await?,
    };
    let (record, model) = revision_of(cluster, namespace, release, revision).await?;
    match model {
        Some(Model::PeerOrganization | Model::OrdererOrganization) => {
            Installed::of(subject(&record, model)).map(Some)
        }
        Some(Model::Kafka | Model::Chaincode) | None => Ok(None),
    }
}

/// The deployed revision of a release, or the newest if none is.
async fn deployed(cluster: &Cluster, namespace: &str, release: &str) -> Result<u32> {
    let history = storage::history(cluster, namespace, release).await?;
    let Some(newest) = history.last() else {
        return Err(storage::unknown_release(cluster, namespace, release).await);
    };
    let revision = baseline(&history).map_or(newest.revision(), |summary| summary.revision);
    match newest {
        Entry::Unreadable { reason, .. } if revision == newest.revision() => Err(Error::user(
            format!("cannot read revision {revision} of \"{release}\""),
        )
        .why(reason)),
        _ => Ok(revision),
    }
}

async fn record(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
) -> Result<(Record, Option<Model>)> {
    let revision = deployed(cluster, namespace, release).await?;
    revision_of(cluster, namespace, release, revision).await
}

async fn revision_of(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    revision: u32,
) -> Result<(Record, Option<Model>)> {
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

/// An installed organization: its contact, and the identities that it needs.
#[derive(Clone, Debug)]
pub struct Installed {
    pub contact: Contact,
    pub organization: identity::Organization,
}

impl Installed {
    /// Reads a release's record, as [`contact`] does.
    pub async fn load(cluster: &Cluster, namespace: &str, release: &str) -> Result<Installed> {
        let (record, model) = record(cluster, namespace, release).await?;
        Installed::of(subject(&record, model))
    }

    fn of(subject: Subject) -> Result<Installed> {
        let contact = Contact::of(subject)?;
        let organization = fabric::organization(subject)?.ok_or_else(|| {
            Error::internal(format!("release \"{}\" has no identities", contact.release))
        })?;
        Ok(Installed {
            contact,
            organization,
        })
    }

    /// Lists the Secrets of its namespace by name, without those of records.
    ///
    /// # Errors
    ///
    /// Fails for identities on a volume, and without permission to list Secrets.
    pub async fn secrets(&self, cluster: &Cluster) -> Result<BTreeMap<String, Value>> {
        self.check_readable()?;
        let kind = Kind {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
        };
        let namespace = Some(self.contact.namespace.as_str());
        let selector = format!("!{}", storage::RECORD_LABEL);
        let listed = cluster.list(&kind, namespace, &selector).await;
        let listed = listed.map_err(|error| self.unread(error.into()))?;
        let named = listed
            .into_iter()
            .filter_map(|secret| Some((secret["metadata"]["name"].as_str()?.to_owned(), secret)));
        Ok(named.collect())
    }

    /// Reads the existing ones of these Secrets.
    ///
    /// # Errors
    ///
    /// Fails for identities on a volume, and without permission to read one of the Secrets.
    pub async fn secrets_named(
        &self,
        cluster: &Cluster,
        names: &[String],
    ) -> Result<BTreeMap<String, Value>> {
        self.check_readable()?;
        let read = names.iter().map(async |name| {
            let key = ObjectKey::core("Secret", self.contact.namespace.as_str(), name.as_str());
            match cluster.get("v1", &key).await {
                Ok(secret) => Ok(secret.map(|secret| (name.clone(), secret))),
                Err(error) => Err(self.unread(error.into())),
            }
        });
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }

    fn check_readable(&self) -> Result<()> {
        match self.contact.identities {
            Identities::Secrets { .. } => Ok(()),
            Identities::Volume => Err(self.unreadable()),
        }
    }

    /// The error for identities on a volume.
    pub fn unreadable(&self) -> Error {
        on_volume(&self.contact, "its identities cannot be read")
    }

    fn unread(&self, error: Error) -> Error {
        error.context(format!(
            "cannot read the identities of \"{}\"",
            self.contact.release
        ))
    }
}

/// Reads the public part of an organization's MSP from the Secret of its first node.
pub async fn public_msp(cluster: &Cluster, contact: &Contact) -> Result<MspFiles> {
    let Identities::Secrets { nodes, .. } = &contact.identities else {
        return Err(on_volume(contact, "cannot read its public certificates"));
    };
    let first = nodes.first().ok_or_else(|| without_nodes(contact))?;
    let secret = secret(cluster, contact, first.msp.clone()).await?;
    Ok(public::of_secret(&secret, &contact.domain))
}

/// Reads the TLS authorities of an organization's CA server from its Secret, PEM. Empty without a
/// CA server, or without TLS.
pub async fn ca_authorities(cluster: &Cluster, contact: &Contact) -> Result<String> {
    let Some(ca) = contact.ca.as_ref().filter(|_| contact.tls) else {
        return Ok(String::new());
    };
    let secret = secret(cluster, contact, ca.tls_secret.clone()).await?;
    let bytes = entry_of(contact, &ca.tls_secret, &secret, "ca.crt")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Describes an organization as a channel holds it, with the default policies.
pub fn definition(contact: &Contact, msp: &Msp) -> Organization {
    let msp = Msp {
        id: contact.msp_id.clone(),
        ..msp.clone()
    };
    match contact.role {
        NodeRole::Peer => Organization::of_peers(msp),
        NodeRole::Orderer => {
            let endpoints = contact.nodes.iter().map(|node| node.endpoint.clone());
            Organization::of_orderers(msp, endpoints.collect())
        }
    }
}

fn without_nodes(contact: &Contact) -> Error {
    Error::user(format!("organization \"{}\" has no nodes", contact.release))
}

/// The public certificates of one orderer, as a channel's configuration names a consenter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// PEM: its certificate for signing blocks.
    pub identity: Vec<u8>,
    /// PEM: its TLS certificate for other orderers, as server and as client.
    pub tls: Vec<u8>,
}

/// An organization for a channel's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub contact: Contact,
    pub msp: Msp,
    /// Of each node, in the order of the contact's.
    pub certificates: Vec<Certificates>,
}

impl Participant {
    /// Reads the public part of an organization from its nodes' Secrets.
    ///
    /// # Errors
    ///
    /// Fails for a missing or unreadable Secret, and for identities on a volume.
    pub async fn load(cluster: &Cluster, contact: Contact) -> Result<Participant> {
        let Identities::Secrets { nodes, .. } = &contact.identities else {
            return Err(on_volume(&contact, "cannot read its public certificates"));
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
        let first = msps.first().ok_or_else(|| without_nodes(&contact))?;
        let msp = public::of_secret(first, &contact.domain);
        let msp = Msp::from_files(&contact.msp_id, &msp)?;
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
    let what = || format!("cannot read an identity of \"{}\"", contact.release);
    match cluster.get("v1", &key).await {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => {
            Err(Error::user(what()).at(Place::new(key.to_string()).note("Secret not found")))
        }
        Err(error) if error.kind == ApiErrorKind::Forbidden => {
            Err(Error::from(error).context(what()))
        }
        Err(error) => Err(error.into()),
    }
}

/// A required entry of a Secret.
pub(super) fn entry_of(
    contact: &Contact,
    name: &str,
    secret: &Value,
    key: &str,
) -> Result<Vec<u8>> {
    entry(secret, key).ok_or_else(|| {
        let place = format!("Secret {}/{name}", contact.namespace);
        Error::user(format!(
            "cannot read an identity of \"{}\"",
            contact.release
        ))
        .at(Place::new(place).note(format!("data[{key:?}]: missing")))
    })
}

/// Returns the error for identities in files that only pods can read.
pub(super) fn on_volume(contact: &Contact, what: &str) -> Error {
    Error::user(format!("organization \"{}\": {what}", contact.release))
        .why("its identities are files on a volume (crypto.source nfs) that only its pods can read")
}
