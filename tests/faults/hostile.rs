//! A hostile writer beside the operations: a user who may write ConfigMaps and nothing else, at
//! random moments of each operation. Nothing of theirs is adopted or deleted, a run that succeeds
//! has done what it says, and the same command converges once they are gone.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::invariants::{Expected, Eyes, Seen};
use crate::model::Random;
use crate::operations::{Operation, Release, values};
use crate::proxy::{Fault, Proxy};
use crate::support::{self, Cluster, until};
use crate::world::World;

/// Names that the release has, is about to have, or has had.
const NAMES: [&str; 3] = ["settings", "old", "new"];

/// What the hostile writer does.
#[derive(Clone, Debug)]
enum Deed {
    /// Creates a ConfigMap under a name that the release is about to use, if it is free.
    Squat(String),
    /// Deletes a ConfigMap of the release and creates another of its name, without marks.
    Swap(String),
    /// Changes bytes of a record or of the kept chart.
    Edit(&'static str),
}

/// What is left of a deed, to be taken back.
enum Left {
    Nothing,
    /// A ConfigMap of theirs: name, UID, and whether an object of the release was deleted for it.
    Theirs {
        name: String,
        uid: String,
        swapped: bool,
    },
    /// A ConfigMap of the release: name, the field's bytes before, and after.
    Edited {
        name: String,
        before: Value,
        after: Value,
    },
}

struct Mallory {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    path: String,
}

impl Mallory {
    /// A user who may write ConfigMaps in this namespace.
    fn new(cluster: &Cluster, namespace: &str) -> Mallory {
        let user = format!("mallory-{namespace}");
        let kubectl = |args: &[&str]| {
            cluster
                .kubectl()
                .args(["-n", namespace])
                .args(args)
                .run()
                .success()
        };
        let rule = "--resource=configmaps";
        kubectl(&[
            "create",
            "role",
            "mallory",
            "--verb=get,list,create,update,delete",
            rule,
        ]);
        kubectl(&[
            "create",
            "rolebinding",
            "mallory",
            "--role=mallory",
            &format!("--user={user}"),
        ]);
        let may = [
            "auth",
            "can-i",
            "create",
            "configmaps",
            &format!("--as={user}"),
        ];
        until("the server to know the role", || {
            (cluster
                .kubectl()
                .args(["-n", namespace])
                .args(may)
                .run()
                .status
                == Some(0))
            .then_some(())
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(async {
            let kubeconfig =
                kube::config::Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
                .await
                .expect("a context");
            config.auth_info.impersonate = Some(user);
            kube::Client::try_from(config).expect("a client")
        });
        Mallory {
            runtime,
            client,
            path: format!("/api/v1/namespaces/{namespace}/configmaps"),
        }
    }

    fn send(&self, method: &str, name: &str, body: &Value) -> Option<Value> {
        let path = if name.is_empty() {
            self.path.clone()
        } else {
            format!("{}/{name}", self.path)
        };
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body);
        self.runtime
            .block_on(self.client.request(request.expect("a request")))
            .ok()
    }

    fn create(&self, name: &str) -> Option<String> {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"precious": "yes"}});
        Some(
            self.send("POST", "", &body)?["metadata"]["uid"]
                .as_str()?
                .to_owned(),
        )
    }

    /// Does it, if there is anything to do it to.
    fn act(&self, deed: &Deed) -> Left {
        match deed {
            Deed::Squat(name) => match self.create(name) {
                Some(uid) => Left::Theirs {
                    name: name.clone(),
                    uid,
                    swapped: false,
                },
                None => Left::Nothing,
            },
            Deed::Swap(name) => {
                if self.send("DELETE", name, &Value::Null).is_none() {
                    return Left::Nothing;
                }
                // The run may be quicker and create its own again.
                match self.create(name) {
                    Some(uid) => Left::Theirs {
                        name: name.clone(),
                        uid,
                        swapped: true,
                    },
                    None => Left::Nothing,
                }
            }
            Deed::Edit(of) => self.edit(of).unwrap_or(Left::Nothing),
        }
    }

    fn edit(&self, of: &str) -> Option<Left> {
        let list = self.send("GET", "", &Value::Null)?;
        let is_of = |body: &&Value| body["metadata"]["labels"]["kubectl-fabric.io/record"] == of;
        let mut body = list["items"].as_array()?.iter().rfind(is_of)?.clone();
        let name = body["metadata"]["name"].as_str()?.to_owned();
        let before = body["binaryData"]["release"].clone();
        let mut bytes = before.as_str()?.to_owned().into_bytes();
        let middle = bytes.len() / 2;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        let after = Value::String(String::from_utf8(bytes).ok()?);
        body["binaryData"]["release"] = after.clone();
        self.send("PUT", &name, &body)?;
        Some(Left::Edited {
            name,
            before,
            after,
        })
    }

    /// Takes back what is left of a deed.
    fn take_back(&self, left: &Left) {
        match left {
            Left::Nothing => {}
            Left::Theirs { name, .. } => drop(self.send("DELETE", name, &Value::Null)),
            Left::Edited {
                name,
                before,
                after,
            } => {
                let Some(mut body) = self.send("GET", name, &Value::Null) else {
                    return;
                };
                if body["binaryData"]["release"] == *after {
                    body["binaryData"]["release"] = before.clone();
                    self.send("PUT", name, &body).expect("it can be put back");
                }
            }
        }
    }
}

