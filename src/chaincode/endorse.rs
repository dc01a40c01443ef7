//! Calls one peer of each organization, or another one if the first fails.

pub(super) use crate::channel::place;

use super::view::View;
use crate::error::{Error, Place, Result};
use crate::fabric::contact::Contact;
use crate::ledger::message::peer::SignedProposal;
use crate::ledger::proposal::{Answer, Call, Proposal};
use crate::member::{Failed, Member, Peer};
use futures::future::join_all;

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
    /// The organization is not in the channel, so its TLS authorities are unknown.
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
    /// The response of each peer.
    async fn endorse(&self, proposal: &SignedProposal) -> Result<Answer, Vec<Place>> {
        let mut places = Vec::new();
        for peer in &self.peers {
            let failed: Error = match peer.propose(proposal).await {
                Ok(answer) => match answer.result() {
                    Ok(_) => return Ok(answer),
                    Err(refused) => refused.into(),
                },
                Err(fault) => fault.into(),
            };
            places.push(place(peer.name(), &failed));
        }
        Err(places)
    }
}

/// The responses of the organizations.
pub(super) struct Answers {
    pub answers: Vec<Answer>,
    /// Peers of organizations that did not endorse.
    pub failed: Vec<Place>,
}

/// Gets the endorsement of one peer of each organization.
pub(super) async fn endorse(endorsers: &[Endorsers<'_>], proposal: &Proposal) -> Answers {
    let asked = endorsers.iter().map(|it| it.endorse(proposal.signed()));
    let mut all = Answers {
        answers: Vec::new(),
        failed: Vec::new(),
    };
    for answer in join_all(asked).await {
        match answer {
            Ok(answer) => all.answers.push(answer),
            Err(places) => all.failed.extend(places),
        }
    }
    all
}

/// Calls a read-only function at the first peer of the member that responds.
pub async fn query(member: &Member, call: &Call) -> Result<Vec<u8>> {
    let mut places = Vec::new();
    for node in &member.contact.nodes {
        match member.peer(node)?.query(call).await {
            Ok(payload) => return Ok(payload),
            Err(failed @ Failed::Message(_)) => return Err(failed.into()),
            Err(failed) => places.push(place(&node.host, &failed.into())),
        }
    }
    Err(Error::cluster(format!(
        "chaincode \"{}\" did not answer the query",
        call.chaincode
    ))
    .at_all(places)
    .hint(LIST))
}

pub(super) const LIST: &str = "`kubectl fabric chaincode list` shows where the chaincode is installed, approved and committed";
