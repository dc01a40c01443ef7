//! Blocks: their hashes, transactions, signatures and the newest configuration before them
//! (`protoutil/blockutils.go`).

use super::code::{self, TxValidationCode};
use super::message::common::{
    Block, BlockData, BlockHeader, BlockMetadata, BlockMetadataIndex, ChannelHeader, Envelope,
    IdentifierHeader, LastConfig, Metadata, OrdererBlockMetadata, Payload, SignatureHeader,
};
use super::message::decode;
use super::sign::{Creator, verify};
use crate::error::{Error, Result};
use crate::identity::certificate::Certificate;
use sha2::{Digest, Sha256};

/// The header in ASN.1, as Fabric hashes and signs it (`protoutil.BlockHeaderBytes`): a SEQUENCE of
/// the number and the two hashes.
pub fn header_bytes(header: &BlockHeader) -> Vec<u8> {
    let number = header.number.to_be_bytes();
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(7);
    // A leading zero keeps the number positive.
    let sign: &[u8] = if number[first] >= 0x80 { &[0] } else { &[] };
    let content = [
        der(0x02, &[sign, &number[first..]].concat()),
        der(0x04, &header.previous_hash),
        der(0x04, &header.data_hash),
    ];
    der(0x30, &content.concat())
}

/// An element of ASN.1 in DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let first = length.iter().position(|byte| *byte != 0);
    let length = &length[first.unwrap_or(length.len() - 1)..];
    match content.len() {
        0..0x80 => [&[tag], length, content].concat(),
        _ => [&[tag, 0x80 | length.len() as u8], length, content].concat(),
    }
}

/// The hash of a block: the next one's `previous_hash` (`protoutil.BlockHeaderHash`).
pub fn hash(header: &BlockHeader) -> [u8; 32] {
    Sha256::digest(header_bytes(header)).into()
}

/// The hash of a block's transactions: its header's `data_hash` (`protoutil.ComputeBlockDataHash`).
pub fn data_hash(data: &BlockData) -> [u8; 32] {
    let mut hash = Sha256::new();
    for transaction in &data.data {
        hash.update(transaction);
    }
    hash.finalize().into()
}

/// A complete block whose data matches its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub header: BlockHeader,
    pub data: BlockData,
    metadata: Vec<Vec<u8>>,
}

/// A transaction of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub channel_header: ChannelHeader,
    pub signature_header: SignatureHeader,
    /// The message of the channel header's type: a `ConfigEnvelope`, a `Transaction`.
    pub data: Vec<u8>,
    /// The [`TxValidationCode`]. A block from an orderer has `NOT_VALIDATED`.
    pub validation_code: i32,
}

/// A signature of an orderer over a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub signed_by: SignedBy,
    /// The signed bytes: metadata, signer's header and block header.
    pub message: Vec<u8>,
    pub signature: Vec<u8>,
}

/// The signer of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// An orderer with its certificate.
    Creator(Box<Creator>),
    /// A consenter of a BFT channel, by its id in the channel's configuration (3.x).
    Consenter(u32),
}

impl Checked {
    /// Reads and checks an encoded block. `what` names it in errors: `block 5 of mychannel`.
    pub fn from_bytes(bytes: &[u8], what: &str) -> Result<Checked> {
        Checked::new(decode(bytes, what)?, what)
    }

