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
    assert!(shown(&["charts", "show", "tiny", "--version", "~0.2"]).contains("\nversion: 0.2.0"));
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
