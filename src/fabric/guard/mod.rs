//! Guards running releases: the table of upgrades and rollbacks, and its evaluation.
//!
//! Compares what runs (images of live pods, or earlier records where no pod ran) with what is
//! desired (a rendered or recorded manifest). [`RULES`] is the table. A step between two versions
//! without a row is refused. Versions come from the tags of images. If a tag shows no version, the
//! Fabric version in the release's values counts.

mod decision;
mod facts;
mod image;
mod node;
mod running;
mod table;
#[cfg(test)]
mod tests;
mod written;

pub use decision::Decision;
pub use facts::Facts;
pub use image::Component;
pub use node::{Node, Program, nodes, owner};
pub use running::{Evidence, Running};
pub use table::{RULES, UNLISTED, highest_level, knows, levels};
pub use written::{WRITTEN_BY, Written};

use super::orderer;
use super::organization::Names;
use super::settings::Settings;
use super::versions::Span;
use crate::error::nearest;
use crate::identity::Renewal;
use crate::manifest::quantity;
use semver::Version;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The result of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Allow,
    /// Permitted, with a warning.
    Warn,
    /// Refused until the user confirms that a manual step is done.
    NeedsAction,
    Block,
}

impl Verdict {
    pub fn refuses(self) -> bool {
        self >= Verdict::NeedsAction
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Allow => "allow",
            Verdict::Warn => "warn",
            Verdict::NeedsAction => "needs action",
            Verdict::Block => "block",
        })
    }
}

/// The direction of a version change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Any,
    /// Same line, same or later patch.
    PatchUp,
    /// Same line, earlier patch.
    PatchDown,
    /// A later line.
    LineUp,
    /// An earlier line.
    LineDown,
    Down,
}

impl Way {
    fn holds(self, from: &Version, to: &Version) -> bool {
        let line = |version: &Version| (version.major, version.minor);
        match self {
            Way::Any => true,
            Way::PatchUp => line(from) == line(to) && from.patch <= to.patch,
            Way::PatchDown => line(from) == line(to) && from.patch > to.patch,
            Way::LineUp => line(from) < line(to),
            Way::LineDown => line(from) > line(to),
            Way::Down => from > to,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Way::Any => "",
            Way::PatchUp => "the same minor version, the same or a later patch",
            Way::PatchDown => "the same minor version, an earlier patch",
            Way::LineUp => "a later minor version",
            Way::LineDown => "an earlier minor version",
            Way::Down => "an earlier version",
        }
    }
}

/// An additional condition of a rule for a step.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    Always,
    /// The ordering service uses one of these consensus types.
    Consensus(&'static [&'static str]),
    /// It uses none of these.
    NoConsensus(&'static [&'static str]),
    /// The desired program's environment does not set this variable.
    Unsaid(&'static str),
}

/// A property of an organization that cannot simply change while its nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    MspId,
    Domain,
    Tls,
    Consensus,
    Crypto,
}

impl Setting {
    const ALL: [Setting; 5] = [
        Setting::MspId,
        Setting::Domain,
        Setting::Tls,
        Setting::Consensus,
        Setting::Crypto,
    ];

    /// Returns the key of the value that sets it.
    fn key(self) -> &'static str {
        match self {
            Setting::MspId => "org.mspID",
            Setting::Domain => "org.domain",
            Setting::Tls => "tls.enabled",
            Setting::Consensus => "orderers.consensus",
            Setting::Crypto => "crypto.source",
        }
    }

    /// Returns its value in the facts, or `None` in a record from before the fact existed.
    fn of(self, facts: &Facts) -> Option<String> {
        match self {
            Setting::MspId => facts.msp_id.clone(),
            Setting::Domain => facts.domain.clone(),
            Setting::Tls => facts.tls.map(|tls| tls.to_string()),
            Setting::Consensus => facts.consensus.clone(),
            Setting::Crypto => facts.crypto.clone(),
        }
    }
}

