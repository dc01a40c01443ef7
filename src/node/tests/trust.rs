//! Trust of clients in servers, and of servers in clients.

use super::served::{Authority, NAME, Server};
use super::{ask, broken, plain, play};
use crate::node::*;
use http::Response;

/// Returns the fault of a client with these settings at a server with those of the authority.
async fn untrusted(authority: &Authority, security: Security) -> Fault {
    let server = Server::grpc(Some(authority.server(&["h2"])), play).await;
    let fault = ask(&Grpc::new(server.node(security)), "/t.T/Ask")
        .await
        .unwrap_err();
    assert!(server.calls().is_empty(), "{:?}", server.calls());
    assert_eq!(
        (fault.heard, fault.retry()),
        (Heard::No, Retry::No),
        "{fault:?}"
    );
    fault
}

#[tokio::test]
async fn a_missing_client_certificate_is_reported_though_it_shows_after_the_handshake() {
    let authority = Authority::new();
    let without = Security::Tls(Tls::new(&authority.pem, NAME, None).unwrap());
    let fault = untrusted(&authority, without).await;
    assert_eq!(broken(&fault).why, "the node requires a client certificate");

    let other = Authority::new();
    let (certificate, key) = other.sign("client");
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    let client = ClientCertificate {
        chain: &chain,
        key: &key,
    };
    let foreign = Security::Tls(Tls::new(&authority.pem, NAME, Some(client)).unwrap());
    let fault = untrusted(&authority, foreign).await;
    let why = &broken(&fault).why;
    assert!(
        why.starts_with("the node does not accept the client certificate"),
        "{why}"
    );
}

#[tokio::test]
async fn a_node_must_have_its_name_and_an_authority_that_is_trusted() {
    let authority = Authority::new();
    let other_name = Security::Tls(Tls::new(&authority.pem, "peer1.org1", None).unwrap());
    let fault = untrusted(&authority, other_name).await;
    let why = &broken(&fault).why;
    let expected = "the node's certificate is not for \"peer1.org1\" (it is for peer0.org1)";
    assert_eq!(why, expected);

    let stranger = Security::Tls(Tls::new(&Authority::new().pem, NAME, None).unwrap());
    let why = broken(&untrusted(&authority, stranger).await).why.clone();
    assert_eq!(
        why,
        "the node's certificate is signed by an unknown authority"
    );
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_reported_so() {
    let authority = Authority::new();
    let (server, _) = plain().await;
    let fault = ask(&Grpc::new(server.node(authority.client())), "/t.T/Ask")
        .await
        .unwrap_err();
    assert_eq!(broken(&fault).why, "the port does not speak TLS");

    let server = Server::rest(Some(authority.server(&["http/1.1"])), |_| {
        Response::default()
    })
    .await;
    let fault = ask(&Grpc::new(server.node(authority.client())), "/t.T/Ask")
        .await
        .unwrap_err();
    assert_eq!(broken(&fault).why, "the port does not speak gRPC");
}

#[test]
fn what_cannot_be_used_for_tls_is_reported_without_the_key() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("client");
    let (_, other_key) = authority.sign("client");
    let (chain, key, other_key) = (
        certificate.pem(),
        key.serialize_pem(),
        other_key.serialize_pem(),
    );
    let tls = |roots: &str, name: &str, chain: &str, key: &str| {
        Tls::new(roots, name, Some(ClientCertificate { chain, key }))
            .map(|_| ())
            .unwrap_err()
    };
    for (error, expected) in [
        (
            tls("", NAME, &chain, &key),
            "the PEM text has no TLS authority",
        ),
        (
            tls(&authority.pem, "a b", &chain, &key),
            "\"a b\" is not a valid name",
        ),
        (
            tls(&authority.pem, NAME, "x", &key),
            "the PEM text has no client certificate",
        ),
        (
            tls(&authority.pem, NAME, &chain, &chain),
            "the client's key is not a PEM private key",
        ),
        (
            tls(&authority.pem, NAME, &chain, &other_key),
            "the client's key does not belong to its certificate",
        ),
    ] {
        let report = format!("{error}\n{error:?}");
        assert!(report.contains(expected), "{report}");
        assert!(!report.contains("PRIVATE KEY"), "{report}");
    }
}
