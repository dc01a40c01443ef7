//! `identity` and `profile` on Secrets of the API server: what they show, what they write, which
//! permissions they need, and that no key leaves its Secret unasked.

use crate::support::{self, Cluster, Output};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kubectl_fabric::ledger::organization::Organization;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// An installed organization in a network of the test's own.
fn organization(name: &str, values: &str) -> Option<(Cluster, String)> {
    let cluster = support::cluster()?;
    let namespace = cluster.namespace(name);
    let values = format!("networkPolicy.enabled=false,{values}");
    run(&cluster, &["install", name, "--set", &values]).success();
    Some((cluster, namespace))
}

fn run(cluster: &Cluster, args: &[&str]) -> Output {
    let network = ["--network", cluster.network()];
    cluster.fabric().args(args).args(network).run()
}

/// The entries of the organization's Secrets, decoded, by `SECRET/ENTRY`.
fn entries(cluster: &Cluster, namespace: &str) -> BTreeMap<String, Vec<u8>> {
    let mut entries = BTreeMap::new();
    for secret in cluster.list("secret", namespace) {
        if secret["metadata"]["labels"]["kubectl-fabric.io/identity"].is_null() {
            continue;
        }
        let name = secret["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        for (key, value) in secret["data"].as_object().expect("data") {
            let bytes = BASE64_STANDARD.decode(value.as_str().expect("a text"));
            entries.insert(format!("{name}/{key}"), bytes.expect("base64"));
        }
    }
    entries
}

/// The private keys and passwords among entries.
fn secrets(entries: &BTreeMap<String, Vec<u8>>) -> Vec<(&str, &[u8])> {
    let is_secret = |name: &str| {
        ["key.pem", "tls.key", "password"].contains(&name.rsplit('/').next().unwrap_or_default())
    };
    let found = entries.iter().filter(|(name, _)| is_secret(name));
    found
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect()
}

