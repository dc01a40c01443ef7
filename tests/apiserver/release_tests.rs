//! The charts' own tests, which `kubectl fabric test` runs: their pods are admitted in each line of
//! Fabric, an interrupted run is repeated, and nothing of them is left.

use crate::support::{self, Cluster, Output, until};
use serde_json::Value;
use std::process::Command;

/// Runs a verb about a release in its namespace, arguments separated by spaces.
fn run(cluster: &Cluster, verb: &str, [release, namespace]: [&str; 2], arguments: &str) -> Output {
    let command = cluster.fabric().args([verb, release, "-n", namespace]);
    command.args(arguments.split_whitespace()).run()
}

/// Names of the pods of tests.
fn test_pods(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let is_test = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/component"] == "test";
    let pods = cluster.list("pod", namespace);
    let tests = pods.iter().filter(|pod| is_test(pod));
    tests
        .filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn tests_are_admitted_in_each_line_and_leave_no_pod() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let (peers, orderers) = (&["test-peers", "test-orderers"][..], &["test-orderers"][..]);
    for (release, values, tests) in [
        ("org1", "--fabric-version 1.4.12", peers),
        ("org2", "--fabric-version 2.2.15", peers),
        ("org3", "--fabric-version 3.1.5", peers),
        ("org4", "--set tls.enabled=false", peers),
        ("org5", "--set tls.clientAuthRequired=true", peers),
        ("orgorderer1", "--fabric-version 2.5.16", orderers),
        ("orgorderer2", "--fabric-version 3.1.5", orderers),
    ] {
        let namespace = cluster.namespace(release);
        let here = [release, namespace.as_str()];
        run(&cluster, "install", here, values).success();
        let level = cluster
            .get("namespace", &namespace, None)
            .expect("it is made");
        let level = &level["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        assert_eq!(level, "restricted", "{release} {values}");
        let told = run(&cluster, "test", here, "--logs -o json").success();
        let ran = told.json()["tests"].as_array().expect("tests").clone();
        let ran: Vec<_> = ran
            .iter()
            .map(|test| test["name"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(ran, tests, "{release} {values}");
        assert_eq!(test_pods(&cluster, &namespace), Vec::<String>::new());
        run(
            &cluster,
            "uninstall",
            here,
            "--delete-data --yes --wait=false",
        )
        .success();
    }
}

#[test]
fn a_test_that_cannot_run_says_why_and_runs_once_it_can() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.namespace("org1");
    let here = ["org1", namespace.as_str()];
    let nowhere = "--set peers.count=1,peers.nodeSelector.place=nowhere --wait=false";
    run(&cluster, "install", here, nowhere).success();

    let told = run(&cluster, "test", here, "--timeout 2s").exits(3);
    for words in [
        "test-peers",
        "nodes are available",
        "Phase:          Failed",
    ] {
        assert!(told.stdout.contains(words), "{words}: {}", told.told());
    }
    assert_eq!(
        test_pods(&cluster, &namespace),
        ["test-orderers", "test-peers"],
        "they are kept"
    );

    // A second user learns who runs the tests; an interrupt gives the lock back.
    let first = cluster
        .fabric()
        .args(["test", "org1", "-n", &namespace])
        .spawn();
    until("the first run to hold the lock", || {
        cluster.list("lease", &namespace).into_iter().next()
    });
    let second = run(&cluster, "test", here, "").exits(4);
    assert!(
        second.stderr.contains("holds the lock"),
        "{}",
        second.told()
    );
    let interrupt = Command::new("kill")
        .args(["-INT", &first.id().to_string()])
        .status();
    assert!(interrupt.expect("kill is there").success());
    let first = first.wait_with_output().expect("it ends");
    assert_eq!(
        first.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    assert_eq!(cluster.list("lease", &namespace).len(), 0);

    run(&cluster, "upgrade", here, "--set peers.nodeSelector=null").success();
    run(&cluster, "test", here, "").success();
    assert_eq!(test_pods(&cluster, &namespace), Vec::<String>::new());

    // What a failed test leaves goes with the release.
    let again = format!("{nowhere} --timeout 2s");
    run(&cluster, "upgrade", here, &again).exits(3);
    run(&cluster, "test", here, "--timeout 1s").exits(3);
    run(&cluster, "uninstall", here, "--delete-data --yes").success();
    assert_eq!(test_pods(&cluster, &namespace), Vec::<String>::new());
    let kept = cluster.list("secret,persistentvolumeclaim,networkpolicy", &namespace);
    assert_eq!(kept, Vec::<Value>::new());
}
