//! Validates values against a chart's `values.schema.json`. Reports all violations at once, in
//! words for the author of the values.
//!
//! The schema is JSON Schema with one extension: `x-secret: true` marks a value that is never
//! shown. References are resolved only inside the schema. Nothing is fetched.

use super::{Origin, Values, path};
use crate::error::{Error, Place, Result, nearest};
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Wrong},
};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Longest text that is repeated to the user as a possible typing error.
const MAX_SHOWN: usize = 40;

/// Validates values against a chart's schema.
///
/// Reports all violations with their origins, and the nearest name for an unknown key. Never shows
/// a value at one of the `secrets` (JSON pointers) or at a path with `x-secret: true`. Of other
/// values, shows only short texts that an `enum` refuses.
///
/// # Errors
///
/// Returns one error with a place for each violation, or an error about the schema itself.
pub fn validate(
    schema: &Value,
    values: &Values,
    secrets: &[String],
    release: &str,
    chart: &str,
) -> Result<()> {
    let validator = jsonschema::options()
        .offline()
        .build(schema)
        .map_err(|error| {
            Error::user(format!(
                "the values.schema.json of chart {chart} is not a valid JSON Schema"
            ))
            .at(Place::new("values.schema.json")
                .note(format!("at \"{}\": {error}", error.instance_path())))
        })?;
    let secrets = [secret_paths(schema, &values.tree), secrets.to_vec()].concat();
    let reader = Reader {
        schema,
        values,
        secrets,
    };
    let mut violations = Vec::new();
    for error in validator.iter_errors(&values.tree) {
        reader.read(&error, &mut violations);
    }
    if violations.is_empty() {
        return Ok(());
    }
    let mut located: Vec<(Place, Option<String>)> = Vec::new();
    for violation in violations {
        let path = path::display(&violation.pointer, &values.tree);
        let shown = if path.is_empty() {
            String::new()
        } else {
            format!("{path}: ")
        };
        let place = place(values, &violation.pointer);
        let place = place.note(format!("{shown}{}", violation.what));
        let hint = violation
            .near
            .map(|near| format!("{shown}did you mean \"{near}\"?"));
        if !located.iter().any(|(known, _)| *known == place) {
            located.push((place, hint));
        }
    }
    located.sort_by(|(a, _), (b, _)| {
        (&a.subject, a.line, a.column, &a.note).cmp(&(&b.subject, b.line, b.column, &b.note))
    });
    let mut error = Error::user(format!("values for \"{release}\" do not fit chart {chart}"));
    for (place, hint) in located {
        error = error.at(place);
        if let Some(hint) = hint {
            error = error.hint(hint);
        }
    }
    Err(error)
}

/// Returns the place at which the user should fix a violation.
///
/// For a missing key, prefers a file that names the parent map, even if a flag names it too.
fn place(values: &Values, pointer: &str) -> Place {
    let parent = &pointer[..pointer.rfind('/').unwrap_or(0)];
    let in_file = |origin: &&Origin| matches!(origin, Origin::File { .. });
    let origin = match (values.origins.get(pointer), values.origins.get(parent)) {
        (None, Some(origins)) => origins.iter().rfind(in_file).or(origins.last()),
        _ => values.origin(pointer),
    };
    origin.map_or_else(|| Place::new("values"), Origin::place)
}

/// Returns the JSON pointers of all values in `tree` that the schema marks `x-secret: true`.
///
/// Follows all branches of the schema, even those that do not apply to the values: a value that may
/// be a secret is treated as one.
pub fn secret_paths(schema: &Value, tree: &Value) -> Vec<String> {
    let mut search = Search {
        root: schema,
        seen: HashSet::new(),
        found: BTreeSet::new(),
    };
    search.collect(schema, tree, "");
    search.found.into_iter().collect()
}

struct Search<'s> {
    root: &'s Value,
    /// Schemas (by address) and nodes already visited together, because a schema may refer to
    /// itself.
    seen: HashSet<(*const Value, String)>,
    found: BTreeSet<String>,
}

