//! Arguments and results of the system chaincode `lscc`, the lifecycle of 1.4, which 2.x still has
//! for channels without the capability `V2_0` (`core/scc/lscc/lscc.go`, `peer/query.proto`,
//! `peer/chaincode.proto`).
//!
//! | function | arguments | result |
//! |---|---|---|
//! | `install` | `ChaincodeDeploymentSpec` | `OK` |
//! | `deploy`, `upgrade` | channel, `ChaincodeDeploymentSpec`, `SignaturePolicyEnvelope`, `escc`, `vscc`, `CollectionConfigPackage` | [`ChaincodeData`] |
//! | `getinstalledchaincodes` | | [`ChaincodeQueryResponse`] |
//! | `getchaincodes` | | [`ChaincodeQueryResponse`] |
//! | `getccdata` | channel, name | [`ChaincodeData`] |
//! | `GetCollectionsConfig` | name | `CollectionConfigPackage` |

use super::policy::SignaturePolicyEnvelope;

/// The name of the chaincode, and of its functions.
pub const LSCC: &str = "lscc";
pub const INSTALL: &str = "install";
pub const DEPLOY: &str = "deploy";
pub const UPGRADE: &str = "upgrade";
pub const GET_INSTALLED_CHAINCODES: &str = "getinstalledchaincodes";
pub const GET_CHAINCODES: &str = "getchaincodes";
pub const GET_CHAINCODE_DATA: &str = "getccdata";
pub const GET_COLLECTIONS: &str = "GetCollectionsConfig";

/// `protos.ChaincodeQueryResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<ChaincodeInfo>,
}

/// `protos.ChaincodeInfo`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub path: String,
    /// The arguments of the instantiation, as text. Empty for an installed chaincode.
    #[prost(string, tag = "4")]
    pub input: String,
    #[prost(string, tag = "5")]
    pub escc: String,
    #[prost(string, tag = "6")]
    pub vscc: String,
    /// The hash of the chaincode's package.
    #[prost(bytes = "vec", tag = "7")]
    pub id: Vec<u8>,
}

/// `protos.ChaincodeData`: the definition of an instantiated chaincode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeData {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub escc: String,
    #[prost(string, tag = "4")]
    pub vscc: String,
    /// The endorsement policy.
    #[prost(message, optional, tag = "5")]
    pub policy: Option<SignaturePolicyEnvelope>,
    /// Data of the package, such as its hash (`CDSData`).
    #[prost(bytes = "vec", tag = "6")]
    pub data: Vec<u8>,
    /// The fingerprint of the package.
    #[prost(bytes = "vec", tag = "7")]
    pub id: Vec<u8>,
    #[prost(message, optional, tag = "8")]
    pub instantiation_policy: Option<SignaturePolicyEnvelope>,
}
