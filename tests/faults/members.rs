//! However a rollout ends, and in whatever state it finds its group: run again and again, it never
//! takes a second member down.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::operations::{Release, chart, values};
use crate::support::members::{Members, worst};
use crate::support::{self, until};
use crate::world::World;

/// How many releases are worked on at once.
const AT_ONCE: usize = 8;
const NODES: usize = 3;

/// What is run, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Upgrade,
    Rollback,
    /// An immutable field changes: StatefulSets are deleted without their pods, and made again.
    Recreate,
    /// Two of the nodes leave, the third changes.
    Shrink,
    /// The last hook fails, and all is taken back.
    RollbackOnFailure,
}

/// How its first two runs end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    ByItself,
    /// `--timeout`, long before a node is ready.
    TimedOut,
    Interrupted,
    Killed,
}

/// What the group is like when they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Whole,
    /// A node whose pod somebody deletes just before each run.
    Restarting,
    /// A node that crashes, and will be mended by being changed.
    Crashing,
    /// A node that never became ready after a change, and will be mended by the next one.
    Stuck,
}

const VERBS: [Verb; 5] = [
    Verb::Upgrade,
    Verb::Rollback,
    Verb::Recreate,
    Verb::Shrink,
    Verb::RollbackOnFailure,
];
const ENDS: [End; 4] = [End::ByItself, End::TimedOut, End::Interrupted, End::Killed];
const GROUPS: [Group; 4] = [
    Group::Whole,
    Group::Restarting,
    Group::Crashing,
    Group::Stuck,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    verb: Verb,
    end: End,
    group: Group,
}

#[test]
fn no_run_takes_a_second_member_down() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let file = world.cluster.folder().join("values.json");
    std::fs::write(&file, values(false)).expect("a file in a folder of ours");
    let all = std::env::var_os("KUBECTL_FABRIC_FAULTS").is_some();
    let cases = VERBS.iter().enumerate().flat_map(|(v, verb)| {
        ENDS.iter().enumerate().flat_map(move |(e, end)| {
            GROUPS.iter().enumerate().map(move |(g, group)| {
                (
                    (v, e, g),
                    Case {
                        verb: *verb,
                        end: *end,
                        group: *group,
                    },
                )
            })
        })
    });
    // Without all of them: each way to end with each state of the group once, and each verb.
    let chosen = cases
        .filter(|((v, e, g), _)| all || (e + 2 * g) % VERBS.len() == *v)
        .map(|(_, case)| case);
    let queue: Mutex<Vec<Case>> = Mutex::new(chosen.collect());
    let wrong: Mutex<Vec<String>> = Mutex::default();
    let done: Mutex<BTreeSet<Case>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().expect("no panic with it").pop() else {
                        return;
                    };
                    let found = run(&world, &file, case);
                    done.lock().expect("no panic with it").insert(case);
                    if let Some(found) = found {
                        support::tell(&format!("WRONG {case:?}: {found}"));
                        wrong.lock().expect("no panic with it").push(found);
                    }
                }
            });
        }
    });
    let done = done.into_inner().expect("no panic with it");
    support::tell(&format!("{} ways to run a rollout again", done.len()));
    assert_eq!(
        wrong.into_inner().expect("no panic with it").len(),
        0,
        "see above"
    );
}

