//! `channel fetch`.

use super::readers;
use crate::channel::{self, Position, Source};
use crate::commands::arguments::SigningArguments;
use crate::commands::{Edge, complete, load};
use crate::error::Result;
use crate::ledger::genesis::check_name;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use prost::Message;
use std::path::PathBuf;
use std::process::ExitCode;

/// Fetch a block of a channel to a file, as orderers and peers encode it
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel fetch mychannel oldest                 the genesis block, to mychannel_oldest.block
  kubectl fabric channel fetch mychannel config config.block    the newest configuration block
  kubectl fabric channel fetch mychannel 7                      block 7, to mychannel_7.block")]
pub struct Arguments {
    /// Name of the channel
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// Block to fetch: newest, oldest, config or a number
    #[arg(value_name = "BLOCK", value_parser = Position::parse)]
    pub block: Position,

    /// File to write [default: NAME_BLOCK.block]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Organization to ask, by release; may be repeated [default: all that can be found]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub org: Vec<String>,

    #[command(flatten)]
    pub signing: SigningArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let name = &arguments.name;
    check_name(name)?;
    let signers = arguments.signing.load()?;
    let block = edge.read(false, async |cluster| {
        let members = readers(edge, cluster, &arguments.org, &signers).await?;
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
