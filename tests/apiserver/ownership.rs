//! Whose an object is, at the moment of the write: names that others take before or during an
//! operation, hooks, and whole namespaces.

use crate::nodes::Release;
use crate::support::until;
use serde_json::{Value, json};
use std::fs;
use std::process::Child;

/// A chart of these templates.
fn chart(release: &Release, templates: &[(&str, Value)]) -> String {
    let folder = release.cluster.folder().join("chart");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("templates")).expect("a folder");
    fs::write(
        folder.join("Chart.yaml"),
        "apiVersion: v2\nname: small\nversion: 0.1.0\nappVersion: \"1\"\n",
    )
    .expect("a file");
    fs::write(folder.join("values.yaml"), "word: hi\n").expect("a file");
    for (name, template) in templates {
        let text = template
            .to_string()
            .replace("\"{{ values.word }}\"", "{{ values.word }}");
        fs::write(folder.join("templates").join(format!("{name}.yaml")), text).expect("a file");
    }
    folder.display().to_string()
}

fn config_map(name: &str, annotations: Value, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations}, "data": data})
}

fn claim(name: &str, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "annotations": annotations},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

/// A workload of stage 0 that becomes ready only once a node has this label.
fn held_up(label: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "slowly"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"nodeSelector": {label: "x"}, "containers": [{"name": "a", "image": "registry.example/a:1"}]},
        }},
    })
}

impl Release {
    fn kubectl(&self, args: &[&str]) -> crate::support::Output {
        self.cluster
            .kubectl()
            .args(["-n", &self.namespace])
            .args(args)
            .run()
    }

    fn uid(&self, kind: &str, name: &str) -> String {
        self.get(kind, name).expect("it is there")["metadata"]["uid"]
            .as_str()
            .expect("a UID")
            .to_owned()
    }

    /// Another team's ConfigMap.
    fn theirs(&self, name: &str) -> String {
        self.kubectl(&["create", "configmap", name, "--from-literal=precious=yes"])
            .success();
        self.uid("configmap", name)
    }

    /// Asserts that another team's ConfigMap is as they made it.
    fn untouched(&self, name: &str, uid: &str) {
        let body = self.get("configmap", name).expect("it is there");
        assert_eq!(body["metadata"]["uid"], uid);
        assert_eq!(body["data"], json!({"precious": "yes"}));
        assert!(
            body["metadata"]["labels"].is_null() && body["metadata"]["annotations"].is_null(),
            "{body}"
        );
    }

    fn release_node(&self, label: &str) {
        self.cluster
            .kubectl()
            .args([
                "label",
                "node",
                "--all",
                "--overwrite",
                &format!("{label}=x"),
            ])
            .run()
            .success();
    }
}

fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("it ends");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_hook_with_the_name_of_anothers_object_is_refused_and_a_volume_claim_is_never_recreated() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    let hook = json!({"kubectl-fabric.io/hook": "pre-install"});
    let chart = chart(
        &release,
        &[
            ("a", config_map("greeting", json!({}), json!({"a": "b"}))),
            (
                "b",
                config_map("team-b", hook.clone(), json!({"precious": "no"})),
            ),
            ("c", claim("ledger", hook)),
        ],
    );
    let uid = release.theirs("team-b");
    release
        .cluster
        .apply(&release.namespace, &claim("ledger", json!({})).to_string());
    let ledger = release.uid("pvc", "ledger");

    let install = ["--chart", &chart];
    let mut refused = String::new();
    let requests = release
        .cluster
        .requests(|| refused = release.run("install", &install).exits(4).stderr);
    assert!(
        requests.iter().all(|request| !request.writes()),
        "{requests:#?}"
    );
    for word in [
        "ConfigMap",
        "team-b",
        "PersistentVolumeClaim",
        "ledger",
        "hook of pre-install",
        "--take-ownership",
    ] {
        assert!(refused.contains(word), "{word} is missing:\n{refused}");
    }
    release.untouched("team-b", &uid);

    let take = [&install[..], &["--take-ownership"]].concat();
    let shown = release
        .run("install", &[&take[..], &["--dry-run=server"]].concat())
        .success()
        .stdout;
    assert!(
        shown.contains("HOOKS:") && shown.contains("team-b (to recreate)"),
        "{shown}"
    );
    assert!(
        shown.contains("it holds data, so it is not deleted first"),
        "{shown}"
    );
    release.run("install", &take).success();
    assert_ne!(release.uid("configmap", "team-b"), uid);
    assert_eq!(release.uid("pvc", "ledger"), ledger);
}

