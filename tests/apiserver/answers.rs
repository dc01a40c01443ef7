//! What verbs answer: in which format, and of which revision, namespace or organization they speak.

use crate::nodes::{Release, chart};
use crate::support;
use serde_json::{Value, json};

#[test]
fn a_second_organization_in_a_namespace_is_reported_to_take_its_own() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.namespace("org1");
    let install = |release: &str, more: &[&str]| {
        cluster
            .fabric()
            .args(["install", release, "-n", &namespace])
            .args(more)
            .run()
    };
    install("org1", &["--set", "peers.count=1"]).success();
    let secrets = cluster.list("secret", &namespace).len();
    for (second, more) in [
        ("org2", &[][..]),
        ("org2", &["--set", "networkPolicy.enabled=false"]),
        ("orgorderer1", &[]),
    ] {
        let said = install(second, more).exits(4).stderr;
        assert!(
            said.contains(&format!(
                "namespace \"{namespace}\" holds another organization: release \"org1\""
            )),
            "{said}"
        );
        assert!(
            said.contains(&format!("`kubectl fabric install {second}`"))
                && said.contains("now: nothing was changed"),
            "{said}"
        );
        assert!(
            !said.contains("--take-ownership") && !said.contains("--force"),
            "{said}"
        );
    }
    assert_eq!(cluster.list("secret", &namespace).len(), secrets);
    // Without a neighbour, a refusal gives its own reason.
    let alone = cluster.namespace("org3");
    let said = cluster
        .fabric()
        .args([
            "install",
            "org3",
            "-n",
            &alone,
            "--set",
            "ca.existingSecret=gone",
        ])
        .run();
    assert!(
        !said.stderr.contains("another organization"),
        "{}",
        said.told()
    );
}

#[test]
fn values_are_those_of_the_revision_that_an_upgrade_starts_from() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "extra=true"]).success();
    assert_eq!(
        release.run("get values", &[]).success().stderr,
        "",
        "the newest is the deployed one"
    );
    release
        .upgrade(&[
            "--set",
            "extra=false,image=registry.example/node:2,state=not-ready",
            "--timeout",
            "2s",
        ])
        .exits(3);
    let note =
        "revision 2 of \"app\" is failed; an upgrade starts from revision 1, which is deployed";
    let newest = release.run("get values", &["-o", "json"]).success();
    assert!(newest.stderr.contains(note), "{}", newest.told());
    assert_eq!(newest.json()["extra"], false);
    assert_eq!(
        release
            .run("get values", &["--revision", "2"])
            .success()
            .stderr,
        "",
        "it was requested"
    );
    let chart = chart();
    let explained = release
        .run(
            "values explain",
            &[
                "--chart", &chart, "--stored", "--path", "extra", "-o", "json",
            ],
        )
        .success();
    assert!(explained.stderr.contains(note), "{}", explained.told());
    let explained = explained.json();
    assert_eq!(
        (&explained["value"], &explained["origin"]),
        (&json!(true), &json!("revision 1 of the release"))
    );
    release.upgrade(&["--set", "state="]).success();
    assert!(
        release.get("configmap", "extra").is_some(),
        "so does the upgrade"
    );
}

#[test]
fn formats_are_those_of_kubectl() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    release.upgrade(&["--set", "extra=true"]).success();
    let print = |verb: &str, format: &str| release.run(verb, &["-o", format]).success().stdout;
    let list = |format: &str| {
        release
            .cluster
            .fabric()
            .args(["list", "-n", &release.namespace, "-o", format])
            .run()
            .success()
    };
    assert_eq!(list("name").stdout, "app\n");
    assert_eq!(
        list("jsonpath={range .items[*]}{.name} {.revision} {.status}{\"\\n\"}{end}").stdout,
        "app 2 deployed\n"
    );
    assert!(
        list("wide")
            .stdout
            .lines()
            .next()
            .is_some_and(|headers| headers.contains("USER"))
    );
    let listed = list("json").json();
    assert_eq!(
        (&listed[0]["revision"], &listed[0]["appVersion"]),
        (&json!(2), &json!("1.0")),
        "{listed}"
    );
    assert_eq!(print("history", "name"), "1\n2\n");
    assert_eq!(
        print(
            "history",
            "jsonpath={.items[?(@.status==\"deployed\")].revision}"
        ),
        "2"
    );
    assert!(print("history", "wide").contains("PLUGIN"));
    assert_eq!(print("status", "name"), "app\n");
    let objects = print("get manifest", "name");
    assert!(
        objects.lines().any(|line| line == "statefulset.apps/node0")
            && objects.contains("\nconfigmap/"),
        "{objects}"
    );
    assert_eq!(print("get values", "jsonpath={.extra}"), "true");
    let refused = release.run("get values", &["-o", "name"]).exits(1);
    assert!(
        refused.stderr.contains("has no names"),
        "{}",
        refused.told()
    );
    assert_eq!(release.upgrade(&["-o", "name"]).success().stdout, "app\n");
}

