//! Plans identities, genesis blocks of system channels, and releases.

use super::{Builder, release_id, why};
use crate::network::member::Consensus;
use crate::network::plan::members;
use crate::network::state::{Known, Release, ReleaseKey};
use crate::network::step::Action;

impl Builder<'_> {
    /// Plans identities, genesis blocks of system channels, and releases.
    pub fn releases(&mut self) {
        let network = self.network();
        for organization in network.organizations.keys() {
            if let Some(is_known) = self.observed.elsewhere.get(organization) {
                if !is_known {
                    let action = Action::Definition {
                        organization: organization.clone(),
                        file: network.definition_file(organization),
                    };
                    self.step(action, [organization], []);
                }
                continue;
            }
            match self.observed.identities.get(organization) {
                Some(Known::Known(true)) => {}
                Some(Known::Known(false)) => {
                    let action = Action::Identities {
                        organization: organization.clone(),
                    };
                    self.step(action, [organization], []);
                }
                other => {
                    let id = format!("identities/{organization}");
                    self.unknown(id, format!("the identities of {organization}"), why(other));
                }
            }
        }
        for (name, kafka) in &network.kafka {
            let users = network.organizations.iter().filter(|(_, organization)| {
                organization.member.consensus == Some(Consensus::Kafka)
            });
            let by: Vec<&String> = users.map(|(name, _)| name).collect();
            self.release(&ReleaseKey::new(name, &kafka.namespace), by, []);
        }
        self.system_genesis();
        let organizations = network.organizations.iter();
        for (name, organization) in organizations {
            if self.is_elsewhere(name) {
                continue;
            }
            let mut after = vec![format!("identities/{name}")];
            if organization.member.system_channel {
                after.push(format!("system-genesis/{name}"));
            }
            if organization.member.consensus == Some(Consensus::Kafka) {
                after.extend(
                    network
                        .kafka
                        .iter()
                        .map(|(name, it)| release_id(name, &it.namespace)),
                );
            }
            let key = ReleaseKey::new(name, &organization.installation.namespace);
            self.release(&key, [name], after);
        }
    }

    /// A system channel contains the members of all channels that its orderers will create.
    fn system_genesis(&mut self) {
        let network = self.network();
        for (name, organization) in &network.organizations {
            let is_own = organization.member.system_channel && !self.is_elsewhere(name);
            if !is_own || organization.member.genesis_on_volume {
                continue;
            }
            let channels = network.channels.values();
            let channels: Vec<_> = channels
                .filter(|channel| channel.orderers.contains_key(name))
                .collect();
            let Some(system) = channels.iter().find_map(|channel| channel.system.as_ref()) else {
                continue;
            };
            match self.observed.system_genesis.get(name) {
                Some(Known::Known(true)) => {}
                Some(Known::Known(false)) => {
                    let members = channels.iter().flat_map(|it| members(network, &it.name));
                    let after = members.map(|member| format!("identities/{member}"));
                    let after: Vec<String> = after.collect();
                    let action = Action::SystemGenesis {
                        organization: name.clone(),
                        channel: system.name.clone(),
                    };
                    self.step(action, [name], after);
                }
                other => {
                    let id = format!("system-genesis/{name}");
                    let what = format!("the genesis block of the orderers of {name}");
                    self.unknown(id, what, why(other));
                }
            }
        }
    }

    /// A release is installed if it does not exist, and upgraded if it differs or is not settled.
    pub fn release<I: Into<String>>(
        &mut self,
        key: &ReleaseKey,
        by: impl IntoIterator<Item = I>,
        after: impl IntoIterator<Item = String>,
    ) {
        let ReleaseKey { release, namespace } = key.clone();
        let id = release_id(&release, &namespace);
        let Some(wanted) = self.wanted.releases.get(key) else {
            self.unknown(
                id,
                format!("the manifest of {release}"),
                "it was not computed",
            );
            return;
        };
        match self.observed.releases.get(key) {
            Some(Known::Known(Release::Absent { .. })) => {
                self.step(Action::Install { release, namespace }, by, after);
            }
            Some(Known::Known(Release::Present { digest, settled })) => {
                if digest != wanted || !settled {
                    self.step(Action::Upgrade { release, namespace }, by, after);
                }
            }
            other => self.unknown(id, format!("release {release}"), why(other)),
        }
    }
}
