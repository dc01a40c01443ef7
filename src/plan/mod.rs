//! Compares desired, recorded and live objects, and decides what will change. The plan is data that
//! can be printed and tested. Writes nothing.

pub mod compare;
pub mod confine;
pub mod defaults;
pub mod diff;
pub mod foreign;
pub mod hooks;
mod forms;
pub mod mask;
pub mod ownership;
pub mod users;
pub mod volumes;
#[cfg(test)]
mod tests;

use crate::error::{Error, Place, Result};
use crate::manifest::{self, Hook, HookEvent, ObjectKey, Sealed, outline};
use crate::release::InventoryItem;
use foreign::{Foreign, Standing};
use hooks::HookStep;
use ownership::Owner;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use volumes::Volumes;

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Create,
    Change,
    /// An immutable field changes: delete the object (its pods and volumes stay) and create it
    /// again.
    Recreate,
    Unchanged,
    /// No longer desired, and owned by the release: delete it.
    Prune,
    /// No longer desired, but kept. `why` has the reason.
    Keep,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub key: ObjectKey,
    pub api_version: String,
    pub action: Action,
    /// `None` for prune and keep.
    pub wanted: Option<Arc<Sealed>>,
    /// The live object. If it is unchanged, or deleted without being shown, only a part of it (see
    /// [`Seen`]).
    pub live: Option<Value>,
    /// The object after the change, from a dry run if there was one.
    pub after: Option<Value>,
    /// For keep, the reason. For recreate, the field.
    pub why: String,
    /// For a StatefulSet, what its claims and pods need before it is created.
    pub volumes: Option<Box<Volumes>>,
    /// Fields of other managers: those that the change removes, or for `drift` all of them.
    pub theirs: Vec<Foreign>,
}

impl Step {
    /// Returns the fields that others added and that the change removes.
    pub fn added(&self) -> impl Iterator<Item = &Foreign> {
        self.theirs
            .iter()
            .filter(|foreign| foreign.standing == Standing::Added)
    }

    /// Returns the UID of the live object.
    pub fn uid(&self) -> Option<String> {
        self.live
            .as_ref()?
            .pointer("/metadata/uid")?
            .as_str()
            .map(str::to_owned)
    }

    /// Returns the resourceVersion of the live object when the plan was made.
    pub fn resource_version(&self) -> Option<&str> {
        self.live
            .as_ref()?
            .pointer("/metadata/resourceVersion")?
            .as_str()
    }
}

/// The steps, in the order of application. Prunes and keeps come last.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The hooks that run, in order. Hooks do not count as differences: they run if the operation
    /// does.
    pub hooks: Vec<HookStep>,
}

impl Plan {
    pub fn count(&self, action: Action) -> usize {
        self.steps
            .iter()
            .filter(|step| step.action == action)
            .count()
    }

    /// Returns true if the operation would write nothing but the record.
    pub fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.action, Action::Unchanged | Action::Keep))
    }

    pub fn with(&self, action: Action) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.action == action)
    }
}

/// The parts of a live object that a plan needs.
#[derive(Clone, Debug)]
pub struct Seen {
    pub body: Value,
    /// Whether applying the desired object would change nothing.
    settled: bool,
    theirs: Vec<Foreign>,
}

/// What to extract from live objects in addition to the comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether the output shows objects that are deleted.
    pub shown: bool,
    pub additions: Additions,
}

/// How to handle fields that others added to objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Additions {
    /// Keep them, except fields that this program also set before.
    #[default]
    Stay,
    /// Remove them.
    Go,
    /// Report them, with all other fields that others set.
    Reported,
}

impl Seen {
    /// Compares a live object with the desired one, if there is one.
    ///
    /// Most objects of a large release are unchanged. To avoid holding the whole cluster in memory,
    /// keeps only a remnant of these, and the outline of objects to delete unless they are shown.
    pub fn new(wanted: Option<&Sealed>, body: Value, look: Look) -> Seen {
        let Some(wanted) = wanted else {
            let body = if look.shown {
                body
            } else {
                outline::outline(body)
            };
            return Seen {
                body,
                settled: false,
                theirs: Vec::new(),
            };
        };
        let tree = wanted.body();
        let is_settled = compare::is_settled(&tree, &body);
        if is_settled && look.additions == Additions::Stay {
            return Seen {
                body: outline::remnant(&wanted.key.group, &wanted.key.kind, body),
                settled: true,
                theirs: Vec::new(),
            };
        }
        let found = foreign::find(&tree, &body);
        let theirs = match look.additions {
            Additions::Reported => found,
            additions => foreign::to_remove(found, &body, additions == Additions::Go),
        };
        let settled = is_settled
            && theirs
                .iter()
                .all(|foreign| foreign.standing == Standing::Allowed);
        let body = if settled {
            outline::remnant(&wanted.key.group, &wanted.key.kind, body)
        } else {
            body
        };
        Seen {
            body,
            settled,
            theirs,
        }
    }
}

