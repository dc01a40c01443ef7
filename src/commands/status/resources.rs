//! The objects of a release besides its nodes: one line for each object that is not ready, and one
//! for all others.

use super::objects::{Found, Objects, is_node};
use crate::manifest::ObjectKey;
use crate::manifest::readiness::{Readiness, readiness};
use crate::release::InventoryItem;
use crate::terminal::{GREEN, RED, Table, Text, YELLOW, table::Cell};
use anstyle::Style;
use serde_json::{Value, json};

/// The state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectState {
    Ready,
    Waiting(String),
    Failed(String),
    Missing,
    /// It could not be read, which is not the same as missing.
    Unknown(String),
}

impl ObjectState {
    pub fn of(readiness: Readiness) -> ObjectState {
        match readiness {
            Readiness::Ready => ObjectState::Ready,
            Readiness::Waiting(reason) => ObjectState::Waiting(reason),
            Readiness::Failed(reason) => ObjectState::Failed(reason),
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            ObjectState::Ready => "yes",
            ObjectState::Waiting(_) => "no",
            ObjectState::Failed(_) => "failed",
            ObjectState::Missing => "missing",
            ObjectState::Unknown(_) => "unknown",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            ObjectState::Waiting(reason)
            | ObjectState::Failed(reason)
            | ObjectState::Unknown(reason) => reason,
            ObjectState::Ready | ObjectState::Missing => "",
        }
    }

    pub fn style(&self) -> Style {
        match self {
            ObjectState::Ready => GREEN,
            ObjectState::Waiting(_) | ObjectState::Unknown(_) => YELLOW,
            ObjectState::Failed(_) | ObjectState::Missing => RED,
        }
    }
}

/// One object of the release.
#[derive(Debug)]
pub struct Resource {
    pub key: ObjectKey,
    pub api_version: String,
    pub state: ObjectState,
    pub created: Option<String>,
}

/// All objects of an inventory, including nodes, whose state `nodes` determines.
pub fn of(inventory: &[InventoryItem], objects: &Objects) -> Vec<Resource> {
    let resource = |item: &InventoryItem| {
        let (state, body) = match objects.find(item) {
            Found::There(body) => (ObjectState::of(readiness(body)), Some(body)),
            Found::Missing => (ObjectState::Missing, None),
            Found::Unread(why) => (ObjectState::Unknown(why.to_owned()), None),
        };
        let created = body.and_then(|body| body["metadata"]["creationTimestamp"].as_str());
        let (key, api_version) = (item.key.clone(), item.api_version.clone());
        Resource {
            key,
            api_version,
            state,
            created: created.map(str::to_owned),
        }
    };
    inventory.iter().map(resource).collect()
}

pub fn text(resources: &[Resource], namespace: &str) -> Text {
    let others = resources.iter().filter(|resource| !is_node(&resource.key));
    let (ready, rest): (Vec<&Resource>, Vec<&Resource>) =
        others.partition(|resource| resource.state == ObjectState::Ready);
    let mut text = Text::from("RESOURCES: ");
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for resource in &ready {
        match kinds
            .iter_mut()
            .find(|(kind, _)| *kind == resource.key.kind)
        {
            Some((_, count)) => *count += 1,
            None => kinds.push((&resource.key.kind, 1)),
        }
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    text.push(match (kinds.is_empty(), rest.is_empty()) {
        (true, true) => "only the nodes".to_owned(),
        (true, false) => "none is ready".to_owned(),
        (false, true) => format!("{}, all ready", kinds.join(", ")),
        (false, false) => format!("{} ready; and:", kinds.join(", ")),
    });
    text.push("\n");
    let mut table = Table::new(["KIND", "NAME", "READY", "REASON"]);
    for resource in rest {
        table.row([
            (&resource.key.kind).into(),
            name_in(&resource.key, namespace).into(),
            Cell::styled(resource.state.word(), resource.state.style()),
            resource.state.reason().into(),
        ]);
    }
    if !table.is_empty() {
        text.append(&table.text());
    }
    text
}

/// The name of an object, with its namespace only if that differs.
pub fn name_in(key: &ObjectKey, namespace: &str) -> String {
    match key.namespace.as_deref() {
        Some(other) if other != namespace => format!("{other}/{}", key.name),
        _ => key.name.clone(),
    }
}

pub fn document(resources: &[Resource]) -> Value {
    let resource = |resource: &Resource| {
        json!({
            "apiVersion": resource.api_version,
            "kind": resource.key.kind,
            "namespace": resource.key.namespace,
            "name": resource.key.name,
            "ready": resource.state.word(),
            "reason": resource.state.reason(),
            "created": resource.created,
        })
    };
    Value::Array(resources.iter().map(resource).collect())
}
