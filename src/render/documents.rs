//! Rendered text → objects, each with the line of the template that made it.

use super::config_hash::{self, DATA_KINDS, Data, Digests, Hashing};
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

/// A stretch of a rendered text: one document, or several.
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
    pub made: Made<T>,
}

/// What became of it.
pub(super) enum Made<T> {
    Hook(Box<Hook>),
    /// It belongs to the release, and is what it was settled as.
    Object(T),
}

/// A thread reads about so much at a time: more than handing it over costs, and little enough that
/// threads end together even when one of them has to wait for its CPU.
const SHARE: usize = 48 << 10;

/// Reads the objects of all rendered texts, in order; lists (`kind: ConfigMapList`) as their items.
/// What can be said of each alone is said here, because several threads read large manifests
/// together; the result is the same.
///
/// They do so in two rounds, because a workload is given the hash of what its pods read: first
/// ConfigMaps and Secrets are read, then all else, which is settled while it is at hand.
pub(super) struct Reader<'a, T, S> {
    sources: &'a Sources<'a>,
    /// That of objects which name none.
    namespace: &'a str,
    hashing: &'a Hashing,
    settle: &'a S,
    shares: Vec<Share<'a, T>>,
    /// For each round, the first share that nobody has begun.
    next: [AtomicUsize; 2],
}

struct Share<'a, T> {
    passages: Vec<Passage<'a>>,
    /// By the thread that looks through it in the first round.
    found: OnceLock<Found<'a, T>>,
}

/// What is in a share.
struct Found<'a, T> {
    documents: Vec<Document<'a, T>>,
    data: Vec<(ObjectKey, Data)>,
}

struct Document<'a, T> {
    passage: Passage<'a>,
    /// The error where its passage as a whole is no YAML.
    unread: Result<yaml::Unread<'a>>,
    objects: OnceLock<Result<Vec<Parsed<T>>>>,
}

/// What a round of reading is for.
enum Round<'r> {
    /// To find the data that pods may read.
    Data(&'r mut Vec<(ObjectKey, Data)>),
    /// To read all else.
    Rest(&'r Digests<'r>),
}