#[test]
fn hooks_are_seen_before_they_run_and_checked_by_the_server() {
    let Some(release) = Release::new() else {
        return;
    };
    let both =
        json!({"kubectl-fabric.io/hook": "pre-upgrade,post-upgrade,pre-rollback,pre-delete"});
    let templates = [
        (
            "a",
            config_map("greeting", json!({}), json!({"a": "{{ values.word }}"})),
        ),
        ("b", config_map("told", both.clone(), json!({"a": "b"}))),
    ];
    let small = chart(&release, &templates);
    release.run("install", &["--chart", &small]).success();
    assert!(release.get("configmap", "told").is_none());

    let changes = |args: &[&str], verb: &str| {
        let shown = release.run(verb, args).success().json();
        shown["hookChanges"].as_array().expect("hooks").clone()
    };
    let planned = changes(
        &["--set", "word=ho", "--dry-run=server", "-o", "json"],
        "upgrade",
    );
    assert_eq!(planned.len(), 1);
    assert_eq!(planned[0]["action"], "create");
    assert_eq!(planned[0]["events"], json!(["pre-upgrade", "post-upgrade"]));
    release.upgrade(&["--set", "word=ho"]).success();
    let uid = release.uid("configmap", "told");

    let shown = release
        .run("diff upgrade", &["--set", "word=hey"])
        .success()
        .stdout;
    assert!(
        shown.contains("told (hook of pre-upgrade, post-upgrade, to recreate"),
        "{shown}"
    );
    assert_eq!(
        changes(&["-o", "json"], "diff upgrade")[0]["action"],
        "recreate"
    );
    assert_eq!(
        changes(&["-o", "json"], "diff rollback")[0]["events"],
        json!(["pre-rollback"])
    );
    assert_eq!(
        changes(&["--dry-run", "-o", "json"], "uninstall")[0]["events"],
        json!(["pre-delete"])
    );
    // A hook alone is no difference.
    release.run("diff upgrade", &["--exit-code"]).success();
    release.upgrade(&["--set", "word=hey"]).success();
    assert_ne!(release.uid("configmap", "told"), uid);

    // What the server would refuse when the hook runs, it refuses before anything is written.
    let mut broken = templates[1].1.clone();
    broken["data"] = json!({"a/b": "c"});
    let broken = chart(&release, &[("a", templates[0].1.clone()), ("b", broken)]);
    let before = release.history();
    let refused = release
        .upgrade(&["--chart", &broken, "--set", "word=no"])
        .exits(1)
        .stderr;
    assert!(
        refused.contains("told (hook of pre-upgrade, post-upgrade)")
            && refused.contains("nothing was changed"),
        "{refused}"
    );
    assert_eq!(release.history(), before);

    release.run("uninstall", &[]).success();
    assert_eq!(release.leftovers(), Vec::<String>::new());
}

#[test]
fn an_object_that_another_creates_while_an_earlier_stage_waits_is_not_adopted() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    let label = format!("adopt-{}", release.cluster.network());
    let late = config_map(
        "late",
        json!({"kubectl-fabric.io/stage": "1"}),
        json!({"a": "b"}),
    );
    let chart = chart(&release, &[("a", held_up(&label)), ("b", late)]);
    let child = release.command(&["install"], &["--chart", &chart]).spawn();
    until("the first stage", || release.get("deployment", "slowly"));
    let uid = release.theirs("late");
    release.release_node(&label);
    let (status, said) = end(child);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("was created in the meantime") && said.contains("late"),
        "{said}"
    );
    release.untouched("late", &uid);
    assert_eq!(release.statuses(), ["failed"]);

    release.run("install", &["--chart", &chart]).exits(4);
    release.kubectl(&["delete", "configmap", "late"]).success();
    release.run("install", &["--chart", &chart]).success();
    assert_eq!(
        release.get("configmap", "late").expect("it is ours now")["data"],
        json!({"a": "b"})
    );
    release.run("uninstall", &[]).success();
}

