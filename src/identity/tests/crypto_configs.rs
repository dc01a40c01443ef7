//! Folders of cryptogen.

use super::*;

#[test]
fn every_layout_of_cryptogen_is_read() {
    for version in ["v1.4.12", "v2.5.16", "v3.1.5"] {
        for organization in [org1(2), orgorderer1(4)] {
            let made = plan(
                &organization,
                &BTreeMap::new(),
                &crypto_config(version),
                now(),
            )
            .unwrap_or_else(|error| panic!("{version} {}: {error}", organization.domain));
            assert_eq!(names(&made), secret_names(&organization), "{version}");
            assert!(!made.generated);
            let again = plan(
                &organization,
                &as_existing(&made),
                &crypto_config(version),
                now(),
            )
            .unwrap();
            assert!(again.create.is_empty(), "{version}: {:?}", names(&again));
            // Also if the next run does not name the folder.
            assert!(
                plan(&organization, &as_existing(&made), &Source::Generate, now())
                    .unwrap()
                    .create
                    .is_empty()
            );
        }
        let folder = fixture(version);
        let made =
            as_existing(&plan(&org1(1), &BTreeMap::new(), &crypto_config(version), now()).unwrap());
        let tls = folder.join("peerOrganizations/org1/peers/peer0.org1/tls");
        assert_eq!(
            text(&made["peer0-tls"], "tls.key"),
            std::fs::read_to_string(tls.join("server.key")).unwrap()
        );
        assert_eq!(
            made["peer0-tls"]["metadata"]["annotations"][SOURCE],
            "cryptogen"
        );
        assert!(made["org1-ca"]["data"]["key.pem"].is_string(), "{version}");
    }
}

#[test]
fn a_crypto_config_is_found_below_the_named_folder() {
    let source = Source::CryptoConfig {
        folder: "network".to_owned(),
        files: files(&fixture("v2.5.16"))
            .into_iter()
            .map(|(path, bytes)| (format!("a/crypto-config/{path}"), bytes))
            .collect(),
    };
    assert_eq!(
        plan(&org1(2), &BTreeMap::new(), &source, now())
            .unwrap()
            .create
            .len(),
        secret_names(&org1(2)).len()
    );
}

#[test]
fn admincerts_are_taken_where_there_are_no_node_ous() {
    let admin = fixture("v2.5.16")
        .join("peerOrganizations/org1/users/Admin@org1/msp/signcerts/Admin@org1-cert.pem");
    let admin = std::fs::read(admin).unwrap();
    let source = changed("v2.5.16", |files| {
        files.retain(|path, _| !path.ends_with("config.yaml"));
        for member in ["peers/peer0.org1", "users/Admin@org1"] {
            files.insert(
                format!("peerOrganizations/org1/{member}/msp/admincerts/Admin@org1-cert.pem"),
                admin.clone(),
            );
        }
    });
    let made = as_existing(&plan(&org1(1), &BTreeMap::new(), &source, now()).unwrap());
    assert_eq!(text(&made["peer0-msp"], "admincert.pem").as_bytes(), admin);
    assert!(made["peer0-msp"]["data"].get("config.yaml").is_none());
}

#[test]
fn a_crypto_config_that_cannot_be_used_is_refused_with_every_reason() {
    const PEER: &str = "peerOrganizations/org1/peers/peer0.org1";
    type Change = fn(&mut BTreeMap<String, Vec<u8>>);
    let cases: [(&str, Change, &[&str]); 7] = [
        (
            "a node is missing",
            |files| files.retain(|path, _| !path.contains("peer1.org1")),
            &[
                "peers/peer1.org1/   folder not found; peers/ has peer0.org1",
                "cryptogen extend",
            ],
        ),
        (
            "a key that fits another certificate",
            |files| {
                let key =
                    files["peerOrganizations/org1/peers/peer1.org1/msp/keystore/priv_sk"].clone();
                files.insert(format!("{PEER}/msp/keystore/priv_sk"), key);
            },
            &["msp/keystore/priv_sk   does not match the certificate"],
        ),
        (
            "a certificate from another authority and address",
            |files| {
                for file in ["server.crt", "server.key"] {
                    let other = files
                        [&format!("peerOrganizations/org2/peers/peer0.org2/tls/{file}")]
                        .clone();
                    files.insert(format!("{PEER}/tls/{file}"), other);
                }
            },
            &[
                "is not signed by tlsca.org1 (its issuer is tlsca.org2)",
                "is not valid for peer0.org1 (its names: peer0.org2, peer0,",
                "reissue these TLS certificates from the same authority: peer0 with the names peer0.org1 (",
            ],
        ),
        (
            "a key that is none",
            |files| _ = files.insert(format!("{PEER}/tls/server.key"), b"canary".to_vec()),
            &["server.key   is not a private key in PEM"],
        ),
        (
            "a certificate that is none",
            |files| _ = files.insert(format!("{PEER}/tls/server.crt"), b"canary".to_vec()),
            &["server.crt   is not a PEM certificate"],
        ),
        (
            "an MSP that names another file",
            |files| {
                let config = b"NodeOUs:\n  Enable: true\n  PeerOUIdentifier:\n    Certificate: cacerts/other.pem\n".to_vec();
                files.insert(format!("{PEER}/msp/config.yaml"), config);
            },
            &["names the certificate cacerts/other.pem, but the MSP has cacerts/ca.org1-cert.pem"],
        ),
        (
            "the key of a CA that runs",
            |files| files.retain(|path, _| path != "peerOrganizations/org1/ca/priv_sk"),
            &[
                "peerOrganizations/org1/ca/   the key of ca.org1",
                "ca.enabled=false",
            ],
        ),
    ];
    for (case, change, expected) in cases {
        let error = plan(
            &org1(2),
            &BTreeMap::new(),
            &changed("v2.5.16", change),
            now(),
        )
        .unwrap_err()
        .to_string();
        for expected in expected {
            assert!(error.contains(expected), "{case}: {error}");
        }
        assert!(
            !error.contains("canary") && !error.contains("PRIVATE"),
            "{case}: {error}"
        );
    }
    let late: jiff::Timestamp = "2037-01-01T00:00:00Z".parse().unwrap();
    let error = plan(&org1(2), &BTreeMap::new(), &crypto_config("v2.5.16"), late)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("server.crt   expired on 2036-11-19"),
        "{error}"
    );
}

#[test]
fn an_unknown_domain_lists_those_that_exist() {
    let mut other = org1(1);
    other.domain = "ogr1".to_owned();
    let error = plan(&other, &BTreeMap::new(), &crypto_config("v2.5.16"), now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("peerOrganizations has org1, org2")
            && error.contains("did you mean \"org1\"?"),
        "{error}"
    );
    let empty = Source::CryptoConfig {
        folder: "nowhere".to_owned(),
        files: BTreeMap::new(),
    };
    let error = plan(&other, &BTreeMap::new(), &empty, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it has no folder peerOrganizations"),
        "{error}"
    );
}

#[test]
fn a_crypto_config_of_another_identity_is_refused() {
    let existing =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let error = plan(&org1(1), &existing, &crypto_config("v2.5.16"), now()).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Refused);
    assert!(
        error
            .places()
            .iter()
            .any(|place| place.subject == "Secret org1/peer0-msp"),
        "{error}"
    );
}
