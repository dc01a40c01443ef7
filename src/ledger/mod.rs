//! Fabric's ledger as data: messages, signatures, proposals, envelopes and blocks.
//!
//! This room converts between bytes and values. It calls no nodes: `node` sends the bytes, and
//! `channel` and `chaincode` decide what to send. Keys, nonces and times are arguments.

pub mod block;
pub mod chaincode_package;
pub mod code;
pub mod config_json;
pub mod config_tree;
pub mod deployment;
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
