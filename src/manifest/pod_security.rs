//! Determines the Pod Security level that the pods of a manifest need.
//!
//! The rules are those of <https://kubernetes.io/docs/concepts/security/pod-security-standards/>,
//! as k8s.io/pod-security-admission 0.36 checks them (`policy/check_*.go`). Its exceptions for
//! Windows pods and for pods with user namespaces are ignored. The result may therefore be more
//! permissive than necessary, but never too strict.

use super::{Object, ObjectKey, annotation};
use serde_json::Value;
use std::fmt;

/// Annotation of an object, or of its pods, whose needs exceed what the manifest shows: pods that a
/// program creates, or containers that a webhook adds.
pub const ANNOTATION: &str = "kubectl-fabric.io/pod-security";

/// A Pod Security level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Restricted,
    Baseline,
    Privileged,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Restricted, Level::Baseline, Level::Privileged];

    pub fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Level::Restricted => "restricted",
            Level::Baseline => "baseline",
            Level::Privileged => "privileged",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object whose pods need more than `restricted`, with the reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    pub key: ObjectKey,
    pub level: Level,
    pub why: String,
}

/// Returns the needs of the pods of these objects.
pub fn needs<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<Need> {
    let need = |object: &'a Object| {
        let breaks = breaks(&object.body);
        let level = breaks.iter().map(|(level, _)| *level).max()?;
        let why: Vec<String> = breaks
            .into_iter()
            .filter(|(own, _)| *own == level)
            .map(|(_, why)| why)
            .collect();
        Some(Need {
            key: object.key.clone(),
            level,
            why: why.join("; "),
        })
    };
    objects
        .into_iter()
        .filter_map(need)
        .filter(|need| need.level > Level::Restricted)
        .collect()
}

/// Returns the strictest level that satisfies all needs.
pub fn level(needs: &[Need]) -> Level {
    needs
        .iter()
        .map(|need| need.level)
        .max()
        .unwrap_or(Level::Restricted)
}

/// Returns the level that a workload's pods need.
pub fn level_of(body: &Value) -> Level {
    breaks(body)
        .into_iter()
        .map(|(level, _)| level)
        .max()
        .unwrap_or(Level::Restricted)
}

/// Returns the pod template of a workload, or the pod itself.
pub(super) fn template(body: &Value) -> Option<&Value> {
    match body["kind"].as_str()? {
        "Pod" => Some(body),
        "CronJob" => body.pointer("/spec/jobTemplate/spec/template"),
        _ => body
            .get("spec")?
            .get("template")
            .filter(|template| template["spec"]["containers"].is_array()),
    }
}

/// Returns all rules that the object's pods violate, each with the level that allows it.
fn breaks(body: &Value) -> Vec<(Level, String)> {
    let template = template(body);
    let annotated = [Some(body), template]
        .into_iter()
        .flatten()
        .filter_map(|body| annotation(body, ANNOTATION));
    let annotated = annotated
        .filter_map(Level::parse)
        .map(|level| (level, format!("its annotation {ANNOTATION} requires it")));
    let mut breaks: Vec<(Level, String)> = annotated.collect();
    if let Some(template) = template {
        let spec = &template["spec"];
        let violations = |rules: &[Rule], part: &Value, place: &str| -> Vec<(Level, String)> {
            let broken = rules.iter().filter(|rule| (rule.broken)(part, spec));
            broken
                .map(|rule| (rule.level, format!("{place}{}", rule.why)))
                .collect()
        };
        breaks.extend(violations(&POD, spec, ""));
        breaks.extend(violations(&CONTEXT, &spec["securityContext"], ""));
        if profiles(template).any(|profile| {
            !matches!(profile, "" | "runtime/default") && !profile.starts_with("localhost/")
        }) {
            breaks.push((
                Level::Privileged,
                "it runs without an AppArmor profile".to_owned(),
            ));
        }
        for container in ["initContainers", "containers"]
            .iter()
            .filter_map(|key| spec[key].as_array())
            .flatten()
        {
            let place = format!(
                "container {}: ",
                container["name"].as_str().unwrap_or_default()
            );
            breaks.extend(violations(&CONTEXT, &container["securityContext"], &place));
            breaks.extend(violations(&CONTAINER, container, &place));
        }
    }
    breaks
}

/// Returns the AppArmor profiles in annotations.
fn profiles(template: &Value) -> impl Iterator<Item = &str> {
    let annotations = template["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten();
    let named = annotations
        .filter(|(name, _)| name.starts_with("container.apparmor.security.beta.kubernetes.io/"));
    named.filter_map(|(_, profile)| profile.as_str())
}

struct Rule {
    /// The level that allows a violation of the rule.
    level: Level,
    /// Returns true if the rule is violated. The arguments are the part of the pod to check, and
    /// the pod's spec.
    broken: fn(&Value, &Value) -> bool,
    why: &'static str,
}

const fn baseline(broken: fn(&Value, &Value) -> bool, why: &'static str) -> Rule {
    Rule {
        level: Level::Privileged,
        broken,
        why,
    }
}

const fn restricted(broken: fn(&Value, &Value) -> bool, why: &'static str) -> Rule {
    Rule {
        level: Level::Baseline,
        broken,
        why,
    }
}

/// Rules for a pod's spec.
const POD: [Rule; 4] = [
    baseline(
        |pod, _| {
            ["hostNetwork", "hostPID", "hostIPC"]
                .iter()
                .any(|name| pod[name] == true)
        },
        "it uses a namespace of the host (hostNetwork, hostPID or hostIPC)",
    ),
    baseline(
        |pod, _| each(&pod["volumes"]).any(|volume| !volume["hostPath"].is_null()),
        "a volume is a path of the host (hostPath)",
    ),
    baseline(
        |pod, _| {
            let sysctls = each(&pod["securityContext"]["sysctls"]);
            sysctls.into_iter().any(|sysctl| {
                !sysctl["name"]
                    .as_str()
                    .is_some_and(|name| SYSCTLS.contains(&name))
            })
        },
        "it sets unsafe sysctls",
    ),
    restricted(
        |pod, _| {
            let kinds = |volume: &'_ Value| {
                volume
                    .as_object()
                    .is_none_or(|volume| !volume.keys().all(|key| VOLUMES.contains(&key.as_str())))
            };
            each(&pod["volumes"]).any(kinds)
        },
        "a volume is not a configuration volume, a claim or an emptyDir",
    ),
];