#[test]
fn an_object_that_another_recreates_during_an_upgrade_is_neither_changed_nor_deleted() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    let label = format!("swap-{}", release.cluster.network());
    let stage = json!({"kubectl-fabric.io/stage": "1"});
    let templates = |word: &str| {
        [
            ("a", config_map("early", json!({}), json!({"a": "b"}))),
            ("b", config_map("late", stage.clone(), json!({"a": word}))),
        ]
    };
    let first = [
        &templates("one")[..],
        &[("c", config_map("dropped", stage.clone(), json!({"a": "b"})))],
    ]
    .concat();
    release
        .run("install", &["--chart", &chart(&release, &first)])
        .success();
    let second = [&templates("two")[..], &[("c", held_up(&label))]].concat();
    let child = release
        .command(&["upgrade"], &["--chart", &chart(&release, &second)])
        .spawn();
    until("the first stage", || release.get("deployment", "slowly"));
    let swap = |name: &str| {
        release.kubectl(&["delete", "configmap", name]).success();
        release.theirs(name)
    };
    let (late, dropped) = (swap("late"), swap("dropped"));
    release.release_node(&label);
    let (status, said) = end(child);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("recreated") && said.contains("late"),
        "{said}"
    );
    release.untouched("late", &late);
    release.untouched("dropped", &dropped);

    release.run("uninstall", &[]).success();
    release.untouched("late", &late);
    release.untouched("dropped", &dropped);
}

#[test]
fn what_is_to_be_pruned_and_was_created_again_by_another_stays() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    let label = format!("prune-{}", release.cluster.network());
    let first = [
        ("a", config_map("early", json!({}), json!({}))),
        ("b", config_map("dropped", json!({}), json!({"a": "b"}))),
    ];
    release
        .run("install", &["--chart", &chart(&release, &first)])
        .success();
    let second = chart(&release, &[first[0].clone(), ("c", held_up(&label))]);
    let child = release.command(&["upgrade"], &["--chart", &second]).spawn();
    until("the objects before the pruning", || {
        release.get("deployment", "slowly")
    });
    release
        .kubectl(&["delete", "configmap", "dropped"])
        .success();
    let uid = release.theirs("dropped");
    release.release_node(&label);
    let (status, said) = end(child);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("dropped stays: in the meantime, another user deleted and recreated it"),
        "{said}"
    );
    release.untouched("dropped", &uid);
}

#[test]
fn a_cleanup_after_a_failure_deletes_what_the_run_created_and_nothing_else() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    let label = format!("never-{}", release.cluster.network());
    let late = config_map(
        "late",
        json!({"kubectl-fabric.io/stage": "1"}),
        json!({"a": "b"}),
    );
    let objects = [
        ("a", held_up(&label)),
        ("b", late),
        ("c", config_map("early", json!({}), json!({}))),
        ("d", config_map("swapped", json!({}), json!({}))),
        ("e", claim("ledger", json!({}))),
    ];
    let chart = chart(&release, &objects);
    let install = ["--chart", &chart, "--timeout", "5s", "--cleanup-on-fail"];
    let child = release.command(&["install"], &install).spawn();
    until("the first stage", || release.get("deployment", "slowly"));
    let late = release.theirs("late");
    release
        .kubectl(&["delete", "configmap", "swapped"])
        .success();
    let swapped = release.theirs("swapped");
    let (status, said) = end(child);
    assert_eq!(status, Some(3), "{said}");
    release.untouched("late", &late);
    release.untouched("swapped", &swapped);
    assert!(
        release.get("deployment", "slowly").is_none()
            && release.get("configmap", "early").is_none()
    );
    let ledger = release
        .get("pvc", "ledger")
        .expect("a claim is never cleaned up");
    assert!(
        ledger["metadata"]["deletionTimestamp"].is_null(),
        "{ledger}"
    );
}

