//! Formats a plan as text, as Markdown for a review, and as JSON.

use super::plan::{Held, Part, Plan, Unknown, Wait};
use super::step::Step;
use serde_json::{Value, json};
use std::fmt::Write;

impl Plan {
    /// Formats the plan for a terminal: rounds of steps, then held steps, unknown states and
    /// leftovers.
    pub fn words(&self) -> String {
        let mut text = String::new();
        for (index, round) in self.rounds().iter().enumerate() {
            line(
                &mut text,
                &format!("{}.", index + 1),
                round.iter().map(|step| step.action.to_string()),
            );
        }
        line(&mut text, "held:", self.held.iter().map(held));
        line(&mut text, "unknown:", self.unknown.iter().map(unknown));
        line(&mut text, "left over:", self.leftovers.iter().cloned());
        if text.is_empty() {
            text.push_str("nothing to do\n");
        }
        text
    }

    /// Formats the plan for a pull request.
    pub fn markdown(&self) -> String {
        if self.is_reached() && self.leftovers.is_empty() {
            return "Nothing to do.\n".to_owned();
        }
        let mut text = String::new();
        if !self.steps.is_empty() {
            text.push_str("| round | step | by |\n|---|---|---|\n");
        }
        for (index, round) in self.rounds().iter().enumerate() {
            for step in round {
                let (action, by) = (cell(&step.action.to_string()), step.by.join(" or "));
                writeln!(text, "| {} | {action} | {by} |", index + 1).expect("a String takes all");
            }
        }
        for (title, items) in [
            (
                "Not planned until the state is known",
                self.held.iter().map(held).collect::<Vec<_>>(),
            ),
            ("Unknown", self.unknown.iter().map(unknown).collect()),
            ("No longer in the file", self.leftovers.clone()),
        ] {
            if !items.is_empty() {
                let separator = if text.is_empty() { "" } else { "\n" };
                write!(text, "{separator}{title}:\n\n").expect("a String takes all");
                for item in items {
                    writeln!(text, "- {}", cell(&item)).expect("a String takes all");
                }
            }
        }
        text
    }

    pub fn json(&self) -> Value {
        let rounds = self.rounds();
        let ids = |round: &Vec<&Step>| round.iter().map(|step| step.id.clone()).collect();
        let steps = self.steps.iter().map(|step| {
            let mut value = json!(step);
            value["words"] = step.action.to_string().into();
            value
        });
        json!({
            "steps": steps.collect::<Vec<_>>(),
            "rounds": rounds.iter().map(ids).collect::<Vec<Vec<String>>>(),
            "held": self.held,
            "unknown": self.unknown,
            "leftovers": self.leftovers,
        })
    }
}

impl Part {
    /// Formats the part of one organization for a terminal.
    pub fn words(&self) -> String {
        let mut text = String::new();
        let action = |step: &Step| step.action.to_string();
        line(&mut text, "now:", self.now.iter().map(action));
        line(&mut text, "later:", self.later.iter().map(action));
        line(&mut text, "waits for:", self.waits.iter().map(wait));
        line(
            &mut text,
            "needs signatures:",
            self.signatures.iter().map(wait),
        );
        line(&mut text, "held:", self.held.iter().map(held));
        if text.is_empty() {
            writeln!(text, "nothing to do for {}", self.organization).expect("a String takes all");
        }
        text
    }
}

fn line(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    for (index, item) in items.enumerate() {
        let title = if index == 0 { title } else { "" };
        writeln!(text, "{title:<3} {item}").expect("a String takes all");
    }
}

fn held(held: &Held) -> String {
    format!(
        "{} (unknown: {})",
        held.step.action,
        held.because.join(", ")
    )
}

fn unknown(unknown: &Unknown) -> String {
    format!("{}: {}", unknown.what, unknown.why)
}

fn wait(wait: &Wait) -> String {
    format!("{}: {}", wait.from.join(" or "), wait.what)
}

/// Formats a text for a table cell: one line, without characters that Markdown interprets as a
/// border or a tag.
fn cell(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
