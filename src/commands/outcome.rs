//! Runs an operation and prints its outcome: the same for install, upgrade, rollback and uninstall.

use super::arguments::Format;
use super::arguments::operation::EventFormat;
use super::release_document as document;
use super::rendering;
use super::{Edge, leave};
use crate::deploy::{self, Context, Intent, Options, Outcome};
use crate::error::{Error, Result};
use crate::manifest;
use crate::plan::{Action, Plan, Step};
use crate::release::{ReleaseName, command};
use crate::terminal::{Table, Text};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Install,
    Upgrade,
    Rollback,
    Uninstall,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Verb::Install => "install",
            Verb::Upgrade => "upgrade",
            Verb::Rollback => "rollback",
            Verb::Uninstall => "uninstall",
        }
    }
}

/// Beyond this number, names are counted instead of listed; `-o json` has them all.
const LISTED: usize = 40;

pub struct Operation {
    pub release: ReleaseName,
    pub intent: Intent,
    pub options: Options,
    pub events: Option<EventFormat>,
    pub stdin_in_use: bool,
}

/// Adds the state after a failure to read files that the arguments name.
pub fn untouched(error: Error) -> Error {
    error.now("nothing was sent to the cluster")
}

impl Operation {
    pub fn run(self, edge: &Edge) -> Result<Outcome> {
        if self.events.is_some() {
            edge.terminal.stream_events();
        }
        let Operation {
            release,
            intent,
            options,
            stdin_in_use,
            ..
        } = self;
        let namespace = edge.connection.namespace_of(release.as_str())?;
        let now = edge.now;
        edge.operate(stdin_in_use, async |cluster, interrupted| {
            let progress = edge.terminal.progress();
            let context = Context {
                cluster,
                release,
                namespace,
                now,
                progress: &*progress,
                interrupted,
            };
            deploy::run(context, intent, options).await
        })
    }
}

/// Prints the outcome. Warnings and the next useful command go to stderr.
pub fn print(
    edge: &Edge,
    verb: Verb,
    outcome: Outcome,
    format: Format,
    hide_notes: bool,
) -> Result<ExitCode> {
    let printed = report(edge, verb, &outcome, format, hide_notes).map_err(|error| {
        let summary = &outcome.summary;
        error.now(match outcome.dry_run {
            true => "nothing was changed".to_owned(),
            false => format!(
                "the {} is done: revision {} of \"{}\" is {}",
                verb.word(),
                summary.revision,
                summary.release,
                summary.status
            ),
        })
    });
    leave(outcome);
    printed
}

