//! A transaction, from the call to its block.

use super::commit::{Outcome, Watch};
use super::definition::judge;
use super::endorse::{Answers, Endorsers, LIST, endorse, unreached};
use super::explain::explain;
use super::gateway;
use super::view::View;
use crate::channel::{broadcast, place, warm};
use crate::error::{Error, Place, Result};
use crate::ledger::code::TxValidationCode;
use crate::ledger::message::collection::ApplicationPolicy;
use crate::ledger::proposal::{Answer, Call, Endorsed, Proposal, TxId};
use crate::member::Member;
use futures::future::{Either, join_all, select};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// A transaction to send, and its sender.
pub struct Submission<'a> {
    /// The member that signs, and whose peer reports the commit.
    pub member: &'a Member,
    pub view: &'a View,
    pub endorsers: &'a [Endorsers<'a>],
    pub call: &'a Call,
    /// The endorsement policy, if it is known.
    pub policy: Option<&'a ApplicationPolicy>,
    /// Whether to send the transaction even if the endorsements do not satisfy the policy. The
    /// policies of its keys may require less.
    pub send_anyway: bool,
    /// Other organizations whose peers must have committed it.
    pub others: &'a [&'a Member],
    pub timeout: Duration,
}

/// A valid transaction.
#[derive(Clone, Debug)]
pub struct Done {
    pub tx_id: TxId,
    pub block: u64,
    /// The result of the chaincode.
    pub result: Vec<u8>,
    /// The name of the chaincode event, if any.
    pub event: Option<String>,
    pub endorsed_by: Vec<String>,
    /// Peers that did not endorse, if the others were sufficient.
    pub passed_over: Vec<String>,
}

/// Endorses, sends and commits a transaction.
///
/// # Errors
///
/// States whether the transaction was sent, and its outcome.
pub async fn submit(submission: &Submission<'_>) -> Result<Done> {
    let Submission {
        member,
        view,
        call,
        timeout,
        ..
    } = *submission;
    let proposal = Proposal::new(call, &member.identity, &member.stamp()?)?;
    let watched = std::iter::once(member).chain(submission.others.iter().copied());
    let watches = join_all(watched.map(|it| Watch::begin(it, &view.name, timeout)));
    let asked = futures::future::join(watches, endorse(submission.endorsers, &proposal));
    let (watches, answers) = beside(asked, warm(member, view)).await;
    let unsent = |error: Error| error.now("no transaction was sent to the orderers");
    let endorsed = endorsed(submission, &proposal, &answers).await;
    let endorsed = endorsed.map_err(unsent)?;
    let mut watches: Vec<Watch<'_>> = watches.into_iter().collect::<Result<_>>().map_err(unsent)?;
    let envelope = proposal.transaction(&endorsed.result, &member.identity)?;
    let deadline = Instant::now() + timeout;
    let tx_id = proposal.tx_id();
    broadcast(member, view, &envelope, deadline)
        .await
        .map_err(|error| {
            error.now(format!(
                "transaction {tx_id} may not be in the channel's blocks"
            ))
        })?;
    let waits = watches
        .iter_mut()
        .map(|watch| watch.wait(&view.name, tx_id.as_str(), deadline));
    let outcomes = join_all(waits).await;
    let Some(outcome) = outcomes[0] else {
        return Err(unknown(tx_id, view, timeout));
    };
    let Outcome { block, code } = outcome;
    if code != TxValidationCode::Valid as i32 {
        let watch = &watches[0];
        return Err(explain(submission, watch.peer(), tx_id, outcome, &endorsed.result).await);
    }
    Ok(Done {
        tx_id: tx_id.clone(),
        block,
        result: endorsed.result.result().to_vec(),
        event: endorsed.result.event().map(|event| event.event_name),
        endorsed_by: endorsed.by,
        passed_over: answers.failed.iter().map(words).collect(),
    })
}

