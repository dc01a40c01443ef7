//! Package `common`: policies (`common/policies.proto`) and the principals that they name
//! (`msp/msp_principal.proto`).

/// `common.Policy`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Policy {
    #[prost(enumeration = "PolicyType", tag = "1")]
    pub r#type: i32,
    /// For a signature policy a [`SignaturePolicyEnvelope`], for an implicit meta policy an
    /// [`ImplicitMetaPolicy`].
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `common.Policy.PolicyType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PolicyType {
    Unknown = 0,
    Signature = 1,
    Msp = 2,
    ImplicitMeta = 3,
}

/// `common.ImplicitMetaPolicy`: a policy over the policies of the groups below.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ImplicitMetaPolicy {
    #[prost(string, tag = "1")]
    pub sub_policy: String,
    #[prost(enumeration = "ImplicitMetaRule", tag = "2")]
    pub rule: i32,
}

/// `common.ImplicitMetaPolicy.Rule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ImplicitMetaRule {
    Any = 0,
    All = 1,
    /// More than half.
    Majority = 2,
}

/// `common.SignaturePolicyEnvelope`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignaturePolicyEnvelope {
    /// Always 0 so far.
    #[prost(int32, tag = "1")]
    pub version: i32,
    #[prost(message, optional, tag = "2")]
    pub rule: Option<SignaturePolicy>,
    /// The principals, to which [`Rule::SignedBy`] refers by position.
    #[prost(message, repeated, tag = "3")]
    pub identities: Vec<Principal>,
}

/// `common.SignaturePolicy`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignaturePolicy {
    #[prost(oneof = "Rule", tags = "1, 2")]
    pub r#type: Option<Rule>,
}

/// The alternatives of [`SignaturePolicy`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Rule {
    #[prost(int32, tag = "1")]
    SignedBy(i32),
    #[prost(message, tag = "2")]
    NOutOf(NOutOf),
}

/// `common.SignaturePolicy.NOutOf`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NOutOf {
    #[prost(int32, tag = "1")]
    pub n: i32,
    #[prost(message, repeated, tag = "2")]
    pub rules: Vec<SignaturePolicy>,
}

/// `common.MSPPrincipal`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Principal {
    #[prost(enumeration = "Classification", tag = "1")]
    pub principal_classification: i32,
    /// A message of type [`Principal::principal_classification`].
    #[prost(bytes = "vec", tag = "2")]
    pub principal: Vec<u8>,
}

/// `common.MSPPrincipal.Classification`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Classification {
    /// A [`Role`].
    Role = 0,
    /// An [`OrganizationUnit`].
    OrganizationUnit = 1,
    /// A `msp.SerializedIdentity`.
    Identity = 2,
    /// An [`IdentityAnonymity`].
    Anonymity = 3,
    /// A [`CombinedPrincipal`].
    Combined = 4,
}

/// `common.MSPRole`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Role {
    #[prost(string, tag = "1")]
    pub msp_identifier: String,
    #[prost(enumeration = "RoleType", tag = "2")]
    pub role: i32,
}

/// `common.MSPRole.MSPRoleType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RoleType {
    Member = 0,
    Admin = 1,
    Client = 2,
    Peer = 3,
    Orderer = 4,
}

/// `common.OrganizationUnit`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OrganizationUnit {
    #[prost(string, tag = "1")]
    pub msp_identifier: String,
    #[prost(string, tag = "2")]
    pub organizational_unit_identifier: String,
    /// SHA-256 of the authorities above the certificate.
    #[prost(bytes = "vec", tag = "3")]
    pub certifiers_identifier: Vec<u8>,
}

/// `common.MSPIdentityAnonymity`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IdentityAnonymity {
    /// 0 for nominal, 1 for anonymous identities.
    #[prost(int32, tag = "1")]
    pub anonymity_type: i32,
}

/// `common.CombinedPrincipal`: all of these at once.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CombinedPrincipal {
    #[prost(message, repeated, tag = "1")]
    pub principals: Vec<Principal>,
}
