//! `chaincode dev`.

use super::arguments::ServerArguments;
use super::deploy::image_values;
use super::server::{Server, collect, servers};
use crate::cluster::Cluster;
use crate::commands::Edge;
use crate::commands::arguments::{OutputArguments, duration};
use crate::deploy::Options;
use crate::error::{Error, Result};
use crate::release::{Entry, ReleaseName, Status, Summary, command};
use crate::storage;
use crate::terminal::{GREEN, Table, table::Cell};
use crate::values::{self, Origin, Values};
use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// The description that marks these revisions in the history.
const DESCRIPTION: &str = "Image replaced by chaincode dev";

/// Annotation of pods with the time of the last replacement, because an image can change without a
/// new name.
const REPLACED: &str = "kubectl-fabric.io/replaced";

/// Replace the image of the running servers of a chaincode, within seconds
///
/// Upgrades the server in each namespace of the network where you have permission, or in the
/// namespace of -n. The package, its id and the definition stay the same, so nothing changes for
/// peers and the ledger. Pods are replaced even if the name of the image is the same as before. You
/// can roll back each server.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode dev basic --image registry.example.com/basic:dev
  kubectl fabric chaincode dev basic --image registry.example.com/basic:dev -n org1
  kubectl fabric rollback basic -n org1                             back to the previous image")]
pub struct Arguments {
    #[command(flatten)]
    pub server: ServerArguments,

    /// Image of the chaincode's server, as REPOSITORY:TAG or REPOSITORY@DIGEST
    #[arg(long, value_name = "IMAGE", required = true)]
    pub image: String,

    /// Maximum time to wait until the servers are ready
    #[arg(long, value_name = "DURATION", default_value = "1m0s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// A server that was replaced.
struct Replaced {
    namespace: String,
    revision: u32,
    /// The newest revision of another command, if the history still contains one.
    before: Option<u32>,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = arguments.server.release()?;
    let name = &arguments.server.name;
    let values = wanted(&arguments.image, edge);
    let replaced = edge.operate(false, async |cluster, interrupted| {
        let found = servers(edge, cluster, &release).await?;
        let found = writable(edge, cluster, &release, found).await?;
        let each = found.iter().map(async |it| {
            let server = Server {
                edge,
                cluster,
                release: &release,
                namespace: &it.namespace,
                options: Options {
                    timeout: arguments.timeout,
                    create_namespace: false,
                    description: Some(DESCRIPTION.to_owned()),
                    ..Options::default()
                },
                interrupted: interrupted.clone(),
            };
            (it.namespace.clone(), replace(&server, &values).await)
        });
        let what = format!("not all servers of \"{name}\" run the new image");
        collect(&what, "replaced", join_all(each).await)
    })?;
    print(edge, &arguments, &release, &replaced)?;
    Ok(ExitCode::SUCCESS)
}

/// The values that change.
fn wanted(image: &str, edge: &Edge) -> Values {
    let values = json!({
        "image": image_values(image),
        "podAnnotations": { REPLACED: edge.now.to_string() },
    });
    values::with_origin(values, Origin::Flag("--image".to_owned()))
}

/// Returns the servers whose Deployment the user may change, and warns about the others.
async fn writable(
    edge: &Edge,
    cluster: &Cluster,
    release: &ReleaseName,
    found: Vec<Summary>,
) -> Result<Vec<Summary>> {
    let asked = found.iter().map(|it| {
        let namespace = Some(it.namespace.as_str());
        cluster.can_i(
            "patch",
            "apps",
            "deployments",
            namespace,
            Some(release.as_str()),
        )
    });
    let mut writable = Vec::new();
    let mut denied = Vec::new();
    for (server, answer) in found.iter().zip(join_all(asked).await) {
        // If the check fails, the upgrade itself reports what is missing.
        match answer {
            Ok(false) => denied.push(server.namespace.as_str()),
            Ok(true) | Err(_) => writable.push(server.clone()),
        }
    }
    if writable.is_empty() {
        return Err(Error::cluster(format!(
            "you have no permission to change a server of \"{release}\""
        ))
        .why(format!(
            "patch deployments is denied in {}",
            denied.join(", ")
        ))
        .now("nothing was changed"));
    }
    for namespace in denied {
        edge.terminal.warn(&format!(
            "the server in namespace {namespace} is unchanged: you have no permission to patch deployments there"
        ));
    }
    Ok(writable)
}

async fn replace(server: &Server<'_>, values: &Values) -> Result<Replaced> {
    let Server {
        cluster,
        release,
        namespace,
        ..
    } = server;
    let history = storage::history(cluster, namespace, release.as_str()).await?;
    let revision = server.replace(values).await?;
    Ok(Replaced {
        namespace: (*namespace).to_owned(),
        revision,
        before: before(&history),
    })
}

/// Returns the newest deployed revision that this command did not create.
fn before(history: &[Entry]) -> Option<u32> {
    let ran = history
        .iter()
        .rev()
        .filter_map(Entry::summary)
        .filter(|it| {
            matches!(it.status, Status::Deployed | Status::Superseded)
                && it.description != DESCRIPTION
        });
    ran.map(|it| it.revision).next()
}

fn print(
    edge: &Edge,
    arguments: &Arguments,
    release: &ReleaseName,
    replaced: &[Replaced],
) -> Result<()> {
    let name = &arguments.server.name;
    let back = |it: &Replaced| {
        let rollback = command("rollback", release.as_str(), &it.namespace);
        it.before.map(|revision| format!("{rollback} {revision}"))
    };
    if !arguments.output.output.is_table() {
        let rows = replaced.iter().map(|it| {
            json!({
                "namespace": it.namespace,
                "revision": it.revision,
                "before": it.before,
            })
        });
        let document = json!({
            "name": name,
            "image": arguments.image,
            "servers": rows.collect::<Vec<Value>>(),
        });
        return edge
            .terminal
            .print_named(arguments.output.output, &document);
    }
    edge.terminal.print(format!(
        "The servers of chaincode \"{name}\" run {}.\n",
        arguments.image
    ))?;
    let mut table = Table::new(["NAMESPACE", "REVISION", "SERVER"]);
    for it in replaced {
        table.row([
            (&it.namespace).into(),
            it.revision.to_string().into(),
            Cell::styled("replaced", GREEN),
        ]);
    }
    edge.terminal.print(table.text())?;
    for it in replaced {
        edge.terminal.note(&match back(it) {
            Some(command) => format!("to undo: `{command}`"),
            None => format!(
                "to undo: `kubectl fabric chaincode deploy {name} --image IMAGE` with the previous \
                 image, which the history in namespace {} no longer contains",
                it.namespace
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::server::{CHART, tests::summary};
    use super::*;

    #[test]
    fn the_way_back_leads_to_the_last_image_that_another_command_set() {
        let entry = |revision, status, description: &str| {
            Entry::Readable(Summary {
                revision,
                description: description.to_owned(),
                ..summary("basic", "org1", CHART, status)
            })
        };
        let history = [
            entry(1, Status::Superseded, "Install complete"),
            entry(2, Status::Superseded, "Upgrade complete"),
            entry(3, Status::Failed, "Upgrade \"basic\" failed: it crashes"),
            entry(4, Status::Superseded, DESCRIPTION),
            entry(5, Status::Deployed, DESCRIPTION),
        ];
        assert_eq!(before(&history), Some(2));
        assert_eq!(before(&history[3..]), None);
    }
}
