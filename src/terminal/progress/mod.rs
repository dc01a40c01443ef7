//! Shows the progress of an operation on stderr in one of three forms: a moving view, lines, or a
//! stream of JSON.

mod lines;
mod screen;
mod view;

pub use lines::Lines;
pub use screen::Screen;
pub use view::View;

use super::{BOLD, Clock, Text, YELLOW, labelled, stderr_event};
use crate::deploy::{Event, Nodes, Progress, TimeLeft};
use std::time::Duration;

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

/// Returns `node 2 of 12`, or the number of finished nodes if several are in progress. `None` for a
/// single node.
fn nodes_in_words(nodes: &Nodes) -> Option<String> {
    let Nodes {
        begun, done, of, ..
    } = *nodes;
    if of < 2 || begun == 0 {
        return None;
    }
    Some(match begun - done {
        _ if done == of => format!("{of} of {of} nodes done"),
        0 | 1 => format!("node {begun} of {of}"),
        _ => format!("{done} of {of} nodes done"),
    })
}

/// Returns `about 3m left`, or `40s to 2m left` if the turns so far differ.
fn left_in_words(left: &TimeLeft) -> Option<String> {
    let [least, most] = [left.least, left.most].map(rounded);
    if left.most < Duration::from_secs(1) {
        None
    } else if left.least < Duration::from_secs(1) {
        Some(format!("up to {most} left"))
    } else if left.most <= left.least * 3 / 2 {
        Some(format!("about {most} left"))
    } else {
        Some(format!("{least} to {most} left"))
    }
}

/// Formats an estimated time: rounded to 5 seconds below 90 seconds, otherwise to a minute.
fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds < 90.0 {
        true => format!("{}s", (seconds / 5.0).ceil() * 5.0),
        false => format!("{}m", (seconds / 60.0).round()),
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
    fn one_node_at_a_time_is_named_and_several_are_counted() {
        let words = |begun, done, of| {
            nodes_in_words(&Nodes {
                begun,
                done,
                of,
                elapsed: Duration::ZERO,
                left: None,
            })
        };
        for (begun, done, of, expected) in [
            (0, 0, 12, None),
            (1, 0, 1, None),
            (2, 1, 12, Some("node 2 of 12")),
            (2, 2, 12, Some("node 2 of 12")),
            (12, 3, 12, Some("3 of 12 nodes done")),
            (12, 12, 12, Some("12 of 12 nodes done")),
        ] {
            assert_eq!(words(begun, done, of).as_deref(), expected);
        }
    }

    #[test]
    fn an_estimate_is_as_exact_as_the_turns_so_far() {
        for (least, most, expected) in [
            (0, 0, None),
            (0, 38, Some("up to 40s left")),
            (33, 36, Some("about 40s left")),
            (170, 185, Some("about 3m left")),
            (36, 130, Some("40s to 2m left")),
        ] {
            let [least, most] = [least, most].map(Duration::from_secs);
            let holds = Duration::ZERO;
            let words = left_in_words(&TimeLeft { least, most, holds });
            assert_eq!(words.as_deref(), expected);
        }
    }

    #[test]
    fn a_plan_in_words_leaves_out_what_is_not() {
        assert_eq!(
            plan_in_words(12, 1, 0, 30, 0),
            "12 to create, 1 to change, 30 unchanged"
        );
        assert_eq!(plan_in_words(0, 0, 0, 0, 0), "nothing to do");
    }
}
