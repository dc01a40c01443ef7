//! The creation of a channel through channel participation (Fabric 2.3 and later): every orderer
//! gets the same genesis block, then the peers join.

use super::creation::{Creation, create_by_consortium, set_anchors};
use super::genesis::genesis;
use super::join::{self, Join};
use super::outcome::{Did, Outcome, Step};
use super::patience::{self, until};
use super::read::{self, Position, Source};
use super::wanted::{Settings, Wanted};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::Node;

use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::envelope::{self, Seek};
use crate::ledger::message::common::Block;
use crate::member::{Failed, Member, Participant};
use crate::node::{ChannelInfo, Fault, Rest, Status};
use futures::future::{join_all, try_join_all};
use prost::Message;
use std::time::Duration;

/// The channel to create, and the identities that create it.
pub struct Create<'a> {
    pub name: &'a str,
    /// Every organization with orderers (public part) and its administrator, in the same order.
    pub orderers: &'a [Participant],
    pub ordering: &'a [Member],
    /// The public part of every organization with peers.
    pub organizations: &'a [Participant],
    /// The organizations whose peers join.
    pub joining: &'a [Member],
    pub settings: &'a Settings,
    /// Who creates the channel, if the orderers have a system channel (Kafka, and Fabric before
    /// 2.3).
    pub consortium: Option<Consortium<'a>>,
    /// How long to wait until the orderers have a leader.
    pub timeout: Duration,
}

/// A consortium of the system channel.
#[derive(Clone, Copy)]
pub struct Consortium<'a> {
    pub name: &'a str,
    /// The administrators of the channel's organizations with peers.
    pub members: &'a [Member],
}

/// An orderer and its state of the channel.
struct Seen<'a> {
    member: &'a Member,
    node: &'a Node,
    rest: Rest,
    state: Result<Option<ChannelInfo>>,
}

/// Creates or completes a channel.
///
/// # Errors
///
/// Fails for an invalid channel, or for one that exists with another configuration; then nothing
/// was changed. The outcome contains the errors of single nodes.
pub async fn create(create: &Create<'_>) -> Result<Outcome> {
    let Create { name, .. } = *create;
    let wanted = Wanted {
        name,
        orderers: create.orderers,
        organizations: create.organizations,
        settings: create.settings,
        consortium: create.consortium.map(|it| it.name),
    };
    if let Some(Consortium { members, .. }) = create.consortium {
        let creation = Creation {
            wanted,
            members,
            timeout: create.timeout,
        };
        return by_consortium(create, &creation).await;
    }
    let (configuration, own) = first_block(&wanted)?;
    let seen = look(create).await?;
    let block = match seen.iter().any(|it| matches!(it.state, Ok(Some(_)))) {
        true => existing(create, &configuration, &own, &seen).await?,
        false => {
            refuse_leftover(create, &seen).await?;
            own
        }
    };
    let encoded = block.encode_to_vec();
    let orderers = join_all(seen.iter().map(async |it| {
        let did = join_seen(it, name, &encoded).await;
        Step::new(&it.member.contact.release, &it.node.host, did)
    }))
    .await;
    let mut outcome = Outcome { steps: orderers };
    let has_orderer = outcome
        .steps
        .iter()
        .any(|step| !matches!(step.did, Did::Failed(_)));
    let peers = join::join(Join {
        name,
        genesis: &block,
        members: create.joining,
    });
    let leader = async {
        match has_orderer {
            true => await_leader(create.ordering, name, create.timeout).await,
            false => Ok(()),
        }
    };
    let (peers, leader) = futures::join!(peers, leader);
    outcome.steps.extend(peers.steps);
    if outcome.error("").is_none() {
        leader?;
    }
    Ok(outcome)
}

/// Creates a channel through the orderers' system channel, joins the peers and sets the anchor
/// peers. The orderers of the system channel are in it.
async fn by_consortium(create: &Create<'_>, creation: &Creation<'_>) -> Result<Outcome> {
    let genesis = create_by_consortium(creation).await?;
    let outcome = join::join(Join {
        name: create.name,
        genesis: &genesis,
        members: create.joining,
    })
    .await;
    let sources = [Source::all(create.ordering), Source::all(create.joining)].concat();
    set_anchors(creation, &sources).await?;
    Ok(outcome)
}

/// The first configuration of a channel, and the genesis block that has it.
pub fn first_block(wanted: &Wanted<'_>) -> Result<(Configuration, Block)> {
    let configuration = wanted.channel()?.configuration()?;
    let certificates = wanted.orderers.iter().flat_map(|it| &it.certificates);
    let certificates: Vec<&[u8]> = certificates.map(|it| it.tls.as_slice()).collect();
    let block = genesis(wanted.name, &configuration, &certificates)?;
    Ok((configuration, block))
}

/// Queries every orderer for the channel.
async fn look<'a>(create: &'a Create<'_>) -> Result<Vec<Seen<'a>>> {
    let nodes = create
        .ordering
        .iter()
        .flat_map(|member| member.contact.nodes.iter().map(move |node| (member, node)));
    try_join_all(nodes.map(|(member, node)| see(member, node, create.name))).await
}

