//! Waiting until objects are ready, gone or done: one watch per kind for the whole operation, with the deepest reason known for each
//! object that is not ready.

use super::{Event, Progress};
use crate::cluster::{
    ApiError,
    ApiErrorKind::{Conflict, Replaced, Timeout, Unavailable, Unreachable},
    ApiResult, Cluster, Delete, Kind, WatchEvent,
};
use crate::error::{Error, Place, Result};
use crate::manifest::ObjectKey;
use crate::manifest::outline::remnant;
use crate::manifest::readiness::{self, Readiness};
use crate::manifest::trouble::{self, Restarts, Severity, Trouble};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long an image that cannot be pulled, or a container that cannot be configured, may take to get well.
const GRACE: Duration = Duration::from_secs(30);
/// How often the reasons are looked at again when nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// For each object that is waited for, events are gathered this long before all are looked at: a look takes about as long. A thousand
/// that become ready at once are looked at fifty times a second, not once for each of their events.
const LOOK: Duration = Duration::from_micros(20);
/// Log lines of a troubled container that an error shows.
const LOG_LINES: u32 = 10;

/// What is said of a member between what its pods and what its status tells.
const UNTOLD: &str = "not all of its pods are ready";

/// What became of a wait.
enum End<T> {
    Done(T),
    /// These objects will not become ready.
    Failed,
    TimedOut,
}

/// Live objects of the kinds that are waited for, kept current by watches.
pub struct Monitor<'a> {
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
    interrupted: watch::Receiver<bool>,
    streams: SelectAll<BoxStream<'static, (Watched, ApiResult<WatchEvent>)>>,
    watched: BTreeSet<Watched>,
    /// Those whose first list is complete: what is not in `objects` is not there.
    listed: BTreeSet<Watched>,
    objects: BTreeMap<ObjectKey, Value>,
    /// Those that were deleted while they were watched, as they were last.
    deleted: BTreeMap<ObjectKey, Value>,
    /// Pods by what owns them; those that are gone are not in `objects` any more.
    owned: BTreeMap<OwnerKey, BTreeSet<ObjectKey>>,
    /// When this run began to write, by the server's clock; empty for one that has no record.
    began: String,
    /// Of pods that are older than the run: their restarts when they were first seen, by UID.
    restarts: BTreeMap<String, Restarts>,
    /// When a lasting trouble of an object was first seen.
    troubled: BTreeMap<ObjectKey, Instant>,
    told: BTreeMap<ObjectKey, Readiness>,
}

/// A kind in a namespace, or in all of the cluster.
type Watched = (Kind, Option<String>);

/// An object to wait for.
#[derive(Clone, Debug)]
pub struct Awaited {
    pub key: ObjectKey,
    pub api_version: String,
    /// A pod that is to run to its end, as a hook's; to be ready is not enough.
    pub to_its_end: bool,
    /// A member of a rollout group: its pods are counted themselves, because its status tells of them a moment later.
    pub serves: bool,
    /// The labels of a member's pods, which outlive a workload that was deleted alone and are adopted by its successor.
    pub selector: Value,
}

impl Awaited {
    pub fn ready(key: &ObjectKey, api_version: &str) -> Awaited {
        let (key, api_version) = (key.clone(), api_version.to_owned());
        Awaited { key, api_version, to_its_end: false, serves: false, selector: Value::Null }
    }

    pub fn ended(key: &ObjectKey, api_version: &str) -> Awaited {
        Awaited { to_its_end: true, ..Awaited::ready(key, api_version) }
    }

    pub fn serving(key: &ObjectKey, api_version: &str, selector: Value) -> Awaited {
        Awaited { serves: true, selector, ..Awaited::ready(key, api_version) }
    }
}

/// How a member of a rollout group is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ready, and all its pods serve.
    Up,
    /// Something is missing or about to change, and a pod serves.
    Unsettled,
    /// No pod serves: a change takes nothing from it.
    Down,
}

