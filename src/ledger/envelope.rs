//! Signed envelopes: configuration updates for orderers, requests to deliver services
//! (`protoutil/txutils.go`, `protoutil/signeddata.go`).

use super::message::common::{
    ChannelHeader, ConfigSignature, ConfigUpdateEnvelope, Envelope, Header, HeaderType, Payload,
    SignatureHeader,
};
use super::message::decode;
use super::message::orderer::{
    SeekBehavior, SeekContentType, SeekErrorResponse, SeekInfo, SeekNewest, SeekOldest,
    SeekPosition, SeekPositionType, SeekSpecified,
};
use super::sign::{Creator, Identity};
use crate::error::{Error, Result};
use crate::identity::random;
use prost::Message;

/// Makes a message unique and binds it to its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub time: jiff::Timestamp,
    /// With Fabric's length (`common/crypto/random.go`).
    pub nonce: [u8; 24],
    /// The SHA-256 of the client's TLS certificate (DER). Deliver services with mutual TLS require
    /// it (`common/deliver/binding.go`).
    pub tls_certificate: Option<[u8; 32]>,
}

impl Stamp {
    /// A stamp with a random nonce.
    pub fn new(time: jiff::Timestamp) -> Result<Stamp> {
        Ok(Stamp {
            time,
            nonce: random()?,
            tls_certificate: None,
        })
    }

    /// Binds the message to a connection with this client certificate.
    #[must_use]
    pub fn bound_to(mut self, tls_certificate: Option<[u8; 32]>) -> Stamp {
        self.tls_certificate = tls_certificate;
        self
    }

    /// The signature header of a message by this identity.
    pub(super) fn signature_header(&self, creator: &Identity) -> Vec<u8> {
        let header = SignatureHeader {
            creator: creator.serialized(),
            nonce: self.nonce.to_vec(),
        };
        header.encode_to_vec()
    }

    /// The channel header of a message.
    pub(super) fn channel_header(&self, kind: HeaderType, channel: &str) -> ChannelHeader {
        ChannelHeader {
            r#type: kind as i32,
            timestamp: Some(self.time.into()),
            channel_id: channel.to_owned(),
            tls_cert_hash: self.tls_certificate.map(Vec::from).unwrap_or_default(),
            ..ChannelHeader::default()
        }
    }
}

/// Signs a payload.
pub(super) fn seal(payload: &Payload, identity: &Identity) -> Result<Envelope> {
    let payload = payload.encode_to_vec();
    let signature = identity.sign(&payload)?;
    Ok(Envelope { payload, signature })
}

/// Wraps an encoded message in a signed envelope.
pub fn signed(
    kind: HeaderType,
    channel: &str,
    data: Vec<u8>,
    identity: &Identity,
    stamp: &Stamp,
) -> Result<Envelope> {
    let header = Header {
        channel_header: stamp.channel_header(kind, channel).encode_to_vec(),
        signature_header: stamp.signature_header(identity),
    };
    let payload = Payload {
        header: Some(header),
        data,
    };
    seal(&payload, identity)
}

/// Signs a configuration update, an encoded `ConfigUpdate`, for an organization.
pub fn config_signature(
    config_update: &[u8],
    identity: &Identity,
    stamp: &Stamp,
) -> Result<ConfigSignature> {
    let signature_header = stamp.signature_header(identity);
    let signature = identity.sign(&[&signature_header, config_update].concat())?;
    Ok(ConfigSignature {
        signature_header,
        signature,
    })
}

/// Verifies a signature of a configuration update, and returns its signer.
pub fn config_signer(config_update: &[u8], signature: &ConfigSignature) -> Result<Creator> {
    let header: SignatureHeader = decode(&signature.signature_header, "the header of a signature")?;
    let creator = Creator::from_bytes(&header.creator, "a signer of the configuration update")?;
    let message = [&signature.signature_header, config_update].concat();
    creator
        .verify(&message, &signature.signature)
        .map_err(|why| {
            Error::user(format!("the signature of {creator} {why}"))
                .why("it is for another configuration update, or was changed")
        })?;
    Ok(creator)
}

/// Creates the envelope that submits a configuration update. Its signer is not one of the update's
/// signatures.
pub fn config_update(
    channel: &str,
    config_update: Vec<u8>,
    signatures: Vec<ConfigSignature>,
    identity: &Identity,
    stamp: &Stamp,
) -> Result<Envelope> {
    let update = ConfigUpdateEnvelope {
        config_update,
        signatures,
    };
    let data = update.encode_to_vec();
    signed(HeaderType::ConfigUpdate, channel, data, identity, stamp)
}

/// A block in a request to a deliver service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Oldest,
    Newest,
    Number(u64),
}

impl From<Position> for SeekPosition {
    fn from(position: Position) -> SeekPosition {
        SeekPosition {
            r#type: Some(match position {
                Position::Oldest => SeekPositionType::Oldest(SeekOldest {}),
                Position::Newest => SeekPositionType::Newest(SeekNewest {}),
                Position::Number(number) => SeekPositionType::Specified(SeekSpecified { number }),
            }),
        }
    }
}

/// A request for blocks, to an orderer or a peer. The called method determines whether a peer sends
/// filtered blocks: `Deliver` or `DeliverFiltered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seek {
    pub start: Position,
    /// The last block.
    pub stop: Position,
    /// Waits for blocks that do not exist yet; otherwise the stream ends with `NOT_FOUND`.
    pub wait: bool,
    /// Headers and metadata without transactions (orderers since 3.0; others send whole blocks).
    pub headers_only: bool,
    /// Also accepts blocks from an orderer without a leader, which may be behind.
    pub best_effort: bool,
}

