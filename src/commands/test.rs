//! `test`: runs the tests of a release.

use super::arguments::operation::RunArguments;
use super::arguments::{Format, OPERATION, OUTPUT, OutputArguments};
use super::release_document as document;
use super::{Edge, complete};
use crate::deploy::{self, Context, Options, TestOutcome, TestRun};
use crate::error::{Error, Result};
use crate::release::ReleaseName;
use crate::terminal::{GREEN, RED, Text, time};
use clap::{ArgAction, Args};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Run the tests of a release
///
/// Tests are `test` hooks of the chart: pods or jobs that succeed or fail. If one fails, the exit
/// status is 3.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric test org1
  kubectl fabric test org1 --logs
  kubectl fabric test org1 --filter name=test-peers     one test; '!name=test-peers' skips it")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Tests to run or to skip: name=TEST or !name=TEST; may be repeated
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
    let namespace = edge.connection.namespace_of(release.as_str())?;
    check_filters(&arguments.filter)?;
    if arguments.run.events.is_some() {
        edge.terminal.stream_events();
    }
    let outcome = edge.operate(false, async |cluster, interrupted| {
        let progress = edge.terminal.progress();
        let context = Context {
            cluster,
            release,
            namespace,
            now: edge.now,
            progress: &*progress,
            interrupted,
        };
        let options = Options {
            timeout: arguments.run.timeout,
            allow_outside: arguments.run.allow_outside.clone(),
            ..Options::default()
        };
        deploy::test(context, &arguments.filter, &options, arguments.logs).await
    })?;
    match arguments.output.output {
        Format::Table | Format::Wide => edge.terminal.print(text(&outcome))?,
        format => edge.terminal.print_named(format, &as_document(&outcome))?,
    }
    if outcome.runs.is_empty() {
        edge.terminal
            .note(&nothing_ran(&outcome, &arguments.filter));
    }
    let failed: Vec<&str> = outcome
        .runs
        .iter()
        .filter(|run| !run.succeeded)
        .map(|run| run.name.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let error = Error::not_ready(format!(
        "tests of \"{}\" failed: {}",
        outcome.summary.release,
        failed.join(", ")
    ));
    Err(if arguments.logs {
        error
    } else {
        error.hint("see their logs with --logs")
    })
}

fn check_filters(filters: &[String]) -> Result<()> {
    let is_filter = |filter: &&String| {
        let filter = filter.strip_prefix('!').unwrap_or(filter);
        filter
            .strip_prefix("name=")
            .is_some_and(|name| !name.is_empty())
    };
    match filters.iter().find(|filter| !is_filter(filter)) {
        None => Ok(()),
        Some(filter) => Err(Error::user(format!(
            "--filter \"{filter}\" is neither name=TEST nor !name=TEST"
        ))),
    }
}

/// Warns if no test ran: that success shows nothing about the release.
fn nothing_ran(outcome: &TestOutcome, filters: &[String]) -> String {
    let summary = &outcome.summary;
    match filters {
        [] => format!(
            "no tests were run: chart {} {} has no `test` hooks",
            summary.chart, summary.chart_version
        ),
        filters => format!(
            "no tests were run: no test of \"{}\" matches --filter {}",
            summary.release,
            filters.join(",")
        ),
    }
}

fn text(outcome: &TestOutcome) -> Text {
    let mut text = document::status_block(&outcome.summary);
    if outcome.runs.is_empty() {
        text.push("TEST SUITE: None\n");
    }
    for run in &outcome.runs {
        let style = if run.succeeded { GREEN } else { RED };
        text.push(format!("TEST SUITE:     {}\n", run.name));
        for (label, moment) in [
            ("Last Started:  ", run.started),
            ("Last Completed:", run.completed),
        ] {
            text.push(format!("{label} {}\n", time::utc(moment)));
        }
        text.push("Phase:          ");
        text.push_styled(style, phase(run));
        text.push("\n");
        if !run.reason.is_empty() {
            text.push(format!("Reason:         {}\n", run.reason));
        }
    }
    for (name, log) in outcome.runs.iter().flat_map(|run| &run.logs) {
        text.push(format!("\nPOD LOGS: {name}\n{}\n", log.trim_end()));
    }
    text
}

fn phase(run: &TestRun) -> &'static str {
    if run.succeeded { "Succeeded" } else { "Failed" }
}

fn as_document(outcome: &TestOutcome) -> Value {
    let run = |run: &TestRun| {
        json!({
            "name": run.name,
            "started": time::rfc3339(run.started),
            "completed": time::rfc3339(run.completed),
            "phase": phase(run),
            "reason": run.reason,
            "logs": run.logs.iter().map(|(name, log)| json!({ "name": name, "log": log })).collect::<Vec<_>>(),
        })
    };
    let mut document = document::release(&outcome.summary, "");
    document["tests"] = outcome.runs.iter().map(run).collect();
    document
}
