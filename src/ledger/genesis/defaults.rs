//! The defaults of a new channel.

use crate::fabric::guard;
use crate::ledger::message::orderer_configuration::{BatchSize, BftOptions, RaftOptions};
use crate::ledger::message::policy::ImplicitMetaRule::{self, Any, Majority};
use crate::ledger::organization::Policies;
use crate::ledger::policy::Policy;
use semver::Version;
use std::collections::BTreeSet;
use std::time::Duration;

/// Returns the highest capability level of a group (`channel`, `orderer`, `application`) in this
/// version, as in configtxgen's sample profiles. Nodes stop at a level that they do not support, so
/// `version` is the lowest of the channel's nodes.
pub fn levels(group: &str, version: &Version) -> BTreeSet<String> {
    guard::highest_level(group, version)
        .map(str::to_owned)
        .into_iter()
        .collect()
}

/// The policies of a channel group (`sampleconfig/configtx.yaml`).
pub fn channel_policies() -> Policies {
    policies(&[])
}

/// The policies of an orderer group. A BFT channel replaces `BlockValidation`.
pub fn orderer_policies() -> Policies {
    policies(&[("BlockValidation", Any, "Writers")])
}

/// The policies of an application group. Those of the lifecycle exist since 2.0.
pub fn application_policies(version: &Version) -> Policies {
    if version.major < 2 {
        return policies(&[]);
    }
    policies(&[
        ("Endorsement", Majority, "Endorsement"),
        ("LifecycleEndorsement", Majority, "Endorsement"),
    ])
}

fn policies(more: &[(&str, ImplicitMetaRule, &str)]) -> Policies {
    let common = [
        ("Admins", Majority, "Admins"),
        ("Readers", Any, "Readers"),
        ("Writers", Any, "Writers"),
    ];
    let all = common.iter().chain(more);
    let policy = |rule: &ImplicitMetaRule, of: &str| Policy::ImplicitMeta(*rule, of.to_owned());
    all.map(|(name, rule, of)| ((*name).to_owned(), policy(rule, of)))
        .collect()
}

/// configtxgen's (`internal/configtxgen/genesisconfig/config.go`, `genesisDefaults`).
pub fn batch_size() -> BatchSize {
    BatchSize {
        max_message_count: 500,
        absolute_max_bytes: 10 << 20,
        preferred_max_bytes: 2 << 20,
    }
}

/// configtxgen's.
pub fn raft_options() -> RaftOptions {
    RaftOptions {
        tick_interval: "500ms".to_owned(),
        election_tick: 10,
        heartbeat_tick: 1,
        max_inflight_blocks: 5,
        snapshot_interval_size: 16 << 20,
    }
}

/// configtxgen's, which are those of `hyperledger-labs/SmartBFT`, `pkg/types/config.go`.
pub fn bft_options() -> BftOptions {
    let text = str::to_owned;
    BftOptions {
        request_batch_max_count: 100,
        request_batch_max_bytes: 10 << 20,
        request_batch_max_interval: text("50ms"),
        incoming_message_buffer_size: 200,
        request_pool_size: 400,
        request_forward_timeout: text("2s"),
        request_complain_timeout: text("20s"),
        request_auto_remove_timeout: text("3m0s"),
        view_change_resend_interval: text("5s"),
        view_change_timeout: text("20s"),
        leader_heartbeat_timeout: text("1m0s"),
        leader_heartbeat_count: 10,
        collect_timeout: text("1s"),
        ..BftOptions::default()
    }
}

/// A duration as Go prints it: `2s`, `200ms`, `1m30s`, `1.5s`.
pub fn go_duration(duration: Duration) -> String {
    let decimals = |nanos: u128, unit: u128, name: &str| {
        let text = format!(
            "{}.{:0width$}",
            nanos / unit,
            nanos % unit,
            width = unit.ilog10() as usize
        );
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimals(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => decimals(nanos, 1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (duration.as_secs() / 60, nanos % 60_000_000_000);
            let seconds = decimals(rest, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}
