//! Collects the facts that `fabric::guard` checks, about what runs and what is desired. Reads only.

use super::intent::Operation;
use super::observe;
use super::past::Past;
use super::resolve::Target;
use super::volumes::Claims;
use super::{Context, Options};
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::Result;
use crate::fabric::guard::{self, Evidence, Facts, Wanted};
use crate::identity::{self, Renewal};
use crate::manifest::ObjectKey;
use crate::release::{Entry, Record, Status};
use crate::storage;
use crate::values;
use semver::Version;
use serde_json::Value;
use std::collections::BTreeSet;

/// Checks a Fabric release. Returns warnings for the user, and stores the facts to record in the
/// target.
///
/// # Errors
///
/// Reports all rules that refuse and that `--force` does not override.
pub async fn guard(
    context: &Context<'_>,
    past: &Past,
    target: &mut Target,
    options: &Options,
    claims: &mut Claims,
) -> Result<Vec<String>> {
    if target.operation == Operation::Uninstall {
        let nothing = guard::Judgement::default();
        return Ok(nothing.into_warnings(&options.force).warnings);
    }
    let release = context.release.as_str();
    let mut warnings = Vec::new();
    let expected = &options.expected_secrets;
    let (running, wanted) = facts(context, past, target, expected, claims, &mut warnings).await?;
    let judgement = guard::judge(&running, &wanted, release);
    let decision = match options.tell_refusals {
        true => judgement.into_warnings(&options.force),
        false => judgement.decide(target.operation.word(), release, &options.force)?,
    };
    if wanted.facts.model.is_some() {
        let facts = wanted.facts.following(&running.facts, &decision.forced);
        target.guard = facts.to_value();
    }
    warnings.extend(decision.warnings);
    Ok(warnings)
}

/// Collects what runs and what is desired.
async fn facts(
    context: &Context<'_>,
    past: &Past,
    target: &Target,
    expected: &BTreeSet<String>,
    claims: &mut Claims,
    warnings: &mut Vec<String>,
) -> Result<(guard::Running, Wanted)> {
    let mut facts = Facts::read(&target.guard);
    let is_fabric = facts.model.is_some();
    let nodes = target.manifest.nodes.clone();
    let denial = new_denial(past, target);
    let denies = denial.is_some();
    let evidence = evidence(context, past, &nodes, is_fabric, denies, claims, warnings).await?;
    let selections = &target.manifest.selections;
    let strangers =
        denial.and_then(|denial| strangers(context, past, &evidence, denial, selections, warnings));
    let running = match is_fabric {
        true => evidence.running(&nodes),
        false => guard::Running::default(),
    };
    // Channels keep their capability levels, regardless of the applied manifest.
    let levels = running.facts.capabilities.clone();
    facts.capabilities.extend(levels);
    let is_rollback = target.operation == Operation::Rollback;
    let wanted = Wanted {
        facts,
        is_rollback,
        architectures: match guard::asks_for_architectures(&nodes) {
            true => architectures(context).await,
            false => BTreeSet::new(),
        },
        orderers: match guard::asks_for_orderers(&running, &nodes) {
            true => orderers(context, &target.computed_values).await,
            false => Vec::new(),
        },
        // A rollback applies a manifest that has already run with everything that it refers to.
        missing: match is_rollback {
            true => Vec::new(),
            false => missing(context, target, expected, warnings).await?,
        },
        strangers,
        renewals: renewals(past, target),
        nodes,
    };
    Ok((running, wanted))
}

/// Returns a network policy in the manifest that selects all pods of the namespace, unless the
/// release already has it.
fn new_denial<'t>(past: &Past, target: &'t Target) -> Option<&'t ObjectKey> {
    target.manifest.denials.iter().find(|key| !past.lists(key))
}

