//! Fabric's rules on the way from what runs to what is wanted. Gathers what `fabric::guard` judges by; reads only.

use super::intent::Operation;
use super::past::Past;
use super::resolve::Target;
use super::{Context, Options};
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::Result;
use crate::fabric::guard::{self, Evidence, Facts, Wanted};
use crate::release::{Record, Status};
use crate::storage;
use semver::Version;
use serde_json::Value;
use std::collections::BTreeSet;

/// Judges a release of Fabric's. Returns what the user should know, and leaves in the target what is to be recorded.
///
/// # Errors
///
/// What the table refuses and `--force` does not override, all at once.
pub async fn guard(context: &Context<'_>, past: &Past, target: &mut Target, options: &Options) -> Result<Vec<String>> {
    let facts = Facts::read(&target.guard);
    if facts.model.is_none() || target.operation == Operation::Uninstall {
        return Ok(guard::Judgement::default().tell(&options.force).warnings);
    }
    let nodes = target.manifest.nodes.clone();
    let mut warnings = Vec::new();
    let evidence = evidence(context, past, &nodes, &mut warnings).await?;
    let running = evidence.running(&nodes);
    let architectures = match guard::asks_for_architectures(&nodes) {
        true => architectures(context).await,
        false => BTreeSet::new(),
    };
    let orderers = match guard::asks_for_orderers(&running, &nodes) {
        true => orderers(context).await,
        false => Vec::new(),
    };
    let is_rollback = target.operation == Operation::Rollback;
    let mut wanted = Wanted { nodes, facts, is_rollback, architectures, orderers };
    // Channels keep their capability levels, whichever manifest is applied.
    wanted.facts.capabilities.extend(running.facts.capabilities.clone());
    let judgement = guard::judge(&running, &wanted, context.release.as_str());
    let decision = match options.tell_refusals {
        true => judgement.tell(&options.force),
        false => judgement.decide(target.operation.word(), context.release.as_str(), &options.force)?,
    };
    target.guard = wanted.facts.following(&running.facts, &decision.forced).to_value();
    warnings.extend(decision.warnings);
    Ok(warnings)
}

/// What runs. Pods are asked first; claims and records only where no pod answers.
async fn evidence(context: &Context<'_>, past: &Past, wanted: &[guard::Node], warnings: &mut Vec<String>) -> Result<Evidence> {
    let nodes = |record: &Record| past.nodes.get(&record.summary.revision).cloned().unwrap_or_default();
    let deployed = past.baseline.iter().find(|record| record.summary.status == Status::Deployed);
    let newer = past.records().filter(|record| record.summary.status != Status::Deployed);
    let mut evidence = Evidence {
        deployed: deployed.map(nodes).unwrap_or_default(),
        attempted: newer.flat_map(nodes).collect(),
        facts: past.baseline.as_ref().map(|record| Facts::read(&record.guard)).unwrap_or_default(),
        ..Evidence::default()
    };
    if !past.entries.is_empty() {
        evidence.pods = list(context, "Pod").await?;
        if evidence.pods.is_none() {
            warnings.push("pods may not be listed, so the release's records stand for what runs".to_owned());
        }
    }
    if evidence.is_open(wanted) {
        let claims = list(context, "PersistentVolumeClaim").await?;
        let name = |claim: Value| claim["metadata"]["name"].as_str().map(str::to_owned);
        evidence.claims = claims.map(|claims| claims.into_iter().filter_map(name).collect());
    }
    Ok(evidence)
}

/// `None` when it is not allowed.
async fn list(context: &Context<'_>, kind: &str) -> Result<Option<Vec<Value>>> {
    let kind = Kind { api_version: "v1".to_owned(), kind: kind.to_owned() };
    match context.cluster.list(&kind, Some(&context.namespace), "").await {
        Ok(objects) => Ok(Some(objects)),
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Of the cluster's machines. Who may not see machines is not told about them.
async fn architectures(context: &Context<'_>) -> BTreeSet<String> {
    let kind = Kind { api_version: "v1".to_owned(), kind: "Node".to_owned() };
    let machines = context.cluster.list_metadata(&kind, None, "").await.unwrap_or_default();
    machines.iter().filter_map(|it| it["metadata"]["labels"]["kubernetes.io/arch"].as_str()).map(str::to_owned).collect()
}

/// Ordering organizations of the release's network, with the Fabric version of each. Who may not see them is not told about them.
async fn orderers(context: &Context<'_>) -> Vec<(String, Version)> {
    let releases = storage::list(context.cluster, None).await.unwrap_or_default();
    let own = (context.release.as_str(), context.namespace.as_str());
    let summaries = releases.iter().filter_map(|entry| entry.summary());
    let orderers = summaries.filter(|it| it.chart == "orderer-org" && it.status == Status::Deployed);
    orderers
        .filter(|it| guard::same_network((&it.release, &it.namespace), own))
        .filter_map(|it| Some((it.release.clone(), Version::parse(&it.app_version).ok()?)))
        .collect()
}