impl<'a> Monitor<'a> {
    pub fn new(cluster: &'a Cluster, progress: &'a dyn Progress, interrupted: watch::Receiver<bool>) -> Monitor<'a> {
        Monitor {
            cluster,
            progress,
            interrupted,
            streams: SelectAll::new(),
            watched: BTreeSet::new(),
            objects: BTreeMap::new(),
            deleted: BTreeMap::new(),
            listed: BTreeSet::new(),
            owned: BTreeMap::new(),
            began: String::new(),
            restarts: BTreeMap::new(),
            troubled: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// A monitor of a run that began to write at this time of the server (RFC 3339, in UTC).
    pub fn since(self, began: &str) -> Monitor<'a> {
        Monitor { began: began.to_owned(), ..self }
    }

    /// Whether anything is to be known of an object like this.
    pub fn looks_at(key: &ObjectKey) -> bool {
        readiness::is_awaited(&key.group, &key.kind)
    }

    /// Takes in the state of an object as a read or write returned it. States older than it are ignored from then on.
    pub fn note(&mut self, key: &ObjectKey, body: Value) {
        if !Monitor::looks_at(key) {
            return;
        }
        let body = remnant(&key.group, &key.kind, body);
        if self.objects.get(key).is_some_and(|known| is_older(&body, known)) {
            return;
        }
        if key.kind == "Pod" && !self.objects.contains_key(key) {
            for owner in owners(&body) {
                self.owned.entry((key.namespace.clone(), owner.0, owner.1)).or_default().insert(key.clone());
            }
        }
        // Times of one format and one clock are in order as texts.
        if key.kind == "Pod" && body["metadata"]["creationTimestamp"].as_str().is_some_and(|created| *created < *self.began) {
            self.restarts.entry(text(&body["metadata"]["uid"])).or_insert_with(|| trouble::restarts(&body));
        }
        self.deleted.remove(key);
        self.objects.insert(key.clone(), body);
    }

    /// Waits until all of these are ready.
    ///
    /// # Errors
    ///
    /// Not ready in time, failed for good (early), interrupted; each object with its reason, and the last lines of a crashed container.
    pub async fn until_ready(&mut self, awaited: &[Awaited], timeout: Duration) -> Result<()> {
        // Of Services only those that wait for a load balancer are worth counting.
        let counts = |one: &&Awaited| {
            readiness::is_awaited(&one.key.group, &one.key.kind)
                && (one.key.kind != "Service" || self.state(one) != Readiness::Ready)
        };
        let awaited: Vec<&Awaited> = awaited.iter().filter(counts).collect();
        if awaited.iter().all(|one| self.state(one) == Readiness::Ready) {
            return Ok(());
        }
        self.until_done(&awaited, Instant::now(), timeout, |monitor| {
            awaited.iter().all(|one| monitor.state(one) == Readiness::Ready).then_some(())
        })
        .await
    }

