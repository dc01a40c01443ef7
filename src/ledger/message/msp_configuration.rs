//! Package `msp`: the configuration of an organization's MSP (`msp/msp_config.proto`).

/// `msp.MSPConfig`: the value `MSP` of an organization's group.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MspConfig {
    /// 0 for X.509 ([`FabricMspConfig`]), 1 for idemix.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

/// `msp.FabricMSPConfig`. Certificates and revocation lists are PEM.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FabricMspConfig {
    /// The MSP id.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub root_certs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub intermediate_certs: Vec<Vec<u8>>,
    /// Certificates of administrators, if they are not identified by an organizational unit.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub admins: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub revocation_list: Vec<Vec<u8>>,
    /// Only in a node's own MSP, never in a channel.
    #[prost(message, optional, tag = "6")]
    pub signing_identity: Option<SigningIdentity>,
    #[prost(message, repeated, tag = "7")]
    pub organizational_unit_identifiers: Vec<OuIdentifier>,
    #[prost(message, optional, tag = "8")]
    pub crypto_config: Option<CryptoConfig>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub tls_root_certs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub tls_intermediate_certs: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "11")]
    pub fabric_node_ous: Option<NodeOus>,
}

/// `msp.FabricCryptoConfig`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CryptoConfig {
    #[prost(string, tag = "1")]
    pub signature_hash_family: String,
    #[prost(string, tag = "2")]
    pub identity_identifier_hash_function: String,
}

/// `msp.SigningIdentityInfo`, without its private part, which no channel has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SigningIdentity {
    #[prost(bytes = "vec", tag = "1")]
    pub public_signer: Vec<u8>,
}

/// `msp.FabricOUIdentifier`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OuIdentifier {
    /// The authority that must have issued a certificate with this unit. Empty for any.
    #[prost(bytes = "vec", tag = "1")]
    pub certificate: Vec<u8>,
    #[prost(string, tag = "2")]
    pub organizational_unit_identifier: String,
}

/// `msp.FabricNodeOUs`: the organizational units that determine an identity's role.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeOus {
    #[prost(bool, tag = "1")]
    pub enable: bool,
    #[prost(message, optional, tag = "2")]
    pub client_ou_identifier: Option<OuIdentifier>,
    #[prost(message, optional, tag = "3")]
    pub peer_ou_identifier: Option<OuIdentifier>,
    #[prost(message, optional, tag = "4")]
    pub admin_ou_identifier: Option<OuIdentifier>,
    #[prost(message, optional, tag = "5")]
    pub orderer_ou_identifier: Option<OuIdentifier>,
}
