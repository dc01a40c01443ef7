//! Each row of the table with a case in which it applies and one in which it does not, and the
//! resulting decisions.

use super::*;
use crate::identity::Renewal;
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

/// Steps between versions, with the rules that apply.
#[test]
fn steps_between_versions_are_judged_by_the_table() {
    use Verdict::{Allow, Block, NeedsAction, Warn};
    let cases: &[(&str, &str, &str, &[Said])] = &[
        // A step without a row.
        (ORDERER, "2.5.16", "2.2.15", &[("U00", Block)]),
        (ORDERER, "2.2.15", "1.4.12", &[("U00", Block)]),
        (PEER, "1.0.0", "1.3.0", &[("U00", Block)]),
        (PEER, "1.4.12", "1.4.2", &[("U00", Block)]),
        (CA, "1.3.0", "1.4.9", &[("U00", Block)]),
        (PEER, "2.5.15", "2.5.16", &[("U01", Allow)]),
        (ORDERER, "1.4.0", "1.4.12", &[("U01", Allow)]),
        (CA, "1.5.0", "1.5.13", &[("U01", Allow)]),
        (COUCHDB, "3.3.2", "3.3.3", &[("U01", Allow)]),
        (ORDERER, "3.1.1", "3.1.2", &[("U02", Block), ("U01", Allow)]),
        (PEER, "3.1.1", "3.1.2", &[("U01", Allow)]),
        (ORDERER, "3.1.2", "3.1.3", &[("U01", Allow)]),
        (PEER, "1.3.0", "1.4.12", &[("U03", Allow)]),
        (ORDERER, "x86_64-1.0.6", "1.4.12", &[("U03", Allow)]),
        (PEER, "1.4.12", "2.1.0", &[("U04", NeedsAction)]),
        (PEER, "1.4.12", "2.2.0", &[("U05", NeedsAction)]),
        (PEER, "1.4.12", "2.5.16", &[("U05", NeedsAction)]),
        (PEER, "1.3.0", "2.5.16", &[("U06", Block)]),
        (PEER, "1.3.0", "3.1.5", &[("U06", Block), ("U12", Block)]),
        (PEER, "2.2.15", "2.5.16", &[("U07", Allow)]),
        (ORDERER, "2.2.15", "2.5.16", &[("U07", Allow)]),
        (ORDERER, "3.0.0", "3.1.5", &[("U07", Allow)]),
        (ORDERER, "1.4.12", "2.5.16", &[("U08", NeedsAction)]),
        (PEER, "2.5.16", "3.1.5", &[("U09", NeedsAction)]),
        (ORDERER, "2.5.16", "3.1.5", &[("U10", NeedsAction)]),
        (PEER, "1.4.12", "3.1.5", &[("U12", Block)]),
        (ORDERER, "1.4.12", "3.1.5", &[("U12", Block)]),
        (PEER, "2.4.9", "2.2.15", &[("U14", NeedsAction)]),
        (PEER, "2.5.0", "2.4.9", &[("U14", Block)]),
        (PEER, "2.5.16", "2.2.15", &[("U14", Block)]),
        (PEER, "3.1.5", "2.4.9", &[("U14", Block)]),
        (PEER, "3.1.5", "2.5.16", &[("U14", NeedsAction)]),
        (PEER, "3.1.5", "3.0.0", &[("U14", NeedsAction)]),
        (PEER, "2.5.16", "1.4.12", &[("U15", Block)]),
        (PEER, "3.1.5", "1.4.12", &[("U15", Block)]),
        (ORDERER, "3.1.5", "2.5.16", &[("U16", NeedsAction)]),
        (OLD_COUCHDB, "x86_64-0.4.6", "0.4.22", &[("U00", Block)]),
        (COUCHDB, "3.3.3", "3.4.2", &[("U19", Allow)]),
        (CA, "1.4.9", "1.5.13", &[("U22", Warn)]),
        (CA, "1.5.13", "1.5.14", &[("U23", NeedsAction)]),
        (
            CA,
            "1.4.9",
            "1.5.15",
            &[("U23", NeedsAction), ("U23", Warn)],
        ),
        (CA, "1.5.14", "1.5.15", &[("U01", Allow)]),
        (CA, "1.4.9", "1.3.0", &[("U24", Block)]),
        (CA, "1.5.15", "1.5.13", &[("U24", Warn)]),
        (CA, "1.5.15", "1.4.9", &[("U24", Warn)]),
        (PEER, "2.5.16", "2.5.15", &[("U31", Warn)]),
        (ORDERER, "1.4.12", "1.4.3", &[("U31", Warn)]),
        (COUCHDB, "3.4.2", "3.3.3", &[("U32", Warn)]),
        (COUCHDB, "3.3.3", "3.3.2", &[("U32", Warn)]),
        ("hyperledger/fabric-tools:", "2.5.16", "1.4.12", &[]),
    ];
    for (image, from, to, expected) in cases {
        let said = images(
            &format!("{image}{from}"),
            &format!("{image}{to}"),
            "etcdraft",
        );
        assert_eq!(said, *expected, "{image}{from} → {to}");
    }
}

