//! `status`: a release as it was recorded, and its objects as they are now.

mod identities;
mod resources;

use super::arguments::{OutputArguments, revision};
use super::release_document as document;
use super::{Edge, complete};
use crate::error::Result;
use crate::fabric::guard::Facts;
use crate::manifest::HookEvent;
use crate::release::{self, Record, ReleaseName};
use crate::storage;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::process::ExitCode;

/// Show a release: its revision, its objects as they are now, when its certificates expire
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric status org1                       the newest revision, and what runs
  kubectl fabric status org1 --revision 2          an earlier revision
  kubectl fabric status org1 -o json | jq -r .info.status")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Revision to show [default: the newest]
    #[arg(long, value_name = "REVISION", value_parser = revision::parse, add = ArgValueCompleter::new(complete::revisions))]
    pub revision: Option<u32>,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let (record, resources, identities) = edge.read(false, async |cluster| {
        let record = storage::read(cluster, &namespace, release.as_str(), arguments.revision).await?;
        let (mut resources, identities) =
            futures::join!(resources::live(cluster, &record.inventory), identities::of(cluster, &namespace, release.as_str()));
        if let Some(known) = Facts::read(&record.guard).identities {
            resources::compare_certificates(
                &mut resources,
                &known,
                &identities.digests,
                &release::command("upgrade", release.as_str(), &namespace),
            );
        }
        Ok((record, resources, identities))
    })?;
    if arguments.output.output.is_table() {
        let mut text = document::status_block(&record.summary);
        text.append(&resources::text(&resources, &namespace, edge.now));
        text.append(&identities::text(&identities, edge.now));
        text.push(tests(&record));
        edge.terminal.print(text)?;
        if !record.notes.trim().is_empty() {
            edge.terminal.print_plain(&format!("NOTES:\n{}\n", record.notes.trim_end()))?;
        }
    } else {
        let mut status = document::record(&record);
        status["info"]["resources"] = resources::document(&resources);
        status["info"]["identities"] = identities::document(&identities);
        edge.terminal.print_named(arguments.output.output, &status)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tests(record: &Record) -> String {
    let names: Vec<&str> = record
        .hooks
        .iter()
        .filter(|hook| hook.events.contains(&HookEvent::Test))
        .map(|hook| hook.object.key.name.as_str())
        .collect();
    let names = if names.is_empty() { "None".to_owned() } else { names.join(", ") };
    format!("TEST SUITE: {names}\n")
}
