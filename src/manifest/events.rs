//! Finds in events why an object is not ready, where its status does not say: pods that are not
//! created, missing volumes, images that cannot be pulled.
//!
//! Kubernetes gives the reason for rejecting a pod only as text, so this room searches in messages.

use super::ObjectKey;
use super::readiness::text;
use super::trouble::{Cause, Severity, Trouble, image_cause, registry_words};
use serde_json::Value;

/// Field selector for useful events.
///
/// Excludes events of pods that start normally, and events whose message is also in a pod's status.
/// Does not select by type, because a claim without a fitting volume has a normal event
/// (`FailedBinding`).
pub const FIELDS: &str = "reason!=Scheduled,reason!=Pulling,reason!=Pulled,reason!=Created,reason!=Started,reason!=Killing,reason!=SuccessfulCreate,reason!=SuccessfulDelete,reason!=ScalingReplicaSet,reason!=BackOff,reason!=Unhealthy,reason!=FailedScheduling,reason!=SuccessfulAttachVolume,reason!=WaitForFirstConsumer,reason!=WaitForPodScheduled,reason!=Provisioning,reason!=ExternalProvisioning,reason!=ProvisioningSucceeded";

/// An event that explains why an object is not ready.
#[derive(Clone, Debug)]
pub struct Warning {
    pub about: ObjectKey,
    /// UID of the object. Empty if the event has none.
    pub uid: Box<str>,
    /// Time of its last occurrence in whole seconds (RFC 3339, UTC).
    pub at: Box<str>,
    /// Whether it reports that a pod could not be created, so that it is obsolete when all pods
    /// exist.
    pub is_about_missing_pod: bool,
    pub trouble: Trouble,
}

impl Warning {
    /// Returns `None` for an event that explains nothing.
    pub fn of(event: &Value) -> Option<Warning> {
        let about = &event["involvedObject"];
        let api_version = text(about, "/apiVersion");
        let (kind, message) = (text(about, "/kind"), text(event, "/message").trim());
        let trouble = trouble(kind, text(event, "/reason"), message)?;
        let namespace = Some(text(about, "/namespace")).filter(|namespace| !namespace.is_empty());
        Some(Warning {
            about: ObjectKey {
                group: api_version
                    .split_once('/')
                    .map_or("", |(group, _)| group)
                    .to_owned(),
                kind: kind.to_owned(),
                namespace: namespace.map(str::to_owned),
                name: text(about, "/name").to_owned(),
            },
            uid: text(about, "/uid").into(),
            at: last_seen(event).into(),
            is_about_missing_pod: text(event, "/reason") == "FailedCreate",
            trouble,
        })
    }

