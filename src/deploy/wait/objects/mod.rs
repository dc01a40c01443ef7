//! The objects known from the watches: their states, the owners of pods, and the state of each
//! member.

#[cfg(test)]
mod tests;

use super::{Awaited, Standing};
use crate::manifest::ObjectKey;
use crate::manifest::events::Warning;
use crate::manifest::live::{Live, Newest, Pod, Role};
use crate::manifest::readiness::{Readiness, runs_pods};
use crate::manifest::trouble::{Cause, Restarts, Severity, Trouble, worst};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Reason for a member whose status is ahead of its pods.
pub(super) const PODS_NOT_READY: &str = "not all of its pods are ready";

/// Live objects of the watched kinds.
#[derive(Default)]
pub struct Objects {
    live: BTreeMap<Arc<ObjectKey>, Live>,
    /// Last states of objects that were deleted during the watch.
    deleted: BTreeMap<ObjectKey, Live>,
    /// Pods by owner.
    owned: BTreeMap<ObjectKey, Vec<Arc<ObjectKey>>>,
    /// Pods without an owner.
    free: BTreeSet<Arc<ObjectKey>>,
    /// Time at which this run began to write, by the server's clock. Empty for a run without a
    /// record.
    began: String,
    /// For pods older than the run: their restarts when first seen, by UID.
    restarts: BTreeMap<Box<str>, Restarts>,
    /// The newest useful event about each object.
    warnings: BTreeMap<ObjectKey, Arc<Warning>>,
    /// The newest useful event about volume claims, by the pods that may wait for them.
    claims: BTreeMap<ObjectKey, Arc<Warning>>,
    /// Changes since they were last taken.
    changed: Changed,
}

/// Objects with changes.
#[derive(Default)]
pub struct Changed {
    /// Changed objects, and the owners of changed pods.
    pub objects: BTreeSet<ObjectKey>,
    /// Whether a pod without an owner is among them.
    pub free_pods: bool,
}

impl Objects {
    /// Creates an empty set for a run that began to write at this time, by the server's clock (RFC
    /// 3339, UTC).
    pub fn since(began: &str) -> Objects {
        Objects {
            began: began.to_owned(),
            ..Objects::default()
        }
    }

    /// Adds the state of an object, unless a newer one is known.
    pub fn note(&mut self, key: &ObjectKey, mut live: Live) {
        let known = self.live.get_key_value(key);
        if known.is_some_and(|(_, known)| live.is_older_than(known)) {
            return;
        }
        let known_key = known.map(|(key, _)| Arc::clone(key));
        if let Role::Pod(pod) = &mut live.role {
            let restarts = std::mem::take(&mut pod.restarts);
            // Times of the same format and clock can be compared as text.
            if !live.created.is_empty() && *live.created < *self.began {
                self.restarts.entry(live.uid.clone()).or_insert(restarts);
            }
            if known
                .and_then(|(_, known)| known.pod())
                .is_none_or(|known| known.owners != pod.owners)
            {
                let owners = pod.owners.clone();
                self.disown(key);
                self.own(
                    known_key.clone().unwrap_or_else(|| Arc::new(key.clone())),
                    &owners,
                );
            }
        }
        self.deleted.remove(key);
        self.mark(key, &live);
        self.live
            .insert(known_key.unwrap_or_else(|| Arc::new(key.clone())), live);
    }

    /// Adds an event, unless a newer one about the same object is known.
    pub fn note_warning(&mut self, warning: Warning) {
        if self
            .warnings
            .get(&warning.about)
            .is_some_and(|known| known.at > warning.at)
        {
            return;
        }
        let warning = Arc::new(warning);
        for pod in warning.waiting_pods() {
            self.look_again_with_owners(&pod);
            self.claims.insert(pod, Arc::clone(&warning));
        }
        self.look_again_with_owners(&warning.about);
        self.warnings.insert(warning.about.clone(), warning);
    }

