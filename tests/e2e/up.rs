//! Networks from their files.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::node::Node;
use crate::support::Output;

fn run(node: &Node, args: &[&str]) -> Output {
    node.cluster.fabric().args(args).run()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout)
        .unwrap_or_else(|_| panic!("JSON: {}{}", output.stdout, output.stderr))
}

/// The same command again and again, killed a little later each time, then not at all; the network
/// is the same as if it had not been killed.
pub fn up_and_down(node: &Node, network: &[&str]) {
    let up = [&["up"], network].concat();
    for milliseconds in [300, 2_000, 9_000, 13_000] {
        node.cluster.fabric().args(&up).run_as(|process| {
            std::thread::spawn(move || {
                sleep(Duration::from_millis(milliseconds));
                // It may have ended by itself.
                Command::new("kill")
                    .args(["-KILL", &process.to_string()])
                    .output()
            });
        });
    }
    let up = [&up[..], &["-o", "json"]].concat();
    node.fabric(&up);
    let again = json(&node.fabric(&up));
    assert_eq!(again["changed"], false, "{again}");
    transact(node);
    let status = ["status", "-o", "json"];
    if let ["-f", file] = network {
        let status = json(&node.fabric(&[&status[..], &["-f", file]].concat()));
        assert_eq!(status["missing"], serde_json::json!([]), "{status}");
        let compare = node.fabric(&["diff", "-f", file, "--exit-code", "-o", "markdown"]);
        assert_eq!(compare.stdout, "Nothing to do.\n");
        come_back(node, file);
    }
}

/// Invoked through one organization, read through the other.
fn transact(node: &Node) {
    let create = r#"["CreateAsset","a1","blue","5","Tom","100"]"#;
    node.fabric(&[
        "chaincode",
        "invoke",
        "basic",
        "-c",
        create,
        "--org",
        "org1",
    ]);
    assert_eq!(owner(node), "Tom");
}

fn owner(node: &Node) -> Value {
    let read = r#"["ReadAsset","a1"]"#;
    let query = ["chaincode", "query", "basic", "-c", read, "--org", "org2"];
    let asset: Value = serde_json::from_str(&node.fabric(&query).stdout).expect("an asset");
    asset["owner"].clone()
}

/// What `down` leaves is enough for `up`.
fn come_back(node: &Node, file: &str) {
    node.fabric(&["down", "-f", file]);
    let back = json(&node.fabric(&["up", "-f", file, "-o", "json"]));
    let steps = back["steps"].as_array().expect("steps");
    for step in steps {
        let id = step["id"].as_str().expect("an id");
        assert!(id.starts_with("release/"), "{id}: the ledgers were kept");
    }
    assert_eq!(owner(node), "Tom");
}

/// Of two runs at once, each waits for the releases that the other works on, and both come to the
/// end.
pub fn two_at_once(node: &Node, network: &[&str]) {
    let up = [&["up"], network].concat();
    let ends: Vec<Output> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| run(node, &up))).collect();
        runs.into_iter()
            .map(|it| it.join().expect("a run"))
            .collect()
    });
    for it in ends {
        it.success();
    }
    let again = json(&node.fabric(&[&up[..], &["-o", "json"]].concat()));
    assert_eq!(again["changed"], false, "{again}");
    transact(node);
}

/// An organization that leaves the file stays in the channel until it is pruned, which must be
/// confirmed. Then the others transact without it.
pub fn an_organization_leaves(node: &Node) {
    let folder = node.cluster.folder();
    let write = |organizations: &[&str]| {
        let peers = |name: &&str| {
            format!("  {name}: {{values: {{ca: {{enabled: false}}, peers: {{count: 1}}}}}}\n")
        };
        let text = format!(
            "apiVersion: kubectl-fabric.io/v1\nkind: Network\norganizations:\n\
             \x20 orgorderer1: {{values: {{orderers: {{count: 1}}}}}}\n{}channels:\n\
             \x20 mychannel: {{orderers: [orgorderer1], organizations: [{}], batchTimeout: 200ms}}\n",
            organizations.iter().map(peers).collect::<String>(),
            organizations.join(", "),
        );
        std::fs::write(folder.join("network.yaml"), text).expect("a folder of ours");
    };
    let file = folder.join("network.yaml").display().to_string();
    let up = ["up", "-f", &file];
    write(&["org1", "org2"]);
    node.fabric(&up);
    write(&["org1"]);
    let kept = node.fabric(&up);
    for words in ["organization Org2MSP is in mychannel", "release org2"] {
        assert!(kept.stderr.contains(words), "{words}\n{}", kept.stderr);
    }
    let prune = [&up[..], &["--prune"]].concat();
    let asked = run(node, &prune);
    assert_eq!(asked.status, Some(4), "{}", asked.stderr);
    assert!(
        asked.stderr.contains("remove organization Org2MSP"),
        "{}",
        asked.stderr
    );
    node.fabric(&[&prune[..], &["--yes"]].concat());
    let show = node.fabric(&["channel", "show", "mychannel", "--org", "org1"]);
    assert!(!show.stdout.contains("Org2MSP"), "{}", show.stdout);
    let list = node.fabric(&["list", "-A", "-o", "json"]);
    assert!(!list.stdout.contains("\"org2\""), "{}", list.stdout);
    let last = json(&node.fabric(&[&up[..], &["-o", "json"]].concat()));
    assert_eq!(
        (&last["changed"], &last["leftovers"]),
        (&Value::Bool(false), &serde_json::json!([]))
    );
}
