//! Tracks the certificates that run. A pod reads its certificates at its start, so the pod template
//! of each workload has a mark with their digests. If the certificates change, the template
//! changes, and the cluster replaces the pod.
//!
//! The mark covers certificates, revocation lists and NodeOUs, never a key. For a Secret without
//! certificates, the digest is keyed. The mark is in the workload and, as [`Known`], in the
//! release's record.

use super::certificate::{CERTIFICATE, Certificate, REVOCATIONS, blocks, hex};
use super::secrets::entry;
use jiff::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Annotation on pod templates: Secrets with the digest of the certificates in each,
/// `peer0-msp:0123456789abcdef,peer0-tls:...`.
pub const MARK: &str = "kubectl-fabric.io/identities";

/// The certificates in a release's Secrets at one revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Known {
    /// Digests by the name of the Secret.
    pub secrets: BTreeMap<String, String>,
    /// The certificates by which ordering services identify their members, by the default name of
    /// the Secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, Pin>,
    /// Workloads that an earlier version of this program created without a mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmarked: Option<Unmarked>,
    /// Expiry of certificates, by the digest of their Secret. Includes the previous revision, whose
    /// pods may still run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<String, Timestamp>,
}

/// Workloads without a mark, and their certificates.
///
/// They get no mark while they use these certificates, so that a new version of this program
/// restarts nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unmarked {
    /// `StatefulSet/peer0`
    pub workloads: BTreeSet<String>,
    pub secrets: BTreeMap<String, String>,
}

/// A certificate of an orderer that channel configurations contain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub certificate: String,
    pub key: String,
}

impl Pin {
    pub fn of(secret: &Value, entry_name: &str) -> Option<Pin> {
        let certificate = Certificate::from_pem(&entry(secret, entry_name)?, entry_name).ok()?;
        Some(Pin {
            certificate: certificate.fingerprint(),
            key: certificate.key_fingerprint(),
        })
    }
}

impl Known {
    /// Updates the digests to the certificates that the Secrets contain now. A missing Secret keeps
    /// its digest.
    pub fn with_current(mut self, now: &BTreeMap<String, String>) -> Known {
        for (name, digest) in &mut self.secrets {
            if let Some(now) = now.get(name) {
                digest.clone_from(now);
            }
        }
        self
    }

    /// Returns the mark of a workload's pod template, or `None` if its pods read no certificate or
    /// run without a mark.
    pub fn mark<'a>(
        &self,
        workload: &str,
        reads: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<String> {
        let mark = mark(&self.secrets, reads.clone())?;
        let unmarked = self
            .unmarked
            .as_ref()
            .filter(|unmarked| unmarked.workloads.contains(workload));
        let before = unmarked.and_then(|unmarked| self::mark(&unmarked.secrets, reads));
        (before.as_ref() != Some(&mark)).then_some(mark)
    }
}

/// Returns the Secrets whose digests differ between two marks. Empty if a workload has no mark.
pub fn changed(from: &str, to: &str) -> Vec<String> {
    let from: BTreeMap<&str, &str> = parts(from).collect();
    parts(to)
        .filter(|(name, digest)| from.get(name) != Some(digest))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Returns the mark for the certificates in these Secrets, or `None` if they contain none.
pub fn mark<'a>(
    digests: &BTreeMap<String, String>,
    reads: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let names: BTreeSet<&str> = reads.collect();
    let parts: Vec<String> = names
        .into_iter()
        .filter_map(|name| Some(format!("{name}:{}", digests.get(name)?)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Returns the digest of a Secret without certificates, such as a password.
///
/// Made with the key of the release's masks, so that it reveals nothing to users who cannot read
/// Secrets.
pub fn keyed_digest(secret: &Value, key: &[u8]) -> String {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), MARK.as_bytes());
    let entries: BTreeMap<&String, &Value> =
        secret["data"].as_object().into_iter().flatten().collect();
    let bytes = serde_json::to_vec(&entries).expect("JSON with string keys is always written");
    hex(&hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), &bytes).as_ref()[..8])
}

/// Returns the Secrets and digests of a mark.
pub fn parts(mark: &str) -> impl Iterator<Item = (&str, &str)> {
    mark.split(',').filter_map(|part| part.split_once(':'))
}

/// Returns the earliest expiry of the certificates in a Secret that a node presents, or of the
/// authorities if the Secret has only these.
///
/// Ignores administrators' certificates, which no node uses.
pub fn end(secret: &Value) -> Option<Timestamp> {
    let (mut own, mut authority) = (None, None);
    let keys = secret["data"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key);
    for key in keys.filter(|key| !key.starts_with("admincert")) {
        for (_, content) in blocks(&entry(secret, key).unwrap_or_default())
            .into_iter()
            .filter(|(label, _)| label == CERTIFICATE)
        {
            let Ok(certificate) = Certificate::from_der(content, key) else {
                continue;
            };
            let end = if certificate.is_authority {
                &mut authority
            } else {
                &mut own
            };
            *end = Some(end.map_or(certificate.not_after, |end: Timestamp| {
                end.min(certificate.not_after)
            }));
        }
    }
    own.or(authority)
}

/// Returns the digest of the public parts of a Secret, or `None` if it contains no certificate.
pub fn digest(secret: &Value) -> Option<String> {
    let mut hash = Sha256::new();
    let mut any = false;
    let entries: BTreeMap<&String, &Value> =
        secret["data"].as_object().into_iter().flatten().collect();
    for key in entries.keys() {
        let Some(bytes) = entry(secret, key) else {
            continue;
        };
        for (label, content) in blocks(&bytes) {
            if label == CERTIFICATE || label == REVOCATIONS {
                any = true;
                hash.update(key.as_bytes());
                hash.update(Sha256::digest(&content));
            }
        }
        if *key == "config.yaml" {
            hash.update(Sha256::digest(&bytes));
        }
    }
    any.then(|| hex(&hash.finalize()[..8]))
}
