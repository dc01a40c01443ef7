//! Flags that control install, upgrade and rollback.

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
    /// Make the changes
    #[default]
    #[value(alias = "false")]
    None,
    /// Render and plan, without write requests
    #[value(alias = "true")]
    Client,
    /// Plan, and have the API server validate every object with a server-side dry run
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

/// Checks the form `KIND/NAME`. The plan checks that the object exists.
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
    /// Maximum time to wait for the operation, such as 90s, 5m or 1h30m
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration::parse)]
    pub timeout: Duration,

    /// Write events to stderr as JSON, one object per line, instead of the progress display
    ///
    /// Each object has the key `event`. On failure, the last event is `failed`. The result still
    /// goes to stdout.
    #[arg(long, value_name = "FORMAT", hide_short_help = true)]
    pub events: Option<EventFormat>,

    /// Object outside the release's namespace that the record, kept chart or stored values may
    /// change, such as ClusterRole/reader or Secret/other-namespace/name; may be repeated
    ///
    /// Anyone with write access to the release's namespace can edit the record, the kept chart and
    /// the stored values, so these cannot change objects elsewhere without this flag. A chart and
    /// values that you pass in full do not need it. See docs/concepts/trust.md.
    #[arg(long, value_name = "KIND/NAME", value_parser = Named::parse, value_delimiter = ',', action = ArgAction::Append,
        hide_short_help = true)]
    pub allow_outside: Vec<Named>,
}

/// The flags that install, upgrade and rollback share.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OPERATION)]
pub struct ApplyArguments {
    /// Show what would change and write nothing: client only plans, server also has the API server
    /// validate every object
    ///
    /// A server-side dry run also reports errors from admission, quotas, immutable fields and
    /// conflicts with other field managers. --dry-run alone means --dry-run=client.
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client",
        default_value = "none", hide_possible_values = true)]
    pub dry_run: DryRunChoice,

    /// Wait until every object is ready
    ///
    /// Stops early if an object has failed permanently, and at the latest after --timeout.
    /// --wait=false returns as soon as everything is applied.
    #[arg(long, value_name = "BOOL", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", hide_possible_values = true)]
    pub wait: WaitChoice,

    /// Wait for Jobs to complete as well
    #[arg(long, hide_short_help = true)]
    pub wait_for_jobs: bool,

    /// Take over fields from other field managers (kubectl edit, another tool), and remove what
    /// others added
    #[arg(long, hide_short_help = true)]
    pub force_conflicts: bool,

    /// Object to recreate if one of its immutable fields changes, such as StatefulSet/peer0; takes
    /// a list, may be repeated
    ///
    /// A StatefulSet keeps its volumes, and its pods unless they lack a claim. Objects that hold
    /// data are never recreated.
    #[arg(long, value_name = "KIND/NAME", value_parser = kind_and_name, value_delimiter = ',', hide_short_help = true,
        add = ArgValueCompleter::new(complete::workloads))]
    pub recreate: Vec<String>,

    /// Member of a rollout group that may stay down while the others change, such as
    /// StatefulSet/orderer2; takes a list, may be repeated
    ///
    /// Without this flag, the operation changes no other member of the group: it waits up to
    /// --timeout until all are ready, and then stops. With it, the others change one at a time,
    /// each while all but the named members are ready. Check the quorum first: with one of three
    /// orderers down, a channel stops while the next one restarts. Channel/mychannel continues
    /// although that channel lacks a consenter.
    #[arg(long, value_name = "KIND/NAME", value_parser = kind_and_name, value_delimiter = ',', hide_short_help = true,
        add = ArgValueCompleter::new(complete::workloads))]
    pub allow_down: Vec<String>,

    /// Guard to override, such as U05; takes a list, may be repeated
    ///
    /// Use it after you have done what the guard asks for, or if you know that the guard does not
    /// apply. The record lists the overridden guards. See docs/reference/guards.md.
    #[arg(long, value_name = "RULE", value_parser = guard::parse_rule, value_delimiter = ',', add = ArgValueCompleter::new(complete::rules))]
    pub force: Vec<&'static str>,

    /// Do not run hooks
    #[arg(long, hide_short_help = true)]
    pub no_hooks: bool,

    /// On failure, delete the objects that this operation created
    #[arg(long, hide_short_help = true)]
    pub cleanup_on_fail: bool,

    /// Description for the history
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub description: Option<String>,

    /// Maximum number of revisions to keep per release; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 10, hide_short_help = true)]
    pub history_max: usize,

    #[command(flatten)]
    pub run: RunArguments,
}

/// `--post-renderer`, for every verb that renders a chart.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = super::CHART)]
pub struct PostRendererArguments {
    /// Program that reads the rendered manifest from stdin and writes the manifest to apply to
    /// stdout, such as a script around kustomize
    ///
    /// A name without a slash is searched in PATH. Hooks and notes are not post-rendered. The
    /// revision records the result. A later upgrade without the post-renderer warns that its
    /// changes are lost.
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

/// The flags of install and upgrade only.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OPERATION)]
pub struct ReleaseArguments {
    /// On failure, uninstall a new release, or roll back an upgrade
    ///
    /// The uninstall keeps volumes and identities. An upgrade rolls back to the last deployed
    /// revision. --atomic is an alias.
    #[arg(long, alias = "atomic")]
    pub rollback_on_failure: bool,

    /// Adopt existing objects that belong to no release or to another one
    #[arg(long, hide_short_help = true)]
    pub take_ownership: bool,

    /// Create the release's namespace if it does not exist [default: true for an install]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set,
        hide_possible_values = true, hide_short_help = true)]
    pub create_namespace: Option<bool>,

    /// Labels of the release, such as team=payments, for `list -l` and `list -o json`; takes a
    /// list, may be repeated
    ///
    /// An upgrade keeps the labels of the previous revision; KEY=null removes one. The objects of
    /// the release do not get them.
    #[arg(short = 'l', long, value_name = "KEY=VALUE", value_parser = labels::parse, value_delimiter = ',', action = ArgAction::Append,
        hide_short_help = true)]
    pub labels: Vec<Label>,

    /// Do not print the chart's notes
    #[arg(long, hide_short_help = true, help_heading = super::OUTPUT)]
    pub hide_notes: bool,

    /// Accepted for compatibility with Helm; secrets are always hidden
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
            network: None,
            expected_secrets: BTreeSet::new(),
            identities_only: false,
            tell_refusals: false,
            description: self.description.clone(),
            history_max: self.history_max,
        }
    }
}
