//! `install`: creates a release.

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

/// Install a release, such as an organization, and wait until it is ready
///
/// Renders the chart, has the API server validate every object, applies the objects in order, and
/// waits until all are ready. Nothing is written before all checks have passed. Missing keys and
/// certificates are generated, for development only; for production, provide your own with
/// --crypto-config.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric install org1                                    with default values
  kubectl fabric install org1 -f org1.yaml --set peers.count=3   with your values
  kubectl fabric install org1 --crypto-config ./crypto-config    with identities from cryptogen
  kubectl fabric install orgorderer1 --fabric-version 2.5.16     an orderer organization
  kubectl fabric install org1 --network dev                      in namespace org1-dev
  kubectl fabric install shop peer-org -n shops                  another name, another namespace
  kubectl fabric install org1 ./my-chart                         your own chart, from a folder
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

/// The chart and values of install, upgrade and `diff upgrade`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = CHART)]
pub struct WantedArguments {
    #[command(flatten)]
    pub chart: ChartArguments,

    /// Version of Hyperledger Fabric to run, such as 2.5.16 [default: the chart's, or the
    /// release's]
    #[arg(long, value_name = "VERSION", add = ArgValueCompleter::new(complete::fabric_versions))]
    pub fabric_version: Option<String>,

    /// Folder written by cryptogen, with the keys and certificates to use
    ///
    /// It contains peerOrganizations and ordererOrganizations. Without this flag, existing
    /// identities are kept and missing ones are generated, for development only.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub crypto_config: Option<PathBuf>,

    #[command(flatten)]
    pub values: ValuesArguments,

    /// Do not check the values against the chart's schema
    #[arg(long, hide_short_help = true)]
    pub skip_schema_validation: bool,
}

impl WantedArguments {
    /// Reads all files that the arguments name.
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

    /// The source of keys and certificates. Reads the crypto-config folder.
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
