//! `up`: a network from its file.

pub mod plan;
mod report;

pub use report::Lines;

use super::arguments::operation::RunArguments;
use super::arguments::{NetworkArguments, OPERATION, OutputArguments};
use super::load::NetworkFile;
use super::{Edge, complete, confirm};
use crate::cluster::Cluster;
use crate::deploy::Options;
use crate::error::Result;
use crate::fabric::guard;
use crate::member::Signing;
use crate::network::Removal;
use crate::terminal::counted;
use crate::up::{self, Composed, Done, Ended, Memory, Site, compose};
use clap::{ArgAction, Args};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bring up a network: its organizations, channels and chaincodes
///
/// Reads the network file, compares it with the cluster and the ledgers, and performs the missing
/// steps: installs and upgrades releases, creates channels and joins nodes, deploys chaincodes.
/// Independent steps run in parallel. The command is idempotent: run again, it continues an
/// interrupted run. `kubectl fabric diff -f FILE` shows the steps first.
///
/// With --org, organizations exchange files in the folder of the network file: public parts,
/// genesis blocks, and updates of channels that others must sign.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric up -f network.yaml                   the whole network
  kubectl fabric up -f network.yaml --dry-run         what is missing
  kubectl fabric up -f network.yaml --org org1        org1's part, with org1's permissions
  kubectl fabric up -f network.yaml --network dev     a second copy, in namespaces org1-dev, ...
  kubectl fabric up --dev --image basic:1.0           a small network for chaincode development
  kubectl fabric up --dev --network dev               the same beside other networks")]
pub struct Arguments {
    #[command(flatten)]
    pub network: NetworkArguments,

    /// Only show the missing steps
    #[arg(long, help_heading = OPERATION)]
    pub dry_run: bool,

    /// Uninstall releases of the network that are no longer in the file, and remove their
    /// organizations from channels; volumes and identities stay
    #[arg(long, help_heading = OPERATION)]
    pub prune: bool,

    /// Do not ask before --prune removes an organization from a channel
    #[arg(short, long, help_heading = OPERATION)]
    pub yes: bool,

    /// Guard to override, such as U05; takes a list, may be repeated
    #[arg(long, value_name = "RULE", value_parser = guard::parse_rule, value_delimiter = ',', action = ArgAction::Append, add = ArgValueCompleter::new(complete::rules), help_heading = OPERATION)]
    pub force: Vec<&'static str>,

    #[command(flatten)]
    pub run: RunArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

impl Arguments {
    fn options(&self) -> Options {
        Options {
            timeout: self.run.timeout,
            allow_outside: self.run.allow_outside.clone(),
            force: self.force.clone(),
            ..Options::default()
        }
    }

    fn removal(&self) -> Removal {
        match self.prune {
            true => Removal::Remove,
            false => Removal::Keep,
        }
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    if arguments.run.events.is_some() {
        edge.terminal.stream_events();
    }
    let loaded = arguments.network.load(edge)?;
    up::check(&loaded.network)?;
    let composed = compose(&loaded.network, &loaded.inputs)?;
    let format = arguments.output.output;
    let removal = arguments.removal();
    let asked = Asked {
        edge,
        loaded: &loaded,
        composed: &composed,
        network: &arguments.network,
        options: arguments.options(),
        removal,
    };
    if arguments.dry_run {
        let missing = asked.read(async |site| site.plan().await)?;
        plan::print(edge, &missing, asked.organization(), format)?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.prune && !arguments.yes {
        confirm(&asked)?;
    }
    let began = Instant::now();
    let done = asked.operate(async |site| up::up(site).await)?;
    print(&asked, &done, began.elapsed(), format)?;
    Ok(ExitCode::SUCCESS)
}

/// An organization that leaves a channel comes back only with the signatures of the others, so the
/// user confirms that first.
fn confirm(asked: &Asked<'_>) -> Result<()> {
    let plan = asked.read(async |site| site.plan().await)?;
    let leaves = plan.expelled();
    if leaves.is_empty() {
        return Ok(());
    }
    let name = &asked.loaded.network.name;
    confirm::removal(
        asked.edge,
        format!("--prune changes channels: {}", leaves.join("; ")),
        name,
    )
}

/// What the arguments of a verb come to.
pub struct Asked<'a> {
    pub edge: &'a Edge,
    pub loaded: &'a NetworkFile,
    pub composed: &'a Composed<'a>,
    pub network: &'a NetworkArguments,
    pub options: Options,
    pub removal: Removal,
}

impl Asked<'_> {
    pub fn organization(&self) -> Option<&str> {
        self.network.org.as_deref()
    }

