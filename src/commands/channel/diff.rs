//! `channel diff`.

use super::target::ChannelArguments;
use crate::channel::{self, Source};
use crate::commands::arguments::OutputArguments;
use crate::commands::{DIFFERENT, Edge, load};
use crate::error::{Error, Result};
use crate::ledger::block::Checked;
use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::genesis::check_name;
use crate::terminal::one_line;
use clap::{Args, ValueHint};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Show the differences between the configuration of a channel and another configuration
///
/// The other configuration is in a file, as printed by `channel show -o json` or as a configuration
/// block, or it is that of another channel. The differences are the changes that would have to be
/// made to the channel.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel diff mychannel mychannel.json           what your edits changed
  kubectl fabric channel diff mychannel yourchannel              another channel
  kubectl fabric channel diff mychannel mychannel_oldest.block   changes since the genesis block")]
pub struct Arguments {
    /// File with a configuration or a configuration block, or the name of another channel
    #[arg(index = 2, value_name = "FILE|CHANNEL", value_hint = ValueHint::FilePath)]
    pub other: String,

    /// Exit with status 2 if there are differences
    #[arg(long)]
    pub exit_code: bool,

    #[command(flatten)]
    pub channel: ChannelArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let (target, other) = (&arguments.channel, &arguments.other);
    let signers = target.load()?;
    let given = match is_file(other) {
        true => Some(of_file(Path::new(other))?),
        false => {
            check_name(other).map_err(|error| {
                error.hint(format!("if \"{other}\" is a file: it does not exist"))
            })?;
            None
        }
    };
    let changes = edge.read(false, async |cluster| {
        let members = target.members(edge, cluster, &signers).await?;
        let sources = Source::all(&members);
        let from = channel::current(&sources, &target.name)
            .await?
            .configuration;
        let to = match given {
            // An unedited file shows no differences in the order of maps.
            Some(Given::Json(json)) => from.edited(&json).map_err(|error| {
                error.context(format!("\"{other}\" is not a channel configuration"))
            })?,
            Some(Given::Block(configuration)) => configuration,
            None => channel::current(&sources, other).await?.configuration,
        };
        describe(&from.channel, &to.channel)
    })?;
    match arguments.output.output {
        format if format.is_table() => {
            let lines = changes.iter().map(|line| one_line(line) + "\n");
            edge.terminal.print(lines.collect::<String>())?;
        }
        format => {
            let document = json!({"name": target.name, "other": other, "changes": changes});
            edge.terminal.print_document(format, &document)?;
        }
    }
    match arguments.exit_code && !changes.is_empty() {
        true => Ok(ExitCode::from(DIFFERENT)),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Reads a configuration from a file.
enum Given {
    Json(serde_json::Value),
    Block(Configuration),
}

/// Returns true if a word is a file name. Channel names contain no "/", but may contain dots.
fn is_file(word: &str) -> bool {
    let ends = [".json", ".block"];
    Path::new(word).exists() || word.contains('/') || ends.iter().any(|end| word.ends_with(end))
}

fn of_file(path: &Path) -> Result<Given> {
    let bytes = load::block(path)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        return load::json(path, "configuration").map(Given::Json);
    }
    let shown = path.display().to_string();
    let block = Checked::from_bytes(&bytes, &format!("\"{shown}\"")).map_err(|error: Error| {
        error.hint("pass a configuration in JSON, or a configuration block")
    })?;
    let (_, configuration) = Configuration::from_block(&block.into_block())?;
    Ok(Given::Block(configuration))
}
