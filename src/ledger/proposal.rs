//! Chaincode calls, from the proposal to the transaction (`protoutil/proputils.go`,
//! `protoutil/txutils.go`).
//!
//! ```text
//! Call ─► Proposal ─► peers ─► Answers ─┬─► result    (a query ends here)
//!                                       └─► Endorsed ─► transaction ─► orderer
//! ```

use super::envelope::{Stamp, seal};
use super::message::chaincode::{
    ChaincodeEvent, ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec, ChaincodeSpec,
};
use super::message::common::{Envelope, Header, HeaderType, Payload};
use super::message::peer::{
    self, BytesEntry, ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction,
    ChaincodeHeaderExtension, ChaincodeProposalPayload, Endorsement, ProposalResponse,
    ProposalResponsePayload, Response, SignedProposal, Transaction, TransactionAction,
};
use super::sign::{Creator, Identity};
use crate::error::{Error, Result};
use crate::identity::certificate::hex;
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// A transaction id: SHA-256 of nonce and creator, lower-case hex (`protoutil.ComputeTxID`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxId(String);

impl TxId {
    /// Returns the id of a transaction with this nonce and creator (a `SerializedIdentity`).
    pub fn new(nonce: &[u8], creator: &[u8]) -> TxId {
        TxId(hex(&Sha256::digest([nonce, creator].concat())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A call of a chaincode's function. It has no `Debug`, because transient data may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Empty for a system chaincode of the peer itself, such as the installation of a package.
    pub channel: String,
    pub chaincode: String,
    /// The function first.
    pub arguments: Vec<Vec<u8>>,
    /// Data for the endorsing peers only. No transaction and no block contains it.
    pub transient: BTreeMap<String, Vec<u8>>,
    /// Calls `Init` instead of `Invoke` (since 2.0).
    pub init: bool,
}

impl Call {
    /// A call without transient data.
    pub fn new(channel: &str, chaincode: &str, function: &str, arguments: Vec<Vec<u8>>) -> Call {
        Call {
            channel: channel.to_owned(),
            chaincode: chaincode.to_owned(),
            arguments: [vec![function.as_bytes().to_vec()], arguments].concat(),
            ..Call::default()
        }
    }

    fn id(&self) -> Option<ChaincodeId> {
        Some(ChaincodeId {
            name: self.chaincode.clone(),
            ..ChaincodeId::default()
        })
    }

    /// The payload of the proposal, without transient data.
    fn payload(&self) -> ChaincodeProposalPayload {
        let spec = ChaincodeSpec {
            chaincode_id: self.id(),
            input: Some(ChaincodeInput {
                args: self.arguments.clone(),
                decorations: Vec::new(),
                is_init: self.init,
            }),
            ..ChaincodeSpec::default()
        };
        let spec = ChaincodeInvocationSpec {
            chaincode_spec: Some(spec),
        };
        ChaincodeProposalPayload {
            input: spec.encode_to_vec(),
            transient_map: Vec::new(),
        }
    }
}

/// A signed proposal, and the parts of it that go into the transaction.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal {
    tx_id: TxId,
    header: Header,
    /// The encoded payload without transient data, for the transaction.
    payload: Vec<u8>,
    signed: SignedProposal,
}

/// A peer's response to a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Names the peer in errors.
    pub peer: String,
    pub response: ProposalResponse,
}

impl Proposal {
    /// Creates and signs the proposal of a call.
    pub fn new(call: &Call, identity: &Identity, stamp: &Stamp) -> Result<Proposal> {
        let tx_id = TxId::new(&stamp.nonce, &identity.serialized());
        let extension = ChaincodeHeaderExtension {
            chaincode_id: call.id(),
        };
        let mut channel = stamp.channel_header(HeaderType::EndorserTransaction, &call.channel);
        channel.tx_id = tx_id.to_string();
        channel.extension = extension.encode_to_vec();
        let header = Header {
            channel_header: channel.encode_to_vec(),
            signature_header: stamp.signature_header(identity),
        };
        let mut payload = call.payload();
        let public = payload.encode_to_vec();
        let entries = call.transient.iter().map(|(key, value)| BytesEntry {
            key: Some(key.clone()),
            value: Some(value.clone()),
        });
        payload.transient_map = entries.collect();
        let proposal = peer::Proposal {
            header: header.encode_to_vec(),
            payload: payload.encode_to_vec(),
            extension: Vec::new(),
        };
        let proposal_bytes = proposal.encode_to_vec();
        let signature = identity.sign(&proposal_bytes)?;
        Ok(Proposal {
            tx_id,
            header,
            payload: public,
            signed: SignedProposal {
                proposal_bytes,
                signature,
            },
        })
    }

