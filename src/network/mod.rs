//! Networks in a file: the desired state in `network.yaml`, the missing steps, and their order.
//!
//! ```text
//! network.yaml ─► read ─► Network ─┬─► plan ─► steps, parallel where independent
//!                (+ charts, values) │     ▲
//!                                   │     └── state: what the edge read of cluster and ledgers
//!                                   └─► derive: values that name other releases
//! ```
//!
//! The room is pure. It leaves to others what a release renders to (`compose`), what a channel's
//! configuration or a package is (`ledger`), how a node is reached (`node`), and running the steps.
//! Digests and package ids are texts that it only compares.
//!
//! `fields` is the only description of the file, for the reader, the editor schema and the
//! reference page.

mod build;
mod capability;
mod check;
pub mod derive;
mod describe;
pub mod document;
mod fields;
pub mod file;
pub mod member;
mod plan;
mod policy;
mod problem;
mod quantity;
mod read;
mod read_channel;
pub mod reference;
mod shape;
mod show;
pub mod state;
pub mod step;
#[cfg(test)]
mod tests;

pub use describe::{describe, describe_embedded};
pub use file::Network;
pub use plan::{Held, Own, Part, Plan, Removal, Unknown, Wait, members, plan};
pub use quantity::bytes;
pub use read::{Draft, Given};
pub use state::{Known, Observed, Wanted};
pub use step::{Action, Step};
