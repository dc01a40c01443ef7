//! Finds leftovers: what exists but is no longer in the file.

use super::Builder;
use crate::network::file::ChaincodeType;
use crate::network::member::Role;
use crate::network::plan::Removal;
use crate::network::state::{Known, Release, ReleaseKey};
use crate::network::step::Action;
use std::collections::BTreeSet;

impl Builder<'_> {
    /// Memberships of nodes and releases of the network that the file no longer names.
    pub fn leftovers(&mut self) {
        for (channel, organizations) in &self.observed.staying {
            let words = |msp_id| format!("organization {msp_id} is in {channel}");
            self.plan.leftovers.extend(organizations.iter().map(words));
        }
        self.memberships();
        self.releases_left();
    }

    /// A channel that is not in the file may have been created by other means, so its nodes stay.
    fn memberships(&mut self) {
        let network = self.network();
        for (key, node) in &self.observed.nodes {
            for name in node.known().iter().flat_map(|node| node.channels.keys()) {
                let mut systems = network
                    .channels
                    .values()
                    .filter_map(|it| it.system.as_ref());
                if systems.any(|system| system.name == *name) {
                    continue;
                }
                let action = Action::Leave {
                    channel: name.clone(),
                    organization: key.organization.clone(),
                    node: key.node.clone(),
                };
                let Some(channel) = network.channels.get(name) else {
                    self.keep(&action);
                    continue;
                };
                let organization = network.organizations.get(&key.organization);
                let is_orderer = organization.is_some_and(|it| it.member.role == Role::Orderers);
                let orderers = channel.orderers.get(&key.organization).into_iter();
                let peers = channel.organizations.get(&key.organization).into_iter();
                let mut named = orderers
                    .flat_map(|it| &it.consenters)
                    .chain(peers.flat_map(|it| &it.peers));
                let is_named = named.any(|node| *node == key.node);
                match (is_named, is_orderer) {
                    (true, _) => {}
                    // A running peer leaves no channel (`peer node unjoin` needs it stopped).
                    (false, false) => self.keep(&action),
                    (false, true) => {
                        self.remove(action, &key.organization, vec![format!("update/{name}")]);
                    }
                }
            }
        }
    }

    fn releases_left(&mut self) {
        let network = self.network();
        let mut named: BTreeSet<ReleaseKey> = BTreeSet::new();
        for it in network.installations() {
            named.insert(ReleaseKey::new(&it.release, &it.namespace));
        }
        for chaincode in network.chaincodes.values() {
            let is_service = chaincode.kind == ChaincodeType::Service;
            let organizations = chaincode.organizations.values().flatten();
            let namespaces = organizations.filter_map(|name| network.namespace(name));
            let keys = namespaces.map(|it| ReleaseKey::new(&chaincode.release, it));
            named.extend(keys.filter(|_| is_service));
        }
        for (key, release) in &self.observed.releases {
            if named.contains(key) || !matches!(release, Known::Known(Release::Present { .. })) {
                continue;
            }
            let mut organizations = network.organizations.values();
            let owner = organizations.find(|it| it.installation.namespace == key.namespace);
            let owner = owner.map_or(&key.release, |owner| &owner.installation.release);
            let updates = network.channels.keys().map(|name| format!("update/{name}"));
            let of_release = format!("/{}/", key.release);
            let is_leave = |id: &&String| id.starts_with("leave/") && id.contains(&of_release);
            let leaves = self.planned.iter().filter(is_leave).cloned();
            let after: Vec<String> = updates.chain(leaves).collect();
            let action = Action::Uninstall {
                release: key.release.clone(),
                namespace: key.namespace.clone(),
            };
            self.remove(action, owner, after);
        }
    }

    fn remove(&mut self, action: Action, by: &str, after: Vec<String>) {
        match self.removal {
            Removal::Remove => self.step(action, [by], after),
            Removal::Keep => self.keep(&action),
        }
    }

    fn keep(&mut self, action: &Action) {
        let words = match action {
            Action::Leave {
                channel,
                organization,
                node,
            } => {
                format!("{node} of {organization} is in {channel}")
            }
            Action::Uninstall { release, namespace }
                if self
                    .observed
                    .servers
                    .contains(&ReleaseKey::new(release, namespace)) =>
            {
                format!(
                    "release {release} in namespace {namespace}, a chaincode's server; channels \
                     keep the chaincode's definition"
                )
            }
            Action::Uninstall { release, namespace } if release != namespace => {
                format!("release {release} in namespace {namespace}")
            }
            Action::Uninstall { release, .. } => format!("release {release}"),
            other => other.to_string(),
        };
        self.plan.leftovers.push(words);
    }
}
