//! `-f network.yaml`, of the verbs that work on a whole network.

use super::SigningArguments;
use crate::commands::load::{self, NetworkFile};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result};
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;

/// The network, and the identities that sign.
#[derive(Args, Clone, Debug)]
pub struct NetworkArguments {
    /// Network file; - reads standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "network-file")]
    pub file: Option<String>,

    /// The built-in development network instead of a file: one orderer, two organizations with one
    /// peer each, and a channel, mychannel
    #[arg(long, group = "network-file", conflicts_with_all = ["file", "org"])]
    pub dev: bool,

    /// Image of a chaincode server, which --dev deploys as chaincode basic
    #[arg(long, value_name = "IMAGE", requires = "dev", add = ArgValueCompleter::new(complete::nothing))]
    pub image: Option<String>,

    /// Limit the command to this organization and its permissions [default: all organizations]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::nothing))]
    pub org: Option<String>,

    #[command(flatten)]
    pub signing: SigningArguments,
}

impl NetworkArguments {
    /// Reads the network file and all files in it.
    ///
    /// # Errors
    ///
    /// Fails without a file, for problems in it, and for an organization that is not in it.
    pub fn load(&self, edge: &Edge) -> Result<NetworkFile> {
        let suffix = suffix(edge)?;
        if self.dev {
            return load::development_network(self.image.as_deref(), suffix);
        }
        let Some(file) = &self.file else {
            return Err(Error::user("no network file is given")
                .hint("pass it with -f network.yaml; docs/reference/network.md describes the file")
                .hint("for the built-in development network: --dev"));
        };
        self.check(load::network_file(file, suffix)?, edge)
    }

    /// Returns true if the command is about a network.
    pub fn is_given(&self) -> bool {
        self.dev || self.file.is_some()
    }

    /// The arguments that name the network, as the user would type them.
    pub fn words(&self) -> String {
        match (&self.file, &self.image) {
            (Some(file), _) => format!("-f {file}"),
            (None, Some(image)) => format!("--dev --image {image}"),
            (None, None) => "--dev".to_owned(),
        }
    }

    /// Checks `--org` against the file, and passes on the file's warnings.
    pub fn check(&self, loaded: NetworkFile, edge: &Edge) -> Result<NetworkFile> {
        let organizations = &loaded.network.organizations;
        if let Some(org) = &self.org
            && !organizations.contains_key(org)
        {
            let names: Vec<&str> = organizations.keys().map(String::as_str).collect();
            let what = format!("the network file has no organization \"{org}\"");
            return Err(Error::user(what).why(format!("it has {}", names.join(", "))));
        }
        for warning in &loaded.network.warnings {
            edge.terminal.warn(warning);
        }
        Ok(loaded)
    }

    /// Whether standard input is read.
    pub fn uses_stdin(&self) -> bool {
        self.file.as_deref() == Some("-")
    }
}

/// `--network`. The file defines the namespaces, so `-n` is not allowed.
pub fn suffix(edge: &Edge) -> Result<Option<&str>> {
    edge.connection.check()?;
    match &edge.connection.namespace {
        Some(_) => Err(Error::user("-n cannot be used with a network file")
            .why("the network file defines the namespaces of its releases")
            .hint("--network NAME creates a second copy, in namespaces with that suffix")),
        None => Ok(edge.connection.network.as_deref()),
    }
}
