//! Walks the parser's events of one document. Finds the positions of nodes, how scalars are quoted,
//! and errors with their exact places.

use super::{
    MAX_DEPTH, Positions, in_an_anchor,
    meaning::MERGE_KEY,
    scalar::{self, Scalar},
};
use crate::encoding::pointer_step;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};
use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

/// The results of a walk.
#[derive(Default)]
pub struct Walk {
    pub positions: Positions,
    /// Parts of the text, in order, each with a replacement that every reader understands as
    /// kubectl understands the part.
    pub rewrites: Vec<(Range<usize>, String)>,
}

/// An error in a document, with its position.
#[derive(Debug)]
pub struct Fault {
    pub what: String,
    pub hint: &'static str,
    pub line: usize,
    pub column: usize,
    /// True if the text is not YAML, false if it is YAML that this program refuses.
    pub syntax: bool,
}

/// Walks the only document of `text`, which starts on the 1-based line `first` of a stream.
///
/// Collects positions only if `with_positions` is set.
pub fn walk(text: &str, first: usize, with_positions: bool) -> Result<Walk, Fault> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = true;
    let mut walker = Walker {
        text,
        above: first - 1,
        with_positions,
        walk: Walk::default(),
        path: String::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            Fault {
                what: error.info(),
                hint: "",
                line: at.line().max(1) + first - 1,
                column: at.col() + 1,
                syntax: true,
            }
        })?;
        walker.take(event, span)?;
    }
    Ok(walker.walk)
}

/// A list or a map that the walk is in.
struct Open {
    /// Length of the path before this list or map.
    path: usize,
    /// Keys seen so far with their lines, and the length of the path before the current key. `None`
    /// for a list.
    keys: Option<HashMap<String, usize>>,
    /// Number of items seen. For a map: whether the next node is a value.
    items: usize,
    at_value: bool,
}

struct Walker<'t> {
    text: &'t str,
    /// Number of lines of the stream above this text.
    above: usize,
    with_positions: bool,
    walk: Walk,
    /// JSON pointer of the current node.
    path: String,
    open: Vec<Open>,
    /// Texts of anchored scalars, for aliases that are used as keys.
    anchors: HashMap<usize, String>,
}

