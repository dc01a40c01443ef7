//! What is live: one LIST per kind and namespace of everything that is wanted or was ever written.

use super::Context;
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::{Error, Result};
use crate::manifest::{Object, ObjectKey};
use crate::plan::Live;
use crate::release::InventoryItem;
use crate::storage::RECORD_LABEL;
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Group, kind and namespace: what one LIST reads.
type Place = (String, String, Option<String>);

/// Live objects of these identities, and warnings about kinds that the server serves no more.
///
/// Cluster-wide objects are read one by one: a LIST would bring everyone's.
pub async fn observe(context: &Context<'_>, wanted: &[Object], inventory: &[InventoryItem]) -> Result<(Live, Vec<String>)> {
    let mut kinds: BTreeMap<Place, (Kind, BTreeSet<ObjectKey>)> = BTreeMap::new();
    let named = wanted.iter().map(|object| (&object.key, object.api_version()));
    let recorded = inventory.iter().map(|item| (&item.key, item.api_version.as_str()));
    for (key, api_version) in named.chain(recorded) {
        let place = (key.group.clone(), key.kind.clone(), key.namespace.clone());
        let kind = || Kind { api_version: api_version.to_owned(), kind: key.kind.clone() };
        kinds.entry(place).or_insert_with(|| (kind(), BTreeSet::new())).1.insert(key.clone());
    }
    let reads = kinds.into_values().map(|(kind, keys)| async move { (read(context, &kind, &keys).await, kind, keys) });
    let mut live = Live::new();
    let mut warnings = Vec::new();
    let mut denied: Option<Error> = None;
    for (read, kind, keys) in futures::future::join_all(reads).await {
        match read {
            Ok(objects) => live.extend(objects),
            Err(error) if error.kind == ApiErrorKind::UnknownKind && !wanted.iter().any(|object| keys.contains(&object.key)) => {
                warnings.push(format!(
                    "{} {} is no longer served: what an earlier revision made of it is gone",
                    kind.api_version, kind.kind
                ));
            }
            // All that may not be read is told at once.
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                denied = Some(match (denied, error.denial()) {
                    (Some(others), Some((why, _))) => others.why(why),
                    (Some(others), None) => others.why(error.message),
                    (None, _) => error.into(),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    denied.map_or(Ok((live, warnings)), Err)
}

async fn read(
    context: &Context<'_>,
    kind: &Kind,
    keys: &BTreeSet<ObjectKey>,
) -> Result<Vec<(ObjectKey, Value)>, crate::cluster::ApiError> {
    let Some(namespace) = keys.first().and_then(|key| key.namespace.as_deref()) else {
        let reads = keys.iter().map(|key| async move { Ok((key.clone(), context.cluster.get(&kind.api_version, key).await?)) });
        return Ok(try_join_all(reads).await?.into_iter().filter_map(|(key, body)| Some((key, body?))).collect());
    };
    let listed = context.cluster.list(kind, Some(namespace), &format!("!{RECORD_LABEL}")).await?;
    let group = kind.api_version.split_once('/').map_or("", |(group, _)| group);
    Ok(listed
        .into_iter()
        .filter_map(|mut body| {
            let key = ObjectKey {
                group: group.to_owned(),
                kind: kind.kind.clone(),
                namespace: Some(namespace.to_owned()),
                name: body["metadata"]["name"].as_str()?.to_owned(),
            };
            // The items of a list come without their type.
            body["apiVersion"] = Value::String(kind.api_version.clone());
            body["kind"] = Value::String(kind.kind.clone());
            keys.contains(&key).then_some((key, body))
        })
        .collect())
}
