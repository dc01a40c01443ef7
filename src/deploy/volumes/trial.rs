//! Tries changes of volumes with server-side dry runs.

use super::trouble::Trouble;
use super::{names, patch};
use crate::cluster::{ApiError, Apply};
use crate::deploy::apply::IN_FLIGHT;
use crate::deploy::recreate::is_immutable;
use crate::deploy::{Context, Options};
use crate::manifest::claims;
use crate::plan::volumes::Expansion;
use crate::plan::{Action, Plan};
use futures::{StreamExt, stream};
use serde_json::Value;

pub(super) async fn try_expansions<'e>(
    context: &Context<'_>,
    claims: &[Value],
    expansions: impl Iterator<Item = &'e Expansion>,
) -> Vec<Trouble> {
    let tries: Vec<_> = expansions
        .map(|expansion| async move {
            let tried = context
                .cluster
                .try_merge_patch("v1", &expansion.claim, &patch(expansion))
                .await;
            tried.err().map(|error| (expansion, error))
        })
        .collect();
    let refused: Vec<_> = stream::iter(tries).buffered(IN_FLIGHT).collect().await;
    let trouble = |(expansion, error): (&Expansion, ApiError)| {
        let claim = claims
            .iter()
            .find(|claim| claims::name(claim) == expansion.claim.name);
        let class = claim
            .and_then(|claim| claim["spec"]["storageClassName"].as_str())
            .map(str::to_owned);
        Trouble::Fixed {
            expansion: expansion.clone(),
            class,
            error,
        }
    };
    refused.into_iter().flatten().map(trouble).collect()
}

/// Checks the other changes of StatefulSets whose templates keep their names. `--recreate` has
/// permitted other immutable changes.
pub(super) async fn try_rests(
    context: &Context<'_>,
    plan: &Plan,
    of: impl Iterator<Item = usize>,
    options: &Options,
) -> Vec<Trouble> {
    let how = Apply {
        dry_run: true,
        force: options.force_conflicts,
        ..Apply::default()
    };
    let rest = |index: usize| {
        let step = &plan.steps[index];
        let live = step
            .live
            .as_ref()
            .filter(|_| step.action == Action::Recreate)?;
        let mut body = step.wanted.as_ref()?.body();
        if names(&body) != names(live) {
            return None;
        }
        body["spec"]["volumeClaimTemplates"] = live["spec"]["volumeClaimTemplates"].clone();
        Some((index, body))
    };
    let tries: Vec<_> = of
        .filter_map(rest)
        .map(|(index, body)| async move { (index, context.cluster.apply(&body, how).await.err()) })
        .collect();
    let refused: Vec<_> = stream::iter(tries).buffered(IN_FLIGHT).collect().await;
    let refused = refused
        .into_iter()
        .filter_map(|(index, error)| Some((index, error?)));
    refused
        .filter(|(_, error)| !is_immutable(error))
        .map(|(index, error)| Trouble::Set(index, error))
        .collect()
}
