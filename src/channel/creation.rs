//! The creation of a channel through the orderers' system channel (Kafka, and Fabric before 2.3):
//! an organization of its consortium sends a transaction, and the orderers make the first block.

use super::broadcast::{broadcast, place};
use super::genesis::genesis;
use super::live::current;
use super::patience::Pauses;
use super::read::Source;
use super::submit::{Submission, missing, sign, submit};
use super::view::View;
use super::wanted::Wanted;
use crate::error::{Error, Place, Result};
use crate::ledger::config_tree::Group;
use crate::ledger::describe::describe;
use crate::ledger::envelope::{self, Position, Seek, config_signature};
use crate::ledger::genesis::creation;
use crate::ledger::message::common::{Block, Envelope};
use crate::ledger::update::compute;
use crate::member::{Failed, Member};
use prost::Message;
use std::time::Duration;
use tokio::time::Instant;

/// The genesis block of the system channel, the same for the same configuration. The organizations
/// of `wanted` are its consortium.
pub fn system_block(wanted: &Wanted<'_>) -> Result<Block> {
    let configuration = wanted.system_channel()?.configuration()?;
    genesis(wanted.name, &configuration, &certificates(wanted))
}

fn certificates<'a>(wanted: &Wanted<'a>) -> Vec<&'a [u8]> {
    let each = wanted.orderers.iter().flat_map(|it| &it.certificates);
    each.map(|it| it.tls.as_slice()).collect()
}

/// A channel to create, and the administrators who sign and send the transaction.
pub struct Creation<'a> {
    pub wanted: Wanted<'a>,
    /// Those of the channel's organizations with peers. The first one sends it.
    pub members: &'a [Member],
    pub timeout: Duration,
}

/// Creates a channel, unless it exists. Returns its first block.
///
/// # Errors
///
/// A channel that cannot be made of these organizations; orderers that do not accept it.
pub async fn create_by_consortium(creation: &Creation<'_>) -> Result<Block> {
    let Creation {
        wanted, members, ..
    } = creation;
    let name = wanted.name;
    let (view, envelope) = transaction(creation)?;
    let sender = members.first().ok_or_else(|| unsigned(name))?;
    // Orderers that cannot be asked yet may start; the transaction waits for them.
    if let Ok(Some(block)) = first_block_of(sender, &view).await {
        return Ok(block);
    }
    let deadline = Instant::now() + creation.timeout;
    let refused = broadcast(sender, &view, &envelope, deadline).await.err();
    let mut pauses = Pauses::until(deadline);
    loop {
        let found = first_block_of(sender, &view).await;
        match (found, &refused) {
            (Ok(Some(block)), _) => return Ok(block),
            // Orderers refuse a channel that another run created.
            (_, Some(refused)) => return Err(not_created(name, refused)),
            (found, None) if !pauses.wait().await => {
                let error = Error::not_ready(format!(
                    "channel \"{name}\" does not exist after {} s",
                    creation.timeout.as_secs()
                ));
                let error = match found {
                    Err(why) => error.why(why.what()).why(why.reasons().join(": ")),
                    Ok(_) => error.why("the orderers accepted its creation and made no block"),
                };
                return Err(error
                    .now("it may still come; the same command again finds it, or asks again")
                    .hint("check the logs of the orderers"));
            }
            (_, None) => {}
        }
    }
}

/// Whom to ask, and the signed transaction.
fn transaction(of: &Creation<'_>) -> Result<(View, Envelope)> {
    let wanted = &of.wanted;
    let name = wanted.name;
    let mut channel = wanted.channel()?;
    let block = genesis(name, &channel.configuration()?, &certificates(wanted))?;
    let view = View::of(name, &block)?;
    channel.orderer = None;
    let update = creation(name, &channel)?.encode_to_vec();
    let mut signatures = Vec::new();
    for member in of.members {
        signatures.push(config_signature(
            &update,
            &member.identity,
            &member.stamp()?,
        )?);
    }
    let sender = of.members.first().ok_or_else(|| unsigned(name))?;
    let (identity, stamp) = (&sender.identity, sender.stamp()?);
    let envelope = envelope::config_update(name, update, signatures, identity, &stamp)?;
    Ok((view, envelope))
}

fn unsigned(name: &str) -> Error {
    Error::user(format!("channel \"{name}\" cannot be created"))
        .why("an administrator of one of its organizations with peers must sign it")
        .now("nothing was sent to the orderers")
}

fn not_created(name: &str, refused: &Error) -> Error {
    refused
        .clone()
        .context(format!("channel \"{name}\" was not created"))
        .hint(
            "the system channel's consortium must name all its organizations, and its policy must \
             allow one of them to create channels",
        )
}

/// The first block of a channel from the first orderer that has it; `None` if all orderers that
/// answer do not have the channel.
///
/// # Errors
///
/// What the orderers answered, if none of them told.
async fn first_block_of(member: &Member, view: &View) -> Result<Option<Block>> {
    let seek = Seek::stored(Position::Oldest);
    let (mut is_absent, mut places) = (false, Vec::<Place>::new());
    for orderer in &view.orderers {
        let node = member.orderer_at(&orderer.address, &orderer.authorities)?;
        match node.block(&view.name, &seek).await {
            Ok(block) => return Ok(Some(block)),
            Err(failed) if is_unknown(&failed) => is_absent = true,
            Err(failed) => places.push(place(&orderer.address, &failed.into())),
        }
    }
    match is_absent {
        true => Ok(None),
        false => {
            Err(Error::cluster(format!("cannot read channel \"{}\"", view.name)).at_all(places))
        }
    }
}

/// Whether an orderer says that it does not have the channel.
pub fn is_unknown(failed: &Failed) -> bool {
    match failed {
        Failed::Fault(fault) => fault.refusal().is_some_and(|it| it.is_not_found()),
        _ => false,
    }
}

/// A configuration with the anchor peers that another one has for these organizations. The creation
/// of a channel through a system channel cannot set them.
pub fn with_anchors<'a>(
    from: &Group,
    wanted: &Group,
    msp_ids: impl IntoIterator<Item = &'a str>,
) -> Group {
    const KEY: &str = "AnchorPeers";
    let mut to = from.clone();
    for msp_id in msp_ids {
        let path = ["Application", msp_id];
        let anchors = wanted.group(&path).and_then(|it| it.values.get(KEY));
        if let Some(group) = to.group_mut(&path) {
            match anchors {
                Some(anchors) => drop(group.values.insert(KEY.to_owned(), anchors.clone())),
                None => drop(group.values.remove(KEY)),
            }
        }
    }
    to
}

/// Sets the anchor peers of a new channel's organizations, if one of them has others.
pub async fn set_anchors(creation: &Creation<'_>, sources: &[Source<'_>]) -> Result<()> {
    let Creation {
        wanted, members, ..
    } = creation;
    let name = wanted.name;
    let current = current(sources, name).await?;
    let from = &current.configuration.channel;
    let configuration = wanted.channel()?.configuration()?;
    let ids = members.iter().map(|it| it.contact.msp_id.as_str());
    let to = with_anchors(from, &configuration.channel, ids);
    if describe(from, &to)?.is_empty() {
        return Ok(());
    }
    let update = compute(name, from, &to)?.encode_to_vec();
    let signed = sign(&update, from, members)?;
    if !signed.is_satisfied() {
        return Err(missing(name, &signed.policies));
    }
    let submission = Submission {
        name,
        update: &update,
        signatures: signed.signatures,
        current: &current,
        sources,
        members,
        timeout: creation.timeout,
    };
    submit(submission).await.map(|_| ())
}
