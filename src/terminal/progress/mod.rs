//! Shows the progress of an operation on stderr in one of three forms: a moving view, lines, or a
//! stream of JSON.

mod lines;
mod screen;
mod view;

pub use lines::Lines;
pub use screen::Screen;
pub use view::View;

use super::{BOLD, Clock, Text, YELLOW, labelled, stderr_event};
use crate::deploy::{Event, Progress};

/// `--events json`: every event as one object per line.
pub struct Stream(pub(super) Clock);

impl Progress for Stream {
    fn event(&self, event: &Event) {
        if let Ok(event) = serde_json::to_value(event) {
            stderr_event(self.0, event);
        }
    }
}

/// Returns a summary such as `12 to create, 1 to change, 30 unchanged`.
fn plan_in_words(
    create: usize,
    change: usize,
    recreate: usize,
    unchanged: usize,
    prune: usize,
) -> String {
    let counts = [
        (create, "to create"),
        (change, "to change"),
        (recreate, "to recreate"),
        (prune, "to delete"),
        (unchanged, "unchanged"),
    ];
    let words: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if words.is_empty() {
        "nothing to do".to_owned()
    } else {
        words.join(", ")
    }
}

/// Returns the text that stays on the screen after an event, the same for the moving view and for
/// lines.
fn lasting(event: &Event) -> Option<Text> {
    match event {
        Event::Planned {
            create,
            change,
            recreate,
            unchanged,
            prune,
        } => Some(labelled(
            BOLD,
            "plan:",
            &plan_in_words(*create, *change, *recreate, *unchanged, *prune),
        )),
        Event::Hook { hook, phase } => Some(format!("hook {hook}: {phase}").into()),
        Event::Warning { message } => Some(labelled(YELLOW, "warning:", message)),
        Event::Step { message } => Some(message.into()),
        Event::Applied { .. } | Event::Waiting { .. } | Event::WaitOver => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_in_words_leaves_out_what_is_not() {
        assert_eq!(
            plan_in_words(12, 1, 0, 30, 0),
            "12 to create, 1 to change, 30 unchanged"
        );
        assert_eq!(plan_in_words(0, 0, 0, 0, 0), "nothing to do");
    }
}
