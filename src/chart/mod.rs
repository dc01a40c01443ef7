//! Charts: their contents and their sources.
//!
//! A chart is a map of file names to bytes, from the program itself, a folder, an archive or a
//! stored copy. It is parsed into a [`Chart`] once.

use crate::error::Result;
use semver::Version;
use serde_json::Value;
use std::collections::BTreeMap;

mod digest;
pub mod helm;
pub mod lint;
mod metadata;
mod range;
pub mod repository;

pub use digest::{belongs, digest};
pub use range::{Range, parse_kube_version, parse_version};

/// The files of a chart by their path in it, such as `Chart.yaml` and `templates/peers.yaml`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Chart.yaml: the fields of Helm that have a meaning here.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub name: String,
    pub version: Version,
    pub app_version: String,
    /// A [`Range`] of Kubernetes versions.
    pub kube_version: Option<String>,
    pub description: String,
    pub deprecated: bool,
    pub annotations: BTreeMap<String, String>,
    /// All of Chart.yaml, for `charts show` and for templates (`chart.name`).
    pub raw: Value,
}

/// The source of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Embedded,
    /// A folder or archive on this machine, as the user wrote its path.
    Path(String),
    /// Stored in the cluster with the release's records, because the chart came from outside.
    Stored,
}

#[derive(Clone, Debug)]
pub struct Chart {
    pub metadata: Metadata,
    /// Text of values.yaml. Empty if the file does not exist.
    pub values: String,
    /// Content of values.schema.json, if the file exists.
    pub schema: Option<Value>,
    /// All files, including those above.
    pub files: Files,
    /// SHA-256, lower-case hex, over names and contents of all files (see [`digest`](fn@digest)).
    pub digest: String,
    pub origin: Origin,
}

impl Chart {
    /// Reads a chart from its files. Errors name the file and position in `subject`.
    ///
    /// # Errors
    ///
    /// Fails if Chart.yaml is missing, not YAML or invalid (reports all invalid fields at once), if
    /// values.yaml or a template is not UTF-8, or if values.schema.json is not a JSON object.
    pub fn from_files(files: Files, origin: Origin, subject: &str) -> Result<Chart> {
        let metadata = metadata::read(&files, subject)?;
        let values = metadata::text(&files, "values.yaml", subject)?
            .unwrap_or_default()
            .to_owned();
        let schema = metadata::schema(&files, subject)?;
        for name in files.keys().filter(|name| name.starts_with("templates/")) {
            metadata::text(&files, name, subject)?;
        }
        let digest = digest(&files);
        Ok(Chart {
            metadata,
            values,
            schema,
            files,
            digest,
            origin,
        })
    }

    /// Returns name and version in the form of Helm's CHART column: `peer-org-0.1.0`.
    pub fn name_version(&self) -> String {
        format!("{}-{}", self.metadata.name, self.metadata.version)
    }

    /// Returns the text of a file, or `None` if it does not exist or is not UTF-8.
    ///
    /// [`Chart::from_files`] accepts other encodings only outside templates.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(name)?).ok()
    }
}
