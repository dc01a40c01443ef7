//! Package `gateway` (`gateway/gateway.proto`, since 2.4): a peer that collects endorsements of other
//! organizations' peers, and sends transactions to the orderers.

use super::common::Envelope;
use super::peer::SignedProposal;

/// `gateway.EndorseRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EndorseRequest {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(string, tag = "2")]
    pub channel_id: String,
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<SignedProposal>,
    /// MSP ids; empty leaves the choice to the peer.
    #[prost(string, repeated, tag = "4")]
    pub endorsing_organizations: Vec<String>,
}

/// `gateway.EndorseResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EndorseResponse {
    /// The transaction with its endorsements, without the signature of its creator.
    #[prost(message, optional, tag = "1")]
    pub prepared_transaction: Option<Envelope>,
}

/// `gateway.SubmitRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubmitRequest {
    /// For the peer's log only.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(string, tag = "2")]
    pub channel_id: String,
    #[prost(message, optional, tag = "3")]
    pub prepared_transaction: Option<Envelope>,
}

/// `gateway.SubmitResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubmitResponse {}
