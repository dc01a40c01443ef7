//! Least privilege: the Roles of examples/rbac are enough, and each of their permissions is needed,
//! and told when it is missing.

use crate::support::{self, Cluster, Output, repository, until};
use kubectl_fabric::yaml;
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A user who may do what one of the files in examples/rbac says, and nothing else.
struct Operator {
    cluster: Cluster,
    user: String,
}

impl Operator {
    fn new() -> Option<Operator> {
        let cluster = support::cluster()?;
        let user = format!("operator-{}", cluster.network());
        Some(Operator { cluster, user })
    }

    /// The objects of a file, bound to this user under names that no other test has.
    fn example(&self, file: &str) -> Vec<Value> {
        let text =
            fs::read_to_string(repository().join("examples/rbac").join(file)).expect("an example");
        let documents = yaml::parse_stream(&text, file).expect("YAML");
        let mut objects: Vec<Value> = documents
            .into_iter()
            .map(|document| document.value)
            .collect();
        for object in &mut objects {
            if object["kind"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("Cluster"))
            {
                self.rename(&mut object["metadata"]["name"]);
            }
            if object["roleRef"]["kind"] == "ClusterRole" {
                self.rename(&mut object["roleRef"]["name"]);
            }
            if let Some(subject) = object.pointer_mut("/subjects/0") {
                subject["name"] = json!(self.user);
            }
        }
        objects
    }

    fn rename(&self, name: &mut Value) {
        *name = json!(format!("{}-{}", name.as_str().expect("a name"), self.user));
    }

    /// Takes away what belongs to no namespace.
    fn forget(&self, objects: &[Value]) {
        for object in objects.iter().filter(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("Cluster"))
        }) {
            let [kind, name] = [&object["kind"], &object["metadata"]["name"]]
                .map(|field| field.as_str().expect("text"));
            self.cluster
                .kubectl()
                .args(["delete", kind, name])
                .run()
                .success();
        }
    }

    /// Grants, and waits until the server judges by it: it learns of roles a moment later, which a
    /// rule that no role had before tells.
    fn grant(&self, namespace: &str, objects: &[Value]) {
        static GRANTS: AtomicUsize = AtomicUsize::new(0);
        let mut objects = objects.to_vec();
        let mut marks = Vec::new();
        for rules in objects
            .iter_mut()
            .filter_map(|object| object.get_mut("rules")?.as_array_mut())
        {
            let mark = format!("grant{}", GRANTS.fetch_add(1, Ordering::Relaxed));
            rules.push(json!({"apiGroups": ["test"], "resources": [mark], "verbs": ["get"]}));
            marks.push(mark);
        }
        self.cluster.apply(
            namespace,
            &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string(),
        );
        for mark in marks {
            until("the server to know the role", || {
                self.may_get(namespace, &mark).then_some(())
            });
        }
    }

    fn may_get(&self, namespace: &str, resource: &str) -> bool {
        self.may(
            &json!({"namespace": namespace, "verb": "get", "group": "test", "resource": resource}),
        )
    }

    fn may(&self, what: &Value) -> bool {
        let asked = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": what},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let ask = self
            .cluster
            .kubectl()
            .args(["create", "--raw", path, "-f", "-", "--as", &self.user])
            .stdin(asked.to_string());
        ask.run().success().json()["status"]["allowed"] == true
    }

    /// Runs the plugin about `org1` in `namespace` as this user.
    fn run(&self, namespace: &str, command: &[&str]) -> Output {
        let (verb, args) = command.split_first().expect("a verb");
        self.cluster
            .fabric()
            .args([verb, "org1", "-n", namespace, "--as", &self.user])
            .args(args)
            .run()
    }

    /// Runs what must be refused for a permission, and sees that it has written nothing.
    fn refused(&self, namespace: &str, command: &[&str]) -> String {
        self.refused_with(1, namespace, command)
    }

    fn refused_with(&self, status: i32, namespace: &str, command: &[&str]) -> String {
        let mut output = None;
        let requests = self
            .cluster
            .requests(|| output = Some(self.run(namespace, command).exits(status)));
        let written: Vec<_> = requests
            .iter()
            .filter(|request| request.writes() && request.code < 300)
            .collect();
        assert!(written.is_empty(), "{command:?}: {written:#?}");
        output.expect("it ran").stderr
    }
}

