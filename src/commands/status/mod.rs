//! `status`: the current nodes of a release, then its other objects; without a name, all releases.

pub(super) mod certificates;
mod nodes;
mod objects;
mod overview;
mod resources;
mod watch;

use super::arguments::{Format, NetworkArguments, OutputArguments, revision};
use super::release_document as document;
use super::up::plan;
use super::{Edge, complete};
use crate::cluster::{ApiError, Cluster};
use crate::error::{Error, Result};
use crate::manifest::events::{FIELDS, Warning};
use crate::manifest::{HookEvent, ObjectKey};
use crate::release::{Record, ReleaseName};
use crate::storage;
use crate::terminal::Text;
use certificates::Secrets;
use clap::Args;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use nodes::{Nodes, Sources};
use resources::Resource;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Show the nodes of a release: status, image, address, volume and certificate of each
///
/// Without a name, shows every release with its network and the number of ready nodes. Objects that
/// you have no permission to read are left out, with a warning.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric status org1                       the newest revision and its nodes
  kubectl fabric status org1 -w                    watch for changes
  kubectl fabric status                            all releases by network
  kubectl fabric status org1 --revision 2          an earlier revision
  kubectl fabric status -f network.yaml            a network: releases, channels, chaincodes
  kubectl fabric status org1 -o json | jq -r .info.status")]
pub struct Arguments {
    /// Name of the release [default: an overview of all]
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases), conflicts_with = "file")]
    pub release: Option<String>,

    /// Revision to show [default: the newest]
    #[arg(long, value_name = "REVISION", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions), requires = "release")]
    pub revision: Option<u32>,

    /// Watch for changes until interrupted
    #[arg(short = 'w', long, requires = "release")]
    pub watch: bool,

    #[command(flatten)]
    pub network: NetworkArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    if arguments.network.is_given() {
        return plan::status(&arguments.network, arguments.output.output, edge);
    }
    let Some(release) = &arguments.release else {
        return overview::run(edge, arguments.output.output);
    };
    let release = ReleaseName::parse(release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let asked = Asked {
        release: &release,
        namespace: &namespace,
        revision: arguments.revision,
    };
    let format = arguments.output.output;
    if arguments.watch {
        return watch::run(edge, &asked, format);
    }
    let status = edge.read(false, async |cluster| Status::read(cluster, &asked).await)?;
    status.print(edge, &namespace, format, edge.now)?;
    Ok(ExitCode::SUCCESS)
}

/// The requested release.
struct Asked<'a> {
    release: &'a ReleaseName,
    namespace: &'a str,
    revision: Option<u32>,
}

/// A release at one moment.
/// Returns the resources of the release. The state of a workload is that of its pods.
fn resources_of(record: &Record, objects: &objects::Objects, nodes: &Nodes) -> Vec<Resource> {
    let mut resources = resources::of(&record.inventory, objects);
    for resource in &mut resources {
        if let Some(state) = nodes.states.get(&resource.key) {
            resource.state = state.clone();
        }
    }
    resources
}

struct Status {
    record: Record,
    nodes: Nodes,
    resources: Vec<Resource>,
    secrets: Secrets,
    /// The objects that could not be read, and why.
    not_shown: Vec<String>,
}

impl Status {
    async fn read(cluster: &Cluster, asked: &Asked<'_>) -> Result<Status> {
        let Asked {
            release,
            namespace,
            revision,
        } = asked;
        let mut record = storage::read(cluster, namespace, release.as_str(), *revision).await?;
        // A hook exists only for a while: it is not a node, and not missing when it is gone.
        let hooks: BTreeSet<&ObjectKey> =
            record.hooks.iter().map(|hook| &hook.object.key).collect();
        record.inventory.retain(|item| !hooks.contains(&item.key));
        let (objects, secrets) = futures::join!(
            objects::read(cluster, &record.inventory),
            certificates::read(cluster, namespace, release.as_str())
        );
        let mut not_shown = Vec::new();
        let mut leave_out =
            |what: &str, error: &ApiError| not_shown.push(format!("{what}: {}", error.message));
        let mut inventory = record.inventory.iter();
        // Without nodes, no pods and volumes were requested.
        if inventory.any(|item| objects::is_node(&item.key)) {
            for (kind, what) in [
                ("Pod", "pods are not listed"),
                ("PersistentVolumeClaim", "volumes are not shown"),
            ] {
                if let Err(error) = objects.all(kind, namespace) {
                    leave_out(what, error);
                }
            }
        }
        let secrets = secrets.unwrap_or_else(|error| {
            leave_out(
                "identities are not shown, and certificates are taken from the record",
                &error,
            );
            Secrets::unread()
        });
        let sources = |events| Sources {
            record: &record,
            objects: &objects,
            secrets: &secrets,
            events,
        };
        let mut nodes = nodes::of(sources(Vec::new()));
        // Events are read only if there is something to explain.
        let mut rows = nodes.rows.iter();
        if rows.any(|row| row.state != resources::ObjectState::Ready) {
            match cluster.list_events(namespace, FIELDS).await {
                Ok(events) => {
                    nodes = nodes::of(sources(events.iter().filter_map(Warning::of).collect()))
                }
                Err(error) => leave_out("events, which often explain more, are not shown", &error),
            }
        }
        Ok(Status {
            resources: resources_of(&record, &objects, &nodes),
            record,
            nodes,
            secrets,
            not_shown,
        })
    }

    fn print(&self, edge: &Edge, namespace: &str, format: Format, now: Timestamp) -> Result<()> {
        if !format.is_table() {
            return edge.terminal.print_named(format, &self.document());
        }
        edge.terminal.print(self.text(namespace, now, format))?;
        self.not_shown
            .iter()
            .for_each(|what| edge.terminal.warn(what));
        Ok(())
    }

    fn text(&self, namespace: &str, now: Timestamp, format: Format) -> Text {
        let mut text = document::status_block(&self.record.summary);
        text.append(&nodes::text(&self.nodes, namespace, now, format));
        text.append(&resources::text(&self.resources, namespace));
        text.append(&certificates::text(
            &self.secrets,
            &self.nodes.secrets(),
            now,
        ));
        text.push(tests(&self.record));
        text
    }

    fn document(&self) -> Value {
        let mut status = document::record(&self.record);
        status["info"]["nodes"] = nodes::document(&self.nodes);
        status["info"]["resources"] = resources::document(&self.resources);
        status["info"]["identities"] = certificates::document(&self.secrets, &self.nodes.secrets());
        status["info"]["notShown"] = json!(self.not_shown);
        status
    }
}

fn tests(record: &Record) -> String {
    let names: Vec<&str> = record
        .hooks
        .iter()
        .filter(|hook| hook.events.contains(&HookEvent::Test))
        .map(|hook| hook.object.key.name.as_str())
        .collect();
    let names = if names.is_empty() {
        "None".to_owned()
    } else {
        names.join(", ")
    };
    format!("TEST SUITE: {names}\n")
}

/// The time to print for a later reading.
fn later(edge: &Edge, began: std::time::Instant) -> Result<Timestamp> {
    let passed = jiff::SignedDuration::try_from(began.elapsed()).unwrap_or_default();
    edge.now
        .checked_add(passed)
        .map_err(|error| Error::internal(format!("the time went out of range: {error}")))
}
