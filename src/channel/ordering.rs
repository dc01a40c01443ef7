//! Orderers of a channel whose consenters change: finds which are active, and joins new ones first.

use super::change::{Consenters, Presence, check_quorum};
use super::live::Current;
use super::outcome::{Did, Step};
use crate::error::{Error, Result};
use crate::fabric::contact::Node;
use crate::identity::NodeRole;
use crate::ledger::config_tree::Group;
use crate::member::Member;
use crate::node::ChannelInfo;
use futures::future::join_all;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Prepares a change of consenters: a new consenter joins the channel first, and fetches the blocks
/// before it counts. Does nothing if the consenters do not change.
///
/// # Errors
///
/// Fails for a change that would cost the orderers their quorum, and for an orderer that cannot
/// join. Nothing was submitted then.
pub async fn prepare_consenters(
    members: &[Member],
    name: &str,
    current: &Current,
    next: &Group,
) -> Result<Vec<Step>> {
    let from = &current.configuration.channel;
    let (before, after) = (
        Consenters::of(from)?.by_address(),
        Consenters::of(next)?.by_address(),
    );
    if before == after {
        return Ok(Vec::new());
    }
    let states = states(members, name).await;
    check_quorum(from, next, |address| match states.get(address) {
        Some((_, Ok(Some(info)))) if info.status == "active" => Presence::Active,
        Some(_) => Presence::Down,
        None => Presence::Unknown,
    })
    .map_err(|error| error.now("nothing was changed"))?;
    let added: BTreeSet<&String> = after
        .keys()
        .filter(|it| !before.contains_key(*it))
        .collect();
    let mut steps = Vec::new();
    for (address, (at, state)) in &states {
        if !added.contains(address) {
            continue;
        }
        let did = match state {
            Ok(Some(_)) => Ok(Did::Unchanged),
            Ok(None) => join(at, name, current).await.map(|()| Did::Joined),
            Err(error) => Err(error.clone()),
        };
        let did = did.map_err(|error| {
            error
                .context(format!(
                    "{} cannot join channel \"{name}\", so it cannot become a consenter",
                    at.node.host
                ))
                .now("the channel was not changed")
        })?;
        steps.push(Step::new(&at.member.contact.release, &at.node.host, did));
    }
    Ok(steps)
}

/// An orderer that can be queried.
struct At<'a> {
    member: &'a Member,
    node: &'a Node,
}

/// Returns the channel's state at the orderers of these members, by their addresses for other
/// orderers.
async fn states<'a>(
    members: &'a [Member],
    name: &str,
) -> BTreeMap<String, (At<'a>, Result<Option<ChannelInfo>>)> {
    let orderers = members
        .iter()
        .filter(|it| it.contact.role == NodeRole::Orderer);
    let nodes = orderers.flat_map(|member| {
        let nodes = member.contact.nodes.iter();
        nodes.map(move |node| At { member, node })
    });
    let ask = nodes.map(async |at| {
        let asked = async {
            let rest = at.member.participation(at.node)?;
            Ok::<_, Error>(rest.channel(name).await?)
        };
        let state = asked.await;
        let address = format!("{}:{}", at.node.host, at.node.cluster_port);
        (address, (at, state))
    });
    join_all(ask).await.into_iter().collect()
}

async fn join(at: &At<'_>, name: &str, current: &Current) -> Result<()> {
    let block = current.block.clone().into_block().encode_to_vec();
    let rest = at.member.participation(at.node)?;
    match rest.join(&block).await {
        Ok(_) => Ok(()),
        // Another run was faster, or the response was lost.
        Err(fault) => match rest.channel(name).await {
            Ok(Some(_)) => Ok(()),
            _ => Err(fault.into()),
        },
    }
}
