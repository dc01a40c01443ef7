//! Filters and functions for templates in addition to the engine's. All are deterministic: no
//! randomness, no clock.

use super::data::{self, Misses, to_json};
use super::{FUEL, Lookup, MAX_TEMPLATE};
use crate::chart::{Range, parse_kube_version, parse_version};
use crate::encoding::hex;
use crate::yaml;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, Rest, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names to suggest for unknown filters: those defined here, and those of the engine that charts
/// use.
pub(super) const FILTERS: [&str; 40] = [
    "abs",
    "b64decode",
    "b64encode",
    "batch",
    "default",
    "dictsort",
    "first",
    "float",
    "fromjson",
    "fromyaml",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "merge",
    "min",
    "nindent",
    "reject",
    "rejectattr",
    "replace",
    "safe",
    "select",
    "selectattr",
    "sha256",
    "sort",
    "split",
    "string",
    "sum",
    "tojson",
    "toyaml",
    "trim",
    "unique",
    "upper",
];
pub(super) const FUNCTIONS: [&str; 9] = [
    "dict",
    "fail",
    "include",
    "lookup",
    "namespace",
    "range",
    "required",
    "semver_compare",
    "tpl",
];

/// Maximum depth of nested `include` and `tpl`: enough for real charts, and far below the limit of
/// the stack.
const MAX_DEPTH: u32 = 20;

/// Adds all filters and functions to an environment. `root` is the default context of `include` and
/// `tpl`.
pub(super) fn add(
    env: &mut Environment,
    root: Value,
    misses: &Arc<Misses>,
    lookup: Option<Lookup>,
) {
    // Their output contains the environment's values in a format that the engine does not
    // guarantee.
    env.remove_global("debug");
    env.remove_filter("pprint");
    add_filters(env, misses);
    add_functions(env, misses, lookup);
    add_nesting(env, root);
    env.set_unknown_method_callback(method);
}

fn add_filters(env: &mut Environment, misses: &Arc<Misses>) {
    env.add_filter("toyaml", |state: &mut State, value: &Value| {
        Ok::<_, Error>(yaml::emit(&to_json(state, value)?))
    });
    env.add_filter("tojson", tojson);
    env.add_filter("string", |state: &mut State, value: &Value| {
        plain(state, value)
    });
    env.add_filter("b64encode", |state: &mut State, value: &Value| {
        Ok::<_, Error>(STANDARD.encode(bytes(state, value)?))
    });
    env.add_filter("b64decode", b64decode);
    env.add_filter("sha256", |state: &mut State, value: &Value| {
        Ok::<_, Error>(hex(&Sha256::digest(bytes(state, value)?)))
    });
    env.add_filter(
        "nindent",
        |state: &mut State, text: &Value, width: usize| {
            let indented = state.apply_filter(
                "indent",
                &[text.clone(), Value::from(width), Value::from(true)],
            )?;
            Ok::<_, Error>(format!("\n{indented}"))
        },
    );
    let shared = Arc::clone(misses);
    env.add_filter("fromyaml", move |text: &str| fromyaml(text, &shared));
    let shared = Arc::clone(misses);
    env.add_filter("fromjson", move |text: &str| fromjson(text, &shared));
    let shared = Arc::clone(misses);
    env.add_filter(
        "merge",
        move |state: &mut State, first: &Value, others: Rest<Value>| {
            merge(state, first, &others, &shared)
        },
    );
}

fn add_functions(env: &mut Environment, misses: &Arc<Misses>, lookup: Option<Lookup>) {
    env.add_function("required", required);
    env.add_function("fail", |message: String| Err::<(), _>(invalid(message)));
    env.add_function("semver_compare", semver_compare);
    let shared = Arc::clone(misses);
    env.add_function(
        "lookup",
        move |api_version: &str, kind: &str, namespace: &str, name: &str| match &lookup {
            None => Ok(data::map_of(Vec::new(), &shared)),
            Some(lookup) => lookup(api_version, kind, namespace, name)
                .map(|found| data::to_template(&found, &shared))
                .map_err(|error| invalid("lookup failed").with_source(error)),
        },
    );
}

