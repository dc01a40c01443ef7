//! Table of known kinds, so that addressing their objects needs no request.
//!
//! For other kinds (custom resources in a user's chart), `cluster` queries the server's discovery.

/// The address data of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    pub api_version: &'static str,
    pub kind: &'static str,
    /// The name in URLs and RBAC rules: `statefulsets`.
    pub plural: &'static str,
    /// False for cluster-scoped kinds.
    pub namespaced: bool,
}

const fn namespaced(
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> KindInfo {
    KindInfo {
        api_version,
        kind,
        plural,
        namespaced: true,
    }
}

const fn cluster_wide(
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> KindInfo {
    KindInfo {
        api_version,
        kind,
        plural,
        namespaced: false,
    }
}

const KINDS: &[KindInfo] = &[
    namespaced("v1", "ConfigMap", "configmaps"),
    namespaced("v1", "Endpoints", "endpoints"),
    namespaced("v1", "Event", "events"),
    namespaced("v1", "LimitRange", "limitranges"),
    cluster_wide("v1", "Namespace", "namespaces"),
    cluster_wide("v1", "Node", "nodes"),
    cluster_wide("v1", "PersistentVolume", "persistentvolumes"),
    namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    namespaced("v1", "Pod", "pods"),
    namespaced("v1", "PodTemplate", "podtemplates"),
    namespaced("v1", "ReplicationController", "replicationcontrollers"),
    namespaced("v1", "ResourceQuota", "resourcequotas"),
    namespaced("v1", "Secret", "secrets"),
    namespaced("v1", "Service", "services"),
    namespaced("v1", "ServiceAccount", "serviceaccounts"),
    cluster_wide(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    cluster_wide(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    cluster_wide(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    ),
    cluster_wide("apiregistration.k8s.io/v1", "APIService", "apiservices"),
    namespaced("apps/v1", "ControllerRevision", "controllerrevisions"),
    namespaced("apps/v1", "DaemonSet", "daemonsets"),
    namespaced("apps/v1", "Deployment", "deployments"),
    namespaced("apps/v1", "ReplicaSet", "replicasets"),
    namespaced("apps/v1", "StatefulSet", "statefulsets"),
    namespaced(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    namespaced("batch/v1", "CronJob", "cronjobs"),
    namespaced("batch/v1", "Job", "jobs"),
    namespaced("coordination.k8s.io/v1", "Lease", "leases"),
    namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    namespaced("events.k8s.io/v1", "Event", "events"),
    namespaced("networking.k8s.io/v1", "Ingress", "ingresses"),
    cluster_wide("networking.k8s.io/v1", "IngressClass", "ingressclasses"),
    namespaced("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    namespaced("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    cluster_wide(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
    ),
    cluster_wide(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
    ),
    namespaced("rbac.authorization.k8s.io/v1", "Role", "roles"),
    namespaced(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
    ),
    cluster_wide("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"),
    cluster_wide("storage.k8s.io/v1", "StorageClass", "storageclasses"),
];

/// Returns the row of a kind, or `None` if the table does not have this kind or version.
pub fn lookup(api_version: &str, kind: &str) -> Option<KindInfo> {
    KINDS
        .iter()
        .find(|row| row.api_version == api_version && row.kind == kind)
        .copied()
}

/// Returns true if only users write the objects of a kind: it has no status, and no controller
/// fills in its fields.
pub fn is_left_alone(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "ConfigMap" | "LimitRange" | "PodTemplate" | "Secret" | "Service" | "ServiceAccount"
        ),
        "networking.k8s.io" => matches!(kind, "IngressClass" | "NetworkPolicy"),
        "rbac.authorization.k8s.io" => {
            matches!(kind, "ClusterRoleBinding" | "Role" | "RoleBinding")
        }
        "scheduling.k8s.io" | "storage.k8s.io" => matches!(kind, "PriorityClass" | "StorageClass"),
        _ => false,
    }
}

/// Returns the row for an API group and a resource, as in an RBAC rule.
pub fn of_rule(group: &str, plural: &str) -> Option<KindInfo> {
    let group_of = |row: &KindInfo| {
        row.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    };
    KINDS
        .iter()
        .find(|row| row.plural == plural && group_of(row) == group)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, Resource};

    trait Scope {
        const NAMESPACED: bool;
    }
    impl Scope for NamespaceResourceScope {
        const NAMESPACED: bool = true;
    }
    impl Scope for ClusterResourceScope {
        const NAMESPACED: bool = false;
    }

    fn generated<T: Resource>() -> KindInfo
    where
        T::Scope: Scope,
    {
        KindInfo {
            api_version: T::API_VERSION,
            kind: T::KIND,
            plural: T::URL_PATH_SEGMENT,
            namespaced: <T::Scope as Scope>::NAMESPACED,
        }
    }

    #[test]
    fn every_row_says_what_kubernetes_own_schema_says() {
        use k8s_openapi::api::{
            admissionregistration::v1 as admission, apps::v1 as apps,
            autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination,
            core::v1 as core, discovery::v1 as discovery, events::v1 as events,
            networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
            scheduling::v1 as scheduling, storage::v1 as storage,
        };
        let schema = [
            generated::<core::ConfigMap>(),
            generated::<core::Endpoints>(),
            generated::<core::Event>(),
            generated::<core::LimitRange>(),
            generated::<core::Namespace>(),
            generated::<core::Node>(),
            generated::<core::PersistentVolume>(),
            generated::<core::PersistentVolumeClaim>(),
            generated::<core::Pod>(),
            generated::<core::PodTemplate>(),
            generated::<core::ReplicationController>(),
            generated::<core::ResourceQuota>(),
            generated::<core::Secret>(),
            generated::<core::Service>(),
            generated::<core::ServiceAccount>(),
            generated::<admission::MutatingWebhookConfiguration>(),
            generated::<admission::ValidatingWebhookConfiguration>(),
            generated::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>(),
            generated::<k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService>(),
            generated::<apps::ControllerRevision>(),
            generated::<apps::DaemonSet>(),
            generated::<apps::Deployment>(),
            generated::<apps::ReplicaSet>(),
            generated::<apps::StatefulSet>(),
            generated::<autoscaling::HorizontalPodAutoscaler>(),
            generated::<batch::CronJob>(),
            generated::<batch::Job>(),
            generated::<coordination::Lease>(),
            generated::<discovery::EndpointSlice>(),
            generated::<events::Event>(),
            generated::<networking::Ingress>(),
            generated::<networking::IngressClass>(),
            generated::<networking::NetworkPolicy>(),
            generated::<policy::PodDisruptionBudget>(),
            generated::<rbac::ClusterRole>(),
            generated::<rbac::ClusterRoleBinding>(),
            generated::<rbac::Role>(),
            generated::<rbac::RoleBinding>(),
            generated::<scheduling::PriorityClass>(),
            generated::<storage::StorageClass>(),
        ];
        assert_eq!(KINDS, schema);
    }

    #[test]
    fn a_kind_of_the_users_own_is_not_in_the_table() {
        assert_eq!(
            lookup("apps/v1", "StatefulSet").map(|row| row.plural),
            Some("statefulsets")
        );
        assert_eq!(lookup("apps/v1beta1", "StatefulSet"), None);
        assert_eq!(lookup("example.com/v1", "Widget"), None);
    }
}
