//! Computes the missing steps of a deployment. Pure.

use super::definition::Definition;
use super::lifecycle::{Approved, Chaincodes, Committed};
use std::collections::BTreeMap;

/// The desired state of a chaincode.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub definition: Definition,
    /// The package of each organization, by release: `basic:2f1a...`
    pub packages: BTreeMap<String, String>,
}

/// The missing steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The sequence of the desired definition: the committed one, or the next one.
    pub sequence: i64,
    /// Names of peers that lack the package.
    pub install: Vec<String>,
    /// Releases of the organizations that must approve.
    pub approve: Vec<String>,
    pub commit: bool,
}

impl Missing {
    /// Compares the desired chaincode with the state of the organizations' peers.
    pub fn of(wanted: &Wanted, committed: Option<&Committed>, there: &[Chaincodes]) -> Missing {
        let current = committed.map_or(0, |it| it.sequence);
        let is_committed = committed.is_some_and(|it| it.definition == wanted.definition);
        let sequence = match is_committed {
            true => current,
            false => current + 1,
        };
        let lacks = |it: &&Chaincodes| {
            let approved = it.approved.iter();
            !approved.clone().any(|approved| {
                let Approved {
                    sequence: of,
                    definition,
                    package,
                } = approved;
                *of == sequence
                    && *definition == wanted.definition
                    && package.as_ref() == wanted.packages.get(&it.organization)
            })
        };
        let peers = there.iter().flat_map(|it| {
            let package = wanted.packages.get(&it.organization);
            it.installed.iter().map(move |peer| (package, peer))
        });
        Missing {
            sequence,
            install: peers
                .filter(|(package, (_, packages))| match (package, packages) {
                    (Some(package), Ok(packages)) => !packages.contains(*package),
                    _ => false,
                })
                .map(|(_, (peer, _))| peer.clone())
                .collect(),
            approve: there
                .iter()
                .filter(lacks)
                .map(|it| it.organization.clone())
                .collect(),
            commit: !is_committed,
        }
    }

    pub fn is_nothing(&self) -> bool {
        self.install.is_empty() && self.approve.is_empty() && !self.commit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(version: &str) -> Wanted {
        let packages = [("org1", "basic:1"), ("org2", "basic:2")];
        Wanted {
            definition: definition(version),
            packages: packages
                .map(|(release, id)| (release.to_owned(), id.to_owned()))
                .into(),
        }
    }

    fn definition(version: &str) -> Definition {
        Definition {
            version: version.to_owned(),
            ..Definition::default()
        }
    }

    fn committed(sequence: i64, version: &str) -> Committed {
        Committed {
            name: "basic".to_owned(),
            sequence,
            definition: definition(version),
        }
    }

    fn there(organization: &str, packages: &[&str], approved: &[(i64, &str, &str)]) -> Chaincodes {
        let packages = packages.iter().map(|it| (*it).to_owned()).collect();
        Chaincodes {
            organization: organization.to_owned(),
            installed: vec![(format!("peer0.{organization}"), Ok(packages))],
            approved: approved
                .iter()
                .map(|(sequence, version, package)| Approved {
                    sequence: *sequence,
                    definition: definition(version),
                    package: Some((*package).to_owned()),
                })
                .collect(),
        }
    }

    #[test]
    fn only_what_is_missing_is_done() {
        let all = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let both = ["org1", "org2"];
        let own = |organization: &str| match organization {
            "org1" => "basic:1",
            _ => "basic:2",
        };
        for (case, committed, state, expected) in [
            (
                "nothing is there",
                None,
                both.map(|it| there(it, &[], &[])),
                (1, all(&["peer0.org1", "peer0.org2"]), all(&both), true),
            ),
            (
                "interrupted after an approval",
                None,
                [
                    there("org1", &["basic:1"], &[(1, "1", "basic:1")]),
                    there("org2", &["basic:2"], &[]),
                ],
                (1, all(&[]), all(&["org2"]), true),
            ),
            (
                "approved otherwise",
                None,
                both.map(|it| there(it, &[own(it)], &[(1, "0", own(it))])),
                (1, all(&[]), all(&both), true),
            ),
            (
                "done",
                Some(committed(4, "1")),
                both.map(|it| there(it, &[own(it)], &[(4, "1", own(it))])),
                (4, all(&[]), all(&[]), false),
            ),
            (
                "another version is wanted",
                Some(committed(4, "0")),
                both.map(|it| there(it, &[own(it)], &[(4, "0", own(it))])),
                (5, all(&[]), all(&both), true),
            ),
            (
                "an organization runs another package",
                Some(committed(4, "1")),
                [
                    there("org1", &["basic:1"], &[(4, "1", "basic:1")]),
                    there("org2", &["basic:1"], &[(4, "1", "basic:1")]),
                ],
                (4, all(&["peer0.org2"]), all(&["org2"]), false),
            ),
        ] {
            let missing = Missing::of(&wanted("1"), committed.as_ref(), &state);
            let is_nothing = expected.1.is_empty() && expected.2.is_empty() && !expected.3;
            assert_eq!(missing.is_nothing(), is_nothing, "{case}");
            let Missing {
                sequence,
                install,
                approve,
                commit,
            } = missing;
            assert_eq!((sequence, install, approve, commit), expected, "{case}");
        }
    }
}
