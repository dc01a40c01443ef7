//! Completion: kubectl's `__complete` contract, and names from the cluster or a kubeconfig.
//!
//! A completion cannot show an error: candidates that take too long are not offered. Shells put
//! candidates on the command line as they are, and some expand their descriptions. So a name that a
//! shell would not read as one literal word is not offered.

mod command_line;
mod known;
#[cfg(test)]
mod tests;

pub use known::{chart_versions, fabric_versions, formats, paths, rules, settings};

use super::arguments::ConnectionArguments;
use super::{Edge, selector};
use crate::chart::repository;
use crate::cluster::{Cluster, Kind};
use crate::error::Result;
use crate::manifest::readiness;
use crate::release::Entry;
use crate::terminal::{is_harmful, one_line};
use crate::{storage, yaml};
use clap::builder::Resettable;
use clap::{Arg, ArgAction, Args, Command, ValueHint, value_parser};
use clap_complete::engine::{PathCompleter, ValueCompleter};
use clap_complete::{ArgValueCompleter, CompletionCandidate};
use command_line::CommandLine;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What kubectl's completion runs: `kubectl_complete-fabric WORDS...` calls this command.
pub const COMMAND: &str = "__complete";

/// The variable with which a shell's script requests candidates.
pub const VARIABLE: &str = "KUBECTL_FABRIC_COMPLETE";

/// The name of the completion program that kubectl runs for a plugin.
const KUBECTL_COMPLETE: &str = "kubectl_complete-fabric";

/// cobra's directive "do not offer files" (ShellCompDirectiveNoFileComp).
const NO_FILES: &str = ":4";

/// The same with "no space after the word", for folders, keys and maps that continue.
const NO_FILES_NO_SPACE: &str = ":6";

/// A longer wait would make the shell feel broken.
const PATIENCE: Duration = Duration::from_secs(2);

