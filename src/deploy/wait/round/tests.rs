use super::*;
use crate::manifest::events::Warning;
use crate::manifest::live::Live;
use crate::manifest::trouble::Severity;
use serde_json::{Value, json};
use std::time::Duration;

fn set(name: &str) -> ObjectKey {
    ObjectKey {
        group: "apps".into(),
        kind: "StatefulSet".into(),
        namespace: Some("org1".into()),
        name: name.into(),
    }
}

fn pod(name: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: "Pod".into(),
        namespace: Some("org1".into()),
        name: name.into(),
    }
}

fn set_body(name: &str, version: usize, status: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "org1", "uid": format!("set-{name}"), "generation": 1,
                     "resourceVersion": version.to_string(), "creationTimestamp": "2026-11-30T10:00:00Z"},
        "spec": {"replicas": 1, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        "status": status,
    })
}

fn pod_body(name: &str, owner: Option<&str>, version: usize, status: Value) -> Value {
    let owners =
            owner.map(|owner| json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "controller": true}]));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "org1", "uid": format!("pod-{name}"), "resourceVersion": version.to_string(),
                     "labels": {"app": name, "controller-revision-hash": "a"}, "ownerReferences": owners},
        "status": status,
    })
}

fn waiting(reason: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [
            {"name": "peer", "image": "fabric-peer:2.5", "state": {"waiting": {"reason": reason}}, "ready": false, "restartCount": 0}]})
}

fn ready() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}

/// Returns the events while this many StatefulSets start, each taking its next step in turn.
fn start(sets: usize) -> Vec<(ObjectKey, Value)> {
    let all = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                         "currentRevision": "a", "updateRevision": "a"});
    let created = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "updateRevision": "a"});
    let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "no node fits"}]});
    let steps = [
        (false, json!({})),
        (false, json!({"observedGeneration": 1})),
        (true, unscheduled),
        (true, waiting("ContainerCreating")),
        (false, created),
        (true, ready()),
        (false, all),
    ];
    let events = steps
        .iter()
        .enumerate()
        .flat_map(|(step, (is_pod, status))| {
            (0..sets).map(move |number| {
                let (name, version) = (format!("peer{number}"), step * sets + number + 1);
                match is_pod {
                    true => {
                        let pod_name = format!("{name}-0");
                        (
                            pod(&pod_name),
                            pod_body(&pod_name, Some(&name), version, status.clone()),
                        )
                    }
                    false => (set(&name), set_body(&name, version, status.clone())),
                }
            })
        });
    events.collect()
}

/// Waits for this many StatefulSets and evaluates after each event. Returns the number of
/// evaluations.
fn wait(sets: usize, events: &[(ObjectKey, Value)]) -> usize {
    let awaited: Vec<Awaited> = (0..sets)
        .map(|number| Awaited::ready(&set(&format!("peer{number}")), "apps/v1"))
        .collect();
    let awaited: Vec<&Awaited> = awaited.iter().collect();
    let (mut objects, mut troubled, now) = (Objects::default(), Troubled::new(), Instant::now());
    let mut round = Round::new(&awaited);
    let mut judged = 0;
    let mut look = |objects: &mut Objects| {
        for place in round.affected(objects.take_changed()) {
            round.judge(place, objects, &mut troubled, now);
            judged += 1;
        }
        assert!(!round.has_failed(now));
        round.is_over()
    };
    assert!(!look(&mut objects));
    for (number, (key, body)) in events.iter().enumerate() {
        objects.note(key, Live::of(key, body));
        assert_eq!(look(&mut objects), number + 1 == events.len());
    }
    judged
}

