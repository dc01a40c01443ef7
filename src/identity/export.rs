//! Identities as files, in the layout of cryptogen (`internal/cryptogen/msp/msp.go`). Reads the
//! Secrets of any source; `--crypto-config` reads the result.

use super::Organization;
use super::crypto_config::kinds;
use super::inventory::{Held, Kind, Whose, inventory, owners};
use super::public;
use super::secrets::entry;
use crate::error::{Error, Place, Result, nearest};
use serde_json::Value;
use std::collections::BTreeMap;

/// Files by their path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Whether private keys are among the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    Without,
    With,
}

/// The name of a private key's file (`internal/cryptogen/csp/csp.go`).
pub const KEY: &str = "priv_sk";

/// Returns the organization's part of a crypto-config folder: its authorities, nodes,
/// administrator and users.
///
/// # Errors
///
/// Lists the Secrets that are missing or cannot be read.
pub fn tree(
    organization: &Organization,
    secrets: &BTreeMap<String, Value>,
    keys: Keys,
) -> Result<Files> {
    let [kind, _] = kinds(organization.role);
    let base = format!("{kind}/{}", organization.domain);
    let mut files = Files::new();
    let mut problems = Vec::new();
    for held in inventory(organization, secrets) {
        let Some(folder) = folder(organization, &held) else {
            continue;
        };
        match part(organization, secrets, &held, keys) {
            Ok(found) => files.extend(below(&format!("{base}/{folder}"), found)),
            Err(place) => problems.push(place),
        }
        // The MSP of the organization is the public part of any of its nodes' MSPs.
        if let (Kind::Msp, Whose::Peer | Whose::Orderer) = (held.kind, held.whose)
            && let Some(secret) = secrets.get(&held.secret)
        {
            let msp = public::of_secret(secret, &organization.domain);
            files.extend(below(&format!("{base}/msp"), msp));
        }
    }
    whole(organization, files, problems)
}

/// Returns the identities of one owner: `msp/` and `tls/` of a node or user, certificate and key of
/// an authority.
///
/// # Errors
///
/// Fails for an unknown owner, and for Secrets that are missing or unreadable.
pub fn owner(
    organization: &Organization,
    secrets: &BTreeMap<String, Value>,
    name: &str,
    keys: Keys,
) -> Result<Files> {
    let all = inventory(organization, secrets);
    let own: Vec<&Held> = all.iter().filter(|held| held.name == name).collect();
    if own.is_empty() {
        return Err(unknown(organization, name, &all));
    }
    let mut files = Files::new();
    let mut problems = Vec::new();
    for held in own {
        let folder = match held.kind {
            Kind::Authority => "",
            Kind::Msp => "msp",
            Kind::Tls => "tls",
        };
        match part(organization, secrets, held, keys) {
            Ok(found) => files.extend(below(folder, found)),
            Err(place) => problems.push(place),
        }
    }
    whole(organization, files, problems)
}

/// Returns the files of a user's Secret: an MSP folder, or the folder of a TLS identity.
pub fn of_user(organization: &Organization, user: &str, secret: &Value, kind: Kind) -> Files {
    let of = |entry_name: &str| entry(secret, entry_name);
    let mut files = Files::new();
    let mut add = |path: String, bytes: Option<Vec<u8>>| {
        files.extend(bytes.map(|bytes| (path, bytes)));
    };
    match kind {
        Kind::Tls => {
            add("client.crt".to_owned(), of("tls.crt"));
            add("client.key".to_owned(), of("tls.key"));
            add("ca.crt".to_owned(), of("ca.crt"));
        }
        Kind::Msp | Kind::Authority => {
            add(format!("signcerts/{user}-cert.pem"), of("cert.pem"));
            add(format!("keystore/{KEY}"), of("key.pem"));
            files.extend(public::of_secret(secret, &organization.domain));
        }
    }
    files
}

