//! Tracks the progress of an operation: which of its nodes are done, and how long the others will
//! take.
//!
//! A node is a workload that the operation creates, changes, recreates or deletes. It begins when
//! it is written, and is done when it is ready or gone.
//!
//! The estimate is based on this operation only. Nodes of a rollout group take turns, so the
//! shortest and the longest turn so far bound the remaining turns. There is no estimate until a
//! group's first turn is over, while several nodes are in progress, or if a turn takes longer than
//! all turns before it.

use super::{Event, Progress};
use crate::manifest::{ObjectKey, readiness};
use crate::plan::{Action, Plan, Step};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Progress of an operation in nodes.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Nodes {
    /// Number of nodes that were written, including those that are done.
    pub begun: usize,
    pub done: usize,
    pub of: usize,
    /// Time since the first write, in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub elapsed: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<TimeLeft>,
}

/// Bounds of the time that the remaining nodes will take.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct TimeLeft {
    #[serde(serialize_with = "in_seconds")]
    pub least: Duration,
    #[serde(serialize_with = "in_seconds")]
    pub most: Duration,
    /// How long the estimate holds without events: until the current turn is longer than all turns
    /// before it.
    #[serde(skip)]
    pub holds: Duration,
}

fn in_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

impl TimeLeft {
    /// Returns the estimate after this time, or `None` if it no longer holds.
    pub fn after(self, time: Duration) -> Option<TimeLeft> {
        Some(TimeLeft {
            least: self.least.saturating_sub(time),
            most: self.most.saturating_sub(time),
            holds: self.holds.checked_sub(time)?,
        })
    }
}

/// The nodes of an operation. Times count from its beginning.
#[derive(Debug, Default)]
struct Course {
    nodes: BTreeMap<String, Node>,
    begun: usize,
    done: usize,
    /// Number of nodes that still have to take their turn, and of nodes whose turn it is.
    turns_ahead: usize,
    turns_under_way: usize,
    turns: BTreeMap<String, Turns>,
}

#[derive(Debug)]
struct Node {
    /// The rollout group in which the node takes its turn.
    group: Option<String>,
    state: NodeState,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum NodeState {
    Ahead,
    Begun,
    Done,
}

/// The turns of a rollout group.
#[derive(Debug, Default)]
struct Turns {
    /// Number of nodes whose turn has not begun.
    ahead: usize,
    /// When the last turn began, and when its node was done.
    last: Option<(Duration, Option<Duration>)>,
    shortest: Option<Duration>,
    longest: Duration,
}

impl Turns {
    fn begin(&mut self, now: Duration) {
        // The previous turn ends here, because an orderer's turn does not end with its readiness.
        if let Some((began, _)) = self.last.replace((now, None)) {
            self.measure(now.saturating_sub(began));
        }
        self.ahead -= 1;
    }

    fn end(&mut self, now: Duration) {
        if let Some((_, done)) = &mut self.last {
            done.get_or_insert(now);
        }
    }

    fn measure(&mut self, turn: Duration) {
        self.shortest = Some(self.shortest.map_or(turn, |shortest| shortest.min(turn)));
        self.longest = self.longest.max(turn);
    }

    /// Returns the time left for the current and the remaining turns, or `None` if it is unknown.
    fn left(&self, now: Duration) -> Option<TimeLeft> {
        let (began, done) = self.last?;
        let own = done.map(|done| done.saturating_sub(began));
        let shortest = self.shortest.into_iter().chain(own).min()?;
        let longest = self.longest.max(own.unwrap_or_default());
        let ahead = u32::try_from(self.ahead).ok()?;
        let (current, holds) = match own {
            Some(_) => (Duration::ZERO, longest),
            None => {
                let holds = longest.checked_sub(now.saturating_sub(began))?;
                (shortest.saturating_sub(now.saturating_sub(began)), holds)
            }
        };
        let under_way = if own.is_some() { Duration::ZERO } else { holds };
        Some(TimeLeft {
            least: shortest * ahead + current,
            most: longest * ahead + under_way,
            holds,
        })
    }
}

impl Course {
    fn of(plan: &Plan) -> Course {
        let mut course = Course::default();
        for step in plan.steps.iter().filter(|step| is_node(step)) {
            let takes_turns = matches!(step.action, Action::Change | Action::Recreate);
            let wanted = step.wanted.as_ref().filter(|_| takes_turns);
            let group = wanted.and_then(|wanted| wanted.rollout_group.as_deref());
            let group = group.filter(|group| !group.is_empty()).map(str::to_owned);
            course.add(step.key.to_string(), group);
        }
        course
    }

