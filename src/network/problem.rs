//! Collects all problems of a network file, to report them at once.

use crate::error::{Error, Place, nearest};
use crate::values::path;
use crate::yaml::Positions;
use serde_json::Value;

/// The problems of one file.
#[derive(Debug)]
pub struct Problems {
    subject: String,
    positions: Positions,
    /// The original document, which distinguishes list items from keys.
    document: Value,
    /// Original places of nodes that were moved within the document, by their current pointers.
    moved: Vec<(String, String)>,
    found: Vec<(Place, Vec<String>)>,
    /// Pointers of the problems.
    pointers: Vec<String>,
}

impl Problems {
    pub fn new(subject: &str, document: Value, positions: Positions) -> Problems {
        Problems {
            subject: subject.to_owned(),
            positions,
            document,
            moved: Vec::new(),
            found: Vec::new(),
            pointers: Vec::new(),
        }
    }

    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Gives a node that was moved within the document its old position.
    pub fn moved(&mut self, from: &str, to: &str) {
        if let Some(position) = self.positions.get(from) {
            self.positions.insert(to.to_owned(), *position);
        }
        self.moved.push((to.to_owned(), from.to_owned()));
    }

    /// Formats a pointer in the form of the original document.
    fn shown(&self, pointer: &str) -> String {
        let moved = self
            .moved
            .iter()
            .find(|(to, _)| path::is_within(pointer, to));
        let written = match moved {
            Some((to, from)) => format!("{from}{}", &pointer[to.len()..]),
            None => pointer.to_owned(),
        };
        path::display(&written, &self.document)
    }

    pub fn add(&mut self, pointer: &str, what: impl Into<String>) {
        self.wrong(pointer, what, None);
    }

    pub fn wrong(&mut self, pointer: &str, what: impl Into<String>, hint: Option<String>) {
        let shown = self.shown(pointer);
        let prefix = match shown.as_str() {
            "" => String::new(),
            shown => format!("{shown}: "),
        };
        let place = self.place(pointer).note(format!("{prefix}{}", what.into()));
        let hints = hint
            .map(|hint| format!("{prefix}{hint}"))
            .into_iter()
            .collect();
        self.found.push((place, hints));
        self.pointers.push(pointer.to_owned());
    }

    /// Returns true if there is already a problem of a node, of one below it, or of the map that
    /// contains it.
    pub fn concerns(&self, pointer: &str) -> bool {
        let parent = &pointer[..pointer.rfind('/').unwrap_or(0)];
        self.pointers
            .iter()
            .any(|at| path::is_within(at, pointer) || at == parent)
    }

    /// Reports a name that is not in `known`, with the nearest one as a hint.
    pub fn unknown<'k>(
        &mut self,
        pointer: &str,
        what: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let near = nearest(name, known).map(|near| format!("did you mean \"{near}\"?"));
        self.wrong(pointer, what, near);
    }

    /// Adds an error of another room about a part of the file. Keeps its places, or uses `pointer`
    /// if it has none.
    pub fn nested(&mut self, pointer: &str, error: &Error) {
        let hints: Vec<String> = error.hints().to_vec();
        let reasons = error
            .reasons()
            .iter()
            .map(|why| format!("; {why}"))
            .collect::<String>();
        if error.places().is_empty() {
            let shown = self.shown(pointer);
            let place = self.place(pointer);
            let note = format!("{shown}: {}{reasons}", error.what());
            self.found.push((place.note(note), hints));
            return;
        }
        let mut hints = Some(hints);
        for place in error.places() {
            let mut place = place.clone();
            if place.line.is_none() {
                // Fabric's rules name only the value (`orderers.count`).
                let below = place.subject.replace('.', "/");
                let at = self.place(&format!("{pointer}/values/{below}"));
                let shown = self.shown(pointer);
                place = at.note(format!("{shown}.values.{}: {}", place.subject, place.note));
            }
            self.found.push((place, hints.take().unwrap_or_default()));
        }
    }

    /// Returns the position of a node, or of its nearest ancestor.
    pub fn place(&self, pointer: &str) -> Place {
        let mut at = pointer;
        loop {
            if let Some((line, column)) = self.positions.get(at) {
                return Place::new(&self.subject).at(*line, *column);
            }
            match at.rfind('/') {
                Some(end) => at = &at[..end],
                None => return Place::new(&self.subject),
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns one error with a place for each problem, in the order of the file.
    pub fn into_error(mut self) -> Error {
        self.found.sort_by(|(a, _), (b, _)| {
            (&a.subject, a.line, a.column, &a.note).cmp(&(&b.subject, b.line, b.column, &b.note))
        });
        self.found.dedup();
        let what = match self.found.len() {
            1 => format!("network file \"{}\" has a mistake", self.subject),
            count => format!("network file \"{}\" has {count} mistakes", self.subject),
        };
        let mut error = Error::user(what);
        for (place, hints) in self.found {
            error = hints.into_iter().fold(error.at(place), Error::hint);
        }
        error.now("nothing was sent to the cluster or to a node")
    }
}
