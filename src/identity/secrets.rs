//! The Secrets that nodes mount: one mapping, whatever the source of what stands in them.
//!
//! | Secret | keys | mounted by |
//! |---|---|---|
//! | `<node>-msp` | cert.pem, key.pem, cacert.pem, tlscacert.pem, and as the source has them config.yaml, admincert.pem | the node |
//! | `<node>-tls` | tls.crt, tls.key, ca.crt | the node |
//! | `ca-tls` | likewise | the CA server |
//! | `<release>-ca`, `<release>-tlsca` | cert.pem, key.pem if the source has it | the CA server; read to extend the organization |
//! | `<release>-admin-msp`, `<release>-admin-tls` | as a node's | the CLI pod, never a node |
//! | `<release>-admin-clientca` | ca.crt | orderers: whose clients may use the admin port |
//! | credentials | username, password | the server and its client |

use super::certificate::{Certificate, hex};
use super::profile::{Pair, random};
use super::{LABEL, Node, NodeRole, Organization};
use crate::error::{Error, Result};
use crate::manifest::{Object, Source as Template};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

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
    /// The authority whose TLS clients may administer orderers.
    AdminClientCa,
    Credentials {
        user: String,
    },
}

/// Whom an identity is for.
#[derive(Clone)]
pub enum Member {
    Node(Node),
    Admin,
    CaServer(Node),
}

/// What a member signs with, and whom it trusts.
pub struct Msp {
    pub pair: Pair,
    pub ca: String,
    pub tls_ca: String,
    /// NodeOUs: which unit of a certificate's subject means which role.
    pub config: Option<String>,
    /// The administrator's certificate, where NodeOUs do not tell who is one.
    pub admin: Option<String>,
}

pub struct Tls {
    pub pair: Pair,
    pub ca: String,
}

/// The Secrets of the organization that are made here, or that the user keeps and pods mount.
pub fn wanted(organization: &Organization) -> Vec<Wanted> {
    organization.custody.narrow(all(organization))
}

/// Every Secret of the organization in the order of creation: authorities first, so that whatever they signed can be added to later.
pub fn all(organization: &Organization) -> Vec<Wanted> {
    let release = &organization.release;
    let mut all = vec![
        Wanted { name: format!("{release}-ca"), content: Content::Ca },
        Wanted { name: format!("{release}-tlsca"), content: Content::TlsCa },
    ];
    for node in &organization.nodes {
        all.push(Wanted { name: format!("{}-msp", node.name), content: Content::Msp(Member::Node(node.clone())) });
        all.push(Wanted { name: format!("{}-tls", node.name), content: Content::Tls(Member::Node(node.clone())) });
    }
    all.push(Wanted { name: format!("{release}-admin-msp"), content: Content::Msp(Member::Admin) });
    all.push(Wanted { name: format!("{release}-admin-tls"), content: Content::Tls(Member::Admin) });
    if organization.role == NodeRole::Orderer {
        all.push(Wanted { name: format!("{release}-admin-clientca"), content: Content::AdminClientCa });
    }
    if let Some(server) = &organization.ca_server {
        all.push(Wanted { name: format!("{}-tls", server.name), content: Content::Tls(Member::CaServer(server.clone())) });
    }
    for (name, user) in &organization.credentials {
        all.push(Wanted { name: name.clone(), content: Content::Credentials { user: user.clone() } });
    }
    all
}

/// The MSP's `config.yaml` that cryptogen writes with `EnableNodeOUs` (`internal/cryptogen/msp/msp.go`, `exportConfig`). The file
/// it names is where nodes mount `cacert.pem`.
pub fn node_ous(domain: &str) -> String {
    let mut text = String::from("NodeOUs:\n  Enable: true\n");
    for (role, unit) in [("Client", "client"), ("Peer", "peer"), ("Admin", "admin"), ("Orderer", "orderer")] {
        text.push_str(&format!(
            "  {role}OUIdentifier:\n    Certificate: {}\n    OrganizationalUnitIdentifier: {unit}\n",
            ca_file(domain)
        ));
    }
    text
}

