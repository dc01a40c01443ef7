//! Runs one program and tells its time, its processor time and its peak memory.
//!
//! It is run from a small process of its own (`compare measure ...`), because Linux counts the
//! memory of whoever starts a program as that program's, until it has grown beyond it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use wait4::Wait4;

/// What one run of a program took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    pub seconds: f64,
    /// Processor time, user and system together.
    pub cpu: f64,
    /// Peak memory in bytes.
    pub peak: u64,
    /// Exit status; absent when a signal ended it.
    pub code: Option<i32>,
    /// What it asked of the API server, by verb.
    #[serde(default)]
    pub requests: BTreeMap<String, u64>,
}

/// `compare measure STDOUT STDERR PROGRAM ARGUMENT...`
pub fn measure(words: Vec<String>) {
    let [stdout, stderr, program, arguments @ ..] = &words[..] else {
        panic!("measure STDOUT STDERR PROGRAM ...")
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(File::create(stdout).expect("a file for its output"));
    command.stderr(File::create(stderr).expect("a file for its errors"));
    let began = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let used = child.wait4().expect("a child of ours");
    let figure = Figure {
        seconds: began.elapsed().as_secs_f64(),
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak: used.rusage.maxrss,
        code: used.status.code(),
        requests: BTreeMap::new(),
    };
    println!("{}", serde_json::to_string(&figure).expect("plain data"));
}

/// Runs a program in `folder`, where its output is left as `stdout` and `stderr`; both are shown
/// when it fails.
pub fn run(command: &[OsString], environment: &[(&str, OsString)], folder: &Path) -> Figure {
    std::fs::create_dir_all(folder).expect("a folder for its output");
    let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
    let mut measured = Command::new(std::env::current_exe().expect("this program has a path"));
    measured
        .arg("measure")
        .args([&stdout, &stderr])
        .args(command)
        .current_dir(folder);
    measured.env_clear().env("HOME", folder);
    for name in ["PATH", "TMPDIR"] {
        measured.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let output = measured
        .envs(environment.iter().cloned())
        .stderr(Stdio::inherit())
        .output()
        .expect("this program starts");
    let figure: Figure = serde_json::from_slice(&output.stdout).expect("a figure");
    if figure.code != Some(0) {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        eprintln!(
            "{command:?} ended with {:?}\n{}{}",
            figure.code,
            text(stdout),
            text(stderr)
        );
    }
    figure
}
