//! Calls over real TLS, HTTP/2 and HTTP/1.1, and all their failures.

mod rest;
pub(crate) mod served;
mod trust;

use super::*;
use crate::cluster::kubelet::{Forwards, Kubelet};
use crate::error::{Error, Kind};
use bytes::Bytes;
use prost::Message;
use served::{Authority, NAME, Play, SHORT, Server, framed};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(bytes = "bytes", tag = "1")]
    text: Bytes,
}

fn text(text: &'static str) -> Text {
    Text { text: text.into() }
}

fn large(length: usize) -> Text {
    Text {
        text: vec![b'x'; length].into(),
    }
}

fn answer(message: &Text) -> Play {
    Play::Answer(vec![message.encode_to_vec().into()])
}

/// The behaviour of most test servers, by method.
fn play(method: &str) -> Play {
    match method {
        "Ask" => answer(&text("answered")),
        "Echo" => Play::Echo,
        "Silence" => Play::Silence,
        "Cut" => Play::Cut,
        "Refuse" => Play::Refuse(
            2,
            "access denied: channel [a] creator org [Org1MSP] 100%".into(),
        ),
        "RefuseAtLength" => Play::Refuse(2, "no ".repeat(50_000)),
        "Starting" => Play::Refuse(14, "starting".into()),
        "Nothing" => Play::Answer(Vec::new()),
        "Twice" => Play::Answer(vec![Bytes::new(), Bytes::new()]),
        "Garbage" => Play::Answer(vec![Bytes::from_static(b"\xff\xff\xff")]),
        "NoStatus" => Play::Raw(framed(b"")),
        "TooLarge" => Play::Raw(Bytes::from_static(b"\0\xff\0\0\0")),
        "Compressed" => Play::Raw(Bytes::from_static(b"\x01\0\0\0\x01x")),
        "Proxy" => Play::Http(502),
        other => panic!("{other}?"),
    }
}

/// A gRPC server behind TLS with client certificates, and calls to it.
async fn secured() -> (Server, Grpc) {
    let authority = Authority::new();
    let server = Server::grpc(Some(authority.server(&["h2"])), play).await;
    let calls = Grpc::new(server.node(authority.client()));
    (server, calls)
}

async fn plain() -> (Server, Grpc) {
    let server = Server::grpc(None, play).await;
    let calls = Grpc::new(server.node(Security::Plain));
    (server, calls)
}

async fn ask(calls: &Grpc, path: &'static str) -> Result<Text, Fault> {
    calls.unary(path, &text("asked")).await
}

