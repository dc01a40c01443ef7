//! The user's request: the operation, its chart and values, and its options.

use super::PostRenderer;
use crate::chart::Chart;
use crate::identity;
use crate::manifest::{Hook, HookEvent};
use crate::plan::confine::Named;
use crate::release::Status;
use crate::values::Values;
use std::collections::BTreeSet;
use std::time::Duration;

/// The chart that the user requested.
#[derive(Clone, Debug, Default)]
pub enum ChartChoice {
    /// An upgrade uses the release's chart: its newest embedded version, or the stored copy of a
    /// chart from outside. An install uses the default chart for the release name. `version`
    /// selects a version.
    #[default]
    ByRelease,
    ByReleaseVersion(String),
    Named {
        name: String,
        version: Option<String>,
    },
    /// A folder or archive that the edge has read.
    Loaded(Box<Chart>),
}

/// How an upgrade uses the values of the previous revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// The new defaults, the stored user values, then this run's flags (Helm's
    /// `--reset-then-reuse-values`). This is the default.
    #[default]
    ResetThenReuse,
    /// Only the new defaults and this run's flags: `--reset-values`.
    Reset,
    /// The stored computed values and this run's flags: `--reuse-values`.
    Reuse,
}

/// The chart and values to deploy.
pub struct Wanted {
    pub chart: ChartChoice,
    /// The values that the user sets in this run.
    pub values: Values,
    pub reuse: Reuse,
    /// `--fabric-version`: sets the value `fabricVersion`.
    pub fabric_version: Option<String>,
    pub identities: identity::Source,
    pub skip_schema_validation: bool,
    pub post_renderer: Option<PostRenderer>,
    /// Labels of the release. `None` removes one in an upgrade.
    pub labels: Vec<(String, Option<String>)>,
}

/// The operation and the source of its manifest.
pub enum Intent {
    Install(Wanted),
    /// With `install`, installs the release if it does not exist or if all its attempts failed.
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

/// The kind of operation, which determines hooks, statuses and messages.
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

    /// Returns the events of the hooks that run before and after the operation.
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
    /// Renders, and plans from live objects. Sends no write requests.
    Client,
    /// Also sends server-side dry runs of all objects.
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
    /// `KIND/NAME` of objects that may be recreated if an immutable field changes.
    pub recreate: Vec<String>,
    /// `KIND/NAME` of members of rollout groups that may be down while others change.
    pub allow_down: Vec<String>,
    pub no_hooks: bool,
    /// Objects outside of the release's namespace that a record, a kept chart or stored values may
    /// change.
    pub allow_outside: Vec<Named>,
    /// IDs of rules of `fabric::guard` to override.
    pub force: Vec<&'static str>,
    /// Releases that the same run brings up, by release and namespace: values may name them before
    /// they exist.
    pub expected: BTreeSet<(String, String)>,
    /// The network that the operation works on, as in the label [`NETWORK_LABEL`](crate::release::NETWORK_LABEL). A
    /// release of another network is refused.
    pub network: Option<String>,
    /// Secrets of the release's namespace that the same run writes before the pods that need them.
    pub expected_secrets: BTreeSet<String>,
    /// Writes only the identities of the release's nodes, and records nothing: others need them
    /// before the nodes can start.
    pub identities_only: bool,
    /// Shows refusals as warnings, for `diff`, which changes nothing.
    pub tell_refusals: bool,
    pub description: Option<String>,
    /// 0 keeps all revisions.
    pub history_max: usize,
}

impl Default for Options {
    /// The defaults of the flags.
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
            expected: BTreeSet::new(),
            network: None,
            expected_secrets: BTreeSet::new(),
            identities_only: false,
            tell_refusals: false,
            description: None,
            history_max: 10,
        }
    }
}
