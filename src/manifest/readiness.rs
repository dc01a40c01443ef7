//! Live object → ready, waiting (with the reason) or failed: kstatus' rules, a row per kind.
//!
//! Kinds without a row are ready as soon as they exist. Why a workload is not ready is found in its pods: [`pod_trouble`].

use super::quantity;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The state of one live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Not yet; the reason as far as the object itself tells it.
    Waiting(String),
    /// It will not become ready by itself.
    Failed(String),
}

/// What the rules here look at of a live object, with its metadata. What was applied is not kept a second time, nor the server's notes
/// about who set what.
pub fn outline(body: Value) -> Value {
    outlined(Level::Object, body)
}

/// The [`outline`] of an object about which nobody asks whose it is: without labels and annotations, but for the labels of a pod; and of a kind
/// that is always ready nothing but its UID.
pub fn remnant(group: &str, kind: &str, body: Value) -> Value {
    let level = match (group, kind) {
        ("", "Pod") => Level::Pod,
        _ if is_awaited(group, kind) => Level::Remnant,
        _ => Level::AlwaysReady,
    };
    outlined(level, body)
}

fn outlined(level: Level, value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let kept = fields.into_iter().filter_map(|(name, value)| match level.of(&name) {
        Part::Whole => Some((name, value)),
        Part::Outline(level) => Some((name, outlined(level, value))),
        Part::Nothing => None,
    });
    // Made anew rather than emptied: a map that has lost its fields keeps their room, and one that grows takes more than it needs.
    let kept: Vec<_> = kept.collect();
    let mut map = Map::with_capacity(kept.len());
    map.extend(kept);
    Value::Object(map)
}

/// Reads the [`outline`] of an object from its JSON, without making what it leaves out.
pub struct ReadOutline;

impl<'de> DeserializeSeed<'de> for ReadOutline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, body: D) -> Result<Value, D::Error> {
        Level::Object.deserialize(body)
    }
}

/// Where in an object: what is kept of its fields depends on it.
#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
    Spec,
    Pod,
    PodMetadata,
    Remnant,
    RemnantMetadata,
    AlwaysReady,
    Uid,
}

/// How much of a field is kept.
enum Part {
    Whole,
    Outline(Level),
    Nothing,
}

impl Level {
    fn of(self, field: &str) -> Part {
        match (self, field) {
            (Level::Object | Level::Pod | Level::Remnant, "apiVersion" | "kind" | "status") => Part::Whole,
            (Level::Object | Level::Pod | Level::Remnant, "spec") => Part::Outline(Level::Spec),
            (Level::Spec, field) if LOOKED_AT.contains(&field) => Part::Whole,
            (Level::Object, "metadata") => Part::Outline(Level::Metadata),
            (Level::Pod, "metadata") => Part::Outline(Level::PodMetadata),
            (Level::Remnant, "metadata") => Part::Outline(Level::RemnantMetadata),
            (Level::AlwaysReady, "metadata") => Part::Outline(Level::Uid),
            (Level::Metadata | Level::PodMetadata | Level::RemnantMetadata, "managedFields") => Part::Nothing,
            (Level::PodMetadata | Level::RemnantMetadata, "annotations") | (Level::RemnantMetadata, "labels") => Part::Nothing,
            (Level::Metadata | Level::PodMetadata | Level::RemnantMetadata, _) | (Level::Uid, "uid") => Part::Whole,
            (Level::Object | Level::Pod | Level::Remnant | Level::Spec | Level::AlwaysReady | Level::Uid, _) => Part::Nothing,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, fields: D) -> Result<Value, D::Error> {
        fields.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = match self.of(&name) {
                Part::Whole => fields.next_value()?,
                Part::Outline(level) => fields.next_value_seed(level)?,
                Part::Nothing => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            kept.insert(name, value);
        }
        Ok(Value::Object(kept))
    }
}

/// Fields of a spec that the rules here, and whoever waits, look at.
const LOOKED_AT: [&str; 8] = [
    "loadBalancerClass",
    "podManagementPolicy",
    "replicas",
    "resources",
    "storageClassName",
    "type",
    "updateStrategy",
    "volumeName",
];

type Rule = fn(&Value) -> Readiness;

/// Kinds that are waited for: (group, kind, rule).
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
    ("apiextensions.k8s.io", "CustomResourceDefinition", definition),
];

fn rule(group: &str, kind: &str) -> Option<Rule> {
    RULES.iter().find(|(g, k, _)| *g == group && *k == kind).map(|(_, _, rule)| *rule)
}

/// Whether objects of this kind can exist without being ready.
pub fn is_awaited(group: &str, kind: &str) -> bool {
    rule(group, kind).is_some()
}

