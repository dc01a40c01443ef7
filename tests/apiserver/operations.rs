//! Install, upgrade, rollback, uninstall: what they do to the cluster, and what they leave alone.

use crate::nodes::{Release, chart};
use crate::support::until;
use serde_json::Value;

#[test]
fn a_release_lives_through_upgrade_rollback_uninstall_and_reinstall_with_its_volumes() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let claims = release.uids("persistentvolumeclaim");
    assert_eq!(claims.len(), 2);
    release
        .upgrade(&["--set", "image=registry.example/node:2,extra=true"])
        .success();
    assert_eq!(release.image("node0"), "registry.example/node:2");
    assert!(release.get("configmap", "extra").is_some());
    release.run("rollback", &[]).success();
    assert_eq!(release.image("node1"), "registry.example/node:1");
    assert!(
        release.get("configmap", "extra").is_none(),
        "what only revision 2 had is pruned"
    );
    let history = release.history();
    let words: Vec<(&str, &str)> = history
        .iter()
        .map(|(_, status, description)| (status.as_str(), description.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            ("superseded", "Install complete"),
            ("superseded", "Upgrade complete"),
            ("deployed", "Rollback to 1")
        ]
    );
    release.run("uninstall", &[]).success();
    assert_eq!(release.leftovers(), Vec::<String>::new());
    assert_eq!(
        release.uids("persistentvolumeclaim"),
        claims,
        "volumes stay"
    );
    release.install(&[]).success();
    assert_eq!(
        release.uids("persistentvolumeclaim"),
        claims,
        "and are taken up again"
    );
    release
        .run("uninstall", &["--delete-data", "--yes"])
        .success();
    until("the claims to be gone", || {
        release
            .uids("persistentvolumeclaim")
            .is_empty()
            .then_some(())
    });
    assert!(
        release.get("configmap", "kept").is_some(),
        "the chart says so"
    );
}

#[test]
fn an_upgrade_without_a_change_writes_nothing_but_its_record() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let objects = "statefulset,service,secret,configmap";
    let versions = |release: &Release| -> Vec<(String, String)> {
        let objects = release.cluster.list(objects, &release.namespace);
        let ours = objects
            .iter()
            .filter(|body| body["metadata"]["labels"]["kubectl-fabric.io/record"].is_null());
        ours.map(|body| {
            (
                body["metadata"]["name"].to_string(),
                body["metadata"]["resourceVersion"].to_string(),
            )
        })
        .collect()
    };
    let before = versions(&release);
    let requests = release.cluster.requests(|| {
        release.upgrade(&[]).success();
    });
    assert_eq!(versions(&release), before);
    let written: Vec<_> = requests
        .iter()
        .filter(|request| request.writes() && !request.name.starts_with("kubectl-fabric."))
        // A create names its object in the body.
        .filter(|request| {
            !(request.verb == "create"
                && matches!(request.resource.as_str(), "configmaps" | "leases"))
        })
        .collect();
    assert!(written.is_empty(), "{written:#?}");
    assert!(requests.len() < 40, "{} requests", requests.len());
    assert_eq!(release.statuses(), ["superseded", "deployed"]);
}

#[test]
fn nodes_of_a_rollout_group_change_one_at_a_time_each_ready_before_the_next() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    // The new pods never become ready: the first node is as far as it gets.
    let output = release
        .upgrade(&[
            "--set",
            "image=registry.example/node:2,state=not-ready",
            "--timeout",
            "10s",
        ])
        .exits(3);
    assert_eq!(
        (release.image("node0"), release.image("node1")),
        (
            "registry.example/node:2".into(),
            "registry.example/node:1".into()
        )
    );
    assert!(
        output.stderr.contains("node0") && output.stderr.contains("probe"),
        "{}",
        output.stderr
    );
    assert_eq!(release.statuses(), ["deployed", "failed"]);
    // Mended, it goes through, one after the other; the stuck pod does not hold it up.
    release
        .upgrade(&["--set", "image=registry.example/node:3"])
        .success();
    assert_eq!(
        (release.image("node0"), release.image("node1")),
        (
            "registry.example/node:3".into(),
            "registry.example/node:3".into()
        )
    );
    assert_eq!(release.statuses(), ["superseded", "failed", "deployed"]);
}

