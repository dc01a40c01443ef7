//! A run that is interrupted, killed, or not alone: the next one converges, and nobody's work is
//! lost.

use crate::nodes::{Release, chart};
use crate::support::until;
use std::process::Command;

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
}

#[test]
fn a_signal_ends_with_130_and_a_record_that_says_so() {
    // The end of a terminal comes from the kernel and from the shell.
    for signals in [&["INT"][..], &["TERM"], &["HUP"], &["HUP", "HUP"]] {
        let Some(release) = Release::new() else {
            return;
        };
        let chart = chart();
        let child = release
            .command(
                &["install"],
                &[
                    "--chart",
                    &chart,
                    "--set",
                    "state=pending",
                    "--events",
                    "json",
                ],
            )
            .spawn();
        until("the nodes to be there", || {
            release.get("statefulset", "node1")
        });
        signals.iter().for_each(|name| signal(child.id(), name));
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{signals:?}: {told}");
        let events: Vec<&str> = told
            .lines()
            .filter(|line| !line.contains("\"waiting\""))
            .collect();
        let place = |event: &str| {
            events
                .iter()
                .position(|line| line.contains(event))
                .unwrap_or_else(|| panic!("{event}: {told}"))
        };
        assert!(
            place("interrupted: stopping") < place("\"failed\"")
                && place("\"wait-over\"") < place("\"failed\""),
            "{told}"
        );
        let (_, status, description) = release.history().remove(0);
        assert_eq!(status, "failed");
        assert_eq!(description, "Install \"app\" was interrupted");
        assert!(
            told.contains("run the same command again") && !told.contains("fix the cause"),
            "nothing is broken: {told}"
        );
        assert!(
            release.cluster.list("lease", &release.namespace).is_empty(),
            "the lock is given back"
        );
        release.install(&[]).success();
        assert_eq!(release.statuses(), ["failed", "deployed"]);
    }
}

#[test]
fn under_nohup_the_end_of_the_terminal_ends_nothing() {
    let Some(release) = Release::new() else {
        return;
    };
    let line = format!(
        "exec nohup kubectl-fabric install app -n {} --chart '{}' --set state=pending",
        release.namespace,
        chart().replace('\'', "'\\''")
    );
    let child = release.cluster.shell(&line).spawn();
    until("the nodes to be there", || {
        release.get("statefulset", "node1")
    });
    // If the first one counted, the second would end the program at once, and leave its lock.
    ["HUP", "INT"]
        .iter()
        .for_each(|name| signal(child.id(), name));
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(release.statuses(), ["failed"]);
    assert!(
        release.cluster.list("lease", &release.namespace).is_empty(),
        "the lock is given back"
    );
}

#[test]
fn a_killed_run_is_taken_over_at_once_on_the_same_machine_and_recorded_as_interrupted() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart();
    let mut child = release
        .command(
            &["install"],
            &["--chart", &chart, "--set", "state=pending,extra=true"],
        )
        .spawn();
    until("the nodes to be there", || {
        release.get("statefulset", "node1")
    });
    signal(child.id(), "KILL");
    child.wait().unwrap();
    assert_eq!(release.statuses(), ["pending-install"]);
    assert_eq!(release.cluster.list("lease", &release.namespace).len(), 1);
    let next = release.install(&[]).success();
    assert!(!next.stderr.contains("holds the lock"), "{}", next.stderr);
    let history = release.history();
    assert_eq!(release.statuses(), ["failed", "deployed"]);
    assert_eq!(history[0].2, "Install \"app\" was interrupted");
    assert!(
        release.get("configmap", "extra").is_none(),
        "what the killed run left is pruned"
    );
    release.run("uninstall", &[]).success();
    assert_eq!(release.leftovers(), Vec::<String>::new());
}

