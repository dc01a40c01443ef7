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
