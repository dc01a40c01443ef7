//! Writes of a run that has lost its lock: stopped in the process, or late on their way to the
//! server.

use std::fmt::Write;
use std::process::Child;
use std::time::Duration;

use crate::concurrency::{installed, signal, small};
use crate::invariants::Eyes;
use crate::operations::Release;
use crate::proxy::Fault;
use crate::support::{self, Output, until};
use crate::world::World;

/// A run on another machine: no file tells it that the holder of the lock is alive or dead.
fn take_over(release: &Release, args: &[&str]) -> Output {
    let home = release.cluster.folder().join("elsewhere");
    std::fs::create_dir_all(&home).expect("a folder of ours");
    let run = release
        .command("upgrade", args)
        .env("HOME", home)
        .run()
        .success();
    assert!(
        run.stderr.contains("was interrupted (pending-upgrade)"),
        "{}",
        run.told()
    );
    run
}

/// What a run says that lost its lock, when it has ended.
fn ended(run: Child) -> String {
    let output = run.wait_with_output().expect("a child of ours");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    said
}

fn told_of_the_loss(said: &str) {
    let words = [
        "the lock of release \"app\" was lost",
        "may have happened after another run took over",
        "kubectl fabric drift app",
    ];
    for words in words {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_write_that_is_late_on_its_way_changes_nothing_that_the_next_run_wrote() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = installed(&world);
    let (proxy, kubeconfig) = world.proxy(Fault::Held("/configmaps/settings?"), 0);
    let late = release
        .command("upgrade", &["--set", "level=late"])
        .env("KUBECONFIG", &kubeconfig)
        .spawn();
    until("the write to be on its way", || {
        proxy.struck().then_some(())
    });
    signal(late.id(), "STOP");
    take_over(&release, &["--set", "level=next"]);
    proxy.let_go();
    proxy.settle();
    let eyes = Eyes::new(&world.cluster);
    let wrong = || eyes.look(&release.namespace).wrong(&small("next"));
    assert_eq!(
        wrong(),
        Vec::<String>::new(),
        "when it has reached the server"
    );
    signal(late.id(), "CONT");
    let said = ended(late);
    assert_eq!(
        wrong(),
        Vec::<String>::new(),
        "when its sender woke: {said}"
    );
    told_of_the_loss(&said);
}

/// More than are written at once, so that the run is in the middle of them wherever it is stopped.
const MANY: usize = 200;

#[test]
fn a_run_that_is_stopped_anywhere_and_wakes_after_another_one_leaves_that_ones_work() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = Release {
        cluster: &world.cluster,
        namespace: world.cluster.namespace("app"),
    };
    let chart = world.cluster.folder().join("many");
    std::fs::create_dir_all(chart.join("templates")).expect("a folder of ours");
    let file = |name: &str, text: &str| {
        std::fs::write(chart.join(name), text).expect("a file in a folder of ours")
    };
    file("Chart.yaml", "apiVersion: v2\nname: many\nversion: 0.1.0\n");
    file("values.yaml", "level: one\n");
    let mut template = String::new();
    for number in 0..MANY {
        let head =
            format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: many-{number}}}\n");
        writeln!(template, "{head}data: {{level: {{{{ values.level }}}}}}").expect("a text");
    }
    file("templates/many.yaml", &template);
    release
        .command("install", &["--chart", &chart.display().to_string()])
        .run()
        .success();
    let eyes = Eyes::new(&world.cluster);
    let rounds = if std::env::var_os("KUBECTL_FABRIC_FAULTS").is_some() {
        20
    } else {
        2
    };
    let mut stopped = 0;
    for round in 0..10 * rounds {
        let at = |level: &str| {
            let seen = eyes.get(&format!(
                "/api/v1/namespaces/{}/configmaps",
                release.namespace
            ));
            let items = seen["items"].as_array().cloned().unwrap_or_default();
            items
                .iter()
                .filter(|item| item["data"]["level"] == level)
                .count()
        };
        let (slow, next) = (format!("slow{round}"), format!("next{round}"));
        let run = release
            .command("upgrade", &["--set", &format!("level={slow}")])
            .spawn();
        until("some of the writes", || {
            (at(&slow) > round * 17 % (MANY / 2)).then_some(())
        });
        std::thread::sleep(Duration::from_micros(round as u64 * 1371 % 7000));
        signal(run.id(), "STOP");
        if at(&slow) == MANY {
            // Too late: it had written everything.
            signal(run.id(), "CONT");
            run.wait_with_output().expect("a child of ours");
            continue;
        }
        take_over(&release, &["--set", &format!("level={next}")]);
        signal(run.id(), "CONT");
        let said = ended(run);
        assert_eq!(
            at(&next),
            MANY,
            "round {round}: {} of the run that had lost its lock",
            at(&slow)
        );
        told_of_the_loss(&said);
        stopped += 1;
        if stopped == rounds {
            return;
        }
    }
    panic!("only {stopped} of the runs could be stopped in the middle of their writes");
}
