//! The server's warnings, each of which is kept once.

use http::{HeaderMap, header};
use std::collections::BTreeSet;

/// In order of arrival, without duplicates.
#[derive(Default)]
pub(super) struct Warnings(Vec<Warned>);

struct Warned {
    text: String,
    /// The objects that it concerns, if any.
    objects: BTreeSet<String>,
    /// Whether it was returned before.
    taken: bool,
}

impl Warnings {
    /// Keeps the warnings of a response about this object.
    pub fn keep(&mut self, headers: &HeaderMap, object: Option<&String>) {
        for header in headers.get_all(header::WARNING) {
            let Some(text) = header.to_str().ok().and_then(warning_text) else {
                continue;
            };
            let known = match self.0.iter().position(|warned| warned.text == text) {
                Some(known) => known,
                None => {
                    self.0.push(Warned {
                        text,
                        objects: BTreeSet::new(),
                        taken: false,
                    });
                    self.0.len() - 1
                }
            };
            self.0[known].objects.extend(object.cloned());
        }
    }

    /// Returns those that were not returned before.
    pub fn take(&mut self) -> Vec<String> {
        let new = self.0.iter_mut().filter(|warned| !warned.taken);
        new.map(|warned| {
            warned.taken = true;
            warned.words()
        })
        .collect()
    }
}

impl Warned {
    /// Returns the warning with the first object that it concerns.
    fn words(&self) -> String {
        match (self.objects.first(), self.objects.len()) {
            (None, _) => self.text.clone(),
            (Some(object), 1) => format!("{object}: {}", self.text),
            (Some(object), many) => format!("{object} and {} more: {}", many - 1, self.text),
        }
    }
}

/// Returns the text of a header such as `299 - "policy/v1beta1 PodDisruptionBudget is deprecated"`
/// (RFC 7234, 5.5), which is the API server's format.
pub(super) fn warning_text(header: &str) -> Option<String> {
    let rest = header.strip_prefix("299 ")?;
    let (_, quoted) = rest.split_once(" \"")?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(text),
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    None
}
