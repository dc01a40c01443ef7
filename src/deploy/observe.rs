//! What is live: one LIST per kind and namespace of everything that is wanted or was ever written.

use super::Context;
use crate::cluster::{ApiErrorKind, ApiResult, Extent, Kind};
use crate::error::{Error, Result};
use crate::manifest::{ObjectKey, Sealed};
use crate::plan::{Live, Seen};
use crate::release::InventoryItem;
use crate::storage::RECORD_LABEL;
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Group, kind and namespace: what one LIST reads.
type Place<'a> = (&'a str, &'a str, Option<&'a str>);

/// What one LIST is to find, each with what is wanted of it: nothing, when it only stands in a record.
type Sought = BTreeMap<ObjectKey, Option<Arc<Sealed>>>;

/// Live objects of these identities, and warnings about kinds that the server serves no more.
///
/// Cluster-wide objects are read one by one: a LIST would bring everyone's. `shown` is whether somebody wants to see what leaves.
pub async fn observe<'a>(
    context: &Context<'_>,
    wanted: &'a [Arc<Sealed>],
    inventory: impl IntoIterator<Item = &'a InventoryItem>,
    shown: bool,
) -> Result<(Live, Vec<String>)> {
    let mut kinds: BTreeMap<Place, (Kind, Sought)> = BTreeMap::new();
    let named = wanted.iter().map(|object| (&object.key, object.api_version.as_str(), Some(object)));
    let recorded = inventory.into_iter().map(|item| (&item.key, item.api_version.as_str(), None));
    for (key, api_version, object) in named.chain(recorded) {
        let place = (key.group.as_str(), key.kind.as_str(), key.namespace.as_deref());
        let kind = || Kind { api_version: api_version.to_owned(), kind: key.kind.clone() };
        kinds.entry(place).or_insert_with(|| (kind(), Sought::new())).1.entry(key.clone()).or_insert(object.cloned());
    }
    let reads = kinds.into_values().map(|(kind, sought)| async move {
        let sought = Arc::new(sought);
        (read(context, &kind, &sought, shown).await, kind, sought)
    });
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

async fn read(context: &Context<'_>, kind: &Kind, sought: &Arc<Sought>, shown: bool) -> ApiResult<Live> {
    let Some(first) = sought.keys().next().filter(|key| key.namespace.is_some()).cloned() else {
        let reads = sought.iter().map(|(key, wanted)| async move {
            let body = context.cluster.get(&kind.api_version, key).await?;
            Ok(body.map(|body| (key.clone(), Seen::new(wanted.as_deref(), body, shown))))
        });
        return Ok(try_join_all(reads).await?.into_iter().flatten().collect());
    };
    let (namespace, sought) = (first.namespace.clone(), Arc::clone(sought));
    let add = move |live: &mut Live, body: Value| {
        let Some(name) = body["metadata"]["name"].as_str() else { return };
        // All of one place differ in their names alone.
        let key = ObjectKey { name: name.to_owned(), ..first.clone() };
        if let Some(wanted) = sought.get(&key) {
            live.insert(key, Seen::new(wanted.as_deref(), body, shown));
        }
    };
    context.cluster.list_into(kind, namespace.as_deref(), &format!("!{RECORD_LABEL}"), Extent::Whole, add).await
}
