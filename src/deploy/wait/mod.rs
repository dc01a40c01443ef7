//! Waits until objects are ready, deleted or finished. Uses one watch per kind for the whole
//! operation, and finds the most specific reason for each object that is not ready.
//!
//! The cost depends on the number of changes, not of objects: an object is evaluated only when it
//! or one of its pods has changed.

mod awaited;
mod interrupt;
mod listener;
mod snapshot;
mod objects;
mod report;
mod round;

use super::{Event, Progress, progress};
use crate::cluster::{
    ApiErrorKind::{Conflict, Replaced, Timeout, Unavailable, Unreachable},
    ApiResult, Cluster, Delete, Kind, WatchEvent,
};
use crate::error::{Error, Result};
use crate::manifest::ObjectKey;
use crate::manifest::live::Live;
use crate::manifest::readiness::{self, Readiness};
pub use awaited::{Awaited, Standing};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
pub use interrupt::{interrupt, interrupted};
use listener::Listener;
use objects::{Objects, PODS_NOT_READY};
pub use report::container_logs;
use round::{Round, Troubled, Verdict};
use serde_json::Value;
pub use snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Interval of checks of the time if nothing happens.
const TICK: Duration = Duration::from_millis(500);

/// The end of a wait.
enum End<T> {
    Done(T),
    /// These objects will not become ready.
    Failed,
    TimedOut,
}

/// The events of one kind's watch.
type Events = BoxStream<'static, (Arc<Watched>, ApiResult<WatchEvent<Observed>>)>;

/// Waits for objects. Their kinds are watched from the first wait to the end of the operation.
pub struct Monitor<'a> {
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
    interrupted: watch::Receiver<bool>,
    streams: SelectAll<Events>,
    watched: BTreeSet<Arc<Watched>>,
    /// Kinds whose first list is complete, so that objects missing in `objects` do not exist.
    listed: BTreeSet<Arc<Watched>>,
    objects: Objects,
    listener: Listener,
    troubled: Troubled,
    reported: BTreeMap<ObjectKey, Readiness>,
}

/// An object from a watch.
type Observed = (ObjectKey, Live);

/// A kind in a namespace, or in the whole cluster.
type Watched = (Kind, Option<String>);

