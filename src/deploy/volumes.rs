//! Adapts volumes to changed values. Decides before the first write what a changed claim template
//! means for existing claims, and changes them before the StatefulSet is created from its new
//! templates. An interrupted run leaves either the old templates, so that the next run finds the
//! change, or no StatefulSet, so that the next run creates it.

use super::apply::IN_FLIGHT;
use super::intent::Operation;
use super::observe::{list, list_if_allowed};
use super::past::Past;
use super::recreate::{is_immutable, may_be_recreated};
use super::resolve::Target;
use super::wait::{Awaited, Monitor};
use super::{Context, Event, Options, Writer};
use crate::cluster::{ApiError, ApiErrorKind, Apply, Delete};
use crate::error::{Error, Kind as ErrorKind, Place, Result};
use crate::manifest::claims::{self, Set, Template};
use crate::manifest::{ObjectKey, quantity};
use crate::plan::volumes::{Expansion, Obstacle, Volumes, larger};
use crate::plan::{self, Action, Plan, Step};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The volume claims of the release's namespace, read once on first use.
#[derive(Default)]
pub struct Claims(Option<Option<Vec<Value>>>);

impl Claims {
    /// Returns the claims of a namespace that was just created.
    pub fn none() -> Claims {
        Claims(Some(Some(Vec::new())))
    }

    /// Returns `None` if the user may not list them.
    pub async fn read(&mut self, context: &Context<'_>) -> Result<Option<&[Value]>> {
        if self.0.is_none() {
            self.0 = Some(list_if_allowed(context, "PersistentVolumeClaim").await?);
        }
        Ok(self.0.as_ref().and_then(|read| read.as_deref()))
    }
}

/// Returns true if the specs of the claim templates are the only immutable difference between the
/// live StatefulSet and the desired one.
///
/// The StatefulSet is then deleted without its pods and created again.
pub(super) fn follows(step: &Step, fixed: &[String]) -> bool {
    let (Some(wanted), Some(live)) = (&step.wanted, &step.live) else {
        return false;
    };
    fixed == ["spec.volumeClaimTemplates"] && names(&wanted.body()) == names(live)
}

fn names(set: &Value) -> Vec<String> {
    Template::all(set)
        .into_iter()
        .map(|template| template.name)
        .collect()
}

/// Before a rollback: keeps the size of volumes that have grown, because they cannot shrink.
pub(super) async fn keep_sizes(
    context: &Context<'_>,
    past: &Past,
    target: &mut Target,
    claims: &mut Claims,
) -> Result<()> {
    if target.operation != Operation::Rollback {
        return Ok(());
    }
    let recorded = |set: &Set, template: &Template| {
        let sets = past.sets.iter().filter(|before| before.key == set.key);
        let mut sizes = sets.filter_map(|before| before.template(&template.name)?.size());
        sizes
            .find(|size| is_less(template.size(), size))
            .map(str::to_owned)
    };
    let shrinks = target.manifest.sets.iter().flat_map(|set| {
        let shrunk = set
            .templates
            .iter()
            .filter_map(|template| Some((template, recorded(set, template)?)));
        shrunk.map(|(template, size)| (set.key.clone(), template.clone(), size))
    });
    let shrinks: Vec<(ObjectKey, Template, String)> = shrinks.collect();
    if shrinks.is_empty() {
        return Ok(());
    }
    let live = claims.read(context).await?;
    let mut kept: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for (key, template, recorded) in shrinks {
        let size = match live {
            Some(claims) => larger(&template, &key.name, claims).map(str::to_owned),
            None => Some(recorded),
        };
        let Some(size) = size else { continue };
        resize(target, &key, &template.name, &size);
        let before = template.size().unwrap_or_default().to_owned();
        kept.entry((template.name, size, before))
            .or_default()
            .push(key.name);
    }
    for ((volume, size, before), sets) in kept {
        target.warnings.push(format!(
            "volume {volume} of {} stays at {size}, although the revision has {before}: a volume \
             cannot shrink; set {size} in the values of the next upgrade",
            sets.join(", ")
        ));
    }
    Ok(())
}

