//! The arguments of `--set` and its sisters.

use super::{MARKER, hides_the_marker, parts};
use kubectl_fabric::storage::codec;
use kubectl_fabric::values::{Source, Values, file_settings, from_sources, path};
use serde_json::{Value, json};

const FLAGS: [fn(String) -> Source; 4] = [
    Source::Set,
    Source::SetString,
    Source::SetJson,
    Source::SetLiteral,
];

/// So many nodes of a tree are looked at: an index may make a list of 65,536.
const MOST_NODES: usize = 24;

pub fn check(data: &[u8]) {
    let Some([argument]) = parts(data) else {
        return;
    };
    for flag in FLAGS {
        if let Ok(values) = from_sources(vec![flag(argument.to_owned())]) {
            for pointer in values.origins.keys().take(MOST_NODES) {
                assert!(
                    values.tree.pointer(pointer).is_some(),
                    "{argument:?} gives an origin to {pointer:?}, which is not there"
                );
            }
            fits_into_a_record(&values.tree);
            let mut left = MOST_NODES;
            paths_lead_back(&values, &values.tree, "", &mut left);
        }
        if !argument.contains(MARKER) {
            values_are_hidden(flag, argument);
        }
    }
    for (key, path) in file_settings(argument).into_iter().flatten() {
        let file = Source::SetFile {
            key: key.clone(),
            path,
            content: MARKER.to_owned(),
        };
        if let Err(error) = from_sources(vec![file])
            && !key.contains(MARKER)
        {
            hides_the_marker(error, argument);
        }
    }
}

/// A value after a `=` is in no error and no origin, whatever stands before it.
fn values_are_hidden(flag: fn(String) -> Source, argument: &str) {
    for argument in [
        format!("{argument}={MARKER}"),
        format!("{argument}=x,{MARKER}"),
        format!("{argument}={{{MARKER}"),
    ] {
        if let Err(error) = from_sources(vec![flag(argument.clone())]) {
            hides_the_marker(error, &argument);
        }
    }
}

fn fits_into_a_record(tree: &Value) {
    let record = json!({"userValues": tree});
    let read: Value =
        codec::unpack(&codec::pack(&record)).unwrap_or_else(|error| panic!("{error}\n{tree}"));
    assert_eq!(read, record);
}

/// Every path, as it is shown to the user, is the path of the same node: to the reader of paths,
/// and to `--set-string`.
fn paths_lead_back(values: &Values, node: &Value, pointer: &str, left: &mut usize) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    match node {
        Value::Object(map) => {
            // An empty key comes by JSON only; no path of `--set` leads to it.
            for (key, child) in map.iter().filter(|(key, _)| !key.is_empty()) {
                paths_lead_back(values, child, &path::key_below(pointer, key), left);
            }
        }
        Value::Array(list) => {
            for (index, child) in list.iter().enumerate().take(MOST_NODES) {
                paths_lead_back(values, child, &format!("{pointer}/{index}"), left);
            }
        }
        _ => {}
    }
    let depth = pointer.matches('/').count();
    if (1..=30).contains(&depth) {
        leads_back(values, pointer);
    }
}

fn leads_back(values: &Values, pointer: &str) {
    let shown = path::display(pointer, &values.tree);
    let steps = path::parse(&shown)
        .unwrap_or_else(|error| panic!("{pointer:?} is shown as {shown:?}: {error}"));
    let read = steps
        .iter()
        .fold(String::new(), |at, step| path::below(&at, step));
    assert_eq!(read, pointer, "shown as {shown:?}");
    let again = from_sources(vec![Source::SetString(format!("{shown}={MARKER}"))]);
    let again = again.unwrap_or_else(|error| panic!("{pointer:?} is shown as {shown:?}: {error}"));
    assert_eq!(
        again.tree.pointer(pointer),
        Some(&MARKER.into()),
        "{pointer:?} is shown as {shown:?}"
    );
}
