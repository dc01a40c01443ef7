//! Evaluates whether a live object is ready, waiting (with the reason) or failed. Follows the rules
//! of kstatus, with one row per kind.
//!
//! Kinds without a row are ready as soon as they exist. [`super::trouble`] finds in the pods why a
//! workload is not ready.

use super::quantity;
use super::trouble::{Restarts, pod_troubles, worst};
use serde_json::Value;

/// The state of a live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Not ready yet, with the reason if the object itself shows it.
    Waiting(String),
    /// Will not become ready by itself.
    Failed(String),
}

type Rule = fn(&Value) -> Readiness;

/// Kinds with a readiness rule: (group, kind, rule).
const RULES: &[(&str, &str, Rule)] = &[
    ("apps", "StatefulSet", stateful_set),
    ("apps", "Deployment", deployment),
    ("apps", "DaemonSet", daemon_set),
    ("apps", "ReplicaSet", replica_set),
    ("batch", "Job", job),
    ("", "Pod", pod),
    ("", "PersistentVolumeClaim", claim),
    ("", "Service", service),
    ("", "Namespace", namespace),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        definition,
    ),
];

fn rule(group: &str, kind: &str) -> Option<Rule> {
    RULES
        .iter()
        .find(|(g, k, _)| *g == group && *k == kind)
        .map(|(_, _, rule)| *rule)
}

/// Returns true if objects of this kind can exist without being ready.
pub fn is_awaited(group: &str, kind: &str) -> bool {
    rule(group, kind).is_some()
}

/// Returns true if objects of this kind run pods, which show why they are not ready.
pub fn runs_pods(kind: &str) -> bool {
    matches!(
        kind,
        "StatefulSet" | "Deployment" | "DaemonSet" | "ReplicaSet" | "Job"
    )
}

/// Returns the state of a live object of any kind.
pub fn readiness(body: &Value) -> Readiness {
    let api_version = text(body, "/apiVersion");
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    readiness_of(group, text(body, "/kind"), body)
}

/// Returns the state of a live object of this kind.
pub fn readiness_of(group: &str, kind: &str, body: &Value) -> Readiness {
    if !body["metadata"]["deletionTimestamp"].is_null() {
        return Readiness::Waiting("it is being deleted".into());
    }
    rule(group, kind).map_or(Readiness::Ready, |rule| rule(body))
}

pub(super) fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn number(body: &Value, pointer: &str) -> i64 {
    body.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The reason shown until the controller observes a change.
pub const UNSEEN: &str = "its controller has not observed the change yet";

/// Returns the waiting state if the controller has not observed the newest spec.
fn unobserved(body: &Value) -> Option<Readiness> {
    let (wanted, seen) = (
        number(body, "/metadata/generation"),
        number(body, "/status/observedGeneration"),
    );
    (seen < wanted).then(|| Readiness::Waiting(UNSEEN.into()))
}

fn count(ready: i64, wanted: i64, what: &str) -> Option<Readiness> {
    (ready < wanted).then(|| {
        Readiness::Waiting(format!(
            "{ready} of {wanted} {} {what}",
            if wanted == 1 { "pod" } else { "pods" }
        ))
    })
}

fn wanted_replicas(body: &Value) -> i64 {
    body.pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1)
}

fn stateful_set(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    let wanted = wanted_replicas(body);
    if text(body, "/spec/updateStrategy/type") == "OnDelete" {
        return count(number(body, "/status/readyReplicas"), wanted, "ready")
            .unwrap_or(Readiness::Ready);
    }
    let partition = number(body, "/spec/updateStrategy/rollingUpdate/partition");
    let status = &body["status"];
    count(number(body, "/status/replicas"), wanted, "created")
        .or_else(|| {
            count(
                number(body, "/status/updatedReplicas"),
                (wanted - partition).max(0),
                "updated",
            )
        })
        .or_else(|| count(number(body, "/status/readyReplicas"), wanted, "ready"))
        .or_else(|| {
            let surplus = number(body, "/status/replicas") > wanted;
            surplus.then(|| Readiness::Waiting("surplus pods still exist".into()))
        })
        .or_else(|| {
            let moving = partition == 0 && status["currentRevision"] != status["updateRevision"];
            moving.then(|| Readiness::Waiting("the rollout is not finished".into()))
        })
        .unwrap_or(Readiness::Ready)
}

