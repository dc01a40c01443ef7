//! Updates channels whose configuration differs from the file.

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

/// Returns the differences between an existing channel's configuration and the file.
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

/// Changes the configuration to the state in the file: signs with the usable administrators, and
/// submits the update if the channel's policies are satisfied.
///
/// # Errors
///
/// Fails for an invalid change, and if signatures are missing.
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
            "write a proposal for the other organizations to sign: `kubectl fabric channel update \
             {name} --propose FILE`"
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

/// Returns the configuration of the file, merged over the channel's current one.
async fn wanted(site: &Site<'_>, channel: &Channel, current: &Group) -> Result<Group> {
    let mut wanted = first(site, channel).await?.0.channel;
    keep(channel, current, &mut wanted);
    Ok(wanted)
}

/// Keeps settings of the channel's current configuration that the file does not set.
///
/// If the file sets no capability level, the oldest node determines it when the channel is created.
/// Later it stays, because a node stops at a level that it does not support, and a level cannot be
/// lowered. Organizations that others added stay: a file without them must not remove them.
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

/// Returns the organizations whose administrators control a channel.
fn signers(site: &Site<'_>, channel: &Channel) -> Vec<String> {
    let names = channel.organizations.keys().chain(channel.orderers.keys());
    let here = names.filter(|name| site.network.organizations.contains_key(*name));
    here.cloned().collect()
}
