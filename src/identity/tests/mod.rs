mod inventory;
mod renewals;
mod sources;

use super::certificate::Certificate;
use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const NOW: &str = "2026-11-25T12:00:00Z";

fn now() -> jiff::Timestamp {
    NOW.parse().unwrap()
}

fn node(name: &str, namespace: &str) -> Node {
    let address = format!("{name}.{namespace}");
    let hosts = [
        address.as_str(),
        name,
        &format!("{address}.svc"),
        &format!("{address}.svc.cluster.local"),
        "localhost",
        "127.0.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    Node {
        name: name.to_owned(),
        advertised: hosts[..1].to_vec(),
        hosts,
    }
}

fn org1(peers: usize) -> Organization {
    Organization {
        release: "org1".to_owned(),
        namespace: "org1".to_owned(),
        domain: "org1".to_owned(),
        msp_id: "Org1MSP".to_owned(),
        role: NodeRole::Peer,
        nodes: (0..peers)
            .map(|i| node(&format!("peer{i}"), "org1"))
            .collect(),
        credentials: vec![("ca-admin".to_owned(), "admin".to_owned())],
        ca_server: Some(node("ca", "org1")),
        custody: Custody::Program,
    }
}

fn orgorderer1(orderers: usize) -> Organization {
    Organization {
        release: "orgorderer1".to_owned(),
        namespace: "orgorderer1".to_owned(),
        domain: "orgorderer1".to_owned(),
        msp_id: "Orgorderer1MSP".to_owned(),
        role: NodeRole::Orderer,
        nodes: (0..orderers)
            .map(|i| node(&format!("orderer{i}"), "orgorderer1"))
            .collect(),
        credentials: Vec::new(),
        ca_server: None,
        custody: Custody::Program,
    }
}

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(version)
        .join("crypto-config")
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(top: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(top, &path, files);
            } else {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn crypto_config(version: &str) -> Source {
    Source::CryptoConfig {
        folder: "crypto-config".to_owned(),
        files: files(&fixture(version)),
    }
}

fn changed(version: &str, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Source {
    let mut files = files(&fixture(version));
    change(&mut files);
    Source::CryptoConfig {
        folder: "crypto-config".to_owned(),
        files,
    }
}

fn as_existing(plan: &Plan) -> BTreeMap<String, Value> {
    plan.create
        .iter()
        .map(|object| (object.key.name.clone(), object.body.clone()))
        .collect()
}

fn text(secret: &Value, key: &str) -> String {
    let data = secret["data"][key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {}", secret["metadata"]["name"]));
    String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.create
        .iter()
        .map(|object| object.key.name.as_str())
        .collect()
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("openssl runs");
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the output of `openssl x509 -text` with serial, key, times, signature and key
/// identifiers replaced, and extensions sorted by name.
fn profile_of(pem: &Path) -> Vec<String> {
    let text = openssl(&[
        "x509",
        "-noout",
        "-text",
        "-certopt",
        "no_serial,no_sigdump,no_pubkey,no_validity",
        "-nameopt",
        "RFC2253,show_type",
        "-in",
        pem.to_str().unwrap(),
    ]);
    let is_identifier = |line: &str| line.len() > 40 && line.split(':').all(|part| part.len() == 2);
    let mut lines: Vec<String> = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| *line != "X509v3 extensions:")
    {
        match lines.last_mut() {
            // Joins the heading of an extension and its value, so that sorting keeps them together.
            Some(last)
                if last.starts_with("X509v3") && last.ends_with(':')
                    || last.ends_with(": critical") =>
            {
                let value = if is_identifier(line) {
                    format!("{} bytes", line.split(':').count())
                } else {
                    line.to_owned()
                };
                *last = format!("{last} {value}");
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.sort();
    lines
}

#[test]
fn generated_certificates_have_the_fields_of_cryptogens() {
    let folder = tempfile::tempdir().unwrap();
    for (organization, role, node) in [
        (org1(1), "peer", "peer0"),
        (orgorderer1(1), "orderer", "orderer0"),
    ] {
        let made =
            as_existing(&plan(&organization, &BTreeMap::new(), &Source::Generate, now()).unwrap());
        let domain = &organization.domain;
        let theirs = fixture("v2.5.16").join(format!("{role}Organizations/{domain}"));
        for (secret, key, path) in [
            (
                format!("{domain}-ca"),
                "cert.pem",
                format!("ca/ca.{domain}-cert.pem"),
            ),
            (
                format!("{domain}-tlsca"),
                "cert.pem",
                format!("tlsca/tlsca.{domain}-cert.pem"),
            ),
            (
                format!("{node}-msp"),
                "cert.pem",
                format!("{role}s/{node}.{domain}/msp/signcerts/{node}.{domain}-cert.pem"),
            ),
            (
                format!("{node}-tls"),
                "tls.crt",
                format!("{role}s/{node}.{domain}/tls/server.crt"),
            ),
            (
                format!("{domain}-admin-msp"),
                "cert.pem",
                format!("users/Admin@{domain}/msp/signcerts/Admin@{domain}-cert.pem"),
            ),
            (
                format!("{domain}-admin-tls"),
                "tls.crt",
                format!("users/Admin@{domain}/tls/client.crt"),
            ),
        ] {
            let ours = folder.path().join("ours.pem");
            std::fs::write(&ours, text(&made[&secret], key)).unwrap();
            let expected = profile_of(&theirs.join(&path));
            assert!(expected.len() > 5, "{expected:?}");
            assert_eq!(profile_of(&ours), expected, "{secret}");
        }
        let config = std::fs::read_to_string(theirs.join("msp/config.yaml")).unwrap();
        assert_eq!(text(&made[&format!("{node}-msp")], "config.yaml"), config);
    }
}

#[test]
fn openssl_verifies_generated_certificates_and_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let made = as_existing(&plan(&org1(2), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let at = now().as_second().to_string();
    let (ca, tls_ca) = (
        write("ca", &text(&made["org1-ca"], "cert.pem")),
        write("tlsca", &text(&made["org1-tlsca"], "cert.pem")),
    );
    for (secret, certificate, key, authority) in [
        ("peer0-msp", "cert.pem", "key.pem", &ca),
        ("peer1-msp", "cert.pem", "key.pem", &ca),
        ("org1-admin-msp", "cert.pem", "key.pem", &ca),
        ("peer0-tls", "tls.crt", "tls.key", &tls_ca),
        ("ca-tls", "tls.crt", "tls.key", &tls_ca),
        ("org1-admin-tls", "tls.crt", "tls.key", &tls_ca),
    ] {
        let (certificate, key) = (
            write("cert", &text(&made[secret], certificate)),
            write("key", &text(&made[secret], key)),
        );
        openssl(&[
            "verify",
            "-x509_strict",
            "-attime",
            &at,
            "-CAfile",
            authority,
            &certificate,
        ]);
        assert!(
            text(
                &made[secret],
                if secret.ends_with("tls") {
                    "tls.key"
                } else {
                    "key.pem"
                }
            )
            .starts_with("-----BEGIN PRIVATE KEY-----")
        );
        let of_key = openssl(&["pkey", "-in", &key, "-pubout"]);
        assert_eq!(
            of_key,
            openssl(&["x509", "-in", &certificate, "-noout", "-pubkey"]),
            "{secret}"
        );
    }
    for host in ["peer0.org1", "peer0", "peer0.org1.svc.cluster.local"] {
        let certificate = write("cert", &text(&made["peer0-tls"], "tls.crt"));
        openssl(&[
            "verify",
            "-attime",
            &at,
            "-CAfile",
            &tls_ca,
            "-verify_hostname",
            host,
            &certificate,
        ]);
    }
}

#[test]
fn the_key_identifier_is_the_sha_256_of_the_public_point() {
    let made = as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let pem = text(&made["org1-ca"], "cert.pem");
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let x509 = pem.parse_x509().unwrap();
    let point = x509.public_key().subject_public_key.data.to_vec();
    let identifier =
        x509.iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    Some(id.0.to_vec())
                }
                _ => None,
            });
    use sha2::Digest;
    assert_eq!(identifier, Some(sha2::Sha256::digest(&point).to_vec()));
}

#[test]
fn what_an_authority_signs_is_of_low_s() {
    let made = plan(&org1(6), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    for object in made
        .create
        .iter()
        .filter(|object| object.key.name.ends_with("-msp"))
    {
        let pem = text(&object.body, "cert.pem");
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let signature = pem.parse_x509().unwrap().signature_value.data.to_vec();
        let s = &signature[4 + usize::from(signature[3]) + 2..];
        // Half of the order begins with 7f ff ff ff 80. 33 bytes are a padded number whose first
        // bit is set.
        assert!(
            s.len() < 32 || s.len() == 32 && s[..5] <= [0x7f, 0xff, 0xff, 0xff, 0x80][..],
            "{}: {s:02x?}",
            object.key.name
        );
    }
}

#[test]
fn every_secret_has_its_labels_and_annotations() {
    let made = plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    assert!(made.generated);
    assert_eq!(
        names(&made),
        [
            "org1-ca",
            "org1-tlsca",
            "peer0-msp",
            "peer0-tls",
            "org1-admin-msp",
            "org1-admin-tls",
            "ca-tls",
            "ca-admin"
        ]
    );
    assert_eq!(secret_names(&org1(1)), names(&made));
    for object in &made.create {
        assert_eq!(object.key.namespace.as_deref(), Some("org1"));
        assert_eq!(object.label(LABEL), Some("org1"));
        assert_eq!(
            object.label("app.kubernetes.io/managed-by"),
            Some("kubectl-fabric")
        );
        assert_eq!(object.annotation(SOURCE), Some("generate"));
    }
    let tls = &made.create[3];
    assert_eq!(tls.body["type"], "kubernetes.io/tls");
    assert_eq!(tls.annotation(NOT_AFTER), Some("2036-11-22T11:55:00Z"));
    let certificate =
        Certificate::from_pem(text(&tls.body, "tls.crt").as_bytes(), "tls.crt").unwrap();
    assert_eq!(
        tls.annotation(FINGERPRINT),
        Some(certificate.fingerprint().as_str())
    );
    assert_eq!(text(&made.create[7].body, "username"), "admin");
    assert_eq!(text(&made.create[7].body, "password").len(), 32);
}

#[test]
fn identities_are_made_once_and_extended_for_new_nodes() {
    let first = plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    let existing = as_existing(&first);
    let again = plan(&org1(1), &existing, &Source::Generate, now()).unwrap();
    assert!(
        again.create.is_empty() && !again.generated,
        "{:?}",
        names(&again)
    );
    assert_eq!(again.keep.len(), 8);

    let more = plan(&org1(2), &existing, &Source::Generate, now()).unwrap();
    assert_eq!(names(&more), ["peer1-msp", "peer1-tls"]);
    assert_eq!(
        text(&more.create[0].body, "cacert.pem"),
        text(&existing["org1-ca"], "cert.pem")
    );
    let ca =
        Certificate::from_pem(text(&existing["org1-ca"], "cert.pem").as_bytes(), "ca").unwrap();
    assert!(
        Certificate::from_pem(text(&more.create[0].body, "cert.pem").as_bytes(), "peer1")
            .unwrap()
            .is_signed_by(&ca)
    );
}

#[test]
fn an_interrupted_creation_goes_on_wherever_it_stopped() {
    let whole = plan(&org1(2), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    for done in 0..=whole.create.len() {
        let existing: BTreeMap<_, _> = whole.create[..done]
            .iter()
            .map(|object| (object.key.name.clone(), object.body.clone()))
            .collect();
        let rest = plan(&org1(2), &existing, &Source::Generate, now()).unwrap();
        assert_eq!(names(&rest), names(&whole)[done..]);
    }
}

#[test]
fn what_cannot_be_extended_is_reported() {
    let mut existing =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let ca = existing.remove("org1-ca").unwrap();
    let error = plan(&org1(2), &existing, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Secret org1-ca cannot sign") && error.contains("--crypto-config"),
        "{error}"
    );

    let mut keyless = ca;
    let key = text(&keyless, "key.pem");
    keyless["data"].as_object_mut().unwrap().remove("key.pem");
    existing.insert("org1-ca".to_owned(), keyless);
    let error = plan(&org1(2), &existing, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the key of ca.org1") && !error.contains(&key[40..60]),
        "{error}"
    );
    let mut without_server = org1(2);
    without_server.ca_server = None;
    let error = plan(&without_server, &existing, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("one is missing") && !error.contains(&key[40..60]),
        "{error}"
    );
}

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

#[test]
fn what_stays_is_warned_about() {
    let existing =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    assert!(
        plan(&org1(1), &existing, &Source::Generate, now())
            .unwrap()
            .warnings
            .is_empty()
    );
    let mut foreign = existing.clone();
    foreign.get_mut("ca-admin").unwrap()["metadata"]["labels"] = Value::Null;
    let warnings = plan(&org1(1), &foreign, &Source::Generate, now())
        .unwrap()
        .warnings;
    assert_eq!(
        warnings,
        ["Secret org1/ca-admin was not created by this release and is used unchanged"]
    );

    let late: jiff::Timestamp = "2036-11-01T00:00:00Z".parse().unwrap();
    let warnings = plan(&org1(1), &existing, &Source::Generate, late)
        .unwrap()
        .warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("org1/org1-ca expires on 2036-11-22T11:55:00Z")),
        "{warnings:?}"
    );
}

/// `org1` with one peer and its CA server. The user keeps its identities in Secrets, one of them
/// under another name.
fn kept_by_the_user() -> Organization {
    let mounted = ["peer0-msp", "peer0-tls", "ca-tls", "org1-ca"]
        .map(str::to_owned)
        .into();
    let names = BTreeMap::from([("peer0-tls".to_owned(), "mine".to_owned())]);
    Organization {
        custody: Custody::User { names, mounted },
        ..org1(1)
    }
}

/// Secrets of that user, which this program generates for the test.
fn users_secrets() -> BTreeMap<String, Value> {
    let mut secrets =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let tls = secrets.remove("peer0-tls").unwrap();
    secrets.insert("mine".to_owned(), tls);
    secrets.retain(|name, _| ["peer0-msp", "mine", "ca-tls", "org1-ca"].contains(&name.as_str()));
    secrets
}

#[test]
fn secrets_of_the_user_are_checked_and_none_is_made() {
    let organization = kept_by_the_user();
    assert_eq!(
        secret_names(&organization),
        ["org1-ca", "peer0-msp", "mine", "ca-tls", "ca-admin"]
    );
    let plan_of =
        |secrets: &BTreeMap<String, Value>| plan(&organization, secrets, &Source::Generate, now());
    let made = plan_of(&users_secrets()).unwrap();
    assert_eq!(
        (names(&made), made.generated),
        (vec!["ca-admin"], false),
        "a password is no identity"
    );

    let broken = |change: &dyn Fn(&mut BTreeMap<String, Value>)| {
        let mut secrets = users_secrets();
        change(&mut secrets);
        plan_of(&secrets).unwrap_err().to_string()
    };
    let other = || users_secrets();
    type Change<'a> = &'a dyn Fn(&mut BTreeMap<String, Value>);
    let cases: [(&str, Change); 6] = [
        ("Secret org1/mine   Secret not found", &|s| {
            drop(s.remove("mine"))
        }),
        ("data[\"cacert.pem\"]: missing", &|s| {
            drop(
                s.get_mut("peer0-msp").unwrap()["data"]
                    .as_object_mut()
                    .unwrap()
                    .remove("cacert.pem"),
            )
        }),
        ("data[\"key.pem\"]: does not match", &|s| {
            s.get_mut("peer0-msp").unwrap()["data"]["key.pem"] =
                other()["peer0-msp"]["data"]["key.pem"].clone();
        }),
        ("data[\"tls.crt\"]: is not signed by", &|s| {
            s.get_mut("mine").unwrap()["data"]["ca.crt"] =
                other()["mine"]["data"]["ca.crt"].clone();
        }),
        ("data[\"tls.crt\"]: is not valid for peer0.org1", &|s| {
            let ca_tls = s["ca-tls"].clone();
            s.insert("mine".to_owned(), ca_tls);
        }),
        ("data[\"ca.crt\"]: is not a PEM certificate", &|s| {
            s.get_mut("mine").unwrap()["data"]["ca.crt"] = STANDARD.encode("no").into()
        }),
    ];
    for (what, change) in cases {
        let error = broken(change);
        assert!(error.contains(what), "{what}: {error}");
    }
    let all = broken(&|s| s.clear());
    assert_eq!(all.matches("Secret not found").count(), 4, "{all}");
    let later = now() + jiff::SignedDuration::from_hours(24 * 365 * 30);
    let error = plan(&organization, &users_secrets(), &Source::Generate, later)
        .unwrap_err()
        .to_string();
    assert!(error.contains("expired on"), "{error}");
}

#[test]
fn identities_of_the_user_are_not_said_twice() {
    let error = plan(
        &kept_by_the_user(),
        &users_secrets(),
        &crypto_config("v2.5.16"),
        now(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("crypto.source") && error.contains("--crypto-config"),
        "{error}"
    );
}

/// openssl makes an authority that an authority signed, and a certificate of it.
#[test]
fn a_chain_leads_over_what_stands_between() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let request = |name: &str| {
        let subject = format!("/CN={name}");
        let new = [
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
        ];
        openssl(
            &[
                &new[..],
                &[
                    &file(&format!("{name}.key")),
                    "-subj",
                    &subject,
                    "-out",
                    &file(&format!("{name}.csr")),
                ],
            ]
            .concat(),
        );
    };
    let sign = |name: &str, by: &str, extension: &str| {
        std::fs::write(file("extension"), extension).unwrap();
        let sign = [
            "x509",
            "-req",
            "-days",
            "36500",
            "-set_serial",
            "1",
            "-extfile",
        ];
        let (csr, key) = (file(&format!("{name}.csr")), file(&format!("{by}.key")));
        let issuer = match by == name {
            true => vec!["-signkey".to_owned(), key],
            false => vec![
                "-CA".to_owned(),
                file(&format!("{by}.crt")),
                "-CAkey".to_owned(),
                key,
            ],
        };
        let issuer: Vec<&str> = issuer.iter().map(String::as_str).collect();
        openssl(
            &[
                &sign[..],
                &[
                    &file("extension"),
                    "-in",
                    &csr,
                    "-out",
                    &file(&format!("{name}.crt")),
                ],
                &issuer,
            ]
            .concat(),
        );
    };
    ["root", "between", "leaf"].into_iter().for_each(request);
    sign("root", "root", "basicConstraints=CA:TRUE");
    sign("between", "root", "basicConstraints=CA:TRUE");
    sign("leaf", "between", "subjectAltName=DNS:peer0.org1");
    let secret = |chain: &[u8], authority: &[u8]| {
        json!({"metadata": {"name": "mine"}, "data": {
            "tls.crt": STANDARD.encode(chain), "tls.key": STANDARD.encode(read("leaf.key")), "ca.crt": STANDARD.encode(authority),
        }})
    };
    let organization = Organization {
        custody: Custody::User {
            names: BTreeMap::new(),
            mounted: ["peer0-tls".to_owned()].into(),
        },
        credentials: Vec::new(),
        ca_server: None,
        ..org1(1)
    };
    let of = |body: Value| {
        let later = "2060-01-01T00:00:00Z".parse().unwrap();
        plan(
            &organization,
            &BTreeMap::from([("peer0-tls".to_owned(), body)]),
            &Source::Generate,
            later,
        )
    };
    let chain = [read("leaf.crt"), read("between.crt")].concat();
    of(secret(&chain, &read("root.crt"))).unwrap();
    of(secret(&read("leaf.crt"), &read("between.crt"))).unwrap();
    assert!(
        of(secret(&read("leaf.crt"), &read("root.crt")))
            .unwrap_err()
            .to_string()
            .contains("is not signed by")
    );
}

#[test]
fn files_on_a_volume_are_checked_by_a_copy_of_them() {
    let mounted = ["peer0-msp", "peer0-tls", "org1-ca"]
        .map(str::to_owned)
        .into();
    let organization = Organization {
        custody: Custody::Volume { mounted },
        ..org1(1)
    };
    let plan_of = |source: &Source| plan(&organization, &BTreeMap::new(), source, now());
    let unchecked = plan_of(&Source::Generate).unwrap();
    assert_eq!(
        (names(&unchecked), unchecked.warnings.len()),
        (vec!["ca-admin"], 1)
    );
    let checked = plan_of(&crypto_config("v1.4.12")).unwrap();
    assert_eq!(
        (names(&checked), checked.warnings.len()),
        (vec!["ca-admin"], 0)
    );
    let error = plan_of(&changed("v2.5.16", |files| {
        files.remove("peerOrganizations/org1/peers/peer0.org1/tls/server.key");
    }));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("tls/server.crt   has no private key")
    );
    // Files that no pod mounts may be missing.
    plan_of(&changed("v2.5.16", |files| {
        files.retain(|path, _| !path.contains("/users/"))
    }))
    .unwrap();
}

#[test]
fn the_layout_of_the_article_is_read() {
    let rename = |path: &str| {
        let path = path
            .replace("peerOrganizations/", "PeerOrganization/")
            .replace("ordererOrganizations/", "OrdererOrganization/");
        path.replace("/peer0.org1/", "/peer0/")
            .replace("/peer1.org1/", "/peer1/")
    };
    let files = files(&fixture("v1.4.12"))
        .into_iter()
        .map(|(path, bytes)| (rename(&path), bytes))
        .collect();
    let source = Source::CryptoConfig {
        folder: "crypto-config".to_owned(),
        files,
    };
    for organization in [org1(2), orgorderer1(3)] {
        let made = plan(&organization, &BTreeMap::new(), &source, now()).unwrap();
        assert_eq!(names(&made), secret_names(&organization));
    }
}
