//! A note on a volume claim about what wrote the volume. Added when no later record will describe
//! it: the node leaves, or the release is uninstalled.

use super::facts::Facts;
use super::image::{Component, Reference};
use super::node::{Node, Program};
use crate::manifest::annotation;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Annotation of a claim. All users with write access to claims can change it, so it only affects
/// whether a guard applies.
pub const WRITTEN_BY: &str = "kubectl-fabric.io/written-by";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Written {
    /// Several, if it is unknown which of them ran last.
    nodes: Vec<Ran>,
    pub facts: Facts,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ran {
    /// By the component's label.
    images: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_database: Option<String>,
}

impl Written {
    /// `nodes` are the versions of one node in several records.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>, facts: &Facts) -> Written {
        let mut written = Written {
            nodes: Vec::new(),
            facts: facts.clone(),
        };
        for node in nodes {
            let programs = node
                .programs
                .values()
                .filter(|program| program.keeps_data());
            let images = programs
                .map(|program| (program.component.label().to_owned(), program.image.clone()))
                .collect();
            let ran = Ran {
                images,
                state_database: node.state_database.clone(),
            };
            if !written.nodes.contains(&ran) {
                written.nodes.push(ran);
            }
        }
        written
    }

    /// Reads the note of a claim. Returns `None` if there is no readable one.
    pub fn read(claim: &Value) -> Option<Written> {
        serde_json::from_str(annotation(claim, WRITTEN_BY)?)
            .ok()
            .filter(|written: &Written| !written.nodes.is_empty())
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("plain data has a JSON form")
    }

    /// Returns the node as it ran.
    pub fn nodes(&self, place: &str, name: &str) -> Vec<Node> {
        let claimed = self.facts.version();
        let program = |(label, image): (&String, &String)| {
            let component = Component::of_label(label)?;
            let from_image = Reference::parse(image).version();
            let claimed = claimed
                .clone()
                .filter(|_| component.has_fabric_s_version() && from_image.is_none());
            let (is_claimed, version) = (claimed.is_some(), from_image.or(claimed));
            let program = Program {
                component,
                image: image.clone(),
                version,
                claimed: is_claimed,
                variables: Default::default(),
            };
            Some((component, Box::new(program)))
        };
        let node = |ran: &Ran| Node {
            place: place.to_owned(),
            name: name.to_owned(),
            programs: ran.images.iter().filter_map(program).collect(),
            state_database: ran.state_database.clone(),
            ..Node::default()
        };
        self.nodes.iter().map(node).collect()
    }
}
