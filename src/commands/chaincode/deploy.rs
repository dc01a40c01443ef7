//! `chaincode deploy`.

use super::server::{Server, serve};
use super::{channel_of, peers, view};
use crate::chaincode::{
    self, Definition, Deploy, Deployed, Missing, View, Wanted, collections, endorsement_policy,
};
use crate::cluster::Cluster;
use crate::commands::arguments::{
    CHART, OutputArguments, Signers, SigningArguments, ValuesArguments, duration,
};
use crate::commands::channel::members;
use crate::commands::{Edge, complete, load};
use crate::error::{Error, Kind, Place, Result};
use crate::fabric::contact::Contact;
use crate::ledger::chaincode_package::Package;
use crate::member::Member;
use crate::release::ReleaseName;
use crate::terminal::{GREEN, Table, Text, table::Cell};
use crate::values::Values;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The heading of the flags that say what is committed.
const DEFINITION: &str = "Definition";

/// Deploy a chaincode: its servers, and its definition in a channel
///
/// Installs the server of the chaincode as a release of chart chaincode in the namespace of each
/// organization, and its package on each peer. Each organization approves the definition, and it is
/// committed when all servers are ready. What is there is left alone: the same command again
/// changes nothing. A flag that you leave out keeps what is committed.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode deploy basic --image registry.example.com/basic:1.0 --channel mychannel
  kubectl fabric chaincode deploy basic --image registry.example.com/basic:1.1     a new server
  kubectl fabric chaincode deploy basic --version 2.0 --policy \"AND('Org1MSP.peer','Org2MSP.peer')\"
  kubectl fabric chaincode deploy basic --version 3.0 --collections collections.json")]
pub struct Arguments {
    /// Name of the chaincode
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// Image of the chaincode's server, as REPOSITORY:TAG or REPOSITORY@DIGEST [default: the one
    /// that runs]
    #[arg(long, value_name = "IMAGE", help_heading = CHART)]
    pub image: Option<String>,

    /// Release of the server [default: the name of the chaincode, in lower case]
    #[arg(long, value_name = "RELEASE", help_heading = CHART, add = ArgValueCompleter::new(complete::releases))]
    pub release: Option<String>,

    #[command(flatten)]
    pub values: ValuesArguments,

    /// Channel of the chaincode [default: the only one that the organizations' peers have joined]
    #[arg(short = 'C', long, value_name = "CHANNEL", add = ArgValueCompleter::new(complete::nothing))]
    pub channel: Option<String>,

    /// Organizations that run and approve it, by release [default: those of the channel that can
    /// be found]
    #[arg(long, value_name = "ORG,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    /// Version of the definition [default: 1.0]
    #[arg(long = "version", value_name = "VERSION", help_heading = DEFINITION)]
    pub version: Option<String>,

    /// Endorsement policy: an expression such as "OR('Org1MSP.peer','Org2MSP.peer')", or the path
    /// of a policy of the channel [default: /Channel/Application/Endorsement]
    #[arg(long, value_name = "POLICY", help_heading = DEFINITION)]
    pub policy: Option<String>,

    /// File with the collections of private data, in the JSON of Fabric's samples
    #[arg(long, value_name = "FILE", help_heading = DEFINITION, value_hint = ValueHint::FilePath)]
    pub collections: Option<PathBuf>,

    /// Whether Init must be called before anything else
    #[arg(long, value_name = "BOOL", help_heading = DEFINITION, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub init_required: Option<bool>,

