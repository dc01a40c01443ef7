//! `status -w`: the status once, then each node whose row has changed. A watch event only triggers
//! another read in the same way as the first, so both give the same result.

use super::super::Edge;
use super::super::arguments::Format;
use super::{Asked, Status, later, nodes, objects};
use crate::cluster::{Cluster, Kind};
use crate::error::{self, Error, Result};
use crate::manifest::events::FIELDS;
use crate::release::Record;
use crate::storage::RECORD_LABEL;
use crate::terminal::Text;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Changes come in groups: a pod, its workload, the record. This delay collects them for one read.
const TOGETHER: Duration = Duration::from_millis(300);

type Changes = SelectAll<BoxStream<'static, Result<()>>>;

pub fn run(edge: &Edge, asked: &Asked<'_>, format: Format) -> Result<ExitCode> {
    let began = Instant::now();
    let watched = edge.read(false, async |cluster| {
        let mut status = Status::read(cluster, asked).await?;
        status.print(edge, asked.namespace, format, edge.now)?;
        let mut watched = BTreeSet::new();
        let mut changes = Changes::new();
        loop {
            watch(cluster, &status.record, &mut watched, &mut changes);
            match changes.next().await {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(ExitCode::SUCCESS),
            }
            let more = async {
                while let Some(change) = changes.next().await {
                    change?;
                }
                Ok::<(), Error>(())
            };
            // A timeout is the usual end.
            tokio::time::timeout(TOGETHER, more)
                .await
                .unwrap_or(Ok(()))?;
            let before = std::mem::replace(&mut status, Status::read(cluster, asked).await?);
            let now = later(edge, began)?;
            if !format.is_table() {
                if before.document() != status.document() {
                    edge.terminal.print_named(format, &status.document())?;
                }
                continue;
            }
            let text = difference(&before, &status, asked.namespace, now, format);
            if !text.is_empty() {
                edge.terminal.print(text)?;
            }
        }
    });
    match watched {
        // The usual way to end it.
        Err(error) if error.kind() == error::Kind::Interrupted => {
            Ok(ExitCode::from(error.kind().exit_status()))
        }
        watched => watched,
    }
}

/// Watches the kinds of a record's nodes, their pods, and the records.
fn watch(
    cluster: &Cluster,
    record: &Record,
    watched: &mut BTreeSet<(Kind, String)>,
    changes: &mut Changes,
) {
    let nodes = record
        .inventory
        .iter()
        .filter(|item| objects::is_node(&item.key));
    let mut wanted = vec![(
        objects::kind("v1", "ConfigMap"),
        record.summary.namespace.clone(),
    )];
    for item in nodes {
        let namespace = item.key.namespace.clone().unwrap_or_default();
        wanted.push((
            objects::kind(&item.api_version, &item.key.kind),
            namespace.clone(),
        ));
        wanted.push((objects::kind("v1", "Pod"), namespace));
    }
    let events = objects::kind("v1", "Event");
    for namespace in wanted
        .iter()
        .map(|(_, namespace)| namespace.clone())
        .collect::<BTreeSet<_>>()
    {
        if watched.insert((events.clone(), namespace.clone())) {
            let reasons = cluster.watch_events(&namespace, FIELDS, drop);
            changes.push(
                reasons
                    .filter_map(|event| std::future::ready(event.ok().map(|_| Ok(()))))
                    .boxed(),
            );
        }
    }
    for (kind, namespace) in wanted {
        if !watched.insert((kind.clone(), namespace.clone())) {
            continue;
        }
        let records = kind.kind == "ConfigMap";
        let selector = format!("{}{RECORD_LABEL}", if records { "" } else { "!" });
        let name = kind.kind.clone();
        let events = cluster.watch(kind, Some(namespace), selector, drop);
        // The example roles do not allow watching records, which only show that an operation is
        // pending.
        let events = events.filter_map(move |event| {
            let event = match event {
                Err(_) if records => None,
                Err(error) => Some(Err(
                    Error::from(error).context(format!("cannot watch {name} objects"))
                )),
                Ok(_) => Some(Ok(())),
            };
            std::future::ready(event)
        });
        changes.push(events.boxed());
    }
}

fn difference(
    before: &Status,
    after: &Status,
    namespace: &str,
    now: Timestamp,
    format: Format,
) -> Text {
    let mut text = Text::default();
    let (old, new) = (&before.record.summary, &after.record.summary);
    if (old.revision, old.status) != (new.revision, new.status) {
        text.push(format!("REVISION: {} ({})\n", new.revision, new.status));
    }
    let known: BTreeMap<_, String> = before
        .nodes
        .rows
        .iter()
        .map(|row| (&row.key, row.shown()))
        .collect();
    let rows = after
        .nodes
        .rows
        .iter()
        .filter(|row| known.get(&row.key) != Some(&row.shown()));
    text.append(&nodes::changes(rows, namespace, now, format));
    text
}
