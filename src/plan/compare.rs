//! Would applying this object change it? Compares what is wanted with what is live and with the fields that we own.
//!
//! Server-side apply changes an object when a wanted field is not as it is live, or when a field that we own is no longer wanted.
//! Both can be told from the live object. Where the server writes a value in a form of its own (`1000m` becomes `1`), the answer here is a
//! cautious "maybe", and a dry-run decides.

use serde_json::{Map, Value};

/// Our name as a field manager.
pub const FIELD_MANAGER: &str = "kubectl-fabric";

/// Whether the live object already is what applying `wanted` would make it. False means: perhaps not.
pub fn is_settled(wanted: &Value, live: &Value) -> bool {
    let owned = owned_fields(live);
    let Some(owned) = owned else { return false };
    holds(wanted, live, Some(owned)) && !owns_unwanted(owned, wanted)
}

/// Whether `live` holds all that `wanted` says of one field.
pub fn is_part_of(wanted: &Value, live: &Value) -> bool {
    holds(wanted, live, None)
}

/// Our fields in an object's managedFields (fieldsV1 of our Apply entry); `None` when we never applied it.
pub fn owned_fields(live: &Value) -> Option<&Value> {
    live.pointer("/metadata/managedFields")?.as_array()?.iter().find_map(|entry| {
        let ours = entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply" && entry["subresource"].is_null();
        ours.then(|| &entry["fieldsV1"])
    })
}

/// Drops the server's notes about who set which field.
pub fn forget_managed_fields(body: &mut Value) {
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
}

/// Whether two states of an object are the same but for what the server keeps about writing it.
pub fn same_but_for_bookkeeping(one: &Value, other: &Value) -> bool {
    fn stripped(body: &Value) -> Value {
        let mut body = body.clone();
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"] {
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

/// Whether `live` holds everything that `wanted` says. Fields that only the server or others set do not matter.
fn holds(wanted: &Value, live: &Value, owned: Option<&Value>) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), live) if wanted.values().all(Value::is_null) && live.is_null() => true,
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().filter(|(_, value)| !value.is_null()).all(|(name, value)| {
                let owned = owned.and_then(|owned| owned.get(format!("f:{name}")));
                match live.get(name) {
                    Some(live) => holds(value, live, owned),
                    None => is_empty(value),
                }
            })
        }
        (Value::Array(wanted), Value::Array(live)) => match &owned.map(owned_items).unwrap_or_default()[..] {
            items @ [(first, _), ..] => wanted.iter().all(|item| {
                let owned = items.iter().find(|(key, _)| is_named(item, key)).map(|(_, owned)| *owned);
                live.iter().any(|live| first.keys().all(|key| matches(item, live, key)) && holds(item, live, owned))
            }),
            [] if is_set(owned) => wanted.iter().all(|item| live.contains(item)),
            [] => wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| holds(wanted, live, None)),
        },
        (wanted, live) => wanted == live || (is_empty(wanted) && is_empty(live)),
    }
}

/// The server does not keep empty maps and lists of most fields: wanting one is wanting none.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Our items of a list whose items are told apart by some fields (`k:{"containerPort":7051,"protocol":"TCP"}`), if it is such a list.
fn owned_items(owned: &Value) -> Vec<(Map<String, Value>, &Value)> {
    owned.as_object().into_iter().flatten().filter_map(|(name, below)| Some((parse_key(name)?, below))).collect()
}

fn parse_key(name: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(name.strip_prefix("k:")?).ok()
}

fn is_set(owned: Option<&Value>) -> bool {
    owned.and_then(Value::as_object).is_some_and(|entries| entries.keys().any(|name| name.starts_with("v:")))
}

/// Two items are one when a key field is equal, or left to its default by the wanted one.
fn matches(wanted: &Value, live: &Value, key: &str) -> bool {
    wanted.get(key).is_none_or(|value| live.get(key) == Some(value))
}

/// Whether a wanted item is the one of this key: equal, or left to its default.
fn is_named(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter().all(|(field, value)| item.get(field).is_none_or(|wanted| wanted == value))
}

/// Whether we own a field that is no longer wanted, so that applying would remove it.
fn owns_unwanted(owned: &Value, wanted: &Value) -> bool {
    let Some(entries) = owned.as_object() else { return false };
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
            let item = wanted.as_array().into_iter().flatten().find(|item| is_named(item, &keys));
            return item.is_none_or(|item| owns_unwanted(below, item));
        }
        if let Some(value) = entry.strip_prefix("v:").and_then(|value| serde_json::from_str::<Value>(value).ok()) {
            return !wanted.as_array().is_some_and(|items| items.contains(&value));
        }
        // `i:` names an item of an atomic list by its place; the list was compared as a whole.
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
        let wanted =
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"ports": [{"port": 7051, "name": "grpc"}], "selector": {}}});
        let fields = json!({"f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":7051,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}}}});
        let body = json!({"metadata": {"labels": {"a": "1", "theirs": "x"}},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 1, "protocol": "TCP", "name": "injected"},
                                                        {"port": 7051, "protocol": "TCP", "name": "grpc", "targetPort": 7051}]}});
        assert!(is_settled(&wanted, &live(body.clone(), fields.clone())));

        let mut edited = body.clone();
        edited["spec"]["ports"][1]["name"] = json!("changed");
        assert!(!is_settled(&wanted, &live(edited, fields.clone())), "a drifted field is not settled");

        let mut more = fields.clone();
        more["f:metadata"]["f:labels"]["f:b"] = json!({});
        assert!(!is_settled(&wanted, &live(body.clone(), more)), "a field that we own and no longer want is to be removed");

        let mut item = fields.clone();
        item["f:spec"]["f:ports"]["k:{\"port\":9443,\"protocol\":\"TCP\"}"] = json!({".": {}, "f:port": {}});
        assert!(!is_settled(&wanted, &live(body.clone(), item)), "an item that we own and no longer want is to be removed");

        assert!(!is_settled(&wanted, &body), "an object that we never applied is not ours to call settled");
    }

    #[test]
    fn atomic_lists_are_compared_whole_and_in_order() {
        let fields = json!({"f:spec": {"f:args": {}}});
        let body = |args: Value| live(json!({"spec": {"args": args}, "metadata": {}}), fields.clone());
        let wanted = json!({"spec": {"args": ["a", "b"]}});
        assert!(is_settled(&wanted, &body(json!(["a", "b"]))));
        assert!(!is_settled(&wanted, &body(json!(["b", "a"]))));
        assert!(!is_settled(&wanted, &body(json!(["a", "b", "c"]))));
    }

    #[test]
    fn bookkeeping_of_the_server_is_no_difference() {
        let one = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": []}, "data": {"k": "v"}, "status": {"x": 1}});
        let other = json!({"metadata": {"name": "a", "resourceVersion": "2"}, "data": {"k": "v"}});
        assert!(same_but_for_bookkeeping(&one, &other));
        assert!(!same_but_for_bookkeeping(&one, &json!({"metadata": {"name": "a"}, "data": {"k": "w"}})));
    }
}
