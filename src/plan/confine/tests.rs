use super::super::{Plan, Step};
use super::*;
use crate::manifest::{HookEvent, Object, TemplateLine};
use serde_json::json;

const VERIFIED: Provenance = recorded(Signature::Verified);

const fn recorded(signature: Signature) -> Provenance {
    Provenance {
        manifest: ManifestOrigin::Recorded { revision: 3 },
        signature,
    }
}

fn owner() -> Owner {
    Owner {
        release: "org1".into(),
        namespace: "org1".into(),
    }
}

fn rendered(chart: Origin, values: ValuesOrigin) -> Provenance {
    Provenance {
        manifest: ManifestOrigin::Rendered { chart, values },
        signature: Signature::Verified,
    }
}

fn object(api_version: &str, kind: &str, namespace: Option<&str>) -> Object {
    let mut body =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "uid": "u1"}});
    if let Some(namespace) = namespace {
        body["metadata"]["namespace"] = json!(namespace);
    }
    Object::from_body(body, TemplateLine::default()).unwrap()
}

fn marked(mut object: Object) -> Object {
    owner().mark(&mut object.body);
    object
}

fn step(action: Action, object: &Object) -> Step {
    Step {
        key: object.key.clone(),
        api_version: object.api_version().to_owned(),
        action,
        wanted: None,
        live: (action != Action::Create).then(|| object.body.clone()),
        after: None,
        why: String::new(),
        volumes: None,
        theirs: Vec::new(),
    }
}

fn beyond(
    action: Action,
    object: &Object,
    provenance: &Provenance,
    uid: Option<&str>,
    allowed: &str,
) -> Option<String> {
    let plan = Plan {
        steps: vec![step(action, object)],
        ..Plan::default()
    };
    let item = InventoryItem {
        key: object.key.clone(),
        api_version: object.api_version().to_owned(),
        uid: uid.map(str::to_owned),
    };
    let allowed: Vec<Named> = allowed
        .split_terminator(',')
        .map(|text| Named::parse(text).unwrap())
        .collect();
    let owner = owner();
    let reach = Reach {
        owner: &owner,
        provenance,
        plan: &plan,
        hooks: &[],
        inventory: &[item],
        allowed: &allowed,
    };
    super::beyond(&reach).pop().map(|(_, why)| why)
}

#[test]
fn only_what_the_caller_gives_in_full_is_not_limited() {
    let stored = ValuesOrigin::Stored { revision: 3 };
    let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", None);
    for (provenance, limited) in [
        (rendered(Origin::Embedded, ValuesOrigin::Given), false),
        (
            rendered(Origin::Path("./chart".into()), ValuesOrigin::Given),
            false,
        ),
        (rendered(Origin::Stored, ValuesOrigin::Given), true),
        (rendered(Origin::Embedded, stored), true),
        (rendered(Origin::Path("./chart".into()), stored), true),
        (rendered(Origin::Stored, stored), true),
        (VERIFIED, true),
        (recorded(Signature::Unsigned), true),
    ] {
        assert_eq!(provenance.stored().is_some(), limited, "{provenance:?}");
        assert_eq!(
            beyond(Action::Create, &role, &provenance, None, "").is_some(),
            limited,
            "{provenance:?}"
        );
    }
}

