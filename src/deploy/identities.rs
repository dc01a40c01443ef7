//! Compares the identities that an organization's nodes need with the existing Secrets. Creates
//! missing ones and renews changed ones. Marks the pods that read them with their certificates, so
//! that a change restarts exactly the affected nodes.

use super::past::Past;
use super::{Context, Wanted, Writer};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Apply, Expects, Extent, Kind};
use crate::error::{Error, Result};
use crate::fabric::guard::Facts;
use crate::identity::known::{self, Known, MARK, Unmarked};
use crate::identity::{self, Organization};
use crate::manifest::{Object, ObjectKey, Sealed, references};
use crate::plan::{compare, ownership};
use crate::render;
use crate::storage;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn secrets() -> Kind {
    Kind {
        api_version: "v1".into(),
        kind: "Secret".into(),
    }
}

fn not_of_records() -> String {
    format!("!{}", storage::RECORD_LABEL)
}

/// Compares the identities that the nodes need with the existing ones.
///
/// The second part of the result is the API server's refusal to list Secrets, which is reported
/// together with other missing permissions.
pub(super) async fn plan_identities(
    context: &Context<'_>,
    wanted: &Wanted,
    organization: &Organization,
    past: &Past,
) -> Result<(identity::Plan, Option<Error>)> {
    let existing = match context
        .cluster
        .list(&secrets(), Some(&context.namespace), &not_of_records())
        .await
    {
        Ok(existing) => existing,
        Err(error) if error.kind == ApiErrorKind::Forbidden => {
            return Ok((identity::Plan::default(), Some(error.into())));
        }
        Err(error) => return Err(error.into()),
    };
    let existing: BTreeMap<String, Value> = existing
        .into_iter()
        .filter_map(|body| Some((body["metadata"]["name"].as_str()?.to_owned(), body)))
        .collect();
    let (now, difference) = server_time(context.now, context.cluster.clock_difference());
    let mut plan =
        identity::plan(organization, &existing, &wanted.identities, now).map_err(|error| {
            let error = error.now("nothing was changed");
            difference
                .iter()
                .fold(error, |error, difference| error.why(difference))
        })?;
    if !plan.create.is_empty() || !plan.renew.is_empty() {
        plan.warnings.extend(difference.map(|difference| {
            format!("{difference}; new certificates use the API server's clock")
        }));
    }
    add_digests(context, past, &existing, &mut plan);
    Ok((plan, None))
}

/// Adds digests of all Secrets, as they are and as they will be.
fn add_digests(
    context: &Context<'_>,
    past: &Past,
    existing: &BTreeMap<String, Value>,
    plan: &mut identity::Plan,
) {
    if past.keeps_key {
        let digest = |secret: &Value| known::keyed_digest(secret, past.key.as_bytes());
        let made = plan
            .create
            .iter()
            .map(|secret| (&secret.key.name, &secret.body));
        let after: Vec<_> = existing
            .iter()
            .chain(made)
            .map(|(name, secret)| (name.clone(), digest(secret)))
            .collect();
        for (name, digest) in after {
            if existing.contains_key(&name) {
                plan.digests_before
                    .entry(name.clone())
                    .or_insert_with(|| digest.clone());
            }
            plan.digests.entry(name).or_insert(digest);
        }
    }
    // A change of the release's own objects already changes the hash of its configuration.
    let is_own = |name: &String| {
        let annotations = existing
            .get(name)
            .map(|secret| &secret["metadata"]["annotations"]);
        annotations
            .is_some_and(|annotations| annotations[ownership::RELEASE] == context.release.as_str())
    };
    plan.digests.retain(|name, _| !is_own(name));
    plan.digests_before.retain(|name, _| !is_own(name));
}

