//! Claim templates of StatefulSets, and the claims that the StatefulSet controller makes from them.

use super::ObjectKey;
use serde_json::Value;

/// A StatefulSet, as far as its claims go.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    pub key: ObjectKey,
    pub templates: Vec<Template>,
    /// The labels of its selector. The controller gives them to its pods and claims
    /// (`getPersistentVolumeClaims` in `pkg/controller/statefulset/stateful_set_utils.go`).
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Set {
    /// `None` for an object of another kind.
    pub fn of(key: &ObjectKey, body: &Value) -> Option<Set> {
        let is_set = key.kind == "StatefulSet" && key.group == "apps";
        is_set.then(|| {
            let labels = body["spec"]["selector"]["matchLabels"]
                .as_object()
                .into_iter()
                .flatten();
            let labels = labels
                .filter_map(|(name, value)| Some((name.as_str().into(), value.as_str()?.into())));
            Set {
                key: key.clone(),
                templates: Template::all(body),
                labels: labels.collect(),
            }
        })
    }

    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.name == name)
    }

    /// Whether a claim has the name of one that the controller makes for this set.
    pub fn names(&self, claim: &Value) -> bool {
        self.templates
            .iter()
            .any(|template| template.made(&self.key.name, name(claim)))
    }

    /// Whether a claim or pod has the labels that the controller gives to this set's.
    pub fn selects(&self, body: &Value) -> bool {
        let labels = &body["metadata"]["labels"];
        !self.labels.is_empty()
            && self
                .labels
                .iter()
                .all(|(name, value)| labels[&**name] == **value)
    }
}

/// One of `spec.volumeClaimTemplates`.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub name: String,
    /// The storage that its claims request.
    size: Option<Box<str>>,
    /// The spec of its claims, as JSON: a tree takes ten times as much memory, and hardly any is
    /// looked at.
    spec: Box<str>,
}

impl Template {
    /// The claim templates of a StatefulSet.
    pub fn all(body: &Value) -> Vec<Template> {
        let templates = body["spec"]["volumeClaimTemplates"].as_array();
        let template = |template: &Value| {
            Some(Template::new(
                template["metadata"]["name"].as_str()?,
                &template["spec"],
            ))
        };
        templates
            .into_iter()
            .flatten()
            .filter_map(template)
            .collect()
    }

    pub fn new(name: &str, spec: &Value) -> Template {
        Template {
            name: name.to_owned(),
            size: size(spec).map(Box::from),
            spec: spec.to_string().into(),
        }
    }

    pub fn size(&self) -> Option<&str> {
        self.size.as_deref()
    }

    /// The spec of its claims.
    pub fn spec(&self) -> Value {
        serde_json::from_str(&self.spec).expect("it was written by this program")
    }

    /// Whether the controller made a claim of this name from this template of the StatefulSet
    /// `set`.
    pub fn made(&self, set: &str, claim: &str) -> bool {
        is_made(&self.name, set, claim)
    }
}

/// [`Template::made`] by the template's name.
pub fn is_made(template: &str, set: &str, claim: &str) -> bool {
    let ordinal = claim
        .strip_prefix(template)
        .and_then(|rest| rest.strip_prefix('-'));
    ordinal
        .and_then(|rest| rest.strip_prefix(set))
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(is_ordinal)
}

/// The storage that the spec of a claim requests.
pub fn size(spec: &Value) -> Option<&str> {
    spec["resources"]["requests"]["storage"].as_str()
}

/// The name of an object of kind `PersistentVolumeClaim` or `Pod`.
pub fn name(body: &Value) -> &str {
    body["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether `pod` is the name of a pod of the StatefulSet `set`.
pub fn is_pod_of(set: &str, pod: &str) -> bool {
    pod.strip_prefix(set)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(is_ordinal)
}

fn is_ordinal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_named_for_its_template_its_set_and_an_ordinal() {
        let template = Template::new("ledger", &Value::Null);
        for (claim, is_its) in [
            ("ledger-peer0-0", true),
            ("ledger-peer0-12", true),
            ("ledger-peer0-", false),
            ("ledger-peer0-a", false),
            ("ledger-peer0--1", false),
            ("ledger-peer00-0", false),
            ("ledger-peer0-0-0", false),
            ("couchdb-peer0-0", false),
        ] {
            assert_eq!(template.made("peer0", claim), is_its, "{claim}");
        }
    }
}
