//! Lists the chaincodes of peers, by channel.

use super::definition::{Definition, policy_words};
use super::endorse::place;
use super::lifecycle::{Lifecycle, installed};
use crate::error::{Error, Place, Result};
use crate::ledger::message::lifecycle::InstalledChaincode;
use crate::member::Member;
use futures::future::join_all;
use std::collections::BTreeSet;

/// A chaincode of a channel, or a package that no channel uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The name of the chaincode, or the label of an unused package.
    pub name: String,
    pub channel: Option<String>,
    pub version: Option<String>,
    pub sequence: Option<i64>,
    pub policy: Option<String>,
    /// MSP ids.
    pub approved_by: Vec<String>,
    pub not_approved_by: Vec<String>,
    /// Peers with the approved package of their organization.
    pub installed_on: Vec<String>,
    /// Ids of these packages.
    pub packages: Vec<String>,
}

/// The state of a peer.
struct Seen {
    peer: String,
    channels: Vec<String>,
    packages: Vec<InstalledChaincode>,
}

/// Returns the chaincodes of these members' peers, and the peers that did not respond.
pub async fn listed(members: &[Member]) -> (Vec<Listed>, Vec<Place>) {
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    let mut asked: Vec<(&Member, String)> = Vec::new();
    for (member, all) in members.iter().zip(join_all(members.iter().map(look)).await) {
        for peer in all {
            match peer {
                Ok(peer) => {
                    for channel in &peer.channels {
                        // Each channel is read from the first organization that has joined it.
                        if !asked.iter().any(|(_, name)| name == channel) {
                            asked.push((member, channel.clone()));
                        }
                    }
                    seen.push(peer);
                }
                Err(place) => failed.push(place),
            }
        }
    }
    let mut all = Vec::new();
    let of_channels = asked
        .iter()
        .map(|(member, channel)| of_channel(member, channel));
    for ((_, channel), listed) in asked.iter().zip(join_all(of_channels).await) {
        match listed {
            Ok(listed) => all.extend(listed),
            Err(error) => failed.push(place(channel, &error)),
        }
    }
    for it in &mut all {
        add_packages(it, &seen);
    }
    all.extend(unused(&seen));
    all.sort_by(|one, other| (&one.name, &one.channel).cmp(&(&other.name, &other.channel)));
    (all, failed)
}

async fn look(member: &Member) -> Vec<Result<Seen, Place>> {
    let nodes = member.contact.nodes.iter();
    join_all(nodes.map(async |node| {
        let seen = async {
            let peer = member.peer(node)?;
            let (channels, packages) = futures::join!(peer.channels(), installed(&peer));
            Ok::<Seen, Error>(Seen {
                peer: node.host.clone(),
                channels: channels?,
                packages: packages?,
            })
        };
        seen.await.map_err(|error| place(&node.host, &error))
    }))
    .await
}

async fn of_channel(member: &Member, channel: &str) -> Result<Vec<Listed>> {
    let lifecycle = Lifecycle { member };
    let committed = lifecycle.committed(channel).await?;
    let each = committed.into_iter().map(async |it| {
        let approvals = lifecycle.approvals_of(channel, &it.name).await?;
        let whose = |approved: bool| {
            let all = approvals.iter().filter(move |(_, is)| **is == approved);
            all.map(|(msp_id, _)| msp_id.clone()).collect()
        };
        let Definition {
            version, policy, ..
        } = &it.definition;
        Ok(Listed {
            name: it.name,
            channel: Some(channel.to_owned()),
            version: Some(version.clone()),
            sequence: Some(it.sequence),
            policy: Some(policy_words(policy)),
            approved_by: whose(true),
            not_approved_by: whose(false),
            ..Listed::default()
        })
    });
    join_all(each).await.into_iter().collect()
}

fn uses(package: &InstalledChaincode, it: &Listed) -> bool {
    package.references.iter().any(|entry| {
        let chaincodes = entry.value.iter().flat_map(|value| &value.chaincodes);
        entry.key == it.channel && chaincodes.into_iter().any(|of| of.name == it.name)
    })
}

fn add_packages(it: &mut Listed, seen: &[Seen]) {
    let mut packages = BTreeSet::new();
    for peer in seen {
        let Some(package) = peer.packages.iter().find(|package| uses(package, it)) else {
            continue;
        };
        packages.insert(package.package_id.clone());
        it.installed_on.push(peer.peer.clone());
    }
    it.packages = packages.into_iter().collect();
}

/// The packages that no chaincode uses.
fn unused(seen: &[Seen]) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    let packages = seen
        .iter()
        .flat_map(|peer| peer.packages.iter().map(move |package| (peer, package)));
    for (peer, package) in packages.filter(|(_, package)| package.references.is_empty()) {
        let id = std::slice::from_ref(&package.package_id);
        match all.iter_mut().find(|it| it.packages == id) {
            Some(it) => it.installed_on.push(peer.peer.clone()),
            None => all.push(Listed {
                name: package.label.clone(),
                installed_on: vec![peer.peer.clone()],
                packages: id.to_vec(),
                ..Listed::default()
            }),
        }
    }
    all
}
