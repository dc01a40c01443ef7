//! Connections to nodes: the port, the trusted authorities and the client certificate.
//!
//! Nodes are called through the API server, so this works wherever `kubectl` works. A node's
//! certificate must be from the organization's TLS authority and for the node's name, so that a
//! redirected Service or a changed endpoint never receives a signature.

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::fabric::contact::{self, Contact};
use crate::identity::certificate::Certificate;
use crate::identity::public::{MspFiles, certificates};
use crate::node::{Address, ClientCertificate, Grpc, Node, Rest, Route, Security, Tls};
use sha2::{Digest, Sha256};
use std::fmt;

/// The TLS authorities that a member trusts, and its client certificate.
pub struct Trust {
    /// The organization's own TLS authorities, PEM.
    authorities: String,
    client: Option<ClientPair>,
}

/// A client certificate and its key, PEM.
pub struct ClientPair {
    chain: String,
    key: String,
    hash: [u8; 32],
}

impl fmt::Debug for ClientPair {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPair")
    }
}

impl ClientPair {
    /// `None` if the certificate cannot be read.
    pub fn new(chain: Vec<u8>, key: Vec<u8>) -> Option<ClientPair> {
        let certificate = Certificate::from_pem(&chain, "the client certificate").ok()?;
        Some(ClientPair {
            hash: Sha256::digest(certificate.der()).into(),
            chain: String::from_utf8(chain).ok()?,
            key: String::from_utf8(key).ok()?,
        })
    }

    fn shown(&self) -> ClientCertificate<'_> {
        ClientCertificate {
            chain: &self.chain,
            key: &self.key,
        }
    }
}

impl Trust {
    pub fn new(msp: &MspFiles, client: Option<ClientPair>) -> Trust {
        let folders = ["tlscacerts", "tlsintermediatecerts"];
        Trust {
            authorities: folders.map(|folder| certificates(msp, folder)).concat(),
            client,
        }
    }

    /// The SHA-256 of the client certificate.
    pub fn certificate_hash(&self) -> Option<[u8; 32]> {
        self.client.as_ref().map(|client| client.hash)
    }

    fn shown(&self) -> Option<ClientCertificate<'_>> {
        self.client.as_ref().map(ClientPair::shown)
    }
}

/// Returns the gRPC port of a node of the contact.
pub fn grpc(
    cluster: &Cluster,
    contact: &Contact,
    node: &contact::Node,
    trust: &Trust,
) -> Result<Grpc> {
    grpc_of(cluster, contact, node, &trust.authorities, trust)
}

/// Returns the gRPC port of a node of another organization, with that organization's TLS
/// authorities (PEM).
pub fn grpc_of(
    cluster: &Cluster,
    contact: &Contact,
    node: &contact::Node,
    authorities: &str,
    trust: &Trust,
) -> Result<Grpc> {
    let security = match contact.tls {
        true => Security::Tls(Tls::new(authorities, &node.host, trust.shown())?),
        false => Security::Plain,
    };
    Ok(Grpc::new(Node {
        name: node.host.clone(),
        route: forward(cluster, &contact.namespace, &node.name, node.port),
        security,
    }))
}

/// The gRPC port of a node that a channel's configuration names: `orderer0.orgorderer1:7050`.
pub fn grpc_at(cluster: &Cluster, address: &str, authorities: &str, trust: &Trust) -> Result<Grpc> {
    let address: Address = address.parse()?;
    let security = match authorities.trim() {
        // An organization without TLS has no TLS authorities.
        "" => Security::Plain,
        _ => Security::Tls(Tls::new(authorities, &address.host, trust.shown())?),
    };
    let route = match service(&address.host) {
        Some((service, namespace)) => forward(cluster, namespace, service, address.port),
        None => Route::Exposed(address.clone()),
    };
    Ok(Grpc::new(Node {
        name: address.host,
        route,
        security,
    }))
}

/// The admin port of an orderer of the contact.
pub fn participation(
    cluster: &Cluster,
    contact: &Contact,
    node: &contact::Node,
    trust: &Trust,
) -> Result<Rest> {
    let Some(port) = node.admin_port else {
        return Err(Error::user(format!("orderer {} has no admin port", node.host)).why(format!(
            "orderers of Fabric {} with a genesis block create channels through the system channel",
            contact.version
        )));
    };
    if trust.client.is_none() {
        return Err(Error::user(format!(
            "the administrator of \"{}\" has no TLS certificate",
            contact.release
        ))
        .why("the admin port of orderers requires mutual TLS")
        .hint("with --identity FOLDER, it is read from the folder `tls` next to `msp`"));
    }
    Ok(Rest::new(Node {
        name: node.host.clone(),
        route: forward(cluster, &contact.namespace, &node.name, port),
        security: Security::Tls(Tls::new(&trust.authorities, &node.host, trust.shown())?),
    }))
}

fn forward(cluster: &Cluster, namespace: &str, service: &str, port: u16) -> Route {
    Route::Forward {
        cluster: cluster.clone(),
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        port,
    }
}

/// Service and namespace of a name that only resolves in the cluster: `peer0.org1`,
/// `peer0.org1.svc`, `peer0.org1.svc.cluster.local`.
fn service(host: &str) -> Option<(&str, &str)> {
    let short = host.strip_suffix(".svc.cluster.local");
    let short = short.or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
    let (service, namespace) = short.split_once('.')?;
    let is_address = namespace.bytes().all(|byte| byte.is_ascii_digit());
    (!service.is_empty() && !namespace.contains('.') && !is_address).then_some((service, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_cluster_are_distinguished_from_names_outside() {
        for (host, expected) in [
            ("peer0.org1", Some(("peer0", "org1"))),
            ("peer0.org1.svc", Some(("peer0", "org1"))),
            ("peer0.org1.svc.cluster.local", Some(("peer0", "org1"))),
            ("peer0.org1.example.com", None),
            ("peer0", None),
            ("10.0.0.1", None),
            ("10.1", None),
            (".org1", None),
        ] {
            assert_eq!(service(host), expected, "{host}");
        }
    }

    #[test]
    fn no_debug_output_has_a_key() {
        let pem = include_bytes!(
            "../../tests/fixtures/v2.5.16/crypto-config/peerOrganizations/org1/users/Admin@org1/tls/client.crt"
        );
        let pair = ClientPair::new(pem.to_vec(), b"key".to_vec()).unwrap();
        assert_eq!(format!("{pair:?}"), "ClientPair");
        assert_ne!(pair.hash, [0; 32]);
    }
}
