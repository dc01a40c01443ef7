//! Adapts volumes to changed values. Decides before the first write what a changed claim template
//! means for existing claims, and changes them before the StatefulSet is created from its new
//! templates. An interrupted run leaves either the old templates, so that the next run finds the
//! change, or no StatefulSet, so that the next run creates it.

mod change;
mod drift;
mod sizes;
mod trial;
mod trouble;

pub(super) use change::{expand, vacate};
pub(super) use drift::drift;
pub(super) use sizes::keep_sizes;
pub(super) use trouble::{Trouble, refusal, report};

use super::observe::{list, list_if_allowed};
use super::past::Past;
use super::recreate::may_be_recreated;
use super::{Context, Options};
use crate::error::Result;
use crate::manifest::ObjectKey;
use crate::manifest::claims::{Set, Template};
use crate::plan::volumes::Expansion;
use crate::plan::{self, Action, Plan, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trial::{try_expansions, try_rests};

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

fn patch(expansion: &Expansion) -> Value {
    json!({"metadata": {"uid": expansion.uid}, "spec": {"resources": {"requests": {"storage": expansion.to}}}})
}
