//! Runs the steps of channels.

use super::members::{releases, settings};
use super::update::{anchors, update};
use super::{Site, system};
use crate::channel::{self, Position, Source, Wanted};
use crate::error::{Error, Place, Result};
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::message::common::Block;
use crate::network::file::Channel;
use crate::network::step::Action;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Genesis blocks that this run created, by channel.
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
            genesis.put(&channel.name, first(site, channel, None).await?.1);
            Ok(())
        }
        Action::CreateChannel { channel } => {
            let channel = &site.network.channels[channel];
            genesis.put(&channel.name, system::create(site, channel).await?);
            Ok(())
        }
        Action::Anchors {
            channel,
            organization,
            ..
        } => anchors(site, &site.network.channels[channel], organization).await,
        Action::JoinOrderer {
            channel: name,
            organization,
            node,
            ..
        }
        | Action::JoinPeer {
            channel: name,
            organization,
            node,
            ..
        } => {
            let is_orderer = matches!(action, Action::JoinOrderer { .. });
            let channel = &site.network.channels[name];
            let block = match (genesis.get(name), is_orderer) {
                (Some(block), _) => block,
                (None, true) => Arc::new(config_block(site, channel).await?),
                (None, false) => Arc::new(oldest(site, channel).await?),
            };
            let member = site.member(organization).await?;
            let node = member.contact.node(node)?;
            match is_orderer {
                true => channel::join_orderer(&member, node, name, &block).await?,
                false => channel::join_peer(&member, node, name, &block).await?,
            };
            Ok(())
        }
        Action::UpdateChannel { channel, .. } => {
            update(site, &site.network.channels[channel]).await
        }
        Action::Leave {
            channel,
            organization,
            node,
        } => {
            let member = site.member(organization).await?;
            let rest = member.participation(member.contact.node(node)?)?;
            rest.remove(channel).await?;
            Ok(())
        }
        other => Err(Error::internal(format!("cannot {other}"))),
    }
}

/// The channel's first configuration by the file, and the genesis block that has it. `current` is
/// its present configuration, if it exists.
pub async fn first(
    site: &Site<'_>,
    channel: &Channel,
    current: Option<&Group>,
) -> Result<(Configuration, Block)> {
    let (orderers, organizations) = site.participants(channel, current).await?;
    let known = releases(&orderers, &organizations);
    channel::first_block(&Wanted {
        name: &channel.name,
        orderers: &orderers,
        organizations: &organizations,
        settings: &settings(site, channel, &known),
        consortium: system::consortium(channel),
    })
}

/// Returns the newest configuration block from an orderer. If an orderer joined a channel that no
/// other orderer has, it would start the channel again, and peers with the old ledger could never
/// follow.
async fn config_block(site: &Site<'_>, channel: &Channel) -> Result<Block> {
    let orderers = site.members(channel.orderers.keys()).await;
    let block = channel::fetch(&Source::all(&orderers), &channel.name, Position::Config).await;
    block.map(|block| block.into_block()).map_err(|error| {
        error
            .why("peers already have its ledger, which a new genesis block would split")
            .hint("bring back the orderers that have the channel, or choose another name for it")
    })
}

async fn oldest(site: &Site<'_>, channel: &Channel) -> Result<Block> {
    let all = site.members_of(channel).await;
    match channel::fetch(&Source::all(&all), &channel.name, Position::Oldest).await {
        Ok(block) => Ok(block.into_block()),
        // The orderers may not be seen from here.
        Err(error) => site.handed_block(channel)?.ok_or(error),
    }
}

/// Waits until each of these channels has a leader.
///
/// # Errors
///
/// Channels without one.
pub async fn await_leaders(site: &Site<'_>, names: &BTreeSet<&str>) -> Result<()> {
    let channels = site.network.channels.values();
    let channels = channels.filter(|it| names.contains(it.name.as_str()));
    let each = channels.map(async |channel| {
        let orderers = site.members(channel.orderers.keys()).await;
        channel::await_leader(&orderers, &channel.name, site.options.timeout).await
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