/// The live objects by key.
pub type Live = HashMap<ObjectKey, Seen>;

/// The inputs of a plan.
pub struct Inputs<'a> {
    /// In the order of application, with the owner's marks and a namespace each.
    pub wanted: Vec<Arc<Sealed>>,
    pub live: Live,
    /// Objects that earlier attempts wrote or may have written, including failed ones.
    pub inventory: &'a [InventoryItem],
    /// Hooks of the desired revision, which are neither applied with its objects nor pruned.
    pub hooks: Vec<&'a Hook>,
    /// The events of the operation. Hooks with one of these events run.
    pub events: &'a [HookEvent],
    /// Hooks out of the operation's reach ([`confine::beyond`]). For these, the refusal does not
    /// report the owner.
    pub confined: &'a [ObjectKey],
    pub owner: &'a Owner,
    pub take_ownership: bool,
}

/// Compares desired and live objects and decides a step for each.
///
/// A value that the server normalizes may appear as a change. A dry run corrects this ([`settle`]).
///
/// # Errors
///
/// Fails if existing objects belong to others, and lists all of them.
pub fn make(inputs: Inputs) -> Result<Plan> {
    let refused = refuse_foreign(&inputs);
    let Inputs {
        wanted,
        mut live,
        inventory,
        hooks,
        events,
        owner,
        ..
    } = inputs;
    refused?;
    let wanted = wanted.into_iter();
    let mut steps: Vec<Step> = wanted
        .map(|object| {
            let seen = live.remove(&object.key);
            wanted_step(object, seen)
        })
        .collect();
    let wanted_keys: HashSet<&ObjectKey> = steps.iter().map(|step| &step.key).collect();
    let elsewhere: HashSet<&ObjectKey> = hooks.iter().map(|hook| &hook.object.key).collect();
    let is_left =
        |item: &&InventoryItem| !wanted_keys.contains(&item.key) && !elsewhere.contains(&item.key);
    let leftover: BTreeMap<&ObjectKey, &InventoryItem> = inventory
        .iter()
        .filter(is_left)
        .map(|item| (&item.key, item))
        .collect();
    let mut leaving: Vec<Step> = leftover
        .into_values()
        .filter_map(|item| Some(leaving_step(item, live.remove(&item.key)?.body, owner)))
        .collect();
    // Reverse order of application: late stages first.
    let stage = |step: &Step| step.live.as_ref().map_or(0, manifest::stage);
    leaving.sort_by(|a, b| {
        let kinds = manifest::order::compare_kinds(&b.key.kind, &a.key.kind);
        stage(b)
            .cmp(&stage(a))
            .then(kinds)
            .then_with(|| a.key.cmp(&b.key))
    });
    steps.extend(leaving);
    let mut hooks: Vec<HookStep> = hooks
        .iter()
        .filter_map(|hook| HookStep::new(hook, events, &mut live))
        .collect();
    hooks.sort_by(|a, b| (a.hook.weight, &a.step.key.name).cmp(&(b.hook.weight, &b.step.key.name)));
    Ok(Plan { steps, hooks })
}

fn wanted_step(object: Arc<Sealed>, mut seen: Option<Seen>) -> Step {
    let action = match &seen {
        None => Action::Create,
        Some(seen) if seen.settled => Action::Unchanged,
        Some(_) => Action::Change,
    };
    let theirs = seen.as_mut().map(|seen| std::mem::take(&mut seen.theirs));
    Step {
        key: object.key.clone(),
        api_version: object.api_version.clone(),
        action,
        wanted: Some(object),
        after: None,
        why: String::new(),
        volumes: None,
        theirs: theirs.unwrap_or_default(),
        live: seen.map(|seen| seen.body),
    }
}

fn leaving_step(item: &InventoryItem, body: Value, owner: &Owner) -> Step {
    let (action, why) = leave(item, &body, owner);
    Step {
        key: item.key.clone(),
        api_version: item.api_version.clone(),
        action,
        wanted: None,
        live: Some(body),
        after: None,
        why,
        volumes: None,
        theirs: Vec::new(),
    }
}

