//! Finds the objects that a pod needs before it can start.

use super::pod_security;
use serde_json::Value;
use std::collections::BTreeSet;

/// A ConfigMap, Secret or volume claim that a pod names, in its own namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference<'a> {
    pub kind: &'static str,
    pub name: &'a str,
    /// Whether the pod can start without it.
    pub optional: bool,
}

/// Returns the pod spec of a Pod or of an object with a pod template.
pub fn pod_of(body: &Value) -> Option<&Value> {
    pod_security::template(body)?.get("spec")
}

/// Returns the names of the Secrets that a pod reads, in order and without duplicates.
pub fn secrets(pod: &Value) -> BTreeSet<&str> {
    data(pod)
        .into_iter()
        .filter(|reference| reference.kind == "Secret")
        .map(|reference| reference.name)
        .collect()
}

/// Returns the ConfigMaps and Secrets that a pod reads as volumes or environment variables.
pub fn data(pod: &Value) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    for volume in list(pod, "volumes") {
        found.extend(reference("ConfigMap", volume.get("configMap"), "name"));
        found.extend(reference("Secret", volume.get("secret"), "secretName"));
        for source in volume
            .get("projected")
            .into_iter()
            .flat_map(|projected| list(projected, "sources"))
        {
            found.extend(reference("ConfigMap", source.get("configMap"), "name"));
            found.extend(reference("Secret", source.get("secret"), "name"));
        }
    }
    for container in ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|field| list(pod, field))
    {
        for source in list(container, "envFrom") {
            found.extend(reference("ConfigMap", source.get("configMapRef"), "name"));
            found.extend(reference("Secret", source.get("secretRef"), "name"));
        }
        for variable in list(container, "env") {
            let source = |field| variable.get("valueFrom")?.get(field);
            found.extend(reference("ConfigMap", source("configMapKeyRef"), "name"));
            found.extend(reference("Secret", source("secretKeyRef"), "name"));
        }
    }
    found
}

/// Returns everything that a pod needs: ConfigMaps, Secrets, image pull credentials and volume
/// claims.
pub fn awaited(pod: &Value) -> Vec<Reference<'_>> {
    let mut found = data(pod);
    for volume in list(pod, "volumes") {
        found.extend(reference(
            "PersistentVolumeClaim",
            volume.get("persistentVolumeClaim"),
            "claimName",
        ));
    }
    for secret in list(pod, "imagePullSecrets") {
        found.extend(reference("Secret", Some(secret), "name"));
    }
    found.retain(|reference| !reference.optional);
    found
}

fn reference<'a>(
    kind: &'static str,
    holder: Option<&'a Value>,
    field: &str,
) -> Option<Reference<'a>> {
    let holder = holder?;
    Some(Reference {
        kind,
        name: holder.get(field)?.as_str()?,
        optional: holder.get("optional") == Some(&Value::Bool(true)),
    })
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_waits_for_all_that_it_names_and_cannot_do_without() {
        let pod = json!({
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "tls"}},
                {"name": "b", "configMap": {"name": "maybe", "optional": true}},
                {"name": "c", "projected": {"sources": [{"configMap": {"name": "core"}}, {"serviceAccountToken": {"path": "token"}}]}},
                {"name": "d", "persistentVolumeClaim": {"claimName": "crypto"}},
                {"name": "e", "emptyDir": {}},
            ],
            "initContainers": [{"envFrom": [{"secretRef": {"name": "login"}}]}],
            "containers": [{"env": [
                {"name": "A", "value": "x"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "couchdb", "key": "password"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "a", "optional": false}}},
            ]}],
        });
        let names: Vec<_> = awaited(&pod)
            .into_iter()
            .map(|reference| (reference.kind, reference.name))
            .collect();
        assert_eq!(
            names,
            [
                ("Secret", "tls"),
                ("ConfigMap", "core"),
                ("Secret", "login"),
                ("Secret", "couchdb"),
                ("ConfigMap", "words"),
                ("PersistentVolumeClaim", "crypto"),
                ("Secret", "registry"),
            ]
        );
    }
}
