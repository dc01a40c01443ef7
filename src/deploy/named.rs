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
            let mut expected = expected.iter();
            !expected.any(|it| it.1 == *namespace && is_named(release, &it.0, namespace))
        });
    let answers = new.map(|(key, release, namespace)| async move {
        let entries = storage::list(context.cluster, Some(&namespace))
            .await
            .ok()?;
        let is_there = entries
            .iter()
            .filter_map(Entry::summary)
            .any(|summary| is_named(&release, &summary.release, &namespace));
        (!is_there).then(|| {
            format!(
                "{key} names release \"{release}\", which does not exist in namespace \
                 \"{namespace}\": check the value, or install that release next"
            )
        })
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// Returns true if a value names this release: by its name, or by its namespace in a copy of a
/// network, such as `org1-dev` for `org1`.
fn is_named(name: &str, release: &str, namespace: &str) -> bool {
    let is_copy = || {
        let suffix = namespace.strip_prefix(release);
        name == namespace && suffix.is_some_and(|suffix| suffix.starts_with('-'))
    };
    name == release || is_copy()
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn a_release_is_named_by_its_name_or_the_namespace_of_its_copy() {
        for (name, release, namespace, is_it) in [
            ("org1", "org1", "org1", true),
            ("org1", "org1", "shops", true),
            ("org1-dev", "org1", "org1-dev", true),
            ("org1-dev", "org1-d", "org1-dev", false),
            ("org1", "basic", "org1", false),
            ("org1-dev", "org1", "org1-test", false),
        ] {
            assert_eq!(
                is_named(name, release, namespace),
                is_it,
                "{name} {release}"
            );
        }
    }
}
