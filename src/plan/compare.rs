//! Predicts whether applying an object would change it, from the desired object, the live object
//! and the fields that this program owns.
//!
//! Server-side apply changes an object if a desired field differs from the live field, or if this
//! program owns a field that is no longer desired. The live object shows both. Where the server
//! normalizes a value (`1000m` becomes `1`), the prediction is a cautious "maybe", and a dry run
//! decides.

use super::defaults::is_servers;
use serde_json::{Map, Value};

/// The field manager name of this program.
pub const FIELD_MANAGER: &str = "kubectl-fabric";

/// Returns true if applying `wanted` would not change the live object. False means that it might.
pub fn is_settled(wanted: &Value, live: &Value) -> bool {
    let Some(owned) = owned_fields(live) else {
        return false;
    };
    let ours = Ours::Of(owned);
    let is_so = fields(wanted).all(|(name, value)| match name.as_str() {
        // The fields that identify an object have no manager.
        "apiVersion" | "kind" => live[name] == *value,
        "metadata" => fields(value)
            .filter(|(name, _)| !matches!(name.as_str(), "name" | "namespace"))
            .all(|(name, value)| {
                holds(
                    value,
                    &live["metadata"][name],
                    ours.field("metadata").field(name),
                )
            }),
        _ => holds(value, &live[name], ours.field(name)),
    });
    is_so && !owns_unwanted(owned, wanted)
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Returns true if `live` contains everything that `wanted` sets in a field.
pub fn is_part_of(wanted: &Value, live: &Value) -> bool {
    holds(wanted, live, Ours::Ignored)
}

/// Returns true if `live` contains everything that `wanted` sets in a field, and otherwise only the
/// server's defaults.
pub fn is_all_of(wanted: &Value, live: &Value) -> bool {
    holds(wanted, live, Ours::All)
}

/// Returns this program's fields from an object's managedFields (fieldsV1 of its Apply entry), or
/// `None` if it never applied the object.
pub fn owned_fields(live: &Value) -> Option<&Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    entries
        .iter()
        .find(|entry| is_applied_by_us(entry))
        .map(|entry| &entry["fieldsV1"])
}

pub fn is_applied_by_us(entry: &Value) -> bool {
    entry["manager"] == FIELD_MANAGER
        && entry["operation"] == "Apply"
        && entry["subresource"].is_null()
}

/// Returns the parts of a live object that this program applied, without additions by the server
/// and others. Returns the whole object if this program never applied it.
pub fn applied(live: &Value) -> Value {
    let Some(owned) = owned_fields(live) else {
        return live.clone();
    };
    let mut body = kept(live, owned);
    for field in ["apiVersion", "kind"] {
        body[field] = live[field].clone();
    }
    for field in ["name", "namespace"] {
        if let Some(value) = live["metadata"].get(field) {
            body["metadata"][field] = value.clone();
        }
    }
    body
}

fn kept(live: &Value, owned: &Value) -> Value {
    match (live, owned.as_object()) {
        (Value::Object(fields), Some(owned)) if !owned.is_empty() => {
            let kept = fields.iter().filter_map(|(name, value)| {
                Some((name.clone(), kept(value, owned.get(&format!("f:{name}"))?)))
            });
            Value::Object(kept.collect())
        }
        (Value::Array(items), Some(entries)) if !entries.is_empty() => {
            let named = owned_items(owned);
            let kept = items.iter().filter_map(|item| {
                match named.iter().find(|(key, _)| is_named(item, key)) {
                    Some((_, owned)) => Some(kept(item, owned)),
                    None => named.is_empty().then(|| item.clone()),
                }
            });
            kept.collect()
        }
        _ => live.clone(),
    }
}

/// Removes managedFields.
pub fn forget_managed_fields(body: &mut Value) {
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
}