impl<'s> Search<'s> {
    fn collect(&mut self, schema: &'s Value, node: &Value, pointer: &str) {
        let Value::Object(keywords) = schema else {
            return;
        };
        if keywords.get("x-secret") == Some(&Value::Bool(true)) {
            self.found.insert(pointer.to_owned());
            return;
        }
        if !self.seen.insert((schema, pointer.to_owned())) {
            return;
        }
        for branch in branches(self.root, schema) {
            self.collect(branch, node, pointer);
        }
        match node {
            Value::Object(map) => {
                let named = keywords.get("properties").and_then(Value::as_object);
                let patterns = keywords.get("patternProperties").and_then(Value::as_object);
                for (key, value) in map {
                    let pointer = path::key_below(pointer, key);
                    let known = named.and_then(|named| named.get(key));
                    // Does not check which pattern matches the key: all of them may.
                    let other = ["additionalProperties", "unevaluatedProperties"]
                        .map(|keyword| keywords.get(keyword));
                    let other = other.into_iter().flatten().filter(|_| known.is_none());
                    for schema in known
                        .into_iter()
                        .chain(patterns.into_iter().flat_map(|patterns| patterns.values()))
                        .chain(other)
                    {
                        self.collect(schema, value, &pointer);
                    }
                }
            }
            Value::Array(list) => {
                let first = ["prefixItems", "items"]
                    .map(|keyword| keywords.get(keyword).and_then(Value::as_array));
                let rest = ["items", "additionalItems", "contains", "unevaluatedItems"]
                    .map(|keyword| keywords.get(keyword));
                for (index, value) in list.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    let own = first
                        .iter()
                        .flatten()
                        .filter_map(|schemas| schemas.get(index));
                    for schema in own.chain(rest.into_iter().flatten()) {
                        self.collect(schema, value, &pointer);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Returns the schemas that apply to the same value as `schema`: references, alternatives and
/// conditions.
fn branches<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix('#'));
    let mut found: Vec<&Value> = target
        .and_then(|target| root.pointer(target))
        .into_iter()
        .collect();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        found.extend(
            schema
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        );
    }
    found.extend(
        ["if", "then", "else", "not"]
            .into_iter()
            .filter_map(|keyword| schema.get(keyword)),
    );
    found.extend(
        schema
            .get("dependentSchemas")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|schemas| schemas.values()),
    );
    found
}

/// A violation of the schema.
struct Violation {
    pointer: String,
    what: String,
    /// The name that the user probably meant.
    near: Option<String>,
}

struct Reader<'a> {
    schema: &'a Value,
    values: &'a Values,
    secrets: Vec<String>,
}

