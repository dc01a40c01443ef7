//! Forwarded ports on a real API server, whose simulated nodes forward none: how refusals are told
//! apart.

use kubectl_fabric::cluster::{ApiErrorKind, Cluster, Connection, Target};
use kubectl_fabric::error::Error;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::support::{self, until};

/// A peer's Service and its pod, and a user who may read a forward but not open one.
fn objects(user: &str) -> String {
    let labels = json!({"app": "peer0"});
    let containers = json!([{"name": "peer", "image": "peer:1", "ports": [{"name": "grpc", "containerPort": 7051}]}]);
    let rules = json!([{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get"]}]);
    let group = "rbac.authorization.k8s.io";
    let items = json!([
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "peer0"},
         "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": "grpc"}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "peer0-0", "labels": labels}, "spec": {"containers": containers}},
        {"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "half"}, "rules": rules},
        {"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "half"},
         "roleRef": {"apiGroup": group, "kind": "Role", "name": "half"},
         "subjects": [{"apiGroup": group, "kind": "User", "name": user}]},
    ]);
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

#[test]
fn a_forward_says_what_is_missing_on_the_way() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.create_namespace("org1");
    let half = format!("half-{}", cluster.network());
    until("the service account", || {
        cluster.get("serviceaccount", "default", Some(&namespace))
    });
    cluster.apply(&namespace, &objects(&half));
    until("the user to be known", || {
        let ask = ["auth", "can-i", "get", "pods", "--subresource=portforward"];
        let user = ["-n", &namespace, "--as", &half];
        let ask = ask.into_iter().chain(user);
        (cluster.kubectl().args(ask).run().stdout.trim() == "yes").then_some(())
    });
    let connect = async |user: Option<&str>| {
        let connection = Connection {
            kubeconfig: Some(cluster.kubeconfig()),
            context: Some("admin".to_owned()),
            impersonate: user.map(str::to_owned),
            ..Connection::default()
        };
        Cluster::connect(&connection)
            .await
            .expect("a kubeconfig that works")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let admin = connect(None).await;
        let target = loop {
            match admin.ready_pod(&namespace, "peer0", 443).await {
                Ok(target) => break target,
                Err(error) => assert_eq!(error.kind, ApiErrorKind::Unavailable, "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert_eq!((target.pod.as_str(), target.port), ("peer0-0", 7051));

        // The simulated kubelet forwards no port: the words with which it ends the stream arrive.
        let mut forward = admin.forward(&namespace, &target).await.unwrap();
        let ended = forward.read_u8().await.unwrap_err();
        assert!(
            ended.to_string().contains("no forward found for port 7051"),
            "{ended}"
        );

        let gone = Target {
            pod: "peer1-0".to_owned(),
            port: 7051,
        };
        let error = admin.forward(&namespace, &gone).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::NotFound, "{error}");

        for (user, verb) in [(half.as_str(), "create"), ("stranger", "get")] {
            let error = connect(Some(user))
                .await
                .forward(&namespace, &target)
                .await
                .unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::Forbidden, "{error}");
            let report = Error::from(error).to_string();
            let right =
                format!("no permission to {verb} pods/portforward in namespace \"{namespace}\"");
            assert!(report.contains(&right), "{report}");
            assert!(report.contains("docs/guides/rights.md"), "{report}");
        }
    });
}
