//! The nodes of a release: each pod with its image, address, volumes, and the reason why it is not
//! ready, by the same rules as the wait of an operation.

mod service;
mod show;

pub use show::{changes, document, text};

use super::certificates::Secrets;
use super::objects::{Found, Objects, is_node};
use super::resources::ObjectState;
use crate::deploy::Snapshot;
use crate::fabric::guard::Facts;
use crate::identity::known::{self, Known, MARK};
use crate::manifest::claims::Template;
use crate::manifest::events::Warning;
use crate::manifest::readiness::wanted_pods;
use crate::manifest::{ObjectKey, references};
use crate::release::{InventoryItem, Record, command};
use jiff::Timestamp;
use serde_json::Value;
use service::{address, external};
use std::collections::{BTreeMap, BTreeSet};

/// A pod, or a placeholder for a missing one.
#[derive(Debug)]
pub struct Row {
    pub key: ObjectKey,
    /// The workload of the pod.
    pub workload: ObjectKey,
    pub state: ObjectState,
    /// The number of its ready containers and of all containers. For a workload whose pods may not
    /// be read, the number of its pods.
    pub ready: (usize, usize),
    pub restarts: i64,
    pub images: Vec<String>,
    pub address: Option<String>,
    /// Its external address, from a load balancer.
    pub external: Option<String>,
    /// Claims with the size of their volumes; `None` for a claim without a volume.
    pub volumes: Vec<(String, Option<String>)>,
    /// The Secrets with its certificates.
    pub secrets: Vec<String>,
    /// When its first certificate expires.
    pub certificate_ends: Option<Timestamp>,
    /// The machine of the pod.
    pub machine: Option<String>,
    /// The reason why an upgrade would restart it.
    pub outdated: Option<String>,
    pub created: Option<Timestamp>,
}

/// A release and the state of the cluster at one moment.
pub struct Sources<'a> {
    pub record: &'a Record,
    pub objects: &'a Objects,
    pub secrets: &'a Secrets,
    pub events: Vec<Warning>,
}

/// The nodes in the order of the inventory, and the state of each workload.
pub struct Nodes {
    pub rows: Vec<Row>,
    pub states: BTreeMap<ObjectKey, ObjectState>,
}

impl Nodes {
    /// The Secrets with certificates of its pods.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.rows
            .iter()
            .flat_map(|row| &row.secrets)
            .map(String::as_str)
            .collect()
    }
}

pub fn of(sources: Sources<'_>) -> Nodes {
    let Sources {
        record,
        objects,
        secrets,
        events,
    } = sources;
    let items = record.inventory.iter();
    let items: Vec<&InventoryItem> = items.filter(|item| is_node(&item.key)).collect();
    let mut snapshot = Snapshot::default();
    let pods = pods(objects, &items);
    for (key, body) in &pods {
        snapshot.note(key, body);
    }
    for item in &items {
        if let Found::There(body) = objects.find(item) {
            snapshot.note(&item.key, body);
        }
    }
    events
        .into_iter()
        .for_each(|warning| snapshot.note_warning(warning));
    let known = Facts::read(&record.guard).identities.unwrap_or_default();
    let summary = &record.summary;
    let reading = Reading {
        objects,
        pods,
        snapshot,
        replicas: replicas(record),
        services: services(record, objects),
        current: known.clone().with_current(&secrets.digests()),
        known,
        secrets,
        revision: summary.revision,
        upgrade: command("upgrade", &summary.release, &summary.namespace),
    };
    let mut nodes = Nodes {
        rows: Vec::new(),
        states: BTreeMap::new(),
    };
    for item in items {
        let (state, rows) = reading.workload(item);
        nodes.states.insert(item.key.clone(), state);
        nodes.rows.extend(rows);
    }
    nodes
}

/// The pods in the namespaces of these workloads.
fn pods<'a>(objects: &'a Objects, items: &[&InventoryItem]) -> BTreeMap<ObjectKey, &'a Value> {
    let namespaces: BTreeSet<&str> = items
        .iter()
        .filter_map(|item| item.key.namespace.as_deref())
        .collect();
    let mut pods = BTreeMap::new();
    for namespace in namespaces {
        for body in objects.all("Pod", namespace).into_iter().flatten() {
            let name = body["metadata"]["name"].as_str().unwrap_or_default();
            pods.insert(ObjectKey::core("Pod", namespace, name), body);
        }
    }
    pods
}

