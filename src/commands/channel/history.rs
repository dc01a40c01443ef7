//! `channel history`.

use super::readers;
use crate::channel::{self, Entry, Source};
use crate::commands::arguments::{OutputArguments, SigningArguments};
use crate::commands::{Edge, complete};
use crate::error::Result;
use crate::ledger::genesis::check_name;
use crate::terminal::{Table, Text, time};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show what changed the configuration of a channel, and who signed it, oldest first
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel history mychannel
  kubectl fabric channel history mychannel -o json")]
pub struct Arguments {
    /// Name of the channel
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// Organization to ask, by release; may be repeated [default: all that can be found]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub org: Vec<String>,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let name = &arguments.name;
    check_name(name)?;
    let signers = arguments.signing.load()?;
    let entries = edge.read(false, async |cluster| {
        let members = readers(edge, cluster, &arguments.org, &signers).await?;
        channel::history(&Source::all(&members), name).await
    })?;
    match arguments.output.output {
        format if format.is_table() => edge.terminal.print(table(&entries))?,
        format => {
            let document = Value::Array(entries.iter().map(document).collect());
            edge.terminal.print_document(format, &document)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(entries: &[Entry]) -> Text {
    let mut table = Table::new(["BLOCK", "CONFIGURATION", "TIME", "SIGNED BY", "CHANGES"]);
    for entry in entries {
        let changes = match entry.block {
            0 => "genesis block".to_owned(),
            _ => entry.changes.join("; "),
        };
        let signers = match entry.signers.is_empty() {
            true => "-".to_owned(),
            false => entry.signers.join(", "),
        };
        table.row([
            entry.block.to_string().into(),
            entry.configuration.to_string().into(),
            entry.time.map_or("-".to_owned(), time::utc).into(),
            signers.into(),
            changes.into(),
        ]);
    }
    table.text()
}

fn document(entry: &Entry) -> Value {
    json!({
        "block": entry.block,
        "configuration": entry.configuration,
        "time": entry.time.map(time::rfc3339),
        "signedBy": entry.signers,
        "changes": entry.changes,
    })
}
