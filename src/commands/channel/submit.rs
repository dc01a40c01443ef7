//! `channel submit`.

use super::confirm::{confirm, levels};
use super::report::{Report, updated};
use super::update::interrupted;
use super::{proposal, readers};
use crate::channel::{self, Current, ProposalFile, Source, Step, Submission};
use crate::cluster::Cluster;
use crate::commands::arguments::{OutputArguments, Signers, SigningArguments, duration};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result};
use crate::ledger::update;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Send a proposal with all required signatures to the orderers
///
/// Compares the proposal with the channel first. Refuses a proposal from another network, one that
/// was already submitted, and one that is outdated because of other updates. The signatures of
/// several copies of a proposal are combined.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel submit change.json
  kubectl fabric channel submit change-org2.json change-org3.json    two signed copies")]
pub struct Arguments {
    /// Proposal file, and copies of it with other signatures
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,

    /// Organization to query, by release; may be repeated [default: all that are installed]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub org: Vec<String>,

    /// Raise capability levels without confirmation
    #[arg(short, long)]
    pub yes: bool,

    /// Maximum time to wait until a block has the update
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The result of the command.
enum Done {
    Updated(Box<Current>, Vec<Step>),
    /// The user must confirm first.
    Ask(String),
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let file = read(&arguments)?;
    let signers = arguments.signing.load()?;
    let mut is_confirmed = arguments.yes;
    let (current, steps, report) = loop {
        let end = interrupted(&file.channel);
        let done = edge.change(end, async |cluster| {
            work(&arguments, edge, cluster, &file, &signers, is_confirmed).await
        });
        match done? {
            (Done::Ask(question), _) => {
                let first = &arguments.files[0];
                let look = format!(
                    "see the changes with `kubectl fabric channel sign {} --dry-run`",
                    first.display()
                );
                confirm(edge, &question, &look)?;
                is_confirmed = true;
            }
            (Done::Updated(current, steps), report) => break (current, steps, report),
        }
    };
    let (head, fields) = updated(&file.channel, &current, &steps);
    match arguments.output.output {
        format if format.is_table() => {
            edge.terminal.print(head)?;
            edge.terminal.print(report.text())?;
        }
        format => edge
            .terminal
            .print_named(format, &report.document(&file.channel, fields))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the files, which must contain the same proposal.
fn read(arguments: &Arguments) -> Result<ProposalFile> {
    let mut all = arguments.files.iter();
    let Some(first) = all.next() else {
        return Err(Error::internal("no file is given"));
    };
    let mut file = proposal::read(first)?;
    for path in all {
        let other = proposal::read(path)?;
        file.unite(&other, &path.display().to_string())?;
    }
    Ok(file)
}

async fn work(
    arguments: &Arguments,
    edge: &Edge,
    cluster: &Cluster,
    file: &ProposalFile,
    signers: &Signers,
    is_confirmed: bool,
) -> Result<(Done, Report)> {
    let name = &file.channel;
    let members = readers(edge, cluster, &arguments.org, signers).await?;
    let sources = Source::all(&members);
    let current = channel::compare(file, &sources).await?;
    let mut report = Report::from(file.explain(&current.configuration)?);
    report.contents.clear();
    if !report.policies.iter().all(|it| it.is_satisfied) {
        let first = &arguments.files[0];
        return Err(channel::missing(name, &report.policies).hint(format!(
            "have an administrator of a missing organization sign it: `kubectl fabric channel sign {}`",
            first.display()
        )));
    }
    let next = update::apply(&current.configuration, &file.update)?;
    let (from, to) = (&current.configuration.channel, &next.channel);
    let unsent = |error: Error| error.now("nothing was changed");
    channel::check(from, to).map_err(unsent)?;
    channel::check_nodes(from, to, members.iter().map(|it| &it.contact)).map_err(unsent)?;
    let raised = channel::raised_levels(from, to)?;
    if !raised.is_empty() && !is_confirmed {
        return Ok((Done::Ask(levels(name, &raised)), report));
    }
    let steps = channel::prepare_consenters(&members, name, &current, to).await?;
    let submission = Submission {
        name,
        update: &file.encoded,
        signatures: file.signatures.clone(),
        current: &current,
        sources: &sources,
        members: &members,
        timeout: arguments.timeout,
    };
    let current = channel::submit(submission).await?;
    Ok((Done::Updated(Box::new(current), steps), report))
}
