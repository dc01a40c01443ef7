//! Consensus options of a user, merged over configtxgen's defaults. Pure.

use crate::error::{Error, Result};
use crate::ledger::genesis::{bft_options, raft_options};
use crate::ledger::message::orderer_configuration::{BftOptions, RaftOptions};
use serde_json::{Map, Value};

/// Options of Raft, by their names in network files.
///
/// # Errors
///
/// Fails for an unknown name or an invalid value.
pub fn raft(set: &Map<String, Value>) -> Result<RaftOptions> {
    let mut options = raft_options();
    for (name, value) in set {
        match name.as_str() {
            "tickInterval" => options.tick_interval = text(name, value)?,
            "electionTick" => options.election_tick = number(name, value)?,
            "heartbeatTick" => options.heartbeat_tick = number(name, value)?,
            "maxInflightBlocks" => options.max_inflight_blocks = number(name, value)?,
            "snapshotIntervalSize" => options.snapshot_interval_size = number(name, value)?,
            _ => return Err(unknown(name, "Raft")),
        }
    }
    Ok(options)
}

/// Options of BFT, by their names in network files.
///
/// # Errors
///
/// Fails for an unknown name or an invalid value.
pub fn bft(set: &Map<String, Value>) -> Result<BftOptions> {
    let mut options = bft_options();
    for (name, value) in set {
        let duration = match name.as_str() {
            "requestBatchMaxInterval" => &mut options.request_batch_max_interval,
            "requestForwardTimeout" => &mut options.request_forward_timeout,
            "requestComplainTimeout" => &mut options.request_complain_timeout,
            "requestAutoRemoveTimeout" => &mut options.request_auto_remove_timeout,
            "viewChangeResendInterval" => &mut options.view_change_resend_interval,
            "viewChangeTimeout" => &mut options.view_change_timeout,
            "leaderHeartbeatTimeout" => &mut options.leader_heartbeat_timeout,
            "collectTimeout" => &mut options.collect_timeout,
            _ => {
                let count = match name.as_str() {
                    "incomingMessageBufferSize" => &mut options.incoming_message_buffer_size,
                    "requestPoolSize" => &mut options.request_pool_size,
                    "leaderHeartbeatCount" => &mut options.leader_heartbeat_count,
                    _ => return Err(unknown(name, "BFT")),
                };
                *count = number(name, value)?;
                continue;
            }
        };
        *duration = text(name, value)?;
    }
    Ok(options)
}

fn text(name: &str, value: &Value) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| wrong(name, value))
}

/// A number, or a size as network files write it: `16 MB`.
fn number<T: TryFrom<u64>>(name: &str, value: &Value) -> Result<T> {
    let bytes = value.as_str().and_then(crate::network::bytes);
    let number = value.as_u64().or(bytes);
    let fitting = number.and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| wrong(name, value))
}

fn wrong(name: &str, value: &Value) -> Error {
    Error::user(format!("option {name} cannot be {value}"))
}

fn unknown(name: &str, consensus: &str) -> Error {
    Error::user(format!("{consensus} has no option {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn what_is_set_replaces_the_default() {
        let wanted = json!({"electionTick": 20, "snapshotIntervalSize": "32 MB"});
        let expected = RaftOptions {
            election_tick: 20,
            snapshot_interval_size: 32 << 20,
            ..raft_options()
        };
        assert_eq!(raft(&set(wanted)).unwrap(), expected);
        let wanted = json!({"viewChangeTimeout": "30s", "leaderHeartbeatCount": 5});
        let expected = BftOptions {
            view_change_timeout: "30s".to_owned(),
            leader_heartbeat_count: 5,
            ..bft_options()
        };
        assert_eq!(bft(&set(wanted)).unwrap(), expected);
        assert_eq!(raft(&Map::new()).unwrap(), raft_options());
        for wrong in [
            json!({"electionTick": "x"}),
            json!({"viewChangeTimeout": "1s"}),
        ] {
            assert!(raft(&set(wrong)).is_err());
        }
    }
}
