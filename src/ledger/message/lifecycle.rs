//! Package `lifecycle`: arguments and results of the system chaincode `_lifecycle` (since 2.0,
//! `peer/lifecycle/lifecycle.proto`). Each function has one argument, an encoded message, and
//! returns one. [`lscc`](super::lscc) has those of the older lifecycle.

use super::collection::CollectionConfigPackage;

/// The name of the chaincode (`core/chaincode/lifecycle/scc.go`), and of its functions.
pub const LIFECYCLE: &str = "_lifecycle";
pub const INSTALL_CHAINCODE: &str = "InstallChaincode";
pub const QUERY_INSTALLED_CHAINCODE: &str = "QueryInstalledChaincode";
pub const QUERY_INSTALLED_CHAINCODES: &str = "QueryInstalledChaincodes";
pub const GET_INSTALLED_CHAINCODE_PACKAGE: &str = "GetInstalledChaincodePackage";
pub const APPROVE_CHAINCODE_DEFINITION_FOR_MY_ORG: &str = "ApproveChaincodeDefinitionForMyOrg";
pub const QUERY_APPROVED_CHAINCODE_DEFINITION: &str = "QueryApprovedChaincodeDefinition";
pub const CHECK_COMMIT_READINESS: &str = "CheckCommitReadiness";
pub const COMMIT_CHAINCODE_DEFINITION: &str = "CommitChaincodeDefinition";
pub const QUERY_CHAINCODE_DEFINITION: &str = "QueryChaincodeDefinition";
pub const QUERY_CHAINCODE_DEFINITIONS: &str = "QueryChaincodeDefinitions";

/// `lifecycle.InstallChaincodeArgs`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InstallChaincodeArgs {
    /// The bytes of the package file.
    #[prost(bytes = "vec", tag = "1")]
    pub chaincode_install_package: Vec<u8>,
}

/// `lifecycle.InstallChaincodeResult`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InstallChaincodeResult {
    #[prost(string, tag = "1")]
    pub package_id: String,
    #[prost(string, tag = "2")]
    pub label: String,
}

/// `lifecycle.QueryInstalledChaincodeArgs`, and `GetInstalledChaincodePackageArgs`, which is the
/// same.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryInstalledChaincodeArgs {
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// `lifecycle.GetInstalledChaincodePackageResult`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetInstalledChaincodePackageResult {
    #[prost(bytes = "vec", tag = "1")]
    pub chaincode_install_package: Vec<u8>,
}

/// `lifecycle.QueryInstalledChaincodesArgs` and `QueryChaincodeDefinitionsArgs`, which are the
/// same.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct NoArgs {}

/// `lifecycle.QueryInstalledChaincodesResult`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryInstalledChaincodesResult {
    #[prost(message, repeated, tag = "1")]
    pub installed_chaincodes: Vec<InstalledChaincode>,
}

/// `lifecycle.QueryInstalledChaincodesResult.InstalledChaincode`, and
/// `QueryInstalledChaincodeResult`, which is the same.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InstalledChaincode {
    #[prost(string, tag = "1")]
    pub package_id: String,
    #[prost(string, tag = "2")]
    pub label: String,
    /// The chaincodes that use the package, by channel.
    #[prost(message, repeated, tag = "3")]
    pub references: Vec<ReferencesEntry>,
}

/// An entry of [`InstalledChaincode::references`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReferencesEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<References>,
}

/// `lifecycle.QueryInstalledChaincodesResult.References`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct References {
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<Reference>,
}

/// `lifecycle.QueryInstalledChaincodesResult.Chaincode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reference {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// The fields 1 to 8 of `lifecycle.ApproveChaincodeDefinitionForMyOrgArgs`; and
/// `CommitChaincodeDefinitionArgs` and `CheckCommitReadinessArgs`, which have no ninth.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeDefinitionArgs {
    /// 1 for the first definition, one more for each change.
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub version: String,
    /// Empty means `escc`.
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    /// Empty means `vscc`.
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    /// An [`ApplicationPolicy`](super::collection::ApplicationPolicy). Empty means the channel's
    /// policy `/Channel/Application/Endorsement`.
    #[prost(bytes = "vec", tag = "6")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "8")]
    pub init_required: bool,
    /// Only in `ApproveChaincodeDefinitionForMyOrgArgs`.
    #[prost(message, optional, tag = "9")]
    pub source: Option<ChaincodeSource>,
}

/// `lifecycle.ChaincodeSource`: the package that an organization runs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeSource {
    #[prost(oneof = "ChaincodeSourceType", tags = "1, 2")]
    pub r#type: Option<ChaincodeSourceType>,
}

/// The `Type` of a [`ChaincodeSource`].
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ChaincodeSourceType {
    /// The organization approves the definition and runs no chaincode.
    #[prost(message, tag = "1")]
    Unavailable(Unavailable),
    #[prost(message, tag = "2")]
    LocalPackage(LocalPackage),
}

/// `lifecycle.ChaincodeSource.Unavailable`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Unavailable {}

/// `lifecycle.ChaincodeSource.Local`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LocalPackage {
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// `lifecycle.CheckCommitReadinessResult`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CheckCommitReadinessResult {
    /// Whether an organization approved this definition, by MSP id.
    #[prost(message, repeated, tag = "1")]
    pub approvals: Vec<ApprovalEntry>,
    /// The definition that an organization approved instead, by MSP id (since 3.0).
    #[prost(message, repeated, tag = "2")]
    pub mismatches: Vec<MismatchesEntry>,
}

/// An entry of a map of approvals.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ApprovalEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(bool, optional, tag = "2")]
    pub value: Option<bool>,
}

/// An entry of [`CheckCommitReadinessResult::mismatches`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MismatchesEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Mismatches>,
}

/// `lifecycle.CheckCommitReadinessResult.Mismatches`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Mismatches {
    #[prost(string, repeated, tag = "1")]
    pub items: Vec<String>,
}

/// `lifecycle.QueryApprovedChaincodeDefinitionArgs`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryApprovedChaincodeDefinitionArgs {
    #[prost(string, tag = "1")]
    pub name: String,
    /// 0 means the newest.
    #[prost(int64, tag = "2")]
    pub sequence: i64,
}

/// `lifecycle.QueryApprovedChaincodeDefinitionResult`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryApprovedChaincodeDefinitionResult {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "4")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "5")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "7")]
    pub init_required: bool,
    #[prost(message, optional, tag = "8")]
    pub source: Option<ChaincodeSource>,
}

/// `lifecycle.QueryChaincodeDefinitionArgs`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryChaincodeDefinitionArgs {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `lifecycle.QueryChaincodeDefinitionResult`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryChaincodeDefinitionResult {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "4")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "5")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "7")]
    pub init_required: bool,
    /// Whether an organization approved this definition, by MSP id.
    #[prost(message, repeated, tag = "8")]
    pub approvals: Vec<ApprovalEntry>,
}

/// `lifecycle.QueryChaincodeDefinitionsResult`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryChaincodeDefinitionsResult {
    #[prost(message, repeated, tag = "1")]
    pub chaincode_definitions: Vec<ChaincodeDefinition>,
}

/// `lifecycle.QueryChaincodeDefinitionsResult.ChaincodeDefinition`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeDefinition {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub sequence: i64,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "6")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "8")]
    pub init_required: bool,
}
