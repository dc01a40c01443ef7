//! The command line so far.

use super::COMMAND;
use crate::commands;
use crate::commands::arguments::ConnectionArguments;
use clap::{Arg, Command};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The words of the line. A completer receives only the word under the cursor, so the connection
/// flags are read from the whole line.
pub(super) struct CommandLine {
    pub connection: ConnectionArguments,
    /// The words that are not verbs, flags or values of flags.
    pub names: Vec<String>,
}

impl CommandLine {
    pub fn read() -> CommandLine {
        CommandLine::of(
            std::env::args()
                .skip(1)
                .filter(|word| word != COMMAND && word != "--")
                .collect(),
        )
    }

    /// Separates the values of flags from other words, using the flags of each verb.
    pub fn of(words: Vec<String>) -> CommandLine {
        let mut command = commands::command();
        command.build();
        let mut command = &command;
        let (mut flags, mut names) = (BTreeMap::new(), Vec::new());
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if let Some((id, value)) = flag(command, &word) {
                flags.extend(value.or_else(|| words.next()).map(|value| (id, value)));
            } else if !word.starts_with('-') {
                match command.find_subcommand(&word) {
                    Some(verb) => command = verb,
                    // The program's own name, passed by a shell's script.
                    None if command.get_name() == "kubectl-fabric" => {}
                    None => names.push(word),
                }
            }
        }
        let mut of = |id: &str| flags.remove(id).filter(|value| !value.is_empty());
        let connection = ConnectionArguments {
            namespace: of("namespace"),
            network: of("network"),
            kubeconfig: of("kubeconfig").map(PathBuf::from),
            context: of("context"),
            cluster: of("cluster"),
            user: of("user"),
            ..ConnectionArguments::default()
        };
        CommandLine { connection, names }
    }

    pub fn release(&self) -> Option<String> {
        self.names.first().cloned()
    }
}

/// The flag in a word if it takes a value, with the value if it is in the same word:
/// `--context=prod`, `-nshops`.
fn flag(command: &Command, word: &str) -> Option<(String, Option<String>)> {
    let found =
        |is_it: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|argument| is_it(argument));
    let of = |argument: &Arg, value: Option<&str>| {
        let takes_one = argument.get_action().takes_values()
            && (value.is_some() || !argument.is_require_equals_set());
        takes_one.then(|| (argument.get_id().to_string(), value.map(str::to_owned)))
    };
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long
            .split_once('=')
            .map_or((long, None), |(name, value)| (name, Some(value)));
        let is_it = |argument: &Arg| {
            argument.get_long() == Some(name)
                || argument
                    .get_all_aliases()
                    .is_some_and(|aliases| aliases.contains(&name))
        };
        return of(found(&is_it)?, value);
    }
    // In a group of flags (`-iv 6`), only the last one may take a value.
    let letters = word.strip_prefix('-')?;
    letters.char_indices().find_map(|(at, letter)| {
        let rest = &letters[at + letter.len_utf8()..];
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        of(
            found(&|argument| argument.get_short() == Some(letter))?,
            Some(rest).filter(|rest| !rest.is_empty()),
        )
    })
}
