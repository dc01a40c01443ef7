//! The reference of commands is the help itself, written down; and the help has Helm's and
//! kubectl's flags.
//!
//! The reference of guards is their table, and that of a chart its schema. `BLESS=1` writes all of
//! docs/reference/ that is written so anew.

use clap::Command;
use kubectl_fabric::chart::{Chart, repository};
use kubectl_fabric::commands;
use kubectl_fabric::fabric::guard::RULES;
use kubectl_fabric::network;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The command line with the global flags in every verb.
fn built() -> Command {
    let mut command = commands::command();
    command.build();
    command
}

#[test]
fn the_reference_of_commands_is_current() {
    let mut text = String::from(
        "# Commands\n\nWritten by the program: `kubectl fabric VERB --help` says the same. The flags under \"Kubernetes\" are kubectl's, \
         come after the verb, and are shown here once; every verb that reaches a cluster takes them.\n\n",
    );
    write_command(&built(), true, &mut text);
    is_current("docs/reference/commands.md", &text);
}

#[test]
fn the_reference_of_guards_is_current() {
    let mut text = String::from(GUARDS);
    text.push_str("| rule | program | from | to | verdict |\n|---|---|---|---|---|\n");
    for rule in RULES {
        let (components, from, to) = rule.words();
        writeln!(
            text,
            "| {} | {components} | {from} | {to} | {} |",
            rule.id, rule.verdict
        )
        .unwrap();
    }
    text.push_str("\n## Reasons and ways out\n");
    let mut last = "";
    for rule in RULES {
        if rule.id != last {
            write!(text, "\n### {}\n", rule.id).unwrap();
            last = rule.id;
        }
        let (components, from, to) = rule.words();
        write!(
            text,
            "\n**{}**: {components}, from {from}, to {to}. Because {}.\n",
            rule.verdict, rule.reason
        )
        .unwrap();
        if !rule.way_out.is_empty() {
            write!(text, "\nWay out: {}.\n", rule.way_out).unwrap();
        }
        write!(text, "\nSource: {}\n", rule.source).unwrap();
    }
    is_current("docs/reference/guards.md", &text);
}

#[test]
fn the_reference_of_network_files_is_current() {
    is_current("docs/reference/network.md", &network::reference::page());
    let schema = serde_json::to_string_pretty(&network::reference::schema()).unwrap();
    is_current("docs/reference/network.schema.json", &(schema + "\n"));
}

const GUARDS: &str = "\
# Guards: the rules for upgrades and rollbacks

This page is generated from the table in `src/fabric/guard/table.rs`.

Before an upgrade, a rollback, or an install over existing volumes, the guards compare the running
software with the manifest: images and settings. The running images are those of live pods. If a pod
does not exist or never started, they are those in the release's records. One error reports all
rules that apply. `diff upgrade`, `diff rollback` and `--dry-run` report them, too, and change
nothing.

| verdict | result |
|---|---|
| allow | the operation continues |
| warn | the operation continues, and a warning says what to check |
| needs action | the operation is refused (status 4) until you did the manual work that the rule requires, and confirm it with `--force RULE` |
| block | the operation is refused (status 4); `--force RULE` overrides it |

`--force` names a rule and overrides only that rule. You can repeat it. The release's record lists
the rules that a revision overrode, and `history` shows them. A step between two versions that no
rule covers is refused (U00).

Versions are read from image tags (`2.5.16`, `x86_64-1.0.0`, `1.4`). An image with another name, or
with only a digest, has no version. For a peer or orderer, the guards then use the Fabric version in
the values (`fabricVersion`) and print a warning. Other images cannot be checked, and a warning says
so.

The guards also check the values of a live organization: its identity, once a node has run (U33 to
U37), and the removal of members, compared with the deployed revision (U38, U39). They look up
objects that pods refer to and that the release does not create (U40). If they cannot read these
objects, a warning says so.

