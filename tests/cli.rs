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

mod transcripts {
    use super::*;

    #[test]
    fn every_transcript_is_what_the_program_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts");
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let mut wrong = Vec::new();
        for file in files {
            let expected = fs::read_to_string(&file).unwrap();
            let actual = play(&expected);
            if actual == expected {
                continue;
            }
            if std::env::var_os("BLESS").is_some() {
                fs::write(&file, actual).unwrap();
            } else {
                let diff = similar::TextDiff::from_lines(&expected, &actual)
                    .unified_diff()
                    .to_string();
                wrong.push(format!("{}\n{diff}", file.display()));
            }
        }
        assert!(
            wrong.is_empty(),
            "{}\nBLESS=1 takes these over",
            wrong.join("\n")
        );
    }

    /// Runs the commands of a transcript and writes it as it is now. Lines before the first command
    /// are comments.
    fn play(transcript: &str) -> String {
        let home = tempfile::tempdir().unwrap();
        let head = transcript
            .lines()
            .take_while(|line| !line.starts_with("$ "))
            .map(|line| format!("{line}\n"));
        let mut text: String = head.collect();
        for line in transcript.lines().filter(|line| line.starts_with("$ ")) {
            let words = words(line.strip_prefix("$ kubectl fabric").unwrap());
            let (words, input) = match words.iter().position(|word| word == "<") {
                Some(at) => (&words[..at], Some(&words[at + 1])),
                None => (&words[..], None),
            };
            let mut command = program(home.path());
            command.args(words);
            if let Some(file) = input {
                command.stdin(
                    fs::File::open(
                        Path::new(env!("CARGO_MANIFEST_DIR"))
                            .join("tests/cli")
                            .join(file),
                    )
                    .unwrap(),
                );
            }
            let output = command.output().unwrap();
            text.push_str(&format!("{line}\n{}", stdout(&output)));
            if !text.ends_with('\n') {
                text.push('\n');
            }
            for line in stderr(&output).lines() {
                text.push_str(&format!("{}\n", format!("! {line}").trim_end()));
            }
            match output.status.code() {
                Some(0) => {}
                status => text.push_str(&format!("? {}\n", status.unwrap_or(-1))),
            }
        }
        text
    }

    /// Splits as a shell does, as far as transcripts need it: blanks, and single quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted, mut word) = (Vec::new(), false, None::<String>);
        for character in line.chars() {
            match character {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take()),
                other => word.get_or_insert_default().push(other),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn the_help_of_every_verb_is_in_a_transcript() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts/help.txt");
        let text = fs::read_to_string(path).unwrap();
        for verb in commands::command()
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
        {
            let line = format!("$ kubectl fabric {} -h\n", verb.get_name());
            assert!(text.contains(&line), "add to help.txt: {line}");
        }
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let home = tempfile::tempdir().unwrap();
        for arguments in [
            &["install", "--help"][..],
            &["template", "org1", "./tiny"],
            &["version"],
            &["list", "-h"],
        ] {
            let mut child = program(home.path())
                .args(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdout.take());
            let output = child.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                stderr(&output)
            );
            assert!(
                !stderr(&output).contains("bug") && !stderr(&output).contains("error"),
                "{}",
                stderr(&output)
            );
        }
    }

    #[test]
    fn nobody_who_reads_errors_is_no_panic() {
        let home = tempfile::tempdir().unwrap();
        let mut child = program(home.path())
            .args(["template", "Org_1"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported() {
        let home = tempfile::tempdir().unwrap();
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = program(home.path())
            .args(["template", "org1", "./tiny"])
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("cannot write the result to standard output"),
            "{}",
            stderr(&output)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn help_that_cannot_be_written_is_no_success() {
        let home = tempfile::tempdir().unwrap();
        for arguments in [&["--help"][..], &["install", "-h"], &["--version"]] {
            let full = fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap();
            let output = program(home.path())
                .args(arguments)
                .stdout(full)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(
                stderr(&output).contains("cannot write the result"),
                "{}",
                stderr(&output)
            );
        }
    }

    /// A disk that is full in the middle of a file, by way of the shell's limit on the size of
    /// files.
    #[cfg(target_os = "linux")]
    fn with_small_files(home: &Path, arguments: &[&str]) -> Output {
        let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"";
        let mut shell = program_of("sh", home);
        shell
            .current_dir(home)
            .args(["-c", script, env!("CARGO_BIN_EXE_kubectl-fabric")])
            .args(arguments)
            .output()
            .unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_fills_up_leaves_no_half_a_chart_and_is_reported_which_file_is_not_whole() {
        let home = tempfile::tempdir().unwrap();
        let output = with_small_files(
            home.path(),
            &["charts", "export", "peer-org", "-d", "chart"],
        );
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("now: nothing was written"),
            "{}",
            stderr(&output)
        );
        assert!(!home.path().join("chart").exists());
        let output = with_small_files(home.path(), &["template", "org1", "--output-dir", "out"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("1 of 5 files were written below \"out\""),
            "{}",
            stderr(&output)
        );
        let there: Vec<_> = fs::read_dir(home.path().join("out/peer-org/templates"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(
            there.len(),
            1,
            "one file is whole, and nothing is left of the other: {there:?}"
        );
    }

    #[test]
    fn what_files_and_servers_say_does_not_steer_the_terminal() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("steer.yaml"), "\"a\\e]0;title\\a\": 1\n").unwrap();
        let output = program(home.path())
            .current_dir(home.path())
            .args(["template", "org1", "-f", "steer.yaml"])
            .output()
            .unwrap();
        assert!(
            stderr(&output).contains("unknown key"),
            "{}",
            stderr(&output)
        );
        assert!(
            !output.stderr.contains(&0x1b) && !output.stderr.contains(&0x07),
            "{}",
            stderr(&output)
        );
    }

    #[test]
    fn the_result_is_on_stdout_and_the_rest_on_stderr() {
        let output = run(&["template", "org1", "./tiny"]);
        assert!(stdout(&output).starts_with("---\n# Source: tiny/templates/"));
        assert!(stderr(&output).contains("--show-secrets"));
    }

    #[test]
    fn nothing_is_coloured_in_a_pipe() {
        for arguments in [
            &["lint", "./tiny", "./nowhere"][..],
            &["--help"],
            &["frobnicate"],
        ] {
            let output = run(arguments);
            assert!(
                !output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn a_secret_of_the_chart_is_in_no_output_unless_asked_for() {
        for arguments in [
            &["template", "org1", "./tiny"][..],
            &["template", "org1", "./tiny", "-o", "json"],
            &[
                "template",
                "org1",
                "./tiny",
                "--set",
                "owner.name=7,owner.password=swordfish-flag",
            ],
            &[
                "template",
                "org1",
                "./tiny",
                "--set",
                "owner.password.x=swordfish-flag",
            ],
            &[
                "values",
                "explain",
                "org1",
                "./tiny",
                "--set",
                "owner.password=swordfish-flag",
            ],
            &[
                "values", "explain", "org1", "./tiny", "-p", "owner", "-o", "json",
            ],
            &["lint", "./tiny", "--set", "owner.password.x=swordfish-flag"],
        ] {
            let output = run(arguments);
            let all = format!("{}{}", stdout(&output), stderr(&output));
            assert!(!all.contains("swordfish"), "{arguments:?}\n{all}");
        }
        assert!(
            stdout(&run(&["template", "org1", "./tiny", "--show-secrets"]))
                .contains("swordfish-default")
        );
    }
}

mod input {
    use super::*;

    #[test]
    fn a_values_file_of_100_mib_is_refused_unread() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("huge.yaml");
        fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
        let output = run(&["template", "org1", "./tiny", "-f", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("too large: 100 MiB"),
            "{}",
            stderr(&output)
        );
    }

    #[test]
    fn standard_input_without_an_end_is_refused_at_the_limit() {
        let home = tempfile::tempdir().unwrap();
        let mut child = program(home.path())
            .args(["template", "org1", "./tiny", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let line = b"# nothing but comments, again and again, until somebody has enough of it\n"
            .repeat(1 << 14);
        // The program ends while there is more to come: writing fails then.
        while input.write_all(&line).is_ok() {}
        let output = child.wait_with_output().unwrap();
        assert!(
            stderr(&output).contains("too large: more than 16 MiB"),
            "{}",
            stderr(&output)
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_may_not_be_read_is_distinguished_from_one_that_is_not_there() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("closed.yaml");
        fs::write(&path, "a: 1").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::File::open(&path).is_ok() {
            return; // The superuser may read everything.
        }
        let output = run(&["template", "org1", "./tiny", "-f", path.to_str().unwrap()]);
        assert!(
            stderr(&output).contains("no permission to read it"),
            "{}",
            stderr(&output)
        );
    }

    #[test]
    fn charts_that_the_user_keeps_are_found_by_name_and_version() {
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("data/charts/tiny");
        for version in ["0.2.0", "0.3.0"] {
            let folder = kept.join(version).display().to_string();
            let output = program(home.path())
                .args(["charts", "export", "./tiny", "-d", &folder])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
        }
        let newer = kept.join("0.3.0/Chart.yaml");
        fs::write(
            &newer,
            fs::read_to_string(&newer)
                .unwrap()
                .replace("0.2.0", "0.3.0"),
        )
        .unwrap();
        let shown = |arguments: &[&str]| {
            let output = program(home.path())
                .current_dir(home.path())
                .args(arguments)
                .output()
                .unwrap();
            format!("{}{}", stdout(&output), stderr(&output))
        };
        assert!(shown(&["charts", "show", "tiny"]).contains("\nversion: 0.3.0"));
        assert!(
            shown(&["charts", "show", "tiny", "--version", "~0.2"]).contains("\nversion: 0.2.0")
        );
        assert!(
            shown(&["charts", "show", "tiny", "--version", "1.x"])
                .contains("your charts folder has 0.2.0, 0.3.0")
        );
        assert!(shown(&["charts", "show", "tinny"]).contains("did you mean \"tiny\"?"));
        assert_eq!(
            shown(&["charts", "list"])
                .lines()
                .filter(|line| line.starts_with("tiny "))
                .count(),
            2
        );
    }

    #[test]
    fn template_writes_one_file_per_template() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("out");
        let output = run(&[
            "template",
            "org1",
            "./tiny",
            "--output-dir",
            folder.to_str().unwrap(),
            "--release-name",
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let file = fs::read_to_string(folder.join("org1/tiny/templates/config.yaml")).unwrap();
        assert!(
            file.starts_with("---\n# Source: tiny/templates/config.yaml\n"),
            "{file}"
        );
        assert_eq!(stdout(&output).lines().count(), 3);
    }
}

mod cluster {
    use super::*;

    #[test]
    fn without_a_kubeconfig_it_says_what_was_looked_for() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("config").display().to_string();
        let output = run(&["list", "--kubeconfig", &missing]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&missing), "{}", stderr(&output));
        let output = run(&["list"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("kubeconfig"),
            "{}",
            stderr(&output)
        );
    }

    #[test]
    fn a_failure_is_the_last_event_of_the_stream() {
        let output = run(&[
            "install",
            "org1",
            "./tiny",
            "--events",
            "json",
            "--server",
            "http://127.0.0.1:1",
        ]);
        assert_eq!(output.status.code(), Some(1));
        let lines: Vec<serde_json::Value> = stderr(&output)
            .lines()
            .map(|line| serde_json::from_str(line).expect("every line is JSON"))
            .collect();
        let last = lines.last().unwrap();
        assert_eq!(
            (last["event"].as_str(), last["exitStatus"].as_u64()),
            (Some("failed"), Some(1))
        );
    }

    /// A server that gives these answers, one per request, and then says nothing.
    pub fn server(answers: &'static [(&'static str, &'static str)]) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut answers = answers.iter();
            let mut open = Vec::new();
            for mut connection in listener.incoming().flatten() {
                // One connection carries one request: each answer closes it.
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if connection.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    request.push(byte[0]);
                }
                match answers.next() {
                    Some((head, body)) => {
                        let answer = format!(
                            "HTTP/1.1 {head}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        connection.write_all(answer.as_bytes()).unwrap();
                    }
                    None => open.push(connection),
                }
            }
        });
        address
    }

    fn failure(arguments: &[&str], server: &str) -> String {
        let output = run(&[arguments, &["--server", server]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stderr(&output)
    }

    const BUSY: &str = r#"{"kind": "Status", "code": 503, "message": "the server is overloaded"}"#;

    #[test]
    fn a_server_that_does_not_do_its_work_is_distinguished_from_one_that_is_not_there() {
        let nothing_changed = "\nnow: nothing was changed\n";
        // So long a pause is more than anyone waits for.
        for (head, code) in [
            ("503 Service Unavailable\r\nretry-after: 600", "(503)"),
            ("429 Too Many\r\nretry-after: 600", "(429)"),
        ] {
            let answers: &'static [_] = Box::leak(Box::new([(head, BUSY)]));
            let report = failure(&["install", "org1"], &server(answers));
            assert!(
                report.contains(&format!(
                    "the API server is unavailable {code}\nwhy: the server is overloaded"
                )),
                "{report}"
            );
            assert!(report.contains(nothing_changed), "{report}");
        }
        let report = failure(&["install", "org1"], &server(&[("200 OK", "<html>")]));
        assert!(
            report.contains("not JSON")
                && report.contains("login page")
                && report.contains(nothing_changed),
            "{report}"
        );
        let report = failure(
            &["upgrade", "org1", "--request-timeout", "100ms"],
            &server(&[]),
        );
        assert!(
            report.contains("no response in time") && report.contains(nothing_changed),
            "{report}"
        );
        let report = failure(&["rollback", "org1"], "http://127.0.0.1:1");
        assert!(
            report.contains("connection refused") && report.contains(nothing_changed),
            "{report}"
        );
        let report = failure(&["uninstall", "org1"], "https://no-such-host.invalid");
        assert!(
            report.contains("cannot resolve the host name") && report.contains(nothing_changed),
            "{report}"
        );
    }

    #[test]
    fn a_wait_for_a_busy_server_is_not_silent() {
        let answers = &[
            ("503 Busy\r\nretry-after: 2", BUSY),
            ("200 OK", r#"{"metadata": {}, "items": []}"#),
        ];
        let output = run(&["list", "--server", &server(answers)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(
            stderr(&output),
            "still trying to list configmaps: the server is overloaded\n"
        );
    }

    #[test]
    fn a_kubeconfig_that_does_not_lead_anywhere_says_what_it_has() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config").display().to_string();
        let plugin = r#"{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never"}}"#;
        let config = format!(
            r#"{{"clusters": [{{"name": "c", "cluster": {{"server": "https://127.0.0.1:1"}}}}], "users": [{{"name": "u", "user": {plugin}}}],
               "contexts": [{{"name": "prod", "context": {{"cluster": "c", "user": "u"}}}}]}}"#
        );
        fs::write(&path, config).unwrap();
        let report = |arguments: &[&str]| {
            let output = run(&[&["install", "org1", "--kubeconfig", &path], arguments].concat());
            assert_eq!(output.status.code(), Some(1));
            let report = stderr(&output);
            assert!(
                report.contains("\nnow: nothing was sent to the cluster\n"),
                "{report}"
            );
            report
        };
        assert!(report(&[]).contains("no current context"));
        assert!(report(&["--context", "prd"]).contains("did you mean \"prod\"?"));
        let plugin = report(&["--context", "prod"]);
        assert!(
            plugin.contains("the credential plugin \"no-such-plugin\" returned no credentials"),
            "{plugin}"
        );
        assert!(plugin.contains("it is not installed"), "{plugin}");
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_before_the_lock_ends_an_operation_with_nothing_changed() {
        for verb in ["install", "upgrade", "rollback", "uninstall"] {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", server.local_addr().unwrap());
            let home = tempfile::tempdir().unwrap();
            let mut child = program(home.path())
                .args([verb, "org1", "--server", &address])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let (mut connection, _) = server.accept().unwrap();
            assert!(
                connection.read(&mut [0; 64]).unwrap() > 0,
                "a request arrives"
            );
            Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap();
            let mut text = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130), "{verb}: {text}");
            assert!(
                text.ends_with("now: nothing was changed\n"),
                "{verb}: {text}"
            );
        }
    }

    /// A server that takes the connection and says nothing.
    #[cfg(unix)]
    #[test]
    fn a_signal_while_reading_ends_with_130() {
        for signal in ["INT", "TERM"] {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", server.local_addr().unwrap());
            let home = tempfile::tempdir().unwrap();
            let mut child = program(home.path())
                .args(["list", "--server", &address])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let (mut connection, _) = server.accept().unwrap();
            let read = connection.read(&mut [0; 64]).unwrap();
            assert!(read > 0, "a request arrives");
            Command::new("kill")
                .args([format!("-{signal}"), child.id().to_string()])
                .status()
                .unwrap();
            let mut text = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
            assert_eq!(text, "error: interrupted\nnow: nothing was changed\n");
        }
    }
}

/// Kubeconfigs whose credential plugin is a program of somebody else's: it is run as kubectl runs
/// it, or not at all.
#[cfg(unix)]
mod plugins {
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
}

/// Templates that would end the program rather than themselves: each is refused where it stands.
mod templates {
    use super::*;

    fn chart(template: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("chart/templates")).unwrap();
        fs::write(
            home.path().join("chart/Chart.yaml"),
            "apiVersion: v2\nname: demo\nversion: 0.1.0\n",
        )
        .unwrap();
        fs::write(home.path().join("chart/templates/a.yaml"), template).unwrap();
        home
    }

    fn refusal(template: &str) -> String {
        let home = chart(template);
        let output = program(home.path())
            .current_dir(home.path())
            .args(["template", "org1", "./chart"])
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{:.60}: {}",
            template,
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("--> demo/templates/a.yaml"),
            "{:.60}: {}",
            template,
            stderr(&output)
        );
        stderr(&output)
    }

    #[test]
    fn a_chain_as_long_as_a_template_may_be_takes_no_stack_that_is_not_there() {
        // As many links as fit into 256 KiB; what follows is undefined, so that each ends in an
        // error of its own.
        for (head, link) in [
            ("values", ".a"),
            ("1", "+1"),
            ("1", "|a"),
            ("values", "()"),
            ("", "-"),
            ("1", " or 0"),
        ] {
            let links = link.repeat(((256 << 10) - 100) / link.len());
            refusal(&format!(
                "{{% set x = {head}{links} %}}{{{{ undefined.thing }}}}"
            ));
        }
        assert!(
            refusal(&" ".repeat((256 << 10) + 1)).contains("the limit for a template is 256 KiB")
        );
        let deep = "{% set ns = namespace(m=[]) %}{% for i in range(100000) %}{% set ns.m = [ns.m] %}{% endfor %}{{ ns.m }}";
        assert!(refusal(deep).contains("nested deeper than 100"));
    }

    #[cfg(unix)]
    #[test]
    fn a_template_that_grows_without_end_is_stopped_in_bounded_memory() {
        use wait4::Wait4;
        let shared = "{% set ns = namespace(m={}) %}{% for i in range(60) %}{% set ns.m = {'a': ns.m, 'b': ns.m} %}{% endfor %}";
        let doubled = "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
        for template in [
            format!("{shared}{{{{ ns.m }}}}"),
            format!("{shared}{{{{ ns.m | toyaml }}}}"),
            doubled.to_owned(),
        ] {
            let home = chart(&template);
            let mut command = program(home.path());
            command
                .current_dir(home.path())
                .args(["template", "org1", "./chart"])
                .stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut report = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut report)
                .unwrap();
            let ended = child.wait4().unwrap();
            assert_eq!(ended.status.code(), Some(1), "{report}");
            assert!(
                report.contains("a template does not terminate")
                    && report.contains("demo/templates/a.yaml:1:"),
                "{report}"
            );
            assert!(
                ended.rusage.maxrss < 1 << 30,
                "{} bytes: {template}",
                ended.rusage.maxrss
            );
        }
    }
}

mod completion {
    use super::*;

    #[test]
    fn every_shell_gets_a_script() {
        for shell in ["bash", "zsh", "fish", "powershell", "kubectl"] {
            let output = run(&["completion", shell]);
            assert!(
                output.status.success() && stdout(&output).contains("kubectl-fabric"),
                "{shell}: {}",
                stderr(&output)
            );
        }
    }

    #[test]
    fn scripts_are_valid_for_their_shell() {
        for shell in ["bash", "zsh", "fish"] {
            let script = stdout(&run(&["completion", shell]));
            let Ok(mut child) = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn() else {
                continue;
            };
            child
                .stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            assert!(child.wait().unwrap().success(), "{shell}");
        }
    }

    fn candidates(words: &[&str]) -> Vec<String> {
        let (candidates, directive) = answer(words);
        assert_eq!(directive, ":4", "{candidates:?}");
        candidates
    }

    /// The candidates, and what the shell does with them.
    fn answer(words: &[&str]) -> (Vec<String>, String) {
        let text = stdout(&run(&[&["__complete"], words].concat()));
        let (candidates, directive) = text
            .trim_end()
            .rsplit_once('\n')
            .unwrap_or(("", text.trim_end()));
        (
            candidates
                .lines()
                .map(|line| line.split('\t').next().unwrap().to_owned())
                .collect(),
            directive.to_owned(),
        )
    }

    #[test]
    fn values_versions_and_rules_are_offered_without_a_cluster() {
        assert_eq!(
            candidates(&["install", "org1", "--fabric-version", "2.5"]),
            ["2.5.16"]
        );
        assert!(
            candidates(&["upgrade", "org1", "--fabric-version", "2.5.1"])
                .contains(&"2.5.12".to_owned())
        );
        assert_eq!(
            candidates(&["install", "org1", "--version", "0."]),
            ["0.1.0"]
        );
        assert!(
            candidates(&["upgrade", "org1", "--force", "U05,U0"]).contains(&"U05,U01".to_owned())
        );
        assert_eq!(
            candidates(&["values", "explain", "orgorderer1", "--path", "orderers.cou"]),
            ["orderers.count"]
        );
    }

    #[test]
    fn a_value_is_offered_only_where_the_parser_takes_it() {
        assert_eq!(
            candidates(&["install", "org1", "--dry-run=s"]),
            ["--dry-run=server"]
        );
        assert_eq!(
            candidates(&["install", "org1", "--dry-run", "s"]),
            Vec::<String>::new()
        );
        assert_eq!(
            candidates(&["install", "org1", "--dry-run", "peer-"]),
            ["peer-org"]
        );
        assert_eq!(
            candidates(&["rollback", "org1", "--wait", "--no-hoo"]),
            ["--no-hooks"]
        );
    }

    /// What a script that `completion bash` printed is offered for the last word.
    fn in_bash(words: &[&str]) -> String {
        let home = tempfile::tempdir().unwrap();
        let mut command = program(home.path());
        command
            .env("KUBECTL_FABRIC_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        stdout(
            &command
                .args(["--", "kubectl-fabric"])
                .args(words)
                .output()
                .unwrap(),
        )
    }

    #[test]
    fn scripts_of_shells_offer_the_same() {
        assert!(in_bash(&["install", "org1", "--dry-run=s"]).contains("server"));
        let behind = in_bash(&["install", "org1", "--dry-run", ""]);
        assert!(
            behind.lines().any(|line| line == "peer-org")
                && behind.lines().all(|line| line != "server"),
            "{behind}"
        );
        assert_eq!(in_bash(&["list", "-o", "jsonp"]), "jsonpath=");
        // No blank after what goes on.
        let script = stdout(&run(&["completion", "bash"]));
        assert!(script.contains("=~ [=/:.]$"), "{script}");
    }

    #[test]
    fn a_word_that_goes_on_gets_no_blank() {
        for (words, candidate) in [
            (["install", "org1", "--set", "peer"], "peers."),
            (["install", "org1", "--set", "peers.cou"], "peers.count="),
            (
                ["install", "org1", "--set", "tls.enabled=true,peers.cou"],
                "tls.enabled=true,peers.count=",
            ),
            (
                ["install", "orgorderer1", "--set", "orderers.cou"],
                "orderers.count=",
            ),
            (["install", "org1", "-f", "tin"], "tiny/"),
        ] {
            assert_eq!(
                answer(&words),
                (vec![candidate.to_owned()], ":6".to_owned())
            );
        }
        assert_eq!(
            answer(&["install", "org1", "--set", "peers.count=2"]),
            (Vec::new(), ":4".to_owned())
        );
    }

    #[test]
    fn kubectl_is_answered_with_candidates_and_their_help() {
        assert_eq!(candidates(&["ro"]), ["rollback"]);
        assert_eq!(candidates(&["get", "man"]), ["manifest"]);
        assert_eq!(candidates(&["list", "--dep"]), ["--deployed"]);
        assert!(candidates(&[""]).contains(&"install".to_owned()));
        assert_eq!(candidates(&["completion", "f"]), ["fish"]);
    }

    #[test]
    fn contexts_come_from_the_kubeconfig() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("config");
        fs::write(
            &config,
            "contexts:\n- name: prod-eu\n- name: prod-us\n- name: dev\n",
        )
        .unwrap();
        let flag = format!("--kubeconfig={}", config.display());
        assert_eq!(
            candidates(&["list", &flag, "--context", "pr"]),
            ["prod-eu", "prod-us"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_with_the_name_that_kubectl_wants_is_enough() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("kubectl_complete-fabric");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-fabric"), &link).unwrap();
        let output = Command::new(link).env_clear().arg("his").output().unwrap();
        assert!(
            stdout(&output).starts_with("history\t"),
            "{}",
            stdout(&output)
        );
    }
}

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
