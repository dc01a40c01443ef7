//! Finds in a pod's status why the pod is not ready, and how likely it is to recover.

use super::readiness::{conditions, number, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How certain it is that a pod will not recover by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Likely to pass: starting, pulling, not scheduled yet.
    Passing,
    /// Final unless it passes within a grace period: an image that cannot be pulled.
    Lasting,
    /// A rule of the cluster forbids the pod. Changes of rules reach the API server with a short
    /// delay.
    Refused,
    /// Needs a change by the user.
    Final,
}

impl Severity {
    /// Returns how long a trouble of this severity may last before it is final, or `None` if it may
    /// last indefinitely.
    pub fn grace(self) -> Option<Duration> {
        match self {
            Severity::Passing => None,
            Severity::Lasting => Some(Duration::from_secs(30)),
            Severity::Refused => Some(Duration::from_secs(6)),
            Severity::Final => Some(Duration::ZERO),
        }
    }
}

/// The kind of trouble, which determines the hint and the events that explain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cause {
    #[default]
    Other,
    /// No node fits the pod.
    Unscheduled,
    /// Its volumes and network are being set up.
    Creating,
    /// An image cannot be pulled, and the pod's status does not give the reason.
    Pull,
    /// An image is not available.
    Image,
    /// The registry requires credentials, or rejects those that it got.
    Credentials,
    /// The pod exceeds a ResourceQuota.
    Quota,
    /// The namespace's Pod Security level forbids the pod.
    PodSecurity,
    /// A rule of the cluster or of the namespace forbids the pod.
    Rule,
}

impl Cause {
    /// Returns advice, if there is more to say than to fix the reported reason.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Cause::Other | Cause::Unscheduled | Cause::Creating | Cause::Rule => None,
            Cause::Pull | Cause::Image => Some(
                "check the image's name and tag, and its registry: value `image.registry`, or \
                 `image.repository` in chart chaincode",
            ),
            Cause::Credentials => Some(
                "check the Secrets in value `image.pullSecrets`, and the registry: value \
                 `image.registry`, or `image.repository` in chart chaincode",
            ),
            Cause::Quota => Some("request less in the values, or have the ResourceQuota raised"),
            Cause::PodSecurity => Some(
                "an administrator can change the Pod Security level of a namespace: `kubectl label \
                 --overwrite namespace NAME pod-security.kubernetes.io/enforce=LEVEL`",
            ),
        }
    }
}

/// Why a pod is not ready, with the most specific reason in its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    /// The severity if all restarts of the container count.
    pub severity: Severity,
    pub cause: Cause,
    /// The container whose log has details, and whether to read the log of its previous run.
    pub log: Option<(String, bool)>,
    /// Name and number of restarts of a crashing container.
    pub crashes: Option<(String, i64)>,
}

impl Trouble {
    pub(super) fn new(severity: Severity, cause: Cause, reason: String) -> Trouble {
        Trouble {
            reason,
            severity,
            cause,
            log: None,
            crashes: None,
        }
    }

    fn with_log(self, container: &str, previous: bool) -> Trouble {
        Trouble {
            log: Some((container.to_owned(), previous)),
            ..self
        }
    }

    /// Returns the severity if only restarts after `before` count.
    fn severity_since(&self, before: &Restarts) -> Severity {
        let since = |(container, restarts): &(String, i64)| {
            restarts - before.get(container).copied().unwrap_or(0)
        };
        self.crashes
            .as_ref()
            .map_or(self.severity, |crashes| given_up_after(since(crashes)))
    }
}

/// Number of restarts after which a crashing container counts as failed. The kubelet's back-off is
/// then at least 40 s.
const CRASHES: i64 = 3;

fn given_up_after(restarts: i64) -> Severity {
    if restarts >= CRASHES {
        Severity::Final
    } else {
        Severity::Passing
    }
}

/// Number of restarts of each container of a pod, by name. Containers without restarts may be
/// missing.
pub type Restarts = BTreeMap<String, i64>;

fn statuses(body: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| body.pointer(pointer).and_then(Value::as_array))
        .flatten()
}

/// Returns the restarts of a pod's containers.
pub fn restarts(body: &Value) -> Restarts {
    let restarts = |status: &Value| {
        (
            text(status, "/name").to_owned(),
            number(status, "/restartCount"),
        )
    };
    statuses(body)
        .map(restarts)
        .filter(|(_, restarts)| *restarts > 0)
        .collect()
}