/// The case to which a rule applies.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// A program changes from one version to another.
    Step {
        from: Span,
        to: Span,
        way: Way,
        given: Given,
    },
    /// A version is desired, whatever runs before.
    Wanted(Span),
    /// Fabric's own tools image of such a version is desired.
    OwnImage(Span),
    /// All machines of the cluster are arm64, and a desired version has no image for it.
    NoArm64(Span),
    /// The image comes from another registry than before.
    Registry,
    /// The image is from another family, with another name.
    ImageFamily,
    /// Peers change to a later line than the orderers of their network.
    OrderersBehind,
    StateDatabase,
    /// A volume claim becomes smaller.
    SmallerVolume,
    /// A volume claim is removed.
    NoVolume,
    /// A property of a live organization changes.
    Changed(Setting),
    /// Members of a deployed revision are removed, but a quorum stays.
    Fewer(Component),
    /// The remaining orderers are fewer than the quorum of the deployed ones.
    QuorumLost,
    /// A pod needs an object that does not exist.
    Missing,
    /// A default-deny policy would affect pods of others.
    Strangers,
    /// The desired version does not know a channel's capability level.
    Capability,
    /// A rollback to a revision from before a step that cannot be undone.
    History,
    /// A certificate of an orderer that is in channel configurations changes: its TLS certificate
    /// or its signing certificate.
    Renewed {
        is_tls: bool,
        same_key: bool,
        orderer: Span,
        consensus: &'static [&'static str],
    },
    /// No row covers the step between two versions.
    Unlisted,
}

/// A row of the table.
#[derive(Debug)]
pub struct Rule {
    /// Such as `U05`. Rows with the same ID have different conditions.
    pub id: &'static str,
    /// Empty means any.
    pub components: &'static [Component],
    pub when: When,
    pub verdict: Verdict,
    pub reason: &'static str,
    /// What the user can do. Empty if nothing needs to be done.
    pub way_out: &'static str,
    pub source: &'static str,
}

impl Rule {
    fn is_about(&self, component: Component) -> bool {
        self.components.is_empty() || self.components.contains(&component)
    }

    /// Describes the case as (component, from, to).
    pub fn words(&self) -> (String, String, String) {
        let components: Vec<_> = self.components.iter().map(ToString::to_string).collect();
        let components = if components.is_empty() {
            "any".to_owned()
        } else {
            components.join(", ")
        };
        let (from, to) = match self.when {
            When::Step {
                from,
                to,
                way,
                given,
            } => {
                let given = match given {
                    Given::Always => String::new(),
                    Given::Consensus(names) => format!("; consensus {}", names.join(" or ")),
                    Given::NoConsensus(names) => {
                        format!("; consensus other than {}", names.join(" or "))
                    }
                    Given::Unsaid(variable) => format!("; `{variable}` is not set"),
                };
                let to = match (way.words(), to.to_string().as_str()) {
                    ("", to) => to.to_owned(),
                    (way, "any") => way.to_owned(),
                    (way, to) => format!("{to}: {way}"),
                };
                (from.to_string(), format!("{to}{given}"))
            }
            When::Wanted(span) => ("any".to_owned(), span.to_string()),
            When::OwnImage(span) => (
                "any".to_owned(),
                format!("`hyperledger/fabric-tools` {span}"),
            ),
            When::NoArm64(span) => (
                "any".to_owned(),
                format!("{span}, where every machine is arm64"),
            ),
            When::Registry => ("docker.io".to_owned(), "ghcr.io".to_owned()),
            When::ImageFamily => ("any".to_owned(), "an image with another name".to_owned()),
            When::OrderersBehind => (
                "any".to_owned(),
                "a later minor version than the network's orderers".to_owned(),
            ),
            When::StateDatabase => (
                "goleveldb or CouchDB".to_owned(),
                "the other one".to_owned(),
            ),
            When::SmallerVolume => ("a volume claim".to_owned(), "a smaller one".to_owned()),
            When::NoVolume => ("a volume claim".to_owned(), "none".to_owned()),
            When::Changed(changed) => (
                format!("`{}`", changed.key()),
                "another value, after nodes have run".to_owned(),
            ),
            When::Fewer(_) => ("any number".to_owned(), "fewer".to_owned()),
            When::QuorumLost => (
                "any number".to_owned(),
                "fewer than their quorum".to_owned(),
            ),
            When::Missing => (
                "any".to_owned(),
                "an object that refers to a missing Secret, ConfigMap or claim".to_owned(),
            ),
            When::Strangers => (
                "other pods in the namespace".to_owned(),
                "the first network policy that denies by default".to_owned(),
            ),
            When::Capability => (
                "a channel's capability level".to_owned(),
                "a version that does not support it".to_owned(),
            ),
            When::History => (
                "after an irreversible change".to_owned(),
                "an earlier revision".to_owned(),
            ),
            When::Renewed {
                is_tls,
                same_key,
                orderer,
                consensus,
            } => {
                let certificate = if is_tls { "TLS" } else { "signing" };
                let key = if same_key {
                    "the same key"
                } else {
                    "another key"
                };
                let version = if orderer.to_string() == "any" {
                    String::new()
                } else {
                    format!("; orderer {orderer}")
                };
                let to = format!(
                    "one of {key}{version}; consensus {}",
                    consensus.join(" or ")
                );
                (format!("an orderer's {certificate} certificate"), to)
            }
            When::Unlisted => (
                "any".to_owned(),
                "a version without another guard".to_owned(),
            ),
        };
        (components, from, to)
    }
}