impl Reader<'_> {
    fn read(&self, error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
        let pointer = error.instance_path().as_str().to_owned();
        let mut say = |what: String| {
            violations.push(Violation {
                pointer: pointer.clone(),
                what,
                near: None,
            })
        };
        match error.kind() {
            Wrong::AdditionalProperties { unexpected }
            | Wrong::UnevaluatedProperties { unexpected } => {
                let known = self
                    .schema_of(error)
                    .map(|schema| known_keys(self.schema, schema))
                    .unwrap_or_default();
                for key in unexpected {
                    let near = nearest(key, known.iter().copied()).map(String::from);
                    let what = match known.len() {
                        0 => "unknown key; no keys are allowed here".into(),
                        1..=12 if near.is_none() => {
                            format!(
                                "unknown key; known keys are {}",
                                words(known.iter().map(|key| (*key).to_owned()), "and")
                            )
                        }
                        _ => "unknown key".into(),
                    };
                    violations.push(Violation {
                        pointer: path::key_below(&pointer, key),
                        what,
                        near,
                    });
                }
            }
            Wrong::Required { property } => {
                let below = path::key_below(&pointer, property.as_str().unwrap_or_default());
                let is_null = self.values.origins.contains_key(&below);
                let what = if is_null {
                    "null, but the chart has no default for it"
                } else {
                    "missing; the chart requires it"
                };
                violations.push(Violation {
                    pointer: below,
                    what: what.into(),
                    near: None,
                });
            }
            Wrong::Enum { options } => {
                let options = options.as_array().cloned().unwrap_or_default();
                let wanted = words(options.iter().map(quoted), "or");
                let shown = error.instance().as_str().filter(|text| {
                    text.len() <= MAX_SHOWN && !text.contains('\n') && !self.is_secret(&pointer)
                });
                let near = shown
                    .and_then(|text| nearest(text, options.iter().filter_map(Value::as_str)))
                    .map(String::from);
                let what = match shown {
                    Some(text) => format!("unknown value \"{text}\"; expected {wanted}"),
                    None => format!(
                        "expected {wanted}, not another {}",
                        kind(error.instance()).trim_start_matches("a ")
                    ),
                };
                violations.push(Violation {
                    pointer,
                    what,
                    near,
                });
            }
            Wrong::Constant { expected_value } => {
                say(format!("expected {}", quoted(expected_value)))
            }
            Wrong::Type { kind: wanted } => {
                say(format!(
                    "expected {}, not {}",
                    words(types(wanted).into_iter(), "or"),
                    kind(error.instance())
                ));
            }
            Wrong::AnyOf { context } | Wrong::OneOfNotValid { context } => {
                self.alternatives(error, context, violations)
            }
            Wrong::OneOfMultipleValid { .. } => say(self.described(
                error,
                "matches more than one of the forms that exclude each other",
            )),
            Wrong::FalseSchema => say(self.described(error, "cannot be set here")),
            Wrong::Not { .. } => say(self.described(error, "this combination is not allowed")),
            Wrong::Pattern { pattern } => {
                let form = self
                    .description(error)
                    .unwrap_or_else(|| format!("text that matches `{pattern}`"));
                say(format!("does not match the expected format: {form}"));
            }
            Wrong::Format { format } => say(format!("not a valid {}", format.replace('-', " "))),
            Wrong::Minimum { limit } => say(format!("expected at least {limit}")),
            Wrong::Maximum { limit } => say(format!("expected at most {limit}")),
            Wrong::ExclusiveMinimum { limit } => say(format!("expected more than {limit}")),
            Wrong::ExclusiveMaximum { limit } => say(format!("expected less than {limit}")),
            Wrong::MultipleOf { multiple_of } => {
                say(format!("expected a multiple of {multiple_of}"))
            }
            Wrong::MinLength { limit: 1 } => say("the text must not be empty".into()),
            Wrong::MinLength { limit } => {
                say(format!("expected at least {}", count(*limit, "character")))
            }
            Wrong::MaxLength { limit } => {
                say(format!("expected at most {}", count(*limit, "character")))
            }
            Wrong::MinItems { limit: 1 } => say("the list must not be empty".into()),
            Wrong::MinItems { limit } => {
                say(format!("expected at least {}", count(*limit, "item")))
            }
            Wrong::MaxItems { limit } => say(format!("expected at most {}", count(*limit, "item"))),
            Wrong::AdditionalItems { limit } => {
                say(format!("expected at most {}", count(*limit as u64, "item")))
            }
            Wrong::UnevaluatedItems { .. } => say("the list has unexpected items".into()),
            Wrong::MinProperties { limit: 1 } => say("the map must not be empty".into()),
            Wrong::MinProperties { limit } => {
                say(format!("expected at least {}", count(*limit, "key")))
            }
            Wrong::MaxProperties { limit } => {
                say(format!("expected at most {}", count(*limit, "key")))
            }
            Wrong::UniqueItems => say("the list has a duplicate item".into()),
            Wrong::Contains => say(self.described(error, "the list lacks a required item")),
            Wrong::PropertyNames { error: inner } => {
                let mut inner_violations = Vec::new();
                self.read(inner, &mut inner_violations);
                let why = inner_violations
                    .into_iter()
                    .map(|violation| violation.what)
                    .collect::<Vec<_>>()
                    .join("; ");
                say(match inner.instance().as_str() {
                    Some(key) if !self.is_secret(&pointer) => {
                        format!("invalid key \"{key}\": {why}")
                    }
                    _ => format!("invalid key: {why}"),
                });
            }
            other => say(format!(
                "does not match the schema (keyword \"{}\")",
                other.keyword()
            )),
        }
    }

    /// Reports the violations of the alternative that the user most likely meant.
    ///
    /// This is the one whose violations are deepest. If several are equally deep, it is the one
    /// with the fewest violations. If all fail because of the value's type, reports all types
    /// together.
    fn alternatives(
        &self,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
        violations: &mut Vec<Violation>,
    ) {
        let pointer = error.instance_path().as_str();
        let mut wanted: Vec<String> = Vec::new();
        let mut only_types = !context.is_empty();
        for branch in context {
            match branch
                .iter()
                .find(|error| error.instance_path().as_str() == pointer)
                .map(ValidationError::kind)
            {
                Some(Wrong::Type { kind }) => wanted.extend(types(kind)),
                _ => only_types = false,
            }
        }
        if only_types {
            wanted.dedup();
            let what = format!(
                "expected {}, not {}",
                words(wanted.into_iter(), "or"),
                kind(error.instance())
            );
            return violations.push(Violation {
                pointer: pointer.to_owned(),
                what,
                near: None,
            });
        }
        let fits_by_type = |branch: &&Vec<ValidationError<'static>>| {
            !branch.iter().any(|error| {
                error.instance_path().as_str() == pointer
                    && matches!(
                        error.kind(),
                        Wrong::Type { .. } | Wrong::Constant { .. } | Wrong::FalseSchema
                    )
            })
        };
        let chosen = context.iter().filter(fits_by_type).min_by_key(|branch| {
            // A wrong `const` or `enum` one level down indicates that the user meant another
            // alternative.
            let other_kind = branch
                .iter()
                .filter(|error| matches!(error.kind(), Wrong::Constant { .. } | Wrong::Enum { .. }))
                .count();
            (other_kind, branch.len())
        });
        match chosen {
            Some(branch) => branch.iter().for_each(|error| self.read(error, violations)),
            None => {
                let what = self.described(error, "matches none of the expected forms");
                violations.push(Violation {
                    pointer: pointer.to_owned(),
                    what,
                    near: None,
                });
            }
        }
    }

    fn is_secret(&self, pointer: &str) -> bool {
        self.secrets
            .iter()
            .any(|secret| path::is_within(pointer, secret))
    }

    /// Returns the schema that contains the violated keyword.
    fn schema_of(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let keyword = error.schema_path().as_str();
        self.schema.pointer(&keyword[..keyword.rfind('/')?])
    }

    /// Returns the schema's own description of the expected value.
    fn description(&self, error: &ValidationError<'_>) -> Option<String> {
        let text = self.schema_of(error)?.get("description")?.as_str()?.trim();
        let sentence = text.split(['\n']).next()?.trim_end_matches('.');
        (!sentence.is_empty()).then(|| sentence.to_owned())
    }

    fn described(&self, error: &ValidationError<'_>, what: &str) -> String {
        match self.description(error) {
            Some(description) => format!("{what}: {description}"),
            None => what.to_owned(),
        }
    }
}

/// Returns the names of all keys that a schema knows for a map, in all branches.
fn known_keys<'s>(root: &'s Value, schema: &'s Value) -> BTreeSet<&'s str> {
    let (mut keys, mut seen, mut open) = (BTreeSet::new(), HashSet::new(), vec![schema]);
    while let Some(schema) = open.pop() {
        if seen.insert(std::ptr::from_ref(schema)) {
            keys.extend(
                schema
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flat_map(|named| named.keys().map(String::as_str)),
            );
            open.extend(branches(root, schema));
        }
    }
    keys
}

fn types(kind: &TypeKind) -> Vec<String> {
    let word = |name: &str| {
        match name {
            "array" => "a list",
            "boolean" => "true or false",
            "integer" => "an integer",
            "null" => "null",
            "number" => "a number",
            "object" => "a map",
            _ => "a string",
        }
        .to_owned()
    };
    match kind {
        TypeKind::Single(kind) => vec![word(kind.as_str())],
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| word(kind.as_str())).collect(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Formats a value of the schema as the user would write it.
fn quoted(value: &Value) -> String {
    value.to_string()
}

fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Joins items as in `a, b or c`.
fn words(items: impl Iterator<Item = String>, last: &str) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}
