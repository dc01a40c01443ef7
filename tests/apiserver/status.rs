//! `status`: nodes as they are now, with what they run and why they are not ready; what may not be
//! read is said.

use crate::support::{self, Cluster, Output, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};

/// Release `org1` in a namespace that no other test has.
struct Release {
    cluster: Cluster,
    namespace: String,
}

impl Release {
    fn new() -> Option<Release> {
        let cluster = support::cluster()?;
        let namespace = cluster.namespace("org1");
        Some(Release { cluster, namespace })
    }

    fn run(&self, arguments: &str) -> Output {
        self.cluster
            .fabric()
            .args(arguments.split(' '))
            .args(["-n", &self.namespace])
            .run()
    }

    fn scale(&self, set: &str, replicas: u32) {
        let scale = [
            "scale",
            "statefulset",
            set,
            &format!("--replicas={replicas}"),
            "-n",
            &self.namespace,
        ];
        self.cluster.kubectl().args(scale).run().success();
    }

    /// The nodes by name, as `-o json` has them.
    fn node(&self, name: &str) -> Value {
        let status = self.run("status org1 -o json").success().json();
        let nodes = status["info"]["nodes"].as_array().expect("a list").clone();
        nodes
            .into_iter()
            .find(|node| node["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {}", status["info"]["nodes"]))
    }
}

fn line<'a>(text: &'a str, words: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(words))
        .unwrap_or_else(|| panic!("no {words} in {text}"))
}

#[test]
fn nodes_come_first_with_what_they_run_and_where_and_the_rest_is_summed_up() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .run("install org1 --set peers.count=2,peers.stateDatabase=CouchDB")
        .success();
    let shown = release.run("status org1").success();
    assert_eq!(shown.stderr, "", "nothing is left out");
    let text = shown.stdout;
    let header = line(&text, "NODE ");
    for column in [
        "READY",
        "RESTARTS",
        "IMAGE",
        "ADDRESS",
        "VOLUME",
        "CERTIFICATE ENDS",
        "AGE",
    ] {
        assert!(header.contains(column), "no {column} in {header}");
    }
    let peer = line(&text, "peer0-0");
    let address = format!("peer0.{}:7051", release.namespace);
    for words in [
        "2/2",
        " 0 ",
        "fabric-peer:2.5.16, couchdb:",
        &address,
        "10Gi+10Gi",
        "20",
    ] {
        assert!(peer.contains(words), "no {words:?} in {peer}");
    }
    assert!(line(&text, "ca-0").contains("fabric-ca:"), "{text}");
    let resources = line(&text, "RESOURCES:");
    assert!(
        resources.contains("NetworkPolicy")
            && resources.contains("1 ServiceAccount")
            && resources.contains("all ready"),
        "{text}"
    );
    assert!(
        !text.contains("default-deny") && !text.contains("StatefulSet"),
        "policies are summed up: {text}"
    );
    assert!(!text.contains("NOTES") && !text.contains("Next:"), "{text}");
    let place = |words: &str| {
        text.find(words)
            .unwrap_or_else(|| panic!("no {words} in {text}"))
    };
    assert!(place("NODES:") < place("RESOURCES:") && place("RESOURCES:") < place("IDENTITIES:"));

    let node = release.node("peer1-0");
    let part = |name: &str| node[name].clone();
    assert_eq!(
        [part("ready"), part("of"), part("kind")],
        [json!("yes"), json!("peer1"), json!("StatefulSet")]
    );
    assert_eq!(
        [
            part("containersReady"),
            part("containers"),
            part("restarts")
        ],
        [json!(2), json!(2), json!(0)]
    );
    assert_eq!(node["volumes"][0]["size"], "10Gi");
    assert!(
        node["certificateEnds"]
            .as_str()
            .is_some_and(|end| end.ends_with('Z')),
        "{node}"
    );
}

#[test]
fn a_node_scaled_down_by_hand_is_not_ready_and_no_event_is_read_while_all_is_well() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .run("install org1 --set peers.count=2,ca.enabled=false")
        .success();
    let requests = release.cluster.requests(|| {
        release.run("status org1").success();
    });
    assert!(
        requests.iter().all(|request| request.resource != "events"),
        "{requests:#?}"
    );
    assert!(requests.len() < 16, "{} requests", requests.len());
    release.scale("peer1", 0);
    until("the pod to go", || {
        release
            .cluster
            .get("pod", "peer1-0", Some(&release.namespace))
            .is_none()
            .then_some(())
    });
    let text = release.run("status org1").success().stdout;
    let peer = line(&text, "peer1-0");
    assert!(
        peer.contains("0/1") && peer.contains("it is scaled to 0; revision 1 has 1"),
        "{peer}"
    );
    assert!(peer.contains("10Gi"), "its volume stays: {peer}");
    assert!(line(&text, "peer0-0").contains("1/1"), "{text}");
    let resources =
        release.run("status org1 -o json").success().json()["info"]["resources"].clone();
    let of = |name: &str| {
        let all = resources.as_array().expect("a list");
        all.iter()
            .find(|it| it["kind"] == "StatefulSet" && it["name"] == name)
            .expect("its entry")["ready"]
            .clone()
    };
    assert_eq!([of("peer0"), of("peer1")], ["yes", "no"]);
}

#[test]
fn the_reason_is_the_one_that_a_wait_shows() {
    let Some(release) = Release::new() else {
        return;
    };
    release.run("install org1 --set peers.count=1,ca.enabled=false,peers.priorityClassName=nosuch --timeout 2s").exits(3);
    let reason = "is forbidden: no PriorityClass with name nosuch was found";
    let text = release.run("status org1").success().stdout;
    let peer = line(&text, "peer0-0");
    assert!(peer.contains("0/1") && peer.contains(reason), "{peer}");
    assert!(
        release.node("peer0-0")["reason"]
            .as_str()
            .is_some_and(|why| why.contains(reason))
    );
}

