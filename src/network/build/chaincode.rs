//! Plans the steps of chaincodes: packages, services, approvals, commits.

use super::{Builder, NOT_ASKED, release_id, why};
use crate::network::file::{Chaincode, ChaincodeType, Channel};
use crate::network::state::{Committed, Definitions, Known, Release, ReleaseKey};
use crate::network::step::Action;
use std::collections::{BTreeMap, BTreeSet};

impl Builder<'_> {
    /// Chaincodes, each after those it depends on.
    pub fn chaincodes(&mut self) {
        let network = self.network();
        let mut left: Vec<&Chaincode> = network.chaincodes.values().collect();
        while !left.is_empty() {
            let waits = |chaincode: &Chaincode| {
                let on = |other: &&Chaincode| chaincode.depends_on.contains(&other.name);
                left.iter().any(on)
            };
            // A checked file has no cycle, so at least one chaincode depends on no other.
            let index = left
                .iter()
                .position(|chaincode| !waits(chaincode))
                .unwrap_or(0);
            let chaincode = left.remove(index);
            self.chaincode(chaincode);
        }
    }

    fn chaincode(&mut self, chaincode: &Chaincode) {
        let network = self.network();
        self.packages(chaincode);
        let mut approvals: Vec<String> = Vec::new();
        let channels = chaincode.channels.iter();
        let channels: Vec<&Channel> = channels
            .filter_map(|name| network.channels.get(name))
            .collect();
        let mut definitions: BTreeMap<&str, Definitions> = BTreeMap::new();
        for channel in &channels {
            let pair = (chaincode.name.clone(), channel.name.clone());
            let id = format!("commit/{}/{}", chaincode.name, channel.name);
            let what = || format!("{} on {}", chaincode.name, channel.name);
            let is_new = self.is_new(channel);
            let state = match self.observed.definitions.get(&pair) {
                Some(Known::Known(state)) => state.clone(),
                // A missing channel has no chaincode.
                _ if is_new => Definitions::default(),
                other => {
                    self.unknown(id, what(), why(other));
                    continue;
                }
            };
            if !self.wanted.definitions.contains_key(&pair) {
                self.unknown(id, what(), "its definition was not computed");
                continue;
            }
            if !channel.is_legacy() {
                approvals.extend(self.approvals(chaincode, channel, &state, is_new));
            }
            definitions.insert(&channel.name, state);
        }
        if chaincode.kind == ChaincodeType::Service {
            self.services(chaincode, &approvals);
        }
        for channel in channels {
            if let Some(state) = definitions.get(channel.name.as_str()) {
                self.commit(chaincode, channel, state);
            }
        }
    }

    /// Returns true if this plan creates the channel.
    fn is_new(&self, channel: &Channel) -> bool {
        self.is_planned(&format!("channel/{}", channel.name))
    }

    /// Packages on every peer of the organizations that run the chaincode.
    fn packages(&mut self, chaincode: &Chaincode) {
        let network = self.network();
        let mut nodes: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (channel, organizations) in &chaincode.organizations {
            let Some(channel) = network.channels.get(channel) else {
                continue;
            };
            for organization in organizations {
                let peers = channel.organizations.get(organization).into_iter();
                let peers = peers.flat_map(|member| &member.peers);
                nodes.extend(peers.map(|peer| (organization.as_str(), peer.as_str())));
            }
        }
        nodes.retain(|(organization, _)| !self.is_elsewhere(organization));
        for (organization, node) in nodes {
            let id = format!("package/{}/{organization}/{node}", chaincode.name);
            let pair = (chaincode.name.clone(), organization.to_owned());
            let Some(package) = self.wanted.packages.get(&pair).cloned() else {
                let what = format!("the package of {} for {organization}", chaincode.name);
                self.unknown(id, what, "it was not created");
                continue;
            };
            match self.node(organization, node) {
                Known::Known(state) if state.packages.contains(&package) => {}
                Known::Known(_) => {
                    let namespace = network.namespace(organization).unwrap_or_default();
                    let action = Action::Package {
                        chaincode: chaincode.name.clone(),
                        organization: organization.to_owned(),
                        node: node.to_owned(),
                        package,
                    };
                    self.step(
                        action,
                        [organization],
                        [release_id(organization, namespace)],
                    );
                }
                Known::Unknown(why) => {
                    self.unknown(
                        id,
                        format!("the packages of {node} of {organization}"),
                        &why,
                    );
                }
            }
        }
    }

    /// Services: a new one starts immediately. A running one changes when its definition is
    /// approved, so that the committed package is served as long as possible.
    fn services(&mut self, chaincode: &Chaincode, approvals: &[String]) {
        let network = self.network();
        let organizations: BTreeSet<&String> = chaincode.organizations.values().flatten().collect();
        for organization in organizations {
            let Some(namespace) = network.namespace(organization) else {
                continue;
            };
            if self.is_elsewhere(organization) {
                continue;
            }
            let key = ReleaseKey::new(&chaincode.release, namespace);
            let runs = matches!(
                self.observed.releases.get(&key),
                Some(Known::Known(Release::Present { .. }))
            );
            let mut after = vec![format!("identities/{organization}")];
            if runs {
                after.extend(approvals.iter().cloned());
            }
            self.release(&key, [organization], after);
        }
    }

    /// Returns the desired sequence of the chaincode, and whether it is committed.
    fn sequence(
        &self,
        chaincode: &Chaincode,
        channel: &Channel,
        state: &Definitions,
    ) -> (u64, bool) {
        let pair = (chaincode.name.clone(), channel.name.clone());
        let wanted = self.wanted.definitions.get(&pair);
        match &state.committed {
            None => (1, false),
            Some(Committed { sequence, digest }) if Some(digest) == wanted => (*sequence, true),
            Some(Committed { sequence, .. }) => (sequence + 1, false),
        }
    }

    /// Missing approvals. An organization approves a committed sequence again if its package has
    /// changed.
    fn approvals(
        &mut self,
        chaincode: &Chaincode,
        channel: &Channel,
        state: &Definitions,
        is_new: bool,
    ) -> Vec<String> {
        let (sequence, _) = self.sequence(chaincode, channel, state);
        let digest = &self.wanted.definitions[&(chaincode.name.clone(), channel.name.clone())];
        let mut ids = Vec::new();
        for organization in &chaincode.organizations[&channel.name] {
            let id = format!("approve/{}/{}/{organization}", chaincode.name, channel.name);
            ids.push(id.clone());
            let pair = (chaincode.name.clone(), organization.clone());
            let Some(package) = self.wanted.packages.get(&pair) else {
                // Its packages are already reported as unknown, so the approval is held.
                self.unknown(
                    id,
                    format!("the package of {} for {organization}", chaincode.name),
                    "it was not created",
                );
                continue;
            };
            let known = match state.approvals.get(organization) {
                Some(known) => known.clone(),
                None if is_new => Known::Known(None),
                None => Known::Unknown(NOT_ASKED.to_owned()),
            };
            match known {
                Known::Known(Some(approval))
                    if approval.sequence == sequence
                        && approval.digest == *digest
                        && approval.package == *package => {}
                Known::Known(_) => {
                    let action = Action::Approve {
                        chaincode: chaincode.name.clone(),
                        version: chaincode.version.clone(),
                        channel: channel.name.clone(),
                        organization: organization.clone(),
                        sequence,
                    };
                    let after = self.before_transaction(chaincode, channel, &[organization]);
                    self.step(action, [organization], after);
                }
                Known::Unknown(why) => {
                    let what = format!(
                        "the approval of {} by {organization} on {}",
                        chaincode.name, channel.name
                    );
                    self.unknown(id, what, &why);
                }
            }
        }
        ids
    }

    /// Returns the ids of the steps that a transaction of these organizations requires: the
    /// channel, its orderers, their joined peers, and the packages on these.
    fn before_transaction(
        &self,
        chaincode: &Chaincode,
        channel: &Channel,
        organizations: &[&String],
    ) -> Vec<String> {
        let name = &channel.name;
        let mut after = vec![format!("channel/{name}"), format!("update/{name}")];
        for (orderer, member) in &channel.orderers {
            let nodes = member.consenters.iter();
            after.extend(nodes.map(|node| format!("join/{name}/{orderer}/{node}")));
        }
        for organization in organizations {
            let peers = channel.organizations.get(*organization).into_iter();
            for peer in peers.flat_map(|member| &member.peers) {
                after.push(format!("join/{name}/{organization}/{peer}"));
                after.push(format!("package/{}/{organization}/{peer}", chaincode.name));
            }
        }
        after
    }

    fn commit(&mut self, chaincode: &Chaincode, channel: &Channel, state: &Definitions) {
        let organizations: Vec<&String> = chaincode.organizations[&channel.name].iter().collect();
        let name = &channel.name;
        let mut after = self.before_transaction(chaincode, channel, &organizations);
        for organization in &organizations {
            after.push(format!("approve/{}/{name}/{organization}", chaincode.name));
        }
        for other in &chaincode.depends_on {
            after.push(format!("commit/{other}/{name}"));
            after.push(format!("init/{other}/{name}"));
        }
        // A definition is committed only if its servers run.
        let network = self.network();
        let namespaces = organizations
            .iter()
            .filter_map(|name| network.namespace(name));
        after.extend(namespaces.map(|namespace| release_id(&chaincode.release, namespace)));
        let (sequence, is_done) = self.sequence(chaincode, channel, state);
        let (cc, version) = (chaincode.name.clone(), chaincode.version.clone());
        if !is_done {
            let action = match channel.is_legacy() {
                true => Action::Instantiate {
                    chaincode: cc.clone(),
                    version,
                    channel: name.clone(),
                    upgrade: state.committed.is_some(),
                },
                false => Action::Commit {
                    chaincode: cc.clone(),
                    version,
                    channel: name.clone(),
                    sequence,
                },
            };
            self.step(action, organizations.clone(), after);
        }
        if chaincode.init_required && !channel.is_legacy() && (!is_done || !state.initialized) {
            let mut after = vec![format!("commit/{cc}/{name}")];
            let network = self.network();
            for organization in &organizations {
                if let Some(namespace) = network.namespace(organization) {
                    after.push(release_id(&chaincode.release, namespace));
                }
                let peers = channel.organizations.get(*organization).into_iter();
                let peers = peers.flat_map(|member| &member.peers);
                after.extend(peers.map(|peer| format!("join/{name}/{organization}/{peer}")));
            }
            let action = Action::Initialize {
                chaincode: cc,
                channel: name.clone(),
            };
            self.step(action, organizations, after);
        }
    }
}
