//! The chart argument: a name, a folder, an archive, or the default for the release's name.

use super::CHART;
use crate::chart::Chart;
use crate::commands::{complete, load};
use crate::deploy::ChartChoice;
use crate::error::Result;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = CHART)]
pub struct ChartArguments {
    /// Chart: a name, a folder or a .tgz [default: chosen by the release's name]
    ///
    /// A plain word names an embedded chart, a chart in your charts folder, or a folder in the
    /// current directory, in this order. With a slash (./peer-org) it is always a path. Without a
    /// chart, the release's name decides: org1 uses peer-org, orgorderer1 uses orderer-org, kafka
    /// uses kafka. A chaincode server can have any name, so give its chart: `install basic
    /// chaincode -n org1`. An upgrade keeps the release's chart. `kubectl fabric charts list` shows
    /// all charts.
    #[arg(value_name = "CHART", help_heading = None, value_hint = ValueHint::AnyPath, add = ArgValueCompleter::new(complete::charts))]
    pub chart: Option<String>,

    /// Chart, as a flag instead of the second argument
    #[arg(long = "chart", id = "chart-flag", value_name = "CHART", conflicts_with = "chart", hide_short_help = true, value_hint = ValueHint::AnyPath, add = ArgValueCompleter::new(complete::charts))]
    pub chart_flag: Option<String>,

    /// Version of the chart: exact (0.1.0) or a range (^0.1, 0.1.x) [default: the newest]
    #[arg(long, value_name = "VERSION", add = ArgValueCompleter::new(complete::chart_versions))]
    pub version: Option<String>,
}

impl ChartArguments {
    /// The requested chart. A chart from outside the program is already read.
    pub fn choice(&self) -> Result<ChartChoice> {
        match (self.named(), &self.version) {
            (None, None) => Ok(ChartChoice::ByRelease),
            (None, Some(version)) => Ok(ChartChoice::ByReleaseVersion(version.clone())),
            (Some(name), version) => load::chart_choice(name, version.as_deref()),
        }
    }

    /// The chart itself, for verbs that use no cluster.
    pub fn resolve(&self, release: &str) -> Result<Chart> {
        use crate::chart::repository;
        match self.choice()? {
            ChartChoice::ByRelease => {
                repository::find(repository::chart_for_release(release)?, None)
            }
            ChartChoice::ByReleaseVersion(version) => {
                repository::find(repository::chart_for_release(release)?, Some(&version))
            }
            ChartChoice::Named { name, version } => repository::find(&name, version.as_deref()),
            ChartChoice::Loaded(chart) => Ok(*chart),
        }
    }

    /// The chart's name or path as it was given.
    pub fn named(&self) -> Option<&str> {
        self.chart.as_deref().or(self.chart_flag.as_deref())
    }
}
