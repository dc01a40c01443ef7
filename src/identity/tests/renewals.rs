//! Changes of certificates during a release's life.

use super::*;
use crate::identity::known::{Known, Unmarked, changed as changed_marks};
use crate::identity::profile::{Authority, Pair};

const ORG1: &str = "peerOrganizations/org1/";

fn tls_authority(files: &BTreeMap<String, Vec<u8>>) -> Authority {
    let text =
        |path: &str| String::from_utf8(files[&format!("{ORG1}tlsca/{path}")].clone()).unwrap();
    Authority::from_pair(
        Pair {
            certificate: text("tlsca.org1-cert.pem"),
            key: text("priv_sk"),
        },
        "tlsca.org1",
    )
    .unwrap()
}

/// Renews the TLS certificate of peer0, for its own key or another.
fn renew_tls(files: &mut BTreeMap<String, Vec<u8>>, same_key: bool, now: jiff::Timestamp) {
    let path = |file: &str| format!("{ORG1}peers/peer0.org1/tls/{file}");
    let key = String::from_utf8(files[&path("server.key")].clone()).unwrap();
    let hosts = ["peer0.org1".to_owned()];
    let pair = tls_authority(files)
        .sign_tls("peer0.org1", &hosts, same_key.then_some(key.as_str()), now)
        .unwrap();
    files.insert(path("server.crt"), pair.certificate.into_bytes());
    files.insert(path("server.key"), pair.key.into_bytes());
}

fn renewed(plan: &Plan) -> Vec<&str> {
    plan.renew
        .iter()
        .map(|object| object.key.name.as_str())
        .collect()
}

/// Returns Secrets as the API server has them, with UIDs.
fn stored(plan: &Plan) -> BTreeMap<String, Value> {
    let mut existing = as_existing(plan);
    for (name, secret) in &mut existing {
        secret["metadata"]["uid"] = format!("uid-of-{name}").into();
    }
    existing
}

#[test]
fn certificates_that_the_same_authority_renewed_are_taken() {
    let first = plan(&org1(2), &BTreeMap::new(), &crypto_config("v2.5.16"), now()).unwrap();
    let existing = stored(&first);
    for same_key in [true, false] {
        let source = changed("v2.5.16", |files| renew_tls(files, same_key, now()));
        let renewal = plan(&org1(2), &existing, &source, now()).unwrap();
        assert_eq!(
            (names(&renewal), renewed(&renewal)),
            (vec![], vec!["peer0-tls"])
        );
        assert!(!renewal.keep.contains(&"peer0-tls".to_owned()));
        let secret = &renewal.renew[0].body;
        assert_eq!(
            secret["metadata"]["uid"], "uid-of-peer0-tls",
            "the one that was seen, and no other"
        );
        assert_eq!(
            text(secret, "tls.key") == text(&existing["peer0-tls"], "tls.key"),
            same_key
        );
        assert_ne!(
            renewal.digests["peer0-tls"],
            renewal.digests_before["peer0-tls"]
        );
        assert_eq!(
            renewal.digests["peer1-tls"],
            renewal.digests_before["peer1-tls"]
        );

        // Running the same command again changes nothing, with or without the folder.
        let mut written = existing.clone();
        written.insert("peer0-tls".to_owned(), secret.clone());
        for source in [source, Source::Generate] {
            let again = plan(&org1(2), &written, &source, now()).unwrap();
            assert_eq!((names(&again), renewed(&again)), (vec![], vec![]));
            assert_eq!(again.digests, renewal.digests);
        }
        // The earlier folder works too, because it is of the same authority.
        let back = plan(&org1(2), &written, &crypto_config("v2.5.16"), now()).unwrap();
        assert_eq!(renewed(&back), ["peer0-tls"]);
        assert_eq!(back.digests, renewal.digests_before);
    }
}

#[test]
fn an_earlier_end_is_reported() {
    let existing =
        stored(&plan(&org1(1), &BTreeMap::new(), &crypto_config("v2.5.16"), now()).unwrap());
    let earlier: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let renewal = plan(
        &org1(1),
        &existing,
        &changed("v2.5.16", |files| renew_tls(files, true, earlier)),
        now(),
    )
    .unwrap();
    assert_eq!(renewed(&renewal), ["peer0-tls"]);
    assert!(
        renewal
            .warnings
            .iter()
            .any(|it| it.contains("org1/peer0-tls expires on 2035-12-29")),
        "{:?}",
        renewal.warnings
    );
}