const UPGRADE: [&str; 3] = ["upgrade", "--fabric-version", "2.5.16"];
const INSTALL: [&str; 5] = [
    "install",
    "--fabric-version",
    "2.5.15",
    "--set",
    "peers.count=1",
];

#[test]
fn the_role_of_one_release_is_enough_for_its_life() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("org1");
    operator.grant(&namespace, &operator.example("release.yaml"));
    operator.run(&namespace, &INSTALL).success();
    let diff = [
        "diff",
        "upgrade",
        "org1",
        "-n",
        &namespace,
        "--as",
        &operator.user,
        "--set",
        "peers.count=2",
    ];
    operator.cluster.fabric().args(diff).run().success();
    for command in [
        &UPGRADE[..],
        &["status"],
        &["history"],
        &["rollback"],
        &["drift"],
        &["uninstall", "--keep-history"],
        &["install", "--set", "peers.count=1"],
        &[
            "upgrade",
            "--set",
            "peers.persistence.size=11Gi",
            "--wait=false",
        ],
        &["uninstall", "--delete-data", "--yes"],
    ] {
        operator.run(&namespace, command).success();
    }
    let left = operator.cluster.list(
        "statefulset,service,configmap,lease,networkpolicy,secret",
        &namespace,
    );
    let names: Vec<&str> = left
        .iter()
        .filter_map(|body| body["metadata"]["name"].as_str())
        .collect();
    assert_eq!(names, ["kube-root-ca.crt"]);
}

