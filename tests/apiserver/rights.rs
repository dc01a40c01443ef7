//! Least privilege: the Roles of examples/rbac are enough, and each of their rights is needed, and told when it is missing.

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
        let text = fs::read_to_string(repository().join("examples/rbac").join(file)).expect("an example");
        let documents = yaml::parse_stream(&text, file).expect("YAML");
        let mut objects: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
        for object in &mut objects {
            if object["kind"].as_str().is_some_and(|kind| kind.starts_with("Cluster")) {
                object["metadata"]["name"] = json!(self.user);
                if !object["roleRef"].is_null() {
                    object["roleRef"]["name"] = json!(self.user);
                }
            }
            if let Some(subject) = object.pointer_mut("/subjects/0") {
                subject["name"] = json!(self.user);
            }
        }
        objects
    }

    /// Grants, and waits until the server judges by it: it learns of roles a moment later, which a rule that no role had before tells.
    fn grant(&self, namespace: &str, objects: &[Value]) {
        static GRANTS: AtomicUsize = AtomicUsize::new(0);
        let mut objects = objects.to_vec();
        let mut marks = Vec::new();
        for rules in objects.iter_mut().filter_map(|object| object.get_mut("rules")?.as_array_mut()) {
            let mark = format!("grant{}", GRANTS.fetch_add(1, Ordering::Relaxed));
            rules.push(json!({"apiGroups": ["test"], "resources": [mark], "verbs": ["get"]}));
            marks.push(mark);
        }
        self.cluster.apply(namespace, &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
        for mark in marks {
            until("the server to know the role", || self.may_get(namespace, &mark).then_some(()));
        }
    }

    fn may_get(&self, namespace: &str, resource: &str) -> bool {
        let asked = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": namespace, "verb": "get", "group": "test", "resource": resource}},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let ask = self.cluster.kubectl().args(["create", "--raw", path, "-f", "-", "--as", &self.user]).stdin(asked.to_string());
        ask.run().success().json()["status"]["allowed"] == true
    }

    /// Runs the plugin about `org1` in `namespace` as this user.
    fn run(&self, namespace: &str, command: &[&str]) -> Output {
        let (verb, args) = command.split_first().expect("a verb");
        self.cluster.fabric().args([verb, "org1", "-n", namespace, "--as", &self.user]).args(args).run()
    }

    /// Runs what must be refused, and sees that it has written nothing.
    fn refused(&self, namespace: &str, command: &[&str]) -> String {
        let mut output = None;
        let requests = self.cluster.requests(|| output = Some(self.run(namespace, command).exits(1)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes() && request.code < 300).collect();
        assert!(written.is_empty(), "{command:?}: {written:#?}");
        output.expect("it ran").stderr
    }
}

const UPGRADE: [&str; 3] = ["upgrade", "--fabric-version", "2.5.16"];
const INSTALL: [&str; 5] = ["install", "--fabric-version", "2.5.15", "--set", "peers.count=1"];

#[test]
fn the_role_of_one_release_is_enough_for_its_life() {
    let Some(operator) = Operator::new() else { return };
    let namespace = operator.cluster.create_namespace("org1");
    operator.grant(&namespace, &operator.example("release.yaml"));
    operator.run(&namespace, &INSTALL).success();
    let diff = ["diff", "upgrade", "org1", "-n", &namespace, "--as", &operator.user, "--set", "peers.count=2"];
    operator.cluster.fabric().args(diff).run().success();
    for command in [
        &UPGRADE[..],
        &["status"],
        &["history"],
        &["rollback"],
        &["drift"],
        &["uninstall", "--keep-history"],
        &["install", "--set", "peers.count=1"],
        &["uninstall", "--delete-data", "--yes"],
    ] {
        operator.run(&namespace, command).success();
    }
    let left = operator.cluster.list("statefulset,service,configmap,lease,networkpolicy,secret", &namespace);
    let names: Vec<&str> = left.iter().filter_map(|body| body["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["kube-root-ca.crt"]);
}

#[test]
fn each_right_of_the_role_is_needed_and_named_before_anything_is_written() {
    let Some(operator) = Operator::new() else { return };
    let (empty, full) = (operator.cluster.create_namespace("empty"), operator.cluster.create_namespace("full"));
    let objects = operator.example("release.yaml");
    for namespace in [&empty, &full] {
        operator.grant(namespace, &objects);
    }
    operator.run(&full, &INSTALL).success();

    let mut seen = 0;
    for (place, rule) in objects[0]["rules"].as_array().expect("rules").iter().enumerate() {
        let group = rule["apiGroups"][0].as_str().expect("a group");
        for resource in rule["resources"].as_array().expect("resources").iter().filter_map(Value::as_str) {
            if resource == "pods/log" {
                continue; // Said in the file: useful, not needed.
            }
            for verb in rule["verbs"].as_array().expect("verbs").iter().filter_map(Value::as_str) {
                let mut role = objects[0].clone();
                let rules = role["rules"].as_array_mut().expect("rules");
                let mut without = rule.clone();
                without["resources"] = json!([resource]);
                without["verbs"].as_array_mut().expect("verbs").retain(|other| other != verb);
                rules[place]["resources"].as_array_mut().expect("resources").retain(|other| other != resource);
                rules.push(without);
                rules.retain(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([]));

                // Most rights are needed by an install; some only once there is something to change or to take away.
                let (namespace, command) = match (resource, verb) {
                    ("pods", "delete") => (&full, &UPGRADE[..]),
                    ("persistentvolumeclaims", _) => (&full, &["uninstall", "--delete-data", "--yes"][..]),
                    ("leases" | "configmaps" | "secrets", _) | (_, "create" | "patch" | "list" | "watch") => {
                        (&empty, &INSTALL[..])
                    }
                    _ => (&full, &["uninstall"][..]),
                };
                operator.grant(namespace, &[role]);
                let said = operator.refused(namespace, command);
                let named = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
                for word in [verb, &named, namespace, "nothing was changed"] {
                    assert!(said.contains(word), "{word} is missing, without {verb} {named}:\n{said}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn the_role_for_values_is_enough_for_them() {
    let Some(operator) = Operator::new() else { return };
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
    for resource in ["deployments.apps", "ingresses.networking.k8s.io", "resourcequotas", "limitranges", "roles.rbac"] {
        assert!(said.contains(resource), "{resource} is missing:\n{said}");
    }
    operator.grant(&namespace, &operator.example("values.yaml"));
    operator.run(&namespace, &install).success();
    operator.run(&namespace, &["uninstall"]).success();
}

#[test]
fn the_role_of_a_network_makes_its_namespaces_too() {
    let Some(operator) = Operator::new() else { return };
    let namespace = operator.cluster.namespace("org1");
    let said = operator.run(&namespace, &INSTALL).exits(1).stderr;
    assert!(said.contains("configmaps") && said.contains(&namespace), "{said}");
    assert!(operator.cluster.get("namespace", &namespace, None).is_none());

    let objects = operator.example("network.yaml");
    operator.grant("default", &objects);
    let nfs = ["--set", "crypto.source=nfs,crypto.nfs.server=nfs.example.com,crypto.nfs.path=/share,ca.enabled=false"];
    operator.run(&namespace, &[&INSTALL[..], &nfs].concat()).success();
    operator.run(&namespace, &UPGRADE).success();
    let list = operator.cluster.fabric().args(["list", "-A", "--as", &operator.user]).run().success();
    assert!(list.stdout.contains(&namespace), "{}", list.stdout);
    operator.run(&namespace, &["uninstall", "--delete-data", "--delete-namespace", "--yes"]).success();
    assert!(operator.cluster.get("persistentvolume", &format!("{namespace}-crypto"), None).is_none());
    operator.cluster.kubectl().args(["delete", "clusterrole,clusterrolebinding", &operator.user]).run().success();
}
