//! Identities that the user keeps: nothing of them is made here, and what nodes are to mount is
//! checked before a node needs it.

use super::certificate::blocks;
use super::check::{Checker, Item, MspParts, TlsParts};
use super::crypto_config::Folder;
use super::secrets::{self, Content, Member, Wanted, entries_of, entry, mounted_path};
use super::{Organization, Source};
use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Who keeps the keys and certificates of nodes and users. Passwords that this program makes stay
/// its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Custody {
    /// This program, in Secrets: what is missing is made.
    #[default]
    Program,
    /// The user, in Secrets.
    User {
        /// The user's name of a Secret by the usual one, where they differ.
        names: BTreeMap<String, String>,
        /// Usual names of the Secrets that pods mount; the others are not asked for.
        mounted: BTreeSet<String>,
    },
    /// The user, as files on a volume.
    Volume {
        /// Usual names of the Secrets in whose place pods mount files.
        mounted: BTreeSet<String>,
    },
}

impl Custody {
    /// Narrows the Secrets of an organization to those that are made or mounted, under the names
    /// that they have.
    pub fn narrow(&self, all: Vec<Wanted>) -> Vec<Wanted> {
        let credentials = |wanted: &Wanted| matches!(wanted.content, Content::Credentials { .. });
        match self {
            Custody::Program => all,
            Custody::Volume { .. } => all.into_iter().filter(credentials).collect(),
            Custody::User { names, mounted } => {
                let kept = all
                    .into_iter()
                    .filter(|wanted| credentials(wanted) || mounted.contains(&wanted.name));
                kept.map(|wanted| match names.get(&wanted.name) {
                    Some(name) => Wanted {
                        name: name.clone(),
                        ..wanted
                    },
                    None => wanted,
                })
                .collect()
            }
        }
    }
}

