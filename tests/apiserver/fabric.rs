//! The charts for Fabric on a real API server: every node Ready under the name in its certificate,
//! ledgers and identities that outlive what is done to a release.

use crate::support::{self, Cluster, Output, until};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Namespaces of the network that the fixtures' certificates are for; also those of the releases of
/// these names.
const NETWORK: [&str; 4] = ["kafka", "orgorderer1", "org1", "org2"];

/// A namespace with a release in it.
struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Namespace<'a> {
    /// Release `org1` in a namespace that no other test has.
    fn of_this_test(cluster: &'a Cluster) -> Namespace<'a> {
        Namespace {
            cluster,
            name: cluster.namespace("org1"),
        }
    }

    /// The namespace of exactly this name.
    fn called(cluster: &'a Cluster, name: &str) -> Namespace<'a> {
        Namespace {
            cluster,
            name: name.to_owned(),
        }
    }

    /// `kubectl fabric VERB org1 -n NAMESPACE ARGUMENTS...`, arguments separated by spaces.
    fn run(&self, verb: &str, arguments: &str) -> Output {
        self.cluster
            .fabric()
            .args([verb, "org1", "-n", &self.name])
            .args(arguments.split_whitespace())
            .run()
    }

    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, name, Some(&self.name))
    }

    /// Name and UID of each ledger's claim.
    fn claims(&self) -> BTreeMap<String, String> {
        let claims = self.cluster.list("persistentvolumeclaim", &self.name);
        claims
            .iter()
            .map(|claim| {
                (
                    text(&claim["metadata"]["name"]),
                    text(&claim["metadata"]["uid"]),
                )
            })
            .collect()
    }

    fn identities(&self) -> Identities {
        let secrets = self.cluster.list("secret", &self.name);
        let identities = secrets.iter().filter(|secret| {
            secret["metadata"]["labels"]["kubectl-fabric.io/identity"].is_string()
        });
        let content = |secret: &Value| (text(&secret["metadata"]["uid"]), secret["data"].clone());
        Identities(
            identities
                .map(|secret| (text(&secret["metadata"]["name"]), content(secret)))
                .collect(),
        )
    }

    /// Names of the nodes: each is a StatefulSet.
    fn nodes(&self) -> Vec<String> {
        let sets = self.cluster.list("statefulset", &self.name);
        sets.iter()
            .map(|set| text(&set["metadata"]["name"]))
            .collect()
    }

    /// Revision, status and Fabric version of each record, oldest first.
    fn history(&self) -> Vec<(u64, String, String)> {
        let records = self.run("history", "-o json").success().json();
        let records = records.as_array().expect("a list");
        records
            .iter()
            .map(|it| {
                (
                    it["revision"].as_u64().unwrap(),
                    text(&it["status"]),
                    text(&it["appVersion"]),
                )
            })
            .collect()
    }

    /// Everything that a release may leave behind, but for volumes and identities.
    fn leftovers(&self) -> Vec<String> {
        let kinds = "statefulset,deployment,pod,service,configmap,secret,serviceaccount,lease,networkpolicy,poddisruptionbudget";
        let objects = self.cluster.list(kinds, &self.name);
        let identity =
            |it: &&Value| it["metadata"]["labels"]["kubectl-fabric.io/identity"].is_string();
        let named = objects
            .iter()
            .filter(|it| !identity(it))
            .map(|it| format!("{}/{}", it["kind"], it["metadata"]["name"]));
        let named = named.map(|name| name.replace('"', ""));
        // These two are the cluster's own.
        named
            .filter(|name| name != "ConfigMap/kube-root-ca.crt" && name != "ServiceAccount/default")
            .collect()
    }

    /// Asserts that all pods are Ready, one per node, and that each node's Service has the node's
    /// name.
    #[track_caller]
    fn assert_ready(&self, nodes: &[&str]) {
        assert_eq!(self.nodes(), nodes);
        let pods = self.cluster.list("pod", &self.name);
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            conditions
                .into_iter()
                .any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        let ready: Vec<String> = pods
            .iter()
            .filter(ready)
            .map(|pod| text(&pod["metadata"]["name"]))
            .collect();
        assert_eq!(
            ready,
            nodes
                .iter()
                .map(|node| format!("{node}-0"))
                .collect::<Vec<_>>()
        );
        let services = self.cluster.list("service", &self.name);
        let services: Vec<String> = services
            .iter()
            .map(|service| text(&service["metadata"]["name"]))
            .collect();
        assert_eq!(services, nodes, "a Service for each");
    }

    /// Asserts that the TLS certificate of each node has the address of its Service, and is of
    /// the organization.
    #[track_caller]
    fn assert_certified(&self, nodes: &[&str]) {
        let identities = self.identities();
        for node in nodes {
            let tls = |key| identities.text(&format!("{node}-tls"), key);
            let host = format!("{node}.{}", self.name);
            assert_signed(
                self.cluster,
                &tls("ca.crt"),
                &tls("tls.crt"),
                &["-verify_hostname", &host],
            );
        }
    }
}

/// UID and content of each identity in a namespace, by name.
#[derive(Clone, Debug, PartialEq)]
struct Identities(BTreeMap<String, (String, Value)>);

