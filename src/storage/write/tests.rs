use super::super::codec::tests::record;
use super::*;
use crate::cluster::scripted::{Reply, Scripted, impatient};

fn conflict(reason: &str) -> Reply {
    Reply::status(409, reason, "something is there")
}

/// Returns the body of the last request that had one.
fn sent(server: &Scripted) -> Value {
    let bodies = server
        .seen()
        .into_iter()
        .rev()
        .filter_map(|request| Some(request.split_once("\r\n\r\n")?.1.to_owned()));
    let body = bodies
        .into_iter()
        .find(|body| !body.is_empty())
        .expect("a body");
    serde_json::from_str(&body).expect("JSON")
}

async fn cluster(replies: impl IntoIterator<Item = Reply>) -> (Scripted, Cluster) {
    let server = Scripted::start(replies).await;
    let cluster = server.cluster(impatient()).await;
    (server, cluster)
}

type Change = fn(&mut Value);

/// Changes to the record that make it differ from what was sent.
const OTHERS: [Change; 3] = [
    |there| there["binaryData"]["release"] = json!("b3RoZXI="),
    |there| there["binaryData"]["state"] = json!("b3RoZXI="),
    |there| {
        there["metadata"]["annotations"]["kubectl-fabric.io/updated"] =
            json!("2026-01-02T00:00:00Z")
    },
];

#[tokio::test]
async fn a_record_that_is_there_is_ours_only_if_it_is_what_was_sent() {
    let record = record();
    let packed = pack(&record).unwrap();
    // What is sent, without the companion Secret, which comes first.
    let (server, there) = cluster([Reply::ok("{}"), Reply::ok("{}")]).await;
    create(&there, &record, &packed).await.unwrap();
    let mut sent = sent(&server);
    sent["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (_, there) = cluster([Reply::ok("{}"), conflict("AlreadyExists"), Reply::ok(&sent)]).await;
    let written = create(&there, &record, &packed)
        .await
        .expect("it is ours, and its first answer was lost");
    assert_eq!(written.created(), "2026-01-01T00:00:00Z");
    for change in OTHERS {
        let mut other = sent.clone();
        change(&mut other);
        let (_, there) = cluster([
            Reply::ok("{}"),
            conflict("AlreadyExists"),
            Reply::ok(&other),
        ])
        .await;
        let error = create(&there, &record, &packed)
            .await
            .err()
            .expect("another run took the number");
        assert_eq!(error.kind, ApiErrorKind::AlreadyExists);
    }
    let gone = Reply::status(404, "NotFound", "gone");
    let (_, there) = cluster([Reply::ok("{}"), conflict("AlreadyExists"), gone]).await;
    assert_eq!(
        create(&there, &record, &packed)
            .await
            .err()
            .map(|error| error.kind),
        Some(ApiErrorKind::AlreadyExists)
    );
}

#[tokio::test]
async fn a_record_that_changed_meanwhile_is_ours_only_if_it_is_what_was_sent() {
    let record = record();
    let (payload, body) = (
        pack(&record).unwrap(),
        holder(&record.summary, "ConfigMap", "r", "release", b"x", 1),
    );
    let written = || Written {
        body: body.clone(),
        signing_key: payload.signing_key.clone(),
    };
    let (server, there) = cluster([Reply::ok("{}")]).await;
    update(&there, &mut written(), &record).await.unwrap();
    let mut sent = sent(&server);
    sent["metadata"]["resourceVersion"] = json!("8");
    let (_, there) = cluster([conflict("Conflict"), Reply::ok(&sent)]).await;
    let mut ours = written();
    update(&there, &mut ours, &record)
        .await
        .expect("it is ours, and its first answer was lost");
    assert_eq!(
        ours.body["metadata"]["resourceVersion"], "8",
        "the next update is based on it"
    );
    let others: [Change; 3] = [OTHERS[0], OTHERS[1], |there| {
        there["metadata"]["labels"]["kubectl-fabric.io/status"] = json!("failed");
    }];
    for change in others {
        let mut other = sent.clone();
        change(&mut other);
        let (_, there) = cluster([conflict("Conflict"), Reply::ok(&other)]).await;
        let error = update(&there, &mut written(), &record)
            .await
            .expect_err("someone else wrote it");
        assert_eq!(error.kind, ApiErrorKind::Conflict);
    }
    let (_, there) = cluster([conflict("Conflict"), Reply::status(404, "NotFound", "gone")]).await;
    assert_eq!(
        update(&there, &mut written(), &record)
            .await
            .unwrap_err()
            .kind,
        ApiErrorKind::Conflict
    );
}

#[tokio::test]
async fn a_part_of_a_record_is_written_over_only_if_it_is_the_releases() {
    let record = record();
    let body = holder(&record.summary, "Secret", "r", "secrets", b"x", 1);
    let with = |change: Change| {
        let mut there = body.clone();
        there["metadata"]["uid"] = json!("1");
        change(&mut there);
        Reply::ok(&there)
    };
    let older: Change = |there| there["data"]["release"] = json!("b2xk");
    let others: Change =
        |there| there["metadata"]["labels"]["kubectl-fabric.io/release"] = json!("org2");
    let kinds: Change =
        |there| there["metadata"]["labels"]["kubectl-fabric.io/record"] = json!("part");
    let (taken, exists) = (Some(ApiErrorKind::AlreadyExists), conflict("Conflict"));
    let cases = [
        (vec![Reply::ok("{}")], None),
        // Our own object, created by a request whose response was lost.
        (vec![exists.clone(), with(|_| {})], None),
        // An object from an interrupted attempt.
        (vec![exists.clone(), with(older), Reply::ok("{}")], None),
        (vec![exists.clone(), with(others)], taken),
        (vec![exists.clone(), with(kinds)], taken),
        // The object is gone again. There is no endless retry.
        (
            vec![exists, Reply::status(404, "NotFound", "gone")],
            Some(ApiErrorKind::Replaced),
        ),
    ];
    for (index, (replies, expected)) in cases.into_iter().enumerate() {
        let count = replies.len();
        let (server, there) = cluster(replies).await;
        assert_eq!(
            put(&there, &body, false)
                .await
                .err()
                .map(|error| error.kind),
            expected,
            "case {index}"
        );
        assert_eq!(
            server.lines().len(),
            count,
            "case {index}: {:?}",
            server.lines()
        );
    }
}

#[test]
fn no_two_releases_have_a_key_in_common() {
    let (one, other) = (new_key().unwrap(), new_key().unwrap());
    assert_eq!(one.len(), 64);
    assert_ne!(one, other);
    let (one, other) = (pack(&record()).unwrap(), pack(&record()).unwrap());
    assert_ne!(one.signing_key, other.signing_key);
}
