//! The order in which kinds are applied. Deletion uses the reverse order.

use std::cmp::Ordering;

/// Kinds in the order of application: objects that others need come first.
///
/// This is Helm's order (helm/pkg/release/v1/util/kind_sorter.go), so that charts behave as their
/// authors expect.
const KINDS: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Kinds whose objects are passive until a pod or a request uses them, and that do not need each
/// other.
///
/// ServiceAccounts are not among them: a token Secret without its account is deleted.
const AT_REST: [&str; 7] = [
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodDisruptionBudget",
    "Secret",
    "ConfigMap",
    "Service",
];

/// Returns true if objects of these kinds, which are adjacent in the order, may be applied at the
/// same time.
pub fn may_go_together(one: &str, other: &str) -> bool {
    one == other || (AT_REST.contains(&one) && AT_REST.contains(&other))
}

/// Compares two kinds by the order of application. Kinds outside the table come last, by name.
pub fn compare_kinds(a: &str, b: &str) -> Ordering {
    place(a).cmp(&place(b))
}

/// Returns a kind's index in the table. Kinds outside the table are compared by name.
fn place(kind: &str) -> (usize, &str) {
    match KINDS.iter().position(|known| *known == kind) {
        Some(place) => (place, ""),
        None => (KINDS.len(), kind),
    }
}

/// Sorts objects by stage, then by kind, both of which `of` returns. Objects of one kind keep the
/// chart's order.
pub fn install_order<T>(objects: &mut [T], of: impl Fn(&T) -> (i32, &str)) {
    objects.sort_by_cached_key(|object| {
        let (stage, kind) = of(object);
        let (place, name) = place(kind);
        (stage, place, name.to_owned())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Object, TemplateLine};
    use serde_json::json;

    fn object(kind: &str, name: &str, stage: i32) -> Object {
        let body = json!({"apiVersion": "v1", "kind": kind, "metadata": {
            "name": name, "annotations": {"kubectl-fabric.io/stage": stage.to_string()}}});
        Object::from_body(body, TemplateLine::default()).unwrap()
    }

    fn stage_and_kind(object: &Object) -> (i32, &str) {
        (object.stage(), &object.key.kind)
    }

    fn names(objects: &[Object]) -> Vec<&str> {
        objects
            .iter()
            .map(|object| object.key.name.as_str())
            .collect()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

        /// The order in the chart's templates does not matter: stages and kinds come out in the
        /// same order, and objects of one kind keep the chart's order.
        #[test]
        fn the_order_of_stages_and_kinds_does_not_depend_on_the_charts(
            kinds in proptest::collection::vec((proptest::sample::select(&[
                "Secret", "Service", "StatefulSet", "Job", "NetworkPolicy", "Zebra", "Antelope", "CustomResourceDefinition",
            ][..]), -2..3i32), 0..24),
            seed: u64,
        ) {
            let objects: Vec<Object> =
                kinds.iter().enumerate().map(|(at, (kind, stage))| object(kind, &format!("{at:02}"), *stage)).collect();
            let mut shuffled = objects.clone();
            shuffled.sort_by_key(|object| (object.key.name.parse::<u64>().unwrap() + 1).wrapping_mul(seed | 1).rotate_left(17));
            let steps = |objects: &[Object]| -> Vec<(i32, String)> {
                objects.iter().map(|object| (object.stage(), object.key.kind.clone())).collect()
            };
            let (mut installed, mut other) = (objects, shuffled);
            install_order(&mut installed, stage_and_kind);
            install_order(&mut other, stage_and_kind);
            proptest::prop_assert_eq!(steps(&installed), steps(&other));
            for pair in installed.windows(2) {
                let [a, b] = pair else { unreachable!("windows of two") };
                let order = a.stage().cmp(&b.stage()).then_with(|| compare_kinds(&a.key.kind, &b.key.kind));
                proptest::prop_assert!(order == Ordering::Less || order == Ordering::Equal && a.key.name < b.key.name);
            }
        }
    }

    #[test]
    fn objects_go_by_stage_then_kind_and_stay_in_place_within_a_kind() {
        let mut objects = vec![
            object("StatefulSet", "late", 1),
            object("Zebra", "unknown-z", 0),
            object("Service", "b", 0),
            object("Antelope", "unknown-a", 0),
            object("Service", "a", 0),
            object("ConfigMap", "config", 0),
            object("NetworkPolicy", "first", -1),
        ];
        install_order(&mut objects, stage_and_kind);
        assert_eq!(
            names(&objects),
            [
                "first",
                "config",
                "b",
                "a",
                "unknown-a",
                "unknown-z",
                "late"
            ]
        );
    }
}
