//! Orderers that are changed while they order: how many are in their group at any moment, as their
//! own metrics tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio::runtime::{Builder, Runtime};

use crate::network::{Network, orderer};
use crate::support::until;

/// Between two looks at all orderers.
const EVERY: Duration = Duration::from_millis(200);
/// An orderer that has not answered by then is busy: the look before counts.
const ANSWER: Duration = Duration::from_secs(5);
/// Transactions under way at once. One client waits until each of its own is committed, the others
/// keep the orderers busy.
const CLIENTS: usize = 3;

/// What was seen beside some work.
pub struct Seen {
    pub took: Duration,
    /// How many transactions were acknowledged: by an orderer, and by a peer that has committed
    /// them.
    pub acknowledged: [usize; 2],
    /// The longest time without an acknowledgement: by orderers, by peers.
    pub silences: [Duration; 2],
    /// The longest time in which no orderer had a new block.
    pub longest_gap: Duration,
    /// Who said that it leads, and when it did first.
    leaders: Vec<(Duration, usize)>,
    /// Who led when it was changed.
    pub led: Vec<String>,
    pub looks: usize,
    /// The fewest orderers that were in the group at once.
    pub fewest: usize,
    /// How long each orderer took from its first answer until it was in the group.
    pub returns: Vec<Duration>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen {
            took,
            acknowledged: [ordered, committed],
            silences,
            longest_gap,
            leaders,
            led,
            looks,
            fewest,
            returns,
        } = self;
        write!(
            f,
            "{took:.1?}; {ordered} transactions ordered, {committed} awaited until committed; at most {longest_gap:.1?} without a block, \
             {silences:.1?} without an acknowledgement; {fewest} orderers at least in {looks} looks, back after {returns:.1?}; \
             leaders {leaders:.1?}, changed while it led: {led:?}"
        )
    }
}

/// Ends what runs beside the work when the work ends, however it does.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Does some work while clients send transactions, and looks at the orderers all the while.
pub fn under_load(network: &Network<'_>, name: &str, work: impl FnOnce()) -> Seen {
    let mut group = Group::of(network);
    until("all orderers to be in their group", || {
        (group.look() == network.consensus.orderers).then_some(())
    });
    group.begin();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let ends = Stop(&stop);
        let stopped = &stop;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope
                    .spawn(move || send(network, &format!("{name}{client}x"), client == 0, stopped))
            })
            .collect();
        let group = scope.spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                group.look();
                thread::sleep(EVERY);
            }
            group
        });
        let began = Instant::now();
        work();
        let end = Instant::now();
        drop(ends);
        let sent: Vec<Vec<Instant>> = clients
            .into_iter()
            .map(|client| client.join().expect("a client that does not fail"))
            .collect();
        let (committed, ordered) = (sent[0].clone(), sent[1..].concat());
        let Group {
            longest_gap,
            looks,
            fewest,
            returns,
            leaders,
            led,
            ..
        } = group.join().expect("looks that do not fail");
        Seen {
            took: end - began,
            acknowledged: [ordered.len(), committed.len()],
            silences: [
                longest_silence(began, ordered, end),
                longest_silence(began, committed, end),
            ],
            longest_gap,
            leaders: leaders
                .into_iter()
                .map(|(at, leader)| (at.saturating_duration_since(began), leader))
                .collect(),
            led,
            looks,
            fewest,
            returns,
        }
    })
}

fn longest_silence(began: Instant, mut at: Vec<Instant>, end: Instant) -> Duration {
    at.extend([began, end]);
    at.sort();
    at.windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default()
}

/// Sends transactions, one after the other: when each was acknowledged.
fn send(network: &Network<'_>, name: &str, waits: bool, stop: &AtomicBool) -> Vec<Instant> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        // Each asks another orderer, and the next one if that one is away.
        let ask = orderer(number % network.consensus.orderers);
        let definition = format!(
            "-C mychannel -n {name}{number} -v 1 --sequence 1 --waitForEvent={waits} --waitForEventTimeout 10s"
        );
        if network
            .node
            .try_cli(
                "org1",
                &format!("peer lifecycle chaincode approveformyorg {definition} {ask}"),
            )
            .is_some()
        {
            acknowledged.push(Instant::now());
        }
    }
    acknowledged
}

/// One orderer's answer.
#[derive(Clone)]
struct Answer {
    /// When its process began.
    process: String,
    /// Whether it counts itself and all others as active.
    whole: bool,
    leads: bool,
    blocks: u64,
}

/// How an orderer answers: `None` where it does not run.
type Look = Option<Answer>;

