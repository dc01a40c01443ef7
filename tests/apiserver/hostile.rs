//! Hostile text in everything that a command shows: none of it steers the reader's terminal,
//! whatever the verb.

use crate::support::{self, Cluster, Output};
use kubectl_fabric::yaml;
use serde_json::{Value, json};
use std::fs;

/// Clears the screen, sets the title, hides what follows, moves back, and turns the text: by escape
/// sequences, C0, C1, DEL and bidi.
const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[8m\u{9b}8m\r\u{8}\u{85}\u{202e}\u{2066}\u{61c}\u{7f}end";

/// The styles of the program, and of its argument parser.
const STYLES: [&str; 7] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[4m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[36m",
];

/// # Panics
///
/// If the text holds what steers a terminal, beside lines, tabs and the program's styles.
#[track_caller]
fn assert_harmless(what: &str, stream: &str, text: &str) {
    let plain = STYLES
        .iter()
        .fold(text.to_owned(), |text, style| text.replace(style, ""));
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmful = plain
        .char_indices()
        .find(|(_, c)| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(*c));
    if let Some((at, c)) = harmful {
        let around: String = plain[..at]
            .chars()
            .rev()
            .take(60)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        panic!("{what}: {stream} holds {c:?} after {around:?}");
    }
}

fn write(folder: &std::path::Path, files: &[(&str, String)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

/// A chart that is hostile in every text that it has.
fn chart(cluster: &Cluster) {
    let quoted = yaml::emit(&json!(HOSTILE)).trim_end().to_owned();
    let object = |head: &str, body: &str| format!("---\n{head}{body}");
    let pod = "  restartPolicy: Never\n  containers:\n  - {name: main, image: \"registry.example/hook:1\"}\n";
    let templates = [
        object(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: words\n  annotations:\n    example.com/words: {{ values.text }}\n",
            "data:\n  words: {{ values.text }}\n  lines: {{ values.text ~ \"\\n\" ~ values.text }}\n",
        ),
        object(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: node\n",
            "spec:\n  serviceName: node\n  selector:\n    matchLabels: {node: node}\n  template:\n    metadata:\n      labels: {node: node}\n      \
             annotations:\n        sim.kubectl-fabric.io/state: {{ values.state }}\n    spec:\n      containers:\n      - name: node\n        \
             image: \"registry.example/node:1\"\n        args: [{{ values.text }}]\n",
        ),
        object(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: check\n  annotations:\n    kubectl-fabric.io/hook: test\n    \
             sim.kubectl-fabric.io/state: {{ values.testState }}\n    example.com/words: {{ values.text }}\nspec:\n",
            pod,
        ),
    ];
    let folder = cluster.folder().join("hostile");
    write(
        &folder,
        &[
            (
                "Chart.yaml",
                format!(
                    "apiVersion: v2\nname: hostile\nversion: 0.1.0\nappVersion: {quoted}\ndescription: {quoted}\ndeprecated: true\n"
                ),
            ),
            (
                "values.yaml",
                format!("text: {quoted}\nstate: \"\"\ntestState: \"\"\n"),
            ),
            ("README.md", format!("# {HOSTILE}\r\n")),
            (
                "templates/NOTES.txt",
                format!("{HOSTILE} {{{{ values.text }}}}\n"),
            ),
            ("templates/all.yaml", templates.concat()),
        ],
    );
}

#[test]
fn nothing_in_a_release_steers_the_terminal_of_any_verb() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.create_namespace("app");
    chart(&cluster);
    let run = |args: &[&str]| -> Output {
        let output = cluster
            .fabric()
            .args(args)
            .args(["-n", &namespace])
            .env("CLICOLOR_FORCE", "1")
            .run();
        assert_harmless(&format!("{args:?}"), "stdout", &output.stdout);
        assert_harmless(&format!("{args:?}"), "stderr", &output.stderr);
        output
    };
    let installed = run(&["install", "app", "--chart", "./hostile"]).success();
    assert!(
        installed.stdout.contains('\u{fffd}') && installed.stdout.contains("end"),
        "the notes are shown: {}",
        installed.stdout
    );
    run(&["upgrade", "app", "--set", "state="]).success();

    // What others wrote: the record, an event, a drifted object.
    let annotate = |revision: &str, name: &str, text: &str| {
        let annotation = format!("kubectl-fabric.io/{name}={text}");
        let record = format!("kubectl-fabric.v1.app.v{revision}");
        cluster
            .kubectl()
            .args([
                "annotate",
                "--overwrite",
                "configmap",
                &record,
                "-n",
                &namespace,
                &annotation,
            ])
            .run()
            .success();
    };
    let mut written = Vec::new();
    for revision in ["1", "2"] {
        let record = cluster
            .get(
                "configmap",
                &format!("kubectl-fabric.v1.app.v{revision}"),
                Some(&namespace),
            )
            .expect("a record");
        for name in ["description", "user"] {
            let text = record["metadata"]["annotations"][format!("kubectl-fabric.io/{name}")]
                .as_str()
                .expect("an annotation");
            written.push((revision, name, text.to_owned()));
            annotate(revision, name, HOSTILE);
        }
    }
    let drifted = json!({"data": {"words": format!("{HOSTILE}2"), "more": HOSTILE}}).to_string();
    cluster
        .kubectl()
        .args([
            "patch",
            "configmap",
            "words",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            &drifted,
        ])
        .run()
        .success();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "hostile", "namespace": namespace},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "node", "namespace": namespace},
        "type": "Warning", "reason": "FailedCreate", "message": HOSTILE, "firstTimestamp": null, "lastTimestamp": null,
    });
    cluster
        .kubectl()
        .args(["create", "-n", &namespace, "-f", "-"])
        .stdin(event.to_string())
        .run()
        .success();
    write(
        cluster.folder(),
        &[(
            "values.yaml",
            format!("text: {}\n", yaml::emit(&json!(HOSTILE)).trim_end()),
        )],
    );
    write(
        cluster.folder(),
        &[(&format!("{HOSTILE}.yaml"), "text: [\n".to_owned())],
    );
    let context =
        json!({"contexts": [{"name": HOSTILE, "context": {"cluster": "none"}}, {"name": "plain"}]});
    write(cluster.folder(), &[("config.json", context.to_string())]);

    let hostile_file = format!("{HOSTILE}.yaml");
    let hostile_set = format!("text={HOSTILE}");
    let hostile_label = format!("status={HOSTILE}");
    let chart = ["--chart", "./hostile"];
    let table: &[&[&str]] = &[
        &["list"],
        &["list", "-l", &hostile_label],
        &["list", "--filter", HOSTILE],
        &["history", "app"],
        &["status", "app"],
        &["get", "all", "app"],
        &["get", "values", "app"],
        &["get", "values", "app", "--all"],
        &["get", "manifest", "app"],
        &["get", "notes", "app"],
        &["get", "hooks", "app"],
        &["get", "metadata", "app"],
        &["diff", "upgrade", "app", "--set", "text=other"],
        &["diff", "revision", "app", "1", "2"],
        &["diff", "rollback", "app", "1"],
        &["drift", "app"],
        &["upgrade", "app", "--dry-run=server", "-f", "values.yaml"],
        &["rollback", "app", "--dry-run"],
        &["test", "app", "--logs"],
        &["template", "app", chart[0], chart[1]],
        &[
            "template",
            "app",
            chart[0],
            chart[1],
            "--show-only",
            HOSTILE,
        ],
        &["lint", "./hostile"],
        &["lint", HOSTILE],
        &["charts", "list"],
        &["charts", "show", "all", "./hostile"],
        &["charts", "show", "readme", "./hostile"],
        &["charts", "show", "values", "./hostile"],
        &["charts", "show", "chart", "./hostile"],
        &["charts", "show", "files", "./hostile"],
        &["values", "explain", "app", chart[0], chart[1]],
        &[
            "values",
            "explain",
            "app",
            chart[0],
            chart[1],
            "--path",
            "text",
            "--set",
            &hostile_set,
        ],
        &["uninstall", "app", "--dry-run"],
        &["version"],
        // What the user is repeated.
        &["install", HOSTILE],
        &["status", HOSTILE],
        &["upgrade", "app", "--set", HOSTILE],
        &["upgrade", "app", "-f", &hostile_file],
        &["upgrade", "app", "--chart", HOSTILE],
        &["rollback", "app", HOSTILE],
        &["list", "--context", HOSTILE],
        &["list", "-o", HOSTILE],
        &["list", HOSTILE],
        &[HOSTILE],
        &["history", "app", "-v", "9", "--selector", HOSTILE],
        &["history", "app", "-v", "9"],
    ];
    for args in table {
        run(args);
        for format in ["json", "yaml"] {
            run(&[*args, &["-o", format]].concat());
        }
    }
    for args in [
        &["__complete", "status", ""][..],
        &["__complete", "rollback", "app", "-n", &namespace, ""],
        &[
            "__complete",
            "--kubeconfig",
            "config.json",
            "list",
            "--context",
            "",
        ],
        &["__complete", "upgrade", "app", "-f", ""],
        &["completion", "bash"],
    ] {
        // The words after `__complete` are the user's: no flag may follow.
        let output = cluster.fabric().args(args).run();
        assert_harmless(&format!("{args:?}"), "stdout", &output.stdout);
        assert_harmless(&format!("{args:?}"), "stderr", &output.stderr);
        // A description may speak of it; a name that a shell would not take as it is is not
        // offered.
        let words = output
            .stdout
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default());
        assert!(
            args[0] == "completion" || !words.into_iter().any(|word| word.contains("owned")),
            "{args:?}: {}",
            output.stdout
        );
    }

    // The documents still say what the values are.
    written
        .iter()
        .for_each(|(revision, name, text)| annotate(revision, name, text));
    let get = |format: &str| run(&["get", "values", "app", "--all", "-o", format]).success();
    assert_eq!(get("json").json()["text"], HOSTILE);
    assert_eq!(
        yaml::parse(&get("yaml").stdout, "values").expect("YAML")["text"],
        HOSTILE
    );
    let manifest = run(&["get", "manifest", "app"]).success().stdout;
    let documents = yaml::parse_stream(&manifest, "manifest").expect("YAML");
    let words = documents
        .iter()
        .map(|document| &document.value)
        .find(|body| body["metadata"]["name"] == "words");
    assert_eq!(words.expect("the ConfigMap")["data"]["words"], HOSTILE);

    // A kubelet's words while an upgrade waits and when it fails, in both forms of progress.
    let failing = [
        "--set",
        "state=image-pull-error",
        "--timeout",
        "3s",
        "--force-conflicts",
    ];
    let failed = run(&[&["upgrade", "app"], &failing[..]].concat()).exits(3);
    assert!(
        failed.stderr.contains("cannot be pulled"),
        "{}",
        failed.stderr
    );
    let image =
        json!([{"op": "replace", "path": "/status/containerStatuses/0/image", "value": HOSTILE}])
            .to_string();
    let image = yaml::json_for_yaml(&image);
    let patch = [
        "patch",
        "pod",
        "node-0",
        "-n",
        &namespace,
        "--subresource=status",
        "--type=json",
        "-p",
        &image,
    ];
    cluster.kubectl().args(patch).run().success();
    let failed = run(&[&["upgrade", "app"], &failing[..]].concat()).exits(3);
    assert!(
        failed.stderr.contains("cannot be pulled") && failed.stderr.contains('\u{fffd}'),
        "{}",
        failed.stderr
    );
    let events = run(&[&["upgrade", "app", "--events", "json"], &failing[..]].concat())
        .exits(3)
        .stderr;
    let message = |line: &str| {
        serde_json::from_str::<Value>(line)
            .unwrap_or_else(|error| panic!("{error}: {line}"))
            .to_string()
    };
    assert!(
        events
            .lines()
            .map(message)
            .any(|event| event.contains("owned")),
        "{events}"
    );
    run(&["status", "app"]);
    run(&["history", "app"]).success();
    run(&["test", "app", "--logs"]);
    run(&["uninstall", "app"]).success();
}
