//! `channel show`.

use super::readers;
use crate::channel::{self, Position, Source, words};
use crate::commands::arguments::{OutputArguments, SigningArguments};
use crate::commands::{Edge, complete};
use crate::error::Result;
use crate::ledger::config_tree::Configuration;
use crate::ledger::genesis::check_name;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::process::ExitCode;

/// Show the configuration of a channel in words, or as configtxlator prints it
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel show mychannel             who is in it, who orders, under which policies
  kubectl fabric channel show mychannel -o json     the whole configuration, as configtxlator prints it")]
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
    let block = edge.read(false, async |cluster| {
        let members = readers(edge, cluster, &arguments.org, &signers).await?;
        channel::fetch(&Source::all(&members), name, Position::Config).await
    })?;
    let number = block.number();
    let (_, configuration) = Configuration::from_block(&block.into_block())?;
    match arguments.output.output {
        format if format.is_table() => {
            edge.terminal
                .print_plain(&words(name, number, &configuration)?)?;
        }
        format => edge
            .terminal
            .print_document(format, &configuration.to_json()?)?,
    }
    Ok(ExitCode::SUCCESS)
}
