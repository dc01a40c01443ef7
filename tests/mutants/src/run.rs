//! Runs the tests: once each to see what it evaluates, then with a mutant on.

use crate::tree::{Known, Tree, hash, is_slow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// What became of a mutant.
pub enum Fate {
    Killed(String),
    /// The test did not come to its end.
    Hung(String),
    Survived,
}

impl Fate {
    pub fn words(&self) -> String {
        match self {
            Fate::Killed(test) => test.clone(),
            Fate::Hung(test) => format!("{test} (did not end)"),
            Fate::Survived => "**survived**".to_owned(),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fate::Killed(_) => "killed",
            Fate::Hung(_) => "hung",
            Fate::Survived => "SURVIVED",
        })
    }
}

struct Test {
    binary: String,
    name: String,
    seconds: f64,
    evaluates: BTreeSet<usize>,
}

pub struct Tests {
    binaries: BTreeMap<String, PathBuf>,
    /// The fastest first.
    tests: Vec<Test>,
}

impl Tests {
    /// Runs each test alone. What a test evaluates is remembered for as long as the mutants are the
    /// same; `FRESH=1` forgets it, and `FRESH=0` leaves out the tests of which it is not known.
    /// `SKIP` leaves out those whose names contain it.
    pub fn record(tree: &Tree, mutants: &BTreeMap<usize, Known>, binaries: BTreeMap<String, PathBuf>, jobs: usize) -> Tests {
        let all: String = mutants.iter().map(|(number, it)| format!("{number} {} {}\n", it.file, it.what)).collect();
        let seen = tree.work.join(format!("seen-{:016x}", hash(&all)));
        if std::env::var("FRESH").is_ok_and(|fresh| fresh == "1") {
            let _ = fs::remove_dir_all(&seen);
        }
        let only_known = std::env::var("FRESH").is_ok_and(|fresh| fresh == "0");
        let skipped = std::env::var("SKIP").unwrap_or_default();
        let mut queue = Vec::new();
        for (binary, path) in &binaries {
            fs::create_dir_all(seen.join(binary)).expect("a folder");
            let list = Command::new(path).args(["--list", "--format", "terse"]).output().expect("a list of tests");
            let list = String::from_utf8_lossy(&list.stdout).into_owned();
            let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
            let names = names.filter(|name| skipped.is_empty() || !name.contains(&skipped));
            queue.extend(names.map(|name| (binary.clone(), name.to_owned())));
        }
        eprintln!("mutants: {} tests, each run once", queue.len());
        let (queue, tests) = (Mutex::new(queue), Mutex::new(Vec::new()));
        in_parallel(jobs, || {
            let (binary, name) = queue.lock().expect("no panic with it").pop()?;
            let file = seen.join(&binary).join(name.replace("::", "-"));
            let (took, noted) = (file.with_extension("seconds"), file.with_extension("seen"));
            if !took.exists() && only_known {
                return Some(());
            }
            if !took.exists() {
                let _ = fs::remove_file(&noted);
                let began = Instant::now();
                let run = Run { path: &binaries[&binary], root: &tree.root, limit: Duration::from_secs(600) };
                let end = run.end(&[&name], &[("KUBECTL_FABRIC_MUTANTS_SEEN", &noted.display().to_string())]);
                match end {
                    End::Passed => fs::write(&took, began.elapsed().as_secs_f64().to_string()).expect("a file"),
                    _ => {
                        eprintln!("mutants: {binary} {name} fails without any mutant, and is left out");
                        return Some(());
                    }
                }
            }
            let seconds = fs::read_to_string(&took).ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
            let evaluates = fs::read_to_string(&noted).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect();
            tests.lock().expect("no panic with it").push(Test { binary, name, seconds, evaluates });
            Some(())
        });
        let mut tests = tests.into_inner().expect("no panic with it");
        tests.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        Tests { binaries, tests }
    }

