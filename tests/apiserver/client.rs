//! The client against a real API server: what is asked, what is answered, and how refusals are
//! told.

use futures::{StreamExt, stream::BoxStream};
use kubectl_fabric::{
    cluster::{
        ApiErrorKind, ApiResult, Apply, Cluster, Connection, Delete, Expects, Kind, WatchEvent,
    },
    error::Error,
    manifest::ObjectKey,
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::support;

/// Runs a test in a namespace of its own, with a client for each context of the kubeconfig.
fn run(test: impl AsyncFnOnce(Corner)) {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.create_namespace("org1");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let patience = Duration::from_secs(120);
    let done = runtime.block_on(async {
        tokio::time::timeout(patience, test(Corner { cluster, namespace })).await
    });
    done.expect("a test that ends");
}

struct Corner {
    cluster: support::Cluster,
    namespace: String,
}

impl Corner {
    async fn connect(&self, context: &str) -> Cluster {
        let connection = Connection {
            kubeconfig: Some(self.cluster.kubeconfig()),
            context: Some(context.to_owned()),
            ..Connection::default()
        };
        Cluster::connect(&connection)
            .await
            .expect("a kubeconfig that works")
    }

    fn config_map(&self, name: &str, data: Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"test": "client"}},
            "data": data,
        })
    }

    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "ConfigMap".to_owned(),
            namespace: Some(self.namespace.clone()),
            name: name.to_owned(),
        }
    }
}

fn config_maps() -> Kind {
    Kind {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

#[test]
fn an_object_is_applied_read_and_deleted() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let wanted = corner.config_map("a", json!({"k": "v"}));
        let dry = client
            .apply(
                &wanted,
                Apply {
                    dry_run: true,
                    ..Apply::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(dry["data"]["k"], "v");
        assert!(client.get("v1", &corner.key("a")).await.unwrap().is_none());

        let applied = client.apply(&wanted, Apply::default()).await.unwrap();
        assert_eq!(
            applied["metadata"]["managedFields"][0]["manager"],
            "kubectl-fabric"
        );
        assert_eq!(
            applied["metadata"]["managedFields"][0]["operation"],
            "Apply"
        );
        assert_eq!(
            client.get("v1", &corner.key("a")).await.unwrap().unwrap(),
            applied
        );

        let patch = json!({"metadata": {"annotations": {"a": "b"}}});
        let patched = client
            .merge_patch("v1", &corner.key("a"), &patch)
            .await
            .unwrap();
        assert_eq!(patched["metadata"]["annotations"]["a"], "b");

        assert!(
            client
                .delete(
                    "v1",
                    &corner.key("a"),
                    Delete {
                        dry_run: true,
                        ..Delete::default()
                    }
                )
                .await
                .unwrap()
        );
        assert!(
            client
                .delete("v1", &corner.key("a"), Delete::default())
                .await
                .unwrap()
        );
        assert!(
            !client
                .delete("v1", &corner.key("a"), Delete::default())
                .await
                .unwrap()
        );
        let sent = client.requests();
        assert_eq!(
            (sent["apply"], sent["dry-run"], sent["delete"], sent["get"]),
            (1, 2, 2, 2)
        );
    });
}

#[test]
fn an_object_that_does_not_fit_is_refused_with_its_fields() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let mut typo = corner.config_map("a", json!({"k": "v"}));
        typo["dta"] = json!({});
        let error = client.apply(&typo, Apply::default()).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Invalid);
        assert_eq!(error.causes[0].field, ".dta");
        assert!(
            Error::from(error)
                .to_string()
                .contains("--> dta   field not declared in schema")
        );
        let error = client.create(&typo).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Invalid);
        assert!(
            error.message.contains("unknown field \"dta\""),
            "{}",
            error.message
        );

        let wrong = json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "peer0", "namespace": corner.namespace},
            "spec": {"serviceName": "peer0", "template": {"spec": {"containers": [{"name": "peer"}]}}},
        });
        let error = client
            .apply(
                &wrong,
                Apply {
                    dry_run: true,
                    ..Apply::default()
                },
            )
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Invalid);
        assert!(
            error
                .causes
                .iter()
                .any(|cause| cause.field == "spec.selector"),
            "{error:?}"
        );
    });
}