#[test]
fn an_image_change_changes_nothing_but_the_nodes() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let requests = release.cluster.requests(|| {
        release
            .upgrade(&["--set", "image=registry.example/node:2"])
            .success();
    });
    let patched: Vec<&str> = requests
        .iter()
        .filter(|request| {
            request.writes()
                && request.verb == "patch"
                && !request.name.starts_with("kubectl-fabric.")
        })
        .map(|request| request.name.as_str())
        .collect();
    assert_eq!(patched, ["node0", "node1"]);
    assert_eq!(release.generation("first"), 1);
}

#[test]
fn a_later_stage_waits_until_the_earlier_one_is_ready() {
    let Some(release) = Release::new() else {
        return;
    };
    let output = release
        .install(&["--set", "firstState=pending", "--timeout", "2s"])
        .exits(3);
    assert!(output.stderr.contains("first"), "{}", output.stderr);
    assert!(release.get("statefulset", "first").is_some());
    assert!(
        release.get("statefulset", "node0").is_none(),
        "stage 1 has not begun"
    );
}

#[test]
fn a_failed_first_install_is_repaired_by_the_same_command_or_by_an_upgrade() {
    for verb in ["install", "upgrade --install"] {
        let Some(release) = Release::new() else {
            return;
        };
        release
            .install(&[
                "--set",
                "state=image-pull-error,extra=true",
                "--timeout",
                "2s",
            ])
            .exits(3);
        assert_eq!(release.statuses(), ["failed"]);
        let hint = release.run("rollback", &[]).exits(1);
        assert!(
            hint.stderr.contains("no revision to roll back to"),
            "{}",
            hint.stderr
        );
        let chart = chart();
        release
            .run(verb, &["--chart", &chart, "--set", "state="])
            .success();
        assert_eq!(release.statuses(), ["failed", "deployed"], "{verb}");
        assert!(
            release.get("configmap", "extra").is_none() || verb != "install",
            "what the failed attempt left is pruned"
        );
        release.run("uninstall", &[]).success();
        assert_eq!(release.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_rollback_after_a_failed_upgrade_restores_what_was_deployed() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .install(&["--set", "settings.level=debug"])
        .success();
    release
        .upgrade(&[
            "--set",
            "state=image-pull-error,extra=true,settings.level=warn",
            "--timeout",
            "2s",
        ])
        .exits(3);
    release.run("rollback", &[]).success();
    assert_eq!(
        release.get("configmap", "settings").unwrap()["data"]["level"],
        "debug"
    );
    assert!(release.get("configmap", "extra").is_none());
    assert_eq!(release.statuses(), ["superseded", "failed", "deployed"]);
}

#[test]
fn rollback_on_failure_goes_back_by_itself() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart();
    let failing = [
        "--set",
        "state=image-pull-error",
        "--timeout",
        "10s",
        "--rollback-on-failure",
    ];
    release
        .run(
            "install",
            &[&["--chart", chart.as_str()], &failing[..]].concat(),
        )
        .exits(3);
    assert_eq!(
        release.leftovers(),
        Vec::<String>::new(),
        "a first install goes away again"
    );
    release.install(&[]).success();
    let output = release.upgrade(&failing).exits(3);
    assert!(
        output.stderr.contains("rolled back to revision 1"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("fix the cause") && !output.stderr.contains("return to"),
        "it is back: {}",
        output.stderr
    );
    assert_eq!(release.statuses(), ["superseded", "failed", "deployed"]);
    let output = release.upgrade(&failing[..4]).exits(3);
    let back = format!(
        "or return to the deployed revision with `kubectl fabric rollback app -n {}`",
        release.namespace
    );
    assert!(
        output.stderr.contains("fix the cause") && output.stderr.contains(&back),
        "{}",
        output.stderr
    );
}

#[test]
fn a_large_manifest_survives_the_round_trip() {
    let Some(release) = Release::new() else {
        return;
    };
    // 5 MiB of text that does not compress to less than four records hold.
    let mut seed: u64 = 42;
    let mut text = || {
        std::iter::repeat_with(|| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            char::from(b'!' + (seed >> 33) as u8 % 90)
        })
        .filter(|c| !matches!(c, '"' | '\\' | '\''))
        .take(256 * 1024)
        .collect::<String>()
    };
    let bulk: serde_json::Map<String, Value> = (0..20)
        .map(|index| (format!("b{index}"), Value::String(text())))
        .collect();
    let file = release.cluster.folder().join("bulk.json");
    std::fs::write(
        &file,
        serde_json::json!({"bulk": bulk, "nodes": 0}).to_string(),
    )
    .unwrap();
    release.install(&["-f", file.to_str().unwrap()]).success();
    let parts = release.cluster.list("configmap", &release.namespace);
    assert!(
        parts
            .iter()
            .filter(|part| part["metadata"]["labels"]["kubectl-fabric.io/record"] == "part")
            .count()
            >= 2
    );
    let manifest = release.run("get manifest", &[]).success().stdout;
    assert!(manifest.len() > 5 * 1024 * 1024);
    release
        .upgrade(&["--reset-values", "--set", "nodes=0"])
        .success();
    assert!(release.get("configmap", "bulk-b0").is_none());
    release.run("rollback", &["1"]).success();
    for (name, text) in &bulk {
        assert_eq!(
            release.get("configmap", &format!("bulk-{name}")).unwrap()["data"]["text"],
            *text
        );
    }
    release.run("uninstall", &[]).success();
    assert_eq!(release.leftovers(), Vec::<String>::new());
}

#[test]
fn a_secret_is_in_no_config_map_and_no_output() {
    let Some(release) = Release::new() else {
        return;
    };
    let canary = "canary-5up3r-s3cr3t";
    let encoded = "Y2FuYXJ5LTV1cDNyLXMzY3IzdA";
    let set = format!("password={canary}");
    let mut said = String::new();
    let mut hear = |output: crate::support::Output| {
        said.push_str(&format!("{}{}", output.stdout, output.stderr))
    };
    hear(release.install(&["--set", &set]).success());
    hear(release.run("diff upgrade", &["--set", "password=canary-another-one"]));
    hear(release.upgrade(&["--set", "extra=true"]).success());
    hear(
        release
            .upgrade(&["--set", "state=crash", "--timeout", "2s"])
            .exits(3),
    );
    hear(release.run("rollback", &["1"]).success());
    for verb in [
        "status",
        "history",
        "get all",
        "get values",
        "get manifest",
        "get notes",
        "get hooks",
        "get metadata",
        "drift",
    ] {
        hear(release.run(verb, &["-o", "json"]));
        hear(release.run(verb, &[]));
    }
    hear(release.run("get values", &["--all"]));
    hear(release.run("diff revision", &["1", "2"]));
    hear(release.run("values explain", &["password"]));
    hear(
        release
            .upgrade(&["--set", &format!("password={canary},nodes=two")])
            .exits(1),
    );
    hear(release.upgrade(&["--dry-run=server", "--set", &set]));
    let secret = release.get("secret", "password").unwrap();
    assert!(
        secret.to_string().contains(encoded),
        "the Secret itself holds it: {secret}"
    );
    let elsewhere = release.cluster.list(
        "configmap,lease,event,statefulset,service",
        &release.namespace,
    );
    let unpacked: String = elsewhere.iter().map(unpacked).collect();
    for (place, text) in [("output", &said), ("objects", &unpacked)] {
        for secret in [canary, encoded, "canary-another-one"] {
            let at = text
                .find(secret)
                .map(|at| text[at.saturating_sub(200)..(at + 40).min(text.len())].to_owned());
            assert_eq!(at, None, "in {place}");
        }
    }
}

/// An object's text, with the packed parts of a record unpacked.
fn unpacked(body: &Value) -> String {
    use base64::Engine;
    use std::io::Read;
    let mut text = body.to_string();
    for packed in body["binaryData"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, packed)| packed.as_str())
    {
        let bytes = base64::prelude::BASE64_STANDARD.decode(packed).unwrap();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
    }
    text
}

