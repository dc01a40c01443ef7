//! The charts for Fabric on a real API server: every node Ready under the name in its certificate, ledgers and identities that
//! outlive what is done to a release.

use crate::support::{self, Cluster, Output, until};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Namespaces of the network that the fixtures' certificates are for; also those of the releases of these names.
const NETWORK: [&str; 4] = ["kafka", "orgorderer1", "org1", "org2"];

/// A namespace with a release in it.
struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Namespace<'a> {
    /// Release `org1` in a namespace that no other test has.
    fn of_this_test(cluster: &'a Cluster) -> Namespace<'a> {
        Namespace { cluster, name: cluster.namespace("org1") }
    }

    /// The namespace of exactly this name.
    fn called(cluster: &'a Cluster, name: &str) -> Namespace<'a> {
        Namespace { cluster, name: name.to_owned() }
    }

    /// `kubectl fabric VERB org1 -n NAMESPACE ARGUMENTS...`, arguments separated by spaces.
    fn run(&self, verb: &str, arguments: &str) -> Output {
        self.cluster.fabric().args([verb, "org1", "-n", &self.name]).args(arguments.split_whitespace()).run()
    }

    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, name, Some(&self.name))
    }

    /// Name and UID of each ledger's claim.
    fn claims(&self) -> BTreeMap<String, String> {
        let claims = self.cluster.list("persistentvolumeclaim", &self.name);
        claims.iter().map(|claim| (text(&claim["metadata"]["name"]), text(&claim["metadata"]["uid"]))).collect()
    }

    fn identities(&self) -> Identities {
        let secrets = self.cluster.list("secret", &self.name);
        let identities = secrets.iter().filter(|secret| secret["metadata"]["labels"]["kubectl-fabric.io/identity"].is_string());
        let content = |secret: &Value| (text(&secret["metadata"]["uid"]), secret["data"].clone());
        Identities(identities.map(|secret| (text(&secret["metadata"]["name"]), content(secret))).collect())
    }

    /// Names of the nodes: each is a StatefulSet.
    fn nodes(&self) -> Vec<String> {
        let sets = self.cluster.list("statefulset", &self.name);
        sets.iter().map(|set| text(&set["metadata"]["name"])).collect()
    }

    /// Revision, status and Fabric version of each record, oldest first.
    fn history(&self) -> Vec<(u64, String, String)> {
        let records = self.run("history", "-o json").success().json();
        let records = records.as_array().expect("a list");
        records.iter().map(|it| (it["revision"].as_u64().unwrap(), text(&it["status"]), text(&it["app_version"]))).collect()
    }

    /// Everything that a release may leave behind, but for volumes and identities.
    fn leftovers(&self) -> Vec<String> {
        let kinds = "statefulset,deployment,pod,service,configmap,secret,serviceaccount,lease,networkpolicy,poddisruptionbudget";
        let objects = self.cluster.list(kinds, &self.name);
        let identity = |it: &&Value| it["metadata"]["labels"]["kubectl-fabric.io/identity"].is_string();
        let named = objects.iter().filter(|it| !identity(it)).map(|it| format!("{}/{}", it["kind"], it["metadata"]["name"]));
        let named = named.map(|name| name.replace('"', ""));
        // These two are the cluster's own.
        named.filter(|name| name != "ConfigMap/kube-root-ca.crt" && name != "ServiceAccount/default").collect()
    }

    /// Asserts that all pods are Ready, one per node, and that each node's Service bears the node's name.
    #[track_caller]
    fn assert_ready(&self, nodes: &[&str]) {
        assert_eq!(self.nodes(), nodes);
        let pods = self.cluster.list("pod", &self.name);
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        let ready: Vec<String> = pods.iter().filter(ready).map(|pod| text(&pod["metadata"]["name"])).collect();
        assert_eq!(ready, nodes.iter().map(|node| format!("{node}-0")).collect::<Vec<_>>());
        let services = self.cluster.list("service", &self.name);
        let services: Vec<String> = services.iter().map(|service| text(&service["metadata"]["name"])).collect();
        assert_eq!(services, nodes, "a Service for each");
    }

    /// Asserts that the TLS certificate of each node bears the address of its Service, and is of the organization.
    #[track_caller]
    fn assert_certified(&self, nodes: &[&str]) {
        let identities = self.identities();
        for node in nodes {
            let tls = |key| identities.text(&format!("{node}-tls"), key);
            let host = format!("{node}.{}", self.name);
            assert_signed(self.cluster, &tls("ca.crt"), &tls("tls.crt"), &["-verify_hostname", &host]);
        }
    }
}

