//! `chaincode approve`.

use super::arguments::{DefinitionArguments, ServerArguments};
use super::package::Choice;
use super::taking_part;
use crate::chaincode::{
    self, Approvals, Approver, Definition, Deploy, Deployed, Lifecycle, Missing, View,
};
use crate::cluster::Cluster;
use crate::commands::arguments::{OutputArguments, SigningArguments, duration};
use crate::commands::{Edge, complete, load};
use crate::error::{Error, Result};
use crate::ledger::chaincode_package::Package;
use crate::member::Member;
use crate::release::ReleaseName;
use crate::terminal::{GREEN, Table, Text, table::Cell};
use crate::values;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Approve a chaincode definition for organizations
///
/// Installs the package on each peer of the organizations and approves the definition. `chaincode
/// commit` commits it when enough organizations have approved it. `chaincode deploy` does both, and
/// installs the servers. Without a flag, a setting keeps its committed value.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode approve basic --version 2.0 --organizations org1
  kubectl fabric chaincode approve basic --package basic.tgz --channel mychannel")]
pub struct Arguments {
    #[command(flatten)]
    pub server: ServerArguments,

    /// File with the package of the organizations [default: the package for their servers, as
    /// `chaincode deploy` creates it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub package: Option<PathBuf>,

    /// Channel of the chaincode [default: the only one that the organizations' peers have joined]
    #[arg(short = 'C', long, value_name = "CHANNEL", add = ArgValueCompleter::new(complete::nothing))]
    pub channel: Option<String>,

    /// Organizations that approve it, by release [default: all installed ones of the channel]
    #[arg(long, value_name = "ORG,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    #[command(flatten)]
    pub definition: DefinitionArguments,

