//! Determines the owner of data that stays in the cluster, and what wrote it. Its StatefulSet, and
//! later the records, may no longer exist.

use super::past::Past;
use super::volumes::Claims;
use super::{Context, Prepared, Writer};
use crate::cluster::{Cluster, Kind};
use crate::error::Result;
use crate::fabric::guard::{Facts, Node, WRITTEN_BY, Written};
use crate::identity;
use crate::manifest::claims::{self, Set};
use crate::manifest::{ObjectKey, annotation};
use crate::plan::ownership::Owner;
use crate::plan::{Action, Plan, Step};
use serde_json::{Value, json};

/// Reason for keeping a claim of the release if the user did not ask to delete it.
pub(super) const HOLDS_DATA: &str = "it holds data";
/// Reason for keeping an identity.
pub(super) const HOLDS_IDENTITY: &str = "it holds an identity";

/// The owner of a volume claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    /// The name matches one of this release's claims, but nothing else indicates that it belongs to
    /// the release.
    Unknown(&'static str),
    Others,
}

/// Inputs for determining the owner of data.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub past: &'a Past,
    pub owner: &'a Owner,
    pub plan: &'a Plan,
}

impl<'a> Judge<'a> {
    pub fn of(prepared: &'a Prepared) -> Judge<'a> {
        Judge {
            past: &prepared.past,
            owner: &prepared.owner,
            plan: &prepared.plan,
        }
    }

    /// Returns the owner of a claim.
    ///
    /// A claim belongs to this release because of its marks, which an uninstall or an adopting
    /// release sets; because of a node's labels; or because of its name and labels, if the release
    /// created the matching StatefulSet.
    pub fn whose(self, claim: &Value) -> Whose {
        if let Some(ours) = self.owner.has(claim) {
            return if ours { Whose::Ours } else { Whose::Others };
        }
        let named = || self.past.sets.iter().filter(|set| set.names(claim));
        if named().any(|set| self.is_of_others(set)) {
            return Whose::Others;
        }
        if is_of_a_node(self.owner, claim)
            || named().any(|set| set.selects(claim) && self.made(set))
        {
            return Whose::Ours;
        }
        if named().any(|set| set.selects(claim)) {
            return Whose::Unknown(
                "no verified record shows that this release created its StatefulSet",
            );
        }
        match named().next() {
            Some(_) => {
                Whose::Unknown("it has the name of a volume of this release, but not the labels")
            }
            None => Whose::Others,
        }
    }

    /// Returns the StatefulSets that the release created.
    pub fn sets(self) -> Vec<&'a Set> {
        self.past
            .sets
            .iter()
            .filter(|set| self.made(set) && !self.is_of_others(set))
            .collect()
    }

    /// Returns true if a verified record shows that the release created the StatefulSet, or if it
    /// exists and belongs to the release.
    ///
    /// A record from before the first write lists objects that someone else may have created since.
    fn made(self, set: &Set) -> bool {
        self.past.made(&set.key) || self.steps(set).any(|step| step.action == Action::Prune)
    }

    fn is_of_others(self, set: &Set) -> bool {
        self.steps(set).any(|step| {
            step.live
                .as_ref()
                .is_some_and(|live| !self.owner.owns(live))
        })
    }

    fn steps(self, set: &Set) -> impl Iterator<Item = &'a Step> {
        self.plan
            .steps
            .iter()
            .filter(move |step| step.wanted.is_none() && step.key == set.key)
    }
}

/// Returns true if labels and name show that one of this program's charts created the claim for a
/// node of the release.
fn is_of_a_node(owner: &Owner, claim: &Value) -> bool {
    let label = |name: &str| {
        claim["metadata"]["labels"][name]
            .as_str()
            .unwrap_or_default()
    };
    let node = label("kubectl-fabric.io/node");
    let volume = claims::name(claim)
        .split_once('-')
        .map_or("", |(volume, _)| volume);
    !node.is_empty()
        && label("app.kubernetes.io/instance") == owner.release
        && claims::is_made(volume, node, claims::name(claim))
}

