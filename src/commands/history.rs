//! `history`: every revision of a release that is still recorded.

use super::arguments::{Format, OutputArguments};
use super::release_document::{chart, style};
use super::{Edge, complete};
use crate::error::Result;
use crate::release::{Entry, ReleaseName};
use crate::storage;
use crate::terminal::{RED, Table, Text, table::Cell, time};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show the revisions of a release, oldest first
///
/// Each install, upgrade and rollback creates a revision. The newest ten are kept (see their flag
/// --history-max), and always the last deployed one.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric history org1              actions, times and outcomes
  kubectl fabric history org1 -o json      with the user and the version of this program
  kubectl fabric diff revision org1 2 3    what revision 3 changed")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Maximum number of revisions to show, newest first
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max: usize,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let entries = edge.read(false, async |cluster| {
        let history = storage::history(cluster, &namespace, release.as_str()).await?;
        if history.is_empty() {
            // The error for an unknown release lists the existing ones.
            let record = storage::read(cluster, &namespace, release.as_str(), None).await?;
            return Ok(vec![Entry::Readable(record.summary)]);
        }
        Ok(history)
    })?;
    let entries = &entries[entries.len().saturating_sub(arguments.max)..];
    match arguments.output.output {
        Format::Table => edge.terminal.print(table(entries))?,
        Format::Wide => edge.terminal.print(wide(entries))?,
        format => edge.terminal.print_named(
            format,
            &Value::Array(entries.iter().map(document).collect()),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(entries: &[Entry]) -> Text {
    let mut table = Table::new([
        "REVISION",
        "UPDATED",
        "STATUS",
        "CHART",
        "APP VERSION",
        "DESCRIPTION",
    ]);
    entries.iter().for_each(|entry| table.row(row(entry)));
    table.text()
}

fn row(entry: &Entry) -> [Cell; 6] {
    match entry {
        Entry::Readable(summary) => [
            summary.revision.to_string().into(),
            time::utc(summary.updated).into(),
            Cell::styled(summary.status.as_str(), style(summary.status)),
            chart(summary).into(),
            (&summary.app_version).into(),
            (&summary.description).into(),
        ],
        Entry::Unreadable {
            revision, reason, ..
        } => [
            revision.to_string().into(),
            "-".into(),
            Cell::styled("unreadable", RED),
            "-".into(),
            "-".into(),
            reason.into(),
        ],
    }
}

/// The table with the user and the version of this program.
fn wide(entries: &[Entry]) -> Text {
    let mut table = Table::new([
        "REVISION",
        "UPDATED",
        "STATUS",
        "CHART",
        "APP VERSION",
        "USER",
        "PLUGIN",
        "DESCRIPTION",
    ]);
    for entry in entries {
        let [revision, updated, status, chart, app_version, description] = row(entry);
        let (user, plugin) = entry.summary().map_or(("-", "-"), |summary| {
            (summary.user.as_str(), summary.plugin_version.as_str())
        });
        table.row([
            revision,
            updated,
            status,
            chart,
            app_version,
            user.into(),
            plugin.into(),
            description,
        ]);
    }
    table.text()
}

fn document(entry: &Entry) -> Value {
    match entry {
        Entry::Readable(summary) => {
            let mut document = json!({
                "revision": summary.revision,
                "updated": time::rfc3339(summary.updated),
                "status": summary.status,
                "chart": chart(summary),
                "appVersion": summary.app_version,
                "description": summary.description,
                "user": summary.user,
                "pluginVersion": summary.plugin_version,
            });
            if let Some(revision) = summary.rollback_to {
                document["rollbackRevision"] = json!(revision);
            }
            document
        }
        Entry::Unreadable {
            revision, reason, ..
        } => {
            json!({ "revision": revision, "updated": "", "status": "unreadable", "chart": "", "appVersion": "", "description": reason })
        }
    }
}
