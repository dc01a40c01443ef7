//! A node that runs containers, with the images that a test needs, and what tests ask of the pods
//! on it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, iter, thread};

use serde_json::Value;

use crate::support::{self, Cluster, Output, until};

/// Names the folder of images; unset, nothing here runs.
const IMAGES: &str = "KUBECTL_FABRIC_E2E_IMAGES";

/// For how many seconds pods are watched that are to stay ready; unset, none.
const STEADY: &str = "KUBECTL_FABRIC_E2E_STEADY";

/// A machine has room for one such node.
static ALONE: Mutex<()> = Mutex::new(());

/// A cluster of its own for one test, gone with it however it ends.
pub struct Node {
    pub cluster: Cluster,
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = script().arg("down").status();
    }
}

impl Node {
    /// Starts a node that has these images, or says why it cannot be.
    pub fn with(images: &[&str]) -> Option<Node> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        match Node::start(images, alone) {
            Ok(node) => Some(node),
            Err(reason) => {
                // Straight to the terminal: the harness of `cargo test` hides what passing tests
                // print.
                let test = std::thread::current().name().unwrap_or_default().to_owned();
                let _ =
                    std::io::stderr().write_all(format!("skipped: {test} ({reason})\n").as_bytes());
                None
            }
        }
    }

    fn start(images: &[&str], alone: MutexGuard<'static, ()>) -> Result<Node, String> {
        let folder = env::var_os(IMAGES).ok_or_else(|| {
            format!("{IMAGES} names no folder of images, see tests/e2e/README.md")
        })?;
        let sources = images
            .iter()
            .map(|image| source(Path::new(&folder), image))
            .collect::<Result<Vec<PathBuf>, String>>()?;
        let up = script()
            .args(["up", "--node"])
            .stdout(Stdio::null())
            .status()
            .expect("bash runs");
        match up.code() {
            Some(0) => {}
            Some(support::UNAVAILABLE) => {
                return Err("this machine cannot run a node, see above".to_owned());
            }
            _ => panic!("the node did not start ({up}), see above"),
        }
        let dir = script().arg("dir").output().expect("bash runs").stdout;
        let dir = String::from_utf8(dir).expect("a path in UTF-8");
        let node = Node {
            cluster: Cluster::new(Path::new(dir.trim_end())),
            _alone: alone,
        };
        for (image, source) in images.iter().zip(sources) {
            let mut load = script();
            load.arg("load");
            if source.is_dir() {
                load.args([
                    OsStr::new(image),
                    source.as_os_str(),
                    "--env".as_ref(),
                    "FABRIC_CFG_PATH=/etc/hyperledger/fabric".as_ref(),
                ]);
                if source.join("docker-entrypoint.sh").exists() {
                    load.args(["--entrypoint", "[\"/docker-entrypoint.sh\"]"]);
                }
            } else {
                load.arg(&source);
            }
            assert!(
                load.status().expect("bash runs").success(),
                "{} is no image, see above",
                source.display()
            );
        }
        Ok(node)
    }

    /// The name without tag, and the digest, by which the node knows an image.
    pub fn digest(&self, image: &str) -> (String, String) {
        let start = format!("{}@", image.rsplit_once(':').expect("a tag").0);
        let found = until("the node to tell of the image", || {
            let node = self.cluster.get("node", "node1", None).expect("the node");
            let images = node["status"]["images"].as_array().into_iter().flatten();
            let mut names = images
                .flat_map(|image| image["names"].as_array().into_iter().flatten())
                .filter_map(Value::as_str);
            names
                .find(|name| name.starts_with(&start))
                .map(str::to_owned)
        });
        let (name, digest) = found.split_once('@').expect("a digest");
        (name.to_owned(), digest.to_owned())
    }

    /// Runs the plugin to a good end.
    #[track_caller]
    pub fn fabric(&self, args: &[&str]) -> Output {
        self.cluster.fabric().args(args).run().success()
    }

    /// Runs a shell command in a pod.
    #[track_caller]
    pub fn exec(&self, namespace: &str, pod: &str, command: &str) -> String {
        self.cluster
            .kubectl()
            .args(["exec", "-n", namespace, pod, "--", "sh", "-c", command])
            .run()
            .success()
            .stdout
    }

    /// Runs a shell command in the CLI pod of a release.
    #[track_caller]
    pub fn cli(&self, namespace: &str, command: &str) -> String {
        self.exec(namespace, "cli-0", command)
    }

    /// Runs a shell command in the CLI pod of a release, if it will.
    pub fn try_cli(&self, namespace: &str, command: &str) -> Option<String> {
        let run = self
            .cluster
            .kubectl()
            .args(["exec", "-n", namespace, "cli-0", "--", "sh", "-c", command])
            .run();
        (run.status == Some(0)).then_some(run.stdout)
    }

    /// Puts a text file into the CLI pod of a release.
    pub fn copy_to_cli(&self, namespace: &str, text: &str, target: &str) {
        // As an argument: what stands on the input of `kubectl exec` does not always arrive whole.
        let write = format!("mkdir -p $(dirname {target}) && printf %s \"$0\" > {target}");
        self.cluster
            .kubectl()
            .args([
                "exec", "-n", namespace, "cli-0", "--", "sh", "-c", &write, text,
            ])
            .run()
            .success();
    }

    pub fn log(&self, namespace: &str, pod: &str) -> String {
        self.cluster
            .kubectl()
            .args(["logs", "-n", namespace, pod])
            .run()
            .success()
            .stdout
    }

    /// Whether a pod's log holds these words by now.
    pub fn says(&self, namespace: &str, pod: &str, words: &str) -> Option<()> {
        let log = self
            .cluster
            .kubectl()
            .args(["logs", "-n", namespace, pod])
            .run()
            .stdout;
        log.contains(words).then_some(())
    }

    /// The parts of a node that its health service finds fault with.
    fn ailments(&self, namespace: &str, pod: &str) -> Vec<String> {
        // Not by the API server, which keeps the answer of a service that says 503 to itself.
        let tunnel = self.tunnel(namespace, pod.trim_end_matches("-0"), operations_port(pod));
        let mut curl = support::isolated("curl", Path::new("/"));
        let output = curl
            .args([
                "--silent",
                &format!("http://127.0.0.1:{}/healthz", tunnel.port),
            ])
            .output()
            .expect("curl runs");
        let health: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let failed = health["failed_checks"].as_array().into_iter().flatten();
        let ailments: Vec<String> = failed
            .filter_map(|check| check["component"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(
            health["status"] == "OK",
            ailments.is_empty(),
            "{pod}: {health}"
        );
        ailments
    }

    /// What a node's operations service answers on `path`.
    #[track_caller]
    pub fn operations(&self, namespace: &str, pod: &str, path: &str) -> String {
        let port = operations_port(pod);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}");
        self.cluster
            .kubectl()
            .args(["get", "--raw", &path])
            .run()
            .success()
            .stdout
    }

    /// A metric of a node's channel, if the node has it.
    pub fn metric(&self, namespace: &str, pod: &str, name: &str) -> Option<u64> {
        let start = format!("{name}{{channel=\"mychannel\"}} ");
        self.operations(namespace, pod, "metrics")
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.parse().ok())
    }

    /// The nodes' pods of a namespace, by name.
    pub fn pods(&self, namespace: &str) -> Vec<Value> {
        let mut pods = self.cluster.list("pod", namespace);
        pods.retain(|pod| pod["metadata"]["labels"]["kubectl-fabric.io/node"].is_string());
        pods.sort_by_key(|pod| name(pod).to_owned());
        pods
    }

    /// Lines of a pod's log that tell of something wrong, without their colors. The startup probe
    /// leaves without a handshake, once.
    pub fn complaints(&self, namespace: &str, pod: &str) -> Vec<String> {
        let log = self.log(namespace, pod);
        let colors = regex::Regex::new("\x1b\\[[0-9;]*m").expect("a regular expression");
        let mut probed = iter::once(());
        let wrong = [" ERRO ", " CRIT ", " PANI ", " FATA ", "panic:"];
        log.lines()
            .map(|line| colors.replace_all(line, "").into_owned())
            .filter(|line| wrong.iter().any(|word| line.contains(word)))
            .filter(|line| {
                !(line.contains("TLS handshake failed")
                    && line.contains("error EOF")
                    && probed.next().is_some())
            })
            .collect()
    }

    /// Waits until every pod of these namespaces is ready, and asserts that none was ever started
    /// anew.
    pub fn assert_unbroken(&self, namespaces: &[&str]) {
        for namespace in namespaces {
            until("every pod to be ready", || {
                self.pods(namespace).iter().all(is_ready).then_some(())
            });
            for pod in self.pods(namespace) {
                for container in pod["status"]["containerStatuses"]
                    .as_array()
                    .expect("a pod that runs")
                {
                    assert_eq!(container["restartCount"], 0, "{namespace}/{}", name(&pod));
                }
            }
        }
    }

    /// And that their operations services answer.
    pub fn assert_steady(&self, namespaces: &[&str]) {
        self.assert_unbroken(namespaces);
        for namespace in namespaces {
            for pod in self.pods(namespace) {
                let place = format!("{namespace}/{}", name(&pod));
                let image = pod["spec"]["containers"][0]["image"]
                    .as_str()
                    .expect("an image");
                // Without a Docker host a peer of 1.4 is never well (`peer/node/start.go`,
                // `RegisterChecker`).
                let known: &[&str] = if image.contains("fabric-peer:1.4.") {
                    &["docker"]
                } else {
                    &[]
                };
                assert_eq!(self.ailments(namespace, name(&pod)), known, "{place}");
                assert!(
                    self.operations(namespace, name(&pod), "version")
                        .contains("Version"),
                    "{place}"
                );
                assert!(
                    self.operations(namespace, name(&pod), "metrics")
                        .contains("\n# TYPE "),
                    "{place}"
                );
            }
        }
    }

    /// Asserts that every pod is ready, and stays so without a restart for as many seconds as the
    /// user wants to watch.
    pub fn assert_stays(&self, namespaces: &[&str]) {
        let seconds =
            env::var(STEADY).map_or(0, |seconds| seconds.parse().expect("a number of seconds"));
        self.assert_unbroken(namespaces);
        let states = || {
            namespaces
                .iter()
                .flat_map(|namespace| self.pods(namespace))
                .map(|pod| state(&pod))
                .collect::<Vec<_>>()
        };
        let before = states();
        thread::sleep(Duration::from_secs(seconds));
        assert_eq!(states(), before);
    }

    /// Kills a pod without grace and waits for the next of its name to be ready.
    pub fn kill(&self, namespace: &str, pod: &str) {
        let find = || self.cluster.get("pod", pod, Some(namespace));
        let before = find().expect("a pod to kill")["metadata"]["uid"].clone();
        self.cluster
            .kubectl()
            .args([
                "delete",
                "pod",
                "-n",
                namespace,
                pod,
                "--grace-period=0",
                "--force",
            ])
            .run()
            .success();
        until("the next pod to be ready", || {
            find().filter(|next| next["metadata"]["uid"] != before && is_ready(next))
        });
    }

    /// Watches the nodes' pods of a namespace while `work` runs.
    pub fn watch(&self, namespace: &str, work: impl FnOnce()) -> Vec<Change> {
        let columns = "custom-columns=E:.type,N:.object.metadata.name,I:.object.spec.containers[0].image,\
                       R:.object.status.containerStatuses[0].ready,D:.object.metadata.deletionTimestamp";
        let arguments = [
            "get",
            "pods",
            "-n",
            namespace,
            "-l",
            "kubectl-fabric.io/node",
            "--no-headers",
            "-o",
            columns,
        ];
        let mut watch = self
            .cluster
            .kubectl()
            .args(arguments)
            .args(["--watch", "--output-watch-events"])
            .spawn();
        let mut lines = BufReader::new(watch.stdout.take().expect("piped"))
            .lines()
            .map(|line| line.expect("text"));
        // It begins with the pods that are there.
        let mut events: Vec<String> = lines.by_ref().take(self.pods(namespace).len()).collect();
        work();
        watch.kill().expect("a child of ours");
        watch.wait().expect("a child of ours");
        events.extend(lines);
        let mut up = BTreeSet::new();
        let change = |event: &String| {
            let columns: Vec<&str> = event.split_whitespace().collect();
            let [event, pod, image, ready, ended] = columns[..] else {
                panic!("kubectl prints {event:?}")
            };
            if ready == "true" && ended == "<none>" && event != "DELETED" {
                up.insert(pod.to_owned());
            } else {
                up.remove(pod);
            }
            Change {
                event: event.to_owned(),
                pod: pod.to_owned(),
                image: image.to_owned(),
                ready: up.len(),
            }
        };
        events
            .iter()
            .map(change)
            .collect::<Vec<Change>>()
            .split_off(self.pods(namespace).len() - 1)
    }

    /// Opens a tunnel to a Service's port.
    pub fn tunnel(&self, namespace: &str, service: &str, port: u16) -> Tunnel {
        let arguments = [
            "port-forward",
            "-n",
            namespace,
            &format!("service/{service}"),
            &format!(":{port}"),
        ];
        let mut process = self.cluster.kubectl().args(arguments).spawn();
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split_whitespace().next());
        let port = address.and_then(|address| address.rsplit(':').next()?.parse().ok());
        Tunnel {
            port: port.unwrap_or_else(|| panic!("kubectl port-forward says {line:?}")),
            process,
            _output: output,
        }
    }
}

