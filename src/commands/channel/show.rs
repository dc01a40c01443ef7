//! `channel show`.

use super::target::ChannelArguments;
use crate::channel::{self, Current, Source, words};
use crate::commands::Edge;
use crate::commands::arguments::OutputArguments;
use crate::error::Result;
use clap::Args;
use std::process::ExitCode;

/// Show the configuration of a channel, as text or in the format of configtxlator
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel show mychannel             its members, orderers and policies
  kubectl fabric channel show mychannel -o json     in the format of configtxlator")]
pub struct Arguments {
    #[command(flatten)]
    pub channel: ChannelArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let target = &arguments.channel;
    let signers = target.load()?;
    let Current {
        block,
        configuration,
    } = edge.read(false, async |cluster| {
        let members = target.members(edge, cluster, &signers).await?;
        channel::current(&Source::all(&members), &target.name).await
    })?;
    match arguments.output.output {
        format if format.is_table() => {
            edge.terminal
                .print_plain(&words(&target.name, block.number(), &configuration)?)?;
        }
        format => edge
            .terminal
            .print_document(format, &configuration.to_json()?)?,
    }
    Ok(ExitCode::SUCCESS)
}
