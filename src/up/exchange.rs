//! Files that organizations exchange which do not see each other's namespaces: public parts, genesis
//! blocks, and updates of channels that others must sign.
//!
//! `up --org` reads what others handed over, and writes what others need. A file is used only if it
//! is of the organization or the channel that it is named for.

use super::Site;
use crate::channel::{self, Current, Position, ProposalFile, Source};
use crate::error::{Error, Place, Result};
use crate::ledger::config_tree::Configuration;
use crate::ledger::message::common::Block;
use crate::ledger::message::decode;
use crate::ledger::organization::Organization;
use crate::member::definition;
use crate::network::file::Channel;
use crate::network::state::{Known, NodeKey, Observed};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The folder of these files.
pub trait Exchange: Sync {
    /// The content of a file; `None` if it is not there.
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>>;
    fn write(&self, file: &str, content: &[u8]) -> Result<()>;
}

impl Site<'_> {
    /// The public part of an organization, if its file is here.
    ///
    /// # Errors
    ///
    /// A file of another kind, or of another organization.
    pub fn definition(&self, name: &str) -> Result<Option<Organization>> {
        let file = self.network.definition_file(name);
        let Some(bytes) = self.exchange.read(&file)? else {
            return Ok(None);
        };
        let wrong = |error: Error| {
            error
                .context(format!(
                    "\"{file}\" is not the public part of organization \"{name}\""
                ))
                .hint("`kubectl fabric identity export ORG --public` writes one, and `configtxgen -printOrg` does")
        };
        let json = serde_json::from_slice(&bytes).map_err(|error| {
            let at = Place::new(&file).at(error.line(), error.column());
            wrong(Error::user("it is not JSON").at(at).why(error.to_string()))
        })?;
        let organization = Organization::from_json(&json).map_err(wrong)?;
        organization.msp.check().map_err(wrong)?;
        let wanted = &self.network.organizations[name].member.msp_id;
        match organization.msp.id == *wanted {
            true => Ok(Some(organization)),
            false => Err(wrong(Error::user(format!(
                "its MSP id is {}, and by the network file it is {wanted}",
                organization.msp.id
            )))),
        }
    }

    /// The genesis block of a channel, if its file is here.
    ///
    /// # Errors
    ///
    /// A file that is no genesis block of this channel.
    pub fn handed_block(&self, channel: &Channel) -> Result<Option<Block>> {
        let file = channel.block_file();
        let Some(bytes) = self.exchange.read(&file)? else {
            return Ok(None);
        };
        let wrong = |error: Error| {
            error.context(format!(
                "\"{file}\" is not the genesis block of channel \"{}\"",
                channel.name
            ))
        };
        let block: Block = decode(&bytes, "the block").map_err(wrong)?;
        let (of, _) = Configuration::from_block(&block).map_err(wrong)?;
        let number = block.header.as_ref().map_or(0, |header| header.number);
        match of == channel.name && number == 0 {
            true => Ok(Some(block)),
            false => Err(wrong(Error::user(format!(
                "it is block {number} of channel \"{of}\""
            )))),
        }
    }

    /// Adds the signatures of others, if the file of the channel's proposal is here with the same
    /// update.
    pub fn unite(&self, channel: &Channel, file: &mut ProposalFile) -> Result<()> {
        match self.proposal(channel)? {
            Some(there) if there.encoded == file.encoded => {
                file.unite(&there, &channel.proposal_file())
            }
            _ => Ok(()),
        }
    }

    fn proposal(&self, channel: &Channel) -> Result<Option<ProposalFile>> {
        let name = channel.proposal_file();
        let Some(bytes) = self.exchange.read(&name)? else {
            return Ok(None);
        };
        ProposalFile::read(&String::from_utf8_lossy(&bytes), &name).map(Some)
    }

    /// Writes an update that others must sign.
    ///
    /// # Errors
    ///
    /// The file is there with another update of the same configuration: it may be the only copy of
    /// a proposal that others have signed.
    pub fn propose(&self, channel: &Channel, file: &ProposalFile, current: &Current) -> Result<()> {
        let name = channel.proposal_file();
        if let Some(there) = self.proposal(channel)? {
            if there.encoded == file.encoded && there.signatures == file.signatures {
                return Ok(());
            }
            let is_open = there.base.hash() == current.block.hash();
            if is_open && there.encoded != file.encoded {
                return Err(Error::user(format!(
                    "\"{name}\" is the proposal of another update of channel \"{}\"",
                    channel.name
                ))
                .why("it was made from another network file, and others may have signed it")
                .now("nothing was signed or sent")
                .hint(format!("see what it changes: `kubectl fabric channel sign {name} --dry-run`; submit it, or remove it")));
            }
        }
        self.exchange.write(&name, file.to_text().as_bytes())
    }
}

