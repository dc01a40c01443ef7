//! Candidates that need no cluster: versions, guards, and the keys of the charts' values.

use super::{CommandLine, beginning_with, last_of_list};
use crate::chart::repository;
use crate::commands::arguments::FORMATS;
use crate::fabric::LINES;
use crate::fabric::guard::RULES;
use clap_complete::CompletionCandidate;
use serde_json::Value;
use std::ffi::OsStr;

/// Guards for `--force`.
pub fn rules(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut rules: Vec<(String, String)> = RULES
        .iter()
        .map(|rule| (rule.id.to_owned(), rule.reason.to_owned()))
        .collect();
    rules.dedup_by(|rule, before| rule.0 == before.0);
    last_of_list(current, rules)
}

/// Versions for `--fabric-version`: the last patch of each minor version, and all patches of a
/// minor version that was typed.
pub fn fabric_versions(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let versions = LINES.iter().rev().flat_map(|line| {
        let first = if typed.starts_with(&format!("{}.", line.name())) {
            0
        } else {
            line.last_patch
        };
        (first..=line.last_patch)
            .rev()
            .map(move |patch| (format!("{}.{patch}", line.name()), line.note.to_owned()))
    });
    beginning_with(current, versions)
}

/// Versions of the chart on the command line.
pub fn chart_versions(current: &OsStr) -> Vec<CompletionCandidate> {
    let chart = chart_of(&CommandLine::read());
    let rows = repository::embedded()
        .iter()
        .filter(|(name, _, _)| chart == Some(*name));
    beginning_with(
        current,
        rows.map(|(name, version, _)| ((*version).to_owned(), (*name).to_owned())),
    )
}

/// Formats for `-o`.
pub fn formats(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(
        current,
        FORMATS.map(|(format, help)| (format.to_owned(), help.to_owned())),
    )
}

/// Keys for `--set` and similar flags: completes the last of several settings.
pub fn settings(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let (_, last) = typed.rsplit_once(',').unwrap_or(("", &typed));
    let keys = keys(last)
        .into_iter()
        .map(|(key, is_map, help)| (format!("{key}{}", if is_map { '.' } else { '=' }), help));
    last_of_list(current, keys)
}

/// Paths of values.
pub fn paths(current: &OsStr) -> Vec<CompletionCandidate> {
    let keys = keys(&current.to_string_lossy()).into_iter();
    beginning_with(
        current,
        keys.map(|(key, is_map, help)| (if is_map { key + "." } else { key }, help)),
    )
}

/// The sibling keys of the typed key, from the chart's schema: the full key, whether it has keys
/// below it, and its description.
fn keys(typed: &str) -> Vec<(String, bool, String)> {
    let chart = chart_of(&CommandLine::read()).and_then(|name| repository::find(name, None).ok());
    let Some(schema) = chart.and_then(|chart| chart.schema) else {
        return Vec::new();
    };
    let above = typed.rsplit_once('.').map(|(above, _)| above);
    let Some(map) = above
        .into_iter()
        .flat_map(|path| path.split('.'))
        .try_fold(&schema, |map, key| map["properties"].get(key))
    else {
        return Vec::new();
    };
    let key = |(name, schema): (&String, &Value)| {
        let full = above
            .map(|above| format!("{above}.{name}"))
            .unwrap_or_else(|| name.clone());
        (
            full,
            schema["properties"].is_object(),
            schema["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    map["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(key)
        .collect()
}

/// The embedded chart of the command line: the named one, or the default for the release's name.
fn chart_of(line: &CommandLine) -> Option<&'static str> {
    let is_embedded = |name: &str| {
        repository::embedded()
            .iter()
            .map(|row| row.0)
            .find(|embedded| *embedded == name)
    };
    let named = line.names.iter().find_map(|name| is_embedded(name));
    named.or_else(|| repository::chart_for_release(line.names.first()?).ok())
}
