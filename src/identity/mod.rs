//! Identities: Secrets with keys and certificates of an organization's nodes and users. They are
//! created once. The same authority may renew their certificates, and the pods that read them have
//! a mark that shows which ones they run.
//!
//! Also handles the other Secrets that are created once and kept (administrators of the CA server
//! and of CouchDB). Pure except for the randomness of keys; the clock is an argument.

use crate::error::Result;
use crate::manifest::Object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub mod certificate;
mod check;
mod crypto_config;
mod custody;
mod decide;
pub mod enrolled;
pub mod export;
mod generate;
pub mod inventory;
pub mod known;
pub mod low_s;
mod profile;
pub mod public;
mod renewal;
pub mod request;
pub mod secrets;
#[cfg(test)]
mod tests;

pub use custody::Custody;
use decide::Situation;
use known::Pin;
pub(crate) use profile::{Pair, random};
pub use renewal::{Renewal, of_orderers};
use secrets::{Content, Wanted, certificate_key};
pub use secrets::{FINGERPRINT, NOT_AFTER, SOURCE};

/// The facts about an organization that its certificates need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// The release, as in the labels of the Secrets.
    pub release: String,
    pub namespace: String,
    /// Such as `org1`. Also the namespace, so that `peer0.org1` is an address.
    pub domain: String,
    pub msp_id: String,
    pub role: NodeRole,
    pub nodes: Vec<Node>,
    /// Secrets with a user name and a random password: (name of the Secret, user name).
    pub credentials: Vec<(String, String)>,
    /// The CA server, if there is one. It has its own TLS certificate.
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
    /// All names and addresses for its TLS certificate, the node's own address first: `peer0.org1`,
    /// `peer0`, `peer0.org1.svc`, ...
    pub hosts: Vec<String>,
    /// The names that clients use, and those that values add. Certificates from all sources must be
    /// valid for them.
    pub advertised: Vec<String>,
}

/// The source of keys and certificates.
#[derive(Clone)]
pub enum Source {
    /// Generated with cryptogen's certificate profile. For development.
    Generate,
    /// The files of a crypto-config folder by their path in it, which the edge has read.
    CryptoConfig {
        folder: String,
        files: BTreeMap<String, Vec<u8>>,
    },
}

/// The result of [`plan`].
#[derive(Debug, Default)]
pub struct Plan {
    /// Secrets to create, complete with labels. Authorities come first: an interruption in this
    /// order leaves an organization that can be extended. Excludes existing Secrets.
    pub create: Vec<Object>,
    /// Complete Secrets that replace existing ones, with new certificates of the same authority.
    /// Each has the UID of the existing Secret.
    pub renew: Vec<Object>,
    /// Names of identity Secrets that exist and do not change.
    pub keep: Vec<String>,
    /// Kept Secrets that another release created, and that this release adopts.
    pub take_up: Vec<TakenUp>,
    /// Digests of the certificates in all Secrets of the namespace that pods will read.
    pub digests: BTreeMap<String, String>,
    /// The same before any change.
    pub digests_before: BTreeMap<String, String>,
    /// Expiry of these certificates, by digest.
    pub ends: BTreeMap<String, jiff::Timestamp>,
    /// The certificates by which ordering services identify their members.
    pub pins: BTreeMap<String, Pin>,
    /// The same before any change.
    pub pins_before: BTreeMap<String, Pin>,
    /// Optional entries of MSP Secrets that exist, with their mount paths.
    pub items: BTreeMap<String, String>,
    /// Whether `create` contains a generated key, so that the output says that it is for
    /// development.
    pub generated: bool,
    /// Warnings about Secrets that do not change: close to expiry, or without a host that is now
    /// required.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Returns the names of all Secrets after the plan is carried out.
    pub fn names(&self) -> BTreeSet<&str> {
        let written = self
            .create
            .iter()
            .chain(&self.renew)
            .map(|object| &object.key.name);
        written.chain(&self.keep).map(String::as_str).collect()
    }
}

