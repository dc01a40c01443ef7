//! Release records as ConfigMaps with companion Secrets: names, labels, encoding, splitting, reading. Reaches the cluster through `cluster`.

use crate::cluster::Cluster;
use crate::error::Result;
use crate::release::{Entry, Record};

/// Newest revision of every release, in one namespace or in all; metadata only.
pub async fn list(_cluster: &Cluster, _namespace: Option<&str>) -> Result<Vec<Entry>> {
    todo!()
}

/// All revisions of one release, oldest first; metadata only. Empty when there is none.
pub async fn history(_cluster: &Cluster, _namespace: &str, _release: &str) -> Result<Vec<Entry>> {
    todo!()
}

/// One revision, whole; the newest when none is named. Unknown release: an error with the nearest name.
pub async fn read(_cluster: &Cluster, _namespace: &str, _release: &str, _revision: Option<u32>) -> Result<Record> {
    todo!()
}
