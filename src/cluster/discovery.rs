//! Finds how to address a kind: in the static table, or otherwise in the server's discovery for its
//! group and version, which is read once per run.

use super::{
    ApiError, ApiErrorKind, ApiResult, Kind,
    requests::{Call, JSON},
    transport::Transport,
};
use crate::manifest::kinds;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Mutex;

/// Accepts one document with all kinds, in the formats of servers (v2 since 1.30, v2beta1 since
/// 1.26), or otherwise the old list.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// The version that the server serves.
    pub api_version: String,
    pub plural: String,
    pub namespaced: bool,
    /// Whether the server can list its objects. Reviews and bindings can only be created.
    pub listable: bool,
}

/// The kinds of one group and version.
type Served = BTreeMap<String, Resource>;

/// The discovery results so far.
#[derive(Default)]
pub(super) struct Discovery {
    groups: Mutex<BTreeMap<String, Served>>,
    everything: Mutex<Option<Vec<String>>>,
}

impl Discovery {
    /// Returns how to address objects of a kind: in the named version or, if the server no longer
    /// serves the kind in it, in another version of its group.
    ///
    /// Asks again about a kind that was not served, because it may have been defined since.
    pub async fn resource(&self, transport: &Transport, kind: &Kind) -> ApiResult<Resource> {
        if let Some(row) = kinds::lookup(&kind.api_version, &kind.kind) {
            let (api_version, plural) = (kind.api_version.clone(), row.plural.to_owned());
            return Ok(Resource {
                api_version,
                plural,
                namespaced: row.namespaced,
                listable: true,
            });
        }
        // Held during the request, so that several tasks send only one request for a group.
        let mut groups = self.groups.lock().await;
        if let Some(resource) = groups
            .get(&kind.api_version)
            .and_then(|served| served.get(&kind.kind))
        {
            return Ok(resource.clone());
        }
        let served = fetch_group(transport, &kind.api_version).await?;
        groups.insert(kind.api_version.clone(), served);
        if let Some(resource) = groups[&kind.api_version].get(&kind.kind) {
            return Ok(resource.clone());
        }
        for version in fetch_versions(transport, &kind.api_version).await? {
            if !groups.contains_key(&version) {
                let served = fetch_group(transport, &version).await?;
                groups.insert(version.clone(), served);
            }
            // A resource that stands for another version was found for that one.
            let found = groups[&version]
                .get(&kind.kind)
                .filter(|resource| resource.api_version == version)
                .cloned();
            if let Some(resource) = found {
                groups
                    .entry(kind.api_version.clone())
                    .or_default()
                    .insert(kind.kind.clone(), resource.clone());
                return Ok(resource);
            }
        }
        Err(unknown(kind, String::new()))
    }

    /// Returns all served `group/version` and `group/version/Kind`, sorted.
    pub async fn api_versions(&self, transport: &Transport) -> ApiResult<Vec<String>> {
        let mut everything = self.everything.lock().await;
        if let Some(known) = &*everything {
            return Ok(known.clone());
        }
        let ((core, _), (groups, _)) =
            futures::try_join!(fetch_all(transport, "/api"), fetch_all(transport, "/apis"))?;
        let mut names = BTreeSet::new();
        for (version, served) in core.into_iter().chain(groups) {
            names.extend(served.into_keys().map(|kind| format!("{version}/{kind}")));
            names.insert(version);
        }
        let names: Vec<String> = names.into_iter().collect();
        *everything = Some(names.clone());
        Ok(names)
    }

    /// Returns all namespaced kinds that can currently be listed, each in one version, and the
    /// groups whose kinds the server does not know.
    pub async fn listable(&self, transport: &Transport) -> ApiResult<(Vec<Kind>, Vec<String>)> {
        let ((core, mut stale), (groups, more)) =
            futures::try_join!(fetch_all(transport, "/api"), fetch_all(transport, "/apis"))?;
        stale.extend(more);
        let mut known = self.groups.lock().await;
        let mut kinds = BTreeMap::new();
        for (api_version, served) in core.into_iter().chain(groups) {
            let group = api_version
                .split_once('/')
                .map_or("", |(group, _)| group)
                .to_owned();
            for (kind, _) in served
                .iter()
                .filter(|(_, resource)| resource.namespaced && resource.listable)
            {
                // A list has all objects in any version.
                let one = || Kind {
                    api_version: api_version.clone(),
                    kind: kind.clone(),
                };
                kinds
                    .entry((group.clone(), kind.clone()))
                    .or_insert_with(one);
            }
            known.insert(api_version, served);
        }
        Ok((kinds.into_values().collect(), stale))
    }
}

fn call(path: String, accept: &'static str) -> Call {
    Call::get(
        "discover",
        path,
        "discover the kinds of the server".to_owned(),
    )
    .accept(accept)
}

/// Returns the error for a kind that is not served in the named version. `instead` names the
/// versions that are.
pub(super) fn unknown(kind: &Kind, instead: String) -> ApiError {
    let Kind { api_version, kind } = kind;
    let words = format!("find the kind {kind} of {api_version}");
    ApiError::local(
        ApiErrorKind::UnknownKind,
        &words,
        format!("the server has no kind {kind} in {api_version}{instead}"),
    )
}