impl Identities {
    fn text(&self, secret: &str, key: &str) -> String {
        let (_, data) = self
            .0
            .get(secret)
            .unwrap_or_else(|| panic!("no identity {secret} among {:?}", self.0.keys()));
        let encoded = data[key]
            .as_str()
            .unwrap_or_else(|| panic!("Secret {secret} has no {key}"));
        String::from_utf8(BASE64_STANDARD.decode(encoded).expect("base64")).expect("text")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn fixture(version: &str) -> PathBuf {
    support::repository().join("tests/fixtures").join(version)
}

/// The one file in a folder of a fixture.
fn only_file_of(folder: PathBuf) -> String {
    let entry = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .next();
    fs::read_to_string(entry.expect("a file").expect("its entry").path()).expect("text")
}

/// Asserts by openssl that the authority signed the certificate.
#[track_caller]
fn assert_signed(cluster: &Cluster, authority: &str, certificate: &str, options: &[&str]) {
    let [authority_file, file] =
        ["authority.pem", "certificate.pem"].map(|name| cluster.folder().join(name));
    fs::write(&authority_file, authority).expect("a file of this test");
    fs::write(&file, certificate).expect("a file of this test");
    let openssl = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .arg(&authority_file)
        .args(options)
        .arg(&file)
        .output();
    let output = openssl.expect("openssl is there");
    assert!(
        output.status.success(),
        "{options:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn an_install_with_nothing_else_makes_every_node_ready_under_the_name_in_its_certificate() {
    let Some((cluster, _turn)) = support::cluster_alone(&NETWORK) else {
        return;
    };
    for name in ["kafka", "orgorderer1", "org1"] {
        let output = cluster.fabric().args(["install", name]).run().success();
        assert_eq!(
            output.stdout.contains("generated for development"),
            name != "kafka",
            "{}",
            output.stdout
        );
    }
    let kafka = [
        "kafka0",
        "kafka1",
        "kafka2",
        "kafka3",
        "zookeeper0",
        "zookeeper1",
        "zookeeper2",
    ];
    Namespace::called(&cluster, "kafka").assert_ready(&kafka);
    for (name, nodes) in [
        ("orgorderer1", ["orderer0", "orderer1", "orderer2"]),
        ("org1", ["ca", "peer0", "peer1"]),
    ] {
        let namespace = Namespace::called(&cluster, name);
        namespace.assert_ready(&nodes);
        namespace.assert_certified(&nodes);
    }
    remove(&cluster, &["kafka", "orgorderer1", "org1"]);
}

/// Ends the releases and their namespaces, which is quicker than ending namespaces with pods in
/// them.
fn remove(cluster: &Cluster, releases: &[&str]) {
    let uninstall = cluster.fabric().arg("uninstall").args(releases);
    uninstall
        .args(["--delete-data", "--yes", "--delete-namespace"])
        .run()
        .success();
}

#[test]
fn the_identities_of_a_crypto_config_are_taken_as_they_are_and_never_exchanged() {
    let Some((cluster, _turn)) = support::cluster_alone(&NETWORK) else {
        return;
    };
    for (version, other) in [("1.4.12", "2.5.16"), ("2.5.16", "1.4.12")] {
        let crypto_config = fixture(&format!("v{version}")).join("crypto-config");
        let install = |name: &str, options: &[&str]| {
            let install = cluster.fabric().args([
                "install",
                name,
                "--fabric-version",
                version,
                "--crypto-config",
            ]);
            let output = install.arg(&crypto_config).args(options).run().success();
            assert!(
                !output.stdout.contains("for development"),
                "nothing is generated: {}",
                output.stdout
            );
            Namespace::called(&cluster, name)
        };
        let org1 = install("org1", &[]);
        let org2 = install("org2", &["--set", "peers.count=1"]);
        let orderers = match version {
            // Before 2.3 an orderer starts from a genesis block; the one here is of a channel that
            // orders by Kafka.
            "1.4.12" => {
                let block = format!(
                    "genesis.block={}",
                    fixture("v1.4.12").join("genesis.block").display()
                );
                cluster
                    .kubectl()
                    .args(["create", "namespace", "orgorderer1"])
                    .run()
                    .success();
                let secret = [
                    "-n",
                    "orgorderer1",
                    "create",
                    "secret",
                    "generic",
                    "genesis",
                    "--from-file",
                    &block,
                ];
                cluster.kubectl().args(secret).run().success();
                install(
                    "orgorderer1",
                    &[
                        "--set",
                        "orderers.consensus=kafka,orderers.genesis.secret=genesis",
                    ],
                )
            }
            _ => install("orgorderer1", &["--set", "orderers.count=4"]),
        };
        for (namespace, folder) in [
            (&org1, "peerOrganizations"),
            (&org2, "peerOrganizations"),
            (&orderers, "ordererOrganizations"),
        ] {
            let (name, nodes) = (&namespace.name, namespace.nodes());
            let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
            namespace.assert_ready(&nodes);
            namespace.assert_certified(&nodes);
            let (identities, tree) = (
                namespace.identities(),
                crypto_config.join(folder).join(name),
            );
            for node in nodes.iter().filter(|node| **node != "ca") {
                let role = if folder == "peerOrganizations" {
                    "peers"
                } else {
                    "orderers"
                };
                let files = tree.join(role).join(format!("{node}.{name}"));
                assert_eq!(
                    identities.text(&format!("{node}-msp"), "cert.pem"),
                    only_file_of(files.join("msp/signcerts"))
                );
                assert_eq!(
                    identities.text(&format!("{node}-msp"), "key.pem"),
                    only_file_of(files.join("msp/keystore"))
                );
                let certificate =
                    fs::read_to_string(files.join("tls/server.crt")).expect("its TLS certificate");
                assert_eq!(
                    identities.text(&format!("{node}-tls"), "tls.crt"),
                    certificate
                );
            }
        }
        let identities = org1.identities();
        let others = fixture(&format!("v{other}")).join("crypto-config");
        let output = cluster
            .fabric()
            .args(["upgrade", "org1", "--crypto-config"])
            .arg(&others)
            .run()
            .exits(4);
        assert!(output.stderr.contains("peer0-msp"), "{}", output.stderr);
        assert_eq!(org1.identities(), identities);
        assert_eq!(org1.history().len(), 1, "a refusal is no revision");
        remove(&cluster, &["org1", "org2", "orgorderer1"]);
        cluster
            .kubectl()
            .args(["delete", "namespace", "--ignore-not-found"])
            .args(NETWORK)
            .run()
            .success();
    }
}

#[test]
fn a_crypto_config_without_a_node_is_refused_before_anything_is_made() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = Namespace::of_this_test(&cluster);
    let crypto_config = fixture("v2.5.16").join("crypto-config");
    let output = namespace
        .run(
            "install",
            &format!(
                "--crypto-config {} --set peers.count=3",
                crypto_config.display()
            ),
        )
        .exits(1);
    assert!(output.stderr.contains("crypto-config"), "{}", output.stderr);
    assert!(
        cluster.get("namespace", &namespace.name, None).is_none(),
        "not even a namespace"
    );
}

#[test]
fn ledgers_and_identities_outlive_upgrade_rollback_uninstall_and_reinstall() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    let nodes = ["ca", "peer0", "peer1"];
    org1.run("install", "--fabric-version 2.5.15").success();
    let (claims, identities) = (org1.claims(), org1.identities());
    assert_eq!(
        claims.keys().collect::<Vec<_>>(),
        ["home-ca-0", "ledger-peer0-0", "ledger-peer1-0"]
    );
    let assert_kept = || {
        assert_eq!(org1.claims(), claims);
        assert_eq!(org1.identities(), identities);
    };
    let assert_runs = |version: &str| {
        org1.assert_ready(&nodes);
        for peer in ["peer0", "peer1"] {
            let image = text(
                &org1.get("statefulset", peer).unwrap()["spec"]["template"]["spec"]["containers"]
                    [0]["image"],
            );
            assert!(
                image.ends_with(&format!("fabric-peer:{version}")),
                "{image}"
            );
        }
        assert_kept();
    };
    assert_runs("2.5.15");
    org1.run("upgrade", "--fabric-version 2.5.16").success();
    assert_runs("2.5.16");
    let output = org1.run("rollback", "").success();
    let warnings: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("warning:"))
        .collect();
    assert_eq!(
        warnings.iter().collect::<BTreeSet<_>>().len(),
        warnings.len(),
        "each is told once: {warnings:#?}"
    );
    assert_runs("2.5.15");
    let output = org1.run("uninstall", "--keep-history").success();
    assert!(
        output.stdout.contains("ledger-peer0-0") && output.stdout.contains("peer0-msp"),
        "it says what stays: {}",
        output.stdout
    );
    assert_eq!(org1.nodes(), Vec::<String>::new());
    assert_kept();
    org1.run("install", "--fabric-version 2.5.16").success();
    assert_runs("2.5.16");
    let history = org1.history();
    let history: Vec<_> = history
        .iter()
        .map(|(revision, status, version)| (*revision, status.as_str(), version.as_str()))
        .collect();
    assert_eq!(
        history,
        [
            (1, "superseded", "2.5.15"),
            (2, "superseded", "2.5.16"),
            (3, "uninstalled", "2.5.15"),
            (4, "deployed", "2.5.16")
        ]
    );
    org1.run("uninstall", "").success();
    assert_eq!(org1.leftovers(), Vec::<String>::new());
    assert_kept();
}

