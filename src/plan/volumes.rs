//! Decides what happens to a StatefulSet's claims when its claim templates change. Kubernetes
//! itself never updates the claims.
//!
//! | change of the template | claim is bound | claim was never bound |
//! |---|---|---|
//! | more storage | expanded | recreated |
//! | less storage | refused | recreated |
//! | another class, access mode or volume mode | refused | recreated |
//! | class removed | claim keeps its class | claim keeps its class |
//!
//! A pod that lacks the claim of a new template is deleted before the new StatefulSet is created.
//! Otherwise the controller tries to add the volume to the running pod, which is not possible, and
//! never continues (kubernetes/kubernetes#141876).

use crate::manifest::claims::{self, Set, Template};
use crate::manifest::{ObjectKey, quantity};
use serde_json::Value;
use std::fmt;

/// Changes of claims and pods before a StatefulSet is created from its new templates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volumes {
    pub expand: Vec<Expansion>,
    /// Claims that were never bound. They hold no data, and the controller creates them again.
    pub remake: Vec<Held>,
    /// Pods that lack a claim.
    pub restart: Vec<Held>,
}

/// A claim to expand.
#[derive(Clone, Debug, PartialEq)]
pub struct Expansion {
    pub claim: ObjectKey,
    pub uid: String,
    pub from: String,
    pub to: String,
}

/// An object to delete if it has not changed since the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub key: ObjectKey,
    pub uid: String,
    pub version: String,
}

impl Held {
    fn of(kind: &str, body: &Value) -> Held {
        let text = |field: &str| {
            body["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        Held {
            key: key(kind, body),
            uid: text("uid"),
            version: text("resourceVersion"),
        }
    }
}

/// A change that existing claims cannot follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    Smaller {
        claim: ObjectKey,
        from: String,
        to: String,
    },
    Other {
        claim: ObjectKey,
        field: &'static str,
        from: String,
        to: String,
    },
    Replicas {
        set: ObjectKey,
    },
}

impl Obstacle {
    pub fn subject(&self) -> &ObjectKey {
        match self {
            Obstacle::Smaller { claim, .. } | Obstacle::Other { claim, .. } => claim,
            Obstacle::Replicas { set } => set,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Smaller { from, to, .. } => {
                write!(f, "spec.resources.requests.storage {from} → {to}")
            }
            Obstacle::Other {
                field, from, to, ..
            } => write!(f, "spec.{field} {from} → {to}"),
            Obstacle::Replicas { .. } => write!(
                f,
                "spec.volumeClaimTemplates: its pods lack the claims of a new template"
            ),
        }
    }
}

impl Volumes {
    pub fn is_empty(&self) -> bool {
        self.expand.is_empty() && self.remake.is_empty() && self.restart.is_empty()
    }