impl<'a, T, S: Fn(Object) -> T> Reader<'a, T, S> {
    pub(super) fn of(
        rendered: &'a [Rendered<'a>],
        sources: &'a Sources<'a>,
        namespace: &'a str,
        hashing: &'a Hashing,
        settle: &'a S,
    ) -> Reader<'a, T, S> {
        let shares = share(rendered, SHARE)
            .into_iter()
            .map(|passages| Share {
                passages,
                found: OnceLock::new(),
            })
            .collect();
        Reader {
            sources,
            namespace,
            hashing,
            settle,
            shares,
            next: Default::default(),
        }
    }

    /// How many threads find something to do.
    pub(super) fn shares(&self) -> usize {
        self.shares.len()
    }

    /// The first round. Several threads may be at it.
    pub(super) fn read_data(&self) {
        self.each_share(0, |share| {
            share.found.get_or_init(|| self.look_through(share));
        });
    }

    /// What the first round found, when all threads are done with it.
    pub(super) fn digests(&self) -> Digests<'_> {
        let data = self
            .shares
            .iter()
            .filter_map(|share| share.found.get())
            .flat_map(|found| &found.data);
        Digests::of(data, self.namespace, self.hashing)
    }

    /// The second round. Several threads may be at it.
    pub(super) fn read_rest(&self, digests: &Digests) {
        self.each_share(1, |share| {
            for document in share
                .found
                .get()
                .into_iter()
                .flat_map(|found| &found.documents)
            {
                document.objects.get_or_init(|| {
                    self.read(document, Round::Rest(digests))
                        .expect("no workload has to wait for the hash of its data")
                });
            }
        });
    }

    /// What was read, when all threads are done.
    pub(super) fn finish(self) -> Result<Vec<Parsed<T>>> {
        let found: Vec<_> = self
            .shares
            .into_iter()
            .filter_map(|share| share.found.into_inner())
            .collect();
        let mut objects = Vec::with_capacity(found.iter().map(|found| found.documents.len()).sum());
        for document in found.into_iter().flat_map(|found| found.documents) {
            objects.append(
                &mut document
                    .objects
                    .into_inner()
                    .expect("each document was read")?,
            );
        }
        Ok(objects)
    }

    /// Takes one share after the other until none is left.
    fn each_share(&self, round: usize, work: impl Fn(&Share<'a, T>)) {
        while let index = self.next[round].fetch_add(1, Ordering::Relaxed)
            && let Some(share) = self.shares.get(index)
        {
            work(share);
        }
    }

    fn look_through(&self, share: &Share<'a, T>) -> Found<'a, T> {
        let mut found = Found {
            documents: Vec::new(),
            data: Vec::new(),
        };
        for passage in &share.passages {
            let mut add = |unread| {
                found.documents.push(Document {
                    passage: passage.clone(),
                    unread,
                    objects: OnceLock::new(),
                })
            };
            match yaml::documents(passage.text(), passage.rendered.template) {
                Ok(documents) => documents.for_each(|unread| add(Ok(unread))),
                Err(error) => add(Err(error)),
            }
        }
        for document in found
            .documents
            .iter()
            .filter(|document| document.may_hold_data())
        {
            if let Some(objects) = self.read(document, Round::Data(&mut found.data)) {
                _ = document.objects.set(objects);
            }
        }
        found
    }

    /// The objects of a document; `None` where one of them needs what this round is there to find.
    fn read(&self, document: &Document<'a, T>, mut round: Round) -> Option<Result<Vec<Parsed<T>>>> {
        let value = match document
            .unread
            .as_ref()
            .map_err(Error::clone)
            .and_then(yaml::Unread::read)
        {
            Ok(Value::Null) => return Some(Ok(Vec::new())),
            Ok(value) => value,
            Err(error) => return Some(Err(not_yaml(&document.passage, &error, self.sources))),
        };
        let own = document.own_passage();
        let mut objects = Vec::with_capacity(1);
        let taken = self.take_objects(
            value,
            &own,
            &own.spot(0, self.sources),
            &mut round,
            &mut objects,
        );
        taken
            .map(|is_whole| is_whole.then_some(objects))
            .transpose()
    }

    /// Whether all objects could be taken, none of which has to wait for the next round.
    fn take_objects(
        &self,
        value: Value,
        document: &Passage,
        spot: &Spot,
        round: &mut Round,
        objects: &mut Vec<Parsed<T>>,
    ) -> Result<bool> {
        let is_list = value
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with("List"));
        if is_list && value.get("items").is_some_and(Value::is_array) {
            let Value::Object(mut list) = value else {
                return Ok(true);
            };
            let Some(Value::Array(items)) = list.shift_remove("items") else {
                return Ok(true);
            };
            let mut is_whole = true;
            for item in items {
                is_whole &= self.take_objects(item, document, spot, round, objects)?;
            }
            return Ok(is_whole);
        }
        let problems = problems(&value);
        let source = Source {
            template: spot.template.clone(),
            line: spot.line,
        };
        let Some(mut object) =
            Object::from_body(value, source.clone()).filter(|_| problems.is_empty())
        else {
            let what = format!(
                "{} makes a document that is no Kubernetes object",
                self.sources.full_name(&spot.template)
            );
            let error = Error::user(what).at(self.sources.place(spot));
            return Err(problems.into_iter().fold(error, Error::why));
        };
        let marks = check_annotations(&object).and_then(|()| Marks::read(&object));
        let marks = marks.map_err(|error| misread(error, &object, document, self.sources))?;
        let (key, stage) = (object.key.clone(), object.stage());
        let made = match (marks, config_hash::is_workload(&object), round) {
            (Some(marks), ..) => Made::Hook(Box::new(Hook::new(object, marks))),
            (None, true, Round::Data(_)) => return Ok(false),
            (None, is_workload, round) => {
                match round {
                    Round::Data(data) => data.extend(
                        self.hashing
                            .data(&object)
                            .map(|digest| (key.clone(), digest)),
                    ),
                    Round::Rest(digests) if is_workload => digests.annotate(&mut object),
                    Round::Rest(_) => {}
                }
                Made::Object((self.settle)(object))
            }
        };
        objects.push(Parsed {
            key,
            stage,
            source,
            made,
        });
        Ok(true)
    }
}

impl<'a, T> Document<'a, T> {
    /// Whether a ConfigMap or Secret may be in it. The word is there if it is, unless it is written
    /// with an escape.
    fn may_hold_data(&self) -> bool {
        let text = self.own_passage().text();
        DATA_KINDS.iter().any(|kind| text.contains(kind)) || text.contains('\\')
    }

    /// The passage that this document alone is.
    fn own_passage(&self) -> Passage<'a> {
        let Ok(unread) = &self.unread else {
            return self.passage.clone();
        };
        let (start, range) = (self.passage.range.start, unread.range());
        Passage {
            rendered: self.passage.rendered,
            range: start + range.start..start + range.end,
        }
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
            shares
                .last_mut()
                .expect("there is always one")
                .push(Passage {
                    rendered,
                    range: start..end,
                });
            free = free.saturating_sub(end - start);
            start = end;
        }
    }
    shares
}