#[test]
fn data_is_deleted_when_it_is_reported_twice() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "--set peers.count=1,peers.stateDatabase=CouchDB")
        .success();
    let (claims, identities) = (org1.claims(), org1.identities());
    org1.run("uninstall", "--delete-data").exits(4);
    org1.assert_ready(&["ca", "peer0"]);
    org1.run("uninstall", "--delete-data --yes").success();
    until("the claims to be gone", || {
        org1.claims().is_empty().then_some(())
    });
    assert_eq!(org1.identities().0, BTreeMap::new());
    assert_eq!(org1.leftovers(), Vec::<String>::new());
    org1.run("install", "--set peers.count=1,peers.stateDatabase=CouchDB")
        .success();
    assert_eq!(
        org1.claims().keys().collect::<Vec<_>>(),
        claims.keys().collect::<Vec<_>>()
    );
    assert!(
        org1.identities()
            .0
            .iter()
            .all(|(name, identity)| identities.0[name] != *identity),
        "a new organization"
    );
}

#[test]
fn a_further_peer_gets_an_identity_of_the_same_authority_and_the_others_keep_theirs() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "").success();
    let before = org1.identities();
    let output = org1.run("upgrade", "--set peers.count=3").success();
    assert!(
        output.stdout.contains("IDENTITIES: 2 Secrets, generated"),
        "{}",
        output.stdout
    );
    org1.assert_ready(&["ca", "peer0", "peer1", "peer2"]);
    org1.assert_certified(&["ca", "peer0", "peer1", "peer2"]);
    let mut after = org1.identities();
    for (secret, authority, key) in [
        ("peer2-msp", "org1-ca", "cert.pem"),
        ("peer2-tls", "org1-tlsca", "tls.crt"),
    ] {
        assert_signed(
            &cluster,
            &after.text(authority, "cert.pem"),
            &after.text(secret, key),
            &[],
        );
        after.0.remove(secret);
    }
    assert_eq!(after, before);
    org1.run("rollback", "--force U39").success();
    assert_eq!(org1.nodes(), ["ca", "peer0", "peer1"]);
    assert!(
        org1.claims().contains_key("ledger-peer2-0")
            && org1.identities().0.contains_key("peer2-msp"),
        "data stays"
    );
}

