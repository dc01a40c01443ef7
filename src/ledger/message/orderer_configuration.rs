//! Package `orderer`: the values of a channel's orderer group (`orderer/configuration.proto`), and
//! what the consensus protocols keep there (`orderer/etcdraft/configuration.proto`,
//! `orderer/smartbft/configuration.proto`).

/// `orderer.ConsensusType`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConsensusType {
    /// `etcdraft`, `BFT`, `kafka` or `solo`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// For etcdraft a [`RaftMetadata`], for BFT [`BftOptions`], else empty.
    #[prost(bytes = "vec", tag = "2")]
    pub metadata: Vec<u8>,
    #[prost(enumeration = "ConsensusState", tag = "3")]
    pub state: i32,
}

/// `orderer.ConsensusType.State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ConsensusState {
    Normal = 0,
    /// The consensus type may change; transactions are refused.
    Maintenance = 1,
}

/// `orderer.BatchSize`: the limits of a block.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BatchSize {
    #[prost(uint32, tag = "1")]
    pub max_message_count: u32,
    #[prost(uint32, tag = "2")]
    pub absolute_max_bytes: u32,
    #[prost(uint32, tag = "3")]
    pub preferred_max_bytes: u32,
}

/// `orderer.BatchTimeout`: the time that a block waits for more transactions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BatchTimeout {
    /// A duration in Go's notation: `2s`.
    #[prost(string, tag = "1")]
    pub timeout: String,
}

/// `orderer.KafkaBrokers` (1.x).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KafkaBrokers {
    /// `host:port` each.
    #[prost(string, repeated, tag = "1")]
    pub brokers: Vec<String>,
}

/// `orderer.ChannelRestrictions`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ChannelRestrictions {
    /// Maximum number of channels; 0 means no limit.
    #[prost(uint64, tag = "1")]
    pub max_count: u64,
}

/// `etcdraft.ConfigMetadata`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RaftMetadata {
    #[prost(message, repeated, tag = "1")]
    pub consenters: Vec<RaftConsenter>,
    #[prost(message, optional, tag = "2")]
    pub options: Option<RaftOptions>,
}

/// `etcdraft.Consenter`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RaftConsenter {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(uint32, tag = "2")]
    pub port: u32,
    /// PEM.
    #[prost(bytes = "vec", tag = "3")]
    pub client_tls_cert: Vec<u8>,
    /// PEM.
    #[prost(bytes = "vec", tag = "4")]
    pub server_tls_cert: Vec<u8>,
}

/// `etcdraft.Options`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RaftOptions {
    /// A duration in Go's notation: `500ms`.
    #[prost(string, tag = "1")]
    pub tick_interval: String,
    #[prost(uint32, tag = "2")]
    pub election_tick: u32,
    #[prost(uint32, tag = "3")]
    pub heartbeat_tick: u32,
    #[prost(uint32, tag = "4")]
    pub max_inflight_blocks: u32,
    /// Bytes between two snapshots.
    #[prost(uint32, tag = "5")]
    pub snapshot_interval_size: u32,
}

/// `smartbft.Options` (3.x). Durations are in Go's notation.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BftOptions {
    #[prost(uint64, tag = "1")]
    pub request_batch_max_count: u64,
    #[prost(uint64, tag = "2")]
    pub request_batch_max_bytes: u64,
    #[prost(string, tag = "3")]
    pub request_batch_max_interval: String,
    #[prost(uint64, tag = "4")]
    pub incoming_message_buffer_size: u64,
    #[prost(uint64, tag = "5")]
    pub request_pool_size: u64,
    #[prost(string, tag = "6")]
    pub request_forward_timeout: String,
    #[prost(string, tag = "7")]
    pub request_complain_timeout: String,
    #[prost(string, tag = "8")]
    pub request_auto_remove_timeout: String,
    #[prost(uint64, tag = "9")]
    pub request_max_bytes: u64,
    #[prost(string, tag = "10")]
    pub view_change_resend_interval: String,
    #[prost(string, tag = "11")]
    pub view_change_timeout: String,
    #[prost(string, tag = "12")]
    pub leader_heartbeat_timeout: String,
    #[prost(uint64, tag = "13")]
    pub leader_heartbeat_count: u64,
    #[prost(string, tag = "14")]
    pub collect_timeout: String,
    #[prost(bool, tag = "15")]
    pub sync_on_start: bool,
    #[prost(bool, tag = "16")]
    pub speed_up_view_change: bool,
    #[prost(enumeration = "LeaderRotation", tag = "17")]
    pub leader_rotation: i32,
    #[prost(uint64, tag = "18")]
    pub decisions_per_leader: u64,
}

/// `smartbft.Options.Rotation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum LeaderRotation {
    Unspecified = 0,
    Off = 1,
    On = 2,
}
