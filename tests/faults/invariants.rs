//! What must hold after an operation, read from the API server: never from what the plugin says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::Cluster;

/// Stands in the values as a secret; nothing but a Secret may hold it, in any form.
pub const CANARY: &str = "canary-5up3r-s3cr3t-v4lu3";

/// What a release is to be after an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Deployed(Objects),
    Uninstalled,
}

/// The objects of the chart as an operation wants them.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    pub level: String,
    pub image: String,
    pub old: bool,
    pub new: bool,
    pub nodes: usize,
    pub bulk: bool,
}

/// A revision as its record's metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub number: u64,
    pub status: String,
    pub description: String,
}

/// Everything in a namespace that a release could have to do with.
pub struct Seen {
    objects: Vec<Value>,
}

const LISTS: [&str; 9] = [
    "/api/v1/namespaces/NS/configmaps",
    "/api/v1/namespaces/NS/secrets",
    "/api/v1/namespaces/NS/services",
    "/api/v1/namespaces/NS/pods",
    "/api/v1/namespaces/NS/persistentvolumeclaims",
    "/api/v1/namespaces/NS/events",
    "/apis/apps/v1/namespaces/NS/statefulsets",
    "/apis/batch/v1/namespaces/NS/jobs",
    "/apis/coordination.k8s.io/v1/namespaces/NS/leases",
];

/// The tests' own way to the API server.
pub struct Eyes {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
}

impl Eyes {
    pub fn new(cluster: &Cluster) -> Eyes {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(async {
            let kubeconfig =
                kube::config::Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
                .await
                .expect("a context");
            kube::Client::try_from(config).expect("a client")
        });
        Eyes { runtime, client }
    }

    pub fn get(&self, path: &str) -> Value {
        let request = || http::Request::get(path).body(Vec::new()).expect("a path");
        crate::support::until(path, || {
            self.runtime.block_on(self.client.request(request())).ok()
        })
    }

    pub fn look(&self, namespace: &str) -> Seen {
        let mut objects = Vec::new();
        for list in LISTS {
            let mut list = self.get(&list.replace("NS", namespace));
            let kind = list["kind"]
                .as_str()
                .unwrap_or_default()
                .trim_end_matches("List")
                .to_owned();
            let api_version = list["apiVersion"].clone();
            for mut item in list["items"]
                .take()
                .as_array_mut()
                .into_iter()
                .flatten()
                .map(Value::take)
            {
                item["kind"] = kind.clone().into();
                item["apiVersion"] = api_version.clone();
                objects.push(item);
            }
        }
        Seen { objects }
    }
}

/// Group, kind, name.
type Key = (String, String, String);