/// Tolerated difference between clocks. Every certificate is valid from five minutes before its
/// creation.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// Returns the time for checking and issuing certificates, and a description of its difference from
/// this machine's clock.
///
/// The nodes that use the certificates run in the cluster, so the server's clock counts if the two
/// differ. If this machine's clock is fast, a new certificate would not be valid yet. If it is far
/// behind, a certificate would expire too early, or begin before its authority's.
fn server_time(now: Timestamp, difference: Option<SignedDuration>) -> (Timestamp, Option<String>) {
    let difference = difference.unwrap_or_default();
    let Some(server) = now
        .checked_add(difference)
        .ok()
        .filter(|_| difference.abs() > TOLERANCE)
    else {
        return (now, None);
    };
    let (amount, side) = (
        difference.abs(),
        if difference.is_negative() {
            "ahead of"
        } else {
            "behind"
        },
    );
    let amount = if amount.as_hours() > 48 {
        format!("{} days", amount.as_hours() / 24)
    } else {
        format!("{amount:#}")
    };
    (
        server,
        Some(format!(
            "the clock of this machine is {amount} {side} the API server's"
        )),
    )
}

/// Returns the certificates for the record of this revision and for the marks of its pods.
pub(super) fn known(plan: &identity::Plan, past: &Past, is_upgrade: bool) -> Known {
    let newest = past.records().last().filter(|_| is_upgrade);
    let before = newest.and_then(|record| Facts::read(&record.guard).identities);
    let mut ends = plan.ends.clone();
    if let Some(before) = &before {
        let still = before
            .secrets
            .values()
            .filter_map(|digest| Some((digest.clone(), *before.ends.get(digest)?)));
        ends.extend(still);
    }
    let unmarked = match (newest, before) {
        (_, Some(before)) => before.unmarked,
        (Some(record), None) => {
            let workloads = record
                .inventory
                .iter()
                .filter(|item| item.key.group == "apps");
            let workloads = workloads
                .map(|item| format!("{}/{}", item.key.kind, item.key.name))
                .collect();
            Some(Unmarked {
                workloads,
                secrets: plan.digests_before.clone(),
            })
        }
        (None, None) => None,
    };
    Known {
        secrets: plan.digests.clone(),
        pins: plan.pins.clone(),
        unmarked,
        ends,
    }
}

/// Marks a workload's pod template with the certificates that its pods read, unless it runs without
/// a mark.
pub(super) fn mark(workload: &mut Object, known: &Known) {
    if !render::is_workload(workload) {
        return;
    }
    let name = format!("{}/{}", workload.key.kind, workload.key.name);
    let Some(template) = workload
        .body
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("template"))
    else {
        return;
    };
    let Some(pod) = template.get("spec") else {
        return;
    };
    let mark = known.mark(&name, references::secrets(pod).iter().copied());
    match mark {
        Some(mark) => {
            let metadata = &mut template["metadata"];
            // If the field is not a map, the API server reports the error.
            if metadata.is_null() {
                *metadata = Value::Object(Map::new());
            }
            if metadata.is_object()
                && (metadata["annotations"].is_null() || metadata["annotations"].is_object())
            {
                metadata["annotations"][MARK] = json!(mark);
            }
        }
        None => {
            if let Some(annotations) = template
                .pointer_mut("/metadata/annotations")
                .and_then(Value::as_object_mut)
            {
                annotations.shift_remove(MARK);
            }
        }
    }
}

/// Returns digests of the certificates in the namespace's Secrets.
pub(super) async fn digests(context: &Context<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    let add = |digests: &mut BTreeMap<String, String>, secret: Value| {
        if let (Some(name), Some(digest)) =
            (secret["metadata"]["name"].as_str(), known::digest(&secret))
        {
            digests.insert(name.to_owned(), digest);
        }
    };
    context
        .cluster
        .list_into(
            &secrets(),
            Some(&context.namespace),
            &not_of_records(),
            Extent::Whole,
            add,
        )
        .await
}

/// Marks recorded objects with the certificates that Secrets contain now. Returns the nodes that
/// run with other certificates.
pub(super) async fn mark_with_current(
    context: &Context<'_>,
    guard: &Value,
    objects: &mut [Arc<Sealed>],
) -> Result<Vec<String>> {
    let Some(recorded) = Facts::read(guard).identities else {
        return Ok(Vec::new());
    };
    let known = recorded.clone().with_current(&digests(context).await?);
    if known == recorded {
        return Ok(Vec::new());
    }
    let mut outdated = Vec::new();
    for sealed in objects
        .iter_mut()
        .filter(|sealed| sealed.key.group == "apps")
    {
        let mut object = sealed.open();
        mark(&mut object, &known);
        let marked = Sealed::from(object);
        if marked.json() != sealed.json() {
            outdated.push(marked.key.name.clone());
            *sealed = Arc::new(marked);
        }
    }
    Ok(outdated)
}

