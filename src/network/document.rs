//! The typed document of a network file.
//!
//! [`super::fields`] describes the keys; a test compares both.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Entries by name.
pub type Named<T> = BTreeMap<String, T>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Document {
    pub api_version: String,
    pub kind: String,
    pub name: Option<String>,
    pub fabric_version: Option<String>,
    pub organizations: Named<Organization>,
    pub kafka: Named<Release>,
    pub channels: Named<Channel>,
    pub chaincodes: Named<Chaincode>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Release {
    pub chart: Option<String>,
    pub chart_version: Option<String>,
    pub fabric_version: Option<String>,
    pub namespace: Option<String>,
    pub values: Map<String, Value>,
    pub values_files: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Organization {
    #[serde(flatten)]
    pub release: Release,
    pub crypto_config: Option<String>,
    pub definition: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Channel {
    pub orderers: Named<OrdererMember>,
    pub organizations: Named<Member>,
    pub batch_timeout: Option<String>,
    pub batch_size: BatchSize,
    pub capabilities: Capabilities,
    pub policies: Policies,
    pub acls: Named<String>,
    /// Options by their name in the file.
    pub etcdraft: Map<String, Value>,
    /// Options by their name in the file.
    #[serde(rename = "smartBFT")]
    pub smart_bft: Map<String, Value>,
    pub system_channel: Option<String>,
    pub consortium: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrdererMember {
    pub consenters: Option<Vec<String>>,
    pub policies: Named<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Member {
    pub anchors: Option<Vec<String>>,
    pub peers: Option<Vec<String>>,
    pub policies: Named<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchSize {
    pub max_messages: Option<u32>,
    pub absolute_max_bytes: Option<Value>,
    pub preferred_max_bytes: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capabilities {
    pub channel: Option<String>,
    pub orderer: Option<String>,
    pub application: Option<String>,
}

/// Policies by the group of the channel's configuration and their name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policies {
    pub channel: Named<String>,
    pub orderer: Named<String>,
    pub application: Named<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Chaincode {
    pub channel: Vec<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub image: Option<String>,
    pub path: Option<String>,
    pub version: Option<String>,
    pub label: Option<String>,
    pub organizations: Option<Vec<String>>,
    pub policy: Option<String>,
    pub init_required: bool,
    pub init: Vec<String>,
    pub collections: Vec<Collection>,
    pub indexes: Option<String>,
    pub endorsement_plugin: Option<String>,
    pub validation_plugin: Option<String>,
    pub depends_on: Vec<String>,
    pub release: Option<String>,
    pub chart_version: Option<String>,
    pub values: Map<String, Value>,
    pub values_files: Vec<String>,
}

/// A private data collection, with the keys of a collections file for `peer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Collection {
    pub name: String,
    pub policy: String,
    pub required_peer_count: Option<u64>,
    pub max_peer_count: Option<u64>,
    pub block_to_live: Option<u64>,
    pub member_only_read: bool,
    pub member_only_write: bool,
    pub endorsement_policy: Option<CollectionPolicy>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectionPolicy {
    pub signature_policy: Option<String>,
    pub channel_config_policy: Option<String>,
}
