//! Identities: Secrets with keys and certificates of an organization's nodes and users. They are
//! created once. The same authority may renew their certificates, and the pods that read them have
//! a mark that shows which ones they run.
//!
//! Also handles the other Secrets that are created once and kept (administrators of the CA server
//! and of CouchDB). Pure except for the randomness of keys; the clock is an argument.

use crate::error::{Error, Place, Result};
use crate::manifest::Object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub mod certificate;
mod check;
mod crypto_config;
mod custody;
pub mod enrolled;
pub mod export;
mod generate;
pub mod inventory;
pub mod known;
pub mod low_s;
mod profile;
pub mod public;
mod renewal;
pub mod request;
pub mod secrets;
#[cfg(test)]
mod tests;

use certificate::Certificate;
use check::SOON;
use crypto_config::Folder;
pub use custody::Custody;
use generate::{Generator, sign_tls};
use known::Pin;
use profile::Authority;
pub(crate) use profile::{Pair, random};
pub use renewal::{Renewal, of_orderers};
use secrets::{Content, Maker, Member, Wanted, certificate_key, entry};
pub use secrets::{FINGERPRINT, NOT_AFTER, SOURCE};

/// The facts about an organization that its certificates need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// The release, as in the labels of the Secrets.
    pub release: String,
    pub namespace: String,
    /// Such as `org1`. Also the namespace, so that `peer0.org1` is an address.
    pub domain: String,
    pub msp_id: String,
    pub role: NodeRole,
    pub nodes: Vec<Node>,
    /// Secrets with a user name and a random password: (name of the Secret, user name).
    pub credentials: Vec<(String, String)>,
    /// The CA server, if there is one. It has its own TLS certificate.
    pub ca_server: Option<Node>,
    pub custody: Custody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    Peer,
    Orderer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `peer0`
    pub name: String,
    /// All names and addresses for its TLS certificate, the node's own address first: `peer0.org1`,
    /// `peer0`, `peer0.org1.svc`, ...
    pub hosts: Vec<String>,
    /// The names that clients use, and those that values add. Certificates from all sources must be
    /// valid for them.
    pub advertised: Vec<String>,
}

/// The source of keys and certificates.
#[derive(Clone)]
pub enum Source {
    /// Generated with cryptogen's certificate profile. For development.
    Generate,
    /// The files of a crypto-config folder by their path in it, which the edge has read.
    CryptoConfig {
        folder: String,
        files: BTreeMap<String, Vec<u8>>,
    },
}

/// The result of [`plan`].
#[derive(Debug, Default)]
pub struct Plan {
    /// Secrets to create, complete with labels. Authorities come first: an interruption in this
    /// order leaves an organization that can be extended. Excludes existing Secrets.
    pub create: Vec<Object>,
    /// Complete Secrets that replace existing ones, with new certificates of the same authority.
    /// Each has the UID of the existing Secret.
    pub renew: Vec<Object>,
    /// Names of identity Secrets that exist and do not change.
    pub keep: Vec<String>,
    /// Kept Secrets that another release created, and that this release adopts.
    pub take_up: Vec<TakenUp>,
    /// Digests of the certificates in all Secrets of the namespace that pods will read.
    pub digests: BTreeMap<String, String>,
    /// The same before any change.
    pub digests_before: BTreeMap<String, String>,
    /// Expiry of these certificates, by digest.
    pub ends: BTreeMap<String, jiff::Timestamp>,
    /// The certificates by which ordering services identify their members.
    pub pins: BTreeMap<String, Pin>,
    /// The same before any change.
    pub pins_before: BTreeMap<String, Pin>,
    /// Optional entries of MSP Secrets that exist, with their mount paths.
    pub items: BTreeMap<String, String>,
    /// Whether `create` contains a generated key, so that the output says that it is for
    /// development.
    pub generated: bool,
    /// Warnings about Secrets that do not change: close to expiry, or without a host that is now
    /// required.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Returns the names of all Secrets after the plan is carried out.
    pub fn names(&self) -> BTreeSet<&str> {
        let written = self
            .create
            .iter()
            .chain(&self.renew)
            .map(|object| &object.key.name);
        written.chain(&self.keep).map(String::as_str).collect()
    }
}

/// A Secret that another release created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenUp {
    pub name: String,
    pub uid: String,
}

/// Returns the names of all Secrets that the organization needs, which [`plan`] takes as input.
pub fn secret_names(organization: &Organization) -> Vec<String> {
    secrets::wanted(organization)
        .into_iter()
        .map(|wanted| wanted.name)
        .collect()
}

