//! Defaults that the API server writes into objects, without a field manager.

use super::compare::is_empty;
use serde_json::{Value, json};

/// Fields with the server's defaults (k8s.io/kubernetes `pkg/apis/*/v1/defaults.go`, and the
/// schemas of Gateway API).
///
/// None of these values has another meaning elsewhere.
const TEXTS: [(&str, &[&str]); 32] = [
    ("apiGroup", &["rbac.authorization.k8s.io"]),
    ("apiVersion", &["v1"]),
    ("completionMode", &["NonIndexed"]),
    ("concurrencyPolicy", &["Allow"]),
    ("dnsPolicy", &["ClusterFirst"]),
    ("externalTrafficPolicy", &["Cluster"]),
    ("group", &["", "gateway.networking.k8s.io"]),
    ("imagePullPolicy", &["IfNotPresent", "Always"]),
    ("internalTrafficPolicy", &["Cluster"]),
    ("ipFamilyPolicy", &["SingleStack"]),
    ("kind", &["Gateway", "PersistentVolumeClaim", "Service"]),
    ("maxSurge", &["25%"]),
    ("maxUnavailable", &["25%"]),
    ("mountPropagation", &["None"]),
    ("podManagementPolicy", &["OrderedReady"]),
    ("podReplacementPolicy", &["TerminatingOrFailed"]),
    ("protocol", &["TCP"]),
    ("recursiveReadOnly", &["Disabled"]),
    ("restartPolicy", &["Always"]),
    ("schedulerName", &["default-scheduler"]),
    ("scheme", &["HTTP"]),
    ("sessionAffinity", &["None"]),
    ("terminationMessagePath", &["/dev/termination-log"]),
    ("terminationMessagePolicy", &["File"]),
    ("type", &["ClusterIP", "Opaque", "RollingUpdate"]),
    ("volumeMode", &["Filesystem"]),
    ("whenDeleted", &["Retain"]),
    ("whenScaled", &["Retain"]),
    ("nodeAffinityPolicy", &["Honor"]),
    ("nodeTaintsPolicy", &["Ignore"]),
    ("persistentVolumeReclaimPolicy", &["Retain"]),
    ("pathType", &["ImplementationSpecific"]),
];

const NUMBERS: [(&str, i64); 14] = [
    ("backoffLimit", 6),
    ("completions", 1),
    ("defaultMode", 0o644),
    ("expirationSeconds", 3600),
    ("failureThreshold", 3),
    ("parallelism", 1),
    ("partition", 0),
    ("periodSeconds", 10),
    ("progressDeadlineSeconds", 600),
    ("revisionHistoryLimit", 10),
    ("successThreshold", 1),
    ("terminationGracePeriodSeconds", 30),
    ("timeoutSeconds", 1),
    ("weight", 1),
];

const SWITCHES: [(&str, bool); 5] = [
    ("allocateLoadBalancerNodePorts", true),
    ("automountServiceAccountToken", true),
    ("enableServiceLinks", true),
    ("publishNotReadyAddresses", false),
    ("suspend", false),
];

/// Returns true if a field with this value means the same as no field.
pub fn is_default(name: &str, value: &Value) -> bool {
    if is_empty(value) {
        return true;
    }
    match value {
        Value::String(text) => TEXTS
            .iter()
            .any(|(field, texts)| *field == name && texts.contains(&text.as_str())),
        Value::Number(number) => NUMBERS
            .iter()
            .any(|(field, default)| *field == name && number.as_i64() == Some(*default)),
        Value::Bool(switch) => SWITCHES.contains(&(name, *switch)),
        Value::Object(fields) => fields.iter().all(|(name, value)| is_default(name, value)),
        _ => false,
    }
}

/// Returns true if the server added this part of an atomic list or map: a default, or the status of
/// a claim template.
pub fn is_servers(name: &str, value: &Value) -> bool {
    is_default(name, value) || (name == "status" && *value == json!({"phase": "Pending"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_reported_by_its_field_and_its_value() {
        assert!(is_default("protocol", &json!("TCP")) && !is_default("protocol", &json!("UDP")));
        assert!(is_default(
            "updateStrategy",
            &json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        ));
        assert!(!is_default("rollingUpdate", &json!({"partition": 1})));
        assert!(is_default("securityContext", &json!({})) && !is_default("ingress", &json!([{}])));
        assert!(!is_default("hostNetwork", &json!(true)) && !is_default("image", &json!("v1")));
    }
}
