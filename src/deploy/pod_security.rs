//! Manages the Pod Security level of the release's namespace. A namespace that was created for the
//! release gets the strictest level that its pods allow. Labels that someone else set or removed
//! stay as they are.

use super::rendered::level_asked_for;
use super::resolve::Target;
use super::{Context, DryRun, Intent, Options, Past, Writer};
use crate::chart::Origin;
use crate::cluster::{Apply, Expects};
use crate::error::{Error, Place, Result};
use crate::manifest::pod_security::{self, Level, Need};
use crate::manifest::{ObjectKey, annotation};
use crate::plan::compare::owned_fields;
use crate::plan::confine::{Named, is_allowed};
use crate::release::{Entry, Status, Summary};
use crate::storage;
use serde_json::{Value, json};

/// Annotation with the release for which this program created the namespace.
pub(super) const CREATED_FOR: &str = "kubectl-fabric.io/created-for";

/// Labels of the Pod Security admission controller: the first rejects pods, the second warns users
/// who apply workloads with such pods.
pub(super) const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const WARN: &str = "pod-security.kubernetes.io/warn";

/// Returns the release's namespace for creation.
pub(super) fn namespace(context: &Context<'_>, level: Level) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": context.namespace,
            "labels": {"app.kubernetes.io/managed-by": "kubectl-fabric", ENFORCE: level.as_str(), WARN: level.as_str()},
            "annotations": {CREATED_FOR: context.release.as_str()},
        },
    })
}

/// A change of the namespace's level.
pub(super) struct Relabel {
    from: Level,
    to: Level,
    /// UID of the namespace that was read.
    uid: String,
}

impl Relabel {
    /// Before the first pod: allows what the new pods need.
    pub(super) async fn loosen(&self, writer: &Writer<'_>) -> Result<()> {
        if self.to < self.from {
            return Ok(());
        }
        writer.check()?;
        self.apply(writer.context, false).await
    }

    /// After the rollout: forbids what only the old pods needed.
    ///
    /// If the operation did not wait for all pods, old pods could not be created again, so this is
    /// left to the next run.
    pub(super) async fn tighten(&self, writer: &Writer<'_>) -> Result<()> {
        if self.to > self.from || !writer.options.wait {
            return Ok(());
        }
        writer.check()?;
        if let Err(error) = self.apply(writer.context, false).await {
            writer.context.warn(&error.to_string());
        }
        Ok(())
    }

    async fn apply(&self, context: &Context<'_>, dry_run: bool) -> Result<()> {
        let &Relabel { from, to, ref uid } = self;
        let how = Apply {
            dry_run,
            expects: Expects::Uid(uid),
            ..Apply::default()
        };
        context
            .cluster
            .apply(&namespace(context, to), how)
            .await
            .map_err(|error| {
                let what = format!(
                    "cannot change the Pod Security level of namespace \"{}\" from {from} to {to}",
                    context.namespace
                );
                Error::from(error).context(what).hint(by_hand(context, to))
            })?;
        if !dry_run {
            context.step(&format!(
                "namespace {}: Pod Security level {from} → {to}",
                context.namespace
            ));
        }
        Ok(())
    }
}

/// The needs of the pods, and their origin.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub intent: &'a Intent,
    pub past: &'a Past,
    pub target: &'a Target,
}

