//! The table of messages that can be shown as JSON: field numbers, names and kinds.
//!
//! Field names and numbers are those of `hyperledger/fabric-protos-go-apiv2`. The message types
//! inside fields of bytes follow `hyperledger/fabric-config`, `protolator/protoext`. If a field can
//! contain several types, a function or a [`Group`] selects one.

use crate::ledger::message::common::{ChannelHeader, HeaderType, Payload};
use crate::ledger::message::msp_configuration::MspConfig;
use crate::ledger::message::orderer_configuration::ConsensusType;
use crate::ledger::message::policy as policies;
use prost::Message as _;

/// A message by its fields, in the order of their numbers.
pub struct Message {
    pub name: &'static str,
    pub fields: &'static [Field],
}

pub struct Field {
    pub number: u32,
    pub name: &'static str,
    pub shape: Shape,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    One,
    Many,
    /// Entries with a string as key (field 1) and the kind as value (field 2).
    Map,
    /// One of several alternatives: absent unless set, and written even if it has its default.
    Alternative,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Bool,
    Int32,
    Uint32,
    Uint64,
    String,
    Bytes,
    /// The names of the numbers 0, 1, 2.
    Enumeration(&'static [&'static str]),
    Timestamp,
    Message(&'static Message),
    /// Bytes that contain a message.
    Opaque(&'static Message),
    /// Bytes that contain a message whose type depends on the preceding fields. `None` shows the
    /// bytes.
    OpaqueBy(fn(&[u8]) -> Option<&'static Message>),
    /// A `ConfigGroup` at a known place of the tree.
    Group(&'static Group),
    /// In a group: the groups below.
    Groups,
    /// In a group: a `ConfigValue`, whose bytes contain a message that depends on its key.
    Values,
    /// The bytes of a `ConfigValue`.
    ValueByKey,
}

/// The possible content of a group of the configuration tree.
pub struct Group {
    pub groups: Below,
    /// Key and message of each value.
    pub values: &'static [(&'static str, &'static Message)],
}

pub enum Below {
    Named(&'static [(&'static str, &'static Group)]),
    /// Organizations, or consortiums.
    Each(&'static Group),
    Nothing,
}

impl Group {
    /// The group below with this key. A key that Fabric does not know has an unknown group.
    pub fn below(&self, key: &str) -> &'static Group {
        match &self.groups {
            Below::Named(groups) => {
                let found = groups.iter().find(|(name, _)| *name == key);
                found.map_or(&UNKNOWN_GROUP, |(_, group)| group)
            }
            Below::Each(group) => group,
            Below::Nothing => &UNKNOWN_GROUP,
        }
    }

    pub fn value(&self, key: &str) -> Option<&'static Message> {
        let found = self.values.iter().find(|(name, _)| *name == key);
        found.map(|(_, message)| *message)
    }
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    let shape = Shape::One;
    Field {
        number,
        name,
        shape,
        kind,
    }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    let shape = Shape::Many;
    Field {
        number,
        name,
        shape,
        kind,
    }
}

const fn map(number: u32, name: &'static str, kind: Kind) -> Field {
    let shape = Shape::Map;
    Field {
        number,
        name,
        shape,
        kind,
    }
}

const fn alternative(number: u32, name: &'static str, kind: Kind) -> Field {
    let shape = Shape::Alternative;
    Field {
        number,
        name,
        shape,
        kind,
    }
}

macro_rules! messages {
    ($($name:ident = $shown:literal { $($field:expr),* $(,)? })*) => {
        $(pub static $name: Message = Message { name: $shown, fields: &[$($field),*] };)*
    };
}

// The configuration tree (protoext/commonext, ordererext, peerext: `Dynamic...Group`).

pub static CHANNEL_GROUP: Group = Group {
    groups: Below::Named(&[
        ("Application", &APPLICATION_GROUP),
        ("Consortiums", &CONSORTIUMS_GROUP),
        ("Orderer", &ORDERER_GROUP),
    ]),
    values: &[
        ("BlockDataHashingStructure", &BLOCK_DATA_HASHING_STRUCTURE),
        ("Capabilities", &CAPABILITIES),
        ("Consortium", &CONSORTIUM),
        ("HashingAlgorithm", &HASHING_ALGORITHM),
        ("OrdererAddresses", &ORDERER_ADDRESSES),
    ],
};
static ORDERER_GROUP: Group = Group {
    groups: Below::Each(&ORDERER_ORGANIZATION_GROUP),
    values: &[
        ("BatchSize", &BATCH_SIZE),
        ("BatchTimeout", &BATCH_TIMEOUT),
        ("Capabilities", &CAPABILITIES),
        ("ChannelRestrictions", &CHANNEL_RESTRICTIONS),
        ("ConsensusType", &CONSENSUS_TYPE),
        ("KafkaBrokers", &KAFKA_BROKERS),
        ("Orderers", &ORDERERS),
    ],
};
pub static ORDERER_ORGANIZATION_GROUP: Group = Group {
    groups: Below::Nothing,
    values: &[("Endpoints", &ORDERER_ADDRESSES), ("MSP", &MSP_CONFIG)],
};
static APPLICATION_GROUP: Group = Group {
    groups: Below::Each(&APPLICATION_ORGANIZATION_GROUP),
    values: &[("ACLs", &ACLS), ("Capabilities", &CAPABILITIES)],
};
pub static APPLICATION_ORGANIZATION_GROUP: Group = Group {
    groups: Below::Nothing,
    values: &[("AnchorPeers", &ANCHOR_PEERS), ("MSP", &MSP_CONFIG)],
};
static CONSORTIUMS_GROUP: Group = Group {
    groups: Below::Each(&CONSORTIUM_GROUP),
    values: &[],
};
static CONSORTIUM_GROUP: Group = Group {
    groups: Below::Each(&CONSORTIUM_ORGANIZATION_GROUP),
    values: &[("ChannelCreationPolicy", &POLICY)],
};
static CONSORTIUM_ORGANIZATION_GROUP: Group = Group {
    groups: Below::Nothing,
    values: &[("MSP", &MSP_CONFIG)],
};
static UNKNOWN_GROUP: Group = Group {
    groups: Below::Nothing,
    values: &[],
};

use Kind::{
    Bool, Bytes, Enumeration, Group as GroupAt, Groups, Int32, Message as Inner, Opaque, OpaqueBy,
    String as Text, Timestamp, Uint32, Uint64, ValueByKey, Values,
};

messages! {
    // common/common.proto
    BLOCK = "Block" {
        field(1, "header", Inner(&BLOCK_HEADER)),
        field(2, "data", Inner(&BLOCK_DATA)),
        field(3, "metadata", Inner(&BLOCK_METADATA)),
    }
    BLOCK_HEADER = "BlockHeader" {
        field(1, "number", Uint64),
        field(2, "previous_hash", Bytes),
        field(3, "data_hash", Bytes),
    }
    BLOCK_DATA = "BlockData" { many(1, "data", Opaque(&ENVELOPE)) }
    BLOCK_METADATA = "BlockMetadata" { many(1, "metadata", Bytes) }
    ENVELOPE = "Envelope" {
        field(1, "payload", Opaque(&PAYLOAD)),
        field(2, "signature", Bytes),
    }
    PAYLOAD = "Payload" {
        field(1, "header", Inner(&HEADER)),
        field(2, "data", OpaqueBy(payload_data)),
    }
    HEADER = "Header" {
        field(1, "channel_header", Opaque(&CHANNEL_HEADER)),
        field(2, "signature_header", Opaque(&SIGNATURE_HEADER)),
    }
    CHANNEL_HEADER = "ChannelHeader" {
        field(1, "type", Int32),
        field(2, "version", Int32),
        field(3, "timestamp", Timestamp),
        field(4, "channel_id", Text),
        field(5, "tx_id", Text),
        field(6, "epoch", Uint64),
        field(7, "extension", OpaqueBy(no_message)),
        field(8, "tls_cert_hash", Bytes),
    }
    SIGNATURE_HEADER = "SignatureHeader" {
        field(1, "creator", Opaque(&SERIALIZED_IDENTITY)),
        field(2, "nonce", Bytes),
    }

    // common/configtx.proto
    CONFIG_ENVELOPE = "ConfigEnvelope" {
        field(1, "config", Inner(&CONFIG)),
        field(2, "last_update", Inner(&ENVELOPE)),
    }
    CONFIG = "Config" {
        field(1, "sequence", Uint64),
        field(2, "channel_group", GroupAt(&CHANNEL_GROUP)),
    }
    CONFIG_UPDATE_ENVELOPE = "ConfigUpdateEnvelope" {
        field(1, "config_update", Opaque(&CONFIG_UPDATE)),
        many(2, "signatures", Inner(&CONFIG_SIGNATURE)),
    }
    CONFIG_UPDATE = "ConfigUpdate" {
        field(1, "channel_id", Text),
        field(2, "read_set", GroupAt(&CHANNEL_GROUP)),
        field(3, "write_set", GroupAt(&CHANNEL_GROUP)),
        map(5, "isolated_data", Bytes),
    }
    CONFIG_SIGNATURE = "ConfigSignature" {
        field(1, "signature_header", Opaque(&SIGNATURE_HEADER)),
        field(2, "signature", Bytes),
    }
    CONFIG_GROUP = "ConfigGroup" {
        field(1, "version", Uint64),
        map(2, "groups", Groups),
        map(3, "values", Values),
        map(4, "policies", Inner(&CONFIG_POLICY)),
        field(5, "mod_policy", Text),
    }
    CONFIG_VALUE = "ConfigValue" {
        field(1, "version", Uint64),
        field(2, "value", ValueByKey),
        field(3, "mod_policy", Text),
    }
    CONFIG_POLICY = "ConfigPolicy" {
        field(1, "version", Uint64),
        field(2, "policy", Inner(&POLICY)),
        field(3, "mod_policy", Text),
    }

    // common/configuration.proto
    HASHING_ALGORITHM = "HashingAlgorithm" { field(1, "name", Text) }
    BLOCK_DATA_HASHING_STRUCTURE = "BlockDataHashingStructure" { field(1, "width", Uint32) }
    ORDERER_ADDRESSES = "OrdererAddresses" { many(1, "addresses", Text) }
    ORDERERS = "Orderers" { many(1, "consenter_mapping", Inner(&CONSENTER)) }
    CONSENTER = "Consenter" {
        field(1, "id", Uint32),
        field(2, "host", Text),
        field(3, "port", Uint32),
        field(4, "msp_id", Text),
        field(5, "identity", Bytes),
        field(6, "client_tls_cert", Bytes),
        field(7, "server_tls_cert", Bytes),
    }
    CONSORTIUM = "Consortium" { field(1, "name", Text) }
    CAPABILITIES = "Capabilities" { map(1, "capabilities", Inner(&CAPABILITY)) }
    CAPABILITY = "Capability" {}

    // common/policies.proto
    POLICY = "Policy" { field(1, "type", Int32), field(2, "value", OpaqueBy(policy_value)) }
    SIGNATURE_POLICY_ENVELOPE = "SignaturePolicyEnvelope" {
        field(1, "version", Int32),
        field(2, "rule", Inner(&SIGNATURE_POLICY)),
        many(3, "identities", Inner(&PRINCIPAL)),
    }
    SIGNATURE_POLICY = "SignaturePolicy" {
        alternative(1, "signed_by", Int32),
        alternative(2, "n_out_of", Inner(&N_OUT_OF)),
    }
    N_OUT_OF = "NOutOf" { field(1, "n", Int32), many(2, "rules", Inner(&SIGNATURE_POLICY)) }
    IMPLICIT_META_POLICY = "ImplicitMetaPolicy" {
        field(1, "sub_policy", Text),
        field(2, "rule", Enumeration(&["ANY", "ALL", "MAJORITY"])),
    }

    // msp/msp_principal.proto, msp/identities.proto
    PRINCIPAL = "MSPPrincipal" {
        field(1, "principal_classification", Enumeration(&[
            "ROLE", "ORGANIZATION_UNIT", "IDENTITY", "ANONYMITY", "COMBINED",
        ])),
        field(2, "principal", OpaqueBy(principal)),
    }
    ROLE = "MSPRole" {
        field(1, "msp_identifier", Text),
        field(2, "role", Enumeration(&["MEMBER", "ADMIN", "CLIENT", "PEER", "ORDERER"])),
    }
    ORGANIZATION_UNIT = "OrganizationUnit" {
        field(1, "msp_identifier", Text),
        field(2, "organizational_unit_identifier", Text),
        field(3, "certifiers_identifier", Bytes),
    }
    IDENTITY_ANONYMITY = "MSPIdentityAnonymity" {
        field(1, "anonymity_type", Enumeration(&["NOMINAL", "ANONYMOUS"])),
    }
    COMBINED_PRINCIPAL = "CombinedPrincipal" { many(1, "principals", Inner(&PRINCIPAL)) }
    SERIALIZED_IDENTITY = "SerializedIdentity" {
        field(1, "mspid", Text),
        field(2, "id_bytes", Bytes),
    }

    // msp/msp_config.proto
    MSP_CONFIG = "MSPConfig" { field(1, "type", Int32), field(2, "config", OpaqueBy(msp_config)) }
    FABRIC_MSP_CONFIG = "FabricMSPConfig" {
        field(1, "name", Text),
        many(2, "root_certs", Bytes),
        many(3, "intermediate_certs", Bytes),
        many(4, "admins", Bytes),
        many(5, "revocation_list", Bytes),
        field(6, "signing_identity", Inner(&SIGNING_IDENTITY)),
        many(7, "organizational_unit_identifiers", Inner(&OU_IDENTIFIER)),
        field(8, "crypto_config", Inner(&CRYPTO_CONFIG)),
        many(9, "tls_root_certs", Bytes),
        many(10, "tls_intermediate_certs", Bytes),
        field(11, "fabric_node_ous", Inner(&NODE_OUS)),
    }
    CRYPTO_CONFIG = "FabricCryptoConfig" {
        field(1, "signature_hash_family", Text),
        field(2, "identity_identifier_hash_function", Text),
    }
    // Without the private key in Fabric's definition: channels do not contain it, and it is never
    // shown.
    SIGNING_IDENTITY = "SigningIdentityInfo" { field(1, "public_signer", Bytes) }
    OU_IDENTIFIER = "FabricOUIdentifier" {
        field(1, "certificate", Bytes),
        field(2, "organizational_unit_identifier", Text),
    }
    NODE_OUS = "FabricNodeOUs" {
        field(1, "enable", Bool),
        field(2, "client_ou_identifier", Inner(&OU_IDENTIFIER)),
        field(3, "peer_ou_identifier", Inner(&OU_IDENTIFIER)),
        field(4, "admin_ou_identifier", Inner(&OU_IDENTIFIER)),
        field(5, "orderer_ou_identifier", Inner(&OU_IDENTIFIER)),
    }

    // orderer/configuration.proto
    CONSENSUS_TYPE = "ConsensusType" {
        field(1, "type", Text),
        field(2, "metadata", OpaqueBy(consensus_metadata)),
        field(3, "state", Enumeration(&["STATE_NORMAL", "STATE_MAINTENANCE"])),
    }
    BATCH_SIZE = "BatchSize" {
        field(1, "max_message_count", Uint32),
        field(2, "absolute_max_bytes", Uint32),
        field(3, "preferred_max_bytes", Uint32),
    }
    BATCH_TIMEOUT = "BatchTimeout" { field(1, "timeout", Text) }
    KAFKA_BROKERS = "KafkaBrokers" { many(1, "brokers", Text) }
    CHANNEL_RESTRICTIONS = "ChannelRestrictions" { field(1, "max_count", Uint64) }

    // orderer/etcdraft/configuration.proto
    RAFT_METADATA = "ConfigMetadata" {
        many(1, "consenters", Inner(&RAFT_CONSENTER)),
        field(2, "options", Inner(&RAFT_OPTIONS)),
    }
    RAFT_CONSENTER = "Consenter" {
        field(1, "host", Text),
        field(2, "port", Uint32),
        field(3, "client_tls_cert", Bytes),
        field(4, "server_tls_cert", Bytes),
    }
    RAFT_OPTIONS = "Options" {
        field(1, "tick_interval", Text),
        field(2, "election_tick", Uint32),
        field(3, "heartbeat_tick", Uint32),
        field(4, "max_inflight_blocks", Uint32),
        field(5, "snapshot_interval_size", Uint32),
    }

    // orderer/smartbft/configuration.proto
    BFT_OPTIONS = "Options" {
        field(1, "request_batch_max_count", Uint64),
        field(2, "request_batch_max_bytes", Uint64),
        field(3, "request_batch_max_interval", Text),
        field(4, "incoming_message_buffer_size", Uint64),
        field(5, "request_pool_size", Uint64),
        field(6, "request_forward_timeout", Text),
        field(7, "request_complain_timeout", Text),
        field(8, "request_auto_remove_timeout", Text),
        field(9, "request_max_bytes", Uint64),
        field(10, "view_change_resend_interval", Text),
        field(11, "view_change_timeout", Text),
        field(12, "leader_heartbeat_timeout", Text),
        field(13, "leader_heartbeat_count", Uint64),
        field(14, "collect_timeout", Text),
        field(15, "sync_on_start", Bool),
        field(16, "speed_up_view_change", Bool),
        field(17, "leader_rotation", Enumeration(&[
            "ROTATION_UNSPECIFIED", "ROTATION_OFF", "ROTATION_ON",
        ])),
        field(18, "decisions_per_leader", Uint64),
    }

    // peer/configuration.proto
    ANCHOR_PEERS = "AnchorPeers" { many(1, "anchor_peers", Inner(&ANCHOR_PEER)) }
    ANCHOR_PEER = "AnchorPeer" { field(1, "host", Text), field(2, "port", Int32) }
    ACLS = "ACLs" { map(1, "acls", Inner(&API_RESOURCE)) }
    API_RESOURCE = "APIResource" { field(1, "policy_ref", Text) }
}

/// Bytes that may contain a message, but never do in the messages of this table.
fn no_message(_: &[u8]) -> Option<&'static Message> {
    None
}

/// protoext/commonext/common.go, `Payload`.
fn payload_data(fields: &[u8]) -> Option<&'static Message> {
    let header = Payload::decode(fields).ok()?.header?;
    let channel = ChannelHeader::decode(&header.channel_header[..]).ok()?;
    match channel.r#type() {
        HeaderType::Config => Some(&CONFIG_ENVELOPE),
        HeaderType::ConfigUpdate => Some(&CONFIG_UPDATE_ENVELOPE),
        HeaderType::OrdererTransaction => Some(&ENVELOPE),
        _ => None,
    }
}