fn is_less(size: Option<&str>, other: &str) -> bool {
    let bytes = quantity::bytes;
    matches!((size.and_then(bytes), bytes(other)), (Some(size), Some(other)) if size < other)
}

fn resize(target: &mut Target, key: &ObjectKey, volume: &str, size: &str) {
    let manifest = &mut target.manifest;
    for object in manifest
        .objects
        .iter_mut()
        .filter(|object| object.key == *key)
    {
        let mut opened = object.open();
        let templates = opened.body["spec"]["volumeClaimTemplates"].as_array_mut();
        for template in templates
            .into_iter()
            .flatten()
            .filter(|template| template["metadata"]["name"] == volume)
        {
            template["spec"]["resources"]["requests"]["storage"] = json!(size);
        }
        manifest
            .sets
            .iter_mut()
            .filter(|set| set.key == *key)
            .for_each(|set| set.templates = Template::all(&opened.body));
        *object = Arc::new(opened.into());
    }
    for node in manifest
        .nodes
        .iter_mut()
        .filter(|node| node.place == key.to_string())
    {
        node.volumes.insert(volume.to_owned(), size.to_owned());
    }
}

/// A change of volumes that is not possible.
pub(super) enum Trouble {
    Obstacle(Obstacle),
    /// The server does not expand it.
    Fixed {
        expansion: Expansion,
        class: Option<String>,
        error: ApiError,
    },
    /// Another change of the StatefulSet, with the index of its step.
    Set(usize, ApiError),
}

/// Plans changes of claims for StatefulSets that are created, or recreated because their templates
/// changed, and checks them by server-side dry runs.
///
/// `sets` are those of the desired manifest.
pub(super) async fn plan(
    context: &Context<'_>,
    past: &Past,
    sets: &[Set],
    plan: &mut Plan,
    options: &Options,
    claims: &mut Claims,
) -> Result<Vec<Trouble>> {
    tell_classes(context, past, sets);
    let candidates = candidates(sets, plan, options);
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let Some(claims) = claims.read(context).await? else {
        // A first install creates its claims. Changing existing claims needs the permission to list
        // them.
        let is_new = |(index, _): &(usize, _)| plan.steps[*index].action == Action::Create;
        if !candidates.iter().all(is_new) {
            list(context, "PersistentVolumeClaim").await?;
        }
        return Ok(Vec::new());
    };
    let has_claims = |set: &Set| claims.iter().any(|claim| set.names(claim));
    let candidates: Vec<_> = candidates
        .into_iter()
        .filter(|(_, set)| has_claims(set) || past.lists(&set.key))
        .collect();
    let pods = match candidates.is_empty() {
        true => Vec::new(),
        false => list(context, "Pod").await?,
    };
    let indices = candidates.iter().map(|(index, _)| *index);
    let mut troubles = try_rests(context, plan, indices, options).await;
    let mut planned = Vec::new();
    for (index, set) in candidates {
        match plan::volumes::plan(set, claims, &pods) {
            Ok(volumes) if volumes.is_empty() => {}
            Ok(volumes) => planned.push((index, volumes)),
            Err(obstacles) => troubles.extend(obstacles.into_iter().map(Trouble::Obstacle)),
        }
    }
    let expansions = planned.iter().flat_map(|(_, volumes)| &volumes.expand);
    troubles.extend(try_expansions(context, claims, expansions).await);
    for (index, volumes) in planned {
        let step = &mut plan.steps[index];
        step.why = volumes.words();
        if step.action == Action::Unchanged {
            step.action = Action::Recreate;
        }
        step.volumes = Some(Box::new(volumes));
    }
    Ok(troubles)
}

