//! Guards running releases: the table of upgrades and rollbacks, and its evaluation.
//!
//! Compares what runs (images of live pods, or earlier records where no pod ran) with what is
//! desired (a rendered or recorded manifest). [`RULES`] is the table. A step between two versions
//! without a row is refused. Versions come from the tags of images. If a tag shows no version, the
//! Fabric version in the release's values counts.

mod decision;
mod facts;
mod image;
mod judge;
mod node;
mod rule;
mod running;
mod table;
#[cfg(test)]
mod tests;
mod written;

pub use decision::Decision;
pub use facts::Facts;
pub use image::Component;
pub use judge::{Finding, Judgement, Wanted, judge};
pub use node::{Node, Program, nodes, owner};
pub use rule::{Given, Rule, Setting, Verdict, Way, When};
pub use running::{Evidence, Running};
pub use table::{RULES, UNLISTED, highest_level, knows, levels};
pub use written::{WRITTEN_BY, Written};

use super::organization::Names;
use super::settings::Settings;
use crate::error::nearest;
use semver::Version;
use serde_json::Value;
use std::collections::BTreeMap;

fn line(version: &Version) -> (u64, u64) {
    (version.major, version.minor)
}

/// Parses the ID of a rule for `--force`.
///
/// # Errors
///
/// Fails if there is no such rule, and lists the existing ones.
pub fn parse_rule(text: &str) -> Result<&'static str, String> {
    if let Some(rule) = RULES.iter().find(|rule| rule.id.eq_ignore_ascii_case(text)) {
        return Ok(rule.id);
    }
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    ids.dedup();
    let near = nearest(text, ids.iter().copied())
        .map(|near| format!("did you mean {near}? "))
        .unwrap_or_default();
    Err(format!(
        "unknown guard; {near}known guards are {}",
        ids.join(", ")
    ))
}

/// Returns true if a desired image may not exist for arm64, so that the machines' architecture
/// matters.
pub fn asks_for_architectures(wanted: &[Node]) -> bool {
    wanted
        .iter()
        .flat_map(|node| node.programs.values())
        .any(|program| {
            let lacks = |rule: &Rule| match (rule.when, &program.version) {
                (When::NoArm64(span), Some(version)) => {
                    rule.is_about(program.component) && span.holds(version)
                }
                _ => false,
            };
            RULES.iter().any(lacks)
        })
}

/// Returns true if peers change to a later line, so that the orderers' versions matter.
pub fn asks_for_orderers(running: &Running, wanted: &[Node]) -> bool {
    wanted.iter().any(|node| {
        node.programs.get(&Component::Peer).is_some_and(|peer| {
            running
                .programs(&node.place, Component::Peer)
                .any(|before| before.line().is_some() && before.line() < peer.line())
        })
    })
}

/// Returns the namespaces of the orderers in a release's values.
pub fn orderers_named(release: &str, namespace: &str, values: &Value) -> Vec<String> {
    let settings = Settings::new(values);
    let names = Names::of(release, namespace, &settings);
    settings
        .texts("/networkPolicy/ordererOrgs")
        .into_iter()
        .map(|orderer| names.sibling(orderer))
        .collect()
}

/// Returns the organizations in a release's values: the key, the release, and its namespace.
pub fn releases_named(
    release: &str,
    namespace: &str,
    values: &Value,
) -> Vec<(&'static str, String, String)> {
    let settings = Settings::new(values);
    let names = Names::of(release, namespace, &settings);
    let keys = [
        ("networkPolicy.peerOrgs", "/networkPolicy/peerOrgs"),
        ("networkPolicy.ordererOrgs", "/networkPolicy/ordererOrgs"),
    ];
    let named = keys.into_iter().flat_map(|(key, path)| {
        settings
            .texts(path)
            .into_iter()
            .map(move |other| (key, other))
    });
    named
        .map(|(key, other)| (key, other.to_owned(), names.sibling(other)))
        .collect()
}

/// Groups findings by rule, in the table's order.
fn by_rule<'a>(
    findings: impl Iterator<Item = &'a Finding>,
) -> BTreeMap<(&'static str, Verdict), Vec<&'a Finding>> {
    let mut groups: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        groups
            .entry((finding.rule.id, finding.rule.verdict))
            .or_default()
            .push(finding);
    }
    groups
}
