//! Databases, volumes, and what an organization is known by.

use super::*;
use crate::identity::Renewal;

#[test]
fn the_state_database_does_not_change() {
    let peer = |database: &str| {
        let env = json!([{"name": "CORE_LEDGER_STATE_STATEDATABASE", "value": database}]);
        nodes(
            &[object(
                "peer0",
                &[("peer0", "hyperledger/fabric-peer:2.5.16", env)],
                None,
            )],
            None,
        )
    };
    for (to, expected) in [
        ("CouchDB", vec![("U21", Verdict::Block)]),
        ("goleveldb", vec![]),
    ] {
        let running = Running {
            nodes: peer("goleveldb"),
            ..Running::default()
        };
        assert_eq!(
            ids(&judge(
                &running,
                &Wanted {
                    nodes: peer(to),
                    ..Wanted::default()
                },
                "org1"
            )),
            expected,
            "{to}"
        );
    }
}

#[test]
fn volumes_do_not_get_smaller() {
    let peer = |size| {
        nodes(
            &[object(
                "peer0",
                &[("peer0", "hyperledger/fabric-peer:2.5.16", json!([]))],
                size,
            )],
            None,
        )
    };
    for (to, expected) in [
        (Some("1024Mi"), vec![]),
        (Some("2Gi"), vec![]),
        (Some("1000Mi"), vec![("U27", Verdict::Block)]),
        (None, vec![("U27", Verdict::Block)]),
    ] {
        let evidence = Evidence {
            deployed: peer(Some("1Gi")),
            ..Evidence::default()
        };
        let running = evidence.running(&peer(to));
        assert_eq!(
            ids(&judge(
                &running,
                &Wanted {
                    nodes: peer(to),
                    ..Wanted::default()
                },
                "org1"
            )),
            expected,
            "{to:?}"
        );
    }
    // The claim determines the size of a volume, regardless of the recorded size.
    let judged = |claims: Option<&[(&str, &str)]>, to| {
        let claim = |(name, size): &(&str, &str)| json!({"metadata": {"name": name}, "spec": {"resources": {"requests": {"storage": size}}}});
        let claims = claims.map(|claims| claims.iter().map(claim).collect());
        let evidence = Evidence {
            deployed: peer(Some("2Gi")),
            claims,
            ..Evidence::default()
        };
        assert_eq!(evidence.shrinks(&peer(to)), to != Some("2Gi"));
        ids(&judge(
            &evidence.running(&peer(to)),
            &Wanted {
                nodes: peer(to),
                ..Wanted::default()
            },
            "org1",
        ))
    };
    assert_eq!(judged(None, Some("1Gi")), [("U27", Verdict::Block)]);
    assert_eq!(judged(Some(&[("ledger-peer0-0", "1Gi")]), Some("1Gi")), []);
    assert_eq!(
        judged(
            Some(&[("ledger-peer0-0", "1Gi"), ("ledger-peer0-1", "3Gi")]),
            Some("2Gi")
        ),
        [("U27", Verdict::Block)]
    );
    assert_eq!(
        judged(Some(&[("ledger-peer0-0", "1Gi")]), None),
        [("U27", Verdict::Block)]
    );
    assert_eq!(judged(Some(&[("ledger-other-0", "3Gi")]), None), []);
}

/// Returns the facts of a running organization.
fn organization() -> Facts {
    Facts {
        msp_id: Some("Org1MSP".into()),
        domain: Some("org1".into()),
        tls: Some(true),
        consensus: Some("etcdraft".into()),
        crypto: Some("program".into()),
        ..Facts::default()
    }
}

