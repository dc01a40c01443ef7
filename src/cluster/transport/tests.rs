use super::warnings::warning_text;
use super::*;
use crate::{
    cluster::{
        Apply, Connection, Delete, Fence, Kind,
        scripted::{Reply, Scripted, impatient},
    },
    manifest::ObjectKey,
};
use futures::future::BoxFuture;
use serde_json::json;
use std::sync::{Arc, atomic::AtomicUsize};

#[test]
fn a_warning_header_is_read_without_its_quotes() {
    assert_eq!(
        warning_text(r#"299 - "unknown field \"spec.foo\"""#).as_deref(),
        Some("unknown field \"spec.foo\"")
    );
    assert_eq!(warning_text(r#"299 - "cut"#), None);
    assert_eq!(warning_text("199 - \"other\""), None);
}

fn namespace(name: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: "Namespace".to_owned(),
        namespace: None,
        name: name.to_owned(),
    }
}

fn lease() -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock", "namespace": "org1"}})
}

#[tokio::test]
async fn a_read_outlives_hiccups_of_the_server_and_the_network() {
    let busy = Reply::code(429).header("retry-after", 0);
    let etcd = Reply::status(500, "", "etcdserver: leader changed");
    let server = Scripted::start([
        busy,
        Reply::code(503),
        Reply::code(503),
        Reply::Close,
        Reply::Cut,
        etcd,
        Reply::ok("{}"),
    ])
    .await;
    let cluster = server.cluster(impatient()).await;
    assert!(
        cluster
            .get("v1", &namespace("org1"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(server.lines().len(), 7);
    assert_eq!(cluster.requests()["get"], 7);
}

#[tokio::test]
async fn a_write_is_sent_again_after_a_reset_but_for_a_deletion_by_name_alone() {
    let server = Scripted::start([
        Reply::Close,
        Reply::ok("{}"),
        Reply::Cut,
        Reply::ok("{}"),
        Reply::Close,
        Reply::Cut,
        Reply::code(504),
    ])
    .await;
    let cluster = server.cluster(impatient()).await;
    cluster.apply(&lease(), Apply::default()).await.unwrap();
    cluster.create(&lease()).await.unwrap();
    for expected in [
        ApiErrorKind::Unreachable,
        ApiErrorKind::Unreachable,
        ApiErrorKind::Unavailable,
    ] {
        let error = cluster
            .delete("v1", &namespace("org1"), Delete::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, expected);
    }
    assert_eq!(server.lines().len(), 7);
}

#[tokio::test]
async fn a_fence_stands_before_every_attempt_of_a_write_and_before_no_read() {
    let server = Scripted::start([Reply::Close, Reply::ok("{}"), Reply::ok("{}")]).await;
    let passed = Arc::new(AtomicUsize::new(0));
    let count = passed.clone();
    let wait = Arc::new(move || -> BoxFuture<'static, Result<(), String>> {
        let open = count.fetch_add(1, Ordering::SeqCst) < 2;
        Box::pin(async move {
            if open {
                Ok(())
            } else {
                Err("no more".to_owned())
            }
        })
    });
    let fence = Fence {
        wait,
        is_open: Arc::new(|| true),
    };
    let cluster = server.cluster(impatient()).await.fenced(fence);
    cluster.apply(&lease(), Apply::default()).await.unwrap();
    assert_eq!(passed.load(Ordering::SeqCst), 2);
    let error = cluster.apply(&lease(), Apply::default()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ApiErrorKind::FencedOff, "no more")
    );
    cluster.version().await.unwrap();
    assert_eq!(server.lines().len(), 3, "what was refused was not sent");
}

/// As if the process was suspended after it passed the fence.
#[tokio::test]
async fn a_fence_that_has_closed_when_the_connection_takes_a_write_keeps_it_back() {
    // The first write finds the gate closed once, and waits again. The same for a deletion that
    // may not be repeated.
    let server = Scripted::start([Reply::ok("{}"), Reply::ok("{}"), Reply::ok("{}")]).await;
    let (waits, looks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, looked) = (waits.clone(), looks.clone());
    let wait = Arc::new(move || -> BoxFuture<'static, Result<(), String>> {
        let lost = counted.fetch_add(1, Ordering::SeqCst) == 5;
        Box::pin(async move {
            if lost {
                Err("taken over".to_owned())
            } else {
                Ok(())
            }
        })
    });
    let is_open = Arc::new(move || looked.fetch_add(1, Ordering::SeqCst) % 2 == 1);
    let cluster = server
        .cluster(impatient())
        .await
        .fenced(Fence { wait, is_open });
    cluster.apply(&lease(), Apply::default()).await.unwrap();
    cluster
        .delete("v1", &namespace("org1"), Delete::default())
        .await
        .unwrap();
    let lines = server.lines();
    assert!(
        lines.len() == 2 && lines[0].starts_with("PATCH ") && lines[1].starts_with("DELETE "),
        "{lines:?}"
    );
    assert_eq!(
        (waits.load(Ordering::SeqCst), looks.load(Ordering::SeqCst)),
        (4, 4),
        "one look per attempt"
    );

    let error = cluster.apply(&lease(), Apply::default()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ApiErrorKind::FencedOff, "taken over")
    );
    cluster.version().await.unwrap();
    assert_eq!(
        server.lines().len(),
        3,
        "a read has no gate, and nothing else was heard"
    );
}

