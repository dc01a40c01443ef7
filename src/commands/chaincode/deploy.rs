//! `chaincode deploy`.

use super::arguments::{DefinitionArguments, ServerArguments};
use super::package::Choice;
use super::server::{Server, collect};
use super::taking_part;
use crate::chaincode::{self, Approver, Deploy, Deployed, Missing};
use crate::cluster::Cluster;
use crate::commands::arguments::{
    CHART, OutputArguments, SigningArguments, ValuesArguments, duration,
};
use crate::commands::{Edge, complete, load};
use crate::deploy::Options;
use crate::error::Result;
use crate::network::derive;
use crate::release::ReleaseName;
use crate::terminal::{GREEN, Table, Text, table::Cell};
use crate::values::{self, Origin, Values};
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use futures::future::join_all;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Deploy a chaincode: its servers, and its definition on a channel
///
/// Installs the server of the chaincode as a release of chart chaincode in the namespace of each
/// organization, and its package on each peer. Each organization approves the definition, which is
/// committed once all servers are ready. The command is idempotent: if you run it again, it changes
/// nothing. Without a flag, a setting keeps its committed value.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode deploy basic --image registry.example.com/basic:1.0 --channel mychannel
  kubectl fabric chaincode deploy basic --image registry.example.com/basic:1.1     a new server
  kubectl fabric chaincode deploy basic --version 2.0 --policy \"AND('Org1MSP.peer','Org2MSP.peer')\"
  kubectl fabric chaincode deploy basic --version 3.0 --collections collections.json")]
pub struct Arguments {
    #[command(flatten)]
    pub server: ServerArguments,

    /// Image of the chaincode's server, as REPOSITORY:TAG or REPOSITORY@DIGEST [default: the
    /// running image]
    #[arg(long, value_name = "IMAGE", help_heading = CHART)]
    pub image: Option<String>,

    #[command(flatten)]
    pub values: ValuesArguments,

    /// Channel of the chaincode [default: the only one that the organizations' peers have joined]
    #[arg(short = 'C', long, value_name = "CHANNEL", add = ArgValueCompleter::new(complete::nothing))]
    pub channel: Option<String>,

    /// Organizations that run and approve it, by release [default: all installed ones of the
    /// channel]
    #[arg(long, value_name = "ORG,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    #[command(flatten)]
    pub definition: DefinitionArguments,

    /// Folder that contains META-INF/statedb/couchdb with indexes for the package [default: the
    /// indexes of the installed package]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub indexes: Option<PathBuf>,

    /// Maximum time to wait for the servers, and for each transaction
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The result for the server of an organization.
struct Served {
    organization: String,
    namespace: String,
    /// Its peers: `peer0.org1`.
    peers: Vec<String>,
    did: &'static str,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = arguments.server.release()?;
    let name = arguments.server.name.as_str();
    let signers = arguments.signing.load()?;
    let described = arguments.definition.load()?;
    let indexes = arguments
        .indexes
        .as_deref()
        .map(load::indexes)
        .transpose()?;
    let given = over_image(arguments.image.as_deref(), arguments.values.load()?);
    let choice = Choice {
        name,
        release: &release,
        given: &given,
        indexes: indexes.as_ref(),
    };
    let (rows, done) = edge.operate(
        arguments.values.uses_stdin(),
        async |cluster, interrupted| {
            let named = &arguments.organizations;
            let channel = arguments.channel.as_deref();
            let (members, view) = taking_part(edge, cluster, channel, named, &signers).await?;
            let definition = described.definition(&members[0], &view, name).await?;
            let (approvers, _) = choice.approvers(cluster, members).await?;
            let servers = Servers {
                edge,
                cluster,
                release: &release,
                given: &given,
                options: Options {
                    timeout: arguments.timeout,
                    create_namespace: false,
                    ..Options::default()
                },
                interrupted,
            };
            let deploy = Deploy {
                view: &view,
                name,
                definition: &definition,
                approvers: &approvers,
                timeout: arguments.timeout,
            };
            deploy_all(&deploy, servers.serve(&approvers)).await
        },
    )?;
    print(edge, &arguments, &rows, &done)?;
    Ok(ExitCode::SUCCESS)
}

/// Installs or upgrades the servers of all organizations.
struct Servers<'a> {
    edge: &'a Edge,
    cluster: &'a Cluster,
    release: &'a ReleaseName,
    given: &'a Values,
    options: Options,
    interrupted: watch::Receiver<bool>,
}

impl Servers<'_> {
    async fn serve(&self, approvers: &[Approver]) -> Vec<Result<&'static str>> {
        let each = approvers.iter().map(async |Approver { member, package }| {
            let server = Server {
                edge: self.edge,
                cluster: self.cluster,
                release: self.release,
                namespace: &member.contact.namespace,
                options: self.options.clone(),
                interrupted: self.interrupted.clone(),
            };
            let id = json!({ "packageID": package.id() });
            let id = values::with_origin(id, Origin::Program("the package".to_owned()));
            server.serve(&values::merge(self.given.clone(), id)).await
        });
        join_all(each).await
    }
}

