//! Converts between records and bytes: JSON, gzip, chunks, with secrets separate. Pure.
//!
//! ```text
//! Record ─┬─ labels and annotations ── Summary (the only part that list and history read)
//!       ├─ payload    values, manifest, hooks, notes: masked, gzip, split into chunks; immutable
//!       ├─ state      inventory and outcome: gzip; rewritten with the outcome
//!       └─ secrets    the masked values, by JSON pointer into the payload, and the keys of masks
//!                     and signature: gzip, for the companion Secret
//! ```

use crate::error::{Error, Result};
use crate::manifest::{Hook, Object, Sealed, TemplateLine};
use crate::plan::mask::{self, Masker};
use crate::release::{ChartReference, InventoryItem, OutcomeFacts, Record, Signature, Summary};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufWriter, Read, Write};
use std::sync::Arc;

/// The payload version that this program writes, and the newest that it reads.
pub const SCHEMA: u64 = 1;

/// Maximum size of the data in one ConfigMap or Secret. The API server allows 1 MiB in total, of
/// which names and labels need a part.
pub const CHUNK: usize = 900 * 1024;

/// Limit on the unpacked size, in case a record was manipulated. The largest stored chart has 64
/// MiB, which is 86 MiB in base64.
const LARGEST_PAYLOAD: u64 = 128 << 20;

/// Limit on the number of values. A value takes at least 2 bytes of text, but 100 bytes of memory.
/// The 0.4 MiB of text of 1,000 objects cannot contain a tenth of this number.
const MOST_VALUES: usize = 4_000_000;

/// Limit on the number of parts of a record, so that a manipulated number does not cause many
/// requests.
pub const MOST_PARTS: usize = LARGEST_PAYLOAD as usize / CHUNK + 2;

/// The part of a record that changes with the outcome.
#[derive(Deserialize)]
pub struct RecordState {
    pub inventory: Vec<InventoryItem>,
    #[serde(default)]
    pub outcome: Option<OutcomeFacts>,
}

/// [`RecordState`] in the form for writing.
#[derive(Serialize)]
pub struct StateOf<'a> {
    pub inventory: &'a [InventoryItem],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: &'a Option<OutcomeFacts>,
}

/// The content of the companion Secret.
#[derive(Default, Serialize, Deserialize)]
pub struct Secrets {
    /// Key of the masks in hex. Copied from revision to revision, so that masks can be compared.
    pub key: String,
    /// Key of the records' signatures in hex. Also copied. Empty if the record is not signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signing_key: String,
    /// The values that masks replace in the payload, by JSON pointer.
    pub taken: BTreeMap<String, Value>,
}

/// Returns the payload with its secrets masked, and the secrets.
///
/// # Errors
///
/// Fails if the record exceeds the limits of [`unpack`].
pub fn encode(record: &Record, key: &str) -> Result<(Vec<u8>, Secrets)> {
    let secrets = Masker::secrets_of(&record.computed_values, &record.secret_paths)
        .into_iter()
        .chain(Masker::secrets_of(
            &record.user_values,
            &record.secret_paths,
        ));
    let mut payload = Writing {
        out: GzEncoder::new(Vec::new(), Compression::new(6)),
        masker: Masker::new(key.as_bytes(), secrets),
        taken: BTreeMap::new(),
        size: 0,
        values: 0,
    };
    payload.text(&format!("{{\"schema\":{SCHEMA}"));
    payload.plain("chart", json!(record.chart));
    payload.field(
        "userValues",
        record.user_values.clone(),
        &record.secret_paths,
    );
    payload.field(
        "computedValues",
        record.computed_values.clone(),
        &record.secret_paths,
    );
    payload.plain("secretPaths", json!(record.secret_paths));
    payload.list("objects", &record.objects, |payload, object, at| {
        payload.object(object, at)
    });
    payload.list("hooks", &record.hooks, |payload, hook, at| {
        let marks = [
            ("events", json!(hook.events)),
            ("weight", json!(hook.weight)),
            ("deletePolicies", json!(hook.delete_policies)),
        ];
        payload.item(
            &hook.object,
            at,
            marks
                .map(|(name, mark)| (name.to_owned(), mark))
                .into_iter()
                .collect(),
        );
    });
    payload.field("notes", json!(record.notes), &[]);
    payload.field("guard", record.guard.clone(), &[]);
    payload.text("}");
    if !is_readable(payload.size, payload.values) {
        return Err(Error::user("the release is too large to record")
            .why(format!(
                "its values and manifest are {} MiB of JSON with {} values",
                payload.size >> 20,
                payload.values
            ))
            .why(format!(
                "the limit is {} MiB with {MOST_VALUES} values",
                LARGEST_PAYLOAD >> 20
            ))
            .hint("split it into several releases"));
    }
    let packed = payload.out.finish().expect("memory takes every byte");
    Ok((
        packed,
        Secrets {
            key: key.to_owned(),
            signing_key: record.signing_key.clone(),
            taken: payload.taken,
        },
    ))
}

