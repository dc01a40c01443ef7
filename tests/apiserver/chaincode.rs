//! Chaincode servers as releases in the namespaces of the organizations that call them.

use crate::support::{self, Cluster, Output, until};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;

const IMAGE: &str = "registry.example.com/asset-transfer-basic";
const SMALL: [&str; 2] = ["--set", "ca.enabled=false,peers.count=1"];

/// The namespace of a peer organization, with the server `basic` in it.
struct Organization<'c> {
    cluster: &'c Cluster,
    release: &'static str,
    namespace: String,
}

impl<'c> Organization<'c> {
    fn new(cluster: &'c Cluster, release: &'static str) -> Organization<'c> {
        Organization {
            cluster,
            release,
            namespace: cluster.namespace(release),
        }
    }

    fn run(&self, verb: &str, release: &str, args: &[&str]) -> Output {
        let fabric = self.cluster.fabric().args(verb.split(' '));
        fabric
            .args([release, "-n", &self.namespace])
            .args(args)
            .run()
    }

    /// `kubectl fabric VERB ORGANIZATION`
    fn peers(&self, verb: &str, args: &[&str]) -> Output {
        self.run(verb, self.release, args)
    }

    /// `kubectl fabric VERB basic`
    fn server(&self, verb: &str, args: &[&str]) -> Output {
        self.run(verb, "basic", args)
    }

    fn install_server(&self, tag: &str, package: &str) {
        let values = format!("image.repository={IMAGE},image.tag={tag},packageID={package}");
        self.server("install", &["--chart", "chaincode", "--set", &values])
            .success();
    }

    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, name, Some(&self.namespace))
    }

    fn deployment(&self) -> Value {
        self.get("deployment", "basic").expect("the server")
    }

    /// Tag of the image and the package that its server is told, as the Deployment has them.
    fn runs(&self) -> (String, String) {
        let image = container(&self.deployment())["image"].clone();
        let image = image.as_str().expect("an image");
        let (_, tag) = image.rsplit_once(':').expect("a tag");
        let package = self.variable("CHAINCODE_ID").expect("the package");
        assert_eq!(
            self.variable("CORE_CHAINCODE_ID_NAME").as_ref(),
            Some(&package)
        );
        (tag.to_owned(), package)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let deployment = self.deployment();
        let env = container(&deployment)["env"].as_array()?;
        let variable = env.iter().find(|variable| variable["name"] == name)?;
        Some(variable["value"].as_str()?.to_owned())
    }

    /// What serves behind the Service: the images of its ready pods.
    fn serving(&self) -> Vec<Value> {
        let pods = self.cluster.list("pod", &self.namespace);
        let serves = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            pod["metadata"]["labels"]["app.kubernetes.io/instance"] == "basic"
                && pod["metadata"]["deletionTimestamp"].is_null()
                && conditions
                    .into_iter()
                    .any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        pods.iter()
            .filter(serves)
            .map(|pod| pod["spec"]["containers"][0]["image"].clone())
            .collect()
    }
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn package(label: &str, digit: &str) -> String {
    format!("{label}:{}", digit.repeat(64))
}

#[test]
fn servers_of_one_name_live_beside_the_peers_of_two_organizations() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let (org1, org2) = (
        Organization::new(&cluster, "org1"),
        Organization::new(&cluster, "org2"),
    );
    let (first, other, next) = (
        package("basic_1.0", "1"),
        package("basic_1.0", "2"),
        package("basic_1.1", "3"),
    );
    for (organization, package) in [(&org1, &first), (&org2, &other)] {
        organization.peers("install", &SMALL).success();
        organization.install_server("1.0", package);
    }
    assert_eq!(org1.runs(), ("1.0".to_owned(), first.clone()));
    assert_eq!(org2.runs(), ("1.0".to_owned(), other.clone()));
    assert_eq!(org1.serving(), [json!(format!("{IMAGE}:1.0"))]);
    let untouched = org2.deployment()["metadata"]["resourceVersion"].clone();
    let peer = org1.get("statefulset", "peer0").expect("its peer")["metadata"]["uid"].clone();

    // Another image, another package, and a variable.
    let values = format!("image.tag=1.1,packageID={next},env.WORKERS=2");
    org1.server("upgrade", &["--set", &values]).success();
    assert_eq!(org1.runs(), ("1.1".to_owned(), next.clone()));
    assert_eq!(org1.variable("WORKERS").as_deref(), Some("2"));
    assert_eq!(org1.serving(), [json!(format!("{IMAGE}:1.1"))]);

    // A key that is emptied takes its value back; one that the server needs is asked for.
    let file = cluster.folder().join("empty.yaml");
    fs::write(&file, "env:\n  # WORKERS: 2\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    org1.server("upgrade", &["-f", file]).success();
    assert_eq!(org1.variable("WORKERS"), None);
    assert_eq!(org1.runs(), ("1.1".to_owned(), next.clone()));
    let mut said = None;
    let requests = cluster.requests(|| {
        let taken = ["--set", "image.tag=null,packageID=null"];
        said = Some(org1.server("upgrade", &taken).exits(1).stderr);
    });
    let said = said.expect("it ran");
    assert!(
        said.contains("--> image.tag") && said.contains("--> packageID"),
        "{said}"
    );
    assert!(requests.iter().all(|request| !request.writes()));

    // The chart is the release's: nothing has to name it, and nothing else takes its name.
    org1.server("rollback", &["1"]).success();
    assert_eq!(org1.runs(), ("1.0".to_owned(), first.clone()));
    org1.server("drift", &[]).success();
    let status = org1.server("status", &[]).success().stdout;
    assert!(
        status.contains("CHART: chaincode-0.1.0") && !status.contains("FABRIC VERSION"),
        "{status}"
    );
    let history = org1.server("history", &["-o", "json"]).success().json();
    assert_eq!(history.as_array().map(Vec::len), Some(4));

    org1.server("uninstall", &[]).success();
    for (kind, name) in [
        ("deployment", "basic"),
        ("service", "basic"),
        ("serviceaccount", "basic"),
        ("poddisruptionbudget", "basic"),
        ("networkpolicy", "chaincode-basic"),
    ] {
        until("it to be gone", || {
            org1.get(kind, name).is_none().then_some(())
        });
    }
    let left = org1.get("statefulset", "peer0").expect("the peer stays");
    assert_eq!(left["metadata"]["uid"], peer);
    org1.peers("status", &[]).success();
    assert_eq!(org2.deployment()["metadata"]["resourceVersion"], untouched);
    org1.install_server("1.1", &next);
    assert_eq!(org1.runs(), ("1.1".to_owned(), next));
}