#[test]
fn objects_of_others_are_neither_taken_nor_deleted() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    release.cluster.apply(
        &release.namespace,
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {mine: yes-mine}}",
    );
    release.cluster.apply(
        &release.namespace,
        "{apiVersion: v1, kind: Secret, metadata: {name: password, annotations: {meta.helm.sh/release-name: other}}}",
    );
    let output = release.install(&[]).exits(4);
    assert!(
        output.stderr.contains("ConfigMap") && output.stderr.contains("Helm release \"other\""),
        "all at once: {}",
        output.stderr
    );
    assert_eq!(release.history(), [], "nothing was written");
    assert!(release.get("service", "nodes").is_none());
    release.install(&["--take-ownership"]).success();
    assert_eq!(
        release.get("configmap", "settings").unwrap()["data"]["level"],
        "info"
    );
}

#[test]
fn fields_of_another_manager_are_refused_with_its_name_and_taken_over_when_asked() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let patch = r#"{"data": {"level": "theirs"}}"#;
    release
        .cluster
        .kubectl()
        .args([
            "-n",
            &release.namespace,
            "patch",
            "configmap",
            "settings",
            "--type=merge",
            "-p",
            patch,
        ])
        .args(["--field-manager", "their-tool"])
        .run()
        .success();
    assert!(release.run("drift", &[]).exits(2).stdout.contains("theirs"));
    let output = release
        .upgrade(&["--set", "settings.level=ours,image=registry.example/node:9"])
        .exits(4);
    assert!(
        output.stderr.contains("their-tool") && output.stderr.contains("level"),
        "{}",
        output.stderr
    );
    assert_eq!(
        release.image("node0"),
        "registry.example/node:1",
        "nothing was changed"
    );
    assert_eq!(release.statuses(), ["deployed"]);
    release
        .upgrade(&["--set", "settings.level=ours", "--force-conflicts"])
        .success();
    assert_eq!(
        release.get("configmap", "settings").unwrap()["data"]["level"],
        "ours"
    );
    release.run("drift", &[]).exits(0);
}

