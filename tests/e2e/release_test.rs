//! `kubectl fabric test` on real programs: it passes on a network that works, and names the node
//! that does not.

use crate::network::{Network, RAFT};
use crate::node::Node;
use crate::support::{Output, until};
use crate::{ORDERER, PEER};

fn test(node: &Node, release: &str, status: i32, lines: &[&str]) -> Output {
    let run = node
        .cluster
        .fabric()
        .args(["test", release, "--logs"])
        .run();
    let output = run.exits(status);
    for line in lines {
        assert!(output.stdout.contains(line), "{line}: {}", output.told());
    }
    output
}

/// Scales a node to this many pods, and waits until its pod serves or is gone.
fn scale(node: &Node, release: &str, set: &str, count: u32) {
    let replicas = format!("--replicas={count}");
    let scale = ["scale", "statefulset", set, "-n", release, &replicas];
    node.cluster.kubectl().args(scale).run().success();
    until("the pod to come or go", || {
        let pod = node.cluster.get("pod", &format!("{set}-0"), Some(release));
        let is_as_wanted = match (&pod, count) {
            (pod, 0) => pod.is_none(),
            (Some(pod), _) => pod["status"]["containerStatuses"][0]["ready"] == true,
            (None, _) => false,
        };
        is_as_wanted.then_some(())
    });
}

#[test]
fn the_tests_of_a_release_name_the_node_that_does_not_work() {
    let Some(node) = Node::with(&[ORDERER, PEER]) else {
        return;
    };
    let network = Network::of_fixtures(&node, RAFT, "2.5.16");
    let peers = ["peer0.org1 answers", "peer1.org1 answers"];
    let orderers = [
        "orderer0.orgorderer1 answers",
        "orderer2.orgorderer1 answers",
    ];
    test(&node, "org1", 0, &peers);
    test(&node, "org1", 0, &["no peer has joined a channel yet"]);
    test(&node, "orgorderer1", 0, &orderers);
    network.form_channel();
    network.commit("before");
    let arrived = [
        "peer0.org1 has all",
        "peer1.org1 has all",
        "blocks of channel mychannel that orderer0.orgorderer1 has",
    ];
    test(&node, "org1", 0, &arrived);

    scale(&node, "org1", "peer1", 0);
    let away = "peer1.org1 does not answer";
    let output = test(&node, "org1", 3, &["peer0.org1 answers", away]);
    let reason = output.stdout.split("POD LOGS").next().unwrap_or_default();
    assert!(
        reason.contains("failed: peer1.org1"),
        "the reason names it: {}",
        output.told()
    );
    scale(&node, "org1", "peer1", 1);

    scale(&node, "orgorderer1", "orderer0", 0);
    let silent = "orderer0.orgorderer1 does not give channel mychannel";
    test(&node, "org1", 3, &["peer1.org1 answers", silent]);
    let others = [
        "orderer0.orgorderer1 does not answer",
        "orderer1.orgorderer1 answers",
    ];
    test(&node, "orgorderer1", 3, &others);
    scale(&node, "orgorderer1", "orderer0", 1);
    test(&node, "orgorderer1", 0, &orderers);
}
