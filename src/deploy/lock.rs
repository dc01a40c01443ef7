//! One operation at a time per release: a Lease, renewed while the operation runs.
//!
//! A live lock is refused with its holder's name. One that expired, or whose holder is a dead process of this very machine, is taken
//! over. Whoever loses the lock stops writing: [`Lock::fence`] stands before every attempt of every write. A holder that could not renew
//! in time does not know whether it still holds the lock, and writes nothing until it does.

use crate::cluster::{ApiError, ApiErrorKind, Cluster, Delete, Fence};
use crate::error::{Error, Result};
use crate::manifest::{ObjectKey, annotation};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// A lock that was not renewed for so long is given up.
const EXPIRY: Duration = Duration::from_secs(10);
/// Three tries fit into the expiry.
const RENEWAL: Duration = Duration::from_secs(3);
/// A renewal without an answer for so long has stalled. Not sooner: on a server that is only slow, none would ever be answered in time.
const STALL: Duration = EXPIRY;
/// A server that stays away for so long is not waited for any more.
const ABSENCE: Duration = Duration::from_secs(120);

/// A held lock. Given back by [`Lock::release`]; a lock that is only dropped expires.
pub struct Lock {
    cluster: Cluster,
    key: ObjectKey,
    uid: String,
    tenure: watch::Receiver<Tenure>,
    renewal: tokio::task::JoinHandle<()>,
}

/// For how long a lock is surely ours.
#[derive(Clone, Copy)]
struct Tenure {
    /// When the last renewal that succeeded was sent, by both clocks: the first stands still while a machine sleeps, the second may be set.
    renewed: Instant,
    dated: Timestamp,
    lost: bool,
}

impl Tenure {
    fn begin() -> Tenure {
        Tenure { renewed: Instant::now(), dated: clock(), lost: false }
    }

    fn is_fresh(&self) -> bool {
        !self.lost && self.renewed.elapsed() <= EXPIRY && clock().duration_since(self.dated).unsigned_abs() <= EXPIRY
    }
}

/// This process, as a lock names its holder.
#[derive(Clone, Debug)]
pub struct Holder {
    pub user: String,
    pub host: String,
    pub pid: u32,
    /// The boot and process namespace of this machine, and the start of this process: enough to know later whether it is dead.
    pub machine: String,
    pub started: String,
    pub operation: String,
    /// No other run has it.
    pub run: String,
}

impl Holder {
    /// What `/proc` says of this process; on systems without it a dead holder is not recognized and its lock expires.
    pub fn this_process(user: &str, operation: &str) -> Holder {
        let pid = std::process::id();
        Holder {
            user: user.to_owned(),
            host: host_name(),
            pid,
            machine: machine(),
            started: process_start(pid).unwrap_or_default(),
            operation: operation.to_owned(),
            run: format!("{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1)),
        }
    }

    fn identity(&self) -> String {
        format!("{}@{} (process {})", self.user, self.host, self.pid)
    }
}

#[allow(clippy::disallowed_methods, reason = "what the system says of this process is what a holder is")]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn host_name() -> String {
    read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_else(|| "unknown host".to_owned())
}

#[allow(clippy::disallowed_methods, reason = "the process namespace is a link in /proc")]
fn machine() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    if boot.is_empty() || namespace.is_empty() { String::new() } else { format!("{boot}/{namespace}") }
}

/// Start time of a process in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)).
fn process_start(pid: u32) -> Option<String> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

fn lease_key(namespace: &str, release: &str) -> ObjectKey {
    ObjectKey {
        group: "coordination.k8s.io".into(),
        kind: "Lease".into(),
        namespace: Some(namespace.into()),
        name: format!("kubectl-fabric.{release}"),
    }
}

const API_VERSION: &str = "coordination.k8s.io/v1";
const RUN: &str = "kubectl-fabric.io/run";

fn body(key: &ObjectKey, release: &str, holder: &Holder, now: Timestamp) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Lease",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {"app.kubernetes.io/managed-by": "kubectl-fabric", "kubectl-fabric.io/release": release},
            "annotations": {
                "kubectl-fabric.io/operation": holder.operation,
                "kubectl-fabric.io/machine": holder.machine,
                "kubectl-fabric.io/pid": holder.pid.to_string(),
                "kubectl-fabric.io/process-start": holder.started,
                RUN: holder.run,
            },
        },
        "spec": {
            "holderIdentity": holder.identity(),
            "leaseDurationSeconds": EXPIRY.as_secs(),
            "acquireTime": micro_time(now),
            "renewTime": micro_time(now),
        },
    })
}

