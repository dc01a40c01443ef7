//! The steps of channels.

use super::Site;
use super::members::settings;
use super::update::update;
use crate::channel::{self, Position, Source, Wanted};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::Node;
use crate::ledger::message::common::Block;
use crate::member::Member;
use crate::network::file::Channel;
use crate::network::step::Action;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Genesis blocks that this run made, by channel.
#[derive(Default)]
pub struct Blocks(Mutex<BTreeMap<String, Arc<Block>>>);

impl Blocks {
    fn get(&self, channel: &str) -> Option<Arc<Block>> {
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.get(channel).cloned()
    }

    fn put(&self, channel: &str, block: Block) {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.insert(channel.to_owned(), Arc::new(block));
    }
}

pub async fn carry_out(site: &Site<'_>, action: &Action, genesis: &Blocks) -> Result<()> {
    match action {
        Action::Genesis { channel } => {
            let channel = &site.network.channels[channel];
            genesis.put(&channel.name, first_block(site, channel).await?);
            Ok(())
        }
        Action::JoinOrderer {
            channel,
            organization,
            node,
            ..
        } => {
            let block = match genesis.get(channel) {
                Some(block) => block,
                None => Arc::new(config_block(site, &site.network.channels[channel]).await?),
            };
            let member = site.member(organization).await?;
            let node = member.contact.node(node)?;
            channel::join_orderer(&member, node, channel, &block).await?;
            Ok(())
        }
        Action::JoinPeer {
            channel,
            organization,
            node,
            ..
        } => {
            let block = match genesis.get(channel) {
                Some(block) => block,
                None => Arc::new(oldest(site, &site.network.channels[channel]).await?),
            };
            let member = site.member(organization).await?;
            let node = member.contact.node(node)?;
            channel::join_peer(&member, node, channel, &block).await?;
            Ok(())
        }
        Action::UpdateChannel { channel, .. } => {
            update(site, &site.network.channels[channel]).await
        }
        other => Err(Error::internal(format!("cannot {other}"))),
    }
}

async fn first_block(site: &Site<'_>, channel: &Channel) -> Result<Block> {
    let (orderers, organizations) = site.participants(channel).await?;
    let settings = settings(site, channel);
    let wanted = Wanted {
        name: &channel.name,
        orderers: &orderers,
        organizations: &organizations,
        settings: &settings,
    };
    Ok(channel::first_block(&wanted)?.1)
}

/// The members with nodes of a channel that can be asked.
pub async fn members<'n>(
    site: &Site<'_>,
    names: impl Iterator<Item = &'n String>,
) -> Vec<Arc<Member>> {
    let each = join_all(names.map(async |name| site.member(name).await));
    each.await.into_iter().flatten().collect()
}

fn sources(members: &[Arc<Member>]) -> Vec<Source<'_>> {
    let each = members.iter().flat_map(|member| {
        let nodes = member.contact.nodes.iter();
        nodes.map(move |node: &Node| Source { member, node })
    });
    each.collect()
}

/// The newest configuration block, from an orderer. An orderer that joined a channel which no other
/// orderer has would begin it anew, and peers that have its ledger could never follow.
async fn config_block(site: &Site<'_>, channel: &Channel) -> Result<Block> {
    let orderers = members(site, channel.orderers.keys()).await;
    let block = channel::fetch(&sources(&orderers), &channel.name, Position::Config).await;
    block.map(|block| block.into_block()).map_err(|error| {
        error
            .why("peers have its ledger, so a new first block would split it")
            .hint("bring back the orderers that have the channel, or choose another name for it")
    })
}

async fn oldest(site: &Site<'_>, channel: &Channel) -> Result<Block> {
    let names = channel.orderers.keys().chain(channel.organizations.keys());
    let all = members(site, names).await;
    let block = channel::fetch(&sources(&all), &channel.name, Position::Oldest).await?;
    Ok(block.into_block())
}

/// Waits until each channel of the file has a leader.
///
/// # Errors
///
/// Channels without one.
pub async fn await_leaders(site: &Site<'_>) -> Result<()> {
    let each = site.network.channels.values().map(async |channel| {
        let orderers = members(site, channel.orderers.keys()).await;
        let ordering = orderers.iter().map(AsRef::as_ref);
        channel::await_leader(ordering, &channel.name, site.options.timeout).await
    });
    let failed: Vec<Error> = join_all(each)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    let places = failed.iter().map(|error| Place::new(error.what()));
    match failed.first() {
        None => Ok(()),
        Some(first) if failed.len() == 1 => Err(first.clone()),
        Some(first) => Err(Error::new(first.kind(), "channels have no leader").at_all(places)),
    }
}
