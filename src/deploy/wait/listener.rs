//! Listens to events during longer waits, for reasons that no object's status shows.

use super::Monitor;
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Cluster, WatchEvent};
use crate::manifest::events::{FIELDS, Warning};
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

/// How long a wait continues without events. A normal wait is often over by then, and saves the
/// request.
pub(super) const AFTER: Duration = Duration::from_secs(4);

/// Receives events of some namespaces, from the first call of `listen` until the end of the
/// operation.
#[derive(Default)]
pub(super) struct Listener {
    namespaces: BTreeSet<String>,
    streams: SelectAll<BoxStream<'static, ApiResult<WatchEvent<Option<Warning>>>>>,
    /// Why events could not be read. Events are optional.
    pub unheard: Option<ApiError>,
}

impl Listener {
    /// Also listens in this namespace.
    pub fn listen(&mut self, cluster: &Cluster, namespace: &str) {
        if self.namespaces.insert(namespace.to_owned()) {
            self.streams
                .push(cluster.watch_events(namespace, FIELDS, |event| Warning::of(&event)));
        }
    }

    /// Returns the next event that explains something. Never resolves if there is none.
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
    /// Returns a note for an error that reasons may be missing because events could not be read.
    pub(super) fn deafness(&self) -> Option<String> {
        let error = self.listener.unheard.as_ref()?;
        Some(match error.kind {
            ApiErrorKind::Forbidden => {
                format!(
                    "events, which often explain more, are not shown: {}",
                    error.message
                )
            }
            _ => format!(
                "events, which often explain more, could not be read: {}",
                error.message
            ),
        })
    }
}
