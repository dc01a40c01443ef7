//! Charts: what one is made of, and where charts come from.
//!
//! A chart is a map of file names to bytes, however it arrived (embedded, folder, archive, a stored
//! copy), read into a [`Chart`] once.

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

/// The files of a chart by their path below its top, `Chart.yaml` and `templates/peers.yaml` among
/// them.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Chart.yaml, Helm's fields as far as they mean something here.
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
    /// SHA-256, lower-case hex, over names and contents of all files (see [`digest`](fn@digest)).
    pub digest: String,
    pub origin: Origin,
}

impl Chart {
    /// Reads a chart from its files. Errors name the file and position within `subject`.
    ///
    /// # Errors
    ///
    /// Chart.yaml is missing, is no YAML, or says something that cannot be (all such things at
    /// once); values.yaml or a template is not UTF-8; values.schema.json is no JSON object.
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

    /// Name and version as Helm's CHART column shows them: `peer-org-0.1.0`.
    pub fn name_version(&self) -> String {
        format!("{}-{}", self.metadata.name, self.metadata.version)
    }

    /// A file's text, `None` if there is no such file or it is not UTF-8 (which
    /// [`Chart::from_files`] allows outside templates only).
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(name)?).ok()
    }
}
