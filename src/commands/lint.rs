//! `lint`: checks charts, with Helm's severities.

use super::Edge;
use super::arguments::{OUTPUT, OutputArguments, ValuesArguments};
use super::load;
use super::rendering::ASSUMED_KUBERNETES;
use crate::chart::Chart;
use crate::chart::lint::{self, Finding, Severity};
use crate::compose::{self, Given};
use crate::error::{Error, Result};
use crate::fabric::Model;
use crate::render::Capabilities;
use crate::terminal::{RED, Text, YELLOW};
use crate::values::Values;
use anstyle::Style;
use clap::{Args, ValueHint};
use serde_json::json;
use std::process::ExitCode;

/// Check charts: metadata, values, schema, templates, objects
///
/// Renders each chart with its defaults and your values. Reports what prevents an install (ERROR),
/// probable mistakes (WARNING), and suggestions (INFO).
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

    /// Kubernetes version that templates see in `capabilities`
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

fn word(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Info => ("INFO", Style::new()),
        Severity::Warning => ("WARNING", YELLOW),
        Severity::Error => ("ERROR", RED),
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let user_values = arguments.values.load()?;
    let least = if arguments.strict {
        Severity::Warning
    } else {
        Severity::Error
    };
    let (mut text, mut charts, mut failed) = (Text::default(), Vec::new(), 0);
    for path in &arguments.paths {
        let findings = lint(path, &user_values, &arguments);
        let fails = findings.iter().any(|finding| finding.severity >= least);
        failed += usize::from(fails);
        let shown: Vec<&Finding> = findings
            .iter()
            .filter(|finding| !arguments.quiet || finding.severity > Severity::Info)
            .collect();
        if !arguments.quiet || !shown.is_empty() {
            text.push(format!("==> Linting {path}\n"));
        }
        for finding in &shown {
            let (word, style) = word(finding.severity);
            let line = finding
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            text.push_styled(style, format!("[{word}]"));
            text.push(format!(" {}{line}: {}\n", finding.path, finding.message));
        }
        if !arguments.quiet || !shown.is_empty() {
            text.push("\n");
        }
        charts.push(json!({ "path": path, "failed": fails, "findings": shown }));
    }
    let linted = format!(
        "{} chart(s) linted, {failed} chart(s) failed",
        arguments.paths.len()
    );
    if !arguments.output.output.is_table() {
        let document = json!({ "schemaVersion": 1, "linted": arguments.paths.len(), "failed": failed, "charts": charts });
        edge.terminal
            .print_document(arguments.output.output, &document)?;
    } else {
        edge.terminal.print(text)?;
    }
    if failed > 0 {
        return Err(Error::user(linted));
    }
    if arguments.output.output.is_table() && !arguments.quiet {
        edge.terminal.print(format!("{linted}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All findings for one chart.
fn lint(path: &str, user_values: &Values, arguments: &Arguments) -> Vec<Finding> {
    let chart = match load::chart_by_name_or_path(path) {
        Ok(chart) => chart,
        Err(error) => return vec![lint::unreadable(&error)],
    };
    let (release, namespace) = release_name(&chart);
    let given = Given {
        chart: &chart,
        release,
        namespace,
        user_values: user_values.clone(),
        defaults: None,
        fabric_version: None,
        skip_schema_validation: arguments.skip_schema_validation,
        stored_secrets: Default::default(),
    };
    let composition = match compose::compose(given) {
        Ok(composition) => composition,
        Err(error) => return lint::lint(&chart, &[], Err(("values.yaml", &error))),
    };
    let capabilities = Capabilities {
        kube_version: arguments.kube_version.clone(),
        api_versions: Vec::new(),
    };
    let rendered = composition.render(1, false, capabilities, None);
    lint::lint(
        &chart,
        &composition.values.warnings,
        rendered.as_ref().map_err(|error| ("templates/", error)),
    )
}

/// A name and a namespace that fit the chart, so that names and addresses are realistic.
fn release_name(chart: &Chart) -> (&'static str, &'static str) {
    match Model::of(chart) {
        Ok(Some(Model::PeerOrganization)) => ("org1", "org1"),
        Ok(Some(Model::OrdererOrganization)) => ("orgorderer1", "orgorderer1"),
        Ok(Some(Model::Kafka)) => ("kafka", "kafka"),
        Ok(Some(Model::Chaincode)) => ("basic", "org1"),
        Ok(None) | Err(_) => ("release-name", "release-name"),
    }
}
