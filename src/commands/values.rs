//! `values explain`: which value wins, and where it came from.

use super::arguments::{Format, OutputArguments};
use super::install::WantedArguments;
use super::rendering::HIDDEN;
use super::{Edge, complete};
use crate::compose::{self, Given};
use crate::error::{Error, Result, nearest};
use crate::release::ReleaseName;
use crate::storage;
use crate::terminal::{BOLD, Table, Text};
use crate::values::{self, Origin, StoredSecrets, Values};
use crate::yaml;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Explain values: what they are and where they came from
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Explain(Explain),
}

/// Show a value with its origin: file and line, flag, default, or an earlier revision
///
/// Takes the flags of an install and tells, without a cluster, what templates would see; with --stored, what the release was given before
/// counts too, as in an upgrade.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric values explain org1                             every value and where it came from
  kubectl fabric values explain org1 --path peers.count -f a.yaml -f b.yaml
  kubectl fabric values explain org1 --path peers --stored       with the values of the installed release")]
struct Explain {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    release: String,

    /// The value, such as peers.count or channels[0].name [default: all]
    #[arg(short, long, value_name = "PATH", add = ArgValueCompleter::new(complete::paths))]
    path: Option<String>,

    /// Count what the release's newest revision was given; asks the cluster
    #[arg(long)]
    stored: bool,

    #[command(flatten)]
    wanted: WantedArguments,

    #[command(flatten)]
    output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let What::Explain(arguments) = arguments.what;
    let release = ReleaseName::parse(&arguments.release)?;
    let wanted = &arguments.wanted;
    let chart = wanted.chart.resolve(release.as_str())?;
    let mut user_values = wanted.values.load()?;
    let mut stored_secrets = StoredSecrets::default();
    if arguments.stored {
        let namespace = edge.connection.namespace_of(release.as_str())?;
        let record = edge.read(wanted.values.uses_stdin(), async |cluster| {
            storage::read_to_show(cluster, &namespace, release.as_str(), None).await
        })?;
        if let Some(warning) = record.signature_warning() {
            edge.terminal.warn(&warning);
        }
        let origin = Origin::Stored { revision: record.summary.revision };
        user_values = values::merge(values::with_origin(record.user_values, origin), user_values);
        stored_secrets.paths.extend(record.secret_paths);
    }
    // An explanation is wanted most when the values do not fit, so the schema is not enforced.
    let computed = compose::values(Given {
        chart: &chart,
        release: release.as_str(),
        namespace: release.as_str(),
        user_values,
        defaults: None,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: true,
        stored_secrets,
    })?;
    for warning in &computed.warnings {
        edge.terminal.warn(warning);
    }
    match &arguments.path {
        Some(path) => explain(path, &computed.all, &computed.secret_paths, arguments.output.output, edge)?,
        None => explain_all(&computed.all, &computed.secret_paths, arguments.output.output, edge)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One value at length: the value, its origin, and the origins that it shadows.
fn explain(path: &str, values: &Values, secrets: &[String], format: Format, edge: &Edge) -> Result<()> {
    let pointer = pointer(path)?;
    let Some(value) = values.tree.pointer(&pointer) else {
        let error = Error::user(format!("there is no value {path}"));
        let known: Vec<String> = leaves(&values.tree).iter().map(|(pointer, _)| dotted(pointer)).collect();
        return Err(match nearest(path, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint("without --path, all values are shown"),
        });
    };
    let value = hidden_below(value, &pointer, secrets);
    let origins = origins(values, &pointer);
    if format != Format::Table {
        let document = json!({
            "schemaVersion": 1,
            "path": path,
            "value": value,
            "origin": origins.last().map(|origin| words(origin)),
            "shadowed": origins.iter().rev().skip(1).map(|origin| words(origin)).collect::<Vec<_>>(),
        });
        return edge.terminal.print_document(format, &document);
    }
    let mut text = Text::default();
    text.push_styled(BOLD, path);
    text.push(match &value {
        Value::Object(_) | Value::Array(_) => format!(":\n{}", indented(&yaml::emit(&value))),
        scalar => format!(": {}\n", yaml::emit(scalar).trim_end()),
    });
    for (number, origin) in origins.iter().rev().enumerate() {
        let label = if number == 0 { "from" } else { "over" };
        text.push(format!("  {label} {}\n", words(origin)));
    }
    edge.terminal.print(text)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Every leaf in one line.
fn explain_all(values: &Values, secrets: &[String], format: Format, edge: &Edge) -> Result<()> {
    let leaves = leaves(&values.tree);
    let rows = leaves.iter().map(|(pointer, value)| {
        let value = hidden_below(value, pointer, secrets);
        let origin = origins(values, pointer).last().map(|origin| words(origin)).unwrap_or_default();
        (dotted(pointer), value, origin)
    });
    if format != Format::Table {
        let rows = rows.map(|(path, value, origin)| json!({ "path": path, "value": value, "origin": origin }));
        return edge.terminal.print_document(format, &json!({ "schemaVersion": 1, "values": rows.collect::<Vec<_>>() }));
    }
    let mut table = Table::new(["PATH", "VALUE", "FROM"]);
    for (path, value, origin) in rows {
        table.row([path.into(), value.to_string().into(), origin.into()]);
    }
    edge.terminal.print(table.text())
}

/// Scalars and empty containers with their JSON pointers.
fn leaves(tree: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(pointer: &str, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    walk(&format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), value, leaves);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    walk(&format!("{pointer}/{index}"), value, leaves);
                }
            }
            leaf => leaves.push((pointer.to_owned(), leaf)),
        }
    }
    let mut found = Vec::new();
    walk("", tree, &mut found);
    found
}

