//! Rollout groups: decides which member changes next, so that at most one member of a group is down
//! at any time, for any reason.
//!
//! A member is changed only while all others of its group are ready in the cluster's current state.
//! This run's own actions do not count, because an earlier run may have been interrupted, and
//! others restart members too. For orderers, their metrics are checked as well ([`super::quorum`]).

use super::quorum::{self, Answer, PAUSE, Quorum};
use super::wait::{self, Awaited, Monitor, Standing};
use super::{Options, Writer};
use crate::error::{Error, Kind, Result, nearest};
use crate::fabric::quorum::Missing;
use crate::manifest::{self, ObjectKey};
use crate::plan::{Action, Plan, Step};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// The rollout groups of a release.
pub struct Groups<'p> {
    /// All members: changing, unchanged and leaving.
    members: BTreeMap<&'p str, Vec<Member<'p>>>,
    /// The index of each member in its group.
    places: HashMap<&'p ObjectKey, usize>,
    /// The orderers' answers, for groups of which a member has been changed.
    quorums: BTreeMap<&'p str, Quorum>,
    /// `--allow-down Channel/NAME`
    unwatched: BTreeSet<String>,
}

struct Member<'p> {
    step: &'p Step,
    awaited: Awaited,
    /// Named by `--allow-down`.
    may_be_down: bool,
}

/// Checks the arguments of `--allow-down`.
///
/// # Errors
///
/// Fails if one is not a member of a rollout group.
pub fn check(plan: &Plan, options: &Options) -> Result<()> {
    if options.allow_down.is_empty() {
        return Ok(());
    }
    let groups = Groups::of(plan, options);
    let is_member = |named: &&String| {
        channel(named).is_some()
            || groups
                .members()
                .any(|member| is_named(&member.step.key, named))
    };
    let Some(unknown) = options.allow_down.iter().find(|named| !is_member(named)) else {
        return Ok(());
    };
    let names: Vec<String> = groups
        .members()
        .map(|member| format!("{}/{}", member.step.key.kind, member.step.key.name))
        .collect();
    let error = Error::user(format!(
        "--allow-down names \"{unknown}\", which is not a member of a rollout group"
    ));
    Err(match nearest(unknown, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error.hint(format!("its members are {}", names.join(", "))),
    })
}

impl<'p> Groups<'p> {
    pub fn of(plan: &'p Plan, options: &Options) -> Groups<'p> {
        let mut groups: BTreeMap<&str, Vec<Member>> = BTreeMap::new();
        for step in &plan.steps {
            let Some(group) = group_of(step) else {
                continue;
            };
            let selector = step
                .wanted
                .as_ref()
                .filter(|_| matches!(step.action, Action::Create | Action::Recreate));
            let selector = selector.map_or(Value::Null, |wanted| {
                wanted.body()["spec"]["selector"]["matchLabels"].take()
            });
            let awaited = Awaited::serving(&step.key, &step.api_version, selector);
            let may_be_down = options
                .allow_down
                .iter()
                .any(|named| is_named(&step.key, named));
            groups.entry(group).or_default().push(Member {
                step,
                awaited,
                may_be_down,
            });
        }
        let places = groups
            .values()
            .flat_map(|members| places(members))
            .collect();
        let unwatched = options
            .allow_down
            .iter()
            .filter_map(|named| channel(named))
            .map(str::to_owned)
            .collect();
        Groups {
            members: groups,
            places,
            quorums: BTreeMap::new(),
            unwatched,
        }
    }

    pub fn may_be_down(&self, key: &ObjectKey) -> bool {
        self.members()
            .any(|member| member.may_be_down && member.step.key == *key)
    }

    fn members(&self) -> impl Iterator<Item = &Member<'p>> {
        self.members.values().flatten()
    }

    fn group(&self, step: &Step) -> &[Member<'p>] {
        group_of(step)
            .and_then(|group| self.members.get(group))
            .map_or(&[], Vec::as_slice)
    }

