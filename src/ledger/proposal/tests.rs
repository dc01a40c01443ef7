use super::*;
use crate::ledger::envelope::tests::stamp;
use crate::ledger::message::common::{Block, ChannelHeader, SignatureHeader};
use crate::ledger::message::decode;
use crate::ledger::sign::tests::{admin, peer};

fn call() -> Call {
    let mut call = Call::new(
        "mychannel",
        "basic",
        "CreateAsset",
        vec![b"asset1".to_vec()],
    );
    call.transient
        .insert("price".to_owned(), b"secret".to_vec());
    call.transient.insert("empty".to_owned(), Vec::new());
    call
}

fn proposal() -> Proposal {
    Proposal::new(&call(), &admin(), &stamp()).unwrap()
}

/// A peer's response to the proposal, signed by `endorser`, with this result.
fn answer(proposal: &Proposal, endorser: &Identity, result: &str) -> Answer {
    let response = Response {
        status: 200,
        payload: result.as_bytes().to_vec(),
        ..Response::default()
    };
    let action = ChaincodeAction {
        response: Some(response.clone()),
        ..ChaincodeAction::default()
    };
    let payload = ProposalResponsePayload {
        proposal_hash: proposal.hash(),
        extension: action.encode_to_vec(),
    };
    let (payload, endorser_bytes) = (payload.encode_to_vec(), endorser.serialized());
    let signature = endorser.sign(&[&payload[..], &endorser_bytes].concat());
    let response = ProposalResponse {
        version: 1,
        response: Some(response),
        payload,
        endorsement: Some(Endorsement {
            endorser: endorser_bytes,
            signature: signature.unwrap(),
        }),
        ..ProposalResponse::default()
    };
    Answer {
        peer: endorser.certificate().subject.clone(),
        response,
    }
}

#[test]
fn a_transaction_id_is_the_hash_of_nonce_and_creator() {
    // As configtxgen computed it for the transaction of a genesis block.
    let bytes = include_bytes!("../../../tests/fixtures/v2.5.16/mychannel.block");
    let block: Block = decode(bytes, "it").unwrap();
    let envelope: Envelope = decode(&block.data.unwrap().data[0], "it").unwrap();
    let payload: Payload = decode(&envelope.payload, "it").unwrap();
    let header = payload.header.unwrap();
    let channel: ChannelHeader = decode(&header.channel_header, "it").unwrap();
    let signature: SignatureHeader = decode(&header.signature_header, "it").unwrap();
    let id = TxId::new(&signature.nonce, &signature.creator);
    assert_eq!(id.as_str(), channel.tx_id);
}

#[test]
fn a_proposal_names_channel_chaincode_creator_and_transaction() {
    let proposal = proposal();
    let read: peer::Proposal = decode(&proposal.signed().proposal_bytes, "it").unwrap();
    let header: Header = decode(&read.header, "it").unwrap();
    let channel: ChannelHeader = decode(&header.channel_header, "it").unwrap();
    let signature: SignatureHeader = decode(&header.signature_header, "it").unwrap();
    assert_eq!(channel.r#type(), HeaderType::EndorserTransaction);
    assert_eq!(channel.channel_id, "mychannel");
    let id = TxId::new(&signature.nonce, &signature.creator);
    assert_eq!(
        (channel.tx_id.as_str(), proposal.tx_id()),
        (id.as_str(), &id)
    );
    let extension: ChaincodeHeaderExtension = decode(&channel.extension, "it").unwrap();
    assert_eq!(extension.chaincode_id, call().id());
    let creator = Creator::from_bytes(&signature.creator, "it").unwrap();
    let signed = proposal.signed();
    let valid = creator.verify(&signed.proposal_bytes, &signed.signature);
    assert_eq!(valid, Ok(()));

    let payload: ChaincodeProposalPayload = decode(&read.payload, "it").unwrap();
    let spec: ChaincodeInvocationSpec = decode(&payload.input, "it").unwrap();
    let input = spec.chaincode_spec.unwrap().input.unwrap();
    assert_eq!(input.args, [b"CreateAsset".to_vec(), b"asset1".to_vec()]);
    // Go's encoder writes the key and the value of an entry even where they are empty.
    assert!(
        read.payload
            .ends_with(b"\x12\x0f\x0a\x05price\x12\x06secret")
    );
    assert!(
        read.payload
            .windows(11)
            .any(|it| it == b"\x12\x09\x0a\x05empty\x12\x00")
    );
}

#[test]
fn a_transaction_has_all_endorsements_once_and_no_transient_data() {
    let proposal = proposal();
    let [one, two] = [admin(), peer()].map(|it| answer(&proposal, &it, "asset1"));
    let endorsed = proposal.endorsed(&[one.clone(), two, one]).unwrap();
    assert_eq!(endorsed.result(), b"asset1");
    assert_eq!(endorsed.event(), None);
    let endorsers = endorsed.endorsers().unwrap();
    let names: Vec<_> = endorsers.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["Admin@org1 of Org1MSP", "peer0.org1 of Org1MSP"]);

    let envelope = proposal.transaction(&endorsed, &admin()).unwrap();
    let creator = Creator::from_bytes(&admin().serialized(), "it").unwrap();
    let valid = creator.verify(&envelope.payload, &envelope.signature);
    assert_eq!(valid, Ok(()));
    assert!(!envelope.payload.windows(6).any(|it| it == b"secret"));
    let payload: Payload = decode(&envelope.payload, "it").unwrap();
    let header = payload.header.unwrap();
    let transaction: Transaction = decode(&payload.data, "it").unwrap();
    let [action] = &transaction.actions[..] else {
        panic!("one action");
    };
    assert_eq!(action.header, header.signature_header);
    let action: ChaincodeActionPayload = decode(&action.payload, "it").unwrap();
    assert_eq!(action.action.unwrap().endorsements.len(), 2);
}

