//! Updates channels whose configuration differs from the file.

use super::Site;
use super::channel::first;
use crate::channel::{self, Current, Explanation, ProposalFile, Source, Submission};
use crate::error::{Error, Result};
use crate::ledger::config_tree::Group;
use crate::ledger::describe::describe;
use crate::ledger::organization::Organization;
use crate::ledger::update::compute;
use crate::member::Member;
use crate::network::Removal;
use crate::network::file::Channel;
use crate::network::state::Change;
use std::collections::BTreeSet;

/// A channel that exists, beside the file.
pub struct Compared {
    pub changes: Vec<Change>,
    /// MSP ids of the organizations in it.
    pub members: BTreeSet<String>,
    /// Those of them that the file no longer names, and that stay.
    pub staying: BTreeSet<String>,
}

/// How the configuration of a channel that exists differs from the file.
pub async fn compare(site: &Site<'_>, channel: &Channel) -> Result<Compared> {
    let members = site.members_of(channel).await;
    let current = channel::current(&Source::all(&members), &channel.name).await?;
    let from = &current.configuration.channel;
    let words = describe(from, &wanted(site, channel, from).await?)?;
    let signers = signers(site, channel);
    let change = |words| Change {
        words,
        signers: signers.clone(),
    };
    Ok(Compared {
        changes: words.into_iter().map(change).collect(),
        members: channel::msp_ids(from)?,
        staying: match site.removal {
            Removal::Keep => left(site, channel, from)?,
            Removal::Remove => BTreeSet::new(),
        },
    })
}

/// MSP ids of organizations in the channel that an earlier version of the file named in it: they
/// are in the file without this channel, or their release is one of this network.
fn left(site: &Site<'_>, channel: &Channel, current: &Group) -> Result<BTreeSet<String>> {
    let files = site.network.organizations.iter();
    let files = files.filter(|(name, _)| !channel.has(name));
    let files = files.map(|(_, it)| it.member.msp_id.clone());
    let releases = site.left().into_iter().map(|it| it.msp_id);
    let gone: BTreeSet<String> = files.chain(releases).collect();
    let named = site.network.organizations.iter();
    let named = named.filter(|(name, _)| channel.has(name));
    let named: BTreeSet<&String> = named.map(|(_, it)| &it.member.msp_id).collect();
    let there = channel::msp_ids(current)?;
    let left = there.into_iter();
    Ok(left
        .filter(|it| gone.contains(it) && !named.contains(it))
        .collect())
}

/// Changes the configuration to what the file asks for: signed by the administrators who can be
/// used, and submitted when the channel's policies are satisfied. Otherwise the update is written to
/// a file that others sign.
///
/// # Errors
///
/// A change that the channel could not have. Signatures that are not all here, if no organization is
/// elsewhere that could add them.
pub async fn update(site: &Site<'_>, channel: &Channel) -> Result<()> {
    bring(site, channel, None).await
}

/// Sets the anchor peers of an organization: the creation of a channel through a system channel
/// cannot.
///
/// # Errors
///
/// Those of [`update`].
pub async fn anchors(site: &Site<'_>, channel: &Channel, organization: &str) -> Result<()> {
    let msp_id = &site.network.organizations[organization].member.msp_id;
    bring(site, channel, Some(msp_id)).await
}

/// Changes all of a channel's configuration, or the anchor peers of one organization.
async fn bring(site: &Site<'_>, channel: &Channel, anchors_of: Option<&str>) -> Result<()> {
    let name = channel.name.as_str();
    let members = site.members_of(channel).await;
    let sources = Source::all(&members);
    let current: Current = channel::current(&sources, name).await?;
    let from = &current.configuration.channel;
    let whole = wanted(site, channel, from).await?;
    let to = match anchors_of {
        Some(msp_id) => channel::with_anchors(from, &whole, [msp_id]),
        None => whole,
    };
    if describe(from, &to)?.is_empty() {
        // Another run was faster.
        return Ok(());
    }
    channel::check(from, &to)?;
    let mut file = ProposalFile::new(name, current.block.clone(), compute(name, from, &to)?)?;
    site.unite(channel, &mut file)?;
    for member in signing(site, &members, from).await? {
        file = signed(file, &member, &current)?;
    }
    let explained = file.explain(&current.configuration)?;
    if !explained.is_satisfied() {
        site.propose(channel, &file, &current)?;
        return propose(site, channel, &explained);
    }
    channel::prepare_consenters(&members, name, &current, &to).await?;
    let submission = Submission {
        name,
        update: &file.encoded,
        signatures: file.signatures,
        current: &current,
        sources: &sources,
        members: &members,
        timeout: site.options.timeout,
    };
    channel::submit(submission).await.map(|_| ())
}