#[test]
fn an_immutable_change_is_refused_and_made_anew_when_asked_with_pods_and_volumes_kept() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=1"]).success();
    let (claims, set) = (
        release.uids("persistentvolumeclaim"),
        release.uids("statefulset"),
    );
    let pods = release.uids("pod");
    assert_eq!(pods.len(), 2);
    let output = release.upgrade(&["--set", "serviceName=renamed"]).exits(4);
    assert!(
        output.stderr.contains("StatefulSet") && output.stderr.contains("--recreate"),
        "{}",
        output.stderr
    );
    assert_eq!(release.uids("statefulset"), set);
    assert!(
        release.get("service", "renamed").is_none(),
        "nothing was written"
    );
    for (asked, hint) in [
        (
            "StatefulSet/nod0",
            "hint: did you mean \"StatefulSet/node0\"?",
        ),
        ("sts/node0", "hint: did you mean \"StatefulSet/node0\"?"),
        (
            "Deployment/web",
            "`kubectl fabric status` lists the objects",
        ),
    ] {
        let said = release
            .upgrade(&["--set", "serviceName=renamed", "--recreate", asked])
            .exits(1)
            .stderr;
        assert!(
            said.contains(&format!(
                "--recreate names \"{asked}\", but the release has no such object"
            )),
            "{said}"
        );
        assert!(
            said.contains(hint) && said.contains("now: nothing was changed"),
            "{said}"
        );
    }
    release
        .upgrade(&[
            "--set",
            "serviceName=renamed",
            "--recreate",
            "StatefulSet/first,statefulset/node0",
        ])
        .success();
    let made_anew = release.uids("statefulset");
    assert!(
        set.iter().all(|old| !made_anew.contains(old)),
        "{set:?}, {made_anew:?}"
    );
    assert_eq!(release.uids("persistentvolumeclaim"), claims);
    assert_eq!(release.uids("pod"), pods, "no pod restarts");
    assert_eq!(
        release.get("statefulset", "node0").unwrap()["spec"]["serviceName"],
        "renamed"
    );
}

