//! The last check of a write's [`Fence`](super::Fence): when its connection takes the body, a few
//! microseconds before the bytes are sent.
//!
//! The fence is awaited before a request begins. Authentication, the connection pool and perhaps a
//! handshake follow, and the process may be suspended at any point. If the gate refuses the body,
//! the connection is closed and the server never processes the request.

use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use kube::client::Body;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{error, fmt};
use tower::BoxError;

/// Whether a write may be sent now. Stored in the extensions of its request.
#[derive(Clone)]
pub(super) struct Gate(pub Arc<dyn Fn() -> bool + Send + Sync>);

/// The body of a request behind its gate.
pub(super) struct Gated {
    body: Body,
    gate: Option<Gate>,
}

impl Gated {
    pub fn request(mut request: Request<Body>) -> Request<Gated> {
        let gate = request.extensions_mut().remove::<Gate>();
        request.map(|body| Gated { body, gate })
    }
}

impl HttpBody for Gated {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.gate.take().is_some_and(|gate| !gate.0()) {
            return Poll::Ready(Some(Err(Closed.into())));
        }
        Pin::new(&mut self.body)
            .poll_frame(context)
            .map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The gate was closed, so the request was not sent.
#[derive(Debug)]
pub(super) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock may have been lost when the request was due")
    }
}

impl error::Error for Closed {}
