//! What may become of a release that runs: the table of upgrades and rollbacks, and the judgement
//! by it.
//!
//! The judgement compares what runs (images of live pods, or the records of earlier revisions where
//! no pod ran) with what is wanted (a rendered or a recorded manifest). [`RULES`] is the table; a
//! step between two versions that no row allows is refused. Images are judged by their tags; an
//! image whose tag says nothing counts as the Fabric version that the release's values name.

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
pub use table::{RULES, UNLISTED, highest_level, knows};
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

/// What a rule says of the case it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Allow,
    /// It goes through, and the user is told.
    Warn,
    /// Something has to be done by hand first; refused until the user says that it is done.
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

/// Which way a version moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Any,
    /// The same line, the same patch or a later one.
    PatchUp,
    /// The same line, an earlier patch.
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
            Way::PatchUp => "the same line, the same or a later patch",
            Way::PatchDown => "the same line, an earlier patch",
            Way::LineUp => "a later line",
            Way::LineDown => "an earlier line",
            Way::Down => "an earlier version",
        }
    }
}

/// What else must hold for a step's rule to apply.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    Always,
    /// The ordering service's consensus is one of these.
    Consensus(&'static [&'static str]),
    /// It is none of these.
    NoConsensus(&'static [&'static str]),
    /// The wanted program's environment does not say this variable.
    Unsaid(&'static str),
}

/// What an organization is known by, and cannot simply exchange while its nodes run.
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

    /// The value that says it.
    fn key(self) -> &'static str {
        match self {
            Setting::MspId => "org.mspID",
            Setting::Domain => "org.domain",
            Setting::Tls => "tls.enabled",
            Setting::Consensus => "orderers.consensus",
            Setting::Crypto => "crypto.source",
        }
    }

    /// What facts say of it; nothing in a record that is older than the fact.
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

/// The case that a rule is about.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// A program goes from one version to another.
    Step {
        from: Span,
        to: Span,
        way: Way,
        given: Given,
    },
    /// A version is wanted, wherever it comes from.
    Wanted(Span),
    /// Fabric's own tools image of such a version is wanted.
    OwnImage(Span),
    /// Every machine of the cluster is an arm64 one, and a version is wanted that has no image for
    /// it.
    NoArm64(Span),
    /// The image comes from another registry than before.
    Registry,
    /// An image of another family, with another name.
    ImageFamily,
    /// Peers go to a later line than orderers of the same network run.
    OrderersBehind,
    StateDatabase,
    /// A claim for a volume gets smaller.
    SmallerVolume,
    /// A claim for a volume goes.
    NoVolume,
    /// Something of a live organization becomes something else.
    Changed(Setting),
    /// Members of a deployed revision are no longer wanted, of which a quorum stays.
    Fewer(Component),
    /// Fewer orderers are wanted than the quorum of those that were deployed.
    QuorumLost,
    /// A pod waits for what is not there.
    Missing,
    /// A policy that denies by default would meet pods that are not the release's.
    Strangers,
    /// A channel's capability level is not known to the wanted version.
    Capability,
    /// A rollback to before something that cannot be undone.
    History,
    /// An orderer's certificate changes that channels know it by: its TLS certificate, or the one
    /// that it signs with.
    Renewed {
        is_tls: bool,
        same_key: bool,
        orderer: Span,
        consensus: &'static [&'static str],
    },
    /// No row knows the step between two versions.
    Unlisted,
}

/// One row of the table.
#[derive(Debug)]
pub struct Rule {
    /// `U05`. Rows of one id differ in what they are given.
    pub id: &'static str,
    /// Empty is any.
    pub components: &'static [Component],
    pub when: When,
    pub verdict: Verdict,
    pub reason: &'static str,
    /// What the user can do; empty where nothing needs to be done.
    pub way_out: &'static str,
    pub source: &'static str,
}

impl Rule {
    fn is_about(&self, component: Component) -> bool {
        self.components.is_empty() || self.components.contains(&component)
    }

    /// The case in words, as (component, from, to).
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
                    Given::Unsaid(variable) => format!("; `{variable}` is not said"),
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
            When::ImageFamily => ("any".to_owned(), "an image of another name".to_owned()),
            When::OrderersBehind => (
                "any".to_owned(),
                "a later line than the network's orderers".to_owned(),
            ),
            When::StateDatabase => ("goleveldb or CouchDB".to_owned(), "the other".to_owned()),
            When::SmallerVolume => ("a volume claim".to_owned(), "a smaller one".to_owned()),
            When::NoVolume => ("a volume claim".to_owned(), "none".to_owned()),
            When::Changed(changed) => (
                format!("`{}`", changed.key()),
                "another value, once nodes ran".to_owned(),
            ),
            When::Fewer(_) => ("any number".to_owned(), "fewer".to_owned()),
            When::QuorumLost => (
                "any number".to_owned(),
                "fewer than their quorum".to_owned(),
            ),
            When::Missing => (
                "any".to_owned(),
                "an object that names a Secret, ConfigMap or claim that is not there".to_owned(),
            ),
            When::Strangers => (
                "pods of others in the namespace".to_owned(),
                "a network policy that denies by default, for the first time".to_owned(),
            ),
            When::Capability => (
                "a channel's capability level".to_owned(),
                "a version that does not know it".to_owned(),
            ),
            When::History => (
                "after something that stays".to_owned(),
                "a revision before it".to_owned(),
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
                "a version that no other rule names".to_owned(),
            ),
        };
        (components, from, to)
    }
}

