//! Package `protos` of the peer: endorsement policies of chaincodes and private data collections
//! (`peer/policy.proto`, `peer/collection.proto`).

use super::policy::SignaturePolicyEnvelope;

/// `protos.ApplicationPolicy`: the validation parameter of a chaincode definition (since 2.0).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApplicationPolicy {
    #[prost(oneof = "ApplicationPolicyType", tags = "1, 2")]
    pub r#type: Option<ApplicationPolicyType>,
}

/// The `Type` of an [`ApplicationPolicy`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ApplicationPolicyType {
    #[prost(message, tag = "1")]
    SignaturePolicy(SignaturePolicyEnvelope),
    /// The path of a policy of the channel: `/Channel/Application/Endorsement`.
    #[prost(string, tag = "2")]
    ChannelConfigPolicyReference(String),
}

/// `protos.CollectionConfigPackage`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionConfigPackage {
    #[prost(message, repeated, tag = "1")]
    pub config: Vec<CollectionConfig>,
}

/// `protos.CollectionConfig`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionConfig {
    /// The only case of the message's `payload`.
    #[prost(message, optional, tag = "1")]
    pub static_collection_config: Option<StaticCollectionConfig>,
}

/// `protos.StaticCollectionConfig`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StaticCollectionConfig {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub member_orgs_policy: Option<CollectionPolicyConfig>,
    #[prost(int32, tag = "3")]
    pub required_peer_count: i32,
    #[prost(int32, tag = "4")]
    pub maximum_peer_count: i32,
    /// The number of blocks after which the data is purged; 0 keeps it.
    #[prost(uint64, tag = "5")]
    pub block_to_live: u64,
    #[prost(bool, tag = "6")]
    pub member_only_read: bool,
    /// Since 2.0.
    #[prost(bool, tag = "7")]
    pub member_only_write: bool,
    /// Since 2.0.
    #[prost(message, optional, tag = "8")]
    pub endorsement_policy: Option<ApplicationPolicy>,
}

/// `protos.CollectionPolicyConfig`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionPolicyConfig {
    /// The only case of the message's `payload`.
    #[prost(message, optional, tag = "1")]
    pub signature_policy: Option<SignaturePolicyEnvelope>,
}
