//! Reports the progress of `up`: a line for each completed step, and for each object that takes
//! longer than usual.

use crate::deploy::Event;
use crate::terminal::Terminal;
use crate::up::{Ended, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time after which the reason of a starting pod is reported.
const USUAL: Duration = Duration::from_secs(10);

/// An object that is not ready.
struct Wait {
    since: Instant,
    /// Why it is not ready now.
    reason: String,
    /// Reported reasons. Each is reported once, because reasons alternate: an image that cannot be
    /// pulled is retried again and again.
    reported: BTreeSet<String>,
}

impl Default for Wait {
    fn default() -> Wait {
        Wait {
            since: Instant::now(),
            reason: String::new(),
            reported: BTreeSet::new(),
        }
    }
}

pub struct Lines<'a> {
    terminal: &'a Terminal,
    /// The objects that are waited for.
    waits: Mutex<BTreeMap<String, Wait>>,
}

impl<'a> Lines<'a> {
    pub fn new(terminal: &'a Terminal) -> Lines<'a> {
        Lines {
            terminal,
            waits: Mutex::default(),
        }
    }
}

impl Report for Lines<'_> {
    fn ended(&self, ended: &Ended) {
        let action = &ended.step.action;
        match &ended.result {
            Ok(()) => {
                let seconds = ended.took.as_secs_f64();
                self.terminal.note(&format!("{seconds:6.1}s  {action}"));
            }
            Err(_) => self.terminal.note(&format!(" failed  {action}")),
        }
    }

    fn release(&self, namespace: &str, event: &Event) {
        match event {
            Event::Warning { message } => self
                .terminal
                .warn(&format!("namespace {namespace}: {message}")),
            Event::Waiting {
                object,
                ready,
                reason,
                ..
            } => {
                let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
                match ready {
                    true => drop(waits.remove(object)),
                    false => waits.entry(object.clone()).or_default().reason = reason.clone(),
                }
            }
            _ => {}
        }
    }

    fn tick(&self) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        for (object, wait) in &mut *waits {
            let Wait {
                since,
                reason,
                reported,
            } = wait;
            if since.elapsed() > USUAL && reported.insert(reason.clone()) {
                self.terminal.note(&format!("         {object}: {reason}"));
            }
        }
    }
}
