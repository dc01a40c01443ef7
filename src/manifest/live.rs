//! Extracts from a live object what a wait needs, and evaluates it once. A wait watches thousands
//! of objects, whose bodies would take ten times the memory.

use super::ObjectKey;
use super::events::refusal;
use super::readiness::{
    Readiness, conditions, is_pod_ready, number, readiness_of, runs_pods, text, wanted_pods,
};
use super::trouble::{Restarts, Trouble, pod_troubles, restarts};
use serde_json::Value;

/// The facts about a live object.
#[derive(Clone, Debug)]
pub struct Live {
    pub uid: Box<str>,
    /// `resourceVersion`
    pub version: Box<str>,
    /// Creation time by the server's clock: RFC 3339, UTC.
    pub created: Box<str>,
    generation: i64,
    /// Whether the object is being deleted.
    pub is_leaving: bool,
    /// Readiness as far as the object itself shows it.
    pub readiness: Readiness,
    pub role: Role,
}

/// Facts about objects of certain kinds.
#[derive(Clone, Debug)]
pub enum Role {
    Pod(Box<Pod>),
    Workload(Box<Workload>),
    Other,
}

/// The facts about a pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Whether the pod's Ready condition is true.
    pub is_ready: bool,
    pub has_succeeded: bool,
    /// The owners of the pod. A ReplicaSet also stands for its Deployment, whose name is a prefix
    /// of its own.
    pub owners: Vec<ObjectKey>,
    /// The labels of a pod without an owner.
    pub labels: Vec<(String, String)>,
    /// Hash of the template from which the pod was created.
    pub template: Box<str>,
    /// Reasons why the pod is not ready.
    pub troubles: Vec<Trouble>,
    pub restarts: Restarts,
}

/// The facts about an object that runs pods.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The desired number of serving pods.
    pub wanted: i64,
    pub newest: Newest,
    /// Whether this is a StatefulSet that waits for each pod before the next, and replaces its pods
    /// when its template changes.
    pub goes_in_order: bool,
    /// Why a Deployment or ReplicaSet cannot create its pods. These kinds report it in their
    /// status, others only in events.
    pub refusal: Option<Box<Trouble>>,
}

/// Which pods have a workload's newest template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// The controller has not seen the newest template yet.
    Unknown,
    /// All pods: the template of Jobs and others never changes.
    All,
    /// The pods of this template.
    Template(Box<str>),
    /// The pods with the template of the most recently created pod. A Deployment does not report
    /// which ReplicaSet is its newest.
    LastCreated,
}

impl Live {
    pub fn of(key: &ObjectKey, body: &Value) -> Live {
        let metadata = |name: &str| body["metadata"][name].as_str().unwrap_or_default().into();
        Live {
            uid: metadata("uid"),
            version: metadata("resourceVersion"),
            created: metadata("creationTimestamp"),
            generation: number(body, "/metadata/generation"),
            is_leaving: !body["metadata"]["deletionTimestamp"].is_null(),
            readiness: readiness_of(&key.group, &key.kind, body),
            role: match key.kind.as_str() {
                "Pod" => Role::Pod(Box::new(Pod::of(key, body))),
                kind if runs_pods(kind) => Role::Workload(Box::new(Workload::of(kind, body))),
                _ => Role::Other,
            },
        }
    }

    pub fn pod(&self) -> Option<&Pod> {
        match &self.role {
            Role::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    pub fn workload(&self) -> Option<&Workload> {
        match &self.role {
            Role::Workload(workload) => Some(workload),
            _ => None,
        }
    }

    /// Returns true if a pod is Ready and not being deleted. A pod being deleted reports Ready
    /// until its containers end.
    pub fn serves(&self) -> bool {
        !self.is_leaving && self.pod().is_some_and(|pod| pod.is_ready)
    }

    /// Returns true if this state precedes another one, also if the other is of a different object
    /// with the same name.
    ///
    /// Compares resourceVersions, which API servers increase for all objects of a kind (guaranteed
    /// since KEP-5504), and otherwise other counters. Times are useless, because they are whole
    /// seconds.
    pub fn is_older_than(&self, other: &Live) -> bool {
        let version = |live: &Live| live.version.parse::<u64>().ok();
        match (version(self), version(other)) {
            (Some(own), Some(others)) => own < others,
            _ if self.uid != other.uid => self.created < other.created,
            _ => self.generation < other.generation,
        }
    }
}

impl Pod {
    fn of(key: &ObjectKey, body: &Value) -> Pod {
        let is_ready = is_pod_ready(body);
        let owners = owners(key, body);
        let label = |name: &str| body["metadata"]["labels"][name].as_str();
        let labels = body["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels
            .filter(|_| owners.is_empty())
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let is_of_a_set = owners.iter().any(|owner| owner.kind == "StatefulSet");
        let template = if is_of_a_set {
            "controller-revision-hash"
        } else {
            "pod-template-hash"
        };
        Pod {
            is_ready,
            has_succeeded: text(body, "/status/phase") == "Succeeded",
            labels: labels.collect(),
            template: label(template).unwrap_or_default().into(),
            troubles: if is_ready {
                Vec::new()
            } else {
                pod_troubles(body)
            },
            restarts: restarts(body),
            owners,
        }
    }
}

impl Workload {
    fn of(kind: &str, body: &Value) -> Workload {
        // Jobs have no observed generation.
        let is_seen = kind == "Job"
            || body.pointer("/status/observedGeneration") == body.pointer("/metadata/generation");
        let newest = match kind {
            _ if !is_seen => Newest::Unknown,
            "StatefulSet" => Newest::Template(text(body, "/status/updateRevision").into()),
            "Deployment" if number(body, "/status/updatedReplicas") > 0 => Newest::LastCreated,
            "Deployment" => Newest::Unknown,
            _ => Newest::All,
        };
        let goes_in_order = kind == "StatefulSet"
            && text(body, "/spec/podManagementPolicy") != "Parallel"
            && text(body, "/spec/updateStrategy/type") == "RollingUpdate";
        let refused = conditions(body)
            .find(|it| is_seen && it["type"] == "ReplicaFailure" && it["status"] == "True");
        let refusal = refused.map(|it| Box::new(refusal(text(it, "/message"))));
        Workload {
            wanted: wanted_pods(kind, body),
            newest,
            goes_in_order,
            refusal,
        }
    }
}

fn owners(pod: &ObjectKey, body: &Value) -> Vec<ObjectKey> {
    let references = body["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    references
        .flat_map(|reference| {
            let api_version = text(reference, "/apiVersion");
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            let owner = |kind: &str, name: &str| ObjectKey {
                group: group.to_owned(),
                kind: kind.to_owned(),
                namespace: pod.namespace.clone(),
                name: name.to_owned(),
            };
            let (kind, name) = (text(reference, "/kind"), text(reference, "/name"));
            let deployment = name.rsplit_once('-').filter(|_| kind == "ReplicaSet");
            deployment
                .map(|(name, _)| owner("Deployment", name))
                .into_iter()
                .chain([owner(kind, name)])
        })
        .collect()
}
