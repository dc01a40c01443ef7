//! Generates the editor schema and the reference page of network files from the tables.

use super::fields::NETWORK;
use super::shape::{Field, Shape};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The JSON Schema (draft 2020-12) for editors.
pub fn schema() -> Value {
    let mut schema = object(NETWORK);
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Network file of kubectl fabric",
    });
    if let (Value::Object(root), Value::Object(schema)) = (&mut root, &mut schema) {
        root.append(schema);
    }
    root
}

fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut property = of(&field.shape);
        property["description"] = field.description.replace('`', "").into();
        properties.insert(field.name.to_owned(), property);
    }
    let required = fields.iter().filter(|field| field.required);
    let required: Vec<&str> = required.map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["properties"] = Value::Object(properties);
    schema
}

/// Returns the schema of a shape. Maps and lists may be empty keys, which YAML parses as null.
fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Label => json!({
            "type": "string",
            "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            "maxLength": 63,
        }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Whole {
            least,
            most: u64::MAX,
        } => json!({"type": "integer", "minimum": least}),
        Shape::Whole { least, most } => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Shape::Duration => json!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}),
        Shape::Bytes => json!({
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": super::quantity::MOST},
                {"type": "string", "pattern": "^ *[0-9]+ *([kKmMgG]?[bB]?|[kKmMgG][iI]) *$"},
            ],
        }),
        Shape::Values => json!({"type": ["object", "null"]}),
        Shape::List(item) => json!({"type": ["array", "null"], "items": of(item)}),
        Shape::OneOrMore => json!({
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
            ],
        }),
        Shape::Map { item, .. } => {
            json!({"type": ["object", "null"], "additionalProperties": of(item)})
        }
        Shape::Object(fields) => {
            let mut schema = object(fields);
            schema["type"] = json!(["object", "null"]);
            schema
        }
        Shape::Names { fields, .. } => json!({
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
                {"type": ["object", "null"], "additionalProperties": of(&Shape::Object(fields))},
            ],
        }),
    }
}

/// The reference page, in Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# Network files\n\nThis page is generated from the tables in `src/network/fields`. To \
         check a file in an editor, use\n[network.schema.json](network.schema.json). With the YAML \
         language server, start the file with the line\n`# yaml-language-server: \
         $schema=network.schema.json`.\n\nA network file describes organizations, channels and \
         chaincodes. Unknown keys are an error. In the\ntables, *NAME* stands for a name of your \
         choice.\n",
    );
    section(&mut text, "", NETWORK);
    text
}

fn section(text: &mut String, path: &str, fields: &'static [Field]) {
    let title = if path.is_empty() {
        "The file".to_owned()
    } else {
        format!("`{path}`")
    };
    writeln!(
        text,
        "\n## {title}\n\n| key | holds | default | meaning |\n|---|---|---|---|"
    )
    .expect("a String takes all");
    for field in fields {
        let default = if field.required {
            "**required**"
        } else {
            field.default
        };
        let (holds, description) = (holds(&field.shape), cell(field.description));
        writeln!(
            text,
            "| `{}` | {holds} | {default} | {description} Example: `{}` |",
            field.name,
            cell(field.example)
        )
        .expect("a String takes all");
    }
    for field in fields {
        let at = match path {
            "" => field.name.to_owned(),
            path => format!("{path}.{}", field.name),
        };
        nested(text, &at, &field.shape);
    }
}

fn nested(text: &mut String, at: &str, shape: &Shape) {
    match shape {
        Shape::Object(fields) => section(text, at, fields),
        Shape::Names { fields, .. } => section(text, &format!("{at}.NAME"), fields),
        Shape::Map { item, .. } => nested(text, &format!("{at}.NAME"), item),
        Shape::List(item) => nested(text, &format!("{at}[]"), item),
        _ => {}
    }
}

