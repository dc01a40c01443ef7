//! Checks with a dry run of a pod whether the release's namespace allows a Pod Security level, if
//! its labels do not show it.

use super::pod_security::{ENFORCE, by_hand};
use super::settle::Manifest;
use super::{Context, Options, account};
use crate::cluster::{ApiError, ApiErrorKind};
use crate::error::{Error, Place, Result};
use crate::manifest::pod_security::{self, Level, Need};
use crate::manifest::{Object, ObjectKey, Sealed, TemplateLine};
use crate::plan::{Action, Plan};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Why the labels of a namespace do not show which level it enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The user may not read the namespace.
    Unreadable,
    /// It has no label, so the cluster's default applies, which only a pod reveals.
    Unlabelled,
}

pub(super) fn is_unlabelled(live: &Value) -> bool {
    live["metadata"]["labels"][ENFORCE]
        .as_str()
        .and_then(Level::parse)
        .is_none()
}

/// Returns the needs of new pods that replace existing ones.
///
/// If these were forbidden, a member would be lost. Another new pod that is forbidden would only be
/// missing. If only the cluster's default is in doubt, running pods show what it allows.
pub(super) fn at_stake(manifest: &Manifest, plan: &Plan, doubt: Doubt) -> Vec<Need> {
    let replaced = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Change | Action::Recreate));
    let runs: BTreeMap<&ObjectKey, Level> = replaced
        .map(|step| {
            (
                &step.key,
                step.live
                    .as_ref()
                    .map_or(Level::Restricted, pod_security::level_of),
            )
        })
        .collect();
    let is_at_stake = |need: &&Need| {
        runs.get(&need.key)
            .is_some_and(|runs| doubt == Doubt::Unreadable || need.level > *runs)
    };
    manifest
        .pod_needs
        .iter()
        .filter(is_at_stake)
        .cloned()
        .collect()
}

/// Checks with a dry run of a pod with the same needs whether the namespace allows them.
///
/// For a workload the server returns only warnings, which depend on another label. If its new pod
/// is then forbidden, the member is lost.
///
/// # Errors
///
/// Fails if the namespace does not allow the needs, or if the user may not read the namespace and
/// the dry run gives no answer.
pub(super) async fn try_pod(
    context: &Context<'_>,
    options: &Options,
    doubt: Doubt,
    needs: &[Need],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let needed = pod_security::level(needs);
    if needed == Level::Restricted {
        return Ok(());
    }
    let probe = probe(&context.namespace, needed);
    let send = async || context.cluster.try_create(&probe).await;
    let answer = match account::until_there(context, options, &probe, send).await? {
        Ok(()) => return Ok(()),
        Err(error) if error.kind == ApiErrorKind::Forbidden => error,
        Err(error) => return Err(error.into()),
    };
    let message = &answer.message;
    // This is the message of k8s.io/pod-security-admission, `admission.go`. There is no reason code
    // for it.
    let is_forbidden = message.contains("violates PodSecurity");
    // Quotas are checked last (AllOrderedPlugins in `pkg/kubeapiserver/options/plugins.go`), so the
    // level is allowed.
    let is_quota = message.contains("exceeded quota") || message.contains("failed quota");
    if is_quota && !is_forbidden {
        return Ok(());
    }
    let error = match is_forbidden {
        true => forbidden(context, needs, needed, message),
        false => undetermined(context, needs, needed, &answer),
    };
    if !is_forbidden && doubt == Doubt::Unlabelled {
        warnings.push(format!(
            "{}: it has no label {ENFORCE}, and no pod could be tested in it",
            error.what()
        ));
    } else if options.tell_refusals {
        warnings.push(error.what().to_owned());
    } else {
        return Err(error.now("nothing was changed"));
    }
    Ok(())
}

/// Returns the error if the namespace does not allow the level.
fn forbidden(context: &Context<'_>, needs: &[Need], needed: Level, message: &str) -> Error {
    Error::refused(format!(
        "namespace \"{}\" does not allow Pod Security level {needed}, which release \"{}\" needs",
        context.namespace, context.release
    ))
    .at_all(places(needs))
    .why(format!("the cluster would reject the pods: {message}"))
    .hint(format!(
        "{}, or change the values that need it",
        by_hand(context, needed)
    ))
}

/// Returns the error if the namespace cannot be read and the dry run gives no answer.
fn undetermined(context: &Context<'_>, needs: &[Need], needed: Level, answer: &ApiError) -> Error {
    let denial = answer.denial();
    Error::refused(format!(
        "cannot determine whether namespace \"{}\" allows Pod Security level {needed}, which release \"{}\" needs",
        context.namespace, context.release
    ))
    .at_all(places(needs))
    .why(denial.map_or_else(|| answer.message.clone(), |(why, _)| why))
    .why("the namespace cannot be read either; if the new pod of a node is rejected, the node is down")
    .hint("ask for permission to read the namespace (verb get on namespaces): examples/rbac/release.yaml has a Role")
}

fn places(needs: &[Need]) -> impl Iterator<Item = Place> {
    let place = |need: &Need| Place::new(need.key.to_string()).note(need.why.clone());
    needs.iter().map(place)
}

/// Returns a pod that needs this level, and nothing else in its namespace.
fn probe(namespace: &str, level: Level) -> Sealed {
    let context = match level {
        Level::Privileged => json!({"privileged": true}),
        Level::Baseline | Level::Restricted => json!({}),
    };
    let body = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kubectl-fabric-pod-security", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "probe", "image": "registry.k8s.io/pause", "securityContext": context}],
        },
    });
    Object::from_body(body, TemplateLine::default())
        .expect("a pod with a name")
        .into()
}
