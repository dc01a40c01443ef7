//! `kubectl fabric`: Hyperledger Fabric networks on Kubernetes, as releases of versioned charts.
//!
//! Data flows one way, and the rooms are listed in that order:
//!
//! ```text
//! arguments → chart + values → render → manifest → rules → plan → record → apply → wait → record
//!             └──────────── pure core: no I/O, no clock ───────┘   pending    edge       outcome
//! ```

// The core: plain data in, plain data out.
pub mod chart;
pub mod compose;
pub mod error;
pub mod fabric;
pub mod identity;
pub mod manifest;
pub mod plan;
pub mod release;
pub mod render;
pub mod values;
pub mod yaml;

// The edge: files, the API server, the terminal.
pub mod cluster;
pub mod commands;
pub mod deploy;
pub mod storage;
pub mod terminal;
