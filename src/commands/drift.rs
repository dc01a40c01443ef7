//! `drift`: what others changed since the last operation.

use super::diff::{self, Shown};
use super::{Edge, complete};
use crate::deploy::{self, Context};
use crate::error::Result;
use crate::release::ReleaseName;
use clap::Args;
use clap_complete::ArgValueCompleter;
use std::process::ExitCode;

/// Show what others changed in the cluster since the last operation; status 2 when something differs
///
/// Compares the live objects with what the deployed revision applied. An upgrade with the same values repairs what it shows.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric drift org1
  kubectl fabric drift org1 || kubectl fabric upgrade org1     repair what differs")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    #[command(flatten)]
    pub shown: Shown,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let (plan, masker) = edge.read(false, async |cluster| {
        let progress = edge.terminal.progress();
        // Nothing is written, so a signal ends it at once: there is nobody to pass it on to.
        let (_open, interrupted) = tokio::sync::watch::channel(false);
        let context = Context { cluster, release, namespace, now: edge.now, progress: &*progress, interrupted };
        deploy::drift(&context).await
    })?;
    diff::print(edge, &plan, &masker, None, &arguments.shown, true)
}
