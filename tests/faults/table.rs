//! Every fault at every request of every operation: then the same command again, and nothing may be
//! wrong.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::invariants::{Expected, Eyes};
use crate::operations::{Operation, Release, values};
use crate::proxy::Fault;
use crate::support::members::{Members, worst};
use crate::support::{self, Output};
use crate::world::World;

/// How many releases are worked on at once, and how many more whose time is nearly all waiting for
/// a server that does not answer.
const AT_ONCE: usize = 10;
const WAITING_AT_ONCE: usize = 24;

/// A row of the table.
struct Row {
    fault: Fault,
    words: &'static str,
    /// Flags that the plugin gets with it.
    flags: &'static [&'static str],
    /// In a full run, every so many requests.
    every: usize,
}

const STALL: Duration = Duration::from_secs(30);
const IMPATIENT: &[&str] = &["--request-timeout", "2s"];

const fn row(
    fault: Fault,
    words: &'static str,
    flags: &'static [&'static str],
    every: usize,
) -> Row {
    Row {
        fault,
        words,
        flags,
        every,
    }
}

const ROWS: [Row; 17] = [
    row(
        Fault::DroppedBefore,
        "dropped before the server received it",
        &[],
        1,
    ),
    row(
        Fault::DroppedAfter,
        "dropped after the server processed it",
        &[],
        1,
    ),
    row(Fault::Cut, "answer cut off in its middle", &[], 1),
    row(Fault::Refused(409), "409", &[], 1),
    row(Fault::Refused(429), "429 with Retry-After", &[], 1),
    row(Fault::Refused(500), "500", &[], 1),
    row(Fault::Refused(503), "503", &[], 1),
    row(Fault::Refused(504), "504", &[], 1),
    row(
        Fault::RefusedAfter(504),
        "504 after the server processed it",
        &[],
        1,
    ),
    row(Fault::Stalled(STALL), "stalled for 30 s", &[], 8),
    row(
        Fault::Silent,
        "never answered (--request-timeout=2s)",
        IMPATIENT,
        1,
    ),
    row(
        Fault::Away,
        "server unavailable from then on (--request-timeout=2s)",
        IMPATIENT,
        1,
    ),
    row(Fault::WatchClosed, "watch closed", &[], 1),
    row(Fault::WatchExpired, "watch expired (410)", &[], 1),
    row(
        Fault::Killed,
        "plugin killed before the server received it",
        &[],
        1,
    ),
    row(
        Fault::KilledAfter,
        "plugin killed after the server processed it",
        &[],
        1,
    ),
    row(Fault::Interrupted, "plugin interrupted (SIGINT)", &[], 1),
];

/// A release that lives through all operations, each with the fault at the same request.
#[derive(Clone, Copy, Debug)]
struct Chain {
    row: usize,
    at: usize,
    split: bool,
}

/// How one case ended.
#[derive(Default)]
struct Count {
    cases: usize,
    /// The command itself succeeded.
    unnoticed: usize,
    /// The command failed after all was done, so that there was nothing left for the second.
    done: usize,
    failed: usize,
}

struct Case {
    row: usize,
    operation: Operation,
    unnoticed: bool,
    done: bool,
    /// What was wrong, if anything was.
    wrong: Option<String>,
}

