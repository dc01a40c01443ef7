//! Converts between paths in the syntax of `--set` (`peers.count`, `a[0].b`), which users write,
//! and JSON pointers, which the program uses.

use crate::encoding::pointer_step;
use crate::error::{Error, Place, Result};
use serde_json::Value;

/// A step from a node to one of its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// Parses a path in the syntax of `--set`: keys joined by `.`, items as `[0]`, and a backslash
/// before a `.` or `[` that is part of a key.
///
/// # Errors
///
/// Fails if empty key, an index is not a number, or a bracket is not closed.
pub fn parse(path: &str) -> Result<Vec<Step>> {
    let wrong = |at: usize, what: &str| {
        Error::user(format!("\"{path}\" is not a path to a value"))
            .at(Place::new(path).note(format!("character {}: {what}", at + 1)))
            .hint("expected a path such as `peers.count` or `list[0].name`")
    };
    let chars: Vec<char> = path.chars().collect();
    let (mut steps, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        if chars[at] == '[' {
            let end = chars[at..]
                .iter()
                .position(|c| *c == ']')
                .ok_or_else(|| wrong(at, "unclosed bracket"))?
                + at;
            let index: String = chars[at + 1..end].iter().collect();
            steps.push(Step::Index(
                index
                    .parse()
                    .map_err(|_| wrong(at + 1, "an index must be a number"))?,
            ));
            at = end + 1;
            if chars.get(at).is_some_and(|c| !matches!(c, '.' | '[')) {
                return Err(wrong(at, "expected `.` or `[` after an index"));
            }
        } else {
            if !steps.is_empty() {
                at += 1; // The `.` that ended the previous step.
            }
            let mut key = String::new();
            let start = at;
            while at < chars.len() && !matches!(chars[at], '.' | '[') {
                at += usize::from(chars[at] == '\\' && at + 1 < chars.len());
                key.push(chars[at]);
                at += 1;
            }
            if key.is_empty() {
                return Err(wrong(start, "empty key"));
            }
            steps.push(Step::Key(key));
            if at + 1 == chars.len() && chars[at] == '.' {
                return Err(wrong(at, "expected a key after the `.`"));
            }
        }
    }
    Ok(steps)
}

/// Returns the JSON pointer of a child of `pointer`.
pub fn below(pointer: &str, step: &Step) -> String {
    match step {
        Step::Key(key) => key_below(pointer, key),
        Step::Index(index) => format!("{pointer}/{index}"),
    }
}

/// Returns the JSON pointer of a key below `pointer`.
pub fn key_below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", pointer_step(key))
}

/// Writes a JSON pointer in the syntax of `--set`.
///
/// `tree` distinguishes lists from maps with numeric keys. A step that is not in `tree` counts as
/// an index if it is a number.
pub fn display(pointer: &str, tree: &Value) -> String {
    let mut shown = String::new();
    let mut node = Some(tree);
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        let item = match node {
            Some(Value::Array(_)) => true,
            Some(Value::Object(_)) => false,
            _ => !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()),
        };
        node = match node {
            Some(Value::Array(list)) => key.parse::<usize>().ok().and_then(|index| list.get(index)),
            Some(Value::Object(map)) => map.get(&key),
            _ => None,
        };
        if item {
            shown.push_str(&format!("[{key}]"));
            continue;
        }
        if !shown.is_empty() {
            shown.push('.');
        }
        for c in key.chars() {
            if matches!(c, '.' | '=' | '[' | ',' | '\\') {
                shown.push('\\');
            }
            shown.push(c);
        }
    }
    shown
}

/// Returns true if `pointer` is equal to `ancestor` or below it.
pub fn is_within(pointer: &str, ancestor: &str) -> bool {
    pointer
        .strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_read_and_shown_in_the_same_grammar() {
        let tree = json!({"a": {"b.c": [[{"d": 1}]], "0": {"x/y": 2}}});
        for (path, pointer) in [
            ("a", "/a"),
            ("a.b\\.c[0][0].d", "/a/b.c/0/0/d"),
            ("a.0.x/y", "/a/0/x~1y"),
            ("", ""),
        ] {
            let found = parse(path)
                .unwrap()
                .iter()
                .fold(String::new(), |at, step| below(&at, step));
            assert_eq!(found, pointer);
            assert_eq!(display(pointer, &tree), path);
        }
        assert_eq!(display("/q/0/r", &tree), "q[0].r");
        for wrong in [".a", "a.", "a..b", "a[", "a[x]", "a[0]b", "a[-1]", "a[0]."] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn within_is_by_whole_steps() {
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", ""));
        assert!(!is_within("/ab", "/a"));
    }
}
