//! Reads rendered text into objects, each with the template line that produced it.

use super::config_hash::{self, DATA_KINDS, Data, Digests, Hashing};
use super::form::problems;
use super::locate::{Sources, Spot};
use crate::error::{Error, Place, Result};
use crate::manifest::hook::Marks;
use crate::manifest::{Hook, Misread, Object, ObjectKey, TemplateLine, check_annotations};
use crate::yaml;
use minijinja::OutputSpan;
use serde_json::Value;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The output of a template.
pub(super) struct Rendered<'a> {
    pub template: &'a str,
    pub text: String,
    pub spans: Vec<OutputSpan>,
}

/// One or more documents of a rendered text.
#[derive(Clone)]
struct Passage<'a> {
    rendered: &'a Rendered<'a>,
    range: Range<usize>,
}

/// An object that was read, with the facts that are still needed after it is converted.
pub(super) struct Parsed<T> {
    pub key: ObjectKey,
    pub stage: i32,
    pub source: TemplateLine,
    pub content: HookOrObject<T>,
}

/// The result for one object.
pub(super) enum HookOrObject<T> {
    Hook(Box<Hook>),
    /// An object of the release, as `settle` converted it.
    Object(T),
}

/// Size of the work that a thread takes at once. Large compared with the cost of scheduling, and
/// small enough that all threads end at about the same time.
const SHARE: usize = 48 << 10;

/// Reads the objects of all rendered texts, in order. A list (`kind: ConfigMapList`) is read as its
/// items.
///
/// Several threads read large manifests together, so this room checks everything that concerns a
/// single object. The result does not depend on the number of threads.
///
/// Reading takes two rounds, because a workload contains a hash of the data that its pods read. The
/// first round reads ConfigMaps and Secrets. The second reads all other objects and converts each
/// at once.
pub(super) struct Reader<'a, T, S> {
    sources: &'a Sources<'a>,
    /// Namespace of objects that name none.
    namespace: &'a str,
    hashing: &'a Hashing,
    settle: &'a S,
    shares: Vec<Share<'a, T>>,
    /// Index of the next free share, for each round.
    next: [AtomicUsize; 2],
}

struct Share<'a, T> {
    passages: Vec<Passage<'a>>,
    /// Set by the thread that processes the share in the first round.
    found: OnceLock<Found<'a, T>>,
}

/// The documents of a share.
struct Found<'a, T> {
    documents: Vec<Document<'a, T>>,
    data: Vec<(ObjectKey, Data)>,
}

struct Document<'a, T> {
    passage: Passage<'a>,
    /// The document, or the error if the passage as a whole is not YAML.
    unread: Result<yaml::Unread<'a>>,
    objects: OnceLock<Result<Vec<Parsed<T>>>>,
}

/// The purpose of a round.
enum Round<'r> {
    /// Finds the data that pods may read.
    Data(&'r mut Vec<(ObjectKey, Data)>),
    /// Reads all other objects.
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

    /// Returns the number of shares, which limits the number of useful threads.
    pub(super) fn shares(&self) -> usize {
        self.shares.len()
    }

    /// Runs the first round. Several threads may call this at once.
    pub(super) fn read_data(&self) {
        self.each_share(0, |share| {
            share.found.get_or_init(|| self.look_through(share));
        });
    }

    /// Returns the results of the first round, after all threads have finished it.
    pub(super) fn digests(&self) -> Digests<'_> {
        let data = self
            .shares
            .iter()
            .filter_map(|share| share.found.get())
            .flat_map(|found| &found.data);
        Digests::of(data, self.namespace, self.hashing)
    }

    /// Runs the second round. Several threads may call this at once.
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

    /// Returns all objects, after all threads have finished.
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

    /// Processes shares until none is left.
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

    /// Returns the objects of a document, or `None` if one of them belongs to the other round.
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

    /// Returns true if it took all objects, and false if one of them belongs to the next round.
    fn take_objects(
        &self,
        value: Value,
        document: &Passage,
        spot: &Spot,
        round: &mut Round,
        objects: &mut Vec<Parsed<T>>,
    ) -> Result<bool> {
        let value = match items(value) {
            Ok(items) => {
                let mut is_whole = true;
                for item in items {
                    is_whole &= self.take_objects(item, document, spot, round, objects)?;
                }
                return Ok(is_whole);
            }
            Err(value) => value,
        };
        let problems = problems(&value);
        let source = TemplateLine {
            template: spot.template.clone(),
            line: spot.line,
        };
        let Some(mut object) =
            Object::from_body(value, source.clone()).filter(|_| problems.is_empty())
        else {
            let what = format!(
                "{} renders a document that is not a Kubernetes object",
                self.sources.full_name(&spot.template)
            );
            let error = Error::user(what).at(self.sources.place(spot));
            return Err(problems.into_iter().fold(error, Error::why));
        };
        let marks = check_annotations(&object).and_then(|()| Marks::read(&object));
        let marks = marks.map_err(|error| misread(error, &object, document, self.sources))?;
        let (key, stage) = (object.key.clone(), object.stage());
        let content = match (marks, config_hash::is_workload(&object), round) {
            (Some(marks), ..) => HookOrObject::Hook(Box::new(Hook::new(object, marks))),
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
                HookOrObject::Object((self.settle)(object))
            }
        };
        objects.push(Parsed {
            key,
            stage,
            source,
            content,
        });
        Ok(true)
    }
}

