//! What cannot be is refused in words that are true: what they say of the cluster is looked up in
//! it.

use crate::nodes::{Release, chart};
use crate::support::{self, repository, until};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The lines of a report that begin so, without their label.
fn lines<'a>(report: &'a str, label: &'a str) -> Vec<&'a str> {
    report
        .lines()
        .filter_map(|line| line.strip_prefix(label))
        .map(str::trim)
        .collect()
}

fn namespace_exists(release: &Release) -> bool {
    release
        .cluster
        .get("namespace", &release.namespace, None)
        .is_some()
}

fn signal(pid: u32) {
    assert!(
        Command::new("kill")
            .args(["-INT", &pid.to_string()])
            .status()
            .expect("kill is there")
            .success()
    );
}

#[test]
fn values_that_do_not_fit_are_reported_all_at_once_before_anything_is_made() {
    let Some(release) = Release::new() else {
        return;
    };
    let output = release
        .install(&["--set", "nodes=many,colour=red"])
        .exits(1);
    assert_eq!(
        lines(&output.stderr, "now:"),
        ["nothing was changed"],
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("--set nodes") && output.stderr.contains("--set colour"),
        "{}",
        output.stderr
    );
    assert!(!namespace_exists(&release));
}

#[test]
fn an_unknown_release_is_reported_with_the_nearest_name_and_the_command_to_type() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    let namespace = &release.namespace;
    let output = release
        .cluster
        .fabric()
        .args(["upgrade", "ap", "-n", namespace])
        .run()
        .exits(1);
    assert!(
        output.stderr.contains("did you mean \"app\"?"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains(&format!("`kubectl fabric install ap -n {namespace}`")),
        "{}",
        output.stderr
    );
    let output = release
        .cluster
        .fabric()
        .args(["history", "app", "-n", &format!("x-{namespace}")])
        .run()
        .exits(1);
    assert!(output.stderr.contains("not found"), "{}", output.stderr);
    let output = release.run("rollback", &["7"]).exits(1);
    assert!(
        output.stderr.contains("its history has 1"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains(&format!("`kubectl fabric history app -n {namespace}`")),
        "{}",
        output.stderr
    );
    assert_eq!(release.statuses(), ["deployed"]);
}

/// A copy of the chart with one template more.
fn chart_with(folder: &Path, template: &str) -> String {
    let to = folder.join("chart");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(repository().join("tests/apiserver/charts/nodes"))
        .arg(&to)
        .status();
    assert!(copied.expect("cp is there").success());
    fs::write(to.join("templates/more.yaml"), template).unwrap();
    to.display().to_string()
}

#[test]
fn an_object_that_the_server_refuses_leaves_nothing_but_the_namespace_and_says_so() {
    let Some(release) = Release::new() else {
        return;
    };
    let template = "apiVersion: v1\nkind: Service\nmetadata: {name: more}\nspec: {prots: 3}\n";
    let chart = chart_with(release.cluster.folder(), template);
    let output = release
        .command(&["install"], &["--chart", &chart])
        .run()
        .exits(1);
    assert!(
        output
            .stderr
            .contains("spec.prots: field not declared in schema"),
        "{}",
        output.stderr
    );
    let state = format!(
        "nothing was changed except that the empty namespace \"{}\" was created",
        release.namespace
    );
    assert_eq!(lines(&output.stderr, "now:"), [state.as_str()]);
    assert!(namespace_exists(&release));
    assert_eq!(release.leftovers(), Vec::<String>::new());
    // With the namespace there, nothing at all is changed.
    let output = release
        .command(&["install"], &["--chart", &chart])
        .run()
        .exits(1);
    assert!(
        lines(&output.stderr, "now:")[0]
            .starts_with("nothing was changed: every object is checked"),
        "{}",
        output.stderr
    );
    assert_eq!(release.leftovers(), Vec::<String>::new());
}

#[test]
fn a_kind_that_the_server_does_not_know_is_reported_with_its_template_before_the_namespace_is_made()
{
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart_with(
        release.cluster.folder(),
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: more}\n",
    );
    let output = release
        .command(&["install"], &["--chart", &chart])
        .run()
        .exits(1);
    let place = format!(
        "--> templates/more.yaml:1   Widget {}/more: no kind Widget in example.com",
        release.namespace
    );
    assert!(output.stderr.contains(&place), "{}", output.stderr);
    assert!(!namespace_exists(&release));
}

