//! Orderers that are changed while they order: how many are in their group at any moment, as their own metrics tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::network::{Network, orderer};

/// Between two looks at all orderers.
const EVERY: Duration = Duration::from_millis(200);
/// An orderer that has not answered by then is busy: the look before counts.
const ANSWER: Duration = Duration::from_secs(5);

/// Work beside a rollout, until it is ended.
pub struct Beside<'s, T> {
    work: ScopedJoinHandle<'s, T>,
    stop: &'s AtomicBool,
}

impl<T> Beside<'_, T> {
    pub fn end(self) -> T {
        self.stop.store(true, Ordering::SeqCst);
        self.work.join().expect("work that does not fail")
    }
}

/// Transactions, one after the other: when each was committed.
pub fn load<'s, 'e>(scope: &'s Scope<'s, 'e>, network: &'s Network<'_>, stop: &'s AtomicBool) -> Beside<'s, Vec<Instant>> {
    let work = scope.spawn(move || {
        let mut committed = Vec::new();
        for number in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            // Each asks another orderer, and the next one if that one is away.
            let ask = orderer(number % network.consensus.orderers);
            let definition = format!("-C mychannel -n load{number} -v 1 --sequence 1");
            if network.node.try_cli("org1", &format!("peer lifecycle chaincode approveformyorg {definition} {ask}")).is_some() {
                committed.push(Instant::now());
            }
        }
        committed
    });
    Beside { work, stop }
}

/// The longest time without a commit.
pub fn longest_gap(committed: &[Instant]) -> Duration {
    committed.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// What the looks at a group showed.
#[derive(Debug)]
pub struct Group {
    pub looks: usize,
    /// The fewest orderers that were in the group at once.
    pub fewest: usize,
    /// How long each orderer took from its first answer until it was in the group.
    pub returns: Vec<Duration>,
}

/// One orderer's answer: when its process began, and whether it counts itself and all others as active.
type Answer = Option<(String, bool)>;

/// Looks at the orderers' Raft metrics again and again. A process is in the group from when it first counts all members as active, until
/// it no longer answers; that a leader is elected meanwhile does not take it out.
pub fn watch<'s, 'e>(scope: &'s Scope<'s, 'e>, network: &'s Network<'_>, stop: &'s AtomicBool) -> Beside<'s, Group> {
    let kubeconfig = network.node.cluster.kubeconfig();
    let orderers = network.consensus.orderers;
    let work = scope.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = runtime.block_on(async {
            let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a context");
            kube::Client::try_from(config).expect("a client")
        });
        let mut group = Group { looks: 0, fewest: orderers, returns: Vec::new() };
        let mut first_answers: BTreeMap<(usize, String), Instant> = BTreeMap::new();
        let mut joined: BTreeSet<(usize, String)> = BTreeSet::new();
        let mut last: Vec<Answer> = vec![None; orderers];
        while !stop.load(Ordering::SeqCst) {
            let asked = (0..orderers).map(|number| tokio::time::timeout(ANSWER, ask(&client, number)));
            let answers = runtime.block_on(async { join_all(asked).await });
            for (number, answer) in answers.into_iter().enumerate() {
                if let Ok(answer) = answer {
                    last[number] = answer;
                }
            }
            let now = Instant::now();
            for (number, answer) in last.iter().enumerate() {
                let Some((process, whole)) = answer else { continue };
                let key = (number, process.clone());
                let since = *first_answers.entry(key.clone()).or_insert(now);
                // The first look finds a group that is whole already.
                if *whole && joined.insert(key) && group.looks > 0 {
                    group.returns.push(now - since);
                }
            }
            let inside = |(number, answer): &(usize, &Answer)| {
                answer.as_ref().is_some_and(|(process, _)| joined.contains(&(*number, process.clone())))
            };
            group.fewest = group.fewest.min(last.iter().enumerate().filter(inside).count());
            group.looks += 1;
            thread::sleep(EVERY);
        }
        group
    });
    Beside { work, stop }
}

async fn ask(client: &kube::Client, number: usize) -> Answer {
    let path = format!("/api/v1/namespaces/orgorderer1/pods/orderer{number}-0:8443/proxy/metrics");
    let request = http::Request::get(path).body(Vec::new()).expect("a path");
    let text = client.request_text(request).await.ok()?;
    let metric = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let of_channel = |name: &str| metric(&format!("consensus_etcdraft_{name}{{channel=\"mychannel\"}}"));
    let process = metric("process_start_time_seconds")?.to_owned();
    Some((process, of_channel("active_nodes").is_some_and(|active| Some(active) == of_channel("cluster_size"))))
}