#[test]
fn what_may_not_be_read_is_left_out_and_said_once() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .run("install org1 --set peers.count=1,ca.enabled=false")
        .success();
    let user = format!("reader-{}", release.cluster.network());
    let grant = |rules: &[(&str, &str)]| {
        let rule = |(group, resource): &(&str, &str)| json!({"apiGroups": [group], "resources": [resource], "verbs": ["get", "list"]});
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"}, "rules": rules});
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
        release.cluster.apply(&release.namespace, &list.to_string());
    };
    let most = [
        ("", "configmaps"),
        ("", "services"),
        ("", "serviceaccounts"),
        ("apps", "statefulsets"),
        ("policy", "poddisruptionbudgets"),
        ("networking.k8s.io", "networkpolicies"),
    ];
    grant(&most);
    let status = || {
        release
            .cluster
            .fabric()
            .args(["status", "org1", "-n", &release.namespace, "--as", &user])
            .run()
    };
    let shown = until("the rights to take effect", || {
        Some(status()).filter(|shown| shown.status == Some(0))
    });
    for words in [
        "pods are not listed",
        "volumes are not shown",
        "identities are not shown",
    ] {
        assert_eq!(shown.stderr.matches(words).count(), 1, "{}", shown.stderr);
    }
    assert_eq!(
        shown
            .stderr
            .lines()
            .filter(|line| line.starts_with("warning:"))
            .count(),
        3,
        "{}",
        shown.stderr
    );
    let node = line(&shown.stdout, "peer0 ");
    assert!(
        node.contains("1/1") && node.contains("fabric-peer:"),
        "{node}"
    );
    assert!(!shown.stdout.contains("IDENTITIES"), "{}", shown.stdout);

    grant(&[&most[..], &[("", "pods")]].concat());
    let shown = until("the right to list pods", || {
        Some(status()).filter(|shown| !shown.stderr.contains("pods are"))
    });
    let node = line(&shown.stdout, "peer0-0");
    // The record knows the end of the certificate that the pod started with.
    assert!(node.contains("d)") && !node.contains("Gi"), "{node}");
}

#[test]
fn without_a_name_all_releases_are_shown_by_network() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let network = cluster.network().to_owned();
    let run = |arguments: &str| {
        cluster
            .fabric()
            .args(arguments.split(' '))
            .args(["--network", &network])
            .run()
            .success()
    };
    run("install org1 --set peers.count=2,ca.enabled=false");
    run("install orgorderer1 --set orderers.count=1");
    let shown = run("status").stdout;
    let header: Vec<&str> = shown
        .lines()
        .next()
        .expect("a header")
        .split_whitespace()
        .collect();
    assert_eq!(
        header[..5],
        ["NETWORK", "RELEASE", "NAMESPACE", "NODES", "STATUS"]
    );
    let cells = |release: &str| -> Vec<String> {
        let shown = run("status").stdout;
        let row = line(&shown, &format!("{release}-{network}")).to_owned();
        row.split_whitespace().take(5).map(str::to_owned).collect()
    };
    let expected = |release: &str, nodes: &str| {
        [
            network.as_str(),
            release,
            &format!("{release}-{network}"),
            nodes,
            "deployed",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    assert_eq!(cells("org1"), expected("org1", "2/2"));
    assert_eq!(cells("orgorderer1"), expected("orgorderer1", "1/1"));
    let namespace = cluster.namespace("org1");
    cluster
        .kubectl()
        .args([
            "scale",
            "statefulset",
            "peer1",
            "--replicas=0",
            "-n",
            &namespace,
        ])
        .run()
        .success();
    until("the node to count as missing", || {
        (cells("org1") == expected("org1", "1/2")).then_some(())
    });
    let document = run("status -o json").json();
    let org1 = document
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["name"] == "org1")
        .expect("org1");
    assert_eq!(
        (&org1["network"], &org1["nodes"]),
        (&json!(network), &json!({"ready": 1, "all": 2}))
    );
    // A user of one namespace sees what is in it.
    let nobody = cluster
        .fabric()
        .args(["status", "--context", "viewer", "-n", &namespace])
        .run()
        .success();
    assert!(nobody.stdout.contains("org1"), "{}", nobody.told());
}

#[test]
fn a_watch_shows_each_change_until_it_is_interrupted() {
    let Some(release) = Release::new() else {
        return;
    };
    release
        .run("install org1 --set peers.count=1,ca.enabled=false")
        .success();
    let mut child = release
        .cluster
        .fabric()
        .args(["status", "org1", "-w", "-n", &release.namespace])
        .spawn();
    let mut shown = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut next = |words: &str| {
        let mut text = String::new();
        while !text.contains(words) {
            assert!(
                shown.read_line(&mut text).expect("text") > 0,
                "no {words} in {text}"
            );
        }
        text
    };
    assert!(next("TEST SUITE").contains("peer0-0"));
    release.scale("peer0", 0);
    let change = next("it is scaled to 0");
    assert!(
        !change.contains("RESOURCES") && change.lines().all(|line| line.contains("peer0-0")),
        "{change}"
    );
    release.scale("peer0", 1);
    next("1/1");
    release
        .run("upgrade org1 --set peers.logging.spec=debug")
        .success();
    next("REVISION: 2 (deployed)");
    let interrupt = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.expect("kill runs").success());
    assert_eq!(child.wait().expect("its end").code(), Some(130));
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut said)
        .expect("text");
    assert_eq!(said, "", "to stop watching is no failure to speak of");
}