#[test]
fn every_operation_converges_after_every_fault() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let every = every();
    let files = [false, true].map(|split| {
        let path = world.cluster.folder().join(format!("values-{split}.json"));
        std::fs::write(&path, values(split)).expect("a file in a folder of ours");
        path
    });
    // Without a fault: how many requests there are, and that nothing is wrong then.
    let counted = run_chain(
        &world,
        &files,
        Chain {
            row: usize::MAX,
            at: 0,
            split: false,
        },
        0,
    );
    if let Some(wrong) = counted.cases.iter().find_map(|case| case.wrong.as_ref()) {
        panic!("without a fault: {wrong}");
    }
    // An uninstall sends more where it has to look again and again whether something is gone: those
    // requests are alike.
    let longest = counted.requests[..3]
        .iter()
        .copied()
        .max()
        .expect("three operations");
    // Not every run sends the same number: renewals of the lock and looks at what is being deleted
    // come by the clock.
    let everywhere = (1..=longest + 3).flat_map(|at| (0..ROWS.len()).map(move |row| (at, row)));
    let chosen = everywhere.filter(|(at, row)| {
        let spec = &ROWS[*row];
        match every {
            // Of watches there are few.
            Some(_) if spec.fault.is_of_watches() => *at <= 6,
            Some(every) => (at + row) % (every * spec.every) == 0,
            None if spec.fault.is_of_watches() => *at == 2,
            None => *at == 1 + (row * 7 + 5) % longest && spec.every == 1,
        }
    });
    let chains = chosen.map(|(at, row)| Chain {
        row,
        at,
        split: every.is_some() && (at / 4 + row) % 8 == 0,
    });
    let (waiting, busy): (VecDeque<Chain>, VecDeque<Chain>) =
        chains.partition(|chain| ROWS[chain.row].fault.is_of_silence());
    let began = Instant::now();
    let total = waiting.len() + busy.len();
    let queues = [
        (Mutex::new(busy), AT_ONCE),
        (Mutex::new(waiting), WAITING_AT_ONCE),
    ];
    let workers = queues
        .iter()
        .flat_map(|(queue, workers)| (0..*workers).map(move |_| queue));
    let cases: Mutex<Vec<Case>> = Mutex::default();
    thread::scope(|scope| {
        for (worker, queue) in workers.enumerate() {
            let (world, files, cases) = (&world, &files, &cases);
            scope.spawn(move || {
                loop {
                    let Some(chain) = queue.lock().expect("no panic with it").pop_front() else {
                        return;
                    };
                    // What hangs ends in a panic, and is a case like any other.
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        run_chain(world, files, chain, worker + 1)
                    }));
                    let done = done.unwrap_or_else(|_| Done {
                        cases: vec![Case {
                            row: chain.row,
                            operation: Operation::Install,
                            unnoticed: false,
                            done: false,
                            wrong: Some("it hangs, see above".to_owned()),
                        }],
                        requests: Vec::new(),
                    });
                    for case in &done.cases {
                        if let Some(wrong) = &case.wrong {
                            support::tell(&format!(
                                "WRONG {} at {}, {}: {wrong}",
                                ROWS[case.row].words,
                                chain.at,
                                case.operation.word()
                            ));
                        }
                    }
                    let mut cases = cases.lock().expect("no panic with it");
                    if cases.len() / 100 != (cases.len() + done.cases.len()) / 100 {
                        support::tell(&format!(
                            "{} s: {} cases",
                            began.elapsed().as_secs(),
                            cases.len()
                        ));
                    }
                    cases.extend(done.cases);
                }
            });
        }
    });
    let cases = cases.into_inner().expect("no panic with it");
    let wrong = cases.iter().filter(|case| case.wrong.is_some()).count();
    support::tell(&table(&cases));
    support::tell(&format!(
        "{} cases in {total} chains, {wrong} wrong, {} s; requests: {:?}",
        cases.len(),
        began.elapsed().as_secs(),
        counted.requests
    ));
    assert_eq!(wrong, 0, "see above");
}

/// How thoroughly the table is run: each fault at every so many requests, or (`None`) at one.
fn every() -> Option<usize> {
    let faults = std::env::var("KUBECTL_FABRIC_FAULTS").ok()?;
    Some(if faults == "all" {
        1
    } else {
        faults
            .parse()
            .expect("KUBECTL_FABRIC_FAULTS is \"all\" or a number")
    })
}

/// The table in Markdown: cases per fault and operation, and in brackets those of which the user
/// did not notice anything.
fn table(cases: &[Case]) -> String {
    let mut counts: BTreeMap<(usize, Operation), Count> = BTreeMap::new();
    for case in cases {
        let count = counts.entry((case.row, case.operation)).or_default();
        count.cases += 1;
        count.unnoticed += usize::from(case.unnoticed);
        count.done += usize::from(case.done);
        count.failed += usize::from(case.wrong.is_some());
    }
    let mut lines = vec![
        "| fault | install | upgrade | rollback | uninstall |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for (row, spec) in ROWS.iter().enumerate() {
        let cells = Operation::ALL.map(|operation| match counts.get(&(row, operation)) {
            None => String::new(),
            Some(count) if count.failed > 0 => format!(
                "{} ({}), **{} WRONG**",
                count.cases, count.unnoticed, count.failed
            ),
            Some(count) => format!("{} ({})", count.cases, count.unnoticed),
        });
        lines.push(format!("| {} | {} |", spec.words, cells.join(" | ")));
    }
    lines.join("\n")
}

