//! `test`: runs a release's tests.

use super::arguments::operation::{RunArguments, plain_options};
use super::arguments::{Format, OPERATION, OUTPUT, OutputArguments};
use super::{Edge, complete};
use crate::deploy::{self, Context, TestOutcome, TestResult};
use crate::error::{Error, Result};
use crate::release::ReleaseName;
use crate::terminal::{GREEN, RED, harmless};
use clap::{ArgAction, Args};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Run the tests of a release
///
/// A chart's tests are hooks of the kind `test`: pods or jobs that end well or not. Status 3 when one fails.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric test org1
  kubectl fabric test org1 --logs
  kubectl fabric test org1 --filter name=peer-health     one test; --filter '!name=slow' leaves one out")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Tests to run, or to leave out: name=TEST or !name=TEST; may be repeated
    #[arg(long, value_name = "FILTER", value_delimiter = ',', action = ArgAction::Append, help_heading = OPERATION)]
    pub filter: Vec<String>,

    /// Print the logs of the tests
    #[arg(long, help_heading = OUTPUT)]
    pub logs: bool,

    #[command(flatten)]
    pub run: RunArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let namespace = edge.connection.namespace_of(release.as_str());
    for filter in &arguments.filter {
        if filter.strip_prefix('!').unwrap_or(filter).strip_prefix("name=").is_none_or(str::is_empty) {
            return Err(Error::user(format!("--filter \"{filter}\" is neither name=TEST nor !name=TEST")));
        }
    }
    if arguments.run.events.is_some() {
        edge.terminal.stream_events();
    }
    let outcome = edge.operate(false, async |cluster, interrupted| {
        let progress = edge.terminal.progress();
        let context =
            Context { cluster, release, namespace: namespace.clone(), now: edge.now, progress: &*progress, interrupted };
        let options = plain_options(arguments.run.timeout);
        deploy::test(&context, &arguments.filter, &options, arguments.logs).await
    })?;
    match arguments.output.output {
        Format::Table => edge.terminal.print(&text(&outcome))?,
        format => edge.terminal.print_document(format, &as_document(&arguments.release, &namespace, &outcome))?,
    }
    let failed: Vec<&str> = outcome.results.iter().filter(|result| !result.passed).map(|result| result.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let error = Error::not_ready(format!("tests of \"{}\" failed: {}", arguments.release, failed.join(", ")));
    Err(if arguments.logs { error } else { error.hint("see their logs with --logs") })
}

fn text(outcome: &TestOutcome) -> String {
    if outcome.results.is_empty() {
        return "TEST SUITE: None\n".to_owned();
    }
    let mut text = String::new();
    for result in &outcome.results {
        let style = if result.passed { GREEN } else { RED };
        text.push_str(&format!("TEST SUITE: {}\n", harmless(&result.name)));
        text.push_str(&format!("Phase:      {style}{}{style:#}\n", phase(result.passed)));
        if !result.reason.is_empty() {
            text.push_str(&format!("Reason:     {}\n", harmless(&result.reason)));
        }
    }
    for (container, log) in outcome.results.iter().flat_map(|result| &result.logs) {
        text.push_str(&format!("\nPOD LOGS: {}\n{}\n", harmless(container), harmless(log.trim_end())));
    }
    text
}

fn phase(passed: bool) -> &'static str {
    if passed { "Succeeded" } else { "Failed" }
}

fn as_document(release: &str, namespace: &str, outcome: &TestOutcome) -> Value {
    let result = |result: &TestResult| {
        json!({
            "name": result.name,
            "phase": phase(result.passed),
            "reason": result.reason,
            "logs": result.logs.iter().map(|(name, log)| json!({ "container": name, "log": log })).collect::<Vec<_>>(),
        })
    };
    json!({
        "schemaVersion": 1,
        "name": release,
        "namespace": namespace,
        "tests": outcome.results.iter().map(result).collect::<Vec<_>>(),
    })
}
