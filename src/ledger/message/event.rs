//! Package `protos` of the peer: what its deliver service sends (`peer/events.proto`). The request
//! is an orderer's `SeekInfo` in an envelope.

use super::chaincode::ChaincodeEvent;
use super::common::{Block, HeaderType, Status};
use crate::ledger::code::TxValidationCode;

/// `protos.DeliverResponse`. Blocks with private data are not read, because this program does not
/// request them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeliverResponse {
    #[prost(oneof = "DeliverResponseType", tags = "1, 2, 3")]
    pub r#type: Option<DeliverResponseType>,
}

/// The `Type` of a [`DeliverResponse`].
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum DeliverResponseType {
    /// The end of the stream.
    #[prost(enumeration = "Status", tag = "1")]
    Status(i32),
    #[prost(message, tag = "2")]
    Block(Block),
    #[prost(message, tag = "3")]
    FilteredBlock(FilteredBlock),
}

/// `protos.FilteredBlock`: the transactions of a block without their content.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredBlock {
    #[prost(string, tag = "1")]
    pub channel_id: String,
    #[prost(uint64, tag = "2")]
    pub number: u64,
    #[prost(message, repeated, tag = "4")]
    pub filtered_transactions: Vec<FilteredTransaction>,
}

/// `protos.FilteredTransaction`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredTransaction {
    #[prost(string, tag = "1")]
    pub txid: String,
    #[prost(enumeration = "HeaderType", tag = "2")]
    pub r#type: i32,
    #[prost(enumeration = "TxValidationCode", tag = "3")]
    pub tx_validation_code: i32,
    /// The only case of the message's `Data`.
    #[prost(message, optional, tag = "4")]
    pub transaction_actions: Option<FilteredTransactionActions>,
}

/// `protos.FilteredTransactionActions`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredTransactionActions {
    #[prost(message, repeated, tag = "1")]
    pub chaincode_actions: Vec<FilteredChaincodeAction>,
}

/// `protos.FilteredChaincodeAction`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredChaincodeAction {
    /// Without its payload.
    #[prost(message, optional, tag = "1")]
    pub chaincode_event: Option<ChaincodeEvent>,
}
