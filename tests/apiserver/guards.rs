//! Fabric's table of upgrades and rollbacks on the charts as they come: what goes through, what is
//! refused, and that a refusal writes nothing.

use crate::support::{self, Cluster, Output};
use serde_json::{Value, json};

/// A release of one of the program's charts, in a namespace of its own.
pub struct Release {
    pub cluster: Cluster,
    pub name: &'static str,
    pub namespace: String,
}

impl Release {
    pub fn new(name: &'static str) -> Option<Release> {
        let cluster = support::cluster()?;
        let namespace = cluster.namespace(name);
        Some(Release {
            cluster,
            name,
            namespace,
        })
    }

    pub fn run(&self, verb: &str, args: &[&str]) -> Output {
        self.cluster
            .fabric()
            .args(verb.split(' '))
            .args([self.name, "-n", &self.namespace])
            .args(args)
            .run()
    }

    /// Runs what is refused, and sees that it writes nothing.
    pub fn refused(&self, verb: &str, args: &[&str]) -> String {
        let mut output = None;
        let requests = self
            .cluster
            .requests(|| output = Some(self.run(verb, args).exits(4)));
        let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
        assert!(written.is_empty(), "{written:#?}");
        let said = output.expect("it ran").stderr;
        assert!(said.contains("now: nothing was changed"), "{said}");
        said
    }

    fn image(&self, node: &str) -> String {
        let set = self
            .cluster
            .get("statefulset", node, Some(&self.namespace))
            .expect("the node is there");
        set["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Status and description of each revision.
    fn history(&self) -> Vec<(String, String)> {
        let history = self.run("history", &["-o", "json"]).success().json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        history
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| (text(&it["status"]), text(&it["description"])))
            .collect()
    }
}

#[test]
fn a_patch_goes_through_and_back() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release
        .run("install", &["--fabric-version", "2.5.15"])
        .success();
    let output = release
        .run("upgrade", &["--fabric-version", "2.5.16"])
        .success();
    assert!(!output.stderr.contains("U0"), "{}", output.stderr);
    assert_eq!(
        release.image("peer0"),
        "ghcr.io/hyperledger/fabric-peer:2.5.16"
    );
    let output = release.run("rollback", &[]).success();
    assert!(
        output.stderr.contains("U31: peer 2.5.16 → 2.5.15"),
        "{}",
        output.stderr
    );
    assert_eq!(
        release.image("peer0"),
        "ghcr.io/hyperledger/fabric-peer:2.5.15"
    );
}

#[test]
fn a_peer_goes_from_1_4_to_2_5_only_when_forced_and_never_back() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release
        .run(
            "install",
            &[
                "--fabric-version",
                "1.4.12",
                "--set",
                "peers.count=2,ca.enabled=false",
            ],
        )
        .success();
    let peers = format!("StatefulSet {}/peer", release.namespace);
    let upgrade = ["--fabric-version", "2.5.16"];
    let said = release.refused("upgrade", &upgrade);
    for peer in 0..2 {
        assert!(
            said.contains(&format!("--> {peers}{peer}   peer 1.4.12 → 2.5.16, U05")),
            "{said}"
        );
    }
    assert!(
        said.contains("why: U05: ") && said.contains("--force U05"),
        "{said}"
    );
    assert_eq!(release.history().len(), 1);
    // What only looks tells it as well.
    let said = release.refused("upgrade", &[&upgrade[..], &["--dry-run"]].concat());
    assert!(said.contains("U05"), "{said}");
    let diff = release.run("diff upgrade", &upgrade).success();
    assert!(
        diff.stderr.contains("U05 refuses this") && diff.stdout.contains("fabric-peer:2.5.16"),
        "{}",
        diff.stderr
    );
    // Another rule's name does not help.
    release.refused("upgrade", &[&upgrade[..], &["--force", "U09"]].concat());
    let unknown = release
        .run("upgrade", &[&upgrade[..], &["--force", "U99"]].concat())
        .exits(1);
    assert!(
        unknown.stderr.contains("U99") && unknown.stderr.contains("U04, U05, U06"),
        "{}",
        unknown.stderr
    );
    // Forced, it goes through, says so, and is remembered.
    let output = release
        .run("upgrade", &[&upgrade[..], &["--force", "u05"]].concat())
        .success();
    assert!(
        output.stderr.contains("U05 is overridden by --force"),
        "{}",
        output.stderr
    );
    assert_eq!(
        release.image("peer1"),
        "ghcr.io/hyperledger/fabric-peer:2.5.16"
    );
    assert_eq!(
        release.history()[1],
        (
            "deployed".to_owned(),
            "Upgrade complete (--force U05)".to_owned()
        )
    );
    let said = release.refused("rollback", &[]);
    assert!(
        said.contains("cannot roll back release \"org1\": guards U15, U26 refuse it"),
        "{said}"
    );
    assert!(
        said.contains("peer 2.5.16 → 1.4.12, U15")
            && said.contains("upgrade-dbs has run since, U26"),
        "{said}"
    );
    assert_eq!(
        release.image("peer0"),
        "ghcr.io/hyperledger/fabric-peer:2.5.16"
    );
}