/// Compares the Secrets that the organization needs with the existing ones (by name, as fetched).
/// Plans missing Secrets, and renews those for which the source has other certificates.
///
/// # Errors
///
/// Fails for a crypto-config that lacks a node, or that has a key that does not match its
/// certificate, an expired certificate, or one that is not valid for the node's address or does not
/// chain to its CA. Also fails if an existing Secret is of another authority than the
/// crypto-config, if the CA key is missing when the organization grows, and if the user's own
/// Secrets or files would not work for a node.
pub fn plan(
    organization: &Organization,
    existing: &BTreeMap<String, Value>,
    source: &Source,
    now: jiff::Timestamp,
) -> Result<Plan> {
    let wanted = secrets::wanted(organization);
    let mut plan = decide(organization, &wanted, existing, source, now)?;
    plan.digests_before = existing
        .iter()
        .filter_map(|(name, secret)| Some((name.clone(), known::digest(secret)?)))
        .collect();
    let written: BTreeMap<&str, &Value> = plan
        .create
        .iter()
        .chain(&plan.renew)
        .map(|object| (object.key.name.as_str(), &object.body))
        .collect();
    let after = |name: &str| written.get(name).copied().or_else(|| existing.get(name));
    let digests = plan.digests_before.clone().into_iter();
    let digests = digests.chain(
        written
            .iter()
            .filter_map(|(name, secret)| Some(((*name).to_owned(), known::digest(secret)?))),
    );
    let digests: BTreeMap<String, String> = digests.collect();
    let end =
        |(name, digest): (&String, &String)| Some((digest.clone(), known::end(after(name)?)?));
    let ends = digests.iter().filter_map(end).collect();
    let pins = |of: &dyn Fn(&str) -> Option<Value>| -> BTreeMap<String, Pin> {
        let orderers = wanted
            .iter()
            .filter(|_| organization.role == NodeRole::Orderer);
        let pin = |it: &Wanted| {
            Some((
                it.content.usual_name()?,
                Pin::of(&of(&it.name)?, certificate_key(&it.content)?)?,
            ))
        };
        orderers.filter_map(pin).collect()
    };
    let (pins_before, pins) = (
        pins(&|name| existing.get(name).cloned()),
        pins(&|name| after(name).cloned()),
    );
    let msps = wanted
        .iter()
        .filter(|it| matches!(it.content, Content::Msp(_)));
    let items = secrets::further_items(msps.filter_map(|it| after(&it.name)));
    Ok(Plan {
        digests,
        ends,
        pins,
        pins_before,
        items,
        ..plan
    })
}

fn decide(
    organization: &Organization,
    wanted: &[Wanted],
    existing: &BTreeMap<String, Value>,
    source: &Source,
    now: jiff::Timestamp,
) -> Result<Plan> {
    let mut plan = match (&organization.custody, source) {
        (Custody::Program, _) => Plan::default(),
        (Custody::User { .. }, Source::CryptoConfig { folder, .. }) => {
            return Err(two_sources(organization, folder));
        }
        (Custody::User { .. }, Source::Generate) => Plan {
            warnings: custody::check_secrets(organization, wanted, existing, now)?,
            ..Plan::default()
        },
        (Custody::Volume { mounted }, _) => Plan {
            warnings: custody::check_volume(organization, mounted, source, now)?,
            ..Plan::default()
        },
    };
    let (present, missing): (Vec<_>, Vec<_>) = wanted
        .iter()
        .partition(|wanted| existing.contains_key(&wanted.name));
    plan.keep = present.iter().map(|wanted| wanted.name.clone()).collect();
    if organization.custody != Custody::Program {
        generate(
            organization,
            wanted,
            &only_credentials(missing),
            existing,
            now,
            &mut plan,
        )?;
        return Ok(plan);
    }
    match source {
        Source::Generate => {
            if organization.ca_server.is_some() {
                let kept = present
                    .iter()
                    .find(|wanted| matches!(wanted.content, Content::Ca))
                    .and_then(|ca| existing.get(&ca.name));
                if kept.is_some_and(|secret| entry(secret, "key.pem").is_none()) {
                    return Err(no_authority_key(organization, "ca"));
                }
            }
            generate(organization, wanted, &missing, existing, now, &mut plan)?;
            renewal::with_new_names(organization, &present, existing, None, now, &mut plan)?;
        }
        Source::CryptoConfig { folder, files } => {
            let folder = Folder::open(organization, folder, files, now)?;
            let offered = import(organization, &folder, wanted, existing, now)?;
            renewal::renew(organization, offered, existing, &mut plan)?;
            let server = present
                .iter()
                .filter(|it| matches!(it.content, Content::Tls(Member::CaServer(_))))
                .copied()
                .collect::<Vec<_>>();
            renewal::with_new_names(
                organization,
                &server,
                existing,
                folder.tls_pair(),
                now,
                &mut plan,
            )?;
        }
    }
    plan.keep
        .retain(|name| plan.renew.iter().all(|object| object.key.name != *name));
    plan.take_up = plan
        .keep
        .iter()
        .filter_map(|name| taken_up(organization, name, existing.get(name)?))
        .collect();
    plan.warnings
        .extend(warnings(organization, wanted, existing, &plan, now));
    Ok(plan)
}

