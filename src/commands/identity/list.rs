//! `identity list`.

use super::document::document;
use super::installed;
use crate::commands::arguments::{Format, OutputArguments};
use crate::commands::status::certificates::cell;
use crate::commands::{Edge, channel, complete};
use crate::error::Result;
use crate::fabric::contact::Contact;
use crate::identity::inventory::{Held, inventory, owners};
use crate::terminal::{RED, Table, Text, table::Cell};
use clap::Args;
use clap_complete::ArgValueCompleter;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;

/// List the identities of an organization with their issuers and expiry
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric identity list org1             the nodes, the administrator, the authorities
  kubectl fabric identity list                  of all installed organizations
  kubectl fabric identity list org1 -o wide     with sources, keys and fingerprints")]
pub struct Arguments {
    /// Name of the organization's release [default: all installed organizations]
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: Option<String>,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// An organization with its identities.
type Listed = (Contact, Vec<Held>);

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let listed: Vec<Listed> = edge.read(false, async |cluster| {
        let organizations = match &arguments.release {
            Some(release) => vec![installed(edge, cluster, release).await?],
            None => channel::organizations(edge, cluster).await?,
        };
        let each = organizations
            .into_iter()
            .map(async |it| match it.secrets(cluster).await {
                Ok(secrets) => Ok(Some((it.contact, inventory(&it.organization, &secrets)))),
                Err(error) if arguments.release.is_none() => {
                    let reasons = error.reasons().join(": ");
                    edge.terminal.warn(&format!("{}: {reasons}", error.what()));
                    Ok(None)
                }
                Err(error) => Err(error),
            });
        let listed: Vec<Option<Listed>> = try_join_all(each).await?;
        Ok(listed.into_iter().flatten().collect())
    })?;
    match arguments.output.output {
        format @ (Format::Table | Format::Wide) => {
            let text = table(&listed, format == Format::Wide, edge.now);
            edge.terminal.print(text)?;
        }
        Format::Name => {
            let names: Vec<&str> = listed.iter().flat_map(|(_, held)| owners(held)).collect();
            edge.terminal.print_named(Format::Name, &json!(names))?;
        }
        format => {
            let each = listed
                .iter()
                .flat_map(|(contact, held)| held.iter().map(move |it| (contact, it)));
            let documents = each.map(|(contact, held)| document(contact, held, edge.now));
            edge.terminal
                .print_named(format, &Value::Array(documents.collect()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(listed: &[Listed], wide: bool, now: Timestamp) -> Text {
    let headers = [
        "NAME",
        "WHOSE",
        "TYPE",
        "MSP ID",
        "ISSUER",
        "ENDS",
        "SECRET",
        "KEY",
        "SOURCE",
        "FINGERPRINT",
    ];
    let columns = if wide { headers.len() } else { 7 };
    let mut table = Table::of(&headers[..columns]);
    for (contact, held) in listed {
        for it in held {
            let mut row: Vec<Cell> = vec![
                (&it.name).into(),
                it.whose.to_string().into(),
                it.kind.to_string().into(),
                (&contact.msp_id).into(),
            ];
            let secret = format!("{}/{}", contact.namespace, it.secret);
            match &it.content {
                Ok(found) => {
                    let certificate = &found.certificate;
                    let key = if found.has_key { "yes" } else { "no" };
                    row.extend([
                        (&certificate.issuer).into(),
                        cell(certificate.not_after, now),
                        secret.into(),
                        key.into(),
                        found.source.as_deref().unwrap_or("-").into(),
                        certificate.fingerprint().into(),
                    ]);
                }
                Err(why) => {
                    row.extend(["-".into(), Cell::styled(why, RED), secret.into()]);
                    row.extend(["-", "-", "-"].map(Cell::from));
                }
            }
            row.truncate(columns);
            table.row(row);
        }
    }
    table.text()
}
