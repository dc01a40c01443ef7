//! Limits the reach of an operation. Data in the release's namespace must not direct the caller's
//! permissions elsewhere.
//!
//! Users with write access to ConfigMaps and Secrets in a namespace can write records, kept charts
//! and stored values there. A manifest made from these may change objects in the release's own
//! namespace, and this release's objects elsewhere. Other objects need `--allow-outside`. A
//! manifest that the caller provides in full has no limit.

#[cfg(test)]
mod tests;

use super::ownership::{self, Owner};
use super::{Action, Plan};
use crate::chart::Origin;
use crate::error::{Error, Place, Result};
use crate::manifest::{Hook, ObjectKey, kinds, readiness};
use crate::release::{InventoryItem, Record, Signature};
use serde_json::Value;
use std::fmt;

/// The origin of an operation's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    pub manifest: ManifestOrigin,
    /// Result of checking the signature of the record that takes part. Meaningless without a
    /// record.
    pub signature: Signature,
}

/// The sources of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestOrigin {
    /// Rendered by this run.
    Rendered { chart: Origin, values: ValuesOrigin },
    /// From the record of this revision, as in rollback, uninstall and test.
    Recorded { revision: u32 },
}

/// The sources of a manifest's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuesOrigin {
    /// Only the caller and the chart.
    Given,
    /// Partly the record of this revision.
    Stored { revision: u32 },
}

impl Provenance {
    /// Returns the origin of a recorded manifest.
    pub fn recorded(record: &Record) -> Provenance {
        let manifest = ManifestOrigin::Recorded {
            revision: record.summary.revision,
        };
        Provenance {
            manifest,
            signature: record.signature,
        }
    }

    /// Describes the data from the cluster that takes part. Returns `None` if the caller provides
    /// everything.
    pub fn stored(&self) -> Option<String> {
        match &self.manifest {
            ManifestOrigin::Recorded { revision } => {
                Some(format!("the record of revision {revision}"))
            }
            ManifestOrigin::Rendered {
                chart: Origin::Stored,
                ..
            } => Some("the chart kept with the release".to_owned()),
            ManifestOrigin::Rendered {
                values: ValuesOrigin::Stored { revision },
                ..
            } => Some(format!("a value stored with revision {revision}")),
            ManifestOrigin::Rendered {
                values: ValuesOrigin::Given,
                ..
            } => None,
        }
    }

    /// Returns the chart's source if a chart was rendered.
    pub fn chart(&self) -> Option<&Origin> {
        match &self.manifest {
            ManifestOrigin::Rendered { chart, .. } => Some(chart),
            ManifestOrigin::Recorded { .. } => None,
        }
    }
}