/// Returns the error for an unknown owner.
pub fn unknown(organization: &Organization, name: &str, held: &[Held]) -> Error {
    let names = owners(held);
    let error = Error::user(format!(
        "organization \"{}\" has no identity \"{name}\"",
        organization.release
    ))
    .why(format!("it has {}", names.join(", ")));
    match nearest(name, names) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

fn whole(organization: &Organization, files: Files, problems: Vec<Place>) -> Result<Files> {
    if problems.is_empty() {
        return Ok(files);
    }
    Err(Error::user(format!(
        "the identities of \"{}\" cannot be exported",
        organization.release
    ))
    .at_all(problems))
}

fn below(folder: &str, files: Files) -> impl Iterator<Item = (String, Vec<u8>)> {
    files.into_iter().map(move |(path, bytes)| match folder {
        "" => (path, bytes),
        folder => (format!("{folder}/{path}"), bytes),
    })
}

/// Returns cryptogen's path of an identity, or `None` if it does not generate this kind.
fn folder(organization: &Organization, held: &Held) -> Option<String> {
    let owner = full_name(organization, held);
    let owner = match held.whose {
        Whose::Organization => {
            return ["ca", "tlsca"]
                .contains(&held.name.as_str())
                .then(|| held.name.clone());
        }
        Whose::Peer => format!("peers/{owner}"),
        Whose::Orderer => format!("orderers/{owner}"),
        Whose::Administrator | Whose::User => format!("users/{owner}"),
        Whose::CaServer | Whose::RemovedNode => return None,
    };
    Some(match held.kind {
        Kind::Tls => format!("{owner}/tls"),
        Kind::Msp | Kind::Authority => format!("{owner}/msp"),
    })
}

/// Returns cryptogen's name of an owner: `peer0.org1`, `Admin@org1`.
fn full_name(organization: &Organization, held: &Held) -> String {
    let domain = &organization.domain;
    match held.whose {
        Whose::Administrator => format!("Admin@{domain}"),
        Whose::User => format!("{}@{domain}", held.name),
        _ => format!("{}.{domain}", held.name),
    }
}

/// Returns the files of one Secret.
fn part(
    organization: &Organization,
    secrets: &BTreeMap<String, Value>,
    held: &Held,
    keys: Keys,
) -> Result<Files, Place> {
    let place = Place::new(format!("Secret {}/{}", organization.namespace, held.secret));
    let secret = match (&held.content, secrets.get(&held.secret)) {
        (Ok(_), Some(secret)) => secret,
        (Err(why), _) => return Err(place.note(why)),
        (Ok(_), None) => return Err(place.note("Secret not found")),
    };
    let name = full_name(organization, held);
    let mut files = Files::new();
    let mut wanted: Vec<(&str, String)> = Vec::new();
    match held.kind {
        Kind::Authority => {
            let entry = match secret["data"]["cert.pem"].is_null() {
                true => "ca.crt",
                false => "cert.pem",
            };
            wanted.push((entry, format!("{name}-cert.pem")));
            // An organization may keep the key elsewhere.
            if keys == Keys::With && !secret["data"]["key.pem"].is_null() {
                wanted.push(("key.pem", KEY.to_owned()));
            }
        }
        Kind::Msp => {
            files = public::of_secret(secret, &organization.domain);
            wanted.push(("cert.pem", format!("signcerts/{name}-cert.pem")));
            if keys == Keys::With {
                wanted.push(("key.pem", format!("keystore/{KEY}")));
            }
        }
        Kind::Tls => {
            let side = match held.whose {
                Whose::Administrator | Whose::User => "client",
                _ => "server",
            };
            wanted.push(("tls.crt", format!("{side}.crt")));
            wanted.push(("ca.crt", "ca.crt".to_owned()));
            if keys == Keys::With {
                wanted.push(("tls.key", format!("{side}.key")));
            }
        }
    }
    for (key, path) in wanted {
        match entry(secret, key) {
            Some(bytes) => files.insert(path, bytes),
            None => return Err(place.note(format!("data[{key:?}]: missing"))),
        };
    }
    Ok(files)
}
