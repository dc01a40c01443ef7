use super::*;
use crate::ledger::message::common::{HeaderType, MetadataSignature};
use crate::ledger::sign::tests::{admin, peer};
use prost::Message;

const GENESIS: [&[u8]; 3] = [
    include_bytes!("../../../tests/fixtures/v1.4.12/genesis.block"),
    include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block"),
    include_bytes!("../../../tests/fixtures/v3.1.5/mychannel.block"),
];

/// A block with this data, after the genesis block of 2.5, signed by an administrator.
fn next(data: Vec<Vec<u8>>, consenter: bool) -> Block {
    let genesis = Checked::from_bytes(GENESIS[1], "it").unwrap();
    let data = BlockData { data };
    let header = BlockHeader {
        number: 1,
        previous_hash: genesis.hash().to_vec(),
        data_hash: data_hash(&data).to_vec(),
    };
    let value = OrdererBlockMetadata {
        last_config: Some(LastConfig { index: 1 }),
        consenter_metadata: Vec::new(),
    };
    let value = value.encode_to_vec();
    let by = SignatureHeader {
        creator: admin().serialized(),
        nonce: vec![1; 24],
    };
    let id = IdentifierHeader {
        identifier: 3,
        nonce: vec![1; 24],
    };
    let mut signed = MetadataSignature::default();
    let by = match consenter {
        true => {
            signed.identifier_header = id.encode_to_vec();
            &signed.identifier_header
        }
        false => {
            signed.signature_header = by.encode_to_vec();
            &signed.signature_header
        }
    };
    let message = [&value[..], by, &header_bytes(&header)].concat();
    signed.signature = admin().sign(&message).unwrap();
    let signatures = Metadata {
        value,
        signatures: vec![signed],
    };
    Block {
        header: Some(header),
        data: Some(data),
        metadata: Some(BlockMetadata {
            metadata: vec![signatures.encode_to_vec(), vec![], vec![2, 11, 9]],
        }),
    }
}

#[test]
fn a_header_is_encoded_as_go_does() {
    let header = |number| BlockHeader {
        number,
        previous_hash: vec![0xaa; 2],
        data_hash: vec![0xbb],
    };
    let rest = [4, 2, 0xaa, 0xaa, 4, 1, 0xbb];
    for (number, encoded) in [
        (0, &[2, 1, 0][..]),
        (127, &[2, 1, 0x7f]),
        (128, &[2, 2, 0, 0x80]),
        (256, &[2, 2, 1, 0]),
        (u64::MAX, &[2, 9, 0, 255, 255, 255, 255, 255, 255, 255, 255]),
    ] {
        let content = [encoded, &rest].concat();
        let expected = [&[0x30, content.len() as u8], &content[..]].concat();
        assert_eq!(header_bytes(&header(number)), expected, "{number}");
    }
    let long = BlockHeader {
        data_hash: vec![0; 200],
        ..header(0)
    };
    assert_eq!(header_bytes(&long)[..3], [0x30, 0x81, 210]);
}

#[test]
fn genesis_blocks_of_fabric_are_read() {
    for (bytes, channel) in GENESIS
        .into_iter()
        .zip(["syschannel", "mychannel", "mychannel"])
    {
        let block = Checked::from_bytes(bytes, "the genesis block").unwrap();
        assert_eq!((block.number(), block.last_config().unwrap()), (0, 0));
        assert_eq!(block.signatures().unwrap(), []);
        let [transaction] = &block.transactions().unwrap()[..] else {
            panic!("one transaction");
        };
        let header = &transaction.channel_header;
        assert_eq!(header.r#type(), HeaderType::Config);
        assert_eq!(header.channel_id, channel);
        assert_eq!(block.transaction(&header.tx_id).as_ref(), Some(transaction));
        assert_eq!(block.into_block().encode_to_vec(), bytes);
    }
}

#[test]
fn blocks_are_linked_by_the_hash_of_the_header() {
    let genesis = Checked::from_bytes(GENESIS[1], "it").unwrap();
    let mut header = next(vec![], false).header.unwrap();
    assert!(genesis.precedes(&header));
    header.number = 2;
    assert!(!genesis.precedes(&header));
    header.number = 1;
    header.previous_hash[0] ^= 1;
    assert!(!genesis.precedes(&header));
}

#[test]
fn a_block_whose_data_was_changed_is_refused() {
    let mut block = next(vec![b"one".to_vec()], false);
    block.data.as_mut().unwrap().data[0][0] ^= 1;
    let error = Checked::new(block, "block 1 of mychannel").unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("block 1 of mychannel is not valid"),
        "{error}"
    );
    assert!(error.contains("does not match the hash"), "{error}");
    for block in [
        Block::default(),
        Block {
            data: None,
            ..next(vec![], false)
        },
    ] {
        assert!(Checked::new(block, "it").is_err());
    }
}

#[test]
fn transactions_have_validation_codes() {
    let genesis = Checked::from_bytes(GENESIS[1], "it").unwrap();
    let transaction = genesis.data.data[0].clone();
    let unvalidated = genesis.transactions().unwrap()[0].validation_code;
    assert_eq!(unvalidated, TxValidationCode::NotValidated as i32);
    let data = vec![b"unreadable".to_vec(), transaction.clone(), transaction];
    let block = Checked::new(next(data, false), "it").unwrap();
    assert!(block.transactions().is_err());
    let tx_id = &genesis.transactions().unwrap()[0].channel_header.tx_id;
    let found = block.transaction(tx_id).unwrap();
    assert_eq!(found.validation_code, 11);
    let error = found.valid().unwrap_err().to_string();
    assert!(error.contains("MVCC_READ_CONFLICT"), "{error}");
    assert_eq!(block.transaction("another"), None);
}

#[test]
fn signatures_of_orderers_verify() {
    for consenter in [false, true] {
        let block = Checked::new(next(vec![], consenter), "it").unwrap();
        assert_eq!(block.last_config().unwrap(), 1);
        let [signature] = &block.signatures().unwrap()[..] else {
            panic!("one signature");
        };
        let known = |id| (id == 3).then(|| admin().certificate().clone());
        assert_eq!(signature.verify(known), Ok(()));
        let other = Signature {
            message: b"another block".to_vec(),
            ..signature.clone()
        };
        assert_eq!(other.verify(known), Err("is wrong"));
    }
    let block = Checked::new(next(vec![], true), "it").unwrap();
    let signature = &block.signatures().unwrap()[0];
    let another = |_| Some(peer().certificate().clone());
    assert_eq!(signature.verify(another), Err("is wrong"));
    assert_eq!(
        signature.verify(|_| None),
        Err("is of an unknown consenter")
    );
}
