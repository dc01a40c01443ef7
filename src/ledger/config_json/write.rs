//! From JSON to bytes.
//!
//! Fields are written in the order of their numbers, except for those with default values. Maps are
//! sorted by key. This is the deterministic encoding of Go's protobuf.

use super::schema::{Field, Kind, Message, Shape};
use super::{Context, Fault};
use crate::error::nearest;
use crate::ledger::message::common;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A field in the form for writing.
enum Raw {
    Number(u64),
    Bytes(Vec<u8>),
}

pub fn message(message: &'static Message, at: Context, json: &Value) -> Result<Vec<u8>, Fault> {
    let object = object(json)?;
    check_names(message, object)?;
    let mut bytes = Vec::new();
    for field in message.fields {
        match object.get(field.name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let written = write(field, at, value, &mut bytes);
                written.map_err(|it| it.under(field.name))?;
            }
        }
    }
    Ok(bytes)
}

fn check_names(message: &'static Message, object: &Map<String, Value>) -> Result<(), Fault> {
    let known = || message.fields.iter().map(|field| field.name);
    match object.keys().find(|key| known().all(|name| name != *key)) {
        None => Ok(()),
        Some(key) => {
            let meant = nearest(key, known());
            let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name:?}?"));
            let why = format!("{} has no field {key:?}{meant}", message.name);
            Err(Fault::new(why))
        }
    }
}

fn write(field: &Field, at: Context, json: &Value, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    match field.shape {
        Shape::One | Shape::Alternative => {
            let raw = one(field.kind, at, "", json, bytes)?;
            let is_message = at.inner(field.kind, "")?.is_some();
            let keeps_default = is_message || field.shape == Shape::Alternative;
            if keeps_default || !raw.is_default() {
                raw.write(field.number, bytes);
            }
        }
        Shape::Many => {
            let items = json.as_array().ok_or_else(|| unexpected("a list", json))?;
            for (index, item) in items.iter().enumerate() {
                let raw = one(field.kind, at, "", item, bytes);
                let raw = raw.map_err(|it| it.under(format!("[{index}]")))?;
                raw.write(field.number, bytes);
            }
        }
        Shape::Map => {
            for (key, value) in object(json)?.iter().collect::<BTreeMap<_, _>>() {
                let value = one(field.kind, at, key, value, &[]);
                let value = value.map_err(|it| it.under(key.as_str()))?;
                let mut entry = Vec::new();
                Raw::Bytes(key.clone().into_bytes()).write(1, &mut entry);
                value.write(2, &mut entry);
                Raw::Bytes(entry).write(field.number, bytes);
            }
        }
    }
    Ok(())
}

fn one(kind: Kind, at: Context, key: &str, json: &Value, before: &[u8]) -> Result<Raw, Fault> {
    if let Some((message, context)) = at.inner(kind, key)? {
        return self::message(message, context, json).map(Raw::Bytes);
    }
    Ok(match kind {
        Kind::Bool => {
            let value = json
                .as_bool()
                .ok_or_else(|| unexpected("true or false", json))?;
            Raw::Number(value.into())
        }
        // A negative number has the ten bytes of its 64-bit form.
        Kind::Int32 => Raw::Number(i64::from(number::<i32>(json, "a 32-bit number")?) as u64),
        Kind::Uint32 => Raw::Number(number::<u32>(json, "a 32-bit number from 0")?.into()),
        Kind::Uint64 => Raw::Number(number(json, "a number from 0")?),
        Kind::String => Raw::Bytes(text(json)?.as_bytes().to_vec()),
        Kind::Enumeration(names) => Raw::Number(enumeration(names, json)?),
        Kind::Timestamp => {
            let time: jiff::Timestamp = text(json)?
                .parse()
                .map_err(|_| unexpected("a time such as 2026-11-22T18:41:38Z", json))?;
            Raw::Bytes(common::Timestamp::from(time).encode_to_vec())
        }
        kind => match (at.inside(kind, before)?, json) {
            (_, Value::Null) => Raw::Bytes(Vec::new()),
            (Some((message, context)), json) => Raw::Bytes(self::message(message, context, json)?),
            (None, json) => Raw::Bytes(base64(json)?),
        },
    })
}

fn enumeration(names: &[&str], json: &Value) -> Result<u64, Fault> {
    let expected = || format!("one of {}", names.join(", "));
    match json {
        Value::String(name) => {
            let number = names.iter().position(|known| known == name);
            number
                .map(|it| it as u64)
                .ok_or_else(|| unexpected(&expected(), json))
        }
        json => Ok(i64::from(number::<i32>(json, &expected())?) as u64),
    }
}

/// A number, as a number or in quotes.
fn number<N: std::str::FromStr>(json: &Value, expected: &str) -> Result<N, Fault> {
    let parsed = match json {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| unexpected(expected, json))
}

fn base64(json: &Value) -> Result<Vec<u8>, Fault> {
    let text = text(json)?;
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|_| Fault::new("not base64"))
}

fn text(json: &Value) -> Result<&str, Fault> {
    json.as_str().ok_or_else(|| unexpected("text", json))
}

fn object(json: &Value) -> Result<&Map<String, Value>, Fault> {
    json.as_object()
        .ok_or_else(|| unexpected("an object", json))
}

fn unexpected(expected: &str, json: &Value) -> Fault {
    let found = match json {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        scalar => scalar.to_string(),
    };
    Fault::new(format!("expected {expected}, found {found}"))
}

impl Raw {
    fn is_default(&self) -> bool {
        match self {
            Raw::Number(number) => *number == 0,
            Raw::Bytes(bytes) => bytes.is_empty(),
        }
    }

    fn write(&self, number: u32, bytes: &mut Vec<u8>) {
        match self {
            Raw::Number(value) => {
                encode_key(number, WireType::Varint, bytes);
                encode_varint(*value, bytes);
            }
            Raw::Bytes(content) => {
                encode_key(number, WireType::LengthDelimited, bytes);
                encode_varint(content.len() as u64, bytes);
                bytes.extend_from_slice(content);
            }
        }
    }
}
