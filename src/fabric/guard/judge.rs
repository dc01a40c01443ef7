//! Evaluates the table: compares what runs with what is desired.

use super::facts::Facts;
use super::image::Component;
use super::node::{Node, Program};
use super::rule::{Given, Rule, Setting, Verdict, When};
use super::running::Running;
use super::table::{self, RULES};
use crate::fabric::orderer;
use crate::identity::Renewal;
use crate::manifest::quantity;
use semver::Version;
use std::collections::BTreeSet;

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
    let written = running.written.as_ref();
    let consensus = running.facts.consensus.as_deref();
    let mut case = Case {
        running,
        wanted,
        consensus: consensus
            .or(wanted.facts.consensus.as_deref())
            .unwrap_or_default(),
        release: format!("release {release}"),
        judgement: Judgement {
            findings: Vec::new(),
            notes: running.notes.clone(),
            offer: written.and_then(|written| written.offer(&wanted.facts)),
        },
    };
    for node in &wanted.nodes {
        for program in node.programs.values() {
            case.wants(node, program);
            for before in running.programs(&node.place, program.component) {
                case.step(node, before, program);
            }
        }
        case.state_database(node);
        case.volumes(node);
    }
    case.settings();
    case.members();
    for (place, missing) in &wanted.missing {
        let what = format!("{missing} does not exist");
        case.find(|when| matches!(when, When::Missing), place, what);
    }
    case.strangers();
    case.orderers_behind();
    for renewal in &wanted.renewals {
        case.renewed(renewal);
    }
    case.history();
    case.judgement
}

/// Maximum number of others' pods in a message. Further ones are only counted.
const LISTED: usize = 10;

/// The input of the rules, and their findings so far.
struct Case<'a> {
    running: &'a Running,
    wanted: &'a Wanted,
    /// The consensus type of the orderers that run, or of the desired ones. Empty if unknown.
    consensus: &'a str,
    /// The place of findings about the release as a whole.
    release: String,
    judgement: Judgement,
}

