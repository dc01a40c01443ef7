//! What an update writes, whatever the configuration is that it comes with: for signers who have only
//! the word of another organization for the configuration.

use super::{is_changed, sets};
use crate::ledger::config_tree::Group;
use crate::ledger::message::configuration::ConfigUpdate;
use std::collections::BTreeMap;

/// Paths of elements that the update changes, and that the configuration has in the same way
/// already. An update that was computed from this configuration has none.
///
/// A reader of an update who has the configuration from the same writer must check it: the writer
/// could give a configuration that has a change already, and so hide the change.
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

/// What each changed group holds after the update, in words: the update replaces the whole list of
/// members, so a member that is not named is removed, whatever the configuration was.
pub fn contents(update: &ConfigUpdate) -> Vec<String> {
    let (read, write) = sets(update);
    let mut lines = Vec::new();
    collect_contents(Some(&read), &write, "/Channel", &mut lines);
    lines
}

fn collect_contents(read: Option<&Group>, write: &Group, path: &str, lines: &mut Vec<String>) {
    // All of a new group is shown anyway.
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