/// Returns the running pods of the namespace that neither belong to this release nor to its
/// workloads.
///
/// Pods that another policy of the manifest selects are left out: the chart is made for them. A
/// peer organization has such a policy for chaincode.
fn strangers(
    context: &Context<'_>,
    past: &Past,
    evidence: &Evidence,
    denial: &ObjectKey,
    selections: &[Value],
    warnings: &mut Vec<String>,
) -> Option<(String, Vec<String>)> {
    let Some(pods) = &evidence.pods else {
        warnings.push(format!(
            "no permission to list pods, so it could not be checked whether \
                               {denial} cuts off other pods"
        ));
        return None;
    };
    let is_ours = |pod: &Value| {
        let labels = &pod["metadata"]["labels"];
        labels["app.kubernetes.io/instance"] == context.release.as_str()
            || guard::owner(pod).is_some_and(|key| past.lists(&key))
            || selections.iter().any(|wanted| has_labels(labels, wanted))
    };
    let runs = |pod: &&Value| {
        !matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        )
    };
    let others = pods.iter().filter(runs).filter(|pod| !is_ours(pod));
    let mut names: Vec<String> = others
        .filter_map(|pod| Some(format!("pod {}", pod["metadata"]["name"].as_str()?)))
        .collect();
    names.sort();
    (!names.is_empty()).then(|| (denial.to_string(), names))
}

fn has_labels(labels: &Value, wanted: &Value) -> bool {
    let mut wanted = wanted.as_object().into_iter().flatten();
    wanted.all(|(name, value)| labels.get(name) == Some(value))
}