impl Seen {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |body| body["kind"] == kind)
    }

    fn named(&self, kind: &str, wanted: &str) -> Option<&Value> {
        self.of(kind).find(|body| name(body) == wanted)
    }

    pub fn config_map(&self, name: &str) -> Option<&Value> {
        self.named("ConfigMap", name)
    }

    fn records(&self) -> Vec<&Value> {
        let mut records: Vec<&Value> = self
            .of("ConfigMap")
            .filter(|body| label(body, "record") == "release")
            .collect();
        records.sort_by_key(|body| label(body, "revision").parse::<u64>().unwrap_or(0));
        records
    }

    /// The history, oldest first.
    pub fn history(&self) -> Vec<Revision> {
        let revision = |body: &&Value| Revision {
            number: label(body, "revision").parse().unwrap_or(0),
            status: label(body, "status").to_owned(),
            description: annotation(body, "description").to_owned(),
        };
        self.records().iter().map(revision).collect()
    }

    pub fn deployed(&self) -> Option<u64> {
        self.history()
            .into_iter()
            .find(|revision| revision.status == "deployed")
            .map(|revision| revision.number)
    }

    /// Every object but the Secrets, as text; records unpacked.
    pub fn unpacked(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for body in self.objects.iter().filter(|body| body["kind"] != "Secret") {
            all.extend(body.to_string().into_bytes());
        }
        for record in self.records() {
            let (payload, state) = self.unpack(record).expect("a whole record");
            all.extend(format!("{payload}{state}").into_bytes());
        }
        all
    }

    /// The level that the objects have.
    pub fn level(&self) -> Option<&str> {
        self.named("ConfigMap", "settings")?["data"]["level"].as_str()
    }

    /// The level that the deployed revision has recorded.
    pub fn recorded_level(&self) -> Option<String> {
        let record = self
            .records()
            .into_iter()
            .find(|record| label(record, "status") == "deployed")?;
        Some(text(&self.unpack(record).ok()?.0["computedValues"]["level"]).to_owned())
    }

    pub fn leases(&self) -> usize {
        self.of("Lease").count()
    }

    /// Name and UID of each claim.
    pub fn claims(&self) -> BTreeMap<String, String> {
        self.of("PersistentVolumeClaim")
            .map(|body| {
                (
                    name(body).to_owned(),
                    text(&body["metadata"]["uid"]).to_owned(),
                )
            })
            .collect()
    }

    /// Everything that is not as it must be, in words; none is what a test wants.
    pub fn wrong(&self, expected: &Expected) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.leases() > 0 {
            wrong.push("a lock is left".to_owned());
        }
        wrong.extend(
            self.leaks()
                .into_iter()
                .map(|place| format!("the canary is in {place}")),
        );
        wrong.extend(self.records_wrong());
        match expected {
            Expected::Deployed(objects) => {
                wrong.extend(self.inventory_wrong());
                wrong.extend(self.objects_wrong(objects));
            }
            Expected::Uninstalled => wrong.extend(
                self.owned()
                    .into_iter()
                    .map(|key| format!("{key:?} is left")),
            ),
        }
        wrong
    }

    /// Objects that bear our label, records and locks among them.
    fn owned(&self) -> BTreeSet<Key> {
        let ours = |body: &&Value| {
            body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kubectl-fabric"
        };
        self.objects.iter().filter(ours).map(key).collect()
    }

    fn records_wrong(&self) -> Vec<String> {
        let history = self.history();
        let mut wrong = Vec::new();
        for revision in &history {
            if revision.status.starts_with("pending") || revision.status == "uninstalling" {
                wrong.push(format!(
                    "revision {} is {}",
                    revision.number, revision.status
                ));
            }
        }
        let deployed = history
            .iter()
            .filter(|revision| revision.status == "deployed")
            .count();
        if deployed != usize::from(!history.is_empty()) {
            wrong.push(format!("{deployed} revisions are deployed: {history:?}"));
        }
        // The last deployed revision is kept, however old it is.
        let gap = |pair: &[Revision]| {
            pair[0].number + 1 != pair[1].number && pair[0].status != "deployed"
        };
        if history.windows(2).any(gap) {
            wrong.push(format!("the revisions have gaps: {history:?}"));
        }
        for record in self.records() {
            if let Err(why) = self.unpack(record) {
                wrong.push(format!("record {}: {why}", name(record)));
            }
        }
        // Parts and companions without a record, or more than it counts.
        for body in self
            .objects
            .iter()
            .filter(|body| matches!(label(body, "record"), "part" | "secrets"))
        {
            let record = self
                .records()
                .into_iter()
                .find(|record| label(record, "revision") == label(body, "revision"));
            let counted = record.is_some_and(|record| match body["kind"].as_str() {
                Some("ConfigMap") => (2..=parts(record))
                    .any(|part| name(body) == format!("{}.part{part}", name(record))),
                _ => name(body) == name(record),
            });
            if !counted {
                wrong.push(format!(
                    "{} {} belongs to no record",
                    body["kind"],
                    name(body)
                ));
            }
        }
        wrong
    }

    /// Payload and state of a record.
    fn unpack(&self, record: &Value) -> Result<(Value, Value), String> {
        let mut payload = bytes(record, "release")?;
        for part in 2..=parts(record) {
            let part = format!("{}.part{part}", name(record));
            payload.extend(bytes(
                self.named("ConfigMap", &part)
                    .ok_or(format!("{part} is missing"))?,
                "release",
            )?);
        }
        let digest: String = Sha256::digest(&payload)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if digest != annotation(record, "digest") {
            return Err("its digest is that of something else".to_owned());
        }
        let companion = self
            .named("Secret", name(record))
            .ok_or("its companion is missing")?;
        gunzip(&bytes(companion, "release")?)?;
        Ok((gunzip(&payload)?, gunzip(&bytes(record, "state")?)?))
    }

    /// The inventory of the deployed revision against what bears our label.
    fn inventory_wrong(&self) -> Vec<String> {
        let Some(record) = self
            .records()
            .into_iter()
            .find(|record| label(record, "status") == "deployed")
        else {
            return vec!["nothing is deployed".to_owned()];
        };
        let Ok((payload, state)) = self.unpack(record) else {
            return Vec::new();
        };
        let item = |item: &Value| {
            (
                text(&item["group"]).to_owned(),
                text(&item["kind"]).to_owned(),
                text(&item["name"]).to_owned(),
            )
        };
        let inventory: BTreeSet<Key> = state["inventory"]
            .as_array()
            .into_iter()
            .flatten()
            .map(item)
            .collect();
        let hooks: BTreeSet<Key> = payload["hooks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|hook| key(&hook["body"]))
            .collect();
        let live: BTreeSet<Key> = self
            .objects
            .iter()
            .filter(|body| {
                body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kubectl-fabric"
            })
            .filter(|body| label(body, "record").is_empty() && body["kind"] != "Lease")
            .map(key)
            .collect();
        let orphans = live
            .difference(&inventory)
            .map(|key| format!("{key:?} is an orphan"));
        let missing = inventory
            .difference(&live)
            .filter(|key| !hooks.contains(key))
            .map(|key| format!("{key:?} is missing"));
        orphans.chain(missing).collect()
    }

    /// The objects of the chart against what the operation wants.
    fn objects_wrong(&self, wanted: &Objects) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut is = |what: &str, found: &Value, wanted: &str| {
            if found != wanted {
                wrong.push(format!("{what} is {found} instead of \"{wanted}\""));
            }
        };
        let field = |kind: &str, name: &str, pointer: &str| {
            self.named(kind, name)
                .and_then(|body| body.pointer(pointer))
                .cloned()
                .unwrap_or_default()
        };
        is(
            "the level",
            &field("ConfigMap", "settings", "/data/level"),
            &wanted.level,
        );
        is(
            "the password",
            &field("Secret", "password", "/data/password"),
            &BASE64_STANDARD.encode(CANARY),
        );
        for index in 0..wanted.nodes {
            let image = field(
                "StatefulSet",
                &format!("node{index}"),
                "/spec/template/spec/containers/0/image",
            );
            is(&format!("the image of node{index}"), &image, &wanted.image);
        }
        for (name, there) in [
            ("old", wanted.old),
            ("new", wanted.new),
            ("bulk", wanted.bulk),
        ] {
            if self.named("ConfigMap", name).is_some() != there {
                wrong.push(format!("ConfigMap {name} is there: {}", !there));
            }
        }
        // A hook that ended well goes away by its policy; each ran in one pod at most.
        if let Some(job) = self.named("Job", "after") {
            wrong.push(format!("the hook {} is left", name(job)));
        }
        let hooks = self
            .of("Pod")
            .filter(|pod| {
                pod["metadata"]["deletionTimestamp"].is_null() && name(pod).starts_with("after-")
            })
            .count();
        if hooks > 1 {
            wrong.push(format!("{hooks} pods of one hook"));
        }
        wrong
    }

    /// Where the canary is although it must not be: in any object but a Secret, packed or not.
    fn leaks(&self) -> Vec<String> {
        let encoded = BASE64_STANDARD.encode(CANARY);
        let encoded = encoded.trim_end_matches('=');
        let leaks = |body: &&Value| {
            let mut all = body.to_string();
            for packed in body["binaryData"]
                .as_object()
                .into_iter()
                .flat_map(|data| data.values())
            {
                let bytes = BASE64_STANDARD.decode(text(packed)).unwrap_or_default();
                let mut unpacked = Vec::new();
                // A part of a record is cut anywhere: what unpacks of it is looked at, the whole is
                // looked at below.
                let _ = flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked);
                all.push_str(&String::from_utf8_lossy(&unpacked));
            }
            all.contains(CANARY) || all.contains(encoded)
        };
        let place = |body: &Value| format!("{} {}", body["kind"], name(body));
        let mut places: Vec<String> = self
            .objects
            .iter()
            .filter(|body| body["kind"] != "Secret")
            .filter(leaks)
            .map(place)
            .collect();
        for record in self.records() {
            if self
                .unpack(record)
                .is_ok_and(|(payload, state)| format!("{payload}{state}").contains(CANARY))
            {
                places.push(name(record).to_owned());
            }
        }
        places
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(body: &Value) -> &str {
    text(&body["metadata"]["name"])
}

fn label<'a>(body: &'a Value, name: &str) -> &'a str {
    text(&body["metadata"]["labels"][format!("kubectl-fabric.io/{name}")])
}

fn annotation<'a>(body: &'a Value, name: &str) -> &'a str {
    text(&body["metadata"]["annotations"][format!("kubectl-fabric.io/{name}")])
}

fn key(body: &Value) -> Key {
    let group = text(&body["apiVersion"])
        .rsplit_once('/')
        .map_or("", |(group, _)| group);
    (
        group.to_owned(),
        text(&body["kind"]).to_owned(),
        name(body).to_owned(),
    )
}

fn parts(record: &Value) -> usize {
    annotation(record, "parts").parse().unwrap_or(1)
}

fn bytes(body: &Value, field: &str) -> Result<Vec<u8>, String> {
    let holder = if body["kind"] == "Secret" {
        "data"
    } else {
        "binaryData"
    };
    BASE64_STANDARD
        .decode(text(&body[holder][field]))
        .map_err(|error| format!("{field}: {error}"))
}

fn gunzip(bytes: &[u8]) -> Result<Value, String> {
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut unpacked)
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&unpacked).map_err(|error| error.to_string())
}
