//! Maps errors to the template: file, line, column and the line of the template, never a rendered
//! line.

use super::data::{self, Misses};
use super::functions;
use crate::chart::{Chart, helm};
use crate::error::{Error, Place, nearest};
use minijinja::{ErrorKind, OutputSpan, OutputSpanKind};
use std::collections::BTreeMap;

/// Names of the variables of all templates, for "did you mean".
pub(super) const VARIABLES: [&str; 6] = [
    "values",
    "release",
    "chart",
    "capabilities",
    "fabric",
    "files",
];

/// The texts of a chart's templates, to which errors refer.
pub(super) struct Sources<'a> {
    chart: &'a str,
    templates: BTreeMap<&'a str, TemplateText<'a>>,
}

struct TemplateText<'a> {
    text: &'a str,
    /// The offset of each line.
    lines: Vec<usize>,
}

/// A position in a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spot {
    pub template: String,
    pub line: usize,
    pub column: usize,
}

impl<'a> Sources<'a> {
    pub(super) fn of(chart: &'a Chart) -> Sources<'a> {
        let names = chart
            .files
            .keys()
            .filter(|name| name.starts_with("templates/"));
        let templates = names
            .filter_map(|name| Some((name.as_str(), TemplateText::new(chart.text(name)?))))
            .collect();
        Sources {
            chart: &chart.metadata.name,
            templates,
        }
    }

    /// Returns the name of a template with its chart: `peer-org/templates/peers.yaml`.
    pub(super) fn full_name(&self, template: &str) -> String {
        format!("{}/{template}", self.chart)
    }

    /// Returns the position in the template that produced the text at `offset` of the output.
    pub(super) fn spot(&self, template: &str, spans: &[OutputSpan], offset: usize) -> Spot {
        let after = spans.partition_point(|span| span.output_range().end <= offset);
        let Some(span) = spans.get(after).or(spans.last()) else {
            return Spot {
                template: template.to_owned(),
                line: 1,
                column: 1,
            };
        };
        let mut source_offset = span.source_range().start;
        if span.kind() == OutputSpanKind::Raw {
            source_offset += offset.saturating_sub(span.output_range().start);
        }
        let (line, column) = match self.templates.get(span.name()) {
            Some(source) => source.position(source_offset),
            None => (span.line(), 1),
        };
        Spot {
            template: span.name().to_owned(),
            line,
            column,
        }
    }

    /// Returns the place of a position, with the template's line.
    pub(super) fn place(&self, spot: &Spot) -> Place {
        let place = Place::new(self.full_name(&spot.template)).at(spot.line, spot.column);
        match self
            .templates
            .get(spot.template.as_str())
            .and_then(|source| source.line(spot.line))
        {
            Some(line) => place.excerpt(line),
            None => place,
        }
    }

    /// Reports an error of the template engine in this program's words.
    ///
    /// Does not use the engine's own report, which lists the values of nearby variables.
    pub(super) fn report(
        &self,
        template: &str,
        error: &minijinja::Error,
        misses: &Misses,
    ) -> Error {
        let chain: Vec<&minijinja::Error> = std::iter::successors(Some(error), |error| {
            std::error::Error::source(*error)
                .and_then(|cause| cause.downcast_ref::<minijinja::Error>())
        })
        .collect();
        let innermost = chain
            .iter()
            .rev()
            .find(|error| error.kind() != ErrorKind::BadInclude)
            .unwrap_or(&chain[chain.len() - 1]);
        let mut report = self.words(innermost, misses);
        // The innermost place comes first, then each template that includes it.
        let mut named = Vec::new();
        for error in chain.iter().rev() {
            let Some(place) = self.place_of(error) else {
                continue;
            };
            if !report.places().contains(&place) {
                named.push(error.name().unwrap_or_default());
                let note = if named.len() > 1 { "included here" } else { "" };
                report = report.at(place.note(note));
            }
        }
        if !named.contains(&template) {
            report = report
                .at(Place::new(self.full_name(template)).note("while rendering this template"));
        }
        let is_go = |name: &&str| {
            self.templates
                .get(name)
                .is_some_and(|source| helm::first_line(source.text).is_some())
        };
        match named.iter().find(|name| is_go(name)) {
            Some(name) => report.hint(format!(
                "{name} is a Go template of a Helm chart; {}",
                helm::WAY_OUT
            )),
            None => report,
        }
    }

    fn place_of(&self, error: &minijinja::Error) -> Option<Place> {
        let name = error.name()?;
        let Some(source) = self.templates.get(name) else {
            return Some(Place::new(format!("{}: argument of `tpl`", self.chart)));
        };
        // A syntax error at the end of a file has a line, but no range.
        let (line, column) = match error
            .range()
            .filter(|range| range.start < source.text.len())
        {
            Some(range) => source.position(range.start),
            None => (error.line()?, 1),
        };
        Some(self.place(&Spot {
            template: name.to_owned(),
            line,
            column,
        }))
    }

    fn words(&self, error: &minijinja::Error, misses: &Misses) -> Error {
        // An error of this program that passed through the engine (a lookup's, such as "forbidden")
        // keeps its message and kind.
        if let Some(own) =
            std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Error>())
        {
            return own.clone();
        }
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            // Any use of an undefined value: printing it, calling it, putting it into a map.
            _ if detail.contains("` is undefined") => undefined(detail, misses),
            ErrorKind::UndefinedError => Error::user(match detail {
                "" => "a template uses an undefined value".to_owned(),
                _ => format!("a template uses an undefined value: {detail}"),
            }),
            ErrorKind::UnknownFilter => unknown("filter", detail, &functions::FILTERS),
            ErrorKind::UnknownFunction => unknown("function", detail, &functions::FUNCTIONS),
            ErrorKind::UnknownMethod => {
                Error::user(format!("a template calls an unknown method: {detail}"))
            }
            ErrorKind::TemplateNotFound => Error::user(format!(
                "template {} not found",
                detail
                    .split(['\'', '"'])
                    .nth(1)
                    .map_or(detail.to_owned(), |name| format!("\"{name}\""))
            ))
            .hint(
                "a name is relative to the folder of the template, or starts with \"templates/\"",
            ),
            ErrorKind::SyntaxError => Error::user(format!("syntax error in a template: {detail}")),
            ErrorKind::OutOfFuel => Error::user("a template does not terminate").why(format!(
                "it was stopped after {} million steps",
                super::FUEL / 1_000_000
            )),
            ErrorKind::InvalidOperation if detail.starts_with("unable to calculate") => {
                // The engine's message contains both values.
                Error::user("the result of a calculation in a template is not a number")
            }
            ErrorKind::InvalidOperation if detail == "recursion limit exceeded" => {
                Error::user("a template includes itself recursively")
                    .why("the recursion of an include or a macro is too deep")
            }
            ErrorKind::InvalidOperation if !detail.is_empty() => Error::user(detail),
            kind if detail.is_empty() => Error::user(format!("cannot render a template: {kind}")),
            kind => Error::user(format!("cannot render a template: {kind}: {detail}")),
        }
    }
}

