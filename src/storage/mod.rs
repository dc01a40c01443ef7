//! Stores release records in the cluster, as ConfigMaps with companion Secrets. Handles names,
//! labels, splitting and reading. Accesses the cluster through `cluster`.
//!
//! A record has the name `kubectl-fabric.v1.<release>.v<revision>`, in the release's namespace. A
//! payload too large for one object continues in `….part2` and so on. The parts are written before
//! the record that counts them. Every update has the resourceVersion of the last read.

mod chart;
#[doc(hidden)]
pub mod codec;
mod parts;
mod read;
mod remove;
#[doc(hidden)]
pub mod sign;
mod summary;
mod write;

pub use chart::{keep_chart, kept_chart};
pub use read::{
    Readable, history, list, list_readable, read, read_baseline_to_show, read_past, read_to_show,
    read_with_secrets, unknown_release, unverified, without_secrets,
};
pub use remove::{is_known, is_purged, purge, trim};
pub use summary::read_entry;
pub use write::{
    Packed, Restated, Written, begin_purge, create, new_key, pack, set_status, update,
};

use crate::cluster::Kind;
use crate::manifest::DOMAIN;
use serde_json::Value;

/// Label with the role of a stored object: `release`, `part`, `secrets`, `chart`. Objects with this
/// label belong to no manifest.
pub const RECORD_LABEL: &str = "kubectl-fabric.io/record";

const RELEASE_LABEL: &str = "kubectl-fabric.io/release";

/// Annotation of the newest record while an uninstall deletes the release's records. This record is
/// deleted last.
const PURGED: &str = "purged";

/// Returns the name of a revision's record and of its companion Secret.
pub fn record_name(release: &str, revision: u32) -> String {
    format!("{DOMAIN_PREFIX}.{release}.v{revision}")
}

/// Returns true if an object's metadata marks it as a record of this release, or as a part of one.
pub fn is_record_of(body: &Value, release: &str) -> bool {
    let labels = &body["metadata"]["labels"];
    !labels[RECORD_LABEL].is_null() && labels[RELEASE_LABEL] == release
}

const DOMAIN_PREFIX: &str = "kubectl-fabric.v1";

fn part_name(name: &str, part: usize) -> String {
    if part == 1 {
        name.to_owned()
    } else {
        format!("{name}.part{part}")
    }
}

fn kind(kind: &str) -> Kind {
    Kind {
        api_version: "v1".into(),
        kind: kind.into(),
    }
}

fn annotation<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    crate::manifest::annotation(body, &format!("{DOMAIN}/{name}"))
}
