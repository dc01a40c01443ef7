//! A second organization in a namespace: what it meets are objects, pods and identities of the
//! first, and none of these is the reason.

use super::Context;
use crate::error::{Error, Kind, Result};
use crate::release::{Entry, Status, command};
use crate::storage;

/// The charts of which a namespace holds one release: names, addresses and network policies of the
/// nodes are the namespace's.
const ORGANIZATIONS: [&str; 3] = ["peer-org", "orderer-org", "kafka"];

/// Gives the true reason where a first revision of an organization is refused. The namespace is
/// only looked at after a refusal.
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
        true => "name another namespace with -n".to_owned(),
        false => format!(
            "leave -n out: `{}` installs it in namespace \"{release}\"",
            command("install", release, release)
        ),
    };
    Err(Error::refused(format!("namespace \"{namespace}\" holds another organization: release \"{}\", {}", other.release, other.chart))
        .why(format!(
            "an organization needs a namespace of its own: the names of its nodes, their addresses (NODE.{namespace}) and its network \
             policies are those of the namespace"
        ))
        .hint(hint))
}
