//! A proxy between the plugin and the API server: it counts requests, and does harm at one of them.
//!
//! TLS on both sides, HTTP/1.1, each connection of the client paired with one to the server. Bytes
//! pass as they are; only heads and the ends of bodies are looked for.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::until;
use crate::world::World;

/// What goes wrong at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing does: for counting.
    None,
    /// The connection breaks before the server has heard the request.
    DroppedBefore,
    /// The connection breaks after the server has done what was asked.
    DroppedAfter,
    /// The answer breaks off in its middle.
    Cut,
    /// An answer of this code, without the server having heard of it; with `Retry-After` for 429,
    /// as the API server has it.
    Refused(u16),
    /// An answer of this code after the server has done what was asked, as a load balancer gives
    /// it.
    RefusedAfter(u16),
    /// The request waits so long before it is passed on.
    Stalled(Duration),
    /// The request is never answered.
    Silent,
    /// From this request on there is no server.
    Away,
    /// SIGKILL before the server has heard the request.
    Killed,
    /// SIGKILL after the server has done what was asked.
    KilledAfter,
    /// SIGINT, and the request is passed on.
    Interrupted,
    /// Every answer is dated so many seconds later (negative: earlier) than it is.
    Dated(i64),
    /// Changes of an object at this path wait on their way until [`Proxy::let_go`].
    Held(&'static str),
    /// The watch of this number ends as soon as it has begun.
    WatchClosed,
    /// The watch of this number has expired (410).
    WatchExpired,
}

impl Fault {
    /// Whether only watches are counted.
    pub fn is_of_watches(self) -> bool {
        matches!(self, Fault::WatchClosed | Fault::WatchExpired)
    }

    /// Whether the plugin waits for an answer most of the time.
    pub fn is_of_silence(self) -> bool {
        matches!(self, Fault::Stalled(_) | Fault::Silent | Fault::Away)
    }
}

/// Hears each request, as `VERB PATH`, and may have an answer.
type StandIn = Box<dyn FnMut(&str) -> Option<String> + Send>;

/// A running proxy; it ends when it is dropped.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    _stop: watch::Sender<()>,
}

