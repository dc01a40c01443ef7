//! Progress on a terminal: a moving headline, and below it the objects that are not ready, with
//! reasons. The headline starts with the progress of the whole operation.

use super::{Screen, lasting, left_in_words, nodes_in_words};
use crate::deploy::{Event, Nodes, Progress};
use crate::terminal::text::one_line;
use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const DIM: anstyle::Style = anstyle::Style::new().dimmed();

/// Maximum number of frames per second.
const FRAMES: u8 = 20;

/// Columns of the headline for the spinner and the time.
const BESIDE: usize = 8;

/// Maximum number of objects in the view. Further ones are only counted.
const SHOWN: usize = 8;

pub struct View {
    screen: MultiProgress,
    /// The screen to draw on.
    on: Screen,
    state: Mutex<ViewState>,
}

struct ViewState {
    headline: ProgressBar,
    nodes: NodeProgress,
    applied: usize,
    /// Objects that are not ready, with reasons.
    waiting: BTreeMap<String, String>,
    lines: Vec<ProgressBar>,
}

/// The last reported progress, and when it was reported. It is also drawn between events.
#[derive(Clone, Default)]
struct NodeProgress(Arc<Mutex<Option<(Nodes, Instant)>>>);

impl NodeProgress {
    fn set(&self, nodes: Option<Nodes>) {
        if let Some(nodes) = nodes {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((nodes, Instant::now()));
        }
    }

    /// Returns as much of the progress as fits into a line of this width, next to the spinner and
    /// the time.
    fn fit(&self, width: usize, now: Instant) -> String {
        let progress = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((nodes, at)) = progress else {
            return String::new();
        };
        let Some(words) = nodes_in_words(&nodes) else {
            return String::new();
        };
        let left = nodes.left.and_then(|left| left.after(now - at));
        let all = match left.as_ref().and_then(left_in_words) {
            Some(left) => format!("{words}, {left}  "),
            None => format!("{words}  "),
        };
        let choices = [all, format!("{words}  ")];
        let fits = |text: &String| text.len() + BESIDE <= width;
        choices.into_iter().find(fits).unwrap_or_default()
    }
}

impl View {
    pub fn new() -> View {
        let on = Screen::of_stderr();
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
            Box::new(on.clone()),
            FRAMES,
        ));
        let headline = screen.add(ProgressBar::new_spinner());
        let nodes = NodeProgress::default();
        headline.set_style(
            style("{spinner} {elapsed:.dim} {nodes}{wide_msg}").with_key("nodes", {
                let (nodes, on) = (nodes.clone(), on.clone());
                move |_: &ProgressState, out: &mut dyn fmt::Write| {
                    let _ = out.write_str(&nodes.fit(on.width().into(), Instant::now()));
                }
            }),
        );
        headline.enable_steady_tick(Duration::from_millis(120));
        View {
            screen,
            on,
            state: Mutex::new(ViewState {
                headline,
                nodes,
                applied: 0,
                waiting: BTreeMap::new(),
                lines: Vec::new(),
            }),
        }
    }

    /// Returns the moving view and its screen, for code that prints lines above it.
    pub fn screen(&self) -> (MultiProgress, Screen) {
        (self.screen.clone(), self.on.clone())
    }
}

/// Parses a template, which is a constant in this file.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl ViewState {
    /// Draws the objects that are not ready, with as many lines as needed.
    fn draw(&mut self, screen: &MultiProgress) {
        let mut texts: Vec<String> = self
            .waiting
            .iter()
            .take(SHOWN)
            .map(|(object, reason)| one_line(&format!("  {object}: {reason}")))
            .collect();
        if self.waiting.len() > SHOWN {
            texts.push(format!("  and {} more", self.waiting.len() - SHOWN));
        }
        while self.lines.len() > texts.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                screen.remove(&line);
            }
        }
        while self.lines.len() < texts.len() {
            let line = screen.add(ProgressBar::new_spinner());
            line.set_style(style("{wide_msg}"));
            self.lines.push(line);
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(format!("{DIM}{text}{DIM:#}"));
            line.tick();
        }
    }
}

impl Progress for View {
    fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Applied {
                action,
                object,
                nodes,
            } => {
                state.nodes.set(*nodes);
                state.applied += 1;
                state.headline.set_message(one_line(&format!(
                    "{} done: {object} {action}",
                    state.applied
                )));
            }
            Event::Waiting {
                object,
                ready,
                reason,
                done,
                total,
                nodes,
                ..
            } => {
                state.nodes.set(*nodes);
                if *ready {
                    state.waiting.remove(object);
                } else {
                    state.waiting.insert(
                        object.clone(),
                        reason.lines().next().unwrap_or_default().to_owned(),
                    );
                }
                state.headline.set_message(format!("{done}/{total} ready"));
                state.draw(&self.screen);
            }
            Event::WaitOver => {
                state.waiting.clear();
                state.headline.set_message("");
                state.draw(&self.screen);
            }
            Event::Step { message } => state.headline.set_message(one_line(message)),
            other => {
                if let Some(text) = lasting(other) {
                    self.screen.suspend(|| crate::terminal::stderr_line(&text));
                }
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.headline.finish_and_clear();
        for line in &state.lines {
            line.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::TimeLeft;

    #[test]
    fn a_headline_drops_what_no_longer_holds_or_has_no_room() {
        let (progress, s) = (NodeProgress::default(), Duration::from_secs);
        let at = Instant::now();
        assert_eq!(progress.fit(80, at), "");
        let left = TimeLeft {
            least: s(30),
            most: s(40),
            holds: s(10),
        };
        let nodes = Nodes {
            begun: 2,
            done: 1,
            of: 12,
            elapsed: s(60),
            left: Some(left),
        };
        *progress.0.lock().unwrap() = Some((nodes, at));
        assert_eq!(progress.fit(80, at), "node 2 of 12, about 40s left  ");
        assert_eq!(
            progress.fit(80, at + s(10)),
            "node 2 of 12, about 30s left  "
        );
        assert_eq!(progress.fit(80, at + s(11)), "node 2 of 12  ");
        assert_eq!(progress.fit(30, at), "node 2 of 12  ");
        assert_eq!(progress.fit(15, at), "");
    }
}
