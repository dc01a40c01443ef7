//! Fabric's protobuf messages, written by hand for prost.
//!
//! Each message names the Go package of its definition in `hyperledger/fabric-protos-go-apiv2`.
//! Fields have the names and numbers of Fabric's definition. Fabric signs and hashes encoded
//! messages, so a decoded message must encode to the same bytes again:
//!
//! - A map is a list of entry messages, in the order in which it was read. Go writes the key and
//!   the value of an entry even if they are empty, so both are `Option`s, and `Some` in each entry
//!   that this program creates.
//! - Bytes that contain another message stay bytes. [`decode`] reads them when they are needed.

pub mod chaincode;
pub mod collection;
pub mod common;
pub mod configuration;
pub mod event;
pub mod gateway;
pub mod lifecycle;
pub mod lscc;
pub mod msp;
pub mod msp_configuration;
pub mod orderer;
pub mod orderer_configuration;
pub mod peer;
pub mod policy;
pub mod rwset;

use crate::error::{Error, Result};

/// Decodes a message from another program. `what` names it in the error: `the block`.
pub fn decode<M: prost::Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    M::decode(bytes).map_err(|error| {
        Error::user(format!("cannot read {what}"))
            .why(format!("it is not the expected message: {error}"))
    })
}
