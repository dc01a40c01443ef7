//! Reads expressions. Errors say what is wrong, without the expression.

use super::{COMPARISONS, Operand, Path, Step};
use serde_json::Value;

/// The position of the bracket that closes the first bracket of `text`. Skips quoted text and
/// nested brackets of the same kind.
pub(super) fn end_of(text: &str, close: char) -> Option<usize> {
    let begin = text.chars().next()?;
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, _) if character == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            (None, _) if character == begin => depth += 1,
            (None, _) => {}
        }
    }
    None
}

/// Splits a quoted string into its quote and its content.
fn between_quotes(text: &str) -> Option<(char, &str)> {
    let quote = text.chars().next()?;
    Some((quote, text.strip_prefix(quote)?.strip_suffix(quote)?))
}

/// Parses a quoted string with Go's usual escapes.
pub(super) fn unquoted(text: &str) -> Result<String, String> {
    let (quote, inner) =
        between_quotes(text).ok_or_else(|| format!("unterminated string {text}"))?;
    let (mut plain, mut characters) = (String::new(), inner.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => return Err(format!("string {text} ends in a backslash")),
            }),
            other if other == quote => return Err(format!("unexpected quote inside {text}")),
            other => plain.push(other),
        }
    }
    Ok(plain)
}

pub(super) fn path_of(text: &str, depth: usize) -> Result<Path, String> {
    let (from_root, steps) = match text.strip_prefix('$') {
        Some(steps) => (true, steps),
        None => (false, text.strip_prefix('@').unwrap_or(text)),
    };
    if !from_root && steps.len() == text.len() && !text.starts_with(['.', '[']) {
        return Err(format!(
            "\"{text}\" is not an expression; expected a path such as {{.name}}"
        ));
    }
    // `{.}` and `{@}` are the value itself.
    let steps = if steps == "." {
        Vec::new()
    } else {
        steps_of(steps, depth)?
    };
    Ok(Path { from_root, steps })
}

fn steps_of(text: &str, depth: usize) -> Result<Vec<Step>, String> {
    let (mut steps, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            let end = end_of(rest, ']').ok_or_else(|| format!("unclosed bracket in \"{text}\""))?;
            steps.extend(bracket(rest[1..end].trim(), depth)?);
            rest = &rest[end + 1..];
        } else if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Recursive);
            // The key after it has no dot of its own.
            let (key, left) = key_of(after);
            steps.extend(key);
            rest = left;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (key, left) = key_of(after);
            match key {
                Some(key) => steps.push(key),
                None if left.starts_with('[') => {}
                None => return Err(format!("missing key after a dot in \"{text}\"")),
            }
            rest = left;
        } else {
            return Err(format!("unexpected \"{rest}\" in \"{text}\""));
        }
    }
    Ok(steps)
}

/// Splits a text into its leading key, if it has one, and the rest. A dot after a backslash is part
/// of the key.
fn key_of(text: &str) -> (Option<Step>, &str) {
    let (mut key, mut end, mut characters) = (String::new(), text.len(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => key.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' | ']' | ' ' | '\t' | '\n' => {
                end = at;
                break;
            }
            other => key.push(other),
        }
    }
    let step = match key.as_str() {
        "" => None,
        "*" => Some(Step::All),
        _ => Some(Step::Key(key)),
    };
    (step, &text[end..])
}

/// Parses the content of brackets.
fn bracket(text: &str, depth: usize) -> Result<Vec<Step>, String> {
    let depth = depth
        .checked_sub(1)
        .ok_or("brackets are nested too deeply")?;
    if text == "*" {
        return Ok(vec![Step::All]);
    }
    if let Some(filter) = text
        .strip_prefix("?(")
        .and_then(|filter| filter.strip_suffix(')'))
    {
        return Ok(vec![filter_of(filter, depth)?]);
    }
    let parts = split(text, ',');
    if parts.len() > 1 {
        let paths: Result<Vec<Vec<Step>>, String> = parts
            .into_iter()
            .map(|part| bracket(part.trim(), depth))
            .collect();
        return Ok(vec![Step::Union(paths?)]);
    }
    if text.starts_with(['\'', '"']) {
        // kubectl reads a quoted key as a path: its dots separate, unless a backslash stands before
        // them.
        let (_, inner) = between_quotes(text).ok_or_else(|| format!("unterminated key {text}"))?;
        return steps_of(&format!(".{inner}"), depth);
    }
    let number = |text: &str| {
        text.trim()
            .parse::<i64>()
            .map_err(|_| format!("\"[{text}]\" is not an index, key or filter"))
    };
    let bounds: Vec<&str> = text.split(':').collect();
    let bound = |at: usize| {
        bounds
            .get(at)
            .filter(|bound| !bound.trim().is_empty())
            .map(|bound| number(bound))
            .transpose()
    };
    match bounds.len() {
        1 => Ok(vec![Step::Index(number(text)?)]),
        2 | 3 => {
            let step = usize::try_from(bound(2)?.unwrap_or(1))
                .ok()
                .filter(|step| *step > 0);
            let step = step.ok_or("the step of a slice must be greater than 0")?;
            Ok(vec![Step::Slice {
                start: bound(0)?.unwrap_or(0),
                end: bound(1)?,
                step,
            }])
        }
        _ => Err(format!(
            "\"[{text}]\" is not a slice; expected [start:end:step]"
        )),
    }
}

fn filter_of(text: &str, depth: usize) -> Result<Step, String> {
    let found = outside_quotes(text).find_map(|at| {
        let comparison = COMPARISONS
            .iter()
            .find(|(sign, _)| text[at..].starts_with(sign))?;
        Some((at, comparison))
    });
    Ok(match found {
        None => Step::Filter {
            left: operand(text, depth)?,
            test: None,
        },
        Some((at, (sign, comparison))) => {
            let right = operand(&text[at + sign.len()..], depth)?;
            Step::Filter {
                left: operand(&text[..at], depth)?,
                test: Some((*comparison, right)),
            }
        }
    })
}

fn operand(text: &str, depth: usize) -> Result<Operand, String> {
    let text = text.trim();
    if text.starts_with(['@', '$', '.']) {
        return Ok(Operand::Path(path_of(text, depth)?));
    }
    if text.starts_with(['\'', '"']) {
        return Ok(Operand::Literal(Value::String(unquoted(text)?)));
    }
    let literal = serde_json::from_str(text)
        .map_err(|_| format!("\"{text}\" is neither a path such as @.name nor a value"))?;
    Ok(Operand::Literal(literal))
}

/// The positions of the characters of a text outside quotes and brackets.
fn outside_quotes(text: &str) -> impl Iterator<Item = usize> {
    let (mut quote, mut depth, mut escaped) = (None, 0usize, false);
    text.char_indices().filter_map(move |(at, character)| {
        match (quote, character) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 => return Some(at),
            (None, _) => {}
        }
        None
    })
}

fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for at in outside_quotes(text).filter(|at| text[*at..].starts_with(separator)) {
        parts.push(&text[begin..at]);
        begin = at + separator.len_utf8();
    }
    parts.push(&text[begin..]);
    parts
}
