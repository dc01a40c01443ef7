//! Reduces a live object's body to the parts that the rules of [`super::readiness`] use.

use super::readiness::is_awaited;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Returns the metadata of a live object and the fields that readiness rules use.
///
/// Drops other applied fields and managedFields.
pub fn outline(body: Value) -> Value {
    outlined(Level::Object, body)
}

/// Returns a smaller [`outline`], for an object whose owner does not matter.
///
/// Drops labels and annotations, except for the labels of a pod. Of a kind that is always ready,
/// keeps only the UID.
pub fn remnant(group: &str, kind: &str, body: Value) -> Value {
    let level = match (group, kind) {
        ("", "Pod") => Level::Pod,
        _ if is_awaited(group, kind) => Level::Remnant,
        _ => Level::AlwaysReady,
    };
    outlined(level, body)
}

fn outlined(level: Level, value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let kept = fields
        .into_iter()
        .filter_map(|(name, value)| match level.of(&name) {
            Part::Whole => Some((name, value)),
            Part::Outline(level) => Some((name, outlined(level, value))),
            Part::Nothing => None,
        });
    // A new map, because a map that loses fields keeps its memory, and one that grows allocates too
    // much.
    let kept: Vec<_> = kept.collect();
    let mut map = Map::with_capacity(kept.len());
    map.extend(kept);
    Value::Object(map)
}

/// Deserializes the [`outline`] of an object from JSON without building the rest.
pub struct ReadOutline;

impl<'de> DeserializeSeed<'de> for ReadOutline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, body: D) -> Result<Value, D::Error> {
        Level::Object.deserialize(body)
    }
}

/// The level in an object, which determines the fields to keep.
#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
    Spec,
    Pod,
    PodMetadata,
    Remnant,
    RemnantMetadata,
    AlwaysReady,
    Uid,
}

/// How much of a field to keep.
enum Part {
    Whole,
    Outline(Level),
    Nothing,
}

impl Level {
    fn of(self, field: &str) -> Part {
        match (self, field) {
            (Level::Object | Level::Pod | Level::Remnant, "apiVersion" | "kind" | "status") => {
                Part::Whole
            }
            (Level::Object | Level::Pod | Level::Remnant, "spec") => Part::Outline(Level::Spec),
            (Level::Spec, field) if LOOKED_AT.contains(&field) => Part::Whole,
            (Level::Object, "metadata") => Part::Outline(Level::Metadata),
            (Level::Pod, "metadata") => Part::Outline(Level::PodMetadata),
            (Level::Remnant, "metadata") => Part::Outline(Level::RemnantMetadata),
            (Level::AlwaysReady, "metadata") => Part::Outline(Level::Uid),
            (Level::Metadata | Level::PodMetadata | Level::RemnantMetadata, "managedFields") => {
                Part::Nothing
            }
            (Level::PodMetadata | Level::RemnantMetadata, "annotations")
            | (Level::RemnantMetadata, "labels") => Part::Nothing,
            (Level::Metadata | Level::PodMetadata | Level::RemnantMetadata, _)
            | (Level::Uid, "uid") => Part::Whole,
            (
                Level::Object
                | Level::Pod
                | Level::Remnant
                | Level::Spec
                | Level::AlwaysReady
                | Level::Uid,
                _,
            ) => Part::Nothing,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, fields: D) -> Result<Value, D::Error> {
        fields.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = match self.of(&name) {
                Part::Whole => fields.next_value()?,
                Part::Outline(level) => fields.next_value_seed(level)?,
                Part::Nothing => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            kept.insert(name, value);
        }
        Ok(Value::Object(kept))
    }
}

/// Fields of a spec that readiness rules or a wait use.
const LOOKED_AT: [&str; 8] = [
    "loadBalancerClass",
    "podManagementPolicy",
    "replicas",
    "resources",
    "storageClassName",
    "type",
    "updateStrategy",
    "volumeName",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_outline_is_the_same_read_from_text_as_made_of_a_body() {
        let body = json!({
            "kind": "StatefulSet", "apiVersion": "apps/v1",
            "metadata": {"name": "peer0", "labels": {"a": "b"}, "managedFields": [{"manager": "x"}]},
            "spec": {"replicas": 3, "template": {"spec": {"replicas": 1}}},
            "status": {"replicas": 1, "conditions": []},
            "data": {"spec": "x"},
        });
        let outlined = json!({
            "kind": "StatefulSet", "apiVersion": "apps/v1",
            "metadata": {"name": "peer0", "labels": {"a": "b"}},
            "spec": {"replicas": 3},
            "status": {"replicas": 1, "conditions": []},
        });
        let text = body.to_string();
        let read = ReadOutline
            .deserialize(&mut serde_json::Deserializer::from_str(&text))
            .unwrap();
        assert_eq!((read, outline(body)), (outlined.clone(), outlined));
        assert!(
            ReadOutline
                .deserialize(&mut serde_json::Deserializer::from_str("[]"))
                .is_err()
        );

        let settled = |group, kind| {
            remnant(
                group,
                kind,
                json!({
                    "kind": kind, "metadata": {"uid": "u", "generation": 1, "labels": {"a": "b"}}, "spec": {"replicas": 3, "x": 1}, "status": {},
                }),
            )
        };
        let awaited = json!({"kind": "StatefulSet", "metadata": {"uid": "u", "generation": 1}, "spec": {"replicas": 3}, "status": {}});
        assert_eq!(settled("apps", "StatefulSet"), awaited);
        assert_eq!(settled("", "ConfigMap"), json!({"metadata": {"uid": "u"}}));
    }
}
