//! An operation of release `org1` against a server that answers what it is told to
//! ([`crate::cluster::scripted`]), for tests.

use super::{Context, Event, Progress};
use crate::cluster::Cluster;
use crate::release::ReleaseName;
use jiff::Timestamp;
use tokio::sync::watch;

struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event) {}
}

/// `interrupted`: whether the user has asked to stop.
pub(crate) fn context(cluster: &Cluster, interrupted: bool) -> Context<'_> {
    Context {
        cluster,
        release: ReleaseName::parse("org1").expect("a name"),
        namespace: "org1".into(),
        now: Timestamp::UNIX_EPOCH,
        progress: &Silent,
        interrupted: watch::channel(interrupted).1,
    }
}
