//! YAML in and out: the only room that knows a YAML library.
//!
//! Reading is as strict as the meaning of a document demands (duplicate keys, tags and non-scalar keys are errors with a
//! position); writing quotes whatever any YAML 1.1 or 1.2 reader would not read back as the same string.

use crate::error::Result;
use serde_json::Value;

/// Positions of a document's nodes: path as a JSON pointer (`/peers/count`) to 1-based line and column of the key or item.
pub type Positions = std::collections::BTreeMap<String, (usize, usize)>;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub value: Value,
    /// 1-based line of the stream on which the document's content starts.
    pub line: usize,
}

/// Reads one text of any number of documents; empty documents are left out. `subject` names the text in errors.
pub fn parse_stream(_text: &str, _subject: &str) -> Result<Vec<Document>> {
    todo!()
}

/// Reads one document, `null` when there is none. An error when there is more than one.
pub fn parse(_text: &str, _subject: &str) -> Result<Value> {
    todo!()
}

/// Reads one document with the position of each of its nodes.
pub fn parse_with_positions(_text: &str, _subject: &str) -> Result<(Value, Positions)> {
    todo!()
}

/// Writes a value as block YAML with a final newline, keys in their order.
pub fn emit(_value: &Value) -> String {
    todo!()
}
