//! Selects the files that belong to a chart, and computes their digest. The build script includes
//! this file, so that an embedded chart and the same chart in a folder have the same digest.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Returns true if a file belongs to a chart. Hidden files (`.git/`, `.DS_Store`) do not.
pub fn belongs(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with('.'))
}

/// Returns the digest of a chart's files: SHA-256 in lower-case hex, over names and contents.
pub fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    // Each length precedes its bytes, so that two different charts never feed the same bytes.
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