#[test]
fn a_field_of_another_manager_is_a_conflict_until_it_is_taken() {
    run(async |corner| {
        corner.cluster.apply(
            &corner.namespace,
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: theirs}}",
        );
        let client = corner.connect("admin").await;
        let ours = corner.config_map("a", json!({"k": "ours"}));
        let error = client
            .apply(
                &ours,
                Apply {
                    dry_run: true,
                    ..Apply::default()
                },
            )
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Conflict);
        assert_eq!(
            (
                error.causes[0].reason.as_str(),
                error.causes[0].field.as_str()
            ),
            ("FieldManagerConflict", ".data.k")
        );
        assert!(
            error.causes[0]
                .message
                .contains("kubectl-client-side-apply"),
            "{error:?}"
        );
        let taken = client
            .apply(
                &ours,
                Apply {
                    force: true,
                    ..Apply::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(taken["data"]["k"], "ours");
    });
}

#[test]
fn an_apply_creates_only_where_nothing_is_and_changes_only_the_object_that_was_seen() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let wanted = |text: &str| corner.config_map("a", json!({"k": text}));
        let applied = async |text: &str, expects: Expects<'_>| {
            // With force, so that nothing but the expectation protects what is there.
            let how = Apply {
                force: true,
                expects,
                ..Apply::default()
            };
            client
                .apply(&wanted(text), how)
                .await
                .map_err(|error| error.kind)
        };
        assert_eq!(
            applied("a", Expects::Uid("another")).await.unwrap_err(),
            ApiErrorKind::Replaced
        );
        let first = applied("a", Expects::Absent).await.unwrap();
        let uid = first["metadata"]["uid"].as_str().unwrap();
        assert_eq!(
            applied("a", Expects::Absent).await.unwrap_err(),
            ApiErrorKind::Replaced,
            "nothing would change"
        );
        assert_eq!(
            applied("b", Expects::Absent).await.unwrap_err(),
            ApiErrorKind::Replaced
        );
        assert_eq!(
            applied("b", Expects::Uid("another")).await.unwrap_err(),
            ApiErrorKind::Replaced
        );
        let second = applied("b", Expects::Uid(uid)).await.unwrap();
        assert_eq!(
            (&second["metadata"]["uid"], &second["data"]["k"]),
            (&first["metadata"]["uid"], &json!("b"))
        );
        let managed = second["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(
            (managed.len(), managed[0]["operation"].as_str()),
            (1, Some("Apply"))
        );
        let fields = managed[0]["fieldsV1"].to_string();
        assert!(
            !fields.contains("uid") && !fields.contains("resourceVersion"),
            "{fields}"
        );

        // A field of another manager says as well that there is an object.
        corner.cluster.apply(
            &corner.namespace,
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {k: theirs}}",
        );
        let how = Apply {
            expects: Expects::Absent,
            ..Apply::default()
        };
        let error = client
            .apply(&corner.config_map("b", json!({"k": "ours"})), how)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Replaced);
    });
}

#[test]
fn a_version_that_is_not_the_latest_is_a_conflict() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let first = client
            .create(&corner.config_map("a", json!({"n": "1"})))
            .await
            .unwrap();
        assert_eq!(
            client
                .create(&corner.config_map("a", json!({"n": "1"})))
                .await
                .unwrap_err()
                .kind,
            ApiErrorKind::AlreadyExists
        );
        let mut second = first.clone();
        second["data"]["n"] = json!("2");
        let second = client.replace(&second).await.unwrap();
        assert_eq!(second["data"]["n"], "2");
        assert_eq!(
            client.replace(&first).await.unwrap_err().kind,
            ApiErrorKind::Conflict
        );

        let wrong = Delete {
            uid: Some("another".to_owned()),
            ..Delete::default()
        };
        assert_eq!(
            client
                .delete("v1", &corner.key("a"), wrong)
                .await
                .unwrap_err()
                .kind,
            ApiErrorKind::Replaced
        );
        let right = Delete {
            uid: first["metadata"]["uid"].as_str().map(str::to_owned),
            ..Delete::default()
        };
        assert!(client.delete("v1", &corner.key("a"), right).await.unwrap());
    });
}

#[test]
fn a_missing_namespace_and_a_missing_kind_are_distinguished() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let mut elsewhere = corner.config_map("a", json!({}));
        elsewhere["metadata"]["namespace"] = json!("no-such-namespace");
        let error = client
            .apply(&elsewhere, Apply::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::NotFound);
        assert!(
            error.message.contains("no-such-namespace"),
            "{}",
            error.message
        );

        let widget =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        assert_eq!(
            client
                .apply(&widget, Apply::default())
                .await
                .unwrap_err()
                .kind,
            ApiErrorKind::UnknownKind
        );
        let unknown = Kind {
            api_version: "apps/v1".to_owned(),
            kind: "Widget".to_owned(),
        };
        assert_eq!(
            client.list(&unknown, None, "").await.unwrap_err().kind,
            ApiErrorKind::UnknownKind
        );
    });
}

