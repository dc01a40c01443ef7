//! A live object's body → what a wait keeps of it, judged once. Thousands of objects are waited for
//! together: their bodies would take ten times the memory, and would be judged again at every look.

use super::ObjectKey;
use super::events::refusal;
use super::readiness::{
    Readiness, conditions, is_pod_ready, number, readiness_of, runs_pods, text, wanted_pods,
};
use super::trouble::{Restarts, Trouble, pod_troubles, restarts};
use serde_json::Value;

/// What is known of a live object.
#[derive(Clone, Debug)]
pub struct Live {
    pub uid: Box<str>,
    /// `resourceVersion`
    pub version: Box<str>,
    /// By the server's clock: RFC 3339, in UTC.
    pub created: Box<str>,
    generation: i64,
    /// Whether it is being deleted.
    pub is_leaving: bool,
    /// As far as the object itself tells it.
    pub readiness: Readiness,
    pub role: Role,
}

/// What is known of objects of some kinds only.
#[derive(Clone, Debug)]
pub enum Role {
    Pod(Box<Pod>),
    Workload(Box<Workload>),
    Other,
}

/// What is known of a pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Whether its Ready condition holds.
    pub is_ready: bool,
    pub has_succeeded: bool,
    /// What owns it. A ReplicaSet stands for its Deployment as well, whose name it continues.
    pub owners: Vec<ObjectKey>,
    /// The labels of a pod that nothing owns.
    pub labels: Vec<(String, String)>,
    /// The hash of the template that it was made from.
    pub template: Box<str>,
    /// Why it is not ready.
    pub troubles: Vec<Trouble>,
    pub restarts: Restarts,
}

/// What is known of an object that runs pods.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many of its pods are to serve.
    pub wanted: i64,
    pub newest: Newest,
    /// A StatefulSet that waits for each of its pods before it goes on to the next one, and
    /// replaces them when its template changes.
    pub goes_in_order: bool,
    /// Why a Deployment or ReplicaSet cannot make its pods: these say it themselves, others in
    /// events only.
    pub refusal: Option<Box<Trouble>>,
}

/// Which pods are of a workload's newest template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Its controller has not seen the newest template yet.
    Unknown,
    /// Jobs and others have one template for ever.
    All,
    /// Those of this template.
    Template(Box<str>),
    /// Those of the template of the pod that was created last: a Deployment does not say which
    /// ReplicaSet is its newest.
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

    /// Whether a pod is Ready and stays: one that is being deleted says that it is Ready until its
    /// containers end.
    pub fn serves(&self) -> bool {
        !self.is_leaving && self.pod().is_some_and(|pod| pod.is_ready)
    }

    /// Whether a state of an object is from before another one, be it of the object that had its
    /// name before: by resourceVersion, which API servers count upwards for all objects of a kind
    /// (KEP-5504 makes that a promise), else by what else counts. Times do not tell: they are whole
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
        // Jobs do not say what they have seen.
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
