//! Endorsements of organizations whose peers are not reached from here: the member's own peer asks
//! them, by its gateway service (since 2.4).

use super::submit::Submission;
use crate::channel::Pauses;
use crate::error::{Error, Result};
use crate::fabric::contact::Node;
use crate::ledger::proposal::{Answer, Proposal};
use crate::node::{Fault, Status};
use std::time::Duration;
use tokio::time::Instant;

/// A peer learns of the others by gossip, some seconds after it has joined a channel.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the channel has organizations whose peers were not asked, and may be. Transient data goes
/// only to organizations that the user names.
pub fn may_help(submission: &Submission<'_>) -> bool {
    let asked = |id: &String| submission.endorsers.iter().any(|it| it.msp_id == *id);
    let is_open = submission.call.transient.is_empty() && !submission.send_anyway;
    is_open && !submission.view.organizations.keys().all(asked)
}

/// Has an own peer collect the endorsements that the policy of the chaincode needs.
pub async fn endorse(submission: &Submission<'_>, proposal: &Proposal) -> Result<Vec<Answer>> {
    let member = submission.member;
    let end = Instant::now() + submission.timeout.min(PATIENCE);
    let mut pauses = Pauses::until(end);
    loop {
        let mut last = Error::cluster("the organization has no peers");
        let mut may_pass = false;
        for node in &member.contact.nodes {
            match one(submission, proposal, node).await {
                Ok(answers) => return Ok(answers),
                Err((error, passes)) => {
                    last = error;
                    may_pass |= passes;
                }
            }
        }
        if !may_pass || !pauses.wait().await {
            return Err(last);
        }
    }
}

async fn one(
    submission: &Submission<'_>,
    proposal: &Proposal,
    node: &Node,
) -> Result<Vec<Answer>, (Error, bool)> {
    let unusable = |error: Error| (error, false);
    let peer = submission.member.peer(node).map_err(unusable)?;
    let channel = &submission.view.name;
    let envelope = peer.endorse(channel, proposal).await;
    let envelope = envelope.map_err(|fault| {
        let passes = passes(&fault);
        (fault.into(), passes)
    })?;
    proposal.prepared(&envelope, peer.name()).map_err(unusable)
}

/// Fewer peers are known than the policy needs, or one of them is behind
/// (`internal/pkg/gateway/endorse.go`: FAILED_PRECONDITION, ABORTED, UNAVAILABLE).
fn passes(fault: &Fault) -> bool {
    let status = fault.refusal().map(|refusal| refusal.status);
    matches!(status, Some(Status::Grpc(9 | 10 | 14)))
}