/// UID and content of each identity in a namespace, by name.
#[derive(Clone, Debug, PartialEq)]
struct Identities(BTreeMap<String, (String, Value)>);

impl Identities {
    fn text(&self, secret: &str, key: &str) -> String {
        let (_, data) = self.0.get(secret).unwrap_or_else(|| panic!("no identity {secret} among {:?}", self.0.keys()));
        let encoded = data[key].as_str().unwrap_or_else(|| panic!("Secret {secret} has no {key}"));
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
    let entry = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).next();
    fs::read_to_string(entry.expect("a file").expect("its entry").path()).expect("text")
}

/// Asserts by openssl that the authority signed the certificate.
#[track_caller]
fn assert_signed(cluster: &Cluster, authority: &str, certificate: &str, options: &[&str]) {
    let [authority_file, file] = ["authority.pem", "certificate.pem"].map(|name| cluster.folder().join(name));
    fs::write(&authority_file, authority).expect("a file of this test");
    fs::write(&file, certificate).expect("a file of this test");
    let openssl = Command::new("openssl").args(["verify", "-CAfile"]).arg(&authority_file).args(options).arg(&file).output();
    let output = openssl.expect("openssl is there");
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_install_with_nothing_else_makes_every_node_ready_under_the_name_in_its_certificate() {
    let Some((cluster, _turn)) = support::cluster_alone(&NETWORK) else { return };
    for name in ["kafka", "orgorderer1", "org1"] {
        let output = cluster.fabric().args(["install", name]).run().success();
        assert_eq!(output.stdout.contains("generated for development"), name != "kafka", "{}", output.stdout);
    }
    let kafka = ["kafka0", "kafka1", "kafka2", "kafka3", "zookeeper0", "zookeeper1", "zookeeper2"];
    Namespace::called(&cluster, "kafka").assert_ready(&kafka);
    for (name, nodes) in [("orgorderer1", ["orderer0", "orderer1", "orderer2"]), ("org1", ["ca", "peer0", "peer1"])] {
        let namespace = Namespace::called(&cluster, name);
        namespace.assert_ready(&nodes);
        namespace.assert_certified(&nodes);
    }
    remove(&cluster, &["kafka", "orgorderer1", "org1"]);
}

/// Ends the releases and their namespaces, which is quicker than ending namespaces with pods in them.
fn remove(cluster: &Cluster, releases: &[&str]) {
    let uninstall = cluster.fabric().arg("uninstall").args(releases);
    uninstall.args(["--delete-data", "--yes", "--delete-namespace"]).run().success();
}

#[test]
fn the_identities_of_a_crypto_config_are_taken_as_they_are_and_never_exchanged() {
    let Some((cluster, _turn)) = support::cluster_alone(&NETWORK) else { return };
    for (version, other) in [("1.4.12", "2.5.16"), ("2.5.16", "1.4.12")] {
        let crypto_config = fixture(&format!("v{version}")).join("crypto-config");
        let install = |name: &str, options: &[&str]| {
            let install = cluster.fabric().args(["install", name, "--fabric-version", version, "--crypto-config"]);
            let output = install.arg(&crypto_config).args(options).run().success();
            assert!(!output.stdout.contains("for development"), "nothing is generated: {}", output.stdout);
            Namespace::called(&cluster, name)
        };
        let org1 = install("org1", &[]);
        let org2 = install("org2", &["--set", "peers.count=1"]);
        let orderers = match version {
            // Before 2.3 an orderer starts from a genesis block; the one here is of a channel that orders by Kafka.
            "1.4.12" => {
                let block = format!("genesis.block={}", fixture("v1.4.12").join("genesis.block").display());
                cluster.kubectl().args(["create", "namespace", "orgorderer1"]).run().success();
                let secret = ["-n", "orgorderer1", "create", "secret", "generic", "genesis", "--from-file", &block];
                cluster.kubectl().args(secret).run().success();
                install("orgorderer1", &["--set", "orderers.consensus=kafka,orderers.genesis.secret=genesis"])
            }
            _ => install("orgorderer1", &["--set", "orderers.count=4"]),
        };
        for (namespace, folder) in
            [(&org1, "peerOrganizations"), (&org2, "peerOrganizations"), (&orderers, "ordererOrganizations")]
        {
            let (name, nodes) = (&namespace.name, namespace.nodes());
            let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
            namespace.assert_ready(&nodes);
            namespace.assert_certified(&nodes);
            let (identities, tree) = (namespace.identities(), crypto_config.join(folder).join(name));
            for node in nodes.iter().filter(|node| **node != "ca") {
                let role = if folder == "peerOrganizations" { "peers" } else { "orderers" };
                let files = tree.join(role).join(format!("{node}.{name}"));
                assert_eq!(identities.text(&format!("{node}-msp"), "cert.pem"), only_file_of(files.join("msp/signcerts")));
                assert_eq!(identities.text(&format!("{node}-msp"), "key.pem"), only_file_of(files.join("msp/keystore")));
                let certificate = fs::read_to_string(files.join("tls/server.crt")).expect("its TLS certificate");
                assert_eq!(identities.text(&format!("{node}-tls"), "tls.crt"), certificate);
            }
        }
        let identities = org1.identities();
        let others = fixture(&format!("v{other}")).join("crypto-config");
        let output = cluster.fabric().args(["upgrade", "org1", "--crypto-config"]).arg(&others).run().exits(4);
        assert!(output.stderr.contains("peer0-msp"), "{}", output.stderr);
        assert_eq!(org1.identities(), identities);
        assert_eq!(org1.history().len(), 1, "a refusal is no revision");
        remove(&cluster, &["org1", "org2", "orgorderer1"]);
        cluster.kubectl().args(["delete", "namespace", "--ignore-not-found"]).args(NETWORK).run().success();
    }
}

#[test]
fn a_crypto_config_without_a_node_is_refused_before_anything_is_made() {
    let Some(cluster) = support::cluster() else { return };
    let namespace = Namespace::of_this_test(&cluster);
    let crypto_config = fixture("v2.5.16").join("crypto-config");
    let output = namespace.run("install", &format!("--crypto-config {} --set peers.count=3", crypto_config.display())).exits(1);
    assert!(output.stderr.contains("crypto-config"), "{}", output.stderr);
    assert!(cluster.get("namespace", &namespace.name, None).is_none(), "not even a namespace");
}

#[test]
fn ledgers_and_identities_outlive_upgrade_rollback_uninstall_and_reinstall() {
    let Some(cluster) = support::cluster() else { return };
    let org1 = Namespace::of_this_test(&cluster);
    let nodes = ["ca", "peer0", "peer1"];
    org1.run("install", "--fabric-version 2.5.15").success();
    let (claims, identities) = (org1.claims(), org1.identities());
    assert_eq!(claims.keys().collect::<Vec<_>>(), ["home-ca-0", "ledger-peer0-0", "ledger-peer1-0"]);
    let assert_kept = || {
        assert_eq!(org1.claims(), claims);
        assert_eq!(org1.identities(), identities);
    };
    let assert_runs = |version: &str| {
        org1.assert_ready(&nodes);
        for peer in ["peer0", "peer1"] {
            let image = text(&org1.get("statefulset", peer).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"]);
            assert!(image.ends_with(&format!("fabric-peer:{version}")), "{image}");
        }
        assert_kept();
    };
    assert_runs("2.5.15");
    org1.run("upgrade", "--fabric-version 2.5.16").success();
    assert_runs("2.5.16");
    let output = org1.run("rollback", "").success();
    let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("warning:")).collect();
    assert_eq!(warnings.iter().collect::<BTreeSet<_>>().len(), warnings.len(), "each is told once: {warnings:#?}");
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
    let history: Vec<_> =
        history.iter().map(|(revision, status, version)| (*revision, status.as_str(), version.as_str())).collect();
    assert_eq!(
        history,
        [(1, "superseded", "2.5.15"), (2, "superseded", "2.5.16"), (3, "uninstalled", "2.5.15"), (4, "deployed", "2.5.16")]
    );
    org1.run("uninstall", "").success();
    assert_eq!(org1.leftovers(), Vec::<String>::new());
    assert_kept();
}

#[test]
fn data_is_deleted_when_it_is_said_twice() {
    let Some(cluster) = support::cluster() else { return };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "--set peers.count=1,peers.stateDatabase=CouchDB").success();
    let (claims, identities) = (org1.claims(), org1.identities());
    org1.run("uninstall", "--delete-data").exits(4);
    org1.assert_ready(&["ca", "peer0"]);
    org1.run("uninstall", "--delete-data --yes").success();
    until("the claims to be gone", || org1.claims().is_empty().then_some(()));
    assert_eq!(org1.identities().0, BTreeMap::new());
    assert_eq!(org1.leftovers(), Vec::<String>::new());
    org1.run("install", "--set peers.count=1,peers.stateDatabase=CouchDB").success();
    assert_eq!(org1.claims().keys().collect::<Vec<_>>(), claims.keys().collect::<Vec<_>>());
    assert!(org1.identities().0.iter().all(|(name, identity)| identities.0[name] != *identity), "a new organization");
}