/// Print candidates for the last word, one per line with its help after a tab
#[derive(Args, Debug)]
pub struct Arguments {
    /// The words after `kubectl fabric`, the last one being completed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Under the name that kubectl looks for, the program completes: a link is enough to set it up.
pub fn as_kubectl_asks(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let called = arguments
        .first()
        .map(PathBuf::from)
        .and_then(|path| path.file_stem().map(OsStr::to_owned));
    if called.is_some_and(|name| name == KUBECTL_COMPLETE) {
        arguments.insert(1, COMMAND.into());
    }
    arguments
}

/// The command for completion: file names are offered under the same conditions as other names, and
/// values only where the parser accepts them.
pub fn command() -> Command {
    completed(super::command())
}

fn completed(command: Command) -> Command {
    let completer = |argument: &Arg| {
        let paths = match argument.get_value_hint() {
            ValueHint::AnyPath => PathCompleter::any(),
            ValueHint::FilePath => PathCompleter::file(),
            ValueHint::DirPath => PathCompleter::dir(),
            _ => return None,
        };
        let is_bare = argument.get::<ArgValueCompleter>().is_none();
        is_bare.then(|| ArgValueCompleter::new(move |current: &OsStr| plain_paths(&paths, current)))
    };
    let command = command.mut_args(|argument| match completer(&argument) {
        Some(completer) => argument.add(completer),
        None if argument.is_require_equals_set() => behind_equals(argument),
        None => argument,
    });
    command.mut_subcommands(|verb| completed(without_aliases(verb)))
}

/// Aliases are understood, but not offered: of a verb and its alias, the engine offers only one.
fn without_aliases(verb: Command) -> Command {
    let aliases = super::aliases(verb.get_name());
    verb.visible_alias(None).aliases(aliases)
}

/// A flag whose value can only follow a `=` (`--dry-run=server`). The engine would offer values for
/// the next word, so this declares the flag without a value. Text after the `=` is completed
/// anyway.
fn behind_equals(argument: Arg) -> Arg {
    let values = argument.get_possible_values();
    let values = values.iter().map(|value| {
        (
            value.get_name().to_owned(),
            value
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default(),
        )
    });
    let values: Vec<(String, String)> = values.collect();
    argument
        .require_equals(false)
        .hide_possible_values(false)
        .num_args(0)
        .action(ArgAction::SetTrue)
        .value_parser(value_parser!(bool))
        .default_value(Resettable::Reset)
        .default_missing_value(Resettable::Reset)
        .add(ArgValueCompleter::new(move |current: &OsStr| {
            beginning_with(current, values.clone())
        }))
}

fn plain_paths(paths: &PathCompleter, current: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = paths.complete(current);
    candidates.retain(|candidate| candidate.get_value().to_str().is_some_and(is_plain_word));
    candidates
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let mut words = vec![OsString::from("kubectl-fabric")];
    words.extend(arguments.words);
    let under_the_cursor = if words.len() == 1 {
        OsString::new()
    } else {
        words.pop().expect("there are two")
    };
    words.push(under_the_cursor);
    let last = words.len() - 1;
    let current = words[last].to_string_lossy().into_owned();
    let here = std::env::current_dir().ok();
    let candidates = clap_complete::engine::complete(&mut command(), words, last, here.as_deref())
        .unwrap_or_default();
    let (mut lines, mut go_on) = (String::new(), true);
    for candidate in candidates
        .iter()
        .filter(|candidate| !candidate.is_hide_set())
    {
        let value = candidate.get_value().to_string_lossy();
        // As in kubectl's own completion, flags are offered only after a dash.
        if value.starts_with('-') && !current.starts_with('-') {
            continue;
        }
        go_on &= value.ends_with(['/', '.', '=']);
        lines.push_str(&value);
        if let Some(help) = candidate.get_help() {
            lines.push_str(&format!(
                "\t{}",
                help.to_string().lines().next().unwrap_or_default()
            ));
        }
        lines.push('\n');
    }
    let directive = if go_on && !lines.is_empty() {
        NO_FILES_NO_SPACE
    } else {
        NO_FILES
    };
    edge.terminal
        .print_plain(&format!("{lines}{directive}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// For words that only the user can know.
pub fn nothing(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}

/// Names of charts: the embedded ones.
pub fn charts(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut names: Vec<String> = repository::embedded()
        .iter()
        .map(|(name, _, _)| (*name).to_owned())
        .collect();
    names.dedup();
    let mut candidates = beginning_with(
        current,
        names
            .into_iter()
            .map(|name| (name, "embedded chart".to_owned())),
    );
    candidates.extend(plain_paths(&PathCompleter::any(), current));
    candidates
}

/// Names of releases: of `-n`, or of all namespaces.
pub fn releases(current: &OsStr) -> Vec<CompletionCandidate> {
    releases_of(current, |_| true)
}

/// Names of chaincodes: those of their servers' releases, each once.
pub fn chaincodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = releases_of(current, |chart| chart == "chaincode");
    found.sort_by(|one, other| one.get_value().cmp(other.get_value()));
    found.dedup_by(|one, other| one.get_value() == other.get_value());
    found
}

fn releases_of(current: &OsStr, is_wanted: impl Fn(&str) -> bool) -> Vec<CompletionCandidate> {
    let line = CommandLine::read();
    let namespace = line.connection.namespace.clone();
    let entries = ask(&line, async |cluster| {
        storage::list(cluster, namespace.as_deref())
            .await
            .unwrap_or_default()
    });
    let suffix = line
        .connection
        .network
        .as_ref()
        .map(|network| format!("-{network}"))
        .unwrap_or_default();
    beginning_with(
        current,
        entries.into_iter().filter_map(|entry| match entry {
            Entry::Readable(summary)
                if summary.namespace.ends_with(&suffix) && is_wanted(&summary.chart) =>
            {
                let help = format!(
                    "{}-{}, {}",
                    summary.chart, summary.chart_version, summary.status
                );
                Some((summary.release, help))
            }
            Entry::Readable(_) | Entry::Unreadable { .. } => None,
        }),
    )
}

/// Revisions of the release on the command line.
pub fn revisions(current: &OsStr) -> Vec<CompletionCandidate> {
    let line = CommandLine::read();
    let Some(release) = line.release() else {
        return Vec::new();
    };
    let Ok(namespace) = line.connection.namespace_of(&release) else {
        return Vec::new();
    };
    let entries = ask(&line, async |cluster| {
        storage::history(cluster, &namespace, &release)
            .await
            .unwrap_or_default()
    });
    let described = entries
        .iter()
        .rev()
        .filter_map(Entry::summary)
        .map(|summary| {
            (
                summary.revision.to_string(),
                format!("{}: {}", summary.status, summary.description),
            )
        });
    beginning_with(current, described)
}

/// Workloads of the release on the command line, as `KIND/NAME`.
pub fn workloads(current: &OsStr) -> Vec<CompletionCandidate> {
    let line = CommandLine::read();
    let Some(release) = line.release() else {
        return Vec::new();
    };
    let Ok(namespace) = line.connection.namespace_of(&release) else {
        return Vec::new();
    };
    let record = ask(&line, async |cluster| {
        storage::read(cluster, &namespace, &release, None)
            .await
            .ok()
    });
    let inventory = record.map(|record| record.inventory).unwrap_or_default();
    let workloads = inventory
        .iter()
        .filter(|item| readiness::runs_pods(&item.key.kind));
    last_of_list(
        current,
        workloads.map(|item| {
            (
                format!("{}/{}", item.key.kind, item.key.name),
                String::new(),
            )
        }),
    )
}

/// Selectors of releases: keys, and the values that the releases have.
pub fn selectors(current: &OsStr) -> Vec<CompletionCandidate> {
    let line = CommandLine::read();
    let namespace = line.connection.namespace.clone();
    let entries = ask(&line, async |cluster| {
        storage::list(cluster, namespace.as_deref())
            .await
            .unwrap_or_default()
    });
    let summaries = || entries.iter().filter_map(Entry::summary);
    let typed = current.to_string_lossy();
    let (_, last) = typed.rsplit_once(',').unwrap_or(("", &typed));
    let words: BTreeSet<String> = match last.split_once('=') {
        Some((key, _)) => summaries()
            .filter_map(|summary| selector::label(summary, key))
            .map(|value| format!("{key}={value}"))
            .collect(),
        None => {
            let own = summaries().flat_map(|summary| summary.labels.keys().map(String::as_str));
            selector::KEYS
                .into_iter()
                .chain(own)
                .map(|key| format!("{key}="))
                .collect()
        }
    };
    last_of_list(current, words.into_iter().map(|word| (word, String::new())))
}

/// Candidates for the last of several words separated by commas.
fn last_of_list(
    current: &OsStr,
    words: impl IntoIterator<Item = (String, String)>,
) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let before = &typed[..typed.rfind(',').map_or(0, |comma| comma + 1)];
    beginning_with(
        current,
        words
            .into_iter()
            .map(|(word, help)| (format!("{before}{word}"), help)),
    )
}

pub fn namespaces(current: &OsStr) -> Vec<CompletionCandidate> {
    let kind = Kind {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
    };
    let found = ask(&CommandLine::read(), async |cluster| {
        cluster
            .list_metadata(&kind, None, "")
            .await
            .unwrap_or_default()
    });
    let names = found
        .iter()
        .filter_map(|namespace| namespace["metadata"]["name"].as_str());
    beginning_with(current, names.map(|name| (name.to_owned(), String::new())))
}

/// Contexts of the kubeconfig files, without a request to the cluster.
pub fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut names = Vec::new();
    for path in kubeconfigs(&CommandLine::read().connection) {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let Ok(config) = yaml::parse(&text, "kubeconfig") else {
            continue;
        };
        let contexts = config["contexts"].as_array().cloned().unwrap_or_default();
        names.extend(
            contexts
                .iter()
                .filter_map(|context| context["name"].as_str())
                .map(str::to_owned),
        );
    }
    beginning_with(current, names.into_iter().map(|name| (name, String::new())))
}

fn kubeconfigs(connection: &ConnectionArguments) -> Vec<PathBuf> {
    if let Some(path) = &connection.kubeconfig {
        return vec![path.clone()];
    }
    match std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        Some(list) => std::env::split_paths(&list).collect(),
        None => dirs::home_dir()
            .map(|home| home.join(".kube").join("config"))
            .into_iter()
            .collect(),
    }
}

