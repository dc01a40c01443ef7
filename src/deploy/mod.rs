//! The story of an operation, for install, upgrade, rollback and uninstall alike: resolve, render, guard, observe, plan, lock,
//! record, apply, wait, prune, record. They differ in where the wanted manifest comes from.

use crate::chart::Chart;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::identity;
use crate::plan::Plan;
use crate::release::{ReleaseName, Summary};
use crate::values::Values;
use jiff::Timestamp;
use std::time::Duration;

/// Which chart the user asked for.
#[derive(Clone, Debug, Default)]
pub enum ChartChoice {
    /// An upgrade keeps the release's chart (its newest embedded version, or the stored copy of a chart from outside); an install takes
    /// the chart that the release's name stands for. `version` narrows it down.
    #[default]
    ByRelease,
    ByReleaseVersion(String),
    Named {
        name: String,
        version: Option<String>,
    },
    /// From a folder or archive; the edge has read it.
    Loaded(Box<Chart>),
}

/// What an upgrade does with the values of the revision before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// New defaults, the stored user values, then this run's flags (Helm's `--reset-then-reuse-values`): our default.
    #[default]
    ResetThenReuse,
    /// New defaults and this run's flags only: `--reset-values`.
    Reset,
    /// The stored computed values and this run's flags: `--reuse-values`.
    Reuse,
}

/// What the user wants deployed.
pub struct Wanted {
    pub chart: ChartChoice,
    /// What the user said in this run.
    pub values: Values,
    pub reuse: Reuse,
    /// `--fabric-version`: sets the value `fabricVersion`.
    pub fabric_version: Option<String>,
    pub identities: identity::Source,
    /// Whether `--crypto-config` was said in this run (an upgrade without it keeps what is there).
    pub skip_schema_validation: bool,
}

/// The operation, and where its manifest comes from.
pub enum Intent {
    Install(Wanted),
    /// With `install`, a release that does not exist (or whose first attempts all failed) is installed.
    Upgrade {
        wanted: Wanted,
        install: bool,
    },
    Rollback {
        revision: Option<u32>,
    },
    Uninstall {
        keep_history: bool,
        delete_data: bool,
        delete_namespace: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    No,
    /// Renders and plans from what is live; sends nothing that writes.
    Client,
    /// Adds the server-side dry-runs of every object.
    Server,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub dry_run: DryRun,
    pub wait: bool,
    pub wait_for_jobs: bool,
    pub timeout: Duration,
    pub rollback_on_failure: bool,
    pub cleanup_on_fail: bool,
    pub create_namespace: bool,
    pub take_ownership: bool,
    pub force_conflicts: bool,
    pub no_hooks: bool,
    pub description: Option<String>,
    /// 0 keeps all.
    pub history_max: usize,
}

/// What an operation tells while it runs. `terminal` shows it, as lines, as a table that moves, or as JSON.
pub trait Progress: Send + Sync {
    fn event(&self, event: &Event);
}

/// One thing that happened. The fields are what `--events json` streams.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is made; nothing is written yet.
    Planned {
        create: usize,
        change: usize,
        recreate: usize,
        unchanged: usize,
        prune: usize,
    },
    /// One object was written or deleted.
    Applied {
        action: String,
        object: String,
    },
    /// An object's state while it is waited for; `ready` when it is done.
    Waiting {
        object: String,
        ready: bool,
        reason: String,
        done: usize,
        total: usize,
    },
    Hook {
        hook: String,
        phase: String,
    },
    /// Something the user should know that is no failure.
    Warning {
        message: String,
    },
    /// A step of the story: `identities`, `lock`, `record`, ...
    Step {
        message: String,
    },
}

pub struct Outcome {
    pub summary: Summary,
    pub plan: Plan,
    pub notes: String,
    /// Objects that stay although they are no longer part of the release, with the reason.
    pub kept: Vec<String>,
    pub warnings: Vec<String>,
    pub dry_run: bool,
    /// For a dry run: the rendered manifest.
    pub objects: Vec<crate::manifest::Object>,
    pub hooks: Vec<crate::manifest::Hook>,
}

/// Everything an operation is given from outside.
pub struct Context<'a> {
    pub cluster: &'a Cluster,
    pub release: ReleaseName,
    pub namespace: String,
    pub now: Timestamp,
    pub progress: &'a dyn Progress,
    /// Becomes true at the first Ctrl-C or SIGTERM.
    pub interrupted: tokio::sync::watch::Receiver<bool>,
}

/// Runs one operation from beginning to end.
pub async fn run(_context: Context<'_>, _intent: Intent, _options: Options) -> Result<Outcome> {
    todo!()
}

/// Makes the plan and stops: for `diff`. Nothing is written, not even a namespace.
pub async fn preview(_context: &Context<'_>, _intent: Intent, _options: &Options) -> Result<Outcome> {
    todo!()
}
