//! Lists the channels of each node, with their heights.

use super::creation::is_unknown;
use crate::error::{Error, Result};
use crate::fabric::Bootstrap;
use crate::fabric::contact::Node;
use crate::identity::NodeRole;
use crate::identity::certificate::hex;
use crate::ledger::envelope::{Position, Seek};
use crate::member::Member;
use futures::future::join_all;
use std::collections::BTreeSet;

/// A channel at a node, or a node without channels or without a response.
#[derive(Clone, Debug)]
pub struct ChannelAtNode {
    pub organization: String,
    pub namespace: String,
    /// `peer0.org1`
    pub node: String,
    pub role: NodeRole,
    /// `None` if the node has no channel.
    pub channel: Result<Option<Held>>,
}

/// A channel at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub name: String,
    /// The number of blocks.
    pub height: u64,
    /// The hash of its newest block, from peers.
    pub hash: Option<String>,
    /// The status from an orderer: `active`, `onboarding`, `inactive`, `failed`.
    pub status: Option<String>,
    /// `consenter`, `follower`
    pub relation: Option<String>,
}

/// The channels of all nodes of these members.
pub async fn states(members: &[Member]) -> Vec<ChannelAtNode> {
    let nodes = || {
        let each = members.iter();
        each.flat_map(|member| member.contact.nodes.iter().map(move |node| (member, node)))
    };
    let listed = join_all(
        nodes().map(async |(member, node)| match member.contact.role {
            NodeRole::Orderer if has_system_channel(member) => None,
            NodeRole::Orderer => Some(of_orderer(member, node).await),
            NodeRole::Peer => Some(of_peer(member, node).await),
        }),
    )
    .await;
    let known = listed.iter().flatten().flatten().flatten();
    let names: BTreeSet<String> = known.map(|held| held.name.clone()).collect();
    let all = nodes()
        .zip(listed)
        .map(async |((member, node), held)| match held {
            Some(held) => at_node(member, node, held),
            None => at_node(member, node, of_names(member, node, &names).await),
        });
    join_all(all).await.concat()
}

fn at_node(member: &Member, node: &Node, held: Result<Vec<Held>>) -> Vec<ChannelAtNode> {
    let contact = &member.contact;
    let state = |channel| ChannelAtNode {
        organization: contact.release.clone(),
        namespace: contact.namespace.clone(),
        node: node.host.clone(),
        role: contact.role,
        channel,
    };
    match held {
        Err(error) => vec![state(Err(error))],
        Ok(held) if held.is_empty() => vec![state(Ok(None))],
        Ok(held) => held.into_iter().map(|held| state(Ok(Some(held)))).collect(),
    }
}

fn has_system_channel(member: &Member) -> bool {
    let ordering = member.contact.ordering;
    ordering.is_some_and(|it| it.bootstrap == Bootstrap::Genesis)
}

/// Those of these channels that an orderer with a system channel has. It lists none.
async fn of_names(member: &Member, node: &Node, names: &BTreeSet<String>) -> Result<Vec<Held>> {
    if names.is_empty() {
        return Err(Error::cluster("its channels cannot be listed")
            .why("an orderer with a system channel tells only whether it has a named one")
            .hint("its channels are listed when a peer that has joined them can be read"));
    }
    let orderer = member.orderer(node)?;
    let seek = Seek::stored(Position::Newest);
    let mut held = Vec::new();
    for name in names {
        match orderer.block(name, &seek).await {
            Ok(newest) => held.push(Held {
                name: name.clone(),
                height: newest.header.map_or(0, |header| header.number + 1),
                hash: None,
                status: None,
                relation: None,
            }),
            Err(failed) if is_unknown(&failed) => {}
            Err(failed) => return Err(failed.into()),
        }
    }
    Ok(held)
}

async fn of_orderer(member: &Member, node: &Node) -> Result<Vec<Held>> {
    let rest = member.participation(node)?;
    let names = rest.channels().await?;
    let each = join_all(names.iter().map(|name| rest.channel(name))).await;
    let mut held = Vec::new();
    for info in each {
        held.extend(info?.map(|info| Held {
            name: info.name,
            height: info.height,
            hash: None,
            status: Some(info.status),
            relation: Some(info.consensus_relation),
        }));
    }
    Ok(held)
}

async fn of_peer(member: &Member, node: &Node) -> Result<Vec<Held>> {
    let peer = member.peer(node)?;
    let names = peer.channels().await?;
    let each = join_all(names.into_iter().map(async |name| {
        let chain = peer.chain(&name).await?;
        Ok(Held {
            name,
            height: chain.height,
            hash: Some(hex(&chain.current_block_hash)),
            status: None,
            relation: None,
        })
    }));
    each.await.into_iter().collect()
}
