//! Lists the channels of each node, with their heights.

use crate::error::Result;
use crate::fabric::contact::Node;
use crate::identity::NodeRole;
use crate::identity::certificate::hex;
use crate::member::Member;
use futures::future::join_all;

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
    let nodes = members
        .iter()
        .flat_map(|member| member.contact.nodes.iter().map(move |node| (member, node)));
    let ask = nodes.map(async |(member, node)| {
        let contact = &member.contact;
        let held = match contact.role {
            NodeRole::Orderer => of_orderer(member, node).await,
            NodeRole::Peer => of_peer(member, node).await,
        };
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
    });
    join_all(ask).await.concat()
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
