//! The real binary without a cluster: help, arguments, charts from folders, files that cannot be
//! read, streams and exit statuses.
//!
//! Cases are transcripts in `tests/cli/transcripts`, found by path. `BLESS=1` writes them anew from
//! what the program does; read what changed. In a transcript `$ ` begins a command, `! ` a line of
//! stderr, `? ` an exit status other than 0; the rest is stdout.

use kubectl_fabric::commands;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program in `tests/cli`, with nothing of the developer's surroundings: no kubeconfig, no
/// charts, no colours.
fn program(home: &Path) -> Command {
    program_of(env!("CARGO_BIN_EXE_kubectl-fabric"), home)
}

fn program_of(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("KUBECTL_FABRIC_DATA_HOME", home.join("data"));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli"))
        .stdin(Stdio::null());
    // The mutant that is on (tests/mutants).
    for name in ["KUBECTL_FABRIC_MUTANT", "KUBECTL_FABRIC_MUTANTS_SEEN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    program(home.path()).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[path = "cli/transcripts.rs"]
mod transcripts;

#[path = "cli/streams.rs"]
mod streams;

#[path = "cli/input.rs"]
mod input;

#[path = "cli/cluster.rs"]
mod cluster;

#[cfg(unix)]
#[path = "cli/plugins.rs"]
mod plugins;

#[path = "cli/templates.rs"]
mod templates;

#[path = "cli/completion.rs"]
mod completion;

#[test]
fn version_has_a_form_for_each_reader() {
    let number = concat!("v", env!("CARGO_PKG_VERSION"));
    assert!(stdout(&run(&["version", "--short"])).starts_with(number));
    assert!(stdout(&run(&["version"])).starts_with(&format!("kubectl-fabric {number} (")));
    let document: serde_json::Value =
        serde_json::from_slice(&run(&["version", "-o", "json"]).stdout).unwrap();
    assert_eq!(document["version"], number);
    assert_eq!(
        run(&["version", "--short"]).stdout,
        run(&["version", "--short", "-o", "table"]).stdout
    );
}

#[test]
fn wrong_arguments_are_reported_as_json_to_programs_that_read_json() {
    for (arguments, message, hint) in [
        (
            &["lsit", "-o", "json"][..],
            "unrecognized subcommand 'lsit'",
            "a similar subcommand exists: 'list'",
        ),
        (
            &["install", "--events", "json"],
            "the following required arguments were not provided: <RELEASE>",
            "Usage: kubectl fabric install --events <FORMAT> <RELEASE> [CHART]",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        let error: serde_json::Value =
            serde_json::from_str(&stderr(&output)).expect("one JSON object");
        assert_eq!(error["event"], "failed");
        assert_eq!(error["kind"], "user");
        assert_eq!(error["message"], message);
        assert_eq!(error["hints"][0], hint, "{error}");
    }
    let help = run(&["install", "-h", "-o", "json"]);
    assert!(stdout(&help).contains("Usage:"), "help stays help");
}