    pub fn tx_id(&self) -> &TxId {
        &self.tx_id
    }

    /// Returns the message for a peer's endorser service.
    pub fn signed(&self) -> &SignedProposal {
        &self.signed
    }

    /// The hash in the responses of endorsers (`protoutil.GetProposalHash1`).
    fn hash(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(&self.header.channel_header);
        hash.update(&self.header.signature_header);
        hash.update(&self.payload);
        hash.finalize().to_vec()
    }

    /// Checks the responses of all endorsers: each must be successful, belong to this proposal and
    /// be signed by its endorser, and all must be equal. The committing peers check the endorsement
    /// policy.
    pub fn endorsed(&self, answers: &[Answer]) -> Result<Endorsed, Unendorsed> {
        let first = answers.first().ok_or(Unendorsed::NoAnswer)?;
        let mut endorsements: Vec<Endorsement> = Vec::new();
        for answer in answers {
            answer.result()?;
            if answer.response.payload != first.response.payload {
                return Err(Unendorsed::Different {
                    peers: [first.peer.clone(), answer.peer.clone()],
                });
            }
            let endorsement = answer.endorsement()?;
            // A repeated endorser, such as behind one Service, counts once (CreateSignedTx).
            if !endorsements
                .iter()
                .any(|it| it.endorser == endorsement.endorser)
            {
                endorsements.push(endorsement.clone());
            }
        }
        let payload = first.response.payload.clone();
        let unreadable = |error: Error| first.invalid(error.to_string());
        let read: ProposalResponsePayload =
            super::message::decode(&payload, "its response").map_err(unreadable)?;
        if read.proposal_hash != self.hash() {
            return Err(first.invalid("it endorsed another proposal".to_owned()));
        }
        let action = super::message::decode(&read.extension, "its result").map_err(unreadable)?;
        Ok(Endorsed {
            payload,
            endorsements,
            action,
        })
    }

    /// The endorsements in a transaction that a peer's gateway prepared, as one answer each:
    /// [`Proposal::endorsed`] checks them like any others. `peer` names the gateway in errors.
    pub fn prepared(&self, envelope: &Envelope, peer: &str) -> Result<Vec<Answer>> {
        let what = "the transaction that the peer prepared";
        let payload: Payload = super::message::decode(&envelope.payload, what)?;
        let transaction: Transaction = super::message::decode(&payload.data, what)?;
        let action = transaction.actions.into_iter().next().unwrap_or_default();
        let action: ChaincodeActionPayload = super::message::decode(&action.payload, what)?;
        let action = action.action.unwrap_or_default();
        let answer = |endorsement: Endorsement| Answer {
            peer: peer.to_owned(),
            response: ProposalResponse {
                response: Some(Response {
                    status: 200,
                    ..Response::default()
                }),
                payload: action.proposal_response_payload.clone(),
                endorsement: Some(endorsement),
                ..ProposalResponse::default()
            },
        };
        Ok(action.endorsements.into_iter().map(answer).collect())
    }

    /// Assembles and signs the transaction, with the identity that signed the proposal.
    pub fn transaction(&self, endorsed: &Endorsed, identity: &Identity) -> Result<Envelope> {
        let payload = ChaincodeActionPayload {
            chaincode_proposal_payload: self.payload.clone(),
            action: Some(ChaincodeEndorsedAction {
                proposal_response_payload: endorsed.payload.clone(),
                endorsements: endorsed.endorsements.clone(),
            }),
        };
        let transaction = Transaction {
            actions: vec![TransactionAction {
                header: self.header.signature_header.clone(),
                payload: payload.encode_to_vec(),
            }],
        };
        let payload = Payload {
            header: Some(self.header.clone()),
            data: transaction.encode_to_vec(),
        };
        seal(&payload, identity)
    }
}

impl Answer {
    /// Returns the result of a query. It is only as trustworthy as the connection to the peer.
    pub fn result(&self) -> Result<&Response, Unendorsed> {
        match &self.response.response {
            // Fabric's limit between success and failure (protoutil.CreateSignedTx).
            Some(response) if (200..400).contains(&response.status) => Ok(response),
            Some(response) => Err(Unendorsed::Refused {
                peer: self.peer.clone(),
                status: response.status,
                message: response.message.clone(),
            }),
            None => Err(self.invalid("it has no status".to_owned())),
        }
    }

    /// Returns the endorsement if its signature is valid (`common/policies`: over payload and
    /// endorser).
    fn endorsement(&self) -> Result<&Endorsement, Unendorsed> {
        let Some(endorsement) = &self.response.endorsement else {
            return Err(self.invalid("it has no endorsement".to_owned()));
        };
        let endorser = Creator::from_bytes(&endorsement.endorser, "the endorser")
            .map_err(|error| self.invalid(error.to_string()))?;
        let message = [&self.response.payload[..], &endorsement.endorser].concat();
        endorser
            .verify(&message, &endorsement.signature)
            .map_err(|why| self.invalid(format!("the signature of {endorser} {why}")))?;
        Ok(endorsement)
    }