    /// Waits until `choose` finds something, for as long as it depends on these; the time for it began earlier.
    ///
    /// # Errors
    ///
    /// As of [`Monitor::until_ready`].
    pub async fn until<T>(
        &mut self,
        awaited: &[Awaited],
        began: Instant,
        timeout: Duration,
        choose: impl Fn(&Monitor<'a>) -> Option<T>,
    ) -> Result<T> {
        let awaited: Vec<&Awaited> = awaited.iter().collect();
        self.until_done(&awaited, began, timeout, choose).await
    }

    async fn until_done<T>(
        &mut self,
        awaited: &[&Awaited],
        began: Instant,
        timeout: Duration,
        choose: impl Fn(&Monitor<'a>) -> Option<T>,
    ) -> Result<T> {
        self.watch(awaited);
        let end = self.wait(awaited, began + timeout, choose).await;
        if !matches!(end, Ok(End::Done(_))) {
            self.progress.event(&Event::WaitOver);
        }
        match end? {
            End::Done(chosen) => Ok(chosen),
            End::Failed => Err(self.report(awaited, "will not become ready").await),
            End::TimedOut => Err(self
                .report(awaited, &format!("did not become ready within {}", seconds(timeout)))
                .await
                .hint("wait longer with --timeout")),
        }
    }

    async fn wait<T>(
        &mut self,
        awaited: &[&Awaited],
        deadline: Instant,
        choose: impl Fn(&Monitor<'a>) -> Option<T>,
    ) -> Result<End<T>> {
        loop {
            self.revive(awaited).await?;
            self.tell(awaited);
            if let Some(chosen) = choose(self) {
                return Ok(End::Done(chosen));
            }
            if awaited.iter().any(|one| self.has_failed(one)) {
                return Ok(End::Failed);
            }
            if Instant::now() >= deadline {
                return Ok(End::TimedOut);
            }
            tokio::select! {
                event = self.streams.next() => self.take(event)?,
                () = tokio::time::sleep(TICK) => {}
                () = interrupt(&mut self.interrupted) => return Err(interrupted()),
            }
            // Whatever else has arrived is taken in before the next look, which takes its time when many are waited for.
            let look = tokio::time::Instant::now() + LOOK * u32::try_from(awaited.len()).unwrap_or(u32::MAX);
            while let Ok(Some(event)) = tokio::time::timeout_at(look, self.streams.next()).await {
                self.take(Some(event))?;
            }
        }
    }

    /// Waits until an object of this UID is gone.
    pub async fn until_gone(&mut self, one: &Awaited, uid: Option<&str>, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let there = self.cluster.get(&one.api_version, &one.key).await?;
            let same = there.is_some_and(|body| uid.is_none_or(|uid| body["metadata"]["uid"] == uid));
            if !same {
                self.objects.remove(&one.key);
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::not_ready(format!("{} is still there after {}", one.key, seconds(timeout)))
                    .why("it is being deleted, and something holds it back (a finalizer, or pods that do not end)"));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = interrupt(&mut self.interrupted) => return Err(interrupted()),
            }
        }
    }

    /// Makes sure that what is known of these is what the cluster reports now: watches are open, listed to their end, and read as far
    /// as they have come. It costs two requests for each kind and namespace, once in an operation.
    pub async fn look(&mut self, awaited: &[Awaited]) -> Result<()> {
        self.watch(&awaited.iter().collect::<Vec<_>>());
        while self.listed.len() < self.watched.len() {
            tokio::select! {
                event = self.streams.next() => self.take(event)?,
                () = interrupt(&mut self.interrupted) => return Err(interrupted()),
            }
        }
        // What has arrived meanwhile is read by the runtime when this task gives way.
        tokio::task::yield_now().await;
        while let Some(Some(event)) = self.streams.next().now_or_never() {
            self.take(Some(event))?;
        }
        Ok(())
    }

    /// Lets time pass, unless the user interrupts.
    pub async fn pause(&mut self, time: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = interrupt(&mut self.interrupted) => Err(interrupted()),
        }
    }

    /// How a member of a rollout group is, as far as the watches have come.
    pub fn standing(&self, one: &Awaited) -> Standing {
        if self.state(one) == Readiness::Ready {
            Standing::Up
        } else if readiness::runs_pods(&one.key.kind) && self.serving(one) == 0 {
            Standing::Down
        } else {
            Standing::Unsettled
        }
    }

    /// Whether there is anything of a member: itself, or pods that it left.
    pub fn is_there(&self, one: &Awaited) -> bool {
        self.objects.contains_key(&one.key) || self.serving(one) > 0
    }

    /// The pods of a member.
    pub fn pod_names(&self, one: &Awaited) -> Vec<String> {
        self.pods(one).map(|pod| text(&pod["metadata"]["name"])).collect()
    }

    /// How many pods of a member serve.
    fn serving(&self, one: &Awaited) -> i64 {
        self.pods(one).filter(|pod| readiness::serves(pod)).map(|_| 1).sum()
    }

