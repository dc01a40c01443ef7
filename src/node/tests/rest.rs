//! Channel participation by REST.

use super::broken;
use super::served::{Authority, NAME, Server};
use crate::node::*;
use bytes::Bytes;
use http::{Request, Response};
use std::time::Duration;

/// An orderer's admin port.
fn participation(request: &Request<Bytes>) -> Response<Bytes> {
    let answer = |code: u16, body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Response::builder().status(code).body(body).unwrap()
    };
    let info = r#"{"name": "a", "url": "/participation/v1/channels/a", "consensusRelation": "consenter", "status": "active", "height": 1}"#;
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/participation/v1/channels") => answer(
            200,
            r#"{"systemChannel": null, "channels": [{"name": "a", "url": "x"}]}"#,
        ),
        ("GET", "/participation/v1/channels/a") => answer(200, info),
        ("GET", "/participation/v1/channels/a/blocks/config") => answer(200, "block"),
        ("DELETE", "/participation/v1/channels/a") => answer(204, ""),
        ("POST" | "PUT", "/participation/v1/channels") => {
            let content = request.headers()["content-type"].to_str().unwrap();
            let boundary = content
                .strip_prefix("multipart/form-data; boundary=")
                .unwrap();
            let field = match request.method().as_str() {
                "POST" => "config-block",
                _ => "config-update-envelope",
            };
            let expected = [
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{field}\"\r\n").as_bytes(),
                b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--x\r\n",
                format!("--{boundary}--\r\n").as_bytes(),
            ]
            .concat();
            match request.body() == &expected[..] {
                true => answer(201, info),
                false => answer(405, r#"{"error": "cannot join: channel already exists"}"#),
            }
        }
        _ => answer(404, r#"{"error": "channel does not exist"}"#),
    }
}

#[tokio::test]
async fn an_orderer_is_joined_to_channels_by_rest_with_a_client_certificate() {
    let authority = Authority::new();
    let server = Server::rest(Some(authority.server(&[])), participation).await;
    let admin = Rest::new(server.node(authority.client()));
    assert_eq!(admin.channels().await.unwrap(), ["a"]);
    let file = b"\x00\xff\r\n--x";
    let info = admin.join(file).await.unwrap();
    assert_eq!(
        (info.consensus_relation.as_str(), info.height),
        ("consenter", 1)
    );
    assert_eq!(admin.update(file).await.unwrap(), info);
    assert_eq!(admin.channel("a").await.unwrap(), Some(info));
    assert_eq!(admin.channel("b/../a").await.unwrap(), None);
    assert_eq!(admin.block("a", "config").await.unwrap().unwrap(), "block");
    assert!(admin.remove("a").await.unwrap() && !admin.remove("b").await.unwrap());
    let fault = admin.join(b"other").await.unwrap_err();
    let refusal = fault.refusal().unwrap();
    assert_eq!(refusal.status, Status::Http(405));
    assert_eq!(refusal.message, "cannot join: channel already exists");
    assert_eq!(server.connections(), 1);
    assert!(
        server
            .calls()
            .contains(&"GET /participation/v1/channels/b%2F..%2Fa".to_owned())
    );

    let stranger = Security::Tls(Tls::new(&authority.pem, NAME, None).unwrap());
    let fault = Rest::new(server.node(stranger))
        .channels()
        .await
        .unwrap_err();
    assert_eq!(broken(&fault).why, "the node requires a client certificate");
    assert_eq!((fault.heard, fault.retry()), (Heard::No, Retry::No));
}

#[tokio::test]
async fn rest_calls_wait_their_turn_and_outlive_a_connection_that_ended() {
    let server = Server::rest(None, participation).await;
    let admin = Rest::new(server.node(Security::Plain));
    for read in futures::future::join_all((0..20).map(|_| admin.channels())).await {
        assert_eq!(read.unwrap(), ["a"]);
    }
    assert_eq!((server.connections(), server.calls().len()), (1, 20));
    server.cut();
    server.ended.notified().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    admin.channels().await.unwrap();
    assert_eq!(server.connections(), 2);
}
