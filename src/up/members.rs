//! The installed organizations of the network. Each is read once, and again after its release has
//! changed.

use super::Site;
use crate::channel::Settings;
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::ledger::config_tree::Group;
use crate::member::{self, Member, Participant};
use crate::network::file::Channel;
use futures::future::{join_all, try_join_all};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
            if self.is_elsewhere(organization) {
                return Err(Error::cluster(format!(
                    "organization \"{organization}\" is not seen from here"
                )));
            }
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

    /// The organizations of this network that are installed and that the file no longer names.
    pub fn left(&self) -> Vec<Contact> {
        self.left_ones().clone()
    }

    fn left_ones(&self) -> MutexGuard<'_, Vec<Contact>> {
        let left = self.memory.left.lock();
        left.unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the organizations of this network that the file no longer names.
    pub fn remember_left(&self, contacts: Vec<Contact>) {
        *self.left_ones() = contacts;
    }

    fn namespace(&self, organization: &str) -> Result<&str> {
        let namespace = self.network.namespace(organization);
        namespace.ok_or_else(|| {
            Error::internal(format!("organization {organization} is not in the file"))
        })
    }

    /// The public parts of a channel's organizations: those with orderers, with the consenters of
    /// the channel alone, and those with peers. Those that are not known from here are left out;
    /// `current` is the configuration of the channel, if it exists.
    pub async fn participants(
        &self,
        channel: &Channel,
        current: Option<&Group>,
    ) -> Result<(Vec<Participant>, Vec<Participant>)> {
        let one = async |name: &String| match self.is_elsewhere(name) {
            true => self.partner(name, current),
            false => Ok(Some((*self.participant(name).await?).clone())),
        };
        let orderers = channel.orderers.iter().map(async |(name, it)| {
            let whole = one(name).await?;
            Ok::<_, Error>(whole.map(|whole| only(&whole, &it.consenters)))
        });
        let peers = channel.organizations.keys().map(one);
        let (orderers, peers) = futures::try_join!(try_join_all(orderers), try_join_all(peers))?;
        Ok((
            orderers.into_iter().flatten().collect(),
            peers.into_iter().flatten().collect(),
        ))
    }
}

/// Returns the releases of these participants.
pub fn releases<'p>(orderers: &'p [Participant], peers: &'p [Participant]) -> BTreeSet<&'p str> {
    let all = orderers.iter().chain(peers);
    all.map(|it| it.contact.release.as_str()).collect()
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

/// What the file sets of a channel, as the channel room takes it. `known` are the releases of its
/// organizations that are known from here.
pub fn settings(site: &Site<'_>, channel: &Channel, known: &BTreeSet<&str>) -> Settings {
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
    let orderers = channel.orderers.iter();
    for (name, it) in orderers.filter(|(name, _)| known.contains(name.as_str())) {
        set(&format!("Orderer/{}", msp_id(name)), &it.policies);
    }
    let peers = channel.organizations.iter();
    let peers = peers.filter(|(name, _)| known.contains(name.as_str()));
    for (name, it) in peers.clone() {
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
        anchors: peers
            .map(|(name, it)| (name.clone(), it.anchors.clone()))
            .collect(),
        capabilities: levels
            .into_iter()
            .filter_map(|(group, level)| Some((group.to_owned(), level.clone()?)))
            .collect(),
        policies,
        acls: channel.acls.clone(),
        options: channel.options.clone(),
        brokers: site.network.brokers.clone(),
    }
}