/// A payload that is written object by object, so that memory does not hold the manifest twice.
struct Writing {
    out: GzEncoder<Vec<u8>>,
    masker: Masker,
    taken: BTreeMap<String, Value>,
    size: u64,
    values: usize,
}

impl Writing {
    fn text(&mut self, text: &str) {
        self.size += text.len() as u64;
        self.values += values_in(text.as_bytes());
        self.out
            .write_all(text.as_bytes())
            .expect("memory takes every byte");
    }

    fn field(&mut self, name: &str, mut value: Value, secret: &[String]) {
        self.masker
            .take(&mut value, &format!("/{name}"), secret, &mut self.taken);
        self.plain(name, value);
    }

    /// Writes data that contains no secrets and that must be readable without them. A mask would
    /// make it useless.
    fn plain(&mut self, name: &str, value: Value) {
        self.text(&format!(",\"{name}\":{value}"));
    }

    /// Writes a list whose items write themselves.
    fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Writing, T, &str),
    ) {
        self.text(&format!(",\"{name}\":["));
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.text(",");
            }
            write(self, item, &format!("/{name}/{index}"));
        }
        self.text("]");
    }

    /// Writes an object with the JSON pointer `at`. Nearly all objects are copied as text.
    fn object(&mut self, object: &Sealed, at: &str) {
        let source = json!(object.source).to_string();
        if mask::is_secret(&object.key)
            || ![&source, object.text()]
                .into_iter()
                .all(|json| self.masker.is_free(json))
        {
            return self.item(&object.open(), at, Map::new());
        }
        self.text("{\"source\":");
        self.text(&source);
        self.text(",\"body\":");
        self.text(object.text());
        self.text("}");
    }

    /// Writes an object with additional fields, which are not masked.
    fn item(&mut self, object: &Object, at: &str, marks: Map<String, Value>) {
        let secret: Vec<String> = mask::object_pointers(&object.body)
            .iter()
            .map(|path| format!("/body{path}"))
            .collect();
        let mut stored = json!({"source": object.source, "body": object.body});
        self.masker.take(&mut stored, at, &secret, &mut self.taken);
        if let Value::Object(stored) = &mut stored {
            stored.extend(marks);
        }
        self.text(&stored.to_string());
    }
}

/// Decodes a payload. With `secrets`, restores the masked values.
///
/// Passes the objects to `take` one at a time, with the record, which does not contain them:
/// together they are as large as the release.
pub fn decode(
    summary: Summary,
    payload: &[u8],
    state: RecordState,
    secrets: Option<&Secrets>,
    mut take: impl FnMut(&Record, Object),
) -> Result<Record> {
    let text = unpack_text(payload)?;
    let nothing = BTreeMap::new();
    let taken = secrets.map_or(&nothing, |secrets| &secrets.taken);
    let mut tree = Map::new();
    fields(&text, &mut Walk::Rest(&mut tree))?;
    let mut tree = Value::Object(tree);
    match tree["schema"].as_u64() {
        Some(SCHEMA) => {}
        Some(newer) if newer > SCHEMA => {
            return Err(
                Error::user("the record was written by a newer version of kubectl-fabric")
                    .why(format!(
                        "it has format {newer}, but this program supports format {SCHEMA}"
                    ))
                    .hint("install the newer version, then run the command again"),
            );
        }
        _ => return Err(Error::user("the record has an unknown format")),
    }
    mask::restore(&mut tree, taken);
    let payload: Payload = serde_json::from_value(tree).map_err(damaged)?;
    let hook = |stored: StoredHook| -> Result<Hook> {
        let object = object(stored.body, stored.source)?;
        Ok(Hook {
            object,
            events: stored.events,
            weight: stored.weight,
            delete_policies: stored.delete_policies,
        })
    };
    let record = Record {
        summary,
        chart: payload.chart,
        user_values: payload.user_values,
        computed_values: payload.computed_values,
        secret_paths: payload.secret_paths,
        objects: Vec::new(),
        hooks: payload.hooks.into_iter().map(hook).collect::<Result<_>>()?,
        notes: payload.notes,
        inventory: state.inventory,
        outcome: state.outcome,
        guard: payload.guard,
        mask_key: secrets
            .map(|secrets| secrets.key.clone())
            .unwrap_or_default(),
        signing_key: secrets
            .map(|secrets| secrets.signing_key.clone())
            .unwrap_or_default(),
        signature: Signature::Unchecked,
    };
    let mut taken_of: BTreeMap<usize, Vec<(&str, &Value)>> = BTreeMap::new();
    for (pointer, value) in taken {
        if let Some((index, path)) = pointer
            .strip_prefix("/objects/")
            .and_then(|rest| Some(rest.split_at(rest.find('/')?)))
            && let Ok(index) = index.parse()
        {
            taken_of.entry(index).or_default().push((path, value));
        }
    }
    let (mut index, mut outcome) = (0, Ok(()));
    let mut one = |mut stored: Value| {
        for (path, value) in taken_of.get(&index).into_iter().flatten() {
            if let Some(place) = stored.pointer_mut(path) {
                *place = Value::clone(value);
            }
        }
        index += 1;
        // Moves the body. Deserializing it together with its source would copy it.
        let body = stored.get_mut("body").map(Value::take).unwrap_or_default();
        let source = stored
            .get_mut("source")
            .map(Value::take)
            .unwrap_or_default();
        match serde_json::from_value(source)
            .map_err(damaged)
            .and_then(|source| object(body, source))
        {
            Ok(object) => take(&record, object),
            Err(error) => outcome = outcome.clone().and(Err(error)),
        }
    };
    fields(&text, &mut Walk::Objects(&mut one))?;
    outcome.map(|()| record)
}

