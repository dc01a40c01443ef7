//! Who reaches whom, on every port, judged by [cyclonus](https://github.com/mattfenwick/cyclonus),
//! which knows nothing of this project.
//!
//! The charts render the releases of [world.yaml](world.yaml): two networks on one cluster, every
//! way to run chaincode, every consensus, organizations that name each other and some that do not.
//! cyclonus is given their policies and pods, some bystanders, and addresses outside of the
//! cluster. What must pass is read from the table in docs/concepts/network-policies.md, which was
//! written from Fabric's ports and protocols (`sampleconfig/core.yaml`, `orderer.yaml`; Fabric's
//! documents on gossip, the gateway, `osnadmin` and Kafka), not from the policies; everything else
//! must be refused.

#[path = "../support/mod.rs"]
mod support;

use kubectl_fabric::yaml;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Addresses outside of the cluster, of the ranges that RFC 5737 keeps for documentation: the
/// Docker host of world.yaml, and somebody.
const OUTSIDE: [&str; 2] = [DOCKER_HOST, "198.51.100.7"];
const DOCKER_HOST: &str = "192.0.2.10";

/// Ports that no row names, beside those that rows name: CouchDB, Docker with TLS, the event hub of
/// Fabric 1.2, ssh.
const OTHER_PORTS: [u16; 4] = [5984, 2376, 7053, 22];

/// Pods that are nobody's release: namespace, name, labels.
const BYSTANDERS: [(&str, &str, &str, &str); 8] = [
    ("shop", "wallet", "app", "wallet"),
    ("shop", "web", "app", "web"),
    ("operations", "osnadmin", "app", "osnadmin"),
    ("operations", "shell", "app", "shell"),
    ("monitoring", "prometheus", "app", "prometheus"),
    ("databases", "postgres", "app", "postgres"),
    ("kube-system", "coredns", "k8s-app", "kube-dns"),
    ("elsewhere", "peer0", "app.kubernetes.io/component", "peer"),
];

/// One line of world.yaml.
struct Release {
    name: String,
    /// The chart, where the name does not tell it.
    chart: Option<String>,
    namespace: String,
    with: Vec<String>,
    sets: Value,
}

impl Release {
    fn network(&self) -> &str {
        self.namespace.strip_prefix(&self.name).unwrap_or_default()
    }

    fn policy(&self, key: &str) -> &Value {
        let path = format!("/networkPolicy/{}", key.replace('.', "/"));
        self.sets.pointer(&path).unwrap_or(&Value::Null)
    }

    fn names(&self, other: &Release) -> bool {
        let listed = |key| {
            self.policy(key)
                .as_array()
                .is_some_and(|list| list.contains(&json!(other.name)))
        };
        let kafka = self.with.iter().any(|it| it == "Kafka") && other.name == "kafka";
        self.network() == other.network() && (listed("peerOrgs") || listed("ordererOrgs") || kafka)
    }
}

/// Who calls or is called: a pod of a release, a bystander, or an address outside (without a
/// namespace).
struct Peer<'a> {
    release: Option<&'a Release>,
    namespace: String,
    name: String,
    role: String,
    labels: Value,
    address: String,
}

impl<'a> Peer<'a> {
    /// A pod in the namespace of a release; it has its address later.
    fn of(release: &'a Release, name: &str, role: &str, labels: Value) -> Peer<'a> {
        Peer {
            release: Some(release),
            namespace: release.namespace.clone(),
            name: name.to_owned(),
            role: role.to_owned(),
            labels,
            address: String::new(),
        }
    }

    fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn outside(&self) -> bool {
        self.namespace.is_empty()
    }
}

/// One row of the table.
struct Flow {
    line: String,
    from: Vec<String>,
    to: Vec<String>,
    ports: Vec<u16>,
    with: Vec<String>,
    /// Values that open it at one side, where the naming of both is not what does.
    opened_by: Option<&'static str>,
}

impl Flow {
    fn table() -> Vec<Flow> {
        let page =
            fs::read_to_string(support::repository().join("docs/concepts/network-policies.md"))
                .expect("the page");
        let rows = page
            .lines()
            .skip_while(|line| !line.starts_with("| from |"))
            .skip(2);
        rows.take_while(|line| line.starts_with('|'))
            .map(Flow::row)
            .collect()
    }