/// A rule that applies, and where.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static Rule,
    /// `StatefulSet org1/peer0`
    pub place: String,
    /// `peer 1.4.12 → 2.5.16`
    pub what: String,
}

/// What is wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    pub nodes: Vec<Node>,
    pub facts: Facts,
    pub is_rollback: bool,
    /// Of the cluster's machines, as far as known: `amd64`, `arm64`.
    pub architectures: BTreeSet<String>,
    /// Releases of the orderers that values name, with the Fabric version of each, as far as known.
    pub orderers: Vec<(String, Version)>,
    /// What pods wait for and is not there, with the object that names it:
    /// `StatefulSet org1/peer0`, `Secret login`.
    pub missing: Vec<(String, String)>,
    /// Pods of others in the namespace, where a policy will deny them by default: the policy, and
    /// their names.
    pub strangers: Option<(String, Vec<String>)>,
    /// Certificates of orderers that change.
    pub renewals: Vec<Renewal>,
}

/// Everything that the table says of a step, allowances included.
#[derive(Debug, Default)]
pub struct Judgement {
    pub findings: Vec<Finding>,
    /// What could not be judged, and why.
    pub notes: Vec<String>,
    /// The values that volumes were written with, where others are wanted.
    pub offer: Option<String>,
}

/// Judges every node, and the release as a whole.
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
            format!("meets {named}{more}"),
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

/// More pods of others than this are counted.
const LISTED: usize = 10;

/// The organization as a whole: what it is known by, and how many members it has.
fn organization(
    running: &Running,
    wanted: &Wanted,
    consensus: &str,
    release: &str,
    judgement: &mut Judgement,
) {
    let place = format!("release {release}");
    // Where no node ever ran, nothing was told to anybody.
    let lives = running.nodes.iter().any(|node| !node.programs.is_empty());
    // A rollback over another consensus is what U26 is about.
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
            let what = format!("{before} orderers → {after}, and {quorum} of {before} must run");
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

/// A certificate that channels know an orderer by.
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

/// What is wanted, wherever it comes from.
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

/// One program's step from what ran to what is wanted.
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
                format!("{place}: image {} does not tell its version; it counts as {version}, by fabricVersion", program.image)
            }
            None => format!("{place}: image {} does not tell its version, so this step cannot be judged", program.image),
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
    // An allowance says nothing against a rule that knows more.
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

/// Reads the name of a rule, as `--force` takes it.
///
/// # Errors
///
/// There is no such rule: the sentence lists those there are.
pub fn parse_rule(text: &str) -> Result<&'static str, String> {
    if let Some(rule) = RULES.iter().find(|rule| rule.id.eq_ignore_ascii_case(text)) {
        return Ok(rule.id);
    }
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    ids.dedup();
    let near = nearest(text, ids.iter().copied())
        .map(|near| format!("{near}, maybe? "))
        .unwrap_or_default();
    Err(format!(
        "there is no such rule; {near}these can be named: {}",
        ids.join(", ")
    ))
}

/// Whether what is wanted lacks images for arm64, so that the machines' architecture matters.
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

/// Whether peers go to a later line, so that the orderers of their network matter.
pub fn asks_for_orderers(running: &Running, wanted: &[Node]) -> bool {
    wanted.iter().any(|node| {
        node.programs.get(&Component::Peer).is_some_and(|peer| {
            running
                .programs(&node.place, Component::Peer)
                .any(|before| before.line().is_some() && before.line() < peer.line())
        })
    })
}

/// Namespaces of the orderers that a release's values name.
pub fn orderers_named(release: &str, namespace: &str, values: &Value) -> Vec<String> {
    let settings = Settings::new(values);
    let names = Names::of(release, namespace, &settings);
    settings
        .texts("/networkPolicy/ordererOrgs")
        .into_iter()
        .map(|orderer| names.sibling(orderer))
        .collect()
}

/// The organizations that a release's values name: the key, the release, and its namespace.
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

/// Findings by rule, in the table's order.
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
