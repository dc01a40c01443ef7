//! `profile`: how applications connect to an organization.

use super::arguments::{OUTPUT, SigningArguments};
use super::{Edge, complete, load};
use crate::channel;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::identity::public::certificates;
use crate::member::profile::{Addresses, Channel, Orderer, Profile};
use crate::member::{self, Member};
use crate::node::Address;
use crate::release::ReleaseName;
use crate::yaml;
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print the connection profile of an organization, for applications
///
/// The profile contains the organization's peers with their TLS authorities, and its CA server, but
/// no keys. This is sufficient for Fabric's gateway clients and for SDKs with discovery. Other SDKs
/// need the orderers of channels: select channels with --channel, or pass a network file with -f.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric profile org1                             for an application in the cluster
  kubectl fabric profile org1 --exposed -o json           for an application outside the cluster
  kubectl fabric profile org1 --channel mychannel         with the orderers of a channel
  kubectl fabric profile org1 -f network.yaml             with all its channels
  kubectl fabric profile org1 --address peer0=127.0.0.1:7051    for a forwarded port
  kubectl fabric profile org1 -o configmap | kubectl apply -n app -f -")]
pub struct Arguments {
    /// Name of the organization's release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Channels in the profile, by name
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::nothing))]
    pub channel: Vec<String>,

    /// Network file with the organization's channels
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Use the external addresses of exposed nodes
    #[arg(long)]
    pub exposed: bool,

    /// Address of a node, as peer0=HOST:PORT; may be repeated
    #[arg(long, value_name = "NODE=HOST:PORT", value_parser = address)]
    pub address: Vec<(String, Address)>,

    #[command(flatten)]
    pub signing: SigningArguments,

    /// Output format of the profile
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "yaml", help_heading = OUTPUT)]
    pub output: Form,
}

/// How a profile is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The profile as YAML
    Yaml,
    /// The profile as JSON
    Json,
    /// A ConfigMap with both, as YAML
    Configmap,
}

fn address(text: &str) -> Result<(String, Address), String> {
    let (name, address) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("expected NODE=HOST:PORT, such as peer0=127.0.0.1:7051")?;
    let address = address
        .parse()
        .map_err(|error: Error| match error.reasons().first() {
            Some(why) => format!("{}: {why}", error.what()),
            None => error.what().to_owned(),
        })?;
    Ok((name.to_owned(), address))
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let mut channels = arguments.channel.clone();
    if let Some(file) = &arguments.file {
        let suffix = edge.connection.network.as_deref();
        channels.extend(channels_in(file, release.as_str(), suffix)?);
    }
    channels.sort();
    channels.dedup();
    let document = edge.read(false, async |cluster| {
        let contact = member::contact(cluster, &namespace, release.as_str()).await?;
        make(&arguments, edge, cluster, &contact, &channels).await
    })?;
    let text = match arguments.output {
        Form::Yaml => yaml::emit(&document),
        Form::Json => pretty(&document),
        Form::Configmap => yaml::emit(&config_map(release.as_str(), &document)),
    };
    edge.terminal.print_plain(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn make(
    arguments: &Arguments,
    edge: &Edge,
    cluster: &Cluster,
    contact: &Contact,
    channels: &[String],
) -> Result<Value> {
    let mut addresses = Addresses {
        exposed: arguments.exposed,
        ..Addresses::default()
    };
    for (name, address) in &arguments.address {
        if addresses
            .named
            .insert(name.clone(), address.clone())
            .is_some()
        {
            return Err(Error::user(format!("--address names \"{name}\" twice")));
        }
    }
    let msp = member::public_msp(cluster, contact).await?;
    let authorities = ["tlscacerts", "tlsintermediatecerts"].map(|it| certificates(&msp, it));
    let ca_authorities = member::ca_authorities(cluster, contact).await?;
    let channels = configured(arguments, edge, cluster, contact, channels).await?;
    if contact.client_authentication {
        edge.terminal.warn(
            "the peers require a client certificate: give the application one of the organization's TLS authority",
        );
    }
    Profile {
        contact,
        authorities: &authorities.concat(),
        ca_authorities: &ca_authorities,
        addresses: &addresses,
        channels: &channels,
    }
    .document()
}

/// The channels as the organization's own peers know them.
async fn configured(
    arguments: &Arguments,
    edge: &Edge,
    cluster: &Cluster,
    contact: &Contact,
    channels: &[String],
) -> Result<Vec<Channel>> {
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let signing = arguments.signing.load()?.of(&contact.release);
    let member = Member::of(cluster, contact.clone(), &signing, edge.now).await?;
    let mut configured = Vec::new();
    for name in channels {
        let view = channel::view(&member, name).await?;
        let orderers = view.orderers.into_iter().map(|it| Orderer {
            address: it.address,
            authorities: it.authorities,
        });
        configured.push(Channel {
            name: name.clone(),
            orderers: orderers.collect(),
        });
    }
    Ok(configured)
}

/// The channels that an organization is in, by a network file.
fn channels_in(file: &Path, release: &str, suffix: Option<&str>) -> Result<Vec<String>> {
    let network = load::network(&file.display().to_string(), suffix)?;
    if !network.organizations.contains_key(release) {
        let names: Vec<&str> = network.organizations.keys().map(String::as_str).collect();
        return Err(Error::user(format!(
            "\"{}\" has no organization \"{release}\"",
            file.display()
        ))
        .why(format!("it has {}", names.join(", "))));
    }
    let of_release = network.channels.into_iter();
    let of_release = of_release.filter(|(_, it)| it.organizations.contains_key(release));
    Ok(of_release.map(|(name, _)| name).collect())
}

fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

/// A ConfigMap for the application's own namespace.
fn config_map(release: &str, document: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("{release}-connection-profile")},
        "data": {
            "connection-profile.json": pretty(document),
            "connection-profile.yaml": yaml::emit(document),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_node_with_host_and_port() {
        let (name, found) = address("peer0=127.0.0.1:7051").unwrap();
        assert_eq!(
            (name.as_str(), found.to_string().as_str()),
            ("peer0", "127.0.0.1:7051")
        );
        for (text, why) in [
            ("peer0", "expected NODE=HOST:PORT"),
            ("=a:1", "expected NODE=HOST:PORT"),
            ("peer0=a", "the port is missing"),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_network_file_names_the_channels_of_an_organization() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/network.yaml");
        assert_eq!(channels_in(&file, "org1", None).unwrap(), ["mychannel"]);
        let error = channels_in(&file, "org9", None).unwrap_err().to_string();
        assert!(error.contains("no organization \"org9\""), "{error}");
    }

    #[test]
    fn a_config_map_holds_the_same_profile_twice() {
        let profile =
            json!({"name": "org1", "peers": {"peer0.org1": {"tlsCACerts": {"pem": "a\nb\n"}}}});
        let map = config_map("org1", &profile);
        let text = |name: &str| map["data"][name].as_str().unwrap();
        let json: Value = serde_json::from_str(text("connection-profile.json")).unwrap();
        let yaml = yaml::parse(text("connection-profile.yaml"), "profile").unwrap();
        assert_eq!((&json, &yaml), (&profile, &profile));
    }
}
