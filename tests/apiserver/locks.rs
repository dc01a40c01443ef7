//! The lock of a release: taken over from the dead alone, whatever its Lease and the clocks say;
//! and a run that lost it stops.

use crate::nodes::Release;
use crate::support::{Invocation, Output, tell, until};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const LEASE: &str = "kubectl-fabric.app";
const STRANGER: &str = "eve@elsewhere (process 1)";

fn installed() -> Option<Release> {
    let release = Release::new()?;
    release.install(&["--set", "nodes=0"]).success();
    Some(release)
}

/// A Lease as another run of this program would have it, with these dates.
fn stranger(release: &Release, renewed: &str, duration: u32) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": LEASE,
            "annotations": {"kubectl-fabric.io/run": "0123456789abcdef0123456789abcdef", "kubectl-fabric.io/operation": "upgrade"},
        },
        "spec": {
            "holderIdentity": STRANGER,
            "leaseDurationSeconds": duration,
            "acquireTime": renewed,
            "renewTime": renewed,
        },
    });
    release
        .cluster
        .apply(&release.namespace, &lease.to_string());
}

fn patch(release: &Release, change: &Value) -> Output {
    let change = change.to_string();
    release
        .cluster
        .kubectl()
        .args([
            "-n",
            &release.namespace,
            "patch",
            "lease",
            LEASE,
            "--type=merge",
            "-p",
            &change,
        ])
        .run()
}

fn holder(release: &Release) -> Option<String> {
    Some(
        release.get("lease", LEASE)?["spec"]["holderIdentity"]
            .as_str()?
            .to_owned(),
    )
}

/// An upgrade that holds the lock until it is ended.
fn waiting(release: &Release) -> Invocation {
    release.command(&["upgrade"], &["--set", "nodes=1,state=pending"])
}

fn spawn_holder(release: &Release, holder: Invocation) -> Child {
    let child = holder.spawn();
    until("the node to be there", || {
        release.get("statefulset", "node0")
    });
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
}

/// Ends a holder that lives, and sees that it held its lock to its end.
fn interrupt(release: &Release, holder: Child) {
    signal(&holder, "INT");
    let output = holder.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(release.statuses().last().unwrap(), "failed");
    assert!(release.get("lease", LEASE).is_none());
}

/// Gives a run a home of its own, as another machine or another user has it: no file there tells of
/// other runs.
fn elsewhere(release: &Release, run: Invocation) -> Invocation {
    let home = release.cluster.folder().join("elsewhere");
    std::fs::create_dir_all(&home).unwrap();
    run.env("HOME", home)
}

#[test]
fn a_lease_that_is_not_renewed_is_taken_over_whatever_its_dates_say() {
    // A clock that was ahead; one that was behind; a duration that is a year.
    for (renewed, duration) in [
        ("2099-01-01T00:00:00.000000Z", 10),
        ("1999-01-01T00:00:00.000000Z", 10),
        ("2099-01-01T00:00:00.000000Z", 31_536_000),
    ] {
        let Some(release) = installed() else { return };
        stranger(&release, renewed, duration);
        let output = release.upgrade(&["--set", "settings.level=b"]).success();
        let words =
            format!("{STRANGER} holds the lock; waiting up to 10 seconds for it to be renewed");
        assert_eq!(
            output.stderr.matches(&words).count(),
            1,
            "{}",
            output.stderr
        );
        assert_eq!(release.statuses(), ["superseded", "deployed"]);
        assert!(release.get("lease", LEASE).is_none());
    }
}

#[test]
fn a_lease_that_is_renewed_is_refused_whatever_its_dates_say() {
    let Some(release) = installed() else { return };
    for years in ["1999", "2099"] {
        stranger(&release, &format!("{years}-01-01T00:00:00.000000Z"), 1);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for second in 1.. {
                    patch(&release, &json!({"spec": {"renewTime": format!("{years}-01-01T00:00:{second:02}.000000Z")}}))
                        .success();
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    thread::sleep(Duration::from_secs(1));
                }
            });
            let output = release.upgrade(&["--set", "settings.level=b"]);
            over.store(true, Ordering::SeqCst);
            let refused = output.exits(4);
            assert!(
                refused.stderr.contains(&format!(
                    "{STRANGER} holds the lock and has just renewed it"
                )),
                "{}",
                refused.stderr
            );
        });
        assert_eq!(holder(&release).as_deref(), Some(STRANGER));
        assert_eq!(release.statuses(), ["deployed"]);
    }
}