#[test]
fn where_pods_may_not_be_listed_the_records_say_what_runs() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release
        .run(
            "install",
            &[
                "--fabric-version",
                "1.4.12",
                "--set",
                "peers.count=1,ca.enabled=false",
            ],
        )
        .success();
    let user = format!("blind-{}", release.cluster.network());
    let named = |kind: &str, more: Value| {
        let mut body = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "blind"}});
        body.as_object_mut()
            .expect("a map")
            .extend(more.as_object().expect("a map").clone());
        body
    };
    let core = [
        "configmaps",
        "secrets",
        "services",
        "serviceaccounts",
        "persistentvolumeclaims",
        "events",
    ];
    let groups = [
        "apps",
        "networking.k8s.io",
        "policy",
        "coordination.k8s.io",
        "batch",
        "rbac.authorization.k8s.io",
    ];
    let rules = json!([
        {"apiGroups": [""], "resources": core, "verbs": ["*"]},
        {"apiGroups": groups, "resources": ["*"], "verbs": ["*"]},
    ]);
    let subject = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "blind"});
    let items = [
        named("Role", json!({"rules": rules})),
        named("RoleBinding", json!({"roleRef": role, "subjects": subject})),
    ];
    release.cluster.apply(
        &release.namespace,
        &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
    );
    let may = [
        "auth",
        "can-i",
        "list",
        "secrets",
        "-n",
        &release.namespace,
        "--as",
        &user,
    ];
    support::until("the server to know the role", || {
        (release.cluster.kubectl().args(may).run().status == Some(0)).then_some(())
    });
    let diff = release
        .run(
            "diff upgrade",
            &["--fabric-version", "2.5.16", "--as", &user],
        )
        .success()
        .stderr;
    assert!(
        diff.contains("no permission to list pods, so the release's records are used instead"),
        "{diff}"
    );
    assert!(
        diff.contains("U05 refuses this") && diff.contains("peer 1.4.12 → 2.5.16"),
        "{diff}"
    );
}

#[test]
fn orderers_on_kafka_stay_below_3() {
    let Some(release) = Release::new("orgorderer1") else {
        return;
    };
    let kafka = "orderers.consensus=kafka,orderers.genesis.secret=orderer-genesis";
    release
        .run(
            "install",
            &[
                "--fabric-version",
                "2.5.16",
                "--set",
                kafka,
                "--force",
                "U40",
            ],
        )
        .success();
    let raft = "orderers.consensus=etcdraft,orderers.genesis.secret=";
    let said = release.refused("upgrade", &["--fabric-version", "3.1.5", "--set", raft]);
    assert!(
        said.contains("orderer 2.5.16 → 3.1.5, U11") && !said.contains("U10"),
        "{said}"
    );
}