#[test]
fn a_kind_defined_during_the_run_is_found() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let group = format!("{}.example.com", corner.cluster.network());
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        });
        let kind = Kind {
            api_version: format!("{group}/v1"),
            kind: "Widget".to_owned(),
        };
        assert_eq!(
            client.is_namespaced(&kind).await.unwrap_err().kind,
            ApiErrorKind::UnknownKind
        );
        client.apply(&definition, Apply::default()).await.unwrap();
        let widget = json!({
            "apiVersion": kind.api_version, "kind": "Widget", "metadata": {"name": "w", "namespace": corner.namespace}, "spec": {"a": 1},
        });
        // Served a moment after it is defined.
        let applied = loop {
            match client.apply(&widget, Apply::default()).await {
                Err(error) if error.kind == ApiErrorKind::UnknownKind => {
                    tokio::time::sleep(Duration::from_millis(50)).await
                }
                other => break other.unwrap(),
            }
        };
        assert_eq!(applied["spec"]["a"], 1);
        let key = ObjectKey {
            group: String::new(),
            kind: "CustomResourceDefinition".to_owned(),
            namespace: None,
            name: format!("widgets.{group}"),
        };
        assert!(
            client
                .delete("apiextensions.k8s.io/v1", &key, Delete::default())
                .await
                .unwrap()
        );
    });
}

#[test]
fn a_long_list_comes_whole_page_by_page() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let maps: Vec<Value> = (0..501)
            .map(|n| corner.config_map(&format!("m{n:03}"), json!({"n": n.to_string()})))
            .collect();
        let made = futures::future::join_all(maps.iter().map(|map| client.create(map))).await;
        assert!(made.iter().all(Result::is_ok));

        let all = client
            .list(&config_maps(), Some(&corner.namespace), "test=client")
            .await
            .unwrap();
        let names: Vec<&str> = all.iter().map(name).collect();
        assert_eq!((names.len(), names[0], names[500]), (501, "m000", "m500"));
        assert_eq!(
            (&all[0]["apiVersion"], &all[0]["kind"]),
            (&json!("v1"), &json!("ConfigMap"))
        );
        assert_eq!(client.requests()["list"], 2);

        let metadata = client
            .list_metadata(&config_maps(), Some(&corner.namespace), "test=client")
            .await
            .unwrap();
        assert_eq!(metadata.len(), 501);
        assert_eq!(
            (&metadata[0]["kind"], &metadata[0]["data"]),
            (&json!("ConfigMap"), &Value::Null)
        );
        assert!(
            client
                .list(&config_maps(), Some(&corner.namespace), "test=other")
                .await
                .unwrap()
                .is_empty()
        );
    });
}

async fn told(events: &mut BoxStream<'static, ApiResult<WatchEvent<Value>>>) -> String {
    match events
        .next()
        .await
        .expect("a watch that goes on")
        .expect("a watch that is allowed")
    {
        WatchEvent::Present(object) => format!(
            "+{} {}",
            name(&object),
            object["data"]["n"].as_str().unwrap_or_default()
        ),
        WatchEvent::Deleted(object) | WatchEvent::Vanished(object) => format!("-{}", name(&object)),
        WatchEvent::Listed => "listed".to_owned(),
    }
}

#[test]
fn a_watch_tells_what_there_is_and_then_what_changes() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        client
            .create(&corner.config_map("a", json!({"n": "1"})))
            .await
            .unwrap();
        let mut events = client.watch(
            config_maps(),
            Some(corner.namespace.clone()),
            "test=client".to_owned(),
            |object| object,
        );
        assert_eq!(
            [told(&mut events).await, told(&mut events).await],
            ["+a 1", "listed"]
        );
        client
            .apply(&corner.config_map("b", json!({"n": "2"})), Apply::default())
            .await
            .unwrap();
        assert_eq!(told(&mut events).await, "+b 2");
        client
            .apply(&corner.config_map("b", json!({"n": "3"})), Apply::default())
            .await
            .unwrap();
        assert_eq!(told(&mut events).await, "+b 3");
        client
            .delete("v1", &corner.key("a"), Delete::default())
            .await
            .unwrap();
        assert_eq!(told(&mut events).await, "-a");
    });
}