#[test]
fn a_hostile_writer_of_config_maps_loses_nothing_and_gains_nothing() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let all = std::env::var_os("KUBECTL_FABRIC_FAULTS").is_some();
    let seed = std::env::var("KUBECTL_FABRIC_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let walks = if seed.is_some() {
        1
    } else if all {
        40
    } else {
        3
    };
    let first = seed.unwrap_or_else(|| std::process::id().into());
    let file = world.cluster.folder().join("hostile.json");
    std::fs::write(&file, values(false)).expect("a file in a folder of ours");
    let outside = Outside::new(&world.cluster);
    let seeds: Vec<u64> = (first..first + walks).collect();
    for some in seeds.chunks(4) {
        std::thread::scope(|scope| {
            for seed in some {
                let (world, file) = (&world, &file);
                scope.spawn(move || walk(world, *seed, file));
            }
        });
    }
    outside.is_untouched(&world.cluster);
}

/// A namespace beside the release's, with objects under the same names.
struct Outside {
    namespace: String,
    before: Vec<Value>,
}

impl Outside {
    fn new(cluster: &Cluster) -> Outside {
        let namespace = cluster.create_namespace("outside");
        for name in NAMES {
            cluster
                .kubectl()
                .args(["-n", &namespace, "create", "configmap", name])
                .run()
                .success();
        }
        until("the cluster's own", || {
            (cluster.list("configmap", &namespace).len() == NAMES.len() + 1).then_some(())
        });
        Outside {
            before: cluster.list("configmap", &namespace),
            namespace,
        }
    }

    fn is_untouched(&self, cluster: &Cluster) {
        assert_eq!(cluster.list("configmap", &self.namespace), self.before);
    }
}

fn deed(random: &mut Random, next_revision: u64) -> Deed {
    let name = NAMES[random.below(3) as usize].to_owned();
    match random.below(8) {
        0..=2 => Deed::Squat(name),
        3 => Deed::Squat(format!("kubectl-fabric.v1.app.v{next_revision}")),
        4 | 5 => Deed::Swap(name),
        6 => Deed::Edit("release"),
        _ => Deed::Edit("chart"),
    }
}

fn walk(world: &World, seed: u64, file: &Path) {
    let eyes = Eyes::new(&world.cluster);
    let release = Release {
        cluster: &world.cluster,
        namespace: world.cluster.namespace(&format!("hostile{seed}")),
    };
    world
        .cluster
        .kubectl()
        .args(["create", "namespace", &release.namespace])
        .run()
        .success();
    let mallory = Mallory::new(&world.cluster, &release.namespace);
    let mut random = Random(seed);
    let mut story = vec![format!("KUBECTL_FABRIC_SEED={seed}")];
    let mut installed = 0;
    for operation in Operation::ALL {
        let next = eyes
            .look(&release.namespace)
            .history()
            .last()
            .map_or(0, |revision| revision.number)
            + 1;
        let (deed, at) = (deed(&mut random, next), random.below(45) as usize);
        let (proxy, kubeconfig) = world.proxy(Fault::None, usize::MAX);
        let over = AtomicBool::new(false);
        let (run, left) = std::thread::scope(|scope| {
            let acting = scope.spawn(|| {
                // An operation of fewer requests has its deed at its end.
                while proxy.seen() < at && !over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                mallory.act(&deed)
            });
            let run = release
                .operation(operation, file, installed)
                .args(["--timeout", "60s"])
                .env("KUBECONFIG", kubeconfig)
                .run();
            over.store(true, Ordering::SeqCst);
            (run, acting.join().expect("a deed that ends"))
        });
        story.push(format!(
            "{operation:?}, {deed:?} at request {at} of {}: {:?}",
            proxy.seen(),
            run.status
        ));
        let seen = eyes.look(&release.namespace);
        let told = |what: &str| format!("{what}\n{}\n{}", story.join("\n"), run.told());
        if let Left::Theirs { name, uid, swapped } = &left {
            assert_eq!(
                harm(&seen, name, uid),
                None,
                "{}",
                told("something of theirs was touched")
            );
            let wanted = wants(operation, name);
            assert!(
                run.status != Some(0) || *swapped || !wanted || after_the_write(&proxy, at),
                "{}",
                told("a wrong claim")
            );
        }
        mallory.take_back(&left);
        // The same command again. What succeeded is done, but what was swapped since is missing.
        let expected = operation.expected(false);
        let again = release.operation(operation, file, installed).run();
        let done = operation == Operation::Install && again.stderr.contains("already exists");
        let again = if done {
            release.command("upgrade", &[]).run()
        } else {
            again
        };
        assert_eq!(
            again.status,
            Some(0),
            "{}\n{}",
            told("it does not converge"),
            again.told()
        );
        let seen = eyes.look(&release.namespace);
        assert_eq!(
            seen.wrong(&expected),
            Vec::<String>::new(),
            "{}\n{}",
            told("it does not converge"),
            again.told()
        );
        if operation == Operation::Install {
            installed = seen.deployed().unwrap_or(0);
        }
    }
}

/// Whether an operation leaves an object of this name.
fn wants(operation: Operation, name: &str) -> bool {
    match (operation.expected(false), name) {
        (Expected::Deployed(objects), "old") => objects.old,
        (Expected::Deployed(objects), "new") => objects.new,
        (Expected::Deployed(_), "settings") => true,
        _ => false,
    }
}

/// Whether the deed came when the run had sent its last request.
fn after_the_write(proxy: &Proxy, at: usize) -> bool {
    at >= proxy.seen()
}

/// What became of an object of theirs, if anything did.
fn harm(seen: &Seen, name: &str, uid: &str) -> Option<String> {
    let Some(body) = seen.config_map(name) else {
        return Some(format!("{name} is gone"));
    };
    let managers = body["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let ours = managers
        .filter(|entry| entry["manager"] == "kubectl-fabric")
        .count();
    let same =
        body["metadata"]["uid"] == *uid && body["data"] == json!({"precious": "yes"}) && ours == 0;
    (!same || !body["metadata"]["labels"].is_null()).then(|| body.to_string())
}
