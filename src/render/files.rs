//! The variable `files` of templates: all files of the chart that are not templates.

use super::data::{Misses, map_of};
use crate::chart::Chart;
use crate::error::nearest;
use minijinja::value::{Object, Value, from_args};
use minijinja::{Error, ErrorKind, State};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Files {
    content: BTreeMap<String, Value>,
    misses: Arc<Misses>,
}

impl Files {
    pub(super) fn of(chart: &Chart, misses: &Arc<Misses>) -> Files {
        let content = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from_bytes(bytes.clone()),
        };
        let files = chart
            .files
            .iter()
            .filter(|(name, _)| !name.starts_with("templates/"));
        let content = files
            .map(|(name, bytes)| (name.clone(), content(bytes)))
            .collect();
        Files {
            content,
            misses: Arc::clone(misses),
        }
    }

    fn get(&self, name: &str) -> Result<Value, Error> {
        self.content.get(name).cloned().ok_or_else(|| {
            let near = nearest(name, self.content.keys().map(String::as_str));
            let hint = near
                .map(|near| format!(": did you mean \"{near}\"?"))
                .unwrap_or_default();
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the chart has no file \"{name}\"{hint}"),
            )
        })
    }
}

impl Object for Files {
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "get" => {
                let (name,): (&str,) = from_args(args)?;
                self.get(name)
            }
            "lines" => {
                let (name,): (&str,) = from_args(args)?;
                let content = self.get(name)?;
                let text = content.as_str().ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidOperation,
                        format!("the file \"{name}\" is not text"),
                    )
                })?;
                Ok(text.lines().map(Value::from).collect())
            }
            "has" => {
                let (name,): (&str,) = from_args(args)?;
                Ok(Value::from(self.content.contains_key(name)))
            }
            "glob" => {
                let (pattern,): (&str,) = from_args(args)?;
                let matching = self
                    .content
                    .iter()
                    .filter(|(name, _)| matches(pattern.as_bytes(), name.as_bytes()));
                Ok(map_of(
                    matching
                        .map(|(name, content)| (Value::from(name.as_str()), content.clone()))
                        .collect(),
                    &self.misses,
                ))
            }
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("files has get, lines, has and glob, not \"{method}\""),
            )),
        }
    }
}

/// Returns true if a path matches a pattern. `*` and `?` match within one part of the path, `**`
/// matches across parts.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([b'*', b'*', b'/', rest @ ..], _) if matches(rest, path) => true,
        ([b'*', b'*', rest @ ..], _) => {
            matches(rest, path) || (!path.is_empty() && matches(pattern, &path[1..]))
        }
        ([b'*', rest @ ..], _) => {
            matches(rest, path)
                || (path.first().is_some_and(|c| *c != b'/') && matches(pattern, &path[1..]))
        }
        ([b'?', rest @ ..], [c, path @ ..]) if *c != b'/' => matches(rest, path),
        ([a, rest @ ..], [b, path @ ..]) if a == b => matches(rest, path),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_match_within_and_across_folders() {
        let matches =
            |pattern: &str, path: &str| super::matches(pattern.as_bytes(), path.as_bytes());
        assert!(matches("files/*.yaml", "files/core.yaml"));
        assert!(!matches("files/*.yaml", "files/a/core.yaml"));
        assert!(matches("files/**/*.yaml", "files/a/b/core.yaml"));
        assert!(matches("files/**/*.yaml", "files/core.yaml"));
        assert!(matches("**", "files/core.yaml"));
        assert!(matches("files/?.txt", "files/a.txt"));
        assert!(!matches("files/?.txt", "files/ab.txt"));
    }
}
