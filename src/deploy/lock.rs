//! One operation at a time per release: a Lease, renewed while the operation runs.
//!
//! A live lock is refused with its holder's name. One that expired, or whose holder is a dead process of this very machine, is taken
//! over. Whoever loses the lock stops writing: [`Lock::check`] stands before every write.

use crate::cluster::{ApiError, ApiErrorKind, Cluster, Delete};
use crate::error::{Error, Result};
use crate::manifest::{ObjectKey, annotation};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A lock that was not renewed for so long is given up.
const EXPIRY: Duration = Duration::from_secs(10);
/// Three tries fit into the expiry.
const RENEWAL: Duration = Duration::from_secs(3);

/// A held lock. Given back by [`Lock::release`]; a lock that is only dropped expires.
pub struct Lock {
    cluster: Cluster,
    key: ObjectKey,
    uid: String,
    state: Arc<State>,
    renewal: tokio::task::JoinHandle<()>,
}

struct State {
    began: Instant,
    /// Milliseconds after `began` at which the last successful renewal was sent.
    renewed: AtomicU64,
    lost: AtomicBool,
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
        let sent = Instant::now();
        let wanted = body(&key, release, holder, clock());
        match cluster.create(&wanted).await {
            Ok(lease) => return Ok(hold(cluster, key, lease, sent)),
            Err(error)
                if matches!(error.kind, ApiErrorKind::AlreadyExists | ApiErrorKind::Unreachable | ApiErrorKind::Timeout) =>
            {
                let Some(there) = cluster.get(API_VERSION, &key).await? else { continue };
                if is_mine(&there, holder) {
                    return Ok(hold(cluster, key, there, sent));
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
                let mut taken = wanted;
                taken["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
                let sent = Instant::now();
                match cluster.replace(&taken).await {
                    Ok(lease) => return Ok(hold(cluster, key, lease, sent)),
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

enum Held {
    Live(SignedDuration),
    Expired,
    /// Its holder is a process of this machine that is gone.
    Dead,
}

fn is_mine(lease: &Value, holder: &Holder) -> bool {
    lease["spec"]["holderIdentity"] == holder.identity()
        && !holder.started.is_empty()
        && annotation(lease, "kubectl-fabric.io/process-start") == Some(&holder.started)
        && annotation(lease, "kubectl-fabric.io/machine") == Some(&holder.machine)
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

fn hold(cluster: &Cluster, key: ObjectKey, lease: Value, sent: Instant) -> Lock {
    let state = Arc::new(State { began: sent, renewed: AtomicU64::new(0), lost: AtomicBool::new(false) });
    let uid = lease["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let renewal = tokio::spawn(renew(cluster.clone(), key.clone(), lease, state.clone()));
    Lock { cluster: cluster.clone(), key, uid, state, renewal }
}

async fn renew(cluster: Cluster, key: ObjectKey, mut lease: Value, state: Arc<State>) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        if state.is_stale() {
            // Asleep for too long, or cut off: another may hold it by now.
            state.lost.store(true, Ordering::SeqCst);
            return;
        }
        let sent = state.began.elapsed();
        lease["spec"]["renewTime"] = json!(micro_time(clock()));
        match cluster.replace(&lease).await {
            Ok(renewed) => {
                lease = renewed;
                state.renewed.store(sent.as_millis() as u64, Ordering::SeqCst);
            }
            Err(error) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => {
                // Our own renewal whose answer was lost looks like a conflict, too.
                match cluster.get(API_VERSION, &key).await {
                    Ok(Some(there))
                        if there["spec"]["holderIdentity"] == lease["spec"]["holderIdentity"]
                            && there["metadata"]["uid"] == lease["metadata"]["uid"] =>
                    {
                        lease = there;
                    }
                    Ok(_) => {
                        state.lost.store(true, Ordering::SeqCst);
                        return;
                    }
                    Err(_) => {}
                }
            }
            // The API server is away: the next turn tries again, and the expiry decides.
            Err(_) => {}
        }
    }
}

impl State {
    fn is_stale(&self) -> bool {
        let renewed = Duration::from_millis(self.renewed.load(Ordering::SeqCst));
        self.began.elapsed().saturating_sub(renewed) > EXPIRY
    }
}

impl Lock {
    /// Stands before every write: an error when the lock is not held any more.
    pub fn check(&self) -> Result<()> {
        if self.state.lost.load(Ordering::SeqCst) || self.state.is_stale() {
            return Err(Error::refused(format!("the lock {} was lost", self.key.name.trim_start_matches("kubectl-fabric.")))
                .why("it was not renewed in time, so another run may have taken over")
                .now("this run has stopped writing where it was")
                .hint("run the command again; it goes on from what is there"));
        }
        Ok(())
    }

    /// Gives the lock back.
    pub async fn release(self) -> Result<(), ApiError> {
        self.renewal.abort();
        if self.check().is_ok() {
            self.cluster.delete(API_VERSION, &self.key, Delete { uid: Some(self.uid.clone()), ..Delete::default() }).await?;
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

    #[test]
    fn a_refusal_names_the_holder() {
        let me = holder(7, "here");
        let error = refusal("org1", &lease(&me, Timestamp::UNIX_EPOCH), SignedDuration::from_secs(2));
        assert!(error.to_string().contains("ann@box (process 7)"), "{error}");
        assert_eq!(error.kind().exit_status(), 4);
    }
}
