//! Data from a network of Fabric's own programs, decoded and encoded again byte for byte.

use super::block::Checked;
use super::envelope::Stamp;
use super::message::collection::{ApplicationPolicy, ApplicationPolicyType};
use super::message::common::Envelope;
use super::message::decode;
use super::message::lifecycle::{
    APPROVE_CHAINCODE_DEFINITION_FOR_MY_ORG, COMMIT_CHAINCODE_DEFINITION, ChaincodeDefinitionArgs,
    ChaincodeSource, ChaincodeSourceType, LIFECYCLE, LocalPackage,
};
use super::message::peer::{
    ChaincodeAction, ChaincodeActionPayload, ProposalResponse, ProposalResponsePayload, Transaction,
};
use super::message::policy::{
    Classification, NOutOf, Principal, Role, RoleType, Rule, SignaturePolicy,
    SignaturePolicyEnvelope,
};
use super::proposal::{Answer, Call, Proposal};
use super::sign::{Creator, Identity, Signer};
use crate::error::Result;
use crate::identity::certificate::chain_from_pem;
use prost::Message;
use std::sync::Arc;

/// The blocks with the approval and the commit of a chaincode definition, as a peer keeps them.
fn blocks() -> [Checked; 2] {
    let approval = include_bytes!("../../tests/fixtures/v2.5.16/approval.block");
    let commit = include_bytes!("../../tests/fixtures/v2.5.16/commit.block");
    [&approval[..], commit].map(|bytes| {
        let block = Checked::from_bytes(bytes, "the block").unwrap();
        assert_eq!(block.clone().into_block().encode_to_vec(), bytes);
        block
    })
}

/// The messages of `peer lifecycle chaincode approveformyorg` (with a source) and `commit`.
fn definition(source: Option<ChaincodeSource>) -> ChaincodeDefinitionArgs {
    // OR('Org1MSP.peer')
    let peer = Role {
        msp_identifier: "Org1MSP".to_owned(),
        role: RoleType::Peer as i32,
    };
    let signed_by = |rule| SignaturePolicy { r#type: Some(rule) };
    let policy = SignaturePolicyEnvelope {
        version: 0,
        rule: Some(signed_by(Rule::NOutOf(NOutOf {
            n: 1,
            rules: vec![signed_by(Rule::SignedBy(0))],
        }))),
        identities: vec![Principal {
            principal_classification: Classification::Role as i32,
            principal: peer.encode_to_vec(),
        }],
    };
    ChaincodeDefinitionArgs {
        sequence: 1,
        name: "basic".to_owned(),
        version: "1.0".to_owned(),
        validation_parameter: ApplicationPolicy {
            r#type: Some(ApplicationPolicyType::SignaturePolicy(policy)),
        }
        .encode_to_vec(),
        source,
        ..ChaincodeDefinitionArgs::default()
    }
}

/// Repeats a signature whose key is not available.
struct Recorded(Vec<u8>);

impl Signer for Recorded {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

#[test]
fn blocks_of_a_network_are_linked_and_signed() {
    let [approval, commit] = blocks();
    assert!(approval.precedes(&commit.header));
    assert!(!commit.precedes(&approval.header));
    for block in [approval, commit] {
        assert_eq!(block.last_config().unwrap(), 0);
        let [signature] = &block.signatures().unwrap()[..] else {
            panic!("one signature");
        };
        assert_eq!(signature.verify(|_| None), Ok(()));
    }
}

#[test]
fn a_block_of_a_bft_channel_is_signed_by_a_quorum_of_consenters() {
    let bytes = include_bytes!("../../tests/fixtures/v3.1.5/approval.block");
    let consenters = include_bytes!("../../tests/fixtures/v3.1.5/consenters.pem");
    let consenters = chain_from_pem(consenters, "the consenters").unwrap();
    let block = Checked::from_bytes(bytes, "the block").unwrap();
    let signatures = block.signatures().unwrap();
    assert_eq!((block.last_config().unwrap(), signatures.len()), (0, 3));
    for signature in signatures {
        // Ids begin at 1, in the order of configtx.yaml.
        let known = |id: u32| consenters.get(id as usize - 1).cloned();
        assert_eq!(signature.verify(known), Ok(()));
        let another = |id: u32| consenters.get(id as usize % 4).cloned();
        assert_eq!(signature.verify(another), Err("is wrong"));
    }
}

/// With the arguments, time, nonce and signatures of a recorded transaction, the proposal accepts
/// the recorded endorsement and becomes the recorded envelope.
#[test]
fn a_transaction_is_the_one_that_peer_makes() {
    let package = "basic_1.0:beae214c74909535bf32ad9eef70da6bf39d16406b426335366c872c9006931f";
    let source = ChaincodeSource {
        r#type: Some(ChaincodeSourceType::LocalPackage(LocalPackage {
            package_id: package.to_owned(),
        })),
    };
    let functions = [
        (
            APPROVE_CHAINCODE_DEFINITION_FOR_MY_ORG,
            definition(Some(source)),
        ),
        (COMMIT_CHAINCODE_DEFINITION, definition(None)),
    ];
    for (block, (function, arguments)) in blocks().iter().zip(functions) {
        let recorded = &block.transactions().unwrap()[0];
        assert!(recorded.valid().is_ok());
        let envelope: Envelope = decode(&block.data.data[0], "it").unwrap();
        let creator = Creator::from_bytes(&recorded.signature_header.creator, "it").unwrap();
        let valid = creator.verify(&envelope.payload, &envelope.signature);
        assert_eq!(valid, Ok(()));
        let signer = Arc::new(Recorded(envelope.signature.clone()));
        let identity = Identity::new(&creator.msp_id, creator.certificate, signer);
        let time = recorded.channel_header.timestamp.unwrap().time().unwrap();
        let stamp = Stamp {
            time,
            nonce: recorded.signature_header.nonce[..].try_into().unwrap(),
            tls_certificate: None,
        };
        let call = Call::new(
            "mychannel",
            LIFECYCLE,
            function,
            vec![arguments.encode_to_vec()],
        );
        let proposal = Proposal::new(&call, &identity, &stamp).unwrap();
        assert_eq!(proposal.tx_id().as_str(), recorded.channel_header.tx_id);

        let transaction: Transaction = decode(&recorded.data, "it").unwrap();
        let payload: ChaincodeActionPayload =
            decode(&transaction.actions[0].payload, "it").unwrap();
        let action = payload.action.unwrap();
        let response: ProposalResponsePayload =
            decode(&action.proposal_response_payload, "it").unwrap();
        let result: ChaincodeAction = decode(&response.extension, "it").unwrap();
        let answer = Answer {
            peer: "peer0.org1".to_owned(),
            response: ProposalResponse {
                response: result.response,
                payload: action.proposal_response_payload,
                endorsement: action.endorsements.first().cloned(),
                ..ProposalResponse::default()
            },
        };
        let endorsed = proposal.endorsed(&[answer]).unwrap();
        let made = proposal.transaction(&endorsed, &identity).unwrap();
        assert!(made == envelope, "{function}");
    }
}
