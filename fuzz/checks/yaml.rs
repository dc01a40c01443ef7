//! Reading and writing YAML.

use super::{MARKER, hides_the_marker, parts};
use kubectl_fabric::yaml;
use serde_json::Value;

pub fn check(data: &[u8]) {
    let Some([text]) = parts(data) else { return };
    let read = yaml::parse_stream(text, "fuzz.yaml");
    let with_positions = yaml::parse_stream_with_positions(text, "fuzz.yaml");
    assert_eq!(read.is_ok(), with_positions.is_ok(), "{text:?}: {read:?} {with_positions:?}");
    if let (Ok(documents), Ok(located)) = (read, with_positions) {
        assert_eq!(documents.len(), located.len(), "{text:?}");
        let mut end = 0;
        for (document, (value, _)) in documents.into_iter().zip(located) {
            assert_eq!(document.value, value, "{text:?}");
            assert!(end <= document.range.start && text.get(document.range.clone()).is_some(), "{text:?}: {:?}", document.range);
            end = document.range.end;
            written_is_read(&document.value);
        }
    }
    if !text.contains(MARKER) {
        values_are_hidden(text);
    }
}

/// What is written is the same value to this reader and to another one.
fn written_is_read(value: &Value) {
    let text = yaml::emit(value);
    let again = yaml::parse(&text, "written.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(&again, value, "{text}");
    match serde_saphyr::from_str::<Value>(&text) {
        Ok(other) => assert_eq!(&other, value, "{text}"),
        // It has limits of its own: 64 levels, so many nodes.
        Err(error) => assert!(error.to_string().contains("budget breached"), "{error}\n{text}"),
    }
}

/// What stands at the place of a value is in no error, whatever stands before it.
fn values_are_hidden(text: &str) {
    for text in [format!("{text} {MARKER}\nafter: {MARKER}\n"), format!("{text}\nafter: {MARKER}\nafter: {MARKER}\n")] {
        if let Err(error) = yaml::parse_stream(&text, "fuzz.yaml") {
            hides_the_marker(error, &text);
        }
    }
}