struct State {
    fault: Fault,
    /// At which request, counted from 1.
    at: usize,
    seen: AtomicUsize,
    /// Requests that the server is working on; watches are not among them.
    under_way: AtomicUsize,
    struck: AtomicBool,
    victim: AtomicU32,
    let_go: watch::Sender<bool>,
    /// `VERB PATH` of each request, in the order of arrival.
    requests: Mutex<Vec<String>>,
    /// Answers in the server's place.
    stand_in: Mutex<Option<StandIn>>,
    upstream: SocketAddr,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Proxy {
    /// Starts a proxy that does `fault` at request number `at`.
    pub fn start(world: &World, fault: Fault, at: usize) -> Proxy {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let (stop, stopped) = watch::channel(());
        let state = Arc::new(State {
            fault,
            at,
            seen: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            struck: AtomicBool::new(false),
            victim: AtomicU32::new(0),
            let_go: watch::channel(false).0,
            requests: Mutex::default(),
            stand_in: Mutex::default(),
            upstream: world.upstream,
            connector: world.connector.clone(),
            acceptor: world.acceptor.clone(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || runtime.block_on(serve(listener, shared, stopped)));
        Proxy {
            port,
            state,
            _stop: stop,
        }
    }

    /// Has `answer` hear every request, and answer those that it has an answer for.
    pub fn stand_in(&self, answer: impl FnMut(&str) -> Option<String> + Send + 'static) {
        *self.state.stand_in.lock().expect("nobody panics with it") = Some(Box::new(answer));
    }

    /// Names the process whose requests these are: the one to be killed.
    pub fn serve(&self, process: u32) {
        self.state.victim.store(process, Ordering::SeqCst);
    }

    /// How many requests have come, of the kind that the fault counts.
    pub fn seen(&self) -> usize {
        self.state.seen.load(Ordering::SeqCst)
    }

    /// `VERB PATH` of each request that came.
    pub fn requests(&self) -> Vec<String> {
        self.state
            .requests
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    /// Whether the fault has happened.
    pub fn struck(&self) -> bool {
        self.state.struck.load(Ordering::SeqCst)
    }

    /// Passes on what was held.
    pub fn let_go(&self) {
        self.state.let_go.send_replace(true);
    }

    /// Waits until the server is done with all that was passed on.
    pub fn settle(&self) {
        until("the server to answer", || {
            (self.state.under_way.load(Ordering::SeqCst) == 0).then_some(())
        });
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, mut stopped: watch::Receiver<()>) {
    loop {
        tokio::select! {
            // Dropping the sender is the signal.
            _ = stopped.changed() => return,
            Ok((client, _)) = listener.accept() => {
                let state = Arc::clone(&state);
                // A broken connection is what is wanted here, and no news.
                tokio::spawn(async move { drop(converse(client, &state).await) });
            }
        }
    }
}

/// One connection of the client, request by request.
async fn converse(client: TcpStream, state: &State) -> Result<()> {
    client.set_nodelay(true)?;
    if state.fault == Fault::Away && state.struck.load(Ordering::SeqCst) {
        return Ok(());
    }
    let mut client = BufReader::new(state.acceptor.accept(client).await?);
    let mut server = None;
    while let Some(request) = Message::read(&mut client).await? {
        let mut body = Vec::new();
        request.copy_body(&mut client, &mut body).await?;
        let line = request
            .line
            .rsplit_once(' ')
            .map_or(request.line.as_str(), |(line, _)| line)
            .to_owned();
        let watches = line.contains("watch=true");
        let held = match state.fault {
            Fault::Held(path) => {
                line.starts_with("PATCH ") && line.contains(path) && !line.contains("dryRun")
            }
            _ => false,
        };
        let stand_in = state
            .stand_in
            .lock()
            .expect("nobody panics with it")
            .as_mut()
            .and_then(|answer| answer(&line));
        state
            .requests
            .lock()
            .expect("nobody panics with it")
            .push(line);
        if let Some(text) = stand_in {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            client.write_all(head.as_bytes()).await?;
            client.flush().await?;
            continue;
        }
        let number = match watches || !state.fault.is_of_watches() {
            true => state.seen.fetch_add(1, Ordering::SeqCst) + 1,
            false => 0,
        };
        let strikes =
            held || number == state.at || (state.fault == Fault::Away && number > state.at);
        let fault = if strikes { state.fault } else { Fault::None };
        if fault != Fault::None {
            state.struck.store(true, Ordering::SeqCst);
        }
        match fault {
            Fault::DroppedBefore | Fault::Away => return Ok(()),
            Fault::Killed => return state.kill().await,
            Fault::Silent => return std::future::pending().await,
            Fault::Stalled(time) => tokio::time::sleep(time).await,
            Fault::Held(_) if held => {
                // The sender lives as long as the proxy.
                let _ = state.let_go.subscribe().wait_for(|go| *go).await;
            }
            Fault::Interrupted => state.signal("INT").await,
            Fault::Refused(code) => {
                refuse(&mut client, code).await?;
                continue;
            }
            Fault::WatchClosed => {
                client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n").await?;
                client.flush().await?;
                continue;
            }
            Fault::WatchExpired => {
                let event = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(410));
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
                    event.len()
                );
                client.write_all(head.as_bytes()).await?;
                client.flush().await?;
                continue;
            }
            _ => {}
        }
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(state.connect().await?),
        };
        let working = (!watches).then(|| UnderWay::begin(&state.under_way));
        server.write_all(&request.head).await?;
        server.write_all(&body).await?;
        server.flush().await?;
        let Some(mut answer) = Message::read(server).await? else {
            return Ok(());
        };
        if let Fault::Dated(seconds) = state.fault {
            answer.date(seconds);
        }
        match fault {
            Fault::DroppedAfter => return Ok(()),
            Fault::KilledAfter => return state.kill().await,
            Fault::RefusedAfter(code) => {
                answer.copy_body(server, &mut Vec::new()).await?;
                refuse(&mut client, code).await?;
                continue;
            }
            Fault::Cut => {
                client.write_all(&answer.head).await?;
                let mut part = [0; 16];
                let length = server.read(&mut part).await?;
                // One byte is always missing.
                client.write_all(&part[..length.saturating_sub(1)]).await?;
                return client.shutdown().await;
            }
            _ => {}
        }
        client.write_all(&answer.head).await?;
        let copied = answer.copy_body(server, &mut client).await;
        drop(working);
        client.flush().await?;
        copied?;
    }
    Ok(())
}

/// A request that the server is working on; dropped, it is done, however that came.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    async fn connect(&self) -> Result<BufReader<tokio_rustls::client::TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.upstream.ip());
        Ok(BufReader::new(self.connector.connect(name, stream).await?))
    }

