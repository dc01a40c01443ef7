//! Values: a chart's defaults and the user's settings, with the origin of each.
//!
//! Order, merging, null and the `--set` syntax follow Helm. docs/values.md lists the deliberate
//! differences. This room reads no files: the edge passes their texts. The meaning of values is in
//! `fabric`, their use in `render`.

mod explain;
mod merge;
pub mod path;
mod schema;
mod secrets;
mod set;

pub use explain::{Explanation, SECRET, explain, masked};
pub use merge::{coalesce, merge, taken_back, without_nulls};
pub use schema::{secret_paths, validate};
pub use secrets::{SHORTEST_SOUGHT, StoredSecrets, credentials};
pub use set::file_settings;

use crate::error::{Error, Place, Result};
use crate::yaml;
use serde_json::{Map, Value};
use set::Reading;
use std::{collections::BTreeMap, fmt};

/// A source of values, in the order of precedence that [`from_sources`] applies: by kind, then from
/// left to right, as in Helm.
#[derive(Clone, Debug)]
pub enum Source {
    /// The text of a `-f FILE`. Several documents in one file are merged in order.
    File {
        name: String,
        text: String,
    },
    SetJson(String),
    Set(String),
    SetString(String),
    /// A pair `key=path` of `--set-file`, split by [`file_settings`]. The edge has read the file.
    /// `content` is used verbatim.
    SetFile {
        key: String,
        path: String,
        content: String,
    },
    SetLiteral(String),
}

/// The source of a value.
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
    /// Comes from an earlier revision of the release.
    Stored { revision: u32 },
    /// Set by the program, for example because of `--fabric-version`.
    Program(String),
    /// A null, which undoes earlier settings.
    Null(Box<Origin>),
}

/// A tree of values (with a map at its root) and the origins of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Values {
    pub tree: Value,
    /// Maps the JSON pointer of a node to its origins. The last origin wins and shadows the others.
    /// A map has an origin for each source that names it. A key that null removes keeps its
    /// origins. A node without origins has those of the nearest node above it.
    pub origins: BTreeMap<String, Vec<Origin>>,
}

/// Merges the user's values from all sources, with Helm's precedence. Null stays null.
///
/// # Errors
///
/// Fails if a text is not YAML or not a map, or if an argument has a syntax error. Errors show no
/// values.
pub fn from_sources(mut sources: Vec<Source>) -> Result<Values> {
    // Sorted by kind, regardless of the order on the command line. The sort is stable, so flags of
    // one kind apply from left to right.
    sources.sort_by_key(|source| match source {
        Source::File { .. } => 0,
        Source::SetJson(_) => 1,
        Source::Set(_) => 2,
        Source::SetString(_) => 3,
        Source::SetFile { .. } => 4,
        Source::SetLiteral(_) => 5,
    });
    let mut values = Values {
        tree: Value::Object(Map::new()),
        origins: BTreeMap::new(),
    };
    for source in &sources {
        match source {
            Source::File { name, text } => {
                let origin = |line, column| Origin::File {
                    name: name.clone(),
                    line,
                    column,
                };
                values = from_documents(values, text, name, &origin)?;
            }
            Source::SetJson(text) => set::apply(&mut values, text, Reading::Json)?,
            Source::Set(text) => set::apply(&mut values, text, Reading::Typed)?,
            Source::SetString(text) => set::apply(&mut values, text, Reading::Text)?,
            Source::SetFile { key, content, .. } => {
                set::apply(&mut values, &format!("{key}="), Reading::File(content))?
            }
            Source::SetLiteral(text) => set::apply(&mut values, text, Reading::Literal)?,
        }
    }
    Ok(values)
}

/// Returns a tree in which each node has this origin, for values of a stored revision or of the
/// program.
pub fn with_origin(tree: Value, origin: Origin) -> Values {
    let mut origins = BTreeMap::from([(String::new(), vec![origin.clone()])]);
    spread(&tree, "", &origin, &mut origins);
    Values { tree, origins }
}

/// Reads the chart's defaults from its values.yaml.
///
/// # Errors
///
/// Fails if the text is not YAML or not a map.
pub fn defaults(text: &str, file: &str) -> Result<Values> {
    let values = Values {
        tree: Value::Object(Map::new()),
        origins: BTreeMap::new(),
    };
    from_documents(values, text, file, &|line, column| Origin::Default {
        file: file.to_owned(),
        line,
        column,
    })
}

