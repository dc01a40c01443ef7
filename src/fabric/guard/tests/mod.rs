//! Each row of the table with a case in which it applies and one in which it does not, and the
//! resulting decisions.

mod organization;
mod running;
mod versions;

use super::*;
use crate::manifest::{Object, TemplateLine};
use serde_json::json;

/// Returns the object of a node with containers of these images.
fn object(name: &str, containers: &[(&str, &str, Value)], volume: Option<&str>) -> Object {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, image, env)| json!({"name": name, "image": image, "env": env}))
        .collect();
    let component = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let labels = json!({"kubectl-fabric.io/node": name, "app.kubernetes.io/component": component});
    let mut body = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "org1"},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}},
    });
    if let Some(size) = volume {
        body["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "ledger"}, "spec": {"resources": {"requests": {"storage": size}}}}]);
    }
    Object::from_body(body, TemplateLine::default()).unwrap()
}

/// Returns a node with one program.
fn node(image: &str) -> Vec<Node> {
    nodes(
        &[object("peer0", &[("peer0", image, json!([]))], None)],
        None,
    )
}

fn facts(consensus: &str) -> Facts {
    Facts {
        consensus: Some(consensus.to_owned()),
        ..Facts::default()
    }
}

fn ids(judgement: &Judgement) -> Vec<Said> {
    let mut ids: Vec<_> = judgement
        .findings
        .iter()
        .map(|finding| (finding.rule.id, finding.rule.verdict))
        .collect();
    ids.dedup();
    ids
}

/// Returns the table's findings for a change of one node's image.
fn images(from: &str, to: &str, consensus: &str) -> Vec<Said> {
    let running = Running {
        nodes: node(from),
        facts: facts(consensus),
        ..Running::default()
    };
    let wanted = Wanted {
        nodes: node(to),
        facts: facts(consensus),
        ..Wanted::default()
    };
    ids(&judge(&running, &wanted, "org1"))
}

const PEER: &str = "hyperledger/fabric-peer:";
const ORDERER: &str = "hyperledger/fabric-orderer:";
const CA: &str = "hyperledger/fabric-ca:";
const COUCHDB: &str = "couchdb:";
const OLD_COUCHDB: &str = "hyperledger/fabric-couchdb:";

/// A rule that applies, with its verdict.
type Said = (&'static str, Verdict);

#[test]
fn every_rule_has_a_case_here() {
    let tests = [
        include_str!("mod.rs"),
        include_str!("organization.rs"),
        include_str!("running.rs"),
        include_str!("versions.rs"),
    ]
    .concat();
    for rule in RULES {
        assert!(
            tests.contains(&format!("(\"{}\", ", rule.id))
                || tests.contains(&format!("[(\"{}\", Verdict", rule.id)),
            "{}",
            rule.id
        );
        assert!(
            !rule.reason.is_empty() && !rule.source.is_empty(),
            "{}",
            rule.id
        );
        assert!(
            !rule.verdict.refuses() || !rule.way_out.is_empty(),
            "{} leaves no way",
            rule.id
        );
    }
    assert!(
        RULES.is_sorted_by_key(|rule| rule.id),
        "rows of one id stand together"
    );
}

#[test]
fn a_refusal_tells_everything_at_once_one_place_per_node() {
    let node = |peer: &str, couchdb: &str| {
        let containers = [("peer0", peer, json!([])), ("couchdb", couchdb, json!([]))];
        nodes(
            &[
                object("peer0", &containers, None),
                object("peer1", &containers[..1], None),
            ],
            None,
        )
    };
    let running = Running {
        nodes: node(
            "hyperledger/fabric-peer:1.4.12",
            "hyperledger/fabric-couchdb:0.4.22",
        ),
        ..Running::default()
    };
    let judged = || {
        judge(
            &running,
            &Wanted {
                nodes: node("hyperledger/fabric-peer:2.5.16", "couchdb:3.4.2"),
                ..Wanted::default()
            },
            "org1",
        )
    };
    let error = judged().decide("upgrade", "org1", &["U18"]).unwrap_err();
    assert_eq!(error.places().len(), 2);
    let error = judged().decide("upgrade", "org1", &[]).unwrap_err();
    assert_eq!(error.kind().exit_status(), 4);
    let text = error.to_string();
    for part in [
        "cannot upgrade release \"org1\": guards U05, U18 refuse it\n",
        "--> StatefulSet org1/peer0   peer 1.4.12 → 2.5.16, U05; CouchDB 2.3.1 → 3.4.2, U18\n",
        "--> StatefulSet org1/peer1   peer 1.4.12 → 2.5.16, U05\n",
        "\nwhy: U05: 2.x uses another database format",
        "\nnow: nothing was changed\n",
        "\nhint: if the guard does not apply, override it with --force U05 --force U18; the record lists it",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let decision = judged()
        .decide("upgrade", "org1", &["U18", "U05", "U09"])
        .unwrap();
    assert_eq!(decision.forced, ["U05", "U18"]);
    assert!(decision.warnings[0].starts_with(
        "U05 is overridden by --force: peer 1.4.12 → 2.5.16 (StatefulSet org1/peer0, "
    ));
    assert!(
        decision.warnings[2].contains("--force U09 has no effect"),
        "{:?}",
        decision.warnings
    );
    let told = judged().into_warnings(&[]);
    assert!(
        told.forced.is_empty() && told.warnings[0].starts_with("U05 refuses this until you act: "),
        "{told:?}"
    );
}

#[test]
fn facts_follow_from_one_revision_to_the_next() {
    let before = Facts {
        done: vec!["upgrade-dbs".into()],
        forced: vec!["U05".into()],
        ..Facts::default()
    };
    let after = Facts::default().following(&before, &["U09"]);
    assert_eq!(
        (after.done, after.forced),
        (vec!["upgrade-dbs".to_owned()], vec!["U09".to_owned()])
    );
    assert_eq!(
        Facts::default().following(&Facts::default(), &["U05"]).done,
        ["upgrade-dbs"]
    );
    assert_eq!(Facts::read(&before.to_value()), before);
    assert_eq!(Facts::read(&Value::Null), Facts::default());
    assert_eq!(
        Facts::read(&json!({"fabricVersion": null, "model": null})),
        Facts::default()
    );
}

#[test]
fn a_rule_that_is_not_there_is_reported_with_those_that_are() {
    assert_eq!(parse_rule("u05"), Ok("U05"));
    let error = parse_rule("U99").unwrap_err();
    assert!(
        error.contains("known guards are U00, U01, U02") && error.contains("U16, U17"),
        "{error}"
    );
}