    async fn signal(&self, name: &str) {
        while self.victim.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let process = self.victim.load(Ordering::SeqCst).to_string();
        // A process that is gone by itself is no failure of the signal.
        drop(
            Command::new("kill")
                .args([&format!("-{name}"), &process])
                .output(),
        );
    }

    /// Kills the client and says nothing more to it.
    async fn kill(&self) -> Result<()> {
        self.signal("KILL").await;
        Ok(())
    }
}

fn status(code: u16) -> String {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "Timeout",
    };
    serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "a fault"})
        .to_string()
}

async fn refuse(client: &mut (impl AsyncWrite + Unpin), code: u16) -> Result<()> {
    let body = status(code);
    let later = if code == 429 {
        "retry-after: 1\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {code} Fault\r\ncontent-type: application/json\r\n{later}content-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.flush().await
}

/// The head of a request or an answer.
struct Message {
    line: String,
    head: Vec<u8>,
    length: Length,
}

enum Length {
    Bytes(u64),
    Chunked,
}

impl Message {
    /// Reads a head; `None` at the end of the connection.
    async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Message>> {
        let (mut head, mut length) = (Vec::new(), Length::Bytes(0));
        loop {
            let start = head.len();
            if from.read_until(b'\n', &mut head).await? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&head[start..])
                .trim_end()
                .to_ascii_lowercase();
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = Length::Bytes(
                    bytes
                        .trim()
                        .parse()
                        .map_err(|_| Error::from(ErrorKind::InvalidData))?,
                );
            }
            if line == "transfer-encoding: chunked" {
                length = Length::Chunked;
            }
            if line.is_empty() {
                let line = String::from_utf8_lossy(&head)
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                return Ok(Some(Message { line, head, length }));
            }
        }
    }

    /// Moves the date of an answer.
    fn date(&mut self, seconds: i64) {
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let moved = |line: &str| {
            let date = line.strip_prefix("Date: ")?.trim_end();
            let date = jiff::fmt::rfc2822::DateTimeParser::new()
                .parse_timestamp(date)
                .ok()?;
            let date = date
                .checked_add(jiff::SignedDuration::from_secs(seconds))
                .ok()?;
            let date = jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&date)
                .ok()?;
            Some(format!("Date: {date}\r\n"))
        };
        self.head = head
            .split_inclusive('\n')
            .map(|line| moved(line).unwrap_or_else(|| line.to_owned()))
            .collect::<String>()
            .into();
    }

    /// Passes the body on as it comes.
    async fn copy_body(
        &self,
        from: &mut (impl AsyncBufRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<()> {
        match self.length {
            Length::Bytes(bytes) => copy(from, bytes, to).await,
            Length::Chunked => loop {
                let mut size = Vec::new();
                from.read_until(b'\n', &mut size).await?;
                let bytes = u64::from_str_radix(String::from_utf8_lossy(&size).trim(), 16)
                    .map_err(|_| Error::from(ErrorKind::InvalidData))?;
                to.write_all(&size).await?;
                // Each chunk ends with a line break of its own.
                copy(from, bytes + 2, to).await?;
                to.flush().await?;
                if bytes == 0 {
                    return Ok(());
                }
            },
        }
    }
}

async fn copy(
    from: &mut (impl AsyncBufRead + Unpin),
    bytes: u64,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    match tokio::io::copy(&mut from.take(bytes), to).await? {
        copied if copied == bytes => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}
