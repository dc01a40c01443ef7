//! Progress in a pipe: a line for each change, and one every ten seconds if nothing changes.

use super::{lasting, left_in_words};
use crate::deploy::{Event, Progress};
use crate::terminal::{Text, stderr_line};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest silence in a log. A longer one looks like a hang.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub struct Lines {
    shared: Arc<Shared>,
    heart: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<Log>,
    stopped: Condvar,
}

struct Log {
    waiting: Waiting,
    started: Instant,
    last_line: Instant,
    stop: bool,
}

/// State of an object that the operation waits for.
#[derive(Clone, Copy, PartialEq)]
enum WaitState {
    Ready,
    Waiting,
    Troubled,
}

/// The objects that are not ready, each with the reason printed last.
#[derive(Default)]
struct Waiting {
    reasons: BTreeMap<String, String>,
    done: usize,
    total: usize,
}

impl Waiting {
    /// Handles an event. Returns a line to print for the first reason of an object, and after that
    /// only for troubles.
    ///
    /// The heartbeat reports normal progress, such as one pod after the other becoming ready.
    fn take(
        &mut self,
        object: &str,
        state: WaitState,
        reason: &str,
        done: usize,
        total: usize,
    ) -> Option<String> {
        (self.done, self.total) = (done, total);
        if state == WaitState::Ready {
            self.reasons.remove(object);
            return Some(format!("[{done}/{total}] {object} is ready"));
        }
        let before = self.reasons.insert(object.to_owned(), reason.to_owned());
        let news = match before {
            None => true,
            Some(before) => state == WaitState::Troubled && before != reason,
        };
        news.then(|| format!("[{done}/{total}] {object}: {reason}"))
    }

    fn heartbeat(&self, elapsed: Duration) -> Option<String> {
        let (object, reason) = self.reasons.first_key_value()?;
        let others = match self.reasons.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        };
        let seconds = elapsed.as_secs();
        Some(format!(
            "[{}/{}] still waiting after {seconds}s: {object}: {reason}{others}",
            self.done, self.total
        ))
    }
}

impl Lines {
    pub fn new() -> Lines {
        let now = Instant::now();
        let state = Log {
            waiting: Waiting::default(),
            started: now,
            last_line: now,
            stop: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            stopped: Condvar::new(),
        });
        let heart = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.beat()
        });
        Lines {
            shared,
            heart: Some(heart),
        }
    }
}

impl Shared {
    fn beat(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.stop {
            let pause = HEARTBEAT.saturating_sub(state.last_line.elapsed());
            if !pause.is_zero() {
                state = self
                    .stopped
                    .wait_timeout(state, pause)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            }
            if let Some(line) = state.waiting.heartbeat(state.started.elapsed()) {
                stderr_line(&line.into());
            }
            state.last_line = Instant::now();
        }
    }
}

impl Progress for Lines {
    fn event(&self, event: &Event) {
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let line = match event {
            Event::Waiting {
                object,
                ready,
                trouble,
                reason,
                done,
                total,
                ..
            } => {
                let how = match (ready, trouble) {
                    (true, _) => WaitState::Ready,
                    (false, true) => WaitState::Troubled,
                    (false, false) => WaitState::Waiting,
                };
                state
                    .waiting
                    .take(object, how, reason, *done, *total)
                    .map(Text::from)
            }
            Event::WaitOver => {
                state.waiting = Waiting::default();
                None
            }
            Event::Applied {
                action,
                object,
                nodes,
            } => {
                let place = nodes.as_ref().filter(|nodes| nodes.of > 1).map(|nodes| {
                    let left = nodes.left.as_ref().and_then(left_in_words);
                    let left = left.map(|left| format!(", {left}")).unwrap_or_default();
                    format!(" (node {} of {}{left})", nodes.begun, nodes.of)
                });
                Some(format!("{object} {action}{}", place.unwrap_or_default()).into())
            }
            other => lasting(other),
        };
        if let Some(line) = line {
            stderr_line(&line);
            state.last_line = Instant::now();
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stop = true;
        self.shared.stopped.notify_all();
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_reported_once_and_troubles_whenever_they_change() {
        let mut waiting = Waiting::default();
        let mut take = |state, reason, done| waiting.take("Pod a/b", state, reason, done, 2);
        assert_eq!(
            take(WaitState::Waiting, "0 of 1 pod created", 0).as_deref(),
            Some("[0/2] Pod a/b: 0 of 1 pod created")
        );
        assert_eq!(
            take(WaitState::Waiting, "0 of 1 pod ready", 0),
            None,
            "it goes on as it should"
        );
        assert_eq!(
            take(WaitState::Troubled, "image x cannot be pulled", 0).as_deref(),
            Some("[0/2] Pod a/b: image x cannot be pulled")
        );
        assert_eq!(
            take(WaitState::Troubled, "image x cannot be pulled", 0),
            None
        );
        let heartbeat = waiting.heartbeat(Duration::from_secs(90));
        assert_eq!(
            heartbeat.as_deref(),
            Some("[0/2] still waiting after 90s: Pod a/b: image x cannot be pulled")
        );
        assert_eq!(
            waiting
                .take("Pod a/b", WaitState::Ready, "", 1, 2)
                .as_deref(),
            Some("[1/2] Pod a/b is ready")
        );
        assert_eq!(waiting.heartbeat(Duration::from_secs(99)), None);
    }
}
