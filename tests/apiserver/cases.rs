//! Every case of the charts that renders (`tests/charts/<chart>/<case>`), installed: taken by the
//! API server under strict validation and the Pod Security level that the case claims, each pod
//! Ready.

use crate::support::{self, Cluster};
use kubectl_fabric::chart::repository;
use kubectl_fabric::compose::{self, Composition, Given};
use kubectl_fabric::identity::{self, Custody, Organization};
use kubectl_fabric::manifest::pod_security::{level, needs};
use kubectl_fabric::render::Capabilities;
use kubectl_fabric::values::{self, Source};
use kubectl_fabric::yaml;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Cases that are installed at once: most of an install is waiting.
const AT_ONCE: usize = 6;

struct Case {
    folder: PathBuf,
    chart: String,
    release: String,
    /// The fixture that holds its identities, which are for the namespace of the release's name.
    crypto_config: Option<String>,
    values: String,
}

impl Case {
    fn all() -> Vec<Case> {
        let top = support::repository().join("tests/charts");
        let folders = |path: &PathBuf| {
            let entries = fs::read_dir(path)
                .expect("a folder")
                .map(|entry| entry.expect("its entry").path());
            let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
            folders.sort();
            folders
        };
        let cases = folders(&top).into_iter().flat_map(|chart| folders(&chart));
        cases
            .filter(|folder| !folder.join("error.txt").exists())
            .map(Case::read)
            .collect()
    }

    fn read(folder: PathBuf) -> Case {
        let chart = folder
            .parent()
            .and_then(|chart| chart.file_name())
            .expect("it is of a chart")
            .to_str()
            .expect("text")
            .to_owned();
        let more = fs::read_to_string(folder.join("case.yaml")).unwrap_or("{}".to_owned());
        let more = yaml::parse(&more, "case.yaml").expect("YAML");
        let release = match chart.as_str() {
            "peer-org" => "org1",
            "orderer-org" => "orgorderer1",
            "chaincode" => "basic",
            other => other,
        };
        let values = fs::read_to_string(folder.join("values.yaml")).expect("its values");
        Case {
            release: release.to_owned(),
            crypto_config: more["cryptoConfig"].as_str().map(str::to_owned),
            values,
            chart,
            folder,
        }
    }

    fn name(&self) -> String {
        format!(
            "{} {}",
            self.chart,
            self.folder.file_name().expect("a case").display()
        )
    }

    fn exposure(&self) -> String {
        let values = yaml::parse(&self.values, "values.yaml").expect("YAML");
        values["expose"]["type"]
            .as_str()
            .unwrap_or("ClusterIP")
            .to_owned()
    }

    /// Installs it, and looks at what came of it. `ports` is where its NodePorts begin, in place of
    /// where they would in a cluster of its own.
    fn comes_up(&self, cluster: &Cluster, namespace: &str, ports: Option<u64>) {
        let name = self.name();
        let chart = repository::find(&self.chart, None).expect("an embedded chart");
        let file = Source::File {
            name: "values.yaml".to_owned(),
            text: self.values.clone(),
        };
        let composition = compose::compose(Given {
            chart: &chart,
            release: &self.release,
            namespace,
            user_values: values::from_sources(vec![file]).expect("values"),
            defaults: None,
            fabric_version: None,
            skip_schema_validation: false,
            stored_secrets: Default::default(),
        });
        let composition = composition.unwrap_or_else(|error| panic!("{name}: {error}"));
        let capabilities = Capabilities {
            kube_version: "v1.33.0".to_owned(),
            api_versions: Vec::new(),
        };
        let objects = composition
            .render(1, false, capabilities, None)
            .expect("it renders")
            .objects;
        let claimed = level(&needs(&objects)).as_str();
        bring(cluster, namespace, claimed, &composition);

        // Simulated nodes start pods whatever Secrets they name: those of a case's values need not
        // be there.
        let install = cluster.fabric().args([
            "install",
            &self.release,
            &self.chart,
            "-n",
            namespace,
            "--timeout",
            "170s",
            "--force",
            "U40",
        ]);
        let mut install = install.arg("-f").arg(self.folder.join("values.yaml"));
        if let Some(fixture) = &self.crypto_config {
            let folder = support::repository()
                .join("tests/fixtures")
                .join(fixture)
                .join("crypto-config");
            install = install.arg("--crypto-config").arg(folder);
        }
        if let Some(ports) = ports {
            install = install.args([
                "--set",
                &format!("expose.organization=1,expose.nodePortBase={ports}"),
            ]);
        }
        let output = install.run();
        assert_eq!(output.status, Some(0), "{name}: {}", output.stderr);
        assert!(
            !output.stderr.contains("PodSecurity"),
            "{name} is warned: {}",
            output.stderr
        );

        let body = cluster
            .get("namespace", namespace, None)
            .expect("the namespace is there");
        assert_eq!(body["metadata"]["labels"][ENFORCE], claimed, "{name}");
        let wanted: u64 = objects
            .iter()
            .filter_map(|object| object.body["spec"]["replicas"].as_u64())
            .sum();
        let pods = cluster.list("pod", namespace);
        let ready = pods.iter().filter(|pod| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            conditions
                .into_iter()
                .any(|it| it["type"] == "Ready" && it["status"] == "True")
        });
        assert!(wanted > 0, "{name} has pods");
        assert_eq!(
            (ready.count() as u64, pods.len() as u64),
            (wanted, wanted),
            "{name}"
        );
    }

    fn goes(&self, cluster: &Cluster, namespace: &str) {
        let uninstall = [
            "uninstall",
            &self.release,
            "-n",
            namespace,
            "--delete-data",
            "--yes",
            "--delete-namespace",
        ];
        cluster.fabric().args(uninstall).run().success();
        cluster
            .kubectl()
            .args(["delete", "namespace", "--ignore-not-found", namespace])
            .run()
            .success();
    }
}