fn deployment(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    let stuck = conditions(body).find(|condition| {
        condition["type"] == "Progressing"
            && condition["status"] == "False"
            && condition["reason"] == "ProgressDeadlineExceeded"
    });
    if stuck.is_some() {
        return Readiness::Failed("it made no progress within its deadline".into());
    }
    let wanted = wanted_replicas(body);
    count(number(body, "/status/updatedReplicas"), wanted, "updated")
        .or_else(|| {
            let old = number(body, "/status/replicas") > number(body, "/status/updatedReplicas");
            old.then(|| Readiness::Waiting("old pods still exist".into()))
        })
        .or_else(|| {
            count(
                number(body, "/status/availableReplicas"),
                wanted,
                "available",
            )
        })
        .unwrap_or(Readiness::Ready)
}

fn daemon_set(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    let wanted = number(body, "/status/desiredNumberScheduled");
    let on_delete = text(body, "/spec/updateStrategy/type") == "OnDelete";
    let updated = if on_delete {
        wanted
    } else {
        number(body, "/status/updatedNumberScheduled")
    };
    count(updated, wanted, "updated")
        .or_else(|| count(number(body, "/status/numberAvailable"), wanted, "available"))
        .unwrap_or(Readiness::Ready)
}

fn replica_set(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    count(
        number(body, "/status/availableReplicas"),
        wanted_replicas(body),
        "available",
    )
    .unwrap_or(Readiness::Ready)
}

fn job(body: &Value) -> Readiness {
    for condition in conditions(body).filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Complete" | "SuccessCriteriaMet") => return Readiness::Ready,
            Some("Failed" | "FailureTarget") => {
                let reason = condition["reason"].as_str().unwrap_or("it failed");
                let message = condition["message"].as_str().unwrap_or_default();
                return Readiness::Failed(format!("{reason}: {message}"));
            }
            Some("Suspended") => return Readiness::Waiting("it is suspended".into()),
            _ => {}
        }
    }
    match number(body, "/status/active") {
        0 => Readiness::Waiting("no pod has started yet".into()),
        _ => Readiness::Waiting("it is running".into()),
    }
}

fn pod(body: &Value) -> Readiness {
    let trouble = || worst(&pod_troubles(body), &Restarts::new()).map(|trouble| trouble.reason);
    match text(body, "/status/phase") {
        "Succeeded" => Readiness::Ready,
        "Failed" => {
            Readiness::Failed(trouble().unwrap_or_else(|| "its containers have failed".into()))
        }
        _ if is_pod_ready(body) => Readiness::Ready,
        _ => Readiness::Waiting(trouble().unwrap_or_else(|| "it is starting".into())),
    }
}

/// Returns the desired number of serving pods of a workload.
pub fn wanted_pods(kind: &str, body: &Value) -> i64 {
    match kind {
        "DaemonSet" => number(body, "/status/desiredNumberScheduled"),
        _ => wanted_replicas(body),
    }
}

