//! Reads the live objects, with one LIST for each kind and namespace of desired and recorded
//! objects.

use super::settle::Manifest;
use super::{Context, rights};
use crate::cluster::{ApiErrorKind, ApiResult, Extent, Kind};
use crate::error::{Error, Place as Spot, Result};
use crate::manifest::{Hook, ObjectKey, Sealed, TemplateLine};
use crate::plan::{Live, Look, Seen};
use crate::release::InventoryItem;
use crate::storage::RECORD_LABEL;
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Group, kind and namespace of a LIST.
type Place<'a> = (&'a str, &'a str, Option<&'a str>);

/// The objects to find in a LIST, with the desired objects. `None` for one that is only in a
/// record.
type Sought = BTreeMap<ObjectKey, Option<Arc<Sealed>>>;

/// How to handle desired objects of a kind that the server does not serve, for example because its
/// CustomResourceDefinition was deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// Refuse, because they would have to be written.
    Refused,
    /// Treat them as missing, with a warning, because they are only read.
    Missing,
}

/// Returns the live objects of these keys, and warnings about kinds that the server does not serve.
///
/// Reads cluster-scoped objects one by one, because a LIST would return everyone's.
///
/// # Errors
///
/// Names all desired objects of kinds that are not served, unless these count as missing.
pub async fn observe<'a>(
    context: &Context<'_>,
    wanted: &'a [Arc<Sealed>],
    inventory: impl IntoIterator<Item = &'a InventoryItem>,
    look: Look,
    unserved: Unserved,
) -> Result<(Live, Vec<String>)> {
    let reads = by_kind(wanted, inventory)
        .into_iter()
        .map(|(kind, sought)| async move {
            let sought = Arc::new(sought);
            (read(context, &kind, &sought, look).await, kind, sought)
        });
    let mut live = Live::new();
    let mut warnings = Vec::new();
    let mut denied: Option<Error> = None;
    let mut unread = Vec::new();
    let mut unwritable: Vec<(ObjectKey, TemplateLine)> = Vec::new();
    for (read, kind, sought) in futures::future::join_all(reads).await {
        match read {
            Ok(objects) => live.extend(objects),
            Err(error) if error.kind == ApiErrorKind::UnknownKind => {
                let wanted = sought.iter().filter_map(|(key, wanted)| {
                    Some((key.clone(), wanted.as_ref()?.source.clone()))
                });
                let wanted: Vec<_> = wanted.collect();
                if unserved == Unserved::Missing || wanted.is_empty() {
                    warnings.push(no_longer_served(&kind, &sought));
                } else {
                    unwritable.extend(wanted);
                }
            }
            // All missing permissions are reported together.
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                denied = Some(match (denied, error.denial()) {
                    (Some(others), Some((why, _))) => others.why(why),
                    (Some(others), None) => others.why(error.message),
                    (None, _) => error.into(),
                });
                unread.push(sought);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(denied) = denied {
        let unread = unread.iter().flat_map(|sought| sought.iter());
        return Err(match unserved {
            Unserved::Refused => rights::of_unread(context, unread, denied).await,
            Unserved::Missing => denied,
        });
    }
    refuse_unserved(context, unwritable)?;
    Ok((live, warnings))
}

/// Groups the objects by LIST.
fn by_kind<'a>(
    wanted: &'a [Arc<Sealed>],
    inventory: impl IntoIterator<Item = &'a InventoryItem>,
) -> Vec<(Kind, Sought)> {
    let mut kinds: BTreeMap<Place, (Kind, Sought)> = BTreeMap::new();
    let named = wanted
        .iter()
        .map(|object| (&object.key, object.api_version.as_str(), Some(object)));
    let recorded = inventory
        .into_iter()
        .map(|item| (&item.key, item.api_version.as_str(), None));
    for (key, api_version, object) in named.chain(recorded) {
        let namespace = key.namespace.as_deref();
        let place = (key.group.as_str(), key.kind.as_str(), namespace);
        let kind = || Kind {
            api_version: api_version.to_owned(),
            kind: key.kind.clone(),
        };
        kinds
            .entry(place)
            .or_insert_with(|| (kind(), Sought::new()))
            .1
            .entry(key.clone())
            .or_insert(object.cloned());
    }
    kinds.into_values().collect()
}

/// Returns the objects of a core kind in the release's namespace, or `None` if the user may not
/// list them.
pub async fn list_if_allowed(context: &Context<'_>, kind: &str) -> Result<Option<Vec<Value>>> {
    match list(context, kind).await {
        Ok(objects) => Ok(Some(objects)),
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Like [`list_if_allowed`], but missing permissions are an error.
pub async fn list(context: &Context<'_>, kind: &str) -> ApiResult<Vec<Value>> {
    let kind = Kind {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
    };
    context
        .cluster
        .list(&kind, Some(&context.namespace), "")
        .await
}

/// Refuses hooks of the manifest whose kinds are not served. `hooks` are those that would run.
///
/// # Errors
///
/// Names these hooks.
pub fn refuse_unserved_hooks<'h>(
    context: &Context<'_>,
    manifest: &Manifest,
    hooks: impl IntoIterator<Item = &'h Hook>,
) -> Result<()> {
    let objects = hooks.into_iter().map(|hook| &hook.object);
    let unserved = objects.filter(|object| manifest.unserved_hooks.contains(&object.key));
    refuse_unserved(
        context,
        unserved
            .map(|object| (object.key.clone(), object.source.clone()))
            .collect(),
    )
}

/// Refuses objects whose kinds are not served.
///
/// # Errors
///
/// Fails if there are such objects, because they cannot be written.
fn refuse_unserved(context: &Context<'_>, unserved: Vec<(ObjectKey, TemplateLine)>) -> Result<()> {
    if unserved.is_empty() {
        return Ok(());
    }
    let places = unserved
        .into_iter()
        .map(|(key, TemplateLine { template, line })| {
            let why = format!("no kind {} in {}", key.kind, key.group);
            match template.is_empty() {
                true => Spot::new(key.to_string()).note(why),
                false => Spot {
                    subject: template,
                    line: Some(line),
                    ..Spot::default()
                }
                .note(format!("{key}: {why}")),
            }
        });
    Err(Error::cluster(format!("the server does not serve every kind of release \"{}\"", context.release))
        .at_all(places)
        .why("the operation must write these objects, but the server does not serve their kinds")
        .now("nothing was changed")
        .hint("reinstall the CustomResourceDefinitions of these kinds, or remove the objects from the release"))
}

/// Names a few of the objects.
fn no_longer_served(kind: &Kind, sought: &Sought) -> String {
    const NAMED: usize = 10;
    let mut names: Vec<String> = sought.keys().take(NAMED).map(ToString::to_string).collect();
    if sought.len() > NAMED {
        names.push(format!("{} more", sought.len() - NAMED));
    }
    let Kind { api_version, kind } = kind;
    format!(
        "the server does not serve {api_version} {kind}: these objects are missing and cannot be created: {}",
        names.join(", ")
    )
}

async fn read(
    context: &Context<'_>,
    kind: &Kind,
    sought: &Arc<Sought>,
    look: Look,
) -> ApiResult<Live> {
    let Some(first) = sought
        .keys()
        .next()
        .filter(|key| key.namespace.is_some())
        .cloned()
    else {
        let reads = sought.iter().map(|(key, wanted)| async move {
            let body = context.cluster.get(&kind.api_version, key).await?;
            Ok(body.map(|body| (key.clone(), Seen::new(wanted.as_deref(), body, look))))
        });
        return Ok(try_join_all(reads).await?.into_iter().flatten().collect());
    };
    let (namespace, sought) = (first.namespace.clone(), Arc::clone(sought));
    let add = move |live: &mut Live, body: Value| {
        let Some(name) = body["metadata"]["name"].as_str() else {
            return;
        };
        // All objects of a place differ only in their names.
        let key = ObjectKey {
            name: name.to_owned(),
            ..first.clone()
        };
        if let Some(wanted) = sought.get(&key) {
            live.insert(key, Seen::new(wanted.as_deref(), body, look));
        }
    };
    context
        .cluster
        .list_into(
            kind,
            namespace.as_deref(),
            &format!("!{RECORD_LABEL}"),
            Extent::Whole,
            add,
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::scripted::{Reply, Scripted, impatient};
    use crate::deploy::scripted::context;
    use serde_json::json;

    #[tokio::test]
    async fn what_could_not_be_listed_is_not_empty_and_a_failure_is_no_missing_right() {
        let pods = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "a"}}]});
        let cases = [
            (Reply::ok(pods), Ok(Some(1))),
            (
                Reply::status(403, "Forbidden", "pods is forbidden"),
                Ok(None),
            ),
            (
                Reply::status(500, "InternalError", "something broke"),
                Err(()),
            ),
            (Reply::status(401, "Unauthorized", "who are you"), Err(())),
        ];
        for (reply, expected) in cases {
            let server = Scripted::start([reply]).await;
            let cluster = server.cluster(impatient()).await;
            let listed = list_if_allowed(&context(&cluster, false), "Pod").await;
            assert_eq!(
                listed.map(|pods| pods.map(|pods| pods.len())).map_err(drop),
                expected,
                "{:?}",
                server.lines()
            );
        }
    }
}
