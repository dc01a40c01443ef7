//! Warns about releases in the values that do not exist. If such a name has a typing error, the
//! network policies allow the wrong namespace, and nothing else reports it.

use super::Context;
use super::intent::Operation;
use super::past::Past;
use super::resolve::Target;
use crate::fabric::guard::{self, Facts};
use crate::release::Entry;
use crate::storage;
use futures::future::join_all;
use std::collections::BTreeSet;

/// Returns a warning for each release that does not exist.
///
/// Checks only names that the previous revision did not have, so it usually sends no request. A
/// namespace that the user may not read gives no warning.
pub(super) async fn absent(
    context: &Context<'_>,
    past: &Past,
    target: &Target,
    expected: &BTreeSet<(String, String)>,
) -> Vec<String> {
    let is_fabric = Facts::read(&target.guard).model.is_some();
    if !is_fabric || !matches!(target.operation, Operation::Install | Operation::Upgrade) {
        return Vec::new();
    }
    let named =
        |values| guard::releases_named(context.release.as_str(), &context.namespace, values);
    let before = past
        .baseline
        .as_ref()
        .map(|record| named(&record.computed_values))
        .unwrap_or_default();
    let new = named(&target.computed_values)
        .into_iter()
        .filter(|name| !before.contains(name))
        .filter(|(_, release, namespace)| {
            !expected.contains(&(release.clone(), namespace.clone()))
        });
    let answers = new.map(|(key, release, namespace)| async move {
        let entries = storage::list(context.cluster, Some(&namespace))
            .await
            .ok()?;
        let is_there = entries
            .iter()
            .filter_map(Entry::summary)
            .any(|summary| summary.release == release);
        (!is_there).then(|| {
            format!(
                "{key} names release \"{release}\", which does not exist in namespace \
                 \"{namespace}\": check the value, or install that release next"
            )
        })
    });
    join_all(answers).await.into_iter().flatten().collect()
}
