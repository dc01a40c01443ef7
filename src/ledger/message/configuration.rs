//! Package `common`: the configuration of a channel and its updates (`common/configtx.proto`), the
//! values of its channel group (`common/configuration.proto`); package `peer`: the values of its
//! application groups (`peer/configuration.proto`).
//!
//! The orderer's values are in [`super::orderer_configuration`], policies in [`super::policy`], the
//! MSPs of organizations in [`super::msp_configuration`].

use super::common::Envelope;
use super::policy::Policy;

/// `common.ConfigEnvelope`: the payload data of a configuration block.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigEnvelope {
    #[prost(message, optional, tag = "1")]
    pub config: Option<Config>,
    /// The signed update that led to this configuration. Absent in a genesis block.
    #[prost(message, optional, tag = "2")]
    pub last_update: Option<Envelope>,
}

/// `common.Config`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Config {
    /// Counts the configurations of a channel, from 0.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub channel_group: Option<ConfigGroup>,
}

/// `common.ConfigUpdate`: what [`super::common::ConfigUpdateEnvelope::config_update`] holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigUpdate {
    #[prost(string, tag = "1")]
    pub channel_id: String,
    /// Versions of the elements on which the update depends.
    #[prost(message, optional, tag = "2")]
    pub read_set: Option<ConfigGroup>,
    /// The changed elements with their new versions.
    #[prost(message, optional, tag = "3")]
    pub write_set: Option<ConfigGroup>,
    /// Data that stays out of the configuration. No program of Fabric uses it.
    #[prost(message, repeated, tag = "5")]
    pub isolated_data: Vec<IsolatedDataEntry>,
}

/// An entry of [`ConfigUpdate::isolated_data`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct IsolatedDataEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub value: Option<Vec<u8>>,
}

/// `common.ConfigGroup`: a node of the configuration tree.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigGroup {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(message, repeated, tag = "2")]
    pub groups: Vec<GroupEntry>,
    #[prost(message, repeated, tag = "3")]
    pub values: Vec<ValueEntry>,
    #[prost(message, repeated, tag = "4")]
    pub policies: Vec<PolicyEntry>,
    /// The policy that a change of this group's members must satisfy.
    #[prost(string, tag = "5")]
    pub mod_policy: String,
}

/// An entry of [`ConfigGroup::groups`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct GroupEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<ConfigGroup>,
}

/// An entry of [`ConfigGroup::values`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<ConfigValue>,
}

/// An entry of [`ConfigGroup::policies`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct PolicyEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<ConfigPolicy>,
}

/// `common.ConfigValue`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfigValue {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// A message whose type depends on the group and the key.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(string, tag = "3")]
    pub mod_policy: String,
}

/// `common.ConfigPolicy`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfigPolicy {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(message, optional, tag = "2")]
    pub policy: Option<Policy>,
    #[prost(string, tag = "3")]
    pub mod_policy: String,
}

/// `common.HashingAlgorithm`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HashingAlgorithm {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `common.BlockDataHashingStructure`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BlockDataHashingStructure {
    #[prost(uint32, tag = "1")]
    pub width: u32,
}

/// `common.OrdererAddresses`: addresses of all orderers, or of one organization's (`Endpoints`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OrdererAddresses {
    /// `host:port` each.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
}

/// `common.Consenter`: a node of a BFT ordering service (3.x).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Consenter {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(uint32, tag = "3")]
    pub port: u32,
    #[prost(string, tag = "4")]
    pub msp_id: String,
    /// The enrolment certificate, PEM.
    #[prost(bytes = "vec", tag = "5")]
    pub identity: Vec<u8>,
    /// PEM.
    #[prost(bytes = "vec", tag = "6")]
    pub client_tls_cert: Vec<u8>,
    /// PEM.
    #[prost(bytes = "vec", tag = "7")]
    pub server_tls_cert: Vec<u8>,
}

/// `common.Orderers`: the consenters of a BFT channel (3.x).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Orderers {
    #[prost(message, repeated, tag = "1")]
    pub consenter_mapping: Vec<Consenter>,
}

/// `common.Consortium`: the consortium by which a channel was created (until 2.x).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Consortium {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `common.Capabilities`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Capabilities {
    #[prost(message, repeated, tag = "1")]
    pub capabilities: Vec<CapabilityEntry>,
}

