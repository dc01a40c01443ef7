//! How install, upgrade and rollback go about it.

use super::labels::{self, Label};
use super::{OPERATION, duration};
use crate::commands::complete;
use crate::deploy::{DryRun, Options, PostRenderer};
use crate::fabric::guard;
use crate::plan::confine::Named;
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeSet;
use std::time::Duration;

/// `--dry-run`, with Helm's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRunChoice {
    /// Do it
    #[default]
    #[value(alias = "false")]
    None,
    /// Render and plan; send nothing that writes
    #[value(alias = "true")]
    Client,
    /// Plan, and let the API server check every object without keeping it
    Server,
}

impl From<DryRunChoice> for DryRun {
    fn from(choice: DryRunChoice) -> DryRun {
        match choice {
            DryRunChoice::None => DryRun::No,
            DryRunChoice::Client => DryRun::Client,
            DryRunChoice::Server => DryRun::Server,
        }
    }
}

/// `--wait`, which also takes the words of Helm 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitChoice {
    #[value(name = "true", aliases = ["watcher", "legacy"])]
    Wait,
    #[value(name = "false", alias = "hookOnly")]
    Go,
}

/// `--events`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// One JSON object per line
    Json,
}

/// Checks the form of `KIND/NAME`. Whether there is such an object, the plan says.
fn kind_and_name(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("expected KIND/NAME, such as StatefulSet/peer0".to_owned()),
    }
}

/// The flags that install, upgrade, rollback, uninstall and test share.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OPERATION)]
pub struct RunArguments {
    /// Longest time for the operation's waiting, such as 90s, 5m or 1h30m
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration::parse)]
    pub timeout: Duration,

    /// Stream what happens as JSON, one object per line on stderr, instead of the progress for
    /// people
    ///
    /// Each line has `event`; a failure is the last line, with event `failed`. The result stays on
    /// stdout.
    #[arg(long, value_name = "FORMAT", hide_short_help = true)]
    pub events: Option<EventFormat>,

    /// Object outside of the release's namespace that the record, kept chart or stored values may
    /// touch, such as ClusterRole/reader or Secret/other-namespace/name; may be repeated
    ///
    /// What stands in the cluster is written by everyone who may write in the release's namespace,
    /// so it is not trusted with objects elsewhere. A chart and values that you give in full need
    /// no such flag. docs/concepts/trust.md tells more.
    #[arg(long, value_name = "KIND/NAME", value_parser = Named::parse, value_delimiter = ',', action = ArgAction::Append,
        hide_short_help = true)]
    pub allow_outside: Vec<Named>,
}

/// The flags that install, upgrade and rollback share.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OPERATION)]
pub struct ApplyArguments {
    /// Show what would be done: client renders and plans, server also lets the API server check
    /// every object
    ///
    /// Nothing is written. The server's check finds what admission, quotas, immutable fields and
    /// other managers have against it. --dry-run alone is --dry-run=client.
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client",
        default_value = "none", hide_possible_values = true)]
    pub dry_run: DryRunChoice,

    /// Wait until every object is ready
    ///
    /// It ends early when one of them has failed for good, and at the latest after --timeout;
    /// --wait=false returns once everything is applied.
    #[arg(long, value_name = "BOOL", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", hide_possible_values = true)]
    pub wait: WaitChoice,

    /// Wait for Jobs to complete as well
    #[arg(long, hide_short_help = true)]
    pub wait_for_jobs: bool,

    /// Take over fields that another manager set (kubectl edit, another tool), and remove what
    /// others added
    #[arg(long, hide_short_help = true)]
    pub force_conflicts: bool,

    /// Object that may be deleted and recreated when an immutable field of it changes, such as
    /// StatefulSet/peer0; takes a list, may be repeated
    ///
    /// The volumes of a StatefulSet stay, and so do its pods unless they lack a claim. Objects that
    /// hold data are never recreated.
    #[arg(long, value_name = "KIND/NAME", value_parser = kind_and_name, value_delimiter = ',', hide_short_help = true,
        add = ArgValueCompleter::new(complete::workloads))]
    pub recreate: Vec<String>,

    /// Member of a rollout group that is down and stays so while the others change, such as
    /// StatefulSet/orderer2; takes a list, may be repeated
    ///
    /// Without it the operation changes no other member of the group: it waits until all are ready,
    /// up to --timeout, and stops. With it the others change one at a time, each while all but the
    /// named members are ready. Count first what is left: with one of three orderers down, a
    /// channel stops while the next one restarts. Channel/mychannel goes on although that channel
    /// lacks a consenter.
    #[arg(long, value_name = "KIND/NAME", value_parser = kind_and_name, value_delimiter = ',', hide_short_help = true,
        add = ArgValueCompleter::new(complete::workloads))]
    pub allow_down: Vec<String>,

    /// Rule of Fabric's upgrade table to override, such as U05; takes a list, may be repeated
    ///
    /// It says that you did what the rule asks for, or know better; the release's record remembers
    /// it. docs/reference/guards.md has the table.
    #[arg(long, value_name = "RULE", value_parser = guard::parse_rule, value_delimiter = ',', add = ArgValueCompleter::new(complete::rules))]
    pub force: Vec<&'static str>,

    /// Do not run hooks
    #[arg(long, hide_short_help = true)]
    pub no_hooks: bool,

    /// Delete what this attempt created, if it fails
    #[arg(long, hide_short_help = true)]
    pub cleanup_on_fail: bool,

    /// Text for the history instead of the usual one
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub description: Option<String>,

    /// Revisions to keep per release; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 10, hide_short_help = true)]
    pub history_max: usize,

    #[command(flatten)]
    pub run: RunArguments,
}

