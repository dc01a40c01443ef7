//! Errors for the user: what failed, where, why, the state of things, and what to do next.
//!
//! All rooms use this type, because all errors are printed in the same way. A room whose callers
//! must distinguish failures also has its own enum (`cluster::ApiError`) and converts it to an
//! [`Error`] at its edge.
//!
//! Passwords in URLs are removed from all texts when an error is created, so no report shows them.

use std::borrow::Cow;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure. It only determines the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Arguments, values, charts, files: input that the user can change.
    User,
    /// The API server, the network or the credentials.
    Cluster,
    /// Not ready in time, or a hook or test failed. Applied changes stay.
    NotReady,
    /// Refused to protect something: a lock, ownership, a guard, a deletion of data.
    Refused,
    /// Stopped by a signal.
    Interrupted,
    /// A bug in this program.
    Internal,
}

impl Kind {
    /// Returns the exit status of a run that ends with this failure.
    pub fn exit_status(self) -> u8 {
        match self {
            Kind::User | Kind::Cluster | Kind::Internal => 1,
            Kind::NotReady => 3,
            Kind::Refused => 4,
            Kind::Interrupted => 130,
        }
    }
}

/// The place of a problem: a file with a line, or an object with a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// A file, an object or a flag: `org1.yaml`, `StatefulSet org1/peer0`, `--set`.
    pub subject: String,
    /// 1-based line and column, when `subject` is a text.
    pub line: Option<usize>,
    pub column: Option<usize>,
    /// The problem, or the value or field: `peers[0].stateDatabase: unknown value`.
    pub note: String,
    /// The line of text, if it may be shown. Never a line with a value that may be secret.
    pub excerpt: Option<String>,
}

impl Place {
    pub fn new(subject: impl Into<String>) -> Place {
        Place {
            subject: subject.into(),
            ..Place::default()
        }
    }

    pub fn at(mut self, line: usize, column: usize) -> Place {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Place {
        self.note = note.into();
        self
    }

    pub fn excerpt(mut self, excerpt: impl Into<String>) -> Place {
        self.excerpt = Some(excerpt.into());
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    kind: Kind,
    what: String,
    places: Vec<Place>,
    why: Vec<String>,
    now: Option<String>,
    hints: Vec<String>,
}

/// A failure, as reported to the user. Created where the facts are known. Callers add hints and
/// state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Report>);

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>) -> Error {
        let what = shown(what);
        Error(Box::new(Report {
            kind,
            what,
            places: Vec::new(),
            why: Vec::new(),
            now: None,
            hints: Vec::new(),
        }))
    }

    pub fn user(what: impl Into<String>) -> Error {
        Error::new(Kind::User, what)
    }

    pub fn cluster(what: impl Into<String>) -> Error {
        Error::new(Kind::Cluster, what)
    }

    pub fn not_ready(what: impl Into<String>) -> Error {
        Error::new(Kind::NotReady, what)
    }

    pub fn refused(what: impl Into<String>) -> Error {
        Error::new(Kind::Refused, what)
    }

    pub fn interrupted(what: impl Into<String>) -> Error {
        Error::new(Kind::Interrupted, what)
    }

    /// Returns the error for a bug in this program, which asks the user to report it.
    pub fn internal(what: impl Into<String>) -> Error {
        Error::new(Kind::Internal, what)
            .hint("this is a bug in kubectl-fabric: please report it with the command you ran")
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn what(&self) -> &str {
        &self.0.what
    }

    pub fn places(&self) -> &[Place] {
        &self.0.places
    }

    pub fn reasons(&self) -> &[String] {
        &self.0.why
    }

    /// The current state of things, if it is known.
    pub fn state(&self) -> Option<&str> {
        self.0.now.as_deref()
    }

    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// Sets a new message. The current one becomes the first reason.
    pub fn context(mut self, what: impl Into<String>) -> Error {
        let inner = std::mem::replace(&mut self.0.what, shown(what));
        self.0.why.insert(0, inner);
        self
    }

    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.0.kind = kind;
        self
    }

