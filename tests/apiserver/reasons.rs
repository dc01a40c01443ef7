//! Why no pod is made, or none starts: what only events tell, and when a wait ends for it.

use crate::nodes::Release;
use crate::support::until;
use serde_json::{Value, json};
use std::fs;

/// A chart of one workload.
fn chart(release: &Release, kind: &str, pod: &Value, claim: Option<Value>) -> String {
    let folder = release.cluster.folder().join("chart");
    fs::create_dir_all(folder.join("templates")).expect("a folder for the chart");
    fs::write(
        folder.join("Chart.yaml"),
        "apiVersion: v2\nname: nodes\nversion: 0.1.0\n",
    )
    .expect("a file");
    let mut spec = json!({"containers": [{"name": "main", "image": "registry.example/node:1"}]});
    let annotations = pod["annotations"].clone();
    spec.as_object_mut()
        .expect("a map")
        .extend(pod["spec"].as_object().cloned().unwrap_or_default());
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "node"},
        "spec": {
            "selector": {"matchLabels": {"app": "node"}},
            "template": {"metadata": {"labels": {"app": "node"}, "annotations": annotations}, "spec": spec},
        },
    });
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = json!("node");
        workload["spec"]["volumeClaimTemplates"] = claim.into_iter().collect();
    }
    fs::write(folder.join("templates/node.yaml"), workload.to_string()).expect("a file");
    folder.display().to_string()
}

#[test]
fn a_pod_that_is_never_made_ends_the_wait_with_its_reason() {
    let class = json!({"spec": {"priorityClassName": "nosuch"}});
    let greedy = json!({"spec": {"containers": [
        {"name": "main", "image": "registry.example/node:1", "resources": {"limits": {"cpu": "2"}}}]}});
    let limits = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: small}\nspec: {limits: [{type: Container, max: {cpu: 100m}}]}\n";
    for (kind, pod, object, expected) in [
        (
            "StatefulSet",
            &class,
            "",
            "no PriorityClass with name nosuch was found",
        ),
        (
            "Deployment",
            &class,
            "",
            "no PriorityClass with name nosuch was found",
        ),
        (
            "StatefulSet",
            &greedy,
            limits,
            "maximum cpu usage per Container is 100m, but limit is 2",
        ),
    ] {
        let Some(release) = Release::new() else {
            return;
        };
        let namespace = release.cluster.create_namespace("app");
        until("the service account", || {
            release.get("serviceaccount", "default")
        });
        if !object.is_empty() {
            release.cluster.apply(&namespace, object);
        }
        let chart = chart(&release, kind, pod, None);
        let output = release
            .command(&["install"], &["--chart", &chart, "--timeout", "5m"])
            .run()
            .exits(3);
        for words in [
            &format!("{kind} {namespace}/node will not become ready"),
            expected,
            "is forbidden",
            "fix the cause",
        ] {
            assert!(
                output.stderr.contains(words),
                "no {words:?} in {}",
                output.stderr
            );
        }
        assert!(!output.stderr.contains("wait longer"), "{}", output.stderr);
        let progress = output
            .stderr
            .split("error:")
            .next()
            .expect("what was told before");
        assert!(
            progress.contains(expected),
            "it is told while it waits, too: {}",
            output.stderr
        );
        assert_eq!(release.statuses(), ["failed"]);
    }
}

#[test]
fn a_quota_may_free_itself_so_the_wait_goes_on_and_names_it() {
    let Some(release) = Release::new() else {
        return;
    };
    let namespace = release.cluster.create_namespace("app");
    until("the service account", || {
        release.get("serviceaccount", "default")
    });
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none}\nspec: {hard: {pods: \"0\"}}\n";
    release.cluster.apply(&namespace, quota);
    until("the quota", || {
        release
            .get("resourcequota", "none")
            .filter(|quota| !quota["status"]["hard"].is_null())
    });
    let chart = chart(&release, "StatefulSet", &Value::Null, None);
    let output = release
        .command(&["install"], &["--chart", &chart, "--timeout", "12s"])
        .run()
        .exits(3);
    for words in [
        "did not become ready within 12s",
        "exceeded quota: none",
        "have the ResourceQuota raised",
        "wait longer",
    ] {
        assert!(
            output.stderr.contains(words),
            "no {words:?} in {}",
            output.stderr
        );
    }
    // The quota is raised, and the same command goes on.
    release
        .cluster
        .kubectl()
        .args(["-n", &namespace, "delete", "resourcequota", "none"])
        .run()
        .success();
    release
        .cluster
        .kubectl()
        .args(["-n", &namespace, "delete", "statefulset", "node"])
        .run()
        .success();
    release
        .command(&["install"], &["--chart", &chart])
        .run()
        .success();
}

#[test]
fn a_claim_without_a_storage_class_ends_the_wait_of_its_pod() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    until("the service account", || {
        release.get("serviceaccount", "default")
    });
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "nosuch", "resources": {"requests": {"storage": "1Gi"}}}});
    let pod = json!({"annotations": {"sim.kubectl-fabric.io/state": "pending"}});
    let chart = chart(&release, "StatefulSet", &pod, Some(claim));
    let output = release
        .command(&["install"], &["--chart", &chart, "--timeout", "5m"])
        .run()
        .exits(3);
    for words in [
        "will not become ready",
        "claim data-node-0: storageclass.storage.k8s.io \"nosuch\" not found",
    ] {
        assert!(
            output.stderr.contains(words),
            "no {words:?} in {}",
            output.stderr
        );
    }
}

#[test]
fn an_image_error_tells_what_the_registry_said_and_which_values_to_look_at() {
    let Some(release) = Release::new() else {
        return;
    };
    let namespace = release.cluster.create_namespace("app");
    until("the service account", || {
        release.get("serviceaccount", "default")
    });
    let pod = json!({"annotations": {"sim.kubectl-fabric.io/state": "image-pull-error"}});
    let chart = chart(&release, "StatefulSet", &pod, None);
    let output = release
        .command(&["install"], &["--chart", &chart, "--timeout", "3s"])
        .run()
        .exits(3);
    for words in [
        "(ImagePullBackOff): failed to resolve reference",
        "registry.example/node:1: not found",
        "`image.registry`",
    ] {
        assert!(
            output.stderr.contains(words),
            "no {words:?} in {}",
            output.stderr
        );
    }
    assert!(!output.stderr.contains("wait longer"), "{}", output.stderr);
    assert!(namespace.starts_with("app"));
}