#[test]
fn what_an_organization_is_known_by_does_not_change_once_a_node_ran() {
    let cases: [(Facts, Said); 5] = [
        (
            Facts {
                msp_id: Some("AcmeMSP".into()),
                ..organization()
            },
            ("U33", Verdict::Block),
        ),
        (
            Facts {
                domain: Some("acme".into()),
                ..organization()
            },
            ("U34", Verdict::Block),
        ),
        (
            Facts {
                tls: Some(false),
                ..organization()
            },
            ("U35", Verdict::NeedsAction),
        ),
        (
            Facts {
                consensus: Some("BFT".into()),
                ..organization()
            },
            ("U36", Verdict::NeedsAction),
        ),
        (
            Facts {
                crypto: Some("secret".into()),
                ..organization()
            },
            ("U37", Verdict::NeedsAction),
        ),
    ];
    for (facts, said) in cases {
        let judge_after = |nodes: Vec<Node>, before: Facts| {
            let running = Running {
                nodes,
                facts: before,
                ..Running::default()
            };
            ids(&judge(
                &running,
                &Wanted {
                    facts: facts.clone(),
                    ..Wanted::default()
                },
                "org1",
            ))
        };
        let ran = || node("hyperledger/fabric-peer:2.5.16");
        assert_eq!(judge_after(ran(), organization()), [said]);
        assert_eq!(
            judge_after(ran(), facts.clone()),
            [],
            "{}: the same as before",
            said.0
        );
        assert_eq!(
            judge_after(ran(), Facts::default()),
            [],
            "{}: a record that does not say it",
            said.0
        );
        assert_eq!(
            judge_after(vec![], organization()),
            [],
            "{}: no node ever ran",
            said.0
        );
    }
}

#[test]
fn members_go_when_their_channels_do_without_them() {
    let members = |name: &str, count: usize| -> Vec<Node> {
        let image = format!("hyperledger/fabric-{name}:2.5.16");
        (0..count)
            .flat_map(|i| {
                nodes(
                    &[object(
                        &format!("{name}{i}"),
                        &[(&format!("{name}{i}"), &image, json!([]))],
                        None,
                    )],
                    None,
                )
            })
            .collect()
    };
    let scaled = |name: &str, from: usize, to: usize, consensus: &str| {
        let running = Running {
            deployed: members(name, from),
            facts: facts(consensus),
            ..Running::default()
        };
        let judgement = judge(
            &running,
            &Wanted {
                nodes: members(name, to),
                facts: facts(consensus),
                ..Wanted::default()
            },
            "org1",
        );
        (
            ids(&judgement),
            judgement
                .findings
                .first()
                .map(|it| it.what.clone())
                .unwrap_or_default(),
        )
    };
    use Verdict::{Block, NeedsAction};
    for (from, to, consensus, said) in [
        (6, 3, "etcdraft", vec![("U38", Block)]),
        (3, 1, "etcdraft", vec![("U38", Block)]),
        (2, 1, "etcdraft", vec![("U38", Block)]),
        (5, 3, "etcdraft", vec![("U38", NeedsAction)]),
        (3, 2, "etcdraft", vec![("U38", NeedsAction)]),
        (7, 4, "BFT", vec![("U38", Block)]),
        (5, 4, "BFT", vec![("U38", NeedsAction)]),
        // Orderers with Kafka are not consenters.
        (3, 1, "kafka", vec![]),
        (3, 3, "etcdraft", vec![]),
        (3, 5, "etcdraft", vec![]),
    ] {
        assert_eq!(
            scaled("orderer", from, to, consensus).0,
            said,
            "{from} → {to} under {consensus}"
        );
    }
    assert_eq!(
        scaled("orderer", 6, 3, "etcdraft").1,
        "6 orderers → 3, but 4 of 6 must run"
    );
    assert_eq!(
        scaled("peer", 3, 2, ""),
        (vec![("U39", NeedsAction)], "3 peers → 2".to_owned())
    );
    assert_eq!(scaled("peer", 2, 3, "").0, []);
}