    fn row(line: &str) -> Flow {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [from, to, ports, with, opened_by, _] = cells[..] else {
            panic!("six cells: {line}")
        };
        let words = |cell: &str| {
            cell.split(", ")
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let values = ["clients", "admins", "monitoring.namespace", "egress"];
        Flow {
            line: line.to_owned(),
            from: words(from),
            to: words(to),
            ports: words(ports)
                .iter()
                .map(|port| port.parse().expect("a port"))
                .collect(),
            with: words(with),
            opened_by: values
                .into_iter()
                .find(|value| opened_by.contains(&format!("`{value}`"))),
        }
    }

    fn allows(&self, from: &Peer, to: &Peer, port: u16) -> bool {
        let releases = || [from, to].into_iter().filter_map(|peer| peer.release);
        self.ports.contains(&port)
            && self.from.iter().any(|actor| is(actor, from, to))
            && self.to.iter().any(|actor| is(actor, to, from))
            && (self.with.is_empty()
                || releases().any(|release| self.with.iter().any(|it| release.with.contains(it))))
            && self
                .opened_by
                .is_none_or(|value| releases().any(|release| !release.policy(value).is_null()))
    }
}

/// Tells whether `peer` is what a cell of the table calls `actor`, towards `other`.
fn is(actor: &str, peer: &Peer, other: &Peer) -> bool {
    let bystander = |namespace: &str, name: &str| {
        peer.namespace == namespace && (name.is_empty() || peer.name == name)
    };
    match actor {
        "every pod" => peer.release.is_some(),
        "kube-system" => bystander("kube-system", ""),
        "client" => bystander("shop", "wallet"),
        "operator" => bystander("operations", "osnadmin"),
        "monitoring" => bystander("monitoring", ""),
        "database" => bystander("databases", ""),
        "anywhere" => peer.release.is_none(),
        "Docker host" => {
            let said = other
                .release
                .is_some_and(|release| !release.policy("dockerHosts").is_null());
            peer.address == DOCKER_HOST || peer.release.is_none() && !said
        }
        _ => {
            let (whose, role) = actor.split_once(' ').unwrap_or(("", actor));
            let (Some(mine), true) = (peer.release, peer.role == role) else {
                return false;
            };
            match whose {
                "" => true,
                "own" => peer.namespace == other.namespace,
                "named" => other
                    .release
                    .is_some_and(|theirs| mine.names(theirs) && theirs.names(mine)),
                _ => panic!("the table knows \"own\" and \"named\", not {whose:?}"),
            }
        }
    }
}

#[test]
fn every_flow_of_the_table_passes_and_every_other_is_refused() {
    let Some(cyclonus) = Cyclonus::find() else {
        return;
    };
    let releases = world();
    let (policies, peers) = render(&releases);
    let flows = Flow::table();
    let ports: BTreeSet<u16> = flows
        .iter()
        .flat_map(|flow| flow.ports.clone())
        .chain(OTHER_PORTS)
        .collect();
    let mut probes: Vec<(u16, &str)> = ports.iter().map(|port| (*port, "TCP")).collect();
    probes.extend([(53, "UDP"), (7051, "UDP")]);

    let asked: Vec<(&Peer, &Peer, u16, &str)> = probes
        .iter()
        .flat_map(|(port, protocol)| {
            let pairs = peers
                .iter()
                .flat_map(|from| peers.iter().map(move |to| (from, to)));
            // Two addresses outside, or an address outside and a bystander, are nothing that a
            // policy could be asked about.
            let pairs = pairs.filter(|(from, to)| from.release.is_some() || to.release.is_some());
            pairs.map(|(from, to)| (from, to, *port, *protocol))
        })
        .collect();
    let answers = cyclonus.judge(&policies, &peers, &probes, &asked);
    assert_eq!(answers.len(), asked.len());

    let mut wrong = String::new();
    let mut walked: BTreeSet<&str> = BTreeSet::new();
    for ((from, to, port, protocol), passes) in asked.iter().zip(answers) {
        // A pod always reaches itself, whatever policies say (Kubernetes: "network policies", the
        // two sorts of isolation).
        if from.key() == to.key() {
            continue;
        }
        let allowing: Vec<&Flow> = flows
            .iter()
            .filter(|flow| (*protocol == "TCP" || *port == 53) && flow.allows(from, to, *port))
            .collect();
        walked.extend(allowing.iter().map(|flow| flow.line.as_str()));
        if passes == allowing.is_empty() {
            let (is, wanted) = if passes {
                ("passes", "no row allows it")
            } else {
                ("is refused", allowing[0].line.as_str())
            };
            let who = |peer: &Peer| {
                if peer.outside() {
                    peer.address.clone()
                } else {
                    peer.key()
                }
            };
            writeln!(
                wrong,
                "{} → {} {protocol} {port} {is}: {wanted}",
                who(from),
                who(to)
            )
            .expect("a string");
        }
    }
    assert!(
        wrong.is_empty(),
        "{} answers are not the table's:\n{wrong}",
        wrong.lines().count()
    );
    let idle: Vec<&str> = flows
        .iter()
        .map(|flow| flow.line.as_str())
        .filter(|line| !walked.contains(line))
        .collect();
    assert!(
        idle.is_empty(),
        "rows that nobody in world.yaml walks:\n{}",
        idle.join("\n")
    );
}

fn world() -> Vec<Release> {
    let text = fs::read_to_string(support::repository().join("tests/netpol/world.yaml"))
        .expect("world.yaml");
    let world = yaml::parse(&text, "world.yaml").expect("YAML");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let release = |entry: &Value| {
        let name = word(&entry["release"]);
        let with = entry["with"].as_array().expect("a list");
        let is_peer_org = name.starts_with("org") && !name.starts_with("orgorderer");
        let chart = is_peer_org.then(|| "peer-org".to_owned());
        Release {
            name,
            chart: entry["chart"].as_str().map(str::to_owned),
            namespace: word(&entry["namespace"]),
            with: with.iter().map(word).chain(chart).collect(),
            sets: entry["sets"].clone(),
        }
    };
    world
        .as_array()
        .expect("a list")
        .iter()
        .map(release)
        .collect()
}

/// The policies of all releases, and everybody who calls or is called: of each release two pods per
/// role at most, since the others bear the same labels; pods of the users' own in its namespace,
/// beside peers one with the label of chaincode; and those outside.
fn render(releases: &[Release]) -> (Vec<Value>, Vec<Peer<'_>>) {
    let (mut policies, mut peers) = (Vec::new(), Vec::new());
    for release in releases {
        let mut per_role: BTreeMap<String, usize> = BTreeMap::new();
        for mut object in objects(release) {
            if object["kind"] == "NetworkPolicy" {
                object["metadata"]["namespace"] = json!(release.namespace);
                policies.push(object);
                continue;
            }
            // A test is a pod; everything else that runs has a template.
            let labels = match object["kind"] == "Pod" {
                true => object.pointer("/metadata/labels"),
                false => object.pointer("/spec/template/metadata/labels"),
            };
            let Some(labels) = labels else {
                continue;
            };
            let role = labels["app.kubernetes.io/component"]
                .as_str()
                .expect("a component")
                .to_owned();
            let seen = per_role.entry(role.clone()).or_default();
            *seen += 1;
            if *seen <= 2 {
                let name = object["metadata"]["name"].as_str().expect("a name");
                peers.push(Peer::of(release, name, &role, labels.clone()));
            }
        }
        if release.chart.is_some() {
            continue; // It is in the namespace of another, which has strangers.
        }
        let mut strangers = vec![("stranger", json!({"app": "stranger"}))];
        if per_role.contains_key("peer") {
            strangers.push((
                "chaincode",
                json!({"app.kubernetes.io/component": "chaincode"}),
            ));
        }
        for (name, labels) in strangers {
            peers.push(Peer::of(release, name, name, labels));
        }
    }
    for (namespace, name, label, value) in BYSTANDERS {
        let (namespace, name, labels) =
            (namespace.to_owned(), name.to_owned(), json!({label: value}));
        peers.push(Peer {
            release: None,
            namespace,
            name,
            role: String::new(),
            labels,
            address: String::new(),
        });
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.address = format!("10.128.{}.{}", number / 250, number % 250 + 1);
    }
    for address in OUTSIDE {
        let name = address.to_owned();
        peers.push(Peer {
            release: None,
            namespace: String::new(),
            name,
            role: String::new(),
            labels: json!({}),
            address: address.to_owned(),
        });
    }
    (policies, peers)
}

/// What the charts make of a release, as the plugin prints it.
fn objects(release: &Release) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let values = folder.path().join("values.json");
    fs::write(&values, release.sets.to_string()).expect("a file");
    let mut plugin = support::isolated(env!("CARGO_BIN_EXE_kubectl-fabric"), folder.path());
    plugin
        .args(["template", &release.name])
        .args(&release.chart)
        .args(["-n", &release.namespace, "-o", "json", "-f"])
        .arg(&values);
    let output = plugin.output().expect("the plugin runs");
    assert!(
        output.status.success(),
        "{}: {}",
        release.namespace,
        String::from_utf8_lossy(&output.stderr)
    );
    let mut list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    serde_json::from_value(list["items"].take()).expect("a list")
}

/// The program that judges.
struct Cyclonus(PathBuf);

impl Cyclonus {
    fn find() -> Option<Cyclonus> {
        let script = support::cluster_script()
            .args(["tool", "cyclonus"])
            .stderr(Stdio::inherit())
            .output()
            .expect("bash runs");
        match script.status.code() {
            Some(0) => Some(Cyclonus(PathBuf::from(
                String::from_utf8_lossy(&script.stdout).trim_end(),
            ))),
            Some(support::UNAVAILABLE) if !support::cluster_is_required() => None,
            _ => panic!("cyclonus cannot be had, see above"),
        }
    }

