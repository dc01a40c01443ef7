//! `diff -f` and `status -f`: the missing steps and the state of a network.

use super::Asked;
use crate::commands::arguments::{Format, NetworkArguments, OUTPUT};
use crate::commands::{DIFFERENT, Edge};
use crate::deploy::Options;
use crate::error::Result;
use crate::network::state::{Known, Release};
use crate::network::{Observed, Plan, Removal, plan};
use crate::terminal::{GREEN, Table, Text, YELLOW, counted, table::Cell};
use crate::up::compose;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::process::ExitCode;

/// The part of `diff` that works on a network file.
#[derive(Args, Clone, Debug)]
pub struct PlanArguments {
    #[command(flatten)]
    pub network: NetworkArguments,

    /// How to print the missing steps of a network [default: table]
    #[arg(short, long, value_name = "FORMAT", value_enum, help_heading = OUTPUT, requires = "network-file")]
    pub output: Option<PlanFormat>,

    /// Exit with status 2 if steps are missing
    #[arg(long, visible_alias = "detailed-exitcode", help_heading = OUTPUT, requires = "network-file")]
    pub exit_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    Table,
    /// For a review
    Markdown,
    Json,
    Yaml,
}

/// `diff -f`
pub fn diff(arguments: &PlanArguments, edge: &Edge) -> Result<ExitCode> {
    let loaded = arguments.network.load(edge)?;
    let composed = compose(&loaded.network, &loaded.inputs)?;
    let asked = Asked {
        edge,
        loaded: &loaded,
        composed: &composed,
        network: &arguments.network,
        options: reading(),
        removal: Removal::Keep,
    };
    let plan = asked.read(async |site| site.plan().await)?;
    match arguments.output {
        Some(PlanFormat::Markdown) => edge.terminal.print_plain(&plan.markdown())?,
        Some(PlanFormat::Json) => edge.terminal.print_document(Format::Json, &plan.json())?,
        Some(PlanFormat::Yaml) => edge.terminal.print_document(Format::Yaml, &plan.json())?,
        Some(PlanFormat::Table) | None => print(edge, &plan, asked.organization(), Format::Table)?,
    }
    Ok(match arguments.exit_code && !plan.is_reached() {
        true => ExitCode::from(DIFFERENT),
        false => ExitCode::SUCCESS,
    })
}

/// Refusals are part of what these commands show.
fn reading() -> Options {
    Options {
        tell_refusals: true,
        ..Options::default()
    }
}

/// Prints the missing steps.
pub fn print(edge: &Edge, plan: &Plan, organization: Option<&str>, format: Format) -> Result<()> {
    if !format.is_table() {
        return edge.terminal.print_document(format, &plan.json());
    }
    edge.terminal.print(match organization {
        Some(organization) => plan.part_of(organization).words(),
        None => plan.words(),
    })
}

