//! `rollback`: a release as an earlier revision recorded it.

use super::arguments::{ApplyArguments, OutputArguments, revision};
use super::{Edge, complete, outcome};
use crate::deploy::Intent;
use crate::error::Result;
use crate::release::ReleaseName;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::process::ExitCode;

/// Roll a release back to an earlier revision
///
/// Applies the manifest that the revision recorded, as a new revision; nothing is rendered again.
/// Without a number it goes to the newest earlier revision that was deployed. It works from a
/// failed or interrupted state too. Where the ledger cannot go back (a data format, a capability
/// level), it is refused, with the reason.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric history org1                 which revisions there are
  kubectl fabric diff rollback org1 2         what going back to revision 2 would change
  kubectl fabric rollback org1                back to the revision that was deployed before
  kubectl fabric rollback org1 2              back to revision 2")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Revision to go back to [default: the newest earlier one that was deployed; so is 0]
    #[arg(value_name = "REVISION", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions))]
    pub revision: Option<u32>,

    #[command(flatten)]
    pub apply: ApplyArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let operation = outcome::Operation {
        release: ReleaseName::parse(&arguments.release)?,
        intent: Intent::Rollback {
            revision: arguments.revision.filter(|revision| *revision > 0),
        },
        options: arguments.apply.options(None, false),
        events: arguments.apply.run.events,
        stdin_in_use: false,
    };
    let outcome = operation.run(edge)?;
    outcome::print(
        edge,
        outcome::Verb::Rollback,
        outcome,
        arguments.output.output,
        true,
    )
}