impl Walker<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), &span)?;
                if anchor != 0 {
                    self.anchors.insert(anchor, text.to_string());
                }
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if self.at_key() {
                    self.key(&text, plain, &span)
                } else {
                    self.scalar(&text, plain, &span)
                }
            }
            Event::Anchor(_, name) if !name.chars().all(in_an_anchor) => Err(self.fault(
                &span,
                "the name of an anchor (`&name`) consists of letters, digits, `-` and `_`",
                "put the value in quotes if it is text that starts with `&`",
            )),
            Event::Alias(anchor) => {
                if self.at_key() {
                    let Some(text) = self.anchors.get(&anchor).cloned() else {
                        return Err(self.key_of_nodes(&span));
                    };
                    return self.key(&text, false, &span);
                }
                self.begin(&span);
                self.end();
                Ok(())
            }
            Event::SequenceStart(_, _, tag) => self.enter(tag.as_deref(), None, &span),
            Event::MappingStart(_, _, tag) => {
                self.enter(tag.as_deref(), Some(HashMap::new()), &span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = self
                    .open
                    .pop()
                    .expect("a parser ends only what it has begun");
                self.path.truncate(closed.path);
                self.end();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn at_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| open.keys.is_some() && !open.at_value)
    }

    /// Records the position of a node that is not a key.
    fn begin(&mut self, span: &Span) {
        let in_map = self.open.last().is_some_and(|open| open.keys.is_some());
        if let Some(Open {
            path,
            items,
            keys: None,
            ..
        }) = self.open.last()
        {
            self.path.truncate(*path);
            if self.with_positions {
                self.path.push('/');
                self.path.push_str(&items.to_string());
            }
        }
        // The position of a value in a map is that of its key.
        if self.with_positions && !in_map {
            self.walk
                .positions
                .insert(self.path.clone(), self.place(span));
        }
    }

    /// Advances after a node that is not a key.
    fn end(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.items += 1;
            open.at_value = false;
            self.path.truncate(open.path);
        }
    }

    fn enter(
        &mut self,
        tag: Option<&Tag>,
        keys: Option<HashMap<String, usize>>,
        span: &Span,
    ) -> Result<(), Fault> {
        self.check_tag(tag, span)?;
        if self.at_key() {
            return Err(self.key_of_nodes(span));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.fault(span, format!("nested deeper than {MAX_DEPTH} levels"), ""));
        }
        self.begin(span);
        self.open.push(Open {
            path: self.path.len(),
            keys,
            items: 0,
            at_value: false,
        });
        Ok(())
    }

    fn scalar(&mut self, text: &str, plain: bool, span: &Span) -> Result<(), Fault> {
        self.begin(span);
        // A missing value arrives as `~` with an empty span.
        if plain && !span.is_empty() {
            let meaning = scalar::resolve(text);
            match meaning {
                Scalar::TooLarge => {
                    return Err(self.fault(
                        span,
                        "a number with more than 64 bits",
                        "put it in quotes to keep every digit",
                    ));
                }
                Scalar::NotFinite => {
                    return Err(self.fault(
                        span,
                        "infinity and not-a-number are not supported",
                        "put it in quotes if it is text",
                    ));
                }
                _ => {}
            }
            if let Some(canonical) = meaning.canonical().filter(|canonical| canonical != text) {
                self.rewrite(text, canonical, span)?;
            }
        }
        self.end();
        Ok(())
    }

    fn key(&mut self, text: &str, plain: bool, span: &Span) -> Result<(), Fault> {
        if plain && text == "<<" {
            self.rewrite(text, format!("\"{MERGE_KEY}\""), span)?;
        } else if plain && !scalar::keeps_its_text_as_key(text) {
            let what = match scalar::resolve(text) {
                Scalar::Null => "missing or null key".into(),
                meaning => match meaning.canonical() {
                    Some(other) => format!("kubectl and Helm read the key `{text}` as `{other}`"),
                    None => format!("the number `{text}` would lose digits as a key"),
                },
            };
            return Err(self.fault(span, what, "put the key in quotes"));
        }
        let (line, column) = self.place(span);
        let open = self.open.last_mut().expect("keys stand in maps");
        open.at_value = true;
        match open
            .keys
            .as_mut()
            .expect("keys stand in maps")
            .entry(text.to_owned())
        {
            Entry::Occupied(first) => {
                let what = format!("duplicate key \"{text}\", first on line {}", first.get());
                return Err(self.fault(span, what, "keep one of them"));
            }
            Entry::Vacant(first) => first.insert(line),
        };
        if self.with_positions {
            self.path.push('/');
            self.path.push_str(&pointer_step(text));
            if !(plain && text == "<<") {
                self.walk
                    .positions
                    .insert(self.path.clone(), (line, column));
            }
        }
        Ok(())
    }

    fn rewrite(&mut self, text: &str, words: String, span: &Span) -> Result<(), Fault> {
        match span
            .byte_range()
            .filter(|range| self.text.get(range.clone()) == Some(text))
        {
            Some(range) => {
                self.walk.rewrites.push((range, words));
                Ok(())
            }
            None => Err(self.fault(span, format!("`{text}` is ambiguous"), "put it in quotes")),
        }
    }

    /// Accepts the tags of YAML's core schema (`!!str`) and refuses all others.
    ///
    /// Other tags choose types of the reader's programming language.
    fn check_tag(&self, tag: Option<&Tag>, span: &Span) -> Result<(), Fault> {
        match tag {
            Some(tag) if tag.core_suffix().is_none() => {
                let what = format!("the tag `{}` is not supported", tag.original());
                Err(self.fault(span, what, "remove it, or put the value in quotes"))
            }
            _ => Ok(()),
        }
    }

    fn key_of_nodes(&self, span: &Span) -> Fault {
        self.fault(
            span,
            "a key must be a string, not a list or a map",
            "put text that starts with `{` or `[` in quotes",
        )
    }

    fn fault(&self, span: &Span, what: impl Into<String>, hint: &'static str) -> Fault {
        let (line, column) = self.place(span);
        Fault {
            what: what.into(),
            hint,
            line,
            column,
            syntax: false,
        }
    }

    fn place(&self, span: &Span) -> (usize, usize) {
        (span.start.line() + self.above, span.start.col() + 1)
    }
}