/// A rule that applies, and its place.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static Rule,
    /// Such as `StatefulSet org1/peer0`.
    pub place: String,
    /// Such as `peer 1.4.12 → 2.5.16`.
    pub what: String,
}

/// The desired state.
#[derive(Debug, Default)]
pub struct Wanted {
    pub nodes: Vec<Node>,
    pub facts: Facts,
    pub is_rollback: bool,
    /// Known architectures of the cluster's machines: `amd64`, `arm64`.
    pub architectures: BTreeSet<String>,
    /// Releases of the orderers in the values, with their Fabric versions if known.
    pub orderers: Vec<(String, Version)>,
    /// Missing objects that pods need, each with the object that refers to it:
    /// `StatefulSet org1/peer0`, `Secret login`.
    pub missing: Vec<(String, String)>,
    /// Names of others' pods in the namespace that a default-deny policy would affect, with that
    /// policy.
    pub strangers: Option<(String, Vec<String>)>,
    /// Orderers' certificates that change.
    pub renewals: Vec<Renewal>,
}

/// All findings of the table, including permissions.
#[derive(Debug, Default)]
pub struct Judgement {
    pub findings: Vec<Finding>,
    /// What could not be evaluated, with reasons.
    pub notes: Vec<String>,
    /// The values with which volumes were written, if other values are desired.
    pub offer: Option<String>,
}

