//! Values as Helm 4 reads and merges them: the table `values/helm4.yaml`, and the guide that lists
//! where we differ.
//!
//! A case has sources, maybe the defaults of a chart, and either the values or a part of the error
//! that must come out. Where Helm has another answer, `helm` holds it and `differs` names the
//! difference in docs/values.md.

use kubectl_fabric::{
    values::{self, Source},
    yaml,
};
use serde_json::Value;
use std::collections::BTreeSet;

const TABLE: &str = include_str!("values/helm4.yaml");
const GUIDE: &str = include_str!("../docs/values.md");

fn cases() -> Vec<Value> {
    match yaml::parse(TABLE, "helm4.yaml").unwrap() {
        Value::Array(cases) => cases,
        other => panic!("the table is a list, not {other}"),
    }
}

fn sources(case: &Value) -> Vec<Source> {
    let pairs = case["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source.as_object().unwrap().iter().next().unwrap());
    let source = |(kind, value): (&String, &Value)| {
        let text = value
            .as_str()
            .unwrap_or_else(|| panic!("{case}"))
            .to_owned();
        match kind.as_str() {
            "file" => Source::File {
                name: "values.yaml".into(),
                text,
            },
            "set-json" => Source::SetJson(text),
            "set" => Source::Set(text),
            "set-string" => Source::SetString(text),
            // The table holds the content of the file in place of its path.
            "set-file" => {
                let (key, content) = text.split_once('=').unwrap();
                Source::SetFile {
                    key: key.into(),
                    path: "a-file".into(),
                    content: content.into(),
                }
            }
            "set-literal" => Source::SetLiteral(text),
            other => panic!("{other}"),
        }
    };
    pairs.map(source).collect()
}

fn outcome(case: &Value) -> Result<Value, String> {
    let user = values::from_sources(sources(case)).map_err(|error| error.to_string())?;
    match case["defaults"].as_str() {
        None => Ok(user.tree),
        Some(defaults) => {
            let defaults =
                values::defaults(defaults, "chart").map_err(|error| error.to_string())?;
            Ok(values::coalesce(defaults, &user).0.tree)
        }
    }
}

#[test]
fn values_are_read_and_merged_as_helm_does() {
    let cases = cases();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let outcome = outcome(case);
        let right = match (&outcome, case.get("values"), case.get("error")) {
            (Ok(values), Some(wanted), None) => values == wanted,
            (Err(report), None, Some(part)) => report.contains(part.as_str().unwrap()),
            _ => false,
        };
        if !right {
            failures.push(format!("{}\n  {outcome:?}\n", case["name"]));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases\n{}",
        failures.len(),
        cases.len(),
        failures.concat()
    );
}

#[test]
fn names_of_cases_are_unique_and_only_differences_quote_helm() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(
            names.insert(case["name"].to_string()),
            "{} stands twice",
            case["name"]
        );
        assert_eq!(
            case.get("helm").is_some(),
            case.get("differs").is_some(),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn the_guide_lists_the_differences_of_the_table() {
    let of_table: BTreeSet<String> = cases()
        .iter()
        .filter_map(|case| Some(case.get("differs")?.as_str()?.to_owned()))
        .collect();
    let list = GUIDE
        .split("## Differences from Helm")
        .nth(1)
        .expect("the guide has the section");
    let rows = list
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(String::from).collect::<BTreeSet<_>>(), of_table);
}

/// Rows of the guide: a flag with its argument, and the values that it makes or the word `error`.
#[test]
fn the_examples_of_the_guide_are_true() {
    let rows: Vec<(&str, &str)> = GUIDE
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `--set")?
                .strip_suffix("` |")?
                .split_once("` | `")
        })
        .collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for (flag, wanted) in rows {
        let (flag, argument) = flag.split_once(" '").unwrap_or_else(|| panic!("{flag}"));
        let argument = argument
            .strip_suffix('\'')
            .unwrap_or_else(|| panic!("{argument}"))
            .to_owned();
        let source = match flag {
            "" => Source::Set(argument),
            "-string" => Source::SetString(argument),
            "-json" => Source::SetJson(argument),
            "-literal" => Source::SetLiteral(argument),
            other => panic!("--set{other}"),
        };
        match values::from_sources(vec![source]) {
            Ok(values) => assert_eq!(
                values.tree,
                serde_json::from_str::<Value>(wanted).expect(flag),
                "{flag}"
            ),
            Err(error) => assert_eq!(wanted, "error", "{error}"),
        }
    }
}
