//! From bytes to JSON.
//!
//! Fields are read like in Go: if a field occurs twice, the last one counts. Two parts of one
//! message are merged, which is the same as reading their concatenated bytes.

use super::schema::{Field, Kind, Message, Shape};
use super::{Context, Fault};
use crate::ledger::message::common;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A field in its encoded form.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

type Fields<'a> = BTreeMap<u32, Vec<Raw<'a>>>;

pub fn message(message: &'static Message, at: Context, bytes: &[u8]) -> Result<Value, Fault> {
    let fields = fields(bytes)?;
    let mut shown: Vec<(&'static str, Value)> = Vec::with_capacity(message.fields.len());
    for field in message.fields {
        let found = fields.get(&field.number).map_or(&[][..], Vec::as_slice);
        if field.shape == Shape::Alternative && found.is_empty() {
            continue;
        }
        let value = self::field(field, at, found, bytes).map_err(|it| it.under(field.name))?;
        shown.push((field.name, value));
    }
    shown.sort_by_key(|(name, _)| *name);
    let shown = shown
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Ok(Value::Object(shown.collect()))
}

fn field(field: &Field, at: Context, found: &[Raw<'_>], all: &[u8]) -> Result<Value, Fault> {
    match field.shape {
        Shape::One | Shape::Alternative => one(field.kind, at, found, all),
        Shape::Many => {
            let items = found.iter().enumerate().map(|(index, raw)| {
                one(field.kind, at, &[*raw], all).map_err(|it| it.under(format!("[{index}]")))
            });
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        Shape::Map => map(field.kind, at, found),
    }
}

/// Entries of a map: if a key occurs twice, the last entry counts.
fn map(kind: Kind, at: Context, found: &[Raw<'_>]) -> Result<Value, Fault> {
    let mut entries = BTreeMap::new();
    for raw in found {
        let entry = fields(raw.bytes()?)?;
        let key = entry.get(&1).and_then(|keys| keys.last());
        let key = key.map_or(Ok(""), |raw| raw.text())?;
        let value = entry.get(&2).map_or(&[][..], Vec::as_slice);
        let shown = match at.inner(kind, key)? {
            // An entry without a value has an empty message.
            Some((message, context)) => {
                joined(value).and_then(|bytes| self::message(message, context, &bytes))
            }
            None => one(kind, at, value, &[]),
        };
        entries.insert(key.to_owned(), shown.map_err(|it| it.under(key))?);
    }
    Ok(Value::Object(Map::from_iter(entries)))
}

fn one(kind: Kind, at: Context, found: &[Raw<'_>], all: &[u8]) -> Result<Value, Fault> {
    if let Some((message, context)) = at.inner(kind, "")? {
        return match found {
            [] => Ok(Value::Null),
            found => self::message(message, context, &joined(found)?),
        };
    }
    let last = found.last().copied();
    let number = || last.map_or(Ok(0), Raw::number);
    let bytes = || last.map_or(Ok(&[][..]), |raw| raw.bytes());
    Ok(match kind {
        Kind::Bool => (number()? != 0).into(),
        Kind::Int32 => (number()? as i32).into(),
        Kind::Uint32 => (number()? as u32).into(),
        Kind::Uint64 => number()?.to_string().into(),
        Kind::String => last.map_or(Ok(""), |raw| raw.text())?.into(),
        Kind::Enumeration(names) => {
            let number = number()? as i32;
            let name = usize::try_from(number)
                .ok()
                .and_then(|index| names.get(index));
            name.map_or_else(|| number.into(), |name| Value::from(*name))
        }
        Kind::Timestamp => match found {
            [] => Value::Null,
            found => timestamp(&joined(found)?)?,
        },
        Kind::Bytes => STANDARD.encode(bytes()?).into(),
        kind => match (at.inside(kind, all)?, bytes()?) {
            (_, []) => Value::Null,
            (Some((message, context)), bytes) => self::message(message, context, bytes)?,
            (None, bytes) => STANDARD.encode(bytes).into(),
        },
    })
}

/// RFC 3339 with no, 3, 6 or 9 decimals, as protobuf's JSON has it.
fn timestamp(bytes: &[u8]) -> Result<Value, Fault> {
    let timestamp =
        common::Timestamp::decode(bytes).map_err(|error| Fault::new(error.to_string()))?;
    let time = timestamp
        .time()
        .ok_or_else(|| Fault::new("a time out of range"))?;
    let decimals = match time.subsec_nanosecond() {
        0 => "%Y-%m-%dT%H:%M:%SZ",
        nanos if nanos % 1_000_000 == 0 => "%Y-%m-%dT%H:%M:%S.%3fZ",
        nanos if nanos % 1_000 == 0 => "%Y-%m-%dT%H:%M:%S.%6fZ",
        _ => "%Y-%m-%dT%H:%M:%S.%9fZ",
    };
    Ok(time.strftime(decimals).to_string().into())
}

fn fields(mut bytes: &[u8]) -> Result<Fields<'_>, Fault> {
    let broken = |error: prost::DecodeError| Fault::new(format!("not a message: {error}"));
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).map_err(broken)?;
        let raw = match wire {
            WireType::Varint => Raw::Number(decode_varint(&mut bytes).map_err(broken)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut bytes).map_err(broken)?;
                let length = usize::try_from(length).ok().filter(|it| *it <= bytes.len());
                let length =
                    length.ok_or_else(|| Fault::new("not a message: it ends too early"))?;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Raw::Bytes(content)
            }
            // No known field has another form, so this is an unknown field, which JSON cannot show.
            wire => {
                let context = prost::encoding::DecodeContext::default();
                prost::encoding::skip_field(wire, number, &mut bytes, context).map_err(broken)?;
                continue;
            }
        };
        fields.entry(number).or_default().push(raw);
    }
    Ok(fields)
}

/// The parts of one message, one after the other.
fn joined<'a>(found: &[Raw<'a>]) -> Result<Cow<'a, [u8]>, Fault> {
    match found {
        [] => Ok(Cow::Borrowed(&[])),
        [one] => Ok(Cow::Borrowed(one.bytes()?)),
        parts => {
            let parts = parts.iter().map(|part| part.bytes());
            Ok(Cow::Owned(parts.collect::<Result<Vec<_>, _>>()?.concat()))
        }
    }
}

impl<'a> Raw<'a> {
    fn number(self) -> Result<u64, Fault> {
        match self {
            Raw::Number(number) => Ok(number),
            Raw::Bytes(_) => Err(Fault::new("bytes where a number is expected")),
        }
    }

    fn bytes(self) -> Result<&'a [u8], Fault> {
        match self {
            Raw::Bytes(bytes) => Ok(bytes),
            Raw::Number(_) => Err(Fault::new("a number where bytes are expected")),
        }
    }

    fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault::new("text that is not UTF-8"))
    }
}
