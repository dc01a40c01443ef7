//! Nodes for tests: TLS servers that speak gRPC or REST over loopback, with scripted responses.

use crate::node::{Address, ClientCertificate, Limits, Node, Route, Security, Tls};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// The name in the servers' certificates.
pub const NAME: &str = "peer0.org1";

/// The limits of tests that wait for a deadline.
pub const SHORT: Limits = Limits {
    connect: Duration::from_millis(200),
    call: Duration::from_millis(200),
};

/// An authority for test certificates.
pub struct Authority {
    pub pem: String,
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::SeqCst));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            pem: certificate.pem(),
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key.
    pub fn sign(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Returns the TLS settings of a server named [`NAME`] that requires a client certificate from
    /// this authority.
    pub fn server(&self, protocols: &[&str]) -> ServerConfig {
        let (certificate, key) = self.sign(NAME);
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }

    /// Returns the TLS settings of a server named [`NAME`] that accepts any client.
    pub fn open_server(&self) -> ServerConfig {
        let (certificate, key) = self.sign(NAME);
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap()
    }

    /// Returns the TLS settings of a client that trusts this authority and has no certificate.
    pub fn stranger(&self) -> Security {
        Security::Tls(Tls::new(&self.pem, NAME, None).unwrap())
    }

    /// Returns the TLS settings of a client that trusts this authority and has a certificate from
    /// it.
    pub fn client(&self) -> Security {
        let (certificate, key) = self.sign("client");
        let client = ClientCertificate {
            chain: &certificate.pem(),
            key: &key.serialize_pem(),
        };
        Security::Tls(Tls::new(&self.pem, NAME, Some(client)).unwrap())
    }
}

/// The reaction of a gRPC server to a call, after its first message.
#[derive(Clone)]
pub enum Play {
    /// Responds with messages, and success.
    Answer(Vec<Bytes>),
    /// Echoes each message.
    Echo,
    /// Refuses without a message.
    Refuse(u32, String),
    Silence,
    /// Ends the connection without a response.
    Cut,
    /// Sends these bytes instead of messages, then ends without a status.
    Raw(Bytes),
    /// Responds like a proxy.
    Http(u16),
}

/// A server that runs as long as its runtime.
#[derive(Clone)]
pub struct Server {
    pub address: Address,
    connections: Arc<AtomicUsize>,
    /// Paths of calls, with the sizes of their bodies.
    calls: Arc<Mutex<Vec<String>>>,
    cut: Arc<Notify>,
    /// Notified when a connection has ended.
    pub ended: Arc<Notify>,
}

impl Server {
    /// Serves gRPC. The last part of a call's path selects the reaction.
    pub async fn grpc(
        terms: Option<ServerConfig>,
        play: impl Fn(&str) -> Play + Clone + Send + 'static,
    ) -> Server {
        Server::start(terms, move |server, stream| {
            let play = play.clone();
            async move {
                let cut = Arc::clone(&server.cut);
                let service =
                    service_fn(move |request| serve(server.clone(), play.clone(), request));
                let connection = http2::Builder::new(TokioExecutor::new())
                    .max_header_list_size(1 << 20)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = cut.notified() => {}
                }
            }
        })
        .await
    }

    /// Serves REST.
    pub async fn rest(
        terms: Option<ServerConfig>,
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Clone + Send + 'static,
    ) -> Server {
        Server::start(terms, move |server, stream| {
            let answer = answer.clone();
            async move {
                let cut = Arc::clone(&server.cut);
                let service = service_fn(move |request: Request<Incoming>| {
                    let (server, answer) = (server.clone(), answer.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        server.note(format!("{} {}", head.method, head.uri));
                        let answer = answer(&Request::from_parts(head, body));
                        Ok::<_, hyper::Error>(answer.map(Full::new))
                    }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = cut.notified() => {}
                }
            }
        })
        .await
    }

    async fn start<W: Future<Output = ()> + Send + 'static>(
        terms: Option<ServerConfig>,
        serve: impl Fn(Server, Box<dyn Duplex>) -> W + Clone + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let server = Server {
            address,
            connections: Arc::default(),
            calls: Arc::default(),
            cut: Arc::default(),
            ended: Arc::default(),
        };
        let (served, acceptor) = (
            server.clone(),
            terms.map(|terms| TlsAcceptor::from(Arc::new(terms))),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::SeqCst);
                let (served, serve, acceptor) = (served.clone(), serve.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(served.clone(), Box::new(stream)).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(served.clone(), Box::new(stream)).await;
                            }
                        }
                    }
                    served.ended.notify_one();
                });
            }
        });
        server
    }

    pub fn node(&self, security: Security) -> Node {
        Node {
            name: NAME.to_owned(),
            route: Route::Exposed(self.address.clone()),
            security,
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Ends the connection that is open.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn serve(
    server: Server,
    play: impl Fn(&str) -> Play,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let path = request.uri().path().to_owned();
    let mut play = play(path.rsplit('/').next().unwrap());
    let mut body = request.into_body();
    // Like grpc-go, which responds with its first message.
    let mut taken = BytesMut::new();
    while taken.len() < 5 || taken.len() < 5 + length(&taken) {
        match body.frame().await {
            Some(Ok(frame)) => taken.put(frame.into_data().unwrap_or_default()),
            _ => break,
        }
    }
    server.note(format!("{path} {}", taken.len().saturating_sub(5)));
    let first = taken.freeze();
    let mut headers = Response::builder().header("content-type", "application/grpc");
    let frames: Vec<Frame<Bytes>> = match &mut play {
        Play::Answer(messages) => {
            let messages = messages.iter().map(|message| Frame::data(framed(message)));
            messages.chain([Frame::trailers(status(0, ""))]).collect()
        }
        Play::Echo => {
            let rest = BodyStream::new(body).filter_map(|frame| async { frame.ok() });
            let frames = stream::iter([Frame::data(first)])
                .chain(rest)
                .chain(stream::iter([Frame::trailers(status(0, ""))]));
            let body = StreamBody::new(frames.map(Ok::<_, Infallible>));
            return Ok(headers.body(BodyExt::boxed_unsync(body)).unwrap());
        }
        Play::Refuse(code, message) => {
            headers
                .headers_mut()
                .unwrap()
                .extend(status(*code, message));
            Vec::new()
        }
        Play::Silence => std::future::pending().await,
        Play::Cut => {
            server.cut();
            std::future::pending().await
        }
        Play::Raw(bytes) => vec![Frame::data(bytes.clone())],
        Play::Http(code) => {
            headers = Response::builder().status(*code);
            Vec::new()
        }
    };
    let frames = stream::iter(frames.into_iter().map(Ok));
    Ok(headers
        .body(BodyExt::boxed_unsync(StreamBody::new(frames)))
        .unwrap())
}

fn length(framed: &[u8]) -> usize {
    u32::from_be_bytes(framed[1..5].try_into().unwrap()) as usize
}

/// A message with gRPC's prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put_slice(message);
    bytes.freeze()
}

fn status(code: u32, message: &str) -> HeaderMap {
    let encoded = percent_encoding::utf8_percent_encode(message, percent_encoding::CONTROLS);
    HeaderMap::from_iter([
        (http::HeaderName::from_static("grpc-status"), code.into()),
        (
            http::HeaderName::from_static("grpc-message"),
            encoded.to_string().parse().unwrap(),
        ),
    ])
}