/// Returns true if a pod's Ready condition is true.
pub fn is_pod_ready(body: &Value) -> bool {
    conditions(body).any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Returns the state of a claim.
///
/// A claim that names its volume should be bound at once. Any other claim may have to wait for its
/// first pod (`WaitForFirstConsumer`), and then the pod shows what is missing.
fn claim(body: &Value) -> Readiness {
    let named = !text(body, "/spec/volumeName").is_empty()
        || body
            .pointer("/spec/storageClassName")
            .is_some_and(|class| class == "");
    match text(body, "/status/phase") {
        "Lost" => Readiness::Failed("its volume is lost".into()),
        "Bound" => expansion(body),
        _ if named => Readiness::Waiting("no volume is bound to it yet".into()),
        _ => Readiness::Ready,
    }
}

/// Returns the state of a bound claim: ready when it has the storage that it requests.
///
/// Does not wait for the file system. Depending on the driver, the kubelet expands it while the pod
/// runs or when the pod starts again.
fn expansion(body: &Value) -> Readiness {
    let (wanted, there) = (
        text(body, "/spec/resources/requests/storage"),
        text(body, "/status/capacity/storage"),
    );
    let is_behind = matches!((quantity::bytes(wanted), quantity::bytes(there)), (Some(wanted), Some(there)) if there < wanted);
    let condition =
        |name: &str| conditions(body).find(|it| it["type"] == name && it["status"] == "True");
    if !is_behind || condition("FileSystemResizePending").is_some() {
        return Readiness::Ready;
    }
    // Newer servers report this in the status, older ones only in events.
    let state = text(body, "/status/allocatedResourceStatuses/storage");
    if state.ends_with("Infeasible") {
        return Readiness::Failed(format!(
            "its volume cannot be expanded from {there} to {wanted} ({state})"
        ));
    }
    let error = condition("ControllerResizeError").and_then(|it| it["message"].as_str());
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    Readiness::Waiting(format!(
        "its volume is being expanded from {there} to {wanted}{error}"
    ))
}

fn service(body: &Value) -> Readiness {
    let balanced = text(body, "/spec/type") == "LoadBalancer"
        && body.pointer("/spec/loadBalancerClass").is_none();
    let addressed = body.pointer("/status/loadBalancer/ingress/0").is_some();
    if balanced && !addressed {
        Readiness::Waiting("its load balancer has no address yet".into())
    } else {
        Readiness::Ready
    }
}

fn namespace(body: &Value) -> Readiness {
    match text(body, "/status/phase") {
        "Terminating" => Readiness::Waiting("it is being deleted".into()),
        _ => Readiness::Ready,
    }
}

fn definition(body: &Value) -> Readiness {
    let established = conditions(body)
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if established {
        Readiness::Ready
    } else {
        Readiness::Waiting("the API server does not serve it yet".into())
    }
}

pub(super) fn conditions(body: &Value) -> impl Iterator<Item = &Value> {
    body.pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(reason: &str) -> Readiness {
        Readiness::Waiting(reason.into())
    }

    #[test]
    fn each_kind_is_judged_by_its_own_rule() {
        let cases = [
            (
                "a config map is ready at once",
                json!({"apiVersion": "v1", "kind": "ConfigMap"}),
                Readiness::Ready,
            ),
            (
                "a stateful set whose controller is behind",
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 2}, "status": {"observedGeneration": 1}}),
                waiting(UNSEEN),
            ),
            (
                "a stateful set in the middle of a rollout",
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 2}, "spec": {"replicas": 3},
                       "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 3}}),
                waiting("1 of 3 pods updated"),
            ),
            (
                "a stateful set that is done",
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 2}, "spec": {"replicas": 1},
                       "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                                  "currentRevision": "a", "updateRevision": "a"}}),
                Readiness::Ready,
            ),
            (
                "a stateful set behind a partition counts only what may be updated",
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 2},
                       "spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
                       "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 3,
                                  "currentRevision": "a", "updateRevision": "b"}}),
                Readiness::Ready,
            ),
            (
                "a deployment that has given up",
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {},
                       "status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}}),
                Readiness::Failed("it made no progress within its deadline".into()),
            ),
            (
                "a job that failed",
                json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": [
                    {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]}}),
                Readiness::Failed("BackoffLimitExceeded: too often".into()),
            ),
            (
                "a claim whose volume is named and not bound",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"volumeName": "v"}, "status": {"phase": "Pending"}}),
                waiting("no volume is bound to it yet"),
            ),
            (
                "a claim that may wait for its first pod",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"storageClassName": "s"}, "status": {"phase": "Pending"}}),
                Readiness::Ready,
            ),
            (
                "a claim whose volume is being expanded",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"resources": {"requests": {"storage": "2Gi"}}},
                       "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}),
                waiting("its volume is being expanded from 1Gi to 2Gi"),
            ),
            (
                "a claim whose file system the kubelet will expand",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"resources": {"requests": {"storage": "2Gi"}}},
                       "status": {"phase": "Bound", "capacity": {"storage": "1Gi"},
                                  "conditions": [{"type": "FileSystemResizePending", "status": "True"}]}}),
                Readiness::Ready,
            ),
            (
                "a claim whose volume is larger than it asked for",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"resources": {"requests": {"storage": "1Gi"}}},
                       "status": {"phase": "Bound", "capacity": {"storage": "5Gi"}}}),
                Readiness::Ready,
            ),
            (
                "an object on its way out is not ready",
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                waiting("it is being deleted"),
            ),
        ];
        for (name, body, expected) in cases {
            assert_eq!(readiness(&body), expected, "{name}");
        }
    }
}