    /// Those that evaluate a mutant, the fastest first.
    fn evaluating(&self, mutant: usize) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(move |test| test.evaluates.contains(&mutant))
    }

    pub fn of(&self, mutant: usize) -> Vec<&str> {
        self.evaluating(mutant).map(|test| test.name.as_str()).collect()
    }

    /// Runs the tests of each of these mutants until one fails.
    pub fn judge(
        &self,
        tree: &Tree,
        mutants: &[usize],
        jobs: usize,
        tell: impl Fn(usize, &Fate) + Sync,
    ) -> BTreeMap<usize, Fate> {
        let (queue, fates) = (Mutex::new(mutants.iter().rev().copied().collect::<Vec<_>>()), Mutex::new(BTreeMap::new()));
        in_parallel(jobs, || {
            let mutant = queue.lock().expect("no panic with it").pop()?;
            let fate = self.fate(tree, mutant);
            tell(mutant, &fate);
            fates.lock().expect("no panic with it").insert(mutant, fate);
            Some(())
        });
        fates.into_inner().expect("no panic with it")
    }

    fn fate(&self, tree: &Tree, mutant: usize) -> Fate {
        let number = mutant.to_string();
        let on = [("KUBECTL_FABRIC_MUTANT", number.as_str())];
        let run = |binary: &str, names: &[&str], seconds: f64| {
            let limit = Duration::from_secs_f64(60.0 + 4.0 * seconds);
            Run { path: &self.binaries[binary], root: &tree.root, limit }.end(names, &on)
        };
        // Tests that need no cluster take less than their start: all at once.
        for binary in self.binaries.keys().filter(|binary| !is_slow(binary)) {
            let tests: Vec<&Test> = self.evaluating(mutant).filter(|test| test.binary == *binary).collect();
            if tests.is_empty() {
                continue;
            }
            let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
            match run(binary, &names, tests.iter().map(|test| test.seconds).sum()) {
                End::Passed => {}
                End::Failed(test) => return Fate::Killed(test),
                End::Hung => return Fate::Hung(binary.clone()),
            }
        }
        for test in self.evaluating(mutant).filter(|test| is_slow(&test.binary)) {
            // On a busy machine a test may fail for its own reasons: one failure is none.
            let again = || run(&test.binary, &[&test.name], test.seconds);
            match again() {
                End::Passed => continue,
                _ => match again() {
                    End::Passed => continue,
                    End::Failed(_) => return Fate::Killed(test.name.clone()),
                    End::Hung => return Fate::Hung(test.name.clone()),
                },
            }
        }
        Fate::Survived
    }
}

enum End {
    Passed,
    /// The first test that failed.
    Failed(String),
    Hung,
}

/// How tests of one binary are run.
struct Run<'a> {
    path: &'a Path,
    root: &'a Path,
    limit: Duration,
}

impl Run<'_> {
    fn end(&self, names: &[&str], variables: &[(&str, &str)]) -> End {
        // A mutant may take all the memory that there is.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -d 4000000; exec \"$0\" \"$@\"", &self.path.display().to_string()]);
        command.args(names).args(["--exact", "--test-threads=2"]).envs(variables.iter().copied()).current_dir(self.root);
        command.env("KUBECTL_FABRIC_REQUIRE_CLUSTER", "1").process_group(0);
        let output = tempfile();
        let file = || Stdio::from(fs::File::options().append(true).create(true).open(&output).expect("a file"));
        let mut child = command.stdin(Stdio::null()).stdout(file()).stderr(file()).spawn().expect("sh");
        let deadline = Instant::now() + self.limit;
        let status = loop {
            match child.try_wait().expect("a child of ours") {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => {
                    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
                    let _ = child.wait();
                    break None;
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let said = String::from_utf8_lossy(&fs::read(&output).unwrap_or_default()).into_owned();
        let _ = fs::remove_file(&output);
        match status {
            Some(status) if status.success() => End::Passed,
            Some(_) => {
                let failed = said.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
                // An abort ends all tests at once.
                End::Failed(failed.unwrap_or(names[0]).to_owned())
            }
            None => End::Hung,
        }
    }
}

fn tempfile() -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("kubectl-fabric-mutants-{}-{number}", std::process::id()))
}

/// Runs `work` in so many threads until there is no more.
fn in_parallel(jobs: usize, work: impl Fn() -> Option<()> + Sync) {
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| while work().is_some() {});
        }
    });
}
