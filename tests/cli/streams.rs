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