    pub fn at(self, place: Place) -> Error {
        self.at_all([place])
    }

    pub fn at_all(mut self, places: impl IntoIterator<Item = Place>) -> Error {
        let public = |place: Place| Place {
            subject: shown(place.subject),
            note: shown(place.note),
            excerpt: place.excerpt.map(shown),
            ..place
        };
        self.0.places.extend(places.into_iter().map(public));
        self
    }

    pub fn why(mut self, why: impl Into<String>) -> Error {
        self.0.why.push(shown(why));
        self
    }

    /// Sets the current state, unless it is already set: the first caller is closest to the
    /// failure.
    pub fn now(mut self, now: impl Into<String>) -> Error {
        self.0.now.get_or_insert(shown(now));
        self
    }

    /// Replaces the state, after something was repaired.
    pub fn replace_now(mut self, now: impl Into<String>) -> Error {
        self.0.now = Some(shown(now));
        self
    }

    /// Prepends completed work to the state: of several tasks, some may be complete when one fails.
    pub fn now_after(mut self, before: impl Into<String>) -> Error {
        let before = shown(before);
        self.0.now = Some(match self.0.now.take() {
            Some(now) => format!("{before}; {now}"),
            None => before,
        });
        self
    }

    /// Replaces each text for which `mask` returns another one, to hide secrets that the server
    /// repeats.
    pub fn masked(mut self, mask: impl Fn(&str) -> Option<String>) -> Error {
        let report = &mut *self.0;
        let of_places = report.places.iter_mut().flat_map(|place| {
            [&mut place.subject, &mut place.note]
                .into_iter()
                .chain(&mut place.excerpt)
        });
        let texts = [&mut report.what]
            .into_iter()
            .chain(of_places)
            .chain(&mut report.why)
            .chain(&mut report.now)
            .chain(&mut report.hints);
        for text in texts {
            if let Some(masked) = mask(text) {
                *text = masked;
            }
        }
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hints.push(shown(hint));
        self
    }
}

impl fmt::Display for Error {
    /// Formats the whole report, without colours and without a final newline:
    ///
    /// ```text
    /// values for "org1" do not fit chart peer-org 0.1.0
    ///   --> org1.yaml:14:20   peers.stateDatabase: unknown state database "couchdbb"
    ///    |  stateDatabase: couchdbb
    /// why: a peer keeps its state in "goleveldb" or "CouchDB"
    /// now: nothing was sent to the cluster
    /// hint: did you mean "CouchDB"?
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        f.write_str(&report.what)?;
        for place in &report.places {
            write!(f, "\n  --> {}", place.subject)?;
            if let Some(line) = place.line {
                write!(f, ":{line}")?;
                if let Some(column) = place.column {
                    write!(f, ":{column}")?;
                }
            }
            if !place.note.is_empty() {
                write!(f, "   {}", place.note)?;
            }
            if let Some(excerpt) = &place.excerpt {
                write!(f, "\n   |  {}", excerpt.trim_end())?;
            }
        }
        for why in &report.why {
            write!(f, "\nwhy: {why}")?;
        }
        if let Some(now) = &report.now {
            write!(f, "\nnow: {now}")?;
        }
        for hint in &report.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

fn shown(text: impl Into<String>) -> String {
    let text = text.into();
    let without = match without_passwords(&text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(without) => Some(without),
    };
    without.unwrap_or(text)
}

/// Returns a text with the passwords in its URLs replaced: `https://user:***@host`.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let (mut rest, mut without) = (text, String::new());
    while let Some(start) = rest.find("://").map(|at| at + 3) {
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '`' | '<' | '>');
        let end = rest[start..].find(ends).map_or(rest.len(), |at| start + at);
        let userinfo = rest[start..end]
            .rsplit_once('@')
            .map_or("", |(userinfo, _)| userinfo);
        match userinfo.split_once(':') {
            Some((user, password)) if !password.is_empty() => {
                without.push_str(&rest[..start + user.len() + 1]);
                without.push_str("***");
                rest = &rest[start + userinfo.len()..];
            }
            _ => {
                without.push_str(&rest[..start]);
                rest = &rest[start..];
            }
        }
    }
    without.push_str(rest);
    if without == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(without)
    }
}