/// Refuses objects and hooks whose names belong to objects of others, and hooks that would delete
/// an object of the release.
fn refuse_foreign(inputs: &Inputs) -> Result<()> {
    let Inputs {
        wanted,
        live,
        hooks,
        events,
        confined,
        owner,
        take_ownership,
        ..
    } = inputs;
    let whose = |key: &ObjectKey| {
        let Seen { body, settled, .. } = live.get(key)?;
        // An unchanged object has this release's marks, because the desired one has them.
        let is_ours = *settled || owner.owns(body);
        let identity = hooks::holds_identity(body)
            .then(|| "it holds an identity, and identities are never adopted".to_owned());
        let foreign = || (!*take_ownership).then(|| ownership::owner_of(body));
        if is_ours {
            None
        } else {
            identity.or_else(foreign)
        }
    };
    let objects = wanted
        .iter()
        .filter_map(|object| Some(Place::new(object.key.to_string()).note(whose(&object.key)?)));
    let runs = |hook: &&&Hook| {
        hook.events.iter().any(|event| events.contains(event))
            && !confined.contains(&hook.object.key)
    };
    let run = hooks.iter().filter(runs);
    let of_hooks = run.filter_map(|hook| {
        let key = &hook.object.key;
        let note = match wanted.iter().any(|object| object.key == *key) {
            true => "the release has an object of this name".to_owned(),
            false => whose(key)?,
        };
        let event = hook
            .events
            .iter()
            .find(|event| events.contains(event))
            .map_or("", |event| event.as_str());
        Some(Place::new(key.to_string()).note(format!("hook of {event}: {note}")))
    });
    let foreign: Vec<Place> = objects.chain(of_hooks).collect();
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(not_its_own(owner, foreign)),
    }
}

fn not_its_own(owner: &Owner, foreign: Vec<Place>) -> Error {
    let release = &owner.release;
    let what = match foreign.len() {
        1 => format!("an object of release \"{release}\" exists already and is not its own"),
        _ => format!("objects of release \"{release}\" exist already and are not its own"),
    };
    Error::refused(what)
        .at_all(foreign)
        .hint("choose another name or namespace, or adopt the objects with --take-ownership")
}

/// The reason why an object with the policy `keep` stays.
pub const SAYS_KEEP: &str = "its resource policy is keep";

/// Decides whether an object that is no longer desired is deleted or kept, with the reason.
fn leave(item: &InventoryItem, body: &Value, owner: &Owner) -> (Action, String) {
    let keep = |why: &str| (Action::Keep, why.to_owned());
    if !owner.owns(body) {
        return keep("it now belongs to another release");
    }
    // Marks can be copied, so the UID must match as well. An interrupted operation may not have
    // recorded UIDs; then only the marks count.
    if item.uid.is_some() && item.uid.as_deref() != body["metadata"]["uid"].as_str() {
        return keep("it is not the recorded object: it was recreated");
    }
    if manifest::is_kept(body) {
        return keep(SAYS_KEEP);
    }
    match item.key.kind.as_str() {
        "PersistentVolumeClaim" | "PersistentVolume" if matches!(item.key.group.as_str(), "") => {
            keep("it holds data")
        }
        "Namespace" if item.key.group.is_empty() => {
            keep("deleting it would delete everything else in it")
        }
        _ if body["metadata"]["labels"]
            .get(crate::identity::LABEL)
            .is_some() =>
        {
            keep("it holds an identity")
        }
        _ => (Action::Prune, String::new()),
    }
}

/// Updates a step with the result of a dry run. A change without an effect becomes no change.
pub fn settle(step: &mut Step, mut after: Value) {
    let same = step
        .live
        .as_ref()
        .is_some_and(|live| compare::same_but_for_bookkeeping(live, &after));
    // A field of another manager is applied even if it is equal, so that this program owns it.
    let owned = step.live.as_ref().and_then(compare::owned_fields);
    let ours = owned.is_some() && owned == compare::owned_fields(&after);
    if step.action == Action::Change && same && step.added().next().is_none() {
        match ours {
            true => step.action = Action::Unchanged,
            false => step.why = "only its field manager changes".to_owned(),
        }
    }
    step.added()
        .for_each(|foreign| foreign.field.remove(&mut after));
    // managedFields are no longer needed, and are as large as the object itself.
    step.live
        .iter_mut()
        .chain([&mut after])
        .for_each(compare::forget_managed_fields);
    step.after = Some(after);
}
