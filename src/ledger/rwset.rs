//! Reads and writes of transactions, and conflicts between them.

use super::block::{Checked, Transaction};
use super::code::TxValidationCode;
use super::message::common::HeaderType;
use super::message::peer::{
    self, ChaincodeAction, ChaincodeActionPayload, ProposalResponsePayload,
};
use super::message::rwset::{KvRwSet, TxReadWriteSet, Version};
use prost::Message;

/// Keys of chaincodes that a transaction read and wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// With the version that was read; `None` if the key did not exist.
    pub reads: Vec<(Key, Option<Version>)>,
    pub writes: Vec<Key>,
}

/// A key of a chaincode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub chaincode: String,
    pub key: String,
}

/// The change that made a transaction invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub key: Key,
    /// The transaction that changed the key, and its block.
    pub tx_id: String,
    pub block: u64,
}

impl Access {
    /// Returns the reads and writes of a chaincode transaction. Empty for other and for unreadable
    /// transactions; the latter are never valid.
    pub fn of(transaction: &Transaction) -> Access {
        let mut access = Access::default();
        for (chaincode, set) in sets(transaction).unwrap_or_default() {
            let key = |key: String| Key {
                chaincode: chaincode.clone(),
                key,
            };
            let reads = set.reads.into_iter();
            access
                .reads
                .extend(reads.map(|read| (key(read.key), read.version)));
            access
                .writes
                .extend(set.writes.into_iter().map(|write| key(write.key)));
        }
        access
    }

    /// Returns the oldest block that may contain a change of a key that was read.
    pub fn oldest_change(&self) -> u64 {
        let versions = self.reads.iter().map(|(_, version)| version);
        versions
            .map(|version| version.map_or(0, |version| version.block_num))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Returns the newest change, in a block, of a key that was read. If the block contains
    /// `tx_id`, only earlier transactions count.
    pub fn conflict(&self, block: &Checked, tx_id: &str) -> Option<Conflict> {
        let mut found = None;
        for (number, transaction) in (0..).zip(block.transactions().ok()?) {
            if transaction.channel_header.tx_id == tx_id {
                break;
            }
            if transaction.validation_code != TxValidationCode::Valid as i32 {
                continue;
            }
            let here = Version {
                block_num: block.number(),
                tx_num: number,
            };
            let writes = Access::of(&transaction).writes;
            let changed = self
                .reads
                .iter()
                .find(|(key, read)| *read < Some(here) && writes.contains(key));
            if let Some((key, _)) = changed {
                found = Some(Conflict {
                    key: key.clone(),
                    tx_id: transaction.channel_header.tx_id,
                    block: block.number(),
                });
            }
        }
        found
    }
}

fn sets(transaction: &Transaction) -> Result<Vec<(String, KvRwSet)>, prost::DecodeError> {
    if transaction.channel_header.r#type() != HeaderType::EndorserTransaction {
        return Ok(Vec::new());
    }
    let mut sets = Vec::new();
    for action in peer::Transaction::decode(&transaction.data[..])?.actions {
        let payload = ChaincodeActionPayload::decode(&action.payload[..])?;
        let response = payload.action.unwrap_or_default().proposal_response_payload;
        let response = ProposalResponsePayload::decode(&response[..])?;
        let results = ChaincodeAction::decode(&response.extension[..])?.results;
        for set in TxReadWriteSet::decode(&results[..])?.ns_rwset {
            sets.push((set.namespace, KvRwSet::decode(&set.rwset[..])?));
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::message::common::{
        Block, BlockData, BlockHeader, BlockMetadata, ChannelHeader, Envelope, Header, Payload,
    };
    use crate::ledger::message::peer::{ChaincodeEndorsedAction, TransactionAction};
    use crate::ledger::message::rwset::{KvRead, KvWrite, NsReadWriteSet};

    const READ_AT: Version = Version {
        block_num: 5,
        tx_num: 0,
    };

    /// A transaction with these results.
    fn transaction(sets: &TxReadWriteSet) -> peer::Transaction {
        let action = ChaincodeAction {
            results: sets.encode_to_vec(),
            ..ChaincodeAction::default()
        };
        let response = ProposalResponsePayload {
            extension: action.encode_to_vec(),
            ..ProposalResponsePayload::default()
        };
        let payload = ChaincodeActionPayload {
            action: Some(ChaincodeEndorsedAction {
                proposal_response_payload: response.encode_to_vec(),
                endorsements: Vec::new(),
            }),
            ..ChaincodeActionPayload::default()
        };
        peer::Transaction {
            actions: vec![TransactionAction {
                payload: payload.encode_to_vec(),
                ..TransactionAction::default()
            }],
        }
    }

    fn envelope(tx_id: &str, reads: &[(&str, Option<Version>)], writes: &[&str]) -> Vec<u8> {
        let set = KvRwSet {
            reads: reads
                .iter()
                .map(|(key, version)| KvRead {
                    key: (*key).to_owned(),
                    version: *version,
                })
                .collect(),
            writes: writes
                .iter()
                .map(|key| KvWrite {
                    key: (*key).to_owned(),
                    is_delete: false,
                })
                .collect(),
        };
        let sets = TxReadWriteSet {
            ns_rwset: vec![NsReadWriteSet {
                namespace: "basic".to_owned(),
                rwset: set.encode_to_vec(),
            }],
        };
        let transaction = transaction(&sets);
        let channel_header = ChannelHeader {
            r#type: HeaderType::EndorserTransaction as i32,
            tx_id: tx_id.to_owned(),
            ..ChannelHeader::default()
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec(),
                ..Header::default()
            }),
            data: transaction.encode_to_vec(),
        };
        let envelope = Envelope {
            payload: payload.encode_to_vec(),
            signature: Vec::new(),
        };
        envelope.encode_to_vec()
    }

