//! The test cluster, and the programs that tests run against it.
//!
//! [`cluster`] joins the cluster that this checkout's tests share, or starts it
//! (`tests/cluster/cluster up --sim`, a few seconds once its parts are built). It lives on between
//! test binaries and goes down by itself when no test has used it for a while. A test gets its own
//! corner of it: a network name that no other test has, a kubeconfig, an empty home folder. The
//! environment and the kubeconfig of whoever runs the tests are never looked at.
//!
//! ```ignore
//! #[test]
//! fn install_makes_a_namespace() {
//!     let Some(cluster) = support::cluster() else { return };
//!     cluster.fabric().args(["install", "org1", "--network", cluster.network()]).run().success();
//!     assert!(cluster.get("namespace", &cluster.namespace("org1"), None).is_some());
//! }
//! ```
#![allow(
    dead_code,
    reason = "each test binary uses its own part of the harness"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub mod guide;
pub mod members;

/// The longest that anything may take; far above what it does take, so that only a hang reaches it,
/// and above the plugin's own `--timeout`, so that a hang is told in its words.
const PATIENCE: Duration = Duration::from_secs(360);

/// How long the shared cluster outlives its last user, in seconds.
const IDLE_STOP: &str = "300";

/// The exit status of `tests/cluster/cluster` where the machine lacks what it needs
/// (`EX_UNAVAILABLE` of sysexits.h).
pub const UNAVAILABLE: i32 = 69;

/// Returns a test's corner of the shared cluster, or nothing where no control plane can be had.
///
/// With `CI=true` or `KUBECTL_FABRIC_REQUIRE_CLUSTER=1` nothing is skipped: the test fails instead.
pub fn cluster() -> Option<Cluster> {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    enter(SHARED.get_or_init(|| Shared::join("test")))
}

/// Returns a cluster in which nobody else is for as long as it is held, and nothing of these
/// namespaces: for releases whose namespaces have fixed names, since certificates name them.
pub fn cluster_alone(namespaces: &[&str]) -> Option<(Cluster, Turn)> {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let cluster = enter(SHARED.get_or_init(|| Shared::join("test-alone")))?;
    let turn = File::create(cluster.dir.with_extension("turn")).expect("a lock beside the cluster");
    turn.lock().expect("a lock on it");
    cluster
        .kubectl()
        .args(["delete", "namespace", "--ignore-not-found"])
        .args(namespaces)
        .run()
        .success();
    Some((cluster, Turn(turn)))
}

/// Returns a cluster of this name that the caller may break: no other test uses it.
pub fn cluster_to_break(name: &'static str) -> Option<Cluster> {
    static BROKEN: OnceLock<Result<Shared, String>> = OnceLock::new();
    enter(BROKEN.get_or_init(|| Shared::join(name)))
}