#[test]
fn who_may_not_is_reported_who_may_not_what() {
    run(async |corner| {
        let viewer = corner.connect("viewer").await;
        let error = viewer
            .create(&corner.config_map("a", json!({})))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Forbidden);
        let report = Error::from(error).to_string();
        let why = format!(
            "user \"viewer\" has no permission to create configmaps in namespace \"{}\"",
            corner.namespace
        );
        assert!(report.contains(&why), "{report}");
        assert!(
            report.contains(&format!(
                "`kubectl auth can-i create configmaps -n {}`",
                corner.namespace
            )),
            "{report}"
        );

        assert_eq!(viewer.whoami().await.unwrap().username, "viewer");
        let namespace = Some(corner.namespace.as_str());
        assert!(
            viewer
                .can_i("get", "", "configmaps", namespace, None)
                .await
                .unwrap()
        );
        assert!(
            !viewer
                .can_i("patch", "apps", "statefulsets", namespace, Some("peer0"))
                .await
                .unwrap()
        );

        let nobody = corner.connect("nobody").await;
        let mut events = nobody.watch(
            config_maps(),
            Some(corner.namespace.clone()),
            String::new(),
            |object| object,
        );
        assert_eq!(
            events.next().await.unwrap().unwrap_err().kind,
            ApiErrorKind::Forbidden
        );
        assert!(events.next().await.is_none());
    });
}

#[test]
fn the_server_says_what_it_serves() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let served = client.api_versions().await.unwrap();
        for expected in [
            "v1",
            "v1/ConfigMap",
            "apps/v1",
            "apps/v1/StatefulSet",
            "policy/v1/PodDisruptionBudget",
        ] {
            assert!(
                served.iter().any(|name| name == expected),
                "{expected} in {served:?}"
            );
        }
        client.api_versions().await.unwrap();
        assert_eq!(client.requests()["discover"], 2);
        assert!(client.version().await.unwrap().starts_with("v1."));
        assert!(
            !client
                .is_namespaced(&Kind {
                    api_version: "v1".to_owned(),
                    kind: "Namespace".to_owned()
                })
                .await
                .unwrap()
        );
    });
}

#[test]
fn a_server_that_cannot_be_trusted_is_not_spoken_to() {
    run(async |corner| {
        let view = corner
            .cluster
            .kubectl()
            .args(["config", "view", "-o", "json"])
            .run()
            .success()
            .json();
        let server = view["clusters"][0]["cluster"]["server"]
            .as_str()
            .expect("a server")
            .to_owned();
        let empty = corner.cluster.folder().join("empty");
        std::fs::write(&empty, "").expect("a file in a folder of ours");
        let connection = Connection {
            kubeconfig: Some(empty),
            server: Some(server),
            ..Connection::default()
        };

        let stranger = Connection {
            token: Some("x".to_owned()),
            ..connection.clone()
        };
        let error = Cluster::connect(&stranger)
            .await
            .unwrap()
            .version()
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unreachable);
        let report = Error::from(error).to_string();
        assert!(
            report.contains("signed by an unknown authority")
                && report.contains("--certificate-authority"),
            "{report}"
        );

        let reckless = Connection {
            insecure_skip_tls_verify: true,
            ..stranger
        };
        let client = Cluster::connect(&reckless).await.unwrap();
        let error = client.list(&config_maps(), None, "").await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized);
    });
}

#[test]
fn an_object_in_a_namespace_that_goes_is_reported_to_be_too_late() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let mut held = corner.config_map("held", json!({}));
        held["metadata"]["finalizers"] = json!(["kubectl-fabric.io/test"]);
        client.create(&held).await.unwrap();
        let namespace = ObjectKey {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: corner.namespace.clone(),
        };
        assert!(
            client
                .delete("v1", &namespace, Delete::default())
                .await
                .unwrap()
        );
        let error = client
            .create(&corner.config_map("late", json!({})))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Terminating);
        client
            .merge_patch(
                "v1",
                &corner.key("held"),
                &json!({"metadata": {"finalizers": null}}),
            )
            .await
            .unwrap();
    });
}

#[test]
fn the_log_of_a_pod_that_is_not_there_is_not_found() {
    run(async |corner| {
        let client = corner.connect("admin").await;
        let error = client
            .logs(&corner.namespace, "peer0-0", "peer", 10, false)
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.code), (ApiErrorKind::NotFound, 404));
    });
}