    fn watch(&mut self, awaited: &[&Awaited]) {
        let mut wanted: BTreeSet<Watched> = BTreeSet::new();
        for one in awaited {
            let kind = Kind { api_version: one.api_version.clone(), kind: one.key.kind.clone() };
            wanted.insert((kind, one.key.namespace.clone()));
            if readiness::runs_pods(&one.key.kind) {
                wanted.insert((Kind { api_version: "v1".into(), kind: "Pod".into() }, one.key.namespace.clone()));
            }
        }
        for (kind, namespace) in wanted {
            let watched = (kind.clone(), namespace.clone());
            if self.watched.insert(watched.clone()) {
                let stream = self.cluster.watch(kind, namespace, format!("!{}", crate::storage::RECORD_LABEL));
                self.streams.push(stream.map(move |event| (watched.clone(), event)).boxed());
            }
        }
    }

    fn take(&mut self, event: Option<(Watched, ApiResult<WatchEvent>)>) -> Result<()> {
        let Some(((kind, namespace), event)) = event else { return Ok(()) };
        let key = |body: &Value| ObjectKey {
            group: kind.api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: kind.kind.clone(),
            namespace: body["metadata"]["namespace"].as_str().map(str::to_owned),
            name: body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        };
        match event {
            Ok(WatchEvent::Present(mut body)) => {
                body["apiVersion"] = Value::String(kind.api_version.clone());
                body["kind"] = Value::String(kind.kind.clone());
                let key = key(&body);
                self.note(&key, body);
            }
            Ok(WatchEvent::Deleted(body)) => {
                let key = key(&body);
                // Of two objects of one name only the older one can have been deleted.
                if let Some(known) = self.objects.get(&key).filter(|known| known["metadata"]["uid"] == body["metadata"]["uid"]) {
                    let last = if body["status"].is_null() { known.clone() } else { body };
                    self.deleted.insert(key.clone(), last);
                    self.objects.remove(&key);
                }
            }
            Ok(WatchEvent::Listed) => {
                self.listed.insert((kind, namespace));
            }
            Err(error) => return Err(Error::from(error).context(format!("cannot watch {} objects", kind.kind))),
        }
        Ok(())
    }

    fn state(&self, one: &Awaited) -> Readiness {
        // A Job may be deleted as soon as it has ended well (`ttlSecondsAfterFinished`).
        let deleted = self.deleted.get(&one.key).filter(|_| one.to_its_end);
        let Some(body) = self.objects.get(&one.key).or(deleted) else {
            // A member's pods may run on without it.
            let runs_on = one.serves && self.serving(one) > 0;
            return if runs_on { Readiness::Ready } else { Readiness::Waiting("it is not there yet".into()) };
        };
        match readiness::readiness(body) {
            Readiness::Ready if one.serves && readiness::runs_pods(&one.key.kind) => {
                let wanted = readiness::wanted_pods(body);
                match self.pods(one).find(|pod| !pod["metadata"]["deletionTimestamp"].is_null()) {
                    _ if wanted == 0 => Readiness::Waiting("it is scaled to 0".into()),
                    _ if self.serving(one) >= wanted => Readiness::Ready,
                    Some(pod) => Readiness::Waiting(format!("pod {} is being deleted", text(&pod["metadata"]["name"]))),
                    None => Readiness::Waiting(UNTOLD.into()),
                }
            }
            Readiness::Ready if !one.to_its_end || one.key.kind != "Pod" || body["status"]["phase"] == "Succeeded" => {
                Readiness::Ready
            }
            Readiness::Ready | Readiness::Waiting(_) if deleted.is_some() => {
                Readiness::Failed("it was deleted before it came to its end".into())
            }
            Readiness::Ready => Readiness::Waiting("it is running".into()),
            state => state,
        }
    }

