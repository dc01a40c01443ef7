//! The syntax of `--set` and its variants, as Helm's `strvals` parses it. docs/values.md describes
//! it.
//!
//! Settings change the tree in place and in order, so a later part of an argument sees the effect
//! of an earlier one. Errors never repeat the text after a `=`, or a text without `=`, which may be
//! the end of a password that contains a comma.

use super::{Origin, Values, merge, path};
use crate::error::{Error, Place, Result};
use crate::yaml;
use serde_json::{Map, Value};

/// Highest index of a list: `strvals.MaxIndex` of Helm. Prevents a typing error from filling the
/// memory.
const MAX_INDEX: usize = 65536;

/// Maximum number of steps below a key: `strvals.MaxNestedNameLevel` of Helm. Here it counts
/// indices as well.
const MAX_STEPS: usize = 30;

/// How the text after a `=` is read.
#[derive(Clone, Copy)]
pub(super) enum Reading<'a> {
    /// `--set`: a boolean, null, an integer or a string. `{a,b}` is a list.
    Typed,
    /// `--set-string`: a string, or a list of strings.
    Text,
    /// `--set-json`: JSON. An empty text is null.
    Json,
    /// `--set-file`: the content of the file, which the edge has read. Ignores the text after the
    /// `=`.
    File(&'a str),
    /// `--set-literal`: everything up to the end.
    Literal,
}

impl Reading<'_> {
    fn flag(self) -> &'static str {
        match self {
            Reading::Typed => "--set",
            Reading::Text => "--set-string",
            Reading::Json => "--set-json",
            Reading::File(_) => "--set-file",
            Reading::Literal => "--set-literal",
        }
    }
}

/// Applies the settings of one argument to `values`.
pub(super) fn apply(values: &mut Values, argument: &str, reading: Reading<'_>) -> Result<()> {
    if matches!(reading, Reading::Json) && argument.trim_start().starts_with('{') {
        return apply_object(values, argument.trim());
    }
    if !values.tree.is_object() {
        values.tree = Value::Object(Map::new());
    }
    let mut parser = Parser {
        text: argument.chars().collect(),
        at: 0,
        reading,
        steps: Vec::new(),
        list: None,
    };
    while parser.at < parser.text.len() {
        parser.steps.clear();
        let root = values.tree.as_object_mut().expect("made a map above");
        let set = parser
            .key(root)
            .map_err(|fault| fault.report(reading.flag(), argument))?;
        note(values, &parser.steps, set, reading.flag());
    }
    Ok(())
}

/// Applies `--set-json '{...}'`: one object, merged like a file.
fn apply_object(values: &mut Values, text: &str) -> Result<()> {
    let tree: Value = serde_json::from_str(text).map_err(|error| {
        Error::user("the argument of `--set-json` is not a JSON object").at(Place::new(
            "--set-json",
        )
        .at(error.line(), error.column())
        .note(json_words(&error)))
    })?;
    if depth(&tree) > yaml::MAX_DEPTH {
        return Err(Error::user("the argument of `--set-json` has no values")
            .at(Place::new("--set-json").note(too_deep())));
    }
    let under = std::mem::take(values);
    *values = merge::merge(
        under,
        super::with_origin(
            yaml::whole_floats_as_integers(tree),
            Origin::Flag("--set-json".into()),
        ),
    );
    Ok(())
}

/// Splits a `--set-file` argument `key=path,key=path` into pairs. Keys stay as written, paths lose
/// their escapes.
///
/// The edge reads the files and passes each as a [`Source::SetFile`](super::Source::SetFile).
///
/// # Errors
///
/// Fails if a pair has no key or no path.
pub fn file_settings(argument: &str) -> Result<Vec<(String, String)>> {
    let mut parser = Parser {
        text: argument.chars().collect(),
        at: 0,
        reading: Reading::Typed,
        steps: Vec::new(),
        list: None,
    };
    let mut pairs = Vec::new();
    while parser.at < parser.text.len() {
        let start = parser.at;
        let (_, stop) = parser.until(&['=', ',']);
        let key: String = parser.text[start..parser.at - usize::from(stop.is_some())]
            .iter()
            .collect();
        let path = parser.at;
        let file = if stop == Some('=') {
            parser.until(&[',']).0
        } else {
            String::new()
        };
        let fault = match (key.as_str(), file.as_str()) {
            _ if stop != Some('=') => Some(parser.fault(start, NO_VALUE)),
            ("", _) => Some(parser.fault(start, NO_KEY)),
            (_, "") => Some(parser.fault(path, "empty path")),
            _ if parser.text[path] == '{' => Some(parser.fault(
                path,
                "expected one file; for a list of files, use `key[0]=path`",
            )),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(fault.report("--set-file", argument));
        }
        pairs.push((key, file));
    }
    Ok(pairs)
}

const NO_VALUE: &str = "expected `=` and a value; write a comma inside a value as `\\,`";
const NO_KEY: &str = "empty key";
const BRACE: &str =
    "`{` starts a list, as in {a,b}; for text that starts with a brace, write `\\{`";