impl Seek {
    /// One block that exists.
    pub fn one(block: Position) -> Seek {
        Seek {
            start: block,
            stop: block,
            wait: false,
            headers_only: false,
            best_effort: false,
        }
    }

    /// One block that exists, also from an orderer without a leader, which may be behind.
    pub fn stored(block: Position) -> Seek {
        Seek {
            best_effort: true,
            ..Seek::one(block)
        }
    }

    /// A range of existing blocks.
    pub fn range(first: u64, last: u64) -> Seek {
        Seek {
            start: Position::Number(first),
            stop: Position::Number(last),
            wait: false,
            headers_only: false,
            best_effort: false,
        }
    }

    /// Every block from `start` on, as it is created, until the caller ends the stream.
    pub fn follow(start: Position) -> Seek {
        Seek {
            start,
            stop: Position::Number(u64::MAX),
            wait: true,
            headers_only: false,
            best_effort: false,
        }
    }

    /// The signed request.
    pub fn envelope(&self, channel: &str, identity: &Identity, stamp: &Stamp) -> Result<Envelope> {
        let behavior = match self.wait {
            true => SeekBehavior::BlockUntilReady,
            false => SeekBehavior::FailIfNotReady,
        };
        let content = match self.headers_only {
            true => SeekContentType::HeaderWithSig,
            false => SeekContentType::Block,
        };
        let errors = match self.best_effort {
            true => SeekErrorResponse::BestEffort,
            false => SeekErrorResponse::Strict,
        };
        let info = SeekInfo {
            start: Some(self.start.into()),
            stop: Some(self.stop.into()),
            behavior: behavior as i32,
            error_response: errors as i32,
            content_type: content as i32,
        };
        let data = info.encode_to_vec();
        signed(HeaderType::DeliverSeekInfo, channel, data, identity, stamp)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ledger::sign::tests::{admin, peer};

    pub fn stamp() -> Stamp {
        Stamp {
            time: "2026-11-30T12:00:00.5Z".parse().unwrap(),
            nonce: *b"a nonce of 24 bytes, yes",
            tls_certificate: None,
        }
    }

    fn opened(envelope: &Envelope) -> (ChannelHeader, SignatureHeader, Vec<u8>) {
        let payload: Payload = decode(&envelope.payload, "it").unwrap();
        let header = payload.header.unwrap();
        let signature: SignatureHeader = decode(&header.signature_header, "it").unwrap();
        let creator = Creator::from_bytes(&signature.creator, "it").unwrap();
        let valid = creator.verify(&envelope.payload, &envelope.signature);
        assert_eq!(valid, Ok(()));
        let channel = decode(&header.channel_header, "it").unwrap();
        (channel, signature, payload.data)
    }

    #[test]
    fn a_request_for_blocks_is_signed_and_bound_to_the_connection() {
        let stamp = stamp().bound_to(Some([7; 32]));
        let seek = Seek::follow(Position::Newest);
        let envelope = seek.envelope("mychannel", &admin(), &stamp).unwrap();
        let (channel, signature, data) = opened(&envelope);
        assert_eq!(channel.r#type(), HeaderType::DeliverSeekInfo);
        assert_eq!(channel.channel_id, "mychannel");
        assert_eq!(channel.tls_cert_hash, [7; 32]);
        let time = channel.timestamp.and_then(|it| it.time());
        assert_eq!(time, Some(stamp.time));
        assert_eq!(signature.nonce, stamp.nonce);
        // As configtxlator reads it: newest to 2^64 - 1, BLOCK_UNTIL_READY.
        let until = [&[0x12, 13, 0x1a, 11, 0x08][..], &[0xff; 9], &[1]].concat();
        assert_eq!(data, [&[0x0a, 2, 0x0a, 0][..], &until].concat());
    }

    #[test]
    fn a_request_for_one_block_does_not_wait() {
        let seek = Seek::one(Position::Number(0));
        let envelope = seek.envelope("mychannel", &admin(), &stamp()).unwrap();
        let (channel, _, data) = opened(&envelope);
        assert!(channel.tls_cert_hash.is_empty());
        let info: SeekInfo = decode(&data, "it").unwrap();
        assert_eq!(
            (info.start, info.behavior()),
            (info.stop, SeekBehavior::FailIfNotReady)
        );
    }

    #[test]
    fn a_configuration_update_carries_signatures_that_verify() {
        let update = b"an encoded ConfigUpdate";
        let signature = config_signature(update, &peer(), &stamp()).unwrap();
        let signer = config_signer(update, &signature).unwrap();
        assert_eq!(signer.to_string(), "peer0.org1 of Org1MSP");

        let signatures = vec![signature.clone()];
        let envelope =
            config_update("mychannel", update.to_vec(), signatures, &admin(), &stamp()).unwrap();
        let (channel, _, data) = opened(&envelope);
        assert_eq!(channel.r#type(), HeaderType::ConfigUpdate);
        let read: ConfigUpdateEnvelope = decode(&data, "it").unwrap();
        assert_eq!(read.config_update, update);
        assert_eq!(read.signatures, std::slice::from_ref(&signature));

        let error = config_signer(b"another update", &signature).unwrap_err();
        let expected = "the signature of peer0.org1 of Org1MSP is wrong";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn two_stamps_differ() {
        let time = stamp().time;
        assert_ne!(
            Stamp::new(time).unwrap().nonce,
            Stamp::new(time).unwrap().nonce
        );
    }
}