/// Adds the functions that render templates inside of templates.
fn add_nesting(env: &mut Environment, root: Value) {
    let depth = Arc::new(AtomicU32::new(0));
    let (outer, level) = (root.clone(), Arc::clone(&depth));
    env.add_function(
        "include",
        move |state: &mut State, name: &str, context: Option<Value>| {
            let name = join(name, state.name());
            nested(state, &level, |env| {
                let template = env.get_template(&name)?;
                finished(template.render_captured(context.unwrap_or_else(|| outer.clone())))
            })
        },
    );
    env.add_function(
        "tpl",
        move |state: &mut State, text: &str, context: Option<Value>| {
            if text.len() > MAX_TEMPLATE {
                return Err(invalid(format!(
                    "the argument of `tpl` is longer than {} KiB",
                    MAX_TEMPLATE >> 10
                )));
            }
            nested(state, &depth, |env| {
                let template = env
                    .template_from_named_str("<tpl>", text)
                    .map_err(taken_in)?;
                finished(template.render_captured(context.unwrap_or_else(|| root.clone())))
            })
        },
    );
}

/// Resolves names in `include(...)`, `{% include %}` and `{% import %}`: relative to the template's
/// folder, or to the top of the chart.
pub(super) fn join<'s>(name: &'s str, parent: &'s str) -> Cow<'s, str> {
    match parent.rsplit_once('/') {
        Some((folder, _)) if !name.starts_with("templates/") => format!("{folder}/{name}").into(),
        _ if name.starts_with("templates/") => name.into(),
        _ => format!("templates/{name}").into(),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Marks an error as nested, so that the report also shows the place of the include.
fn taken_in(error: Error) -> Error {
    Error::new(ErrorKind::BadInclude, "").with_source(error)
}

/// Renders a nested template to a string. It uses the remaining steps of the outer template, at any
/// depth.
fn nested(
    state: &State,
    depth: &AtomicU32,
    render: impl FnOnce(&Environment) -> Result<(String, u64), Error>,
) -> Result<String, Error> {
    if depth.load(Ordering::Relaxed) == MAX_DEPTH {
        return Err(invalid(format!(
            "includes are nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let mut env = state.env().clone();
    env.set_fuel(state.fuel_levels().map(|(_, left)| left));
    depth.fetch_add(1, Ordering::Relaxed);
    let rendered = render(&env);
    depth.fetch_sub(1, Ordering::Relaxed);
    let (text, used) = rendered?;
    state.consume_fuel(used)?;
    Ok(text)
}

/// Returns the output of a nested template and its cost.
fn finished(rendered: Result<minijinja::Captured<'_>, Error>) -> Result<(String, u64), Error> {
    let rendered = rendered.map_err(taken_in)?;
    let (used, _) = rendered.state().fuel_levels().unwrap_or((FUEL, 0));
    Ok((rendered.into_output(), used))
}

fn tojson(state: &mut State, value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let json = to_json(state, value)?;
    let text = match indent {
        None => serde_json::to_string(&json),
        Some(_) => serde_json::to_string_pretty(&json),
    };
    text.map_err(|why| Error::new(ErrorKind::BadSerialization, why.to_string()))
}

/// Converts a value to text. A string stays as it is, everything else becomes JSON (`true`, not the
/// engine's `True`).
pub(super) fn plain(state: &State, value: &Value) -> Result<String, Error> {
    Ok(match to_json(state, value)? {
        Json::String(text) => text,
        json => json.to_string(),
    })
}

fn bytes(state: &State, value: &Value) -> Result<Vec<u8>, Error> {
    match value.as_bytes() {
        Some(bytes) => Ok(bytes.to_vec()),
        None => plain(state, value).map(String::into_bytes),
    }
}

fn b64decode(text: &str) -> Result<Value, Error> {
    let decoded = STANDARD
        .decode(text.trim())
        .map_err(|_| invalid("the argument of `b64decode` is not base64"))?;
    Ok(match String::from_utf8(decoded) {
        Ok(text) => Value::from(text),
        Err(bytes) => Value::from_bytes(bytes.into_bytes()),
    })
}

/// Parses YAML. Like [`fromjson`], omits the parser's message, which may contain a part of a secret
/// text.
fn fromyaml(text: &str, misses: &Arc<Misses>) -> Result<Value, Error> {
    let parsed = yaml::parse(text, "fromyaml").map_err(|error| {
        let line = error.places().first().and_then(|place| place.line);
        invalid(format!(
            "the argument of `fromyaml` is not YAML{}",
            line.map(|line| format!(": line {line}"))
                .unwrap_or_default()
        ))
    })?;
    Ok(data::to_template(&parsed, misses))
}

fn fromjson(text: &str, misses: &Arc<Misses>) -> Result<Value, Error> {
    let parsed: Json = serde_json::from_str(text).map_err(|why| {
        invalid(format!(
            "the argument of `fromjson` is not JSON: line {}, column {}",
            why.line(),
            why.column()
        ))
    })?;
    Ok(data::to_template(&parsed, misses))
}

/// Merges maps at all depths. Later maps win, and lists are replaced.
fn merge(
    state: &State,
    first: &Value,
    others: &[Value],
    misses: &Arc<Misses>,
) -> Result<Value, Error> {
    fn over(under: &mut Json, over_it: Json) {
        match (under, over_it) {
            (Json::Object(under), Json::Object(map)) => {
                for (key, value) in map {
                    match under.get_mut(&key) {
                        Some(present) => over(present, value),
                        None => drop(under.insert(key, value)),
                    }
                }
            }
            (under, value) => *under = value,
        }
    }
    let mut merged = Json::Object(serde_json::Map::new());
    for value in std::iter::once(first).chain(others) {
        if value.kind() != ValueKind::Map {
            return Err(invalid(format!(
                "`merge` takes maps, not a {}",
                value.kind()
            )));
        }
        over(&mut merged, to_json(state, value)?);
    }
    Ok(data::to_template(&merged, misses))
}

fn required(message: String, value: Value) -> Result<Value, Error> {
    let missing = value.is_undefined() || value.is_none() || value.as_str() == Some("");
    if missing {
        Err(invalid(message))
    } else {
        Ok(value)
    }
}

fn semver_compare(range: &str, version: &str) -> Result<bool, Error> {
    let range = Range::parse(range).map_err(|error| invalid(error.what().to_owned()))?;
    let version = parse_version(version)
        .or_else(|| parse_kube_version(version))
        .ok_or_else(|| invalid("the second argument of `semver_compare` is not a version"))?;
    Ok(range.matches(&version))
}

/// Provides Jinja's well-known methods for values that have no methods.
fn method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.kind(), method) {
        (ValueKind::Map, "get") => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            let found = value
                .get_item(key)
                .ok()
                .filter(|found| !found.is_undefined());
            Ok(found.or(default).unwrap_or_else(|| Value::from(())))
        }
        (ValueKind::Map, "items") => state.apply_filter("items", std::slice::from_ref(value)),
        (ValueKind::Map, "keys") => Ok(value.try_iter()?.collect()),
        (ValueKind::Map, "values") => {
            let object = value.as_object().expect("every map is an object");
            Ok(object
                .try_iter_pairs()
                .into_iter()
                .flatten()
                .map(|(_, value)| value)
                .collect())
        }
        (ValueKind::String, "startswith" | "endswith") => {
            let (part,): (&str,) = from_args(args)?;
            let text = value.as_str().unwrap_or_default();
            Ok(Value::from(if method == "startswith" {
                text.starts_with(part)
            } else {
                text.ends_with(part)
            }))
        }
        (ValueKind::String, "lower" | "upper" | "split" | "replace" | "trim") => {
            let arguments: Vec<Value> = std::iter::once(value.clone())
                .chain(args.iter().cloned())
                .collect();
            state.apply_filter(method, &arguments)
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}