    /// Records that an object was deleted, with its last state if known. If two objects have the
    /// same name, only the older one can have been deleted.
    pub fn note_deleted(&mut self, key: &ObjectKey, uid: &str, last: Option<Live>) {
        if self.live.get(key).is_some_and(|known| *known.uid == *uid)
            && let Some(known) = self.remove(key)
        {
            self.deleted.insert(key.clone(), last.unwrap_or(known));
        }
    }

    /// Removes an object that is gone.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Live> {
        self.disown(key);
        let live = self.live.remove(key)?;
        self.mark(key, &live);
        Some(live)
    }

    /// Returns the changes since the last call.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// Marks an object for another evaluation.
    pub fn look_again(&mut self, key: &ObjectKey) {
        self.changed.objects.insert(key.clone());
    }

    fn look_again_with_owners(&mut self, key: &ObjectKey) {
        if let Some(pod) = self.live.get(key).and_then(Live::pod) {
            self.changed.objects.extend(pod.owners.iter().cloned());
        }
        self.look_again(key);
    }

    fn mark(&mut self, key: &ObjectKey, live: &Live) {
        if let Some(pod) = live.pod() {
            self.changed.objects.extend(pod.owners.iter().cloned());
            self.changed.free_pods |= pod.owners.is_empty();
        }
        self.changed.objects.insert(key.clone());
    }

    fn own(&mut self, pod: Arc<ObjectKey>, owners: &[ObjectKey]) {
        for owner in owners {
            self.owned
                .entry(owner.clone())
                .or_default()
                .push(Arc::clone(&pod));
        }
        if owners.is_empty() {
            self.free.insert(pod);
        }
    }

    /// Removes a pod from its known owners.
    fn disown(&mut self, key: &ObjectKey) {
        let Some(pod) = self.live.get(key).and_then(Live::pod) else {
            return;
        };
        for owner in &pod.owners {
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.retain(|pod| **pod != *key);
                if owned.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
        self.changed.objects.extend(pod.owners.iter().cloned());
        self.free.remove(key);
    }

    /// Returns true if an object's own status shows that it is ready.
    pub fn is_ready(&self, key: &ObjectKey) -> bool {
        let live = self.live.get(key);
        live.is_some_and(|live| live.readiness == Readiness::Ready)
    }

    /// Returns the state of an object, including its pods.
    pub fn state(&self, one: &Awaited) -> Readiness {
        // A finished Job may be deleted at once (`ttlSecondsAfterFinished`).
        let deleted = self.deleted.get(&one.key).filter(|_| one.to_its_end);
        let Some(live) = self.live.get(&one.key).or(deleted) else {
            // A member's pods may continue to run without it.
            let runs_on = one.serves && self.serving(one) > 0;
            return if runs_on {
                Readiness::Ready
            } else {
                Readiness::Waiting("it does not exist yet".into())
            };
        };
        match (&live.readiness, &live.role) {
            (Readiness::Ready, Role::Workload(workload)) if one.serves => match self
                .pods(one)
                .find(|(_, pod)| pod.is_leaving)
            {
                _ if workload.wanted == 0 => Readiness::Waiting("it is scaled to 0".into()),
                _ if self.serving(one) >= workload.wanted => Readiness::Ready,
                Some((key, _)) => Readiness::Waiting(format!("pod {} is being deleted", key.name)),
                None => Readiness::Waiting(PODS_NOT_READY.into()),
            },
            (Readiness::Ready, Role::Pod(pod)) if !one.to_its_end || pod.has_succeeded => {
                Readiness::Ready
            }
            (Readiness::Ready, Role::Workload(_) | Role::Other) => Readiness::Ready,
            (Readiness::Ready | Readiness::Waiting(_), _) if deleted.is_some() => {
                Readiness::Failed("it was deleted before it completed".into())
            }
            (Readiness::Ready, Role::Pod(_)) => Readiness::Waiting("it is running".into()),
            (state, _) => state.clone(),
        }
    }

    /// Returns the state of a member of a rollout group.
    pub fn standing(&self, one: &Awaited) -> Standing {
        if self.state(one) == Readiness::Ready {
            Standing::Up
        } else if runs_pods(&one.key.kind) && self.serving(one) == 0 {
            Standing::Down
        } else {
            Standing::Unsettled
        }
    }

    /// Returns true if a member exists, or pods that it left.
    pub fn is_there(&self, one: &Awaited) -> bool {
        self.live.contains_key(&one.key) || self.serving(one) > 0
    }

    /// Returns the number of a member's serving pods.
    fn serving(&self, one: &Awaited) -> i64 {
        self.pods(one)
            .filter(|(_, pod)| pod.serves())
            .map(|_| 1)
            .sum()
    }

    /// Returns the pods of a workload. For a pod, returns the pod itself.
    pub fn pods<'m>(&'m self, one: &'m Awaited) -> impl Iterator<Item = (&'m ObjectKey, &'m Live)> {
        let itself = (one.key.kind == "Pod").then_some(&one.key);
        let owned = self
            .owned
            .get(&one.key)
            .into_iter()
            .flatten()
            .map(Arc::as_ref);
        let pods = itself
            .into_iter()
            .chain(owned)
            .filter_map(|key| Some((key, self.live.get(key)?)));
        pods.chain(self.left_pods(one))
    }

    /// Returns the pods of a workload that was deleted without them. They have no owner until its
    /// successor adopts them.
    fn left_pods<'m>(
        &'m self,
        one: &'m Awaited,
    ) -> impl Iterator<Item = (&'m ObjectKey, &'m Live)> {
        let selector = one
            .selector
            .as_object()
            .filter(|selector| !selector.is_empty());
        let selector = selector.filter(|_| !self.live.contains_key(&one.key));
        selector.into_iter().flat_map(move |selector| {
            let is_left = |pod: &Pod| {
                selector
                    .iter()
                    .all(|(name, value)| pod.labels.iter().any(|(n, v)| n == name && *value == **v))
            };
            let there = self
                .free
                .iter()
                .filter(|key| key.namespace == one.key.namespace);
            there.filter_map(move |key| {
                let live = self.live.get(key)?;
                live.pod()
                    .is_some_and(is_left)
                    .then_some((key.as_ref(), live))
            })
        })
    }

    /// Returns why a pod is not ready. Ignores restarts from before this run.
    pub fn trouble(&self, pod: &Live) -> Option<Trouble> {
        static NONE: Restarts = Restarts::new();
        worst(
            &pod.pod()?.troubles,
            self.restarts.get(&pod.uid).unwrap_or(&NONE),
        )
    }

    /// Returns the worst trouble of a workload, among its existing pods and those that cannot be
    /// created.
    ///
    /// Ignores pods of an older template, which will be replaced.
    pub fn deepest(&self, one: &Awaited) -> Option<Trouble> {
        let is_current = self.is_current(one);
        let unready = self.pods(one).filter(|(_, live)| {
            live.pod()
                .is_some_and(|pod| is_current(pod) && !pod.is_ready)
        });
        let troubles = unready.filter_map(|(key, live)| {
            let trouble = self.explained(key, live)?;
            Some(Trouble {
                reason: format!("pod {}: {}", key.name, trouble.reason),
                ..trouble
            })
        });
        troubles
            .chain(self.refusal(one))
            .max_by_key(|trouble| trouble.severity)
    }

    /// Returns why a pod is not ready, from its status and from events.
    fn explained(&self, key: &ObjectKey, live: &Live) -> Option<Trouble> {
        let own = || {
            self.warnings
                .get(key)
                .filter(|warning| *warning.uid == *live.uid)
                .map(|warning| self.weighed(warning))
        };
        let claim = || {
            let warning = self.claims.get(key)?;
            let trouble = self.weighed(warning);
            Some(Trouble {
                reason: format!("claim {}: {}", warning.about.name, trouble.reason),
                ..trouble
            })
        };
        let Some(trouble) = self.trouble(live) else {
            return claim();
        };
        let (deeper, joint) = match trouble.cause {
            Cause::Unscheduled => (claim(), "; "),
            Cause::Creating => (own().filter(|own| own.cause == Cause::Other), "; "),
            Cause::Pull => (
                own().filter(|own| matches!(own.cause, Cause::Image | Cause::Credentials)),
                ": ",
            ),
            _ => (None, ""),
        };
        let Some(deeper) = deeper else {
            return Some(trouble);
        };
        let reason = format!("{}{joint}{}", trouble.reason, deeper.reason);
        Some(Trouble {
            reason,
            severity: trouble.severity.max(deeper.severity),
            cause: deeper.cause,
            ..trouble
        })
    }

    /// Returns why a pod is not ready, or `None` if it is ready.
    pub fn why_unready(&self, key: &ObjectKey) -> Option<String> {
        let live = self
            .live
            .get(key)
            .filter(|live| live.pod().is_some_and(|pod| !pod.is_ready))?;
        let own = || match &live.readiness {
            Readiness::Ready => None,
            Readiness::Waiting(reason) | Readiness::Failed(reason) => Some(reason.clone()),
        };
        self.explained(key, live)
            .map(|trouble| trouble.reason)
            .or_else(own)
    }

    /// Returns why a workload's pods cannot be created.
    pub fn refusal(&self, one: &Awaited) -> Option<Trouble> {
        let live = self.live.get(&one.key)?;
        let workload = live.workload()?;
        if let Some(refusal) = &workload.refusal {
            return Some((**refusal).clone());
        }
        let warning = self
            .warnings
            .get(&one.key)
            .filter(|warning| *warning.uid == *live.uid)?;
        let is_missing = || {
            usize::try_from(workload.wanted)
                .is_ok_and(|wanted| self.pods(one).take(wanted).count() < wanted)
        };
        (!warning.is_about_missing_pod || is_missing()).then(|| self.weighed(warning))
    }

    /// Returns the trouble in an event, with its severity in this run.
    ///
    /// The cause of an earlier event may have been fixed since. A rejected controller often retries
    /// only after minutes.
    fn weighed(&self, warning: &Warning) -> Trouble {
        let trouble = warning.trouble.clone();
        if *warning.at >= *self.began {
            return trouble;
        }
        let reason = format!("{} (last tried at {})", trouble.reason, warning.at);
        Trouble {
            reason,
            severity: Severity::Passing,
            ..trouble
        }
    }

    /// Returns a function that recognizes pods of a workload's newest template.
    fn is_current(&self, one: &Awaited) -> impl Fn(&Pod) -> bool {
        let newest = match self.live.get(&one.key).map(|live| &live.role) {
            None => Newest::Unknown,
            Some(Role::Workload(workload)) => match &workload.newest {
                Newest::LastCreated => {
                    let last = self
                        .pods(one)
                        .max_by(|(_, one), (_, other)| one.created.cmp(&other.created));
                    last.and_then(|(_, live)| live.pod())
                        .map_or(Newest::Unknown, |pod| {
                            Newest::Template(pod.template.clone())
                        })
                }
                newest => newest.clone(),
            },
            Some(_) => Newest::All,
        };
        move |pod| match &newest {
            Newest::Unknown | Newest::LastCreated => false,
            Newest::All => true,
            Newest::Template(template) => pod.template == *template,
        }
    }

    /// Returns the pods of an older template that block an ordered StatefulSet.
    pub fn stuck_pods<'m>(&'m self, one: &'m Awaited) -> Vec<(&'m ObjectKey, &'m Live)> {
        let set = self.live.get(&one.key).and_then(Live::workload);
        let Some(_) = set.filter(|set| set.goes_in_order && set.newest != Newest::Unknown) else {
            return Vec::new();
        };
        let is_current = self.is_current(one);
        let holds_up = |live: &Live| {
            !live.is_leaving
                && live
                    .pod()
                    .is_some_and(|pod| !is_current(pod) && !pod.is_ready)
        };
        self.pods(one).filter(|(_, live)| holds_up(live)).collect()
    }
}
