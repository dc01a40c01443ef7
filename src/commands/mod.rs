//! The verbs: one file each, with its arguments (their doc comments are the help) and its output.
//!
//! A command reads the input in its arguments, calls the room that does the work, and prints. It
//! makes no decisions about clusters.

pub mod arguments;
pub mod complete;
mod confirm;
mod edge;
mod load;
mod outcome;
mod release_document;
mod rendering;
mod selector;

mod chaincode;
mod channel;
mod charts;
mod completion;
mod diff;
mod down;
mod drift;
mod get;
mod history;
mod identity;
mod install;
mod lint;
mod list;
mod profile;
mod rollback;
mod status;
mod template;
mod test;
mod uninstall;
mod up;
mod upgrade;
pub mod usage;
mod values;
mod version;

pub use arguments::Format;
pub use edge::Edge;

use crate::error::Result;
use arguments::ConnectionArguments;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};
use std::ffi::{OsStr, OsString};
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
/// Each organization is a release: a chart with values, and a history in the cluster. The charts
/// are embedded in this program and chosen by the release's name: org1 is a peer organization,
/// orgorderer1 an orderer organization, kafka a Kafka cluster. Each release lives in a namespace of
/// the same name.
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
  kubectl fabric up -f network.yaml                     a network with channels and chaincodes
  kubectl fabric install org1                           an organization with peers, ready to use
  kubectl fabric upgrade org1 --fabric-version 2.5.16   node by node, after all checks
  kubectl fabric diff upgrade org1 -f org1.yaml         what an upgrade would change
  kubectl fabric rollback org1                          roll back to the previous revision
  kubectl fabric list                                   every release

Exit status:
    0  done
    1  error
    2  differences found (diff --exit-code, drift)
    3  not ready in time, or a hook or test failed
    4  refused for safety (lock, ownership, guard, deletion of data)
  130  interrupted

The result goes to stdout; progress, warnings and errors go to stderr."
)]
struct Root {
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// A command line: one verb with its arguments, and the arguments that every verb takes.
pub struct Cli {
    pub command: Command,
    pub connection: ConnectionArguments,
}

/// A verb as the parser knows it.
struct Verb {
    name: &'static str,
    aliases: &'static [&'static str],
    is_hidden: bool,
    add_arguments: fn(clap::Command) -> clap::Command,
}

/// Lists the verbs in the order of the help: the variant, the module with its `Arguments` and
/// `run`, the name, the aliases.
macro_rules! verbs {
    ($($verb:ident($module:ident) $name:expr, $aliases:expr;)*) => {
        #[derive(Debug)]
        pub enum Command {
            $($verb($module::Arguments),)*
        }

        const VERBS: &[Verb] = &[$(Verb {
            name: $name,
            aliases: &$aliases,
            is_hidden: matches!($name.as_bytes(), [b'_', ..]),
            add_arguments: $module::Arguments::augment_args,
        },)*];

        impl Command {
            fn parse(name: &str, matches: &mut ArgMatches) -> Option<Parsed<Command>> {
                $(if name == $name {
                    let arguments = $module::Arguments::from_arg_matches_mut(matches);
                    return Some(arguments.map(Command::$verb));
                })*
                None
            }
        }

        /// Runs one command. Returns its exit status unless it fails.
        pub fn run(command: Command, edge: &Edge) -> Result<ExitCode> {
            match command {
                $(Command::$verb(arguments) => $module::run(arguments, edge),)*
            }
        }
    };
}

verbs! {
    Up(up) "up", [];
    Down(down) "down", [];
    Install(install) "install", [];
    Upgrade(upgrade) "upgrade", [];
    Rollback(rollback) "rollback", [];
    Uninstall(uninstall) "uninstall", ["delete", "del", "un"];
    List(list) "list", ["ls"];
    History(history) "history", ["hist"];
    Status(status) "status", [];
    Get(get) "get", [];
    Diff(diff) "diff", [];
    Drift(drift) "drift", [];
    Test(test) "test", [];
    Channel(channel) "channel", [];
    Chaincode(chaincode) "chaincode", ["cc"];
    Identity(identity) "identity", [];
    Profile(profile) "profile", [];
    Template(template) "template", [];
    Lint(lint) "lint", [];
    Values(values) "values", [];
    Charts(charts) "charts", [];
    Version(version) "version", [];
    Completion(completion) "completion", [];
    Complete(complete) complete::COMMAND, [];
}

type Parsed<T> = std::result::Result<T, clap::Error>;

/// The whole command line, with every verb.
pub fn command() -> clap::Command {
    command_with(|_| true)
}

fn command_with(is_wanted: impl Fn(&Verb) -> bool) -> clap::Command {
    let verbs = VERBS.iter().filter(|verb| is_wanted(verb)).map(|verb| {
        (verb.add_arguments)(clap::Command::new(verb.name))
            .visible_aliases(verb.aliases)
            .hide(verb.is_hidden)
    });
    Root::command().subcommands(verbs)
}

/// Other names of a verb.
fn aliases(name: &str) -> &'static [&'static str] {
    let verb = VERBS.iter().find(|verb| verb.name == name);
    verb.map_or(&[], |verb| verb.aliases)
}

/// Reads the arguments: the command, and the format in which it prints.
///
/// Describing all verbs would take most of the program's start. Only verbs among the words are
/// described; if the words do not parse then, or ask for help, all are.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Parsed<(Cli, Format)> {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let occurs = |verb: &Verb| {
        let names = || std::iter::once(&verb.name).chain(verb.aliases);
        words
            .iter()
            .any(|word| names().any(|name| word == OsStr::new(name)))
    };
    let mut matches = command_with(occurs)
        .try_get_matches_from(&words)
        .or_else(|_| command().try_get_matches_from(&words))?;
    let format = format_of(&matches);
    let cli = Cli::of(&mut matches).map_err(|error| error.format(&mut command()))?;
    Ok((cli, format))
}

impl Cli {
    fn of(matches: &mut ArgMatches) -> Parsed<Cli> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, mut arguments) = matches.remove_subcommand().ok_or_else(missing)?;
        Ok(Cli {
            command: Command::parse(&name, &mut arguments).ok_or_else(missing)??,
            connection: Root::from_arg_matches_mut(matches)?.connection,
        })
    }
}

/// The `-o` of the verb, or of its subcommand such as `get values`.
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

/// Leaves memory to the operating system at the end of the process: freeing thousands of objects
/// takes as long as reading them.
fn leave<T>(whole: T) {
    std::mem::forget(whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> String {
        let words = ["kubectl-fabric"].into_iter().chain(line.split(' '));
        match parse(words.map(OsString::from)) {
            Ok((cli, _)) => format!("{:?} {:?}", cli.command, cli.connection.namespace),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_verb_is_distinguished_from_a_value_that_is_called_like_one() {
        let line = parsed("-n install history list");
        assert!(line.starts_with("History("), "{line}");
        assert!(line.ends_with(r#"Some("install")"#), "{line}");
        assert_eq!(parsed("hist org1"), parsed("history org1"));
        assert!(
            parsed("install").contains("<RELEASE>"),
            "{}",
            parsed("install")
        );
    }

    #[test]
    fn errors_and_help_know_every_verb() {
        assert!(parsed("--help").contains("rollback"));
        assert!(parsed("instal org1").contains("'install'"));
        assert!(parsed("status --hlep").contains("--help"));
    }
}
