//! Orderers with a system channel (Kafka, and Fabric before 2.3): its genesis block, from which
//! they start, and the channels that they create through it.
//!
//! The block is in a Secret beside the identities of the orderers, and stays like these. Once an
//! orderer has a ledger, no other block fits it, so none is made again.

use super::members::{releases, settings};
use super::run::words;
use super::{Site, release};
use crate::channel::{self, Creation, Position, Source, Wanted, create_by_consortium, is_unknown};
use crate::cluster::{ApiErrorKind, Apply, Expects};
use crate::error::{Error, Place, Result};
use crate::identity;
use crate::identity::secrets::entry;
use crate::ledger::config_tree::Configuration;
use crate::ledger::envelope::{self, Seek};
use crate::ledger::message::common::Block;
use crate::ledger::message::decode;
use crate::manifest::ObjectKey;
use crate::member::{Member, Participant};
use crate::network::derive::GENESIS_SECRET;
use crate::network::file::{Channel, SystemChannel};
use crate::network::state::{self, Known, Membership, Observed, Release, ReleaseKey};
use crate::storage;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::{join_all, try_join_all};
use prost::Message;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The key of the block in its Secret (chart orderer-org, `orderers.genesis.secret`).
const KEY: &str = "genesis.block";

/// The Secret with the genesis block of an organization's orderers.
fn secret(site: &Site<'_>, organization: &str) -> ObjectKey {
    let installation = &site.network.organizations[organization].installation;
    let own = installation.values.tree.pointer("/orderers/genesis/secret");
    let name = own.and_then(|name| name.as_str()).unwrap_or(GENESIS_SECRET);
    ObjectKey::core("Secret", installation.namespace.as_str(), name)
}

/// The Secret that a release's nodes need and that this room writes.
pub fn expected(site: &Site<'_>, key: &ReleaseKey) -> BTreeSet<String> {
    let mut all = organizations(site).filter(|name| **name == key.release);
    all.next()
        .map(|name| secret(site, name).name)
        .into_iter()
        .collect()
}

/// Organizations whose orderers start from a genesis block in a Secret.
fn organizations<'n>(site: &Site<'n>) -> impl Iterator<Item = &'n String> {
    let all = site.network.organizations.iter();
    all.filter(|(_, it)| it.member.system_channel && !it.member.genesis_on_volume)
        .map(|(name, _)| name)
}

/// Whether the Secrets with genesis blocks exist. A missing one whose orderers have only their
/// volumes left cannot be made again.
pub async fn observe(site: &Site<'_>, observed: &Observed) -> BTreeMap<String, Known<bool>> {
    let each = organizations(site).map(async |name| {
        let key = secret(site, name);
        let exists = match read(site, &key).await {
            Ok(block) => Known::Known(block.is_some()),
            Err(error) => Known::Unknown(words(&error)),
        };
        let release = ReleaseKey::new(name, site.network.namespace(name).unwrap_or_default());
        let kept = matches!(
            observed.releases.get(&release),
            Some(Known::Known(Release::Absent { data: true }))
        );
        let exists = match exists {
            Known::Known(false) if kept => Known::Unknown(format!(
                "{key} is missing, and volumes of its orderers are kept: restore the Secret with \
                 their genesis block as {KEY}, or delete the volumes with `kubectl fabric down \
                 --delete-data`"
            )),
            exists => exists,
        };
        (name.clone(), exists)
    });
    join_all(each).await.into_iter().collect()
}

/// Reads a genesis block from its Secret; `None` if there is no Secret.
async fn read(site: &Site<'_>, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
    let Some(secret) = site.cluster.get("v1", key).await? else {
        return Ok(None);
    };
    match entry(&secret, KEY).filter(|block| !block.is_empty()) {
        Some(block) => Ok(Some(block)),
        None => Err(Error::user(format!("{key} has no {KEY}"))
            .hint("orderers start from it; delete the Secret if it is not yours")),
    }
}

/// What orderers without channel participation have: the file's channels and their system channel.
/// They tell no names, so each channel is asked for.
pub async fn channels(
    site: &Site<'_>,
    member: &Member,
    node: &crate::fabric::contact::Node,
) -> Result<state::Node> {
    let own = site.network.channels.values();
    let own = own.filter(|it| it.orderers.contains_key(&member.contact.release));
    let names: BTreeSet<&str> = own
        .flat_map(|it| {
            let system = it.system.as_ref().map(|system| system.name.as_str());
            system.into_iter().chain([it.name.as_str()])
        })
        .collect();
    let orderer = member.orderer(node)?;
    let seek = Seek::stored(envelope::Position::Oldest);
    let mut found = state::Node::default();
    for name in names {
        match orderer.block(name, &seek).await {
            Ok(block) => {
                let membership = Membership {
                    height: 0,
                    genesis: super::observe::hash(Ok(block)),
                };
                found.channels.insert(name.to_owned(), membership);
            }
            Err(failed) if is_unknown(&failed) => {}
            Err(failed) => return Err(failed.into()),
        }
    }
    Ok(found)
}