#[test]
fn a_further_peer_gets_an_identity_of_the_same_authority_and_the_others_keep_theirs() {
    let Some(cluster) = support::cluster() else { return };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "").success();
    let before = org1.identities();
    let output = org1.run("upgrade", "--set peers.count=3").success();
    assert!(output.stdout.contains("IDENTITIES: 2 Secrets, generated"), "{}", output.stdout);
    org1.assert_ready(&["ca", "peer0", "peer1", "peer2"]);
    org1.assert_certified(&["ca", "peer0", "peer1", "peer2"]);
    let mut after = org1.identities();
    for (secret, authority, key) in [("peer2-msp", "org1-ca", "cert.pem"), ("peer2-tls", "org1-tlsca", "tls.crt")] {
        assert_signed(&cluster, &after.text(authority, "cert.pem"), &after.text(secret, key), &[]);
        after.0.remove(secret);
    }
    assert_eq!(after, before);
    org1.run("rollback", "--force U39").success();
    assert_eq!(org1.nodes(), ["ca", "peer0", "peer1"]);
    assert!(org1.claims().contains_key("ledger-peer2-0") && org1.identities().0.contains_key("peer2-msp"), "data stays");
}

#[test]
fn an_upgrade_changes_one_peer_after_the_other_and_leaves_the_rest_alone() {
    let Some(cluster) = support::cluster() else { return };
    let org1 = Namespace::of_this_test(&cluster);
    org1.run("install", "--fabric-version 2.5.15").success();
    let output = org1.run("upgrade", "--fabric-version 2.5.16 --events json").success();
    let events: Vec<Value> = output.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let place = |wanted: &dyn Fn(&Value) -> bool, what: &str| {
        events.iter().position(wanted).unwrap_or_else(|| panic!("{what} is not told: {}", output.stderr))
    };
    let of = |event: &Value, peer: &str| text(&event["object"]).ends_with(&format!("/{peer}"));
    let written = |peer: &str| place(&|event| event["event"] == "applied" && of(event, peer), "a change");
    let ready =
        |peer: &str| place(&|event| event["event"] == "waiting" && event["ready"] == true && of(event, peer), "readiness");
    assert!(written("peer0") < ready("peer0") && ready("peer0") < written("peer1") && written("peer1") < ready("peer1"));
    let applied: Vec<_> = events.iter().filter(|event| event["event"] == "applied").map(|event| text(&event["object"])).collect();
    assert_eq!(applied.len(), 2, "only the peers: {applied:?}");
}

