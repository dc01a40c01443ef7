//! What runs, by pods, records and claims.

use super::*;

#[test]
fn an_image_that_tells_nothing_counts_as_what_the_values_say() {
    let custom = |image: &str, claimed: &str| {
        nodes(
            &[object("peer0", &[("peer0", image, json!([]))], None)],
            Some(&Version::parse(claimed).unwrap()),
        )
    };
    let running = Running {
        nodes: custom("example.com/own:a", "1.4.12"),
        ..Running::default()
    };
    let judgement = judge(
        &running,
        &Wanted {
            nodes: custom("example.com/own:b", "2.5.16"),
            ..Wanted::default()
        },
        "org1",
    );
    assert_eq!(ids(&judgement), [("U05", Verdict::NeedsAction)]);
    assert_eq!(judgement.notes.len(), 2, "{:?}", judgement.notes);
    // The same name can also be another image.
    let judgement = judge(
        &running,
        &Wanted {
            nodes: custom("example.com/own:a", "2.5.16"),
            ..Wanted::default()
        },
        "org1",
    );
    assert_eq!(ids(&judgement), [("U05", Verdict::NeedsAction)]);
    let unknown = Running {
        nodes: node("hyperledger/fabric-peer@sha256:abc"),
        ..Running::default()
    };
    let judgement = judge(
        &unknown,
        &Wanted {
            nodes: node("hyperledger/fabric-peer:2.5.16"),
            ..Wanted::default()
        },
        "org1",
    );
    assert!(
        judgement.findings.is_empty() && judgement.notes[0].contains("cannot be checked"),
        "{judgement:?}"
    );
}

/// Returns a pod of `peer0`. `ran` is the state of its container.
fn pod(image: &str, state: Value) -> Value {
    let labels = json!({"kubectl-fabric.io/node": "peer0", "app.kubernetes.io/component": "peer"});
    json!({
        "metadata": {
            "name": "peer0-0", "namespace": "org1", "labels": labels,
            "ownerReferences": [{"controller": true, "kind": "StatefulSet", "name": "peer0"}],
        },
        "spec": {"containers": [{"name": "peer0", "image": image}]},
        "status": {"containerStatuses": [{"name": "peer0", "state": state, "restartCount": 0}]},
    })
}

#[test]
fn what_ran_is_reported_by_pods_and_by_records_where_none_ran() {
    let peer = |version: &str| {
        nodes(
            &[object(
                "peer0",
                &[("peer0", &format!("{PEER}{version}"), json!([]))],
                Some("1Gi"),
            )],
            None,
        )
    };
    let ran = |evidence: Evidence| -> Vec<String> {
        let running = evidence.running(&peer("2.5.16"));
        running
            .programs("StatefulSet org1/peer0", Component::Peer)
            .map(|it| it.version.clone().unwrap().to_string())
            .collect()
    };
    let claim = |name: &str| json!({"metadata": {"name": name}});
    let claims = || Some(vec![claim("ledger-peer0-0")]);
    let runs = json!({"running": {}});
    let waits = json!({"waiting": {"reason": "ImagePullBackOff"}});
    let live =
        |version: &str, state: &Value| Some(vec![pod(&format!("{PEER}{version}"), state.clone())]);
    // A running pod overrides the records.
    let evidence = || Evidence {
        claims: claims(),
        deployed: peer("1.4.12"),
        ..Evidence::default()
    };
    assert_eq!(
        ran(Evidence {
            pods: live("2.2.15", &runs),
            ..evidence()
        }),
        ["2.2.15"]
    );
    assert!(
        !Evidence {
            pods: live("2.2.15", &runs),
            ..evidence()
        }
        .is_open(&peer("2.5.16"))
    );
    // A pod that never ran has written nothing.
    let attempted = || Evidence {
        pods: live("2.2.15", &waits),
        attempted: peer("2.2.15"),
        ..evidence()
    };
    assert!(attempted().is_open(&peer("2.5.16")));
    assert_eq!(ran(attempted()), ["1.4.12"]);
    // Without a pod, each attempt may have written.
    assert_eq!(
        ran(Evidence {
            pods: None,
            ..attempted()
        }),
        ["1.4.12", "2.2.15"]
    );
    // The deployed version ran before, although its pod is waiting now.
    assert_eq!(
        ran(Evidence {
            pods: live("1.4.12", &waits),
            ..evidence()
        }),
        ["1.4.12"]
    );
    // Without a volume, nothing can have been written.
    assert_eq!(
        ran(Evidence {
            claims: Some(vec![]),
            ..evidence()
        }),
        Vec::<String>::new()
    );
    // A volume without a record is reported.
    let running = Evidence {
        claims: claims(),
        ..Evidence::default()
    }
    .running(&peer("2.5.16"));
    assert!(
        running.nodes.is_empty() && running.notes[0].contains("ledger-peer0-0"),
        "{running:?}"
    );
    let other = Evidence {
        claims: Some(vec![claim("ledger-peer0-x"), claim("ledger-peer00-0")]),
        ..Evidence::default()
    };
    assert!(other.running(&peer("2.5.16")).notes.is_empty());
}

#[test]
fn what_no_record_tells_a_claim_does() {
    let peer = |image: &str| {
        nodes(
            &[object("peer0", &[("peer0", image, json!([]))], Some("1Gi"))],
            None,
        )
    };
    let facts = Facts {
        fabric_version: Some("2.5.16".into()),
        state_database: Some("CouchDB".into()),
        ..Facts::default()
    };
    let claim = |written: &str| json!({"metadata": {"name": "ledger-peer0-0", "annotations": {WRITTEN_BY: written}}});
    let judged = |written: &str, image: &str| {
        let evidence = Evidence {
            claims: Some(vec![claim(written)]),
            ..Evidence::default()
        };
        let wanted = Facts {
            fabric_version: Some("1.4.12".into()),
            ..facts.clone()
        };
        judge(
            &evidence.running(&peer(image)),
            &Wanted {
                nodes: peer(image),
                facts: wanted,
                ..Wanted::default()
            },
            "org1",
        )
    };
    let [first, second] = ["2.5.16", "2.2.15"].map(|version| peer(&format!("{PEER}{version}")));
    let written = Written::of(first.iter().chain(&first), &facts).to_text();
    assert_eq!(ids(&judged(&written, "hyperledger/fabric-peer:2.5.16")), []);
    let judgement = judged(&written, "hyperledger/fabric-peer:1.4.12");
    assert_eq!(ids(&judgement), [("U15", Verdict::Block)]);
    let text = judgement
        .decide("install", "org1", &[])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("hint: the existing volumes were written with other values: `--set fabricVersion=2.5.16`"),
        "{text}"
    );
    // An image without a version counts as the version in the values of its time.
    let own = Written::of(&peer("registry.example/fabric-peer:latest"), &facts).to_text();
    assert_eq!(
        ids(&judged(&own, "hyperledger/fabric-peer:1.4.12")),
        [("U15", Verdict::Block)]
    );
    // If two may have run last, both are evaluated.
    let both = Written::of(first.iter().chain(&second), &facts).to_text();
    assert_eq!(
        judged(&both, "hyperledger/fabric-peer:1.4.12")
            .findings
            .len(),
        2
    );
    for unreadable in ["", "{", "[]", "{\"nodes\": 3}"] {
        let judgement = judged(unreadable, "hyperledger/fabric-peer:1.4.12");
        assert!(
            judgement.findings.is_empty() && judgement.notes[0].contains("ledger-peer0-0"),
            "{judgement:?}"
        );
    }
}
