//! Channels whose configuration differs from the file.

use super::Site;
use super::channel::first;
use crate::channel::{self, Current, Source, Submission};
use crate::error::Result;
use crate::ledger::config_tree::Group;
use crate::ledger::describe::describe;
use crate::ledger::update::compute;
use crate::network::file::Channel;
use crate::network::state::Change;
use prost::Message;

/// How the configuration of a channel that exists differs from the file.
pub async fn changes(site: &Site<'_>, channel: &Channel) -> Result<Vec<Change>> {
    let members = site.members_of(channel).await;
    let current = channel::current(&Source::all(&members), &channel.name).await?;
    let from = &current.configuration.channel;
    let words = describe(from, &wanted(site, channel, from).await?)?;
    let signers = signers(site, channel);
    let change = |words| Change {
        words,
        signers: signers.clone(),
    };
    Ok(words.into_iter().map(change).collect())
}

/// Changes the configuration to what the file asks for: signed by the administrators who can be
/// used, and submitted when the channel's policies are satisfied.
///
/// # Errors
///
/// A change that the channel could not have, or whose signatures are not all here.
pub async fn update(site: &Site<'_>, channel: &Channel) -> Result<()> {
    let name = channel.name.as_str();
    let members = site.members_of(channel).await;
    let sources = Source::all(&members);
    let current: Current = channel::current(&sources, name).await?;
    let from = &current.configuration.channel;
    let to = wanted(site, channel, from).await?;
    if describe(from, &to)?.is_empty() {
        // Another run was faster.
        return Ok(());
    }
    channel::check(from, &to)?;
    channel::prepare_consenters(&members, name, &current, &to).await?;
    let update = compute(name, from, &to)?.encode_to_vec();
    let signed = channel::sign(&update, from, &members)?;
    if !signed.is_satisfied() {
        return Err(channel::missing(name, &signed.policies).hint(format!(
            "write a proposal for the others to sign: `kubectl fabric channel update {name} --propose FILE`"
        )));
    }
    let submission = Submission {
        name,
        update: &update,
        signatures: signed.signatures,
        current: &current,
        sources: &sources,
        members: &members,
        timeout: site.options.timeout,
    };
    channel::submit(submission).await.map(|_| ())
}

/// The configuration that the file asks for, over the one that the channel has.
async fn wanted(site: &Site<'_>, channel: &Channel, current: &Group) -> Result<Group> {
    let mut wanted = first(site, channel).await?.0.channel;
    keep(channel, current, &mut wanted);
    Ok(wanted)
}

/// Takes over what the file leaves open from the configuration that the channel has.
///
/// A capability level that the file does not set follows the oldest node when the channel is made.
/// Later it stays, because a node that does not know a level stops, and no level can be taken back.
/// Organizations that others added stay: a file that does not know them must not expel them.
fn keep(channel: &Channel, current: &Group, wanted: &mut Group) {
    let set = &channel.set_capabilities;
    for (path, is_set) in [
        (&[][..], set.channel.is_some()),
        (&["Orderer"], set.orderer.is_some()),
        (&["Application"], set.application.is_some()),
    ] {
        let level = current
            .group(path)
            .and_then(|it| it.values.get("Capabilities"));
        if let (false, Some(level), Some(group)) = (is_set, level, wanted.group_mut(path)) {
            group
                .values
                .insert("Capabilities".to_owned(), level.clone());
        }
    }
    for part in ["Orderer", "Application"] {
        let Some(group) = wanted.group_mut(&[part]) else {
            continue;
        };
        let others = current
            .groups
            .get(part)
            .into_iter()
            .flat_map(|it| &it.groups);
        for (name, other) in others {
            group
                .groups
                .entry(name.clone())
                .or_insert_with(|| other.clone());
        }
    }
}

/// The organizations whose administrators decide about a channel.
fn signers(site: &Site<'_>, channel: &Channel) -> Vec<String> {
    let names = channel.organizations.keys().chain(channel.orderers.keys());
    let here = names.filter(|name| site.network.organizations.contains_key(*name));
    here.cloned().collect()
}
