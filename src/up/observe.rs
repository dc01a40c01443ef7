//! Observes the state of the cluster and the nodes.

use super::compose::label;
use super::definitions::definitions;
use super::release::look;
use super::run::words;
use super::{Site, exchange, system, update};
use crate::chaincode::{installed, installed_by_lscc};
use crate::error::{Error, Result};
use crate::fabric::Bootstrap;
use crate::fabric::contact::Node;
use crate::identity::NodeRole;
use crate::identity::certificate::hex;
use crate::ledger::block;
use crate::ledger::envelope::{self, Seek};
use crate::ledger::message::common::Block;
use crate::member::{self, Failed, Member, Peer};
use crate::network::state::{self, Known, Membership, NodeKey, Observed, Release, ReleaseKey};
use crate::release::{Entry, NETWORK_LABEL, Status};
use crate::storage;
use futures::future::{join_all, try_join_all};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads everything that the plan needs.
///
/// # Errors
///
/// Fails for releases that cannot match the file. Unreadable states are unknown.
pub async fn observe(site: &Site<'_>) -> Result<Observed> {
    let mut observed = Observed::default();
    site.elsewhere().await?;
    let keys = site.composed.wanted.releases.keys();
    let keys = keys.filter(|key| !of_partner(site, key));
    let seen = keys.map(async |key| Ok::<_, Error>((key.clone(), look(site, key).await?)));
    for (key, seen) in try_join_all(seen).await? {
        if site.network.namespace(&key.release) == Some(&key.namespace) {
            let identities = seen.identities;
            observed.identities.insert(key.release.clone(), identities);
        }
        observed.releases.insert(key, seen.release);
    }
    if let Some(why) = nothing_known(&observed) {
        return Err(Error::cluster("cannot read any release of the network").why(why));
    }
    others(site, &mut observed).await;
    observed.system_genesis = system::observe(site, &observed).await;
    let present = present(site, &observed);
    let nodes = join_all(present.iter().map(async |name| nodes(site, name).await));
    observed.nodes.extend(nodes.await.into_iter().flatten());
    let channels = site.network.channels.values();
    let channels = channels.filter(|channel| is_joined(&observed, &channel.name));
    let channels: Vec<_> = channels.collect();
    let changes = join_all(channels.iter().map(async |channel| {
        let compared = update::compare(site, channel).await;
        (channel.name.clone(), known(compared))
    }));
    let pairs = site.network.chaincodes.values().flat_map(|chaincode| {
        let on = chaincode.channels.iter();
        let on = on.filter(|name| channels.iter().any(|channel| channel.name == **name));
        on.map(move |channel| (chaincode, channel))
    });
    let definitions = join_all(pairs.map(async |(chaincode, channel)| {
        let found = definitions(site, chaincode, channel).await;
        ((chaincode.name.clone(), channel.clone()), known(found))
    }));
    let (changes, definitions) = futures::join!(changes, definitions);
    let mut members = BTreeSet::new();
    for (channel, compared) in changes {
        let changes = match compared {
            Known::Known(compared) => {
                members.extend(compared.members);
                observed.staying.insert(channel.clone(), compared.staying);
                Known::Known(compared.changes)
            }
            Known::Unknown(why) => Known::Unknown(why),
        };
        observed.channels.insert(channel, changes);
    }
    observed.definitions.extend(definitions);
    observed.elsewhere = exchange::known(site, &members)?;
    for channel in site.network.channels.values() {
        if site.partners(channel).next().is_some() && site.handed_block(channel)?.is_some() {
            observed.blocks.insert(channel.name.clone());
        }
    }
    Ok(observed)
}

/// Why no release could be read, for example because the API server does not answer.
fn nothing_known(observed: &Observed) -> Option<String> {
    let mut whys = observed.releases.values().map(|release| match release {
        Known::Unknown(why) => Some(why),
        Known::Known(_) => None,
    });
    let first = whys.next()??;
    whys.all(|why| why.is_some()).then(|| first.clone())
}

/// Whether a release is in the namespace of an organization that is not seen from here.
fn of_partner(site: &Site<'_>, key: &ReleaseKey) -> bool {
    let mut organizations = site.network.organizations.values();
    organizations.any(|it| {
        let installation = &it.installation;
        installation.namespace == key.namespace && site.is_elsewhere(&installation.release)
    })
}

pub fn known<T>(result: Result<T>) -> Known<T> {
    match result {
        Ok(value) => Known::Known(value),
        Err(error) => Known::Unknown(words(&error)),
    }
}

/// Releases that an earlier version of the file brought up. Where they may not be listed, none are
/// known, and nothing depends on them.
async fn others(site: &Site<'_>, observed: &mut Observed) {
    let Ok(found) = storage::list_readable(site.cluster).await else {
        return;
    };
    let own = (NETWORK_LABEL.to_owned(), label(site.network));
    let entries = found.entries.iter().filter_map(Entry::summary);
    let of_network = entries
        .filter(|it| it.labels.get(&own.0) == Some(&own.1) && it.status != Status::Uninstalled);
    let mut left = Vec::new();
    for it in of_network {
        let key = ReleaseKey::new(&it.release, &it.namespace);
        if observed.releases.contains_key(&key) || of_partner(site, &key) {
            continue;
        }
        match it.chart.as_str() {
            "chaincode" => drop(observed.servers.insert(key.clone())),
            _ => left.push(member::contact(site.cluster, &it.namespace, &it.release)),
        }
        let release = Release::Present {
            digest: String::new(),
            settled: it.status == Status::Deployed,
        };
        observed.releases.insert(key, Known::Known(release));
    }
    // Releases of Kafka are no organizations.
    let contacts = join_all(left).await.into_iter().flatten();
    site.remember_left(contacts.collect());
}