#[test]
fn each_right_of_the_role_is_needed_and_named_before_anything_is_written() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let (empty, full) = (
        operator.cluster.create_namespace("empty"),
        operator.cluster.create_namespace("full"),
    );
    let objects = operator.example("release.yaml");
    for namespace in [&empty, &full] {
        operator.grant(namespace, &objects);
    }
    operator.run(&full, &INSTALL).success();

    let mut seen = 0;
    for (place, rule) in objects[0]["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .enumerate()
    {
        let group = rule["apiGroups"][0].as_str().expect("a group");
        for resource in rule["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .filter_map(Value::as_str)
        {
            if matches!(
                resource,
                "events" | "pods/log" | "pods/proxy" | "namespaces"
            ) {
                continue; // Said in the file: useful, and not needed by pods that conform to `restricted`.
            }
            for verb in rule["verbs"]
                .as_array()
                .expect("verbs")
                .iter()
                .filter_map(Value::as_str)
            {
                let mut role = objects[0].clone();
                let rules = role["rules"].as_array_mut().expect("rules");
                let mut without = rule.clone();
                without["resources"] = json!([resource]);
                without["verbs"]
                    .as_array_mut()
                    .expect("verbs")
                    .retain(|other| other != verb);
                rules[place]["resources"]
                    .as_array_mut()
                    .expect("resources")
                    .retain(|other| other != resource);
                rules.push(without);
                rules.retain(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([]));

                // Most permissions are needed by an install; some only once there is something to
                // change or to take away.
                let (namespace, command) = match (resource, verb) {
                    ("pods", "delete") => (&full, &UPGRADE[..]),
                    ("persistentvolumeclaims", "patch" | "watch") => (
                        &full,
                        &["upgrade", "--set", "peers.persistence.size=11Gi"][..],
                    ),
                    ("persistentvolumeclaims", _) => {
                        (&full, &["uninstall", "--delete-data", "--yes"][..])
                    }
                    ("leases" | "configmaps" | "secrets", _)
                    | (_, "create" | "patch" | "list" | "watch") => (&empty, &INSTALL[..]),
                    _ => (&full, &["uninstall"][..]),
                };
                operator.grant(namespace, &[role]);
                let said = operator.refused(namespace, command);
                let named = if group.is_empty() {
                    resource.to_owned()
                } else {
                    format!("{resource}.{group}")
                };
                for word in [verb, &named, namespace, "nothing was changed"] {
                    assert!(
                        said.contains(word),
                        "{word} is missing, without {verb} {named}:\n{said}"
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn without_the_right_to_read_metrics_orderers_are_changed_by_readiness_alone_and_that_is_reported()
{
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("orgorderer1");
    let mut objects = operator.example("release.yaml");
    let rules = objects[0]["rules"].as_array_mut().expect("rules");
    rules.retain(|rule| rule["resources"] != json!(["pods/proxy"]));
    operator.grant(&namespace, &objects);
    let run = |args: &[&str]| {
        let place = ["orgorderer1", "-n", &namespace, "--as", &operator.user];
        operator
            .cluster
            .fabric()
            .args(&args[..1])
            .args(place)
            .args(&args[1..])
            .run()
            .success()
    };
    run(&["install", "--set", "orderers.count=3"]);
    let mut output = None;
    let requests = operator
        .cluster
        .requests(|| output = Some(run(&["upgrade", "--set", "orderers.logging.spec=debug"])));
    let output = output.expect("it ran");
    let denied = format!(
        "user \"{}\" has no permission to get pods/proxy in namespace \"{namespace}\"",
        operator.user
    );
    let said = output.stderr.replace("\n", " ");
    assert_eq!(said.matches("checks readiness only").count(), 1, "{said}");
    assert!(said.contains(&denied), "{said}");
    assert!(
        output.stdout.contains("orderer0, orderer1, orderer2"),
        "{}",
        output.stdout
    );
    let asked = requests
        .iter()
        .filter(|request| request.resource == "pods/proxy")
        .count();
    assert_eq!(asked, 3, "each is asked once: what is denied stays denied");
}

#[test]
fn without_the_right_to_read_events_a_failure_says_that_they_are_not_shown() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("org1");
    let mut objects = operator.example("release.yaml");
    let with = |objects: &[Value]| {
        operator.grant(&namespace, objects);
        let priority = [
            "--set",
            "peers.priorityClassName=nosuch,ca.enabled=false",
            "--timeout",
            "8s",
        ];
        operator
            .run(&namespace, &[&INSTALL[..], &priority].concat())
            .exits(3)
            .stderr
    };
    let rules = objects[0]["rules"].as_array_mut().expect("rules");
    let events = rules
        .iter()
        .position(|rule| rule["resources"] == json!(["events"]))
        .expect("the rule of events");
    let rule = rules.remove(events);
    let said = with(&objects);
    assert_eq!(
        said.matches("events, which often explain more, are not shown")
            .count(),
        1,
        "{said}"
    );
    assert!(said.contains("cannot list resource \"events\""), "{said}");
    objects[0]["rules"]
        .as_array_mut()
        .expect("rules")
        .push(rule);
    let said = with(&objects);
    assert!(
        said.contains("no PriorityClass with name nosuch") && !said.contains("are not shown"),
        "{said}"
    );
}

const SERVER: [&str; 4] = [
    "install",
    "chaincode",
    "--set",
    "image.repository=registry.example.com/basic,image.tag=1.0,packageID=basic:0000000000000000000000000000000000000000000000000000000000000000",
];

/// The life of a chaincode server, as this user.
fn serve_chaincode(operator: &Operator, namespace: &str) {
    for command in [
        &SERVER[..],
        &["upgrade", "--set", "image.tag=1.1"],
        &["status"],
        &["rollback"],
        &["drift"],
        &["uninstall"],
    ] {
        run_server(operator, namespace, command).success();
    }
}

fn run_server(operator: &Operator, namespace: &str, command: &[&str]) -> Output {
    let place = ["basic", "-n", namespace, "--as", &operator.user];
    let fabric = operator.cluster.fabric().args(&command[..1]);
    // The chart is the second name, so flags come last.
    fabric
        .args(&place[..1])
        .args(&command[1..])
        .args(&place[1..])
        .run()
}

#[test]
fn the_roles_are_enough_for_a_chaincode_server() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("org1");
    operator.grant(&namespace, &operator.example("release.yaml"));
    let said = run_server(&operator, &namespace, &SERVER).exits(1).stderr;
    assert!(said.contains("deployments.apps"), "{said}");
    operator.grant(&namespace, &operator.example("values.yaml"));
    serve_chaincode(&operator, &namespace);
}

#[test]
fn dev_leaves_out_servers_that_the_user_may_not_change() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let (cluster, user) = (&operator.cluster, operator.user.as_str());
    let [own, other] = ["org1", "org2"].map(|release| cluster.create_namespace(release));
    for namespace in [&own, &other] {
        let fabric = cluster.fabric().args(["install", "basic", "chaincode"]);
        fabric
            .args(&SERVER[2..])
            .args(["-n", namespace])
            .run()
            .success();
    }
    operator.grant(&own, &operator.example("release.yaml"));
    operator.grant(&own, &operator.example("values.yaml"));
    let rule = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": ["", "apps"], "resources": resources, "verbs": verbs});
    let subject = json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"});
    let role = |kind: &str, name: &str, rules: Value| {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{kind}Binding"),
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [subject],
        });
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "rules": [rules],
        });
        [role, binding]
    };
    operator.grant(
        &other,
        &role("Role", "reader", rule(&["configmaps"], &["get", "list"])),
    );
    let names = format!("names-{user}");
    let names = role("ClusterRole", &names, rule(&["namespaces"], &["list"]));
    operator.grant(&own, &names);

    let network = cluster.network();
    let dev = |more: &[&str]| {
        let image = "registry.example.com/basic:dev";
        let args = ["chaincode", "dev", "basic", "--image", image, "--as", user];
        cluster.fabric().args(args).args(more).run()
    };
    let replaced = dev(&["--network", network, "-o", "json"]).success();
    assert_eq!(replaced.json()["servers"][0]["namespace"], json!(own));
    assert_eq!(replaced.json()["servers"].as_array().map(Vec::len), Some(1));
    let stays = format!("the server in namespace {other} is unchanged");
    assert!(replaced.stderr.contains(&stays), "{}", replaced.stderr);
    let said = dev(&["-n", &other]).exits(1).stderr;
    assert!(said.contains("patch deployments is denied"), "{said}");
    operator.forget(&names);
}

