//! `lint`: what is wrong with a chart, with Helm's words for how wrong.

use super::Edge;
use super::arguments::{Format, OUTPUT, OutputArguments, ValuesArguments};
use super::load;
use super::rendering::ASSUMED_KUBERNETES;
use crate::chart::Chart;
use crate::compose::{self, Given};
use crate::error::{Error, Result};
use crate::fabric::Model;
use crate::manifest::Object;
use crate::render::Capabilities;
use crate::terminal::{RED, YELLOW, harmless};
use crate::values::Values;
use anstyle::Style;
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Check charts: metadata, values, schema, templates, objects
///
/// Renders each chart with its defaults and your values, and tells what keeps it from being installed (ERROR), what is likely a mistake
/// (WARNING), and what could be better (INFO).
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric lint ./my-chart
  kubectl fabric lint ./my-chart -f org1.yaml --strict
  kubectl fabric lint peer-org                            an embedded chart")]
pub struct Arguments {
    /// Charts: folders, .tgz archives, or names
    #[arg(value_name = "PATH", required = true, num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub paths: Vec<String>,

    /// Fail on warnings too
    #[arg(long)]
    pub strict: bool,

    /// Print warnings and errors only
    #[arg(long, help_heading = OUTPUT)]
    pub quiet: bool,

    /// Kubernetes version that templates see
    #[arg(long, value_name = "VERSION", default_value = ASSUMED_KUBERNETES)]
    pub kube_version: String,

    /// Do not check the values against the chart's schema
    #[arg(long)]
    pub skip_schema_validation: bool,

    #[command(flatten)]
    pub values: ValuesArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Severity {
    Info,
    Warning,
    Error,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        }
    }

    fn style(self) -> Style {
        match self {
            Severity::Info => Style::new(),
            Severity::Warning => YELLOW,
            Severity::Error => RED,
        }
    }
}

#[derive(Debug, serde::Serialize)]
struct Finding {
    severity: Severity,
    path: &'static str,
    message: String,
}