/// Whether objects of this kind run pods, so that the pods tell why they are not ready.
pub fn runs_pods(kind: &str) -> bool {
    matches!(kind, "StatefulSet" | "Deployment" | "DaemonSet" | "ReplicaSet" | "Job")
}

/// The state of a live object, whatever its kind.
pub fn readiness(body: &Value) -> Readiness {
    let api_version = text(body, "/apiVersion");
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if !body["metadata"]["deletionTimestamp"].is_null() {
        return Readiness::Waiting("it is being deleted".into());
    }
    rule(group, text(body, "/kind")).map_or(Readiness::Ready, |rule| rule(body))
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(body: &Value, pointer: &str) -> i64 {
    body.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// What is said of an object between a change and its controller's first look at it.
pub const UNSEEN: &str = "its controller has not seen the change yet";

/// A controller that has not looked at the newest spec says nothing about it yet.
fn unobserved(body: &Value) -> Option<Readiness> {
    let (wanted, seen) = (number(body, "/metadata/generation"), number(body, "/status/observedGeneration"));
    (seen < wanted).then(|| Readiness::Waiting(UNSEEN.into()))
}

fn count(ready: i64, wanted: i64, what: &str) -> Option<Readiness> {
    (ready < wanted)
        .then(|| Readiness::Waiting(format!("{ready} of {wanted} {} {what}", if wanted == 1 { "pod" } else { "pods" })))
}

fn wanted_replicas(body: &Value) -> i64 {
    body.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn stateful_set(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    let wanted = wanted_replicas(body);
    if text(body, "/spec/updateStrategy/type") == "OnDelete" {
        return count(number(body, "/status/readyReplicas"), wanted, "ready").unwrap_or(Readiness::Ready);
    }
    let partition = number(body, "/spec/updateStrategy/rollingUpdate/partition");
    let status = &body["status"];
    count(number(body, "/status/replicas"), wanted, "created")
        .or_else(|| count(number(body, "/status/updatedReplicas"), (wanted - partition).max(0), "updated"))
        .or_else(|| count(number(body, "/status/readyReplicas"), wanted, "ready"))
        .or_else(|| {
            let surplus = number(body, "/status/replicas") > wanted;
            surplus.then(|| Readiness::Waiting("pods above the wanted number are still there".into()))
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
        condition["type"] == "Progressing" && condition["status"] == "False" && condition["reason"] == "ProgressDeadlineExceeded"
    });
    if stuck.is_some() {
        return Readiness::Failed("it made no progress within its deadline".into());
    }
    let wanted = wanted_replicas(body);
    count(number(body, "/status/updatedReplicas"), wanted, "updated")
        .or_else(|| {
            let old = number(body, "/status/replicas") > number(body, "/status/updatedReplicas");
            old.then(|| Readiness::Waiting("old pods are still there".into()))
        })
        .or_else(|| count(number(body, "/status/availableReplicas"), wanted, "available"))
        .unwrap_or(Readiness::Ready)
}

fn daemon_set(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    let wanted = number(body, "/status/desiredNumberScheduled");
    let on_delete = text(body, "/spec/updateStrategy/type") == "OnDelete";
    let updated = if on_delete { wanted } else { number(body, "/status/updatedNumberScheduled") };
    count(updated, wanted, "updated")
        .or_else(|| count(number(body, "/status/numberAvailable"), wanted, "available"))
        .unwrap_or(Readiness::Ready)
}

fn replica_set(body: &Value) -> Readiness {
    if let Some(waiting) = unobserved(body) {
        return waiting;
    }
    count(number(body, "/status/availableReplicas"), wanted_replicas(body), "available").unwrap_or(Readiness::Ready)
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
    match text(body, "/status/phase") {
        "Succeeded" => Readiness::Ready,
        "Failed" => {
            let trouble = pod_trouble(body, &Restarts::new());
            Readiness::Failed(trouble.map_or_else(|| "its containers have failed".into(), |trouble| trouble.reason))
        }
        _ if is_pod_ready(body) => Readiness::Ready,
        _ => match pod_trouble(body, &Restarts::new()) {
            Some(trouble) => Readiness::Waiting(trouble.reason),
            None => Readiness::Waiting("it is starting".into()),
        },
    }
}

/// Whether a pod is Ready and stays: one that is being deleted says that it is Ready until its containers end.
pub fn serves(body: &Value) -> bool {
    is_pod_ready(body) && body["metadata"]["deletionTimestamp"].is_null()
}

/// How many pods of a workload are to serve.
pub fn wanted_pods(body: &Value) -> i64 {
    match text(body, "/kind") {
        "DaemonSet" => number(body, "/status/desiredNumberScheduled"),
        _ => wanted_replicas(body),
    }
}

/// Whether a pod's Ready condition holds.
pub fn is_pod_ready(body: &Value) -> bool {
    conditions(body).any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A claim that names its volume is to be bound at once. Any other may have to wait for its first pod (`WaitForFirstConsumer`), and then
/// the pod says what is missing.
fn claim(body: &Value) -> Readiness {
    let named =
        !text(body, "/spec/volumeName").is_empty() || body.pointer("/spec/storageClassName").is_some_and(|class| class == "");
    match text(body, "/status/phase") {
        "Lost" => Readiness::Failed("its volume is gone".into()),
        "Bound" => expansion(body),
        _ if named => Readiness::Waiting("no volume is bound to it yet".into()),
        _ => Readiness::Ready,
    }
}

/// Whether a bound claim has the storage that it requests. The kubelet makes the file system larger while the pod runs or when the
/// pod starts again, as the driver has it, so nothing waits for that.
fn expansion(body: &Value) -> Readiness {
    let (wanted, there) = (text(body, "/spec/resources/requests/storage"), text(body, "/status/capacity/storage"));
    let is_behind = matches!((quantity::bytes(wanted), quantity::bytes(there)), (Some(wanted), Some(there)) if there < wanted);
    let condition = |name: &str| conditions(body).find(|it| it["type"] == name && it["status"] == "True");
    if !is_behind || condition("FileSystemResizePending").is_some() {
        return Readiness::Ready;
    }
    // Newer servers say so in the status, older ones in events only.
    let state = text(body, "/status/allocatedResourceStatuses/storage");
    if state.ends_with("Infeasible") {
        return Readiness::Failed(format!("its volume cannot be expanded from {there} to {wanted} ({state})"));
    }
    let error = condition("ControllerResizeError").and_then(|it| it["message"].as_str());
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    Readiness::Waiting(format!("its volume is being expanded from {there} to {wanted}{error}"))
}

fn service(body: &Value) -> Readiness {
    let balanced = text(body, "/spec/type") == "LoadBalancer" && body.pointer("/spec/loadBalancerClass").is_none();
    let addressed = body.pointer("/status/loadBalancer/ingress/0").is_some();
    if balanced && !addressed { Readiness::Waiting("its load balancer has no address yet".into()) } else { Readiness::Ready }
}

fn namespace(body: &Value) -> Readiness {
    match text(body, "/status/phase") {
        "Terminating" => Readiness::Waiting("it is being deleted".into()),
        _ => Readiness::Ready,
    }
}

fn definition(body: &Value) -> Readiness {
    let established = conditions(body).any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if established { Readiness::Ready } else { Readiness::Waiting("the API server does not serve it yet".into()) }
}

fn conditions(body: &Value) -> impl Iterator<Item = &Value> {
    body.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

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
    pub severity: Severity,
    /// The container whose log tells more, and whether the log is of its last, ended run.
    pub log: Option<(String, bool)>,
}

/// Restarts after which a crashing container is given up (kubelet's back-off is then 40 s and more).
const CRASHES: i64 = 3;

/// How often each container of a pod was restarted, by name.
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
    statuses(body).map(restarts).collect()
}

/// Looks for the deepest reason in a pod's status: containers first, then scheduling, then the rest.
///
/// `before` are restarts that say nothing about what a run changed: a container that was crashing before is given up only when it
/// has crashed as often again.
pub fn pod_trouble(body: &Value, before: &Restarts) -> Option<Trouble> {
    let troubles = statuses(body).filter_map(|status| container_trouble(status, before));
    troubles.max_by_key(|trouble| trouble.severity).or_else(|| unscheduled(body))
}

fn container_trouble(status: &Value, before: &Restarts) -> Option<Trouble> {
    let name = status["name"].as_str().unwrap_or("?");
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    let since = restarts - before.get(name).copied().unwrap_or(0);
    if let Some(waiting) = status.pointer("/state/waiting") {
        let reason = waiting["reason"].as_str().unwrap_or("waiting");
        let message = waiting["message"].as_str().unwrap_or_default();
        let image = status["image"].as_str().unwrap_or_default();
        return Some(match reason {
            "ImagePullBackOff" | "ErrImagePull" => Trouble {
                reason: format!("container {name}: image {image} cannot be pulled ({reason})"),
                severity: Severity::Lasting,
                log: None,
            },
            "InvalidImageName" | "ErrImageNeverPull" => Trouble {
                reason: format!("container {name}: image {image} cannot be used ({reason})"),
                severity: Severity::Final,
                log: None,
            },
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                Trouble { reason: format!("container {name}: {message} ({reason})"), severity: Severity::Lasting, log: None }
            }
            "CrashLoopBackOff" => Trouble {
                reason: format!("container {name} crashes: {}, {restarts} restarts", last_exit(status)),
                severity: if since >= CRASHES { Severity::Final } else { Severity::Passing },
                log: Some((name.to_owned(), true)),
            },
            "PodInitializing" | "ContainerCreating" => {
                return Some(Trouble {
                    reason: "its containers are being created".into(),
                    severity: Severity::Passing,
                    log: None,
                });
            }
            _ => Trouble { reason: format!("container {name} waits: {reason}"), severity: Severity::Passing, log: None },
        });
    }
    if let Some(ended) = status.pointer("/state/terminated") {
        let code = ended["exitCode"].as_i64().unwrap_or(0);
        if code != 0 {
            return Some(Trouble {
                reason: format!("container {name} ended with exit code {code}{}", reason_of(ended)),
                severity: Severity::Passing,
                log: Some((name.to_owned(), false)),
            });
        }
        return None;
    }
    let running_unready = status.pointer("/state/running").is_some() && status["ready"] == false;
    running_unready.then(|| Trouble {
        reason: match restarts {
            0 => format!("container {name} runs, but its probe does not pass yet"),
            _ => format!(
                "container {name} runs again after {restarts} restarts ({}), its probe does not pass yet",
                last_exit(status)
            ),
        },
        severity: Severity::Passing,
        log: Some((name.to_owned(), false)),
    })
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
    Some(Trouble {
        reason: format!("it cannot be placed on a node: {}", message.unwrap_or("the scheduler gave no reason")),
        severity: Severity::Passing,
        log: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(reason: &str) -> Readiness {
        Readiness::Waiting(reason.into())
    }

    #[test]
    fn an_outline_is_the_same_read_from_text_as_made_of_a_body() {
        let body = json!({
            "kind": "StatefulSet", "apiVersion": "apps/v1",
            "metadata": {"name": "peer0", "labels": {"a": "b"}, "managedFields": [{"manager": "x"}]},
            "spec": {"replicas": 3, "template": {"spec": {"replicas": 1}}},
            "status": {"replicas": 1, "conditions": []},
            "data": {"spec": "x"},
        });
        let outlined = json!({
            "kind": "StatefulSet", "apiVersion": "apps/v1",
            "metadata": {"name": "peer0", "labels": {"a": "b"}},
            "spec": {"replicas": 3},
            "status": {"replicas": 1, "conditions": []},
        });
        let text = body.to_string();
        let read = ReadOutline.deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap();
        assert_eq!((read, outline(body)), (outlined.clone(), outlined));
        assert!(ReadOutline.deserialize(&mut serde_json::Deserializer::from_str("[]")).is_err());

        let settled = |group, kind| {
            remnant(
                group,
                kind,
                json!({
                    "kind": kind, "metadata": {"uid": "u", "generation": 1, "labels": {"a": "b"}}, "spec": {"replicas": 3, "x": 1}, "status": {},
                }),
            )
        };
        let awaited =
            json!({"kind": "StatefulSet", "metadata": {"uid": "u", "generation": 1}, "spec": {"replicas": 3}, "status": {}});
        assert_eq!(settled("apps", "StatefulSet"), awaited);
        assert_eq!(settled("", "ConfigMap"), json!({"metadata": {"uid": "u"}}));
    }

    #[test]
    fn each_kind_is_judged_by_its_own_rule() {
        let cases = [
            ("a config map is ready at once", json!({"apiVersion": "v1", "kind": "ConfigMap"}), Readiness::Ready),
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

    #[test]
    fn a_pods_trouble_is_its_deepest_reason() {
        let image = json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [
                {"name": "couchdb", "state": {"running": {}}, "ready": false, "restartCount": 0},
                {"name": "peer", "image": "fabric-peer:0", "state": {"waiting": {"reason": "ImagePullBackOff"}}, "restartCount": 0}]}});
        let new = Restarts::new();
        let trouble = pod_trouble(&image, &new).unwrap();
        assert_eq!(trouble.reason, "container peer: image fabric-peer:0 cannot be pulled (ImagePullBackOff)");
        assert_eq!(trouble.severity, Severity::Lasting);

        let crash = json!({"status": {"containerStatuses": [{"name": "peer", "restartCount": 4, "ready": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}});
        let trouble = pod_trouble(&crash, &new).unwrap();
        assert_eq!(trouble.reason, "container peer crashes: exit code 2, 4 restarts");
        assert_eq!((trouble.severity, trouble.log), (Severity::Final, Some(("peer".into(), true))));
        for (before, severity) in [(1, Severity::Final), (2, Severity::Passing), (4, Severity::Passing)] {
            let before = Restarts::from([("peer".to_owned(), before)]);
            assert_eq!(pod_trouble(&crash, &before).unwrap().severity, severity, "{before:?} of its crashes are older");
        }
        assert_eq!(restarts(&crash), Restarts::from([("peer".to_owned(), 4)]));

        let unplaced = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient memory."}]}});
        assert!(pod_trouble(&unplaced, &new).unwrap().reason.contains("Insufficient memory"));
    }
}
