//! An uninstall that is killed while it deletes the records, and then an install instead of the
//! same uninstall.

use crate::invariants::{Expected, Eyes, Objects};
use crate::operations::{Release, chart, values};
use crate::proxy::Fault;
use crate::support;
use crate::world::World;

/// A release with a history, and the uninstall of it with a fault; returns whether that struck, and
/// the requests.
fn uninstall(
    world: &World,
    release: &Release,
    file: &str,
    fault: Fault,
    at: usize,
) -> (bool, Vec<String>) {
    install(release, file, "one").run().success();
    for level in ["two", "three"] {
        release
            .command(
                "upgrade",
                &["--no-hooks", "--set", &format!("level={level}")],
            )
            .run()
            .success();
    }
    let (proxy, kubeconfig) = world.proxy(fault, at);
    release
        .command("uninstall", &["--no-hooks"])
        .env("KUBECONFIG", kubeconfig)
        .run_as(|process| proxy.serve(process));
    proxy.settle();
    (proxy.struck(), proxy.requests())
}

fn install(release: &Release, file: &str, level: &str) -> support::Invocation {
    release.command(
        "install",
        &[
            "--no-hooks",
            "--chart",
            &chart(),
            "-f",
            file,
            "--set",
            &format!("nodes=0,level={level}"),
        ],
    )
}

#[test]
fn an_install_finishes_the_uninstall_that_was_killed() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let all = std::env::var_os("KUBECTL_FABRIC_FAULTS").is_some();
    // A record of two parts, beside the chart, which is kept once.
    let path = world.cluster.folder().join("purge.json");
    std::fs::write(&path, values(true)).expect("a file in a folder of ours");
    let file = path.display().to_string();
    let release = |name: &str| Release {
        cluster: &world.cluster,
        namespace: world.cluster.namespace(name),
    };
    let (_, requests) = uninstall(&world, &release("counted"), &file, Fault::None, 0);
    let deletes_record =
        |line: &String| line.starts_with("DELETE ") && line.contains("/kubectl-fabric.v1.");
    let first = requests
        .iter()
        .position(deletes_record)
        .expect("records are deleted")
        + 1;
    let last = requests
        .iter()
        .rposition(deletes_record)
        .expect("records are deleted")
        + 1;
    assert!(last - first >= 8, "{requests:#?}");
    // How often the lock is renewed depends on the time, so the numbers may differ by some.
    let places =
        (first - 1..=last + 1).flat_map(|at| [(Fault::Killed, at), (Fault::KilledAfter, at)]);
    let places: Vec<(Fault, usize)> = places
        .enumerate()
        .filter(|(index, _)| all || index % 5 == 3)
        .map(|(_, place)| place)
        .collect();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (world, file, places, requests) = (&world, &file, &places, &requests);
            scope.spawn(move || {
                let eyes = Eyes::new(&world.cluster);
                for (fault, at) in places.iter().skip(worker).step_by(4) {
                    let release = release(&format!(
                        "purge{at}-{}",
                        if *fault == Fault::Killed {
                            "before"
                        } else {
                            "after"
                        }
                    ));
                    let (struck, _) = uninstall(world, &release, file, *fault, *at);
                    let history = eyes.look(&release.namespace).history();
                    let words = format!(
                        "{fault:?} at {at}, {}: {history:?}",
                        requests.get(at - 1).map_or("", String::as_str)
                    );
                    let newest = history.last().map_or("", |newest| newest.status.as_str());
                    if newest == "uninstalled" {
                        assert!(struck, "{words}");
                        let back = release.command("rollback", &[]).run();
                        assert!(
                            back.status == Some(1) && back.stderr.contains("is uninstalled"),
                            "{words}\n{}",
                            back.told()
                        );
                    }
                    let run = install(&release, file, "four").run();
                    assert_eq!(run.status, Some(0), "{words}\n{}", run.told());
                    assert!(
                        !run.stderr.contains("not cleaned up"),
                        "{words}\n{}",
                        run.told()
                    );
                    let seen = eyes.look(&release.namespace);
                    let image = "registry.example/node:1".to_owned();
                    let wanted = Objects {
                        level: "four".to_owned(),
                        image,
                        old: true,
                        new: false,
                        nodes: 0,
                        bulk: true,
                    };
                    assert_eq!(
                        seen.wrong(&Expected::Deployed(wanted)),
                        Vec::<String>::new(),
                        "{words}"
                    );
                    assert!(
                        newest == "uninstalling" || seen.history().len() == 1,
                        "{words}"
                    );
                }
            });
        }
    });
}
