//! The first install of an organization makes its identities. Killed at any request, the same
//! install ends it: a channel pins an orderer's certificate, but no channel has one that was never
//! created.

use crate::operations::Release;
use crate::proxy::Fault;
use crate::support;
use crate::world::World;

const CHARTS: [(&str, &str); 2] = [
    (
        "orderer-org",
        "orderers.count=1,orderers.consensus=etcdraft",
    ),
    ("peer-org", "peers.count=1"),
];

struct Install<'a> {
    world: &'a World,
    chart: &'static str,
    values: &'static str,
}

impl Install<'_> {
    fn release(&self, name: &str) -> Release<'_> {
        let cluster = &self.world.cluster;
        let namespace = cluster.namespace(&format!("{}-{name}", self.chart));
        Release { cluster, namespace }
    }

    fn of(&self, release: &Release) -> support::Invocation {
        let arguments = ["--chart", self.chart, "--wait=false", "--set", self.values];
        release.command("install", &arguments)
    }

    /// Installs with a fault at a request. Returns the requests.
    fn with(&self, release: &Release, fault: Fault, at: usize) -> Vec<String> {
        let (proxy, kubeconfig) = self.world.proxy(fault, at);
        self.of(release)
            .env("KUBECONFIG", kubeconfig)
            .run_as(|process| proxy.serve(process));
        proxy.settle();
        proxy.requests()
    }

    fn is_ended_by_the_same(&self, step: usize) {
        let requests = self.with(&self.release("counted"), Fault::None, 0);
        let makes_keys = |line: &String| line.starts_with("PATCH ") && line.contains("-tls?");
        assert!(requests.iter().any(makes_keys), "{requests:#?}");
        for at in (1..=requests.len()).step_by(step) {
            let release = self.release(&format!("killed{at}"));
            self.with(&release, Fault::KilledAfter, at);
            let run = self.of(&release).run();
            let request = &requests[at - 1];
            assert_eq!(run.status, Some(0), "after {request}\n{}", run.told());
        }
    }
}

#[test]
fn a_killed_first_install_of_an_organization_is_ended_by_the_same_install() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let step = match std::env::var_os("KUBECTL_FABRIC_FAULTS") {
        Some(_) => 1,
        None => 5,
    };
    std::thread::scope(|scope| {
        for (chart, values) in CHARTS {
            let world = &world;
            let install = Install {
                world,
                chart,
                values,
            };
            scope.spawn(move || install.is_ended_by_the_same(step));
        }
    });
}
