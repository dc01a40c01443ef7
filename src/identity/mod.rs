//! Identities: keys and certificates of an organization's nodes and users, as Secrets that are made once and never re-made.
//!
//! Also the other Secrets that are made once and kept (administrator of the CA server and of CouchDB). Pure but for the randomness of keys;
//! the clock enters as an argument.

use crate::error::{Error, Place, Result};
use crate::manifest::Object;
use serde_json::Value;
use std::collections::BTreeMap;

mod certificate;
mod crypto_config;
mod custody;
mod generate;
mod profile;
mod secrets;
#[cfg(test)]
mod tests;

use certificate::Certificate;
use crypto_config::Folder;
pub use custody::Custody;
use generate::{Generator, sign_tls};
use profile::{Authority, Pair};
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
    /// Every name and address for its TLS certificate, the node's own address first: `peer0.org1`, `peer0`, `peer0.org1.svc`, ...
    pub hosts: Vec<String>,
    /// Those that others are told to call it by, which every source's certificate must bear.
    pub advertised: Vec<String>,
}

/// Where keys and certificates come from.
pub enum Source {
    /// Made here, with cryptogen's certificate profile. For development.
    Generate,
    /// A crypto-config folder's files by path below it, as the edge has read them.
    CryptoConfig { folder: String, files: BTreeMap<String, Vec<u8>> },
}

/// The outcome of [`plan`].
#[derive(Debug, Default)]
pub struct Plan {
    /// Secrets to create, complete with labels, authorities first: create them in this order, so that what an interruption leaves can
    /// be added to. Those that exist already are not among them.
    pub create: Vec<Object>,
    /// Names of identity Secrets that exist and stay as they are.
    pub keep: Vec<String>,
    /// Whether anything of `create` is a key generated here, so that the output says that it is for development.
    pub generated: bool,
    /// What the user should know of Secrets that stay: near their end, or without a host that is wanted now.
    pub warnings: Vec<String>,
}

/// The names of all Secrets that the organization needs: those which [`plan`] wants to know of.
pub fn secret_names(organization: &Organization) -> Vec<String> {
    secrets::wanted(organization).into_iter().map(|wanted| wanted.name).collect()
}

/// Compares what the organization needs with the Secrets that exist (by name, as fetched) and makes what is missing.
///
/// # Errors
///
/// A crypto-config without a node, with a key that does not fit its certificate, with a certificate that does not bear the node's
/// address, that is expired or does not chain to its CA; an existing Secret that is another identity than the crypto-config's; an
/// organization to extend whose CA key is not there; Secrets or files of the user's own that a node could not use.
pub fn plan(
    organization: &Organization,
    existing: &BTreeMap<String, Value>,
    source: &Source,
    now: jiff::Timestamp,
) -> Result<Plan> {
    let wanted = secrets::wanted(organization);
    let mut plan = match (&organization.custody, source) {
        (Custody::Program, _) => Plan { warnings: warnings(organization, &wanted, existing, now), ..Plan::default() },
        (Custody::User { .. }, Source::CryptoConfig { folder, .. }) => return Err(two_sources(organization, folder)),
        (Custody::User { .. }, Source::Generate) => {
            Plan { warnings: custody::check_secrets(organization, &wanted, existing, now)?, ..Plan::default() }
        }
        (Custody::Volume { mounted }, _) => {
            Plan { warnings: custody::check_volume(organization, mounted, source, now)?, ..Plan::default() }
        }
    };
    let (present, missing): (Vec<_>, Vec<_>) = wanted.iter().partition(|wanted| existing.contains_key(&wanted.name));
    plan.keep = present.iter().map(|wanted| wanted.name.clone()).collect();
    if organization.custody != Custody::Program {
        generate(organization, &wanted, &only_credentials(missing), existing, now, &mut plan)?;
        return Ok(plan);
    }
    if organization.ca_server.is_some() {
        let kept = present.iter().find(|wanted| matches!(wanted.content, Content::Ca)).and_then(|ca| existing.get(&ca.name));
        if kept.is_some_and(|secret| entry(secret, "key.pem").is_none()) {
            return Err(no_authority_key(organization, "ca"));
        }
    }
    match source {
        Source::Generate => generate(organization, &wanted, &missing, existing, now, &mut plan)?,
        Source::CryptoConfig { folder, files } => {
            let folder = Folder::open(organization, folder, files, now)?;
            same_identities(organization, &folder, &present, existing)?;
            import(organization, &folder, &missing, now, &mut plan)?;
        }
    }
    Ok(plan)
}

