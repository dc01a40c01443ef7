//! `get`: what a revision recorded.

use super::arguments::{OUTPUT, OutputArguments, revision};
use super::release_document as document;
use super::{Edge, complete};
use crate::error::Result;
use crate::manifest;
use crate::release::{Record, ReleaseName, Status, Summary, baseline};
use crate::storage;
use crate::terminal::time;
use crate::yaml;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show what a revision recorded: values, manifest, notes, hooks, metadata, or all of it
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  kubectl fabric get values org1                    what the user set
  kubectl fabric get values org1 --all              with the chart's defaults
  kubectl fabric get manifest org1 --revision 2     what revision 2 applied
  kubectl fabric get metadata org1 -o json          chart, versions, times"
)]
pub struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// Print everything that the revision recorded
    All(Revision),
    /// Print the values that the user set, or all values
    Values {
        #[command(flatten)]
        revision: Revision,

        /// Print all values, including the chart's defaults
        #[arg(short, long)]
        all: bool,
    },
    /// Print the applied manifest
    Manifest(Revision),
    /// Print the notes
    Notes(Revision),
    /// Print the hooks
    Hooks(Revision),
    /// Print metadata: chart, versions, times, user
    Metadata(Revision),
}

#[derive(Args, Clone, Debug)]
struct Revision {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    release: String,

    /// Revision to show [default: the newest]
    #[arg(long, value_name = "REVISION", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions))]
    revision: Option<u32>,

    /// Show secrets: the data of Secrets, and values that the chart's schema marks as secret
    #[arg(long, help_heading = OUTPUT)]
    show_secrets: bool,

    #[command(flatten)]
    output: OutputArguments,
}

impl Revision {
    fn read(&self, edge: &Edge) -> Result<Record> {
        let release = ReleaseName::parse(&self.release)?;
        let namespace = edge.connection.namespace_of(release.as_str())?;
        let (record, baseline) = edge.read(false, async |cluster| {
            let mut record =
                storage::read_to_show(cluster, &namespace, release.as_str(), self.revision).await?;
            if self.show_secrets {
                record = storage::read_with_secrets(
                    cluster,
                    &namespace,
                    release.as_str(),
                    record.summary.revision,
                )
                .await?;
            }
            let baseline = match self.revision.is_none()
                && record.summary.status != Status::Deployed
            {
                true => baseline(&storage::history(cluster, &namespace, release.as_str()).await?)
                    .cloned(),
                false => None,
            };
            Ok((record, baseline))
        })?;
        if let Some(warning) = record.signature_warning() {
            edge.terminal.warn(&warning);
        }
        if let Some(note) =
            baseline.and_then(|baseline| not_the_baseline(&record.summary, &baseline))
        {
            edge.terminal.note(&note);
        }
        Ok(record)
    }
}

/// Notes for a failed or pending revision that an upgrade starts from another one.
pub fn not_the_baseline(newest: &Summary, baseline: &Summary) -> Option<String> {
    let Summary {
        release,
        revision,
        status,
        ..
    } = newest;
    (*revision != baseline.revision).then(|| {
        format!(
            "revision {revision} of \"{release}\" is {status}; an upgrade starts from revision {}, \
             which is {}: --revision {0} shows it",
            baseline.revision, baseline.status
        )
    })
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let (revision, show): (&Revision, fn(&Record) -> Shown) = match &arguments.part {
        Part::All(revision) => (revision, everything),
        Part::Values {
            revision,
            all: false,
        } => (revision, user_values),
        Part::Values {
            revision,
            all: true,
        } => (revision, computed_values),
        Part::Manifest(revision) => (revision, manifest),
        Part::Notes(revision) => (revision, notes),
        Part::Hooks(revision) => (revision, hooks),
        Part::Metadata(revision) => (revision, metadata),
    };
    let has_names = !matches!(arguments.part, Part::Values { .. } | Part::Notes(_));
    let shown = show(&revision.read(edge)?);
    match revision.output.output {
        format if format.is_table() => edge.terminal.print_plain(&shown.text)?,
        format if has_names => edge.terminal.print_named(format, &shown.document)?,
        format => edge.terminal.print_document(format, &shown.document)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A part of a record for people and for programs.
struct Shown {
    text: String,
    document: Value,
}

fn user_values(record: &Record) -> Shown {
    let values = record.user_values.clone();
    Shown {
        text: format!("USER-SUPPLIED VALUES:\n{}", yaml::emit(&values)),
        document: values,
    }
}

fn computed_values(record: &Record) -> Shown {
    let values = record.computed_values.clone();
    Shown {
        text: format!("COMPUTED VALUES:\n{}", yaml::emit(&values)),
        document: values,
    }
}

fn manifest(record: &Record) -> Shown {
    let bodies = record.objects.iter().map(|object| object.body()).collect();
    Shown {
        text: manifest::to_yaml(
            &record.summary.chart,
            record.objects.iter().map(|object| object.open()),
        ),
        document: Value::Array(bodies),
    }
}

fn hooks(record: &Record) -> Shown {
    let chart = &record.summary.chart;
    let objects = record.hooks.iter().map(|hook| &hook.object);
    Shown {
        text: manifest::to_yaml(chart, objects),
        document: document::hooks(chart, &record.hooks),
    }
}

fn notes(record: &Record) -> Shown {
    let notes = record.notes.trim_end();
    Shown {
        text: format!("NOTES:\n{notes}\n"),
        document: json!({ "schemaVersion": 1, "notes": record.notes }),
    }
}

fn metadata(record: &Record) -> Shown {
    let summary = &record.summary;
    let rows = [
        ("NAME", "name", json!(summary.release)),
        ("CHART", "chart", json!(summary.chart)),
        ("VERSION", "version", json!(summary.chart_version)),
        ("APP_VERSION", "appVersion", json!(summary.app_version)),
        ("NAMESPACE", "namespace", json!(summary.namespace)),
        ("REVISION", "revision", json!(summary.revision)),
        ("STATUS", "status", json!(summary.status)),
        (
            "DEPLOYED_AT",
            "deployedAt",
            json!(time::rfc3339(summary.updated)),
        ),
        ("APPLY_METHOD", "applyMethod", json!("ssa")),
        ("CHART_DIGEST", "chartDigest", json!(record.chart.digest)),
        ("USER", "user", json!(summary.user)),
        (
            "PLUGIN_VERSION",
            "pluginVersion",
            json!(summary.plugin_version),
        ),
    ];
    let line = |name: &str, value: &Value| match value {
        Value::String(text) => format!("{name}: {text}\n"),
        other => format!("{name}: {other}\n"),
    };
    let text = rows
        .iter()
        .map(|(name, _, value)| line(name, value))
        .collect();
    let document = Value::Object(
        rows.into_iter()
            .map(|(_, key, value)| (key.to_owned(), value))
            .collect(),
    );
    Shown { text, document }
}

fn everything(record: &Record) -> Shown {
    let parts = [user_values, computed_values].map(|part| part(record).text);
    let mut text = document::status_block(&record.summary).plain();
    text.push_str(&parts.concat());
    text.push_str(&format!("HOOKS:\n{}", hooks(record).text));
    text.push_str(&format!("MANIFEST:\n{}", manifest(record).text));
    text.push_str(&notes(record).text);
    let mut document = document::record(record);
    document["computed"] = computed_values(record).document;
    Shown { text, document }
}
