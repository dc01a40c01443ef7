//! Values: a chart's defaults under what the user says, with the origin of each.
//!
//! Order, merge, null and the `--set` grammar are Helm's; docs/values.md lists the chosen differences. This room reads no files: the
//! edge hands it texts. It leaves the meaning of values to `fabric` and their use to `render`.

use crate::error::Result;
use serde_json::Value;
use std::collections::BTreeMap;

/// One thing that sets values, in the order of precedence that [`from_sources`] applies (Helm's: by kind, then left to right).
#[derive(Clone, Debug)]
pub enum Source {
    /// A text of values: `-f FILE`; several documents in one file are merged in turn.
    File {
        name: String,
        text: String,
    },
    SetJson(String),
    Set(String),
    SetString(String),
    /// `--set-file key=path`: the edge has read the file; `content` is taken verbatim.
    SetFile {
        key: String,
        path: String,
        content: String,
    },
    SetLiteral(String),
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default {
        file: String,
        line: usize,
        column: usize,
    },
    File {
        name: String,
        line: usize,
        column: usize,
    },
    /// The flag as the user wrote it, without its value: `--set peers.count`.
    Flag(String),
    /// Taken over from an earlier revision of the release.
    Stored {
        revision: u32,
    },
    /// Worked out by the program, such as by `--fabric-version`.
    Program(String),
}

/// A tree of values (always a map at its root) with the origins of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Values {
    pub tree: Value,
    /// JSON pointer of a node to the origins that set it, the winner last, those before it shadowed. Nodes that no source names
    /// (inside a list that a flag set) have the origin of their nearest ancestor.
    pub origins: BTreeMap<String, Vec<Origin>>,
}

/// The user's values: all sources merged by Helm's precedence, null kept as null.
pub fn from_sources(_sources: Vec<Source>) -> Result<Values> {
    todo!()
}

/// A values tree from a stored revision or from the program itself: every leaf has this one origin.
pub fn with_origin(_tree: Value, _origin: Origin) -> Values {
    todo!()
}

/// `over` on top of `under`, both the user's (null is kept as a wish to remove).
pub fn merge(_under: Values, _over: Values) -> Values {
    todo!()
}

/// The chart's defaults from its values.yaml.
pub fn defaults(_text: &str, _file: &str) -> Result<Values> {
    todo!()
}

/// What templates see: the user's values over the defaults; a null removes its key wherever it comes from. The second part
/// holds warnings for the user (a table overwritten by a scalar).
pub fn coalesce(_defaults: &Values, _user: &Values) -> (Values, Vec<String>) {
    todo!()
}

/// Checks values against a chart's schema: every violation at once, each with its origin, unknown keys with the nearest name.
/// Never shows the value at a path that the schema marks `x-secret: true`.
pub fn validate(_schema: &Value, _values: &Values, _release: &str, _chart: &str) -> Result<()> {
    todo!()
}

/// JSON pointers of all values that the schema marks `x-secret: true` and that are present in `tree`.
pub fn secret_paths(_schema: &Value, _tree: &Value) -> Vec<String> {
    todo!()
}
