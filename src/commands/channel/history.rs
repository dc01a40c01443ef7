//! `channel history`.

use super::target::ChannelArguments;
use crate::channel::{self, Entry, Source};
use crate::commands::Edge;
use crate::commands::arguments::OutputArguments;
use crate::error::Result;
use crate::terminal::{Table, Text, time};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show the configuration updates of a channel and who signed them, oldest first
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel history mychannel
  kubectl fabric channel history mychannel -o json")]
pub struct Arguments {
    #[command(flatten)]
    pub channel: ChannelArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let target = &arguments.channel;
    let signers = target.load()?;
    let entries = edge.read(false, async |cluster| {
        let members = target.members(edge, cluster, &signers).await?;
        channel::history(&Source::all(&members), &target.name).await
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