/// Returns the steps whose claims may have to change, as indices, with their StatefulSets.
fn candidates<'s>(sets: &'s [Set], plan: &Plan, options: &Options) -> Vec<(usize, &'s Set)> {
    let sets: BTreeMap<&ObjectKey, &Set> = sets.iter().map(|set| (&set.key, set)).collect();
    let is_candidate = |step: &Step, set: &Set| match step.action {
        Action::Recreate => {
            let live = step.live.as_ref();
            live.is_some_and(|live| differ(&set.templates, live))
        }
        Action::Create => !set.templates.is_empty(),
        Action::Unchanged => may_be_recreated(step, options),
        _ => false,
    };
    let steps = plan.steps.iter().enumerate();
    steps
        .filter_map(|(index, step)| {
            let set = *sets.get(&step.key)?;
            is_candidate(step, set).then_some((index, set))
        })
        .collect()
}

async fn try_expansions<'e>(
    context: &Context<'_>,
    claims: &[Value],
    expansions: impl Iterator<Item = &'e Expansion>,
) -> Vec<Trouble> {
    let tries: Vec<_> = expansions
        .map(|expansion| async move {
            let tried = context
                .cluster
                .try_merge_patch("v1", &expansion.claim, &patch(expansion))
                .await;
            tried.err().map(|error| (expansion, error))
        })
        .collect();
    let refused: Vec<_> = stream::iter(tries).buffered(IN_FLIGHT).collect().await;
    let trouble = |(expansion, error): (&Expansion, ApiError)| {
        let claim = claims
            .iter()
            .find(|claim| claims::name(claim) == expansion.claim.name);
        let class = claim
            .and_then(|claim| claim["spec"]["storageClassName"].as_str())
            .map(str::to_owned);
        Trouble::Fixed {
            expansion: expansion.clone(),
            class,
            error,
        }
    };
    refused.into_iter().flatten().map(trouble).collect()
}

fn differ(templates: &[Template], live: &Value) -> bool {
    let live = Template::all(live);
    let is_same = |template: &Template| {
        live.iter().any(|it| {
            it.name == template.name && plan::compare::is_part_of(&template.spec(), &it.spec())
        })
    };
    templates.len() != live.len() || !templates.iter().all(is_same)
}

/// Reports claims that keep a storage class that is no longer in the values. Needs no request,
/// because neither claims nor templates change.
fn tell_classes(context: &Context<'_>, past: &Past, sets: &[Set]) {
    let mut kept: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for set in sets {
        let Some(before) = past.sets.iter().find(|before| before.key == set.key) else {
            continue;
        };
        for template in &set.templates {
            // An unchanged template is not parsed.
            let Some(before) = before
                .template(&template.name)
                .filter(|before| *before != template)
            else {
                continue;
            };
            let (wanted, before) = (template.spec(), before.spec());
            if let (true, Some(class)) = (
                wanted["storageClassName"].is_null(),
                before["storageClassName"].as_str(),
            ) {
                kept.entry((&template.name, class.to_owned()))
                    .or_default()
                    .push(&set.key.name);
            }
        }
    }
    for ((volume, class), sets) in kept {
        context.warn(&format!(
            "the claims of volume {volume} of {} keep storage class {class}",
            sets.join(", ")
        ));
    }
}

/// Checks the other changes of StatefulSets whose templates keep their names. `--recreate` has
/// permitted other immutable changes.
async fn try_rests(
    context: &Context<'_>,
    plan: &Plan,
    of: impl Iterator<Item = usize>,
    options: &Options,
) -> Vec<Trouble> {
    let how = Apply {
        dry_run: true,
        force: options.force_conflicts,
        ..Apply::default()
    };
    let rest = |index: usize| {
        let step = &plan.steps[index];
        let live = step
            .live
            .as_ref()
            .filter(|_| step.action == Action::Recreate)?;
        let mut body = step.wanted.as_ref()?.body();
        if names(&body) != names(live) {
            return None;
        }
        body["spec"]["volumeClaimTemplates"] = live["spec"]["volumeClaimTemplates"].clone();
        Some((index, body))
    };
    let tries: Vec<_> = of
        .filter_map(rest)
        .map(|(index, body)| async move { (index, context.cluster.apply(&body, how).await.err()) })
        .collect();
    let refused: Vec<_> = stream::iter(tries).buffered(IN_FLIGHT).collect().await;
    let refused = refused
        .into_iter()
        .filter_map(|(index, error)| Some((index, error?)));
    refused
        .filter(|(_, error)| !is_immutable(error))
        .map(|(index, error)| Trouble::Set(index, error))
        .collect()
}

