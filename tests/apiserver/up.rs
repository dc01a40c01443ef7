//! Networks from their files, as far as no node must answer: what a changed file does to releases,
//! and runs that are interrupted. tests/e2e has the rest.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::counts::recorded;
use crate::support::{self, Cluster, Output, until};

const HEAD: &str = "apiVersion: kubectl-fabric.io/v1\nkind: Network\norganizations:\n";

fn organization(name: &str, more: &str) -> String {
    format!("  {name}: {{values: {{ca: {{enabled: false}}, peers: {{count: 1{more}}}}}}}\n")
}

/// A network file of this test.
struct File {
    cluster: Cluster,
}

impl File {
    fn new() -> Option<File> {
        let cluster = support::cluster()?;
        Some(File { cluster })
    }

    fn write(&self, organizations: &[String]) {
        let text = format!("{HEAD}{}", organizations.concat());
        fs::write(self.cluster.folder().join("network.yaml"), text).expect("a folder of ours");
    }

    fn command(&self, verb: &str, more: &[&str]) -> support::Invocation {
        let network = self.cluster.network();
        let args = [verb, "-f", "network.yaml", "--network", network];
        let fabric = self.cluster.fabric().args(args).args(more);
        fabric.current_dir(self.cluster.folder())
    }

    #[track_caller]
    fn up(&self, more: &[&str]) -> Output {
        self.command("up", more).run().success()
    }

    #[track_caller]
    fn changed(&self, more: &[&str]) -> bool {
        let json: Value = self.up(&[more, &["-o", "json"]].concat()).json();
        json["changed"].as_bool().expect("a truth value")
    }

    fn manifest(&self, release: &str) -> String {
        let namespace = self.cluster.namespace(release);
        let get = ["get", "manifest", release, "-n", &namespace];
        self.cluster.fabric().args(get).run().success().stdout
    }
}

#[test]
fn a_value_that_leaves_the_file_leaves_its_release() {
    let Some(file) = File::new() else {
        return;
    };
    let plain = organization("org1", "");
    let debug = organization("org1", ", logging: {spec: debug}");
    file.write(std::slice::from_ref(&debug));
    assert!(file.changed(&[]));
    assert!(file.manifest("org1").contains("debug"));
    assert!(!file.changed(&[]));
    // Taken back.
    file.write(std::slice::from_ref(&plain));
    assert!(file.changed(&[]));
    assert!(!file.manifest("org1").contains("debug"));
    assert!(!file.changed(&[]));
    // Emptied: an empty key means the default.
    file.write(&[debug]);
    assert!(file.changed(&[]));
    file.write(&[organization("org1", ", logging: {spec: null}")]);
    assert!(file.changed(&[]));
    assert!(!file.manifest("org1").contains("debug"));
    // Set by other means.
    let namespace = file.cluster.namespace("org1");
    let set = ["--set", "peers.logging.spec=debug"];
    let upgrade = ["upgrade", "org1", "-n", &namespace];
    file.cluster
        .fabric()
        .args(upgrade)
        .args(set)
        .run()
        .success();
    assert!(file.changed(&[]));
    assert!(!file.manifest("org1").contains("debug"));
}

#[test]
fn what_leaves_the_file_stays_until_it_is_pruned() {
    let Some(file) = File::new() else {
        return;
    };
    let (org1, org2) = (organization("org1", ""), organization("org2", ""));
    file.write(&[org1.clone(), org2]);
    file.up(&[]);
    // A chaincode's server that an earlier version of the file brought up.
    let (first, second) = (
        file.cluster.namespace("org1"),
        file.cluster.namespace("org2"),
    );
    let label = format!("network=fabric-{}", file.cluster.network());
    let install = ["install", "basic", "chaincode", "-n", &first, "-l", &label];
    let hash = "ab".repeat(32);
    let image = format!("image.repository=basic,image.tag=1.0,packageID=basic:{hash}");
    let install = file.cluster.fabric().args(install).args(["--set", &image]);
    install.run().success();

    file.write(&[org1]);
    let kept = file.up(&[]);
    let told = kept.stderr.replace('\n', " ");
    for words in [
        format!("left unchanged: release org2 in namespace {second}"),
        format!("left unchanged: release basic in namespace {first}, a chaincode's server"),
        "keep the chaincode's definition".to_owned(),
    ] {
        assert!(told.contains(&words), "{words}\n{told}");
    }
    assert!(
        file.cluster
            .get("statefulset", "peer0", Some(&second))
            .is_some()
    );
    assert!(!file.changed(&[]));

    file.up(&["--prune"]);
    for (kind, name, namespace) in [
        ("statefulset", "peer0", &second),
        ("deployment", "basic", &first),
    ] {
        assert!(file.cluster.get(kind, name, Some(namespace)).is_none());
    }
    assert!(
        file.cluster
            .get("statefulset", "peer0", Some(&first))
            .is_some()
    );
    // Volumes and identities stay.
    assert!(
        !file
            .cluster
            .list("persistentvolumeclaim", &second)
            .is_empty()
    );
    assert!(
        file.cluster
            .get("secret", "org2-admin-msp", Some(&second))
            .is_some()
    );
    let last = file.up(&["--prune"]);
    assert!(last.stdout.contains("matches the file"), "{}", last.stdout);
}

