//! `kubectl fabric`: Hyperledger Fabric networks on Kubernetes, as releases of versioned charts.
//!
//! Data flows one way, and the rooms are listed in that order:
//!
//! ```text
//! arguments → chart + values → render → manifest → rules → plan → record → apply → wait → record
//!             └──────────── pure core: no I/O, no clock ───────┘   pending    edge       outcome
//! ```

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

// The core: plain data in, plain data out.
pub mod error;
pub mod encoding;
pub mod yaml;
pub mod chart;
pub mod values;
pub mod fabric;
pub mod identity;
pub mod ledger;
pub mod render;
pub mod compose;
pub mod manifest;
pub mod plan;
pub mod release;
pub mod network;

// The edge: files, the API server, the terminal.
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the room of the API client, its credentials and their expiry"
)]
pub mod cluster;
pub mod node;
pub mod storage;
pub mod member;
pub mod channel;
pub mod deploy;
pub mod chaincode;
pub mod terminal;
pub mod up;
#[allow(
    clippy::disallowed_methods,
    reason = "what the user names on the command line is read here"
)]
pub mod commands;