    fn invalid(&self, why: String) -> Unendorsed {
        Unendorsed::Invalid {
            peer: self.peer.clone(),
            why,
        }
    }
}

/// The common result of all endorsers.
#[derive(Clone, Debug, PartialEq)]
pub struct Endorsed {
    payload: Vec<u8>,
    endorsements: Vec<Endorsement>,
    action: ChaincodeAction,
}

impl Endorsed {
    /// What the chaincode returned, as the endorsers signed it.
    pub fn result(&self) -> &[u8] {
        self.action.response.as_ref().map_or(&[], |it| &it.payload)
    }

    /// The chaincode event, if any.
    pub fn event(&self) -> Option<ChaincodeEvent> {
        let events = &self.action.events;
        ChaincodeEvent::decode(&events[..])
            .ok()
            .filter(|_| !events.is_empty())
    }

    /// The endorsers, each once.
    pub fn endorsers(&self) -> Result<Vec<Creator>> {
        let endorsers = self.endorsements.iter();
        endorsers
            .map(|it| Creator::from_bytes(&it.endorser, "the endorser"))
            .collect()
    }
}

/// Why the responses are not sufficient for a transaction. Callers read `status` and `message`,
/// because some refusals describe a state: already joined, already installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unendorsed {
    /// No peer was called.
    NoAnswer,
    /// The chaincode, or the peer in its place, returned a failure.
    Refused {
        peer: String,
        /// 500 unless the chaincode sets another status.
        status: i32,
        message: String,
    },
    /// Two peers computed different results.
    Different { peers: [String; 2] },
    /// Not a valid response of a Fabric peer: a wrong signature, another proposal.
    Invalid { peer: String, why: String },
}

/// How Go reports a server that does not accept connections, or has no address yet.
const NO_CONNECTION: [&str; 4] = [
    "connection refused",
    "no route to host",
    "no such host",
    "connection reset by peer",
];

impl Unendorsed {
    /// Whether the peer could not connect to the chaincode's server, or the server closed the
    /// connection before it registered, as one does that is being replaced. Nothing was executed,
    /// and the same call may succeed soon: a node learns the address of a new server a moment after
    /// its pod is ready.
    ///
    /// The peer answers `error in simulation: failed to execute transaction ID: could not launch
    /// chaincode PACKAGE: connection to PACKAGE failed: ...` (`core/chaincode/runtime_launcher.go`,
    /// `core/chaincode/extcc/extcc_handler.go`). A call that waits for the connection of another
    /// one has `chaincode registration failed: ` in front of the cause.
    pub fn is_unconnected(&self) -> bool {
        let Unendorsed::Refused { message, .. } = self else {
            return false;
        };
        let after = |text: &str, words: &str| -> Option<String> {
            let (_, rest) = text.strip_prefix(words)?.split_once(": ")?;
            Some(rest.to_owned())
        };
        let cause = after(
            message,
            "error in simulation: failed to execute transaction ",
        );
        let cause = cause.and_then(|it| after(&it, "could not launch chaincode "));
        cause.is_some_and(|cause| {
            let failed = cause.strip_prefix("chaincode registration failed: ");
            let failed = failed.unwrap_or(&cause);
            let is_closed = failed.ends_with(" terminated");
            failed.starts_with("connection to ")
                && (is_closed || NO_CONNECTION.iter().any(|words| failed.contains(words)))
        })
    }
}

impl From<Unendorsed> for Error {
    fn from(unendorsed: Unendorsed) -> Error {
        match unendorsed {
            Unendorsed::NoAnswer => Error::cluster("no peer endorsed the transaction"),
            Unendorsed::Refused {
                peer,
                status,
                message,
            } => Error::cluster(format!("{peer} refused the call"))
                .why(format!("it returned {status}: {message}")),
            Unendorsed::Different {
                peers: [one, other],
            } => Error::cluster(format!("{one} and {other} computed different results"))
                .why(
                    "the chaincode's result depends on more than its arguments and the state, \
                         or a peer is behind, or their chaincodes differ",
                )
                .hint("if one of the peers was behind, send the transaction again"),
            Unendorsed::Invalid { peer, why } => {
                Error::cluster(format!("{peer} sent an invalid response")).why(why)
            }
        }
    }
}

#[cfg(test)]
impl Proposal {
    pub(crate) fn hash_for_tests(&self) -> Vec<u8> {
        self.hash()
    }
}

#[cfg(test)]
mod tests;
