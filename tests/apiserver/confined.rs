//! What stands in the cluster is data of its namespace: Mallory has the built-in role `edit` there
//! and nothing else, and the administrator works on Mallory's release. Nothing outside of the
//! namespace may change, be read or be granted.

use crate::nodes;
use crate::support::{self, Cluster, Invocation, Output};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kubectl_fabric::storage::sign::sign;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};

const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {word: {{ values.word }}}\n";

/// Release `app` of a chart of Mallory's, and a victim's namespace with a Secret.
struct Tenant {
    cluster: Cluster,
    namespace: String,
    victim: String,
}

impl Tenant {
    /// Two revisions, both made by Mallory.
    fn new() -> Option<Tenant> {
        let tenant = Tenant::empty()?;
        tenant.write("templates/a.yaml", TEMPLATE);
        tenant
            .mallory("install", &["--chart", &tenant.chart()])
            .success();
        tenant.mallory("upgrade", &["--set", "word=ho"]).success();
        Some(tenant)
    }

    fn empty() -> Option<Tenant> {
        let cluster = support::cluster()?;
        let (namespace, victim) = (
            cluster.create_namespace("tenant"),
            cluster.create_namespace("victim"),
        );
        let tenant = Tenant {
            cluster,
            namespace,
            victim,
        };
        let binding = [
            "create",
            "rolebinding",
            "mallory",
            "--clusterrole=edit",
            "--user",
            &tenant.user(),
        ];
        tenant
            .cluster
            .kubectl()
            .args(binding)
            .args(["-n", &tenant.namespace])
            .run()
            .success();
        let secret = [
            "create",
            "secret",
            "generic",
            "ca-key",
            "--from-literal=key=canary-key",
            "-n",
            &tenant.victim,
        ];
        tenant.cluster.kubectl().args(secret).run().success();
        support::until("Mallory's rights", || {
            tenant.may(&tenant.namespace).then_some(())
        });
        tenant.write(
            "Chart.yaml",
            "apiVersion: v2\nname: greeter\nversion: 0.1.0\nappVersion: \"1\"\n",
        );
        tenant.write("values.yaml", "word: hi\n");
        Some(tenant)
    }

    fn user(&self) -> String {
        format!("mallory-{}", self.cluster.network())
    }

    fn chart(&self) -> String {
        self.cluster.folder().join("greeter").display().to_string()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.cluster.folder().join("greeter").join(path);
        fs::create_dir_all(path.parent().expect("it is in a folder"))
            .expect("a folder of the chart");
        fs::write(path, text).expect("a file of the chart");
    }

    fn admin(&self, verb: &str, args: &[&str]) -> Output {
        let fabric =
            self.cluster
                .fabric()
                .args(verb.split(' '))
                .args(["app", "-n", &self.namespace]);
        fabric.args(args).run()
    }

    fn mallory(&self, verb: &str, args: &[&str]) -> Output {
        let user = format!("--as={}", self.user());
        self.admin(verb, &[args, &[user.as_str()]].concat())
    }

    fn kubectl(&self) -> Invocation {
        self.cluster
            .kubectl()
            .args(["--as", &self.user(), "-n", &self.namespace])
    }

    /// Whether Mallory may read Secrets there.
    fn may(&self, namespace: &str) -> bool {
        let asked = [
            "auth",
            "can-i",
            "get",
            "secrets",
            "-n",
            namespace,
            "--as",
            &self.user(),
        ];
        self.cluster.kubectl().args(asked).run().stdout.trim() == "yes"
    }

    /// Rewrites a record as Mallory, and signs it with the key that the role `edit` can read.
    fn forge(&self, revision: u32, edit: impl FnOnce(&mut Value, &mut Value)) {
        self.forge_with(revision, &self.signing_key(revision), edit);
    }

    fn forge_with(&self, revision: u32, key: &str, edit: impl FnOnce(&mut Value, &mut Value)) {
        forge(
            || self.kubectl(),
            &format!("kubectl-fabric.v1.app.v{revision}"),
            key,
            edit,
        );
    }

    fn signing_key(&self, revision: u32) -> String {
        signing_key(
            || self.kubectl(),
            &format!("kubectl-fabric.v1.app.v{revision}"),
        )
    }

