//! Package `protos` of the peer: proposals, their responses and transactions
//! (`peer/proposal.proto`, `proposal_response.proto`, `transaction.proto`), and a peer's responses
//! to queries (`peer/query.proto`, `common/ledger.proto`).

use super::chaincode::ChaincodeId;
use super::common::{Envelope, Timestamp};

/// `protos.SignedProposal`: the request of the endorser service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedProposal {
    /// A [`Proposal`].
    #[prost(bytes = "vec", tag = "1")]
    pub proposal_bytes: Vec<u8>,
    /// Over [`SignedProposal::proposal_bytes`], by the creator in its header.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// `protos.Proposal`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Proposal {
    /// A `common.Header`.
    #[prost(bytes = "vec", tag = "1")]
    pub header: Vec<u8>,
    /// A [`ChaincodeProposalPayload`].
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub extension: Vec<u8>,
}

/// `protos.ChaincodeHeaderExtension`: the chaincode that a channel header names.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeHeaderExtension {
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// `protos.ChaincodeProposalPayload`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeProposalPayload {
    /// A `ChaincodeInvocationSpec`.
    #[prost(bytes = "vec", tag = "1")]
    pub input: Vec<u8>,
    /// Only for the endorsing peers: no transaction contains it.
    #[prost(message, repeated, tag = "2")]
    pub transient_map: Vec<BytesEntry>,
}

/// An entry of a map from text to bytes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BytesEntry {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub value: Option<Vec<u8>>,
}

/// `protos.ChaincodeAction`: the effects of a chaincode call.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeAction {
    /// A `rwset.TxReadWriteSet`.
    #[prost(bytes = "vec", tag = "1")]
    pub results: Vec<u8>,
    /// A [`ChaincodeEvent`](super::chaincode::ChaincodeEvent).
    #[prost(bytes = "vec", tag = "2")]
    pub events: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub response: Option<Response>,
    #[prost(message, optional, tag = "4")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// `protos.ProposalResponse`. Field 7, `interest`, is for the gateway and is not read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProposalResponse {
    #[prost(int32, tag = "1")]
    pub version: i32,
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub response: Option<Response>,
    /// A [`ProposalResponsePayload`].
    #[prost(bytes = "vec", tag = "5")]
    pub payload: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub endorsement: Option<Endorsement>,
}

/// `protos.Response`: the response of the chaincode, or of the peer in its place.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Response {
    /// Like an HTTP status. A peer endorses responses below 400.
    #[prost(int32, tag = "1")]
    pub status: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
}

/// `protos.ProposalResponsePayload`: the bytes that an endorser signs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProposalResponsePayload {
    #[prost(bytes = "vec", tag = "1")]
    pub proposal_hash: Vec<u8>,
    /// A [`ChaincodeAction`].
    #[prost(bytes = "vec", tag = "2")]
    pub extension: Vec<u8>,
}

/// `protos.Endorsement`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endorsement {
    /// A `msp.SerializedIdentity`.
    #[prost(bytes = "vec", tag = "1")]
    pub endorser: Vec<u8>,
    /// Over the [`ProposalResponsePayload`] and [`Endorsement::endorser`].
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// `protos.Transaction`: the data of an endorser transaction's payload.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Transaction {
    /// Exactly one.
    #[prost(message, repeated, tag = "1")]
    pub actions: Vec<TransactionAction>,
}

/// `protos.TransactionAction`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TransactionAction {
    /// The `common.SignatureHeader` of the proposal.
    #[prost(bytes = "vec", tag = "1")]
    pub header: Vec<u8>,
    /// A [`ChaincodeActionPayload`].
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// `protos.ChaincodeActionPayload`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeActionPayload {
    /// A [`ChaincodeProposalPayload`] without its transient map.
    #[prost(bytes = "vec", tag = "1")]
    pub chaincode_proposal_payload: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub action: Option<ChaincodeEndorsedAction>,
}

/// `protos.ChaincodeEndorsedAction`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeEndorsedAction {
    /// A [`ProposalResponsePayload`].
    #[prost(bytes = "vec", tag = "1")]
    pub proposal_response_payload: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub endorsements: Vec<Endorsement>,
}

/// `protos.ProcessedTransaction`: the answer of qscc's `GetTransactionByID`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProcessedTransaction {
    #[prost(message, optional, tag = "1")]
    pub transaction_envelope: Option<Envelope>,
    /// The [`TxValidationCode`](crate::ledger::code::TxValidationCode).
    #[prost(int32, tag = "2")]
    pub validation_code: i32,
}

/// `protos.ChannelQueryResponse`: the answer of cscc's `GetChannels`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub channels: Vec<ChannelInfo>,
}

/// `protos.ChannelInfo`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelInfo {
    #[prost(string, tag = "1")]
    pub channel_id: String,
}

/// `protos.JoinBySnapshotStatus`: the answer of cscc's `JoinBySnapshotStatus` (since 2.3).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JoinBySnapshotStatus {
    #[prost(bool, tag = "1")]
    pub in_progress: bool,
    #[prost(string, tag = "2")]
    pub bootstrapping_snapshot_dir: String,
}

/// `common.BlockchainInfo` (`common/ledger.proto`): the answer of qscc's `GetChainInfo`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlockchainInfo {
    /// The number of blocks: one more than the number of the newest block.
    #[prost(uint64, tag = "1")]
    pub height: u64,
    /// The hash of the newest block's header.
    #[prost(bytes = "vec", tag = "2")]
    pub current_block_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub previous_block_hash: Vec<u8>,
    /// Present if the peer joined from a snapshot (since 2.3).
    #[prost(message, optional, tag = "4")]
    pub bootstrapping_snapshot_info: Option<BootstrappingSnapshotInfo>,
}

/// `common.BootstrappingSnapshotInfo` (`common/ledger.proto`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BootstrappingSnapshotInfo {
    #[prost(uint64, tag = "1")]
    pub last_block_in_snapshot: u64,
}