#[test]
fn a_server_that_does_not_come_up_leaves_the_old_one_serving() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Organization::new(&cluster, "org1");
    let package = package("basic_1.0", "1");
    org1.install_server("1.0", &package);
    let broken = r"image.tag=1.1,podAnnotations.sim\.kubectl-fabric\.io/state=image-pull-error";
    let said = org1
        .server("upgrade", &["--set", broken, "--timeout", "60s"])
        .exits(3)
        .stderr;
    let which = format!("Deployment {}/basic will not become ready", org1.namespace);
    assert!(said.contains(&which), "{said}");
    let old = [json!(format!("{IMAGE}:1.0"))];
    assert_eq!(org1.serving(), old);
    let mended = ["--set", "image.tag=1.2,podAnnotations=null"];
    org1.server("upgrade", &mended).success();
    assert_eq!(org1.serving(), [json!(format!("{IMAGE}:1.2"))]);
    // Servers that are added begin beside those that run.
    org1.server("upgrade", &["--set", "replicas=3"]).success();
    assert_eq!(org1.serving().len(), 3);
}

#[test]
fn an_organization_is_installed_beside_its_chaincode() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let org1 = Organization::new(&cluster, "org1");
    org1.install_server("1.0", &package("basic_1.0", "1"));
    let web = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  automountServiceAccountToken: false\n  \
               securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}\n  containers:\n  \
               - {name: a, image: 'nginx:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}\n";
    cluster.apply(&org1.namespace, web);
    // The policy of the organization is made for chaincode, and for no other pod.
    let said = org1.peers("install", &SMALL).exits(4).stderr;
    assert!(
        said.contains("applies to pod web, U41") && !said.contains("basic"),
        "{said}"
    );
    cluster
        .kubectl()
        .args(["delete", "pod", "web", "-n", &org1.namespace])
        .run()
        .success();
    org1.peers("install", &SMALL).success();
    org1.peers("uninstall", &[]).success();
    assert_eq!(org1.serving().len(), 1);
    org1.peers("install", &SMALL).success();
    // Peers that call no chaincode have no policy for it.
    org1.peers("uninstall", &[]).success();
    let none = [&SMALL[..], &["--set", "chaincode.mode=none"]].concat();
    let said = org1.peers("install", &none).exits(4).stderr;
    assert!(said.contains("U41") && said.contains("basic-"), "{said}");
}

/// `kubectl fabric chaincode VERB basic`, in the network of this test.
fn chaincode(cluster: &Cluster, verb: &str, args: &[&str]) -> Output {
    let network = ["--network", cluster.network()];
    let fabric = cluster.fabric().args(["chaincode", verb, "basic"]);
    fabric.args(network).args(args).run()
}