    /// Formats the expansion as in `ledger-peer0-0 10Gi → 20Gi`.
    pub fn words(&self) -> String {
        let expanded = self
            .expand
            .iter()
            .map(|it| format!("{} {} → {}", it.claim.name, it.from, it.to));
        let made = self
            .remake
            .iter()
            .map(|it| format!("{} is recreated", it.key.name));
        let restarted = self
            .restart
            .iter()
            .map(|it| format!("pod {} restarts", it.key.name));
        expanded
            .chain(made)
            .chain(restarted)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Decides how to change the claims and pods of a desired StatefulSet. `claims` and `pods` are all
/// those of its namespace.
///
/// # Errors
///
/// Fails with all changes that the claims cannot follow.
pub fn plan(set: &Set, claims: &[Value], pods: &[Value]) -> Result<Volumes, Vec<Obstacle>> {
    let (mut volumes, mut obstacles) = (Volumes::default(), Vec::new());
    for template in &set.templates {
        for claim in claims
            .iter()
            .filter(|claim| template.made(&set.key.name, claims::name(claim)))
        {
            follow(template, claim, &mut volumes, &mut obstacles);
        }
    }
    let is_its =
        |pod: &&Value| claims::is_pod_of(&set.key.name, claims::name(pod)) && set.selects(pod);
    for pod in pods.iter().filter(is_its) {
        let remade = |claim: &str| volumes.remake.iter().any(|it| it.key.name == claim);
        let restarts = set.templates.iter().any(|template| {
            let claim = format!("{}-{}", template.name, claims::name(pod));
            !has_volume(pod, &template.name, &claim) || remade(&claim)
        });
        if restarts {
            volumes.restart.push(Held::of("Pod", pod));
        }
    }
    if volumes.restart.len() > 1 {
        obstacles.push(Obstacle::Replicas {
            set: set.key.clone(),
        });
    }
    if obstacles.is_empty() {
        Ok(volumes)
    } else {
        Err(obstacles)
    }
}

fn follow(
    template: &Template,
    claim: &Value,
    volumes: &mut Volumes,
    obstacles: &mut Vec<Obstacle>,
) {
    let (spec, key) = (&claim["spec"], key("PersistentVolumeClaim", claim));
    let mut here = differences(template, claim, &key);
    let (from, to) = (
        claims::size(spec).unwrap_or_default(),
        template.size().unwrap_or_default(),
    );
    let mut grows = false;
    if let (Some(before), Some(after)) = (quantity::bytes(from), quantity::bytes(to)) {
        grows = before < after;
        if before > after {
            here.push(Obstacle::Smaller {
                claim: key.clone(),
                from: from.to_owned(),
                to: to.to_owned(),
            });
        }
    }
    let is_bound = spec["volumeName"].is_string() || claim["status"]["phase"] != "Pending";
    if !is_bound && (grows || !here.is_empty()) {
        volumes
            .remake
            .push(Held::of("PersistentVolumeClaim", claim));
    } else if grows && here.is_empty() {
        let uid = claim["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        volumes.expand.push(Expansion {
            claim: key,
            uid,
            from: from.to_owned(),
            to: to.to_owned(),
        });
    } else {
        obstacles.extend(here);
    }
}

/// Returns the fields of a bound claim that cannot follow its template.
fn differences(template: &Template, claim: &Value, key: &ObjectKey) -> Vec<Obstacle> {
    let (wanted, live) = (template.spec(), &claim["spec"]);
    let words = |value: &Value| {
        let text = value.as_str();
        text.map_or_else(|| value.to_string(), str::to_owned)
    };
    ["storageClassName", "accessModes", "volumeMode"]
        .into_iter()
        .filter(|field| !wanted[field].is_null() && wanted[field] != live[field])
        .map(|field| Obstacle::Other {
            claim: key.clone(),
            field,
            from: words(&live[field]),
            to: words(&wanted[field]),
        })
        .collect()
}

fn has_volume(pod: &Value, template: &str, claim: &str) -> bool {
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.any(|volume| {
        volume["name"] == template && volume["persistentVolumeClaim"]["claimName"] == claim
    })
}

/// Returns the size of the existing claims of a template if it exceeds the template's size, because
/// volumes do not shrink.
pub fn larger<'c>(template: &Template, set: &str, claims: &'c [Value]) -> Option<&'c str> {
    let wanted = quantity::bytes(template.size()?)?;
    let sizes = claims
        .iter()
        .filter(|claim| template.made(set, claims::name(claim)))
        .filter_map(|claim| {
            let size = claims::size(&claim["spec"])?;
            Some((quantity::bytes(size)?, size))
        });
    let largest = sizes.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (largest.0 > wanted).then_some(largest.1)
}

