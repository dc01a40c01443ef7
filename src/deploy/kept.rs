//! Volumes that stay behind: whose they are, and what wrote them. Their StatefulSets are gone or will be, and later their records.

use super::past::Past;
use super::volumes::Claims;
use super::{Context, Prepared, Writer};
use crate::error::Result;
use crate::fabric::guard::{Facts, Node, WRITTEN_BY, Written};
use crate::manifest::{ObjectKey, annotation, claims};
use crate::plan::Action;
use crate::plan::ownership::Owner;
use serde_json::{Value, json};

/// Whose a volume claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    /// It has the name of one of ours, and not the labels that the StatefulSet controller gives.
    Unknown,
    Others,
}

/// Tells this release's claims by name and labels: those of StatefulSets in its records, and those of nodes that were scaled away before.
/// A claim that names another release is never ours.
pub(super) fn whose(past: &Past, owner: &Owner, claim: &Value) -> Whose {
    let marked = annotation(claim, "kubectl-fabric.io/release");
    if marked.is_some_and(|release| release != owner.release) {
        return Whose::Others;
    }
    let named = || past.sets.iter().filter(|set| set.names(claim));
    if named().any(|set| set.selects(claim)) || is_of_a_node(owner, claim) {
        return Whose::Ours;
    }
    if named().next().is_some() { Whose::Unknown } else { Whose::Others }
}

/// Whether labels and name say that a claim was made for a node of the release by one of this program's charts.
fn is_of_a_node(owner: &Owner, claim: &Value) -> bool {
    let label = |name: &str| claim["metadata"]["labels"][name].as_str().unwrap_or_default();
    let node = label("kubectl-fabric.io/node");
    let volume = claims::name(claim).split_once('-').map_or("", |(volume, _)| volume);
    !node.is_empty() && label("app.kubernetes.io/instance") == owner.release && claims::is_made(volume, node, claims::name(claim))
}

/// Before nodes are pruned for which no record will speak: notes on their claims what wrote them.
pub(super) async fn note_leaving(writer: &Writer<'_>, prepared: &Prepared) -> Result<()> {
    let leaves = |key: &ObjectKey| prepared.plan.with(Action::Prune).any(|step| step.key == *key);
    let sets: Vec<_> = prepared.past.sets.iter().filter(|set| !set.templates.is_empty() && leaves(&set.key)).collect();
    if sets.is_empty() || facts(&prepared.past).is_none() {
        return Ok(());
    }
    let mut claims = Claims::default();
    let claims = claims.read(writer.context).await?.unwrap_or_default();
    let left = claims.iter().filter(|claim| sets.iter().any(|set| set.names(claim) && set.selects(claim)));
    note(writer, &prepared.past, left).await
}

/// Before an uninstall deletes the records: notes on the claims that stay what wrote them.
pub(super) async fn note_kept(writer: &Writer<'_>, prepared: &Prepared) -> Result<()> {
    let kept = prepared.plan.with(Action::Keep).filter(|step| step.key.kind == "PersistentVolumeClaim");
    let ours = kept.filter_map(|step| step.live.as_ref()).filter(|claim| is_noted(prepared, claim));
    note(writer, &prepared.past, ours).await
}

fn is_noted(prepared: &Prepared, claim: &Value) -> bool {
    whose(&prepared.past, &prepared.owner, claim) == Whose::Ours
}

/// Facts of a release of Fabric's.
fn facts(past: &Past) -> Option<Facts> {
    past.baseline.as_ref().map(|record| Facts::read(&record.guard)).filter(|facts| facts.model.is_some())
}

async fn note(writer: &Writer<'_>, past: &Past, left: impl Iterator<Item = &Value>) -> Result<()> {
    let Some(facts) = facts(past) else { return Ok(()) };
    for claim in left {
        let is_its = |node: &&Node| node.volumes.keys().any(|volume| claims::is_made(volume, &node.name, claims::name(claim)));
        let mut nodes = past.nodes.values().flatten().filter(is_its).peekable();
        if nodes.peek().is_none() {
            // A node that left earlier was noted then.
            continue;
        }
        let text = Written::of(nodes, &facts).to_text();
        if annotation(claim, WRITTEN_BY) == Some(&text) {
            continue;
        }
        writer.check()?;
        put(writer.context, claim, &text).await;
    }
    Ok(())
}

/// A note is a help to a later install, and no reason to fail.
async fn put(context: &Context<'_>, claim: &Value, text: &str) {
    let key = ObjectKey {
        group: String::new(),
        kind: "PersistentVolumeClaim".to_owned(),
        namespace: Some(context.namespace.clone()),
        name: claims::name(claim).to_owned(),
    };
    let patch = json!({"metadata": {"uid": claim["metadata"]["uid"], "annotations": {WRITTEN_BY: text}}});
    if let Err(error) = context.cluster.merge_patch("v1", &key, &patch).await {
        context
            .warn(&format!("what wrote {key} could not be noted on it, so a later install will not be told: {}", error.message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::claims::Set;

    #[test]
    fn a_claim_is_ours_by_its_name_and_its_labels() {
        let key = ObjectKey { group: "apps".into(), kind: "StatefulSet".into(), namespace: None, name: "db".into() };
        let body = json!({"spec": {"selector": {"matchLabels": {"app": "db"}}, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}});
        let past = Past { sets: Set::of(&key, &body).into_iter().collect(), ..Past::default() };
        let owner = Owner { release: "org1".into(), namespace: "org1".into() };
        let node = |release: &str| json!({"app.kubernetes.io/instance": release, "kubectl-fabric.io/node": "peer2"});
        for (name, labels, release, wanted) in [
            ("data-db-0", json!({"app": "db"}), None, Whose::Ours),
            ("data-db-7", json!({"app": "db", "more": "x"}), Some("org1"), Whose::Ours),
            ("data-db-0", json!({"app": "db"}), Some("org2"), Whose::Others),
            ("data-db-0", json!({}), None, Whose::Unknown),
            ("data-db-x", json!({"app": "db"}), None, Whose::Others),
            ("ledger-peer2-0", node("org1"), None, Whose::Ours),
            ("ledger-peer2-0", node("org2"), None, Whose::Others),
            ("ledger-peer3-0", node("org1"), None, Whose::Others),
            ("ledger-peer2-0", json!({}), None, Whose::Others),
        ] {
            let mut claim = json!({"metadata": {"name": name, "labels": labels}});
            if let Some(release) = release {
                claim["metadata"]["annotations"]["kubectl-fabric.io/release"] = json!(release);
            }
            assert_eq!(whose(&past, &owner, &claim), wanted, "{claim}");
        }
    }
}
