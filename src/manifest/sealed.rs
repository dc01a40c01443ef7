//! Final objects, stored as text.

use super::{Object, ObjectKey, TemplateLine};
use bytes::Bytes;
use serde_json::Value;

/// An object that no longer changes, stored as the JSON that is sent and recorded.
///
/// A tree takes about seven times the memory, and would have to be serialized for each use.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    pub key: ObjectKey,
    pub api_version: String,
    pub source: TemplateLine,
    /// [`Object::stage`]
    pub stage: i32,
    /// [`Object::rollout_group`]
    pub rollout_group: Option<Box<str>>,
    /// Whether the object has a resourceVersion.
    pub is_versioned: bool,
    json: Bytes,
}

impl Sealed {
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.json).expect("JSON is UTF-8")
    }

    /// Parses the object's tree. Each call parses again.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.json).expect("this program wrote it")
    }

    pub fn open(&self) -> Object {
        Object {
            key: self.key.clone(),
            body: self.body(),
            source: self.source.clone(),
        }
    }
}

impl From<Object> for Sealed {
    fn from(object: Object) -> Sealed {
        Sealed {
            api_version: object.api_version().to_owned(),
            stage: object.stage(),
            rollout_group: object.rollout_group().map(Box::from),
            is_versioned: !object.body["metadata"]["resourceVersion"].is_null(),
            json: serde_json::to_vec(&object.body)
                .expect("JSON with string keys is always written")
                .into_boxed_slice()
                .into(),
            key: object.key,
            source: object.source,
        }
    }
}
