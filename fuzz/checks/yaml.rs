//! Reading and writing YAML.

use super::{MARKER, hides_the_marker, parts};
use kubectl_fabric::yaml::{self, Document};
use serde_json::Value;

pub fn check(data: &[u8]) {
    let Some([text]) = parts(data) else { return };
    let read = yaml::parse_stream(text, "fuzz.yaml");
    match (read, yaml::parse_stream_with_positions(text, "fuzz.yaml")) {
        (Ok(documents), Ok(located)) => {
            let values: Vec<&Value> = documents.iter().map(|document| &document.value).collect();
            assert_eq!(
                values,
                located.iter().map(|(value, _)| value).collect::<Vec<_>>(),
                "{text:?}"
            );
            ranges_follow_each_other(text, &documents);
            values.into_iter().for_each(written_is_read);
        }
        // The walk over the events knows less syntax than the reader. What is YAML and has no
        // meaning is refused by both, and with a hint.
        (Ok(_), Err(error)) => {
            let error = error.to_string();
            assert!(
                !error.contains("hint:") && !error.contains("nested deeper"),
                "{text:?} is refused with positions alone:\n{error}"
            );
        }
        (Err(error), Ok(_)) => panic!("{text:?} is refused without positions alone:\n{error}"),
        (Err(_), Err(_)) => {}
    }
    if !text.contains(MARKER) {
        values_are_hidden(text);
    }
}

fn ranges_follow_each_other(text: &str, documents: &[Document]) {
    let mut end = 0;
    for Document { range, .. } in documents {
        assert!(
            end <= range.start && text.get(range.clone()).is_some(),
            "{text:?}: {range:?}"
        );
        end = range.end;
    }
}

/// What is written is the same value to this reader and to another one.
fn written_is_read(value: &Value) {
    let text = yaml::emit(value);
    let again =
        yaml::parse(&text, "written.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(&again, value, "{text}");
    match serde_saphyr::from_str::<Value>(&text) {
        Ok(other) => assert_eq!(&other, value, "{text}"),
        // It has limits of its own: 64 levels, so many nodes.
        Err(error) => assert!(
            error.to_string().contains("budget breached"),
            "{error}\n{text}"
        ),
    }
}

/// What stands at the place of a value is in no error, whatever stands before it.
fn values_are_hidden(text: &str) {
    for text in [
        format!("{text} {MARKER}\nafter: {MARKER}\n"),
        format!("{text}\nafter: {MARKER}\nafter: {MARKER}\n"),
    ] {
        if let Err(error) = yaml::parse_stream(&text, "fuzz.yaml") {
            hides_the_marker(error, &text);
        }
    }
}
