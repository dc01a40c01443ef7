//! A connection to a port of a pod, through the API server and the node's kubelet, which opens it
//! within the pod's own network namespace.
//!
//! One WebSocket carries one port. Channel 0 carries the bytes, channel 1 the forwarder's error
//! message. Each begins with the port's number (kubelet's
//! `pkg/cri/streaming/portforward/websocket.go`). The protocol does not support half-closed
//! connections.

#[cfg(test)]
pub(crate) mod kubelet;
mod stream;
#[cfg(test)]
mod tests;

use super::{
    ApiError, ApiErrorKind, ApiResult, Cluster, Kind, ROLES, can_i,
    requests::{self, Call},
    retry::Repeat,
};
use crate::manifest::{
    ObjectKey,
    readiness::{Readiness, readiness},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand::{SecureRandom, SystemRandom},
};
use serde_json::Value;
pub use stream::{Forward, ForwardEnded};

/// Kubernetes' name for the protocol above (apimachinery's `remotecommand.StreamProtocolV4Name`).
const PROTOCOL: &str = "v4.channel.k8s.io";
/// The string that the server appends to the key (RFC 6455).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A port of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub pod: String,
    pub port: u16,
}

impl Cluster {
    /// Returns a pod behind a Service's port: a ready one that is not being deleted.
    ///
    /// A port that the Service does not list counts as a port of the pod.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such Service, `Unavailable` if none of its pods is ready, with
    /// each pod's reason.
    pub async fn ready_pod(&self, namespace: &str, service: &str, port: u16) -> ApiResult<Target> {
        let words = format!("find a pod of Service {namespace}/{service}");
        let key = ObjectKey {
            group: String::new(),
            kind: "Service".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: service.to_owned(),
        };
        let Some(found) = self.get("v1", &key).await? else {
            let message =
                format!("Service \"{service}\" does not exist in namespace \"{namespace}\"");
            return Err(ApiError::local(ApiErrorKind::NotFound, &words, message));
        };
        let Some(selector) = selector(&found) else {
            let message = "the Service selects no pods".to_owned();
            return Err(ApiError::local(ApiErrorKind::Invalid, &words, message));
        };
        let pods = Kind {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
        };
        let mut pods = self.list(&pods, Some(namespace), &selector).await?;
        pods.sort_by(|one, other| name(one).cmp(name(other)));
        let mut reasons = Vec::new();
        for pod in &pods {
            match readiness(pod) {
                Readiness::Ready if pod["status"]["phase"] == "Running" => {
                    return Ok(Target {
                        pod: name(pod).to_owned(),
                        port: port_of(&found, pod, port),
                    });
                }
                Readiness::Ready => reasons.push(format!("{} has ended", name(pod))),
                Readiness::Waiting(why) | Readiness::Failed(why) => {
                    reasons.push(format!("{}: {why}", name(pod)));
                }
            }
        }
        let message = match reasons.is_empty() {
            true => "it has no pods".to_owned(),
            false => format!("none of its pods is ready ({})", reasons.join("; ")),
        };
        Err(ApiError::local(ApiErrorKind::Unavailable, &words, message))
    }

    /// Opens a connection to a port of a pod. Dropping it closes it.
    ///
    /// If nothing listens on the port, the first read fails with an [`io::Error`] that contains
    /// [`ForwardEnded`].
    ///
    /// # Errors
    ///
    /// `NotFound`: there is no such pod, or it is gone from its node. `Unavailable`: the API server
    /// cannot reach the node's kubelet (`error dialing backend`). `Forbidden` names the missing
    /// verb. The first two may be temporary while a pod starts or moves.
    pub async fn forward(&self, namespace: &str, target: &Target) -> ApiResult<Forward> {
        let Target { pod, port } = target;
        let words = format!("forward port {port} of Pod {namespace}/{pod}");
        let path = requests::path("v1", "pods", Some(namespace), Some(pod));
        let key = key();
        let call = Call {
            headers: headers(&key),
            ..Call::get("forward", format!("{path}/portforward?ports={port}"), words)
        };
        let call = self.own(call.repeat(Repeat::IfUnheard).accept("*/*"));
        let (answer, upgraded) = match self.inner.transport.upgrade(&call).await {
            Ok(opened) => opened,
            Err(error) => return Err(self.explain(error, namespace).await),
        };
        if answer.get(header::SEC_WEBSOCKET_ACCEPT) != Some(&accepted(&key)) {
            let message = "the server does not speak WebSocket";
            return Err(ApiError::local(ApiErrorKind::Other, &call.words, message));
        }
        Ok(Forward::over(upgraded).await)
    }

