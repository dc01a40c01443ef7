//! Reads blocks of a channel from any node that has them.

use crate::error::{Error, Place, Result};
use crate::fabric::contact::Node;
use crate::identity::NodeRole;
use crate::ledger::block::Checked;
use crate::ledger::envelope::{self, Seek};
use crate::ledger::message::common::Block;
use crate::member::{Failed, Member};

/// A node that may have the channel.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub member: &'a Member,
    pub node: &'a Node,
}

impl<'a> Source<'a> {
    /// All nodes of these members, orderers first.
    pub fn all(members: &'a [Member]) -> Vec<Source<'a>> {
        let of = |role: NodeRole| {
            let members = members.iter().filter(move |it| it.contact.role == role);
            members.flat_map(|member| {
                member
                    .contact
                    .nodes
                    .iter()
                    .map(move |node| Source { member, node })
            })
        };
        of(NodeRole::Orderer).chain(of(NodeRole::Peer)).collect()
    }
}

/// Selects a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Oldest,
    Newest,
    /// The newest configuration block.
    Config,
    Number(u64),
}

impl Position {
    /// Parses `newest`, `oldest`, `config` or a number.
    pub fn parse(text: &str) -> Result<Position, String> {
        match text {
            "newest" => Ok(Position::Newest),
            "oldest" => Ok(Position::Oldest),
            "config" => Ok(Position::Config),
            number => number
                .parse()
                .map(Position::Number)
                .map_err(|_| "expected newest, oldest, config or a number".to_owned()),
        }
    }
}

/// Fetches a block of a channel from the first node that returns it, and checks its hashes.
///
/// # Errors
///
/// The response of each node, if none returns it.
pub async fn fetch(sources: &[Source<'_>], channel: &str, position: Position) -> Result<Checked> {
    let block = from_any(sources, channel, position).await?;
    Checked::new(block, &format!("a block of channel \"{channel}\""))
}

/// [`fetch`] without the check.
pub async fn from_any(sources: &[Source<'_>], channel: &str, position: Position) -> Result<Block> {
    let mut places = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for source in sources {
        let error: Error = match from_one(source, channel, position).await {
            Ok(block) => return Ok(block),
            Err(failed) => failed.into(),
        };
        let reasons = error.reasons().join(": ");
        let note = match reasons.as_str() {
            "" => error.what(),
            reasons => reasons,
        };
        places.push(Place::new(source.node.host.clone()).note(note));
        for hint in error
            .hints()
            .iter()
            .filter(|hint| !hints.contains(hint))
            .cloned()
            .collect::<Vec<_>>()
        {
            hints.push(hint);
        }
    }
    let what = match position {
        Position::Number(number) => {
            format!("cannot fetch block {number} of channel \"{channel}\"")
        }
        _ => format!("cannot read channel \"{channel}\""),
    };
    let error = Error::cluster(what).at_all(places);
    let error = match sources.is_empty() {
        true => error.why("no organization with nodes that you can access was found"),
        false => error,
    };
    let error = hints.into_iter().fold(error, Error::hint);
    Err(error.hint("`kubectl fabric channel list` shows the channels of each node"))
}

async fn from_one(source: &Source<'_>, channel: &str, position: Position) -> Result<Block, Failed> {
    let Source { member, node } = source;
    match member.contact.role {
        NodeRole::Orderer => {
            let orderer = member.orderer(node)?;
            let deliver = async |position| {
                // Existing blocks are delivered even without a leader.
                let seek = Seek::stored(position);
                orderer.block(channel, &seek).await
            };
            match position {
                Position::Oldest => deliver(envelope::Position::Oldest).await,
                Position::Newest => deliver(envelope::Position::Newest).await,
                Position::Number(number) => deliver(envelope::Position::Number(number)).await,
                Position::Config => {
                    let newest = deliver(envelope::Position::Newest).await?;
                    let newest = Checked::new(newest, "the newest block")?;
                    match newest.last_config()? {
                        number if number == newest.number() => Ok(newest.into_block()),
                        number => deliver(envelope::Position::Number(number)).await,
                    }
                }
            }
        }
        NodeRole::Peer => {
            let peer = member.peer(node)?;
            match position {
                Position::Oldest => peer.block(channel, 0).await,
                Position::Number(number) => peer.block(channel, number).await,
                Position::Config => peer.config_block(channel).await,
                Position::Newest => {
                    let height = peer.chain(channel).await?.height;
                    peer.block(channel, height.saturating_sub(1)).await
                }
            }
        }
    }
}
