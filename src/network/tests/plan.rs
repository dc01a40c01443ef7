use super::cluster::{all_there, carry_out, definitions, nothing, planned, unapproved, wanted};
use super::file::{SMALL, parse};
use crate::network::plan::{Plan, Removal, plan};
use crate::network::state::*;
use crate::network::step::Action;

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

#[test]
fn from_nothing_independent_steps_share_a_round() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let plan = planned(&wanted, &nothing(&wanted));
    assert_eq!(
        plan.words(),
        "\
1.  create the identities of org1
    create the identities of org2
    create the identities of orgorderer1
2.  install org1
    install org2
    install orgorderer1
    create the genesis block of mychannel
    install basic in namespace org1
    install basic in namespace org2
3.  join orderer0 of orgorderer1 to mychannel
    join orderer1 of orgorderer1 to mychannel
    join orderer2 of orgorderer1 to mychannel
    join peer0 of org1 to mychannel
    join peer1 of org1 to mychannel
    join peer0 of org2 to mychannel
    install the package of basic on peer0 of org1
    install the package of basic on peer1 of org1
    install the package of basic on peer0 of org2
4.  approve basic 1.0 on mychannel for org1, sequence 1
    approve basic 1.0 on mychannel for org2, sequence 1
5.  commit basic 1.0 on mychannel, sequence 1
"
    );
    assert!(!plan.is_reached() && plan.held.is_empty() && plan.unknown.is_empty());
}

#[test]
fn a_second_plan_over_the_reached_state_is_empty() {
    let kafka = SMALL
        .replace(
            "organizations:\n  orgorderer1:\n",
            "fabricVersion: 1.4.12\nkafka: {kafka: {}}\n\
         organizations:\n  orgorderer1: {values: {orderers: {consensus: kafka}}}\n",
        )
        .replace(
            "    image: registry.example.com/basic:1.0\n",
            "    type: golang\n    path: ./cc\n",
        );
    let init = format!("{SMALL}    initRequired: true\n    init: [InitLedger]\n");
    for text in [SMALL, &kafka, &init] {
        let network = parse(text).unwrap();
        let wanted = wanted(&network);
        let observed = all_there(&wanted);
        let second = planned(&wanted, &observed);
        assert!(
            second.is_reached() && second.leftovers.is_empty(),
            "{}",
            second.words()
        );
        assert_eq!(second.words(), "nothing to do\n");
        assert_eq!(second.markdown(), "Nothing to do.\n");
    }
}

#[test]
fn interrupted_after_any_step_the_next_plan_has_the_other_steps() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let whole = planned(&wanted, &nothing(&wanted));
    for done in 0..=whole.steps.len() {
        let mut observed = nothing(&wanted);
        carry_out(
            &wanted,
            &mut observed,
            whole.steps[..done].iter().map(|step| &step.action),
        );
        let next = planned(&wanted, &observed);
        let (before, after) = whole.steps.split_at(done);
        let before: Vec<&str> = before.iter().map(|step| step.id.as_str()).collect();
        let joined = before.iter().any(|id| id.starts_with("join/"));
        // A genesis block that no node has yet is created again.
        let left = after
            .iter()
            .map(|step| step.id.as_str())
            .filter(|id| !joined || *id != "channel/mychannel");
        let mut left: Vec<&str> = left.collect();
        if before.contains(&"channel/mychannel") && !joined {
            left.push("channel/mychannel");
        }
        let mut found = ids(&next);
        left.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, left, "after {done} steps");
        carry_out(
            &wanted,
            &mut observed,
            next.steps.iter().map(|step| &step.action),
        );
        assert!(
            planned(&wanted, &observed).is_reached(),
            "after {done} steps"
        );
    }
}