/// Fails if a text has a line of a key, or the same in base64.
fn assert_clean(what: &str, text: &[u8], entries: &BTreeMap<String, Vec<u8>>) {
    let text = String::from_utf8_lossy(text);
    for (name, secret) in secrets(entries) {
        let pem = String::from_utf8_lossy(secret);
        let canary = pem.lines().nth(1).unwrap_or(&pem);
        let encoded = BASE64_STANDARD.encode(secret);
        for form in [canary, &encoded] {
            assert!(!text.contains(form), "{what} has {name}");
        }
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(top: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let mode = fs::symlink_metadata(&path)
                .expect("a file")
                .permissions()
                .mode()
                & 0o777;
            if path.is_dir() {
                assert_eq!(mode, 0o700, "{}", path.display());
                walk(top, &path, files);
            } else {
                assert_eq!(mode, 0o600, "{}", path.display());
                let name = path.strip_prefix(top).expect("below").display().to_string();
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

#[test]
fn identities_are_listed_and_shown_without_their_keys() {
    let Some((cluster, namespace)) = organization("org1", "peers.count=2") else {
        return;
    };
    let entries = entries(&cluster, &namespace);
    let list = run(
        &cluster,
        &["identity", "list", "org1", "-o", "json", "-v", "8"],
    )
    .success();
    assert_clean("list", list.told().as_bytes(), &entries);
    let listed = list.json();
    let line = |it: &Value| {
        let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        [
            text("name"),
            text("whose"),
            text("type"),
            text("secret"),
            text("issuer"),
        ]
        .join(" ")
    };
    let lines: Vec<String> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(line)
        .collect();
    let domain = &namespace;
    assert_eq!(
        lines,
        [
            format!("ca organization authority org1-ca ca.{domain}"),
            format!("tlsca organization authority org1-tlsca tlsca.{domain}"),
            format!("peer0 peer MSP peer0-msp ca.{domain}"),
            format!("peer0 peer TLS peer0-tls tlsca.{domain}"),
            format!("peer1 peer MSP peer1-msp ca.{domain}"),
            format!("peer1 peer TLS peer1-tls tlsca.{domain}"),
            format!("admin administrator MSP org1-admin-msp ca.{domain}"),
            format!("admin administrator TLS org1-admin-tls tlsca.{domain}"),
            format!("ca CA server TLS ca-tls tlsca.{domain}"),
        ]
    );
    assert_eq!(listed[2]["mspId"], "Org1MSP");
    assert_eq!(
        (&listed[2]["hasKey"], &listed[2]["source"]),
        (&json!(true), &json!("generate"))
    );
    assert!(
        listed[2]["daysLeft"].as_i64().expect("a number") > 3600,
        "{listed}"
    );

    let names = run(&cluster, &["identity", "list", "-o", "name"]).success();
    assert_eq!(names.stdout, "ca\ntlsca\npeer0\npeer1\nadmin\n");
    let wide = run(&cluster, &["identity", "list", "org1", "-o", "wide"]).success();
    assert!(wide.stdout.contains("FINGERPRINT"), "{}", wide.stdout);
    assert_clean("list -o wide", wide.told().as_bytes(), &entries);

    let show = run(&cluster, &["identity", "show", "org1", "peer0", "-v", "8"]).success();
    assert_clean("show", show.told().as_bytes(), &entries);
    for words in [
        "IDENTITY: peer0 (peer)",
        &format!("MSP: Secret {namespace}/peer0-msp"),
        &format!("peer0.{domain} (peer)"),
        "private key  in the Secret",
    ] {
        assert!(show.stdout.contains(words), "{words}: {}", show.stdout);
    }
    let unknown = run(&cluster, &["identity", "show", "org1", "peer7"]).exits(1);
    assert!(
        unknown.stderr.contains("it has ca, tlsca, peer0"),
        "{}",
        unknown.stderr
    );
    let path = run(&cluster, &["identity", "show", "org1", "../peer0"]).exits(1);
    assert!(
        path.stderr.contains("no identity \"../peer0\""),
        "{}",
        path.stderr
    );
}

#[test]
fn removed_nodes_and_missing_secrets_are_listed() {
    let Some((cluster, namespace)) = organization("org1", "peers.count=2") else {
        return;
    };
    let upgrade = [
        "upgrade",
        "org1",
        "--set",
        "peers.count=1",
        "--force",
        "U39",
    ];
    run(&cluster, &upgrade).success();
    let delete = ["-n", &namespace, "delete", "secret", "org1-admin-tls"];
    cluster.kubectl().args(delete).run().success();
    let list = run(&cluster, &["identity", "list", "org1", "-o", "json"]).success();
    let all = list.json();
    let found = |name: &str, kind: &str| {
        let all = all.as_array().expect("a list").iter();
        let mut found = all.filter(|it| it["name"] == name && it["type"] == kind);
        found.next().cloned().unwrap_or_default()
    };
    assert_eq!(found("peer1", "MSP")["whose"], "removed node");
    assert_eq!(found("admin", "TLS")["error"], "Secret not found");
}

#[test]
fn an_exported_organization_is_installed_again_byte_for_byte() {
    let Some((cluster, namespace)) = organization("org1", "peers.count=2") else {
        return;
    };
    let before = entries(&cluster, &namespace);
    let folder = cluster.folder().join("exported");
    let to = folder.display().to_string();
    let public = run(&cluster, &["identity", "export", "org1", "--to", &to]).success();
    assert!(
        public.stdout.contains("without private keys"),
        "{}",
        public.stdout
    );
    for (path, bytes) in files(&folder) {
        assert_clean(&path, &bytes, &before);
        assert!(!bytes.starts_with(b"-----BEGIN PRIVATE"), "{path}");
    }
    // The same again changes nothing; with keys only the keys are added.
    let with_keys = ["identity", "export", "org1", "--with-keys", "--to", &to];
    let whole = run(&cluster, &with_keys).success();
    assert!(
        whole.stderr.contains("the private keys of ca."),
        "{}",
        whole.stderr
    );
    assert_clean("export", whole.told().as_bytes(), &before);
    let exported = files(&folder);
    let base = format!("peerOrganizations/{namespace}");
    for (path, entry) in [
        (format!("{base}/ca/priv_sk"), "org1-ca/key.pem"),
        (
            format!("{base}/peers/peer1.{namespace}/msp/keystore/priv_sk"),
            "peer1-msp/key.pem",
        ),
        (
            format!("{base}/users/Admin@{namespace}/tls/client.key"),
            "org1-admin-tls/tls.key",
        ),
    ] {
        assert_eq!(exported.get(&path), before.get(entry), "{path}");
    }

    // Another content is not replaced, and nothing else is written.
    let changed = folder.join(&base).join("msp/config.yaml");
    fs::write(&changed, "mine").expect("a file");
    let refused = run(&cluster, &with_keys).exits(4);
    assert!(
        refused.stderr.contains("msp/config.yaml"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(&changed).expect("a file"), b"mine");
    run(&cluster, &[&with_keys[..], &["--overwrite"]].concat()).success();
    assert_eq!(files(&folder), exported);

    run(&cluster, &["uninstall", "org1", "--delete-data", "--yes"]).success();
    let values = "networkPolicy.enabled=false,peers.count=2";
    let install = ["install", "org1", "--set", values, "--crypto-config", &to];
    run(&cluster, &install).success();
    let after = entries(&cluster, &namespace);
    for (name, bytes) in &before {
        // Neither is in a tree of cryptogen.
        if !name.starts_with("ca-") && !name.contains("couchdb") {
            assert_eq!(after.get(name), Some(bytes), "{name}");
        }
    }
}

#[test]
fn the_public_half_and_one_identity_are_exported() {
    let Some((cluster, namespace)) = organization("orgorderer1", "orderers.count=3") else {
        return;
    };
    let entries = entries(&cluster, &namespace);
    let export = |args: &[&str]| {
        run(
            &cluster,
            &[&["identity", "export", "orgorderer1"], args].concat(),
        )
    };
    let printed = export(&["--public", "--to", "-"]).success();
    assert_clean("export --public", printed.told().as_bytes(), &entries);
    let json: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    let read = Organization::from_json(&json).expect("an organization");
    assert_eq!(read.msp.id, "Orgorderer1MSP");
    assert_eq!(read.endpoints[2], format!("orderer2.{namespace}:7050"));
    assert_eq!(read.print().expect("a text"), printed.stdout);
    let file = cluster.folder().join("orgorderer1.json");
    let to = file.display().to_string();
    export(&["--public", "--to", &to]).success();
    assert_eq!(fs::read_to_string(&file).expect("a file"), printed.stdout);

    let folder = cluster.folder().join("admin");
    let to = folder.display().to_string();
    export(&["admin", "--with-keys", "--to", &to]).success();
    let files = files(&folder);
    assert_eq!(
        files["msp/keystore/priv_sk"],
        entries["orgorderer1-admin-msp/key.pem"]
    );
    assert!(files.contains_key("tls/client.crt"), "{:?}", files.keys());

    // An archive for other programs.
    let network = cluster.network();
    let archive = cluster.shell(&format!(
        "kubectl-fabric identity export orgorderer1 admin --to - --network {network} | tar t"
    ));
    let archive = archive.run().success();
    assert!(
        archive.stdout.contains("msp/cacerts/ca."),
        "{}",
        archive.stdout
    );
    assert!(!archive.stdout.contains("keystore"), "{}", archive.stdout);
}

/// What a user may do who can read the record of a release, and no identity.
const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [''], resources: [configmaps], verbs: [get, list]}
- {apiGroups: [''], resources: [secrets], verbs: [get], resourceNames: [kubectl-fabric.v1.org1.v1]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: USER}]
";

#[test]
fn a_missing_right_is_named() {
    let Some((cluster, namespace)) = organization("org1", "peers.count=1") else {
        return;
    };
    let user = format!("reader-{}", cluster.network());
    cluster.apply(&namespace, &READER.replace("USER", &user));
    let out = cluster.folder().join("out").display().to_string();
    for (args, right) in [
        (&["identity", "list", "org1"][..], "list secrets"),
        (&["identity", "show", "org1", "peer0"], "get secrets"),
        (
            &["identity", "export", "org1", "--to", &out],
            "list secrets",
        ),
        (
            &["identity", "export", "org1", "peer0", "--to", &out],
            "get secrets",
        ),
        (
            &["identity", "export", "org1", "--public", "--to", &out],
            "get secrets",
        ),
        (
            &[
                "identity",
                "enroll",
                "org1",
                "alice",
                "--register",
                "--to",
                &out,
            ],
            "get secrets",
        ),
        (&["profile", "org1"], "get secrets"),
    ] {
        let denied = run(&cluster, &[args, &["--as", &user]].concat()).exits(1);
        let told = &denied.stderr;
        let right = format!("has no permission to {right} in namespace \"{namespace}\"");
        assert!(told.contains(&right), "{args:?}: {told}");
        assert!(
            told.contains("cannot read") && told.contains("of \"org1\""),
            "{args:?}: {told}"
        );
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_profile_names_peers_and_authorities_and_no_key() {
    let values = "peers.count=2,expose.type=LoadBalancer,expose.host=\\{node}.example.com";
    let Some((cluster, namespace)) = organization("org1", values) else {
        return;
    };
    let entries = entries(&cluster, &namespace);
    let profile = run(&cluster, &["profile", "org1", "-o", "json", "-v", "8"]).success();
    assert_clean("profile", profile.told().as_bytes(), &entries);
    let document: Value = serde_json::from_str(&profile.stdout).expect("JSON");
    let peer = &document["peers"][format!("peer1.{namespace}")];
    assert_eq!(peer["url"], format!("grpcs://peer1.{namespace}:7051"));
    let root = String::from_utf8_lossy(&entries["org1-tlsca/cert.pem"]).into_owned();
    assert_eq!(peer["tlsCACerts"]["pem"], root);
    let ca = &document["certificateAuthorities"][format!("ca.{namespace}")];
    assert_eq!(ca["tlsCACerts"]["pem"], json!([root]));
    assert_eq!(document["organizations"]["org1"]["mspid"], "Org1MSP");

    let exposed = run(&cluster, &["profile", "org1", "--exposed", "-o", "json"]).success();
    let exposed: Value = serde_json::from_str(&exposed.stdout).expect("JSON");
    let url = &exposed["peers"][format!("peer0.{namespace}")]["url"];
    assert_eq!(url, "grpcs://peer0.example.com:7051");

    // The ConfigMap is one that the API server takes.
    let map = run(&cluster, &["profile", "org1", "-o", "configmap"]).success();
    cluster.apply(&namespace, &map.stdout);
    let map = cluster.get("configmap", "org1-connection-profile", Some(&namespace));
    let text = map.expect("a ConfigMap")["data"]["connection-profile.json"].clone();
    let again: Value = serde_json::from_str(text.as_str().expect("a text")).expect("JSON");
    assert_eq!(again, document);
}

#[test]
fn enrolling_checks_its_target_before_it_calls_the_ca_server() {
    let Some((cluster, namespace)) = organization("org1", "peers.count=1") else {
        return;
    };
    let entries = entries(&cluster, &namespace);
    let enroll = |args: &[&str]| {
        let output = run(
            &cluster,
            &[&["identity", "enroll", "org1"], args, &["-v", "8"]].concat(),
        );
        assert_clean("enroll", output.told().as_bytes(), &entries);
        output
    };
    let node = enroll(&["peer0", "--register", "--to-secret"]).exits(1);
    assert!(
        node.stderr.contains("nothing was registered or enrolled"),
        "{}",
        node.stderr
    );
    let folder = cluster.folder().join("alice");
    fs::create_dir_all(folder.join("msp/keystore")).expect("a folder");
    let to = folder.display().to_string();
    let taken = enroll(&["alice", "--register", "--to", &to]).exits(4);
    assert!(
        taken.stderr.contains("already contains an identity"),
        "{}",
        taken.stderr
    );
    let none = enroll(&["alice", "--to", &to]).exits(1);
    assert!(none.stderr.contains("--register"), "{}", none.stderr);
    // The simulated CA server answers nothing.
    let other = cluster.folder().join("bob").display().to_string();
    let unreached = enroll(&["bob", "--register", "--to", &other]).exits(1);
    assert!(
        unreached.stderr.contains("the CA server ca."),
        "{}",
        unreached.stderr
    );
    assert!(!Path::new(&other).exists());
}
