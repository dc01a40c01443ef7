//! Reads a network file and all files in it.

use super::folder;
use super::{ExchangeFolder, chart_choice, crypto_config, text_file, values_file};
use crate::chart::repository;
use crate::deploy::ChartChoice;
use crate::error::{Error, Result};
use crate::identity::Source;
use crate::network::file::Installation;
use crate::network::member::Member;
use crate::network::{Draft, Given, Network, describe, describe_embedded};
use crate::up::Inputs;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folder of indexes in a package (`core/chaincode/platforms/ccmetadata/validators.go`).
const INDEXES: &str = "META-INF/statedb/couchdb";

/// A network with its files.
pub struct NetworkFile {
    pub network: Network,
    pub inputs: Inputs,
    /// Where organizations exchange files.
    pub exchange: ExchangeFolder,
}

/// Reads a network file, `-` being standard input. `suffix` is `--network`.
///
/// # Errors
///
/// Lists all problems of the file at once, and files that cannot be read.
pub fn network_file(argument: &str, suffix: Option<&str>) -> Result<NetworkFile> {
    let (name, text) = text_of(argument)?;
    network_text(&text, &name, &folder_of(argument), suffix)
}

/// The network file of `--dev`.
const DEVELOPMENT: &str = include_str!("development.yaml");

/// Returns the network of `--dev`, with chaincode `basic` if its image is given.
pub fn development_network(image: Option<&str>, suffix: Option<&str>) -> Result<NetworkFile> {
    let chaincode = |image: &str| {
        let image = json!(image);
        format!("\nchaincodes:\n  basic: {{channel: mychannel, image: {image}}}\n")
    };
    let text = format!("{DEVELOPMENT}{}", image.map(chaincode).unwrap_or_default());
    network_text(&text, "the network of --dev", Path::new(""), suffix)
}

/// [`network_file`] without the identities and other files that only `up` needs.
pub fn network(argument: &str, suffix: Option<&str>) -> Result<Network> {
    let (name, text) = text_of(argument)?;
    parse(&text, &name, &folder_of(argument), suffix)
}

/// The name to show in errors, and the text.
fn text_of(argument: &str) -> Result<(String, String)> {
    match argument {
        "" | "-" => values_file(argument),
        address if address.contains("://") => values_file(address),
        path => Ok((path.to_owned(), text_file(Path::new(path), "network file")?)),
    }
}

fn folder_of(argument: &str) -> PathBuf {
    match argument {
        "-" => PathBuf::new(),
        path => Path::new(path).parent().unwrap_or(Path::new("")).to_owned(),
    }
}

/// Reads the text of a network file. Paths in it are relative to `folder`.
fn network_text(
    text: &str,
    name: &str,
    folder: &Path,
    suffix: Option<&str>,
) -> Result<NetworkFile> {
    let network = parse(text, name, folder, suffix)?;
    let inputs = inputs(&network, folder)?;
    let folder = folder.to_owned();
    Ok(NetworkFile {
        network,
        inputs,
        exchange: ExchangeFolder { folder },
    })
}

fn parse(text: &str, name: &str, folder: &Path, suffix: Option<&str>) -> Result<Network> {
    let draft = Draft::read(text, name)?;
    let read = |file: &str| text_file(&folder.join(file), "values file");
    let files = draft.files();
    let files = files.into_iter().map(|file| (file.to_owned(), read(file)));
    let given = Given {
        files: files.collect(),
        suffix,
        describe: &|installation| describe_any(installation, folder),
    };
    draft.finish(&given)
}

/// Returns the chart in the file: an embedded or kept one by its name, any other by its path.
fn chart(installation: &Installation, folder: &Path) -> Result<Option<ChartChoice>> {
    let version = installation.chart_version.as_deref();
    let Some(name) = &installation.chart else {
        return Ok(version.map(|version| ChartChoice::ByReleaseVersion(version.to_owned())));
    };
    let is_path = name.contains('/') || repository::is_archive(name) || name.starts_with('.');
    let name = match is_path {
        true => folder.join(name).display().to_string(),
        false => name.clone(),
    };
    chart_choice(&name, version).map(Some)
}

fn describe_any(installation: &Installation, folder: &Path) -> Result<Member> {
    match chart(installation, folder)? {
        Some(ChartChoice::Loaded(chart)) => describe(&chart, installation),
        _ => describe_embedded(installation),
    }
}

fn inputs(network: &Network, folder: &Path) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    for installation in network.installations() {
        if let Some(chart) = chart(installation, folder)? {
            inputs.charts.insert(installation.release.clone(), chart);
        }
    }
    for (name, organization) in &network.organizations {
        if let Some(path) = &organization.crypto_config {
            let path = folder.join(path);
            let source = Source::CryptoConfig {
                folder: path.display().to_string(),
                files: crypto_config(&path)?,
            };
            inputs.identities.insert(name.clone(), source);
        }
    }
    for (name, chaincode) in &network.chaincodes {
        if let Some(path) = &chaincode.path {
            let files = folder::read(&folder.join(path), "folder of a chaincode's source")?;
            inputs.sources.insert(name.clone(), files);
        }
        if let Some(path) = &chaincode.indexes {
            let files = folder::read(&folder.join(path), "folder of indexes")?;
            if files.is_empty() {
                let what = format!("the index folder of chaincode \"{name}\" is empty");
                return Err(Error::user(what));
            }
            let files = files.into_iter();
            let files = files.map(|(file, bytes)| (format!("{INDEXES}/{file}"), bytes));
            let files: BTreeMap<String, Vec<u8>> = files.collect();
            inputs.indexes.insert(name.clone(), files);
        }
    }
    Ok(inputs)
}