/// Creates missing identities, then updates changed ones.
///
/// Authorities come first, because an organization with a node's certificate but without its
/// authority could not be extended.
pub(super) async fn write_identities(
    writer: &Writer<'_>,
    identities: &identity::Plan,
) -> Result<()> {
    let context = writer.context;
    if !identities.create.is_empty() {
        context.step(&format!(
            "{} identities{}",
            identities.create.len(),
            if identities.generated {
                " generated"
            } else {
                " taken from the crypto-config"
            }
        ));
    }
    if !identities.renew.is_empty() {
        context.step(&format!(
            "{} identities renewed; the nodes that read them restart in turn",
            identities.renew.len()
        ));
    }
    let taken_up = identities.take_up.iter().map(|secret| async move {
        writer.check()?;
        let key = ObjectKey::core("Secret", &context.namespace, &secret.name);
        let patch = json!({"metadata": {"uid": secret.uid, "labels": {identity::LABEL: context.release.as_str()}}});
        let patched = context.cluster.merge_patch("v1", &key, &patch).await;
        patched.map(drop).map_err(|error| Error::from(error).context(format!("cannot mark {key} as an object of this release")))
    });
    futures::future::try_join_all(taken_up).await?;
    for (secrets, are_new) in [(&identities.create, true), (&identities.renew, false)] {
        let (authorities, others): (Vec<_>, Vec<_>) = secrets
            .iter()
            .partition(|secret| identity::is_authority(secret));
        for wave in [authorities, others] {
            let writes = wave.into_iter().map(|secret| async move {
                writer.check()?;
                let written = match are_new {
                    true => create(context, secret).await,
                    // The Secret has the UID that the plan saw.
                    false => context
                        .cluster
                        .apply(&secret.body, Apply::default())
                        .await
                        .map(drop),
                };
                written.map_err(|error| {
                    Error::from(error).context(format!("cannot write identity {}", secret.key))
                })
            });
            futures::future::try_join_all(writes).await?;
        }
    }
    Ok(())
}

/// Creates a Secret that did not exist. If one exists now, compares its keys, which are random:
/// either this run created it and the response was lost, or it belongs to someone else.
async fn create(context: &Context<'_>, secret: &Object) -> ApiResult<()> {
    let how = Apply {
        expects: Expects::Absent,
        ..Apply::default()
    };
    match context.cluster.apply(&secret.body, how).await {
        Err(error) if error.kind == ApiErrorKind::Replaced => {
            match context.cluster.get("v1", &secret.key).await? {
                None => context.cluster.apply(&secret.body, how).await.map(drop),
                Some(there) if compare::is_part_of(&secret.body, &there) => Ok(()),
                Some(_) => Err(ApiError {
                    message: "a Secret of this name was created in the meantime".to_owned(),
                    ..error
                }),
            }
        }
        written => written.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_dated_by_the_servers_clock_where_the_two_differ() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let cases = [
            (None, "2026-01-01T00:00:00Z", None),
            (Some(0), "2026-01-01T00:00:00Z", None),
            (Some(-60), "2026-01-01T00:00:00Z", None),
            (
                Some(-7200),
                "2025-12-31T22:00:00Z",
                Some("the clock of this machine is 2h ahead of the API server's"),
            ),
            (
                Some(90),
                "2026-01-01T00:01:30Z",
                Some("the clock of this machine is 1m 30s behind the API server's"),
            ),
            (
                Some(4000 * 86_400),
                "2036-12-14T00:00:00Z",
                Some("the clock of this machine is 4000 days behind the API server's"),
            ),
            (Some(i64::MAX), "2026-01-01T00:00:00Z", None),
        ];
        for (seconds, expected, words) in cases {
            let (time, difference) = server_time(now, seconds.map(SignedDuration::from_secs));
            assert_eq!(
                (time.to_string().as_str(), difference.as_deref()),
                (expected, words),
                "{seconds:?}"
            );
        }
    }
}