/// `status -f`
pub fn status(network: &NetworkArguments, format: Format, edge: &Edge) -> Result<ExitCode> {
    let loaded = network.load(edge)?;
    let composed = compose(&loaded.network, &loaded.inputs)?;
    let asked = Asked {
        edge,
        loaded: &loaded,
        composed: &composed,
        network,
        options: reading(),
        removal: Removal::Keep,
    };
    let observed = asked.read(async |site| site.observe().await)?;
    let plan = plan(&composed.wanted, &observed, Removal::Keep)?;
    if !format.is_table() {
        let name = &loaded.network.name;
        edge.terminal
            .print_named(format, &document(name, &observed, &plan))?;
        return Ok(ExitCode::SUCCESS);
    }
    edge.terminal.print(releases(&observed))?;
    if observed
        .nodes
        .values()
        .any(|node| node.known().is_some_and(|it| !it.channels.is_empty()))
    {
        edge.terminal.print("\n")?;
        edge.terminal.print(channels(&observed))?;
    }
    if !observed.definitions.is_empty() {
        edge.terminal.print("\n")?;
        edge.terminal.print(chaincodes(&observed))?;
    }
    let missing = match (plan.steps.len(), plan.unknown.len()) {
        (0, 0) => return Ok(ExitCode::SUCCESS),
        (steps, 0) => counted(steps, "missing step"),
        (0, unknown) => counted(unknown, "unknown state"),
        (steps, unknown) => format!(
            "{}, {}",
            counted(steps, "missing step"),
            counted(unknown, "unknown state")
        ),
    };
    edge.terminal.note(&format!(
        "{missing}: `kubectl fabric diff {}` lists them",
        network.words()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Returns the state of a release.
fn word(release: &Known<Release>) -> &'static str {
    match release {
        Known::Known(Release::Absent { data: false }) => "not installed",
        Known::Known(Release::Absent { data: true }) => "not installed, data kept",
        Known::Known(Release::Present { settled: false, .. }) => "not deployed",
        Known::Known(Release::Present { digest, .. }) if digest == crate::up::AS_WANTED => {
            "as in the file"
        }
        Known::Known(Release::Present { .. }) => "differs",
        Known::Unknown(_) => "unknown",
    }
}

fn releases(observed: &Observed) -> Text {
    let mut table = Table::new(["RELEASE", "NAMESPACE", "STATE"]);
    for (key, release) in &observed.releases {
        let state = match word(release) {
            word @ "as in the file" => Cell::styled(word, GREEN),
            word => Cell::styled(word, YELLOW),
        };
        table.row([(&key.release).into(), (&key.namespace).into(), state]);
    }
    table.text()
}

fn channels(observed: &Observed) -> Text {
    let mut table = Table::new(["CHANNEL", "NODE", "ORGANIZATION", "HEIGHT"]);
    let mut rows: Vec<[String; 4]> = Vec::new();
    for (key, node) in &observed.nodes {
        for (channel, membership) in node.known().into_iter().flat_map(|node| &node.channels) {
            rows.push([
                channel.clone(),
                key.node.clone(),
                key.organization.clone(),
                membership.height.to_string(),
            ]);
        }
    }
    rows.sort();
    for row in rows {
        table.row(row.map(Cell::from));
    }
    table.text()
}

fn chaincodes(observed: &Observed) -> Text {
    let mut table = Table::new(["CHAINCODE", "CHANNEL", "SEQUENCE", "APPROVED BY"]);
    for ((name, channel), state) in &observed.definitions {
        let (sequence, approved) = match state {
            Known::Unknown(_) => ("unknown".to_owned(), String::new()),
            Known::Known(state) => {
                let sequence = state.committed.as_ref();
                let approved = state.approvals.iter();
                let approved = approved.filter(|(_, it)| matches!(it, Known::Known(Some(_))));
                let approved: Vec<&str> = approved.map(|(name, _)| name.as_str()).collect();
                let sequence =
                    sequence.map_or("not committed".to_owned(), |it| it.sequence.to_string());
                (sequence, approved.join(", "))
            }
        };
        table.row([
            name.into(),
            channel.into(),
            sequence.into(),
            approved.into(),
        ]);
    }
    table.text()
}

fn document(name: &str, observed: &Observed, plan: &Plan) -> Value {
    let releases = observed.releases.iter().map(|(key, release)| {
        json!({"name": key.release, "namespace": key.namespace, "state": word(release)})
    });
    let nodes = observed.nodes.iter().map(|(key, node)| {
        let channels = node.known().into_iter().flat_map(|node| &node.channels);
        let channels = channels
            .map(|(name, it)| json!({"name": name, "height": it.height, "genesis": it.genesis}));
        json!({
            "name": key.node,
            "organization": key.organization,
            "known": node.known().is_some(),
            "channels": channels.collect::<Vec<_>>(),
        })
    });
    let chaincodes = observed.definitions.iter().map(|((name, channel), state)| {
        let state = state.known();
        let committed = state.and_then(|it| it.committed.as_ref());
        json!({
            "name": name,
            "channel": channel,
            "sequence": committed.map(|it| it.sequence),
        })
    });
    json!({
        "name": name,
        "releases": releases.collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
        "chaincodes": chaincodes.collect::<Vec<_>>(),
        "missing": plan.json()["steps"],
        "unknown": plan.unknown,
    })
}