/// `--post-renderer`, of whatever renders a chart.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = super::CHART)]
pub struct PostRendererArguments {
    /// Program that reads the rendered manifest on stdin and prints the one to apply, such as a
    /// script around kustomize
    ///
    /// It is looked for in PATH, unless its name has a slash. Hooks and notes do not pass through
    /// it. What it changed is recorded with the revision; an upgrade without it is warned that it
    /// goes.
    #[arg(long, value_name = "PROGRAM", hide_short_help = true, value_hint = ValueHint::ExecutablePath)]
    pub post_renderer: Option<String>,

    /// Argument for the post-renderer; may be repeated
    #[arg(long, value_name = "ARGUMENT", hide_short_help = true, requires = "post_renderer", allow_hyphen_values = true,
        action = ArgAction::Append)]
    pub post_renderer_args: Vec<String>,
}

impl PostRendererArguments {
    pub fn choice(&self) -> Option<PostRenderer> {
        let program = self.post_renderer.clone()?;
        Some(PostRenderer {
            program,
            arguments: self.post_renderer_args.clone(),
        })
    }
}

/// The flags that only install and upgrade have.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OPERATION)]
pub struct ReleaseArguments {
    /// On failure, go back: an install is removed, an upgrade rolled back
    ///
    /// Volumes and identities stay when an install is removed; an upgrade goes back to the last
    /// deployed revision. --atomic is another name for it.
    #[arg(long, alias = "atomic")]
    pub rollback_on_failure: bool,

    /// Take objects over that exist and belong to nobody or to another release
    #[arg(long, hide_short_help = true)]
    pub take_ownership: bool,

    /// Create the release's namespace if it is not there [default: true for an install]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set,
        hide_possible_values = true, hide_short_help = true)]
    pub create_namespace: Option<bool>,

    /// Labels of the release, such as team=payments: `list -l` and `list -o json` know them; takes
    /// a list, may be repeated
    ///
    /// An upgrade keeps the labels of the revision before; KEY=null removes one. Objects of the
    /// release do not get them.
    #[arg(short = 'l', long, value_name = "KEY=VALUE", value_parser = labels::parse, value_delimiter = ',', action = ArgAction::Append,
        hide_short_help = true)]
    pub labels: Vec<Label>,

    /// Do not print the chart's notes
    #[arg(long, hide_short_help = true, help_heading = super::OUTPUT)]
    pub hide_notes: bool,

    /// Accepted for Helm's sake: secrets are always hidden
    #[arg(long, hide = true)]
    pub hide_secret: bool,
}

impl ApplyArguments {
    /// The operation's options; `release` is absent for a rollback.
    pub fn options(&self, release: Option<&ReleaseArguments>, create_namespace: bool) -> Options {
        Options {
            dry_run: self.dry_run.into(),
            wait: self.wait == WaitChoice::Wait,
            wait_for_jobs: self.wait_for_jobs,
            timeout: self.run.timeout,
            rollback_on_failure: release.is_some_and(|release| release.rollback_on_failure),
            cleanup_on_fail: self.cleanup_on_fail,
            create_namespace: release
                .and_then(|release| release.create_namespace)
                .unwrap_or(create_namespace),
            take_ownership: release.is_some_and(|release| release.take_ownership),
            force_conflicts: self.force_conflicts,
            recreate: self.recreate.clone(),
            allow_down: self.allow_down.clone(),
            no_hooks: self.no_hooks,
            allow_outside: self.run.allow_outside.clone(),
            force: self.force.clone(),
            expected: BTreeSet::new(),
            tell_refusals: false,
            description: self.description.clone(),
            history_max: self.history_max,
        }
    }
}
