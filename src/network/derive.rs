//! Derives values that refer to other releases from the file.
//!
//! | value | follows from |
//! |---|---|
//! | `networkPolicy.ordererOrgs` of peers | the orderers of their channels |
//! | `networkPolicy.peerOrgs` of peers | the other members of their channels |
//! | `networkPolicy.peerOrgs` of orderers | the members of the channels that they order |
//! | `networkPolicy.ordererOrgs` of orderers | the other orderers of these channels |
//! | `networkPolicy.kafka` of orderers, `networkPolicy.ordererOrgs` of Kafka | `orderers.consensus: kafka` |
//! | `orderers.genesis.secret` | orderers that start from a system channel |
//!
//! The user's own value takes precedence. If it omits something that follows from the file, a
//! warning says so.

use super::file::{Chaincode, Installation, Network};
use super::member::{Consensus, Role};
use crate::values::{self, Origin, Values, path};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The Secret in which `up` stores the genesis block of the system channel.
pub const GENESIS_SECRET: &str = "genesis";

/// The origin of derived values.
fn origin() -> Origin {
    Origin::Program("network file".to_owned())
}

/// The derived values of one release, by path.
type Derived = BTreeMap<&'static str, Value>;

/// Adds the derived values below each release's values, and warns if the user's own value
/// contradicts them.
pub fn apply(network: &mut Network) {
    let kafka: Vec<(String, Derived)> = network
        .kafka
        .keys()
        .map(|release| (release.clone(), of_kafka(network)))
        .collect();
    let organizations: Vec<(String, Derived)> = network
        .organizations
        .keys()
        .map(|release| (release.clone(), of_organization(network, release)))
        .collect();
    let mut warnings = Vec::new();
    for (release, derived) in kafka {
        let installation = network.kafka.get_mut(&release).expect("a key of this map");
        put(installation, &derived, &mut warnings);
    }
    for (release, derived) in organizations {
        let organization = network
            .organizations
            .get_mut(&release)
            .expect("a key of this map");
        put(&mut organization.installation, &derived, &mut warnings);
    }
    network.warnings.extend(warnings);
}

fn of_kafka(network: &Network) -> Derived {
    let uses = |(name, _): &(&String, &super::file::Organization)| {
        network.organizations[*name].member.consensus == Some(Consensus::Kafka)
    };
    let orderers: BTreeSet<&str> = network
        .organizations
        .iter()
        .filter(uses)
        .map(|(_, organization)| organization.installation.namespace.as_str())
        .collect();
    Derived::from([("/networkPolicy/ordererOrgs", json!(orderers))])
}

fn of_organization(network: &Network, release: &str) -> Derived {
    let member = &network.organizations[release].member;
    let (mut peers, mut orderers) = (BTreeSet::new(), BTreeSet::new());
    for channel in network.channels.values() {
        if channel.organizations.contains_key(release) || channel.orderers.contains_key(release) {
            peers.extend(channel.organizations.keys());
            orderers.extend(channel.orderers.keys());
        }
    }
    let namespaces = |names: BTreeSet<&String>| -> Value {
        let others = names.into_iter().filter(|name| *name != release);
        others.filter_map(|name| network.namespace(name)).collect()
    };
    let mut derived = Derived::from([
        ("/networkPolicy/peerOrgs", namespaces(peers)),
        ("/networkPolicy/ordererOrgs", namespaces(orderers)),
    ]);
    if member.role == Role::Orderers {
        if let Some(kafka) = network.kafka.values().next()
            && member.consensus == Some(Consensus::Kafka)
        {
            derived.insert("/networkPolicy/kafka", kafka.namespace.clone().into());
        }
        if member.system_channel && !member.genesis_on_volume {
            derived.insert("/orderers/genesis/secret", GENESIS_SECRET.into());
        }
    }
    derived
}

fn put(installation: &mut Installation, derived: &Derived, warnings: &mut Vec<String>) {
    let mut tree = Value::Object(Map::new());
    for (pointer, value) in derived {
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        match installation.values.tree.pointer(pointer) {
            Some(own) if !own.is_null() => {
                if let Some(what) = contradiction(own, value) {
                    let key = path::display(pointer, &tree);
                    let at = installation.values.origin(pointer);
                    let at = at.map(|origin| format!("{origin}: ")).unwrap_or_default();
                    let release = &installation.release;
                    warnings.push(format!(
                        "{at}{key} of \"{release}\" {what}; your value is used"
                    ));
                }
            }
            _ if is_empty => {}
            _ => set(&mut tree, pointer, value.clone()),
        }
    }
    if tree.as_object().is_some_and(|map| !map.is_empty()) {
        let under = values::with_origin(tree, origin());
        let own = std::mem::take(&mut installation.values);
        installation.values = values::merge(under, own);
    }
}

/// Describes how the user's value contradicts the derived one. A list may contain more.
fn contradiction(own: &Value, derived: &Value) -> Option<String> {
    let Some(wanted) = derived.as_array() else {
        // The genesis block may be in a Secret with any name.
        return None;
    };
    let own = own.as_array().map(Vec::as_slice).unwrap_or_default();
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|name| !own.contains(name))
        .filter_map(Value::as_str)
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "lacks {}, which shares a channel with it",
            missing.join(", ")
        )
    })
}

fn set(tree: &mut Value, pointer: &str, value: Value) {
    let mut node = tree;
    for key in pointer.split('/').skip(1) {
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        let Value::Object(map) = node else { return };
        node = map.entry(key).or_insert(Value::Null);
    }
    *node = value;
}

/// Returns the values of the release that runs a chaincode service for one organization: image,
/// port and package id, overridden by the user's values.
pub fn chaincode_values(
    network: &Network,
    chaincode: &Chaincode,
    organization: &str,
    package_id: &str,
) -> Values {
    let (repository, tag, digest) = image(chaincode.image.as_deref().unwrap_or_default());
    let port = network
        .organizations
        .get(organization)
        .map(|it| it.member.chaincode_port);
    let derived = json!({
        "image": {"repository": repository, "tag": tag, "digest": digest},
        "packageID": package_id,
        "port": port.unwrap_or(9999),
    });
    values::merge(
        values::with_origin(derived, origin()),
        chaincode.values.clone(),
    )
}

/// Splits an image reference into repository, tag and digest.
pub fn image(reference: &str) -> (&str, &str, &str) {
    let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
    match name.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag, digest),
        _ => (name, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::image;

    #[test]
    fn an_image_reference_has_a_repository_a_tag_and_a_digest() {
        for (reference, parts) in [
            ("basic", ("basic", "", "")),
            ("example.com/basic:1.0", ("example.com/basic", "1.0", "")),
            ("example.com:5000/basic", ("example.com:5000/basic", "", "")),
            ("a/b:1@sha256:00", ("a/b", "1", "sha256:00")),
            ("a/b@sha256:00", ("a/b", "", "sha256:00")),
        ] {
            assert_eq!(image(reference), parts);
        }
    }
}