/// Compares the level that the namespace enforces with the needs of the pods. A namespace without a
/// level stays without one.
///
/// # Errors
///
/// Fails if the namespace is too strict and this release may not change it, or if only data from
/// the cluster requires a more permissive level.
pub(super) async fn settle(
    context: &Context<'_>,
    options: &Options,
    live: &Value,
    wish: Wish<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Relabel>> {
    let needs = wish.target.manifest.pod_needs.as_slice();
    let enforced = live["metadata"]["labels"][ENFORCE]
        .as_str()
        .and_then(Level::parse);
    let needed = pod_security::level(needs);
    let Some(from) = enforced.filter(|enforced| *enforced != needed) else {
        return Ok(None);
    };
    let uid = live["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let relabel = Relabel {
        from,
        to: needed,
        uid,
    };
    let others = others(context, live).await?;
    match (others, needed > from) {
        (None, true) => {
            if let Some(refusal) =
                refuse_unrequested_level(context, options, wish, &relabel).await?
            {
                match options.tell_refusals {
                    true => warnings.push(refusal.what().to_owned()),
                    false => return Err(refusal),
                }
                return Ok(None);
            }
            if options.dry_run != DryRun::Client {
                relabel.apply(context, true).await?;
            }
            warnings.push(format!(
                "namespace \"{}\" goes from Pod Security level {from} to {needed}: {}",
                context.namespace,
                reasons(needs, from).collect::<Vec<_>>().join(", ")
            ));
            Ok(Some(relabel))
        }
        (None, false) => Ok(Some(relabel)),
        (Some(_), false) => Ok(None),
        (Some(whose), true) => {
            let error = too_strict(context, &relabel, needs, &whose);
            match options.tell_refusals {
                true => warnings.push(error.what().to_owned()),
                false => return Err(error),
            }
            Ok(None)
        }
    }
}

/// Returns why this release may not change the namespace's level, or `None` if it may.
async fn others(context: &Context<'_>, live: &Value) -> Result<Option<String>> {
    if annotation(live, CREATED_FOR) != Some(context.release.as_str()) {
        return Ok(Some("it was not created for this release".to_owned()));
    }
    let owned = owned_fields(live)
        .is_some_and(|owned| !owned["f:metadata"]["f:labels"][format!("f:{ENFORCE}")].is_null());
    if !owned {
        return Ok(Some("its label was set by another user".to_owned()));
    }
    let entries = storage::list(context.cluster, Some(&context.namespace)).await?;
    let mut living = entries.iter().filter_map(|entry| match entry {
        Entry::Readable(summary) if summary.status == Status::Uninstalled => None,
        Entry::Readable(Summary { release, .. }) | Entry::Unreadable { release, .. } => {
            Some(release)
        }
    });
    let other = living.find(|release| *release != context.release.as_str());
    Ok(other.map(|other| format!("it also contains release \"{other}\"")))
}

/// Refuses a level that only a record, a kept chart or stored values require.
///
/// Users with write access to the namespace can change these, and the level is meant to restrict
/// such users.
async fn refuse_unrequested_level(
    context: &Context<'_>,
    options: &Options,
    wish: Wish<'_>,
    relabel: &Relabel,
) -> Result<Option<Error>> {
    let Some(stored) = wish.target.provenance.stored() else {
        return Ok(None);
    };
    let &Relabel { from, to, .. } = relabel;
    let namespace = &context.namespace;
    let key = ObjectKey {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: None,
        name: namespace.clone(),
    };
    if is_allowed(&options.allow_outside, &key)
        || level_asked_for(context, wish.intent, wish.past).await? >= to
    {
        return Ok(None);
    }
    let needs = wish
        .target
        .manifest
        .pod_needs
        .iter()
        .filter(|need| need.level > from);
    let again = match wish.target.provenance.chart() {
        Some(Origin::Stored) => {
            "pass the chart with --chart and the values that need the level on the command line, "
        }
        Some(_) => "pass the values that need the level on the command line, ",
        None => "",
    };
    Ok(Some(
        Error::refused(format!(
            "namespace \"{namespace}\" would go from Pod Security level {from} to {to}, which this \
             command does not request"
        ))
        .at_all(needs.map(|need| Place::new(need.key.to_string()).note(need.why.clone())))
        .why(format!("only {stored} requests it, and anyone with write access to the namespace can change that"))
        .now("nothing was changed")
        .hint(format!(
            "to change it: {again}allow it with --allow-outside {}, or {}",
            Named::of(&key),
            by_hand(context, to)
        )),
    ))
}

fn too_strict(
    context: &Context<'_>,
    &Relabel { from, to, .. }: &Relabel,
    needs: &[Need],
    whose: &str,
) -> Error {
    let namespace = &context.namespace;
    let places = needs
        .iter()
        .filter(|need| need.level > from)
        .map(|need| Place::new(need.key.to_string()).note(need.why.clone()));
    Error::refused(format!(
        "namespace \"{namespace}\" allows Pod Security level {from}, but release \"{}\" needs {to}",
        context.release
    ))
    .at_all(places)
    .why(format!(
        "the cluster would reject the pods: the namespace has the label {ENFORCE}={from}, and {whose}"
    ))
    .now("nothing was changed")
    .hint(format!("{}, or change the values that need it", by_hand(context, to)))
}

pub(super) fn by_hand(context: &Context<'_>, level: Level) -> String {
    format!(
        "`kubectl label --overwrite namespace {} {ENFORCE}={level}` changes it",
        context.namespace
    )
}

/// Describes the needs above this level, a phrase each.
fn reasons(needs: &[Need], than: Level) -> impl Iterator<Item = String> {
    needs
        .iter()
        .filter(move |need| need.level > than)
        .map(|need| format!("{} ({})", need.key, need.why))
}
