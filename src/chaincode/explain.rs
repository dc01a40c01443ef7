//! Explains why a transaction was committed as invalid.

use super::commit::Outcome;
use super::definition::judge;
use super::submit::Submission;
use crate::error::{Error, Place};
use crate::ledger::block::Checked;
use crate::ledger::code::{TxValidationCode, invalid};
use crate::ledger::proposal::{Endorsed, TxId};
use crate::ledger::rwset::{Access, Conflict};
use crate::member::Peer;

/// Number of blocks to search for the conflicting transaction. A transaction rarely reads an older
/// version, because it reads at the time of the endorsement.
const SEARCHED: u64 = 50;

/// Returns the error for an invalid transaction, with all known facts about the cause.
pub async fn explain(
    submission: &Submission<'_>,
    peer: &Peer<'_>,
    tx_id: &TxId,
    outcome: Outcome,
    endorsed: &Endorsed,
) -> Error {
    let Outcome { block, code } = outcome;
    let name = &submission.view.name;
    let error = invalid(tx_id.as_str(), code)
        .at(Place::new(format!("block {block} of channel \"{name}\"")))
        .now("the transaction is in the channel's blocks and changed nothing");
    match TxValidationCode::try_from(code) {
        Ok(TxValidationCode::MvccReadConflict) => {
            match conflict(peer, name, tx_id.as_str(), block).await {
                Some(Conflict { key, tx_id, block }) => error.why(format!(
                    "transaction {tx_id} in block {block} changed key {:?} of \"{}\" after this transaction read it",
                    key.key, key.chaincode
                )),
                None => error,
            }
        }
        Ok(TxValidationCode::EndorsementPolicyFailure) => {
            let chaincode = &submission.call.chaincode;
            let signers = endorsed.endorsers().unwrap_or_default();
            let verdict = submission
                .policy
                .map(|policy| judge(submission.view, chaincode, policy, &signers));
            match verdict {
                Some(Ok(verdict)) if !verdict.is_satisfied => error.why(verdict.to_string()),
                Some(Ok(_)) => error.why(
                    "the endorsements satisfy the chaincode's policy, so the policy of a \
                     collection or of a written key requires more",
                ),
                _ => error,
            }
        }
        _ => error,
    }
}

async fn conflict(peer: &Peer<'_>, channel: &str, tx_id: &str, block: u64) -> Option<Conflict> {
    let own = fetch(peer, channel, block).await?;
    let access = Access::of(&own.transaction(tx_id)?);
    let mut next = own;
    loop {
        if let Some(conflict) = access.conflict(&next, tx_id) {
            return Some(conflict);
        }
        let number = next.number().checked_sub(1)?;
        if number < access.oldest_change() || number + SEARCHED < block {
            return None;
        }
        next = fetch(peer, channel, number).await?;
    }
}

async fn fetch(peer: &Peer<'_>, channel: &str, number: u64) -> Option<Checked> {
    let block = peer.block(channel, number).await.ok()?;
    Checked::new(block, "the block").ok()
}
