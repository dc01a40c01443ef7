//! Version ranges in Helm's syntax (Masterminds/semver): `^0.1 || ~1.2`, `0.1.x`, `>=0.1 <0.2`,
//! `1.2 - 1.4`.
//!
//! The `semver` crate's requirements follow Cargo, where a bare `1.2` means `^1.2`. Here it means
//! `1.2.x`.

use crate::error::{Error, Result};
use semver::Version;

/// A range of versions that a user or a chart requires.
#[derive(Clone, Debug)]
pub struct Range {
    /// One alternative must match, with all of its parts.
    alternatives: Vec<Vec<Comparator>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Exact,
    Not,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// An operator with a version that may lack its last numbers (`1`, `1.2`, `1.x`).
#[derive(Clone, Debug)]
struct Comparator {
    operator: Operator,
    /// Missing numbers are 0.
    version: Version,
    /// Number of numbers in the text: 0 for `*`, 3 for a complete version.
    given: usize,
}

/// Operators, longest first, so that no prefix matches instead. Helm accepts `=>` and `=<` too.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::Not),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Exact),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Range {
    /// Parses a range.
    ///
    /// # Errors
    ///
    /// Fails if a part is not a version. The error is that part.
    pub fn parse(text: &str) -> Result<Range> {
        let alternatives = text
            .split("||")
            .map(|part| parse_all(part, text))
            .collect::<Result<_>>()?;
        Ok(Range { alternatives })
    }

    /// Returns true if a version is in the range.
    ///
    /// As in Helm, a pre-release matches only if the range itself names a pre-release.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            let names_pre_release = all
                .iter()
                .any(|comparator| !comparator.version.pre.is_empty());
            (version.pre.is_empty() || names_pre_release)
                && all.iter().all(|comparator| comparator.matches(version))
        })
    }
}

/// Parses a version as people write it: with an optional `v`, and 0 for missing numbers.
pub fn parse_version(text: &str) -> Option<Version> {
    let comparator = parse_partial(text.trim(), Operator::Exact)?;
    (comparator.given > 0).then_some(comparator.version)
}

/// Parses a Kubernetes version without the provider's suffix: `v1.33.4-gke.1` is 1.33.4.
pub fn parse_kube_version(text: &str) -> Option<Version> {
    parse_version(text).map(|version| Version::new(version.major, version.minor, version.patch))
}

fn parse_all(part: &str, whole: &str) -> Result<Vec<Comparator>> {
    let invalid = |word: &str| {
        Error::user(format!(
            "\"{}\" is not a range of versions: \"{word}\" is not a version",
            whole.trim()
        ))
        .hint(
            "write a version (`0.1.0`) or a range such as `^0.1`, `~0.1.2`, `0.1.x`, `>=0.1 <0.3`, \
             `0.1 - 0.3`, `^0.1 || ^0.3`",
        )
    };
    if let Some((from, to)) = part.split_once(" - ") {
        let bound = |text: &str, operator| {
            parse_partial(text.trim(), operator).ok_or_else(|| invalid(text.trim()))
        };
        return Ok(vec![
            bound(from, Operator::GreaterOrEqual)?,
            bound(to, Operator::LessOrEqual)?,
        ]);
    }
    let mut comparators = Vec::new();
    let mut rest = part.trim_start_matches(separator);
    while !rest.is_empty() {
        let (operator, after) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)))
            .unwrap_or((Operator::Exact, rest));
        let after = after.trim_start();
        let end = after
            .find(|c: char| separator(c) || "<>=!~^".contains(c))
            .unwrap_or(after.len());
        comparators
            .push(parse_partial(&after[..end], operator).ok_or_else(|| invalid(&after[..end]))?);
        rest = after[end..].trim_start_matches(separator);
    }
    if comparators.is_empty() {
        return Err(invalid(part.trim()));
    }
    Ok(comparators)
}

fn separator(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

fn parse_partial(text: &str, operator: Operator) -> Option<Comparator> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let core_end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, suffix) = text.split_at(core_end);
    let mut numbers = [0u64; 3];
    let mut given = 0;
    let mut wild = false;
    for (place, part) in core.split('.').enumerate() {
        match part {
            _ if place > 2 => return None,
            "x" | "X" | "*" => wild = true,
            _ if wild => return None,
            _ => {
                numbers[place] = part
                    .bytes()
                    .all(|b| b.is_ascii_digit())
                    .then(|| part.parse().ok())
                    .flatten()?;
                given += 1;
            }
        }
    }
    let mut version = Version::new(numbers[0], numbers[1], numbers[2]);
    if !suffix.is_empty() {
        // The crate checks the syntax of the suffix, for which the numbers do not matter.
        let parsed = Version::parse(&format!("0.0.0{suffix}")).ok()?;
        (version.pre, version.build) = (parsed.pre, parsed.build);
    }
    Some(Comparator {
        operator,
        version,
        given,
    })
}

