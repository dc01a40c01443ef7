//! Kubernetes objects in this program: identity, labels, order, hooks, readiness.

use crate::yaml;
use serde_json::Value;
use std::borrow::Borrow;
use std::fmt;

pub mod claims;
pub mod events;
pub mod hook;
pub mod kinds;
pub mod live;
pub mod order;
pub mod outline;
pub mod pod_security;
pub mod quantity;
pub mod readiness;
pub mod references;
mod sealed;
pub mod trouble;

pub use hook::{DeletePolicy, Hook, HookEvent};
pub use order::install_order;
pub use sealed::Sealed;

/// Prefix of all labels and annotations of this program.
pub const DOMAIN: &str = "kubectl-fabric.io";

/// Annotations `kubectl-fabric.io/<name>` that charts may use.
pub const ANNOTATIONS: [&str; 8] = [
    "config-hash",
    "hook",
    "hook-delete-policy",
    "hook-weight",
    "pod-security",
    "resource-policy",
    "rollout-group",
    "stage",
];

/// Kinds of the group `apps` that create pods from a template, and replace them when it changes.
pub const WORKLOADS: [&str; 4] = ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"];

/// Prefixes of the annotations that Helm has too.
const DOMAINS: [&str; 2] = [DOMAIN, "helm.sh"];

/// The identity of an object. Two objects with equal keys are the same object.
///
/// The API version is not part of the key, so that an object keeps its identity when its group
/// serves a newer version.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct ObjectKey {
    /// Empty for the core group.
    pub group: String,
    pub kind: String,
    /// `None` for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl ObjectKey {
    pub fn of_namespace(name: impl Into<String>) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "Namespace".into(),
            namespace: None,
            name: name.into(),
        }
    }

    /// Returns the key of a namespaced object of the core group, such as a Pod or Secret.
    pub fn core(
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: kind.into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    /// Formats as `StatefulSet org1/peer0` or `Namespace org1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// The template line that produced an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TemplateLine {
    /// `templates/peers.yaml`
    pub template: String,
    /// 1-based line of the template on which the object begins.
    pub line: usize,
}

/// An object in its desired state.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub key: ObjectKey,
    pub body: Value,
    pub source: TemplateLine,
}

impl Object {
    /// Reads an object from its body. Returns `None` if apiVersion, kind or metadata.name is
    /// missing.
    ///
    /// The namespace is that in the body.
    pub fn from_body(body: Value, source: TemplateLine) -> Option<Object> {
        let api_version = body.get("apiVersion")?.as_str()?;
        let group = api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned();
        let kind = body.get("kind")?.as_str()?.to_owned();
        let metadata = body.get("metadata")?;
        let name = metadata.get("name")?.as_str()?.to_owned();
        let namespace = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Some(Object {
            key: ObjectKey {
                group,
                kind,
                namespace,
                name,
            },
            body,
            source,
        })
    }

    pub fn api_version(&self) -> &str {
        self.body["apiVersion"].as_str().unwrap_or_default()
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        annotation(&self.body, name)
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.body
            .get("metadata")?
            .get("labels")?
            .get(name)?
            .as_str()
    }

    /// Returns the stage from `kubectl-fabric.io/stage`, 0 by default.
    ///
    /// Objects of a lower stage are applied and become ready before those of a higher stage.
    pub fn stage(&self) -> i32 {
        stage(&self.body)
    }

    /// Returns true if the object stays in the cluster when the release is uninstalled or the chart
    /// no longer has it.
    ///
    /// The annotation is `kubectl-fabric.io/resource-policy: keep`, or Helm's
    /// `helm.sh/resource-policy: keep`.
    pub fn is_kept(&self) -> bool {
        is_kept(&self.body)
    }

    /// Returns the rollout group from `kubectl-fabric.io/rollout-group`.
    ///
    /// Running objects of a group change one at a time, each while all others are Ready.
    pub fn rollout_group(&self) -> Option<&str> {
        rollout_group(&self.body)
    }
}

/// Returns an annotation from an object's body.
pub fn annotation<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get("metadata")?
        .get("annotations")?
        .get(name)?
        .as_str()
}

/// Like [`Object::stage`], for a live object.
pub fn stage(body: &Value) -> i32 {
    annotation(body, "kubectl-fabric.io/stage")
        .and_then(|stage| stage.parse().ok())
        .unwrap_or(0)
}

/// Like [`Object::rollout_group`], for a live object.
pub fn rollout_group(body: &Value) -> Option<&str> {
    annotation(body, "kubectl-fabric.io/rollout-group")
}

/// Like [`Object::is_kept`], for a live object.
pub fn is_kept(body: &Value) -> bool {
    DOMAINS.iter().any(|domain| {
        annotation(body, &format!("{domain}/resource-policy"))
            .is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
    })
}

/// An annotation that controls this program, under its own prefix or Helm's.
pub(crate) struct Annotation<'a> {
    /// The full name: `helm.sh/hook`.
    name: String,
    value: &'a str,
}

/// An annotation with an invalid value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Misread {
    pub annotation: String,
    pub why: String,
}

