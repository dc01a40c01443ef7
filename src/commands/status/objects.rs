//! The current objects of a release in the cluster, with the pods and volumes of its nodes: one
//! LIST per kind and namespace, all in parallel.

use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Cluster, Kind};
use crate::manifest::{ObjectKey, WORKLOADS, readiness};
use crate::release::InventoryItem;
use futures::future::join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Objects of a kind in a namespace.
type ByName = BTreeMap<String, Value>;

/// The objects that were read. An object that could not be read is not missing.
#[derive(Default)]
pub struct Objects {
    lists: BTreeMap<(Kind, Option<String>), ApiResult<ByName>>,
}

/// An object of the release.
pub enum Found<'a> {
    There(&'a Value),
    Missing,
    /// The reason why it could not be read.
    Unread(&'a str),
}

pub fn kind(api_version: &str, kind: &str) -> Kind {
    Kind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    }
}

/// Whether an object is a workload that runs nodes of a release.
pub fn is_node(key: &ObjectKey) -> bool {
    match key.group.as_str() {
        "apps" => WORKLOADS.contains(&key.kind.as_str()),
        "" => key.kind == "Pod",
        _ => false,
    }
}

/// Reads every object of an inventory, and the pods and claims in the namespaces of its nodes.
pub async fn read(cluster: &Cluster, inventory: &[InventoryItem]) -> Objects {
    let of = |item: &InventoryItem| kind(&item.api_version, &item.key.kind);
    let mut wanted: BTreeSet<(Kind, Option<String>)> = inventory
        .iter()
        .map(|item| (of(item), item.key.namespace.clone()))
        .collect();
    for item in inventory.iter().filter(|item| is_node(&item.key)) {
        for beside in ["Pod", "PersistentVolumeClaim"] {
            wanted.insert((kind("v1", beside), item.key.namespace.clone()));
        }
    }
    let lists = wanted.into_iter().map(|(kind, namespace)| async move {
        let found = match &namespace {
            Some(namespace) => list(cluster, &kind, namespace).await,
            None => cluster_wide(cluster, &kind, inventory).await,
        };
        let found = match found {
            Ok(objects) => Ok(by_name(objects)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        ((kind, namespace), found)
    });
    Objects {
        lists: join_all(lists).await.into_iter().collect(),
    }
}

/// For objects that are ready as soon as they exist, only the metadata.
async fn list(cluster: &Cluster, kind: &Kind, namespace: &str) -> ApiResult<Vec<Value>> {
    let group = kind
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    match readiness::is_awaited(group, &kind.kind) {
        true => cluster.list(kind, Some(namespace), "").await,
        false => cluster.list_metadata(kind, Some(namespace), "").await,
    }
}

/// Cluster-scoped objects are read one by one: a list would contain all of the cluster.
async fn cluster_wide(
    cluster: &Cluster,
    kind: &Kind,
    inventory: &[InventoryItem],
) -> ApiResult<Vec<Value>> {
    let wanted = inventory.iter().filter(|item| item.key.namespace.is_none());
    let wanted =
        wanted.filter(|item| item.key.kind == kind.kind && item.api_version == kind.api_version);
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

impl Objects {
    pub fn find(&self, item: &InventoryItem) -> Found<'_> {
        match self.lists.get(&(
            kind(&item.api_version, &item.key.kind),
            item.key.namespace.clone(),
        )) {
            Some(Ok(objects)) => objects
                .get(&item.key.name)
                .map_or(Found::Missing, Found::There),
            Some(Err(error)) => Found::Unread(&error.message),
            None => Found::Missing,
        }
    }

    /// An object of the core group among those that were read.
    pub fn get(&self, core_kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.lists
            .get(&(kind("v1", core_kind), Some(namespace.to_owned())))?
            .as_ref()
            .ok()?
            .get(name)
    }

    /// All objects of a kind of the core group in a namespace; the error of the read if there was
    /// one.
    pub fn all(
        &self,
        core_kind: &str,
        namespace: &str,
    ) -> Result<impl Iterator<Item = &Value>, &ApiError> {
        match self
            .lists
            .get(&(kind("v1", core_kind), Some(namespace.to_owned())))
        {
            Some(Ok(objects)) => Ok(objects.values()),
            Some(Err(error)) => Err(error),
            None => Ok(EMPTY.values()),
        }
    }
}

static EMPTY: BTreeMap<String, Value> = BTreeMap::new();
