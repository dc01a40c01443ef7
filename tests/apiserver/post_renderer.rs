//! `--post-renderer`: a program of the user's changes the manifest before it is compared, checked,
//! applied and recorded.

use crate::nodes::{Release, chart};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A program in the folder of the test, by its path.
fn program(release: &Release, name: &str, script: &str) -> String {
    let path = release.cluster.folder().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    path.display().to_string()
}

fn hash(release: &Release) -> String {
    let set = release.get("statefulset", "node0").expect("a node");
    set["spec"]["template"]["metadata"]["annotations"]["kubectl-fabric.io/config-hash"]
        .as_str()
        .expect("a hash")
        .to_owned()
}

#[test]
fn what_the_program_prints_is_applied_and_recorded() {
    let Some(release) = Release::new() else {
        return;
    };
    // As kustomize does, it drops comments; and it adds an object.
    let with = "printf -- '---\\napiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: added}\\n'\nsed -e '/^#/d' -e \"s#node:1#node:$1#\"";
    let program = program(&release, "with", with);
    let with = ["--post-renderer", &program, "--post-renderer-args", "9"];
    release
        .install(&[&with[..], &["--set", "hooks.enabled=true"]].concat())
        .success();
    assert_eq!(release.image("node0"), "registry.example/node:9");
    assert!(release.get("configmap", "added").is_some());
    let manifest = release.run("get manifest", &[]).success().stdout;
    assert!(
        manifest.contains("registry.example/node:9") && manifest.contains("name: added"),
        "{manifest}"
    );
    assert!(
        release
            .run("get hooks", &[])
            .success()
            .stdout
            .contains("pre-upgrade-1"),
        "hooks do not pass through it"
    );
    let before = hash(&release);

    let same = release.run("diff upgrade", &with).success();
    assert!(
        same.stdout.contains("no differences") && !same.stderr.contains("undone"),
        "{}",
        same.told()
    );
    let without = release.run("diff upgrade", &[]).success();
    assert!(
        without
            .stdout
            .contains("-        image: registry.example/node:9"),
        "{}",
        without.told()
    );
    assert!(
        without
            .stderr
            .contains(&format!("used --post-renderer {program}")),
        "{}",
        without.told()
    );

    // Pods that read what it changes are rolled, as if a template had changed it.
    let levels = self::program(
        &release,
        "levels",
        "sed -e 's#node:1#node:9#' -e 's/level: info/level: debug/'",
    );
    release.upgrade(&["--post-renderer", &levels]).success();
    assert_ne!(hash(&release), before);
    assert!(
        release.get("configmap", "added").is_none(),
        "what it no longer prints is pruned"
    );
    release.run("rollback", &[]).success();
    assert_eq!(
        (hash(&release), release.get("configmap", "added").is_some()),
        (before, true),
        "a rollback applies what was recorded"
    );
}

#[test]
fn a_program_that_fails_ends_the_operation_before_it_begins() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart();
    let cases = [
        (
            "failing",
            "cat >/dev/null; echo 'no such patch' >&2; exit 3",
            "no such patch",
        ),
        ("telling", "cat >&2; exit 1", "failed (exit status: 1)"),
        ("silent", "cat >/dev/null", "printed nothing"),
        (
            "broken",
            "echo 'kind: ['",
            "post-renderer is not valid YAML",
        ),
        ("strange", "echo 'a: b'", "apiVersion is missing"),
    ];
    for (name, script, told) in cases {
        let program = program(&release, name, script);
        for verb in [&["install"][..], &["template"]] {
            let output = release
                .command(verb, &["--chart", &chart, "--post-renderer", &program])
                .run()
                .exits(1);
            assert!(output.stderr.contains(told), "{}", output.told());
            assert!(
                !output.stderr.contains("not-a-canary"),
                "it was given the Secret: {}",
                output.told()
            );
        }
    }
    let missing = release
        .install(&["--post-renderer", "no-such-program"])
        .exits(1);
    assert!(
        missing.stderr.contains("use ./no-such-program"),
        "{}",
        missing.told()
    );
    assert!(
        release
            .cluster
            .get("namespace", &release.namespace, None)
            .is_none(),
        "nothing was written"
    );
    let alone = release.install(&["--post-renderer-args", "x"]).exits(1);
    assert!(alone.stderr.contains("--post-renderer"), "{}", alone.told());
}
