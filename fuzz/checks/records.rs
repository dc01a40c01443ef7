//! Release records as the cluster may give them back: whole, damaged, or made up.
//!
//! An input is a payload as it stands in a record (gzip), or texts of JSON that are packed here:
//! payload, state, companion Secret, and the metadata of the record's ConfigMap.

use super::parts;
use flate2::{Compression, write::GzEncoder};
use kubectl_fabric::release::{Entry, Record, Status, Summary};
use kubectl_fabric::storage::codec::{self, RecordState, Secrets};
use kubectl_fabric::storage::read_entry;
use serde_json::Value;
use std::io::Write;

const GZIP: &[u8] = &[0x1f, 0x8b];

pub fn check(data: &[u8]) {
    if data.starts_with(GZIP) {
        if let Ok(record) = codec::decode_whole(summary(), data, state(), None) {
            comes_back(&record);
        }
        return;
    }
    let Some([payload, state_text, secrets, metadata]) = parts(data) else {
        return;
    };
    let read_state: RecordState = codec::unpack(&gzip(state_text)).unwrap_or_else(|_| state());
    let secrets: Option<Secrets> = codec::unpack(&gzip(secrets)).ok();
    let packed = gzip(payload);
    if let Ok(record) = codec::decode_whole(summary(), &packed, read_state, secrets.as_ref()) {
        comes_back(&record);
        damage_is_seen(&record, data.len());
    }
    if let Ok(body) = serde_json::from_str::<Value>(metadata)
        && let Entry::Readable(summary) = read_entry(&body)
    {
        assert!(summary.revision > 0, "{metadata}");
    }
}

/// What is written is read back, and nothing secret stands outside the companion Secret.
fn comes_back(record: &Record) {
    // A `~` that escapes nothing (RFC 6901) lets two pointers lead to one node; no schema makes
    // such.
    if record
        .secret_paths
        .iter()
        .any(|pointer| pointer.replace("~0", "").replace("~1", "").contains('~'))
    {
        return;
    }
    let (payload, secrets) = codec::encode(record, "key").expect("it was read");
    let secrets: Secrets =
        codec::unpack(&codec::pack(&secrets)).expect("what was packed is unpacked");
    let read = codec::decode_whole(summary(), &payload, state(), Some(&secrets))
        .expect("what was written is read");
    assert!(same(&read, record), "wrote {record:?}\nread {read:?}");
    let masked = codec::decode_whole(summary(), &payload, state(), None)
        .expect("what was written is read without its secrets");
    for pointer in &record.secret_paths {
        for (tree, masked) in [
            (&record.user_values, &masked.user_values),
            (&record.computed_values, &masked.computed_values),
        ] {
            if let Some(secret) = tree.pointer(pointer) {
                assert_ne!(
                    masked.pointer(pointer),
                    Some(secret),
                    "{pointer:?} is not masked"
                );
            }
        }
    }
}

fn same(one: &Record, other: &Record) -> bool {
    one.chart == other.chart
        && one.user_values == other.user_values
        && one.computed_values == other.computed_values
        && one.secret_paths == other.secret_paths
        && one.objects == other.objects
        && one.hooks == other.hooks
        && one.notes == other.notes
        && one.guard == other.guard
}

/// A payload that is cut off is an error; one with a byte changed is an error, or the byte meant
/// nothing (gzip's header has such).
fn damage_is_seen(record: &Record, seed: usize) {
    let (mut payload, _) = codec::encode(record, "key").expect("it was read");
    let whole =
        codec::decode_whole(summary(), &payload, state(), None).expect("what was written is read");
    let at = seed.wrapping_mul(7919) % payload.len();
    assert!(
        codec::decode_whole(summary(), &payload[..at], state(), None).is_err(),
        "cut off at {at} of {}",
        payload.len()
    );
    payload[at] ^= 1 << (seed % 8);
    if let Ok(read) = codec::decode_whole(summary(), &payload, state(), None) {
        assert!(
            same(&read, &whole),
            "a byte changed at {at} of {}",
            payload.len()
        );
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(text.as_bytes())
        .expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

fn state() -> RecordState {
    RecordState {
        inventory: Vec::new(),
        outcome: None,
    }
}

fn summary() -> Summary {
    Summary {
        release: "org1".into(),
        namespace: "org1".into(),
        revision: 1,
        status: Status::Deployed,
        first_deployed: jiff::Timestamp::UNIX_EPOCH,
        updated: jiff::Timestamp::UNIX_EPOCH,
        chart: "peer-org".into(),
        chart_version: "0.1.0".into(),
        app_version: String::new(),
        description: String::new(),
        user: String::new(),
        plugin_version: String::new(),
        rollback_to: None,
        labels: Default::default(),
    }
}