fn report(
    edge: &Edge,
    verb: Verb,
    outcome: &Outcome,
    format: Format,
    hide_notes: bool,
) -> Result<ExitCode> {
    let terminal = &edge.terminal;
    // An operation prints its warnings before it writes.
    for warning in outcome.warnings.iter().filter(|_| outcome.dry_run) {
        terminal.warn(warning);
    }
    if !format.is_table() {
        terminal.print_named(format, &as_document(outcome, hide_notes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let namespace = &outcome.summary.namespace;
    terminal.print(headline(verb, outcome))?;
    if verb != Verb::Uninstall {
        terminal.print(document::status_block(&outcome.summary))?;
        if let Some(origin) = &outcome.chart_origin {
            terminal.print(format!(
                "CHART SOURCE: {}\n",
                document::chart_source(origin)
            ))?;
        }
    }
    terminal.print(changes_in_words(&outcome.plan, namespace, outcome.dry_run))?;
    terminal.print(hooks_in_words(&outcome.plan, namespace, outcome.dry_run))?;
    terminal.print(values_in_words(&outcome.changed_values))?;
    terminal.print(identities_in_words(outcome))?;
    terminal.print(kept_in_words(&outcome.plan, namespace))?;
    if outcome.dry_run && !outcome.objects.is_empty() {
        let objects = rendering::masked(&outcome.objects, &outcome.hooks, &outcome.masker);
        terminal.print("MANIFEST:\n")?;
        terminal.print_plain(&manifest::to_yaml(&outcome.summary.chart, &objects))?;
    }
    let notes = !hide_notes && !outcome.notes.trim().is_empty();
    if notes {
        terminal.print("NOTES:\n")?;
        terminal.print_plain(&format!("{}\n", outcome.notes.trim_end()))?;
    }
    // The notes contain the next steps.
    if let Some(next) = next(verb, outcome).filter(|_| !notes) {
        terminal.note(&next);
    }
    Ok(ExitCode::SUCCESS)
}

fn headline(verb: Verb, outcome: &Outcome) -> String {
    let summary = &outcome.summary;
    let release = &summary.release;
    if outcome.dry_run {
        return format!("Dry run for release \"{release}\": nothing was written.\n");
    }
    match verb {
        Verb::Install => format!("Release \"{release}\" has been installed.\n"),
        Verb::Upgrade => format!("Release \"{release}\" has been upgraded.\n"),
        Verb::Rollback => match summary.rollback_to {
            Some(revision) => {
                format!("Release \"{release}\" has been rolled back to revision {revision}.\n")
            }
            None => format!("Release \"{release}\" has been rolled back.\n"),
        },
        Verb::Uninstall => format!("release \"{release}\" uninstalled\n"),
    }
}

fn next(verb: Verb, outcome: &Outcome) -> Option<String> {
    let command = |of: &str| command(of, &outcome.summary.release, &outcome.summary.namespace);
    match (verb, outcome.dry_run) {
        (Verb::Upgrade, true) => Some(format!(
            "next: `{}` shows the changes in full",
            command("diff upgrade")
        )),
        (_, true) | (Verb::Uninstall, false) => None,
        (Verb::Install, false) => Some(format!("next: `{}` shows its nodes", command("status"))),
        (_, false) => Some(format!(
            "next: `{}` shows its revisions",
            command("history")
        )),
    }
}

fn word(action: Action, dry_run: bool) -> &'static str {
    match (action, dry_run) {
        (Action::Create, true) => "to create",
        (Action::Create, false) => "created",
        (Action::Change, true) => "to change",
        (Action::Change, false) => "changed",
        (Action::Recreate, true) => "to recreate",
        (Action::Recreate, false) => "recreated",
        (Action::Prune, true) => "to delete",
        (Action::Prune, false) => "deleted",
        (Action::Unchanged, _) => "unchanged",
        (Action::Keep, _) => "kept",
    }
}

fn changes_in_words(plan: &Plan, namespace: &str, dry_run: bool) -> Text {
    let actions = [
        Action::Create,
        Action::Change,
        Action::Recreate,
        Action::Prune,
        Action::Unchanged,
    ];
    let counts: Vec<String> = actions
        .into_iter()
        .map(|action| (plan.count(action), action))
        .filter(|(count, _)| *count > 0)
        .map(|(count, action)| format!("{count} {}", word(action, dry_run)))
        .collect();
    let counts = if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    };
    let changed = plan
        .steps
        .iter()
        .filter(|step| !matches!(step.action, Action::Unchanged | Action::Keep));
    let mut text = Text::from(format!("CHANGES: {counts}\n"));
    text.append(&by_kind(changed, namespace, |action| {
        format!("{} ", word(action, dry_run))
    }));
    text
}

/// One line for each hook, in the order in which they run.
fn hooks_in_words(plan: &Plan, namespace: &str, dry_run: bool) -> Text {
    let mut text = Text::default();
    if plan.hooks.is_empty() {
        return text;
    }
    let mut table = Table::new(["", ""]);
    for hook in &plan.hooks {
        let step = &hook.step;
        let why = if step.action == Action::Change && !step.why.is_empty() {
            format!(": {}", step.why)
        } else {
            String::new()
        };
        let what = format!(
            "{} {} ({}{why})",
            step.key.kind,
            name_in(step, namespace),
            word(step.action, dry_run)
        );
        table.row([format!("  {}", hook.events_in_words()).into(), what.into()]);
    }
    text.push("HOOKS:\n");
    text.append(&table.text_without_headers());
    text
}

fn kept_in_words(plan: &Plan, namespace: &str) -> Text {
    let mut text = Text::default();
    if plan.count(Action::Keep) > 0 {
        text.push("KEPT:\n");
        text.append(&by_kind(plan.with(Action::Keep), namespace, |_| {
            String::new()
        }));
    }
    text
}

/// One line per kind and change, with the names in the order of the plan.
fn by_kind<'a>(
    steps: impl Iterator<Item = &'a Step>,
    namespace: &str,
    word: impl Fn(Action) -> String,
) -> Text {
    let mut lines: Vec<(&Step, Vec<String>)> = Vec::new();
    for step in steps {
        let name = name_in(step, namespace);
        let alike = |it: &Step| {
            (it.action, &it.key.kind, &it.why) == (step.action, &step.key.kind, &step.why)
        };
        match lines.iter_mut().find(|(first, _)| alike(first)) {
            Some((_, names)) => names.push(name),
            None => lines.push((step, vec![name])),
        }
    }
    let mut table = Table::new(["", ""]);
    for (step, names) in lines {
        let why = if names_its_reason(step) {
            format!(" ({})", step.why)
        } else {
            String::new()
        };
        table.row([
            format!("  {}{}", word(step.action), step.key.kind).into(),
            (list_of(&names) + &why).into(),
        ]);
    }
    table.text_without_headers()
}

