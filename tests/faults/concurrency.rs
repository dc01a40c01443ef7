//! Many runs at once on one release: one at a time wins, the others are told, and no revision is
//! lost.

use std::process::Command;

use crate::invariants::{Expected, Eyes, Objects};
use crate::operations::{Release, chart};
use crate::proxy::Fault;
use crate::support::{self, until};
use crate::world::World;

pub fn small(level: &str) -> Expected {
    let image = "registry.example/node:1".to_owned();
    Expected::Deployed(Objects {
        level: level.to_owned(),
        image,
        old: true,
        new: false,
        nodes: 0,
        bulk: false,
    })
}

pub fn installed(world: &World) -> Release<'_> {
    let release = Release {
        cluster: &world.cluster,
        namespace: world.cluster.namespace("app"),
    };
    let values = world.cluster.folder().join("values.json");
    std::fs::write(&values, crate::operations::values(false)).expect("a file in a folder of ours");
    let values = values.display().to_string();
    release
        .command(
            "install",
            &["--chart", &chart(), "-f", &values, "--set", "nodes=0"],
        )
        .run()
        .success();
    release
}

#[test]
fn of_fifty_runs_at_once_each_wins_or_is_reported_and_no_revision_is_lost() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = installed(&world);
    let upgrade = |run: usize| {
        release
            .command(
                "upgrade",
                &["--history-max", "0", "--set", &format!("level=run{run}")],
            )
            .spawn()
    };
    let runs: Vec<_> = (0..50).map(upgrade).collect();
    let ended: Vec<_> = runs
        .into_iter()
        .map(|run| run.wait_with_output().expect("a child of ours"))
        .collect();
    let won: Vec<usize> = (0..50)
        .filter(|run| ended[*run].status.code() == Some(0))
        .collect();
    for run in ended.iter().filter(|run| run.status.code() != Some(0)) {
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(4), "{said}");
        assert!(
            said.contains("another upgrade of release \"app\" is running")
                || said.contains("changes its holder too often"),
            "{said}"
        );
    }
    let seen = Eyes::new(&world.cluster).look(&release.namespace);
    assert_eq!(seen.history().len(), 1 + won.len(), "{:?}", seen.history());
    let wrong = won
        .iter()
        .map(|run| seen.wrong(&small(&format!("run{run}"))))
        .min_by_key(Vec::len);
    assert_eq!(
        wrong,
        Some(Vec::new()),
        "the objects are those of one of the winners, {won:?}"
    );
    assert_eq!(
        seen.recorded_level().as_deref(),
        seen.level(),
        "and of the one that is deployed"
    );
}

#[test]
fn an_upgrade_and_a_rollback_at_once_leave_one_of_both() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = installed(&world);
    let eyes = Eyes::new(&world.cluster);
    for round in 0..5 {
        let level = format!("round{round}");
        let upgrade = release
            .command("upgrade", &["--set", &format!("level={level}")])
            .spawn();
        let rollback = release
            .command("rollback", &["1", "--history-max", "0"])
            .spawn();
        let codes = [upgrade, rollback].map(|run| {
            run.wait_with_output()
                .expect("a child of ours")
                .status
                .code()
        });
        assert!(
            codes.contains(&Some(0)) && codes.iter().all(|code| matches!(code, Some(0 | 4))),
            "{codes:?}"
        );
        let seen = eyes.look(&release.namespace);
        let wrong = [small(&level), small("one")].map(|expected| seen.wrong(&expected));
        assert!(wrong.iter().any(Vec::is_empty), "{wrong:?}");
        assert_eq!(seen.recorded_level().as_deref(), seen.level());
    }
}