#[test]
fn an_event_has_one_object_judged_however_many_are_waited_for() {
    let mut allocations = Vec::new();
    for sets in [200, 2000] {
        let events = start(sets);
        let mut judged = 0;
        let counted = allocation_counter::measure(|| judged = wait(sets, &events));
        assert_eq!(
            judged,
            sets + events.len(),
            "each once in the beginning, and one for each event"
        );
        allocations.push(counted);
    }
    let (one, ten) = (&allocations[0], &allocations[1]);
    for (what, one, ten) in [
        ("count", one.count_total, ten.count_total),
        ("bytes", one.bytes_total, ten.bytes_total),
        ("peak", one.bytes_max, ten.bytes_max),
    ] {
        assert!(ten <= one * 12, "{what}: {one} for 200, {ten} for 2,000");
    }
    let counted = [
        ("count", ten.count_total),
        ("bytes", ten.bytes_total),
        ("peak", ten.bytes_max),
    ];
    counts::compare("allocations: wait for 2,000 StatefulSets", &counted);
}

#[test]
fn each_object_that_becomes_ready_is_counted_by_itself() {
    let awaited: Vec<Awaited> = (0..3)
        .map(|number| Awaited::ready(&set(&format!("peer{number}")), "apps/v1"))
        .collect();
    let awaited: Vec<&Awaited> = awaited.iter().collect();
    let (mut objects, mut troubled) = (Objects::default(), Troubled::new());
    let mut round = Round::new(&awaited);
    let mut look = |objects: &mut Objects| {
        let affected = round.affected(objects.take_changed());
        let verdicts = round.judge_all(affected, objects, &mut troubled, Instant::now());
        verdicts
            .iter()
            .map(|verdict| verdict.done)
            .collect::<Vec<_>>()
    };
    let events = start(3);
    let (last, before) = (&events[events.len() - 3..], &events[..events.len() - 3]);
    let note = |objects: &mut Objects, events: &[(ObjectKey, Value)]| {
        events
            .iter()
            .for_each(|(key, body)| objects.note(key, Live::of(key, body)));
    };
    note(&mut objects, before);
    note(&mut objects, &last[..1]);
    assert_eq!(
        look(&mut objects),
        [1, 1, 1],
        "one is ready when the wait begins"
    );
    note(&mut objects, &last[1..]);
    assert_eq!(look(&mut objects), [2, 3]);
}

#[test]
fn a_lasting_trouble_ends_a_wait_when_its_time_is_over() {
    let awaited = Awaited::ready(&set("peer0"), "apps/v1");
    let awaited = [&awaited];
    let (mut objects, mut troubled, began) = (Objects::default(), Troubled::new(), Instant::now());
    let mut round = Round::new(&awaited);
    const GRACE: Duration = Duration::from_secs(30);
    let seen = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "updateRevision": "a"});
    objects.note(
        &set("peer0"),
        Live::of(&set("peer0"), &set_body("peer0", 1, seen)),
    );
    let mut look = |objects: &mut Objects, version, status, after: Duration| {
        objects.note(
            &pod("peer0-0"),
            Live::of(
                &pod("peer0-0"),
                &pod_body("peer0-0", Some("peer0"), version, status),
            ),
        );
        for place in round.affected(objects.take_changed()) {
            round.judge(place, objects, &mut troubled, began + after);
        }
        [
            after,
            after + GRACE - Duration::from_millis(1),
            after + GRACE,
        ]
        .map(|later| round.has_failed(began + later))
    };
    assert_eq!(
        look(&mut objects, 2, waiting("ErrImagePull"), Duration::ZERO),
        [false, false, true]
    );
    let later = Duration::from_secs(20);
    assert_eq!(
        look(&mut objects, 3, waiting("ImagePullBackOff"), later),
        [false, true, true],
        "it began 20 s ago"
    );
    assert_eq!(
        look(&mut objects, 4, waiting("ContainerCreating"), later),
        [false; 3],
        "it has passed"
    );
    assert_eq!(
        look(&mut objects, 5, waiting("ErrImagePull"), later),
        [false, false, true],
        "it begins again"
    );
    assert_eq!(
        look(&mut objects, 6, waiting("InvalidImageName"), later),
        [true; 3]
    );
}

fn refused(name: &str, uid: &str, at: &str, message: &str) -> Warning {
    let about = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "namespace": "org1", "name": name, "uid": uid});
    let event = json!({"involvedObject": about, "reason": "FailedCreate", "message": message, "lastTimestamp": at});
    Warning::of(&event).expect("it explains something")
}