    fn member(&self, step: &Step) -> Option<&Member<'p>> {
        let place = self.places.get(&step.key)?;
        self.group(step)
            .get(*place)
            .filter(|member| member.step.key == step.key)
    }

    /// Updates the known state of the groups of these steps.
    pub async fn look(&self, steps: &[&Step], monitor: &mut Monitor<'_>) -> Result<()> {
        let names: BTreeSet<&str> = steps.iter().filter_map(|step| group_of(step)).collect();
        let members = names
            .iter()
            .filter_map(|name| self.members.get(name))
            .flatten();
        let awaited: Vec<&Awaited> = members.map(|member| &member.awaited).collect();
        if awaited.is_empty() {
            Ok(())
        } else {
            monitor.look(&awaited).await
        }
    }

    /// Returns true if a step writes a member.
    pub fn writes(&self, step: &Step) -> bool {
        step.action != Action::Unchanged && !self.group(step).is_empty()
    }

    /// Returns true if a step changes a running member.
    ///
    /// A new member has nothing to lose and starts together with the others. If pods of its name
    /// run because their StatefulSet was deleted without them, the new StatefulSet adopts and
    /// replaces them, and the step counts as a change.
    pub fn takes_turns(&self, step: &Step, monitor: &Monitor<'_>) -> bool {
        self.member(step).is_some_and(|member| match step.action {
            Action::Change | Action::Recreate => true,
            Action::Create => monitor.is_there(&member.awaited),
            _ => false,
        })
    }

    /// Returns true if a member leaves a group in which others stay.
    pub fn leaves_others(&self, step: &Step) -> bool {
        let stays = |member: &Member| member.step.action != Action::Prune;
        step.action == Action::Prune
            && self.member(step).is_some()
            && self.group(step).iter().any(stays)
    }

    /// Removes a deleted member.
    pub fn forget(&mut self, step: &Step) {
        let Some(group) = group_of(step) else { return };
        if let Some(members) = self.members.get_mut(group) {
            members.retain(|member| member.step.key != step.key);
            self.places.remove(&step.key);
            self.places.extend(places(members));
        }
        if let Some(quorum) = self.quorums.get_mut(group) {
            quorum.forget(&step.key);
        }
    }

    /// Returns leaving members of these steps' groups that are down.
    ///
    /// Deleting them at once does not affect their groups, and the others need not wait for members
    /// that will not come back.
    pub fn down_and_leaving(&self, steps: &[&Step], monitor: &Monitor<'_>) -> Vec<&'p Step> {
        let groups: BTreeSet<&str> = steps.iter().filter_map(|step| group_of(step)).collect();
        let members = groups
            .iter()
            .filter_map(|group| self.members.get(group))
            .flatten();
        let leaving = members.filter(|member| member.step.action == Action::Prune);
        leaving
            .filter(|member| monitor.standing(&member.awaited) == Standing::Down)
            .map(|member| member.step)
            .collect()
    }

    /// Returns a step whose member is already down. The step takes nothing away, and may repair the
    /// member.
    pub fn down<'s>(&self, steps: &[&'s Step], monitor: &Monitor<'_>) -> Option<&'s Step> {
        let is_down = |step: &&Step| {
            self.member(step)
                .is_some_and(|member| monitor.standing(&member.awaited) == Standing::Down)
        };
        steps.iter().copied().find(|step| is_down(step))
    }

    /// Waits until one of the steps in the first step's group may proceed, and returns it. All
    /// others of the group are ready then, or its member is down.
    ///
    /// Orderers must also be in their channels' consensus groups. Leaders come last.
    ///
    /// # Errors
    ///
    /// Fails if the group does not become complete in time, or cannot. Names the members that are
    /// down, the reasons, and how to continue.
    pub async fn turn<'s>(
        &mut self,
        writer: &Writer<'_>,
        steps: &[&'s Step],
        monitor: &mut Monitor<'_>,
    ) -> Result<&'s Step> {
        let group = group_of(steps[0]).unwrap_or_default();
        let steps: Vec<&'s Step> = steps
            .iter()
            .copied()
            .filter(|step| group_of(step) == Some(group))
            .collect();
        let began = Instant::now();
        let mut said = String::new();
        loop {
            let step = self.by_readiness(writer, &steps, began, monitor).await?;
            if self.down(&[step], monitor).is_some() {
                return Ok(step);
            }
            match self.ask(writer, group, monitor).await {
                Answer::Whole { leaders } => {
                    // Time has passed during the query.
                    self.look(&steps, monitor).await?;
                    if let Some(step) = self.choose(&steps, monitor) {
                        let follows = steps
                            .iter()
                            .copied()
                            .find(|step| !leaders.contains(&step.key));
                        let is_any = self.is_whole(&steps, monitor);
                        return Ok(follows.filter(|_| is_any).unwrap_or(step));
                    }
                }
                Answer::Alone(key, missing) => {
                    match steps.iter().copied().find(|step| step.key == key) {
                        Some(step) if self.is_whole(&steps, monitor) => return Ok(step),
                        _ => {
                            self.wait_for(writer, group, &missing, began, &mut said, monitor)
                                .await?
                        }
                    }
                }
                Answer::Missing(missing) => {
                    self.wait_for(writer, group, &missing, began, &mut said, monitor)
                        .await?
                }
            }
        }
    }

    /// Waits until the orderers of all changed groups have rejoined their channels' consensus
    /// groups.
    ///
    /// # Errors
    ///
    /// Fails if this takes too long.
    pub async fn settle(&mut self, writer: &Writer<'_>, monitor: &mut Monitor<'_>) -> Result<()> {
        let groups: Vec<&'p str> = self.quorums.keys().copied().collect();
        for group in groups {
            let (began, mut said) = (Instant::now(), String::new());
            while let Answer::Missing(missing) | Answer::Alone(_, missing) =
                self.ask(writer, group, monitor).await
            {
                self.wait_for(writer, group, &missing, began, &mut said, monitor)
                    .await?;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, writer: &Writer<'_>, group: &str, monitor: &Monitor<'_>) -> Answer {
        let Some((name, members)) = self.members.get_key_value(group) else {
            return Answer::Whole {
                leaders: BTreeSet::new(),
            };
        };
        let quorum = self.quorums.entry(*name).or_insert_with(|| {
            Quorum::of(
                members
                    .iter()
                    .map(|it| (it.step, &it.awaited, it.may_be_down)),
            )
        });
        quorum.ask(writer.context, monitor, &self.unwatched).await
    }

    async fn wait_for(
        &self,
        writer: &Writer<'_>,
        group: &str,
        missing: &[Missing],
        began: Instant,
        said: &mut String,
        monitor: &mut Monitor<'_>,
    ) -> Result<()> {
        let timeout = writer.options.timeout;
        if began.elapsed() >= timeout {
            return Err(quorum::incomplete(group, missing, &wait::seconds(timeout)));
        }
        let words = quorum::words(missing);
        if *said != words {
            writer
                .context
                .step(&format!("waiting for the orderers: {words}"));
            *said = words;
        }
        monitor.pause(PAUSE).await
    }

    /// Returns the members whose state the others depend on.
    fn counted<'g>(
        &'g self,
        step: &Step,
        monitor: &'g Monitor<'_>,
    ) -> impl Iterator<Item = &'g Member<'p>> {
        let counts = |member: &&Member| {
            member.step.action != Action::Create || monitor.is_there(&member.awaited)
        };
        self.group(step)
            .iter()
            .filter(|member| !member.may_be_down)
            .filter(counts)
    }

    fn is_whole(&self, steps: &[&Step], monitor: &Monitor<'_>) -> bool {
        self.counted(steps[0], monitor)
            .all(|member| monitor.standing(&member.awaited) == Standing::Up)
    }

    /// Returns the step that may proceed by the readiness of its group, or `None`.
    fn choose<'s>(&self, steps: &[&'s Step], monitor: &Monitor<'_>) -> Option<&'s Step> {
        let mut missing = self
            .counted(steps[0], monitor)
            .filter(|member| monitor.standing(&member.awaited) != Standing::Up);
        match (missing.next(), missing.next()) {
            (None, _) => steps.first().copied(),
            // If one member is not ready, only that member may change, because the others are
            // unaffected.
            (Some(one), None) if steps.iter().any(|step| step.key == one.step.key) => {
                steps.iter().copied().find(|step| step.key == one.step.key)
            }
            _ => self.down(steps, monitor),
        }
    }

    async fn by_readiness<'s>(
        &self,
        writer: &Writer<'_>,
        steps: &[&'s Step],
        began: Instant,
        monitor: &mut Monitor<'_>,
    ) -> Result<&'s Step> {
        self.look(steps, monitor).await?;
        if let Some(step) = self.choose(steps, monitor) {
            return Ok(step);
        }
        let group = group_of(steps[0]).unwrap_or_default();
        writer.context.step(&format!(
            "a member of rollout group \"{group}\" is not ready; the other members wait for it"
        ));
        let awaited: Vec<Awaited> = self
            .counted(steps[0], monitor)
            .map(|member| member.awaited.clone())
            .collect();
        let turn = monitor
            .until(&awaited, began, writer.options.timeout, |monitor| {
                self.choose(steps, monitor)
            })
            .await;
        turn.map_err(|error| match error.kind() {
            Kind::NotReady => self.held_up(writer, steps, &awaited, monitor, error),
            _ => error,
        })
    }

    fn held_up(
        &self,
        writer: &Writer<'_>,
        steps: &[&Step],
        awaited: &[Awaited],
        monitor: &Monitor<'_>,
        error: Error,
    ) -> Error {
        let left: Vec<String> = steps.iter().map(|step| step.key.to_string()).collect();
        let group = group_of(steps[0]).unwrap_or_default();
        let down = awaited
            .iter()
            .filter(|one| monitor.standing(one) != Standing::Up);
        let flags: Vec<String> = down
            .map(|one| format!("--allow-down {}/{}", one.key.kind, one.key.name))
            .collect();
        let context = writer.context;
        error
            .context(format!("the rollout of group \"{group}\" has stopped: a member outside the plan is down"))
            .why(format!("while it is down, no other member changes; remaining: {}", left.join(", ")))
            .hint(format!(
                "bring it back, then run the same command again: `{}`, `kubectl -n {} get pods`",
                context.command("status"),
                context.namespace
            ))
            .hint(format!(
                "only if the group can work without it while another member restarts, name it to continue: `{}`",
                flags.join(" ")
            ))
    }
}

fn places<'p>(members: &[Member<'p>]) -> impl Iterator<Item = (&'p ObjectKey, usize)> {
    members
        .iter()
        .enumerate()
        .map(|(place, member)| (&member.step.key, place))
}

/// Returns the group of the desired object, or otherwise of the live one. A change that removes an
/// object from its group still follows the group's rule.
fn group_of(step: &Step) -> Option<&str> {
    let wanted = step
        .wanted
        .as_ref()
        .and_then(|wanted| wanted.rollout_group.as_deref());
    let live = || step.live.as_ref().and_then(manifest::rollout_group);
    wanted
        .filter(|group| !group.is_empty())
        .or_else(live)
        .filter(|group| !group.is_empty())
}

/// Returns the channel in `Channel/NAME`.
fn channel(named: &str) -> Option<&str> {
    named
        .split_once('/')
        .filter(|(kind, _)| kind.eq_ignore_ascii_case("Channel"))
        .map(|(_, name)| name)
}

fn is_named(key: &ObjectKey, named: &str) -> bool {
    named
        .split_once('/')
        .is_some_and(|(kind, name)| kind.eq_ignore_ascii_case(&key.kind) && name == key.name)
}
