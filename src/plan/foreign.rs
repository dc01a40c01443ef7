//! Finds fields that other managers set in this program's objects, from `managedFields`.
//!
//! Applying removes only fields that this program alone owns. Fields that others added, or own as
//! well, stay until this program takes them over ([`claim`]). The next apply, which does not set
//! them, then removes them. Fields that an admission webhook injects have no manager and are not
//! reported.

use super::compare::{
    FIELD_MANAGER, is_applied_by_us, is_named, is_part_of, owned_fields, parse_key,
};
use super::defaults::is_default;
use serde_json::{Map, Value, json};
use std::fmt::{self, Display, Formatter};

/// How a field of another manager relates to the desired object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The field is not desired.
    Added,
    /// The field is desired with another value.
    Changed,
    /// The field is not desired, but may belong to others (see [`ALLOWED`]).
    Allowed,
}

/// A field of another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub field: Field,
    pub manager: String,
    pub standing: Standing,
}

/// The path of a field or of an item in a list, as entries of fieldsV1: `f:spec`, `f:ports`,
/// `k:{"port":22,"protocol":"TCP"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field(Vec<String>);

/// Formats the path as the server does in conflicts, without the leading dot.
impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            if let Some(name) = entry.strip_prefix("f:") {
                match name.contains(['.', '/']) {
                    true => write!(f, "[{name}]")?,
                    false => write!(f, "{}{name}", if index == 0 { "" } else { "." })?,
                }
            } else if let Some(keys) = parse_key(entry) {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(f, "[{}]", keys.join(","))?;
            } else {
                write!(f, "[={}]", entry.trim_start_matches("v:"))?;
            }
        }
        Ok(())
    }
}

/// Fields that others may own: state that controllers keep in an object, and fields left to an
/// autoscaler.
///
/// An empty list of kinds means all kinds. `*` is any entry. A row allows all fields below it.
const ALLOWED: [(&[&str], &[&str]); 14] = [
    (&[], &["f:status"]),
    (&[], &["f:metadata", "f:finalizers"]),
    (&[], &["f:metadata", "f:ownerReferences"]),
    (&[], &["f:spec", "f:replicas"]),
    (&["Namespace"], &["f:metadata"]),
    (&["Namespace"], &["f:spec"]),
    (&["PersistentVolumeClaim"], &["f:spec", "f:volumeName"]),
    (&["PersistentVolume"], &["f:spec", "f:claimRef"]),
    (&["Service"], &["f:spec", "f:clusterIP"]),
    (&["Service"], &["f:spec", "f:clusterIPs"]),
    (&["Service"], &["f:spec", "f:ipFamilies"]),
    (&["ServiceAccount"], &["f:secrets"]),
    (&["ServiceAccount"], &["f:imagePullSecrets"]),
    (
        &[
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ],
        &["f:webhooks", "*", "f:clientConfig", "f:caBundle"],
    ),
];

/// Prefixes of annotations in which controllers and kubectl keep notes, on an object or its pods.
/// They are not reported.
const NOTES: [&str; 8] = [
    "autoscaling.alpha.kubernetes.io/",
    "cloud.google.com/neg",
    "deployment.kubernetes.io/",
    "field.cattle.io/",
    "kubectl.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "volume.kubernetes.io/",
];

impl Field {
    fn is_allowed(&self, kind: &str) -> bool {
        let begins = |row: &[&str]| {
            self.0.len() >= row.len()
                && self
                    .0
                    .iter()
                    .zip(row)
                    .all(|(entry, allowed)| *allowed == "*" || entry == allowed)
        };
        ALLOWED
            .iter()
            .any(|(kinds, row)| (kinds.is_empty() || kinds.contains(&kind)) && begins(row))
    }

    /// Returns true if this is an annotation in which a tool keeps its notes.
    fn is_note(&self) -> bool {
        let [.., metadata, annotations, name] = self.0.as_slice() else {
            return false;
        };
        let is_annotation = metadata == "f:metadata" && annotations == "f:annotations";
        let is_notes = |start: &&str| {
            name.strip_prefix("f:")
                .is_some_and(|name| name.starts_with(*start))
        };
        is_annotation && NOTES.iter().any(is_notes)
    }

    fn is_in(&self, fields: &Value) -> bool {
        self.0
            .iter()
            .try_fold(fields, |fields, entry| fields.get(entry))
            .is_some()
    }

    /// Removes the field from an object, and its parents if they become empty.
    pub fn remove(&self, body: &mut Value) {
        remove(&self.0, body);
    }
}

