//! Errors for arguments that the parser rejects. The parser's suggestions are adapted to this
//! program, which differs from Helm in some words and in their order.

use crate::error::{Error, nearest};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Verbs of Helm and kubectl that do not exist here, and their replacements.
const ELSEWHERE: [(&[&str], &str); 11] = [
    (
        &["show", "inspect"],
        "`kubectl fabric charts show CHART` shows a chart, `kubectl fabric status RELEASE` a release",
    ),
    (
        &["create"],
        "`kubectl fabric charts export CHART` copies a chart to start from",
    ),
    (
        &["pull", "fetch"],
        "`kubectl fabric charts export CHART` writes a chart's files to a folder",
    ),
    (
        &["repo", "search", "registry", "push"],
        "there are no repositories: use an embedded chart, a folder or a .tgz; `kubectl fabric \
         charts list` lists the charts",
    ),
    (
        &["package"],
        "a folder is used as it is; `tar -czf CHART-VERSION.tgz CHART` makes an archive of it",
    ),
    (&["dependency", "dep"], "charts have no dependencies"),
    (
        &["env"],
        "settings are flags; only KUBECONFIG and KUBECTL_FABRIC_DATA_HOME are read from the environment",
    ),
    (&["plugin"], "this program has no plugins"),
    (
        &["apply"],
        "`kubectl fabric up -f FILE` brings up a network, `kubectl fabric upgrade RELEASE --install` one release",
    ),
    (
        &["describe"],
        "`kubectl fabric status RELEASE` shows the nodes of a release and why one is not ready",
    ),
    (
        &["logs"],
        "`kubectl logs NODE-0 -n NAMESPACE` prints a node's log, `kubectl fabric chaincode logs CHAINCODE` that of a chaincode",
    ),
];

/// Replaces the parser's suggestions for an unknown verb.
pub fn advise(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand).cloned()
    else {
        return error;
    };
    let guesses = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(guesses)) => guesses,
        _ => Vec::new(),
    };
    // The parser suggests `--`, which no verb takes.
    error.remove(ContextKind::Suggested);
    let usage = error
        .get(ContextKind::Usage)
        .map(ToString::to_string)
        .unwrap_or_default();
    let parent = usage
        .split_whitespace()
        .skip_while(|part| *part != "fabric")
        .nth(1)
        .unwrap_or_default();
    let elsewhere = || {
        ELSEWHERE
            .iter()
            .find(|(words, _)| words.contains(&&*word))
            .map(|(_, tip)| (*tip).to_owned())
    };
    match order(parent, &word, &guesses)
        .or_else(|| if is_verb(parent) { None } else { elsewhere() })
    {
        Some(tip) => {
            error.insert(
                ContextKind::Suggested,
                ContextValue::StyledStrs(vec![StyledStr::from(tip)]),
            );
        }
        // The parser's best suggestion comes last.
        None => {
            if let Some(near) = nearest(&word, guesses.iter().map(String::as_str))
                .or(guesses.last().map(String::as_str))
            {
                error.insert(
                    ContextKind::SuggestedSubcommand,
                    ContextValue::Strings(vec![near.to_owned()]),
                );
            }
        }
    }
    error
}

/// Returns true if the parser's report is the help or the version that the user asked for.
pub fn is_help(report: &clap::Error) -> bool {
    matches!(
        report.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Returns true if the arguments ask for JSON with `-o` or `--events`. This must be known before
/// they can be parsed: programs that read JSON get usage errors in the same form as all others.
pub fn asks_for_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    let flags = words.iter().position(|word| word == "--");
    let words = &words[..flags.unwrap_or(words.len())];
    let joined = ["-ojson", "-o=json", "--output=json", "--events=json"];
    words.iter().any(|word| joined.contains(&&**word))
        || words
            .windows(2)
            .any(|pair| ["-o", "--output", "--events"].contains(&&*pair[0]) && pair[1] == "json")
}

/// The parser's report as an error of this program: its tips and the usage line become hints.
pub fn error(report: &clap::Error) -> Error {
    let text = report.to_string();
    let mut parts = text.trim().split("\n\n").map(one_line);
    let what = parts.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    parts
        .filter(|part| !part.starts_with("For more information"))
        .map(|part| part.strip_prefix("tip: ").unwrap_or(&part).to_owned())
        .fold(Error::user(what), |error, hint| error.hint(hint))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_verb(name: &str) -> bool {
    super::command().find_subcommand(name).is_some()
}

/// `get org1 values`: the release is in the place of the subcommand. `None` if the word is a
/// misspelled subcommand, or the verb has none.
fn order(verb: &str, word: &str, guesses: &[String]) -> Option<String> {
    if nearest(word, guesses.iter().map(String::as_str)).is_some() {
        return None;
    }
    let command = super::command();
    let parts: Vec<&str> = command
        .find_subcommand(verb)?
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    let first = parts.first()?;
    Some(format!(
        "`kubectl fabric {verb} {first} {word}`: one of {} comes first",
        parts.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(words: &str) -> String {
        let words = ["kubectl-fabric"].into_iter().chain(words.split(' '));
        advise(
            crate::commands::parse(words.map(Into::into))
                .map(|_| ())
                .expect_err("no command"),
        )
        .to_string()
    }

    #[test]
    fn words_of_other_programs_lead_to_a_verb_that_exists() {
        for (words, tip) in ELSEWHERE {
            for word in words {
                assert!(!is_verb(word), "{word} is a verb now");
                let report = report(&format!("{word} x"));
                assert!(
                    report.contains(tip) && report.matches("tip:").count() == 1,
                    "{report}"
                );
            }
            for named in tip.split("`kubectl fabric ").skip(1) {
                let line: Vec<&str> = named
                    .split('`')
                    .next()
                    .unwrap_or_default()
                    .split(' ')
                    .collect();
                let verb = crate::commands::command()
                    .find_subcommand(line[0])
                    .unwrap_or_else(|| panic!("{tip}"))
                    .clone();
                assert!(
                    !verb.has_subcommands() || verb.find_subcommand(line[1]).is_some(),
                    "{tip}"
                );
            }
        }
    }

    #[test]
    fn json_is_recognized_in_arguments_that_do_not_parse() {
        let asks =
            |line: &str| asks_for_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "lsit -o json",
            "list -ojson --nope",
            "list --output=json",
            "install --events json",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in ["list -o yaml", "list json", "list -- -o json", "-o"] {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn the_nearest_verb_is_the_only_guess() {
        for (typo, verb) in [
            ("instal", "install"),
            ("upgrad", "upgrade"),
            ("get valeus", "values"),
            ("hsitory", "history"),
        ] {
            let report = report(&format!("{typo} org1"));
            assert!(
                report.contains(&format!("'{verb}'")) && report.matches("tip:").count() == 1,
                "{report}"
            );
        }
    }

    #[test]
    fn a_release_before_the_part_is_reported_the_order() {
        for (line, right) in [
            ("get org1 values", "`kubectl fabric get all org1`"),
            ("diff org1", "`kubectl fabric diff upgrade org1`"),
        ] {
            let report = report(line);
            assert!(
                report.contains(right)
                    && report.contains("comes first")
                    && report.matches("tip:").count() == 1,
                "{report}"
            );
        }
    }
}