/// Returns all troubles in a pod's status: of containers, or otherwise of scheduling.
pub fn pod_troubles(body: &Value) -> Vec<Trouble> {
    let troubles: Vec<Trouble> = statuses(body).filter_map(container_trouble).collect();
    if troubles.is_empty() {
        unscheduled(body).into_iter().collect()
    } else {
        troubles
    }
}

/// Returns the worst of a pod's troubles.
///
/// `before` are restarts from before this run's change. A container that was already crashing
/// counts as failed only after as many new crashes.
pub fn worst(troubles: &[Trouble], before: &Restarts) -> Option<Trouble> {
    let severity = |trouble: &Trouble| trouble.severity_since(before);
    let worst = troubles.iter().max_by_key(|trouble| severity(trouble))?;
    Some(Trouble {
        severity: severity(worst),
        ..worst.clone()
    })
}

fn container_trouble(status: &Value) -> Option<Trouble> {
    let name = status["name"].as_str().unwrap_or("?");
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    if let Some(waiting) = status.pointer("/state/waiting") {
        return Some(waiting_trouble(status, waiting));
    }
    if let Some(ended) = status.pointer("/state/terminated") {
        let code = ended["exitCode"].as_i64().unwrap_or(0);
        let words = || {
            format!(
                "container {name} ended with exit code {code}{}",
                reason_of(ended)
            )
        };
        return (code != 0)
            .then(|| Trouble::new(Severity::Passing, Cause::Other, words()).with_log(name, false));
    }
    let running_unready = status.pointer("/state/running").is_some() && status["ready"] == false;
    let words = || match restarts {
        0 => format!("container {name} is running, but its probe does not pass yet"),
        _ => {
            format!(
                "container {name} is running after {restarts} restarts ({}), but its probe does not pass yet",
                last_exit(status)
            )
        }
    };
    running_unready
        .then(|| Trouble::new(Severity::Passing, Cause::Other, words()).with_log(name, false))
}

fn waiting_trouble(status: &Value, waiting: &Value) -> Trouble {
    let name = status["name"].as_str().unwrap_or("?");
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    let reason = waiting["reason"].as_str().unwrap_or("waiting");
    let message = waiting["message"].as_str().unwrap_or_default();
    let image = status["image"].as_str().unwrap_or_default();
    match reason {
        "ImagePullBackOff" | "ErrImagePull" => {
            let words = format!("container {name}: image {image} cannot be pulled ({reason})");
            let (cause, words) = match registry_words(message) {
                Some(said) => (image_cause(said), format!("{words}: {said}")),
                None => (Cause::Pull, words),
            };
            Trouble::new(Severity::Lasting, cause, words)
        }
        "InvalidImageName" | "ErrImageNeverPull" => {
            let words = format!("container {name}: image {image} cannot be used ({reason})");
            Trouble::new(Severity::Final, Cause::Image, words)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Trouble::new(
                Severity::Lasting,
                Cause::Other,
                format!("container {name}: {message} ({reason})"),
            )
        }
        "CrashLoopBackOff" => {
            let words = format!(
                "container {name} crashes: {}, {restarts} restarts",
                last_exit(status)
            );
            let crashes = Some((name.to_owned(), restarts));
            Trouble {
                crashes,
                ..Trouble::new(given_up_after(restarts), Cause::Other, words).with_log(name, true)
            }
        }
        "PodInitializing" | "ContainerCreating" => Trouble::new(
            Severity::Passing,
            Cause::Creating,
            "its containers are being created".to_owned(),
        ),
        _ => Trouble::new(
            Severity::Passing,
            Cause::Other,
            format!("container {name} is waiting: {reason}"),
        ),
    }
}

fn last_exit(status: &Value) -> String {
    match status.pointer("/lastState/terminated") {
        Some(ended) => format!(
            "exit code {}{}",
            ended["exitCode"].as_i64().unwrap_or(-1),
            reason_of(ended)
        ),
        None => "it keeps restarting".to_owned(),
    }
}

fn reason_of(ended: &Value) -> String {
    match ended["reason"].as_str() {
        None | Some("Error" | "") => String::new(),
        Some(reason) => format!(" ({reason})"),
    }
}

fn unscheduled(body: &Value) -> Option<Trouble> {
    let condition = conditions(body)
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")?;
    let message = condition["message"]
        .as_str()
        .filter(|message| !message.is_empty());
    let message = message.unwrap_or("the scheduler gave no reason");
    Some(Trouble::new(
        Severity::Passing,
        Cause::Unscheduled,
        format!("it cannot be scheduled: {message}"),
    ))
}

