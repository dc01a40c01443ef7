//! `chaincode`: chaincodes of installed organizations.

mod approve;
mod arguments;
mod call;
mod commit;
mod deploy;
mod dev;
mod list;
mod logs;
mod package;
mod remove;
mod server;

use super::Edge;
use super::arguments::Signers;
use super::channel::{chosen, contacts, members};
use crate::chaincode::View;
use crate::channel;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::identity::NodeRole;
use crate::member::{self, Member};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Deploy chaincodes, call them, list and remove them
///
/// This program talks to peers and orderers through the API server, and signs as the administrator
/// of an organization. No Fabric tools are needed, on your machine or in the cluster.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  kubectl fabric chaincode deploy basic --image registry.example.com/basic:1.0 --channel mychannel
  kubectl fabric chaincode invoke basic -c '[\"CreateAsset\",\"a1\",\"blue\",\"5\",\"Tom\",\"100\"]'
  kubectl fabric chaincode query basic -c '[\"ReadAsset\",\"a1\"]' --org org2
  kubectl fabric chaincode list
  kubectl fabric chaincode dev basic --image registry.example.com/basic:dev
  kubectl fabric chaincode logs basic -f"
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Deploy(deploy::Arguments),
    Approve(approve::Arguments),
    Commit(commit::Arguments),
    Invoke(call::InvokeArguments),
    Query(call::QueryArguments),
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    Logs(logs::Arguments),
    Dev(dev::Arguments),
    Remove(remove::Arguments),
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    match arguments.verb {
        Verb::Deploy(arguments) => deploy::run(arguments, edge),
        Verb::Approve(arguments) => approve::run(arguments, edge),
        Verb::Commit(arguments) => commit::run(arguments, edge),
        Verb::Invoke(arguments) => call::invoke(arguments, edge),
        Verb::Query(arguments) => call::query(arguments, edge),
        Verb::List(arguments) => list::run(arguments, edge),
        Verb::Logs(arguments) => logs::run(arguments, edge),
        Verb::Dev(arguments) => dev::run(arguments, edge),
        Verb::Remove(arguments) => remove::run(arguments, edge),
    }
}

/// The named peer organizations, or all that are installed.
async fn peers(edge: &Edge, cluster: &Cluster, releases: &[String]) -> Result<Vec<Contact>> {
    let mut found = chosen(edge, cluster, releases).await?;
    if let Some(other) = found
        .iter()
        .find(|it| it.role != NodeRole::Peer && releases.contains(&it.release))
    {
        return Err(Error::user(format!(
            "organization \"{}\" has only orderers, and no peers that run chaincode",
            other.release
        )));
    }
    found.retain(|it| it.role == NodeRole::Peer);
    found.sort_by(|one, other| one.release.cmp(&other.release));
    match found.is_empty() {
        false => Ok(found),
        true => Err(no_peers()),
    }
}

/// Returns the administrator of the given organization, or of the first one with peers. Reads only
/// the necessary records.
async fn caller(
    edge: &Edge,
    cluster: &Cluster,
    organization: Option<&str>,
    signers: &Signers,
) -> Result<Member> {
    if let Some(organization) = organization {
        let named = [organization.to_owned()];
        let found = contacts(edge, cluster, &named).await?;
        return first_member(edge, cluster, &found, signers).await;
    }
    edge.connection.check()?;
    let (namespace, network) = (&edge.connection.namespace, &edge.connection.network);
    let network = network.as_deref().unwrap_or_default();
    let mut failed = None;
    for candidate in member::candidates(cluster, namespace.as_deref()).await? {
        let contact = match candidate.installed(cluster).await {
            Ok(installed) => installed.map(|it| it.contact),
            Err(error) => {
                failed = failed.or(Some(error));
                continue;
            }
        };
        let is_meant = |it: &Contact| {
            it.role == NodeRole::Peer && (namespace.is_some() || it.network == network)
        };
        let contacts: Vec<Contact> = contact.into_iter().filter(is_meant).collect();
        match first_member(edge, cluster, &contacts, signers).await {
            Ok(member) => return Ok(member),
            Err(error) if !contacts.is_empty() => failed = failed.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(failed.unwrap_or_else(no_peers))
}

fn no_peers() -> Error {
    Error::user("no organization with peers was found")
        .hint("`kubectl fabric list` shows all releases")
}

/// Returns the administrator of the first contact with a usable one.
async fn first_member(
    edge: &Edge,
    cluster: &Cluster,
    contacts: &[Contact],
    signers: &Signers,
) -> Result<Member> {
    let mut failed = None;
    for contact in contacts {
        let signing = signers.of(&contact.release);
        match Member::of(cluster, contact.clone(), &signing, edge.now).await {
            Ok(member) => return Ok(member),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(no_peers))
}

/// Returns the given channel, or the only one that the organization's peers have joined.
async fn channel_of(member: &Member, named: Option<&str>) -> Result<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let organization = &member.contact.release;
    let mut last = Error::user(format!("organization \"{organization}\" has no peers"));
    for node in &member.contact.nodes {
        let channels = match member.peer(node)?.channels().await {
            Ok(channels) => channels,
            Err(failed) => {
                last = failed.into();
                continue;
            }
        };
        return match &channels[..] {
            [only] => Ok(only.clone()),
            [] => Err(Error::user(format!("{} has joined no channel", node.host))
                .hint("`kubectl fabric channel join` joins the peers of an organization")),
            _ => Err(
                Error::user(format!("{} has joined more than one channel", node.host))
                    .why(format!("its channels are {}", channels.join(", ")))
                    .hint(format!("choose one: --channel {}", channels[0])),
            ),
        };
    }
    Err(last)
}

/// Returns the participating organizations of the channel, at least one, and the channel.
async fn taking_part(
    edge: &Edge,
    cluster: &Cluster,
    channel: Option<&str>,
    named: &[String],
    signers: &Signers,
) -> Result<(Vec<Member>, View)> {
    let contacts = peers(edge, cluster, named).await?;
    let first = first_member(edge, cluster, &contacts, signers).await?;
    let name = channel_of(&first, channel).await?;
    let view = channel::view(&first, &name).await?;
    let (inside, outside): (Vec<Contact>, Vec<Contact>) = contacts
        .into_iter()
        .partition(|it| view.organizations.contains_key(&it.msp_id));
    match outside.first() {
        Some(other) if !named.is_empty() || inside.is_empty() => Err(Error::user(format!(
            "organization \"{}\" is not in channel \"{name}\"",
            other.release
        ))
        .now("nothing was changed")),
        _ => Ok((members(edge, cluster, inside, signers).await?, view)),
    }
}
