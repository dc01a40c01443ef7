//! Calls of members to peers and orderers: queries of system chaincodes, blocks, broadcasts.

use super::Member;
use crate::error::Error;
use crate::ledger::block::Checked;
use crate::ledger::envelope::{Position, Seek};
use crate::ledger::message::common::{self, Block, Envelope, Status};
use crate::ledger::message::event::{self, FilteredBlock};
use crate::ledger::message::gateway::{
    EndorseRequest, EndorseResponse, SubmitRequest, SubmitResponse,
};
use crate::ledger::message::orderer::{BroadcastResponse, DeliverResponse, DeliverResponseType};
use crate::ledger::message::peer::{
    BlockchainInfo, ChannelQueryResponse, ProposalResponse, SignedProposal,
};
use crate::ledger::proposal::{Answer, Call, Proposal, Unendorsed};
use crate::node::{Cause, Exchange, Fault, Grpc, Heard, Limits, Refusal};
use prost::Message;
use std::time::Duration;

const FILTERED: &str = "/protos.Deliver/DeliverFiltered";
const PROCESS: &str = "/protos.Endorser/ProcessProposal";
const ENDORSE: &str = "/gateway.Gateway/Endorse";
const SUBMIT: &str = "/gateway.Gateway/Submit";
const BROADCAST: &str = "/orderer.AtomicBroadcast/Broadcast";
const DELIVER: &str = "/orderer.AtomicBroadcast/Deliver";

/// The failure of a call.
#[derive(Clone, Debug)]
pub enum Failed {
    /// The node could not be called, or rejected the call.
    Fault(Fault),
    /// The peer responded to the proposal with a failure.
    Refused(Unendorsed),
    /// A message could not be encoded or decoded.
    Message(Error),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed::Fault(fault)
    }
}

impl From<Unendorsed> for Failed {
    fn from(refused: Unendorsed) -> Failed {
        Failed::Refused(refused)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Message(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        match failed {
            Failed::Fault(fault) => fault.into(),
            Failed::Refused(refused) => refused.into(),
            Failed::Message(error) => error,
        }
    }
}

type Result<T, E = Failed> = std::result::Result<T, E>;

/// A peer, called as a member.
pub struct Peer<'a> {
    member: &'a Member,
    grpc: Grpc,
}

impl<'a> Peer<'a> {
    pub(super) fn new(member: &'a Member, grpc: Grpc) -> Peer<'a> {
        Peer { member, grpc }
    }

    /// `peer0.org1`
    pub fn name(&self) -> &str {
        &self.grpc.node().name
    }

    pub fn grpc(&self) -> &Grpc {
        &self.grpc
    }

    /// Sends a proposal to the peer.
    pub async fn propose(&self, proposal: &SignedProposal) -> Result<Answer, Fault> {
        let response: ProposalResponse = self.grpc.unary(PROCESS, proposal).await?;
        Ok(Answer {
            peer: self.name().to_owned(),
            response,
        })
    }

    /// Calls a function without a transaction: of a system chaincode, or a query.
    pub async fn query(&self, call: &Call) -> Result<Vec<u8>> {
        let proposal = Proposal::new(call, &self.member.identity, &self.member.stamp()?)?;
        let answer = self.propose(proposal.signed()).await?;
        Ok(answer.result()?.payload.clone())
    }

    /// [`Peer::query`] for a function that returns a message.
    pub async fn ask<A: Message + Default>(&self, call: &Call) -> Result<A> {
        let answer = self.query(call).await?;
        A::decode(&answer[..]).map_err(|error| {
            let what = format!(
                "cannot read the response of {} to {}",
                self.name(),
                call.chaincode
            );
            Failed::Message(Error::cluster(what).why(error.to_string()))
        })
    }

    /// The channels that the peer has joined.
    pub async fn channels(&self) -> Result<Vec<String>> {
        let call = Call::new("", "cscc", "GetChannels", Vec::new());
        let answer: ChannelQueryResponse = self.ask(&call).await?;
        Ok(answer
            .channels
            .into_iter()
            .map(|channel| channel.channel_id)
            .collect())
    }

    /// Height and newest hash of a channel that the peer has joined.
    pub async fn chain(&self, channel: &str) -> Result<BlockchainInfo> {
        let arguments = vec![channel.as_bytes().to_vec()];
        self.ask(&Call::new(channel, "qscc", "GetChainInfo", arguments))
            .await
    }

    /// A block of a channel that the peer has joined.
    pub async fn block(&self, channel: &str, number: u64) -> Result<Block> {
        let arguments = vec![channel.as_bytes().to_vec(), number.to_string().into_bytes()];
        self.ask(&Call::new(channel, "qscc", "GetBlockByNumber", arguments))
            .await
    }

    /// The newest configuration block of a channel that the peer has joined. Since 3.0, only the
    /// ledger has it.
    pub async fn config_block(&self, channel: &str) -> Result<Block> {
        let newest = self.chain(channel).await?.height.saturating_sub(1);
        let newest = Checked::new(self.block(channel, newest).await?, "the newest block")?;
        match newest.last_config()? {
            number if number == newest.number() => Ok(newest.into_block()),
            number => self.block(channel, number).await,
        }
    }

    /// Joins the peer to a channel by its genesis block.
    pub async fn join(&self, genesis: &Block) -> Result<()> {
        let call = Call::new("", "cscc", "JoinChain", vec![genesis.encode_to_vec()]);
        self.query(&call).await.map(|_| ())
    }
}

/// The peer's gateway service (since 2.4), which reaches what is not reached from here.
impl Peer<'_> {
    /// Has the peer collect the endorsements that a proposal needs, from peers of any organization.
    /// The transaction lacks its creator's signature.
    pub async fn endorse(&self, channel: &str, proposal: &Proposal) -> Result<Envelope, Fault> {
        let request = EndorseRequest {
            transaction_id: proposal.tx_id().to_string(),
            channel_id: channel.to_owned(),
            proposed_transaction: Some(proposal.signed().clone()),
            endorsing_organizations: Vec::new(),
        };
        let response: EndorseResponse = self.grpc.unary(ENDORSE, &request).await?;
        Ok(response.prepared_transaction.unwrap_or_default())
    }

