//! One chart twice: in our templates and in Go's, giving the same objects from the same values.

use crate::measure;
use crate::programs::Programs;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Service, ConfigMap, Secret, PodDisruptionBudget and StatefulSet of each peer.
pub const OBJECTS_PER_PEER: usize = 5;
/// The release's name, wherever there is only one.
pub const RELEASE: &str = "bench";
/// Changes the StatefulSet of each peer, and nothing else.
pub const CHANGE: &str = "version=2.5.16";

/// A configuration file of usual size, so that a ConfigMap has something to carry.
const CONFIG: &str = "\
peer:
  listenAddress: 0.0.0.0:7051
  gossip: {useLeaderElection: false, orgLeader: true, state: {enabled: false}}
  keepalive: {interval: 7200s, timeout: 20s, minInterval: 60s, client: {interval: 60s, timeout: 20s}}
  tls: {enabled: true, clientAuthRequired: false}
ledger:
  state: {stateDatabase: goleveldb, totalQueryLimit: 100000}
  history: {enableHistoryDatabase: true}
operations: {listenAddress: 0.0.0.0:9443, tls: {enabled: false}}
metrics: {provider: prometheus}
";

/// Where the charts of each size lie.
pub struct Charts {
    folder: PathBuf,
}

impl Charts {
    pub fn new(folder: PathBuf) -> Charts {
        Charts { folder }
    }

    /// A file beside the charts, by its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        fs::create_dir_all(&self.folder).expect("a folder");
        fs::write(&path, content).expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// The chart in our templates, with this many peers.
    pub fn fabric(&self, peers: usize) -> PathBuf {
        let folder = self.folder.join(format!("fabric-{peers}"));
        self.write(
            &folder,
            peers,
            &[("peers.yaml", include_str!("templates/fabric.yaml"))],
        );
        folder
    }

    /// The chart in Go's templates, with this many peers.
    pub fn helm(&self, peers: usize) -> PathBuf {
        let folder = self.folder.join(format!("helm-{peers}"));
        let templates = [
            ("peers.yaml", include_str!("templates/helm.yaml")),
            ("_helpers.tpl", include_str!("templates/_helm.tpl")),
        ];
        self.write(&folder, peers, &templates);
        folder
    }

    fn write(&self, folder: &Path, peers: usize, templates: &[(&str, &str)]) {
        let file = |path: &str, text: &str| {
            fs::write(folder.join(path), text).expect("a file of the chart")
        };
        fs::create_dir_all(folder.join("templates")).expect("a folder for the chart");
        file(
            "Chart.yaml",
            "apiVersion: v2\nname: peers\nversion: 0.1.0\nappVersion: \"2.5\"\n",
        );
        file(
            "values.yaml",
            &serde_yaml::to_string(&values(peers)).expect("plain data"),
        );
        for (name, text) in templates {
            file(&format!("templates/{name}"), text);
        }
    }

    /// The objects of a release in a namespace, as Helm renders them: what kubectl and the floor
    /// apply.
    ///
    /// # Panics
    ///
    /// When our templates give others.
    pub fn objects(
        &self,
        programs: &Programs,
        peers: usize,
        namespace: &str,
        set: &[&str],
    ) -> Vec<Value> {
        let scratch = self.folder.join("rendered");
        let render = |program: &Path, words: &[&OsString], more: &[&str]| {
            let mut command: Vec<OsString> =
                vec![program.into(), "template".into(), RELEASE.into()];
            command.extend(words.iter().map(|word| (*word).clone()));
            command.extend(["-n", namespace].iter().chain(more).map(OsString::from));
            command.extend(
                set.iter()
                    .flat_map(|set| ["--set", set])
                    .map(OsString::from),
            );
            assert_eq!(
                measure::run(&command, &[], &scratch).code,
                Some(0),
                "the chart renders"
            );
            documents(&fs::read_to_string(scratch.join("stdout")).expect("what was rendered"))
        };
        let (flag, ours, helms) = (
            OsString::from("--chart"),
            self.fabric(peers).into(),
            self.helm(peers).into(),
        );
        let helm = render(&programs.helm, &[&helms], &[]);
        let mut fabric = render(&programs.fabric, &[&flag, &ours], &["--show-secrets"]);
        fabric.iter_mut().for_each(forget_config_hash);
        assert_eq!(helm.len(), peers * OBJECTS_PER_PEER);
        assert!(
            by_name(&helm) == by_name(&fabric),
            "both charts give the same objects"
        );
        let placed = helm.into_iter().map(|mut object| {
            object["metadata"]["namespace"] = json!(namespace);
            object
        });
        placed.collect()
    }
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"));
    documents.filter(|document| !document.is_null()).collect()
}

/// The plugin marks pods with a digest of what they mount, unasked; in a chart of Helm's the author
/// would have to write that.
fn forget_config_hash(object: &mut Value) {
    if let Some(metadata) = object
        .pointer_mut("/spec/template/metadata")
        .and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
}

fn by_name(objects: &[Value]) -> BTreeMap<(&str, &str), &Value> {
    fn text(value: &Value) -> &str {
        value.as_str().unwrap_or_default()
    }
    objects
        .iter()
        .map(|object| {
            (
                (text(&object["kind"]), text(&object["metadata"]["name"])),
                object,
            )
        })
        .collect()
}

fn values(peers: usize) -> Value {
    let peer = |number: usize| {
        // Not random, so that every run has the same objects; not compressible, as keys are not.
        let password = BASE64_STANDARD.encode(Sha256::digest(format!("peer{number}")));
        json!({"name": format!("peer{number}"), "port": 7051, "storage": "10Gi", "password": password})
    };
    json!({
        "image": "hyperledger/fabric-peer",
        "version": "2.5.15",
        "mspId": "Org1MSP",
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "config": CONFIG,
        "peers": (0..peers).map(peer).collect::<Vec<_>>(),
    })
}