#[test]
fn each_step_comes_after_those_it_depends_on() {
    let network = parse(&format!("{SMALL}    initRequired: true\n")).unwrap();
    let wanted = wanted(&network);
    let plan = planned(&wanted, &nothing(&wanted));
    let mut seen = Vec::new();
    for step in &plan.steps {
        assert!(
            step.after.iter().all(|id| seen.contains(&id.as_str())),
            "{step:?}"
        );
        seen.push(&step.id);
    }
    let after = |id: &str| {
        plan.steps
            .iter()
            .find(|step| step.id == id)
            .unwrap()
            .after
            .clone()
    };
    assert_eq!(
        after("join/mychannel/org1/peer0"),
        ["channel/mychannel", "release/org1/org1"]
    );
    assert_eq!(
        after("channel/mychannel"),
        [
            "identities/org1",
            "identities/org2",
            "identities/orgorderer1"
        ]
    );
    assert!(after("commit/basic/mychannel").contains(&"approve/basic/mychannel/org2".to_owned()));
    assert!(after("init/basic/mychannel").contains(&"release/org1/basic".to_owned()));
}

#[test]
fn a_genesis_block_that_a_node_has_is_never_made_again() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut observed = all_there(&wanted);
    let peer = NodeKey::new("org1", "peer1");
    let orderer = NodeKey::new("orgorderer1", "orderer0");
    for key in [&peer, &orderer] {
        observed
            .nodes
            .insert(key.clone(), Known::Known(Node::default()));
    }
    let plan = planned(&wanted, &observed);
    let expected = [
        "join/mychannel/orgorderer1/orderer0",
        "join/mychannel/org1/peer1",
        "package/basic/org1/peer1",
    ];
    assert_eq!(ids(&plan), expected);
    let Action::JoinPeer { block_from, .. } = &plan.steps[1].action else {
        panic!()
    };
    assert_eq!(block_from.as_deref(), Some("orderer1 of orgorderer1"));
}

#[test]
fn what_could_not_be_read_is_never_taken_for_missing() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let unread = || "connection refused".to_owned();
    // Nothing is known: nothing is done.
    let plan = planned(&wanted, &Observed::default());
    assert_eq!(ids(&plan), Vec::<&str>::new(), "{}", plan.words());
    assert!(!plan.is_reached() && !plan.unknown.is_empty());
    // One orderer does not respond, and the others have joined nothing: no second genesis block.
    let mut observed = nothing(&wanted);
    let first = planned(&wanted, &observed);
    let releases = first
        .steps
        .iter()
        .filter(|step| !step.id.contains("/mychannel"));
    carry_out(&wanted, &mut observed, releases.map(|step| &step.action));
    observed.nodes.insert(
        NodeKey::new("orgorderer1", "orderer1"),
        Known::Unknown(unread()),
    );
    let plan = planned(&wanted, &observed);
    assert_eq!(ids(&plan), Vec::<&str>::new(), "{}", plan.words());
    assert!(
        plan.words()
            .contains("unknown: whether mychannel exists: not all of its orderers responded")
    );
    assert!(
        plan.words()
            .contains("the channels of orderer1 of orgorderer1: connection refused")
    );
    // A peer that does not respond holds the approval of its organization, and the commit.
    let mut observed = all_there(&wanted);
    observed
        .nodes
        .insert(NodeKey::new("org1", "peer1"), Known::Unknown(unread()));
    *definitions(&mut observed, "basic", "mychannel") = unapproved(&wanted, "basic", "mychannel");
    let plan = planned(&wanted, &observed);
    assert_eq!(ids(&plan), ["approve/basic/mychannel/org2"]);
    let held: Vec<&str> = plan.held.iter().map(|held| held.step.id.as_str()).collect();
    assert_eq!(
        held,
        ["approve/basic/mychannel/org1", "commit/basic/mychannel"]
    );
}