/// Makes the genesis block of an organization's orderers and stores it in its Secret.
///
/// # Errors
///
/// A system channel that cannot be made of these organizations. A Secret that is missing although
/// the orderers are installed, if none of them hands out its first block.
pub async fn store_genesis(site: &Site<'_>, organization: &str, channel: &str) -> Result<()> {
    let key = secret(site, organization);
    let namespace = site.network.namespace(organization).unwrap_or_default();
    let is_installed = storage::is_known(site.cluster, namespace, organization).await?;
    let block = match is_installed {
        true => restored(site, organization, channel, &key).await?,
        false => made(site, organization).await?,
    };
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": key.name,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "kubectl-fabric",
                identity::LABEL: organization,
            },
        },
        "type": "Opaque",
        "data": {KEY: STANDARD.encode(block)},
    });
    let how = Apply {
        expects: Expects::Absent,
        ..Apply::default()
    };
    match site.cluster.apply(&body, how).await {
        Ok(_) => Ok(()),
        // Another run was faster, or the response was lost.
        Err(error) if error.kind == ApiErrorKind::Replaced => read(site, &key).await.map(|_| ()),
        Err(error) => Err(Error::from(error).context(format!("cannot write {key}"))),
    }
}

/// The first block that the orderers have.
async fn restored(
    site: &Site<'_>,
    organization: &str,
    channel: &str,
    key: &ObjectKey,
) -> Result<Vec<u8>> {
    let member = site.member(organization).await?;
    let sources = Source::all(std::slice::from_ref(&member));
    let block = channel::fetch(&sources, channel, Position::Oldest).await;
    let block = block.map_err(|error| {
        error
            .context(format!("{key} is missing"))
            .why("its orderers may have a ledger already, which no new genesis block would fit")
            .hint(format!(
                "restore the Secret with the block from which they were started, as {KEY}"
            ))
    })?;
    Ok(block.into_block().encode_to_vec())
}

/// The genesis block by the file. Orderers of several organizations start from the same one.
async fn made(site: &Site<'_>, organization: &str) -> Result<Vec<u8>> {
    let group = Group::of(site, organization)?;
    for other in group.orderers.iter().filter(|it| **it != organization) {
        if let Some(block) = read(site, &secret(site, other)).await? {
            check_member(site, organization, other, &block)?;
            return Ok(block);
        }
    }
    let orderers = group.orderers.iter().map(async |name| {
        let namespace = site.network.namespace(name).unwrap_or_default();
        let contact = release::contact(site, &ReleaseKey::new(name, namespace)).await?;
        Participant::load(site.cluster, contact).await
    });
    let organizations = group.organizations.iter().map(async |name| {
        let whole = site.participant(name).await?;
        Ok::<_, Error>((*whole).clone())
    });
    let (orderers, organizations) =
        futures::try_join!(try_join_all(orderers), try_join_all(organizations))?;
    let known = releases(&orderers, &organizations);
    let block = channel::system_block(&Wanted {
        name: &group.system.name,
        orderers: &orderers,
        organizations: &organizations,
        settings: &settings(site, group.first, &known),
        consortium: Some(&group.system.consortium),
    })?;
    Ok(block.encode_to_vec())
}

/// Refuses a block that does not name an organization: its orderers could not take part.
fn check_member(site: &Site<'_>, organization: &str, other: &str, block: &[u8]) -> Result<()> {
    let block: Block = decode(block, "the genesis block of the system channel")?;
    let (_, configuration) = Configuration::from_block(&block)?;
    let msp_id = &site.network.organizations[organization].member.msp_id;
    if configuration.channel.group(&["Orderer", msp_id]).is_some() {
        return Ok(());
    }
    Err(Error::user(format!(
        "the orderers of \"{organization}\" cannot join the system channel"
    ))
    .at(Place::new(secret(site, other).to_string()).note(format!("it does not name {msp_id}")))
    .why("a system channel is made once, with all its orderers; the one of this network exists"))
}

/// Everything that shares a system channel.
struct Group<'n> {
    system: &'n SystemChannel,
    /// Its settings are those of the system channel.
    first: &'n Channel,
    orderers: BTreeSet<&'n String>,
    organizations: BTreeSet<&'n String>,
}

impl<'n> Group<'n> {
    fn of(site: &Site<'n>, organization: &str) -> Result<Group<'n>> {
        let channels = || {
            let all = site.network.channels.values();
            all.filter(|it| it.orderers.contains_key(organization))
        };
        let found = channels().find_map(|it| Some((it.system.as_ref()?, it)));
        let (system, first) = found.ok_or_else(|| {
            Error::internal(format!(
                "no channel with a system channel has {organization}"
            ))
        })?;
        Ok(Group {
            system,
            first,
            orderers: channels().flat_map(|it| it.orderers.keys()).collect(),
            organizations: channels().flat_map(|it| it.organizations.keys()).collect(),
        })
    }
}

/// Creates a channel through the system channel. Returns its first block.
pub async fn create(site: &Site<'_>, channel: &Channel) -> Result<Block> {
    let (orderers, organizations) = site.participants(channel, None).await?;
    let known = releases(&orderers, &organizations);
    let members = site.members(channel.organizations.keys()).await;
    create_by_consortium(&Creation {
        wanted: Wanted {
            name: &channel.name,
            orderers: &orderers,
            organizations: &organizations,
            settings: &settings(site, channel, &known),
            consortium: consortium(channel),
        },
        members: &members,
        timeout: site.options.timeout,
    })
    .await
}

/// The consortium that creates a channel.
pub fn consortium(channel: &Channel) -> Option<&str> {
    let system = channel.system.as_ref()?;
    Some(&system.consortium)
}
