//! Writes a record's payload.

use super::pack::{LARGEST_PAYLOAD, MOST_VALUES, is_readable, values_in};
use super::{SCHEMA, Secrets};
use crate::error::{Error, Result};
use crate::manifest::{Hook, Object, Sealed};
use crate::plan::mask::{self, Masker};
use crate::release::Record;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// Returns the payload with its secrets masked, and the secrets.
///
/// # Errors
///
/// Fails if the record exceeds the limits of [`unpack`](super::unpack).
pub fn encode(record: &Record, key: &str) -> Result<(Vec<u8>, Secrets)> {
    let secret = &record.secret_paths;
    let of_all = Masker::secrets_of(&record.computed_values, secret).into_iter();
    let of_user = Masker::secrets_of(&record.user_values, secret);
    let masker = Masker::new(key.as_bytes(), of_all.chain(of_user));
    let mut payload = Writing::new(masker);
    payload.text(&format!("{{\"schema\":{SCHEMA}"));
    payload.plain("chart", json!(record.chart));
    payload.field("userValues", record.user_values.clone(), secret);
    payload.field("computedValues", record.computed_values.clone(), secret);
    payload.plain("secretPaths", json!(secret));
    payload.list("objects", &record.objects, |payload, object, at| {
        payload.object(object, at)
    });
    payload.list("hooks", &record.hooks, Writing::hook);
    payload.field("notes", json!(record.notes), &[]);
    payload.field("guard", record.guard.clone(), &[]);
    payload.text("}");
    payload.check_size()?;
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
    fn new(masker: Masker) -> Writing {
        Writing {
            out: GzEncoder::new(Vec::new(), Compression::new(6)),
            masker,
            taken: BTreeMap::new(),
            size: 0,
            values: 0,
        }
    }

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

    fn hook(&mut self, hook: &Hook, at: &str) {
        let marks = [
            ("events", json!(hook.events)),
            ("weight", json!(hook.weight)),
            ("deletePolicies", json!(hook.delete_policies)),
        ];
        let marks = marks.map(|(name, mark)| (name.to_owned(), mark));
        self.item(&hook.object, at, marks.into_iter().collect());
    }

    /// Fails if the payload exceeds the limits of a record.
    fn check_size(&self) -> Result<()> {
        if is_readable(self.size, self.values) {
            return Ok(());
        }
        Err(Error::user("the release is too large to record")
            .why(format!(
                "its values and manifest are {} MiB of JSON with {} values",
                self.size >> 20,
                self.values
            ))
            .why(format!(
                "the limit is {} MiB with {MOST_VALUES} values",
                LARGEST_PAYLOAD >> 20
            ))
            .hint("split it into several releases"))
    }
}
