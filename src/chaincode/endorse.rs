//! Calls one peer of each organization, or another one if the first fails.
//!
//! A peer connects to a chaincode's server at the first call, and a new server accepts connections
//! a moment after its pod is ready. Such calls are repeated for some seconds: a peer that did not
//! reach the server has executed nothing, and nothing is sent to an orderer before it endorses.

pub(super) use crate::channel::place;

use super::view::View;
use crate::channel::{Pauses, REACH};
use crate::error::{Error, Place, Result};
use crate::fabric::contact::Contact;
use crate::ledger::message::peer::SignedProposal;
use crate::ledger::proposal::{Answer, Call, Proposal};
use crate::member::{Failed, Member, Peer};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// The peers of an organization that may endorse.
pub struct Endorsers<'a> {
    /// The release.
    pub organization: String,
    pub msp_id: String,
    peers: Vec<Peer<'a>>,
}

impl<'a> Endorsers<'a> {
    /// The peers of an organization, called by a member of this or another organization.
    ///
    /// # Errors
    ///
    /// Fails if the organization is not in the channel, because its TLS authorities are then
    /// unknown.
    pub fn new(member: &'a Member, view: &View, contact: &Contact) -> Result<Endorsers<'a>> {
        let Some(authorities) = view.organizations.get(&contact.msp_id) else {
            let ids: Vec<&str> = view.organizations.keys().map(String::as_str).collect();
            return Err(Error::user(format!(
                "organization \"{}\" is not in channel \"{}\"",
                contact.release, view.name
            ))
            .why(format!(
                "its MSP id is {}; the channel has {}",
                contact.msp_id,
                ids.join(", ")
            ))
            .now("nothing was sent"));
        };
        let peers =
            contact
                .nodes
                .iter()
                .map(|node| match contact.msp_id == member.contact.msp_id {
                    true => member.peer(node),
                    false => member.peer_of(contact, node, authorities),
                });
        Ok(Endorsers {
            organization: contact.release.clone(),
            msp_id: contact.msp_id.clone(),
            peers: peers.collect::<Result<_>>()?,
        })
    }

    /// Gets the endorsement of the first peer that can endorse.
    ///
    /// # Errors
    ///
    /// Lists the response of each peer.
    async fn endorse(&self, proposal: &SignedProposal) -> Result<Answer, Unanswered> {
        let call = async |peer: &Peer<'_>| {
            let answer = peer.propose(proposal).await?;
            answer.result()?;
            Ok(answer)
        };
        first(&self.peers, REACH, call).await
    }
}

/// Why no peer answered.
struct Unanswered {
    /// By address.
    failed: Vec<(String, Failed)>,
    /// How long the calls were repeated, because peers did not reach the chaincode's server.
    repeated: Option<Duration>,
}

impl Unanswered {
    fn places(&self) -> Vec<Place> {
        let each = self.failed.iter();
        each.map(|(peer, failed)| place(peer, &failed.clone().into()))
            .collect()
    }
}

/// The answer of the first peer that has one. The calls are repeated while a peer cannot connect to
/// the chaincode's server.
async fn first<T>(
    peers: &[Peer<'_>],
    patience: Duration,
    call: impl AsyncFn(&Peer<'_>) -> Result<T, Failed>,
) -> Result<T, Unanswered> {
    let began = Instant::now();
    let mut pauses = Pauses::until(began + patience);
    let mut repeated = None;
    loop {
        let mut failed = Vec::new();
        for peer in peers {
            match call(peer).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failed.push((peer.name().to_owned(), error)),
            }
        }
        let passes = |(_, failed): &(String, Failed)| matches!(failed, Failed::Refused(refused) if refused.is_unconnected());
        if !failed.iter().any(passes) || !pauses.wait().await {
            return Err(Unanswered { failed, repeated });
        }
        repeated = Some(patience);
    }
}

/// The responses of the organizations.
pub(super) struct Answers {
    pub answers: Vec<Answer>,
    /// Peers of organizations that did not endorse.
    pub failed: Vec<Place>,
    /// How long calls were repeated in vain, because peers did not reach the chaincode's server.
    pub repeated: Option<Duration>,
}

/// Gets the endorsement of one peer of each organization.
pub(super) async fn endorse(endorsers: &[Endorsers<'_>], proposal: &Proposal) -> Answers {
    let asked = endorsers.iter().map(|it| it.endorse(proposal.signed()));
    let mut all = Answers {
        answers: Vec::new(),
        failed: Vec::new(),
        repeated: None,
    };
    for answer in join_all(asked).await {
        match answer {
            Ok(answer) => all.answers.push(answer),
            Err(unanswered) => {
                all.failed.extend(unanswered.places());
                all.repeated = all.repeated.or(unanswered.repeated);
            }
        }
    }
    all
}

/// Calls a read-only function at the first peer of the member that responds.
pub async fn query(member: &Member, call: &Call) -> Result<Vec<u8>> {
    let peers = member.contact.nodes.iter();
    let peers: Vec<Peer<'_>> = peers.map(|node| member.peer(node)).collect::<Result<_>>()?;
    let unanswered = match first(&peers, REACH, async |peer: &Peer<'_>| {
        peer.query(call).await
    })
    .await
    {
        Ok(payload) => return Ok(payload),
        Err(unanswered) => unanswered,
    };
    if let Some((_, Failed::Message(error))) = unanswered.failed.first() {
        return Err(error.clone());
    }
    let what = format!("chaincode \"{}\" did not answer the query", call.chaincode);
    let error = Error::cluster(what).at_all(unanswered.places());
    Err(unreached(error, &call.chaincode, unanswered.repeated).hint(LIST))
}

/// Adds to an error that peers did not reach the chaincode's server.
pub(super) fn unreached(error: Error, chaincode: &str, repeated: Option<Duration>) -> Error {
    let Some(patience) = repeated else {
        return error;
    };
    error
        .why(format!(
            "peers could not connect to the chaincode's server for {} s",
            patience.as_secs()
        ))
        .hint(format!(
            "`kubectl fabric chaincode logs {chaincode}` shows whether the server runs"
        ))
}

pub(super) const LIST: &str = "`kubectl fabric chaincode list` shows where the chaincode is \
                               installed, approved and committed";

#[cfg(test)]
mod tests;
