//! A simulated cluster on which plans are run.

use crate::network::file::Network;
use crate::network::plan::{Plan, Removal, plan};
use crate::network::state::*;
use crate::network::step::Action;
use std::collections::BTreeMap;

/// Returns the desired state of the file, with fake digests and package ids.
pub fn wanted(network: &Network) -> Wanted<'_> {
    let mut releases = BTreeMap::new();
    for it in network.installations() {
        let key = ReleaseKey::new(&it.release, &it.namespace);
        releases.insert(key, it.values.tree.to_string());
    }
    let (mut packages, mut definitions) = (BTreeMap::new(), BTreeMap::new());
    for (name, chaincode) in &network.chaincodes {
        for (channel, organizations) in &chaincode.organizations {
            let digest = format!("{}{:?}", chaincode.version, chaincode.policy);
            definitions.insert((name.clone(), channel.clone()), digest);
            for organization in organizations {
                let id = format!("{}:{organization}", chaincode.label);
                packages.insert((name.clone(), organization.clone()), id.clone());
                let namespace = network.namespace(organization).unwrap();
                let key = ReleaseKey::new(&chaincode.release, namespace);
                releases.insert(key, format!("{:?}{id}", chaincode.image));
            }
        }
    }
    Wanted {
        network,
        releases,
        packages,
        definitions,
    }
}

/// Returns an empty cluster for everything in the file.
pub fn nothing(wanted: &Wanted) -> Observed {
    let network = wanted.network;
    let absent = |key: &ReleaseKey| (key.clone(), Known::Known(Release::Absent { data: false }));
    let names = || network.organizations.keys().cloned();
    Observed {
        releases: wanted.releases.keys().map(absent).collect(),
        identities: names().map(|name| (name, Known::Known(false))).collect(),
        system_genesis: names().map(|name| (name, Known::Known(false))).collect(),
        ..Observed::default()
    }
}

/// Runs steps on a cluster, like the edge.
pub fn carry_out<'s>(
    wanted: &Wanted,
    observed: &mut Observed,
    actions: impl IntoIterator<Item = &'s Action>,
) {
    for action in actions {
        of_release(wanted, observed, action.clone());
        of_channel(wanted, observed, action.clone());
        of_chaincode(wanted, observed, action.clone());
    }
}

fn of_release(wanted: &Wanted, observed: &mut Observed, action: Action) {
    match action {
        Action::Identities { organization } => {
            observed.identities.insert(organization, Known::Known(true));
        }
        Action::SystemGenesis { organization, .. } => {
            observed
                .system_genesis
                .insert(organization, Known::Known(true));
        }
        Action::Install { release, namespace } | Action::Upgrade { release, namespace } => {
            let key = ReleaseKey::new(&release, &namespace);
            let digest = wanted.releases[&key].clone();
            let present = Release::Present {
                digest,
                settled: true,
            };
            observed.releases.insert(key, Known::Known(present));
            let organization = wanted.network.organizations.get(&release);
            for node in organization.iter().flat_map(|it| &it.member.nodes) {
                let key = NodeKey::new(&release, node);
                observed
                    .nodes
                    .entry(key)
                    .or_insert(Known::Known(Node::default()));
            }
        }
        Action::Uninstall { release, namespace } => {
            let key = ReleaseKey { release, namespace };
            observed
                .releases
                .insert(key, Known::Known(Release::Absent { data: true }));
        }
        _ => {}
    }
}

fn of_channel(wanted: &Wanted, observed: &mut Observed, action: Action) {
    match action {
        Action::CreateChannel { channel } => {
            for (organization, it) in &wanted.network.channels[&channel].orderers {
                for node in &it.consenters {
                    join(wanted, observed, &channel, organization, node);
                }
            }
            observed.channels.insert(channel, Known::Known(Vec::new()));
        }
        Action::JoinOrderer {
            channel,
            organization,
            node,
            ..
        }
        | Action::JoinPeer {
            channel,
            organization,
            node,
            ..
        } => {
            join(wanted, observed, &channel, &organization, &node);
            observed
                .channels
                .entry(channel)
                .or_insert(Known::Known(Vec::new()));
        }
        Action::UpdateChannel { channel, .. } => {
            observed.channels.insert(channel, Known::Known(Vec::new()));
        }
        Action::Leave {
            channel,
            organization,
            node,
        } => {
            node_of(observed, &organization, &node)
                .channels
                .remove(&channel);
        }
        _ => {}
    }
}

