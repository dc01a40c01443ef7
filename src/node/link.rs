//! A connection for protocols: TLS on a route. It records why it ended.
//!
//! HTTP reports only the kind of a broken connection, and a refused client certificate appears at
//! the first read, long after the handshake (TLS 1.3). Therefore [`Wire`] records the complete
//! reason where it is known.

use super::fault::{Broken, Cause, Fault, Heard, explain, refuses_the_client};
use super::route::Stream;
use super::{Node, Security};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// A connection that speaks one protocol.
pub trait Link: Sized + Send + Sync + 'static {
    /// Its names in TLS's negotiation (ALPN). Empty: no negotiation.
    const PROTOCOLS: &'static [&'static [u8]];

    fn over(wire: Wire, node: &Node) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Returns true if it may accept another call.
    fn is_open(&self) -> bool;
}

/// A [`Fault`] that is not attributed to a call yet.
#[derive(Debug)]
pub struct Failure {
    pub cause: Cause,
    pub heard: Heard,
}

impl Failure {
    pub fn unheard(cause: impl Into<Cause>) -> Failure {
        Failure {
            cause: cause.into(),
            heard: Heard::No,
        }
    }

    pub fn answered(cause: Cause) -> Failure {
        Failure {
            cause,
            heard: Heard::Yes,
        }
    }

    pub fn of(self, node: &str, call: &str) -> Fault {
        Fault {
            node: node.to_owned(),
            call: call.to_owned(),
            cause: self.cause,
            heard: self.heard,
        }
    }
}

/// Connects to a node.
pub async fn connect<L: Link>(node: &Node) -> Result<L, Failure> {
    let stream = node.route.open().await.map_err(Failure::unheard)?;
    let stream: Box<dyn Stream> = match &node.security {
        Security::Plain => stream,
        Security::Tls(tls) => {
            let connector = TlsConnector::from(tls.speaking(L::PROTOCOLS));
            let connected = connector.connect(tls.name.clone(), stream).await;
            Box::new(
                connected.map_err(|error| Failure::unheard(Cause::Connection(explain(&error))))?,
            )
        }
    };
    let end = End::default();
    L::over(Wire { stream, end }, node).await
}

/// The first reason why a wire ended, once it has ended.
#[derive(Clone, Debug, Default)]
pub struct End(Arc<OnceLock<Ended>>);

#[derive(Debug)]
struct Ended {
    broken: Broken,
    /// Returns true if the node has not read anything that was written.
    unheard: bool,
}

impl End {
    pub fn has_come(&self) -> bool {
        self.0.get().is_some()
    }

    fn note(&self, error: &io::Error) {
        let unheard = refuses_the_client(error);
        let broken = Broken {
            // After a successful connection, other failures may not recur on the next one.
            lasting: unheard,
            ..explain(error)
        };
        // Later reasons follow from the first one.
        let _ = self.0.set(Ended { broken, unheard });
    }

    /// Returns the failure of a call for this HTTP error.
    pub fn failure(&self, error: &hyper::Error, heard: Heard) -> Failure {
        self.failure_or(explain(error), heard)
    }

    pub fn failure_or(&self, broken: Broken, heard: Heard) -> Failure {
        let (broken, heard) = match self.0.get() {
            None => (broken, heard),
            Some(Ended {
                broken,
                unheard: true,
            }) => (broken.clone(), Heard::No),
            Some(Ended { broken, .. }) => (broken.clone(), heard),
        };
        Failure {
            cause: Cause::Connection(broken),
            heard,
        }
    }
}

/// The byte stream of a connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    pub end: End,
}

impl Wire {
    /// Records the reason of a failed write: the node's last message, if there is one.
    fn note(&mut self, error: &io::Error, context: &mut Context<'_>) {
        let mut byte = [0];
        let mut last = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.stream).poll_read(context, &mut last) {
            Poll::Ready(Err(said)) => self.end.note(&said),
            _ => self.end.note(error),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        match &read {
            Err(error) => self.end.note(error),
            Ok(()) if room > 0 && buffer.filled().len() == before => {
                self.end.note(&io::ErrorKind::UnexpectedEof.into());
            }
            Ok(()) => {}
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        if let Err(error) = &written {
            self.note(error, context);
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        if let Err(error) = &flushed {
            self.note(error, context);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The task that transfers a connection's bytes. It ends with its link.
#[derive(Debug)]
pub struct Driver(JoinHandle<()>);

impl Driver {
    pub fn start(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Driver {
        Driver(tokio::spawn(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a node ended");
            }
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