struct Done {
    cases: Vec<Case>,
    /// Requests of each operation.
    requests: Vec<usize>,
}

/// Runs the four operations on one release, with the fault in each of them. Ends early when
/// something is wrong.
fn run_chain(world: &World, files: &[PathBuf; 2], chain: Chain, worker: usize) -> Done {
    let fault = ROWS.get(chain.row).map_or(Fault::None, |row| row.fault);
    let flags = ROWS.get(chain.row).map_or(&[][..], |row| row.flags);
    let eyes = Eyes::new(&world.cluster);
    let namespace = world
        .cluster
        .namespace(&format!("w{worker}-{}-{}", chain.row % 100, chain.at));
    let release = Release {
        cluster: &world.cluster,
        namespace,
    };
    let values = &files[usize::from(chain.split)];
    let mut done = Done {
        cases: Vec::new(),
        requests: Vec::new(),
    };
    let mut claims = BTreeMap::new();
    let mut installed = 0;
    for operation in Operation::ALL {
        let (proxy, kubeconfig) = world.proxy(fault, chain.at);
        let invocation = release
            .operation(operation, values, installed)
            .args(flags)
            .env("KUBECONFIG", &kubeconfig);
        let watch = Members::watch(&world.cluster, &release.namespace, "node");
        let first = invocation.run_as(|process| proxy.serve(process));
        done.requests.push(proxy.seen());
        let struck = proxy.struck();
        proxy.settle();
        let mut wrong = Vec::new();
        let mut said = vec![first.clone()];
        let mut already = false;
        if first.status != Some(0) {
            let again = release.operation(operation, values, installed).run();
            already = operation == Operation::Install
                && again.status == Some(1)
                && again.stderr.contains("already exists");
            if again.status != Some(0) && !already {
                wrong.push(format!(
                    "the same command again ended with {:?}",
                    again.status
                ));
            }
            said.push(again);
            // Who is impatient may give up by himself.
            if !struck && flags.is_empty() {
                wrong.push("the command failed without a fault".to_owned());
            }
        }
        let mut seen = eyes.look(&release.namespace);
        // All was done but for the last request, which gives back the lock: the next run, whatever
        // it is, is not held up by it.
        let unlocked = struck && first.status == Some(0) && seen.leases() > 0;
        if already || unlocked {
            let next = match operation {
                Operation::Uninstall => release.operation(operation, values, installed).run(),
                _ => release.command("upgrade", &[]).run(),
            };
            if next.status != Some(0) {
                wrong.push(format!("the run after it ended with {:?}", next.status));
            }
            said.push(next);
            seen = eyes.look(&release.namespace);
        }
        let expected = operation.expected(chain.split);
        wrong.extend(seen.wrong(&expected));
        let moments = watch.finish();
        if operation != Operation::Uninstall
            && worst(&moments, |member| member.starts_with("node")) > 1
        {
            wrong.push(format!(
                "two nodes were down at the same moment: {moments:?}"
            ));
        }
        if seen.claims().len() < claims.len()
            || claims
                .iter()
                .any(|(name, uid)| seen.claims().get(name) != Some(uid))
        {
            wrong.push(format!("volumes were lost: {claims:?}"));
        }
        claims = seen.claims();
        if operation == Operation::Install {
            installed = seen.deployed().unwrap_or(0);
        }
        let failed = !wrong.is_empty();
        if struck || failed {
            let wrong = failed.then(|| {
                let request = proxy
                    .requests()
                    .get(chain.at.wrapping_sub(1))
                    .cloned()
                    .unwrap_or_default();
                let said: Vec<String> = said.iter().map(Output::told).collect();
                format!(
                    "{}\n  at request: {request}\n  history: {:?}\n  namespace: {}\n{}",
                    wrong.join("\n  "),
                    seen.history(),
                    release.namespace,
                    said.join("\n")
                )
            });
            done.cases.push(Case {
                row: chain.row,
                operation,
                unnoticed: first.status == Some(0),
                done: already,
                wrong,
            });
        }
        if failed {
            break;
        }
        if matches!(expected, Expected::Uninstalled) {
            break;
        }
    }
    done
}