/// Runs `work` and, until it completes, also `aside`.
async fn beside<T>(work: impl Future<Output = T>, aside: impl Future<Output = ()>) -> T {
    match select(pin!(work), pin!(aside)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}

/// Gets the endorsements of a transaction, and sends nothing.
///
/// # Errors
///
/// As [`submit`], before anything is sent.
pub async fn endorsable(submission: &Submission<'_>) -> Result<()> {
    let member = submission.member;
    let proposal = Proposal::new(submission.call, &member.identity, &member.stamp()?)?;
    let answers = endorse(submission.endorsers, &proposal).await;
    endorsed(submission, &proposal, &answers).await.map(|_| ())
}

/// `peer0.org2: no pod of it runs`
pub fn words(place: &Place) -> String {
    format!("{}: {}", place.subject, place.note)
}

/// What peers endorsed.
struct ByPeers {
    result: Endorsed,
    /// Names of the peers; of the gateway, where it asked others.
    by: Vec<String>,
}

impl ByPeers {
    fn of(proposal: &Proposal, answers: &[Answer]) -> Result<ByPeers> {
        Ok(ByPeers {
            result: proposal.endorsed(answers)?,
            by: answers.iter().map(|it| it.peer.clone()).collect(),
        })
    }
}

/// The endorsements, if they make a transaction that can become valid. Those of organizations whose
/// peers are not reached from here come by way of an own peer.
async fn endorsed(
    submission: &Submission<'_>,
    proposal: &Proposal,
    all: &Answers,
) -> Result<ByPeers> {
    let chaincode = &submission.call.chaincode;
    if all.answers.is_empty() {
        return Err(refused(chaincode, all));
    }
    let endorsed = ByPeers::of(proposal, &all.answers)?;
    let Some(policy) = submission.policy.filter(|_| !submission.send_anyway) else {
        return Ok(endorsed);
    };
    let verdict = judge(
        submission.view,
        chaincode,
        policy,
        &endorsed.result.endorsers()?,
    )?;
    if verdict.is_satisfied {
        return Ok(endorsed);
    }
    let failed = match gateway::may_help(submission) {
        true => match gateway::endorse(submission, proposal).await {
            Ok(answers) => return ByPeers::of(proposal, &answers),
            Err(error) => Some(error),
        },
        false => None,
    };
    let peers: Vec<&str> = all.answers.iter().map(|it| it.peer.as_str()).collect();
    let error = Error::cluster(format!(
        "the endorsements for \"{chaincode}\" are not sufficient"
    ))
    .at_all(all.failed.clone());
    let error = match failed {
        Some(failed) => error.at(place("others, by way of the own peers", &failed)),
        None => error,
    };
    Err(unreached(error, chaincode, all.repeated)
    .why(verdict.to_string())
    .why(format!("endorsed by {}", peers.join(", ")))
    .hint("select the endorsing organizations with --organizations; the transaction is then sent in any case")
    .hint(LIST))
}

/// Returns the error if no peer endorsed. If all peers respond with the same error, it comes from
/// the chaincode.
fn refused(chaincode: &str, all: &Answers) -> Error {
    let notes: BTreeSet<&str> = all.failed.iter().map(|place| place.note.as_str()).collect();
    let error = Error::cluster(format!("no peer endorsed the call of \"{chaincode}\""));
    let error = unreached(error, chaincode, all.repeated);
    match (all.failed.len(), notes.first()) {
        (2.., Some(note)) if notes.len() == 1 => {
            let peers: Vec<&str> = all.failed.iter().map(|it| it.subject.as_str()).collect();
            error
                .at(Place::new(peers.join(", ")).note("all peers returned the same error"))
                .why((*note).to_owned())
        }
        _ => error.at_all(all.failed.clone()).hint(LIST),
    }
}

fn unknown(tx_id: &TxId, view: &View, timeout: Duration) -> Error {
    Error::not_ready(format!(
        "transaction {tx_id} was sent, but is not in a block yet"
    ))
    .why(format!(
        "the peer did not commit it to channel \"{}\" within {} s",
        view.name,
        timeout.as_secs_f64()
    ))
    .now("an orderer accepted the transaction, so it may still be committed")
    .hint(
        "before you send it again, check whether it took effect, with `kubectl fabric chaincode query`",
    )
    .hint("`kubectl fabric channel list` shows whether peers and orderers have the same height")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(notes: &[(&str, &str)]) -> Answers {
        let failed = notes
            .iter()
            .map(|(peer, note)| Place::new(*peer).note(*note));
        Answers {
            answers: Vec::new(),
            failed: failed.collect(),
            repeated: None,
        }
    }

    #[test]
    fn what_all_peers_refuse_in_the_same_words_is_reported_once() {
        let same = [("peer0.org1", "it exists"), ("peer0.org2", "it exists")];
        assert_eq!(
            refused("basic", &answers(&same)).to_string(),
            "no peer endorsed the call of \"basic\"\n  --> peer0.org1, peer0.org2   all peers \
             returned the same error\nwhy: it exists"
        );
        let others = [("peer0.org1", "it exists"), ("peer0.org2", "no pod")];
        let text = refused("basic", &answers(&others)).to_string();
        assert!(text.contains("--> peer0.org2   no pod"), "{text}");
        assert!(text.contains("chaincode list"), "{text}");
    }
}