/// protoext/commonext/policies.go.
fn policy_value(fields: &[u8]) -> Option<&'static Message> {
    match policies::Policy::decode(fields).ok()?.r#type() {
        policies::PolicyType::Signature => Some(&SIGNATURE_POLICY_ENVELOPE),
        policies::PolicyType::ImplicitMeta => Some(&IMPLICIT_META_POLICY),
        _ => None,
    }
}

/// protoext/mspext/msp_principal.go, and the two classifications that it cannot show.
fn principal(fields: &[u8]) -> Option<&'static Message> {
    let principal = policies::Principal::decode(fields).ok()?;
    Some(match principal.principal_classification() {
        policies::Classification::Role => &ROLE,
        policies::Classification::OrganizationUnit => &ORGANIZATION_UNIT,
        policies::Classification::Identity => &SERIALIZED_IDENTITY,
        policies::Classification::Anonymity => &IDENTITY_ANONYMITY,
        policies::Classification::Combined => &COMBINED_PRINCIPAL,
    })
}

/// protoext/mspext/msp_config.go. An idemix MSP is shown as bytes.
fn msp_config(fields: &[u8]) -> Option<&'static Message> {
    (MspConfig::decode(fields).ok()?.r#type == 0).then_some(&FABRIC_MSP_CONFIG)
}

/// protoext/ordererext/configuration.go.
fn consensus_metadata(fields: &[u8]) -> Option<&'static Message> {
    match ConsensusType::decode(fields).ok()?.r#type.as_str() {
        "etcdraft" => Some(&RAFT_METADATA),
        "BFT" => Some(&BFT_OPTIONS),
        _ => None,
    }
}
