//! Rendered text → objects, each with the line of the template that made it.

use super::config_hash::{self, Digest};
use super::locate::{Sources, Spot};
use crate::error::{Error, Place, Result};
use crate::manifest::hook::Marks;
use crate::manifest::{Hook, Misread, Object, ObjectKey, Source, check_annotations};
use crate::yaml;
use minijinja::OutputSpan;
use serde_json::Value;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a template gave.
pub(super) struct Rendered<'a> {
    pub template: &'a str,
    pub text: String,
    pub spans: Vec<OutputSpan>,
}

/// A stretch of a rendered text: one document, or several that are read together.
#[derive(Clone)]
struct Passage<'a> {
    rendered: &'a Rendered<'a>,
    range: Range<usize>,
}

/// An object that was read, and what is said of it where it is no longer a tree.
pub(super) struct Parsed<T> {
    pub key: ObjectKey,
    pub stage: i32,
    pub source: Source,
    /// Of its data, where it is a ConfigMap or Secret.
    pub digest: Option<Digest>,
    pub state: State<T>,
}

/// How far an object is.
pub(super) enum State<T> {
    Hook(Hook),
    /// It waits for the hash of what its pods read.
    Workload(Object),
    Settled(T),
}

/// A thread reads about so much at a time: more than handing it over costs, and little enough that threads end together even when one
/// of them has to wait for its CPU.
const SHARE: usize = 48 << 10;

/// Reads the objects of all rendered texts, in order; lists (`kind: ConfigMapList`) as their items. What can be said of each alone is
/// said here, because several threads read large manifests together; the result is the same.
pub(super) struct Reader<'a, T, S> {
    sources: &'a Sources<'a>,
    settle: &'a S,
    shares: Vec<Vec<Passage<'a>>>,
    /// As many as shares.
    read: Vec<OnceLock<Result<Vec<Parsed<T>>>>>,
    /// The first share that nobody has taken.
    next: AtomicUsize,
}

impl<'a, T, S: Fn(Object) -> T> Reader<'a, T, S> {
    pub(super) fn of(rendered: &'a [Rendered<'a>], sources: &'a Sources<'a>, settle: &'a S) -> Reader<'a, T, S> {
        let shares = share(rendered, SHARE);
        Reader { sources, settle, read: shares.iter().map(|_| OnceLock::new()).collect(), shares, next: AtomicUsize::new(0) }
    }

    /// How many threads find something to do.
    pub(super) fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from).min(self.shares.len())
    }

    /// Reads one share after the other until none is left. Several threads may do so at once.
    pub(super) fn work(&self) {
        while let index = self.next.fetch_add(1, Ordering::Relaxed)
            && let Some(share) = self.shares.get(index)
        {
            self.read[index].get_or_init(|| self.read(share));
        }
    }

    /// What was read, when all who worked are done.
    pub(super) fn finish(self) -> Result<Vec<Parsed<T>>> {
        let mut objects = Vec::new();
        for share in self.read {
            objects.append(&mut share.into_inner().expect("every share is read by one thread")?);
        }
        Ok(objects)
    }

    fn read(&self, share: &[Passage]) -> Result<Vec<Parsed<T>>> {
        let mut objects = Vec::new();
        for passage in share {
            let not_yaml = |error| not_yaml(passage, &error, self.sources);
            for found in yaml::documents(passage.text(), passage.rendered.template).map_err(not_yaml)? {
                let found = found.map_err(not_yaml)?;
                let range = passage.range.start + found.range.start..passage.range.start + found.range.end;
                let document = Passage { rendered: passage.rendered, range };
                self.take_objects(found.value, &document, &document.spot(0, self.sources), &mut objects)?;
            }
        }
        Ok(objects)
    }

    fn take_objects(&self, value: Value, document: &Passage, spot: &Spot, objects: &mut Vec<Parsed<T>>) -> Result<()> {
        let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
        if is_list && value.get("items").is_some_and(Value::is_array) {
            let Value::Object(mut list) = value else { return Ok(()) };
            let Some(Value::Array(items)) = list.shift_remove("items") else { return Ok(()) };
            for item in items {
                self.take_objects(item, document, spot, objects)?;
            }
            return Ok(());
        }
        let problems = problems(&value);
        let source = Source { template: spot.template.clone(), line: spot.line };
        let Some(object) = Object::from_body(value, source.clone()).filter(|_| problems.is_empty()) else {
            let what = format!("{} makes a document that is no Kubernetes object", self.sources.full_name(&spot.template));
            let error = Error::user(what).at(self.sources.place(spot));
            return Err(problems.into_iter().fold(error, Error::why));
        };
        let marks = check_annotations(&object).and_then(|()| Marks::read(&object));
        let marks = marks.map_err(|error| misread(error, &object, document, self.sources))?;
        objects.push(Parsed {
            key: object.key.clone(),
            stage: object.stage(),
            source,
            digest: config_hash::data_digest(&object),
            state: match marks {
                Some(marks) => State::Hook(Hook::new(object, marks)),
                None if config_hash::may_concern(&object) => State::Workload(object),
                None => State::Settled((self.settle)(object)),
            },
        });
        Ok(())
    }
}