fn patch(expansion: &Expansion) -> Value {
    json!({"metadata": {"uid": expansion.uid}, "spec": {"resources": {"requests": {"storage": expansion.to}}}})
}

pub(super) fn refusal(context: &Context<'_>, troubles: &[Trouble]) -> Error {
    let is_denied = |trouble: &Trouble| matches!(trouble, Trouble::Fixed { error, .. } if error.denial().is_some());
    let kind = if troubles.iter().any(is_denied) {
        ErrorKind::Cluster
    } else {
        ErrorKind::Refused
    };
    Error::new(
        kind,
        format!(
            "the volumes of release \"{}\" cannot be changed to fit the values",
            context.release
        ),
    )
    .now("nothing was changed: every claim is checked before the first write")
}

/// Adds the problems with volumes to an error.
pub(super) fn report(error: Error, troubles: &[Trouble]) -> Error {
    let mut error = error;
    for trouble in troubles {
        let place = |key: &ObjectKey, note: String| Place::new(key.to_string()).note(note);
        error = match trouble {
            Trouble::Obstacle(obstacle) => {
                error.at(place(obstacle.subject(), obstacle.to_string()))
            }
            Trouble::Fixed { expansion, .. } => {
                let Expansion {
                    claim, from, to, ..
                } = expansion;
                error.at(place(
                    claim,
                    format!("spec.resources.requests.storage {from} → {to}"),
                ))
            }
            Trouble::Set(..) => error,
        };
    }
    let mut said: Vec<(String, String)> = Vec::new();
    for trouble in troubles {
        let words = match trouble {
            Trouble::Obstacle(Obstacle::Smaller { from, .. }) => {
                ("Kubernetes cannot shrink a volume".to_owned(), format!("leave the size at {from}"))
            }
            Trouble::Obstacle(Obstacle::Other { field, from, .. }) => (
                "a bound claim keeps its storage class, access modes and volume mode".to_owned(),
                format!("leave {field} at {from}; to move the data node by node, see docs/guides/volumes.md"),
            ),
            Trouble::Obstacle(Obstacle::Replicas { .. }) => (
                "all of its pods would restart at once for the new claim".to_owned(),
                "give the StatefulSet another name in the chart, so that a new one is created beside it".to_owned(),
            ),
            Trouble::Fixed { error, expansion, .. } if error.denial().is_some() => {
                let (why, hint) = error.denial().unwrap_or_default();
                (why, format!("{hint}; or leave the size at {}", expansion.from))
            }
            Trouble::Fixed { error, class: Some(class), expansion } if error.kind == ApiErrorKind::Forbidden => (
                error.message.clone(),
                format!(
                    "if the driver of storage class {class} can expand volumes, set \
                     allowVolumeExpansion: true in the class and run the command again; or leave \
                     the size at {}",
                    expansion.from
                ),
            ),
            Trouble::Fixed { error, expansion, .. } => (error.message.clone(), format!("leave the size at {}", expansion.from)),
            Trouble::Set(..) => continue,
        };
        if !said.contains(&words) {
            said.push(words);
        }
    }
    for (why, hint) in said {
        error = error.why(why).hint(hint);
    }
    error
}

/// Expands the claims. If the operation waits, waits until their volumes have the size.
pub(super) async fn expand(
    writer: &Writer<'_>,
    volumes: &Volumes,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let Writer {
        context, options, ..
    } = writer;
    let mut awaited = Vec::new();
    for expansion in &volumes.expand {
        writer.check()?;
        let patched = context
            .cluster
            .merge_patch("v1", &expansion.claim, &patch(expansion))
            .await;
        let body = patched.map_err(|error| {
            Error::from(error).context(format!(
                "cannot expand {} from {} to {}",
                expansion.claim, expansion.from, expansion.to
            ))
        })?;
        monitor.note(&expansion.claim, &body);
        awaited.push(Awaited::ready(&expansion.claim, "v1"));
        let action = format!("expanded to {}", expansion.to);
        context.progress.event(&Event::Applied {
            action,
            object: expansion.claim.to_string(),
            nodes: None,
        });
    }
    if options.wait {
        monitor.until_ready(&awaited, options.timeout).await
    } else {
        Ok(())
    }
}