    async fn explain(&self, error: ApiError, namespace: &str) -> ApiError {
        match error.kind {
            // The kubelet responds in plain text, without a Status.
            ApiErrorKind::UnknownKind => ApiError {
                kind: ApiErrorKind::NotFound,
                ..error
            },
            // If only one of the two verbs is missing, the server gives no reason.
            ApiErrorKind::Forbidden if error.denial().is_none() => {
                self.name_the_missing_verb(error, namespace).await
            }
            _ => error,
        }
    }

    async fn name_the_missing_verb(&self, error: ApiError, namespace: &str) -> ApiError {
        let mut missing = Vec::new();
        for verb in ["get", "create"] {
            let asked = self.can_i(verb, "", "pods/portforward", Some(namespace), None);
            if matches!(asked.await, Ok(false)) {
                missing.push(verb);
            }
        }
        let needs = "a forward needs the verbs get and create on pods/portforward";
        let (message, verb) = match missing[..] {
            [] => (format!("{} ({needs})", error.message), "create"),
            [verb, ..] => {
                let missing = missing.join(" and ");
                let place = format!("in namespace \"{namespace}\"");
                (
                    format!(
                        "you have no permission to {missing} pods/portforward {place}: {needs}"
                    ),
                    verb,
                )
            }
        };
        let check = can_i(verb, "pods/portforward", Some(namespace));
        ApiError {
            message,
            hint: Some(format!(
                "ask for this permission; check with `{check}`. {ROLES}"
            )),
            ..error
        }
    }
}

/// The label selector of a Service.
fn selector(service: &Value) -> Option<String> {
    let labels = service["spec"]["selector"].as_object()?.iter();
    let labels: Vec<String> = labels
        .filter_map(|(label, value)| Some(format!("{label}={}", value.as_str()?)))
        .collect();
    (!labels.is_empty()).then(|| labels.join(","))
}

/// The port of a pod behind a port of its Service, whose target may be a number or the name of a
/// container's port.
fn port_of(service: &Value, pod: &Value, port: u16) -> u16 {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let listed = items(&service["spec"]["ports"]);
    let target = listed
        .iter()
        .find(|listed| number(&listed["port"]) == Some(port))
        .map(|listed| &listed["targetPort"]);
    let found = match target {
        Some(Value::String(wanted)) => items(&pod["spec"]["containers"])
            .iter()
            .flat_map(|container| items(&container["ports"]))
            .find(|port| port["name"] == wanted.as_str())
            .and_then(|port| number(&port["containerPort"])),
        target => target.and_then(number),
    };
    found.unwrap_or(port)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A random key that ties the server's response to this request (RFC 6455, 4.1).
fn key() -> String {
    let mut nonce = [0; 16];
    // Only a cache in between could notice that it is not random.
    let _ = SystemRandom::new().fill(&mut nonce);
    BASE64_STANDARD.encode(nonce)
}

/// Returns the server's response to the key.
fn accepted(key: &str) -> HeaderValue {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    HeaderValue::try_from(BASE64_STANDARD.encode(digest)).expect("base64 is ASCII")
}

fn headers(key: &str) -> HeaderMap {
    let key = HeaderValue::try_from(key).expect("base64 is ASCII");
    HeaderMap::from_iter([
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        ),
        (header::SEC_WEBSOCKET_KEY, key),
        (
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(PROTOCOL),
        ),
    ])
}
