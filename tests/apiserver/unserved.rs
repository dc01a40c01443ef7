//! A kind that the server no longer serves, because its CustomResourceDefinition was deleted: what
//! is looked at stays to be seen, what is to be written is refused by name.

use crate::support::{self, Cluster, Output, until};
use serde_json::{Value, json};
use std::fs;

struct Release {
    cluster: Cluster,
    namespace: String,
    /// Of this test alone: definitions are the whole cluster's.
    group: String,
}

const TEMPLATE: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: words
data:
  text: {{ values.text ~ "" }}
{% if values.widget %}
---
apiVersion: {{ values.group ~ "/v1" }}
kind: Widget
metadata:
  name: gear
spec: {}
{% endif %}
{% if values.hook %}
---
apiVersion: {{ values.group ~ "/v1" }}
kind: Widget
metadata:
  name: lever
  annotations:
    kubectl-fabric.io/hook: pre-upgrade,test
spec: {}
{% endif %}
"#;

/// A version of the definition of Widgets, in which they are stored if it is served.
fn version(name: &str, served: bool) -> Value {
    json!({"name": name, "served": served, "storage": served, "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"type": "object"}},
    }}})
}

impl Release {
    /// With the definition of Widgets and the chart that uses them.
    fn new() -> Option<Release> {
        let cluster = support::cluster()?;
        let namespace = cluster.create_namespace("app");
        let group = format!("{}.example.com", cluster.network());
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
                "versions": [version("v1", true)],
            },
        });
        cluster.apply(&namespace, &definition.to_string());
        let name = format!("crd/widgets.{group}");
        cluster
            .kubectl()
            .args([
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                &name,
            ])
            .run()
            .success();
        let chart = cluster.folder().join("widgets");
        fs::create_dir_all(chart.join("templates")).expect("a folder");
        fs::write(
            chart.join("Chart.yaml"),
            "apiVersion: v2\nname: widgets\nversion: 0.1.0\n",
        )
        .expect("a file");
        fs::write(
            chart.join("values.yaml"),
            format!("text: one\nwidget: true\nhook: false\ngroup: {group}\n"),
        )
        .expect("a file");
        fs::write(chart.join("templates/all.yaml"), TEMPLATE).expect("a file");
        Some(Release {
            cluster,
            namespace,
            group,
        })
    }

    fn run(&self, args: &[&str]) -> Output {
        self.cluster
            .fabric()
            .args(args)
            .args(["-n", &self.namespace])
            .run()
    }

    fn upgrade(&self, set: &str) -> Output {
        self.run(&["upgrade", "app", "--chart", "./widgets", "--set", set])
    }

    /// Runs what is refused, and sees that it writes nothing.
    fn refused(&self, args: &[&str]) -> String {
        let mut output = None;
        let requests = self
            .cluster
            .requests(|| output = Some(self.run(args).exits(1)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
        assert!(written.is_empty(), "{args:?}: {written:#?}");
        let said = output.expect("it ran").stderr;
        for words in [
            &format!("no kind Widget in {}", self.group),
            "nothing was changed",
            "CustomResourceDefinition",
        ] {
            assert!(said.contains(words), "{args:?}: no {words:?} in {said}");
        }
        said
    }
}

#[test]
fn a_deleted_definition_stops_no_look_at_a_release_and_every_write_of_its_kind() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .run(&["install", "app", "--chart", "./widgets"])
        .success();
    release.upgrade("widget=false,text=two").success();
    release.upgrade("widget=true,text=three").success();
    let cluster = &release.cluster;
    cluster
        .kubectl()
        .args(["delete", "crd", &format!("widgets.{}", release.group)])
        .run()
        .success();
    let group = format!("/apis/{}/v1", release.group);
    until("the kind to be gone", || {
        (cluster
            .kubectl()
            .args(["get", "--raw", &group])
            .run()
            .status
            != Some(0))
        .then_some(())
    });
    cluster
        .kubectl()
        .args(["delete", "configmap", "words", "-n", &release.namespace])
        .run()
        .success();

    let (gear, words) = (
        format!("Widget {}/gear", release.namespace),
        format!("ConfigMap {}/words", release.namespace),
    );
    for looked in [
        &["drift", "app"][..],
        &["diff", "upgrade", "app", "--exit-code"],
        &["diff", "rollback", "app", "1", "--exit-code"],
    ] {
        let output = release.run(looked).exits(2);
        let warned = output
            .stderr
            .lines()
            .any(|line| line.contains("does not serve") && line.contains(&gear));
        assert!(warned, "{looked:?}: {}", output.stderr);
        assert!(
            output.stdout.contains(&words) && output.stdout.contains(&gear),
            "{looked:?}: {}",
            output.stdout
        );
    }
    assert!(
        release
            .run(&["status", "app"])
            .success()
            .stdout
            .contains("gear")
    );

    assert!(release.refused(&["rollback", "app", "1"]).contains(&gear));
    assert!(release.refused(&["upgrade", "app"]).contains(&gear));
    assert!(
        release
            .refused(&["upgrade", "app", "--dry-run=server"])
            .contains(&gear)
    );
    let hook = ["upgrade", "app", "--set", "widget=false,hook=true"];
    assert!(release.refused(&hook).contains("/lever"));
    release.run(&[&["diff"], &hook[..]].concat()).success();
    release
        .run(&[&hook[..], &["--no-hooks"]].concat())
        .success();
    assert!(release.refused(&["test", "app"]).contains("/lever"));

    // The rest of the release goes on, and leaves without the kind.
    let back = release.run(&["rollback", "app", "2"]).success();
    let text = || {
        release
            .cluster
            .get("configmap", "words", Some(&release.namespace))
            .expect("it is there")["data"]["text"]
            .clone()
    };
    assert_eq!(text(), "two", "{}", back.stderr);
    release.run(&["uninstall", "app"]).success();
    assert!(
        release
            .cluster
            .get("configmap", "words", Some(&release.namespace))
            .is_none()
    );
}

