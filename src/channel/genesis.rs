//! The genesis block of a channel, the same for the same configuration.
//!
//! Two runs that create the same channel at once, or an interrupted and repeated run, must not give
//! orderers different genesis blocks, because such orderers could never reach consensus. Therefore
//! time and nonce, which Fabric does not check in a genesis block, are derived from the
//! configuration.

use crate::error::Result;
use crate::identity::certificate::{Certificate, blocks};
use crate::ledger::config_tree::Configuration;
use crate::ledger::envelope::Stamp;
use crate::ledger::message::common::Block;
use jiff::Timestamp;
use prost::Message;
use sha2::{Digest, Sha256};

/// Creates the genesis block. `certificates` are those of the channel's orderers (PEM); the newest
/// one determines the time of the block.
pub fn genesis(name: &str, configuration: &Configuration, certificates: &[&[u8]]) -> Result<Block> {
    let encoded = configuration.to_message().encode_to_vec();
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update([0])
        .chain_update(&encoded)
        .finalize();
    let begin = |der: Vec<u8>| Certificate::from_der(der, "a certificate").ok();
    let dates = certificates
        .iter()
        .flat_map(|pem| blocks(pem))
        .filter_map(|(_, der)| Some(begin(der)?.not_before));
    let time = dates.max().unwrap_or(Timestamp::UNIX_EPOCH);
    let mut nonce = [0; 24];
    nonce.copy_from_slice(&digest[..24]);
    let stamp = Stamp {
        time,
        nonce,
        tls_certificate: None,
    };
    crate::ledger::genesis::block(name, configuration, &stamp)
}
