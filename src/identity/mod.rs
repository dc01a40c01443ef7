//! Identities: keys and certificates of an organization's nodes and users, as Secrets that are made once and never re-made.
//!
//! Also the other Secrets that are made once and kept (administrator of the CA server and of CouchDB). Pure but for the randomness of keys;
//! the clock enters as an argument.

use crate::error::Result;
use crate::manifest::Object;
use serde_json::Value;
use std::collections::BTreeMap;

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
    /// Whether a CA server runs: it gets a TLS certificate of its own.
    pub ca_server: bool,
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
    /// Every name and address that must stand in its TLS certificate: `peer0.org1`, `peer0`, `peer0.org1.svc`, ...
    pub hosts: Vec<String>,
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
    /// Secrets to create, complete with labels; those that exist already are not among them.
    pub create: Vec<Object>,
    /// Names of identity Secrets that exist and stay as they are.
    pub keep: Vec<String>,
    /// Whether anything of `create` is a key generated here, so that the output says that it is for development.
    pub generated: bool,
}

/// Compares what the organization needs with the Secrets that exist (by name, as fetched) and makes what is missing.
///
/// # Errors
///
/// A crypto-config without a node, with a key that does not fit its certificate, with a certificate that does not bear the node's
/// address, that is expired or does not chain to its CA; an existing Secret that is another identity than the crypto-config's; an
/// organization to extend whose CA key is not there.
pub fn plan(
    _organization: &Organization,
    _existing: &BTreeMap<String, Value>,
    _source: &Source,
    _now: jiff::Timestamp,
) -> Result<Plan> {
    todo!()
}

/// The label that every identity Secret bears: `kubectl-fabric.io/identity: <release>`.
pub const LABEL: &str = "kubectl-fabric.io/identity";

/// Whether a Secret holds a certificate authority's key.
pub fn is_authority(_secret: &Object) -> bool {
    todo!()
}