/// Checks the user's Secrets, all of them before anything is said: that each is there with every
/// key that a pod mounts, and whatever [`check`](super::check) asks of an identity.
pub fn check_secrets(
    organization: &Organization,
    wanted: &[Wanted],
    existing: &BTreeMap<String, Value>,
    now: jiff::Timestamp,
) -> Result<Vec<String>> {
    let check = Secrets {
        organization,
        check: Checker::new(&organization.domain, now),
    };
    for Wanted { name, content } in wanted
        .iter()
        .filter(|wanted| !matches!(wanted.content, Content::Credentials { .. }))
    {
        match existing.get(name) {
            Some(secret) => check.secret(name, content, secret),
            None => check
                .check
                .problem(check.subject(name), "there is no such Secret"),
        }
    }
    let problems = check.check.problems();
    if problems.is_empty() {
        return Ok(check.check.warnings());
    }
    let error = Error::user(format!(
        "the Secrets with the identities of {:?} cannot be used",
        organization.domain
    ))
    .at_all(problems)
    .why("crypto.source is secret: they are the user's own, and nothing is made in their place")
    .now("nothing was made, and nothing was sent to the cluster")
    .hint("Secrets of other names are named by crypto.secrets: {peer0-tls: NAME}");
    Err(match check.check.reissue_hint() {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// Checks a copy of what lies on the volume, if one is named.
pub fn check_volume(
    organization: &Organization,
    mounted: &BTreeSet<String>,
    source: &Source,
    now: jiff::Timestamp,
) -> Result<Vec<String>> {
    let Source::CryptoConfig { folder, files } = source else {
        return Ok(vec![
            "what lies on the volume of the identities was not checked: name the same folder, as this machine has it, by --crypto-config"
                .to_owned(),
        ]);
    };
    let folder = Folder::open(organization, folder, files, now)?;
    for Wanted { content, .. } in secrets::all(organization)
        .iter()
        .filter(|wanted| mounted.contains(&wanted.name))
    {
        match content {
            Content::Msp(member) => drop(folder.msp(member)),
            Content::Tls(Member::CaServer(_))
            | Content::AdminClientCa
            | Content::Credentials { .. } => {}
            Content::Tls(member) => drop(folder.tls(member)),
            Content::Ca => {
                if let Some(certificate) = folder.ca()
                    && organization.ca_server.is_some()
                    && folder.authority_key("ca", &certificate).is_none()
                {
                    folder.lacks_authority_key("ca");
                }
            }
            Content::TlsCa => drop(folder.tls_ca()),
        }
    }
    folder.finish()
}

/// The user's Secrets, brought to the checker as files.
struct Secrets<'a> {
    organization: &'a Organization,
    check: Checker<'a>,
}

impl Secrets<'_> {
    fn secret(&self, name: &str, content: &Content, secret: &Value) {
        let needed: &[&str] = match content {
            Content::Ca | Content::TlsCa => &["cert.pem", "key.pem"],
            Content::Msp(_) => &["cert.pem", "key.pem", "cacert.pem", "tlscacert.pem"],
            Content::Tls(_) => &["tls.crt", "tls.key", "ca.crt"],
            Content::AdminClientCa => &["ca.crt"],
            Content::Credentials { .. } => return,
        };
        let missing: Vec<_> = needed
            .iter()
            .filter(|key| entry(secret, key).is_none())
            .collect();
        for key in &missing {
            self.check
                .problem(self.subject(name), format!("data[{key:?}]: missing"));
        }
        if !missing.is_empty() {
            return;
        }
        let one = |key: &str| self.item(name, secret, key);
        let each = |stem: &str| {
            entries_of(secret, stem)
                .iter()
                .filter_map(|key| one(key))
                .collect::<Vec<_>>()
        };
        match content {
            Content::Msp(_) => {
                let parts = MspParts {
                    certificate: one("cert.pem"),
                    keys: one("key.pem").into_iter().collect(),
                    roots: each("cacert"),
                    intermediates: each("intermediatecert"),
                    tls_roots: each("tlscacert"),
                    tls_intermediates: each("tlsintermediatecert"),
                    revocations: each("crl"),
                    admins: each("admincert"),
                    config: one("config.yaml"),
                };
                // A folder's keys are written again; these are mounted as they are.
                if let Some(key) = parts.keys.first()
                    && blocks(&key.bytes)
                        .first()
                        .is_some_and(|(label, _)| label == "EC PARAMETERS")
                {
                    self.check
                        .blame(key, "begins with EC PARAMETERS, at which Fabric's MSP stops: leave the key's own block only");
                }
                drop(self.check.msp(&parts));
            }
            Content::Tls(member) => {
                let parts = TlsParts {
                    certificate: one("tls.crt"),
                    keys: one("tls.key").into_iter().collect(),
                    roots: one("ca.crt").into_iter().collect(),
                    intermediates: Vec::new(),
                };
                let (node, hosts) = match member {
                    Member::Node(node) | Member::CaServer(node) => {
                        (node.name.as_str(), node.advertised.as_slice())
                    }
                    Member::Admin => (name, &[][..]),
                };
                drop(self.check.tls(&parts, node, hosts));
            }
            Content::Ca | Content::TlsCa | Content::AdminClientCa | Content::Credentials { .. } => {
                let certificate = one(needed[0]);
                let chain = certificate
                    .as_ref()
                    .and_then(|item| self.check.certificates(item));
                if let (Some(item), Some(chain)) = (&certificate, chain) {
                    self.check.check_validity(item, &chain[0]);
                    if let Some(key) = needed.get(1) {
                        let keys: Vec<Item> = one(key).into_iter().collect();
                        drop(self.check.key(item, &chain[0], &keys));
                    }
                }
            }
        }
    }

    fn subject(&self, name: &str) -> String {
        format!("Secret {}/{name}", self.organization.namespace)
    }

    fn item(&self, name: &str, secret: &Value, key: &str) -> Option<Item> {
        let path = mounted_path(key, &self.organization.domain);
        Some(Item {
            subject: self.subject(name),
            prefix: format!("data[{key:?}]: "),
            path,
            bytes: entry(secret, key)?,
        })
    }
}
