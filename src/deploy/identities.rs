//! The identities of an organization's nodes: compared with the Secrets that exist, made where they are missing.

use super::{Context, Intent, Target, Writer};
use crate::cluster::{Apply, Kind};
use crate::error::{Error, Result};
use crate::identity;
use crate::storage;
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
    identity::plan(organization, &existing, &wanted.identities, context.now).map_err(|error| error.now("nothing was changed"))
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
            context
                .cluster
                .apply(&secret.body, Apply::default())
                .await
                .map_err(|error| Error::from(error).context(format!("identity {} cannot be written", secret.key)))
        });
        futures::future::try_join_all(writes).await?;
    }
    Ok(())
}
