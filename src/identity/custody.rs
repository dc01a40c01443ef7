//! Handles identities that the user keeps. Creates no part of them, and checks the files that nodes
//! mount before any node needs them.

use super::certificate::blocks;
use super::check::{Checker, Item, MspParts, TlsParts};
use super::crypto_config::Folder;
use super::secrets::{self, Content, Member, Wanted, entries_of, entry, mounted_path};
use super::{Organization, Source};
use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The keeper of the keys and certificates of nodes and users. This program always keeps the
/// passwords that it generates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Custody {
    /// This program keeps them in Secrets and generates missing ones.
    #[default]
    Program,
    /// The user keeps them in Secrets.
    User {
        /// The user's names of Secrets, by their default names, where they differ.
        names: BTreeMap<String, String>,
        /// Default names of the Secrets that pods mount. The others are not required.
        mounted: BTreeSet<String>,
    },
    /// The user keeps them as files on a volume.
    Volume {
        /// Default names of the Secrets that files on the volume replace.
        mounted: BTreeSet<String>,
    },
}

impl Custody {
    /// Selects the Secrets of an organization that are generated or mounted, under their actual
    /// names.
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

/// Checks all of the user's Secrets before it reports problems: that each exists with all keys that
/// a pod mounts, and satisfies [`check`](super::check).
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
            None => check.check.problem(check.subject(name), "Secret not found"),
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
    .why("crypto.source is secret, so you must provide these Secrets; none are generated")
    .now("no identities were created, and nothing was sent to the cluster")
    .hint("if your Secrets have other names, set crypto.secrets, such as {peer0-tls: NAME}");
    Err(match check.check.reissue_hint() {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// Checks a local copy of the volume's files, if the user named one.
pub fn check_volume(
    organization: &Organization,
    mounted: &BTreeSet<String>,
    source: &Source,
    now: jiff::Timestamp,
) -> Result<Vec<String>> {
    let Source::CryptoConfig { folder, files } = source else {
        return Ok(vec![
            "the volume of the identities was not checked: to check it, pass a local copy of the \
             same folder with --crypto-config"
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

/// Presents the user's Secrets to the checker as files.
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
        match content {
            Content::Msp(_) => self.msp(name, secret),
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

    fn msp(&self, name: &str, secret: &Value) {
        let one = |key: &str| self.item(name, secret, key);
        let each = |stem: &str| {
            let keys = entries_of(secret, stem);
            keys.iter().filter_map(|key| one(key)).collect::<Vec<_>>()
        };
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
        // Keys from a folder are rewritten without this block, but these are mounted unchanged.
        let has_parameters = |key: &Item| {
            let blocks = blocks(&key.bytes);
            blocks
                .first()
                .is_some_and(|(label, _)| label == "EC PARAMETERS")
        };
        if let Some(key) = parts.keys.first().filter(|key| has_parameters(key)) {
            let why = "starts with EC PARAMETERS, which Fabric's MSP cannot read: keep only the block of the key";
            self.check.blame(key, why);
        }
        drop(self.check.msp(&parts));
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