const FORBIDDEN: &str = r#"create Pod peer0-0 in StatefulSet peer0 failed error: pods "peer0-0" is forbidden: violates PodSecurity "restricted:latest": x"#;

#[test]
fn an_event_about_one_object_costs_the_same_however_many_are_refused() {
    let cost = |sets: usize| {
        let names: Vec<String> = (0..sets).map(|number| format!("peer{number}")).collect();
        let awaited: Vec<Awaited> = names
            .iter()
            .map(|name| Awaited::ready(&set(name), "apps/v1"))
            .collect();
        let awaited: Vec<&Awaited> = awaited.iter().collect();
        let (mut objects, mut troubled, now) =
            (Objects::default(), Troubled::new(), Instant::now());
        let mut round = Round::new(&awaited);
        for (number, name) in names.iter().enumerate() {
            let body = set_body(name, number + 1, json!({"observedGeneration": 1}));
            objects.note(&set(name), Live::of(&set(name), &body));
        }
        let mut judged = 0;
        let counted = allocation_counter::measure(|| {
            for name in std::iter::once(None).chain(names.iter().map(Some)) {
                if let Some(name) = name {
                    objects.note_warning(refused(
                        name,
                        &format!("set-{name}"),
                        "2026-11-30T10:00:00Z",
                        FORBIDDEN,
                    ));
                }
                for place in round.affected(objects.take_changed()) {
                    round.judge(place, &objects, &mut troubled, now);
                    judged += 1;
                }
            }
        });
        assert_eq!(
            judged,
            2 * sets,
            "each once in the beginning, and once for its event"
        );
        assert!(!round.has_failed(now) && round.has_failed(now + Duration::from_secs(6)));
        (counted.count_total, counted.bytes_total, counted.bytes_max)
    };
    let (one, ten) = (cost(200), cost(2000));
    assert!(
        ten.0 <= one.0 * 12 && ten.1 <= one.1 * 12 && ten.2 <= one.2 * 12,
        "{one:?} for 200, {ten:?} for 2,000"
    );
}

