//! Configuration messages ↔ the JSON that `configtxlator proto_decode` prints and
//! `proto_encode` reads.
//!
//! The JSON is protobuf's own mapping (64-bit numbers as strings, bytes as base64, unset messages
//! as null), except that bytes that contain another message are shown as that message. [`schema`]
//! is the table of messages; [`read`] goes from bytes to JSON, [`write`] back. Content that
//! configtxlator cannot show (an unknown key, an idemix MSP) is shown as base64.
//!
//! Maps are written sorted by key, as configtxlator's encoder does.

mod read;
mod schema;
mod write;

pub use schema::{
    APPLICATION_ORGANIZATION_GROUP, BLOCK, CONFIG, CONFIG_UPDATE, CONFIG_UPDATE_ENVELOPE, ENVELOPE,
    Group, Message, ORDERER_ORGANIZATION_GROUP,
};

use crate::error::{Error, Place, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schema::Kind;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// The JSON of an encoded message.
pub fn to_json(message: &'static Message, bytes: &[u8]) -> Result<Value> {
    read::message(message, Context::NONE, bytes)
        .map_err(|fault| fault.error(format!("cannot show the message {} as JSON", message.name)))
}

/// The bytes of a message from its JSON.
pub fn from_json(message: &'static Message, json: &Value) -> Result<Vec<u8>> {
    write::message(message, Context::NONE, json)
        .map_err(|fault| fault.error(format!("cannot read the JSON of a {}", message.name)))
}

/// The JSON of a group of the configuration tree: of an organization, what
/// `configtxgen -printOrg` prints.
pub fn group_to_json(group: &'static Group, bytes: &[u8]) -> Result<Value> {
    read::message(&schema::CONFIG_GROUP, Context::group(group), bytes)
        .map_err(|fault| fault.error("cannot show a group of the configuration as JSON"))
}

/// The bytes of a `ConfigGroup` from its JSON.
pub fn group_from_json(group: &'static Group, json: &Value) -> Result<Vec<u8>> {
    write::message(&schema::CONFIG_GROUP, Context::group(group), json)
        .map_err(|fault| fault.error("cannot read the JSON of a group of the configuration"))
}

/// The JSON of a value of the configuration tree: `BatchSize` in the group `["Orderer"]`.
pub fn value_to_json(path: &[&str], key: &str, bytes: &[u8]) -> Result<Value> {
    let group = path
        .iter()
        .fold(&schema::CHANNEL_GROUP, |group, name| group.below(name));
    match group.value(key) {
        Some(message) => to_json(message, bytes),
        None => Ok(STANDARD.encode(bytes).into()),
    }
}

/// The text of a JSON as Fabric's tools print it (`protolator/json.go`): indented by tabs, with the
/// characters escaped that Go's `encoding/json` escapes for HTML.
pub fn print(json: &Value) -> String {
    let mut bytes = Vec::new();
    let mut writer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"\t"));
    json.serialize(&mut writer)
        .expect("a JSON value is always written to memory");
    let mut text = String::from_utf8(bytes).expect("JSON is written in UTF-8");
    // All of them are inside strings.
    for character in ['<', '>', '&', '\u{2028}', '\u{2029}'] {
        if text.contains(character) {
            text = text.replace(character, &format!("\\u{:04x}", u32::from(character)));
        }
    }
    text.push('\n');
    text
}

/// Maximum nesting depth of messages: prost's limit, also for messages inside bytes.
const MAX_DEPTH: usize = 100;

/// The context of a message: its group in the tree, the content of its value, and its depth.
#[derive(Clone, Copy)]
struct Context {
    group: Option<&'static Group>,
    value: Option<&'static Message>,
    depth: usize,
}

impl Context {
    const NONE: Context = Context {
        group: None,
        value: None,
        depth: 0,
    };

    fn group(group: &'static Group) -> Context {
        Context {
            group: Some(group),
            ..Context::NONE
        }
    }

    /// Returns the message type of a field, and its context. `key` is the key of a map's entry.
    fn inner(self, kind: Kind, key: &str) -> Result<Option<(&'static Message, Context)>, Fault> {
        let (message, group, value) = match kind {
            Kind::Message(message) => (message, None, None),
            Kind::Group(group) => (&schema::CONFIG_GROUP, Some(group), None),
            Kind::Groups => {
                let below = self.group.map(|group| group.below(key));
                (&schema::CONFIG_GROUP, below, None)
            }
            Kind::Values => {
                let value = self.group.and_then(|group| group.value(key));
                (&schema::CONFIG_VALUE, None, value)
            }
            _ => return Ok(None),
        };
        let depth = self.deeper()?;
        let context = Context {
            group,
            value,
            depth,
        };
        Ok(Some((message, context)))
    }

    /// Returns the message type in the bytes of a field, and its context. `before` are the
    /// preceding fields, encoded.
    fn inside(
        self,
        kind: Kind,
        before: &[u8],
    ) -> Result<Option<(&'static Message, Context)>, Fault> {
        let message = match kind {
            Kind::Opaque(message) => Some(message),
            Kind::OpaqueBy(choose) => choose(before),
            Kind::ValueByKey => self.value,
            _ => None,
        };
        let Some(message) = message else {
            return Ok(None);
        };
        let depth = self.deeper()?;
        let context = Context {
            depth,
            ..Context::NONE
        };
        Ok(Some((message, context)))
    }

    fn deeper(self) -> Result<usize, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(format!("more than {MAX_DEPTH} levels deep")));
        }
        Ok(self.depth + 1)
    }
}

/// Why a message cannot be read, and where.
struct Fault {
    /// Innermost first.
    path: Vec<String>,
    why: String,
}

impl Fault {
    fn new(why: impl Into<String>) -> Fault {
        Fault {
            path: Vec::new(),
            why: why.into(),
        }
    }

    fn under(mut self, name: impl Into<String>) -> Fault {
        self.path.push(name.into());
        self
    }

    fn error(self, what: impl Into<String>) -> Error {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        let error = Error::user(what);
        if path.is_empty() {
            error.why(self.why)
        } else {
            error.at(Place::new(path.join(".")).note(self.why))
        }
    }
}

#[cfg(test)]
mod tests;