/// An error in an argument, with the position of the character.
struct Fault {
    at: usize,
    what: String,
}

impl Fault {
    fn report(self, flag: &str, argument: &str) -> Error {
        // Identifies the flag among several by its beginning. A name before a `=`, dot or bracket
        // is a key and not a secret.
        let subject = match argument.find(['=', '[', '.', ',']) {
            Some(end) if !argument[end..].starts_with(',') && argument.contains('=') => {
                format!("{flag} {}…", &argument[..end])
            }
            _ => flag.to_owned(),
        };
        Error::user(format!("cannot parse `{flag}`"))
            .at(Place::new(subject).note(format!("character {}: {}", self.at + 1, self.what)))
            .hint(match flag {
                "--set-file" => "expected key=path, such as channel.policy=policy.yaml",
                _ => "the syntax is `--set a.b=1,list[0].name=x`; see docs/values.md",
            })
    }
}

struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    reading: Reading<'a>,
    /// The steps from the root to the current key.
    steps: Vec<path::Step>,
    /// Beginning and end of a list without a comma after it.
    list: Option<(usize, usize)>,
}

/// The effect of a setting, for the origins: none (it only named a list), or a new value.
#[derive(PartialEq)]
enum Set {
    Named,
    Replaced,
}

impl Parser<'_> {
    fn fault(&self, at: usize, what: impl Into<String>) -> Fault {
        Fault {
            at,
            what: what.into(),
        }
    }

    /// Returns the error for a missing key. Right after a list, the likely cause is a brace that
    /// was meant as text.
    fn key_fault(&self, at: usize, what: &str) -> Fault {
        match self.list {
            Some((start, end)) if end == at => self.fault(start, BRACE),
            _ => self.fault(at, what),
        }
    }

    /// Reads up to one of the `stops`, which it consumes, or to the end. A backslash escapes the
    /// next character.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut read = String::new();
        while let Some(c) = self.text.get(self.at).copied() {
            self.at += 1;
            if stops.contains(&c) {
                return (read, Some(c));
            }
            if c != '\\' || matches!(self.reading, Reading::Literal) {
                read.push(c);
            } else if let Some(next) = self.text.get(self.at) {
                read.push(*next);
                self.at += 1;
            }
        }
        (read, None)
    }

    fn step(&mut self, step: path::Step, at: usize) -> Result<(), Fault> {
        if self.steps.len() > MAX_STEPS {
            return Err(self.fault(at, format!("a path has at most {MAX_STEPS} levels")));
        }
        self.steps.push(step);
        Ok(())
    }

    /// Reads `key=value`, `key.rest` or `key[index]rest` into a map.
    fn key(&mut self, map: &mut Map<String, Value>) -> Result<Set, Fault> {
        let start = self.at;
        let stops: &[char] = if matches!(self.reading, Reading::Literal) {
            &['=', '[', '.']
        } else {
            &['=', '[', ',', '.']
        };
        let (key, stop) = self.until(stops);
        match stop {
            None | Some(',') => return Err(self.key_fault(start, NO_VALUE)),
            Some(_) if key.is_empty() => return Err(self.key_fault(start, NO_KEY)),
            Some(_) => self.step(path::Step::Key(key.clone()), start)?,
        }
        match stop {
            Some('=') => {
                let value = self.value()?;
                map.insert(key, value);
                Ok(Set::Replaced)
            }
            Some('.') => match map.entry(key).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(inner) => self.key(inner),
                other => Err(self.fault(start, format!("cannot set a key of {}", name(other)))),
            },
            _ => match map.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(list) => self.item(list),
                other => Err(self.fault(start, format!("cannot set an item of {}", name(other)))),
            },
        }
    }

    /// Reads `index]=value`, `index].rest` or `index][index]rest` into a list.
    fn item(&mut self, list: &mut Vec<Value>) -> Result<Set, Fault> {
        let start = self.at;
        let (index, stop) = self.until(&[']']);
        if stop.is_none() {
            return Err(self.fault(start, "unclosed bracket of an index"));
        }
        // A sign is allowed, as in Go's Atoi.
        let index: i64 = index
            .parse()
            .map_err(|_| self.fault(start, "an index must be a number"))?;
        let index = match usize::try_from(index) {
            Ok(index) if index <= MAX_INDEX => index,
            Ok(_) => return Err(self.fault(start, format!("an index is at most {MAX_INDEX}"))),
            Err(_) => return Err(self.fault(start, "an index cannot be negative")),
        };
        let after = self.at;
        let (rest, stop) = self.until(&['[', '.', '=']);
        if !rest.is_empty() {
            return Err(self.fault(after, "expected `=`, `.` or `[` after an index"));
        }
        if stop.is_none() {
            // In Helm, `a[0]` alone creates an empty list.
            return Ok(Set::Named);
        }
        self.step(path::Step::Index(index), start)?;
        let slot = |list: &mut Vec<Value>| {
            if list.len() <= index {
                list.resize(index + 1, Value::Null);
            }
        };
        match stop {
            Some('=') => {
                let value = self.value()?;
                slot(list);
                list[index] = value;
                Ok(Set::Replaced)
            }
            Some('.') => {
                slot(list);
                if !list[index].is_object() {
                    list[index] = Value::Object(Map::new());
                }
                self.key(list[index].as_object_mut().expect("made a map above"))
            }
            _ => {
                slot(list);
                match &mut list[index] {
                    Value::Array(inner) => self.item(inner),
                    empty @ Value::Null => {
                        *empty = Value::Array(Vec::new());
                        self.item(empty.as_array_mut().expect("made a list above"))
                    }
                    other => {
                        Err(self.fault(after, format!("cannot set an item of {}", name(other))))
                    }
                }
            }
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        match self.reading {
            Reading::File(content) => Ok(content.into()),
            Reading::Literal => Ok(self.until(&[]).0.into()),
            Reading::Json => self.json(),
            Reading::Typed | Reading::Text if self.text.get(self.at) == Some(&'{') => self.list(),
            Reading::Typed | Reading::Text => {
                let (text, _) = self.until(&[',']);
                Ok(self.typed(text))
            }
        }
    }

    /// Reads `{a,b}` and the comma after it.
    fn list(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        self.at += 1;
        let mut list = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            match stop {
                None => {
                    return Err(self.fault(start, "a list that starts with `{` must end with `}`"));
                }
                Some(',') => list.push(self.typed(text)),
                Some(_) => {
                    list.push(self.typed(text));
                    match self.text.get(self.at) {
                        Some(',') => self.at += 1,
                        _ => self.list = Some((start, self.at)),
                    }
                    return Ok(Value::Array(list));
                }
            }
        }
    }

    fn typed(&self, text: String) -> Value {
        if matches!(self.reading, Reading::Text) {
            return text.into();
        }
        match text.to_ascii_lowercase().as_str() {
            "true" => true.into(),
            "false" => false.into(),
            "null" => Value::Null,
            "0" => 0.into(),
            // Text that begins with a zero (`007`) or has a point (`1.5`) stays a string, so that
            // versions and codes keep their digits.
            _ if text.starts_with('0') => text.into(),
            _ => text
                .parse::<i64>()
                .map_or_else(|_| text.into(), Value::from),
        }
    }

    /// Reads a JSON value and the comma after it. Without a value, returns null.
    fn json(&mut self) -> Result<Value, Fault> {
        if self.blank() {
            return Ok(Value::Null);
        }
        let rest: String = self.text[self.at..].iter().collect();
        let mut values = serde_json::Deserializer::from_str(&rest).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) if self.steps.len() + depth(&value) > yaml::MAX_DEPTH => {
                return Err(self.fault(self.at, too_deep()));
            }
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                return Err(self.fault(
                    self.at + error.column().saturating_sub(1),
                    json_words(&error),
                ));
            }
            None => Value::Null,
        };
        self.at += rest[..values.byte_offset()].chars().count();
        self.blank();
        Ok(yaml::whole_floats_as_integers(value))
    }

    /// Skips white space and one comma. Returns true if nothing precedes the comma or the end.
    fn blank(&mut self) -> bool {
        while let Some(c) = self.text.get(self.at) {
            if !c.is_whitespace() && *c != ',' {
                return false;
            }
            self.at += 1;
            if *c == ',' {
                break;
            }
        }
        true
    }
}

