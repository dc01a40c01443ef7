//! Annotates pods that read a ConfigMap or Secret of the same manifest with a hash of its data. A
//! change of data then restarts exactly the pods that read it, which Kubernetes does not do by
//! itself. Jobs are excluded: their template is immutable, and they read their data once.
//!
//! Users without access to Secrets may be able to read the annotation, and could test passwords
//! against a plain hash. The hash therefore uses the release's key for the data of Secrets. Without
//! a key, as in `template`, the hash excludes Secrets.

use crate::encoding::hex;
use crate::manifest::{Object, ObjectKey, WORKLOADS, references};
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const ANNOTATION: &str = "kubectl-fabric.io/config-hash";

/// Kinds whose data pods read.
pub(super) const DATA_KINDS: [&str; 2] = ["ConfigMap", "Secret"];

/// Kind, namespace and name of a ConfigMap or Secret.
type Reference<'a> = (&'a str, &'a str, &'a str);

type Digest = [u8; 32];

/// Settings of the hashes.
#[derive(Clone, Default)]
pub struct Hashing {
    /// The key for the data of Secrets.
    key: Option<hmac::Key>,
    /// Workloads with their recorded hashes. Version 0.1.0 used no key. Its hash stays until the
    /// data changes, because a new hash would restart pods without new data.
    recorded: Arc<BTreeSet<(ObjectKey, String)>>,
}

impl Hashing {
    /// Derives the key for hashes from `key`, the key of the release's masks, so that a hash
    /// reveals nothing about a mask.
    pub fn new(key: Option<&str>, recorded: Arc<BTreeSet<(ObjectKey, String)>>) -> Hashing {
        let derived = |key: &str| {
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
                ANNOTATION.as_bytes(),
            );
            hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
        };
        Hashing {
            key: key.map(derived),
            recorded,
        }
    }

    /// Returns the digests of a ConfigMap or Secret, and `None` for other kinds.
    pub(super) fn data(&self, object: &Object) -> Option<Data> {
        if !object.key.group.is_empty() || !DATA_KINDS.contains(&object.key.kind.as_str()) {
            return None;
        }
        let mut bytes = Vec::new();
        for field in ["data", "binaryData", "stringData"] {
            bytes.extend(field.as_bytes());
            // Sorted, because the order of keys has no meaning.
            let map: BTreeMap<&String, &Value> = object
                .body
                .get(field)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .collect();
            serde_json::to_writer(&mut bytes, &map)
                .expect("JSON with string keys is always written");
        }
        let plain: Digest = Sha256::digest(&bytes).into();
        if object.key.kind != "Secret" {
            return Some(Data {
                digest: plain,
                unkeyed: plain,
            });
        }
        let keyed = |key: &hmac::Key| -> Digest {
            hmac::sign(key, &bytes)
                .as_ref()
                .try_into()
                .expect("HMAC-SHA256 has 32 bytes")
        };
        Some(Data {
            digest: self.key.as_ref().map(keyed).unwrap_or_default(),
            unkeyed: plain,
        })
    }
}

/// The digests of a ConfigMap's or Secret's data.
pub(super) struct Data {
    /// Made with the key if the object is a Secret.
    digest: Digest,
    /// Digest without the key. Only compared with a recorded hash, never shown.
    unkeyed: Digest,
}

/// The digests of a manifest's ConfigMaps and Secrets.
pub(super) struct Digests<'a> {
    digests: BTreeMap<Reference<'a>, &'a Data>,
    /// Namespace of objects that name none.
    namespace: &'a str,
    recorded: &'a BTreeSet<(ObjectKey, String)>,
}

