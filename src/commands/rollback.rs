//! `rollback`: applies an earlier revision again.

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
/// Applies the recorded manifest of an earlier revision as a new revision; nothing is rendered.
/// Without a number, it uses the newest earlier revision that was deployed. It also works after a
/// failed or interrupted operation. It is refused if the ledger cannot go back, for example because
/// of its data format or a capability level.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric history org1                 list the revisions
  kubectl fabric diff rollback org1 2         what a rollback to revision 2 would change
  kubectl fabric rollback org1                roll back to the previous deployed revision
  kubectl fabric rollback org1 2              back to revision 2")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Revision to roll back to; 0 is the default [default: the newest earlier one that was
    /// deployed]
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