/// Returns the objects that pods need and that are not in the manifest, the identities or the
/// namespace.
///
/// Usually the manifest has everything, and this needs no request.
async fn missing(
    context: &Context<'_>,
    target: &Target,
    expected: &BTreeSet<String>,
    warnings: &mut Vec<String>,
) -> Result<Vec<(String, String)>> {
    // The cluster creates this in each namespace.
    const CLUSTER_CA: &str = "kube-root-ca.crt";
    let identities = target.identities.names();
    let objects = target.manifest.objects.iter().map(|object| &object.key);
    let made: BTreeSet<&ObjectKey> = objects
        .chain(target.manifest.hooks.iter().map(|hook| &hook.object.key))
        .collect();
    let asked = target
        .manifest
        .awaited
        .iter()
        .filter_map(|((kind, name), by)| {
            let key = ObjectKey::core(*kind, &context.namespace, name);
            let is_secret = *kind == "Secret";
            // If Secrets may not be listed, another error reports it.
            let is_made = made.contains(&key)
                || is_secret
                    && (target.unlisted_identities.is_some()
                        || identities.contains(name.as_str())
                        || expected.contains(name))
                || name == CLUSTER_CA;
            (!is_made).then_some((key, by))
        });
    let answers =
        asked.map(|(key, by)| async move { (context.cluster.get("v1", &key).await, key, by) });
    let mut missing = Vec::new();
    for (answer, key, by) in futures::future::join_all(answers).await {
        match answer {
            Ok(Some(_)) => {}
            Ok(None) => {
                let path = key_that_names(&target.computed_values, &key)
                    .map(|path| format!(", which {path} names,"))
                    .unwrap_or_default();
                missing.push((by.to_string(), format!("{} {}{path}", key.kind, key.name)));
            }
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                warnings.push(format!(
                    "no permission to read {} {}, so it could not be checked whether it exists",
                    key.kind, key.name
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missing)
}

/// Returns the key in the values that names an object. Another key may have the same text by
/// chance, so prefers one that mentions the kind.
fn key_that_names(values: &Value, object: &ObjectKey) -> Option<String> {
    let mut paths = values::paths_of(values, &object.name);
    if paths.len() > 1 {
        let word = if object.kind == "PersistentVolumeClaim" {
            "claim"
        } else {
            &object.kind.to_lowercase()
        };
        paths.retain(|path| path.to_lowercase().contains(word));
    }
    paths.pop().filter(|_| paths.is_empty())
}

/// Returns the changes of orderers' certificates, compared with those of the deployed revision, or
/// otherwise with those in Secrets. A first install records its certificates before it creates
/// them. If it was killed in between, no channel has them.
fn renewals(past: &Past, target: &Target) -> Vec<Renewal> {
    let never_deployed = |record: &&Record| {
        matches!(
            record.summary.status,
            Status::PendingInstall | Status::Failed
        )
    };
    let recorded = past
        .baseline
        .as_ref()
        .filter(|record| !never_deployed(record))
        .and_then(|record| Facts::read(&record.guard).identities);
    let plan = &target.identities;
    let before = recorded
        .map(|known| known.pins)
        .filter(|pins| !pins.is_empty());
    let mut renewals =
        identity::of_orderers(before.as_ref().unwrap_or(&plan.pins_before), &plan.pins);
    for renewal in &mut renewals {
        let kind = if renewal.is_tls { "tls" } else { "msp" };
        let secret = format!("{}-{kind}", renewal.node);
        renewal.is_missing = plan.create.iter().any(|it| it.key.name == secret);
    }
    renewals
}

/// Collects what runs. Reads pods first, and claims and records only if no pod shows it.
async fn evidence(
    context: &Context<'_>,
    past: &Past,
    wanted: &[guard::Node],
    is_fabric: bool,
    denies: bool,
    claims: &mut Claims,
    warnings: &mut Vec<String>,
) -> Result<Evidence> {
    let nodes = |record: &Record| {
        past.nodes
            .get(&record.summary.revision)
            .cloned()
            .unwrap_or_default()
    };
    let deployed = past
        .baseline
        .iter()
        .find(|record| record.summary.status == Status::Deployed);
    let newer = past
        .records()
        .filter(|record| record.summary.status != Status::Deployed);
    let mut evidence = Evidence {
        deployed: deployed.map(nodes).unwrap_or_default(),
        attempted: newer.flat_map(nodes).collect(),
        facts: past
            .baseline
            .as_ref()
            .map(|record| Facts::read(&record.guard))
            .unwrap_or_default(),
        ..Evidence::default()
    };
    let has_past = is_fabric && !past.entries.is_empty();
    if has_past || denies {
        evidence.pods = observe::list_if_allowed(context, "Pod").await?;
        if has_past && evidence.pods.is_none() {
            warnings.push(
                "no permission to list pods, so the release's records are used instead".to_owned(),
            );
        }
    }
    if is_fabric && (evidence.is_open(wanted) || evidence.shrinks(wanted)) {
        evidence.claims = claims.read(context).await?.map(<[Value]>::to_vec);
    }
    Ok(evidence)
}

/// Returns the CPU architectures of the cluster's machines. Returns none if the user may not list
/// nodes.
async fn architectures(context: &Context<'_>) -> BTreeSet<String> {
    let kind = Kind {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
    };
    let machines = context
        .cluster
        .list_metadata(&kind, None, "")
        .await
        .unwrap_or_default();
    machines
        .iter()
        .filter_map(|it| it["metadata"]["labels"]["kubernetes.io/arch"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Returns the orderer organizations that the values name, with their Fabric versions. Omits those
/// that the user may not read.
async fn orderers(context: &Context<'_>, values: &Value) -> Vec<(String, Version)> {
    let mut orderers = Vec::new();
    for namespace in guard::orderers_named(context.release.as_str(), &context.namespace, values) {
        let releases = storage::list(context.cluster, Some(&namespace))
            .await
            .unwrap_or_default();
        let deployed = releases
            .iter()
            .filter_map(Entry::summary)
            .filter(|it| it.status == Status::Deployed);
        let deployed = deployed.filter(|it| it.chart == "orderer-org");
        orderers
            .extend(deployed.filter_map(|it| {
                Some((it.release.clone(), Version::parse(&it.app_version).ok()?))
            }));
    }
    orderers
}
