//! Counts that do not depend on the machine's mood, compared with those that tests/counts.json
//! records.
//!
//! What grew by more than 5 % fails. `BLESS=1` records what was counted: after a gain, or when the
//! growth is worth it.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::PathBuf;

/// A count may be larger by this much, in percent.
const TOLERANCE: u64 = 5;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/counts.json")
}

/// Compares counts of one subject with the recorded ones, which are to have the same names.
pub fn compare(subject: &str, counted: &[(&str, u64)]) {
    if std::env::var_os("BLESS").is_some() {
        return record(subject, counted);
    }
    let recorded: Value =
        serde_json::from_str(&fs::read_to_string(file()).expect("the recorded counts"))
            .expect("JSON");
    let before = recorded[subject]
        .as_object()
        .unwrap_or_else(|| panic!("nothing is recorded of \"{subject}\": BLESS=1 does"));
    let names: Vec<&str> = before.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        counted.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "{subject}: other counts than the recorded ones"
    );
    for (name, count) in counted {
        let most = before[*name].as_u64().expect("a number") * (100 + TOLERANCE) / 100;
        assert!(
            *count <= most,
            "{subject}: {name} was {}, is {count}: more than {TOLERANCE} % worse",
            before[*name]
        );
    }
}

fn record(subject: &str, counted: &[(&str, u64)]) {
    // Tests run side by side.
    let lock = File::create(file().with_extension("lock")).expect("a lock beside the counts");
    lock.lock().expect("a lock on it");
    let text = fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
    let mut recorded: Value = serde_json::from_str(&text).expect("JSON");
    recorded[subject] = Value::Object(
        counted
            .iter()
            .map(|(name, count)| ((*name).to_owned(), json!(count)))
            .collect(),
    );
    recorded.as_object_mut().expect("a map").sort_keys();
    fs::write(
        file(),
        serde_json::to_string_pretty(&recorded).expect("plain data") + "\n",
    )
    .expect("the recorded counts");
    fs::remove_file(file().with_extension("lock")).expect("the lock");
}
