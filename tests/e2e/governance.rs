//! Changes of a running channel: by one command, and by files between organizations that see
//! nothing of each other's cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use crate::channel::install;
use crate::network::{RAFT, decoded};
use crate::node::Node;
use crate::support::{Output, until};

/// What a user of one kubeconfig does.
pub struct Partner<'a> {
    node: &'a Node,
    kubeconfig: PathBuf,
}

impl<'a> Partner<'a> {
    /// A user who has these namespaces and sees no others.
    pub fn new(node: &'a Node, name: &str, namespaces: &[&str]) -> Partner<'a> {
        let cluster = &node.cluster;
        let home = namespaces[0];
        let account = ["create", "serviceaccount", name, "-n", home];
        cluster.kubectl().args(account).run().success();
        let subject = format!("--serviceaccount={home}:{name}");
        for namespace in namespaces {
            let bind = ["create", "rolebinding", name, "-n", namespace];
            let role = ["--clusterrole=admin", &subject];
            cluster.kubectl().args(bind).args(role).run().success();
        }
        let token = ["create", "token", name, "-n", home, "--duration=2h"];
        let token = cluster.kubectl().args(token).run().success().stdout;
        let kubeconfig = cluster.folder().join(format!("{name}.kubeconfig"));
        let view = ["config", "view", "--minify", "--raw"];
        let text = cluster.kubectl().args(view).run().success().stdout;
        fs::write(&kubeconfig, text).expect("a folder of ours");
        let token = format!("--token={}", token.trim());
        let user = format!("--user={name}");
        for args in [
            &["config", "set-credentials", name, &token][..],
            &["config", "set-context", "--current", &user],
        ] {
            let config = cluster.kubectl().args(args);
            config.env("KUBECONFIG", &kubeconfig).run().success();
        }
        Partner { node, kubeconfig }
    }

    pub fn run(&self, args: &[&str]) -> Output {
        let fabric = self.node.cluster.fabric().args(args);
        fabric.env("KUBECONFIG", &self.kubeconfig).run()
    }

    #[track_caller]
    pub fn does(&self, args: &[&str]) -> Output {
        self.run(args).success()
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout)
        .unwrap_or_else(|_| panic!("JSON: {}{}", output.stdout, output.stderr))
}

#[track_caller]
fn refuses(output: &Output, words: &[&str]) {
    assert_ne!(output.status, Some(0), "{}", output.stdout);
    for words in words {
        assert!(output.stderr.contains(words), "{words}\n{}", output.stderr);
    }
}

/// The administrator of an organization as files, as it would carry them elsewhere.
fn identity(node: &Node, release: &str) -> PathBuf {
    let secret = format!("{release}-admin-msp");
    let secret = node.cluster.get("secret", &secret, Some(release));
    let secret = secret.expect("the administrator's Secret");
    let folder = node.cluster.folder().join(format!("{release}-admin"));
    for (below, key) in [("signcerts", "cert.pem"), ("keystore", "key.pem")] {
        let path = folder.join("msp").join(below);
        fs::create_dir_all(&path).expect("a folder of ours");
        fs::write(path.join(key), decoded(&secret, key)).expect("a folder of ours");
    }
    folder
}

fn install_all(node: &Node) {
    install(node, RAFT, "2.5.16");
    let values = "ca.enabled=false,peers.count=1,networkPolicy.ordererOrgs={orgorderer1}";
    let version = ["--fabric-version", "2.5.16", "--set", values];
    node.fabric(&[&["install", "org3"][..], &version].concat());
    let create = ["channel", "create", "mychannel", "--batch-timeout", "1s"];
    let of = ["--orderers", "orgorderer1", "--organizations", "org1,org2"];
    let level = ["--capability", "application=V2_0"];
    node.fabric(&[&create[..], &of, &level].concat());
}

/// An organization joins a running channel. Three users exchange files and see only their own
/// namespaces; the second one signs without any cluster.
pub fn an_organization_joins(node: &Node) {
    install_all(node);
    let first = Partner::new(node, "first", &["org1", "orgorderer1"]);
    let second = Partner::new(node, "second", &["org2"]);
    let third = Partner::new(node, "third", &["org3"]);
    let export = [
        "identity",
        "export",
        "org3",
        "--public",
        "--to",
        "org3.json",
    ];
    refuses(&first.run(&export), &["org3"]);
    third.does(&export);
    let public = fs::read_to_string(node.cluster.folder().join("org3.json")).expect("a file");
    assert!(!public.contains("PRIVATE KEY"));

    let update = ["channel", "update", "mychannel", "--org", "org1"];
    let anchor = ["--add-anchor", "Org3MSP/peer0.org3:7051"];
    let update = [&update[..], &["--add-org", "org3.json"], &anchor].concat();
    let words = "Org1MSP has signed; needs 1 more of Org2MSP";
    let lacks = [
        "lacks signatures",
        words,
        "--propose FILE",
        "nothing was sent",
    ];
    refuses(&first.run(&update), &lacks);
    let proposed = first.does(&[&update[..], &["--propose", "change.json"]].concat());
    assert!(proposed.stdout.contains("add organization Org3MSP"));
    refuses(
        &first.run(&["channel", "submit", "change.json", "--org", "org1"]),
        &[words],
    );

    // Beside the channel, as its own peers have it, and then without a cluster.
    let explain = [
        "channel",
        "sign",
        "change.json",
        "org2",
        "--dry-run",
        "-o",
        "json",
    ];
    let explained = json(&second.does(&explain));
    assert_eq!(explained["satisfied"], false, "{explained}");
    assert_eq!(
        explained["signedBy"].as_array().map(Vec::len),
        Some(1),
        "{explained}"
    );
    let folder = identity(node, "org2").display().to_string();
    let sign = ["channel", "sign", "change.json", "--identity", &folder];
    let nowhere = Partner {
        node,
        kubeconfig: Path::new("/nowhere").to_owned(),
    };
    refuses(
        &nowhere.run(&sign),
        &["standard input is not a terminal", "--yes"],
    );
    let signed = nowhere.does(&[&sign[..], &["--yes"]].concat());
    assert!(
        signed.stdout.contains("All policies are satisfied"),
        "{}",
        signed.stdout
    );
    let again = nowhere.does(&[&sign[..], &["--yes"]].concat());
    assert!(
        again.stdout.contains("No signature was added"),
        "{}",
        again.stdout
    );

    let submit = ["channel", "submit", "change.json", "--org", "org1"];
    let submitted = json(&first.does(&[&submit[..], &["-o", "json"]].concat()));
    assert_eq!(submitted["configuration"], 1, "{submitted}");
    refuses(&first.run(&submit), &["was already submitted", "block"]);
    let unchanged = first.does(&update);
    assert!(
        unchanged
            .stdout
            .starts_with("Channel \"mychannel\" is unchanged.\n")
    );

    // The joining organization gets the genesis block as a file too.
    first.does(&[
        "channel",
        "fetch",
        "mychannel",
        "oldest",
        "mychannel.block",
        "--org",
        "org1",
    ]);
    let join = [
        "channel",
        "join",
        "mychannel",
        "org3",
        "--block",
        "mychannel.block",
    ];
    third.does(&join);
    let height = submitted["block"].as_u64().expect("a number") + 1;
    until("the new peer to have the block that added it", || {
        let list = json(&third.does(&["channel", "list", "org3", "-o", "json"]));
        (list[0]["height"].as_u64() >= Some(height)).then_some(())
    });
    let history = json(&third.does(&[
        "channel",
        "history",
        "mychannel",
        "--org",
        "org3",
        "-o",
        "json",
    ]));
    let signers = serde_json::json!(["Admin@org1 of Org1MSP", "Admin@org2 of Org2MSP"]);
    assert_eq!(history[1]["signedBy"], signers, "{history}");
}

/// Updates by one user who has all organizations: settings, a proposal that is overtaken, two at
/// once, a consenter that comes and leaves.
pub fn a_channel_changes(node: &Node) {
    let update = |args: &[&str]| {
        let update = ["channel", "update", "mychannel", "-o", "json"];
        let fabric = node.cluster.fabric().args(update).args(args);
        fabric.run()
    };
    let does = |args: &[&str]| json(&update(args).success());
    let first = does(&["--batch-timeout", "300ms", "--max-message-count", "20"]);
    assert_eq!(first["changed"], true, "{first}");
    let changes = [
        "batch size, max message count: 500 → 20",
        "batch timeout: 1s → 300ms",
    ];
    assert_eq!(first["changes"], serde_json::json!(changes), "{first}");
    assert_eq!(
        first["signedBy"],
        serde_json::json!(["Admin@orgorderer1 of Orgorderer1MSP"])
    );
    let again = does(&["--batch-timeout", "300ms", "--max-message-count", "20"]);
    assert_eq!(again["changed"], false, "{again}");

    does(&["--batch-timeout", "400ms", "--propose", "stale.json"]);
    does(&["--batch-timeout", "500ms"]);
    let submit = |file: &str| {
        node.cluster
            .fabric()
            .args(["channel", "submit", file])
            .run()
    };
    let stale = [
        "does not fit the configuration",
        "/Channel/Orderer/BatchTimeout",
    ];
    refuses(&submit("stale.json"), &stale);

    let ends: Vec<Output> = thread::scope(|scope| {
        let runs = ["600ms", "700ms", "800ms"];
        let runs = runs.map(|timeout| scope.spawn(move || update(&["--batch-timeout", timeout])));
        runs.map(|run| run.join().expect("a run")).into()
    });
    let late: Vec<&Output> = ends.iter().filter(|end| end.status != Some(0)).collect();
    assert!(late.len() < 3, "{}", late[0].stderr);
    for end in late {
        assert_eq!(end.status, Some(4), "{}", end.stderr);
        refuses(end, &["another update of channel", "compute a new update"]);
    }
    let level = ["--capability", "application=V2_5"];
    refuses(
        &update(&level),
        &["cannot be lowered again", "--yes", "nothing was changed"],
    );
    does(&[&level[..], &["--yes"]].concat());
    let unknown = ["--capability", "channel=V3_0", "--yes"];
    refuses(
        &update(&unknown),
        &[
            "nodes of the channel would stop",
            "Fabric 2.5.16 does not know",
        ],
    );
    a_consenter_comes_and_leaves(node, &does);

    let show = node
        .fabric(&["channel", "show", "mychannel", "-o", "json"])
        .stdout;
    let edited = show.replace("\"max_message_count\":20", "\"max_message_count\":30");
    assert_ne!(show, edited);
    let file = node.cluster.folder().join("edited.json");
    fs::write(file, &edited).expect("a folder of ours");
    let diff = ["channel", "diff", "mychannel", "edited.json", "--exit-code"];
    let diff = node.cluster.fabric().args(diff).run();
    assert_eq!(diff.status, Some(2), "{}", diff.stderr);
    assert_eq!(diff.stdout, "batch size, max message count: 20 → 30\n");
    does(&["--edit", "edited.json"]);
    refuses(
        &update(&["--edit", "edited.json"]),
        &["based on another configuration"],
    );
}

fn a_consenter_comes_and_leaves(node: &Node, does: &impl Fn(&[&str]) -> Value) {
    node.fabric(&["upgrade", "orgorderer1", "--set", "orderers.count=4"]);
    let come = does(&["--add-consenter", "orgorderer1/orderer3"]);
    assert_eq!(
        come["joined"],
        serde_json::json!(["orderer3.orgorderer1"]),
        "{come}"
    );
    let active = |wanted: usize| {
        until("the orderers to be active", || {
            let list = json(&node.fabric(&["channel", "list", "orgorderer1", "-o", "json"]));
            let rows = list.as_array().expect("rows").iter();
            let active = rows
                .filter(|it| it["status"] == "active" && it["consensusRelation"] == "consenter");
            (active.count() == wanted).then_some(())
        });
    };
    active(4);
    let both = [
        "--remove-consenter",
        "orgorderer1/orderer3",
        "--remove-consenter",
        "orgorderer1/orderer0",
    ];
    let both = node
        .cluster
        .fabric()
        .args(["channel", "update", "mychannel"])
        .args(both);
    refuses(
        &both.run(),
        &["more than one consenter would change at once"],
    );
    does(&["--remove-consenter", "orgorderer1/orderer3"]);
    active(3);
}
