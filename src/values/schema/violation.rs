//! Describes the problem of a value for its author.

use super::branches::known_keys;
use crate::error::nearest;
use crate::values::{Values, path};
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Wrong},
};
use serde_json::Value;

/// Longest text that is repeated to the user as a possible typing error.
const MAX_SHOWN: usize = 40;

/// A violation of the schema.
pub struct Violation {
    pub pointer: String,
    pub what: String,
    /// The name that the user probably meant.
    pub near: Option<String>,
}

impl Violation {
    fn new(pointer: &str, what: String) -> Violation {
        Violation {
            pointer: pointer.to_owned(),
            what,
            near: None,
        }
    }
}

/// Reads the validator's errors.
pub struct Reader<'a> {
    pub schema: &'a Value,
    pub values: &'a Values,
    /// JSON pointers of values that are never shown.
    pub secrets: Vec<String>,
}

impl Reader<'_> {
    /// Adds the violations that an error is about.
    pub fn read(&self, error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
        let pointer = error.instance_path().as_str();
        match error.kind() {
            Wrong::AdditionalProperties { unexpected }
            | Wrong::UnevaluatedProperties { unexpected } => {
                self.unknown_keys(error, unexpected, violations);
            }
            Wrong::AnyOf { context } | Wrong::OneOfNotValid { context } => {
                self.alternatives(error, context, violations);
            }
            Wrong::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                violations.push(self.missing(path::key_below(pointer, key)));
            }
            Wrong::Enum { options } => violations.push(self.not_an_option(error, options)),
            _ => violations.push(Violation::new(pointer, self.words(error))),
        }
    }

    fn unknown_keys(
        &self,
        error: &ValidationError<'_>,
        unexpected: &[String],
        violations: &mut Vec<Violation>,
    ) {
        let schema = self.schema_of(error);
        let known = schema.map(|schema| known_keys(self.schema, schema));
        let known = known.unwrap_or_default();
        for key in unexpected {
            let near = nearest(key, known.iter().copied()).map(String::from);
            let what = match known.len() {
                0 => "unknown key; no keys are allowed here".into(),
                1..=12 if near.is_none() => {
                    let known = known.iter().map(|key| (*key).to_owned());
                    format!("unknown key; known keys are {}", words(known, "and"))
                }
                _ => "unknown key".into(),
            };
            violations.push(Violation {
                pointer: path::key_below(error.instance_path().as_str(), key),
                what,
                near,
            });
        }
    }

    fn missing(&self, pointer: String) -> Violation {
        let what = match self.values.origins.contains_key(&pointer) {
            true => "null, but the chart has no default for it",
            false => "missing; the chart requires it",
        };
        Violation::new(&pointer, what.into())
    }

    fn not_an_option(&self, error: &ValidationError<'_>, options: &Value) -> Violation {
        let pointer = error.instance_path().as_str();
        let options = options.as_array().map_or(&[][..], Vec::as_slice);
        let wanted = words(options.iter().map(Value::to_string), "or");
        let shown = error.instance().as_str().filter(|text| {
            text.len() <= MAX_SHOWN && !text.contains('\n') && !self.is_secret(pointer)
        });
        let texts = options.iter().filter_map(Value::as_str);
        let near = shown.and_then(|text| nearest(text, texts));
        let what = match shown {
            Some(text) => format!("unknown value \"{text}\"; expected {wanted}"),
            None => format!(
                "expected {wanted}, not another {}",
                kind(error.instance()).trim_start_matches("a ")
            ),
        };
        Violation {
            pointer: pointer.to_owned(),
            what,
            near: near.map(String::from),
        }
    }

    /// Describes an error that is about one value alone.
    fn words(&self, error: &ValidationError<'_>) -> String {
        match error.kind() {
            Wrong::Constant { expected_value } => format!("expected {expected_value}"),
            Wrong::Type { kind: wanted } => wrong_type(types(wanted), error.instance()),
            Wrong::OneOfMultipleValid { .. } => self.described(
                error,
                "matches more than one of the forms that exclude each other",
            ),
            Wrong::FalseSchema => self.described(error, "cannot be set here"),
            Wrong::Not { .. } => self.described(error, "this combination is not allowed"),
            Wrong::Contains => self.described(error, "the list lacks a required item"),
            Wrong::Pattern { pattern } => {
                let form = self.description(error);
                let form = form.unwrap_or_else(|| format!("text that matches `{pattern}`"));
                format!("does not match the expected format: {form}")
            }
            Wrong::Format { format } => format!("not a valid {}", format.replace('-', " ")),
            Wrong::UniqueItems => "the list has a duplicate item".into(),
            Wrong::UnevaluatedItems { .. } => "the list has unexpected items".into(),
            Wrong::PropertyNames { error: inner } => {
                let mut violations = Vec::new();
                self.read(inner, &mut violations);
                let why: Vec<String> = violations.into_iter().map(|it| it.what).collect();
                let why = why.join("; ");
                match inner.instance().as_str() {
                    Some(key) if !self.is_secret(error.instance_path().as_str()) => {
                        format!("invalid key \"{key}\": {why}")
                    }
                    _ => format!("invalid key: {why}"),
                }
            }
            other => limit(other).unwrap_or_else(|| {
                format!(
                    "does not match the schema (keyword \"{}\")",
                    other.keyword()
                )
            }),
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
            let what = wrong_type(wanted, error.instance());
            return violations.push(Violation::new(pointer, what));
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
                violations.push(Violation::new(pointer, what));
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

/// Describes a limit on a number, or on the size of a text, list or map.
fn limit(wrong: &Wrong) -> Option<String> {
    let at_least = |limit: u64, thing| format!("expected at least {}", count(limit, thing));
    let at_most = |limit: u64, thing| format!("expected at most {}", count(limit, thing));
    Some(match wrong {
        Wrong::Minimum { limit } => format!("expected at least {limit}"),
        Wrong::Maximum { limit } => format!("expected at most {limit}"),
        Wrong::ExclusiveMinimum { limit } => format!("expected more than {limit}"),
        Wrong::ExclusiveMaximum { limit } => format!("expected less than {limit}"),
        Wrong::MultipleOf { multiple_of } => format!("expected a multiple of {multiple_of}"),
        Wrong::MinLength { limit: 1 } => "the text must not be empty".into(),
        Wrong::MinLength { limit } => at_least(*limit, "character"),
        Wrong::MaxLength { limit } => at_most(*limit, "character"),
        Wrong::MinItems { limit: 1 } => "the list must not be empty".into(),
        Wrong::MinItems { limit } => at_least(*limit, "item"),
        Wrong::MaxItems { limit } => at_most(*limit, "item"),
        Wrong::AdditionalItems { limit } => at_most(*limit as u64, "item"),
        Wrong::MinProperties { limit: 1 } => "the map must not be empty".into(),
        Wrong::MinProperties { limit } => at_least(*limit, "key"),
        Wrong::MaxProperties { limit } => at_most(*limit, "key"),
        _ => return None,
    })
}

fn wrong_type(wanted: Vec<String>, value: &Value) -> String {
    let wanted = words(wanted.into_iter(), "or");
    format!("expected {wanted}, not {}", kind(value))
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
