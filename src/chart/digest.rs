//! Which files make up a chart, and the digest over them. The build script includes this file too,
//! so that an embedded chart and the same chart in a folder have one digest.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Whether a file belongs to a chart. Hidden files (`.git/`, `.DS_Store`) are the folder's owner's,
/// not the chart's.
pub fn belongs(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with('.'))
}

/// The digest of a chart's files: SHA-256, lower-case hex. Order and origin do not matter, names
/// and contents do.
pub fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    // Lengths go first, so that no two different charts feed the same bytes.
    let mut feed = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (name, content) in files {
        feed(name.as_bytes());
        feed(content);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