impl Comparator {
    fn matches(&self, version: &Version) -> bool {
        // Precedence ignores build metadata (`+k3s1`).
        let at_least = version.cmp_precedence(&self.version).is_ge();
        match self.operator {
            Operator::Exact => at_least && self.below_next(version, self.given),
            Operator::Not => !(at_least && self.below_next(version, self.given)),
            Operator::GreaterOrEqual => at_least,
            Operator::Less => !at_least,
            // Helm reads `>1.2` as "later than all 1.2.x", and `<=1.2` as "at most the last 1.2.x".
            Operator::Greater => at_least && !self.below_next(version, self.given),
            Operator::LessOrEqual => !at_least || self.below_next(version, self.given),
            Operator::Tilde => at_least && self.below_next(version, self.given.min(2)),
            Operator::Caret => at_least && self.below_next(version, self.caret_numbers()),
        }
    }

    /// Returns true if `version` is below the next version at the given precision, which adds 1 to
    /// the last of the first `numbers` numbers.
    fn below_next(&self, version: &Version, numbers: usize) -> bool {
        let bound = &self.version;
        match numbers {
            0 => true,
            1 => version.major <= bound.major,
            2 => (version.major, version.minor) <= (bound.major, bound.minor),
            _ => version.cmp_precedence(bound).is_le(),
        }
    }

    /// Returns the number of fixed numbers of a caret range: up to the first that is not 0.
    fn caret_numbers(&self) -> usize {
        let bound = &self.version;
        let first = if bound.major > 0 {
            1
        } else if bound.minor > 0 {
            2
        } else {
            3
        };
        first.min(self.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_they_mean_to_helm() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("1.2.3", &["1.2.3", "1.2.3+build"], &["1.2.4", "1.2.3-rc.1"]),
            ("v1.2.3", &["1.2.3"], &["1.2.2"]),
            ("=1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("1.2.x", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.9"]),
            ("1", &["1.0.0", "1.9.0"], &["2.0.0"]),
            ("*", &["0.0.1", "9.9.9"], &["1.0.0-rc.1"]),
            ("!=1.2.3", &["1.2.4"], &["1.2.3"]),
            ("!=1.2.x", &["1.3.0"], &["1.2.7"]),
            (">1.2", &["1.3.0"], &["1.2.0", "1.2.9"]),
            (">1.2.3", &["1.2.4"], &["1.2.3"]),
            (">=1.2", &["1.2.0"], &["1.1.9"]),
            ("<1.2", &["1.1.9"], &["1.2.0"]),
            ("<=1.2", &["1.2.9", "0.1.0"], &["1.3.0"]),
            ("=<1.2.3", &["1.2.3"], &["1.2.4"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
            ("~>1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("~1", &["1.0.0", "1.9.9"], &["2.0.0"]),
            ("^1.2.3", &["1.2.3", "1.9.0"], &["1.2.2", "2.0.0"]),
            ("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "0.2.2"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4", "0.1.0"]),
            ("^0.0", &["0.0.9"], &["0.1.0"]),
            ("^0", &["0.9.9"], &["1.0.0"]),
            (">=0.1 <0.2", &["0.1.5"], &["0.2.0"]),
            (">= 0.1, < 0.2", &["0.1.5"], &["0.2.0"]),
            ("0.1 - 0.3", &["0.1.0", "0.3.9"], &["0.4.0", "0.0.9"]),
            ("^0.1 || ~1.2", &["0.1.4", "1.2.9"], &["0.2.0", "1.3.0"]),
            (">=1.30-0", &["1.33.4-gke.1", "1.33.4"], &["1.29.0"]),
        ];
        for (range, inside, outside) in cases {
            let parsed = Range::parse(range).unwrap();
            for version in *inside {
                assert!(
                    parsed.matches(&Version::parse(version).unwrap()),
                    "{version} is in {range}"
                );
            }
            for version in *outside {
                assert!(
                    !parsed.matches(&Version::parse(version).unwrap()),
                    "{version} is not in {range}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_range_is_reported_with_its_part() {
        for text in [
            "", "one", "1.2.3.4", "1.x.3", ">=", "1.2 - ", "^0.1 || ", "1.2.3-",
        ] {
            let error = Range::parse(text).unwrap_err();
            assert!(
                error.what().contains("is not a range of versions"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_provider_suffix_is_no_part_of_a_kubernetes_version() {
        assert_eq!(
            parse_kube_version("v1.33.4-gke.1"),
            Some(Version::new(1, 33, 4))
        );
        assert_eq!(parse_kube_version("1.33+"), None);
        assert_eq!(
            parse_kube_version("v1.31.2+k3s1"),
            Some(Version::new(1, 31, 2))
        );
    }
}