/// On a busy machine a command gives up before its pod is there, and then nothing shows that it
/// never ran.
fn wait_for_an_image(release: &Release, tag: &str) {
    support::until("the new pod to wait for its image", || {
        let pod = release
            .cluster
            .get("pod", "peer0-0", Some(&release.namespace))?;
        let is_new = pod["spec"]["containers"][0]["image"]
            .as_str()?
            .ends_with(tag);
        let waits = !pod["status"]["containerStatuses"][0]["state"]["waiting"].is_null();
        (is_new && waits).then_some(())
    });
}

#[test]
fn a_pod_that_never_ran_does_not_forbid_the_way_back() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release
        .run(
            "install",
            &["--fabric-version", "2.5.16", "--set", "ca.enabled=false"],
        )
        .success();
    // From here on, new pods never get their image.
    let patch = r#"{"spec":{"template":{"metadata":{"annotations":{"sim.kubectl-fabric.io/state":"image-pull-error"}}}}}"#;
    release
        .cluster
        .kubectl()
        .args([
            "patch",
            "statefulset",
            "peer0",
            "-n",
            &release.namespace,
            "-p",
            patch,
        ])
        .run()
        .success();
    release
        .run(
            "upgrade",
            &[
                "--fabric-version",
                "3.1.5",
                "--force",
                "U09",
                "--timeout",
                "2s",
            ],
        )
        .exits(3);
    assert_eq!(
        release.image("peer0"),
        "ghcr.io/hyperledger/fabric-peer:3.1.5"
    );
    wait_for_an_image(&release, ":3.1.5");
    let back = release.run("rollback", &["--dry-run"]).success();
    assert!(!back.stderr.contains("U14"), "{}", back.stderr);
}

#[test]
fn a_reinstall_over_volumes_is_judged_by_the_records_that_are_left() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    let install = |version: &str| {
        release.run(
            "install",
            &["--fabric-version", version, "--set", "ca.enabled=false"],
        )
    };
    install("2.5.16").success();
    release.run("uninstall", &["--keep-history"]).success();
    let said = install("1.4.12").exits(4).stderr;
    assert!(said.contains("peer 2.5.16 → 1.4.12, U15"), "{said}");
    install("2.5.16").success();
    release.run("uninstall", &[]).success();
    // Without a record the claim tells; without its note nothing does.
    let said = install("1.4.12").exits(4).stderr;
    assert!(said.contains("peer 2.5.16 → 1.4.12, U15"), "{said}");
    let note = [
        "annotate",
        "pvc",
        "--all",
        "kubectl-fabric.io/written-by-",
        "-n",
        &release.namespace,
    ];
    release.cluster.kubectl().args(note).run().success();
    let said = install("1.4.12").success().stderr;
    assert!(said.contains("ledger-peer0-0 already exists"), "{said}");
}

/// What an organization is known by stays as long as it lives, and nothing is written where it
/// would not.
#[test]
fn a_live_organization_keeps_what_it_is_known_by() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release
        .run("install", &["--set", "ca.enabled=false"])
        .success();
    for (setting, rule, what) in [
        ("org.mspID=AcmeMSP", "U33", "org.mspID Org1MSP → AcmeMSP"),
        ("org.domain=acme.example.com", "U34", "→ acme.example.com"),
        ("tls.enabled=false", "U35", "tls.enabled true → false"),
        (
            "crypto.source=secret",
            "U37",
            "crypto.source program → secret",
        ),
        ("peers.count=1", "U39", "2 peers → 1"),
        (
            "peers.persistence.enabled=false",
            "U27",
            "volume ledger 10Gi → none",
        ),
    ] {
        let said = release.refused("upgrade", &["--set", setting]);
        assert!(
            said.contains(&format!("{what}, {rule}")) && said.contains(&format!("--force {rule}")),
            "{said}"
        );
    }
    // An empty key is none of these changes, and neither is a peer more.
    release
        .run(
            "upgrade",
            &["--set", "tls.enabled=null,org=null,peers.count=3"],
        )
        .success();
    let output = release
        .run("upgrade", &["--set", "peers.count=2", "--force", "U39"])
        .success();
    assert!(
        output
            .stderr
            .contains("U39 is overridden by --force: 3 peers → 2"),
        "{}",
        output.stderr
    );
    assert!(
        release
            .cluster
            .get("statefulset", "peer2", Some(&release.namespace))
            .is_none()
    );
}