fn of_chaincode(wanted: &Wanted, observed: &mut Observed, action: Action) {
    let digest = |chaincode: &str, channel: &str| {
        wanted.definitions[&(chaincode.to_owned(), channel.to_owned())].clone()
    };
    match action {
        Action::Package {
            organization,
            node,
            package,
            ..
        } => {
            node_of(observed, &organization, &node)
                .packages
                .insert(package);
        }
        Action::Approve {
            chaincode,
            channel,
            organization,
            sequence,
            ..
        } => {
            let package = wanted.packages[&(chaincode.clone(), organization.clone())].clone();
            let digest = digest(&chaincode, &channel);
            let approval = Approval {
                sequence,
                digest,
                package,
            };
            let state = definitions(observed, &chaincode, &channel);
            state
                .approvals
                .insert(organization, Known::Known(Some(approval)));
        }
        Action::Commit {
            chaincode,
            channel,
            sequence,
            ..
        } => {
            let digest = digest(&chaincode, &channel);
            let state = definitions(observed, &chaincode, &channel);
            state.committed = Some(Committed { sequence, digest });
        }
        Action::Instantiate {
            chaincode, channel, ..
        } => {
            let digest = digest(&chaincode, &channel);
            let state = definitions(observed, &chaincode, &channel);
            state.committed = Some(Committed {
                sequence: 0,
                digest,
            });
        }
        Action::Initialize { chaincode, channel } => {
            definitions(observed, &chaincode, &channel).initialized = true;
        }
        _ => {}
    }
}

fn node_of<'o>(observed: &'o mut Observed, organization: &str, node: &str) -> &'o mut Node {
    let key = NodeKey::new(organization, node);
    match observed.nodes.get_mut(&key) {
        Some(Known::Known(node)) => node,
        other => panic!("{key:?} is {other:?}"),
    }
}

fn join(wanted: &Wanted, observed: &mut Observed, channel: &str, organization: &str, node: &str) {
    let node = node_of(observed, organization, node);
    let membership = Membership {
        height: 1,
        genesis: "aa".to_owned(),
    };
    node.channels.insert(channel.to_owned(), membership);
    // An existing channel can be queried for its chaincodes.
    let pairs = wanted.definitions.keys();
    for pair in pairs.filter(|(_, name)| name == channel) {
        let none = Known::Known(unapproved(wanted, &pair.0, channel));
        observed.definitions.entry(pair.clone()).or_insert(none);
    }
}

pub fn definitions<'o>(
    observed: &'o mut Observed,
    chaincode: &str,
    channel: &str,
) -> &'o mut Definitions {
    let pair = (chaincode.to_owned(), channel.to_owned());
    let state = observed
        .definitions
        .entry(pair)
        .or_insert(Known::Known(Definitions::default()));
    let Known::Known(state) = state else {
        panic!("unknown")
    };
    state
}

pub fn planned(wanted: &Wanted, observed: &Observed) -> Plan {
    plan(wanted, observed, Removal::Keep).unwrap()
}

/// Returns the complete network of a file.
pub fn all_there(wanted: &Wanted) -> Observed {
    let mut observed = nothing(wanted);
    let plan = planned(wanted, &observed);
    carry_out(
        wanted,
        &mut observed,
        plan.steps.iter().map(|step| &step.action),
    );
    observed
}

/// The response of a channel without a definition of the chaincode.
pub fn unapproved(wanted: &Wanted, chaincode: &str, channel: &str) -> Definitions {
    let organizations = &wanted.network.chaincodes[chaincode].organizations[channel];
    let none = |organization: &String| (organization.clone(), Known::Known(None));
    Definitions {
        approvals: organizations.iter().map(none).collect(),
        ..Definitions::default()
    }
}
