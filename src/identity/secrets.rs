//! The Secrets that nodes mount. Their format is the same for all sources.
//!
//! | Secret | keys | mounted by |
//! |---|---|---|
//! | `<node>-msp` | cert.pem, key.pem, cacert.pem, tlscacert.pem; if the source has them, config.yaml, admincert.pem, intermediatecert.pem, tlsintermediatecert.pem, crl.pem; further ones of a kind are numbered: cacert2.pem | the node |
//! | `<node>-tls` | tls.crt, tls.key, ca.crt | the node |
//! | `ca-tls` | the same | the CA server |
//! | `<release>-ca`, `<release>-tlsca` | cert.pem, key.pem if the source has it | the CA server; read to extend the organization |
//! | `<release>-admin-msp`, `<release>-admin-tls` | as for a node | the CLI pod, never a node |
//! | `<release>-admin-clientca` | ca.crt | orderers: the authority of clients that may use the admin port |
//! | credentials | username, password | the server and its client |

use super::certificate::{Certificate, hex};
use super::check::MspConfig;
use super::profile::{Pair, random};
use super::{LABEL, Node, NodeRole, Organization};
use crate::error::{Error, Result};
use crate::manifest::{Object, TemplateLine};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A Secret that the organization needs.
pub struct Wanted {
    pub name: String,
    pub content: Content,
}

pub enum Content {
    Ca,
    TlsCa,
    Msp(Member),
    Tls(Member),
    /// The authority of TLS clients that may administer orderers.
    AdminClientCa,
    Credentials {
        user: String,
    },
}

impl Content {
    /// Returns the default name of a node's Secret, regardless of the user's name for it.
    pub fn usual_name(&self) -> Option<String> {
        match self {
            Content::Msp(Member::Node(node)) => Some(format!("{}-msp", node.name)),
            Content::Tls(Member::Node(node)) => Some(format!("{}-tls", node.name)),
            _ => None,
        }
    }
}

/// The owner of an identity.
#[derive(Clone)]
pub enum Member {
    Node(Node),
    Admin,
    CaServer(Node),
}

/// A member's signing identity and trusted authorities, all in PEM.
pub struct Msp {
    pub pair: Pair,
    pub roots: Vec<String>,
    /// Index of the root to which the certificate chains.
    pub signer: usize,
    pub intermediates: Vec<String>,
    pub tls_roots: Vec<String>,
    pub tls_intermediates: Vec<String>,
    pub revocations: Vec<String>,
    /// NodeOUs: maps units of a certificate's subject to roles.
    pub config: Option<MspConfig>,
    /// Administrators' certificates, if NodeOUs do not identify administrators.
    pub admins: Vec<String>,
}

pub struct Tls {
    /// The certificate, which may be a chain, and its key.
    pub pair: Pair,
    /// The authorities in one text.
    pub ca: String,
}

/// Returns the organization's Secrets that this program creates, or that the user keeps and pods
/// mount.
pub fn wanted(organization: &Organization) -> Vec<Wanted> {
    organization.custody.narrow(all(organization))
}

/// Returns all Secrets of the organization in the order of creation: authorities first, so that an
/// organization that is only partly created can be extended later.
pub fn all(organization: &Organization) -> Vec<Wanted> {
    let release = &organization.release;
    let mut all = vec![
        Wanted {
            name: format!("{release}-ca"),
            content: Content::Ca,
        },
        Wanted {
            name: format!("{release}-tlsca"),
            content: Content::TlsCa,
        },
    ];
    for node in &organization.nodes {
        all.push(Wanted {
            name: format!("{}-msp", node.name),
            content: Content::Msp(Member::Node(node.clone())),
        });
        all.push(Wanted {
            name: format!("{}-tls", node.name),
            content: Content::Tls(Member::Node(node.clone())),
        });
    }
    all.push(Wanted {
        name: format!("{release}-admin-msp"),
        content: Content::Msp(Member::Admin),
    });
    all.push(Wanted {
        name: format!("{release}-admin-tls"),
        content: Content::Tls(Member::Admin),
    });
    if organization.role == NodeRole::Orderer {
        all.push(Wanted {
            name: format!("{release}-admin-clientca"),
            content: Content::AdminClientCa,
        });
    }
    if let Some(server) = &organization.ca_server {
        all.push(Wanted {
            name: format!("{}-tls", server.name),
            content: Content::Tls(Member::CaServer(server.clone())),
        });
    }
    for (name, user) in &organization.credentials {
        all.push(Wanted {
            name: name.clone(),
            content: Content::Credentials { user: user.clone() },
        });
    }
    all
}