/// Another organization's claim of the same size, for any volume without a class; with `volume`, for this one.
fn claim(name: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [ReadOnlyMany], \
         storageClassName: '', volumeName: '{volume}', resources: {{requests: {{storage: 500Mi}}}}}}\n"
    )
}

#[test]
fn the_volume_of_an_organizations_keys_goes_to_its_claim_alone() {
    let Some(cluster) = support::cluster() else { return };
    let (org1, org2) = (Namespace::of_this_test(&cluster), cluster.create_namespace("org2"));
    let values = "--set crypto.source=nfs,crypto.nfs.server=nfs.example.com,crypto.nfs.path=/share";
    let manifest = org1.run("template", values).success().stdout;
    let mut objects = serde_yaml::Deserializer::from_str(&manifest).map(|object| Value::deserialize(object).expect("an object"));
    let rendered = objects.find(|object| object["kind"] == "PersistentVolume").expect("a volume");
    let name = text(&rendered["metadata"]["name"]);
    let volume = || cluster.get("persistentvolume", &name, None).expect("the volume");

    // An install that goes no further than the volume, where claims of another organization wait for it already.
    cluster.apply(&org2, &claim("any", ""));
    cluster.apply(&org2, &claim("this", &name));
    cluster.apply("default", &rendered.to_string());
    for claim in ["any", "this"] {
        let refusals = || -> u64 {
            let events = cluster.list("event", &org2);
            let refused = |event: &&Value| event["involvedObject"]["name"] == claim && event["reason"] == "FailedBinding";
            events.iter().filter(refused).filter_map(|event| event["count"].as_u64()).sum()
        };
        // The first may be older than the volume; after the next, the controller has tried both.
        let before = refusals();
        until("the claim to be refused", || (refusals() > before + 1).then_some(()));
        assert_eq!(cluster.get("persistentvolumeclaim", claim, Some(&org2)).expect("a claim")["status"]["phase"], "Pending");
    }
    assert_eq!(volume()["spec"]["claimRef"]["namespace"], org1.name);
    cluster.kubectl().args(["delete", "persistentvolume", &name]).run().success();

    org1.run("install", values).success();
    org1.assert_ready(&["ca", "peer0", "peer1"]);
    let own = org1.get("persistentvolumeclaim", "crypto").expect("the claim");
    assert_eq!((&own["status"]["phase"], &own["spec"]["volumeName"]), (&"Bound".into(), &name.as_str().into()));
    assert_eq!((&volume()["status"]["phase"], &volume()["spec"]["claimRef"]["uid"]), (&"Bound".into(), &own["metadata"]["uid"]));
    for claim in ["any", "this"] {
        assert_eq!(cluster.get("persistentvolumeclaim", claim, Some(&org2)).expect("a claim")["status"]["phase"], "Pending");
    }
}

#[test]
fn kubectl_finds_the_plugin_and_its_completion() {
    let Some(cluster) = support::cluster() else { return };
    let bin = cluster.folder().join("bin");
    fs::create_dir(&bin).expect("a folder of this test");
    let plugin = env!("CARGO_BIN_EXE_kubectl-fabric");
    for name in ["kubectl-fabric", "kubectl_complete-fabric"] {
        std::os::unix::fs::symlink(plugin, bin.join(name)).expect("a link in it");
    }
    let kubectl = |arguments: &[&str]| cluster.kubectl().env("PATH", &bin).args(arguments).run().success().stdout;
    assert!(kubectl(&["plugin", "list"]).contains("kubectl-fabric"));
    assert!(kubectl(&["fabric", "version"]).contains(env!("CARGO_PKG_VERSION")));
    let verbs = kubectl(&["__complete", "fabric", ""]);
    assert!(verbs.starts_with("install\t") && !verbs.contains("--"), "flags come with a dash: {verbs}");
    assert!(kubectl(&["__complete", "fabric", "install", "--cr"]).contains("--crypto-config"));
    let charts = kubectl(&["__complete", "fabric", "charts", "show", "peer"]);
    assert!(charts.starts_with("peer-org"), "{charts}");
}