/// An object given to `--allow-outside`: `KIND/NAME` or `KIND/NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl Named {
    /// Parses the user's text.
    pub fn parse(text: &str) -> Result<Named, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, None, name),
            [kind, namespace, name] => (kind, Some(namespace), name),
            _ => ("", None, ""),
        };
        if kind.is_empty() || name.is_empty() || namespace.is_some_and(str::is_empty) {
            return Err("expected KIND/NAME, or KIND/NAMESPACE/NAME".to_owned());
        }
        Ok(Named {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// Returns the name of an object.
    pub fn of(key: &ObjectKey) -> Named {
        Named {
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }

    fn names(&self, key: &ObjectKey) -> bool {
        self.kind.eq_ignore_ascii_case(&key.kind)
            && self.namespace == key.namespace
            && self.name == key.name
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// Returns true if the user named the object.
pub fn is_allowed(allowed: &[Named], key: &ObjectKey) -> bool {
    allowed.iter().any(|named| named.names(key))
}

/// Inputs of the decision.
pub struct Reach<'a> {
    pub owner: &'a Owner,
    pub provenance: &'a Provenance,
    pub plan: &'a Plan,
    /// The hooks that run.
    pub hooks: &'a [&'a Hook],
    /// The recorded inventory of earlier revisions.
    pub inventory: &'a [InventoryItem],
    pub allowed: &'a [Named],
}

/// Returns true if an object is outside of the release's namespace.
pub fn is_outside(owner: &Owner, key: &ObjectKey, api_version: &str) -> bool {
    // A record can contain a namespace for a cluster-scoped object.
    let has_none = kinds::lookup(api_version, &key.kind).is_some_and(|kind| !kind.namespaced);
    has_none || key.namespace.as_deref() != Some(&owner.namespace)
}

/// Returns the objects that the operation may not change because only data from the cluster
/// requests it, with the reason.
///
/// Deletions are not included: only an object with this release's marks and the recorded UID is
/// ever deleted (see [`super::make`]).
pub fn beyond(reach: &Reach<'_>) -> Vec<(ObjectKey, String)> {
    if reach.provenance.stored().is_none() {
        return Vec::new();
    }
    let is_new = |key: &ObjectKey, api_version: &str| {
        is_outside(reach.owner, key, api_version) && !is_allowed(reach.allowed, key)
    };
    let of_plan = reach.plan.steps.iter().filter_map(|step| {
        let why = match step.action {
            Action::Create => "it would be created".to_owned(),
            Action::Change | Action::Recreate => unfounded(reach, &step.key, step.live.as_ref()?)?,
            Action::Unchanged | Action::Prune | Action::Keep => return None,
        };
        is_new(&step.key, &step.api_version).then(|| (step.key.clone(), why))
    });
    let of_hooks = reach
        .hooks
        .iter()
        .map(|hook| &hook.object)
        .filter_map(|object| {
            let is_new = is_new(&object.key, object.api_version());
            is_new.then(|| {
                (
                    object.key.clone(),
                    "it is a hook, which is written in every run".to_owned(),
                )
            })
        });
    of_plan.chain(of_hooks).collect()
}

/// Returns why a change of a live object outside needs permission, or `None` if it does not.
fn unfounded(reach: &Reach<'_>, key: &ObjectKey, live: &Value) -> Option<String> {
    if !reach.owner.owns(live) {
        return Some(ownership::owner_of(live));
    }
    let uid = live["metadata"]["uid"].as_str();
    let mut recorded = reach
        .inventory
        .iter()
        .filter(|item| item.key == *key)
        .filter_map(|item| item.uid.as_deref())
        .peekable();
    if recorded.peek().is_some() && !recorded.any(|recorded| Some(recorded) == uid) {
        return Some("it is not the recorded object: its UID is different".to_owned());
    }
    if lends_rights(key) {
        return Some("it controls permissions or workloads outside the namespace".to_owned());
    }
    (reach.provenance.signature != Signature::Verified)
        .then(|| "the record cannot be verified".to_owned())
}

/// Returns true for kinds whose content gives access to more than the object.
///
/// Changing such an object uses the caller's permissions elsewhere. A user with read access to the
/// release's Secrets can sign a record that does so.
fn lends_rights(key: &ObjectKey) -> bool {
    const GROUPS: [&str; 4] = [
        "rbac.authorization.k8s.io",
        "admissionregistration.k8s.io",
        "apiregistration.k8s.io",
        "apiextensions.k8s.io",
    ];
    const CORE: [&str; 6] = [
        "Namespace",
        "Node",
        "Pod",
        "ReplicationController",
        "Secret",
        "ServiceAccount",
    ];
    GROUPS.contains(&key.group.as_str())
        || (key.group.is_empty() && CORE.contains(&key.kind.as_str()))
        || readiness::runs_pods(&key.kind)
        || key.kind == "CronJob"
}

/// Returns the error about objects out of reach, or `None` if there are none.
pub fn refusal(reach: &Reach<'_>, operation: &str) -> Option<Error> {
    let stored = reach.provenance.stored()?;
    let Owner { release, namespace } = reach.owner;
    let beyond = beyond(reach);
    if beyond.is_empty() {
        return None;
    }
    let flags: Vec<String> = beyond
        .iter()
        .map(|(key, _)| Named::of(key).to_string())
        .collect();
    let places = beyond
        .iter()
        .map(|(key, why)| Place::new(key.to_string()).note(why.clone()));
    let whole = match reach.provenance.manifest {
        ManifestOrigin::Rendered { .. } => {
            "; or pass the chart with --chart and all values, with --reset-values"
        }
        ManifestOrigin::Recorded { .. } => "",
    };
    Some(
        Error::refused(format!(
            "the {operation} of release \"{release}\" would change objects outside namespace \
             \"{namespace}\" without permission"
        ))
        .at_all(places)
        .why(format!(
            "{stored} requires it, and anyone with write access to ConfigMaps and Secrets in \
             namespace \"{namespace}\" can change that"
        ))
        .hint(format!(
            "check the changes with --dry-run=server; to allow them, add --allow-outside \
                       {}{whole}",
            flags.join(",")
        )),
    )
}

/// Returns the error about hooks whose secrets are missing.
///
/// Their masks must not be applied in place of the secrets. Without the companion Secret, it is
/// also unknown whether the hooks are the recorded ones.
pub fn unreadable_hooks(reach: &Reach<'_>) -> Option<Error> {
    let ManifestOrigin::Recorded { revision } = reach.provenance.manifest else {
        return None;
    };
    if reach.provenance.signature != Signature::Unchecked || reach.hooks.is_empty() {
        return None;
    }
    let hooks = reach
        .hooks
        .iter()
        .map(|hook| Place::new(hook.object.key.to_string()));
    Some(
        Error::refused(format!(
            "cannot run the hooks of revision {revision} of \"{}\"",
            reach.owner.release
        ))
        .at_all(hooks)
        .why(
            "the record's companion Secret is missing or damaged, so they lack their secrets \
                  and cannot be verified",
        )
        .hint("skip them with --no-hooks"),
    )
}

/// Marks steps outside of the release's namespace that data from the cluster requests, so that the
/// plan shows them.
pub fn point_out(plan: &mut Plan, owner: &Owner, provenance: &Provenance) {
    if provenance.stored().is_none() {
        return;
    }
    let changes = |action| {
        matches!(
            action,
            Action::Create | Action::Change | Action::Recreate | Action::Prune
        )
    };
    for step in plan
        .steps
        .iter_mut()
        .filter(|step| changes(step.action) && is_outside(owner, &step.key, &step.api_version))
    {
        let separator = if step.why.is_empty() { "" } else { "; " };
        step.why = format!(
            "{}{separator}outside of namespace \"{}\"",
            step.why, owner.namespace
        );
    }
}