/// Returns the installed organizations of the file.
fn present<'a>(site: &'a Site<'_>, observed: &Observed) -> Vec<&'a String> {
    let is_present = |name: &&String| {
        let namespace = site.network.namespace(name).unwrap_or_default();
        let release = observed.releases.get(&ReleaseKey::new(name, namespace));
        matches!(release, Some(Known::Known(Release::Present { .. })))
    };
    site.network
        .organizations
        .keys()
        .filter(is_present)
        .collect()
}

fn is_joined(observed: &Observed, channel: &str) -> bool {
    let known = observed.nodes.values().filter_map(Known::known);
    known
        .into_iter()
        .any(|node| node.channels.contains_key(channel))
}

/// Returns the state of an organization's nodes.
async fn nodes(site: &Site<'_>, organization: &str) -> Vec<(NodeKey, Known<state::Node>)> {
    let wanted = &site.network.organizations[organization].member.nodes;
    let member = match site.member(organization).await {
        Ok(member) => member,
        Err(error) => {
            let why = words(&error);
            let unknown = |node: &String| {
                let key = NodeKey::new(organization, node);
                (key, Known::Unknown(why.clone()))
            };
            return wanted.iter().map(unknown).collect();
        }
    };
    let there = &member.contact.nodes;
    let new = wanted
        .iter()
        .filter(|name| !there.iter().any(|node| node.name == **name));
    // A node that does not exist yet has nothing, unless its volume was kept; this shows when it
    // joins.
    let new = new.map(|name| {
        (
            NodeKey::new(organization, name),
            Known::Known(state::Node::default()),
        )
    });
    let asked = join_all(there.iter().map(async |node| {
        let found = match member.contact.role {
            NodeRole::Orderer => orderer(site, &member, node).await,
            NodeRole::Peer => peer(site, &member, node).await,
        };
        (NodeKey::new(organization, &node.name), known(found))
    }));
    let mut all: Vec<_> = new.collect();
    all.extend(asked.await);
    all
}

async fn orderer(site: &Site<'_>, member: &Arc<Member>, node: &Node) -> Result<state::Node> {
    let ordering = member.contact.ordering;
    if ordering.is_some_and(|it| it.bootstrap == Bootstrap::Genesis) {
        return system::channels(site, member, node).await;
    }
    let rest = member.participation(node)?;
    let names = rest.channels().await?;
    let grpc = member.orderer(node)?;
    let each = names.into_iter().map(async |name| {
        let info = rest.channel(&name).await?;
        let seek = Seek::stored(envelope::Position::Oldest);
        let genesis = match site.network.channels.contains_key(&name) {
            true => hash(grpc.block(&name, &seek).await),
            false => String::new(),
        };
        let height = info.map(|info| info.height).unwrap_or_default();
        Ok::<_, Error>((name, Membership { height, genesis }))
    });
    Ok(state::Node {
        channels: try_join_all(each).await?.into_iter().collect(),
        packages: BTreeSet::new(),
    })
}

async fn peer(site: &Site<'_>, member: &Arc<Member>, node: &Node) -> Result<state::Node> {
    let peer = member.peer(node)?;
    let channels = async {
        let names = peer.channels().await?;
        let each = names.into_iter().map(async |name| {
            let is_named = site.network.channels.contains_key(&name);
            let genesis = async {
                match is_named {
                    true => hash(peer.block(&name, 0).await),
                    false => String::new(),
                }
            };
            let (chain, genesis) = futures::join!(peer.chain(&name), genesis);
            let height = chain?.height;
            Ok::<_, Failed>((name, Membership { height, genesis }))
        });
        try_join_all(each).await
    };
    let packages = packages(site, &peer, member.contact.version.major);
    let (channels, packages) = futures::join!(channels, packages);
    Ok(state::Node {
        channels: channels?.into_iter().collect(),
        packages: packages?,
    })
}

/// The packages of a peer: those of `_lifecycle` (since 2.0), and those of `lscc` if the file has a
/// chaincode of that.
async fn packages(site: &Site<'_>, peer: &Peer<'_>, major: u64) -> Result<BTreeSet<String>> {
    let mut packages = BTreeSet::new();
    if !site.composed.deployments.is_empty() {
        packages.extend(installed_by_lscc(peer).await?);
    }
    if !site.composed.packages.is_empty() && major >= 2 {
        let installed = installed(peer).await?;
        packages.extend(installed.into_iter().map(|it| it.package_id));
    }
    Ok(packages)
}

/// Returns the hash of the first block, in hex. A peer that joined from a snapshot, and an orderer
/// that is still fetching the channel, do not have it.
pub fn hash(block: Result<Block, Failed>) -> String {
    let header = block.ok().and_then(|block| block.header);
    header
        .map(|header| hex(&block::hash(&header)))
        .unwrap_or_default()
}
