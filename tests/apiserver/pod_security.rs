//! The Pod Security level of the release's namespace, which the API server itself enforces.

use crate::confined;
use crate::support::{self, Cluster, Output, until};
use kubectl_fabric::manifest::pod_security::{Level, level, needs};
use kubectl_fabric::manifest::{Object, TemplateLine};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const WARN: &str = "pod-security.kubernetes.io/warn";

/// Release `org1` with one peer, in a namespace that no other test has.
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

    fn run(&self, verb: &str, set: &str) -> Output {
        let fabric =
            self.cluster
                .fabric()
                .args(verb.split(' '))
                .args(["org1", "-n", &self.namespace]);
        match verb.starts_with("rollback") || verb == "diff rollback" {
            true => fabric.run(),
            false => fabric
                .args(["--set", &format!("peers.count=1,ca.enabled=false,{set}")])
                .run(),
        }
    }

    /// Runs what is refused, and sees that it writes nothing.
    fn refused(&self, verb: &str, set: &str) -> String {
        let mut output = None;
        let requests = self
            .cluster
            .requests(|| output = Some(self.run(verb, set).exits(4)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
        assert!(written.is_empty(), "{written:#?}");
        output.expect("it ran").stderr
    }

    /// What the namespace enforces and warns of.
    fn labels(&self) -> [Option<String>; 2] {
        let namespace = self
            .cluster
            .get("namespace", &self.namespace, None)
            .expect("the namespace is there");
        [ENFORCE, WARN].map(|label| {
            namespace["metadata"]["labels"][label]
                .as_str()
                .map(str::to_owned)
        })
    }

    #[track_caller]
    fn assert_level(&self, level: &str) {
        assert_eq!(
            self.labels(),
            [Some(level.to_owned()), Some(level.to_owned())]
        );
    }

    fn label(&self, label: &str) {
        self.cluster
            .kubectl()
            .args(["label", "--overwrite", "namespace", &self.namespace, label])
            .run()
            .success();
    }
}

#[test]
fn a_new_namespace_is_as_strict_as_its_pods_allow() {
    let Some(release) = Release::new() else {
        return;
    };
    let output = release.run("install", "chaincode.mode=ccaas").success();
    assert!(
        output
            .stderr
            .contains("created (Pod Security level restricted)"),
        "{}",
        output.stderr
    );
    release.assert_level("restricted");
    let run = [
        "run",
        "intruder",
        "--image",
        "intruder:1",
        "--privileged",
        "-n",
        &release.namespace,
    ];
    let refused = release.cluster.kubectl().args(run).run().exits(1);
    assert!(
        refused
            .stderr
            .contains("violates PodSecurity \"restricted:latest\""),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_namespace_follows_what_an_upgrade_and_a_rollback_need() {
    let Some(release) = Release::new() else {
        return;
    };
    release.run("install", "chaincode.mode=ccaas").success();
    let preview = release
        .run("upgrade --dry-run", "chaincode.mode=dind")
        .success();
    let warning = format!(
        "namespace \"{}\" goes from Pod Security level restricted to privileged",
        release.namespace
    );
    assert!(
        preview.stderr.contains(&warning)
            && preview
                .stderr
                .contains("container docker: it is privileged"),
        "{}",
        preview.stderr
    );
    release.assert_level("restricted");
    let output = release.run("upgrade", "chaincode.mode=dind").success();
    assert!(output.stderr.contains(&warning), "{}", output.stderr);
    release.assert_level("privileged");
    release.run("upgrade", "chaincode.mode=k8s").success();
    release.assert_level("baseline");
    // A record is data of the namespace that the level is to hold.
    let allowed = format!("--allow-outside Namespace/{}", release.namespace);
    let said = release.refused("rollback", "");
    assert!(
        said.contains("would go from Pod Security level baseline to privileged")
            && said.contains(&allowed),
        "{said}"
    );
    assert!(
        said.contains("only the record of revision 2 requests it"),
        "{said}"
    );
    let diff = release.run("diff rollback", "").success();
    assert!(
        diff.stderr
            .contains("would go from Pod Security level baseline to privileged"),
        "{}",
        diff.stderr
    );
    release.assert_level("baseline");
    release.run(&format!("rollback {allowed}"), "").success();
    release.assert_level("privileged");
    release.run("upgrade", "chaincode.mode=ccaas").success();
    release.assert_level("restricted");
}

#[test]
fn stored_values_alone_never_loosen_the_namespace() {
    let Some(release) = Release::new() else {
        return;
    };
    release.run("install", "chaincode.mode=ccaas").success();
    let (kubectl, record) = (
        || release.cluster.kubectl().args(["-n", &release.namespace]),
        "kubectl-fabric.v1.org1.v1",
    );
    let key = confined::signing_key(kubectl, record);
    confined::forge(kubectl, record, &key, |payload, _| {
        payload["userValues"]["chaincode"]["mode"] = json!("dind")
    });
    let said = release.refused("upgrade", "peers.count=1");
    for words in [
        "would go from Pod Security level restricted to privileged, which this command does not request",
        "container docker: it is privileged",
        "only a value stored with revision 1 requests it",
        "the values that need the level on the command line",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let diff = release.run("diff upgrade", "peers.count=1").success();
    assert!(
        diff.stderr.contains("this command does not request"),
        "{}",
        diff.stderr
    );
    release.assert_level("restricted");
    release.run("upgrade", "chaincode.mode=dind").success();
    release.assert_level("privileged");
}

#[test]
fn a_failed_upgrade_that_is_undone_leaves_the_namespace_as_strict_as_before() {
    let Some(release) = Release::new() else {
        return;
    };
    release.run("install", "chaincode.mode=ccaas").success();
    let never =
        r"chaincode.mode=dind,peers.podAnnotations.sim\.kubectl-fabric\.io/state=image-pull-error";
    release
        .run("upgrade --rollback-on-failure --timeout 2s", never)
        .exits(3);
    release.assert_level("restricted");
}

#[test]
fn pods_that_the_manifest_does_not_show_are_reported_by_annotation() {
    let Some(release) = Release::new() else {
        return;
    };
    let annotated =
        |level: &str| format!(r"peers.podAnnotations.kubectl-fabric\.io/pod-security={level}");
    let output = release.run("install", &annotated("basline")).exits(1);
    assert!(
        output
            .stderr
            .contains("the level must be restricted, baseline or privileged, not \"basline\""),
        "{}",
        output.stderr
    );
    release.run("install", &annotated("baseline")).success();
    release.assert_level("baseline");
    // A container of the user's that says nothing of how it is confined.
    let sidecar = "peers.sidecars[0].name=logs,peers.sidecars[0].image=logs:1";
    release.run("upgrade --reset-values", sidecar).success();
    release.assert_level("baseline");
    release
        .run("upgrade --reset-values", "chaincode.mode=ccaas")
        .success();
    release.assert_level("restricted");
}

#[test]
fn a_namespace_of_somebody_elses_stays_as_it_is_and_is_refused_if_too_strict() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("org1");
    release.run("install", "chaincode.mode=dind").success();
    assert_eq!(
        release.labels(),
        [None, None],
        "what nobody asked for is not enforced"
    );
    release
        .cluster
        .fabric()
        .args(["uninstall", "org1", "-n", &release.namespace])
        .run()
        .success();
    release.label(&format!("{ENFORCE}=restricted"));
    let said = release.refused("install", "chaincode.mode=dind");
    let words = [
        format!(
            "namespace \"{}\" allows Pod Security level restricted, but release \"org1\" needs privileged",
            release.namespace
        ),
        format!(
            "--> StatefulSet {}/peer0   container docker: it is privileged",
            release.namespace
        ),
        format!("has the label {ENFORCE}=restricted, and it was not created for this release"),
        "now: nothing was changed".to_owned(),
        format!(
            "`kubectl label --overwrite namespace {} {ENFORCE}=privileged`",
            release.namespace
        ),
    ];
    for words in words {
        assert!(said.contains(&words), "no {words:?} in {said}");
    }
    assert!(
        release
            .refused("install --dry-run", "chaincode.mode=dind")
            .contains("needs privileged")
    );
    release.label(&format!("{ENFORCE}=privileged"));
    release.run("install", "chaincode.mode=dind").success();
    release.run("upgrade", "chaincode.mode=ccaas").success();
    assert_eq!(
        release.labels(),
        [Some("privileged".to_owned()), None],
        "it is not made stricter either"
    );
    release.label(&format!("{ENFORCE}=restricted"));
    let said = release.refused("upgrade", "chaincode.mode=k8s");
    assert!(
        said.contains("Role") && said.contains("needs baseline"),
        "{said}"
    );
    let diff = release.run("diff upgrade", "chaincode.mode=k8s").success();
    assert!(diff.stderr.contains("needs baseline"), "{}", diff.stderr);
}

#[test]
fn what_a_namespace_warns_of_is_passed_on() {
    let Some(release) = Release::new() else {
        return;
    };
    release.cluster.create_namespace("org1");
    release.label(&format!("{WARN}=restricted"));
    let output = release
        .run(
            "install",
            "peers.sidecars[0].name=logs,peers.sidecars[0].image=logs:1",
        )
        .success();
    assert!(
        output
            .stderr
            .contains("would violate PodSecurity \"restricted:latest\""),
        "{}",
        output.stderr
    );
}

#[test]
fn labels_that_were_set_or_taken_away_by_hand_stay() {
    let Some(release) = Release::new() else {
        return;
    };
    release.run("install", "chaincode.mode=ccaas").success();
    release.label(&format!("{ENFORCE}=baseline"));
    release.run("upgrade", "chaincode.mode=none").success();
    assert_eq!(release.labels()[0].as_deref(), Some("baseline"));
    let said = release.refused("upgrade", "chaincode.mode=dind");
    assert!(said.contains("its label was set by another user"), "{said}");
    release.label(&format!("{ENFORCE}-"));
    release.run("upgrade", "chaincode.mode=dind").success();
    assert_eq!(release.labels()[0], None);
}

#[test]
fn a_namespace_with_another_release_in_it_stays_as_it_is() {
    let Some(release) = Release::new() else {
        return;
    };
    release.run("install", "chaincode.mode=ccaas").success();
    let nodes = crate::nodes::chart();
    let app = |set: &str| {
        release
            .cluster
            .fabric()
            .args([
                "install",
                "app",
                "-n",
                &release.namespace,
                "--chart",
                &nodes,
                "--set",
                set,
            ])
            .run()
    };
    let said = app("image=registry.example/node:1").exits(4).stderr;
    assert!(
        said.contains("release \"app\" needs baseline")
            && said.contains("was not created for this release"),
        "{said}"
    );
    release.label(&format!("{ENFORCE}=baseline"));
    release.label(&format!("{ENFORCE}-"));
    release.run("upgrade", "chaincode.mode=none").success();
    app("image=registry.example/node:1").success();
    // Taken over again by the program's own name, as if nobody had touched it.
    let body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": release.namespace,
            "labels": {ENFORCE: "baseline"},
            "annotations": {"kubectl-fabric.io/created-for": "org1"},
        },
    });
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=kubectl-fabric",
        "-f",
        "-",
    ];
    release
        .cluster
        .kubectl()
        .args(apply)
        .stdin(body.to_string())
        .run()
        .success();
    release.run("upgrade", "chaincode.mode=ccaas").success();
    assert_eq!(
        release.labels()[0].as_deref(),
        Some("baseline"),
        "app needs it"
    );
    let said = release.refused("upgrade", "chaincode.mode=dind");
    assert!(said.contains("it also contains release \"app\""), "{said}");
}