#[test]
fn what_stands_in_the_cluster_stays_in_its_namespace_or_with_what_is_the_releases() {
    let volume = || object("v1", "PersistentVolume", None);
    let there = |namespace: &str| object("v1", "ConfigMap", Some(namespace));
    let unsigned = recorded(Signature::Unsigned);
    let role = marked(object("rbac.authorization.k8s.io/v1", "ClusterRole", None));
    let deployment = marked(object("apps/v1", "Deployment", Some("kube-system")));
    // A cluster-scoped object with a namespace.
    let disguised = object("rbac.authorization.k8s.io/v1", "ClusterRole", Some("org1"));
    for (action, object, provenance, uid, why) in [
        (Action::Create, there("org1"), &VERIFIED, None, None),
        (Action::Change, there("org1"), &unsigned, None, None),
        (
            Action::Create,
            there("org2"),
            &VERIFIED,
            None,
            Some("would be created"),
        ),
        (
            Action::Create,
            marked(volume()),
            &VERIFIED,
            None,
            Some("would be created"),
        ),
        (
            Action::Create,
            disguised,
            &VERIFIED,
            None,
            Some("would be created"),
        ),
        (
            Action::Change,
            volume(),
            &VERIFIED,
            None,
            Some("no mark of a release"),
        ),
        (Action::Change, marked(volume()), &VERIFIED, None, None),
        (
            Action::Change,
            marked(volume()),
            &VERIFIED,
            Some("u1"),
            None,
        ),
        (
            Action::Change,
            marked(volume()),
            &VERIFIED,
            Some("u2"),
            Some("its UID is different"),
        ),
        (
            Action::Recreate,
            marked(there("org2")),
            &VERIFIED,
            Some("u2"),
            Some("its UID is different"),
        ),
        (
            Action::Change,
            marked(volume()),
            &unsigned,
            Some("u1"),
            Some("cannot be verified"),
        ),
        (
            Action::Change,
            role.clone(),
            &VERIFIED,
            Some("u1"),
            Some("permissions or workloads"),
        ),
        (
            Action::Change,
            deployment,
            &VERIFIED,
            Some("u1"),
            Some("permissions or workloads"),
        ),
        (Action::Unchanged, role.clone(), &unsigned, Some("u1"), None),
        (Action::Prune, role, &unsigned, Some("u1"), None),
    ] {
        let said = beyond(action, &object, provenance, uid, "");
        assert_eq!(
            said.is_some(),
            why.is_some(),
            "{action:?} {}: {said:?}",
            object.key
        );
        assert!(
            said.unwrap_or_default().contains(why.unwrap_or_default()),
            "{action:?} {}",
            object.key
        );
    }
}

#[test]
fn a_flag_names_one_object() {
    let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", None);
    let secret = object("v1", "Secret", Some("org2"));
    for (object, allowed, refused) in [
        (&role, "ClusterRole/x", false),
        (&role, "Role/y,clusterrole/x", false),
        (&role, "ClusterRole/y", true),
        (&role, "ClusterRole/org1/x", true),
        (&secret, "Secret/org2/x", false),
        (&secret, "Secret/org3/x", true),
        (&secret, "Secret/x", true),
    ] {
        assert_eq!(
            beyond(Action::Create, object, &VERIFIED, None, allowed).is_some(),
            refused,
            "{} {allowed}",
            object.key
        );
    }
    for wrong in [
        "",
        "ClusterRole",
        "ClusterRole/",
        "/x",
        "a/b/c/d",
        "Secret//x",
    ] {
        assert!(Named::parse(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(Named::of(&secret.key).to_string(), "Secret/org2/x");
}

#[test]
fn a_refusal_lists_everything_with_the_flag_that_allows_it() {
    let hook = |object: Object| Hook {
        object,
        events: vec![HookEvent::PreDelete],
        weight: 0,
        delete_policies: Vec::new(),
    };
    let binding = hook(object(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        None,
    ));
    let own = hook(object("v1", "ConfigMap", Some("org1")));
    let plan = Plan {
        steps: vec![step(Action::Create, &object("v1", "Secret", Some("org2")))],
        ..Plan::default()
    };
    let owner = owner();
    let (hooks, provenance) = ([&own, &binding], VERIFIED);
    let reach = |allowed| Reach {
        owner: &owner,
        provenance: &provenance,
        plan: &plan,
        hooks: &hooks,
        inventory: &[],
        allowed,
    };
    let error = refusal(&reach(&[]), "uninstall").expect("a refusal");
    assert_eq!(
        (error.kind().exit_status(), error.places().len()),
        (4, 2),
        "{error}"
    );
    let said = error.to_string();
    for part in [
        "ClusterRoleBinding x   it is a hook, which is written in every run",
        "--allow-outside Secret/org2/x,ClusterRoleBinding/x",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let allowed = ["Secret/org2/x", "ClusterRoleBinding/x"].map(|text| Named::parse(text).unwrap());
    assert_eq!(refusal(&reach(&allowed), "uninstall"), None);
}