/// The name of an object, with its namespace only if that differs.
fn name_in(step: &Step, namespace: &str) -> String {
    match &step.key.namespace {
        Some(other) if other != namespace => format!("{other}/{}", step.key.name),
        _ => step.key.name.clone(),
    }
}

/// Whether to print the reason: a requested deletion needs none.
fn names_its_reason(step: &Step) -> bool {
    !step.why.is_empty() && step.action != Action::Prune
}

fn list_of(names: &[String]) -> String {
    match names.len() {
        0..=LISTED => names.join(", "),
        many => format!("{} and {} more", names[..LISTED].join(", "), many - LISTED),
    }
}

/// The number of new keys, the purpose of generated ones, and the number of renewed certificates.
fn identities_in_words(outcome: &Outcome) -> String {
    let secrets = |count: usize| {
        if count == 1 {
            "1 Secret".to_owned()
        } else {
            format!("{count} Secrets")
        }
    };
    let tense = if outcome.dry_run { "to be " } else { "" };
    let made = match (outcome.new_identities, outcome.generated_identities) {
        (0, _) => String::new(),
        (new, true) => {
            format!(
                "{}, {tense}generated for development; for production, provide your own with --crypto-config",
                secrets(new)
            )
        }
        (new, false) => format!("{} {tense}made", secrets(new)),
    };
    let renewed = match outcome.renewed_identities {
        0 => String::new(),
        renewed => format!("{} {tense}renewed", secrets(renewed)),
    };
    let lines = [made, renewed].into_iter().filter(|line| !line.is_empty());
    lines.map(|line| format!("IDENTITIES: {line}\n")).collect()
}

/// Names of values only: a value may be secret.
fn values_in_words(changed: &[String]) -> String {
    if changed.is_empty() {
        String::new()
    } else {
        format!("VALUES CHANGED: {}\n", list_of(changed))
    }
}

fn as_document(outcome: &Outcome, hide_notes: bool) -> Value {
    let notes = if hide_notes { "" } else { &outcome.notes };
    let mut document = document::release(&outcome.summary, notes);
    if let Some(origin) = &outcome.chart_origin {
        document["chartSource"] = document::chart_source_document(origin);
    }
    document["changes"] = document::changes(&outcome.plan);
    document["hookChanges"] = document::hook_changes(&outcome.plan);
    document["changedValues"] = json!(outcome.changed_values);
    document["generatedIdentities"] = json!(outcome.generated_identities);
    document["renewedIdentities"] = json!(outcome.renewed_identities);
    document["kept"] = json!(outcome.kept);
    document["warnings"] = json!(outcome.warnings);
    document["dryRun"] = json!(outcome.dry_run);
    if outcome.dry_run {
        let chart = &outcome.summary.chart;
        document["manifest"] = json!(manifest::to_yaml(
            chart,
            rendering::masked(&outcome.objects, &[], &outcome.masker)
        ));
        document["hooks"] = document::hooks(
            chart,
            &rendering::masked_hooks(&outcome.hooks, &outcome.masker),
        );
    }
    document
}
