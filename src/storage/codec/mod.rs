//! Converts between records and bytes: JSON, gzip, chunks, with secrets separate. Pure.
//!
//! ```text
//! Record ─┬─ labels and annotations ── Summary (the only part that list and history read)
//!       ├─ payload    values, manifest, hooks, notes: masked, gzip, split into chunks; immutable
//!       ├─ state      inventory and outcome: gzip; rewritten with the outcome
//!       └─ secrets    the masked values, by JSON pointer into the payload, and the keys of masks
//!                     and signature: gzip, for the companion Secret
//! ```

mod decode;
mod encode;
mod pack;
#[cfg(test)]
pub(super) mod tests;

pub use decode::{decode, decode_whole};
pub use encode::encode;
pub use pack::{CHUNK, MOST_PARTS, chunks, digest, pack, unpack};

use crate::release::{InventoryItem, OutcomeFacts};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The payload version that this program writes, and the newest that it reads.
pub const SCHEMA: u64 = 1;

/// The part of a record that changes with the outcome.
#[derive(Deserialize)]
pub struct RecordState {
    pub inventory: Vec<InventoryItem>,
    #[serde(default)]
    pub outcome: Option<OutcomeFacts>,
}

/// [`RecordState`] in the form for writing.
#[derive(Serialize)]
pub struct StateOf<'a> {
    pub inventory: &'a [InventoryItem],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: &'a Option<OutcomeFacts>,
}

/// The content of the companion Secret.
#[derive(Default, Serialize, Deserialize)]
pub struct Secrets {
    /// Key of the masks in hex. Copied from revision to revision, so that masks can be compared.
    pub key: String,
    /// Key of the records' signatures in hex. Also copied. Empty if the record is not signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signing_key: String,
    /// The values that masks replace in the payload, by JSON pointer.
    pub taken: BTreeMap<String, Value>,
}