/// Being alone in a cluster; dropped, the next one is.
pub struct Turn(#[expect(dead_code, reason = "only its lock matters")] File);

fn enter(shared: &Result<Shared, String>) -> Option<Cluster> {
    match shared {
        Ok(shared) => Some(Cluster::new(&shared.dir)),
        Err(reason) if cluster_is_required() => panic!("no test cluster: {reason}"),
        Err(_) => None,
    }
}

/// Tells whether a missing control plane is a failure.
pub fn cluster_is_required() -> bool {
    let set = |name, value| std::env::var(name).is_ok_and(|found| found == value);
    set("CI", "true") || set("KUBECTL_FABRIC_REQUIRE_CLUSTER", "1")
}

/// Returns the script of the test cluster, ready for its arguments.
pub fn cluster_script() -> Command {
    let mut command = Command::new("bash");
    command.arg(repository().join("tests/cluster/cluster"));
    command
}

/// Returns the root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cluster that all tests of this checkout share, held up by a shared lock for as long as this
/// process lives.
struct Shared {
    dir: PathBuf,
    _in_use: File,
}

impl Shared {
    fn join(name: &str) -> Result<Self, String> {
        let shared = Self::try_join(name);
        if let Err(reason) = &shared {
            tell(&format!(
                "skipped: every test that needs a control plane ({reason})"
            ));
        }
        shared
    }

    fn try_join(name: &str) -> Result<Self, String> {
        let script = |args: &[&str]| {
            let run = cluster_script()
                .args(args)
                .env("CLUSTER_NAME", name)
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output();
            run.map_err(|error| format!("bash does not run: {error}"))
        };
        let dir = PathBuf::from(String::from_utf8_lossy(&script(&["dir"])?.stdout).trim_end());

        // Before `up`: from here on the cluster does not go down by itself.
        let lock = dir.with_file_name(format!(
            "{}.use",
            dir.file_name()
                .expect("a folder of its own")
                .to_string_lossy()
        ));
        fs::create_dir_all(lock.parent().expect("below the cache folder"))
            .map_err(|error| format!("{}: {error}", lock.display()))?;
        let in_use = File::options()
            .create(true)
            .append(true)
            .open(&lock)
            .map_err(|error| format!("{}: {error}", lock.display()))?;
        in_use
            .lock_shared()
            .map_err(|error| format!("{}: {error}", lock.display()))?;

        let status = script(&["up", "--sim", "--idle-stop", IDLE_STOP])?.status;
        match status.code() {
            Some(0) => Ok(Self {
                dir,
                _in_use: in_use,
            }),
            Some(UNAVAILABLE) => Err("this machine lacks what it needs, see above".into()),
            _ => panic!("the test cluster did not start ({status}), see above"),
        }
    }
}

/// One test's corner of the cluster.
pub struct Cluster {
    dir: PathBuf,
    network: String,
    home: TempDir,
}

impl Cluster {
    /// Enters the running cluster whose state is in `dir`.
    pub fn new(dir: &Path) -> Self {
        let home = tempfile::Builder::new()
            .prefix("kubectl-fabric-")
            .tempdir()
            .expect("a temporary folder");
        fs::copy(dir.join("kubeconfig"), home.path().join("kubeconfig"))
            .expect("the cluster's kubeconfig");
        fs::create_dir(home.path().join("home")).expect("an empty home folder");
        Self {
            dir: dir.to_owned(),
            network: format!("t{:08x}", RandomState::new().hash_one(0) as u32),
            home,
        }
    }

    /// The folder of the cluster's state: logs, pid files, addresses.
    pub fn state(&self) -> &Path {
        &self.dir
    }

    /// Stops or starts a part of the cluster, such as `apiserver`.
    pub fn part(&self, verb: &str, part: &str) {
        let done = cluster_script()
            .args([verb, part])
            .env("CLUSTER_DIR", &self.dir)
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "cluster {verb} {part}"
        );
    }

    /// Returns a network name (`--network`) that no other test has.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Returns the namespace of release `name` in this test's network, such as `org1-t1f3a90c2`. It
    /// makes nothing.
    pub fn namespace(&self, name: &str) -> String {
        format!("{name}-{}", self.network)
    }

    /// Creates the namespace of release `name` and returns its full name.
    pub fn create_namespace(&self, name: &str) -> String {
        let namespace = self.namespace(name);
        self.kubectl()
            .args(["create", "namespace", &namespace])
            .run()
            .success();
        namespace
    }

    /// Returns this test's kubeconfig: contexts `admin` (the current one), `viewer`, `editor` and
    /// `nobody`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    /// Returns a folder for this test's files, removed with it.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Returns the plugin, ready for its arguments.
    pub fn fabric(&self) -> Invocation {
        self.invoke(env!("CARGO_BIN_EXE_kubectl-fabric"))
    }

    /// Returns kubectl, ready for its arguments: the tests' second pair of eyes.
    pub fn kubectl(&self) -> Invocation {
        self.invoke(self.dir.join("kubectl"))
    }

    /// Returns a line of bash, which has both on its path.
    pub fn shell(&self, line: &str) -> Invocation {
        let bin = self.home.path().join("bin");
        if !bin.exists() {
            fs::create_dir(&bin).expect("a folder");
            std::os::unix::fs::symlink(
                env!("CARGO_BIN_EXE_kubectl-fabric"),
                bin.join("kubectl-fabric"),
            )
            .expect("a link");
            std::os::unix::fs::symlink(self.dir.join("kubectl"), bin.join("kubectl"))
                .expect("a link");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        self.invoke("bash")
            .env("PATH", format!("{}:{path}", bin.display()))
            .args(["-c", line])
    }

    fn invoke(&self, program: impl AsRef<OsStr>) -> Invocation {
        let mut command = isolated(program, &self.home.path().join("home"));
        command
            .env("KUBECONFIG", self.kubeconfig())
            .current_dir(self.folder());
        Invocation {
            command,
            stdin: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Applies YAML as kubectl does, into `namespace`.
    pub fn apply(&self, namespace: &str, yaml: &str) {
        // kubectl before 1.33 takes what begins with a brace for JSON.
        self.kubectl()
            .args(["apply", "-n", namespace, "-f", "-"])
            .stdin(format!("---\n{yaml}"))
            .run()
            .success();
    }

    /// Reads one object, if it is there.
    pub fn get(&self, kind: &str, name: &str, namespace: Option<&str>) -> Option<Value> {
        let scope = namespace.map(|namespace| ["--namespace", namespace]);
        let output = self
            .kubectl()
            .args(["get", kind, name, "--ignore-not-found", "-o", "json"])
            .args(scope.iter().flatten());
        let output = output.run().success();
        (!output.stdout.trim().is_empty()).then(|| output.json())
    }

    /// Reads the objects of one kind (or several, with commas) in a namespace.
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let mut list = self
            .kubectl()
            .args(["get", kind, "--namespace", namespace, "-o", "json"])
            .run()
            .success()
            .json();
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("kubectl get {kind}: expected a list, got {other}"),
        }
    }

    /// Returns what `work` asked of the API server in this test's namespaces, in the order of the
    /// answers. kubectl's own requests, and reads over all namespaces, are not among them.
    pub fn requests(&self, work: impl FnOnce()) -> Vec<Request> {
        let path = self.dir.join("audit.log");
        let start = fs::metadata(&path).expect("the audit log").len();
        work();
        // An answer can be on its way a little before its line is in the log: wait for the line of
        // a later request.
        let mark = format!("/version?{}-{start}", self.network);
        self.kubectl().args(["get", "--raw", &mark]).run().success();
        let log = until("the audit log to be written", || {
            let mut log = String::new();
            let mut file = File::open(&path).expect("the audit log");
            file.seek(SeekFrom::Start(start))
                .expect("a file that only grows");
            file.read_to_string(&mut log)
                .expect("the audit log is text");
            log.contains(&mark).then_some(log)
        });
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .filter_map(|event| Request::of(&event))
            .filter(|request| request.scope().ends_with(&self.network))
            .collect()
    }
}

/// One request that the API server answered, from its audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Plural, with the subresource if there is one: `statefulsets`, `pods/log`.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub dry_run: bool,
    /// HTTP status of the answer.
    pub code: u64,
}