#[test]
fn an_upgrade_changes_one_peer_after_the_other_and_leaves_the_rest_alone() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "--fabric-version 2.5.15").success();
    let output = org1
        .run("upgrade", "--fabric-version 2.5.16 --events json")
        .success();
    let events: Vec<Value> = output
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let place = |wanted: &dyn Fn(&Value) -> bool, what: &str| {
        events
            .iter()
            .position(wanted)
            .unwrap_or_else(|| panic!("{what} is not told: {}", output.stderr))
    };
    let of = |event: &Value, peer: &str| text(&event["object"]).ends_with(&format!("/{peer}"));
    let written = |peer: &str| {
        place(
            &|event| event["event"] == "applied" && of(event, peer),
            "a change",
        )
    };
    let ready = |peer: &str| {
        place(
            &|event| event["event"] == "waiting" && event["ready"] == true && of(event, peer),
            "readiness",
        )
    };
    assert!(
        written("peer0") < ready("peer0")
            && ready("peer0") < written("peer1")
            && written("peer1") < ready("peer1")
    );
    let applied = events.iter().filter(|event| event["event"] == "applied");
    let mut applied: Vec<_> = applied
        .map(|event| {
            text(&event["object"])
                .rsplit_once('/')
                .expect("a namespace")
                .1
                .to_owned()
        })
        .collect();
    applied.sort_unstable();
    assert_eq!(
        applied,
        ["ca", "peer0", "peer1"],
        "only the nodes whose version changes"
    );
}

/// A crypto-config in a folder of the test, for an organization whose namespace is the test's own.
struct Tree {
    folder: PathBuf,
    /// `peerOrganizations/org1`, the same folder.
    organization: PathBuf,
    domain: String,
}

impl Tree {
    /// A tree of two peers as cryptogen lays it out, of authorities of its own.
    fn new(namespace: &Namespace) -> Tree {
        let folder = namespace.cluster.folder().join("crypto-config");
        let domain = namespace.name.clone();
        let tree = Tree {
            organization: folder.join("peerOrganizations").join(&domain),
            folder,
            domain,
        };
        let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,digitalSignature\nsubjectKeyIdentifier=hash";
        for name in ["ca", "tlsca"] {
            tree.make(
                &format!("{name}/{name}.{}-cert.pem", tree.domain),
                &format!("{name}/priv_sk"),
                name,
                "",
                authority,
            );
        }
        let node_ous = ["Client", "Peer", "Admin", "Orderer"].map(|role| {
            format!(
                "  {role}OUIdentifier:\n    Certificate: cacerts/ca.{}-cert.pem\n    OrganizationalUnitIdentifier: {}\n",
                tree.domain,
                role.to_lowercase()
            )
        });
        let node_ous = format!("NodeOUs:\n  Enable: true\n{}", node_ous.concat());
        for member in [
            "".to_owned(),
            tree.peer("peer0"),
            tree.peer("peer1"),
            format!("users/Admin@{}/", tree.domain),
        ] {
            for (name, kind) in [("ca", "cacerts"), ("tlsca", "tlscacerts")] {
                let file = format!("{name}.{}-cert.pem", tree.domain);
                tree.copy(
                    &format!("{name}/{file}"),
                    &format!("{member}msp/{kind}/{file}"),
                );
            }
            tree.write(&format!("{member}msp/config.yaml"), &node_ous);
            if !member.is_empty() {
                tree.issue(
                    &member,
                    &format!("{member}msp/signcerts/cert.pem"),
                    &format!("{member}msp/keystore/priv_sk"),
                    "ca",
                );
                let role = if member.starts_with("users") {
                    "client"
                } else {
                    "server"
                };
                tree.issue(
                    &member,
                    &format!("{member}tls/{role}.crt"),
                    &format!("{member}tls/{role}.key"),
                    "tlsca",
                );
                tree.copy(
                    &format!("tlsca/tlsca.{}-cert.pem", tree.domain),
                    &format!("{member}tls/ca.crt"),
                );
            }
        }
        tree
    }

