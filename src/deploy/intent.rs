//! What the user asks for: the operation, the chart and values it wants, and how to go about it.

use super::PostRenderer;
use crate::chart::Chart;
use crate::identity;
use crate::manifest::{Hook, HookEvent};
use crate::plan::confine::Named;
use crate::release::Status;
use crate::values::Values;
use std::time::Duration;

/// Which chart the user asked for.
#[derive(Clone, Debug, Default)]
pub enum ChartChoice {
    /// An upgrade keeps the release's chart (its newest embedded version, or the stored copy of a
    /// chart from outside); an install takes the chart that the release's name stands for.
    /// `version` narrows it down.
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
    /// New defaults, the stored user values, then this run's flags (Helm's
    /// `--reset-then-reuse-values`): our default.
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
    pub skip_schema_validation: bool,
    pub post_renderer: Option<PostRenderer>,
    /// Labels of the release; none where an upgrade removes one.
    pub labels: Vec<(String, Option<String>)>,
}

/// The operation, and where its manifest comes from.
pub enum Intent {
    Install(Wanted),
    /// With `install`, a release that does not exist (or whose first attempts all failed) is
    /// installed.
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

/// Which of the verbs is running; decides hooks, statuses and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Install,
    Upgrade,
    Rollback,
    Uninstall,
}

impl Operation {
    pub fn word(self) -> &'static str {
        match self {
            Operation::Install => "install",
            Operation::Upgrade => "upgrade",
            Operation::Rollback => "rollback",
            Operation::Uninstall => "uninstall",
        }
    }

    /// The events of the hooks that run before and after it.
    pub fn events(self) -> [HookEvent; 2] {
        match self {
            Operation::Install => [HookEvent::PreInstall, HookEvent::PostInstall],
            Operation::Upgrade => [HookEvent::PreUpgrade, HookEvent::PostUpgrade],
            Operation::Rollback => [HookEvent::PreRollback, HookEvent::PostRollback],
            Operation::Uninstall => [HookEvent::PreDelete, HookEvent::PostDelete],
        }
    }

    pub fn runs(self, hook: &Hook) -> bool {
        self.events()
            .iter()
            .any(|event| hook.events.contains(event))
    }

    pub fn pending(self) -> Status {
        match self {
            Operation::Install => Status::PendingInstall,
            Operation::Upgrade => Status::PendingUpgrade,
            Operation::Rollback => Status::PendingRollback,
            Operation::Uninstall => Status::Uninstalling,
        }
    }
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
    /// `KIND/NAME` of objects that may be deleted and made anew when an immutable field changes.
    pub recreate: Vec<String>,
    /// `KIND/NAME` of members of rollout groups that may be down while others change.
    pub allow_down: Vec<String>,
    pub no_hooks: bool,
    /// Objects outside of the release's namespace that a record, a kept chart or stored values may
    /// touch.
    pub allow_outside: Vec<Named>,
    /// Rules of `fabric::guard` that are overridden, by id.
    pub force: Vec<&'static str>,
    /// Rules that refuse are told as warnings: for `diff`, which does nothing anyway.
    pub tell_refusals: bool,
    pub description: Option<String>,
    /// 0 keeps all.
    pub history_max: usize,
}

impl Default for Options {
    /// The flags' defaults.
    fn default() -> Options {
        Options {
            dry_run: DryRun::No,
            wait: true,
            wait_for_jobs: false,
            timeout: Duration::from_secs(300),
            rollback_on_failure: false,
            cleanup_on_fail: false,
            create_namespace: true,
            take_ownership: false,
            force_conflicts: false,
            recreate: Vec::new(),
            allow_down: Vec::new(),
            no_hooks: false,
            allow_outside: Vec::new(),
            force: Vec::new(),
            tell_refusals: false,
            description: None,
            history_max: 10,
        }
    }
}
