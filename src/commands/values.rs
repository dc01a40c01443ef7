//! `values explain`: the effective values and their origins.

use super::arguments::{Format, OutputArguments};
use super::get::not_the_baseline;
use super::install::WantedArguments;
use super::{Edge, complete};
use crate::compose::{self, Given};
use crate::error::Result;
use crate::release::ReleaseName;
use crate::storage;
use crate::terminal::{BOLD, Table, Text};
use crate::values::{self, Origin, StoredSecrets, Values, path};
use crate::yaml;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Explain values and their origin
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Explain(Explain),
}

/// Show a value with its origin: file and line, flag, default, or an earlier revision
///
/// Takes the flags of an install and shows the values that templates would get, without a cluster.
/// With --stored, it starts from the stored values of the release, as the next upgrade would: those
/// of the deployed revision, or of the newest if none is deployed.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric values explain org1                             every value with its origin
  kubectl fabric values explain org1 --path peers.count -f a.yaml -f b.yaml
  kubectl fabric values explain org1 --path peers --stored       with the stored values")]
struct Explain {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    release: String,

    /// Value to show, such as peers.count or channels[0].name [default: all]
    #[arg(short, long, value_name = "PATH", add = ArgValueCompleter::new(complete::paths))]
    path: Option<String>,

    /// Start from the values of the installed release, as an upgrade does; reads the cluster
    #[arg(long)]
    stored: bool,

    #[command(flatten)]
    wanted: WantedArguments,

    #[command(flatten)]
    output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let What::Explain(arguments) = arguments.what;
    let release = ReleaseName::parse(&arguments.release)?;
    let wanted = &arguments.wanted;
    let chart = wanted.chart.resolve(release.as_str());
    let chart = chart.map_err(|error| match (&arguments.path, wanted.chart.named()) {
        (None, Some(path)) if path.contains('.') => {
            error.hint(format!("for a value: --path {path}"))
        }
        _ => error,
    })?;
    let mut user_values = wanted.values.load()?;
    let mut stored_secrets = StoredSecrets::default();
    if arguments.stored {
        let namespace = edge.connection.namespace_of(release.as_str())?;
        let (record, newest) = edge.read(wanted.values.uses_stdin(), async |cluster| {
            storage::read_baseline_to_show(cluster, &namespace, release.as_str()).await
        })?;
        if let Some(warning) = record.signature_warning() {
            edge.terminal.warn(&warning);
        }
        if let Some(note) = newest.and_then(|newest| not_the_baseline(&newest, &record.summary)) {
            edge.terminal.note(&note);
        }
        let origin = Origin::Stored {
            revision: record.summary.revision,
        };
        user_values = values::merge(values::with_origin(record.user_values, origin), user_values);
        stored_secrets.paths.extend(record.secret_paths);
    }
    // The schema is not enforced, because invalid values need an explanation most.
    let computed = compose::values(Given {
        chart: &chart,
        release: release.as_str(),
        namespace: release.as_str(),
        user_values,
        defaults: None,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: true,
        stored_secrets,
    })?;
    for warning in &computed.warnings {
        edge.terminal.warn(warning);
    }
    match &arguments.path {
        Some(path) => explain(
            path,
            &computed.all,
            &computed.secret_paths,
            arguments.output.output,
            edge,
        )?,
        None => explain_all(
            &computed.all,
            &computed.secret_paths,
            arguments.output.output,
            edge,
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One value in detail: the value, its origin, and the overridden origins.
fn explain(
    path: &str,
    values: &Values,
    secrets: &[String],
    format: Format,
    edge: &Edge,
) -> Result<()> {
    let found = values::explain(values, path, secrets)?;
    if !format.is_table() {
        let document = json!({
            "schemaVersion": 1,
            "path": found.path,
            "value": found.value,
            "origin": found.origin.as_ref().map(words),
            "shadowed": found.shadowed.iter().map(words).collect::<Vec<_>>(),
        });
        return edge.terminal.print_document(format, &document);
    }
    let mut text = Text::default();
    text.push_styled(BOLD, &found.path);
    text.push(match &found.value {
        None => ": no value\n".to_owned(),
        Some(value @ (Value::Object(_) | Value::Array(_))) => {
            format!(":\n{}", indented(&yaml::emit(value)))
        }
        Some(scalar) => format!(": {}\n", yaml::emit(scalar).trim_end()),
    });
    for (label, origin) in found
        .origin
        .iter()
        .map(|origin| ("from", origin))
        .chain(found.shadowed.iter().map(|it| ("over", it)))
    {
        text.push(format!("  {label} {}\n", words(origin)));
    }
    edge.terminal.print(text)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Every leaf in one line.
fn explain_all(values: &Values, secrets: &[String], format: Format, edge: &Edge) -> Result<()> {
    let leaves = leaves(&values.tree);
    let rows = leaves.iter().map(|(pointer, value)| {
        let value = values::masked(value, pointer, secrets);
        (
            path::display(pointer, &values.tree),
            value,
            values.origin(pointer).map(words).unwrap_or_default(),
        )
    });
    if !format.is_table() {
        let rows = rows
            .map(|(path, value, origin)| json!({ "path": path, "value": value, "origin": origin }));
        return edge.terminal.print_document(
            format,
            &json!({ "schemaVersion": 1, "values": rows.collect::<Vec<_>>() }),
        );
    }
    let mut table = Table::new(["PATH", "VALUE", "FROM"]);
    for (path, value, origin) in rows {
        table.row([path.into(), value.to_string().into(), origin.into()]);
    }
    edge.terminal.print(table.text())
}

/// Scalars and empty containers with their JSON pointers.
fn leaves(tree: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(pointer: &str, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    walk(&path::key_below(pointer, key), value, leaves);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    walk(&format!("{pointer}/{index}"), value, leaves);
                }
            }
            leaf => leaves.push((pointer.to_owned(), leaf)),
        }
    }
    let mut found = Vec::new();
    walk("", tree, &mut found);
    found
}

fn words(origin: &Origin) -> String {
    match origin {
        Origin::Default { file, line, column } => {
            format!("the chart's default, {file}:{line}:{column}")
        }
        Origin::File { name, line, column } => format!("{name}:{line}:{column}"),
        Origin::Flag(flag) => flag.clone(),
        Origin::Stored { revision } => format!("revision {revision} of the release"),
        Origin::Program(what) => what.clone(),
        Origin::Null(origin) => format!("{}, where null removes the earlier value", words(origin)),
    }
}
