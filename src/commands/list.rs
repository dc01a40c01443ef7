//! `list`: the newest revision of every release.

use super::arguments::{Format, OUTPUT, OutputArguments};
use super::release_document::{chart, style};
use super::selector::Selector;
use super::{Edge, complete};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::manifest::ObjectKey;
use crate::release::{Entry, Status, Summary};
use crate::storage;
use crate::terminal::{RED, Table, table::Cell, time};
use clap::Args;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;

/// List releases
///
/// Shows the newest revision of every release, in all namespaces or in that of -n. Reads only
/// metadata, so it is fast for many releases. A record that cannot be read is listed as unreadable.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric list                           every release, in all namespaces
  kubectl fabric list -n org1                   releases in one namespace
  kubectl fabric list --network dev             releases of one network
  kubectl fabric list --failed --pending        failed and pending releases
  kubectl fabric list -f '^org[0-9]+$'          names by a regular expression
  kubectl fabric list -l chart=peer-org -q      names of all peer organizations
  kubectl fabric list -o json                   for programs
  kubectl fabric list -o 'jsonpath={.items[*].name}'   fields, with kubectl's JSONPath")]
pub struct Arguments {
    /// List the releases of all namespaces (the default without -n)
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,

    /// Show only names that match this regular expression
    #[arg(short, long, value_name = "REGEX")]
    pub filter: Option<String>,

    /// Label selector with =, !=, in and notin, for chart, chart-version, fabric-version, status,
    /// namespace and your own --labels
    #[arg(short = 'l', long, value_name = "SELECTOR", add = ArgValueCompleter::new(complete::selectors))]
    pub selector: Option<String>,

    /// Show deployed releases; combine it with other states
    #[arg(long)]
    pub deployed: bool,

    /// Show releases whose last operation failed
    #[arg(long)]
    pub failed: bool,

    /// Show releases with a pending operation
    #[arg(long)]
    pub pending: bool,

    /// Show releases whose newest revision is superseded
    #[arg(long, hide_short_help = true)]
    pub superseded: bool,

    /// Show uninstalled releases that kept their history
    #[arg(long)]
    pub uninstalled: bool,

    /// Show releases that are being uninstalled
    #[arg(long, hide_short_help = true)]
    pub uninstalling: bool,

    /// Sort by date instead of name
    #[arg(short, long)]
    pub date: bool,

    /// Reverse the order
    #[arg(short, long)]
    pub reverse: bool,

    /// Maximum number of releases to show; 0 shows all
    #[arg(short, long, value_name = "N", default_value_t = 256)]
    pub max: usize,

    /// Number of releases to skip
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub offset: usize,

    /// Print names only
    #[arg(short = 'q', long, help_heading = OUTPUT)]
    pub short: bool,

    /// Do not print column headers
    #[arg(long, help_heading = OUTPUT)]
    pub no_headers: bool,

    /// Format of times, as a Go layout such as "2006-01-02 15:04"; times are UTC
    #[arg(long, value_name = "LAYOUT", help_heading = OUTPUT)]
    pub time_format: Option<String>,

    #[command(flatten)]
    pub output: OutputArguments,
}

impl Arguments {
    /// Whether a status was selected; without a selection, all are shown.
    fn wants(&self, status: Status) -> bool {
        let wanted = [
            (self.deployed, status == Status::Deployed),
            (self.failed, status == Status::Failed),
            (self.superseded, status == Status::Superseded),
            (self.uninstalled, status == Status::Uninstalled),
            (self.uninstalling, status == Status::Uninstalling),
            (
                self.pending,
                status.is_pending() && status != Status::Uninstalling,
            ),
        ];
        wanted.iter().all(|(flag, _)| !flag) || wanted.iter().any(|(flag, fits)| *flag && *fits)
    }