/// Returns a URL for an error: without user, password, query and fragment, each of which may be
/// secret. The text may not be a valid URL.
pub fn public_url(url: &str) -> String {
    let (scheme, rest) = url
        .split_once("://")
        .map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if scheme.is_empty() {
        rest.to_owned()
    } else {
        format!("{scheme}://{rest}")
    }
}

/// Returns the candidate nearest to `word`, if one is similar enough (Damerau-Levenshtein distance
/// of at most a third of the length).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1.max(word.len().max(candidate.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the restricted Damerau-Levenshtein distance: insertions, deletions, substitutions and
/// transpositions count as one each. Keeps only three rows of the matrix.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut two_above = above.clone();
    let mut before = None;
    for (i, letter) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let exchanged = above[j] + usize::from(letter != *other);
            let swapped = match before {
                Some(before) if j > 0 && letter == b[j - 1] && before == *other => {
                    two_above[j - 1] + 1
                }
                _ => usize::MAX,
            };
            row.push(
                (above[j + 1] + 1)
                    .min(row[j] + 1)
                    .min(exchanged)
                    .min(swapped),
            );
        }
        two_above = std::mem::replace(&mut above, row);
        before = Some(letter);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_the_typo_and_nothing_far() {
        let names = ["org1", "orgorderer1", "kafka"];
        assert_eq!(nearest("ogr1", names), Some("org1"));
        assert_eq!(nearest("kafak", names), Some("kafka"));
        assert_eq!(nearest("postgres", names), None);
    }

    #[test]
    fn no_report_shows_the_password_of_a_url() {
        for (text, expected) in [
            (
                "no response from https://me:s3cret@host:6443/x: cut",
                "no response from https://me:***@host:6443/x: cut",
            ),
            (
                "https://a:p@ss@host and socks5://:s3cret@h",
                "https://a:***@host and socks5://:***@h",
            ),
            (
                "https://me@host/a:b@c \"http://host\",\"x:y@z\"",
                "https://me@host/a:b@c \"http://host\",\"x:y@z\"",
            ),
        ] {
            assert_eq!(without_passwords(text), expected);
        }
        let url = || "http://me:s3cret@host";
        let place = Place::new(url()).note(url()).excerpt(url());
        let error = Error::user(url())
            .context(url())
            .at(place)
            .why(url())
            .now(url())
            .now_after(url())
            .hint(url());
        assert!(
            !error.to_string().contains("s3cret") && !error.what().contains("s3cret"),
            "{error}"
        );
    }

    #[test]
    fn a_public_url_holds_no_more_than_scheme_host_and_path() {
        for (url, public) in [
            ("https://me:p\"@ss@host:1/a?token=x#y", "https://host:1/a"),
            ("me:pass@host", "host"),
            ("host:6443", "host:6443"),
        ] {
            assert_eq!(public_url(url), public);
        }
    }

    #[test]
    fn a_report_holds_what_where_why_now_and_hint_in_that_order() {
        let error = Error::user("values do not fit")
            .at(Place::new("a.yaml")
                .at(3, 7)
                .note("peers.count: not a number")
                .excerpt("  count: two  "))
            .why("a number of peers is wanted")
            .now("nothing was sent to the cluster")
            .now("a later, farther word on the state is dropped")
            .hint("write 2");
        assert_eq!(
            error.to_string(),
            "values do not fit\n  --> a.yaml:3:7   peers.count: not a number\n   |    count: \
             two\nwhy: a number of peers is wanted\nnow: nothing was sent to the cluster\nhint: \
             write 2"
        );
    }
}