    fn peer(&self, name: &str) -> String {
        format!("peers/{name}.{}/", self.domain)
    }

    fn path(&self, below: &str) -> String {
        let path = self.organization.join(below);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of this test");
        path.display().to_string()
    }

    fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).expect("a file of this test");
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).expect("a file of this test");
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).expect("a file of this test")
    }

    /// A certificate of a member, by `ca` or `tlsca`, for the key in the file if there is one.
    fn issue(&self, member: &str, certificate: &str, key: &str, by: &str) {
        let name = member.split('/').nth(1).unwrap_or_default();
        self.make(
            certificate,
            key,
            name,
            by,
            &format!("basicConstraints=CA:FALSE\nsubjectAltName=DNS:{name}"),
        );
    }

    fn make(&self, certificate: &str, key: &str, name: &str, by: &str, extensions: &str) {
        let (certificate, key, request) = (
            self.path(certificate),
            self.path(key),
            self.path("../request"),
        );
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl")
                .args(arguments)
                .output()
                .expect("openssl is there");
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        if !std::path::Path::new(&key).exists() {
            openssl(&[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
                &key,
            ]);
        }
        let subject = format!("/OU=peer/CN={name}");
        openssl(&[
            "req", "-new", "-key", &key, "-subj", &subject, "-out", &request,
        ]);
        self.write("../extensions", extensions);
        let extensions = self.path("../extensions");
        let sign = [
            "x509",
            "-req",
            "-days",
            "3650",
            "-in",
            &request,
            "-out",
            &certificate,
            "-extfile",
            &extensions,
        ];
        if by.is_empty() {
            return openssl(&[&sign[..], &["-signkey", key.as_str()]].concat());
        }
        let signer = self.path(&format!("{by}/{by}.{}-cert.pem", self.domain));
        let signing_key = self.path(&format!("{by}/priv_sk"));
        openssl(
            &[
                &sign[..],
                &[
                    "-CA",
                    signer.as_str(),
                    "-CAkey",
                    &signing_key,
                    "-CAcreateserial",
                ],
            ]
            .concat(),
        );
    }

    /// Renews both certificates of a peer, for the keys that it has.
    fn renew(&self, peer: &str) {
        let member = self.peer(peer);
        self.issue(
            &member,
            &format!("{member}msp/signcerts/cert.pem"),
            &format!("{member}msp/keystore/priv_sk"),
            "ca",
        );
        self.issue(
            &member,
            &format!("{member}tls/server.crt"),
            &format!("{member}tls/server.key"),
            "tlsca",
        );
    }
}

impl Namespace<'_> {
    /// UIDs of the pods of these nodes.
    fn pods(&self, nodes: &[&str]) -> BTreeMap<String, String> {
        let uid = |node: &&str| {
            let pod = self
                .get("pod", &format!("{node}-0"))
                .unwrap_or_else(|| panic!("no pod of {node}"));
            ((*node).to_owned(), text(&pod["metadata"]["uid"]))
        };
        nodes.iter().map(uid).collect()
    }

    /// Runs an operation, and returns the nodes whose pods are others after it.
    fn restarted(&self, verb: &str, arguments: &str) -> Vec<String> {
        let nodes = ["ca", "peer0", "peer1"];
        let before = self.pods(&nodes);
        self.run(verb, arguments).success();
        self.assert_ready(&nodes);
        let after = self.pods(&nodes);
        before
            .into_iter()
            .filter(|(node, uid)| after[node] != *uid)
            .map(|(node, _)| node)
            .collect()
    }
}