/// What happened to a pod, and how many nodes were ready then.
#[derive(Debug)]
pub struct Change {
    pub event: String,
    pub pod: String,
    pub image: String,
    pub ready: usize,
}

/// A port of this machine that leads to a Service.
pub struct Tunnel {
    pub port: u16,
    process: Child,
    /// kubectl ends when nobody can read what it prints.
    _output: BufReader<ChildStdout>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn operations_port(pod: &str) -> u16 {
    if pod.starts_with("orderer") {
        8443
    } else {
        9443
    }
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"]
        .as_str()
        .expect("objects have names")
}

fn is_ready(pod: &Value) -> bool {
    readiness(pod).is_some_and(|condition| condition["status"] == "True")
}

fn readiness(pod: &Value) -> Option<&Value> {
    pod["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == "Ready")
}

/// What would tell that a pod was not ready for a moment, or that a container of it was started
/// anew.
fn state(pod: &Value) -> (String, Option<Value>, Vec<Value>) {
    let containers = pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten();
    (
        name(pod).to_owned(),
        readiness(pod).cloned(),
        containers
            .map(|container| container["restartCount"].clone())
            .collect(),
    )
}

/// Where an image is found: `ghcr.io/hyperledger/fabric-peer:2.5.16` as the folder
/// `fabric-peer-2.5.16` or the archive `fabric-peer-2.5.16.tar`.
fn source(folder: &Path, image: &str) -> Result<PathBuf, String> {
    let name = image.rsplit('/').next().unwrap_or(image).replace(':', "-");
    let places = [folder.join(&name), folder.join(format!("{name}.tar"))];
    places
        .into_iter()
        .find(|place| place.exists())
        .ok_or_else(|| format!("{} has no {name}", folder.display()))
}

fn script() -> Command {
    let mut script = support::cluster_script();
    script.env("CLUSTER_NAME", "e2e").stdin(Stdio::null());
    script
}
