//! Validates values against a chart's `values.schema.json`. Reports all violations at once, in
//! words for the author of the values.
//!
//! The schema is JSON Schema with one extension: `x-secret: true` marks a value that is never
//! shown. References are resolved only inside the schema. Nothing is fetched.

mod branches;
mod secret;
mod violation;

pub use secret::secret_paths;

use super::{Origin, Values, path};
use crate::error::{Error, Place, Result};
use serde_json::Value;
use violation::{Reader, Violation};

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
    Err(report(values, violations, release, chart))
}

/// Reports the violations, sorted by their places.
fn report(values: &Values, violations: Vec<Violation>, release: &str, chart: &str) -> Error {
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
    error
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
