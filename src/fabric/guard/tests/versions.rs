//! Steps between versions, and images.

use super::*;

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