/// A Secret that another release created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenUp {
    pub name: String,
    pub uid: String,
}

/// Returns the names of all Secrets that the organization needs, which [`plan`] takes as input.
pub fn secret_names(organization: &Organization) -> Vec<String> {
    secrets::wanted(organization)
        .into_iter()
        .map(|wanted| wanted.name)
        .collect()
}

/// Compares the Secrets that the organization needs with the existing ones (by name, as fetched).
/// Plans missing Secrets, and renews those for which the source has other certificates.
///
/// # Errors
///
/// Fails for a crypto-config that lacks a node, or that has a key that does not match its
/// certificate, an expired certificate, or one that is not valid for the node's address or does not
/// chain to its CA. Also fails if an existing Secret is of another authority than the
/// crypto-config, if the CA key is missing when the organization grows, and if the user's own
/// Secrets or files would not work for a node.
pub fn plan(
    organization: &Organization,
    existing: &BTreeMap<String, Value>,
    source: &Source,
    now: jiff::Timestamp,
) -> Result<Plan> {
    let wanted = secrets::wanted(organization);
    let situation = Situation {
        organization,
        wanted: &wanted,
        existing,
        now,
    };
    let mut plan = situation.decide(source)?;
    plan.digests_before = existing
        .iter()
        .filter_map(|(name, secret)| Some((name.clone(), known::digest(secret)?)))
        .collect();
    let written: BTreeMap<&str, &Value> = plan
        .create
        .iter()
        .chain(&plan.renew)
        .map(|object| (object.key.name.as_str(), &object.body))
        .collect();
    let after = |name: &str| written.get(name).copied().or_else(|| existing.get(name));
    let digests = plan.digests_before.clone().into_iter();
    let digests = digests.chain(
        written
            .iter()
            .filter_map(|(name, secret)| Some(((*name).to_owned(), known::digest(secret)?))),
    );
    let digests: BTreeMap<String, String> = digests.collect();
    let end =
        |(name, digest): (&String, &String)| Some((digest.clone(), known::end(after(name)?)?));
    let ends = digests.iter().filter_map(end).collect();
    let (pins_before, pins) = match organization.role {
        NodeRole::Orderer => (
            pins(&wanted, |name| existing.get(name)),
            pins(&wanted, after),
        ),
        NodeRole::Peer => Default::default(),
    };
    let msps = wanted
        .iter()
        .filter(|it| matches!(it.content, Content::Msp(_)));
    let items = secrets::further_items(msps.filter_map(|it| after(&it.name)));
    Ok(Plan {
        digests,
        ends,
        pins,
        pins_before,
        items,
        ..plan
    })
}

/// Returns the certificates of these Secrets that are in channels.
fn pins<'s>(wanted: &[Wanted], of: impl Fn(&str) -> Option<&'s Value>) -> BTreeMap<String, Pin> {
    let pin = |it: &Wanted| {
        let pin = Pin::of(of(&it.name)?, certificate_key(&it.content)?)?;
        Some((it.content.usual_name()?, pin))
    };
    wanted.iter().filter_map(pin).collect()
}

fn is_own(organization: &Organization, secret: &Value) -> bool {
    maker(secret) == Some(&organization.release)
}

/// Returns the release that created an identity Secret.
fn maker(secret: &Value) -> Option<&str> {
    secret["metadata"]["labels"][LABEL].as_str()
}

/// Label of all identity Secrets: `kubectl-fabric.io/identity: <release>`.
pub const LABEL: &str = "kubectl-fabric.io/identity";

/// Returns true if a Secret is of a certificate authority: it has a certificate, but no authority's
/// certificate besides.
pub fn is_authority(secret: &Object) -> bool {
    let data = &secret.body["data"];
    !data["cert.pem"].is_null() && data["cacert.pem"].is_null()
}
