//! Which identities an organization has, and the files that they are exported to.

use super::*;
use crate::identity::export::{self, Keys};
use crate::identity::inventory::{self, Held, inventory, owners};

fn lines(held: &[Held]) -> Vec<String> {
    let line = |it: &Held| {
        let content = match &it.content {
            Ok(found) => format!("{} key {}", found.certificate.subject, found.has_key),
            Err(why) => why.clone(),
        };
        let Held {
            name,
            whose,
            kind,
            secret,
            ..
        } = it;
        format!("{name} {whose} {kind} {secret}: {content}")
    };
    held.iter().map(line).collect()
}

fn generated(organization: &Organization) -> BTreeMap<String, Value> {
    as_existing(&plan(organization, &BTreeMap::new(), &Source::Generate, now()).unwrap())
}

fn imported(organization: &Organization, version: &str) -> BTreeMap<String, Value> {
    let source = crypto_config(version);
    as_existing(&plan(organization, &BTreeMap::new(), &source, now()).unwrap())
}

#[test]
fn identities_have_owners_whatever_is_missing_or_left_over() {
    let organization = org1(1);
    let mut secrets = generated(&organization);
    let mut left = secrets.remove("peer0-tls").unwrap();
    let ca = secrets.get_mut("org1-ca").unwrap();
    ca["data"].as_object_mut().unwrap().remove("key.pem");
    secrets.get_mut("org1-admin-tls").unwrap()["data"]["tls.crt"] = json!("AAAA");
    secrets.insert("peer7-tls".to_owned(), left.clone());
    secrets.insert("alice-tls".to_owned(), left.clone());
    left["metadata"]["labels"][LABEL] = json!("org2");
    secrets.insert("bob-tls".to_owned(), left);
    let held = inventory(&organization, &secrets);
    assert_eq!(
        lines(&held),
        [
            "ca organization authority org1-ca: ca.org1 key false",
            "tlsca organization authority org1-tlsca: tlsca.org1 key true",
            "peer0 peer MSP peer0-msp: peer0.org1 key true",
            "peer0 peer TLS peer0-tls: Secret not found",
            "admin administrator MSP org1-admin-msp: Admin@org1 key true",
            "admin administrator TLS org1-admin-tls: data[\"tls.crt\"] is not a certificate",
            "ca CA server TLS ca-tls: ca.org1 key true",
            "alice user TLS alice-tls: peer0.org1 key true",
            "peer7 removed node TLS peer7-tls: peer0.org1 key true",
        ]
    );
    assert_eq!(
        owners(&held),
        ["ca", "tlsca", "peer0", "admin", "alice", "peer7"]
    );
}

#[test]
fn an_owner_is_found_without_a_list_of_all_secrets() {
    let mut organization = org1(1);
    for (owner, secrets) in [
        ("ca", &["org1-ca", "ca-tls"][..]),
        ("peer0", &["peer0-msp", "peer0-tls"]),
        ("admin", &["org1-admin-msp", "org1-admin-tls"]),
        ("alice", &["alice-msp", "alice-tls"]),
    ] {
        assert_eq!(inventory::secret_names(&organization, owner), secrets);
    }
    organization.custody = Custody::User {
        names: [("peer0-msp".to_owned(), "mine".to_owned())].into(),
        mounted: BTreeSet::new(),
    };
    let names = inventory::secret_names(&organization, "peer0");
    assert_eq!(names, ["mine", "peer0-tls"]);
}

#[test]
fn of_secrets_that_the_user_keeps_only_mounted_ones_can_be_missing() {
    let mut organization = org1(1);
    let made = generated(&organization);
    organization.custody = Custody::User {
        names: [("peer0-msp".to_owned(), "mine".to_owned())].into(),
        mounted: ["peer0-msp".to_owned(), "peer0-tls".to_owned()].into(),
    };
    let mine = [("mine".to_owned(), made["peer0-msp"].clone())].into();
    assert_eq!(
        lines(&inventory(&organization, &mine)),
        [
            "peer0 peer MSP mine: peer0.org1 key true",
            "peer0 peer TLS peer0-tls: Secret not found",
        ]
    );
}