#[test]
fn a_refusal_keeps_status_and_message() {
    let proposal = proposal();
    let mut refused = answer(&proposal, &peer(), "");
    refused.response.response = Some(Response {
        status: 500,
        message: "the asset asset1 already exists".to_owned(),
        payload: Vec::new(),
    });
    let refusal = proposal.endorsed(&[refused.clone()]).unwrap_err();
    assert_eq!(refused.result().unwrap_err(), refusal);
    let error = Error::from(refusal).to_string();
    assert!(error.contains("peer0.org1 refused the call"), "{error}");
    assert!(
        error.contains("500: the asset asset1 already exists"),
        "{error}"
    );
    assert_eq!(proposal.endorsed(&[]), Err(Unendorsed::NoAnswer));
}

#[test]
fn answers_that_differ_make_no_transaction() {
    let proposal = proposal();
    let answers = [
        answer(&proposal, &admin(), "1"),
        answer(&proposal, &peer(), "2"),
    ];
    let peers = ["Admin@org1".to_owned(), "peer0.org1".to_owned()];
    assert_eq!(
        proposal.endorsed(&answers),
        Err(Unendorsed::Different { peers })
    );
}

#[test]
fn answers_are_verified() {
    let proposal = proposal();
    let good = answer(&proposal, &peer(), "1");
    let another = Proposal::new(&Call::new("c", "d", "e", vec![]), &admin(), &stamp()).unwrap();

    let mut forged = good.clone();
    forged.response.endorsement.as_mut().unwrap().endorser = admin().serialized();
    let mut changed = good.clone();
    changed.response.payload.push(0);
    let mut unsigned = good.clone();
    unsigned.response.endorsement = None;
    let mut empty = good.clone();
    empty.response.response = None;
    for (answer, expected) in [
        (forged, "the signature of Admin@org1 of Org1MSP is wrong"),
        (changed, "the signature of peer0.org1 of Org1MSP is wrong"),
        (unsigned, "it has no endorsement"),
        (empty, "it has no status"),
        (
            answer(&another, &peer(), "1"),
            "it endorsed another proposal",
        ),
    ] {
        let why = expected.to_owned();
        let peer = "peer0.org1".to_owned();
        assert_eq!(
            proposal.endorsed(&[answer]),
            Err(Unendorsed::Invalid { peer, why })
        );
    }
    assert!(proposal.endorsed(&[good]).is_ok());
}

#[test]
fn a_refused_connection_to_the_server_differs_from_other_refusals() {
    let refused = |message: &str| Unendorsed::Refused {
        peer: "peer0.org1".to_owned(),
        status: 500,
        message: message.to_owned(),
    };
    const DIAL: &str = "error cannot create connection for basic_1.0:ab: error creating grpc connection to basic:9999: failed to create new connection: connection error: desc = \"transport: error while dialing: dial tcp 10.0.0.7:9999: connect: ";
    let launch = |cause: &str| {
        format!(
            "error in simulation: failed to execute transaction 0a1b: could not launch chaincode basic_1.0:ab: {cause}"
        )
    };
    let failed = |why: &str| format!("connection to basic_1.0:ab failed: {DIAL}{why}\"");
    for message in [
        launch(&failed("connection refused")),
        launch(&failed("no route to host")),
        launch("connection to basic_1.0:ab terminated"),
        launch("chaincode registration failed: connection to basic_1.0:ab terminated"),
        launch(&format!(
            "chaincode registration failed: {}",
            failed("connection refused")
        )),
    ] {
        assert!(refused(&message).is_unconnected(), "{message}");
    }
    for message in [
        // The chaincode's own words.
        "connection refused".to_owned(),
        "error in simulation: failed to execute transaction 0a1b: transaction returned with failure: connection to bank failed: connection refused".to_owned(),
        launch(&failed("x509: certificate signed by unknown authority")),
        launch("error building chaincode: connection refused"),
        "make sure the chaincode basic has been successfully defined on channel mychannel and try again: chaincode basic not found".to_owned(),
    ] {
        assert!(!refused(&message).is_unconnected(), "{message}");
    }
    assert!(!Unendorsed::NoAnswer.is_unconnected());
}