    /// Runs a read-only operation.
    pub fn read<T>(&self, story: impl AsyncFnOnce(&Site<'_>) -> Result<T>) -> Result<T> {
        let (_keep, never) = watch::channel(false);
        self.edge.read(self.network.uses_stdin(), async |cluster| {
            self.at(cluster, never, story).await
        })
    }

    /// Runs an operation that changes the network.
    pub fn operate<T>(&self, story: impl AsyncFnOnce(&Site<'_>) -> Result<T>) -> Result<T> {
        let stdin = self.network.uses_stdin();
        self.edge.operate(stdin, async |cluster, interrupted| {
            self.at(cluster, interrupted, story).await
        })
    }

    async fn at<T>(
        &self,
        cluster: &Cluster,
        interrupted: watch::Receiver<bool>,
        story: impl AsyncFnOnce(&Site<'_>) -> Result<T>,
    ) -> Result<T> {
        let signers = self.network.signing.load()?;
        let signing = |release: &str| -> Signing { signers.of(release) };
        let lines = Lines::new(&self.edge.terminal);
        let network = self.composed.wanted.network;
        let site = Site {
            cluster,
            network,
            composed: self.composed,
            inputs: &self.loaded.inputs,
            exchange: &self.loaded.exchange,
            signing: &signing,
            now: self.edge.now,
            report: &lines,
            interrupted,
            options: Options {
                expected: up::expected(network),
                network: Some(up::label(network)),
                ..self.options.clone()
            },
            organization: self.organization(),
            removal: self.removal,
            memory: Memory::default(),
        };
        story(&site).await
    }
}

fn print(
    asked: &Asked<'_>,
    done: &Done,
    took: Duration,
    format: super::arguments::Format,
) -> Result<()> {
    let network = &asked.loaded.network;
    let terminal = &asked.edge.terminal;
    if !format.is_table() {
        return terminal.print_named(format, &document(asked, done, took));
    }
    let name = &network.name;
    let part = &done.part;
    let waits = part.is_open();
    terminal.print(match (done.steps.len(), waits) {
        (0, false) => format!("Network \"{name}\" matches the file.\n"),
        (steps, false) => format!(
            "Network \"{name}\" is up: {}, {:.1} s.\n",
            counted(steps, "step"),
            took.as_secs_f64()
        ),
        (steps, true) => format!(
            "Network \"{name}\": completed {}.\n",
            counted(steps, "step")
        ),
    })?;
    if waits {
        terminal.print(part.words())?;
    }
    for file in &done.files {
        terminal.note(&format!("{file}; give it to the other organizations"));
    }
    for leftover in &done.rest.leftovers {
        terminal.note(&format!("not in the file, and left unchanged: {leftover}"));
    }
    if let Some(next) = next(network).filter(|_| !waits && !done.steps.is_empty()) {
        terminal.note(&next);
    }
    Ok(())
}

/// The next useful command.
fn next(network: &crate::network::Network) -> Option<String> {
    let chaincode = network.chaincodes.keys().next()?;
    Some(format!(
        "next: `kubectl fabric chaincode query {chaincode} -c '[\"FUNCTION\",\"ARGUMENT\"]'` calls \
         chaincode \"{chaincode}\""
    ))
}

fn document(asked: &Asked<'_>, done: &Done, took: Duration) -> Value {
    let step = |ended: &Ended| {
        json!({
            "id": ended.step.id,
            "words": ended.step.action.to_string(),
            "began": ended.began.as_secs_f64(),
            "seconds": ended.took.as_secs_f64(),
        })
    };
    json!({
        "name": asked.loaded.network.name,
        "changed": !done.steps.is_empty(),
        "seconds": took.as_secs_f64(),
        "steps": done.steps.iter().map(step).collect::<Vec<_>>(),
        "leftovers": done.rest.leftovers,
        "files": done.files,
        "part": (asked.organization().is_some() || done.part.is_open()).then_some(&done.part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::load;
    use crate::network::file::ChaincodeType;
    use crate::up::check;

    #[test]
    fn the_development_network_is_one_that_can_be_brought_up() {
        for (image, chaincodes) in [(None, 0), (Some("registry:5000/basic:1.0"), 1)] {
            let file = load::development_network(image, None).unwrap();
            check(&file.network).unwrap();
            let composed = compose(&file.network, &file.inputs).unwrap();
            assert_eq!(composed.definitions.len(), chaincodes);
            // Two organizations run the same package, so one approval is like the other.
            let packages: std::collections::BTreeSet<&String> =
                composed.wanted.packages.values().collect();
            assert_eq!(packages.len(), chaincodes);
            let chaincode = file.network.chaincodes.get("basic");
            assert_eq!(chaincode.and_then(|it| it.image.as_deref()), image);
        }
    }

    #[test]
    fn what_a_file_cannot_do_yet_is_refused_before_anything_is_done() {
        let mut file = load::development_network(Some("basic:1.0"), None).unwrap();
        for chaincode in file.network.chaincodes.values_mut() {
            chaincode.kind = ChaincodeType::Kubernetes;
        }
        let error = check(&file.network).unwrap_err().to_string();
        for words in ["chaincodes.basic.type", "nothing was changed"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