fn only_credentials(wanted: Vec<&Wanted>) -> Vec<&Wanted> {
    wanted.into_iter().filter(|wanted| matches!(wanted.content, Content::Credentials { .. })).collect()
}

fn two_sources(organization: &Organization, folder: &str) -> Error {
    Error::user(format!("the identities of {:?} are said twice", organization.domain))
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
    let maker = Maker { organization, source: "generate" };
    plan.generated = missing.iter().any(|wanted| !matches!(wanted.content, Content::Credentials { .. }));
    let generator = if plan.generated { Some(Generator::open(organization, wanted, existing, now)?) } else { None };
    for Wanted { name, content } in missing {
        plan.create.push(match (content, &generator) {
            (Content::Ca, Some(by)) => maker.authority(name, &by.ca.pair.certificate, Some(&by.ca.pair.key))?,
            (Content::TlsCa, Some(by)) => maker.authority(name, &by.tls_ca.pair.certificate, Some(&by.tls_ca.pair.key))?,
            (Content::Msp(member), Some(by)) => maker.msp(name, &by.msp(member)?)?,
            (Content::Tls(member), Some(by)) => maker.tls(name, &by.tls(member)?)?,
            (Content::AdminClientCa, Some(by)) => maker.admin_client_ca(name, &by.tls_ca.pair.certificate)?,
            (Content::Credentials { user }, _) => maker.credentials(name, user)?,
            (_, None) => continue,
        });
    }
    Ok(())
}

fn import(
    organization: &Organization,
    folder: &Folder,
    missing: &[&Wanted],
    now: jiff::Timestamp,
    plan: &mut Plan,
) -> Result<()> {
    let maker = Maker { organization, source: "cryptogen" };
    let ca_server = organization.ca_server.is_some();
    for Wanted { name, content } in missing {
        let secret = match content {
            Content::Ca => folder.ca().map(|certificate| {
                let key = folder.authority_key("ca", &certificate);
                if ca_server && key.is_none() {
                    return Err(no_authority_key(organization, "ca"));
                }
                maker.authority(name, &certificate, key.as_deref())
            }),
            Content::TlsCa => folder.tls_ca().map(|certificate| {
                let key = folder.authority_key("tlsca", &certificate);
                maker.authority(name, &certificate, key.as_deref())
            }),
            Content::Msp(member) => folder.msp(member).map(|msp| maker.msp(name, &msp)),
            // cryptogen makes no certificate for a CA server: the organization's own TLS authority signs it.
            Content::Tls(member @ Member::CaServer(_)) => folder.tls_ca().map(|certificate| {
                let key = folder.authority_key("tlsca", &certificate).ok_or_else(|| no_authority_key(organization, "tlsca"))?;
                let authority = Authority::from_pair(Pair { certificate, key }, &format!("tlsca.{}", organization.domain))?;
                maker.tls(name, &sign_tls(&authority, member, &organization.domain, now)?)
            }),
            Content::Tls(member) => folder.tls(member).map(|tls| maker.tls(name, &tls)),
            Content::AdminClientCa => folder.tls_ca().map(|certificate| maker.admin_client_ca(name, &certificate)),
            Content::Credentials { user } => Some(maker.credentials(name, user)),
        };
        // `None` is a problem that the folder remembers: all of them are reported at once.
        if let Some(secret) = secret {
            plan.create.push(secret?);
        }
    }
    folder.finish()
}