/// The origins of a node, the winner last: its own, or those of the nearest ancestor that has some.
fn origins<'a>(values: &'a Values, pointer: &str) -> Vec<&'a Origin> {
    let mut pointer = pointer;
    loop {
        if let Some(origins) = values.origins.get(pointer).filter(|origins| !origins.is_empty()) {
            return origins.iter().collect();
        }
        match pointer.rfind('/') {
            Some(end) => pointer = &pointer[..end],
            None => return Vec::new(),
        }
    }
}

fn words(origin: &Origin) -> String {
    match origin {
        Origin::Default { file, line, column } => format!("the chart's default, {file}:{line}:{column}"),
        Origin::File { name, line, column } => format!("{name}:{line}:{column}"),
        Origin::Flag(flag) => flag.clone(),
        Origin::Stored { revision } => format!("revision {revision} of the release"),
        Origin::Program(what) => what.clone(),
        Origin::Null(origin) => format!("{}, where null takes back what was said before it", words(origin)),
    }
}

/// Hides what is secret at or below a node.
fn hidden_below(value: &Value, pointer: &str, secrets: &[String]) -> Value {
    if secrets.iter().any(|secret| pointer == secret || pointer.starts_with(&format!("{secret}/"))) {
        return json!(HIDDEN);
    }
    let mut value = value.clone();
    for below in secrets.iter().filter_map(|secret| secret.strip_prefix(pointer)) {
        if let Some(secret) = value.pointer_mut(below) {
            *secret = json!(HIDDEN);
        }
    }
    value
}

/// `peers[0].name` and `peers.0.name` as a JSON pointer; a backslash keeps a dot.
fn pointer(path: &str) -> Result<String> {
    let mut pointer = String::from("/");
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => pointer.extend(characters.next()),
            '.' => pointer.push('/'),
            '[' => pointer.push('/'),
            ']' => {}
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    if path.is_empty() || pointer.contains("//") || pointer.ends_with('/') {
        return Err(Error::user(format!("\"{path}\" is no path of a value")).hint("such as peers.count or channels[0].name"));
    }
    Ok(pointer)
}

fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&part.replace('.', "\\.").replace("~1", "/").replace("~0", "~"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_pointers_mean_the_same() {
        for (path, expected) in [("a", "/a"), ("a.b", "/a/b"), ("a[0].b", "/a/0/b"), ("a\\.b.c", "/a.b/c"), ("a/b", "/a~1b")] {
            assert_eq!(pointer(path).unwrap(), expected);
            assert_eq!(dotted(expected), path);
        }
        for path in ["", ".", "a.", "a..b"] {
            assert!(pointer(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_secret_is_hidden_from_above_and_from_below() {
        let tree = json!({ "ca": { "admin": { "password": "canary", "name": "a" } } });
        let secrets = ["/ca/admin/password".to_owned()];
        for at in ["", "/ca", "/ca/admin", "/ca/admin/password"] {
            let value = tree.pointer(at).unwrap();
            assert!(!hidden_below(value, at, &secrets).to_string().contains("canary"), "{at}");
        }
        let whole = ["/ca/admin".to_owned()];
        assert_eq!(hidden_below(&tree["ca"]["admin"]["name"], "/ca/admin/name", &whole), json!(HIDDEN));
    }
}