#[test]
fn each_unknown_state_keeps_the_plan_from_being_reached() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let unread = || "connection refused".to_owned();
    let whole = all_there(&wanted);
    for key in whole.releases.keys() {
        let mut observed = whole.clone();
        observed
            .releases
            .insert(key.clone(), Known::Unknown(unread()));
        let plan = planned(&wanted, &observed);
        assert!(plan.steps.is_empty() && !plan.is_reached(), "{key:?}");
    }
    for key in whole.nodes.keys() {
        let mut observed = whole.clone();
        observed.nodes.insert(key.clone(), Known::Unknown(unread()));
        let plan = planned(&wanted, &observed);
        assert!(plan.steps.is_empty() && !plan.is_reached(), "{key:?}");
    }
    for key in whole.definitions.keys() {
        let mut observed = whole.clone();
        observed
            .definitions
            .insert(key.clone(), Known::Unknown(unread()));
        let plan = planned(&wanted, &observed);
        assert!(plan.steps.is_empty() && !plan.is_reached(), "{key:?}");
    }
}

#[test]
fn volumes_of_an_earlier_install_may_hold_channels() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut observed = nothing(&wanted);
    for release in observed.releases.values_mut() {
        *release = Known::Known(Release::Absent { data: true });
    }
    let plan = planned(&wanted, &observed);
    assert!(
        ids(&plan)
            .iter()
            .all(|id| id.starts_with("identities/") || id.starts_with("release/")),
        "{}",
        plan.words()
    );
    assert!(
        plan.words()
            .contains("the content of its kept volume is unknown until the node runs")
    );
}

#[test]
fn nodes_on_two_channels_of_one_name_stop_the_plan() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut observed = all_there(&wanted);
    let Some(Known::Known(node)) = observed.nodes.get_mut(&NodeKey::new("org2", "peer0")) else {
        panic!()
    };
    node.channels.get_mut("mychannel").unwrap().genesis = "bb".to_owned();
    let error = plan(&wanted, &observed, Removal::Keep)
        .unwrap_err()
        .to_string();
    assert!(
        error
            .starts_with("nodes have joined channel \"mychannel\" with different genesis blocks\n"),
        "{error}"
    );
    assert!(
        error.contains("--> peer0 of org2   genesis block bb"),
        "{error}"
    );
}

/// Returns the plan for a file and the changed network of [`SMALL`].
fn steps(text: &str, change: &dyn Fn(&mut Observed)) -> String {
    let before = parse(SMALL).unwrap();
    let mut observed = all_there(&wanted(&before));
    change(&mut observed);
    let network = parse(text).unwrap();
    let plan = planned(&wanted(&network), &observed);
    let is_known = plan.unknown.is_empty() && plan.held.is_empty();
    assert!(is_known, "{}", plan.words());
    plan.words()
}

