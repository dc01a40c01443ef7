//! Reads Chart.yaml and the other files of a chart that are parsed before rendering.
//!
//! Strict about fields that this program uses. `lint` checks unknown fields.

use super::{Files, Metadata, Range};
use crate::error::{Error, Place, Result};
use crate::yaml::{self, Positions};
use semver::Version;
use serde_json::Value;

/// Returns the text of a file, or `None` if the file does not exist.
pub(super) fn text<'a>(files: &'a Files, name: &str, subject: &str) -> Result<Option<&'a str>> {
    let Some(bytes) = files.get(name) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|why| {
        let line = 1 + bytes[..why.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let mut place = Place::new(path(subject, name));
        place.line = Some(line);
        Error::user(format!("{name} of the chart is not UTF-8 text")).at(place)
    })?;
    Ok(Some(text))
}

/// Returns the path of a chart's file in errors: `peer-org/values.yaml`.
fn path(subject: &str, name: &str) -> String {
    format!("{}/{name}", subject.trim_end_matches('/'))
}

/// Reads values.schema.json. Returns `None` if it does not exist.
pub(super) fn schema(files: &Files, subject: &str) -> Result<Option<Value>> {
    let name = "values.schema.json";
    let Some(text) = text(files, name, subject)? else {
        return Ok(None);
    };
    let place = Place::new(path(subject, name));
    let value: Value = serde_json::from_str(text).map_err(|why| {
        Error::user(format!("{name} of the chart is not JSON")).at(place
            .clone()
            .at(why.line(), why.column())
            .note(why.to_string()))
    })?;
    if !value.is_object() {
        return Err(Error::user(format!("{name} of the chart is not a JSON object")).at(place));
    }
    Ok(Some(value))
}

/// Reads Chart.yaml.
pub(super) fn read(files: &Files, subject: &str) -> Result<Metadata> {
    let Some(text) = text(files, "Chart.yaml", subject)? else {
        return Err(Error::user(format!(
            "\"{subject}\" is not a chart: it has no Chart.yaml"
        ))
        .hint(
            "a chart is a folder with Chart.yaml, values.yaml and templates/; see docs/charts.md",
        ));
    };
    let file = path(subject, "Chart.yaml");
    let (raw, positions) = yaml::parse_with_positions(text, &file)?;
    let mut reader = Reader {
        raw: &raw,
        positions: &positions,
        file: &file,
        problems: Vec::new(),
    };

    let name = reader.name();
    let version = reader.version();
    reader.check_presence();
    reader.check_type();
    let kube_version = reader.kube_version();
    reader.refuse_subcharts();
    let app_version = reader.string("appVersion").unwrap_or_default().to_owned();
    let description = reader.string("description").unwrap_or_default().to_owned();
    let deprecated = reader.deprecated();
    let annotations = reader.strings("annotations");
    if !raw.is_object() {
        reader.problem("", "must be a map");
    }
    reader.finish()?;
    Ok(Metadata {
        name,
        version,
        app_version,
        kube_version,
        description,
        deprecated,
        annotations,
        raw,
    })
}

/// Returns true if a chart may have this name, which becomes a label value and a part of file
/// names.
fn is_chart_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || c == '-')
}

/// Takes fields out of Chart.yaml and collects all errors.
struct Reader<'a> {
    raw: &'a Value,
    positions: &'a Positions,
    file: &'a str,
    problems: Vec<Place>,
}

impl<'a> Reader<'a> {
    fn present(&self, field: &str) -> bool {
        self.raw.get(field).is_some_and(|value| !value.is_null())
    }

    fn problem(&mut self, field: &str, note: impl Into<String>) {
        let note = note.into();
        let place = Place::new(self.file).note(if field.is_empty() {
            note
        } else {
            format!("{field}: {note}")
        });
        self.problems
            .push(match self.positions.get(&format!("/{field}")) {
                Some((line, column)) if !field.is_empty() => place.at(*line, *column),
                _ => place,
            });
    }

    fn name(&mut self) -> String {
        let name = self.string("name").unwrap_or_default().to_owned();
        if self.present("name") && !is_chart_name(&name) {
            self.problem(
                "name",
                "a chart's name consists of lower-case letters, digits and \"-\"",
            );
        }
        name
    }

    fn version(&mut self) -> Version {
        match self.string("version").map(Version::parse) {
            Some(Ok(version)) => return version,
            Some(Err(why)) => self.problem(
                "version",
                format!("a chart's version has three numbers, such as \"0.1.0\" ({why})"),
            ),
            None => {}
        }
        Version::new(0, 0, 0)
    }

    fn check_presence(&mut self) {
        for required in ["apiVersion", "name", "version"] {
            if self.raw.is_object() && !self.present(required) {
                self.problem("", format!("{required} is missing"));
            }
        }
    }

    fn check_type(&mut self) {
        if let Some(api_version) = self.string("apiVersion")
            && !matches!(api_version, "v1" | "v2")
        {
            self.problem("apiVersion", "must be \"v1\" or \"v2\"");
        }
        if let Some(kind) = self.string("type")
            && kind != "application"
        {
            self.problem(
                "type",
                "only charts of type \"application\" can be installed",
            );
        }
    }