#[test]
fn orderers_go_only_as_far_as_their_channels_can_do_without() {
    let Some(release) = Release::new("orgorderer1") else {
        return;
    };
    release
        .run("install", &["--set", "orderers.count=6"])
        .success();
    let said = release.refused("upgrade", &["--set", "orderers.count=3"]);
    assert!(
        said.contains("6 orderers → 3, but 4 of 6 must run, U38"),
        "{said}"
    );
    let said = release.refused("upgrade", &["--set", "orderers.count=5"]);
    assert!(said.contains("6 orderers → 5, U38"), "{said}");
    release
        .run("upgrade", &["--set", "orderers.count=5", "--force", "U38"])
        .success();
    let said = release.refused(
        "upgrade",
        &[
            "--set",
            "orderers.consensus=kafka,orderers.genesis.secret=g",
            "--force",
            "U40",
        ],
    );
    assert!(
        said.contains("orderers.consensus etcdraft → kafka, U36"),
        "{said}"
    );
}

/// A first install that never came to run anything binds nobody to its names.
#[test]
fn what_never_ran_may_be_called_otherwise() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    let settings = [
        "--set",
        "ca.enabled=false,peers.count=1,peers.podAnnotations.sim\\.kubectl-fabric\\.io/state=image-pull-error",
    ];
    release
        .run("install", &[&settings[..], &["--timeout", "3s"]].concat())
        .exits(3);
    wait_for_an_image(&release, "");
    let output = release
        .run(
            "upgrade",
            &["--set", "org.mspID=AcmeMSP,peers.podAnnotations=null"],
        )
        .success();
    assert!(!output.stderr.contains("U33"), "{}", output.stderr);
}

#[test]
fn orderers_that_values_do_not_name_say_nothing_about_peers() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    let install = [
        "--fabric-version",
        "2.2.15",
        "--set",
        "ca.enabled=false,peers.count=1",
    ];
    release.run("install", &install).success();
    let orderers = |name: &str, version: &str| {
        let namespace = release.cluster.namespace(name);
        let install = [
            "install",
            name,
            "--fabric-version",
            version,
            "-n",
            &namespace,
            "--set",
            "orderers.count=1",
        ];
        release
            .cluster
            .fabric()
            .args(install)
            .args(["--set", "orderers.genesis.secret=", "--wait=false"])
            .run()
            .success();
    };
    orderers("orgorderer1", "2.5.16");
    orderers("orgorderer2", "2.4.9");
    let upgrade = |named: &str| {
        let named = format!("networkPolicy.ordererOrgs={{{named}}}");
        release
            .run(
                "upgrade",
                &["--fabric-version", "2.5.16", "--dry-run", "--set", &named],
            )
            .success()
            .stderr
    };
    let told = upgrade("orgorderer1");
    assert!(
        !told.contains("U13") && !told.contains("which does not exist in namespace"),
        "{told}"
    );
    let told = upgrade("orgorderer1,ogrorderer1");
    let warning = "networkPolicy.ordererOrgs names release \"ogrorderer1\", which does not exist in namespace \"";
    assert!(
        told.contains(warning) && told.matches("which does not exist in namespace").count() == 1,
        "{told}"
    );
    let told = upgrade("orgorderer1,orgorderer2");
    assert!(
        told.contains("U13: peer 2.5.16 before orgorderer2, which runs 2.4.9")
            && !told.contains("before orgorderer1"),
        "{told}"
    );
}

