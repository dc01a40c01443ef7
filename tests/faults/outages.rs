//! The server itself away, slow, or full, in the middle of an operation: on a cluster that nobody
//! else uses.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::invariants::{Expected, Eyes};
use crate::operations::{Operation, Release, values};
use crate::proxy::Fault;
use crate::secrets::post;
use crate::support::{self, Cluster, until};
use crate::world::World;

/// What is done to the server, and undone.
struct Outage {
    words: &'static str,
    begin: fn(&Cluster),
    /// How long it lasts at least.
    lasts: Duration,
    end: fn(&Cluster),
}

const OUTAGES: [Outage; 3] = [
    Outage {
        words: "API server stopped and started",
        begin: |cluster| cluster.part("stop", "apiserver"),
        lasts: Duration::ZERO,
        end: |cluster| cluster.part("start", "apiserver"),
    },
    Outage {
        words: "etcd stands still for 8 s",
        begin: |cluster| signal_etcd(cluster, "STOP"),
        lasts: Duration::from_secs(8),
        end: |cluster| signal_etcd(cluster, "CONT"),
    },
    Outage {
        words: "etcd out of space for 5 s",
        begin: |cluster| alarm(cluster, "ACTIVATE"),
        lasts: Duration::from_secs(5),
        end: |cluster| alarm(cluster, "DEACTIVATE"),
    },
];

fn signal_etcd(cluster: &Cluster, name: &str) {
    let process = std::fs::read_to_string(cluster.state().join("etcd.pid")).expect("etcd runs");
    let sent = Command::new("kill")
        .args([&format!("-{name}"), process.trim()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
}

/// The alarm that etcd raises itself when its quota is used up: it refuses every write until the
/// alarm is taken back.
fn alarm(cluster: &Cluster, action: &str) {
    let url =
        std::fs::read_to_string(cluster.state().join("etcd.url")).expect("the address of etcd");
    let address = url.trim().trim_start_matches("http://");
    post(
        address,
        "/v3/maintenance/alarm",
        &json!({"action": action, "alarm": "NOSPACE"}),
    );
}

#[test]
fn an_outage_of_the_server_is_outlived_or_made_up_for() {
    if std::env::var("KUBECTL_FABRIC_FAULTS").is_err() {
        return;
    }
    let Some(cluster) = support::cluster_to_break("test-broken") else {
        return;
    };
    let world = World::new(cluster);
    let eyes = Eyes::new(&world.cluster);
    let file = world.cluster.folder().join("values.json");
    std::fs::write(&file, values(false)).expect("a file in a folder of ours");
    for (index, outage) in OUTAGES.iter().enumerate() {
        let release = Release {
            cluster: &world.cluster,
            namespace: world.cluster.namespace(&format!("outage{index}")),
        };
        let mut installed = 0;
        for operation in Operation::ALL {
            let (proxy, kubeconfig) = world.proxy(Fault::None, 0);
            let first = release
                .operation(operation, &file, installed)
                .env("KUBECONFIG", kubeconfig)
                .spawn();
            until("the middle of the operation", || {
                (proxy.seen() >= 22).then_some(())
            });
            (outage.begin)(&world.cluster);
            std::thread::sleep(outage.lasts);
            (outage.end)(&world.cluster);
            let first = first.wait_with_output().expect("a child of ours");
            let told = format!(
                "{}, {}\n{}",
                outage.words,
                operation.word(),
                String::from_utf8_lossy(&first.stderr)
            );
            if !first.status.success() {
                let again = release.operation(operation, &file, installed).run();
                let already =
                    operation == Operation::Install && again.stderr.contains("already exists");
                assert!(
                    again.status == Some(0) || already,
                    "{told}\n{}",
                    again.told()
                );
            }
            let seen = eyes.look(&release.namespace);
            assert_eq!(
                seen.wrong(&operation.expected(false)),
                Vec::<String>::new(),
                "{told}"
            );
            support::tell(&format!(
                "| {} | {} | {} |",
                outage.words,
                operation.word(),
                if first.status.success() {
                    "survived"
                } else {
                    "repeated"
                }
            ));
            if operation == Operation::Install {
                installed = seen.deployed().unwrap_or(0);
            }
            if operation.expected(false) == Expected::Uninstalled {
                break;
            }
        }
    }
}
