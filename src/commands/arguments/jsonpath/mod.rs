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

mod parse;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use parse::{end_of, path_of, unquoted};
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
