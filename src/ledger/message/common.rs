//! Package `common`: blocks, envelopes and their headers (`common/common.proto`), signatures of
//! configuration updates (`common/configtx.proto`).

/// `common.Status`: the response of an orderer, and of a deliver service at the end of a stream.
/// The numbers are those of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Status {
    Unknown = 0,
    Success = 200,
    BadRequest = 400,
    Forbidden = 403,
    NotFound = 404,
    RequestEntityTooLarge = 413,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
}

/// `common.HeaderType`: the type of a payload's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum HeaderType {
    /// Signed, opaque data.
    Message = 0,
    /// A `ConfigEnvelope`: the configuration of a channel.
    Config = 1,
    /// A [`ConfigUpdateEnvelope`].
    ConfigUpdate = 2,
    /// A `Transaction`: the result of a chaincode call.
    EndorserTransaction = 3,
    /// An [`Envelope`]: the creation of a channel, in the system channel (until 2.x).
    OrdererTransaction = 4,
    /// A `SeekInfo`: the request to a deliver service.
    DeliverSeekInfo = 5,
    /// A package of chaincode.
    ChaincodePackage = 6,
}

/// `common.BlockMetadataIndex`: the positions in [`BlockMetadata::metadata`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum BlockMetadataIndex {
    /// A [`Metadata`] with the signatures of the orderers. Since 1.4.1 its value is an
    /// [`OrdererBlockMetadata`].
    Signatures = 0,
    /// A [`Metadata`] with a [`LastConfig`]. Obsolete since 1.4.1; orderers still write it.
    LastConfig = 1,
    /// One byte for each transaction: its validation code, which the peer sets.
    TransactionsFilter = 2,
    /// A [`Metadata`] with the state of the consensus. Obsolete since 1.4.1.
    Orderer = 3,
    /// A [`Metadata`] with the hash of all commits up to this block, which the peer sets.
    CommitHash = 4,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<jiff::Timestamp> for Timestamp {
    /// The nanoseconds of a protobuf timestamp count forward, even before 1970.
    fn from(time: jiff::Timestamp) -> Timestamp {
        let nanoseconds = time.as_nanosecond();
        Timestamp {
            seconds: nanoseconds.div_euclid(1_000_000_000) as i64,
            nanos: nanoseconds.rem_euclid(1_000_000_000) as i32,
        }
    }
}

impl Timestamp {
    /// The same time, or `None` if it is outside of the years -9999 to 9999.
    pub fn time(&self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::new(self.seconds, self.nanos).ok()
    }
}

/// `common.LastConfig`: the number of the newest configuration block.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LastConfig {
    #[prost(uint64, tag = "1")]
    pub index: u64,
}

/// `common.Metadata`: one item of a block's metadata, with the signatures over it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<MetadataSignature>,
}

/// `common.MetadataSignature`: an orderer's signature over metadata and header of a block.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetadataSignature {
    /// A [`SignatureHeader`]. Empty in a BFT channel.
    #[prost(bytes = "vec", tag = "1")]
    pub signature_header: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
    /// An [`IdentifierHeader`]: the signer in a BFT channel (3.x).
    #[prost(bytes = "vec", tag = "3")]
    pub identifier_header: Vec<u8>,
}

/// `common.IdentifierHeader`: a signer by its id among the consenters (3.x).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IdentifierHeader {
    #[prost(uint32, tag = "1")]
    pub identifier: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
}

/// `common.Header`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Header {
    /// A [`ChannelHeader`].
    #[prost(bytes = "vec", tag = "1")]
    pub channel_header: Vec<u8>,
    /// A [`SignatureHeader`].
    #[prost(bytes = "vec", tag = "2")]
    pub signature_header: Vec<u8>,
}

/// `common.ChannelHeader`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelHeader {
    /// The [`HeaderType`].
    #[prost(enumeration = "HeaderType", tag = "1")]
    pub r#type: i32,
    #[prost(int32, tag = "2")]
    pub version: i32,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
    #[prost(string, tag = "4")]
    pub channel_id: String,
    #[prost(string, tag = "5")]
    pub tx_id: String,
    /// Always 0 so far.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    /// For chaincode calls a `ChaincodeHeaderExtension`.
    #[prost(bytes = "vec", tag = "7")]
    pub extension: Vec<u8>,
    /// The SHA-256 of the client's TLS certificate in DER, where the connection uses one.
    #[prost(bytes = "vec", tag = "8")]
    pub tls_cert_hash: Vec<u8>,
}

