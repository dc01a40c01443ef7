//! Describes the changes between two configurations, for `channel diff`, `channel history` and
//! proposal files.
//!
//! Known values have titles ([`TITLES`]). Fields are compared as JSON, so values of later Fabric
//! versions are shown too. All differences are shown, because signers rely on it.

use super::config_json::value_to_json;
use super::config_tree::Group;
use super::message::configuration::{ConfigPolicy, ConfigValue};
use super::message::msp_configuration::MspConfig;
use super::msp::Msp;
use super::policy::Policy;
use crate::error::Result;
use crate::identity::certificate::Certificate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the changes, one line each. Empty if both are equal except for versions.
pub fn describe(from: &Group, to: &Group) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    group(&mut lines, &[], Some(from), to)?;
    Ok(lines)
}

/// A value's title, and the field that represents the whole value.
const TITLES: [(&str, &str, &str); 16] = [
    ("ACLs", "ACLs", "acls"),
    ("AnchorPeers", "anchor peers", "anchor_peers"),
    ("BatchSize", "batch size", ""),
    ("BatchTimeout", "batch timeout", "timeout"),
    (
        "BlockDataHashingStructure",
        "width of the block data hash",
        "width",
    ),
    ("Capabilities", "capabilities", "capabilities"),
    ("ChannelCreationPolicy", "policy for new channels", ""),
    ("ChannelRestrictions", "limit of channels", "max_count"),
    ("ConsensusType", "consensus", ""),
    ("Consortium", "consortium", "name"),
    ("Endpoints", "orderer endpoints", "addresses"),
    ("HashingAlgorithm", "hash algorithm", "name"),
    ("KafkaBrokers", "Kafka brokers", "brokers"),
    ("MSP", "MSP", "config"),
    ("OrdererAddresses", "orderer addresses", "addresses"),
    ("Orderers", "consenters", "consenter_mapping"),
];

fn group(lines: &mut Vec<String>, path: &[&str], from: Option<&Group>, to: &Group) -> Result<()> {
    let empty = Group::default();
    let from = from.unwrap_or(&empty);
    let place = path_words(path);
    if from.mod_policy != to.mod_policy {
        lines.push(may_change(&place, &from.mod_policy, &to.mod_policy));
    }
    for name in names(&from.groups, &to.groups) {
        let below = [path, &[name]].concat();
        match (from.groups.get(name), to.groups.get(name)) {
            (Some(_), None) => lines.push(removed_group(&below)),
            (None, Some(new)) if is_organization(&below) => {
                added_organization(lines, &below, new)?;
            }
            (None, Some(new)) => {
                lines.push(format!("add group {}", path_words(&below)));
                group(lines, &below, None, new)?;
            }
            (from, Some(to)) => group(lines, &below, from, to)?,
            (None, None) => {}
        }
    }
    values(lines, path, from, to)?;
    for name in names(&from.policies, &to.policies) {
        let path = format!("{place}/{name}");
        let (from, to) = (from.policies.get(name), to.policies.get(name));
        policy(lines, &path, from, to);
    }
    Ok(())
}

/// The keys of both, each once.
fn names<'a, T>(one: &'a BTreeMap<String, T>, other: &'a BTreeMap<String, T>) -> BTreeSet<&'a str> {
    one.keys().chain(other.keys()).map(String::as_str).collect()
}

fn values(lines: &mut Vec<String>, path: &[&str], from: &Group, to: &Group) -> Result<()> {
    for name in names(&from.values, &to.values) {
        let (from, to) = (from.values.get(name), to.values.get(name));
        let json = |of: Option<&ConfigValue>| match of {
            Some(value) => value_to_json(path, name, &value.value),
            None => Ok(Value::Null),
        };
        let title = title(path, name);
        let before = lines.len();
        if from.map(|it| &it.value) != to.map(|it| &it.value) {
            value(lines, &title, name, &json(from)?, &json(to)?);
            if before == lines.len() {
                lines.push(other_form(&title, from.is_some(), to.is_some()));
            }
        }
        if let (Some(from), Some(to)) = (from, to)
            && from.mod_policy != to.mod_policy
        {
            let place = format!("{}/{name}", path_words(path));
            lines.push(may_change(&place, &from.mod_policy, &to.mod_policy));
        }
    }
    Ok(())
}

/// The bytes differ, but the fields do not: another order of a map, or an unknown field.
fn other_form(title: &str, was: bool, is: bool) -> String {
    match (was, is) {
        (false, _) => format!("{title}: add an empty value"),
        (_, false) => format!("{title}: remove an empty value"),
        _ => format!("{title}: encoded in another way, perhaps with unknown fields"),
    }
}

fn path_words(path: &[&str]) -> String {
    [&["/Channel"], path].concat().join("/")
}