#[test]
fn a_secret_that_values_name_is_looked_up_before_the_first_write() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release.cluster.create_namespace("org1");
    let file = release.cluster.folder().join("org1.yaml");
    let values = "ca: {existingSecret: ca-login}\nimage: {pullSecrets: [registry]}\npeers:\n  extraVolumes:\n  - name: mine\n    \
                  configMap: {name: words}\n  - name: maybe\n    secret: {secretName: maybe, optional: true}\n";
    std::fs::write(&file, values).unwrap();
    let file = file.to_str().unwrap();
    let said = release.refused("install", &["-f", file]);
    for part in [
        "Secret ca-login, which ca.existingSecret names, does not exist, U40",
        "Secret registry, which image.pullSecrets[0] names, does not exist",
        "ConfigMap words, which peers.extraVolumes[0].configMap.name names, does not exist",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!said.contains("maybe"), "{said}");
    let make = |args: &[&str]| {
        release
            .cluster
            .kubectl()
            .args(["create", "-n", &release.namespace])
            .args(args)
            .run()
            .success()
    };
    make(&[
        "secret",
        "generic",
        "ca-login",
        "--from-literal=username=admin",
        "--from-literal=password=x",
    ]);
    make(&["secret", "generic", "registry"]);
    make(&["configmap", "words"]);
    release.run("install", &["-f", file]).success();
    // Who may not read it is told so, and goes on.
    release
        .cluster
        .kubectl()
        .args(["delete", "secret", "registry", "-n", &release.namespace])
        .run()
        .success();
    let said = release.refused("upgrade", &["-f", file]);
    assert!(
        said.contains("Secret registry, which image.pullSecrets[0] names, does not exist"),
        "{said}"
    );
    assert!(
        release
            .run("diff upgrade", &["-f", file])
            .success()
            .stderr
            .contains("U40 refuses this")
    );
    release
        .run("upgrade", &["-f", file, "--force", "U40"])
        .success();
}

#[test]
fn everything_is_denied_by_default_only_where_no_pod_of_others_is() {
    let Some(release) = Release::new("org1") else {
        return;
    };
    release.cluster.create_namespace("org1");
    let pod = |name: &str, command: &str| {
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers: [{{name: a, image: nginx:1, command: [{command}]}}]\n"
        );
        release.cluster.apply(&release.namespace, &pod);
    };
    pod("web", "nginx");
    let settings = ["--set", "ca.enabled=false,peers.count=1"];
    let said = release.refused("install", &settings);
    assert!(
        said.contains("applies to pod web, U41") && said.contains("networkPolicy.enabled=false"),
        "{said}"
    );
    release
        .run(
            "install",
            &[&settings[..], &["--set", "networkPolicy.enabled=false"]].concat(),
        )
        .success();
    let said = release.refused("upgrade", &["--set", "networkPolicy=null"]);
    assert!(
        said.contains("applies to pod web, U41") && !said.contains("peer0"),
        "{said}"
    );
    release
        .run(
            "upgrade",
            &["--set", "networkPolicy=null", "--force", "U41"],
        )
        .success();
    // From now on the policy is there, and what comes is its owner's matter.
    pod("later", "nginx");
    release
        .run("upgrade", &["--set", "peers.logging.spec=debug"])
        .success();
    for namespace in ["default", "kube-system"] {
        let said = release
            .cluster
            .fabric()
            .args(["install", "org1", "-n", namespace, "--force", "U41"])
            .run()
            .exits(1)
            .stderr;
        assert!(
            said.contains("networkPolicy.enabled")
                && said.contains(&format!("namespace \"{namespace}\"")),
            "{said}"
        );
    }
}
