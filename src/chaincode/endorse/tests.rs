//! Calls to peers that cannot connect to a chaincode's server yet.

use super::*;
use crate::chaincode::gateway;
use crate::chaincode::submit::Submission;
use crate::cluster::scripted::{Scripted, impatient};
use crate::fabric::{Model, Subject};
use crate::ledger::message::common::Block;
use crate::ledger::message::peer::{ProposalResponse, Response};
use crate::ledger::proposal::{Proposal, Unendorsed};
use crate::ledger::sign::Identity;
use crate::node::Grpc;
use crate::node::tests::served::{Authority, NAME, Play, Server};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const UNCONNECTED: &str = "error in simulation: failed to execute transaction 0a1b: could not launch chaincode basic_1.0:ab: connection to basic_1.0:ab failed: error cannot create connection for basic_1.0:ab: error creating grpc connection to basic:9999: failed to create new connection: connection error: desc = \"transport: error while dialing: dial tcp 10.0.0.7:9999: connect: connection refused\"";
const REFUSED: &str = "the asset a1 already exists";

macro_rules! admin {
    ($path:literal) => {
        include_bytes!(concat!(
            "../../../tests/fixtures/v2.5.16/crypto-config/peerOrganizations/org1/users/Admin@org1/msp/",
            $path
        ))
    };
}

fn response(status: i32, message: &str) -> Play {
    let response = ProposalResponse {
        response: Some(Response {
            status,
            message: message.to_owned(),
            payload: b"done".to_vec(),
        }),
        ..ProposalResponse::default()
    };
    Play::Answer(vec![response.encode_to_vec().into()])
}

/// A peer that answers with one message for the first calls, and then well.
async fn peer(calls: usize, message: &'static str) -> (Server, Grpc) {
    let authority = Authority::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Server::grpc(Some(authority.server(&["h2"])), move |_| {
        match asked.fetch_add(1, Ordering::SeqCst) < calls {
            true => response(500, message),
            false => response(200, ""),
        }
    })
    .await;
    let grpc = Grpc::new(server.node(authority.client()));
    (server, grpc)
}

/// The administrator of org1, whose only peer is this one.
async fn member(grpc: Grpc) -> Member {
    let values = serde_json::json!({"fabricVersion": "2.5.16", "peers": {"count": 1}});
    let contact = Contact::of(Subject {
        model: Some(Model::PeerOrganization),
        release: "org1",
        namespace: "org1",
        values: &values,
    });
    let (certificate, key) = (
        admin!("signcerts/Admin@org1-cert.pem"),
        admin!("keystore/priv_sk"),
    );
    let identity = Identity::from_pem("Org1MSP", certificate, key, "the administrator").unwrap();
    let cluster = Scripted::start([]).await.cluster(impatient()).await;
    Member::served(&cluster, contact.unwrap(), identity, [grpc])
}

fn call() -> Call {
    Call::new("mychannel", "basic", "ReadAsset", vec![b"a1".to_vec()])
}

#[tokio::test]
async fn a_call_is_repeated_until_the_peer_has_reached_the_server() {
    let (server, grpc) = peer(3, UNCONNECTED).await;
    assert_eq!(grpc.node().name, NAME);
    let member = member(grpc).await;
    assert_eq!(query(&member, &call()).await.unwrap(), b"done");
    assert_eq!(server.calls().len(), 4);

    let (server, grpc) = peer(3, UNCONNECTED).await;
    let member = self::member(grpc).await;
    let proposal = Proposal::new(&call(), &member.identity, &member.stamp().unwrap()).unwrap();
    let endorsers = Endorsers {
        organization: "org1".to_owned(),
        msp_id: "Org1MSP".to_owned(),
        peers: vec![member.peer(&member.contact.nodes[0]).unwrap()],
    };
    let all = endorse(&[endorsers], &proposal).await;
    assert_eq!((all.answers.len(), all.failed.len()), (1, 0));
    assert_eq!(all.repeated, None);
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn a_server_that_stays_away_is_reported_and_other_refusals_are_not_repeated() {
    for (message, is_repeated) in [(UNCONNECTED, true), (REFUSED, false)] {
        let (server, grpc) = peer(usize::MAX, message).await;
        let member = member(grpc).await;
        let peers = [member.peer(&member.contact.nodes[0]).unwrap()];
        let patience = Duration::from_millis(500);
        let failed = first(&peers, patience, async |it: &Peer<'_>| {
            it.query(&call()).await
        })
        .await
        .err()
        .unwrap();
        let (peer, refused) = &failed.failed[0];
        assert!(
            matches!(refused, Failed::Refused(Unendorsed::Refused { message: it, .. }) if it == message)
        );
        assert_eq!((failed.failed.len(), peer.as_str()), (1, NAME));
        assert_eq!(server.calls().len() > 1, is_repeated, "{message}");
        assert_eq!(failed.repeated, is_repeated.then_some(patience));
    }
}