/// Merges the documents of a text over `values`, in order.
fn from_documents(
    mut values: Values,
    text: &str,
    name: &str,
    origin: &dyn Fn(usize, usize) -> Origin,
) -> Result<Values> {
    for (tree, positions) in yaml::parse_stream_with_positions(text, name)? {
        let (line, column) = positions.get("").copied().unwrap_or((1, 1));
        if !tree.is_object() {
            let place = Place::new(name)
                .at(line, column)
                .note("this document is not a map");
            return Err(Error::user(format!("\"{name}\" contains no values"))
                .at(place)
                .hint("write values as `key: value`"));
        }
        let is_whole = positions.len() == nodes(&tree);
        let mut origins: BTreeMap<_, _> = positions
            .into_iter()
            .map(|(pointer, (line, column))| (pointer, vec![origin(line, column)]))
            .collect();
        if !is_whole {
            fill(&tree, "", &origin(line, column), &mut origins);
        }
        values = merge(values, Values { tree, origins });
    }
    Ok(values)
}

fn nodes(tree: &Value) -> usize {
    1 + match tree {
        Value::Object(map) => map.values().map(nodes).sum(),
        Value::Array(list) => list.iter().map(nodes).sum(),
        _ => 0,
    }
}

/// Gives nodes without an origin (they came from an alias) the origin of the nearest node above.
fn fill(node: &Value, pointer: &str, above: &Origin, origins: &mut BTreeMap<String, Vec<Origin>>) {
    let own = origins
        .entry(pointer.to_owned())
        .or_insert_with(|| vec![above.clone()])[0]
        .clone();
    each_child(node, pointer, &mut |pointer, child| {
        fill(child, pointer, &own, origins)
    });
}

/// Gives a node and all nodes below it the same origin.
fn spread(
    node: &Value,
    pointer: &str,
    origin: &Origin,
    origins: &mut BTreeMap<String, Vec<Origin>>,
) {
    each_child(node, pointer, &mut |pointer, child| {
        origins.insert(pointer.to_owned(), vec![origin.clone()]);
        spread(child, pointer, origin, origins);
    });
}

fn each_child(node: &Value, pointer: &str, visit: &mut dyn FnMut(&str, &Value)) {
    match node {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, child)| visit(&path::key_below(pointer, key), child)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, child)| visit(&format!("{pointer}/{index}"), child)),
        _ => {}
    }
}

impl Values {
    /// Returns the origin that gave a node its value: its own, or that of the nearest node above.
    pub fn origin(&self, pointer: &str) -> Option<&Origin> {
        let mut pointer = pointer;
        loop {
            if let Some(origin) = self.origins.get(pointer).and_then(|origins| origins.last()) {
                return Some(origin);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// Returns the paths of all strings equal to `text`, in the syntax of `--set`.
pub fn paths_of(tree: &Value, text: &str) -> Vec<String> {
    fn find(node: &Value, text: &str, pointer: &str, found: &mut Vec<String>) {
        if node.as_str() == Some(text) {
            found.push(pointer.to_owned());
        }
        each_child(node, pointer, &mut |pointer, child| {
            find(child, text, pointer, found)
        });
    }
    let mut found = Vec::new();
    find(tree, text, "", &mut found);
    found
        .iter()
        .map(|pointer| path::display(pointer, tree))
        .collect()
}

impl Origin {
    /// Returns the place to show in an error.
    pub fn place(&self) -> Place {
        match self {
            Origin::Default {
                file: name,
                line,
                column,
            }
            | Origin::File { name, line, column } => Place::new(name).at(*line, *column),
            Origin::Flag(flag) => Place::new(flag),
            Origin::Stored { revision } => Place::new(format!("values of revision {revision}")),
            Origin::Program(what) => Place::new(what),
            Origin::Null(origin) => origin.place(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default {
                file: name, line, ..
            }
            | Origin::File { name, line, .. } => write!(f, "{name}:{line}"),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Stored { revision } => write!(f, "revision {revision}"),
            Origin::Program(what) => f.write_str(what),
            Origin::Null(origin) => write!(f, "{origin}, null"),
        }
    }
}

#[cfg(test)]
mod tests;