#[test]
fn fields_of_others_and_fixed_fields_are_named_with_all_that_it_takes() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=3"]).success();
    let kubectl = release.cluster.kubectl().args([
        "-n",
        &release.namespace,
        "set",
        "image",
        "statefulset/node0",
    ]);
    kubectl
        .args(["*=registry.example/node:9", "--field-manager=kubectl-edit"])
        .run()
        .success();
    let generations: Vec<i64> = ["node0", "node1", "node2"]
        .map(|node| release.generation(node))
        .into();
    let output = release
        .upgrade(&["--set", "image=registry.example/node:2,serviceName=renamed"])
        .exits(4);
    for words in [
        "StatefulSet",
        "set by \"kubectl-edit\"",
        "spec.serviceName: the field is immutable",
        "--recreate StatefulSet/node1 --recreate StatefulSet/node2",
        "--force-conflicts",
        &format!("`kubectl fabric diff upgrade app -n {}`", release.namespace),
    ] {
        assert!(
            output.stderr.contains(words),
            "{words} is not in: {}",
            output.stderr
        );
    }
    assert_eq!(lines(&output.stderr, "now:").len(), 1);
    assert_eq!(
        ["node0", "node1", "node2"]
            .map(|node| release.generation(node))
            .to_vec(),
        generations
    );
    assert_eq!(release.statuses(), ["deployed"]);
}

#[test]
fn who_may_read_some_namespaces_sees_their_releases_and_who_may_read_none_is_reported_what_to_say()
{
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    let user = format!("reader-{}", release.cluster.network());
    let list = |user: &str| release.cluster.fabric().args(["list", "--as", user]).run();
    let output = list(&user).exits(1);
    assert!(
        output
            .stderr
            .contains("list configmaps in the whole cluster")
            && output.stderr.contains("-n org1"),
        "{}",
        output.stderr
    );
    let rights = format!(
        r#"{{apiVersion: v1, kind: List, items: [
        {{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {user}}},
          rules: [{{apiGroups: [""], resources: [namespaces], verbs: [list]}}]}},
        {{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: {user}}},
          roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {user}}},
          subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]}},
        {{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: reader, namespace: {}}},
          roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}},
          subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]}}]}}"#,
        release.namespace
    );
    release.cluster.apply(&release.namespace, &rights);
    let output = until("the rights to take effect", || {
        let output = list(&user);
        (output.status == Some(0)).then_some(output)
    });
    assert_eq!(
        output.stdout.lines().count(),
        2,
        "the one release that may be seen: {}",
        output.stdout
    );
    assert!(
        output.stdout.contains(&release.namespace),
        "{}",
        output.stdout
    );
    assert!(
        output.stderr.contains("no permission to read"),
        "{}",
        output.stderr
    );
    for kind in ["clusterrolebinding", "clusterrole"] {
        release
            .cluster
            .kubectl()
            .args(["delete", kind, &user])
            .run()
            .success();
    }
}

#[test]
fn a_server_with_a_certificate_of_someone_else_is_not_trusted() {
    let Some(release) = Release::new() else {
        return;
    };
    let other = release.cluster.folder().join("other.pem");
    let made = rcgen::generate_simple_self_signed(["somewhere.example".to_owned()]).unwrap();
    fs::write(&other, made.cert.pem()).unwrap();
    let output = release
        .install(&["--certificate-authority", other.to_str().unwrap()])
        .exits(1);
    assert!(
        output.stderr.contains("signed by an unknown authority"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("--certificate-authority"),
        "{}",
        output.stderr
    );
    assert_eq!(lines(&output.stderr, "now:"), ["nothing was changed"]);
    assert!(!namespace_exists(&release));
}

#[test]
fn a_servers_own_certificate_is_an_authority_as_for_kubectl() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let chain = fs::read_to_string(cluster.state().join("certs/apiserver.crt")).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, authority) = chain.split_at(chain.find(end).unwrap() + end.len());
    assert!(
        authority.contains("BEGIN CERTIFICATE"),
        "it is issued by another, which is left out"
    );
    fs::write(cluster.folder().join("leaf.pem"), leaf).unwrap();
    let trusting = ["--certificate-authority", "leaf.pem"];
    cluster
        .kubectl()
        .args(["get", "--raw", "/version"])
        .args(trusting)
        .run()
        .success();
    cluster
        .fabric()
        .args(["list", "-n", "default"])
        .args(trusting)
        .run()
        .success();
    let other_name = ["--tls-server-name", "other.example"];
    cluster
        .kubectl()
        .args(["get", "--raw", "/version"])
        .args(trusting)
        .args(other_name)
        .run()
        .exits(1);
    let said = cluster
        .fabric()
        .args(["list", "-n", "default"])
        .args(trusting)
        .args(other_name)
        .run()
        .exits(1)
        .stderr;
    assert!(
        said.contains("its certificate is not for \"other.example\""),
        "{said}"
    );
}