#[test]
fn the_error_says_how_long_the_server_was_waited_for() {
    let error = Error::cluster("no peer endorsed the call of \"basic\"");
    assert!(unreached(error.clone(), "basic", None).reasons().is_empty());
    let text = unreached(error, "basic", Some(REACH)).to_string();
    assert!(
        text.contains("could not connect to the chaincode's server for 10 s")
            && text.contains("`kubectl fabric chaincode logs basic`"),
        "{text}"
    );
}

#[tokio::test]
async fn an_own_peer_collects_endorsements_once_it_knows_the_others() {
    let (admin, key) = (
        admin!("signcerts/Admin@org1-cert.pem"),
        admin!("keystore/priv_sk"),
    );
    let endorser = Identity::from_pem("Org2MSP", admin, key, "a peer").unwrap();
    let authority = Authority::new();
    let asked = Arc::new(AtomicUsize::new(0));
    // The gateway's answer depends on the proposal, which the test makes after the server.
    let prepared: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
    let (count, answer) = (Arc::clone(&asked), Arc::clone(&prepared));
    let server = Server::grpc(Some(authority.server(&["h2"])), move |call| {
        assert_eq!(call, "Endorse");
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => Play::Refuse(9, "no combination of peers can be derived".to_owned()),
            _ => Play::Answer(vec![answer.lock().unwrap().clone().into()]),
        }
    })
    .await;
    let member = member(Grpc::new(server.node(authority.client()))).await;
    let proposal = Proposal::new(&call(), &member.identity, &member.stamp().unwrap()).unwrap();
    let block = include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block");
    let view = View::of("mychannel", &Block::decode(&block[..]).unwrap()).unwrap();
    let endorsers = Endorsers {
        organization: "org1".to_owned(),
        msp_id: "Org1MSP".to_owned(),
        peers: Vec::new(),
    };
    let submission = Submission {
        member: &member,
        view: &view,
        endorsers: &[endorsers],
        call: &call(),
        policy: None,
        send_anyway: false,
        others: &[],
        timeout: Duration::from_secs(5),
    };
    assert!(gateway::may_help(&submission));
    *prepared.lock().unwrap() = transaction(&proposal, &endorser);
    let answers = gateway::endorse(&submission, &proposal).await;
    let answers = answers.unwrap();
    assert_eq!((answers.len(), server.calls().len()), (1, 2));
    assert_eq!(answers[0].peer, NAME);
    // What the gateway sends is checked like the answer of any peer.
    let endorsed = proposal.endorsed(&answers).unwrap();
    assert_eq!(endorsed.endorsers().unwrap()[0].msp_id, "Org2MSP");
    let other = Proposal::new(&call(), &member.identity, &member.stamp().unwrap()).unwrap();
    assert!(other.endorsed(&answers).is_err());
}

/// A prepared transaction, as a gateway answers it.
fn transaction(proposal: &Proposal, endorser: &Identity) -> Vec<u8> {
    use crate::ledger::message::gateway::EndorseResponse;
    use crate::ledger::message::peer::{
        ChaincodeAction, Endorsement, ProposalResponsePayload, Response,
    };
    let action = ChaincodeAction {
        response: Some(Response {
            status: 200,
            ..Response::default()
        }),
        ..ChaincodeAction::default()
    };
    let payload = ProposalResponsePayload {
        proposal_hash: proposal.hash_for_tests(),
        extension: action.encode_to_vec(),
    };
    let payload = payload.encode_to_vec();
    let serialized = endorser.serialized();
    let signature = endorser
        .sign(&[&payload[..], &serialized].concat())
        .unwrap();
    let answer = Answer {
        peer: "peer0.org2".to_owned(),
        response: ProposalResponse {
            response: Some(Response {
                status: 200,
                ..Response::default()
            }),
            payload,
            endorsement: Some(Endorsement {
                endorser: serialized,
                signature,
            }),
            ..ProposalResponse::default()
        },
    };
    let endorsed = proposal.endorsed(&[answer]).unwrap();
    let mut envelope = proposal.transaction(&endorsed, endorser).unwrap();
    envelope.signature = Vec::new();
    let response = EndorseResponse {
        prepared_transaction: Some(envelope),
    };
    response.encode_to_vec()
}