impl<'a, T> Document<'a, T> {
    /// Returns true if the document may contain a ConfigMap or Secret. The kind appears as a word,
    /// unless it contains an escape.
    fn may_hold_data(&self) -> bool {
        let text = self.own_passage().text();
        DATA_KINDS.iter().any(|kind| text.contains(kind)) || text.contains('\\')
    }

    /// Returns the passage of this document only.
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

/// Splits the texts at document boundaries into shares of about this size.
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

/// Returns the start of the first document after `from`. A line that begins with `---` always
/// starts a document.
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

    /// Converts a position in the passage to a position in the template.
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

/// Returns the place at which an object begins in its template.
pub(super) fn place(source: &TemplateLine, sources: &Sources) -> Place {
    sources.place(&Spot {
        template: source.template.clone(),
        line: source.line,
        column: 1,
    })
}

/// Reports an invalid annotation at its line in the template, or at the beginning of the object.
fn misread(misread: Misread, object: &Object, document: &Passage, sources: &Sources) -> Error {
    let place = match document.text().find(&misread.annotation) {
        Some(offset) => sources.place(&document.spot(offset, sources)),
        None => place(&object.source, sources),
    };
    Error::user(format!(
        "{} has an invalid annotation: {}",
        object.key, misread.annotation
    ))
    .at(place)
    .why(misread.why)
}

/// Moves a parser's error from the rendered text to the template.
///
/// Users do not see the rendered text, and it may contain a secret.
fn not_yaml(passage: &Passage, error: &Error, sources: &Sources) -> Error {
    let place = error.places().first();
    let (line, column) = place.map_or((1, 1), |place| {
        (place.line.unwrap_or(1), place.column.unwrap_or(1))
    });
    let spot = passage.spot(passage.offset(line, column), sources);
    let mut note = place.map(|place| place.note.clone()).unwrap_or_default();
    // A note such as "written twice, first on line 6" also needs the template's line.
    if let Some((before, line)) = note.rsplit_once(" line ")
        && let Ok(line) = line.parse()
    {
        note = format!(
            "{before} line {}",
            passage.spot(passage.offset(line, 1), sources).line
        );
    }
    Error::user(format!(
        "the output of {} is not valid YAML",
        sources.full_name(passage.rendered.template)
    ))
    .at(sources.place(&spot))
    .why(if note.is_empty() {
        error.what().to_owned()
    } else {
        note
    })
}

/// Returns the items of a list of objects, or the value itself if it is not one.
fn items(mut value: Value) -> std::result::Result<Vec<Value>, Value> {
    let kind = value.get("kind").and_then(Value::as_str);
    if kind.is_none_or(|kind| !kind.ends_with("List")) {
        return Err(value);
    }
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        Some(other) => {
            value["items"] = other;
            Err(value)
        }
        None => Err(value),
    }
}
