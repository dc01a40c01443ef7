//! A random walk over the statuses of a release, compared step by step with a model: operations
//! that succeed, that fail, and that are killed at some request. What the model knows of the past
//! is what the API server shows of it.

use std::collections::BTreeMap;

use crate::invariants::{Expected, Eyes, Objects, Revision};
use crate::operations::{Release, chart, values};
use crate::proxy::Fault;
use crate::support;
use crate::world::World;

/// More revisions than this are not kept.
const HISTORY: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Install { level: String, fail: &'static str },
    Upgrade { level: String, fail: &'static str },
    Rollback,
    Uninstall,
}

/// What the model says of a step that is not killed.
struct Prediction {
    status: i32,
    /// Number and status of each revision.
    history: Vec<(u64, &'static str)>,
    /// The level that is deployed then, if the step deploys one.
    level: Option<String>,
}

/// The statuses of a release: Helm's moves.
fn predict(
    history: &[Revision],
    levels: &BTreeMap<u64, String>,
    targets: &BTreeMap<u64, u64>,
    step: &Step,
) -> Prediction {
    // Nothing is changed by a step that is refused.
    let word = |status: &str| {
        [
            "deployed",
            "failed",
            "superseded",
            "uninstalled",
            "uninstalling",
        ]
        .into_iter()
        .find(|it| *it == status)
    };
    let as_is: Vec<(u64, &'static str)> = history
        .iter()
        .map(|revision| (revision.number, word(&revision.status).unwrap_or("pending")))
        .collect();
    let refused = Prediction {
        status: 1,
        history: as_is.clone(),
        level: None,
    };
    let deployed = as_is.iter().any(|(_, status)| *status == "deployed");
    let newest = as_is.last().copied();
    let gone = !deployed && matches!(newest, None | Some((_, "uninstalled" | "uninstalling")));
    // No uninstall of a walk keeps the history: this one was about to delete the records.
    let purged = matches!(newest, Some((_, "uninstalled")));
    let (level, fail) = match step {
        Step::Install { .. } if deployed => return refused,
        Step::Upgrade { .. } if gone => return refused,
        Step::Rollback if purged => return refused,
        Step::Rollback => match target(&as_is, targets) {
            None => return refused,
            Some(target) => (levels.get(&target).cloned(), ""),
        },
        Step::Uninstall if newest.is_none() => return refused,
        Step::Uninstall => {
            return Prediction {
                status: 0,
                history: Vec::new(),
                level: None,
            };
        }
        Step::Install { level, fail } | Step::Upgrade { level, fail } => {
            (Some(level.clone()), *fail)
        }
    };
    // Whoever has the lock buries the dead.
    let mut next = if purged { Vec::new() } else { as_is };
    for (_, status) in &mut next {
        if matches!(*status, "pending" | "uninstalling") {
            *status = "failed";
        }
        if fail.is_empty() && *status == "deployed" {
            *status = "superseded";
        }
    }
    next.push((
        newest.map_or(0, |(number, _)| number) + 1,
        if fail.is_empty() {
            "deployed"
        } else {
            "failed"
        },
    ));
    let last_deployed = next
        .iter()
        .rfind(|(_, status)| *status == "deployed")
        .copied();
    let surplus = next.len().saturating_sub(HISTORY);
    let mut index = 0;
    next.retain(|revision| {
        index += 1;
        index > surplus || Some(*revision) == last_deployed
    });
    Prediction {
        status: if fail.is_empty() { 0 } else { 3 },
        history: next,
        level: level.filter(|_| fail.is_empty()),
    }
}

/// Where a rollback without a number goes.
fn target(history: &[(u64, &'static str)], targets: &BTreeMap<u64, u64>) -> Option<u64> {
    let (newest, status) = history.last()?;
    let unfinished = targets
        .get(newest)
        .filter(|_| matches!(*status, "failed" | "pending"));
    let there = |number: &&u64| history.iter().any(|(it, _)| it == *number);
    let deployed_before = history
        .iter()
        .rev()
        .skip(1)
        .find(|(_, status)| matches!(*status, "deployed" | "superseded"));
    unfinished
        .filter(there)
        .copied()
        .or(deployed_before.map(|(number, _)| *number))
}

/// A generator whose walks can be walked again (Knuth's MMIX constants).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }

    fn step(&mut self, number: usize) -> Step {
        let level = format!("step{number}");
        let fail = ["", "", "before", "after"][self.below(4) as usize];
        match self.below(8) {
            0 | 1 => Step::Install { level, fail },
            2..=4 => Step::Upgrade { level, fail },
            5 | 6 => Step::Rollback,
            _ => Step::Uninstall,
        }
    }
}

#[test]
fn a_random_walk_over_all_statuses_agrees_with_the_model() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let all = std::env::var_os("KUBECTL_FABRIC_FAULTS").is_some();
    let seed = std::env::var("KUBECTL_FABRIC_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let (walks, steps) = if all { (6, 50) } else { (1, 12) };
    let first = seed.unwrap_or_else(|| std::process::id().into());
    let walks = if seed.is_some() { 1 } else { walks };
    std::thread::scope(|scope| {
        for seed in first..first + walks {
            let world = &world;
            scope.spawn(move || walk(world, seed, steps));
        }
    });
}

fn walk(world: &World, seed: u64, steps: usize) {
    let eyes = Eyes::new(&world.cluster);
    let release = Release {
        cluster: &world.cluster,
        namespace: world.cluster.namespace(&format!("walk{seed}")),
    };
    world
        .cluster
        .kubectl()
        .args(["create", "namespace", &release.namespace])
        .run()
        .success();
    let file = world.cluster.folder().join(format!("walk{seed}.json"));
    std::fs::write(&file, values(false)).expect("a file in a folder of ours");
    let mut random = Random(seed);
    // By revision: the level that it has, and for a rollback where it goes.
    let (mut levels, mut targets) = (BTreeMap::new(), BTreeMap::new());
    let mut story = vec![format!("KUBECTL_FABRIC_SEED={seed}")];
    for number in 0..steps {
        let before = eyes.look(&release.namespace);
        let history = before.history();
        let step = random.step(number);
        let killed_at = if random.below(3) == 0 {
            random.below(40) as usize + 1
        } else {
            usize::MAX
        };
        let fault = if random.below(2) == 0 {
            Fault::Killed
        } else {
            Fault::KilledAfter
        };
        let expected = predict(&history, &levels, &targets, &step);
        let (level, back) = match &step {
            Step::Install { level, .. } | Step::Upgrade { level, .. } => {
                (Some(level.clone()), None)
            }
            Step::Rollback => {
                let numbered: Vec<(u64, &'static str)> = history
                    .iter()
                    .map(|it| {
                        (
                            it.number,
                            if it.status.starts_with("pending") {
                                "pending"
                            } else {
                                known(&it.status)
                            },
                        )
                    })
                    .collect();
                let back = target(&numbered, &targets);
                (back.and_then(|back| levels.get(&back).cloned()), back)
            }
            Step::Uninstall => (None, None),
        };
        let newest = history.last().map_or(0, |revision| revision.number) + 1;
        levels.extend(level.map(|level| (newest, level)));
        targets.remove(&newest);
        targets.extend(back.map(|back| (newest, back)));

        let (proxy, kubeconfig) = world.proxy(fault, killed_at);
        let keep = HISTORY.to_string();
        let set = |level: &str, fail: &str| format!("nodes=0,level={level},fail={fail}");
        let file = file.display().to_string();
        let command = match &step {
            Step::Install { level, fail } => release.command(
                "install",
                &[
                    "--history-max",
                    &keep,
                    "--chart",
                    &chart(),
                    "-f",
                    &file,
                    "--set",
                    &set(level, fail),
                ],
            ),
            Step::Upgrade { level, fail } => release.command(
                "upgrade",
                &[
                    "--history-max",
                    &keep,
                    "--reset-values",
                    "-f",
                    &file,
                    "--set",
                    &set(level, fail),
                ],
            ),
            Step::Rollback => release.command("rollback", &["--history-max", &keep]),
            Step::Uninstall => release.command("uninstall", &[]),
        };
        let run = command
            .env("KUBECONFIG", kubeconfig)
            .run_as(|process| proxy.serve(process));
        proxy.settle();
        story.push(format!(
            "{step:?} {}: {:?}",
            if proxy.struck() {
                format!("{fault:?} at {killed_at}")
            } else {
                String::new()
            },
            run.status
        ));
        let seen = eyes.look(&release.namespace);
        let found = seen.history();
        story.push(format!("  {found:?}"));
        let told = || format!("{}\n{}", story.join("\n"), run.told());
        if proxy.struck() {
            let deployed = found
                .iter()
                .filter(|revision| revision.status == "deployed")
                .count();
            assert!(deployed <= 1, "{}", told());
            continue;
        }
        // What an uninstall that was killed left without a record is known to the next one only.
        let leftovers =
            matches!(step, Step::Uninstall) && history.is_empty() && run.status == Some(0);
        assert!(
            run.status == Some(expected.status) || leftovers,
            "expected exit status {}\n{}",
            expected.status,
            told()
        );
        let found: Vec<(u64, &str)> = found
            .iter()
            .map(|revision| (revision.number, revision.status.as_str()))
            .collect();
        let as_found: Vec<(u64, &str)> = found
            .iter()
            .map(|(number, status)| {
                (
                    *number,
                    if status.starts_with("pending") {
                        "pending"
                    } else {
                        status
                    },
                )
            })
            .collect();
        assert_eq!(as_found, expected.history, "{}", told());
        let objects = |level: String| Objects {
            level,
            image: "registry.example/node:1".to_owned(),
            old: true,
            new: false,
            nodes: 0,
            bulk: false,
        };
        let wrong = match (
            expected.level,
            expected.history.is_empty() && run.status == Some(0),
        ) {
            (Some(level), _) => seen.wrong(&Expected::Deployed(objects(level))),
            (None, true) => seen.wrong(&Expected::Uninstalled),
            _ => Vec::new(),
        };
        assert_eq!(wrong, Vec::<String>::new(), "{}", told());
    }
}

fn known(status: &str) -> &'static str {
    [
        "deployed",
        "failed",
        "superseded",
        "uninstalled",
        "uninstalling",
    ]
    .into_iter()
    .find(|it| *it == status)
    .unwrap_or("unknown")
}
