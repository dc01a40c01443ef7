//! Wraps lines to the terminal's width, between words and with indentation. The terminal itself
//! would wrap them anywhere.
//!
//! Only output to a terminal is wrapped. Commands in backticks stay on one line so that they can be
//! copied.

use std::io;
use terminal_size::{Width, terminal_size_of};

/// Minimum width for wrapping.
const NARROWEST: usize = 24;

/// Returns the terminal width of stdout, if it is a terminal.
pub fn of_stdout() -> Option<usize> {
    terminal_size_of(io::stdout())
        .map(|(Width(columns), _)| usize::from(columns))
        .filter(|columns| *columns > NARROWEST)
}

/// Wraps a text for stderr, if it is a terminal.
pub fn fit_stderr(text: &str) -> String {
    match terminal_size_of(io::stderr()) {
        Some((Width(columns), _)) => fit(text, usize::from(columns)),
        None => text.to_owned(),
    }
}

/// Wraps a text to at most `width` characters. Continuation lines are aligned with the text: after
/// the label (`why: `) or the indentation. Quoting lines (`   |  `) are not wrapped.
pub fn fit(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| {
        let indent = indent_of(line);
        match line.trim_start().starts_with('|') || width < indent + NARROWEST {
            true => line.to_owned(),
            false => {
                let (before, rest) = line.split_at(
                    line.char_indices()
                        .nth(indent)
                        .map_or(line.len(), |(at, _)| at),
                );
                format!(
                    "{before}{}",
                    wrapped(rest, width - indent).join(&format!("\n{}", " ".repeat(indent)))
                )
            }
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the column at which the text of a line begins, in characters.
fn indent_of(line: &str) -> usize {
    let labels = ["error: ", "warning: ", "why: ", "now: ", "hint: ", "  --> "];
    match labels.iter().find(|label| line.starts_with(**label)) {
        Some(label) => label.len(),
        None => line.len() - line.trim_start_matches(' ').len(),
    }
}

/// Wraps a text to lines of at most `width` characters. A longer word has its own line.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in words(text) {
        let length = word.trim_end().chars().count();
        if used > 0 && used + length > width {
            let line = lines.last_mut().expect("there is one");
            line.truncate(line.trim_end().len());
            lines.push(String::new());
            used = 0;
        }
        lines.last_mut().expect("there is one").push_str(word);
        used += word.chars().count();
    }
    if let Some(line) = lines.last_mut() {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// Returns the words of a text, each with the blanks after it. Text in backticks is one word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (mut quoted, mut ended) = (false, false);
        let end = rest.char_indices().find_map(|(at, character)| {
            if character == '`' {
                quoted = !quoted;
            }
            let blank = character == ' ' && !quoted;
            let begins_next = ended && !blank;
            ended |= blank;
            begins_next.then_some(at)
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_broken_between_words_and_below_its_text() {
        let report = "error: cannot upgrade release \"org1\": a member is down\n  --> StatefulSet \
                      org1/peer0   0 of 1 pod ready, it crashes\n   |  a quoted line that is much \
                      longer than the terminal is wide\nhint: `kubectl fabric rollback org1 -n \
                      a-namespace` goes back";
        assert_eq!(
            fit(report, 40),
            "error: cannot upgrade release \"org1\": a\n       member is down\n  --> StatefulSet \
             org1/peer0   0 of 1\n      pod ready, it crashes\n   |  a quoted line that is much \
             longer than the terminal is wide\nhint: `kubectl fabric rollback org1 -n \
             a-namespace`\n      goes back"
        );
        assert_eq!(fit(report, 400), report);
        assert_eq!(
            fit("wide enough for nothing at all", 10),
            "wide enough for nothing at all"
        );
    }

    #[test]
    fn nothing_is_lost_whatever_the_width() {
        let text = "é `a b` c  d `not closed e f";
        for width in 1..40 {
            assert_eq!(
                wrapped(text, width).concat().replace(' ', ""),
                text.replace(' ', ""),
                "{width}"
            );
        }
    }
}
