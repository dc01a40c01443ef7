//! Describes the writes of an update independently of a configuration, for signers who only have
//! the configuration from another organization.

use super::{is_changed, sets};
use crate::ledger::config_tree::Group;
use crate::ledger::message::configuration::ConfigUpdate;
use std::collections::BTreeMap;

/// Returns the paths of elements that the update writes although the configuration already contains
/// them. An update that was computed from this configuration has none.
///
/// If the configuration comes from the author of the update, the reader must check this: the author
/// could hide a change by including it in the configuration.
pub fn repeats(current: &Group, update: &ConfigUpdate) -> Vec<String> {
    let (read, write) = sets(update);
    let mut paths = Vec::new();
    collect_repeats(Some(current), Some(&read), &write, "/Channel", &mut paths);
    paths
}

fn collect_repeats(
    current: Option<&Group>,
    read: Option<&Group>,
    write: &Group,
    path: &str,
    paths: &mut Vec<String>,
) {
    let is_new = is_changed(read.map(|it| it.version), write.version);
    if let Some(current) = current.filter(|_| is_new)
        && current.mod_policy == write.mod_policy
        && current.groups.keys().eq(write.groups.keys())
        && current.values.keys().eq(write.values.keys())
        && current.policies.keys().eq(write.policies.keys())
    {
        paths.push(path.to_owned());
    }
    for (key, value) in &write.values {
        let known = read.and_then(|it| it.values.get(key)).map(|it| it.version);
        let present = current.and_then(|it| it.values.get(key));
        if is_changed(known, value.version)
            && present
                .is_some_and(|it| it.value == value.value && it.mod_policy == value.mod_policy)
        {
            paths.push(format!("{path}/{key}"));
        }
    }
    for (key, policy) in &write.policies {
        let known = read
            .and_then(|it| it.policies.get(key))
            .map(|it| it.version);
        let present = current.and_then(|it| it.policies.get(key));
        if is_changed(known, policy.version)
            && present
                .is_some_and(|it| it.policy == policy.policy && it.mod_policy == policy.mod_policy)
        {
            paths.push(format!("{path}/{key}"));
        }
    }
    for (key, below) in &write.groups {
        let read = read.and_then(|it| it.groups.get(key));
        let current = current.and_then(|it| it.groups.get(key));
        collect_repeats(current, read, below, &format!("{path}/{key}"), paths);
    }
}

/// Describes the content of each changed group after the update. The update replaces the whole list
/// of members, so it removes a member that is not listed, regardless of the configuration.
pub fn contents(update: &ConfigUpdate) -> Vec<String> {
    let (read, write) = sets(update);
    let mut lines = Vec::new();
    collect_contents(Some(&read), &write, "/Channel", &mut lines);
    lines
}

fn collect_contents(read: Option<&Group>, write: &Group, path: &str, lines: &mut Vec<String>) {
    // A new group is shown completely anyway.
    if read.is_some_and(|it| it.version != write.version) {
        fn names<T>(of: &BTreeMap<String, T>) -> String {
            let names: Vec<&str> = of.keys().map(String::as_str).collect();
            match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            }
        }
        lines.push(format!(
            "{path} will have the groups {}; the values {}; the policies {}",
            names(&write.groups),
            names(&write.values),
            names(&write.policies)
        ));
    }
    for (key, below) in &write.groups {
        let read = read.and_then(|it| it.groups.get(key));
        collect_contents(read, below, &format!("{path}/{key}"), lines);
    }
}