/// The path below an MSP folder where the authority's certificate lies, in cryptogen's trees and in our mounts.
pub fn ca_file(domain: &str) -> String {
    format!("cacerts/ca.{domain}-cert.pem")
}

/// Builds Secrets of one organization.
pub struct Maker<'a> {
    pub organization: &'a Organization,
    /// `generate` or `cryptogen`.
    pub source: &'static str,
}

impl Maker<'_> {
    pub fn authority(&self, name: &str, certificate: &str, key: Option<&str>) -> Result<Object> {
        let mut data = vec![("cert.pem", certificate)];
        data.extend(key.map(|key| ("key.pem", key)));
        self.secret(name, "Opaque", &data, Some(certificate))
    }

    pub fn msp(&self, name: &str, msp: &Msp) -> Result<Object> {
        let mut data = vec![
            ("cert.pem", msp.pair.certificate.as_str()),
            ("key.pem", &msp.pair.key),
            ("cacert.pem", &msp.ca),
            ("tlscacert.pem", &msp.tls_ca),
        ];
        data.extend(msp.config.as_deref().map(|text| ("config.yaml", text)));
        data.extend(msp.admin.as_deref().map(|text| ("admincert.pem", text)));
        self.secret(name, "Opaque", &data, Some(&msp.pair.certificate))
    }

    pub fn tls(&self, name: &str, tls: &Tls) -> Result<Object> {
        let data = [("tls.crt", tls.pair.certificate.as_str()), ("tls.key", &tls.pair.key), ("ca.crt", &tls.ca)];
        self.secret(name, "kubernetes.io/tls", &data, Some(&tls.pair.certificate))
    }

    pub fn admin_client_ca(&self, name: &str, tls_ca: &str) -> Result<Object> {
        self.secret(name, "Opaque", &[("ca.crt", tls_ca)], Some(tls_ca))
    }

    /// A random password of 128 bits, in hexadecimal: it needs no quoting in a URL, an argument or an ini file.
    pub fn credentials(&self, name: &str, user: &str) -> Result<Object> {
        let password = hex(&random::<16>()?);
        self.secret(name, "kubernetes.io/basic-auth", &[("username", user), ("password", &password)], None)
    }

    fn secret(&self, name: &str, kind: &str, data: &[(&str, &str)], certificate: Option<&str>) -> Result<Object> {
        let mut annotations = Map::new();
        if let Some(certificate) = certificate {
            let certificate = Certificate::from_pem(certificate.as_bytes(), &format!("the certificate of Secret {name}"))?;
            annotations.insert(SOURCE.to_owned(), self.source.into());
            annotations.insert(FINGERPRINT.to_owned(), certificate.fingerprint().into());
            annotations.insert(NOT_AFTER.to_owned(), certificate.not_after.to_string().into());
        } else {
            annotations.insert(SOURCE.to_owned(), "generate".into());
        }
        let data: Map<String, Value> = data.iter().map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into())).collect();
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
        Object::from_body(body, Template { template: "identity".to_owned(), line: 0 })
            .ok_or_else(|| Error::internal(format!("Secret {name} has no name or kind")))
    }
}

/// Where an identity came from: `generate` or `cryptogen`.
pub const SOURCE: &str = "kubectl-fabric.io/identity-source";
/// SHA-256 of its certificate, lower-case hex.
pub const FINGERPRINT: &str = "kubectl-fabric.io/fingerprint";
/// When its certificate ends, RFC 3339.
pub const NOT_AFTER: &str = "kubectl-fabric.io/not-after";

/// The key of a Secret under which its certificate stands, `None` for credentials.
pub fn certificate_key(content: &Content) -> Option<&'static str> {
    match content {
        Content::Ca | Content::TlsCa | Content::Msp(_) => Some("cert.pem"),
        Content::Tls(_) => Some("tls.crt"),
        Content::AdminClientCa => Some("ca.crt"),
        Content::Credentials { .. } => None,
    }
}

/// One entry of a Secret as the API server gave it.
pub fn entry(secret: &Value, key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.get("data")?.get(key)?.as_str()?).ok()
}
