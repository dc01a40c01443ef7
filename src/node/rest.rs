//! REST: the services of orderers (channel participation), of Fabric CAs and of the operations
//! ports. HTTP/1.1, one request at a time on a connection.

use super::Node;
use super::fault::{Cause, Fault, Heard, Refusal, Status};
use super::grpc::MAX_MESSAGE;
use super::link::{Driver, End, Failure, Link, Wire};
use super::session::Session;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

/// Maximum number of characters of an error response.
const MAX_REASON: usize = 2000;

/// REST calls to one port of a node.
pub type Rest = Session<Http1>;

/// A connection that speaks HTTP/1.1.
#[derive(Debug)]
pub struct Http1 {
    sender: Mutex<SendRequest<Full<Bytes>>>,
    host: HeaderValue,
    end: End,
    _driver: Driver,
}

impl Link for Http1 {
    const PROTOCOLS: &'static [&'static [u8]] = &[];

    async fn over(wire: Wire, node: &Node) -> Result<Http1, Failure> {
        let end = wire.end.clone();
        let (sender, connection) = http1::handshake(TokioIo::new(wire))
            .await
            .map_err(|error| end.failure(&error, Heard::No))?;
        let host = HeaderValue::try_from(node.route.to_string());
        Ok(Http1 {
            sender: Mutex::new(sender),
            host: host.unwrap_or(HeaderValue::from_static("node")),
            end,
            _driver: Driver::start(connection),
        })
    }

    fn is_open(&self) -> bool {
        let closed = self
            .sender
            .try_lock()
            .is_ok_and(|sender| sender.is_closed());
        !closed && !self.end.has_come()
    }
}

impl Http1 {
    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
        request
            .headers_mut()
            .insert(header::HOST, self.host.clone());
        let mut sender = self.sender.lock().await;
        sender
            .ready()
            .await
            .map_err(|error| self.end.failure(&error, Heard::No))?;
        let response = sender.try_send_request(request).await.map_err(|error| {
            let heard = match error.message() {
                Some(_) => Heard::No,
                None => Heard::Maybe,
            };
            self.end.failure(error.error(), heard)
        })?;
        let (head, body) = response.into_parts();
        match Limited::new(body, MAX_MESSAGE).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(error) => self.end.failure(&error, Heard::Maybe),
                Err(error) if error.is::<LengthLimitError>() => {
                    let why = format!("it has more than {MAX_MESSAGE} bytes");
                    Failure::answered(Cause::Unreadable(why))
                }
                Err(error) => Failure::answered(Cause::Unreadable(error.to_string())),
            }),
        }
    }
}

impl Rest {
    /// Sends a request to a path of the node, and returns any response.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Fault> {
        let call = words(&request);
        let (head, body) = request.into_parts();
        self.call(&call, |link| {
            let request = Request::from_parts(head.clone(), Full::new(body.clone()));
            async move { link.send(request).await }
        })
        .await
    }

    /// Returns the body of a successful response, or a [`Refusal`] with the node's message.
    pub async fn ask(&self, request: Request<Bytes>) -> Result<Bytes, Fault> {
        let call = words(&request);
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let refusal = Refusal {
            status: Status::Http(response.status().as_u16()),
            message: reason(response.body()),
        };
        Err(Failure::answered(Cause::Refused(refusal)).of(&self.node().name, &call))
    }

    /// Returns a successful response in JSON.
    pub async fn json<T: DeserializeOwned>(&self, request: Request<Bytes>) -> Result<T, Fault> {
        let call = words(&request);
        let body = self.ask(request).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let why = format!("it is not the expected JSON: {error}");
            Failure::answered(Cause::Unreadable(why)).of(&self.node().name, &call)
        })
    }

    /// Gets a path, such as `/healthz` of the operations port.
    pub async fn get(&self, path: &str) -> Result<Bytes, Fault> {
        self.ask(request(Method::GET, path)).await
    }
}

/// A request without a body.
pub(super) fn request(method: Method, path: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    // An invalid path does not exist either.
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
}

fn words(request: &Request<Bytes>) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

/// Returns the reason of a refusal: `error` of channel participation (`types.ErrorResponse`), the
/// messages of `errors` of a Fabric CA (`api.Response` of cfssl), or the text itself.
fn reason(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(error) = answer["error"].as_str() {
        return error.to_owned();
    }
    let errors = answer["errors"].as_array().into_iter().flatten();
    let messages: Vec<&str> = errors
        .filter_map(|error| error["message"].as_str())
        .collect();
    match messages.is_empty() {
        false => messages.join("; "),
        true => String::from_utf8_lossy(body)
            .trim()
            .chars()
            .take(MAX_REASON)
            .collect(),
    }
}