#[test]
fn an_object_of_a_version_that_is_no_longer_served_is_tracked_in_the_one_that_is() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .run(&["install", "app", "--chart", "./widgets"])
        .success();
    release.upgrade("widget=true,text=two").success();
    // As with TLSRoute: v1alpha2 before Gateway API 1.5, v1 since.
    let cluster = &release.cluster;
    let definition = format!("crd/widgets.{}", release.group);
    let patch =
        json!({"spec": {"versions": [version("v2", true), version("v1", false)]}}).to_string();
    cluster
        .kubectl()
        .args(["patch", &definition, "--type=merge", "-p", &patch])
        .run()
        .success();
    let served = |version: &str| {
        let path = format!("/apis/{}/{version}", release.group);
        cluster.kubectl().args(["get", "--raw", &path]).run().status == Some(0)
    };
    until("the version to change", || {
        (served("v2") && !served("v1")).then_some(())
    });

    release.run(&["drift", "app"]).exits(0);
    let status = release
        .run(&["status", "app", "-o", "json"])
        .success()
        .json();
    let resources = status["info"]["resources"].as_array().expect("a list");
    let gear = resources
        .iter()
        .find(|resource| resource["name"] == "gear")
        .expect("its entry");
    assert_eq!(gear["ready"], "yes", "{gear}");
    // Others' changes are seen in it, and a record is applied in the version that is served.
    let kind = format!("widgets.v2.{}", release.group);
    cluster
        .kubectl()
        .args(["label", &kind, "gear", "team=b", "-n", &release.namespace])
        .run()
        .success();
    let drift = release.run(&["drift", "app"]).exits(2).stdout;
    assert!(drift.contains("+    team: b"), "{drift}");
    cluster
        .kubectl()
        .args(["delete", &kind, "gear", "-n", &release.namespace])
        .run()
        .success();
    release.run(&["rollback", "app", "1"]).success();
    let gear = || cluster.get(&kind, "gear", Some(&release.namespace));
    assert!(gear().is_some());
    // A chart that still says the old version is told which one there is.
    let refused = release.upgrade("text=three").exits(1).stderr;
    for words in [
        "no kind Widget in",
        "it serves it in",
        "/v2",
        "nothing was changed",
    ] {
        assert!(refused.contains(words), "no {words:?} in {refused}");
    }
    release.upgrade("widget=false,text=three").success();
    assert!(gear().is_none(), "what is no longer wanted is pruned");

    // An uninstall finds it, too.
    release.run(&["rollback", "app", "1"]).success();
    assert!(gear().is_some());
    release.run(&["uninstall", "app"]).success();
    assert!(gear().is_none());
}