/// Parses the engine's "filter toYaml is unknown" and "now is unknown".
fn unknown(what: &str, detail: &str, known: &[&str]) -> Error {
    let name = detail
        .trim_end_matches(" is unknown")
        .rsplit(' ')
        .next()
        .unwrap_or(detail);
    let error = Error::user(format!("unknown {what} \"{name}\""));
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

/// Parses the engine's "`values.peers.imgae` is undefined (from line 3)".
fn undefined(detail: &str, misses: &Misses) -> Error {
    let path = detail.split('`').nth(1).unwrap_or(detail);
    let mut report = Error::user(format!("\"{path}\" is not defined"));
    if let Some((_, from)) = detail.split_once("from ") {
        report = report.why(format!(
            "the value was read on {}",
            from.trim_end_matches(')')
        ));
    }
    let hint = if path.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
        nearest(path, VARIABLES).map(|near| format!("did you mean \"{near}\"?"))
    } else {
        let key = match path
            .strip_suffix("\"]")
            .and_then(|path| path.rsplit_once("[\""))
        {
            Some((_, key)) => key,
            None => path.rsplit('.').next().unwrap_or(path),
        };
        data::meant(misses, key)
    };
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

impl<'a> TemplateText<'a> {
    fn new(text: &'a str) -> TemplateText<'a> {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        TemplateText {
            text,
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    /// Returns the 1-based line and column of an offset. Columns count characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        let column = self
            .text
            .get(start..offset)
            .map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    fn line(&self, line: usize) -> Option<&'a str> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        self.text[start..].lines().next()
    }
}
