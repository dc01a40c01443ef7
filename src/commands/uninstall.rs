//! `uninstall`: removes releases, and their ledgers and identities only on request.

use super::arguments::operation::{DryRunChoice, RunArguments, WaitChoice};
use super::arguments::{OPERATION, OutputArguments};
use super::{Edge, complete, confirm, outcome};
use crate::deploy::{self, Intent, Options};
use crate::error::Result;
use crate::release::ReleaseName;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::process::ExitCode;

/// Uninstall releases; ledgers and identities stay unless --delete-data is given
///
/// Deletes all objects of the release, including those of failed operations. Volumes (ledgers,
/// Kafka's logs) and identities (keys and certificates) stay, so a new install restores the
/// organization. --delete-data deletes these too, now or in a later run, except those that another
/// release or another owner's pod uses.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric uninstall org1                                     ledgers and identities stay
  kubectl fabric uninstall org1 org2 --keep-history                 two releases; keep history
  kubectl fabric uninstall org1 --dry-run                           what would be deleted
  kubectl fabric uninstall org1 --delete-data --delete-namespace    everything, permanently")]
pub struct Arguments {
    /// Names of the releases
    #[arg(value_name = "RELEASE", required = true, num_args = 1.., add = ArgValueCompleter::new(complete::releases))]
    pub releases: Vec<String>,

    /// Keep the history, with the release marked as uninstalled
    #[arg(long, help_heading = OPERATION)]
    pub keep_history: bool,

    /// Treat a missing release as uninstalled, not as an error
    #[arg(long, help_heading = OPERATION)]
    pub ignore_not_found: bool,

    /// Delete volumes and identities too; ledgers and keys are lost permanently
    #[arg(long, help_heading = OPERATION)]
    pub delete_data: bool,

    /// Delete the namespace too, if this program created it and nothing else is in it
    #[arg(long, help_heading = OPERATION)]
    pub delete_namespace: bool,

    /// Delete data without confirmation
    #[arg(short, long, help_heading = OPERATION)]
    pub yes: bool,

    /// Only show what would be deleted
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client",
        default_value = "none", hide_possible_values = true, help_heading = OPERATION)]
    pub dry_run: DryRunChoice,

    /// Wait until every object is deleted
    #[arg(long, value_name = "BOOL", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", hide_possible_values = true, help_heading = OPERATION)]
    pub wait: WaitChoice,

    /// Do not run hooks
    #[arg(long, hide_short_help = true, help_heading = OPERATION)]
    pub no_hooks: bool,

    /// Description for the history, with --keep-history
    #[arg(long, value_name = "TEXT", hide_short_help = true, help_heading = OPERATION)]
    pub description: Option<String>,

    #[command(flatten)]
    pub run: RunArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

impl Arguments {
    fn options(&self) -> Options {
        Options {
            dry_run: self.dry_run.into(),
            wait: self.wait == WaitChoice::Wait,
            timeout: self.run.timeout,
            no_hooks: self.no_hooks,
            allow_outside: self.run.allow_outside.clone(),
            description: self.description.clone(),
            ..Options::default()
        }
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let mut releases: Vec<ReleaseName> = Vec::new();
    for release in &arguments.releases {
        let release = ReleaseName::parse(release)?;
        if !releases.contains(&release) {
            releases.push(release);
        }
    }
    if arguments.run.events.is_some() {
        edge.terminal.stream_events();
    }
    confirm(&arguments, edge)?;
    if releases.len() > 1 && !arguments.ignore_not_found {
        releases
            .iter()
            .try_for_each(|release| look_up(&arguments, release, edge))?;
    }
    let mut done: Vec<String> = Vec::new();
    for release in releases {
        one(&arguments, &release, edge).map_err(|error| match done.is_empty() {
            true => error,
            false => error.now_after(format!("already uninstalled: {}", done.join(", "))),
        })?;
        done.push(release.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses an unknown name: then none of several releases is uninstalled.
fn look_up(arguments: &Arguments, release: &ReleaseName, edge: &Edge) -> Result<()> {
    let namespace = edge.connection.namespace_of(release.as_str())?;
    edge.read(false, async |cluster| {
        if deploy::is_known(cluster, &namespace, release.as_str(), arguments.delete_data).await? {
            return Ok(());
        }
        Err(deploy::not_found(cluster, &namespace, release.as_str())
            .await
            .now("nothing was changed"))
    })
}

fn one(arguments: &Arguments, release: &ReleaseName, edge: &Edge) -> Result<()> {
    if arguments.ignore_not_found {
        let namespace = edge.connection.namespace_of(release.as_str())?;
        let known = edge.read(false, async |cluster| {
            deploy::is_known(cluster, &namespace, release.as_str(), arguments.delete_data).await
        })?;
        if !known {
            edge.terminal
                .note(&format!("release \"{release}\" is not installed"));
            return Ok(());
        }
    }
    let operation = outcome::Operation {
        release: release.clone(),
        intent: Intent::Uninstall {
            keep_history: arguments.keep_history,
            delete_data: arguments.delete_data,
            delete_namespace: arguments.delete_namespace,
        },
        options: arguments.options(),
        events: arguments.run.events,
        stdin_in_use: false,
    };
    let outcome = operation.run(edge)?;
    outcome::print(
        edge,
        outcome::Verb::Uninstall,
        outcome,
        arguments.output.output,
        true,
    )?;
    Ok(())
}

/// Deleting data needs two confirmations: the flag, and --yes or an answer on the terminal.
fn confirm(arguments: &Arguments, edge: &Edge) -> Result<()> {
    if !arguments.delete_data || arguments.yes || arguments.dry_run != DryRunChoice::None {
        return Ok(());
    }
    let names = arguments.releases.join(" ");
    let what = format!(
        "--delete-data permanently deletes the ledgers and keys of {}",
        arguments.releases.join(", ")
    );
    confirm::deletion(edge, what, &names)
}
