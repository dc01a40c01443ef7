//! Joins peers to a channel with its genesis block.

use super::outcome::{Did, Outcome, Step};
use super::patience;
use crate::error::{Error, Result};
use crate::fabric::contact::Node;
use crate::ledger::message::common::Block;
use crate::member::{Failed, Member, Peer};
use futures::future::join_all;

/// The channel and the organizations to join.
pub struct Join<'a> {
    pub name: &'a str,
    pub genesis: &'a Block,
    /// All their peers join.
    pub members: &'a [Member],
}

/// Joins every peer that has not joined yet.
pub async fn join(join: Join<'_>) -> Outcome {
    let Join { name, genesis, .. } = join;
    let peers = peers(join.members);
    let steps = peers.map(async |(member, node)| {
        let did = join_peer(member, node, name, genesis).await;
        Step::new(
            &member.contact.release,
            &node.host,
            did.unwrap_or_else(Did::Failed),
        )
    });
    Outcome {
        steps: join_all(steps).await,
    }
}

/// Returns the names of the peers that have joined a channel of this name. Ignores peers that do
/// not respond.
pub async fn having(members: &[Member], name: &str) -> Vec<String> {
    let ask = peers(members).map(async |(member, node)| {
        let channels = member.peer(node).ok()?.channels().await.ok()?;
        channels
            .iter()
            .any(|it| it == name)
            .then(|| node.host.clone())
    });
    join_all(ask).await.into_iter().flatten().collect()
}

fn peers(members: &[Member]) -> impl Iterator<Item = (&Member, &Node)> {
    members
        .iter()
        .flat_map(|member| member.contact.nodes.iter().map(move |node| (member, node)))
}

/// Joins a peer with the genesis block, unless it already has the channel.
///
/// # Errors
///
/// Fails for a peer that has a channel of the same name with another genesis block.
pub async fn join_peer(member: &Member, node: &Node, name: &str, genesis: &Block) -> Result<Did> {
    let peer = member.peer(node)?;
    let has = async || {
        let channels = patience::reach(async || peer.channels().await).await?;
        Ok::<bool, Error>(channels.iter().any(|it| it == name))
    };
    if has().await? {
        return same_ledger(&peer, name, genesis).await;
    }
    match peer.join(genesis).await {
        Ok(()) => Ok(Did::Joined),
        // Another run was faster, or the response was lost. Query the peer.
        Err(failed) => match has().await {
            Ok(true) => Ok(Did::Joined),
            _ => Err(failed.into()),
        },
    }
}

/// A peer that has joined a channel of the same name with another genesis block never receives its
/// blocks.
async fn same_ledger(peer: &Peer<'_>, name: &str, genesis: &Block) -> Result<Did> {
    match peer.block(name, 0).await {
        Ok(first) if first.header == genesis.header => Ok(Did::Unchanged),
        Ok(_) => Err(Error::user("it has joined another channel with this name")
            .why("its ledger starts with another genesis block, so it cannot receive this channel's blocks")
            .hint(format!(
                "choose another name for the channel; or remove it from the peer, with its ledger: \
                 stop the peer, then `peer node unjoin -c {name}`"
            ))),
        // A peer that joined from a snapshot does not have the first blocks.
        Err(Failed::Refused(_)) => Ok(Did::Unchanged),
        Err(failed) => Err(failed.into()),
    }
}