    /// A binding that would make Mallory an administrator of the cluster.
    fn binding(&self) -> Value {
        let group = "rbac.authorization.k8s.io";
        json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": {"name": self.pwned()},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "User", "name": self.user(), "apiGroup": group}],
        })
    }

    fn pwned(&self) -> String {
        format!("pwned-{}", self.cluster.network())
    }

    /// Runs what is refused as the administrator: it writes nothing, and names each of these
    /// objects with its flag.
    #[track_caller]
    fn refused(&self, verb: &str, args: &[&str], flags: &[&str]) -> String {
        let mut output = None;
        let requests = self
            .cluster
            .requests(|| output = Some(self.admin(verb, args).exits(4)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
        assert!(written.is_empty(), "{written:#?}");
        let output = output.expect("it ran");
        let said = &output.stderr;
        assert!(
            said.contains(&format!("--allow-outside {}", flags.join(","))),
            "{}",
            output.told()
        );
        assert!(
            said.contains("now: nothing was changed"),
            "{}",
            output.told()
        );
        self.assert_sound(&output);
        output.stderr
    }

    #[track_caller]
    fn assert_sound(&self, output: &Output) {
        assert!(!output.told().contains("canary"), "{}", output.told());
        assert_eq!(
            self.cluster.get("clusterrolebinding", &self.pwned(), None),
            None,
            "{}",
            output.told()
        );
        assert!(!self.may(&self.victim), "{}", output.told());
        assert!(
            self.cluster
                .get("secret", "ca-key", Some(&self.victim))
                .is_some(),
            "{}",
            output.told()
        );
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let gone = [
            "delete",
            "clusterrolebinding,clusterrole,persistentvolume",
            "--ignore-not-found",
            &self.pwned(),
        ];
        self.cluster.kubectl().args(gone).run();
    }
}

/// Rewrites payload and state of a record as the user of this kubectl, and signs it.
pub fn forge(
    kubectl: impl Fn() -> Invocation,
    name: &str,
    key: &str,
    edit: impl FnOnce(&mut Value, &mut Value),
) {
    let mut record = kubectl()
        .args(["get", "configmap", name, "-o", "json"])
        .run()
        .success()
        .json();
    let mut payload = unpacked(&record["binaryData"]["release"]);
    let mut state = unpacked(&record["binaryData"]["state"]);
    edit(&mut payload, &mut state);
    let packed = packed(&payload);
    let digest: String = Sha256::digest(&packed)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    record["metadata"]["annotations"]["kubectl-fabric.io/digest"] = json!(digest);
    record["binaryData"]["release"] = json!(BASE64_STANDARD.encode(packed));
    record["binaryData"]["state"] = json!(BASE64_STANDARD.encode(self::packed(&state)));
    sign(&mut record, key);
    kubectl()
        .args(["replace", "-f", "-"])
        .stdin(record.to_string())
        .run()
        .success();
}

/// The key that a record is signed with: it is in the record's companion Secret.
pub fn signing_key(kubectl: impl Fn() -> Invocation, name: &str) -> String {
    let companion = kubectl()
        .args(["get", "secret", name, "-o", "json"])
        .run()
        .success()
        .json();
    unpacked(&companion["data"]["release"])["signing_key"]
        .as_str()
        .expect("a key")
        .to_owned()
}

fn unpacked(base64: &Value) -> Value {
    let bytes = BASE64_STANDARD
        .decode(base64.as_str().expect("text"))
        .expect("base64");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}

fn packed(value: &Value) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(value.to_string().as_bytes())
        .expect("memory");
    encoder.finish().expect("memory")
}

fn hook(body: Value, event: &str, policies: &[&str]) -> Value {
    json!({"source": {"template": "templates/h.yaml", "line": 1}, "body": body, "events": [event], "weight": 0,
        "deletePolicies": policies})
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("a list").push(item);
}

#[test]
fn a_hook_that_was_planted_in_a_record_does_nothing_outside_of_the_namespace() {
    let Some(tenant) = Tenant::new() else { return };
    let mut kept = tenant.binding();
    kept["metadata"]["annotations"] = json!({"kubectl-fabric.io/resource-policy": "keep"});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca-key", "namespace": tenant.victim}, "data": {}});
    tenant.forge(2, |payload, _| {
        push(&mut payload["hooks"], hook(kept, "pre-delete", &[]));
        push(
            &mut payload["hooks"],
            hook(
                secret,
                "pre-delete",
                &["before-hook-creation", "hook-succeeded"],
            ),
        );
    });
    let flags = [
        format!("ClusterRoleBinding/{}", tenant.pwned()),
        format!("Secret/{}/ca-key", tenant.victim),
    ];
    let flags = [flags[0].as_str(), flags[1].as_str()];
    let said = tenant.refused("uninstall", &["--yes"], &flags);
    assert!(
        said.contains(&format!(
            "--> Secret {}/ca-key   it is a hook",
            tenant.victim
        )),
        "{said}"
    );
    tenant.refused(
        "uninstall",
        &["--yes", "--delete-data", "--allow-outside", flags[0]],
        &flags[1..],
    );
    // A dry run shows it, and that it will be refused.
    for how in ["--dry-run=server", "--dry-run"] {
        let shown = tenant.admin("uninstall", &[how]).success();
        assert!(
            shown.stderr.contains("without --dry-run, this is refused")
                && shown.stderr.contains(flags[0]),
            "{}",
            shown.told()
        );
        tenant.assert_sound(&shown);
    }
    let done = tenant
        .admin("uninstall", &["--yes", "--no-hooks"])
        .success();
    tenant.assert_sound(&done);
}

