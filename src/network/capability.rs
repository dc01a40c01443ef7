//! Capability levels: those that a Fabric version supports, and those of a new channel.
//!
//! A node stops permanently at a level that it does not support, so a channel gets the highest
//! level that its oldest node supports. Source:
//! `common/capabilities/{channel,orderer,application}.go`.

use super::document::Capabilities;
use super::member::Member;
use semver::Version;

/// A group of a channel's configuration with a capability level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Channel,
    Orderer,
    Application,
}

type Level = (&'static str, (u64, u64, u64));

const CHANNEL: &[Level] = &[
    ("V1_1", (1, 1, 0)),
    ("V1_3", (1, 3, 0)),
    ("V1_4_2", (1, 4, 2)),
    ("V1_4_3", (1, 4, 3)),
    ("V2_0", (2, 0, 0)),
    ("V3_0", (3, 0, 0)),
];
const ORDERER: &[Level] = &[
    ("V1_1", (1, 1, 0)),
    ("V1_4_2", (1, 4, 2)),
    ("V2_0", (2, 0, 0)),
];
const APPLICATION: &[Level] = &[
    ("V1_1", (1, 1, 0)),
    ("V1_2", (1, 2, 0)),
    ("V1_3", (1, 3, 0)),
    ("V1_4_2", (1, 4, 2)),
    ("V2_0", (2, 0, 0)),
    ("V2_5", (2, 5, 0)),
];

impl Group {
    pub const ALL: [Group; 3] = [Group::Channel, Group::Orderer, Group::Application];

    /// The group's key in a network file.
    pub fn key(self) -> &'static str {
        match self {
            Group::Channel => "channel",
            Group::Orderer => "orderer",
            Group::Application => "application",
        }
    }

    fn table(self) -> &'static [Level] {
        match self {
            Group::Channel => CHANNEL,
            Group::Orderer => ORDERER,
            Group::Application => APPLICATION,
        }
    }

    /// The group's level among `levels`.
    pub fn of(self, levels: &Capabilities) -> Option<&str> {
        match self {
            Group::Channel => levels.channel.as_deref(),
            Group::Orderer => levels.orderer.as_deref(),
            Group::Application => levels.application.as_deref(),
        }
    }

    /// Returns the highest level that a version supports.
    pub fn highest(self, version: &Version) -> &'static str {
        let known = self
            .table()
            .iter()
            .rfind(|(_, since)| *since <= triple(version));
        known.map_or(self.table()[0].0, |(level, _)| level)
    }

    /// Returns true if a version supports a level.
    pub fn knows(self, version: &Version, level: &str) -> bool {
        let level = self.table().iter().find(|(name, _)| *name == level);
        level.is_some_and(|(_, since)| *since <= triple(version))
    }
}

/// Returns the levels of a channel: those in the file, and otherwise the highest that all affected
/// nodes support. Peers ignore the level of the orderers, and orderers that of the peers.
pub fn levels(set: &Capabilities, orderers: &[&Member], peers: &[&Member]) -> Capabilities {
    let oldest = |members: &[&Member]| members.iter().map(|it| it.version.clone()).min();
    let (orderers, peers) = (oldest(orderers), oldest(peers));
    let level = |group: Group, oldest: &Option<Version>| {
        let by_version = oldest.as_ref().map(|version| group.highest(version));
        group.of(set).or(by_version).map(str::to_owned)
    };
    let both = [&orderers, &peers].into_iter().flatten().min().cloned();
    Capabilities {
        channel: level(Group::Channel, &both),
        orderer: level(Group::Orderer, &orderers),
        application: level(Group::Application, &peers),
    }
}

fn triple(version: &Version) -> (u64, u64, u64) {
    (version.major, version.minor, version.patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_levels_that_its_binaries_know() {
        for (version, channel, orderer, application) in [
            ("1.4.0", "V1_3", "V1_1", "V1_3"),
            ("1.4.12", "V1_4_3", "V1_4_2", "V1_4_2"),
            ("2.2.15", "V2_0", "V2_0", "V2_0"),
            ("2.5.16", "V2_0", "V2_0", "V2_5"),
            ("3.1.5", "V3_0", "V2_0", "V2_5"),
        ] {
            let version = Version::parse(version).unwrap();
            let levels = Group::ALL.map(|group| group.highest(&version));
            assert_eq!(levels, [channel, orderer, application], "{version}");
        }
        assert!(!Group::Application.knows(&Version::new(2, 2, 15), "V2_5"));
        assert!(!Group::Application.knows(&Version::new(3, 1, 5), "V1_4_3"));
    }
}
