//! Explains errors that a second organization in a namespace causes. The errors mention objects,
//! pods and identities of the first, which are not the actual reason.

use super::Context;
use crate::error::{Error, Kind, Result};
use crate::release::{Entry, Status, command};
use crate::storage;

/// Charts of which a namespace can hold only one release, because the names, addresses and network
/// policies of nodes are unique in a namespace.
const ORGANIZATIONS: [&str; 3] = ["peer-org", "orderer-org", "kafka"];

/// Replaces the error of an organization's first revision by the actual reason. Reads the namespace
/// only after an error.
pub(super) async fn explain<T>(
    context: &Context<'_>,
    history: &[Entry],
    refused: Result<T>,
) -> Result<T> {
    let Err(error) = refused else { return refused };
    if !history.is_empty() || !matches!(error.kind(), Kind::Refused | Kind::User) {
        return Err(error);
    }
    let releases = storage::list(context.cluster, Some(&context.namespace))
        .await
        .unwrap_or_default();
    let is_there = |status: Status| !matches!(status, Status::Uninstalled | Status::Uninstalling);
    let other = releases.iter().filter_map(Entry::summary).find(|summary| {
        is_there(summary.status)
            && summary.release != context.release.as_str()
            && ORGANIZATIONS.contains(&summary.chart.as_str())
    });
    let Some(other) = other else {
        return Err(error);
    };
    let (release, namespace) = (context.release.as_str(), context.namespace.as_str());
    let hint = match release == namespace {
        true => "choose another namespace with -n".to_owned(),
        false => format!(
            "omit -n: `{}` installs it in namespace \"{release}\"",
            command("install", release, release)
        ),
    };
    Err(Error::refused(format!(
        "namespace \"{namespace}\" holds another organization: release \"{}\", {}",
        other.release, other.chart
    ))
    .why(format!(
        "an organization needs a namespace of its own, for the names and addresses \
             (NODE.{namespace}) of its nodes and for its network policies"
    ))
    .hint(hint))
}
