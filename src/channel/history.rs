//! The configuration updates of a channel, block by block, with their signers.

use super::live;
use super::read::Source;
use crate::error::Result;
use crate::ledger::block::Checked;
use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::envelope::config_signer;
use jiff::Timestamp;

/// A configuration block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub block: u64,
    /// Counts the configurations, from 0.
    pub configuration: u64,
    pub time: Option<Timestamp>,
    /// The administrators that signed the update, as `Admin@org1 of Org1MSP`. The genesis block is
    /// not signed. Invalid signatures are reported.
    pub signers: Vec<String>,
    /// Its changes as text. The genesis block has none.
    pub changes: Vec<String>,
}

/// The configuration blocks of a channel, oldest first.
pub async fn history(sources: &[Source<'_>], channel: &str) -> Result<Vec<Entry>> {
    let blocks = live::config_blocks(sources, channel, None).await?;
    let mut entries = Vec::new();
    let mut before: Option<Configuration> = None;
    for block in blocks.into_iter().rev() {
        let (_, configuration) = Configuration::from_block(&block.clone().into_block())?;
        entries.push(entry(&block, &configuration, before.as_ref())?);
        before = Some(configuration);
    }
    Ok(entries)
}

/// The changes of one block to the previous configuration.
pub fn entry(
    block: &Checked,
    configuration: &Configuration,
    before: Option<&Configuration>,
) -> Result<Entry> {
    let transaction = block.transactions()?.into_iter().next();
    let time = transaction
        .as_ref()
        .and_then(|it| it.channel_header.timestamp.as_ref())
        .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    let mut signers = Vec::new();
    if let Some(update) = live::last_update(block)? {
        for signature in &update.signatures {
            signers.push(match config_signer(&update.config_update, signature) {
                Ok(signer) => signer.to_string(),
                Err(error) => error.what().to_owned(),
            });
        }
    }
    Ok(Entry {
        block: block.number(),
        configuration: configuration.sequence,
        time,
        signers,
        changes: match before {
            Some(before) => describe(&before.channel, &configuration.channel)?,
            None => Vec::new(),
        },
    })
}