    /// Maximum time to wait for each transaction
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The definition that an organization approved, and others that approved the same one.
struct Approved {
    rows: Vec<Row>,
    done: Deployed,
    /// MSP ids.
    by: Vec<String>,
    not_by: Vec<String>,
}

struct Row {
    organization: String,
    package: String,
    peers: Vec<String>,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = arguments.server.release()?;
    let name = arguments.server.name.as_str();
    let signers = arguments.signing.load()?;
    let described = arguments.definition.load()?;
    let package = arguments.package.as_deref().map(package).transpose()?;
    let end = Error::interrupted("interrupted")
        .now("installed packages and approvals stay")
        .hint("run the same command again to complete it");
    let approved = edge.change(end, async |cluster| {
        let named = &arguments.organizations;
        let channel = arguments.channel.as_deref();
        let (members, view) = taking_part(edge, cluster, channel, named, &signers).await?;
        let definition = described.definition(&members[0], &view, name).await?;
        let approvers = match &package {
            Some(package) => given(members, package),
            None => of_servers(edge, cluster, name, &release, members).await?,
        };
        let done = chaincode::approve(&Deploy {
            view: &view,
            name,
            definition: &definition,
            approvers: &approvers,
            timeout: arguments.timeout,
        })
        .await?;
        let approvals = approvals(&approvers[0].member, &view, name, &definition, &done).await?;
        let by = |wanted: bool| {
            let all = approvals.iter().filter(move |(_, is)| **is == wanted);
            all.map(|(msp_id, _)| msp_id.clone()).collect()
        };
        Ok(Approved {
            rows: approvers.iter().map(row).collect(),
            by: by(true),
            not_by: by(false),
            done,
        })
    })?;
    print(edge, &arguments, &approved)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the organizations that have approved the definition, committed or not.
async fn approvals(
    member: &Member,
    view: &View,
    name: &str,
    definition: &Definition,
    done: &Deployed,
) -> Result<Approvals> {
    let lifecycle = Lifecycle { member };
    let Missing {
        sequence, commit, ..
    } = done.missing;
    match commit {
        true => {
            lifecycle
                .approvals(&view.name, name, sequence, definition)
                .await
        }
        false => lifecycle.approvals_of(&view.name, name).await,
    }
}

fn package(path: &std::path::Path) -> Result<Package> {
    Package::from_bytes(load::package(path)?, &format!("\"{}\"", path.display()))
}

fn given(members: Vec<Member>, package: &Package) -> Vec<Approver> {
    let approver = |member| Approver {
        member,
        package: package.clone(),
    };
    members.into_iter().map(approver).collect()
}

/// Returns members with the packages of their servers, and warns about those without a server.
async fn of_servers(
    edge: &Edge,
    cluster: &Cluster,
    name: &str,
    release: &ReleaseName,
    members: Vec<Member>,
) -> Result<Vec<Approver>> {
    let nothing = values::from_sources(Vec::new())?;
    let choice = Choice {
        name,
        release,
        given: &nothing,
        indexes: None,
    };
    let (approvers, without) = choice.approvers(cluster, members).await?;
    for organization in without {
        edge.terminal.warn(&format!(
            "organization \"{organization}\" has no server of \"{name}\": install it with `kubectl \
             fabric chaincode deploy {name} --image IMAGE --organizations {organization}`"
        ));
    }
    Ok(approvers)
}

fn row(approver: &Approver) -> Row {
    let contact = &approver.member.contact;
    Row {
        organization: contact.release.clone(),
        package: approver.package.id(),
        peers: contact.nodes.iter().map(|it| it.host.clone()).collect(),
    }
}

fn print(edge: &Edge, arguments: &Arguments, approved: &Approved) -> Result<()> {
    let Approved {
        rows,
        done,
        by,
        not_by,
    } = approved;
    let Missing {
        sequence, commit, ..
    } = done.missing;
    let name = &arguments.server.name;
    let is_same = done.missing.install.is_empty() && done.missing.approve.is_empty();
    if !arguments.output.output.is_table() {
        let document = json!({
            "name": name,
            "sequence": sequence,
            "changed": !is_same,
            "committed": !commit,
            "changes": done.changes,
            "approvedBy": by,
            "notApprovedBy": not_by,
            "organizations": rows.iter().map(|row| document(row, &done.missing)).collect::<Vec<_>>(),
        });
        return edge
            .terminal
            .print_named(arguments.output.output, &document);
    }
    edge.terminal.print(match is_same {
        true => format!("Chaincode \"{name}\" is unchanged, approved at sequence {sequence}.\n"),
        false => format!("Chaincode \"{name}\" has been approved, at sequence {sequence}.\n"),
    })?;
    for change in &done.changes {
        edge.terminal.print(format!("  {change}\n"))?;
    }
    edge.terminal.print(table(rows, &done.missing))?;
    let list = |ids: &[String]| match ids.is_empty() {
        true => "none".to_owned(),
        false => ids.join(", "),
    };
    edge.terminal.note(&format!(
        "approved by {}; not yet by {}",
        list(by),
        list(not_by)
    ));
    if commit {
        edge.terminal.note(&format!(
            "next: `kubectl fabric chaincode commit {name}` when enough organizations have approved it"
        ));
    }
    Ok(())
}

fn table(rows: &[Row], missing: &Missing) -> Text {
    let mut table = Table::new(["ORGANIZATION", "PACKAGE", "DEFINITION", "PACKAGE ID"]);
    for row in rows {
        let new = |is_new: bool, word: &'static str| -> Cell {
            match is_new {
                true => Cell::styled(word, GREEN),
                false => "unchanged".into(),
            }
        };
        let installed = missing.install.iter().any(|it| row.peers.contains(it));
        table.row([
            (&row.organization).into(),
            new(installed, "installed"),
            new(missing.approve.contains(&row.organization), "approved"),
            (&row.package).into(),
        ]);
    }
    table.text()
}

fn document(row: &Row, missing: &Missing) -> Value {
    let installed = missing.install.iter().filter(|it| row.peers.contains(*it));
    json!({
        "organization": row.organization,
        "package": row.package,
        "installed": installed.collect::<Vec<_>>(),
        "approved": missing.approve.contains(&row.organization),
    })
}