    fn block(number: u64, transactions: Vec<Vec<u8>>, codes: &[u8]) -> Checked {
        let data = BlockData { data: transactions };
        let header = BlockHeader {
            number,
            previous_hash: vec![1; 32],
            data_hash: crate::ledger::block::data_hash(&data).to_vec(),
        };
        let metadata = vec![Vec::new(), Vec::new(), codes.to_vec()];
        let block = Block {
            header: Some(header),
            data: Some(data),
            metadata: Some(BlockMetadata { metadata }),
        };
        Checked::new(block, "a block").unwrap()
    }

    fn reader(version: Option<Version>) -> Vec<u8> {
        envelope("late", &[("car1", version), ("car2", version)], &["car1"])
    }

    #[test]
    fn the_transaction_that_changed_a_key_first_is_found() {
        let valid = envelope("first", &[], &["car2"]);
        let invalid = envelope("refused", &[], &["car1"]);
        let after = envelope("after", &[], &["car1"]);
        let block = block(
            7,
            vec![valid, invalid, reader(Some(READ_AT)), after],
            &[0, 11, 11, 0],
        );
        let access = Access::of(&block.transaction("late").unwrap());
        assert_eq!(access.oldest_change(), 5);
        let conflict = access.conflict(&block, "late").unwrap();
        assert_eq!((conflict.tx_id.as_str(), conflict.block), ("first", 7));
        assert_eq!(
            (conflict.key.chaincode.as_str(), conflict.key.key.as_str()),
            ("basic", "car2")
        );
    }

    #[test]
    fn what_was_written_before_it_was_read_is_no_conflict() {
        let late = block(9, vec![reader(Some(READ_AT))], &[11]);
        let access = Access::of(&late.transaction("late").unwrap());
        for (number, is_conflict) in [(4, false), (5, false), (6, true)] {
            let written = block(number, vec![envelope("writer", &[], &["car1"])], &[0]);
            assert_eq!(
                access.conflict(&written, "late").is_some(),
                is_conflict,
                "{number}"
            );
        }
        // A key that did not exist conflicts with each creation.
        let late = block(9, vec![reader(None)], &[11]);
        let access = Access::of(&late.transaction("late").unwrap());
        let created = block(1, vec![envelope("writer", &[], &["car1"])], &[0]);
        assert!(access.conflict(&created, "late").is_some());
        assert_eq!(access.oldest_change(), 0);
    }

    #[test]
    fn what_is_no_transaction_of_a_chaincode_has_no_keys() {
        let bytes = include_bytes!("../../tests/fixtures/v2.5.16/mychannel.block");
        let genesis = Checked::from_bytes(bytes, "the block").unwrap();
        let access = Access::of(&genesis.transactions().unwrap()[0]);
        assert_eq!(access, Access::default());
        assert_eq!(access.conflict(&genesis, "x"), None);
    }
}
