//! Reads the nodes of a network from manifests and live pods.

use super::image::{Component, Reference};
use crate::manifest::{Object, ObjectKey};
use semver::Version;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A program of a node, with its image.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub component: Component,
    pub image: String,
    /// `None` if neither the image nor the release's values show it.
    pub version: Option<Version>,
    /// Whether the version comes from the values (`fabricVersion`), because the image does not show
    /// it.
    pub claimed: bool,
    /// Names of its environment variables.
    pub variables: BTreeSet<String>,
}

impl Program {
    /// Returns `None` for a container that is not a Fabric program: it has another image and is not
    /// named after the node.
    fn of(container: &Value, labels: &Value, claimed: Option<&Version>) -> Option<Program> {
        let image = container["image"].as_str()?;
        let name = container["name"].as_str().unwrap_or_default();
        let reference = Reference::parse(image);
        let label = |name: &str| labels[name].as_str().unwrap_or_default();
        let by_place = || match name {
            "couchdb" => Some(Component::CouchDb),
            _ if name == label("kubectl-fabric.io/node") => {
                Component::of_label(label("app.kubernetes.io/component"))
            }
            _ => None,
        };
        let component = Component::of_image(reference.name()).or_else(by_place)?;
        let from_image = reference.version();
        let claimed = claimed.filter(|_| component.has_fabric_s_version() && from_image.is_none());
        let variables = container["env"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|variable| variable["name"].as_str());
        Some(Program {
            component,
            image: image.to_owned(),
            claimed: claimed.is_some(),
            version: from_image.or_else(|| claimed.cloned()),
            variables: variables.map(str::to_owned).collect(),
        })
    }

    pub fn line(&self) -> Option<(u64, u64)> {
        self.version.as_ref().map(super::line)
    }

    pub fn words(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.component),
            None => format!("{} {}", self.component, self.image),
        }
    }

    pub fn name(&self) -> &str {
        Reference::parse(&self.image).name()
    }

    pub fn host(&self) -> &str {
        Reference::parse(&self.image).host
    }

    /// Returns true if the image has a name under which Fabric publishes it, in any registry.
    /// Others publish images with the same last name.
    pub fn is_fabric_s_own(&self) -> bool {
        let path = Reference::parse(&self.image).path;
        path == format!("hyperledger/{}", self.name())
            || path.ends_with(&format!("/hyperledger/{}", self.name()))
    }

    /// Returns true if it keeps data that later or earlier versions must be able to read.
    pub fn keeps_data(&self) -> bool {
        self.component != Component::Tools
    }
}

/// Programs that run together under one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// `StatefulSet org1/peer0`
    pub place: String,
    /// `peer0`
    pub name: String,
    /// Boxed, because a map with one entry allocates space for eleven.
    pub programs: BTreeMap<Component, Box<Program>>,
    /// For a peer: `goleveldb` or `CouchDB`.
    pub state_database: Option<String>,
    /// Sizes of its volume claims, by name of the claim template.
    pub volumes: BTreeMap<String, String>,
}

impl Node {
    fn of_object(object: &Object, claimed: Option<&Version>) -> Option<Node> {
        let pod = match object.key.kind.as_str() {
            "Pod" => &object.body,
            "StatefulSet" | "Deployment" | "DaemonSet" => &object.body["spec"]["template"],
            _ => return None,
        };
        let mut node = Node::of_pod(&object.key, pod, claimed, |_| true)?;
        for claim in object.body["spec"]["volumeClaimTemplates"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if let (Some(name), Some(size)) = (
                claim["metadata"]["name"].as_str(),
                claim["spec"]["resources"]["requests"]["storage"].as_str(),
            ) {
                node.volumes.insert(name.to_owned(), size.to_owned());
            }
        }
        Some(node)
    }

    /// Returns a live pod's node, with those of its programs that have ever run.
    pub fn of_live(pod: &Value, claimed: Option<&Version>) -> Option<Node> {
        let statuses = pod["status"]["containerStatuses"].as_array();
        let ran = |name: &str| {
            let status = statuses
                .into_iter()
                .flatten()
                .find(|status| status["name"] == name);
            status.is_some_and(|status| {
                let state = &status["state"];
                !state["running"].is_null()
                    || !state["terminated"].is_null()
                    || !status["lastState"]["terminated"].is_null()
                    || status["restartCount"].as_u64().unwrap_or(0) > 0
            })
        };
        Node::of_pod(&owner(pod)?, pod, claimed, ran)
    }

    /// Returns a live pod's node, with those of its programs that have never run.
    pub fn of_waiting(pod: &Value) -> Option<Node> {
        let ran = Node::of_live(pod, None)?;
        let mut all = Node::of_pod(&owner(pod)?, pod, None, |_| true)?;
        all.programs
            .retain(|component, _| !ran.programs.contains_key(component));
        Some(all)
    }

    fn of_pod(
        key: &ObjectKey,
        pod: &Value,
        claimed: Option<&Version>,
        takes: impl Fn(&str) -> bool,
    ) -> Option<Node> {
        let labels = &pod["metadata"]["labels"];
        let mut node = Node {
            place: key.to_string(),
            name: key.name.clone(),
            ..Node::default()
        };
        for container in pod["spec"]["containers"]
            .as_array()?
            .iter()
            .filter(|it| it["name"].as_str().is_some_and(&takes))
        {
            let Some(program) = Program::of(container, labels, claimed) else {
                continue;
            };
            if program.component == Component::Peer {
                let mut variables = container["env"].as_array().into_iter().flatten();
                let database = variables
                    .find(|variable| variable["name"] == "CORE_LEDGER_STATE_STATEDATABASE");
                node.state_database = database
                    .and_then(|variable| variable["value"].as_str())
                    .map(str::to_owned);
            }
            node.programs.insert(program.component, Box::new(program));
        }
        Some(node)
    }
}

/// Returns the nodes of a manifest. `claimed` is the Fabric version in its values.
pub fn nodes<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    claimed: Option<&Version>,
) -> Vec<Node> {
    let nodes = objects
        .into_iter()
        .filter_map(|object| Node::of_object(object, claimed));
    nodes.filter(|node| !node.programs.is_empty()).collect()
}

/// Returns the workload of a pod: its StatefulSet, or the Deployment of its ReplicaSet.
pub fn owner(pod: &Value) -> Option<ObjectKey> {
    let namespace = pod["metadata"]["namespace"].as_str().map(str::to_owned);
    let key = |group: &str, kind: &str, name: &str| ObjectKey {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.clone(),
        name: name.to_owned(),
    };
    let mut owners = pod["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    match owners.find(|owner| owner["controller"] == true) {
        None => Some(key("", "Pod", pod["metadata"]["name"].as_str()?)),
        Some(owner) if owner["kind"] == "ReplicaSet" => Some(key(
            "apps",
            "Deployment",
            owner["name"].as_str()?.rsplit_once('-')?.0,
        )),
        Some(owner) => Some(key(
            "apps",
            owner["kind"].as_str()?,
            owner["name"].as_str()?,
        )),
    }
}
