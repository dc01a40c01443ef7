//! Claim templates of StatefulSets, and the claims that the StatefulSet controller creates from
//! them.

use super::ObjectKey;
use serde_json::Value;

/// The parts of a StatefulSet that concern its claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    pub key: ObjectKey,
    pub templates: Vec<Template>,
    /// The labels of its selector, which the controller also gives to its pods and claims
    /// (`getPersistentVolumeClaims` in `pkg/controller/statefulset/stateful_set_utils.go`).
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Set {
    /// Returns `None` for an object of another kind.
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

    /// Returns true if the claim has a name that the controller uses for this set.
    pub fn names(&self, claim: &Value) -> bool {
        self.templates
            .iter()
            .any(|template| template.made(&self.key.name, name(claim)))
    }

    /// Returns true if a claim or pod has the labels of this set's claims and pods.
    pub fn selects(&self, body: &Value) -> bool {
        let labels = &body["metadata"]["labels"];
        !self.labels.is_empty()
            && self
                .labels
                .iter()
                .all(|(name, value)| labels[&**name] == **value)
    }
}

/// An entry of `spec.volumeClaimTemplates`.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub name: String,
    /// The storage request of its claims.
    size: Option<Box<str>>,
    /// The spec of its claims as JSON. A tree takes ten times as much memory, and few specs are
    /// read.
    spec: Box<str>,
}

impl Template {
    /// Returns the claim templates of a StatefulSet.
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

    /// Returns the spec of its claims.
    pub fn spec(&self) -> Value {
        serde_json::from_str(&self.spec).expect("this program wrote it")
    }

    /// Returns true if a claim of this name comes from this template of the StatefulSet `set`.
    pub fn made(&self, set: &str, claim: &str) -> bool {
        is_made(&self.name, set, claim)
    }
}

/// Like [`Template::made`], with the template's name.
pub fn is_made(template: &str, set: &str, claim: &str) -> bool {
    let ordinal = claim
        .strip_prefix(template)
        .and_then(|rest| rest.strip_prefix('-'));
    ordinal
        .and_then(|rest| rest.strip_prefix(set))
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(is_ordinal)
}

/// Returns the storage request in the spec of a claim.
pub fn size(spec: &Value) -> Option<&str> {
    spec["resources"]["requests"]["storage"].as_str()
}

/// Returns the name of a `PersistentVolumeClaim` or `Pod`.
pub fn name(body: &Value) -> &str {
    body["metadata"]["name"].as_str().unwrap_or_default()
}

/// Returns true if `pod` is the name of a pod of the StatefulSet `set`.
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