    /// Longest time for the servers to become ready, and for each transaction
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(mut arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = release_of(&arguments)?;
    let signers = arguments.signing.load()?;
    let collections_file = match &arguments.collections {
        Some(path) => Some(load::text(path, "file of collections")?),
        None => None,
    };
    let port = port(&arguments.values.load()?);
    let address = format!("{release}:{port}");
    let package = chaincode::package(&arguments.name, &address, &BTreeMap::new())?;
    arguments
        .values
        .set_json
        .extend(settings(&arguments, &package));
    let (rows, done) = edge.operate(
        arguments.values.uses_stdin(),
        async |cluster, interrupted| {
            let contacts = peers(edge, cluster, &arguments.organizations).await?;
            let (members, view) =
                taking_part(edge, cluster, &arguments, contacts, &signers).await?;
            let committed = chaincode::committed(&members, &view.name, &arguments.name).await?;
            let committed = committed.map(|it| it.definition);
            let definition = definition(&arguments, committed, collections_file.as_deref(), &view)?;
            let wanted = Wanted {
                name: arguments.name.clone(),
                definition,
                package: package.id(),
            };
            let servers = async {
                let each = members.iter().map(|member| {
                    serve(
                        edge,
                        cluster,
                        &release,
                        &arguments,
                        member,
                        interrupted.clone(),
                    )
                });
                join_all(each).await
            };
            let deploy = Deploy {
                view: &view,
                members: &members,
                wanted: &wanted,
                package: &package,
                timeout: arguments.timeout,
            };
            deploy_all(&deploy, servers).await
        },
    )?;
    print(edge, &arguments, &rows, &done)?;
    Ok(ExitCode::SUCCESS)
}

async fn deploy_all(
    deploy: &Deploy<'_>,
    servers: impl Future<Output = Vec<Result<Server>>>,
) -> Result<(Vec<Server>, Deployed)> {
    let mut rows = Vec::new();
    let server = async {
        let (mut failed, mut kind) = (Vec::new(), Kind::NotReady);
        let mut hints: Vec<String> = Vec::new();
        for (member, server) in deploy.members.iter().zip(servers.await) {
            match server {
                Ok(server) => rows.push(server),
                Err(error) => {
                    let words = [&[error.what().to_owned()], error.reasons()].concat();
                    let place = Place::new(member.contact.namespace.clone());
                    failed.push(place.note(words.join(": ")));
                    failed.extend(error.places().to_vec());
                    let new = error.hints().iter().filter(|hint| !hints.contains(*hint));
                    let new: Vec<String> = new.cloned().collect();
                    hints.extend(new);
                    kind = error.kind();
                }
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let what = format!(
            "the servers of chaincode \"{}\" do not run",
            deploy.wanted.name
        );
        let error = Error::new(kind, what)
            .at_all(failed)
            .now("the definition is not committed; what was installed and approved stays so");
        Err(hints.into_iter().fold(error, Error::hint))
    };
    let done = chaincode::deploy(deploy, server).await?;
    Ok((rows, done))
}

/// The organizations of the channel that take part, and the channel.
async fn taking_part(
    edge: &Edge,
    cluster: &Cluster,
    arguments: &Arguments,
    contacts: Vec<Contact>,
    signers: &Signers,
) -> Result<(Vec<Member>, View)> {
    let first = super::first_member(edge, cluster, &contacts, signers).await?;
    let channel = channel_of(&first, arguments.channel.as_deref()).await?;
    let view = view(&first, &channel).await?;
    let is_named = !arguments.organizations.is_empty();
    if let Some(other) = contacts
        .iter()
        .find(|it| is_named && !view.organizations.contains_key(&it.msp_id))
    {
        return Err(Error::user(format!(
            "organization \"{}\" is not in channel \"{channel}\"",
            other.release
        ))
        .now("nothing was changed"));
    }
    let of_channel = contacts
        .into_iter()
        .filter(|it| view.organizations.contains_key(&it.msp_id));
    Ok((members(edge, cluster, of_channel, signers).await?, view))
}

fn release_of(arguments: &Arguments) -> Result<ReleaseName> {
    match &arguments.release {
        Some(name) => ReleaseName::parse(name),
        None => ReleaseName::parse(&arguments.name.to_lowercase().replace('_', "-"))
            .map_err(|error| error.hint("name the release of the server: --release NAME")),
    }
}

/// The port of the server, as values have it.
fn port(values: &Values) -> u64 {
    const DEFAULT: u64 = 9999;
    let port = values.tree.pointer("/port").and_then(Value::as_u64);
    port.unwrap_or(DEFAULT)
}

/// Values of the server that follow from the arguments.
fn settings(arguments: &Arguments, package: &Package) -> Vec<String> {
    let mut settings = vec![json!({ "packageID": package.id() }).to_string()];
    if let Some(image) = &arguments.image {
        let (name, digest) = image.split_once('@').unwrap_or((image, ""));
        let last = name.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match name[last..].split_once(':') {
            Some((short, tag)) => (&name[..last + short.len()], tag),
            None => (name, ""),
        };
        let image = json!({"repository": repository, "tag": tag, "digest": digest});
        settings.push(json!({ "image": image }).to_string());
    }
    settings
}

/// What is wanted: what the arguments say, over what is committed.
fn definition(
    arguments: &Arguments,
    committed: Option<Definition>,
    collections_file: Option<&str>,
    view: &View,
) -> Result<Definition> {
    let mut definition = committed.unwrap_or_default();
    if let Some(version) = &arguments.version {
        definition.version.clone_from(version);
    }
    if let Some(policy) = &arguments.policy {
        definition.policy = endorsement_policy(policy, view)?;
    }
    if let (Some(text), Some(path)) = (collections_file, &arguments.collections) {
        definition.collections = collections(text, &path.display().to_string(), view)?;
    }
    if let Some(init_required) = arguments.init_required {
        definition.init_required = init_required;
    }
    Ok(definition)
}

fn print(edge: &Edge, arguments: &Arguments, rows: &[Server], done: &Deployed) -> Result<()> {
    let is_same = done.missing.is_nothing() && rows.iter().all(|row| row.did == "unchanged");
    let Missing { sequence, .. } = done.missing;
    let name = &arguments.name;
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

fn installed_now<'a>(row: &'a Server, missing: &'a Missing) -> impl Iterator<Item = &'a String> {
    missing.install.iter().filter(|it| row.peers.contains(*it))
}

fn table(rows: &[Server], missing: &Missing) -> Text {
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

fn document(row: &Server, missing: &Missing) -> Value {
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
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(words: &[&str]) -> Arguments {
        Line::parse_from([&["deploy"], words].concat()).arguments
    }

    #[test]
    fn an_image_is_split_into_what_the_chart_takes() {
        let package = chaincode::package("basic", "basic:9999", &BTreeMap::new()).unwrap();
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
            let settings = settings(&parsed(&["basic", "--image", image]), &package);
            let expected =
                json!({"image": {"repository": repository, "tag": tag, "digest": digest}});
            assert_eq!(settings[1], expected.to_string(), "{image}");
        }
        assert_eq!(settings(&parsed(&["basic"]), &package).len(), 1);
    }

    #[test]
    fn a_release_has_the_name_of_the_chaincode_as_kubernetes_takes_it() {
        for (words, release) in [
            (&["basic"][..], Ok("basic")),
            (&["My_Basic"], Ok("my-basic")),
            (&["My_Basic", "--release", "mine"], Ok("mine")),
            (&["basic", "--release", "My_Basic"], Err(())),
        ] {
            let made = release_of(&parsed(words));
            let made = made.as_ref().map(ReleaseName::as_str).map_err(|_| ());
            assert_eq!(made, release, "{words:?}");
        }
    }

    #[test]
    fn the_package_depends_on_nothing_but_the_server_s_address() {
        let id = |address: &str| {
            let package = chaincode::package("basic", address, &BTreeMap::new());
            package.unwrap().id()
        };
        assert_eq!(id("basic:9999"), id("basic:9999"));
        assert_ne!(id("basic:9999"), id("basic:7052"));
        let values = parsed(&["basic", "--set", "port=7052"])
            .values
            .load()
            .unwrap();
        assert_eq!(port(&values), 7052);
        assert_eq!(port(&parsed(&["basic"]).values.load().unwrap()), 9999);
    }
}
