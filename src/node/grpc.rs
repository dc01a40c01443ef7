//! gRPC over HTTP/2, for messages of any service.
//!
//! The protocol on top of HTTP/2 is small
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): a message is a byte that
//! shows whether it is compressed, four bytes of length, and the message; the status is in the
//! trailers. It is implemented here, because a library would report Fabric's refusals, broken
//! connections and its own limits under the same codes.

use super::fault::{Broken, Cause, Fault, Heard, Refusal, Status};
use super::link::{Driver, End, Failure, Link, Wire};
use super::session::Session;
use super::{Node, Security};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use prost::Message;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The largest message that is sent or read: the limit of Fabric's peers and orderers
/// (`comm.DefaultMaxRecvMsgSize`, internal/pkg/comm/config.go).
pub const MAX_MESSAGE: usize = 100 << 20;

/// Maximum size of a status and its message in bytes. Fabric puts whole build logs into them, and
/// HTTP/2 implementations drop data beyond their own limit of 16 KiB.
const MAX_HEADERS: u32 = 1 << 20;

/// Compressed or not, and the length.
const PREFIX: usize = 5;

/// gRPC calls to one node.
pub type Grpc = Session<Http2>;

/// A connection that speaks HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<Outgoing>,
    /// `http://peer0.org1:7051`
    origin: String,
    end: End,
    _driver: Driver,
}

impl Link for Http2 {
    const PROTOCOLS: &'static [&'static [u8]] = &[b"h2"];

    async fn over(wire: Wire, node: &Node) -> Result<Http2, Failure> {
        let end = wire.end.clone();
        // Without pings, because Fabric's servers end a connection that sends more than one per
        // minute.
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(MAX_HEADERS)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| end.failure(&error, Heard::No))?;
        let scheme = match node.security {
            Security::Plain => "http",
            Security::Tls(_) => "https",
        };
        let origin = format!("{scheme}://{}", node.route);
        let origin = match origin.parse::<Uri>() {
            Ok(_) => origin,
            Err(_) => format!("{scheme}://node"),
        };
        Ok(Http2 {
            sender,
            origin,
            end,
            _driver: Driver::start(connection),
        })
    }

    fn is_open(&self) -> bool {
        !self.sender.is_closed() && !self.end.has_come()
    }
}

type Answer = BoxFuture<'static, Result<Messages, Failure>>;

impl Http2 {
    /// Sends a request. The future is its response: a server may wait for more of the request
    /// before it responds.
    async fn begin(&self, path: &'static str, body: Outgoing) -> Result<Answer, Failure> {
        let mut sender = self.sender.clone();
        sender
            .ready()
            .await
            .map_err(|error| self.end.failure(&error, Heard::No))?;
        let request = Request::post(format!("{}{path}", self.origin))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(
                header::USER_AGENT,
                concat!("kubectl-fabric/", env!("CARGO_PKG_VERSION")),
            )
            .body(body)
            .expect("a path of gRPC is one of HTTP");
        let answer = sender.try_send_request(request);
        let end = self.end.clone();
        Ok(Box::pin(async move {
            match answer.await {
                Ok(response) => Messages::of(response, end),
                Err(error) => {
                    let heard = match error.message() {
                        Some(_) => Heard::No,
                        None => Heard::Maybe,
                    };
                    Err(end.failure(error.error(), heard))
                }
            }
        }))
    }
}

/// The body of a request: one message, or a stream.
#[derive(Debug)]
pub(super) enum Outgoing {
    Whole(Option<Bytes>),
    Open(mpsc::Receiver<Bytes>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Outgoing::Whole(bytes) => Poll::Ready(bytes.take()),
            Outgoing::Open(receiver) => receiver.poll_recv(context),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Outgoing::Whole(None))
    }
}

