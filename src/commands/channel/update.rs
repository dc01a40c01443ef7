//! `channel update`.

use super::confirm::{confirm, levels};
use super::create::{pair, size};
use super::proposal;
use super::report::{Report, updated};
use super::request::{Request, resolve};
use super::target::ChannelArguments;
use crate::channel::{
    self, Change, Changed, Current, ProposalFile, Signed, Source, Step, Submission,
};
use crate::cluster::Cluster;
use crate::commands::arguments::{OutputArguments, Signers, duration};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result};
use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::update;
use crate::member::Member;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The heading of the flags for changes.
const CHANGES: &str = "Changes";

/// Change the configuration of a channel: organizations, orderers, anchor peers, limits, policies
///
/// Reads the current configuration, computes the update, and signs it as each administrator whose
/// Secrets you can read. If the signatures satisfy the channel's policies, the update is sent to
/// the orderers. Otherwise the command lists the missing signatures; --propose then writes a
/// proposal file, which other organizations sign with `channel sign`. The command is idempotent.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel update mychannel --batch-timeout 500ms --dry-run
  kubectl fabric channel update mychannel --add-org org3
  kubectl fabric channel update mychannel --add-org org3.json --propose change.json
  kubectl fabric channel update mychannel --add-consenter orgorderer1/orderer3
  kubectl fabric channel update mychannel --edit mychannel.json")]
pub struct Arguments {
    /// Organization to add: a release, or a file with its public part in the format of configtxgen
    /// -printOrg (a path, or a name that ends with .json)
    #[arg(long, value_name = "RELEASE|FILE", help_heading = CHANGES, add = ArgValueCompleter::new(complete::releases))]
    pub add_org: Vec<String>,

    /// Organization to remove, by its MSP id
    #[arg(long, value_name = "MSPID", help_heading = CHANGES)]
    pub remove_org: Vec<String>,

    /// Orderer to add as a consenter, such as orgorderer1/orderer3; it joins the channel first
    #[arg(long, value_name = "ORG/NODE", help_heading = CHANGES)]
    pub add_consenter: Vec<String>,

    /// Consenter to remove, such as orgorderer1/orderer0, or its address
    #[arg(long, value_name = "ORG/NODE|HOST:PORT", help_heading = CHANGES)]
    pub remove_consenter: Vec<String>,

    /// Anchor peer to add, such as org1/peer1 or Org9MSP/peer0.example.com:7051
    #[arg(long, value_name = "ORG/PEER", help_heading = CHANGES, value_parser = pair('/'))]
    pub add_anchor: Vec<(String, String)>,

    /// Anchor peer to remove, in the same form
    #[arg(long, value_name = "ORG/PEER", help_heading = CHANGES, value_parser = pair('/'))]
    pub remove_anchor: Vec<(String, String)>,

    /// Batch timeout: maximum time until a block is cut
    #[arg(long, value_name = "DURATION", help_heading = CHANGES, value_parser = duration::parse)]
    pub batch_timeout: Option<Duration>,

    /// Maximum number of transactions in a block
    #[arg(long, value_name = "N", help_heading = CHANGES)]
    pub max_message_count: Option<u32>,

    /// Maximum size of a block, such as 10Mi
    #[arg(long, value_name = "SIZE", help_heading = CHANGES, value_parser = size)]
    pub absolute_max_bytes: Option<u32>,

    /// Preferred size of a block, such as 2Mi
    #[arg(long, value_name = "SIZE", help_heading = CHANGES, value_parser = size)]
    pub preferred_max_bytes: Option<u32>,

    /// Capability level of a group (channel, orderer or application), as application=V2_5; it
    /// cannot be lowered again
    #[arg(long, value_name = "GROUP=LEVEL", help_heading = CHANGES, value_parser = pair('='))]
    pub capability: Vec<(String, String)>,

    /// Policy by its path, as "Application/Endorsement=ALL Endorsement"
    #[arg(long, value_name = "PATH=RULE", help_heading = CHANGES, value_parser = pair('='))]
    pub policy: Vec<(String, String)>,

    /// File with the complete new configuration: an edited output of `channel show -o json`
    #[arg(long, value_name = "FILE", help_heading = CHANGES, value_hint = ValueHint::FilePath, conflicts_with_all = [
        "add_org", "remove_org", "add_consenter", "remove_consenter", "add_anchor", "remove_anchor",
        "batch_timeout", "max_message_count", "absolute_max_bytes", "preferred_max_bytes", "capability", "policy"])]
    pub edit: Option<PathBuf>,

    /// Write a proposal file for other organizations to sign, and send nothing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dry_run")]
    pub propose: Option<PathBuf>,

    /// Show the changes and the required signatures, and send nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Raise capability levels without confirmation
    #[arg(short, long)]
    pub yes: bool,

    /// Maximum time to wait until a block has the update
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub channel: ChannelArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The result of the command.
enum Done {
    Unchanged,
    DryRun,
    Proposed {
        is_satisfied: bool,
    },
    Updated {
        current: Box<Current>,
        steps: Vec<Step>,
    },
    /// The user must confirm first.
    Ask(String),
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let request = Request::read(&arguments)?;
    let signers = arguments.channel.load()?;
    let mut is_confirmed = arguments.yes;
    let (done, report) = loop {
        let work = edge.change(interrupted(&arguments.channel.name), async |cluster| {
            Work {
                arguments: &arguments,
                edge,
                cluster,
            }
            .run(&request, &signers, is_confirmed)
            .await
        });
        match work? {
            (Done::Ask(question), _) => {
                confirm(edge, &question, "see the changes with --dry-run")?;
                is_confirmed = true;
            }
            done => break done,
        }
    };
    print(&arguments, edge, &done, &report)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the error for an update that was ended by a signal.
pub fn interrupted(name: &str) -> Error {
    Error::interrupted("interrupted")
        .now("the update may have been sent")
        .hint(format!(
            "check with `kubectl fabric channel history {name}`, or run the same command again to complete it"
        ))
}

/// One run of the command.
struct Work<'a> {
    arguments: &'a Arguments,
    edge: &'a Edge,
    cluster: &'a Cluster,
}