    fn kube_version(&mut self) -> Option<String> {
        let range = self.string("kubeVersion")?;
        if Range::parse(range).is_err() {
            self.problem(
                "kubeVersion",
                "is not a range of versions such as \">=1.30\"",
            );
        }
        Some(range.to_owned())
    }

    fn refuse_subcharts(&mut self) {
        let list = self.raw.get("dependencies").and_then(Value::as_array);
        if list.is_some_and(|list| !list.is_empty()) {
            self.problem(
                "dependencies",
                "subcharts are not supported; install each chart as a separate release",
            );
        }
    }

    fn deprecated(&mut self) -> bool {
        match self.raw.get("deprecated") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(deprecated)) => *deprecated,
            Some(_) => {
                self.problem("deprecated", "must be true or false");
                false
            }
        }
    }

    fn string(&mut self, field: &str) -> Option<&'a str> {
        match self.raw.get(field)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => {
                let kind = kind_of(other);
                self.problem(
                    field,
                    format!("must be a string, but is {kind}; put it in quotes"),
                );
                None
            }
        }
    }

    fn strings(&mut self, field: &str) -> std::collections::BTreeMap<String, String> {
        let mut strings = std::collections::BTreeMap::new();
        match self.raw.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) => drop(strings.insert(key.clone(), text.clone())),
                        other => {
                            let kind = kind_of(other);
                            self.problem(
                                field,
                                format!(
                                    "\"{key}\" must be a string, but is {kind}; put it in quotes"
                                ),
                            );
                        }
                    }
                }
            }
            Some(_) => self.problem(field, "must be a map of strings"),
        }
        strings
    }

    fn finish(self) -> Result<()> {
        match self.problems.len() {
            0 => Ok(()),
            1 => Err(Error::user("Chart.yaml has a mistake").at_all(self.problems)),
            count => {
                Err(Error::user(format!("Chart.yaml has {count} mistakes")).at_all(self.problems))
            }
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use crate::chart::{Chart, Files, Origin};

    fn chart(chart_yaml: &str) -> crate::error::Result<Chart> {
        let files = Files::from([("Chart.yaml".to_owned(), chart_yaml.as_bytes().to_vec())]);
        Chart::from_files(files, Origin::Path("demo".to_owned()), "demo")
    }

    #[test]
    fn a_chart_yaml_is_read_whole() {
        let chart = chart(
            "apiVersion: v2\nname: demo\nversion: 0.1.0-rc.1\nappVersion: \"2.5\"\nkubeVersion: \
             '>=1.30'\ndeprecated: true\nannotations:\n  kubectl-fabric.io/model: peer-org\n",
        )
        .unwrap();
        assert_eq!(chart.name_version(), "demo-0.1.0-rc.1");
        assert_eq!(chart.metadata.app_version, "2.5");
        assert!(chart.metadata.deprecated);
        assert_eq!(
            chart.metadata.annotations["kubectl-fabric.io/model"],
            "peer-org"
        );
    }

    #[test]
    fn all_mistakes_of_a_chart_yaml_are_reported_at_once_with_their_lines() {
        let error = chart(
            "apiVersion: v3\nname: Demo_Chart\nversion: 1.0\nappVersion: 2.5\ntype: \
             library\nkubeVersion: new\ndependencies:\n- a\ndeprecated: 1\nannotations:\n  a: 1\n",
        )
        .unwrap_err();
        assert_eq!(error.places().len(), 9, "{error}");
        for line in 1..=7 {
            assert!(
                error.places().iter().any(|place| place.line == Some(line)),
                "line {line}: {error}"
            );
        }
    }

    #[test]
    fn a_folder_without_a_chart_yaml_is_no_chart() {
        let error = Chart::from_files(Files::new(), Origin::Path("x".to_owned()), "x").unwrap_err();
        assert_eq!(error.what(), "\"x\" is not a chart: it has no Chart.yaml");
        assert!(
            chart("- a list\n")
                .unwrap_err()
                .to_string()
                .contains("must be a map")
        );
        assert!(
            chart("version: 0.1.0\n")
                .unwrap_err()
                .to_string()
                .contains("apiVersion is missing")
        );
    }

    #[test]
    fn files_that_are_no_text_are_reported_with_their_line() {
        let mut files = Files::from([(
            "Chart.yaml".to_owned(),
            b"apiVersion: v2\nname: demo\nversion: 0.1.0\n".to_vec(),
        )]);
        files.insert("templates/a.yaml".to_owned(), b"a: 1\nb: \xff\n".to_vec());
        let error = Chart::from_files(files.clone(), Origin::Stored, "demo").unwrap_err();
        assert_eq!(error.places()[0].subject, "demo/templates/a.yaml");
        assert_eq!(error.places()[0].line, Some(2));
        files.remove("templates/a.yaml");
        files.insert(
            "values.schema.json".to_owned(),
            b"{\n  \"type\": }".to_vec(),
        );
        let error = Chart::from_files(files, Origin::Stored, "demo").unwrap_err();
        assert_eq!(error.places()[0].line, Some(2));
    }
}
