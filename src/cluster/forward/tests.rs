use super::kubelet::{Forwards, Kubelet, pod};
use super::*;
use crate::error::Error;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn target() -> Target {
    Target {
        pod: "peer0-0".to_owned(),
        port: 7051,
    }
}

async fn refused(code: u16, body: impl ToString) -> ApiError {
    let kubelet = Kubelet::start(Forwards::Answer(code, body.to_string())).await;
    let cluster = kubelet.cluster().await;
    cluster.forward("org1", &target()).await.unwrap_err()
}

#[tokio::test]
async fn a_forward_carries_bytes_both_ways_until_the_pod_ends() {
    let pod = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = pod.local_addr().unwrap().port();
    let kubelet = Kubelet::start(Forwards::To(port)).await;
    let forward = kubelet
        .cluster()
        .await
        .forward("org1", &target())
        .await
        .unwrap();
    let (mut stream, _) = pod.accept().await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let expected = sent.clone();
    let echo = tokio::spawn(async move {
        let mut received = vec![0; 3_000_000];
        stream.read_exact(&mut received).await.unwrap();
        stream.write_all(&received).await.unwrap();
    });
    let (mut read, mut write) = tokio::io::split(forward);
    let up = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.flush().await.unwrap();
        write
    });
    let mut back = Vec::new();
    read.read_to_end(&mut back).await.unwrap();
    assert!(back == expected, "{} bytes came back", back.len());
    echo.await.unwrap();
    drop(up.await.unwrap());
}

#[tokio::test]
async fn the_forwarder_says_itself_why_it_ends() {
    let words = "error forwarding port 7051 to pod ab12: connection refused";
    let kubelet = Kubelet::start(Forwards::Words(words)).await;
    let mut forward = kubelet
        .cluster()
        .await
        .forward("org1", &target())
        .await
        .unwrap();
    let error = forward.read(&mut [0; 10]).await.unwrap_err();
    let ended: &ForwardEnded = error.get_ref().unwrap().downcast_ref().unwrap();
    assert_eq!(ended.0, words);
}

#[tokio::test]
async fn a_forward_that_is_dropped_closes_the_connection_in_the_pod() {
    let pod = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = pod.local_addr().unwrap().port();
    let kubelet = Kubelet::start(Forwards::To(port)).await;
    let forward = kubelet
        .cluster()
        .await
        .forward("org1", &target())
        .await
        .unwrap();
    let (mut stream, _) = pod.accept().await.unwrap();
    drop(forward);
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_pod_that_is_gone_is_distinguished_from_a_kubelet_that_is_not_reached() {
    let status = json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "pods \"peer0-0\" not found", "details": {"name": "peer0-0"}});
    for body in [
        status.to_string(),
        "pod not found (\"peer0-0_org1\")\n".to_owned(),
    ] {
        let error = refused(404, &body).await;
        assert_eq!(error.kind, ApiErrorKind::NotFound, "{body}");
        assert!(error.message.contains("not found"), "{error}");
        assert_eq!(error.request, "forward port 7051 of Pod org1/peer0-0");
    }
    let message = "error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused";
    let status = json!({"kind": "Status", "code": 500, "message": message});
    let error = refused(500, status).await;
    assert_eq!(error.kind, ApiErrorKind::Unavailable);
    assert_eq!(error.message, message);
}

#[tokio::test]
async fn a_refusal_without_a_reason_names_the_missing_verb() {
    let status =
        json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "unknown"});
    let error = refused(403, status).await;
    assert_eq!(error.kind, ApiErrorKind::Forbidden);
    let report = Error::from(error).to_string();
    for part in [
        "you have no permission to create pods/portforward in namespace \"org1\"",
        "needs the verbs get and create on pods/portforward",
        "`kubectl auth can-i create pods --subresource=portforward -n org1`",
    ] {
        assert!(report.contains(part), "{report}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_switch_the_protocol_is_an_error() {
    let error = refused(200, "{}").await;
    assert!(
        error.message.ends_with("does not switch the protocol"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_leads_to_a_pod_that_is_ready_and_stays() {
    let kubelet = Kubelet::start(Forwards::Silence).await;
    let cluster = kubelet.cluster().await;
    let mut ending = pod("peer0-0", true);
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let waiting = pod("peer0-1", false);
    *kubelet.pods.lock().unwrap() = vec![waiting.clone(), pod("peer0-2", true), ending.clone()];
    for (port, target) in [(7051, 17051), (9443, 19443), (8443, 8443)] {
        let found = cluster.ready_pod("org1", "peer0", port).await.unwrap();
        assert_eq!((found.pod.as_str(), found.port), ("peer0-2", target));
    }
    let selected = kubelet.seen.lock().unwrap()[1].clone();
    assert!(
        selected.contains("labelSelector=app%3Dpeer0%2Cline%3D2.5"),
        "{selected}"
    );

    *kubelet.pods.lock().unwrap() = vec![waiting, ending];
    let error = cluster.ready_pod("org1", "peer0", 7051).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unavailable);
    assert_eq!(
        error.message,
        "none of its pods is ready (peer0-0: it is being deleted; peer0-1: it is starting)"
    );
    let error = cluster.ready_pod("org1", "peer9", 7051).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotFound);
}