    /// Whether each of `asked` passes. Pods are asked about in whole tables, one for each port;
    /// addresses outside one by one, since cyclonus' tables have pods only.
    fn judge(
        &self,
        policies: &[Value],
        peers: &[Peer],
        probes: &[(u16, &str)],
        asked: &[(&Peer, &Peer, u16, &str)],
    ) -> Vec<bool> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str, content: &Value| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, content.to_string()).expect("a file");
            path
        };
        let policies = file(
            "policies/all.yaml",
            &json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": policies}),
        );
        let pods: Vec<&Peer> = peers.iter().filter(|peer| !peer.outside()).collect();
        let probe = file("probe.json", &model(&pods, probes));
        let outside = |from: &Peer, to: &Peer| from.outside() || to.outside();
        let traffic: Vec<Value> = asked
            .iter()
            .filter(|(from, to, ..)| outside(from, to))
            .map(traffic)
            .collect();
        let traffic = file("traffic.json", &json!(traffic));

        let printed = self.analyze(&policies, &["probe", "--probe-path"], &probe);
        let tables = tables(&printed, &pods);
        assert_eq!(tables.len(), probes.len(), "a table for each port");
        let printed = self.analyze(&policies, &["query-traffic", "--traffic-path"], &traffic);
        let mut alone = printed
            .lines()
            .filter(|line| line.contains("IS ALLOWED?"))
            .map(|line| match line {
                line if line.contains("TRUE") => true,
                line if line.contains("FALSE") => false,
                line => panic!("neither yes nor no: {line}"),
            });
        let answers: Vec<bool> = asked
            .iter()
            .map(|(from, to, port, protocol)| {
                if outside(from, to) {
                    return alone.next().expect("an answer for each question");
                }
                let table = probes
                    .iter()
                    .position(|probe| *probe == (*port, *protocol))
                    .expect("its port was probed");
                tables[table][&(from.key(), to.key())]
            })
            .collect();
        assert!(alone.next().is_none(), "no answer without a question");
        answers
    }

    fn analyze(&self, policies: &Path, mode: &[&str], input: &Path) -> String {
        let mut command = support::isolated(&self.0, policies.parent().expect("a folder"));
        command
            .args(["analyze", "--policy-path"])
            .arg(policies)
            .arg("--mode")
            .args(mode)
            .arg(input);
        let output = command.output().expect("cyclonus runs");
        assert!(
            output.status.success(),
            "cyclonus: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("cyclonus prints UTF-8")
    }
}