#[test]
fn a_changed_organization_changes_its_release_and_its_nodes() {
    let text = SMALL.replace("count: 1}", "count: 1, logging: {spec: debug}}");
    assert_eq!(steps(&text, &|_| {}), "1.  upgrade org2\n");
    // The edge reports a node that does not exist yet as empty.
    let more = |observed: &mut Observed| {
        let key = NodeKey::new("org2", "peer1");
        observed.nodes.insert(key, Known::Known(Node::default()));
    };
    assert_eq!(
        steps(&SMALL.replace("count: 1", "count: 2"), &more),
        "\
1.  upgrade org2
2.  join peer1 of org2 to mychannel
    install the package of basic on peer1 of org2
"
    );
    // A failed release is retried.
    let failed = |observed: &mut Observed| {
        let key = ReleaseKey::new("org1", "org1");
        match observed.releases.get_mut(&key) {
            Some(Known::Known(Release::Present { settled, .. })) => *settled = false,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(steps(SMALL, &failed), "1.  upgrade org1\n");
}

#[test]
fn a_changed_chaincode_is_approved_before_its_services_change() {
    // The package of a service contains its address, so it does not depend on the version.
    assert_eq!(
        steps(&format!("{SMALL}    version: \"1.1\"\n"), &|_| {}),
        "\
1.  approve basic 1.1 on mychannel for org1, sequence 2
    approve basic 1.1 on mychannel for org2, sequence 2
2.  commit basic 1.1 on mychannel, sequence 2
"
    );
    let label = "    version: \"1.1\"\n    label: basic_1.1\n";
    assert_eq!(
        steps(&format!("{SMALL}{label}"), &|_| {}),
        "\
1.  install the package of basic on peer0 of org1
    install the package of basic on peer1 of org1
    install the package of basic on peer0 of org2
2.  approve basic 1.1 on mychannel for org1, sequence 2
    approve basic 1.1 on mychannel for org2, sequence 2
3.  upgrade basic in namespace org1
    upgrade basic in namespace org2
4.  commit basic 1.1 on mychannel, sequence 2
"
    );
    // Another image behind the same package.
    assert_eq!(
        steps(&SMALL.replace("basic:1.0", "basic:1.0.1"), &|_| {}),
        "1.  upgrade basic in namespace org1\n    upgrade basic in namespace org2\n"
    );
}

#[test]
fn a_changed_channel_is_updated() {
    let changes = |observed: &mut Observed| {
        let change = Change {
            words: "batch size: 500 to 100 messages".to_owned(),
            signers: vec!["orgorderer1".to_owned()],
        };
        let name = "mychannel".to_owned();
        observed.channels.insert(name, Known::Known(vec![change]));
    };
    assert_eq!(
        steps(SMALL, &changes),
        "1.  update mychannel: batch size: 500 to 100 messages\n"
    );
}

#[test]
fn a_channel_that_the_file_never_named_is_left_alone() {
    let network = parse(SMALL).unwrap();
    let wanted = wanted(&network);
    let mut observed = all_there(&wanted);
    match observed.nodes.get_mut(&NodeKey::new("org1", "peer0")) {
        Some(Known::Known(node)) => node
            .channels
            .insert("other".to_owned(), Membership::default()),
        other => panic!("{other:?}"),
    };
    let plan = plan(&wanted, &observed, Removal::Remove).unwrap();
    assert_eq!(ids(&plan), Vec::<&str>::new());
    assert_eq!(plan.leftovers, ["peer0 of org1 is in other"]);
}

#[test]
fn what_the_file_no_longer_names_stays_unless_removal_is_asked_for() {
    let before = parse(SMALL).unwrap();
    let observed = all_there(&wanted(&before));
    let text = SMALL
        .replace("  org2:\n    values: {peers: {count: 1}}\n", "")
        .replace("[org1, org2]", "[org1]");
    let network = parse(&text).unwrap();
    let wanted = wanted(&network);
    let kept = plan(&wanted, &observed, Removal::Keep).unwrap();
    assert!(
        kept.leftovers
            .contains(&"peer0 of org2 is in mychannel".to_owned()),
        "{}",
        kept.words()
    );
    assert!(
        kept.leftovers.contains(&"release org2".to_owned()),
        "{}",
        kept.words()
    );
    assert!(
        !ids(&kept)
            .iter()
            .any(|id| id.starts_with("leave") || id.starts_with("uninstall"))
    );
    let removed = plan(&wanted, &observed, Removal::Remove).unwrap();
    assert!(ids(&removed).iter().all(|id| !id.starts_with("leave")));
    let uninstall = removed
        .steps
        .iter()
        .find(|step| step.id == "uninstall/org2/org2")
        .unwrap();
    assert_eq!(uninstall.by, ["org2"]);
    let mut observed = observed;
    carry_out(
        &wanted,
        &mut observed,
        removed.steps.iter().map(|step| &step.action),
    );
    // What does not run is not asked.
    observed.nodes.retain(|key, _| key.organization != "org2");
    let last = plan(&wanted, &observed, Removal::Remove).unwrap();
    assert!(
        last.is_reached() && last.leftovers.is_empty(),
        "{}",
        last.words()
    );
}
