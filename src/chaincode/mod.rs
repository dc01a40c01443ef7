//! Chaincodes: calls and transactions, and the steps from an image to a committed definition.
//!
//! ```text
//! Input ─► Call ─► peers of the organizations ─► endorsed ─► orderers ─► committed, or why not
//!
//! Wanted ──────────────────────┐
//! packages, approvals, ────────┴─► Missing ─► install, approve, commit
//! definition as peers have them
//! ```
//!
//! The state is on the ledger: each run computes the missing steps from the responses of peers, so
//! a repeated command only completes them. Each call by a user is a new transaction.

mod collections;
mod commit;
mod define;
mod definition;
mod deploy;
mod endorse;
mod explain;
mod gateway;
mod input;
mod legacy;
mod lifecycle;
mod list;
mod missing;
mod server;
mod submit;

pub use crate::channel::View;

use crate::channel::view;

pub use collections::{collections, read_collections};
pub use define::Define;
pub use definition::{DEFAULT_POLICY, Definition, endorsement_policy, policy_words, read_policy};
pub use deploy::{Approver, Deploy, Done as Deployed, approve, committed, deploy};
pub use endorse::{Endorsers, query};
pub use input::{arguments, transient};
pub use legacy::{install_by_lscc, installed_by_lscc, instantiated, instantiation};
pub use lifecycle::{Approvals, Approved, Chaincodes, Committed, Lifecycle, installed};
pub use list::{Listed, listed};
pub use missing::{Missing, Wanted};
pub use server::{connection, package};
pub use submit::{Done, Submission, submit, words};