fn key(kind: &str, body: &Value) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: kind.to_owned(),
        namespace: body["metadata"]["namespace"].as_str().map(str::to_owned),
        name: claims::name(body).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(templates: &[(&str, &str, Option<&str>)]) -> Set {
        let templates: Vec<Value> = templates
            .iter()
            .map(|(name, size, class)| {
                json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
                       "resources": {"requests": {"storage": size}}}})
            })
            .collect();
        let body = json!({"kind": "StatefulSet", "metadata": {"name": "peer0"}, "spec": {
            "selector": {"matchLabels": {"node": "peer0"}}, "volumeClaimTemplates": templates}});
        let key = ObjectKey {
            group: "apps".into(),
            kind: "StatefulSet".into(),
            namespace: Some("org1".into()),
            name: "peer0".into(),
        };
        Set::of(&key, &body).unwrap()
    }

    fn claim(name: &str, size: &str, phase: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "org1", "uid": "u", "resourceVersion": "1"},
               "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "volumeMode": "Filesystem",
                        "resources": {"requests": {"storage": size}}},
               "status": {"phase": phase}})
    }

    fn pod(name: &str, volumes: &[&str]) -> Value {
        let volumes: Vec<Value> = volumes
            .iter()
            .map(|volume| json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("{volume}-{name}")}}))
            .collect();
        json!({"metadata": {"name": name, "namespace": "org1", "uid": "p", "labels": {"node": "peer0"}}, "spec": {"volumes": volumes}})
    }

    fn planned(
        templates: &[(&str, &str, Option<&str>)],
        claims: &[Value],
        pods: &[Value],
    ) -> Result<String, String> {
        let obstacles = |obstacles: Vec<Obstacle>| {
            obstacles
                .iter()
                .map(|it| format!("{}: {it}", it.subject().name))
                .collect::<Vec<_>>()
                .join("; ")
        };
        plan(&set(templates), claims, pods)
            .map(|volumes| volumes.words())
            .map_err(obstacles)
    }

    #[test]
    fn claims_follow_their_templates_as_far_as_kubernetes_lets_them() {
        let (bound, pending) = (
            [claim("ledger-peer0-0", "10Gi", "Bound")],
            [claim("ledger-peer0-0", "10Gi", "Pending")],
        );
        let strangers = [
            claim("ledger-peer00-0", "1Gi", "Bound"),
            claim("other-peer0-0", "1Gi", "Bound"),
        ];
        let ledger = |size, class| [("ledger", size, class)];
        for (templates, claims, wanted) in [
            (
                ledger("20Gi", None),
                &bound[..],
                Ok("ledger-peer0-0 10Gi → 20Gi"),
            ),
            (ledger("10240Mi", None), &bound, Ok("")),
            (ledger("20Gi", None), &strangers, Ok("")),
            (ledger("20Gi", None), &[], Ok("")),
            (
                ledger("5Gi", None),
                &bound,
                Err("ledger-peer0-0: spec.resources.requests.storage 10Gi → 5Gi"),
            ),
            (ledger("10Gi", Some("standard")), &bound, Ok("")),
            (
                ledger("20Gi", Some("fast")),
                &bound,
                Err("ledger-peer0-0: spec.storageClassName standard → fast"),
            ),
            (
                ledger("5Gi", Some("fast")),
                &pending,
                Ok("ledger-peer0-0 is recreated"),
            ),
            (
                ledger("20Gi", None),
                &pending,
                Ok("ledger-peer0-0 is recreated"),
            ),
        ] {
            let wanted = wanted.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(planned(&templates, claims, &[]), wanted, "{templates:?}");
        }
    }

    #[test]
    fn a_pod_that_lacks_a_claim_restarts() {
        let (ledger, both) = (
            [("ledger", "1Gi", None)],
            [("ledger", "1Gi", None), ("couchdb", "1Gi", None)],
        );
        let pods = [
            pod("peer0-0", &["ledger"]),
            pod("peer00-0", &[]),
            pod("peer0-web", &[]),
        ];
        assert_eq!(planned(&ledger, &[], &pods), Ok(String::new()));
        assert_eq!(
            planned(&both, &[], &pods),
            Ok("pod peer0-0 restarts".into())
        );
        let two = [pod("peer0-0", &["ledger"]), pod("peer0-1", &["ledger"])];
        assert!(
            planned(&both, &[], &two)
                .unwrap_err()
                .starts_with("peer0: spec.volumeClaimTemplates")
        );
        let pending = [claim("ledger-peer0-0", "2Gi", "Pending")];
        assert_eq!(
            planned(&ledger, &pending, &pods),
            Ok("ledger-peer0-0 is recreated, pod peer0-0 restarts".into())
        );
    }

    #[test]
    fn the_largest_claim_tells_what_a_template_cannot_go_below() {
        let template = |size: &str| set(&[("ledger", size, None)]).templates.remove(0);
        let claims = [
            claim("ledger-peer0-0", "10Gi", "Bound"),
            claim("ledger-peer0-1", "20Gi", "Bound"),
            claim("x-peer0-0", "1Ti", "Bound"),
        ];
        assert_eq!(larger(&template("5Gi"), "peer0", &claims), Some("20Gi"));
        assert_eq!(larger(&template("20Gi"), "peer0", &claims), None);
        assert_eq!(larger(&template("5Gi"), "peer0", &[]), None);
    }
}
