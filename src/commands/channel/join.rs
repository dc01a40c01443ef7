//! `channel join`.

use super::{chosen, document, interrupted, members, members_found, steps};
use crate::channel::{self, Join, Position, Source};
use crate::commands::arguments::{OutputArguments, SigningArguments};
use crate::commands::{Edge, complete, load};
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::identity::NodeRole;
use crate::ledger::block::Checked;
use crate::ledger::config_tree::Configuration;
use crate::ledger::genesis::check_name;
use crate::ledger::message::common::Block;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use std::process::ExitCode;

/// Join peers to a channel
///
/// Joins every peer that has not joined yet, such as peers that an upgrade added. The genesis block
/// comes from an orderer, or from a peer of the channel.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel join mychannel               all organizations of the channel
  kubectl fabric channel join mychannel org1          only those of org1
  kubectl fabric channel join mychannel org1 --block mychannel.block")]
pub struct Arguments {
    /// Name of the channel
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// Organizations whose peers join, by release [default: all installed ones of the channel]
    #[arg(value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    /// File with the channel's genesis block, if no node can provide it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub block: Option<PathBuf>,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let name = &arguments.name;
    check_name(name)?;
    let signers = arguments.signing.load()?;
    let given = match &arguments.block {
        Some(path) => Some(genesis_of(
            name,
            load::block(path)?,
            &path.display().to_string(),
        )?),
        None => None,
    };
    let outcome = edge.change(interrupted(), async |cluster| {
        let named = &arguments.organizations;
        let wanted = chosen(edge, cluster, named).await?;
        let joining: Vec<Contact> = wanted
            .into_iter()
            .filter(|it| it.role == NodeRole::Peer)
            .collect();
        let genesis = match &given {
            Some(block) => block.clone(),
            None => {
                let all = chosen(edge, cluster, &[]).await?;
                let all = members_found(edge, cluster, all, &signers).await;
                let block = channel::fetch(&Source::all(&all), name, Position::Oldest).await?;
                block.into_block()
            }
        };
        let (_, configuration) = Configuration::from_block(&genesis)?;
        // The default is all organizations in the genesis block. A given organization always joins,
        // because it may have been added to the channel later.
        let of_channel = |contact: &Contact| {
            let application = configuration.channel.groups.get("Application");
            let mut groups = application.into_iter().flat_map(|it| it.groups.keys());
            !named.is_empty() || groups.any(|msp_id| *msp_id == contact.msp_id)
        };
        let joining = joining.into_iter().filter(of_channel);
        let joining = members(edge, cluster, joining, &signers).await?;
        if joining.is_empty() {
            return Err(
                Error::user(format!("no peers of channel \"{name}\" were found"))
                    .hint("pass the organizations: `kubectl fabric channel join NAME org1`"),
            );
        }
        let join = Join {
            name,
            genesis: &genesis,
            members: &joining,
        };
        Ok(channel::join(join).await)
    })?;
    match arguments.output.output {
        format if format.is_table() => edge.terminal.print(steps(&outcome))?,
        format => edge
            .terminal
            .print_named(format, &document(name, &outcome))?,
    }
    match outcome.error(&format!("not all peers have joined channel \"{name}\"")) {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Checks that a file contains the genesis block of this channel.
fn genesis_of(name: &str, bytes: Vec<u8>, file: &str) -> Result<Block> {
    let refuse = |why: String| {
        Error::user(format!(
            "\"{file}\" is not the genesis block of channel \"{name}\""
        ))
        .why(why)
        .now("nothing was sent to any node")
        .hint(format!(
            "fetch it: `kubectl fabric channel fetch {name} oldest`"
        ))
    };
    let block = Checked::from_bytes(&bytes, file)?;
    if block.number() != 0 {
        return Err(refuse(format!("it is block {}", block.number())));
    }
    let block = block.into_block();
    match Configuration::from_block(&block)? {
        (channel, _) if channel != name => {
            Err(refuse(format!("it belongs to channel \"{channel}\"")))
        }
        _ => Ok(block),
    }
}
