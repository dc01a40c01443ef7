//! Wanted + recorded + live → what will change, as data one can print and test. Decides everything; writes nothing.

pub mod compare;
pub mod confine;
pub mod diff;
pub mod mask;
pub mod ownership;

use crate::error::{Error, Place, Result};
use crate::manifest::{self, ObjectKey, Sealed, readiness};
use crate::release::InventoryItem;
use ownership::Owner;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What happens to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Create,
    Change,
    /// An immutable field changes: the object is deleted (its pods and volumes stay) and made anew.
    Recreate,
    Unchanged,
    /// No longer wanted, and ours: deleted.
    Prune,
    /// No longer wanted, but kept: `why` says the reason.
    Keep,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub key: ObjectKey,
    pub api_version: String,
    pub action: Action,
    /// Absent for prune and keep.
    pub wanted: Option<Arc<Sealed>>,
    /// The object as it is in the cluster; of one that is unchanged, and of one that leaves unseen, what is left of it (see [`Seen`]).
    pub live: Option<Value>,
    /// The object as the server would have it after the change, when it was asked.
    pub after: Option<Value>,
    /// For keep: why. For recreate: the field.
    pub why: String,
}

impl Step {
    /// The UID of the live object.
    pub fn uid(&self) -> Option<String> {
        self.live.as_ref()?.pointer("/metadata/uid")?.as_str().map(str::to_owned)
    }
}

/// In the order of application; prunes and keeps last.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }

    /// Whether nothing but the record would be written.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.action, Action::Unchanged | Action::Keep))
    }

    pub fn with(&self, action: Action) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.action == action)
    }
}

/// A live object, as far as a plan needs it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub body: Value,
    /// Whether applying what is wanted of it would change nothing.
    settled: bool,
}

impl Seen {
    /// Compares a live object with what is wanted of it, if anything. What is settled is nearly all of a large release: of it only a
    /// remnant stays, so that the whole cluster is never held at once; and the outline of what leaves, unless that is `shown`.
    pub fn new(wanted: Option<&Sealed>, mut body: Value, shown: bool) -> Seen {
        match wanted {
            Some(wanted) if compare::is_settled(&wanted.body(), &body) => {
                Seen { body: readiness::remnant(&wanted.key.group, &wanted.key.kind, body), settled: true }
            }
            Some(_) => Seen { body, settled: false },
            None if !shown => Seen { body: readiness::outline(body), settled: false },
            None => {
                compare::forget_managed_fields(&mut body);
                Seen { body, settled: false }
            }
        }
    }
}

/// What is in the cluster, by identity.
pub type Live = HashMap<ObjectKey, Seen>;

/// What a plan is made from.
pub struct Inputs<'a> {
    /// In the order of application, marked as the owner's, each with its namespace.
    pub wanted: Vec<Arc<Sealed>>,
    pub live: Live,
    /// What earlier attempts wrote or meant to write, failed ones included.
    pub inventory: &'a [InventoryItem],
    /// Objects that are neither applied nor pruned here: hooks of the wanted revision.
    pub elsewhere: BTreeSet<ObjectKey>,
    pub owner: &'a Owner,
    pub take_ownership: bool,
}

/// Compares what is wanted with what is live and decides a step for each object. What the server writes in a form of its own may
/// come out as a change that is none; a dry-run settles that ([`settle`]).
///
/// # Errors
///
/// Objects that exist and belong to others: all of them at once.
pub fn make(inputs: Inputs) -> Result<Plan> {
    let Inputs { wanted, mut live, inventory, elsewhere, owner, take_ownership } = inputs;
    let foreign: Vec<Place> = wanted
        .iter()
        .filter_map(|object| {
            let Seen { body, settled } = live.get(&object.key)?;
            // Our marks are wanted of it, too.
            let taken = *settled || owner.owns(body) || take_ownership;
            (!taken).then(|| Place::new(object.key.to_string()).note(ownership::owner_of(body)))
        })
        .collect();
    if !foreign.is_empty() {
        let many = foreign.len() > 1;
        return Err(Error::refused(format!(
            "{} of release \"{}\" {} and {} not its own",
            if many { "objects" } else { "an object" },
            owner.release,
            if many { "exist already" } else { "exists already" },
            if many { "are" } else { "is" },
        ))
        .at_all(foreign)
        .hint("choose another name or namespace, or take the objects over with --take-ownership"));
    }
    let mut steps: Vec<Step> = wanted
        .into_iter()
        .map(|object| {
            let seen = live.remove(&object.key);
            let action = match &seen {
                None => Action::Create,
                Some(seen) if seen.settled => Action::Unchanged,
                Some(_) => Action::Change,
            };
            Step {
                key: object.key.clone(),
                api_version: object.api_version.clone(),
                action,
                live: seen.map(|seen| seen.body),
                after: None,
                wanted: Some(object),
                why: String::new(),
            }
        })
        .collect();
    let wanted_keys: HashSet<&ObjectKey> = steps.iter().map(|step| &step.key).collect();
    let mut leftover: BTreeMap<&ObjectKey, &InventoryItem> = BTreeMap::new();
    for item in inventory.iter().filter(|item| !wanted_keys.contains(&item.key) && !elsewhere.contains(&item.key)) {
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
            })
        })
        .collect();
    // The reverse of how they were applied: late stages first.
    let stage = |step: &Step| step.live.as_ref().map_or(0, manifest::stage);
    leaving.sort_by(|a, b| {
        let kinds = manifest::order::compare_kinds(&b.key.kind, &a.key.kind);
        stage(b).cmp(&stage(a)).then(kinds).then_with(|| a.key.cmp(&b.key))
    });
    steps.extend(leaving);
    Ok(Plan { steps })
}