/// Writes what other organizations need of this one, unless it is there: its public part, and the
/// genesis blocks of its channels. Returns a sentence for each file.
pub async fn hand_over(site: &Site<'_>, observed: &Observed) -> Result<Vec<String>> {
    let mut written = Vec::new();
    if let Some(organization) = site.organization {
        written.extend(own_definition(site, organization, observed).await?);
    }
    for channel in site.network.channels.values() {
        if !is_joined(site, channel, observed) || site.partners(channel).next().is_none() {
            continue;
        }
        let file = channel.block_file();
        let members = site.members_of(channel).await;
        let sources = Source::all(&members);
        let Ok(block) = channel::fetch(&sources, &channel.name, Position::Oldest).await else {
            // Peers that joined by a snapshot do not have it.
            continue;
        };
        let block = block.into_block();
        let there = site.handed_block(channel);
        if there.is_ok_and(|there| there.is_some_and(|it| it.header == block.header)) {
            continue;
        }
        site.exchange.write(&file, &block.encode_to_vec())?;
        written.push(format!(
            "{file} is the genesis block of channel \"{}\"",
            channel.name
        ));
    }
    Ok(written)
}

async fn own_definition(
    site: &Site<'_>,
    organization: &str,
    observed: &Observed,
) -> Result<Option<String>> {
    let is_made = observed.identities.get(organization) == Some(&Known::Known(true));
    let mut channels = site.network.channels.values();
    let is_needed = channels.any(|it| it.has(organization) && site.partners(it).next().is_some());
    if !is_made || !is_needed {
        return Ok(None);
    }
    let own = site.participant(organization).await?;
    let text = definition(&own.contact, &own.msp).print()?;
    let file = site.network.definition_file(organization);
    if site.exchange.read(&file)?.as_deref() == Some(text.as_bytes()) {
        return Ok(None);
    }
    site.exchange.write(&file, text.as_bytes())?;
    Ok(Some(format!("{file} is the public part of {organization}")))
}

/// Whether a node that is seen from here has joined a channel.
fn is_joined(site: &Site<'_>, channel: &Channel, observed: &Observed) -> bool {
    let has = |(key, node): (&NodeKey, &Known<crate::network::state::Node>)| {
        let node = node.known();
        channel.has(&key.organization)
            && !site.is_elsewhere(&key.organization)
            && node.is_some_and(|node| node.channels.contains_key(&channel.name))
    };
    observed.nodes.iter().any(has)
}

/// What is known of organizations that are not seen from here, for the plan: whether their public
/// part is here, or in a channel. `members` are the MSP ids in channels that are seen from here.
pub fn known(site: &Site<'_>, members: &BTreeSet<String>) -> Result<BTreeMap<String, bool>> {
    let mut known = BTreeMap::new();
    for (name, organization) in &site.network.organizations {
        if site.is_elsewhere(name) {
            let is_named = members.contains(&organization.member.msp_id);
            known.insert(name.clone(), is_named || site.definition(name)?.is_some());
        }
    }
    Ok(known)
}
