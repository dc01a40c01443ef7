//! Never stuck, nothing lost, nothing leaked: operations under faults, on a real API server behind
//! a proxy that does harm.
//!
//! `cargo test --test faults` runs a representative part; `make test-faults` runs all of it
//! (docs/reliability.md).

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod concurrency;
mod hostile;
mod identities;
mod invariants;
mod late_writes;
mod members;
mod model;
mod operations;
mod orderers;
mod outages;
mod proxy;
mod purge;
mod secrets;
mod table;
mod world;