#[test]
fn an_interrupted_uninstall_is_finished_by_the_next_one() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart();
    // Pods that take their time to go, so that there is a moment to interrupt.
    release
        .command(&["install"], &["--chart", &chart])
        .run()
        .success();
    let hold = r#"{"metadata": {"finalizers": ["example.com/hold"]}}"#;
    let patch = |patch: &str| {
        let sets = [
            "-n",
            &release.namespace,
            "patch",
            "configmap",
            "settings",
            "--type=merge",
            "-p",
            patch,
        ];
        release.cluster.kubectl().args(sets).run().success();
    };
    patch(hold);
    let child = release.command(&["uninstall"], &[]).spawn();
    until("the object to be on its way out", || {
        release
            .get("configmap", "settings")
            .filter(|body| body["metadata"]["deletionTimestamp"].is_string())
    });
    signal(child.id(), "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(release.statuses(), ["failed"]);
    patch(r#"{"metadata": {"finalizers": null}}"#);
    release.run("uninstall", &[]).success();
    assert_eq!(release.leftovers(), Vec::<String>::new());
}

#[test]
fn a_second_run_is_refused_with_the_holders_name() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let child = release
        .command(&["upgrade"], &["--set", "state=pending"])
        .spawn();
    until("the lock", || {
        release.cluster.list("lease", &release.namespace).pop()
    });
    let output = release
        .upgrade(&["--set", "image=registry.example/node:2"])
        .exits(4);
    assert!(
        output.stderr.contains("upgrade of release")
            && output.stderr.contains(&format!("process {}", child.id())),
        "{}",
        output.stderr
    );
    signal(child.id(), "INT");
    child.wait_with_output().unwrap();
    release.upgrade(&["--set", "state="]).success();
    assert_eq!(release.statuses(), ["superseded", "failed", "deployed"]);
}

#[test]
fn of_many_runs_at_once_one_wins_and_no_revision_is_lost() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    let runs: Vec<_> = (0..8)
        .map(|run| {
            release
                .command(
                    &["upgrade"],
                    &["--set", &format!("settings.level=run{run}")],
                )
                .spawn()
        })
        .collect();
    let codes: Vec<_> = runs
        .into_iter()
        .map(|run| run.wait_with_output().unwrap().status.code())
        .collect();
    let won = codes.iter().filter(|code| **code == Some(0)).count();
    assert!(
        won >= 1 && codes.iter().all(|code| matches!(code, Some(0 | 4))),
        "{codes:?}"
    );
    let history = release.history();
    assert_eq!(history.len(), won + 1, "{history:?}");
    assert_eq!(
        history
            .iter()
            .filter(|(_, status, _)| status == "deployed")
            .count(),
        1
    );
}

#[test]
fn history_max_keeps_the_newest_and_the_deployed() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    for level in ["a", "b", "c"] {
        release
            .upgrade(&[
                "--set",
                &format!("settings.level={level}"),
                "--history-max",
                "2",
            ])
            .success();
    }
    let revisions: Vec<u64> = release
        .history()
        .into_iter()
        .map(|(revision, _, _)| revision)
        .collect();
    assert_eq!(revisions, [3, 4]);
    let companions = release.cluster.list("secret", &release.namespace);
    let companions = companions
        .iter()
        .filter(|secret| secret["type"] == "kubectl-fabric.io/release.v1")
        .count();
    assert_eq!(companions, 2, "a trimmed revision leaves nothing behind");
}

#[test]
fn a_damaged_record_is_shown_as_unreadable_and_never_skipped() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    release.upgrade(&["--set", "settings.level=b"]).success();
    let patch = r#"{"metadata": {"labels": {"kubectl-fabric.io/status": "nonsense"}}}"#;
    let name = "kubectl-fabric.v1.app.v1";
    release
        .cluster
        .kubectl()
        .args([
            "-n",
            &release.namespace,
            "patch",
            "configmap",
            name,
            "--type=merge",
            "-p",
            patch,
        ])
        .run()
        .success();
    let output = release.run("history", &[]).success();
    assert!(output.stdout.contains("unreadable"), "{}", output.stdout);
    release.run("rollback", &["1"]).exits(1);
    release.upgrade(&["--set", "settings.level=c"]).success();
}
