//! kubectl's JSONPath templates: text with expressions in braces, such as
//! `{range .items[*]}{.name}{"\n"}{end}`.
//!
//! The dialect is that of `k8s.io/client-go/util/jsonpath`, as kubectl prints with it: a missing
//! key is no error and prints nothing, several results are separated by blanks, maps and lists are
//! printed as JSON, and no newline is added. It is older than RFC 9535, which the crates for
//! JSONPath implement: those have neither `range`, nor text around expressions, nor keys such as
//! `app\.kubernetes\.io/name`.
//!
//! <https://kubernetes.io/docs/reference/kubectl/jsonpath/>

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use serde_json::Value;
use std::cmp::Ordering;

/// Maximum depth of nested filters.
const DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Path),
    /// `{range PATH}...{end}`
    Range(Path, Vec<Node>),
}

#[derive(Clone, Debug, PartialEq)]
struct Path {
    /// `$` starts at the document; `@` or no prefix starts at the current item of a range.
    from_root: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    /// `*`
    All,
    /// `..`: the value and all below it.
    Recursive,
    Index(i64),
    Slice {
        start: i64,
        end: Option<i64>,
        step: usize,
    },
    /// `['a','b']` or `[0,2]`
    Union(Vec<Vec<Step>>),
    Filter {
        left: Operand,
        test: Option<(Comparison, Operand)>,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl JsonPath {
    /// Reads a template. The error says what is wrong with it, without the template.
    pub fn parse(template: &str) -> Result<JsonPath, String> {
        let mut open: Vec<(Path, Vec<Node>)> = Vec::new();
        let mut nodes = Vec::new();
        let mut rest = template;
        while let Some(brace) = rest.find('{') {
            if brace > 0 {
                nodes.push(Node::Text(rest[..brace].to_owned()));
            }
            let end = end_of(&rest[brace..], '}').ok_or("unclosed \"{\"")? + brace;
            let expression = rest[brace + 1..end].trim();
            rest = &rest[end + 1..];
            if let Some(path) = expression
                .strip_prefix("range")
                .filter(|path| path.starts_with(char::is_whitespace))
            {
                open.push((path_of(path.trim(), DEPTH)?, std::mem::take(&mut nodes)));
            } else if expression == "end" {
                let (path, before) = open.pop().ok_or("{end} without {range ...}")?;
                let inner = std::mem::replace(&mut nodes, before);
                nodes.push(Node::Range(path, inner));
            } else if expression.starts_with(['"', '\'']) {
                nodes.push(Node::Text(unquoted(expression)?));
            } else {
                nodes.push(Node::Path(path_of(expression, DEPTH)?));
            }
        }
        if !rest.is_empty() {
            nodes.push(Node::Text(rest.to_owned()));
        }
        match open.is_empty() {
            false => Err("{range ...} without {end}".to_owned()),
            true if nodes.iter().all(
                |node| matches!(node, Node::Text(text) if text.starts_with(['.', '$', '['])),
            ) =>
            {
                Err(format!(
                    "put the expression in braces: {{{}}}",
                    if template.is_empty() {
                        ".name"
                    } else {
                        template
                    }
                ))
            }
            true => Ok(JsonPath { nodes }),
        }
    }

    /// Fills in the template. A document that is a list is under `.items`, as in kubectl.
    ///
    /// # Errors
    ///
    /// An index beyond the end of a list.
    pub fn print(&self, document: &Value) -> Result<String> {
        let root = match document {
            Value::Array(items) => serde_json::json!({ "items": items }),
            other => other.clone(),
        };
        let mut text = String::new();
        fill(&self.nodes, &root, &root, &mut text)?;
        Ok(text)
    }
}

fn fill(nodes: &[Node], root: &Value, current: &Value, text: &mut String) -> Result<()> {
    for node in nodes {
        match node {
            Node::Text(literal) => text.push_str(literal),
            Node::Path(path) => {
                let found: Vec<String> = path.find(root, current)?.into_iter().map(shown).collect();
                text.push_str(&found.join(" "));
            }
            Node::Range(path, inner) => {
                for item in path.find(root, current)? {
                    fill(inner, root, item, text)?;
                }
            }
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Path {
    fn find<'v>(&self, root: &'v Value, current: &'v Value) -> Result<Vec<&'v Value>> {
        follow(
            &self.steps,
            vec![if self.from_root { root } else { current }],
            root,
        )
    }
}

fn follow<'v>(steps: &[Step], from: Vec<&'v Value>, root: &'v Value) -> Result<Vec<&'v Value>> {
    let mut found = from;
    for step in steps {
        let mut next = Vec::new();
        match step {
            // As kubectl does: path by path, not value by value.
            Step::Union(paths) => {
                for path in paths {
                    next.extend(follow(path, found.clone(), root)?);
                }
            }
            step => {
                for value in found {
                    step.take(value, root, &mut next)?;
                }
            }
        }
        found = next;
    }
    Ok(found)
}

impl Step {
    fn take<'v>(&self, value: &'v Value, root: &'v Value, into: &mut Vec<&'v Value>) -> Result<()> {
        match (self, value) {
            (Step::Key(key), Value::Object(map)) => into.extend(map.get(key)),
            (Step::All, _) => into.extend(children(value)),
            (Step::Recursive, _) => {
                let mut waiting = vec![value];
                while let Some(value) = waiting.pop() {
                    into.push(value);
                    let below: Vec<&Value> = children(value).collect();
                    waiting.extend(below.into_iter().rev());
                }
            }
            (Step::Index(index), Value::Array(items)) => {
                let at = if *index < 0 {
                    index + items.len() as i64
                } else {
                    *index
                };
                let item = usize::try_from(at).ok().and_then(|at| items.get(at));
                into.push(item.ok_or_else(|| {
                    Error::user(format!("-o jsonpath: index [{index}] is out of range"))
                        .why(format!("the list has {} items", items.len()))
                })?);
            }
            (Step::Slice { start, end, step }, Value::Array(items)) => {
                let length = items.len() as i64;
                let place =
                    |at: i64| (if at < 0 { at + length } else { at }).clamp(0, length) as usize;
                let (start, end) = (place(*start), place(end.unwrap_or(length)));
                into.extend(
                    items
                        .get(start..end)
                        .unwrap_or_default()
                        .iter()
                        .step_by(*step),
                );
            }
            (Step::Filter { left, test }, Value::Array(items)) => {
                for item in items {
                    if is_chosen(item, left, test.as_ref(), root)? {
                        into.push(item);
                    }
                }
            }
            // Lists have no keys, and strings have no items.
            (
                Step::Key(_)
                | Step::Index(_)
                | Step::Slice { .. }
                | Step::Filter { .. }
                | Step::Union(_),
                _,
            ) => {}
        }
        Ok(())
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(map) => Box::new(map.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

fn is_chosen(
    item: &Value,
    left: &Operand,
    test: Option<&(Comparison, Operand)>,
    root: &Value,
) -> Result<bool> {
    let first = |operand: &Operand| -> Result<Option<Value>> {
        Ok(match operand {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Path(path) => path.find(root, item)?.first().map(|value| (*value).clone()),
        })
    };
    let Some(left) = first(left)? else {
        return Ok(false);
    };
    let Some((comparison, right)) = test else {
        return Ok(true);
    };
    let Some(right) = first(right)? else {
        return Ok(false);
    };
    let order = match (&left, &right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) => (left == right).then_some(Ordering::Equal),
    };
    Ok(match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// The position of the bracket that closes the first bracket of `text`. Skips quoted text and
/// nested brackets of the same kind.
fn end_of(text: &str, close: char) -> Option<usize> {
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
fn unquoted(text: &str) -> Result<String, String> {
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

fn path_of(text: &str, depth: usize) -> Result<Path, String> {
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