/// Namespaces and pods as cyclonus' `--probe-path` has them; every pod listens on every port.
fn model(pods: &[&Peer], probes: &[(u16, &str)]) -> Value {
    let ports: BTreeSet<u16> = probes.iter().map(|(port, _)| *port).collect();
    let containers: Vec<Value> = ports
        .iter()
        .map(|port| json!({"Name": format!("c{port}"), "Port": port, "PortName": format!("p{port}"), "Protocol": "TCP"}))
        .collect();
    let namespaces: BTreeMap<&str, Value> = pods
        .iter()
        .map(|pod| (pod.namespace.as_str(), namespace_labels(pod)))
        .collect();
    let pods: Vec<Value> = pods
        .iter()
        .map(|pod| {
            json!({"Namespace": pod.namespace, "Name": pod.name, "Labels": pod.labels, "IP": pod.address, "Containers": containers})
        })
        .collect();
    let probes: Vec<Value> = probes
        .iter()
        .map(|(port, protocol)| json!({"Port": port, "Protocol": protocol}))
        .collect();
    json!({"Resources": {"Namespaces": namespaces, "Pods": pods}, "Probes": probes})
}

/// The label that the API server puts on every namespace.
fn namespace_labels(pod: &Peer) -> Value {
    json!({"kubernetes.io/metadata.name": pod.namespace})
}

