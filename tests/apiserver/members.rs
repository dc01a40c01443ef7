//! Rollout groups: never a second member down, whoever took the first one down, and however often a
//! run is begun.

use crate::nodes::Release;
use crate::support::members::{Members, worst};
use crate::support::until;

/// A release with so many nodes, all of them ready.
fn installed(nodes: usize) -> Option<Release> {
    let release = Release::new()?;
    release
        .install(&["--set", &format!("nodes={nodes}")])
        .success();
    Some(release)
}

impl Release {
    fn change(&self, args: &[&str]) {
        self.cluster
            .kubectl()
            .args(["-n", &self.namespace])
            .args(args)
            .run()
            .success();
    }

    /// Gives a running pod a state of the simulation (tests/cluster/stages.yaml): "" makes it
    /// ready.
    fn becomes(&self, pod: &str, state: &str) {
        self.change(&[
            "annotate",
            "pod",
            pod,
            "--overwrite",
            &format!("sim.kubectl-fabric.io/state={state}"),
        ]);
        until("the pod to be so", || {
            let pod = self.get("pod", pod)?;
            let conditions = pod["status"]["conditions"].as_array()?.clone();
            let ready = conditions
                .iter()
                .any(|it| it["type"] == "Ready" && it["status"] == "True");
            (ready == state.is_empty()).then_some(())
        });
    }

    fn images(&self, nodes: usize) -> Vec<String> {
        let image = |node| {
            self.image(&format!("node{node}"))
                .rsplit_once(':')
                .expect("a tag")
                .1
                .to_owned()
        };
        (0..nodes).map(image).collect()
    }

    fn watch(&self) -> Members {
        Members::watch(&self.cluster, &self.namespace, "node")
    }
}

#[test]
fn the_same_command_again_does_not_take_the_next_node() {
    let Some(release) = installed(3) else { return };
    let watch = release.watch();
    let stuck = [
        "--set",
        "image=registry.example/node:2,state=not-ready",
        "--timeout",
        "3s",
    ];
    release.upgrade(&stuck).exits(3);
    assert_eq!(release.images(3), ["2", "1", "1"]);
    for _ in 0..2 {
        let output = release.upgrade(&stuck).exits(3);
        assert_eq!(release.images(3), ["2", "1", "1"], "{}", output.stderr);
        for words in [
            "StatefulSet",
            "node0",
            "its probe does not pass",
            "node1",
            "--allow-down StatefulSet/node0",
        ] {
            assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
        }
        let hints: Vec<&str> = output
            .stderr
            .lines()
            .filter(|line| line.starts_with("hint:"))
            .collect();
        let place = |words: &str| {
            hints
                .iter()
                .position(|hint| hint.contains(words))
                .expect(words)
        };
        assert!(
            place("bring it back") < place("--allow-down"),
            "an outage is not proposed first: {hints:?}"
        );
    }
    // As soon as it is ready, the next one follows, and is stuck as well.
    release.becomes("node0-0", "");
    release.upgrade(&stuck).exits(3);
    assert_eq!(release.images(3), ["2", "2", "1"]);
    // What mends the one that is down begins with it.
    let requests = release.cluster.requests(|| {
        release
            .upgrade(&["--set", "image=registry.example/node:3,state="])
            .success();
    });
    let patched = requests
        .iter()
        .filter(|request| request.writes() && request.resource == "statefulsets");
    assert_eq!(
        patched
            .map(|request| request.name.as_str())
            .collect::<Vec<_>>(),
        ["node1", "node0", "node2"]
    );
    assert_eq!(release.images(3), ["3", "3", "3"]);
    let moments = watch.finish();
    assert_eq!(worst(&moments, |_| true), 1, "{moments:?}");
}