/// A pod that conforms to `restricted`.
fn pod(name: &str) -> Value {
    let container = json!({
        "name": "main",
        "image": "main:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    })
}

/// Changes to that pod by JSON pointer, and the level that the pod then needs: what the API server
/// says about each is compared with what the program says.
fn changes() -> Vec<(&'static str, Value)> {
    const CONTAINER: &str = "/spec/containers/0";
    let container = |field: &str| -> &'static str { format!("{CONTAINER}/{field}").leak() };
    vec![
        ("/metadata/labels", json!({"a": "b"})),
        (
            "/metadata/annotations",
            json!({"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}),
        ),
        (
            "/metadata/annotations",
            json!({"container.apparmor.security.beta.kubernetes.io/main": "runtime/default"}),
        ),
        ("/spec/hostNetwork", json!(true)),
        ("/spec/hostPID", json!(true)),
        ("/spec/hostIPC", json!(true)),
        (
            "/spec/volumes",
            json!([{"name": "a", "hostPath": {"path": "/"}}]),
        ),
        (
            "/spec/volumes",
            json!([{"name": "a", "nfs": {"server": "nfs", "path": "/"}}]),
        ),
        (
            "/spec/volumes",
            json!([{"name": "a"}, {"name": "b", "emptyDir": {}}, {"name": "c", "secret": {"secretName": "c"}}]),
        ),
        (
            "/spec/volumes",
            json!([{"name": "a", "projected": {"sources": []}}, {"name": "b", "persistentVolumeClaim": {"claimName": "b"}}]),
        ),
        ("/spec/securityContext", json!(null)),
        ("/spec/securityContext/runAsNonRoot", json!(false)),
        ("/spec/securityContext/runAsUser", json!(0)),
        ("/spec/securityContext/runAsUser", json!(1000)),
        ("/spec/securityContext/seccompProfile", json!(null)),
        (
            "/spec/securityContext/seccompProfile",
            json!({"type": "Unconfined"}),
        ),
        (
            "/spec/securityContext/seccompProfile",
            json!({"type": "Localhost", "localhostProfile": "a.json"}),
        ),
        (
            "/spec/securityContext/appArmorProfile",
            json!({"type": "Unconfined"}),
        ),
        (
            "/spec/securityContext/appArmorProfile",
            json!({"type": "RuntimeDefault"}),
        ),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({"type": "spc_t"}),
        ),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({"type": "container_t", "level": "s0"}),
        ),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({"role": "system_r"}),
        ),
        (
            "/spec/securityContext/sysctls",
            json!([{"name": "net.ipv4.tcp_syncookies", "value": "1"}]),
        ),
        (
            "/spec/securityContext/sysctls",
            json!([{"name": "kernel.msgmax", "value": "1"}]),
        ),
        (container("securityContext"), json!(null)),
        (container("securityContext"), json!({"privileged": true})),
        (
            container("securityContext/allowPrivilegeEscalation"),
            json!(null),
        ),
        (
            container("securityContext/capabilities"),
            json!({"drop": ["NET_RAW"]}),
        ),
        (
            container("securityContext/capabilities/add"),
            json!(["NET_BIND_SERVICE"]),
        ),
        (
            container("securityContext/capabilities/add"),
            json!(["CHOWN"]),
        ),
        (
            container("securityContext/capabilities/add"),
            json!(["NET_ADMIN"]),
        ),
        (container("securityContext/runAsUser"), json!(0)),
        (container("securityContext/runAsNonRoot"), json!(false)),
        (
            container("securityContext/seccompProfile"),
            json!({"type": "Unconfined"}),
        ),
        (
            container("securityContext/seccompProfile"),
            json!({"type": "RuntimeDefault"}),
        ),
        (
            container("ports"),
            json!([{"containerPort": 80, "hostPort": 80}]),
        ),
        (container("ports"), json!([{"containerPort": 80}])),
        (
            container("livenessProbe"),
            json!({"tcpSocket": {"port": 80, "host": "192.0.2.1"}}),
        ),
        (
            container("livenessProbe"),
            json!({"tcpSocket": {"port": 80}}),
        ),
        (
            container("lifecycle"),
            json!({"preStop": {"httpGet": {"port": 80, "host": "192.0.2.1"}}}),
        ),
        (
            "/spec/initContainers",
            json!([{"name": "init", "image": "init:1"}]),
        ),
    ]
}

#[test]
fn the_level_that_a_pod_needs_is_the_one_that_the_api_server_enforces() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let pods: Vec<Value> = changes()
        .into_iter()
        .enumerate()
        .map(|(i, (place, value))| {
            let mut pod = pod(&format!("pod{i}"));
            let (parent, field) = place.rsplit_once('/').expect("a pointer");
            pod.pointer_mut(parent).expect("its parent")[field] = value;
            pod
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
    // Who is refused by each level.
    let [restricted, baseline] = ["restricted", "baseline"].map(|level| {
        let namespace = cluster.create_namespace(level);
        cluster
            .kubectl()
            .args([
                "label",
                "namespace",
                &namespace,
                &format!("{ENFORCE}={level}"),
            ])
            .run()
            .success();
        until("the service account", || {
            cluster.get("serviceaccount", "default", Some(&namespace))
        });
        let output = cluster
            .kubectl()
            .args(["create", "--dry-run=server", "-n", &namespace, "-f", "-"])
            .stdin(list.as_str())
            .run()
            .exits(1);
        let refused = output
            .stderr
            .lines()
            .filter(|line| !line.starts_with("Warning:"))
            .map(|line| {
                let (_, rest) = line
                    .split_once("pods \"")
                    .unwrap_or_else(|| panic!("another error: {line}"));
                assert!(
                    rest.contains("is forbidden: violates PodSecurity"),
                    "{line}"
                );
                rest.split_once('"').expect("a name in quotes").0.to_owned()
            });
        refused.collect::<BTreeSet<String>>()
    });
    let mut seen = BTreeSet::new();
    for ((place, value), pod) in changes().into_iter().zip(pods) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let enforced = match (restricted.contains(name), baseline.contains(name)) {
            (false, false) => Level::Restricted,
            (true, false) => Level::Baseline,
            (_, true) => Level::Privileged,
        };
        let object = Object::from_body(pod.clone(), TemplateLine::default()).unwrap();
        assert_eq!(level(&needs([&object])), enforced, "{place} = {value}");
        seen.insert(enforced);
    }
    assert_eq!(seen.len(), 3, "each level is needed by some");
}
