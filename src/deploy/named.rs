//! Releases that the values name: a name with a typo opens the network policies to nothing, and no
//! error ever tells it.

use super::Context;
use super::intent::Operation;
use super::past::Past;
use super::resolve::Target;
use crate::fabric::guard::{self, Facts};
use crate::release::Entry;
use crate::storage;
use futures::future::join_all;

/// A warning for each release that does not exist. Only names that the revision before did not have
/// are looked for, so usually nothing is asked; a namespace that may not be read gives no warning.
pub(super) async fn absent(context: &Context<'_>, past: &Past, target: &Target) -> Vec<String> {
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
        .filter(|name| !before.contains(name));
    let answers = new.map(|(key, release, namespace)| async move {
        let entries = storage::list(context.cluster, Some(&namespace)).await.ok()?;
        let is_there = entries.iter().filter_map(Entry::summary).any(|summary| summary.release == release);
        (!is_there).then(|| {
            format!(
                "{key} names release \"{release}\", and namespace \"{namespace}\" has none of that name: check it, or install it next"
            )
        })
    });
    join_all(answers).await.into_iter().flatten().collect()
}
