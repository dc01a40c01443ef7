//! Packages `rwset` and `kvrwset`: the reads and writes of a transaction
//! (`ledger/rwset/rwset.proto`, `ledger/rwset/kvrwset/kv_rwset.proto`). Range queries and private
//! data are not read.

/// `rwset.TxReadWriteSet`: the results of a `ChaincodeAction`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TxReadWriteSet {
    #[prost(message, repeated, tag = "2")]
    pub ns_rwset: Vec<NsReadWriteSet>,
}

/// `rwset.NsReadWriteSet`: the part of one chaincode.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NsReadWriteSet {
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// A [`KvRwSet`].
    #[prost(bytes = "vec", tag = "2")]
    pub rwset: Vec<u8>,
}

/// `kvrwset.KVRWSet`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KvRwSet {
    #[prost(message, repeated, tag = "1")]
    pub reads: Vec<KvRead>,
    #[prost(message, repeated, tag = "3")]
    pub writes: Vec<KvWrite>,
}

/// `kvrwset.KVRead`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KvRead {
    #[prost(string, tag = "1")]
    pub key: String,
    /// Absent if the key did not exist.
    #[prost(message, optional, tag = "2")]
    pub version: Option<Version>,
}

/// `kvrwset.KVWrite`. The value is not read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KvWrite {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(bool, tag = "2")]
    pub is_delete: bool,
}

/// `kvrwset.Version`: the transaction that wrote a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Version {
    #[prost(uint64, tag = "1")]
    pub block_num: u64,
    #[prost(uint64, tag = "2")]
    pub tx_num: u64,
}
