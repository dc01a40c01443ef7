//! The rows of the table: the cases that a rule can be about, and its verdict.

use super::facts::Facts;
use super::image::Component;
use crate::fabric::versions::Span;
use semver::Version;
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
    pub(super) fn holds(self, from: &Version, to: &Version) -> bool {
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
    pub(super) const ALL: [Setting; 5] = [
        Setting::MspId,
        Setting::Domain,
        Setting::Tls,
        Setting::Consensus,
        Setting::Crypto,
    ];

    /// Returns the key of the value that sets it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Setting::MspId => "org.mspID",
            Setting::Domain => "org.domain",
            Setting::Tls => "tls.enabled",
            Setting::Consensus => "orderers.consensus",
            Setting::Crypto => "crypto.source",
        }
    }

    /// Returns its value in the facts, or `None` in a record from before the fact existed.
    pub(super) fn of(self, facts: &Facts) -> Option<String> {
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
    pub(super) fn is_about(&self, component: Component) -> bool {
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
        let (from, to) = self.when.words();
        (components, from, to)
    }
}

impl Given {
    /// Describes the condition as the end of a sentence.
    fn words(self) -> String {
        match self {
            Given::Always => String::new(),
            Given::Consensus(names) => format!("; consensus {}", names.join(" or ")),
            Given::NoConsensus(names) => format!("; consensus other than {}", names.join(" or ")),
            Given::Unsaid(variable) => format!("; `{variable}` is not set"),
        }
    }
}

impl When {
    /// Describes the case as (from, to).
    fn words(self) -> (String, String) {
        let (from, to) = match self {
            When::Step {
                from,
                to,
                way,
                given,
            } => {
                let to = match (way.words(), to.to_string().as_str()) {
                    ("", to) => to.to_owned(),
                    (way, "any") => way.to_owned(),
                    (way, to) => format!("{to}: {way}"),
                };
                return (from.to_string(), format!("{to}{}", given.words()));
            }
            When::Changed(changed) => {
                let to = "another value, after nodes have run";
                return (format!("`{}`", changed.key()), to.to_owned());
            }
            When::Renewed {
                is_tls,
                same_key,
                orderer,
                consensus,
            } => return renewal_in_words(is_tls, same_key, orderer, consensus),
            When::Wanted(span) => ("any", span.to_string()),
            When::OwnImage(span) => ("any", format!("`hyperledger/fabric-tools` {span}")),
            When::NoArm64(span) => ("any", format!("{span}, where every machine is arm64")),
            other => {
                let (from, to) = other.fixed_words();
                (from, to.to_owned())
            }
        };
        (from.to_owned(), to)
    }

    /// Describes the cases that have no versions.
    fn fixed_words(self) -> (&'static str, &'static str) {
        match self {
            When::Registry => ("docker.io", "ghcr.io"),
            When::ImageFamily => ("any", "an image with another name"),
            When::OrderersBehind => ("any", "a later minor version than the network's orderers"),
            When::StateDatabase => ("goleveldb or CouchDB", "the other one"),
            When::SmallerVolume => ("a volume claim", "a smaller one"),
            When::NoVolume => ("a volume claim", "none"),
            When::Fewer(_) => ("any number", "fewer"),
            When::QuorumLost => ("any number", "fewer than their quorum"),
            When::Missing => (
                "any",
                "an object that refers to a missing Secret, ConfigMap or claim",
            ),
            When::Strangers => (
                "other pods in the namespace",
                "the first network policy that denies by default",
            ),
            When::Capability => (
                "a channel's capability level",
                "a version that does not support it",
            ),
            When::History => ("after an irreversible change", "an earlier revision"),
            When::Unlisted => ("any", "a version without another guard"),
            When::Step { .. }
            | When::Changed(_)
            | When::Renewed { .. }
            | When::Wanted(_)
            | When::OwnImage(_)
            | When::NoArm64(_) => ("", ""),
        }
    }
}

fn renewal_in_words(
    is_tls: bool,
    same_key: bool,
    orderer: Span,
    consensus: &[&str],
) -> (String, String) {
    let certificate = if is_tls { "TLS" } else { "signing" };
    let key = if same_key {
        "the same key"
    } else {
        "another key"
    };
    let version = match orderer.to_string().as_str() {
        "any" => String::new(),
        span => format!("; orderer {span}"),
    };
    let consensus = consensus.join(" or ");
    (
        format!("an orderer's {certificate} certificate"),
        format!("one of {key}{version}; consensus {consensus}"),
    )
}
