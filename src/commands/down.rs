//! `down`: uninstalls the releases of a network, and deletes ledgers and identities only on
//! request.

use super::arguments::operation::RunArguments;
use super::arguments::{NetworkArguments, OPERATION, OutputArguments};
use super::up::Asked;
use super::{Edge, confirm};
use crate::deploy::Options;
use crate::error::Result;
use crate::network::Removal;
use crate::network::state::ReleaseKey;
use crate::up::{self, Down, compose};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Uninstall a network; ledgers and identities stay unless --delete-data is given
///
/// Uninstalls every release in the network file, chaincodes first. Volumes and identities stay, so
/// `kubectl fabric up` restores the network with its ledgers. --delete-data deletes these too.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric down -f network.yaml                    ledgers and identities stay
  kubectl fabric down -f network.yaml --dry-run          only show what would be uninstalled
  kubectl fabric down -f network.yaml --org org1         only org1's releases
  kubectl fabric down -f network.yaml --delete-data --delete-namespace --yes
  kubectl fabric down --dev --delete-data                the network of `up --dev`")]
pub struct Arguments {
    #[command(flatten)]
    pub network: NetworkArguments,

    /// Delete volumes and identities too; ledgers and keys are lost permanently
    #[arg(long, help_heading = OPERATION)]
    pub delete_data: bool,

    /// Delete the namespaces too, if this program created them and nothing else is in them
    #[arg(long, help_heading = OPERATION)]
    pub delete_namespace: bool,

    /// Delete data without confirmation
    #[arg(short, long, help_heading = OPERATION)]
    pub yes: bool,

    /// Only show what would be uninstalled
    #[arg(long, help_heading = OPERATION)]
    pub dry_run: bool,

    #[command(flatten)]
    pub run: RunArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(mut arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    if arguments.network.dev {
        // The chaincode of `up --dev --image` goes too, whatever its image is.
        arguments.network.image.get_or_insert("any".to_owned());
    }
    if arguments.run.events.is_some() {
        edge.terminal.stream_events();
    }
    let loaded = arguments.network.load(edge)?;
    let composed = compose(&loaded.network, &loaded.inputs)?;
    confirm(&arguments, &loaded.network.name, edge)?;
    let asked = Asked {
        edge,
        loaded: &loaded,
        composed: &composed,
        network: &arguments.network,
        options: Options {
            timeout: arguments.run.timeout,
            allow_outside: arguments.run.allow_outside.clone(),
            ..Options::default()
        },
        removal: Removal::Keep,
    };
    let down = Down {
        delete_data: arguments.delete_data,
        delete_namespace: arguments.delete_namespace,
        dry_run: arguments.dry_run,
    };
    let gone = asked.operate(async |site| up::down(site, down).await)?;
    print(&arguments, &loaded.network.name, &gone, edge)?;
    Ok(ExitCode::SUCCESS)
}

/// Deleting data needs two confirmations: the flag, and --yes or an answer on the terminal.
fn confirm(arguments: &Arguments, name: &str, edge: &Edge) -> Result<()> {
    if !arguments.delete_data || arguments.yes || arguments.dry_run {
        return Ok(());
    }
    let what = format!("--delete-data deletes the ledgers and keys of network \"{name}\"");
    confirm::deletion(edge, what, name)
}

fn print(arguments: &Arguments, name: &str, gone: &[ReleaseKey], edge: &Edge) -> Result<()> {
    let format = arguments.output.output;
    if !format.is_table() {
        let release = |key: &ReleaseKey| -> Value {
            json!({"name": key.release, "namespace": key.namespace})
        };
        let document = json!({
            "name": name,
            "dryRun": arguments.dry_run,
            "releases": gone.iter().map(release).collect::<Vec<_>>(),
        });
        return edge.terminal.print_named(format, &document);
    }
    let releases: Vec<String> = gone
        .iter()
        .map(|key| match key.release == key.namespace {
            true => key.release.clone(),
            false => format!("{} in namespace {}", key.release, key.namespace),
        })
        .collect();
    let releases = releases.join(", ");
    let data = match (arguments.delete_data, arguments.dry_run) {
        (false, _) => "",
        (true, true) => ", and their ledgers, keys and certificates would be deleted",
        (true, false) => "; their ledgers, keys and certificates are deleted",
    };
    edge.terminal
        .print(match (gone.is_empty(), arguments.dry_run) {
            (true, _) => format!("Network \"{name}\" is not installed.\n"),
            (false, true) => format!("Would be uninstalled: {releases}{data}\n"),
            (false, false) => {
                format!("Network \"{name}\" has been taken down; uninstalled: {releases}{data}\n")
            }
        })?;
    if !gone.is_empty() && !arguments.dry_run && !arguments.delete_data {
        edge.terminal.note(
            "ledgers and identities stay; `kubectl fabric up` restores the network with them",
        );
    }
    Ok(())
}