#[test]
fn the_role_for_values_is_enough_for_them() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("org1");
    operator.grant(&namespace, &operator.example("release.yaml"));
    let values = json!({
        "peers": {"count": 1},
        "cli": {"enabled": true},
        "chaincode": {"mode": "k8s"},
        "expose": {"type": "Ingress", "className": "nginx", "host": "{node}.example.com"},
        "quota": {"pods": 20},
        "limitRange": [{"type": "Container", "defaultRequest": {"cpu": "10m"}}],
    });
    let file = operator.cluster.folder().join("values.json");
    fs::write(&file, values.to_string()).expect("a file");
    let install = ["install", "-f", file.to_str().expect("UTF-8")];
    let said = operator.refused(&namespace, &install);
    for resource in [
        "ingresses.networking.k8s.io",
        "resourcequotas",
        "limitranges",
        "roles.rbac",
    ] {
        assert!(said.contains(resource), "{resource} is missing:\n{said}");
    }
    // All at once: to read, to make, and what the Role of the builder grants.
    for right in [
        "create, list, patch roles.rbac.authorization.k8s.io",
        "jobs.batch",
        "docs/guides/rights.md",
    ] {
        assert!(said.contains(right), "{right} is missing:\n{said}");
    }
    // Of a Role whose permissions the author lacks, the server's own words are followed by what to
    // do.
    let mut short = operator.example("values.yaml");
    short[0]["rules"]
        .as_array_mut()
        .expect("rules")
        .retain(|rule| rule["apiGroups"] != json!(["batch"]));
    operator.grant(&namespace, &short);
    let said = operator.refused(&namespace, &install);
    assert!(
        said.contains("grants more permissions than you have")
            && said.contains("examples/rbac/values.yaml"),
        "{said}"
    );
    operator.grant(&namespace, &operator.example("values.yaml"));
    operator.run(&namespace, &install).success();
    let tested = operator.run(&namespace, &["test", "--logs"]).success();
    assert!(
        tested.stdout.contains("POD LOGS: test-peers (test)"),
        "{}",
        tested.told()
    );
    operator.run(&namespace, &["uninstall"]).success();
}