/// Encodes a message for sending.
fn framed(message: &impl Message) -> Result<Bytes, Failure> {
    let length = message.encoded_len();
    if length > MAX_MESSAGE {
        let why = format!("the message has {length} bytes; the limit of a node is {MAX_MESSAGE}");
        return Err(Failure::unheard(Cause::TooLarge(why)));
    }
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("checked just now"));
    message.encode(&mut bytes).expect("the buffer has room");
    Ok(bytes.freeze())
}

fn decoded<A: Message + Default>(message: Bytes) -> Result<A, Failure> {
    A::decode(message).map_err(|error| unreadable(error.to_string()))
}

fn unreadable(why: impl Into<String>) -> Failure {
    Failure::answered(Cause::Unreadable(why.into()))
}

/// The messages of a response.
struct Messages {
    body: Incoming,
    unread: BytesMut,
    trailers: Option<HeaderMap>,
    end: End,
}

impl Messages {
    fn of(response: Response<Incoming>, end: End) -> Result<Messages, Failure> {
        let (head, body) = response.into_parts();
        if let Some(Err(refusal)) = status(&head.headers) {
            return Err(Failure::answered(Cause::Refused(refusal)));
        }
        let kind = head.headers.get(header::CONTENT_TYPE);
        let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if head.status != StatusCode::OK || !is_grpc {
            return Err(not_grpc(head.status));
        }
        Ok(Messages {
            body,
            unread: BytesMut::new(),
            // In a response without messages, the headers are the trailers.
            trailers: status(&head.headers).map(|_| head.headers),
            end,
        })
    }

    /// Returns the next message, or `None` after a successful end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.unread.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => return Err(self.end.failure(&error, Heard::Maybe)),
                None => return self.finish().map(|()| None),
            }
        }
    }

    /// Returns a completely received message.
    fn take(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some((prefix, message)) = self.unread.split_at_checked(PREFIX) else {
            return Ok(None);
        };
        let length = prefix[1..]
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        if prefix[0] != 0 {
            return Err(unreadable(
                "it is compressed, but compression was not requested",
            ));
        }
        if length > MAX_MESSAGE {
            let why = format!("it has a message of {length} bytes; the limit is {MAX_MESSAGE}");
            return Err(unreadable(why));
        }
        if message.len() < length {
            self.unread.reserve(PREFIX + length - self.unread.len());
            return Ok(None);
        }
        self.unread.advance(PREFIX);
        Ok(Some(self.unread.split_to(length).freeze()))
    }

    fn finish(&self) -> Result<(), Failure> {
        match self.trailers.as_ref().and_then(status) {
            Some(Ok(())) if self.unread.is_empty() => Ok(()),
            Some(Ok(())) => Err(unreadable("it ends in the middle of a message")),
            Some(Err(refusal)) => Err(Failure::answered(Cause::Refused(refusal))),
            None => {
                let broken = Broken {
                    why: "the response ended without a status".to_owned(),
                    hint: None,
                    lasting: false,
                };
                Err(self.end.failure_or(broken, Heard::Maybe))
            }
        }
    }
}

/// Returns the status in a response's headers or trailers, if any.
fn status(headers: &HeaderMap) -> Option<Result<(), Refusal>> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    if code == 0 {
        return Some(Ok(()));
    }
    let message = headers
        .get("grpc-message")
        .map_or("", |message| message.to_str().unwrap_or(""));
    Some(Err(Refusal {
        status: Status::Grpc(code),
        message: percent_decode_str(message).decode_utf8_lossy().into_owned(),
    }))
}

/// A proxy or another service responds instead of the node.
fn not_grpc(status: StatusCode) -> Failure {
    let may_pass = matches!(status.as_u16(), 429 | 502..=504);
    Failure {
        cause: Cause::Connection(Broken {
            why: format!("the response is not gRPC (HTTP {})", status.as_u16()),
            hint: Some("check the port, and whether proxies in between support gRPC"),
            lasting: !may_pass,
        }),
        heard: Heard::Maybe,
    }
}

