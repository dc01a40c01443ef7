//! `chaincode list`.

use super::peers;
use crate::chaincode::{Listed, listed, words};
use crate::commands::arguments::{Format, OutputArguments, SigningArguments};
use crate::commands::channel::readers_of;
use crate::commands::{Edge, complete};
use crate::error::Result;
use crate::terminal::{Table, Text};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// List the committed, approved and installed chaincodes of channels
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode list                 of all installed organizations
  kubectl fabric chaincode list org1            as org1 sees them
  kubectl fabric chaincode list -o wide         with policies and packages")]
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
    let (all, failed) = edge.read(false, async |cluster| {
        let contacts = peers(edge, cluster, &arguments.organizations).await?;
        let named = &arguments.organizations;
        let members = readers_of(edge, cluster, contacts, named, &signers).await?;
        Ok(listed(&members).await)
    })?;
    for place in &failed {
        edge.terminal.warn(&words(place));
    }
    match arguments.output.output {
        Format::Table => edge.terminal.print(table(&all, false))?,
        Format::Wide => edge.terminal.print(table(&all, true))?,
        format => {
            let document = Value::Array(all.iter().map(document).collect());
            edge.terminal.print_named(format, &document)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn or_none(words: &[String]) -> String {
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(", "),
    }
}

fn table(all: &[Listed], wide: bool) -> Text {
    let headers = [
        "NAME",
        "CHANNEL",
        "VERSION",
        "SEQUENCE",
        "APPROVED BY",
        "INSTALLED ON",
        "POLICY",
        "PACKAGE",
    ];
    let count = if wide { 8 } else { 6 };
    let mut table = Table::of(&headers[..count]);
    for it in all {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let mut row = vec![
            (&it.name).into(),
            word(&it.channel).into(),
            word(&it.version).into(),
            word(&it.sequence.map(|it| it.to_string())).into(),
            or_none(&it.approved_by).into(),
            or_none(&it.installed_on).into(),
            word(&it.policy).into(),
            or_none(&it.packages).into(),
        ];
        row.truncate(count);
        table.row(row);
    }
    table.text()
}

fn document(it: &Listed) -> Value {
    json!({
        "name": it.name,
        "channel": it.channel,
        "version": it.version,
        "sequence": it.sequence,
        "approvedBy": it.approved_by,
        "notApprovedBy": it.not_approved_by,
        "installedOn": it.installed_on,
        "policy": it.policy,
        "packages": it.packages,
    })
}