    fn add(&mut self, node: String, group: Option<String>) {
        if let Some(group) = &group {
            self.turns.entry(group.clone()).or_default().ahead += 1;
            self.turns_ahead += 1;
        }
        let state = NodeState::Ahead;
        self.nodes.insert(node, Node { group, state });
    }

    /// Records that a node was written. Returns false if it is not a node or has already begun.
    fn begin(&mut self, node: &str, now: Duration) -> bool {
        let node = self.nodes.get_mut(node);
        let Some(node) = node.filter(|node| node.state == NodeState::Ahead) else {
            return false;
        };
        node.state = NodeState::Begun;
        self.begun += 1;
        if let Some(turns) = node.group.as_ref().and_then(|it| self.turns.get_mut(it)) {
            turns.begin(now);
            self.turns_ahead -= 1;
            self.turns_under_way += 1;
        }
        true
    }

    /// Records that a node is ready or gone. Ignored before the node is written.
    fn end(&mut self, node: &str, now: Duration) {
        let node = self.nodes.get_mut(node);
        let Some(node) = node.filter(|node| node.state == NodeState::Begun) else {
            return;
        };
        node.state = NodeState::Done;
        self.done += 1;
        if let Some(turns) = node.group.as_ref().and_then(|it| self.turns.get_mut(it)) {
            turns.end(now);
            self.turns_under_way -= 1;
        }
    }

    /// Returns the progress, or `None` if the operation has no nodes.
    fn nodes(&self, now: Duration) -> Option<Nodes> {
        (!self.nodes.is_empty()).then(|| Nodes {
            begun: self.begun,
            done: self.done,
            of: self.nodes.len(),
            elapsed: now,
            left: self.left(now),
        })
    }

    fn left(&self, now: Duration) -> Option<TimeLeft> {
        let (ahead, under_way) = (self.nodes.len() - self.begun, self.begun - self.done);
        let one_by_one = ahead == self.turns_ahead
            && under_way == self.turns_under_way
            && under_way <= 1
            && ahead + under_way > 0;
        if !one_by_one {
            return None;
        }
        let is_open =
            |turns: &&Turns| turns.ahead > 0 || turns.last.is_some_and(|(_, done)| done.is_none());
        let mut sum = TimeLeft {
            least: Duration::ZERO,
            most: Duration::ZERO,
            holds: Duration::MAX,
        };
        for turns in self.turns.values().filter(is_open) {
            let left = turns.left(now)?;
            sum.least += left.least;
            sum.most += left.most;
            sum.holds = sum.holds.min(left.holds);
        }
        Some(sum)
    }
}

/// Returns true if a step writes or deletes a workload other than a Job.
fn is_node(step: &Step) -> bool {
    let writes = matches!(
        step.action,
        Action::Create | Action::Change | Action::Recreate | Action::Prune
    );
    writes && readiness::runs_pods(&step.key.kind) && step.key.kind != "Job"
}

/// Adds the progress in nodes to events.
pub(super) struct Counted<'a> {
    inner: &'a dyn Progress,
    began: Instant,
    course: Mutex<Course>,
}

impl<'a> Counted<'a> {
    pub fn of(plan: &Plan, inner: &'a dyn Progress) -> Counted<'a> {
        Counted {
            inner,
            began: Instant::now(),
            course: Mutex::new(Course::of(plan)),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Course, Duration) -> T) -> T {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut course, self.began.elapsed())
    }
}

