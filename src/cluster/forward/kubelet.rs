//! An API server for tests that forwards pod ports like a kubelet, with faults that a real node
//! cannot produce on demand.

use crate::cluster::{
    Cluster,
    scripted::{Scripted, impatient, read_request},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// The behaviour of a forward.
#[derive(Clone)]
pub(crate) enum Forwards {
    /// It connects to this loopback port.
    To(u16),
    /// It is opened, and the forwarder fails with this message.
    Words(&'static str),
    /// It is not opened: code and body of the response.
    Answer(u16, String),
    /// It is opened, but receives nothing.
    Silence,
}

/// The Service `org1/peer0` with the port 7051 and its pods, `peer0-0` by default.
pub(crate) struct Kubelet {
    url: String,
    pub pods: Arc<Mutex<Vec<Value>>>,
    /// The first lines of the requests.
    pub seen: Arc<Mutex<Vec<String>>>,
}

/// A pod with a named port, ready or not.
pub(crate) fn pod(name: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "org1"},
        "spec": {"containers": [{"name": "peer", "ports": [{"name": "grpc", "containerPort": 17051}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

impl Kubelet {
    pub async fn start(forwards: Forwards) -> Kubelet {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubelet = Kubelet {
            url: format!("http://{}", listener.local_addr().unwrap()),
            pods: Arc::new(Mutex::new(vec![pod("peer0-0", true)])),
            seen: Arc::default(),
        };
        let (pods, seen) = (kubelet.pods.clone(), kubelet.seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, forwards.clone(), pods.clone(), seen.clone()));
            }
        });
        kubelet
    }

    pub async fn cluster(&self) -> Cluster {
        let mut server = Scripted::start([]).await;
        server.url = self.url.clone();
        server.cluster(impatient()).await
    }
}

async fn serve(
    mut stream: TcpStream,
    forwards: Forwards,
    pods: Arc<Mutex<Vec<Value>>>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let line = request
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches(" HTTP/1.1");
        seen.lock().unwrap().push(line.to_owned());
        let path = line.split(' ').nth(1).unwrap_or_default();
        let (code, body) = if path.ends_with("/services/peer0") {
            let ports =
                json!([{"port": 7051, "targetPort": "grpc"}, {"port": 9443, "targetPort": 19443}]);
            let spec = json!({"selector": {"app": "peer0", "line": "2.5"}, "ports": ports});
            (200, json!({"kind": "Service", "spec": spec}).to_string())
        } else if path.contains("/pods?") {
            let items = pods.lock().unwrap().clone();
            (
                200,
                json!({"kind": "PodList", "items": items, "metadata": {}}).to_string(),
            )
        } else if path.ends_with("/selfsubjectaccessreviews") {
            let allowed = request.contains("\"verb\":\"get\"");
            (201, json!({"status": {"allowed": allowed}}).to_string())
        } else if path.contains("/portforward?") {
            match &forwards {
                Forwards::Answer(code, body) => (*code, body.clone()),
                forwards => return forward(stream, &request, forwards).await,
            }
        } else {
            let details = json!({"name": "x"});
            (
                404,
                json!({"kind": "Status", "code": 404, "reason": "NotFound", "details": details})
                    .to_string(),
            )
        };
        let head = format!(
            "HTTP/1.1 {code} Some\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn forward(mut stream: TcpStream, request: &str, forwards: &Forwards) {
    let header = |name: &str| {
        let line = |line: &str| line.strip_prefix(name).map(str::to_owned);
        request.lines().find_map(line).unwrap_or_default()
    };
    assert_eq!(header("sec-websocket-protocol: "), "v4.channel.k8s.io");
    let text = header("sec-websocket-key: ") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let accept = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, accept);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: v4.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    let port: u16 = request
        .split("ports=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let (mut sink, mut frames) = WebSocketStream::from_raw_socket(stream, Role::Server, None)
        .await
        .split();
    for channel in [0, 1] {
        let [low, high] = port.to_le_bytes();
        sink.send(frame(channel, &[low, high])).await.unwrap();
    }
    match forwards {
        Forwards::Words(words) => {
            sink.send(frame(1, words.as_bytes())).await.unwrap();
            let _ = sink.close().await;
        }
        Forwards::To(port) => {
            let pod = TcpStream::connect(("127.0.0.1", *port)).await.unwrap();
            let (mut from_pod, mut to_pod) = pod.into_split();
            let up = async {
                while let Some(Ok(Message::Binary(bytes))) = frames.next().await {
                    assert_eq!(bytes[0], 0, "data alone");
                    if to_pod.write_all(&bytes[1..]).await.is_err() {
                        break;
                    }
                }
            };
            let down = async {
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(length @ 1..) = from_pod.read(&mut buffer).await {
                    if sink.send(frame(0, &buffer[..length])).await.is_err() {
                        break;
                    }
                }
                let _ = sink.close().await;
            };
            tokio::select! { () = up => {}, () = down => {} }
        }
        _ => std::future::pending().await,
    }
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    Message::Binary(Bytes::from([&[channel], bytes].concat()))
}