#[test]
fn a_member_that_others_took_down_holds_up_the_rest_until_it_is_named() {
    let Some(release) = installed(3) else { return };
    release.becomes("node2-0", "crash");
    let watch = release.watch();
    let image = |tag: u32| {
        format!("image=registry.example/node:{tag},images.node2=registry.example/node:1")
    };
    let output = release
        .upgrade(&["--set", &image(2), "--timeout", "3s"])
        .exits(3);
    assert_eq!(release.images(3), ["1", "1", "1"], "{}", output.stderr);
    // It was crashing before this run: that is no reason to give up at once.
    for words in [
        "node2",
        "crashes",
        "within 3s",
        "--allow-down StatefulSet/node2",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    let typo = release
        .upgrade(&["--set", &image(2), "--allow-down", "StatefulSet/nod2"])
        .exits(1);
    assert!(
        typo.stderr.contains("did you mean \"StatefulSet/node2\""),
        "{}",
        typo.stderr
    );
    release
        .upgrade(&["--set", &image(2), "--allow-down", "statefulset/node2"])
        .success();
    assert_eq!(release.images(3), ["2", "2", "1"]);
    // The operation that changes it begins with it, and needs no flag.
    release
        .upgrade(&[
            "--set",
            "image=registry.example/node:3",
            "--reset-values",
            "--set",
            "nodes=3",
        ])
        .success();
    assert_eq!(release.images(3), ["3", "3", "3"]);
    let moments = watch.finish();
    assert_eq!(worst(&moments, |node| node != "node2"), 1, "{moments:?}");
}

#[test]
fn a_member_that_is_scaled_to_nothing_is_down() {
    let Some(release) = installed(3) else { return };
    release.change(&["scale", "statefulset", "node1", "--replicas=0"]);
    until("its pod to be gone", || {
        release.get("pod", "node1-0").is_none().then_some(())
    });
    let output = release
        .upgrade(&["--set", "image=registry.example/node:2", "--timeout", "3s"])
        .exits(3);
    assert_eq!(
        release.images(3),
        ["1", "2", "1"],
        "it loses nothing, the others would: {}",
        output.stderr
    );
    assert!(output.stderr.contains("scaled to 0"), "{}", output.stderr);
}

#[test]
fn members_leave_one_by_one_and_only_while_the_others_are_ready() {
    let Some(release) = installed(4) else { return };
    release.becomes("node0-0", "crash");
    let output = release
        .upgrade(&["--set", "nodes=2", "--timeout", "3s", "--wait=false"])
        .exits(3);
    assert!(output.stderr.contains("node0"), "{}", output.stderr);
    assert!(
        release.get("statefulset", "node2").is_some()
            && release.get("statefulset", "node3").is_some()
    );
    release.becomes("node0-0", "");
    release.upgrade(&["--set", "nodes=2"]).success();
    assert!(
        release.get("statefulset", "node2").is_none()
            && release.get("statefulset", "node3").is_none()
    );
}

#[test]
fn pods_whose_stateful_sets_were_deleted_alone_are_taken_over_one_by_one() {
    let Some(release) = installed(3) else { return };
    release.change(&[
        "delete",
        "statefulset",
        "node0",
        "node1",
        "--cascade=orphan",
    ]);
    until("the pods to be without an owner", || {
        let owned = |pod: &str| {
            release
                .get("pod", pod)
                .is_some_and(|pod| !pod["metadata"]["ownerReferences"].is_null())
        };
        (!owned("node0-0") && !owned("node1-0")).then_some(())
    });
    let watch = release.watch();
    release
        .upgrade(&["--set", "image=registry.example/node:2"])
        .success();
    assert_eq!(release.images(3), ["2", "2", "2"]);
    let moments = watch.finish();
    assert_eq!(worst(&moments, |_| true), 1, "{moments:?}");
}

#[test]
fn nodes_that_leave_their_group_still_take_turns() {
    let Some(release) = installed(3) else { return };
    let watch = release.watch();
    release
        .upgrade(&["--set", "image=registry.example/node:2,group="])
        .success();
    assert_eq!(release.images(3), ["2", "2", "2"]);
    let moments = watch.finish();
    assert_eq!(worst(&moments, |_| true), 1, "{moments:?}");
}
