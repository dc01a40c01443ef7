use super::*;
use crate::cluster::scripted::{Reply, Scripted, impatient};
use jiff::SignedDuration;
use serde_json::json;

#[tokio::test]
async fn a_holder_that_could_not_renew_waits_until_it_has_or_has_lost() {
    let stale = Tenure {
        dated: clock() - SignedDuration::from_secs(11),
        ..Tenure::begin()
    };
    let (sender, tenure) = watch::channel(stale);
    let waiting = tokio::spawn(held(tenure.clone()));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    sender.send_replace(Tenure::begin());
    assert_eq!(waiting.await.unwrap(), Ok(()));
    sender.send_modify(|tenure| tenure.lost = Some("taken".to_owned()));
    assert_eq!(held(tenure).await, Err("taken".to_owned()));
}

#[tokio::test]
async fn a_lock_that_someone_else_wrote_is_lost_at_its_end_and_an_own_one_is_deleted() {
    let key = || lease::key("org1", "org1");
    let holder = Holder::this_process("ann", "upgrade", Some("1"));
    let ours = lease::body(
        &key(),
        "org1",
        &holder,
        "2026-01-01T00:00:00Z".parse().unwrap(),
    );
    let mut others = ours.clone();
    others["spec"]["renewTime"] = json!("2099-01-01T00:00:00.000000Z");
    let (done, gone, conflict) = (
        Reply::ok("{}"),
        Reply::status(404, "NotFound", "gone"),
        Reply::status(409, "Conflict", "changed"),
    );
    let cases = [
        (vec![done.clone()], true),
        (vec![gone.clone()], false),
        (vec![conflict.clone(), Reply::ok(&ours), done.clone()], true),
        (vec![conflict.clone(), Reply::ok(&others)], false),
        (vec![conflict, gone.clone()], false),
        // The response to the deletion was lost, after or before the server carried it out.
        (vec![Reply::Close, gone], true),
        (vec![Reply::Close, Reply::ok(&ours), done], true),
        (vec![Reply::Close, Reply::ok(&others)], false),
    ];
    for (index, (replies, released)) in cases.into_iter().enumerate() {
        let count = replies.len();
        // The first response shows that the server is reachable.
        let server = Scripted::start([vec![Reply::ok("{}")], replies].concat()).await;
        let cluster = server.cluster(impatient()).await;
        cluster.version().await.unwrap();
        let mut lock = hold(&cluster, key(), ours.clone(), Tenure::begin(), None);
        assert_eq!(
            matches!(lock.end(true).await, End::Released),
            released,
            "case {index}"
        );
        assert_eq!(
            server.lines().len(),
            1 + count,
            "case {index}: {:?}",
            server.lines()
        );
    }
}