/// Refuses a crypto-config that is not the one whose identities run.
fn same_identities(
    organization: &Organization,
    folder: &Folder,
    present: &[&Wanted],
    existing: &BTreeMap<String, Value>,
) -> Result<()> {
    let mut others = Vec::new();
    for Wanted { name, content } in present {
        let offered = match content {
            Content::Ca => folder.ca(),
            Content::TlsCa | Content::AdminClientCa => folder.tls_ca(),
            Content::Msp(member) => folder.msp(member).map(|msp| msp.pair.certificate),
            Content::Tls(Member::CaServer(_)) | Content::Credentials { .. } => continue,
            Content::Tls(member) => folder.tls(member).map(|tls| tls.pair.certificate),
        };
        let (Some(key), Some(offered)) = (certificate_key(content), offered) else { continue };
        let fingerprint = |pem: &[u8]| Certificate::from_pem(pem, name).map(|certificate| certificate.fingerprint()).ok();
        if existing.get(name).and_then(|secret| entry(secret, key)).and_then(|pem| fingerprint(&pem))
            != fingerprint(offered.as_bytes())
        {
            let place = Place::new(format!("Secret {}/{name}", organization.namespace));
            others.push(place.note(format!("data[{key:?}]: another certificate than the crypto-config's")));
        }
    }
    folder.finish()?;
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!("the identities of {:?} are not those of the crypto-config", organization.domain))
        .at_all(others)
        .why("identities are made once and kept: another one under the same name would cut its node off from its channels")
        .now("nothing was made; the identities that exist are as they were")
        .hint("leave --crypto-config out to keep them; to start anew, `uninstall` with --delete-data first"))
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

/// How long before its end a certificate is spoken of.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

fn warnings(
    organization: &Organization,
    wanted: &[Wanted],
    existing: &BTreeMap<String, Value>,
    now: jiff::Timestamp,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for Wanted { name, content } in wanted {
        let Some(secret) = existing.get(name) else { continue };
        if secret["metadata"]["labels"][LABEL].as_str() != Some(&organization.release) {
            warnings.push(format!("Secret {}/{name} was not made by this release, and is used as it is", organization.namespace));
        }
        let pem = certificate_key(content).and_then(|key| entry(secret, key));
        let Some(certificate) = pem.and_then(|pem| Certificate::from_pem(&pem, name).ok()) else { continue };
        let place = format!("Secret {}/{name}", organization.namespace);
        if certificate.not_after < now {
            warnings.push(format!("the certificate in {place} expired on {}", certificate.not_after));
        } else if certificate.not_before > now {
            warnings.push(format!("the certificate in {place} is not valid before {}", certificate.not_before));
        } else if certificate.not_after.duration_since(now) < SOON {
            warnings.push(format!("the certificate in {place} ends on {}", certificate.not_after));
        }
        if let Content::Tls(Member::Node(node) | Member::CaServer(node)) = content {
            // A crypto-config need not bear more than the address; whoever made the certificate chose its names.
            let generated = secret["metadata"]["annotations"][SOURCE] == "generate";
            let hosts = if generated { node.hosts.as_slice() } else { &node.hosts[..node.hosts.len().min(1)] };
            let absent: Vec<_> = hosts.iter().filter(|host| !certificate.bears(host)).map(String::as_str).collect();
            if !absent.is_empty() {
                warnings.push(format!("the certificate in {place} is kept, and does not bear {}", absent.join(", ")));
            }
        }
    }
    warnings
}

/// The label that every identity Secret bears: `kubectl-fabric.io/identity: <release>`.
pub const LABEL: &str = "kubectl-fabric.io/identity";

/// Whether a Secret is a certificate authority's: it has a certificate, and none of an authority above it.
pub fn is_authority(secret: &Object) -> bool {
    let data = &secret.body["data"];
    !data["cert.pem"].is_null() && data["cacert.pem"].is_null()
}