/// Returns the MSP's `config.yaml` that cryptogen writes with `EnableNodeOUs`
/// (`internal/cryptogen/msp/msp.go`, `exportConfig`).
///
/// It names the file at which nodes mount `cacert.pem`.
pub fn node_ous(domain: &str) -> String {
    let mut text = String::from("NodeOUs:\n  Enable: true\n");
    for (role, unit) in [
        ("Client", "client"),
        ("Peer", "peer"),
        ("Admin", "admin"),
        ("Orderer", "orderer"),
    ] {
        text.push_str(&format!(
            "  {role}OUIdentifier:\n    Certificate: {}\n    OrganizationalUnitIdentifier: {unit}\n",
            ca_file(domain)
        ));
    }
    text
}

/// Returns the path of the authority's certificate in an MSP folder, in cryptogen's trees and in
/// this program's mounts.
pub fn ca_file(domain: &str) -> String {
    format!("cacerts/ca.{domain}-cert.pem")
}

/// Possible entries of an MSP's Secret, and where the chart mounts them.
///
/// Fabric reads one certificate per file, so further ones of a kind have their own entries and
/// files: `cacert2.pem` is mounted as `cacerts/cacert2.pem`.
pub const FOLDERS: [(&str, &str, bool); 6] = [
    ("cacert", "cacerts", true),
    ("tlscacert", "tlscacerts", true),
    ("intermediatecert", "intermediatecerts", true),
    ("admincert", "admincerts", true),
    ("tlsintermediatecert", "tlsintermediatecerts", false),
    ("crl", "crls", false),
];

/// Returns the name of the nth entry of a kind, counted from 0.
fn entry_name(stem: &str, index: usize) -> String {
    if index == 0 {
        format!("{stem}.pem")
    } else {
        format!("{stem}{}.pem", index + 1)
    }
}

/// Returns the mount path of an entry of an MSP's Secret that the chart does not name itself, or
/// `None` for other entries.
fn further_path(entry: &str) -> Option<String> {
    let name = entry.strip_suffix(".pem")?;
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = &name[stem.len()..];
    let (_, folder, chart_names_first) = FOLDERS.iter().find(|(known, ..)| *known == stem)?;
    let counts = if number.is_empty() {
        !chart_names_first
    } else {
        number.parse().is_ok_and(|number: u16| number >= 2)
    };
    counts.then(|| format!("{folder}/{entry}"))
}

/// Returns all entries of a kind in an MSP's Secret, in order.
pub fn entries_of(secret: &Value, stem: &str) -> Vec<String> {
    let data = secret["data"].as_object();
    let named = |index: &usize| {
        Some(entry_name(stem, *index))
            .filter(|name| data.is_some_and(|data| data.contains_key(name)))
    };
    let mut found: Vec<String> = named(&0).into_iter().collect();
    found.extend((1..data.map_or(0, |data| data.len() + 2)).filter_map(|index| named(&index)));
    found
}

/// Returns the path of an entry of an MSP's Secret in the MSP folder.
pub fn mounted_path(entry: &str, domain: &str) -> String {
    match entry {
        "cacert.pem" => ca_file(domain),
        "intermediatecert.pem" => "intermediatecerts/cert.pem".to_owned(),
        _ => further_path(entry).unwrap_or_else(|| entry.to_owned()),
    }
}

/// Returns entry and path of everything in MSP Secrets that the chart does not mount by default.
pub fn further_items<'a>(secrets: impl Iterator<Item = &'a Value>) -> BTreeMap<String, String> {
    let entries = secrets
        .filter_map(|secret| secret["data"].as_object())
        .flat_map(|data| data.keys());
    entries
        .filter_map(|entry| Some((entry.clone(), further_path(entry)?)))
        .collect()
}

fn msp_entries(msp: &Msp, domain: &str) -> Vec<(String, String)> {
    let mut order: Vec<usize> = (0..msp.roots.len()).collect();
    order.sort_by_key(|index| *index != msp.signer);
    let roots: Vec<String> = order
        .iter()
        .map(|index| msp.roots[*index].clone())
        .collect();
    let mut data = vec![
        ("cert.pem".to_owned(), msp.pair.certificate.clone()),
        ("key.pem".to_owned(), msp.pair.key.clone()),
    ];
    let mut add = |stem: &str, files: &[String]| {
        data.extend(
            files
                .iter()
                .enumerate()
                .map(|(index, pem)| (entry_name(stem, index), pem.clone())),
        );
    };
    add("cacert", &roots);
    add("tlscacert", &msp.tls_roots);
    add("intermediatecert", &msp.intermediates);
    add("tlsintermediatecert", &msp.tls_intermediates);
    add("crl", &msp.revocations);
    add("admincert", &msp.admins);
    if let Some(MspConfig { text, names }) = &msp.config {
        let path_of = |named: &str| {
            let (_, index, is_root) = names.iter().find(|(name, ..)| name == named)?;
            let entry = match is_root {
                true => entry_name("cacert", order.iter().position(|at| at == index)?),
                false => entry_name("intermediatecert", *index),
            };
            Some(mounted_path(&entry, domain))
        };
        let line = |line: &str| match line
            .trim_start()
            .strip_prefix("Certificate:")
            .map(|named| named.trim())
        {
            Some(named) => match path_of(named.trim_matches(['"', '\''])) {
                Some(path) => line.replace(named, &path),
                None => line.to_owned(),
            },
            None => line.to_owned(),
        };
        data.push((
            "config.yaml".to_owned(),
            text.split_inclusive('\n').map(line).collect(),
        ));
    }
    data
}

