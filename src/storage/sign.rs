//! Signs records: a keyed digest over everything in the record that this program trusts. Pure.
//!
//! The key is in the companion Secret. A user who may write ConfigMaps but not read Secrets cannot
//! change a record undetected. The signature covers the ConfigMap's name and namespace, this
//! program's labels and annotations (status, description, chart, digest of the payload, number of
//! parts), and the state. It does not detect that an earlier version of the same record was
//! restored.

use super::codec;
use crate::encoding::hex;
use crate::manifest::DOMAIN;
use crate::release::Signature;
use ring::hmac;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Prefix of the signed data, so that the key signs nothing else.
const PURPOSE: &str = "kubectl-fabric record v1";

fn annotation() -> String {
    format!("{DOMAIN}/signature")
}

/// Writes the signature of a record into its annotations. Does nothing without a key.
pub fn sign(body: &mut Value, key: &str) {
    if !key.is_empty() {
        body["metadata"]["annotations"][annotation()] = json!(signature(body, key));
    }
}

/// Checks a record against the key in its companion Secret. `None` means that there is no
/// companion; an empty key means that the record is not signed.
///
/// If the companion has a key, a record without a signature does not match.
pub fn verify(body: &Value, key: Option<&str>) -> Signature {
    match key {
        None => Signature::Unchecked,
        Some("") => Signature::Unsigned,
        Some(key) => {
            let said = body["metadata"]["annotations"][annotation()]
                .as_str()
                .and_then(from_hex)
                .unwrap_or_default();
            let fits = hmac::verify(&hmac_key(key), &content(body), &said).is_ok();
            if fits {
                Signature::Verified
            } else {
                Signature::Broken
            }
        }
    }
}

fn signature(body: &Value, key: &str) -> String {
    hex(hmac::sign(&hmac_key(key), &content(body)).as_ref())
}

fn hmac_key(key: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())
}

/// Returns the signed data as JSON, which is different for any two records.
fn content(body: &Value) -> Vec<u8> {
    let metadata = &body["metadata"];
    let ours = |field: &str| -> BTreeMap<&str, &Value> {
        let all = metadata[field].as_object().into_iter().flatten();
        let ours = all.filter(|(name, _)| {
            name.strip_prefix(DOMAIN)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        ours.map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| *name != annotation())
            .collect()
    };
    let state = body["binaryData"]["state"].as_str().unwrap_or_default();
    let state = codec::digest(state.as_bytes());
    json!([
        PURPOSE,
        metadata["namespace"],
        metadata["name"],
        ours("labels"),
        ours("annotations"),
        state
    ])
    .to_string()
    .into_bytes()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Value {
        let mut body = json!({
            "kind": "ConfigMap",
            "metadata": {
                "name": "kubectl-fabric.v1.org1.v2",
                "namespace": "org1",
                "labels": {"kubectl-fabric.io/status": "deployed", "team": "a"},
                "annotations": {"kubectl-fabric.io/digest": "d", "kubectl-fabric.io/chart": "peer-org"},
            },
            "binaryData": {"release": "cGF5bG9hZA==", "state": "c3RhdGU="},
        });
        sign(&mut body, "key");
        body
    }

    #[test]
    fn whatever_is_believed_of_a_record_cannot_change_without_the_key() {
        assert_eq!(verify(&record(), Some("key")), Signature::Verified);
        let changes = [
            ("/metadata/name", json!("kubectl-fabric.v1.org1.v3")),
            ("/metadata/namespace", json!("org2")),
            (
                "/metadata/labels/kubectl-fabric.io~1status",
                json!("failed"),
            ),
            (
                "/metadata/annotations/kubectl-fabric.io~1digest",
                json!("e"),
            ),
            (
                "/metadata/annotations/kubectl-fabric.io~1chart",
                json!("other"),
            ),
            (
                "/metadata/annotations/kubectl-fabric.io~1signature",
                json!("00"),
            ),
            (
                "/metadata/annotations/kubectl-fabric.io~1signature",
                json!(""),
            ),
            (
                "/metadata/annotations/kubectl-fabric.io~1signature",
                json!("no hex, ü"),
            ),
            (
                "/metadata/annotations/kubectl-fabric.io~1signature",
                json!(null),
            ),
            ("/metadata/annotations", json!({})),
            ("/binaryData/state", json!("b3RoZXI=")),
        ];
        for (place, value) in changes {
            let mut changed = record();
            *changed.pointer_mut(place).unwrap() = value.clone();
            assert_eq!(
                verify(&changed, Some("key")),
                Signature::Broken,
                "{place} = {value}"
            );
        }
        let mut added = record();
        added["metadata"]["annotations"]["kubectl-fabric.io/rollback-to"] = json!("1");
        assert_eq!(verify(&added, Some("key")), Signature::Broken);
        assert_eq!(verify(&record(), Some("other key")), Signature::Broken);
    }

    #[test]
    fn what_others_add_to_a_record_does_not_matter() {
        let mut body = record();
        body["metadata"]["labels"]["team"] = json!("b");
        body["metadata"]["annotations"]["example.com/note"] = json!("seen");
        body["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(verify(&body, Some("key")), Signature::Verified);
    }

    #[test]
    fn a_record_of_before_is_not_signed_and_one_without_its_companion_is_not_checked() {
        assert_eq!(verify(&record(), Some("")), Signature::Unsigned);
        assert_eq!(verify(&record(), None), Signature::Unchecked);
        let mut unsigned = record();
        sign(&mut unsigned, "");
        assert_eq!(unsigned, record(), "without a key nothing is signed");
    }
}
