//! Checks before the first write that the user has all permissions that the operation needs.
//! Reports all missing permissions at once.
//!
//! A dry run checks a single write. It does not cover the lock, the records, the watches, and the
//! deletions at the end.

use super::intent::Operation;
use super::recreate::may_be_recreated;
use super::{Context, Options};
use crate::cluster::{Kind, Need, ROLES, Right, can_i};
use crate::error::{Error, Place, Result};
use crate::manifest::kinds::of_rule;
use crate::manifest::{self, ObjectKey, Sealed, readiness};
use crate::plan::hooks::HookStep;
use crate::plan::{Action, Plan, Step};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rights in the release's namespace that every operation needs: for the lock, the records with
/// their secrets, and identities. Old records are deleted.
const ALWAYS: [(&str, &str, &[&str]); 3] = [
    (
        "coordination.k8s.io/v1",
        "Lease",
        &["create", "delete", "get", "update"],
    ),
    (
        "v1",
        "ConfigMap",
        &["create", "delete", "get", "list", "patch", "update"],
    ),
    (
        "v1",
        "Secret",
        &["create", "delete", "get", "list", "patch"],
    ),
];

/// Checks the needs of an operation.
///
/// # Errors
///
/// Lists the missing verbs for each kind of object and namespace.
pub(super) async fn check(
    context: &Context<'_>,
    operation: Operation,
    needs: BTreeSet<Need>,
) -> Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    let missing = context.cluster.missing(&context.namespace, needs).await?;
    match missing.is_empty() {
        true => Ok(()),
        false => Err(report(context, Some(operation), &missing)),
    }
}

fn report(context: &Context<'_>, operation: Option<Operation>, missing: &[Right]) -> Error {
    let mut verbs: BTreeMap<(Option<String>, String), BTreeSet<&str>> = BTreeMap::new();
    for Right {
        verb,
        resource,
        namespace,
    } in missing
    {
        verbs
            .entry((namespace.clone(), resource.clone()))
            .or_default()
            .insert(verb);
    }
    let what = match operation {
        Some(operation) => format!(
            "missing permissions for the {} of release \"{}\"",
            operation.word(),
            context.release
        ),
        None => format!("missing permissions for release \"{}\"", context.release),
    };
    let mut error = Error::cluster(what)
        .now("nothing was changed: all permissions are checked before the first write");
    for ((namespace, resource), verbs) in &verbs {
        let place = namespace
            .as_ref()
            .map_or("the whole cluster".to_owned(), |namespace| {
                format!("namespace \"{namespace}\"")
            });
        let verbs: Vec<&str> = verbs.iter().copied().collect();
        error = error.at(Place::new(place).note(format!("{} {resource}", verbs.join(", "))));
    }
    let Right {
        verb,
        resource,
        namespace,
    } = &missing[0];
    let check = can_i(verb, resource, namespace.as_deref());
    error.hint(format!(
        "ask for these permissions; check with `{check}`. {ROLES}"
    ))
}

/// Returns the error for kinds that the user may not read. There is no plan yet.
///
/// To report all missing permissions at once, also checks the permissions that every operation
/// needs, and those to read and create the objects of these kinds. `denied` is the error of a read,
/// for a server that does not answer such checks.
pub(super) async fn of_unread<'a>(
    context: &Context<'_>,
    unread: impl IntoIterator<Item = (&'a ObjectKey, &'a Option<Arc<Sealed>>)>,
    denied: Error,
) -> Error {
    let mut needs = Needs::default();
    needs.always(&context.namespace);
    for (key, wanted) in unread {
        // For an object that is only in a record, the version is unknown, and it is not created.
        let Some(wanted) = wanted else { continue };
        let (read, name): (&'static [&'static str], _) = match &key.namespace {
            Some(_) => (&["list"], None),
            None => (&["get"], Some(key.name.as_str())),
        };
        needs.add(
            &wanted.api_version,
            &key.kind,
            key.namespace.as_deref(),
            name,
            read,
        );
        needs.object(key, &wanted.api_version, &["create", "patch"]);
        needs.wait(key, &wanted.api_version);
        needs.grants(key, wanted);
    }
    match context.cluster.missing(&context.namespace, needs.0).await {
        Ok(missing) if !missing.is_empty() => report(context, None, &missing),
        _ => denied,
    }
}

/// Returns the permissions that the operation needs.
pub(super) fn needs(
    context: &Context<'_>,
    plan: &Plan,
    options: &Options,
    delete_namespace: bool,
) -> BTreeSet<Need> {
    let mut needs = Needs::default();
    needs.always(&context.namespace);
    let uninstall = plan.steps.iter().all(|step| step.wanted.is_none());
    for step in &plan.steps {
        needs.step(step, options, uninstall);
    }
    for HookStep { step, .. } in &plan.hooks {
        needs.object(
            &step.key,
            &step.api_version,
            &["create", "delete", "get", "patch"],
        );
        needs.wait(&step.key, &step.api_version);
    }
    if delete_namespace {
        needs.add(
            "v1",
            "Namespace",
            None,
            Some(&context.namespace),
            &["delete", "get"],
        );
    }
    needs.0
}

