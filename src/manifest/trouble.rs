//! A pod's status → why the pod is not ready, and how sure it is that it stays so.

use super::readiness::{conditions, number, text};
use serde_json::Value;
use std::collections::BTreeMap;

/// How sure it is that a troubled pod will not recover by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may well pass: starting, pulling, not scheduled yet.
    Passing,
    /// Final unless it passes within a grace time: an image that cannot be pulled.
    Lasting,
    /// Nothing but a change will help.
    Final,
}

/// Why a pod is not ready: the deepest reason that its status knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    /// As far as all restarts of its container count.
    pub severity: Severity,
    /// The container whose log tells more, and whether the log is of its last, ended run.
    pub log: Option<(String, bool)>,
    /// Of a container that crashes: its name, and its restarts so far.
    pub crashes: Option<(String, i64)>,
}

impl Trouble {
    fn new(severity: Severity, reason: String) -> Trouble {
        Trouble { reason, severity, log: None, crashes: None }
    }

    fn with_log(self, container: &str, previous: bool) -> Trouble {
        Trouble { log: Some((container.to_owned(), previous)), ..self }
    }

    /// How sure it is when only the restarts count that came after `before`.
    fn severity_since(&self, before: &Restarts) -> Severity {
        let since = |(container, restarts): &(String, i64)| restarts - before.get(container).copied().unwrap_or(0);
        self.crashes.as_ref().map_or(self.severity, |crashes| given_up_after(since(crashes)))
    }
}

/// Restarts after which a crashing container is given up (kubelet's back-off is then 40 s and more).
const CRASHES: i64 = 3;

fn given_up_after(restarts: i64) -> Severity {
    if restarts >= CRASHES { Severity::Final } else { Severity::Passing }
}

/// How often each container of a pod was restarted, by name. One that never was may be left out.
pub type Restarts = BTreeMap<String, i64>;

fn statuses(body: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| body.pointer(pointer).and_then(Value::as_array))
        .flatten()
}

/// The restarts of a pod's containers so far.
pub fn restarts(body: &Value) -> Restarts {
    let restarts = |status: &Value| (text(status, "/name").to_owned(), number(status, "/restartCount"));
    statuses(body).map(restarts).filter(|(_, restarts)| *restarts > 0).collect()
}

/// All troubles in a pod's status: of containers, or else of scheduling.
pub fn pod_troubles(body: &Value) -> Vec<Trouble> {
    let troubles: Vec<Trouble> = statuses(body).filter_map(container_trouble).collect();
    if troubles.is_empty() { unscheduled(body).into_iter().collect() } else { troubles }
}

/// The worst of a pod's troubles.
///
/// `before` are restarts that say nothing about what a run changed: a container that was crashing before is given up only when it
/// has crashed as often again.
pub fn worst(troubles: &[Trouble], before: &Restarts) -> Option<Trouble> {
    let severity = |trouble: &Trouble| trouble.severity_since(before);
    let worst = troubles.iter().max_by_key(|trouble| severity(trouble))?;
    Some(Trouble { severity: severity(worst), ..worst.clone() })
}

fn container_trouble(status: &Value) -> Option<Trouble> {
    let name = status["name"].as_str().unwrap_or("?");
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    if let Some(waiting) = status.pointer("/state/waiting") {
        let reason = waiting["reason"].as_str().unwrap_or("waiting");
        let message = waiting["message"].as_str().unwrap_or_default();
        let image = status["image"].as_str().unwrap_or_default();
        return Some(match reason {
            "ImagePullBackOff" | "ErrImagePull" => {
                Trouble::new(Severity::Lasting, format!("container {name}: image {image} cannot be pulled ({reason})"))
            }
            "InvalidImageName" | "ErrImageNeverPull" => {
                Trouble::new(Severity::Final, format!("container {name}: image {image} cannot be used ({reason})"))
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                Trouble::new(Severity::Lasting, format!("container {name}: {message} ({reason})"))
            }
            "CrashLoopBackOff" => {
                let words = format!("container {name} crashes: {}, {restarts} restarts", last_exit(status));
                let crashes = Some((name.to_owned(), restarts));
                Trouble { crashes, ..Trouble::new(given_up_after(restarts), words).with_log(name, true) }
            }
            "PodInitializing" | "ContainerCreating" => {
                Trouble::new(Severity::Passing, "its containers are being created".to_owned())
            }
            _ => Trouble::new(Severity::Passing, format!("container {name} waits: {reason}")),
        });
    }
    if let Some(ended) = status.pointer("/state/terminated") {
        let code = ended["exitCode"].as_i64().unwrap_or(0);
        let words = || format!("container {name} ended with exit code {code}{}", reason_of(ended));
        return (code != 0).then(|| Trouble::new(Severity::Passing, words()).with_log(name, false));
    }
    let running_unready = status.pointer("/state/running").is_some() && status["ready"] == false;
    let words = || match restarts {
        0 => format!("container {name} runs, but its probe does not pass yet"),
        _ => {
            format!("container {name} runs again after {restarts} restarts ({}), its probe does not pass yet", last_exit(status))
        }
    };
    running_unready.then(|| Trouble::new(Severity::Passing, words()).with_log(name, false))
}

fn last_exit(status: &Value) -> String {
    match status.pointer("/lastState/terminated") {
        Some(ended) => format!("exit code {}{}", ended["exitCode"].as_i64().unwrap_or(-1), reason_of(ended)),
        None => "it does not stay up".to_owned(),
    }
}

fn reason_of(ended: &Value) -> String {
    match ended["reason"].as_str() {
        None | Some("Error" | "") => String::new(),
        Some(reason) => format!(" ({reason})"),
    }
}

fn unscheduled(body: &Value) -> Option<Trouble> {
    let condition = conditions(body).find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")?;
    let message = condition["message"].as_str().filter(|message| !message.is_empty());
    let message = message.unwrap_or("the scheduler gave no reason");
    Some(Trouble::new(Severity::Passing, format!("it cannot be placed on a node: {message}")))
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
        assert_eq!(trouble.reason, "container peer: image fabric-peer:0 cannot be pulled (ImagePullBackOff)");
        assert_eq!(trouble.severity, Severity::Lasting);

        let crash = json!({"status": {"containerStatuses": [{"name": "peer", "restartCount": 4, "ready": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}});
        let trouble = deepest(&crash, &new).unwrap();
        assert_eq!(trouble.reason, "container peer crashes: exit code 2, 4 restarts");
        assert_eq!((trouble.severity, trouble.log), (Severity::Final, Some(("peer".into(), true))));
        for (before, severity) in [(1, Severity::Final), (2, Severity::Passing), (4, Severity::Passing)] {
            let before = Restarts::from([("peer".to_owned(), before)]);
            assert_eq!(deepest(&crash, &before).unwrap().severity, severity, "{before:?} of its crashes are older");
        }
        assert_eq!(restarts(&image), new, "what was never restarted is left out");
        assert_eq!(restarts(&crash), Restarts::from([("peer".to_owned(), 4)]));

        let unplaced = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient memory."}]}});
        assert!(deepest(&unplaced, &new).unwrap().reason.contains("Insufficient memory"));
    }
}