#[test]
fn times_and_keys_of_documents_are_in_one_style() {
    let Some(release) = Release::new() else {
        return;
    };
    let installed = release
        .install(&["-o", "json", "--events", "json"])
        .success();
    for verb in ["history", "status", "get metadata", "get all", "get hooks"] {
        check(&release.run(verb, &["-o", "json"]).success().json(), verb);
    }
    check(
        &release
            .cluster
            .fabric()
            .args(["list", "-n", &release.namespace, "-o", "json"])
            .run()
            .success()
            .json(),
        "list",
    );
    check(&installed.json(), "install");
    for line in installed.stderr.lines() {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["time"].as_str().is_some_and(is_time), "{line}");
    }

    #[track_caller]
    fn check(document: &Value, of: &str) {
        match document {
            Value::Object(fields) => {
                for (key, value) in fields {
                    // What the chart and Kubernetes name is theirs.
                    if matches!(
                        key.as_str(),
                        "config" | "computed" | "manifest" | "metadata"
                    ) {
                        continue;
                    }
                    assert!(!key.contains('_'), "{of}: {key}");
                    if ["Deployed", "deployedAt", "updated", "created"]
                        .iter()
                        .any(|name| key.ends_with(name))
                    {
                        assert!(value.as_str().is_some_and(is_time), "{of}: {key}: {value}");
                    }
                    check(value, of);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, of)),
            _ => {}
        }
    }

    /// `2026-11-30T07:16:40Z`
    fn is_time(text: &str) -> bool {
        text.len() == 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
    }
}

#[test]
fn with_json_an_error_is_json_too() {
    let Some(release) = Release::new() else {
        return;
    };
    let failed = release.upgrade(&["-o", "json"]).exits(1);
    let error: Value = serde_json::from_str(failed.stderr.trim_end())
        .unwrap_or_else(|error| panic!("{error}: {}", failed.told()));
    assert_eq!(
        (&error["event"], &error["kind"], &error["exitStatus"]),
        (&json!("failed"), &json!("user"), &json!(1)),
        "{error}"
    );
    assert!(
        error["message"].as_str().unwrap().contains("not found")
            && !error["hints"].as_array().unwrap().is_empty(),
        "{error}"
    );
    assert_eq!(error["now"], "nothing was changed");
    let failed = release.upgrade(&[]).exits(1);
    assert!(failed.stderr.starts_with("error: "), "{}", failed.told());
}

#[test]
fn a_namespace_that_does_not_exist_is_reported() {
    let Some(release) = Release::new() else {
        return;
    };
    let list = || {
        release
            .cluster
            .fabric()
            .args(["list", "-n", &release.namespace])
            .run()
            .success()
            .stderr
    };
    assert_eq!(
        list(),
        format!("namespace \"{}\" does not exist\n", release.namespace)
    );
    release.cluster.create_namespace("app");
    assert_eq!(list(), "");
}

#[test]
fn a_namespace_that_data_keeps_names_the_flag_that_deletes_it() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let kept = release
        .run("uninstall", &["--delete-namespace"])
        .success()
        .stderr;
    assert!(
        kept.contains("stays: ") && kept.contains("it holds data (--delete-data deletes it)"),
        "{kept}"
    );
}