#[test]
fn certificates_that_their_authority_renewed_roll_the_nodes_that_use_them_in_turn() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    let tree = Tree::new(&org1);
    let folder = format!("--crypto-config {}", tree.folder.display());
    org1.run("install", &folder).success();
    assert!(
        org1.restarted("upgrade", &folder).is_empty(),
        "nothing changed"
    );
    assert!(org1.restarted("upgrade", "").is_empty());

    tree.renew("peer0");
    tree.renew("peer1");
    let preview = cluster
        .fabric()
        .args(["diff", "upgrade", "org1", "-n", &org1.name])
        .args(folder.split(' '));
    let output = preview.arg("--exit-code").run().exits(2);
    assert!(
        output.told().contains("kubectl-fabric.io/identities"),
        "a preview shows what will restart: {}",
        output.told()
    );
    let before = org1.identities();
    let output = org1
        .run("upgrade", &format!("{folder} --events json"))
        .success();
    let events: Vec<Value> = output
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let place = |event: &str, peer: &str| {
        let is_of = |it: &&Value| text(&it["object"]).ends_with(&format!("/{peer}"));
        let found = events.iter().position(|it| {
            it["event"] == event && is_of(&it) && (event == "applied" || it["ready"] == true)
        });
        found.unwrap_or_else(|| panic!("{event} of {peer} is not told: {}", output.stderr))
    };
    assert!(
        place("waiting", "peer0") < place("applied", "peer1"),
        "one after the other"
    );
    assert_eq!(
        org1.identities().text("peer0-tls", "tls.crt"),
        tree.read(&format!("{}tls/server.crt", tree.peer("peer0")))
    );
    assert_eq!(
        org1.identities().text("peer0-tls", "tls.key"),
        before.text("peer0-tls", "tls.key")
    );
    assert!(
        org1.restarted("upgrade", &folder).is_empty(),
        "and once only"
    );
    org1.run("drift", "").exits(0);

    // Only the one that changed, and a rollback takes no certificate back: it restarts nothing.
    tree.renew("peer1");
    assert_eq!(org1.restarted("upgrade", &folder), ["peer1"]);
    assert!(org1.restarted("rollback", "").is_empty());
    assert_eq!(
        org1.identities().text("peer1-tls", "tls.crt"),
        tree.read(&format!("{}tls/server.crt", tree.peer("peer1")))
    );

    // Secrets that are gone are made again from the folder, and their nodes restart.
    tree.renew("peer0");
    cluster
        .kubectl()
        .args([
            "-n",
            &org1.name,
            "delete",
            "secret",
            "peer0-tls",
            "peer0-msp",
        ])
        .run()
        .success();
    assert_eq!(org1.restarted("upgrade", &folder), ["peer0"]);
}

#[test]
fn a_renewal_that_is_interrupted_is_finished_by_the_same_command() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    let tree = Tree::new(&org1);
    let folder = tree.folder.display().to_string();
    let command = || {
        cluster.fabric().args([
            "upgrade",
            "org1",
            "-n",
            &org1.name,
            "--crypto-config",
            &folder,
        ])
    };
    org1.run("install", &format!("--crypto-config {folder}"))
        .success();
    let before = org1.pods(&["peer0", "peer1"]);
    let certificate = org1.identities().text("peer1-tls", "tls.crt");
    tree.renew("peer0");
    tree.renew("peer1");
    let mut child = command().spawn();
    until("the Secrets to be written", || {
        (org1.identities().text("peer1-tls", "tls.crt") != certificate).then_some(())
    });
    child.kill().expect("a child of ours");
    child.wait().expect("its end");
    // Without the folder, too: what is in the Secrets is what nodes have to run with.
    org1.run("upgrade", "").success();
    org1.assert_ready(&["ca", "peer0", "peer1"]);
    let after = org1.pods(&["peer0", "peer1"]);
    assert!(
        before.iter().all(|(peer, uid)| after[peer] != *uid),
        "both run with the new certificates"
    );
    command().run().success();
    assert_eq!(org1.pods(&["peer0", "peer1"]), after);
}