impl<'a> Annotation<'a> {
    /// Finds `kubectl-fabric.io/<name>` or `helm.sh/<name>`. Both at once are ambiguous, and an
    /// error.
    fn find(object: &'a Object, name: &str) -> Result<Option<Annotation<'a>>, Misread> {
        // Most objects have no annotations. This avoids building the names for them.
        let annotations = object.body["metadata"]["annotations"].as_object();
        let mut found = DOMAINS.iter().filter_map(|domain| {
            let annotations = annotations?;
            let name = format!("{domain}/{name}");
            let value = annotations.get(&name)?.as_str()?;
            Some(Annotation { name, value })
        });
        let first = found.next();
        match (first, found.next()) {
            (Some(ours), Some(helms)) => {
                Err(helms.misread(format!("set it only once: {} is set too", ours.name)))
            }
            (first, _) => Ok(first),
        }
    }

    fn misread(&self, why: impl Into<String>) -> Misread {
        Misread {
            annotation: self.name.clone(),
            why: why.into(),
        }
    }
}

/// Checks the annotations that control this program, except those of hooks (see [`hook::Marks`]).
pub(crate) fn check_annotations(object: &Object) -> Result<(), Misread> {
    if let Some(policy) = Annotation::find(object, "resource-policy")?
        && !policy.value.trim().eq_ignore_ascii_case("keep")
    {
        return Err(policy.misread(format!(
            "unknown resource policy \"{}\"; expected \"keep\"",
            policy.value
        )));
    }
    if let Some(value) = object.annotation("kubectl-fabric.io/stage")
        && value.parse::<i32>().is_err()
    {
        let stage = Annotation {
            name: "kubectl-fabric.io/stage".to_owned(),
            value,
        };
        return Err(stage.misread(format!("a stage must be an integer, not \"{value}\"")));
    }
    for body in [Some(&object.body), pod_security::template(&object.body)]
        .into_iter()
        .flatten()
    {
        if let Some(value) = annotation(body, pod_security::ANNOTATION)
            && pod_security::Level::parse(value).is_none()
        {
            let level = Annotation {
                name: pod_security::ANNOTATION.to_owned(),
                value,
            };
            return Err(level.misread(format!(
                "the level must be restricted, baseline or privileged, not \"{value}\""
            )));
        }
    }
    Ok(())
}

/// Writes objects as text, each with its template, as `template` and `get manifest` show them.
///
/// `chart` is the chart's name. Objects without a template (from an older record) have no such
/// line.
pub fn to_yaml(chart: &str, objects: impl IntoIterator<Item = impl Borrow<Object>>) -> String {
    let mut text = String::with_capacity(1 << 10);
    for object in objects {
        let object = object.borrow();
        text.push_str("---\n");
        if !object.source.template.is_empty() {
            // A file name may contain characters that some YAML reader takes for the end of a line,
            // and must not end the comment.
            let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            text.push_str("# Source: ");
            for part in [chart, "/", &object.source.template] {
                match part
                    .as_bytes()
                    .iter()
                    .all(|byte| matches!(byte, b'!'..=b'~'))
                {
                    true => text.push_str(part),
                    false => text.extend(part.chars().map(|c| {
                        if ends_line(c) {
                            char::REPLACEMENT_CHARACTER
                        } else {
                            c
                        }
                    })),
                }
            }
            text.push('\n');
        }
        yaml::emit_to(&mut text, &object.body);
    }
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn annotated(annotations: Value) -> Object {
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations}});
        Object::from_body(
            body,
            TemplateLine {
                template: "templates/p.yaml".to_owned(),
                line: 1,
            },
        )
        .unwrap()
    }

    #[test]
    fn objects_are_kept_by_either_spelling_and_other_policies_are_errors() {
        for name in [
            "helm.sh/resource-policy",
            "kubectl-fabric.io/resource-policy",
        ] {
            let kept = annotated(json!({name: " Keep"}));
            assert!(kept.is_kept() && check_annotations(&kept).is_ok());
            let wrong = annotated(json!({name: "delete"}));
            assert!(!wrong.is_kept());
            assert_eq!(check_annotations(&wrong).unwrap_err().annotation, name);
        }
        assert!(!annotated(json!({})).is_kept());
    }

    #[test]
    fn a_stage_is_a_number() {
        assert_eq!(
            annotated(json!({"kubectl-fabric.io/stage": "-2"})).stage(),
            -2
        );
        let misread =
            check_annotations(&annotated(json!({"kubectl-fabric.io/stage": "last"}))).unwrap_err();
        assert_eq!(misread.why, "a stage must be an integer, not \"last\"");
    }

    #[test]
    fn text_names_the_template_of_each_object() {
        let object = annotated(json!({}));
        let text = to_yaml(
            "demo",
            [
                &object,
                &Object {
                    source: TemplateLine::default(),
                    ..object.clone()
                },
            ],
        );
        assert!(
            text.starts_with("---\n# Source: demo/templates/p.yaml\napiVersion: v1\nkind: Pod\n"),
            "{text}"
        );
        assert_eq!(text.matches("---\n").count(), 2);
        assert_eq!(text.matches("# Source").count(), 1);
        let named = |template: &str| Object {
            source: TemplateLine {
                template: template.to_owned(),
                line: 1,
            },
            ..object.clone()
        };
        for template in [
            "a\nkind: Secret",
            "a\rkind: Secret",
            "a\u{85}kind: Secret",
            "a\u{2028}kind: Secret",
        ] {
            assert!(
                to_yaml("demo", [&named(template)])
                    .starts_with("---\n# Source: demo/a\u{fffd}kind: Secret\n"),
                "{template:?}"
            );
        }
    }
}
