//! `charts`: lists, shows and exports charts.

use super::arguments::{Format, OutputArguments};
use super::{Edge, complete, load};
use crate::chart::{Chart, Origin, repository};
use crate::deploy::ChartChoice;
use crate::error::{Error, Result};
use crate::terminal::Table;
use crate::yaml;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// List, show and export charts
///
/// Some charts are embedded in this program. Charts of your own are found by name in
/// $KUBECTL_FABRIC_DATA_HOME/charts, as folders or .tgz files. On Linux, the default of this
/// variable is ~/.local/share/kubectl-fabric.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  kubectl fabric charts list
  kubectl fabric charts show peer-org values        its values, with defaults
  kubectl fabric charts export peer-org             copy it to ./peer-org"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List every chart and version
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Show a part of a chart
    Show {
        #[command(flatten)]
        chart: Named,

        /// The part to show
        #[arg(value_enum, value_name = "PART", default_value_t)]
        part: Part,

        #[command(flatten)]
        output: OutputArguments,
    },
    /// Copy a chart to a new folder, to customize it and use it by path
    Export {
        #[command(flatten)]
        chart: Named,

        /// The new folder [default: the chart's name]
        #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        destination: Option<PathBuf>,

        #[command(flatten)]
        output: OutputArguments,
    },
}

#[derive(Args, Debug)]
struct Named {
    /// Chart: a name, a folder or a .tgz
    #[arg(value_name = "CHART", add = ArgValueCompleter::new(complete::charts))]
    chart: String,

    /// Version of the chart: exact (0.1.0) or a range (^0.1, 0.1.x) [default: the newest]
    #[arg(long, value_name = "VERSION", add = ArgValueCompleter::new(complete::chart_versions))]
    version: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Chart.yaml: name, versions, description
    #[default]
    Chart,
    /// values.yaml: its values, with defaults
    Values,
    /// values.schema.json: the schema of the values
    Schema,
    /// README.md
    Readme,
    /// The names of all files
    Files,
    /// Chart.yaml, values.yaml and README.md
    All,
}

impl Named {
    fn load(&self) -> Result<Chart> {
        match load::chart_choice(&self.chart, self.version.as_deref())? {
            ChartChoice::Loaded(chart) => Ok(*chart),
            _ => repository::find(&self.chart, self.version.as_deref()),
        }
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    match arguments.what {
        What::List { output } => list(edge, output.output)?,
        What::Show {
            chart,
            part,
            output,
        } => show(edge, &chart.load()?, part, output.output)?,
        What::Export {
            chart,
            destination,
            output,
        } => {
            let chart = chart.load()?;
            let folder = destination.unwrap_or_else(|| PathBuf::from(&chart.metadata.name));
            load::export(&chart.files, &folder)?;
            let shown = folder.display();
            match output.output {
                Format::Table | Format::Wide => edge
                    .terminal
                    .print(format!("exported {} to {shown}\n", chart.name_version()))?,
                format => {
                    let document = json!({ "schemaVersion": 1, "chart": chart.name_version(), "folder": shown.to_string() });
                    edge.terminal.print_document(format, &document)?;
                }
            }
            let path = if folder.components().count() == 1 {
                format!("./{shown}")
            } else {
                shown.to_string()
            };
            edge.terminal.note(&format!(
                "next: change it, check it with `kubectl fabric lint {path}`, use it by its path"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(edge: &Edge, format: Format) -> Result<()> {
    let mut charts = Vec::new();
    for (name, version, _) in repository::embedded() {
        charts.push(repository::find(name, Some(version))?);
    }
    match load::kept() {
        Ok(kept) => charts.extend(kept),
        Err(error) => edge.terminal.warn(&format!(
            "the charts in your charts folder are not listed: {error}"
        )),
    }
    if !format.is_table() {
        let document =
            json!({ "schemaVersion": 1, "charts": charts.iter().map(summary).collect::<Vec<_>>() });
        return edge.terminal.print_named(format, &document);
    }
    let mut table = Table::new([
        "NAME",
        "VERSION",
        "APP VERSION",
        "SOURCE",
        "DIGEST",
        "DESCRIPTION",
    ]);
    for chart in &charts {
        let description = &chart.metadata.description;
        let deprecated = if chart.metadata.deprecated {
            "(deprecated) "
        } else {
            ""
        };
        table.row([
            (&chart.metadata.name).into(),
            chart.metadata.version.to_string().into(),
            (&chart.metadata.app_version).into(),
            source(chart).into(),
            if format == Format::Wide {
                &chart.digest
            } else {
                chart.digest.get(..12).unwrap_or(&chart.digest)
            }
            .into(),
            format!("{deprecated}{description}").into(),
        ]);
    }
    edge.terminal.print(table.text())
}

fn source(chart: &Chart) -> &str {
    match &chart.origin {
        Origin::Embedded => "embedded",
        Origin::Path(path) => path,
        Origin::Stored => "stored",
    }
}

fn summary(chart: &Chart) -> Value {
    json!({
        "name": chart.metadata.name,
        "version": chart.metadata.version.to_string(),
        "appVersion": chart.metadata.app_version,
        "description": chart.metadata.description,
        "deprecated": chart.metadata.deprecated,
        "source": source(chart),
        "digest": chart.digest,
    })
}

fn show(edge: &Edge, chart: &Chart, part: Part, format: Format) -> Result<()> {
    if !format.is_table() {
        return edge
            .terminal
            .print_document(format, &part_document(chart, part)?);
    }
    let text = match part {
        Part::Chart => chart.text("Chart.yaml").unwrap_or_default().to_owned(),
        Part::Values => chart.values.clone(),
        Part::Schema => format!("{:#}\n", schema(chart)?),
        Part::Readme => readme(chart)?,
        Part::Files => chart.files.keys().map(|file| format!("{file}\n")).collect(),
        Part::All => {
            let readme = readme(chart)
                .map(|readme| format!("---\n{readme}"))
                .unwrap_or_default();
            format!(
                "{}---\n{}{readme}",
                chart.text("Chart.yaml").unwrap_or_default(),
                chart.values
            )
        }
    };
    let end = if text.ends_with('\n') || text.is_empty() {
        ""
    } else {
        "\n"
    };
    edge.terminal.print_plain(&format!("{text}{end}"))
}

fn part_document(chart: &Chart, part: Part) -> Result<Value> {
    Ok(match part {
        Part::Chart => chart.metadata.raw.clone(),
        Part::Values => yaml::parse(&chart.values, "values.yaml")?,
        Part::Schema => schema(chart)?.clone(),
        Part::Readme => json!({ "schemaVersion": 1, "readme": readme(chart)? }),
        Part::Files => {
            json!({ "schemaVersion": 1, "files": chart.files.keys().collect::<Vec<_>>() })
        }
        Part::All => json!({
            "schemaVersion": 1,
            "chart": chart.metadata.raw,
            "values": yaml::parse(&chart.values, "values.yaml")?,
            "readme": readme(chart).ok(),
        }),
    })
}

fn schema(chart: &Chart) -> Result<&Value> {
    chart.schema.as_ref().ok_or_else(|| {
        Error::user(format!(
            "chart {} has no values.schema.json",
            chart.name_version()
        ))
    })
}

fn readme(chart: &Chart) -> Result<String> {
    let found = chart
        .files
        .iter()
        .find(|(file, _)| file.eq_ignore_ascii_case("readme.md"));
    found
        .map(|(_, content)| String::from_utf8_lossy(content).into_owned())
        .ok_or_else(|| Error::user(format!("chart {} has no README.md", chart.name_version())))
}
