//! Progress on a terminal: a moving headline, and below it the objects that are not ready, with
//! reasons.

use super::{Screen, lasting};
use crate::deploy::{Event, Progress};
use crate::terminal::text::one_line;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const DIM: anstyle::Style = anstyle::Style::new().dimmed();

/// Maximum number of frames per second.
const FRAMES: u8 = 20;

/// Maximum number of objects in the view. Further ones are only counted.
const SHOWN: usize = 8;

pub struct View {
    screen: MultiProgress,
    /// The screen to draw on.
    on: Screen,
    state: Mutex<State>,
}

struct State {
    headline: ProgressBar,
    applied: usize,
    /// Objects that are not ready, with reasons.
    waiting: BTreeMap<String, String>,
    lines: Vec<ProgressBar>,
}

impl View {
    pub fn new() -> View {
        let on = Screen::of_stderr();
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
            Box::new(on.clone()),
            FRAMES,
        ));
        let headline = screen.add(ProgressBar::new_spinner());
        headline.set_style(style("{spinner} {elapsed:.dim} {wide_msg}"));
        headline.enable_steady_tick(Duration::from_millis(120));
        View {
            screen,
            on,
            state: Mutex::new(State {
                headline,
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

impl State {
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
            Event::Applied { action, object } => {
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
                ..
            } => {
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