impl<'a> Monitor<'a> {
    pub fn new(
        cluster: &'a Cluster,
        progress: &'a dyn Progress,
        interrupted: watch::Receiver<bool>,
    ) -> Monitor<'a> {
        Monitor {
            cluster,
            progress,
            interrupted,
            streams: SelectAll::new(),
            watched: BTreeSet::new(),
            listed: BTreeSet::new(),
            objects: Objects::default(),
            listener: Listener::default(),
            troubled: BTreeMap::new(),
            reported: BTreeMap::new(),
        }
    }

    /// Sets the time at which the run began to write, by the server's clock (RFC 3339, UTC).
    pub fn since(self, began: &str) -> Monitor<'a> {
        Monitor {
            objects: Objects::since(began),
            ..self
        }
    }

    /// Returns true if objects like this are watched.
    pub fn looks_at(key: &ObjectKey) -> bool {
        readiness::is_awaited(&key.group, &key.kind)
    }

    /// Adds the state of an object from a read or write. Older states are ignored from then on.
    pub fn note(&mut self, key: &ObjectKey, body: &Value) {
        if Monitor::looks_at(key) {
            self.objects.note(key, Live::of(key, body));
        }
    }

    /// Waits until all of these are ready.
    ///
    /// # Errors
    ///
    /// Fails on timeout, on interruption, or early if an object has failed permanently. Lists each
    /// object with its reason, and the last lines of a crashed container.
    pub async fn until_ready(&mut self, awaited: &[Awaited], timeout: Duration) -> Result<()> {
        // Only Services that wait for a load balancer are worth counting.
        let counts = |one: &&Awaited| {
            Monitor::looks_at(&one.key)
                && (one.key.kind != "Service" || self.state(one) != Readiness::Ready)
        };
        let awaited: Vec<&Awaited> = awaited.iter().filter(counts).collect();
        if awaited
            .iter()
            .all(|one| self.state(one) == Readiness::Ready)
        {
            awaited.iter().for_each(|one| self.progress.done(&one.key));
            return Ok(());
        }
        self.until_done(&awaited, Instant::now(), timeout, |_, round| {
            round.is_over().then_some(())
        })
        .await
    }

    /// Waits until `choose` returns a result, which depends on these objects. The timeout counts
    /// from `began`.
    ///
    /// # Errors
    ///
    /// Fails like [`Monitor::until_ready`].
    pub async fn until<T>(
        &mut self,
        awaited: &[Awaited],
        began: Instant,
        timeout: Duration,
        choose: impl Fn(&Monitor<'a>) -> Option<T>,
    ) -> Result<T> {
        let awaited: Vec<&Awaited> = awaited.iter().collect();
        self.until_done(&awaited, began, timeout, |monitor, _| choose(monitor))
            .await
    }

    async fn until_done<T>(
        &mut self,
        awaited: &[&Awaited],
        began: Instant,
        timeout: Duration,
        choose: impl Fn(&Monitor<'a>, &Round<'_>) -> Option<T>,
    ) -> Result<T> {
        progress::pass_on_warnings(self.cluster, self.progress);
        self.watch(awaited);
        let end = self.wait(awaited, began, timeout, choose).await;
        if !matches!(end, Ok(End::Done(_))) {
            self.progress.event(&Event::WaitOver);
        }
        match end? {
            End::Done(chosen) => Ok(chosen),
            End::Failed => Err(self.report(awaited, None).await),
            End::TimedOut => Err(self.report(awaited, Some(timeout)).await),
        }
    }

    async fn wait<T>(
        &mut self,
        awaited: &[&Awaited],
        began: Instant,
        timeout: Duration,
        choose: impl Fn(&Monitor<'a>, &Round<'_>) -> Option<T>,
    ) -> Result<End<T>> {
        let mut round = Round::new(awaited);
        loop {
            self.look_at_changes(awaited, &mut round).await?;
            if let Some(chosen) = choose(self, &round) {
                return Ok(End::Done(chosen));
            }
            let now = Instant::now();
            if round.has_failed(now) {
                return Ok(End::Failed);
            }
            if now >= began + timeout {
                return Ok(End::TimedOut);
            }
            if now >= began + listener::AFTER {
                self.listen(awaited);
            }
            tokio::select! {
                event = self.streams.next() => self.take(event)?,
                warning = self.listener.next() => self.objects.note_warning(warning),
                () = tokio::time::sleep(TICK) => {}
                () = interrupt(&mut self.interrupted) => return Err(interrupted()),
            }
            self.take_what_came()?;
        }
    }

    /// Evaluates changed objects again, reports news, and replaces pods that block their
    /// StatefulSets.
    async fn look_at_changes(&mut self, awaited: &[&Awaited], round: &mut Round<'_>) -> Result<()> {
        let changed = self.objects.take_changed();
        for key in changed.objects.iter() {
            if readiness::runs_pods(&key.kind) && self.objects.is_ready(key) {
                self.progress.done(key);
            }
        }
        let affected = round.affected(changed);
        for place in &affected {
            self.revive(awaited[*place]).await?;
        }
        let verdicts = round.judge_all(affected, &self.objects, &mut self.troubled, Instant::now());
        verdicts
            .into_iter()
            .for_each(|verdict| self.report_verdict(verdict, awaited.len()));
        Ok(())
    }

    /// Processes all events that have arrived.
    fn take_what_came(&mut self) -> Result<()> {
        while let Some(Some(event)) = self.streams.next().now_or_never() {
            self.take(Some(event))?;
        }
        while let Some(warning) = self.listener.next().now_or_never() {
            self.objects.note_warning(warning);
        }
        Ok(())
    }

    /// Listens to events in the namespaces of objects that run pods.
    fn listen(&mut self, awaited: &[&Awaited]) {
        let with_pods = awaited
            .iter()
            .filter(|one| one.key.kind == "Pod" || readiness::runs_pods(&one.key.kind));
        let namespaces: BTreeSet<&str> = with_pods
            .filter_map(|one| one.key.namespace.as_deref())
            .collect();
        for namespace in namespaces {
            self.listener.listen(self.cluster, namespace);
        }
    }

    /// Waits until an object with this UID is gone.
    pub async fn until_gone(
        &mut self,
        one: &Awaited,
        uid: Option<&str>,
        timeout: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let there = self.cluster.get(&one.api_version, &one.key).await?;
            let same =
                there.is_some_and(|body| uid.is_none_or(|uid| body["metadata"]["uid"] == uid));
            if !same {
                self.objects.remove(&one.key);
                self.progress.done(&one.key);
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::not_ready(format!(
                    "{} still exists after {}",
                    one.key,
                    seconds(timeout)
                ))
                .why("it is being deleted, but a finalizer or a running pod delays it"));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = interrupt(&mut self.interrupted) => return Err(interrupted()),
            }
        }
    }

    /// Updates the known state of these objects to the cluster's current state: opens watches,
    /// completes their lists, and processes all arrived events.
    ///
    /// Costs two requests for each kind and namespace, once per operation.
    pub async fn look(&mut self, awaited: &[&Awaited]) -> Result<()> {
        self.watch(awaited);
        while self.listed.len() < self.watched.len() {
            tokio::select! {
                event = self.streams.next() => self.take(event)?,
                () = interrupt(&mut self.interrupted) => return Err(interrupted()),
            }
        }
        // Yields, so that the runtime reads what has arrived.
        tokio::task::yield_now().await;
        self.take_what_came()
    }

    /// Waits for some time, unless the user interrupts.
    pub async fn pause(&mut self, time: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = interrupt(&mut self.interrupted) => Err(interrupted()),
        }
    }

    /// Returns the state of a member of a rollout group, as known from the watches.
    pub fn standing(&self, one: &Awaited) -> Standing {
        self.objects.standing(one)
    }

    /// Returns true if a member exists, or pods that it left.
    pub fn is_there(&self, one: &Awaited) -> bool {
        self.objects.is_there(one)
    }

    /// Returns the names of a member's pods.
    pub fn pod_names(&self, one: &Awaited) -> Vec<String> {
        self.objects
            .pods(one)
            .map(|(key, _)| key.name.clone())
            .collect()
    }

    fn state(&self, one: &Awaited) -> Readiness {
        self.objects.state(one)
    }

    fn watch(&mut self, awaited: &[&Awaited]) {
        let mut wanted: BTreeSet<(&str, &str, Option<&str>)> = BTreeSet::new();
        for one in awaited {
            let namespace = one.key.namespace.as_deref();
            wanted.insert((&one.api_version, &one.key.kind, namespace));
            if readiness::runs_pods(&one.key.kind) {
                wanted.insert(("v1", "Pod", namespace));
            }
        }
        for (api_version, kind, namespace) in wanted {
            let kind = Kind {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
            };
            let watched = Arc::new((kind, namespace.map(str::to_owned)));
            if self.watched.insert(Arc::clone(&watched)) {
                let (kind, namespace) = (*watched).clone();
                let group = kind
                    .api_version
                    .split_once('/')
                    .map_or("", |(group, _)| group)
                    .to_owned();
                let key = ObjectKey {
                    group,
                    kind: kind.kind.clone(),
                    namespace: None,
                    name: String::new(),
                };
                let selector = format!("!{}", crate::storage::RECORD_LABEL);
                let stream = self
                    .cluster
                    .watch(kind, namespace, selector, move |body| observed(&key, &body));
                self.streams.push(
                    stream
                        .map(move |event| (Arc::clone(&watched), event))
                        .boxed(),
                );
            }
        }
    }

    fn take(
        &mut self,
        event: Option<(Arc<Watched>, ApiResult<WatchEvent<Observed>>)>,
    ) -> Result<()> {
        let Some((watched, event)) = event else {
            return Ok(());
        };
        match event {
            Ok(WatchEvent::Present((key, live))) => self.objects.note(&key, live),
            Ok(WatchEvent::Deleted((key, live))) => {
                let uid = live.uid.clone();
                self.objects.note_deleted(&key, &uid, Some(live));
            }
            Ok(WatchEvent::Vanished((key, live))) => {
                self.objects.note_deleted(&key, &live.uid, None)
            }
            Ok(WatchEvent::Listed) => {
                self.listed.insert(watched);
            }
            Err(error) => {
                return Err(
                    Error::from(error).context(format!("cannot watch {} objects", watched.0.kind))
                );
            }
        }
        Ok(())
    }

    /// Reports the state of an object if it has changed.
    fn report_verdict(&mut self, verdict: Verdict<'_>, total: usize) {
        let Verdict {
            key,
            state,
            trouble,
            done,
        } = verdict;
        if matches!(&state, Readiness::Waiting(reason) if reason == readiness::UNSEEN || reason == PODS_NOT_READY)
        {
            // It was gone within a moment, which is not worth a message.
            return;
        }
        // An object that was ready at once is not worth a message.
        let before = self.reported.get(key);
        if before == Some(&state) || (before.is_none() && state == Readiness::Ready) {
            return;
        }
        let (ready, reason) = match &state {
            Readiness::Ready => (true, String::new()),
            Readiness::Waiting(reason) | Readiness::Failed(reason) => (false, reason.clone()),
        };
        self.progress.event(&Event::Waiting {
            object: key.to_string(),
            ready,
            trouble,
            reason,
            done,
            total,
            nodes: None,
        });
        self.reported.insert(key.clone(), state);
    }

    /// Deletes pods that block an ordered StatefulSet.
    ///
    /// A StatefulSet that starts its pods in order does not replace a pod that never became ready,
    /// even if its template is fixed (kubernetes/kubernetes#67250). The rollout would delete this
    /// pod of an older template anyway. Its volumes stay.
    async fn revive(&mut self, one: &Awaited) -> Result<()> {
        let stuck = self.objects.stuck_pods(one).into_iter();
        let stuck: Vec<_> = stuck
            .map(|(key, pod)| (key.clone(), pod.uid.to_string(), pod.version.to_string()))
            .collect();
        for (key, uid, version) in stuck {
            let how = Delete {
                uid: Some(uid),
                resource_version: Some(version),
                ..Delete::default()
            };
            match self.cluster.delete("v1", &key, how).await {
                // It has changed and may be ready now, or the response was lost. It is evaluated
                // again with the next event.
                Err(error)
                    if matches!(
                        error.kind,
                        Conflict | Replaced | Unavailable | Unreachable | Timeout
                    ) =>
                {
                    self.objects.look_again(&one.key);
                }
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    self.objects.remove(&key);
                }
            }
        }
        Ok(())
    }
}

/// Returns the key and the facts of an object of this kind.
fn observed(kind: &ObjectKey, body: &Value) -> Observed {
    let metadata = |name: &str| body["metadata"][name].as_str().map(str::to_owned);
    let key = ObjectKey {
        namespace: metadata("namespace"),
        name: metadata("name").unwrap_or_default(),
        ..kind.clone()
    };
    let live = Live::of(&key, body);
    (key, live)
}

pub fn seconds(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
