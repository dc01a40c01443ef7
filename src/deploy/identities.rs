//! The identities of an organization's nodes: compared with the Secrets that exist, made where they are missing.

use super::{Context, Intent, Target, Writer};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult, Apply, Expects, Kind};
use crate::error::{Error, Result};
use crate::identity;
use crate::manifest::Object;
use crate::plan::compare;
use crate::storage;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// Compares the identities that the nodes need with those that exist.
pub(super) async fn plan_identities(context: &Context<'_>, intent: &Intent, target: &Target) -> Result<identity::Plan> {
    let (Intent::Install(wanted) | Intent::Upgrade { wanted, .. }, Some(organization)) = (intent, &target.organization) else {
        return Ok(identity::Plan::default());
    };
    let secrets = Kind { api_version: "v1".into(), kind: "Secret".into() };
    let existing = context.cluster.list(&secrets, Some(&context.namespace), &format!("!{}", storage::RECORD_LABEL)).await?;
    let existing: BTreeMap<String, Value> =
        existing.into_iter().filter_map(|body| Some((body["metadata"]["name"].as_str()?.to_owned(), body))).collect();
    let (now, difference) = server_time(context.now, context.cluster.clock_difference());
    let mut plan = identity::plan(organization, &existing, &wanted.identities, now).map_err(|error| {
        let error = error.now("nothing was changed");
        difference.iter().fold(error, |error, difference| error.why(difference))
    })?;
    if !plan.create.is_empty() {
        plan.warnings
            .extend(difference.map(|difference| format!("{difference}; new certificates are dated by the API server's clock")));
    }
    Ok(plan)
}

/// The nodes' clocks may differ by so much: every certificate is valid from five minutes before it is made.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// The time by which certificates are judged and made, and in words how this machine's clock differs from it. The nodes that use them run
/// in the cluster, so where the two clocks differ, the server's counts: by a clock that is ahead, a new certificate would not be valid yet,
/// and by one that is far behind it would end too early, or before its authority begins.
fn server_time(now: Timestamp, difference: Option<SignedDuration>) -> (Timestamp, Option<String>) {
    let difference = difference.unwrap_or_default();
    let Some(server) = now.checked_add(difference).ok().filter(|_| difference.abs() > TOLERANCE) else { return (now, None) };
    let (amount, side) = (difference.abs(), if difference.is_negative() { "ahead of" } else { "behind" });
    let amount = if amount.as_hours() > 48 { format!("{} days", amount.as_hours() / 24) } else { format!("{amount:#}") };
    (server, Some(format!("the clock of this machine is {amount} {side} the API server's")))
}

/// Writes the identities that are missing. Authorities come first: a node's certificate without its authority could not be extended.
pub(super) async fn create_identities(writer: &Writer<'_>, identities: &identity::Plan) -> Result<()> {
    let context = writer.context;
    if identities.create.is_empty() {
        return Ok(());
    }
    context.step(&format!(
        "{} identities{}",
        identities.create.len(),
        if identities.generated { " generated" } else { " taken from the crypto-config" }
    ));
    let (authorities, others): (Vec<_>, Vec<_>) = identities.create.iter().partition(|secret| identity::is_authority(secret));
    for wave in [authorities, others] {
        let writes = wave.into_iter().map(|secret| async move {
            writer.check()?;
            create(context, secret)
                .await
                .map_err(|error| Error::from(error).context(format!("identity {} cannot be written", secret.key)))
        });
        futures::future::try_join_all(writes).await?;
    }
    Ok(())
}

/// Creates a Secret that was not there. If there is one now, it is this one, sent twice because the first answer was lost, or it is
/// somebody else's: keys are random, so no other has the same.
async fn create(context: &Context<'_>, secret: &Object) -> ApiResult<()> {
    let how = Apply { expects: Expects::Absent, ..Apply::default() };
    match context.cluster.apply(&secret.body, how).await {
        Err(error) if error.kind == ApiErrorKind::Replaced => match context.cluster.get("v1", &secret.key).await? {
            None => context.cluster.apply(&secret.body, how).await.map(drop),
            Some(there) if compare::is_part_of(&secret.body, &there) => Ok(()),
            Some(_) => Err(ApiError { message: "a Secret of this name appeared meanwhile".to_owned(), ..error }),
        },
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
            (Some(-7200), "2025-12-31T22:00:00Z", Some("the clock of this machine is 2h ahead of the API server's")),
            (Some(90), "2026-01-01T00:01:30Z", Some("the clock of this machine is 1m 30s behind the API server's")),
            (Some(4000 * 86_400), "2036-12-14T00:00:00Z", Some("the clock of this machine is 4000 days behind the API server's")),
            (Some(i64::MAX), "2026-01-01T00:00:00Z", None),
        ];
        for (seconds, expected, words) in cases {
            let (time, difference) = server_time(now, seconds.map(SignedDuration::from_secs));
            assert_eq!((time.to_string().as_str(), difference.as_deref()), (expected, words), "{seconds:?}");
        }
    }
}
