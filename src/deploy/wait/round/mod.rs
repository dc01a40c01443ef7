//! One wait. Evaluates each object at the start, and again only if it has changed.

use super::Awaited;
use super::objects::{Changed, Objects};
use crate::manifest::ObjectKey;
use crate::manifest::readiness::Readiness;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// When a trouble that must not last was first seen, by object.
pub type Troubled = BTreeMap<ObjectKey, Instant>;

/// The states of the objects of one wait, by index.
pub struct Round<'r> {
    awaited: &'r [&'r Awaited],
    places: BTreeSet<(&'r ObjectKey, usize)>,
    /// Objects that may have left pods without an owner.
    may_have_left: Vec<usize>,
    begun: bool,
    judged: bool,
    waiting: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    /// Objects with a trouble that must not last, ordered by the time at which it becomes final.
    troubled: BTreeSet<(Instant, usize)>,
    /// The same by index.
    ends: Vec<Option<Instant>>,
}

/// The news about an object.
pub struct Verdict<'r> {
    pub key: &'r ObjectKey,
    /// The state, with the most specific known reason.
    pub state: Readiness,
    /// Whether the reason comes from a pod, or is final.
    pub trouble: bool,
    /// Number of ready objects, including this one.
    pub done: usize,
}

impl<'r> Round<'r> {
    pub fn new(awaited: &'r [&'r Awaited]) -> Round<'r> {
        let places = awaited.iter().enumerate();
        Round {
            awaited,
            places: places
                .clone()
                .map(|(place, one)| (&one.key, place))
                .collect(),
            may_have_left: places
                .filter(|(_, one)| !one.selector.is_null())
                .map(|(place, _)| place)
                .collect(),
            begun: false,
            judged: false,
            waiting: BTreeSet::new(),
            failed: BTreeSet::new(),
            troubled: BTreeSet::new(),
            ends: vec![None; awaited.len()],
        }
    }

    /// Returns the objects to evaluate: all at the start, then only changed ones.
    pub fn affected(&mut self, changed: Changed) -> BTreeSet<usize> {
        if !std::mem::replace(&mut self.begun, true) {
            return (0..self.awaited.len()).collect();
        }
        let mut affected = BTreeSet::new();
        for key in &changed.objects {
            affected.extend(
                self.places
                    .range((key, 0)..=(key, usize::MAX))
                    .map(|(_, place)| *place),
            );
        }
        if changed.free_pods {
            affected.extend(&self.may_have_left);
        }
        affected
    }

    /// Evaluates these objects one after the other, so that each changes the count.
    pub fn judge_all(
        &mut self,
        places: BTreeSet<usize>,
        objects: &Objects,
        troubled: &mut Troubled,
        now: Instant,
    ) -> Vec<Verdict<'r>> {
        let is_first = !std::mem::replace(&mut self.judged, true);
        let mut verdicts: Vec<_> = places
            .into_iter()
            .map(|place| self.judge(place, objects, troubled, now))
            .collect();
        if is_first {
            // Objects that were not evaluated yet counted as ready.
            let done = self.done();
            verdicts.iter_mut().for_each(|verdict| verdict.done = done);
        }
        verdicts
    }

    /// Evaluates one object.
    pub fn judge(
        &mut self,
        place: usize,
        objects: &Objects,
        troubled: &mut Troubled,
        now: Instant,
    ) -> Verdict<'r> {
        let one = self.awaited[place];
        let state = objects.state(one);
        let deepest = if matches!(state, Readiness::Waiting(_)) {
            objects.deepest(one)
        } else {
            None
        };
        match state {
            Readiness::Ready => self.waiting.remove(&place),
            _ => self.waiting.insert(place),
        };
        match matches!(state, Readiness::Failed(_)) {
            true => self.failed.insert(place),
            false => self.failed.remove(&place),
        };
        if let Some(ends) = self.ends[place].take() {
            self.troubled.remove(&(ends, place));
        }
        match deepest
            .as_ref()
            .and_then(|trouble| trouble.severity.grace())
        {
            Some(grace) => {
                let ends = *troubled.entry(one.key.clone()).or_insert(now) + grace;
                self.troubled.insert((ends, place));
                self.ends[place] = Some(ends);
            }
            None => {
                troubled.remove(&one.key);
            }
        }
        let trouble = deepest.is_some() || matches!(state, Readiness::Failed(_));
        let state = deepest.map_or(state, |trouble| Readiness::Waiting(trouble.reason));
        Verdict {
            key: &one.key,
            state,
            trouble,
            done: self.done(),
        }
    }

    /// Returns the number of ready objects.
    pub fn done(&self) -> usize {
        self.awaited.len() - self.waiting.len()
    }

    /// Returns true if all objects are ready.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns true if an object will not become ready: it reports so itself, or its pods have a
    /// permanent trouble.
    pub fn has_failed(&self, now: Instant) -> bool {
        !self.failed.is_empty() || self.troubled.first().is_some_and(|(ends, _)| now >= *ends)
    }
}

#[cfg(test)]
#[path = "../../../../tests/support/counts.rs"]
mod counts;
#[cfg(test)]
mod tests;
