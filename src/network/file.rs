//! The content of a network file for other rooms: checked, with all defaults. [`super::read`]
//! creates it from a text.

use super::document::{Capabilities, Collection, Named, Policies};
use super::member::Member;
use super::state::ReleaseKey;
use crate::values::Values;
use serde_json::{Map, Value};
use std::time::Duration;

/// The default name of a network.
pub const DEFAULT_NAME: &str = "fabric";

/// The content of a network file: checked, with all defaults.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    /// `dev` for a copy made with `--network dev`.
    pub suffix: Option<String>,
    pub organizations: Named<Organization>,
    /// Kafka clusters by release name.
    pub kafka: Named<Installation>,
    /// `host:port` of their brokers.
    pub brokers: Vec<String>,
    pub channels: Named<Channel>,
    pub chaincodes: Named<Chaincode>,
    /// Warnings about permitted settings.
    pub warnings: Vec<String>,
}

/// A release in the file.
#[derive(Clone, Debug)]
pub struct Installation {
    pub release: String,
    pub namespace: String,
    /// The chart in the file. `None` means the default for the release name.
    pub chart: Option<String>,
    pub chart_version: Option<String>,
    /// The user's values merged over the derived ones, including the Fabric version.
    pub values: Values,
    /// The place of the release in the file, as a JSON pointer.
    pub pointer: String,
}

/// A peer or orderer organization.
#[derive(Clone, Debug)]
pub struct Organization {
    pub installation: Installation,
    pub member: Member,
    pub crypto_config: Option<String>,
    pub definition: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub name: String,
    pub orderers: Named<OrdererMember>,
    pub organizations: Named<ChannelMember>,
    pub batch_timeout: Duration,
    pub batch_size: BatchSize,
    /// All three levels are set.
    pub capabilities: Capabilities,
    /// The levels that the file sets.
    pub set_capabilities: Capabilities,
    /// The policies that the file sets; all others are Fabric's defaults.
    pub policies: Policies,
    pub acls: Named<String>,
    /// Options of the consensus that the file sets, by their name in the file.
    pub options: Map<String, Value>,
    /// Set if the channel is created through the orderers' system channel.
    pub system: Option<SystemChannel>,
}

/// The channel through which orderers on Kafka, or before 2.3, create all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemChannel {
    pub name: String,
    pub consortium: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrdererMember {
    pub consenters: Vec<String>,
    pub policies: Named<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelMember {
    pub anchors: Vec<String>,
    pub peers: Vec<String>,
    pub policies: Named<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    pub max_messages: u32,
    pub absolute_max_bytes: u64,
    pub preferred_max_bytes: u64,
}

/// How peers run a chaincode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChaincodeType {
    /// As a service, a release of chart `chaincode`.
    Service,
    /// By fabric-builder-k8s.
    Kubernetes,
    /// Built by Docker from source in this language.
    Docker(&'static str),
}

#[derive(Clone, Debug)]
pub struct Chaincode {
    pub name: String,
    pub kind: ChaincodeType,
    pub channels: Vec<String>,
    /// The image of a service or of the k8s builder.
    pub image: Option<String>,
    /// The folder of the source that Docker builds.
    pub path: Option<String>,
    pub version: String,
    pub label: String,
    /// The organizations that run and approve it, by channel.
    pub organizations: Named<Vec<String>>,
    /// A signature policy, or the path of a channel policy. `None` means the channel's policy.
    pub policy: Option<String>,
    pub init_required: bool,
    pub init: Vec<String>,
    pub collections: Vec<Collection>,
    pub indexes: Option<String>,
    pub endorsement_plugin: Option<String>,
    pub validation_plugin: Option<String>,
    pub depends_on: Vec<String>,
    /// Name of the release that runs the service.
    pub release: String,
    pub chart_version: Option<String>,
    /// The user's values for chart `chaincode`.
    pub values: Values,
}

impl Channel {
    /// Whether an organization takes part in it.
    pub fn has(&self, organization: &str) -> bool {
        self.orderers.contains_key(organization) || self.organizations.contains_key(organization)
    }

    /// The file with its genesis block, for organizations that cannot read it from an orderer.
    pub fn block_file(&self) -> String {
        format!("{}.block", self.name)
    }

    /// The file with an update of its configuration that other organizations sign.
    pub fn proposal_file(&self) -> String {
        format!("{}.update.json", self.name)
    }

    /// Returns true if its peers use the chaincode lifecycle of Fabric 1.4 (`lscc`), which is the
    /// case below application level V2_0.
    pub fn is_legacy(&self) -> bool {
        let level = self.capabilities.application.as_deref();
        level.is_some_and(|level| level.starts_with("V1_"))
    }
}

impl Network {
    /// Every release of an organization or a Kafka cluster.
    pub fn installations(&self) -> impl Iterator<Item = &Installation> {
        let organizations = self.organizations.values().map(|it| &it.installation);
        self.kafka.values().chain(organizations)
    }

    /// Returns the organization or Kafka cluster of a release, or `None` for the server of a
    /// chaincode.
    pub fn installation(&self, key: &ReleaseKey) -> Option<&Installation> {
        let mut all = self.installations();
        all.find(|it| it.release == key.release && it.namespace == key.namespace)
    }

    /// The file with an organization's public part, by which other organizations know it.
    pub fn definition_file(&self, organization: &str) -> String {
        let named = self.organizations.get(organization);
        let named = named.and_then(|it| it.definition.clone());
        named.unwrap_or_else(|| format!("{organization}.json"))
    }

    /// The namespace of an organization's release.
    pub fn namespace(&self, release: &str) -> Option<&str> {
        let organization = self.organizations.get(release)?;
        Some(&organization.installation.namespace)
    }
}