#[test]
fn a_test_without_its_rights_names_them_and_a_log_is_not_needed() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("org1");
    let without_logs = |mut objects: Vec<Value>| {
        for rules in objects
            .iter_mut()
            .filter_map(|it| it["rules"].as_array_mut())
        {
            rules.retain(|rule| rule["resources"] != json!(["pods/log"]));
        }
        objects
    };
    operator.grant(&namespace, &without_logs(operator.example("release.yaml")));
    operator.run(&namespace, &INSTALL).success();
    let told = operator.run(&namespace, &["test"]).exits(1).stderr;
    for words in [
        "hook Pod ",
        "no permission to patch pods in namespace",
        "now: 0 of 2 tests have ended",
    ] {
        assert!(told.contains(words), "{words} is missing:\n{told}");
    }
    operator.grant(&namespace, &operator.example("values.yaml"));
    let output = operator.run(&namespace, &["test", "--logs"]).success();
    for words in [
        "warning: the log of test \"test-peers\" is missing",
        "no permission to get pods/log",
    ] {
        assert!(
            output.stderr.contains(words),
            "{words} is missing:\n{}",
            output.stderr
        );
    }
}

#[test]
fn the_roles_of_a_network_are_enough_in_its_namespaces_and_nothing_elsewhere() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let cluster = &operator.cluster;
    let [org1, org2, foreign] =
        ["org1", "org2", "foreign"].map(|name| cluster.create_namespace(name));
    let user = operator.user.as_str();
    let said = operator.refused(&org1, &INSTALL);
    assert!(
        said.contains("configmaps") && said.contains(&org1),
        "{said}"
    );

    let roles = operator.example("network.yaml");
    let binding = operator.example("network-namespace.yaml");
    operator.grant(&org1, &[roles.clone(), binding.clone()].concat());
    cluster.apply(
        &org2,
        &json!({"apiVersion": "v1", "kind": "List", "items": binding}).to_string(),
    );
    let portforward = |namespace: &str, verb: &str| {
        operator.may(&json!({"namespace": namespace, "verb": verb, "resource": "pods", "subresource": "portforward"}))
    };
    until("the second binding to be known", || {
        portforward(&org2, "get").then_some(())
    });
    assert!(portforward(&org1, "create"));

    for namespace in [&org1, &org2] {
        operator.run(namespace, &INSTALL).success();
        for command in [
            &UPGRADE[..],
            &["status"],
            &["history"],
            &["test"],
            &["rollback"],
            &["drift"],
            &["upgrade", "--dry-run=server", "--set", "peers.count=2"],
            &["uninstall", "--keep-history"],
            &["install", "--set", "peers.count=1"],
        ] {
            operator.run(namespace, command).success();
        }
        for command in [["get", "manifest"], ["get", "values"], ["diff", "upgrade"]] {
            cluster
                .fabric()
                .args(command)
                .args(["org1", "-n", namespace, "--as", user])
                .run()
                .success();
        }
    }
    serve_chaincode(&operator, &org1);
    // Others have releases here as well, and `list` ends at 256.
    let list = cluster
        .fabric()
        .args(["list", "--network", cluster.network(), "--as", user])
        .run()
        .success();
    assert!(
        list.stdout.contains(&org1) && list.stdout.contains(&org2),
        "{}",
        list.stdout
    );

    // What cluster-wide permissions would have given.
    let secret = [
        "create",
        "secret",
        "generic",
        "theirs",
        "--from-literal=key=canary",
        "-n",
        &foreign,
    ];
    cluster.kubectl().args(secret).run().success();
    let label = "pod-security.kubernetes.io/enforce=privileged";
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": foreign}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"},
    }});
    fs::write(cluster.folder().join("volume.json"), volume.to_string()).expect("a file");
    for (forbidden, resource) in [
        (&["get", "secret", "theirs", "-n", &foreign][..], "secrets"),
        (&["get", "secrets", "-A"], "secrets"),
        (&["get", "configmaps", "-n", &foreign], "configmaps"),
        (&["delete", "pods", "--all", "-n", &foreign], "pods"),
        (
            &["label", "--overwrite", "namespace", &foreign, label],
            "namespaces",
        ),
        (
            &["label", "--overwrite", "namespace", &org1, label],
            "namespaces",
        ),
        (&["delete", "namespace", &foreign], "namespaces"),
        (
            &["create", "namespace", &format!("{foreign}-2")],
            "namespaces",
        ),
        (&["create", "-f", "volume.json"], "persistentvolumes"),
    ] {
        let said = cluster
            .kubectl()
            .args(forbidden)
            .args(["--as", user])
            .run()
            .exits(1)
            .stderr;
        assert!(
            said.contains("Forbidden") && said.contains(resource) && !said.contains("canary"),
            "{forbidden:?}: {said}"
        );
    }
    assert!(!portforward(&foreign, "get") && !portforward(&foreign, "create"));
    operator.refused(&foreign, &INSTALL);
    for namespace in [&org1, &org2] {
        operator
            .run(namespace, &["uninstall", "--delete-data", "--yes"])
            .success();
    }
    operator.forget(&roles);
}

