//! A release of the chart `charts/nodes`, which has all that the engine must handle and nothing of
//! Fabric.

use crate::support::{self, Cluster, Invocation, Output};
use serde_json::Value;

/// One test's release: `app`, in a namespace of its own.
pub struct Release {
    pub cluster: Cluster,
    pub namespace: String,
}

impl Release {
    /// `None` where no control plane can be had.
    pub fn new() -> Option<Release> {
        let cluster = support::cluster()?;
        let namespace = cluster.namespace("app");
        Some(Release { cluster, namespace })
    }

    /// `kubectl fabric VERB app -n NAMESPACE ARGS...`
    pub fn command(&self, verb: &[&str], args: &[&str]) -> Invocation {
        self.cluster
            .fabric()
            .args(verb)
            .args(["app"])
            .args(["-n", &self.namespace])
            .args(args)
    }

    pub fn run(&self, verb: &str, args: &[&str]) -> Output {
        self.command(&verb.split(' ').collect::<Vec<_>>(), args)
            .run()
    }

    pub fn install(&self, args: &[&str]) -> Output {
        let chart = chart();
        self.command(&["install"], &["--chart", &chart])
            .args(args)
            .run()
    }

    pub fn upgrade(&self, args: &[&str]) -> Output {
        self.run("upgrade", args)
    }

    /// Revision, status and description of each record, as kubectl sees them.
    pub fn history(&self) -> Vec<(u64, String, String)> {
        let mut records: Vec<_> = self
            .cluster
            .list("configmap", &self.namespace)
            .iter()
            .filter(|record| record["metadata"]["labels"]["kubectl-fabric.io/record"] == "release")
            .map(|record| {
                let label = |name: &str| {
                    record["metadata"]["labels"][format!("kubectl-fabric.io/{name}")]
                        .as_str()
                        .unwrap()
                        .to_owned()
                };
                let description =
                    record["metadata"]["annotations"]["kubectl-fabric.io/description"]
                        .as_str()
                        .unwrap()
                        .to_owned();
                (
                    label("revision").parse().unwrap(),
                    label("status"),
                    description,
                )
            })
            .collect();
        records.sort();
        records
    }

    /// Statuses of the history, oldest first.
    pub fn statuses(&self) -> Vec<String> {
        self.history()
            .into_iter()
            .map(|(_, status, _)| status)
            .collect()
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, name, Some(&self.namespace))
    }

    /// Name and UID of each object of a kind.
    pub fn uids(&self, kind: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let objects = self.cluster.list(kind, &self.namespace);
        objects
            .iter()
            .map(|body| {
                (
                    text(&body["metadata"]["name"]),
                    text(&body["metadata"]["uid"]),
                )
            })
            .collect()
    }

    pub fn image(&self, set: &str) -> String {
        let set = self.get("statefulset", set).expect("the node is there");
        set["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn generation(&self, set: &str) -> i64 {
        self.get("statefulset", set).expect("the node is there")["metadata"]["generation"]
            .as_i64()
            .unwrap()
    }

    /// Everything in the namespace that a release may leave behind, but for what it is to leave.
    pub fn leftovers(&self) -> Vec<String> {
        let kinds = "statefulset,service,configmap,secret,lease,pod,job";
        let objects = self.cluster.list(kinds, &self.namespace);
        let named = objects.iter().map(|body| {
            format!(
                "{}/{}",
                body["kind"].as_str().unwrap(),
                body["metadata"]["name"].as_str().unwrap()
            )
        });
        named
            .filter(|name| {
                !matches!(
                    name.as_str(),
                    "ConfigMap/kube-root-ca.crt" | "ConfigMap/kept"
                )
            })
            .collect()
    }
}

/// The chart's folder.
pub fn chart() -> String {
    support::repository()
        .join("tests/apiserver/charts/nodes")
        .display()
        .to_string()
}