/// `common.SignatureHeader`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignatureHeader {
    /// A `msp.SerializedIdentity`.
    #[prost(bytes = "vec", tag = "1")]
    pub creator: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
}

/// `common.Payload`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Payload {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// A message of type [`ChannelHeader::type`].
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

/// `common.Envelope`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Envelope {
    /// A [`Payload`].
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
    /// Over [`Envelope::payload`], by the creator in its header.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// `common.Block`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Block {
    #[prost(message, optional, tag = "1")]
    pub header: Option<BlockHeader>,
    #[prost(message, optional, tag = "2")]
    pub data: Option<BlockData>,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<BlockMetadata>,
}

/// `common.BlockHeader`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlockHeader {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub previous_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub data_hash: Vec<u8>,
}

/// `common.BlockData`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlockData {
    /// An [`Envelope`] each.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub data: Vec<Vec<u8>>,
}

/// `common.BlockMetadata`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlockMetadata {
    /// By [`BlockMetadataIndex`].
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub metadata: Vec<Vec<u8>>,
}

/// `common.OrdererBlockMetadata`: what the orderers sign with each block since 1.4.1.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OrdererBlockMetadata {
    #[prost(message, optional, tag = "1")]
    pub last_config: Option<LastConfig>,
    /// A [`Metadata`] around an `etcdraft.BlockMetadata` or, in a BFT channel, a
    /// `smartbftprotos.ViewMetadata` itself.
    #[prost(bytes = "vec", tag = "2")]
    pub consenter_metadata: Vec<u8>,
}

/// `common.ConfigUpdateEnvelope` (`common/configtx.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfigUpdateEnvelope {
    /// A `ConfigUpdate`.
    #[prost(bytes = "vec", tag = "1")]
    pub config_update: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<ConfigSignature>,
}

/// `common.ConfigSignature` (`common/configtx.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfigSignature {
    /// A [`SignatureHeader`].
    #[prost(bytes = "vec", tag = "1")]
    pub signature_header: Vec<u8>,
    /// Over [`ConfigSignature::signature_header`] and [`ConfigUpdateEnvelope::config_update`].
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::message::decode;
    use prost::Message;

    const BLOCKS: [&[u8]; 3] = [
        include_bytes!("../../../tests/fixtures/v1.4.12/genesis.block"),
        include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block"),
        include_bytes!("../../../tests/fixtures/v3.1.5/mychannel.block"),
    ];

    /// Decodes, and checks that the message encodes to the same bytes.
    fn same<M: Message + Default>(bytes: &[u8]) -> M {
        let message: M = decode(bytes, "the message").unwrap();
        assert_eq!(message.encode_to_vec(), bytes);
        message
    }

    #[test]
    fn blocks_of_fabric_encode_to_the_same_bytes() {
        for bytes in BLOCKS {
            let block: Block = same(bytes);
            let data = block.data.unwrap().data;
            assert_eq!(data.len(), 1);
            let envelope: Envelope = same(&data[0]);
            let payload: Payload = same(&envelope.payload);
            let header = payload.header.unwrap();
            let channel: ChannelHeader = same(&header.channel_header);
            assert_eq!(channel.r#type(), HeaderType::Config);
            let _: SignatureHeader = same(&header.signature_header);
            for item in &block.metadata.unwrap().metadata {
                let _: Metadata = same(item);
            }
        }
    }

    #[test]
    fn a_channel_creation_encodes_to_the_same_bytes() {
        let envelope: Envelope = same(include_bytes!(
            "../../../tests/fixtures/v1.4.12/mychannel.tx"
        ));
        let payload: Payload = same(&envelope.payload);
        let update: ConfigUpdateEnvelope = same(&payload.data);
        assert!(!update.config_update.is_empty());
        let channel: ChannelHeader = same(&payload.header.unwrap().channel_header);
        assert_eq!(channel.r#type(), HeaderType::ConfigUpdate);
        assert_eq!(channel.channel_id, "mychannel");
    }

    #[test]
    fn bytes_of_something_else_are_an_error() {
        let error = decode::<Block>(b"-----BEGIN", "the block").unwrap_err();
        assert!(
            error.to_string().contains("cannot read the block"),
            "{error}"
        );
    }

    #[test]
    fn times_before_1970_have_nanoseconds_that_count_forward() {
        let time: jiff::Timestamp = "1969-12-31T23:59:59.75Z".parse().unwrap();
        let timestamp = Timestamp::from(time);
        assert_eq!((timestamp.seconds, timestamp.nanos), (-1, 750_000_000));
        assert_eq!(timestamp.time(), Some(time));
    }
}
