//! Plans the steps of channels: genesis blocks, configuration updates, joins.

use super::{Builder, release_id, why};
use crate::error::{Error, Place, Result};
use crate::network::file::Channel;
use crate::network::plan::members;
use crate::network::state::{Known, Node};
use crate::network::step::Action;
use std::collections::BTreeSet;

/// Determines whether a channel exists, and which node or file has its genesis block.
enum Existence {
    Exists {
        block_from: String,
        /// Whether a node that is seen from here has joined.
        joined: bool,
    },
    Missing,
    /// It is made by orderers that are not seen from here.
    Elsewhere,
    Unknown(String),
}

impl Builder<'_> {
    pub fn channels(&mut self) -> Result<()> {
        for channel in self.network().channels.values() {
            let existence = self.existence(channel)?;
            let block_from = match &existence {
                Existence::Exists { block_from, .. } => Some(block_from.clone()),
                _ => None,
            };
            match existence {
                Existence::Missing => self.create(channel),
                Existence::Exists { joined: true, .. } => self.update(channel),
                // Its configuration is read once a node has joined.
                Existence::Exists { joined: false, .. } => {}
                Existence::Elsewhere => self.await_block(channel),
                Existence::Unknown(why) => {
                    let what = format!("whether {} exists", channel.name);
                    self.unknown(format!("channel/{}", channel.name), what, &why);
                }
            }
            self.joins(channel, block_from.as_deref());
        }
        Ok(())
    }

    /// Whether a channel exists. Only nodes that are seen from here decide it.
    fn existence(&self, channel: &Channel) -> Result<Existence> {
        let orderers = channel.orderers.iter();
        let orderers =
            orderers.flat_map(|(name, it)| it.consenters.iter().map(move |node| (name, node)));
        let peers = channel.organizations.iter();
        let peers = peers.flat_map(|(name, it)| it.peers.iter().map(move |node| (name, node)));
        let (mut joined, mut all_known) = (Vec::new(), true);
        for (organization, node) in orderers.chain(peers) {
            if self.is_elsewhere(organization) {
                continue;
            }
            match self.node(organization, node) {
                Known::Known(state) => {
                    if let Some(membership) = state.channels.get(&channel.name) {
                        joined.push((
                            format!("{node} of {organization}"),
                            membership.genesis.clone(),
                        ));
                    }
                }
                Known::Unknown(_) => all_known = false,
            }
        }
        agree(&channel.name, &joined)?;
        if let Some((block_from, _)) = joined.into_iter().next() {
            return Ok(Existence::Exists {
                block_from,
                joined: true,
            });
        }
        let mut orderers = channel.orderers.keys();
        let away: Vec<&String> = orderers
            .clone()
            .filter(|it| self.is_elsewhere(it))
            .collect();
        Ok(match (all_known, away.first()) {
            (false, _) => Existence::Unknown("not all of its orderers responded".to_owned()),
            (true, None) => Existence::Missing,
            (true, Some(_)) if self.observed.blocks.contains(&channel.name) => Existence::Exists {
                block_from: channel.block_file(),
                joined: false,
            },
            (true, Some(away)) => match orderers.next() {
                Some(first) if !self.is_elsewhere(first) => Existence::Unknown(format!(
                    "the certificates of {away}'s orderers cannot be read, so it cannot be created \
                     from here"
                )),
                _ => Existence::Elsewhere,
            },
        })
    }

    /// The orderers that make the channel are seen by others, who hand over its genesis block.
    fn await_block(&mut self, channel: &Channel) {
        let orderers: Vec<&String> = channel.orderers.keys().collect();
        let action = Action::Block {
            channel: channel.name.clone(),
            file: channel.block_file(),
        };
        self.step(action, orderers, []);
    }

    fn create(&mut self, channel: &Channel) {
        let network = self.network();
        let identities = members(network, &channel.name).into_iter();
        let mut after: Vec<String> = identities.map(|it| format!("identities/{it}")).collect();
        if channel.system.is_none() {
            let by: Vec<&String> = channel.orderers.keys().take(1).collect();
            self.step(
                Action::Genesis {
                    channel: channel.name.clone(),
                },
                by,
                after,
            );
            return;
        }
        after.extend(self.orderer_releases(channel));
        let by: Vec<&String> = channel.organizations.keys().collect();
        self.step(
            Action::CreateChannel {
                channel: channel.name.clone(),
            },
            by,
            after,
        );
        for (organization, member) in &channel.organizations {
            let action = Action::Anchors {
                channel: channel.name.clone(),
                organization: organization.clone(),
                peers: member.anchors.clone(),
            };
            self.step(
                action,
                [organization],
                [format!("channel/{}", channel.name)],
            );
        }
    }

    fn update(&mut self, channel: &Channel) {
        let name = channel.name.clone();
        match self.observed.channels.get(&name) {
            Some(Known::Known(changes)) if changes.is_empty() => {}
            Some(Known::Known(changes)) => {
                let signers: BTreeSet<String> = changes
                    .iter()
                    .flat_map(|change| change.signers.clone())
                    .collect();
                let signers: Vec<String> = signers.into_iter().collect();
                let identities = members(self.network(), &name).into_iter();
                let mut after: Vec<String> =
                    identities.map(|it| format!("identities/{it}")).collect();
                after.extend(self.orderer_releases(channel));
                let changes = changes.iter().map(|change| change.words.clone()).collect();
                let action = Action::UpdateChannel {
                    channel: name,
                    changes,
                    signers: signers.clone(),
                };
                self.step(action, signers, after);
            }
            other => {
                let what = format!("the configuration of {name}");
                self.unknown(format!("update/{name}"), what, why(other));
            }
        }
    }

    /// Returns the ids of the releases that run a channel's orderers.
    fn orderer_releases(&self, channel: &Channel) -> Vec<String> {
        let named = channel.orderers.keys();
        named
            .filter_map(|name| Some(release_id(name, self.network().namespace(name)?)))
            .collect()
    }

    fn joins(&mut self, channel: &Channel, block_from: Option<&str>) {
        let orderers = channel
            .orderers
            .iter()
            .filter(|(name, _)| !self.is_elsewhere(name));
        let orderers: Vec<_> = orderers.collect();
        let peers = channel
            .organizations
            .iter()
            .filter(|(name, _)| !self.is_elsewhere(name));
        let peers: Vec<_> = peers.collect();
        for (organization, member) in orderers {
            // Orderers of a system channel are in each channel that it creates.
            if channel.system.is_none() {
                self.join(channel, organization, &member.consenters, block_from);
            }
        }
        for (organization, member) in peers {
            self.join(channel, organization, &member.peers, block_from);
        }
    }

    /// Joins the nodes of an organization that are not in the channel yet.
    fn join(
        &mut self,
        channel: &Channel,
        organization: &String,
        nodes: &[String],
        block_from: Option<&str>,
    ) {
        let is_orderer = channel.orderers.contains_key(organization);
        let namespace = self.network().namespace(organization).unwrap_or_default();
        let is_in = |state: &Known<Node>| {
            let node = state.known();
            node.is_some_and(|node| node.channels.contains_key(&channel.name))
        };
        let state = |node: &String| (node.clone(), self.node(organization, node));
        let states: Vec<(String, Known<Node>)> = nodes.iter().map(state).collect();
        let mut after = vec![
            format!("channel/{}", channel.name),
            release_id(organization, namespace),
        ];
        // A new member must first be added to the configuration.
        if is_orderer || !states.iter().any(|(_, state)| is_in(state)) {
            after.push(format!("update/{}", channel.name));
        }
        for (node, state) in states.into_iter().filter(|(_, state)| !is_in(state)) {
            let (channel, organization) = (channel.name.clone(), organization.clone());
            let (by, block_from) = ([organization.clone()], block_from.map(str::to_owned));
            let action = match is_orderer {
                true => Action::JoinOrderer {
                    channel,
                    organization,
                    node,
                    block_from,
                },
                false => Action::JoinPeer {
                    channel,
                    organization,
                    node,
                    block_from,
                },
            };
            match state {
                Known::Known(_) => self.step(action, by, after.clone()),
                Known::Unknown(why) => {
                    let what = format!("the channels of {} of {}", action.node(), by[0]);
                    self.unknown(action.id(), what, &why);
                }
            }
        }
    }
}

/// All nodes of a channel have the same genesis block.
fn agree(channel: &str, joined: &[(String, String)]) -> Result<()> {
    let hashes = joined.iter().map(|(_, hash)| hash.as_str());
    let hashes: BTreeSet<&str> = hashes.filter(|hash| !hash.is_empty()).collect();
    if hashes.len() < 2 {
        return Ok(());
    }
    let places = joined.iter().map(|(node, hash)| {
        Place::new(node).note(format!("genesis block {}", hash.get(..12).unwrap_or(hash)))
    });
    let what = format!("nodes have joined channel \"{channel}\" with different genesis blocks");
    Err(Error::refused(what)
        .at_all(places)
        .why("these are two separate channels with the same name")
        .hint("find out which one the network uses before you remove nodes from the other"))
}
