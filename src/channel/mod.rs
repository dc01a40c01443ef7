//! Channels: from installed organizations to a channel with its orderers and peers.
//!
//! ```text
//! contacts, public identities ─► wanted ─► genesis block ─┐
//!                                                         ├─► steps ─► orderers, peers join
//! what orderers and peers have ──────────────► states ────┘
//! ```
//!
//! The orderers and peers are the state: each step asks a node first, so a repeated command does
//! only what is missing. A node that cannot be asked is unknown, never one that lacks the channel.

mod create;
mod genesis;
mod history;
mod join;
mod options;
mod outcome;
mod patience;
mod read;
mod states;
#[cfg(test)]
mod tests;
mod wanted;
mod words;

pub use create::{Create, await_leader, create, first_block, join_orderer};
pub use genesis::genesis;
pub use history::{Entry, history};
pub use join::{Join, join, join_peer};
pub use outcome::{Did, Outcome, Step};
pub use read::{Position, Source, fetch};
pub use states::{Held, State, states};
pub use wanted::{Settings, Wanted};
pub use words::words;
