//! Label selectors in kubectl's syntax, for the labels of records: `chart=peer-org`,
//! `status!=failed`, `user in (a, b)`, `!user`.

use crate::error::{Error, Result};
use crate::release::Summary;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// The keys for selection besides the user's own labels: the columns of `list`.
pub const KEYS: [&str; 7] = [
    "release",
    "namespace",
    "status",
    "revision",
    "chart",
    "chart-version",
    "fabric-version",
];

impl Selector {
    pub fn parse(text: &str) -> Result<Selector> {
        let requirements: Result<Vec<Requirement>> = split_outside_parentheses(text)
            .into_iter()
            .filter(|part| !part.trim().is_empty())
            .map(requirement)
            .collect();
        Ok(Selector(requirements?))
    }

    pub fn matches(&self, summary: &Summary) -> bool {
        self.0.iter().all(|requirement| {
            let value = label(summary, &requirement.key);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.contains(&value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
            }
        })
    }
}

/// The value of a release under this key.
pub fn label(summary: &Summary, key: &str) -> Option<String> {
    let value = match key {
        "release" | "name" => summary.release.clone(),
        "namespace" => summary.namespace.clone(),
        "status" => summary.status.to_string(),
        "revision" => summary.revision.to_string(),
        "chart" => summary.chart.clone(),
        "chart-version" => summary.chart_version.clone(),
        "fabric-version" => summary.app_version.clone(),
        key => return summary.labels.get(key).cloned(),
    };
    Some(value)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(part: &str) -> Result<Requirement> {
    let part = part.trim();
    let requirement = |key: &str, test| {
        Ok(Requirement {
            key: key.trim().to_owned(),
            test,
        })
    };
    if let Some((key, value)) = part.split_once("!=") {
        return checked(
            requirement(key, Test::NotIn(vec![value.trim().to_owned()])),
            part,
        );
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return checked(
            requirement(key, Test::In(vec![value.trim().to_owned()])),
            part,
        );
    }
    if let Some(key) = part.strip_prefix('!') {
        return checked(requirement(key, Test::Absent), part);
    }
    if let Some((head, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        return match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => checked(requirement(key, Test::In(values)), part),
            [key, "notin"] => checked(requirement(key, Test::NotIn(values)), part),
            _ => Err(broken(part)),
        };
    }
    checked(requirement(part, Test::Exists), part)
}

fn checked(requirement: Result<Requirement>, part: &str) -> Result<Requirement> {
    let requirement = requirement?;
    let key = requirement.key.as_str();
    if key.is_empty() || key.contains(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c)))
    {
        return Err(broken(part));
    }
    Ok(requirement)
}

fn broken(part: &str) -> Error {
    Error::user(format!("\"{part}\" is not a label selector"))
        .why(format!(
            "releases can be selected by {}, and by their --labels",
            KEYS.join(", ")
        ))
        .hint("use -l chart=peer-org,status!=failed or -l 'chart in (peer-org, kafka)'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Status;

    fn org1() -> Summary {
        Summary {
            release: "org1".into(),
            namespace: "org1".into(),
            revision: 3,
            status: Status::Deployed,
            first_deployed: jiff::Timestamp::UNIX_EPOCH,
            updated: jiff::Timestamp::UNIX_EPOCH,
            chart: "peer-org".into(),
            chart_version: "0.1.0".into(),
            app_version: "2.5.16".into(),
            description: String::new(),
            user: String::new(),
            plugin_version: String::new(),
            rollback_to: None,
            labels: [("team".to_owned(), "a".to_owned())].into(),
        }
    }

    #[test]
    fn selects_as_kubectl_does() {
        for (text, matches) in [
            ("", true),
            ("chart=peer-org", true),
            ("chart==peer-org,status!=failed", true),
            ("chart = kafka", false),
            ("chart in (kafka, peer-org)", true),
            ("chart notin (kafka,peer-org),status=deployed", false),
            ("status", true),
            ("!status", false),
            ("!tier", true),
            ("tier", false),
            ("tier!=x", true),
            ("team=a,team", true),
            ("team in (b,c)", false),
        ] {
            assert_eq!(
                Selector::parse(text).unwrap().matches(&org1()),
                matches,
                "{text}"
            );
        }
    }

    #[test]
    fn a_broken_selector_is_an_error() {
        for text in ["a b", "=x", "a in x", "a among (b)", "(a)"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