    /// Tells what changed.
    fn tell(&mut self, awaited: &[&Awaited]) {
        let states: Vec<(ObjectKey, Readiness, bool)> = awaited
            .iter()
            .map(|one| match (self.state(one), self.deepest(one)) {
                (Readiness::Waiting(_), Some(trouble)) => (one.key.clone(), Readiness::Waiting(trouble.reason), true),
                (state, _) => {
                    let failed = matches!(state, Readiness::Failed(_));
                    (one.key.clone(), state, failed)
                }
            })
            .collect();
        let done = states.iter().filter(|(_, state, _)| *state == Readiness::Ready).count();
        for (key, state, trouble) in &states {
            if matches!(state, Readiness::Waiting(reason) if reason == readiness::UNSEEN || reason == UNTOLD) {
                // Gone within a moment: not worth a word of its own.
                continue;
            }
            // What never made anyone wait is not worth a word.
            let news = self.told.get(key) != Some(state) && (*state != Readiness::Ready || self.told.contains_key(key));
            if news {
                let (ready, reason) = match state {
                    Readiness::Ready => (true, String::new()),
                    Readiness::Waiting(reason) | Readiness::Failed(reason) => (false, reason.clone()),
                };
                let (object, trouble, total) = (key.to_string(), *trouble, states.len());
                self.progress.event(&Event::Waiting { object, ready, trouble, reason, done, total });
                self.told.insert(key.clone(), state.clone());
            }
        }
    }

    /// The pods of a workload; a pod is its own.
    fn pods<'m>(&'m self, one: &'m Awaited) -> impl Iterator<Item = &'m Value> {
        let itself = (one.key.kind == "Pod").then_some(&one.key);
        let owner = (one.key.namespace.clone(), one.key.kind.clone(), one.key.name.clone());
        let owned = self.owned.get(&owner).into_iter().flatten();
        let left = self.left_pods(one);
        itself.into_iter().chain(owned).filter_map(|key| self.objects.get(key)).chain(left)
    }

