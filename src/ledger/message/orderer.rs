//! Package `orderer`: broadcasting transactions and fetching blocks (`orderer/ab.proto`). Peers
//! take the same [`SeekInfo`].

use super::common::{Block, Status};

/// `orderer.BroadcastResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BroadcastResponse {
    #[prost(enumeration = "Status", tag = "1")]
    pub status: i32,
    /// Why the orderer refused the message.
    #[prost(string, tag = "2")]
    pub info: String,
}

/// `orderer.SeekNewest`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekNewest {}

/// `orderer.SeekOldest`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekOldest {}

/// `orderer.SeekSpecified`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekSpecified {
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// `orderer.SeekNextCommit` (since 2.4).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekNextCommit {}

/// `orderer.SeekPosition`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekPosition {
    #[prost(oneof = "SeekPositionType", tags = "1, 2, 3, 4")]
    pub r#type: Option<SeekPositionType>,
}

/// The `Type` of a [`SeekPosition`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum SeekPositionType {
    #[prost(message, tag = "1")]
    Newest(SeekNewest),
    #[prost(message, tag = "2")]
    Oldest(SeekOldest),
    #[prost(message, tag = "3")]
    Specified(SeekSpecified),
    #[prost(message, tag = "4")]
    NextCommit(SeekNextCommit),
}

/// `orderer.SeekInfo.SeekBehavior`: the behaviour at a block that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SeekBehavior {
    BlockUntilReady = 0,
    FailIfNotReady = 1,
}

/// `orderer.SeekInfo.SeekErrorResponse`: whether an orderer without a leader still delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SeekErrorResponse {
    /// It answers `SERVICE_UNAVAILABLE`.
    Strict = 0,
    /// It delivers the blocks that it has.
    BestEffort = 1,
}

/// `orderer.SeekInfo.SeekContentType` (since 3.0; before, always blocks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SeekContentType {
    Block = 0,
    HeaderWithSig = 1,
}

/// `orderer.SeekInfo`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SeekInfo {
    #[prost(message, optional, tag = "1")]
    pub start: Option<SeekPosition>,
    #[prost(message, optional, tag = "2")]
    pub stop: Option<SeekPosition>,
    #[prost(enumeration = "SeekBehavior", tag = "3")]
    pub behavior: i32,
    #[prost(enumeration = "SeekErrorResponse", tag = "4")]
    pub error_response: i32,
    #[prost(enumeration = "SeekContentType", tag = "5")]
    pub content_type: i32,
}

/// `orderer.DeliverResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeliverResponse {
    #[prost(oneof = "DeliverResponseType", tags = "1, 2")]
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
}