/// Like [`decode`], but returns the objects sealed in the record.
pub fn decode_whole(
    summary: Summary,
    payload: &[u8],
    state: RecordState,
    secrets: Option<&Secrets>,
) -> Result<Record> {
    let mut objects = Vec::new();
    let record = decode(summary, payload, state, secrets, |_, object| {
        objects.push(Arc::new(object.into()))
    })?;
    Ok(Record { objects, ..record })
}

fn object(body: Value, source: TemplateLine) -> Result<Object> {
    Object::from_body(body, source).ok_or_else(|| {
        Error::user("the record is damaged").why("an object in it has no kind or name")
    })
}

fn damaged(error: serde_json::Error) -> Error {
    Error::user("the record is damaged").why(error.to_string())
}

/// The fields of a payload to read.
enum Walk<'a> {
    /// All fields but the objects.
    Rest(&'a mut Map<String, Value>),
    /// Only the objects, one at a time.
    Objects(&'a mut dyn FnMut(Value)),
}

fn fields(text: &[u8], walk: &mut Walk) -> Result<()> {
    let mut json = serde_json::Deserializer::from_slice(text);
    json.deserialize_map(walk)
        .and_then(|()| json.end())
        .map_err(damaged)
}

impl<'de> Visitor<'de> for &mut Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> std::result::Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            match (&mut *self, field == "objects") {
                (Walk::Rest(rest), false) => drop(rest.insert(field, fields.next_value()?)),
                (Walk::Objects(take), true) => fields.next_value_seed(Each(*take))?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A list that is read item by item.
struct Each<'a>(&'a mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Each<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> std::result::Result<(), D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    chart: ChartReference,
    user_values: Value,
    computed_values: Value,
    secret_paths: Vec<String>,
    hooks: Vec<StoredHook>,
    notes: String,
    guard: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredHook {
    source: TemplateLine,
    body: Value,
    events: Vec<crate::manifest::HookEvent>,
    weight: i32,
    delete_policies: Vec<crate::manifest::DeletePolicy>,
}

/// Serializes a value to compressed JSON.
pub fn pack(value: &impl Serialize) -> Vec<u8> {
    let mut encoder = BufWriter::new(GzEncoder::new(Vec::new(), Compression::new(6)));
    serde_json::to_writer(&mut encoder, value).expect("plain data has a JSON form");
    let encoder = encoder.into_inner().expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

/// Reverses [`pack`].
pub fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(&unpack_text(bytes)?).map_err(damaged)
}

fn unpack_text(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = GzDecoder::new(bytes)
        .take(LARGEST_PAYLOAD + 1)
        .read_to_end(&mut text);
    read.map_err(|error| {
        Error::user("the record is damaged").why(format!("cannot unpack it: {error}"))
    })?;
    if !is_readable(text.len() as u64, values_in(&text)) {
        return Err(Error::user("the record is damaged")
            .why("it unpacks to more than the limit of a record"));
    }
    Ok(text)
}

fn is_readable(size: u64, values: usize) -> bool {
    size <= LARGEST_PAYLOAD && values <= MOST_VALUES
}

/// Returns an upper bound of the number of values in JSON text. Each value follows the beginning of
/// a list or map, a comma or a key.
fn values_in(json: &[u8]) -> usize {
    let (mut values, mut quoted, mut bytes) = (0, false, json.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            b',' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    values
}

/// Splits bytes into at least one chunk: the first of at most `first` bytes, the others of at most
/// [`CHUNK`].
pub fn chunks(bytes: &[u8], first: usize) -> Vec<&[u8]> {
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    std::iter::once(head).chain(rest.chunks(CHUNK)).collect()
}

/// Returns the SHA-256 digest in lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::release::Status;
    use jiff::Timestamp;

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
                parts.iter().skip(1).all(|part| part.len() <= CHUNK)
                    && parts[0].len() <= first.max(1)
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
}