#[test]
fn images_of_other_names_and_hosts_are_judged() {
    use Verdict::{Allow, Block, NeedsAction};
    for (from, to, consensus, expected) in [
        (
            "hyperledger/fabric-orderer:2.5.16",
            "hyperledger/fabric-orderer:3.1.5",
            "kafka",
            vec![("U11", Block)],
        ),
        (
            "hyperledger/fabric-orderer:2.5.16",
            "hyperledger/fabric-orderer:3.1.5",
            "solo",
            vec![("U11", Block)],
        ),
        (
            "hyperledger/fabric-orderer:2.2.15",
            "hyperledger/fabric-orderer:2.5.16",
            "kafka",
            vec![("U07", Allow)],
        ),
        (
            "hyperledger/fabric-orderer:3.1.5",
            "hyperledger/fabric-orderer:2.5.16",
            "BFT",
            vec![("U16", Block)],
        ),
        (
            "hyperledger/fabric-couchdb:0.4.22",
            "couchdb:3.4.2",
            "",
            vec![("U18", NeedsAction)],
        ),
        (
            "couchdb:3.4.2",
            "hyperledger/fabric-couchdb:0.4.22",
            "",
            vec![("U20", Block)],
        ),
        (
            "hyperledger/fabric-peer:2.5.10",
            "ghcr.io/hyperledger/fabric-peer:2.5.11",
            "",
            vec![("U01", Allow), ("U28", Allow)],
        ),
        (
            "hyperledger/fabric-peer:2.5.9",
            "registry.example.com/hyperledger/fabric-peer:2.5.10",
            "",
            vec![("U01", Allow)],
        ),
        (
            "hyperledger/fabric-peer:2.5.9",
            "hyperledger/fabric-peer:2.5.9",
            "",
            vec![],
        ),
        (
            "a/fabric-tools:2.5",
            "hyperledger/fabric-tools:3.0.0",
            "",
            vec![("U30", Block)],
        ),
        (
            "a/fabric-tools:2.5",
            "mirror.example.com/x/hyperledger/fabric-tools:3.0.0",
            "",
            vec![("U30", Block)],
        ),
        (
            "a/fabric-tools:2.5",
            "ghcr.io/fablo-io/fabric-tools:3.0.0",
            "",
            vec![],
        ),
        (
            "a/fabric-tools:2.5",
            "hyperledger/fabric-tools:2.5.16",
            "",
            vec![],
        ),
    ] {
        assert_eq!(images(from, to, consensus), expected, "{from} → {to}");
    }
    let broker = |image: &str| {
        nodes(
            &[object("kafka0", &[("kafka0", image, json!([]))], None)],
            None,
        )
    };
    for (to, expected) in [
        ("bitnami/kafka:3.7.0", vec![("U25", Block)]),
        (
            "mirror.example.com/fabric-kafka:0.4.22",
            vec![("U01", Allow)],
        ),
    ] {
        let running = Running {
            nodes: broker("hyperledger/fabric-kafka:0.4.22"),
            ..Running::default()
        };
        assert_eq!(
            ids(&judge(
                &running,
                &Wanted {
                    nodes: broker(to),
                    ..Wanted::default()
                },
                "kafka"
            )),
            expected,
            "{to}"
        );
    }
}

