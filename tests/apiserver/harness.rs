//! The test cluster keeps its promises: each test has a corner of its own, and pods live and fail
//! as they are told.

use serde_json::Value;

use crate::support::{self, Cluster, until};

fn pod(cluster: &Cluster, namespace: &str, state: &str) -> Value {
    let annotations = if state.is_empty() {
        String::new()
    } else {
        format!("annotations: {{sim.kubectl-fabric.io/state: {state}}}")
    };
    let yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: peer0, {annotations}}}\nspec: {{containers: [{{name: peer, image: \"peer:1\"}}]}}\n"
    );
    // The namespace's service account is made by a controller, a moment after the namespace.
    until("the service account", || {
        cluster.get("serviceaccount", "default", Some(namespace))
    });
    cluster.apply(namespace, &yaml);
    until("the pod's containers to have a status", || {
        cluster
            .get("pod", "peer0", Some(namespace))
            .filter(|pod| pod["status"]["containerStatuses"].is_array())
    })
}

fn waiting_reason(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
        .as_str()
        .unwrap_or_default()
}

#[test]
fn every_test_has_a_corner_of_its_own() {
    let (Some(one), Some(other)) = (support::cluster(), support::cluster()) else {
        return;
    };
    assert_ne!(one.network(), other.network());
    assert_ne!(one.kubeconfig(), other.kubeconfig());
    let namespace = one.create_namespace("org1");
    assert!(one.get("namespace", &namespace, None).is_some());
    assert!(
        one.get("namespace", &other.namespace("org1"), None)
            .is_none()
    );
}

#[test]
fn simulated_pods_become_ready() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let pod = pod(&cluster, &cluster.create_namespace("org1"), "");
    let ready = pod["status"]["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .any(|it| it["type"] == "Ready" && it["status"] == "True");
    assert!(ready, "{pod:#}");
}

#[test]
fn simulated_pods_fail_as_told() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    for (state, reason) in [
        ("pending", "ContainerCreating"),
        ("image-pull-error", "ImagePullBackOff"),
        ("crash", "CrashLoopBackOff"),
    ] {
        let pod = pod(&cluster, &cluster.create_namespace(state), state);
        assert_eq!(waiting_reason(&pod), reason, "{pod:#}");
    }
}

#[test]
fn stateful_sets_get_their_volumes() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.create_namespace("org1");
    cluster.apply(
        &namespace,
        r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: peer0}
spec:
  serviceName: peer0
  selector: {matchLabels: {app: peer0}}
  template:
    metadata: {labels: {app: peer0}}
    spec: {containers: [{name: peer, image: "peer:1"}]}
  volumeClaimTemplates:
    - {metadata: {name: ledger}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
"#,
    );
    until("peer0 to be ready", || {
        cluster
            .get("statefulset", "peer0", Some(&namespace))
            .filter(|set| set["status"]["readyReplicas"] == 1)
    });
    let claim = cluster
        .get("persistentvolumeclaim", "ledger-peer0-0", Some(&namespace))
        .expect("a claim per pod");
    assert_eq!(claim["status"]["phase"], "Bound");
}

#[test]
fn restricted_users_are_restricted() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.create_namespace("org1");
    let may = |user: &str, verb: &str| {
        let run = cluster
            .kubectl()
            .args([
                "--context",
                user,
                "auth",
                "can-i",
                verb,
                "configmaps",
                "-n",
                &namespace,
            ])
            .run();
        run.stdout.trim() == "yes"
    };
    assert_eq!(
        ["get", "create"].map(|verb| may("admin", verb)),
        [true, true]
    );
    assert_eq!(
        ["get", "create"].map(|verb| may("editor", verb)),
        [true, true]
    );
    assert_eq!(
        ["get", "create"].map(|verb| may("viewer", verb)),
        [true, false]
    );
    assert_eq!(
        ["get", "create"].map(|verb| may("nobody", verb)),
        [false, false]
    );
}

#[test]
fn the_developers_own_kubeconfig_is_not_seen() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let output = cluster
        .kubectl()
        .args(["config", "view", "-o", "json"])
        .run()
        .success()
        .json();
    assert_eq!(output["current-context"], "admin");
    assert_eq!(output["clusters"].as_array().map(Vec::len), Some(1));
}

#[test]
fn requests_are_counted_per_test() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.create_namespace("org1");
    let requests = cluster.requests(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let kubeconfig =
                kube::config::Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
                .await
                .expect("a context");
            let client = kube::Client::try_from(config).expect("a client");
            let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
                kube::Api::namespaced(client, &namespace);
            let map = serde_json::from_value(serde_json::json!({"metadata": {"name": "one"}}))
                .expect("a ConfigMap");
            let dry_run = kube::api::PostParams {
                dry_run: true,
                ..Default::default()
            };
            maps.create(&dry_run, &map).await.expect("a dry run");
            maps.create(&Default::default(), &map)
                .await
                .expect("a ConfigMap");
            maps.get("one").await.expect("a ConfigMap");
        });
        cluster
            .get("configmap", "one", Some(&namespace))
            .expect("kubectl sees it too, and is not counted");
    });
    let seen: Vec<_> = requests
        .iter()
        .map(|it| (it.verb.as_str(), it.dry_run, it.writes(), it.code))
        .collect();
    assert_eq!(
        seen,
        [
            ("create", true, false, 201),
            ("create", false, true, 201),
            ("get", false, false, 200)
        ],
        "{requests:#?}"
    );
    assert!(
        requests
            .iter()
            .all(|it| it.resource == "configmaps" && it.namespace == namespace)
    );
}
