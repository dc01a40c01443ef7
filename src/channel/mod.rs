//! Channels: from installed organizations to a channel with its orderers and peers, and from one
//! configuration to the next.
//!
//! ```text
//! contacts, public identities ─► wanted ─► genesis block ─┐
//!                                                         ├─► steps ─► orderers, peers join
//! what orderers and peers have ──────────────► states ────┘
//!
//! current configuration ─► change, check ─► update ─► signatures ─► submit ─► its block
//!                                                └─► proposal file ◄─► other organizations
//! ```
//!
//! The state is in the orderers and peers: each step queries a node first, so a repeated command
//! performs only the missing steps. The state of a node that does not respond is unknown, which is
//! not the same as lacking the channel.

mod broadcast;
mod change;
mod create;
mod creation;
mod genesis;
mod history;
mod join;
mod live;
mod options;
mod ordering;
mod outcome;
mod patience;
mod proposal_file;
mod read;
mod states;
mod submit;
#[cfg(test)]
mod tests;
pub mod view;
mod wanted;
mod words;

pub use broadcast::{broadcast, place, warm};
pub use change::{
    BatchLimits, Change, Changed, Consenter, Consenters, Joining, change, check, check_nodes,
    keep_consenters, msp_ids, raised_levels,
};
pub use create::{Consortium, Create, await_leader, create, first_block, join_orderer};
pub use creation::{Creation, create_by_consortium, is_unknown, system_block, with_anchors};
pub use genesis::genesis;
pub use history::{Entry, history};
pub use join::{Join, join, join_peer};
pub use live::{Current, compare, current, view};
pub use ordering::prepare_consenters;
pub use outcome::{Did, Outcome, Step};
pub use patience::{Pauses, REACH, reach};
pub use proposal_file::{Explanation, ProposalFile};
pub use read::{Position, Source, fetch};
pub use states::{ChannelAtNode, Held, states};
pub use submit::{Signed, Submission, missing, sign, submit};
pub use view::View;
pub use wanted::{Settings, Wanted, anchor, consenter, organization};
pub use words::words;
