//! Charts from outside the program: folders, archives, and the user's charts folder.
//!
//! The charts folder is `charts` in the data folder. A chart in it is an archive
//! `<name>-<version>.tgz`, a folder `<name>`, or a folder `<name>/<version>`.

use super::{folder, unreadable};
use crate::chart::{Chart, Origin, Range, belongs, repository};
use crate::deploy::ChartChoice;
use crate::error::{Error, Result, nearest};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A packed chart larger than this is not unpacked.
const ARCHIVE_LIMIT: u64 = 64 << 20;

/// Resolves CHART: a path if it looks like one; otherwise an embedded chart, a chart in the charts
/// folder, or a folder of that name in the current directory.
pub fn chart_choice(name: &str, version: Option<&str>) -> Result<ChartChoice> {
    if name.is_empty() {
        return Err(Error::user("the name of the chart is empty")
            .hint("`kubectl fabric charts list` shows all charts"));
    }
    if name.ends_with(".yaml") || name.ends_with(".yml") {
        return Err(Error::user(format!("\"{name}\" is not a chart"))
            .why("a chart is a folder or a .tgz archive")
            .hint(format!("for values: -f {name}"))
            .hint(format!("for a network file: `kubectl fabric up -f {name}`")));
    }
    if looks_like_a_path(name) {
        return loaded(chart_from_path(name)?, version);
    }
    if repository::embedded()
        .iter()
        .any(|(embedded, _, _)| *embedded == name)
    {
        return Ok(ChartChoice::Named {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        });
    }
    if let Some(chart) = kept_by_name(name, version)? {
        return Ok(ChartChoice::Loaded(Box::new(chart)));
    }
    if Path::new(name).join("Chart.yaml").is_file() {
        return loaded(chart_from_path(name)?, version);
    }
    Err(unknown_chart(name))
}

/// The chart of a name or path, for verbs that use no cluster.
pub fn chart_by_name_or_path(name: &str) -> Result<Chart> {
    match chart_choice(name, None)? {
        ChartChoice::Loaded(chart) => Ok(*chart),
        _ => repository::find(name, None),
    }
}

fn loaded(chart: Chart, version: Option<&str>) -> Result<ChartChoice> {
    if let Some(version) = version
        && !Range::parse(version)?.matches(&chart.metadata.version)
    {
        return Err(Error::user(format!(
            "chart {} does not have version {version}",
            chart.name_version()
        ))
        .hint("omit --version: a folder or an archive contains only one version"));
    }
    Ok(ChartChoice::Loaded(Box::new(chart)))
}

fn looks_like_a_path(name: &str) -> bool {
    name == "."
        || name == ".."
        || name.contains('/')
        || name.contains(std::path::MAIN_SEPARATOR)
        || repository::is_archive(name)
}

fn unknown_chart(name: &str) -> Error {
    let mut names: Vec<String> = repository::embedded()
        .iter()
        .map(|(name, _, _)| (*name).to_owned())
        .collect();
    if let Ok(kept) = kept() {
        names.extend(kept.into_iter().map(|chart| chart.metadata.name));
    }
    names.dedup();
    let known = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let error =
        Error::user(format!("chart \"{name}\" not found")).why(format!("known charts: {known}"));
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error.hint(format!(
            "pass a folder or an archive as a path, such as ./{name}"
        )),
    }
}

/// Reads a chart from a folder or a `.tgz`.
pub fn chart_from_path(name: &str) -> Result<Chart> {
    let path = Path::new(name);
    let metadata = fs::metadata(path).map_err(|error| unreadable("chart", name, &error))?;
    let files = if metadata.is_dir() {
        let mut files = folder::read(path, "chart")?;
        files.retain(|file, _| belongs(file));
        files
    } else {
        if metadata.len() > ARCHIVE_LIMIT {
            return Err(Error::user(format!("chart \"{name}\" is too large"))
                .why("the limit for an archive is 64 MiB"));
        }
        let mut archive = Vec::new();
        let file = fs::File::open(path).map_err(|error| unreadable("chart", name, &error))?;
        file.take(ARCHIVE_LIMIT)
            .read_to_end(&mut archive)
            .map_err(|error| unreadable("chart", name, &error))?;
        repository::unpack(&archive, name)?
    };
    Chart::from_files(files, Origin::Path(name.to_owned()), name)
}

/// The user's charts folder: `$KUBECTL_FABRIC_DATA_HOME/charts`, or the system's folder for
/// application data.
pub fn kept_folder() -> Option<PathBuf> {
    let home = match std::env::var_os("KUBECTL_FABRIC_DATA_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => dirs::data_dir()?.join("kubectl-fabric"),
    };
    Some(home.join("charts"))
}

/// Every chart in the charts folder, by name, newest version first.
pub fn kept() -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    if let Some(folder) = kept_folder() {
        for path in entries(&folder)? {
            read_kept(&path, &mut charts)?;
        }
    }
    charts.sort_by(|a, b| {
        (&a.metadata.name, &b.metadata.version).cmp(&(&b.metadata.name, &a.metadata.version))
    });
    Ok(charts)
}

/// The newest chart of this name in the charts folder that fits the version. Charts of other names
/// are not read, so a broken one does no harm.
fn kept_by_name(name: &str, version: Option<&str>) -> Result<Option<Chart>> {
    let Some(folder) = kept_folder() else {
        return Ok(None);
    };
    let mut charts = Vec::new();
    for path in entries(&folder)? {
        let entry = path
            .file_name()
            .and_then(|entry| entry.to_str())
            .unwrap_or_default();
        if entry == name
            || entry
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".tgz"))
        {
            read_kept(&path, &mut charts)?;
        }
    }
    charts.retain(|chart| chart.metadata.name == name);
    let versions: Vec<String> = charts
        .iter()
        .map(|chart| chart.metadata.version.to_string())
        .collect();
    let range = version.map(Range::parse).transpose()?;
    let fitting = charts.into_iter().filter(|chart| {
        range
            .as_ref()
            .is_none_or(|range| range.matches(&chart.metadata.version))
    });
    match (
        fitting.max_by(|a, b| a.metadata.version.cmp(&b.metadata.version)),
        version,
    ) {
        (None, Some(version)) if !versions.is_empty() => Err(Error::user(format!(
            "chart \"{name}\" has no version {version}"
        ))
        .why(format!("your charts folder has {}", versions.join(", ")))),
        (chart, _) => Ok(chart),
    }
}

/// An entry of the charts folder: an archive, a chart's folder, or a folder of its versions.
fn read_kept(path: &Path, charts: &mut Vec<Chart>) -> Result<()> {
    if path.join("Chart.yaml").is_file() || path.extension().is_some_and(|ending| ending == "tgz") {
        charts.push(chart_from_path(&path.display().to_string())?);
    } else if path.is_dir() {
        for version in entries(path)?
            .into_iter()
            .filter(|version| version.join("Chart.yaml").is_file())
        {
            charts.push(chart_from_path(&version.display().to_string())?);
        }
    }
    Ok(())
}

/// Entries of a folder in a fixed order; none if the folder does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed =
        |error: std::io::Error| unreadable("folder", &folder.display().to_string(), &error);
    let mut found = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                found.push(entry.map_err(failed)?.path());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    found.sort();
    Ok(found)
}