#[test]
fn the_first_signal_ends_a_run_in_order_and_the_same_command_continues() {
    let Some(file) = File::new() else {
        return;
    };
    let state = ", podAnnotations: {sim.kubectl-fabric.io/state: pending}";
    file.write(&[organization("org1", ""), organization("org2", state)]);
    let child = file.command("up", &[]).spawn();
    let namespace = file.cluster.namespace("org2");
    until("org2's peer to be waited for", || {
        file.cluster.get("statefulset", "peer0", Some(&namespace))
    });
    let first = file.cluster.namespace("org1");
    until("org1 to be deployed", || {
        let set = file.cluster.get("statefulset", "peer0", Some(&first))?;
        (set["status"]["readyReplicas"] == 1).then_some(())
    });
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
    assert_eq!(output.status.code(), Some(130), "{told}");
    for words in [
        "interrupted: stopping cleanly",
        "error: interrupted",
        "of 2 steps are completed, and stay",
        "run the same command again to complete it",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    for namespace in [&first, &namespace] {
        assert!(
            file.cluster.list("lease", namespace).is_empty(),
            "the locks are given back"
        );
    }
    file.write(&[organization("org1", ""), organization("org2", "")]);
    assert!(file.changed(&[]));
    assert!(!file.changed(&[]));
}

#[test]
fn a_second_run_sends_no_more_requests_than_is_recorded() {
    let Some(file) = File::new() else {
        return;
    };
    file.write(&[organization("org1", ""), organization("org2", "")]);
    file.up(&[]);
    let requests = file.cluster.requests(|| {
        file.up(&[]);
    });
    let writes: Vec<_> = requests.iter().filter(|it| it.writes()).collect();
    assert!(writes.iter().all(|it| it.dry_run), "{writes:#?}");
    let mut counts = std::collections::BTreeMap::new();
    for request in &requests {
        let verb = match request.dry_run {
            true => "dry-run",
            false => request.verb.as_str(),
        };
        *counts.entry(verb).or_insert(0_u64) += 1;
    }
    let counts: Vec<(&str, u64)> = counts.into_iter().collect();
    recorded::compare("requests: up, two organizations, nothing changed", &counts);
}

#[test]
fn an_organization_elsewhere_is_known_by_its_file_and_gets_no_release() {
    let Some(file) = File::new() else {
        return;
    };
    let elsewhere = "  org2: {definition: org2.json}\n".to_owned();
    let org1 = organization("org1", "");
    file.write(&[org1.clone(), elsewhere.clone()]);
    let missing = file.command("up", &[]).run().exits(1).told();
    for words in [
        "the public part of organization \"org2\" is not here",
        "identity export org2 --public --to org2.json",
        "nothing was changed",
    ] {
        assert!(missing.contains(words), "{words}\n{missing}");
    }
    // Another organization's file is not taken for it.
    let other = file.cluster.create_namespace("other");
    let install = [
        "install",
        "org1",
        "-n",
        &other,
        "--set",
        "ca.enabled=false,peers.count=1",
    ];
    file.cluster.fabric().args(install).run().success();
    let path = file
        .cluster
        .folder()
        .join("org2.json")
        .display()
        .to_string();
    let export = [
        "identity", "export", "org1", "-n", &other, "--public", "--to", &path,
    ];
    file.cluster.fabric().args(export).run().success();
    let wrong = file.command("up", &[]).run().exits(1).told();
    assert!(
        wrong.contains("its MSP id is Org1MSP, and by the network file it is Org2MSP"),
        "{wrong}"
    );
    fs::remove_file(&path).expect("the file");
    let upgrade = ["uninstall", "org1", "-n", &other, "--delete-data", "--yes"];
    file.cluster.fabric().args(upgrade).run().success();
    let values = "ca.enabled=false,peers.count=1,org.mspID=Org2MSP";
    let install = ["install", "org2", "-n", &other, "--set", values];
    file.cluster.fabric().args(install).run().success();
    let export = [
        "identity", "export", "org2", "-n", &other, "--public", "--to", &path,
    ];
    file.cluster.fabric().args(export).run().success();
    let done: Value = file.up(&["-o", "json"]).json();
    let steps = done["steps"].as_array().expect("steps");
    let ids: Vec<&str> = steps.iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(
        ids,
        [format!("release/{}/org1", file.cluster.namespace("org1"))]
    );
    assert!(!file.changed(&[]));
    // `down` leaves a release of that name to its owner.
    let namespace = file.cluster.create_namespace("org2");
    let install = [
        "install",
        "org2",
        "-n",
        &namespace,
        "--set",
        "ca.enabled=false,peers.count=1",
    ];
    file.cluster.fabric().args(install).run().success();
    file.command("down", &[]).run().success();
    assert!(
        file.cluster
            .get("statefulset", "peer0", Some(&namespace))
            .is_some()
    );
}

#[test]
fn a_release_belongs_to_one_network() {
    let Some(file) = File::new() else {
        return;
    };
    let org1 = organization("org1", "");
    file.write(std::slice::from_ref(&org1));
    file.up(&[]);
    let own = format!("fabric-{}", file.cluster.network());
    let path = file.cluster.folder().join("network.yaml");
    let text = fs::read_to_string(&path).expect("it was written");
    fs::write(
        &path,
        text.replace("organizations:", "name: other\norganizations:"),
    )
    .expect("ours");
    for (verb, more) in [("up", &[][..]), ("down", &["--delete-data", "--yes"])] {
        let refused = file.command(verb, more).run().exits(4);
        let words = format!("it belongs to network \"{own}\"");
        assert!(
            refused.stderr.contains(&words),
            "{verb}: {}",
            refused.told()
        );
    }
    assert!(!file.manifest("org1").is_empty());

    // A release that was installed by hand joins the network with `up`, and not with `down`.
    file.write(&[org1, organization("org2", "")]);
    let namespace = file.cluster.namespace("org2");
    let values = "ca.enabled=false,peers.count=1";
    let install = ["install", "org2", "-n", &namespace, "--set", values];
    file.cluster.fabric().args(install).run().success();
    let refused = file.command("down", &[]).run().exits(4);
    assert!(
        refused
            .stderr
            .contains("release \"org2\" is not part of network"),
        "{}",
        refused.told()
    );
    assert!(!file.manifest("org1").is_empty(), "nothing was uninstalled");
    assert!(file.changed(&[]));
    assert!(!file.changed(&[]));
    let down = file.command("down", &[]).run().success();
    assert!(
        down.stdout.contains("org1") && down.stdout.contains("org2"),
        "{}",
        down.told()
    );
}

#[test]
fn a_network_that_cannot_be_read_is_not_as_its_file_asks() {
    let Some(file) = File::new() else {
        return;
    };
    file.write(&[organization("org1", "")]);
    for arguments in [
        &["up"][..],
        &["up", "--org", "org1"],
        &["diff"],
        &["status"],
        &["up", "--dry-run"],
    ] {
        let (verb, more) = arguments.split_first().expect("a verb");
        let closed = [more, &["--server", "https://127.0.0.1:1"]].concat();
        let output = file.command(verb, &closed).run();
        assert_eq!(output.status, Some(1), "{arguments:?}: {}", output.told());
        assert!(
            output
                .stderr
                .contains("cannot read any release of the network"),
            "{arguments:?}: {}",
            output.told()
        );
    }
}