    /// Has the peer send a transaction or a configuration update to an orderer.
    pub async fn submit(&self, channel: &str, envelope: &Envelope) -> Result<(), Fault> {
        let request = SubmitRequest {
            transaction_id: String::new(),
            channel_id: channel.to_owned(),
            prepared_transaction: Some(envelope.clone()),
        };
        let _: SubmitResponse = self.grpc.unary(SUBMIT, &request).await?;
        Ok(())
    }
}

/// The blocks that a peer commits to a channel, without the content of their transactions.
pub struct Commits {
    peer: String,
    stream: Exchange<Envelope, event::DeliverResponse>,
}

impl Peer<'_> {
    /// Follows a channel from its newest block. `silence` is the maximum time without a block.
    pub async fn follow(&self, channel: &str, silence: Duration) -> Result<Commits> {
        let seek = Seek::follow(Position::Newest);
        let envelope = seek.envelope(channel, &self.member.identity, &self.member.stamp()?)?;
        let mut stream: Exchange<Envelope, event::DeliverResponse> =
            self.grpc.open(FILTERED).await?;
        stream.send(&envelope).await?;
        let limits = Limits {
            call: silence,
            ..self.grpc.limits()
        };
        Ok(Commits {
            peer: self.name().to_owned(),
            stream: stream.within(limits),
        })
    }

    /// The block that has a transaction, with its validation codes; `None` if the peer has not
    /// committed the transaction.
    pub async fn block_of(&self, channel: &str, tx_id: &str) -> Result<Option<Block>> {
        let arguments = vec![channel.as_bytes().to_vec(), tx_id.as_bytes().to_vec()];
        let call = Call::new(channel, "qscc", "GetBlockByTxID", arguments);
        match self.ask(&call).await {
            Ok(block) => Ok(Some(block)),
            // This member may read the channel, so the refusal is about the transaction id.
            Err(Failed::Refused(Unendorsed::Refused { .. })) => Ok(None),
            Err(failed) => Err(failed),
        }
    }
}

impl Commits {
    /// The next block, as soon as it is committed.
    pub async fn next(&mut self) -> Result<FilteredBlock, Fault> {
        use event::DeliverResponseType::{Block, FilteredBlock, Status};
        let answer = self.stream.next().await?.and_then(|answer| answer.r#type);
        let (status, why) = match answer {
            Some(FilteredBlock(block)) => return Ok(block),
            Some(Status(status)) => (status, ""),
            Some(Block(_)) | None => (common::Status::InternalServerError as i32, "no block"),
        };
        Err(refused(&self.peer, FILTERED, status, why.to_owned()))
    }
}

/// An orderer, called as a member.
pub struct Orderer<'a> {
    member: &'a Member,
    grpc: Grpc,
}

impl<'a> Orderer<'a> {
    pub(super) fn new(member: &'a Member, grpc: Grpc) -> Orderer<'a> {
        Orderer { member, grpc }
    }

    /// `orderer0.orgorderer1`
    pub fn name(&self) -> &str {
        &self.grpc.node().name
    }

    pub fn grpc(&self) -> &Grpc {
        &self.grpc
    }

    /// Returns the single block of a request.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] for any status other than success: 404 if the channel or block does
    /// not exist, 403 if the channel's policy does not allow the member to read.
    pub async fn block(&self, channel: &str, seek: &Seek) -> Result<Block> {
        let envelope = seek.envelope(channel, &self.member.identity, &self.member.stamp()?)?;
        let mut stream: Exchange<Envelope, DeliverResponse> = self.grpc.open(DELIVER).await?;
        stream.send(&envelope).await?;
        stream.finish();
        match stream.next().await?.and_then(|answer| answer.r#type) {
            Some(DeliverResponseType::Block(block)) => Ok(block),
            Some(DeliverResponseType::Status(status)) => {
                Err(self.refused(DELIVER, status, String::new()).into())
            }
            None => Err(self
                .refused(
                    DELIVER,
                    Status::InternalServerError as i32,
                    "no answer".to_owned(),
                )
                .into()),
        }
    }

    /// Sends a transaction or a configuration update to the orderer.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] with the orderer's message for any status other than success.
    pub async fn broadcast(&self, envelope: &Envelope) -> Result<(), Fault> {
        let mut stream: Exchange<Envelope, BroadcastResponse> = self.grpc.open(BROADCAST).await?;
        stream.send(envelope).await?;
        let answer = stream.next().await?.unwrap_or_default();
        match answer.status == Status::Success as i32 {
            true => Ok(()),
            false => Err(self.refused(BROADCAST, answer.status, answer.info)),
        }
    }

    fn refused(&self, path: &'static str, status: i32, message: String) -> Fault {
        refused(self.name(), path, status, message)
    }
}

fn refused(node: &str, path: &'static str, status: i32, message: String) -> Fault {
    Fault {
        node: node.to_owned(),
        call: path.trim_start_matches('/').to_owned(),
        cause: Cause::Refused(Refusal::fabric(status, message)),
        heard: Heard::Yes,
    }
}
