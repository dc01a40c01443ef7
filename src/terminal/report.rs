//! Formats errors for the user and for `--events json`.

use super::width::fit_stderr;
use super::{CYAN, RED, Text, YELLOW};
use crate::error::{Error, Kind, Place};
use serde_json::{Value, json};

/// Returns the report: `error: ` and the Display of [`Error`], with coloured labels and in lines
/// that fit.
pub fn text(error: &Error) -> Text {
    let report = fit_stderr(&format!("error: {error}"));
    let mut text = Text::default();
    for (number, line) in report.lines().enumerate() {
        if number > 0 {
            text.push("\n");
        }
        let label = [
            ("error:", RED),
            ("why:", YELLOW),
            ("now:", YELLOW),
            ("hint:", CYAN),
            ("  -->", CYAN),
        ]
        .into_iter()
        .find(|(label, _)| (number == 0) == (*label == "error:") && line.starts_with(label));
        match label {
            Some((label, style)) => {
                text.push_styled(style, label);
                text.push(&line[label.len()..]);
            }
            None => text.push(line),
        }
    }
    text
}

/// Returns the last event of `--events json` after a failure, which is also the error of `-o json`.
pub fn event(error: &Error) -> Value {
    let kind = match error.kind() {
        Kind::User => "user",
        Kind::Cluster => "cluster",
        Kind::NotReady => "not-ready",
        Kind::Refused => "refused",
        Kind::Interrupted => "interrupted",
        Kind::Internal => "internal",
    };
    json!({
        "event": "failed",
        "kind": kind,
        "exitStatus": error.kind().exit_status(),
        "message": error.what(),
        "places": error.places().iter().map(place).collect::<Vec<_>>(),
        "why": error.reasons(),
        "now": error.state(),
        "hints": error.hints(),
        "report": error.to_string(),
    })
}

fn place(place: &Place) -> Value {
    json!({ "subject": place.subject, "line": place.line, "column": place.column, "note": place.note })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_the_same_without_colour() {
        let error = Error::refused("no")
            .why("because")
            .now("nothing was applied")
            .hint("ask `again`");
        assert_eq!(
            text(&error).plain(),
            "error: no\nwhy: because\nnow: nothing was applied\nhint: ask `again`"
        );
        let event = event(&error);
        assert_eq!(
            (&event["exitStatus"], &event["why"], &event["hints"]),
            (&json!(4), &json!(["because"]), &json!(["ask `again`"]))
        );
    }
}