/// Returns true if two states of an object differ only in the server's bookkeeping.
pub fn same_but_for_bookkeeping(one: &Value, other: &Value) -> bool {
    fn stripped(body: &Value) -> Value {
        let mut body = body.clone();
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in [
                "managedFields",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "uid",
                "selfLink",
            ] {
                metadata.remove(field);
            }
        }
        if let Some(body) = body.as_object_mut() {
            body.remove("status");
        }
        body
    }
    stripped(one) == stripped(other)
}

/// The parts of a value that this program owns.
#[derive(Clone, Copy)]
enum Ours<'a> {
    /// Ownership does not matter.
    Ignored,
    /// These entries of fieldsV1.
    Of(&'a Value),
    /// All of it: an atomic map or list, or a part of one.
    All,
    /// None: another manager wrote it last.
    Lost,
}

impl<'a> Ours<'a> {
    fn field(self, name: &str) -> Ours<'a> {
        match self {
            Ours::Of(owned) => Ours::entry(owned.get(format!("f:{name}"))),
            other => other,
        }
    }

    /// Returns the ownership of an item of a list that has neither keys nor set values.
    fn item(self) -> Ours<'a> {
        match self {
            Ours::Of(_) => Ours::Ignored,
            other => other,
        }
    }

    fn entry(below: Option<&'a Value>) -> Ours<'a> {
        match below {
            None => Ours::Lost,
            Some(below) if below.as_object().is_none_or(Map::is_empty) => Ours::All,
            Some(below) => Ours::Of(below),
        }
    }
}

/// Returns true if `live` contains everything that `wanted` sets.
///
/// Ignores fields that only the server or others set, except in atomic maps and lists, where an
/// additional entry is a difference.
fn holds(wanted: &Value, live: &Value, ours: Ours) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), live) if wanted.values().all(Value::is_null) && live.is_null() => {
            true
        }
        // An equal field must also be owned. Otherwise it would stay when it is no longer desired.
        _ if matches!(ours, Ours::Lost) => is_empty(wanted) && is_empty(live),
        (Value::Object(wanted), Value::Object(live)) => {
            let more = || {
                live.iter()
                    .filter(|(name, _)| wanted.get(*name).is_none_or(Value::is_null))
            };
            (!matches!(ours, Ours::All) || more().all(|(name, value)| is_servers(name, value)))
                && wanted
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .all(|(name, value)| match live.get(name) {
                        Some(live) => holds(value, live, ours.field(name)),
                        None => is_empty(value),
                    })
        }
        (Value::Array(wanted), Value::Array(live)) => {
            let (named, is_set) = match ours {
                Ours::Of(owned) => (owned_items(owned), is_set(owned)),
                _ => (Vec::new(), false),
            };
            match &named[..] {
                [(first, _), ..] => wanted.iter().all(|item| {
                    let owned = named
                        .iter()
                        .find(|(key, _)| is_named(item, key))
                        .map(|(_, owned)| *owned);
                    let is_it = |live: &Value| first.keys().all(|key| matches(item, live, key));
                    live.iter()
                        .any(|live| is_it(live) && holds(item, live, Ours::entry(owned)))
                }),
                [] if is_set => wanted.iter().all(|item| live.contains(item)),
                [] => {
                    wanted.len() == live.len()
                        && wanted
                            .iter()
                            .zip(live)
                            .all(|(wanted, live)| holds(wanted, live, ours.item()))
                }
            }
        }
        (wanted, live) => wanted == live || (is_empty(wanted) && is_empty(live)),
    }
}

/// Returns true for empty maps and lists, which the server drops in most fields. Desiring one is
/// the same as desiring none.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Returns the owned items of a list whose items have key fields
/// (`k:{"containerPort":7051,"protocol":"TCP"}`). Empty for other lists.
fn owned_items(owned: &Value) -> Vec<(Map<String, Value>, &Value)> {
    owned
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, below)| Some((parse_key(name)?, below)))
        .collect()
}

pub(super) fn parse_key(name: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(name.strip_prefix("k:")?).ok()
}

fn is_set(owned: &Value) -> bool {
    owned
        .as_object()
        .is_some_and(|entries| entries.keys().any(|name| name.starts_with("v:")))
}