#[test]
fn dev_replaces_the_image_of_every_server_and_tells_the_way_back() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let organizations = ["org1", "org2"].map(|release| Organization::new(&cluster, release));
    let ids = [package("basic", "1"), package("basic", "2")];
    for (organization, id) in organizations.iter().zip(&ids) {
        organization.install_server("1.0", id);
    }
    let image = format!("{IMAGE}:dev");
    let dev = || chaincode(&cluster, "dev", &["--image", &image]).success();
    let said = dev().stderr;
    for (organization, id) in organizations.iter().zip(&ids) {
        assert_eq!(organization.runs(), ("dev".to_owned(), id.clone()));
        assert_eq!(organization.serving(), [json!(image)]);
        let back = format!(
            "to undo: `kubectl fabric rollback basic -n {} 1`",
            organization.namespace
        );
        assert!(said.contains(&back), "{said}");
    }

    // An image of the same name may be another one, and the way back still leads past it.
    let template = || organizations[0].deployment()["spec"]["template"].clone();
    let before = template();
    let said = dev().stderr;
    assert_ne!(template(), before);
    assert!(said.contains(&organizations[0].namespace), "{said}");
    assert!(said.lines().all(|line| line.ends_with(" 1`")), "{said}");

    organizations[0].server("rollback", &["1"]).success();
    let (tag, id) = organizations[0].runs();
    assert_eq!((tag.as_str(), &id), ("1.0", &ids[0]));
    let annotations = &template()["metadata"]["annotations"];
    assert!(annotations["kubectl-fabric.io/replaced"].is_null());

    // Of one namespace, and an image that never runs: the old server stays.
    let namespace = organizations[1].namespace.as_str();
    let broken = [
        "chaincode",
        "dev",
        "basic",
        "-n",
        namespace,
        "--image",
        "Not An Image",
    ];
    let said = cluster.fabric().args(broken).run().exits(1).stderr;
    assert!(said.contains("image.repository"), "{said}");
    assert_eq!(organizations[1].runs().0, "dev");
}

#[test]
fn logs_come_from_every_server_also_from_those_that_start_later() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let organizations = ["org1", "org2"].map(|release| Organization::new(&cluster, release));
    for organization in &organizations {
        organization.install_server("1.0", &package("basic", "1"));
    }
    let pods = |organization: &Organization| -> Vec<String> {
        let pods = cluster.list("pod", &organization.namespace);
        let names = pods
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().expect("a name"));
        names
            .map(|name| format!("[{}/{name}] ", organization.namespace))
            .collect()
    };
    let printed = chaincode(&cluster, "logs", &[]).success().stdout;
    for organization in &organizations {
        for place in pods(organization) {
            let line = format!("{place}simulated container: nothing runs here\n");
            assert!(printed.contains(&line), "{printed}");
        }
    }
    let one = ["--tail", "1"];
    let printed = chaincode(&cluster, "logs", &one).success().stdout;
    assert_eq!(printed.lines().count(), 2, "{printed}");

    let follow = cluster
        .fabric()
        .args(["chaincode", "logs", "basic", "-f", "--network"]);
    let mut follow = follow.arg(cluster.network()).spawn();
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    let mut until_said = |place: &str| {
        let said = lines.find(|line| line.as_ref().expect("text").starts_with(place));
        assert!(said.is_some(), "nothing of {place}");
    };
    let first = pods(&organizations[0]);
    until_said(&first[0]);
    let image = format!("{IMAGE}:dev");
    chaincode(&cluster, "dev", &["--image", &image]).success();
    let later = pods(&organizations[0]);
    let new = later.iter().find(|it| !first.contains(it));
    until_said(new.expect("a new pod"));
    let interrupt = Command::new("kill")
        .args(["-INT", &follow.id().to_string()])
        .status();
    assert!(interrupt.expect("kill runs").success());
    let end = follow.wait_with_output().expect("a child of ours");
    assert_eq!(end.status.code(), Some(130));
    assert!(end.stderr.is_empty(), "{:?}", String::from_utf8(end.stderr));

    let said = chaincode(&cluster, "logs", &["--release", "basik"]);
    let said = said.exits(1).stderr;
    assert!(said.contains("did you mean \"basic\"?"), "{said}");
}

#[test]
fn remove_uninstalls_every_server_and_says_that_the_definition_stays() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let organizations = ["org1", "org2"].map(|release| Organization::new(&cluster, release));
    for organization in &organizations {
        organization.install_server("1.0", &package("basic", "1"));
    }
    let requests = cluster.requests(|| {
        let planned = chaincode(&cluster, "remove", &["--dry-run"]).success();
        for organization in &organizations {
            assert!(planned.stdout.contains(&organization.namespace));
        }
    });
    assert!(requests.iter().all(|request| !request.writes()));

    let one = organizations[0].namespace.as_str();
    let only = ["chaincode", "remove", "basic", "-n", one];
    let removed = cluster.fabric().args(only).run().success();
    assert!(
        removed.stderr.contains("definitions stay committed"),
        "{}",
        removed.stderr
    );
    assert!(organizations[0].get("deployment", "basic").is_none());
    assert_eq!(organizations[1].serving().len(), 1);

    let removed = chaincode(&cluster, "remove", &["-o", "json"]).success();
    let removed = removed.json();
    let servers = json!([{"namespace": organizations[1].namespace, "server": "uninstalled"}]);
    assert_eq!(removed["servers"], servers);
    assert!(organizations[1].get("deployment", "basic").is_none());
    let said = chaincode(&cluster, "remove", &[]).exits(1).stderr;
    assert!(said.contains("no server of \"basic\" was found"), "{said}");
}