fn holds(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Label => "name".to_owned(),
        Shape::Word([word]) => format!("`{word}`"),
        Shape::Word(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Whole { .. } => "whole number".to_owned(),
        Shape::Duration => "duration".to_owned(),
        Shape::Bytes => "bytes".to_owned(),
        Shape::Values => "map of values".to_owned(),
        Shape::List(item) => match item {
            Shape::Text => "list of texts".to_owned(),
            _ => "list".to_owned(),
        },
        Shape::OneOrMore => "name or list of names".to_owned(),
        Shape::Map {
            key,
            item: Shape::Text,
        } => format!("map from {key} to text"),
        Shape::Map { key, .. } => format!("map by {key}"),
        Shape::Object(_) => "map".to_owned(),
        Shape::Names { key, .. } => format!("list, or map, by {key}"),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::document::Document;
    use crate::network::problem::Problems;
    use crate::network::shape;
    use crate::yaml;

    /// Returns a value of a shape with every key set, from the examples in the tables.
    fn full(shape: &Shape, example: &str) -> Value {
        match shape {
            Shape::Object(fields) => {
                let entry =
                    |field: &Field| (field.name.to_owned(), full(&field.shape, field.example));
                Value::Object(fields.iter().map(entry).collect())
            }
            Shape::Map {
                item: item @ Shape::Object(_),
                ..
            } => json!({"a": full(item, "")}),
            Shape::Names { fields, .. } => json!({"a": full(&Shape::Object(fields), "")}),
            Shape::List(item @ Shape::Object(_)) => json!([full(item, "")]),
            _ => yaml::parse(example, "example").unwrap(),
        }
    }

    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let kept = map.into_iter().filter(|(_, value)| !value.is_null());
                Value::Object(
                    kept.map(|(key, value)| (key, without_nulls(value)))
                        .collect(),
                )
            }
            Value::Array(list) => list.into_iter().map(without_nulls).collect(),
            value => value,
        }
    }

    #[test]
    fn the_tables_are_the_types() {
        let mut tree = full(&Shape::Object(NETWORK), "");
        let mut problems = Problems::new("full", tree.clone(), yaml::Positions::new());
        shape::check(&mut tree, &Shape::Object(NETWORK), "", &mut problems);
        assert!(problems.is_empty(), "{}", problems.into_error());
        let document: Document = serde_json::from_value(tree.clone()).unwrap();
        // A key that is only in a table would be lost, and one that is only in a type would appear.
        let written = serde_json::to_value(&document).unwrap();
        assert_eq!(without_nulls(written), tree);
        let empty = serde_json::to_value(Document::default()).unwrap();
        let keys: Vec<&String> = empty.as_object().unwrap().keys().collect();
        let names: Vec<&str> = NETWORK.iter().map(|field| field.name).collect();
        assert_eq!(keys, names);
    }

    #[test]
    fn the_schema_accepts_what_the_reader_accepts_and_refuses_what_it_refuses() {
        let validator = jsonschema::options().offline().build(&schema()).unwrap();
        let full = full(&Shape::Object(NETWORK), "");
        assert!(
            validator.is_valid(&full),
            "{:?}",
            validator.iter_errors(&full).next()
        );
        let base = "apiVersion: kubectl-fabric.io/v1\nkind: Network\norganizations:\n  org1:\n";
        let channel = "channels:\n  a:\n    orderers: [orgorderer1]\n    organizations: [org1]\n";
        for (text, fits) in [
            (String::new(), true),
            (channel.to_owned(), true),
            (format!("{channel}    batchTimeout: 2s\n"), true),
            (format!("{channel}    batchTimeout: 2\n"), false),
            (
                format!("{channel}    batchSize: {{maxMessages: 0}}\n"),
                false,
            ),
            (
                format!("{channel}    batchSize: {{absoluteMaxBytes: 10 MB}}\n"),
                true,
            ),
            (
                format!("{channel}    batchSize: {{absoluteMaxBytes: ten}}\n"),
                false,
            ),
            (
                format!("{channel}    capabilities: {{channel: V9}}\n"),
                false,
            ),
            (
                channel.replace("[org1]", "{org1: {anchors: [peer0]}}"),
                true,
            ),
            (
                channel.replace("[org1]", "{org1: {anchor: [peer0]}}"),
                false,
            ),
            (channel.replace("[org1]", "[org1, org1]"), false),
            (channel.replace("    orderers: [orgorderer1]\n", ""), false),
            ("name: a_b\n".to_owned(), false),
            ("chanels: {}\n".to_owned(), false),
            ("chaincodes: {b: {channel: a}}\n".to_owned(), true),
            (
                "chaincodes: {b: {channel: [a, c], version: 1.0}}\n".to_owned(),
                false,
            ),
        ] {
            let text = format!("{base}{text}");
            let (mut tree, positions) = yaml::parse_with_positions(&text, "a.yaml").unwrap();
            assert_eq!(validator.is_valid(&tree), fits, "schema: {text}");
            let mut problems = Problems::new("a.yaml", tree.clone(), positions);
            shape::check(&mut tree, &Shape::Object(NETWORK), "", &mut problems);
            assert_eq!(problems.is_empty(), fits, "reader: {text}");
        }
    }
}