#[test]
fn the_role_for_nfs_makes_the_volume_too() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let namespace = operator.cluster.create_namespace("org1");
    let roles = [
        operator.example("network.yaml"),
        operator.example("network-namespace.yaml"),
    ]
    .concat();
    operator.grant(&namespace, &roles);
    let nfs = [
        "--set",
        "crypto.source=nfs,crypto.nfs.server=nfs.example.com,crypto.nfs.path=/share,ca.enabled=false",
    ];
    let said = operator.refused(&namespace, &[&INSTALL[..], &nfs].concat());
    assert!(said.contains("persistentvolumes"), "{said}");
    let role = operator.example("nfs.yaml");
    operator.grant(&namespace, &role);
    operator
        .run(&namespace, &[&INSTALL[..], &nfs].concat())
        .success();
    operator
        .run(&namespace, &["uninstall", "--delete-data", "--yes"])
        .success();
    assert!(
        operator
            .cluster
            .get("persistentvolume", &format!("{namespace}-crypto"), None)
            .is_none()
    );
    operator.forget(&roles);
    operator.forget(&role);
}

/// The level that a namespace enforces, set by its administrator.
fn enforce(cluster: &Cluster, namespace: &str, level: &str) {
    let label = format!("pod-security.kubernetes.io/enforce{level}");
    cluster
        .kubectl()
        .args(["label", "--overwrite", "namespace", namespace, &label])
        .run()
        .success();
}

#[test]
fn a_namespace_that_may_not_be_read_is_not_taken_to_allow_every_pod() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let cluster = &operator.cluster;
    let namespace = cluster.create_namespace("org1");
    enforce(cluster, &namespace, "=baseline");
    until("the service account", || {
        cluster.get("serviceaccount", "default", Some(&namespace))
    });
    let full = operator.example("release.yaml");
    let without = |more: &[Value]| {
        let mut objects = full.clone();
        let rules = objects[0]["rules"].as_array_mut().expect("rules");
        rules.retain(|rule| rule["resources"] != json!(["namespaces"]));
        rules.extend(more.iter().cloned());
        objects
    };
    operator.grant(&namespace, &without(&[]));
    operator.run(&namespace, &INSTALL).success();
    let pod = || {
        cluster
            .get("pod", "peer0-0", Some(&namespace))
            .expect("the peer runs")["metadata"]["uid"]
            .clone()
    };
    let before = pod();
    let dind = ["upgrade", "--set", "chaincode.mode=dind"];

    // Nothing tells what the namespace allows.
    let said = operator.refused_with(4, &namespace, &dind);
    for words in [
        "cannot determine whether namespace",
        "container docker: it is privileged",
        "has no permission to create pods",
        "nothing was changed",
        "release.yaml",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // A pod that may be tried tells it.
    let create = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]});
    operator.grant(&namespace, &without(&[create]));
    let said = operator.refused_with(4, &namespace, &dind);
    assert!(
        said.contains("violates PodSecurity \"baseline:latest\"")
            && said.contains("nothing was changed"),
        "{said}"
    );
    // So does the namespace.
    operator.grant(&namespace, &full);
    let said = operator.refused_with(4, &namespace, &dind);
    assert!(
        said.contains("allows Pod Security level baseline, but release \"org1\" needs privileged"),
        "{said}"
    );
    assert_eq!(pod(), before, "no member was touched");

    enforce(cluster, &namespace, "=privileged");
    operator.run(&namespace, &dind).success();
    assert_ne!(pod(), before);
    // Without a label the cluster's default holds, and no pod may be tried: said where the level
    // rises, not refused.
    enforce(cluster, &namespace, "-");
    let said = |args: &[&str]| operator.run(&namespace, args).success().stderr;
    let unknown = "no pod could be tested in it";
    assert!(!said(&["upgrade", "--set", "chaincode.mode=auto"]).contains(unknown));
    assert!(said(&dind).contains(unknown));
    assert!(!said(&["upgrade", "--set", "peers.count=2"]).contains(unknown));
}

