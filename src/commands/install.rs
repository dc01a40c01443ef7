//! `install`: a release that is not there yet.

use super::arguments::labels::Label;
use super::arguments::operation::ReleaseArguments;
use super::arguments::{
    ApplyArguments, CHART, ChartArguments, OutputArguments, PostRendererArguments, ValuesArguments,
};
use super::{Edge, complete, load, outcome};
use crate::deploy::{Intent, Reuse, Wanted};
use crate::error::Result;
use crate::identity;
use crate::release::ReleaseName;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use std::process::ExitCode;

/// Install a release: an organization, in its own namespace, ready
///
/// Renders the chart, has the API server check every object, applies them in order, and waits until
/// all are ready. Nothing is written before everything was checked. Keys and certificates are made
/// for every node when there are none yet: good for development; for anything else bring your own
/// with --crypto-config.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric install org1                                    a peer organization, as the chart has it
  kubectl fabric install org1 -f org1.yaml --set peers.count=3   with values of yours
  kubectl fabric install org1 --crypto-config ./crypto-config    with identities of cryptogen
  kubectl fabric install orgorderer1 --fabric-version 2.5.16     an ordering organization
  kubectl fabric install org1 --network dev                      in namespace org1-dev
  kubectl fabric install shop peer-org -n shops                  another name, another namespace
  kubectl fabric install org1 ./my-chart                         a chart of yours, from a folder
  kubectl fabric install org1 --dry-run=server                   what would be done")]
pub struct Arguments {
    /// Name of the release, such as org1, orgorderer1 or kafka
    #[arg(value_name = "RELEASE", value_hint = ValueHint::Other)]
    pub release: String,

    #[command(flatten)]
    pub wanted: WantedArguments,

    #[command(flatten)]
    pub post_renderer: PostRendererArguments,

    #[command(flatten)]
    pub release_options: ReleaseArguments,

    #[command(flatten)]
    pub apply: ApplyArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// What install and upgrade want deployed; `diff upgrade` takes the same.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = CHART)]
pub struct WantedArguments {
    #[command(flatten)]
    pub chart: ChartArguments,

    /// Version of Hyperledger Fabric to run, such as 2.5.16 [default: the chart's, or the
    /// release's]
    #[arg(long, value_name = "VERSION", add = ArgValueCompleter::new(complete::fabric_versions))]
    pub fabric_version: Option<String>,

    /// Folder that cryptogen made, to take keys and certificates from
    ///
    /// It holds peerOrganizations and ordererOrganizations. Without it, identities that exist are
    /// kept and missing ones are generated, for development.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub crypto_config: Option<PathBuf>,

    #[command(flatten)]
    pub values: ValuesArguments,

    /// Do not check the values against the chart's schema
    #[arg(long, hide_short_help = true)]
    pub skip_schema_validation: bool,
}

impl WantedArguments {
    /// Reads everything that the arguments name.
    pub fn load(
        &self,
        reuse: Reuse,
        post_renderer: &PostRendererArguments,
        labels: &[Label],
    ) -> Result<Wanted> {
        Ok(Wanted {
            chart: self.chart.choice()?,
            values: self.values.load()?,
            reuse,
            fabric_version: self.fabric_version.clone(),
            identities: self.identities()?,
            skip_schema_validation: self.skip_schema_validation,
            post_renderer: post_renderer.choice(),
            labels: labels.to_vec(),
        })
    }

    /// Where keys and certificates come from; a crypto-config folder is read.
    pub fn identities(&self) -> Result<identity::Source> {
        Ok(match &self.crypto_config {
            None => identity::Source::Generate,
            Some(folder) => identity::Source::CryptoConfig {
                folder: folder.display().to_string(),
                files: load::crypto_config(folder)?,
            },
        })
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let labels = &arguments.release_options.labels;
    let wanted = arguments
        .wanted
        .load(Reuse::default(), &arguments.post_renderer, labels)
        .map_err(outcome::untouched)?;
    let operation = outcome::Operation {
        release,
        intent: Intent::Install(wanted),
        options: arguments
            .apply
            .options(Some(&arguments.release_options), true),
        events: arguments.apply.run.events,
        stdin_in_use: arguments.wanted.values.uses_stdin(),
    };
    let outcome = operation.run(edge)?;
    outcome::print(
        edge,
        outcome::Verb::Install,
        outcome,
        arguments.output.output,
        arguments.release_options.hide_notes,
    )
}
