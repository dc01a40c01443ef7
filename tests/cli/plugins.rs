//! Kubeconfigs whose credential plugin is a program of somebody else's: it is run as kubectl runs
//! it, or not at all.

use super::*;
use std::os::unix::fs::PermissionsExt;

struct Home(tempfile::TempDir);

impl Home {
    /// A home folder with a kubeconfig of two users: `plugin`, with this entry, is that of the
    /// current context.
    fn new(entry: &str) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        fs::create_dir_all(home.path(".kube/bin")).unwrap();
        home.program(".kube/bin/plugin");
        let config = format!(
            r#"{{"current-context": "plugin",
                "clusters": [{{"name": "c", "cluster": {{"server": "http://127.0.0.1:1"}}}}],
                "users": [{{"name": "plugin", "user": {{"exec": {{"apiVersion": "client.authentication.k8s.io/v1", {entry}}}}}}},
                          {{"name": "plain", "user": {{"token": "t"}}}}],
                "contexts": [{{"name": "plugin", "context": {{"cluster": "c", "user": "plugin"}}}},
                             {{"name": "plain", "context": {{"cluster": "c", "user": "plain"}}}}]}}"#
        );
        fs::write(home.path(".kube/config"), config).unwrap();
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A plugin that gives a token and leaves a line for each time it is run.
    fn program(&self, path: &str) {
        let answer = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}"#;
        let script = format!(
            "#!/bin/sh\necho ran >>'{}'\necho '{answer}'\n",
            self.path("runs").display()
        );
        fs::write(self.path(path), script).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// The program with this home folder, in a folder of its own.
    fn run(&self, path: &str, arguments: &[&str]) -> Output {
        let mut command = program(self.0.path());
        command
            .current_dir(self.0.path())
            .env("PATH", path)
            .args(arguments)
            .output()
            .unwrap()
    }
}

const BESIDE: &str = r#""command": "./bin/plugin", "interactiveMode": "Never""#;
const PATH: &str = "/usr/bin:/bin";

#[test]
fn a_plugin_beside_the_kubeconfig_is_run_once_per_command_that_asks_a_cluster() {
    let home = Home::new(BESIDE);
    // A list of all namespaces asks more than once: what may be seen, then what there is.
    let answers = &[("200 OK", r#"{"metadata": {}, "items": []}"#)];
    let server = cluster::server(answers);
    let output = home.run(PATH, &["list", "--server", &server]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(home.runs(), 1);
    let output = home.run(PATH, &["install", "org1"]);
    assert_eq!(
        (output.status.code(), home.runs()),
        (Some(1), 2),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_plugin_is_not_run_for_what_needs_no_cluster_nor_for_another_user() {
    let home = Home::new(BESIDE);
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/tiny")
        .display()
        .to_string();
    for arguments in [
        &["template", "org1", &tiny][..],
        &["lint", &tiny],
        &["version"],
        &["charts", "list"],
        &["charts", "show", "peer-org"],
        &["completion", "bash"],
        &["values", "explain", "org1"],
        &["help", "install"],
    ] {
        let output = home.run(PATH, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    for flags in [
        &["--context", "plain"][..],
        &["--user", "plain"],
        &["--token", "t"],
    ] {
        let output = home.run(PATH, &[&["list"], flags].concat());
        assert!(
            stderr(&output).contains("connection refused"),
            "{flags:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(home.runs(), 0);
}

#[test]
fn a_command_is_the_name_of_one_program_and_no_line_for_a_shell() {
    let home = Home::new(r#""command": "sh -c 'touch pwned'", "interactiveMode": "Never""#);
    let output = home.run(PATH, &["list"]);
    let expected = "the credential plugin \"sh -c 'touch pwned'\" returned no credentials";
    assert!(
        stderr(&output).contains(expected) && stderr(&output).contains("it is not installed"),
        "{}",
        stderr(&output)
    );
    assert!(!home.path("pwned").exists() && !home.path(".kube/pwned").exists());
    let home = Home::new(
        r#""command": "./bin/plugin", "args": ["$(touch pwned)", "; touch pwned"], "interactiveMode": "Never""#,
    );
    home.run(PATH, &["list"]);
    assert!(home.runs() == 1 && !home.path("pwned").exists());
}

#[test]
fn a_bare_name_is_never_found_in_the_current_folder() {
    let home = Home::new(
        r#""command": "plugin", "env": [{"name": "PATH", "value": "/tmp:."}], "interactiveMode": "Never""#,
    );
    home.program("plugin");
    for (path, why) in [
        (PATH, "it is not installed"),
        (".:/bin", "in the current directory"),
        (":/bin", "in the current directory"),
    ] {
        let output = home.run(path, &["list"]);
        assert!(stderr(&output).contains(why), "{path}: {}", stderr(&output));
    }
    assert_eq!(home.runs(), 0);
    let output = home.run(
        &format!("{}:/usr/bin:/bin", home.path(".kube/bin").display()),
        &["list"],
    );
    assert!(
        stderr(&output).contains("connection refused") && home.runs() == 1,
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_plugin_that_must_talk_is_refused_where_there_is_no_terminal() {
    let home = Home::new(r#""command": "./bin/plugin", "interactiveMode": "Always""#);
    let output = home.run(PATH, &["list"]);
    assert_eq!((output.status.code(), home.runs()), (Some(1), 0));
    assert!(
        stderr(&output).contains("standard input is not a terminal"),
        "{}",
        stderr(&output)
    );
}