#[test]
fn what_is_missing_or_in_the_way_is_named() {
    let missing = vec![(
        "StatefulSet org1/ca".to_owned(),
        "Secret login, which ca.existingSecret names,".to_owned(),
    )];
    let judgement = judge(
        &Running::default(),
        &Wanted {
            missing,
            ..Wanted::default()
        },
        "org1",
    );
    assert_eq!(ids(&judgement), [("U40", Verdict::NeedsAction)]);
    let text = judgement
        .decide("install", "org1", &[])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("--> StatefulSet org1/ca   Secret login, which ca.existingSecret names, does not exist, U40\n"),
        "{text}"
    );
    let pods = (1..=12).map(|i| format!("pod web-{i}")).collect();
    let strangers = Some(("NetworkPolicy org1/default-deny".to_owned(), pods));
    let judgement = judge(
        &Running::default(),
        &Wanted {
            strangers,
            ..Wanted::default()
        },
        "org1",
    );
    assert_eq!(ids(&judgement), [("U41", Verdict::NeedsAction)]);
    let what = &judgement.findings[0].what;
    assert!(
        what.starts_with("applies to pod web-1, ") && what.ends_with(", pod web-10 and 2 more"),
        "{what}"
    );
    assert_eq!(
        ids(&judge(&Running::default(), &Wanted::default(), "org1")),
        []
    );
}

#[test]
fn a_rollback_does_not_go_past_what_stays() {
    let judge_rollback = |now: Facts, target: Facts, is_rollback| {
        let running = Running {
            facts: now,
            ..Running::default()
        };
        ids(&judge(
            &running,
            &Wanted {
                facts: target,
                is_rollback,
                ..Wanted::default()
            },
            "org1",
        ))
    };
    let done = Facts {
        done: vec!["upgrade-dbs".into()],
        ..Facts::default()
    };
    let level = |level: &str| Facts {
        capabilities: BTreeMap::from([("channel".to_owned(), level.to_owned())]),
        ..Facts::default()
    };
    let refused = [("U26", Verdict::Block)];
    assert_eq!(
        judge_rollback(done.clone(), Facts::default(), true),
        refused
    );
    assert_eq!(judge_rollback(done.clone(), done.clone(), true), []);
    assert_eq!(judge_rollback(done, Facts::default(), false), []);
    assert_eq!(
        judge_rollback(facts("etcdraft"), facts("kafka"), true),
        refused
    );
    assert_eq!(judge_rollback(facts("kafka"), facts("kafka"), true), []);
    assert_eq!(
        judge_rollback(level("V2_0"), level("V1_4_3"), true),
        refused
    );
    assert_eq!(judge_rollback(level("V2_0"), level("V2_0"), true), []);
}

#[test]
fn a_certificate_that_channels_know_an_orderer_by_keeps_its_key() {
    let orderer = |version: &str| {
        nodes(
            &[object(
                "orderer0",
                &[("orderer0", &format!("{ORDERER}{version}"), json!([]))],
                None,
            )],
            None,
        )
    };
    let judged = |version: &str, consensus: &str, is_tls, same_key| {
        let renewals = vec![Renewal {
            node: "orderer0".to_owned(),
            is_tls,
            same_key,
            is_missing: false,
        }];
        let running = Running {
            nodes: orderer(version),
            facts: facts(consensus),
            ..Running::default()
        };
        ids(&judge(
            &running,
            &Wanted {
                nodes: orderer(version),
                renewals,
                ..Wanted::default()
            },
            "orgorderer1",
        ))
    };
    let (tls, signing) = (
        [("U42", Verdict::NeedsAction)],
        [("U43", Verdict::NeedsAction)],
    );
    for (version, consensus) in [
        ("1.4.12", "etcdraft"),
        ("2.5.16", "etcdraft"),
        ("3.1.5", "BFT"),
    ] {
        assert_eq!(judged(version, consensus, true, false), tls, "{version}");
        assert_eq!(judged(version, consensus, true, true), [], "{version}");
    }
    assert_eq!(judged("1.4.8", "etcdraft", true, true), tls);
    assert_eq!(judged("2.2.0", "etcdraft", true, true), tls);
    assert_eq!(
        judged("1.4.12", "kafka", true, false),
        [],
        "Kafka knows no orderer"
    );
    assert_eq!(
        judged("2.5.16", "etcdraft", false, false),
        [],
        "Raft does not know what an orderer signs with"
    );
    assert_eq!(judged("3.1.5", "BFT", false, false), signing);
    assert_eq!(judged("3.1.5", "BFT", false, true), []);
    assert_eq!(judged("3.1.1", "BFT", false, true), signing);
}