/// One question as cyclonus' `--traffic-path` has it.
fn traffic((from, to, port, protocol): &(&Peer, &Peer, u16, &str)) -> Value {
    let end = |peer: &Peer| {
        let inside = json!({"Namespace": peer.namespace, "NamespaceLabels": namespace_labels(peer), "PodLabels": peer.labels});
        json!({"IP": peer.address, "Internal": if peer.outside() { Value::Null } else { inside }})
    };
    json!({"Source": end(from), "Destination": end(to), "ResolvedPort": port, "ResolvedPortName": "", "Protocol": protocol})
}

/// The tables under "Combined:", one for each port: a row for each pod that calls, with a cell for
/// each that is called, `.` if it passes and `X` if not. Rows and cells are in the order of the
/// pods' names.
fn tables(printed: &str, pods: &[&Peer]) -> Vec<BTreeMap<(String, String), bool>> {
    let mut keys: Vec<String> = pods.iter().map(|pod| pod.key()).collect();
    keys.sort();
    let table = |text: &str| {
        let rows = text
            .lines()
            .skip(3)
            .take_while(|line| line.starts_with('|'));
        let cells = rows
            .map(|row| {
                row.trim_matches('|')
                    .split('|')
                    .map(str::trim)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>();
        assert_eq!(
            cells.iter().map(|row| row[0]).collect::<Vec<_>>(),
            keys,
            "a row for each pod"
        );
        let answers = cells.iter().flat_map(|row| {
            keys.iter()
                .zip(&row[1..])
                .map(|(to, cell)| ((row[0].to_owned(), to.clone()), *cell))
        });
        let yes_or_no = |cell: &str| match cell {
            "." => true,
            "X" => false,
            other => panic!("cyclonus has no answer: {other}"),
        };
        answers
            .map(|(pair, cell)| (pair, yes_or_no(cell)))
            .collect::<BTreeMap<_, _>>()
    };
    // After those that were asked for, an empty one of the cluster, which there is none of.
    let parts: Vec<&str> = printed.split("Combined:\n").skip(1).collect();
    parts[..parts.len() - 1]
        .iter()
        .map(|text| table(text))
        .collect()
}