/// Evaluates all nodes, and the release as a whole.
pub fn judge(running: &Running, wanted: &Wanted, release: &str) -> Judgement {
    let offer = running
        .written
        .as_ref()
        .and_then(|written| written.offer(&wanted.facts));
    let mut judgement = Judgement {
        findings: Vec::new(),
        notes: running.notes.clone(),
        offer,
    };
    let consensus = running
        .facts
        .consensus
        .as_deref()
        .or(wanted.facts.consensus.as_deref())
        .unwrap_or_default();
    let mut orderers_behind = false;
    for node in &wanted.nodes {
        for program in node.programs.values() {
            wants(node, program, wanted, &mut judgement);
            for before in running.programs(&node.place, program.component) {
                step(node, before, program, consensus, &mut judgement);
                orderers_behind |=
                    program.component == Component::Peer && before.line() < program.line();
            }
        }
        let before = running
            .nodes
            .iter()
            .filter(|before| before.place == node.place);
        let databases: BTreeSet<&str> = before
            .filter_map(|before| before.state_database.as_deref())
            .collect();
        for database in databases {
            if let Some(wanted) = node
                .state_database
                .as_deref()
                .filter(|wanted| *wanted != database)
            {
                let what = format!("{database} → {wanted}");
                judgement.find(
                    |rule| matches!(rule.when, When::StateDatabase),
                    &node.place,
                    what,
                );
            }
        }
        for (volume, size) in running.volumes.get(&node.place).into_iter().flatten() {
            match node.volumes.get(volume) {
                None => {
                    let what = format!("volume {volume} {size} → none");
                    judgement.find(
                        |rule| matches!(rule.when, When::NoVolume),
                        &node.place,
                        what,
                    );
                }
                Some(wanted) if quantity::bytes(wanted) < quantity::bytes(size) => {
                    let what = format!("volume {volume} {size} → {wanted}");
                    judgement.find(
                        |rule| matches!(rule.when, When::SmallerVolume),
                        &node.place,
                        what,
                    );
                }
                Some(_) => {}
            }
        }
    }
    organization(running, wanted, consensus, release, &mut judgement);
    for (place, missing) in &wanted.missing {
        judgement.find(
            |rule| matches!(rule.when, When::Missing),
            place,
            format!("{missing} does not exist"),
        );
    }
    if let Some((policy, pods)) = &wanted.strangers {
        let named = pods
            .iter()
            .take(LISTED)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let more = pods.len().saturating_sub(LISTED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        judgement.find(
            |rule| matches!(rule.when, When::Strangers),
            policy,
            format!("applies to {named}{more}"),
        );
    }
    for (orderer, version) in wanted.orderers.iter().filter(|_| orderers_behind) {
        let behind = |program: &&Program| {
            program.component == Component::Peer && program.line() > Some(line(version))
        };
        let mut programs = wanted
            .nodes
            .iter()
            .flat_map(|node| node.programs.values())
            .map(Box::as_ref);
        if let Some(peer) = programs.find(behind) {
            let what = format!("{} before {orderer}, which runs {version}", peer.words());
            judgement.find(
                |rule| matches!(rule.when, When::OrderersBehind),
                &format!("release {release}"),
                what,
            );
        }
    }
    for renewal in &wanted.renewals {
        renewed(renewal, wanted, consensus, &mut judgement);
    }
    if wanted.is_rollback {
        for what in running.facts.stays(&wanted.facts) {
            judgement.find(
                |rule| matches!(rule.when, When::History),
                &format!("release {release}"),
                what,
            );
        }
    }
    judgement
}

/// Maximum number of others' pods in a message. Further ones are only counted.
const LISTED: usize = 10;

/// Evaluates the organization as a whole: its properties and its number of members.
fn organization(
    running: &Running,
    wanted: &Wanted,
    consensus: &str,
    release: &str,
    judgement: &mut Judgement,
) {
    let place = format!("release {release}");
    // If no node ever ran, no other program knows the organization.
    let lives = running.nodes.iter().any(|node| !node.programs.is_empty());
    // U26 covers a rollback to another consensus type.
    let judged = |it: &Setting| lives && !(wanted.is_rollback && *it == Setting::Consensus);
    for changed in Setting::ALL.into_iter().filter(judged) {
        if let (Some(before), Some(after)) = (changed.of(&running.facts), changed.of(&wanted.facts))
            && before != after
        {
            let what = format!("{} {before} → {after}", changed.key());
            judgement.find(
                |rule| matches!(rule.when, When::Changed(of) if of == changed),
                &place,
                what,
            );
        }
    }
    for component in [Component::Peer, Component::Orderer] {
        let of = |nodes: &[Node]| {
            nodes
                .iter()
                .filter(|node| node.programs.contains_key(&component))
                .count() as u64
        };
        let (before, after) = (of(&running.deployed), of(&wanted.nodes));
        if after >= before {
            continue;
        }
        let quorum = orderer::quorum(consensus, before);
        if component == Component::Orderer && after < quorum {
            let what = format!("{before} orderers → {after}, but {quorum} of {before} must run");
            judgement.find(|rule| matches!(rule.when, When::QuorumLost), &place, what);
        } else if component == Component::Peer || quorum > 1 {
            let what = format!("{before} {component}s → {after}");
            judgement.find(
                |rule| matches!(rule.when, When::Fewer(of) if of == component),
                &place,
                what,
            );
        }
    }
}

impl Judgement {
    fn find(&mut self, which: impl Fn(&Rule) -> bool, place: &str, what: String) {
        for rule in RULES.iter().filter(|rule| which(rule)) {
            self.findings.push(Finding {
                rule,
                place: place.to_owned(),
                what: what.clone(),
            });
        }
    }
}

/// Evaluates a changed certificate that channel configurations contain.
fn renewed(renewal: &Renewal, wanted: &Wanted, consensus: &str, judgement: &mut Judgement) {
    let node = wanted
        .nodes
        .iter()
        .find(|node| node.place.rsplit('/').next() == Some(renewal.node.as_str()));
    let orderer = |node: &Node| {
        node.programs
            .values()
            .find(|program| program.component == Component::Orderer)?
            .version
            .clone()
    };
    let version = node.and_then(orderer);
    let applies = |rule: &Rule| match rule.when {
        When::Renewed {
            is_tls,
            same_key,
            orderer,
            consensus: names,
        } => {
            (is_tls, same_key) == (renewal.is_tls, renewal.same_key)
                && names.contains(&consensus)
                && version
                    .as_ref()
                    .is_none_or(|version| orderer.holds(version))
        }
        _ => false,
    };
    let certificate = if renewal.is_tls { "TLS" } else { "signing" };
    let key = if renewal.same_key {
        "the same key"
    } else {
        "another key"
    };
    let place = node.map_or(renewal.node.as_str(), |node| node.place.as_str());
    judgement.find(
        applies,
        place,
        format!("{certificate} certificate → one of {key}"),
    );
}

/// Evaluates what is desired, regardless of what runs before.
fn wants(node: &Node, program: &Program, wanted: &Wanted, judgement: &mut Judgement) {
    let Some(version) = &program.version else {
        return;
    };
    let only_arm64 =
        !wanted.architectures.is_empty() && wanted.architectures.iter().all(|one| one == "arm64");
    let applies = |rule: &Rule| {
        rule.is_about(program.component)
            && match rule.when {
                When::Wanted(span) => span.holds(version),
                When::OwnImage(span) => program.is_fabric_s_own() && span.holds(version),
                When::NoArm64(span) => only_arm64 && span.holds(version),
                _ => false,
            }
    };
    judgement.find(applies, &node.place, program.words());
    let levels = &wanted.facts.capabilities;
    let unknown = levels
        .iter()
        .filter(|(group, level)| table::knows(group, level).is_some_and(|since| *version < since));
    if matches!(program.component, Component::Peer | Component::Orderer) {
        for (group, level) in unknown {
            let what = format!("{} on a channel of {group} {level}", program.words());
            judgement.find(
                |rule| matches!(rule.when, When::Capability),
                &node.place,
                what,
            );
        }
    }
}

/// Evaluates a program's step from the running to the desired version.
fn step(
    node: &Node,
    before: &Program,
    after: &Program,
    consensus: &str,
    judgement: &mut Judgement,
) {
    if !after.keeps_data() || before.image == after.image && before.version == after.version {
        return;
    }
    let place = &node.place;
    let families = RULES
        .iter()
        .any(|rule| matches!(rule.when, When::ImageFamily) && rule.is_about(after.component));
    if families && before.name() != after.name() {
        let what = format!("{} → {}", before.image, after.image);
        return judgement.find(|rule| matches!(rule.when, When::ImageFamily), place, what);
    }
    for program in [before, after]
        .into_iter()
        .filter(|program| program.claimed || program.version.is_none())
    {
        judgement.notes.push(match &program.version {
            Some(version) => {
                format!("{place}: the version of image {} is unknown; fabricVersion {version} is assumed", program.image)
            }
            None => format!("{place}: the version of image {} is unknown, so this step cannot be checked", program.image),
        });
    }
    let (Some(from), Some(to)) = (&before.version, &after.version) else {
        return;
    };
    let what = format!("{} {from} → {to}", after.component);
    let applies = |rule: &Rule| match rule.when {
        When::Step {
            from: before,
            to: wanted,
            way,
            given,
        } => {
            rule.is_about(after.component)
                && before.holds(from)
                && wanted.holds(to)
                && way.holds(from, to)
                && match given {
                    Given::Always => true,
                    Given::Consensus(names) => names.contains(&consensus),
                    Given::NoConsensus(names) => !names.contains(&consensus),
                    Given::Unsaid(variable) => !after.variables.contains(variable),
                }
        }
        _ => false,
    };
    let listed: Vec<&Rule> = RULES.iter().filter(|rule| applies(rule)).collect();
    let worst = listed.iter().map(|rule| rule.verdict).max();
    // A permission does not outweigh a more specific rule.
    match worst {
        None => judgement.find(|rule| matches!(rule.when, When::Unlisted), place, what),
        Some(Verdict::Allow) => judgement.find(applies, place, what),
        Some(_) => judgement.find(
            |rule| applies(rule) && rule.verdict != Verdict::Allow,
            place,
            what,
        ),
    }
    if before.host() == "docker.io" && after.host() == "ghcr.io" {
        judgement.find(
            |rule| matches!(rule.when, When::Registry),
            place,
            format!("{} → {}", before.image, after.image),
        );
    }
}

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
