//! The objects of a release as they are in the cluster now: one LIST per kind and namespace, all at once.

use crate::cluster::{ApiErrorKind, Cluster, Kind};
use crate::identity::known::{self, Known, MARK};
use crate::manifest::readiness::{Readiness, readiness};
use crate::manifest::{ObjectKey, references};
use crate::release::InventoryItem;
use crate::terminal::{GREEN, RED, Table, Text, YELLOW, table::Cell, time};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One object and how it is.
pub struct Resource {
    key: ObjectKey,
    api_version: String,
    state: State,
    created: Option<Timestamp>,
    /// Of a workload: the certificates that its pods run with.
    certificates: Option<Certificates>,
    /// Why an upgrade would restart its pods.
    outdated: String,
}

struct Certificates {
    mark: Option<String>,
    /// Secrets that the pods read.
    secrets: Vec<String>,
}

enum State {
    Ready,
    Waiting(String),
    Failed(String),
    Missing,
    /// It could not be read, which is not the same as missing.
    Unknown(String),
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            State::Ready => "yes",
            State::Waiting(_) => "no",
            State::Failed(_) => "failed",
            State::Missing => "missing",
            State::Unknown(_) => "unknown",
        }
    }

    fn reason(&self) -> &str {
        match self {
            State::Waiting(reason) | State::Failed(reason) | State::Unknown(reason) => reason,
            State::Ready | State::Missing => "",
        }
    }
}

/// Reads every object of an inventory; a kind that cannot be read does not keep the others from being shown.
pub async fn live(cluster: &Cluster, inventory: &[InventoryItem]) -> Vec<Resource> {
    let groups: BTreeSet<(Kind, Option<&str>)> =
        inventory.iter().map(|item| (kind(item), item.key.namespace.as_deref())).collect();
    let lists = groups.into_iter().map(|(kind, namespace)| async move {
        let found = match namespace {
            Some(_) => cluster.list(&kind, namespace, "").await,
            None => cluster_wide(cluster, &kind, inventory).await,
        };
        let found = match found {
            Ok(objects) => Ok(by_name(objects)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.message),
        };
        ((kind, namespace), found)
    });
    let found: BTreeMap<_, _> = join_all(lists).await.into_iter().collect();
    let resource = |item: &InventoryItem| {
        let group = (kind(item), item.key.namespace.as_deref());
        let (state, body) = match found.get(&group) {
            Some(Ok(objects)) => match objects.get(&item.key.name) {
                Some(body) => (state(body), Some(body)),
                None => (State::Missing, None),
            },
            Some(Err(message)) => (State::Unknown(message.clone()), None),
            None => (State::Missing, None),
        };
        Resource {
            key: item.key.clone(),
            api_version: item.api_version.clone(),
            state,
            created: body.and_then(created),
            certificates: body.and_then(certificates),
            outdated: String::new(),
        }
    };
    inventory.iter().map(resource).collect()
}

fn kind(item: &InventoryItem) -> Kind {
    Kind { api_version: item.api_version.clone(), kind: item.key.kind.clone() }
}

/// Objects of the whole cluster are read one by one: a list of them would be everybody's.
async fn cluster_wide(cluster: &Cluster, kind: &Kind, inventory: &[InventoryItem]) -> crate::cluster::ApiResult<Vec<Value>> {
    let wanted = inventory.iter().filter(|item| item.key.namespace.is_none() && self::kind(item) == *kind);
    let mut objects = Vec::new();
    for item in wanted {
        objects.extend(cluster.get(&item.api_version, &item.key).await?);
    }
    Ok(objects)
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let named = |object: Value| Some((object["metadata"]["name"].as_str()?.to_owned(), object));
    objects.into_iter().filter_map(named).collect()
}

fn state(body: &Value) -> State {
    match readiness(body) {
        Readiness::Ready => State::Ready,
        Readiness::Waiting(reason) => State::Waiting(reason),
        Readiness::Failed(reason) => State::Failed(reason),
    }
}

fn created(body: &Value) -> Option<Timestamp> {
    body["metadata"]["creationTimestamp"].as_str()?.parse().ok()
}

fn certificates(body: &Value) -> Option<Certificates> {
    let template = body.pointer("/spec/template").filter(|_| body["apiVersion"] == "apps/v1")?;
    let mark = template.pointer(&format!("/metadata/annotations/{}", MARK.replace('/', "~1")));
    Some(Certificates {
        mark: mark.and_then(Value::as_str).map(str::to_owned),
        secrets: references::secrets(&template["spec"]).into_iter().map(str::to_owned).collect(),
    })
}

/// Finds workloads whose pods run with other certificates than their Secrets hold now; `upgrade` is the command that restarts them.
pub fn compare_certificates(resources: &mut [Resource], known: &Known, now: &BTreeMap<String, String>, upgrade: &str) {
    let current = known.clone().with_current(now);
    for resource in resources {
        let Some(certificates) = &resource.certificates else { continue };
        let workload = format!("{}/{}", resource.key.kind, resource.key.name);
        let reads = certificates.secrets.iter().map(String::as_str);
        let Some(wanted) = current.mark(&workload, reads.clone()).filter(|wanted| certificates.mark.as_ref() != Some(wanted))
        else {
            continue;
        };
        let before = certificates.mark.clone().or_else(|| known.unmarked.as_ref().and_then(|it| known::mark(&it.secrets, reads)));
        let secrets = known::changed(&before.unwrap_or_default(), &wanted).join(", ");
        resource.outdated = format!("runs with certificates from before Secret {secrets} changed: `{upgrade}` restarts it");
    }
}

impl Resource {
    fn reason(&self) -> String {
        let parts = [self.state.reason(), &self.outdated];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

pub fn text(resources: &[Resource], namespace: &str, now: Timestamp) -> Text {
    if resources.is_empty() {
        return "RESOURCES: none\n".into();
    }
    let mut table = Table::new(["KIND", "NAME", "READY", "REASON", "AGE"]);
    for resource in resources {
        let elsewhere = resource.key.namespace.as_deref().filter(|other| *other != namespace);
        let name = elsewhere.map_or(resource.key.name.clone(), |other| format!("{other}/{}", resource.key.name));
        let style = match resource.state {
            State::Ready if resource.outdated.is_empty() => GREEN,
            State::Ready | State::Waiting(_) | State::Unknown(_) => YELLOW,
            State::Failed(_) | State::Missing => RED,
        };
        table.row([
            (&resource.key.kind).into(),
            name.into(),
            Cell::styled(resource.state.word(), style),
            resource.reason().into(),
            resource.created.map(|created| time::age(created, now)).unwrap_or_default().into(),
        ]);
    }
    let mut text = Text::from("RESOURCES:\n");
    text.append(&table.text());
    text
}

pub fn document(resources: &[Resource]) -> Value {
    let resource = |resource: &Resource| {
        json!({
            "apiVersion": resource.api_version,
            "kind": resource.key.kind,
            "namespace": resource.key.namespace,
            "name": resource.key.name,
            "ready": resource.state.word(),
            "reason": resource.reason(),
            "created": resource.created.map(time::rfc3339),
        })
    };
    Value::Array(resources.iter().map(resource).collect())
}