#[test]
fn a_certificate_that_the_user_renews_in_a_secret_is_drift_and_rolls_its_node_at_the_next_upgrade()
{
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    let tree = Tree::new(&org1);
    cluster
        .kubectl()
        .args(["create", "namespace", &org1.name])
        .run()
        .success();
    let secret = |name: &str, files: &[(&str, &str)]| {
        let files: Vec<String> = files
            .iter()
            .map(|(entry, file)| {
                format!(
                    "--from-file={entry}={}",
                    tree.organization.join(file).display()
                )
            })
            .collect();
        let make = cluster.kubectl().args([
            "-n",
            &org1.name,
            "create",
            "secret",
            "generic",
            name,
            "--dry-run=client",
            "-o",
            "yaml",
        ]);
        let yaml = make.args(&files).run().success().stdout;
        cluster.apply(&org1.name, &yaml);
    };
    let (ca, tlsca) = (
        format!("ca/ca.{}-cert.pem", org1.name),
        format!("tlsca/tlsca.{}-cert.pem", org1.name),
    );
    let keep = |peer: &str| {
        let member = tree.peer(peer);
        let file = |path: &str| format!("{member}{path}");
        let (cert, key, config) = (
            file("msp/signcerts/cert.pem"),
            file("msp/keystore/priv_sk"),
            file("msp/config.yaml"),
        );
        let msp = [
            ("cert.pem", cert.as_str()),
            ("key.pem", key.as_str()),
            ("cacert.pem", ca.as_str()),
            ("tlscacert.pem", tlsca.as_str()),
        ];
        secret(
            &format!("{peer}-msp"),
            &[&msp[..], &[("config.yaml", config.as_str())]].concat(),
        );
        let (cert, key) = (file("tls/server.crt"), file("tls/server.key"));
        secret(
            &format!("{peer}-tls"),
            &[("tls.crt", &cert), ("tls.key", &key), ("ca.crt", &tlsca)],
        );
    };
    keep("peer0");
    keep("peer1");
    let values = "--set crypto.source=secret,ca.enabled=false";
    org1.run("install", values).success();
    let nodes = ["peer0", "peer1"];
    org1.assert_ready(&nodes);
    org1.run("drift", "").exits(0);
    let before = org1.pods(&nodes);
    // The end of the certificate that each node runs with, as `status` has it.
    let ends = || {
        let status = org1.run("status", "-o json").success().json();
        let nodes = status["info"]["nodes"].as_array().expect("a list").clone();
        nodes
            .iter()
            .map(|node| (text(&node["of"]), text(&node["certificateEnds"])))
            .collect::<BTreeMap<_, _>>()
    };
    let ends_before = ends();
    tree.renew("peer1");
    keep("peer1");
    assert!(!ends_before["peer1"].is_empty());
    assert_eq!(ends(), ends_before, "it still runs with the earlier one");
    let identities = org1.run("status", "-o json").success().json()["info"]["identities"].clone();
    let names: Vec<&str> = identities
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert!(
        names.contains(&"peer0-tls") && names.contains(&"peer1-msp"),
        "Secrets of the user's own are shown: {names:?}"
    );
    let output = org1.run("drift", "").exits(2);
    assert!(
        output
            .stderr
            .contains("peer1 runs with certificates that its Secrets no longer hold"),
        "{}",
        output.stderr
    );
    assert!(!output.told().contains("peer0 runs"), "{}", output.told());
    let status = org1.run("status", "").success().stdout;
    let line = status
        .lines()
        .find(|line| line.starts_with("peer1-0 "))
        .expect("its line")
        .to_owned();
    assert!(
        line.contains("runs with certificates from before Secret peer1-msp, peer1-tls changed"),
        "{line}"
    );
    assert!(
        !status
            .lines()
            .any(|line| line.contains("peer0") && line.contains("from before")),
        "{status}"
    );
    org1.run("upgrade", "").success();
    org1.assert_ready(&nodes);
    let after = org1.pods(&nodes);
    assert_eq!(
        (
            after["peer0"] == before["peer0"],
            after["peer1"] == before["peer1"]
        ),
        (true, false)
    );
    org1.run("drift", "").exits(0);
    assert!(
        !org1
            .run("status", "")
            .success()
            .stdout
            .contains("from before")
    );
    let ends_after = ends();
    assert_eq!(ends_after["peer0"], ends_before["peer0"]);
    assert_ne!(
        ends_after["peer1"], ends_before["peer1"],
        "it runs with the renewed one"
    );
}

#[test]
fn a_name_added_later_is_in_the_certificate_that_nodes_then_run_with() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "").success();
    let key = org1.identities().text("peer0-tls", "tls.key");
    assert_eq!(
        org1.restarted("upgrade", "--set tls.extraSans={peers.example.com}"),
        ["ca", "peer0", "peer1"]
    );
    let identities = org1.identities();
    assert_eq!(identities.text("peer0-tls", "tls.key"), key);
    for node in ["ca", "peer0", "peer1"] {
        let tls = |entry| identities.text(&format!("{node}-tls"), entry);
        assert_signed(
            &cluster,
            &tls("ca.crt"),
            &tls("tls.crt"),
            &["-verify_hostname", "peers.example.com"],
        );
    }
    assert!(org1.restarted("upgrade", "").is_empty());

    // The authority's key is taken away, as one does who keeps it elsewhere.
    let patch = r#"[{"op": "remove", "path": "/data/key.pem"}]"#;
    let remove = [
        "-n",
        &org1.name,
        "patch",
        "secret",
        "org1-tlsca",
        "--type=json",
        "-p",
        patch,
    ];
    cluster.kubectl().args(remove).run().success();
    let output = org1
        .run(
            "upgrade",
            "--set tls.extraSans={peers.example.com,more.example.com}",
        )
        .exits(4);
    assert!(
        output
            .stderr
            .contains("peer0-tls   is not valid for more.example.com"),
        "{}",
        output.stderr
    );
    assert_eq!(
        org1.identities().text("peer0-tls", "tls.crt"),
        identities.text("peer0-tls", "tls.crt")
    );
}

#[test]
fn a_password_that_changed_in_a_secret_of_the_user_restarts_the_server_that_reads_it() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Namespace::of_this_test(&cluster);
    cluster
        .kubectl()
        .args(["create", "namespace", &org1.name])
        .run()
        .success();
    let secret = |password: &str| {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: mine}\ntype: kubernetes.io/basic-auth\nstringData:";
        cluster.apply(
            &org1.name,
            &format!("{text} {{username: admin, password: {password}}}\n"),
        );
    };
    secret("one");
    org1.run("install", "--set ca.existingSecret=mine")
        .success();
    assert!(org1.restarted("upgrade", "").is_empty());
    secret("two");
    assert_eq!(org1.restarted("upgrade", ""), ["ca"]);
}