/// Returns the volume claims of the namespace, and the Secrets with identities of this release.
pub(super) async fn data(cluster: &Cluster, owner: &Owner) -> Result<(Vec<Value>, Vec<Value>)> {
    let list = |kind: &'static str, selector: String| async move {
        cluster
            .list(
                &Kind {
                    api_version: "v1".into(),
                    kind: kind.into(),
                },
                Some(&owner.namespace),
                &selector,
            )
            .await
    };
    let claims = list("PersistentVolumeClaim", String::new());
    let identities = list("Secret", format!("{}={}", identity::LABEL, owner.release));
    Ok(futures::try_join!(claims, identities)?)
}

/// Returns true if an uninstall kept data of this release, which no longer has records.
pub(super) async fn is_left(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool> {
    let owner = Owner {
        release: release.to_owned(),
        namespace: namespace.to_owned(),
    };
    let (claims, identities) = data(cluster, &owner).await?;
    Ok(!identities.is_empty() || has_ours(&owner, &claims))
}

/// Returns true if volume claims of a release without records are left.
pub(super) async fn has_claims(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool> {
    let owner = Owner {
        release: release.to_owned(),
        namespace: namespace.to_owned(),
    };
    let kind = Kind {
        api_version: "v1".into(),
        kind: "PersistentVolumeClaim".into(),
    };
    let claims = cluster.list(&kind, Some(namespace), "").await?;
    Ok(has_ours(&owner, &claims))
}

fn has_ours(owner: &Owner, claims: &[Value]) -> bool {
    let judge = Judge {
        past: &Past::default(),
        owner,
        plan: &Plan::default(),
    };
    claims.iter().any(|claim| judge.whose(claim) == Whose::Ours)
}

/// Records owner and writer on the claims of nodes before they are pruned, because no later record
/// will describe them.
pub(super) async fn note_leaving(writer: &Writer<'_>, prepared: &Prepared) -> Result<()> {
    let leaves = |key: &ObjectKey| {
        prepared
            .plan
            .with(Action::Prune)
            .any(|step| step.key == *key)
    };
    let sets: Vec<_> = prepared
        .past
        .sets
        .iter()
        .filter(|set| !set.templates.is_empty() && leaves(&set.key))
        .collect();
    if sets.is_empty() || facts(&prepared.past).is_none() {
        return Ok(());
    }
    let mut claims = Claims::default();
    let claims = claims.read(writer.context).await?.unwrap_or_default();
    let judge = Judge::of(prepared);
    let left = claims.iter().filter(|claim| {
        sets.iter().any(|set| set.names(claim)) && judge.whose(claim) == Whose::Ours
    });
    note(writer, prepared, left).await
}

/// Records owner and writer on kept claims before an uninstall deletes the records.
///
/// For nodes that are unknown there is nothing to record about the writer. Recording only the owner
/// would cost a request per claim. It is done for claims that the user asked to delete but that are
/// in use, and for claims to be deleted whose owner only their StatefulSet shows: this run may end
/// before they are gone.
pub(super) async fn note_kept(writer: &Writer<'_>, prepared: &Prepared) -> Result<()> {
    let claims = || {
        prepared
            .plan
            .steps
            .iter()
            .filter(|step| step.wanted.is_none() && step.key.kind == "PersistentVolumeClaim")
    };
    let judge = Judge::of(prepared);
    let ours = |claim: &&Value| judge.whose(claim) == Whose::Ours;
    let kept = claims()
        .filter(|step| step.action == Action::Keep)
        .filter_map(|step| step.live.as_ref())
        .filter(ours);
    note(writer, prepared, kept).await?;
    let is_known = |claim: &&Value| {
        prepared
            .past
            .sets
            .iter()
            .any(|set| set.names(claim) && prepared.past.made(&set.key))
    };
    let going = claims()
        .filter(|step| step.action == Action::Prune)
        .filter_map(|step| step.live.as_ref())
        .filter(ours);
    let going = going.filter(|claim| !is_known(claim));
    let in_use = claims().filter(|step| step.action == Action::Keep && step.why != HOLDS_DATA);
    let in_use = in_use.filter_map(|step| step.live.as_ref()).filter(ours);
    for claim in going.chain(in_use) {
        if prepared.owner.has(claim) != Some(true) && !is_of_a_node(&prepared.owner, claim) {
            writer.check()?;
            put(writer.context, claim, prepared.owner.marks()).await;
        }
    }
    Ok(())
}

/// Returns the claims without this release's marks that a StatefulSet will adopt because it is
/// created or taken over from another owner. `sets` are those of the desired manifest.
pub(super) async fn taken_up(
    context: &Context<'_>,
    owner: &Owner,
    sets: &[Set],
    plan: &Plan,
    take_ownership: bool,
    claims: &mut Claims,
) -> Result<Vec<Value>> {
    let takes = |step: &&Step| match step.action {
        Action::Create => true,
        Action::Change | Action::Recreate => {
            take_ownership && step.live.as_ref().is_some_and(|live| !owner.owns(live))
        }
        // An unchanged object already has our marks.
        Action::Unchanged | Action::Prune | Action::Keep => false,
    };
    let set = |step: &Step| {
        sets.iter()
            .find(|set| set.key == step.key && !set.templates.is_empty())
    };
    let taking: Vec<(&Step, &Set)> = plan
        .steps
        .iter()
        .filter(takes)
        .filter_map(|step| Some((step, set(step)?)))
        .collect();
    if taking.is_empty() {
        return Ok(Vec::new());
    }
    let claims = claims.read(context).await?.unwrap_or_default();
    let is_marked = |claim: &Value| match owner.has(claim) {
        Some(ours) => ours,
        None => is_of_a_node(owner, claim),
    };
    let takes_up = |claim: &&Value| {
        taking
            .iter()
            .any(|(step, set)| set.names(claim) && has_pod_for(step, claim))
            && !is_marked(claim)
    };
    Ok(claims.iter().filter(takes_up).cloned().collect())
}

/// Returns true if the StatefulSet of a step has a pod with the claim's number.
fn has_pod_for(step: &Step, claim: &Value) -> bool {
    let Some(body) = step.wanted.as_ref().map(|wanted| wanted.body()) else {
        return false;
    };
    let first = body["spec"]["ordinals"]["start"].as_u64().unwrap_or(0);
    let count = body["spec"]["replicas"].as_u64().unwrap_or(1);
    let number = claims::name(claim)
        .rsplit_once('-')
        .and_then(|(_, number)| number.parse::<u64>().ok());
    number.is_some_and(|number| number >= first && number - first < count)
}

/// Marks the adopted claims as this release's, so that an uninstall of an earlier release does not
/// treat them as its own.
pub(super) async fn take_up(writer: &Writer<'_>, prepared: &Prepared) -> Result<()> {
    for claim in &prepared.taken_up {
        writer.check()?;
        put(writer.context, claim, prepared.owner.marks()).await;
    }
    Ok(())
}

/// Returns the recorded facts of a Fabric release.
fn facts(past: &Past) -> Option<Facts> {
    past.baseline
        .as_ref()
        .map(|record| Facts::read(&record.guard))
        .filter(|facts| facts.model.is_some())
}

async fn note(
    writer: &Writer<'_>,
    prepared: &Prepared,
    left: impl Iterator<Item = &Value>,
) -> Result<()> {
    let Prepared { past, owner, .. } = prepared;
    let facts = facts(past);
    for claim in left {
        let is_its = |node: &&Node| {
            node.volumes
                .keys()
                .any(|volume| claims::is_made(volume, &node.name, claims::name(claim)))
        };
        let mut nodes = past.nodes.values().flatten().filter(is_its).peekable();
        // A node that left earlier was recorded then.
        let written = facts.as_ref().filter(|_| nodes.peek().is_some());
        let written = written.map(|facts| Written::of(nodes, facts).to_text());
        let written = written.filter(|text| annotation(claim, WRITTEN_BY) != Some(text.as_str()));
        let Some(text) = written else { continue };
        let mut notes = owner.marks();
        notes[WRITTEN_BY] = json!(text);
        writer.check()?;
        put(writer.context, claim, notes).await;
    }
    Ok(())
}

/// Adds notes to a claim. They only help later runs, so a failure is not an error.
async fn put(context: &Context<'_>, claim: &Value, notes: Value) {
    let key = ObjectKey::core(
        "PersistentVolumeClaim",
        &context.namespace,
        claims::name(claim),
    );
    let patch = json!({"metadata": {"uid": claim["metadata"]["uid"], "annotations": notes}});
    if let Err(error) = context.cluster.merge_patch("v1", &key, &patch).await {
        context.warn(&format!(
            "cannot mark {key} with its owner for later runs: {}",
            error.message
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::claims::Set;

    fn sets() -> Vec<Set> {
        let key = ObjectKey {
            group: "apps".into(),
            kind: "StatefulSet".into(),
            namespace: None,
            name: "db".into(),
        };
        let body = json!({"spec": {"selector": {"matchLabels": {"app": "db"}}, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}});
        Set::of(&key, &body).into_iter().collect()
    }

    /// The StatefulSet exists and belongs to this release.
    fn live(release: &str) -> Plan {
        let mut body = json!({"metadata": {"name": "db"}});
        Owner {
            release: release.into(),
            namespace: "org1".into(),
        }
        .mark(&mut body);
        let action = if release == "org1" {
            Action::Prune
        } else {
            Action::Keep
        };
        let step = Step {
            key: sets()[0].key.clone(),
            api_version: "apps/v1".into(),
            action,
            wanted: None,
            live: Some(body),
            after: None,
            why: String::new(),
            volumes: None,
            theirs: Vec::new(),
        };
        Plan {
            steps: vec![step],
            hooks: Vec::new(),
        }
    }

    #[test]
    fn a_claim_is_ours_by_its_marks_or_by_its_name_and_labels_and_the_set_that_made_it() {
        let past = Past {
            sets: sets(),
            ..Past::default()
        };
        let owner = Owner {
            release: "org1".into(),
            namespace: "org1".into(),
        };
        let node = |release: &str| json!({"app.kubernetes.io/instance": release, "kubectl-fabric.io/node": "peer2"});
        let labels =
            Whose::Unknown("it has the name of a volume of this release, but not the labels");
        let unfounded =
            Whose::Unknown("no verified record shows that this release created its StatefulSet");
        for (name, labels, release, set, wanted) in [
            (
                "data-db-0",
                json!({"app": "db"}),
                None,
                Some("org1"),
                Whose::Ours,
            ),
            (
                "data-db-0",
                json!({"app": "db"}),
                None,
                Some("org2"),
                Whose::Others,
            ),
            ("data-db-0", json!({"app": "db"}), None, None, unfounded),
            (
                "data-db-7",
                json!({"app": "db", "more": "x"}),
                Some("org1"),
                None,
                Whose::Ours,
            ),
            (
                "data-db-0",
                json!({"app": "db"}),
                Some("org2"),
                Some("org1"),
                Whose::Others,
            ),
            ("data-db-0", json!({}), None, Some("org1"), labels),
            (
                "data-db-x",
                json!({"app": "db"}),
                None,
                Some("org1"),
                Whose::Others,
            ),
            ("any-name", json!({}), Some("org1"), None, Whose::Ours),
            ("ledger-peer2-0", node("org1"), None, None, Whose::Ours),
            (
                "ledger-peer2-0",
                node("org1"),
                Some("org2"),
                None,
                Whose::Others,
            ),
            ("ledger-peer2-0", node("org2"), None, None, Whose::Others),
            ("ledger-peer3-0", node("org1"), None, None, Whose::Others),
            ("ledger-peer2-0", json!({}), None, None, Whose::Others),
        ] {
            let mut claim = json!({"metadata": {"name": name, "labels": labels}});
            if let Some(release) = release {
                claim["metadata"]["annotations"] = Owner {
                    release: release.into(),
                    ..owner.clone()
                }
                .marks();
            }
            let plan = set.map(live).unwrap_or_default();
            let judge = Judge {
                past: &past,
                owner: &owner,
                plan: &plan,
            };
            assert_eq!(judge.whose(&claim), wanted, "{claim}, the set is {set:?}'s");
        }
    }
}
