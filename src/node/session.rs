//! A group of calls on one connection to a node.
//!
//! The first call opens the connection, and all calls share it, also concurrently. After a missed
//! deadline or a fault, the next call opens a new one. A call is retried automatically in only one
//! case: its connection had ended unnoticed between two calls, and the call was certainly not sent.

use super::Node;
use super::fault::{Cause, Fault, Heard};
use super::link::{Failure, Link, connect};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the connection: lookup of the pod, port forward, and TLS handshake.
    pub connect: Duration,
    /// For a call, or one message of a stream.
    pub call: Duration,
}

impl Default for Limits {
    /// 10 s and 30 s. A peer gives a chaincode 30 s to execute (`chaincode.executetimeout`).
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(10),
            call: Duration::from_secs(30),
        }
    }
}

/// Calls to one port of a node. Cheap to clone; clones share the connection.
#[derive(Debug)]
pub struct Session<L> {
    shared: Arc<Shared<L>>,
    limits: Limits,
}

#[derive(Debug)]
struct Shared<L> {
    node: Node,
    current: Mutex<Option<Arc<L>>>,
    /// Held during a connection attempt, so that concurrent calls share one connection.
    connecting: tokio::sync::Mutex<()>,
}

impl<L> Clone for Session<L> {
    fn clone(&self) -> Session<L> {
        Session {
            shared: Arc::clone(&self.shared),
            limits: self.limits,
        }
    }
}

impl<L: Link> Session<L> {
    /// Calls to a node, with the default [`Limits`]. Connects with the first call.
    pub fn new(node: Node) -> Session<L> {
        Session {
            shared: Arc::new(Shared {
                node,
                current: Mutex::default(),
                connecting: tokio::sync::Mutex::default(),
            }),
            limits: Limits::default(),
        }
    }

    /// The same connection with other limits.
    pub fn within(&self, limits: Limits) -> Session<L> {
        Session {
            limits,
            ..self.clone()
        }
    }

    pub fn node(&self) -> &Node {
        &self.shared.node
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Connects before the first call. If this fails, the call tries again.
    pub async fn warm(&self) {
        let _ = self.link("connect").await;
    }

    /// Makes a call on the connection, within the limits.
    pub(super) async fn call<T, W>(
        &self,
        call: &str,
        mut work: impl FnMut(Arc<L>) -> W,
    ) -> Result<T, Fault>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        loop {
            let (link, used) = self.link(call).await?;
            let done = timeout(self.limits.call, work(Arc::clone(&link))).await;
            let failure = match done {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => self.late(),
            };
            let unsent = used && failure.heard == Heard::No;
            let fault = self.failed(&link, call, failure);
            // A new link cannot have ended unnoticed, so this loop ends.
            if !(unsent && matches!(&fault.cause, Cause::Connection(broken) if !broken.lasting)) {
                return Err(fault);
            }
        }
    }

    /// The failure of a call that missed the deadline.
    pub(super) fn late(&self) -> Failure {
        Failure {
            cause: Cause::Deadline(self.limits.call),
            heard: Heard::Maybe,
        }
    }

    /// Returns the fault of a call that failed on a link. Unless the node responded, the link is
    /// not reused.
    pub(super) fn failed(&self, link: &Arc<L>, call: &str, failure: Failure) -> Fault {
        if !matches!(failure.cause, Cause::Refused(_) | Cause::TooLarge(_)) {
            let mut current = self.current();
            if current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, link))
            {
                *current = None;
            }
        }
        failure.of(&self.shared.node.name, call)
    }

    /// A link that seems to be open, and whether it was used before.
    async fn link(&self, call: &str) -> Result<(Arc<L>, bool), Fault> {
        if let Some(link) = self.open_link() {
            return Ok((link, true));
        }
        let connected = timeout(self.limits.connect, async {
            let _turn = self.shared.connecting.lock().await;
            match self.open_link() {
                Some(link) => Ok((link, true)),
                None => Ok((Arc::new(connect(&self.shared.node).await?), false)),
            }
        });
        let (link, used) = match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::unheard(Cause::Deadline(self.limits.connect))),
        }
        .map_err(|failure| failure.of(&self.shared.node.name, call))?;
        if !used {
            *self.current() = Some(Arc::clone(&link));
        }
        Ok((link, used))
    }

    fn open_link(&self) -> Option<Arc<L>> {
        self.current().clone().filter(|link| link.is_open())
    }

    /// A thread that panicked while holding the lock leaves no partial state.
    fn current(&self) -> MutexGuard<'_, Option<Arc<L>>> {
        self.shared
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
