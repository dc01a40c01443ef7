//! `channel list`.

use super::readers;
use crate::channel::{ChannelAtNode, states};
use crate::commands::arguments::{Format, OutputArguments, SigningArguments};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result};
use crate::terminal::{RED, Table, Text, table::Cell};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// List the channels of orderers and peers, with their heights
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel list                 of all installed organizations
  kubectl fabric channel list org1 org2       of these organizations
  kubectl fabric channel list -o wide         with the hash of the newest block")]
pub struct Arguments {
    /// Organizations to query, by release [default: all that are installed]
    #[arg(value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let signers = arguments.signing.load()?;
    let states = edge.read(false, async |cluster| {
        let members = readers(edge, cluster, &arguments.organizations, &signers).await?;
        Ok(states(&members).await)
    })?;
    match arguments.output.output {
        Format::Table => edge.terminal.print(table(&states, false))?,
        Format::Wide => edge.terminal.print(table(&states, true))?,
        Format::Name => {
            let held = states
                .iter()
                .filter_map(|state| state.channel.as_ref().ok()?.as_ref());
            let names: BTreeSet<&str> = held.map(|held| held.name.as_str()).collect();
            edge.terminal.print_named(Format::Name, &json!(names))?;
        }
        format => {
            let document = Value::Array(states.iter().map(document).collect());
            edge.terminal.print_named(format, &document)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(states: &[ChannelAtNode], wide: bool) -> Text {
    let headers = ["CHANNEL", "NODE", "HEIGHT", "STATUS", "HASH"];
    let mut table = Table::of(&headers[..if wide { 5 } else { 4 }]);
    for state in states {
        let mut row: Vec<Cell> = match &state.channel {
            Ok(Some(held)) => {
                let status = match (&held.status, &held.relation) {
                    (Some(status), Some(relation)) => format!("{status}, {relation}"),
                    _ => "joined".to_owned(),
                };
                vec![
                    (&held.name).into(),
                    (&state.node).into(),
                    held.height.to_string().into(),
                    status.into(),
                    held.hash.as_deref().unwrap_or("-").into(),
                ]
            }
            Ok(None) => vec![
                "-".into(),
                (&state.node).into(),
                "-".into(),
                "no channel".into(),
            ],
            Err(error) => vec![
                "-".into(),
                (&state.node).into(),
                "-".into(),
                Cell::styled(words(error), RED),
            ],
        };
        row.truncate(if wide { 5 } else { 4 });
        table.row(row);
    }
    table.text()
}

fn words(error: &Error) -> String {
    match error.reasons().join(": ") {
        reasons if reasons.is_empty() => error.what().to_owned(),
        reasons => reasons,
    }
}

fn document(state: &ChannelAtNode) -> Value {
    let mut document = json!({
        "name": Value::Null,
        "organization": state.organization,
        "namespace": state.namespace,
        "node": state.node,
    });
    match &state.channel {
        Ok(Some(held)) => {
            document["name"] = json!(held.name);
            document["height"] = json!(held.height);
            document["hash"] = json!(held.hash);
            document["status"] = json!(held.status);
            document["consensusRelation"] = json!(held.relation);
        }
        Ok(None) => {}
        Err(error) => document["error"] = json!(words(error)),
    }
    document
}