/// Puts into the namespace what the values say that the user has there already, if anything: then
/// the namespace is the user's, and labelled by the user.
fn bring(cluster: &Cluster, namespace: &str, level: &str, composition: &Composition) {
    let mut objects = Vec::new();
    if let Some(organization) = &composition.organization
        && let Custody::User { names, .. } = &organization.custody
    {
        objects.extend(secrets(organization, names));
    }
    if let Some(claim) = composition.values.all.tree["crypto"]["nfs"]["claim"]
        .as_str()
        .filter(|claim| !claim.is_empty())
    {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec}));
    }
    if !objects.is_empty() {
        cluster
            .kubectl()
            .args(["create", "namespace", namespace])
            .run()
            .success();
        let labels =
            [ENFORCE, "pod-security.kubernetes.io/warn"].map(|label| format!("{label}={level}"));
        cluster
            .kubectl()
            .args(["label", "namespace", namespace])
            .args(labels)
            .run()
            .success();
        cluster.apply(
            namespace,
            &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string(),
        );
    }
}

/// Secrets as a user would have made them: identities of another tool, by the names that the values
/// say.
fn secrets(organization: &Organization, names: &BTreeMap<String, String>) -> Vec<Value> {
    let organization = Organization {
        custody: Custody::Program,
        credentials: Vec::new(),
        ..organization.clone()
    };
    let plan = identity::plan(
        &organization,
        &BTreeMap::new(),
        &identity::Source::Generate,
        jiff::Timestamp::now(),
    );
    let secret = |made: kubectl_fabric::manifest::Object| {
        let name = names.get(&made.key.name).unwrap_or(&made.key.name);
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": made.body["type"], "data": made.body["data"]})
    };
    plan.expect("identities")
        .create
        .into_iter()
        .map(secret)
        .collect()
}

/// Definitions, classes and labels that cases name.
fn furnish(cluster: &Cluster) {
    let definitions = support::repository().join("tests/apiserver/definitions.yaml");
    cluster
        .kubectl()
        .args(["apply", "-f"])
        .arg(definitions)
        .run()
        .success();
    cluster
        .kubectl()
        .args([
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "--all",
        ])
        .run()
        .success();
    cluster
        .kubectl()
        .args(["label", "--overwrite", "node", "sim-1", "disk=ssd"])
        .run()
        .success();
}

/// A namespace that goes when it is dropped, also when its case fails: it gives its ports back.
struct Leaving<'c> {
    cluster: &'c Cluster,
    namespace: String,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let delete = [
            "delete",
            "namespace",
            "--ignore-not-found",
            "--wait=false",
            &self.namespace,
        ];
        self.cluster.kubectl().args(delete).run();
    }
}

/// NodePorts that somebody has.
fn taken_ports(cluster: &Cluster) -> BTreeSet<u64> {
    let services = cluster
        .kubectl()
        .args(["get", "services", "-A", "-o", "json"])
        .run()
        .success()
        .json();
    let services = services["items"].as_array().into_iter().flatten();
    let ports =
        services.flat_map(|service| service["spec"]["ports"].as_array().into_iter().flatten());
    ports.filter_map(|port| port["nodePort"].as_u64()).collect()
}

/// Does all of it, a few at once. Every failure is told, not only the first.
fn each<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync) {
    let queue = Mutex::new(items);
    let worker = || {
        while let Some(item) = {
            queue
                .lock()
                .expect("nothing panics while it holds the queue")
                .pop()
        } {
            work(item);
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(worker))));
}