/// Returns true if a key field is equal in both items, or missing in the desired one, which then
/// has the default.
fn matches(wanted: &Value, live: &Value, key: &str) -> bool {
    wanted
        .get(key)
        .is_none_or(|value| live.get(key) == Some(value))
}

/// Returns true if a desired item has this key. A missing key field has its default.
pub(super) fn is_named(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter()
        .all(|(field, value)| item.get(field).is_none_or(|wanted| wanted == value))
}

/// Returns true if this program owns a field that is no longer desired, so that applying would
/// remove it.
fn owns_unwanted(owned: &Value, wanted: &Value) -> bool {
    let Some(entries) = owned.as_object() else {
        return false;
    };
    entries.iter().any(|(entry, below)| {
        if entry == "." {
            return false;
        }
        if let Some(name) = entry.strip_prefix("f:") {
            return match wanted.get(name) {
                None | Some(Value::Null) => true,
                Some(value) => owns_unwanted(below, value),
            };
        }
        if let Some(keys) = parse_key(entry) {
            let item = wanted
                .as_array()
                .into_iter()
                .flatten()
                .find(|item| is_named(item, &keys));
            return item.is_none_or(|item| owns_unwanted(below, item));
        }
        if let Some(value) = entry
            .strip_prefix("v:")
            .and_then(|value| serde_json::from_str::<Value>(value).ok())
        {
            return !wanted
                .as_array()
                .is_some_and(|items| items.contains(&value));
        }
        // `i:` is the index of an item in an atomic list, which was compared as a whole.
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(body: Value, fields: Value) -> Value {
        let mut body = body;
        body["metadata"]["managedFields"] = json!([
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
        ]);
        body
    }

    #[test]
    fn an_object_is_settled_when_it_holds_what_is_wanted_and_we_own_nothing_else() {
        let wanted = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"ports": [{"port": 7051, "name": "grpc"}], "selector": {}}});
        let fields = json!({"f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":7051,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}}}});
        let body = json!({"metadata": {"labels": {"a": "1", "theirs": "x"}},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 1, "protocol": "TCP", "name": "injected"},
                                                        {"port": 7051, "protocol": "TCP", "name": "grpc", "targetPort": 7051}]}});
        assert!(is_settled(&wanted, &live(body.clone(), fields.clone())));

        let mut edited = body.clone();
        edited["spec"]["ports"][1]["name"] = json!("changed");
        assert!(
            !is_settled(&wanted, &live(edited, fields.clone())),
            "a drifted field is not settled"
        );

        let mut more = fields.clone();
        more["f:metadata"]["f:labels"]["f:b"] = json!({});
        assert!(
            !is_settled(&wanted, &live(body.clone(), more)),
            "a field that we own and no longer want is to be removed"
        );

        let mut item = fields.clone();
        item["f:spec"]["f:ports"]["k:{\"port\":9443,\"protocol\":\"TCP\"}"] =
            json!({".": {}, "f:port": {}});
        assert!(
            !is_settled(&wanted, &live(body.clone(), item)),
            "an item that we own and no longer want is to be removed"
        );

        assert!(
            !is_settled(&wanted, &body),
            "an object that we never applied is not ours to call settled"
        );
    }

    #[test]
    fn atomic_lists_are_compared_whole_and_in_order() {
        let fields = json!({"f:spec": {"f:args": {}}});
        let body = |args: Value| {
            live(
                json!({"spec": {"args": args}, "metadata": {}}),
                fields.clone(),
            )
        };
        let wanted = json!({"spec": {"args": ["a", "b"]}});
        assert!(is_settled(&wanted, &body(json!(["a", "b"]))));
        assert!(!is_settled(&wanted, &body(json!(["b", "a"]))));
        assert!(!is_settled(&wanted, &body(json!(["a", "b", "c"]))));
    }

    #[test]
    fn of_a_list_that_is_a_set_our_values_count_in_any_order() {
        let settled = |wanted: Value, is: Value, ours: Value| {
            let body = json!({"metadata": {"finalizers": is}});
            is_settled(
                &json!({"metadata": {"finalizers": wanted}}),
                &live(body, json!({"f:metadata": {"f:finalizers": ours}})),
            )
        };
        let (a, both) = (
            json!({".": {}, "v:\"a\"": {}}),
            json!({".": {}, "v:\"a\"": {}, "v:\"b\"": {}}),
        );
        assert!(
            settled(json!(["a", "b"]), json!(["b", "a"]), both.clone()),
            "the order does not matter"
        );
        assert!(
            settled(json!(["a"]), json!(["theirs", "a"]), a.clone()),
            "values of others stay"
        );
        assert!(
            !settled(json!(["a"]), json!(["theirs"]), a.clone()),
            "ours is gone"
        );
        assert!(
            !settled(json!(["a"]), json!(["a", "b"]), both),
            "an own item is no longer wanted"
        );
        assert!(
            !settled(json!(["a", "b"]), json!(["a"]), a),
            "one more is wanted"
        );
    }

    #[test]
    fn a_field_more_or_less_in_a_list_that_is_written_whole_is_a_difference() {
        let rule = json!({"from": [{"podSelector": {"matchLabels": {"a": "b"}}}], "ports": [{"port": 7051}]});
        let wanted = json!({"spec": {"ingress": [rule]}});
        let body = |rule: Value, fields: Value| {
            live(json!({"spec": {"ingress": [rule]}, "metadata": {}}), fields)
        };
        let ours = json!({"f:spec": {"f:ingress": {}}});
        let mut defaulted = rule.clone();
        defaulted["ports"][0]["protocol"] = json!("TCP");
        assert!(
            is_settled(&wanted, &body(defaulted.clone(), ours.clone())),
            "what the server adds does not matter"
        );
        assert!(
            !is_settled(
                &json!({"spec": {"ingress": [{"ports": rule["ports"]}]}}),
                &body(defaulted.clone(), ours)
            ),
            "it opens"
        );
        let lost = json!({"f:spec": {"f:policyTypes": {}}});
        let wanted = json!({"spec": {"ingress": [rule], "policyTypes": ["Ingress"]}});
        let mut theirs = body(defaulted, lost);
        theirs["spec"]["policyTypes"] = json!(["Ingress"]);
        assert!(!is_settled(&wanted, &theirs), "another wrote the list last");

        let wanted =
            json!({"apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "1", "b": "1"}});
        let equal = |fields: Value| {
            live(
                json!({"apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "1", "b": "1"}}),
                fields,
            )
        };
        assert!(is_settled(
            &wanted,
            &equal(json!({"f:data": {"f:a": {}, "f:b": {}}}))
        ));
        assert!(
            !is_settled(&wanted, &equal(json!({"f:data": {"f:a": {}}}))),
            "another set it, and it is to be ours"
        );
    }

    #[test]
    fn what_was_applied_is_shown_without_what_was_added() {
        let fields = json!({"f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:args": {}, "f:ports": {"k:{\"port\":7051,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
        let body = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "x", "uid": "1", "labels": {"a": "1", "b": "2"}},
            "spec": {"clusterIP": "10.0.0.1", "args": ["a"], "ports": [{"port": 7051, "protocol": "TCP"}, {"port": 22, "protocol": "TCP"}]},
            "status": {}});
        let expected = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "labels": {"a": "1"}},
            "spec": {"args": ["a"], "ports": [{"port": 7051}]}});
        assert_eq!(applied(&live(body, fields)), expected);
    }

    #[test]
    fn bookkeeping_of_the_server_is_no_difference() {
        let one = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": []}, "data": {"k": "v"}, "status": {"x": 1}});
        let other = json!({"metadata": {"name": "a", "resourceVersion": "2"}, "data": {"k": "v"}});
        assert!(same_but_for_bookkeeping(&one, &other));
        assert!(!same_but_for_bookkeeping(
            &one,
            &json!({"metadata": {"name": "a"}, "data": {"k": "w"}})
        ));
    }
}
