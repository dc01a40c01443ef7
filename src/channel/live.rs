//! Reads the current configuration of a channel, and compares proposals with it.

use super::proposal_file::ProposalFile;
use super::read::{self, Position, Source};
use super::view::View;
use crate::error::{Error, Result};
use crate::ledger::block::Checked;
use crate::ledger::config_tree::Configuration;
use crate::ledger::message::common::{ConfigUpdateEnvelope, Payload};
use crate::ledger::message::configuration::ConfigEnvelope;
use crate::ledger::message::decode;
use crate::ledger::update;
use crate::member::Member;

/// The newest configuration of a channel, and the block that set it.
#[derive(Clone, Debug)]
pub struct Current {
    pub block: Checked,
    pub configuration: Configuration,
}

/// Reads the newest configuration.
///
/// # Errors
///
/// Lists the response of each node if none returns it. Also fails for a block of another channel.
pub async fn current(sources: &[Source<'_>], channel: &str) -> Result<Current> {
    let block = read::fetch(sources, channel, Position::Config).await?;
    let (of, configuration) = Configuration::from_block(&block.clone().into_block())?;
    if of != channel {
        return Err(Error::cluster(format!(
            "cannot read the configuration of channel \"{channel}\""
        ))
        .why(format!("the node sent that of channel \"{of}\"")));
    }
    Ok(Current {
        block,
        configuration,
    })
}

/// Reads a channel from a member's nodes: the addresses to call, and the authorities to trust.
pub async fn view(member: &Member, channel: &str) -> Result<View> {
    let sources = Source::all(std::slice::from_ref(member));
    let block = read::fetch(&sources, channel, Position::Config).await?;
    View::of(channel, &block.into_block())
}

/// Returns the configuration blocks of a channel, newest first, down to the first one or to those
/// after block `after`.
pub async fn config_blocks(
    sources: &[Source<'_>],
    channel: &str,
    after: Option<u64>,
) -> Result<Vec<Checked>> {
    let is_wanted = |number: u64| after.is_none_or(|after| number > after);
    let mut blocks = Vec::new();
    let mut block = read::fetch(sources, channel, Position::Config).await?;
    // Each block contains the number of the newest configuration block so far, so the block before
    // a configuration block leads to the previous one.
    while is_wanted(block.number()) {
        let before = block.number().checked_sub(1);
        blocks.push(block);
        let Some(before) = before.filter(|it| is_wanted(*it)) else {
            break;
        };
        let before = read::fetch(sources, channel, Position::Number(before)).await?;
        let number = before.last_config()?;
        block = match number == before.number() {
            true => before,
            false => read::fetch(sources, channel, Position::Number(number)).await?,
        };
    }
    Ok(blocks)
}

/// Returns the update in a configuration block, with its signatures. The genesis block has none.
pub fn last_update(block: &Checked) -> Result<Option<ConfigUpdateEnvelope>> {
    let transaction = block.transactions()?.into_iter().next();
    let data = transaction.map(|it| it.data).unwrap_or_default();
    let envelope: ConfigEnvelope = decode(&data, "the configuration of the channel")?;
    let Some(update) = envelope.last_update else {
        return Ok(None);
    };
    let payload: Payload = decode(&update.payload, "the update")?;
    decode(&payload.data, "the update").map(Some)
}

/// Returns true if a configuration block contains this update.
pub fn carries(block: &Checked, update: &[u8]) -> Result<bool> {
    Ok(last_update(block)?.is_some_and(|it| it.config_update == update))
}

/// Compares a proposal with its channel. Returns the channel's current configuration, which the
/// update matches.
///
/// # Errors
///
/// Fails for a proposal from another network, one that was already submitted, and one that is
/// outdated because of other updates.
pub async fn compare(file: &ProposalFile, sources: &[Source<'_>]) -> Result<Current> {
    let channel = file.channel.as_str();
    let current = current(sources, channel).await?;
    let (base, newest) = (file.base.number(), current.block.number());
    if file.base.hash() == current.block.hash() {
        return Ok(current);
    }
    if base > newest {
        return Err(Error::user(format!(
            "the proposal is not based on channel \"{channel}\" of this network"
        ))
        .why(format!(
            "it is based on the configuration in block {base}; the newest one here is in block {newest}"
        ))
        .now("nothing was signed or sent")
        .hint("if it is for this network, wait until the nodes here have all blocks: `kubectl fabric channel list`"));
    }
    let here = read::fetch(sources, channel, Position::Number(base)).await?;
    if here.hash() != file.base.hash() {
        return Err(Error::user(format!(
            "the proposal is for another network, which also has a channel \"{channel}\""
        ))
        .why(format!("block {base} of the two networks differs"))
        .now("nothing was signed or sent"));
    }
    for block in config_blocks(sources, channel, Some(base)).await? {
        if carries(&block, &file.encoded)? {
            return Err(Error::user("the proposal was already submitted")
                .why(format!(
                    "block {} of channel \"{channel}\" contains it",
                    block.number()
                ))
                .now("nothing was signed or sent")
                .hint(format!(
                    "see what it changed: `kubectl fabric channel history {channel}`"
                )));
        }
    }
    update::apply(&current.configuration, &file.update)
        .map_err(|error| error.now("nothing was signed or sent"))?;
    Ok(current)
}