/// An entry of [`Capabilities::capabilities`]: `V2_0`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CapabilityEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Capability>,
}

/// `common.Capability`: an empty message.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Capability {}

/// `protos.AnchorPeers`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AnchorPeers {
    #[prost(message, repeated, tag = "1")]
    pub anchor_peers: Vec<AnchorPeer>,
}

/// `protos.AnchorPeer`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct AnchorPeer {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(int32, tag = "2")]
    pub port: i32,
}

/// `protos.ACLs`: the policy that guards each resource of the peers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Acls {
    #[prost(message, repeated, tag = "1")]
    pub acls: Vec<AclEntry>,
}

/// An entry of [`Acls::acls`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AclEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<ApiResource>,
}

/// `protos.APIResource`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ApiResource {
    #[prost(string, tag = "1")]
    pub policy_ref: String,
}

#[cfg(test)]
mod tests {
    use super::super::common::{Block, Envelope, Payload};
    use super::super::msp_configuration::{FabricMspConfig, MspConfig};
    use super::super::orderer_configuration::*;
    use super::super::policy::{ImplicitMetaPolicy, PolicyType, SignaturePolicyEnvelope};
    use super::*;
    use crate::ledger::message::decode;
    use prost::Message;

    /// Decodes, and checks that the message encodes to the same bytes.
    fn same<M: Message + Default>(bytes: &[u8]) -> M {
        let message: M = decode(bytes, "the message").unwrap();
        assert_eq!(message.encode_to_vec(), bytes);
        message
    }

    #[test]
    fn configurations_of_fabric_encode_to_the_same_bytes() {
        for bytes in [
            &include_bytes!("../../../tests/fixtures/v1.4.12/genesis.block")[..],
            include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block"),
            include_bytes!("../../../tests/fixtures/v3.1.5/mychannel.block"),
        ] {
            let envelope: Envelope = same(&same::<Block>(bytes).data.unwrap().data[0]);
            let payload: Payload = same(&envelope.payload);
            let config: ConfigEnvelope = same(&payload.data);
            group_is_same(config.config.unwrap().channel_group.unwrap());
        }
    }

    fn group_is_same(group: ConfigGroup) {
        for entry in group.policies {
            let policy = entry.value.unwrap().policy.unwrap();
            match policy.r#type() {
                PolicyType::Signature => drop(same::<SignaturePolicyEnvelope>(&policy.value)),
                PolicyType::ImplicitMeta => drop(same::<ImplicitMetaPolicy>(&policy.value)),
                _ => unreachable!("Fabric's tools write no other policies"),
            }
        }
        for entry in group.values {
            value_is_same(&entry.key.unwrap(), &entry.value.unwrap().value);
        }
        for entry in group.groups {
            group_is_same(entry.value.unwrap());
        }
    }

    fn value_is_same(key: &str, bytes: &[u8]) {
        match key {
            "AnchorPeers" => drop(same::<AnchorPeers>(bytes)),
            "BatchSize" => drop(same::<BatchSize>(bytes)),
            "BatchTimeout" => drop(same::<BatchTimeout>(bytes)),
            "BlockDataHashingStructure" => drop(same::<BlockDataHashingStructure>(bytes)),
            "Capabilities" => drop(same::<Capabilities>(bytes)),
            "ChannelCreationPolicy" => drop(same::<Policy>(bytes)),
            "ChannelRestrictions" => drop(same::<ChannelRestrictions>(bytes)),
            "ConsensusType" => {
                let consensus: ConsensusType = same(bytes);
                match consensus.r#type.as_str() {
                    "etcdraft" => drop(same::<RaftMetadata>(&consensus.metadata)),
                    "BFT" => drop(same::<BftOptions>(&consensus.metadata)),
                    _ => assert!(consensus.metadata.is_empty()),
                }
            }
            "Endpoints" | "OrdererAddresses" => drop(same::<OrdererAddresses>(bytes)),
            "HashingAlgorithm" => drop(same::<HashingAlgorithm>(bytes)),
            "KafkaBrokers" => drop(same::<KafkaBrokers>(bytes)),
            "MSP" => drop(same::<FabricMspConfig>(&same::<MspConfig>(bytes).config)),
            "Orderers" => drop(same::<Orderers>(bytes)),
            key => panic!("no message for {key}"),
        }
    }
}