/// Kubernetes' MicroTime: RFC 3339 with six digits.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Takes the lock of a release.
///
/// # Errors
///
/// Refused when another run holds it; whatever the API server answers otherwise.
pub async fn acquire(cluster: &Cluster, namespace: &str, release: &str, holder: &Holder) -> Result<Lock> {
    let key = lease_key(namespace, release);
    // One round more for each way in which another run can be quicker.
    for _ in 0..5 {
        let tenure = Tenure::begin();
        let wanted = body(&key, release, holder, tenure.dated);
        match cluster.create(&wanted).await {
            Ok(lease) => return Ok(hold(cluster, key, lease, tenure)),
            Err(error) if error.kind == ApiErrorKind::AlreadyExists => {
                let Some(there) = cluster.get(API_VERSION, &key).await? else { continue };
                if annotation(&there, RUN) == Some(&holder.run) {
                    return Ok(hold(cluster, key, there, tenure));
                }
                match state_of(&there, holder, clock()) {
                    Held::Live(age) => return Err(refusal(release, &there, age)),
                    Held::Dead => {}
                    Held::Expired => {
                        // A clock that goes wrong makes a live lock look expired: a live holder renews within this time.
                        tokio::time::sleep(RENEWAL + Duration::from_millis(500)).await;
                        let again = cluster.get(API_VERSION, &key).await?;
                        if again.as_ref().is_some_and(|again| again["spec"]["renewTime"] != there["spec"]["renewTime"]) {
                            return Err(refusal(release, &there, SignedDuration::ZERO));
                        }
                        if again.is_none() {
                            continue;
                        }
                    }
                }
                let tenure = Tenure::begin();
                let mut taken = body(&key, release, holder, tenure.dated);
                taken["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
                match cluster.replace(&taken).await {
                    Ok(lease) => return Ok(hold(cluster, key, lease, tenure)),
                    Err(error) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::refused(format!("the lock of release \"{release}\" changes hands too quickly")).hint("run the command again"))
}

/// The wall clock: a Lease is dated, and this is the one place after the program's start where that matters.
#[allow(clippy::disallowed_methods, reason = "a renewal is dated with the time at which it is sent")]
fn clock() -> Timestamp {
    Timestamp::now()
}

/// Whether there is a lock, whoever holds it.
pub async fn is_left(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool, ApiError> {
    Ok(cluster.get(API_VERSION, &lease_key(namespace, release)).await?.is_some())
}

enum Held {
    Live(SignedDuration),
    Expired,
    /// Its holder is a process of this machine that is gone.
    Dead,
}

fn state_of(lease: &Value, me: &Holder, now: Timestamp) -> Held {
    let here = !me.machine.is_empty() && annotation(lease, "kubectl-fabric.io/machine") == Some(&me.machine);
    if here {
        let pid = annotation(lease, "kubectl-fabric.io/pid").and_then(|pid| pid.parse().ok()).unwrap_or(0);
        let started = annotation(lease, "kubectl-fabric.io/process-start").unwrap_or_default();
        if process_start(pid).as_deref() != Some(started) {
            return Held::Dead;
        }
    }
    let renewed =
        lease["spec"]["renewTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let age = now.duration_since(renewed);
    let expiry = SignedDuration::from_secs(lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or(EXPIRY.as_secs() as i64));
    if age > expiry { Held::Expired } else { Held::Live(age) }
}

fn refusal(release: &str, lease: &Value, age: SignedDuration) -> Error {
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or("another run");
    let operation = annotation(lease, "kubectl-fabric.io/operation").unwrap_or("operation");
    Error::refused(format!("another {operation} of release \"{release}\" is running"))
        .why(format!("{holder} holds the lock and renewed it {} seconds ago", age.as_secs().max(0)))
        .now("this run has changed nothing")
        .hint(format!("wait for it to end; a lock that is not renewed for {} seconds is taken over", EXPIRY.as_secs()))
}

fn hold(cluster: &Cluster, key: ObjectKey, lease: Value, tenure: Tenure) -> Lock {
    let uid = lease["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (teller, tenure) = watch::channel(tenure);
    let renewal = tokio::spawn(renew(cluster.urgent(), key.clone(), lease, teller));
    Lock { cluster: cluster.clone(), key, uid, tenure, renewal }
}

/// Renews the lock until it is lost. A renewal is based on the version that the one before made: if it succeeds, nobody else held the lock
/// in between, however long that was.
async fn renew(cluster: Cluster, key: ObjectKey, mut lease: Value, tenure: watch::Sender<Tenure>) {
    let mut pause = RENEWAL;
    while tenure.borrow().renewed.elapsed() <= ABSENCE {
        tokio::time::sleep(pause).await;
        pause = RENEWAL;
        let next = Tenure::begin();
        lease["spec"]["renewTime"] = json!(micro_time(next.dated));
        match timeout(STALL, cluster.replace(&lease)).await {
            Ok(Ok(renewed)) => {
                lease = renewed;
                tenure.send_replace(next);
            }
            Ok(Err(error)) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => {
                match timeout(STALL, cluster.get(API_VERSION, &key)).await {
                    // Our own renewal, whose answer was lost.
                    Ok(Ok(Some(there))) if annotation(&there, RUN) == annotation(&lease, RUN) => {
                        lease = there;
                        pause = Duration::ZERO;
                    }
                    Ok(Ok(_)) => break,
                    _ => {}
                }
            }
            // The API server is away.
            _ => {}
        }
    }
    tenure.send_modify(|tenure| tenure.lost = true);
}

/// Waits until the lock is known to be held.
async fn held(mut tenure: watch::Receiver<Tenure>) -> Result<(), String> {
    loop {
        let now = *tenure.borrow_and_update();
        if now.is_fresh() {
            return Ok(());
        }
        if now.lost || tenure.changed().await.is_err() {
            return Err(LOST.to_owned());
        }
    }
}

const LOST: &str = "the lock was not renewed in time, so another run may have taken over";

impl Lock {
    /// An error when the lock is not held any more.
    pub fn check(&self) -> Result<()> {
        if self.tenure.borrow().lost { Err(self.loss()) } else { Ok(()) }
    }

    /// Resolves when the lock is not held any more.
    pub async fn lost(&self) -> Error {
        // Without a renewal there is nobody left who could tell, so it is lost, too.
        let _ = self.tenure.clone().wait_for(|tenure| tenure.lost).await;
        self.loss()
    }

    fn loss(&self) -> Error {
        Error::refused(format!("the lock {} was lost", self.key.name.trim_start_matches("kubectl-fabric.")))
            .why(LOST)
            .now("this run has stopped writing where it was")
            .hint("run the command again; it goes on from what is there")
    }

    /// For the writes that the lock allows.
    pub fn fence(&self) -> Fence {
        let tenure = self.tenure.clone();
        Arc::new(move || Box::pin(held(tenure.clone())))
    }

    /// Gives the lock back.
    pub async fn release(self) -> Result<(), ApiError> {
        self.renewal.abort();
        if self.tenure.borrow().is_fresh() {
            let how = Delete { uid: Some(self.uid.clone()), ..Delete::default() };
            self.cluster.fenced(self.fence()).delete(API_VERSION, &self.key, how).await?;
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, machine: &str) -> Holder {
        Holder {
            user: "ann".into(),
            host: "box".into(),
            pid,
            machine: machine.into(),
            started: process_start(pid).unwrap_or_default(),
            operation: "upgrade".into(),
            run: "1".into(),
        }
    }

    fn lease(holder: &Holder, renewed: Timestamp) -> Value {
        body(&lease_key("org1", "org1"), "org1", holder, renewed)
    }

    #[test]
    fn a_lock_is_live_until_it_expires_or_its_process_is_gone() {
        let now: Timestamp = "2026-01-01T00:00:20Z".parse().unwrap();
        let me = holder(std::process::id(), "here");
        let elsewhere = holder(1, "there");
        let recent = now - SignedDuration::from_secs(9);
        let old = now - SignedDuration::from_secs(11);
        assert!(matches!(state_of(&lease(&elsewhere, recent), &me, now), Held::Live(_)));
        assert!(matches!(state_of(&lease(&elsewhere, old), &me, now), Held::Expired));
        let mut gone = holder(std::process::id(), "here");
        gone.started = "1".into();
        assert!(matches!(state_of(&lease(&gone, recent), &me, now), Held::Dead), "the same pid, started at another time");
        assert!(matches!(state_of(&lease(&me, recent), &me, now), Held::Live(_)));
    }

    #[tokio::test]
    async fn who_could_not_renew_waits_until_he_has_or_has_lost() {
        let stale = Tenure { dated: clock() - SignedDuration::from_secs(11), ..Tenure::begin() };
        let (teller, tenure) = watch::channel(stale);
        let waiting = tokio::spawn(held(tenure.clone()));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        teller.send_replace(Tenure::begin());
        assert_eq!(waiting.await.unwrap(), Ok(()));
        teller.send_modify(|tenure| tenure.lost = true);
        assert_eq!(held(tenure).await, Err(LOST.to_owned()));
    }

    #[test]
    fn a_refusal_names_the_holder() {
        let me = holder(7, "here");
        let error = refusal("org1", &lease(&me, Timestamp::UNIX_EPOCH), SignedDuration::from_secs(2));
        assert!(error.to_string().contains("ann@box (process 7)"), "{error}");
        assert_eq!(error.kind().exit_status(), 4);
    }
}