/// Builds the Secrets of one organization.
pub struct Maker<'a> {
    pub organization: &'a Organization,
    /// `generate`, `cryptogen` or `enroll`.
    pub source: &'static str,
}

impl Maker<'_> {
    pub fn authority(&self, name: &str, certificate: &str, key: Option<&str>) -> Result<Object> {
        let mut data = vec![("cert.pem", certificate)];
        data.extend(key.map(|key| ("key.pem", key)));
        self.secret(name, "Opaque", &data, Some(certificate))
    }

    pub fn msp(&self, name: &str, msp: &Msp) -> Result<Object> {
        let data = msp_entries(msp, &self.organization.domain);
        let data: Vec<_> = data
            .iter()
            .map(|(key, text)| (key.as_str(), text.as_str()))
            .collect();
        self.secret(name, "Opaque", &data, Some(&msp.pair.certificate))
    }

    pub fn tls(&self, name: &str, tls: &Tls) -> Result<Object> {
        let data = [
            ("tls.crt", tls.pair.certificate.as_str()),
            ("tls.key", &tls.pair.key),
            ("ca.crt", &tls.ca),
        ];
        self.secret(
            name,
            "kubernetes.io/tls",
            &data,
            Some(&tls.pair.certificate),
        )
    }

    pub fn admin_client_ca(&self, name: &str, tls_ca: &str) -> Result<Object> {
        self.secret(name, "Opaque", &[("ca.crt", tls_ca)], Some(tls_ca))
    }

    /// Generates a random password of 128 bits in hexadecimal, which needs no quoting in a URL, an
    /// argument or an ini file.
    pub fn credentials(&self, name: &str, user: &str) -> Result<Object> {
        let password = hex(&random::<16>()?);
        self.secret(
            name,
            "kubernetes.io/basic-auth",
            &[("username", user), ("password", &password)],
            None,
        )
    }

    /// Creates a Secret of a user, with any entries.
    pub fn of_user(
        &self,
        name: &str,
        kind: &str,
        data: &[(String, String)],
        certificate: &str,
    ) -> Result<Object> {
        let data: Vec<(&str, &str)> = data
            .iter()
            .map(|(key, text)| (key.as_str(), text.as_str()))
            .collect();
        self.secret(name, kind, &data, Some(certificate))
    }

    fn secret(
        &self,
        name: &str,
        kind: &str,
        data: &[(&str, &str)],
        certificate: Option<&str>,
    ) -> Result<Object> {
        let mut annotations = Map::new();
        if let Some(certificate) = certificate {
            let certificate = Certificate::from_pem(
                certificate.as_bytes(),
                &format!("the certificate of Secret {name}"),
            )?;
            annotations.insert(SOURCE.to_owned(), self.source.into());
            annotations.insert(FINGERPRINT.to_owned(), certificate.fingerprint().into());
            annotations.insert(
                NOT_AFTER.to_owned(),
                certificate.not_after.to_string().into(),
            );
        } else {
            annotations.insert(SOURCE.to_owned(), "generate".into());
        }
        let data: Map<String, Value> = data
            .iter()
            .map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into()))
            .collect();
        let body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self.organization.namespace,
                "labels": {"app.kubernetes.io/managed-by": "kubectl-fabric", LABEL: self.organization.release},
                "annotations": annotations,
            },
            "type": kind,
            "data": data,
        });
        Object::from_body(
            body,
            TemplateLine {
                template: "identity".to_owned(),
                line: 0,
            },
        )
        .ok_or_else(|| Error::internal(format!("Secret {name} has no name or kind")))
    }
}

/// Annotation: the source of an identity, `generate`, `cryptogen` or `enroll`.
pub const SOURCE: &str = "kubectl-fabric.io/identity-source";
/// Annotation: SHA-256 digest of its certificate in lower-case hex.
pub const FINGERPRINT: &str = "kubectl-fabric.io/fingerprint";
/// Annotation: expiry of its certificate (RFC 3339).
pub const NOT_AFTER: &str = "kubectl-fabric.io/not-after";

/// Returns the key of a Secret that contains its certificate, or `None` for credentials.
pub fn certificate_key(content: &Content) -> Option<&'static str> {
    match content {
        Content::Ca | Content::TlsCa | Content::Msp(_) => Some("cert.pem"),
        Content::Tls(_) => Some("tls.crt"),
        Content::AdminClientCa => Some("ca.crt"),
        Content::Credentials { .. } => None,
    }
}

/// Returns an entry of a Secret from the API server.
pub fn entry(secret: &Value, key: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(secret.get("data")?.get(key)?.as_str()?)
        .ok()
}