impl Work<'_> {
    async fn run(
        &self,
        request: &Request,
        signers: &Signers,
        is_confirmed: bool,
    ) -> Result<(Done, Report)> {
        let (arguments, target) = (self.arguments, &self.arguments.channel);
        let name = &target.name;
        let members = target.members(self.edge, self.cluster, signers).await?;
        let current = channel::current(&Source::all(&members), name).await?;
        let Changed {
            configuration: next,
            unchanged,
        } = self.next(request, &current).await?;
        let (from, to) = (&current.configuration.channel, &next.channel);
        let mut report = Report {
            unchanged,
            ..Report::default()
        };
        if describe(from, to)?.is_empty() {
            return Ok((Done::Unchanged, report));
        }
        let unsent = |error: Error| error.now("nothing was changed");
        channel::check(from, to).map_err(unsent)?;
        channel::check_nodes(from, to, members.iter().map(|it| &it.contact)).map_err(unsent)?;
        let update = update::compute(name, from, to)?;
        let mut file = ProposalFile::new(name, current.block.clone(), update)?;
        let signed = channel::sign(&file.encoded, from, &members)?;
        file.signatures.clone_from(&signed.signatures);
        let explained = Report::from(file.explain(&current.configuration)?);
        report = Report {
            unchanged: report.unchanged,
            contents: Vec::new(),
            ..explained
        };
        if arguments.dry_run {
            return Ok((Done::DryRun, report));
        }
        if let Some(path) = &arguments.propose {
            proposal::write_new(path, &mut file)?;
            let explained = file.explain(&current.configuration)?;
            let is_satisfied = explained.is_satisfied();
            report.signers = explained.signers;
            report.policies = explained.policies;
            return Ok((Done::Proposed { is_satisfied }, report));
        }
        if !signed.is_satisfied() {
            return Err(self.lacks(&signed));
        }
        let raised = channel::raised_levels(from, to)?;
        if !raised.is_empty() && !is_confirmed {
            return Ok((Done::Ask(levels(name, &raised)), report));
        }
        let steps = channel::prepare_consenters(&members, name, &current, to).await?;
        let current = self.send(&file, &current, &members).await?;
        let current = Box::new(current);
        Ok((Done::Updated { current, steps }, report))
    }

    /// Returns the requested configuration.
    async fn next(&self, request: &Request, current: &Current) -> Result<Changed> {
        match request {
            Request::Edited { json, file } => Ok(Changed {
                configuration: edited(&current.configuration, json, file)?,
                unchanged: Vec::new(),
            }),
            Request::Changes(parts) => {
                let changes: Vec<Change> = resolve(parts, self.edge, self.cluster).await?;
                channel::change(&current.configuration, &changes)
                    .map_err(|error| error.now("nothing was changed"))
            }
        }
    }

    fn lacks(&self, signed: &Signed) -> Error {
        let error = channel::missing(&self.arguments.channel.name, &signed.policies);
        let error = match signed.signers.is_empty() {
            true => error.why("none of the available administrators can sign"),
            false => error,
        };
        error.hint("write a proposal for the other organizations to sign: add --propose FILE")
    }

    async fn send(
        &self,
        file: &ProposalFile,
        current: &Current,
        members: &[Member],
    ) -> Result<Current> {
        channel::submit(Submission {
            name: &self.arguments.channel.name,
            update: &file.encoded,
            signatures: file.signatures.clone(),
            current,
            sources: &Source::all(members),
            members,
            timeout: self.arguments.timeout,
        })
        .await
    }
}

/// Reads an edited configuration, which must be based on the current one.
fn edited(current: &Configuration, json: &Value, file: &Path) -> Result<Configuration> {
    let file = file.display();
    let next = current
        .edited(json)
        .map_err(|error| error.context(format!("\"{file}\" is not a channel configuration")))?;
    if next.sequence != current.sequence {
        return Err(Error::user(format!(
            "\"{file}\" is based on another configuration of the channel"
        ))
        .why(format!(
            "its sequence is {}; the channel's is {}",
            next.sequence, current.sequence
        ))
        .now("nothing was changed")
        .hint(
            "read the configuration again with `kubectl fabric channel show NAME -o json`, and repeat the edits",
        ));
    }
    Ok(next)
}

fn print(arguments: &Arguments, edge: &Edge, done: &Done, report: &Report) -> Result<()> {
    let name = &arguments.channel.name;
    let mut more = json!({"changed": false});
    let head = match done {
        Done::Unchanged => format!("Channel \"{name}\" is unchanged.\n"),
        Done::DryRun | Done::Ask(_) => format!("Channel \"{name}\" would be updated.\n"),
        Done::Proposed { is_satisfied } => {
            let file = arguments.propose.as_deref().unwrap_or(Path::new(""));
            let file = file.display().to_string();
            let next = proposal::next_step(&file, *is_satisfied);
            more["file"] = json!(file);
            format!("The update of channel \"{name}\" has been written to {file}. {next}\n")
        }
        Done::Updated { current, steps } => {
            let (head, fields) = updated(name, current, steps);
            more = fields;
            head
        }
    };
    match arguments.output.output {
        format if format.is_table() => {
            edge.terminal.print(head)?;
            edge.terminal.print(report.text())
        }
        format => edge
            .terminal
            .print_named(format, &report.document(name, more)),
    }
}