#[test]
fn ctrl_c_during_a_hook_ends_with_a_record_and_without_a_lock() {
    let Some(release) = Release::new() else {
        return;
    };
    release.install(&["--set", "nodes=0"]).success();
    let child = release
        .command(
            &["upgrade"],
            &["--set", "hooks.enabled=true,hooks.state=pending"],
        )
        .spawn();
    until("the hook to run", || release.get("pod", "pre-upgrade-1"));
    signal(child.id());
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{report}");
    assert!(
        lines(&report, "now:")[0].contains("is recorded as failed; revision 1 is still deployed"),
        "{report}"
    );
    assert_eq!(release.statuses(), ["deployed", "failed"]);
    assert!(release.cluster.list("lease", &release.namespace).is_empty());
    release.upgrade(&["--set", "hooks.enabled=false"]).success();
}

/// A way to the API server that can be closed: from then on nothing comes through, and no
/// connection breaks.
struct Way {
    address: String,
    closed: Arc<AtomicBool>,
}

impl Way {
    fn to(server: &str) -> Way {
        let server = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Way {
            address: format!("https://{}", listener.local_addr().unwrap()),
            closed: Arc::default(),
        };
        let closed = way.closed.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                for (from, to) in [
                    (client.try_clone(), server.try_clone()),
                    (Ok(server), Ok(client)),
                ] {
                    let (from, to, closed) = (from.unwrap(), to.unwrap(), closed.clone());
                    thread::spawn(move || pass(from, to, &closed));
                }
            }
        });
        way
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, closed: &AtomicBool) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if closed.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
    if !closed.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[test]
fn a_second_ctrl_c_stops_at_once_says_what_is_left_and_the_next_run_goes_on() {
    let Some(release) = Release::new() else {
        return;
    };
    let config = [
        "config",
        "view",
        "--minify",
        "-o",
        "jsonpath={.clusters[0].cluster.server}",
    ];
    let way = Way::to(
        &release
            .cluster
            .kubectl()
            .args(config)
            .run()
            .success()
            .stdout,
    );
    let chart = chart();
    let child = release
        .command(
            &["install"],
            &[
                "--chart",
                &chart,
                "--set",
                "state=pending",
                "-s",
                &way.address,
            ],
        )
        .spawn();
    until("the nodes to be there", || {
        release.get("statefulset", "node1")
    });
    // The orderly end needs to write the record, and now it cannot.
    way.closed.store(true, Ordering::SeqCst);
    let mut child = child;
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
    signal(child.id());
    let mut report = String::new();
    while !report.contains("interrupt again to stop immediately") {
        assert!(
            std::io::BufRead::read_line(&mut stderr, &mut report).unwrap() > 0,
            "{report}"
        );
    }
    signal(child.id());
    stderr.read_to_string(&mut report).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{report}");
    assert_eq!(
        lines(&report, "now:"),
        ["the operation is unfinished; its record and its lock stay"],
        "{report}"
    );
    assert_eq!(release.statuses(), ["pending-install"]);
    release.install(&[]).success();
    assert_eq!(release.statuses(), ["failed", "deployed"]);
}

#[test]
fn a_release_of_a_network_lives_there_and_so_does_what_it_refers_to() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let network = cluster.network();
    let values =
        "networkPolicy.peerOrgs={org2},networkPolicy.ordererOrgs={orgorderer1},peers.count=1";
    cluster
        .fabric()
        .args(["install", "org1", "--network", network, "--set", values])
        .run()
        .success();
    let namespace = cluster.namespace("org1");
    let set = cluster
        .get("statefulset", "peer0", Some(&namespace))
        .expect("the peer is in the network's namespace");
    let environment = set["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap();
    let variable = |name: &str| {
        let found = environment.iter().find(|variable| variable["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        variable("CORE_PEER_ADDRESS"),
        format!("peer0.{namespace}:7051")
    );
    assert_eq!(variable("CORE_PEER_LOCALMSPID"), "Org1MSP");
    let policies = serde_json::to_string(&cluster.list("networkpolicy", &namespace)).unwrap();
    for other in ["org2", "orgorderer1"] {
        assert!(
            policies.contains(&format!("\"{}\"", cluster.namespace(other))),
            "{other}: {policies}"
        );
    }
    let listed = |args: &[&str]| {
        cluster
            .fabric()
            .args(["list", "-q"])
            .args(args)
            .run()
            .success()
            .stdout
    };
    assert_eq!(listed(&["--network", network]), "org1\n");
    assert_eq!(listed(&["--network", "no-such-network"]), "");
    cluster
        .fabric()
        .args(["uninstall", "org1", "--network", network])
        .run()
        .success();
    assert_eq!(listed(&["--network", network]), "");
}

#[test]
fn what_the_client_library_has_to_say_is_not_the_users_concern() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("app");
    for level in [&[][..], &["-v", "4"]] {
        let output = release.cluster.fabric().args([
            "list",
            "-n",
            &release.namespace,
            "--insecure-skip-tls-verify",
        ]);
        assert_eq!(output.args(level).run().success().stderr, "", "{level:?}");
    }
}