/// Extracts the registry's message from a kubelet's message about a pull.
///
/// During back-off, older kubelets report only `Back-off pulling image "x"`. Newer ones repeat the
/// last error (`...: ErrImagePull: ...`).
pub(super) fn registry_words(message: &str) -> Option<&str> {
    let said = match message.split_once("ErrImagePull: ") {
        Some((_, said)) => said,
        None if message.starts_with("Back-off pulling image") => return None,
        None => message,
    };
    // gRPC's wrapper of the container runtime's error: `rpc error: code = NotFound desc = ...`.
    let said = said
        .split_once("desc = ")
        .map_or(said, |(_, said)| said)
        .trim();
    (!said.is_empty()).then_some(said)
}

/// Classifies an image error by the registry's message, which containerd and CRI-O pass on.
pub(super) fn image_cause(said: &str) -> Cause {
    let said = said.to_ascii_lowercase();
    let wants_credentials = [
        "unauthorized",
        "401",
        "403",
        "forbidden",
        "authentication required",
        "authorization failed",
        "denied",
    ];
    if wants_credentials.iter().any(|word| said.contains(word)) {
        Cause::Credentials
    } else {
        Cause::Image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pods_trouble_is_its_deepest_reason() {
        let image = json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [
                {"name": "couchdb", "state": {"running": {}}, "ready": false, "restartCount": 0},
                {"name": "peer", "image": "fabric-peer:0", "state": {"waiting": {"reason": "ImagePullBackOff"}}, "restartCount": 0}]}});
        let deepest = |body: &Value, before: &Restarts| worst(&pod_troubles(body), before);
        let new = Restarts::new();
        let trouble = deepest(&image, &new).unwrap();
        assert_eq!(
            trouble.reason,
            "container peer: image fabric-peer:0 cannot be pulled (ImagePullBackOff)"
        );
        assert_eq!(
            (trouble.severity, trouble.cause),
            (Severity::Lasting, Cause::Pull)
        );

        let crash = json!({"status": {"containerStatuses": [{"name": "peer", "restartCount": 4, "ready": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}});
        let trouble = deepest(&crash, &new).unwrap();
        assert_eq!(
            trouble.reason,
            "container peer crashes: exit code 2, 4 restarts"
        );
        assert_eq!(
            (trouble.severity, trouble.log),
            (Severity::Final, Some(("peer".into(), true)))
        );
        for (before, severity) in [
            (1, Severity::Final),
            (2, Severity::Passing),
            (4, Severity::Passing),
        ] {
            let before = Restarts::from([("peer".to_owned(), before)]);
            assert_eq!(
                deepest(&crash, &before).unwrap().severity,
                severity,
                "{before:?} of its crashes are older"
            );
        }
        assert_eq!(
            restarts(&image),
            new,
            "what was never restarted is left out"
        );
        assert_eq!(restarts(&crash), Restarts::from([("peer".to_owned(), 4)]));

        let unplaced = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient memory."}]}});
        assert!(
            deepest(&unplaced, &new)
                .unwrap()
                .reason
                .contains("Insufficient memory")
        );
    }
    #[test]
    fn what_the_registry_said_is_in_the_reason_and_tells_what_helps() {
        let pull = |reason: &str, message: &str| {
            let state = json!({"waiting": {"reason": reason, "message": message}});
            let body = json!({"status": {"containerStatuses": [{"name": "peer", "image": "r/p:1", "state": state}]}});
            let trouble = pod_troubles(&body).remove(0);
            (trouble.reason, trouble.cause)
        };
        let missing = r#"rpc error: code = NotFound desc = failed to resolve reference "r/p:1": r/p:1: not found"#;
        let words = r#"container peer: image r/p:1 cannot be pulled (ErrImagePull): failed to resolve reference "r/p:1": r/p:1: not found"#;
        assert_eq!(
            pull("ErrImagePull", missing),
            (words.to_owned(), Cause::Image)
        );
        let newer = r#"Back-off pulling image "r/p:1": ErrImagePull: failed to pull: pull access denied, repository does not exist"#;
        let (reason, cause) = pull("ImagePullBackOff", newer);
        assert!(
            reason.ends_with(
                "(ImagePullBackOff): failed to pull: pull access denied, repository does not exist"
            ),
            "{reason}"
        );
        assert_eq!(cause, Cause::Credentials);
        let older = pull("ImagePullBackOff", r#"Back-off pulling image "r/p:1""#);
        assert_eq!(
            older,
            (
                "container peer: image r/p:1 cannot be pulled (ImagePullBackOff)".to_owned(),
                Cause::Pull
            )
        );
    }
}