/// Deletes the pods that lack a claim, and the claims that were never bound, while there is no
/// StatefulSet.
pub(super) async fn vacate(
    writer: &Writer<'_>,
    volumes: &Volumes,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let pods = volumes.restart.iter().map(|pod| (pod, None));
    // A claim that was bound in the meantime has another version, and may hold data.
    let claims = volumes
        .remake
        .iter()
        .map(|claim| (claim, Some(claim.version.clone())));
    for (held, version) in pods.chain(claims) {
        writer.check()?;
        let how = Delete {
            uid: Some(held.uid.clone()),
            resource_version: version,
            ..Delete::default()
        };
        let deleted = writer.context.cluster.delete("v1", &held.key, how).await;
        deleted
            .map_err(|error| Error::from(error).context(format!("cannot delete {}", held.key)))?;
        let gone = Awaited::ready(&held.key, "v1");
        monitor
            .until_gone(&gone, Some(&held.uid), writer.options.timeout)
            .await?;
        let object = held.key.to_string();
        writer.context.progress.event(&Event::Applied {
            action: "deleted, to be recreated".to_owned(),
            object,
            nodes: None,
        });
    }
    Ok(())
}

/// Adds claims that differ from their templates to a plan of `drift`.
pub(super) async fn drift(context: &Context<'_>, sets: &[Set], plan: &mut Plan) -> Result<()> {
    if sets.iter().all(|set| set.templates.is_empty()) {
        return Ok(());
    }
    let mut claims = Claims::default();
    let Some(claims) = claims.read(context).await? else {
        context.warn("no permission to list volume claims, so their sizes could not be checked");
        return Ok(());
    };
    for set in sets {
        for template in &set.templates {
            let made = claims
                .iter()
                .filter(|claim| template.made(&set.key.name, claims::name(claim)));
            plan.steps
                .extend(made.filter_map(|claim| drifted(set, template, claim)));
        }
    }
    Ok(())
}

fn drifted(set: &Set, template: &Template, claim: &Value) -> Option<Step> {
    let mut after = claim.clone();
    let bytes = |spec: &Value| claims::size(spec).and_then(quantity::bytes);
    let spec = template.spec();
    let (wanted, live) = (bytes(&spec), bytes(&claim["spec"]));
    let mut whys = Vec::new();
    if let (Some(wanted), Some(live), Some(size)) = (wanted, live, template.size())
        && wanted != live
    {
        after["spec"]["resources"]["requests"]["storage"] = json!(size);
        whys.push(match wanted > live {
            true => format!(
                "`upgrade --recreate StatefulSet/{}` expands it",
                set.key.name
            ),
            false => "a volume cannot shrink: set this size in the values".to_owned(),
        });
    }
    for field in ["storageClassName", "accessModes", "volumeMode"] {
        if !spec[field].is_null() && spec[field] != claim["spec"][field] {
            after["spec"][field] = spec[field].clone();
            whys.push(format!("a claim keeps its {field}"));
        }
    }
    let mut live = claim.clone();
    [&mut live, &mut after]
        .into_iter()
        .for_each(plan::compare::forget_managed_fields);
    (!whys.is_empty()).then(|| Step {
        key: ObjectKey {
            group: String::new(),
            kind: "PersistentVolumeClaim".to_owned(),
            namespace: set.key.namespace.clone(),
            name: claims::name(claim).to_owned(),
        },
        api_version: "v1".to_owned(),
        action: Action::Change,
        wanted: None,
        live: Some(live),
        after: Some(after),
        why: whys.join("; "),
        volumes: None,
        theirs: Vec::new(),
    })
}