/// The orderers' Raft metrics. A process is in the group from when it first counts all members as
/// active, until it no longer answers; that a leader is elected meanwhile does not take it out.
struct Group {
    runtime: Runtime,
    client: Client,
    first_answers: BTreeMap<(usize, String), Instant>,
    joined: BTreeSet<(usize, String)>,
    last: Vec<Look>,
    blocks: u64,
    grew: Instant,
    longest_gap: Duration,
    looks: usize,
    fewest: usize,
    returns: Vec<Duration>,
    leaders: Vec<(Instant, usize)>,
    led: Vec<String>,
}

impl Group {
    fn of(network: &Network<'_>) -> Group {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(async {
            let kubeconfig =
                Kubeconfig::read_from(network.node.cluster.kubeconfig()).expect("a kubeconfig");
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .expect("a context");
            Client::try_from(config).expect("a client")
        });
        Group {
            runtime,
            client,
            first_answers: BTreeMap::new(),
            joined: BTreeSet::new(),
            last: vec![None; network.consensus.orderers],
            blocks: 0,
            grew: Instant::now(),
            longest_gap: Duration::ZERO,
            looks: 0,
            fewest: network.consensus.orderers,
            returns: Vec::new(),
            leaders: Vec::new(),
            led: Vec::new(),
        }
    }

    /// From now on it counts.
    fn begin(&mut self) {
        self.grew = Instant::now();
        self.longest_gap = Duration::ZERO;
        self.looks = 0;
        self.fewest = self.last.len();
        self.returns.clear();
    }

    /// Asks all, and returns how many are in the group.
    fn look(&mut self) -> usize {
        let asked = (0..self.last.len())
            .map(|number| tokio::time::timeout(ANSWER, ask(&self.client, number)));
        let answers = self.runtime.block_on(async { join_all(asked).await });
        for (number, answer) in answers.into_iter().enumerate() {
            // One that takes its time to answer is as it was, unless its pod is on its way out:
            // then its address may be nobody's.
            let answer = match answer {
                Ok(answer) => answer,
                Err(_) if self.runtime.block_on(is_leaving(&self.client, number)) => None,
                Err(_) => continue,
            };
            let before = std::mem::replace(&mut self.last[number], answer);
            let (led, leads) = (
                before.as_ref().is_some_and(|it| it.leads),
                self.last[number].as_ref().is_some_and(|it| it.leads),
            );
            let process = |look: &Look| look.as_ref().map(|answer| answer.process.clone());
            let is_another = process(&before) != process(&self.last[number]);
            if led && is_another {
                self.led.push(format!("orderer{number}"));
            }
            if leads && (!led || is_another) {
                self.leaders.push((Instant::now(), number));
            }
        }
        let now = Instant::now();
        let mut inside = 0;
        for (number, answer) in self.last.iter().enumerate() {
            let Some(Answer {
                process,
                whole,
                blocks,
                ..
            }) = answer
            else {
                continue;
            };
            let key = (number, process.clone());
            let since = *self.first_answers.entry(key.clone()).or_insert(now);
            if *whole && self.joined.insert(key.clone()) {
                self.returns.push(now - since);
            }
            inside += usize::from(self.joined.contains(&key));
            if *blocks > self.blocks {
                self.blocks = *blocks;
                self.longest_gap = self.longest_gap.max(now - self.grew);
                self.grew = now;
            }
        }
        self.looks += 1;
        self.fewest = self.fewest.min(inside);
        inside
    }
}

async fn is_leaving(client: &Client, number: usize) -> bool {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "orgorderer1");
    let pod = pods.get_opt(&format!("orderer{number}-0")).await;
    pod.is_ok_and(|pod| pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()))
}

async fn ask(client: &Client, number: usize) -> Look {
    let path = format!("/api/v1/namespaces/orgorderer1/pods/orderer{number}-0:8443/proxy/metrics");
    let request = http::Request::get(path).body(Vec::new()).expect("a path");
    let text = client.request_text(request).await.ok()?;
    let metric = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    let of_channel = |name: &str| metric(&format!("{name}{{channel=\"mychannel\"}}"));
    let active = of_channel("consensus_etcdraft_active_nodes");
    Some(Answer {
        process: metric("process_start_time_seconds")?.to_owned(),
        whole: active.is_some() && active == of_channel("consensus_etcdraft_cluster_size"),
        leads: of_channel("consensus_etcdraft_is_leader") == Some("1"),
        blocks: of_channel("ledger_blockchain_height")
            .and_then(|blocks| blocks.parse().ok())
            .unwrap_or(0),
    })
}