/// The file with a member's signature, if that counts for anything.
fn signed(file: ProposalFile, member: &Member, current: &Current) -> Result<ProposalFile> {
    let before = file.explain(&current.configuration)?;
    let mut signed = file.clone();
    if before.is_satisfied() || !signed.sign(&member.identity, &member.stamp()?)? {
        return Ok(file);
    }
    let after = signed.explain(&current.configuration)?;
    match after.policies == before.policies {
        true => Ok(file),
        false => Ok(signed),
    }
}

/// Those who sign: the organization whose part is done, or all. An organization that leaves is in
/// the channel until then, and signs as well.
async fn signing(site: &Site<'_>, members: &[Member], current: &Group) -> Result<Vec<Member>> {
    let is_own = |it: &&Member| {
        let release = it.contact.release.as_str();
        site.organization.is_none_or(|own| own == release)
    };
    let mut signing: Vec<Member> = members.iter().filter(is_own).cloned().collect();
    if site.organization.is_none() && site.removal == Removal::Remove {
        let there = channel::msp_ids(current)?;
        let left = site.left().into_iter();
        for contact in left.filter(|it| there.contains(&it.msp_id)) {
            let signer = (site.signing)(&contact.release);
            let member = Member::of(site.cluster, contact, &signer, site.now).await;
            signing.extend(member.ok());
        }
    }
    Ok(signing)
}

/// An update that lacks signatures: its file is written. The organizations that lack may be
/// elsewhere, and sign it there.
fn propose(site: &Site<'_>, channel: &Channel, explained: &Explanation) -> Result<()> {
    let file = channel.proposal_file();
    if site.is_alone() {
        return Err(channel::missing(&channel.name, &explained.policies)
            .replace_now(format!("nothing was sent to the orderers; the update is in {file}"))
            .hint(format!(
                "others sign it: `kubectl fabric channel sign {file}`; then run the same command again"
            )));
    }
    let open = explained.policies.iter().filter(|it| !it.is_satisfied);
    let open: Vec<String> = open.map(ToString::to_string).collect();
    let mut proposed = site.memory.proposed.lock();
    let proposed = proposed
        .as_mut()
        .map_err(|_| Error::internal("a step panicked"))?;
    proposed.insert(
        format!("update/{}", channel.name),
        format!(
            "{file} is an update of channel \"{}\": {}",
            channel.name,
            open.join("; ")
        ),
    );
    Ok(())
}

/// The configuration that the file asks for, over the one that the channel has.
async fn wanted(site: &Site<'_>, channel: &Channel, current: &Group) -> Result<Group> {
    let mut wanted = first(site, channel, Some(current)).await?.0.channel;
    let leaving = match site.removal {
        Removal::Keep => BTreeSet::new(),
        Removal::Remove => left(site, channel, current)?,
    };
    keep(channel, current, &mut wanted, &leaving)?;
    Ok(wanted)
}

/// Keeps settings of the channel's current configuration that the file does not set.
///
/// A capability level that the file does not set follows the oldest node when the channel is made.
/// Later it stays, because a node that does not know a level stops, and no level can be taken back.
/// Organizations that others added stay, with their consenters: a file that does not know them must
/// not expel them. Those that the file has named before leave if that is asked for (`leaving`).
fn keep(
    channel: &Channel,
    current: &Group,
    wanted: &mut Group,
    leaving: &BTreeSet<String>,
) -> Result<()> {
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
    let mut consenters = Vec::new();
    for part in ["Orderer", "Application"] {
        let others = current.groups.get(part).into_iter();
        for (name, other) in others.flat_map(|it| &it.groups) {
            let Some(group) = wanted.group_mut(&[part]) else {
                continue;
            };
            let id = Organization::from_group(name, other)?.msp.id;
            if group.groups.contains_key(name) || leaving.contains(&id) {
                continue;
            }
            group.groups.insert(name.clone(), other.clone());
            if part == "Orderer" {
                consenters.push(id);
            }
        }
    }
    for id in consenters {
        channel::keep_consenters(current, wanted, &id)?;
    }
    Ok(())
}

/// Returns the organizations whose administrators control a channel.
fn signers(site: &Site<'_>, channel: &Channel) -> Vec<String> {
    let names = channel.organizations.keys().chain(channel.orderers.keys());
    let here = names.filter(|name| site.network.organizations.contains_key(*name));
    here.cloned().collect()
}
