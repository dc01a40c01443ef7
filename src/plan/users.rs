//! Finds users of a volume claim or Secret. Data is deleted with a release only if no object of
//! another owner uses it.

use super::ownership::{self, Owner};
use crate::manifest::claims::{self, Set, Template};
use crate::manifest::{ObjectKey, annotation, references};
use serde_json::Value;

/// Maximum number of owners above a pod: a CronJob's Job, a Deployment's ReplicaSet, and a few
/// custom kinds.
const MOST_OWNERS: usize = 8;

/// The workloads and pods of a namespace that the user may list.
#[derive(Default)]
pub struct Workloads(pub Vec<Value>);

impl Workloads {
    /// Describes a workload or pod of another owner that uses a volume claim or Secret.
    ///
    /// `sets` are the StatefulSets that the release created. A pod whose StatefulSet is deleted
    /// still belongs to them.
    pub fn of_others(&self, owner: &Owner, sets: &[&Set], data: &ObjectKey) -> Option<String> {
        let uses = |body: &&Value| !is_leaving(body) && uses(body, data);
        let other = self
            .0
            .iter()
            .filter(uses)
            .find(|body| !self.is_ours(owner, sets, body))?;
        let other = self.above(other);
        let words = format!("{} {}", text(&other["kind"]), claims::name(other));
        Some(match annotation(other, ownership::RELEASE) {
            Some(release) => format!("{words} of release \"{release}\" uses it"),
            None => format!("{words} uses it and is not part of this release"),
        })
    }

    fn is_ours(&self, owner: &Owner, sets: &[&Set], body: &Value) -> bool {
        let top = self.above(body);
        if owner.owns(body) || owner.owns(top) {
            return true;
        }
        if text(&top["kind"]) != "Pod" && text(&top["kind"]) != "ReplicaSet" {
            return false;
        }
        // Its workload is deleted, or the user may not list it.
        let of_set =
            |set: &&&Set| claims::is_pod_of(&set.key.name, claims::name(top)) && set.selects(top);
        let is_selecting = |workload: &&Value| owner.owns(workload) && selects(workload, top);
        sets.iter().any(|set| of_set(&set))
            || (controller(top).is_some() && self.0.iter().any(|it| is_selecting(&it)))
    }

    /// Returns the topmost known owner.
    fn above<'a>(&'a self, body: &'a Value) -> &'a Value {
        let mut top = body;
        for _ in 0..MOST_OWNERS {
            let above = controller(top)
                .and_then(|uid| self.0.iter().find(|it| it["metadata"]["uid"] == uid));
            match above {
                Some(above) => top = above,
                None => break,
            }
        }
        top
    }
}

fn uses(body: &Value, data: &ObjectKey) -> bool {
    let name = data.name.as_str();
    let pod = references::pod_of(body);
    match data.kind.as_str() {
        "Secret" => pod.is_some_and(|pod| references::secrets(pod).contains(name)),
        _ => {
            let mut volumes = pod
                .and_then(|pod| pod["volumes"].as_array())
                .into_iter()
                .flatten();
            volumes.any(|volume| volume["persistentVolumeClaim"]["claimName"] == name)
                || Template::all(body)
                    .iter()
                    .any(|template| template.made(claims::name(body), name))
        }
    }
}

/// Returns true for a pod that is being deleted. If its controller will replace it, the list
/// contains the controller.
fn is_leaving(body: &Value) -> bool {
    body["kind"] == "Pod" && !body["metadata"]["deletionTimestamp"].is_null()
}

fn selects(workload: &Value, pod: &Value) -> bool {
    let labels = workload["spec"]["selector"]["matchLabels"]
        .as_object()
        .filter(|labels| !labels.is_empty());
    labels.is_some_and(|labels| {
        labels
            .iter()
            .all(|(name, value)| pod["metadata"]["labels"][name] == *value)
    })
}

