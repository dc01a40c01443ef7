//! Reads a record's payload.

use super::pack::{damaged, unpack_text};
use super::{RecordState, SCHEMA, Secrets};
use crate::error::{Error, Result};
use crate::manifest::{DeletePolicy, Hook, HookEvent, Object, TemplateLine};
use crate::plan::mask;
use crate::release::{ChartReference, Record, Signature, Summary};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
    let nothing = Secrets::default();
    let secrets = secrets.unwrap_or(&nothing);
    let payload = read_rest(&text, &secrets.taken)?;
    let hooks = payload.hooks.into_iter().map(StoredHook::into_hook);
    let record = Record {
        summary,
        chart: payload.chart,
        user_values: payload.user_values,
        computed_values: payload.computed_values,
        secret_paths: payload.secret_paths,
        objects: Vec::new(),
        hooks: hooks.collect::<Result<_>>()?,
        notes: payload.notes,
        inventory: state.inventory,
        outcome: state.outcome,
        guard: payload.guard,
        mask_key: secrets.key.clone(),
        signing_key: secrets.signing_key.clone(),
        signature: Signature::Unchecked,
    };
    let taken = taken_of_objects(&secrets.taken);
    let (mut index, mut outcome) = (0, Ok(()));
    let mut one = |mut stored: Value| {
        for (path, value) in taken.get(&index).into_iter().flatten() {
            if let Some(place) = stored.pointer_mut(path) {
                *place = Value::clone(value);
            }
        }
        index += 1;
        match stored_object(stored) {
            Ok(object) => take(&record, object),
            Err(error) => outcome = outcome.clone().and(Err(error)),
        }
    };
    fields(&text, &mut Walk::Objects(&mut one))?;
    outcome.map(|()| record)
}

/// Reads everything but the objects.
fn read_rest(text: &[u8], taken: &BTreeMap<String, Value>) -> Result<Payload> {
    let mut tree = Map::new();
    fields(text, &mut Walk::Rest(&mut tree))?;
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
    serde_json::from_value(tree).map_err(damaged)
}

/// Returns the values that masks replace in objects: the path below each object, by its index.
fn taken_of_objects(taken: &BTreeMap<String, Value>) -> BTreeMap<usize, Vec<(&str, &Value)>> {
    let mut objects: BTreeMap<usize, Vec<(&str, &Value)>> = BTreeMap::new();
    for (pointer, value) in taken {
        let below = pointer.strip_prefix("/objects/");
        if let Some((index, path)) = below.and_then(|rest| Some(rest.split_at(rest.find('/')?)))
            && let Ok(index) = index.parse()
        {
            objects.entry(index).or_default().push((path, value));
        }
    }
    objects
}

/// Moves the body. Deserializing it together with its source would copy it.
fn stored_object(mut stored: Value) -> Result<Object> {
    let mut part = |name: &str| stored.get_mut(name).map(Value::take).unwrap_or_default();
    let (body, source) = (part("body"), part("source"));
    object(body, serde_json::from_value(source).map_err(damaged)?)
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
    events: Vec<HookEvent>,
    weight: i32,
    delete_policies: Vec<DeletePolicy>,
}

impl StoredHook {
    fn into_hook(self) -> Result<Hook> {
        Ok(Hook {
            object: object(self.body, self.source)?,
            events: self.events,
            weight: self.weight,
            delete_policies: self.delete_policies,
        })
    }
}