fn broken(fault: &Fault) -> &Broken {
    match &fault.cause {
        Cause::Connection(broken) => broken,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_of_one_session_share_a_connection_that_both_sides_trust() {
    let (server, calls) = secured().await;
    let asked = futures::future::join_all((0..20).map(|_| ask(&calls, "/t.T/Ask"))).await;
    for answer in asked {
        assert_eq!(answer.unwrap(), text("answered"));
    }
    assert_eq!((server.connections(), server.calls().len()), (1, 20));
    assert_eq!(server.calls()[0], "/t.T/Ask 7", "the message's bytes came");
    let (server, calls) = plain().await;
    ask(&calls, "/t.T/Ask").await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn after_a_deadline_the_next_call_connects_again() {
    let (server, calls) = secured().await;
    ask(&calls, "/t.T/Ask").await.unwrap();
    let fault = ask(&calls.within(SHORT), "/t.T/Silence").await.unwrap_err();
    assert!(
        matches!(fault.cause, Cause::Deadline(after) if after == SHORT.call),
        "{fault:?}"
    );
    assert_eq!(
        (fault.heard, fault.retry()),
        (Heard::Maybe, Retry::AskFirst)
    );
    server.ended.notified().await;
    ask(&calls, "/t.T/Ask").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_address_that_never_answers_costs_all_callers_one_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node {
        name: NAME.to_owned(),
        route: Route::Exposed(silent.local_addr().unwrap().to_string().parse().unwrap()),
        security: Authority::new().client(),
    };
    let calls = Grpc::new(node).within(SHORT);
    let all = futures::future::join_all((0..50).map(|_| ask(&calls, "/t.T/Ask")));
    for failed in timeout(SHORT.connect * 20, all).await.unwrap() {
        let fault = failed.unwrap_err();
        assert!(matches!(fault.cause, Cause::Deadline(_)), "{fault:?}");
        assert_eq!((fault.heard, fault.retry()), (Heard::No, Retry::Soon));
    }
}

#[tokio::test]
async fn a_connection_cut_in_a_call_leaves_open_what_became_of_it() {
    let (server, calls) = secured().await;
    let fault = ask(&calls, "/t.T/Cut").await.unwrap_err();
    assert_eq!(
        (fault.heard, fault.retry()),
        (Heard::Maybe, Retry::AskFirst),
        "{fault:?}"
    );
    assert!(fault.refusal().is_none());
    let report = Error::from(fault);
    assert_eq!(report.state(), Some("the node may have executed the call"));
    ask(&calls, "/t.T/Ask").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_ended_between_calls_is_made_again_unseen() {
    let (server, calls) = secured().await;
    for _ in 0..3 {
        ask(&calls, "/t.T/Ask").await.unwrap();
        server.cut();
        server.ended.notified().await;
        // The end of the connection takes a moment to arrive over loopback.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.connections(), server.calls().len()), (3, 3));
}

#[tokio::test]
async fn a_refused_connection_is_reported_at_once_and_worth_another_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    for (route, hint) in [
        (
            Route::Exposed(address.clone()),
            "check that the node is running",
        ),
        (Route::InCluster(address.clone()), "network policies"),
    ] {
        let node = Node {
            name: NAME.to_owned(),
            route,
            security: Security::Plain,
        };
        let fault = ask(&Grpc::new(node), "/t.T/Ask").await.unwrap_err();
        assert_eq!(
            broken(&fault).why,
            format!("cannot reach {address}: connection refused")
        );
        assert!(broken(&fault).hint.unwrap().contains(hint));
        assert_eq!(fault.retry(), Retry::Soon);
    }
}

#[tokio::test]
async fn a_refusal_is_the_nodes_word_and_never_a_broken_connection() {
    let (server, calls) = secured().await;
    let fault = ask(&calls, "/t.T/Refuse").await.unwrap_err();
    let refusal = fault.refusal().unwrap();
    assert_eq!(refusal.status, Status::Grpc(2));
    assert_eq!(
        refusal.message,
        "access denied: channel [a] creator org [Org1MSP] 100%"
    );
    assert_eq!((fault.heard, fault.retry()), (Heard::Yes, Retry::No));
    assert_eq!(
        fault.to_string(),
        "cannot call t.T/Refuse of peer0.org1: access denied: channel [a] creator org [Org1MSP] 100% (Unknown)"
    );
    let fault = ask(&calls, "/t.T/RefuseAtLength").await.unwrap_err();
    assert_eq!(fault.refusal().unwrap().message.len(), 150_000);
    assert_eq!(
        ask(&calls, "/t.T/Starting").await.unwrap_err().retry(),
        Retry::Soon
    );
    assert_eq!(server.connections(), 1, "a refusal ends no connection");
}

#[tokio::test]
async fn an_answer_that_breaks_the_protocol_is_no_refusal() {
    let (_server, calls) = plain().await;
    for (path, why) in [
        ("/t.T/Nothing", "it has no message"),
        ("/t.T/Twice", "it has more than one message"),
        (
            "/t.T/TooLarge",
            "it has a message of 4278190080 bytes; the limit is 104857600",
        ),
        (
            "/t.T/Compressed",
            "it is compressed, but compression was not requested",
        ),
    ] {
        let fault = ask(&calls, path).await.unwrap_err();
        assert!(
            matches!(&fault.cause, Cause::Unreadable(said) if said == why),
            "{fault:?}"
        );
        assert_eq!(fault.retry(), Retry::No);
    }
    let fault = ask(&calls, "/t.T/Garbage").await.unwrap_err();
    assert!(matches!(fault.cause, Cause::Unreadable(_)), "{fault:?}");
    let fault = ask(&calls, "/t.T/NoStatus").await.unwrap_err();
    assert_eq!(broken(&fault).why, "the response ended without a status");
    assert_eq!(fault.retry(), Retry::AskFirst);
    let fault = ask(&calls, "/t.T/Proxy").await.unwrap_err();
    assert_eq!(broken(&fault).why, "the response is not gRPC (HTTP 502)");
}

#[tokio::test]
async fn a_message_of_99_mib_passes_both_ways_and_one_of_101_is_not_sent() {
    let (server, calls) = secured().await;
    let message = large(99 << 20);
    let back: Text = calls.unary("/t.T/Echo", &message).await.unwrap();
    assert!(back == message);
    let fault = calls
        .unary::<Text>("/t.T/Echo", &large(101 << 20))
        .await
        .unwrap_err();
    assert!(matches!(fault.cause, Cause::TooLarge(_)), "{fault}");
    assert_eq!((server.calls().len(), fault.retry()), (1, Retry::No));
    assert_eq!(Error::from(fault).kind(), Kind::User);
}

#[tokio::test]
async fn an_exchange_sends_and_reads_until_both_sides_are_done() {
    let (_server, calls) = secured().await;
    let mut exchange: Exchange<Text, Text> = calls.open("/t.T/Echo").await.unwrap();
    for said in ["a", "b", "c"] {
        exchange.send(&text(said)).await.unwrap();
        assert_eq!(exchange.next().await.unwrap(), Some(text(said)));
    }
    exchange.finish();
    assert_eq!(exchange.next().await.unwrap(), None);
    assert_eq!(exchange.next().await.unwrap(), None);
    exchange.send(&text("late")).await.unwrap_err();
}

#[tokio::test]
async fn an_exchange_ends_with_a_refusal_a_deadline_or_a_cut() {
    let (server, calls) = secured().await;
    let calls = calls.within(SHORT);
    for (path, retry) in [
        ("/t.T/Refuse", Retry::No),
        ("/t.T/Silence", Retry::AskFirst),
        ("/t.T/Cut", Retry::AskFirst),
    ] {
        let mut exchange: Exchange<Text, Text> = calls.open(path).await.unwrap();
        exchange.send(&text("a")).await.unwrap();
        let fault = exchange.next().await.unwrap_err();
        assert_eq!(fault.retry(), retry, "{fault:?}");
        assert_eq!(exchange.next().await.unwrap(), None);
    }
    ask(&calls, "/t.T/Ask").await.unwrap();
    assert_eq!(
        server.connections(),
        3,
        "one more after the silence and after the cut"
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_with_its_session_closes_the_connection() {
    let (server, calls) = secured().await;
    let call = tokio::spawn(async move { ask(&calls, "/t.T/Silence").await });
    while server.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    timeout(Duration::from_secs(20), server.ended.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_forwarded_port_carries_calls_and_the_faults_of_the_way_are_distinguished() {
    let authority = Authority::new();
    let server = Server::grpc(Some(authority.server(&["h2"])), play).await;
    let through = async |forwards| {
        let cluster = Kubelet::start(forwards).await.cluster().await;
        let route = Route::Forward {
            cluster,
            namespace: "org1".to_owned(),
            service: "peer0".to_owned(),
            port: 7051,
        };
        let calls = Grpc::new(Node {
            name: NAME.to_owned(),
            route,
            security: authority.client(),
        });
        let asked = ask(&calls, "/t.T/Ask").await;
        asked.map(|answer| (answer, calls))
    };
    let (answer, calls) = through(Forwards::To(server.address.port)).await.unwrap();
    assert_eq!(answer, text("answered"));
    let message = large(20 << 20);
    assert!(calls.unary::<Text>("/t.T/Echo", &message).await.unwrap() == message);
    assert_eq!(server.connections(), 1);

    let words = "error forwarding port 7051: dial tcp4 127.0.0.1:7051: connect: connection refused";
    let fault = through(Forwards::Words(words)).await.unwrap_err();
    assert_eq!(
        broken(&fault).why,
        format!("the forwarded connection ended: {words}")
    );
    assert_eq!((fault.heard, fault.retry()), (Heard::No, Retry::Soon));

    let forbidden = r#"{"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}"#;
    let fault = through(Forwards::Answer(403, forbidden.to_owned()))
        .await
        .unwrap_err();
    assert!(matches!(fault.cause, Cause::Forbidden(_)), "{fault:?}");
    assert_eq!(fault.retry(), Retry::No);
    let report = Error::from(fault).to_string();
    assert!(
        report.starts_with(
            "cannot call t.T/Ask of peer0.org1\nwhy: cannot forward port 17051 of Pod org1/peer0-0"
        ),
        "{report}"
    );

    let gone = "pod not found (\"peer0-0_org1\")".to_owned();
    let fault = through(Forwards::Answer(404, gone)).await.unwrap_err();
    assert_eq!(
        (fault.heard, fault.retry()),
        (Heard::No, Retry::Soon),
        "{fault:?}"
    );
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for text in ["peer0.example.com:443", "10.0.0.1:7051", "[fd00::1]:7051"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    for wrong in [
        "peer0",
        ":7051",
        "peer0:0",
        "peer0:70000",
        "https://peer0:1",
        "fd00::1:7051",
        "[peer0]:1",
        "a b:1",
    ] {
        let error = wrong.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("HOST:PORT"), "{wrong}: {error}");
    }
}

#[test]
fn orderers_that_have_no_leader_yet_are_worth_another_attempt() {
    let fault = |status| Fault {
        node: "orderer0.orgorderer1".to_owned(),
        call: "orderer.AtomicBroadcast/Broadcast".to_owned(),
        cause: Cause::Refused(Refusal {
            status,
            message: "no Raft leader".to_owned(),
        }),
        heard: Heard::Yes,
    };
    for (status, retry) in [
        (Status::Fabric(503), Retry::Soon),
        (Status::Fabric(404), Retry::No),
        (Status::Fabric(403), Retry::No),
        (Status::Fabric(400), Retry::No),
        (Status::Grpc(14), Retry::Soon),
        (Status::Grpc(2), Retry::No),
        (Status::Http(503), Retry::No),
        (Status::Http(409), Retry::No),
    ] {
        assert_eq!(fault(status).retry(), retry, "{status}");
    }
    let report = Error::from(fault(Status::Fabric(503))).to_string();
    assert_eq!(
        report,
        "cannot call orderer.AtomicBroadcast/Broadcast of orderer0.orgorderer1: the node rejects it\n\
         why: no Raft leader (503 SERVICE_UNAVAILABLE)"
    );
    assert!(Refusal::fabric(404, "").is_not_found() && Refusal::fabric(403, "").is_forbidden());
}
