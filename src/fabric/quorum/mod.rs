//! Determines from orderers' metrics whether they have rejoined their channels' consensus groups.
//!
//! An orderer answers `/healthz` before it has rejoined its Raft groups: 2 to 36 s earlier, as
//! measured with 2.5.16. The leader has to connect to it again, and the longer an orderer is down,
//! the longer gRPC's client waits between attempts (1 s, multiplied by 1.6 each time, up to 120 s).
//! An attempt to reach the old pod's address takes 20 s to fail. Fabric has no setting for either
//! (`internal/pkg/comm/config.go`).
//!
//! The group counts an orderer as active as soon as the leader hears from it. The leader sends this
//! count to each follower every four ticks (`orderer/consensus/etcdraft/tracker.go`). If an orderer
//! reports all nodes of its channel as active, it hears the leader, and the leader hears all nodes.
//! An active orderer may still lack blocks, and the group cannot order with it until it has them.
//! Therefore blocks are compared as well.
//!
//! | metric | 1.4 | 2.x | 3.x |
//! |---|---|---|---|
//! | `consensus_etcdraft_cluster_size`, `_is_leader`, `_committed_block_number` | yes | yes | yes |
//! | `consensus_etcdraft_active_nodes` | no | yes | yes |
//! | `consensus_BFT_cluster_size`, `_is_leader`, `_leader_id`, `_committed_block_number` | | | yes |
//! | `cluster_comm_ingress_stream_count` (all channels together) | yes | yes | yes |
//! | `ledger_blockchain_height` | yes | yes | yes |
//!
//! Sources: `orderer/consensus/etcdraft/metrics.go` of 1.4.12, 2.2.15, 2.5.16 and 3.1.5,
//! `orderer/consensus/smartbft/metrics.go` of 3.1.5, `orderer/common/cluster/metrics.go` of all
//! four. Blocks from a snapshot count in the ledger's height at once, but in the consensus' number
//! only with the next block (`catchUp` in `orderer/consensus/etcdraft/chain.go`).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// The metrics of one orderer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The channels for which it is a consenter.
    channels: BTreeMap<String, Consenter>,
    /// Number of open streams from other orderers.
    streams: Option<u64>,
    /// Whether it orders with Kafka. It reports nothing useful about its brokers.
    kafka: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Consenter {
    nodes: u64,
    /// Raft since 2.0: number of active nodes.
    active: Option<u64>,
    leads: bool,
    /// BFT: ID of the leader that it follows.
    leader: Option<u64>,
    /// Number of its last block.
    committed: u64,
    /// Number of blocks in its ledger.
    ledger: Option<u64>,
}

/// Number of blocks of each channel.
pub type Heights = BTreeMap<String, u64>;

/// An orderer that has not rejoined its group, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub orderer: String,
    pub channel: String,
    pub why: String,
}

impl Report {
    /// Parses metrics in Prometheus' text format, and skips other lines.
    pub fn parse(text: &str) -> Report {
        let mut report = Report::default();
        for line in text.lines() {
            let Some((name, channel, value)) = sample(line) else {
                continue;
            };
            if name == "cluster_comm_ingress_stream_count" {
                report.streams = Some(value);
            }
            report.kafka |= name.starts_with("consensus_kafka_");
            let (bft, field) = match (
                name.strip_prefix("consensus_etcdraft_"),
                name.strip_prefix("consensus_BFT_"),
            ) {
                (Some(field), _) => (false, field),
                (_, Some(field)) => (true, field),
                _ => (false, name),
            };
            let Some(channel) = channel else { continue };
            let mut set = |set: fn(&mut Consenter, u64)| {
                set(report.channels.entry(channel.clone()).or_default(), value)
            };
            match field {
                "cluster_size" => set(|consenter, value| consenter.nodes = value),
                "active_nodes" => set(|consenter, value| consenter.active = Some(value)),
                "is_leader" => set(|consenter, value| consenter.leads = value == 1),
                "committed_block_number" => set(|consenter, value| consenter.committed = value),
                "ledger_blockchain_height" => {
                    set(|consenter, value| consenter.ledger = Some(value))
                }
                "leader_id" if bft => set(|consenter, value| consenter.leader = Some(value)),
                _ => {}
            }
        }
        report.channels.retain(|_, consenter| consenter.nodes > 0);
        report
    }

    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    /// Returns true if it leads a channel that has other consenters.
    pub fn leads(&self) -> bool {
        self.channels
            .values()
            .any(|consenter| consenter.leads && consenter.nodes > 1)
    }

    /// Returns true if it shares channels with others and hears none of them.
    pub fn is_alone(&self) -> bool {
        let is_isolated = |consenter: &Consenter| {
            let silent = consenter
                .active
                .map_or(self.streams == Some(0), |active| active == 0);
            consenter.nodes > 1 && silent
        };
        self.channels.values().any(is_isolated)
    }