fn may_change(place: &str, from: &str, to: &str) -> String {
    format!(
        "who may change {place}: {} → {}",
        or_none(from),
        or_none(to)
    )
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn is_organization(path: &[&str]) -> bool {
    matches!(path, ["Application" | "Orderer", _] | ["Consortiums", _, _])
}

/// Returns the place of a group as text.
fn owner(path: &[&str]) -> String {
    match path {
        [] => "the channel".to_owned(),
        ["Application"] => "the application".to_owned(),
        ["Orderer"] => "the ordering service".to_owned(),
        ["Consortiums", name] => format!("the consortium {name}"),
        [.., name] => (*name).to_owned(),
    }
}

fn title(path: &[&str], name: &str) -> String {
    let known = TITLES.iter().find(|(key, ..)| *key == name);
    match known {
        Some((_, title, _))
            if matches!(name, "AnchorPeers" | "Endpoints" | "MSP" | "Capabilities") =>
        {
            format!("{title} of {}", owner(path))
        }
        Some((_, title, _)) => (*title).to_owned(),
        None => format!("value {}/{name}", path_words(path)),
    }
}

fn removed_group(path: &[&str]) -> String {
    match path {
        [above @ .., name] if is_organization(path) => {
            format!("remove organization {name} from {}", owner(above))
        }
        _ => format!("remove group {}", path_words(path)),
    }
}

/// Describes a new organization: its identity, and properties of its group that affect others.
fn added_organization(lines: &mut Vec<String>, path: &[&str], group: &Group) -> Result<()> {
    let [above @ .., name] = path else {
        return Ok(());
    };
    let message: MspConfig = group.value("MSP")?.unwrap_or_default();
    let read = Msp::from_message(&message);
    let mut line = format!("add organization {name} to {}", owner(above));
    if read.is_err() {
        line += "; its MSP cannot be read";
    }
    let msp = read.unwrap_or_default();
    if msp.id != *name {
        line += &format!(", with the MSP id {:?}", msp.id);
    }
    for (kind, certificates) in [
        ("authorities", &msp.roots),
        ("TLS authorities", &msp.tls_roots),
        ("administrators", &msp.admins),
    ] {
        let words = certificates.iter().map(|pem| certificate_words(pem));
        let words: Vec<String> = words.map(|it| it.unwrap_or("unreadable".into())).collect();
        if !words.is_empty() {
            line += &format!("; {kind}: {}", words.join(", "));
        }
    }
    lines.push(line);
    // A policy that others can satisfy gives them this organization's vote.
    for (key, policy) in &group.policies {
        let read = policy.policy.as_ref().map(Policy::from_message);
        let own = BTreeSet::from([msp.id.clone()]);
        let is_own = matches!(&read, Some(Ok(read)) if read.organizations() == own && !read.needs_no_signature());
        if !is_own {
            self::policy(
                lines,
                &format!("{}/{key}", path_words(path)),
                None,
                Some(policy),
            );
        }
    }
    let mut others = group.clone();
    others.values.remove("MSP");
    values(lines, path, &Group::default(), &others)
}

fn policy(
    lines: &mut Vec<String>,
    path: &str,
    from: Option<&ConfigPolicy>,
    to: Option<&ConfigPolicy>,
) {
    let words = |policy: &ConfigPolicy| match &policy.policy {
        None => "nothing".to_owned(),
        Some(policy) => Policy::from_message(policy).map_or_else(
            |_| "a policy that cannot be read".to_owned(),
            |it| it.to_string(),
        ),
    };
    match (from, to) {
        (Some(from), None) => lines.push(format!("remove policy {path}: {}", words(from))),
        (None, Some(to)) => lines.push(format!("add policy {path}: {}", words(to))),
        (Some(from), Some(to)) => {
            if from.policy != to.policy {
                let (from, to) = (words(from), words(to));
                // The texts are equal: the principals differ, or their order does.
                let note = if from == to {
                    " (encoded in another way)"
                } else {
                    ""
                };
                lines.push(format!("policy {path}: {from} → {to}{note}"));
            }
            if from.mod_policy != to.mod_policy {
                lines.push(may_change(path, &from.mod_policy, &to.mod_policy));
            }
        }
        (None, None) => {}
    }
}

fn value(lines: &mut Vec<String>, title: &str, name: &str, from: &Value, to: &Value) {
    if name == "ChannelCreationPolicy" {
        let policy = |json: &Value| json.pointer("/value").map_or(Value::Null, policy_words);
        return compare(lines, title, &policy(from), &policy(to));
    }
    let field = TITLES
        .iter()
        .find(|(key, ..)| *key == name)
        .map_or("", |(.., field)| field);
    if field.is_empty() {
        return compare(lines, title, from, to);
    }
    // The field that represents the value, and the other fields.
    let mut parts = [from.clone(), to.clone()].map(|json| match json {
        Value::Object(fields) => fields,
        _ => Map::new(),
    });
    let [from, to] = parts
        .each_mut()
        .map(|fields| fields.remove(field).unwrap_or_default());
    compare(lines, title, &from, &to);
    let [from, to] = parts.map(Value::Object);
    compare(lines, title, &from, &to);
}

/// An implicit meta policy in words; others as JSON.
fn policy_words(json: &Value) -> Value {
    match (json.get("rule"), json.get("sub_policy")) {
        (Some(Value::String(rule)), Some(Value::String(name))) => {
            format!("{rule} of {name}").into()
        }
        _ => json.to_string().into(),
    }
}

fn compare(lines: &mut Vec<String>, title: &str, from: &Value, to: &Value) {
    let null = Value::Null;
    match (from, to) {
        _ if from == to => {}
        (Value::Array(_), Value::Array(_) | Value::Null) | (Value::Null, Value::Array(_)) => {
            list(lines, title, from, to);
        }
        (Value::Object(_), Value::Object(_) | Value::Null) | (Value::Null, Value::Object(_)) => {
            let fields = |of: &Value| of.as_object().cloned().unwrap_or_default();
            let (from, to) = (fields(from), fields(to));
            if is_set(&from) && is_set(&to) {
                let keys = |of: &Map<String, Value>| of.keys().cloned().map(Value::from).collect();
                return list(
                    lines,
                    title,
                    &Value::Array(keys(&from)),
                    &Value::Array(keys(&to)),
                );
            }
            let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                let title = match key.as_str() {
                    "metadata" | "value" | "options" | "policy_ref" => title.to_owned(),
                    "consenters" => "consenters".to_owned(),
                    // A resource of the ACLs, not a field.
                    key if key.contains('/') => format!("{title}, {key}"),
                    key => format!("{title}, {}", key.replace('_', " ")),
                };
                let (from, to) = (from.get(key).unwrap_or(&null), to.get(key).unwrap_or(&null));
                compare(lines, &title, from, to);
            }
        }
        (from, to) => lines.push(format!("{title}: {} → {}", words(from), words(to))),
    }
}

