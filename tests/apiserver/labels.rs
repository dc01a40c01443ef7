//! `--labels`: the user's own labels of a release live through its revisions, and select it.

use crate::nodes::Release;
use serde_json::{Value, json};

fn labels(release: &Release) -> Value {
    let listed = release
        .cluster
        .fabric()
        .args(["list", "-n", &release.namespace, "-o", "json"])
        .run()
        .success()
        .json();
    listed[0]["labels"].clone()
}

#[test]
fn labels_live_through_revisions_and_select_the_release() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--labels", "team=a,env=test"]).success();
    assert_eq!(labels(&release), json!({"env": "test", "team": "a"}));
    release.upgrade(&["--set", "extra=true"]).success();
    assert_eq!(
        labels(&release),
        json!({"env": "test", "team": "a"}),
        "an upgrade keeps them"
    );
    release
        .upgrade(&["-l", "team=b", "--labels", "env=null,example.com/tier="])
        .success();
    assert_eq!(
        labels(&release),
        json!({"example.com/tier": "", "team": "b"})
    );
    let list = |selector: &str| {
        let list = [
            "list",
            "-n",
            &release.namespace,
            "-o",
            "name",
            "-l",
            selector,
        ];
        release.cluster.fabric().args(list).run().success().stdout
    };
    for selector in [
        "team=b",
        "team in (a,b),!env",
        "example.com/tier,status=deployed",
    ] {
        assert_eq!(list(selector), "app\n", "{selector}");
    }
    for selector in ["team=a", "env", "team notin (b)"] {
        assert_eq!(list(selector), "", "{selector}");
    }
    let kubectl = [
        "get",
        "configmap",
        "-n",
        &release.namespace,
        "-l",
        "team=b",
        "-o",
        "name",
    ];
    assert!(
        release
            .cluster
            .kubectl()
            .args(kubectl)
            .run()
            .success()
            .stdout
            .contains("kubectl-fabric.v1.app.v3")
    );
    release.run("rollback", &["2"]).success();
    assert_eq!(
        labels(&release),
        json!({"env": "test", "team": "a"}),
        "a rollback brings back those of its revision"
    );
    assert_eq!(
        release.run("status", &["-o", "json"]).success().json()["labels"]["env"],
        "test"
    );
    // Who may write ConfigMaps and not read Secrets cannot give a release another label.
    let record = "kubectl-fabric.v1.app.v4";
    release
        .cluster
        .kubectl()
        .args([
            "label",
            "configmap",
            record,
            "-n",
            &release.namespace,
            "team=x",
            "--overwrite",
        ])
        .run()
        .success();
    assert_eq!(labels(&release), json!({"env": "test", "team": "a"}));
    let refused = release.upgrade(&["--labels", "status=deployed"]).exits(1);
    assert!(
        refused.stderr.contains("reserved for kubectl-fabric"),
        "{}",
        refused.told()
    );
}

#[test]
fn selectors_and_objects_are_completed() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--labels", "team=a"]).success();
    let complete = |words: &[&str]| {
        let answer = release
            .cluster
            .fabric()
            .args(["__complete"])
            .args(words)
            .run()
            .success()
            .stdout;
        let (candidates, directive) = answer
            .trim_end()
            .rsplit_once('\n')
            .unwrap_or(("", answer.trim_end()));
        (
            candidates.lines().map(str::to_owned).collect::<Vec<_>>(),
            directive.to_owned(),
        )
    };
    let namespace = release.namespace.as_str();
    let one = |word: &str, directive: &str| (vec![word.to_owned()], directive.to_owned());
    assert_eq!(
        complete(&["list", "-n", namespace, "-l", "tea"]),
        one("team=", ":6")
    );
    assert_eq!(
        complete(&["list", "-n", namespace, "-l", "team=a,status=d"]),
        one("team=a,status=deployed", ":4")
    );
    assert_eq!(
        complete(&[
            "upgrade",
            "app",
            "-n",
            namespace,
            "--recreate",
            "StatefulSet/f"
        ]),
        one("StatefulSet/first", ":4")
    );
    let (members, _) = complete(&[
        "upgrade",
        "app",
        "-n",
        namespace,
        "--allow-down",
        "StatefulSet/node0,StatefulSet/node",
    ]);
    assert_eq!(
        members,
        [
            "StatefulSet/node0,StatefulSet/node0",
            "StatefulSet/node0,StatefulSet/node1"
        ]
    );
}