/// Rules for a `securityContext` of a pod or container.
const CONTEXT: [Rule; 6] = [
    baseline(
        |context, _| context["windowsOptions"]["hostProcess"] == true,
        "it is a process of the host (hostProcess)",
    ),
    baseline(
        |context, _| {
            let options = &context["seLinuxOptions"];
            !SELINUX.contains(&text(&options["type"]))
                || !text(&options["user"]).is_empty()
                || !text(&options["role"]).is_empty()
        },
        "it has seLinuxOptions that containers cannot use",
    ),
    baseline(
        |context, _| context["appArmorProfile"]["type"] == "Unconfined",
        "it runs without an AppArmor profile",
    ),
    baseline(
        |context, _| context["seccompProfile"]["type"] == "Unconfined",
        "it runs without a seccomp profile",
    ),
    restricted(|context, _| context["runAsUser"] == 0, "it runs as root"),
    restricted(
        |context, _| context["runAsNonRoot"] == false,
        "it may run as root (runAsNonRoot: false)",
    ),
];

/// Rules for a container, which inherits settings from the pod's spec.
const CONTAINER: [Rule; 10] = [
    baseline(
        |container, _| container["securityContext"]["privileged"] == true,
        "it is privileged",
    ),
    baseline(
        |container, _| {
            !matches!(
                text(&container["securityContext"]["procMount"]),
                "" | "Default"
            )
        },
        "it has an unmasked /proc (procMount)",
    ),
    baseline(
        |container, _| capabilities(container, "add").any(|name| !CAPABILITIES.contains(&name)),
        "it adds capabilities that containers do not have by default",
    ),
    baseline(
        |container, _| {
            each(&container["ports"])
                .any(|port| port["hostPort"].as_u64().is_some_and(|port| port != 0))
        },
        "it uses a port of the host (hostPort)",
    ),
    baseline(
        |container, _| {
            let lifecycle = &container["lifecycle"];
            let probes =
                ["livenessProbe", "readinessProbe", "startupProbe"].map(|name| &container[name]);
            let asked = probes
                .into_iter()
                .chain([&lifecycle["postStart"], &lifecycle["preStop"]]);
            asked.into_iter().any(|ask| {
                ["httpGet", "tcpSocket"]
                    .iter()
                    .any(|way| !text(&ask[way]["host"]).is_empty())
            })
        },
        "a probe or lifecycle hook calls another host",
    ),
    restricted(
        |container, _| container["securityContext"]["allowPrivilegeEscalation"] != false,
        "allowPrivilegeEscalation is not false",
    ),
    restricted(
        |container, _| !capabilities(container, "drop").any(|name| name == "ALL"),
        "it does not drop ALL capabilities",
    ),
    restricted(
        |container, _| capabilities(container, "add").any(|name| name != "NET_BIND_SERVICE"),
        "it adds capabilities other than NET_BIND_SERVICE",
    ),
    restricted(
        |container, pod| !says(container, pod, "runAsNonRoot", |value| value == true),
        "runAsNonRoot is not set",
    ),
    restricted(
        |container, pod| {
            !says(container, pod, "seccompProfile", |value| {
                matches!(text(&value["type"]), "RuntimeDefault" | "Localhost")
            })
        },
        "seccompProfile is not set",
    ),
];

/// Default capabilities of container runtimes (`check_capabilities_baseline.go`).
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Sysctls that affect only the pod (`check_sysctls.go`).
///
/// Excludes those that newer releases of Kubernetes added, because older releases refuse them.
const SYSCTLS: [&str; 5] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_syncookies",
];

/// Allowed SELinux types of a container's process (`check_seLinuxOptions.go`).
const SELINUX: [&str; 4] = ["", "container_t", "container_init_t", "container_kvm_t"];

/// Fields of a volume that `restricted` allows (`check_restrictedVolumes.go`).
const VOLUMES: [&str; 9] = [
    "name",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn capabilities<'a>(container: &'a Value, list: &str) -> impl Iterator<Item = &'a str> {
    each(&container["securityContext"]["capabilities"][list]).map(text)
}

/// Checks the container's own setting, or the pod's setting if the container has none.
fn says(container: &Value, pod: &Value, setting: &str, good: fn(&Value) -> bool) -> bool {
    let own = [container, pod]
        .into_iter()
        .map(|part| &part["securityContext"][setting])
        .find(|value| !value.is_null());
    own.is_some_and(good)
}
