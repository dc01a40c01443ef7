use super::*;
use crate::cluster::Extent;
use crate::cluster::read::watching;
use crate::cluster::scripted::{After, Reply, Scripted, impatient};
use futures::stream::BoxStream;

fn pod(name: &str, version: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "org1", "uid": name, "resourceVersion": version.to_string()}})
}

fn listed(version: u32, pods: &[Value]) -> Reply {
    Reply::ok(
        json!({"kind": "PodList", "metadata": {"resourceVersion": version.to_string()}, "items": pods}),
    )
}

fn line(kind: &str, object: Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn gone() -> Value {
    json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
}

fn impatient_times() -> Times {
    Times {
        silence: Duration::from_millis(50),
        away: Duration::from_secs(20),
        first: Duration::from_millis(1),
        longest: Duration::from_millis(5),
    }
}

async fn watch(
    server: &Scripted,
    times: Times,
) -> BoxStream<'static, ApiResult<WatchEvent<Value>>> {
    let kind = Kind {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
    };
    let list = server
        .cluster(impatient())
        .await
        .listing(kind, Some("org1"), "a=b", Extent::Whole);
    watching(list, |object| object, times)
}

async fn next_words(events: &mut BoxStream<'static, ApiResult<WatchEvent<Value>>>) -> String {
    let name = |object: &Value| metadata(object, "name");
    match events.next().await {
        Some(Ok(WatchEvent::Present(object))) => format!(
            "+{}@{}",
            name(&object),
            metadata(&object, "resourceVersion")
        ),
        Some(Ok(WatchEvent::Deleted(object))) => format!("-{}", name(&object)),
        Some(Ok(WatchEvent::Vanished(object))) => {
            assert_eq!(
                (&object["kind"], &object["metadata"]["namespace"]),
                (&json!("Pod"), &json!("org1"))
            );
            format!(
                "?{}@{}",
                name(&object),
                metadata(&object, "resourceVersion")
            )
        }
        Some(Ok(WatchEvent::Listed)) => "listed".to_owned(),
        Some(Err(error)) => format!("{:?}", error.kind),
        None => "end".to_owned(),
    }
}

/// Returns the versions at which watches began, and when lists were made.
fn story(server: &Scripted) -> Vec<String> {
    let version = |line: &str| {
        line.split_once("resourceVersion=")
            .map(|(_, rest)| rest.split('&').next().unwrap_or_default().to_owned())
    };
    server
        .lines()
        .iter()
        .map(|line| version(line).map_or("list".to_owned(), |version| format!("from {version}")))
        .collect()
}

#[tokio::test]
async fn a_cut_watch_goes_on_from_the_last_version_it_heard() {
    let bookmark = json!({"kind": "Pod", "metadata": {"resourceVersion": "20"}});
    let server = Scripted::start([
        listed(10, &[pod("a", 5)]),
        Reply::Watch(
            vec![line("MODIFIED", pod("a", 11)), line("BOOKMARK", bookmark)],
            After::End,
        ),
        Reply::Close,
        Reply::Watch(
            vec![line("ADDED", pod("b", 21)), "{\"type\": \"MODI".to_owned()],
            After::Silence,
        ),
        Reply::Watch(vec![line("DELETED", pod("a", 22))], After::Silence),
    ])
    .await;
    let mut events = watch(&server, impatient_times()).await;
    assert_eq!(next_words(&mut events).await, "+a@5");
    assert_eq!(next_words(&mut events).await, "listed");
    assert_eq!(next_words(&mut events).await, "+a@11");
    assert_eq!(next_words(&mut events).await, "+b@21");
    assert_eq!(next_words(&mut events).await, "-a");
    assert_eq!(
        story(&server),
        ["list", "from 10", "from 20", "from 20", "from 21"]
    );
    assert!(
        server.lines()[1].contains("labelSelector=a%3Db")
            && server.lines()[1].contains("allowWatchBookmarks=true")
    );
}

#[tokio::test]
async fn an_expired_watch_lists_again_and_tells_only_what_differs() {
    let server = Scripted::start([
        listed(10, &[pod("a", 5), pod("b", 6), pod("c", 7)]),
        Reply::Watch(vec![line("ERROR", gone())], After::End),
        listed(30, &[pod("a", 5), pod("b", 25), pod("d", 26)]),
        Reply::status(410, "Expired", "too old"),
        listed(40, &[pod("a", 5), pod("b", 25)]),
        Reply::Watch(Vec::new(), After::Silence),
    ])
    .await;
    let mut events = watch(
        &server,
        Times {
            silence: Duration::from_secs(20),
            ..impatient_times()
        },
    )
    .await;
    let mut all = Vec::new();
    for _ in 0..9 {
        all.push(next_words(&mut events).await);
    }
    assert_eq!(
        all,
        [
            "+a@5", "+b@6", "+c@7", "listed", "+b@25", "+d@26", "?c@7", "listed", "?d@26"
        ]
    );
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_begun_again_when_it_expires() {
    let page = |version: u32, next: &str, pods: &[Value]| {
        let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
        Reply::ok(json!({"kind": "PodList", "metadata": metadata, "items": pods}))
    };
    let server = Scripted::start([
        page(10, "second", &[pod("a", 5)]),
        page(10, "", &[pod("b", 6)]),
        Reply::Watch(vec![line("ERROR", gone())], After::End),
        page(20, "second", &[pod("b", 16)]),
        Reply::status(410, "Expired", "too old"),
        page(30, "second", &[pod("b", 16)]),
        page(30, "", &[pod("c", 26)]),
        Reply::Watch(Vec::new(), After::Silence),
    ])
    .await;
    let mut events = watch(
        &server,
        Times {
            silence: Duration::from_secs(20),
            ..impatient_times()
        },
    )
    .await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(next_words(&mut events).await);
    }
    assert_eq!(
        all,
        ["+a@5", "+b@6", "listed", "+b@16", "+c@26", "?a@5", "listed"]
    );
    let pages = server
        .lines()
        .iter()
        .filter(|line| line.contains("continue=second"))
        .count();
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusal_ends_the_watch() {
    let busy =
        json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "later"});
    let server = Scripted::start([
        Reply::code(503),
        listed(10, &[pod("a", 5)]),
        Reply::code(500),
        Reply::Watch(vec![line("ERROR", busy)], After::End),
        Reply::status(403, "Forbidden", "no"),
    ])
    .await;
    let mut events = watch(&server, impatient_times()).await;
    assert_eq!(next_words(&mut events).await, "+a@5");
    assert_eq!(next_words(&mut events).await, "listed");
    assert_eq!(next_words(&mut events).await, "Forbidden");
    assert_eq!(next_words(&mut events).await, "end");
    assert_eq!(
        story(&server),
        ["list", "list", "from 10", "from 10", "from 10"]
    );
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_watch() {
    let server = Scripted::start([listed(10, &[pod("a", 5)])]).await;
    let mut events = watch(
        &server,
        Times {
            away: Duration::from_millis(100),
            ..impatient_times()
        },
    )
    .await;
    assert_eq!(next_words(&mut events).await, "+a@5");
    assert_eq!(next_words(&mut events).await, "listed");
    assert_eq!(next_words(&mut events).await, "Unreachable");
    assert_eq!(next_words(&mut events).await, "end");
}
