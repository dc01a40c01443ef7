use super::cluster::{all_there, definitions, nothing, planned, wanted};
use super::file::{SMALL, parse};
use crate::network::plan::Own;
use crate::network::state::*;
use std::collections::BTreeSet;

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

/// What this organization sees who has rights in its own namespace only.
fn seen_by(own: &str, mut observed: Observed, known: &[&str]) -> Observed {
    let others = ["org1", "org2", "orgorderer1"].into_iter();
    let others: BTreeSet<String> = others.filter(|it| *it != own).map(str::to_owned).collect();
    let known = |name: &String| (name.clone(), known.contains(&name.as_str()));
    observed.elsewhere = others.iter().map(known).collect();
    observed.releases.retain(|key, _| key.namespace == own);
    observed.identities.retain(|name, _| name == own);
    observed.nodes.retain(|key, _| key.organization == own);
    observed
}

#[test]
fn with_rights_in_one_namespace_the_part_is_done_and_the_others_are_named() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let observed = seen_by("org1", nothing(&wanted), &[]);
    let plan = planned(&wanted, &observed);
    assert!(
        plan.held.is_empty() && plan.unknown.is_empty(),
        "{}",
        plan.words()
    );
    assert_eq!(
        plan.part_of("org1").words(),
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
    orgorderer1: provide the genesis block of mychannel: mychannel.block
    org2: provide the public part of org2: org2.json
    orgorderer1: provide the public part of orgorderer1: orgorderer1.json
"
    );
    // The orderers make the channel once all public parts are here.
    let observed = seen_by("orgorderer1", nothing(&wanted), &["org1"]);
    let part = planned(&wanted, &observed).part_of("orgorderer1");
    assert_eq!(
        part.words(),
        "\
now: create the identities of orgorderer1
    install orgorderer1
later: create the genesis block of mychannel
    join orderer0 of orgorderer1 to mychannel
    join orderer1 of orgorderer1 to mychannel
    join orderer2 of orgorderer1 to mychannel
waits for: org2: provide the public part of org2: org2.json
"
    );
    let observed = seen_by("orgorderer1", nothing(&wanted), &["org1", "org2"]);
    let part = planned(&wanted, &observed).part_of("orgorderer1");
    assert!(
        part.later.is_empty() && part.waits.is_empty(),
        "{}",
        part.words()
    );
    // A genesis block that was handed over is enough to join.
    let mut observed = seen_by("org1", nothing(&wanted), &["org2", "orgorderer1"]);
    observed.blocks.insert("mychannel".to_owned());
    let part = planned(&wanted, &observed).part_of("org1");
    let joins = part
        .now
        .iter()
        .filter(|it| it.id.starts_with("join/mychannel/org1/"));
    assert_eq!(joins.count(), 2, "{}", part.words());
}

#[test]
fn orderers_elsewhere_make_no_second_channel() {
    let text = SMALL
        .replace("  orgorderer1:\n", "  orgorderer1:\n  orgorderer2:\n")
        .replace("[orgorderer1]", "[orgorderer1, orgorderer2]");
    let network = parse(&text).unwrap();
    let wanted = wanted(&network);
    let mut observed = seen_by("orgorderer1", nothing(&wanted), &["org1", "org2"]);
    observed.elsewhere.insert("orgorderer2".to_owned(), true);
    let plan = planned(&wanted, &observed);
    let words = plan.words();
    assert!(!words.contains("genesis"), "{words}");
    assert!(
        words.contains("the certificates of orgorderer2's orderers cannot be read"),
        "{words}"
    );
}

#[test]
fn approvals_of_organizations_elsewhere_are_waited_for() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut all = all_there(&wanted);
    let state = definitions(&mut all, "basic", "mychannel");
    state.committed = None;
    let approved = state.approvals["org2"].clone();
    state
        .approvals
        .insert("org2".to_owned(), Known::Known(None));
    let mut observed = seen_by("org1", all, &["org2", "orgorderer1"]);
    let part = planned(&wanted, &observed).part_of("org1");
    assert_eq!(
        part.words(),
        "\
later: commit basic 1.0 on mychannel, sequence 1
waits for: org2: approve basic 1.0 on mychannel for org2, sequence 1
"
    );
    let state = definitions(&mut observed, "basic", "mychannel");
    state.approvals.insert("org2".to_owned(), approved);
    let part = planned(&wanted, &observed).part_of("org1");
    assert_eq!(
        part.words(),
        "now: commit basic 1.0 on mychannel, sequence 1\n"
    );
}

#[test]
fn without_a_chosen_organization_the_steps_of_those_elsewhere_are_left_to_them() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut observed = nothing(&wanted);
    let away: BTreeSet<String> = ["org2".to_owned()].into();
    observed.elsewhere.insert("org2".to_owned(), true);
    observed.releases.retain(|key, _| key.namespace != "org2");
    observed.identities.remove("org2");
    let plan = planned(&wanted, &observed);
    let part = plan.part(&Own::AllBut(&away), &BTreeSet::new());
    let ids = |steps: &[crate::network::Step]| -> Vec<String> {
        steps.iter().map(|step| step.id.clone()).collect()
    };
    assert!(ids(&part.now).contains(&"channel/mychannel".to_owned()));
    assert!(
        !ids(&part.now).iter().any(|id| id.contains("org2")),
        "{}",
        part.words()
    );
    assert_eq!(ids(&part.later), ["commit/basic/mychannel"]);
    assert_eq!(part.waits.len(), 1, "{}", part.words());
    assert_eq!(part.waits[0].from, ["org2"]);
    // What others must sign now waits for them.
    let proposed = BTreeSet::from(["channel/mychannel".to_owned()]);
    let part = plan.part(&Own::AllBut(&away), &proposed);
    assert!(ids(&part.later).contains(&"channel/mychannel".to_owned()));
}

#[test]
fn what_leaves_the_file_is_named_with_what_stays() {
    let before = parse(SMALL).unwrap();
    let mut observed = all_there(&wanted(&before));
    let key = ReleaseKey::new("basic", "org1");
    observed.servers.insert(key);
    observed.staying.insert(
        "mychannel".to_owned(),
        BTreeSet::from(["Org3MSP".to_owned()]),
    );
    let text = SMALL.split("chaincodes:").next().unwrap();
    let network = parse(text).unwrap();
    let plan = planned(&wanted(&network), &observed);
    for words in [
        "organization Org3MSP is in mychannel",
        "release basic in namespace org1, a chaincode's server; channels keep the chaincode's definition",
        "release basic in namespace org2",
    ] {
        assert!(
            plan.leftovers.iter().any(|it| it == words),
            "{words}: {}",
            plan.words()
        );
    }
    assert!(plan.steps.is_empty());
}
