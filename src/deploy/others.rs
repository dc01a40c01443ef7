//! Finds other objects in the release's namespace, of all kinds that the server knows.
//! `--delete-namespace` deletes the namespace only if there are none.

use super::Context;
use super::kept::{HOLDS_DATA, HOLDS_IDENTITY};
use super::pod_security::CREATED_FOR;
use crate::cluster::Everything;
use crate::error::Result;
use crate::manifest::{ObjectKey, annotation};
use crate::plan::{Action, Plan, Step};
use crate::storage;
use serde_json::Value;
use std::collections::HashSet;

/// Maximum number of objects to name. Further ones are only counted.
const NAMED: usize = 3;

/// Objects that are deleted with the release.
#[derive(Debug, Default)]
pub(super) struct Ours {
    release: String,
    uids: HashSet<String>,
    /// Names of Services. Endpoints have the same name, but no owner.
    services: HashSet<String>,
    /// Kept records prevent the deletion of the namespace.
    keep_history: bool,
}

impl Ours {
    pub fn new(context: &Context<'_>, plan: &Plan, keep_history: bool) -> Ours {
        let going = || {
            plan.with(Action::Prune)
                .chain(plan.hooks.iter().map(|hook| &hook.step))
        };
        let services = going()
            .filter(|step| step.key.kind == "Service")
            .map(|step| step.key.name.clone());
        Ours {
            release: context.release.as_str().to_owned(),
            services: services.collect(),
            uids: going().filter_map(|step| step.uid()).collect(),
            keep_history,
        }
    }

    /// Adds the dependents of this release's objects, such as the pods of a StatefulSet, and
    /// returns descriptions of all others.
    fn tell_apart(&mut self, objects: &[Value]) -> Vec<String> {
        loop {
            let before = self.uids.len();
            let owned: Vec<&Value> = objects.iter().filter(|body| self.is_owned(body)).collect();
            self.uids
                .extend(owned.into_iter().filter_map(uid).map(str::to_owned));
            if self.uids.len() == before {
                break;
            }
        }
        let others = objects
            .iter()
            .filter(|body| !self.goes(body) && !is_of_every_namespace(body));
        others
            .map(|body| {
                format!(
                    "{} {}",
                    text(&body["kind"]),
                    text(&body["metadata"]["name"])
                )
            })
            .collect()
    }