/// The number of pods of each workload in the record; absent if an autoscaler sets it.
fn replicas(record: &Record) -> BTreeMap<ObjectKey, i64> {
    let workloads = record
        .objects
        .iter()
        .filter(|object| object.key.group == "apps" && object.key.kind != "DaemonSet");
    let wanted = workloads.filter_map(|object| {
        Some((
            object.key.clone(),
            object.body()["spec"]["replicas"].as_i64()?,
        ))
    });
    wanted.collect()
}

/// The Services of the release.
fn services<'a>(record: &Record, objects: &'a Objects) -> Vec<&'a Value> {
    let services = record
        .inventory
        .iter()
        .filter(|item| item.key.kind == "Service" && item.key.group.is_empty());
    let there = services.filter_map(|item| match objects.find(item) {
        Found::There(body) => Some(body),
        Found::Missing | Found::Unread(_) => None,
    });
    there.collect()
}

struct Reading<'a> {
    objects: &'a Objects,
    pods: BTreeMap<ObjectKey, &'a Value>,
    snapshot: Snapshot,
    replicas: BTreeMap<ObjectKey, i64>,
    services: Vec<&'a Value>,
    /// Certificates in the record and in the Secrets now.
    known: Known,
    current: Known,
    secrets: &'a Secrets,
    revision: u32,
    upgrade: String,
}