fn taken_up(organization: &Organization, name: &str, secret: &Value) -> Option<TakenUp> {
    maker(secret).filter(|release| *release != organization.release)?;
    Some(TakenUp {
        name: name.to_owned(),
        uid: secret["metadata"]["uid"].as_str()?.to_owned(),
    })
}

fn only_credentials(wanted: Vec<&Wanted>) -> Vec<&Wanted> {
    wanted
        .into_iter()
        .filter(|wanted| matches!(wanted.content, Content::Credentials { .. }))
        .collect()
}

fn two_sources(organization: &Organization, folder: &str) -> Error {
    Error::user(format!(
        "the identities of {:?} have two sources",
        organization.domain
    ))
    .at(Place::new("crypto.source").note("secret: your existing Secrets"))
    .at(Place::new("--crypto-config").note(format!("{folder}: Secrets are created from it")))
    .now("no identities were created, and nothing was sent to the cluster")
    .hint("use only one of them")
}

fn generate(
    organization: &Organization,
    wanted: &[Wanted],
    missing: &[&Wanted],
    existing: &BTreeMap<String, Value>,
    now: jiff::Timestamp,
    plan: &mut Plan,
) -> Result<()> {
    let maker = Maker {
        organization,
        source: "generate",
    };
    plan.generated = missing
        .iter()
        .any(|wanted| !matches!(wanted.content, Content::Credentials { .. }));
    let generator = if plan.generated {
        Some(Generator::open(organization, wanted, existing, now)?)
    } else {
        None
    };
    for Wanted { name, content } in missing {
        plan.create.push(match (content, &generator) {
            (Content::Ca, Some(by)) => {
                maker.authority(name, &by.ca.pair.certificate, Some(&by.ca.pair.key))?
            }
            (Content::TlsCa, Some(by)) => {
                maker.authority(name, &by.tls_ca.pair.certificate, Some(&by.tls_ca.pair.key))?
            }
            (Content::Msp(member), Some(by)) => maker.msp(name, &by.msp(member)?)?,
            (Content::Tls(member), Some(by)) => maker.tls(name, &by.tls(member)?)?,
            (Content::AdminClientCa, Some(by)) => {
                maker.admin_client_ca(name, &by.tls_ca.pair.certificate)?
            }
            (Content::Credentials { user }, _) => maker.credentials(name, user)?,
            (_, None) => continue,
        });
    }
    Ok(())
}

