//! `diff`: what an operation would change, or what a revision changed.

use super::arguments::{Format, OUTPUT, OutputArguments, PostRendererArguments, revision};
use super::install::WantedArguments;
use super::release_document::{changes, chart_source, chart_source_document, hook_changes};
use super::up::plan::{self, PlanArguments};
use super::upgrade::ReuseArguments;
use super::{DIFFERENT, Edge, complete};
use crate::chart::Origin;
use crate::deploy::{self, DryRun, Intent, Options, Outcome};
use crate::error::Result;
use crate::manifest::Sealed;
use crate::plan::diff::unified;
use crate::plan::mask::Masker;
use crate::plan::{Action, Plan, Step};
use crate::release::ReleaseName;
use crate::storage;
use crate::terminal::{BOLD, CYAN, GREEN, RED, Text};
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

/// Show what an upgrade or rollback would change, or what a revision changed
///
/// `diff upgrade` and `diff rollback` compare the new manifest with the live objects, without the
/// fields that others set. `diff revision` compares two recorded revisions. Nothing is written.
/// Secrets are masked: the diff shows that a secret changes, but not its content.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    override_usage = "kubectl fabric diff [OPTIONS] [COMMAND]",
    after_long_help = "\
Examples:
  kubectl fabric diff upgrade org1 --fabric-version 2.5.16
  kubectl fabric diff upgrade org1 -f org1.yaml --exit-code   status 2 if there are differences
  kubectl fabric diff rollback org1 2
  kubectl fabric diff revision org1 2 3                       what revision 3 changed
  kubectl fabric diff -f network.yaml                         the missing steps of a network
  kubectl fabric diff -f network.yaml -o markdown             the same, for a review"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    plan: PlanArguments,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Show what an upgrade would change
    Upgrade {
        /// Name of the release
        #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
        release: String,

        #[command(flatten)]
        wanted: Box<WantedArguments>,

        #[command(flatten)]
        post_renderer: PostRendererArguments,

        #[command(flatten)]
        reuse: ReuseArguments,

        /// If the release does not exist, show what an install would create
        #[arg(short, long, visible_alias = "allow-unreleased")]
        install: bool,

        #[command(flatten)]
        status: StatusArguments,

        #[command(flatten)]
        shown: Shown,
    },
    /// Show what a rollback would change
    Rollback {
        /// Name of the release
        #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
        release: String,

        /// Revision to roll back to [default: the newest earlier one that was deployed]
        #[arg(value_name = "REVISION", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions))]
        revision: Option<u32>,

        #[command(flatten)]
        status: StatusArguments,

        #[command(flatten)]
        shown: Shown,
    },
    /// Compare two recorded revisions
    Revision {
        /// Name of the release
        #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
        release: String,

        /// The earlier revision
        #[arg(value_name = "FROM", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions))]
        from: u32,

        /// The later revision [default: the newest]
        #[arg(value_name = "TO", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions))]
        to: Option<u32>,

        #[command(flatten)]
        status: StatusArguments,

        #[command(flatten)]
        shown: Shown,
    },
}

/// `--exit-code`. For `drift`, differences always set the exit status.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OUTPUT)]
struct StatusArguments {
    /// Exit with status 2 if there are differences
    #[arg(long, visible_alias = "detailed-exitcode")]
    exit_code: bool,
}

/// The flags for the display of differences, shared with `drift`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OUTPUT)]
pub struct Shown {
    /// Lines of context around each change
    #[arg(
        short = 'C',
        long = "context-lines",
        value_name = "N",
        default_value_t = 3
    )]
    pub context_lines: usize,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let Some(what) = arguments.what else {
        return plan::diff(&arguments.plan, edge);
    };
    match what {
        What::Upgrade {
            release,
            wanted,
            post_renderer,
            reuse,
            install,
            status,
            shown,
        } => {
            let stdin_in_use = wanted.values.uses_stdin();
            let intent = Intent::Upgrade {
                wanted: wanted.load(reuse.choice(), &post_renderer, &[])?,
                install,
            };
            let outcome = preview(edge, &release, intent, stdin_in_use)?;
            let (plan, masker) = (&outcome.plan, &outcome.masker);
            let chart = outcome.chart_origin.as_ref();
            print(edge, plan, masker, chart, &shown, status.exit_code)
        }
        What::Rollback {
            release,
            revision,
            status,
            shown,
        } => {
            let intent = Intent::Rollback {
                revision: revision.filter(|revision| *revision > 0),
            };
            let outcome = preview(edge, &release, intent, false)?;
            let (plan, masker) = (&outcome.plan, &outcome.masker);
            print(edge, plan, masker, None, &shown, status.exit_code)
        }
        What::Revision {
            release,
            from,
            to,
            status,
            shown,
        } => {
            let plan = revisions(edge, &release, from, to)?;
            // Records are already masked: different masks mean that the secret changed.
            let masker = Masker::new(b"", []);
            print(edge, &plan, &masker, None, &shown, status.exit_code)
        }
    }
}