#[test]
fn what_the_chart_keeps_stays_when_all_data_is_deleted() {
    let Some(release) = Release::new() else {
        return;
    };
    let keep = json!({"kubectl-fabric.io/resource-policy": "keep"});
    let chart = chart(
        &release,
        &[
            ("a", config_map("notes", keep.clone(), json!({"a": "b"}))),
            ("b", claim("archive", keep)),
            ("c", claim("ledger", json!({}))),
        ],
    );
    release.run("install", &["--chart", &chart]).success();
    let uids = ["configmap/notes", "pvc/archive"]
        .map(|named| named.split_once('/').expect("a kind and a name"));
    let before = uids.map(|(kind, name)| release.uid(kind, name));
    // The second finds by its marks what the first has kept.
    for _ in 0..2 {
        let said = release
            .run("uninstall", &["--delete-data", "--yes"])
            .success();
        assert!(
            said.stdout
                .contains("archive (its resource policy is keep)"),
            "{}",
            said.told()
        );
        let archive = release.get("pvc", "archive").expect("it stays");
        assert!(
            archive["metadata"]["deletionTimestamp"].is_null(),
            "{archive}"
        );
        assert_eq!(uids.map(|(kind, name)| release.uid(kind, name)), before);
        until("the other claim to be gone", || {
            release.get("pvc", "ledger").is_none().then_some(())
        });
    }
}

#[test]
fn a_changed_job_is_made_again_without_being_asked() {
    let Some(release) = Release::new() else {
        return;
    };
    let job = |image: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": image}]}}},
        })
    };
    release
        .run(
            "install",
            &[
                "--chart",
                &chart(&release, &[("a", job("registry.example/a:1"))]),
            ],
        )
        .success();
    let uid = release.uid("job", "migrate");
    release
        .upgrade(&[
            "--chart",
            &chart(&release, &[("a", job("registry.example/a:2"))]),
        ])
        .success();
    assert_ne!(release.uid("job", "migrate"), uid);
    let job = release.get("job", "migrate").expect("it is there");
    assert_eq!(
        job["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example/a:2"
    );
}

#[test]
fn after_a_failed_write_no_other_is_begun() {
    const COUNT: usize = 300;
    let Some(release) = Release::new() else {
        return;
    };
    let first = chart(
        &release,
        &[("a", config_map("old", json!({}), json!({"a": "b"})))],
    );
    release.run("install", &["--chart", &first]).success();
    // Of so many that are alike one is tried, so the server refuses the key of another when it is
    // written.
    let many = chart(
        &release,
        &[(
            "b",
            held_up(&format!("never-{}", release.cluster.network())),
        )],
    );
    let template = format!(
        "{{% for index in range({COUNT}) %}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{{{ \"c\" ~ (1000 + index) }}}}\n\
         data: {{{{ {{\"no/key\": \"\"}} if index == 5 else {{}} }}}}\n{{% endfor %}}\n"
    );
    fs::write(
        std::path::Path::new(&many).join("templates/many.yaml"),
        template,
    )
    .expect("a file");
    let said = release.upgrade(&["--chart", &many]).exits(1).stderr;
    assert!(said.contains("c1005") && said.contains("no/key"), "{said}");
    let written = release
        .uids("configmap")
        .iter()
        .filter(|(name, _)| name.starts_with("c1"))
        .count();
    // Those under way are let finish.
    assert!((1..COUNT / 2).contains(&written), "{written} of {COUNT}");
    assert!(
        release.get("deployment", "slowly").is_none(),
        "kinds that come later"
    );
    assert!(
        release.get("configmap", "old").is_some(),
        "nothing is pruned"
    );
    assert_eq!(release.statuses(), ["deployed", "failed"]);
}