/// Whether an object that is no longer wanted goes or stays, and why.
fn leave(item: &InventoryItem, body: &Value, owner: &Owner) -> (Action, String) {
    let keep = |why: &str| (Action::Keep, why.to_owned());
    if !owner.owns(body) {
        return keep("it belongs to another by now");
    }
    let uid = body["metadata"]["uid"].as_str();
    let is_another = item.uid.is_some() && item.uid.as_deref() != uid;
    if is_another && confine::is_outside(owner, &item.key, &item.api_version) {
        return keep("it is not the object that was recorded: its UID is another");
    }
    if manifest::is_kept(body) {
        return keep("its resource policy says keep");
    }
    match item.key.kind.as_str() {
        "PersistentVolumeClaim" | "PersistentVolume" if matches!(item.key.group.as_str(), "") => keep("it holds data"),
        "Namespace" if item.key.group.is_empty() => keep("everything else in it would go with it"),
        _ if body["metadata"]["labels"].get(crate::identity::LABEL).is_some() => keep("it holds an identity"),
        _ => (Action::Prune, String::new()),
    }
}

/// What a dry-run said about a change: the object as it would be. A change that changes nothing is none.
pub fn settle(step: &mut Step, mut after: Value) {
    let same = step.live.as_ref().is_some_and(|live| compare::same_but_for_bookkeeping(live, &after));
    // An object that we never applied is applied even if it is equal, so that its fields become ours.
    let ours = step.live.as_ref().is_some_and(|live| compare::owned_fields(live).is_some());
    if step.action == Action::Change && same && ours {
        step.action = Action::Unchanged;
    }
    // They have told what they can, and are as large as the rest.
    step.live.iter_mut().chain([&mut after]).for_each(compare::forget_managed_fields);
    step.after = Some(after);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Object, Source};
    use serde_json::json;

    fn owner() -> Owner {
        Owner { release: "org1".into(), namespace: "org1".into() }
    }

    fn object(kind: &str, name: &str) -> Object {
        let mut body =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "org1"}, "data": {"a": "b"}});
        owner().mark(&mut body);
        Object::from_body(body, Source::default()).unwrap()
    }

    fn live(objects: &[Object]) -> Live {
        objects.iter().map(|object| (object.key.clone(), Seen::new(None, object.body.clone(), true))).collect()
    }

    fn item(object: &Object) -> InventoryItem {
        InventoryItem { key: object.key.clone(), api_version: "v1".into(), uid: None }
    }

    fn plan(wanted: Vec<Object>, live: Live, inventory: &[InventoryItem]) -> Result<Plan> {
        let wanted = wanted.into_iter().map(|object| Arc::new(object.into())).collect();
        make(Inputs { wanted, live, inventory, elsewhere: BTreeSet::new(), owner: &owner(), take_ownership: false })
    }

    #[test]
    fn what_earlier_attempts_left_is_pruned_unless_it_holds_data_or_is_not_ours() {
        let (gone, claim) = (object("ConfigMap", "gone"), object("PersistentVolumeClaim", "ledger"));
        let mut kept = object("ConfigMap", "kept");
        kept.body["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("Keep");
        let mut foreign = object("ConfigMap", "foreign");
        foreign.body["metadata"]["annotations"]["kubectl-fabric.io/release"] = json!("other");
        let vanished = object("ConfigMap", "vanished");
        let inventory: Vec<_> = [&gone, &claim, &kept, &foreign, &vanished].into_iter().map(item).collect();
        let plan = plan(vec![], live(&[gone, claim, kept, foreign]), &inventory).unwrap();
        let actions: BTreeMap<&str, Action> = plan.steps.iter().map(|step| (step.key.name.as_str(), step.action)).collect();
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
    fn objects_of_others_are_refused_all_at_once() {
        let mut theirs = object("ConfigMap", "a");
        theirs.body["metadata"] = json!({"name": "a", "namespace": "org1"});
        let mut helms = object("Secret", "b");
        helms.body["metadata"]["annotations"] = json!({"meta.helm.sh/release-name": "x"});
        let error = plan(vec![object("ConfigMap", "a"), object("Secret", "b")], live(&[theirs, helms]), &[]).unwrap_err();
        assert_eq!(error.places().len(), 2, "{error}");
        assert_eq!(error.kind().exit_status(), 4);
        assert!(error.to_string().contains("Helm release \"x\""), "{error}");
    }

    #[test]
    fn a_dry_run_that_changes_nothing_settles_a_change() {
        let wanted = object("ConfigMap", "a");
        let mut there = wanted.body.clone();
        there["metadata"]["managedFields"] =
            json!([{"manager": "kubectl-fabric", "operation": "Apply", "fieldsV1": {"f:data": {"f:z": {}}}}]);
        let seen = Seen::new(Some(&wanted.clone().into()), there.clone(), true);
        let mut plan = plan(vec![wanted.clone()], Live::from([(wanted.key.clone(), seen)]), &[]).unwrap();
        assert_eq!(plan.steps[0].action, Action::Change);
        settle(&mut plan.steps[0], there);
        assert_eq!(plan.steps[0].action, Action::Unchanged);
    }
}