    /// The pods that a workload left when it was deleted without them: nothing owns them until its successor adopts them.
    fn left_pods<'m>(&'m self, one: &'m Awaited) -> impl Iterator<Item = &'m Value> {
        let selector = one.selector.as_object().filter(|selector| !selector.is_empty());
        let selector = selector.filter(|_| !self.objects.contains_key(&one.key));
        selector.into_iter().flat_map(move |selector| {
            self.objects.iter().filter(|(key, _)| key.kind == "Pod" && key.namespace == one.key.namespace).filter_map(
                move |(_, pod)| {
                    let owned = pod["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
                    let labels = &pod["metadata"]["labels"];
                    (!owned && selector.iter().all(|(name, value)| labels[name] == *value)).then_some(pod)
                },
            )
        })
    }

    /// Why a pod is not ready. Restarts that are older than this run do not count.
    fn trouble(&self, pod: &Value) -> Option<Trouble> {
        static NONE: Restarts = Restarts::new();
        trouble::pod_trouble(pod, self.restarts.get(pod["metadata"]["uid"].as_str()?).unwrap_or(&NONE))
    }

    /// The worst trouble among a workload's pods, those of an older template left aside: they are on their way out.
    fn deepest(&self, one: &Awaited) -> Option<Trouble> {
        let current = self.current_pods(one);
        self.pods(one)
            .filter(|pod| current.is(pod) && !readiness::is_pod_ready(pod))
            .filter_map(|pod| {
                let mut trouble = self.trouble(pod)?;
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                trouble.reason = format!("pod {name}: {}", trouble.reason);
                Some(trouble)
            })
            .max_by_key(|trouble| trouble.severity)
    }

    /// How to tell the pods of a workload's newest template.
    fn current_pods(&self, one: &Awaited) -> Current {
        let Some(body) = self.objects.get(&one.key) else { return Current::None };
        // Jobs and pods are of one template for ever, and do not say what they have seen.
        let observes = !matches!(one.key.kind.as_str(), "Job" | "Pod");
        if observes && body.pointer("/status/observedGeneration") != body.pointer("/metadata/generation") {
            return Current::None;
        }
        match one.key.kind.as_str() {
            "StatefulSet" => Current::Labelled("controller-revision-hash", text(&body["status"]["updateRevision"])),
            // A Deployment does not say which ReplicaSet is its newest: its newest pod does, once there is one of the new template.
            "Deployment" if body["status"]["updatedReplicas"].as_i64().unwrap_or(0) > 0 => {
                let newest = self.pods(one).max_by_key(|pod| text(&pod["metadata"]["creationTimestamp"]));
                newest.map_or(Current::None, |pod| {
                    Current::Labelled("pod-template-hash", text(&pod["metadata"]["labels"]["pod-template-hash"]))
                })
            }
            "Deployment" => Current::None,
            _ => Current::All,
        }
    }

    /// Whether an object will not become ready: it says so itself, or its pods are in trouble for good.
    fn has_failed(&mut self, one: &Awaited) -> bool {
        match self.state(one) {
            Readiness::Ready => {
                self.troubled.remove(&one.key);
                return false;
            }
            Readiness::Failed(_) => return true,
            Readiness::Waiting(_) => {}
        }
        match self.deepest(one).map(|trouble| trouble.severity) {
            Some(Severity::Final) => true,
            Some(Severity::Lasting) => self.troubled.entry(one.key.clone()).or_insert_with(Instant::now).elapsed() >= GRACE,
            Some(Severity::Passing) | None => {
                self.troubled.remove(&one.key);
                false
            }
        }
    }

    /// A StatefulSet whose pods start in order does not replace a pod that never became ready, even when its template is mended
    /// (kubernetes/kubernetes#67250). The rollout would delete such a pod of an older template anyway; here it is done. Its volumes stay.
    async fn revive(&mut self, awaited: &[&Awaited]) -> Result<()> {
        let mut stuck = Vec::new();
        for one in awaited.iter().filter(|one| one.key.kind == "StatefulSet") {
            let Some(set) = self.objects.get(&one.key) else { continue };
            let ordered = set["spec"]["podManagementPolicy"] != "Parallel";
            let rolling = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
            let current = self.current_pods(one);
            if !ordered || !rolling || matches!(current, Current::None) {
                continue;
            }
            let held_up = |pod: &&Value| {
                let leaving = !pod["metadata"]["deletionTimestamp"].is_null();
                !current.is(pod) && !leaving && !readiness::is_pod_ready(pod)
            };
            let named = |pod: &Value| {
                let metadata = |name: &str| text(&pod["metadata"][name]);
                (metadata("name"), metadata("uid"), metadata("resourceVersion"), one.key.namespace.clone())
            };
            stuck.extend(self.pods(one).filter(held_up).map(named));
        }
        for (name, uid, version, namespace) in stuck {
            let key = ObjectKey { group: String::new(), kind: "Pod".into(), namespace, name };
            let how = Delete { uid: Some(uid), resource_version: Some(version), ..Delete::default() };
            match self.cluster.delete("v1", &key, how).await {
                // It has changed since, and may be ready by now, or the answer is lost: the watch tells, and then it is looked at again.
                Err(error) if matches!(error.kind, Conflict | Replaced | Unavailable | Unreachable | Timeout) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    self.objects.remove(&key);
                }
            }
        }
        Ok(())
    }

    async fn report(&self, awaited: &[&Awaited], what: &str) -> Error {
        let pending: Vec<&&Awaited> = awaited.iter().filter(|one| self.state(one) != Readiness::Ready).collect();
        let count = pending.len();
        let subject = if count == 1 { pending[0].key.to_string() } else { format!("{count} objects") };
        let mut error = Error::not_ready(format!("{subject} {what}"));
        for one in pending.iter().take(20) {
            let own = match self.state(one) {
                Readiness::Waiting(reason) | Readiness::Failed(reason) => reason,
                Readiness::Ready => continue,
            };
            let reason = match self.deepest(one) {
                Some(trouble) => format!("{own}; {}", trouble.reason),
                None => own,
            };
            error = error.at(Place::new(one.key.to_string()).note(reason));
        }
        if let Some(place) = (count > 20).then(|| Place::new(format!("and {} more", count - 20))) {
            error = error.at(place);
        }
        for one in pending.iter().take(3) {
            if let Some(lines) = self.last_words(one).await {
                error = error.why(lines);
            }
        }
        error
    }

