//! A test server with scripted responses in order, for faults that a real API server cannot produce
//! on demand.

use super::{Cluster, Connection, retry::Policy, session::Session, transport::Transport};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The server's reaction to one request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A complete response: status code, additional headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection without a response.
    Close,
    /// Keeps the connection open without a response.
    Stall,
    /// Sends the head of a response and half of its body, then closes.
    Cut,
    /// A watch: sends these lines, then ends the response or stays silent.
    Watch(Vec<String>, After),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum After {
    End,
    Silence,
}

impl Reply {
    pub fn ok(body: impl ToString) -> Reply {
        Reply::Answer(200, Vec::new(), body.to_string())
    }

    pub fn code(code: u16) -> Reply {
        Reply::Answer(code, Vec::new(), "{}".to_owned())
    }

    pub fn status(code: u16, reason: &str, message: &str) -> Reply {
        let status = serde_json::json!({"kind": "Status", "code": code, "reason": reason, "message": message, "details": {"name": "x"}});
        Reply::Answer(code, Vec::new(), status.to_string())
    }

    pub fn header(self, name: &'static str, value: impl ToString) -> Reply {
        match self {
            Reply::Answer(code, mut headers, body) => {
                headers.push((name, value.to_string()));
                Reply::Answer(code, headers, body)
            }
            other => other,
        }
    }
}

pub(crate) struct Scripted {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// Returns a policy with short times, so that tests of timeouts are fast.
pub(crate) fn impatient() -> Policy {
    Policy {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(5),
        total: Duration::from_secs(20),
        attempt: Duration::from_secs(20),
        ..Policy::default()
    }
}

impl Scripted {
    /// Serves the replies in order, one per request on any connection. After the last one, closes
    /// connections.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let url = format!(
            "http://{}",
            listener
                .local_addr()
                .expect("a bound listener has an address")
        );
        let replies: Arc<Mutex<VecDeque<Reply>>> =
            Arc::new(Mutex::new(replies.into_iter().collect()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, replies.clone(), log.clone()));
            }
        });
        Scripted { url, seen }
    }

    /// Returns the requests so far: `GET /path?query`, then the headers, an empty line and the
    /// body.
    pub fn seen(&self) -> Vec<String> {
        self.seen
            .lock()
            .expect("no test panics with the log in hand")
            .clone()
    }

    /// Returns the first lines of the requests so far.
    pub fn lines(&self) -> Vec<String> {
        let line = |request: &String| {
            request
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches(" HTTP/1.1")
                .to_owned()
        };
        self.seen().iter().map(line).collect()
    }

    pub async fn cluster(&self, policy: Policy) -> Cluster {
        self.cluster_of(Connection::default(), policy).await
    }

    pub async fn cluster_of(&self, connection: Connection, policy: Policy) -> Cluster {
        let connection = Connection {
            server: Some(self.url.clone()),
            ..connection
        };
        let nothing = |name: &str| (name == "HOME").then(|| "/nonexistent".into());
        let session = Session::open(&connection, &nothing)
            .await
            .expect("a URL is enough");
        Cluster::over(Transport::new(session, policy, connection.request_timeout))
    }
}

async fn serve(
    mut stream: TcpStream,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        log.lock()
            .expect("no test panics with the log in hand")
            .push(request);
        let reply = replies
            .lock()
            .expect("no test panics with the script in hand")
            .pop_front();
        match reply {
            None | Some(Reply::Close) => return,
            Some(Reply::Stall) => std::future::pending().await,
            Some(Reply::Cut) => {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"kind\": ")
                    .await;
                return;
            }
            Some(Reply::Answer(code, headers, body)) => {
                let mut head = format!(
                    "HTTP/1.1 {code} Some\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
                    body.len()
                );
                headers
                    .iter()
                    .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
                if stream
                    .write_all(format!("{head}\r\n{body}").as_bytes())
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Some(Reply::Watch(lines, after)) => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
                let chunk = |line: &String| format!("{:x}\r\n{line}\r\n", line.len());
                let _ = stream
                    .write_all((head + &lines.iter().map(chunk).collect::<String>()).as_bytes())
                    .await;
                match after {
                    After::Silence => std::future::pending().await,
                    After::End => {
                        let _ = stream.write_all(b"0\r\n\r\n").await;
                    }
                }
            }
        }
    }
}

pub(super) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
}