#[test]
fn a_ca_server_that_is_reported_about_old_clients_may_go_on() {
    let said = json!([{"name": "FABRIC_CA_SERVER_COMPATIBILITY_MODE_V1_3", "value": "false"}]);
    let wanted = nodes(
        &[object(
            "ca",
            &[("ca", "hyperledger/fabric-ca:1.5.15", said)],
            None,
        )],
        None,
    );
    let judge_from = |version: &str| {
        let before = nodes(
            &[object(
                "ca",
                &[("ca", &format!("{CA}{version}"), json!([]))],
                None,
            )],
            None,
        );
        let running = Running {
            nodes: before,
            ..Running::default()
        };
        ids(&judge(
            &running,
            &Wanted {
                nodes: wanted.clone(),
                ..Wanted::default()
            },
            "org1",
        ))
    };
    assert_eq!(judge_from("1.5.13"), [("U01", Verdict::Allow)]);
    assert_eq!(judge_from("1.4.9"), [("U23", Verdict::Warn)]);
}

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

#[test]
fn machines_of_arm64_need_images_for_it() {
    let on = |architectures: &[&str], image: &str| {
        let architectures = architectures.iter().map(|one| (*one).to_owned()).collect();
        ids(&judge(
            &Running::default(),
            &Wanted {
                nodes: node(image),
                architectures,
                ..Wanted::default()
            },
            "org1",
        ))
    };
    let blocked = [("U29", Verdict::Block)];
    for (image, fits) in [
        ("hyperledger/fabric-peer:2.4.9", false),
        ("hyperledger/fabric-peer:2.5.0", true),
        ("hyperledger/fabric-ca:1.5.5", false),
        ("hyperledger/fabric-ca:1.5.6", true),
        ("hyperledger/fabric-kafka:0.4.22", false),
        ("hyperledger/fabric-couchdb:0.4.22", false),
        ("couchdb:3.4.2", true),
    ] {
        assert_eq!(
            on(&["arm64"], image),
            if fits { vec![] } else { blocked.to_vec() },
            "{image}"
        );
        assert_eq!(on(&["arm64", "amd64"], image), [], "{image}");
        assert_eq!(on(&[], image), [], "{image}");
        assert_eq!(asks_for_architectures(&node(image)), !fits);
    }
}

#[test]
fn peers_before_their_orderers_are_warned_about() {
    let running = || Running {
        nodes: node("hyperledger/fabric-peer:2.2.15"),
        ..Running::default()
    };
    let judge_beside = |to: &str, orderers: &str| {
        let orderers = vec![("orgorderer1".to_owned(), Version::parse(orderers).unwrap())];
        ids(&judge(
            &running(),
            &Wanted {
                nodes: node(&format!("{PEER}{to}")),
                orderers,
                ..Wanted::default()
            },
            "org1",
        ))
    };
    assert_eq!(
        judge_beside("2.5.16", "2.2.15"),
        [("U07", Verdict::Allow), ("U13", Verdict::Warn)]
    );
    assert_eq!(judge_beside("2.5.16", "2.5.10"), [("U07", Verdict::Allow)]);
    assert_eq!(judge_beside("2.2.15", "1.4.12"), []);
    assert!(asks_for_orderers(
        &running(),
        &node("hyperledger/fabric-peer:2.5.16")
    ));
    assert!(!asks_for_orderers(
        &running(),
        &node("hyperledger/fabric-peer:2.2.15")
    ));
    let values = json!({"networkPolicy": {"ordererOrgs": ["orgorderer1", "orgorderer2-dev"]}});
    assert_eq!(
        orderers_named("org1", "org1-dev", &values),
        ["orgorderer1-dev", "orgorderer2-dev"]
    );
    assert_eq!(
        orderers_named("org1", "org1", &values),
        ["orgorderer1", "orgorderer2-dev"]
    );
    assert!(orderers_named("org1", "org1", &json!({})).is_empty());
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
fn a_capability_level_must_be_known() {
    let at = |image: &str, level: &str| {
        let capabilities = BTreeMap::from([("application".to_owned(), level.to_owned())]);
        let facts = Facts {
            capabilities,
            ..Facts::default()
        };
        ids(&judge(
            &Running::default(),
            &Wanted {
                nodes: node(image),
                facts,
                ..Wanted::default()
            },
            "org1",
        ))
    };
    assert_eq!(
        at("hyperledger/fabric-peer:2.2.15", "V2_5"),
        [("U17", Verdict::Block)]
    );
    assert_eq!(at("hyperledger/fabric-peer:2.5.0", "V2_5"), []);
    assert_eq!(at("hyperledger/fabric-ca:1.5.0", "V2_5"), []);
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

#[test]
fn every_rule_has_a_case_here() {
    let tests = include_str!("tests.rs");
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