impl Grpc {
    /// Calls a method with one message and one response, such as
    /// `/protos.Endorser/ProcessProposal`.
    pub async fn unary<A>(&self, path: &'static str, request: &impl Message) -> Result<A, Fault>
    where
        A: Message + Default,
    {
        let call = path.trim_start_matches('/');
        let message = framed(request).map_err(|failure| failure.of(&self.node().name, call))?;
        self.call(call, |link| {
            let message = message.clone();
            async move {
                let answer = link.begin(path, Outgoing::Whole(Some(message))).await?;
                let mut messages = answer.await?;
                let Some(message) = messages.next().await? else {
                    return Err(unreadable("it has no message"));
                };
                match messages.next().await? {
                    None => decoded(message),
                    Some(_) => Err(unreadable("it has more than one message")),
                }
            }
        })
        .await
    }

    /// Opens a bidirectional streaming call, such as `/orderer.AtomicBroadcast/Deliver`. Dropping
    /// it cancels the call.
    pub async fn open<Q, A>(&self, path: &'static str) -> Result<Exchange<Q, A>, Fault>
    where
        Q: Message,
        A: Message + Default,
    {
        let call = path.trim_start_matches('/');
        self.call(call, |link| async move {
            let (sender, receiver) = mpsc::channel(1);
            let answer = link.begin(path, Outgoing::Open(receiver)).await?;
            Ok(Exchange {
                session: self.clone(),
                link,
                call,
                sender: Some(sender),
                incoming: Some(Reading::Begun(answer)),
                messages: PhantomData,
            })
        })
        .await
    }
}

/// A bidirectional streaming call.
pub struct Exchange<Q, A> {
    session: Grpc,
    link: Arc<Http2>,
    call: &'static str,
    sender: Option<mpsc::Sender<Bytes>>,
    /// `None` after the end.
    incoming: Option<Reading>,
    messages: PhantomData<fn(Q) -> A>,
}

enum Reading {
    Begun(Answer),
    Answered(Messages),
}

impl<Q: Message, A: Message + Default> Exchange<Q, A> {
    /// Sets other limits for the following messages: a Deliver is silent as long as there is no
    /// block.
    pub fn within(mut self, limits: super::Limits) -> Exchange<Q, A> {
        self.session = self.session.within(limits);
        self
    }

    /// Sends a message, without waiting for the node's response.
    ///
    /// # Errors
    ///
    /// Returns the reason why the node ended the call, if it has.
    pub async fn send(&mut self, message: &Q) -> Result<(), Fault> {
        let name = &self.session.node().name;
        let message = framed(message).map_err(|failure| failure.of(name, self.call))?;
        let taken = match &self.sender {
            Some(sender) => timeout(self.session.limits().call, sender.send(message)).await,
            None => return Err(self.over()),
        };
        match taken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => match self.next().await {
                Err(fault) => Err(fault),
                Ok(_) => Err(self.over()),
            },
            Err(_) => Err(self.failed(self.session.late())),
        }
    }

    /// Ends the request: no more messages will be sent.
    pub fn finish(&mut self) {
        self.sender = None;
    }

    /// Returns the next response, or `None` when the node has ended the call.
    pub async fn next(&mut self) -> Result<Option<A>, Fault> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(None);
        };
        let read = timeout(self.session.limits().call, async {
            if let Reading::Begun(answer) = incoming {
                *incoming = Reading::Answered(answer.await?);
            }
            match incoming {
                Reading::Answered(messages) => messages.next().await?.map(decoded).transpose(),
                Reading::Begun(_) => unreachable!("answered just now"),
            }
        });
        let failure = match read.await {
            Ok(Ok(Some(answer))) => return Ok(Some(answer)),
            Ok(Ok(None)) => {
                self.incoming = None;
                return Ok(None);
            }
            Ok(Err(failure)) => failure,
            Err(_) => self.session.late(),
        };
        Err(self.failed(failure))
    }

    fn failed(&mut self, failure: Failure) -> Fault {
        self.incoming = None;
        self.sender = None;
        self.session.failed(&self.link, self.call, failure)
    }

    fn over(&mut self) -> Fault {
        self.failed(unreadable("the call has ended"))
    }
}