/// The part of a fixture for one organization, with the names of keys of cryptogen 2.x.
fn original(version: &str, base: &str) -> BTreeMap<String, Vec<u8>> {
    let own = files(&fixture(version))
        .into_iter()
        .filter(|(path, _)| path.starts_with(base) && !path.contains("/User1@"));
    let renamed = own.map(|(path, bytes)| match path.rsplit_once('/') {
        Some((folder, file)) if file.ends_with("_sk") => (format!("{folder}/priv_sk"), bytes),
        _ => (path, bytes),
    });
    renamed.collect()
}

#[test]
fn a_tree_of_cryptogen_comes_out_as_it_went_in_byte_for_byte() {
    for version in ["v1.4.12", "v2.5.16", "v3.1.5"] {
        for (organization, base) in [
            (org1(2), "peerOrganizations/org1/"),
            (orgorderer1(4), "ordererOrganizations/orgorderer1/"),
        ] {
            let secrets = imported(&organization, version);
            let tree = export::tree(&organization, &secrets, Keys::With).unwrap();
            let original = original(version, base);
            let paths = |of: &BTreeMap<String, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
            assert_eq!(paths(&tree), paths(&original), "{version}");
            assert!(tree == original, "{version} {base}: a file differs");
        }
    }
}

#[test]
fn what_is_exported_is_what_is_imported() {
    for organization in [org1(2), orgorderer1(3)] {
        let secrets = generated(&organization);
        let files = export::tree(&organization, &secrets, Keys::With).unwrap();
        let source = Source::CryptoConfig {
            folder: "exported".to_owned(),
            files,
        };
        let again = plan(&organization, &BTreeMap::new(), &source, now()).unwrap();
        for secret in &again.create {
            // Neither is in a tree.
            if ["ca-tls", "ca-admin"].contains(&secret.key.name.as_str()) {
                continue;
            }
            assert_eq!(secret.body["data"], secrets[&secret.key.name]["data"]);
        }
    }
}

#[test]
fn keys_leave_their_secrets_on_request_only() {
    for organization in [org1(1), orgorderer1(1)] {
        let secrets = generated(&organization);
        let is_key = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("PRIVATE KEY");
        let tree = export::tree(&organization, &secrets, Keys::Without).unwrap();
        assert!(!tree.is_empty() && !tree.values().any(|bytes| is_key(bytes)));
        let held = inventory(&organization, &secrets);
        for name in owners(&held) {
            let public = export::owner(&organization, &secrets, name, Keys::Without).unwrap();
            assert!(!public.is_empty() && !public.values().any(|bytes| is_key(bytes)));
            let whole = export::owner(&organization, &secrets, name, Keys::With).unwrap();
            assert!(whole.values().any(|bytes| is_key(bytes)) || name == "clientca");
        }
    }
}

#[test]
fn an_owner_has_the_folder_of_a_user() {
    let organization = org1(1);
    let secrets = generated(&organization);
    let paths = |name: &str| -> Vec<String> {
        let files = export::owner(&organization, &secrets, name, Keys::With).unwrap();
        files.into_keys().collect()
    };
    assert_eq!(
        paths("admin"),
        [
            "msp/cacerts/ca.org1-cert.pem",
            "msp/config.yaml",
            "msp/keystore/priv_sk",
            "msp/signcerts/Admin@org1-cert.pem",
            "msp/tlscacerts/tlsca.org1-cert.pem",
            "tls/ca.crt",
            "tls/client.crt",
            "tls/client.key",
        ]
    );
    assert_eq!(paths("tlsca"), ["priv_sk", "tlsca.org1-cert.pem"]);
    let error = export::owner(&organization, &secrets, "peer1", Keys::With).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("no identity \"peer1\""), "{error}");
    assert!(error.contains("peer0"), "{error}");
}

#[test]
fn an_export_without_all_its_parts_says_what_is_missing() {
    let organization = org1(2);
    let mut secrets = generated(&organization);
    secrets.remove("peer1-tls");
    let admin = secrets.get_mut("org1-admin-msp").unwrap();
    admin["data"].as_object_mut().unwrap().remove("key.pem");
    let error = export::tree(&organization, &secrets, Keys::With).unwrap_err();
    let places: Vec<String> = error
        .places()
        .iter()
        .map(|place| format!("{}: {}", place.subject, place.note))
        .collect();
    assert_eq!(
        places,
        [
            "Secret org1/peer1-tls: Secret not found",
            "Secret org1/org1-admin-msp: data[\"key.pem\"]: missing",
        ]
    );
}
