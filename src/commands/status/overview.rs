//! `status` without a name: every release with its network and its number of ready nodes.

use super::super::Edge;
use super::super::arguments::Format;
use super::super::list::{self, name, namespace};
use super::super::release_document::{chart, style};
use super::objects::kind;
use crate::cluster::{ApiError, Cluster, Extent};
use crate::error::Result;
use crate::manifest::annotation;
use crate::manifest::readiness::{Readiness, readiness, wanted_pods};
use crate::plan::ownership::{MANAGED, RELEASE, RELEASE_NAMESPACE};
use crate::release::Entry;
use crate::terminal::{GREEN, RED, Table, YELLOW, table::Cell, time};
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// The numbers of ready and of all nodes of each release, by namespace and name.
type Counts = BTreeMap<(String, String), (usize, usize)>;

/// Kinds of which each object is a node.
const KINDS: [&str; 3] = ["StatefulSet", "Deployment", "DaemonSet"];

pub fn run(edge: &Edge, format: Format) -> Result<ExitCode> {
    edge.connection.check()?;
    let (mut entries, counts, unread) = edge.read(false, async |cluster| {
        let entries = list::fetch(cluster, edge).await?;
        let (counts, unread) = count(cluster, edge.connection.namespace.as_deref(), &entries).await;
        Ok((entries, counts, unread))
    })?;
    if let Some(network) = &edge.connection.network {
        let suffix = format!("-{network}");
        entries.retain(|entry| namespace(entry).ends_with(&suffix));
    }
    entries.sort_by(|a, b| {
        (network(a), name(a), namespace(a)).cmp(&(network(b), name(b), namespace(b)))
    });
    if !format.is_table() {
        let documents = entries.iter().map(|entry| document(entry, &counts));
        edge.terminal
            .print_named(format, &Value::Array(documents.collect()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([
        "NETWORK",
        "RELEASE",
        "NAMESPACE",
        "NODES",
        "STATUS",
        "REVISION",
        "CHART",
        "FABRIC VERSION",
        "UPDATED",
    ]);
    for entry in &entries {
        table.row(row(entry, &counts));
    }
    edge.terminal.print(table.text())?;
    if let Some(error) = unread {
        edge.terminal
            .warn(&format!("some nodes are not counted: {}", error.message));
    }
    Ok(ExitCode::SUCCESS)
}

/// The network of a release: the suffix of its namespace. `None` if `-n` put it elsewhere.
fn network(entry: &Entry) -> Option<&str> {
    match namespace(entry).strip_prefix(name(entry))? {
        "" => Some(""),
        network => network.strip_prefix('-'),
    }
}

/// Counts the nodes of all namespaces at once, or, without that permission, of each namespace with
/// a release. The second value is the first error.
async fn count(
    cluster: &Cluster,
    namespace: Option<&str>,
    entries: &[Entry],
) -> (Counts, Option<ApiError>) {
    let mut all = Counts::new();
    let mut first = None;
    for kind in KINDS {
        let places: Vec<Option<&str>> = match count_in(cluster, kind, namespace).await {
            Ok(counts) => {
                add(&mut all, counts);
                continue;
            }
            Err(error) if namespace.is_some() => {
                first.get_or_insert(error);
                continue;
            }
            Err(_) => entries
                .iter()
                .map(self::namespace)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(Some)
                .collect(),
        };
        for counted in join_all(
            places
                .into_iter()
                .map(|place| count_in(cluster, kind, place)),
        )
        .await
        {
            match counted {
                Ok(counts) => add(&mut all, counts),
                // A release without Deployments needs no permission to list any.
                Err(_) if kind != KINDS[0] => {}
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
    }
    (all, first)
}

fn add(all: &mut Counts, counts: Counts) {
    for (release, (ready, nodes)) in counts {
        let sum = all.entry(release).or_default();
        *sum = (sum.0 + ready, sum.1 + nodes);
    }
}

async fn count_in(
    cluster: &Cluster,
    of: &str,
    namespace: Option<&str>,
) -> Result<Counts, ApiError> {
    let add = |counts: &mut Counts, body: Value| {
        let (Some(release), Some(namespace)) = (
            annotation(&body, RELEASE),
            annotation(&body, RELEASE_NAMESPACE),
        ) else {
            return;
        };
        let is_ready = readiness(&body) == Readiness::Ready
            && wanted_pods(body["kind"].as_str().unwrap_or_default(), &body) > 0;
        let count = counts
            .entry((namespace.to_owned(), release.to_owned()))
            .or_default();
        *count = (count.0 + usize::from(is_ready), count.1 + 1);
    };
    cluster
        .list_into(&kind("apps/v1", of), namespace, MANAGED, Extent::Whole, add)
        .await
}

fn nodes_of(entry: &Entry, counts: &Counts) -> Option<(usize, usize)> {
    counts
        .get(&(namespace(entry).to_owned(), name(entry).to_owned()))
        .copied()
}

fn row(entry: &Entry, counts: &Counts) -> [Cell; 9] {
    let network = match network(entry) {
        Some("") => "(default)",
        Some(network) => network,
        None => "-",
    };
    let nodes = match nodes_of(entry, counts) {
        Some((ready, all)) => {
            let style = if ready == all { GREEN } else { YELLOW };
            Cell::styled(format!("{ready}/{all}"), style)
        }
        None => "-".into(),
    };
    let [status, chart, version, updated] = match entry {
        Entry::Readable(summary) => [
            Cell::styled(summary.status.as_str(), style(summary.status)),
            chart(summary).into(),
            (&summary.app_version).into(),
            time::utc(summary.updated).into(),
        ],
        Entry::Unreadable { .. } => [
            Cell::styled("unreadable", RED),
            "-".into(),
            "-".into(),
            "-".into(),
        ],
    };
    let revision = entry.revision().to_string().into();
    [
        network.into(),
        name(entry).into(),
        namespace(entry).into(),
        nodes,
        status,
        revision,
        chart,
        version,
        updated,
    ]
}

fn document(entry: &Entry, counts: &Counts) -> Value {
    let nodes = nodes_of(entry, counts).map(|(ready, all)| json!({"ready": ready, "all": all}));
    let mut document = list::document_of(entry, |summary| time::rfc3339(summary.updated));
    document["network"] = json!(network(entry));
    document["nodes"] = json!(nodes);
    document
}