#[test]
fn a_secret_of_another_user_is_not_changed() {
    let mut existing =
        stored(&plan(&org1(1), &BTreeMap::new(), &crypto_config("v2.5.16"), now()).unwrap());
    existing.get_mut("peer0-tls").unwrap()["metadata"]["labels"] = Value::Null;
    let error = plan(
        &org1(1),
        &existing,
        &changed("v2.5.16", |files| renew_tls(files, true, now())),
        now(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Refused);
    assert!(
        error
            .to_string()
            .contains("Secret org1/peer0-tls   was not created by this release"),
        "{error}"
    );
}

#[test]
fn no_refusal_proposes_to_delete_anything() {
    let existing = stored(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let error = plan(&org1(1), &existing, &crypto_config("v2.5.16"), now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("from another authority") && error.contains("omit --crypto-config"),
        "{error}"
    );
    assert!(
        !error.contains("delete") && !error.contains("uninstall"),
        "{error}"
    );
}

/// Returns `org1` with an additional name for peer0's certificate.
fn with_a_further_name() -> Organization {
    let mut organization = org1(1);
    let Node {
        hosts, advertised, ..
    } = &mut organization.nodes[0];
    [hosts, advertised]
        .into_iter()
        .for_each(|names| names.push("peer0.example.com".to_owned()));
    organization
}

#[test]
fn a_name_added_later_is_put_into_the_certificate_for_the_same_key() {
    for source in [Source::Generate, crypto_config("v2.5.16")] {
        let existing = stored(&plan(&org1(1), &BTreeMap::new(), &source, now()).unwrap());
        let reissued = plan(&with_a_further_name(), &existing, &Source::Generate, now()).unwrap();
        assert_eq!(
            (names(&reissued), renewed(&reissued)),
            (vec![], vec!["peer0-tls"])
        );
        let (before, after) = (&existing["peer0-tls"], &reissued.renew[0].body);
        let certificate =
            Certificate::from_pem(text(after, "tls.crt").as_bytes(), "tls.crt").unwrap();
        assert!(certificate.covers("peer0.example.com") && certificate.covers("peer0.org1"));
        assert_eq!(text(after, "tls.key"), text(before, "tls.key"));
        assert_eq!(
            after["metadata"]["annotations"][SOURCE],
            before["metadata"]["annotations"][SOURCE]
        );
        let authority = Certificate::from_pem(
            text(&existing["org1-tlsca"], "cert.pem").as_bytes(),
            "tlsca",
        )
        .unwrap();
        assert!(certificate.is_signed_by(&authority));
        let mut written = existing.clone();
        written.insert("peer0-tls".to_owned(), after.clone());
        assert!(
            renewed(&plan(&with_a_further_name(), &written, &Source::Generate, now()).unwrap())
                .is_empty()
        );
    }
}

#[test]
fn a_name_that_no_authority_here_can_add_is_refused() {
    let mut existing =
        stored(&plan(&org1(1), &BTreeMap::new(), &crypto_config("v2.5.16"), now()).unwrap());
    existing.get_mut("org1-tlsca").unwrap()["data"]
        .as_object_mut()
        .unwrap()
        .remove("key.pem");
    plan(&org1(1), &existing, &Source::Generate, now()).unwrap();
    let error = plan(&with_a_further_name(), &existing, &Source::Generate, now()).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Refused);
    let error = error.to_string();
    assert!(
        error.contains("Secret org1/peer0-tls   is not valid for peer0.example.com"),
        "{error}"
    );
    assert!(
        error.contains("peer0 with the names peer0.org1, peer0.example.com"),
        "{error}"
    );
}

#[test]
fn an_authority_keeps_its_key_when_a_source_has_none() {
    let existing =
        stored(&plan(&org1(1), &BTreeMap::new(), &crypto_config("v2.5.16"), now()).unwrap());
    let source = changed("v2.5.16", |files| {
        renew_tls(files, true, now());
        files.retain(|path, _| {
            !path.starts_with(&format!("{ORG1}ca/priv"))
                && !path.starts_with(&format!("{ORG1}tlsca/priv"))
        });
    });
    let renewal = plan(&org1(1), &existing, &source, now()).unwrap();
    assert_eq!(
        renewed(&renewal),
        ["peer0-tls"],
        "authorities are as they were, with their keys"
    );
}

#[test]
fn what_channels_know_an_orderer_by_is_compared_by_key() {
    let pin = |certificate: &str, key: &str| Pin {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let pins = |of: [(&str, Pin); 2]| of.map(|(name, pin)| (name.to_owned(), pin)).into();
    let before = pins([
        ("orderer0-tls", pin("a", "k")),
        ("orderer0-msp", pin("b", "l")),
    ]);
    assert_eq!(of_orderers(&before, &before), []);
    let after = pins([
        ("orderer0-tls", pin("c", "k")),
        ("orderer0-msp", pin("d", "other")),
    ]);
    let renewal = |is_tls, same_key| Renewal {
        node: "orderer0".to_owned(),
        is_tls,
        same_key,
        is_missing: false,
    };
    assert_eq!(
        of_orderers(&before, &after),
        [renewal(false, false), renewal(true, true)]
    );
    assert_eq!(
        of_orderers(&BTreeMap::new(), &after),
        [],
        "a new orderer changes nothing"
    );
    let made = plan(&orgorderer1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    assert_eq!(
        made.pins.keys().collect::<Vec<_>>(),
        ["orderer0-msp", "orderer0-tls"]
    );
}

#[test]
fn pods_are_marked_with_their_certificates_and_never_with_a_key() {
    let existing =
        as_existing(&plan(&org1(2), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let digest = |change: &dyn Fn(&mut Value)| {
        let mut secret = existing["peer0-msp"].clone();
        change(&mut secret);
        known::digest(&secret)
    };
    let usual = digest(&|_| {});
    assert!(usual.is_some());
    let other = |key: &str| existing["peer1-msp"]["data"][key].clone();
    assert_eq!(
        digest(&|secret| secret["data"]["key.pem"] = other("key.pem")),
        usual
    );
    assert_ne!(
        digest(&|secret| secret["data"]["cert.pem"] = other("cert.pem")),
        usual
    );
    assert_eq!(
        known::digest(&existing["ca-admin"]),
        None,
        "a password is no certificate"
    );

    let digests = |tls: &str| {
        BTreeMap::from([
            ("peer0-msp".to_owned(), "m".to_owned()),
            ("peer0-tls".to_owned(), tls.to_owned()),
        ])
    };
    let reads = || ["peer0-tls", "peer0-msp", "not-there"].into_iter();
    let known = Known {
        secrets: digests("t"),
        ..Known::default()
    };
    assert_eq!(
        known.mark("StatefulSet/peer0", reads()).as_deref(),
        Some("peer0-msp:m,peer0-tls:t")
    );
    assert_eq!(
        known.mark("StatefulSet/peer0", ["not-there"].into_iter()),
        None
    );
    assert_eq!(
        changed_marks("peer0-msp:m,peer0-tls:t", "peer0-msp:m,peer0-tls:u"),
        ["peer0-tls"]
    );
}

#[test]
fn a_new_version_of_the_program_restarts_nothing_until_a_certificate_changes() {
    let secrets = BTreeMap::from([("peer0-tls".to_owned(), "old".to_owned())]);
    let unmarked = Some(Unmarked {
        workloads: ["StatefulSet/peer0".to_owned()].into(),
        secrets: secrets.clone(),
    });
    let mut known = Known {
        secrets,
        unmarked,
        ..Known::default()
    };
    let mark = |known: &Known, workload: &str| known.mark(workload, ["peer0-tls"].into_iter());
    assert_eq!(mark(&known, "StatefulSet/peer0"), None);
    assert_eq!(
        mark(&known, "StatefulSet/peer1").as_deref(),
        Some("peer0-tls:old"),
        "it is new"
    );
    known
        .secrets
        .insert("peer0-tls".to_owned(), "new".to_owned());
    assert_eq!(
        mark(&known, "StatefulSet/peer0").as_deref(),
        Some("peer0-tls:new")
    );
    let now = BTreeMap::from([
        ("peer0-tls".to_owned(), "newer".to_owned()),
        ("of-another-user".to_owned(), "x".to_owned()),
    ]);
    let current = known.clone().with_current(&now);
    assert_eq!(
        current.secrets,
        BTreeMap::from([("peer0-tls".to_owned(), "newer".to_owned())])
    );
    let read: Known = serde_json::from_value(serde_json::to_value(&known).unwrap()).unwrap();
    assert_eq!(read, known);
}
