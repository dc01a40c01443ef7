//! The verbs: one file each, with its arguments (their docstrings are the help) and what it prints.
//!
//! A command reads what its arguments name, calls the room that does the work, and prints. It
//! decides nothing about clusters.

pub mod arguments;
pub mod complete;
mod edge;
mod load;
mod outcome;
mod release_document;
mod rendering;
mod selector;

mod charts;
mod completion;
mod diff;
mod drift;
mod get;
mod history;
mod install;
mod lint;
mod list;
mod rollback;
mod status;
mod template;
mod test;
mod uninstall;
mod upgrade;
mod usage;
mod values;
mod version;

pub use edge::Edge;
pub use usage::advise;

use crate::error::Result;
use arguments::{ConnectionArguments, Format};
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

/// The exit status of a comparison that found differences.
pub const DIFFERENT: u8 = 2;

/// Install, upgrade and roll back Hyperledger Fabric networks on Kubernetes
///
/// An organization is a release: a versioned chart, its values, and a history in the cluster. The
/// chart comes with this program and is found from the release's name: org1 is a peer organization,
/// orgorderer1 an ordering organization, kafka a Kafka cluster. Each release lives in a namespace
/// of its own name.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-fabric",
    bin_name = "kubectl fabric",
    version,
    styles = STYLES,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = false,
    after_long_help = "\
Examples:
  kubectl fabric install org1                           an organization with peers, ready to use
  kubectl fabric upgrade org1 --fabric-version 2.5.16   checked first, then node by node
  kubectl fabric diff upgrade org1 -f org1.yaml         what an upgrade would change
  kubectl fabric rollback org1                          back to the last revision that was deployed
  kubectl fabric list                                   every release

Exit status:
    0  done
    1  error
    2  differences found (diff --exit-code, drift)
    3  not ready in time, or a hook or test failed
    4  refused to keep something safe (lock, ownership, guard, deletion of data)
  130  interrupted

The result goes to stdout; progress, warnings and errors go to stderr."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub connection: ConnectionArguments,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Install(install::Arguments),
    Upgrade(upgrade::Arguments),
    Rollback(rollback::Arguments),
    #[command(visible_aliases = ["delete", "del", "un"])]
    Uninstall(uninstall::Arguments),
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    #[command(visible_alias = "hist")]
    History(history::Arguments),
    Status(status::Arguments),
    Get(get::Arguments),
    Diff(diff::Arguments),
    Drift(drift::Arguments),
    Test(test::Arguments),
    Template(template::Arguments),
    Lint(lint::Arguments),
    Values(values::Arguments),
    Charts(charts::Arguments),
    Version(version::Arguments),
    Completion(completion::Arguments),
    #[command(name = complete::COMMAND, hide = true)]
    Complete(complete::Arguments),
}

/// Reads the arguments: the command, and the format in which it prints.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> std::result::Result<(Cli, Format), clap::Error> {
    let mut matches = Cli::command().try_get_matches_from(arguments)?;
    let format = format_of(&matches);
    let cli = Cli::from_arg_matches_mut(&mut matches)
        .map_err(|error| error.format(&mut Cli::command()))?;
    Ok((cli, format))
}

/// The `-o` of the verb, or of its part: `get values`.
fn format_of(matches: &ArgMatches) -> Format {
    match matches.subcommand() {
        Some((_, matches)) => format_of(matches),
        None => matches
            .try_get_one::<Format>("output")
            .ok()
            .flatten()
            .copied()
            .unwrap_or_default(),
    }
}

/// Runs one command; its exit status when it is no failure.
pub fn run(command: Command, edge: &Edge) -> Result<ExitCode> {
    match command {
        Command::Install(arguments) => install::run(arguments, edge),
        Command::Upgrade(arguments) => upgrade::run(arguments, edge),
        Command::Rollback(arguments) => rollback::run(arguments, edge),
        Command::Uninstall(arguments) => uninstall::run(arguments, edge),
        Command::List(arguments) => list::run(arguments, edge),
        Command::History(arguments) => history::run(arguments, edge),
        Command::Status(arguments) => status::run(arguments, edge),
        Command::Get(arguments) => get::run(arguments, edge),
        Command::Diff(arguments) => diff::run(arguments, edge),
        Command::Drift(arguments) => drift::run(arguments, edge),
        Command::Test(arguments) => test::run(arguments, edge),
        Command::Template(arguments) => template::run(arguments, edge),
        Command::Lint(arguments) => lint::run(arguments, edge),
        Command::Values(arguments) => values::run(arguments, edge),
        Command::Charts(arguments) => charts::run(arguments, edge),
        Command::Version(arguments) => version::run(arguments, edge),
        Command::Completion(arguments) => completion::run(arguments, edge),
        Command::Complete(arguments) => complete::run(arguments, edge),
    }
}

/// Leaves memory to the system, when the process is about to end: to take thousands of objects
/// apart costs as much as to read them.
fn leave<T>(whole: T) {
    std::mem::forget(whole);
}

/// Help that was asked for is a success; wrong arguments are an error like any other (2 means
/// differences here).
pub fn usage_status(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}