Some things are not visible from outside a node: chaincode, system channels, capability levels of
channels, backups. The rules that depend on them ask you. If the release and its records are gone,
the Fabric version that wrote to a volume is unknown, too. An install over such a volume prints a
warning.

## Table

";

/// Compares a page with what it should be; `BLESS=1` writes it.
fn is_current(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{page} is not what the program says: BLESS=1 cargo test --test reference"
    );
}

fn write_command(command: &Command, top: bool, text: &mut String) {
    let shown = command.clone().mut_args(|argument| {
        if argument.is_global_set() && !top {
            argument.hide(true)
        } else {
            argument
        }
    });
    let help = shown.term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let name = command
        .get_bin_name()
        .unwrap_or("kubectl fabric")
        .replace("kubectl-fabric", "kubectl fabric");
    write!(
        text,
        "## {name}\n\n```text\n{}\n```\n\n",
        lines.join("\n").trim_end()
    )
    .unwrap();
    for verb in command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        write_command(verb, false, text);
    }
}

fn has(command: &Command, flag: &str) -> bool {
    command
        .get_arguments()
        .any(|argument| match flag.strip_prefix("--") {
            Some(long) => {
                argument
                    .get_long_and_visible_aliases()
                    .is_some_and(|names| names.contains(&long))
                    || argument
                        .get_all_aliases()
                        .is_some_and(|names| names.contains(&long))
            }
            None => {
                flag.strip_prefix('-')
                    .and_then(|short| short.chars().next())
                    == argument.get_short()
            }
        })
}

fn find(path: &str) -> Command {
    path.split(' ').fold(built(), |command, verb| {
        command
            .find_subcommand(verb)
            .unwrap_or_else(|| panic!("there is no verb {verb} ({path})"))
            .clone()
    })
}

/// Helm's flags that mean something for charts that come with the program, by verb.
const HELM: &[(&str, &str)] = &[
    (
        "install",
        "--create-namespace --dry-run --hide-secret --force-conflicts --take-ownership --wait --wait-for-jobs --timeout \
         --rollback-on-failure --atomic --no-hooks -f --values --set --set-string --set-json --set-file --set-literal \
         --skip-schema-validation --description --hide-notes --version -o --output -l --labels --post-renderer --post-renderer-args",
    ),
    (
        "upgrade",
        "-i --install --create-namespace --dry-run --hide-secret --force-conflicts --take-ownership --wait --wait-for-jobs --timeout \
         --rollback-on-failure --atomic --cleanup-on-fail --no-hooks --history-max --reset-values --reuse-values \
         --reset-then-reuse-values -f --values --set --set-string --set-json --set-file --set-literal --skip-schema-validation \
         --description --hide-notes --version -o --output -l --labels --post-renderer --post-renderer-args",
    ),
    (
        "rollback",
        "--dry-run --force-conflicts --wait --wait-for-jobs --timeout --cleanup-on-fail --no-hooks --history-max --description",
    ),
    (
        "uninstall",
        "--dry-run --wait --timeout --no-hooks --description --keep-history --ignore-not-found",
    ),
    (
        "list",
        "-A --all-namespaces -q --short --no-headers --time-format -d --date -r --reverse -m --max --offset -f --filter -l \
         --selector --deployed --failed --pending --superseded --uninstalled --uninstalling -o --output",
    ),
    ("history", "--max -o --output"),
    ("status", "--revision -o --output -w --watch"),
    ("get all", "--revision"),
    ("get values", "--revision -a --all -o --output"),
    ("get manifest", "--revision"),
    ("get hooks", "--revision"),
    ("get notes", "--revision"),
    ("get metadata", "--revision -o --output"),
    (
        "template",
        "-s --show-only --output-dir --release-name --skip-tests --is-upgrade --kube-version -a --api-versions --no-hooks \
         -f --values --set --set-string --set-json --set-file --set-literal --skip-schema-validation --version --post-renderer --post-renderer-args",
    ),
    (
        "lint",
        "--strict --quiet --skip-schema-validation --kube-version -f --values --set",
    ),
    ("test", "--timeout --logs --filter"),
    (
        "diff upgrade",
        "--detailed-exitcode --allow-unreleased --install -C",
    ),
    ("diff rollback", "--detailed-exitcode -C"),
    ("diff revision", "--detailed-exitcode -C"),
    ("version", "--short"),
];