/// Runs one case; returns what was wrong.
fn run(world: &World, file: &Path, case: Case) -> Option<String> {
    let Case { verb, end, group } = case;
    let cluster = &world.cluster;
    let namespace = cluster.namespace(&format!("{verb:?}-{end:?}-{group:?}").to_lowercase());
    let release = Release { cluster, namespace };
    let kubectl = |args: &[&str]| {
        cluster
            .kubectl()
            .args(["-n", &release.namespace])
            .args(args)
            .run()
            .success()
    };
    let set = |more: &str| format!("nodes={NODES},readyAfter=3s{more}");
    let file = file.display().to_string();
    release
        .command(
            "install",
            &["--chart", &chart(), "-f", &file, "--set", &set("")],
        )
        .run()
        .success();
    if verb == Verb::Rollback {
        release
            .command("upgrade", &["--set", "image=registry.example/node:2"])
            .run()
            .success();
    }
    let wanted = "image=registry.example/node:3,state=";
    let recreate = [
        "--recreate",
        "StatefulSet/node0",
        "--recreate",
        "StatefulSet/node1",
        "--recreate",
        "StatefulSet/node2",
    ];
    let parallel = format!("{wanted},policy=Parallel");
    let (shrunk, failing) = (format!("{wanted},nodes=1"), format!("{wanted},fail=after"));
    let command = |more: &[&str]| match verb {
        Verb::Upgrade => release.command("upgrade", &["--set", wanted]).args(more),
        Verb::Rollback => release.command("rollback", &["1"]).args(more),
        Verb::Recreate => release
            .command("upgrade", &["--set", &parallel])
            .args(recreate)
            .args(more),
        Verb::Shrink => release.command("upgrade", &["--set", &shrunk]).args(more),
        Verb::RollbackOnFailure => release
            .command("upgrade", &["--set", &failing, "--rollback-on-failure"])
            .args(more),
    };
    match group {
        Group::Crashing => {
            kubectl(&[
                "annotate",
                "pod",
                "node1-0",
                "--overwrite",
                "sim.kubectl-fabric.io/state=crash",
            ]);
            until("it to crash", || {
                (pod_is_ready(cluster, &release, "node1-0") == Some(false)).then_some(())
            });
        }
        Group::Stuck => {
            release
                .command(
                    "upgrade",
                    &[
                        "--set",
                        "image=registry.example/node:0,state=not-ready",
                        "--timeout",
                        "1s",
                    ],
                )
                .run()
                .exits(3);
        }
        Group::Whole | Group::Restarting => {}
    }
    let watch = Members::watch(cluster, &release.namespace, "node");
    let mut said = Vec::new();
    for _ in 0..2 {
        if group == Group::Restarting {
            // One that is down already would make it two.
            let whole = || {
                ["node0-0", "node1-0", "node2-0"]
                    .iter()
                    .all(|pod| pod_is_ready(cluster, &release, pod) != Some(false))
            };
            until("all nodes to be ready", || whole().then_some(()));
            kubectl(&[
                "delete",
                "pod",
                "node1-0",
                "--wait=false",
                "--ignore-not-found",
            ]);
        }
        let run = match end {
            End::ByItself => command(&[]).run(),
            End::TimedOut => command(&["--timeout", "1s"]).run(),
            End::Interrupted | End::Killed => {
                let name = if end == End::Killed { "KILL" } else { "INT" };
                command(&["--events", "json"]).run_until("\"waiting\"", |process| {
                    let sent = Command::new("kill")
                        .args([&format!("-{name}"), &process.to_string()])
                        .output();
                    assert!(sent.is_ok());
                })
            }
        };
        said.push(run.told());
    }
    let last = command(&[]).run();
    let as_meant = if verb == Verb::RollbackOnFailure {
        last.status == Some(3)
    } else {
        last.status == Some(0)
    };
    said.push(last.told());
    let moments = watch.finish();
    let stays =
        |member: &str| member.starts_with("node") && (verb != Verb::Shrink || member == "node0");
    let down = worst(&moments, stays);
    let wrong = match (down > 1, as_meant) {
        (true, _) => format!("{down} members were down at the same moment: {moments:?}"),
        (false, false) => "the last run did not end as it should".to_owned(),
        _ => return None,
    };
    Some(format!("{wrong}\n{}", said.join("\n")))
}

fn pod_is_ready(cluster: &support::Cluster, release: &Release, pod: &str) -> Option<bool> {
    let pod = cluster.get("pod", pod, Some(&release.namespace))?;
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .any(|it| it["type"] == "Ready" && it["status"] == "True");
    Some(ready && pod["metadata"]["deletionTimestamp"].is_null())
}