fn finding(severity: Severity, path: &'static str, message: impl Into<String>) -> Finding {
    Finding { severity, path, message: message.into() }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let user_values = arguments.values.load()?;
    let least = if arguments.strict { Severity::Warning } else { Severity::Error };
    let (mut text, mut charts, mut failed) = (String::new(), Vec::new(), 0);
    for path in &arguments.paths {
        let findings = lint(path, &user_values, &arguments);
        let fails = findings.iter().any(|finding| finding.severity >= least);
        failed += usize::from(fails);
        let shown: Vec<&Finding> =
            findings.iter().filter(|finding| !arguments.quiet || finding.severity > Severity::Info).collect();
        if !arguments.quiet || !shown.is_empty() {
            text.push_str(&format!("==> Linting {path}\n"));
        }
        for finding in &shown {
            let style = finding.severity.style();
            let word = finding.severity.word();
            text.push_str(&format!("{style}[{word}]{style:#} {}: {}\n", finding.path, harmless(&finding.message)));
        }
        if !arguments.quiet || !shown.is_empty() {
            text.push('\n');
        }
        charts.push(json!({ "path": path, "failed": fails, "findings": shown }));
    }
    let linted = format!("{} chart(s) linted, {failed} chart(s) failed", arguments.paths.len());
    if arguments.output.output != Format::Table {
        let document = json!({ "schemaVersion": 1, "linted": arguments.paths.len(), "failed": failed, "charts": charts });
        edge.terminal.print_document(arguments.output.output, &document)?;
    } else {
        edge.terminal.print(&text)?;
    }
    if failed > 0 {
        return Err(Error::user(linted));
    }
    if arguments.output.output == Format::Table && !arguments.quiet {
        edge.terminal.print(&format!("{linted}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything there is to say about one chart.
fn lint(path: &str, user_values: &Values, arguments: &Arguments) -> Vec<Finding> {
    let chart = match load::chart_by_name_or_path(path) {
        Ok(chart) => chart,
        Err(error) => return vec![finding(Severity::Error, "Chart.yaml", error.to_string())],
    };
    let mut findings = metadata(&chart);
    let name = release_name(&chart);
    let given = || Given {
        chart: &chart,
        release: name,
        namespace: name,
        user_values: user_values.clone(),
        defaults: None,
        fabric_version: None,
        skip_schema_validation: arguments.skip_schema_validation,
        stored_secrets: Default::default(),
    };
    match compose::values(given()) {
        Ok(values) => {
            findings.extend(values.warnings.into_iter().map(|warning| finding(Severity::Warning, "values.yaml", warning)));
        }
        Err(error) => {
            findings.push(finding(Severity::Error, "values.yaml", error.to_string()));
            return findings;
        }
    }
    let capabilities = Capabilities { kube_version: arguments.kube_version.clone(), api_versions: Vec::new() };
    match compose::compose(given()).and_then(|composition| composition.render(1, false, capabilities, None)) {
        Ok(output) => {
            findings.extend(output.objects.iter().flat_map(object));
            if output.objects.is_empty() {
                findings.push(finding(Severity::Warning, "templates/", "no object is rendered"));
            }
        }
        Err(error) => findings.push(finding(Severity::Error, "templates/", error.to_string())),
    }
    findings
}

/// A name that fits the chart's model, so that names and addresses come out as they would.
fn release_name(chart: &Chart) -> &'static str {
    match Model::of(chart) {
        Ok(Some(Model::PeerOrganization)) => "org1",
        Ok(Some(Model::OrdererOrganization)) => "orgorderer1",
        Ok(Some(Model::Kafka)) => "kafka",
        Ok(None) | Err(_) => "release-name",
    }
}

fn metadata(chart: &Chart) -> Vec<Finding> {
    let metadata = &chart.metadata;
    let has = |file: &str| chart.files.contains_key(file);
    let rules = [
        (metadata.description.trim().is_empty(), Severity::Info, "Chart.yaml", "a description is recommended"),
        (
            metadata.app_version.trim().is_empty(),
            Severity::Info,
            "Chart.yaml",
            "appVersion, the version of Fabric, is recommended",
        ),
        (metadata.deprecated, Severity::Warning, "Chart.yaml", "the chart is deprecated"),
        (!has("values.yaml"), Severity::Info, "values.yaml", "file does not exist"),
        (chart.schema.is_none(), Severity::Info, "values.schema.json", "without a schema, mistyped values are not found"),
        (
            !chart.files.keys().any(|file| file.starts_with("templates/")),
            Severity::Warning,
            "templates/",
            "there are no templates",
        ),
        (!has("templates/NOTES.txt"), Severity::Info, "templates/NOTES.txt", "file does not exist"),
    ];
    let broken = rules.into_iter().filter(|(broken, ..)| *broken);
    broken.map(|(_, severity, path, message)| finding(severity, path, message)).collect()
}

/// Kinds that find their pods by a selector.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

fn object(object: &Object) -> Vec<Finding> {
    let mut findings = Vec::new();
    if WORKLOADS.contains(&object.key.kind.as_str()) {
        let spec = &object.body["spec"];
        let labels = &spec["template"]["metadata"]["labels"];
        match spec["selector"]["matchLabels"].as_object() {
            None => findings.push(on(object, "spec.selector.matchLabels is required")),
            Some(selector) if selector.iter().any(|(key, value)| labels.get(key) != Some(value)) => {
                findings.push(on(object, "spec.selector does not match the labels of the pod template"));
            }
            Some(_) => {}
        }
    }
    if object.body.get("status").is_some_and(|status| *status != Value::Null) {
        let message = format!("{}: status is the server's to write ({})", object.key, object.source.template);
        findings.push(finding(Severity::Warning, "templates/", message));
    }
    findings
}

fn on(object: &Object, problem: &str) -> Finding {
    let place = format!("{}:{}", object.source.template, object.source.line);
    finding(Severity::Error, "templates/", format!("{}: {problem} ({place})", object.key))
}