#[test]
fn a_pod_that_is_forbidden_ends_a_wait_unless_it_is_made_after_all() {
    let (key, grace) = (set("peer0"), Duration::from_secs(6));
    let awaited = Awaited::ready(&key, "apps/v1");
    let awaited = [&awaited];
    let (mut objects, mut troubled, began) = (
        Objects::since("2026-11-30T10:00:00Z"),
        Troubled::new(),
        Instant::now(),
    );
    let mut round = Round::new(&awaited);
    objects.note(
        &key,
        Live::of(
            &key,
            &set_body("peer0", 1, json!({"observedGeneration": 1})),
        ),
    );
    let mut look = |objects: &mut Objects, after: Duration| {
        let mut said = String::new();
        for place in round.affected(objects.take_changed()) {
            if let Readiness::Waiting(reason) = round
                .judge(place, objects, &mut troubled, began + after)
                .state
            {
                said = reason;
            }
        }
        (said, round.has_failed(began + after))
    };
    let zero = Duration::ZERO;
    assert_eq!(look(&mut objects, zero).0, "0 of 1 pod created");
    objects.note_warning(refused(
        "peer0",
        "another",
        "2026-11-30T10:00:01Z",
        FORBIDDEN,
    ));
    assert_eq!(
        look(&mut objects, zero).0,
        "0 of 1 pod created",
        "it is about another object of this name"
    );
    objects.note_warning(refused(
        "peer0",
        "set-peer0",
        "2026-11-30T09:59:59Z",
        FORBIDDEN,
    ));
    assert_eq!(
        look(&mut objects, grace),
        (String::new(), false),
        "an older one than that is not taken in"
    );

    let mut objects = Objects::since("2026-11-30T10:00:00Z");
    objects.note(
        &key,
        Live::of(
            &key,
            &set_body("peer0", 2, json!({"observedGeneration": 1})),
        ),
    );
    objects.note_warning(refused(
        "peer0",
        "set-peer0",
        "2026-11-30T09:59:59Z",
        FORBIDDEN,
    ));
    let (said, failed) = look(&mut objects, grace);
    assert!(
        said.contains("violates PodSecurity") && said.contains("last tried at 2026") && !failed,
        "{said}"
    );
    objects.note_warning(refused(
        "peer0",
        "set-peer0",
        "2026-11-30T10:00:00Z",
        FORBIDDEN,
    ));
    let (said, failed) = look(&mut objects, zero);
    assert!(
        said.starts_with(r#"pods "peer0-0" is forbidden: violates"#)
            && !said.contains("last tried")
            && !failed,
        "{said}"
    );
    assert!(look(&mut objects, grace).1);
    objects.note(
        &pod("peer0-0"),
        Live::of(
            &pod("peer0-0"),
            &pod_body("peer0-0", Some("peer0"), 3, waiting("ContainerCreating")),
        ),
    );
    assert_eq!(
        look(&mut objects, grace),
        ("0 of 1 pod created".to_owned(), false),
        "it was made in the end"
    );
}

#[test]
fn events_tell_what_a_pods_status_leaves_out() {
    let (key, one) = (pod("peer0-0"), Awaited::ready(&set("peer0"), "apps/v1"));
    let event = |kind: &str, name: &str, uid: &str, reason: &str, message: &str| {
        let about = json!({"apiVersion": "v1", "kind": kind, "namespace": "org1", "name": name, "uid": uid});
        Warning::of(&json!({"involvedObject": about, "reason": reason, "message": message}))
            .expect("it explains something")
    };
    let unscheduled = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims"}]});
    let class = r#"storageclass.storage.k8s.io "nosuch" not found"#;
    let claim = event(
        "PersistentVolumeClaim",
        "ledger-peer0-0",
        "claim",
        "ProvisioningFailed",
        class,
    );
    let mount = event(
        "Pod",
        "peer0-0",
        "pod-peer0-0",
        "FailedMount",
        "mount failed: no such share",
    );
    let old_mount = event(
        "Pod",
        "peer0-0",
        "another",
        "FailedMount",
        "mount failed: no such share",
    );
    let pull = event(
        "Pod",
        "peer0-0",
        "pod-peer0-0",
        "Failed",
        r#"Failed to pull image "p": rpc error: code = Unknown desc = 401 Unauthorized"#,
    );
    for (status, warning, expected, severity) in [
        (
            unscheduled.clone(),
            &claim,
            format!("unbound immediate PersistentVolumeClaims; claim ledger-peer0-0: {class}"),
            Severity::Refused,
        ),
        (
            json!({"phase": "Pending"}),
            &claim,
            format!("claim ledger-peer0-0: {class}"),
            Severity::Refused,
        ),
        (
            unscheduled,
            &mount,
            "unbound immediate PersistentVolumeClaims".to_owned(),
            Severity::Passing,
        ),
        (
            waiting("ContainerCreating"),
            &mount,
            "being created; mount failed: no such share".to_owned(),
            Severity::Passing,
        ),
        (
            waiting("ContainerCreating"),
            &old_mount,
            "being created".to_owned(),
            Severity::Passing,
        ),
        (
            waiting("ContainerCreating"),
            &claim,
            "being created".to_owned(),
            Severity::Passing,
        ),
        (
            waiting("ImagePullBackOff"),
            &pull,
            "(ImagePullBackOff): 401 Unauthorized".to_owned(),
            Severity::Lasting,
        ),
    ] {
        let mut objects = Objects::default();
        let seen = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "updateRevision": "a"});
        objects.note(
            &set("peer0"),
            Live::of(&set("peer0"), &set_body("peer0", 1, seen)),
        );
        objects.note(
            &key,
            Live::of(&key, &pod_body("peer0-0", Some("peer0"), 2, status)),
        );
        objects.take_changed();
        objects.note_warning(warning.clone());
        assert!(
            objects.take_changed().objects.contains(&set("peer0")),
            "the owner is looked at again"
        );
        let trouble = objects.deepest(&one).expect("a reason");
        assert!(
            trouble.reason.ends_with(&expected),
            "{} does not end with {expected}",
            trouble.reason
        );
        assert_eq!(trouble.severity, severity, "{}", trouble.reason);
    }
}