/// Reads two revisions and compares their manifests.
fn revisions(edge: &Edge, release: &str, from: u32, to: Option<u32>) -> Result<Plan> {
    let release = ReleaseName::parse(release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let (before, after) = edge.read(false, async |cluster| {
        futures::try_join!(
            storage::read_to_show(cluster, &namespace, release.as_str(), Some(from)),
            storage::read_to_show(cluster, &namespace, release.as_str(), to)
        )
    })?;
    let records = [&before, &after].into_iter();
    for warning in records.filter_map(|record| record.signature_warning()) {
        edge.terminal.warn(&warning);
    }
    Ok(between(before.objects, after.objects))
}

fn preview(edge: &Edge, release: &str, intent: Intent, stdin_in_use: bool) -> Result<Outcome> {
    let release = ReleaseName::parse(release)?;
    let options = Options {
        dry_run: DryRun::Server,
        tell_refusals: true,
        ..Options::default()
    };
    let outcome = edge.plan(release, stdin_in_use, async |context| {
        deploy::preview(context, intent, &options).await
    })?;
    for warning in &outcome.warnings {
        edge.terminal.warn(warning);
    }
    Ok(outcome)
}

/// Two recorded manifests as a plan: the later one is the desired state, the earlier one stands for
/// the live objects.
fn between(before: Vec<Arc<Sealed>>, after: Vec<Arc<Sealed>>) -> Plan {
    let mut before: BTreeMap<_, _> = before
        .into_iter()
        .map(|object| (object.key.clone(), object))
        .collect();
    let mut steps: Vec<Step> = after
        .into_iter()
        .map(|object| {
            let live = before.remove(&object.key).map(|object| object.body());
            let action = match &live {
                None => Action::Create,
                Some(live) if *live == object.body() => Action::Unchanged,
                Some(_) => Action::Change,
            };
            let api_version = object.api_version.clone();
            Step {
                key: object.key.clone(),
                api_version,
                action,
                wanted: Some(object),
                live,
                after: None,
                why: String::new(),
                volumes: None,
                theirs: Vec::new(),
            }
        })
        .collect();
    steps.extend(before.into_values().map(|object| Step {
        key: object.key.clone(),
        api_version: object.api_version.clone(),
        action: Action::Prune,
        wanted: None,
        live: Some(object.body()),
        after: None,
        why: String::new(),
        volumes: None,
        theirs: Vec::new(),
    }));
    Plan {
        steps,
        hooks: Vec::new(),
    }
}

/// Prints the differences, and the chart's origin if one was rendered. Exits with status 2 if there
/// are differences and `--exit-code` is set.
fn print(
    edge: &Edge,
    plan: &Plan,
    masker: &Masker,
    chart: Option<&Origin>,
    shown: &Shown,
    exit_code: bool,
) -> Result<ExitCode> {
    match shown.output.output {
        Format::Table | Format::Wide => {
            if let Some(origin) = chart {
                edge.terminal
                    .print(format!("CHART SOURCE: {}\n", chart_source(origin)))?;
            }
            edge.terminal
                .print(text(plan, masker, shown.context_lines))?;
        }
        format => {
            let mut document = document(plan, masker, shown.context_lines);
            if let Some(origin) = chart {
                document["chartSource"] = chart_source_document(origin);
            }
            edge.terminal.print_document(format, &document)?;
        }
    }
    Ok(if exit_code && !plan.is_empty() {
        ExitCode::from(DIFFERENT)
    } else {
        ExitCode::SUCCESS
    })
}

/// A unified diff in its usual colors.
pub fn colored(diff: &str) -> Text {
    let mut text = Text::default();
    for line in diff.lines() {
        let style = match line.as_bytes().first() {
            Some(b'+') => GREEN,
            Some(b'-') => RED,
            Some(b'@') => CYAN,
            _ => anstyle::Style::new(),
        };
        text.push_styled(style, line);
        text.push("\n");
    }
    text
}

pub fn differing(plan: &Plan) -> impl Iterator<Item = &Step> {
    plan.steps
        .iter()
        .filter(|step| !matches!(step.action, Action::Unchanged | Action::Keep))
}

fn text(plan: &Plan, masker: &Masker, context: usize) -> Text {
    let mut text = Text::default();
    let mut add = |step: &Step, of: &str| {
        let why = if step.why.is_empty() {
            String::new()
        } else {
            format!(": {}", step.why)
        };
        text.push_styled(
            BOLD,
            format!("{} ({of}{}{why})", step.key, to_do(step.action)),
        );
        text.push("\n");
        text.append(&colored(&unified(step, context, masker)));
        text.push("\n");
    };
    differing(plan).for_each(|step| add(step, ""));
    plan.hooks
        .iter()
        .for_each(|hook| add(&hook.step, &format!("hook of {}, ", hook.events_in_words())));
    match plan.is_empty() {
        true => text.push("no differences\n"),
        false => text.push(format!("{}\n", counts(plan))),
    }
    text
}

fn to_do(action: Action) -> &'static str {
    match action {
        Action::Create => "to create",
        Action::Change => "to change",
        Action::Recreate => "to recreate",
        Action::Prune => "to delete",
        Action::Unchanged | Action::Keep => "",
    }
}

/// `1 to change, 2 to create, 30 unchanged`
fn counts(plan: &Plan) -> String {
    let counted = [
        (Action::Create, "to create"),
        (Action::Change, "to change"),
        (Action::Recreate, "to recreate"),
        (Action::Prune, "to delete"),
        (Action::Unchanged, "unchanged"),
    ];
    let counted = counted
        .into_iter()
        .map(|(action, what)| (plan.count(action), what))
        .filter(|(count, _)| *count > 0);
    counted
        .map(|(count, what)| format!("{count} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn document(plan: &Plan, masker: &Masker, context: usize) -> Value {
    let mut listed = changes(plan);
    let steps = plan
        .steps
        .iter()
        .filter(|step| step.action != Action::Unchanged);
    for (change, step) in listed.as_array_mut().into_iter().flatten().zip(steps) {
        change["diff"] = json!(unified(step, context, masker));
    }
    let mut hooks = hook_changes(plan);
    for (change, hook) in hooks.as_array_mut().into_iter().flatten().zip(&plan.hooks) {
        change["diff"] = json!(unified(&hook.step, context, masker));
    }
    json!({ "schemaVersion": 1, "different": !plan.is_empty(), "changes": listed, "hookChanges": hooks })
}