/// Returns true if an object is a set of names, such as capabilities.
fn is_set(fields: &Map<String, Value>) -> bool {
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    fields.values().all(is_empty)
}

/// Returns added and removed items, and items with changed fields.
fn list(lines: &mut Vec<String>, title: &str, from: &Value, to: &Value) {
    let items = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let (from, to) = (items(from), items(to));
    // Items with the same key are numbered, so that none is omitted.
    let by_key = |of: &[Value]| {
        let (mut items, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for item in of {
            let count = counts.entry(key(item)).or_insert(0);
            *count += 1;
            items.insert((key(item), *count), item.clone());
        }
        items
    };
    let (old, new) = (by_key(&from), by_key(&to));
    let removed: Vec<&Value> = old
        .iter()
        .filter(|it| !new.contains_key(it.0))
        .map(|it| it.1)
        .collect();
    let added: Vec<&Value> = new
        .iter()
        .filter(|it| !old.contains_key(it.0))
        .map(|it| it.1)
        .collect();
    let before = lines.len();
    match (&removed[..], &added[..]) {
        ([one], [other]) if one.is_string() => {
            lines.push(format!("{title}: {} → {}", words(one), words(other)));
        }
        _ => {
            let line = |verb: &str, it: &Value| format!("{title}: {verb} {}", words(it));
            lines.extend(removed.iter().map(|it| line("remove", it)));
            lines.extend(added.iter().map(|it| line("add", it)));
        }
    }
    for (known, from) in &old {
        if let Some(to) = new.get(known) {
            compare(lines, &format!("{title}, {}", words(from)), from, to);
        }
    }
    if lines.len() == before {
        let change = if from.len() == to.len() {
            "in another order"
        } else {
            "repeated items"
        };
        lines.push(format!("{title}: {change}"));
    }
}

/// Returns the key of an item: a consenter's id, or otherwise its address.
fn key(item: &Value) -> String {
    match (item.get("id"), address(item)) {
        (Some(id), _) => id.to_string(),
        (None, Some(address)) => address,
        (None, None) => item.to_string(),
    }
}

fn address(item: &Value) -> Option<String> {
    let (host, port) = (item.get("host")?.as_str()?, item.get("port")?);
    Some(format!("{host}:{port}"))
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => match STANDARD.decode(text) {
            Ok(bytes) if text.len() > 60 => {
                certificate_words(&bytes).unwrap_or_else(|| format!("{} bytes", bytes.len()))
            }
            _ => text.clone(),
        },
        item => match (address(item), item.get("policy_ref")) {
            (Some(address), _) => address,
            (None, Some(Value::String(policy))) => policy.clone(),
            _ => item.to_string(),
        },
    }
}

/// `certificate "ca.org1" until 2036-11-19 (SHA-256 0123456789abcdef)`. The fingerprint is
/// shortened, but long enough to compare certificates.
fn certificate_words(pem: &[u8]) -> Option<String> {
    let certificate = Certificate::from_pem(pem, "it").ok()?;
    let (subject, end) = (
        &certificate.subject,
        certificate.not_after.strftime("%Y-%m-%d"),
    );
    let fingerprint = certificate.fingerprint();
    Some(format!(
        "certificate {subject:?} until {end} (SHA-256 {})",
        &fingerprint[..16]
    ))
}

#[cfg(test)]
mod tests;
