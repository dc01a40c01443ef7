//! What is live: one LIST per kind and namespace of everything that is wanted or was ever written.

use super::Context;
use crate::cluster::{ApiErrorKind, ApiResult, Extent, Kind};
use crate::error::{Error, Result};
use crate::manifest::{Object, ObjectKey};
use crate::plan::{Live, Seen};
use crate::release::InventoryItem;
use crate::storage::RECORD_LABEL;
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Group, kind and namespace: what one LIST reads.
type Place = (String, String, Option<String>);

/// What one LIST is to find, each with what is wanted of it: nothing, when it only stands in a record.
type Sought<'a> = BTreeMap<&'a ObjectKey, Option<&'a Object>>;

/// Live objects of these identities, and warnings about kinds that the server serves no more.
///
/// Cluster-wide objects are read one by one: a LIST would bring everyone's.
pub async fn observe(context: &Context<'_>, wanted: &[Arc<Object>], inventory: &[InventoryItem]) -> Result<(Live, Vec<String>)> {
    let mut kinds: BTreeMap<Place, (Kind, Sought)> = BTreeMap::new();
    let named = wanted.iter().map(|object| (&object.key, object.api_version(), Some(object.as_ref())));
    let recorded = inventory.iter().map(|item| (&item.key, item.api_version.as_str(), None));
    for (key, api_version, object) in named.chain(recorded) {
        let place = (key.group.clone(), key.kind.clone(), key.namespace.clone());
        let kind = || Kind { api_version: api_version.to_owned(), kind: key.kind.clone() };
        kinds.entry(place).or_insert_with(|| (kind(), Sought::new())).1.entry(key).or_insert(object);
    }
    let reads = kinds.into_values().map(|(kind, sought)| async move { (read(context, &kind, &sought).await, kind, sought) });
    let mut live = Live::new();
    let mut warnings = Vec::new();
    let mut denied: Option<Error> = None;
    for (read, kind, sought) in futures::future::join_all(reads).await {
        match read {
            Ok(objects) => live.extend(objects),
            Err(error) if error.kind == ApiErrorKind::UnknownKind && sought.values().all(Option::is_none) => {
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

async fn read(context: &Context<'_>, kind: &Kind, sought: &Sought<'_>) -> ApiResult<Live> {
    let Some(namespace) = sought.keys().next().and_then(|key| key.namespace.as_deref()) else {
        let reads = sought.iter().map(|(key, wanted)| async move {
            let body = context.cluster.get(&kind.api_version, key).await?;
            Ok(body.map(|body| ((*key).clone(), Seen::new(*wanted, body))))
        });
        return Ok(try_join_all(reads).await?.into_iter().flatten().collect());
    };
    let group = kind.api_version.split_once('/').map_or("", |(group, _)| group);
    let add = |live: &mut Live, body: Value| {
        let Some(name) = body["metadata"]["name"].as_str() else { return };
        let (group, kind, namespace) = (group.to_owned(), kind.kind.clone(), Some(namespace.to_owned()));
        let key = ObjectKey { group, kind, namespace, name: name.to_owned() };
        if let Some(wanted) = sought.get(&key) {
            live.insert(key, Seen::new(*wanted, body));
        }
    };
    context.cluster.list_into(kind, Some(namespace), &format!("!{RECORD_LABEL}"), Extent::Whole, add).await
}