/// Returns the depth of nested lists and maps.
///
/// Limited like the depth of a file, so that values fit into a record, whose reader has a limit
/// too.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn too_deep() -> String {
    format!("nested deeper than {} levels", yaml::MAX_DEPTH)
}

/// Translates the message of the JSON parser, which shows no value but uses the parser's terms.
fn json_words(error: &serde_json::Error) -> String {
    if error.is_eof() {
        "incomplete JSON value"
    } else {
        "not a JSON value; a string needs double quotes"
    }
    .into()
}

/// Records the origin of a new value, of all nodes below it, and of the maps and lists above it,
/// which the flag names as well.
fn note(values: &mut Values, steps: &[path::Step], set: Set, flag: &str) {
    let mut pointers = vec![String::new()];
    for step in steps {
        pointers.push(path::below(
            pointers.last().expect("begins with the root"),
            step,
        ));
    }
    let node = pointers.last().expect("begins with the root").clone();
    let origin = Origin::Flag(format!("{flag} {}", path::display(&node, &values.tree)));
    for pointer in pointers {
        let known = values.origins.entry(pointer).or_default();
        if known.last() != Some(&origin) {
            known.push(origin.clone());
        }
    }
    if set == Set::Replaced {
        merge::forget_below(&mut values.origins, &node);
        if let Some(value) = values.tree.pointer(&node) {
            super::spread(value, &node, &origin, &mut values.origins);
        }
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
