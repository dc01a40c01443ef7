//! Charts: what one is made of, and where charts come from.
//!
//! A chart is a map of file names to bytes, however it arrived (embedded, folder, archive, a stored copy), read into a [`Chart`] once.

use crate::error::Result;
use semver::Version;
use serde_json::Value;
use std::collections::BTreeMap;

pub mod repository;

/// The files of a chart by their path below its top, `Chart.yaml` and `templates/peers.yaml` among them.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Chart.yaml, Helm's fields as far as they mean something here.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub name: String,
    pub version: Version,
    pub app_version: String,
    pub kube_version: Option<String>,
    pub description: String,
    pub deprecated: bool,
    pub annotations: BTreeMap<String, String>,
    /// The whole of Chart.yaml, for `charts show` and for templates (`chart.name`).
    pub raw: Value,
}

/// Where a chart came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Embedded,
    /// A folder or archive on this machine, as the user named it.
    Path(String),
    /// Kept by the cluster beside the release's records, because the chart came from outside.
    Stored,
}

#[derive(Clone, Debug)]
pub struct Chart {
    pub metadata: Metadata,
    /// Text of values.yaml, empty if there is none.
    pub values: String,
    /// values.schema.json, if there is one.
    pub schema: Option<Value>,
    /// Every file, the above included.
    pub files: Files,
    /// SHA-256, lower-case hex, over names and contents of all files (see [`digest`]).
    pub digest: String,
    pub origin: Origin,
}

impl Chart {
    /// Reads a chart from its files. Errors name the file and position within `subject`.
    pub fn from_files(_files: Files, _origin: Origin, _subject: &str) -> Result<Chart> {
        todo!()
    }

    /// Name and version as Helm's CHART column shows them: `peer-org-0.1.0`.
    pub fn name_version(&self) -> String {
        format!("{}-{}", self.metadata.name, self.metadata.version)
    }
}

/// The digest of a chart's files: order and origin do not matter, names and contents do.
pub fn digest(_files: &Files) -> String {
    todo!()
}