#[test]
fn a_holder_that_slept_past_its_lock_writes_nothing_when_it_wakes() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = installed(&world);
    let eyes = Eyes::new(&world.cluster);
    let (proxy, kubeconfig) = world.proxy(Fault::None, 0);
    // It waits for a pod that does not come.
    let waiting = ["--set", "nodes=1,state=pending,level=sleeper,new=true"];
    let sleeper = release
        .command("upgrade", &waiting)
        .env("KUBECONFIG", &kubeconfig)
        .spawn();
    until("the node to be there", || {
        world
            .cluster
            .get("statefulset", "node0", Some(&release.namespace))
    });
    signal(sleeper.id(), "STOP");
    proxy.settle();
    let next = until("the lock to be given up", || {
        let run = release
            .command("upgrade", &["--set", "nodes=0,level=next"])
            .run();
        assert!(matches!(run.status, Some(0 | 4)), "{}", run.told());
        (run.status == Some(0)).then_some(run)
    });
    assert!(
        next.stderr.contains("revision 2 was interrupted"),
        "{}",
        next.told()
    );
    let asleep = proxy.requests().len();
    signal(sleeper.id(), "CONT");
    let woken = sleeper.wait_with_output().expect("a child of ours");
    assert_eq!(
        woken.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&woken.stderr)
    );
    // To ask for the renewal of its lock is the one write it tries, and that is refused.
    let wrote = |request: &String| !request.starts_with("GET ") && !request.contains("/leases/");
    let written: Vec<String> = proxy.requests().drain(asleep..).filter(wrote).collect();
    assert_eq!(written, Vec::<String>::new());
    assert_eq!(
        eyes.look(&release.namespace).wrong(&small("next")),
        Vec::<String>::new()
    );
    let statuses: Vec<String> = eyes
        .look(&release.namespace)
        .history()
        .into_iter()
        .map(|revision| revision.status)
        .collect();
    assert_eq!(statuses, ["superseded", "failed", "deployed"]);
}

#[test]
fn a_run_whose_lock_was_gone_before_its_end_reports_no_success() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = installed(&world);
    let upgrade = |level: &str| release.command("upgrade", &["--set", &format!("level={level}")]);
    let lock = |requests: &[String]| {
        requests
            .iter()
            .position(|request| request.starts_with("POST ") && request.contains("/leases"))
    };
    let (proxy, kubeconfig) = world.proxy(Fault::None, 0);
    upgrade("two").env("KUBECONFIG", kubeconfig).run().success();
    let requests = proxy.requests();
    let taken = lock(&requests).expect("a lock");
    // Soon after the lock, so that it is gone while the rest is done. On a machine without other
    // work the run ends before its first renewal is due.
    let stall = Fault::Stalled(std::time::Duration::from_millis(1500));
    let (proxy, kubeconfig) = world.proxy(stall, taken + 3);
    let run = upgrade("three").env("KUBECONFIG", kubeconfig).spawn();
    until("the lock", || lock(&proxy.requests()));
    let delete = [
        "-n",
        &release.namespace,
        "delete",
        "lease",
        "kubectl-fabric.app",
    ];
    until("the lock to be deleted", || {
        (world.cluster.kubectl().args(delete).run().status == Some(0)).then_some(())
    });
    let output = run.wait_with_output().expect("a child of ours");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("the lock of release \"app\" was lost")
            && said.contains("its Lease was deleted"),
        "{said}"
    );
    upgrade("four").run().success();
    assert_eq!(
        Eyes::new(&world.cluster)
            .look(&release.namespace)
            .wrong(&small("four")),
        Vec::<String>::new()
    );
}

#[test]
fn a_hook_that_an_interrupted_run_left_is_made_anew() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let release = installed(&world);
    // A hook that fails is left, as one of a run that was killed is.
    release
        .command("upgrade", &["--set", "level=two,fail=after"])
        .run()
        .exits(3);
    let (proxy, kubeconfig) = world.proxy(Fault::None, 0);
    release
        .command("upgrade", &["--set", "level=two,fail="])
        .env("KUBECONFIG", kubeconfig)
        .run()
        .success();
    let requests = proxy.requests();
    let first = |verb: &str| {
        let of_the_hook = |request: &String| {
            request.starts_with(verb)
                && request.contains("/jobs/after")
                && !request.contains("dryRun")
        };
        requests
            .iter()
            .position(of_the_hook)
            .unwrap_or_else(|| panic!("{verb}: {requests:#?}"))
    };
    assert!(
        first("DELETE") < first("PATCH"),
        "whatever its policy: {requests:#?}"
    );
}

pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success());
}