#[test]
fn every_case_comes_up_under_the_pod_security_level_that_it_claims() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    furnish(&cluster);
    let cases: Vec<Case> = Case::all()
        .into_iter()
        .filter(|case| case.crypto_config.is_none())
        .collect();
    assert!(cases.len() > 60, "only {} cases", cases.len());
    let cases = cases.into_iter().enumerate().map(|(i, case)| {
        let namespace = cluster.namespace(&format!("{}-{i}", case.release));
        (case, namespace)
    });
    // Those with ports of their own come first and go again: a load balancer's Service takes ports
    // from the same range at random.
    let (numbered, others): (Vec<_>, Vec<_>) =
        cases.partition(|(case, _)| case.exposure() == "NodePort");
    assert!(numbered.len() > 5, "only {} of NodePort", numbered.len());
    let taken = taken_ports(&cluster);
    // An organization has the ports from there on, and orderers some from the 50th on.
    let is_free = |first: &u64| {
        !taken
            .range(first..&(first + 10))
            .chain(taken.range(first + 50..first + 60))
            .any(|_| true)
    };
    let [mut peers, mut orderers] =
        [(30_000..31_500), (32_000..32_700)].map(|ports| ports.step_by(100).filter(is_free));
    let numbered = numbered.into_iter().map(|(case, namespace)| {
        let ports = if case.chart == "orderer-org" {
            orderers.next()
        } else {
            peers.next()
        };
        (case, namespace, ports.expect("a block of ports is free"))
    });
    each(numbered.collect(), |(case, namespace, ports)| {
        case.comes_up(&cluster, &namespace, Some(ports));
        case.goes(&cluster, &namespace);
    });
    each(others, |(case, namespace)| {
        case.comes_up(&cluster, &namespace, None);
        // Hundreds of pods are no company for the tests that follow; nobody waits for them to go.
        cluster
            .kubectl()
            .args(["delete", "namespace", "--wait=false", &namespace])
            .run()
            .success();
    });
}

#[test]
fn every_case_of_a_crypto_config_comes_up() {
    let namespaces = ["org1", "orgorderer1"];
    let Some((cluster, _turn)) = support::cluster_alone(&namespaces) else {
        return;
    };
    furnish(&cluster);
    let cases = Case::all()
        .into_iter()
        .filter(|case| case.crypto_config.is_some());
    let (peers, orderers): (Vec<_>, Vec<_>) = cases.partition(|case| case.chart == "peer-org");
    assert!(peers.len() > 3 && orderers.len() > 3);
    // Their certificates are for these namespaces, so those of one organization take turns.
    each(vec![peers, orderers], |cases| {
        for case in cases {
            case.comes_up(&cluster, &case.release, None);
            case.goes(&cluster, &case.release);
        }
    });
}

#[test]
fn a_node_port_that_somebody_has_is_refused_before_anything_is_written() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let taken = taken_ports(&cluster);
    // Beyond those of the cases. A peer's port is the first one and 1, and 2 more for each peer
    // before it. Only one port has to be free, and be taken then: others that somebody has are
    // refused besides.
    let is_free = |first: &u64| taken.range(first + 70..first + 75).next().is_none();
    let first = (31_520..31_900)
        .step_by(5)
        .find(is_free)
        .expect("a block of ports is free");
    let [one, other] = ["org1", "org2"].map(|release| cluster.create_namespace(release));
    let _leaving = [&one, &other].map(|namespace| Leaving {
        cluster: &cluster,
        namespace: namespace.clone(),
    });
    let install = |release: &str, namespace: &str, base: u64, peers: u64| {
        let values = format!(
            "peers.count={peers},ca.enabled=false,expose.type=NodePort,expose.host=fabric.example.com,expose.organization=1,expose.nodePortBase={base}"
        );
        cluster
            .fabric()
            .args(["install", release, "-n", namespace, "--set", &values])
            .run()
    };
    install("org1", &one, first + 70, 1).success();
    // The 36th of so many peers that most of their objects are checked by their shape only.
    let mut output = None;
    let requests = cluster.requests(|| output = Some(install("org2", &other, first, 40).exits(1)));
    let written: Vec<_> = requests.iter().filter(|request| request.writes()).collect();
    assert!(written.is_empty(), "{written:#?}");
    let said = output.expect("it ran").stderr;
    assert!(
        said.contains(&format!("--> Service {other}/peer35-external")),
        "{said}"
    );
    assert!(
        said.contains(&(first + 71).to_string()) && said.contains("already allocated"),
        "{said}"
    );
    assert!(
        said.contains("nothing was changed: every object is checked before the first write"),
        "{said}"
    );
    cluster
        .fabric()
        .args(["uninstall", "org1", "-n", &one])
        .run()
        .success();
}