/// The genesis block from an orderer that has the channel, if it is the desired channel.
async fn existing(
    create: &Create<'_>,
    wanted: &Configuration,
    own: &Block,
    seen: &[Seen<'_>],
) -> Result<Block> {
    let name = create.name;
    let having = seen.iter().filter(|it| matches!(it.state, Ok(Some(_))));
    let sources: Vec<Source<'_>> = having
        .map(|it| Source {
            member: it.member,
            node: it.node,
        })
        .collect();
    let first = read::from_any(&sources, name, Position::Oldest).await?;
    if first.header == own.header {
        return Ok(first);
    }
    let (_, begun) = Configuration::from_block(&first)?;
    let newest = read::from_any(&sources, name, Position::Config).await?;
    let (_, current) = Configuration::from_block(&newest)?;
    let mut changes = Vec::new();
    for there in [&begun, &current] {
        changes = describe(&there.channel, &wanted.channel)?;
        if changes.is_empty() {
            return Ok(first);
        }
    }
    let places = changes
        .into_iter()
        .map(|change| Place::new(name).note(change));
    Err(Error::user(format!(
        "channel \"{name}\" exists with another configuration"
    ))
    .at_all(places)
    .why("the listed settings differ from the requested ones")
    .now("nothing was changed")
    .hint(format!(
        "see its configuration: `kubectl fabric channel show {name}`"
    )))
}

/// Refuses if no orderer responds, or if a peer has a ledger of this name although no orderer has
/// the channel: such a peer could never join the new channel.
async fn refuse_leftover(create: &Create<'_>, seen: &[Seen<'_>]) -> Result<()> {
    let name = create.name;
    let failed = |it: &Seen<'_>| {
        let error = it.state.as_ref().err()?;
        Some(Place::new(it.node.host.clone()).note(format!(
            "{}: {}",
            error.what(),
            error.reasons().join(": ")
        )))
    };
    if seen.iter().all(|it| it.state.is_err()) {
        let places = seen.iter().filter_map(failed);
        let error = Error::cluster(format!(
            "cannot create channel \"{name}\": no orderer responds"
        ));
        let hints = seen.iter().find_map(|it| it.state.as_ref().err());
        let hints = hints.map(Error::hints).unwrap_or_default();
        let error = error.at_all(places).now("nothing was changed");
        return Err(hints
            .iter()
            .fold(error, |error, hint| error.hint(hint.clone())));
    }
    let leftover = join::having(create.joining, name).await;
    if leftover.is_empty() {
        return Ok(());
    }
    let places = leftover
        .iter()
        .map(|node| Place::new(node.clone()).note("it has joined a channel of this name"));
    Err(Error::refused(format!("cannot create channel \"{name}\""))
        .at_all(places)
        .why(
            "these peers have the ledger of an earlier channel of this name, which no responding \
              orderer has: they could not join the new channel",
        )
        .now("nothing was changed")
        .hint("use another name for the channel, or restore the orderers that have it"))
}

/// Joins an orderer with a configuration block, unless it already has the channel.
pub async fn join_orderer(member: &Member, node: &Node, name: &str, block: &Block) -> Result<Did> {
    let seen = see(member, node, name).await?;
    match join_seen(&seen, name, &block.encode_to_vec()).await {
        Did::Failed(error) => Err(error),
        did => Ok(did),
    }
}

async fn see<'a>(member: &'a Member, node: &'a Node, name: &str) -> Result<Seen<'a>> {
    let rest = member.participation(node)?;
    Ok(Seen {
        state: patience::reach(async || Ok(rest.channel(name).await?)).await,
        member,
        node,
        rest,
    })
}

async fn join_seen(seen: &Seen<'_>, name: &str, block: &[u8]) -> Did {
    let state = match &seen.state {
        Err(error) => return Did::Failed(error.clone()),
        Ok(Some(info)) => return consents(info, Did::Unchanged),
        Ok(None) => seen.rest.join(block).await,
    };
    match state {
        Ok(info) => consents(&info, Did::Joined),
        // Another run was faster, or the response was lost.
        Err(fault) => match seen.rest.channel(name).await {
            Ok(Some(info)) => consents(&info, joined_by(&fault)),
            _ => Did::Failed(fault.into()),
        },
    }
}

/// HTTP 405 means that the orderer already has the channel.
fn joined_by(fault: &Fault) -> Did {
    match fault.refusal().map(|refusal| refusal.status) {
        Some(Status::Http(405)) => Did::Unchanged,
        _ => Did::Joined,
    }
}

/// An orderer that is not a consenter follows the others and does not order.
fn consents(info: &ChannelInfo, did: Did) -> Did {
    if info.consensus_relation == "consenter" {
        return did;
    }
    Did::Failed(
        Error::user(format!(
            "it is not a consenter of the channel, but a {:?}",
            info.consensus_relation
        ))
        .why("its certificate is not in the channel's configuration")
        .hint(format!(
            "`kubectl fabric channel show {}` shows the consenters and their certificates",
            info.name
        )),
    )
}

/// Waits until an orderer has a leader. Without one, it delivers nothing and accepts no
/// transactions.
pub async fn await_leader<'a>(
    ordering: impl IntoIterator<Item = &'a Member>,
    name: &str,
    timeout: Duration,
) -> Result<()> {
    let seek = Seek::one(envelope::Position::Newest);
    let passes = |fault: &Fault| {
        let refusal = fault.refusal();
        refusal.is_some_and(|it| it.is_not_found() || it.is_unavailable())
    };
    let mut last = Error::internal("a channel without orderers");
    for member in ordering {
        for node in &member.contact.nodes {
            let orderer = member.orderer(node)?;
            let first = async || orderer.block(name, &seek).await;
            match until(timeout, passes, first).await {
                Ok(_) => return Ok(()),
                Err(failed @ Failed::Fault(_)) => last = failed.into(),
                Err(failed) => return Err(failed.into()),
            }
        }
    }
    Err(Error::not_ready(format!(
        "the orderers of channel \"{name}\" have no leader yet"
    ))
    .why(last.what())
    .why(last.reasons().join(": "))
    .now("the channel exists, and its orderers and peers have joined")
    .hint("check the logs of the orderers; run the same command again to wait for them"))
}
