//! A namespace that lacks its ServiceAccount `default`, as it does until the controller manager has
//! made it.

use crate::nodes::Release;
use crate::support::until;
use std::fs;
use std::io::{BufRead, BufReader, Read};

const QUOTA: &str = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: no-accounts}\nspec: {hard: {count/serviceaccounts: \"0\"}}\n";

const WAITS: &str = "has no ServiceAccount \"default\" yet";

/// A chart of one pod.
fn chart(release: &Release, metadata: &str, spec: &str) -> String {
    let folder = release.cluster.folder().join("chart");
    fs::create_dir_all(folder.join("templates")).expect("a folder for the chart");
    fs::write(
        folder.join("Chart.yaml"),
        "apiVersion: v2\nname: pods\nversion: 0.1.0\n",
    )
    .expect("a file");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: pod, {metadata}}}\nspec: {{{spec} containers: [{{name: main, image: \"main:1\"}}]}}\n"
    );
    fs::write(folder.join("templates/pod.yaml"), pod).expect("a file");
    folder.display().to_string()
}

/// Takes the account away, and keeps the controller from making another one.
fn without_account(release: &Release) {
    let namespace = release.cluster.create_namespace("app");
    let account = || release.get("serviceaccount", "default");
    until("the service account", account);
    release.cluster.apply(&namespace, QUOTA);
    until("the quota", || {
        release
            .get("resourcequota", "no-accounts")
            .filter(|quota| !quota["status"]["hard"].is_null())
    });
    release
        .cluster
        .kubectl()
        .args(["delete", "serviceaccount", "default", "-n", &namespace])
        .run()
        .success();
    assert_eq!(account(), None);
}

#[test]
fn pods_wait_for_the_account_of_their_namespace() {
    let hook = "annotations: {kubectl-fabric.io/hook: pre-install}";
    for (metadata, spec) in [
        (hook, "restartPolicy: Never,"),
        ("", ""),
        ("", "serviceAccountName: default,"),
    ] {
        let Some(release) = Release::new() else {
            return;
        };
        without_account(&release);
        let mut child = release
            .command(&["install"], &["--chart", &chart(&release, metadata, spec)])
            .spawn();
        let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut text = String::new();
        while !text.contains(WAITS) {
            assert!(
                told.read_line(&mut text).expect("text") > 0,
                "{metadata} {spec} does not wait: {text}"
            );
        }
        let kubectl = |args: &[&str]| {
            release
                .cluster
                .kubectl()
                .args(args)
                .args(["-n", &release.namespace])
                .run()
        };
        kubectl(&["delete", "resourcequota", "no-accounts"]).success();
        // The controller may be about to make it, or not try again for a while.
        let created = kubectl(&["create", "serviceaccount", "default"]);
        assert!(
            created.status == Some(0) || created.stderr.contains("already exists"),
            "{}",
            created.told()
        );
        told.read_to_string(&mut text).expect("text");
        assert!(
            child.wait().expect("a child of ours").success(),
            "{metadata} {spec}: {text}"
        );
        assert_eq!(text.matches(WAITS).count(), 1, "it is said once: {text}");
        assert_eq!(release.statuses(), ["deployed"]);
    }
}

#[test]
fn a_pod_does_not_wait_for_an_account_of_the_users_own() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart(
        &release,
        "annotations: {kubectl-fabric.io/hook: pre-install}",
        "serviceAccountName: mine,",
    );
    let failed = release.command(&["install"], &["--chart", &chart]).run();
    assert_eq!(failed.status, Some(1), "{}", failed.told());
    assert!(
        failed.stderr.contains("serviceaccount \"mine\" not found")
            && !failed.stderr.contains(WAITS),
        "{}",
        failed.told()
    );
}
