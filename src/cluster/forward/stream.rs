//! The bytes of a forwarded port, in the frames of a WebSocket.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{Sink, Stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::{
    error, fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::Role},
};

const DATA: u8 = 0;
const WORDS: u8 = 1;
/// Maximum size of a frame in bytes. The kubelet reads a whole frame at a time.
const FRAME: usize = 64 * 1024;

/// A connection to a port of a pod.
pub struct Forward {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    /// Received bytes that have not been read yet.
    unread: Bytes,
    /// Whether a channel's port number has been received.
    greeted: [bool; 2],
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forward")
    }
}

/// The forwarder's message about the end of a connection, for example that nothing listens on the
/// port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardEnded(pub String);

impl fmt::Display for ForwardEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for ForwardEnded {}

impl Forward {
    pub(super) async fn over(upgraded: Upgraded) -> Forward {
        let stream = TokioIo::new(upgraded);
        Forward {
            socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await,
            unread: Bytes::new(),
            greeted: [false; 2],
        }
    }

    /// Reads frames until there are bytes to read, a message of the forwarder, or the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            let frame = match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                None | Some(Ok(Message::Close(_))) => break,
                Some(Ok(Message::Binary(frame))) => frame,
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            };
            self.take(frame)?;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, mut frame: Bytes) -> io::Result<()> {
        if frame.is_empty() {
            return Ok(());
        }
        let channel = frame.get_u8();
        let Some(greeted) = self.greeted.get_mut(usize::from(channel)) else {
            let message = format!("the forwarder uses channel {channel}, which was not opened");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        if !*greeted {
            // The requested port's number.
            *greeted = true;
            frame.advance(frame.len().min(2));
        }
        match channel {
            WORDS if !frame.is_empty() => {
                let words = String::from_utf8_lossy(&frame).trim().to_owned();
                Err(io::Error::other(ForwardEnded(words)))
            }
            _ => {
                self.unread = frame;
                Ok(())
            }
        }
    }

    /// Returns why a connection is closed: the forwarder's message, if there is one.
    fn end(&mut self, error: tungstenite::Error, context: &mut Context<'_>) -> io::Error {
        match self.poll_fill(context) {
            Poll::Ready(Err(words)) => words,
            _ => broken(error),
        }
    }
}

/// Converts a WebSocket error to a connection error.
fn broken(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            io::ErrorKind::BrokenPipe.into()
        }
        // The API server or the kubelet closed the connection without a message.
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
            | tungstenite::error::ProtocolError::SendAfterClosing,
        ) => io::ErrorKind::ConnectionReset.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

impl AsyncRead for Forward {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(context))?;
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Forward {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = ready!(Pin::new(&mut self.socket).poll_ready(context)) {
            return Poll::Ready(Err(self.end(error, context)));
        }
        let length = bytes.len().min(FRAME);
        let mut frame = BytesMut::with_capacity(1 + length);
        frame.put_u8(DATA);
        frame.put_slice(&bytes[..length]);
        match Pin::new(&mut self.socket).start_send(Message::Binary(frame.freeze())) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(self.end(error, context))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_flush(context)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.end(error, context))),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(context)) {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }
}