impl Request {
    fn of(event: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // kubectl calls itself "kubectl/v1...", the plugin does not.
        if text(&event["userAgent"]).starts_with("kubectl/") {
            return None;
        }
        let object = event.get("objectRef")?;
        let resource = match text(&object["subresource"]) {
            subresource if subresource.is_empty() => text(&object["resource"]),
            subresource => format!("{}/{subresource}", text(&object["resource"])),
        };
        Some(Self {
            verb: text(&event["verb"]),
            resource,
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            dry_run: text(&event["requestURI"]).contains("dryRun=All"),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        })
    }

    /// Tells whether it changed something, or would have.
    pub fn writes(&self) -> bool {
        !self.dry_run
            && matches!(
                self.verb.as_str(),
                "create" | "update" | "patch" | "delete" | "deletecollection"
            )
    }

    /// The namespace it is about, which for a namespace is itself.
    fn scope(&self) -> &str {
        if self.namespace.is_empty() {
            &self.name
        } else {
            &self.namespace
        }
    }
}

/// Returns a command that sees nothing of the environment but `PATH`, and `home` as the home
/// folder.
pub fn isolated(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home);
    // Beside PATH: where coverage data goes, what Windows programs do not start without, and the
    // mutant that is on (tests/mutants).
    for name in [
        "PATH",
        "LLVM_PROFILE_FILE",
        "SystemRoot",
        "TMPDIR",
        "KUBECTL_FABRIC_MUTANT",
        "KUBECTL_FABRIC_MUTANTS_SEEN",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A program about to run.
pub struct Invocation {
    command: Command,
    stdin: Vec<u8>,
    patience: Duration,
}

impl Invocation {
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Lets it take longer than anything else may.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts it and leaves it running; its output is piped, its input empty. For tests that
    /// interrupt it.
    pub fn spawn(mut self) -> Child {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Runs it to its end, and once it has said these words on stderr, hands its process id to
    /// `then`.
    pub fn run_until(mut self, words: &str, then: impl FnOnce(u32)) -> Output {
        let shown = format!("{:?}", self.command.get_program())
            + &self
                .command
                .get_args()
                .map(|arg| format!(" {arg:?}"))
                .collect::<String>();
        let command = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let stdout = read_in_background(child.stdout.take().expect("piped"));
        let (mut stderr, mut then) = (String::new(), Some(then));
        for line in BufReader::new(child.stderr.take().expect("piped")).lines() {
            let line = line.expect("programs print UTF-8");
            if let Some(then) = then.take_if(|_| line.contains(words)) {
                then(child.id());
            }
            stderr.push_str(&line);
            stderr.push('\n');
        }
        let status = child.wait().expect("a child of ours").code();
        Output {
            command: shown,
            status,
            stdout: stdout.join().expect("text"),
            stderr,
        }
    }

    /// Runs it to its end, whatever that is.
    pub fn run(self) -> Output {
        self.run_as(|_| ())
    }

    /// Runs it to its end, and tells its process id as soon as it has one.
    pub fn run_as(mut self, tell: impl FnOnce(u32)) -> Output {
        let shown = format!("{:?}", self.command.get_program())
            + &self
                .command
                .get_args()
                .map(|arg| format!(" {arg:?}"))
                .collect::<String>();
        let command = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        tell(child.id());
        let mut stdin = child.stdin.take().expect("piped");
        let (text, patience) = (self.stdin, self.patience);
        // A program that ends without reading its input breaks the pipe, and may.
        thread::spawn(move || drop(stdin.write_all(&text)));
        let stdout = read_in_background(child.stdout.take().expect("piped"));
        let stderr = read_in_background(child.stderr.take().expect("piped"));
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break status.code();
            }
            if Instant::now() > deadline {
                child.kill().expect("a child of ours");
                let (stdout, stderr) = (stdout.join().expect("text"), stderr.join().expect("text"));
                panic!(
                    "{shown}: still running after {patience:?}\n--- stdout\n{stdout}--- stderr\n{stderr}"
                );
            }
            thread::sleep(Duration::from_millis(5));
        };
        Output {
            command: shown,
            status,
            stdout: stdout.join().expect("text"),
            stderr: stderr.join().expect("text"),
        }
    }
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8(bytes).expect("programs print UTF-8")
    })
}

/// How a program ended, and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    command: String,
    /// The exit status; none where a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Asserts that it ended well.
    #[track_caller]
    pub fn success(self) -> Self {
        self.exits(0)
    }

    /// Asserts its exit status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        if self.status != Some(status) {
            let Self {
                command,
                status: found,
                stdout,
                stderr,
            } = &self;
            panic!(
                "{command}: expected exit status {status}, got {found:?}\n--- stdout\n{stdout}--- stderr\n{stderr}"
            );
        }
        self
    }

    /// All of it in words, for a report.
    pub fn told(&self) -> String {
        format!(
            "{}: exit status {:?}\n--- stdout\n{}--- stderr\n{}",
            self.command, self.status, self.stdout, self.stderr
        )
    }

    /// Reads its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error} in\n{}", self.command, self.stdout))
    }
}

/// Prints a line straight to the terminal: the harness of `cargo test` hides what passing tests
/// print.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Waits until `look` finds what it looks for, under a generous limit.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