/// Returns the folder's content for each Secret that it can fill, even for Secrets that exist.
fn import(
    organization: &Organization,
    folder: &Folder,
    wanted: &[Wanted],
    existing: &BTreeMap<String, Value>,
    now: jiff::Timestamp,
) -> Result<Vec<Object>> {
    let maker = Maker {
        organization,
        source: "cryptogen",
    };
    let ca_server = organization.ca_server.is_some();
    let mut offered = Vec::new();
    for Wanted { name, content } in wanted {
        let secret = match content {
            Content::Ca => folder.ca().map(|certificate| {
                let kept = existing
                    .get(name)
                    .and_then(|secret| renewal::kept_key(secret, &certificate));
                let key = folder.authority_key("ca", &certificate).or(kept);
                if ca_server && key.is_none() {
                    folder.lacks_authority_key("ca");
                }
                maker.authority(name, &certificate, key.as_deref())
            }),
            Content::TlsCa => folder.tls_ca().map(|certificate| {
                let kept = existing
                    .get(name)
                    .and_then(|secret| renewal::kept_key(secret, &certificate));
                let key = folder.authority_key("tlsca", &certificate).or(kept);
                maker.authority(name, &certificate, key.as_deref())
            }),
            Content::Msp(member) => folder.msp(member).map(|msp| maker.msp(name, &msp)),
            // cryptogen makes no certificate for a CA server, so the organization's own TLS
            // authority signs one, once.
            Content::Tls(Member::CaServer(_)) if existing.contains_key(name) => None,
            Content::Tls(member @ Member::CaServer(_)) => match folder.tls_pair() {
                Some(pair) => {
                    let authority =
                        Authority::from_pair(pair, &format!("tlsca.{}", organization.domain))?;
                    Some(maker.tls(
                        name,
                        &sign_tls(&authority, member, &organization.domain, None, now)?,
                    ))
                }
                None => {
                    folder.lacks_authority_key("tlsca");
                    None
                }
            },
            Content::Tls(member) => folder.tls(member).map(|tls| maker.tls(name, &tls)),
            Content::AdminClientCa => folder
                .tls_ca()
                .map(|certificate| maker.admin_client_ca(name, &certificate)),
            Content::Credentials { .. } if existing.contains_key(name) => None,
            Content::Credentials { user } => Some(maker.credentials(name, user)),
        };
        // `None` is a problem that the folder has recorded. All of them are reported at once.
        if let Some(secret) = secret {
            offered.push(secret?);
        }
    }
    folder.finish()?;
    Ok(offered)
}

fn no_authority_key(organization: &Organization, which: &str) -> Error {
    let secret = match which {
        "ca" => format!("{}-ca", organization.release),
        _ => format!("{}-tlsca", organization.release),
    };
    Error::user(format!("the key of {which}.{}, which the CA server needs, is missing", organization.domain))
        .at(Place::new(format!("Secret {}/{secret}", organization.namespace)).note("data.key.pem: missing"))
        .why("the CA server signs with the organization's key, and the TLS authority's key signs its TLS certificate")
        .now("no identities were created, and nothing was sent to the cluster")
        .hint("put the key next to its certificate, or set ca.enabled=false")
}

fn warnings(
    organization: &Organization,
    wanted: &[Wanted],
    existing: &BTreeMap<String, Value>,
    plan: &Plan,
    now: jiff::Timestamp,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let written: BTreeMap<&str, &Value> = plan
        .create
        .iter()
        .chain(&plan.renew)
        .map(|object| (object.key.name.as_str(), &object.body))
        .collect();
    for Wanted { name, content } in wanted {
        let kept = existing
            .get(name)
            .filter(|_| !written.contains_key(name.as_str()));
        let Some(secret) = kept.or_else(|| written.get(name.as_str()).copied()) else {
            continue;
        };
        let place = format!("Secret {}/{name}", organization.namespace);
        if kept.is_some() && !is_own(organization, secret) {
            warnings.push(match maker(secret) {
                Some(release) if organization.custody == Custody::Program => {
                    format!("{place} was created by release \"{release}\" and now belongs to this release")
                }
                _ => format!("{place} was not created by this release and is used unchanged"),
            });
        }
        let pem = certificate_key(content).and_then(|key| entry(secret, key));
        let Some(certificate) = pem.and_then(|pem| Certificate::from_pem(&pem, name).ok()) else {
            continue;
        };
        if certificate.not_after < now {
            warnings.push(format!(
                "the certificate in {place} expired on {}",
                certificate.not_after
            ));
        } else if certificate.not_before > now {
            warnings.push(format!(
                "the certificate in {place} is not valid before {}",
                certificate.not_before
            ));
        } else if certificate.not_after.duration_since(now) < SOON {
            warnings.push(format!(
                "the certificate in {place} expires on {}",
                certificate.not_after
            ));
        }
    }
    warnings
}

fn is_own(organization: &Organization, secret: &Value) -> bool {
    maker(secret) == Some(&organization.release)
}

/// Returns the release that created an identity Secret.
fn maker(secret: &Value) -> Option<&str> {
    secret["metadata"]["labels"][LABEL].as_str()
}

/// Label of all identity Secrets: `kubectl-fabric.io/identity: <release>`.
pub const LABEL: &str = "kubectl-fabric.io/identity";

/// Returns true if a Secret is of a certificate authority: it has a certificate, but no authority's
/// certificate besides.
pub fn is_authority(secret: &Object) -> bool {
    let data = &secret.body["data"];
    !data["cert.pem"].is_null() && data["cacert.pem"].is_null()
}