fn controller(body: &Value) -> Option<&str> {
    let mut owners = body["metadata"]["ownerReferences"].as_array()?.iter();
    owners.find(|owner| owner["controller"] == true)?["uid"].as_str()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(kind: &str, name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: kind.into(),
            namespace: Some("org1".into()),
            name: name.into(),
        }
    }

    fn object(
        kind: &str,
        name: &str,
        release: Option<&str>,
        controller: Option<&str>,
        spec: Value,
    ) -> Value {
        let mut body = json!({"kind": kind, "metadata": {"name": name, "uid": format!("{kind}-{name}"), "labels": {"app": name}}, "spec": spec});
        if let Some(release) = release {
            Owner {
                release: release.into(),
                namespace: "org1".into(),
            }
            .mark(&mut body);
        }
        if let Some(uid) = controller {
            body["metadata"]["ownerReferences"] = json!([{"uid": uid, "controller": true}]);
        }
        body
    }

    fn pod_spec() -> Value {
        json!({"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "secret": {"secretName": "keys"}}],
            "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "password"}}]}]})
    }

    fn template() -> Value {
        json!({"selector": {"matchLabels": {"app": "web"}}, "template": {"spec": pod_spec()}})
    }

    fn users(all: &[Value], data: &ObjectKey) -> Option<String> {
        let owner = Owner {
            release: "a".into(),
            namespace: "org1".into(),
        };
        Workloads(all.to_vec()).of_others(&owner, &[], data)
    }

    #[test]
    fn what_anothers_workload_or_pod_uses_is_reported_and_what_the_releases_own_use_is_not() {
        let by_cron = json!({"jobTemplate": {"spec": {"template": {"spec": pod_spec()}}}});
        for data in [
            key("PersistentVolumeClaim", "data"),
            key("Secret", "keys"),
            key("Secret", "password"),
        ] {
            for (all, user) in [
                (
                    vec![object("Deployment", "web", Some("b"), None, template())],
                    Some("Deployment web of release \"b\" uses it"),
                ),
                (
                    vec![object("Deployment", "web", Some("a"), None, template())],
                    None,
                ),
                (
                    vec![object("CronJob", "web", None, None, by_cron.clone())],
                    Some("CronJob web uses it and is not part of this release"),
                ),
                (
                    vec![object("Pod", "web", None, None, pod_spec())],
                    Some("Pod web uses it and is not part of this release"),
                ),
                (
                    // A pod of a Deployment, through its ReplicaSet.
                    vec![
                        object("Pod", "web-x-y", None, Some("ReplicaSet-web-x"), pod_spec()),
                        object(
                            "ReplicaSet",
                            "web-x",
                            None,
                            Some("Deployment-web"),
                            json!({}),
                        ),
                        object("Deployment", "web", Some("b"), None, json!({})),
                    ],
                    Some("Deployment web of release \"b\" uses it"),
                ),
                (
                    // The user may not list ReplicaSets.
                    vec![
                        object("Pod", "web", None, Some("ReplicaSet-web-x"), pod_spec()),
                        object("Deployment", "web", Some("a"), None, template()),
                    ],
                    None,
                ),
                (
                    // The same, but no workload of the release selects it.
                    vec![
                        object("Pod", "job", None, Some("ReplicaSet-web-x"), pod_spec()),
                        object("Deployment", "web", Some("a"), None, template()),
                    ],
                    Some("Pod job uses it and is not part of this release"),
                ),
                (
                    // Circular owners.
                    vec![object("Pod", "web", None, Some("Pod-web"), pod_spec())],
                    Some("Pod web uses it and is not part of this release"),
                ),
            ] {
                assert_eq!(users(&all, &data).as_deref(), user, "{data}: {all:#?}");
            }
            assert_eq!(
                users(&[object("Pod", "web", None, None, json!({}))], &data),
                None
            );
        }
    }

    #[test]
    fn a_claim_is_used_by_the_set_that_makes_it_and_by_pods_that_it_left() {
        let spec = json!({"selector": {"matchLabels": {"app": "db"}}, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]});
        let claim = key("PersistentVolumeClaim", "data-db-0");
        let set = |release| object("StatefulSet", "db", Some(release), None, spec.clone());
        assert_eq!(
            users(&[set("b")], &claim).as_deref(),
            Some("StatefulSet db of release \"b\" uses it")
        );
        assert_eq!(users(&[set("a")], &claim), None);
        let mut pod = object(
            "Pod",
            "db-0",
            None,
            None,
            json!({"volumes": [{"persistentVolumeClaim": {"claimName": "data-db-0"}}]}),
        );
        pod["metadata"]["labels"]["app"] = json!("db");
        assert_eq!(
            users(&[pod.clone()], &claim).as_deref(),
            Some("Pod db-0 uses it and is not part of this release")
        );
        let owner = Owner {
            release: "a".into(),
            namespace: "org1".into(),
        };
        let key = ObjectKey {
            group: "apps".into(),
            kind: "StatefulSet".into(),
            namespace: None,
            name: "db".into(),
        };
        let made = Set::of(&key, &set("a")).unwrap();
        assert_eq!(
            Workloads(vec![pod.clone()]).of_others(&owner, &[&made], &claim),
            None
        );
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(users(&[pod], &claim), None);
    }
}