#[test]
fn ctrl_c_ends_the_wait_for_a_lock_and_changes_nothing() {
    let Some(release) = installed() else { return };
    stranger(&release, "2099-01-01T00:00:00.000000Z", 10);
    let mut child = release
        .command(&["upgrade"], &["--set", "settings.level=b"])
        .spawn();
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let mut report = String::new();
    while !report.contains("holds the lock; waiting") {
        assert!(
            std::io::BufRead::read_line(&mut stderr, &mut report).unwrap() > 0,
            "{report}"
        );
    }
    signal(&child, "INT");
    std::io::Read::read_to_string(&mut stderr, &mut report).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{report}");
    assert!(report.contains("now: nothing was changed"), "{report}");
    assert_eq!(holder(&release).as_deref(), Some(STRANGER));
    assert_eq!(release.statuses(), ["deployed"]);
}

#[test]
fn a_killed_holder_of_another_machine_is_taken_over_after_the_expiry() {
    let Some(release) = installed() else { return };
    let mut killed = spawn_holder(&release, waiting(&release));
    signal(&killed, "KILL");
    killed.wait().unwrap();
    let next = elsewhere(
        &release,
        release.command(&["upgrade"], &["--set", "nodes=0"]),
    )
    .run()
    .success();
    assert!(
        next.stderr.contains(&format!(
            "(process {}) holds the lock; waiting",
            killed.id()
        )),
        "{}",
        next.stderr
    );
    assert_eq!(release.statuses(), ["superseded", "failed", "deployed"]);
}

/// In a mount namespace whose /proc hides the processes of other users (hidepid=2), as a user who
/// is not the holder's.
#[test]
fn a_live_holder_that_cannot_be_seen_keeps_its_lock() {
    let Some(release) = installed() else { return };
    let hidden = |line: &str| {
        let script = format!(
            "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 2002 --regid 2002 --clear-groups {line}"
        );
        release.cluster.shell(&format!(
            "exec unshare --mount sh -c '{script}' \"$0\" \"$@\""
        ))
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_kubectl-fabric"));
    if hidden(&format!("test -x \"{}\"", binary.display()))
        .run()
        .status
        != Some(0)
    {
        tell(
            "skipped: a_live_holder_that_cannot_be_seen_keeps_its_lock (needs root, unshare, setpriv, and a binary that all may read)",
        );
        return;
    }
    let kubeconfig = release.cluster.folder().join("whole.kubeconfig");
    let whole = release
        .cluster
        .kubectl()
        .args(["config", "view", "--flatten", "--minify"])
        .run()
        .success();
    std::fs::write(&kubeconfig, whole.stdout).unwrap();
    open_to_all(&release);
    let holder = spawn_holder(&release, waiting(&release));
    let run = hidden("kubectl-fabric \"$@\"").args([
        "kubectl-fabric",
        "upgrade",
        "app",
        "-n",
        &release.namespace,
        "--set",
        "nodes=0",
    ]);
    let refused = run
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", kubeconfig)
        .run()
        .exits(4);
    assert!(
        refused
            .stderr
            .contains(&format!("(process {}) holds the lock", holder.id())),
        "{}",
        refused.stderr
    );
    interrupt(&release, holder);
}

/// Lets other users of this machine read the test's folder.
fn open_to_all(release: &Release) {
    let opened = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(release.cluster.folder())
        .status()
        .expect("chmod is there");
    assert!(opened.success());
}

/// Runs with a clock that is wrong by this much.
fn skewed(run: Invocation, skew: &str) -> Option<Invocation> {
    let libraries = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ];
    let library = libraries
        .iter()
        .map(|folder| format!("{folder}/faketime/libfaketime.so.1"))
        .find(|path| Path::new(path).exists())?;
    let run = run
        .env("LD_PRELOAD", library)
        .env("FAKETIME", skew)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    // By a clock that is behind, the certificate of a new API server is not valid yet.
    Some(run.arg("--insecure-skip-tls-verify"))
}

