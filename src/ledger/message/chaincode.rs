//! Package `protos` of the peer: chaincodes, their input and their events (`peer/chaincode.proto`,
//! `chaincode_event.proto`).

use super::peer::BytesEntry;

/// `protos.ChaincodeID`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeId {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub version: String,
}

/// `protos.ChaincodeSpec.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ChaincodeType {
    Undefined = 0,
    Golang = 1,
    Node = 2,
    Car = 3,
    Java = 4,
}

/// `protos.ChaincodeInput`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeInput {
    /// The function first.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub args: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    pub decorations: Vec<BytesEntry>,
    /// Calls `Init` instead of `Invoke` (since 2.0).
    #[prost(bool, tag = "3")]
    pub is_init: bool,
}

/// `protos.ChaincodeSpec`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeSpec {
    #[prost(enumeration = "ChaincodeType", tag = "1")]
    pub r#type: i32,
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
    #[prost(message, optional, tag = "3")]
    pub input: Option<ChaincodeInput>,
    #[prost(int32, tag = "4")]
    pub timeout: i32,
}

/// `protos.ChaincodeInvocationSpec`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeInvocationSpec {
    #[prost(message, optional, tag = "1")]
    pub chaincode_spec: Option<ChaincodeSpec>,
}

/// `protos.ChaincodeDeploymentSpec`: the package of lscc (until 2.x).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeDeploymentSpec {
    #[prost(message, optional, tag = "1")]
    pub chaincode_spec: Option<ChaincodeSpec>,
    #[prost(bytes = "vec", tag = "3")]
    pub code_package: Vec<u8>,
}

/// `protos.ChaincodeEvent`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeEvent {
    #[prost(string, tag = "1")]
    pub chaincode_id: String,
    #[prost(string, tag = "2")]
    pub tx_id: String,
    #[prost(string, tag = "3")]
    pub event_name: String,
    #[prost(bytes = "vec", tag = "4")]
    pub payload: Vec<u8>,
}