/// Helm's flags that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "--generate-name",
        "a release's name is its namespace and its organization's address",
    ),
    ("--name-template", "as --generate-name"),
    (
        "--replace",
        "install takes an uninstalled name anyway; `upgrade --install` repairs a failed one",
    ),
    ("--server-side", "objects are always applied by the server"),
    (
        "--force-replace",
        "immutable fields are found before the first write: --recreate",
    ),
    ("--enable-dns", "templates ask nobody"),
    ("--skip-crds", "the charts bring no definitions of kinds"),
    ("--cascade", "pods and volumes are handled by kind"),
    (
        "--disable-openapi-validation",
        "the server checks every object strictly before the first write",
    ),
    ("--dependency-update", "charts have no dependencies"),
    (
        "--repo",
        "charts come with the program, as files, or from the user's own folder",
    ),
];

#[test]
fn helm_s_flags_are_there() {
    for (path, flags) in HELM {
        let command = find(path);
        let missing: Vec<&str> = flags
            .split_whitespace()
            .filter(|flag| !has(&command, flag))
            .collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
    }
}

#[test]
fn what_is_left_out_of_helm_is_left_out_on_purpose() {
    for (flag, why) in LEFT_OUT {
        for verb in ["install", "upgrade", "rollback", "uninstall"] {
            assert!(
                !has(&find(verb), flag),
                "{flag} is there now, although: {why}"
            );
        }
    }
}

#[test]
fn kubectl_s_connection_flags_are_in_every_verb() {
    let flags = "--kubeconfig --context --cluster --user -n --namespace --server --token --as --as-group --as-uid \
                 --certificate-authority --client-certificate --client-key --insecure-skip-tls-verify --tls-server-name \
                 --request-timeout --disable-compression -v";
    for verb in built()
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        let missing: Vec<&str> = flags
            .split_whitespace()
            .filter(|flag| !has(verb, flag))
            .collect();
        assert!(missing.is_empty(), "{}: {missing:?}", verb.get_name());
        // Helm's -s of template is --show-only.
        assert!(has(verb, "-s"), "{}", verb.get_name());
    }
}

#[test]
fn every_verb_and_flag_explains_itself() {
    fn walk(command: &Command) {
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {}",
                command.get_name(),
                argument.get_id()
            );
        }
        for verb in command.get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            walk(verb);
        }
    }
    let command = commands::command();
    walk(&command);
    command.debug_assert();
}

/// Files that tell people what to type.
const PAGES: [&str; 8] = [
    "README.md",
    "docs/README.md",
    "docs/values.md",
    "docs/fabric.md",
    "docs/charts.md",
    "docs/concepts/glossary.md",
    "docs/reference/commands.md",
    "docs/reference/exit-status.md",
];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_command_line_of_the_documentation_is_one() {
    let mut seen = 0;
    for name in PAGES {
        for (number, line) in page(name).lines().enumerate() {
            let Some(words) = command_line(line) else {
                continue;
            };
            seen += 1;
            match commands::command().try_get_matches_from(words) {
                Err(error) if error.use_stderr() => {
                    panic!("{name}:{}: {line}\n{error}", number + 1)
                }
                _ => {}
            }
        }
    }
    assert!(seen > 60, "only {seen} command lines were found");
}