impl<'a> Digests<'a> {
    /// Collects digests from objects and their [`Hashing::data`].
    pub(super) fn of(
        data: impl Iterator<Item = &'a (ObjectKey, Data)>,
        namespace: &'a str,
        hashing: &'a Hashing,
    ) -> Digests<'a> {
        let referred = |key: &'a ObjectKey| {
            (
                key.kind.as_str(),
                namespace_of(key, namespace),
                key.name.as_str(),
            )
        };
        Digests {
            digests: data.map(|(key, data)| (referred(key), data)).collect(),
            namespace,
            recorded: &hashing.recorded,
        }
    }

    /// Annotates the pod template of a workload if its pods read data of this manifest.
    pub(super) fn annotate(&self, workload: &mut Object) {
        let namespace = namespace_of(&workload.key, self.namespace);
        let Some(template) = workload
            .body
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("template"))
        else {
            return;
        };
        let Some(pod) = template.get("spec") else {
            return;
        };
        let references = references(pod, namespace);
        let Some(hash) = self.hash(&references, |data| &data.digest) else {
            return;
        };
        let reads_secrets = references
            .iter()
            .any(|reference| reference.0 == "Secret" && self.digests.contains_key(reference));
        let unkeyed = || {
            let hash = self.hash(&references, |data| &data.unkeyed)?;
            let key = ObjectKey {
                namespace: Some(namespace.to_owned()),
                ..workload.key.clone()
            };
            self.recorded
                .get(&(key, hash))
                .map(|(_, hash)| hash.clone())
        };
        let before = if reads_secrets && !self.recorded.is_empty() {
            unkeyed()
        } else {
            None
        };
        let metadata = &mut template["metadata"];
        // Indexing creates missing maps. If the field has another type, the API server reports the
        // error.
        if metadata.is_null() || metadata.is_object() {
            let annotations = &mut metadata["annotations"];
            if annotations.is_null() || annotations.is_object() {
                annotations[ANNOTATION] = json!(before.unwrap_or(hash));
            }
        }
    }

    /// Returns the hash of the data that a pod reads, or `None` if it reads no data of this
    /// manifest.
    fn hash(
        &self,
        references: &BTreeSet<Reference>,
        digest: impl Fn(&Data) -> &Digest,
    ) -> Option<String> {
        let mut hash = Sha256::new();
        let mut any = false;
        for reference in references {
            if let Some(data) = self.digests.get(reference) {
                any = true;
                hash.update(serde_json::to_vec(reference).expect("strings are written"));
                hash.update(digest(data));
            }
        }
        // Half of the digest is enough to detect a change.
        any.then(|| hex(&hash.finalize()[..16]))
    }
}

/// Returns the hash in a recorded workload's pod template.
pub fn recorded(object: &Object) -> Option<&str> {
    object
        .body
        .pointer("/spec/template/metadata/annotations")?
        .get(ANNOTATION)?
        .as_str()
}

/// Returns true if an object is a workload, whose pods may read data.
pub fn is_workload(object: &Object) -> bool {
    object.key.group == "apps" && WORKLOADS.contains(&object.key.kind.as_str())
}

fn namespace_of<'a>(key: &'a ObjectKey, namespace: &'a str) -> &'a str {
    key.namespace.as_deref().unwrap_or(namespace)
}

