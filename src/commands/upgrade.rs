//! `upgrade`: changes the chart, version or values of a release.

use super::arguments::operation::ReleaseArguments;
use super::arguments::{ApplyArguments, CHART, OPERATION, OutputArguments, PostRendererArguments};
use super::install::WantedArguments;
use super::{Edge, complete, outcome};
use crate::deploy::{Intent, Reuse};
use crate::error::Result;
use crate::release::ReleaseName;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::process::ExitCode;

/// Upgrade a release to another Fabric version, chart version or values, node by node
///
/// Compares the new manifest with the live objects, checks the guards for Fabric, and changes only
/// what differs. Nodes of a group change one at a time, each ready before the next. Keys,
/// certificates and volumes stay.
///
/// The values are the chart's defaults, overridden by the values of earlier revisions and then by
/// those of this command (Helm's --reset-then-reuse-values).
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric upgrade org1 --fabric-version 2.5.16   another version of Fabric
  kubectl fabric upgrade org1 --set peers.count=3       one value; the others stay
  kubectl fabric upgrade org1 -f org1.yaml --install    install it if it does not exist
  kubectl fabric upgrade org1 --version 0.2.0           another version of its chart
  kubectl fabric upgrade org1 --dry-run=server          check only")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    #[command(flatten)]
    pub wanted: WantedArguments,

    #[command(flatten)]
    pub post_renderer: PostRendererArguments,

    #[command(flatten)]
    pub reuse: ReuseArguments,

    /// Install the release if it does not exist or was never deployed
    #[arg(short, long, help_heading = OPERATION)]
    pub install: bool,

    #[command(flatten)]
    pub release_options: ReleaseArguments,

    #[command(flatten)]
    pub apply: ApplyArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// How the values of the previous revision are used. If several flags are set, the first one here
/// wins, as in Helm.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = CHART)]
pub struct ReuseArguments {
    /// Discard the values of earlier revisions
    #[arg(long)]
    pub reset_values: bool,

    /// Reuse all values of the previous revision, including its defaults; new defaults of the chart
    /// do not apply
    #[arg(long, hide_short_help = true)]
    pub reuse_values: bool,

    /// Use the chart's new defaults, then the values of earlier revisions (the default)
    #[arg(long, hide_short_help = true)]
    pub reset_then_reuse_values: bool,
}

impl ReuseArguments {
    pub fn choice(&self) -> Reuse {
        match self {
            ReuseArguments {
                reset_values: true, ..
            } => Reuse::Reset,
            ReuseArguments {
                reuse_values: true, ..
            } => Reuse::Reuse,
            _ => Reuse::ResetThenReuse,
        }
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let labels = &arguments.release_options.labels;
    let wanted = arguments
        .wanted
        .load(arguments.reuse.choice(), &arguments.post_renderer, labels)
        .map_err(outcome::untouched)?;
    let operation = outcome::Operation {
        release,
        intent: Intent::Upgrade {
            wanted,
            install: arguments.install,
        },
        options: arguments
            .apply
            .options(Some(&arguments.release_options), arguments.install),
        events: arguments.apply.run.events,
        stdin_in_use: arguments.wanted.values.uses_stdin(),
    };
    let outcome = operation.run(edge)?;
    outcome::print(
        edge,
        outcome::Verb::Upgrade,
        outcome,
        arguments.output.output,
        arguments.release_options.hide_notes,
    )
}