async fn deploy_all(
    deploy: &Deploy<'_>,
    servers: impl Future<Output = Vec<Result<&'static str>>>,
) -> Result<(Vec<Served>, Deployed)> {
    let mut rows = Vec::new();
    let server = async {
        let contacts = || deploy.approvers.iter().map(|it| &it.member.contact);
        let namespaces = contacts().map(|it| it.namespace.clone());
        let what = format!(
            "the servers of chaincode \"{}\" are not running",
            deploy.name
        );
        let did = collect(&what, "changed", namespaces.zip(servers.await).collect());
        let did = did.map_err(|error| {
            error.replace_now(
                "the definition is not committed; installed packages and approvals stay",
            )
        })?;
        rows.extend(contacts().zip(did).map(|(contact, did)| Served {
            organization: contact.release.clone(),
            namespace: contact.namespace.clone(),
            peers: contact.nodes.iter().map(|it| it.host.clone()).collect(),
            did,
        }));
        Ok(())
    };
    let done = chaincode::deploy(deploy, server).await?;
    Ok((rows, done))
}

/// Returns the image as values of the chart, below the user's values.
fn over_image(image: Option<&str>, given: Values) -> Values {
    match image {
        None => given,
        Some(image) => {
            let image = json!({ "image": image_values(image) });
            let origin = Origin::Flag("--image".to_owned());
            values::merge(values::with_origin(image, origin), given)
        }
    }
}

/// The parts of an image's name, as the chart takes them.
pub(super) fn image_values(image: &str) -> Value {
    let (repository, tag, digest) = derive::image(image);
    json!({"repository": repository, "tag": tag, "digest": digest})
}

fn print(edge: &Edge, arguments: &Arguments, rows: &[Served], done: &Deployed) -> Result<()> {
    let is_same = done.missing.is_nothing() && rows.iter().all(|row| row.did == "unchanged");
    let Missing { sequence, .. } = done.missing;
    let name = &arguments.server.name;
    match arguments.output.output {
        format if format.is_table() => {
            edge.terminal.print(match (is_same, done.missing.commit) {
                (true, _) => format!("Chaincode \"{name}\" is unchanged, at sequence {sequence}.\n"),
                (false, true) => format!("Chaincode \"{name}\" has been committed, at sequence {sequence}.\n"),
                (false, false) => format!("Chaincode \"{name}\" is deployed, at sequence {sequence}.\n"),
            })?;
            for change in &done.changes {
                edge.terminal.print(format!("  {change}\n"))?;
            }
            edge.terminal.print(table(rows, &done.missing))
        }
        format => edge.terminal.print_named(
            format,
            &json!({
                "name": name,
                "sequence": sequence,
                "changed": !is_same,
                "committed": done.missing.commit,
                "changes": done.changes,
                "organizations": rows.iter().map(|row| document(row, &done.missing)).collect::<Vec<_>>(),
            }),
        ),
    }
}

fn installed_now<'a>(row: &'a Served, missing: &'a Missing) -> impl Iterator<Item = &'a String> {
    missing.install.iter().filter(|it| row.peers.contains(*it))
}

fn table(rows: &[Served], missing: &Missing) -> Text {
    let mut table = Table::new(["ORGANIZATION", "SERVER", "PACKAGE", "DEFINITION"]);
    for row in rows {
        let new = |is_new: bool, word: &'static str| -> Cell {
            match is_new {
                true => Cell::styled(word, GREEN),
                false => "unchanged".into(),
            }
        };
        table.row([
            (&row.organization).into(),
            new(row.did != "unchanged", row.did),
            new(installed_now(row, missing).next().is_some(), "installed"),
            new(missing.approve.contains(&row.organization), "approved"),
        ]);
    }
    table.text()
}

fn document(row: &Served, missing: &Missing) -> Value {
    json!({
        "organization": row.organization,
        "namespace": row.namespace,
        "server": row.did,
        "installed": installed_now(row, missing).collect::<Vec<_>>(),
        "approved": missing.approve.contains(&row.organization),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_split_into_what_the_chart_takes() {
        for (image, repository, tag, digest) in [
            ("basic:1.0", "basic", "1.0", ""),
            ("registry:5000/a/basic", "registry:5000/a/basic", "", ""),
            (
                "registry:5000/a/basic:1.0",
                "registry:5000/a/basic",
                "1.0",
                "",
            ),
            ("a/basic@sha256:12", "a/basic", "", "sha256:12"),
            ("a/basic:1@sha256:12", "a/basic", "1", "sha256:12"),
        ] {
            let expected = json!({"repository": repository, "tag": tag, "digest": digest});
            assert_eq!(image_values(image), expected, "{image}");
        }
    }

    #[test]
    fn a_value_of_the_user_s_overrides_the_image() {
        let given = values::from_sources(vec![values::Source::Set("image.tag=v2".to_owned())]);
        let merged = over_image(Some("basic:1"), given.unwrap());
        let expected = json!({"image": {"repository": "basic", "tag": "v2", "digest": ""}});
        assert_eq!(merged.tree, expected);
    }
}
