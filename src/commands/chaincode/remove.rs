//! `chaincode remove`.

use super::arguments::ServerArguments;
use super::server::{Server, collect, servers};
use crate::commands::Edge;
use crate::commands::arguments::{OutputArguments, duration};
use crate::deploy::Options;
use crate::error::Result;
use crate::terminal::{GREEN, Table, table::Cell};
use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Uninstall the servers of a chaincode
///
/// Uninstalls the release of the server in each namespace of the network, or in the namespace of
/// -n. The peers of these organizations then no longer endorse calls of the
/// chaincode. The ledger does not change: Fabric cannot delete a committed definition or an
/// installed package.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode remove basic                 the servers of all organizations
  kubectl fabric chaincode remove basic -n org1         only in namespace org1
  kubectl fabric chaincode remove basic --dry-run       which servers would be uninstalled")]
pub struct Arguments {
    #[command(flatten)]
    pub server: ServerArguments,

    /// Only show which servers would be uninstalled
    #[arg(long)]
    pub dry_run: bool,

    /// Maximum time to wait until the servers are deleted
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = arguments.server.release()?;
    let namespaces = edge.operate(false, async |cluster, interrupted| {
        let found = servers(edge, cluster, &release).await?;
        if !arguments.dry_run {
            let each = found.iter().map(async |it| {
                let server = Server {
                    edge,
                    cluster,
                    release: &release,
                    namespace: &it.namespace,
                    options: Options {
                        timeout: arguments.timeout,
                        ..Options::default()
                    },
                    interrupted: interrupted.clone(),
                };
                (it.namespace.clone(), server.remove().await)
            });
            let what = format!(
                "not all servers of \"{}\" are uninstalled",
                arguments.server.name
            );
            collect(&what, "uninstalled", join_all(each).await)?;
        }
        Ok(found
            .into_iter()
            .map(|it| it.namespace)
            .collect::<Vec<String>>())
    })?;
    print(edge, &arguments, &namespaces)?;
    Ok(ExitCode::SUCCESS)
}

fn print(edge: &Edge, arguments: &Arguments, namespaces: &[String]) -> Result<()> {
    let name = &arguments.server.name;
    if !arguments.output.output.is_table() {
        let rows = namespaces
            .iter()
            .map(|namespace| json!({"namespace": namespace, "server": did(arguments)}));
        let document = json!({
            "name": name,
            "dryRun": arguments.dry_run,
            "servers": rows.collect::<Vec<Value>>(),
        });
        return edge
            .terminal
            .print_named(arguments.output.output, &document);
    }
    edge.terminal.print(match arguments.dry_run {
        true => format!("Dry run for chaincode \"{name}\": nothing was written.\n"),
        false => format!("The servers of chaincode \"{name}\" have been uninstalled.\n"),
    })?;
    let mut table = Table::new(["NAMESPACE", "SERVER"]);
    for namespace in namespaces {
        table.row([namespace.into(), Cell::styled(did(arguments), GREEN)]);
    }
    edge.terminal.print(table.text())?;
    edge.terminal.note(
        "definitions stay committed, and packages stay on the peers: Fabric cannot delete them",
    );
    edge.terminal.note(&format!(
        "peers of organizations that still have a server continue to endorse; to disable the \
         chaincode for all, approve and commit a policy that requires an organization without a \
         server: `kubectl fabric chaincode approve {name} --policy \
         \"AND('Org1MSP.peer','Org2MSP.peer')\"`, then `kubectl fabric chaincode commit {name}`"
    ));
    Ok(())
}

fn did(arguments: &Arguments) -> &'static str {
    match arguments.dry_run {
        true => "to uninstall",
        false => "uninstalled",
    }
}
