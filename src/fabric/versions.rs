//! The existing Fabric versions, and the differences between lines.

use crate::error::{Error, Result, nearest};
use semver::Version;
use std::fmt;

/// A line of Fabric (`2.5`) with its last patch. Patches are numbered from 0 without gaps.
///
/// Source: the tags of hyperledger/fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub major: u64,
    pub minor: u64,
    pub last_patch: u64,
    pub note: &'static str,
}

pub const LINES: [Line; 7] = [
    Line {
        major: 1,
        minor: 4,
        last_patch: 12,
        note: "the last version with Kafka as the default; out of support",
    },
    Line {
        major: 2,
        minor: 2,
        last_patch: 15,
        note: "out of support",
    },
    Line {
        major: 2,
        minor: 3,
        last_patch: 3,
        note: "out of support",
    },
    Line {
        major: 2,
        minor: 4,
        last_patch: 9,
        note: "out of support",
    },
    Line {
        major: 2,
        minor: 5,
        last_patch: 16,
        note: "long-term support; the default",
    },
    Line {
        major: 3,
        minor: 0,
        last_patch: 0,
        note: "BFT; superseded by 3.1",
    },
    Line {
        major: 3,
        minor: 1,
        last_patch: 5,
        note: "BFT; no Kafka, no system channel",
    },
];

impl Line {
    pub fn name(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

/// Parses a version and checks that Fabric has released it.
pub fn checked(version: &str) -> Result<Version> {
    let known = Version::parse(version).ok().filter(|version| {
        version.pre.is_empty()
            && version.build.is_empty()
            && LINES.iter().any(|line| {
                (line.major, line.minor) == (version.major, version.minor)
                    && version.patch <= line.last_patch
            })
    });
    known.ok_or_else(|| unknown(version))
}

fn unknown(version: &str) -> Error {
    let ranges: Vec<_> = LINES
        .iter()
        .map(|line| match line.last_patch {
            0 => format!("{}.0", line.name()),
            last => format!("{0}.0 to {0}.{last}", line.name()),
        })
        .collect();
    let error = Error::user(format!("Fabric {version:?} cannot be installed"))
        .why(format!("supported versions are {}", ranges.join(", ")));
    // For a line alone, or a patch beyond the last one, suggest the line's last patch.
    let of_line = LINES
        .iter()
        .find(|line| version == line.name() || version.starts_with(&format!("{}.", line.name())));
    let last: Vec<_> = LINES
        .iter()
        .map(|line| format!("{}.{}", line.name(), line.last_patch))
        .collect();
    match of_line.map(|line| format!("{}.{}", line.name(), line.last_patch)) {
        Some(last) => error.hint(format!("the newest patch of this version is {last}")),
        None => match nearest(version, last.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error,
        },
    }
}

/// Returns the name of a version's line: `2.5`.
pub fn line(version: &Version) -> String {
    format!("{}.{}", version.major, version.minor)
}

/// The versions in which a setting or feature exists.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    since: (u64, u64, u64),
    before: (u64, u64, u64),
}

impl Span {
    pub const ALWAYS: Span = Span {
        since: (0, 0, 0),
        before: (u64::MAX, 0, 0),
    };

    pub const fn since(major: u64, minor: u64, patch: u64) -> Span {
        Span {
            since: (major, minor, patch),
            ..Span::ALWAYS
        }
    }

    pub const fn before(self, major: u64, minor: u64, patch: u64) -> Span {
        Span {
            before: (major, minor, patch),
            ..self
        }
    }

    pub fn holds(self, version: &Version) -> bool {
        let version = (version.major, version.minor, version.patch);
        self.since <= version && version < self.before
    }
}

impl fmt::Display for Span {
    /// Formats as `any`, `2.5.11 and later`, `before 2.0`, `2.x`, `1.4` or `2.2 to before 3.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |(major, minor, patch)| match patch {
            0 => format!("{major}.{minor}"),
            patch => format!("{major}.{minor}.{patch}"),
        };
        let Span { since, before } = *self;
        match (since, before) {
            _ if since == Span::ALWAYS.since && before == Span::ALWAYS.before => f.pad("any"),
            _ if before == Span::ALWAYS.before => write!(f, "{} and later", words(since)),
            _ if since == Span::ALWAYS.since => write!(f, "before {}", words(before)),
            ((major, 0, 0), (next, 0, 0)) if next == major + 1 => write!(f, "{major}.x"),
            ((major, minor, 0), (same, next, 0)) if same == major && next == minor + 1 => {
                write!(f, "{major}.{minor}")
            }
            ((major, minor, patch), (same, line, next))
                if (same, line, next) == (major, minor, patch + 1) =>
            {
                f.write_str(&words(since))
            }
            _ => write!(f, "{} to before {}", words(since), words(before)),
        }
    }
}