fn remove(path: &[String], body: &mut Value) {
    let Some((entry, below)) = path.split_first() else {
        return;
    };
    let place = match (&mut *body, entry.strip_prefix("f:")) {
        (Value::Object(fields), Some(name)) => fields.get_mut(name),
        (Value::Array(items), None) => position(items, entry).map(|index| &mut items[index]),
        _ => None,
    };
    let Some(place) = place else { return };
    if !below.is_empty() {
        remove(below, place);
        let is_left = match place {
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        if is_left {
            return;
        }
    }
    match (body, entry.strip_prefix("f:")) {
        (Value::Object(fields), Some(name)) => drop(fields.shift_remove(name)),
        (Value::Array(items), None) => {
            drop(position(items, entry).map(|index| items.remove(index)))
        }
        _ => {}
    }
}

/// Returns the index of the list item that an entry of fieldsV1 names. A desired item may omit a
/// key that has a default.
fn position(items: &[Value], entry: &str) -> Option<usize> {
    if let Some(keys) = parse_key(entry) {
        return items.iter().position(|item| is_named(item, &keys));
    }
    let value: Value = serde_json::from_str(entry.strip_prefix("v:")?).ok()?;
    items.iter().position(|item| *item == value)
}

/// Returns the fields of other managers in a live object that are not desired, or desired with
/// another value.
pub fn find(wanted: &Value, live: &Value) -> Vec<Foreign> {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let theirs = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] != FIELD_MANAGER && entry["subresource"] != "status");
    let mut found: Vec<Foreign> = Vec::new();
    for entry in theirs {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let kind = live["kind"].as_str().unwrap_or_default();
        let mut walk = Walk {
            kind,
            manager,
            found: &mut found,
            path: Vec::new(),
        };
        walk.map(&entry["fieldsV1"], Some(wanted), live);
    }
    found.sort_by(|a, b| a.field.cmp(&b.field));
    found
}

struct Walk<'a> {
    kind: &'a str,
    manager: &'a str,
    found: &'a mut Vec<Foreign>,
    path: Vec<String>,
}

impl Walk<'_> {
    /// Visits the fields of a map, or the items of a list.
    fn map(&mut self, fields: &Value, wanted: Option<&Value>, live: &Value) {
        for (entry, below) in fields.as_object().into_iter().flatten() {
            let (name, live, wanted) = match (entry.strip_prefix("f:"), live) {
                (Some(name), Value::Object(live)) => (
                    name,
                    live.get(name),
                    wanted.and_then(|wanted| wanted.get(name)),
                ),
                (None, Value::Array(items)) => {
                    let wanted = wanted.and_then(Value::as_array);
                    let wanted = wanted
                        .and_then(|wanted| position(wanted, entry).map(|index| &wanted[index]));
                    (
                        "",
                        position(items, entry).map(|index| &items[index]),
                        wanted,
                    )
                }
                _ => continue,
            };
            let Some(live) = live else { continue };
            self.path.push(entry.clone());
            self.field(name, below, wanted.filter(|wanted| !wanted.is_null()), live);
            self.path.pop();
        }
    }

    fn field(&mut self, name: &str, below: &Value, wanted: Option<&Value>, live: &Value) {
        let is_leaf = below.as_object().is_none_or(Map::is_empty);
        match wanted {
            None if is_leaf || name.is_empty() => {
                if name.is_empty() || !is_default(name, live) {
                    self.add(Standing::Added);
                }
            }
            Some(wanted) if is_leaf => {
                if !is_part_of(wanted, live) {
                    self.add(Standing::Changed);
                }
            }
            wanted => self.map(below, wanted, live),
        }
    }

    fn add(&mut self, standing: Standing) {
        let field = Field(self.path.clone());
        if field.is_note() {
            return;
        }
        let standing = if standing == Standing::Added && field.is_allowed(self.kind) {
            Standing::Allowed
        } else {
            standing
        };
        self.found.push(Foreign {
            field,
            manager: self.manager.to_owned(),
            standing,
        });
    }
}

/// Returns the additions that an apply should remove. Unless `forced`, these are only the fields
/// that this program owns too: they were desired before and no longer are.
pub fn to_remove(found: Vec<Foreign>, live: &Value, forced: bool) -> Vec<Foreign> {
    let ours = owned_fields(live);
    let is_ours = |foreign: &Foreign| ours.is_some_and(|ours| foreign.field.is_in(ours));
    found
        .into_iter()
        .filter(|foreign| foreign.standing == Standing::Added && (forced || is_ours(foreign)))
        .collect()
}

/// Returns managedFields in which this program alone owns these fields, or `None` if no other
/// manager owns one of them.
pub fn claim(live: &Value, api_version: &str, fields: &[Foreign]) -> Option<Value> {
    let mut entries = live.pointer("/metadata/managedFields")?.as_array()?.clone();
    let mut ours = json!({});
    for entry in entries
        .iter_mut()
        .filter(|entry| entry["manager"] != FIELD_MANAGER && entry["subresource"] != "status")
    {
        for Foreign { field, .. } in fields {
            let taken = take(&mut entry["fieldsV1"], &field.0);
            if let Some(taken) = taken {
                merge(&mut ours, nested(&field.0, taken));
            }
        }
    }
    if ours == json!({}) {
        return None;
    }
    entries.retain(|entry| {
        entry["fieldsV1"]
            .as_object()
            .is_some_and(|fields| !fields.is_empty())
    });
    match entries.iter_mut().find(|entry| is_applied_by_us(entry)) {
        Some(entry) => merge(&mut entry["fieldsV1"], ours),
        None => entries.push(json!({
            "manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": ours,
        })),
    }
    Some(Value::Array(entries))
}