#[test]
fn what_the_flag_names_is_done() {
    let Some(tenant) = Tenant::new() else { return };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "told", "namespace": tenant.victim}, "data": {}});
    tenant.forge(2, |payload, _| {
        push(&mut payload["hooks"], hook(map, "pre-delete", &[]))
    });
    let flag = format!("ConfigMap/{}/told", tenant.victim);
    let wrong = tenant
        .admin("uninstall", &["--yes", "--allow-outside", "told"])
        .exits(1);
    assert!(
        wrong
            .stderr
            .contains("expected KIND/NAME, or KIND/NAMESPACE/NAME"),
        "{}",
        wrong.told()
    );
    tenant.refused(
        "uninstall",
        &["--yes", "--allow-outside", "ConfigMap/told"],
        &[&flag],
    );
    let done = tenant
        .admin(
            "uninstall",
            &["--yes", "--allow-outside", &format!("Role/x,{flag}")],
        )
        .success();
    tenant.assert_sound(&done);
}

#[test]
fn a_test_that_was_planted_in_a_record_does_nothing_outside_of_the_namespace() {
    let Some(tenant) = Tenant::new() else { return };
    let binding = tenant.binding();
    tenant.forge(2, |payload, _| {
        push(&mut payload["hooks"], hook(binding, "test", &[]))
    });
    tenant.refused(
        "test",
        &[],
        &[&format!("ClusterRoleBinding/{}", tenant.pwned())],
    );
}

#[test]
fn an_object_that_was_planted_in_a_record_is_shown_and_not_made() {
    let Some(tenant) = Tenant::new() else { return };
    let binding = tenant.binding();
    tenant.forge(1, |payload, _| {
        push(
            &mut payload["objects"],
            json!({"source": {"template": "t", "line": 1}, "body": binding}),
        );
    });
    let flag = format!("ClusterRoleBinding/{}", tenant.pwned());
    for verb in ["rollback --dry-run=server", "diff rollback"] {
        let shown = tenant.admin(verb, &[]).success();
        assert!(
            shown
                .stdout
                .contains(&format!("outside of namespace \"{}\"", tenant.namespace)),
            "{}",
            shown.told()
        );
        assert!(shown.stdout.contains(&tenant.pwned()), "{}", shown.told());
        assert!(
            shown.stderr.contains("without --dry-run, this is refused")
                && shown.stderr.contains(&flag),
            "{}",
            shown.told()
        );
        tenant.assert_sound(&shown);
    }
    tenant.refused("rollback", &[], &[&flag]);
    // A namespace that the record says it has does not make it one of the namespace.
    let mut binding = tenant.binding();
    binding["metadata"]["namespace"] = json!(tenant.namespace);
    tenant.forge(1, |payload, _| {
        let objects = payload["objects"].as_array_mut().expect("a list");
        objects.last_mut().expect("the planted one")["body"] = binding;
    });
    tenant.refused("rollback", &[], &[&flag]);
}

#[test]
fn an_upgrade_that_fails_is_not_undone_by_what_was_planted_in_a_record() {
    let Some(tenant) = Tenant::empty() else {
        return;
    };
    tenant
        .mallory("install", &["--chart", &nodes::chart(), "--set", "nodes=1"])
        .success();
    let binding = tenant.binding();
    tenant.forge(1, |payload, _| {
        push(&mut payload["hooks"], hook(binding, "pre-rollback", &[]))
    });
    let failing = [
        "--set",
        "state=image-pull-error",
        "--timeout",
        "3s",
        "--rollback-on-failure",
    ];
    let output = tenant.admin("upgrade", &failing).exits(3);
    assert!(
        output.stderr.contains("rolling it back also failed"),
        "{}",
        output.told()
    );
    assert!(
        output.stderr.contains(&format!(
            "--allow-outside ClusterRoleBinding/{}",
            tenant.pwned()
        )),
        "{}",
        output.told()
    );
    tenant.assert_sound(&output);
}