#[test]
fn events_of_a_rolling_upgrade_say_how_far_it_is() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=3"]).success();
    let upgrade = ["--set", "image=registry.example/node:2", "--events", "json"];
    let output = release.upgrade(&upgrade).success();
    let events = output.stderr.lines();
    let events: Vec<Value> = events
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .collect();
    let of = |kind: &'static str| events.iter().filter(move |event| event["event"] == kind);
    let counts = |event: &Value| {
        let nodes = &event["nodes"];
        ["begun", "done", "of"].map(|field| nodes[field].as_u64().expect("a number"))
    };
    let is_node = |event: &&Value| event["object"].as_str().expect("text").contains("/node");
    let changed: Vec<&Value> = of("applied").filter(is_node).collect();
    assert_eq!(
        changed.iter().map(|it| counts(it)).collect::<Vec<_>>(),
        [[1, 0, 3], [2, 1, 3], [3, 2, 3]]
    );
    assert_eq!(
        changed[0]["nodes"]["left"],
        Value::Null,
        "none is done: {}",
        changed[0]
    );
    for later in &changed[1..] {
        let left = &later["nodes"]["left"];
        assert!(
            left["least"].as_u64() <= left["most"].as_u64() && left["most"].is_u64(),
            "{later}"
        );
    }
    let last = of("waiting").next_back().expect("nodes are waited for");
    assert_eq!(counts(last)[2], 3, "{last}");

    let lines = release
        .upgrade(&["--set", "image=registry.example/node:3"])
        .success()
        .stderr;
    for words in [
        "node0 changed (node 1 of 3)\n",
        "node1 changed (node 2 of 3",
        "node2 changed (node 3 of 3",
    ] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
}

#[test]
fn hooks_run_in_order_of_weight_and_a_failing_one_fails_the_release() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "hooks.enabled=true"]).success();
    let output = release.upgrade(&["--events", "json"]).success();
    let hooks: Vec<String> = output
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == "hook" && event["phase"] == "succeeded")
        .map(|event| {
            event["hook"]
                .as_str()
                .unwrap()
                .rsplit_once('/')
                .unwrap()
                .1
                .to_owned()
        })
        .collect();
    assert_eq!(hooks, ["pre-upgrade-1", "pre-upgrade-2", "post-upgrade-0"]);
    let output = release.run("test", &[]).success();
    assert!(
        output.stdout.contains("test-0") && output.stdout.contains("Succeeded"),
        "{}",
        output.stdout
    );
    assert!(
        !output.stderr.contains("no tests were run"),
        "{}",
        output.stderr
    );
    let output = release.run("test", &["--filter", "name=tset-0"]).success();
    assert!(
        output
            .stderr
            .contains("no test of \"app\" matches --filter name=tset-0"),
        "{}",
        output.stderr
    );
    let output = release
        .upgrade(&["--set", "hooks.state=fail,image=registry.example/node:2"])
        .exits(3);
    assert!(output.stderr.contains("pre-upgrade-1"), "{}", output.stderr);
    assert_eq!(
        release.image("node0"),
        "registry.example/node:1",
        "a pre-upgrade hook comes before the objects"
    );
    release.upgrade(&["--set", "hooks.enabled=false"]).success();
    assert!(
        release.get("pod", "pre-upgrade-1").is_none(),
        "hooks that the chart has no longer are pruned"
    );
    let output = release.run("test", &[]).success();
    assert!(
        output.stderr.contains("no tests were run: chart nodes ")
            && output.stderr.contains("has no `test` hooks"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_hook_that_is_deleted_while_it_runs_has_failed() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .install(&["--set", "hooks.enabled=true,nodes=0"])
        .success();
    let upgrade = release
        .command(&["upgrade"], &["--set", "hooks.state=not-ready"])
        .spawn();
    until("the hook to run", || {
        release
            .get("pod", "pre-upgrade-1")
            .filter(|pod| pod["status"]["phase"] == "Running")
    });
    release
        .cluster
        .kubectl()
        .args(["-n", &release.namespace, "delete", "pod", "pre-upgrade-1"])
        .run()
        .success();
    let output = upgrade.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("it was deleted before it completed"),
        "{told}"
    );
}

