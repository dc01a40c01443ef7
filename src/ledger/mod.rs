//! Fabric's ledger as data: messages, signatures, proposals, envelopes and blocks.
//!
//! The room turns bytes into values and values into bytes. It reaches no node: `node` carries the
//! bytes, `channel` and `chaincode` decide what to send. Keys, nonces and times come in as values.

pub mod block;
pub mod chaincode_package;
pub mod code;
pub mod config_json;
pub mod config_tree;
pub mod describe;
pub mod envelope;
pub mod genesis;
pub mod message;
pub mod msp;
pub mod organization;
pub mod policy;
pub mod proposal;
pub mod rwset;
pub mod sign;
pub mod update;

#[cfg(test)]
mod tests;
