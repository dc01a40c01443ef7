//! Parses the arguments of `-c` and `--transient`. Pure.

use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Parses the function and its arguments: `["CreateAsset","a1"]`, or the formats of `peer`:
/// `{"Args":["CreateAsset","a1"]}`, `{"function":"CreateAsset","Args":["a1"]}`.
pub fn arguments(text: &str) -> Result<Vec<Vec<u8>>> {
    let refuse = |why: String| {
        Error::user("cannot read the function and its arguments (-c)")
            .why(why)
            .hint("use -c '[\"CreateAsset\",\"a1\"]', a function and its arguments as strings")
    };
    let value: Value =
        serde_json::from_str(text).map_err(|error| refuse(format!("it is not JSON: {error}")))?;
    let words = match value {
        Value::Array(words) => words,
        Value::Object(map) => {
            let (mut function, mut words) = (None, Vec::new());
            for (key, value) in map {
                // Go ignores the case of keys.
                match (key.to_ascii_lowercase().as_str(), value) {
                    ("function", Value::String(name)) => function = Some(Value::String(name)),
                    ("args", Value::Array(args)) => words = args,
                    ("function", _) => {
                        return Err(refuse("\"function\" is not a string".to_owned()));
                    }
                    ("args", _) => return Err(refuse("\"Args\" is not a list".to_owned())),
                    _ => return Err(refuse(format!("unknown key {key:?}"))),
                }
            }
            function.into_iter().chain(words).collect()
        }
        _ => return Err(refuse("it is neither a list nor a map".to_owned())),
    };
    if words.is_empty() {
        return Err(refuse("the function is missing".to_owned()));
    }
    let words = (0..).zip(words).map(|(at, word)| match word {
        Value::String(word) => Ok(word.into_bytes()),
        other => Err(refuse(format!(
            "item {at} is {other}, but arguments must be strings: use {:?}",
            other.to_string()
        ))),
    });
    words.collect()
}

/// Reads `KEY=VALUE` of `--transient`.
pub fn transient(settings: &[String]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut map = BTreeMap::new();
    for setting in settings {
        // The value may be secret, so no error repeats it.
        let (key, value) = setting
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Error::user("--transient: expected KEY=VALUE"))?;
        if map
            .insert(key.to_owned(), value.as_bytes().to_vec())
            .is_some()
        {
            return Err(Error::user(format!("--transient: {key:?} is given twice")));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_and_its_arguments_are_read_in_each_form() {
        for (text, expected) in [
            (r#"["Read","a1"]"#, &["Read", "a1"][..]),
            (r#"{"Args":["Read","a1"]}"#, &["Read", "a1"]),
            (r#"{"args":["Read"]}"#, &["Read"]),
            (r#"{"function":"Read","Args":["a1"]}"#, &["Read", "a1"]),
            (r#"{"Args":["a1"],"Function":"Read"}"#, &["Read", "a1"]),
            (r#"["Create","{\"x\":1}",""]"#, &["Create", "{\"x\":1}", ""]),
        ] {
            let read = arguments(text).unwrap();
            assert_eq!(
                read,
                expected.iter().map(|it| it.as_bytes()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_is_no_function_with_arguments_is_an_error_that_says_why() {
        for (text, why) in [
            ("Read", "it is not JSON"),
            ("[]", "the function is missing"),
            ("{}", "the function is missing"),
            ("5", "it is neither a list nor a map"),
            (
                r#"["Create",5]"#,
                "item 1 is 5, but arguments must be strings: use \"5\"",
            ),
            (r#"{"Args":"Read"}"#, "\"Args\" is not a list"),
            (r#"{"function":["Read"]}"#, "\"function\" is not a string"),
            (r#"{"fn":"Read"}"#, "unknown key \"fn\""),
        ] {
            let error = arguments(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn transient_data_is_never_repeated_in_an_error() {
        let read = transient(&["a=1=2".to_owned(), "b=".to_owned()]).unwrap();
        assert_eq!((&read["a"][..], &read["b"][..]), (&b"1=2"[..], &b""[..]));
        let error = transient(&["hunter2".to_owned()]).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        let twice = transient(&["a=x".to_owned(), "a=y".to_owned()]);
        assert!(twice.unwrap_err().to_string().contains("given twice"));
    }
}