    /// The time of the last change, in the format of `--time-format`.
    fn time(&self, summary: &Summary, otherwise: fn(Timestamp) -> String) -> String {
        match &self.time_format {
            Some(layout) => time::layout(summary.updated, layout),
            None => otherwise(summary.updated),
        }
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let filter = arguments
        .filter
        .as_deref()
        .map(regular_expression)
        .transpose()?;
    let selector = arguments
        .selector
        .as_deref()
        .map(Selector::parse)
        .transpose()?;
    if arguments.all_namespaces && edge.connection.namespace.is_some() {
        return Err(Error::user("-A and -n contradict each other").hint("leave one of them out"));
    }
    edge.connection.check()?;
    let mut entries = edge.read(false, async |cluster| fetch(cluster, edge).await)?;
    if let Some(network) = &edge.connection.network {
        let suffix = format!("-{network}");
        entries.retain(|entry| namespace(entry).ends_with(&suffix));
    }
    entries.retain(|entry| {
        filter
            .as_ref()
            .is_none_or(|filter| filter.is_match(name(entry)))
            && match entry.summary() {
                Some(summary) => {
                    arguments.wants(summary.status)
                        && selector
                            .as_ref()
                            .is_none_or(|selector| selector.matches(summary))
                }
                None => true,
            }
    });
    sort(&mut entries, arguments.date, arguments.reverse);
    let matching = entries.len();
    let most = if arguments.max == 0 {
        usize::MAX
    } else {
        arguments.max
    };
    let entries: Vec<Entry> = entries
        .into_iter()
        .skip(arguments.offset)
        .take(most)
        .collect();
    print(&arguments, &entries, edge)?;
    if arguments.offset + entries.len() < matching {
        edge.terminal.note(&format!(
            "{} of {matching} releases shown: continue with --offset {}, or show all with --max 0",
            entries.len(),
            arguments.offset + entries.len()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The releases of `-n`, or of all namespaces that the user may read.
pub(super) async fn fetch(cluster: &Cluster, edge: &Edge) -> Result<Vec<Entry>> {
    if let Some(namespace) = &edge.connection.namespace {
        let entries = storage::list(cluster, Some(namespace)).await?;
        // For a missing namespace, the server returns an empty list.
        if entries.is_empty()
            && matches!(
                cluster.get("v1", &ObjectKey::of_namespace(namespace)).await,
                Ok(None)
            )
        {
            edge.terminal
                .note(&format!("namespace \"{namespace}\" does not exist"));
        }
        return Ok(entries);
    }
    let found = storage::list_readable(cluster).await?;
    if found.denied > 0 {
        let (denied, all) = (found.denied, found.denied + found.read);
        edge.terminal.note(&format!(
            "no permission to read {denied} of {all} namespaces; their releases are not shown"
        ));
    }
    Ok(found.entries)
}

fn regular_expression(text: &str) -> Result<regex::Regex> {
    regex::Regex::new(text).map_err(|error| {
        let report = error.to_string();
        let reason = report
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        Error::user(format!(
            "--filter \"{text}\" is not a regular expression: {reason}"
        ))
    })
}

pub(super) fn name(entry: &Entry) -> &str {
    match entry {
        Entry::Readable(summary) => &summary.release,
        Entry::Unreadable { release, .. } => release,
    }
}

pub(super) fn namespace(entry: &Entry) -> &str {
    match entry {
        Entry::Readable(summary) => &summary.namespace,
        Entry::Unreadable { namespace, .. } => namespace,
    }
}

fn sort(entries: &mut [Entry], by_date: bool, reverse: bool) {
    entries.sort_by(|a, b| (name(a), namespace(a)).cmp(&(name(b), namespace(b))));
    if by_date {
        entries.sort_by_key(|entry| entry.summary().map(|summary| summary.updated));
    }
    if reverse {
        entries.reverse();
    }
}

fn print(arguments: &Arguments, entries: &[Entry], edge: &Edge) -> Result<()> {
    for entry in entries {
        if let Entry::Unreadable {
            release,
            revision,
            reason,
            ..
        } = entry
        {
            edge.terminal.warn(&format!(
                "cannot read revision {revision} of \"{release}\": {reason}"
            ));
        }
    }
    let format = arguments.output.output;
    if !format.is_table() {
        let documents = entries.iter().map(|entry| {
            if arguments.short {
                json!(name(entry))
            } else {
                document(arguments, entry)
            }
        });
        return edge
            .terminal
            .print_named(format, &Value::Array(documents.collect()));
    }
    if arguments.short {
        let names: String = entries
            .iter()
            .map(|entry| format!("{}\n", name(entry)))
            .collect();
        return edge.terminal.print(&names);
    }
    let table = table(arguments, entries);
    edge.terminal.print(if arguments.no_headers {
        table.text_without_headers()
    } else {
        table.text()
    })
}

/// The last three only with `-o wide`.
const COLUMNS: [&str; 10] = [
    "NAME",
    "NAMESPACE",
    "REVISION",
    "UPDATED",
    "STATUS",
    "CHART",
    "APP VERSION",
    "USER",
    "LABELS",
    "DESCRIPTION",
];

fn table(arguments: &Arguments, entries: &[Entry]) -> Table {
    let columns = match arguments.output.output {
        Format::Wide => &COLUMNS[..],
        _ => &COLUMNS[..7],
    };
    let mut table = Table::of(columns);
    for entry in entries {
        let mut row = match entry {
            Entry::Readable(summary) => vec![
                (&summary.release).into(),
                (&summary.namespace).into(),
                summary.revision.to_string().into(),
                arguments.time(summary, time::utc).into(),
                Cell::styled(summary.status.as_str(), style(summary.status)),
                chart(summary).into(),
                (&summary.app_version).into(),
                (&summary.user).into(),
                labels(summary).into(),
                (&summary.description).into(),
            ],
            Entry::Unreadable {
                release,
                namespace,
                revision,
                reason,
            } => vec![
                release.into(),
                namespace.into(),
                revision.to_string().into(),
                "-".into(),
                Cell::styled("unreadable", RED),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                reason.into(),
            ],
        };
        row.truncate(columns.len());
        table.row(row);
    }
    table
}

/// `env=test,team=a`, as kubectl shows labels.
fn labels(summary: &Summary) -> String {
    let labels: Vec<String> = summary
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if labels.is_empty() {
        "<none>".to_owned()
    } else {
        labels.join(",")
    }
}

fn document(arguments: &Arguments, entry: &Entry) -> Value {
    document_of(entry, |summary| arguments.time(summary, time::rfc3339))
}

/// `updated` formats the time of the last change.
pub(super) fn document_of(entry: &Entry, updated: impl Fn(&Summary) -> String) -> Value {
    match entry {
        Entry::Readable(summary) => json!({
            "name": summary.release,
            "namespace": summary.namespace,
            "revision": summary.revision,
            "updated": updated(summary),
            "status": summary.status,
            "chart": chart(summary),
            "appVersion": summary.app_version,
            "labels": summary.labels,
        }),
        Entry::Unreadable {
            release,
            namespace,
            revision,
            reason,
        } => json!({
            "name": release,
            "namespace": namespace,
            "revision": revision,
            "updated": "",
            "status": "unreadable",
            "chart": "",
            "appVersion": "",
            "reason": reason,
        }),
    }
}