/// Returns the ConfigMaps and Secrets that a pod reads as volumes or environment variables.
fn references<'a>(pod: &'a Value, namespace: &'a str) -> BTreeSet<Reference<'a>> {
    references::data(pod)
        .into_iter()
        .map(|reference| (reference.kind, namespace, reference.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::TemplateLine;

    fn manifest(config: &str, password: &str) -> Vec<Object> {
        let workload = |name: &str, kind: &str, pod: Value| json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": {"spec": pod}}});
        [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a": config, "b": "1"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"password": password}}),
            workload("volume", "StatefulSet", json!({"volumes": [{"name": "v", "configMap": {"name": "config"}}]})),
            workload(
                "projected",
                "Deployment",
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "login"}}]}}]}),
            ),
            workload(
                "env",
                "DaemonSet",
                json!({"initContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login"}}}]}]}),
            ),
            workload("env-from", "Deployment", json!({"containers": [{"envFrom": [{"configMapRef": {"name": "config"}}]}]})),
            workload("outside", "Deployment", json!({"volumes": [{"name": "v", "secret": {"secretName": "of-someone"}}]})),
            workload("nothing", "Deployment", json!({"containers": []})),
        ]
        .into_iter()
        .map(|body| Object::from_body(body, TemplateLine::default()).unwrap())
        .collect()
    }

    fn annotated(mut objects: Vec<Object>, hashing: &Hashing) -> Vec<Object> {
        let data: Vec<_> = objects
            .iter()
            .filter_map(|object| Some((object.key.clone(), hashing.data(object)?)))
            .collect();
        let digests = Digests::of(data.iter(), "org1", hashing);
        objects
            .iter_mut()
            .filter(|object| is_workload(object))
            .for_each(|object| digests.annotate(object));
        objects
    }

    fn hashed(config: &str, password: &str, hashing: &Hashing) -> BTreeMap<String, Option<String>> {
        let objects = annotated(manifest(config, password), hashing);
        let hash = |object: &Object| recorded(object).map(str::to_owned);
        objects
            .iter()
            .skip(2)
            .map(|object| (object.key.name.clone(), hash(object)))
            .collect()
    }

    fn hashes(config: &str, password: &str) -> BTreeMap<String, Option<String>> {
        hashed(config, password, &Hashing::new(Some("key"), Arc::default()))
    }

    #[test]
    fn the_hash_of_a_secret_needs_the_key() {
        let (keyed, other) = (
            hashes("1", "x"),
            hashed("1", "x", &Hashing::new(Some("other"), Arc::default())),
        );
        let (offline, offline_after) = (
            hashed("1", "x", &Hashing::default()),
            hashed("1", "y", &Hashing::default()),
        );
        for reader in ["env", "projected"] {
            assert_ne!(keyed[reader], other[reader], "{reader}: the key decides");
            assert_eq!(
                offline[reader], offline_after[reader],
                "{reader}: without a key, data does not enter the hash"
            );
        }
        for reader in ["env-from", "volume"] {
            assert_eq!(
                (&keyed[reader], &keyed[reader]),
                (&other[reader], &offline[reader]),
                "{reader} reads no Secret"
            );
        }
    }

    #[test]
    fn a_recorded_hash_without_a_key_stays_until_the_data_changes() {
        // The hash of version 0.1.0, which had no key.
        let before = "a4c3d2220680d071cee744a245eb96d0";
        let key = ObjectKey {
            group: "apps".into(),
            kind: "DaemonSet".into(),
            namespace: Some("org1".into()),
            name: "env".into(),
        };
        let hashing = Hashing::new(
            Some("key"),
            Arc::new(BTreeSet::from([(key, before.to_owned())])),
        );
        assert_eq!(hashed("1", "x", &hashing)["env"].as_deref(), Some(before));
        assert_eq!(hashed("1", "y", &hashing)["env"], hashes("1", "y")["env"]);
        assert_eq!(
            hashed("1", "x", &hashing)["projected"],
            hashes("1", "x")["projected"],
            "another workload's hash is not taken"
        );
    }

    #[test]
    fn a_change_of_data_changes_its_readers_and_no_others() {
        let (before, config, password) = (hashes("1", "x"), hashes("2", "x"), hashes("1", "y"));
        let changed = |after: &BTreeMap<String, Option<String>>| -> Vec<String> {
            before
                .keys()
                .filter(|name| before[*name] != after[*name])
                .cloned()
                .collect()
        };
        assert_eq!(changed(&config), ["env-from", "volume"]);
        assert_eq!(changed(&password), ["env", "projected"]);
        assert_eq!((&before["outside"], &before["nothing"]), (&None, &None));
    }

    #[test]
    fn a_namespace_that_is_written_out_is_the_same_as_one_that_is_not() {
        let mut objects = manifest("1", "x");
        for object in &mut objects[..2] {
            object.key.namespace = Some("org1".to_owned());
        }
        let objects = annotated(objects, &Hashing::default());
        assert!(
            objects[2]
                .body
                .pointer("/spec/template/metadata/annotations")
                .is_some()
        );
    }
}