/// Removes a path and everything below it from fieldsV1.
fn take(fields: &mut Value, path: &[String]) -> Option<Value> {
    let (entry, below) = path.split_first()?;
    let fields = fields.as_object_mut()?;
    if below.is_empty() {
        return fields.shift_remove(entry);
    }
    let next = fields.get_mut(entry)?;
    let taken = take(next, below);
    if next.as_object().is_some_and(Map::is_empty) {
        fields.shift_remove(entry);
    }
    taken
}

fn nested(path: &[String], leaf: Value) -> Value {
    path.iter()
        .rev()
        .fold(leaf, |below, entry| json!({ entry.as_str(): below }))
}

fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else {
        return;
    };
    for (entry, below) in from {
        merge(into.entry(entry).or_insert_with(|| json!({})), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn live(body: Value, managers: Value) -> Value {
        let mut body = body;
        let entry = |(manager, fields): (&String, &Value)| {
            let operation = if manager == FIELD_MANAGER {
                "Apply"
            } else {
                "Update"
            };
            json!({"manager": manager, "operation": operation, "fieldsV1": fields})
        };
        body["metadata"]["managedFields"] =
            managers.as_object().unwrap().iter().map(entry).collect();
        body
    }

    fn standings(wanted: &Value, live: &Value) -> BTreeMap<String, Standing> {
        find(wanted, live)
            .into_iter()
            .map(|foreign| {
                (
                    format!("{} {}", foreign.manager, foreign.field),
                    foreign.standing,
                )
            })
            .collect()
    }

    fn service() -> (Value, Value) {
        let wanted = json!({"kind": "Service", "metadata": {"labels": {"a": "1"}}, "spec": {"ports": [{"port": 7051}]}});
        let port = |port: u16| json!({"port": port, "protocol": "TCP"});
        let body = json!({"kind": "Service",
            "metadata": {"labels": {"a": "2", "b": "1"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x", "x.y/z": "1"}},
            "spec": {"type": "ClusterIP", "replicas": 3, "ports": [port(7051), port(22)]}});
        let item = json!({".": {}, "f:port": {}, "f:protocol": {}});
        let theirs = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}, "f:b": {}, "f:gone": {}},
                "f:annotations": {"f:kubectl.kubernetes.io/last-applied-configuration": {}, "f:x.y/z": {}}},
            "f:spec": {"f:type": {}, "f:replicas": {}, "f:ports": {"k:{\"port\":22,\"protocol\":\"TCP\"}": item, "k:{\"port\":7051,\"protocol\":\"TCP\"}": item}}});
        let ours = json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:ports": {"k:{\"port\":7051,\"protocol\":\"TCP\"}": item}}});
        (
            wanted,
            live(body, json!({"kubectl": theirs, FIELD_MANAGER: ours})),
        )
    }

    #[test]
    fn what_others_added_changed_and_may_own_is_distinguished() {
        let (wanted, live) = service();
        let expected = [
            ("kubectl metadata.labels.a", Standing::Changed),
            ("kubectl metadata.labels.b", Standing::Added),
            ("kubectl metadata.annotations[x.y/z]", Standing::Added),
            (
                "kubectl spec.ports[port=22,protocol=\"TCP\"]",
                Standing::Added,
            ),
            ("kubectl spec.replicas", Standing::Allowed),
        ];
        assert_eq!(
            standings(&wanted, &live),
            expected
                .map(|(field, standing)| (field.to_owned(), standing))
                .into()
        );
    }

    #[test]
    fn fields_that_are_claimed_are_ours_alone_and_the_rest_stays_theirs() {
        let (wanted, live) = service();
        let fields = to_remove(find(&wanted, &live), &live, true);
        assert_eq!(fields.len(), 3);
        assert_eq!(
            to_remove(find(&wanted, &live), &live, false),
            [],
            "what we never set is taken only by force"
        );
        let mut claimed = live.clone();
        claimed["metadata"]["managedFields"] = claim(&live, "v1", &fields).unwrap();
        assert!(
            find(&wanted, &claimed)
                .iter()
                .all(|foreign| foreign.standing != Standing::Added)
        );
        assert!(
            fields
                .iter()
                .all(|foreign| foreign.field.is_in(owned_fields(&claimed).unwrap()))
        );
        assert_eq!(
            claimed["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"],
            json!({})
        );
        assert_eq!(claim(&claimed, "v1", &fields), None);

        let mut left = live;
        fields
            .iter()
            .for_each(|foreign| foreign.field.remove(&mut left));
        assert_eq!(
            left["spec"]["ports"],
            json!([{"port": 7051, "protocol": "TCP"}])
        );
        assert_eq!(left["metadata"]["labels"], json!({"a": "2"}));
    }
}