    /// Returns true if all owners belong to this release, so that the object is garbage-collected
    /// with them.
    fn is_owned(&self, body: &Value) -> bool {
        let owners = body["metadata"]["ownerReferences"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        !owners.is_empty()
            && owners
                .iter()
                .all(|owner| self.uids.contains(text(&owner["uid"])))
    }

    fn goes(&self, body: &Value) -> bool {
        // An object without a UID is computed and not stored, such as the metrics of pods.
        let Some(uid) = uid(body) else { return true };
        let name = text(&body["metadata"]["name"]);
        let record = storage::is_record_of(body, &self.release);
        match (text(&body["apiVersion"]), text(&body["kind"])) {
            _ if self.uids.contains(uid) => true,
            ("v1", "ConfigMap" | "Secret") if record => !self.keep_history,
            ("v1", "Endpoints") => self.services.contains(name),
            ("coordination.k8s.io/v1", "Lease") => name == super::lock::lease_name(&self.release),
            _ => false,
        }
    }
}

/// Returns true for objects that Kubernetes creates in each namespace.
fn is_of_every_namespace(body: &Value) -> bool {
    let (kind, name) = (text(&body["kind"]), text(&body["metadata"]["name"]));
    match text(&body["apiVersion"]) {
        "v1" => matches!(
            (kind, name),
            ("ConfigMap", "kube-root-ca.crt") | ("ServiceAccount", "default") | ("Event", _)
        ),
        api_version => api_version.starts_with("events.k8s.io/") && kind == "Event",
    }
}

fn uid(body: &Value) -> Option<&str> {
    body["metadata"]["uid"].as_str()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn key(context: &Context<'_>) -> ObjectKey {
    ObjectKey::of_namespace(context.namespace.as_str())
}

/// Returns why the namespace is not deleted with the release, or `None` if it can be deleted.
pub(super) async fn why_it_stays(
    context: &Context<'_>,
    namespace: &Value,
    plan: &Plan,
    ours: &mut Ours,
) -> Result<Option<String>> {
    if annotation(namespace, CREATED_FOR) != Some(context.release.as_str()) {
        return Ok(Some("it was not created for this release".to_owned()));
    }
    let in_namespace = |key: &ObjectKey| key.namespace.as_deref() == Some(&context.namespace);
    let kept: Vec<&Step> = plan
        .with(Action::Keep)
        .filter(|step| in_namespace(&step.key))
        .collect();
    if !kept.is_empty() {
        return Ok(Some(kept_in_words(&kept)));
    }
    if ours.keep_history {
        return Ok(Some("it holds the history of the release".to_owned()));
    }
    let Everything { objects, unread } =
        context.cluster.list_everything(&context.namespace).await?;
    let others = ours.tell_apart(&objects);
    Ok(if !others.is_empty() {
        Some(format!(
            "{} {} in it",
            named(&others),
            if others.len() == 1 { "is" } else { "are" }
        ))
    } else if !unread.is_empty() {
        Some(format!(
            "it may hold other objects, because these kinds cannot be listed: {}",
            named(&unread)
        ))
    } else {
        None
    })
}

/// Describes kept objects by reason. Data is kept by default, so this names the flag that deletes
/// it.
fn kept_in_words(kept: &[&Step]) -> String {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for step in kept {
        let name = format!("{} {}", step.key.kind, step.key.name);
        match reasons.iter_mut().find(|(why, _)| *why == step.why) {
            Some((_, names)) => names.push(name),
            None => reasons.push((&step.why, vec![name])),
        }
    }
    let reason = |(why, names): &(&str, Vec<String>)| {
        let verb = if names.len() == 1 { "is" } else { "are" };
        let way = if matches!(*why, HOLDS_DATA | HOLDS_IDENTITY) {
            " (--delete-data deletes it)"
        } else {
            ""
        };
        format!("{} {verb} kept: {why}{way}", named(names))
    };
    reasons.iter().map(reason).collect::<Vec<_>>().join("; ")
}

fn named(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len() {
        0..=NAMED => shown,
        many => format!("{shown} and {} more", many - NAMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(api_version: &str, kind: &str, name: &str, owner: Option<&str>) -> Value {
        let owners: Vec<Value> = owner.into_iter().map(|uid| json!({ "uid": uid })).collect();
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "uid": format!("uid-{name}"), "ownerReferences": owners}})
    }

    #[test]
    fn what_belongs_to_ours_and_what_is_in_every_namespace_does_not_count() {
        let mut ours = Ours {
            release: "org1".into(),
            uids: HashSet::from(["uid-deployment".to_owned()]),
            services: HashSet::from(["peer0".to_owned()]),
            keep_history: false,
        };
        let objects = [
            object("v1", "Pod", "pod", Some("uid-replicas")),
            object("apps/v1", "ReplicaSet", "replicas", Some("uid-deployment")),
            object("v1", "ConfigMap", "kube-root-ca.crt", None),
            object("v1", "ServiceAccount", "default", None),
            object("v1", "Event", "pod.1", None),
            object("events.k8s.io/v1", "Event", "pod.1", None),
            object("v1", "Endpoints", "peer0", None),
            object(
                "coordination.k8s.io/v1",
                "Lease",
                "kubectl-fabric.org1",
                None,
            ),
            json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": {"name": "pod"}}),
        ];
        assert_eq!(ours.tell_apart(&objects), Vec::<String>::new());
        // The ReplicaSet is already gone, but its pod is not.
        assert_eq!(ours.tell_apart(&objects[..1]), Vec::<String>::new());
        let others = [
            object("v1", "ConfigMap", "default", None),
            object("v1", "Pod", "static", Some("uid-of-a-node")),
            object("v1", "Endpoints", "leader", None),
            object("example.com/v1", "Event", "theirs", None),
        ];
        assert_eq!(
            ours.tell_apart(&others),
            [
                "ConfigMap default",
                "Pod static",
                "Endpoints leader",
                "Event theirs"
            ]
        );
    }
}
