//! Pods that read a ConfigMap or Secret of the same manifest get a hash of its data, so that a change of data rolls exactly its
//! readers: Kubernetes itself restarts nothing. Jobs are left out: their template cannot change, and they read their data once.

use crate::manifest::{Object, ObjectKey, WORKLOADS};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ANNOTATION: &str = "kubectl-fabric.io/config-hash";

/// What pods read.
pub(super) const DATA_KINDS: [&str; 2] = ["ConfigMap", "Secret"];

/// Kind, namespace and name of a ConfigMap or Secret.
type Reference<'a> = (&'a str, &'a str, &'a str);

/// SHA-256 of the data of a ConfigMap or Secret.
pub(super) type Digest = [u8; 32];

/// The digests of a manifest's ConfigMaps and Secrets.
pub(super) struct Digests<'a> {
    digests: BTreeMap<Reference<'a>, Digest>,
    /// That of objects which name none.
    namespace: &'a str,
}

impl<'a> Digests<'a> {
    /// Of objects with what [`data_digest`] says of them.
    pub(super) fn of(data: impl Iterator<Item = &'a (ObjectKey, Digest)>, namespace: &'a str) -> Digests<'a> {
        let referred = |key: &'a ObjectKey| (key.kind.as_str(), namespace_of(key, namespace), key.name.as_str());
        Digests { digests: data.map(|(key, digest)| (referred(key), *digest)).collect(), namespace }
    }

    /// Annotates the pod template of a workload, if its pods read anything of this manifest.
    pub(super) fn annotate(&self, workload: &mut Object) {
        let Some(template) = workload.body.get_mut("spec").and_then(|spec| spec.get_mut("template")) else { return };
        let Some(pod) = template.get("spec") else { return };
        let Some(hash) = hash(&references(pod, namespace_of(&workload.key, self.namespace)), &self.digests) else { return };
        let metadata = &mut template["metadata"];
        // Indexing makes the maps that are not there; something else in their place is left for the API server to refuse.
        if metadata.is_null() || metadata.is_object() {
            let annotations = &mut metadata["annotations"];
            if annotations.is_null() || annotations.is_object() {
                annotations[ANNOTATION] = json!(hash);
            }
        }
    }
}

/// Whether an object is a workload, whose pods might read something.
pub(super) fn is_workload(object: &Object) -> bool {
    object.key.group == "apps" && WORKLOADS.contains(&object.key.kind.as_str())
}

fn namespace_of<'a>(key: &'a ObjectKey, namespace: &'a str) -> &'a str {
    key.namespace.as_deref().unwrap_or(namespace)
}

/// The digest of a ConfigMap or Secret; `None` for all others.
pub(super) fn data_digest(object: &Object) -> Option<Digest> {
    if !object.key.group.is_empty() || !DATA_KINDS.contains(&object.key.kind.as_str()) {
        return None;
    }
    let mut hash = Sha256::new();
    for field in ["data", "binaryData", "stringData"] {
        hash.update(field);
        // Sorted: the order of keys means nothing to the readers.
        let map: BTreeMap<&String, &Value> = object.body.get(field).and_then(Value::as_object).into_iter().flatten().collect();
        hash.update(serde_json::to_vec(&map).expect("JSON with string keys is always written"));
    }
    Some(hash.finalize().into())
}

/// The hash of what a pod reads, `None` when it reads nothing of this manifest.
fn hash(references: &BTreeSet<Reference>, digests: &BTreeMap<Reference, Digest>) -> Option<String> {
    let mut hash = Sha256::new();
    let mut any = false;
    for reference in references {
        if let Some(digest) = digests.get(reference) {
            any = true;
            hash.update(serde_json::to_vec(reference).expect("strings are written"));
            hash.update(digest);
        }
    }
    // Half of the digest is enough to see a change.
    any.then(|| hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// The ConfigMaps and Secrets that a pod reads, as volumes or as environment.
fn references<'a>(pod: &'a Value, namespace: &'a str) -> BTreeSet<Reference<'a>> {
    let mut found = BTreeSet::new();
    let mut add = |kind, holder: Option<&'a Value>, field: &str| {
        if let Some(name) = holder.and_then(|holder| holder.get(field)).and_then(Value::as_str) {
            found.insert((kind, namespace, name));
        }
    };
    for volume in list(pod, "volumes") {
        add("ConfigMap", volume.get("configMap"), "name");
        add("Secret", volume.get("secret"), "secretName");
        for source in volume.get("projected").into_iter().flat_map(|projected| list(projected, "sources")) {
            add("ConfigMap", source.get("configMap"), "name");
            add("Secret", source.get("secret"), "name");
        }
    }
    for container in ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|field| list(pod, field)) {
        for source in list(container, "envFrom") {
            add("ConfigMap", source.get("configMapRef"), "name");
            add("Secret", source.get("secretRef"), "name");
        }
        for variable in list(container, "env") {
            let source = |field| variable.get("valueFrom")?.get(field);
            add("ConfigMap", source("configMapKeyRef"), "name");
            add("Secret", source("secretKeyRef"), "name");
        }
    }
    found
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Source;

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
        .map(|body| Object::from_body(body, Source::default()).unwrap())
        .collect()
    }

    fn annotated(mut objects: Vec<Object>) -> Vec<Object> {
        let data: Vec<_> = objects.iter().filter_map(|object| Some((object.key.clone(), data_digest(object)?))).collect();
        let digests = Digests::of(data.iter(), "org1");
        objects.iter_mut().filter(|object| is_workload(object)).for_each(|object| digests.annotate(object));
        objects
    }

    fn hashes(config: &str, password: &str) -> BTreeMap<String, Option<String>> {
        let objects = annotated(manifest(config, password));
        let hash = |object: &Object| {
            let annotations = object.body.pointer("/spec/template/metadata/annotations")?;
            annotations[ANNOTATION].as_str().map(str::to_owned)
        };
        objects.iter().skip(2).map(|object| (object.key.name.clone(), hash(object))).collect()
    }

    #[test]
    fn a_change_of_data_changes_its_readers_and_no_others() {
        let (before, config, password) = (hashes("1", "x"), hashes("2", "x"), hashes("1", "y"));
        let changed = |after: &BTreeMap<String, Option<String>>| -> Vec<String> {
            before.keys().filter(|name| before[*name] != after[*name]).cloned().collect()
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
        let objects = annotated(objects);
        assert!(objects[2].body.pointer("/spec/template/metadata/annotations").is_some());
    }
}
