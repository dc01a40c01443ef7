//! `channel fetch`.

use super::target::ChannelArguments;
use crate::channel::{self, Position, Source};
use crate::commands::{Edge, load};
use crate::error::Result;
use clap::{Args, ValueHint};
use prost::Message;
use std::path::PathBuf;
use std::process::ExitCode;

/// Fetch a block of a channel and write it to a file, as encoded by Fabric
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel fetch mychannel oldest                 the genesis block
  kubectl fabric channel fetch mychannel config config.block    the newest configuration block
  kubectl fabric channel fetch mychannel 7                      block 7, to mychannel_7.block")]
pub struct Arguments {
    /// Block to fetch: newest, oldest, config or a number
    #[arg(index = 2, value_name = "BLOCK", value_parser = Position::parse)]
    pub block: Position,

    /// File to write [default: NAME_BLOCK.block]
    #[arg(index = 3, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    #[command(flatten)]
    pub channel: ChannelArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let target = &arguments.channel;
    let name = &target.name;
    let signers = target.load()?;
    let block = edge.read(false, async |cluster| {
        let members = target.members(edge, cluster, &signers).await?;
        channel::fetch(&Source::all(&members), name, arguments.block).await
    })?;
    let word = match arguments.block {
        Position::Newest => "newest".to_owned(),
        Position::Oldest => "oldest".to_owned(),
        Position::Config => "config".to_owned(),
        Position::Number(number) => number.to_string(),
    };
    let file = arguments
        .file
        .unwrap_or_else(|| format!("{name}_{word}.block").into());
    let number = block.number();
    load::write_file(&file, &block.into_block().encode_to_vec())?;
    edge.terminal.print(format!(
        "Block {number} of channel \"{name}\" has been written to {}.\n",
        file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