/// Chaincode as a service: the builder is in the peer's image (`release_notes/v2.4.1.md`).
pub const CCAAS_BUILDER: Span = Span::since(2, 4, 1);
/// The builder fabric-builder-k8s. Its programs need the C library of Ubuntu 22.04 or later, which
/// the peer's image has since then (`UBUNTU_VER` in the Makefile).
pub const K8S_BUILDER: Span = Span::since(2, 5, 11);
/// External builders (`core.yaml`, `chaincode.externalBuilders`).
pub const EXTERNAL_BUILDERS: Span = Span::since(2, 0, 0);
/// An empty environment variable counts as set (`cmd/peer/main.go`, `AllowEmptyEnv`), so
/// `CORE_VM_ENDPOINT=` clears the default.
pub const EMPTY_ENV_COUNTS: Span = Span::since(3, 0, 0);
/// Channels without a system channel, joined through the orderer's admin port
/// (`release_notes/v2.3.0.md`).
pub const CHANNEL_PARTICIPATION: Span = Span::since(2, 3, 0);
/// The system channel, its genesis block, and ordering with Kafka (`release_notes/v3.0.0.md`
/// removes them).
pub const SYSTEM_CHANNEL: Span = Span::ALWAYS.before(3, 0, 0);
/// Ordering with Raft (`release_notes/v1.4.1.md`).
pub const RAFT: Span = Span::since(1, 4, 1);
/// Byzantine fault tolerant ordering (`release_notes/v3.0.0.md`).
pub const BFT: Span = Span::since(3, 0, 0);
/// Fabric publishes the image fabric-tools (`release_notes/v3.0.0.md` ends it).
pub const TOOLS_IMAGE: Span = Span::ALWAYS.before(3, 0, 0);
/// Peers elect the leader that pulls blocks (`core.yaml`, `peer.gossip.useLeaderElection`, true by
/// default before 2.2).
pub const LEADER_ELECTION: Span = Span::ALWAYS.before(2, 2, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_versions_are_known() {
        for version in [
            "1.4.0", "1.4.12", "2.2.15", "2.3.3", "2.4.9", "2.5.0", "2.5.16", "3.0.0", "3.1.5",
        ] {
            assert_eq!(checked(version).unwrap().to_string(), version);
        }
    }

    #[test]
    fn unknown_versions_list_what_there_is_and_the_nearest() {
        for (version, hint) in [
            ("2.5", "the newest patch of this version is 2.5.16"),
            ("2.5.99", "the newest patch of this version is 2.5.16"),
            ("3.1.5-beta", "the newest patch of this version is 3.1.5"),
            ("2.5.16 ", "the newest patch of this version is 2.5.16"),
            ("2.6.16", "did you mean \"2.5.16\"?"),
        ] {
            let error = checked(version).unwrap_err().to_string();
            assert!(
                error.contains("1.4.0 to 1.4.12, 2.2.0 to 2.2.15,")
                    && error.contains("3.0.0, 3.1.0"),
                "{error}"
            );
            assert!(error.contains(hint), "{version}: {error}");
        }
        assert!(checked("latest").is_err() && checked("").is_err() && checked("1.0.0").is_err());
    }

    #[test]
    fn a_span_ends_before_its_end() {
        let version = |text: &str| Version::parse(text).unwrap();
        assert!(!CCAAS_BUILDER.holds(&version("2.4.0")) && CCAAS_BUILDER.holds(&version("2.4.1")));
        assert!(
            SYSTEM_CHANNEL.holds(&version("2.5.16")) && !SYSTEM_CHANNEL.holds(&version("3.0.0"))
        );
    }
}
