//! Networks as a file: what `network.yaml` wants.
//!
//! ```text
//! network.yaml ─► read (+ charts, values) ─► Network ─► derive: values that name other releases
//! ```
//!
//! The room is pure. It leaves to others what a release renders to (`compose`), and reading files.
//!
//! `fields` is the one description of the file; the reader, the editor schema and the reference
//! page follow it.

mod capability;
mod check;
pub mod derive;
mod describe;
pub mod document;
mod fields;
pub mod file;
pub mod member;
mod policy;
mod problem;
mod quantity;
mod read;
mod read_channel;
pub mod reference;
mod shape;
#[cfg(test)]
mod tests;

pub use describe::{describe, describe_embedded};
pub use file::Network;
pub use read::{Draft, Given};