impl Progress for Counted<'_> {
    fn event(&self, event: &Event) {
        let mut event = event.clone();
        match &mut event {
            Event::Applied { object, nodes, .. } => {
                let place = |course: &mut Course, now| {
                    course
                        .begin(object, now)
                        .then(|| course.nodes(now))
                        .flatten()
                };
                *nodes = self.with(place);
            }
            Event::Waiting { nodes, .. } => *nodes = self.with(|course, now| course.nodes(now)),
            _ => {}
        }
        self.inner.event(&event);
    }

    fn done(&self, key: &ObjectKey) {
        if readiness::runs_pods(&key.kind) {
            self.with(|course, now| course.end(&key.to_string(), now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn course(nodes: &[(&str, Option<&str>)]) -> Course {
        let mut course = Course::default();
        for (node, group) in nodes {
            course.add((*node).to_owned(), group.map(str::to_owned));
        }
        course
    }

    fn left(course: &Course, now: u64) -> Option<(u64, u64)> {
        let left = course.nodes(s(now))?.left?;
        Some((left.least.as_secs(), left.most.as_secs()))
    }

    fn counts(course: &Course) -> (usize, usize, usize) {
        let nodes = course.nodes(s(0)).expect("there are nodes");
        (nodes.begun, nodes.done, nodes.of)
    }

    #[test]
    fn turns_that_are_over_bound_those_to_come() {
        let group = Some("peers");
        let mut course = course(&[("a", group), ("b", group), ("c", group), ("d", group)]);
        assert_eq!((counts(&course), left(&course, 0)), ((0, 0, 4), None));
        assert!(course.begin("a", s(0)));
        assert_eq!(
            (counts(&course), left(&course, 10)),
            ((1, 0, 4), None),
            "none is done"
        );
        course.end("a", s(20));
        assert_eq!(
            (counts(&course), left(&course, 20)),
            ((1, 1, 4), Some((60, 60)))
        );
        // From one beginning to the next: what follows readiness belongs to the turn.
        assert!(course.begin("b", s(30)));
        assert_eq!(
            (counts(&course), left(&course, 40)),
            ((2, 1, 4), Some((80, 80)))
        );
        assert_eq!(left(&course, 61), None, "it takes longer than any before");
        course.end("b", s(90));
        assert_eq!(left(&course, 90), Some((60, 120)), "waits differ");
        assert!(course.begin("c", s(90)));
        assert_eq!(left(&course, 110), Some((40, 100)));
        assert_eq!(
            left(&course, 130),
            Some((30, 80)),
            "it is past the shortest, not the longest"
        );
        course.end("c", s(130));
        assert!(course.begin("d", s(130)));
        course.end("d", s(170));
        assert_eq!(
            (counts(&course), left(&course, 170)),
            ((4, 4, 4), None),
            "nothing is left"
        );
    }

    #[test]
    fn an_estimate_ages_until_it_no_longer_holds() {
        let mut course = course(&[
            ("a", Some("peers")),
            ("b", Some("peers")),
            ("c", Some("peers")),
        ]);
        course.begin("a", s(0));
        course.end("a", s(20));
        course.begin("b", s(20));
        let left = course
            .nodes(s(25))
            .and_then(|nodes| nodes.left)
            .expect("one is done");
        assert_eq!((left.least, left.most, left.holds), (s(35), s(35), s(15)));
        let later = left
            .after(s(15))
            .expect("the turn is as long as the one before");
        assert_eq!((later.least, later.most), (s(20), s(20)));
        assert_eq!(left.after(s(16)), None);
    }

    #[test]
    fn there_is_no_estimate_of_what_was_never_seen() {
        let (orderers, peers) = (Some("orderers"), Some("peers"));
        let mut two = course(&[("a", orderers), ("b", orderers), ("x", peers), ("y", peers)]);
        two.begin("a", s(0));
        two.end("a", s(20));
        assert_eq!(left(&two, 20), None, "no peer is done");
        two.begin("b", s(20));
        two.end("b", s(40));
        two.begin("x", s(40));
        assert_eq!(left(&two, 45), None);
        two.end("x", s(50));
        assert_eq!(left(&two, 50), Some((10, 10)));

        let mut alone = course(&[("a", peers), ("b", peers), ("ca", None)]);
        alone.begin("a", s(0));
        alone.end("a", s(20));
        assert_eq!(left(&alone, 20), None, "the CA server takes no turn");
        alone.begin("ca", s(20));
        assert_eq!(left(&alone, 20), None);
        alone.end("ca", s(21));
        assert_eq!(left(&alone, 21), Some((20, 20)));

        // An install: all start together.
        let mut together = course(&[("a", None), ("b", None), ("c", None)]);
        for node in ["a", "b", "c"] {
            together.begin(node, s(0));
        }
        together.end("b", s(5));
        assert_eq!((counts(&together), left(&together, 5)), ((3, 1, 3), None));
    }

    #[test]
    fn a_node_counts_once_and_not_before_it_is_written() {
        let mut course = course(&[("a", Some("peers")), ("b", Some("peers"))]);
        course.end("a", s(1));
        assert_eq!(counts(&course), (0, 0, 2), "it was ready before");
        assert!(course.begin("a", s(2)) && !course.begin("a", s(3)));
        assert!(!course.begin("Service org1/a", s(3)), "no node");
        course.end("a", s(4));
        course.end("a", s(9));
        assert_eq!(counts(&course), (1, 1, 2));
        assert_eq!(left(&course, 9), Some((2, 2)));
        assert_eq!(Course::default().nodes(s(0)), None);
    }
}