#[test]
fn with_any_two_clocks_a_live_lock_is_kept_and_a_dead_one_is_taken_over() {
    let pairs = [
        (Some("+2h"), None),
        (Some("-2h"), None),
        (None, Some("+2h")),
        (None, Some("-2h")),
    ];
    thread::scope(|scope| {
        for (holders, observers) in pairs {
            scope.spawn(move || two_clocks(holders, observers));
        }
    });
}

fn two_clocks(holders: Option<&str>, observers: Option<&str>) {
    let Some(release) = installed() else { return };
    let by = |run: Invocation, skew: Option<&str>| match skew {
        Some(skew) => skewed(run, skew),
        None => Some(run),
    };
    let observe = || {
        by(
            elsewhere(
                &release,
                release.command(&["upgrade"], &["--set", "nodes=0,state="]),
            ),
            observers,
        )
    };
    let (Some(holder), Some(observer)) = (by(waiting(&release), holders), observe()) else {
        return tell(
            "skipped: with_any_two_clocks_a_live_lock_is_kept_and_a_dead_one_is_taken_over (needs libfaketime)",
        );
    };
    let mut holder = spawn_holder(&release, holder);
    let refused = observer.run().exits(4);
    assert!(
        refused
            .stderr
            .contains("holds the lock and has just renewed it"),
        "{}",
        refused.stderr
    );
    assert!(holder.try_wait().unwrap().is_none(), "the holder goes on");
    signal(&holder, "KILL");
    holder.wait().unwrap();
    observe().expect("as before").run().success();
    assert_eq!(
        release.statuses(),
        ["superseded", "failed", "deployed"],
        "{holders:?} {observers:?}"
    );
}

#[test]
fn a_run_whose_lease_someone_else_writes_stops_and_says_who_has_it() {
    type Harm = fn(&Release);
    let cases: [(Harm, &str); 4] = [
        (
            |release| {
                drop(
                    release
                        .cluster
                        .kubectl()
                        .args(["-n", &release.namespace, "delete", "lease", LEASE])
                        .run()
                        .success(),
                )
            },
            "its Lease was deleted",
        ),
        (
            |release| {
                let taken = json!({
                    "metadata": {"annotations": {"kubectl-fabric.io/run": "2"}},
                    "spec": {"holderIdentity": STRANGER},
                });
                drop(patch(release, &taken).success());
            },
            "eve@elsewhere (process 1) has taken it over",
        ),
        (
            |release| {
                drop(
                    patch(
                        release,
                        &json!({"spec": {"renewTime": "2099-01-01T00:00:00.000000Z"}}),
                    )
                    .success(),
                )
            },
            "another writer has changed its Lease",
        ),
        (
            |release| {
                drop(
                    patch(
                        release,
                        &json!({"spec": {"leaseDurationSeconds": 31_536_000}}),
                    )
                    .success(),
                )
            },
            "another writer has changed its Lease",
        ),
    ];
    thread::scope(|scope| {
        for (harm, words) in cases {
            scope.spawn(move || {
                let Some(release) = installed() else { return };
                let holder = spawn_holder(&release, waiting(&release));
                harm(&release);
                let left = release.get("lease", LEASE);
                let output = holder.wait_with_output().unwrap();
                let report = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(4), "{report}");
                assert!(
                    report.contains("the lock of release \"app\" was lost")
                        && report.contains(words),
                    "{report}"
                );
                assert_eq!(
                    release.get("lease", LEASE),
                    left,
                    "it is not written by who lost it"
                );
                assert_eq!(
                    release.statuses(),
                    ["deployed", "pending-upgrade"],
                    "nor is the record"
                );
                release.upgrade(&["--set", "nodes=0,state="]).success();
                assert_eq!(release.statuses(), ["superseded", "failed", "deployed"]);
            });
        }
    });
}

#[test]
fn a_label_on_the_lease_is_no_loss() {
    let Some(release) = installed() else { return };
    let holder = spawn_holder(&release, waiting(&release));
    patch(&release, &json!({"metadata": {"labels": {"team": "a"}}})).success();
    let renewed = |lease: Value| lease["spec"]["renewTime"].as_str().unwrap().to_owned();
    let before = renewed(release.get("lease", LEASE).unwrap());
    until("a renewal", || {
        (renewed(release.get("lease", LEASE).unwrap()) != before).then_some(())
    });
    interrupt(&release, holder);
}