#[test]
fn a_reason_names_the_image_that_cannot_be_pulled() {
    let Some(release) = Release::new() else {
        return;
    };
    let output = release
        .install(&[
            "--set",
            "state=image-pull-error,nodes=1",
            "--timeout",
            "20s",
        ])
        .exits(3);
    assert!(
        output
            .stderr
            .contains("registry.example/node:1 cannot be pulled"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_crashing_pod_ends_the_wait_early() {
    let Some(release) = Release::new() else {
        return;
    };
    let began = std::time::Instant::now();
    let output = release
        .install(&["--set", "state=crash,nodes=1", "--timeout", "170s"])
        .exits(3);
    assert!(output.stderr.contains("crashes"), "{}", output.stderr);
    assert!(
        began.elapsed().as_secs() < 170,
        "the wait did not run to its end"
    );
}

#[test]
fn who_may_not_write_is_reported_before_anything_is_written() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&[]).success();
    let read_all = r#"{apiVersion: v1, kind: List, items: [
        {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader},
         rules: [{apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch]}]},
        {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader},
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader},
         subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: nobody}]}]}"#;
    let output = release.run("status", &["--context", "nobody"]).exits(1);
    assert!(output.stderr.contains("configmaps"), "{}", output.stderr);
    release.cluster.apply(&release.namespace, read_all);
    until("the rights to take effect", || {
        (release.run("status", &["--context", "nobody"]).status == Some(0)).then_some(())
    });
    let output = release
        .upgrade(&[
            "--context",
            "nobody",
            "--set",
            "image=registry.example/node:2",
        ])
        .exits(1);
    for word in ["patch", "statefulsets", &release.namespace] {
        assert!(
            output.stderr.contains(word),
            "{word} is not in: {}",
            output.stderr
        );
    }
    assert_eq!(release.statuses(), ["deployed"]);
}

#[test]
fn an_uninstall_of_several_looks_up_all_names_first() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    let output = release.command(&["uninstall"], &["apq"]).run().exits(1);
    assert!(
        output.stderr.contains("release \"apq\" not found")
            && output.stderr.contains("nothing was changed"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("did you mean \"app\"?"),
        "{}",
        output.stderr
    );
    assert_eq!(release.statuses(), ["deployed"]);
    // Another number is another organization.
    let digits = release
        .cluster
        .fabric()
        .args(["status", "app7", "-n", &release.namespace])
        .run()
        .exits(1);
    assert!(!digits.stderr.contains("did you mean"), "{}", digits.stderr);
    release.command(&["uninstall"], &["app"]).run().success();
    assert_eq!(release.leftovers(), Vec::<String>::new());
}
