//! `channel`: channels of installed organizations.

mod confirm;
mod create;
mod diff;
mod fetch;
mod history;
mod join;
mod list;
mod proposal;
mod report;
mod request;
mod show;
mod sign;
mod submit;
mod target;
mod update;

use super::Edge;
use super::arguments::Signers;
use crate::channel::{Did, Outcome, Step};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::member::{self, Installed, Member};
use crate::terminal::{GREEN, RED, Table, Text, table::Cell};
use clap::{Args, Subcommand};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Create, join, show and change the channels of installed organizations
///
/// This program talks to orderers and peers through the API server, and signs as the administrator
/// of each organization. No Fabric tools are needed, on your machine or in the cluster.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  kubectl fabric channel create mychannel --orderers orgorderer1 --organizations org1,org2
  kubectl fabric channel list                            the channels of each node
  kubectl fabric channel join mychannel org1             peers that an upgrade added
  kubectl fabric channel show mychannel                  its configuration
  kubectl fabric channel show mychannel -o json          in the format of configtxlator
  kubectl fabric channel fetch mychannel newest          a block, to a file
  kubectl fabric channel update mychannel --add-org org3  a change of its configuration
  kubectl fabric channel sign change.json org2           a change that was proposed by others"
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Create(create::Arguments),
    Join(join::Arguments),
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    Show(show::Arguments),
    #[command(visible_alias = "hist")]
    History(history::Arguments),
    Diff(diff::Arguments),
    Fetch(fetch::Arguments),
    Update(update::Arguments),
    Sign(sign::Arguments),
    Submit(submit::Arguments),
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    match arguments.verb {
        Verb::Create(arguments) => create::run(arguments, edge),
        Verb::Join(arguments) => join::run(arguments, edge),
        Verb::List(arguments) => list::run(arguments, edge),
        Verb::Show(arguments) => show::run(arguments, edge),
        Verb::History(arguments) => history::run(arguments, edge),
        Verb::Diff(arguments) => diff::run(arguments, edge),
        Verb::Fetch(arguments) => fetch::run(arguments, edge),
        Verb::Update(arguments) => update::run(arguments, edge),
        Verb::Sign(arguments) => sign::run(arguments, edge),
        Verb::Submit(arguments) => submit::run(arguments, edge),
    }
}

/// Returns the error for a change that was interrupted by a signal. Completed steps stay, and the
/// next run finds them.
fn interrupted() -> Error {
    Error::interrupted("interrupted")
        .now("completed joins stay")
        .hint("run the same command again to complete it")
}

/// The contacts of releases by name.
pub(super) async fn contacts(
    edge: &Edge,
    cluster: &Cluster,
    releases: &[String],
) -> Result<Vec<Contact>> {
    let each = releases.iter().map(async |release| {
        let namespace = edge.connection.namespace_of(release)?;
        member::contact(cluster, &namespace, release).await
    });
    try_join_all(each).await
}

/// The named organizations, or all that are installed.
pub(super) async fn chosen(
    edge: &Edge,
    cluster: &Cluster,
    releases: &[String],
) -> Result<Vec<Contact>> {
    if !releases.is_empty() {
        return contacts(edge, cluster, releases).await;
    }
    let found = organizations(edge, cluster).await?;
    Ok(found.into_iter().map(|it| it.contact).collect())
}

/// Returns all installed organizations, and warns about releases that cannot be read.
pub(super) async fn organizations(edge: &Edge, cluster: &Cluster) -> Result<Vec<Installed>> {
    edge.connection.check()?;
    let (namespace, network) = (&edge.connection.namespace, &edge.connection.network);
    let found = member::directory(cluster, namespace.as_deref(), network.as_deref()).await?;
    for (release, error) in &found.unread {
        edge.terminal.warn(&format!(
            "release \"{release}\" is left out: {}: {}",
            error.what(),
            error.reasons().join(": ")
        ));
    }
    Ok(found.organizations)
}

/// Returns the administrators of contacts. Each contact must have one.
pub(super) async fn members(
    edge: &Edge,
    cluster: &Cluster,
    contacts: impl IntoIterator<Item = Contact>,
    signers: &Signers,
) -> Result<Vec<Member>> {
    let each = contacts.into_iter().map(async |contact| {
        let signing = signers.of(&contact.release);
        Member::of(cluster, contact, &signing, edge.now).await
    });
    try_join_all(each).await
}

/// Returns the available administrators, and warns about each missing one.
async fn members_found(
    edge: &Edge,
    cluster: &Cluster,
    contacts: Vec<Contact>,
    signers: &Signers,
) -> Vec<Member> {
    let each = contacts.into_iter().map(async |contact| {
        let signing = signers.of(&contact.release);
        Member::of(cluster, contact, &signing, edge.now).await
    });
    let mut members = Vec::new();
    for member in join_all(each).await {
        match member {
            Ok(member) => members.push(member),
            Err(error) => {
                edge.terminal
                    .warn(&format!("{}: {}", error.what(), error.reasons().join(": ")))
            }
        }
    }
    members
}

/// The nodes of the named organizations, or of all that are installed.
async fn readers(
    edge: &Edge,
    cluster: &Cluster,
    releases: &[String],
    signers: &Signers,
) -> Result<Vec<Member>> {
    let contacts = chosen(edge, cluster, releases).await?;
    readers_of(edge, cluster, contacts, releases, signers).await
}

/// Returns the administrators of these contacts: all of them if the user selected the releases,
/// otherwise the available ones.
pub(super) async fn readers_of(
    edge: &Edge,
    cluster: &Cluster,
    contacts: Vec<Contact>,
    named: &[String],
    signers: &Signers,
) -> Result<Vec<Member>> {
    match named.is_empty() {
        true => Ok(members_found(edge, cluster, contacts, signers).await),
        false => members(edge, cluster, contacts, signers).await,
    }
}

/// One line for each node.
fn steps(outcome: &Outcome) -> Text {
    let mut table = Table::new(["NODE", "ORGANIZATION", "CHANNEL"]);
    for Step {
        organization,
        node,
        did,
    } in &outcome.steps
    {
        let did = match did {
            Did::Joined => Cell::styled("joined", GREEN),
            Did::Unchanged => "unchanged".into(),
            Did::Failed(_) => Cell::styled("failed", RED),
        };
        table.row([node.into(), organization.into(), did]);
    }
    table.text()
}

fn document(name: &str, outcome: &Outcome) -> Value {
    let step = |step: &Step| {
        let did = match &step.did {
            Did::Joined => "joined",
            Did::Unchanged => "unchanged",
            Did::Failed(_) => "failed",
        };
        json!({"node": step.node, "organization": step.organization, "channel": did})
    };
    json!({
        "name": name,
        "changed": outcome.changed(),
        "nodes": outcome.steps.iter().map(step).collect::<Vec<_>>(),
    })
}