#[test]
fn marks_that_were_copied_do_not_make_an_object_the_recorded_one() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart(
        &release,
        &[("a", config_map("greeting", json!({}), json!({"a": "b"})))],
    );
    release.run("install", &["--chart", &chart]).success();
    let mut copy = release.get("configmap", "greeting").expect("it is there");
    release
        .kubectl(&["delete", "configmap", "greeting"])
        .success();
    let metadata = copy["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|field, _| matches!(field.as_str(), "name" | "labels" | "annotations"));
    release
        .cluster
        .kubectl()
        .args(["create", "-n", &release.namespace, "-f", "-"])
        .stdin(copy.to_string())
        .run()
        .success();
    let uid = release.uid("configmap", "greeting");
    let said = release.run("uninstall", &[]).success().stdout;
    assert!(
        said.contains("greeting") && said.contains("recreated"),
        "{said}"
    );
    assert_eq!(release.uid("configmap", "greeting"), uid);
}

#[test]
fn a_namespace_is_deleted_only_when_it_holds_nothing_of_others_of_any_kind() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart(
        &release,
        &[("a", config_map("greeting", json!({}), json!({"a": "b"})))],
    );
    let uninstall = ["--delete-namespace"];
    let group = format!("{}.example.com", release.cluster.network());
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}],
        },
    });
    release.cluster.apply("default", &definition.to_string());
    let established = [
        "wait",
        "--for=condition=established",
        "crd",
        &format!("things.{group}"),
    ];
    release.cluster.kubectl().args(established).run().success();
    let theirs = [
        json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "database"}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "team-b"}, "rules": []}),
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": {"pods": "10"}}}),
    ];
    for body in theirs {
        release.run("install", &["--chart", &chart]).success();
        let (kind, name) = (
            body["kind"].as_str().expect("a kind").to_owned(),
            body["metadata"]["name"].as_str().expect("a name"),
        );
        until("the kind to be known", || {
            let create = release
                .cluster
                .kubectl()
                .args(["create", "-n", &release.namespace, "-f", "-"])
                .stdin(body.to_string())
                .run();
            (create.status == Some(0)).then_some(())
        });
        let shown = release
            .run("uninstall", &["--delete-namespace", "--dry-run"])
            .success()
            .stderr;
        let said = release.run("uninstall", &uninstall).success().stderr;
        for said in [&shown, &said] {
            assert!(
                !said.contains("deprecated"),
                "the look for others is no business of the user's: {said}"
            );
            assert!(
                said.contains("stays") && said.contains(&format!("{kind} {name}")),
                "{said}"
            );
        }
        assert!(release.get(&kind, name).is_some());
        release.kubectl(&["delete", &kind, name]).success();
    }
    // What cannot be seen may be there.
    release.run("install", &["--chart", &chart]).success();
    let user = format!("--as=editor-{}", release.cluster.network());
    let bind = [
        "create",
        "rolebinding",
        "editor",
        "--clusterrole=edit",
        &user.replace("--as=", "--user="),
    ];
    release.kubectl(&bind).success();
    let may = format!("{}-namespace", release.cluster.network());
    let rule = [
        "create",
        "clusterrole",
        &may,
        "--verb=get,delete",
        "--resource=namespaces",
    ];
    release.cluster.kubectl().args(rule).run().success();
    let bind = [
        "create",
        "clusterrolebinding",
        &may,
        &format!("--clusterrole={may}"),
        &user.replace("--as=", "--user="),
    ];
    release.cluster.kubectl().args(bind).run().success();
    until("the server to know the roles", || {
        (release
            .kubectl(&["auth", "can-i", "delete", "namespaces", &user])
            .status
            == Some(0))
        .then_some(())
    });
    let said = release
        .run("uninstall", &["--delete-namespace", &user])
        .success()
        .stderr;
    assert!(
        said.contains("stays") && said.contains("cannot be listed"),
        "{said}"
    );
    assert!(
        release
            .cluster
            .get("namespace", &release.namespace, None)
            .is_some()
    );
    release
        .kubectl(&["delete", "rolebinding", "editor"])
        .success();

    // Empty but for what Kubernetes puts into every namespace: gone when the command returns.
    release.run("install", &["--chart", &chart]).success();
    release.run("uninstall", &uninstall).success();
    assert!(
        release
            .cluster
            .get("namespace", &release.namespace, None)
            .is_none()
    );
    let clean = [
        "delete",
        "crd,clusterrole,clusterrolebinding",
        "--ignore-not-found",
        &format!("things.{group}"),
        &may,
    ];
    release.cluster.kubectl().args(clean).run();
}
