//! Identities: keys and certificates of an organization's nodes and users, as Secrets. They are
//! made once; their certificates may be renewed by the same authority, and the pods that read them
//! are marked with which ones they run.
//!
//! Also the other Secrets that are made once and kept (administrator of the CA server and of
//! CouchDB). Pure but for the randomness of keys; the clock enters as an argument.

use crate::error::{Error, Place, Result};
use crate::manifest::Object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub mod certificate;
mod check;
mod crypto_config;
mod custody;
mod generate;
pub mod known;
pub mod low_s;
mod profile;
mod renewal;
mod secrets;
#[cfg(test)]
mod tests;

use certificate::Certificate;
use check::SOON;
use crypto_config::Folder;
pub use custody::Custody;
use generate::{Generator, sign_tls};
use known::Pin;
use profile::Authority;
pub(crate) use profile::random;
pub use renewal::{Renewal, of_orderers};
use secrets::{Content, Maker, Member, Wanted, certificate_key, entry};
pub use secrets::{FINGERPRINT, NOT_AFTER, SOURCE};

/// An organization as its certificates see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// The release; it stands in labels of the Secrets.
    pub release: String,
    pub namespace: String,
    /// `org1`: also the namespace, so that `peer0.org1` is an address.
    pub domain: String,
    pub msp_id: String,
    pub role: NodeRole,
    pub nodes: Vec<Node>,
    /// Secrets with a user name and a random password: (Secret's name, user name).
    pub credentials: Vec<(String, String)>,
    /// The CA server, if one runs: it gets a TLS certificate of its own.
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
    /// Every name and address for its TLS certificate, the node's own address first: `peer0.org1`,
    /// `peer0`, `peer0.org1.svc`, ...
    pub hosts: Vec<String>,
    /// Those that others call it by, and those that values add: every source's certificate must be
    /// valid for them.
    pub advertised: Vec<String>,
}

/// Where keys and certificates come from.
pub enum Source {
    /// Made here, with cryptogen's certificate profile. For development.
    Generate,
    /// A crypto-config folder's files by path below it, as the edge has read them.
    CryptoConfig {
        folder: String,
        files: BTreeMap<String, Vec<u8>>,
    },
}

/// The outcome of [`plan`].
#[derive(Debug, Default)]
pub struct Plan {
    /// Secrets to create, complete with labels, authorities first: create them in this order, so
    /// that what an interruption leaves can be added to. Those that exist already are not among
    /// them.
    pub create: Vec<Object>,
    /// Secrets that exist, with certificates of the same authority in place of theirs, complete.
    /// Each names the UID that was seen.
    pub renew: Vec<Object>,
    /// Names of identity Secrets that exist and stay as they are.
    pub keep: Vec<String>,
    /// Those of them that another release made: they become this one's.
    pub take_up: Vec<TakenUp>,
    /// What pods will read: digests of the certificates in every Secret of the namespace.
    pub digests: BTreeMap<String, String>,
    /// The same before anything is written.
    pub digests_before: BTreeMap<String, String>,
    /// When these certificates end, by digest.
    pub ends: BTreeMap<String, jiff::Timestamp>,
    /// What ordering services know their members by.
    pub pins: BTreeMap<String, Pin>,
    /// The same before anything is written.
    pub pins_before: BTreeMap<String, Pin>,
    /// Entries of MSP Secrets that the chart mounts only where there are any, with their paths.
    pub items: BTreeMap<String, String>,
    /// Whether anything of `create` is a key generated here, so that the output says that it is for
    /// development.
    pub generated: bool,
    /// What the user should know of Secrets that stay: near their end, or without a host that is
    /// wanted now.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The names of the Secrets that are there once the plan is carried out.
    pub fn names(&self) -> BTreeSet<&str> {
        let written = self
            .create
            .iter()
            .chain(&self.renew)
            .map(|object| &object.key.name);
        written.chain(&self.keep).map(String::as_str).collect()
    }
}

/// A Secret that another release made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenUp {
    pub name: String,
    pub uid: String,
}

/// The names of all Secrets that the organization needs: those which [`plan`] wants to know of.
pub fn secret_names(organization: &Organization) -> Vec<String> {
    secrets::wanted(organization)
        .into_iter()
        .map(|wanted| wanted.name)
        .collect()
}

/// Compares what the organization needs with the Secrets that exist (by name, as fetched), makes
/// what is missing, and renews what a source has other certificates for.
///
/// # Errors
///
/// A crypto-config without a node, with a key that does not fit its certificate, with a certificate
/// that is not valid for the node's address, that is expired or does not chain to its CA; an
/// existing Secret of another authority than the crypto-config's; an organization to extend whose
/// CA key is not there; Secrets or files of the user's own that a node could not use.
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
        "the identities of {:?} are said twice",
        organization.domain
    ))
    .at(Place::new("crypto.source").note("secret: Secrets of yours, which are there already"))
    .at(Place::new("--crypto-config").note(format!("{folder}: Secrets are made of it")))
    .now("nothing was made, and nothing was sent to the cluster")
    .hint("leave one of them out")
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

/// What a folder has for each Secret that it can fill, whether the Secret exists or not.
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
            // cryptogen makes no certificate for a CA server: the organization's own TLS authority
            // signs it, once.
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
        // `None` is a problem that the folder remembers: all of them are reported at once.
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
    Error::user(format!("there is no key of {which}.{}, which the CA server needs", organization.domain))
        .at(Place::new(format!("Secret {}/{secret}", organization.namespace)).note("data.key.pem: missing"))
        .why("the CA server signs with the organization's own key, and its TLS certificate is signed by the TLS authority's")
        .now("nothing was made, and nothing was sent to the cluster")
        .hint("put the key beside its certificate, or set ca.enabled=false")
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
                    format!("{place} was made by release \"{release}\", and is this release's from now on")
                }
                _ => format!("{place} was not made by this release, and is used as it is"),
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
                "the certificate in {place} ends on {}",
                certificate.not_after
            ));
        }
    }
    warnings
}

fn is_own(organization: &Organization, secret: &Value) -> bool {
    maker(secret) == Some(&organization.release)
}

/// The release whose identity a Secret is.
fn maker(secret: &Value) -> Option<&str> {
    secret["metadata"]["labels"][LABEL].as_str()
}

/// The label that every identity Secret bears: `kubectl-fabric.io/identity: <release>`.
pub const LABEL: &str = "kubectl-fabric.io/identity";

/// Whether a Secret is a certificate authority's: it has a certificate, and none of an authority
/// above it.
pub fn is_authority(secret: &Object) -> bool {
    let data = &secret.body["data"];
    !data["cert.pem"].is_null() && data["cacert.pem"].is_null()
}
