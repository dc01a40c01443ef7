use super::cluster::{all_there, definitions, nothing, planned, wanted};
use super::file::{SMALL, parse};
use crate::network::state::*;

#[test]
fn an_organization_does_its_part_and_knows_what_it_waits_for() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let whole = planned(&wanted, &nothing(&wanted));
    assert_eq!(
        whole.part_of("org1").words(),
        "\
now: create the identities of org1
    install org1
    install the package of basic on peer0 of org1
    install the package of basic on peer1 of org1
    install basic in namespace org1
later: join peer0 of org1 to mychannel
    join peer1 of org1 to mychannel
    approve basic 1.0 on mychannel for org1, sequence 1
    commit basic 1.0 on mychannel, sequence 1
waits for: org2: approve basic 1.0 on mychannel for org2, sequence 1
    orgorderer1: create the genesis block of mychannel
    org2: join peer0 of org2 to mychannel
    orgorderer1: join orderer0 of orgorderer1 to mychannel
    orgorderer1: join orderer1 of orgorderer1 to mychannel
    orgorderer1: join orderer2 of orgorderer1 to mychannel
    org2: install the package of basic on peer0 of org2
    org2: install basic in namespace org2
"
    );
    // The last organization to approve commits.
    let mut observed = all_there(&wanted);
    let state = definitions(&mut observed, "basic", "mychannel");
    state.committed = None;
    state
        .approvals
        .insert("org2".to_owned(), Known::Known(None));
    let plan = planned(&wanted, &observed);
    assert_eq!(
        plan.part_of("org2").words(),
        "now: approve basic 1.0 on mychannel for org2, sequence 1\n    commit basic 1.0 on mychannel, sequence 1\n"
    );
    assert_eq!(
        plan.part_of("orgorderer1").words(),
        "nothing to do for orgorderer1\n"
    );
    // A change that needs a second signature.
    let mut observed = all_there(&wanted);
    let change = Change {
        words: "add organization Org3MSP".to_owned(),
        signers: vec!["org1".to_owned(), "org2".to_owned()],
    };
    observed
        .channels
        .insert("mychannel".to_owned(), Known::Known(vec![change]));
    assert_eq!(
        planned(&wanted, &observed).part_of("org1").words(),
        "now: update mychannel: add organization Org3MSP\n\
         needs signatures: org2: sign: update mychannel: add organization Org3MSP\n"
    );
}

#[test]
fn a_plan_is_written_as_markdown_and_json() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut observed = all_there(&wanted);
    let change = Change {
        words: "policy a|b <c>".to_owned(),
        signers: vec!["org1".to_owned()],
    };
    observed
        .channels
        .insert("mychannel".to_owned(), Known::Known(vec![change]));
    observed.nodes.insert(
        NodeKey::new("org2", "peer0"),
        Known::Unknown("no answer".to_owned()),
    );
    let plan = planned(&wanted, &observed);
    assert_eq!(
        plan.markdown(),
        "| round | step | by |\n|---|---|---|\n\
         | 1 | update mychannel: policy a\\|b &lt;c> | org1 |\n\n\
         Unknown:\n\n\
         - the channels of peer0 of org2: no answer\n\
         - the packages of peer0 of org2: no answer\n"
    );
    let json = plan.json();
    assert_eq!(json["rounds"], serde_json::json!([["update/mychannel"]]));
    assert_eq!(json["steps"][0]["action"], "update-channel");
    assert_eq!(
        json["steps"][0]["words"],
        "update mychannel: policy a|b <c>"
    );
    assert_eq!(json["unknown"][0]["why"], "no answer");
}
