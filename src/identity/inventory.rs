//! Lists an organization's identities with their owners, Secrets and certificates. Reads no keys.

use super::certificate::Certificate;
use super::secrets::{Content, Member, all, certificate_key, entry};
use super::{Custody, LABEL, NodeRole, Organization, SOURCE};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An identity that the organization has, or lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The short name of its owner: `peer0`, `admin`, `ca`. An owner may have several identities.
    pub name: String,
    pub whose: Whose,
    pub kind: Kind,
    /// The name of its Secret.
    pub secret: String,
    /// The identity, or the reason why the Secret has none.
    pub content: Result<Found, String>,
}

/// The content of an identity's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub certificate: Certificate,
    pub has_key: bool,
    /// `generate`, `cryptogen` or `enroll`; `None` for the user's own Secrets.
    pub source: Option<String>,
}

/// The owner of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Organization,
    Peer,
    Orderer,
    Administrator,
    CaServer,
    /// A node that the release no longer has.
    RemovedNode,
    User,
}

/// The purpose of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It signs certificates.
    Authority,
    /// It signs messages: the MSP of a node or user.
    Msp,
    Tls,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Whose::Organization => "organization",
            Whose::Peer => "peer",
            Whose::Orderer => "orderer",
            Whose::Administrator => "administrator",
            Whose::CaServer => "CA server",
            Whose::RemovedNode => "removed node",
            Whose::User => "user",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Authority => "authority",
            Kind::Msp => "MSP",
            Kind::Tls => "TLS",
        })
    }
}

/// Lists the identities in the namespace's Secrets, by name: those that the organization needs,
/// then others with its label.
pub fn inventory(organization: &Organization, secrets: &BTreeMap<String, Value>) -> Vec<Held> {
    let mut held = Vec::new();
    let mut known = BTreeSet::new();
    for wanted in all(organization) {
        let name = organization.custody.name_of(&wanted.name);
        known.insert(name.to_owned());
        let Some(key) = certificate_key(&wanted.content) else {
            continue;
        };
        let content = match secrets.get(name) {
            Some(secret) => found(secret, key),
            None if organization.custody.requires(&wanted.name) => {
                Err("Secret not found".to_owned())
            }
            None => continue,
        };
        let (owner, whose, kind) = role(organization, &wanted.content);
        held.push(Held {
            name: owner,
            whose,
            kind,
            secret: name.to_owned(),
            content,
        });
    }
    let others = secrets.iter().filter(|(name, secret)| {
        !known.contains(*name)
            && secret["metadata"]["labels"][LABEL].as_str() == Some(&organization.release)
    });
    held.extend(others.filter_map(|(name, secret)| other(organization, name, secret)));
    held
}

/// The names of the owners, each once, in order.
pub fn owners(held: &[Held]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for it in held {
        if !names.contains(&it.name.as_str()) {
            names.push(&it.name);
        }
    }
    names
}

/// The names of the Secrets that an owner may have.
pub fn secret_names(organization: &Organization, owner: &str) -> Vec<String> {
    let wanted = all(organization).into_iter();
    let of_owner = wanted.filter(|it| {
        certificate_key(&it.content).is_some() && role(organization, &it.content).0 == owner
    });
    let names: Vec<String> = of_owner
        .map(|it| organization.custody.name_of(&it.name).to_owned())
        .collect();
    match names.is_empty() {
        // A user, or a node that was removed.
        true => ["msp", "tls"].map(|kind| format!("{owner}-{kind}")).into(),
        false => names,
    }
}

fn found(secret: &Value, key: &str) -> Result<Found, String> {
    let pem = entry(secret, key).ok_or_else(|| format!("data[{key:?}] is missing"))?;
    let certificate = Certificate::from_pem(&pem, &format!("data[{key:?}]"))
        .map_err(|error| error.what().to_owned())?;
    let of_key = if key == "cert.pem" {
        "key.pem"
    } else {
        "tls.key"
    };
    let source = &secret["metadata"]["annotations"][SOURCE];
    Ok(Found {
        certificate,
        has_key: secret["data"].get(of_key).is_some(),
        source: source.as_str().map(str::to_owned),
    })
}

fn role(organization: &Organization, content: &Content) -> (String, Whose, Kind) {
    let member = |member: &Member| match (member, organization.role) {
        (Member::Node(node), NodeRole::Peer) => (node.name.clone(), Whose::Peer),
        (Member::Node(node), NodeRole::Orderer) => (node.name.clone(), Whose::Orderer),
        (Member::Admin, _) => (ADMIN.to_owned(), Whose::Administrator),
        (Member::CaServer(node), _) => (node.name.clone(), Whose::CaServer),
    };
    let authority = |name: &str| (name.to_owned(), Whose::Organization, Kind::Authority);
    match content {
        Content::Ca => authority("ca"),
        Content::TlsCa => authority("tlsca"),
        Content::AdminClientCa => authority("clientca"),
        Content::Msp(of) => {
            let (name, whose) = member(of);
            (name, whose, Kind::Msp)
        }
        Content::Tls(of) => {
            let (name, whose) = member(of);
            (name, whose, Kind::Tls)
        }
        Content::Credentials { user } => (user.clone(), Whose::User, Kind::Msp),
    }
}

/// The name of the administrator.
pub const ADMIN: &str = "admin";

/// A Secret with the organization's label that none of its nodes needs: of a removed node, or of a
/// user. `None` for a password.
fn other(organization: &Organization, name: &str, secret: &Value) -> Option<Held> {
    let (kind, key) = ["tls.crt", "cert.pem"]
        .into_iter()
        .find(|key| secret["data"].get(key).is_some())
        .map(|key| match (key, secret["data"].get("cacert.pem")) {
            ("tls.crt", _) => (Kind::Tls, key),
            (_, Some(_)) => (Kind::Msp, key),
            (_, None) => (Kind::Authority, key),
        })?;
    let suffix = if kind == Kind::Tls { "-tls" } else { "-msp" };
    let owner = name.strip_suffix(suffix).unwrap_or(name);
    let node = match organization.role {
        NodeRole::Peer => "peer",
        NodeRole::Orderer => "orderer",
    };
    let number = owner.strip_prefix(node).unwrap_or_default();
    let is_node = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let whose = match (kind, owner) {
        (Kind::Authority, _) => Whose::Organization,
        (_, "ca") => Whose::CaServer,
        _ if is_node => Whose::RemovedNode,
        _ => Whose::User,
    };
    Some(Held {
        name: owner.to_owned(),
        whose,
        kind,
        secret: name.to_owned(),
        content: found(secret, key),
    })
}

impl Custody {
    /// The actual name of a Secret with this default name.
    pub fn name_of<'a>(&'a self, usual: &'a str) -> &'a str {
        match self {
            Custody::User { names, .. } => names.get(usual).map_or(usual, String::as_str),
            Custody::Program | Custody::Volume { .. } => usual,
        }
    }

    /// Returns true if the organization requires the Secret with this default name.
    fn requires(&self, usual: &str) -> bool {
        match self {
            Custody::Program => true,
            Custody::User { mounted, .. } => mounted.contains(usual),
            Custody::Volume { .. } => false,
        }
    }
}