/// The words of a line that is `kubectl fabric ...`, without the shell's part of it and what is
/// said about it.
fn command_line(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start();
    let line = line
        .strip_prefix("$ ")
        .unwrap_or(line)
        .strip_prefix("kubectl fabric ")?;
    let end = ["  ", " #", " | ", " || ", " >", " && "]
        .iter()
        .filter_map(|mark| line.find(mark))
        .min()
        .unwrap_or(line.len());
    let mut words = vec!["kubectl-fabric".to_owned()];
    let (mut word, mut quoted) = (None::<String>, false);
    for c in line[..end].chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[test]
fn every_link_of_the_documentation_leads_to_a_file() {
    for name in
        PAGES
            .into_iter()
            .chain(["ARCHITECTURE.md", "CHANGELOG.md", "tests/cluster/README.md"])
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(name)
            .parent()
            .expect("a folder")
            .to_owned();
        let text = page(name);
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or_default();
            assert!(folder.join(file).exists(), "{name}: there is no {link}");
        }
    }
}

#[test]
fn the_pages_of_charts_are_current() {
    for (name, version, _) in repository::embedded()
        .iter()
        .filter(|(name, version, _)| newest(name) == *version)
    {
        let chart = repository::find(name, Some(version)).unwrap();
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/reference/charts/{name}.md"));
        let text = chart_page(&chart);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "docs/reference/charts/{name}.md is not what the schema says: BLESS=1 cargo test --test reference"
        );
    }
}

fn newest(chart: &str) -> &'static str {
    let versions = repository::embedded()
        .iter()
        .filter(|(name, ..)| *name == chart);
    versions
        .map(|(_, version, _)| *version)
        .max_by_key(|version| semver::Version::parse(version).unwrap())
        .unwrap()
}

/// The page of one chart: a section per part of its values, in the schema's order.
fn chart_page(chart: &Chart) -> String {
    let schema = chart.schema.as_ref().expect("each chart has a schema");
    let mut text = format!(
        "# Chart {} {}\n\n{}.\n\nWritten from `values.schema.json`, which every value is checked against; `kubectl fabric values explain` says \
         where a value comes from.\n\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n",
        chart.metadata.name, chart.metadata.version, chart.metadata.description
    );
    rows(schema, "", &mut text);
    text
}

fn rows(schema: &Value, path: &str, text: &mut String) {
    for (key, property) in schema["properties"].as_object().unwrap() {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let meaning = cell(property["description"].as_str().unwrap());
        if property.get("properties").is_some() {
            writeln!(text, "| **`{path}`** | | | {meaning} | |").unwrap();
            rows(property, &path, text);
            continue;
        }
        let mut kind = property["type"].as_str().unwrap().to_owned();
        if let Some(choices) = property.get("enum").and_then(Value::as_array) {
            kind = choices.iter().map(code).collect::<Vec<_>>().join(" ");
        } else if let (Some(least), Some(most)) = (property.get("minimum"), property.get("maximum"))
        {
            write!(kind, ", {least} to {most}").unwrap();
        } else if let Some(items) = property
            .pointer("/items/type")
            .or(property.pointer("/additionalProperties/type"))
        {
            let items = items
                .as_array()
                .map_or_else(|| vec![items], |all| all.iter().collect());
            write!(
                kind,
                " of {}",
                items
                    .iter()
                    .filter_map(|item| item.as_str())
                    .collect::<Vec<_>>()
                    .join(" or ")
            )
            .unwrap();
        }
        if property["x-secret"] == true {
            kind.push_str(", secret");
        }
        let example = property
            .pointer("/examples/0")
            .map(code)
            .unwrap_or_default();
        writeln!(
            text,
            "| `{path}` | {} | {} | {meaning} | {example} |",
            cell(&kind),
            code(&property["default"])
        )
        .unwrap();
    }
}

/// A value as YAML has it on one line, in a table.
fn code(value: &Value) -> String {
    match value {
        Value::String(plain) if !plain.is_empty() => format!("`{}`", cell(plain)),
        other => format!("`{}`", cell(&other.to_string())),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
