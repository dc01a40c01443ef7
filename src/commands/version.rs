//! `version`: the versions of this program and its charts, without a cluster.

use super::Edge;
use super::arguments::{Format, OUTPUT, OutputArguments};
use crate::chart::repository;
use crate::error::Result;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Print the version of this program and of the charts in it
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print the version number only
    #[arg(long, help_heading = OUTPUT)]
    pub short: bool,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The commit of the build, if known.
const COMMIT: Option<&str> = option_env!("KUBECTL_FABRIC_COMMIT");

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    match (arguments.output.output, arguments.short) {
        (Format::Table | Format::Wide, true) => {
            let commit = COMMIT
                .map(|commit| format!("+g{}", commit.get(..7).unwrap_or(commit)))
                .unwrap_or_default();
            edge.terminal.print(format!("{version}{commit}\n"))?;
        }
        (Format::Table | Format::Wide, false) => {
            let commit = COMMIT
                .map(|commit| format!(", commit {commit}"))
                .unwrap_or_default();
            let charts: Vec<String> = repository::embedded()
                .iter()
                .map(|(name, version, _)| format!("{name} {version}"))
                .collect();
            edge.terminal.print(format!(
                "kubectl-fabric {version} ({platform}{commit})\ncharts: {}\n",
                charts.join(", ")
            ))?;
        }
        (format, _) => {
            let charts: Vec<_> = repository::embedded()
                .iter()
                .map(|(name, version, digest)| json!({ "name": name, "version": version, "digest": digest }))
                .collect();
            let document = json!({
                "schemaVersion": 1,
                "version": version,
                "gitCommit": COMMIT.unwrap_or_default(),
                "platform": platform,
                "charts": charts,
            });
            edge.terminal.print_document(format, &document)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