/// Where the first document starts behind `from`. YAML starts one at every line that begins with
/// `---`, whatever is around it.
fn document_start(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut marks =
        (from..bytes.len()).filter(|at| bytes[*at..].starts_with(b"---") && bytes[at - 1] == b'\n');
    marks
        .find(|at| matches!(bytes.get(at + 3), None | Some(b' ' | b'\t' | b'\n' | b'\r')))
        .unwrap_or(bytes.len())
}

impl<'a> Passage<'a> {
    fn text(&self) -> &'a str {
        &self.rendered.text[self.range.clone()]
    }

    /// The template's spot for a spot of the passage.
    fn spot(&self, offset: usize, sources: &Sources) -> Spot {
        sources.spot(
            self.rendered.template,
            &self.rendered.spans,
            self.range.start + offset,
        )
    }

    fn offset(&self, line: usize, column: usize) -> usize {
        let text = self.text();
        let start: usize = text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let column = text[start..]
            .char_indices()
            .nth(column.saturating_sub(1))
            .map_or(0, |(at, _)| at);
        (start + column).min(text.len().saturating_sub(1))
    }
}

/// Where an object begins in its template.
pub(super) fn place(source: &Source, sources: &Sources) -> Place {
    sources.place(&Spot {
        template: source.template.clone(),
        line: source.line,
        column: 1,
    })
}

/// Points to where the annotation is written in the template, or to where the object begins.
fn misread(misread: Misread, object: &Object, document: &Passage, sources: &Sources) -> Error {
    let place = match document.text().find(&misread.annotation) {
        Some(offset) => sources.place(&document.spot(offset, sources)),
        None => place(&object.source, sources),
    };
    Error::user(format!(
        "{} has an annotation that cannot be read: {}",
        object.key, misread.annotation
    ))
    .at(place)
    .why(misread.why)
}

/// The parser points into the rendered text, which nobody sees and which may hold a secret; this
/// points into the template.
fn not_yaml(passage: &Passage, error: &Error, sources: &Sources) -> Error {
    let place = error.places().first();
    let (line, column) = place.map_or((1, 1), |place| {
        (place.line.unwrap_or(1), place.column.unwrap_or(1))
    });
    let spot = passage.spot(passage.offset(line, column), sources);
    let mut note = place.map(|place| place.note.clone()).unwrap_or_default();
    // "written twice, first on line 6": that line is the template's too.
    if let Some((before, line)) = note.rsplit_once(" line ")
        && let Ok(line) = line.parse()
    {
        note = format!(
            "{before} line {}",
            passage.spot(passage.offset(line, 1), sources).line
        );
    }
    Error::user(format!(
        "what {} renders to is not valid YAML",
        sources.full_name(passage.rendered.template)
    ))
    .at(sources.place(&spot))
    .why(if note.is_empty() {
        error.what().to_owned()
    } else {
        note
    })
}

/// What keeps a document from being a Kubernetes object. The API server knows more; this is what
/// identity depends on, and the commonest slip of templates (a label that is a number).
fn problems(body: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if !body.is_object() {
        return vec!["it is not a map".to_owned()];
    }
    let string = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .map(str::to_owned)
            .filter(|text| !text.is_empty())
    };
    let group = match string(body.get("apiVersion")) {
        Some(api_version) if is_api_version(&api_version) => api_version
            .rsplit_once('/')
            .map(|(group, _)| group.to_owned()),
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
        Some(kind)
            if kind.starts_with(|c: char| c.is_ascii_uppercase())
                && kind.bytes().all(|c| c.is_ascii_alphanumeric()) => {}
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
            if is_object_name(namespace, false)
                && !namespace.contains('.')
                && namespace.len() < 64 => {}
        Some(_) => problems.push(
            "metadata.namespace must be made of lower-case letters, digits and \"-\"".to_owned(),
        ),
    }
    for field in ["labels", "annotations"] {
        match metadata.and_then(|metadata| metadata.get(field)) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => {
                let wrong = map.iter().filter(|(_, value)| !value.is_string());
                problems.extend(wrong.map(|(key, _)| {
                    format!("metadata.{field}: \"{key}\" must be a string: use `| string`")
                }));
            }
            Some(_) => problems.push(format!("metadata.{field} must be a map")),
        }
    }
    problems
}

fn is_api_version(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-".contains(&c))
    };
    match text.split_once('/') {
        Some((group, version)) => plain(group) && plain(version) && !version.contains('/'),
        None => plain(text),
    }
}

/// Names of RBAC objects may hold anything that fits into a path (`system:node`); all others are
/// DNS subdomains.
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