/// Returns the other versions in which the server serves a group, in the server's order.
async fn fetch_versions(transport: &Transport, api_version: &str) -> ApiResult<Vec<String>> {
    let Some((group, _)) = api_version.split_once('/') else {
        return Ok(Vec::new());
    };
    let group = match transport.json(&call(format!("/apis/{group}"), JSON)).await {
        Ok(group) => group,
        Err(error) if error.code == 404 => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let versions = group["versions"].as_array().into_iter().flatten();
    let versions = versions
        .filter_map(|version| version["groupVersion"].as_str())
        .filter(|version| *version != api_version);
    Ok(versions.map(str::to_owned).collect())
}

fn root(api_version: &str) -> String {
    format!(
        "/{}/{api_version}",
        if api_version.contains('/') {
            "apis"
        } else {
            "api"
        }
    )
}

/// Returns the kinds of one group and version, or none if the server does not serve it.
async fn fetch_group(transport: &Transport, api_version: &str) -> ApiResult<Served> {
    match transport.json(&call(root(api_version), JSON)).await {
        Ok(list) => Ok(read_group(api_version, &list)),
        Err(error) if error.code == 404 => Ok(Served::new()),
        Err(error) => Err(error),
    }
}

fn read_group(api_version: &str, list: &Value) -> Served {
    let resources = list["resources"].as_array().into_iter().flatten();
    resources
        .filter_map(|resource| {
            let plural = resource["name"].as_str()?;
            // `pods/log` is a subresource, not a kind.
            let namespaced = resource["namespaced"].as_bool()?;
            (!plural.contains('/')).then(|| {
                let kind = resource["kind"].as_str().unwrap_or_default().to_owned();
                (
                    kind,
                    Resource {
                        api_version: api_version.to_owned(),
                        plural: plural.to_owned(),
                        namespaced,
                        listable: lists(resource),
                    },
                )
            })
        })
        .collect()
}

/// Returns the kinds by group and version, and the groups and versions whose kinds the server does
/// not know.
async fn fetch_all(
    transport: &Transport,
    path: &str,
) -> ApiResult<(BTreeMap<String, Served>, Vec<String>)> {
    let answer = transport.json(&call(path.to_owned(), AGGREGATED)).await?;
    if answer["kind"] == "APIGroupDiscoveryList" {
        return Ok((read_aggregated(&answer), stale(&answer)));
    }
    // A server before 1.26 lists only versions. All of them are then requested concurrently.
    let core = answer["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let groups = answer["groups"].as_array().into_iter().flatten();
    let versions = groups.flat_map(|group| group["versions"].as_array().into_iter().flatten());
    let names = core.chain(versions.filter_map(|version| version["groupVersion"].as_str()));
    let asked =
        names.map(|name| async move { Ok((name.to_owned(), fetch_group(transport, name).await?)) });
    futures::future::try_join_all(asked)
        .await
        .map(|all| (all.into_iter().collect(), Vec::new()))
}

fn lists(resource: &Value) -> bool {
    resource["verbs"]
        .as_array()
        .is_some_and(|verbs| verbs.iter().any(|verb| verb == "list"))
}

/// Returns groups and versions whose kinds the API server does not know, because an aggregated
/// server is unavailable.
fn stale(list: &Value) -> Vec<String> {
    let groups = list["items"].as_array().into_iter().flatten();
    let versions = groups.flat_map(|group| {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        group["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(move |version| (name, version))
    });
    let stale = versions.filter(|(_, version)| version["freshness"] == "Stale");
    stale
        .map(|(name, version)| {
            format!("{name}/{}", version["version"].as_str().unwrap_or_default())
        })
        .collect()
}

fn read_aggregated(list: &Value) -> BTreeMap<String, Served> {
    let mut all = BTreeMap::new();
    for group in list["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            let Some(number) = version["version"].as_str() else {
                continue;
            };
            let api_version = if name.is_empty() {
                number.to_owned()
            } else {
                format!("{name}/{number}")
            };
            let resources = version["resources"].as_array().into_iter().flatten();
            let served = resources.filter_map(|resource| {
                let api_version = api_version.clone();
                let kind = resource["responseKind"]["kind"].as_str()?;
                let plural = resource["resource"].as_str()?.to_owned();
                let namespaced = resource["scope"] == "Namespaced";
                Some((
                    kind.to_owned(),
                    Resource {
                        api_version,
                        plural,
                        namespaced,
                        listable: lists(resource),
                    },
                ))
            });
            let served = served.collect();
            all.insert(api_version, served);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_discovery_say_the_same() {
        let one = read_group(
            "example.com/v1",
            &json!({"resources": [
                {"name": "widgets", "kind": "Widget", "namespaced": true, "verbs": ["get", "list"]},
                {"name": "widgets/status", "kind": "Widget", "namespaced": true},
            ]}),
        );
        let all = read_aggregated(
            &json!({"items": [{"metadata": {"name": "example.com"}, "versions": [{"version": "v1", "resources": [
                {"resource": "widgets", "responseKind": {"group": "example.com", "version": "v1", "kind": "Widget"}, "scope": "Namespaced", "verbs": ["list"]},
            ]}]}]}),
        );
        assert_eq!(all["example.com/v1"], one);
        assert_eq!(
            one["Widget"],
            Resource {
                api_version: "example.com/v1".to_owned(),
                plural: "widgets".to_owned(),
                namespaced: true,
                listable: true
            }
        );
        assert_eq!(one.len(), 1);
    }
}