#[test]
fn an_orderers_tls_key_is_not_exchanged_below_its_channels() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.namespace("orgorderer1");
    let run = |verb: &str, arguments: &[&str]| {
        cluster
            .fabric()
            .args([verb, "orgorderer1", "-n", &namespace])
            .args(arguments)
            .run()
    };
    run("install", &[]).success();
    let secret = |name: &str| {
        cluster
            .get("secret", name, Some(&namespace))
            .expect("the identity")["data"]
            .clone()
    };
    let before = secret("orderer0-tls");
    // The Secret is deleted by hand: the authority would sign a certificate for another key.
    cluster
        .kubectl()
        .args(["-n", &namespace, "delete", "secret", "orderer0-tls"])
        .run()
        .success();
    let output = run("upgrade", &[]).exits(4);
    assert!(
        output.stderr.contains("U42") && output.stderr.contains("orderer0"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("consenter"),
        "it says what to do: {}",
        output.stderr
    );
    assert!(
        cluster
            .get("secret", "orderer0-tls", Some(&namespace))
            .is_none(),
        "a refusal writes nothing"
    );
    run("upgrade", &["--force", "U42"]).success();
    assert_ne!(secret("orderer0-tls")["tls.key"], before["tls.key"]);
}

/// Another organization's claim of the same size, for any volume without a class; with `volume`,
/// for this one.
fn claim(name: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [ReadOnlyMany], \
         storageClassName: '', volumeName: '{volume}', resources: {{requests: {{storage: 500Mi}}}}}}\n"
    )
}

#[test]
fn the_volume_of_an_organizations_keys_goes_to_its_claim_alone() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let (org1, org2) = (
        Namespace::of_this_test(&cluster),
        cluster.create_namespace("org2"),
    );
    let values = "--set crypto.source=nfs,crypto.nfs.server=nfs.example.com,crypto.nfs.path=/share";
    let manifest = org1.run("template", values).success().stdout;
    let mut objects = serde_yaml::Deserializer::from_str(&manifest)
        .map(|object| Value::deserialize(object).expect("an object"));
    let rendered = objects
        .find(|object| object["kind"] == "PersistentVolume")
        .expect("a volume");
    let name = text(&rendered["metadata"]["name"]);
    let volume = || {
        cluster
            .get("persistentvolume", &name, None)
            .expect("the volume")
    };

    // An install that goes no further than the volume, where claims of another organization wait
    // for it already.
    cluster.apply(&org2, &claim("any", ""));
    cluster.apply(&org2, &claim("this", &name));
    cluster.apply("default", &rendered.to_string());
    for claim in ["any", "this"] {
        let refusals = || -> u64 {
            let events = cluster.list("event", &org2);
            let refused = |event: &&Value| {
                event["involvedObject"]["name"] == claim && event["reason"] == "FailedBinding"
            };
            events
                .iter()
                .filter(refused)
                .filter_map(|event| event["count"].as_u64())
                .sum()
        };
        // The first may be older than the volume; after the next, the controller has tried both.
        let before = refusals();
        until("the claim to be refused", || {
            (refusals() > before + 1).then_some(())
        });
        assert_eq!(
            cluster
                .get("persistentvolumeclaim", claim, Some(&org2))
                .expect("a claim")["status"]["phase"],
            "Pending"
        );
    }
    assert_eq!(volume()["spec"]["claimRef"]["namespace"], org1.name);
    cluster
        .kubectl()
        .args(["delete", "persistentvolume", &name])
        .run()
        .success();

    org1.run("install", values).success();
    org1.assert_ready(&["ca", "peer0", "peer1"]);
    let own = org1
        .get("persistentvolumeclaim", "crypto")
        .expect("the claim");
    assert_eq!(
        (&own["status"]["phase"], &own["spec"]["volumeName"]),
        (&"Bound".into(), &name.as_str().into())
    );
    assert_eq!(
        (
            &volume()["status"]["phase"],
            &volume()["spec"]["claimRef"]["uid"]
        ),
        (&"Bound".into(), &own["metadata"]["uid"])
    );
    for claim in ["any", "this"] {
        assert_eq!(
            cluster
                .get("persistentvolumeclaim", claim, Some(&org2))
                .expect("a claim")["status"]["phase"],
            "Pending"
        );
    }
}

#[test]
fn kubectl_finds_the_plugin_and_its_completion() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let bin = cluster.folder().join("bin");
    fs::create_dir(&bin).expect("a folder of this test");
    let plugin = env!("CARGO_BIN_EXE_kubectl-fabric");
    for name in ["kubectl-fabric", "kubectl_complete-fabric"] {
        std::os::unix::fs::symlink(plugin, bin.join(name)).expect("a link in it");
    }
    let kubectl = |arguments: &[&str]| {
        cluster
            .kubectl()
            .env("PATH", &bin)
            .args(arguments)
            .run()
            .success()
            .stdout
    };
    assert!(kubectl(&["plugin", "list"]).contains("kubectl-fabric"));
    assert!(kubectl(&["fabric", "version"]).contains(env!("CARGO_PKG_VERSION")));
    let verbs = kubectl(&["__complete", "fabric", ""]);
    assert!(
        verbs.starts_with("up\t") && !verbs.lines().any(|verb| verb.starts_with('-')),
        "flags come with a dash: {verbs}"
    );
    assert!(kubectl(&["__complete", "fabric", "install", "--cr"]).contains("--crypto-config"));
    let charts = kubectl(&["__complete", "fabric", "charts", "show", "peer"]);
    assert!(charts.starts_with("peer-org"), "{charts}");
}