    /// Returns true if its metrics do not describe its group.
    pub fn is_kafka(&self) -> bool {
        self.kafka && self.channels.is_empty()
    }
}

/// Returns the orderers of one release that are not in the group of a channel that they serve,
/// according to all of their metrics.
///
/// `served` are the channels that each served before, `reached` is the result of [`heights`] a
/// moment ago, `excused` is the number of nodes that may be missing, and `unwatched` are channels
/// that may be incomplete.
pub fn missing(
    reports: &BTreeMap<String, Report>,
    served: &BTreeMap<String, BTreeSet<String>>,
    reached: &Heights,
    excused: u64,
    unwatched: &BTreeSet<String>,
) -> Vec<Missing> {
    let heights = heights(reports.values());
    let mut missing = Vec::new();
    for (orderer, report) in reports {
        let mut say = |channel: &str, why: String| {
            if !unwatched.contains(channel) {
                missing.push(Missing {
                    orderer: orderer.clone(),
                    channel: channel.to_owned(),
                    why,
                });
            }
        };
        for channel in served.get(orderer).into_iter().flatten() {
            if !report.channels.contains_key(channel) {
                say(channel, "it does not serve the channel yet".to_owned());
            }
        }
        for (channel, consenter) in &report.channels {
            let others = reports
                .values()
                .filter_map(|report| report.channels.get(channel));
            let highest = heights.get(channel).copied().unwrap_or_default();
            let late = || consenter.late(highest, reached.get(channel).copied());
            if let Some(why) = consenter
                .missing(report.streams, others, excused)
                .or_else(late)
            {
                say(channel, why);
            }
        }
    }
    missing
}

/// Returns the largest number of blocks at any orderer, by channel.
pub fn heights<'r>(reports: impl Iterator<Item = &'r Report>) -> Heights {
    let mut heights = Heights::new();
    for (channel, consenter) in reports.flat_map(|report| &report.channels) {
        let highest = heights.entry(channel.clone()).or_default();
        *highest = consenter.blocks().max(*highest);
    }
    heights
}

impl Consenter {
    fn blocks(&self) -> u64 {
        self.ledger.unwrap_or(self.committed + 1)
    }

    /// Returns a reason if it lacks blocks that another orderer had a moment ago.
    ///
    /// If that number is unknown, one missing block is tolerated, because ordering continues during
    /// the query, and a follower learns with the next message that a block is committed.
    fn late(&self, highest: u64, reached: Option<u64>) -> Option<String> {
        let blocks = self.blocks();
        let late = blocks + 1 < highest && reached.is_none_or(|reached| blocks < reached);
        late.then(|| format!("it has {blocks} blocks, another orderer {highest}"))
    }

    fn missing<'a>(
        &self,
        streams: Option<u64>,
        all: impl Iterator<Item = &'a Consenter> + Clone,
        excused: u64,
    ) -> Option<String> {
        let Consenter {
            nodes,
            active,
            leader,
            ..
        } = self;
        match active {
            Some(0) => return Some("it has no leader".to_owned()),
            Some(active) if active + excused < *nodes => {
                return Some(format!("{active} of {nodes} consenters are active"));
            }
            None if *nodes > 1 && streams == Some(0) => {
                return Some("no other orderer has connected to it".to_owned());
            }
            _ => {}
        }
        if leader.is_some() {
            let differs = |other: &Consenter| other.leader.is_some() && other.leader != *leader;
            return all
                .clone()
                .any(differs)
                .then(|| "the orderers follow different leaders".to_owned());
        }
        // Raft: exactly one consenter leads. It belongs to this release if all consenters do. A
        // former leader reports the change late, and its count of active consenters is outdated
        // until then.
        let leaders = all.clone().filter(|consenter| consenter.leads).count();
        let all_are_known = u64::try_from(all.count()).is_ok_and(|known| known == *nodes);
        (leaders > 1 || all_are_known && leaders == 0)
            .then(|| format!("{leaders} of {nodes} consenters claim to be the leader"))
    }
}

/// Parses name, channel and value of a line `name{channel="x",...} 1`. All values are integers that
/// f64 represents exactly.
fn sample(line: &str) -> Option<(&str, Option<String>, u64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (None, rest),
    };
    let value: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let counts = (0.0..=9_007_199_254_740_992.0).contains(&value);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in the range of whole numbers of f64"
    )]
    counts.then_some((name, labels, value as u64))
}

/// Returns the value of label `channel`, and the text after the labels.
fn labels(mut rest: &str) -> Option<(Option<String>, &str)> {
    let mut channel = None;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((channel, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        if name == "channel" {
            channel = Some(value);
        }
        rest = &quoted[end + 1..];
    }
}
