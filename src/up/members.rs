//! The installed organizations of the network. Each is read once, and again after its release has
//! changed.

use super::Site;
use crate::channel::Settings;
use crate::error::{Error, Result};
use crate::member::{self, Member, Participant};
use crate::network::file::Channel;
use futures::future::{join_all, try_join_all};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// One cell for each organization.
struct Cells<T>(Mutex<BTreeMap<String, Arc<OnceCell<Arc<T>>>>>);

impl<T> Default for Cells<T> {
    fn default() -> Cells<T> {
        Cells(Mutex::default())
    }
}

impl<T> Cells<T> {
    fn cell(&self, name: &str) -> Arc<OnceCell<Arc<T>>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(name.to_owned()).or_default())
    }

    async fn get(&self, name: &str, load: impl AsyncFnOnce() -> Result<T>) -> Result<Arc<T>> {
        let cell = self.cell(name);
        let loaded = cell.get_or_try_init(async || Ok::<_, Error>(Arc::new(load().await?)));
        loaded.await.cloned()
    }

    fn forget(&self, name: &str) {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.remove(name);
    }
}

#[derive(Default)]
pub struct Members {
    members: Cells<Member>,
    participants: Cells<Participant>,
}

impl Members {
    /// Forgets an organization whose release has changed.
    pub fn forget(&self, organization: &str) {
        self.members.forget(organization);
        self.participants.forget(organization);
    }
}

impl Site<'_> {
    /// Returns an organization with its administrator.
    pub async fn member(&self, organization: &str) -> Result<Arc<Member>> {
        let load = async || {
            let namespace = self.namespace(organization)?;
            let signing = (self.signing)(organization);
            Member::load(self.cluster, namespace, organization, &signing, self.now).await
        };
        self.memory.members.members.get(organization, load).await
    }

    /// Returns the organizations whose administrators are usable.
    pub async fn members<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Vec<Member> {
        let each = names.into_iter().map(|name| self.member(name));
        let members = join_all(each).await.into_iter().flatten();
        members.map(|member| (*member).clone()).collect()
    }

    /// Returns the members of a channel whose administrators are usable.
    pub async fn members_of(&self, channel: &Channel) -> Vec<Member> {
        let names = channel.orderers.keys().chain(channel.organizations.keys());
        self.members(names).await
    }

    /// Returns the public part of an organization.
    pub async fn participant(&self, organization: &str) -> Result<Arc<Participant>> {
        let load = async || {
            let namespace = self.namespace(organization)?;
            let contact = member::contact(self.cluster, namespace, organization).await?;
            Participant::load(self.cluster, contact).await
        };
        self.memory
            .members
            .participants
            .get(organization, load)
            .await
    }

    fn namespace(&self, organization: &str) -> Result<&str> {
        let namespace = self.network.namespace(organization);
        namespace.ok_or_else(|| {
            Error::internal(format!("organization {organization} is not in the file"))
        })
    }

    /// Returns the public parts of a channel's organizations: those with orderers, with only the
    /// channel's consenters, and those with peers.
    pub async fn participants(
        &self,
        channel: &Channel,
    ) -> Result<(Vec<Participant>, Vec<Participant>)> {
        let orderers = channel.orderers.iter().map(async |(name, it)| {
            let whole = self.participant(name).await?;
            Ok::<_, Error>(only(&whole, &it.consenters))
        });
        let peers = channel.organizations.keys().map(async |name| {
            let whole = self.participant(name).await?;
            Ok::<_, Error>((*whole).clone())
        });
        futures::try_join!(try_join_all(orderers), try_join_all(peers))
    }
}

/// Returns a participant with some of its nodes.
fn only(whole: &Participant, nodes: &[String]) -> Participant {
    let mut some = whole.clone();
    let kept = whole.contact.nodes.iter().zip(&whole.certificates);
    let (nodes, certificates) = kept
        .filter(|(node, _)| nodes.contains(&node.name))
        .map(|(node, certificates)| (node.clone(), certificates.clone()))
        .unzip();
    some.contact.nodes = nodes;
    some.certificates = certificates;
    some
}

/// Returns a channel's settings in the file, in the form of the channel room.
pub fn settings(site: &Site<'_>, channel: &Channel) -> Settings {
    let mut policies = BTreeMap::new();
    let mut set = |group: &str, named: &BTreeMap<String, String>| {
        for (name, rule) in named {
            let path = match group {
                "" => name.clone(),
                group => format!("{group}/{name}"),
            };
            policies.insert(path, rule.clone());
        }
    };
    set("", &channel.policies.channel);
    set("Orderer", &channel.policies.orderer);
    set("Application", &channel.policies.application);
    let msp_id = |release: &str| &site.network.organizations[release].member.msp_id;
    for (name, it) in &channel.orderers {
        set(&format!("Orderer/{}", msp_id(name)), &it.policies);
    }
    for (name, it) in &channel.organizations {
        set(&format!("Application/{}", msp_id(name)), &it.policies);
    }
    let levels = [
        ("channel", &channel.capabilities.channel),
        ("orderer", &channel.capabilities.orderer),
        ("application", &channel.capabilities.application),
    ];
    let size = |bytes: u64| u32::try_from(bytes).ok();
    Settings {
        batch_timeout: Some(channel.batch_timeout),
        max_message_count: Some(channel.batch_size.max_messages),
        absolute_max_bytes: size(channel.batch_size.absolute_max_bytes),
        preferred_max_bytes: size(channel.batch_size.preferred_max_bytes),
        anchors: channel
            .organizations
            .iter()
            .map(|(name, it)| (name.clone(), it.anchors.clone()))
            .collect(),
        capabilities: levels
            .into_iter()
            .filter_map(|(group, level)| Some((group.to_owned(), level.clone()?)))
            .collect(),
        policies,
        acls: channel.acls.clone(),
        options: channel.options.clone(),
    }
}