/// Cuts the texts, between documents, into shares of about this size.
fn share<'a>(rendered: &'a [Rendered<'a>], size: usize) -> Vec<Vec<Passage<'a>>> {
    let mut shares = vec![Vec::new()];
    let mut free = size;
    for rendered in rendered {
        let mut start = 0;
        while start < rendered.text.len() {
            if free == 0 {
                shares.push(Vec::new());
                free = size;
            }
            let end = document_start(&rendered.text, start + free);
            shares.last_mut().expect("there is always one").push(Passage { rendered, range: start..end });
            free = free.saturating_sub(end - start);
            start = end;
        }
    }
    shares
}

/// Where the first document starts behind `from`. YAML starts one at every line that begins with `---`, whatever is around it.
fn document_start(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut marks = (from..bytes.len()).filter(|at| bytes[*at..].starts_with(b"---") && bytes[at - 1] == b'\n');
    marks.find(|at| matches!(bytes.get(at + 3), None | Some(b' ' | b'\t' | b'\n' | b'\r'))).unwrap_or(bytes.len())
}

impl Passage<'_> {
    fn text(&self) -> &str {
        &self.rendered.text[self.range.clone()]
    }

    /// The template's spot for a spot of the passage.
    fn spot(&self, offset: usize, sources: &Sources) -> Spot {
        sources.spot(self.rendered.template, &self.rendered.spans, self.range.start + offset)
    }

    fn offset(&self, line: usize, column: usize) -> usize {
        let text = self.text();
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let column = text[start..].char_indices().nth(column.saturating_sub(1)).map_or(0, |(at, _)| at);
        (start + column).min(text.len().saturating_sub(1))
    }
}

/// Where an object begins in its template.
pub(super) fn place(source: &Source, sources: &Sources) -> Place {
    sources.place(&Spot { template: source.template.clone(), line: source.line, column: 1 })
}

/// Points to where the annotation is written in the template, or to where the object begins.
fn misread(misread: Misread, object: &Object, document: &Passage, sources: &Sources) -> Error {
    let place = match document.text().find(&misread.annotation) {
        Some(offset) => sources.place(&document.spot(offset, sources)),
        None => place(&object.source, sources),
    };
    Error::user(format!("{} has an annotation that cannot be read: {}", object.key, misread.annotation))
        .at(place)
        .why(misread.why)
}

/// The parser points into the rendered text, which nobody sees and which may hold a secret; this points into the template.
fn not_yaml(passage: &Passage, error: &Error, sources: &Sources) -> Error {
    let place = error.places().first();
    let (line, column) = place.map_or((1, 1), |place| (place.line.unwrap_or(1), place.column.unwrap_or(1)));
    let spot = passage.spot(passage.offset(line, column), sources);
    let mut note = place.map(|place| place.note.clone()).unwrap_or_default();
    // "written twice, first on line 6": that line is the template's too.
    if let Some((before, line)) = note.rsplit_once(" line ")
        && let Ok(line) = line.parse()
    {
        note = format!("{before} line {}", passage.spot(passage.offset(line, 1), sources).line);
    }
    Error::user(format!("what {} renders to is not valid YAML", sources.full_name(passage.rendered.template)))
        .at(sources.place(&spot))
        .why(if note.is_empty() { error.what().to_owned() } else { note })
}

/// What keeps a document from being a Kubernetes object. The API server knows more; this is what identity depends on, and the
/// commonest slip of templates (a label that is a number).
fn problems(body: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if !body.is_object() {
        return vec!["it is not a map".to_owned()];
    }
    let string = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned).filter(|text| !text.is_empty());
    let group = match string(body.get("apiVersion")) {
        Some(api_version) if is_api_version(&api_version) => api_version.rsplit_once('/').map(|(group, _)| group.to_owned()),
        Some(_) => {
            problems.push("apiVersion must be like \"v1\" or \"apps/v1\"".to_owned());
            None
        }
        None => {
            problems.push("apiVersion is missing".to_owned());
            None
        }
    };
    match string(body.get("kind")) {
        Some(kind) if kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|c| c.is_ascii_alphanumeric()) => {}
        Some(_) => problems.push("kind must be a name like \"StatefulSet\"".to_owned()),
        None => problems.push("kind is missing".to_owned()),
    }
    let metadata = body.get("metadata");
    let is_rbac = group.as_deref() == Some("rbac.authorization.k8s.io");
    match metadata.and_then(|metadata| metadata.get("name")) {
        Some(Value::String(name)) if is_object_name(name, is_rbac) => {}
        Some(Value::String(name)) => problems.push(format!(
            "metadata.name \"{name}\" must be made of lower-case letters, digits, \"-\" and \".\", begin and end with a letter or \
             digit, and have 253 characters at most"
        )),
        Some(Value::Null) | None => problems.push("metadata.name is missing".to_owned()),
        Some(_) => problems.push("metadata.name must be a string".to_owned()),
    }
    match metadata.and_then(|metadata| metadata.get("namespace")) {
        None => {}
        Some(Value::String(namespace))
            if is_object_name(namespace, false) && !namespace.contains('.') && namespace.len() < 64 => {}
        Some(_) => problems.push("metadata.namespace must be made of lower-case letters, digits and \"-\"".to_owned()),
    }
    for field in ["labels", "annotations"] {
        match metadata.and_then(|metadata| metadata.get(field)) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => {
                let wrong = map.iter().filter(|(_, value)| !value.is_string());
                problems.extend(wrong.map(|(key, _)| format!("metadata.{field}: \"{key}\" must be a string: use `| string`")));
            }
            Some(_) => problems.push(format!("metadata.{field} must be a map")),
        }
    }
    problems
}

fn is_api_version(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-".contains(&c));
    match text.split_once('/') {
        Some((group, version)) => plain(group) && plain(version) && !version.contains('/'),
        None => plain(text),
    }
}

/// Names of RBAC objects may hold anything that fits into a path (`system:node`); all others are DNS subdomains.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
fn is_object_name(name: &str, is_rbac: bool) -> bool {
    if is_rbac {
        return !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    }
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|part| {
            let bytes = part.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if plain(*first) && plain(*last))
                && bytes.iter().all(|c| plain(*c) || *c == b'-')
        })
}
