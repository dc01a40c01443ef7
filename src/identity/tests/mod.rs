mod crypto_configs;
mod generated;
mod inventory;
mod kept;
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
