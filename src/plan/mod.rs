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
    let mut steps: Vec<Step> = wanted
        .into_iter()
        .map(|object| {
            let mut seen = live.remove(&object.key);
            let action = match &seen {
                None => Action::Create,
                Some(seen) if seen.settled => Action::Unchanged,
                Some(_) => Action::Change,
            };
            Step {
                key: object.key.clone(),
                api_version: object.api_version.clone(),
                action,
                wanted: Some(object),
                after: None,
                why: String::new(),
                volumes: None,
                theirs: seen
                    .as_mut()
                    .map(|seen| std::mem::take(&mut seen.theirs))
                    .unwrap_or_default(),
                live: seen.map(|seen| seen.body),
            }
        })
        .collect();
    let wanted_keys: HashSet<&ObjectKey> = steps.iter().map(|step| &step.key).collect();
    let elsewhere: HashSet<&ObjectKey> = hooks.iter().map(|hook| &hook.object.key).collect();
    let mut leftover: BTreeMap<&ObjectKey, &InventoryItem> = BTreeMap::new();
    for item in inventory
        .iter()
        .filter(|item| !wanted_keys.contains(&item.key) && !elsewhere.contains(&item.key))
    {
        leftover.insert(&item.key, item);
    }
    let mut leaving: Vec<Step> = leftover
        .into_values()
        .filter_map(|item| {
            let Seen { body, .. } = live.remove(&item.key)?;
            let (action, why) = leave(item, &body, owner);
            Some(Step {
                key: item.key.clone(),
                api_version: item.api_version.clone(),
                action,
                wanted: None,
                live: Some(body),
                after: None,
                why,
                volumes: None,
                theirs: Vec::new(),
            })
        })
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
    if foreign.is_empty() {
        return Ok(());
    }
    let many = foreign.len() > 1;
    Err(Error::refused(format!(
        "{} of release \"{}\" {} and {} not its own",
        if many { "objects" } else { "an object" },
        owner.release,
        if many {
            "exist already"
        } else {
            "exists already"
        },
        if many { "are" } else { "is" },
    ))
    .at_all(foreign)
    .hint("choose another name or namespace, or adopt the objects with --take-ownership"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{DeletePolicy, Object, TemplateLine};
    use serde_json::json;

    const SHOWN: Look = Look {
        shown: true,
        additions: Additions::Stay,
    };

    fn owner() -> Owner {
        Owner {
            release: "org1".into(),
            namespace: "org1".into(),
        }
    }

    fn object(kind: &str, name: &str) -> Object {
        let mut body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "org1"}, "data": {"a": "b"}});
        owner().mark(&mut body);
        Object::from_body(body, TemplateLine::default()).unwrap()
    }

    fn live(objects: &[Object]) -> Live {
        objects
            .iter()
            .map(|object| {
                (
                    object.key.clone(),
                    Seen::new(None, object.body.clone(), SHOWN),
                )
            })
            .collect()
    }

    fn item(object: &Object) -> InventoryItem {
        InventoryItem {
            key: object.key.clone(),
            api_version: "v1".into(),
            uid: None,
        }
    }

    fn plan(wanted: Vec<Object>, live: Live, inventory: &[InventoryItem]) -> Result<Plan> {
        let wanted = wanted
            .into_iter()
            .map(|object| Arc::new(object.into()))
            .collect();
        make(Inputs {
            wanted,
            live,
            inventory,
            hooks: vec![],
            events: &[],
            confined: &[],
            owner: &owner(),
            take_ownership: false,
        })
    }

    #[test]
    fn what_earlier_attempts_left_is_pruned_unless_it_holds_data_or_is_not_ours() {
        let (gone, claim) = (
            object("ConfigMap", "gone"),
            object("PersistentVolumeClaim", "ledger"),
        );
        let mut kept = object("ConfigMap", "kept");
        kept.body["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("Keep");
        let mut foreign = object("ConfigMap", "foreign");
        foreign.body["metadata"]["annotations"]["kubectl-fabric.io/release"] = json!("other");
        let vanished = object("ConfigMap", "vanished");
        let inventory: Vec<_> = [&gone, &claim, &kept, &foreign, &vanished]
            .into_iter()
            .map(item)
            .collect();
        let plan = plan(vec![], live(&[gone, claim, kept, foreign]), &inventory).unwrap();
        let actions: BTreeMap<&str, Action> = plan
            .steps
            .iter()
            .map(|step| (step.key.name.as_str(), step.action))
            .collect();
        assert_eq!(
            actions,
            BTreeMap::from([
                ("gone", Action::Prune),
                ("ledger", Action::Keep),
                ("kept", Action::Keep),
                ("foreign", Action::Keep)
            ])
        );
    }

    #[test]
    fn what_was_deleted_and_created_again_since_it_was_recorded_is_kept() {
        let (mut same, mut other) = (object("ConfigMap", "same"), object("ConfigMap", "other"));
        let recorded = [&same, &other].map(|object| InventoryItem {
            uid: Some("1".into()),
            ..item(object)
        });
        same.body["metadata"]["uid"] = json!("1");
        other.body["metadata"]["uid"] = json!("2");
        let plan = plan(vec![], live(&[same, other]), &recorded).unwrap();
        let actions: Vec<_> = plan
            .steps
            .iter()
            .map(|step| (step.key.name.as_str(), step.action))
            .collect();
        assert_eq!(actions, [("other", Action::Keep), ("same", Action::Prune)]);
        assert!(
            plan.steps[0].why.contains("recreated"),
            "{}",
            plan.steps[0].why
        );
    }

    fn hook(object: Object, policies: &[DeletePolicy]) -> Hook {
        Hook {
            object,
            events: vec![HookEvent::PreInstall, HookEvent::Test],
            weight: 0,
            delete_policies: policies.to_vec(),
        }
    }

    fn plan_hooks(hooks: &[Hook], live: Live, take_ownership: bool) -> Result<Plan> {
        let events = &[HookEvent::PreInstall, HookEvent::PostInstall];
        make(Inputs {
            wanted: vec![],
            live,
            inventory: &[],
            hooks: hooks.iter().collect(),
            events,
            confined: &[],
            owner: &owner(),
            take_ownership,
        })
    }

    #[test]
    fn a_hook_replaces_what_is_ours_and_never_what_holds_data() {
        let before = [DeletePolicy::BeforeHookCreation];
        let mut identity = object("Secret", "identity");
        identity.body["metadata"]["labels"][crate::identity::LABEL] = json!("org1");
        let hooks = [
            hook(object("ConfigMap", "new"), &before),
            hook(object("ConfigMap", "replaced"), &before),
            hook(
                object("ConfigMap", "changed"),
                &[DeletePolicy::HookSucceeded],
            ),
            hook(object("Pod", "pod"), &[DeletePolicy::HookSucceeded]),
            hook(object("PersistentVolumeClaim", "claim"), &before),
            hook(identity.clone(), &before),
            Hook {
                events: vec![HookEvent::PreDelete],
                ..hook(object("ConfigMap", "other-event"), &before)
            },
        ];
        let there: Vec<Object> = hooks[1..].iter().map(|hook| hook.object.clone()).collect();
        let plan = plan_hooks(&hooks, live(&there), false).unwrap();
        let actions: BTreeMap<&str, Action> = plan
            .hooks
            .iter()
            .map(|hook| (hook.step.key.name.as_str(), hook.step.action))
            .collect();
        assert_eq!(
            actions,
            BTreeMap::from([
                ("new", Action::Create),
                ("replaced", Action::Recreate),
                ("changed", Action::Change),
                ("pod", Action::Recreate),
                ("claim", Action::Change),
                ("identity", Action::Change),
            ])
        );
        assert!(
            plan.hooks
                .iter()
                .all(|hook| hook.events == [HookEvent::PreInstall])
        );
        assert!(plan.is_empty(), "a hook is no difference");
    }

    #[test]
    fn hooks_with_the_name_of_something_else_are_refused_with_the_rest() {
        let mut theirs = object("ConfigMap", "theirs");
        theirs.body["metadata"] = json!({"name": "theirs", "namespace": "org1"});
        let hooks = [hook(object("ConfigMap", "theirs"), &[])];
        let error = plan_hooks(&hooks, live(std::slice::from_ref(&theirs)), false).unwrap_err();
        assert_eq!(
            (error.places().len(), error.kind().exit_status()),
            (1, 4),
            "{error}"
        );
        assert!(error.to_string().contains("hook of pre-install"), "{error}");
        let taken = plan_hooks(&hooks, live(&[theirs]), true).unwrap();
        assert_eq!(taken.hooks[0].step.action, Action::Change);

        let ours = object("ConfigMap", "ours");
        let wanted = vec![Arc::new(ours.clone().into())];
        let (hooks, events) = ([hook(ours, &[])], [HookEvent::PreInstall]);
        let error = make(Inputs {
            wanted,
            live: Live::new(),
            inventory: &[],
            hooks: hooks.iter().collect(),
            events: &events,
            confined: &[],
            owner: &owner(),
            take_ownership: true,
        });
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("the release has an object of this name")
        );
    }

    #[test]
    fn objects_of_others_are_refused_all_at_once() {
        let mut theirs = object("ConfigMap", "a");
        theirs.body["metadata"] = json!({"name": "a", "namespace": "org1"});
        let mut helms = object("Secret", "b");
        helms.body["metadata"]["annotations"] = json!({"meta.helm.sh/release-name": "x"});
        let error = plan(
            vec![object("ConfigMap", "a"), object("Secret", "b")],
            live(&[theirs, helms]),
            &[],
        )
        .unwrap_err();
        assert_eq!(error.places().len(), 2, "{error}");
        assert_eq!(error.kind().exit_status(), 4);
        assert!(error.to_string().contains("Helm release \"x\""), "{error}");
    }

    #[test]
    fn a_dry_run_that_changes_nothing_settles_a_change() {
        let wanted = object("ConfigMap", "a");
        let mut there = wanted.body.clone();
        there["metadata"]["managedFields"] = json!([{"manager": "kubectl-fabric", "operation": "Apply", "fieldsV1": {"f:data": {"f:z": {}}}}]);
        let seen = Seen::new(Some(&wanted.clone().into()), there.clone(), SHOWN);
        let mut plan = plan(
            vec![wanted.clone()],
            Live::from([(wanted.key.clone(), seen)]),
            &[],
        )
        .unwrap();
        assert_eq!(plan.steps[0].action, Action::Change);
        settle(&mut plan.steps[0], there);
        assert_eq!(plan.steps[0].action, Action::Unchanged);
    }
}
