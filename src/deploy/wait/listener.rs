//! Events of the cluster, for a wait that takes longer than a moment: reasons that no object's own
//! status tells.

use super::Monitor;
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Cluster, WatchEvent};
use crate::manifest::events::{FIELDS, Warning};
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

/// How long a wait goes on without events: one in which all is well is over by then and costs no
/// request more.
pub(super) const AFTER: Duration = Duration::from_secs(4);

/// Hears events of some namespaces, from when it is first told to until the end of the operation.
#[derive(Default)]
pub(super) struct Listener {
    namespaces: BTreeSet<String>,
    streams: SelectAll<BoxStream<'static, ApiResult<WatchEvent<Option<Warning>>>>>,
    /// Why events could not be read: reasons are a help, no duty.
    pub unheard: Option<ApiError>,
}

impl Listener {
    /// Listens in a namespace, too.
    pub fn listen(&mut self, cluster: &Cluster, namespace: &str) {
        if self.namespaces.insert(namespace.to_owned()) {
            self.streams
                .push(cluster.watch_events(namespace, FIELDS, |event| Warning::of(&event)));
        }
    }

    /// The next event that explains something; waits for ever where none comes.
    pub async fn next(&mut self) -> Warning {
        while let Some(event) = self.streams.next().await {
            match event {
                Ok(WatchEvent::Present(Some(warning))) => return warning,
                Ok(_) => {}
                Err(error) => self.unheard = Some(error),
            }
        }
        pending().await
    }
}

impl Monitor<'_> {
    /// In words for an error, why it may not know the reason.
    pub(super) fn deafness(&self) -> Option<String> {
        let error = self.listener.unheard.as_ref()?;
        Some(match error.kind {
            ApiErrorKind::Forbidden => {
                format!(
                    "events, which often tell more, are not shown: {}",
                    error.message
                )
            }
            _ => format!(
                "events, which often tell more, could not be read: {}",
                error.message
            ),
        })
    }
}
