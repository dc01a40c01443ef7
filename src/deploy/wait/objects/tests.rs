use super::*;
use serde_json::{Value, json};

fn key(kind: &str, name: &str) -> ObjectKey {
    let group = if kind == "Pod" { "" } else { "apps" };
    ObjectKey {
        group: group.into(),
        kind: kind.into(),
        namespace: Some("org1".into()),
        name: name.into(),
    }
}

fn pod(objects: &mut Objects, version: u32, uid: &str, more: Value) {
    let mut body = json!({
        "metadata": {"name": "peer0-0", "uid": uid, "resourceVersion": version.to_string(), "labels": {"app": "peer0"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    body["metadata"]
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    objects.note(
        &key("Pod", "peer0-0"),
        Live::of(&key("Pod", "peer0-0"), &body),
    );
}

fn owned_by(kind: &str, name: &str) -> Value {
    json!({"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name}]})
}

fn set(objects: &mut Objects, version: u32) {
    let status =
        json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    let metadata = json!({"uid": "set", "resourceVersion": version.to_string(), "generation": 1});
    let body = json!({"metadata": metadata, "spec": {"replicas": 1}, "status": status});
    objects.note(
        &key("StatefulSet", "peer0"),
        Live::of(&key("StatefulSet", "peer0"), &body),
    );
}

fn member() -> Awaited {
    Awaited::serving(
        &key("StatefulSet", "peer0"),
        "apps/v1",
        json!({"app": "peer0"}),
    )
}

#[test]
fn a_pod_that_was_left_behind_counts_for_the_workload_that_adopts_it() {
    let mut objects = Objects::default();
    pod(&mut objects, 1, "u", json!({}));
    assert_eq!(
        objects.standing(&member()),
        Standing::Up,
        "it runs on without its StatefulSet"
    );
    let changed = objects.take_changed();
    assert!(changed.free_pods && changed.objects.len() == 1);
    set(&mut objects, 2);
    assert_eq!(
        objects.standing(&member()),
        Standing::Down,
        "it is not adopted yet"
    );
    pod(&mut objects, 3, "u", owned_by("StatefulSet", "peer0"));
    assert_eq!(objects.standing(&member()), Standing::Up);
    assert!(objects.take_changed().objects.contains(&member().key));
    pod(&mut objects, 4, "u", json!({}));
    assert_eq!(
        objects.standing(&member()),
        Standing::Down,
        "it is released again"
    );
    assert!(
        objects.take_changed().objects.contains(&member().key),
        "who has lost a pod is looked at"
    );
}

#[test]
fn a_pod_of_a_replica_set_is_its_deployments() {
    let mut objects = Objects::default();
    pod(&mut objects, 1, "u", owned_by("ReplicaSet", "cli-5d4f"));
    let pods = |kind: &str, name: &str| {
        objects
            .pods(&Awaited::ready(&key(kind, name), "apps/v1"))
            .count()
    };
    assert_eq!(
        (
            pods("Deployment", "cli"),
            pods("ReplicaSet", "cli-5d4f"),
            pods("Deployment", "other")
        ),
        (1, 1, 0)
    );
}

#[test]
fn only_the_object_that_is_known_can_be_gone() {
    let mut objects = Objects::default();
    set(&mut objects, 1);
    pod(&mut objects, 5, "new", owned_by("StatefulSet", "peer0"));
    pod(&mut objects, 4, "old", owned_by("StatefulSet", "peer0"));
    objects.note_deleted(&key("Pod", "peer0-0"), "old", None);
    assert_eq!(
        objects.standing(&member()),
        Standing::Up,
        "the older state came later"
    );
    objects.note_deleted(&key("Pod", "peer0-0"), "new", None);
    assert_eq!(objects.standing(&member()), Standing::Down);
    assert!(
        objects.owned.is_empty(),
        "who owns a pod that is gone is not kept"
    );
    let ended = Awaited::ended(&key("Pod", "peer0-0"), "v1");
    assert_eq!(
        objects.state(&ended),
        Readiness::Failed("it was deleted before it completed".into())
    );
}