impl Case<'_> {
    /// Adds a finding for each rule about this case.
    fn find(&mut self, which: impl Fn(&When) -> bool, place: &str, what: String) {
        self.find_rules(|rule| which(&rule.when), place, what);
    }

    fn find_rules(&mut self, which: impl Fn(&Rule) -> bool, place: &str, what: String) {
        let rules = RULES.iter().filter(|rule| which(rule));
        self.judgement.findings.extend(rules.map(|rule| Finding {
            rule,
            place: place.to_owned(),
            what: what.clone(),
        }));
    }

    /// Evaluates what is desired, regardless of what runs before.
    fn wants(&mut self, node: &Node, program: &Program) {
        let Some(version) = &program.version else {
            return;
        };
        let wanted = self.wanted;
        let machines = &wanted.architectures;
        let only_arm64 = !machines.is_empty() && machines.iter().all(|one| one == "arm64");
        let applies = |rule: &Rule| {
            rule.is_about(program.component)
                && match rule.when {
                    When::Wanted(span) => span.holds(version),
                    When::OwnImage(span) => program.is_fabric_s_own() && span.holds(version),
                    When::NoArm64(span) => only_arm64 && span.holds(version),
                    _ => false,
                }
        };
        self.find_rules(applies, &node.place, program.words());
        if !matches!(program.component, Component::Peer | Component::Orderer) {
            return;
        }
        for (group, level) in &wanted.facts.capabilities {
            if table::knows(group, level).is_some_and(|since| *version < since) {
                let what = format!("{} on a channel of {group} {level}", program.words());
                self.find(|when| matches!(when, When::Capability), &node.place, what);
            }
        }
    }

    /// Evaluates a program's step from the running to the desired version.
    fn step(&mut self, node: &Node, before: &Program, after: &Program) {
        if !after.keeps_data() || before.image == after.image && before.version == after.version {
            return;
        }
        let place = &node.place;
        let families = RULES
            .iter()
            .any(|rule| matches!(rule.when, When::ImageFamily) && rule.is_about(after.component));
        let images = format!("{} → {}", before.image, after.image);
        if families && before.name() != after.name() {
            return self.find(|when| matches!(when, When::ImageFamily), place, images);
        }
        self.note_unknown_versions(place, [before, after]);
        let (Some(from), Some(to)) = (&before.version, &after.version) else {
            return;
        };
        let consensus = self.consensus;
        let applies = |rule: &Rule| {
            rule.is_about(after.component) && is_step(rule, from, to, after, consensus)
        };
        let listed = RULES.iter().filter(|rule| applies(rule));
        let worst = listed.map(|rule| rule.verdict).max();
        let what = format!("{} {from} → {to}", after.component);
        // A permission does not outweigh a more specific rule.
        match worst {
            None => self.find(|when| matches!(when, When::Unlisted), place, what),
            Some(Verdict::Allow) => self.find_rules(applies, place, what),
            Some(_) => self.find_rules(
                |rule| applies(rule) && rule.verdict != Verdict::Allow,
                place,
                what,
            ),
        }
        if before.host() == "docker.io" && after.host() == "ghcr.io" {
            self.find(|when| matches!(when, When::Registry), place, images);
        }
    }

    fn note_unknown_versions(&mut self, place: &str, programs: [&Program; 2]) {
        for Program {
            image,
            version,
            claimed,
            ..
        } in programs
        {
            let note = match version {
                Some(version) if *claimed => format!(
                    "{place}: the version of image {image} is unknown; fabricVersion {version} is assumed"
                ),
                Some(_) => continue,
                None => format!(
                    "{place}: the version of image {image} is unknown, so this step cannot be checked"
                ),
            };
            self.judgement.notes.push(note);
        }
    }

    fn state_database(&mut self, node: &Node) {
        let before = self.running.nodes.iter();
        let before = before.filter(|before| before.place == node.place);
        let databases: BTreeSet<&str> = before
            .filter_map(|before| before.state_database.as_deref())
            .collect();
        let Some(wanted) = node.state_database.as_deref() else {
            return;
        };
        for database in databases.into_iter().filter(|before| *before != wanted) {
            let what = format!("{database} → {wanted}");
            self.find(
                |when| matches!(when, When::StateDatabase),
                &node.place,
                what,
            );
        }
    }

    fn volumes(&mut self, node: &Node) {
        let volumes = self.running.volumes.get(&node.place);
        for (volume, size) in volumes.into_iter().flatten() {
            match node.volumes.get(volume) {
                None => {
                    let what = format!("volume {volume} {size} → none");
                    self.find(|when| matches!(when, When::NoVolume), &node.place, what);
                }
                Some(wanted) if quantity::bytes(wanted) < quantity::bytes(size) => {
                    let what = format!("volume {volume} {size} → {wanted}");
                    self.find(
                        |when| matches!(when, When::SmallerVolume),
                        &node.place,
                        what,
                    );
                }
                Some(_) => {}
            }
        }
    }

    /// Evaluates the organization's properties.
    fn settings(&mut self) {
        // If no node ever ran, no other program knows the organization.
        if self
            .running
            .nodes
            .iter()
            .all(|node| node.programs.is_empty())
        {
            return;
        }
        let (before, after) = (&self.running.facts, &self.wanted.facts);
        // U26 covers a rollback to another consensus type.
        let is_rollback = self.wanted.is_rollback;
        let settings = Setting::ALL.into_iter();
        for changed in settings.filter(|it| !(is_rollback && *it == Setting::Consensus)) {
            if let (Some(before), Some(after)) = (changed.of(before), changed.of(after))
                && before != after
            {
                let what = format!("{} {before} → {after}", changed.key());
                let place = self.release.clone();
                self.find(
                    |when| matches!(when, When::Changed(of) if *of == changed),
                    &place,
                    what,
                );
            }
        }
    }

    /// Evaluates the organization's number of members.
    fn members(&mut self) {
        let place = self.release.clone();
        for component in [Component::Peer, Component::Orderer] {
            let of = |nodes: &[Node]| {
                let nodes = nodes.iter();
                nodes
                    .filter(|node| node.programs.contains_key(&component))
                    .count() as u64
            };
            let (before, after) = (of(&self.running.deployed), of(&self.wanted.nodes));
            if after >= before {
                continue;
            }
            let quorum = orderer::quorum(self.consensus, before);
            if component == Component::Orderer && after < quorum {
                let what =
                    format!("{before} orderers → {after}, but {quorum} of {before} must run");
                self.find(|when| matches!(when, When::QuorumLost), &place, what);
            } else if component == Component::Peer || quorum > 1 {
                let what = format!("{before} {component}s → {after}");
                self.find(
                    |when| matches!(when, When::Fewer(of) if *of == component),
                    &place,
                    what,
                );
            }
        }
    }

    fn strangers(&mut self) {
        let Some((policy, pods)) = &self.wanted.strangers else {
            return;
        };
        let named: Vec<&str> = pods.iter().take(LISTED).map(String::as_str).collect();
        let named = named.join(", ");
        let what = match pods.len().saturating_sub(LISTED) {
            0 => format!("applies to {named}"),
            more => format!("applies to {named} and {more} more"),
        };
        self.find(|when| matches!(when, When::Strangers), policy, what);
    }

    /// Evaluates peers that change to a later line than the orderers of their network.
    fn orderers_behind(&mut self) {
        let (running, wanted) = (self.running, self.wanted);
        let programs = || {
            wanted
                .nodes
                .iter()
                .flat_map(|node| node.programs.values().map(move |it| (node, it.as_ref())))
        };
        let rises = |(node, program): (&Node, &Program)| {
            program.component == Component::Peer
                && running
                    .programs(&node.place, Component::Peer)
                    .any(|before| before.line() < program.line())
        };
        if !programs().any(rises) {
            return;
        }
        for (orderer, version) in &wanted.orderers {
            let mut programs = programs().map(|(_, program)| program);
            let behind = programs.find(|program| {
                program.component == Component::Peer && program.line() > Some(super::line(version))
            });
            if let Some(peer) = behind {
                let what = format!("{} before {orderer}, which runs {version}", peer.words());
                let place = self.release.clone();
                self.find(|when| matches!(when, When::OrderersBehind), &place, what);
            }
        }
    }

    /// Evaluates a changed certificate that channel configurations contain.
    fn renewed(&mut self, renewal: &Renewal) {
        let mut nodes = self.wanted.nodes.iter();
        let node = nodes.find(|node| node.place.rsplit('/').next() == Some(renewal.node.as_str()));
        let orderer = |node: &Node| {
            let mut programs = node.programs.values();
            let program = programs.find(|program| program.component == Component::Orderer)?;
            program.version.clone()
        };
        let version: Option<Version> = node.and_then(orderer);
        let own_consensus = self.consensus;
        let applies = |when: &When| match when {
            When::Renewed {
                is_tls,
                same_key,
                orderer,
                consensus,
            } => {
                (*is_tls, *same_key) == (renewal.is_tls, renewal.same_key)
                    && consensus.contains(&own_consensus)
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
        let what = match (renewal.is_missing, renewal.is_tls) {
            (false, _) => format!("{certificate} certificate → one of {key}"),
            (true, true) => format!("Secret {}-tls is gone; a new one has {key}", renewal.node),
            (true, false) => format!("Secret {}-msp is gone; a new one has {key}", renewal.node),
        };
        self.find(applies, place, what);
    }

    /// Evaluates a rollback to a revision from before a step that cannot be undone.
    fn history(&mut self) {
        if !self.wanted.is_rollback {
            return;
        }
        let place = self.release.clone();
        for what in self.running.facts.stays(&self.wanted.facts) {
            self.find(|when| matches!(when, When::History), &place, what);
        }
    }
}

/// Returns true if a rule is about this step between versions.
fn is_step(rule: &Rule, from: &Version, to: &Version, after: &Program, consensus: &str) -> bool {
    let When::Step {
        from: before,
        to: wanted,
        way,
        given,
    } = rule.when
    else {
        return false;
    };
    before.holds(from)
        && wanted.holds(to)
        && way.holds(from, to)
        && match given {
            Given::Always => true,
            Given::Consensus(names) => names.contains(&consensus),
            Given::NoConsensus(names) => !names.contains(&consensus),
            Given::Unsaid(variable) => !after.variables.contains(variable),
        }
}
