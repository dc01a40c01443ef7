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
    assert!(candidates(&["upgrade", "org1", "--force", "U05,U0"]).contains(&"U05,U01".to_owned()));
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
        candidates(&["install", "org1", "--dry-run", "se"]),
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