    /// Returns the pods that may be waiting for the claim of this event. A StatefulSet names its
    /// claims `TEMPLATE-POD`.
    pub fn waiting_pods(&self) -> impl Iterator<Item = ObjectKey> {
        let ends_in_number = |name: &str| {
            name.rsplit_once('-').is_some_and(|(set, number)| {
                !set.is_empty()
                    && !number.is_empty()
                    && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        let claim = if self.about.kind == "PersistentVolumeClaim" {
            self.about.name.as_str()
        } else {
            ""
        };
        let pods = claim
            .match_indices('-')
            .map(|(at, _)| &claim[at + 1..])
            .filter(move |pod| ends_in_number(pod));
        pods.map(|pod| ObjectKey {
            kind: "Pod".to_owned(),
            name: pod.to_owned(),
            ..self.about.clone()
        })
    }
}

/// Returns the time of the last occurrence in whole seconds.
///
/// Objects have times in whole seconds, but some events have fractions.
fn last_seen(event: &Value) -> String {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
    ];
    let time = times
        .into_iter()
        .map(|pointer| text(event, pointer))
        .find(|time| !time.is_empty())
        .unwrap_or_default();
    time.get(..19)
        .map(|time| format!("{time}Z"))
        .unwrap_or_default()
}

fn trouble(kind: &str, reason: &str, message: &str) -> Option<Trouble> {
    let passing = |cause| Trouble::new(Severity::Passing, cause, message.to_owned());
    match (kind, reason) {
        ("Pod", "Failed") => {
            // Each failed pull has two events: one with the reason, and one with only
            // `Error: ErrImagePull`.
            let said = message
                .strip_prefix("Failed to pull image ")?
                .split_once(": ")?
                .1;
            let said = registry_words(said)?;
            Some(Trouble::new(
                Severity::Lasting,
                image_cause(said),
                said.to_owned(),
            ))
        }
        (
            "Pod",
            "FailedMount"
            | "FailedAttachVolume"
            | "FailedMapVolume"
            | "FailedCreatePodSandBox"
            | "FailedCreatePodContainer"
            | "NetworkNotReady",
        ) => Some(passing(Cause::Other)),
        ("PersistentVolumeClaim", "ProvisioningFailed") => {
            // The message for a missing class is `storageclass.storage.k8s.io "x" not found`. No
            // provisioner writes it.
            let absent = message.contains("storageclass") && message.contains("not found");
            let severity = if absent {
                Severity::Refused
            } else {
                Severity::Passing
            };
            Some(Trouble::new(severity, Cause::Rule, message.to_owned()))
        }
        ("PersistentVolumeClaim", "FailedBinding" | "VolumeResizeFailed") => {
            Some(passing(Cause::Other))
        }
        ("StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet", "FailedCreate" | "FailedUpdate") => {
            Some(refusal(message))
        }
        _ => None,
    }
}

/// Classifies why a pod or its claim is not created, from the message of the API server and its
/// admission plugins.
pub(super) fn refusal(message: &str) -> Trouble {
    // The attempted action comes first:
    // `create Pod peer0-0 in StatefulSet peer0 failed error: ...`.
    let message = message
        .split_once(" failed error: ")
        .map_or(message, |(_, why)| why);
    let has = |words: &str| message.contains(words);
    let (severity, cause) = match () {
        // Quota becomes available when other pods end.
        () if has("exceeded quota") => (Severity::Passing, Cause::Quota),
        () if has("failed quota") => (Severity::Refused, Cause::Quota),
        () if has("violates PodSecurity") => (Severity::Refused, Cause::PodSecurity),
        // The controller that sets up the namespace may still create the account.
        () if has("serviceaccount") && has("not found") => (Severity::Lasting, Cause::Rule),
        // An unreachable webhook may be starting.
        () if has("failed calling webhook") || has("being terminated") => {
            (Severity::Passing, Cause::Rule)
        }
        () if has("denied the request") || has("denied request") => {
            (Severity::Refused, Cause::Rule)
        }
        // PriorityClass, LimitRange, security context constraints, validation.
        () if has("forbidden") || has("is invalid") => (Severity::Refused, Cause::Rule),
        () => (Severity::Passing, Cause::Other),
    };
    Trouble::new(severity, cause, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
        let api_version = if matches!(kind, "Pod" | "PersistentVolumeClaim") {
            "v1"
        } else {
            "apps/v1"
        };
        json!({
            "involvedObject": {"apiVersion": api_version, "kind": kind, "namespace": "org1", "name": name, "uid": "u"},
            "reason": reason, "message": message, "lastTimestamp": "2026-11-30T10:00:00Z",
        })
    }

    #[test]
    fn words_tell_whether_a_refusal_may_pass() {
        use Severity::{Lasting, Passing, Refused};
        let pod = r#"create Pod peer0-0 in StatefulSet peer0 failed error: pods "peer0-0" is forbidden: "#;
        for (reason, expected) in [
            (
                "exceeded quota: pods, requested: pods=1, used: pods=5, limited: pods=5",
                (Passing, Cause::Quota),
            ),
            (
                "failed quota: cpu: must specify requests.cpu for: peer",
                (Refused, Cause::Quota),
            ),
            (
                r#"violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
                (Refused, Cause::PodSecurity),
            ),
            (
                "no PriorityClass with name nosuch was found",
                (Refused, Cause::Rule),
            ),
            (
                "maximum cpu usage per Container is 100m, but limit is 2",
                (Refused, Cause::Rule),
            ),
            (
                r#"error looking up service account org1/peer: serviceaccount "peer" not found"#,
                (Lasting, Cause::Rule),
            ),
            (
                r#"unable to create new content in namespace org1 because it is being terminated"#,
                (Passing, Cause::Rule),
            ),
        ] {
            let warning = Warning::of(&event(
                "StatefulSet",
                "peer0",
                "FailedCreate",
                &format!("{pod}{reason}"),
            ))
            .expect(reason);
            assert_eq!(
                (warning.trouble.severity, warning.trouble.cause),
                expected,
                "{reason}"
            );
            assert_eq!(warning.about.to_string(), "StatefulSet org1/peer0");
        }
        for (message, expected) in [
            (
                r#"admission webhook "policy.example.com" denied the request: no"#,
                Refused,
            ),
            (
                r#"Internal error occurred: failed calling webhook "policy.example.com": connection refused"#,
                Passing,
            ),
            ("etcdserver: request timed out", Passing),
        ] {
            let warning =
                Warning::of(&event("Job", "hook", "FailedCreate", message)).expect(message);
            assert_eq!(warning.trouble.severity, expected, "{message}");
        }
    }

    #[test]
    fn only_events_that_explain_something_are_kept() {
        let of = |kind, reason, message: &str| {
            Warning::of(&event(kind, "peer0-0", reason, message)).map(|it| it.trouble.reason)
        };
        assert_eq!(of("Pod", "Failed", "Error: ErrImagePull"), None);
        assert_eq!(
            of(
                "Pod",
                "Failed",
                r#"Failed to pull image "r/p:1": not found"#
            )
            .as_deref(),
            Some("not found")
        );
        assert_eq!(
            of("Pod", "Scheduled", "Successfully assigned org1/peer0-0"),
            None
        );
        assert_eq!(of("ConfigMap", "FailedMount", "x"), None);
        assert_eq!(
            of("Pod", "FailedMount", "no such share").as_deref(),
            Some("no such share")
        );
    }

    #[test]
    fn the_event_of_a_claim_is_found_by_its_pod() {
        let of = |claim: &str| -> Vec<String> {
            let warning = Warning::of(&event(
                "PersistentVolumeClaim",
                claim,
                "FailedBinding",
                "none fits",
            ))
            .expect("a reason");
            warning.waiting_pods().map(|pod| pod.to_string()).collect()
        };
        assert_eq!(of("ledger-peer0-0"), ["Pod org1/peer0-0"]);
        assert_eq!(
            of("data-my-peer-12"),
            ["Pod org1/my-peer-12", "Pod org1/peer-12"]
        );
        assert!(of("crypto").is_empty());
    }

    #[test]
    fn times_are_whole_seconds_for_every_writer() {
        let mut event = event("Pod", "peer0-0", "FailedMount", "x");
        let at = |event: &Value| Warning::of(event).expect("a reason").at.to_string();
        assert_eq!(at(&event), "2026-11-30T10:00:00Z");
        event["series"] = json!({"lastObservedTime": "2026-11-30T10:00:07.123456Z"});
        assert_eq!(at(&event), "2026-11-30T10:00:07Z");
        assert_eq!(last_seen(&json!({"eventTime": "short"})), "");
    }
}