const CONSORTIUM: &str = "\
apiVersion: kubectl-fabric.io/v1
kind: Network
organizations:
  orgorderer1: {values: {orderers: {count: 1}}}
  org1: {values: {ca: {enabled: false}, peers: {count: 1}}}
  org2: {values: {ca: {enabled: false}, peers: {count: 1}}}
";
const CHANNEL: &str = "\
channels:
  mychannel: {orderers: [orgorderer1], organizations: [org1, org2]}
";

#[test]
fn an_organization_does_its_part_of_a_network_with_rights_in_its_own_namespace() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let cluster = &operator.cluster;
    let own = cluster.create_namespace("org1");
    for other in ["org2", "orgorderer1"] {
        cluster.create_namespace(other);
    }
    operator.grant(&own, &operator.example("release.yaml"));
    let write = |text: &str| {
        fs::write(cluster.folder().join("network.yaml"), text).expect("a folder of ours");
    };
    let run = |args: &[&str]| {
        let (verb, more) = args.split_first().expect("a verb");
        let network = cluster.network();
        let of = [
            *verb,
            "-f",
            "network.yaml",
            "--network",
            network,
            "--as",
            &operator.user,
        ];
        let fabric = cluster.fabric().args(of).args(more);
        fabric.current_dir(cluster.folder()).run()
    };
    // What the others must do is named, and nothing is held by what this user may not read.
    write(&format!("{CONSORTIUM}{CHANNEL}"));
    let said = run(&["diff", "--org", "org1"]).success().stdout;
    for words in [
        &*format!("now: create the identities of org1\n    install org1 in namespace {own}"),
        "later: join peer0 of org1 to mychannel",
        "orgorderer1: provide the genesis block of mychannel: mychannel.block",
        "org2: provide the public part of org2: org2.json",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(
        !said.contains("held") && !said.contains("unknown"),
        "{said}"
    );

    write(CONSORTIUM);
    let mut output = None;
    let requests = cluster.requests(|| output = Some(run(&["up", "--org", "org1"])));
    output.expect("it ran").success();
    let outside = requests
        .iter()
        .filter(|it| it.writes() && it.code < 300 && !it.dry_run);
    let outside: Vec<_> = outside
        .filter(|it| !it.namespace.is_empty() && it.namespace != own)
        .collect();
    assert!(outside.is_empty(), "{outside:#?}");
    assert!(cluster.get("statefulset", "peer0", Some(&own)).is_some());
    for other in ["org2", "orgorderer1"] {
        assert!(
            cluster
                .list("statefulset", &cluster.namespace(other))
                .is_empty()
        );
    }
    let again = run(&["up", "--org", "org1", "-o", "json"]).success().json();
    assert_eq!(again["changed"], false, "{again}");
    // Without rights in its own namespace, nothing is taken for done.
    let refused = run(&["up", "--org", "org2", "--timeout", "1s"]);
    assert_ne!(refused.status, Some(0), "{}", refused.stdout);
    assert!(refused.told().contains("org2"), "{}", refused.told());
}