#[test]
fn a_kept_chart_looks_up_its_own_namespace_only() {
    let Some(tenant) = Tenant::new() else { return };
    let lookup = |what: &str| {
        format!("{TEMPLATE}{{% if release.revision > 3 %}}\n  loot: {{{{ lookup({what}) | tojson }}}}\n{{% endif %}}\n")
            .replace("data: {word: {{ values.word }}}", "data:\n  word: {{ values.word }}")
    };
    let victim = &tenant.victim;
    for (what, why) in [
        (
            format!(r#""v1", "Secret", "{victim}", "ca-key""#),
            format!("Secret \"ca-key\" in namespace \"{victim}\""),
        ),
        (
            format!(r#""v1", "Secret", "{victim}", """#),
            format!("objects of kind Secret in namespace \"{victim}\""),
        ),
        (
            r#""v1", "Secret", "", """#.to_owned(),
            "objects of kind Secret in all namespaces".to_owned(),
        ),
        (
            r#""v1", "Namespace", "", """#.to_owned(),
            "objects of kind Namespace in the whole cluster".to_owned(),
        ),
        (
            format!(r#""v1", "Namespace", "{}", "{victim}""#, tenant.namespace),
            format!("Namespace \"{victim}\" in the whole cluster"),
        ),
    ] {
        tenant.admin("uninstall", &["--yes"]).success();
        tenant.write("templates/a.yaml", &lookup(&what));
        tenant
            .mallory("install", &["--chart", &tenant.chart()])
            .success();
        tenant.mallory("upgrade", &[]).success();
        tenant.mallory("upgrade", &[]).success();
        for verb in ["upgrade", "upgrade --dry-run=server", "diff upgrade"] {
            let output = tenant.admin(verb, &["--set", "word=admin"]).exits(4);
            assert!(
                output
                    .stderr
                    .contains(&format!("greeter-0.1.0 cannot look up {why}")),
                "{}",
                output.told()
            );
            assert!(output.stderr.contains("with --chart"), "{}", output.told());
            tenant.assert_sound(&output);
        }
        let greeting = tenant
            .kubectl()
            .args(["get", "configmap", "greeting", "-o", "json"])
            .run()
            .success();
        assert!(!greeting.stdout.contains("loot"), "{}", greeting.told());
    }
    // In its own namespace it looks; and a chart that the caller names sees what the caller sees.
    tenant.write(
        "templates/a.yaml",
        &lookup(&format!(
            r#""v1", "ConfigMap", "{}", "greeting""#,
            tenant.namespace
        )),
    );
    tenant
        .mallory("upgrade", &["--chart", &tenant.chart()])
        .success();
    tenant.admin("upgrade", &["--set", "word=admin"]).success();
    tenant.write(
        "templates/a.yaml",
        &lookup(&format!(r#""v1", "Namespace", "", "{victim}""#)),
    );
    tenant
        .admin("upgrade", &["--chart", &tenant.chart()])
        .success();
    let loot = tenant
        .kubectl()
        .args([
            "get",
            "configmap",
            "greeting",
            "-o",
            "jsonpath={.data.loot}",
        ])
        .run()
        .success();
    assert!(loot.stdout.contains(victim.as_str()), "{}", loot.told());
}

#[test]
fn the_output_says_where_the_chart_came_from() {
    let Some(tenant) = Tenant::new() else { return };
    let chart = tenant.chart();
    let folder = format!("CHART SOURCE: folder {chart}\n");
    let shown = |verb: &str, args: &[&str]| tenant.admin(verb, args).success().stdout;
    for (verb, args, source) in [
        (
            "upgrade",
            &["--set", "word=a"][..],
            "CHART SOURCE: kept with the release\n",
        ),
        (
            "upgrade --dry-run",
            &[],
            "CHART SOURCE: kept with the release\n",
        ),
        ("diff upgrade", &[], "CHART SOURCE: kept with the release\n"),
        ("upgrade", &["--chart", chart.as_str()], folder.as_str()),
        (
            "upgrade --dry-run=server",
            &["--chart", chart.as_str()],
            folder.as_str(),
        ),
        (
            "upgrade --dry-run",
            &["kafka", "--reset-values"],
            "CHART SOURCE: embedded\n",
        ),
    ] {
        let stdout = shown(verb, args);
        assert!(stdout.contains(source), "{verb} {args:?}: {stdout}");
    }
    assert!(
        !shown("rollback", &[]).contains("CHART SOURCE"),
        "nothing is rendered"
    );
    for verb in ["upgrade --dry-run", "diff upgrade"] {
        let document: Value = serde_json::from_str(&shown(verb, &["-o", "json"])).expect("JSON");
        assert_eq!(document["chartSource"], json!({"type": "kept"}), "{verb}");
    }
}

#[test]
fn only_a_chart_and_values_that_the_caller_gives_in_full_reach_further() {
    let Some(tenant) = Tenant::empty() else {
        return;
    };
    let name = tenant.pwned();
    let outside = format!(
        "{TEMPLATE}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}, labels: {{word: {{{{ values.word }}}}}}}}
rules: []
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}, labels: {{word: {{{{ values.word }}}}}}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  hostPath: {{path: /nowhere}}
"
    );
    tenant.write("templates/a.yaml", &outside);
    let chart = tenant.chart();
    let word = |kind: &str| {
        tenant.cluster.get(kind, &name, None).map(|body| {
            body["metadata"]["labels"]["word"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    };
    tenant.admin("install", &["--chart", &chart]).success();
    assert_eq!(word("clusterrole").as_deref(), Some("hi"));
    let role = format!("ClusterRole/{name}");
    // The kept chart, or stored values: what is there and ours may change, unless it decides who
    // may do what.
    tenant.admin("upgrade", &[]).success();
    tenant.refused("upgrade", &["--set", "word=a"], &[&role]);
    let done = tenant
        .admin("upgrade", &["--set", "word=a", "--allow-outside", &role])
        .success();
    assert!(
        done.stdout
            .contains(&format!("outside of namespace \"{}\"", tenant.namespace)),
        "{}",
        done.told()
    );
    assert_eq!(
        [word("clusterrole"), word("persistentvolume")],
        [Some("a".to_owned()), Some("a".to_owned())]
    );
    tenant.refused("upgrade", &["--chart", &chart, "--set", "word=b"], &[&role]);
    tenant
        .admin(
            "upgrade",
            &["--chart", &chart, "--set", "word=b", "--reset-values"],
        )
        .success();
    assert_eq!(word("clusterrole").as_deref(), Some("b"));
    tenant.refused("rollback", &[], &[&role]);
    tenant
        .admin("rollback", &["--allow-outside", &role])
        .success();
    assert_eq!(word("persistentvolume").as_deref(), Some("a"));
    // Made again by another, with the same marks: it is not what was recorded.
    let role_body = tenant
        .cluster
        .get("clusterrole", &name, None)
        .expect("it is there");
    tenant
        .cluster
        .kubectl()
        .args(["delete", "clusterrole", &name])
        .run()
        .success();
    tenant.refused("rollback", &["1"], &[&role]);
    let mut again = role_body.clone();
    again["metadata"] = json!({"name": name, "labels": role_body["metadata"]["labels"],
        "annotations": role_body["metadata"]["annotations"]});
    tenant
        .cluster
        .kubectl()
        .args(["create", "-f", "-"])
        .stdin(again.to_string())
        .run()
        .success();
    tenant
        .admin("uninstall", &["--yes", "--delete-data"])
        .success();
    assert!(word("clusterrole").is_some(), "it is another's");
    assert_eq!(word("persistentvolume"), None, "it is the release's");
}

#[test]
fn what_a_writer_of_config_maps_changes_is_seen_by_every_verb_that_acts() {
    let Some(tenant) = Tenant::new() else { return };
    let name = "kubectl-fabric.v1.app.v2";
    let record = tenant
        .kubectl()
        .args(["get", "configmap", name, "-o", "json"])
        .run()
        .success()
        .json();
    let restore = || {
        let there = tenant
            .kubectl()
            .args(["get", "configmap", name, "-o", "json"])
            .run()
            .success()
            .json();
        let mut back = record.clone();
        back["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
        tenant
            .kubectl()
            .args(["replace", "-f", "-"])
            .stdin(back.to_string())
            .run()
            .success();
    };
    let patch = |patch: Value| {
        tenant
            .kubectl()
            .args([
                "patch",
                "configmap",
                name,
                "--type=merge",
                "-p",
                &patch.to_string(),
            ])
            .run()
            .success();
    };
    let annotate = |name: &str, value: Value| {
        patch(json!({"metadata": {"annotations": {format!("kubectl-fabric.io/{name}"): value}}}))
    };
    let harms: [&dyn Fn(); 5] = [
        &|| {
            tenant.forge_with(2, "a guess", |payload, _| {
                payload["userValues"]["word"] = json!("forged")
            })
        },
        &|| tenant.forge_with(2, "", |_, state| state["inventory"] = json!([])),
        &|| annotate("signature", Value::Null),
        &|| annotate("description", json!("all is well")),
        &|| patch(json!({"metadata": {"labels": {"kubectl-fabric.io/status": "superseded"}}})),
    ];
    for (number, harm) in harms.into_iter().enumerate() {
        harm();
        for (verb, args) in [
            ("upgrade", &["--set", "word=x"][..]),
            ("uninstall", &["--yes"]),
            ("test", &[]),
            ("rollback", &["2"]),
        ] {
            let output = tenant.admin(verb, args).exits(1);
            let said = "the record was not written by kubectl-fabric";
            assert!(
                output.stderr.contains(said),
                "harm {number}: {}",
                output.told()
            );
            assert!(
                output.stderr.contains("now: nothing was changed"),
                "harm {number}: {}",
                output.told()
            );
        }
        // Looking needs no key, and the way back is open.
        tenant.admin("history", &[]).success();
        tenant.admin("status", &[]).success();
        tenant
            .admin("rollback", &["1", "--dry-run=server"])
            .success();
        restore();
    }
    tenant.admin("upgrade", &["--set", "word=x"]).success();
    // Statuses that this program changed fit.
    tenant.admin("rollback", &["1"]).success();
    tenant.admin("rollback", &["2"]).success();
    let moved = json!({"metadata": {"labels": {"kubectl-fabric.io/revision": "1"}}});
    patch(moved);
    let history = tenant.admin("history", &[]).success();
    assert!(
        history
            .stdout
            .contains("its name is that of another revision's record"),
        "{}",
        history.told()
    );
    tenant.admin("uninstall", &["--yes"]).success();
}

#[test]
fn records_of_before_are_read_with_a_word_about_it_and_the_next_one_is_signed() {
    let Some(tenant) = Tenant::new() else { return };
    for revision in [1, 2] {
        let name = format!("kubectl-fabric.v1.app.v{revision}");
        let companion = tenant
            .kubectl()
            .args(["get", "secret", &name, "-o", "json"])
            .run()
            .success()
            .json();
        let mut secrets = unpacked(&companion["data"]["release"]);
        secrets
            .as_object_mut()
            .expect("a map")
            .remove("signing_key")
            .expect("a key");
        let data =
            json!({"data": {"release": BASE64_STANDARD.encode(packed(&secrets))}}).to_string();
        tenant
            .kubectl()
            .args(["patch", "secret", &name, "--type=merge", "-p", &data])
            .run()
            .success();
        let unsigned =
            json!({"metadata": {"annotations": {"kubectl-fabric.io/signature": null}}}).to_string();
        tenant
            .kubectl()
            .args(["patch", "configmap", &name, "--type=merge", "-p", &unsigned])
            .run()
            .success();
    }
    let word = "cannot verify the record of revision 2 of \"app\": it was written before records were signed";
    let output = tenant.admin("upgrade", &["--set", "word=x"]).success();
    assert_eq!(output.stderr.matches(word).count(), 1, "{}", output.told());
    let output = tenant.admin("upgrade", &["--set", "word=y"]).success();
    assert!(
        !output.stderr.contains("cannot verify"),
        "{}",
        output.told()
    );
    let output = tenant.admin("rollback", &["1"]).success();
    assert!(
        output
            .stderr
            .contains("cannot verify the record of revision 1 of \"app\""),
        "{}",
        output.told()
    );
    tenant.admin("uninstall", &["--yes"]).success();
}

#[test]
fn hooks_of_a_record_without_its_companion_are_not_run() {
    let Some(tenant) = Tenant::new() else { return };
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": tenant.namespace}, "data": {}});
    tenant.forge(2, |payload, _| {
        push(&mut payload["hooks"], hook(own, "pre-delete", &[]))
    });
    tenant
        .kubectl()
        .args(["delete", "secret", "kubectl-fabric.v1.app.v2"])
        .run()
        .success();
    let output = tenant.admin("uninstall", &["--yes"]).exits(4);
    assert!(
        output
            .stderr
            .contains("cannot run the hooks of revision 2 of \"app\""),
        "{}",
        output.told()
    );
    let output = tenant.admin("upgrade", &["--reset-values"]).exits(1);
    assert!(
        output
            .stderr
            .contains("cannot read the secrets of revision 2 of \"app\""),
        "{}",
        output.told()
    );
    tenant
        .admin("uninstall", &["--yes", "--no-hooks"])
        .success();
}

/// What a user does who may write ConfigMaps and not read Secrets.
impl Tenant {
    fn label(&self, revision: u32, status: &str) {
        let label = format!("kubectl-fabric.io/status={status}");
        let record = format!("kubectl-fabric.v1.app.v{revision}");
        self.kubectl()
            .args(["label", "configmap", &record, "--overwrite", &label])
            .run()
            .success();
    }

    /// Copies a record's ConfigMap to another revision, with other content, and without a
    /// companion.
    fn plant(&self, from: u32, to: &str, status: &str, edit: impl FnOnce(&mut Value, &mut Value)) {
        let name = format!("kubectl-fabric.v1.app.v{from}");
        let mut record = self
            .kubectl()
            .args(["get", "configmap", &name, "-o", "json"])
            .run()
            .success()
            .json();
        let (mut payload, mut state) = (
            unpacked(&record["binaryData"]["release"]),
            unpacked(&record["binaryData"]["state"]),
        );
        edit(&mut payload, &mut state);
        let bytes = packed(&payload);
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let metadata = &record["metadata"];
        record["metadata"] = json!({"name": format!("kubectl-fabric.v1.app.v{to}"), "namespace": self.namespace,
            "labels": metadata["labels"], "annotations": metadata["annotations"]});
        record["metadata"]["labels"]["kubectl-fabric.io/revision"] = json!(to);
        record["metadata"]["labels"]["kubectl-fabric.io/status"] = json!(status);
        record["metadata"]["annotations"]["kubectl-fabric.io/digest"] = json!(digest);
        record["binaryData"] = json!({"release": BASE64_STANDARD.encode(bytes), "state": BASE64_STANDARD.encode(self::packed(&state))});
        self.kubectl()
            .args(["create", "-f", "-"])
            .stdin(record.to_string())
            .run()
            .success();
    }

    fn word(&self) -> Option<String> {
        let greeting = self
            .cluster
            .get("configmap", "greeting", Some(&self.namespace))?;
        greeting["data"]["word"].as_str().map(str::to_owned)
    }

    /// Runs what believes no record, and sees that it writes nothing and names a way out.
    #[track_caller]
    fn disbelieves(&self, verb: &str, args: &[&str], why: &str) -> String {
        let mut output = None;
        let requests = self
            .cluster
            .requests(|| output = Some(self.admin(verb, args).exits(1)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
        assert!(written.is_empty(), "{verb} {args:?}: {written:#?}");
        let output = output.expect("it ran");
        assert!(
            output.stderr.contains(why) && output.stderr.contains("hint: "),
            "{}",
            output.told()
        );
        output.stderr
    }
}

const FORGED: &str = "the record was not written by kubectl-fabric";
const UNVERIFIED: &str = "it holds the key for the signature of the record";

#[test]
fn no_verb_believes_a_status_that_a_writer_of_config_maps_wrote() {
    let Some(tenant) = Tenant::new() else { return };
    tenant.label(2, "uninstalled");
    tenant.label(1, "failed");
    let chart = tenant.chart();
    for (verb, args) in [
        ("upgrade", &["--install"][..]),
        ("upgrade", &["--install", "--chart", chart.as_str()]),
        ("upgrade", &[]),
        ("install", &["--chart", chart.as_str()]),
        ("rollback", &[]),
        ("uninstall", &["--yes"]),
        ("uninstall", &["--yes", "--delete-data"]),
    ] {
        let said = tenant.disbelieves(verb, args, FORGED);
        assert!(
            said.contains("upgrade app") && said.contains("--reset-values` with the chart"),
            "{verb} {args:?}: {said}"
        );
    }
    assert!(tenant.admin("drift", &[]).exits(1).stderr.contains(FORGED));
    assert_eq!(tenant.word().as_deref(), Some("ho"));
    // The way out; then the release goes.
    tenant
        .admin(
            "upgrade",
            &["--reset-values", "--chart", &chart, "--set", "word=ho"],
        )
        .success();
    tenant.admin("uninstall", &["--yes"]).success();
    assert_eq!(tenant.word(), None);
    assert!(
        tenant
            .cluster
            .list("configmap,secret,lease", &tenant.namespace)
            .iter()
            .all(|it| it["metadata"]["name"] == "kube-root-ca.crt")
    );
}

#[test]
fn a_record_without_its_companion_decides_nothing() {
    let Some(tenant) = Tenant::new() else { return };
    let empty = |payload: &mut Value, state: &mut Value| {
        payload["chart"] =
            json!({"name": "kafka", "version": "0.1.0", "digest": "", "embedded": true});
        for field in ["userValues", "computedValues"] {
            payload[field] = json!({});
        }
        payload["objects"] = json!([]);
        payload["hooks"] = json!([]);
        state["inventory"] = json!([]);
    };
    tenant.plant(2, "3", "deployed", empty);
    // It has neither values nor a chart for an upgrade.
    for args in [
        &[][..],
        &["--set", "word=x"],
        &["--reset-values"],
        &["--reuse-values"],
    ] {
        tenant.disbelieves("upgrade", args, UNVERIFIED);
    }
    let warned = tenant.admin("drift", &[]);
    assert!(
        warned
            .stderr
            .contains("cannot verify the record of revision 3 of \"app\""),
        "{}",
        warned.told()
    );
    // A rollback without a number passes over nothing that may have been deployed.
    let forget = |revision: &str| {
        let record = format!("kubectl-fabric.v1.app.v{revision}");
        tenant
            .kubectl()
            .args(["delete", "configmap", &record])
            .run()
            .success();
    };
    forget("3");
    tenant.plant(2, "4", "failed", empty);
    tenant.label(2, "failed");
    let said = tenant.disbelieves("rollback", &[], FORGED);
    assert!(
        said.contains("revision 2 of \"app\"") && said.contains("rollback app"),
        "{said}"
    );
    tenant.label(2, "deployed");
    forget("4");
    // What a verified record says the release consists of goes.
    tenant.plant(2, "3", "deployed", empty);
    let gone = tenant.admin("uninstall", &["--yes"]).success();
    assert_eq!(tenant.word(), None, "{}", gone.told());
    // Where none is verified, nothing is believed.
    tenant
        .admin("install", &["--chart", &tenant.chart()])
        .success();
    tenant.plant(1, "2", "deployed", empty);
    forget("1");
    let said = tenant.disbelieves("uninstall", &["--yes"], "no other record is verified");
    assert!(
        said.contains("kubectl delete configmap kubectl-fabric.v1.app.v2"),
        "{said}"
    );
    assert_eq!(tenant.word().as_deref(), Some("hi"));
    tenant
        .admin("upgrade", &["--reset-values", "--chart", &tenant.chart()])
        .success();
    tenant.admin("uninstall", &["--yes"]).success();
    assert_eq!(tenant.word(), None);
}

#[test]
fn a_number_that_was_planted_does_not_end_a_release() {
    let Some(tenant) = Tenant::new() else { return };
    for number in ["4294967295", "4294967294", "1000000000", "02"] {
        let planted = format!("kubectl-fabric.v1.app.v{number}");
        tenant.plant(2, number, "failed", |_, _| ());
        tenant
            .admin("upgrade", &["--set", &format!("word=of-{number}")])
            .success();
        assert_eq!(tenant.word(), Some(format!("of-{number}")));
        tenant
            .kubectl()
            .args(["delete", "configmap", &planted])
            .run()
            .success();
    }
    tenant.plant(2, "999999999", "failed", |_, _| ());
    for verb in ["upgrade", "rollback", "upgrade --dry-run=server"] {
        let said = tenant.admin(verb, &[]).exits(4).stderr;
        assert!(
            said.contains("cannot have a revision after 999999999"),
            "{said}"
        );
        assert!(
            said.contains("kubectl delete configmap kubectl-fabric.v1.app.v999999999"),
            "{said}"
        );
    }
    tenant
        .kubectl()
        .args(["delete", "configmap", "kubectl-fabric.v1.app.v999999999"])
        .run()
        .success();
    tenant.admin("upgrade", &[]).success();
    tenant.admin("uninstall", &["--yes"]).success();
}

#[test]
fn a_sound_record_stays_sound_when_the_newest_has_no_companion() {
    let Some(tenant) = Tenant::new() else { return };
    tenant.plant(2, "3", "deployed", |_, _| ());
    tenant
        .admin(
            "upgrade",
            &[
                "--reset-values",
                "--chart",
                &tenant.chart(),
                "--set",
                "word=new",
            ],
        )
        .success();
    let history = tenant.admin("history", &["-o", "json"]).success().json();
    let statuses: Vec<&str> = history
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["status"].as_str())
        .collect();
    assert_eq!(
        statuses,
        ["superseded", "superseded", "superseded", "deployed"]
    );
    tenant.admin("rollback", &["2"]).success();
    assert_eq!(tenant.word().as_deref(), Some("ho"));
    // One by one: a record has its own key.
    for revision in [1, 2, 4, 5] {
        let shown = tenant
            .admin("get values", &["--revision", &revision.to_string()])
            .success();
        assert!(!shown.stderr.contains("warning"), "{}", shown.told());
    }
}

#[test]
fn what_shows_a_record_says_that_it_is_forged_or_not_verified() {
    let Some(tenant) = Tenant::new() else { return };
    let viewer = [
        "create",
        "role",
        "viewer",
        "--verb=get,list",
        "--resource=configmaps",
        "-n",
        &tenant.namespace,
    ];
    tenant.cluster.kubectl().args(viewer).run().success();
    let user = format!("viewer-{}", tenant.cluster.network());
    let binding = [
        "create",
        "rolebinding",
        "viewer",
        "--role=viewer",
        "--user",
        &user,
        "-n",
        &tenant.namespace,
    ];
    tenant.cluster.kubectl().args(binding).run().success();
    let looks = [
        ("get values", &[][..]),
        ("get all", &[]),
        ("get manifest", &["-o", "json"]),
        ("diff revision", &["1", "2"]),
    ];
    for (verb, args) in looks {
        let sound = tenant.admin(verb, args).success();
        assert!(!sound.stderr.contains("warning"), "{}", sound.told());
        let denied = tenant
            .admin(verb, &[args, &["--as", &user]].concat())
            .success();
        let words = "cannot verify the record of revision 2 of \"app\": no permission to read its companion Secret";
        assert!(denied.stderr.contains(words), "{}", denied.told());
    }
    tenant.forge_with(2, "a guess", |payload, _| {
        payload["userValues"]["word"] = json!("forged")
    });
    for (verb, args) in looks {
        let forged = tenant.admin(verb, args).success();
        let words = "the record of revision 2 of \"app\" was not written by kubectl-fabric";
        assert!(forged.stderr.contains(words), "{}", forged.told());
    }
}
