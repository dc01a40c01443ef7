//! Charts by name and version: those embedded in the program, and how a user's archive or folder becomes [`Files`].

use super::{Chart, Files};
use crate::error::Result;

/// Every embedded chart as (name, version, digest), by name, newest version first, without unpacking any.
pub fn embedded() -> &'static [(&'static str, &'static str, &'static str)] {
    todo!()
}

/// An embedded chart by name; `version` is exact or a range as Helm takes it (`^0.1`, `0.1.x`), the newest match wins.
/// Errors list what there is.
pub fn find(_name: &str, _version: Option<&str>) -> Result<Chart> {
    todo!()
}

/// The files of a `.tgz` chart archive, below its single top folder. Refuses links, absolute paths, `..` and archives that
/// unpack to more than 64 MiB or 10,000 files.
pub fn unpack(_archive: &[u8], _subject: &str) -> Result<Files> {
    todo!()
}

/// The chart that a release name stands for when none is named: `org1` → peer-org, `orgorderer1` → orderer-org, `kafka` → kafka.
/// Suffixes of a network (`org1-dev`) do not matter. Unknown: an error that tells how to name a chart.
pub fn chart_for_release(_release: &str) -> Result<&'static str> {
    todo!()
}
