//! Identities that the user keeps: nothing of them is made here, and what nodes are to mount is checked before a node needs it.

use super::certificate::{Certificate, chain_from_pem, key_from_pem};
use super::crypto_config::Folder;
use super::secrets::{self, Content, Member, Wanted, entry};
use super::{Organization, Source};
use crate::error::{Error, Place, Result};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Who keeps the keys and certificates of nodes and users. Passwords that this program makes stay its own.
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
    /// Narrows the Secrets of an organization to those that are made or mounted, under the names that they have.
    pub fn narrow(&self, all: Vec<Wanted>) -> Vec<Wanted> {
        let credentials = |wanted: &Wanted| matches!(wanted.content, Content::Credentials { .. });
        match self {
            Custody::Program => all,
            Custody::Volume { .. } => all.into_iter().filter(credentials).collect(),
            Custody::User { names, mounted } => {
                let kept = all.into_iter().filter(|wanted| credentials(wanted) || mounted.contains(&wanted.name));
                kept.map(|wanted| match names.get(&wanted.name) {
                    Some(name) => Wanted { name: name.clone(), ..wanted },
                    None => wanted,
                })
                .collect()
            }
        }
    }
}

/// Checks the user's Secrets, all of them before anything is said: that each is there with every key that a pod mounts, that keys fit
/// certificates, that no certificate has ended and each is signed by the authority beside it, and bears the addresses of its node.
pub fn check_secrets(
    organization: &Organization,
    wanted: &[Wanted],
    existing: &BTreeMap<String, Value>,
    now: jiff::Timestamp,
) -> Result<Vec<String>> {
    let check = Check { organization, now, problems: RefCell::default(), warnings: RefCell::default() };
    for Wanted { name, content } in wanted.iter().filter(|wanted| !matches!(wanted.content, Content::Credentials { .. })) {
        match existing.get(name) {
            Some(secret) => check.secret(name, content, secret),
            None => check.problem(name, "there is no such Secret".to_owned()),
        }
    }
    let problems = check.problems.into_inner();
    if problems.is_empty() {
        return Ok(check.warnings.into_inner());
    }
    Err(Error::user(format!("the Secrets with the identities of {:?} cannot be used", organization.domain))
        .at_all(problems)
        .why("crypto.source is secret: they are yours, and nothing is made in their place")
        .now("nothing was made, and nothing was sent to the cluster")
        .hint("Secrets of other names are named by crypto.secrets: {peer0-tls: the-name-of-yours}"))
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
    for Wanted { content, .. } in secrets::all(organization).iter().filter(|wanted| mounted.contains(&wanted.name)) {
        match content {
            Content::Msp(member) => drop(folder.msp(member)),
            Content::Tls(Member::CaServer(_)) | Content::AdminClientCa | Content::Credentials { .. } => {}
            Content::Tls(member) => drop(folder.tls(member)),
            Content::Ca => {
                if let Some(certificate) = folder.ca()
                    && organization.ca_server.is_some()
                    && folder.authority_key("ca", &certificate).is_none()
                {
                    return Err(super::no_authority_key(organization, "ca"));
                }
            }
            Content::TlsCa => drop(folder.tls_ca()),
        }
    }
    folder.finish()?;
    Ok(Vec::new())
}

struct Check<'a> {
    organization: &'a Organization,
    now: jiff::Timestamp,
    problems: RefCell<Vec<Place>>,
    warnings: RefCell<Vec<String>>,
}

impl Check<'_> {
    fn secret(&self, name: &str, content: &Content, secret: &Value) {
        let (certificate, key, authorities): (&str, Option<&str>, &[&str]) = match content {
            Content::Ca | Content::TlsCa => ("cert.pem", Some("key.pem"), &[]),
            Content::Msp(_) => ("cert.pem", Some("key.pem"), &["cacert.pem", "tlscacert.pem"]),
            Content::Tls(_) => ("tls.crt", Some("tls.key"), &["ca.crt"]),
            Content::AdminClientCa => ("ca.crt", None, &[]),
            Content::Credentials { .. } => return,
        };
        let mut missing = false;
        for wanted in [certificate].iter().chain(&key).chain(authorities) {
            if entry(secret, wanted).is_none() {
                self.problem(name, format!("data[{wanted:?}]: missing"));
                missing = true;
            }
        }
        if missing {
            return;
        }
        let Some(chain) = self.chain(name, secret, certificate) else { return };
        let leaf = &chain[0];
        self.check_validity(name, certificate, leaf);
        if let Some(key) = key {
            self.check_key(name, secret, key, leaf);
        }
        if let Some(authority) = authorities.first()
            && let Some(mut trusted) = self.chain(name, secret, authority)
        {
            let mut between = chain[1..].to_vec();
            between.extend(
                entry(secret, "intermediatecert.pem").and_then(|pem| chain_from_pem(&pem, name).ok()).unwrap_or_default(),
            );
            if !leads_to(leaf, &between, &trusted) {
                self.problem(name, format!("data[{certificate:?}]: is not signed by data[{authority:?}]"));
            }
            self.check_validity(name, authority, &trusted.remove(0));
        }
        if let Content::Tls(Member::Node(node) | Member::CaServer(node)) = content {
            let absent: Vec<_> = node.advertised.iter().filter(|host| !leaf.bears(host)).map(String::as_str).collect();
            if !absent.is_empty() {
                let hosts = if leaf.hosts.is_empty() { "none".to_owned() } else { leaf.hosts.join(", ") };
                self.problem(name, format!("data[{certificate:?}]: does not bear {} (its names: {hosts})", absent.join(", ")));
            }
        }
    }

    fn chain(&self, name: &str, secret: &Value, key: &str) -> Option<Vec<Certificate>> {
        let chain = chain_from_pem(&entry(secret, key)?, key).ok();
        if chain.is_none() {
            self.problem(name, format!("data[{key:?}]: is not a certificate in PEM"));
        }
        chain
    }

    fn check_key(&self, name: &str, secret: &Value, key: &str, certificate: &Certificate) {
        let Some(pem) = entry(secret, key) else { return };
        match key_from_pem(&pem, key) {
            Ok(pair) if certificate.fits(&pair) => {}
            Ok(_) => self.problem(name, format!("data[{key:?}]: does not fit the certificate")),
            // Fabric reads older forms too (`EC PRIVATE KEY`), which are no reason to refuse.
            Err(_) => self.warnings.borrow_mut().push(format!(
                "whether data[{key:?}] of Secret {}/{name} fits its certificate was not checked: it is not in PKCS#8",
                self.organization.namespace
            )),
        }
    }

    fn check_validity(&self, name: &str, key: &str, certificate: &Certificate) {
        if certificate.not_after < self.now {
            self.problem(name, format!("data[{key:?}]: expired on {}", certificate.not_after));
        } else if certificate.not_before > self.now {
            self.problem(name, format!("data[{key:?}]: is not valid before {}", certificate.not_before));
        }
    }

    fn problem(&self, name: &str, note: String) {
        let place = Place::new(format!("Secret {}/{name}", self.organization.namespace));
        self.problems.borrow_mut().push(place.note(note));
    }
}

/// Whether a chain of signatures leads from a certificate to one that is trusted, over any of those between.
fn leads_to(leaf: &Certificate, between: &[Certificate], trusted: &[Certificate]) -> bool {
    let mut current = leaf;
    for _ in 0..=between.len() {
        if trusted.iter().any(|authority| current.is_signed_by(authority)) {
            return true;
        }
        match between.iter().find(|next| *next != current && current.is_signed_by(next)) {
            Some(next) => current = next,
            None => return false,
        }
    }
    false
}