    /// The last lines of a troubled container's log, when there are any to be had.
    async fn last_words(&self, one: &Awaited) -> Option<String> {
        let pods = self.pods(one).filter(|pod| !readiness::is_pod_ready(pod));
        for pod in pods {
            let Some((container, previous)) = self.trouble(pod).and_then(|trouble| trouble.log) else { continue };
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = one.key.namespace.as_deref().unwrap_or_default();
            // Logs are a help, not a duty: a kubelet that is away must not hide the reason.
            let log = self.cluster.logs(namespace, name, &container, LOG_LINES, previous).await.unwrap_or_default();
            if !log.trim().is_empty() {
                let lines: Vec<String> = log.trim_end().lines().map(|line| format!("     | {line}")).collect();
                return Some(format!("the last lines of {name}, container {container}:\n{}", lines.join("\n")));
            }
        }
        None
    }
}

/// Namespace, kind and name of what owns a pod.
type OwnerKey = (Option<String>, String, String);

/// Kind and name of each owner of a pod. A ReplicaSet stands for its Deployment, whose name it continues.
fn owners(pod: &Value) -> Vec<(String, String)> {
    let references = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references
        .flat_map(|owner| {
            let (kind, name) = (text(&owner["kind"]), text(&owner["name"]));
            let deployment = name
                .rsplit_once('-')
                .filter(|_| kind == "ReplicaSet")
                .map(|(name, _)| ("Deployment".to_owned(), name.to_owned()));
            deployment.into_iter().chain([(kind, name)])
        })
        .collect()
}

/// Which pods of a workload count.
enum Current {
    None,
    All,
    /// Those with this value of this label.
    Labelled(&'static str, String),
}

impl Current {
    fn is(&self, pod: &Value) -> bool {
        match self {
            Current::None => false,
            Current::All => true,
            Current::Labelled(label, value) => pod["metadata"]["labels"][label] == value.as_str(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a state of an object is from before another one, be it of the object that had its name before: by resourceVersion, which API
/// servers count upwards for all objects of a kind (KEP-5504 makes that a promise), else by what else counts. Times do not tell: they are
/// whole seconds.
fn is_older(body: &Value, known: &Value) -> bool {
    let version = |body: &Value| body["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
    let generation = |body: &Value| body["metadata"]["generation"].as_i64();
    match (version(body), version(known)) {
        (Some(one), Some(other)) => one < other,
        _ if body["metadata"]["uid"] != known["metadata"]["uid"] => {
            body["metadata"]["creationTimestamp"].as_str() < known["metadata"]["creationTimestamp"].as_str()
        }
        _ => generation(body) < generation(known),
    }
}

pub fn seconds(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// Resolves when the user interrupts the run.
pub async fn interrupt(interrupted: &mut watch::Receiver<bool>) {
    if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
        // Nobody can interrupt any more.
        std::future::pending::<()>().await;
    }
}

pub fn interrupted() -> Error {
    Error::interrupted("interrupted").why("a signal asked to stop")
}

/// The last lines of each container of a pod.
pub async fn container_logs(cluster: &Cluster, pod: &Value, lines: u32) -> Result<Vec<(String, String)>, ApiError> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut logs = Vec::new();
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        let container = container["name"].as_str().unwrap_or_default();
        logs.push((container.to_owned(), cluster.logs(namespace, name, container, lines, false).await?));
    }
    Ok(logs)
}
