use super::pack::{LARGEST_PAYLOAD, MOST_VALUES};
use super::*;
use crate::manifest::{Hook, Object, TemplateLine};
use crate::release::Status;
use crate::release::{ChartReference, Record, Signature, Summary};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

pub fn record() -> Record {
    let body = |body: Value| {
        Arc::new(
            Object::from_body(
                body,
                TemplateLine {
                    template: "templates/a.yaml".into(),
                    line: 3,
                },
            )
            .unwrap()
            .into(),
        )
    };
    Record {
        summary: Summary {
            release: "org1".into(),
            namespace: "org1".into(),
            revision: 1,
            status: Status::Deployed,
            first_deployed: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
            chart: "peer-org".into(),
            chart_version: "0.1.0".into(),
            app_version: "2.5.16".into(),
            description: "Install complete".into(),
            user: "admin".into(),
            plugin_version: "0.1.0".into(),
            rollback_to: None,
            labels: [("team".to_owned(), "a".to_owned())].into(),
        },
        chart: ChartReference {
            name: "peer-org".into(),
            version: "0.1.0".into(),
            digest: "d".into(),
            embedded: true,
            post_renderer: None,
        },
        user_values: json!({"db": {"password": "canary-in-values"}}),
        computed_values: json!({"db": {"password": "canary-in-values", "host": "h"}}),
        secret_paths: vec!["/db/password".into()],
        objects: vec![
            body(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "Y2FuYXJ5"}}),
            ),
            body(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"url": "x:canary-in-values@y"}}),
            ),
        ],
        hooks: vec![],
        notes: "log in with canary-in-values".into(),
        inventory: vec![],
        outcome: None,
        guard: json!({"fabricVersion": "2.5.16"}),
        mask_key: String::new(),
        signing_key: String::new(),
        signature: Signature::Unchecked,
    }
}

#[test]
fn secrets_are_not_in_the_payload_and_come_back_with_the_companion() {
    let record = record();
    let (payload, secrets) = encode(&record, "key").unwrap();
    let text = unpack::<Value>(&payload).unwrap().to_string();
    assert!(
        !text.contains("canary") && !text.contains("Y2FuYXJ5"),
        "{text}"
    );
    let state = || RecordState {
        inventory: vec![],
        outcome: None,
    };
    let read = decode_whole(record.summary.clone(), &payload, state(), Some(&secrets)).unwrap();
    assert_eq!(read.objects, record.objects);
    assert_eq!(read.user_values, record.user_values);
    assert_eq!(read.notes, record.notes);
    let masked = decode_whole(record.summary.clone(), &payload, state(), None).unwrap();
    assert!(!format!("{masked:?}").contains("canary"));
}

#[test]
fn a_secret_that_is_a_word_of_the_record_leaves_it_readable() {
    let mut record = record();
    record.user_values = json!({"db": {"password": "hook"}});
    record.hooks = vec![Hook {
        object: record.objects[1].open(),
        events: vec![crate::manifest::HookEvent::PreInstall],
        weight: 0,
        delete_policies: vec![crate::manifest::DeletePolicy::HookSucceeded],
    }];
    let (payload, _) = encode(&record, "key").unwrap();
    let masked = decode_whole(
        record.summary,
        &payload,
        RecordState {
            inventory: vec![],
            outcome: None,
        },
        None,
    )
    .unwrap();
    assert_eq!(
        masked.hooks[0].delete_policies,
        record.hooks[0].delete_policies
    );
    assert_eq!(
        (masked.chart, masked.secret_paths),
        (record.chart, record.secret_paths)
    );
}

#[test]
fn chunks_join_to_the_whole() {
    let bytes: Vec<u8> = (0..3 * CHUNK + 17).map(|i| i as u8).collect();
    for first in [0, 1, CHUNK, 10 * CHUNK] {
        let parts = chunks(&bytes, first);
        assert!(
            parts.iter().skip(1).all(|part| part.len() <= CHUNK) && parts[0].len() <= first.max(1)
        );
        assert_eq!(parts.concat(), bytes);
    }
    assert_eq!(chunks(b"", CHUNK).len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn bytes_of_any_length_are_cut_below_the_limit_and_join_again(length in 0..4 * CHUNK, first in 0..2 * CHUNK) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let parts = chunks(&bytes, first);
        proptest::prop_assert!(parts[0].len() <= first && parts[1..].iter().all(|part| (1..=CHUNK).contains(&part.len())));
        proptest::prop_assert!(parts.len() <= MOST_PARTS);
        proptest::prop_assert_eq!(parts.concat(), bytes);
    }
}

#[test]
fn a_record_that_would_fill_the_memory_is_refused_before_it_does() {
    let packed = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let refusal = |text: &str| unpack::<Value>(&packed(text)).unwrap_err().to_string();
    assert!(
        refusal(&format!("[{}0]", "0,".repeat(MOST_VALUES)))
            .contains("more than the limit of a record")
    );
    assert!(
        refusal(&" ".repeat(LARGEST_PAYLOAD as usize + 1))
            .contains("more than the limit of a record")
    );
    let commas = format!("[\"\\\"{}\"]", ",".repeat(MOST_VALUES + 1));
    assert!(
        unpack::<Value>(&packed(&commas)).is_ok(),
        "those in texts are no values"
    );
}

#[test]
fn a_record_that_could_not_be_read_back_is_not_written() {
    let mut record = record();
    record.computed_values = json!({"list": vec![0; MOST_VALUES]});
    let error = encode(&record, "key").err().expect("a refusal").to_string();
    assert!(
        error.starts_with(
            "the release is too large to record\nwhy: its values and manifest are 7 MiB of JSON with 40000"
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_or_newer_record_is_an_error_and_no_panic() {
    let state = || RecordState {
        inventory: vec![],
        outcome: None,
    };
    let summary = record().summary;
    assert!(decode_whole(summary.clone(), b"not gzip", state(), None).is_err());
    let newer = decode_whole(
        summary.clone(),
        &pack(&json!({"schema": 99})),
        state(),
        None,
    )
    .unwrap_err();
    assert!(newer.what().contains("newer version"), "{newer}");
    assert!(
        decode_whole(
            summary,
            &pack(&json!({"schema": 1, "objects": 3})),
            state(),
            None
        )
        .is_err()
    );
}