fn beginning_with(
    current: &OsStr,
    candidates: impl IntoIterator<Item = (String, String)>,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fitting = candidates
        .into_iter()
        .filter(|(value, _)| value.starts_with(&*current) && is_plain_word(value));
    let described = fitting.map(|(value, help)| (value, plain_help(&help)));
    described
        .map(|(value, help)| {
            CompletionCandidate::new(value).help((!help.is_empty()).then(|| help.into()))
        })
        .collect()
}

/// Whether every shell reads this as one literal word.
fn is_plain_word(word: &str) -> bool {
    let is_plain = |c: char| (c.is_alphanumeric() || "-_./:@%+,=~".contains(c)) && !is_harmful(c);
    !word.starts_with(['-', '=']) && word.chars().all(is_plain)
}

/// A description on one line, without characters that a shell uses to quote or expand: bash expands
/// the argument of `compgen -W`.
fn plain_help(help: &str) -> String {
    one_line(help)
        .chars()
        .filter(|c| !"$`\\\"'<>|&;!*?#(){}[]".contains(*c))
        .collect()
}

/// Asks the cluster, with a short time limit.
fn ask<T: Default>(line: &CommandLine, question: impl AsyncFnOnce(&Cluster) -> T) -> T {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return T::default();
    };
    runtime.block_on(async {
        let answer = async {
            match Cluster::connect(&line.connection.connection(true)).await {
                Ok(cluster) => question(&cluster).await,
                Err(_) => T::default(),
            }
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_default()
    })
}