#[tokio::test]
async fn a_deletion_that_was_surely_not_heard_is_sent_again() {
    let later = Reply::code(503).header("retry-after", 0);
    let server = Scripted::start([Reply::code(429), later, Reply::ok("{}")]).await;
    server
        .cluster(impatient())
        .await
        .delete("v1", &namespace("org1"), Delete::default())
        .await
        .unwrap();
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_soon_and_plainly() {
    let mut gone = Scripted::start([]).await;
    gone.url = "http://127.0.0.1:1".to_owned();
    let error = gone.cluster(impatient()).await.version().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
    assert_eq!(
        error.message,
        "cannot reach http://127.0.0.1:1: connection refused"
    );
}

#[tokio::test]
async fn an_unknown_host_name_is_reported() {
    let mut nowhere = Scripted::start([]).await;
    nowhere.url = "http://api.invalid:1".to_owned();
    let error = nowhere
        .cluster(impatient())
        .await
        .version()
        .await
        .unwrap_err();
    assert!(
        error.message.contains("cannot resolve the host name"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_stalled_request_ends_and_only_a_harmless_one_is_sent_again() {
    let policy = Policy {
        attempt: Duration::from_millis(100),
        ..impatient()
    };
    let server =
        Scripted::start([Reply::ok("{}"), Reply::Stall, Reply::ok("{}"), Reply::Stall]).await;
    let cluster = server.cluster(policy).await;
    cluster.version().await.unwrap();
    cluster.version().await.unwrap();
    let error = cluster
        .delete("v1", &namespace("org1"), Delete::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Timeout);
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn a_server_that_has_never_answered_is_asked_once_unless_the_user_has_more_patience() {
    let policy = Policy {
        first_attempt: Duration::from_millis(50),
        attempt: Duration::from_millis(100),
        ..impatient()
    };
    let silent = || Scripted::start([Reply::Stall, Reply::Stall]);
    let server = silent().await;
    let error = server.cluster(policy).await.version().await.unwrap_err();
    assert_eq!(
        (error.kind, server.lines().len()),
        (ApiErrorKind::Timeout, 1)
    );
    assert!(
        error.message.ends_with("within 0.05 s"),
        "{}",
        error.message
    );
    assert!(error.hint.unwrap().contains("--request-timeout"));
    let patient = Connection {
        request_timeout: Some(Duration::from_secs(60)),
        ..Connection::default()
    };
    let error = silent()
        .await
        .cluster_of(patient, policy)
        .await
        .version()
        .await
        .unwrap_err();
    assert!(error.message.ends_with("within 0.1 s"), "{}", error.message);
}

#[tokio::test]
async fn request_timeout_bounds_all_attempts_together() {
    let server = Scripted::start(std::iter::repeat_n(Reply::Stall, 9)).await;
    let connection = Connection {
        request_timeout: Some(Duration::from_millis(50)),
        ..Connection::default()
    };
    let error = server
        .cluster_of(connection, impatient())
        .await
        .version()
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Timeout);
    assert_eq!(error.message, "no response within 0.05 s");
}

#[tokio::test]
async fn a_server_that_has_just_come_back_may_refuse_for_a_moment() {
    let refused = || {
        Reply::status(
            403,
            "Forbidden",
            "RBAC: clusterrole.rbac.authorization.k8s.io \"edit\" not found",
        )
    };
    let server = Scripted::start([refused(), Reply::code(503), refused(), Reply::ok("{}")]).await;
    let cluster = server.cluster(impatient()).await;
    assert_eq!(
        cluster.version().await.unwrap_err().kind,
        ApiErrorKind::Forbidden
    );
    cluster.version().await.unwrap();
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn a_conflict_comes_back_at_once_with_its_causes() {
    let causes = json!([{"reason": "FieldManagerConflict", "message": "conflict with \"other\"", "field": ".data.a"}]);
    let status = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "m", "details": {"causes": causes}});
    let server = Scripted::start([Reply::Answer(409, Vec::new(), status.to_string())]).await;
    let error = server
        .cluster(impatient())
        .await
        .apply(&lease(), Apply::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.code, error.causes.len()),
        (ApiErrorKind::Conflict, 409, 1)
    );
    assert_eq!(error.request, "apply Lease org1/lock");
}

#[tokio::test]
async fn an_apply_says_who_writes_and_asks_for_strictness() {
    let server = Scripted::start([Reply::ok("{}"), Reply::ok("{}")]).await;
    let cluster = server.cluster(impatient()).await;
    cluster
        .apply(
            &lease(),
            Apply {
                dry_run: true,
                force: true,
                ..Apply::default()
            },
        )
        .await
        .unwrap();
    cluster.apply(&lease(), Apply::default()).await.unwrap();
    let path = "PATCH /apis/coordination.k8s.io/v1/namespaces/org1/leases/lock?fieldManager=kubectl-fabric&fieldValidation=Strict";
    assert_eq!(
        server.lines(),
        [format!("{path}&force=true&dryRun=All"), path.to_owned()]
    );
    assert!(server.seen()[0].contains("content-type: application/apply-patch+yaml"));
    assert_eq!(
        cluster.requests(),
        BTreeMap::from([("apply", 1), ("dry-run", 1)])
    );
}

#[tokio::test]
async fn an_expired_list_is_begun_once_more() {
    let page = |next: &str| {
        Reply::ok(
            json!({"metadata": {"continue": next, "resourceVersion": "1"}, "items": [{"metadata": {"name": next}}]}),
        )
    };
    let expired = Reply::status(410, "Expired", "the continue token is too old");
    let server = Scripted::start([page("t/1"), expired, page("t2"), page("")]).await;
    let kind = Kind {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
    };
    let items = server
        .cluster(impatient())
        .await
        .list(&kind, Some("org1"), "")
        .await
        .unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["kind"], "ConfigMap");
    assert!(
        server.lines()[1].ends_with("?limit=500&continue=t%2F1"),
        "{:?}",
        server.lines()
    );
    assert!(
        server.lines()[2].ends_with("?limit=500"),
        "{:?}",
        server.lines()
    );
}

#[tokio::test]
async fn a_kind_is_looked_up_once_and_once_more_when_it_was_not_there() {
    let widgets =
        json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": false}]});
    let gone = [Reply::code(404), Reply::code(404)];
    let server = Scripted::start(gone.into_iter().chain([
        Reply::ok(&widgets),
        Reply::ok("{}"),
        Reply::ok("{}"),
    ]))
    .await;
    let cluster = server.cluster(impatient()).await;
    let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    assert_eq!(
        cluster
            .apply(&body, Apply::default())
            .await
            .unwrap_err()
            .kind,
        ApiErrorKind::UnknownKind
    );
    cluster.apply(&body, Apply::default()).await.unwrap();
    cluster.apply(&body, Apply::default()).await.unwrap();
    assert_eq!(
        cluster.requests(),
        BTreeMap::from([("apply", 2), ("discover", 3)])
    );
}

#[tokio::test]
async fn a_kind_of_a_version_from_before_is_read_in_the_one_that_is_served_and_not_sent() {
    let widgets =
        json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": false}]});
    let group = json!({"versions": [{"groupVersion": "example.com/v2", "version": "v2"}]});
    let replies = [
        Reply::code(404),
        Reply::ok(&group),
        Reply::ok(&widgets),
        Reply::ok(json!({"items": [{}]})),
    ];
    let server = Scripted::start(replies).await;
    let cluster = server.cluster(impatient()).await;
    let kind = Kind {
        api_version: "example.com/v1".to_owned(),
        kind: "Widget".to_owned(),
    };
    assert_eq!(
        cluster.list(&kind, None, "").await.unwrap()[0]["apiVersion"],
        "example.com/v2"
    );
    let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    let error = cluster.apply(&body, Apply::default()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::UnknownKind);
    assert!(
        error.message.ends_with("it serves it in example.com/v2"),
        "{}",
        error.message
    );
    assert!(
        server.lines()[3].starts_with("GET /apis/example.com/v2/widgets"),
        "{:?}",
        server.lines()
    );
}

#[tokio::test]
async fn warnings_are_kept_once_and_taken_once() {
    let warned = || {
        Reply::ok("{}")
            .header("warning", "299 - \"old\"")
            .header("warning", "299 - \"odd\"")
    };
    let server = Scripted::start([warned(), warned()]).await;
    let cluster = server.cluster(impatient()).await;
    cluster.version().await.unwrap();
    cluster.version().await.unwrap();
    assert_eq!(cluster.take_warnings(), ["old", "odd"]);
    assert!(cluster.take_warnings().is_empty());
}

#[tokio::test]
async fn a_warning_names_the_objects_that_it_is_about() {
    let warned = || Reply::ok("{}").header("warning", "299 - \"would violate PodSecurity\"");
    let server = Scripted::start([warned(), warned(), warned()]).await;
    let cluster = server.cluster(impatient()).await;
    for name in ["peer1", "peer0", "peer1"] {
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "org1"}});
        cluster.apply(&body, Apply::default()).await.unwrap();
    }
    assert_eq!(
        cluster.take_warnings(),
        ["Pod org1/peer0 and 1 more: would violate PodSecurity"]
    );
}

#[tokio::test]
async fn at_most_so_many_requests_are_under_way() {
    let server = Scripted::start(std::iter::repeat_n(Reply::Stall, 100)).await;
    let cluster = server.cluster(impatient()).await;
    let all = futures::future::join_all((0..100).map(|_| cluster.version()));
    assert!(timeout(Duration::from_millis(300), all).await.is_err());
    assert_eq!(cluster.requests()["get"], AT_ONCE as u64);
}
