//! For tests: the context of an operation on release `org1` with a scripted server
//! ([`crate::cluster::scripted`]).

use super::{Context, Event, Progress};
use crate::cluster::Cluster;
use crate::release::ReleaseName;
use jiff::Timestamp;
use tokio::sync::watch;

struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event) {}
}

/// `interrupted` is whether the user has asked to stop.
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