impl Reading<'_> {
    fn workload(&self, item: &InventoryItem) -> (ObjectState, Vec<Row>) {
        let key = &item.key;
        let body = match self.objects.find(item) {
            Found::There(body) => body,
            Found::Missing => return self.unseen(key, ObjectState::Missing),
            Found::Unread(why) => return self.unseen(key, ObjectState::Unknown(why.to_owned())),
        };
        if key.kind == "Pod" {
            let row = self.pod(key, key, body, None);
            return (row.state.clone(), vec![row]);
        }
        let (wanted, scaled) = self.scale(key, body);
        let state = scaled.map_or_else(
            || ObjectState::of(self.snapshot.state(key)),
            ObjectState::Waiting,
        );
        let outdated = self.outdated(key, body);
        let namespace = key.namespace.as_deref().unwrap_or_default();
        if self.objects.all("Pod", namespace).is_err() {
            let status = &body["status"];
            let ready = status["readyReplicas"].as_u64();
            let ready = ready.or(status["numberReady"].as_u64()).unwrap_or(0);
            let row = Row {
                ready: (usize::try_from(ready).unwrap_or(usize::MAX), wanted),
                outdated,
                created: created(body),
                ..self.absent(key, key.clone(), body, state.clone())
            };
            return (state, vec![row]);
        }
        let mut rows = self.pods_of(key, outdated);
        let missing = missing(key, body, wanted, &rows);
        let why = || self.why_missing(key, &state);
        let missing = missing.into_iter();
        rows.extend(missing.map(|name| self.absent(key, name, body, why())));
        rows.sort_by_key(|row| (ordinal(&row.key.name), row.key.name.clone()));
        // An unfinished rollout whose pods are all ready.
        if state != ObjectState::Ready
            && rows.iter().all(|row| row.state == ObjectState::Ready)
            && let Some(first) = rows.first_mut()
        {
            first.state = state.clone();
        }
        (state, rows)
    }

    /// A workload that is missing or unreadable.
    fn unseen(&self, key: &ObjectKey, state: ObjectState) -> (ObjectState, Vec<Row>) {
        let row = self.absent(key, key.clone(), &Value::Null, state.clone());
        (state, vec![row])
    }

    fn pods_of(&self, workload: &ObjectKey, outdated: Option<String>) -> Vec<Row> {
        let mut names = self.snapshot.pods(workload);
        names.sort_by_key(|pod| (ordinal(&pod.name), pod.name.clone()));
        let there = names
            .iter()
            .filter_map(|name| Some((name, *self.pods.get(name)?)));
        there
            .map(|(name, pod)| self.pod(workload, name, pod, outdated.clone()))
            .collect()
    }

    fn why_missing(&self, workload: &ObjectKey, state: &ObjectState) -> ObjectState {
        let own = Some(state.reason().to_owned()).filter(|why| !why.is_empty());
        let why = self.snapshot.why_unmade(workload).or(own);
        ObjectState::Waiting(why.unwrap_or_else(|| "it does not exist yet".to_owned()))
    }

    /// The desired number of pods, and a note if a workload was scaled down by hand.
    fn scale(&self, key: &ObjectKey, body: &Value) -> (usize, Option<String>) {
        let live = wanted_pods(&key.kind, body);
        let recorded = self.replicas.get(key).copied();
        let scaled = match recorded {
            Some(recorded) if live < recorded => Some(format!(
                "it is scaled to {live}; revision {} has {recorded}",
                self.revision
            )),
            None if live == 0 && key.kind != "DaemonSet" => Some("it is scaled to 0".to_owned()),
            _ => None,
        };
        let least = if scaled.is_some() { 1 } else { 0 };
        (
            usize::try_from(live.max(recorded.unwrap_or(least))).unwrap_or(0),
            scaled,
        )
    }

    fn pod(
        &self,
        workload: &ObjectKey,
        key: &ObjectKey,
        body: &Value,
        outdated: Option<String>,
    ) -> Row {
        let statuses = |field: &str| body["status"][field].as_array().into_iter().flatten();
        let containers = || body["spec"]["containers"].as_array().into_iter().flatten();
        let sidecars: BTreeSet<&str> = body["spec"]["initContainers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|container| container["restartPolicy"] == "Always")
            .filter_map(|container| container["name"].as_str())
            .collect();
        let sidecar = |status: &&Value| {
            status["name"]
                .as_str()
                .is_some_and(|name| sidecars.contains(name))
        };
        let lasting = || {
            statuses("containerStatuses").chain(statuses("initContainerStatuses").filter(sidecar))
        };
        let ready = lasting().filter(|status| status["ready"] == true).count();
        let leaving = (!body["metadata"]["deletionTimestamp"].is_null())
            .then(|| "it is being deleted".to_owned());
        let why = self.snapshot.why_unready(key).or(leaving);
        let mark = body["metadata"]["annotations"][MARK]
            .as_str()
            .map(str::to_owned)
            .or_else(|| {
                let reads = references::secrets(&body["spec"]);
                let unmarked = self.known.unmarked.as_ref()?;
                known::mark(&unmarked.secrets, reads.into_iter())
            });
        Row {
            state: why.map_or(ObjectState::Ready, ObjectState::Waiting),
            ready: (ready, containers().count() + sidecars.len()),
            restarts: lasting()
                .filter_map(|status| status["restartCount"].as_i64())
                .sum(),
            images: containers()
                .filter_map(|container| container["image"].as_str())
                .map(str::to_owned)
                .collect(),
            volumes: self.volumes(key, claims_of(body)),
            secrets: mark
                .iter()
                .flat_map(|mark| known::parts(mark))
                .map(|(name, _)| name.to_owned())
                .collect(),
            certificate_ends: mark.and_then(|mark| self.secrets.end_in_use(&self.known, &mark)),
            machine: body["spec"]["nodeName"].as_str().map(str::to_owned),
            outdated,
            created: created(body),
            ..self.place(workload, key.clone(), &body["metadata"]["labels"])
        }
    }

    /// The placeholder for a missing pod; `body` is the workload.
    fn absent(
        &self,
        workload: &ObjectKey,
        key: ObjectKey,
        body: &Value,
        state: ObjectState,
    ) -> Row {
        let template = &body["spec"]["template"];
        let containers = template["spec"]["containers"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let claims = Template::all(body)
            .into_iter()
            .map(|template| format!("{}-{}", template.name, key.name));
        let claims = claims.filter(|_| key.kind == "Pod").collect();
        Row {
            state,
            ready: (0, containers.len()),
            images: containers
                .iter()
                .filter_map(|container| container["image"].as_str())
                .map(str::to_owned)
                .collect(),
            volumes: self.volumes(&key, claims),
            ..self.place(workload, key, &template["metadata"]["labels"])
        }
    }

    fn place(&self, workload: &ObjectKey, key: ObjectKey, labels: &Value) -> Row {
        let service = self.service(workload, labels);
        Row {
            workload: workload.clone(),
            state: ObjectState::Ready,
            ready: (0, 0),
            restarts: 0,
            images: Vec::new(),
            address: service.map(address),
            external: service.and_then(external),
            volumes: Vec::new(),
            secrets: Vec::new(),
            certificate_ends: None,
            machine: None,
            outdated: None,
            created: None,
            key,
        }
    }

    /// The Service for pods with these labels. One with the node's own name comes first.
    fn service(&self, workload: &ObjectKey, labels: &Value) -> Option<&Value> {
        let namespace = workload.namespace.as_deref().unwrap_or_default();
        let leads = |service: &&Value| {
            let selector = service["spec"]["selector"]
                .as_object()
                .filter(|selector| !selector.is_empty());
            selector
                .is_some_and(|selector| selector.iter().all(|(name, value)| labels[name] == *value))
        };
        let own = self
            .objects
            .get("Service", namespace, &workload.name)
            .filter(leads);
        let is_here = |service: &&Value| service["metadata"]["namespace"] == namespace;
        own.or_else(|| self.services.iter().copied().filter(is_here).find(leads))
    }

    fn volumes(&self, pod: &ObjectKey, claims: Vec<String>) -> Vec<(String, Option<String>)> {
        let namespace = pod.namespace.as_deref().unwrap_or_default();
        let size = |name: String| {
            let claim = self
                .objects
                .get("PersistentVolumeClaim", namespace, &name)?;
            let size = claim["status"]["capacity"]["storage"]
                .as_str()
                .map(str::to_owned);
            Some((name, size))
        };
        claims.into_iter().filter_map(size).collect()
    }

    /// The reason why an upgrade would restart the pods of a workload: its Secrets hold newer
    /// certificates than its pods use.
    fn outdated(&self, key: &ObjectKey, body: &Value) -> Option<String> {
        let template = &body["spec"]["template"];
        let mark = template["metadata"]["annotations"][MARK]
            .as_str()
            .map(str::to_owned);
        let secrets = references::secrets(&template["spec"]);
        let reads = secrets.iter().copied();
        let wanted = self
            .current
            .mark(&format!("{}/{}", key.kind, key.name), reads.clone())?;
        if mark.as_ref() == Some(&wanted) {
            return None;
        }
        let unmarked = || {
            self.known
                .unmarked
                .as_ref()
                .and_then(|unmarked| known::mark(&unmarked.secrets, reads))
        };
        let secrets =
            known::changed(&mark.or_else(unmarked).unwrap_or_default(), &wanted).join(", ");
        Some(format!(
            "runs with certificates from before Secret {secrets} changed: `{}` restarts it",
            self.upgrade
        ))
    }
}

/// The names of missing pods. Only the pods of a StatefulSet have predictable names.
fn missing(key: &ObjectKey, body: &Value, wanted: usize, rows: &[Row]) -> Vec<ObjectKey> {
    if key.kind != "StatefulSet" {
        return if rows.len() < wanted {
            vec![key.clone()]
        } else {
            Vec::new()
        };
    }
    let first = body["spec"]["ordinals"]["start"].as_u64().unwrap_or(0);
    let there: BTreeSet<&str> = rows.iter().map(|row| row.key.name.as_str()).collect();
    // Capped, because the number comes from the cluster.
    let names = (first..)
        .take(wanted.min(1000))
        .map(|ordinal| format!("{}-{ordinal}", key.name));
    let absent = names.filter(|name| !there.contains(name.as_str()));
    absent
        .map(|name| ObjectKey::core("Pod", key.namespace.clone().unwrap_or_default(), name))
        .collect()
}

fn ordinal(name: &str) -> u64 {
    name.rsplit_once('-')
        .and_then(|(_, ordinal)| ordinal.parse().ok())
        .unwrap_or(0)
}

fn created(body: &Value) -> Option<Timestamp> {
    body["metadata"]["creationTimestamp"].as_str()?.parse().ok()
}

fn claims_of(pod: &Value) -> Vec<String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        .map(str::to_owned)
        .collect()
}
