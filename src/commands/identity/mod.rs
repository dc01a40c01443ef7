//! `identity`: the keys and certificates of installed organizations.

mod authority;
mod document;
mod enroll;
mod export;
mod list;
mod show;
mod target;
mod terms;

use super::Edge;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::identity::export::unknown;
use crate::identity::inventory::{Held, inventory, secret_names};
use crate::member::Installed;
use crate::release::ReleaseName;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// List, show, export and enroll identities of organizations
///
/// install and upgrade generate identities, or import them from a folder with --crypto-config. They
/// are stored in Secrets in the organization's namespace. Private keys are never printed.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  kubectl fabric identity list org1                       owners and expiry
  kubectl fabric identity show org1 peer0                 the certificates of one node
  kubectl fabric identity export org1 --to crypto-config  the certificates, in cryptogen's layout
  kubectl fabric identity export org1 --public --to org1.json   for the other members of a channel
  kubectl fabric identity enroll org1 alice --register --to alice    a user of an application"
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    Show(show::Arguments),
    Export(export::Arguments),
    Enroll(Box<enroll::Arguments>),
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    match arguments.verb {
        Verb::List(arguments) => list::run(arguments, edge),
        Verb::Show(arguments) => show::run(arguments, edge),
        Verb::Export(arguments) => export::run(arguments, edge),
        Verb::Enroll(arguments) => enroll::run(*arguments, edge),
    }
}

/// Reads an organization by the name of its release.
async fn installed(edge: &Edge, cluster: &Cluster, release: &str) -> Result<Installed> {
    let release = ReleaseName::parse(release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    Installed::load(cluster, &namespace, release.as_str()).await
}

/// The Secrets of one owner.
///
/// # Errors
///
/// Fails for a name that has no identity.
async fn secrets_of(
    cluster: &Cluster,
    installed: &Installed,
    owner: &str,
) -> Result<BTreeMap<String, Value>> {
    let organization = &installed.organization;
    // The name becomes part of the names of Secrets.
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if owner.is_empty() || !owner.bytes().all(is_name) {
        return Err(unknown(
            organization,
            owner,
            &inventory(organization, &BTreeMap::new()),
        ));
    }
    let names = secret_names(organization, owner);
    installed.secrets_named(cluster, &names).await
}

/// The identities of one owner among these Secrets.
fn held_by(
    installed: &Installed,
    secrets: &BTreeMap<String, Value>,
    owner: &str,
) -> Result<Vec<Held>> {
    let organization = &installed.organization;
    let all = inventory(organization, secrets);
    let own: Vec<Held> = all.iter().filter(|it| it.name == owner).cloned().collect();
    match own.is_empty() {
        true => Err(unknown(organization, owner, &all)),
        false => Ok(own),
    }
}
