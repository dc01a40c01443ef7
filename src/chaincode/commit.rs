//! Waits for the commit of a transaction: its block and its validation code.

use crate::channel::Pauses;
use crate::error::Error;
use crate::ledger::block::Checked;
use crate::member::{Commits, Failed, Member, Peer};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A transaction in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub block: u64,
    /// A `TxValidationCode`.
    pub code: i32,
}

/// The stream of blocks that a peer commits.
pub struct Watch<'a> {
    peer: Peer<'a>,
    commits: Option<Commits>,
}

impl<'a> Watch<'a> {
    /// Starts to follow the channel on the first peer of the member that allows it.
    ///
    /// # Errors
    ///
    /// The error of the last peer.
    pub async fn begin(
        member: &'a Member,
        channel: &str,
        silence: Duration,
    ) -> Result<Watch<'a>, Error> {
        let mut last = Error::cluster(format!(
            "organization \"{}\" has no peers",
            member.contact.release
        ));
        for node in &member.contact.nodes {
            let peer = member.peer(node)?;
            let begun = async {
                let mut commits = peer.follow(channel, silence).await?;
                // The newest block arrives immediately. From then on, no block is missed.
                commits.next().await?;
                Ok::<Commits, Failed>(commits)
            };
            match begun.await {
                Ok(commits) => {
                    return Ok(Watch {
                        peer,
                        commits: Some(commits),
                    });
                }
                Err(failed) => last = failed.into(),
            }
        }
        Err(last)
    }

    pub fn peer(&self) -> &Peer<'a> {
        &self.peer
    }

    /// Waits for a transaction. Returns `None` if the peer has not committed it by the deadline.
    pub async fn wait(&mut self, channel: &str, tx_id: &str, deadline: Instant) -> Option<Outcome> {
        while let Some(commits) = &mut self.commits {
            match timeout_at(deadline, commits.next()).await {
                Ok(Ok(block)) => {
                    // If an id is in a block twice, the first one counts.
                    let all = &block.filtered_transactions;
                    if let Some(found) = all.iter().find(|it| it.txid == tx_id) {
                        return Some(Outcome {
                            block: block.number,
                            code: found.tx_validation_code,
                        });
                    }
                }
                // The connection broke, or the block is late: query the ledger.
                Ok(Err(_)) | Err(_) => self.commits = None,
            }
        }
        let mut pauses = Pauses::until(deadline);
        loop {
            if let Some(outcome) = self.look_up(channel, tx_id).await {
                return Some(outcome);
            }
            if !pauses.wait().await {
                return None;
            }
        }
    }

    async fn look_up(&self, channel: &str, tx_id: &str) -> Option<Outcome> {
        let block = self.peer.block_of(channel, tx_id).await.ok()??;
        let block = Checked::new(block, "the block of the transaction").ok()?;
        Some(Outcome {
            block: block.number(),
            code: block.transaction(tx_id)?.validation_code,
        })
    }
}
