//! `identity show`.

use super::document::{document, words};
use super::{held_by, installed, secrets_of};
use crate::commands::arguments::OutputArguments;
use crate::commands::{Edge, complete};
use crate::error::Result;
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use std::process::ExitCode;

/// Show the identities of a node, a user or an authority
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric identity show org1 peer0       the certificates of a node
  kubectl fabric identity show org1 admin       of the administrator
  kubectl fabric identity show org1 tlsca       of the authority that signs TLS certificates")]
pub struct Arguments {
    /// Name of the organization's release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Owner of the identities: a node, admin, ca, tlsca, or a user
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let name = &arguments.name;
    let (contact, held) = edge.read(false, async |cluster| {
        let installed = installed(edge, cluster, &arguments.release).await?;
        let secrets = secrets_of(cluster, &installed, name).await?;
        let held = held_by(&installed, &secrets, name)?;
        Ok((installed.contact, held))
    })?;
    match arguments.output.output {
        format if format.is_table() => {
            let whose = held.first().map(|it| it.whose.to_string());
            let mut text = format!(
                "IDENTITY: {name} ({})\nORGANIZATION: {} ({})\n",
                whose.unwrap_or_default(),
                contact.release,
                contact.msp_id
            );
            text.extend(held.iter().map(|it| words(&contact, it, edge.now)));
            edge.terminal.print_plain(&text)?;
        }
        format => {
            let documents = held.iter().map(|it| document(&contact, it, edge.now));
            edge.terminal
                .print_named(format, &Value::Array(documents.collect()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