/// Returns the permissions needed for changes of volumes, which are known when the plan has been
/// checked.
pub(super) fn needs_of_volumes(plan: &Plan, options: &Options) -> BTreeSet<Need> {
    let mut needs = Needs::default();
    for step in &plan.steps {
        let follows = step.action == Action::Recreate && step.key.kind == "StatefulSet";
        if follows || step.volumes.is_some() {
            needs.step(step, options, false);
        }
        let Some(volumes) = &step.volumes else {
            continue;
        };
        for expansion in &volumes.expand {
            needs.object(&expansion.claim, "v1", &["patch"]);
            needs.wait(&expansion.claim, "v1");
        }
        for held in volumes.restart.iter().chain(&volumes.remake) {
            needs.object(&held.key, "v1", &["delete", "get"]);
        }
    }
    needs.0
}

#[derive(Default)]
struct Needs(BTreeSet<Need>);

impl Needs {
    fn always(&mut self, namespace: &str) {
        for (api_version, kind, verbs) in ALWAYS {
            self.add(api_version, kind, Some(namespace), None, verbs);
        }
    }

    /// Adds the permissions that a Role of the release grants, because a user can grant only
    /// permissions that they have.
    ///
    /// Missing ones are no reason to refuse: a user with the verb `escalate` needs none of them.
    fn grants(&mut self, key: &ObjectKey, wanted: &Sealed) {
        const VERBS: [&[&str]; 8] = [
            &["create"],
            &["delete"],
            &["deletecollection"],
            &["get"],
            &["list"],
            &["patch"],
            &["update"],
            &["watch"],
        ];
        if key.kind != "Role" || key.group != "rbac.authorization.k8s.io" {
            return;
        }
        let body = wanted.body();
        for rule in body["rules"].as_array().into_iter().flatten() {
            let words = |field: &str| {
                rule[field]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
            };
            for kind in words("apiGroups").flat_map(|group| {
                words("resources").filter_map(move |plural| of_rule(group, plural))
            }) {
                for verb in words("verbs")
                    .filter_map(|verb| VERBS.into_iter().find(|known| known[0] == verb))
                {
                    let mut named = words("resourceNames").peekable();
                    if named.peek().is_none() {
                        self.add(
                            kind.api_version,
                            kind.kind,
                            key.namespace.as_deref(),
                            None,
                            verb,
                        );
                    }
                    for name in named {
                        self.add(
                            kind.api_version,
                            kind.kind,
                            key.namespace.as_deref(),
                            Some(name),
                            verb,
                        );
                    }
                }
            }
        }
    }

    fn add(
        &mut self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: Option<&str>,
        verbs: &'static [&'static str],
    ) {
        self.0.extend(verbs.iter().map(|verb| Need {
            verb,
            kind: Kind {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
            },
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        }));
    }

    fn object(&mut self, key: &ObjectKey, api_version: &str, verbs: &'static [&'static str]) {
        // A Role cannot limit creation to a name, because requests to create do not contain the
        // name.
        let (create, others): (&'static [&'static str], _) = match verbs {
            ["create", others @ ..] => (&["create"], others),
            others => (&[], others),
        };
        self.add(
            api_version,
            &key.kind,
            key.namespace.as_deref(),
            None,
            create,
        );
        self.add(
            api_version,
            &key.kind,
            key.namespace.as_deref(),
            Some(&key.name),
            others,
        );
    }

    fn step(&mut self, step: &Step, options: &Options, uninstall: bool) {
        let (key, api_version) = (&step.key, step.api_version.as_str());
        match step.action {
            Action::Create => self.object(key, api_version, &["create", "patch"]),
            Action::Change | Action::Recreate => {
                self.object(key, api_version, &["patch"]);
                if !step.theirs.is_empty() {
                    self.object(key, api_version, &["get"]);
                }
                if step.action == Action::Recreate || may_be_recreated(step, options) {
                    self.object(key, api_version, &["create", "delete", "get"]);
                }
                if key.kind == "StatefulSet" {
                    // A pod that never became ready blocks its replacement.
                    self.add("v1", "Pod", key.namespace.as_deref(), None, &["delete"]);
                }
            }
            Action::Prune => {
                self.object(key, api_version, &["delete", "get"]);
                // Removing a member of a rollout group needs a watch of the others.
                let in_turn = !uninstall
                    && step
                        .live
                        .as_ref()
                        .is_some_and(|live| manifest::rollout_group(live).is_some());
                return if in_turn {
                    self.wait(key, api_version)
                };
            }
            Action::Unchanged | Action::Keep => return,
        }
        let instant = key.kind == "Service"
            && step
                .wanted
                .as_ref()
                .is_some_and(|wanted| wanted.body()["spec"]["type"] != "LoadBalancer");
        if !instant {
            self.wait(key, api_version);
        }
    }

    fn wait(&mut self, key: &ObjectKey, api_version: &str) {
        if readiness::is_awaited(&key.group, &key.kind) {
            self.add(
                api_version,
                &key.kind,
                key.namespace.as_deref(),
                None,
                &["list", "watch"],
            );
        }
        if readiness::runs_pods(&key.kind) {
            self.add(
                "v1",
                "Pod",
                key.namespace.as_deref(),
                None,
                &["list", "watch"],
            );
        }
    }
}
