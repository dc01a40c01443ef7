//! Orderers are asked whether their group is whole before one is touched. No orderer runs here, so
//! the proxy answers for them, as a group would that takes its time to have each of them back;
//! tests/e2e has the real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::proxy::Fault;
use crate::support::{self, Invocation};
use crate::world::World;

/// How often an orderer has to be asked, after a change, until it is back. The last time it is
/// heard, and lacks blocks.
const ASKED: usize = 3;

/// A Raft group as its members' metrics show it.
struct Group {
    /// How often each member has still to be asked until it is back.
    away: BTreeMap<String, usize>,
    leader: String,
    /// Each member that was changed, with the others that were away then.
    changed: Vec<(String, Vec<String>)>,
}

impl Group {
    fn hear(&mut self, request: &str) -> Option<String> {
        let (verb, path) = request.split_once(' ')?;
        if let Some((_, rest)) = path
            .split_once("/statefulsets/")
            .filter(|_| verb == "PATCH" && !path.contains("dryRun"))
        {
            let name = rest.split('?').next()?.to_owned();
            let others = self
                .away
                .iter()
                .filter(|(other, left)| **left > 0 && **other != name)
                .map(|(other, _)| other.clone());
            self.changed.push((name.clone(), others.collect()));
            self.away.insert(name.clone(), ASKED);
            if self.leader == name {
                self.leader = self.away.keys().find(|other| **other != name)?.clone();
            }
            return None;
        }
        let pod = path
            .split_once("/pods/")
            .filter(|(_, rest)| rest.ends_with(":8443/proxy/metrics"))?
            .1;
        let name = pod.split("-0:").next()?;
        let left = self.away.get_mut(name)?;
        let (is_heard, blocks) = (*left <= 1, if *left == 0 { 90 } else { 10 });
        *left = left.saturating_sub(1);
        let (nodes, active) = (
            self.away.len(),
            self.away.values().filter(|left| **left <= 1).count(),
        );
        let (active, leads) = if is_heard {
            (active, u8::from(self.leader == name))
        } else {
            (0, 0)
        };
        Some(format!(
            "consensus_etcdraft_active_nodes{{channel=\"mychannel\"}} {active}\n\
             consensus_etcdraft_cluster_size{{channel=\"mychannel\"}} {nodes}\nconsensus_etcdraft_is_leader{{channel=\"mychannel\"}} {leads}\n\
             ledger_blockchain_height{{channel=\"mychannel\"}} {blocks}\n"
        ))
    }
}

/// An installed release of three orderers, and their group.
struct Orderers {
    world: World,
    namespace: String,
    group: Arc<Mutex<Group>>,
}

impl Orderers {
    fn install() -> Option<Orderers> {
        let world = World::new(support::cluster()?);
        let namespace = world.cluster.namespace("orgorderer1");
        let away = (0..3)
            .map(|number| (format!("orderer{number}"), 0))
            .collect();
        let group = Group {
            away,
            leader: "orderer0".to_owned(),
            changed: Vec::new(),
        };
        let orderers = Orderers {
            world,
            namespace,
            group: Arc::new(Mutex::new(group)),
        };
        orderers.command("install", &[]).run().success();
        Some(orderers)
    }

    fn command(&self, verb: &str, args: &[&str]) -> Invocation {
        self.world
            .cluster
            .fabric()
            .args([verb, "orgorderer1", "-n", &self.namespace])
            .args(args)
    }

    /// An upgrade that changes all of them, through a proxy that answers in their place.
    fn upgrade(&self, level: &str, args: &[&str]) -> support::Output {
        let (proxy, kubeconfig) = self.world.proxy(Fault::None, 0);
        let group = Arc::clone(&self.group);
        proxy.stand_in(move |request| group.lock().expect("nobody panics with it").hear(request));
        let level = format!("orderers.logging.spec={level}");
        self.command("upgrade", &[&["--set", &level], args].concat())
            .env("KUBECONFIG", &kubeconfig)
            .run()
    }

    fn changed(&self) -> Vec<(String, Vec<String>)> {
        std::mem::take(&mut self.group.lock().expect("nobody panics with it").changed)
    }
}

#[test]
fn an_orderer_changes_only_while_its_group_is_whole_and_the_leader_last() {
    let Some(orderers) = Orderers::install() else {
        return;
    };
    orderers.upgrade("debug", &[]).success();
    let order = ["orderer1", "orderer2", "orderer0"].map(|name| (name.to_owned(), Vec::new()));
    assert_eq!(orderers.changed(), order);
    let group = orderers.group.lock().expect("nobody panics with it");
    assert!(
        group.away.values().all(|left| *left == 0),
        "the last one is waited for, too"
    );
}

#[test]
fn an_orderer_outside_of_its_group_changes_first_and_one_of_others_stops_the_rollout() {
    let Some(orderers) = Orderers::install() else {
        return;
    };
    orderers
        .group
        .lock()
        .expect("nobody panics with it")
        .away
        .insert("orderer2".to_owned(), usize::MAX);
    // It is ready and alone: the change may be what it needs.
    let output = orderers.upgrade("debug", &[]).success();
    let order = ["orderer2", "orderer1", "orderer0"].map(|name| (name.to_owned(), Vec::new()));
    assert_eq!(orderers.changed(), order, "{}", output.stderr);

    // A consenter of another organization is away, and nothing here can bring it back.
    orderers
        .group
        .lock()
        .expect("nobody panics with it")
        .away
        .insert("orderer9".to_owned(), usize::MAX);
    let output = orderers.upgrade("warn", &["--timeout", "3s"]).exits(3);
    assert_eq!(orderers.changed(), [], "{}", output.stderr);
    for words in [
        "mychannel",
        "3 of 4 consenters are active",
        "--allow-down Channel/mychannel",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    orderers
        .upgrade("warn", &["--allow-down", "Channel/mychannel"])
        .success();
    assert_eq!(orderers.changed().len(), 3);
}