    /// Checks a block. `what` names it in errors: `block 5 of mychannel`.
    pub fn new(block: Block, what: &str) -> Result<Checked> {
        let invalid = |why: &str| Error::user(format!("{what} is not valid")).why(why.to_owned());
        let header = block.header.ok_or_else(|| invalid("it has no header"))?;
        let data = block.data.ok_or_else(|| invalid("it has no data"))?;
        if header.data_hash != data_hash(&data) {
            return Err(invalid(
                "its data does not match the hash in its header: it was damaged or changed",
            ));
        }
        Ok(Checked {
            header,
            data,
            metadata: block.metadata.map(|it| it.metadata).unwrap_or_default(),
        })
    }

    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The hash of the block: the next one's `previous_hash`.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.header)
    }

    /// Returns true if `next` follows this block.
    pub fn precedes(&self, next: &BlockHeader) -> bool {
        Some(next.number) == self.header.number.checked_add(1) && next.previous_hash == self.hash()
    }

    /// Converts the block back to a message.
    pub fn into_block(self) -> Block {
        Block {
            header: Some(self.header),
            data: Some(self.data),
            metadata: Some(BlockMetadata {
                metadata: self.metadata,
            }),
        }
    }

    fn metadata(&self, index: BlockMetadataIndex) -> &[u8] {
        self.metadata
            .get(index as usize)
            .map_or(&[], |item| item.as_slice())
    }

    /// The transactions, in order.
    pub fn transactions(&self) -> Result<Vec<Transaction>> {
        self.read_transactions().collect()
    }

    /// The transaction with this id, if the block has it. Skips transactions that cannot be read,
    /// which peers mark as invalid.
    pub fn transaction(&self, tx_id: &str) -> Option<Transaction> {
        // If an id occurs twice in a block, the second transaction is invalid (txvalidator,
        // DUPLICATE_TXID).
        self.read_transactions()
            .flatten()
            .find(|transaction| transaction.channel_header.tx_id == tx_id)
    }

    fn read_transactions(&self) -> impl Iterator<Item = Result<Transaction>> {
        let codes = self.metadata(BlockMetadataIndex::TransactionsFilter);
        self.data.data.iter().enumerate().map(move |(at, bytes)| {
            let unvalidated = TxValidationCode::NotValidated as i32;
            let validation_code = codes.get(at).map_or(unvalidated, |code| i32::from(*code));
            let what = format!("transaction {at} of block {}", self.header.number);
            Transaction::read(bytes, validation_code, &what)
        })
    }

    /// The number of the newest configuration block, which may be this one
    /// (`protoutil.GetLastConfigIndexFromBlock`).
    pub fn last_config(&self) -> Result<u64> {
        let what = format!("the metadata of block {}", self.header.number);
        let signed: Metadata = decode(self.metadata(BlockMetadataIndex::Signatures), &what)?;
        let last_config = if signed.value.is_empty() {
            // A genesis block, and blocks of orderers before 1.4.1.
            let last: Metadata = decode(self.metadata(BlockMetadataIndex::LastConfig), &what)?;
            decode::<LastConfig>(&last.value, &what)?
        } else {
            let metadata: OrdererBlockMetadata = decode(&signed.value, &what)?;
            metadata
                .last_config
                .ok_or_else(|| Error::user(format!("{what} does not name a configuration block")))?
        };
        Ok(last_config.index)
    }

    /// The signatures of the orderers. A genesis block has none.
    pub fn signatures(&self) -> Result<Vec<Signature>> {
        let what = format!("the signatures of block {}", self.header.number);
        let metadata: Metadata = decode(self.metadata(BlockMetadataIndex::Signatures), &what)?;
        let header = header_bytes(&self.header);
        let signatures = metadata.signatures.into_iter();
        signatures
            .map(|signed| {
                let by_id = signed.signature_header.is_empty();
                let (signed_by, signer_header) = if by_id {
                    let id: IdentifierHeader = decode(&signed.identifier_header, &what)?;
                    (SignedBy::Consenter(id.identifier), signed.identifier_header)
                } else {
                    let by: SignatureHeader = decode(&signed.signature_header, &what)?;
                    let creator = Creator::from_bytes(&by.creator, "an orderer")?;
                    (
                        SignedBy::Creator(Box::new(creator)),
                        signed.signature_header,
                    )
                };
                Ok(Signature {
                    signed_by,
                    message: [&metadata.value[..], &signer_header, &header].concat(),
                    signature: signed.signature,
                })
            })
            .collect()
    }
}

impl Transaction {
    fn read(bytes: &[u8], validation_code: i32, what: &str) -> Result<Transaction> {
        let envelope: Envelope = decode(bytes, what)?;
        let payload: Payload = decode(&envelope.payload, what)?;
        let header = payload.header.unwrap_or_default();
        Ok(Transaction {
            channel_header: decode(&header.channel_header, what)?,
            signature_header: decode(&header.signature_header, what)?,
            data: payload.data,
            validation_code,
        })
    }

    /// Fails if the transaction was committed as invalid.
    pub fn valid(&self) -> Result<()> {
        match self.validation_code == TxValidationCode::Valid as i32 {
            true => Ok(()),
            false => Err(code::invalid(
                &self.channel_header.tx_id,
                self.validation_code,
            )),
        }
    }
}

impl Signature {
    /// Checks the signature. `consenter` finds a certificate in the channel's configuration by the
    /// consenter's id. The caller checks whether an orderer belongs to the channel.
    ///
    /// # Errors
    ///
    /// Returns the end of a sentence about the signature: `is wrong`.
    pub fn verify(
        &self,
        consenter: impl Fn(u32) -> Option<Certificate>,
    ) -> Result<(), &'static str> {
        let certificate = match &self.signed_by {
            SignedBy::Creator(creator) => creator.certificate.clone(),
            SignedBy::Consenter(id) => consenter(*id).ok_or("is of an unknown consenter")?,
        };
        verify(&certificate, &self.message, &self.signature)
    }
}

#[cfg(test)]
mod tests;
